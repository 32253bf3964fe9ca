/* codegen/loops.h: the loop IR, what a kernel becomes before LLVM. One `loop_function` is the body of one
 * parallel phase of a kernel: it is called once a task. Its text (loops_print, without places) determines its
 * code, so it is the key of the disk cache and of sharing identical kernels.
 *
 * Semantics are scalar: a FOR marked VECTOR means what the serial loop means, and the emitter turns its body
 * into vector code (a load whose index moves by 1 with the variable becomes a vector load, by 0 a broadcast,
 * else a gather). */
#ifndef CODEGEN_LOOPS_H
#define CODEGEN_LOOPS_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "ir/op.h"

/* Where a buffer's memory is: the kernel op's operands and results come as pointers in the kernel's argument
 * array; SHARED is memory of the kernel for all of its phases and tasks, WORKER is each worker's own (both in
 * the workspace), PACKED is what was made of weights when they were loaded (behind them, in their block),
 * STACK is a small array of the task's own, CONSTANT is data in the object. */
enum buffer_space { SPACE_ARGUMENT, SPACE_SHARED, SPACE_WORKER, SPACE_PACKED, SPACE_STACK, SPACE_CONSTANT };

struct buffer {
    const char *name;
    enum dtype dtype;
    enum buffer_space space;
    int argument;      /* ARGUMENT: index in the argument array: operands first, then results */
    int64_t offset;    /* SHARED, WORKER, PACKED: bytes from the start of that memory, 64-aligned */
    int64_t elements;  /* STACK: its size; else for the printer and the verifier */
    const void *bytes; /* CONSTANT */
    bool is_written;
};

enum loop_dtype_index { LOOP_INDEX = DTYPE_i64 }; /* index arithmetic is i64 */

struct loop_var {
    const char *name;
    enum dtype dtype;
    bool is_mutable; /* an accumulator: ACC declares, SET assigns */
    int id;
    int64_t min, max; /* what an index variable can be, both included; of others the whole range */
    const struct loop_var *within; /* of what LET or ACC declares: the loop that it varies in, NULL: none */
};

enum loop_expr_kind {
    LEXPR_INT,   /* i: an index or integer constant of dtype */
    LEXPR_FLOAT, /* f: of dtype */
    LEXPR_VAR,
    LEXPR_LOAD, /* buffer[index]; where mask is given and false: `otherwise`, and no memory is touched */
    LEXPR_OP    /* an elementwise operator of ir/ops.def on args, with its meaning there (no broadcasting is
                   left) */
};
struct loop_expr {
    enum loop_expr_kind kind;
    enum dtype dtype;
    int64_t i; /* of OP_exp: 1 where its argument is known to be below 80 (lexpr_exp_below) */
    double f;
    struct loop_var *var;
    struct buffer *buffer;
    const struct loop_expr *index, *mask, *otherwise;
    enum opcode code; /* OP; integer OP_div and OP_mod floor */
    int arg_count;
    const struct loop_expr *args[3];
    const struct site *site; /* what asked for it first; NULL: the kernel */
    int id; /* equal expressions of a function are one: pointers compare, and this counts them from 0 */
    int64_t min, max;        /* the range of an integer expression, both included */
    struct loop_expr *chain; /* of the table that finds equal ones */
};

enum loop_kind { LOOP_SERIAL, LOOP_VECTOR, LOOP_UNROLL };
enum loop_stmt_kind {
    LSTMT_FOR,    /* for var in lo..hi step: body */
    LSTMT_LET,    /* var = value, once */
    LSTMT_ACC,    /* declares mutable var with initial value */
    LSTMT_SET,    /* var = value; in a VECTOR loop whose body reduces, see `reduce` */
    LSTMT_STORE,  /* buffer[index] = value; where mask is given: only if true */
    LSTMT_IF,     /* value: condition; body; otherwise */
    LSTMT_TILE,   /* a micro-kernel: see struct tile */
    LSTMT_PHILOX, /* four words: vars[0..3] = Philox4x32-10(key args[0..1], counter args[2..5]), all u32 */
    LSTMT_CHECK,  /* value false: records error code `code` in the workspace header (atomic minimum) */
    LSTMT_GEMM    /* a call of cblas_sgemm: see struct gemm; for --gemm=openblas alone */
};

/* C[m, n] = sum_k A[m, k] * B[k, n], f32, row major, by the library; args[0..2] are the indices where A, B
 * and C begin. a_turned: A lies as [k, m]; b_turned: B as [n, k]. */
struct gemm {
    struct buffer *a, *b, *c;
    bool a_turned, b_turned;
    int m, n, k, a_row, b_row, c_row; /* sizes; elements from one row in memory to the next */
};

/* A micro-kernel (codegen/emit_tile.c), in four kinds. It computes in the dtype of `finished`, or where that
 * is NULL of C: f32, f64 or i32 (tile_dtype). Elements of A and B may have other dtypes: they are cast when
 * they are read, to a_as or b_as (the dtype whose values they are: weights of f32 as bf16) and from there to
 * the tile's own. VL: lanes of a vector of that.
 *
 * OUTER: C[r, n] (+)= sum_k A[r, k] * B[k, n] with rows * ceil(columns / VL) accumulators in registers
 * (KERNELS.md 1). A is read as broadcasts: row r is a_m elements behind row 0. B is read as vectors along n:
 * vector v begins at b_index[v], or where that is NULL v * VL behind b_index[0]; so with C's vectors, whose
 * rows are c_m apart. Of the last vector only columns % VL lanes touch memory (all where that is 0). INNER:
 * C[r, s] (+)= sum_k A[r, k] * B[k, s] with rows * columns accumulators whose lanes run along k: A and B are
 * both read as vectors, row r at a_m, column s at b_n behind the first; the levels step in elements, the
 * innermost by vectors; the last `tail` elements of k (fewer than VL) stand behind all levels and are read
 * masked. The lanes are added up at the end in a fixed tree. Elements of C are c_m and c_n apart. TRANSPOSE:
 * C[n, r] = A[r, n] for r < rows <= VL, n < columns <= VL: rows of A are a_m apart, of C c_m, both are
 *     contiguous along the other index. c_full: lanes of C from `rows` to VL are set to zero, else not
 * touched. COPY: C[r, n] = A[r, n] for r < rows, n < columns.
 *
 * pairs: a lane adds the products of two neighbours of k in bf16 at a step (AVX512_BF16). A and B of OUTER
 * are words (i32) of two of them; of INNER they are bf16, so that a vector is 2 * VL elements.
 *
 * k runs over nested levels, outermost first, each with a count and the steps of A and B in elements. One
 * element's sum runs in this order with fused multiply-adds (on targets that have them): one fixed rounding.
 */
enum tile_kind { TILE_OUTER, TILE_INNER, TILE_TRANSPOSE, TILE_COPY };
enum { TILE_LEVELS = 5, TILE_VECTORS = 8, TILE_EXPRESSIONS = TILE_LEVELS + 2 * TILE_VECTORS + 3 };

struct tile_level {
    const struct loop_expr *count; /* may be 0 */
    int64_t a, b;
};

struct tile {
    enum tile_kind kind;
    int rows, columns, tail;
    struct buffer *a, *b, *c;
    enum dtype a_as, b_as;
    const struct loop_expr *a_index, *b_index[TILE_VECTORS], *c_index[TILE_VECTORS];
    int64_t a_m, b_n, c_m, c_n;
    bool c_full, pairs;
    int level_count;
    struct tile_level levels[TILE_LEVELS];
    const struct loop_expr *accumulate; /* bool: start from C; NULL: from zero */
    /* What becomes of a finished vector (OUTER, TRANSPOSE) instead of the store to C: these statements (LET,
     * STORE) with `finished` the vector, `row` its row in the tile (TRANSPOSE: of C) and `column` running
     * over its lanes from v * VL. Cheap operators only: what is transcendental goes into a loop behind the
     * tile. NULL: stored to C. */
    struct loop_var *finished, *row, *column;
    struct loop_stmt *epilogue;
    const struct loop_expr
        *last; /* bool: where false the epilogue waits and C is stored; NULL: always true */
};

/* For passes and the printer (codegen/tile.c): the dtype that it computes in; all expressions of a tile but
 * the epilogue's, in a fixed order; their number. And its text, without the epilogue, where `print` writes an
 * expression. */
enum dtype tile_dtype(const struct tile *tile);
int tile_expressions(const struct tile *tile, const struct loop_expr *out[TILE_EXPRESSIONS]);
void tile_print(const struct tile *tile, struct strbuf *out,
                void (*print)(void *data, const struct loop_expr *x), void *data);

struct loop_stmt {
    enum loop_stmt_kind kind;
    enum loop_kind loop;
    /* FOR marked VECTOR: how the SETs of accumulators declared outside of it combine lanes: OP_add, OP_mul,
     * OP_max, OP_min, set on the SET statement. The lanes are added in a fixed tree, which is the result's
     * definition. */
    enum opcode reduce;
    struct loop_var *var;
    const struct loop_expr *lo, *hi, *value, *index, *mask;
    int64_t step;
    struct buffer *buffer;
    struct tile *tile;
    struct gemm *gemm;
    struct loop_var *vars[4];
    const struct loop_expr *args[6];
    int code;
    const struct site *site;            /* of the operator that it comes from; NULL: the kernel */
    struct loop_stmt *body, *otherwise; /* first statements */
    struct loop_stmt *next;
};

struct loop_function {
    const char *symbol; /* given by the session from the hash of the text */
    VEC(struct buffer *) buffers;
    struct loop_var *task, *worker; /* i64 each */
    int64_t tasks;                  /* fixed by shapes and target, never by the number of threads */
    const char *name;               /* the kernel's, for people */
    struct loop_stmt *body;
    const struct site *place; /* what is made now comes from this operator; NULL: the kernel */
    int next_var, next_expr;
    struct loop_expr **table; /* finds equal expressions */
    int table_size;
    struct arena *arena;
};

/* What lowering makes of a kernel op: phases that run one after the other, each over its tasks. Those of
 * `packing` run once, when the weights are known, before anything else: they read operands that are weights
 * and write PACKED memory, nothing more. */
struct loop_kernel {
    VEC(struct loop_function *) phases, packing;
    int64_t shared_bytes; /* memory that SHARED buffers of all phases want together */
    int64_t worker_bytes; /* the same for each worker */
    int64_t packed_bytes; /* the same of PACKED buffers */
};

struct loop_function *loop_function_create(struct arena *arena);
struct buffer *loop_add_argument(struct loop_function *f, int argument, enum dtype dtype, int64_t elements,
                                 const char *name, bool written);
struct buffer *loop_add_buffer(struct loop_function *f, enum buffer_space space, enum dtype dtype,
                               int64_t elements, const char *name);

/* Expressions; the constructors fold constants and simplify index arithmetic (x + 0, x * 1, (x * 4 + r) / 4
 * with 0 <= r < 4, x % n with 0 <= x < n where the range of x is known). */
const struct loop_expr *lexpr_index(struct loop_function *f, int64_t i);
const struct loop_expr *lexpr_float(struct loop_function *f, enum dtype dtype, double value);
const struct loop_expr *lexpr_int(struct loop_function *f, enum dtype dtype, int64_t value);
const struct loop_expr *lexpr_var(struct loop_function *f, struct loop_var *var);
const struct loop_expr *lexpr_load(struct loop_function *f, struct buffer *buffer,
                                   const struct loop_expr *index);
const struct loop_expr *lexpr_load_masked(struct loop_function *f, struct buffer *buffer,
                                          const struct loop_expr *index, const struct loop_expr *mask,
                                          const struct loop_expr *otherwise);
const struct loop_expr *lexpr_op(struct loop_function *f, enum opcode code, enum dtype dtype,
                                 const struct loop_expr *const *args, int count);
/* exp(x) of an x that is known to be below 80 (or NaN), in fewer operations: results below 2^-126 are 0. */
const struct loop_expr *lexpr_exp_below(struct loop_function *f, const struct loop_expr *x);
/* Two at a time, for data. */
const struct loop_expr *lexpr_binary(struct loop_function *f, enum opcode code, enum dtype dtype,
                                     const struct loop_expr *a, const struct loop_expr *b);
/* Conditions: NULL means true for all three arguments and for the result. low <= x < high, decided where x's
 * range does. */
const struct loop_expr *lexpr_and(struct loop_function *f, const struct loop_expr *a,
                                  const struct loop_expr *b);
const struct loop_expr *lexpr_within(struct loop_function *f, const struct loop_expr *x, int64_t low,
                                     int64_t high);
/* From now on x is known to be within low..high, both included, wherever it is evaluated: more than the
 * ranges of its variables say. Gives x. */
const struct loop_expr *lexpr_known(struct loop_function *f, const struct loop_expr *x, int64_t low,
                                    int64_t high);
bool lexpr_is_false(const struct loop_expr *condition);
bool lexpr_depends_on(const struct loop_expr *x, const struct loop_var *var);
/* index as sum of coefficient * atom + constant: calls for each atom (a variable or what is not affine). */
void lexpr_terms(const struct loop_expr *index,
                 void (*each)(void *data, const struct loop_expr *atom, int64_t coefficient), void *data,
                 int64_t *constant);
const struct loop_expr *lexpr_add(struct loop_function *f, const struct loop_expr *a,
                                  const struct loop_expr *b);
const struct loop_expr *lexpr_mul(struct loop_function *f, const struct loop_expr *a, int64_t factor);
const struct loop_expr *lexpr_div(struct loop_function *f, const struct loop_expr *a, int64_t divisor);
const struct loop_expr *lexpr_mod(struct loop_function *f, const struct loop_expr *a, int64_t divisor);
/* How index moves when var goes up by one: true and *stride where it is affine in var with a constant
 * coefficient. */
bool lexpr_stride(const struct loop_expr *index, const struct loop_var *var, int64_t *stride);

struct loop_var *loop_var_create(struct loop_function *f, const char *name, enum dtype dtype);
/* Statements are appended to a list whose tail the caller keeps. */
struct loop_list {
    struct loop_stmt *first, *last;
};
struct loop_stmt *loop_append(struct loop_function *f, struct loop_list *list, enum loop_stmt_kind kind);
struct loop_stmt *loop_for(struct loop_function *f, struct loop_list *list, struct loop_var *var,
                           const struct loop_expr *lo, const struct loop_expr *hi, int64_t step,
                           enum loop_kind kind);

void loops_print(const struct loop_function *function, struct strbuf *out);

#endif
