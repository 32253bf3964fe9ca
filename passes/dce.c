/* passes/dce.c: dead code. Marks what the effects and results of a function need, value by value, through
 * regions in both directions; then sweeps ops, and of the ops with regions also single results, captures and
 * carried values. */
#include "passes/passes.h"

struct marker {
    struct arena *scratch;
    bool *ops, *values; /* by id */
    VEC(struct value *) work;
};

static void need(struct marker *m, struct value *value) {
    if (m->values[value->id])
        return;
    m->values[value->id] = true;
    VEC_PUSH(m->scratch, &m->work, value);
}

/* The op itself runs: what it needs whatever its results are. */
static void keep_op(struct marker *m, struct op *op) {
    if (m->ops[op->id])
        return;
    m->ops[op->id] = true;
    int always = op->region_count == 0 ? op->in_count : op->code == OP_cond ? 1 : op->code == OP_loop ? 2 : 0;
    for (int i = 0; i < always; i++)
        need(m, op->in[i]);
    if (op->code == OP_loop && op->region_count == 2)
        need(m, block_yield(op->regions[1])->in[0]);
    if (op->block->owner)
        keep_op(m, op->block->owner);
}

/* Carried value k of a loop: what it begins with and what each turn makes of it. */
static void need_carried(struct marker *m, struct op *loop, int k) {
    need(m, loop->in[2 + k]);
    need(m, block_yield(loop->regions[0])->in[k]);
}

static void need_result(struct marker *m, struct op *op, int index) {
    keep_op(m, op);
    if (op->code == OP_loop && index < op_int(op, ATTR_carried))
        need_carried(m, op, index);
    else if (op->code == OP_loop)
        need(m, block_yield(op->regions[0])->in[index]);
    else
        for (int r = 0; r < op->region_count; r++)
            need(m, block_yield(op->regions[r])->in[index]);
}

static void need_param(struct marker *m, struct value *param) {
    struct op *owner = param->block->owner;
    if (!owner)
        return;
    keep_op(m, owner);
    if (owner->code != OP_loop)
        need(m, owner->in[param->index + op_region_shift(owner)]);
    else if (param->index > op_int(owner, ATTR_carried))
        need(m, owner->in[param->index + 1]);
    else if (param->index > 0)
        need_carried(m, owner, param->index - 1);
}

/* Effects, and the inputs, which are the entry's signature. */
static void mark_roots(struct marker *m, struct block *block) {
    FOR_EACH_OP (op, block) {
        bool yields = op->code == OP_yield && block->owner;
        bool calls = op->code == OP_call && block_has_effects(op_attr(op, ATTR_function)->function->body);
        if ((!op_is_pure(op->code) && !yields) || op->code == OP_input || calls)
            keep_op(m, op);
        for (int r = 0; r < op->region_count; r++)
            mark_roots(m, op->regions[r]);
    }
}

/* ---- sweeping ---- */

static bool is_param_dead(const struct marker *m, const struct op *op, int index) {
    for (int r = 0; r < op->region_count; r++)
        if (m->values[op->regions[r]->params[index]->id])
            return false;
    return true;
}

static void drop_yield(struct op *op, int index) {
    for (int r = 0; r < (op->code == OP_loop ? 1 : op->region_count); r++)
        op_remove_in(block_yield(op->regions[r]), index);
    op_remove_out(op, index);
}

static void drop_param(struct op *op, int index) {
    for (int r = 0; r < op->region_count; r++)
        block_remove_param(op->regions[r], index);
    op_remove_in(op, index + op_region_shift(op));
}

/* What a loop goes on carrying: what is used behind it or by a turn. NULL for other ops. */
static bool *live_carried(const struct marker *m, const struct op *op) {
    if (op->code != OP_loop)
        return NULL;
    int64_t count = op_int(op, ATTR_carried);
    bool *live = ARENA_ARRAY(m->scratch, bool, count);
    for (int i = 0; i < count; i++)
        live[i] = m->values[op->out[i]->id] || !is_param_dead(m, op, 1 + i);
    return live;
}

static void drop_results(const struct marker *m, struct op *op, const bool *live, int64_t carried) {
    for (int i = op->out_count - 1; i >= 0; i--)
        if (i < carried ? !live[i] : !m->values[op->out[i]->id])
            drop_yield(op, i);
}

static void drop_params(const struct marker *m, struct graph *graph, struct op *op, const bool *live,
                        int64_t carried) {
    int own = op->code == OP_loop ? 1 : 0; /* the turn's index stands for no operand */
    int64_t left = carried;
    for (int i = op->regions[0]->param_count - 1; i >= own; i--) {
        bool is_carried = i - own < carried;
        if (is_carried ? live[i - own] : !is_param_dead(m, op, i))
            continue;
        drop_param(op, i);
        left -= is_carried;
    }
    if (left != carried)
        op_set_attr(graph, op, (struct attr){.name = ATTR_carried, .i = left});
}

/* Backwards, users before what they use: so a region loses what it yields in vain, then its dead ops, then
 * the parameters that nothing uses any more. */
static void sweep(const struct marker *m, struct graph *graph, struct block *block) {
    for (struct op *op = block->last, *before; op; op = before) {
        before = op->prev;
        if (!m->ops[op->id] && op->code != OP_yield) {
            op_erase(op);
            continue;
        }
        if (op->region_count == 0)
            continue;
        const bool *live = live_carried(m, op);
        int64_t carried = op->code == OP_loop ? op_int(op, ATTR_carried) : 0;
        drop_results(m, op, live, carried);
        for (int r = 0; r < op->region_count; r++)
            sweep(m, graph, op->regions[r]);
        drop_params(m, graph, op, live, carried);
    }
}

bool dce(struct graph *graph, struct pass_context *context) {
    struct marker m = {.scratch = context->scratch};
    m.ops = ARENA_ARRAY(m.scratch, bool, graph->next_op);
    m.values = ARENA_ARRAY(m.scratch, bool, graph->next_value);
    for (int i = 0; i < graph->functions.count; i++) {
        struct block *body = graph->functions.at[i]->body;
        mark_roots(&m, body);
        while (m.work.count > 0) {
            struct value *value = VEC_POP(&m.work);
            if (value->def)
                need_result(&m, value->def, value->index);
            else
                need_param(&m, value);
        }
        sweep(&m, graph, body);
    }
    return true;
}
