/* codegen/entry.h: an entry's `_call` function: the frame around its kernels. */
#ifndef CODEGEN_ENTRY_H
#define CODEGEN_ENTRY_H

#include "codegen/llvm.h"
#include "codegen/session.h"

/* What entries of one module share. */
struct entry_module {
    struct emitter *e;
    const struct compiled *compiled;
    LLVMValueRef steps;    /* the function that runs a table of kernels (codegen/steps.c) */
    LLVMValueRef copy;     /* the body of a step that copies data[2] bytes from data[1] to data[0] */
    LLVMValueRef fits_cpu; /* bool fits_cpu(): NULL where the machine is the one that compiles */
    uint64_t cpu_tag;
    bool profiles; /* entries write a log */
    LLVMTypeRef exec_type, body_type, parallel_for_type, call_type;
};

/* checks_cpu: the code may meet another CPU than the one it is compiled for. */
void entry_module_init(struct entry_module *m, struct emitter *e, const struct compiled *compiled,
                       bool checks_cpu);
/* int symbol(void *const *args, void *workspace, const weft_exec *exec). Kernels are called by the symbols of
 * their units; where the module does not define one, it is declared. */
LLVMValueRef emit_entry(struct entry_module *m, const struct compiled_function *function, const char *symbol);

/* Places that the data array of any kernel or copy wants. */
int entry_most_slots(const struct compiled *compiled);
/* A unit's function, declared where the module does not define it. */
LLVMValueRef entry_unit(const struct entry_module *m, const char *symbol);
/* In codegen/packing.c: int symbol(void *weights): fills the PACKED memory behind the tensors of a weights
 * block from them. */
LLVMValueRef emit_pack_function(struct entry_module *m, const char *symbol);

/* In codegen/print.c: shows a dense tensor through exec->print, where fn's exec has one. */
void emit_print_call(struct entry_module *m, LLVMValueRef fn, LLVMValueRef exec, const char *label,
                     const struct type *type, LLVMValueRef data);

/* A run of kernels: a table of steps and one of slots, in codegen/steps.c. A step first fills the next
 * `slots` places of the data array, each with a base and an offset from it, then calls the body for its
 * tasks. */
struct step {
    LLVMValueRef body;
    int64_t tasks;
    int slots;
    int row; /* of the profile */
};
struct step_slot {
    int base;
    int64_t offset;
};
struct step_run {
    VEC(struct step) steps;
    VEC(struct step_slot) slots;
};
/* void weft_steps(exec, bases, data, bodies, steps, count, slots), internal; where the module profiles, then
 * (.., rows, log). */
LLVMValueRef emit_steps_function(struct entry_module *m);
LLVMValueRef emit_copy_function(struct entry_module *m);
/* Calls it for the run, which is empty afterwards. */
void emit_step_run(struct entry_module *m, struct step_run *run, LLVMValueRef exec, LLVMValueRef bases,
                   LLVMValueRef data, LLVMValueRef log);
/* An event of this row (i64) in the log (codegen.h). */
void emit_event(const struct emitter *e, LLVMValueRef log, LLVMValueRef row);

/* In codegen/cpuid.c: bool fits_cpu(void): whether the CPU has the instruction sets of the target; NULL where
 * the target is a baseline that every CPU of its kind has. */
LLVMValueRef emit_fits_cpu(struct emitter *e);

#endif
