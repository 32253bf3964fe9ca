/* codegen/emission.h: what the emit_*.c of loops, expressions and operators share. See emit.h for the idea.
 */
#ifndef CODEGEN_EMISSION_H
#define CODEGEN_EMISSION_H

#include "codegen/emit.h"

/* A value exists in up to two forms: of a uniform place (lane 0 while lanes are open), and as a vector. */
enum emit_form { FORM_SCALAR, FORM_VECTOR, FORM_COUNT };

enum scope_kind {
    SCOPE_STRAIGHT, /* its code follows what is around it */
    SCOPE_LOOP,     /* the body of a loop: what is invariant goes in front of the loop */
    SCOPE_BRANCH    /* runs or does not: what is computed in it is lost behind it, and loads stay in it */
};

struct scope {
    enum scope_kind kind;
    LLVMValueRef preheader_end; /* LOOP: the instruction in front of which invariant code goes */
    bool surely_runs;           /* LOOP: at least once whenever the preheader runs */
    VEC(int) remembered;        /* 2 * expression id + form */
};

/* What is known of an expression while the scopes stand as they do. */
struct expr_facts {
    int stamp;      /* of the emission when they were found */
    int depth;      /* the innermost scope that one of its variables is bound in */
    bool varies;    /* from lane to lane */
    bool is_fickle; /* reads a mutable variable or written memory: valid until the next SET, STORE or loop */
    bool has_load;
};

struct memory_of_expr {
    LLVMValueRef value[FORM_COUNT];
    int epoch[FORM_COUNT]; /* of a fickle one */
};

struct binding {
    LLVMValueRef value; /* scalar, or vector where is_vector; of a mutable variable: the current one */
    int depth;
    bool is_vector;
    /* A sum over several turns of a vector loop keeps its lanes until it is read: how they combine, and with
     * what. 0: no such sum. */
    enum opcode pending;
    enum dtype dtype;
    LLVMValueRef start;
};

struct lanes {
    const struct loop_var *var;
    LLVMValueRef base; /* i64 */
    LLVMValueRef mask; /* vector of i1 or NULL: all */
    int count;         /* 0: no lanes are open */
    int active;        /* how many lanes may touch memory, the first ones; -1: only the mask knows */
    int64_t first;     /* base is this and a multiple of count; -1: not known */
    int depth;         /* the scope that they opened */
};

struct emission {
    struct emitter *e;
    const struct loop_function *function;
    LLVMValueRef data, fn;
    int argument_count;
    int64_t worker_bytes;
    LLVMValueRef *buffers;  /* by position in function->buffers: pointers, NULL: not yet asked for */
    LLVMValueRef entry_end; /* the end of the entry block, where buffers and stack arrays are made */
    VEC(struct scope) scopes;
    struct expr_facts *facts; /* by expression id */
    struct memory_of_expr *memory;
    struct binding *bindings; /* by variable id */
    struct lanes lanes;
    int stamp, epoch;
};

/* emit_expr.c */
const struct expr_facts *expr_facts(struct emission *em, const struct loop_expr *x);
LLVMValueRef emit_form(struct emission *em, const struct loop_expr *x, enum emit_form form);
void scope_open(struct emission *em, enum scope_kind kind, LLVMValueRef preheader_end, bool surely_runs);
void scope_close(struct emission *em);
LLVMBasicBlockRef emit_block(struct emission *em, const char *name);

/* emit_pattern.c: how far the index of each lane is from lane 0's, where that is known now. */
bool lane_offsets(struct emission *em, const struct loop_expr *x, int64_t *offsets);
/* x modulo m at lane 0; -1: not known. */
int64_t lane_residue(struct emission *em, const struct loop_expr *x, int64_t m);

/* emit_memory.c: elements between memory and registers, one or a vector of them */
void prepare_load(struct emission *em, const struct loop_expr *x, enum emit_form form);
LLVMValueRef emit_load(struct emission *em, const struct loop_expr *x, enum emit_form form);
void emit_store(struct emission *em, const struct loop_stmt *s);
LLVMValueRef emit_from_memory(struct emitter *e, enum dtype dtype, LLVMValueRef raw);
LLVMValueRef emit_to_memory(struct emitter *e, enum dtype dtype, LLVMValueRef value);
LLVMValueRef emit_round_bf16(struct emitter *e, LLVMValueRef x); /* an f32 with the value of a bf16 */

/* emit_op.c: an elementwise operator on registers; `of` is the arguments' dtype. All args are scalars or all
 * vectors of one length; integers may be narrower than their dtype where their range allows it (see
 * index_is_narrow). */
LLVMValueRef emit_operator(struct emission *em, const struct loop_expr *x, LLVMValueRef *args);
LLVMValueRef emit_cast(struct emitter *e, LLVMValueRef x, enum dtype from, enum dtype to);
/* A value as bf16 or f16 in memory, rounded once. */
LLVMValueRef emit_narrow(struct emitter *e, LLVMValueRef x, enum dtype from, enum dtype to);
LLVMTypeRef type_like(LLVMTypeRef element, LLVMTypeRef shape); /* element, or a vector as long as shape is */
LLVMValueRef const_like(LLVMTypeRef type, double value);       /* float or integer, or a splat of it */
LLVMValueRef emit_intrinsic2(struct emitter *e, const char *name, LLVMTypeRef a, LLVMTypeRef b,
                             LLVMValueRef *args, int count);
LLVMValueRef emit_mask_and(struct emitter *e, LLVMValueRef a,
                           LLVMValueRef b); /* Note [Masks known in part] */
/* NaN where x or y is NaN. */
LLVMValueRef emit_max(struct emitter *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef emit_min(struct emitter *e, LLVMValueRef x, LLVMValueRef y);

/* Index arithmetic in vectors is done in 32 bits where every part of it fits. */
bool index_is_narrow(const struct loop_expr *x);
LLVMTypeRef element_type(LLVMValueRef value); /* of a vector, or the type itself */
int lane_count(LLVMValueRef value);           /* 0: a scalar */

/* emit_philox.c */
void emit_philox(struct emission *em, const struct loop_stmt *s);

/* emit_lanes.c: loops over lanes */
void emit_vector_loop(struct emission *em, const struct loop_stmt *s);
/* An accumulator that a vector loop within a serial one sets: true, and it is bound to its lanes. */
bool begin_pending_sum(struct emission *em, const struct loop_stmt *acc);
LLVMValueRef pending_sum(struct emission *em, const struct binding *sum);

/* emit.c */
void emit_serial_loop(struct emission *em, const struct loop_stmt *s, LLVMValueRef lo, LLVMValueRef hi,
                      bool surely_runs);
/* The mutable variables that statements from `first` on (and what they hold) assign and do not declare. */
struct var_list {
    VEC(const struct loop_stmt *) sets; /* the first SET of each */
};
void assigned_variables(struct emission *em, const struct loop_stmt *first, struct var_list *out);

#endif
