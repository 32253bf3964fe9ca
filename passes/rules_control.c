/* passes/rules_control.c: rules of cond and loop. */
#include "base/map.h"
#include "passes/rules.h"

enum {
    SINK_MOST = 16
}; /* elements of a constant that is cheaper to make again in a region than to hand in */

/* The copy of a region in front of its op, with `values` holding its parameters; the results replace the
 * op's. */
static void open_region(struct match *m, const struct block *region, struct map *values) {
    struct op *op = m->op;
    block_clone_into(m->b->graph, region, op->block, op, values);
    const struct op *yield = block_yield(region);
    for (int i = 0; i < op->out_count; i++) {
        struct value *result = map_find(values, yield->in[i]);
        if (value_has_uses(op->out[i]))
            value_replace(op->out[i], result ? result : yield->in[i]);
    }
    op_erase(op);
}

static bool take_known_side(struct match *m) {
    double condition;
    if (!value_is_splat(m->op->in[0], &condition))
        return false;
    const struct block *side = m->op->regions[condition == 0];
    struct map values;
    map_init(&values, match_scratch(m));
    for (int i = 0; i < side->param_count; i++)
        map_put(&values, side->params[i], m->op->in[i + 1]);
    open_region(m, side, &values);
    return true;
}

/* A loop without a turn gives back what it carries, and stacks nothing. */
static bool skip_empty_loop(struct match *m) {
    struct op *op = m->op;
    double lo, hi;
    if (!value_is_splat(op->in[0], &lo) || !value_is_splat(op->in[1], &hi) || lo < hi)
        return false;
    int64_t carried = op_int(op, ATTR_carried);
    for (int i = 0; i < op->out_count; i++) {
        struct value *result = i < carried ? op->in[2 + i] : build_full(m->b, op->out[i]->type, 0);
        if (value_has_uses(op->out[i]))
            value_replace(op->out[i], result);
    }
    op_erase(op);
    return true;
}

/* The constant `value` again, at the builder's place; NULL: it is none, or too large. */
static struct value *constant_again(struct builder *b, const struct value *value) {
    double number;
    if (value_is_splat(value, &number))
        return build_full(b, value->type, number);
    const struct op *source = value_def(value, OP_const);
    if (!source || type_elements(value->type) > SINK_MOST)
        return NULL;
    return build_const(b, value->type, op_attr(source, ATTR_data)->data->bytes);
}

/* Constants are made in the region that uses them, where they can be folded; dce takes the capture away. */
static bool sink_constants(struct match *m) {
    struct op *op = m->op;
    struct builder inner = *m->b;
    bool changed = false;
    int shift = op_region_shift(op);
    for (int i = op_first_capture(op); i < op->in_count; i++)
        for (int r = 0; r < op->region_count; r++) {
            struct value *param = op->regions[r]->params[i - shift];
            if (!value_has_uses(param) || !op->in[i]->def)
                continue;
            builder_before(&inner, op->regions[r]->first);
            inner.site = op->in[i]->def->site;
            struct value *constant = constant_again(&inner, op->in[i]);
            if (!constant)
                break;
            match_changed(m, param);
            value_replace(param, constant);
            changed = true;
        }
    return changed;
}

/* The parameter of the region that value i of its yield is; NULL: it is none. */
static const struct value *yielded_param(const struct block *region, int i) {
    const struct value *value = block_yield(region)->in[i];
    return !value->def && value->block == region ? value : NULL;
}

/* What both sides of a cond hand on as it came needs no way through the op. */
static bool bypass_cond(struct match *m) {
    struct op *op = m->op;
    bool changed = false;
    for (int i = 0; i < op->out_count; i++) {
        const struct value *yes = yielded_param(op->regions[0], i), *no = yielded_param(op->regions[1], i);
        if (!yes || !no || yes->index != no->index || !value_has_uses(op->out[i]))
            continue;
        value_replace(op->out[i], op->in[yes->index + 1]);
        changed = true;
    }
    return changed;
}

/* What every turn of a loop hands on as it came is a capture, and its result the value before the loop. dce
 * takes the carried place away. */
static bool bypass_loop(struct match *m) {
    struct op *op = m->op;
    struct graph *graph = m->b->graph;
    int64_t carried = op_int(op, ATTR_carried);
    bool changed = false;
    for (int i = 0; i < carried; i++) {
        const struct value *same = yielded_param(op->regions[0], i);
        if (!same || same->index != i + 1)
            continue;
        if (value_has_uses(op->out[i]))
            value_replace(op->out[i], op->in[2 + i]);
        op_add_in(graph, op, op->in[2 + i]);
        for (int r = 0; r < op->region_count; r++) {
            struct value *param = op->regions[r]->params[i + 1];
            struct value *capture = block_add_param(graph, op->regions[r], param->type, param->name);
            if (value_has_uses(param))
                value_replace(param, capture);
        }
        changed = true;
    }
    return changed;
}

/* The examples of these are tests/passes/simplify/cond.test and loop.test: terms have no regions. */
static const struct rule controls[] = {
    APPLY("cond", NULL, take_known_side, NULL), APPLY("loop", NULL, skip_empty_loop, NULL),
    APPLY("cond", NULL, sink_constants, NULL),  APPLY("loop", NULL, sink_constants, NULL),
    APPLY("cond", NULL, bypass_cond, NULL),     APPLY("loop", NULL, bypass_loop, NULL),
};

const struct rule_set control_rules = {controls, sizeof(controls) / sizeof(*controls)};
