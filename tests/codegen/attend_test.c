/* Attention against the evaluator: shapes, layouts, masks, biases, dtypes, and both ways; and its gradient
 * against that of the plain operators. */
#include "support_attend.h"
#include "support_kernel.h"

#include "ir/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The forward kernel alone, and both of a gradient. */
static void check_case(const struct attention_case *c, const char *cpu, double tolerance) {
    struct arena *arena = arena_create();
    const char *forward = attention_text(arena, c, FORWARD_PASS), *back = attention_text(arena, c, GRADIENT);
    const char *kernels[] = {attention_kernel(arena, forward, 0), attention_kernel(arena, back, 0),
                             attention_kernel(arena, back, 1)};
    for (int i = 0; i < 3; i++) {
        /* A softmax over one key is no reduction any more: plain operators do it. */
        if (!kernels[i] && c->keys > 1 && c->queries > 1)
            fail_msg("%s\nno kernel of attention", i ? back : forward);
        if (kernels[i])
            check_kernel(kernels[i], cpu, tolerance);
    }
    arena_destroy(arena);
}

/* batch, heads, queries, keys, depth, width */
static const struct attention_case cases[] = {
    {1, 1, 1, 1, 1, 1, HEADS, NO_MASK, NO_BIAS, NULL},
    {2, 3, 1, 70, 9, 5, HEADS, NO_MASK, NO_BIAS, NULL},
    {2, 1, 45, 1, 8, 8, TOKENS, NO_MASK, NO_BIAS, NULL},
    {1, 2, 16, 24, 8, 8, HEADS, NO_MASK, NO_BIAS, NULL},
    {2, 3, 37, 53, 20, 12, TOKENS, NO_MASK, NO_BIAS, NULL},
    {2, 2, 53, 37, 7, 17, CHANNELS, NO_MASK, NO_BIAS, NULL},
    {1, 2, 150, 301, 16, 16, TOKENS, NO_MASK, BIAS_OF_HEADS, NULL},
    {2, 2, 70, 70, 16, 16, TOKENS, CAUSAL, NO_BIAS, NULL},
    {1, 2, 33, 129, 8, 8, HEADS, CAUSAL, BIAS_OF_ALL, NULL},
    {1, 2, 60, 60, 8, 8, HEADS, BEFORE, NO_BIAS, NULL},
    {2, 2, 19, 40, 8, 8, TOKENS, OF_KEYS, BIAS_OF_HEADS, NULL},
    {3, 2, 31, 35, 8, 8, CHANNELS, OF_ALL, BIAS_OF_KEYS, NULL},
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
    struct attention_case c = {2, 2, 37, 50, 12, 9, TOKENS, CAUSAL, BIAS_OF_HEADS, "f64"};
    check_case(&c, "native", 1e-12);
    c.dtype = "bf16";
    check_case(&c, "native", 2e-2);
    c.dtype = "f16";
    check_case(&c, "native", 2e-3);
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
        check_whole(&(struct attention_case){2, 2, 5, 7, 3, 4, TOKENS, NO_MASK, NO_BIAS, NULL}, wanted);
        check_whole(&(struct attention_case){2, 2, 6, 6, 3, 4, HEADS, CAUSAL, BIAS_OF_HEADS, NULL}, wanted);
        check_whole(&(struct attention_case){2, 1, 6, 8, 3, 4, CHANNELS, NO_MASK, BIAS_OF_KEYS, NULL},
                    wanted);
        check_whole(&(struct attention_case){2, 2, 4, 5, 2, 2, HEADS, CAUSAL, BIAS_OF_ALL, NULL}, wanted);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_compute_what_the_evaluator_does),
        cmocka_unit_test(on_other_targets_too),
        cmocka_unit_test(in_other_dtypes),
        cmocka_unit_test(gradients_are_those_of_plain_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
