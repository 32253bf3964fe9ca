#include "passes/cost.h"

#include <string.h>

/* ---- contractions: two operations for each product ---- */

static double dot_flops(const struct op *op) {
    int count;
    const int64_t *axes = op_ints(op, ATTR_lhs_contract, &count);
    double terms = 1;
    for (int i = 0; i < count; i++)
        terms *= (double)type_size(op->in[0]->type, (int)axes[i]);
    return 2 * terms * (double)type_elements(op->out[0]->type);
}

/* Products with the zeros between the pixels of a spread image do not count. y is the image that comes out.
 */
static double conv_flops(const struct op *op, const struct type *w, const struct type *y) {
    int rank;
    const int64_t *spread = op_ints(op, ATTR_lhs_dilation, &rank);
    double terms = (double)type_elements(w) / (double)type_size(w, 0);
    for (int i = 0; i < rank; i++)
        terms /= (double)spread[i];
    return type_size(w, 0) ? 2 * terms * (double)type_elements(y) : 0;
}

static double op_flops(const struct op *op) {
    switch (op->code) {
    case OP_dot:
        return dot_flops(op);
    case OP_conv:
        return conv_flops(op, op->in[1]->type, op->out[0]->type);
    case OP_conv_wgrad:
        return conv_flops(op, op->out[0]->type, op->in[1]->type);
    case OP_reduce:
    case OP_arg_reduce:
    case OP_fold:
        return (double)op_infos[op->code].flops * (double)type_elements(op->in[0]->type);
    default:
        return op->out_count ? (double)op_infos[op->code].flops * (double)type_elements(op->out[0]->type) : 0;
    }
}

static double region_flops(const struct block *block) {
    double flops = 0;
    FOR_EACH_OP (op, block) {
        flops += op_flops(op);
        for (int r = 0; r < op->region_count; r++)
            flops += region_flops(op->regions[r]);
    }
    return flops;
}

struct cost cost_of_op(const struct op *op) {
    struct cost cost = {op->code == OP_kernel ? region_flops(op->regions[0]) : op_flops(op), 0};
    for (int i = 0; i < op->in_count; i++)
        cost.bytes += (double)type_bytes(op->in[i]->type);
    for (int i = 0; i < op->out_count; i++)
        cost.bytes += (double)type_bytes(op->out[i]->type);
    return cost;
}

/* ---- blocks ---- */

static bool constant_int(const struct value *value, int32_t *out) {
    if (!value->def || value->def->code != OP_const || value->type->dtype != DTYPE_i32)
        return false;
    memcpy(out, op_attr(value->def, ATTR_data)->data->bytes, sizeof *out);
    return true;
}

static double loop_turns(const struct op *loop) {
    int32_t lo, hi;
    if (!constant_int(loop->in[0], &lo) || !constant_int(loop->in[1], &hi))
        return 1;
    return hi > lo ? (double)hi - (double)lo : 0;
}

static void add_times(struct cost *sum, struct cost part, double times) {
    sum->flops += part.flops * times;
    sum->bytes += part.bytes * times;
}

struct cost cost_of_block(const struct block *block) {
    struct cost sum = {0, 0};
    FOR_EACH_OP (op, block) {
        if (op->code == OP_kernel)
            add_times(&sum, cost_of_op(op), 1);
        else if (op->code == OP_loop)
            add_times(&sum, cost_of_block(op->regions[0]), loop_turns(op));
        else if (op->code == OP_cond) {
            struct cost a = cost_of_block(op->regions[0]), b = cost_of_block(op->regions[1]);
            add_times(&sum, a.flops > b.flops ? a : b, 1);
        }
    }
    return sum;
}
