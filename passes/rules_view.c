/* passes/rules_view.c: rules of operators that only move elements, and of those that views change the form
 * of. They make one view of two, and none of one that moves nothing. */
#include "passes/rules.h"

#include <math.h>
#include <string.h>

static struct types *types_of(const struct match *m) {
    return m->b->graph->types;
}

static const struct dim *zero_of(const struct match *m) {
    return dim_const(types_of(m), 0);
}

static const struct dim *unit_of(const struct match *m) {
    return dim_const(types_of(m), 1);
}

static bool is_same_type(const struct match *m) {
    return m->op->in[0]->type == m->op->out[0]->type;
}

#define SCRATCH(m, T, n) ARENA_ARRAY(match_scratch(m), T, n)

/* ---- transpose ---- */

static bool is_identity(const struct match *m) {
    int count;
    const int64_t *perm = op_ints(m->op, ATTR_perm, &count);
    for (int i = 0; i < count; i++)
        if (perm[i] != i)
            return false;
    return true;
}

/* Axis i of the result is axis outer[i] of the middle, which is axis inner[outer[i]] of x. */
static struct value *join_transposes(struct match *m) {
    const struct op *inner = m->op->in[0]->def;
    int count;
    const int64_t *outer = op_ints(m->op, ATTR_perm, &count), *first = op_ints(inner, ATTR_perm, NULL);
    int64_t *perm = SCRATCH(m, int64_t, count);
    for (int i = 0; i < count; i++)
        perm[i] = first[outer[i]];
    return build_transpose(m->b, inner->in[0], perm);
}

/* The axes that are not of size 1 keep their order. */
static bool moves_only_units(const struct match *m) {
    const struct type *type = m->op->in[0]->type;
    const int64_t *perm = op_ints(m->op, ATTR_perm, NULL);
    int64_t last = -1;
    for (int i = 0; i < type->rank; i++) {
        if (type->dims[perm[i]] == unit_of(m))
            continue;
        if (perm[i] < last)
            return false;
        last = perm[i];
    }
    return true;
}

/* ---- broadcast ---- */

static struct value *join_broadcasts(struct match *m) {
    const struct op *inner = m->op->in[0]->def;
    int count;
    const int64_t *first = op_ints(inner, ATTR_axes, &count), *outer = op_ints(m->op, ATTR_axes, NULL);
    int64_t *axes = SCRATCH(m, int64_t, count);
    for (int i = 0; i < count; i++)
        axes[i] = outer[first[i]];
    return build_broadcast(m->b, inner->in[0], m->op->out[0]->type, axes);
}

/* Only axes of size 1 are new. */
static bool adds_only_units(const struct match *m) {
    const struct type *from = m->op->in[0]->type, *to = m->op->out[0]->type;
    return type_count(types_of(m), from) == type_count(types_of(m), to) && from->rank != to->rank;
}

/* broadcast(reshape(x)) where the reshape only puts axes of size 1 between those of x, which has none itself.
 */
static struct value *broadcast_without_reshape(struct match *m) {
    struct value *x = m->op->in[0]->def->in[0];
    const struct type *middle = m->op->in[0]->type;
    const int64_t *outer = op_ints(m->op, ATTR_axes, NULL);
    int64_t *axes = SCRATCH(m, int64_t, x->type->rank);
    int next = 0;
    for (int i = 0; i < middle->rank; i++) {
        if (middle->dims[i] == unit_of(m))
            continue;
        if (next == x->type->rank || x->type->dims[next] != middle->dims[i])
            return NULL;
        axes[next++] = outer[i];
    }
    return next == x->type->rank ? build_broadcast(m->b, x, m->op->out[0]->type, axes) : NULL;
}

/* A view of a scalar's copies is copies of the scalar. */
static struct value *view_of_scalar(struct match *m) {
    const struct op *spread = m->op->in[0]->def;
    return spread->in[0]->type->rank == 0 ? build_broadcast(m->b, spread->in[0], m->op->out[0]->type, NULL)
                                          : NULL;
}

static struct value *pad_of_its_own(struct match *m) {
    double number;
    bool same = value_is_splat(m->op->in[0], &number) && number == op_float(m->op, ATTR_value);
    return same ? view_of_scalar(m) : NULL;
}

/* ---- slice, pad, concat ---- */

static bool takes_all(const struct match *m) {
    int count;
    const struct dim *const *start = op_dims(m->op, ATTR_start, &count);
    const int64_t *step = op_ints(m->op, ATTR_step, NULL);
    for (int i = 0; i < count; i++)
        if (start[i] != zero_of(m) || (step[i] != 1 && m->op->out[0]->type->dims[i] != unit_of(m)))
            return false;
    return is_same_type(m);
}

/* x[s + t * (s' + t' * i)] = x[(s + t * s') + (t * t') * i] */
static struct value *join_slices(struct match *m) {
    struct types *types = types_of(m);
    const struct op *inner = m->op->in[0]->def;
    int count;
    const struct dim *const *first = op_dims(inner, ATTR_start, &count), *const *then =
                                                                             op_dims(m->op, ATTR_start, NULL);
    const int64_t *first_step = op_ints(inner, ATTR_step, NULL), *then_step = op_ints(m->op, ATTR_step, NULL);
    const struct dim **start = SCRATCH(m, const struct dim *, count);
    int64_t *step = SCRATCH(m, int64_t, count);
    for (int i = 0; i < count; i++) {
        start[i] = dim_add(types, first[i], dim_mul(types, dim_const(types, first_step[i]), then[i]));
        if (__builtin_mul_overflow(first_step[i], then_step[i], &step[i]))
            return NULL;
    }
    return build_slice(m->b, inner->in[0], start, step, m->op->out[0]->type->dims);
}

static bool pads_nothing(const struct match *m) {
    int count;
    const struct dim *const *lo = op_dims(m->op, ATTR_lo, &count), *const *hi = op_dims(m->op, ATTR_hi, NULL);
    for (int i = 0; i < count; i++)
        if (lo[i] != zero_of(m) || hi[i] != zero_of(m))
            return false;
    return is_same_type(m);
}

/* The slice that takes back what the pad put around x. */
static struct value *slice_undoes_pad(struct match *m) {
    const struct op *pad = m->op->in[0]->def;
    int count;
    const struct dim *const *start = op_dims(m->op, ATTR_start, &count), *const *lo =
                                                                             op_dims(pad, ATTR_lo, NULL);
    const int64_t *step = op_ints(m->op, ATTR_step, NULL), *interior = op_ints(pad, ATTR_interior, NULL);
    if (m->op->out[0]->type != pad->in[0]->type)
        return NULL;
    for (int i = 0; i < count; i++)
        if (start[i] != lo[i] || step[i] != interior[i] + 1 ||
            dim_compare(types_of(m), op_dims(pad, ATTR_hi, NULL)[i], zero_of(m)) == -1)
            return NULL;
    for (int i = 0; i < count; i++) /* a pad that crops has lost elements */
        if (!dim_is_const(lo[i]) || dim_value(lo[i]) < 0 || !dim_is_const(op_dims(pad, ATTR_hi, NULL)[i]))
            return NULL;
    return pad->in[0];
}

/* A slice that stays within one operand of a concat. */
static struct value *slice_of_part(struct match *m) {
    struct types *types = types_of(m);
    const struct op *op = m->op, *concat = op->in[0]->def;
    int64_t axis = op_int(concat, ATTR_axis);
    int count;
    const struct dim *const *start = op_dims(op, ATTR_start, &count), *size = op->out[0]->type->dims[axis];
    int64_t step = op_ints(op, ATTR_step, NULL)[axis];
    const struct dim *way = dim_mul(types, dim_sub(types, size, unit_of(m)), dim_const(types, step));
    const struct dim *last = dim_add(types, start[axis], way), *begin = zero_of(m);
    const struct dim *low = step > 0 ? start[axis] : last, *high = step > 0 ? last : start[axis];
    for (int k = 0; k < concat->in_count; k++) {
        const struct dim *end = dim_add(types, begin, concat->in[k]->type->dims[axis]);
        int from = dim_compare(types, low, begin);
        if ((from == 0 || from == 1) && dim_compare(types, high, end) == -1) {
            const struct dim **moved = SCRATCH(m, const struct dim *, count);
            memcpy(moved, start, sizeof(*moved) * (size_t)count);
            moved[axis] = dim_sub(types, start[axis], begin);
            return build_slice(m->b, concat->in[k], moved, op_ints(op, ATTR_step, NULL),
                               op->out[0]->type->dims);
        }
        begin = end;
    }
    return NULL;
}

/* Operands without elements go; one alone is the result. */
static struct value *shorter_concat(struct match *m) {
    int64_t axis = op_int(m->op, ATTR_axis);
    struct value **in = SCRATCH(m, struct value *, m->op->in_count);
    int count = 0;
    for (int i = 0; i < m->op->in_count; i++)
        if (m->op->in[i]->type->dims[axis] != zero_of(m))
            in[count++] = m->op->in[i];
    if (count == m->op->in_count && count > 1)
        return NULL;
    if (count == 0)
        return m->op->in[0];
    return count == 1 ? in[0] : build_concat(m->b, in, count, (int)axis);
}

/* ---- indices that are known ---- */

static bool known_index(const struct value *value, int64_t *index) {
    double number;
    bool known = value_is_splat(value, &number);
    *index = known ? (int64_t)number : 0;
    return known;
}

/* x[.., i, ..] for a constant i: a slice of one, whose axis goes. An index out of range stays, to be
 * reported. */
static struct value *gather_of_known(struct match *m) {
    const struct op *op = m->op;
    struct value *x = op->in[0];
    int64_t index, axis = op_int(op, ATTR_axis);
    if (op->in[1]->type->rank > 0 || !known_index(op->in[1], &index) || !dim_is_const(x->type->dims[axis]) ||
        index < 0 || index >= dim_value(x->type->dims[axis]))
        return NULL;
    int rank = x->type->rank;
    const struct dim **start = SCRATCH(m, const struct dim *, rank),
                     **sizes = SCRATCH(m, const struct dim *, rank);
    int64_t *step = SCRATCH(m, int64_t, rank);
    for (int i = 0; i < rank; i++) {
        start[i] = dim_const(types_of(m), i == axis ? index : 0);
        sizes[i] = i == axis ? unit_of(m) : x->type->dims[i];
        step[i] = 1;
    }
    const struct type *type = op->out[0]->type;
    return build_reshape(m->b, build_slice(m->b, x, start, step, sizes), type->rank, type->dims);
}

static struct value *slice_at_known(struct match *m) {
    const struct op *op = m->op;
    const struct type *from = op->in[0]->type, *to = op->out[0]->type;
    const struct dim **start = SCRATCH(m, const struct dim *, from->rank);
    int64_t *step = SCRATCH(m, int64_t, from->rank);
    for (int i = 0; i < from->rank; i++) {
        int64_t index;
        if (!known_index(op->in[1 + i], &index) || !dim_is_const(from->dims[i]) || !dim_is_const(to->dims[i]))
            return NULL;
        int64_t most = dim_value(from->dims[i]) - dim_value(to->dims[i]);
        start[i] = dim_const(types_of(m), index < 0 ? 0 : index > most ? most : index);
        step[i] = 1;
    }
    return build_slice(m->b, op->in[0], start, step, to->dims);
}

/* An update of the whole. */
static struct value *update_of_all(struct match *m) {
    return m->op->in[1]->type == m->op->in[0]->type ? m->op->in[1] : NULL;
}

/* ---- reductions and contractions ---- */

static bool reduces_units(const struct match *m) {
    int count;
    const int64_t *axes = op_ints(m->op, ATTR_axes, &count);
    for (int i = 0; i < count; i++)
        if (m->op->in[0]->type->dims[axes[i]] != unit_of(m))
            return false;
    return true;
}

/* sum(-x) = -sum(x), and sum(x * c) = sum(x) * c for a power of two: every partial sum is rounded alike. Not
 * in f16 for c < 1: whoever makes the terms smaller there keeps the sum from overflowing. */
static bool sums_up(const struct match *m) {
    return op_string(m->op, ATTR_kind)[0] == 's' && value_use_count(m->op->in[0]) == 1;
}

static struct value *sum_of(struct match *m, struct value *x) {
    int count;
    const int64_t *axes = op_ints(m->op, ATTR_axes, &count);
    return build_reduce(m->b, x, "sum", axes, count);
}

static struct value *sum_then_negate(struct match *m) {
    return build_unary(m->b, OP_neg, sum_of(m, match_value(m, 'x')));
}

static struct value *sum_then_scale(struct match *m) {
    struct value *x = match_value(m, 'x');
    double c = 0;
    int exponent;
    value_is_splat(match_value(m, 'c'), &c);
    if (x->type != m->op->in[0]->type || !dtype_is_float(x->type->dtype) ||
        fabs(frexp(c, &exponent)) != 0.5 || (x->type->dtype == DTYPE_f16 && fabs(c) < 1))
        return NULL;
    return build_mul(m->b, sum_of(m, x), build_like(m->b, x, c));
}

/* Zeros into which each row scatters one element are a comparison with the index: one-hot, and fusible. */
static struct value *one_hot(struct match *m) {
    const struct op *op = m->op;
    struct value *index = op->in[1], *update = op->in[2];
    const struct type *type = op->out[0]->type;
    int64_t axis = op_int(op, ATTR_axis), batch = op_int(op, ATTR_batch);
    double zero;
    if (!value_is_splat(op->in[0], &zero) || zero != 0 || index->type->rank != batch ||
        op_string(op, ATTR_kind)[0] == 'm')
        return NULL;
    int64_t *axes = SCRATCH(m, int64_t, type->rank);
    for (int i = 0; i < type->rank - 1; i++)
        axes[i] = i < axis ? i : i + 1;
    const struct type *places = type_with_dtype(types_of(m), type, index->type->dtype);
    struct value *rows = build_broadcast(m->b, update, type, axes);
    for (int i = 0; i < batch; i++)
        axes[i] = i;
    struct value *hit = build_binary(m->b, OP_eq, build_broadcast(m->b, index, places, axes),
                                     build_iota(m->b, places, (int)axis));
    return build_select(m->b, hit, rows, build_like(m->b, update, 0));
}

/* dot(transpose(x), y): the axes of x can be named instead, where its free ones keep their order. */
static struct value *dot_without_transpose(struct match *m, int side) {
    static const enum attr_name lists[2][2] = {{ATTR_lhs_batch, ATTR_lhs_contract},
                                               {ATTR_rhs_batch, ATTR_rhs_contract}};
    const struct op *op = m->op, *transpose = value_def(op->in[side], OP_transpose);
    if (!transpose)
        return NULL;
    int rank, batch, contract;
    const int64_t *perm = op_ints(transpose, ATTR_perm, &rank);
    const int64_t *old[2] = {op_ints(op, lists[side][0], &batch), op_ints(op, lists[side][1], &contract)};
    int64_t *new[2] = {SCRATCH(m, int64_t, batch), SCRATCH(m, int64_t, contract)};
    bool *bound = SCRATCH(m, bool, rank);
    for (int list = 0; list < 2; list++)
        for (int i = 0; i < (list ? contract : batch); i++) {
            bound[old[list][i]] = true;
            new[list][i] = perm[old[list][i]];
        }
    int64_t last = -1;
    for (int i = 0; i < rank; i++) {
        if (bound[i])
            continue;
        if (perm[i] < last)
            return NULL;
        last = perm[i];
    }
    const int64_t *other_batch = op_ints(op, lists[!side][0], NULL),
                  *other_contract = op_ints(op, lists[!side][1], NULL);
    if (side == 0)
        return build_dot(m->b, transpose->in[0], op->in[1], new[0], other_batch, batch, new[1],
                         other_contract, contract);
    return build_dot(m->b, op->in[0], transpose->in[0], other_batch, new[0], batch, other_contract, new[1],
                     contract);
}

static struct value *dot_of_axes(struct match *m) {
    struct value *left = dot_without_transpose(m, 0);
    return left ? left : dot_without_transpose(m, 1);
}

/* A transpose that only puts the free axes of y in front of those of x: dot(y, x). */
static struct value *swap_dot(struct match *m) {
    const struct op *dot = m->op->in[0]->def;
    int batch, contract, rank;
    const int64_t *perm = op_ints(m->op, ATTR_perm, &rank);
    const int64_t *lhs_batch = op_ints(dot, ATTR_lhs_batch, &batch),
                  *rhs_batch = op_ints(dot, ATTR_rhs_batch, NULL);
    const int64_t *lhs = op_ints(dot, ATTR_lhs_contract, &contract),
                  *rhs = op_ints(dot, ATTR_rhs_contract, NULL);
    int x_free = dot->in[0]->type->rank - batch - contract,
        y_free = dot->in[1]->type->rank - batch - contract;
    for (int i = 0; i < rank; i++) {
        int64_t wanted = i < batch ? i : i < batch + y_free ? i + x_free : i - y_free;
        if (perm[i] != wanted)
            return NULL;
    }
    return build_dot(m->b, dot->in[1], dot->in[0], rhs_batch, lhs_batch, batch, rhs, lhs, contract);
}

static bool dot_is_used_once(const struct match *m) {
    return value_use_count(m->op->in[0]) == 1;
}

/* clang-format off */
static const struct rule views[] = {
    TO("reshape(x)", is_same_type, "x", "reshape(f32[3,8]) : f32[3,8]"),
    TO("reshape(reshape(x))", NULL, "reshape(x)", "reshape(reshape(f32[3,8]) : f32[6,4]) : f32[24]"),
    TO("transpose(x)", is_identity, "x", "transpose(f32[3,4]) {perm = [0, 1]}"),
    BUILD("transpose(transpose(x))", NULL, join_transposes,
          "transpose(transpose(f32[2,3,4]) {perm = [1, 2, 0]}) {perm = [0, 2, 1]}"),
    TO("transpose(x)", moves_only_units, "reshape(x)", "transpose(f32[2,1,4]) {perm = [1, 0, 2]}"),
    TO("broadcast(x)", is_same_type, "x", "broadcast(f32[3,4]) {axes = [0, 1]} : f32[3,4]"),
    BUILD("broadcast(broadcast(x))", NULL, join_broadcasts,
          "broadcast(broadcast(f32[3]) {axes = [1]} : f32[2,3]) {axes = [0, 2]} : f32[2,5,3]"),
    BUILD("broadcast(reshape(x))", NULL, broadcast_without_reshape,
          "broadcast(reshape(f32[3]) : f32[1,3,1]) {axes = [0, 1, 2]} : f32[2,3,4]"),
    TO("broadcast(x)", adds_only_units, "reshape(x)", "broadcast(f32[3]) {axes = [1]} : f32[1,3,1]"),
    BUILD("reshape(broadcast(x))", NULL, view_of_scalar, "reshape(broadcast(f32[]) {axes = []} : f32[2,6]) : f32[3,4]"),
    BUILD("transpose(broadcast(x))", NULL, view_of_scalar,
          "transpose(broadcast(f32[]) {axes = []} : f32[2,6]) {perm = [1, 0]}"),
    BUILD("slice(broadcast(x))", NULL, view_of_scalar,
          "slice(broadcast(f32[]) {axes = []} : f32[6]) {start = [1], step = [2]} : f32[2]"),
    BUILD("windows(broadcast(x))", NULL, view_of_scalar,
          "windows(broadcast(f32[]) {axes = []} : f32[6]) {window = [2], step = [1], dilation = [1]}"),
    BUILD("pad(broadcast(x))", NULL, pad_of_its_own,
          "pad(broadcast(const {data = 2} : f32[]) {axes = []} : f32[100]) {lo = [1], hi = [2], interior = [0], value = 2}"),
    TO("slice(x)", takes_all, "x", "slice(f32[8,1]) {start = [0, 0], step = [1, -2]} : f32[8,1]"),
    BUILD("slice(slice(x))", NULL, join_slices,
          "slice(slice(f32[20]) {start = [18], step = [-2]} : f32[9]) {start = [1], step = [3]} : f32[3]"),
    BUILD("slice(pad(x))", NULL, slice_undoes_pad,
          "slice(pad(f32[3]) {lo = [2], hi = [1], interior = [1], value = 0}) {start = [2], step = [2]} : f32[3]"),
    BUILD("slice(concat)", NULL, slice_of_part,
          "slice(concat(f32[3,4], f32[3,2], f32[3,5]) {axis = 1}) {start = [0, 4], step = [1, 1]} : f32[2,2]"),
    TO("pad(x)", pads_nothing, "x", "pad(f32[3,1]) {lo = [0, 0], hi = [0, 0], interior = [0, 5], value = 0.5}"),
    BUILD("concat", NULL, shorter_concat, "concat(f32[3,0], f32[3,4], f32[3,2]) {axis = 1}"),
    BUILD("gather", NULL, gather_of_known, "gather(f32[5,7], const {data = 3} : i32[]) {axis = 1, batch = 0}"),
    BUILD("dynamic_slice", NULL, slice_at_known,
          "dynamic_slice(f32[8,6], const {data = 7} : i32[], const {data = -1} : i32[]) : f32[3,2]"),
    BUILD("dynamic_update", NULL, update_of_all, "dynamic_update(f32[8], f32[8], i32[])"),
    TO("reduce(x)", reduces_units, "reshape(x)", "reduce(f32[5,1,3]) {axes = [1], kind = \"sum\"}"),
    BUILD("reduce(neg(x))", sums_up, sum_then_negate, "reduce(neg(f32[5,7])) {axes = [0], kind = \"sum\"}"),
    BUILD("reduce(mul(x, c))", sums_up, sum_then_scale,
          "reduce(mul(f32[5,7], const {data = -0.5} : f32[])) {axes = [0], kind = \"sum\"}"),
    BUILD("scatter", NULL, one_hot,
          "scatter(broadcast(const {data = 0} : f32[]) {axes = []} : f32[5,4,2], i32[5], f32[5,2]) "
          "{axis = 1, batch = 1, kind = \"add\"}"),
    BUILD("dot", NULL, dot_of_axes,
          "dot(f32[2,5,7], transpose(f32[2,3,7]) {perm = [2, 0, 1]}) "
          "{lhs_batch = [0], rhs_batch = [1], lhs_contract = [2], rhs_contract = [0]}"),
    BUILD("transpose(dot)", dot_is_used_once, swap_dot,
          "transpose(dot(f32[2,5,7], f32[2,7,3]) "
          "{lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [1]}) {perm = [0, 2, 1]}"),
};
/* clang-format on */

const struct rule_set view_rules = {views, sizeof(views) / sizeof(*views)};
