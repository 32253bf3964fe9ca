#include "ir/attention.h"

#include "base/map.h"
#include "ir/view.h"

#include <stdint.h>
#include <string.h>

/* ---- axes of a dot ---- */

static bool is_listed(const int64_t *axes, int count, int axis) {
    for (int i = 0; i < count; i++)
        if (axes[i] == axis)
            return true;
    return false;
}

int dot_free_axis(const struct op *dot, int side) {
    int batches, contracted, found = -1;
    const int64_t *batch = op_ints(dot, side ? ATTR_rhs_batch : ATTR_lhs_batch, &batches);
    const int64_t *contract = op_ints(dot, side ? ATTR_rhs_contract : ATTR_lhs_contract, &contracted);
    for (int axis = 0; axis < dot->in[side]->type->rank; axis++) {
        if (is_listed(batch, batches, axis) || is_listed(contract, contracted, axis))
            continue;
        if (found >= 0)
            return -1;
        found = axis;
    }
    return found;
}

int dot_contracted_axis(const struct op *dot, int side) {
    int count;
    const int64_t *axes = op_ints(dot, side ? ATTR_rhs_contract : ATTR_lhs_contract, &count);
    return count == 1 ? (int)axes[0] : -1;
}

static int dot_batch(const struct op *dot) {
    int count;
    op_ints(dot, ATTR_lhs_batch, &count);
    return count;
}

static bool same_dims(const struct type *a, const struct type *b) {
    return a->rank == b->rank &&
           (a->rank == 0 || !memcmp(a->dims, b->dims, sizeof(*a->dims) * (size_t)a->rank));
}

/* ---- the softmax ---- */

/* What a row's number is behind its way back to the shape of the scores. */
static struct value *behind_views(struct value *v) {
    while (v->def &&
           (v->def->code == OP_reshape || v->def->code == OP_broadcast || v->def->code == OP_stop_gradient))
        v = v->def->in[0];
    return v;
}

/* The reduction of `kind` of `of` that `row`, in the shape of of or with one element along the axis, is. */
static const struct op *row_reduction(struct value *row, const struct value *of, const char *kind) {
    const struct op *op = behind_views(row)->def;
    int count;
    if (!op || op->code != OP_reduce || op->in[0] != of || strcmp(op_string(op, ATTR_kind), kind) != 0)
        return NULL;
    int64_t axis = *op_ints(op, ATTR_axes, &count);
    if (count != 1 || row->type->rank != of->type->rank)
        return NULL;
    for (int i = 0; i < of->type->rank; i++)
        if (row->type->dims[i] != of->type->dims[i] && (i != axis || !dim_is_const(row->type->dims[i])))
            return NULL;
    return op;
}

static struct op *def_of(const struct value *v, enum opcode code) {
    return v->def && v->def->code == code ? v->def : NULL;
}

bool attention_find_softmax(struct value *weights, struct attention *out) {
    while (def_of(weights, OP_cast)) /* to the dtype of the products */
        weights = weights->def->in[0];
    const struct op *div = def_of(weights, OP_div), *exp = div ? def_of(div->in[0], OP_exp) : NULL;
    const struct op *sub = exp ? def_of(exp->in[0], OP_sub) : NULL;
    if (!sub)
        return false;
    out->sum = row_reduction(div->in[1], div->in[0], "sum");
    out->max = row_reduction(sub->in[1], sub->in[0], "max");
    if (!out->sum || !out->max)
        return false;
    int64_t axis = *op_ints(out->sum, ATTR_axes, NULL);
    if (axis != *op_ints(out->max, ATTR_axes, NULL) || axis < weights->type->rank - 2)
        return false;
    out->along_y = axis == weights->type->rank - 1;
    out->logits = sub->in[0];
    out->max_in_use = sub->in[1];
    out->exponentials = div->in[0];
    out->weights = weights;
    out->has_softmax = true;
    return true;
}

/* ---- the region, op by op ---- */

/* What a value is; OPERAND where it is not in the map. */
enum role { OPERAND, SCORES, ROWS, SUM, PARTIAL };

struct reading {
    struct attention *a;
    struct map roles; /* value to its role */
    const char *why;
};

static enum role role_of(const struct reading *r, const struct value *v) {
    return (enum role)(intptr_t)map_find(&r->roles, v);
}

static void set_role(struct reading *r, const struct op *op, enum role role) {
    map_put(&r->roles, op->out[0], (void *)(intptr_t)role);
}

static bool refuse(struct reading *r, const char *why) {
    r->why = why;
    return false;
}

/* batch axes of a side are its first ones, in order. */
static bool batch_is_first(const struct op *dot, int side) {
    int count;
    const int64_t *axes = op_ints(dot, side ? ATTR_rhs_batch : ATTR_lhs_batch, &count);
    for (int i = 0; i < count; i++)
        if (axes[i] != i)
            return false;
    return true;
}

static bool read_product(struct reading *r, const struct op *op) {
    struct attention *a = r->a;
    for (int side = 0; side < 2; side++)
        if (dot_free_axis(op, side) < 0 || dot_contracted_axis(op, side) < 0)
            return refuse(r, "a product has several axes of rows, or of what is summed");
    if (a->product_count == ATTENTION_PRODUCTS)
        return refuse(r, "there are too many products");
    if (a->scores && !same_dims(a->scores, op->out[0]->type))
        return refuse(r, "products of different shapes");
    if (!a->scores) {
        a->scores = op->out[0]->type;
        a->batch = dot_batch(op);
    }
    if (a->scores->dtype != op->out[0]->type->dtype || !dtype_is_float(a->scores->dtype) ||
        dot_batch(op) != a->batch)
        return refuse(r, "products of different dtypes or batches");
    a->products[a->product_count++] = op;
    set_role(r, op, SCORES);
    return true;
}

static bool read_sum(struct reading *r, const struct op *op, int side) {
    int axis = dot_contracted_axis(op, side);
    if (role_of(r, op->in[1 - side]) != OPERAND)
        return refuse(r, "a product of scores with scores");
    if (dot_batch(op) != r->a->batch || !batch_is_first(op, side) || axis < r->a->batch ||
        dot_free_axis(op, 1 - side) < 0 || op->out[0]->type->dtype != r->a->scores->dtype)
        return refuse(r, "scores are multiplied along other axes than one of rows");
    set_role(r, op, SUM);
    return true;
}

static bool read_dot(struct reading *r, const struct op *op) {
    enum role lhs = role_of(r, op->in[0]), rhs = role_of(r, op->in[1]);
    if (lhs == OPERAND && rhs == OPERAND)
        return read_product(r, op);
    if (lhs == SCORES || rhs == SCORES)
        return read_sum(r, op, lhs == SCORES ? 0 : 1);
    return refuse(r, "a product of sums");
}

static bool read_reduce(struct reading *r, const struct op *op) {
    int count, rows = 0;
    const int64_t *axes = op_ints(op, ATTR_axes, &count);
    const char *kind = op_string(op, ATTR_kind);
    if (role_of(r, op->in[0]) != SCORES)
        return refuse(r, "a reduction of what is not scores");
    for (int i = 0; i < count; i++)
        rows += axes[i] >= r->a->batch;
    if (rows == 0 && strcmp(kind, "sum") == 0) {
        set_role(r, op, PARTIAL);
        return true;
    }
    if (rows != 1 || count != 1)
        return refuse(r, "scores are reduced over other axes than one of rows");
    set_role(r, op, ROWS);
    return true;
}

static bool any_role(const struct reading *r, const struct op *op, enum role role) {
    for (int i = 0; i < op->in_count; i++)
        if (role_of(r, op->in[i]) == role)
            return true;
    return false;
}

static bool read_map(struct reading *r, const struct op *op) {
    if (any_role(r, op, SUM) || any_role(r, op, PARTIAL))
        return refuse(r, "an operator of what has been summed");
    if (any_role(r, op, SCORES) && !same_dims(op->out[0]->type, r->a->scores))
        return refuse(r, "scores are broadcast");
    set_role(r, op, any_role(r, op, SCORES) ? SCORES : ROWS);
    return true;
}

static bool read_view(struct reading *r, const struct op *op) {
    enum role role = role_of(r, op->in[0]);
    bool fits = (role == ROWS && (op->code == OP_reshape || op->code == OP_broadcast)) ||
                ((role == PARTIAL || role == SCORES) && op->code == OP_reshape) ||
                (role == SUM && (op->code == OP_transpose || op->code == OP_reshape));
    if (!fits)
        return refuse(r, "scores are moved about");
    set_role(r, op, role == SCORES ? PARTIAL : role);
    return true;
}

/* What an operand, or a part of a mask, may be made of in the region. */
static bool is_of_indices(const struct op *op) {
    switch (op->code) {
    case OP_const:
    case OP_iota:
    case OP_reshape:
    case OP_transpose:
    case OP_broadcast:
    case OP_slice:
        return true;
    default:
        return op_infos[op->code].fuse == FUSE_MAP;
    }
}

static bool read_op(struct reading *r, const struct op *op) {
    bool of_operands = true;
    for (int i = 0; i < op->in_count; i++)
        of_operands &= role_of(r, op->in[i]) == OPERAND;
    if (op->region_count || op->out_count != 1)
        return refuse(r, "an operator with regions or several results");
    if (op->out[0]->type->rank > VIEW_RANK)
        return refuse(r, "there are too many axes");
    if (op->code == OP_dot)
        return read_dot(r, op);
    if (of_operands)
        return is_of_indices(op) || refuse(r, "an operand that is computed in the region");
    if (op->code == OP_reduce)
        return read_reduce(r, op);
    if (op_infos[op->code].fuse == FUSE_MAP)
        return read_map(r, op);
    if (op_infos[op->code].fuse == FUSE_VIEW)
        return read_view(r, op);
    return refuse(r, "an operator that needs all scores");
}

/* ---- the results ---- */

static bool read_sum_result(struct reading *r, struct attention_result *result) {
    const struct value *v = result->value;
    while (v->def->code != OP_dot)
        v = v->def->in[0];
    const struct op *dot = v->def;
    result->kind = ATTENTION_SUM;
    result->dot = dot;
    result->side = role_of(r, dot->in[0]) == SCORES ? 0 : 1;
    result->scores = dot->in[result->side];
    result->over_y = dot_contracted_axis(dot, result->side) == r->a->batch + 1;
    return true;
}

static bool read_partial_result(struct attention_result *result) {
    const struct value *v = result->value;
    while (v->def->code == OP_reshape)
        v = v->def->in[0];
    result->kind = ATTENTION_PARTIAL;
    result->reduce = def_of(v, OP_reduce);
    result->scores = result->reduce ? result->reduce->in[0] : v;
    return true;
}

/* log(sum) + max, in any order, in the shape of the reductions. */
static bool is_log_sum(const struct attention *a, const struct value *v) {
    const struct op *add = def_of(v, OP_add);
    for (int i = 0; add && i < 2; i++) {
        const struct op *log = def_of(add->in[i], OP_log), *stop = def_of(add->in[1 - i], OP_stop_gradient);
        if (log && log->in[0] == a->sum->out[0] && (stop ? stop->in[0] : add->in[1 - i]) == a->max->out[0])
            return true;
    }
    return false;
}

static bool read_result(struct reading *r, const struct value *value) {
    struct attention *a = r->a;
    if (a->result_count == ATTENTION_RESULTS)
        return refuse(r, "there are too many results");
    struct attention_result *result = &a->results[a->result_count++];
    *result = (struct attention_result){.value = value};
    switch (role_of(r, value)) {
    case SUM:
        return read_sum_result(r, result);
    case PARTIAL:
    case SCORES:
        return read_partial_result(result);
    case ROWS:
        result->kind = ATTENTION_LOG_SUM;
        return true;
    default:
        return refuse(r, "a result that has nothing to do with the scores");
    }
}

/* With rows' numbers in it, a region is softmax and one sum. */
static bool read_softmax(struct reading *r, bool has_rows) {
    struct attention *a = r->a;
    const struct attention_result *sum = NULL;
    if (!has_rows)
        return true;
    for (int i = 0; i < a->result_count; i++) {
        if (a->results[i].kind == ATTENTION_PARTIAL || (sum && a->results[i].kind == ATTENTION_SUM))
            return refuse(r, "scores or further sums beside a softmax");
        if (a->results[i].kind == ATTENTION_SUM)
            sum = &a->results[i];
    }
    if (!sum || !attention_find_softmax((struct value *)sum->scores, a))
        return refuse(r, "rows of scores are reduced, but not as a softmax does");
    if (a->along_y != sum->over_y)
        return refuse(r, "the softmax runs along another axis than the sum behind it");
    for (int i = 0; i < a->result_count; i++)
        if (a->results[i].kind == ATTENTION_LOG_SUM && !is_log_sum(a, a->results[i].value))
            return refuse(r, "rows of scores are reduced, but not as a softmax does");
    return true;
}

/* The logits are elementwise: no reduction in front of the softmax. */
static bool is_elementwise(const struct reading *r, const struct value *v) {
    if (role_of(r, v) == ROWS)
        return false;
    if (role_of(r, v) != SCORES || v->def->code == OP_dot)
        return true;
    for (int i = 0; i < v->def->in_count; i++)
        if (!is_elementwise(r, v->def->in[i]))
            return false;
    return true;
}

/* The last exponential of a region without a softmax, of a difference with a number of each row. */
static const struct value *find_shares(const struct reading *r, const struct block *region) {
    const struct value *found = NULL;
    FOR_EACH_OP (op, region) {
        if (op->code != OP_exp || role_of(r, op->out[0]) != SCORES)
            continue;
        const struct op *sub = def_of(op->in[0], OP_sub);
        const struct type *row = sub ? sub->in[1]->type : NULL;
        bool of_rows = row && role_of(r, sub->in[1]) == OPERAND && row->rank == r->a->scores->rank &&
                       !same_dims(row, r->a->scores);
        found = of_rows ? op->out[0] : NULL;
    }
    return found;
}

const char *attention_read(const struct block *region, struct arena *scratch, struct attention *out) {
    struct reading r = {.a = out};
    const struct op *yield = block_yield(region);
    bool has_rows = false;
    *out = (struct attention){0};
    map_init(&r.roles, scratch);
    FOR_EACH_OP (op, region) {
        if (op->code == OP_yield)
            continue;
        if (!read_op(&r, op))
            return r.why;
        has_rows |= role_of(&r, op->out[0]) == ROWS;
    }
    for (int i = 0; i < yield->in_count; i++)
        if (!read_result(&r, yield->in[i]))
            return r.why;
    if (!read_softmax(&r, has_rows))
        return r.why;
    if (!has_rows)
        out->shares = find_shares(&r, region);
    if (out->has_softmax && !is_elementwise(&r, out->logits))
        return "a reduction in front of the softmax";
    return NULL;
}
