/* ir/ops_region.c: the gradients of operators with regions.
 *
 * Note [Gradients of regions]: the backward op of a region computes the forward region again, from the same
 * captures, and then its gradient. So a forward op need not hand out what happens inside it, and `remat`
 * keeps its meaning: what was not stored is not stored for the gradient either. Only `loop` hands out one
 * thing more, its carried values at the start of each turn, as stacks. Recomputed effects (reports, checks,
 * prints) are dropped: they have happened. */
#include "ir/gradient_rules.h"

#include <assert.h>
#include <string.h>

/* ---- tools ---- */

void block_sweep(struct block *block) {
    for (struct op *op = block->last, *before; op; op = before) {
        before = op->prev;
        bool used = !op_is_pure(op->code);
        for (int k = 0; k < op->out_count; k++)
            used |= value_has_uses(op->out[k]);
        if (!used)
            op_erase(op);
    }
}

struct op *build_region_op(struct builder *b, struct op *op) {
    for (int r = 0; r < op->region_count; r++)
        region_close(b->graph, op, op->regions[r]);
    if (!op_infer(b->graph, op, b->diags)) {
        op_erase(op);
        return NULL;
    }
    if (b->before)
        op_insert_before(op, b->before);
    else
        op_append(op, b->block);
    return op;
}

static void drop_effects(struct op *first, const struct op *end) {
    for (struct op *op = first, *next; op != end; op = next) {
        next = op->next;
        for (int r = 0; r < op->region_count; r++)
            drop_effects(op->regions[r]->first, NULL);
        if (op->code == OP_report || op->code == OP_check || op->code == OP_print)
            op_erase(op);
    }
}

/* Copies the ops of `region` to the builder's place and builds behind them the gradient by the xs, given that
 * by each yield. `map` holds what the parameters stand for. */
static bool build_region_gradient(struct builder *b, const struct block *region, struct map *map,
                                  struct value *const *dys, struct value *const *xs, int x_count,
                                  struct value **dxs, struct arena *scratch) {
    struct op *after = b->before ? b->before->prev : b->block->last;
    block_clone_into(b->graph, region, b->block, b->before, map);
    drop_effects(after ? after->next : b->block->first, b->before);
    const struct op *yield = block_yield(region);
    struct value **ys = ARENA_ARRAY(scratch, struct value *, yield->in_count);
    for (int k = 0; k < yield->in_count; k++)
        ys[k] = map_find(map, yield->in[k]);
    struct reverse reverse = {ys, dys, yield->in_count, xs, x_count, after};
    return gradient_reverse(b, &reverse, dxs, scratch);
}

/* The operands from `first` on that want a gradient; of equal ones the first, which gets it whole. */
static int *wanted_operands(struct gradient *g, int first, int *count) {
    int *wanted = ARENA_ARRAY(g->scratch, int, g->op->in_count);
    *count = 0;
    for (int k = first; k < g->op->in_count; k++) {
        bool seen = !g->want[k];
        for (int j = 0; j < *count && !seen; j++)
            seen = g->op->in[wanted[j]] == g->op->in[k];
        if (!seen)
            wanted[(*count)++] = k;
    }
    return wanted;
}

static struct value **operands_at(struct gradient *g, const int *indices, int count) {
    struct value **values = ARENA_ARRAY(g->scratch, struct value *, count);
    for (int k = 0; k < count; k++)
        values[k] = g->op->in[indices[k]];
    return values;
}

static struct value *or_zero(struct builder *b, struct value *value, const struct type *type) {
    return value ? value : build_full(b, type, 0);
}

/* The ops of `body`, whose parameters are op's operands, stand at the builder's place again, and the way back
 * through them behind them. */
bool open_and_reverse(struct gradient *g, const struct block *body) {
    struct op *op = g->op;
    struct map map;
    map_init(&map, g->scratch);
    for (int k = 0; k < op->in_count; k++)
        map_put(&map, body->params[k], op->in[k]);
    int count;
    const int *wanted = wanted_operands(g, 0, &count);
    struct value **dxs = ARENA_ARRAY(g->scratch, struct value *, count);
    if (!build_region_gradient(g->b, body, &map, g->dy, operands_at(g, wanted, count), count, dxs,
                               g->scratch))
        return false;
    for (int k = 0; k < count; k++)
        g->dx[wanted[k]] = dxs[k];
    return true;
}

/* ---- call ---- */

/* A composite `f_backward(operands..., results..., gradients of the float results...)`, where the library has
 * one, gives the gradients of f's float operands. */
static bool call_backward(struct gradient *g, struct function *backward) {
    struct op *op = g->op;
    struct value **in = ARENA_ARRAY(g->scratch, struct value *, op->in_count + 2 * op->out_count);
    int count = op->in_count;
    memcpy(in, op->in, sizeof *in * (size_t)count);
    memcpy(in + count, op->out, sizeof *in * (size_t)op->out_count);
    count += op->out_count;
    for (int k = 0; k < op->out_count; k++)
        if (dtype_is_float(op->out[k]->type->dtype))
            in[count++] = or_zero(g->b, g->dy[k], op->out[k]->type);
    struct attr attr = {.name = ATTR_function, .function = backward};
    const struct op *yield = block_yield(backward->body);
    struct op *call = build_op(g->b, OP_call, in, count, &attr, 1, NULL, yield ? yield->in_count : 0);
    if (!call)
        return false;
    int next = 0;
    for (int k = 0; k < op->in_count && next < call->out_count; k++)
        if (dtype_is_float(op->in[k]->type->dtype))
            g->dx[k] = call->out[next++];
    return true;
}

/* Without one the body is opened here and differentiated. Once `inline` has opened the forward call too,
 * `cse` finds that both are the same. */
bool grad_call(struct gradient *g) {
    struct op *op = g->op;
    const struct function *callee = op_attr(op, ATTR_function)->function;
    const char *name = arena_printf(g->scratch, "%s_backward", callee->name);
    struct function *backward = graph_find_function(g->b->graph, name);
    if (backward)
        return call_backward(g, backward);
    return open_and_reverse(g, callee->body);
}

/* ---- remat, cond: an op of the same kind, whose regions give the gradients by the captures ---- */

static bool grad_regions(struct gradient *g, int shift) {
    struct op *op = g->op;
    struct graph *graph = g->b->graph;
    int count;
    const int *wanted = wanted_operands(g, shift, &count);
    struct value **xs = operands_at(g, wanted, count);
    struct value **dxs = ARENA_ARRAY(g->scratch, struct value *, op->region_count * count);
    bool *reached = ARENA_ARRAY(g->scratch, bool, count);
    struct op *back =
        op_create(graph, op->code, op->in, shift, op->attrs, op->attr_count, NULL, 0, g->b->site);
    struct builder inner = *g->b;
    for (int r = 0; r < op->region_count; r++) {
        struct map map;
        map_init(&map, g->scratch);
        for (int k = shift; k < op->in_count; k++)
            map_put(&map, op->regions[r]->params[k - shift], op->in[k]);
        builder_at_end(&inner, op_add_region(graph, back));
        if (!build_region_gradient(&inner, op->regions[r], &map, g->dy, xs, count, dxs + r * count,
                                   g->scratch))
            return false;
        for (int k = 0; k < count; k++)
            reached[k] |= dxs[r * count + k] != NULL;
    }
    for (int r = 0; r < op->region_count;
         r++) { /* every region gives the same ones, zeros where it does not care */
        struct value **yields = ARENA_ARRAY(g->scratch, struct value *, count);
        int yield_count = 0;
        builder_at_end(&inner, back->regions[r]);
        for (int k = 0; k < count; k++)
            if (reached[k])
                yields[yield_count++] = or_zero(&inner, dxs[r * count + k], xs[k]->type);
        build_yield(&inner, yields, yield_count);
        block_sweep(back->regions[r]);
    }
    for (int k = 0; k < count; k++)
        if (reached[k])
            g->dx[wanted[k]] = op_add_out(graph, back, xs[k]->type);
    if (back->out_count == 0) {
        op_erase(back);
        return true;
    }
    return build_region_op(g->b, back) != NULL;
}

bool grad_cond(struct gradient *g) {
    return grad_regions(g, 1);
}
bool grad_remat(struct gradient *g) {
    return grad_regions(g, 0);
}

/* ---- loop ----
 *
 * The loop back makes the same turns in the opposite order. It carries the gradients by the carried values
 * and the sums of those by the captures; in each turn it reads the carried values of the forward turn from
 * their stacks, computes the turn again, and goes back through it. */

struct loop {
    struct gradient *g;
    struct op *op, *yield;
    struct block *body;
    int carried; /* how many the forward loop carries */
    const struct dim *turns;
    bool *varies, *matters; /* of each carried value: depends on what is wanted, and reaches the scalar */
    int *captures, capture_count; /* operands whose gradient is summed up */
    /* The loop back, while it is built: */
    struct builder inner;
    struct value *index, *turn; /* the forward turn's index, and its number once it is needed */
    struct value **saved;       /* a stand-in for each carried value at the start of the forward turn */
    struct value **carried_dx;  /* its parameter that holds the gradient by it; NULL: none */
    struct value **capture_dx;
};

/* What a value inside regions stands for outside of them, where it is a capture. */
static struct value *captured(struct value *value) {
    while (!value->def && value->block->owner) {
        struct op *owner = value->block->owner;
        int operand = value->index + op_region_shift(owner);
        if (operand < op_first_capture(owner) || operand >= owner->in_count)
            break;
        value = owner->in[operand];
    }
    return value;
}

/* The size that an i32[] is: a constant's, or that of a `dim` that was cast. NULL: it is known at run time
 * only. */
static const struct dim *size_of_value(struct types *types, struct value *value) {
    struct op *op = captured(value)->def;
    if (op && op->code == OP_cast)
        op = captured(op->in[0])->def;
    if (op && op->code == OP_dim)
        return op_attr(op, ATTR_size)->dim;
    if (!op || op->code != OP_const || dtype_bytes(op->out[0]->type->dtype) != 4)
        return NULL;
    int32_t number;
    memcpy(&number, op_attr(op, ATTR_data)->data->bytes, sizeof number);
    return dim_const(types, number);
}

/* NULL: reported. */
static const struct dim *count_turns(struct gradient *g) {
    struct op *op = g->op;
    struct types *types = g->b->graph->types;
    const struct dim *lo = size_of_value(types, op->in[0]), *hi = size_of_value(types, op->in[1]);
    if (op->region_count == 1 && op->out_count > op_int(op, ATTR_carried))
        return op->out[op->out_count - 1]->type->dims[0];
    if (op->region_count == 1 && lo && hi)
        return dim_compare(types, hi, lo) == -1 ? dim_const(types, 0) : dim_sub(types, hi, lo);
    diag_error_at(g->b->diags, op->site, E_GRAD,
                  "a loop whose number of turns is known at run time only has no gradient: bound it, and "
                  "mask turns with `where`");
    return NULL;
}

/* Repeats `find` until it adds no carried value more. */
static void loop_fixpoint(struct loop *l, bool find(struct loop *l)) {
    while (find(l))
        ;
}

/* Values that depend on what is wanted: carried ones too once a turn made them from such. */
static bool find_varying(struct loop *l) {
    struct map marked;
    bool more = false;
    map_init(&marked, l->g->scratch);
    for (int k = 2; k < l->op->in_count; k++)
        if (k < 2 + l->carried ? l->varies[k - 2] : l->g->want[k])
            mark(&marked, l->body->params[k - 1]);
    mark_dependents(l->body->first, l->body->last, &marked);
    for (int k = 0; k < l->carried; k++) {
        bool found = !l->varies[k] && map_has(&marked, l->yield->in[k]);
        l->varies[k] |= found;
        more |= found;
    }
    return more;
}

/* Carried values that reach something whose gradient is not zero; also finds which captures do. */
static bool find_mattering(struct loop *l) {
    struct map marked;
    bool more = false;
    map_init(&marked, l->g->scratch);
    for (int k = 0; k < l->yield->in_count; k++)
        if (k < l->carried ? l->matters[k] : k < l->op->out_count && l->g->dy[k])
            mark(&marked, l->yield->in[k]);
    mark_sources(l->body->first, l->body->last, &marked);
    for (int k = 0; k < l->carried; k++) {
        bool found = !l->matters[k] && map_has(&marked, l->body->params[k + 1]);
        l->matters[k] |= found;
        more |= found;
    }
    int count;
    const int *wanted = wanted_operands(l->g, 2 + l->carried, &count);
    l->capture_count = 0;
    for (int k = 0; k < count; k++)
        for (int j = wanted[k]; j < l->op->in_count; j++) /* any parameter that stands for the same value */
            if (l->op->in[j] == l->op->in[wanted[k]] && map_has(&marked, l->body->params[j - 1])) {
                l->captures[l->capture_count++] = wanted[k];
                break;
            }
    return more;
}

static void loop_analyse(struct loop *l) {
    struct arena *scratch = l->g->scratch;
    l->varies = ARENA_ARRAY(scratch, bool, l->carried);
    l->matters = ARENA_ARRAY(scratch, bool, l->carried);
    l->captures = ARENA_ARRAY(scratch, int, l->op->in_count);
    for (int k = 0; k < l->carried; k++) {
        l->varies[k] = l->g->want[k + 2];
        l->matters[k] = l->g->dy[k] != NULL;
    }
    loop_fixpoint(l, find_varying);
    loop_fixpoint(l, find_mattering);
}

static bool is_active(const struct loop *l, int carried) {
    return l->varies[carried] && l->matters[carried];
}

/* The forward loop's stack of a carried value at the start of each turn: one that it yields already, or a new
 * one. */
static struct value *stack_of(struct loop *l, int carried) {
    struct value *param = l->body->params[carried + 1];
    struct graph *graph = l->g->b->graph;
    for (int k = l->carried; k < l->yield->in_count; k++)
        if (l->yield->in[k] == param)
            return l->op->out[k];
    op_add_in(graph, l->yield, param);
    return op_add_out(graph, l->op, stack_type(graph->types, param->type, l->turns, l->g->scratch));
}

/* The number of the forward turn, from 0. */
static struct value *build_turn(struct loop *l, struct builder *b) {
    struct value *lo = l->op->in[0], *hi = l->op->in[1];
    if (!op_int(l->op, ATTR_reverse))
        return build_sub(b, l->index, lo);
    return build_sub(b, build_sub(b, hi, build_int(b, DTYPE_i32, 1)), l->index);
}

/* The element of a stack that belongs to this turn. */
static struct value *this_turns(struct loop *l, struct builder *b, struct value *stack) {
    if (!l->turn)
        l->turn = build_turn(l, b);
    struct value *row = l->turn ? build_slice_at(b, stack, 0, l->turn, l->g->scratch) : NULL;
    return row ? build_reshape(b, row, row->type->rank - 1, row->type->dims + 1) : NULL;
}

/* The loop back with its parameters and its carried values at the start; its results are not there yet. */
static struct op *start_loop_back(struct loop *l) {
    struct gradient *g = l->g;
    struct graph *graph = g->b->graph;
    struct value **in = ARENA_ARRAY(g->scratch, struct value *, 2 + l->carried + l->capture_count);
    int count = 2;
    in[0] = l->op->in[0];
    in[1] = l->op->in[1];
    for (int k = 0; k < l->carried; k++)
        if (is_active(l, k) && !(in[count++] = or_zero(g->b, g->dy[k], l->op->in[k + 2]->type)))
            return NULL;
    for (int k = 0; k < l->capture_count; k++)
        if (!(in[count++] = build_full(g->b, l->op->in[l->captures[k]]->type, 0)))
            return NULL;
    struct attr attrs[] = {{.name = ATTR_carried, .i = count - 2},
                           {.name = ATTR_reverse, .i = !op_int(l->op, ATTR_reverse)}};
    struct op *back = op_create(graph, OP_loop, in, count, attrs, 2, NULL, 0, g->b->site);
    struct block *block = op_add_region(graph, back);
    l->index = block_add_param(graph, block, type_scalar(graph->types, DTYPE_i32), NULL);
    l->carried_dx = ARENA_ARRAY(g->scratch, struct value *, l->carried);
    l->capture_dx = ARENA_ARRAY(g->scratch, struct value *, l->capture_count);
    for (int k = 0; k < l->carried; k++)
        if (is_active(l, k))
            l->carried_dx[k] = block_add_param(graph, block, l->op->in[k + 2]->type, NULL);
    for (int k = 0; k < l->capture_count; k++)
        l->capture_dx[k] = block_add_param(graph, block, l->op->in[l->captures[k]]->type, NULL);
    l->saved = ARENA_ARRAY(g->scratch, struct value *, l->carried);
    for (int k = 0; k < l->carried; k++)
        l->saved[k] = block_add_param(graph, block, l->op->in[k + 2]->type, NULL);
    builder_at_end(&l->inner, block);
    return back;
}

/* The gradients of what the forward turn yields. false: reported. */
static bool yield_gradients(struct loop *l, struct value **dys) {
    for (int k = 0; k < l->op->out_count; k++) {
        if (k < l->carried)
            dys[k] = l->carried_dx[k];
        else if (l->g->dy[k] && !(dys[k] = this_turns(l, &l->inner, l->g->dy[k])))
            return false;
    }
    return true;
}

/* The forward turn again, the way back through it, and the yield. false: reported. */
static bool fill_loop_back(struct loop *l) {
    struct gradient *g = l->g;
    struct map map;
    map_init(&map, g->scratch);
    map_put(&map, l->body->params[0], l->index);
    for (int k = 2; k < l->op->in_count; k++)
        map_put(&map, l->body->params[k - 1], k < 2 + l->carried ? l->saved[k - 2] : l->op->in[k]);
    struct value **dys = ARENA_ARRAY(g->scratch, struct value *, l->yield->in_count);
    struct value **xs = ARENA_ARRAY(g->scratch, struct value *, l->carried + l->capture_count), **dxs;
    struct value **yields = ARENA_ARRAY(g->scratch, struct value *, l->carried + l->capture_count);
    int count = 0;
    for (int k = 0; k < l->carried; k++)
        if (is_active(l, k))
            xs[count++] = l->saved[k];
    for (int k = 0; k < l->capture_count; k++)
        xs[count++] = l->op->in[l->captures[k]];
    dxs = ARENA_ARRAY(g->scratch, struct value *, count);
    if (!yield_gradients(l, dys) ||
        !build_region_gradient(&l->inner, l->body, &map, dys, xs, count, dxs, g->scratch))
        return false;
    int first_capture = count - l->capture_count;
    for (int k = 0; k < count; k++)
        yields[k] = k < first_capture ? or_zero(&l->inner, dxs[k], xs[k]->type)
                                      : build_accumulate(&l->inner, l->capture_dx[k - first_capture], dxs[k]);
    build_yield(&l->inner, yields, count);
    return block_yield(l->inner.block) != NULL;
}

/* What the turn reads of the carried values comes from the stacks, and the stand-ins go. false: reported. */
static bool read_saved_values(struct loop *l) {
    struct block *block = l->inner.block;
    struct builder b = l->inner;
    block_sweep(block);
    builder_before(&b, block->first);
    l->turn = NULL; /* the other one may stand further behind, or be swept away */
    for (int k = 0; k < l->carried; k++) {
        if (!value_has_uses(l->saved[k]))
            continue;
        struct value *value = this_turns(l, &b, stack_of(l, k));
        if (!value)
            return false;
        value_replace(l->saved[k], value);
    }
    block->param_count -= l->carried;
    block_sweep(block);
    return true;
}

bool grad_loop(struct gradient *g) {
    struct loop l = {.g = g,
                     .op = g->op,
                     .body = g->op->regions[0],
                     .carried = (int)op_int(g->op, ATTR_carried),
                     .inner = *g->b};
    l.yield = block_yield(l.body);
    l.turns = count_turns(g);
    if (!l.turns)
        return false;
    if (dim_is_const(l.turns) && dim_value(l.turns) == 0) { /* what comes in goes out */
        memcpy(g->dx + 2, g->dy, sizeof *g->dx * (size_t)l.carried);
        return true;
    }
    loop_analyse(&l);
    struct op *back = start_loop_back(&l);
    if (!back || !fill_loop_back(&l) || !read_saved_values(&l))
        return false;
    for (int k = 0; k < l.carried; k++)
        if (is_active(&l, k)) {
            struct value *dx = op_add_out(g->b->graph, back, l.op->in[k + 2]->type);
            if (g->want[k + 2])
                g->dx[k + 2] = dx;
        }
    for (int k = 0; k < l.capture_count; k++)
        g->dx[l.captures[k]] = op_add_out(g->b->graph, back, l.op->in[l.captures[k]]->type);
    return build_region_op(g->b, back) != NULL;
}
