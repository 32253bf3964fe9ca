/* driver/repl_run.c: a text of the REPL through the front end, the compiler and the machine. What it assigns
 * lives on under its name; so do the weights of the instances that it uses, from their first values on. */
#include "driver/repl.h"

#include "driver/progress.h"
#include "driver/values.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void repl_show_diagnostics(struct repl *r) {
    struct strbuf text;
    strbuf_init(&text, r->session.arena);
    diags_render(r->session.diags, &text, isatty(STDERR_FILENO));
    fflush(stdout);
    fputs(text.text, stderr);
    diags_clear(r->session.diags);
}

/* ---- values that live on ---- */

struct kept_value *kept_find(const struct kept_values *values, const char *name) {
    for (int i = 0; i < values->at.count; i++)
        if (strcmp(values->at.at[i].name, name) == 0)
            return &values->at.at[i];
    return NULL;
}

static void keep(struct repl *r, struct kept_values *values, const char *name, const struct type *type,
                 void *bytes) {
    struct kept_value *old = kept_find(values, name);
    if (old) {
        void *replaced = old->bytes;
        old->type = type;
        old->bytes = bytes;
        free(replaced);
    } else {
        VEC_PUSH(r->session.arena, &values->at,
                 ((struct kept_value){arena_strdup(r->session.arena, name), type, bytes}));
    }
}

void repl_take_variable(struct repl *r, const char *name, const struct type *type, void *bytes) {
    keep(r, &r->variables, name, type, bytes);
    repl_bind(r->scope, name, type);
}

static void forget_all(struct kept_values *values) {
    for (int i = 0; i < values->at.count; i++)
        free(values->at.at[i].bytes);
    values->at.count = 0;
}

void repl_forget(struct repl *r) {
    forget_all(&r->variables);
    forget_all(&r->weights);
}

static void *room_for(const struct type *type) {
    return aligned_alloc(64, ((size_t)type_bytes(type) + 127) / 64 * 64);
}

/* ---- understanding ---- */

static void tell_remade(struct repl *r) {
    const char *const *names;
    int count = repl_remade(r->scope, &names);
    if (count > 0 && !r->session.quiet)
        printf("made anew: %s\n", names_text(r->session.arena, names, count));
}

struct function *repl_understand(struct repl *r, const char *text, struct arena *arena,
                                 const char **assigned) {
    const char *name = arena_printf(r->session.arena, "<repl:%d>", ++r->line_number), *shown = NULL;
    const struct source *source = source_create(r->session.arena, name, text, strlen(text));
    bool is_definition;
    *assigned = NULL;
    struct function *f = repl_evaluate(r->scope, source, arena, &is_definition, assigned, &shown);
    tell_remade(r);
    if (shown)
        puts(shown);
    return f;
}

static struct function *find_init(const struct graph *graph) {
    for (int i = 0; i < graph->functions.count; i++)
        if (graph->functions.at[i]->kind == FUNCTION_INIT)
            return graph->functions.at[i];
    return NULL;
}

/* Where it reads weights, its graph has the function that makes their first values: entry 1. */
struct program *repl_compile(struct repl *r, struct function *f) {
    struct function *init = find_init(f->graph);
    const struct request requests[] = {{.function = f}, {.function = init}};
    return program_create(&r->session, f->graph, requests, init ? 2 : 1, true);
}

/* ---- weights ---- */

static struct kept_value *kept_weight(const struct repl *r, const struct state *state) {
    struct kept_value *kept = kept_find(&r->weights, state->name);
    return kept && kept->type == state->type ? kept : NULL; /* a weight of another shape is another weight */
}

/* First values for what is new; what lives already keeps its own. */
static bool fill_weights(struct repl *r, struct program *p, struct memory *memory) {
    const struct graph *graph = p->graph;
    void *values[16] = {0};
    bool is_new = false;
    for (int i = 0; i < graph->states.count; i++)
        is_new |= !kept_weight(r, graph->states.at[i]);
    if (is_new && p->entry_count > 1 && !program_call(&r->session, p, 1, memory, values, r->session.seed))
        return false;
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        const struct kept_value *kept = kept_weight(r, state);
        if (kept)
            memcpy(memory_of_state(memory, p->plan, state), kept->bytes, (size_t)type_bytes(state->type));
    }
    return true;
}

static void keep_weights(struct repl *r, struct program *p, struct memory *memory) {
    for (int i = 0; i < p->graph->states.count; i++) {
        const struct state *state = p->graph->states.at[i];
        void *bytes = room_for(state->type);
        if (!bytes)
            return;
        memcpy(bytes, memory_of_state(memory, p->plan, state), (size_t)type_bytes(state->type));
        keep(r, &r->weights, state->name, state->type, bytes);
    }
}

/* ---- running ---- */

/* Runs an expression's function; its inputs are variables. Results are malloc'ed. */
static bool run(struct repl *r, struct program *p, struct memory *memory, void **values) {
    const struct program_entry *entry = &p->entries[0];
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        struct kept_value *variable = a->role == WEFT_INPUT ? kept_find(&r->variables, a->name) : NULL;
        if (variable)
            values[i] = variable->bytes;
        else if (a->role == WEFT_RESULT || a->role == WEFT_REPORT)
            values[i] = room_for(a->type);
    }
    if (!fill_weights(r, p, memory) ||
        !program_call(&r->session, p, 0, memory, values, session_seed(&r->session, (uint32_t)r->line_number)))
        return false;
    keep_weights(r, p, memory);
    return true;
}

/* What becomes of a result: shown, kept under the name that it was assigned to, or handed out. */
struct outcome {
    bool is_assigned;
    const struct type **type; /* handed out */
    void **bytes;
};

static void take_result(struct repl *r, const struct plan_argument *a, void *bytes,
                        const struct outcome *outcome) {
    if (outcome->bytes) {
        free(*outcome->bytes);
        *outcome->bytes = bytes;
        *outcome->type = a->type;
    } else if (outcome->is_assigned && a->role == WEFT_RESULT) {
        repl_take_variable(r, a->name, a->type, bytes);
    } else {
        struct strbuf text;
        strbuf_init(&text, r->session.arena);
        value_print(&text, a->name, a->type, bytes);
        fputs(text.text, stdout);
        free(bytes);
    }
}

static void take_results(struct repl *r, const struct program_entry *entry, void **values, bool ok,
                         const struct outcome *outcome) {
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        if (a->role != WEFT_RESULT && a->role != WEFT_REPORT)
            continue;
        if (ok)
            take_result(r, a, values[i], outcome);
        else
            free(values[i]);
    }
}

static void evaluate(struct repl *r, const char *text, bool show_time, struct outcome *outcome) {
    struct arena *arena = arena_create();
    const char *assigned;
    double begun = clock_seconds();
    struct function *f = repl_understand(r, text, arena, &assigned);
    struct program *p = f ? repl_compile(r, f) : NULL;
    struct memory memory = {0};
    outcome->is_assigned = assigned != NULL;
    if (p && memory_create(&r->session, p->plan, &memory)) {
        double compiled = clock_seconds();
        void **values = ARENA_ARRAY(p->arena, void *, p->entries[0].plan->arguments.count);
        bool ok = run(r, p, &memory, values);
        double ran = clock_seconds();
        take_results(r, &p->entries[0], values, ok, outcome);
        if (*r->session.interrupted)
            fprintf(stderr, "interrupted\n");
        else if (show_time)
            printf("compiled in %.2f ms, ran in %.3f ms\n", 1e3 * (compiled - begun), 1e3 * (ran - compiled));
    }
    memory_destroy(&memory);
    program_destroy(&r->session, p);
    repl_show_diagnostics(r);
    arena_destroy(arena);
}

void repl_evaluate_text(struct repl *r, const char *text, bool show_time) {
    struct outcome outcome = {0};
    evaluate(r, text, show_time, &outcome);
}

bool repl_value(struct repl *r, const char *text, const struct type **type, void **bytes) {
    struct outcome outcome = {.type = type, .bytes = bytes};
    *bytes = NULL;
    evaluate(r, text, false, &outcome);
    return *bytes != NULL;
}
