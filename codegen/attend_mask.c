/* codegen/attend_mask.c: rows that no lane of a unit sees: masks that compare places of queries with places
 * of keys (causal ones) are read as one inequality, and blocks of rows that it leaves out are not computed.
 */
#include "codegen/attend.h"

#include "passes/rewrite.h"

#include <math.h>

/* An integer value as a sum of its indices: coefficient[i] * index i + .. + constant. */
struct affine {
    int64_t coefficient[OPERAND_RANK], constant;
};

static bool read_affine(const struct value *v, struct affine *out);

/* Axes of one element come or go. */
static bool through_reshape(const struct value *v, const struct affine *in, struct affine *out) {
    const struct type *from = v->def->in[0]->type, *to = v->type;
    int j = 0;
    for (int i = 0; i < from->rank; i++) {
        if (type_size(from, i) == 1)
            continue;
        while (j < to->rank && type_size(to, j) == 1)
            j++;
        if (j == to->rank || type_size(to, j) != type_size(from, i))
            return false;
        out->coefficient[j++] = in->coefficient[i];
    }
    out->constant = in->constant;
    return true;
}

static void through_broadcast(const struct value *v, const struct affine *in, struct affine *out) {
    const int64_t *axes = op_ints(v->def, ATTR_axes, NULL);
    const struct type *from = v->def->in[0]->type;
    for (int i = 0; i < from->rank; i++)
        if (type_size(from, i) > 1)
            out->coefficient[axes[i]] = in->coefficient[i];
    out->constant = in->constant;
}

/* a + sign * b, axes aligned at the end as elementwise operators do. */
static void add_scaled(struct affine *out, const struct value *v, const struct affine *x,
                       const struct type *type, int64_t sign) {
    for (int i = 0; i < type->rank; i++)
        if (type_size(type, i) > 1)
            out->coefficient[v->type->rank - type->rank + i] += sign * x->coefficient[i];
    out->constant += sign * x->constant;
}

static bool through_sum(const struct value *v, int64_t sign, struct affine *out) {
    struct affine a, b;
    if (!read_affine(v->def->in[0], &a) || !read_affine(v->def->in[1], &b))
        return false;
    add_scaled(out, v, &a, v->def->in[0]->type, 1);
    add_scaled(out, v, &b, v->def->in[1]->type, sign);
    return true;
}

static bool read_affine(const struct value *v, struct affine *out) {
    struct affine in;
    double number;
    *out = (struct affine){0};
    if (!v->def || !dtype_is_int(v->type->dtype) || v->type->rank > OPERAND_RANK)
        return false;
    if (value_is_splat(v, &number)) {
        out->constant = (int64_t)number;
        return fabs(number) < 0x1p40;
    }
    switch (v->def->code) {
    case OP_iota:
        out->coefficient[op_int(v->def, ATTR_axis)] = 1;
        return true;
    case OP_reshape:
        return read_affine(v->def->in[0], &in) && through_reshape(v, &in, out);
    case OP_broadcast:
        if (!read_affine(v->def->in[0], &in))
            return false;
        through_broadcast(v, &in, out);
        return true;
    case OP_add:
    case OP_sub:
        return through_sum(v, v->def->code == OP_add ? 1 : -1, out);
    default:
        return false;
    }
}

/* condition is: x * at[0] + y * at[1] + constant >= 0. */
static bool read_inequality(const struct attend *t, const struct value *condition, struct visibility *out) {
    const struct op *op = condition->def;
    struct affine less = {0}, small, great;
    if (!op || (op->code != OP_lt && op->code != OP_le) || !read_affine(op->in[0], &small) ||
        !read_affine(op->in[1], &great))
        return false;
    add_scaled(&less, condition, &great, op->in[1]->type, 1);
    add_scaled(&less, condition, &small, op->in[0]->type, -1);
    int rank = condition->type->rank;
    for (int i = 0; i < rank - 2; i++)
        if (less.coefficient[i])
            return false;
    *out = (struct visibility){.x = rank > 1 ? less.coefficient[rank - 2] : 0,
                               .y = rank > 0 ? less.coefficient[rank - 1] : 0,
                               .constant = less.constant - (op->code == OP_lt)};
    int64_t rows = t->x > 1 ? out->x : 0, keys = t->y > 1 ? out->y : 0;
    return (rows == 1 && keys == -1) || (rows == -1 && keys == 1);
}

/* Of a conjunction the first part that is an inequality. */
static bool read_condition(const struct attend *t, const struct value *condition, struct visibility *out) {
    if (read_inequality(t, condition, out))
        return true;
    if (!condition->def || condition->def->code != OP_and)
        return false;
    return read_condition(t, condition->def->in[0], out) || read_condition(t, condition->def->in[1], out);
}

/* Where the condition is false, `masked` is -inf. */
static bool read_mask(const struct attend *t, const struct value *masked, struct visibility *out) {
    double hidden;
    return masked->def && masked->def->code == OP_select && value_is_splat(masked->def->in[2], &hidden) &&
           hidden == -INFINITY && read_condition(t, masked->def->in[0], out);
}

/* v is 0 wherever the shares are. */
static bool vanishes(const struct attend *t, const struct value *v) {
    const struct op *op = v->def;
    double number;
    if (v == t->a.shares || (value_is_splat(v, &number) && number == 0))
        return true;
    switch (op ? op->code : OP_dot) {
    case OP_mul:
        return vanishes(t, op->in[0]) || vanishes(t, op->in[1]);
    case OP_add:
    case OP_sub:
        return vanishes(t, op->in[0]) && vanishes(t, op->in[1]);
    case OP_select:
        return vanishes(t, op->in[1]) && vanishes(t, op->in[2]);
    case OP_neg:
    case OP_cast:
    case OP_div:
        return vanishes(t, op->in[0]);
    default:
        return false;
    }
}

bool attend_find_visibility(const struct attend *t, struct visibility *out) {
    if (t->a.has_softmax)
        return read_mask(t, t->a.logits, out);
    for (int i = 0; i < t->a.result_count; i++)
        if (!vanishes(t, t->a.results[i].scores))
            return false;
    return t->a.shares && read_mask(t, t->a.shares->def->in[0]->def->in[0], out);
}
