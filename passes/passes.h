/* passes/passes.h: the passes, one file and one function each; passes/pipeline.c has them in their order.
 * Each returns true where the graph is valid, false where it reported why it cannot go on. */
#ifndef PASSES_PASSES_H
#define PASSES_PASSES_H

#include "passes/pipeline.h"

typedef bool pass_function(struct graph *graph, struct pass_context *context);

pass_function attend;        /* attention becomes one op, whose scores are never stored */
pass_function differentiate; /* replaces every `grad` by graph */
pass_function inline_calls;  /* opens the calls of composites without a kernel of their own */
pass_function simplify;      /* the rules of simplify.c, to a fixpoint */
pass_function cse;           /* shares what is computed twice in a block */
pass_function dce;           /* drops what nothing needs: ops, results, captures, carried values */
pass_function open_remat;    /* remat regions become plain ops, and attention that no kernel computes */
pass_function fuse;          /* groups the ops that one kernel computes */
pass_function split;         /* what takes most memory in other forms, where memory is limited */
pass_function rematerialise; /* computes kernels again, where memory is limited */
pass_function schedule;      /* the order of least peak memory */
pass_function alias;         /* views, updates in place, concat by construction */
pass_function plan_memory;   /* gives every value its place */

#endif
