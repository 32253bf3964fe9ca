#include "support_models.h"

#include "driver/entries.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- sizes ---- */

/* The next word "name=value" of a list, in the arena; false: no more. */
static bool next_word(struct arena *arena, const char **at, const char **name, const char **value) {
    while (*at && **at == ' ')
        (*at)++;
    if (!*at || !**at)
        return false;
    size_t whole = strcspn(*at, " "), head = strcspn(*at, "=");
    assert_true(head < whole);
    *name = arena_printf(arena, "%.*s", (int)head, *at);
    *value = arena_printf(arena, "%.*s", (int)(whole - head - 1), *at + head + 1);
    *at += whole;
    return true;
}

struct range model_range(const struct model_size *size, const char *input, const struct type *type) {
    struct arena *arena = arena_create();
    struct range range = {0, dtype_is_float(type->dtype) ? 1 : 10};
    const char *at = size->inputs, *name, *value;
    while (next_word(arena, &at, &name, &value))
        if (strcmp(name, input) == 0)
            range = (struct range){atof(value), atof(strstr(value, "..") + 2)};
    arena_destroy(arena);
    return range;
}

/* ---- what is run ---- */

struct choice choice_read(int argc, char **argv) {
    struct choice choice = {false, NULL};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--long") == 0)
            choice.is_long = true;
        else
            choice.word = argv[i];
    return choice;
}

bool choice_takes(const struct choice *choice, const struct model_size *size) {
    return choice->word ? strstr(size->name, choice->word) != NULL : choice->is_long || size->run == SHORT;
}

/* A line for each group: "models: 2026-11-24, 24 tests in 61 s of CPU". */
static void note_long_run(struct arena *arena, const char *path, const char *group, size_t count) {
    const char *why;
    const struct source *old = source_read(arena, path, &why);
    char date[16];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%d", localtime(&now));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    int length;
    for (uint32_t line = 1; old && line <= old->line_count; line++) {
        const char *text = source_line(old, (int)line, &length);
        if (length > 0 && (strncmp(text, group, strlen(group)) != 0 || text[strlen(group)] != ':'))
            fprintf(file, "%.*s\n", length, text);
    }
    fprintf(file, "%s: %s, %zu tests in %.0f s of CPU\n", group, date, count,
            (double)clock() / CLOCKS_PER_SEC);
    assert_int_equal(fclose(file), 0);
}

int choice_run(const struct choice *choice, const char *group, const struct CMUnitTest *tests, size_t count) {
    struct arena *arena = arena_create();
    const char *path = arena_printf(arena, "%s/tests/models/long_runs.txt", getenv("SOURCE_DIR")), *why;
    const struct source *notes = source_read(arena, path, &why);
    if (!choice->is_long && !choice->word)
        printf("not all: --long runs the rest. The last such runs:\n%s", notes ? notes->text : "none\n");
    int failed = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
    if (choice->is_long && !choice->word && failed == 0)
        note_long_run(arena, path, group, count);
    arena_destroy(arena);
    return failed;
}

int models_main(int argc, char **argv, const char *group, void (*test)(void **), const char *always) {
    struct choice choice = choice_read(argc, argv);
    struct CMUnitTest *tests = malloc((size_t)model_count * sizeof *tests);
    size_t count = 0;
    for (int i = 0; i < model_count; i++)
        if ((always && !choice.word && strstr(model_sizes[i].name, always)) ||
            choice_takes(&choice, &model_sizes[i]))
            tests[count++] = (struct CMUnitTest){model_sizes[i].name, test, NULL, NULL,
                                                 (void *)(uintptr_t)&model_sizes[i]};
    int failed = choice_run(&choice, group, tests, count);
    free(tests);
    return failed;
}

/* ---- opening ---- */

void model_fail(struct model_run *run, const char *what) {
    struct strbuf text;
    strbuf_init(&text, run->session.arena);
    diags_render(run->session.diags, &text, false);
    fprintf(stderr, "%s\n", text.text ? text.text : "nothing was reported");
    fail_msg("%s: %s", run->size->name, what);
}

static void open_session(struct session *session) {
    struct arena *arena = arena_create();
    *session = (struct session){.arena = arena,
                                .types = types_create(arena),
                                .names = interner_create(arena),
                                .diags = diags_create(arena),
                                .codegen = &weft_codegen,
                                .seed = 11,
                                .threads = 2};
    session->frontend = frontend_create(arena, session->types, session->names, session->diags);
}

static const char *bare_entries(const struct model_run *run) {
    struct strbuf list;
    strbuf_init(&list, run->session.arena);
    for (int i = 0; i < instance_entry_count(run->instance); i++) {
        const struct entry *entry = instance_entry(run->instance, i);
        if (entry->param_count == 0)
            strbuf_printf(&list, "%s%s", list.length ? "," : "", entry->name);
    }
    return list.text;
}

static void make_requests(struct model_run *run, const char *entries, const struct sizes *sizes) {
    struct requests requests = {0};
    if (*run->size->name == '/')
        entries = bare_entries(run);
    if (!entries_elaborate(&run->session, run->instance, entries, sizes, &requests))
        model_fail(run, "an entry is not elaborated");
    struct function *init = instance_elaborate_init(run->instance);
    if (!init)
        model_fail(run, "init is not elaborated");
    run->entry_count = requests.list.count;
    struct request last = {.function = init};
    VEC_PUSH(run->session.arena, &requests.list, last);
    run->requests = requests.list.at;
}

struct model_run *model_open(const struct model_size *size) {
    return model_open_entry(size, NULL);
}

struct model_run *model_open_entry(const struct model_size *size, const char *entry) {
    struct session session;
    open_session(&session);
    struct model_run *run = ARENA_NEW(session.arena, struct model_run);
    *run = (struct model_run){.session = session, .size = size};
    if (size->is_bf16)
        frontend_set_precision(session.frontend, DTYPE_bf16);
    const char *folder = strchr(size->name, '/') ? "" : "models/", *root = getenv("SOURCE_DIR");
    const char *path =
        *size->name == '/' ? size->name : arena_printf(session.arena, "%s/%s%s", root, folder, size->name);
    const char *at = size->settings, *word, *value;
    struct model_name name;
    VEC(struct setting) settings = {0};
    while (next_word(session.arena, &at, &word, &value))
        VEC_PUSH(session.arena, &settings, ((struct setting){word, value, {0}}));
    if (!session_load(&run->session, path, &name) ||
        !(run->instance = session_instantiate(&run->session, &name, settings.at, settings.count)))
        model_fail(run, "no instance");
    struct sizes *sizes = ARENA_NEW(session.arena, struct sizes);
    for (at = size->sizes; next_word(session.arena, &at, &word, &value);)
        assert_true(sizes_bind(&run->session, sizes, word, atoll(value), "test"));
    make_requests(run, entry, sizes);
    return run;
}

struct graph *model_graph(struct model_run *run, const char *until) {
    int count = run->entry_count + 1;
    struct function **functions = ARENA_ARRAY(run->session.arena, struct function *, count);
    struct graph *graph = session_bind(&run->session, instance_graph(run->instance), run->requests, count,
                                       functions, run->session.arena);
    if (!graph)
        model_fail(run, "the sizes do not fit");
    struct pass_context context = {.functions = functions, .function_count = count};
    if (until && !session_run_passes(&run->session, graph, &context, until))
        model_fail(run, "a pass failed");
    return graph;
}

void model_compile(struct model_run *run, const char *cpu) {
    run->session.cpu = cpu;
    run->plain = model_graph(run, "inline");
    run->program = program_create(&run->session, instance_graph(run->instance), run->requests,
                                  run->entry_count + 1, true);
    if (!run->program || !program_memory(&run->session, run->program, &run->memory))
        model_fail(run, "it does not compile");
}

void model_close(struct model_run *run) {
    memory_destroy(&run->memory);
    program_destroy(&run->session, run->program);
    weft_pool_destroy(run->session.pool);
    arena_destroy(run->session.arena);
}

/* ---- calls ---- */

static uint32_t next_random(uint32_t *seed) {
    return (*seed = *seed * 1664525u + 1013904223u) >> 8;
}

static unsigned char *block(struct arena *arena, size_t size) {
    unsigned char *bytes = arena_alloc(arena, size + 64);
    return bytes + (64 - (uintptr_t)bytes % 64) % 64;
}

static void fill_input(struct arena *arena, const struct type *type, struct range range, unsigned char *bytes,
                       uint32_t *seed) {
    struct tensor *tensor = tensor_create(arena, type);
    for (int64_t i = 0; i < type_elements(type); i++) {
        double x = range.lo + (range.end - range.lo) * (next_random(seed) * 0x1p-24);
        if (dtype_is_float(type->dtype))
            tensor->f[i] = x;
        else
            tensor->i[i] = (int64_t)floor(x);
    }
    tensor_to_bytes(tensor, bytes);
}

struct model_call *model_call_create(struct model_run *run, int entry, uint32_t seed) {
    struct arena *arena = run->session.arena;
    struct model_call *call = ARENA_NEW(arena, struct model_call);
    *call = (struct model_call){.run = run, .entry = &run->program->entries[entry]};
    const struct function_plan *plan = call->entry->plan;
    call->args = ARENA_ARRAY(arena, unsigned char *, plan->arguments.count);
    call->args[0] = run->memory.weights;
    call->args[1] = run->memory.state;
    for (int i = 2; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        call->args[i] = block(arena, (size_t)type_bytes(a->type));
        if (a->role == WEFT_INPUT || a->role == WEFT_SEED)
            fill_input(arena, a->type, model_range(run->size, a->name, a->type), call->args[i], &seed);
    }
    return call;
}

static bool is_output(const struct plan_argument *a) {
    return a->role == WEFT_RESULT || a->role == WEFT_REPORT;
}

void model_call_run(struct model_call *call, const weft_exec *exec) {
    const struct function_plan *plan = call->entry->plan;
    size_t size = call->entry->workspace_bytes;
    unsigned char *workspace = aligned_alloc(64, (size + 127) / 64 * 64);
    memset(workspace, 0xff, size);
    for (int i = 2; i < plan->arguments.count; i++)
        if (is_output(&plan->arguments.at[i]))
            memset(call->args[i], 0xff, (size_t)type_bytes(plan->arguments.at[i].type));
    int code = call->entry->call((void *const *)call->args, workspace, exec);
    free(workspace);
    if (code != WEFT_OK)
        fail_msg("%s:%s gives the code %d", call->run->size->name, call->entry->name, code);
}

struct snapshot model_snapshot(const struct model_call *call) {
    const struct memory *memory = &call->run->memory;
    const struct function_plan *plan = call->entry->plan;
    struct snapshot s = {.size = memory->weights_bytes + memory->state_bytes};
    for (int i = 2; i < plan->arguments.count; i++)
        s.size += is_output(&plan->arguments.at[i]) ? (size_t)type_bytes(plan->arguments.at[i].type) : 0;
    s.bytes = arena_alloc(call->run->session.arena, s.size);
    unsigned char *at = s.bytes;
    memcpy(at, memory->weights, memory->weights_bytes);
    memcpy(at += memory->weights_bytes, memory->state, memory->state_bytes);
    at += memory->state_bytes;
    for (int i = 2; i < plan->arguments.count; i++)
        if (is_output(&plan->arguments.at[i])) {
            memcpy(at, call->args[i], (size_t)type_bytes(plan->arguments.at[i].type));
            at += type_bytes(plan->arguments.at[i].type);
        }
    return s;
}

bool snapshot_equal(const struct snapshot *a, const struct snapshot *b) {
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

void model_restore(struct model_call *call, const struct snapshot *s) {
    struct memory *memory = &call->run->memory;
    memcpy(memory->weights, s->bytes, memory->weights_bytes);
    memcpy(memory->state, s->bytes + memory->weights_bytes, memory->state_bytes);
}

/* ---- states ---- */

struct tensor *state_tensor(const struct model_run *run, const struct state *state) {
    /* the plan knows the states of the program's graph, which are those of every copy in the same order */
    return tensor_from_bytes(run->session.arena, state->type,
                             memory_of_state(&run->memory, run->program->plan, state));
}

static bool is_zero(const struct tensor *t) {
    int64_t n = type_elements(t->type);
    for (int64_t i = 0; i < n; i++)
        if (t->f[i] != 0)
            return false;
    return true;
}

void model_start(struct model_run *run) {
    struct model_call *init = model_call_create(run, run->entry_count, 5);
    uint32_t seed = 17;
    model_call_run(init, NULL);
    for (int i = 0; i < run->program->graph->states.count; i++) {
        const struct state *state = run->program->graph->states.at[i];
        struct tensor *value = state_tensor(run, state);
        if (state->kind != STATE_WEIGHT || !is_zero(value))
            continue;
        int64_t n = type_elements(value->type);
        for (int64_t k = 0; k < n; k++)
            value->f[k] = 0.1 * (next_random(&seed) * 0x1p-23 - 1);
        tensor_to_bytes(value, memory_of_state(&run->memory, run->program->plan, state));
    }
}

struct eval *model_eval(struct model_run *run, struct graph *graph, enum eval_mode mode) {
    struct eval *eval = eval_create(run->session.arena, graph, mode, run->session.diags);
    for (int i = 0; i < graph->states.count; i++)
        eval_set_state(eval, graph->states.at[i], state_tensor(run, graph->states.at[i]));
    return eval;
}
