/* tests/codegen/support_gradients.h: a random function with its gradients, and whether these are the slopes.
 */
#ifndef TESTS_CODEGEN_SUPPORT_GRADIENTS_H
#define TESTS_CODEGEN_SUPPORT_GRADIENTS_H

#include "support_random.h"

#include "ir/eval.h"

/* What the results of a function with gradients are: y, a weighted sum of what it gave before, and the
 * gradients of y by the float inputs; then y_2, a weighted sum of these, and its gradients. */
struct derivatives {
    int orders; /* 0: nothing in it is differentiable, and it is as it was */
    struct {
        int y;   /* number among the results, */
        int *dx; /* and by input: -1: no gradient */
    } at[2];
    int input_count;
};

/* Gives f further inputs (weights of the sums) and those results. Special numbers among its inputs become
 * ordinary ones (far from 0 where it divides: a quotient's steps come close together there), and it counts as
 * smooth. false: reported. */
bool random_gradients(struct graph *graph, struct random_function *f, bool divides, struct derivatives *d,
                      struct diags *diags);

/* Evaluates a function in f64; false: it refuses. */
typedef bool evaluate_fn(void *context, struct tensor **results);
/* Moves all float inputs to and fro along a random direction and compares the change of y and of y_2 with
 * what their gradients say. A corner of the function may lie in between, so one of several steps has to
 * agree. inputs are the tensors that `evaluate` reads. is_rough: constants have 8 or 11 bits. */
bool derivatives_agree(const struct derivatives *d, struct tensor *const *inputs, bool is_rough,
                       uint32_t seed, evaluate_fn *evaluate, void *context, struct arena *arena,
                       struct strbuf *why);

#endif
