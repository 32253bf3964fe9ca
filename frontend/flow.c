/* frontend/flow.c: `loop` and `when`: statements that become regions of the graph (S1, S2).
 *
 * A name that is alive before a loop and assigned in its body is carried: its tensors are parameters of the
 * region, and what the body leaves in the name is yielded. A name that a `when` assigns is merged. Regions
 * are built with open captures, that is, with uses of outside values, and closed at the end. */
#include "frontend/elab.h"

#include <string.h>

/* ---- the names that a block assigns ---- */

struct assigned {
    struct elab *e;
    struct name_set names;
};

static void add_assigned(struct assigned *a, const char *name) {
    if (name && strcmp(name, "_") != 0 && !name_set_has(&a->names, name))
        VEC_PUSH(a->e->arena, &a->names.names, name);
}

static void assigned_by_pattern(struct assigned *a, const struct pattern *pattern) {
    for (; pattern; pattern = pattern->next) {
        add_assigned(a, pattern->name.text);
        assigned_by_pattern(a, pattern->parts);
    }
}

static void assigned_by(struct assigned *a, const struct stmt *s) {
    for (; s; s = s->next) {
        if (s->kind == STMT_ASSIGN) {
            const struct expr *place = s->place;
            while (place->kind == EXPR_INDEX)
                place = place->a;
            if (place->kind == EXPR_NAME)
                add_assigned(a, place->name.text);
        } else if (s->kind == STMT_TYPED || s->kind == STMT_CONST) {
            add_assigned(a, s->name.text);
        } else if (s->kind == STMT_UNPACK) {
            assigned_by_pattern(a, s->pattern);
        }
        assigned_by(a, s->body.first);
        assigned_by(a, s->otherwise.first);
    }
}

/* ---- tensors inside a value ---- */

struct leaves {
    struct value **at;
    int count, capacity;
};
struct weights {
    struct weight **at;
    int count, capacity;
};

/* Whether a value can go through a region: tensors, numbers, and lists and tuples of them. */
static bool is_carriable(struct datum d) {
    if (datum_is_sequence(d)) {
        for (int i = 0; i < d.list->count; i++)
            if (!is_carriable(d.list->at[i]))
                return false;
        return true;
    }
    return datum_is_number(d) || datum_is_run_time(d) || d.kind == DATUM_BOOL;
}

/* The tensors of a value in order; `like` (may be NULL) says what dtypes numbers take. */
static bool flatten(struct elab *e, struct datum d, const struct leaves *like, struct leaves *out,
                    struct span span) {
    if (datum_is_sequence(d)) {
        for (int i = 0; i < d.list->count; i++)
            if (!flatten(e, d.list->at[i], like, out, span))
                return false;
        return true;
    }
    int dtype = like && out->count < like->count ? (int)like->at[out->count]->type->dtype : DTYPE_ANY;
    struct value *x = to_tensor(e, d, dtype, span);
    VEC_PUSH(e->arena, out, x);
    return x != NULL;
}

/* The value with the shape of d whose tensors are at[*next..]. */
static struct datum rebuild(struct elab *e, struct datum d, struct value *const *at, int *next) {
    if (!datum_is_sequence(d))
        return datum_tensor(at[(*next)++]);
    d = datum_copy(e->arena, d);
    for (int i = 0; i < d.list->count; i++)
        *datum_at(d, i) = rebuild(e, d.list->at[i], at, next);
    return d;
}

/* ---- names that go through a region ---- */

struct carried {
    const char *name;
    struct datum before;
    struct span span; /* where it was bound before */
    int first, count; /* its tensors among all */
};
struct passage {
    struct elab *e;
    VEC(struct carried) names;
    struct leaves leaves; /* the values before */
};

/* The binding of a name that is alive here and that an assignment here would change. */
static struct binding *alive_binding(struct elab *e, const char *name) {
    for (struct scope *s = e->frame->scope; s; s = s->parent) {
        struct binding *found = scope_find_here(s, name);
        if (found || s->kind != SCOPE_BLOCK)
            return found;
    }
    return NULL;
}

static void add_passing(struct passage *p, const char *name, struct span span) {
    struct binding *found = alive_binding(p->e, name);
    if (!found || !is_carriable(found->datum))
        return;
    struct carried c = {name, found->datum, found->span, p->leaves.count, 0};
    if (!flatten(p->e, found->datum, NULL, &p->leaves, span))
        return;
    c.count = p->leaves.count - c.first;
    VEC_PUSH(p->e->arena, &p->names, c);
}

/* Of a `when`: its tensors are captured as they are, so nothing is flattened before it is known what changes.
 */
static void note_passing(struct passage *p, const char *name) {
    struct binding *found = alive_binding(p->e, name);
    if (found)
        VEC_PUSH(p->e->arena, &p->names, ((struct carried){name, found->datum, found->span, 0, 0}));
}

static void bind_names(struct passage *p, struct value *const *values) {
    for (int i = 0; i < p->names.count; i++) {
        struct carried *c = &p->names.at[i];
        int next = c->first;
        struct binding *found = alive_binding(p->e, c->name);
        found->datum = rebuild(p->e, c->before, values, &next);
    }
}

static void restore_names(struct passage *p) {
    for (int i = 0; i < p->names.count; i++)
        alive_binding(p->e, p->names.at[i].name)->datum = p->names.at[i].before;
}

/* What the names hold at the end of a loop's body, with the types that they had. */
static bool names_after(struct passage *p, struct leaves *after) {
    struct elab *e = p->e;
    for (int i = 0; i < p->names.count; i++) {
        const struct carried *c = &p->names.at[i];
        const struct binding *now = alive_binding(e, c->name);
        if (datum_is_error(now->datum))
            return false;
        if (!is_carriable(now->datum)) {
            fail(e, now->span, E_LOOP, "%s is carried by the loop and cannot become %s", c->name,
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
                e, now->span, E_LOOP, "%s is carried by the loop: it is %s before the turn and %s after it",
                c->name, describe(e, c->before), describe(e, now->datum));
            diag_label(diag, c->span, "its value before the loop");
            return false;
        }
    }
    return true;
}

/* ---- states ---- */

static void forget_stand_in(struct elab *e, struct value *old, struct value *with) {
    value_replace(old, with);
    for (int i = 0; i < e->versions.count; i++)
        if (e->versions.at[i].value == old)
            e->versions.at[i].value = with;
    for (struct stream *s = e->stream; s; s = s->parent)
        if (s->key == old)
            s->key = NULL;
}

/* ---- loop ---- */

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
static struct block *open_region(struct loop *l, struct region *region) {
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
    bind_names(&l->passage, block->params + 1);
    e->frame->scope = scope_create(e->arena, SCOPE_BLOCK, e->frame->scope);
    if (index && strcmp(index, "_") != 0)
        scope_bind(e->frame->scope, index, datum_tensor(block->params[0]), l->s->pattern->span);
    return block;
}

static void close_scope(struct loop *l) {
    l->e->frame->scope = l->e->frame->scope->parent;
}

static bool build_test(struct loop *l) {
    struct elab *e = l->e;
    struct block *block = open_region(l, &l->test);
    struct value *c = to_tensor(e, evaluate(e, l->s->cond), DTYPE_ANY, l->s->cond->span);
    if (c && c->type != type_scalar(e->types, DTYPE_bool)) {
        fail(e, l->s->cond->span, E_TYPE, "`while` wants bool[], this is %s", type_text(e->types, c->type));
        c = NULL;
    }
    if (c)
        build_yield(&e->b, &c, 1);
    region_pop(e, &l->test);
    close_scope(l);
    (void)block;
    return c != NULL;
}

static bool build_body(struct loop *l, struct leaves *after) {
    struct elab *e = l->e;
    struct block *block = open_region(l, &l->body);
    struct loop_index index = {block->params[0], e->loops};
    e->loops = arena_memdup(e->arena, &index, sizeof index);
    e->frame->barrier++;
    run_statements(e, l->s->body.first);
    e->frame->barrier--;
    e->loops = index.outer;
    close_scope(l);
    bool good = names_after(&l->passage, after);
    region_pop(e, &l->body);
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
        struct current *here = region_find(region, written->weight);
        if (here && here->stand_in) {
            if (here->value == here->stand_in)
                here->value = param;
            forget_stand_in(e, here->stand_in, param);
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
        forget_stand_in(e, read->stand_in, outside);
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

static void written_states(struct elab *e, const struct region *region, struct weights *out) {
    for (int i = 0; i < region->states.count; i++) {
        struct weight *w = region->states.at[i].weight;
        bool skip = !region->states.at[i].written;
        for (int k = 0; k < out->count; k++)
            skip |= out->at[k]->state == w->state;
        if (!skip)
            VEC_PUSH(e->arena, out, w);
    }
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
        VEC_PUSH(e->arena, &all, region_find(&l->body, written->at[i])->value);
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

/* Closes the regions of an op and puts it where the builder is. */
static bool place_op(struct elab *e, struct op *op) {
    for (int r = 0; r < op->region_count; r++)
        region_close(e->graph, op, op->regions[r]);
    if (!op_infer(e->graph, op, e->diags))
        return false;
    if (e->b.before)
        op_insert_before(op, e->b.before);
    else
        op_append(op, e->b.block);
    return true;
}

static void states_become(struct elab *e, const struct weights *written, struct value *const *values,
                          struct span span) {
    for (int i = 0; i < written->count; i++) {
        region_set(e, e->region, written->at[i], values[i]);
        note_version(e, written->at[i], values[i], span);
    }
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
    bind_names(&l->passage, l->op->out);
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

/* Behind a loop that could not be built its names are mistakes. */
static struct datum give_up(struct loop *l) {
    for (int i = 0; i < l->passage.names.count; i++)
        alive_binding(l->e, l->passage.names.at[i].name)->datum = datum_error();
    return datum_error();
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
    struct assigned names = {.e = e};
    assigned_by(&names, s->body.first);
    for (int i = 0; i < names.names.names.count; i++)
        add_passing(&l.passage, names.names.names.at[i], s->span);
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
    restore_names(&l.passage);
    if (!good || !finish_loop(&l, &after, &yields))
        return give_up(&l);
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

/* ---- when ---- */

struct branch {
    struct region region;
    struct leaves after; /* of the names, then of the expression's value */
    VEC(struct datum) names;
    struct datum value;
};
struct merged { /* a result of the cond */
    int name;   /* index in the passage; -1: the expression's value */
    int first;
};
struct when {
    struct elab *e;
    struct op *op;
    struct passage passage;
    struct branch sides[2];
    struct builder outside;
    struct span span;
    VEC(struct merged) merged;
};

/* The condition: a known bool folds. false: reported. */
static bool when_condition(struct elab *e, const struct expr *x, struct value **condition, bool *known,
                           bool *truth) {
    struct datum d = evaluate(e, x);
    *known = d.kind == DATUM_BOOL;
    *truth = *known && d.truth;
    if (*known)
        return true;
    *condition = to_tensor(e, d, DTYPE_ANY, x->span);
    if (*condition && (*condition)->type != type_scalar(e->types, DTYPE_bool)) {
        struct diag *diag = report_error(e, x->span, E_TYPE, "`when` wants bool[], this is %s",
                                         type_text(e->types, (*condition)->type));
        diag_hint(diag, "`where(c, x, y)` chooses element by element");
        *condition = NULL;
    }
    return *condition != NULL;
}

static void open_side(struct when *w, struct branch *side) {
    struct elab *e = w->e;
    struct block *block = op_add_region(e->graph, w->op);
    block->function = e->function;
    builder_at_end(&e->b, block);
    region_push(e, &side->region, block, false);
    e->frame->barrier++;
}

/* Keeps what the side left in the names, and gives them back their values from before. */
static void close_side(struct when *w, struct branch *side) {
    struct elab *e = w->e;
    for (int i = 0; i < w->passage.names.count; i++)
        VEC_PUSH(e->arena, &side->names, alive_binding(e, w->passage.names.at[i].name)->datum);
    restore_names(&w->passage);
    e->frame->barrier--;
    region_pop(e, &side->region);
    e->b.block = w->outside.block;
    e->b.before = w->outside.before;
}

static void in_side(struct when *w, struct branch *side) {
    builder_at_end(&w->e->b, side->region.block);
    w->e->region = &side->region;
}
static void leave_side(struct when *w, struct branch *side) {
    w->e->region = side->region.outer;
    w->e->b.block = w->outside.block;
    w->e->b.before = w->outside.before;
}

static bool same_types(const struct leaves *a, const struct leaves *b) {
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (a->at[i]->type != b->at[i]->type)
            return false;
    return true;
}

/* Both sides' values as tensors of equal types: a number takes the dtype of the other side. */
static bool merge(struct when *w, struct datum a, struct datum b, const char *what, struct span span) {
    struct elab *e = w->e;
    struct datum values[2] = {a, b};
    struct leaves leaves[2] = {{0}, {0}};
    if (datum_is_error(a) || datum_is_error(b))
        return false;
    for (int i = 0; i < 2; i++)
        if (!is_carriable(values[i])) {
            fail(e, span, E_TYPE, "%s is %s on one side of `when`, only tensors can be merged", what,
                 describe(e, values[i]));
            return false;
        }
    int first = datum_is_number(a) || a.kind == DATUM_BOOL; /* the side with the tensor decides the dtype */
    for (int k = 0; k < 2; k++) {
        int i = k == 0 ? first : 1 - first;
        in_side(w, &w->sides[i]);
        bool good = flatten(e, values[i], k == 0 ? NULL : &leaves[first], &leaves[i], span);
        leave_side(w, &w->sides[i]);
        if (!good)
            return false;
    }
    if (!same_types(&leaves[0], &leaves[1])) {
        fail(e, span, E_TYPE, "%s is %s on one side of `when` and %s on the other", what, describe(e, a),
             describe(e, b));
        return false;
    }
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < leaves[i].count; k++)
            VEC_PUSH(e->arena, &w->sides[i].after, leaves[i].at[k]);
    return true;
}

/* The names that the sides leave different values in, and the expression's value, become results. */
static bool merge_values(struct when *w, bool has_value) {
    struct elab *e = w->e;
    for (int i = 0; i < w->passage.names.count; i++) {
        struct datum a = w->sides[0].names.at[i], b = w->sides[1].names.at[i];
        if (datum_equal(e->types, a, b))
            continue;
        VEC_PUSH(e->arena, &w->merged, ((struct merged){i, w->sides[0].after.count}));
        if (!merge(w, a, b, w->passage.names.at[i].name, w->span))
            return false;
    }
    if (!has_value)
        return true;
    VEC_PUSH(e->arena, &w->merged, ((struct merged){-1, w->sides[0].after.count}));
    return merge(w, w->sides[0].value, w->sides[1].value, "the value", w->span);
}

/* Each side yields its values, and the states that either side writes. */
static void yield_of_side(struct when *w, struct branch *side, const struct weights *written) {
    struct elab *e = w->e;
    for (int k = 0; k < written->count; k++) {
        struct current *current = region_find(&side->region, written->at[k]);
        VEC_PUSH(e->arena, &side->after, current ? current->value : state_current(e, written->at[k]));
    }
    struct builder inside = w->outside;
    builder_at_end(&inside, side->region.block);
    build_yield(&inside, side->after.at, side->after.count);
}

static struct datum bind_merged(struct when *w) {
    struct elab *e = w->e;
    struct datum value = datum_none();
    for (int i = 0; i < w->merged.count; i++) {
        int next = w->merged.at[i].first, name = w->merged.at[i].name;
        struct datum d =
            rebuild(e, name < 0 ? w->sides[0].value : w->sides[0].names.at[name], w->op->out, &next);
        if (name < 0)
            value = d;
        else
            alive_binding(e, w->passage.names.at[name].name)->datum = d;
    }
    return value;
}

/* Merges names and states, builds the op, and binds its results. */
static bool finish_when(struct when *w, struct datum *value) {
    struct elab *e = w->e;
    if (!merge_values(w, value != NULL))
        return false;
    struct weights written = {0};
    for (int i = 0; i < 2; i++)
        written_states(e, &w->sides[i].region, &written);
    int states_from = w->sides[0].after.count;
    for (int i = 0; i < 2; i++)
        yield_of_side(w, &w->sides[i], &written);
    for (int i = 0; i < w->sides[0].after.count; i++)
        op_add_out(e->graph, w->op, w->sides[0].after.at[i]->type);
    if (!place_op(e, w->op))
        return false;
    struct datum d = bind_merged(w);
    if (value)
        *value = d;
    states_become(e, &written, w->op->out + states_from, w->span);
    return true;
}

static void open_when(struct when *w, struct value *condition) {
    struct elab *e = w->e;
    w->op = op_create(e->graph, OP_cond, &condition, 1, NULL, 0, NULL, 0, e->b.site);
    w->outside = e->b;
}

void run_when(struct elab *e, const struct stmt *s) {
    struct value *condition = NULL;
    bool known, truth;
    if (!when_condition(e, s->cond, &condition, &known, &truth))
        return;
    if (known) {
        if (truth)
            run_block(e, &s->body);
        else if (s->has_otherwise)
            run_block(e, &s->otherwise);
        return;
    }
    struct when w = {.e = e, .passage = {.e = e}, .span = s->span};
    struct assigned names = {.e = e};
    assigned_by(&names, s->body.first);
    assigned_by(&names, s->otherwise.first);
    for (int i = 0; i < names.names.names.count; i++)
        note_passing(&w.passage, names.names.names.at[i]);
    int errors = diags_error_count(e->diags);
    open_when(&w, condition);
    open_side(&w, &w.sides[0]);
    run_block(e, &s->body);
    close_side(&w, &w.sides[0]);
    open_side(&w, &w.sides[1]);
    if (s->has_otherwise)
        run_block(e, &s->otherwise);
    close_side(&w, &w.sides[1]);
    if (diags_error_count(e->diags) > errors || !finish_when(&w, NULL))
        for (int i = 0; i < w.passage.names.count; i++)
            alive_binding(e, w.passage.names.at[i].name)->datum = datum_error();
}

void run_under(struct elab *e, struct value *condition, void (*body)(struct elab *e, void *data), void *data,
               struct span span) {
    struct when w = {.e = e, .passage = {.e = e}, .span = span};
    int errors = diags_error_count(e->diags);
    open_when(&w, condition);
    open_side(&w, &w.sides[0]);
    body(e, data);
    close_side(&w, &w.sides[0]);
    open_side(&w, &w.sides[1]);
    close_side(&w, &w.sides[1]);
    if (diags_error_count(e->diags) == errors)
        finish_when(&w, NULL);
}

struct datum evaluate_when(struct elab *e, const struct expr *x) {
    struct value *condition = NULL;
    bool known, truth;
    if (!when_condition(e, x->a, &condition, &known, &truth))
        return datum_error();
    if (known)
        return evaluate(e, truth ? x->b : x->c);
    struct when w = {.e = e, .passage = {.e = e}, .span = x->span};
    open_when(&w, condition);
    const struct expr *const values[] = {x->b, x->c};
    for (int i = 0; i < 2; i++) {
        open_side(&w, &w.sides[i]);
        w.sides[i].value = evaluate(e, values[i]);
        close_side(&w, &w.sides[i]);
    }
    struct datum value = datum_error();
    return finish_when(&w, &value) ? value : datum_error();
}
