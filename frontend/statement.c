/* frontend/statement.c: statements, run in order at elaboration. Each kind is a row of a table. */
#include "frontend/elab.h"

#include <string.h>

/* ---- assignment ---- */

static const enum binary_op assign_ops[] = {[ASSIGN_ADD] = BINARY_ADD,
                                            [ASSIGN_SUB] = BINARY_SUB,
                                            [ASSIGN_MUL] = BINARY_MUL,
                                            [ASSIGN_DIV] = BINARY_DIV};

/* What a place has now, changed by += and the like. */
static struct datum assigned_value(struct elab *e, const struct stmt *s, struct datum value) {
    if (s->op == ASSIGN_SET)
        return value;
    return apply_binary(e, assign_ops[s->op], evaluate(e, s->place), value, s->span, s->place->span,
                        s->value->span);
}

void assign_place(struct elab *e, const struct stmt *s, struct datum value) {
    const struct expr *place = s->place;
    if (place->kind == EXPR_INDEX && place->a->kind == EXPR_NAME) {
        struct datum whole = apply_index_set(e, evaluate(e, place->a), place, value, s->span);
        scope_assign(e->frame->scope, place->a->name.text, whole, s->span);
        return;
    }
    if (place->kind != EXPR_NAME) {
        struct diag *diag =
            report_error(e, place->span, E_TYPE,
                         "a value is assigned to a name or to name[...]; `update` changes a member");
        if (place->kind == EXPR_CALL && place->a->kind == EXPR_NAME)
            diag_hint(diag, "a function is defined with `fn %s(...) = ...`", place->a->name.text);
        return;
    }
    const struct binding *found = scope_find(e->frame->scope, place->name.text);
    if (found && found->datum.kind == DATUM_WEIGHT && e->frame->scope->kind != SCOPE_INSTANCE) {
        struct diag *diag = report_error(e, s->span, E_STATE, "`%s` is a %s of the module", place->name.text,
                                         found->datum.weight->kind == STATE_WEIGHT ? "param" : "buffer");
        diag_hint(diag, "`update %s = ...` gives it a new value", place->name.text);
        return;
    }
    scope_assign(e->frame->scope, place->name.text, value, place->span);
}

static enum flow run_assign(struct elab *e, const struct stmt *s) {
    struct datum value = evaluate(e, s->value);
    assign_place(e, s, assigned_value(e, s, value));
    return FLOW_NEXT;
}

static enum flow run_typed(struct elab *e, const struct stmt *s) {
    struct datum d = evaluate(e, s->value);
    struct binder binder = {.scope = e->frame->scope, .self = e->frame->self, .what = s->name.text};
    if (!datum_is_error(d) && !bind_type(e, &binder, s->type, &d, s->value->span))
        d = datum_error();
    scope_assign(e->frame->scope, s->name.text, d, s->name.span);
    return FLOW_NEXT;
}

static enum flow run_const(struct elab *e, const struct stmt *s) {
    scope_assign(e->frame->scope, s->name.text, evaluate_constant(e, s->value, s->type), s->name.span);
    return FLOW_NEXT;
}

static enum flow run_unpack(struct elab *e, const struct stmt *s) {
    bind_pattern(e, s->pattern, evaluate(e, s->value), s->value->span, true);
    return FLOW_NEXT;
}

static enum flow run_call(struct elab *e, const struct stmt *s) {
    evaluate(e, s->place ? s->place : s->value);
    return FLOW_NEXT;
}

/* ---- control at elaboration ---- */

enum flow run_statements(struct elab *e, const struct stmt *first) {
    for (const struct stmt *s = first; s; s = s->next)
        if (run_statement(e, s) == FLOW_RETURN)
            return FLOW_RETURN;
    return FLOW_NEXT;
}

enum flow run_block(struct elab *e, const struct block_ast *block) {
    struct scope *outer = e->frame->scope;
    e->frame->scope = scope_create(e->arena, SCOPE_BLOCK, outer);
    enum flow flow = run_statements(e, block->first);
    e->frame->scope = outer;
    return flow;
}

/* The side that is taken stands in place of the `if`: what it assigns first stays alive behind it. */
static enum flow run_if(struct elab *e, const struct stmt *s) {
    bool truth;
    if (!evaluate_condition(e, s->cond, "if", &truth))
        return FLOW_NEXT;
    if (truth)
        return run_statements(e, s->body.first);
    return s->has_otherwise ? run_statements(e, s->otherwise.first) : FLOW_NEXT;
}

static enum flow run_for(struct elab *e, const struct stmt *s) {
    const struct list *items;
    struct datum d = evaluate(e, s->value);
    if (!datum_items(e, d, s->value->span, &items))
        return FLOW_NEXT;
    struct turn turn = {0, e->frame->turns};
    e->frame->turns = &turn;
    struct scope *outer = e->frame->scope;
    e->frame->scope = scope_create(e->arena, SCOPE_BLOCK, outer);
    enum flow flow = FLOW_NEXT;
    int errors = diags_error_count(e->diags);
    for (; turn.index < items->count && flow == FLOW_NEXT; turn.index++) {
        e->frame->scope->bindings.count =
            0; /* nothing keeps a block's scope: lambdas take values out of it */
        bind_pattern(e, s->pattern, items->at[turn.index], s->value->span, false);
        flow = run_statements(e, s->body.first);
        if (diags_error_count(e->diags) > errors)
            break; /* the next turns would say the same */
    }
    e->frame->scope = outer;
    e->frame->turns = turn.outer;
    return flow;
}

static enum flow run_return(struct elab *e, const struct stmt *s) {
    if (e->frame->barrier > 0) {
        fail(e, s->span, E_TIME, "`return` cannot leave a `loop` or `when`, which run later");
        return FLOW_NEXT;
    }
    e->frame->result = s->value ? evaluate(e, s->value) : datum_none();
    e->frame->result_span = s->value ? s->value->span : s->span;
    e->frame->returned = true;
    return FLOW_RETURN;
}

/* ---- with ---- */

static bool set_training(struct elab *e, struct datum d, struct span span) {
    if (d.kind != DATUM_BOOL)
        return !datum_is_error(
            fail(e, span, E_TYPE, "training is true or false, this is %s", describe(e, d)));
    e->ambient.training = d.truth;
    return true;
}

static bool set_precision(struct elab *e, struct datum d, struct span span) {
    if (d.kind != DATUM_DTYPE || !dtype_is_float(d.dtype))
        return !datum_is_error(
            fail(e, span, E_TYPE, "precision is a float dtype, this is %s", describe(e, d)));
    e->ambient.has_precision = d.dtype != DTYPE_f32;
    e->ambient.precision = d.dtype;
    e->ambient.products = DTYPE_f32; /* the text knows better than the command line */
    return true;
}

/* Of a list of layers each has a shadow of its own; a function among them has no weights. */
static bool join_shadows(struct elab *e, struct datum d) {
    bool any = d.kind == DATUM_INSTANCE && d.view;
    if (any)
        e->ambient.views = views_join(e, d.view, e->ambient.views);
    for (int i = 0; datum_is_sequence(d) && i < d.list->count; i++)
        any |= join_shadows(e, d.list->at[i]);
    return any;
}

static bool set_weights(struct elab *e, struct datum d, struct span span) {
    if (join_shadows(e, d))
        return true;
    struct diag *diag = report_error(e, span, E_TYPE, "weights is a shadow(M), this is %s", describe(e, d));
    diag_hint(diag, "`let slow = shadow(M)` makes a copy of M's weights");
    return false;
}

static bool set_rng(struct elab *e, struct datum d, struct span span) {
    if (!is_key(e, d)) {
        struct diag *diag = report_error(e, span, E_TYPE,
                                         "rng is a key, u32[2] or u32[n,2] with one for each row, this is %s",
                                         describe(e, d));
        diag_hint(diag, "rng.of(i) makes a key for each number in i");
        return false;
    }
    e->stream->pinned = d.tensor;
    return true;
}

static const struct {
    const char *name;
    bool (*set)(struct elab *e, struct datum d, struct span span);
} ambients[] = {
    {"training", set_training}, {"precision", set_precision}, {"weights", set_weights}, {"rng", set_rng}};

static bool set_ambient(struct elab *e, const struct arg *arg) {
    struct datum d = evaluate(e, arg->value);
    if (datum_is_error(d))
        return false;
    for (size_t i = 0; i < sizeof ambients / sizeof *ambients; i++)
        if (strcmp(ambients[i].name, arg->name.text) == 0)
            return ambients[i].set(e, d, arg->value->span);
    const char *names[sizeof ambients / sizeof *ambients];
    for (size_t i = 0; i < sizeof ambients / sizeof *ambients; i++)
        names[i] = ambients[i].name;
    diag_nearest(report_error(e, arg->name.span, E_NAME,
                              "`with` sets training, precision, weights or rng, not `%s`", arg->name.text),
                 arg->name.text, names, (int)(sizeof ambients / sizeof *ambients));
    return false;
}

/* Names that the block assigns first stay alive behind it: `with precision: bf16 { y = f(x) }`. */
static enum flow run_with(struct elab *e, const struct stmt *s) {
    struct ambient ambient = e->ambient;
    struct stream stream;
    bool pins = false;
    for (const struct arg *arg = s->args; arg; arg = arg->next)
        pins |= strcmp(arg->name.text, "rng") == 0;
    if (pins)
        stream_push(e, &stream);
    bool good = true;
    for (const struct arg *arg = s->args; arg && good; arg = arg->next)
        good = set_ambient(e, arg);
    (void)good; /* the names that the block makes are wanted behind it all the same */
    enum flow flow = run_statements(e, s->body.first);
    if (pins)
        stream_pop(e, &stream);
    e->ambient = ambient;
    return flow;
}

/* ---- assert ---- */

static const char *assert_message(struct elab *e, const struct stmt *s) {
    return s->message ? evaluate_text(e, s->message) : NULL;
}

/* H % 8 == 0 on a size of the input is a precondition of the entry (S11). */
static bool assert_multiple(struct elab *e, const struct expr *x, const char *message) {
    bool is_form =
        x->kind == EXPR_BINARY && x->op == BINARY_EQ && x->a->kind == EXPR_BINARY && x->a->op == BINARY_MOD;
    if (!is_form)
        return false;
    struct datum a = evaluate(e, x->a->a), n = evaluate(e, x->a->b), zero = evaluate(e, x->b);
    bool fits = a.kind == DATUM_INT && !dim_is_const(a.size) && datum_is_known_int(n) &&
                dim_value(n.size) > 0 && datum_is_known_int(zero) && dim_value(zero.size) == 0;
    if (fits && !dim_is_multiple(e->types, a.size, dim_value(n.size)))
        require_multiple(e, a.size, dim_value(n.size), message, x->span);
    return fits;
}

/* B <= queue and the like on sizes of the input: the difference has a sign. An equation has two. */
static bool assert_order(struct elab *e, const struct expr *x, const char *message) {
    struct datum a = x->kind == EXPR_BINARY ? evaluate(e, x->a) : datum_error();
    struct datum b = a.kind == DATUM_INT ? evaluate(e, x->b) : datum_error();
    if (b.kind != DATUM_INT)
        return false;
    const struct dim *up = dim_sub(e->types, b.size, a.size), *down = dim_sub(e->types, a.size, b.size);
    const struct dim *one = dim_const(e->types, 1);
    if (!dim_is_integral(up))
        return false;
    bool rises = x->op == BINARY_LT || x->op == BINARY_LE, falls = x->op == BINARY_GT || x->op == BINARY_GE;
    bool is_strict = x->op == BINARY_LT || x->op == BINARY_GT;
    if (rises || x->op == BINARY_EQ)
        require_not_negative(e, is_strict ? dim_sub(e->types, up, one) : up, message, x->span);
    if (falls || x->op == BINARY_EQ)
        require_not_negative(e, is_strict ? dim_sub(e->types, down, one) : down, message, x->span);
    return rises || falls || x->op == BINARY_EQ;
}

static void refuse_assertion(struct elab *e, const struct value *condition, struct span span) {
    struct diag *diag = report_error(e, span, E_TYPE, "`assert` wants bool[], this is %s",
                                     type_text(e->types, condition->type));
    if (condition->type->dtype == DTYPE_bool)
        diag_hint(diag, "all(x) holds where each element does, any(x) where one does");
}

static void assert_expr(struct elab *e, const struct stmt *s, const struct expr *x, const char *message) {
    if (x->kind == EXPR_BINARY && x->op == BINARY_AND) {
        assert_expr(e, s, x->a, message);
        assert_expr(e, s, x->b, message);
        return;
    }
    if (assert_multiple(e, x, message))
        return;
    struct datum d = evaluate(e, x);
    if (d.kind == DATUM_TENSOR || d.kind == DATUM_CONSTANT) {
        struct value *condition = to_tensor(e, d, DTYPE_ANY, x->span);
        if (condition && condition->type != type_scalar(e->types, DTYPE_bool))
            refuse_assertion(e, condition, x->span);
        else if (condition)
            build_check(&e->b, message ? message : "an assertion fails", condition);
        return;
    }
    if (d.kind == DATUM_BOOL && !d.truth) {
        fail(e, s->span, E_ASSERT, "%s", message ? message : "the assertion fails");
        return;
    }
    if (d.kind == DATUM_UNDECIDED) {
        if (!assert_order(e, x, message ? message : d.text))
            fail(e, x->span, E_UNSUPPORTED,
                 "an assertion on an input's size compares it with another, or is `size %% n == 0`: not %s",
                 d.text);
        return;
    }
    if (d.kind != DATUM_BOOL && !datum_is_error(d))
        fail(e, x->span, E_TYPE, "a bool is wanted, this is %s", describe(e, d));
}

/* What follows a failed assertion relies on it: the call ends. */
static enum flow run_assert(struct elab *e, const struct stmt *s) {
    int errors = diags_error_count(e->diags);
    assert_expr(e, s, s->cond ? s->cond : s->value, assert_message(e, s));
    if (diags_error_count(e->diags) == errors)
        return FLOW_NEXT;
    e->frame->result = datum_error();
    e->frame->returned = true;
    return FLOW_RETURN;
}

/* ---- effects ---- */

/* The weight that a place names, and its current value read as the place's view has it. */
static struct weight *updated_weight(struct elab *e, const struct expr *place) {
    struct datum d = evaluate(e, place);
    if (d.kind == DATUM_TENSOR && d.weight) {
        struct datum owner = place->kind == EXPR_FIELD ? evaluate(e, place->a) : datum_none();
        for (const struct view *v = owner.kind == DATUM_INSTANCE ? owner.view : NULL; v; v = v->next)
            if (v->frozen) {
                fail(e, place->span, E_STATE, "`%s` is frozen: it cannot be updated",
                     weight_name(e, d.weight));
                return NULL;
            }
        return d.weight;
    }
    if (!datum_is_error(d))
        label_binding(e,
                      report_error(e, place->span, E_STATE, "`update` changes a param or buffer, this is %s",
                                   describe(e, d)),
                      place);
    return NULL;
}

/* A weight stores its own dtype, whatever the precision here. */
static enum flow run_update(struct elab *e, const struct stmt *s) {
    struct ambient ambient = e->ambient;
    e->ambient.has_precision = false;
    e->ambient.products = DTYPE_f32;
    const struct expr *place = s->place, *whole = place->kind == EXPR_INDEX ? place->a : place;
    struct weight *w = updated_weight(e, whole);
    struct datum value = assigned_value(e, s, evaluate(e, s->value));
    if (w && !datum_is_error(value)) {
        if (place != whole)
            value = apply_index_set(e, evaluate(e, whole), place, value, s->span);
        struct state *state = weight_state(e, w, s->span);
        struct value *x = state ? to_tensor(e, value, (int)state->type->dtype, s->value->span) : NULL;
        if (x && x->type != state->type && x->type->dtype == state->type->dtype &&
            type_broadcast(e->types, x->type, state->type) == state->type)
            x = build_broadcast_to(&e->b, x, state->type);
        if (x)
            state_write(e, w, x, s->span);
    }
    e->ambient = ambient;
    return FLOW_NEXT;
}

/* "loss" and, in the second turn of an unrolled loop, "loss.1" (S21). */
static const char *report_name(struct elab *e, const struct arg *arg) {
    const char *base = arg->name.text;
    if (!base)
        base =
            arg->value->kind == EXPR_NAME || arg->value->kind == EXPR_FIELD ? arg->value->name.text : "value";
    struct strbuf text;
    strbuf_init(&text, e->arena);
    strbuf_puts(&text, base);
    VEC(int) turns = {0};
    for (const struct frame *frame = e->frame; frame; frame = frame->caller)
        for (const struct turn *turn = frame->turns; turn; turn = turn->outer)
            VEC_PUSH(e->arena, &turns, turn->index);
    for (int i = turns.count - 1; i >= 0; i--)
        strbuf_printf(&text, ".%d", turns.at[i]);
    return intern(e->names, text.text);
}

static void run_report_of(struct elab *e, const struct arg *arg) {
    struct datum d = evaluate(e, arg->value);
    if (d.kind == DATUM_STRING || datum_is_sequence(d)) {
        diag_hint(
            report_error(e, arg->value->span, E_TYPE, "a tensor is reported, this is %s", describe(e, d)),
            "write `report loss`, or with another name `report error = loss`");
        return;
    }
    struct value *x = to_tensor(e, d, DTYPE_ANY, arg->value->span);
    if (!x)
        return;
    if (arg->value->kind == EXPR_NUMBER || arg->value->kind == EXPR_BOOL)
        diag_hint(diag_warning(e->diags, arg->value->span, W_UNUSED,
                               "this report is dead: it is the same in every step"),
                  "`report loss`, or with another name `report error = loss`, reports what is computed");
    const char *name = report_name(e, arg);
    for (int i = 0; i < e->reported.count; i++)
        if (e->reported.at[i].name == name) {
            struct diag *diag = report_error(e, arg->span, E_DUPLICATE, "`%s` is reported twice", name);
            diag_label(diag, e->reported.at[i].span, "it is reported here, too");
            return;
        }
    VEC_PUSH(e->arena, &e->reported, ((struct reported){name, arg->span}));
    build_report(&e->b, name, x);
}

/* In a `loop` each turn reports anew: what stays is the last turn's. */
static enum flow run_report(struct elab *e, const struct stmt *s) {
    for (const struct arg *arg = s->args; arg; arg = arg->next)
        run_report_of(e, arg);
    return FLOW_NEXT;
}

static enum flow run_minimize_statement(struct elab *e, const struct stmt *s) {
    run_minimize(e, s);
    return FLOW_NEXT;
}

/* ---- run time ---- */

static enum flow run_loop_statement(struct elab *e, const struct stmt *s) {
    run_loop(e, s, false);
    return FLOW_NEXT;
}
static enum flow run_when_statement(struct elab *e, const struct stmt *s) {
    run_when(e, s);
    return FLOW_NEXT;
}
static enum flow run_yield_statement(struct elab *e, const struct stmt *s) {
    run_yield(e, s);
    return FLOW_NEXT;
}
static enum flow run_nothing(struct elab *e, const struct stmt *s) {
    (void)e, (void)s;
    return FLOW_NEXT;
}

static enum flow (*const rules[])(struct elab *e, const struct stmt *s) = {
    [STMT_ERROR] = run_nothing,
    [STMT_CONST] = run_const,
    [STMT_ASSIGN] = run_assign,
    [STMT_CALL] = run_call,
    [STMT_TYPED] = run_typed,
    [STMT_UNPACK] = run_unpack,
    [STMT_IF] = run_if,
    [STMT_WHEN] = run_when_statement,
    [STMT_FOR] = run_for,
    [STMT_LOOP] = run_loop_statement,
    [STMT_WITH] = run_with,
    [STMT_RETURN] = run_return,
    [STMT_YIELD] = run_yield_statement,
    [STMT_UPDATE] = run_update,
    [STMT_MINIMIZE] = run_minimize_statement,
    [STMT_REPORT] = run_report,
    [STMT_ASSERT] = run_assert,
};

enum flow run_statement(struct elab *e, const struct stmt *s) {
    if (e->gave_up)
        return FLOW_NEXT;
    const struct site *before = e->b.site;
    e->b.site = site_here(e, s->span);
    enum flow flow = rules[s->kind](e, s);
    e->b.site = before;
    return flow;
}
