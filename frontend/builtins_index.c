/* frontend/builtins_index.c: elements by integer tensors, and sorting. */
#include "frontend/builtin.h"

/* The operand with `axis` as its last axis; and back. */
static struct value *axis_last(struct elab *e, struct value *x, int axis, bool back) {
    int rank = x->type->rank;
    if (axis == rank - 1)
        return x;
    int64_t *perm = ARENA_ARRAY(e->arena, int64_t, rank);
    for (int i = 0, k = 0; i < rank; i++)
        if (i != axis)
            perm[k++] = i;
    perm[rank - 1] = axis;
    if (back) {
        int64_t *inverse = ARENA_ARRAY(e->arena, int64_t, rank);
        for (int i = 0; i < rank; i++)
            inverse[perm[i]] = i;
        perm = inverse;
    }
    return build_transpose(&e->b, x, perm);
}

/* Whether i has x's axes but `axis`, or those in front of it alone. */
static bool index_fits(const struct value *x, const struct value *i, int axis) {
    int rank = i->type->rank;
    if (rank != x->type->rank - 1 && rank != axis)
        return false;
    for (int k = 0; k < rank; k++)
        if (i->type->dims[k] != x->type->dims[k + (k >= axis)])
            return false;
    return true;
}

/* pick(x, i, axis): for each place of i, the element of x's row along axis: gather with all other axes
 * shared; or, where i has the axes in front of `axis` alone, all that stands behind it. */
static struct datum run_pick(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY), *i = arg_tensor(e, c, 1, DTYPE_i32);
    int axis;
    if (!x || !i || !arg_axis(e, c, 2, x->type->rank, &axis))
        return datum_error();
    if (!index_fits(x, i, axis))
        return fail(e, c->spans[1], E_SHAPE,
                    "pick: the index has the axes of its operand but axis %d, or those in front of it; these "
                    "are %s and %s",
                    axis, type_text(e->types, i->type), type_text(e->types, x->type));
    check_index(e, i, x, axis);
    if (i->type->rank == axis)
        return datum_tensor(build_gather(&e->b, x, i, axis, axis));
    int last = x->type->rank - 1;
    struct value *y = axis_last(e, x, axis, false);
    return datum_tensor(y ? build_gather(&e->b, y, i, last, last) : NULL);
}

/* take_along(x, i, axis): i has x's rank; the axis takes the length that it has in i. */
static struct datum run_take_along(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY), *i = arg_tensor(e, c, 1, DTYPE_i32);
    int axis;
    if (!x || !i || !arg_axis(e, c, 2, x->type->rank, &axis))
        return datum_error();
    int rank = x->type->rank;
    if (i->type->rank != rank)
        return fail(e, c->spans[1], E_SHAPE,
                    "the index of take_along has the axes of its operand, these are %s and %s",
                    type_text(e->types, i->type), type_text(e->types, x->type));
    check_index(e, i, x, axis);
    struct value *rows = axis_last(e, x, axis, false), *index = axis_last(e, i, axis, false);
    struct value *y = rows && index ? build_gather(&e->b, rows, index, rank - 1, rank - 1) : NULL;
    return datum_tensor(y ? axis_last(e, y, axis, true) : NULL);
}

/* scatter_add(x, i, u): x with the rows of u added at the rows i of the first axis. */
static struct datum run_scatter_add(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY), *i = arg_tensor(e, c, 1, DTYPE_i32);
    struct value *u = x ? arg_tensor(e, c, 2, (int)x->type->dtype) : NULL;
    if (!x || !i || !u)
        return datum_error();
    if (x->type->rank > 0)
        check_index(e, i, x, 0);
    return datum_tensor(build_scatter(&e->b, x, i, u, 0, 0, "add"));
}

/* The row's opcode: 0 the values, 1 the permutation. */
static struct datum run_sort(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    bool descending;
    int axis = x ? x->type->rank - 1 : 0;
    if (!x || (c->given[1] && !arg_axis(e, c, 1, x->type->rank, &axis)) || !arg_bool(e, c, 2, &descending))
        return datum_error();
    const struct attr attrs[] = {{.name = ATTR_axis, .i = axis}, {.name = ATTR_descending, .i = descending}};
    struct op *op = build_op(&e->b, OP_sort, &x, 1, attrs, 2, NULL, 2);
    return datum_tensor(op ? op->out[c->builtin->opcode] : NULL);
}

const struct builtin builtins_index[] = {
    {"pick", "x index axis", run_pick, 0},
    {"take_along", "x index axis", run_take_along, 0},
    {"scatter_add", "x index u", run_scatter_add, 0},
    {"sort", "x axis? descending?", run_sort, 0},
    {"argsort", "x axis? descending?", run_sort, 1},
    {0},
};
