/* ir/ops_map.c: the elementwise operators. Operands broadcast as NumPy does; no dtype changes silently. */
#include "ir/infer.h"

/* ---- inference ---- */

/* The dtypes of the operands from `first` on must be equal, of a wanted class, and their shapes must
 * broadcast; gives the common type, or NULL: reported. */
static const struct type *common_type(struct graph *graph, struct op *op, struct diags *diags, int first,
                                      bool (*is_wanted)(enum dtype), const char *wanted) {
    const struct type *type = op->in[first]->type;
    if (!is_wanted(type->dtype)) {
        infer_error(graph, op, diags, E_DTYPE, "wants %s, but got %s", wanted,
                    type_name(graph, op->in[first]));
        return NULL;
    }
    for (int i = first + 1; i < op->in_count; i++) {
        const struct type *other = op->in[i]->type;
        if (other->dtype != type->dtype) {
            infer_error(graph, op, diags, E_DTYPE, "%s and %s have different dtypes",
                        type_name(graph, op->in[first]), type_name(graph, op->in[i]));
            return NULL;
        }
        const struct type *wider = type_broadcast(graph->types, type, other);
        if (!wider) {
            infer_error(graph, op, diags, E_SHAPE, "%s and %s do not broadcast",
                        type_name(graph, op->in[first]), type_name(graph, op->in[i]));
            return NULL;
        }
        type = wider;
    }
    return type;
}

static bool is_any(enum dtype dtype) {
    (void)dtype;
    return true;
}

static bool is_number(enum dtype dtype) {
    return dtype_class(dtype) != CLASS_BOOL;
}

static bool is_bits(enum dtype dtype) {
    return !dtype_is_float(dtype);
}

static bool infer_common(struct graph *graph, struct op *op, struct diags *diags,
                         bool (*is_wanted)(enum dtype), const char *wanted) {
    const struct type *type = common_type(graph, op, diags, 0, is_wanted, wanted);
    return type && infer_result(op, type);
}

bool infer_arith(struct graph *graph, struct op *op, struct diags *diags) {
    return infer_common(graph, op, diags, is_number, "numbers");
}

bool infer_arith_float(struct graph *graph, struct op *op, struct diags *diags) {
    return infer_common(graph, op, diags, dtype_is_float, "floats");
}

bool infer_number(struct graph *graph, struct op *op, struct diags *diags) {
    return infer_common(graph, op, diags, is_number, "a number");
}

bool infer_float(struct graph *graph, struct op *op, struct diags *diags) {
    return infer_common(graph, op, diags, dtype_is_float, "a float");
}

bool infer_same(struct graph *graph, struct op *op, struct diags *diags) {
    return infer_common(graph, op, diags, is_any, "a tensor");
}

bool infer_logic(struct graph *graph, struct op *op, struct diags *diags) {
    return infer_common(graph, op, diags, is_bits, "bools or integers");
}

bool infer_bits(struct graph *graph, struct op *op, struct diags *diags) {
    return infer_common(graph, op, diags, dtype_is_int, "integers");
}

bool infer_compare(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = common_type(graph, op, diags, 0, is_any, "tensors");
    return type && infer_result(op, type_with_dtype(graph->types, type, DTYPE_bool));
}

bool infer_select(struct graph *graph, struct op *op, struct diags *diags) {
    if (!infer_dtype(graph, op, diags, 0, DTYPE_bool))
        return false;
    const struct type *type = common_type(graph, op, diags, 1, is_any, "tensors");
    if (!type)
        return false;
    const struct type *wider = type_broadcast(graph->types, type, op->in[0]->type);
    if (wider)
        return infer_result(op, wider);
    infer_error(graph, op, diags, E_SHAPE, "the condition %s and %s do not broadcast",
                type_name(graph, op->in[0]), type_text(graph->types, type));
    return false;
}

/* The declared type must have the dims of the operand. */
static const struct type *recast_type(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = infer_declared_type(graph, op, diags);
    if (!type || type_with_dtype(graph->types, op->in[0]->type, type->dtype) == type)
        return type;
    infer_error(graph, op, diags, E_SHAPE, "%s cannot become %s: the dims differ",
                type_name(graph, op->in[0]), type_name(graph, op->out[0]));
    return NULL;
}

bool infer_cast(struct graph *graph, struct op *op, struct diags *diags) {
    return recast_type(graph, op, diags) != NULL;
}

bool infer_bitcast(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = recast_type(graph, op, diags), *from = op->in[0]->type;
    if (!type)
        return false;
    if (dtype_bytes(type->dtype) == dtype_bytes(from->dtype) && is_number(type->dtype) &&
        is_number(from->dtype))
        return true;
    infer_error(graph, op, diags, E_DTYPE, "%s and %s are not numbers of the same width",
                dtype_text(from->dtype), dtype_text(type->dtype));
    return false;
}
