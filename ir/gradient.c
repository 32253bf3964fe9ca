#include "ir/gradient_rules.h"

#include <assert.h>

static gradient_rule *const rules[OP_COUNT] = {
#define OP(name, operands, results, attributes, infer, grad, ...) [OP_##name] = grad_##grad,
#include "ir/ops.def"
#undef OP
};

gradient_rule *gradient_of(enum opcode code) {
    return rules[code];
}

bool gradient_exists(enum opcode code) {
    return rules[code] != grad_none;
}

bool gradient_passes(enum opcode code) {
    return code == OP_grad ||
           (rules[code] != grad_none && rules[code] != grad_zero && rules[code] != grad_leaf);
}

bool grad_leaf(struct gradient *g) {
    (void)g;
    return true;
}
bool grad_none(struct gradient *g) {
    (void)g;
    return true;
}
bool grad_zero(struct gradient *g) {
    (void)g;
    return true;
}

/* ---- what depends on what ---- */

static bool is_marked(const struct map *marked, const struct value *value) {
    return map_has(marked, value);
}

static bool is_passable(const struct op *op) {
    return gradient_passes(op->code);
}

static void mark_floats(struct map *marked, struct value *const *values, int count) {
    for (int k = 0; k < count; k++)
        if (dtype_is_float(values[k]->type->dtype))
            mark(marked, values[k]);
}

static bool any_marked(const struct map *marked, struct value *const *values, int count) {
    for (int k = 0; k < count; k++)
        if (is_marked(marked, values[k]))
            return true;
    return false;
}

void mark_dependents(struct op *first, struct op *last, struct map *marked) {
    for (struct op *op = first; last && op != last->next; op = op->next)
        if (is_passable(op) && any_marked(marked, op->in, op->in_count))
            mark_floats(marked, op->out, op->out_count);
}

void mark_sources(struct op *first, struct op *last, struct map *marked) {
    for (struct op *op = last; op && op != first->prev; op = op->prev)
        if (is_passable(op) && any_marked(marked, op->out, op->out_count))
            mark_floats(marked, op->in, op->in_count);
}

/* ---- adding up ---- */

/* A constant whose bytes are 0, or a broadcast of one. */
static bool is_zero(const struct value *value) {
    const struct op *op = value->def;
    if (op && op->code == OP_broadcast)
        return is_zero(op->in[0]);
    if (!op || op->code != OP_const)
        return false;
    const struct data *data = op_attr(op, ATTR_data)->data;
    for (int64_t k = 0; k < type_bytes(data->type); k++)
        if (((const char *)data->bytes)[k])
            return false;
    return true;
}

/* base + piece, where piece is rows scattered, or a part written, into zeros: done into base at once, so that
 * no tensor of zeros is made. The old op stays, it may be the gradient of another value too; else it is dead.
 * NULL: piece is something else. */
static struct value *add_into(struct builder *b, struct value *base, struct value *piece) {
    struct op *op = piece->def;
    if (!op || value_has_uses(piece) || op->block != b->block)
        return NULL;
    struct value *sum = NULL;
    if (op->code == OP_scatter && *op_string(op, ATTR_kind) == 'a' && is_zero(op->in[0])) {
        sum = build_scatter(b, base, op->in[1], op->in[2], (int)op_int(op, ATTR_axis),
                            (int)op_int(op, ATTR_batch), "add");
    } else if (op->code == OP_dynamic_update && is_zero(op->in[0])) {
        int rank = base->type->rank;
        struct value **in = ARENA_ARRAY(b->graph->arena, struct value *, rank + 2);
        in[1] = base;
        for (int axis = 0; axis < rank; axis++)
            in[axis + 2] = op->in[axis + 2];
        struct op *old = build_op(b, OP_dynamic_slice, in + 1, rank + 1, NULL, 0, &op->in[1]->type, 1);
        in[0] = base;
        in[1] = old ? build_add(b, old->out[0], op->in[1]) : NULL;
        struct op *updated = build_op(b, OP_dynamic_update, in, rank + 2, NULL, 0, NULL, 1);
        sum = updated ? updated->out[0] : NULL;
    }
    return sum;
}

struct value *build_accumulate(struct builder *b, struct value *sum, struct value *dx) {
    if (!sum || !dx)
        return sum ? sum : dx;
    struct value *both = add_into(b, sum, dx);
    if (!both)
        both = add_into(b, dx, sum);
    return both ? both : build_add(b, sum, dx);
}

/* ---- reverse mode ---- */

struct sweep {
    struct builder *b;
    struct arena *scratch;
    struct map varying;   /* what depends on an x */
    struct map gradients; /* by value: the sum of what has come from its users */
};

static bool add_gradient(struct sweep *s, struct value *value, struct value *dx) {
    assert(dx->type == value->type);
    struct value *sum = build_accumulate(s->b, map_find(&s->gradients, value), dx);
    map_put(&s->gradients, value, sum);
    return sum != NULL;
}

static bool sweep_op(struct sweep *s, struct op *op) {
    struct value **dy = ARENA_ARRAY(s->scratch, struct value *, op->out_count);
    struct value **dx = ARENA_ARRAY(s->scratch, struct value *, op->in_count);
    bool *want = ARENA_ARRAY(s->scratch, bool, op->in_count), any_dy = false, any_want = false;
    for (int k = 0; k < op->out_count; k++)
        any_dy |= (dy[k] = map_find(&s->gradients, op->out[k])) != NULL;
    for (int k = 0; k < op->in_count; k++)
        any_want |= want[k] = is_marked(&s->varying, op->in[k]);
    if (!any_dy || !any_want || !is_passable(op))
        return true;
    s->b->site = op->site;
    int count = op->in_count;
    if (!rules[op->code](&(struct gradient){s->b, op, dy, want, dx, s->scratch}))
        return false;
    for (int k = 0; k < count; k++)
        if (want[k] && dx[k] && !add_gradient(s, op->in[k], dx[k]))
            return false;
    return true;
}

static bool sweep_back(struct sweep *s, struct op *first, struct op *last) {
    for (struct op *op = last; op && op != first->prev; op = op->prev)
        if (!sweep_op(s, op))
            return false;
    return true;
}

bool gradient_reverse(struct builder *b, const struct reverse *r, struct value **dxs, struct arena *scratch) {
    struct sweep s = {.b = b, .scratch = scratch};
    map_init(&s.varying, scratch);
    map_init(&s.gradients, scratch);
    struct op *last = b->before ? b->before->prev : b->block->last;
    struct op *first = r->after ? r->after->next : b->block->first;
    if (last == r->after)
        last = NULL; /* no op at all */
    for (int k = 0; k < r->x_count; k++)
        mark(&s.varying, r->xs[k]);
    mark_dependents(first, last, &s.varying);
    const struct site *site = b->site;
    bool ok = true;
    for (int k = 0; k < r->y_count && ok; k++)
        if (r->dys[k] && is_marked(&s.varying, r->ys[k]))
            ok = add_gradient(&s, r->ys[k], r->dys[k]);
    ok = ok && sweep_back(&s, first, last);
    b->site = site;
    for (int k = 0; k < r->x_count; k++)
        dxs[k] = map_find(&s.gradients, r->xs[k]);
    return ok;
}

/* ---- pieces of graph that several rules are made of ---- */

const struct type *stack_type(struct types *types, const struct type *type, const struct dim *count,
                              struct arena *scratch) {
    const struct dim **dims = ARENA_ARRAY(scratch, const struct dim *, type->rank + 1);
    dims[0] = count;
    for (int axis = 0; axis < type->rank; axis++)
        dims[axis + 1] = type->dims[axis];
    return type_with_dims(types, type, type->rank + 1, dims);
}

int64_t *axes_counting(struct arena *arena, int64_t first, int count) {
    int64_t *axes = ARENA_ARRAY(arena, int64_t, count);
    for (int k = 0; k < count; k++)
        axes[k] = first + k;
    return axes;
}

bool axes_are_ascending(const int64_t *axes, int count) {
    for (int k = 0; k < count; k++)
        if (axes[k] != k)
            return false;
    return true;
}

struct value *build_flip(struct builder *b, struct value *x, int first, int count, struct arena *scratch) {
    struct types *types = b->graph->types;
    const struct dim *one = dim_const(types, 1), *zero = dim_const(types, 0);
    if (!x)
        return NULL;
    const struct dim **start = ARENA_ARRAY(scratch, const struct dim *, x->type->rank);
    int64_t *step = ARENA_ARRAY(scratch, int64_t, x->type->rank);
    bool any = false;
    for (int k = 0; k < x->type->rank; k++) {
        const struct dim *size = x->type->dims[k];
        bool turns = k >= first && k < first + count && size != one && size != zero;
        start[k] = turns ? dim_sub(types, size, one) : zero;
        step[k] = turns ? -1 : 1;
        any |= turns;
    }
    return any ? build_slice(b, x, start, step, x->type->dims) : x;
}

struct value *build_slice_at(struct builder *b, struct value *x, int axis, struct value *place,
                             struct arena *scratch) {
    if (!x)
        return NULL;
    int rank = x->type->rank;
    const struct dim **dims = ARENA_ARRAY(scratch, const struct dim *, rank);
    struct value **in = ARENA_ARRAY(scratch, struct value *, rank + 1);
    struct value *zero = rank > 1 ? build_int(b, DTYPE_i32, 0) : NULL;
    in[0] = x;
    for (int k = 0; k < rank; k++) {
        in[k + 1] = k == axis ? place : zero;
        dims[k] = k == axis ? dim_const(b->graph->types, 1) : x->type->dims[k];
    }
    const struct type *type = type_with_dims(b->graph->types, x->type, rank, dims);
    struct op *op = build_op(b, OP_dynamic_slice, in, rank + 1, NULL, 0, &type, 1);
    return op ? op->out[0] : NULL;
}

struct value *build_size(struct builder *b, const struct dim *size) {
    if (dim_is_const(size))
        return build_int(b, DTYPE_i32, dim_value(size));
    return build_cast(b, build_dim(b, size), DTYPE_i32);
}
