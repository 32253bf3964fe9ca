/* frontend/when.c: `when` (S1): both sides are regions of a cond. Names that a side assigns, and states that
 * it writes, are merged. */
#include "frontend/region.h"

struct branch {
    struct region region;
    struct leaves after; /* of the names, then of the expression's value */
    VEC(struct datum) names;
    VEC(struct span) spans; /* where the names were bound last */
    struct datum value;
    struct span value_span;
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
    for (int i = 0; i < w->passage.names.count; i++) {
        const struct binding *now = alive_binding(e, w->passage.names.at[i].name);
        VEC_PUSH(e->arena, &side->names, now->datum);
        VEC_PUSH(e->arena, &side->spans, now->span);
    }
    passage_restore(&w->passage);
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
static bool merge(struct when *w, struct datum a, struct datum b, const char *what,
                  const struct span *spans) {
    struct elab *e = w->e;
    struct datum values[2] = {a, b};
    struct leaves leaves[2] = {{0}, {0}};
    if (datum_is_error(a) || datum_is_error(b))
        return false;
    for (int i = 0; i < 2; i++)
        if (!is_carriable(values[i])) {
            fail(e, spans[i], E_TYPE, "%s is %s on one side of `when`, only tensors can be merged", what,
                 describe(e, values[i]));
            return false;
        }
    int first = datum_is_number(a) || a.kind == DATUM_BOOL; /* the side with the tensor decides the dtype */
    for (int k = 0; k < 2; k++) {
        int i = k == 0 ? first : 1 - first;
        in_side(w, &w->sides[i]);
        bool good = flatten(e, values[i], k == 0 ? NULL : &leaves[first], &leaves[i], spans[i]);
        leave_side(w, &w->sides[i]);
        if (!good)
            return false;
    }
    if (!same_types(&leaves[0], &leaves[1])) {
        struct diag *diag =
            report_error(e, spans[1], E_TYPE, "%s is %s on one side of `when` and %s on the other", what,
                         describe(e, a), describe(e, b));
        diag_label(diag, spans[0], "this is %s", describe(e, a));
        diag_label(diag, spans[1], "this is %s", describe(e, b));
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
        const struct span spans[] = {w->sides[0].spans.at[i], w->sides[1].spans.at[i]};
        const char *what = arena_printf(e->arena, "`%s`", w->passage.names.at[i].name);
        if (!merge(w, a, b, what, spans))
            return false;
    }
    if (!has_value)
        return true;
    VEC_PUSH(e->arena, &w->merged, ((struct merged){-1, w->sides[0].after.count}));
    const struct span spans[] = {w->sides[0].value_span, w->sides[1].value_span};
    return merge(w, w->sides[0].value, w->sides[1].value, "the value", spans);
}

/* Each side yields its values, and the states that either side writes. */
static void yield_of_side(struct when *w, struct branch *side, const struct weights *written) {
    struct elab *e = w->e;
    for (int k = 0; k < written->count; k++) {
        struct current *current = region_find(&side->region, written->at[k]->state);
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
    passage_collect(&w.passage, s->body.first, false, s->span);
    passage_collect(&w.passage, s->otherwise.first, false, s->span);
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
        passage_spoil(&w.passage);
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
        w.sides[i].value_span = values[i]->span;
        close_side(&w, &w.sides[i]);
    }
    struct datum value = datum_error();
    return finish_when(&w, &value) ? value : datum_error();
}
