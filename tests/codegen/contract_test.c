/* Sums of products against the evaluator: many shapes, edges of the tile, epilogues, targets, two threads'
 * order. */
#include "support_kernel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const cpus[] = {"native", "x86-64"};

static void check_on(const char *text, const char *cpu, double tolerance) {
    const char *why = "";
    struct kernel_run *run = kernel_compile(text, cpu, lower_contract, &why);
    if (!run)
        fail_msg("%s\n%s", text, why);
    kernel_allocate(run, 1);
    kernel_random(run, 7);
    kernel_call(run, 0);
    double error = kernel_error(run);
    if (!(error <= tolerance))
        fail_msg("%s\n%s: error %g\n%s", text, cpu, error, run->why);
    if (!kernel_guards_hold(run))
        fail_msg("%s\n%s: wrote behind the end", text, cpu);
    kernel_free(run);
}

static void check(const char *text) {
    for (size_t i = 0; i < sizeof(cpus) / sizeof(*cpus); i++)
        check_on(text, cpus[i], 1e-5);
}

/* fn with one contract kernel: operand types, the body's operators over %10, %11 .., the result's type and
 * value. */
static void check_kernel(const char *const *operands, int count, const char *body, const char *result,
                         const char *yielded) {
    char text[4096], *at = text;
    at += sprintf(at, "graph t\nfn f() {\n");
    for (int i = 0; i < count; i++)
        at += sprintf(at, "  %%%d = input {name = \"x%d\"} : %s\n", i, i, operands[i]);
    at += sprintf(at, "  %%9 = kernel(");
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s%%%d", i ? ", " : "", i);
    at += sprintf(at, ") {kind = \"contract\", name = \"k\"} : %s region(", result);
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s%%%d: %s", i ? ", " : "", 10 + i, operands[i]);
    sprintf(at, ") {\n%s    yield(%%%s)\n  }\n  yield(%%9)\n}\n", body, yielded);
    check(text);
}

static void check_dot(int m, int n, int k, bool a_transposed, bool b_transposed) {
    char a[64], b[64], result[64], body[256];
    sprintf(a, a_transposed ? "f32[%d,%d]" : "f32[%d,%d]", a_transposed ? k : m, a_transposed ? m : k);
    sprintf(b, "f32[%d,%d]", b_transposed ? n : k, b_transposed ? k : n);
    sprintf(result, "f32[%d,%d]", m, n);
    sprintf(body,
            "    %%20 = dot(%%10, %%11) {lhs_batch = [], rhs_batch = [], lhs_contract = [%d], rhs_contract = "
            "[%d]} : %s\n",
            a_transposed ? 0 : 1, b_transposed ? 1 : 0, result);
    check_kernel((const char *[]){a, b}, 2, body, result, "20");
}

static void dots_of_many_shapes(void **state) {
    (void)state;
    static const int shapes[][3] = {{1, 1, 1},    {1, 17, 9},   {5, 1, 33},    {6, 16, 8},
                                    {7, 17, 1},   {13, 31, 29}, {64, 64, 64},  {50, 10, 84},
                                    {3, 100, 40}, {97, 130, 7}, {61, 49, 300}, {4, 3, 0}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        for (int which = 0; which < 4; which++)
            check_dot(shapes[i][0], shapes[i][1], shapes[i][2], which & 1, which & 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_of_many_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
