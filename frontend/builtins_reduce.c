/* frontend/builtins_reduce.c: reductions of tensors and of lists; max and min of two; argmax; scans. */
#include "frontend/builtin.h"

#include <math.h>

/* A reduction's kind in the graph, and its two-operand form for lists. */
struct reduction {
    const char *kind;
    enum opcode pair;
};
enum { REDUCE_SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL, REDUCE_MEAN };
static const struct reduction reductions[] = {
    [REDUCE_SUM] = {"sum", OP_add},  [REDUCE_PROD] = {"prod", OP_mul}, [REDUCE_MAX] = {"max", OP_max},
    [REDUCE_MIN] = {"min", OP_min},  [REDUCE_ANY] = {"max", OP_or},    [REDUCE_ALL] = {"min", OP_and},
    [REDUCE_MEAN] = {"sum", OP_add},
};

/* ---- of a tensor ---- */

static struct value *keep_axes(struct elab *e, struct value *y, const struct type *from, const int64_t *axes,
                               int count) {
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, from->rank);
    for (int i = 0; i < from->rank; i++)
        dims[i] = from->dims[i];
    for (int i = 0; i < count; i++)
        dims[axes[i]] = dim_const(e->types, 1);
    return y ? build_reshape(&e->b, y, from->rank, dims) : NULL;
}

static struct value *divide_by_count(struct elab *e, struct value *y, const struct type *from,
                                     const int64_t *axes, int count) {
    const struct dim *n = dim_const(e->types, 1);
    for (int i = 0; i < count; i++)
        n = dim_mul(e->types, n, from->dims[axes[i]]);
    if (!y)
        return NULL;
    if (dim_is_const(n))
        return build_mul(&e->b, y, build_like(&e->b, y, 1.0 / (double)dim_value(n)));
    return build_div(&e->b, y, size_tensor(e, n, y->type->dtype));
}

static struct datum reduce_tensor(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int count, which = c->builtin->opcode;
    bool keep;
    int64_t *axes = x ? arg_axes(e, c, 1, x->type->rank, &count) : NULL;
    if (!axes || !arg_bool(e, c, 2, &keep))
        return datum_error();
    if (which == REDUCE_MEAN && !dtype_is_float(x->type->dtype)) {
        diag_hint(report_error(e, c->spans[0], E_DTYPE, "mean is of floats, this is %s",
                               type_text(e->types, x->type)),
                  "f32(x) casts: mean(f32(x))");
        return datum_error();
    }
    struct value *y = count > 0 ? build_reduce(&e->b, x, reductions[which].kind, axes, count) : x;
    if (which == REDUCE_MEAN)
        y = divide_by_count(e, y, x->type, axes, count);
    return datum_tensor(keep && count > 0 ? keep_axes(e, y, x->type, axes, count) : y);
}

/* ---- of a list, and of two ---- */

static struct datum pair_numbers(struct elab *e, int which, struct datum a, struct datum b, bool *done) {
    bool ints = a.kind == DATUM_INT && b.kind == DATUM_INT;
    *done = true;
    if (ints && (which == REDUCE_MAX || which == REDUCE_MIN)) {
        int order = dim_compare(e->types, a.size, b.size);
        if (order != 2)
            return (order >= 0) == (which == REDUCE_MAX) ? a : b;
    }
    bool known =
        (a.kind == DATUM_FLOAT || datum_is_known_int(a)) && (b.kind == DATUM_FLOAT || datum_is_known_int(b));
    if (!ints && known && (which == REDUCE_MAX || which == REDUCE_MIN)) {
        double x = a.kind == DATUM_FLOAT ? a.number : (double)dim_value(a.size);
        double y = b.kind == DATUM_FLOAT ? b.number : (double)dim_value(b.size);
        return datum_float(which == REDUCE_MAX ? fmax(x, y) : fmin(x, y));
    }
    *done = false;
    return datum_none();
}

static const enum binary_op pair_operators[] = {[REDUCE_SUM] = BINARY_ADD,
                                                [REDUCE_PROD] = BINARY_MUL,
                                                [REDUCE_ANY] = BINARY_OR,
                                                [REDUCE_ALL] = BINARY_AND,
                                                [REDUCE_MEAN] = BINARY_ADD};

static struct datum combine(struct elab *e, const struct builtin_call *c, struct datum a, struct datum b) {
    int which = c->builtin->opcode;
    if (datum_is_error(a) || datum_is_error(b))
        return datum_error();
    if (which != REDUCE_MAX && which != REDUCE_MIN)
        return apply_binary(e, pair_operators[which], a, b, c->span, c->spans[0], c->spans[0]);
    bool done = false;
    struct datum d =
        datum_is_number(a) && datum_is_number(b) ? pair_numbers(e, which, a, b, &done) : datum_none();
    if (done)
        return d;
    struct value *x, *y;
    struct span second = c->given[1] ? c->spans[1] : c->spans[0];
    if (!to_tensors(e, a, b, c->spans[0], second, &x, &y) ||
        !operands_fit(e, c->builtin->name, x, y, c->span, c->spans[0], second))
        return datum_error();
    return datum_tensor(build_binary(&e->b, reductions[which].pair, x, y));
}

static struct datum empty_value(struct elab *e, const struct builtin_call *c) {
    switch (c->builtin->opcode) {
    case REDUCE_SUM:
        return datum_int(e->types, 0);
    case REDUCE_PROD:
        return datum_int(e->types, 1);
    case REDUCE_ANY:
        return datum_bool(false);
    case REDUCE_ALL:
        return datum_bool(true);
    default:
        return fail(e, c->span, E_TYPE, "%s of an empty list", c->builtin->name);
    }
}

static struct datum reduce_list(struct elab *e, const struct builtin_call *c) {
    const struct list *items;
    if (!arg_items(e, c, 0, &items))
        return datum_error();
    if (items->count == 0)
        return empty_value(e, c);
    struct datum d = items->at[0];
    for (int i = 1; i < items->count && !datum_is_error(d); i++)
        d = combine(e, c, d, items->at[i]);
    if (c->builtin->opcode == REDUCE_MEAN)
        d = apply_binary(e, BINARY_DIV, d, datum_float(items->count), c->span, c->span, c->span);
    return d;
}

static struct datum run_reduce(struct elab *e, const struct builtin_call *c) {
    return datum_is_sequence(c->args[0]) || c->args[0].kind == DATUM_RANGE ? reduce_list(e, c)
                                                                           : reduce_tensor(e, c);
}

/* max(x, y) is elementwise, max(x, axis: a) a reduction. */
static struct datum run_extreme(struct elab *e, const struct builtin_call *c) {
    if (!c->given[1]) {
        struct builtin_call reduce = *c; /* x axis? keep? from x y? axis? keep? */
        for (int i = 1; i < 3; i++) {
            reduce.args[i] = c->args[i + 1];
            reduce.given[i] = c->given[i + 1];
            reduce.spans[i] = c->spans[i + 1];
        }
        return run_reduce(e, &reduce);
    }
    return combine(e, c, c->args[0], c->args[1]);
}

/* ---- places and running sums ---- */

static struct datum run_arg_reduce(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int axis = x ? x->type->rank - 1 : 0;
    if (!x || (c->given[1] && !arg_axis(e, c, 1, x->type->rank, &axis)))
        return datum_error();
    const char *kind = intern(e->names, reductions[c->builtin->opcode].kind);
    const struct attr attrs[] = {{.name = ATTR_axis, .i = axis}, {.name = ATTR_kind, .string = kind}};
    struct op *op = build_op(&e->b, OP_arg_reduce, &x, 1, attrs, 2, NULL, 1);
    return datum_tensor(op ? op->out[0] : NULL);
}

static struct datum run_scan(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int axis;
    bool exclusive, reverse;
    if (!x || !arg_axis(e, c, 1, x->type->rank, &axis) || !arg_bool(e, c, 2, &exclusive) ||
        !arg_bool(e, c, 3, &reverse))
        return datum_error();
    const char *kind = intern(e->names, reductions[c->builtin->opcode].kind);
    const struct attr attrs[] = {{.name = ATTR_axis, .i = axis},
                                 {.name = ATTR_kind, .string = kind},
                                 {.name = ATTR_exclusive, .i = exclusive},
                                 {.name = ATTR_reverse, .i = reverse}};
    struct op *op = build_op(&e->b, OP_scan, &x, 1, attrs, 4, NULL, 1);
    return datum_tensor(op ? op->out[0] : NULL);
}

const struct builtin builtins_reduce[] = {
    {"sum", "x axis? keep?", run_reduce, REDUCE_SUM},
    {"prod", "x axis? keep?", run_reduce, REDUCE_PROD},
    {"mean", "x axis? keep?", run_reduce, REDUCE_MEAN},
    {"any", "x axis? keep?", run_reduce, REDUCE_ANY},
    {"all", "x axis? keep?", run_reduce, REDUCE_ALL},
    {"max", "x y? axis? keep?", run_extreme, REDUCE_MAX},
    {"min", "x y? axis? keep?", run_extreme, REDUCE_MIN},
    {"argmax", "x axis?", run_arg_reduce, REDUCE_MAX},
    {"argmin", "x axis?", run_arg_reduce, REDUCE_MIN},
    {"cumsum", "x axis exclusive? reverse?", run_scan, REDUCE_SUM},
    {"cumprod", "x axis exclusive? reverse?", run_scan, REDUCE_PROD},
    {0},
};
