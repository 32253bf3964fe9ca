/* ir/ops_source.c: operators without operands, and those of state: input, const, iota, dim, read, write. */
#include "ir/evaluate.h"
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

/* ---- values ---- */

bool eval_const(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)e, (void)in;
    tensor_set_bytes(out[0], op_attr(op, ATTR_data)->data->bytes);
    return true;
}

bool eval_iota(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)in;
    int64_t axis = op_int(op, ATTR_axis);
    struct walk w;
    for (walk_type(&w, e, op->out[0]->type); w.left; walk_next(&w))
        out[0]->i[w.at[0]] = w.index[axis];
    return true;
}

bool eval_dim(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)in;
    const struct dim *size = op_attr(op, ATTR_size)->dim;
    if (!dim_is_const(size))
        return eval_error(e, op, E_DIM, "a dim has no value yet");
    out[0]->i[0] = dim_value(size);
    return true;
}
