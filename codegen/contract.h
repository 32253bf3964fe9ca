/* codegen/contract.h: the contraction engine's own header (docs/contract.md). lower_contract.c finds the sum
 * of products in a kernel and asks one of the schedules (contract_dot.c, contract_conv.c, contract_wgrad.c),
 * which write loop IR through a writer (contract_write.c), read operands through affine maps
 * (contract_maps.c), and hand finished elements to the kernel's other operators (contract_finish.c). */
#ifndef CODEGEN_CONTRACT_H
#define CODEGEN_CONTRACT_H

#include "codegen/loops.h"
#include "codegen/lower.h"
#include "ir/build.h"
#include "ir/view.h"

static inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline int64_t at_most(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t at_least(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- writing loops ---- */

enum { WRITER_DEPTH = 32 };

/* One loop function under construction: a stack of open statements. */
struct writer {
    struct lowering *l;
    struct loop_kernel *kernel;
    const struct op *op; /* the kernel op */
    struct loop_function *f;
    struct {
        struct loop_list list;
        struct loop_stmt *stmt;
        bool is_otherwise;
    } level[WRITER_DEPTH];
    int depth;
};

/* Begins the next phase of the kernel. writer_finish puts it there; tasks >= 1. */
void writer_begin(struct writer *w, struct lowering *l, struct loop_kernel *kernel, const struct op *op);
void writer_finish(struct writer *w, int64_t tasks);
void writer_finish_packing(struct writer *w, int64_t tasks); /* one that runs when weights are loaded */
/* The task's number in [0, tasks); call it before anything depends on it. */
const struct loop_expr *writer_task(struct writer *w, int64_t tasks);
/* for name in lo..hi; the result is the variable. No loop is written where lo + 1 == hi is known. */
const struct loop_expr *writer_for(struct writer *w, const char *name, const struct loop_expr *lo,
                                   const struct loop_expr *hi, enum loop_kind kind);
const struct loop_expr *writer_count(struct writer *w, const char *name,
                                     int64_t count); /* serial, 0..count */
void writer_if(struct writer *w, const struct loop_expr *condition);
void writer_else(struct writer *w);
void writer_end(struct writer *w); /* of the innermost for or if */
void writer_store(struct writer *w, struct buffer *buffer, const struct loop_expr *index,
                  const struct loop_expr *value);
/* A name for a value of the loop's turn, so that it is computed here. Ranges are kept. */
const struct loop_expr *writer_let(struct writer *w, const char *name, const struct loop_expr *value);
/* A mutable variable of the loop's turn, and its next value. */
struct loop_var *writer_acc(struct writer *w, const char *name, const struct loop_expr *initial);
void writer_set(struct writer *w, struct loop_var *var, const struct loop_expr *value);
struct tile *writer_tile(struct writer *w, enum tile_kind kind, int rows, int columns);
struct gemm *writer_gemm(struct writer *w, const struct loop_expr *const begin[3]); /* of A, B and C */

/* Memory of the kernel (64-aligned) and a view of it in the function being written. */
int64_t kernel_shared(struct loop_kernel *kernel, int64_t bytes);
int64_t kernel_worker(struct loop_kernel *kernel, int64_t bytes);
int64_t kernel_packed(struct loop_kernel *kernel, int64_t bytes);
struct buffer *writer_memory(struct writer *w, enum buffer_space space, int64_t offset, enum dtype dtype,
                             int64_t elements, const char *name);
/* The kernel's argument: operands first, then results. One buffer a function. */
struct buffer *writer_argument(struct writer *w, int argument);

const struct loop_expr *index_of(struct writer *w, int64_t value);
const struct loop_expr *plus(struct writer *w, const struct loop_expr *a, const struct loop_expr *b);
const struct loop_expr *plus_n(struct writer *w, const struct loop_expr *a, int64_t n);
const struct loop_expr *times(struct writer *w, const struct loop_expr *a, int64_t n);
const struct loop_expr *least(struct writer *w, const struct loop_expr *a, const struct loop_expr *b);
const struct loop_expr *most(struct writer *w, const struct loop_expr *a, const struct loop_expr *b);
const struct loop_expr *is_below(struct writer *w, const struct loop_expr *a,
                                 const struct loop_expr *b);                               /* a < b */
const struct loop_expr *is_at(struct writer *w, const struct loop_expr *a, int64_t value); /* a == value */
const struct loop_expr *is_positive(struct writer *w, const struct loop_expr *a);          /* a > 0 */
const struct loop_expr *writer_zero(struct writer *w, enum dtype dtype);
const struct loop_expr *writer_cast(struct writer *w, enum dtype dtype, const struct loop_expr *a);

/* Row major indices of a linear one, for the dims of type. */
void writer_unflatten(struct writer *w, const struct type *type, const struct loop_expr *linear,
                      const struct loop_expr **index);

/* ---- operands ---- */

enum { OPERAND_RANK = VIEW_RANK };

/* An operand of the contraction as it lies in memory: element (i, j, ..) is at base + i * stride[0] + j *
 * stride[1] .. */
struct operand {
    enum dtype dtype;        /* in memory */
    enum dtype as;           /* the dtype whose values they are: weights of f32 that a model reads as bf16 */
    enum buffer_space space; /* ARGUMENT; SHARED where a phase of the kernel has made it */
    int argument;
    int64_t offset, elements;
    int rank;
    int64_t base, size[OPERAND_RANK], stride[OPERAND_RANK];
};

/* Views of a parameter become strides, and one cast is made as elements are read. What is more than a view is
 * computed into SHARED memory by a phase of its own. false: reported. */
bool operand_map(struct lowering *l, struct loop_kernel *kernel, const struct op *op,
                 const struct value *value, struct operand *out);
struct buffer *operand_buffer(struct writer *w, const struct operand *operand, const char *name);
/* An element of it, cast to dtype. */
const struct loop_expr *operand_load(struct writer *w, const struct operand *operand, const char *name,
                                     const struct loop_expr *index, enum dtype dtype);
/* The same, and 0 where `inside` is false: no memory is touched there. inside NULL: always true. */
const struct loop_expr *operand_load_inside(struct writer *w, const struct operand *operand, const char *name,
                                            const struct loop_expr *index, const struct loop_expr *inside,
                                            enum dtype dtype);
/* What a tile reads: an operand, or memory of the kernel's own. */
void tile_read_a(struct tile *t, struct buffer *buffer, enum dtype as);
void tile_read_b(struct tile *t, struct buffer *buffer, enum dtype as);

/* ---- what becomes of finished elements ---- */

enum finish_kind {
    FINISH_NOTHING, /* the kernel's one result is the contraction's own, in the dtype of its sums */
    FINISH_TILE,    /* cheap: on registers, in the tile's epilogue */
    FINISH_LOOP     /* a loop over finished elements, which wait in `raw` */
};

struct finish {
    enum finish_kind kind;
    enum dtype dtype; /* of unfinished elements: what the sum is computed in */
    const struct op *kernel;
    const struct value *core; /* the contraction's result */
    int first_result;         /* argument number of the kernel's result 0 */
    /* Where unfinished elements wait: a result that has the contraction's dtype and size, or SHARED memory.
     */
    bool raw_is_argument;
    int raw_argument;
    int64_t raw_offset, elements; /* raw_offset -1: nobody has asked for it yet */
};

bool finish_plan(struct lowering *l, const struct op *op, const struct value *core, enum dtype dtype,
                 struct finish *out);
/* FINISH_TILE becomes FINISH_LOOP where sums of `depth` hide it: less code for the same speed. */
void finish_choose(struct finish *finish, double depth);
struct buffer *finish_raw(struct writer *w, struct finish *finish);
/* Statements that store the kernel's results for the element at `linear` (row major) of the contraction's
 * result. */
void finish_element(struct writer *w, const struct finish *finish, const struct loop_expr *linear,
                    const struct loop_expr *value);
/* Elements that lie together in the result: outer + inner + i, where inner + i stays below limit and outer is
 * a multiple of it: what the indices of the inner axes are made of. */
struct run {
    const struct loop_expr *outer, *inner;
    int64_t limit;
};
/* Gives the tile an epilogue: its element (row, column) has the place row * row_stride + column in the run.
 */
void finish_tile(struct writer *w, const struct finish *finish, struct tile *tile, struct run run,
                 int64_t row_stride);
/* FINISH_LOOP over `count` elements of raw. */
void finish_run(struct writer *w, struct finish *finish, struct run run, const struct loop_expr *count);

/* The value of `value` of the kernel's region at an index of its rank, where the contraction's result is
 * core_value. */
struct reader {
    struct writer *w;
    const struct op *kernel;
    const struct value *core;
    const struct loop_expr *core_value;
    const struct value *shares; /* an exponential whose argument is not above 80; NULL: none is known */
    VEC(struct reader_memo) memo;
};
struct reader_memo {
    const struct value *value;
    const struct loop_expr *index[OPERAND_RANK];
    const struct loop_expr *result;
};
const struct loop_expr *value_at(struct reader *r, const struct value *value,
                                 const struct loop_expr *const *index);
bool values_are_readable(const struct op *kernel, const struct value *core, const struct value *value);

void map_dense(struct operand *o, const struct type *type); /* sizes and strides of a row major tensor */
/* Like operand_map, and the last axis is contiguous (or has one element). */
bool operand_map_rows(struct lowering *l, struct loop_kernel *kernel, const struct op *op,
                      const struct value *value, struct operand *out);

/* ---- schedules ---- */

struct contraction {
    struct lowering *l;
    struct loop_kernel *out;
    const struct op *kernel, *core;
    enum dtype dtype; /* that it computes in: f32 for the 16-bit floats, i32 for i8 */
    int lanes;        /* of a vector of dtype */
    bool packs_before;
    struct finish finish;
};

/* The operand is a weight that is known beforehand: what is made of it is kept. */
bool operand_is_kept(const struct contraction *c, const struct operand *operand);

bool contract_dot(struct contraction *c);
bool contract_conv(struct contraction *c);
bool contract_wgrad(struct contraction *c);
/* A dot of f32 matrices by cblas_sgemm (--gemm=openblas). *is_done: it was one. false: reported, not done. */
bool contract_blas(struct contraction *c, bool *is_done);

/* How rows are cut: `big` tiles of height + 1 rows, then the others of `height`. */
struct row_split {
    int64_t tiles, big, height;
};
struct row_split row_split(int64_t rows, int most);
/* The first row of a tile. */
const struct loop_expr *row_of_tile(struct writer *w, const struct row_split *split,
                                    const struct loop_expr *tile);
/* The register tile for a product: the target's own unless another covers it with clearly fewer cycles, or a
 * small product with fewer variants of the code. */
struct tile_work {
    int64_t rows, columns;
    int lanes;
    double depth;
    bool is_small; /* its compilation weighs more than some percent of its speed */
};
void choose_tile(const struct target *target, const struct tile_work *work, int *rows, int *vectors);
enum { SMALL_PRODUCT = 30000000 }; /* multiply-adds: half a millisecond */
/* How many tasks a kernel of so many multiply-adds is cut into at most. */
int64_t task_target(double multiply_adds);

#endif
