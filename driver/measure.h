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
/* How many calls are measured: at least `least`, until about `seconds` have passed, at most MOST_RUNS; or as
 * many as --runs says. */
enum { MOST_RUNS = 10000 };
struct run_count {
    int least;
    double seconds;
};
/* The times of calls behind one that does not count, in the session's arena; NULL: reported. After each call,
 * `between` is called (NULL: nothing). */
double *measured_calls(struct measured *m, struct run_count wanted, void (*between)(void *context),
                       void *context, int *count);
void measured_close(struct measured *m);

const struct function *measured_function(const struct measured *m);
/* "vit.weft:ViT:logits", as the user named it, with the entry behind it. */
const char *measured_name(const struct measured *m);

#endif
