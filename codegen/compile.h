/* codegen/compile.h: units and entries to object files, in parallel and through the disk cache. */
#ifndef CODEGEN_COMPILE_H
#define CODEGEN_COMPILE_H

#include "codegen/entry.h"
#include "codegen/session.h"

/* Fills compiled->objects, and its times. false: reported. */
bool compile_objects(struct compiled *compiled, struct diags *diags);
/* Defines all units in the emitter's module, visible only there if `is_internal`. */
void emit_units(struct emitter *e, const struct compiled *compiled, bool is_internal);
/* Those alone that run when weights are loaded. */
void emit_packing_units(struct emitter *e, const struct compiled *compiled);
/* Defines the entries as the JIT looks them up. */
void emit_entries(struct emitter *e, const struct compiled *compiled);
/* The module as LLVM's verifier likes it, or a defect reported with its words. */
bool verify_module(struct emitter *e, struct arena *arena, const char **why);

/* 32 hex digits of a BLAKE3 hash over texts. */
struct hash_text {
    char text[33];
};
struct hash_text hash_texts(const char *const *texts, int count);

#endif
