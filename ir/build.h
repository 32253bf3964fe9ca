/* ir/build.h: typed constructors of ops, for the elaborator, the gradient rules and the passes. Each inserts
 * its op at the builder's place, infers the type, and returns the result; NULL means that the types did not
 * fit and the mistake was reported. Every constructor takes NULL operands quietly and returns NULL, so that
 * callers check once. */
#ifndef IR_BUILD_H
#define IR_BUILD_H

#include "ir/graph.h"

struct builder {
    struct graph *graph;
    struct block *block;
    struct op *before; /* insert in front of this op; NULL: at the end of block */
    const struct site *site;
    struct diags *diags;
};

void builder_init(struct builder *b, struct graph *graph, struct block *block, struct diags *diags);
void builder_at_end(struct builder *b, struct block *block);
void builder_before(struct builder *b, struct op *op);

/* The general form; NULL: reported. Of several results take op->out. */
struct op *build_op(struct builder *b, enum opcode code, struct value *const *in, int in_count,
                    const struct attr *attrs, int attr_count, const struct type *const *types, int out_count);

struct value *build_unary(struct builder *b, enum opcode code, struct value *x);
struct value *build_binary(struct builder *b, enum opcode code, struct value *x, struct value *y);
#define build_add(b, x, y) build_binary((b), OP_add, (x), (y))
#define build_sub(b, x, y) build_binary((b), OP_sub, (x), (y))
#define build_mul(b, x, y) build_binary((b), OP_mul, (x), (y))
#define build_div(b, x, y) build_binary((b), OP_div, (x), (y))
struct value *build_select(struct builder *b, struct value *c, struct value *x, struct value *y);
struct value *build_cast(struct builder *b, struct value *x,
                         enum dtype dtype); /* x itself where it has the dtype */
struct value *build_bitcast(struct builder *b, struct value *x, enum dtype dtype);

struct value *build_number(struct builder *b, enum dtype dtype, double value); /* a 0-d constant */
struct value *build_int(struct builder *b, enum dtype dtype, int64_t value);
struct value *build_like(struct builder *b, struct value *x, double value); /* a 0-d constant of x's dtype */
struct value *build_full(struct builder *b, const struct type *type, double value); /* const + broadcast */
struct value *build_const(struct builder *b, const struct type *type,
                          const void *bytes); /* copies the bytes */
struct value *build_iota(struct builder *b, const struct type *type, int axis);
struct value *build_dim(struct builder *b, const struct dim *size); /* i64[] */
struct value *build_input(struct builder *b, const char *name, const struct type *type);
struct value *build_read(struct builder *b, struct state *state);
void build_write(struct builder *b, struct state *state, struct value *value);
void build_report(struct builder *b, const char *name, struct value *value);
void build_print(struct builder *b, const char *label, struct value *value);
void build_check(struct builder *b, const char *message, struct value *condition);
void build_yield(struct builder *b, struct value *const *values, int count);
struct value *build_random_bits(struct builder *b, struct value *key, const struct type *type);
struct value *build_random_fold(struct builder *b, struct value *key, struct value *d);

struct value *build_reshape(struct builder *b, struct value *x, int rank, const struct dim *const *dims);
struct value *build_transpose(struct builder *b, struct value *x, const int64_t *perm);
struct value *build_broadcast(struct builder *b, struct value *x, const struct type *type,
                              const int64_t *axes);
/* x to the dims of type by NumPy's rule (axes aligned at the end); x itself where it has them. */
struct value *build_broadcast_to(struct builder *b, struct value *x, const struct type *type);
struct value *build_slice(struct builder *b, struct value *x, const struct dim *const *start,
                          const int64_t *step, const struct dim *const *sizes);
struct value *build_pad(struct builder *b, struct value *x, const struct dim *const *lo,
                        const struct dim *const *hi, const int64_t *interior, double value);
struct value *build_concat(struct builder *b, struct value *const *xs, int count, int axis);
struct value *build_reduce(struct builder *b, struct value *x, const char *kind, const int64_t *axes,
                           int count);
/* Sums x down to the dims of type, the adjoint of broadcasting from it by NumPy's rule. */
struct value *build_sum_to(struct builder *b, struct value *x, const struct type *type);
struct value *build_gather(struct builder *b, struct value *x, struct value *index, int axis, int batch);
struct value *build_scatter(struct builder *b, struct value *x, struct value *index, struct value *u,
                            int axis, int batch, const char *kind);
struct value *build_dot(struct builder *b, struct value *x, struct value *y, const int64_t *lhs_batch,
                        const int64_t *rhs_batch, int batch_count, const int64_t *lhs_contract,
                        const int64_t *rhs_contract, int contract_count);

struct conv_attrs {
    int rank; /* spatial axes: 1 to 3 */
    int64_t stride[3], pad_lo[3], pad_hi[3], dilation[3], lhs_dilation[3];
    int64_t groups;
};
struct value *build_conv(struct builder *b, struct value *x, struct value *w, const struct conv_attrs *attrs);
struct value *build_conv_wgrad(struct builder *b, struct value *x, struct value *dy, const struct type *w,
                               const struct conv_attrs *attrs);
void conv_attrs_get(const struct op *op, struct conv_attrs *out); /* of a conv or conv_wgrad */

/* One value per x: the `grad` op. */
struct op *build_grad(struct builder *b, struct value *y, struct value *const *xs, int count);

#endif
