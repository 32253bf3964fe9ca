/* frontend/module.c: what a module's text says about its names: which it declares, and which dimensions
 * belong to its instances. */
#include "frontend/instance.h"

#include <string.h>

bool name_set_has(const struct name_set *set, const char *name) {
    for (int i = 0; i < set->names.count; i++)
        if (set->names.at[i] == name)
            return true;
    return false;
}

struct collector {
    struct arena *arena;
    struct name_set *into;
};

static void add_name(struct collector *c, const char *name) {
    if (name && !name_set_has(c->into, name))
        VEC_PUSH(c->arena, &c->into->names, name);
}

/* ---- free names of expressions and types ---- */

static void uses_of_expr(struct collector *c, const struct expr *x);

static void uses_of_type(struct collector *c, const struct type_expr *type) {
    for (; type; type = type->next) {
        for (const struct dim_expr *d = type->dims; d; d = d->next) {
            uses_of_expr(c, d->expr);
            add_name(c, d->rest.text);
        }
        uses_of_type(c, type->inner);
    }
}

static void uses_of_args(struct collector *c, const struct arg *arg) {
    for (; arg; arg = arg->next)
        uses_of_expr(c, arg->value);
}

static bool pattern_has(const struct pattern *pattern, const char *name) {
    for (; pattern; pattern = pattern->next)
        if (pattern->name.text == name || pattern_has(pattern->parts, name))
            return true;
    return false;
}

/* The names in `inner` but for those that a lambda or comprehension binds. */
static void uses_but_bound(struct collector *c, const struct expr *x, const struct name_set *inner) {
    for (int i = 0; i < inner->names.count; i++) {
        const char *name = inner->names.at[i];
        bool bound = x->pattern && (x->pattern->name.text == name || pattern_has(x->pattern->parts, name));
        for (const struct param_name *p = x->params; p; p = p->next)
            bound |= p->name.text == name;
        if (!bound)
            add_name(c, name);
    }
}

static void uses_of_expr(struct collector *c, const struct expr *x) {
    if (!x)
        return;
    if (x->kind == EXPR_LAMBDA || x->kind == EXPR_COMPREHENSION) {
        struct name_set inner = {0};
        struct collector own = {c->arena, &inner};
        uses_of_expr(&own, x->a);
        uses_of_expr(&own, x->c);
        uses_but_bound(c, x, &inner);
        uses_of_expr(c, x->b);
        return;
    }
    if (x->kind == EXPR_NAME)
        add_name(c, x->name.text);
    uses_of_expr(c, x->a);
    uses_of_expr(c, x->b);
    uses_of_expr(c, x->c);
    uses_of_args(c, x->args);
    for (const struct sub *sub = x->subs; sub; sub = sub->next) {
        uses_of_expr(c, sub->a);
        uses_of_expr(c, sub->b);
        uses_of_expr(c, sub->step);
    }
    for (const struct piece *piece = x->pieces; piece; piece = piece->next)
        uses_of_expr(c, piece->expr);
}

static void uses_of_statements(struct collector *c, const struct stmt *s) {
    for (; s; s = s->next) {
        uses_of_type(c, s->type);
        const struct expr *const parts[] = {s->place, s->value, s->cond, s->message, s->over, s->optimizer};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            uses_of_expr(c, parts[i]);
        uses_of_args(c, s->args);
        uses_of_statements(c, s->body.first);
        uses_of_statements(c, s->otherwise.first);
    }
}

/* ---- what a body binds ---- */

static void names_of_pattern(struct collector *c, const struct pattern *pattern) {
    for (; pattern; pattern = pattern->next) {
        add_name(c, pattern->name.text);
        names_of_pattern(c, pattern->parts);
    }
}

static void declared_by_statement(struct collector *c, const struct stmt *s) {
    if (s->kind == STMT_CONST || s->kind == STMT_TYPED)
        add_name(c, s->name.text);
    else if (s->kind == STMT_ASSIGN && s->place->kind == EXPR_NAME)
        add_name(c, s->place->name.text);
    else if (s->kind == STMT_UNPACK)
        names_of_pattern(c, s->pattern);
}

static void read_item(struct module *module, struct arena *arena, const struct item *item) {
    struct collector declared = {arena, &module->declared}, uses = {arena, &module->body_uses},
                     signatures = {arena, &module->signatures};
    switch (item->kind) {
    case ITEM_LET:
    case ITEM_PARAM:
    case ITEM_BUFFER:
        add_name(&declared, item->name.text);
        uses_of_type(&uses, item->type);
        uses_of_expr(&uses, item->value);
        break;
    case ITEM_FN:
        add_name(&declared, item->name.text);
        for (const struct formal *f = item->formals; f; f = f->next)
            uses_of_type(&signatures, f->type);
        break;
    case ITEM_MODULE:
        add_name(&declared, item->name.text);
        break;
    case ITEM_STMT:
        declared_by_statement(&declared, item->stmt);
        uses_of_statements(&uses, item->stmt);
        break;
    default:
        break;
    }
}

const struct module *module_create(struct arena *arena, const struct item *item, struct scope *scope) {
    struct module *module = ARENA_NEW(arena, struct module);
    module->name = item->name.text;
    module->item = item;
    module->scope = scope;
    struct collector declared = {arena, &module->declared};
    for (const struct formal *f = item->formals; f; f = f->next)
        add_name(&declared, f->name.text);
    for (const struct item *member = item->members; member; member = member->next)
        read_item(module, arena, member);
    return module;
}

const struct item *module_find_fn(const struct module *module, const char *name) {
    for (const struct item *item = module->item->members; item; item = item->next)
        if (item->kind == ITEM_FN && item->name.text == name)
            return item;
    return NULL;
}
