/* Random functions through passes, fusion and code generator, against the evaluator: every operator of the
 * table with random shapes, attributes, dtypes and numbers; graphs of dozens of operators. Operands lie
 * against pages that cannot be read, and cannot be written. Cases are numbered; sixteen in a row are of one
 * kind and one module. A failure prints its function, a smaller one that fails too, and how to see it again:
 *
 *   property_test --case conv --seed 123     one function (--limit N: sizes up to N; --ops N: a graph of so
 * many) property_test --case conv --long 20      many of this kind property_test --long 100                 a
 * hundred times as many of all as without property_test --seeds 5000..6000         the cases of these numbers
 */
#include "support_entry.h"
#include "support_random.h"

#include "ir/text.h"
#include "passes/pipeline.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { GRAPH_EXACT = OP_COUNT, GRAPH_SMOOTH, KINDS };

struct test_case {
    int kind; /* an opcode or one of the above */
    uint32_t seed;
    int limit, ops; /* of a smaller one: sizes, operators of a graph; 0: as it comes */
};

/* Functions that are compiled in one go. */
struct batch {
    struct arena *arena;
    struct diags *diags;
    const char *cpu;
    const struct test_case *cases;
    struct random_function *functions;
    int count;
    struct graph *plain, *graph; /* as made; compiled */
    struct plan *plan;
    struct compiled *compiled;
    struct loaded *loaded;
};

static int failures, most_failures = 8, cases_run;
static bool is_quiet, is_shrinking, shows; /* shows: each function before it is compiled */

static const char *kind_text(int kind) {
    return kind == GRAPH_EXACT ? "exact" : kind == GRAPH_SMOOTH ? "smooth" : opcode_text((enum opcode)kind);
}

/* ---- what is under way, for a crash ---- */

static char under_way[256];

static void on_crash(int signal) {
    ssize_t ignored = write(STDERR_FILENO, under_way, strlen(under_way));
    (void)ignored;
    _exit(128 + signal);
}

static void note(const struct batch *b, int first, int count, const char *what) {
    snprintf(under_way, sizeof(under_way), "\ncrashed: %s, --case %s --seed %u%s on %s\n", what,
             kind_text(b->cases[first].kind), b->cases[first].seed, count > 1 ? " and those after it" : "",
             b->cpu ? b->cpu : "native");
}

/* ---- compiling ---- */

static void run_cases(const struct test_case *cases, int count, const char *cpu);
static void shrink(const struct test_case *c, const char *cpu);

static void print_case(const struct test_case *c, const char *cpu) {
    fprintf(stderr, "\n--case %s --seed %u", kind_text(c->kind), c->seed);
    if (c->ops)
        fprintf(stderr, " --ops %d", c->ops);
    if (c->limit)
        fprintf(stderr, " --limit %d", c->limit);
    fprintf(stderr, " on %s: ", cpu ? cpu : "native");
}

static void fail_case(struct batch *b, int i, const char *why) {
    failures++;
    if (is_quiet)
        return;
    struct strbuf text;
    strbuf_init(&text, b->arena);
    const struct function *f =
        b->plain ? graph_find_function(b->plain, b->functions[i].function->name) : NULL;
    if (f)
        function_print(f, &text);
    diags_render(b->diags, &text, false);
    print_case(&b->cases[i], b->cpu);
    fprintf(stderr, "%s\n%s\n", why, text.text ? text.text : "");
    shrink(&b->cases[i], b->cpu);
    if (failures >= most_failures)
        fail_msg("%d failures", failures);
}

static int ops_of(const struct test_case *c) {
    return 5 + (int)(c->seed % 56);
}

static bool make_functions(struct batch *b) {
    b->graph = graph_create(b->arena, types_create(b->arena), interner_create(b->arena), "property");
    b->functions = ARENA_ARRAY(b->arena, struct random_function, b->count);
    for (int i = 0; i < b->count; i++) {
        const struct test_case *c = &b->cases[i];
        const char *name = arena_printf(b->arena, "f%d", i);
        note(b, i, 1, "making");
        if (c->kind < OP_COUNT)
            b->functions[i] =
                random_operator(b->graph, name, (enum opcode)c->kind, c->seed, c->limit, b->diags);
        else
            b->functions[i] = random_graph(b->graph, name, c->ops ? c->ops : ops_of(c),
                                           c->kind == GRAPH_EXACT, c->seed, c->limit, b->diags);
        if (!b->functions[i].function || diags_error_count(b->diags) > 0 ||
            !graph_verify(b->graph, b->diags, "making it")) {
            fail_case(b, i, "the generator made something wrong");
            return false;
        }
    }
    b->plain = graph_copy(b->graph, b->arena);
    if (shows && !is_quiet) {
        struct strbuf text;
        strbuf_init(&text, b->arena);
        graph_print(b->plain, &text);
        fprintf(stderr, "%s\n", text.text);
    }
    return true;
}

static bool compile(struct batch *b) {
    struct function **functions = ARENA_ARRAY(b->arena, struct function *, b->count);
    for (int i = 0; i < b->count; i++)
        functions[i] = b->functions[i].function;
    struct pass_context context = {.arena = b->arena,
                                   .diags = b->diags,
                                   .functions = functions,
                                   .function_count = b->count,
                                   .verify = true};
    const struct codegen_options options = {.workers = 1, .cpu = b->cpu};
    note(b, 0, b->count, "compiling");
    if (!pipeline_run(b->graph, &context, NULL))
        return false;
    b->plan = context.plan;
    b->compiled = weft_codegen.compile(b->graph, functions, b->count, b->plan, &options, b->arena, b->diags);
    b->loaded = b->compiled ? weft_codegen.load(b->compiled, b->diags) : NULL;
    return b->loaded != NULL;
}

/* ---- memory that ends where the tensor ends ---- */

struct fence {
    unsigned char *map, *bytes;
    size_t mapped, size;
};

static struct fence fence_create(const struct type *type) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (size_t)type_bytes(type),
           used = (size + page - 1) / page * page;
    struct fence f = {.mapped = used + page, .size = size};
    f.map = mmap(NULL, f.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(f.map != MAP_FAILED);
    f.bytes = f.map + used - size;
    memset(f.map, 0xa5, used);
    assert_int_equal(mprotect(f.map + used, page, PROT_NONE), 0);
    return f;
}

static void fence_lock(const struct fence *f) {
    if (f->mapped > (size_t)sysconf(_SC_PAGESIZE))
        assert_int_equal(mprotect(f->map, f->mapped, PROT_READ), 0);
}

static bool fence_holds(const struct fence *f) {
    for (const unsigned char *at = f->map; at < f->bytes; at++)
        if (*at != 0xa5)
            return false;
    return true;
}

/* ---- comparing ---- */

static double precision(enum dtype dtype) {
    return dtype == DTYPE_f64    ? 0x1p-52
           : dtype == DTYPE_f16  ? 0x1p-10
           : dtype == DTYPE_bf16 ? 0x1p-7
                                 : 0x1p-23;
}

/* Each element within `units` of its own last place; the smallest normal number's below that. */
static bool near_each(const struct tensor *got, const struct tensor *wanted, double units,
                      struct strbuf *why) {
    enum dtype dtype = got->type->dtype;
    double floor = dtype == DTYPE_f64 ? 0x1p-1022 : dtype == DTYPE_f16 ? 0x1p-14 : 0x1p-126;
    for (int64_t i = 0; i < type_elements(got->type); i++) {
        double a = got->f[i], b = wanted->f[i], unit = precision(dtype) * fmax(fabs(b), floor);
        if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= units * unit)
            continue;
        strbuf_printf(why, "element %lld is %.9g for %.9g, %.3g units", (long long)i, a, b,
                      fabs(a - b) / unit);
        return false;
    }
    return true;
}

static double summed_tolerance(enum dtype dtype) {
    return dtype_is_float(dtype) ? fmax(dtype == DTYPE_f64 ? 1e-13 : 1e-5, 4 * precision(dtype)) : 0;
}

/* One result as the evaluator has it: rounded to the dtype at every operator; in f64; and in f64 from inputs
 * that are moved by half a unit of f32. The last two of smooth functions alone. */
struct oracle {
    const struct tensor *exact, *f64, *moved;
};

/* What rounding may do is seen from what it does to the evaluator, and from what a change of the inputs does.
 */
static bool near_smooth(const struct tensor *got, const struct oracle *o, struct strbuf *why) {
    double tolerance = 1e-4;
    while (tolerance < 1 && !(compare_tensors(o->exact, o->f64, tolerance / 16, NULL) &&
                              compare_tensors(o->moved, o->f64, tolerance / 16, NULL)))
        tolerance *= 2;
    return tolerance >= 1 || compare_tensors(got, o->f64, tolerance, why);
}

static bool is_near(enum exactness exactness, const struct tensor *got, const struct oracle *o,
                    struct strbuf *why) {
    enum dtype dtype = got->type->dtype;
    if (!dtype_is_float(dtype) || exactness == EXACT)
        return compare_tensors(got, o->exact, 0, why);
    if (exactness == ROUNDED)
        return near_each(got, o->exact, dtype == DTYPE_f32 || dtype == DTYPE_f64 ? 4 : 1, why);
    if (exactness == SUMMED)
        return compare_tensors(got, o->exact, summed_tolerance(dtype), why);
    return near_smooth(got, o, why);
}

/* ---- one function ---- */

enum { VALUES_MOST = 64 };
struct call {
    const struct function_plan *plan;
    unsigned char *blocks[2], *before[2]; /* weights and state */
    size_t sizes[2];
    struct fence fences[VALUES_MOST];
    void *args[VALUES_MOST];
    struct tensor *inputs[VALUES_MOST], *exact[VALUES_MOST], *f64[VALUES_MOST], *moved[VALUES_MOST];
    int input_count;
};

static unsigned char *state_at(const struct batch *b, unsigned char *const *blocks,
                               const struct state *state) {
    return blocks[state->kind != STATE_WEIGHT] + b->plan->state_offset[state->index];
}

static void prepare_states(struct batch *b, int i, struct call *c) {
    c->sizes[0] = (size_t)b->plan->weights_bytes;
    c->sizes[1] = (size_t)b->plan->state_bytes;
    for (int k = 0; k < 2; k++) {
        uintptr_t at = (uintptr_t)arena_alloc(b->arena, c->sizes[k] + 64);
        c->args[k] = c->blocks[k] = (unsigned char *)((at + 63) & ~(uintptr_t)63);
    }
    for (int k = 0; k < b->graph->states.count; k++) {
        const struct state *state = b->graph->states.at[k];
        struct tensor *t = tensor_create(b->arena, state->type);
        const struct random_input grid = {FILL_GRID, 0, 0};
        random_fill(&grid, b->cases[i].seed + 501 * (uint32_t)k, t);
        tensor_to_bytes(t, state_at(b, c->blocks, state));
    }
    for (int k = 0; k < 2; k++)
        c->before[k] = arena_memdup(b->arena, c->blocks[k], c->sizes[k]);
}

static void prepare(struct batch *b, int i, struct call *c) {
    const struct random_function *f = &b->functions[i];
    c->plan = plan_of(b->plan, f->function);
    prepare_states(b, i, c);
    assert_true(c->plan->arguments.count < VALUES_MOST);
    for (int k = 2; k < c->plan->arguments.count; k++) {
        const struct plan_argument *a = &c->plan->arguments.at[k];
        c->fences[k] = fence_create(a->type);
        c->args[k] = c->fences[k].bytes;
        if (a->role != WEFT_INPUT)
            continue;
        struct tensor *t = c->inputs[c->input_count] = tensor_create(b->arena, a->type);
        random_fill(&f->inputs[c->input_count], b->cases[i].seed + 77 * (uint32_t)k, t);
        c->input_count++;
        tensor_to_bytes(t, c->args[k]);
        fence_lock(&c->fences[k]);
    }
}

/* The results, and behind them all states. */
static bool evaluate(struct batch *b, int i, enum eval_mode mode, struct call *c, struct tensor **results) {
    struct eval *eval = eval_create(b->arena, b->plain, mode, b->diags);
    const struct function *f = graph_find_function(b->plain, b->functions[i].function->name);
    int count = block_yield(f->body)->in_count;
    for (int k = 0; k < b->plain->states.count; k++) {
        const struct state *state = b->plain->states.at[k];
        eval_set_state(eval, state, tensor_from_bytes(b->arena, state->type, state_at(b, c->before, state)));
    }
    if (!eval_function(eval, f, c->inputs, c->input_count, results, NULL))
        return false;
    for (int k = 0; k < b->plain->states.count; k++)
        results[count++] = eval_state(eval, b->plain->states.at[k]);
    return true;
}

static void move_inputs(struct call *c) {
    uint32_t seed = 1;
    for (int i = 0; i < c->input_count; i++)
        for (int64_t k = 0;
             dtype_is_float(c->inputs[i]->type->dtype) && k < type_elements(c->inputs[i]->type); k++) {
            seed = seed * 1664525u + 1013904223u;
            c->inputs[i]->f[k] *= 1 + (seed >> 31 ? 0x1p-24 : -0x1p-24);
        }
}

/* false: it refuses. */
static bool evaluate_all(struct batch *b, int i, struct call *c) {
    if (!evaluate(b, i, EVAL_EXACT, c, c->exact))
        return false;
    if (b->functions[i].exactness != SMOOTH)
        return true;
    bool ok = evaluate(b, i, EVAL_F64, c, c->f64);
    move_inputs(c);
    return ok && evaluate(b, i, EVAL_F64, c, c->moved);
}

static bool compare_one(struct batch *b, int i, const struct call *c, int result, const struct type *type,
                        const void *bytes) {
    struct strbuf why;
    strbuf_init(&why, b->arena);
    strbuf_printf(&why, "result %d: ", result);
    const struct oracle oracle = {c->exact[result], c->f64[result], c->moved[result]};
    if (is_near(b->functions[i].exactness, tensor_from_bytes(b->arena, type, bytes), &oracle, &why))
        return true;
    fail_case(b, i, why.text);
    return false;
}

static void compare(struct batch *b, int i, struct call *c) {
    int result = 0;
    bool good = true;
    for (int k = 2; good && k < c->plan->arguments.count; k++) {
        const struct plan_argument *a = &c->plan->arguments.at[k];
        if (a->role != WEFT_RESULT)
            continue;
        good = compare_one(b, i, c, result++, a->type, c->args[k]);
        if (good && !fence_holds(&c->fences[k])) {
            fail_case(b, i, "memory in front of a result was written");
            return;
        }
    }
    for (int k = 0; good && k < b->graph->states.count; k++) {
        const struct state *state = b->graph->states.at[k];
        good = compare_one(b, i, c, result++, state->type, state_at(b, c->blocks, state));
    }
}

/* The same bits on two threads. */
static void call_twice(struct batch *b, int i, struct call *c) {
    const char *name = b->functions[i].function->name;
    weft_call *call = weft_codegen.entry(b->loaded, name);
    size_t size = weft_codegen.workspace(b->compiled, name, 2);
    void *workspace = aligned_alloc(64, (size + 127) / 64 * 64);
    unsigned char *first[VALUES_MOST] = {0};
    for (int turn = 0; turn < 2; turn++) {
        memset(workspace, 0xff, size);
        for (int k = 0; k < 2; k++)
            memcpy(c->blocks[k], c->before[k], c->sizes[k]);
        if (call(c->args, workspace, turn ? &two_threads : NULL) != WEFT_OK)
            fail_case(b, i, "the entry gives an error code");
        for (int k = 0; k < c->plan->arguments.count; k++) {
            bool is_output = k < 2 || c->plan->arguments.at[k].role == WEFT_RESULT;
            size_t bytes = k < 2 ? c->sizes[k] : c->fences[k].size;
            if (is_output && turn == 0)
                first[k] = arena_memdup(b->arena, c->args[k], bytes);
            else if (is_output && memcmp(first[k], c->args[k], bytes) != 0)
                fail_case(b, i, "other bits on two threads");
        }
    }
    free(workspace);
}

static void check(struct batch *b, int i) {
    struct call c = {0};
    note(b, i, 1, "running");
    prepare(b, i, &c);
    if (!evaluate_all(b, i, &c)) {
        fail_case(b, i, "the evaluator refuses");
    } else {
        call_twice(b, i, &c);
        compare(b, i, &c);
    }
    for (int k = 2; k < c.plan->arguments.count; k++)
        munmap(c.fences[k].map, c.fences[k].mapped);
    cases_run++;
}

/* ---- batches ---- */

static void run_cases(const struct test_case *cases, int count, const char *cpu) {
    struct arena *arena = arena_create();
    struct batch b = {
        .arena = arena, .diags = diags_create(arena), .cpu = cpu, .cases = cases, .count = count};
    if (make_functions(&b)) {
        if (compile(&b))
            for (int i = 0; i < count; i++)
                check(&b, i);
        else if (count == 1)
            fail_case(&b, 0, "it does not compile");
        else /* which of them? */
            for (int i = 0; i < count; i++)
                run_cases(cases + i, 1, cpu);
    }
    if (b.loaded)
        weft_codegen.unload(b.loaded);
    arena_destroy(arena);
}

/* ---- smaller cases ---- */

/* In a process of its own: it may crash. */
static bool fails(const struct test_case *c, const char *cpu) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        is_quiet = true;
        if (!freopen("/dev/null", "w", stderr))
            _exit(0);
        failures = 0;
        run_cases(c, 1, cpu);
        _exit(failures > 0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return false;
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* The least of these values of one field with which it still fails: a generator makes the same choices then.
 */
static bool lower(struct test_case *c, int *field, int below, const char *cpu) {
    static const int values[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48};
    int before = *field;
    for (size_t i = 0; i < sizeof values / sizeof *values && values[i] < below; i++) {
        *field = values[i];
        if (fails(c, cpu))
            return true;
    }
    *field = before;
    return false;
}

static void shrink(const struct test_case *c, const char *cpu) {
    if (is_shrinking)
        return;
    is_shrinking = true;
    int before = failures;
    struct test_case smaller = *c;
    bool is_graph = c->kind >= OP_COUNT, found = false;
    if (is_graph)
        found |= lower(&smaller, &smaller.ops, c->ops ? c->ops : ops_of(c), cpu);
    found |= lower(&smaller, &smaller.limit, c->limit ? c->limit : 64, cpu);
    if (found) {
        fprintf(stderr, "smaller:\n");
        run_cases(&smaller, 1, cpu);
    }
    failures = before; /* it is the same one */
    is_shrinking = false;
}

/* ---- graphs that were wrong once: exact on grids ---- */

static const char *const texts[] = {
    /* a reduction's axis across another shape's cut: 36 does not divide 198 */
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : f32[6,198]\n"
    "  %1 = reshape(%0) : f32[1188]\n"
    "  %2 = reshape(%1) : f32[33,6,6]\n"
    "  %3 = reduce(%2) {axes = [0], kind = \"sum\"} : f32[6,6]\n"
    "  yield(%3)\n"
    "}\n",
    /* one value in two places of a routine */
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : f32[8,8]\n"
    "  %1 = input {name = \"u\"} : f32[3,2]\n"
    "  %2 = input {name = \"i\"} : i32[]\n"
    "  %3 = dynamic_update(%0, %1, %2, %2) : f32[8,8]\n"
    "  yield(%3)\n"
    "}\n",
    /* index arithmetic of 32 bits as a 64-bit result, and beside 64-bit data */
    "fn f(a, b) {\n"
    "  %0 = iota {axis = 1} : i64[3,40]\n"
    "  %1 = input {name = \"x\"} : i64[20,32]\n"
    "  %2 = pad(%1) {lo = [0, 0], hi = [0, -1], interior = [1, 2], value = 1} : i64[39,93]\n"
    "  yield(%0, %2)\n"
    "}\n",
    /* half a vector under a uniform mask, up to the end of memory */
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : i64[20,12,4]\n"
    "  %1 = input {name = \"at\"} : i32[1,64]\n"
    "  %2 = input {name = \"u\"} : i64[20,1,64,4]\n"
    "  %3 = const {data = 12} : i32[]\n"
    "  %4 = mod(%1, %3) : i32[1,64]\n"
    "  %5 = scatter(%0, %4, %2) {axis = 1, kind = \"add\", batch = 0} : i64[20,12,4]\n"
    "  yield(%5)\n"
    "}\n",
    /* a tap that sees nothing but padding */
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : f32[1,24,1,13]\n"
    "  %1 = input {name = \"dy\"} : f32[1,32,1,5]\n"
    "  %2 = conv_wgrad(%0, %1) {dilation = [2, 1], stride = [3, 3], pad_lo = [1, 2], pad_hi = [1, 2], "
    "lhs_dilation = [1, 1], groups = 1} : f32[32,24,1,5]\n"
    "  yield(%2)\n"
    "}\n",
    /* a row of padding alone, of which it is known where it lies between the spread ones */
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : bf16[3,2,1,15]\n"
    "  %1 = input {name = \"dy\"} : bf16[3,4,1,14]\n"
    "  %2 = conv_wgrad(%0, %1) {dilation = [1, 1], stride = [1, 2], pad_lo = [0, 2], pad_hi = [0, 0], "
    "lhs_dilation = [2, 2], groups = 2} : bf16[4,1,1,4]\n"
    "  yield(%2)\n"
    "}\n",
    /* rows of 16 bits are added up in 32 */
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : bf16[16]\n"
    "  %1 = input {name = \"at\"} : i32[24,40]\n"
    "  %2 = input {name = \"u\"} : bf16[24,40]\n"
    "  %3 = const {data = 16} : i32[]\n"
    "  %4 = mod(%1, %3) : i32[24,40]\n"
    "  %5 = scatter(%0, %4, %2) {axis = 0, kind = \"add\", batch = 0} : bf16[16]\n"
    "  yield(%5)\n"
    "}\n",
    /* lanes of an `or` begin with false */
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : f32[]\n"
    "  %1 = const {data = 100} : f32[]\n"
    "  %2 = lt(%1, %0) : bool[]\n"
    "  %3 = broadcast(%2) {axes = []} : bool[17]\n"
    "  %4 = reduce(%3) {axes = [0], kind = \"max\"} : bool[]\n"
    "  yield(%4)\n"
    "}\n",
    /* a little more than half way between two numbers of bf16, and exactly half way once it is an f32 */
    "fn f(y, z) {\n"
    "  %0 = input {name = \"x\"} : f64[13]\n"
    "  %1 = const {data = 0} : f64[]\n"
    "  %2 = const {data = 1.0039062500000002} : f64[]\n"
    "  %3 = mul(%0, %1) : f64[13]\n"
    "  %4 = add(%3, %2) : f64[13]\n"
    "  %5 = cast(%4) : bf16[13]\n"
    "  %6 = input {name = \"i\"} : i32[13]\n"
    "  %7 = const {data = 16842753} : i32[]\n"
    "  %8 = const {data = 0} : i32[]\n"
    "  %9 = and(%6, %8) : i32[13]\n"
    "  %10 = add(%9, %7) : i32[13]\n"
    "  %11 = cast(%10) : bf16[13]\n"
    "  yield(%5, %11)\n"
    "}\n",
};

static void graphs_that_were_wrong_once(void **state) {
    (void)state;
    failures = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct arena *arena = arena_create();
        const struct test_case none = {.kind = OP_input};
        struct batch b = {.arena = arena, .diags = diags_create(arena), .cases = &none, .count = 1};
        const char *text = arena_printf(arena, "graph g\n%s", texts[i]);
        const struct source *source = source_create(arena, "text", text, strlen(text));
        b.graph = graph_parse(arena, types_create(arena), interner_create(arena), source, b.diags);
        assert_non_null(b.graph);
        b.plain = graph_copy(b.graph, arena);
        struct random_input inputs[8] = {0}; /* FILL_GRID */
        struct random_function function = {b.graph->functions.at[0], inputs, EXACT};
        b.functions = &function;
        assert_true(compile(&b));
        check(&b, 0);
        weft_codegen.unload(b.loaded);
        arena_destroy(arena);
    }
    assert_int_equal(failures, 0);
}

/* Every kind of vector unit that this machine has. */
static const char *cpu_of(int batch) {
    static const char *const cpus[] = {NULL, "x86-64-v3", NULL, "x86-64"};
    const char *cpu = cpus[batch % 4];
#ifdef __x86_64__
    return cpu && strcmp(cpu, "x86-64-v3") == 0 && !__builtin_cpu_supports("avx2") ? NULL : cpu;
#else
    (void)cpu;
    return NULL;
#endif
}

static int times = 1;

static void run_kind(int kind, int count, int batch_size) {
    struct test_case cases[64];
    count *= times;
    for (int done = 0, batch = kind; done < count; done += batch_size, batch++) {
        int n = count - done < batch_size ? count - done : batch_size;
        for (int i = 0; i < n; i++)
            cases[i] =
                (struct test_case){.kind = kind, .seed = (uint32_t)(kind * 100003 + (done + i) * 7919 + 1)};
        run_cases(cases, n, cpu_of(batch));
    }
}

static void every_operator_has_cases(void **state) {
    (void)state;
    for (int code = 0; code < OP_COUNT; code++)
        if (*op_infos[code].example)
            assert_true(random_knows((enum opcode)code));
}

/* ---- numbered cases ---- */

enum {
    MODULE = 16,        /* cases of one kind that are compiled in one go, */
    GRAPHS_A_MODULE = 4 /* and of graphs */
};

/* Kinds take turns, graphs as often as eight operators. */
static int kind_of(int module) {
    int kinds[OP_COUNT + 16], count = 0;
    for (int code = 0; code < OP_COUNT; code++)
        if (random_knows((enum opcode)code))
            kinds[count++] = code;
    for (int i = 0; i < 8; i++)
        kinds[count++] = i % 2 ? GRAPH_SMOOTH : GRAPH_EXACT;
    return kinds[module % count];
}

static struct test_case case_of(int number) {
    uint32_t seed = ((uint32_t)number + 1) * 2654435761u;
    return (struct test_case){.kind = kind_of(number / MODULE), .seed = (seed ^ seed >> 15) | 1};
}

/* The vector units take turns with the rounds through all kinds, and within one. */
static void run_numbers(int first, int end, bool tells) {
    struct test_case cases[MODULE];
    for (int at = first, next; at < end; at = next) {
        int module = at / MODULE, most = kind_of(module) >= OP_COUNT ? GRAPHS_A_MODULE : MODULE;
        next = at + most - at % most;
        next = next < end ? next : end;
        for (int i = at; i < next; i++)
            cases[i - at] = case_of(i);
        run_cases(cases, next - at, cpu_of(module + module / 64));
        if (tells && next / 4096 != at / 4096)
            fprintf(stderr, "%d of %d..%d, %d failures\n", next, first, end, failures);
    }
}

enum { NUMBERS_A_TURN = 2048 };

static void functions_are_what_the_evaluator_says(void **state) {
    (void)state;
    failures = 0;
    run_numbers(0, NUMBERS_A_TURN * times, times > 1);
    assert_int_equal(failures, 0);
}

static int find_kind(const char *text) {
    int kind = 0;
    while (kind < KINDS && strcmp(text, kind_text(kind)) != 0)
        kind++;
    return kind;
}

/* One function on every vector unit, or without a seed many of a kind. */
static int run_some(int kind, const struct test_case *like) {
    const struct test_case one = {kind, like->seed, like->limit, like->ops};
    uint32_t seed = one.seed;
    if (kind == KINDS || (kind < OP_COUNT && !random_knows((enum opcode)kind)))
        return fprintf(stderr, "no such case\n"), 2;
    if (!seed)
        run_kind(kind, 32, 8);
    for (int cpu = 0; seed && cpu < 4; cpu += cpu ? 2 : 1)
        run_cases(&one, 1, cpu_of(cpu));
    printf("%d functions, %d failures\n", cases_run, failures);
    return failures > 0;
}

int main(int argc, char **argv) {
    const char *kind = NULL;
    struct test_case one = {0};
    int first = 0, end = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (strcmp(name, "--case") == 0)
            kind = value;
        if (strcmp(name, "--seed") == 0)
            one.seed = (uint32_t)strtoul(value, NULL, 10);
        if (strcmp(name, "--limit") == 0)
            one.limit = atoi(value);
        if (strcmp(name, "--ops") == 0)
            one.ops = atoi(value);
        if (strcmp(name, "--long") == 0)
            times = atoi(value);
        if (strcmp(name, "--seeds") == 0 && sscanf(value, "%d..%d", &first, &end) != 2)
            return fprintf(stderr, "--seeds wants A..B\n"), 2;
        if (strcmp(name, "--show") == 0) /* 1: print each function */
            shows = atoi(value) > 0;
        if (strcmp(name, "--failures") == 0) /* after how many it stops; 8 */
            most_failures = atoi(value);
    }
    signal(SIGFPE, on_crash);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    signal(SIGILL, on_crash);
    signal(SIGABRT, on_crash);
    if (kind)
        return run_some(find_kind(kind), &one);
    if (end > first) {
        run_numbers(first, end, true);
        printf("%d functions, %d failures\n", cases_run, failures);
        return failures > 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_has_cases),
        cmocka_unit_test(graphs_that_were_wrong_once),
        cmocka_unit_test(functions_are_what_the_evaluator_says),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%d functions\n", cases_run);
    return failed;
}
