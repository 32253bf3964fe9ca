/* driver/peak.h: the machine's FMA peak, from a loop on registers alone with the widest vectors that the
 * processor has. What bench/ and `weft bench` measure beside everything else. It links alone. */
#ifndef DRIVER_PEAK_H
#define DRIVER_PEAK_H

double peak_gflops(void); /* one thread, f32, about half a millisecond */

#endif
