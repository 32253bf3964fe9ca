/* passes/attend.c: finds attention in plain operators and puts it into one op, `attend`, before gradients are
 * taken, so that its gradient need not keep the scores (Note [The gradient of attention]).
 *
 * Found is, by structure and under whatever name: dot(softmax(f(dot(q, k))), v), where f is elementwise
 * (scales, masks, biases; a second product may be added), the softmax is written as max, sub, exp, sum, div
 * along one of the two axes that are no batch, and nothing else reads a value between the dots. What f reads
 * besides scores is an operand of the op, but for what is a function of the index alone (a causal mask),
 * which goes into its region. */
#include "passes/passes.h"

#include "ir/attention.h"

#include <string.h>

struct finding {
    struct graph *graph;
    struct pass_context *context;
    struct arena *scratch;
    struct op *last; /* the dot behind the softmax */
    struct map
        inside; /* values on the way to it from the products: themselves; others that were asked: graph */
    VEC(struct op *) ops;
    struct op *attend;
    struct block *region;
    struct map copies; /* of values outside, that were made again in the region */
};

static bool same_dims(const struct type *a, const struct type *b) {
    return a->rank == b->rank &&
           (a->rank == 0 || !memcmp(a->dims, b->dims, sizeof(*a->dims) * (size_t)a->rank));
}

/* ---- what is inside ---- */

static bool is_row_view(const struct op *op) {
    return op->code == OP_reshape || op->code == OP_broadcast || op->code == OP_stop_gradient;
}

/* Whether value lies on a way from a product of the scores' shape, through elementwise operators and the
 * numbers of rows that a softmax makes. */
static bool comes_from_product(struct finding *f, struct value *value, const struct type *scores) {
    struct op *op = value->def;
    void *known = map_find(&f->inside, value);
    if (known)
        return known == value;
    map_put(&f->inside, value, f->graph);
    if (!op || op->out_count != 1 || op->region_count)
        return false;
    bool inside = op->code == OP_dot && same_dims(value->type, scores);
    bool follows = (op_infos[op->code].fuse == FUSE_MAP && value->type->rank == scores->rank) ||
                   (op->code == OP_reduce && same_dims(op->in[0]->type, scores)) || is_row_view(op);
    for (int i = 0; follows && i < op->in_count; i++)
        inside |= comes_from_product(f, op->in[i], scores);
    if (inside) {
        map_put(&f->inside, value, value);
        VEC_PUSH(f->scratch, &f->ops, op); /* behind its operands */
    }
    return inside;
}

static bool is_inside(const struct finding *f, const struct value *value) {
    return map_find(&f->inside, value) == value;
}

/* A value between the dots that another op reads; NULL: there is none. */
static const struct op *find_other_reader(const struct finding *f) {
    for (int i = 0; i < f->ops.count; i++)
        FOR_EACH_USE (use, f->ops.at[i]->out[0])
            if (use->user != f->last && (use->user->out_count != 1 || !is_inside(f, use->user->out[0])))
                return use->user;
    return NULL;
}

/* ---- the region ---- */

static bool is_index_function(const struct value *value) {
    const struct op *op = value->def;
    if (!op || op->out_count != 1)
        return false;
    if (op->code == OP_iota || (op->code == OP_const && value->type->rank == 0))
        return true;
    bool follows = (op_infos[op->code].fuse == FUSE_MAP && op->in_count > 0) || op->code == OP_reshape ||
                   op->code == OP_broadcast;
    for (int i = 0; follows && i < op->in_count; i++)
        follows = is_index_function(op->in[i]);
    return follows;
}

static struct value *copy_index_function(struct finding *f, struct value *value) {
    struct value *copy = map_find(&f->copies, value);
    if (copy)
        return copy;
    const struct op *op = value->def;
    struct value **in = ARENA_ARRAY(f->scratch, struct value *, op->in_count + 1);
    for (int i = 0; i < op->in_count; i++)
        in[i] = copy_index_function(f, op->in[i]);
    struct op *made =
        op_create(f->graph, op->code, in, op->in_count, op->attrs, op->attr_count, &value->type, 1, op->site);
    op_append(made, f->region);
    map_put(&f->copies, value, made->out[0]);
    return made->out[0];
}

static struct value *operand(struct finding *f, struct value *value) {
    op_add_in(f->graph, f->attend, value);
    return block_add_param(f->graph, f->region, value->type, value->name);
}

/* What an op of the region takes in the place of `value`. Each operand of a product is its own. */
static struct value *inner_value(struct finding *f, const struct op *user, struct value *value) {
    struct value *inner = map_find(&f->copies, value);
    if (inner && (is_inside(f, value) || user->code != OP_dot))
        return inner;
    if (user->code != OP_dot && is_index_function(value))
        return copy_index_function(f, value);
    inner = operand(f, value);
    if (user->code != OP_dot)
        map_put(&f->copies, value, inner);
    return inner;
}

static void copy_op(struct finding *f, const struct op *op) {
    struct value **in = ARENA_ARRAY(f->scratch, struct value *, op->in_count + 1);
    for (int i = 0; i < op->in_count; i++)
        in[i] = inner_value(f, op, op->in[i]);
    struct op *copy = op_create(f->graph, op->code, in, op->in_count, op->attrs, op->attr_count,
                                &op->out[0]->type, 1, op->site);
    op_append(copy, f->region);
    map_put(&f->copies, op->out[0], copy->out[0]);
}

static void build_attend(struct finding *f) {
    f->attend = op_create(f->graph, OP_attend, NULL, 0, NULL, 0, &f->last->out[0]->type, 1, f->last->site);
    f->region = op_add_region(f->graph, f->attend);
    for (int i = 0; i < f->ops.count; i++)
        copy_op(f, f->ops.at[i]);
    copy_op(f, f->last);
    struct value *result = map_find(&f->copies, f->last->out[0]);
    op_append(op_create(f->graph, OP_yield, &result, 1, NULL, 0, NULL, 0, f->last->site), f->region);
}

/* ---- near misses ---- */

static void explain(const struct finding *f, const char *why) {
    struct span span = f->last->site->span;
    int line = 0, column;
    if (!f->context->why)
        return;
    if (span_is_known(span)) {
        source_locate(span.source, span.begin, &line, &column);
        strbuf_printf(f->context->why, "%s:%d: ", span.source->name, line);
    }
    strbuf_printf(f->context->why, "attention with all its scores in memory: %s\n", why);
}

static void give_up(struct finding *f, const char *why) {
    explain(f, why);
    op_erase(f->attend);
}

/* ---- the search ---- */

static struct value *weights_of(const struct op *dot, struct attention *softmax) {
    for (int side = 0; side < 2; side++)
        if (attention_find_softmax(dot->in[side], softmax))
            return dot->in[side];
    return NULL;
}

/* The op in front of which the search goes on. */
static void replace(struct finding *f) {
    op_insert_before(f->attend, f->last);
    f->attend->out[0]->name = f->last->out[0]->name;
    value_replace(f->last->out[0], f->attend->out[0]);
    op_erase(f->last);
    for (int i = f->ops.count - 1; i >= 0; i--)
        op_erase(f->ops.at[i]);
}

static void try_dot(struct graph *graph, struct pass_context *context, struct op *dot) {
    struct attention softmax = {0}, read;
    struct value *weights = weights_of(dot, &softmax);
    struct finding f = {.graph = graph, .context = context, .scratch = context->scratch, .last = dot};
    if (!weights)
        return;
    map_init(&f.inside, f.scratch);
    map_init(&f.copies, f.scratch);
    if (!comes_from_product(&f, weights, weights->type))
        return;
    if (find_other_reader(&f)) {
        explain(&f, "another operator reads scores, or what is between them and the sum");
        return;
    }
    build_attend(&f);
    const char *why = attention_read(f.region, f.scratch, &read);
    if (why)
        give_up(&f, why);
    else
        replace(&f);
}

static void visit(struct graph *graph, struct pass_context *context, struct block *block) {
    for (struct op *op = block->first, *next; op; op = next) {
        next = op->next;
        for (int r = 0; op->code != OP_attend && r < op->region_count; r++)
            visit(graph, context, op->regions[r]);
        if (op->code == OP_dot)
            try_dot(graph, context, op);
    }
}

bool attend(struct graph *graph, struct pass_context *context) {
    for (int i = 0; i < graph->functions.count; i++)
        visit(graph, context, graph->functions.at[i]->body);
    return true;
}
