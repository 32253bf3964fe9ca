/* frontend/loop.c: `loop` (S2). A name that is alive before it and assigned in its body is carried: its
 * tensors are parameters of the region, and what the body leaves in the name is yielded. So are the states
 * that the body writes. */
#include "frontend/region.h"

#include <string.h>

struct loop {
    struct elab *e;
    const struct stmt *s;
    struct op *op;
    struct passage passage;
    struct region body, test;
    struct builder outside;
    const struct dim *turns; /* NULL: known at run time alone */
    int kept;                /* errors before */
};

/* What the names hold at the end of a loop's body, with the types that they had. */
static bool names_after(struct passage *p, struct leaves *after) {
    struct elab *e = p->e;
    for (int i = 0; i < p->names.count; i++) {
        const struct carried *c = &p->names.at[i];
        const struct binding *now = alive_binding(e, c->name);
        if (datum_is_error(now->datum))
            return false;
        if (!is_carriable(now->datum)) {
            fail(e, now->span, E_LOOP, "`%s` is carried by the loop and cannot become %s", c->name,
                 describe(e, now->datum));
            return false;
        }
        int from = after->count;
        if (!flatten(e, now->datum, &p->leaves, after, now->span))
            return false;
        bool same = after->count - from == c->count;
        for (int k = 0; k < c->count && same; k++)
            same = after->at[from + k]->type == p->leaves.at[c->first + k]->type;
        if (!same) {
            struct diag *diag = report_error(
                e, now->span, E_LOOP, "`%s` is carried by the loop: it is %s before the turn and %s after it",
                c->name, describe(e, c->before), describe(e, now->datum));
            diag_label(diag, c->span, "its value before the loop");
            if (c->before.kind == DATUM_LIST && now->datum.kind == DATUM_LIST)
                diag_hint(diag, "`yield` gathers a value of each turn: all = loop i in 0..n { ... yield x }");
            return false;
        }
    }
    return true;
}

static void forget_stand_in(struct elab *e, const struct state *state, struct value *old,
                            struct value *with) {
    value_replace(old, with);
    struct versions *versions = map_find(&e->versions, state);
    for (int i = 0; versions && i < versions->at.count; i++)
        if (versions->at.at[i].value == old)
            versions->at.at[i].value = with;
    for (struct stream *s = e->stream; s; s = s->parent)
        if (s->key == old)
            s->key = NULL;
}

static bool loop_bounds(struct loop *l, struct value **lo, struct value **hi, bool *reversed) {
    struct elab *e = l->e;
    if (!l->s->value) { /* loop while c */
        *lo = build_int(&e->b, DTYPE_i32, 0);
        *hi = build_int(&e->b, DTYPE_i32, INT32_MAX);
        return true;
    }
    struct datum d = evaluate(e, l->s->value);
    if (d.kind != DATUM_RANGE) {
        if (!datum_is_error(d))
            diag_hint(report_error(e, l->s->value->span, E_TYPE, "`loop` runs over a range a..b, this is %s",
                                   describe(e, d)),
                      "`for` unrolls over a list");
        return false;
    }
    const struct range *r = d.range;
    *reversed = r->reversed;
    *lo = to_tensor(e, r->lo, DTYPE_i32, l->s->value->span);
    *hi = to_tensor(e, r->hi, DTYPE_i32, l->s->value->span);
    if (r->lo.kind == DATUM_INT && r->hi.kind == DATUM_INT)
        l->turns = dim_sub(e->types, r->hi.size, r->lo.size);
    if (l->turns && dim_is_const(l->turns) && dim_value(l->turns) < 0)
        l->turns = dim_const(e->types, 0);
    return *lo && *hi;
}

/* Opens a region of the loop: its index and the carried names are its parameters. */
static void open_region(struct loop *l, struct region *region) {
    struct elab *e = l->e;
    struct block *block = op_add_region(e->graph, l->op);
    block->function = e->function;
    const char *index = l->s->pattern ? l->s->pattern->name.text : NULL;
    block_add_param(e->graph, block, type_scalar(e->types, DTYPE_i32), index);
    for (int i = 0; i < l->passage.names.count; i++)
        for (int k = 0; k < l->passage.names.at[i].count; k++)
            block_add_param(e->graph, block, l->passage.leaves.at[l->passage.names.at[i].first + k]->type,
                            l->passage.names.at[i].name);
    builder_at_end(&e->b, block);
    region_push(e, region, block, true);
    passage_bind(&l->passage, block->params + 1);
    e->frame->scope = scope_create(e->arena, SCOPE_BLOCK, e->frame->scope);
    if (index && strcmp(index, "_") != 0)
        scope_bind(e->frame->scope, index, datum_tensor(block->params[0]), l->s->pattern->span);
    struct loop_index turn = {block->params[0], e->loops};
    e->loops = arena_memdup(e->arena, &turn, sizeof turn);
}

static void close_region(struct loop *l, struct region *region) {
    l->e->loops = l->e->loops->outer;
    region_pop(l->e, region);
}

static void close_scope(struct loop *l) {
    l->e->frame->scope = l->e->frame->scope->parent;
}

static bool build_test(struct loop *l) {
    struct elab *e = l->e;
    open_region(l, &l->test);
    struct value *c = to_tensor(e, evaluate(e, l->s->cond), DTYPE_ANY, l->s->cond->span);
    if (c && c->type != type_scalar(e->types, DTYPE_bool)) {
        fail(e, l->s->cond->span, E_TYPE, "`while` wants bool[], this is %s", type_text(e->types, c->type));
        c = NULL;
    }
    if (c)
        build_yield(&e->b, &c, 1);
    close_region(l, &l->test);
    close_scope(l);
    return c != NULL;
}

static bool build_body(struct loop *l, struct leaves *after) {
    struct elab *e = l->e;
    open_region(l, &l->body);
    e->frame->barrier++;
    run_statements(e, l->s->body.first);
    e->frame->barrier--;
    close_scope(l);
    bool good = names_after(&l->passage, after);
    close_region(l, &l->body);
    return good && diags_error_count(e->diags) == l->kept;
}

/* Parameters for the states that the body writes; what it only reads comes from outside. */
static void settle_states(struct loop *l, struct region *region) {
    struct elab *e = l->e;
    for (int i = 0; i < l->body.states.count; i++) {
        struct current *written = &l->body.states.at[i];
        if (!written->written)
            continue;
        struct value *param = block_add_param(e->graph, region->block, written->weight->state->type,
                                              written->weight->state->name);
        struct current *here = region_find(region, written->weight->state);
        if (here && here->stand_in) {
            if (here->value == here->stand_in)
                here->value = param;
            forget_stand_in(e, written->weight->state, here->stand_in, param);
            here->stand_in = NULL;
        }
    }
    for (int i = 0; i < region->states.count; i++) {
        struct current *read = &region->states.at[i];
        if (!read->stand_in)
            continue;
        struct value *outside = state_current(e, read->weight);
        if (read->value == read->stand_in)
            read->value = outside;
        forget_stand_in(e, read->weight->state, read->stand_in, outside);
        read->stand_in = NULL;
    }
}

static const struct type *stacked(struct loop *l, const struct type *type) {
    struct elab *e = l->e;
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, type->rank + 1);
    dims[0] = l->turns;
    if (type->rank > 0)
        memcpy(dims + 1, type->dims, sizeof *dims * (size_t)type->rank);
    return type_with_dims(e->types, type, type->rank + 1, dims);
}

/* The body's yield: what is carried, then what is stacked. Its operands are uses, so stand-ins among them are
 * replaced with all others. Gives the number of carried values. */
static int yield_of_body(struct loop *l, const struct leaves *after, const struct weights *written,
                         const struct leaves *yields) {
    struct elab *e = l->e;
    struct leaves all = {0};
    for (int i = 0; i < after->count; i++)
        VEC_PUSH(e->arena, &all, after->at[i]);
    for (int i = 0; i < written->count; i++)
        VEC_PUSH(e->arena, &all, region_find(&l->body, written->at[i]->state)->value);
    int carried = all.count;
    for (int i = 0; i < yields->count; i++)
        VEC_PUSH(e->arena, &all, yields->at[i]);
    struct builder inside = l->outside;
    builder_at_end(&inside, l->body.block);
    build_yield(&inside, all.at, all.count);
    for (int i = 0; i < all.count; i++)
        op_add_out(e->graph, l->op, i < carried ? all.at[i]->type : stacked(l, all.at[i]->type));
    op_set_attr(e->graph, l->op, (struct attr){.name = ATTR_carried, .i = carried});
    return carried;
}

/* Operands, yield, results: op becomes a complete loop. */
static bool finish_loop(struct loop *l, const struct leaves *after, const struct leaves *yields) {
    struct elab *e = l->e;
    struct weights written = {0};
    written_states(e, &l->body, &written);
    for (int i = 0; i < l->passage.leaves.count; i++)
        op_add_in(e->graph, l->op, l->passage.leaves.at[i]);
    for (int i = 0; i < written.count; i++)
        op_add_in(e->graph, l->op, state_current(e, written.at[i]));
    yield_of_body(l, after, &written, yields);
    settle_states(l, &l->body);
    if (l->s->cond)
        settle_states(l, &l->test);
    if (!place_op(e, l->op))
        return false;
    passage_bind(&l->passage, l->op->out);
    states_become(e, &written, l->op->out + after->count, l->s->span);
    return true;
}

static struct datum loop_value(struct loop *l, int carried) {
    struct elab *e = l->e;
    if (l->body.yielded.count == 0)
        return datum_none();
    int next = 0;
    return rebuild(e, l->body.yielded.at[0], l->op->out + carried, &next);
}

static bool check_yield(struct loop *l, struct leaves *yields) {
    struct elab *e = l->e;
    if (l->body.yielded.count == 0)
        return true;
    if (!l->turns || l->s->cond) {
        struct diag *diag = report_error(e, l->body.yield_span, E_LOOP,
                                         "a loop that yields must have a known number of turns");
        diag_hint(diag,
                  l->s->cond ? "bound it without `while` and mask with `where`" : "its bounds must be ints");
        return false;
    }
    return flatten(e, l->body.yielded.at[0], NULL, yields, l->body.yield_span);
}

struct datum run_loop(struct elab *e, const struct stmt *s, bool as_value) {
    struct loop l = {.e = e, .s = s, .passage = {.e = e}, .kept = diags_error_count(e->diags)};
    struct value *bounds[2];
    bool reversed = false;
    if (s->pattern && !s->pattern->name.text)
        return fail(e, s->pattern->span, E_TYPE, "a loop has one index");
    if (e->in_constant)
        return fail(e, s->span, E_TIME, "a constant is computed with `for`, a `loop` runs later");
    if (!loop_bounds(&l, &bounds[0], &bounds[1], &reversed))
        return datum_error();
    passage_collect(&l.passage, s->body.first, true, s->span);
    const struct attr attrs[] = {{.name = ATTR_carried}, {.name = ATTR_reverse, .i = reversed}};
    l.op = op_create(e->graph, OP_loop, bounds, 2, attrs, 2, NULL, 0, e->b.site);
    l.outside = e->b;

    struct leaves after = {0}, yields = {0};
    bool good = build_body(&l, &after);
    if (good) {
        e->region = &l.body; /* the yielded numbers become tensors of the body */
        good = check_yield(&l, &yields);
        region_pop(e, &l.body);
    }
    if (good && s->cond)
        good = build_test(&l);
    e->b.block = l.outside.block;
    e->b.before = l.outside.before;
    passage_restore(&l.passage);
    if (!good || !finish_loop(&l, &after, &yields)) {
        passage_spoil(&l.passage);
        return datum_error();
    }
    if (as_value && l.body.yielded.count == 0)
        return fail(e, s->span, E_LOOP, "this loop is used as a value but yields nothing");
    return loop_value(&l, (int)op_int(l.op, ATTR_carried));
}

void run_yield(struct elab *e, const struct stmt *s) {
    struct datum d = evaluate(e, s->value);
    if (datum_is_error(d))
        return;
    struct region *region = e->region;
    if (!region || !region->is_loop || e->frame->barrier == 0) {
        fail(e, s->span, E_LOOP, "`yield` stands directly in the body of a `loop`");
        return;
    }
    if (region->yielded.count > 0) {
        diag_label(report_error(e, s->span, E_LOOP, "a loop yields once in a turn"), region->yield_span,
                   "the other yield");
        return;
    }
    if (!is_carriable(d)) {
        fail(e, s->value->span, E_TYPE, "a loop yields tensors, this is %s", describe(e, d));
        return;
    }
    VEC_PUSH(e->arena, &region->yielded, d);
    region->yield_span = s->span;
}
