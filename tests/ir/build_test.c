/* The constructors and, through them, what inference accepts and says. */
#include "ir/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena;
    struct graph *graph;
    struct function *function;
    struct diags *diags;
    struct builder b;
};

static int setup(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    f->arena = arena;
    f->diags = diags_create(arena);
    f->graph = graph_create(arena, types_create(arena), interner_create(arena), "test");
    f->function = graph_add_function(f->graph, "f", FUNCTION_FN, NULL);
    builder_init(&f->b, f->graph, f->function->body, f->diags);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    arena_destroy(((struct fixture *)*state)->arena);
    return 0;
}

static struct value *input(struct fixture *f, enum dtype dtype, int rank, const int64_t *sizes) {
    return build_input(&f->b, "x", type_of_sizes(f->graph->types, dtype, rank, sizes));
}
#define SIZES(...)                                                                                           \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                                 \
        __VA_ARGS__                                                                                          \
    }

static void expect_type(struct fixture *f, const struct value *value, const char *text) {
    assert_non_null(value);
    assert_string_equal(type_text(f->graph->types, value->type), text);
}

static void expect_error(struct fixture *f, const struct value *value, enum diag_code code,
                         const char *message) {
    assert_null(value);
    assert_int_equal(diags_error_count(f->diags), 1);
    assert_string_equal(diag_message(f->diags, 0), message);
    assert_int_equal(diag_code_of(f->diags, 0), code);
    diags_clear(f->diags);
}

static void elementwise_operators_broadcast(void **state) {
    struct fixture *f = *state;
    struct value *x = input(f, DTYPE_f32, SIZES(5, 7)), *y = input(f, DTYPE_f32, SIZES(7)),
                 *z = input(f, DTYPE_f32, SIZES(4));
    expect_type(f, build_add(&f->b, x, y), "f32[5,7]");
    expect_type(f, build_binary(&f->b, OP_lt, y, x), "bool[5,7]");
    expect_error(f, build_mul(&f->b, x, z), E_SHAPE, "mul: f32[5,7] and f32[4] do not broadcast");
    expect_error(f, build_add(&f->b, x, input(f, DTYPE_i32, SIZES(7))), E_DTYPE,
                 "add: f32[5,7] and i32[7] have different dtypes");
    expect_error(f, build_unary(&f->b, OP_exp, input(f, DTYPE_i32, SIZES(7))), E_DTYPE,
                 "exp: wants a float, but got i32[7]");
    assert_null(build_add(&f->b, x, NULL)); /* quietly */
    assert_int_equal(diags_error_count(f->diags), 0);
}

static void contractions_check_what_they_sum_over(void **state) {
    struct fixture *f = *state;
    struct value *x = input(f, DTYPE_f32, SIZES(2, 5, 7)), *y = input(f, DTYPE_f32, SIZES(2, 7, 3));
    int64_t zero = 0, one = 1, two = 2;
    expect_type(f, build_dot(&f->b, x, y, &zero, &zero, 1, &two, &one, 1), "f32[2,5,3]");
    expect_type(f, build_dot(&f->b, x, y, NULL, NULL, 0, &two, &one, 1), "f32[2,5,2,3]");
    expect_error(f, build_dot(&f->b, x, y, NULL, NULL, 0, &one, &one, 1), E_SHAPE,
                 "dot: 5 at axis 1 of f32[2,5,7] is not 7 at axis 1 of f32[2,7,3]");
}

static void convolutions_count_their_windows(void **state) {
    struct fixture *f = *state;
    struct value *x = input(f, DTYPE_f32, SIZES(2, 4, 6, 5)), *w = input(f, DTYPE_f32, SIZES(6, 2, 3, 2));
    struct conv_attrs c = {2, {2, 1}, {1, 0}, {1, 1}, {1, 2}, {1, 1}, 2};
    struct value *y = build_conv(&f->b, x, w, &c);
    expect_type(f, y, "f32[2,6,3,4]");
    expect_type(f, build_conv_wgrad(&f->b, x, y, w->type, &c), "f32[6,2,3,2]");
    c.groups = 1;
    expect_error(f, build_conv(&f->b, x, w, &c), E_SHAPE,
                 "conv: a kernel of f32[6,2,3,2] does not fit an image of f32[2,4,6,5] in 1 group");
    c.groups = 2;
    c.pad_lo[0] = c.pad_hi[0] = -2;
    expect_error(
        f, build_conv(&f->b, x, w, &c), E_SHAPE,
        "conv: a window of 3 with dilation 1 does not fit the padded axis 2 of f32[2,4,6,5], which is 2");
}

static void a_strided_conv_of_a_symbolic_image_is_typed(void **state) {
    struct fixture *f = *state;
    struct types *types = f->graph->types;
    const struct dim *dims[] = {dim_var(types, "B"), dim_const(types, 3), dim_var(types, "H")};
    struct value *x = build_input(&f->b, "x", type_get(types, DTYPE_f32, 3, dims));
    struct value *w = input(f, DTYPE_f32, SIZES(8, 3, 3));
    struct conv_attrs c = {1, {2}, {1}, {1}, {1}, {1}, 1};
    expect_type(f, build_conv(&f->b, x, w, &c), "f32[B,8,floor((H + 1)/2)]");
    dim_assume_multiple(types, dims[2], 2);
    expect_type(f, build_conv(&f->b, x, w, &c), "f32[B,8,1/2*H]");
}

static void slices_stay_inside(void **state) {
    struct fixture *f = *state;
    struct types *types = f->graph->types;
    struct value *x = input(f, DTYPE_f32, SIZES(8));
    const struct dim *seven = dim_const(types, 7), *four = dim_const(types, 4), *five = dim_const(types, 5);
    expect_type(f, build_slice(&f->b, x, &seven, (int64_t[]){-2}, &four), "f32[4]");
    expect_error(f, build_slice(&f->b, x, &seven, (int64_t[]){-2}, &five), E_INDEX,
                 "slice: 5 elements from 7 on in steps of -2 leave axis 0 of f32[8]");
}

static void numbers_are_rounded_to_their_dtype(void **state) {
    struct fixture *f = *state;
    static const enum dtype dtypes[] = {DTYPE_f64, DTYPE_f32, DTYPE_bf16, DTYPE_f16,
                                        DTYPE_i64, DTYPE_u8,  DTYPE_bool};
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(*dtypes); i++) {
        struct value *v = build_number(&f->b, dtypes[i], 1);
        assert_int_equal(v->type->dtype, dtypes[i]);
        assert_int_equal(v->type->rank, 0);
    }
    float third;
    memcpy(&third, op_attr(build_number(&f->b, DTYPE_f32, 1.0 / 3)->def, ATTR_data)->data->bytes,
           sizeof(third));
    assert_true(third == 1.0f / 3);
}

static void sum_to_is_the_adjoint_of_broadcasting(void **state) {
    struct fixture *f = *state;
    struct value *x = input(f, DTYPE_f32, SIZES(4, 5, 7));
    const struct type *narrow = type_of_sizes(f->graph->types, DTYPE_f32, SIZES(5, 1));
    struct value *y = build_sum_to(&f->b, x, narrow);
    expect_type(f, y, "f32[5,1]");
    expect_type(f, build_broadcast_to(&f->b, y, x->type), "f32[4,5,7]");
    assert_ptr_equal(build_sum_to(&f->b, x, x->type), x);
    assert_ptr_equal(build_broadcast_to(&f->b, x, x->type), x);
}

/* cond(c) { x + 1 } { x }, with x used from outside and captured afterwards. */
static void a_region_captures_what_it_uses(void **state) {
    struct fixture *f = *state;
    struct types *types = f->graph->types;
    struct value *c = build_input(&f->b, "c", type_scalar(types, DTYPE_bool));
    struct value *x = input(f, DTYPE_f32, SIZES(3));
    struct op *cond = op_create(f->graph, OP_cond, &c, 1, NULL, 0, (const struct type *[]){NULL}, 1, NULL);
    struct builder inner = f->b;
    builder_at_end(&inner, op_add_region(f->graph, cond));
    struct value *sum = build_add(&inner, x, build_number(&inner, DTYPE_f32, 1));
    build_yield(&inner, &sum, 1);
    builder_at_end(&inner, op_add_region(f->graph, cond));
    build_yield(&inner, &x, 1);
    op_append(cond, f->b.block);
    for (int i = 0; i < 2; i++)
        region_close(f->graph, cond, cond->regions[i]);
    assert_int_equal(cond->in_count, 2);
    assert_ptr_equal(cond->in[1], x);
    assert_int_equal(value_use_count(x), 1);
    assert_int_equal(cond->regions[1]->param_count, 1);
    assert_ptr_equal(cond->regions[0]->function, f->function);
    assert_true(op_infer(f->graph, cond, f->diags));
    expect_type(f, cond->out[0], "f32[3]");
}

static void uses_stay_linked_while_operands_are_added(void **state) {
    struct fixture *f = *state;
    struct value *x = input(f, DTYPE_f32, SIZES(3)), *y = input(f, DTYPE_f32, SIZES(3));
    struct value *in[] = {x, x, y};
    struct op *yield = build_op(&f->b, OP_yield, in, 3, NULL, 0, NULL, 0);
    for (int i = 0; i < 5; i++)
        op_add_in(f->graph, yield, i % 2 ? y : x);
    assert_int_equal(value_use_count(x), 5);
    assert_int_equal(value_use_count(y), 3);
    value_replace(x, y);
    assert_false(value_has_uses(x));
    assert_int_equal(value_use_count(y), 8);
    op_erase(yield);
    assert_false(value_has_uses(y));
    assert_null(block_yield(f->function->body));
}

static void binding_types_everything_again(void **state) {
    struct fixture *f = *state;
    struct types *types = f->graph->types;
    const struct dim *H = dim_var(types, "H"), *half = dim_div(types, H, dim_const(types, 2));
    struct value *x = build_input(&f->b, "x", type_get(types, DTYPE_f32, 1, &H));
    struct value *y = build_reshape(&f->b, x, 2, (const struct dim *[]){half, dim_const(types, 2)});
    build_yield(&f->b, &y, 1);
    const struct precondition even = {
        .dim = H, .multiple = 2, .message = "images come in pairs", .site = &site_unknown};
    function_require(f->function, &even);
    assert_false(graph_bind(f->graph, f->function, &(struct dim_binding){"H", 7}, 1, f->diags));
    assert_string_equal(diag_message(f->diags, 0), "H must be a multiple of 2, but is 7");
    diags_clear(f->diags);
    assert_false(graph_bind(f->graph, f->function, NULL, 0, f->diags));
    diags_clear(f->diags);
    const struct dim_binding sizes[] = {{"Q", 3}, {"H", 6}};
    assert_true(graph_bind(f->graph, f->function, sizes, 2, f->diags));
    expect_type(f, y, "f32[3,2]");
    assert_int_equal(f->function->sizes.count, 1); /* nothing here has the size Q */
    assert_string_equal(f->function->sizes.at[0].name, "H");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(elementwise_operators_broadcast),
        TEST(contractions_check_what_they_sum_over),
        TEST(convolutions_count_their_windows),
        TEST(a_strided_conv_of_a_symbolic_image_is_typed),
        TEST(slices_stay_inside),
        TEST(numbers_are_rounded_to_their_dtype),
        TEST(sum_to_is_the_adjoint_of_broadcasting),
        TEST(a_region_captures_what_it_uses),
        TEST(uses_stay_linked_while_operands_are_added),
        TEST(binding_types_everything_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
