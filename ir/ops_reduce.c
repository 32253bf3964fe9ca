/* ir/ops_reduce.c: reductions and running sums. */
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"
#include "ir/infer.h"

#include <math.h>
#include <string.h>

/* ---- inference ---- */

/* The type without the axes, which ascend. */
static const struct type *type_without(struct graph *graph, const struct type *type, const int64_t *axes,
                                       int count) {
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, type->rank);
    int rank = 0, next = 0;
    for (int i = 0; i < type->rank; i++) {
        if (next < count && axes[next] == i)
            next++;
        else
            dims[rank++] = type->dims[i];
    }
    return type_with_dims(graph->types, type, rank, dims);
}

bool infer_reduce(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    int count;
    const int64_t *axes = op_ints(op, ATTR_axes, &count);
    if (!infer_axes(graph, op, diags, "axes", axes, count, type->rank) ||
        !infer_kind(graph, op, diags, "sum prod max min"))
        return false;
    const char *kind = op_string(op, ATTR_kind);
    if (type->dtype == DTYPE_bool && kind[0] != 'm') {
        infer_error(graph, op, diags, E_DTYPE, "%s of %s: bools have only max (any) and min (all)", kind,
                    type_name(graph, op->in[0]));
        return false;
    }
    return infer_result(op, type_without(graph, type, axes, count));
}

bool infer_arg_reduce(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    int64_t axis = op_int(op, ATTR_axis);
    if (!infer_axis(graph, op, diags, axis, type->rank) || !infer_kind(graph, op, diags, "max min"))
        return false;
    if (type->dims[axis] == dim_const(graph->types, 0)) {
        infer_error(graph, op, diags, E_SHAPE, "axis %lld of %s has no elements", (long long)axis,
                    type_name(graph, op->in[0]));
        return false;
    }
    return infer_result(op, type_with_dtype(graph->types, type_without(graph, type, &axis, 1), DTYPE_i32));
}

bool infer_scan(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    if (!infer_axis(graph, op, diags, op_int(op, ATTR_axis), type->rank) ||
        !infer_kind(graph, op, diags, "sum prod max min"))
        return false;
    if (type->dtype == DTYPE_bool) {
        infer_error(graph, op, diags, E_DTYPE, "wants numbers, but got %s", type_name(graph, op->in[0]));
        return false;
    }
    return infer_result(op, type);
}

/* ---- values ---- */

struct reduction {
    const char *kind;
    double (*f)(double, double);
    int64_t (*i)(int64_t, int64_t);
};
static const struct reduction reductions[] = {{"sum", float_add, int_add},
                                              {"prod", float_mul, int_mul},
                                              {"max", float_max, int_max},
                                              {"min", float_min, int_min}};

static const struct reduction *reduction_of(const struct op *op) {
    const char *kind = op_string(op, ATTR_kind);
    const struct reduction *r = reductions;
    while (strcmp(r->kind, kind) != 0)
        r++;
    return r;
}

/* What changes nothing: the result over no elements. */
static void set_neutral(const struct reduction *r, struct tensor *t, int64_t at) {
    enum dtype dtype = t->type->dtype;
    bool floats = dtype_is_float(dtype);
    if (r->f == float_add || r->f == float_mul) {
        if (floats)
            t->f[at] = r->f == float_mul;
        else
            t->i[at] = r->f == float_mul;
    } else if (floats) {
        t->f[at] = r->f == float_max ? -INFINITY : INFINITY;
    } else {
        t->i[at] = r->f == float_max ? int_least(dtype) : int_greatest(dtype);
    }
}

static void combine(const struct reduction *r, struct tensor *to, int64_t to_at, const struct tensor *x,
                    int64_t at) {
    if (dtype_is_float(x->type->dtype))
        to->f[to_at] = r->f(to->f[to_at], x->f[at]);
    else
        to->i[to_at] = r->i(to->i[to_at], x->i[at]);
}

bool eval_reduce(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    const struct reduction *r = reduction_of(op);
    int count, next = 0, kept = 0;
    const int64_t *axes = op_ints(op, ATTR_axes, &count), *strides = type_strides(e, out[0]->type);
    int64_t n = type_elements(out[0]->type);
    for (int64_t k = 0; k < n; k++)
        set_neutral(r, out[0], k);
    struct walk w;
    walk_type(&w, e, in[0]->type);
    for (int axis = 0; axis < w.rank; axis++) {
        if (next < count && axes[next] == axis)
            next++;
        else
            w.stride[1][axis] = strides[kept++];
    }
    for (; w.left; walk_next(&w))
        combine(r, out[0], w.at[1], in[0], w.at[0]);
    return true;
}

/* Does x at a come before the best so far? The first NaN wins over all. */
static bool is_better(const struct tensor *x, bool greatest, int64_t a, int64_t best) {
    if (!dtype_is_float(x->type->dtype))
        return greatest ? x->i[a] > x->i[best] : x->i[a] < x->i[best];
    if (isnan(x->f[a]) || isnan(x->f[best]))
        return isnan(x->f[a]) && !isnan(x->f[best]);
    return greatest ? x->f[a] > x->f[best] : x->f[a] < x->f[best];
}

bool eval_arg_reduce(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    bool greatest = strcmp(op_string(op, ATTR_kind), "max") == 0;
    struct walk w;
    int64_t n, stride, line = 0;
    for (walk_lines(&w, e, in[0]->type, op_int(op, ATTR_axis), &n, &stride); w.left; walk_next(&w)) {
        int64_t best = 0;
        for (int64_t k = 1; k < n; k++)
            if (is_better(in[0], greatest, w.at[0] + k * stride, w.at[0] + best * stride))
                best = k;
        out[0]->i[line++] = best;
    }
    return true;
}

bool eval_scan(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    const struct reduction *r = reduction_of(op);
    bool exclusive = op_int(op, ATTR_exclusive), reverse = op_int(op, ATTR_reverse);
    struct tensor *sum = tensor_take(e, type_scalar(eval_types(e), in[0]->type->dtype));
    struct walk w;
    int64_t n, stride;
    for (walk_lines(&w, e, in[0]->type, op_int(op, ATTR_axis), &n, &stride); w.left; walk_next(&w)) {
        set_neutral(r, sum, 0);
        for (int64_t k = 0; k < n; k++) {
            int64_t at = w.at[0] + (reverse ? n - 1 - k : k) * stride;
            if (exclusive)
                element_copy(out[0], at, sum, 0);
            combine(r, sum, 0, in[0], at);
            if (!exclusive)
                element_copy(out[0], at, sum, 0);
        }
    }
    tensor_release(e, sum);
    return true;
}

/* ---- gradients of reduce ---- */

/* The axes that stay: where each axis of the result is in the operand. */
static int64_t *kept_axes(struct gradient *g) {
    int count, next = 0, kept = 0, rank = g->op->in[0]->type->rank;
    const int64_t *gone = op_ints(g->op, ATTR_axes, &count);
    int64_t *axes = ARENA_ARRAY(g->scratch, int64_t, rank);
    for (int axis = 0; axis < rank; axis++) {
        if (next < count && gone[next] == axis)
            next++;
        else
            axes[kept++] = axis;
    }
    return axes;
}

/* A value of the result's shape, the same for all elements that went into each. */
static struct value *spread(struct gradient *g, struct value *v) {
    return v ? build_broadcast(g->b, v,
                               type_with_dtype(g->b->graph->types, g->op->in[0]->type, v->type->dtype),
                               kept_axes(g))
             : NULL;
}

/* Those that are equal to the result share dy equally. */
static struct value *share_among_equals(struct gradient *g) {
    struct builder *b = g->b;
    struct value *x = g->op->in[0], *dy = g->dy[0];
    int count;
    const int64_t *axes = op_ints(g->op, ATTR_axes, &count);
    struct value *equal = build_binary(b, OP_eq, x, spread(g, g->op->out[0]));
    struct value *equals = build_reduce(b, build_cast(b, equal, x->type->dtype), "sum", axes, count);
    return build_select(b, equal, spread(g, build_div(b, dy, equals)), build_like(b, dy, 0));
}

/* For each x_i the product of all others: those before times those behind. Right where some are 0. */
static struct value *product_of_others(struct builder *b, struct value *x, int64_t axis) {
    return build_mul(b, build_scan(b, x, "prod", axis, true, false),
                     build_scan(b, x, "prod", axis, true, true));
}

/* The same over several axes: brought to the end and made one, and back. */
static struct value *product_of_others_over(struct gradient *g, const int64_t *gone, int count) {
    struct builder *b = g->b;
    const struct type *type = g->op->in[0]->type;
    int64_t *kept = kept_axes(g), *perm = ARENA_ARRAY(g->scratch, int64_t, type->rank);
    int64_t *back = ARENA_ARRAY(g->scratch, int64_t, type->rank);
    const struct dim **dims = ARENA_ARRAY(g->scratch, const struct dim *, type->rank);
    int left = type->rank - count;
    dims[left] = dim_const(b->graph->types, 1);
    for (int k = 0; k < type->rank; k++) {
        perm[k] = k < left ? kept[k] : gone[k - left];
        back[perm[k]] = k;
        if (k < left)
            dims[k] = type->dims[perm[k]];
        else
            dims[left] = dim_mul(b->graph->types, dims[left], type->dims[perm[k]]);
    }
    struct value *moved = build_transpose(b, g->op->in[0], perm);
    struct value *others = product_of_others(b, build_reshape(b, moved, left + 1, dims), left);
    return others && moved ? build_transpose(b, build_reshape(b, others, type->rank, moved->type->dims), back)
                           : NULL;
}

bool grad_reduce(struct gradient *g) {
    const char *kind = op_string(g->op, ATTR_kind);
    int count;
    const int64_t *gone = op_ints(g->op, ATTR_axes, &count);
    if (count == 0)
        g->dx[0] = g->dy[0];
    else if (strcmp(kind, "sum") == 0)
        g->dx[0] = spread(g, g->dy[0]);
    else if (strcmp(kind, "prod") != 0)
        g->dx[0] = share_among_equals(g);
    else
        g->dx[0] = build_mul(g->b, spread(g, g->dy[0]),
                             count == 1 ? product_of_others(g->b, g->op->in[0], gone[0])
                                        : product_of_others_over(g, gone, count));
    return g->dx[0] != NULL;
}
