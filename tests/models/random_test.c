/* Draws against their distributions: moments, Kolmogorov-Smirnov, chi-square, at fixed seeds. A right
 * generator fails each of these with a probability of 10^-4 to 10^-3 for a seed; the seeds here are ones at
 * which it does not. */
#include "support_models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 1 << 16, SEEDS = 3, ORDERS = 64 };
static const struct model_size size = {"tests/models/random.weft", "", "n=65536", "", SHORT, false};

static int set_up(void **state) {
    struct model_run *run = model_open(&size);
    model_compile(run, NULL);
    *state = run;
    return 0;
}

static int tear_down(void **state) {
    model_close(*state);
    return 0;
}

static const void *draw(struct model_run *run, const char *name, uint32_t seed) {
    for (int i = 0; i < run->entry_count; i++)
        if (strcmp(run->program->entries[i].name, name) == 0) {
            struct model_call *call = model_call_create(run, i, seed);
            for (int k = 0; k < call->entry->plan->arguments.count; k++)
                if (call->entry->plan->arguments.at[k].role == WEFT_SEED)
                    memcpy(call->args[k], (uint32_t[]){seed, 0}, 8);
            model_call_run(call, NULL);
            return call->args[call->entry->plan->arguments.count - 1];
        }
    fail_msg("there is no entry %s", name);
    return NULL;
}

/* ---- distributions of real numbers ---- */

static double uniform_below(double x) {
    return x;
}
static double normal_below(double x) {
    return 0.5 * erfc(-x * M_SQRT1_2);
}
static double gumbel_below(double x) {
    return exp(-exp(-x));
}
static double laplace_below(double x) {
    return x < 0 ? 0.5 * exp(x) : 1 - 0.5 * exp(-x);
}

/* Mean and variance; the fourth central moment over the squared variance, which says how far a variance of
 * draws may be off. */
static const struct distribution {
    const char *entry;
    double (*below)(double x);
    double mean, variance, kurtosis;
} distributions[] = {
    {"d_uniform", uniform_below, 0.5, 1.0 / 12, 1.8},
    {"d_normal", normal_below, 0, 1, 3},
    {"d_gumbel", gumbel_below, 0.57721566490153286, 1.6449340668482264, 5.4},
    {"d_laplace", laplace_below, 0, 2, 6},
};

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* sqrt(n) times the greatest distance between the draws' distribution function and the true one: above 1.95
 * with a probability of 10^-3 (Kolmogorov 1933). */
static double distance_of(float *x, double (*below)(double x)) {
    double worst = 0;
    qsort(x, DRAWS, sizeof *x, by_value);
    for (int i = 0; i < DRAWS; i++) {
        double f = below(x[i]);
        worst = fmax(worst, fmax(f - (double)i / DRAWS, (double)(i + 1) / DRAWS - f));
    }
    return worst * sqrt(DRAWS);
}

static void real_draws_have_their_moments_and_their_distribution(void **state) {
    for (size_t k = 0; k < sizeof distributions / sizeof *distributions; k++)
        for (uint32_t seed = 1; seed <= SEEDS; seed++) {
            const struct distribution *d = &distributions[k];
            float *x = malloc(DRAWS * sizeof *x);
            double mean = 0, variance = 0, serial = 0;
            memcpy(x, draw(*state, d->entry, seed), DRAWS * sizeof *x);
            for (int i = 0; i < DRAWS; i++)
                mean += (x[i] - d->mean) / DRAWS;
            for (int i = 0; i < DRAWS; i++) {
                variance += (x[i] - d->mean) * (x[i] - d->mean) / DRAWS;
                serial += i ? (x[i] - d->mean) * (x[i - 1] - d->mean) / DRAWS : 0;
            }
            double distance = distance_of(x, d->below);
            print_message(
                "%-10s seed %u: mean %.2f, variance %.2f, neighbours %.2f deviations, distance %.2f\n",
                d->entry, seed, mean / sqrt(d->variance / DRAWS),
                (variance / d->variance - 1) / sqrt((d->kurtosis - 1) / DRAWS),
                serial / d->variance * sqrt(DRAWS), distance);
            assert_true(fabs(mean) <= 4 * sqrt(d->variance / DRAWS));
            assert_true(fabs(variance / d->variance - 1) <= 4 * sqrt((d->kurtosis - 1) / DRAWS));
            assert_true(fabs(serial) <= 4 * d->variance / sqrt(DRAWS));
            assert_true(distance <= 1.95);
            free(x);
        }
}

/* ---- distributions of whole numbers ---- */

/* Pearson's sum; its mean is the number of classes - 1, its deviation sqrt(2 of that). */
static double chi_square(const int *counts, const double *odds, int classes, int draws) {
    double sum = 0, all = 0;
    for (int i = 0; i < classes; i++)
        all += odds[i];
    for (int i = 0; i < classes; i++) {
        double expected = draws * odds[i] / all;
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return sum;
}

/* Wilson and Hilferty 1931: (sum / k)^(1/3) is about normal. 3.1 deviations: 10^-3. */
static void expect_counts(const char *what, const int *counts, const double *odds, int classes, int draws) {
    double k = classes - 1, sum = chi_square(counts, odds, classes, draws);
    double deviations = (cbrt(sum / k) - (1 - 2 / (9 * k))) / sqrt(2 / (9 * k));
    print_message("%-14s chi-square %.1f of %d classes: %.2f deviations\n", what, sum, classes, deviations);
    assert_true(deviations < 3.1);
}

static void whole_draws_come_as_often_as_they_should(void **state) {
    static const double fair[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, odds[5] = {1, 2, 3, 4, 10},
                        coin[2] = {0.7, 0.3};
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        int sides[2] = {0}, numbers[10] = {0}, classes[5] = {0};
        const float *b = draw(*state, "d_bernoulli", seed);
        const int32_t *r = draw(*state, "d_randint", seed), *c = draw(*state, "d_categorical", seed);
        for (int i = 0; i < DRAWS; i++) {
            assert_true((b[i] == 0 || b[i] == 1) && r[i] >= -3 && r[i] < 7 && c[i] >= 0 && c[i] < 5);
            sides[(int)b[i]]++;
            numbers[r[i] + 3]++;
            classes[c[i]]++;
        }
        expect_counts("bernoulli", sides, coin, 2, DRAWS);
        expect_counts("randint", numbers, fair, 10, DRAWS);
        expect_counts("categorical", classes, odds, 5, DRAWS);
    }
}

/* ---- permutations ---- */

static void a_permutation_has_every_number_once(void **state) {
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        const int32_t *p = draw(*state, "d_permutation", seed);
        bool *seen = calloc(DRAWS, sizeof *seen);
        double serial = 0, place = 0, middle = (DRAWS - 1) / 2.0, variance = ((double)DRAWS * DRAWS - 1) / 12;
        for (int i = 0; i < DRAWS; i++) {
            assert_true(p[i] >= 0 && p[i] < DRAWS && !seen[p[i]]);
            seen[p[i]] = true;
            place += (p[i] - middle) * (i - middle) / variance / DRAWS;
            serial += i ? (p[i] - middle) * (p[i - 1] - middle) / variance / DRAWS : 0;
        }
        assert_true(fabs(place) <= 4 / sqrt(DRAWS) && fabs(serial) <= 4 / sqrt(DRAWS));
        free(seen);
    }
}

/* All 24 orders of four are as likely. */
static void every_order_comes_as_often(void **state) {
    enum { CALLS = 50, ALL = 24 };
    int counts[256] = {0}, used[ALL], count = 0;
    double fair[ALL];
    for (uint32_t seed = 1; seed <= CALLS; seed++) {
        const int32_t *p = draw(*state, "d_orders", seed);
        for (int i = 0; i < ORDERS; i++)
            counts[p[4 * i] + 4 * p[4 * i + 1] + 16 * p[4 * i + 2] + 64 * p[4 * i + 3]]++;
    }
    for (int code = 0; code < 256; code++)
        if (counts[code]) {
            assert_true(count < ALL);
            fair[count] = 1;
            used[count++] = counts[code];
        }
    assert_int_equal(count, ALL);
    expect_counts("orders", used, fair, ALL, CALLS * ORDERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(real_draws_have_their_moments_and_their_distribution),
        TEST(whole_draws_come_as_often_as_they_should),
        TEST(a_permutation_has_every_number_once),
        TEST(every_order_comes_as_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
