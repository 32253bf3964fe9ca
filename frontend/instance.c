/* frontend/instance.c: instances of modules and the member tree (instance.h). */
#include "frontend/elab.h"

#include <string.h>

struct instance *instance_create(struct elab *e, const struct module *module, struct scope *scope,
                                 struct span span) {
    struct instance *instance = ARENA_NEW(e->arena, struct instance);
    instance->module = module;
    instance->scope = scope;
    instance->site = site_of_call(e, span, module->name);
    scope->instance = instance;
    int count = 0;
    for (const struct formal *f = module->item->formals; f; f = f->next)
        count++;
    instance->arguments = ARENA_ARRAY(e->arena, struct datum, count);
    int i = 0;
    for (const struct formal *f = module->item->formals; f; f = f->next, i++)
        instance->arguments[i] = scope_find_here(scope, f->name.text)->datum;
    return instance;
}

/* ---- the body ---- */

/* A body runs once, whichever entry asks first: its members cannot hold values of that entry's graph, nor be
 * made with one. */
static bool holds_tensor(struct datum d) {
    if (d.kind == DATUM_TENSOR)
        return true;
    if (d.kind == DATUM_INSTANCE) {
        int i = 0;
        for (const struct formal *f = d.instance->module->item->formals; f; f = f->next, i++)
            if (holds_tensor(d.instance->arguments[i]))
                return true;
        return false;
    }
    if (datum_is_sequence(d))
        for (int i = 0; i < d.list->count; i++)
            if (holds_tensor(d.list->at[i]))
                return true;
    return false;
}

static struct datum refuse_tensor(struct elab *e, struct datum d, struct span span) {
    if (!holds_tensor(d))
        return d;
    struct diag *diag =
        report_error(e, span, E_TIME, "a module's body runs at elaboration, this is a value of run time");
    diag_hint(diag, "`const` makes a constant tensor; compute what depends on inputs or weights in a fn");
    return datum_error();
}

static void run_let(struct elab *e, struct instance *instance, const struct item *item) {
    struct datum d = refuse_tensor(e, evaluate(e, item->value), item->value->span);
    struct binder binder = {.scope = instance->scope,
                            .self = instance,
                            .what = arena_printf(e->arena, "the value of `%s`", item->name.text)};
    if (item->type && !datum_is_error(d) && !bind_type(e, &binder, item->type, &d, item->value->span))
        d = datum_error();
    const char *path = item->weight_path ? item->weight_path : item->name.text;
    scope_bind(instance->scope, item->name.text, d, item->name.span);
    VEC_PUSH(e->arena, &instance->members, ((struct member){item->name.text, NULL, path, item->name.span}));
    name_members(e, instance, d, path);
}

static void declare_weight(struct elab *e, struct instance *instance, const struct item *item) {
    struct weight *w = weight_declare(e, instance, item);
    struct datum d = {.kind = DATUM_WEIGHT, .weight = w};
    scope_bind(instance->scope, item->name.text, d, item->name.span);
    VEC_PUSH(e->arena, &instance->members, ((struct member){item->name.text, w, w->path, item->name.span}));
}

/* Functions and modules of the body are there from its start. */
static void declare_functions(struct elab *e, struct instance *instance) {
    for (const struct item *item = instance->module->item->members; item; item = item->next) {
        struct datum d = {.kind = DATUM_CLOSURE};
        bool is_callable = item->kind == ITEM_FN || (item->kind == ITEM_TRAIN && e->names_places);
        if (is_callable) {
            struct closure *closure = ARENA_NEW(e->arena, struct closure);
            *closure = (struct closure){
                .kind = CLOSURE_FN, .item = item, .scope = instance->scope, .self = instance};
            d.closure = closure;
        } else if (item->kind == ITEM_MODULE) {
            d = (struct datum){.kind = DATUM_MODULE,
                               .module = module_create(e->arena, item, instance->scope)};
        } else {
            continue;
        }
        if (scope_find_here(instance->scope, item->name.text))
            report_error(e, item->name.span, E_DUPLICATE, "`%s` is defined twice", item->name.text);
        scope_bind(instance->scope, item->name.text, d, item->name.span);
    }
}

/* The members that a body's statement extended (`model += [...]`) get their names now; locals must stay free
 * of tensors. */
static void settle_statement(struct elab *e, struct instance *instance, const struct stmt *s) {
    for (int i = 0; i < instance->members.count; i++) {
        const struct member *member = &instance->members.at[i];
        if (!member->weight)
            name_members(e, instance, scope_find_here(instance->scope, member->name)->datum, member->path);
    }
    if (s->kind == STMT_ASSIGN && s->place->kind == EXPR_NAME) {
        struct binding *found = scope_find_here(instance->scope, s->place->name.text);
        if (found)
            found->datum = refuse_tensor(e, found->datum, s->span);
    }
}

static void run_member(struct elab *e, struct instance *instance, const struct item *item) {
    switch (item->kind) {
    case ITEM_LET:
        run_let(e, instance, item);
        break;
    case ITEM_PARAM:
    case ITEM_BUFFER:
        declare_weight(e, instance, item);
        break;
    case ITEM_STMT:
        run_statement(e, item->stmt);
        settle_statement(e, instance, item->stmt);
        break;
    default:
        break;
    }
}

bool instance_run_body(struct elab *e, struct instance *instance, struct span span) {
    if (instance->body != BODY_WAITING) {
        if (instance->body == BODY_DONE)
            require_again(e, instance);
        return instance->body != BODY_BROKEN;
    }
    instance->body = BODY_RUNNING;
    int errors = diags_error_count(e->diags);
    struct site *site = site_of_call(e, instance->site->span, instance->module->name);
    if (span_is_known(instance->site->span)) /* made there, and used for the first time here */
        site->caller =
            site_of_call(e, span, arena_printf(e->arena, "the first use of %s", instance->module->name));
    struct frame frame;
    frame_push(e, &frame, instance->scope, instance, site);
    frame.is_body = true;
    struct ambient ambient = e->ambient;
    e->ambient.views = NULL; /* its members are the same however it is seen, */
    bool in_constant = e->in_constant;
    e->in_constant = false; /* and whoever asks first */
    declare_functions(e, instance);
    for (const struct item *item = instance->module->item->members; item && !frame.returned;
         item = item->next)
        run_member(e, instance, item);
    e->ambient = ambient;
    e->in_constant = in_constant;
    frame_pop(e, &frame);
    instance->body = diags_error_count(e->diags) == errors ? BODY_DONE : BODY_BROKEN;
    return instance->body == BODY_DONE;
}

/* ---- members ---- */

bool instance_is_below(const struct instance *instance, const struct instance *root) {
    for (; instance; instance = instance->owner)
        if (instance == root)
            return true;
    return false;
}

const struct view *views_join(struct elab *e, const struct view *inner, const struct view *outer) {
    if (!inner || inner == outer)
        return outer;
    struct view *copy = arena_memdup(e->arena, inner, sizeof *inner);
    copy->next = views_join(e, inner->next, outer);
    return copy;
}

struct datum datum_through(struct elab *e, struct datum d, const struct view *view) {
    if (!view)
        return d;
    if (d.kind == DATUM_INSTANCE) {
        d.view = views_join(e, d.view, view);
    } else if (d.kind == DATUM_CLOSURE && d.closure->self) {
        struct closure *closure = arena_memdup(e->arena, d.closure, sizeof *closure);
        closure->view = views_join(e, closure->view, view);
        d.closure = closure;
    } else if (datum_is_sequence(d)) {
        d = datum_copy(e->arena, d);
        for (int i = 0; i < d.list->count; i++)
            *datum_at(d, i) = datum_through(e, d.list->at[i], view);
    }
    return d;
}

static struct datum no_member(struct elab *e, const struct instance *instance, const char *name,
                              struct span span) {
    if (name_set_has(&instance->module->body_uses, name) && name_set_has(&instance->module->signatures, name))
        return fail(e, span, E_DIM, "the dimension `%s` of `%s` is not known before its first call", name,
                    instance->module->name);
    struct diag *diag =
        report_error(e, span, E_NAME, "`%s` has no member `%s`", instance->module->name, name);
    diag_label(diag, instance->module->item->name.span, "it is declared here");
    hint_instance_member(e->arena, diag, name, instance->scope);
    return datum_error();
}

/* A weight by the last part of its name, where that is not what the body calls it (`param b ... as "bias"`).
 */
static struct weight *weight_by_path(const struct instance *instance, const char *name) {
    for (int i = 0; i < instance->members.count; i++) {
        struct weight *w = instance->members.at[i].weight;
        if (w && w->name != name && strcmp(w->path, name) == 0)
            return w;
    }
    return NULL;
}

/* The member of this name. From outside, the weight `bias` of a layer goes before its parameter `bias: true`.
 */
static struct datum find_member(struct instance *instance, const char *name) {
    struct binding *found = scope_find_here(instance->scope, name);
    struct weight *w = weight_by_path(instance, name);
    bool is_off = found && found->datum.kind == DATUM_BOOL && !found->datum.truth;
    if (w && !is_off && (!found || found->datum.kind == DATUM_BOOL))
        return (struct datum){.kind = DATUM_WEIGHT, .weight = w};
    return found ? found->datum : datum_error();
}

struct datum instance_member(struct elab *e, struct datum d, const char *name, struct span span) {
    if (!instance_run_body(e, d.instance, span))
        return datum_error();
    struct datum member = find_member(d.instance, name);
    if (datum_is_error(member) && !scope_find_here(d.instance->scope, name))
        return no_member(e, d.instance, name, span);
    if (member.kind != DATUM_WEIGHT)
        return datum_through(e, member, d.view);
    const struct view *views = e->ambient.views;
    e->ambient.views = views_join(e, d.view, views);
    struct datum read = datum_read(e, member, span);
    e->ambient.views = views;
    return read;
}

/* ---- places ---- */

const char *path_join(struct elab *e, const char *a, const char *b) {
    if (!*a || !*b)
        return *a ? a : b;
    return intern(e->names, arena_printf(e->arena, "%s.%s", a, b));
}

const char *snake_case(struct arena *arena, const char *name) {
    struct strbuf out;
    strbuf_init(&out, arena);
    for (const char *c = name; *c; c++) {
        bool upper = *c >= 'A' && *c <= 'Z', after_upper = c > name && c[-1] >= 'A' && c[-1] <= 'Z';
        if (upper && c > name && !after_upper)
            strbuf_putc(&out, '_');
        strbuf_putc(&out, upper ? (char)(*c - 'A' + 'a') : *c);
    }
    return out.text;
}

void name_anonymous(struct elab *e, struct instance *holder, struct instance *instance, const char *key) {
    int index = 0;
    for (int i = 0; i < holder->anonymous.count; i++)
        index += holder->anonymous.at[i].instance->module == instance->module;
    instance->owner = holder;
    instance->path = intern(
        e->names, arena_printf(e->arena, "%s_%d", snake_case(e->arena, instance->module->name), index));
    VEC_PUSH(e->arena, &holder->anonymous, ((struct anonymous){key, instance}));
}

void name_members(struct elab *e, struct instance *owner, struct datum d, const char *path) {
    if (d.kind == DATUM_INSTANCE) {
        struct shadow *shadow = NULL;
        for (const struct view *view = d.view; view && !shadow; view = view->next)
            shadow = view->shadow;
        if (shadow && !shadow->path) {
            shadow->owner = owner;
            shadow->path = path;
        } else if (!d.instance->path && d.instance != e->root) {
            d.instance->owner = owner;
            d.instance->path = path;
        }
    } else if (datum_is_sequence(d)) {
        for (int i = 0; i < d.list->count; i++) {
            const char *field =
                d.list->names && d.list->names[i] ? d.list->names[i] : arena_printf(e->arena, "%d", i);
            name_members(e, owner, d.list->at[i], path_join(e, path, field));
        }
    }
}

/* The path below `top` (the root: all of it). */
static const char *path_below(struct elab *e, const struct instance *instance, const struct instance *top) {
    if (instance == top || !instance->owner)
        return "";
    return path_join(e, path_below(e, instance->owner, top), instance->path);
}

const char *instance_path(struct elab *e, const struct instance *instance) {
    return path_below(e, instance, e->root);
}
