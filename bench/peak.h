/* bench/peak.h: the machine's FMA peak, from a loop on registers alone, for the widest vectors that
 * the compiler was allowed: build with -march=native. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

double peak_gflops(void); /* one thread, about half a millisecond */

#endif
