/* bench/peak.h: what this core can do: GFLOP/s of a loop of fused multiply-adds in registers alone. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

double peak_gflops(void); /* about 10 ms */

#endif
