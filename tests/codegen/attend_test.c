/* Attention against the evaluator: shapes, layouts, masks, biases, dtypes, and both ways; and its gradient
 * against that of the plain operators. */
#include "support_attend.h"
#include "support_entry.h"
#include "support_kernel.h"

#include "ir/eval.h"
#include "ir/text.h"

#include <dlfcn.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- kernels ---- */

static void check_kernel(const char *text, const char *cpu, double tolerance) {
    const char *why = "";
    struct kernel_run *run = kernel_compile(text, cpu, lower_attend, &why);
    if (!run)
        fail_msg("%s", why);
    if (run->jit) {
        kernel_allocate(run, 2);
        kernel_random(run, 11);
        kernel_call(run, 0);
        double error = kernel_error(run);
        if (!(error <= tolerance))
            fail_msg("%s: error %g\n%s", cpu, error, run->why);
        if (!kernel_guards_hold(run))
            fail_msg("%s\n%s: wrote behind the end", text, cpu);
        if (!kernel_same_in_any_order(run, 2))
            fail_msg("%s\n%s: other bits in another order\n%s", text, cpu, run->why);
    }
    kernel_free(run);
}

/* Both kernels of a gradient; of them the forward one has a result more than it has alone. */
static void check_case(const struct attention_case *c, const char *cpu, double tolerance) {
    struct arena *arena = arena_create();
    const char *text = attention_text(arena, c, GRADIENT);
    for (int i = 0; i < 2; i++) {
        const char *kernel = attention_kernel(arena, text, i, true);
        /* A softmax over one key is no reduction any more: plain operators do it. */
        if (!kernel && c->keys > 1 && c->queries > 1)
            fail_msg("%s\nno kernel of attention", text);
        if (kernel)
            check_kernel(kernel, cpu, tolerance);
    }
    arena_destroy(arena);
}

/* batch, heads, queries, keys, depth, width */
static const struct attention_case cases[] = {
    {1, 1, 1, 1, 1, 1, HEADS, NO_MASK, NO_BIAS, NULL, NULL},
    {2, 3, 1, 70, 9, 5, HEADS, NO_MASK, NO_BIAS, NULL, NULL},
    {2, 1, 45, 1, 8, 8, TOKENS, NO_MASK, NO_BIAS, NULL, NULL},
    {1, 2, 16, 24, 8, 8, HEADS, NO_MASK, NO_BIAS, NULL, NULL},
    {2, 3, 37, 53, 20, 12, TOKENS, NO_MASK, NO_BIAS, NULL, NULL},
    {2, 2, 53, 37, 7, 17, CHANNELS, NO_MASK, NO_BIAS, NULL, NULL},
    {1, 2, 150, 301, 16, 16, TOKENS, NO_MASK, BIAS_OF_HEADS, NULL, NULL},
    {2, 2, 70, 70, 16, 16, TOKENS, CAUSAL, NO_BIAS, NULL, NULL},
    {1, 2, 33, 129, 8, 8, HEADS, CAUSAL, BIAS_OF_ALL, NULL, NULL},
    {1, 2, 60, 60, 8, 8, HEADS, BEFORE, NO_BIAS, NULL, NULL},
    {2, 2, 19, 40, 8, 8, TOKENS, OF_KEYS, BIAS_OF_HEADS, NULL, NULL},
    {3, 2, 31, 35, 8, 8, CHANNELS, OF_ALL, BIAS_OF_KEYS, NULL, NULL},
};
enum { CASES = sizeof(cases) / sizeof(*cases) };

static void kernels_compute_what_the_evaluator_does(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        check_case(&cases[i], "native", 1e-5);
}

static void on_other_targets_too(void **state) {
    (void)state;
    check_case(&cases[4], "x86-64", 1e-5);
    check_case(&cases[8], "wide", 1e-5);
    check_case(&cases[10], "aarch64", 1e-5);
}

static void in_other_dtypes(void **state) {
    (void)state;
    struct attention_case c = {2, 2, 37, 50, 12, 9, TOKENS, CAUSAL, BIAS_OF_HEADS, "f64", NULL};
    check_case(&c, "native", 1e-12);
    c.dtype = "bf16";
    check_case(&c, "native", 2e-2);
    c.dtype = "f16";
    check_case(&c, "native", 2e-3);
    c.dtype = NULL;
    c.products = "bf16";
    check_case(&c, "native", 2e-2);
}

/* ---- as a function: on two threads, and as an object ---- */

static const char *fused(struct arena *arena, const struct attention_case *c) {
    const char *why = "", *text = attention_text(arena, c, GRADIENT);
    struct graph *graph = attention_graph(arena, text, "fuse", true, &why);
    struct strbuf out;
    if (!graph)
        fail_msg("%s", why);
    strbuf_init(&out, arena);
    graph_print(graph, &out);
    return out.text;
}

static void threads_and_objects_have_the_same_bits(void **state) {
    (void)state;
    char folder[] = "/tmp/weft-attend-XXXXXX";
    const struct attention_case c = {2, 2, 150, 170, 24, 24, TOKENS, CAUSAL, BIAS_OF_HEADS, NULL, NULL};
    const struct codegen_options plain = {.workers = 1};
    struct arena *arena = arena_create();
    assert_non_null(mkdtemp(folder));
    struct entry_run *run = entry_run_create(fused(arena, &c), &plain);
    struct call_memory *before = call_memory_create(run, "f", 1, 3),
                       *jit = call_memory_create(run, "f", 1, 3),
                       *threads = call_memory_create(run, "f", 2, 3),
                       *object = call_memory_create(run, "f", 2, 3);
    weft_call *call = weft_codegen.entry(run->loaded, "f");
    assert_int_equal(call_entry(run, call, jit, NULL), 0);
    assert_int_equal(call_entry(run, call, threads, &two_threads), 0);
    void *library = object_open(run, "a", folder);
    assert_int_equal(
        call_entry(run, (weft_call *)(uintptr_t)dlsym(library, "a_f_call"), object, &two_threads), 0);
    expect_evaluated(run, before, jit, 1e-5);
    expect_same(run, jit, threads);
    expect_same(run, jit, object);
    dlclose(library);
    entry_run_destroy(run);
    assert_int_equal(system(arena_printf(arena, "rm -r %s", folder)), 0);
    arena_destroy(arena);
}

/* ---- the whole, in f64 by the evaluator: what the pass finds against the plain operators ---- */

static struct tensor **inputs_of(struct arena *arena, const struct graph *graph, int *count) {
    struct tensor **inputs = ARENA_ARRAY(arena, struct tensor *, 16);
    uint32_t seed = 5;
    *count = 0;
    FOR_EACH_OP (op, graph->functions.at[0]->body) {
        if (op->code != OP_input)
            continue;
        struct tensor *x = tensor_create(arena, op->out[0]->type);
        for (int64_t i = 0; i < type_elements(x->type); i++) {
            seed = seed * 1664525u + 1013904223u;
            if (dtype_is_float(x->type->dtype))
                x->f[i] = (double)(int32_t)seed * 0x1p-31;
            else
                x->i[i] = seed >> 31;
        }
        inputs[(*count)++] = x;
    }
    return inputs;
}

static struct tensor **evaluate(struct arena *arena, const char *text, bool with_attend, int *count) {
    const char *why = "";
    struct graph *graph = attention_graph(arena, text, "dce", with_attend, &why);
    if (!graph)
        fail_msg("%s", why);
    struct tensor **results = ARENA_ARRAY(arena, struct tensor *, 8);
    int inputs;
    struct tensor **x = inputs_of(arena, graph, &inputs);
    struct diags *diags = diags_create(arena);
    struct eval *eval = eval_create(arena, graph, EVAL_F64, diags);
    assert_true(eval_function(eval, graph->functions.at[0], x, inputs, results, NULL));
    *count = block_yield(graph->functions.at[0]->body)->in_count;
    return results;
}

static void check_whole(const struct attention_case *c, enum attention_wanted wanted) {
    struct arena *arena = arena_create();
    const char *text = attention_text(arena, c, wanted);
    int count, other;
    struct tensor **found = evaluate(arena, text, true, &count),
                  **plain = evaluate(arena, text, false, &other);
    assert_int_equal(count, other);
    for (int i = 0; i < count; i++) {
        double difference = 0, size = 0;
        for (int64_t k = 0; k < type_elements(plain[i]->type); k++) {
            difference = fmax(difference, fabs(found[i]->f[k] - plain[i]->f[k]));
            size = fmax(size, fabs(plain[i]->f[k]));
        }
        if (!(difference <= 1e-12 * (size + 1)))
            fail_msg("gradient %d, result %d: %g off, of %g", (int)wanted, i, difference, size);
    }
    arena_destroy(arena);
}

static void gradients_are_those_of_plain_operators(void **state) {
    (void)state;
    for (enum attention_wanted wanted = FORWARD_PASS; wanted <= SECOND_GRADIENT; wanted++) {
        check_whole(&(struct attention_case){2, 2, 5, 7, 3, 4, TOKENS, NO_MASK, NO_BIAS, NULL, NULL}, wanted);
        check_whole(&(struct attention_case){2, 2, 6, 6, 3, 4, HEADS, CAUSAL, BIAS_OF_HEADS, NULL, NULL},
                    wanted);
        check_whole(&(struct attention_case){2, 1, 6, 8, 3, 4, CHANNELS, NO_MASK, BIAS_OF_KEYS, NULL, NULL},
                    wanted);
        check_whole(&(struct attention_case){1, 2, 4, 5, 2, 2, TOKENS, OF_ALL, NO_BIAS, NULL, "bf16"},
                    wanted);
        check_whole(&(struct attention_case){2, 2, 4, 5, 2, 2, HEADS, CAUSAL, BIAS_OF_ALL, NULL, NULL},
                    wanted);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_compute_what_the_evaluator_does),
        cmocka_unit_test(on_other_targets_too),
        cmocka_unit_test(in_other_dtypes),
        cmocka_unit_test(threads_and_objects_have_the_same_bits),
        cmocka_unit_test(gradients_are_those_of_plain_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
