/* driver/measure.h: one entry of a model with everything that a call of it takes: compiled code, weights and
 * state, inputs of its own. For `weft bench` and `weft profile`. */
#ifndef DRIVER_MEASURE_H
#define DRIVER_MEASURE_H

#include "driver/entries.h"

struct measured {
    struct session session;
    struct invocation *invocation;
    struct instance *instance;
    struct sizes sizes;
    struct requests requests;
    struct program *program; /* entry 0: the one that is measured; entry 1: init */
    struct memory memory;
    void **values;           /* of the entry's arguments; behind them, the log */
    struct profile_log *log; /* of the last call, where the session profiles; else NULL */
};

/* Options and words. EXIT_OK, or the reason was printed. With `profile` the entry writes a log. */
enum exit_status measured_open(struct measured *m, struct invocation *invocation, bool profile);
/* Compiles; fresh weights, or those of --weights; inputs in [0, 1), integers 0. false: reported. */
bool measured_prepare(struct measured *m);
/* One call, and how long it took. */
bool measured_call(struct measured *m, double *seconds);
/* Calls until `least` are done and about `seconds` have passed, after one that does not count; times is by
 * call and the caller's, with room for `most`. The number of calls; -1: reported. After each, `between` is
 * called. */
int measured_calls(struct measured *m, double *times, int least, int most, double seconds,
                   void (*between)(void *context), void *context);
void measured_close(struct measured *m);

const struct function *measured_function(const struct measured *m);
/* "vit.weft:ViT:logits", as the user named it, with the entry behind it. */
const char *measured_name(const struct measured *m);

#endif
