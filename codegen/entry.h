/* codegen/entry.h: an entry's `_call` function: the frame around its kernels. */
#ifndef CODEGEN_ENTRY_H
#define CODEGEN_ENTRY_H

#include "codegen/llvm.h"
#include "codegen/session.h"

/* What entries of one module share. */
struct entry_module {
    struct emitter *e;
    const struct compiled *compiled;
    LLVMValueRef run;      /* void run(exec, body, data, tasks) */
    LLVMValueRef fits_cpu; /* bool fits_cpu(): NULL where the machine is the one that compiles */
    uint64_t cpu_tag;
    LLVMTypeRef exec_type, body_type, parallel_for_type, call_type;
    struct map constants; /* const struct data * to LLVMValueRef */
};

/* checks_cpu: the code may meet another CPU than the one it is compiled for. */
void entry_module_init(struct entry_module *m, struct emitter *e, const struct compiled *compiled,
                       bool checks_cpu);
/* int symbol(void *const *args, void *workspace, const weft_exec *exec). Kernels are called by the symbols of
 * their units; where the module does not define one, it is declared. */
LLVMValueRef emit_entry(struct entry_module *m, const struct compiled_function *function, const char *symbol);

/* In codegen/cpuid.c: bool fits_cpu(void): whether the CPU has the instruction sets of the target; NULL where
 * the target is a baseline that every CPU of its kind has. */
LLVMValueRef emit_fits_cpu(struct emitter *e);

#endif
