/* bench/numerics: how far compiled functions of one f32 are from the exact result over all bit patterns, in
 * units of the last place of the f32 nearest to it, and where they are farthest. See README.md.
 *
 *   numerics [STRIDE]      every STRIDE-th pattern; 1: all 2^32
 *
 * The exact result is that of the C library in double, whose error is some 2^-29 of a unit; what may be the
 * worst so far is computed once more in long double. */
#include "numerics.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4096 }; /* elements of a call */

typedef int one_argument(const float *x, int64_t n, float *y, void *workspace, const weft_exec *exec);
typedef int two_arguments(const float *x, const float *y, int64_t n, float *z, void *workspace,
                          const weft_exec *exec);

/* ---- exact ---- */

#define PLAIN(name)                                                                                          \
    static double d_##name(double x, double y) {                                                             \
        (void)y;                                                                                             \
        return name(x);                                                                                      \
    }                                                                                                        \
    static long double l_##name(long double x, long double y) {                                              \
        (void)y;                                                                                             \
        return name##l(x);                                                                                   \
    }
PLAIN(exp)
PLAIN(expm1)
PLAIN(log)
PLAIN(log1p)
PLAIN(sqrt)
PLAIN(sin)
PLAIN(cos)
PLAIN(tanh)
PLAIN(erf)
PLAIN(erfc)

#define FORMULA(name, type, prefix, suffix, expression)                                                      \
    static type prefix##name(type x, type y) {                                                               \
        (void)y;                                                                                             \
        return expression;                                                                                   \
    }
#define BOTH(name, in_double, in_long_double)                                                                \
    FORMULA(name, double, d_, , in_double) FORMULA(name, long double, l_, l, in_long_double)
BOTH(sigmoid, 1 / (1 + exp(-x)), 1 / (1 + expl(-x)))
BOTH(softplus, fmax(x, 0) + log1p(exp(-fabs(x))), fmaxl(x, 0) + log1pl(expl(-fabsl(x))))
BOTH(silu, x / (1 + exp(-x)), x / (1 + expl(-x)))
BOTH(gelu, 0.5 * x * erfc(-x * M_SQRT1_2), 0.5L * x * erfcl(-x * 0.707106781186547524400844362104849039L))

static double d_pow(double x, double y) {
    return pow(x, y);
}
static long double l_pow(long double x, long double y) {
    return powl(x, y);
}
static double d_atan2(double x, double y) {
    return atan2(x, y);
}
static long double l_atan2(long double x, long double y) {
    return atan2l(x, y);
}

static const struct function {
    const char *name;
    one_argument *one;
    two_arguments *two;
    double (*near)(double x, double y);
    long double (*exact)(long double x, long double y);
} functions[] = {
#define ONE(name)                                                                                            \
    { #name, numerics_f_##name, NULL, d_##name, l_##name }
#define TWO(name)                                                                                            \
    { #name, NULL, numerics_f_##name, d_##name, l_##name }
    ONE(exp), ONE(expm1), ONE(log),     ONE(log1p),    ONE(sqrt), ONE(sin),  ONE(cos), ONE(tanh),
    ONE(erf), ONE(erfc),  ONE(sigmoid), ONE(softplus), ONE(silu), ONE(gelu), TWO(pow), TWO(atan2),
};

/* ---- errors ---- */

struct worst {
    double error;
    float x, y, got;
};

struct report {
    struct worst normal,
        subnormal;        /* results from 2^-126 on, in units of the last place; below, in units of 2^-149 */
    uint64_t specials;    /* NaN, infinity or the sign of zero where it should be otherwise */
    struct worst special; /* one of them */
    uint64_t count;
};

static double error_of(float got, long double exact) {
    int exponent;
    frexpl(exact, &exponent);
    exponent = exponent < -125 ? -125 : exponent;
    return (double)(fabsl(exact - (long double)got) / ldexpl(1, exponent - 24));
}

/* What is no finite number, or zero, is right or wrong. The neighbours of infinity are one unit apart. */
static bool is_special(float got, float nearest, bool *right) {
    if (isnan(nearest) || isnan(got)) {
        *right = isnan(nearest) && isnan(got);
        return true;
    }
    if (isinf(nearest) || isinf(got)) {
        *right = nearest == got || fabsf(isinf(got) ? nearest : got) >= 0x1.fffffcp127f;
        return true;
    }
    *right = signbit(nearest) == signbit(got);
    return nearest == 0 && got == 0;
}

static void look(const struct function *f, float x, float y, float got, struct report *r) {
    double near = f->near(x, y);
    bool right;
    r->count++;
    if (is_special(got, (float)near, &right)) {
        if (!right)
            r->special = (struct worst){0, x, y, got};
        r->specials += !right;
        return;
    }
    struct worst *worst = fabs(near) < 0x1p-126 ? &r->subnormal : &r->normal;
    if (error_of(got, near) <= worst->error - 1e-6)
        return;
    double error = error_of(got, f->exact(x, y));
    if (error > worst->error)
        *worst = (struct worst){error, x, y, got};
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* Of two arguments one runs over all patterns, the other is any; half of them lie where neither 0 nor
 * infinity is near. */
static void fill(bool is_pair, uint64_t first, uint64_t stride, float *x, float *y) {
    uint32_t seed = (uint32_t)first * 2654435761u + 1;
    for (int i = 0; i < N; i++) {
        x[i] = from_bits((uint32_t)(first + (uint64_t)i * stride));
        seed = seed * 1664525u + 1013904223u;
        y[i] = from_bits(seed ^ seed >> 15);
        if (is_pair && i % 2) {
            x[i] = (float)ldexp(1 + (x[i] == x[i] ? fmod(fabs((double)x[i]), 1) : 0), (int)(seed >> 27) - 16);
            y[i] = (float)((double)seed * 0x1p-27 - 16);
        }
    }
}

static struct report measure(const struct function *f, uint64_t stride) {
    static float x[N], y[N], z[N];
    static _Alignas(64) unsigned char workspace[1 << 20];
    struct report r = {0};
    for (uint64_t first = 0; first < UINT64_C(1) << 32; first += N * stride) {
        fill(f->two != NULL, first, stride, x, y);
        int code = f->one ? f->one(x, N, z, workspace, NULL) : f->two(x, y, N, z, workspace, NULL);
        if (code) {
            fprintf(stderr, "%s: error %d\n", f->name, code);
            exit(1);
        }
        for (int i = 0; i < N; i++)
            look(f, x[i], y[i], z[i], &r);
    }
    return r;
}

static void print_place(const struct function *f, const struct worst *w) {
    if (f->two)
        printf(" | %.9g, %.9g", (double)w->x, (double)w->y);
    else
        printf(" | %.9g", (double)w->x);
}

int main(int count, char **arguments) {
    uint64_t stride = count > 1 ? strtoull(arguments[1], NULL, 10) : 1009;
    if (stride == 0)
        return fprintf(stderr, "usage: numerics [STRIDE]\n"), 2;
    printf("| function | ulp | at | below 2^-126, in 2^-149 | at | wrong specials |\n");
    printf("| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
        const struct function *f = &functions[i];
        if (count > 2 && strcmp(arguments[2], f->name) != 0)
            continue;
        struct report r = measure(f, stride);
        printf("| %s | %.2f", f->name, r.normal.error);
        print_place(f, &r.normal);
        printf(" | %.2f", r.subnormal.error);
        print_place(f, &r.subnormal);
        printf(" | %llu", (unsigned long long)r.specials);
        if (r.specials)
            printf(" (%.9g: %.9g)", (double)r.special.x, (double)r.special.got);
        printf(" |\n");
        fflush(stdout);
    }
    return 0;
}
