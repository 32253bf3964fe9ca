/* What the tests of evaluation and gradients share: graphs from text, tensors from text, random tensors. A
 * mistake in a text fails the test with the rendered diagnostics. */
#ifndef TESTS_IR_SUPPORT_EVAL_H
#define TESTS_IR_SUPPORT_EVAL_H

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/text.h"

struct fixture {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    struct diags *diags;
    uint64_t random; /* the state of random_number; set it for a reproducible stream */
};

int fixture_create(void **state);
int fixture_destroy(void **state);

const char *rendered(struct fixture *f); /* all diagnostics */
struct graph *parsed(struct fixture *f, const char *text);
/* The text of a function f whose inputs are the operands of one op and whose results are the op's. `use` is
 * written as the examples of ops.def: "type, type {attributes} : type". */
const char *text_around(struct fixture *f, const char *op, const char *use);
/* "1 2.5 nan inf": as many numbers as the type has elements. */
struct tensor *numbers(struct fixture *f, const struct type *type, const char *text);
/* The next part of a text whose parts are separated by ';'; *text moves on. */
const char *next_part(struct fixture *f, const char **text);
double random_number(struct fixture *f, double least, double greatest);
/* The types of a function's inputs, in order; the count of them. */
int input_types(struct fixture *f, const struct function *function, const struct type ***types);

#endif
