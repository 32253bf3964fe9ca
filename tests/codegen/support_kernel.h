/* Kernels compiled alone: a function in IR text with one kernel op, lowered, emitted, linked and run in this
 * process, for tests of the lowerings and for bench/kernels. */
#ifndef TESTS_CODEGEN_SUPPORT_KERNEL_H
#define TESTS_CODEGEN_SUPPORT_KERNEL_H

#include "codegen/jit.h"
#include "codegen/loops.h"
#include "codegen/lower.h"
#include "ir/graph.h"

typedef void kernel_phase(void *data, int64_t task, int32_t worker);

struct kernel_run {
    struct arena *arena;
    struct types *types;
    struct diags *diags;
    const struct target *target;
    struct graph *graph;
    const struct op *op;
    struct loop_kernel kernel;
    struct jit *jit;
    int phase_count;
    kernel_phase **phases;
    int64_t *tasks;
    double lower_seconds, emit_seconds; /* to loop IR; to an object */
    const char *why;                    /* what --explain says */
    void **data;                        /* the argument array: operands, results, SHARED, WORKER, error */
};

/* cpu as target_get takes it, or "wide"; for aarch64 and x86-64-v4 an object is made and not linked. `make`
 * is lower_contract or its like. NULL: an error was reported or LLVM refused; *why is the text. */
struct kernel_run *kernel_compile(const char *text, const char *cpu,
                                  bool (*make)(struct lowering *, const struct op *, struct loop_kernel *),
                                  const char **why);
void kernel_free(struct kernel_run *run);
/* Memory for operands, results and scratch, 64-aligned, with guards of NaN behind each. */
void kernel_allocate(struct kernel_run *run, int workers);
void kernel_random(struct kernel_run *run, uint32_t seed); /* operands: floats in [-1, 1], bools, zeros */
void kernel_call(struct kernel_run *run, int first_phase); /* all tasks in order, worker 0 */
/* Runs it again, tasks from the last to the first by turns on all workers; true: the results have the same
 * bits. */
bool kernel_same_in_any_order(struct kernel_run *run, int workers);
bool kernel_guards_hold(const struct kernel_run *run);
/* The greatest |a - b| / max|b| over the results, where b is the evaluator's in f64. */
double kernel_error(struct kernel_run *run);
double seconds_now(void); /* of this thread on a core: a neighbour's time does not count */

#endif
