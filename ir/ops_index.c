/* ir/ops_index.c: operators that move elements by run-time indices: dynamic_slice, dynamic_update, gather,
 * scatter, sort. */
#include "ir/infer.h"

/* ---- inference ---- */

/* Operands from `first` on: one i32[] for each axis of x; `part`, the piece, must have x's dtype and fit into
 * it. */
static bool check_dynamic(struct graph *graph, struct op *op, struct diags *diags, int first,
                          const struct type *part) {
    if (op->in_count < first) {
        infer_error(graph, op, diags, E_IR, "has too few operands");
        return false;
    }
    const struct type *x = op->in[0]->type;
    if (op->in_count - first != x->rank) {
        infer_error(graph, op, diags, E_SHAPE, "%s wants %d start indices, not %d",
                    type_name(graph, op->in[0]), x->rank, op->in_count - first);
        return false;
    }
    const struct type *index = type_scalar(graph->types, DTYPE_i32);
    for (int i = first; i < op->in_count; i++)
        if (op->in[i]->type != index) {
            infer_error(graph, op, diags, E_TYPE, "a start index must be i32[], but is %s",
                        type_name(graph, op->in[i]));
            return false;
        }
    if (part->dtype != x->dtype || part->rank != x->rank) {
        infer_error(graph, op, diags, E_SHAPE, "%s is no part of %s", type_text(graph->types, part),
                    type_name(graph, op->in[0]));
        return false;
    }
    for (int i = 0; i < x->rank; i++)
        if (dim_compare(graph->types, part->dims[i], x->dims[i]) == 1) {
            infer_error(graph, op, diags, E_SHAPE, "%s is larger than %s at axis %d",
                        type_text(graph->types, part), type_name(graph, op->in[0]), i);
            return false;
        }
    return true;
}

bool infer_dynamic_slice(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = infer_declared_type(graph, op, diags);
    return type && check_dynamic(graph, op, diags, 1, type);
}

bool infer_dynamic_update(struct graph *graph, struct op *op, struct diags *diags) {
    if (op->in_count < 2) {
        infer_error(graph, op, diags, E_IR, "has too few operands");
        return false;
    }
    return check_dynamic(graph, op, diags, 2, op->in[1]->type) && infer_result(op, op->in[0]->type);
}

/* The type of gather(x, index): [batch.., x's axes up to axis, index's own axes, x's axes behind axis]. */
static const struct type *gather_type(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *x = op->in[0]->type, *index = op->in[1]->type;
    int64_t axis = op_int(op, ATTR_axis), batch = op_int(op, ATTR_batch);
    if (!infer_axis(graph, op, diags, axis, x->rank))
        return NULL;
    if (!dtype_is_int(index->dtype)) {
        infer_error(graph, op, diags, E_DTYPE, "the index must be integers, but is %s",
                    type_name(graph, op->in[1]));
        return NULL;
    }
    if (batch < 0 || batch > axis || batch > index->rank) {
        infer_error(graph, op, diags, E_INDEX, "%lld batch axes do not fit %s, %s and axis %lld",
                    (long long)batch, type_name(graph, op->in[0]), type_name(graph, op->in[1]),
                    (long long)axis);
        return NULL;
    }
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, x->rank + index->rank);
    int rank = 0;
    for (int i = 0; i < batch; i++)
        if (!infer_equal_dims(graph, op, diags, 0, i, 1, i))
            return NULL;
    for (int i = 0; i < axis; i++)
        dims[rank++] = x->dims[i];
    for (int i = (int)batch; i < index->rank; i++)
        dims[rank++] = index->dims[i];
    for (int i = (int)axis + 1; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    return type_with_dims(graph->types, x, rank, dims);
}

bool infer_gather(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = gather_type(graph, op, diags);
    return type && infer_result(op, type);
}

bool infer_scatter(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *update = gather_type(graph, op, diags);
    if (!update || !infer_kind(graph, op, diags, "add set max"))
        return false;
    if (op->in[2]->type != update) {
        infer_error(graph, op, diags, E_SHAPE, "the update must be %s, but is %s",
                    type_text(graph->types, update), type_name(graph, op->in[2]));
        return false;
    }
    return infer_result(op, op->in[0]->type);
}

bool infer_sort(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    if (!infer_axis(graph, op, diags, op_int(op, ATTR_axis), type->rank))
        return false;
    op->out[0]->type = type;
    op->out[1]->type = type_with_dtype(graph->types, type, DTYPE_i32);
    return true;
}
