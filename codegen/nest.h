/* codegen/nest.h: what the nest_*.c and lower_nest.c share: the lowering of kernels of kind nest.
 *
 * Lowering is by demand: the value of an operator at an index vector is an expression, found by asking its
 * operands at the index vectors that the operator's meaning gives. Views become index arithmetic and
 * disappear. Only reductions (and random bits) become statements: they stand in the outermost open loop that
 * their index varies in. That is why softmax is one kernel: the row's maximum and sum, asked for by an
 * element, depend on the row alone and land in the row's loop.
 *
 * docs/codegen.md tells the order of the work: refine, try, merge, order, try again, write. */
#ifndef CODEGEN_NEST_H
#define CODEGEN_NEST_H

#include "codegen/lower.h"

enum {
    NEST_UNROLL = 9,         /* a reduction over so few elements is an expression, not a loop */
    NEST_STACK_BYTES = 8192, /* a row buffer up to this size is on the stack */
    LAST_SWEEP = INT32_MAX
};

/* A reduction whose result later phases read from SHARED memory, as partial results [chunks, count]. */
struct stored {
    const struct value *value;
    int64_t offset, chunks, count;
};

/* A dimension of an iteration space: `size` turns, each of which moves `stride` elements in the flat index.
 */
struct axis {
    int64_t size, stride;
};
struct space {
    VEC(struct axis) axes; /* outermost first */
};

struct nest {
    struct lowering *l;
    struct arena *arena;
    const struct op *kernel;
    const struct block *body;
    struct loop_kernel *out;
    int first_id, id_count;
    /* By value id - first_id: */
    int *argument;        /* of parameters and results: the place in the argument array; -1: none */
    int *depth;           /* how many loops of reductions, one after the other, stand before its elements */
    struct space **loops; /* of reductions: the loops over what is reduced, once they are known */
    VEC(struct stored) stored;
    bool *is_done;  /* by result of the kernel */
    int64_t weight; /* what an element costs beside a load and an addition */
};

/* An open loop and its statements so far. Level 0 is the function. */
struct level {
    struct loop_var *var;
    const struct loop_expr *hi; /* from 0 */
    enum loop_kind kind;
    struct loop_list list;
};

/* A reduction that was asked for. */
struct asked {
    const struct op *op;
    const struct loop_expr *const *index;
    const struct loop_expr *mask;
    int level;                    /* that it stands in */
    const struct op *inside;      /* the reduction whose operand asked; NULL: none */
    struct loop_var *const *vars; /* its loops */
    bool moves_inside;            /* its index moves with the innermost loop of the reduction that asked */
};

/* A value that is dear to compute, asked for by several sweeps over a row: the first keeps it in a buffer. */
struct row_value {
    const struct value *value;
    const struct loop_expr *row; /* the part of its flat index that the row gives */
    int64_t count;
    int first, last;         /* the sweeps that ask for it */
    bool is_wanted, is_kept; /* by a later sweep that would compute it; the store is written */
    struct buffer *buffer;
};

struct memo {
    const struct loop_expr *const *index;
    const struct loop_expr *mask, *result;
    struct memo *next;
};

/* Philox blocks that were asked for: a key and a counter give four words. */
struct philox_words {
    const struct loop_expr *parts[6], *words[4];
};

/* One function being written, or tried: then statements are thrown away, and what was asked and touched is
 * noted. */
struct phase {
    struct nest *nest;
    struct loop_function *f;
    bool is_trial;
    bool notes_rows, recalls_rows;    /* row values are noted; are loaded by later sweeps */
    const struct loop_expr *row_flat; /* the flat index over the row's dims; NULL: they give no result */
    int64_t row_elements;
    VEC(struct level) levels;
    int row_levels;                         /* how many levels, the function's included, belong to the row */
    struct memo **memos;                    /* by value id - first_id */
    struct buffer **arguments;              /* by place in the argument array */
    struct buffer **stored;                 /* by place in nest->stored */
    VEC(const struct loop_expr *) accesses; /* every index and condition */
    VEC(const struct loop_expr *) loads;    /* flat indices of memory */
    VEC(struct asked) asked;                /* by the last trial */
    VEC(struct row_value) row_values;
    VEC(struct philox_words) philox;
    bool vector_is_outside;            /* the vector loop is around all reductions: theirs are serial */
    const struct op *inside;           /* the reduction whose operand is being asked for, */
    const struct loop_var *inside_var; /* and its innermost loop */
    int sweep; /* being written: the depth of its reductions; LAST_SWEEP: the results' */
    /* A reduction that is split: `chunk` of `chunks` does its part of the outermost loop. NULL: none is. */
    const struct loop_expr *chunk;
    int64_t chunks;
};

/* nest_space.c: refined and merged iteration spaces, and flat indices */
void space_refine(struct nest *n, int64_t elements, struct space *out);
void space_of_reduction(struct nest *n, const struct op *op, struct space *out);
/* Whether outer and inner (of `size` turns) always move together: outer counts as size turns of inner. */
bool can_merge(const struct loop_expr *x, const struct loop_var *outer, const struct loop_var *inner,
               int64_t size);
bool can_merge_all(const struct phase *p, const struct loop_var *outer, const struct loop_var *inner,
                   int64_t size);
const struct loop_expr *flat_index(struct phase *p, const struct type *type,
                                   const struct loop_expr *const *index);
const struct loop_expr **unflatten(struct phase *p, const struct type *type, const struct loop_expr *flat);
int64_t type_stride(const struct type *type, int axis); /* row major */

/* nest_value.c: an element of a value, on the way adding statements to open loops. mask: where it is false
 * nobody looks, and memory must not be touched; NULL: always true. */
const struct loop_expr *ask(struct phase *p, const struct value *v, const struct loop_expr *const *index,
                            const struct loop_expr *mask);
bool same_index(const struct loop_expr *const *a, const struct loop_expr *const *b, int rank);
const struct loop_expr *memo_find(const struct phase *p, const struct value *v,
                                  const struct loop_expr *const *index, const struct loop_expr *mask);
void memo_add(struct phase *p, const struct value *v, const struct loop_expr *const *index,
              const struct loop_expr *mask, const struct loop_expr *result);
struct buffer *phase_argument(struct phase *p, int argument);
struct buffer *phase_stored(struct phase *p, int place);
const struct loop_expr *note_access(struct phase *p, const struct loop_expr *x);

/* nest_reduce.c */
bool is_loop_reduction(const struct op *op); /* it becomes loops: not an expression, not a view */
const struct loop_expr *ask_reduce(struct phase *p, const struct op *op, const struct loop_expr *const *index,
                                   const struct loop_expr *mask);
const struct loop_expr *ask_arg_reduce(struct phase *p, const struct op *op,
                                       const struct loop_expr *const *index, const struct loop_expr *mask);

/* nest_loops.c */
void level_open(struct phase *p, struct loop_var *var, const struct loop_expr *hi, enum loop_kind kind);
void level_close(struct phase *p);
int level_of(const struct phase *p, const struct loop_expr *const *parts,
             int count); /* the innermost they vary in */
struct loop_var *index_var(struct phase *p, const char *name, int64_t size);
bool in_vector(const struct phase *p); /* a vector loop is open */

static inline int nest_slot(const struct nest *n, const struct value *v) {
    return v->id - n->first_id;
}

#endif
