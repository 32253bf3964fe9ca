#include "support_batch.h"
#include "support_gradients.h"
#include "support_maker.h"

#include "ir/gradient.h"
#include "ir/text.h"
#include "passes/passes.h"

#include "support_maker.h"
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

struct snapshot {
    const char *pass;
    struct graph *graph;
};

/* Functions that are compiled in one go. */
struct batch {
    struct arena *arena;
    struct diags *diags;
    const char *cpu;
    const struct test_case *cases;
    struct random_function *functions;
    struct derivatives *derivatives; /* of those with gradients */
    int count;
    struct graph *plain, *graph;    /* with its gradients opened; compiled */
    VEC(struct snapshot) snapshots; /* of plain after some passes */
    struct plan *plan;
    struct compiled *compiled;
    struct loaded *loaded;
};

struct batch_total batch_total = {.most_failures = 8};
static bool is_quiet, is_shrinking;

/* ---- kinds ---- */

static const char *const graph_names[] = {"exact", "smooth", "sixteen"};

static bool is_graph(int kind) {
    return kind % GRADIENTS >= OP_COUNT;
}

const char *kind_text(int kind) {
    static char text[64];
    int plain = kind % GRADIENTS;
    snprintf(text, sizeof(text), "%s%s", kind >= GRADIENTS ? "gradients-" : "",
             is_graph(plain) ? graph_names[plain - OP_COUNT] : opcode_text((enum opcode)plain));
    return text;
}

bool kind_exists(int kind) {
    int plain = kind % GRADIENTS;
    if (kind < GRADIENTS)
        return is_graph(plain) || random_knows((enum opcode)plain);
    return plain == GRAPH_SMOOTH ||
           (!is_graph(plain) && random_knows((enum opcode)plain) && gradient_passes((enum opcode)plain));
}

int kind_find(const char *text) {
    int kind = 0;
    while (kind < KINDS && !(kind_exists(kind) && strcmp(text, kind_text(kind)) == 0))
        kind++;
    return kind;
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
    batch_total.failures++;
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
    if (batch_total.failures >= batch_total.most_failures)
        fail_msg("%d failures", batch_total.failures);
}

static int ops_of(const struct test_case *c) {
    return 5 + (int)(c->seed % 56);
}

/* A function of a graph has from 5 to 60 operators; with its gradients it has some ten times as many. */
static struct random_function make_function(struct batch *b, const struct test_case *c, const char *name) {
    int plain = c->kind % GRADIENTS, ops = c->ops ? c->ops : ops_of(c);
    if (!is_graph(plain))
        return random_operator(b->graph, name, (enum opcode)plain, c->seed, c->limit, b->diags);
    static const enum graph_kind kinds[] = {GRAPH_OF_EXACT, GRAPH_OF_SMOOTH, GRAPH_OF_SIXTEEN};
    enum graph_kind kind = c->kind >= GRADIENTS ? GRAPH_OF_DIFFERENTIABLE : kinds[plain - OP_COUNT];
    return random_graph(b->graph, name, ops, kind, c->seed, c->limit, b->diags);
}

static void show(struct batch *b) {
    struct strbuf text;
    strbuf_init(&text, b->arena);
    graph_print(b->plain, &text);
    fprintf(stderr, "%s\n", text.text);
}

/* plain is what the evaluator can run; attend, which comes first, is left out of it. */
static bool open_gradients(struct batch *b) {
    struct pass_context context = {.arena = b->arena, .diags = b->diags, .skipped = 1, .verify = true};
    b->plain = graph_copy(b->graph, b->arena);
    if (pipeline_run(b->plain, &context, "differentiate"))
        return true;
    fail_case(b, 0, "it is not differentiated");
    return false;
}

static bool make_functions(struct batch *b) {
    b->graph = graph_create(b->arena, types_create(b->arena), interner_create(b->arena), "property");
    b->functions = ARENA_ARRAY(b->arena, struct random_function, b->count);
    b->derivatives = ARENA_ARRAY(b->arena, struct derivatives, b->count);
    for (int i = 0; i < b->count; i++) {
        const struct test_case *c = &b->cases[i];
        struct random_function *f = &b->functions[i];
        note(b, i, 1, "making");
        *f = make_function(b, c, arena_printf(b->arena, "f%d", i));
        int plain = c->kind % GRADIENTS;
        bool divides = plain == OP_div || plain == OP_mod;
        bool ok = f->function && (c->kind < GRADIENTS ||
                                  random_gradients(b->graph, f, divides, &b->derivatives[i], b->diags));
        if (!ok || diags_error_count(b->diags) > 0 || !graph_verify(b->graph, b->diags, "making it")) {
            fail_case(b, i, "the generator made something wrong");
            return false;
        }
    }
    if (!open_gradients(b))
        return false;
    if (batch_total.shows && !is_quiet)
        show(b);
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
                                   .skipped = b->cases[0].skipped,
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

/* How often what every operator gives is moved. Of f32 once, and 32 times what that does is allowed: far
 * below what anyone minds. Of 16 bits 32 times is as much as the numbers themselves: there the greatest of
 * eight moves, of which none is small by chance, is allowed twice. */
enum { MOVES_MOST = 8 };

/* One result as the evaluator has it: rounded to the dtype at every operator; in f64; and in f64 where what
 * every operator gives is moved by half a unit of its dtype (but of f32 in f64), up or down by chance. The
 * last two of smooth functions alone. */
struct oracle {
    const struct tensor *exact, *f64, *moved[MOVES_MOST];
    int moves;
    double least,
        factor; /* what is near enough in any case, of max|b|; and how many times what rounding does */
};

static bool rounding_stays_below(const struct oracle *o, double tolerance) {
    bool below = compare_tensors(o->exact, o->f64, tolerance, NULL);
    for (int k = 0; k < o->moves; k++)
        below = below && compare_tensors(o->moved[k], o->f64, tolerance, NULL);
    return below;
}

/* What rounding may do is seen from what it does to the evaluator, which adds up in double, and from what
 * moving every number does. */
static bool near_smooth(const struct tensor *got, const struct oracle *o, struct strbuf *why) {
    double tolerance = o->least;
    while (tolerance < 1 && !rounding_stays_below(o, tolerance / o->factor))
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
    struct tensor *inputs[VALUES_MOST], *exact[VALUES_MOST], *f64[VALUES_MOST],
        *moved[MOVES_MOST][VALUES_MOST];
    int moves;
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

/* Every float by half a unit of a dtype, up or down. */
static void shake(struct tensor *t, enum dtype dtype, uint32_t *seed) {
    double half = 0.5 * precision(dtype == DTYPE_f64 ? DTYPE_f32 : dtype);
    for (int64_t k = 0; dtype_is_float(t->type->dtype) && k < type_elements(t->type); k++)
        t->f[k] *= 1 + (next_random(seed) & 1 ? half : -half);
}

static bool shake_results(void *seed, const struct op *op, struct tensor *const *in,
                          struct tensor *const *out) {
    (void)in;
    for (int i = 0; op->code != OP_const && op->code != OP_input && op->code != OP_read && i < op->out_count;
         i++)
        shake(out[i], out[i]->type->dtype, seed);
    return true;
}

/* The results, and behind them all states. With a seed, what every operator gives is shaken, as rounding does
 * it. */
static bool evaluate_in(struct batch *b, struct graph *graph, int i, enum eval_mode mode, uint32_t *seed,
                        struct call *c, struct tensor **results) {
    struct eval *eval = eval_create(b->arena, graph, mode, b->diags);
    eval_set_observer(eval, seed ? shake_results : NULL, seed);
    const struct function *f = graph_find_function(graph, b->functions[i].function->name);
    int count = block_yield(f->body)->in_count;
    for (int k = 0; k < graph->states.count; k++) {
        const struct state *state = graph->states.at[k];
        eval_set_state(eval, state, tensor_from_bytes(b->arena, state->type, state_at(b, c->before, state)));
    }
    if (!eval_function(eval, f, c->inputs, c->input_count, results, NULL))
        return false;
    for (int k = 0; k < graph->states.count; k++)
        results[count++] = eval_state(eval, graph->states.at[k]);
    return true;
}

static bool evaluate(struct batch *b, int i, enum eval_mode mode, struct call *c, struct tensor **results) {
    return evaluate_in(b, b->plain, i, mode, NULL, c, results);
}

/* Passes keep every bit but the sign of zeros and NaNs. */
static void check_after(struct batch *b, int i, const struct snapshot *after, struct call *c) {
    struct tensor *results[VALUES_MOST];
    struct strbuf why;
    strbuf_init(&why, b->arena);
    strbuf_printf(&why, "after %s, by the evaluator: ", after->pass);
    const struct function *f = graph_find_function(b->plain, b->functions[i].function->name);
    int count = block_yield(f->body)->in_count + b->plain->states.count;
    bool good = evaluate_in(b, after->graph, i, EVAL_EXACT, NULL, c, results);
    for (int k = 0; k < count && good; k++)
        good = compare_tensors(results[k], c->exact[k], 0, &why);
    if (!good)
        fail_case(b, i, why.text);
}

/* Then it is rough, whatever its results are: constants of gradients are of 16 bits too, 2 / sqrt(pi) of erf.
 */
static bool has_sixteen(const struct batch *b, int i) {
    const struct function *f = b->functions[i].function;
    const struct function *plain = graph_find_function(b->plain, f->name);
    FOR_EACH_OP (op, plain->body)
        for (int k = 0; k < op->out_count; k++)
            if (op->out[k]->type->dtype == DTYPE_f16 || op->out[k]->type->dtype == DTYPE_bf16)
                return true;
    return false;
}

/* Inputs by half a unit of f32, which also takes apart those of 16 bits that are equal: slopes are measured
 * there. */
static bool evaluate_moved_results(struct batch *b, int i, struct call *c) {
    uint32_t seed = 1, results_seed = b->cases[i].seed;
    for (int k = 0; k < c->input_count; k++)
        shake(c->inputs[k], DTYPE_f32, &seed);
    c->moves = has_sixteen(b, i) ? MOVES_MOST : 1;
    bool ok = true;
    for (int k = 0; k < c->moves; k++)
        ok = ok && evaluate_in(b, b->plain, i, EVAL_F64, &results_seed, c, c->moved[k]);
    return ok;
}

/* false: it refuses. */
static bool evaluate_all(struct batch *b, int i, struct call *c) {
    if (!evaluate(b, i, EVAL_EXACT, c, c->exact))
        return false;
    for (int k = 0; k < b->snapshots.count; k++)
        check_after(b, i, &b->snapshots.at[k], c);
    if (b->functions[i].exactness != SMOOTH)
        return true;
    return evaluate(b, i, EVAL_F64, c, c->f64) && evaluate_moved_results(b, i, c);
}

/* A sum is as good as what it adds up is great: within a few units of the sum of the terms' sizes, which is
 * what the function gives for the sizes of its inputs. */
static bool near_sum(struct batch *b, int i, struct call *c, int result, const struct tensor *got) {
    struct tensor *sizes[VALUES_MOST];
    enum dtype dtype = got->type->dtype;
    for (int k = 0; k < c->input_count; k++)
        for (int64_t j = 0;
             dtype_is_float(c->inputs[k]->type->dtype) && j < type_elements(c->inputs[k]->type); j++)
            c->inputs[k]->f[j] = fabs(c->inputs[k]->f[j]);
    if (b->functions[i].exactness != SUMMED || !dtype_is_float(dtype) || !evaluate(b, i, EVAL_F64, c, sizes))
        return false;
    for (int64_t j = 0; j < type_elements(got->type); j++) {
        double error = fabs(got->f[j] - c->exact[result]->f[j]);
        if (!(error <= 4 * precision(dtype) * sizes[result]->f[j]))
            return false;
    }
    return true;
}

static bool compare_one(struct batch *b, int i, struct call *c, int result, const struct type *type,
                        const void *bytes) {
    struct strbuf why;
    strbuf_init(&why, b->arena);
    strbuf_printf(&why, "result %d: ", result);
    bool is_rough = c->moves > 1;
    struct oracle oracle = {.exact = c->exact[result],
                            .f64 = c->f64[result],
                            .moves = c->moves,
                            .least = is_rough ? fmax(1e-4, 2 * precision(type->dtype)) : 1e-4,
                            .factor = is_rough ? 2 : 32};
    for (int k = 0; k < c->moves; k++)
        oracle.moved[k] = c->moved[k][result];
    const struct tensor *got = tensor_from_bytes(b->arena, type, bytes);
    if (is_near(b->functions[i].exactness, got, &oracle, &why) || near_sum(b, i, c, result, got))
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

struct in_f64 {
    struct batch *b;
    int i;
    struct call *c;
};

static bool evaluate_moved(void *context, struct tensor **results) {
    const struct in_f64 *f = context;
    return evaluate(f->b, f->i, EVAL_F64, f->c, results);
}

/* Numbers of 16 bits meet the places where mod jumps, and are equal to each other where sort chooses. */
static bool jumps(const struct batch *b, int i) {
    int plain = b->cases[i].kind % GRADIENTS;
    return has_sixteen(b, i) && (plain == OP_mod || plain == OP_sort);
}

static void check_derivatives(struct batch *b, int i, struct call *c) {
    struct in_f64 f = {b, i, c};
    struct strbuf why;
    strbuf_init(&why, b->arena);
    if (!derivatives_agree(&b->derivatives[i], c->inputs, has_sixteen(b, i), b->cases[i].seed, evaluate_moved,
                           &f, b->arena, &why))
        fail_case(b, i, why.length ? why.text : "the evaluator refuses what is a little aside");
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
        if (b->derivatives && b->derivatives[i].orders > 0 && !jumps(b, i))
            check_derivatives(b, i, &c);
    }
    for (int k = 2; k < c.plan->arguments.count; k++)
        munmap(c.fences[k].map, c.fences[k].mapped);
    batch_total.cases_run++;
}

/* ---- batches ---- */

/* After dce; after each pass that changes the graph where a case wants that. */
static bool take_snapshots(struct batch *b) {
    int end = (int)(pipeline_find("plan_memory") - pipeline), dce = (int)(pipeline_find("dce") - pipeline);
    bool all = b->cases[0].each_pass;
    note(b, 0, b->count, "simplifying");
    for (int i = all ? 0 : dce; i < (all ? end : dce + 1); i++) {
        struct snapshot s = {pipeline[i].name, graph_copy(b->plain, b->arena)};
        struct pass_context context = {.arena = b->arena,
                                       .diags = b->diags,
                                       .functions = s.graph->functions.at,
                                       .function_count = s.graph->functions.count,
                                       .skipped = b->cases[0].skipped,
                                       .verify = true};
        if (!pipeline_run(s.graph, &context, s.pass))
            return false;
        VEC_PUSH(b->arena, &b->snapshots, s);
    }
    return true;
}

static void run_compiled(struct batch *b) {
    for (int i = 0; i < b->count; i++)
        check(b, i);
}

void batch_run(const struct test_case *cases, int count, const char *cpu) {
    struct arena *arena = arena_create();
    struct batch b = {
        .arena = arena, .diags = diags_create(arena), .cpu = cpu, .cases = cases, .count = count};
    if (make_functions(&b)) {
        if (take_snapshots(&b) && compile(&b))
            run_compiled(&b);
        else if (count == 1)
            fail_case(&b, 0, "it does not compile");
        else /* which of them? */
            for (int i = 0; i < count; i++)
                batch_run(cases + i, 1, cpu);
    }
    if (b.loaded)
        weft_codegen.unload(b.loaded);
    arena_destroy(arena);
}

void batch_run_text(const char *text) {
    struct arena *arena = arena_create();
    const struct test_case none = {.kind = OP_input};
    struct batch b = {.arena = arena, .diags = diags_create(arena), .cases = &none, .count = 1};
    text = arena_printf(arena, "graph g\n%s", text);
    const struct source *source = source_create(arena, "text", text, strlen(text));
    struct random_input inputs[8] = {0}; /* FILL_GRID */
    b.graph = graph_parse(arena, types_create(arena), interner_create(arena), source, b.diags);
    assert_non_null(b.graph);
    struct random_function function = {b.graph->functions.at[0], inputs, EXACT};
    b.functions = &function;
    assert_true(open_gradients(&b) && take_snapshots(&b) && compile(&b));
    run_compiled(&b);
    weft_codegen.unload(b.loaded);
    arena_destroy(arena);
}

void batch_catch_crashes(void) {
    static const int signals[] = {SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], on_crash);
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
        batch_total.failures = 0;
        batch_run(c, 1, cpu);
        _exit(batch_total.failures > 0);
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
    int before = batch_total.failures;
    struct test_case smaller = *c;
    bool found = false;
    if (is_graph(c->kind))
        found |= lower(&smaller, &smaller.ops, c->ops ? c->ops : ops_of(c), cpu);
    found |= lower(&smaller, &smaller.limit, c->limit ? c->limit : 64, cpu);
    if (found) {
        fprintf(stderr, "smaller:\n");
        batch_run(&smaller, 1, cpu);
    }
    batch_total.failures = before; /* it is the same one */
    is_shrinking = false;
}
