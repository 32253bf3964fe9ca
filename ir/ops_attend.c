/* ir/ops_attend.c: the gradient of attention, whose scores are computed again and never stored.
 *
 * Note [The gradient of attention] (Dao et al. 2022, algorithm 4; Dao 2023, section 3.1.) With logits
 * t = f(q k^T, captures), L = log(sum(exp(t))) of each row, P = exp(t - L), O = P v:
 *     dv = P^T dO, dP = dO v^T, D = sum(O dO) of each row, dt = P (dP - D),
 * and dq, dk and those of the captures as the logits' own rules have them. The forward op hands out L, one
 * number a row; D is one too. The backward op is an `attend` again, without a softmax. Its own gradient, and
 * that of any other region, is the one of plain operators, opened at its place. */
#include "ir/attention.h"
#include "ir/gradient_rules.h"

/* The way back while it is built. */
struct backward {
    struct gradient *g;
    struct attention a;
    int sum_result;    /* which result of the op is O */
    struct op *back;   /* the op that is built, */
    struct map map;    /* from the forward region's values to those of its own region */
    struct builder b;  /* at the end of that */
    struct value **in; /* by operand of the op: what back takes in its place */
};

static const struct attention_result *sum_result(const struct backward *w) {
    return &w->a.results[w->sum_result];
}

static bool is_operand_of_dots(const struct value *param) {
    FOR_EACH_USE (use, param)
        if (use->user->code == OP_dot)
            return true;
    return false;
}

/* Operands of products have one use each, captures are read by elementwise operators alone. */
static bool params_are_plain(const struct block *region) {
    for (int i = 0; i < region->param_count; i++) {
        const struct value *param = region->params[i];
        bool of_dots = is_operand_of_dots(param);
        if (of_dots && value_use_count(param) != 1)
            return false;
        FOR_EACH_USE (use, param)
            if (!of_dots && op_infos[use->user->code].fuse != FUSE_MAP)
                return false;
    }
    return true;
}

/* Whether the op is a forward one as the pass `attend` makes it, and only O has a gradient. */
static bool is_forward(struct backward *w) {
    struct gradient *g = w->g;
    const struct block *region = g->op->regions[0];
    if (attention_read(region, g->scratch, &w->a) || !w->a.has_softmax || !params_are_plain(region))
        return false;
    for (int i = 0; i < w->a.result_count; i++) {
        if (w->a.results[i].kind == ATTENTION_SUM)
            w->sum_result = i;
        else if (g->dy[i])
            return false;
    }
    const struct attention_result *sum = sum_result(w);
    return g->dy[w->sum_result] && sum->value == sum->dot->out[0] && !sum->dot->in[1 - sum->side]->def;
}

/* The greatest logits are a constant for the gradient's sake where they are one in the softmax: L's gradient
 * is the softmax then too. */
static struct value *greatest(struct backward *w, struct builder *b) {
    struct value *max = w->a.max->out[0];
    for (const struct value *v = w->a.max_in_use; v != max; v = v->def->in[0])
        if (v->def->code == OP_stop_gradient)
            return build_unary(b, OP_stop_gradient, max);
    return max;
}

/* L as a result of the forward op. */
static struct value *log_sums(struct backward *w) {
    struct op *op = w->g->op, *yield = block_yield(op->regions[0]);
    for (int i = 0; i < w->a.result_count; i++)
        if (w->a.results[i].kind == ATTENTION_LOG_SUM)
            return op->out[i];
    struct builder b = *w->g->b;
    builder_before(&b, yield);
    b.block = op->regions[0];
    struct value *log = build_unary(&b, OP_log, w->a.sum->out[0]);
    struct value *sums = build_add(&b, log, greatest(w, &b));
    if (!sums)
        return NULL;
    op_add_in(b.graph, yield, sums);
    return op_add_out(b.graph, op, sums->type);
}

/* D: sum(O dO) over the axis that is not of rows, in the dtype of the logits. */
static struct value *row_sums(struct backward *w, struct value *dy) {
    const struct attention_result *sum = sum_result(w);
    enum dtype dtype = w->a.logits->type->dtype;
    struct value *o = build_cast(w->g->b, w->g->op->out[w->sum_result], dtype);
    dy = build_cast(w->g->b, dy, dtype);
    int64_t axis = sum->side == 0 ? o->type->rank - 1 : o->type->rank - 2;
    return build_reduce(w->g->b, build_mul(w->g->b, o, dy), "sum", &axis, 1);
}

/* A capture whose gradient is wanted is spread over both axes of rows, so that its gradient is one of scores
 * that at most batch axes are summed of; what remains is summed behind the op. */
static struct value *spread(struct backward *w, int i) {
    struct value *x = w->g->op->in[i];
    const struct type *scores = w->a.scores;
    int rank = x->type->rank < 2 ? 2 : x->type->rank;
    const struct dim **dims = ARENA_ARRAY(w->g->scratch, const struct dim *, rank);
    if (!w->g->want[i] || is_operand_of_dots(w->g->op->regions[0]->params[i]))
        return x;
    for (int k = 0; k < rank; k++)
        dims[k] = k < rank - 2 ? x->type->dims[k] : scores->dims[scores->rank - rank + k];
    return build_broadcast_to(w->g->b, x, type_with_dims(w->g->b->graph->types, x->type, rank, dims));
}

static struct value *add_operand(struct backward *w, struct value *x) {
    if (!x)
        return NULL;
    op_add_in(w->b.graph, w->back, x);
    return block_add_param(w->b.graph, w->back->regions[0], x->type, x->name);
}

/* A number of each row, in the shape of the scores but for one element along the other axis. */
static struct value *along_rows(struct backward *w, struct builder *b, struct value *rows) {
    const struct type *scores = w->a.scores;
    int axis = w->a.along_y ? w->a.batch + 1 : w->a.batch;
    const struct dim **dims = ARENA_ARRAY(w->g->scratch, const struct dim *, scores->rank);
    for (int i = 0; i < scores->rank; i++)
        dims[i] = i == axis ? dim_const(w->b.graph->types, 1) : scores->dims[i];
    return rows ? build_reshape(b, rows, scores->rank, dims) : NULL;
}

/* The operators of the way back; dxs[i] is the gradient by the parameter in place of operand i. */
static bool build_way_back(struct backward *w, struct value *dy, struct value *logs, struct value *sums,
                           struct value **dxs) {
    struct gradient *g = w->g;
    const struct attention_result *sum = sum_result(w);
    int count = g->op->in_count, wanted = 0, v = sum->dot->in[1 - sum->side]->index;
    block_clone_into(g->b->graph, g->op->regions[0], w->b.block, NULL, &w->map);
    struct value *logits = map_find(&w->map, w->a.logits), *old = map_find(&w->map, w->a.weights);
    struct value *o = map_find(&w->map, sum->value);
    struct builder in_front = w->b;
    builder_before(&in_front, old->def);
    struct value *p =
        build_unary(&in_front, OP_exp, build_sub(&in_front, logits, along_rows(w, &in_front, logs)));
    if (!p)
        return false;
    value_replace(old, p);
    struct value *xs[2] = {p, w->back->regions[0]->params[v]}, *by[2];
    struct reverse through_sum = {&o, &dy, 1, xs, g->want[v] ? 2 : 1, NULL};
    if (!gradient_reverse(&w->b, &through_sum, by, g->scratch))
        return false;
    struct value *dt = build_mul(&w->b, p, build_sub(&w->b, by[0], along_rows(w, &w->b, sums)));
    struct value **params = ARENA_ARRAY(g->scratch, struct value *, count);
    struct value **back = ARENA_ARRAY(g->scratch, struct value *, count);
    for (int i = 0; i < count; i++)
        if (g->want[i] && i != v)
            params[wanted++] = w->back->regions[0]->params[i];
    struct reverse through_logits = {&logits, &dt, 1, params, wanted, NULL};
    if (!dt || (wanted && !gradient_reverse(&w->b, &through_logits, back, g->scratch)))
        return false;
    for (int i = 0; i < wanted; i++)
        dxs[params[i]->index] = back[i];
    if (g->want[v])
        dxs[v] = by[1];
    return true;
}

/* The results of the way back become the op's, and the gradients by its operands. */
static bool finish_way_back(struct backward *w, struct value **dxs) {
    struct gradient *g = w->g;
    int count = 0, *operand = ARENA_ARRAY(g->scratch, int, g->op->in_count);
    struct value **yields = ARENA_ARRAY(g->scratch, struct value *, g->op->in_count);
    for (int i = 0; i < g->op->in_count; i++)
        if (dxs[i]) {
            operand[count] = i;
            yields[count++] = dxs[i];
        }
    build_yield(&w->b, yields, count);
    block_sweep(w->back->regions[0]);
    if (!count) {
        op_erase(w->back);
        return true;
    }
    for (int i = 0; i < count; i++)
        op_add_out(g->b->graph, w->back, yields[i]->type);
    if (!build_region_op(g->b, w->back))
        return false;
    for (int i = 0; i < count; i++) {
        const struct type *type = g->op->in[operand[i]]->type;
        struct value *dx = w->back->out[i];
        g->dx[operand[i]] = dx->type == type ? dx : build_sum_to(g->b, dx, type);
        if (!g->dx[operand[i]])
            return false;
    }
    return true;
}

bool grad_attend(struct gradient *g) {
    struct backward w = {.g = g, .b = *g->b};
    struct op *op = g->op;
    if (!is_forward(&w))
        return open_and_reverse(g, op->regions[0]);
    struct value *dy = g->dy[w.sum_result], *logs = log_sums(&w), *sums = row_sums(&w, dy);
    w.back = op_create(g->b->graph, OP_attend, NULL, 0, NULL, 0, NULL, 0, g->b->site);
    builder_at_end(&w.b, op_add_region(g->b->graph, w.back));
    map_init(&w.map, g->scratch);
    for (int i = 0; i < op->in_count; i++) {
        struct value *param = add_operand(&w, spread(&w, i));
        if (!param)
            return false;
        map_put(&w.map, op->regions[0]->params[i], param);
    }
    struct value *inner_dy = add_operand(&w, dy), *inner_logs = add_operand(&w, logs),
                 *inner_sums = add_operand(&w, sums);
    struct value **dxs = ARENA_ARRAY(g->scratch, struct value *, op->in_count);
    return inner_logs && inner_sums && build_way_back(&w, inner_dy, inner_logs, inner_sums, dxs) &&
           finish_way_back(&w, dxs);
}
