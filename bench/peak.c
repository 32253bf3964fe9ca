#include "peak.h"

#include <time.h>

typedef float vector __attribute__((vector_size(32)));

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Ten chains hide the latency of four cycles on two pipes and leave registers for the factors. Each is a variable of its
 * own, pinned by an empty asm, so that nothing goes through memory and nothing is folded away. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)

double peak_gflops(void) {
    enum { CHAINS = 10, LANES = 8, TURNS = 400000 };
    vector a = {0}, b = {0};
    for (int i = 0; i < LANES; i++)
        a[i] = 0.999f, b[i] = 1e-3f;
#define DECLARE(i) vector x##i = a;
    EACH(DECLARE)
    double begun = seconds();
    for (int turn = 0; turn < TURNS; turn++) {
#define MULTIPLY_ADD(i) x##i = x##i * a + b;
#define PIN(i)          __asm__ volatile("" : "+x"(x##i));
        EACH(MULTIPLY_ADD)
        EACH(PIN)
    }
    double taken = seconds() - begun;
    return 2.0 * LANES * CHAINS * TURNS / taken * 1e-9;
}
