/* Random functions through passes, fusion and code generator, against the evaluator: every operator of the
 * table with random shapes, attributes, dtypes and numbers; their gradients, first and second; graphs of up
 * to 200 operators with every pass on and off. Cases are numbered; sixteen in a row are of one kind and one
 * module. A failure prints its function, a smaller one that fails too, and how to see it again:
 *
 *   property_test --seeds 5000..6000                   the cases of these numbers
 *   property_test --family gradients --seeds 0..1000   of another family: operators, gradients, graphs
 *   property_test --case conv --seed 123               one function, on every vector unit
 *   property_test --case conv --long 20                many of this kind
 *   property_test --long 100                           a hundred times as many of all as without
 *
 * --limit N: sizes up to N; --ops N: a graph of so many; --skip NAME: a pass is left out; --show 1: functions
 * are printed; --failures N: after how many to stop. */
#include "support_batch.h"

#include "ir/gradient.h"
#include "passes/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
    batch_total.failures = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        batch_run_text(texts[i]);
    assert_int_equal(batch_total.failures, 0);
}

static void every_operator_has_cases(void **state) {
    (void)state;
    for (int code = 0; code < OP_COUNT; code++)
        if (*op_infos[code].example)
            assert_true(random_knows((enum opcode)code));
}

/* ---- vector units ---- */

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

static void run_on_each(const struct test_case *cases, int count) {
    for (int cpu = 0; cpu < 4; cpu += cpu ? 2 : 1)
        batch_run(cases, count, cpu_of(cpu));
}

/* ---- numbered cases ---- */

enum { MODULE = 16 /* cases of one kind in a row */ };

struct family {
    const char *name;
    int graph_first, graph_last; /* kinds of graphs, which come .. */
    int graph_modules;           /* .. as often as so many operators */
    int base;                    /* of the kinds of operators; KINDS: none */
    int graphs_at_once;          /* compiled in one go */
};
static const struct family families[] = {
    {"operators", GRAPH_EXACT, GRAPH_SMOOTH, 8, 0, 4},
    {"gradients", GRADIENTS + GRAPH_SMOOTH, GRADIENTS + GRAPH_SMOOTH, 4, GRADIENTS, 4},
    {"graphs", GRAPH_EXACT, GRAPH_SIXTEEN, 3, KINDS, 1},
};
enum { FAMILIES = sizeof(families) / sizeof(*families) };

/* Kinds take turns. */
static int kind_of(const struct family *f, int module) {
    int kinds[OP_COUNT + 16], count = 0, graphs = f->graph_last - f->graph_first + 1;
    for (int code = 0; f->base < KINDS && code < OP_COUNT; code++)
        if (kind_exists(f->base + code))
            kinds[count++] = f->base + code;
    for (int i = 0; i < f->graph_modules; i++)
        kinds[count++] = f->graph_first + i % graphs;
    return kinds[module % count];
}

static bool is_graph(int kind) {
    return kind % GRADIENTS >= OP_COUNT;
}

/* Gradients of graphs are many operators, and half of those of single ones are of small sizes: the
 * differences want many evaluations. */
static struct test_case case_of(const struct family *f, int number) {
    uint32_t seed = ((uint32_t)number + 1) * 2654435761u;
    seed = (seed ^ seed >> 15) | 1;
    struct test_case c = {.kind = kind_of(f, number / MODULE), .seed = seed};
    if (f->base == GRADIENTS) {
        c.ops = is_graph(c.kind) ? 3 + (int)(seed >> 4 & 7) : 0;
        c.limit = is_graph(c.kind) || number % 2 ? 6 : 20;
    } else if (f->base == KINDS) {
        c.kind = f->graph_first + number % f->graph_modules;
        c.ops = 10 + (int)(seed >> 4) % 191;
        c.each_pass = true;
    }
    return c;
}

/* With all passes, and without each that is optional, and without all of these. */
static void run_with_passes_off(const struct test_case *c, const char *cpu) {
    struct test_case other = *c;
    uint32_t all = 0;
    batch_run(&other, 1, cpu);
    other.each_pass = false;
    for (int i = 0; i < pipeline_count; i++) {
        if (!pipeline[i].is_optional)
            continue;
        all |= other.skipped = UINT32_C(1) << i;
        batch_run(&other, 1, cpu);
    }
    other.skipped = all;
    batch_run(&other, 1, cpu);
}

/* The vector units take turns with the rounds through all kinds, and within one; every tenth module runs on
 * all of them. */
static void run_module(const struct family *f, int module, const struct test_case *cases, int count) {
    const char *cpu = cpu_of(module + module / 64);
    if (f->base == KINDS)
        run_with_passes_off(cases, cpu_of((int)(cases->seed >> 3)));
    else if (module % 10 == 0)
        run_on_each(cases, count);
    else
        batch_run(cases, count, cpu);
}

static void run_numbers(const struct family *f, int first, int end, bool tells) {
    struct test_case cases[MODULE];
    for (int at = first, next; at < end; at = next) {
        int module = at / MODULE, most = is_graph(kind_of(f, module)) ? f->graphs_at_once : MODULE;
        next = at + most - at % most;
        next = next < end ? next : end;
        for (int i = at; i < next; i++)
            cases[i - at] = case_of(f, i);
        run_module(f, module, cases, next - at);
        if (tells && next / 4096 != at / 4096)
            fprintf(stderr, "%d of %d..%d, %d failures\n", next, first, end, batch_total.failures);
    }
}

enum { NUMBERS_A_TURN = 2048 };
static int times = 1;

static void functions_are_what_the_evaluator_says(void **state) {
    (void)state;
    batch_total.failures = 0;
    run_numbers(families, 0, NUMBERS_A_TURN * times, times > 1);
    assert_int_equal(batch_total.failures, 0);
}

/* ---- by hand ---- */

static void run_kind(struct test_case like, int count, int batch_size) {
    struct test_case cases[64];
    count *= times;
    for (int done = 0, batch = like.kind; done < count; done += batch_size, batch++) {
        int n = count - done < batch_size ? count - done : batch_size;
        for (int i = 0; i < n; i++) {
            cases[i] = like;
            cases[i].seed = (uint32_t)(like.kind * 100003 + (done + i) * 7919 + 1);
        }
        batch_run(cases, n, cpu_of(batch));
    }
}

/* One function on every vector unit, or without a seed many of a kind. */
static int run_some(const struct test_case *one) {
    if (!kind_exists(one->kind))
        return fprintf(stderr, "no such case\n"), 2;
    if (one->seed)
        run_on_each(one, 1);
    else
        run_kind(*one, 32, 8);
    printf("%d functions, %d failures\n", batch_total.cases_run, batch_total.failures);
    return batch_total.failures > 0;
}

struct request {
    struct test_case one;
    const struct family *family;
    int first, end;
};

static bool read_option(struct request *r, const char *name, const char *value) {
    if (strcmp(name, "--case") == 0)
        return (r->one.kind = kind_find(value)) < KINDS;
    if (strcmp(name, "--seed") == 0)
        return (r->one.seed = (uint32_t)strtoul(value, NULL, 10)) > 0;
    if (strcmp(name, "--limit") == 0)
        return (r->one.limit = atoi(value)) > 0;
    if (strcmp(name, "--ops") == 0)
        return (r->one.ops = atoi(value)) > 0;
    if (strcmp(name, "--skip") == 0 && pipeline_find(value))
        return r->one.skipped |= UINT32_C(1) << (pipeline_find(value) - pipeline);
    if (strcmp(name, "--long") == 0)
        return (times = atoi(value)) > 0;
    if (strcmp(name, "--seeds") == 0)
        return sscanf(value, "%d..%d", &r->first, &r->end) == 2 && r->end > r->first;
    if (strcmp(name, "--show") == 0)
        return (batch_total.shows = atoi(value) > 0);
    if (strcmp(name, "--failures") == 0)
        return (batch_total.most_failures = atoi(value)) > 0;
    for (int i = 0; strcmp(name, "--family") == 0 && i < FAMILIES; i++)
        if (strcmp(value, families[i].name) == 0)
            return r->family = &families[i], true;
    return false;
}

static int run_request(const struct request *r) {
    if (r->end == 0)
        return run_some(&r->one);
    run_numbers(r->family, r->first, r->end, true);
    printf("%d functions, %d failures\n", batch_total.cases_run, batch_total.failures);
    return batch_total.failures > 0;
}

int main(int argc, char **argv) {
    struct request r = {.one.kind = KINDS, .family = families};
    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc || !read_option(&r, argv[i], argv[i + 1]))
            return fprintf(stderr, "property_test: what is `%s`?\n", argv[i]), 2;
    batch_catch_crashes();
    if (r.end > 0 || r.one.kind < KINDS)
        return run_request(&r);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_has_cases),
        cmocka_unit_test(graphs_that_were_wrong_once),
        cmocka_unit_test(functions_are_what_the_evaluator_says),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%d functions\n", batch_total.cases_run);
    return failed;
}
