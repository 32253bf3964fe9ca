/* driver/bisect_gradients.h: are the gradients of a program slopes? Each `grad` is watched through reports
 * that are put around it before `differentiate` replaces it; then the evaluator moves what it goes by. */
#ifndef DRIVER_BISECT_GRADIENTS_H
#define DRIVER_BISECT_GRADIENTS_H

#include "ir/build.h"
#include "ir/eval.h"

/* Puts the reports into the function: of each y, x and gradient. Gives the number of `grad`s. */
int gradients_watch(struct function *function, struct diags *diags);

struct gradient_run {
    struct graph *graph; /* differentiated; the function was watched before */
    const struct function *function;
    struct tensor *const *inputs;
    int input_count;
    struct tensor *const *states; /* by index */
    struct diags *diags;
};
/* Along a random direction of all that a `grad` goes by, in f64: what its y changes by against what it says.
 * What stop_gradient gives stays as it was. In a loop the first turn counts. *why stays NULL where all agree.
 * false: reported. */
bool gradients_are_slopes(const struct gradient_run *run, struct arena *arena, const char **why);

#endif
