/* passes/plan_run.h: runs a function by its memory plan, for tests and `weft dump --bisect`: every op reads
 * its operands from the bytes that the plan gives them and writes its results there, as compiled code does.
 * What the plan gets wrong (two values in one place, a state that is overwritten before its last reader)
 * shows as other bytes than the evaluator's. */
#ifndef PASSES_PLAN_RUN_H
#define PASSES_PLAN_RUN_H

#include "ir/eval.h"
#include "passes/plan.h"

struct plan_run {
    struct arena *arena;
    struct graph *graph;
    const struct plan *plan;
    const struct function_plan *function;
    struct eval *eval;
    unsigned char *arena_bytes, *weights, *state, **args;
};

/* Zeroed blocks and arguments; the caller fills weights, state and the inputs among args. */
void plan_run_init(struct plan_run *run, struct arena *arena, struct graph *graph, const struct plan *plan,
                   const struct function *function, struct diags *diags);
bool plan_run(struct plan_run *run); /* false: the evaluator reported */
unsigned char *plan_run_state(struct plan_run *run, const struct state *state);

#endif
