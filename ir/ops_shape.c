/* ir/ops_shape.c: operators that only move elements by rules known from attributes: reshape, transpose,
 * broadcast, slice, pad, concat. */
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"
#include "ir/infer.h"

#include <string.h>

/* ---- inference ---- */

bool infer_reshape(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *from = op->in[0]->type, *to = infer_declared_type(graph, op, diags);
    if (!to)
        return false;
    if (from->dtype != to->dtype) {
        infer_error(graph, op, diags, E_DTYPE, "%s cannot become %s", type_name(graph, op->in[0]),
                    type_name(graph, op->out[0]));
        return false;
    }
    const struct dim *have = type_count(graph->types, from), *want = type_count(graph->types, to);
    if (have == want)
        return true;
    infer_error(graph, op, diags, E_SHAPE, "%s has %s elements, but %s has %s", type_name(graph, op->in[0]),
                dim_name(graph, have), type_name(graph, op->out[0]), dim_name(graph, want));
    return false;
}

bool infer_transpose(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    int count;
    const int64_t *perm = op_ints(op, ATTR_perm, &count);
    if (!infer_list(graph, op, diags, ATTR_perm, type->rank, 0))
        return false;
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, count);
    bool *seen = ARENA_ARRAY(graph->arena, bool, count);
    for (int i = 0; i < count; i++) {
        if (!infer_axis(graph, op, diags, perm[i], type->rank))
            return false;
        if (seen[perm[i]]) {
            infer_error(graph, op, diags, E_INDEX, "axis %lld stands twice in the permutation",
                        (long long)perm[i]);
            return false;
        }
        seen[perm[i]] = true;
        dims[i] = type->dims[perm[i]];
    }
    return infer_result(op, type_with_dims(graph->types, type, count, dims));
}

bool infer_broadcast(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *from = op->in[0]->type, *to = infer_declared_type(graph, op, diags);
    if (!to || !infer_list(graph, op, diags, ATTR_axes, from->rank, 0))
        return false;
    const int64_t *axes = op_ints(op, ATTR_axes, NULL);
    if (!infer_axes(graph, op, diags, "axes", axes, from->rank, to->rank))
        return false;
    if (from->dtype != to->dtype) {
        infer_error(graph, op, diags, E_DTYPE, "%s cannot become %s", type_name(graph, op->in[0]),
                    type_name(graph, op->out[0]));
        return false;
    }
    const struct dim *unit = dim_const(graph->types, 1);
    for (int i = 0; i < from->rank; i++) {
        if (from->dims[i] == to->dims[axes[i]] || from->dims[i] == unit)
            continue;
        infer_error(graph, op, diags, E_SHAPE, "axis %d of %s is neither 1 nor %s, axis %lld of %s", i,
                    type_name(graph, op->in[0]), dim_name(graph, to->dims[axes[i]]), (long long)axes[i],
                    type_name(graph, op->out[0]));
        return false;
    }
    return true;
}

/* start, and start + (size - 1) * step where size > 0, must not surely lie outside 0 .. length - 1. */
static bool slice_fits(struct types *types, const struct dim *length, const struct dim *start, int64_t step,
                       const struct dim *size) {
    const struct dim *zero = dim_const(types, 0), *one = dim_const(types, 1);
    if (size == zero)
        return true;
    const struct dim *way = dim_mul(types, dim_sub(types, size, one), dim_const(types, step));
    const struct dim *ends[2] = {start, dim_add(types, start, way)};
    for (int i = 0; i < 2; i++) {
        int above = dim_compare(types, ends[i], length);
        if (dim_compare(types, ends[i], zero) == -1 || above == 1 || above == 0)
            return false;
    }
    return true;
}

bool infer_slice(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *from = op->in[0]->type, *to = infer_declared_type(graph, op, diags);
    if (!to || !infer_list(graph, op, diags, ATTR_start, from->rank, 0) ||
        !infer_list(graph, op, diags, ATTR_step, from->rank, INT64_MIN))
        return false;
    if (from->dtype != to->dtype || from->rank != to->rank) {
        infer_error(graph, op, diags, E_SHAPE, "%s is no slice of %s", type_name(graph, op->out[0]),
                    type_name(graph, op->in[0]));
        return false;
    }
    const struct dim *const *start = op_dims(op, ATTR_start, NULL);
    const int64_t *step = op_ints(op, ATTR_step, NULL);
    for (int i = 0; i < from->rank; i++) {
        if (step[i] == 0) {
            infer_error(graph, op, diags, E_INDEX, "the step of axis %d is 0", i);
            return false;
        }
        if (slice_fits(graph->types, from->dims[i], start[i], step[i], to->dims[i]))
            continue;
        infer_error(graph, op, diags, E_INDEX, "%s elements from %s on in steps of %lld leave axis %d of %s",
                    dim_name(graph, to->dims[i]), dim_name(graph, start[i]), (long long)step[i], i,
                    type_name(graph, op->in[0]));
        return false;
    }
    return true;
}

bool infer_pad(struct graph *graph, struct op *op, struct diags *diags) {
    struct types *types = graph->types;
    const struct type *type = op->in[0]->type;
    if (!infer_list(graph, op, diags, ATTR_lo, type->rank, 0) ||
        !infer_list(graph, op, diags, ATTR_hi, type->rank, 0) ||
        !infer_list(graph, op, diags, ATTR_interior, type->rank, 0))
        return false;
    const struct dim *const *lo = op_dims(op, ATTR_lo, NULL), *const *hi = op_dims(op, ATTR_hi, NULL);
    const int64_t *interior = op_ints(op, ATTR_interior, NULL);
    const struct dim *zero = dim_const(types, 0), *one = dim_const(types, 1);
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, type->rank);
    for (int i = 0; i < type->rank; i++) {
        const struct dim *n = type->dims[i], *size = dim_add(types, n, dim_add(types, lo[i], hi[i]));
        if (n != zero && interior[i] != 0)
            size =
                dim_add(types, size, dim_mul(types, dim_sub(types, n, one), dim_const(types, interior[i])));
        if (dim_compare(types, size, zero) == -1) {
            infer_error(graph, op, diags, E_SHAPE, "more is cropped from axis %d of %s than there is", i,
                        type_name(graph, op->in[0]));
            return false;
        }
        dims[i] = size;
    }
    return infer_result(op, type_with_dims(types, type, type->rank, dims));
}

bool infer_concat(struct graph *graph, struct op *op, struct diags *diags) {
    if (op->in_count == 0) {
        infer_error(graph, op, diags, E_SHAPE, "has no operands");
        return false;
    }
    const struct type *first = op->in[0]->type;
    int64_t axis = op_int(op, ATTR_axis);
    if (!infer_axis(graph, op, diags, axis, first->rank))
        return false;
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, first->rank);
    for (int i = 0; i < first->rank; i++)
        dims[i] = first->dims[i];
    for (int k = 1; k < op->in_count; k++) {
        const struct type *type = op->in[k]->type;
        if (type->dtype != first->dtype || type->rank != first->rank) {
            infer_error(graph, op, diags, type->dtype != first->dtype ? E_DTYPE : E_SHAPE,
                        "%s and %s cannot be joined", type_name(graph, op->in[0]),
                        type_name(graph, op->in[k]));
            return false;
        }
        for (int i = 0; i < first->rank; i++)
            if (i != axis && !infer_equal_dims(graph, op, diags, 0, i, k, i))
                return false;
        dims[axis] = dim_add(graph->types, dims[axis], type->dims[axis]);
    }
    return infer_result(op, type_with_dims(graph->types, first, first->rank, dims));
}

/* ---- values ---- */

bool eval_copy(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)e;
    memcpy(out[0]->i, in[0]->i, sizeof(int64_t) * (size_t)type_elements(op->out[0]->type));
    return true;
}

/* For each place of the walk: out = in. */
static bool copy_along(struct walk *w, struct tensor *out, const struct tensor *in) {
    for (; w->left; walk_next(w))
        element_copy(out, w->at[0], in, w->at[1]);
    return true;
}

bool eval_transpose(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    const int64_t *perm = op_ints(op, ATTR_perm, NULL), *strides = type_strides(e, in[0]->type);
    struct walk w;
    walk_type(&w, e, op->out[0]->type);
    for (int axis = 0; axis < w.rank; axis++)
        w.stride[1][axis] = strides[perm[axis]];
    return copy_along(&w, out[0], in[0]);
}

bool eval_broadcast(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    const struct type *from = in[0]->type;
    const int64_t *axes = op_ints(op, ATTR_axes, NULL), *strides = type_strides(e, from);
    struct walk w;
    walk_type(&w, e, op->out[0]->type);
    for (int axis = 0; axis < from->rank; axis++)
        w.stride[1][axes[axis]] = type_size(from, axis) == 1 ? 0 : strides[axis];
    return copy_along(&w, out[0], in[0]);
}

bool eval_slice(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    const struct dim *const *start = op_dims(op, ATTR_start, NULL);
    const int64_t *step = op_ints(op, ATTR_step, NULL), *strides = type_strides(e, in[0]->type);
    struct walk w;
    walk_type(&w, e, op->out[0]->type);
    for (int axis = 0; axis < w.rank; axis++) {
        w.at[1] += dim_value(start[axis]) * strides[axis];
        w.stride[1][axis] = step[axis] * strides[axis];
    }
    return copy_along(&w, out[0], in[0]);
}

/* Element i of an axis goes to lo + i * (interior + 1), or nowhere where that is outside. */
bool eval_pad(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    const struct dim *const *lo = op_dims(op, ATTR_lo, NULL);
    const int64_t *interior = op_ints(op, ATTR_interior, NULL), *strides = type_strides(e, op->out[0]->type);
    double value = op_float(op, ATTR_value);
    int64_t n = type_elements(op->out[0]->type);
    for (int64_t k = 0; k < n; k++)
        if (dtype_is_float(op->out[0]->type->dtype))
            out[0]->f[k] = value;
        else
            out[0]->i[k] = (int64_t)value;
    struct walk w;
    for (walk_type(&w, e, in[0]->type); w.left; walk_next(&w)) {
        int64_t at = 0;
        bool inside = true;
        for (int axis = 0; axis < w.rank; axis++) {
            int64_t place = dim_value(lo[axis]) + w.index[axis] * (interior[axis] + 1);
            inside = inside && place >= 0 && place < type_size(op->out[0]->type, axis);
            at += place * strides[axis];
        }
        if (inside)
            element_copy(out[0], at, in[0], w.at[0]);
    }
    return true;
}

bool eval_concat(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    int64_t axis = op_int(op, ATTR_axis), *strides = type_strides(e, op->out[0]->type), begin = 0;
    for (int k = 0; k < op->in_count; k++) {
        struct walk w;
        walk_type(&w, e, in[k]->type);
        memcpy(w.stride[1], strides, sizeof(int64_t) * (size_t)w.rank);
        w.at[1] = begin * strides[axis];
        for (; w.left; walk_next(&w))
            element_copy(out[0], w.at[1], in[k], w.at[0]);
        begin += type_size(in[k]->type, (int)axis);
    }
    return true;
}

/* ---- gradients ---- */

bool grad_reshape(struct gradient *g) {
    const struct type *type = g->op->in[0]->type;
    g->dx[0] = build_reshape(g->b, g->dy[0], type->rank, type->dims);
    return g->dx[0] != NULL;
}

bool grad_transpose(struct gradient *g) {
    int rank;
    const int64_t *perm = op_ints(g->op, ATTR_perm, &rank);
    int64_t *back = ARENA_ARRAY(g->scratch, int64_t, rank);
    for (int axis = 0; axis < rank; axis++)
        back[perm[axis]] = axis;
    g->dx[0] = build_transpose(g->b, g->dy[0], back);
    return g->dx[0] != NULL;
}

/* Sums over the axes that the operand has not, or has with size 1 only. */
bool grad_broadcast(struct gradient *g) {
    const struct type *from = g->op->in[0]->type, *to = g->op->out[0]->type;
    const int64_t *axes = op_ints(g->op, ATTR_axes, NULL);
    bool *kept = ARENA_ARRAY(g->scratch, bool, to->rank);
    for (int axis = 0; axis < from->rank; axis++)
        kept[axes[axis]] = from->dims[axis] == to->dims[axes[axis]];
    int64_t *gone = ARENA_ARRAY(g->scratch, int64_t, to->rank);
    int count = 0;
    for (int axis = 0; axis < to->rank; axis++)
        if (!kept[axis])
            gone[count++] = axis;
    struct value *dx = count ? build_reduce(g->b, g->dy[0], "sum", gone, count) : g->dy[0];
    if (to->rank - count < from->rank) /* the axes of size 1 come back */
        dx = build_reshape(g->b, dx, from->rank, from->dims);
    g->dx[0] = dx;
    return dx != NULL;
}

static struct types *types_of(const struct gradient *g) {
    return g->b->graph->types;
}

static const struct dim **dims_of(const struct gradient *g, int rank, int64_t value) {
    const struct dim **dims = ARENA_ARRAY(g->scratch, const struct dim *, rank);
    for (int axis = 0; axis < rank; axis++)
        dims[axis] = dim_const(types_of(g), value);
    return dims;
}

/* dy with the axes of negative step turned round, so that it ascends in x. */
static struct value *turn_round(struct gradient *g, const int64_t *step) {
    const struct type *type = g->op->out[0]->type;
    const struct dim **start = dims_of(g, type->rank, 0), *one = dim_const(types_of(g), 1);
    int64_t *turn = ARENA_ARRAY(g->scratch, int64_t, type->rank);
    bool any = false;
    for (int axis = 0; axis < type->rank; axis++) {
        bool down = step[axis] < 0 && type->dims[axis] != one;
        turn[axis] = down ? -1 : 1;
        if (down)
            start[axis] = dim_sub(types_of(g), type->dims[axis], one);
        any |= down;
    }
    return any ? build_slice(g->b, g->dy[0], start, turn, type->dims) : g->dy[0];
}

/* y[i] = x[start + i step]: dy goes back to these places, zeros between them. */
bool grad_slice(struct gradient *g) {
    struct types *types = types_of(g);
    const struct type *from = g->op->in[0]->type, *to = g->op->out[0]->type;
    const struct dim *const *start = op_dims(g->op, ATTR_start, NULL), *one = dim_const(types, 1);
    const int64_t *step = op_ints(g->op, ATTR_step, NULL);
    const struct dim **lo = dims_of(g, from->rank, 0), **hi = dims_of(g, from->rank, 0);
    int64_t *interior = ARENA_ARRAY(g->scratch, int64_t, from->rank);
    for (int axis = 0; axis < from->rank; axis++) {
        if (dim_is_const(to->dims[axis]) && dim_value(to->dims[axis]) == 0)
            return true; /* nothing was taken */
        const struct dim *way =
            dim_mul(types, dim_sub(types, to->dims[axis], one), dim_const(types, step[axis]));
        const struct dim *last = dim_add(types, start[axis], way);
        lo[axis] = step[axis] < 0 ? last : start[axis];
        hi[axis] = dim_sub(types, dim_sub(types, from->dims[axis], one), step[axis] < 0 ? start[axis] : last);
        if (to->dims[axis] != one)
            interior[axis] = (step[axis] < 0 ? -step[axis] : step[axis]) - 1;
    }
    g->dx[0] = build_pad(g->b, turn_round(g, step), lo, hi, interior, 0);
    return g->dx[0] != NULL;
}

/* dx[i] = dy[lo + i (interior + 1)]. What was cropped off comes back as zeros first. */
bool grad_pad(struct gradient *g) {
    struct types *types = types_of(g);
    const struct type *from = g->op->in[0]->type;
    const struct dim *const *lo = op_dims(g->op, ATTR_lo, NULL), *const *hi = op_dims(g->op, ATTR_hi, NULL);
    const int64_t *interior = op_ints(g->op, ATTR_interior, NULL);
    const struct dim *zero = dim_const(types, 0);
    const struct dim **start = dims_of(g, from->rank, 0);
    const struct dim **lo_back = dims_of(g, from->rank, 0), **hi_back = dims_of(g, from->rank, 0);
    int64_t *step = ARENA_ARRAY(g->scratch, int64_t, from->rank);
    bool crops = false;
    for (int axis = 0; axis < from->rank; axis++) {
        step[axis] = interior[axis] + 1;
        int below = dim_compare(types, lo[axis], zero), above = dim_compare(types, hi[axis], zero);
        if ((below == 0 || below == 1) && (above == 0 || above == 1)) {
            start[axis] = lo[axis];
            continue;
        }
        lo_back[axis] = dim_sub(types, zero, lo[axis]);
        hi_back[axis] = dim_sub(types, zero, hi[axis]);
        crops = true;
    }
    int64_t *none = ARENA_ARRAY(g->scratch, int64_t, from->rank);
    struct value *dy = crops ? build_pad(g->b, g->dy[0], lo_back, hi_back, none, 0) : g->dy[0];
    g->dx[0] = build_slice(g->b, dy, start, step, from->dims);
    return g->dx[0] != NULL;
}

bool grad_concat(struct gradient *g) {
    struct types *types = types_of(g);
    int64_t axis = op_int(g->op, ATTR_axis);
    int rank = g->op->out[0]->type->rank;
    const struct dim *begin = dim_const(types, 0);
    int64_t *step = ARENA_ARRAY(g->scratch, int64_t, rank);
    for (int k = 0; k < rank; k++)
        step[k] = 1;
    for (int k = 0; k < g->op->in_count; k++) {
        const struct type *type = g->op->in[k]->type;
        const struct dim **start = dims_of(g, rank, 0);
        start[axis] = begin;
        begin = dim_add(types, begin, type->dims[axis]);
        if (!g->want[k])
            continue;
        g->dx[k] = build_slice(g->b, g->dy[0], start, step, type->dims);
        if (!g->dx[k])
            return false;
    }
    return true;
}
