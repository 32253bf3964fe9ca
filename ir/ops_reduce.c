/* ir/ops_reduce.c: reductions and running sums. */
#include "ir/infer.h"

#include <string.h>

/* ---- inference ---- */

/* The type without the axes, which ascend. */
static const struct type *type_without(struct graph *graph, const struct type *type, const int64_t *axes,
                                       int count) {
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, type->rank);
    int rank = 0, next = 0;
    for (int i = 0; i < type->rank; i++) {
        if (next < count && axes[next] == i)
            next++;
        else
            dims[rank++] = type->dims[i];
    }
    return type_with_dims(graph->types, type, rank, dims);
}

bool infer_reduce(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    int count;
    const int64_t *axes = op_ints(op, ATTR_axes, &count);
    if (!infer_axes(graph, op, diags, "axes", axes, count, type->rank) ||
        !infer_kind(graph, op, diags, "sum prod max min"))
        return false;
    const char *kind = op_string(op, ATTR_kind);
    if (type->dtype == DTYPE_bool && kind[0] != 'm') {
        infer_error(graph, op, diags, E_DTYPE, "%s of %s: bools have only max (any) and min (all)", kind,
                    type_name(graph, op->in[0]));
        return false;
    }
    return infer_result(op, type_without(graph, type, axes, count));
}

bool infer_arg_reduce(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    int64_t axis = op_int(op, ATTR_axis);
    if (!infer_axis(graph, op, diags, axis, type->rank) || !infer_kind(graph, op, diags, "max min"))
        return false;
    if (type->dims[axis] == dim_const(graph->types, 0)) {
        infer_error(graph, op, diags, E_SHAPE, "axis %lld of %s has no elements", (long long)axis,
                    type_name(graph, op->in[0]));
        return false;
    }
    return infer_result(op, type_with_dtype(graph->types, type_without(graph, type, &axis, 1), DTYPE_i32));
}

bool infer_scan(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    if (!infer_axis(graph, op, diags, op_int(op, ATTR_axis), type->rank) ||
        !infer_kind(graph, op, diags, "sum prod max min"))
        return false;
    if (type->dtype == DTYPE_bool) {
        infer_error(graph, op, diags, E_DTYPE, "wants numbers, but got %s", type_name(graph, op->in[0]));
        return false;
    }
    return infer_result(op, type);
}
