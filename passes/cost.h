/* passes/cost.h: what a piece of the graph costs: floating point operations, and bytes from and to memory. */
#ifndef PASSES_COST_H
#define PASSES_COST_H

#include "ir/graph.h"

struct cost {
    double flops; /* a multiplication and an addition are two; other operators as ir/ops.def counts them */
    double bytes; /* of kernels: the operands and results that are tensors of their own */
};

/* One run of an op; of a kernel, the sum over what it computes. Sizes are bound. */
struct cost cost_of_op(const struct op *op);
/* All kernels of a block and of its regions; those of a loop as often as it turns, once where that is known
 * at run time alone, and the dearer side of a cond. */
struct cost cost_of_block(const struct block *block);

#endif
