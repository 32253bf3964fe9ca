/* The verifier accepts what the builder makes and names what was broken by hand. */
#include "ir/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* fn f(): x = input; y = neg(x); z = cond(c, y) { exp } { same }; yield(z) */
struct fixture {
    struct arena *arena;
    struct graph *graph;
    struct diags *diags;
    struct builder b;
    struct value *x, *y;
    struct op *cond, *yield;
};

static int setup(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    f->arena = arena;
    f->diags = diags_create(arena);
    f->graph = graph_create(arena, types_create(arena), interner_create(arena), "test");
    struct function *function = graph_add_function(f->graph, "f", FUNCTION_FN, NULL);
    builder_init(&f->b, f->graph, function->body, f->diags);
    struct value *c = build_input(&f->b, "c", type_scalar(f->graph->types, DTYPE_bool));
    f->x = build_input(&f->b, "x", type_scalar(f->graph->types, DTYPE_f32));
    f->y = build_unary(&f->b, OP_neg, f->x);
    f->cond = op_create(f->graph, OP_cond, (struct value *[]){c, f->y}, 2, NULL, 0,
                        (const struct type *[]){NULL}, 1, NULL);
    op_append(f->cond, function->body);
    for (int side = 0; side < 2; side++) {
        struct builder inner = f->b;
        builder_at_end(&inner, op_add_region(f->graph, f->cond));
        struct value *p = block_add_param(f->graph, inner.block, f->y->type, NULL);
        struct value *result = side ? p : build_unary(&inner, OP_exp, p);
        build_yield(&inner, &result, 1);
    }
    op_infer(f->graph, f->cond, f->diags);
    build_yield(&f->b, f->cond->out, 1);
    f->yield = block_yield(function->body);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    arena_destroy(((struct fixture *)*state)->arena);
    return 0;
}

static void expect_defect(struct fixture *f, const char *message) {
    assert_false(graph_verify(f->graph, f->diags, "breaking"));
    assert_true(diags_has_defect(f->diags));
    assert_string_equal(diag_message(f->diags, 0),
                        arena_printf(f->arena, "after the pass breaking: %s", message));
}

static void a_whole_graph_passes(void **state) {
    struct fixture *f = *state;
    assert_true(graph_verify(f->graph, f->diags, "building"));
    assert_int_equal(diags_count(f->diags), 0);
}

static void a_use_before_the_definition(void **state) {
    struct fixture *f = *state;
    op_move_before(f->y->def, f->yield);
    expect_defect(f, "cond uses operand 1 before it is made");
}

static void a_value_from_outside_the_region(void **state) {
    struct fixture *f = *state;
    op_set_in(f->cond->regions[0]->first, 0, f->x);
    expect_defect(f, "exp takes operand 0 from outside its block");
}

static void a_wrong_type(void **state) {
    struct fixture *f = *state;
    f->y->type = type_scalar(f->graph->types, DTYPE_f64);
    expect_defect(f, "result 0 of neg is f64[], but should be f32[]");
}

static void what_inference_refuses(void **state) {
    struct fixture *f = *state;
    op_set_in(f->cond, 0, f->x);
    expect_defect(f, "cond: the condition must be bool[], but is f32[]");
}

static void a_use_that_is_not_linked(void **state) {
    struct fixture *f = *state;
    f->y->def->in[0] = f->cond->in[0];
    expect_defect(f, "a use of a value of input is not linked both ways");
}

static void a_use_that_nobody_knows(void **state) {
    struct fixture *f = *state;
    f->x->uses = NULL;
    expect_defect(f, "`f` has 7 operands, but 6 uses are linked");
}

static void a_missing_yield(void **state) {
    struct fixture *f = *state;
    op_erase(f->yield);
    expect_defect(f, "a block does not end in a yield");
}

static void a_second_yield(void **state) {
    struct fixture *f = *state;
    build_yield(&f->b, NULL, 0);
    expect_defect(f, "a yield does not end its block");
}

static void an_input_in_a_region(void **state) {
    struct fixture *f = *state;
    builder_before(&f->b, f->cond->regions[1]->first);
    build_input(&f->b, "z", f->x->type);
    expect_defect(f, "input stands in a region of cond, not in a function's body");
}

static void a_state_that_is_written_twice(void **state) {
    struct fixture *f = *state;
    struct state *w = graph_add_state(f->graph, "w", STATE_BUFFER, f->x->type, NULL);
    builder_before(&f->b, f->yield);
    build_write(&f->b, w, f->x);
    assert_true(graph_verify(f->graph, f->diags, "writing"));
    build_write(&f->b, w, f->y);
    expect_defect(f, "`w` is written twice");
}

static void a_function_that_calls_itself(void **state) {
    struct fixture *f = *state;
    struct function *g = graph_add_function(f->graph, "g", FUNCTION_COMPOSITE, NULL);
    struct builder b = f->b;
    builder_at_end(&b, g->body);
    build_yield(&b, NULL, 0);
    builder_before(&b, g->body->first);
    build_op(&b, OP_call, NULL, 0, &(struct attr){.name = ATTR_function, .function = g}, 1, NULL, 0);
    expect_defect(f, "`g` calls itself");
}

static void text_is_blamed_without_a_pass(void **state) {
    struct fixture *f = *state;
    op_erase(f->yield);
    assert_false(graph_verify(f->graph, f->diags, NULL));
    assert_false(diags_has_defect(f->diags));
    assert_int_equal(diag_code_of(f->diags, 0), E_IR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_whole_graph_passes),
        TEST(a_use_before_the_definition),
        TEST(a_value_from_outside_the_region),
        TEST(a_wrong_type),
        TEST(what_inference_refuses),
        TEST(a_use_that_is_not_linked),
        TEST(a_use_that_nobody_knows),
        TEST(a_missing_yield),
        TEST(a_second_yield),
        TEST(an_input_in_a_region),
        TEST(a_state_that_is_written_twice),
        TEST(a_function_that_calls_itself),
        TEST(text_is_blamed_without_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
