/* The warning of `differentiate`; what it builds is in tests/passes/differentiate/, whether that is right in
 * tests/ir/gradient_test.c and gradient_graphs_test.c. */
#include "ir/text.h"
#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_gradient_by_the_unrelated_is_zero_with_a_warning(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct diags *diags = diags_create(arena);
    static const char text[] = "graph g\n"
                               "fn f() {\n"
                               "  %0 = input {name = \"x\"} : f32[3]\n"
                               "  %1 = input {name = \"y\"} : f32[]\n"
                               "  %2 = exp(%1) : f32[]\n"
                               "  %3 = grad(%2, %0) : f32[3]\n"
                               "  %4, %5 = grad(%2, %0, %1) : f32[3], f32[]\n" /* of many some may be zero */
                               "  yield(%3, %4, %5)\n"
                               "}\n";
    const struct source *source = source_create(arena, "test.ir", text, strlen(text));
    struct graph *graph = graph_parse(arena, types_create(arena), interner_create(arena), source, diags);
    assert_non_null(graph);
    struct pass_context context = {.arena = arena, .scratch = arena, .diags = diags};
    assert_true(differentiate(graph, &context));
    assert_true(graph_verify(graph, diags, "differentiate"));
    assert_int_equal(diags_count(diags), 1);
    assert_int_equal(diag_severity(diags, 0), SEVERITY_WARNING);
    assert_int_equal(diag_code_of(diags, 0), W_ZERO_GRAD);
    assert_string_equal(diag_message(diags, 0),
                        "the gradient by `x` is zero: nothing that is differentiated depends on it");
    int line, column;
    source_locate(source, diag_span(diags, 0).begin, &line, &column);
    assert_int_equal(line, 6);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_gradient_by_the_unrelated_is_zero_with_a_warning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
