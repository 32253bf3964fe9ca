/* What the tests of gradients share: a text is differentiated, and each gradient compared with central finite
 * differences in f64. A difference fails the test with the seed, the place and the graph. */
#ifndef TESTS_IR_SUPPORT_GRADIENT_H
#define TESTS_IR_SUPPORT_GRADIENT_H

#include "ir/gradient.h"

#include "support_eval.h"

enum { SEED = 20240611 };

/* What is differentiated: a text whose function's float inputs are numbers between least and greatest. */
struct subject {
    const char *text;
    double least, greatest;
    int orders;
};

/* A subject with its inputs, while it is checked. */
struct check {
    struct fixture *f;
    const struct subject *subject;
    struct graph *graph;
    struct function *function;
    struct builder b;
    struct value **xs; /* the float inputs */
    int *x_inputs;     /* their numbers among all inputs */
    int x_count, input_count;
    struct tensor **inputs;
    struct eval *eval;
};

void check_create(struct check *c, struct fixture *f, const struct subject *subject);
/* Appends y, a random sum of the results, the gradients of y by the xs, y_2, a random sum of these, its
 * gradients, ... and makes them the results: y, dx.., y_2, dx_2.., ... Gives the number of orders that there
 * are. */
int build_orders(struct check *c);
struct tensor **run_check(struct check *c); /* the function's results on c->inputs; c->eval is set before */
/* The whole of it, in memory of its own. */
void check_text(const struct subject *subject);
/* One op on operands as in an example of ops.def, floats between least and greatest. */
void check_use(const char *op, const char *use, double least, double greatest, int orders);

#endif
