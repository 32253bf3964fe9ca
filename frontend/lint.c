/* frontend/lint.c: what is wrong, or looks wrong, in the text of a file before anything of it runs: names
 * that are declared twice, types that do not exist, things that nobody uses. Warnings are for the user's
 * files. */
#include "frontend/lint.h"
#include "frontend/elab.h"

#include <string.h>

struct lint {
    struct arena *arena;
    struct diags *diags;
    const struct scope *outer; /* the prelude and the builtins */
    bool warns;
};

/* ---- walking through a text ---- */

/* Called with every name that a text reads. */
struct reader {
    void (*read)(void *data, const char *name, struct span span);
    void *data;
};

static void read_expr(const struct reader *r, const struct expr *x);
static void read_statements(const struct reader *r, const struct stmt *s);

static void read_type(const struct reader *r, const struct type_expr *type) {
    for (; type; type = type->next) {
        for (const struct dim_expr *d = type->dims; d; d = d->next) {
            read_expr(r, d->expr);
            if (d->rest.text)
                r->read(r->data, d->rest.text, d->rest.span);
        }
        read_type(r, type->inner);
    }
}

static void read_args(const struct reader *r, const struct arg *arg) {
    for (; arg; arg = arg->next)
        read_expr(r, arg->value);
}

static void read_expr(const struct reader *r, const struct expr *x) {
    if (!x)
        return;
    if (x->kind == EXPR_NAME)
        r->read(r->data, x->name.text, x->span);
    read_expr(r, x->a);
    read_expr(r, x->b);
    read_expr(r, x->c);
    read_args(r, x->args);
    for (const struct sub *sub = x->subs; sub; sub = sub->next) {
        read_expr(r, sub->a);
        read_expr(r, sub->b);
        read_expr(r, sub->step);
    }
    for (const struct piece *piece = x->pieces; piece; piece = piece->next)
        read_expr(r, piece->expr);
    if (x->loop)
        read_statements(r, x->loop);
}

static bool is_plain_assignment(const struct stmt *s) {
    return s->kind == STMT_ASSIGN && s->op == ASSIGN_SET && s->place->kind == EXPR_NAME;
}

static void read_statements(const struct reader *r, const struct stmt *s) {
    for (; s; s = s->next) {
        if (!is_plain_assignment(s))
            read_expr(r, s->place);
        const struct expr *const parts[] = {s->value, s->cond, s->message, s->over, s->optimizer};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            read_expr(r, parts[i]);
        read_type(r, s->type);
        read_args(r, s->args);
        read_statements(r, s->body.first);
        read_statements(r, s->otherwise.first);
    }
}

static void read_item(const struct reader *r, const struct item *item) {
    for (const struct formal *f = item->formals; f; f = f->next) {
        read_type(r, f->type);
        read_expr(r, f->init);
    }
    read_type(r, item->type);
    read_expr(r, item->value);
    read_statements(r, item->body.first);
    if (item->stmt)
        read_statements(r, item->stmt);
    for (const struct item *member = item->members; member; member = member->next)
        read_item(r, member);
}

static void collect(void *data, const char *name, struct span span) {
    (void)span;
    map_put((struct map *)data, name, (void *)name);
}

/* ---- declared twice ---- */

static void declare(const struct lint *l, struct map *seen, const struct ident *name, const char *what) {
    if (!name->text || strcmp(name->text, "_") == 0)
        return;
    const struct ident *older = map_find(seen, name->text);
    if (older)
        diag_label(
            diag_error(l->diags, name->span, E_DUPLICATE, "%s `%s` is declared twice", what, name->text),
            older->span, "it is declared here too");
    else
        map_put(seen, name->text, (void *)name);
}

static void declare_formals(const struct lint *l, const struct formal *f, const char *what) {
    struct map seen;
    map_init(&seen, l->arena);
    for (; f; f = f->next)
        declare(l, &seen, &f->name, what);
}

static bool is_member(const struct item *item) {
    return item->kind != ITEM_STMT && item->kind != ITEM_USE;
}

/* ---- types ---- */

static void check_type(const struct lint *l, const struct type_expr *type) {
    for (; type; type = type->next) {
        enum dtype dtype;
        const char *word = type->name.text;
        if (type->kind == TYPE_NAME && !is_type_word(word))
            unknown_type(l->diags, word, type->name.span);
        if (type->kind == TYPE_TENSOR && !dtype_find(word, strlen(word), &dtype) && !is_dtype_variable(word))
            unknown_dtype(l->diags, word, type->name.span);
        check_type(l, type->inner);
    }
}

static void check_statement_types(const struct lint *l, const struct stmt *s) {
    for (; s; s = s->next) {
        check_type(l, s->type);
        check_statement_types(l, s->body.first);
        check_statement_types(l, s->otherwise.first);
    }
}

static void check_item_types(const struct lint *l, const struct item *item) {
    for (const struct formal *f = item->formals; f; f = f->next)
        check_type(l, f->type);
    check_type(l, item->type);
    check_statement_types(l, item->body.first);
    if (item->stmt)
        check_statement_types(l, item->stmt);
}

/* ---- never used ---- */

static bool may_be_unused(const char *name) {
    return name[0] == '_';
}

static struct diag *warn_unused(const struct lint *l, struct span span, const char *what, const char *name) {
    return diag_warning(l->diags, span, W_UNUSED, "%s `%s` is never used", what, name);
}

/* The names that statements bind, each where it is bound first. */
struct locals {
    const struct lint *l;
    const struct map *used;
    struct map seen;
};

static void note_local(struct locals *locals, const char *name, struct span span) {
    if (!name || may_be_unused(name) || map_has(&locals->seen, name))
        return;
    map_put(&locals->seen, name, (void *)name);
    if (!map_has(locals->used, name))
        diag_hint(warn_unused(locals->l, span, "the value of", name),
                  "an underscore in front, `_%s`, says that this is meant", name);
}

static void note_pattern(struct locals *locals, const struct pattern *pattern) {
    for (; pattern; pattern = pattern->next) {
        note_local(locals, pattern->name.text, pattern->span);
        note_pattern(locals, pattern->parts);
    }
}

static void note_statements(struct locals *locals, const struct stmt *s) {
    for (; s; s = s->next) {
        if (is_plain_assignment(s))
            note_local(locals, s->place->name.text, s->place->span);
        else if (s->kind == STMT_TYPED || s->kind == STMT_CONST)
            note_local(locals, s->name.text, s->name.span);
        else if (s->kind == STMT_UNPACK)
            note_pattern(locals, s->pattern);
        note_statements(locals, s->body.first);
        note_statements(locals, s->otherwise.first);
    }
}

/* `w = x` in a method is no local: it is refused where it runs. */
static void skip_weights(struct locals *locals, const struct item *module) {
    for (const struct item *m = module ? module->members : NULL; m; m = m->next)
        if (m->kind == ITEM_PARAM || m->kind == ITEM_BUFFER)
            map_put(&locals->seen, m->name.text, (void *)m);
}

static void check_locals(const struct lint *l, const struct item *module, const struct item *item) {
    struct map used;
    map_init(&used, l->arena);
    const struct reader reader = {collect, &used};
    read_item(&reader, item);
    struct locals locals = {.l = l, .used = &used};
    map_init(&locals.seen, l->arena);
    skip_weights(&locals, module);
    note_statements(&locals, item->body.first);
}

/* A model's hyper-parameters and members are reached from its own text alone; a module's from anywhere. */
static void check_model(const struct lint *l, const struct item *model) {
    struct map used;
    map_init(&used, l->arena);
    const struct reader reader = {collect, &used};
    read_item(&reader, model);
    for (const struct formal *f = model->formals; f; f = f->next)
        if (!map_has(&used, f->name.text) && !may_be_unused(f->name.text))
            warn_unused(l, f->name.span, "the hyper-parameter", f->name.text);
    for (const struct item *item = model->members; item; item = item->next)
        if ((item->kind == ITEM_LET || item->kind == ITEM_PARAM || item->kind == ITEM_BUFFER) &&
            !map_has(&used, item->name.text) && !may_be_unused(item->name.text))
            warn_unused(l, item->name.span, "the member", item->name.text);
}

static const char *last_name(struct arena *arena, const struct item *use) {
    const char *dot = strrchr(use->source, use->source_is_file ? '/' : '.');
    const char *name = dot ? dot + 1 : use->source;
    size_t length = strlen(name);
    if (use->source_is_file && length > 5 && strcmp(name + length - 5, ".weft") == 0)
        length -= 5;
    return arena_strndup(arena, name, length);
}

static void check_uses(const struct lint *l, const struct file_ast *file, struct interner *names) {
    struct map used;
    map_init(&used, l->arena);
    const struct reader reader = {collect, &used};
    for (const struct item *item = file->items; item; item = item->next)
        read_item(&reader, item);
    for (const struct item *item = file->items; item; item = item->next) {
        if (item->kind != ITEM_USE)
            continue;
        const char *name = item->name.text ? item->name.text : intern(names, last_name(l->arena, item));
        if (!item->names && !map_has(&used, name))
            warn_unused(l, item->span, "the file", name);
        for (const struct param_name *n = item->names; n; n = n->next)
            if (!map_has(&used, n->name.text))
                warn_unused(l, n->name.span, "the name", n->name.text);
    }
}

/* ---- what never runs ---- */

static void check_reachable(const struct lint *l, const struct stmt *s) {
    for (; s; s = s->next) {
        if (s->kind == STMT_RETURN && s->next) {
            const char *what = s->next->kind == STMT_REPORT ? "this report is dead: the function has returned"
                                                            : "this never runs: the function has returned";
            diag_label(diag_warning(l->diags, s->next->span, W_UNUSED, "%s", what), s->span, "here");
            return;
        }
        check_reachable(l, s->body.first);
        check_reachable(l, s->otherwise.first);
    }
}

/* ---- dimensions that are slips (S10) ---- */

struct sizes {
    const char *name; /* looked for */
    int count;
};

static void count_name(void *data, const char *name, struct span span) {
    (void)span;
    struct sizes *sizes = data;
    sizes->count += name == sizes->name;
}

/* A size that a result's type names, and nothing else: f32[Bach, 4] where the parameters have Batch. */
static void check_result_dims(const struct lint *l, const struct item *module, const struct item *fn) {
    VEC(const char *) known = {0};
    for (const struct formal *f = fn->formals; f; f = f->next)
        for (const struct dim_expr *d = f->type ? f->type->dims : NULL; d; d = d->next)
            if (d->expr && d->expr->kind == EXPR_NAME)
                VEC_PUSH(l->arena, &known, d->expr->name.text);
    for (const struct dim_expr *d = fn->type ? fn->type->dims : NULL; d; d = d->next) {
        if (!d->expr || d->expr->kind != EXPR_NAME)
            continue;
        const char *name = d->expr->name.text, *near = nearest_name(name, known.at, known.count);
        struct sizes sizes = {name, 0};
        const struct reader reader = {count_name, &sizes};
        if (near && near != name)
            read_item(&reader, module);
        if (sizes.count == 1)
            diag_hint(
                diag_warning(l->diags, d->expr->span, W_UNUSED, "the size `%s` is named here alone", name),
                "did you mean `%s`?", near);
    }
}

/* A size that is named once in the whole module, and spelt like one of its names. */
static void check_dims_of(const struct lint *l, const struct item *module, const struct item *fn) {
    VEC(const char *) known = {0};
    for (const struct formal *f = module->formals; f; f = f->next)
        VEC_PUSH(l->arena, &known, f->name.text);
    for (const struct item *m = module->members; m; m = m->next)
        if (m->kind == ITEM_LET || m->kind == ITEM_STMT)
            VEC_PUSH(l->arena, &known, m->kind == ITEM_LET ? m->name.text : m->stmt->name.text);
    check_result_dims(l, module, fn);
    for (const struct formal *f = fn->formals; f; f = f->next)
        for (const struct dim_expr *d = f->type ? f->type->dims : NULL; d; d = d->next) {
            if (!d->expr || d->expr->kind != EXPR_NAME || strlen(d->expr->name.text) < 3)
                continue;
            const char *name = d->expr->name.text,
                       **at = ARENA_ARRAY(l->arena, const char *, known.count + 1);
            int count = 0;
            bool is_known = false;
            for (int i = 0; i < known.count; i++)
                if (known.at[i]) {
                    is_known |= known.at[i] == name;
                    at[count++] = known.at[i];
                }
            const char *near = is_known ? NULL : nearest_name(name, at, count);
            struct sizes sizes = {name, 0};
            const struct reader reader = {count_name, &sizes};
            if (near)
                read_item(&reader, module);
            if (sizes.count == 1)
                diag_hint(diag_warning(l->diags, d->expr->span, W_UNUSED, "the size `%s` is named here alone",
                                       name),
                          "did you mean `%s`?", near);
        }
}

/* ---- builtins ---- */

static void check_shadow(const struct lint *l, const struct item *item) {
    const struct binding *builtin = item->name.text ? scope_find(l->outer, item->name.text) : NULL;
    if (!builtin || item->kind != ITEM_FN)
        return;
    struct diag *diag =
        diag_warning(l->diags, item->name.span, W_SHADOW, "this `%s` hides the builtin function `%s`",
                     item->name.text, item->name.text);
    if (span_is_known(builtin->span))
        diag_label(diag, builtin->span, "the builtin");
}

/* ---- a file ---- */

static void lint_items(const struct lint *l, const struct item *parent, const struct item *items) {
    struct map seen;
    map_init(&seen, l->arena);
    for (const struct item *item = items; item; item = item->next) {
        bool is_function = item->kind == ITEM_FN || item->kind == ITEM_TRAIN;
        if (parent && is_member(item))
            declare(l, &seen, &item->name, "the member");
        declare_formals(l, item->formals, "the parameter");
        check_item_types(l, item);
        lint_items(l, item, item->members);
        if (l->warns && is_function) {
            check_locals(l, parent, item);
            check_reachable(l, item->body.first);
        }
        if (l->warns && is_function && parent)
            check_dims_of(l, parent, item);
        if (l->warns && item->kind == ITEM_MODULE && item->module_kind == MODULE_MODEL)
            check_model(l, item);
        if (l->warns && !parent) /* a member is meant where its module calls it */
            check_shadow(l, item);
    }
}

void lint_file(struct frontend *fe, const struct file_ast *file, bool warns) {
    const struct lint l = {.arena = fe->arena, .diags = fe->diags, .outer = fe->prelude, .warns = warns};
    lint_items(&l, NULL, file->items);
    if (warns)
        check_uses(&l, file, fe->names);
}
