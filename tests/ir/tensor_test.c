#include "ir/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena;
    struct types *types;
};

static int setup(void **state) {
    static struct fixture f;
    f.arena = arena_create();
    f.types = types_create(f.arena);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    arena_destroy(((struct fixture *)*state)->arena);
    return 0;
}

static void f16_rounds_to_nearest_even(void **state) {
    (void)state;
    assert_true(float_round(DTYPE_f16, 1 + 0x1p-11) == 1);                /* half way, down to even */
    assert_true(float_round(DTYPE_f16, 1 + 0x1.8p-10) == 1 + 0x1p-9);     /* half way, up to even */
    assert_true(float_round(DTYPE_f16, 1 + 0x1.0002p-11) == 1 + 0x1p-10); /* just above */
    assert_true(float_round(DTYPE_f16, 65519.0) == 65504);
    assert_true(isinf(float_round(DTYPE_f16, 65520.0)));
    assert_true(float_round(DTYPE_f16, 0x1p-24) == 0x1p-24); /* the least subnormal */
    assert_true(float_round(DTYPE_f16, 0x1p-25) == 0);
    assert_true(float_round(DTYPE_f16, 0x1.8p-24) == 0x1p-23);
    assert_true(float_round(DTYPE_bf16, 1 + 0x1p-8) == 1);
    assert_true(float_round(DTYPE_bf16, 1 + 0x1.8p-7) == 1 + 0x1p-6);
    assert_true(signbit(float_round(DTYPE_f16, -0x1p-30)));
    assert_true(isnan(float_round(DTYPE_bf16, NAN)));
}

/* Every pattern of 16 bits comes back, but for the payload of NaNs. */
static void halves_go_both_ways(void **state) {
    struct fixture *f = *state;
    const enum dtype dtypes[] = {DTYPE_f16, DTYPE_bf16};
    for (int d = 0; d < 2; d++)
        for (int bits = 0; bits < 0x10000; bits++) {
            uint16_t in = (uint16_t)bits, out;
            static struct tensor one;
            double value;
            one = (struct tensor){type_scalar(f->types, dtypes[d]), {.f = &value}};
            tensor_set_bytes(&one, &in);
            tensor_to_bytes(&one, &out);
            if (isnan(value))
                assert_true((out & 0x7fff) > (d ? 0x7f80 : 0x7c00));
            else
                assert_int_equal(in, out);
        }
}

static void half_bits_are_ieee(void **state) {
    struct fixture *f = *state;
    const uint16_t half[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555};
    const double half_values[] = {1, -2, 65504, 0x1p-24, 0.333251953125};
    const uint16_t brain[] = {0x3f80, 0xc000, 0x7f7f, 0x0001, 0x3eab};
    const double brain_values[] = {1, -2, 0x1.FEp127, 0x1p-133, 0.333984375};
    const int64_t five = 5;
    struct tensor *a = tensor_from_bytes(f->arena, type_of_sizes(f->types, DTYPE_f16, 1, &five), half);
    struct tensor *b = tensor_from_bytes(f->arena, type_of_sizes(f->types, DTYPE_bf16, 1, &five), brain);
    for (int k = 0; k < 5; k++) {
        assert_true(a->f[k] == half_values[k]);
        assert_true(b->f[k] == brain_values[k]);
    }
}

static void integers_wrap(void **state) {
    (void)state;
    assert_int_equal(int_wrap(DTYPE_i8, 200), -56);
    assert_int_equal(int_wrap(DTYPE_u8, -1), 255);
    assert_int_equal(int_wrap(DTYPE_i32, INT64_C(1) << 31), INT32_MIN);
    assert_int_equal(int_wrap(DTYPE_u32, -1), UINT32_MAX);
    assert_int_equal(int_wrap(DTYPE_bool, 4), 1);
    assert_int_equal(int_least(DTYPE_i64), INT64_MIN);
    assert_int_equal(int_greatest(DTYPE_i64), INT64_MAX);
    assert_int_equal(int_least(DTYPE_i8), -128);
    assert_int_equal(int_greatest(DTYPE_u32), UINT32_MAX);
}

static struct tensor *floats(struct fixture *f, int64_t count, const double *values) {
    struct tensor *t = tensor_create(f->arena, type_of_sizes(f->types, DTYPE_f64, 1, &count));
    memcpy(t->f, values, sizeof(double) * (size_t)count);
    return t;
}

static void tensors_compare_by_the_greatest_error(void **state) {
    struct fixture *f = *state;
    struct tensor *b = floats(f, 3, (double[]){1, -10, 0});
    struct tensor *near = floats(f, 3, (double[]){1, -10.001, 0}),
                  *far = floats(f, 3, (double[]){1, -10, 0.5});
    struct strbuf why;
    strbuf_init(&why, f->arena);
    assert_true(compare_tensors(near, b, 1.1e-4, &why));
    assert_int_equal(why.length, 0);
    assert_false(compare_tensors(near, b, 0.9e-4, NULL));
    assert_false(compare_tensors(far, b, 1e-2, &why));
    assert_string_equal(why.text, "max|a-b| / max|b| = 0.05 > 0.01, a[2] = 0.5 for 0");
}

static void tensors_compare_what_is_not_finite(void **state) {
    struct fixture *f = *state;
    struct tensor *b = floats(f, 3, (double[]){NAN, INFINITY, 1});
    assert_true(compare_tensors(floats(f, 3, (double[]){NAN, INFINITY, 1}), b, 0, NULL));
    assert_false(compare_tensors(floats(f, 3, (double[]){0, INFINITY, 1}), b, 1, NULL));
    assert_false(compare_tensors(floats(f, 3, (double[]){NAN, -INFINITY, 1}), b, 1, NULL));
    assert_false(compare_tensors(floats(f, 3, (double[]){NAN, INFINITY, NAN}), b, 1, NULL));
}

static void tensors_of_other_shapes_differ(void **state) {
    struct fixture *f = *state;
    struct strbuf why;
    strbuf_init(&why, f->arena);
    assert_false(compare_tensors(floats(f, 2, (double[]){1, 2}), floats(f, 1, (double[]){1}), 1, &why));
    assert_string_equal(why.text, "shapes differ: f64[2] for f64[1]");
    assert_true(compare_tensors(floats(f, 0, (double[]){0}), floats(f, 0, (double[]){0}), 0, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(halves_go_both_ways),
        cmocka_unit_test(half_bits_are_ieee),
        cmocka_unit_test(integers_wrap),
        cmocka_unit_test(tensors_compare_by_the_greatest_error),
        cmocka_unit_test(tensors_compare_what_is_not_finite),
        cmocka_unit_test(tensors_of_other_shapes_differ),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
