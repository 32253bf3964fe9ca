/* frontend/builtins_model.c: models as values: their weights, views of them, gradients. */
#include "frontend/builtin.h"

#include <string.h>

/* The weights of a model, or its buffers, each with its current value. */
static struct datum weights_of(struct elab *e, const struct builtin_call *c, struct datum model,
                               enum state_kind kind, struct datum *keep) {
    struct weight_list weights = {0};
    if (model.kind != DATUM_INSTANCE && !datum_is_sequence(model))
        return fail(e, c->spans[0], E_TYPE, "an instance is wanted, this is %s", describe(e, model));
    collect_weights(e, model, &weights, kind != STATE_WEIGHT);
    VEC(struct datum) out = {0};
    for (int i = 0; i < weights.at.count; i++) {
        if (weights.at.at[i]->kind != kind)
            continue;
        struct datum p = datum_tensor(state_read(e, weights.at.at[i], c->span));
        p.weight = weights.at.at[i];
        if (keep) {
            struct datum kept = datum_is_error(p) ? p : call_with(e, *keep, &p, 1, c->spans[1]);
            if (kept.kind != DATUM_BOOL)
                return datum_is_error(kept)
                           ? kept
                           : fail(e, c->spans[1], E_TYPE,
                                  "the choice of a weight is true or false, this is %s", describe(e, kept));
            if (!kept.truth)
                continue;
        }
        VEC_PUSH(e->arena, &out, p);
    }
    return datum_list(e->arena, out.at, out.count);
}

static struct datum run_params(struct elab *e, const struct builtin_call *c) {
    return weights_of(e, c, c->args[0], (enum state_kind)c->builtin->opcode, NULL);
}

static struct datum run_select(struct elab *e, const struct builtin_call *c) {
    struct datum keep = c->args[1];
    return weights_of(e, c, c->args[0], STATE_WEIGHT, &keep);
}

/* Every instance in the datum, seen through a view of its own. */
static struct datum view_each(struct elab *e, const struct builtin_call *c, struct datum d, bool frozen) {
    if (datum_is_sequence(d)) {
        d = datum_copy(e->arena, d);
        for (int i = 0; i < d.list->count; i++)
            *datum_at(d, i) = view_each(e, c, d.list->at[i], frozen);
        return d;
    }
    if (d.kind != DATUM_INSTANCE)
        return d; /* a function in a list of layers has no weights */
    struct view *view = ARENA_NEW(e->arena, struct view);
    view->root = d.instance;
    view->frozen = frozen;
    if (!frozen) {
        view->shadow = ARENA_NEW(e->arena, struct shadow);
        view->shadow->root = d.instance;
        view->shadow->span = c->span;
    }
    return datum_through(e, d, view);
}

static struct datum run_view(struct elab *e, const struct builtin_call *c) {
    if (c->args[0].kind != DATUM_INSTANCE && !datum_is_sequence(c->args[0]))
        return fail(e, c->spans[0], E_TYPE, "%s wants an instance, this is %s", c->builtin->name,
                    describe(e, c->args[0]));
    return view_each(e, c, c->args[0], c->builtin->opcode == 1);
}

/* An instance seen through a shadow of its own is in `d`, whose weights are those of something in `of`. */
static bool has_instance(struct datum of, const struct instance *instance) {
    bool found = of.kind == DATUM_INSTANCE && of.instance == instance;
    for (int i = 0; datum_is_sequence(of) && i < of.list->count && !found; i++)
        found = has_instance(of.list->at[i], instance);
    return found;
}

static bool is_shadow_of(struct datum d, struct datum of) {
    bool found = false;
    for (const struct view *v = d.kind == DATUM_INSTANCE ? d.view : NULL; v && !found; v = v->next)
        found = v->shadow && has_instance(of, v->shadow->root);
    for (int i = 0; datum_is_sequence(d) && i < d.list->count && !found; i++)
        found = is_shadow_of(d.list->at[i], of);
    return found;
}

static struct datum run_follows(struct elab *e, const struct builtin_call *c) {
    (void)e;
    return datum_bool(is_shadow_of(c->args[0], c->args[1]));
}

/* Of "x axis? keep?". */
static bool row_has(const char *params, const char *name) {
    for (const char *p = params; *p;) {
        size_t length = strcspn(p, " "), word = strcspn(p, "?* ");
        if (word == strlen(name) && memcmp(p, name, word) == 0)
            return true;
        p += length + (p[length] == ' ');
    }
    return false;
}

/* Whether a function has a parameter of that name. */
static struct datum run_takes(struct elab *e, const struct builtin_call *c) {
    const char *name = arg_string(e, c, 1);
    if (!name)
        return datum_error();
    if (c->args[0].kind == DATUM_BUILTIN)
        return datum_bool(row_has(c->args[0].builtin->params, name));
    if (c->args[0].kind != DATUM_CLOSURE)
        return fail(e, c->spans[0], E_TYPE, "a function is wanted, this is %s", describe(e, c->args[0]));
    const struct closure *f = c->args[0].closure;
    bool found = false;
    for (const struct formal *p = f->kind == CLOSURE_FN ? f->item->formals : NULL; p; p = p->next)
        found |= strcmp(p->name.text, name) == 0;
    for (const struct param_name *p = f->kind == CLOSURE_LAMBDA ? f->expr->params : NULL; p; p = p->next)
        found |= strcmp(p->name.text, name) == 0;
    return datum_bool(found);
}

static struct datum run_grad(struct elab *e, const struct builtin_call *c) {
    struct value *y = arg_tensor(e, c, 0, DTYPE_ANY);
    return y ? gradient_datum(e, y, c->args[1], c->span) : datum_error();
}

static struct datum run_remat_call(struct elab *e, const struct builtin_call *c) {
    if (e->in_constant)
        return fail(e, c->span, E_TIME, "a constant is computed once");
    return run_remat(e, c->args[0], c->args[1].list, c->span);
}

/* The tensors of a value, each with the fields that lead to it behind the label. */
static bool print_each(struct elab *e, struct datum d, const char *label, struct span span) {
    if (!datum_is_sequence(d)) {
        struct value *x = to_tensor(e, d, DTYPE_ANY, span);
        if (x)
            build_print(&e->b, label, x);
        return x != NULL;
    }
    for (int i = 0; i < d.list->count; i++) {
        const char *field =
            d.list->names && d.list->names[i] ? d.list->names[i] : arena_printf(e->arena, "%d", i);
        if (!print_each(e, d.list->at[i], path_join(e, label, field), span))
            return false;
    }
    return true;
}

/* What the model's text says there, if that is short. */
static const char *argument_text(struct elab *e, struct span span) {
    int length = (int)(span.end - span.begin), line, column;
    const char *text = span.source->text + span.begin;
    if (length <= 40 && !memchr(text, '\n', (size_t)length))
        return arena_strndup(e->arena, text, (size_t)length);
    source_locate(span.source, span.begin, &line, &column);
    return arena_printf(e->arena, "line %d", line);
}

/* print(x, "label"), S25; without a label, the text of the argument. It gives x, so that it may stand in a
 * pipe. */
static struct datum run_print(struct elab *e, const struct builtin_call *c) {
    if (e->in_constant || !e->function)
        return fail(e, c->span, E_TIME, "`print` shows a value of run time, in a fn or train");
    struct span span = c->spans[0];
    const char *label = c->given[1] ? arg_string(e, c, 1) : argument_text(e, span);
    return label && print_each(e, c->args[0], intern(e->names, label), span) ? c->args[0] : datum_error();
}

const struct builtin builtins_model[] = {
    {"params", "model", run_params, STATE_WEIGHT},
    {"buffers", "model", run_params, STATE_BUFFER},
    {"select", "model keep", run_select, 0},
    {"shadow", "model", run_view, 0},
    {"frozen", "model", run_view, 1},
    {"follows", "model of", run_follows, 0},
    {"takes", "f name", run_takes, 0},
    {"grad", "y x", run_grad, 0},
    {"remat", "f args*", run_remat_call, 0},
    {"print", "x label?", run_print, 0},
    {0},
};
