/* codegen/lower.h: kernel ops to loop IR. Each kind of kernel has one lowering, found by the kernel's `kind`.
 */
#ifndef CODEGEN_LOWER_H
#define CODEGEN_LOWER_H

#include "codegen/loops.h"
#include "codegen/target.h"
#include "ir/graph.h"

struct function_plan; /* passes/plan.h */

struct lowering {
    struct arena *arena;
    const struct target *target;
    struct diags *diags;
    struct strbuf *why; /* --explain; NULL: nobody asks */
    const struct function_plan
        *plan;              /* where operands and results lie; NULL: wherever kernel_overwrites allows */
    const struct map *kept; /* session.h */
    bool packs_weights; /* weights are known beforehand: what is made of them alone is kept (loops.h: packing)
                         */
    bool winograd;      /* 3x3 convolutions may be computed by minimal filtering, which rounds more */
    bool use_openblas;  /* products of matrices by cblas_sgemm, where they are that */
};

/* false: reported. The argument array of the kernel's phases: pointers of kernel->in, then of kernel->out.
 * All of them are dense and row major; those in the workspace, the weights and the state are 64-aligned, the
 * entry's inputs and results as their elements are. A result may be the memory of an operand where
 * kernel_overwrites (passes/plan.h) says so: every element is read by the task that writes it, before it
 * writes any result of that index. */
bool lower_nest(struct lowering *l, const struct op *kernel, struct loop_kernel *out);
bool lower_contract(struct lowering *l, const struct op *kernel, struct loop_kernel *out);
/* The same with a dot's right operand (its left one in a matrix times vector) packed by a first phase of its
 * own into SHARED memory: whoever knows that operand beforehand runs the phase once and keeps the memory. */
bool lower_contract_packed(struct lowering *l, const struct op *kernel, struct loop_kernel *out);
bool lower_attend(struct lowering *l, const struct op *kernel, struct loop_kernel *out);
bool lower_routine(struct lowering *l, const struct op *kernel, struct loop_kernel *out);
/* The one door: by the kernel's kind. */
bool lower_kernel(struct lowering *l, const struct op *kernel, struct loop_kernel *out);

#endif
