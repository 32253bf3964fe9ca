/* frontend/bounds.c: indices of run time. One that may lie outside of its axis gets a `check`, so that the
 * entry ends with the line of the model in place of an element that was not asked for. What is known of an
 * index (a loop's turn, an argmax, a draw, something clamped) often shows that none is needed. */
#include "frontend/elab.h"
#include "ir/tensor.h"

#include <math.h>

/* Both ends belong to it; NULL: not known. Of floats, whole numbers below and above. */
struct bounds {
    const struct dim *lo, *hi;
};

struct bounding {
    struct elab *e;
    int left; /* values that may still be looked at */
};
enum { MOST_VALUES = 200 };

static const struct bounds unknown;

static struct bounds bounds_of(struct bounding *b, const struct value *v);

static const struct dim *whole(struct bounding *b, int64_t n) {
    return dim_const(b->e->types, n);
}

static bool is_least(struct bounding *b, const struct dim *d, int64_t n) {
    int order = d ? dim_compare(b->e->types, d, whole(b, n)) : 2;
    return order == 0 || order == 1;
}

/* The one of two that is certainly the greater (sign 1) or less (-1); NULL where that is not known. */
static const struct dim *extreme(struct bounding *b, const struct dim *x, const struct dim *y, int sign) {
    int order = x && y ? dim_compare(b->e->types, x, y) : 2;
    return order == 2 ? NULL : order == sign || order == 0 ? x : y;
}

static struct bounds both(struct bounding *b, struct bounds x, struct bounds y) {
    return (struct bounds){extreme(b, x.lo, y.lo, -1), extreme(b, x.hi, y.hi, 1)};
}

/* ---- rules ---- */

static struct bounds of_operand(struct bounding *b, const struct op *op) {
    return bounds_of(b, op->in[0]);
}

static struct bounds of_axis(struct bounding *b, const struct op *op) {
    const struct type *type = op->code == OP_iota ? op->out[0]->type : op->in[0]->type;
    const struct dim *size = type->dims[op_int(op, ATTR_axis)];
    return (struct bounds){whole(b, 0), dim_sub(b->e->types, size, whole(b, 1))};
}

static struct bounds of_size(struct bounding *b, const struct op *op) {
    (void)b;
    const struct dim *size = op_attr(op, ATTR_size)->dim;
    return (struct bounds){size, size};
}

static struct bounds of_const(struct bounding *b, const struct op *op) {
    const struct data *data = op_attr(op, ATTR_data)->data;
    int64_t count = type_elements(data->type);
    if (count < 1 || count > 1 << 16)
        return unknown;
    struct arena *scratch = arena_create();
    struct tensor *t = scratch ? tensor_from_bytes(scratch, data->type, data->bytes) : NULL;
    double lo = INFINITY, hi = -INFINITY;
    bool is_float = dtype_is_float(data->type->dtype), fits = t != NULL;
    for (int64_t i = 0; i < count && fits; i++) {
        double x = is_float ? t->f[i] : (double)t->i[i];
        fits = fabs(x) < 0x1p52;
        lo = fmin(lo, floor(x));
        hi = fmax(hi, ceil(x));
    }
    arena_destroy(scratch);
    return fits ? (struct bounds){whole(b, (int64_t)lo), whole(b, (int64_t)hi)} : unknown;
}

static struct bounds of_sum(struct bounding *b, const struct op *op) {
    struct types *types = b->e->types;
    struct bounds x = bounds_of(b, op->in[0]), y = bounds_of(b, op->in[1]);
    if (op->code == OP_sub)
        return (struct bounds){x.lo && y.hi ? dim_sub(types, x.lo, y.hi) : NULL,
                               x.hi && y.lo ? dim_sub(types, x.hi, y.lo) : NULL};
    return (struct bounds){x.lo && y.lo ? dim_add(types, x.lo, y.lo) : NULL,
                           x.hi && y.hi ? dim_add(types, x.hi, y.hi) : NULL};
}

static struct bounds of_product(struct bounding *b, const struct op *op) {
    struct bounds x = bounds_of(b, op->in[0]), y = bounds_of(b, op->in[1]);
    if (!is_least(b, x.lo, 0) || !is_least(b, y.lo, 0))
        return unknown;
    return (struct bounds){dim_mul(b->e->types, x.lo, y.lo),
                           x.hi && y.hi ? dim_mul(b->e->types, x.hi, y.hi) : NULL};
}

/* max and min: one side alone bounds the result from one side. */
static struct bounds of_max(struct bounding *b, const struct op *op) {
    struct bounds x = bounds_of(b, op->in[0]), y = bounds_of(b, op->in[1]), r;
    bool is_max = op->code == OP_max;
    r.lo = x.lo && y.lo ? extreme(b, x.lo, y.lo, is_max ? 1 : -1) : is_max ? x.lo ? x.lo : y.lo : NULL;
    r.hi = x.hi && y.hi ? extreme(b, x.hi, y.hi, is_max ? 1 : -1) : is_max ? NULL : x.hi ? x.hi : y.hi;
    if (is_max && !r.lo) /* either bounds it, though which is the better is not known */
        r.lo = x.lo ? x.lo : y.lo;
    if (!is_max && !r.hi)
        r.hi = y.hi ? y.hi : x.hi;
    return r;
}

/* By a known number above 0. Floats are divided without rounding down. */
static struct bounds of_quotient(struct bounding *b, const struct op *op) {
    struct types *types = b->e->types;
    struct bounds x = bounds_of(b, op->in[0]), n = bounds_of(b, op->in[1]);
    if (dtype_is_float(op->out[0]->type->dtype) || !n.lo || n.lo != n.hi || !is_least(b, n.lo, 1))
        return unknown;
    if (op->code == OP_mod)
        return (struct bounds){whole(b, 0), dim_sub(types, n.hi, whole(b, 1))};
    if (!dim_is_const(n.lo))
        return unknown;
    return (struct bounds){x.lo ? dim_floordiv(types, x.lo, dim_value(n.lo)) : NULL,
                           x.hi ? dim_floordiv(types, x.hi, dim_value(n.lo)) : NULL};
}

static struct bounds of_choice(struct bounding *b, const struct op *op) {
    return both(b, bounds_of(b, op->in[1]), bounds_of(b, op->in[2]));
}

static struct bounds of_parts(struct bounding *b, const struct op *op) {
    struct bounds r = bounds_of(b, op->in[0]);
    for (int i = 1; i < op->in_count; i++)
        r = both(b, r, bounds_of(b, op->in[i]));
    return r;
}

static struct bounds of_reduction(struct bounding *b, const struct op *op) {
    const char *kind = op_string(op, ATTR_kind);
    return kind[0] == 'm' ? of_operand(b, op) : unknown; /* max, min */
}

static struct bounds (*const rules[OP_COUNT])(struct bounding *b, const struct op *op) = {
    [OP_iota] = of_axis,
    [OP_arg_reduce] = of_axis,
    [OP_dim] = of_size,
    [OP_const] = of_const,
    [OP_cast] = of_operand,
    [OP_reshape] = of_operand,
    [OP_transpose] = of_operand,
    [OP_broadcast] = of_operand,
    [OP_slice] = of_operand,
    [OP_gather] = of_operand,
    [OP_dynamic_slice] = of_operand,
    [OP_stop_gradient] = of_operand,
    [OP_floor] = of_operand,
    [OP_round] = of_operand,
    [OP_windows] = of_operand,
    [OP_add] = of_sum,
    [OP_sub] = of_sum,
    [OP_mul] = of_product,
    [OP_max] = of_max,
    [OP_min] = of_max,
    [OP_mod] = of_quotient,
    [OP_div] = of_quotient,
    [OP_select] = of_choice,
    [OP_concat] = of_parts,
    [OP_reduce] = of_reduction,
};

/* A loop's index, its first parameter. */
static struct bounds of_param(struct bounding *b, const struct value *v) {
    const struct op *loop = v->block ? v->block->owner : NULL;
    if (!loop || loop->code != OP_loop || v->index != 0)
        return unknown;
    struct bounds lo = bounds_of(b, loop->in[0]), hi = bounds_of(b, loop->in[1]);
    return (struct bounds){lo.lo, hi.hi ? dim_sub(b->e->types, hi.hi, whole(b, 1)) : NULL};
}

static struct bounds bounds_of(struct bounding *b, const struct value *v) {
    const struct bounds *known = map_find(&b->e->draws, v);
    if (known)
        return *known;
    if (b->left-- <= 0)
        return unknown;
    if (!v->def)
        return of_param(b, v);
    if (v->def->code == OP_sort) /* the permutation: places on the axis */
        return v->index == 1 ? of_axis(b, v->def) : of_operand(b, v->def);
    return rules[v->def->code] ? rules[v->def->code](b, v->def) : unknown;
}

void note_draw_bounds(struct elab *e, const struct value *v, const struct dim *lo, const struct dim *end) {
    struct bounds *bounds = ARENA_NEW(e->arena, struct bounds);
    *bounds = (struct bounds){lo, dim_sub(e->types, end, dim_const(e->types, 1))};
    map_put(&e->draws, v, bounds);
}

/* ---- the check ---- */

static bool was_checked(const struct elab *e, const struct value *index, const struct dim *size) {
    for (int i = 0; i < e->checked.count; i++) {
        const struct checked *c = &e->checked.at[i];
        if (c->index != index || c->size != size)
            continue;
        for (const struct region *region = e->region; region; region = region->outer)
            if (region->block == c->block)
                return true;
    }
    return false;
}

static struct value *all_of(struct elab *e, struct value *x) {
    int rank = x->type->rank;
    int64_t *axes = ARENA_ARRAY(e->arena, int64_t, rank);
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    return rank > 0 ? build_reduce(&e->b, x, "min", axes, rank) : x;
}

/* 0 <= index < size for all elements. */
static struct value *is_inside(struct elab *e, struct value *index, const struct dim *size, bool lo,
                               bool hi) {
    enum dtype dtype = dtype_bytes(index->type->dtype) < 4 ? DTYPE_i32 : index->type->dtype;
    struct value *i = build_cast(&e->b, index, dtype), *inside = NULL;
    if (!lo)
        inside = build_binary(&e->b, OP_le, build_int(&e->b, dtype, 0), i);
    if (!hi) {
        struct value *below = build_binary(&e->b, OP_lt, i, size_tensor(e, size, dtype));
        inside = inside ? build_binary(&e->b, OP_and, inside, below) : below;
    }
    return inside;
}

void check_index(struct elab *e, struct value *index, const struct value *x, int axis) {
    struct bounding b = {e, MOST_VALUES};
    if (!index || !x || e->in_constant || !e->function)
        return;
    const struct dim *size = x->type->dims[axis];
    struct bounds known = bounds_of(&b, index);
    bool lo = dtype_class(index->type->dtype) == CLASS_UNSIGNED || is_least(&b, known.lo, 0);
    bool hi = known.hi && dim_compare(e->types, known.hi, size) == -1;
    if ((lo && hi) || was_checked(e, index, size))
        return;
    const char *message =
        arena_printf(e->graph->arena, "an index is not in axis %d of %s", axis, type_text(e->types, x->type));
    build_check(&e->b, message, all_of(e, is_inside(e, index, size, lo, hi)));
    VEC_PUSH(e->arena, &e->checked, ((struct checked){index, size, e->b.block}));
}
