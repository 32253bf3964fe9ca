#include "driver/peak.h"

#include <time.h>

enum { TURNS = 50000 };

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve chains hide 4 to 6 cycles of latency at two a cycle. Named variables: an array's elements would live
 * in memory. */
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
enum { CHAINS = 12 };

#define START(i) vector x##i = SUMMAND_TIMES(i);
#define STEP(i)  x##i = FMA(x##i);
#define KEEP(i)  __asm__ volatile("" : REGISTER(x##i));
#define LOOP                                                                                                 \
    EACH(START)                                                                                              \
    double start = seconds_now();                                                                            \
    for (long k = 0; k < TURNS; k++) {                                                                       \
        EACH(STEP)                                                                                           \
        EACH(KEEP)                                                                                           \
    }                                                                                                        \
    const double seconds = seconds_now() - start, lanes = (double)sizeof(vector) / (double)sizeof(float);    \
    return 2e-9 * TURNS * CHAINS * lanes / seconds;

#if defined(__x86_64__)
#include <immintrin.h>

#define REGISTER(x) "+v"(x)
__attribute__((target("avx512f"))) static double peak_avx512(void) {
    typedef __m512 vector;
    const vector factor = _mm512_set1_ps(0.999f), summand = _mm512_set1_ps(1e-3f);
#define SUMMAND_TIMES(i) _mm512_mul_ps(summand, _mm512_set1_ps((float)i))
#define FMA(x)           _mm512_fmadd_ps(x, factor, summand)
    LOOP
#undef SUMMAND_TIMES
#undef FMA
}
#undef REGISTER

#define REGISTER(x) "+x"(x)
__attribute__((target("avx2,fma"))) static double peak_avx2(void) {
    typedef __m256 vector;
    const vector factor = _mm256_set1_ps(0.999f), summand = _mm256_set1_ps(1e-3f);
#define SUMMAND_TIMES(i) _mm256_mul_ps(summand, _mm256_set1_ps((float)i))
#define FMA(x)           _mm256_fmadd_ps(x, factor, summand)
    LOOP
#undef SUMMAND_TIMES
#undef FMA
}

static double peak_sse(void) {
    typedef __m128 vector;
    const vector factor = _mm_set1_ps(0.999f), summand = _mm_set1_ps(1e-3f);
#define SUMMAND_TIMES(i) _mm_mul_ps(summand, _mm_set1_ps((float)i))
#define FMA(x)           _mm_add_ps(_mm_mul_ps(x, factor), summand)
    LOOP
#undef SUMMAND_TIMES
#undef FMA
}

double peak_gflops(void) {
    if (__builtin_cpu_supports("avx512f"))
        return peak_avx512();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? peak_avx2() : peak_sse();
}
#else
#define REGISTER(x)      "+w"(x)
double peak_gflops(void) {
    typedef float vector __attribute__((vector_size(4 * sizeof(float))));
    vector factor = {0}, summand = {0};
    factor += 0.999f;
    summand += 1e-3f;
#define SUMMAND_TIMES(i) (summand * (float)i)
#define FMA(x)           (x * factor + summand)
#pragma STDC FP_CONTRACT ON
    LOOP
}
#endif
