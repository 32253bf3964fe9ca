/* codegen/nest_space.c: iteration spaces. A space over N elements is first refined until every shape of N
 * elements in the kernel is a grouping of its axes: then each index of each shape is a sum of loop variables,
 * without division. What always moves together is merged again after a trial. */
#include "codegen/nest.h"

#include <string.h>

int64_t type_stride(const struct type *type, int axis) {
    int64_t stride = 1;
    for (int i = type->rank - 1; i > axis; i--)
        stride *= type_size(type, i);
    return stride;
}

/* ---- refining ---- */

/* The distances at which shapes cut the flat index: 1 = cuts[0] < cuts[1] < .., each divides the next. */
struct cuts {
    struct arena *arena;
    VEC(int64_t) at;
};

static bool cut_fits(const struct cuts *c, int64_t cut) {
    for (int i = 0; i < c->at.count; i++) {
        int64_t a = c->at.at[i];
        if (a < cut ? cut % a : a % cut)
            return false;
    }
    return true;
}

static void cut_insert(struct cuts *c, int64_t cut) {
    int place = 0;
    while (place < c->at.count && c->at.at[place] < cut)
        place++;
    if (place < c->at.count && c->at.at[place] == cut)
        return;
    VEC_PUSH(c->arena, &c->at, cut);
    memmove(&c->at.at[place + 1], &c->at.at[place], sizeof(int64_t) * (size_t)(c->at.count - 1 - place));
    c->at.at[place] = cut;
}

/* A shape that does not fit what is there leaves its mark where it does; the rest is left to div and mod. */
static void cut_by_type(struct cuts *c, const struct type *type, int64_t elements) {
    if (!type_is_static(type) || type_elements(type) != elements)
        return;
    int64_t stride = 1;
    for (int axis = type->rank - 1; axis >= 0; axis--) {
        if (cut_fits(c, stride))
            cut_insert(c, stride);
        stride *= type_size(type, axis);
    }
}

/* Only a reshape says that two shapes have one flat order. */
static void cuts_of_kernel(struct nest *n, int64_t elements, struct cuts *c) {
    *c = (struct cuts){.arena = n->arena};
    cut_insert(c, 1);
    cut_insert(c, elements);
    const struct op *yield = block_yield(n->body);
    for (int i = 0; i < yield->in_count; i++)
        cut_by_type(c, yield->in[i]->type, elements);
    FOR_EACH_OP (op, n->body) {
        if (op->code == OP_reshape || op->code == OP_reduce || op->code == OP_arg_reduce)
            cut_by_type(c, op->in[0]->type, elements);
        if (op->code == OP_reshape)
            cut_by_type(c, op->out[0]->type, elements);
    }
}

void space_refine(struct nest *n, int64_t elements, struct space *out) {
    struct cuts c;
    *out = (struct space){0};
    if (elements < 1)
        return;
    cuts_of_kernel(n, elements, &c);
    for (int i = c.at.count - 1; i > 0; i--)
        VEC_PUSH(n->arena, &out->axes, ((struct axis){c.at.at[i] / c.at.at[i - 1], c.at.at[i - 1]}));
}

/* The refined loops over the axes that a reduction takes away. */
void space_of_reduction(struct nest *n, const struct op *op, struct space *out) {
    const struct type *type = op->in[0]->type;
    struct space all;
    *out = (struct space){0};
    space_refine(n, type_elements(type), &all);
    int count = 1;
    int64_t single = op->code == OP_arg_reduce ? op_int(op, ATTR_axis) : 0;
    const int64_t *axes = op->code == OP_arg_reduce ? &single : op_ints(op, ATTR_axes, &count);
    for (int i = 0; i < count; i++) {
        int64_t low = type_stride(type, (int)axes[i]), high = low * type_size(type, (int)axes[i]);
        int64_t covered = low;
        for (int k = all.axes.count - 1; k >= 0; k--)
            if (all.axes.at[k].stride >= low && all.axes.at[k].stride < high)
                covered *= all.axes.at[k].stride == covered ? all.axes.at[k].size : 0;
        if (covered != high) { /* another shape's cut is in the way: the axis stays whole */
            VEC_PUSH(n->arena, &out->axes, ((struct axis){type_size(type, (int)axes[i]), low}));
            continue;
        }
        for (int k = 0; k < all.axes.count; k++)
            if (all.axes.at[k].stride >= low && all.axes.at[k].stride < high)
                VEC_PUSH(n->arena, &out->axes, all.axes.at[k]);
    }
}

/* ---- merging ---- */

struct merge_query {
    const struct loop_var *outer, *inner;
    int64_t size, outer_moves, inner_moves;
    bool good;
};

static void merge_term(void *data, const struct loop_expr *atom, int64_t coefficient) {
    struct merge_query *q = data;
    if (atom->kind == LEXPR_VAR && atom->var == q->outer)
        q->outer_moves += coefficient;
    else if (atom->kind == LEXPR_VAR && atom->var == q->inner)
        q->inner_moves += coefficient;
    else if (atom->kind == LEXPR_OP)
        for (int i = 0; i < atom->arg_count; i++)
            q->good = q->good && can_merge(atom->args[i], q->outer, q->inner, q->size);
    else if (atom->kind == LEXPR_LOAD) /* its index was noted by itself; so were its mask's parts */
        q->good = q->good && can_merge(atom->index, q->outer, q->inner, q->size);
}

bool can_merge(const struct loop_expr *x, const struct loop_var *outer, const struct loop_var *inner,
               int64_t size) {
    if (!lexpr_depends_on(x, outer) && !lexpr_depends_on(x, inner))
        return true;
    struct merge_query q = {.outer = outer, .inner = inner, .size = size, .good = true};
    int64_t constant = 0;
    lexpr_terms(x, merge_term, &q, &constant);
    return q.good && q.outer_moves == size * q.inner_moves;
}

bool can_merge_all(const struct phase *p, const struct loop_var *outer, const struct loop_var *inner,
                   int64_t size) {
    for (int i = 0; i < p->accesses.count; i++)
        if (!can_merge(p->accesses.at[i], outer, inner, size))
            return false;
    return true;
}

/* ---- flat indices ---- */

const struct loop_expr *flat_index(struct phase *p, const struct type *type,
                                   const struct loop_expr *const *index) {
    const struct loop_expr *flat = lexpr_index(p->f, 0);
    for (int axis = 0; axis < type->rank; axis++)
        flat = lexpr_add(p->f, flat, lexpr_mul(p->f, index[axis], type_stride(type, axis)));
    return flat;
}

/* The outermost axis needs no remainder: flat is an index of the type. */
const struct loop_expr **unflatten(struct phase *p, const struct type *type, const struct loop_expr *flat) {
    const struct loop_expr **index = ARENA_ARRAY(p->nest->arena, const struct loop_expr *, type->rank + 1);
    bool is_outermost = true;
    for (int axis = 0; axis < type->rank; axis++) {
        int64_t stride = type_stride(type, axis), size = type_size(type, axis);
        index[axis] = lexpr_index(p->f, 0);
        if (size <= 1 || !stride)
            continue;
        index[axis] = lexpr_div(p->f, flat, stride);
        if (!is_outermost)
            index[axis] = lexpr_mod(p->f, index[axis], size);
        is_outermost = false;
    }
    return index;
}
