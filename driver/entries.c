#include "driver/entries.h"

#include "driver/progress.h"

#include <string.h>

const struct entry *entries_find(struct session *session, const struct instance *instance, const char *name) {
    const struct entry *entry = name ? instance_find_entry(instance, name) : NULL;
    int count = instance_entry_count(instance);
    if (!name && count == 1)
        entry = instance_entry(instance, 0);
    if (entry)
        return entry;
    const char **names = ARENA_ARRAY(session->arena, const char *, count);
    for (int i = 0; i < count; i++)
        names[i] = instance_entry(instance, i)->name;
    const char *list = names_text(session->arena, names, count);
    if (name)
        diag_nearest(diag_error(session->diags, (struct span){0}, E_NAME,
                                "the model has no fn or train named `%s`; it has %s", name, list),
                     name, names, count);
    else
        session_fail(session, E_NAME, "say which: the model has %s", list);
    return NULL;
}

/* An fn that takes a number or a list of the elaboration, and has no default for it, is there for other fns.
 */
static bool needs_a_value(const struct entry *entry) {
    for (int i = 0; i < entry->param_count; i++)
        if (entry->params[i].kind == PARAM_OTHER && !entry->params[i].has_default &&
            !entry->params[i].optional)
            return true;
    return false;
}

/* An int parameter with a default (`steps: int = 100`) is a choice of the model's text, fixed by --shape or
 * its default; one without (`n: int`) stays a dimension variable, which --shape binds later and C callers
 * pass. */
static struct function *elaborate_one(struct session *session, struct instance *instance,
                                      const struct entry *entry, const struct sizes *sizes) {
    VEC(struct setting) arguments = {0};
    for (int i = 0; i < entry->param_count; i++)
        for (int k = 0;
             entry->params[i].kind == PARAM_INT && entry->params[i].has_default && k < sizes->bindings.count;
             k++)
            if (strcmp(sizes->bindings.at[k].name, entry->params[i].name) == 0) {
                const char *value =
                    arena_printf(session->arena, "%lld", (long long)sizes->bindings.at[k].value);
                struct setting setting = {entry->params[i].name, value, entry->params[i].span};
                VEC_PUSH(session->arena, &arguments, setting);
            }
    double begun = clock_seconds();
    struct function *function = instance_elaborate(instance, entry->name, arguments.at, arguments.count, 1);
    session_add_time(session, "elaborate", clock_seconds() - begun);
    return function;
}

/* Nothing of the model can be run: it has nothing, or all of it wants values that only its text can give. */
static void refuse_empty(struct session *session, const struct instance *instance) {
    if (instance_entry_count(instance) == 0) {
        session_fail(session, E_NAME, "the model has no fn and no train");
        return;
    }
    const struct entry *entry = instance_entry(instance, 0);
    const struct entry_param *param = entry->params;
    while (param->kind != PARAM_OTHER || param->has_default || param->optional)
        param++;
    struct diag *diag = diag_error(session->diags, param->span, E_NAME,
                                   "nothing of this model runs by itself: `%s` needs a value for `%s`",
                                   entry->name, param->name);
    diag_hint(diag, "a default makes it an entry; `f32` in place of `float` takes a value of run time");
}

/* The names of a comma-separated list, or of all entries. NULL: one is unknown; reported. */
static const struct entry **choose(struct session *session, struct instance *instance, const char *list,
                                   int *count) {
    VEC(const struct entry *) chosen = {0};
    for (int i = 0; !list && i < instance_entry_count(instance); i++)
        if (!needs_a_value(instance_entry(instance, i)))
            VEC_PUSH(session->arena, &chosen, instance_entry(instance, i));
    for (const char *at = list; at && *at;) {
        size_t length = strcspn(at, ",");
        const struct entry *entry =
            entries_find(session, instance, arena_strndup(session->arena, at, length));
        if (!entry)
            return NULL;
        VEC_PUSH(session->arena, &chosen, entry);
        at += length + (at[length] == ',');
    }
    *count = chosen.count;
    if (chosen.count == 0)
        refuse_empty(session, instance);
    return chosen.at;
}

bool entries_elaborate(struct session *session, struct instance *instance, const char *list,
                       const struct sizes *sizes, struct function ***functions, int *count) {
    const struct entry **chosen = choose(session, instance, list, count);
    if (!chosen)
        return false;
    *functions = ARENA_ARRAY(session->arena, struct function *, *count);
    bool ok = true;
    for (int i = 0; i < *count; i++)
        ok = ((*functions)[i] = elaborate_one(session, instance, chosen[i], sizes)) && ok;
    return ok;
}
