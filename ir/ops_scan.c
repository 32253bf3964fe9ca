/* ir/ops_scan.c: the gradients of running sums, products and extrema. */
#include "ir/gradient_rules.h"

#include <string.h>

struct value *build_scan(struct builder *b, struct value *x, const char *kind, int64_t axis, bool exclusive,
                         bool reverse) {
    if (!x)
        return NULL;
    struct attr attrs[] = {{.name = ATTR_axis, .i = axis},
                           {.name = ATTR_kind, .string = intern(b->graph->names, kind)},
                           {.name = ATTR_exclusive, .i = exclusive},
                           {.name = ATTR_reverse, .i = reverse}};
    struct op *op = build_op(b, OP_scan, &x, 1, attrs, 4, NULL, 1);
    return op ? op->out[0] : NULL;
}

static bool flag(const struct gradient *g, enum attr_name name) {
    return op_int(g->op, name) != 0;
}

/* ---- products ----
 *
 * For z_i = prod_{j <= i} x_j (or j < i where the scan is exclusive) the gradient is
 *     dx_j = e_j s_j,   e_j = prod_{k < j} x_k,   s_j = sum_{i >= j} dz_i prod_{j < k <= i} x_k   (k < i, i >
 * j), right also where some x are 0, where dividing z by x would not be. s obeys s_j = dz_j + x_{j+1}
 * s_{j+1}, which is a loop against the direction of the scan with r carried: inclusive  s = dz_j + r, r' =
 * x_j s; exclusive  s = r, r' = dz_j + x_j r. */

static struct op *suffix_loop(struct gradient *g, struct value *x, struct value *dz, int axis, bool down) {
    struct builder *b = g->b;
    struct types *types = b->graph->types;
    const struct dim *size = x->type->dims[axis];
    const struct dim **dims = arena_memdup(g->scratch, x->type->dims, sizeof *dims * (size_t)x->type->rank);
    dims[axis] = dim_const(types, 1);
    const struct type *line = type_with_dims(types, x->type, x->type->rank, dims);
    struct value *in[] = {build_int(b, DTYPE_i32, 0), build_size(b, size), build_full(b, line, 0)};
    if (!in[0] || !in[1] || !in[2])
        return NULL;
    const struct type *types_out[] = {line, stack_type(types, line, size, g->scratch)};
    struct attr attrs[] = {{.name = ATTR_carried, .i = 1}, {.name = ATTR_reverse, .i = down}};
    struct op *loop = op_create(b->graph, OP_loop, in, 3, attrs, 2, types_out, 2, b->site);
    struct block *body = op_add_region(b->graph, loop);
    struct value *i = block_add_param(b->graph, body, type_scalar(types, DTYPE_i32), NULL);
    struct value *r = block_add_param(b->graph, body, line, NULL);
    struct builder inner = *b;
    builder_at_end(&inner, body);
    struct value *x_i = build_slice_at(&inner, x, axis, i, g->scratch),
                 *dz_i = build_slice_at(&inner, dz, axis, i, g->scratch);
    bool exclusive = flag(g, ATTR_exclusive);
    struct value *s = exclusive ? r : build_add(&inner, dz_i, r);
    struct value *yields[] = {
        exclusive ? build_add(&inner, dz_i, build_mul(&inner, x_i, r)) : build_mul(&inner, x_i, s), s};
    if (!yields[0] || !yields[1])
        return NULL;
    build_yield(&inner, yields, 2);
    return build_region_op(b, loop);
}

static bool grad_running_product(struct gradient *g) {
    struct builder *b = g->b;
    struct value *x = g->op->in[0];
    int axis = (int)op_int(g->op, ATTR_axis);
    bool reverse = flag(g, ATTR_reverse);
    struct op *loop = suffix_loop(g, x, g->dy[0], axis, !reverse);
    if (!loop)
        return false;
    struct value *s =
        reverse ? loop->out[1] : build_flip(b, loop->out[1], 0, 1, g->scratch); /* in x's order */
    if (axis > 0) { /* the turns to where their axis is */
        int64_t *perm = axes_counting(g->scratch, 0, x->type->rank + 1);
        for (int k = 0; k <= axis; k++)
            perm[k] = k < axis ? k + 1 : 0;
        s = build_transpose(b, s, perm);
    }
    s = build_reshape(b, s, x->type->rank, x->type->dims);
    struct value *before =
        flag(g, ATTR_exclusive) ? g->op->out[0] : build_scan(b, x, "prod", axis, true, reverse);
    g->dx[0] = build_mul(b, before, s);
    return g->dx[0] != NULL;
}

/* ---- extrema ----
 *
 * dz_i goes to the last record at or before i: the place where an element beat all before it (the first of
 * equals). An exclusive scan is the inclusive one moved on by one place, so its dz is moved back first. */

/* dz one place against the scan's direction, zero coming in. */
static struct value *move_back(struct gradient *g, int axis, bool reverse) {
    struct types *types = g->b->graph->types;
    int rank = g->dy[0]->type->rank;
    const struct dim **lo = ARENA_ARRAY(g->scratch, const struct dim *, rank);
    const struct dim **hi = ARENA_ARRAY(g->scratch, const struct dim *, rank);
    for (int k = 0; k < rank; k++) {
        lo[k] = dim_const(types, k == axis ? (reverse ? 1 : -1) : 0);
        hi[k] = dim_const(types, k == axis ? (reverse ? -1 : 1) : 0);
    }
    return build_pad(g->b, g->dy[0], lo, hi, ARENA_ARRAY(g->scratch, int64_t, rank), 0);
}

static bool grad_running_extremum(struct gradient *g, const char *kind) {
    struct builder *b = g->b;
    struct value *x = g->op->in[0];
    int axis = (int)op_int(g->op, ATTR_axis);
    bool reverse = flag(g, ATTR_reverse);
    struct value *before =
        flag(g, ATTR_exclusive) ? g->op->out[0] : build_scan(b, x, kind, axis, true, reverse);
    struct value *record = *kind == 'm' && kind[1] == 'a' ? build_binary(b, OP_lt, before, x)
                                                          : build_binary(b, OP_lt, x, before);
    const struct type *places = type_with_dtype(b->graph->types, x->type, DTYPE_i32);
    struct value *place = build_iota(b, places, axis), *first = build_int(b, DTYPE_i32, 0);
    if (reverse) {
        struct value *one = build_int(b, DTYPE_i32, 1);
        first = build_sub(b, build_size(b, x->type->dims[axis]), one);
    }
    struct value *last =
        build_scan(b, build_select(b, record, place, first), reverse ? "min" : "max", axis, false, reverse);
    struct value *dz = flag(g, ATTR_exclusive) ? move_back(g, axis, reverse) : g->dy[0];
    g->dx[0] = last ? scatter_lines(g, dz, last, axis) : NULL;
    return g->dx[0] != NULL;
}

bool grad_scan(struct gradient *g) {
    const char *kind = op_string(g->op, ATTR_kind);
    const struct dim *n = g->op->in[0]->type->dims[op_int(g->op, ATTR_axis)];
    if (dim_is_const(n) && dim_value(n) == 0)
        return true; /* there is nothing to have a gradient, and no turn of a loop */
    if (strcmp(kind, "prod") == 0)
        return grad_running_product(g);
    if (strcmp(kind, "sum") != 0)
        return grad_running_extremum(g, kind);
    g->dx[0] = build_scan(g->b, g->dy[0], "sum", op_int(g->op, ATTR_axis), flag(g, ATTR_exclusive),
                          !flag(g, ATTR_reverse));
    return g->dx[0] != NULL;
}
