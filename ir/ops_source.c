/* ir/ops_source.c: operators without operands, and those of state: input, const, iota, dim, read, write. */
#include "ir/infer.h"

/* ---- inference ---- */

bool infer_declared(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = infer_declared_type(graph, op, diags);
    if (!type || op->code != OP_iota)
        return type != NULL;
    if (!infer_axis(graph, op, diags, op_int(op, ATTR_axis), type->rank))
        return false;
    if (dtype_is_int(type->dtype))
        return true;
    infer_error(graph, op, diags, E_DTYPE, "counts in integers, not in %s", dtype_text(type->dtype));
    return false;
}

bool infer_data(struct graph *graph, struct op *op, struct diags *diags) {
    (void)graph, (void)diags;
    return infer_result(op, op_attr(op, ATTR_data)->data->type);
}

bool infer_dim(struct graph *graph, struct op *op, struct diags *diags) {
    (void)diags;
    return infer_result(op, type_scalar(graph->types, DTYPE_i64));
}

bool infer_state(struct graph *graph, struct op *op, struct diags *diags) {
    (void)graph, (void)diags;
    return infer_result(op, op_attr(op, ATTR_state)->state->type);
}

bool infer_write(struct graph *graph, struct op *op, struct diags *diags) {
    const struct state *state = op_attr(op, ATTR_state)->state;
    if (op->in[0]->type == state->type)
        return true;
    struct diag *diag =
        infer_error(graph, op, diags, E_STATE, "`%s` is %s, but the new value is %s", state->name,
                    type_text(graph->types, state->type), type_name(graph, op->in[0]));
    if (span_is_known(state->site->span))
        diag_label(diag, state->site->span, "`%s` is declared here", state->name);
    return false;
}
