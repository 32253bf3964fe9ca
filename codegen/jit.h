/* codegen/jit.h: object files linked into this process. Every jit is a world of its own: several may be
 * loaded at once with the same symbols in them, and jit_destroy takes all of one's memory back. */
#ifndef CODEGEN_JIT_H
#define CODEGEN_JIT_H

#include "base/arena.h"

#include <stdbool.h>

struct jit;

/* NULL, false: LLVM refused; *why is then its reason, in the arena. */
/* tells_debuggers: gdb hears of every object, and perf does too where JITDUMPDIR is set in the environment
 * (LLVM's perf listener writes its files there). */
struct jit *jit_create(struct arena *arena, bool tells_debuggers, const char **why);
void jit_destroy(struct jit *jit); /* NULL is fine */
/* An object file's bytes; they are copied. */
bool jit_add_object(struct jit *jit, const void *bytes, size_t size, struct arena *arena, const char **why);
/* Links what the symbol needs, at its first use. */
void *jit_symbol(struct jit *jit, const char *name, struct arena *arena, const char **why);

#endif
