/* ir/evaluate.h: what the evaluation functions of ir/ops_*.c share. Internal to ir/.
 *
 * eval_NAME(e, op, in, out) belongs to the rows of ops.def whose eval column says NAME. in[k] has the type of
 * operand k; out[k] is a tensor of zeros of result k's type, to be filled (a row of fuse class REGION finds
 * NULL there and sets tensors that it owns). Numbers need not be rounded or wrapped to the dtype: the
 * evaluator does that to each result. false: reported. */
#ifndef IR_EVALUATE_H
#define IR_EVALUATE_H

#include "ir/eval.h"

#define OP(name, operands, results, attributes, infer, grad, value_rule, ...)                                \
    bool eval_##value_rule(struct eval *e, const struct op *op, struct tensor *const *in,                    \
                           struct tensor **out);
#include "ir/ops.def"
#undef OP

enum eval_mode eval_mode(const struct eval *e);
struct types *eval_types(const struct eval *e);
/* Zeroed memory that goes when the operator is done. */
void *eval_scratch(struct eval *e, size_t size);
#define EVAL_ARRAY(e, T, n) ((T *)eval_scratch((e), sizeof(T) * (size_t)(n)))
/* Tensors for the rules of regions: each is owned by one place, which moves it on or releases it. */
struct tensor *tensor_take(struct eval *e, const struct type *type);
struct tensor *tensor_copy(struct eval *e, const struct tensor *tensor);
void tensor_release(struct eval *e, struct tensor *tensor);
/* Runs a block on borrowed arguments; the results are the caller's to release. */
bool eval_block(struct eval *e, const struct block *block, struct tensor *const *args,
                struct tensor **results);
bool eval_call_function(struct eval *e, const struct op *op, const struct function *callee,
                        struct tensor *const *args, struct tensor **results);
/* Reports at the op's site; returns false. */
bool eval_error(struct eval *e, const struct op *op, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A walk through all places of an index space in row-major order, with the offsets that belong to each place
 * in several tensors. Whatever moves elements about (broadcasts, views, reductions, windows) is a walk whose
 * strides say where axis a of the space goes in each tensor; a stride of 0 stands still there. */
enum { WALK_TENSORS = 4 };

struct walk {
    struct eval *e;
    int rank;
    int64_t *size, *index;         /* of each axis: its size, where we are */
    int64_t *stride[WALK_TENSORS]; /* set them after walk_init; all start as 0 */
    int64_t at[WALK_TENSORS];      /* the offsets of this place; may start elsewhere than at 0 */
    int64_t left; /* places not yet left behind: the loop is `for (; w.left; walk_next(&w))` */
};

void walk_init(struct walk *walk, struct eval *e, int rank);
void walk_start(struct walk *walk); /* once all sizes are set */
void walk_next(struct walk *walk);
/* A walk through the shape of type, whose stride[0] is its own. */
void walk_type(struct walk *walk, struct eval *e, const struct type *type);
/* Row-major strides of type, one for each axis. */
int64_t *type_strides(struct eval *e, const struct type *type);
/* Gives tensor t the strides of a type that broadcasts to the walk's shape by NumPy's rule. */
void walk_broadcast(struct walk *walk, int t, const struct type *type);

/* to[to_at] = from[from_at], and adding it, for tensors of one dtype. */
static inline void element_copy(struct tensor *to, int64_t to_at, const struct tensor *from,
                                int64_t from_at) {
    to->i[to_at] = from->i[from_at]; /* both fields have the same size: the bits are copied */
}
static inline void element_add(struct tensor *to, int64_t to_at, const struct tensor *from, int64_t from_at) {
    if (dtype_is_float(to->type->dtype))
        to->f[to_at] += from->f[from_at];
    else
        to->i[to_at] = (int64_t)((uint64_t)to->i[to_at] + (uint64_t)from->i[from_at]);
}
/* The arithmetic that reductions share with the elementwise operators: integers wrap, NaN stays. */
double float_add(double x, double y);
double float_mul(double x, double y);
double float_max(double x, double y);
double float_min(double x, double y);
int64_t int_add(int64_t x, int64_t y);
int64_t int_mul(int64_t x, int64_t y);
int64_t int_max(int64_t x, int64_t y);
int64_t int_min(int64_t x, int64_t y);
/* The lines along an axis: at[0] of the walk is where one begins; *count elements follow at distances of
 * *stride. */
void walk_lines(struct walk *walk, struct eval *e, const struct type *type, int64_t axis, int64_t *count,
                int64_t *stride);
/* The index that a 0-d integer operand holds, brought into 0 .. greatest. */
int64_t index_clamped(const struct tensor *tensor, int64_t greatest);

#endif
