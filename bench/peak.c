#include "peak.h"

#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

enum { CHAINS = 12, TURNS = 50000 }; /* 12 chains hide 4 to 6 cycles of latency at two a cycle */

/* Named variables: an array's elements would live in memory. */
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double peak_gflops(void) {
    vector factor = {0}, summand = {0};
    factor += 0.999f;
    summand += 1e-3f;
#define START(i) vector x##i = summand * (float)i;
    EACH(START)
    double start = seconds_now();
    for (long k = 0; k < TURNS; k++) {
#define STEP(i) x##i = x##i * factor + summand;
        EACH(STEP)
#define KEEP(i) __asm__ volatile("" : "+x"(x##i));
        EACH(KEEP)
    }
    double seconds = seconds_now() - start;
    return 2.0 * TURNS * CHAINS * LANES / seconds * 1e-9;
}
