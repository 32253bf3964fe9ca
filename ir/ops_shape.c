/* ir/ops_shape.c: operators that only move elements by rules known from attributes: reshape, transpose,
 * broadcast, slice, pad, concat. */
#include "ir/infer.h"

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
