/* codegen/emit.h: one loop function on its way to LLVM IR: what emit*.c share, and what emit_tile.c needs of
 * them.
 *
 * Values are made where they belong: an expression is computed in front of the outermost loop that none of
 * its variables varies in, and once while the scope of that place is open. Whoever emits statements opens
 * scopes, binds variables in them, and asks for expressions; the builder always stands at the end of the
 * block being filled. */
#ifndef CODEGEN_EMIT_H
#define CODEGEN_EMIT_H

#include "codegen/llvm.h"

struct emission;

struct emitter *emission_emitter(struct emission *em);

/* The value of an expression whose variables are all uniform, as a scalar; a bool is an i1, an f16 or bf16 a
 * float. */
LLVMValueRef emit_scalar(struct emission *em, const struct loop_expr *x);
/* Between emit_lanes_begin and emit_lanes_end an expression is a vector of `lanes` elements: the variable
 * given there is base, base + 1, .. in them. A uniform expression gives a splat. */
LLVMValueRef emit_vector(struct emission *em, const struct loop_expr *x);

LLVMTypeRef emit_memory_type(struct emission *em, enum dtype dtype);  /* of an element in memory */
LLVMTypeRef emit_value_type(struct emission *em, enum dtype dtype);   /* of an element in a register */
LLVMValueRef emit_buffer(struct emission *em, struct buffer *buffer); /* pointer to its first element */
LLVMValueRef emit_element(struct emission *em, struct buffer *buffer,
                          LLVMValueRef index); /* pointer to one, index i64 */
LLVMValueRef emit_splat(struct emission *em, LLVMValueRef scalar, int lanes);
LLVMValueRef emit_i64(struct emission *em, int64_t value);

/* Scopes nest. A value computed in one is forgotten when it closes; what does not depend on its variables is
 * kept in the scope around it. For code that is straight, not a loop: blocks that the emitter of a tile
 * branches through must be ones that dominate everything up to the scope's end. */
void emit_scope_push(struct emission *em);
void emit_scope_pop(struct emission *em);
void emit_bind(struct emission *em, const struct loop_var *var,
               LLVMValueRef value); /* scalar, or a vector of the lanes */
/* Opens a scope in which var runs over lanes from the scalar i64 base. mask: a vector of i1, or NULL: which
 * lanes may touch memory. Only one at a time. */
void emit_lanes_begin(struct emission *em, const struct loop_var *var, LLVMValueRef base, int lanes,
                      LLVMValueRef mask);
void emit_lanes_end(struct emission *em);

/* Statements at the builder's place, in the scope that is open (a tile's epilogue, within lanes). */
void emit_statements(struct emission *em, const struct loop_stmt *first);

/* In emit_tile.c: an LSTMT_TILE at the builder's place; the builder stands behind it afterwards. */
void emit_tile(struct emission *em, const struct loop_stmt *stmt);

#endif
