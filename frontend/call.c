/* frontend/call.c: calls. Every call is inlined: its arguments are bound in a scope of its own, and its body
 * runs there. */
#include "frontend/builtin.h"
#include "frontend/facts.h"

#include <string.h>

static void add_argument(struct elab *e, struct arguments *args, struct datum d, struct span span) {
    VEC_PUSH(e->arena, &args->at, ((struct argument){.datum = d, .span = span}));
}

/* false: one of them is an error value. */
static bool evaluate_arguments(struct elab *e, const struct arg *arg, struct arguments *args) {
    bool good = true;
    for (; arg; arg = arg->next) {
        struct datum d = evaluate(e, arg->value);
        good &= !datum_is_error(d);
        VEC_PUSH(e->arena, &args->at,
                 ((struct argument){arg->name.text, d, arg->value->span, arg->name.span}));
    }
    return good;
}

/* ---- matching arguments to parameters ---- */

/* What a function, module or builtin wants, in one form. */
struct parameter {
    const char *name;
    bool optional;
};
struct signature {
    const char *what; /* "nn.Linear" */
    VEC(struct parameter) at;
    enum { REST_NONE, REST_POSITIONAL, REST_NAMED } rest; /* of a builtin: what it takes beyond them */
    struct span declared;                                 /* unknown: a builtin */
};

static const char *signature_text(struct elab *e, const struct signature *s) {
    struct strbuf out;
    strbuf_init(&out, e->arena);
    strbuf_printf(&out, "%s(", s->what);
    for (int i = 0; i < s->at.count; i++)
        strbuf_printf(&out, "%s%s%s", i ? ", " : "", s->at.at[i].name, s->at.at[i].optional ? "?" : "");
    strbuf_putc(&out, ')');
    return out.text;
}

/* What is declared in a text is shown there, a builtin is written out. */
static struct diag *refuse(struct elab *e, const struct signature *s, struct span span, const char *message) {
    struct diag *diag = report_error(e, span, E_ARGUMENT, "%s", message);
    if (span_is_known(s->declared))
        diag_label(diag, s->declared, "it is declared here");
    else
        diag_note(diag, "it is called as %s", signature_text(e, s));
    return diag;
}

static int find_parameter(struct elab *e, const struct signature *s, const struct argument *arg) {
    for (int i = 0; i < s->at.count; i++)
        if (s->at.at[i].name == arg->name)
            return i;
    struct diag *diag = refuse(e, s, arg->name_span,
                               arena_printf(e->arena, "`%s` has no parameter `%s`", s->what, arg->name));
    const char **names = ARENA_ARRAY(e->arena, const char *, s->at.count);
    for (int i = 0; i < s->at.count; i++)
        names[i] = s->at.at[i].name;
    hint_parameter(diag, arg->name, names, s->at.count);
    return -1;
}

static bool refuse_missing(struct elab *e, const struct signature *s, struct span span, const int *of) {
    VEC(const char *) names = {0};
    for (int i = 0; i < s->at.count; i++)
        if (of[i] < 0 && !s->at.at[i].optional)
            VEC_PUSH(e->arena, &names, s->at.at[i].name);
    if (names.count > 0)
        refuse(e, s, span,
               arena_printf(e->arena, "`%s` needs the argument%s %s", s->what, names.count > 1 ? "s" : "",
                            names_text(e->arena, names.at, names.count)));
    return names.count > 0;
}

/* Gives each parameter the index of its argument, or -1. false: reported. */
static bool match_arguments(struct elab *e, const struct signature *s, const struct arguments *args,
                            struct span span, int *of) {
    for (int i = 0; i < s->at.count; i++)
        of[i] = -1;
    int next = 0;
    for (int i = 0; i < args->at.count; i++) {
        const struct argument *arg = &args->at.at[i];
        if (!arg->name && next == s->at.count) {
            struct diag *diag =
                refuse(e, s, arg->span,
                       arena_printf(e->arena, "`%s` takes %d argument%s, but %d are given", s->what,
                                    s->at.count, s->at.count == 1 ? "" : "s", args->at.count));
            if (s->at.count > 0 && strcmp(s->at.at[0].name, "shape") == 0)
                hint_shape(diag, s->what, args->at.at[0].datum);
            else
                hint_call(diag, s->what);
            return false;
        }
        int p = arg->name ? find_parameter(e, s, arg) : next++;
        if (p < 0)
            return false;
        if (of[p] >= 0) {
            const char *message =
                arena_printf(e->arena, "the argument `%s` of `%s` is given twice", s->at.at[p].name, s->what);
            struct diag *diag = refuse(e, s, arg->name ? arg->name_span : arg->span, message);
            const struct argument *older = &args->at.at[of[p]];
            diag_label(diag, older->span, "it is given here too");
            if (strcmp(s->at.at[p].name, "lr") == 0 && datum_is_sequence(older->datum))
                diag_hint(
                    diag,
                    "what is trained stands behind `over`: minimize loss over m using nn.Adam(lr: 1e-3)");
            return false;
        }
        of[p] = i;
    }
    return !refuse_missing(e, s, span, of);
}

static void signature_of_formals(struct elab *e, const struct formal *formal, struct signature *s) {
    for (; formal; formal = formal->next)
        VEC_PUSH(e->arena, &s->at, ((struct parameter){formal->name.text, formal->init != NULL}));
}

/* ---- functions of the language ---- */

static const char *fn_name(struct elab *e, const struct closure *closure) {
    const char *name = closure->item->name.text ? closure->item->name.text : "train";
    return closure->self ? arena_printf(e->arena, "%s.%s", closure->self->module->name, name) : name;
}

/* Binds the arguments' names, then checks them against their types, which may look at one another's. */
static bool bind_formals(struct elab *e, const struct item *item, const struct arguments *args, const int *of,
                         struct binder *binder, const char *what) {
    bool good = true;
    int i = 0;
    for (const struct formal *f = item->formals; f; f = f->next, i++)
        if (of[i] >= 0)
            scope_bind(binder->scope, f->name.text, args->at.at[of[i]].datum, f->name.span);
    i = 0;
    for (const struct formal *f = item->formals; f; f = f->next, i++) {
        if (of[i] < 0 || !f->type)
            continue;
        struct datum d = args->at.at[of[i]].datum;
        binder->what =
            binder->quiet ? NULL : arena_printf(e->arena, "the argument `%s` of `%s`", f->name.text, what);
        if (bind_type(e, binder, f->type, &d, args->at.at[of[i]].span))
            scope_bind(binder->scope, f->name.text, d, f->name.span);
        else
            good = false;
    }
    return good;
}

/* Parameters that were left out; their expressions see the others. */
static bool bind_defaults(struct elab *e, const struct formal *f, const int *of, struct binder *binder,
                          const char *what) {
    bool good = true;
    for (int i = 0; f; f = f->next, i++) {
        if (of[i] >= 0)
            continue;
        struct datum d = f->init ? evaluate(e, f->init) : datum_none();
        binder->what = arena_printf(e->arena, "the default of `%s` of `%s`", f->name.text, what);
        if (datum_is_error(d) ||
            (f->type && !bind_type(e, binder, f->type, &d, f->init ? f->init->span : f->span)))
            good = false;
        scope_bind(binder->scope, f->name.text, d, f->name.span);
    }
    return good;
}

/* What is frozen does not train: its dropout is off and its buffers keep their values (S17). */
static void see_through(struct elab *e, const struct view *views) {
    e->ambient.views = views_join(e, views, e->ambient.views);
    for (const struct view *view = views; view; view = view->next)
        if (view->frozen)
            e->ambient.training = false;
}

static struct datum run_fn_body(struct elab *e, const struct item *item) {
    if (!item->has_body)
        return item->value ? evaluate(e, item->value) : datum_none();
    run_statements(e, item->body.first);
    return e->frame->returned ? e->frame->result : datum_none();
}

static struct datum refuse_nothing(struct elab *e, const struct item *item, struct span span) {
    struct diag *diag =
        report_error(e, span, E_TYPE, "`%s` returns nothing, but its result is declared", item->name.text);
    struct span end = item->body.span;
    end.begin = end.end > end.begin ? end.end - 1 : end.begin;
    if (item->has_body && !e->frame->returned)
        diag_label(diag, end, "its body ends here, without `return`");
    return datum_error();
}

static struct datum check_result(struct elab *e, const struct item *item, const struct binder *binder,
                                 struct datum result) {
    if (datum_is_error(result) || !item->type)
        return result;
    struct span span = item->has_body ? e->frame->result_span : item->value->span;
    if (!span_is_known(span))
        span = item->name.span;
    if (datum_is_none(result) && !item->type->optional)
        return refuse_nothing(e, item, span);
    return bind_type(e, binder, item->type, &result, span) ? result : datum_error();
}

/* The body of the instance runs now if it has not: with the dimensions that the arguments tell (S12). */
static bool prepare_self(struct elab *e, const struct closure *closure, const struct arguments *args,
                         const int *of, struct binder *binder, struct span span) {
    if (!closure->self)
        return true;
    if (closure->self->body != BODY_WAITING)
        return instance_run_body(e, closure->self, span);
    binder->quiet = true;
    bind_formals(e, closure->item, args, of, binder, "");
    binder->quiet = false;
    return instance_run_body(e, closure->self, span);
}

/* A recursion that branches would report this at each of its ends: once is enough, and nothing more is
 * evaluated. */
static bool is_too_deep(struct elab *e, struct span span) {
    if (!e->frame || e->frame->depth < MAX_CALL_DEPTH)
        return false;
    if (!e->gave_up)
        report_error(e, span, E_RECURSION, "calls are nested more than %d deep", MAX_CALL_DEPTH);
    e->gave_up = true;
    return true;
}

struct datum call_fn(struct elab *e, const struct closure *closure, const struct arguments *args,
                     const struct expr *place, struct span span) {
    const struct item *item = closure->item;
    struct signature s = {.what = fn_name(e, closure), .declared = item->name.span};
    signature_of_formals(e, item->formals, &s);
    int *of = ARENA_ARRAY(e->arena, int, s.at.count);
    if (!match_arguments(e, &s, args, span, of))
        return datum_error();
    if (is_too_deep(e, span))
        return datum_error();

    struct site *site = site_of_call(e, span, s.what);
    struct frame frame;
    frame_push(e, &frame, scope_create(e->arena, SCOPE_FUNCTION, closure->scope), closure->self, site);
    frame.item = item;
    frame.place = place;
    struct stream stream;
    stream_push(e, &stream);
    struct ambient ambient = e->ambient;
    see_through(e, closure->view);
    if (item->kind == ITEM_TRAIN)
        e->is_train = e->ambient.training = true;

    struct binder binder = {.scope = frame.scope, .self = closure->self, .site = site};
    struct datum result = datum_error();
    frame.site = site->caller; /* an argument stands in the caller */
    bool bound =
        prepare_self(e, closure, args, of, &binder, span) && bind_formals(e, item, args, of, &binder, s.what);
    frame.site = site;
    if (bound && bind_defaults(e, item->formals, of, &binder, s.what) &&
        (!item->type || foresee_dims(e, &binder, item->type))) {
        binder.what = arena_printf(e->arena, "the result of `%s`", s.what);
        result = check_result(e, item, &binder, run_fn_body(e, item));
    }
    e->ambient = ambient;
    stream_pop(e, &stream);
    frame_pop(e, &frame);
    return result;
}

static struct datum call_lambda(struct elab *e, const struct closure *closure, const struct arguments *args,
                                const struct expr *place, struct span span) {
    struct signature s = {.what = "fn", .declared = closure->expr->span};
    for (const struct param_name *p = closure->expr->params; p; p = p->next)
        VEC_PUSH(e->arena, &s.at, ((struct parameter){p->name.text, false}));
    s.what = signature_text(e, &s);
    int *of = ARENA_ARRAY(e->arena, int, s.at.count);
    if (!match_arguments(e, &s, args, span, of))
        return datum_error();
    if (is_too_deep(e, span))
        return datum_error();
    struct site *site = site_of_call(e, span, "fn");
    struct frame frame;
    frame_push(e, &frame, scope_create(e->arena, SCOPE_FUNCTION, closure->scope), closure->self, site);
    frame.place = place;
    frame.is_transparent = true;
    struct stream stream;
    stream_push(e, &stream);
    int i = 0;
    for (const struct param_name *p = closure->expr->params; p; p = p->next, i++)
        scope_bind(frame.scope, p->name.text, args->at.at[of[i]].datum, p->name.span);
    struct ambient ambient = e->ambient;
    see_through(e, closure->view);
    struct datum result = evaluate(e, closure->expr->a);
    e->ambient = ambient;
    stream_pop(e, &stream);
    frame_pop(e, &frame);
    return result;
}

/* f(_, 0.2) called with x: the call, with `_` bound. */
static struct datum call_hole(struct elab *e, const struct closure *closure, const struct arguments *args,
                              struct span span) {
    if (args->at.count != 1 || args->at.at[0].name)
        return fail(e, span, E_ARGUMENT, "a call with `_` is a function of one argument");
    struct frame frame;
    frame_push(e, &frame, scope_create(e->arena, SCOPE_FUNCTION, closure->scope), closure->self,
               e->frame->site);
    frame.place = closure->expr;
    frame.is_transparent = true;
    scope_bind(frame.scope, intern(e->names, "_"), args->at.at[0].datum, args->at.at[0].span);
    struct datum result = evaluate_call(e, closure->expr);
    frame_pop(e, &frame);
    return result;
}

static struct datum call_closure(struct elab *e, const struct closure *closure, const struct arguments *args,
                                 const struct expr *place, struct span span) {
    switch (closure->kind) {
    case CLOSURE_LAMBDA:
        return call_lambda(e, closure, args, place, span);
    case CLOSURE_HOLE:
        return call_hole(e, closure, args, span);
    default:
        return call_fn(e, closure, args, place, span);
    }
}

/* ---- modules and instances ---- */

static bool same_arguments(struct elab *e, const struct instance *a, const struct scope *scope) {
    int i = 0;
    for (const struct formal *f = a->module->item->formals; f; f = f->next, i++)
        if (!datum_equal(e->types, a->arguments[i], scope_find_here(scope, f->name.text)->datum))
            return false;
    return true;
}

static struct instance *find_or_create(struct elab *e, const struct module *module, struct scope *scope,
                                       const struct expr *place, struct span span) {
    const char *key;
    struct instance *holder =
        module->item->module_kind == MODULE_OPTIMIZER ? NULL : frame_holder(e, place, &key);
    if (!holder)
        return instance_create(e, module, scope, span);
    struct anonymous *found = NULL;
    for (int i = 0; i < holder->anonymous.count && !found; i++)
        if (holder->anonymous.at[i].key == key)
            found = &holder->anonymous.at[i];
    if (found && found->instance->module == module && same_arguments(e, found->instance, scope))
        return found->instance;
    struct instance *made = instance_create(e, module, scope, span);
    made->owner = holder;
    if (found) { /* the same place with other arguments: another entry, or another call of it */
        made->path = found->instance->path;
        found->instance = made;
        return made;
    }
    name_anonymous(e, holder, made, key);
    return made;
}

/* nn.Dropout(0.5, x) */
static void hint_making(struct elab *e, const struct module *module) {
    diag_hint(diags_last(e->diags), "`%s` is a module: make it with its parameters, then call what was made",
              module->name);
}

struct datum make_instance(struct elab *e, const struct module *module, const struct arguments *args,
                           const struct expr *place, struct span span) {
    struct signature s = {.what = module->name, .declared = module->item->name.span};
    signature_of_formals(e, module->item->formals, &s);
    int *of = ARENA_ARRAY(e->arena, int, s.at.count);
    bool matched = match_arguments(e, &s, args, span, of);
    for (int i = 0; i < args->at.count && !matched; i++)
        if (args->at.at[i].datum.kind == DATUM_TENSOR && args->at.at[i].datum.tensor->type->rank > 0) {
            hint_making(e, module);
            break;
        }
    if (!matched)
        return datum_error();
    struct site *site = site_of_call(e, span, module->name);
    struct frame frame;
    frame_push(e, &frame, scope_create(e->arena, SCOPE_INSTANCE, module->scope),
               e->frame ? e->frame->self : NULL, site);
    frame.is_body = true;
    struct binder binder = {.scope = frame.scope, .keeps_numbers = true, .site = site};
    frame.site = site->caller;
    bool good = bind_formals(e, module->item, args, of, &binder, s.what);
    frame.site = site;
    good = good && bind_defaults(e, module->item->formals, of, &binder, s.what);
    struct scope *scope = frame.scope;
    frame_pop(e, &frame);
    const struct datum *first = args->at.count > 0 ? &args->at.at[0].datum : NULL;
    if (!good && first && first->kind == DATUM_TENSOR && first->tensor->type->rank > 0)
        hint_making(e, module);
    if (!good)
        return datum_error();
    struct instance *instance = find_or_create(e, module, scope, place, span);
    return (struct datum){.kind = DATUM_INSTANCE, .instance = instance};
}

static struct datum call_instance(struct elab *e, struct datum d, const struct arguments *args,
                                  const struct expr *place, struct span span) {
    const struct item *item = module_find_fn(d.instance->module, intern(e->names, "call"));
    if (!item) {
        struct diag *diag =
            report_error(e, span, E_TYPE, "`%s` has no `fn call`, so its instances cannot be called",
                         d.instance->module->name);
        const struct item *forward = module_find_fn(d.instance->module, intern(e->names, "forward"));
        diag_label(diag, forward ? forward->name.span : d.instance->module->item->name.span,
                   forward ? "here it is named `call`" : "it is declared here");
        return datum_error();
    }
    struct closure closure = {
        .kind = CLOSURE_FN, .item = item, .scope = d.instance->scope, .self = d.instance, .view = d.view};
    return call_fn(e, &closure, args, place, span);
}

/* ---- lists ---- */

static bool formals_have(const struct formal *formal, const char *name) {
    for (; formal; formal = formal->next)
        if (formal->name.text == name)
            return true;
    return false;
}

/* Whether an element of a list takes a named argument. */
static bool declares(struct elab *e, struct datum d, const char *name) {
    if (d.kind == DATUM_INSTANCE) {
        const struct item *item = module_find_fn(d.instance->module, intern(e->names, "call"));
        return item && formals_have(item->formals, name);
    }
    if (d.kind == DATUM_CLOSURE && d.closure->kind == CLOSURE_FN)
        return formals_have(d.closure->item->formals, name);
    if (d.kind == DATUM_CLOSURE && d.closure->kind == CLOSURE_LAMBDA) {
        for (const struct param_name *p = d.closure->expr->params; p; p = p->next)
            if (p->name.text == name)
                return true;
        return false;
    }
    if (d.kind == DATUM_LIST)
        for (int i = 0; i < d.list->count; i++)
            if (declares(e, d.list->at[i], name))
                return true;
    return false;
}

/* Whether a named argument of a list call was ever taken is known when the entry is complete: in an unrolled
 * loop over blocks some take it and some do not. */
static void note_claim(struct elab *e, const struct argument *arg, bool taken) {
    for (int i = 0; i < e->claims.count; i++) {
        struct claim *claim = &e->claims.at[i];
        if (claim->name == arg->name && claim->span.source == arg->name_span.source &&
            claim->span.begin == arg->name_span.begin) {
            claim->taken |= taken;
            return;
        }
    }
    VEC_PUSH(e->arena, &e->claims,
             ((struct claim){arg->name, arg->name_span, taken || datum_is_none(arg->datum)}));
}

/* A list was called at `span`, and what was reported since there were `before` diagnostics is of that place:
 * it is one element's mistake. */
static void label_element(struct elab *e, struct datum element, int before, struct span span) {
    struct diag *diag = diags_count(e->diags) > before ? diags_last(e->diags) : NULL;
    struct span at = diag ? diag_span(e->diags, diags_count(e->diags) - 1) : span;
    if (element.kind == DATUM_INSTANCE && diag && at.source == span.source && at.begin == span.begin)
        label_elsewhere(diag, element.instance->site->span, span,
                        arena_printf(e->arena, "this `%s` of the list", element.instance->module->name));
}

/* x |> [f, g] is g(f(x)); each element takes the named arguments that it declares (S13). */
static struct datum call_list(struct elab *e, struct datum d, const struct arguments *args,
                              const struct expr *place, struct span span) {
    if (args->at.count < 1 || args->at.at[0].name)
        return fail(e, span, E_ARGUMENT, "a list is called with the value that goes through it");
    struct argument through = args->at.at[0];
    for (int k = 1; k < args->at.count; k++) {
        const struct argument *arg = &args->at.at[k];
        if (!arg->name)
            return fail(e, arg->span, E_ARGUMENT,
                        "a list takes one value; further arguments are given by name");
        note_claim(e, arg, declares(e, d, arg->name));
    }
    for (int i = 0; i < d.list->count && !datum_is_error(through.datum); i++) {
        struct arguments own = {0};
        VEC_PUSH(e->arena, &own.at, through);
        for (int k = 1; k < args->at.count; k++)
            if (declares(e, d.list->at[i], args->at.at[k].name))
                VEC_PUSH(e->arena, &own.at, args->at.at[k]);
        int before = diags_count(e->diags);
        through.datum = call_datum(e, d.list->at[i], &own, place, span);
        if (datum_is_error(through.datum))
            label_element(e, d.list->at[i], before, through.span);
        through.span = span; /* what goes on is the list's own */
    }
    return through.datum;
}

/* ---- builtins ---- */

/* Of "x axis? keep?"; made once for each row. */
static const struct signature *signature_of_builtin(struct elab *e, const struct builtin *builtin) {
    struct frontend *fe = e->frontend;
    struct signature *s = map_find(&fe->signatures, builtin);
    if (s)
        return s;
    s = ARENA_NEW(fe->arena, struct signature);
    s->what = builtin->name;
    for (const char *p = builtin->params; *p;) {
        size_t length = strcspn(p, " "), name = strcspn(p, "?* ");
        struct parameter parameter = {intern_n(e->names, p, name), p[name] == '?'};
        if (p[name] != '*')
            VEC_PUSH(fe->arena, &s->at, parameter);
        else
            s->rest = p[name + 1] == '*' ? REST_NAMED : REST_POSITIONAL;
        p += length + (p[length] == ' ');
    }
    map_put(&fe->signatures, builtin, s);
    return s;
}

/* Takes the arguments without a parameter of their own out of `args`: "x*" those without a name beyond the
 * parameters, "x**" all that have one, so that rearrange may be given the size of an axis called x. */
static struct datum take_rest(struct elab *e, const struct signature *s, const struct arguments *args,
                              struct arguments *kept, bool by_name) {
    VEC(struct datum) items = {0};
    VEC(const char *) names = {0};
    int positional = 0;
    for (int i = 0; i < args->at.count; i++) {
        const struct argument *arg = &args->at.at[i];
        bool rest = by_name ? arg->name != NULL : !arg->name && positional++ >= s->at.count;
        if (!rest) {
            VEC_PUSH(e->arena, &kept->at, *arg);
            continue;
        }
        VEC_PUSH(e->arena, &items, arg->datum);
        VEC_PUSH(e->arena, &names, arg->name);
    }
    return by_name ? datum_tuple(e->arena, items.at, names.at, items.count)
                   : datum_list(e->arena, items.at, items.count);
}

static struct datum call_builtin(struct elab *e, const struct builtin *builtin, const struct arguments *args,
                                 struct span span) {
    const struct signature *s = signature_of_builtin(e, builtin);
    struct builtin_call c = {.builtin = builtin, .span = span};
    struct arguments kept = {0};
    int of[BUILTIN_MAX_PARAMS];
    if (s->rest != REST_NONE) {
        c.args[s->at.count] = take_rest(e, s, args, &kept, s->rest == REST_NAMED);
        c.given[s->at.count] = true;
        c.spans[s->at.count] = span;
        args = &kept;
    }
    if (!match_arguments(e, s, args, span, of))
        return datum_error();
    for (int i = 0; i < s->at.count; i++) {
        c.given[i] = of[i] >= 0;
        c.args[i] = of[i] >= 0 ? args->at.at[of[i]].datum : datum_none();
        c.spans[i] = of[i] >= 0 ? args->at.at[of[i]].span : span;
    }
    return builtin->run(e, &c);
}

/* f32(x) */
static struct datum call_dtype(struct elab *e, enum dtype dtype, const struct arguments *args,
                               struct span span) {
    if (args->at.count != 1 || args->at.at[0].name)
        return fail(e, span, E_ARGUMENT, "`%s(x)` casts one value", dtype_text(dtype));
    const struct argument *arg = &args->at.at[0];
    struct datum d = arg->datum;
    if (datum_is_number(d) && !(d.kind == DATUM_FLOAT && dtype_is_int(dtype)))
        return datum_tensor(to_tensor(e, d, (int)dtype, arg->span));
    return datum_tensor(build_cast(&e->b, to_tensor(e, d, DTYPE_ANY, arg->span), dtype));
}

/* ---- calls as expressions ---- */

/* A size B in a parameter's type hides a module B of the file. */
static bool hint_hidden_module(struct elab *e, struct diag *diag, const struct expr *place) {
    const struct expr *name = place && place->kind == EXPR_CALL ? place->a : place;
    if (!name || name->kind != EXPR_NAME)
        return false;
    const struct scope *scope = e->frame->scope;
    for (; scope; scope = scope->parent) {
        const struct binding *b = scope_find_here(scope, name->name.text);
        if (!b || b->datum.kind != DATUM_MODULE)
            continue;
        diag_label(diag, b->span, "the module `%s`, which that name hides", name->name.text);
        diag_hint(diag, "give the size or the module another name");
        return true;
    }
    return false;
}

/* `place` is the call, or in a pipe what stands alone behind it. */
static struct datum refuse_callee(struct elab *e, struct datum callee, const struct expr *place,
                                  struct span span) {
    struct diag *diag = report_error(e, span, E_TYPE, "%s cannot be called", describe(e, callee));
    if (place)
        label_binding(e, diag, place->kind == EXPR_CALL ? place->a : place);
    if (datum_is_run_time(callee) && place && place->kind == EXPR_CALL)
        diag_hint(diag, "an element is taken with brackets: x[0]");
    else if (!hint_hidden_module(e, diag, place) && datum_is_number(callee))
        diag_hint(diag, "a function that waits for its input has a hole for it: leaky_relu(_, 0.2)");
    return datum_error();
}

struct datum call_datum(struct elab *e, struct datum callee, const struct arguments *args,
                        const struct expr *place, struct span span) {
    for (int i = 0; i < args->at.count; i++)
        if (datum_is_error(args->at.at[i].datum))
            return datum_error();
    switch (callee.kind) {
    case DATUM_ERROR:
        return callee;
    case DATUM_CLOSURE:
        return call_closure(e, callee.closure, args, place, span);
    case DATUM_BUILTIN:
        return call_builtin(e, callee.builtin, args, span);
    case DATUM_MODULE:
        return make_instance(e, callee.module, args, place, span);
    case DATUM_INSTANCE:
        return call_instance(e, callee, args, place, span);
    case DATUM_LIST:
        return call_list(e, callee, args, place, span);
    case DATUM_DTYPE:
        return call_dtype(e, callee.dtype, args, span);
    default:
        return refuse_callee(e, callee, place, span);
    }
}

struct datum call_with(struct elab *e, struct datum callee, const struct datum *positional, int count,
                       struct span span) {
    struct arguments args = {0};
    for (int i = 0; i < count; i++)
        add_argument(e, &args, positional[i], span);
    return call_datum(e, callee, &args, NULL, span);
}

/* What is called. A key's `of` and `split` are functions of C, whose first argument it is. */
static struct datum evaluate_callee(struct elab *e, const struct expr *x, struct arguments *args) {
    const struct builtin *builtin = builtins_key;
    while (x->kind == EXPR_FIELD && builtin->name && strcmp(builtin->name, x->name.text) != 0)
        builtin++;
    if (x->kind != EXPR_FIELD || !builtin->name)
        return evaluate(e, x);
    struct datum self = evaluate(e, x->a);
    if (!is_key(e, self))
        return field_of(e, self, x->name.text, x->op_span);
    add_argument(e, args, self, x->a->span);
    return (struct datum){.kind = DATUM_BUILTIN, .builtin = builtin};
}

struct datum evaluate_call(struct elab *e, const struct expr *x) {
    struct argument room[8]; /* most calls have fewer, and leave nothing in the arena */
    struct arguments args = {{room, 0, sizeof room / sizeof *room}};
    struct datum callee = evaluate_callee(e, x->a, &args);
    if (!evaluate_arguments(e, x->args, &args))
        return datum_error();
    return call_datum(e, callee, &args, x, x->span);
}

static bool args_have_hole(const struct arg *arg) {
    for (; arg; arg = arg->next)
        if (has_hole(arg->value))
            return true;
    return false;
}

bool has_hole(const struct expr *x) {
    if (!x || x->kind == EXPR_LAMBDA || x->kind == EXPR_LIST || x->kind == EXPR_COMPREHENSION)
        return false;
    if (x->kind == EXPR_NAME)
        return strcmp(x->name.text, "_") == 0;
    for (const struct sub *sub = x->subs; sub; sub = sub->next)
        if (has_hole(sub->a) || has_hole(sub->b) || has_hole(sub->step))
            return true;
    return has_hole(x->a) || has_hole(x->b) || has_hole(x->c) || args_have_hole(x->args);
}

static struct datum pipe_into_hole(struct elab *e, struct datum value, const struct expr *x) {
    struct scope *outer = e->frame->scope;
    e->frame->scope = scope_create(e->arena, SCOPE_BLOCK, outer);
    scope_bind(e->frame->scope, intern(e->names, "_"), value, x->a->span);
    struct datum d = evaluate(e, x->b);
    e->frame->scope = outer;
    return d;
}

struct datum evaluate_pipe(struct elab *e, const struct expr *x) {
    struct datum value = evaluate(e, x->a);
    const struct expr *f = x->b;
    if (datum_is_error(value))
        return value;
    if (has_hole(f))
        return pipe_into_hole(e, value, x);
    struct arguments args = {0};
    add_argument(e, &args, value, x->a->span);
    if (f->kind != EXPR_CALL)
        return call_datum(e, evaluate(e, f), &args, f, f->span);
    struct datum callee = evaluate(e, f->a);
    if (callee.kind == DATUM_MODULE) { /* x |> M(3): the instance is made, then called */
        struct arguments own = {0};
        if (!evaluate_arguments(e, f->args, &own))
            return datum_error();
        struct datum made = call_datum(e, callee, &own, f, f->span);
        if (e->frontend->facts)
            facts_note_expr(e->frontend->facts, f, made);
        return call_datum(e, made, &args, f, f->span);
    }
    if (!evaluate_arguments(e, f->args, &args))
        return datum_error();
    return call_datum(e, callee, &args, f, f->span);
}
