/* codegen/llvm.h: what the files of codegen/ share of the LLVM C API. No other layer may include an LLVM
 * header. */
#ifndef CODEGEN_LLVM_H
#define CODEGEN_LLVM_H

#include "base/arena.h"
#include "codegen/loops.h"
#include "codegen/target.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

/* One module under construction. Types are cached; `fn` is the function being emitted. */
struct emitter {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    const struct target *target;
    struct arena *arena;
    LLVMValueRef fn;
    struct debug *debug; /* -g: codegen/debug.h; else NULL */
    LLVMTypeRef i1, i8, i32, i64, f32, f64, ptr, void_type;
};

/* false: LLVM refused (reported by the caller as a defect). The module's data layout and triple are the
 * target's. */
bool emitter_init(struct emitter *e, const struct target *target, struct arena *arena,
                  const char *module_name);
void emitter_finish(struct emitter *e); /* disposes builder, module and context */

/* What a kernel's data array has behind its arguments. WORKERS: memory of worker 0; PACKED is there only for
 * kernels that have such memory. */
enum data_slot { DATA_SHARED, DATA_WORKERS, DATA_ERROR, DATA_PACKED, DATA_SLOTS };
/* Defines `function` as void symbol(void *data, i64 task, i32 worker) in the module. `data` points to an
 * array: the kernel's arguments, then those of enum data_slot. From the memory of one worker to that of the
 * next are `worker_bytes`. site: of the kernel, for -g. In codegen/emit.c. */
LLVMValueRef emit_loop_function(struct emitter *e, const struct loop_function *function, int argument_count,
                                int64_t worker_bytes, const struct site *site);

/* Vector maths (codegen/vecmath.c): x is a float or a vector of floats (f32 or f64); the result has its type.
 * Within the bounds of docs/codegen.md. */
LLVMValueRef emit_math(struct emitter *e, enum opcode code, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef emit_exp_below(struct emitter *e, LLVMValueRef x); /* of x below 80; what is subnormal is 0 */
/* A call of an intrinsic by name, overloaded on `type`. */
LLVMValueRef emit_intrinsic(struct emitter *e, const char *name, LLVMTypeRef type, LLVMValueRef *args,
                            int count);
/* Attributes of every function we emit: target-cpu, target-features, nounwind, vector width. */
void emit_attributes(struct emitter *e, LLVMValueRef function);

/* codegen/target.c */
LLVMTargetMachineRef
target_machine_create(const struct target *target); /* the caller disposes it; NULL: refused */
/* The same without optimisation: for glue, which is compiled four times as fast and computes nothing. */
LLVMTargetMachineRef quick_machine_create(const struct target *target);
/* Runs no LLVM pass but what the code generator itself does (KERNELS.md 3), and gives the object. NULL: *why.
 */
LLVMMemoryBufferRef emit_object(LLVMTargetMachineRef machine, LLVMModuleRef module, char **why);

#endif
