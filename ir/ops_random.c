/* ir/ops_random.c: Philox 4x32-10: random bits, and keys made from keys. */
#include "ir/infer.h"

/* ---- inference ---- */

static bool check_key(struct graph *graph, struct op *op, struct diags *diags) {
    const int64_t words = 2;
    if (op->in[0]->type == type_of_sizes(graph->types, DTYPE_u32, 1, &words))
        return true;
    infer_error(graph, op, diags, E_TYPE, "the key must be u32[2], but is %s", type_name(graph, op->in[0]));
    return false;
}

bool infer_random_bits(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = infer_declared_type(graph, op, diags);
    if (!type || !check_key(graph, op, diags))
        return false;
    if (type->dtype == DTYPE_u32)
        return true;
    infer_error(graph, op, diags, E_DTYPE, "gives u32, not %s", type_name(graph, op->out[0]));
    return false;
}

bool infer_random_fold(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *d = op->in[1]->type;
    if (!check_key(graph, op, diags))
        return false;
    if ((d->dtype != DTYPE_i32 && d->dtype != DTYPE_u32) || d->rank > 1) {
        infer_error(graph, op, diags, E_TYPE, "folds in i32 or u32 of rank 0 or 1, but got %s",
                    type_name(graph, op->in[1]));
        return false;
    }
    const struct dim *dims[2] = {d->rank ? d->dims[0] : NULL, dim_const(graph->types, 2)};
    return infer_result(op, type_get(graph->types, DTYPE_u32, 1 + d->rank, dims + 1 - d->rank));
}
