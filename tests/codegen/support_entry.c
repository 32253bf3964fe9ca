#include "support_entry.h"

#include "ir/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- compiling ---- */

static void fail_with(struct entry_run *run, const char *text) {
    struct strbuf out;
    strbuf_init(&out, run->arena);
    diags_render(run->diags, &out, false);
    fputs(text, stderr);
    fail_msg("%s", out.text);
}

struct entry_run *entry_run_compile(const char *text, const struct codegen_options *options) {
    struct arena *arena = arena_create();
    struct entry_run *run = ARENA_NEW(arena, struct entry_run);
    run->arena = arena;
    run->scratch = arena_create();
    run->diags = diags_create(arena);
    const struct source *source = source_create(arena, "test", text, strlen(text));
    run->graph = graph_parse(arena, types_create(arena), interner_create(arena), source, run->diags);
    if (!run->graph)
        fail_with(run, text);
    run->plan = plan_create(arena, run->graph);
    for (int i = 0; i < run->graph->functions.count; i++) {
        struct function *f = run->graph->functions.at[i];
        schedule_function(run->graph, f, run->scratch);
        plan_memory_function(alias_function(run->graph, f, run->plan, run->scratch), run->scratch);
        arena_reset(run->scratch);
    }
    run->compiled = weft_codegen.compile(run->graph, run->graph->functions.at, run->graph->functions.count,
                                         run->plan, options, arena, run->diags);
    if (!run->compiled)
        fail_with(run, text);
    return run;
}

struct entry_run *entry_run_create(const char *text, const struct codegen_options *options) {
    struct entry_run *run = entry_run_compile(text, options);
    if (!(run->loaded = weft_codegen.load(run->compiled, run->diags)))
        fail_with(run, text);
    return run;
}

void entry_run_destroy(struct entry_run *run) {
    weft_codegen.unload(run->loaded);
    arena_destroy(run->scratch);
    arena_destroy(run->arena);
}

/* ---- memory ---- */

static unsigned char *block(struct arena *arena, size_t size) {
    unsigned char *bytes = arena_alloc(arena, size + 64);
    return bytes + (64 - (uintptr_t)bytes % 64) % 64;
}

static void fill(struct arena *arena, const struct type *type, unsigned char *bytes, uint32_t *seed) {
    struct tensor *tensor = tensor_create(arena, type);
    for (int64_t i = 0; i < type_elements(type); i++) {
        *seed = *seed * 1664525u + 1013904223u;
        if (dtype_is_float(type->dtype))
            tensor->f[i] = (double)((int)(*seed >> 20) - 2048) / 1024;
        else
            tensor->i[i] = type->dtype == DTYPE_bool ? *seed >> 31 : *seed >> 29;
    }
    tensor_to_bytes(tensor, bytes);
}

static unsigned char *state_bytes(const struct entry_run *run, const struct call_memory *m,
                                  const struct state *state) {
    return (state->kind == STATE_WEIGHT ? m->weights : m->state) + run->plan->state_offset[state->index];
}

struct call_memory *call_memory_create(struct entry_run *run, const char *function, int width,
                                       uint32_t seed) {
    struct call_memory *m = ARENA_NEW(run->arena, struct call_memory);
    m->plan = plan_of(run->plan, graph_find_function(run->graph, function));
    size_t weights = weft_codegen.weights_bytes(run->compiled);
    m->weights = block(run->arena, weights);
    memset(m->weights, 0xc3, weights);
    m->state = block(run->arena, (size_t)run->plan->state_bytes);
    size_t size = weft_codegen.workspace(run->compiled, function, width);
    m->workspace = block(run->arena, size);
    memset(m->workspace, 0xc3, size); /* NaNs: what is read before it is written shows */
    for (int i = 0; i < run->graph->states.count; i++)
        fill(run->arena, run->graph->states.at[i]->type, state_bytes(run, m, run->graph->states.at[i]),
             &seed);
    m->args = ARENA_ARRAY(run->arena, unsigned char *, m->plan->arguments.count);
    m->args[0] = m->weights;
    m->args[1] = m->state;
    for (int i = 2; i < m->plan->arguments.count; i++) {
        const struct plan_argument *arg = &m->plan->arguments.at[i];
        /* a caller's memory is aligned as its elements are, no more */
        m->args[i] = block(run->arena, (size_t)type_bytes(arg->type) + 8) + dtype_bytes(arg->type->dtype);
        memset(m->args[i], 0xa5, (size_t)type_bytes(arg->type));
        if (arg->role == WEFT_INPUT || arg->role == WEFT_SEED)
            fill(run->arena, arg->type, m->args[i], &seed);
    }
    return m;
}

int call_entry(struct entry_run *run, weft_call *call, struct call_memory *m, const weft_exec *exec) {
    (void)run;
    assert_non_null(call);
    return call((void *const *)m->args, m->workspace, exec);
}

/* ---- comparing ---- */

static void expect_tensor(struct entry_run *run, const struct tensor *wanted, const unsigned char *bytes,
                          const char *name, double tolerance) {
    struct strbuf why;
    strbuf_init(&why, run->arena);
    if (!compare_tensors(tensor_from_bytes(run->arena, wanted->type, bytes), wanted, tolerance, &why)) {
        graph_print(run->graph, &why);
        plan_print(run->plan, &why);
        fputs(why.text, stderr);
        fail_msg("%s differs from the evaluator's", name);
    }
}

void expect_evaluated(struct entry_run *run, const struct call_memory *before,
                      const struct call_memory *after, double tolerance) {
    struct tensor *inputs[16], *results[16], *reports[16] = {0};
    int input = 0, result = 0, report = 0;
    struct eval *eval =
        eval_create(run->arena, run->graph, tolerance > 0 ? EVAL_F64 : EVAL_EXACT, run->diags);
    for (int i = 0; i < run->graph->states.count; i++) {
        const struct state *s = run->graph->states.at[i];
        eval_set_state(eval, s, tensor_from_bytes(run->arena, s->type, state_bytes(run, before, s)));
    }
    for (int i = 2; i < before->plan->arguments.count; i++) {
        const struct plan_argument *arg = &before->plan->arguments.at[i];
        if (arg->role == WEFT_INPUT || arg->role == WEFT_SEED)
            inputs[input++] = tensor_from_bytes(run->arena, arg->type, before->args[i]);
    }
    assert_true(eval_function(eval, before->plan->function, inputs, input, results, reports));
    for (int i = 2; i < after->plan->arguments.count; i++) {
        const struct plan_argument *arg = &after->plan->arguments.at[i];
        if (arg->role == WEFT_RESULT)
            expect_tensor(run, results[result++], after->args[i], arg->name, tolerance);
        if (arg->role == WEFT_REPORT && reports[report++])
            expect_tensor(run, reports[report - 1], after->args[i], arg->name, tolerance);
    }
    for (int i = 0; i < run->graph->states.count; i++) {
        const struct state *s = run->graph->states.at[i];
        expect_tensor(run, eval_state(eval, s), state_bytes(run, after, s), s->name, tolerance);
    }
}

void expect_same(struct entry_run *run, const struct call_memory *a, const struct call_memory *b) {
    assert_memory_equal(a->weights, b->weights, (size_t)run->plan->weights_bytes);
    assert_memory_equal(a->state, b->state, (size_t)run->plan->state_bytes);
    for (int i = 2; i < a->plan->arguments.count; i++)
        assert_memory_equal(a->args[i], b->args[i], (size_t)type_bytes(a->plan->arguments.at[i].type));
}

/* ---- two threads ---- */

struct team {
    weft_body *body;
    void *data;
    int64_t tasks;
    atomic_long next;
    atomic_int worker;
};

static void *work(void *data) {
    struct team *team = data;
    int worker = atomic_fetch_add(&team->worker, 1);
    for (int64_t task; (task = atomic_fetch_add(&team->next, 1)) < team->tasks;)
        team->body(team->data, task, worker);
    return NULL;
}

static void parallel_for(void *context, weft_body *body, void *data, int64_t tasks) {
    (void)context;
    struct team team = {.body = body, .data = data, .tasks = tasks};
    pthread_t other;
    bool started = pthread_create(&other, NULL, work, &team) == 0;
    work(&team);
    if (started)
        pthread_join(other, NULL);
}

const weft_exec two_threads = {.width = 2, .parallel_for = parallel_for};

/* ---- objects ---- */

void write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void *object_open(struct entry_run *run, const char *prefix, const char *folder) {
    size_t size;
    const void *object =
        weft_codegen.object(run->compiled, prefix, (struct held_blocks){0}, &size, run->diags);
    if (!object)
        fail_with(run, prefix);
    const char *path = arena_printf(run->arena, "%s/%s", folder, prefix);
    write_file(arena_printf(run->arena, "%s.o", path), object, size);
    const char *link = arena_printf(run->arena, "cc -shared -Wl,-z,defs -o %s.so %s.o -lm", path,
                                    path); /* nothing but libc, libm */
    assert_int_equal(system(link), 0);
    void *library = dlopen(arena_printf(run->arena, "%s.so", path), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    return library;
}
