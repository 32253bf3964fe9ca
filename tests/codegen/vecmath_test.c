/* Errors of the vector functions, in units of the last place of the exact result, against long double. */
#include "support.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 4099 }; /* not a multiple of any number of lanes: the rest is tested too */

struct function {
    enum opcode code;
    long double (*exact)(long double x, long double y);
    bool is_binary;
    float from, to; /* beyond the range over all bit patterns, this one is sampled densely */
};

#define UNARY(name)                                                                                          \
    static long double exact_##name(long double x, long double y) {                                          \
        (void)y;                                                                                             \
        return name##l(x);                                                                                   \
    }
UNARY(exp)
UNARY(expm1)
UNARY(log)
UNARY(log1p)
UNARY(tanh)
UNARY(erf)
UNARY(erfc)
UNARY(sin)
UNARY(cos)
UNARY(sqrt)
UNARY(floor)
UNARY(roundeven)

static long double exact_gelu(long double x, long double y) {
    (void)y;
    return 0.5L * x * erfcl(x * -0.707106781186547524400844362104849039L);
}

static long double exact_pow(long double x, long double y) {
    return powl(x, y);
}

static long double exact_atan2(long double x, long double y) {
    return atan2l(x, y);
}

/* Each has to keep to the ulp of its row in ir/ops.def. */
static const struct function functions[] = {
    {OP_exp, exact_exp, false, -104, 89},  {OP_expm1, exact_expm1, false, -3, 3},
    {OP_log, exact_log, false, 0.2f, 3},   {OP_log1p, exact_log1p, false, -0.9f, 3},
    {OP_tanh, exact_tanh, false, -3, 3},   {OP_erf, exact_erf, false, -4, 4},
    {OP_erfc, exact_erfc, false, -6, 11},  {OP_sin, exact_sin, false, -20, 20},
    {OP_cos, exact_cos, false, -20, 20},   {OP_sqrt, exact_sqrt, false, 0, 3},
    {OP_floor, exact_floor, false, -3, 3}, {OP_round, exact_roundeven, false, -3, 3},
    {OP_gelu, exact_gelu, false, -16, 8},  {OP_pow, exact_pow, true, -4, 4},
    {OP_atan2, exact_atan2, true, -4, 4},
};

static struct machine *compile(struct arena *arena, const struct target *target, const struct function *fn) {
    struct loop_function *f = loop_function_create(arena);
    struct buffer *x = loop_add_argument(f, 0, DTYPE_f32, N, "x", false);
    struct buffer *y = loop_add_argument(f, 1, DTYPE_f32, N, "y", false);
    struct buffer *z = loop_add_argument(f, 2, DTYPE_f32, N, "z", true);
    struct loop_var *i = loop_var_create(f, "i", DTYPE_i64);
    i->min = 0, i->max = N - 1;
    struct loop_list list = {0}, body = {0};
    struct loop_stmt *loop = loop_for(f, &list, i, lexpr_index(f, 0), lexpr_index(f, N), 1, LOOP_VECTOR);
    const struct loop_expr *at = lexpr_var(f, i), *args[] = {lexpr_load(f, x, at), lexpr_load(f, y, at)};
    struct loop_stmt *store = loop_append(f, &body, LSTMT_STORE);
    store->buffer = z;
    store->index = at;
    store->value = lexpr_op(f, fn->code, DTYPE_f32, args, fn->is_binary ? 2 : 1);
    loop->body = body.first;
    f->body = list.first;
    struct loop_kernel *kernel = ARENA_NEW(arena, struct loop_kernel);
    VEC_PUSH(arena, &kernel->phases, f);
    return machine_create(arena, target, kernel, 3);
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static double error_in_ulp(float got, long double exact) {
    float nearest = (float)exact;
    if (isnan(nearest))
        return isnan(got) ? 0 : INFINITY;
    if (nearest == got)
        return signbit(nearest) != signbit(got) ? INFINITY : exact == (long double)got ? 0 : 0.5;
    if (isinf(nearest) || isinf(got)) /* the next to infinity counts as one place away */
        return fabsf(isinf(got) ? nearest : got) >= 0x1.fffffcp127f ? 1 : INFINITY;
    int exponent;
    frexpf(nearest, &exponent);
    exponent = exponent < -125 ? -125 : exponent;
    return (double)(fabsl(exact - (long double)got) / ldexpl(1, exponent - 24));
}

struct worst {
    double error;
    float x, y, got;
};

static void measure(struct machine *m, const struct function *fn, const float *x, const float *y,
                    struct worst *worst) {
    static float z[N];
    machine_run(m, (void *[]){(void *)(uintptr_t)x, (void *)(uintptr_t)y, z}, false);
    for (int i = 0; i < N; i++) {
        double error = error_in_ulp(z[i], fn->exact(x[i], y[i]));
        if (!(error <= worst->error))
            *worst = (struct worst){error, x[i], y[i], z[i]};
    }
}

/* All exponents with a stride through the bit patterns, then the interesting range. */
static struct worst worst_of(struct machine *m, const struct function *fn, int rounds) {
    static float x[N], y[N];
    struct worst worst = {0};
    uint32_t bits = 0, other = 12345;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < N; i++) {
            x[i] = from_bits(bits);
            y[i] = from_bits(other);
            bits += 0x9E3779B9u;
            other = other * 1664525u + 1013904223u;
        }
        measure(m, fn, x, y, &worst);
        for (int i = 0; i < N; i++) {
            double u = (double)bits / 4294967296.0, v = (double)other / 4294967296.0;
            x[i] = (float)(fn->from + u * ((double)fn->to - fn->from));
            y[i] = (float)(fn->from + v * ((double)fn->to - fn->from));
            bits += 0x9E3779B9u;
            other = other * 1664525u + 1013904223u;
        }
        measure(m, fn, x, y, &worst);
    }
    static const float edges[] = {
        0.0f, -0.0f, 1, -1, INFINITY, -INFINITY, NAN,      0x1p-126f, -0x1p-149f, 0x1.fffffep127f,
        0.5f, -0.5f, 2, 3,  -3,       88.72284f, -103.97f, 0x1p-60f,  16777216,   1e30f};
    enum { EDGES = sizeof(edges) / sizeof(*edges) };
    for (int i = 0; i < N; i++) {
        x[i] = edges[i % EDGES];
        y[i] = edges[i / EDGES % EDGES];
    }
    measure(m, fn, x, y, &worst);
    return worst;
}

static void within_bounds_on(struct arena *arena, const struct target *target, int rounds) {
    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
        const struct function *fn = &functions[i];
        struct machine *m = compile(arena, target, fn);
        struct worst w = worst_of(m, fn, rounds);
        print_message("%-6s %5.2f ulp at %.9g %.9g: %.9g\n", opcode_text(fn->code), w.error, (double)w.x,
                      (double)w.y, (double)w.got);
        assert_true(w.error <= op_infos[fn->code].ulp);
        machine_destroy(m);
    }
}

static void native_functions_are_accurate(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    within_bounds_on(arena, native_target(arena), 40);
    arena_destroy(arena);
}

/* Without FMA: products are rounded before they are added. */
static void baseline_functions_are_accurate(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const struct target *target = target_get(arena, "x86-64", diags_create(arena));
    if (native_target(arena)->triple[0] == 'x')
        within_bounds_on(arena, target, 10);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_functions_are_accurate),
        cmocka_unit_test(baseline_functions_are_accurate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
