/* passes/split_channels.c: a chain of ops in parts of its channels.
 *
 * The chain begins at a conv, whose parts take parts of its weights, and holds what is computed of each
 * channel, or group of channels, by itself: elementwise operators, norms over groups, views. It ends at convs
 * that sum over the channels: part by part, each adds its products to what there is. So no more than a part
 * of the chain is ever in memory, and nothing is computed twice. */
#include "passes/split.h"

#include "ir/build.h"
#include "passes/fuse.h"

enum { SMALL_PART = 16 }; /* an operand beside the chain that has to be cut is this much smaller at least */

struct chain {
    struct graph *graph;
    struct arena *arena;
    struct block *block;
    struct builder b;
    int parts;
    struct value *start;      /* what is made in parts first */
    struct map axis;          /* of a value of the chain: the axis that is cut, plus 1 */
    struct map behind;        /* values that need an end's sum */
    VEC(struct op *) ops;     /* of the chain, in order, without what makes `start` */
    VEC(struct op *) ends;    /* convs that sum over the channels */
    VEC(struct value *) sums; /* of the ends, so far */
    struct map part;          /* of a value of the chain: that of the present part */
    int at;                   /* the present part */
};

static int axis_of(const struct chain *c, const struct value *v) {
    return (int)(intptr_t)map_find(&c->axis, v) - 1;
}

static void set_axis(struct chain *c, const struct value *v, int axis) {
    map_put(&c->axis, v, (void *)(intptr_t)(axis + 1));
}

/* ---- which axis is cut ---- */

/* The axis of `to` that begins at the same place as `axis` of `from`, and can be cut. -1: none. */
static int axis_through_reshape(const struct chain *c, const struct type *from, int axis,
                                const struct type *to) {
    int64_t outer = 1, outside = 1;
    for (int i = 0; i < axis; i++)
        outer *= type_size(from, i);
    for (int i = 0; i < to->rank; i++) {
        if (outside == outer && type_size(to, i) > 1)
            return type_size(to, i) % c->parts == 0 ? i : -1;
        outside *= type_size(to, i);
    }
    return -1;
}

/* Of an elementwise op: all operands of the chain are cut at one axis, aligned at the end; others have one
 * element there, or are small enough to be cut. */
static int axis_of_map(const struct chain *c, const struct op *op) {
    const struct type *out = op->out[0]->type;
    int axis = -1;
    for (int i = 0; i < op->in_count; i++) {
        int own = axis_of(c, op->in[i]);
        int at = own < 0 ? -1 : own + out->rank - op->in[i]->type->rank;
        if (at >= 0 && axis >= 0 && at != axis)
            return -1;
        axis = at >= 0 ? at : axis;
    }
    for (int i = 0; i < op->in_count && axis >= 0; i++) {
        const struct type *type = op->in[i]->type;
        int at = axis - (out->rank - type->rank);
        bool is_cut = axis_of(c, op->in[i]) >= 0, is_one = at < 0 || type_size(type, at) == 1;
        if (is_cut ? type_size(type, at) != type_size(out, axis)
                   : !is_one && type_elements(type) * SMALL_PART > type_elements(c->start->type))
            return -1;
    }
    return axis;
}

static int axis_of_reduce(const struct chain *c, const struct op *op) {
    int count, axis = axis_of(c, op->in[0]), before = 0;
    const int64_t *axes = op_ints(op, ATTR_axes, &count);
    for (int i = 0; i < count; i++) {
        if (axes[i] == axis)
            return -1;
        before += axes[i] < axis;
    }
    return axis - before;
}

static bool sums_over_channels(const struct chain *c, const struct op *op) {
    return op->code == OP_conv && axis_of(c, op->in[0]) == 1 && axis_of(c, op->in[1]) < 0 &&
           op_int(op, ATTR_groups) == 1;
}

static int axis_of_result(const struct chain *c, const struct op *op) {
    if (op->out_count != 1)
        return -1;
    if (op->code == OP_reshape)
        return axis_through_reshape(c, op->in[0]->type, axis_of(c, op->in[0]), op->out[0]->type);
    if (op->code == OP_reduce)
        return axis_of_reduce(c, op);
    return op_class(op) == FUSE_MAP ? axis_of_map(c, op) : -1;
}

/* ---- finding the chain ---- */

static bool needs(const struct op *op, const struct map *values) {
    for (int i = 0; i < op->in_count; i++)
        if (map_has(values, op->in[i]))
            return true;
    return false;
}

/* What follows the conv on the same elements and for nobody else belongs to the start. */
static struct value *find_start(struct op *conv) {
    struct value *v = conv->out[0];
    while (value_use_count(v) == 1) {
        struct op *user = v->uses->user;
        if (op_class(user) != FUSE_MAP || type_elements(user->out[0]->type) != type_elements(v->type) ||
            user->out[0]->type->rank != v->type->rank || user->block != conv->block)
            break;
        v = user->out[0];
    }
    return v;
}

static bool find_chain(struct chain *c, struct op *conv) {
    c->start = find_start(conv);
    const struct type *type = c->start->type;
    if (type->rank < 3 || type_size(type, 1) % c->parts || op_int(conv, ATTR_groups) != 1)
        return false;
    set_axis(c, c->start, 1);
    for (struct op *op = c->start->def->next; op; op = op->next) {
        if (needs(op, &c->axis)) {
            bool is_end = sums_over_channels(c, op);
            int axis = is_end ? -1 : axis_of_result(c, op);
            if ((!is_end && axis < 0) || needs(op, &c->behind))
                return false;
            if (is_end) {
                VEC_PUSH(c->arena, &c->ends, op);
                map_put(&c->behind, op->out[0], op);
            } else {
                VEC_PUSH(c->arena, &c->ops, op);
                set_axis(c, op->out[0], axis);
            }
        } else if (needs(op, &c->behind)) {
            for (int i = 0; i < op->out_count; i++)
                map_put(&c->behind, op->out[i], op);
        }
    }
    return c->ends.count > 0;
}

/* ---- making the parts ---- */

static struct value *cut(struct chain *c, struct value *v, int axis) {
    const struct type *type = v->type;
    const struct dim **start = ARENA_ARRAY(c->arena, const struct dim *, type->rank + 1);
    const struct dim **size = ARENA_ARRAY(c->arena, const struct dim *, type->rank + 1);
    int64_t *step = ARENA_ARRAY(c->arena, int64_t, type->rank + 1), part = type_size(type, axis) / c->parts;
    for (int i = 0; i < type->rank; i++) {
        start[i] = dim_const(c->graph->types, i == axis ? c->at * part : 0);
        size[i] = i == axis ? dim_const(c->graph->types, part) : type->dims[i];
        step[i] = 1;
    }
    return build_slice(&c->b, v, start, step, size);
}

/* A value that is not of the chain, for an elementwise op whose result is cut at `axis` of `out`. */
static struct value *beside(struct chain *c, struct value *v, const struct type *out, int axis) {
    int at = axis - (out->rank - v->type->rank);
    return at < 0 || type_size(v->type, at) == 1 ? v : cut(c, v, at);
}

/* The present part of what makes the start: back to the conv. */
static struct value *make_start(struct chain *c, struct value *v, int axis) {
    struct op *op = v->def;
    if (op && op->code == OP_conv && axis == 1) {
        struct conv_attrs a;
        conv_attrs_get(op, &a);
        return build_conv(&c->b, op->in[0], cut(c, op->in[1], 0), &a);
    }
    bool is_own = op && op_class(op) == FUSE_MAP && (v == c->start || value_use_count(v) == 1);
    if (!is_own)
        return cut(c, v, axis);
    struct value **in = ARENA_ARRAY(c->arena, struct value *, op->in_count + 1);
    for (int i = 0; i < op->in_count; i++) {
        int at = axis - (v->type->rank - op->in[i]->type->rank);
        bool is_whole = at < 0 || type_size(op->in[i]->type, at) == 1;
        in[i] = is_whole ? op->in[i] : make_start(c, op->in[i], at);
    }
    struct op *made = build_op(&c->b, op->code, in, op->in_count, op->attrs, op->attr_count, NULL, 1);
    return made ? made->out[0] : NULL;
}

static struct value *part_of(const struct chain *c, struct value *v) {
    return map_find(&c->part, v);
}

static struct value *make_reshape(struct chain *c, const struct op *op) {
    const struct type *type = op->out[0]->type;
    const struct dim **dims = arena_memdup(c->arena, type->dims, sizeof(*dims) * (size_t)type->rank);
    int axis = axis_of(c, op->out[0]);
    dims[axis] = dim_const(c->graph->types, type_size(type, axis) / c->parts);
    return build_reshape(&c->b, part_of(c, op->in[0]), type->rank, dims);
}

static struct value *make_op(struct chain *c, const struct op *op) {
    if (op->code == OP_reshape)
        return make_reshape(c, op);
    struct value **in = ARENA_ARRAY(c->arena, struct value *, op->in_count + 1);
    for (int i = 0; i < op->in_count; i++)
        in[i] = axis_of(c, op->in[i]) >= 0 ? part_of(c, op->in[i])
                                           : beside(c, op->in[i], op->out[0]->type, axis_of(c, op->out[0]));
    struct op *made = build_op(&c->b, op->code, in, op->in_count, op->attrs, op->attr_count, NULL, 1);
    return made ? made->out[0] : NULL;
}

static struct value *make_end(struct chain *c, const struct op *conv, struct value *sum) {
    struct conv_attrs a;
    conv_attrs_get(conv, &a);
    struct value *product = build_conv(&c->b, part_of(c, conv->in[0]), cut(c, conv->in[1], 1), &a);
    return sum ? build_add(&c->b, sum, product) : product;
}

static bool make_part(struct chain *c) {
    map_init(&c->part, c->arena);
    struct value *v = make_start(c, c->start, 1);
    map_put(&c->part, c->start, v);
    for (int i = 0; i < c->ops.count && v; i++) {
        c->b.site = c->ops.at[i]->site;
        v = make_op(c, c->ops.at[i]);
        map_put(&c->part, c->ops.at[i]->out[0], v);
    }
    for (int i = 0; i < c->ends.count && v; i++) {
        c->b.site = c->ends.at[i]->site;
        v = c->sums.at[i] = make_end(c, c->ends.at[i], c->sums.at[i]);
    }
    return v != NULL;
}

/* What the op needs comes before the anchor, which it does not depend on. */
static void raise(struct op *op, struct op *anchor) {
    bool is_later = false;
    for (const struct op *at = anchor; at && !is_later; at = at->next)
        is_later = at == op;
    if (!is_later || op == anchor)
        return;
    for (int i = 0; i < op->in_count; i++)
        if (op->in[i]->def)
            raise(op->in[i]->def, anchor);
    op_move_before(op, anchor);
}

static void raise_operands(const struct chain *c, const struct op *op, struct op *anchor) {
    for (int i = 0; i < op->in_count; i++)
        if (op->in[i]->def && axis_of(c, op->in[i]) < 0)
            raise(op->in[i]->def, anchor);
}

bool split_channels(struct graph *graph, struct op *conv, int parts, struct arena *scratch,
                    struct diags *diags, bool *failed) {
    struct chain c = {.graph = graph, .arena = scratch, .block = conv->block, .parts = parts};
    map_init(&c.axis, scratch);
    map_init(&c.behind, scratch);
    if (!find_chain(&c, conv))
        return false;
    struct op *anchor = c.ends.at[0];
    for (int i = 0; i < c.ops.count; i++)
        raise_operands(&c, c.ops.at[i], anchor);
    for (int i = 0; i < c.ends.count; i++) {
        raise_operands(&c, c.ends.at[i], anchor);
        VEC_PUSH(scratch, &c.sums, NULL);
    }
    builder_init(&c.b, graph, conv->block, diags);
    builder_before(&c.b, anchor);
    c.b.site = conv->site;
    for (c.at = 0; c.at < parts; c.at++)
        if (!make_part(&c)) {
            *failed = true;
            return false;
        }
    for (int i = 0; i < c.ends.count; i++)
        value_replace(c.ends.at[i]->out[0], c.sums.at[i]);
    return true;
}
