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

/* ---- --arg ---- */

/* "scale" or, of one entry alone, "sample.scale". */
static bool is_meant(const struct setting *argument, const struct entry *entry, const char *param) {
    size_t length = strlen(entry->name);
    const char *name = argument->name;
    return strcmp(name, param) == 0 || (strncmp(name, entry->name, length) == 0 && name[length] == '.' &&
                                        strcmp(name + length + 1, param) == 0);
}

/* The last one that is meant, as --set's; NULL: none. */
static const struct setting *find_argument(const struct session *session, const struct entry *entry,
                                           const char *param) {
    const struct setting *found = NULL;
    for (int i = 0; i < session->arguments.count; i++)
        if (is_meant(&session->arguments.at[i], entry, param))
            found = &session->arguments.at[i];
    return found;
}

/* Each --arg has a parameter in one of the entries. */
static bool check_arguments(struct session *session, const struct entry *const *entries, int count) {
    VEC(const char *) names = {0};
    for (int i = 0; i < count; i++)
        for (int k = 0; k < entries[i]->param_count; k++)
            VEC_PUSH(session->arena, &names, entries[i]->params[k].name);
    bool ok = true;
    for (int a = 0; a < session->arguments.count; a++) {
        const struct setting *argument = &session->arguments.at[a];
        bool found = false;
        for (int i = 0; i < count; i++)
            for (int k = 0; k < entries[i]->param_count; k++)
                found |= is_meant(argument, entries[i], entries[i]->params[k].name);
        if (found)
            continue;
        struct span name = {argument->span.source, 0, (uint32_t)strlen(argument->name)};
        diag_nearest(diag_error(session->diags, name, E_ARGUMENT,
                                "no entry that is compiled has a parameter `%s`", argument->name),
                     argument->name, names.at, names.count);
        ok = false;
    }
    return ok;
}

/* A tensor is the caller's to give; one that may be left out is an input where its value is `given`.
 * *wanted: it becomes a setting. false: reported. */
static bool read_tensor(struct session *session, const struct entry_param *param, struct setting *setting,
                        bool *wanted) {
    *wanted = param->optional && strcmp(setting->value, "given") == 0;
    if (*wanted)
        setting->value = "true";
    else if (param->optional && strcmp(setting->value, "none") != 0)
        diag_error(session->diags, setting->span, E_ARGUMENT,
                   "`%s` is a tensor that may be left out: given or none", param->name);
    else if (!param->optional)
        diag_hint(diag_error(session->diags, setting->span, E_ARGUMENT,
                             "`%s` is a tensor: who calls the object gives it", param->name),
                  "--shape gives its dims their sizes");
    else
        return true;
    return *wanted;
}

/* ---- elaborating ---- */

/* An fn that takes a number or a list of the elaboration, and has neither a default nor an --arg for it, is
 * there for other fns. NULL: it wants nothing. */
static const struct entry_param *wanted_value(const struct session *session, const struct entry *entry) {
    for (int i = 0; i < entry->param_count; i++) {
        const struct entry_param *p = &entry->params[i];
        if (p->kind == PARAM_OTHER && !p->has_default && !p->optional &&
            !find_argument(session, entry, p->name))
            return p;
    }
    return NULL;
}

/* Sizes of one request: those that are fixed, and one of each list. */
struct choice {
    VEC(struct dim_binding) all; /* `fixed` of them are not chosen */
    int fixed;
};

/* The entry's int parameter of this name that the model's text has a default for; NULL: none. */
static const struct entry_param *choice_of_text(const struct entry *entry, const char *name) {
    for (int i = 0; i < entry->param_count; i++)
        if (entry->params[i].kind == PARAM_INT && entry->params[i].has_default &&
            strcmp(entry->params[i].name, name) == 0)
            return &entry->params[i];
    return NULL;
}

static const struct dim_binding *find_size(const struct choice *sizes, const char *name) {
    for (int i = 0; i < sizes->all.count; i++)
        if (strcmp(sizes->all.at[i].name, name) == 0)
            return &sizes->all.at[i];
    return NULL;
}

/* An int parameter with a default (`steps: int = 100`) is a choice of the model's text, fixed by --shape, by
 * --arg or its default; one without (`n: int`) stays a dimension variable, which --shape binds later and C
 * callers pass, unless --arg fixes it. */
static struct function *elaborate_one(struct session *session, struct instance *instance,
                                      const struct entry *entry, const struct choice *sizes) {
    setting_list settings = {0};
    for (int i = 0; i < entry->param_count; i++) {
        const struct entry_param *param = &entry->params[i];
        const struct setting *argument = find_argument(session, entry, param->name);
        struct setting setting = {param->name, argument ? argument->value : NULL,
                                  argument ? argument->span : param->span};
        const struct dim_binding *size =
            param->kind == PARAM_INT && param->has_default ? find_size(sizes, param->name) : NULL;
        bool wanted = argument != NULL;
        if (argument && param->kind == PARAM_TENSOR && !read_tensor(session, param, &setting, &wanted))
            return NULL;
        if (!argument && size)
            setting.value = arena_printf(session->arena, "%lld", (long long)size->value);
        if (wanted || (!argument && size))
            VEC_PUSH(session->arena, &settings, setting);
    }
    double begun = clock_seconds();
    struct function *function = instance_elaborate(instance, entry->name, settings.at, settings.count, 1);
    session_add_time(session, "elaborate", clock_seconds() - begun);
    return function;
}

static bool refuse_incomplete(struct session *session, const struct entry *entry,
                              const struct entry_param *param, const char *message) {
    diag_hint(diag_error(session->diags, param->span, E_ARGUMENT, message, entry->name, param->name),
              "give one with --arg %s=VALUE, or a default here; `f32` in place of `float` takes a value of "
              "run time",
              param->name);
    return false;
}

static const char needs_value[] = "`%s` needs a value for `%s`";

static bool has_argument(const struct session *session, const struct entry *entry) {
    for (int i = 0; i < entry->param_count; i++)
        if (find_argument(session, entry, entry->params[i].name))
            return true;
    return false;
}

/* Nothing of the model can be run: it has nothing, or all of it wants values that only its text can give. */
static void refuse_empty(struct session *session, const struct instance *instance) {
    if (instance_entry_count(instance) == 0) {
        session_fail(session, E_NAME, "the model has no fn and no train");
        return;
    }
    const struct entry *entry = instance_entry(instance, 0);
    refuse_incomplete(session, entry, wanted_value(session, entry),
                      "nothing of this model runs by itself: `%s` needs a value for `%s`");
}

/* The names of a comma-separated list, or of all entries. NULL: one is unknown; reported. */
static const struct entry **choose(struct session *session, struct instance *instance, const char *list,
                                   int *count) {
    VEC(const struct entry *) chosen = {0};
    for (int i = 0; !list && i < instance_entry_count(instance); i++) {
        const struct entry *entry = instance_entry(instance, i);
        const struct entry_param *param = wanted_value(session, entry);
        if (!param)
            VEC_PUSH(session->arena, &chosen, entry);
        else if (has_argument(session, entry) && !refuse_incomplete(session, entry, param, needs_value))
            return NULL;
    }
    for (const char *at = list; at && *at;) {
        size_t length = strcspn(at, ",");
        const struct entry *entry =
            entries_find(session, instance, arena_strndup(session->arena, at, length));
        if (!entry)
            return NULL;
        const struct entry_param *param = wanted_value(session, entry);
        if (param && !refuse_incomplete(session, entry, param, needs_value))
            return NULL;
        VEC_PUSH(session->arena, &chosen, entry);
        at += length + (at[length] == ',');
    }
    *count = chosen.count;
    if (chosen.count == 0)
        refuse_empty(session, instance);
    return chosen.at;
}

/* ---- one request for each combination of listed sizes ---- */

/* What entries_elaborate works on. */
struct elaboration {
    struct session *session;
    struct instance *instance;
    const struct sizes *sizes;
    struct requests *requests;
    bool *is_used; /* by size: the bindings, then the lists */
};

static bool depends_on(const struct elaboration *e, const struct entry *entry,
                       const struct function *function, const char *name) {
    const struct entry_param *param = choice_of_text(entry, name);
    return (param && !find_argument(e->session, entry, name)) ||
           function_uses_dim(instance_graph(e->instance), function, name);
}

/* Turns the last list first; false: all combinations have been. */
static bool next_combination(const struct listed_size *const *lists, int count, int *at) {
    for (int i = count - 1; i >= 0; i--) {
        if (++at[i] < lists[i]->values.count)
            return true;
        at[i] = 0;
    }
    return false;
}

static struct choice choose_sizes(const struct elaboration *e, const struct listed_size *const *lists,
                                  int count, const int *at) {
    struct choice choice = {.fixed = e->sizes->bindings.count};
    for (int i = 0; i < e->sizes->bindings.count; i++)
        VEC_PUSH(e->session->arena, &choice.all, e->sizes->bindings.at[i]);
    for (int i = 0; i < count; i++) {
        struct dim_binding size = {lists[i]->name, lists[i]->values.at[at[i]]};
        VEC_PUSH(e->session->arena, &choice.all, size);
    }
    return choice;
}

static bool add_request(struct elaboration *e, const struct entry *entry, const struct choice *choice) {
    struct request request = {.function = elaborate_one(e->session, e->instance, entry, choice),
                              .entry = entry->name,
                              .bindings = choice->all.at,
                              .binding_count = choice->all.count};
    request.chosen_count = choice->all.count - choice->fixed;
    request.chosen = request.chosen_count ? choice->all.at + choice->fixed : NULL;
    if (request.function)
        VEC_PUSH(e->session->arena, &e->requests->list, request);
    return request.function != NULL;
}

/* Which lists the entry depends on is seen in its function at the first size of each. */
static bool add_requests(struct elaboration *e, const struct entry *entry) {
    int bindings = e->sizes->bindings.count, all = e->sizes->listed.count, count = 0;
    const struct listed_size **lists = ARENA_ARRAY(e->session->arena, const struct listed_size *, all + 1);
    int *at = ARENA_ARRAY(e->session->arena, int, all + 1);
    for (int i = 0; i < all; i++)
        lists[i] = &e->sizes->listed.at[i];
    struct choice first = choose_sizes(e, lists, all, at);
    const struct function *function = elaborate_one(e->session, e->instance, entry, &first);
    if (!function)
        return false;
    for (int i = 0; i < bindings + all; i++) {
        bool depends = depends_on(e, entry, function, first.all.at[i].name);
        e->is_used[i] |= depends;
        if (depends && i >= bindings)
            lists[count++] = &e->sizes->listed.at[i - bindings];
    }
    bool ok = true;
    do {
        struct choice choice = choose_sizes(e, lists, count, at);
        ok = add_request(e, entry, &choice) && ok;
    } while (ok && next_combination(lists, count, at));
    return ok;
}

/* A size that is of no use is likely a misspelt one. */
static void warn_unused(const struct elaboration *e, const struct entry *const *chosen, int count) {
    const char **names = ARENA_ARRAY(e->session->arena, const char *, count + 1);
    for (int i = 0; i < count; i++)
        names[i] = chosen[i]->name;
    for (int i = 0; i < e->sizes->bindings.count + e->sizes->listed.count; i++) {
        int list = i - e->sizes->bindings.count;
        const char *name = list < 0 ? e->sizes->bindings.at[i].name : e->sizes->listed.at[list].name;
        if (!e->is_used[i])
            diag_warning(e->session->diags, (struct span){0}, E_ARGUMENT, "no size of %s depends on `%s`",
                         names_text(e->session->arena, names, count), name);
    }
}

bool entries_elaborate(struct session *session, struct instance *instance, const char *list,
                       const struct sizes *sizes, struct requests *requests) {
    int count;
    const struct entry **chosen = choose(session, instance, list, &count);
    if (!chosen || !check_arguments(session, chosen, count))
        return false;
    int size_count = sizes->bindings.count + sizes->listed.count;
    struct elaboration e = {session, instance, sizes, requests,
                            ARENA_ARRAY(session->arena, bool, size_count + 1)};
    bool ok = true;
    for (int i = 0; i < count; i++)
        ok = add_requests(&e, chosen[i]) && ok;
    if (ok && count)
        warn_unused(&e, chosen, count);
    return ok;
}
