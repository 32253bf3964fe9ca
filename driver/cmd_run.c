/* driver/cmd_run.c: weft run. */
#include "driver/checkpoint.h"
#include "driver/entries.h"
#include "driver/progress.h"
#include "driver/values.h"

#include <stdlib.h>
#include <string.h>

/* One run: what is given, the compiled program, and the memory of its arguments. */
struct run {
    struct session session;
    struct invocation *invocation;
    struct instance *instance;
    const struct entry *entry;
    struct given *given;
    int given_count;
    struct sizes sizes;
    struct program *program; /* entry 0: the fn; entry 1: init */
    struct memory memory;
    void **values; /* of the fn's arguments */
};

static struct given *find_given(struct run *r, const char *name) {
    for (int i = 0; i < r->given_count; i++)
        if (strcmp(r->given[i].name, name) == 0)
            return &r->given[i];
    return NULL;
}

static bool unknown_input(struct run *r, const char *name) {
    int count = r->entry->param_count;
    const char **names = ARENA_ARRAY(r->session.arena, const char *, count);
    for (int i = 0; i < count; i++)
        names[i] = r->entry->params[i].name;
    diag_nearest(diag_error(r->session.diags, (struct span){0}, E_ARGUMENT,
                            "`%s` has no parameter `%s`; it has %s", r->entry->name, name,
                            names_text(r->session.arena, names, count)),
                 name, names, count);
    return false;
}

static bool check_names(struct run *r) {
    for (int i = 0; i < r->given_count; i++) {
        bool known = false;
        for (int k = 0; k < r->entry->param_count; k++)
            known |= strcmp(r->entry->params[k].name, r->given[i].name) == 0;
        if (!known)
            return unknown_input(r, r->given[i].name);
        if (find_given(r, r->given[i].name) != &r->given[i])
            return session_fail(&r->session, E_ARGUMENT, "`%s` is given twice", r->given[i].name);
    }
    return true;
}

static const struct entry_param *find_param(const struct entry *entry, const char *name) {
    for (int i = 0; i < entry->param_count; i++)
        if (strcmp(entry->params[i].name, name) == 0)
            return &entry->params[i];
    return NULL;
}

/* The texts of elaboration arguments (sampler=ddim) are read by the front end, with the parameter's type. */
static bool read_given(struct run *r, const char *word, struct given *given) {
    if (!given_name(&r->session, word, given))
        return false;
    const struct entry_param *param = find_param(r->entry, given->name);
    return (param && param->kind != PARAM_TENSOR) || given_read(&r->session, word, given);
}

/* Scalars that are not given take the defaults of the model's text. */
static void add_defaults(struct run *r) {
    for (int i = 0; i < r->entry->param_count; i++)
        if (!find_given(r, r->entry->params[i].name) &&
            given_default(&r->session, &r->entry->params[i], &r->given[r->given_count]))
            r->given_count++;
}

/* The elaboration arguments: the given texts of parameters that are no tensors. */
static struct function *elaborate(struct run *r) {
    VEC(struct setting) arguments = {0};
    for (int i = 0; i < r->entry->param_count; i++) {
        const struct entry_param *param = &r->entry->params[i];
        struct given *given = find_given(r, param->name);
        if (!given && !param->has_default && !param->optional && param->kind != PARAM_TENSOR) {
            session_fail(&r->session, E_ARGUMENT, "`%s` wants %s=...", r->entry->name, param->name);
            return NULL;
        }
        if (!given || (param->kind == PARAM_TENSOR && !param->optional))
            continue;
        if (param->kind == PARAM_TENSOR) { /* an optional one is an input where it is given */
            VEC_PUSH(r->session.arena, &arguments, ((struct setting){param->name, "true", param->span}));
            continue;
        }
        struct setting setting = {param->name, strchr(given->text, '=') + 1, param->span};
        VEC_PUSH(r->session.arena, &arguments, setting);
        given->is_used = true;
    }
    double begun = clock_seconds();
    struct function *function =
        instance_elaborate(r->instance, r->entry->name, arguments.at, arguments.count, 1);
    session_add_time(&r->session, "elaborate", clock_seconds() - begun);
    return function;
}

/* Sizes from the arrays that are given, checked against the function's inputs. */
static bool match_inputs(struct run *r, const struct function *function) {
    FOR_EACH_OP (op, function->body) {
        if (op->code != OP_input || op_is_seed(op))
            continue;
        const char *name = op_string(op, ATTR_name);
        const struct type *type = op->out[0]->type;
        struct given *given = find_given(r, name);
        if (!given)
            return session_fail(&r->session, E_ARGUMENT, "`%s` wants %s=..., a %s", r->entry->name, name,
                                type_text(r->session.types, type));
        given->is_used = true;
        if (!given_convert(&r->session, given, type->dtype) ||
            !sizes_match(&r->session, &r->sizes, type, given->array.rank, given->array.shape, given->text))
            return false;
    }
    return true;
}

static bool compile(struct run *r, const struct function *function) {
    double begun = clock_seconds();
    struct function *init = instance_elaborate_init(r->instance);
    session_add_time(&r->session, "elaborate", clock_seconds() - begun);
    if (!init)
        return false;
    const struct request requests[] = {
        {.function = function, .bindings = r->sizes.bindings.at, .binding_count = r->sizes.bindings.count},
        {.function = init}};
    r->program = program_create(&r->session, instance_graph(r->instance), requests, 2, true);
    return r->program && program_memory(&r->session, r->program, &r->memory);
}

/* Fresh states from the seed, then the weights of the file over them: those that the fn touches must be
 * there. */
static bool fill_memory(struct run *r) {
    void *values[16] = {0};
    const char *weights = option_text(r->invocation, OPT_weights, NULL);
    const struct fitting touched = {.into = ".", .prefix = "", .allow_unused = true};
    return program_call(&r->session, r->program, 1, &r->memory, values, r->session.seed) &&
           (!weights || weights_load(&r->session, r->program->graph, r->program->plan, &r->memory, weights,
                                     &touched, false));
}

static bool call(struct run *r) {
    const struct program_entry *entry = &r->program->entries[0];
    int count = entry->plan->arguments.count;
    r->values = ARENA_ARRAY(r->session.arena, void *, count);
    for (int i = 0; i < count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        if (a->role == WEFT_INPUT)
            r->values[i] = find_given(r, a->name)->array.data;
        else if (a->role == WEFT_RESULT || a->role == WEFT_REPORT)
            r->values[i] = aligned_alloc(64, ((size_t)type_bytes(a->type) + 127) / 64 * 64);
    }
    double begun = clock_seconds();
    bool ok = program_call(&r->session, r->program, 0, &r->memory, r->values, r->session.seed);
    session_add_time(&r->session, "run", clock_seconds() - begun);
    return ok;
}

/* out.png, or out-mean.png for the result `mean` of several. */
static const char *result_path(struct run *r, const char *path, const char *name, bool alone) {
    const char *dot = strrchr(path, '.');
    if (alone || !dot || !*name)
        return path;
    return arena_printf(r->session.arena, "%.*s-%s%s", (int)(dot - path), path, name, dot);
}

/* What -o writes, and how many there are: the results of a fn; of a train, which has none, its reports. */
static int written_role(const struct program_entry *entry, int *count) {
    int results = 0, reports = 0;
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        results += entry->plan->arguments.at[i].role == WEFT_RESULT;
        reports += entry->plan->arguments.at[i].role == WEFT_REPORT;
    }
    *count = results > 0 ? results : reports;
    return results > 0 ? WEFT_RESULT : WEFT_REPORT;
}

static bool show_results(struct run *r) {
    const struct program_entry *entry = &r->program->entries[0];
    const char *path = option_text(r->invocation, OPT_output, NULL),
               *grid = option_text(r->invocation, OPT_grid, NULL);
    int rows = 0, columns = 0, written = 0, used = 0;
    if (grid &&
        (sscanf(grid, "%dx%d%n", &rows, &columns, &used) != 2 || grid[used] || rows < 1 || columns < 1))
        return session_fail(&r->session, E_ARGUMENT, "--grid wants ROWSxCOLUMNS, not `%s`", grid);
    int role = written_role(entry, &written);
    bool ok = true;
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        if (a->role != WEFT_RESULT && a->role != WEFT_REPORT)
            continue;
        if (path && a->role == role) {
            ok = value_write(&r->session, result_path(r, path, a->name, written == 1), a->type, r->values[i],
                             rows, columns, 0.0, 1.0) &&
                 ok;
        } else {
            struct strbuf text;
            strbuf_init(&text, r->session.arena);
            value_print(&text, a->name, a->type, r->values[i]);
            fputs(text.text, stdout);
        }
    }
    return ok;
}

static bool run(struct run *r) {
    struct model_name name;
    if (!session_load(&r->session, r->invocation->words.at[0], &name))
        return false;
    r->instance = session_instantiate(&r->session, &name, NULL, 0);
    r->entry = r->instance ? entries_find(&r->session, r->instance, name.fn) : NULL;
    if (!r->entry)
        return false;
    r->given =
        ARENA_ARRAY(r->session.arena, struct given, r->invocation->words.count + r->entry->param_count);
    for (int i = 1; i < r->invocation->words.count; i++, r->given_count++)
        if (!read_given(r, r->invocation->words.at[i], &r->given[r->given_count]))
            return false;
    if (!check_names(r))
        return false;
    add_defaults(r);
    struct function *function = elaborate(r);
    return function && match_inputs(r, function) && compile(r, function) && fill_memory(r) && call(r) &&
           show_results(r);
}

static void clean_up(struct run *r) {
    for (int i = 0; i < r->given_count; i++)
        weft_array_destroy(&r->given[i].array);
    for (int i = 0; r->values && i < r->program->entries[0].plan->arguments.count; i++) {
        int role = r->program->entries[0].plan->arguments.at[i].role;
        if (role == WEFT_RESULT || role == WEFT_REPORT)
            free(r->values[i]);
    }
    memory_destroy(&r->memory);
    program_destroy(&r->session, r->program);
}

enum exit_status command_run(struct invocation *invocation) {
    struct run r = {.invocation = invocation};
    if (invocation->words.count == 0)
        return usage_error(invocation, "which model?");
    if (!session_open(&r.session, invocation))
        return EXIT_USAGE;
    bool ok = run(&r);
    clean_up(&r);
    return session_finish(&r.session, ok);
}
