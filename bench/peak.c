#include "peak.h"

#include <time.h>

typedef float vector __attribute__((vector_size(32)));

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve chains hide the latency of 4 cycles on two pipes; wider vectors are the compiler's to use by -march. The
 * empty asm keeps the chains in registers and the loop from being folded away. */
double peak_gflops(void) {
    enum { CHAINS = 12, LANES = 8, TURNS = 400000 };
    vector acc[CHAINS], a = {0}, b = {0};
    for (int i = 0; i < LANES; i++)
        a[i] = 0.999f, b[i] = 1e-3f;
    for (int i = 0; i < CHAINS; i++)
        acc[i] = a;
    double begun = seconds();
    for (int turn = 0; turn < TURNS; turn++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = acc[i] * a + b;
            __asm__ volatile("" : "+x"(acc[i]));
        }
    }
    double taken = seconds() - begun;
    return 2.0 * LANES * CHAINS * TURNS / taken * 1e-9;
}
