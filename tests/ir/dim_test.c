#include "ir/type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct arena *arena;
static struct types *types;

static int setup(void **state) {
    (void)state;
    arena = arena_create();
    types = types_create(arena);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(arena);
    return 0;
}

static const struct dim *dim(const char *text) {
    const struct dim *d = dim_parse(types, text, strlen(text));
    assert_non_null(d);
    return d;
}

static void check(const struct dim *d, const char *text) {
    assert_non_null(d);
    assert_string_equal(dim_text(types, d), text);
    assert_ptr_equal(dim(text), d); /* and the text reads back as the same dim */
}

static const struct dim *n(int64_t value) {
    return dim_const(types, value);
}

static const struct dim *v(const char *name) {
    return dim_var(types, name);
}

static void sums_and_products_have_one_normal_form(void **state) {
    (void)state;
    const struct dim *H = v("H"), *W = v("W");
    check(n(0), "0");
    check(n(-7), "-7");
    check(dim_add(types, dim_mul(types, n(2), H), n(1)), "2*H + 1");
    check(dim_sub(types, n(1), H), "-H + 1");
    check(dim_mul(types, W, H), "H*W");
    check(dim_mul(types, dim_add(types, H, n(1)), dim_sub(types, H, n(1))), "H^2 - 1");
    check(dim_sub(types, dim_add(types, H, W), H), "W");
    assert_ptr_equal(dim_add(types, H, W), dim_add(types, W, H));
    assert_ptr_equal(dim_sub(types, H, H), n(0));
    assert_true(dim_is_const(n(3)) && dim_value(n(3)) == 3 && !dim_is_const(H));
}

static void division_is_exact_or_refused(void **state) {
    (void)state;
    check(dim_div(types, dim("H*W"), dim("W")), "H");
    check(dim_div(types, dim("6*H"), n(4)), "3/2*H");
    check(dim_div(types, dim("H^2 - 1"), dim("H + 1")), "H - 1");
    check(dim_div(types, dim("H*W + 2*W"), dim("H + 2")), "W");
    check(dim_div(types, n(64), n(4)), "16");
    assert_null(dim_div(types, n(64), n(3)));
    assert_null(dim_div(types, dim("H + 1"), dim("W")));
    assert_null(dim_div(types, dim("H"), n(0)));
    assert_false(dim_is_integral(dim("1/2*H")));
    assert_true(dim_is_integral(dim("2*H*W + 3")));
}

static void floors_keep_only_what_is_not_whole(void **state) {
    (void)state;
    check(dim_floordiv(types, n(-7), 2), "-4");
    check(dim_floordiv(types, dim("2*H + 1"), 2), "H");
    check(dim_floordiv(types, dim("H - 1"), 2), "floor((H + 1)/2) - 1");
    check(dim_floordiv(types, dim("3*H"), 2), "H + floor(H/2)");
    check(dim_floordiv(types, dim("2*H + 1"), 4), "floor(H/2)");
    /* floor((floor((H + 1)/2) + 1)/2) = floor((H + 3)/4) */
    const struct dim *half = dim_floordiv(types, dim("H + 1"), 2);
    check(dim_floordiv(types, dim_add(types, half, n(1)), 2), "floor((H + 3)/4)");
    check(dim_mul(types, half, half), "floor((H + 1)/2)^2");
    check(dim("floor((2*H + W)/3)*B"), "B*floor((2*H + W)/3)");
}

static void what_is_assumed_to_divide_does(void **state) {
    (void)state;
    assert_false(dim_is_multiple(types, v("H"), 2));
    dim_assume_multiple(types, v("H"), 8);
    assert_true(dim_is_multiple(types, v("H"), 4));
    assert_false(dim_is_multiple(types, v("H"), 16));
    assert_true(dim_is_multiple(types, dim("1/2*H"), 4));
    check(dim_floordiv(types, dim("H - 1"), 2), "1/2*H - 1");
    dim_assume_multiple(types, dim("3*W"), 12);
    assert_true(dim_is_multiple(types, v("W"), 4));
    dim_assume_multiple(types, dim("K - 1"), 2);
    assert_true(dim_is_multiple(types, dim("K + 1"), 2));
    assert_true(dim_is_multiple(types, dim("3*K - 1"), 2));
    assert_false(dim_is_multiple(types, dim("K"), 2));
    check(dim_floordiv(types, dim("K"), 2), "1/2*K - 1/2");
    assert_true(dim_is_multiple(types, n(12), 4));
    assert_false(dim_is_multiple(types, n(12), 5));
}

static void comparison_holds_for_all_sizes_or_is_left_open(void **state) {
    (void)state;
    assert_int_equal(dim_compare(types, n(3), n(4)), -1);
    assert_int_equal(dim_compare(types, dim("H + 1"), dim("H")), 1);
    assert_int_equal(dim_compare(types, dim("H"), dim("H")), 0);
    assert_int_equal(dim_compare(types, dim("H"), dim("W")), 2);
    assert_int_equal(dim_compare(types, dim("H"), n(0)), 2); /* H may be 0 */
    assert_int_equal(dim_compare(types, dim("floor(H/2)"), dim("H + 1")), -1);
    assert_int_equal(dim_compare(types, dim("2*floor((H + 1)/2) + 1"), dim("H")), 1);
}

static void binding_wants_whole_numbers(void **state) {
    (void)state;
    struct dim_binding bindings[] = {{"H", 10}, {"W", 3}};
    assert_ptr_equal(dim_bind(types, dim("H*W + 2*H^2"), bindings, 2), n(230));
    assert_ptr_equal(dim_bind(types, dim("1/2*H"), bindings, 2), n(5));
    assert_null(dim_bind(types, dim("1/2*W"), bindings, 2));
    assert_ptr_equal(dim_bind(types, dim("floor((W + 1)/4)"), bindings, 2), n(1));
    check(dim_bind(types, dim("H*B"), bindings, 2), "10*B");
    assert_ptr_equal(dim_bind(types, dim("W - 8"), bindings, 2), n(-5));
}

static void hostile_text_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",        "+",      "H+",         "2*",  "H^",  "H^0",
                                        "H^99999", "floor(", "floor(H/0)", "1/0", "H W", "floor((H + 1)/2",
                                        "()",      "H)",     "-",          "^2",  "H/W"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        assert_null(dim_parse(types, texts[i], strlen(texts[i])));
    char deep[4000] = "";
    for (int i = 0; i < 500; i++)
        strcat(deep, "floor(");
    assert_null(dim_parse(types, deep, strlen(deep)));
}

static void sizes_beyond_int64_saturate(void **state) {
    (void)state;
    const struct dim *huge = dim("9999999999999999999999");
    assert_true(dim_value(huge) == INT64_MAX);
    assert_true(dim_value(dim_mul(types, huge, huge)) == INT64_MAX);
    int64_t sizes[] = {INT64_MAX, 4, 0};
    assert_true(type_bytes(type_of_sizes(types, DTYPE_f32, 2, sizes)) == INT64_MAX);
    assert_int_equal(type_bytes(type_of_sizes(types, DTYPE_f32, 3, sizes)), 0);
}

static void equal_types_are_one_type(void **state) {
    (void)state;
    const struct dim *dims[] = {v("B"), n(1), n(28)};
    const struct type *type = type_get(types, DTYPE_f32, 3, dims);
    assert_string_equal(type_text(types, type), "f32[B,1,28]");
    assert_ptr_equal(type, type_get(types, DTYPE_f32, 3, dims));
    assert_ptr_equal(type_with_dtype(types, type_with_dtype(types, type, DTYPE_i8), DTYPE_f32), type);
    assert_string_equal(dim_text(types, type_count(types, type)), "28*B");
    assert_false(type_is_static(type));
    assert_string_equal(type_text(types, type_scalar(types, DTYPE_bool)), "bool[]");
}

static void broadcasting_is_numpy_s(void **state) {
    (void)state;
    const struct dim *a[] = {v("B"), n(1), n(4)}, *b[] = {n(7), n(1)}, *c[] = {n(3)};
    const struct type *x = type_get(types, DTYPE_f32, 3, a), *y = type_get(types, DTYPE_f32, 2, b);
    assert_string_equal(type_text(types, type_broadcast(types, x, y)), "f32[B,7,4]");
    assert_ptr_equal(type_broadcast(types, x, x), x);
    assert_null(type_broadcast(types, x, type_get(types, DTYPE_f32, 1, c)));
    assert_ptr_equal(type_broadcast(types, type_scalar(types, DTYPE_f32), x), x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(sums_and_products_have_one_normal_form),
        TEST(division_is_exact_or_refused),
        TEST(floors_keep_only_what_is_not_whole),
        TEST(what_is_assumed_to_divide_does),
        TEST(comparison_holds_for_all_sizes_or_is_left_open),
        TEST(binding_wants_whole_numbers),
        TEST(hostile_text_is_refused),
        TEST(sizes_beyond_int64_saturate),
        TEST(equal_types_are_one_type),
        TEST(broadcasting_is_numpy_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
