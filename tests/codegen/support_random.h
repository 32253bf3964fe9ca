/* tests/codegen/support_random.h: random functions of graphs: one operator of the table with random shapes
 * and attributes, or a few dozen of them that use each other's results. A seed says everything about a
 * function. */
#ifndef TESTS_CODEGEN_SUPPORT_RANDOM_H
#define TESTS_CODEGEN_SUPPORT_RANDOM_H

#include "ir/build.h"
#include "ir/tensor.h"

/* What a caller gives for an input. */
enum fill {
    FILL_GRID, /* floats: multiples of 1/8 in [-4, 4], whose sums and products are exact in any order; small
                  integers */
    FILL_REAL, /* floats in [lo, hi) */
    FILL_SPECIAL, /* floats: infinities, NaN, both zeros, subnormals, halves among numbers of every size */
    FILL_BITS,    /* integers: any */
    FILL_INDEX    /* integers in 0..hi - 1 */
};
struct random_input {
    enum fill fill;
    double lo, hi;
};

/* How a function's results compare with the evaluator's. */
enum exactness {
    EXACT,   /* the bits of its exact mode, but for the sign of zeros and NaNs */
    ROUNDED, /* each element within a few units in its last place */
    SUMMED,  /* max|a - b| <= 1e-5 max|b| (of the dtype's own precision where that is less) */
    SMOOTH   /* as near to the f64 evaluator as the exact one is, times some */
};

struct random_function {
    struct function *function;
    struct random_input *inputs; /* in order */
    enum exactness exactness;
};

/* One use of the operator in a function of its own. A new operator needs a row in the table `makers`:
 * random_knows says whether it has one. */
bool random_knows(enum opcode code);
/* limit: no size is greater, which makes a smaller function of the same kind; 0: none. */
struct random_function random_operator(struct graph *graph, const char *name, enum opcode code, uint32_t seed,
                                       int limit, struct diags *diags);
/* `ops` operators and more, loops and conds among them. Of smooth ones with 16-bit floats half of the
 * operators compute in them; differentiable ones stop no gradient. */
enum graph_kind { GRAPH_OF_EXACT, GRAPH_OF_SMOOTH, GRAPH_OF_SIXTEEN, GRAPH_OF_DIFFERENTIABLE };
struct random_function random_graph(struct graph *graph, const char *name, int ops, enum graph_kind kind,
                                    uint32_t seed, int limit, struct diags *diags);

/* The elements of an input. */
void random_fill(const struct random_input *input, uint32_t seed, struct tensor *out);

#endif
