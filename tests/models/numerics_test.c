/* The numbers of the library's functions: activations within 4 units of the last place over all of f32;
 * softmax, norms and losses of extreme arguments; sums of a million terms. Against long double, on this
 * machine's CPU and on the baseline, which has no fused multiply-add. */
#include "support_models.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4099, ROWS = 8, CLASSES = 5, WIDTH = 64, TERMS = 1 << 20 };
static const struct model_size size = {
    "tests/models/numerics.weft", "", "N=4099 R=8 K=5 D=64 L=1048576", "", SHORT, false};
static const char *const cpus[] = {"native", "x86-64"};

static int set_up(void **state) {
    struct model_run *run = model_open(&size);
    model_compile(run, *state);
    *state = run;
    return 0;
}

static int tear_down(void **state) {
    model_close(*state);
    return 0;
}

static struct model_call *call_of(struct model_run *run, const char *name) {
    for (int i = 0; i < run->entry_count; i++)
        if (strcmp(run->program->entries[i].name, name) == 0)
            return model_call_create(run, i, 1);
    fail_msg("there is no entry %s", name);
    return NULL;
}

static void *argument(struct model_call *call, const char *input) {
    return call->args[entry_argument(call->entry, input, true)];
}

static const float *run_call(struct model_call *call) {
    model_call_run(call, NULL);
    return (const float *)call->args[call->entry->plan->arguments.count - 1];
}

/* ---- activations ---- */

static long double exact_sigmoid(long double x) {
    return 1 / (1 + expl(-x));
}
static long double exact_softplus(long double x) {
    return fmaxl(x, 0) + log1pl(expl(-fabsl(x)));
}
static long double exact_silu(long double x) {
    return x / (1 + expl(-x));
}
static long double exact_gelu(long double x) {
    return 0.5L * x * erfcl(-x * 0.707106781186547524400844362104849039L);
}

static const struct activation {
    const char *entry;
    long double (*exact)(long double x);
    float least; /* where numbers are close together, up to 20 */
} activations[] = {
    {"f_sigmoid", exact_sigmoid, -105},
    {"f_softplus", exact_softplus, -105},
    {"f_silu", exact_silu, -110},
    {"f_gelu", exact_gelu, -15},
};

/* In units of the last place of a normal number; of 2^-149 below, counted double: 2 of them are as bad as 4.
 */
static double error_of(float got, long double exact) {
    int exponent;
    if (isnan(exact) || isinf((float)exact) || isinf(got))
        return (isnan(exact) && isnan(got)) || (float)exact == got ? 0 : HUGE_VAL;
    if (got == 0 && !signbit(got) != !signbit(exact))
        return HUGE_VAL;
    frexpl(exact, &exponent);
    bool is_normal = exponent >= -125;
    double units = (double)(fabsl(exact - (long double)got) / ldexpl(1, is_normal ? exponent - 24 : -149));
    return is_normal ? units : 2 * units;
}

static void fill_activation(const struct activation *a, float *x, int round) {
    static const float edges[] = {0.0f,     -0.0f,     INFINITY, NAN,     FLT_MIN,
                                  -FLT_MIN, 0x1p-149f, FLT_MAX,  -FLT_MAX};
    for (int i = 0; i < N; i++) {
        uint32_t bits = (uint32_t)(round * N + i) * 0x9E3779B9u;
        memcpy(&x[i], &bits, sizeof *x);
        if (round % 2)
            x[i] = (float)(a->least + (20 - a->least) * (bits * 0x1p-32));
        else if (i < (int)(sizeof edges / sizeof *edges))
            x[i] = edges[i];
    }
}

static void activations_are_within_four_units(void **state) {
    for (size_t k = 0; k < sizeof activations / sizeof *activations; k++) {
        const struct activation *a = &activations[k];
        struct model_call *call = call_of(*state, a->entry);
        float *x = argument(call, "x"), worst_x = 0, worst_y = 0;
        double worst = 0;
        for (int round = 0; round < 40; round++) {
            fill_activation(a, x, round);
            const float *y = run_call(call);
            for (int i = 0; i < N; i++) {
                double error = isinf(x[i]) && x[i] < 0 ? 0 : error_of(y[i], a->exact(x[i]));
                if (error > worst) {
                    worst = error;
                    worst_x = x[i];
                    worst_y = y[i];
                }
            }
        }
        print_message("%-12s %.2f at %.9g: %.9g\n", a->entry, worst, (double)worst_x, (double)worst_y);
        assert_true(worst <= 4);
    }
}

/* ---- extreme arguments ---- */

static const float extreme_rows[ROWS][CLASSES] = {
    {1e30f, -1e30f, 0, 1e30f, 5},    {88, 89, 90, 1000, 999},  {-1000, -1001, -1002, -999, -1e5f},
    {-INFINITY, 0, 1, -INFINITY, 2}, {3e38f, 3e38f, 0, 1, 2},  {1e-40f, -1e-40f, 0, 0, 0},
    {0.1f, 0.2f, 0.3f, 0.4f, 0.5f},  {-3e38f, 3e38f, 0, 1, 2},
};

static long double exact_logsumexp(const float *row, float *greatest) {
    long double sum = 0;
    *greatest = row[0];
    for (int k = 1; k < CLASSES; k++)
        *greatest = fmaxf(*greatest, row[k]);
    for (int k = 0; k < CLASSES; k++)
        sum += expl((long double)row[k] - (long double)*greatest);
    return logl(sum);
}

/* Within 8 units of the greater of 1 and the number itself, and never NaN. */
static void expect_near(const char *what, int row, float got, long double exact) {
    long double bound = 8 * 0x1p-23L * fmaxl(1, fabsl(exact));
    if (isinf((float)exact) ? got != (float)exact : !(fabsl((long double)got - exact) <= bound))
        fail_msg("%s, row %d: %.9g for %.12Lg", what, row, (double)got, exact);
}

static void softmax_and_its_logarithm_neither_overflow_nor_cancel(void **state) {
    static const char *const names[] = {"f_softmax", "f_log_softmax", "f_logsumexp", "f_cross_entropy"};
    for (int which = 0; which < 4; which++) {
        struct model_call *call = call_of(*state, names[which]);
        memcpy(argument(call, "x"), extreme_rows, sizeof extreme_rows);
        for (int r = 0; which == 3 && r < ROWS; r++)
            ((int32_t *)argument(call, "label"))[r] = 2;
        const float *y = run_call(call);
        for (int r = 0; r < ROWS; r++) {
            const float *row = extreme_rows[r];
            float top;
            long double log_sum = exact_logsumexp(row, &top);
            for (int k = 0; which < 2 && k < CLASSES; k++) {
                long double log_p = (long double)row[k] - (long double)top - log_sum;
                expect_near(names[which], r, y[r * CLASSES + k], which ? log_p : expl(log_p));
            }
            if (which == 2)
                expect_near(names[which], r, y[r], (long double)top + log_sum);
            if (which == 3)
                expect_near(names[which], r, y[r], (long double)top + log_sum - (long double)row[2]);
        }
    }
}

static void losses_of_sure_mistakes_are_finite(void **state) {
    struct model_call *call = call_of(*state, "f_bce");
    float *z = argument(call, "z"), *target = argument(call, "target");
    for (int i = 0; i < N; i++) {
        z[i] = (float)ldexp(i % 2 ? 1.1 : -1.1, i % 140 - 20);
        target[i] = i % 3 ? 1 : 0;
    }
    const float *y = run_call(call);
    for (int i = 0; i < N; i++) {
        long double exact = target[i] > 0 ? exact_softplus(-(long double)z[i]) : exact_softplus(z[i]);
        expect_near("f_bce", i, y[i], exact);
    }
}

/* ---- norms ---- */

struct moments {
    long double mean, variance, square;
};

static struct moments moments_of(const float *x, int n) {
    struct moments m = {0, 0, 0};
    for (int i = 0; i < n; i++) {
        m.mean += x[i];
        m.square += (long double)x[i] * x[i];
    }
    m.mean /= n;
    m.square /= n;
    for (int i = 0; i < n; i++)
        m.variance += (x[i] - m.mean) * (x[i] - m.mean);
    m.variance /= n;
    return m;
}

/* Rows of one spread about means of any size: E[x^2] - E[x]^2 would lose all digits of the variance, from
 * 3000 on (2^12) all of them. What is bound to be lost are those of the mean itself. And rows so large that
 * cubes overflow. */
static void fill_norm(float *x) {
    uint32_t seed = 5;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < WIDTH; i++) {
            seed = seed * 1664525u + 1013904223u;
            double noise = (double)(seed >> 8) * 0x1p-23 - 1;
            x[r * WIDTH + i] =
                (float)(r < 6 ? noise + (r ? pow(10, r - 1) : 0) : ldexp(noise, r == 6 ? 60 : -60));
        }
}

static void norms_and_variances_keep_their_digits(void **state) {
    static const char *const names[] = {"f_layer_norm", "f_group_norm", "f_rms_norm", "f_var"};
    static const double eps[] = {1e-5, 1e-5, 1e-6, 0};
    for (int which = 0; which < 4; which++) {
        struct model_call *call = call_of(*state, names[which]);
        float *x = argument(call, "x");
        fill_norm(x);
        const float *y = run_call(call);
        int group = which == 1 ? WIDTH / 2 : WIDTH;
        for (int first = 0; first < ROWS * WIDTH; first += group) {
            struct moments m = moments_of(x + first, group);
            long double spread = sqrtl((which == 2 ? m.square : m.variance) + (long double)eps[which]);
            long double lost = which == 2 ? 0 : fabsl(m.mean) / sqrtl(m.variance);
            long double bound = (4 + lost) * 0x1p-22L;
            for (int i = 0; which < 3 && i < group; i++) {
                long double exact = (x[first + i] - (which == 2 ? 0 : m.mean)) / spread;
                if (!(fabsl(y[first + i] - exact) <= bound))
                    fail_msg("%s, element %d: %.9g for %.12Lg", names[which], first + i, (double)y[first + i],
                             exact);
            }
            if (which == 3 && !(fabsl(y[first / group] - m.variance) <= bound * m.variance))
                fail_msg("f_var, row %d: %.9g for %.12Lg", first / group, (double)y[first / group],
                         m.variance);
        }
    }
}

/* ---- optimisers ---- */

/* Kingma & Ba 2015, section 2.1: both corrections cancel in Adam's first step, which is lr times the
 * gradient's sign. 1 - 0.999 in f32 would make it 6.7e-6 shorter. */
static void the_first_step_of_adam_is_its_rate(void **state) {
    struct model_call *call = call_of(*state, "f_first_step");
    float *x = argument(call, "x");
    for (int i = 0; i < WIDTH; i++)
        x[i] = (i % 2 ? -1.0f : 1.0f) * ldexpf(1.0f + (float)i / WIDTH, i % 9);
    const float *y = run_call(call);
    for (int i = 0; i < WIDTH; i++)
        if (!(fabs((double)y[i] + (i % 2 ? -1.0 : 1.0)) <= 4e-7))
            fail_msg("a gradient of %.9g moves by %.9g", (double)x[i], (double)y[i]);
}

/* ---- sums ---- */

/* One running sum of f32 is off by 9e-3 over all terms and by 3e-3 over each fourth one. */
static void sums_of_a_million_terms(void **state) {
    static const struct {
        const char *entry;
        int results, block, step; /* result r is the sum of the terms r * block + k * step */
        double bound;
    } sums[] = {{"f_sum", 1, 0, 1, 4e-6},
                {"f_mean", 1, 0, 1, 4e-6},
                {"f_columns", 4, 1, 4, 2e-5},
                {"f_rows", 4, TERMS / 4, 1, 4e-6},
                {"f_product", 1, 0, 1, 1e-4}};
    for (size_t s = 0; s < sizeof sums / sizeof *sums; s++) {
        struct model_call *call = call_of(*state, sums[s].entry);
        float *x = argument(call, "x");
        for (int i = 0; i < TERMS; i++)
            x[i] = 0.1f + (float)(i % 97) * 0x1p-20f;
        const float *y = run_call(call);
        for (int r = 0; r < sums[s].results; r++) {
            long double exact = 0;
            for (int k = 0; k < TERMS / sums[s].results; k++) {
                long double term = x[r * sums[s].block + k * sums[s].step];
                exact += s == 4 ? term * term : term;
            }
            exact /= s == 1 ? TERMS : 1;
            double error = (double)(fabsl(y[r] - exact) / exact);
            print_message("%-12s %.2g\n", sums[s].entry, error);
            assert_true(error <= sums[s].bound);
        }
    }
}

int main(void) {
    struct CMUnitTest tests[16];
    static const struct {
        const char *name;
        void (*run)(void **);
    } all[] = {
#define TEST(name) {#name, name}
        TEST(activations_are_within_four_units),  TEST(softmax_and_its_logarithm_neither_overflow_nor_cancel),
        TEST(losses_of_sure_mistakes_are_finite), TEST(norms_and_variances_keep_their_digits),
        TEST(the_first_step_of_adam_is_its_rate), TEST(sums_of_a_million_terms),
    };
    enum { ALL = sizeof all / sizeof *all };
    int count = 0;
    for (size_t cpu = 0; cpu < sizeof cpus / sizeof *cpus; cpu++)
        for (int i = 0; i < ALL; i++)
            tests[count++] =
                (struct CMUnitTest){all[i].name, all[i].run, set_up, tear_down, (void *)(uintptr_t)cpus[cpu]};
    return _cmocka_run_group_tests("numerics", tests, (size_t)count, NULL, NULL);
}
