/* ir/ops_linear.c: sums of products: dot, conv, conv_wgrad. */
#include "ir/build.h"
#include "ir/infer.h"

/* ---- inference ---- */

/* Floats give their own dtype, i8 gives i32. */
static bool product_dtype(struct graph *graph, struct op *op, struct diags *diags, enum dtype *out) {
    enum dtype x = op->in[0]->type->dtype, y = op->in[1]->type->dtype;
    if (x == y && (dtype_is_float(x) || x == DTYPE_i8)) {
        *out = x == DTYPE_i8 ? DTYPE_i32 : x;
        return true;
    }
    infer_error(graph, op, diags, E_DTYPE, "%s and %s: wants two of the same float dtype, or i8",
                type_name(graph, op->in[0]), type_name(graph, op->in[1]));
    return false;
}

/* Marks in `used` the axes of one side; false: reported. */
static bool mark_axes(struct graph *graph, struct op *op, struct diags *diags, int side, enum attr_name name,
                      bool *used) {
    int count, rank = op->in[side]->type->rank;
    const int64_t *axes = op_ints(op, name, &count);
    for (int i = 0; i < count; i++) {
        if (axes[i] < 0 || axes[i] >= rank) {
            infer_error(graph, op, diags, E_INDEX, "`%s`: axis %lld is not one of the axes of %s",
                        attr_text(name), (long long)axes[i], type_name(graph, op->in[side]));
            return false;
        }
        if (used[axes[i]]) {
            infer_error(graph, op, diags, E_INDEX, "`%s`: axis %lld is used twice", attr_text(name),
                        (long long)axes[i]);
            return false;
        }
        used[axes[i]] = true;
    }
    return true;
}

/* Two lists of axes, one for each side, must go together: as many, of equal sizes. */
static bool pair_axes(struct graph *graph, struct op *op, struct diags *diags, enum attr_name lhs,
                      enum attr_name rhs) {
    int m, n;
    const int64_t *x = op_ints(op, lhs, &m), *y = op_ints(op, rhs, &n);
    if (m != n) {
        infer_error(graph, op, diags, E_SHAPE, "`%s` has %d axes, but `%s` has %d", attr_text(lhs), m,
                    attr_text(rhs), n);
        return false;
    }
    for (int i = 0; i < m; i++)
        if (!infer_equal_dims(graph, op, diags, 0, (int)x[i], 1, (int)y[i]))
            return false;
    return true;
}

bool infer_dot(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *x = op->in[0]->type, *y = op->in[1]->type;
    enum dtype dtype;
    bool *used[2] = {ARENA_ARRAY(graph->arena, bool, x->rank), ARENA_ARRAY(graph->arena, bool, y->rank)};
    if (!product_dtype(graph, op, diags, &dtype) ||
        !mark_axes(graph, op, diags, 0, ATTR_lhs_batch, used[0]) ||
        !mark_axes(graph, op, diags, 0, ATTR_lhs_contract, used[0]) ||
        !mark_axes(graph, op, diags, 1, ATTR_rhs_batch, used[1]) ||
        !mark_axes(graph, op, diags, 1, ATTR_rhs_contract, used[1]) ||
        !pair_axes(graph, op, diags, ATTR_lhs_batch, ATTR_rhs_batch) ||
        !pair_axes(graph, op, diags, ATTR_lhs_contract, ATTR_rhs_contract))
        return false;
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, x->rank + y->rank);
    int rank = 0, batch;
    const int64_t *batch_axes = op_ints(op, ATTR_lhs_batch, &batch);
    for (int i = 0; i < batch; i++)
        dims[rank++] = x->dims[batch_axes[i]];
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < op->in[side]->type->rank; i++)
            if (!used[side][i])
                dims[rank++] = op->in[side]->type->dims[i];
    return infer_result(op, type_get(graph->types, dtype, rank, dims));
}

static bool check_conv_attrs(struct graph *graph, struct op *op, struct diags *diags, int rank) {
    if (rank < 1 || rank > 3) {
        infer_error(graph, op, diags, E_SHAPE, "wants [batch, channel, 1 to 3 axes], but got %s",
                    type_name(graph, op->in[0]));
        return false;
    }
    if (op_int(op, ATTR_groups) < 1) {
        infer_error(graph, op, diags, E_INDEX, "groups must be 1 or more");
        return false;
    }
    return infer_list(graph, op, diags, ATTR_stride, rank, 1) &&
           infer_list(graph, op, diags, ATTR_dilation, rank, 1) &&
           infer_list(graph, op, diags, ATTR_lhs_dilation, rank, 1) &&
           infer_list(graph, op, diags, ATTR_pad_lo, rank, INT64_MIN) &&
           infer_list(graph, op, diags, ATTR_pad_hi, rank, INT64_MIN);
}

void conv_attrs_get(const struct op *op, struct conv_attrs *out) {
    int rank;
    const int64_t *stride = op_ints(op, ATTR_stride, &rank);
    *out = (struct conv_attrs){.rank = rank, .groups = op_int(op, ATTR_groups)};
    for (int i = 0; i < rank; i++) {
        out->stride[i] = stride[i];
        out->pad_lo[i] = op_ints(op, ATTR_pad_lo, NULL)[i];
        out->pad_hi[i] = op_ints(op, ATTR_pad_hi, NULL)[i];
        out->dilation[i] = op_ints(op, ATTR_dilation, NULL)[i];
        out->lhs_dilation[i] = op_ints(op, ATTR_lhs_dilation, NULL)[i];
    }
}

/* The extent of spatial axis i: (n - 1) * lhs_dilation + 1, and the padding. */
static const struct dim *padded_extent(struct types *types, const struct dim *n, const struct conv_attrs *c,
                                       int i) {
    if (c->lhs_dilation[i] != 1) {
        const struct dim *gaps =
            dim_mul(types, dim_sub(types, n, dim_const(types, 1)), dim_const(types, c->lhs_dilation[i]));
        n = dim_add(types, gaps, dim_const(types, 1));
    }
    return dim_add(types, n, dim_add(types, dim_const(types, c->pad_lo[i]), dim_const(types, c->pad_hi[i])));
}

/* The type of conv(x, w) by op's attributes; NULL: reported. x f[B, C, n..], w f[O, C/groups, k..] -> f[B, O,
 * p..]. */
static const struct type *conv_type(struct graph *graph, struct op *op, struct diags *diags,
                                    const struct type *x, const struct type *w) {
    struct types *types = graph->types;
    int rank = x->rank - 2;
    if (!check_conv_attrs(graph, op, diags, rank))
        return NULL;
    struct conv_attrs c;
    conv_attrs_get(op, &c);
    const struct dim *groups = dim_const(types, c.groups);
    if (w->rank != x->rank || dim_mul(types, w->dims[1], groups) != x->dims[1]) {
        infer_error(graph, op, diags, E_SHAPE, "a kernel of %s does not fit an image of %s in %lld group%s",
                    type_text(types, w), type_text(types, x), (long long)c.groups, c.groups == 1 ? "" : "s");
        return NULL;
    }
    if (dim_is_const(w->dims[0]) && dim_value(w->dims[0]) % c.groups != 0) {
        infer_error(graph, op, diags, E_SHAPE, "%s output channels are not divisible into %lld groups",
                    dim_name(graph, w->dims[0]), (long long)c.groups);
        return NULL;
    }
    const struct dim *dims[5] = {x->dims[0], w->dims[0]};
    for (int i = 0; i < rank; i++) {
        const struct dim *extent = padded_extent(types, x->dims[i + 2], &c, i);
        dims[i + 2] = window_places(types, extent, w->dims[i + 2], c.stride[i], c.dilation[i]);
        if (dims[i + 2])
            continue;
        infer_error(graph, op, diags, E_SHAPE,
                    "a window of %s with dilation %lld does not fit the padded axis %d of %s, which is %s",
                    dim_name(graph, w->dims[i + 2]), (long long)c.dilation[i], i + 2, type_text(types, x),
                    dim_name(graph, extent));
        return NULL;
    }
    return type_with_dims(types, x, x->rank, dims);
}

static bool check_floats(struct graph *graph, struct op *op, struct diags *diags) {
    enum dtype dtype;
    if (!product_dtype(graph, op, diags, &dtype))
        return false;
    if (dtype_is_float(dtype))
        return true;
    infer_error(graph, op, diags, E_DTYPE, "wants floats, but got %s", type_name(graph, op->in[0]));
    return false;
}

bool infer_conv(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type =
        check_floats(graph, op, diags) ? conv_type(graph, op, diags, op->in[0]->type, op->in[1]->type) : NULL;
    return type && infer_result(op, type);
}

bool infer_conv_wgrad(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *w = infer_declared_type(graph, op, diags);
    if (!w || !check_floats(graph, op, diags))
        return false;
    const struct type *y = conv_type(graph, op, diags, op->in[0]->type, w);
    if (!y)
        return false;
    if (op->in[1]->type == y && w->dtype == y->dtype)
        return true;
    infer_error(graph, op, diags, E_SHAPE, "for a kernel of %s the gradient must be %s, but is %s",
                type_text(graph->types, w), type_text(graph->types, y), type_name(graph, op->in[1]));
    return false;
}
