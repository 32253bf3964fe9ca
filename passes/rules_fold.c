/* passes/rules_fold.c: rules that compute at compile time, or compute a small thing in place of its copies.
 */
#include "passes/rules.h"

#include <string.h>

/* A folded result is data in the object: small ones are cheaper than the code that makes them. */
enum { FOLD_RESULT_MOST = 64, FOLD_OPERAND_MOST = 4096 };

static bool is_small(const struct value *value, int64_t most) {
    return type_is_static(value->type) && type_elements(value->type) <= most;
}

/* ---- constants ---- */

/* Sources that are cheaper as code: an iota or a broadcast is an index, not a table. */
static bool is_better_as_code(const struct op *op) {
    switch (op->code) {
    case OP_iota:
    case OP_broadcast:
        return !is_small(op->out[0], 1);
    case OP_const:
    case OP_input:
    case OP_read:
    case OP_dim:
        return true;
    default:
        return false;
    }
}

static bool is_foldable(const struct match *m) {
    const struct op *op = m->op;
    if (!op_is_pure(op->code) || op->region_count > 0 || op->code == OP_call || is_better_as_code(op))
        return false;
    for (int i = 0; i < op->in_count; i++)
        if (!value_def(op->in[i], OP_const) || !is_small(op->in[i], FOLD_OPERAND_MOST))
            return false;
    for (int i = 0; i < op->out_count; i++)
        if (!is_small(op->out[i], FOLD_RESULT_MOST))
            return false;
    return true;
}

static bool fold(struct match *m) {
    struct op *op = m->op;
    struct arena *scratch = match_scratch(m);
    struct tensor **in = ARENA_ARRAY(scratch, struct tensor *, op->in_count);
    struct tensor **out = ARENA_ARRAY(scratch, struct tensor *, op->out_count);
    for (int i = 0; i < op->in_count; i++) {
        const struct data *data = op_attr(op->in[i]->def, ATTR_data)->data;
        in[i] = tensor_from_bytes(scratch, data->type, data->bytes);
    }
    if (!eval_op(match_eval(m), op, in, out))
        return false;
    for (int i = 0; i < op->out_count; i++) {
        if (!value_has_uses(op->out[i]))
            continue;
        void *bytes = arena_alloc(scratch, (size_t)type_bytes(op->out[i]->type));
        tensor_to_bytes(out[i], bytes);
        value_replace(op->out[i], build_const(m->b, op->out[i]->type, bytes));
    }
    return true;
}

/* A constant of equal elements is a broadcast number. */
static bool is_wide_splat(const struct match *m) {
    double number;
    return m->op->out[0]->type->rank > 0 && !is_small(m->op->out[0], 1) &&
           value_is_splat(m->op->out[0], &number);
}

static struct value *narrow_splat(struct match *m) {
    const struct data *data = op_attr(m->op, ATTR_data)->data;
    struct value *number = build_const(m->b, type_scalar(m->b->graph->types, data->type->dtype), data->bytes);
    return build_broadcast_to(m->b, number, data->type);
}

static struct value *known_size(struct match *m) {
    const struct dim *size = op_attr(m->op, ATTR_size)->dim;
    return dim_is_const(size) ? build_int(m->b, DTYPE_i64, dim_value(size)) : NULL;
}

/* ---- broadcasts ---- */

static bool is_map(const struct op *op) {
    return op_infos[op->code].fuse == FUSE_MAP && op->in_count > 0;
}

static bool is_map_of_something(const struct match *m) {
    return is_map(m->op);
}

static bool same_dims(const struct type *a, const struct type *b) {
    return a->rank == b->rank &&
           (a->rank == 0 || memcmp(a->dims, b->dims, sizeof(*a->dims) * (size_t)a->rank) == 0);
}

/* The op on other operands, whose common shape is that of `like`. */
static struct value *map_again(struct match *m, struct value **in, const struct type *like) {
    const struct type *type = type_with_dtype(m->b->graph->types, like, m->op->out[0]->type->dtype);
    struct op *made =
        build_op(m->b, m->op->code, in, m->op->in_count, m->op->attrs, m->op->attr_count, &type, 1);
    return made ? made->out[0] : NULL;
}

/* op(broadcast(x), broadcast(y), 2) = broadcast(op(x, y, 2)) where x and y have one shape and go to the same
 * axes. */
static struct value *compute_before_broadcast(struct match *m) {
    const struct op *op = m->op, *first = NULL;
    struct value *in[3] = {0};
    for (int i = 0; i < op->in_count; i++) {
        double number;
        const struct op *spread = value_def(op->in[i], OP_broadcast);
        if (spread && same_dims(op->in[i]->type, op->out[0]->type) && spread->in[0]->type->rank > 0) {
            if (first && (!same_dims(first->in[0]->type, spread->in[0]->type) ||
                          !attr_equal(op_attr(first, ATTR_axes), op_attr(spread, ATTR_axes))))
                return NULL;
            first = spread;
            in[i] = spread->in[0];
        } else if (!value_is_splat(op->in[i], &number)) {
            return NULL;
        }
    }
    if (!first)
        return NULL;
    for (int i = 0; i < op->in_count; i++) {
        double number;
        if (!in[i] && value_is_splat(op->in[i], &number))
            in[i] = build_number(m->b, op->in[i]->type->dtype, number);
    }
    struct value *small = map_again(m, in, first->in[0]->type);
    const struct type *type = op->out[0]->type;
    return small ? build_broadcast(m->b, small, type, op_ints(first, ATTR_axes, NULL)) : NULL;
}

/* op of equal elements alone: computed once, as numbers, and then spread. */
static struct value *compute_splat(struct match *m) {
    struct value *in[3];
    if (m->op->out[0]->type->rank == 0)
        return NULL;
    for (int i = 0; i < m->op->in_count; i++) {
        double number;
        if (!value_is_splat(m->op->in[i], &number))
            return NULL;
        in[i] = build_number(m->b, m->op->in[i]->type->dtype, number);
    }
    return map_again(m, in, in[0]->type);
}

/* Elementwise operators broadcast their operands themselves: a broadcast by NumPy's rule, axes aligned at the
 * end, is superfluous where another operand brings the shape. */
static bool is_aligned(const struct op *spread) {
    int count;
    const int64_t *axes = op_ints(spread, ATTR_axes, &count);
    for (int i = 0; i < count; i++)
        if (axes[i] != spread->out[0]->type->rank - count + i)
            return false;
    return true;
}

static bool take_off_broadcast(struct match *m) {
    struct op *op = m->op;
    for (int i = 0; i < op->in_count && op->in_count > 1; i++) {
        const struct op *spread = value_def(op->in[i], OP_broadcast);
        if (!spread || !is_aligned(spread))
            continue;
        const struct type *type = spread->in[0]->type;
        for (int k = 0; type && k < op->in_count; k++)
            if (k != i)
                type = type_broadcast(m->b->graph->types, type, op->in[k]->type);
        if (!type || !same_dims(type, op->out[0]->type))
            continue;
        op_set_in(op, i, spread->in[0]);
        return true;
    }
    return false;
}

/* clang-format off */
static const struct rule folds[] = {
    APPLY("*", is_foldable, fold, "mul(const {data = [1, 2, 3]} : f32[3], const {data = 0.1} : f32[])"),
    BUILD("const", is_wide_splat, narrow_splat, "add(const {data = [2, 2]} : f32[2], f32[2])"),
    BUILD("dim", NULL, known_size, "dim {size = 7}"),
    BUILD("*", is_map_of_something, compute_splat,
          "add(broadcast(const {data = 2} : f32[]) {axes = []} : f32[100,3], const {data = 3} : f32[])"),
    BUILD("*", is_map_of_something, compute_before_broadcast,
          "select(lt(broadcast(f32[3]) {axes = [1]} : f32[2,3,4], broadcast(f32[3]) {axes = [1]} : f32[2,3,4]), "
          "f32[2,3,4], f32[2,3,4])"),
    APPLY("*", is_map_of_something, take_off_broadcast, "add(f32[2,3,4], broadcast(f32[4]) {axes = [2]} : f32[2,3,4])"),
};
/* clang-format on */

const struct rule_set fold_rules = {folds, sizeof(folds) / sizeof(*folds)};
