/* tests/codegen/support.h: kernels compiled and run in this process. */
#ifndef TESTS_CODEGEN_SUPPORT_H
#define TESTS_CODEGEN_SUPPORT_H

#include "codegen/loops.h"
#include "codegen/target.h"

struct machine; /* kernels linked into this process */

/* Emits and links all phases; fails the test where LLVM refuses. */
struct machine *machine_create(struct arena *arena, const struct target *target,
                               const struct loop_kernel *kernel, int argument_count);
/* Emits an object for a target that need not be this machine; fails the test where LLVM refuses. */
void machine_compiles(struct arena *arena, const struct target *target, const struct loop_kernel *kernel,
                      int argument_count);
/* Runs all tasks of all phases, the tasks in order or in reverse, on `workers` workers in turn. */
void machine_run(struct machine *machine, void *const *arguments, bool reverse);
void machine_destroy(struct machine *machine);

const struct target *native_target(struct arena *arena);

#endif
