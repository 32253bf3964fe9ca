/* ir/build.c: typed constructors over op_create and op_infer. */
#include "ir/build.h"

#include "ir/tensor.h"

#include <assert.h>
#include <string.h>

void builder_init(struct builder *b, struct graph *graph, struct block *block, struct diags *diags) {
    *b = (struct builder){.graph = graph, .block = block, .site = &site_unknown, .diags = diags};
}

void builder_at_end(struct builder *b, struct block *block) {
    b->block = block;
    b->before = NULL;
}

void builder_before(struct builder *b, struct op *op) {
    b->block = op->block;
    b->before = op;
}

struct op *build_op(struct builder *b, enum opcode code, struct value *const *in, int in_count,
                    const struct attr *attrs, int attr_count, const struct type *const *types,
                    int out_count) {
    for (int i = 0; i < in_count; i++)
        if (!in[i])
            return NULL;
    struct op *op = op_create(b->graph, code, in, in_count, attrs, attr_count, types, out_count, b->site);
    if (!op_infer(b->graph, op, b->diags)) {
        op_erase(op);
        return NULL;
    }
    if (b->before)
        op_insert_before(op, b->before);
    else
        op_append(op, b->block);
    return op;
}

/* An op with one result. */
static struct value *build_value(struct builder *b, enum opcode code, struct value *const *in, int in_count,
                                 const struct attr *attrs, int attr_count, const struct type *type) {
    struct op *op = build_op(b, code, in, in_count, attrs, attr_count, &type, 1);
    return op ? op->out[0] : NULL;
}

/* Attributes as values. */
#define INT(n, v)       ((struct attr){.name = ATTR_##n, .i = (v)})
#define INTS(n, v, c)   ((struct attr){.name = ATTR_##n, .count = (c), .ints = (v)})
#define DIMS(n, v, c)   ((struct attr){.name = ATTR_##n, .count = (c), .dims = (v)})
#define STRING(n, text) ((struct attr){.name = ATTR_##n, .string = (text)})

/* ---- elementwise ---- */

struct value *build_unary(struct builder *b, enum opcode code, struct value *x) {
    return build_value(b, code, &x, 1, NULL, 0, NULL);
}

struct value *build_binary(struct builder *b, enum opcode code, struct value *x, struct value *y) {
    return build_value(b, code, (struct value *[]){x, y}, 2, NULL, 0, NULL);
}

struct value *build_select(struct builder *b, struct value *c, struct value *x, struct value *y) {
    return build_value(b, OP_select, (struct value *[]){c, x, y}, 3, NULL, 0, NULL);
}

static struct value *build_recast(struct builder *b, enum opcode code, struct value *x, enum dtype dtype) {
    if (!x || x->type->dtype == dtype)
        return x;
    return build_value(b, code, &x, 1, NULL, 0, type_with_dtype(b->graph->types, x->type, dtype));
}

struct value *build_cast(struct builder *b, struct value *x, enum dtype dtype) {
    return build_recast(b, OP_cast, x, dtype);
}

struct value *build_bitcast(struct builder *b, struct value *x, enum dtype dtype) {
    return build_recast(b, OP_bitcast, x, dtype);
}

/* ---- constants and sources ---- */

struct value *build_const(struct builder *b, const struct type *type, const void *bytes) {
    struct data data = {type, bytes};
    return build_value(b, OP_const, NULL, 0, &(struct attr){.name = ATTR_data, .data = &data}, 1, type);
}

static struct value *build_scalar(struct builder *b, struct tensor *tensor) {
    union {
        double f;
        int64_t i;
    } bytes = {0};
    tensor_to_bytes(tensor, &bytes);
    return build_const(b, tensor->type, &bytes);
}

struct value *build_number(struct builder *b, enum dtype dtype, double value) {
    if (!dtype_is_float(dtype))
        return build_int(b, dtype, (int64_t)value);
    return build_scalar(b, &(struct tensor){type_scalar(b->graph->types, dtype), {.f = &value}});
}

struct value *build_int(struct builder *b, enum dtype dtype, int64_t value) {
    if (dtype_is_float(dtype))
        return build_number(b, dtype, (double)value);
    return build_scalar(b, &(struct tensor){type_scalar(b->graph->types, dtype), {.i = &value}});
}

struct value *build_like(struct builder *b, struct value *x, double value) {
    return x ? build_number(b, x->type->dtype, value) : NULL;
}

struct value *build_full(struct builder *b, const struct type *type, double value) {
    return build_broadcast_to(b, build_number(b, type->dtype, value), type);
}

struct value *build_iota(struct builder *b, const struct type *type, int axis) {
    return build_value(b, OP_iota, NULL, 0, &INT(axis, axis), 1, type);
}

struct value *build_dim(struct builder *b, const struct dim *size) {
    return build_value(b, OP_dim, NULL, 0, &(struct attr){.name = ATTR_size, .dim = size}, 1, NULL);
}

struct value *build_input(struct builder *b, const char *name, const struct type *type) {
    struct value *value = build_value(b, OP_input, NULL, 0, &STRING(name, name), 1, type);
    if (value)
        value->name = op_string(value->def, ATTR_name);
    return value;
}

struct value *build_read(struct builder *b, struct state *state) {
    struct value *value =
        build_value(b, OP_read, NULL, 0, &(struct attr){.name = ATTR_state, .state = state}, 1, NULL);
    if (value)
        value->name = state->name;
    return value;
}

/* ---- effects ---- */

void build_write(struct builder *b, struct state *state, struct value *value) {
    build_op(b, OP_write, &value, 1, &(struct attr){.name = ATTR_state, .state = state}, 1, NULL, 0);
}

void build_report(struct builder *b, const char *name, struct value *value) {
    build_op(b, OP_report, &value, 1, &STRING(name, name), 1, NULL, 0);
}

void build_print(struct builder *b, const char *label, struct value *value) {
    build_op(b, OP_print, &value, 1, &STRING(name, label), 1, NULL, 0);
}

void build_check(struct builder *b, const char *message, struct value *condition) {
    build_op(b, OP_check, &condition, 1, &STRING(message, message), 1, NULL, 0);
}

void build_yield(struct builder *b, struct value *const *values, int count) {
    build_op(b, OP_yield, values, count, NULL, 0, NULL, 0);
}

/* ---- random ---- */

struct value *build_random_bits(struct builder *b, struct value *key, const struct type *type) {
    return build_value(b, OP_random_bits, &key, 1, NULL, 0, type);
}

struct value *build_random_fold(struct builder *b, struct value *key, struct value *d) {
    return build_binary(b, OP_random_fold, key, d);
}

/* ---- structure ---- */

struct value *build_reshape(struct builder *b, struct value *x, int rank, const struct dim *const *dims) {
    if (!x)
        return NULL;
    const struct type *type = type_with_dims(b->graph->types, x->type, rank, dims);
    return type == x->type ? x : build_value(b, OP_reshape, &x, 1, NULL, 0, type);
}

struct value *build_transpose(struct builder *b, struct value *x, const int64_t *perm) {
    return x ? build_value(b, OP_transpose, &x, 1, &INTS(perm, perm, x->type->rank), 1, NULL) : NULL;
}

struct value *build_broadcast(struct builder *b, struct value *x, const struct type *type,
                              const int64_t *axes) {
    return x ? build_value(b, OP_broadcast, &x, 1, &INTS(axes, axes, x->type->rank), 1, type) : NULL;
}

struct value *build_broadcast_to(struct builder *b, struct value *x, const struct type *type) {
    if (!x)
        return NULL;
    int rank = x->type->rank;
    if (type_with_dtype(b->graph->types, type, x->type->dtype) == x->type)
        return x;
    if (rank > type->rank) {
        diag_error_at(b->diags, b->site, E_SHAPE, "%s does not broadcast to %s",
                      type_text(b->graph->types, x->type), type_text(b->graph->types, type));
        return NULL;
    }
    int64_t *axes = ARENA_ARRAY(b->graph->arena, int64_t, rank);
    for (int i = 0; i < rank; i++)
        axes[i] = type->rank - rank + i;
    return build_broadcast(b, x, type_with_dtype(b->graph->types, type, x->type->dtype), axes);
}

struct value *build_slice(struct builder *b, struct value *x, const struct dim *const *start,
                          const int64_t *step, const struct dim *const *sizes) {
    if (!x)
        return NULL;
    int rank = x->type->rank;
    struct attr attrs[] = {DIMS(start, start, rank), INTS(step, step, rank)};
    return build_value(b, OP_slice, &x, 1, attrs, 2, type_with_dims(b->graph->types, x->type, rank, sizes));
}

struct value *build_pad(struct builder *b, struct value *x, const struct dim *const *lo,
                        const struct dim *const *hi, const int64_t *interior, double value) {
    if (!x)
        return NULL;
    int rank = x->type->rank;
    struct attr attrs[] = {DIMS(lo, lo, rank),
                           DIMS(hi, hi, rank),
                           INTS(interior, interior, rank),
                           {.name = ATTR_value, .f = value}};
    return build_value(b, OP_pad, &x, 1, attrs, 4, NULL);
}

struct value *build_concat(struct builder *b, struct value *const *xs, int count, int axis) {
    return build_value(b, OP_concat, xs, count, &INT(axis, axis), 1, NULL);
}

struct value *build_gather(struct builder *b, struct value *x, struct value *index, int axis, int batch) {
    struct attr attrs[] = {INT(axis, axis), INT(batch, batch)};
    return build_value(b, OP_gather, (struct value *[]){x, index}, 2, attrs, 2, NULL);
}

struct value *build_scatter(struct builder *b, struct value *x, struct value *index, struct value *u,
                            int axis, int batch, const char *kind) {
    struct attr attrs[] = {INT(axis, axis), INT(batch, batch), STRING(kind, kind)};
    return build_value(b, OP_scatter, (struct value *[]){x, index, u}, 3, attrs, 3, NULL);
}

/* ---- reductions ---- */

struct value *build_reduce(struct builder *b, struct value *x, const char *kind, const int64_t *axes,
                           int count) {
    int64_t *sorted = arena_memdup(b->graph->arena, axes, sizeof(*axes) * (size_t)count);
    for (int i = 1; i < count; i++) /* insertion sort: a handful of axes */
        for (int j = i; j > 0 && sorted[j] < sorted[j - 1]; j--) {
            int64_t swapped = sorted[j];
            sorted[j] = sorted[j - 1];
            sorted[j - 1] = swapped;
        }
    struct attr attrs[] = {INTS(axes, sorted, count), STRING(kind, kind)};
    return build_value(b, OP_reduce, &x, 1, attrs, 2, NULL);
}

struct value *build_sum_to(struct builder *b, struct value *x, const struct type *type) {
    if (!x)
        return NULL;
    const struct dim *unit = dim_const(b->graph->types, 1);
    int count = 0, extra = x->type->rank - type->rank;
    int64_t *axes = ARENA_ARRAY(b->graph->arena, int64_t, x->type->rank);
    for (int i = 0; i < x->type->rank; i++)
        if (i < extra || (type->dims[i - extra] == unit && x->type->dims[i] != unit))
            axes[count++] = i;
    if (count > 0)
        x = build_reduce(b, x, "sum", axes, count);
    return build_reshape(b, x, type->rank, type->dims);
}

/* ---- contractions ---- */

struct value *build_dot(struct builder *b, struct value *x, struct value *y, const int64_t *lhs_batch,
                        const int64_t *rhs_batch, int batch_count, const int64_t *lhs_contract,
                        const int64_t *rhs_contract, int contract_count) {
    struct attr attrs[] = {INTS(lhs_batch, lhs_batch, batch_count), INTS(rhs_batch, rhs_batch, batch_count),
                           INTS(lhs_contract, lhs_contract, contract_count),
                           INTS(rhs_contract, rhs_contract, contract_count)};
    return build_value(b, OP_dot, (struct value *[]){x, y}, 2, attrs, 4, NULL);
}

static struct value *build_convolution(struct builder *b, enum opcode code, struct value *x, struct value *y,
                                       const struct type *type, const struct conv_attrs *c) {
    struct attr attrs[] = {INTS(stride, c->stride, c->rank),
                           INTS(pad_lo, c->pad_lo, c->rank),
                           INTS(pad_hi, c->pad_hi, c->rank),
                           INTS(dilation, c->dilation, c->rank),
                           INTS(lhs_dilation, c->lhs_dilation, c->rank),
                           INT(groups, c->groups)};
    return build_value(b, code, (struct value *[]){x, y}, 2, attrs, 6, type);
}

struct value *build_conv(struct builder *b, struct value *x, struct value *w,
                         const struct conv_attrs *attrs) {
    return build_convolution(b, OP_conv, x, w, NULL, attrs);
}

struct value *build_conv_wgrad(struct builder *b, struct value *x, struct value *dy, const struct type *w,
                               const struct conv_attrs *attrs) {
    return build_convolution(b, OP_conv_wgrad, x, dy, w, attrs);
}

struct op *build_grad(struct builder *b, struct value *y, struct value *const *xs, int count) {
    struct value **in = ARENA_ARRAY(b->graph->arena, struct value *, count + 1);
    in[0] = y;
    for (int i = 0; i < count; i++)
        in[i + 1] = xs[i];
    return build_op(b, OP_grad, in, count + 1, NULL, 0, NULL, count);
}
