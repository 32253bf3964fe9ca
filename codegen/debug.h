/* codegen/debug.h: -g: DWARF that leads from machine code to the model text. A kernel's code carries the
 * place of the operator that each instruction comes from, with the calls and instantiations that led there as
 * functions that were inlined: so gdb's backtrace and perf's callers show nn.Attention within ViT within the
 * entry. The code itself is the same with -g and without it. */
#ifndef CODEGEN_DEBUG_H
#define CODEGEN_DEBUG_H

#include "base/source.h"
#include "codegen/llvm.h"

/* Begins to describe the emitter's module; e->debug is set. Without it the functions below do nothing. */
void debug_open(struct emitter *e);
/* Before the module is verified. */
void debug_finish(struct emitter *e);
/* From here on, what is built belongs to `function`, shown as `name`, and comes from `site`; until
 * debug_end_function. */
void debug_begin_function(struct emitter *e, LLVMValueRef function, const char *name,
                          const struct site *site);
void debug_end_function(struct emitter *e);
/* What is built next comes from the site; NULL: from the function's own. Gives what held before, for
 * debug_restore. */
LLVMMetadataRef debug_enter(struct emitter *e, const struct site *site);
void debug_restore(struct emitter *e, LLVMMetadataRef before);

/* Every place of a loop function, as text: with -g it is a part of what determines the code. */
void debug_print_places(const struct loop_function *function, const struct site *site, struct strbuf *out);

#endif
