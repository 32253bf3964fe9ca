/* frontend/names.c: what the names of a text mean (names.h). One walk through the tree, in the order in which
 * the names come alive: a value before the name that it is assigned to. */
#include "frontend/names.h"

#include "frontend/builtin.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    struct names *names;
    struct frontend *fe;
    const struct facts *facts;
    struct name_scope *scope;
    struct map outside; /* of other files and builtins: what identifies one, to its symbol */
    const struct item *owner;
};

/* ---- symbols ---- */

static struct symbol *declare(struct walk *w, enum symbol_kind kind, struct ident name) {
    struct symbol *symbol = ARENA_NEW(w->names->arena, struct symbol);
    symbol->kind = kind;
    symbol->name = name.text;
    symbol->span = name.span;
    symbol->owner = w->owner;
    VEC_PUSH(w->names->arena, &w->scope->symbols, (const struct symbol *)symbol);
    return symbol;
}

static void note(struct walk *w, struct span span, const struct symbol *symbol, const struct expr *expr,
                 bool declares, bool assigns) {
    if (!symbol || !span_is_known(span) || span.source != w->names->ast->source)
        return;
    VEC_PUSH(w->names->arena, &w->names->occurrences,
             ((struct occurrence){span, symbol, expr, declares, assigns}));
}

static struct symbol *declare_noted(struct walk *w, enum symbol_kind kind, struct ident name) {
    if (!name.text || strcmp(name.text, "_") == 0)
        return NULL;
    struct symbol *symbol = declare(w, kind, name);
    note(w, name.span, symbol, NULL, true, true);
    return symbol;
}

/* A word that names no declaration: of a tuple, a report, an ambient. */
static void note_field_of(struct walk *w, struct ident name, const struct expr *x) {
    if (!name.text)
        return;
    struct symbol *symbol = ARENA_NEW(w->names->arena, struct symbol);
    *symbol = (struct symbol){.kind = SYMBOL_FIELD, .name = name.text, .span = name.span, .owner = w->owner};
    note(w, name.span, symbol, x, true, false);
}

static void note_field(struct walk *w, struct ident name) {
    note_field_of(w, name, NULL);
}

static struct name_scope *scope_push(struct walk *w, struct span span, bool in_order) {
    struct name_scope *scope = ARENA_NEW(w->names->arena, struct name_scope);
    scope->outer = w->scope;
    scope->span = span;
    scope->in_order = in_order;
    VEC_PUSH(w->names->arena, &w->names->scopes, scope);
    w->scope = scope;
    return scope;
}

static void scope_pop(struct walk *w) {
    w->scope = (struct name_scope *)w->scope->outer;
}

static const struct symbol *find_in(const struct name_scope *scope, const char *name, uint32_t before) {
    for (; scope; scope = scope->outer)
        for (int i = scope->symbols.count - 1; i >= 0; i--) {
            const struct symbol *symbol = scope->symbols.at[i];
            if (symbol->name == name && (!scope->in_order || symbol->span.begin <= before))
                return symbol;
        }
    return NULL;
}

static enum symbol_kind kind_of_datum(struct datum d) {
    switch (d.kind) {
    case DATUM_MODULE:
        return SYMBOL_MODULE;
    case DATUM_CLOSURE:
        return d.closure->item ? SYMBOL_FN : SYMBOL_VARIABLE;
    case DATUM_BUILTIN:
        return SYMBOL_BUILTIN;
    case DATUM_NAMESPACE:
        return SYMBOL_FILE;
    default:
        return SYMBOL_CONST;
    }
}

const struct symbol *symbol_of_binding(struct arena *arena, const struct binding *binding) {
    struct datum d = binding->datum;
    struct symbol *symbol = ARENA_NEW(arena, struct symbol);
    symbol->kind = kind_of_datum(d);
    symbol->name = binding->name;
    symbol->span = binding->span;
    if (d.kind == DATUM_MODULE)
        symbol->item = d.module->item;
    else if (d.kind == DATUM_CLOSURE)
        symbol->item = d.closure->item;
    else if (d.kind == DATUM_BUILTIN)
        symbol->builtin = d.builtin;
    else if (d.kind == DATUM_NAMESPACE)
        symbol->file = d.scope->file;
    else if (!span_is_known(binding->span))
        symbol->kind = SYMBOL_BUILTIN;
    if (symbol->item)
        symbol->span = symbol->item->name.span;
    return symbol;
}

/* One symbol for one definition, wherever it is met. */
static const struct symbol *symbol_outside(struct walk *w, const struct binding *binding) {
    const void *key = binding->name;
    if (binding->datum.kind == DATUM_MODULE)
        key = binding->datum.module->item;
    else if (binding->datum.kind == DATUM_CLOSURE)
        key = binding->datum.closure->item;
    const struct symbol *known = map_find(&w->outside, key);
    if (!known) {
        known = symbol_of_binding(w->names->arena, binding);
        map_put(&w->outside, key, (void *)known);
    }
    return known;
}

static const char *const ambient_names[] = {"training", "step", "epoch", "precision", "rng", "weights"};

static const struct symbol *ambient_symbol(struct walk *w, const char *name) {
    for (size_t i = 0; i < sizeof ambient_names / sizeof *ambient_names; i++)
        if (strcmp(ambient_names[i], name) == 0) {
            struct binding ambient = {.name = name};
            return symbol_outside(w, &ambient);
        }
    return NULL;
}

/* A name of the text, of a file it uses, of the prelude, a builtin, an ambient. */
static const struct symbol *find_symbol(struct walk *w, const char *name, uint32_t before) {
    const struct symbol *symbol = find_in(w->scope, name, before);
    if (symbol)
        return symbol;
    const struct binding *outside = scope_find(w->names->file->scope, name);
    return outside ? symbol_outside(w, outside) : ambient_symbol(w, name);
}

/* ---- expressions ---- */

static void walk_expr(struct walk *w, const struct expr *x);
static void walk_statements(struct walk *w, const struct stmt *s);

/* The symbol of an item that was declared in this text; else one made from the item. */
static const struct symbol *symbol_of_item(struct walk *w, const struct item *item) {
    for (int i = 0; i < w->names->scopes.count; i++)
        for (int k = 0; k < w->names->scopes.at[i]->symbols.count; k++)
            if (w->names->scopes.at[i]->symbols.at[k]->item == item)
                return w->names->scopes.at[i]->symbols.at[k];
    const struct symbol *known = map_find(&w->outside, item);
    if (known)
        return known;
    static const enum symbol_kind kinds[] = {
        [ITEM_MODULE] = SYMBOL_MODULE, [ITEM_LET] = SYMBOL_LET,      [ITEM_PARAM] = SYMBOL_PARAM,
        [ITEM_BUFFER] = SYMBOL_BUFFER, [ITEM_FN] = SYMBOL_FN,        [ITEM_TRAIN] = SYMBOL_FN,
        [ITEM_USE] = SYMBOL_FILE,      [ITEM_STMT] = SYMBOL_VARIABLE};
    struct symbol *symbol = ARENA_NEW(w->names->arena, struct symbol);
    *symbol = (struct symbol){.kind = kinds[item->kind],
                              .name = item->name.text,
                              .span = item->name.span,
                              .item = item,
                              .value = item->value};
    map_put(&w->outside, item, symbol);
    return symbol;
}

/* The parameter of another file's definition. */
static const struct symbol *symbol_of_formal(struct walk *w, const struct item *item,
                                             const struct formal *formal) {
    for (int i = 0; i < w->names->scopes.count; i++)
        for (int k = 0; k < w->names->scopes.at[i]->symbols.count; k++)
            if (w->names->scopes.at[i]->symbols.at[k]->formal == formal)
                return w->names->scopes.at[i]->symbols.at[k];
    const struct symbol *known = map_find(&w->outside, formal);
    if (known)
        return known;
    struct symbol *symbol = ARENA_NEW(w->names->arena, struct symbol);
    *symbol = (struct symbol){.kind = SYMBOL_FORMAL,
                              .name = formal->name.text,
                              .span = formal->name.span,
                              .formal = formal,
                              .owner = item};
    map_put(&w->outside, formal, symbol);
    return symbol;
}

static const struct item *member_named(const struct item *module, const char *name) {
    for (const struct item *m = module ? module->members : NULL; m; m = m->next)
        if (m->name.text == name && m->kind != ITEM_USE)
            return m;
    return NULL;
}

/* The module that an expression gives an instance of, as far as the text alone tells; NULL: it does not. */
static const struct item *module_of_expr(struct walk *w, const struct expr *x, int depth);

static const struct symbol *symbol_of_callee(struct walk *w, const struct expr *x) {
    if (x->kind == EXPR_NAME)
        return find_symbol(w, x->name.text, x->span.begin);
    if (x->kind != EXPR_FIELD || x->a->kind != EXPR_NAME)
        return NULL;
    const struct symbol *file = find_symbol(w, x->a->name.text, x->span.begin);
    const struct binding *found =
        file && file->file ? scope_find_here(file->file->scope, x->name.text) : NULL;
    return found ? symbol_outside(w, found) : NULL;
}

static const struct item *module_of_expr(struct walk *w, const struct expr *x, int depth) {
    const struct fact *fact = facts_of_expr(w->facts, x);
    if (x && fact && fact->count && fact->values[0].kind == DATUM_INSTANCE)
        return fact->values[0].instance->module->item;
    if (!x || depth > 16)
        return NULL;
    if (x->kind == EXPR_NAME) {
        const struct symbol *symbol = find_symbol(w, x->name.text, x->span.begin);
        if (symbol && symbol->made_of)
            return symbol->made_of;
        return symbol && symbol->value ? module_of_expr(w, symbol->value, depth + 1) : NULL;
    }
    if (x->kind == EXPR_FIELD) {
        const struct item *member = member_named(module_of_expr(w, x->a, depth + 1), x->name.text);
        return member && member->kind == ITEM_LET ? module_of_expr(w, member->value, depth + 1) : NULL;
    }
    const struct symbol *callee = x->kind == EXPR_CALL ? symbol_of_callee(w, x->a) : NULL;
    if (callee && callee->kind == SYMBOL_MODULE)
        return callee->item;
    bool is_copy = callee && callee->builtin && x->args &&
                   (strcmp(callee->name, "shadow") == 0 || strcmp(callee->name, "frozen") == 0);
    return is_copy ? module_of_expr(w, x->args->value, depth + 1) : NULL;
}

static const struct symbol *symbol_of_field(struct walk *w, const struct expr *x) {
    const struct symbol *callee = symbol_of_callee(w, x);
    if (callee)
        return callee;
    const struct item *member = member_named(module_of_expr(w, x->a, 0), x->name.text);
    if (member)
        return symbol_of_item(w, member);
    return NULL;
}

const struct formal *formals_of_datum(struct interner *names, struct datum callee, const struct item **item) {
    *item = NULL;
    if (callee.kind == DATUM_MODULE)
        *item = callee.module->item;
    else if (callee.kind == DATUM_CLOSURE)
        *item = callee.closure->item;
    else if (callee.kind == DATUM_INSTANCE)
        *item = module_find_fn(callee.instance->module, intern(names, "call"));
    return *item ? (*item)->formals : NULL;
}

static const struct item *fn_named(const struct item *module, const char *name) {
    const struct item *found = member_named(module, name);
    return found && found->kind == ITEM_FN ? found : NULL;
}

/* What declares the parameters of a call; NULL: it cannot be told, or a builtin. */
static const struct item *declaration_of_call(struct walk *w, const struct expr *callee) {
    const struct fact *fact = facts_of_expr(w->facts, callee);
    const struct item *item = NULL;
    if (fact && fact->count)
        formals_of_datum(w->fe->names, fact->values[0], &item);
    if (item)
        return item;
    const struct symbol *symbol = symbol_of_callee(w, callee);
    if (symbol && (symbol->kind == SYMBOL_MODULE || symbol->kind == SYMBOL_FN))
        return symbol->item;
    const char *call = intern(w->fe->names, "call");
    if (callee->kind == EXPR_FIELD) {
        const struct item *method = fn_named(module_of_expr(w, callee->a, 0), callee->name.text);
        if (method)
            return method;
    }
    return fn_named(module_of_expr(w, callee, 0), call);
}

static void walk_arguments(struct walk *w, const struct expr *callee, const struct arg *arg) {
    const struct item *item = arg ? declaration_of_call(w, callee) : NULL;
    for (; arg; arg = arg->next) {
        const struct formal *formal = item && arg->name.text ? item->formals : NULL;
        while (formal && formal->name.text != arg->name.text)
            formal = formal->next;
        if (formal)
            note(w, arg->name.span, symbol_of_formal(w, item, formal), NULL, false, false);
        else
            note_field(w, arg->name);
        walk_expr(w, arg->value);
    }
}

static void walk_pattern(struct walk *w, const struct pattern *pattern, bool assigns);

static void walk_args(struct walk *w, const struct arg *arg) {
    for (; arg; arg = arg->next) {
        note_field(w, arg->name);
        walk_expr(w, arg->value);
    }
}

static void walk_lambda(struct walk *w, const struct expr *x) {
    scope_push(w, x->span, true);
    for (const struct param_name *p = x->params; p; p = p->next)
        declare_noted(w, SYMBOL_FORMAL, p->name);
    walk_expr(w, x->a);
    scope_pop(w);
}

static void walk_comprehension(struct walk *w, const struct expr *x) {
    walk_expr(w, x->b);
    scope_push(w, x->span, false);
    walk_pattern(w, x->pattern, false);
    walk_expr(w, x->a);
    walk_expr(w, x->c);
    scope_pop(w);
}

static void walk_field(struct walk *w, const struct expr *x) {
    walk_expr(w, x->a);
    const struct symbol *symbol = symbol_of_field(w, x);
    if (symbol)
        note(w, x->op_span, symbol, x, false, false);
    else
        note_field_of(w, (struct ident){x->name.text, x->op_span}, x);
}

static void walk_expr(struct walk *w, const struct expr *x) {
    if (!x)
        return;
    switch (x->kind) {
    case EXPR_NAME:
        note(w, x->span, find_symbol(w, x->name.text, x->span.begin), x, false, false);
        return;
    case EXPR_LAMBDA:
        walk_lambda(w, x);
        return;
    case EXPR_COMPREHENSION:
        walk_comprehension(w, x);
        return;
    case EXPR_FIELD:
        walk_field(w, x);
        return;
    case EXPR_CALL:
        walk_expr(w, x->a);
        walk_arguments(w, x->a, x->args);
        return;
    case EXPR_LOOP:
        walk_statements(w, x->loop);
        return;
    default:
        break;
    }
    walk_expr(w, x->a);
    walk_expr(w, x->b);
    walk_expr(w, x->c);
    walk_args(w, x->args);
    for (const struct sub *sub = x->subs; sub; sub = sub->next) {
        walk_expr(w, sub->a);
        walk_expr(w, sub->b);
        walk_expr(w, sub->step);
    }
    for (const struct piece *piece = x->pieces; piece; piece = piece->next)
        walk_expr(w, piece->expr);
}

/* ---- types ---- */

/* The first mention of a dimension variable declares it: for the instance where the module's body names it
 * too (S10), else for the function. */
static void walk_dim_name(struct walk *w, struct ident name, const struct expr *x, bool binds) {
    if (!name.text || strcmp(name.text, "_") == 0)
        return;
    const struct symbol *symbol = find_symbol(w, name.text, name.span.begin);
    if (!symbol && binds)
        declare_noted(w, SYMBOL_DIM, name);
    else
        note(w, name.span, symbol, x, false, false);
}

static void walk_type(struct walk *w, const struct type_expr *type, bool binds);

static void walk_dim(struct walk *w, const struct expr *x, bool binds) {
    if (x && x->kind == EXPR_NAME) {
        walk_dim_name(w, (struct ident){x->name.text, x->span}, x, binds);
    } else if (x && x->kind == EXPR_BINARY) {
        walk_dim(w, x->a, binds);
        walk_dim(w, x->b, binds);
    } else {
        walk_expr(w, x);
    }
}

static void walk_type(struct walk *w, const struct type_expr *type, bool binds) {
    for (; type; type = type->next) {
        for (const struct dim_expr *dim = type->dims; dim; dim = dim->next) {
            walk_dim(w, dim->expr, binds);
            walk_dim_name(w, dim->rest, NULL, binds);
        }
        note_field(w, type->field);
        walk_type(w, type->inner, binds);
    }
}

/* ---- statements ---- */

static void walk_pattern(struct walk *w, const struct pattern *pattern, bool assigns) {
    if (!pattern)
        return;
    if (!pattern->name.text) {
        for (const struct pattern *part = pattern->parts; part; part = part->next)
            walk_pattern(w, part, assigns);
        return;
    }
    const struct symbol *known = assigns ? find_in(w->scope, pattern->name.text, pattern->span.begin) : NULL;
    if (known && known->owner == w->owner)
        note(w, pattern->span, known, NULL, false, true);
    else
        declare_noted(w, SYMBOL_VARIABLE, (struct ident){pattern->name.text, pattern->span});
}

/* An assignment declares the name where the function (or the module's body) has none of that name (S3). */
static void walk_assigned(struct walk *w, struct ident name, enum symbol_kind kind, const struct expr *value,
                          const struct expr *x) {
    const struct symbol *known = find_in(w->scope, name.text, name.span.begin);
    bool is_own =
        known && known->owner == w->owner && known->kind != SYMBOL_MODULE && known->kind != SYMBOL_FN;
    if (is_own) {
        note(w, name.span, known, x, false, true);
        return;
    }
    struct symbol *symbol = declare_noted(w, kind, name);
    if (symbol) {
        symbol->value = value;
        symbol->made_of = module_of_expr(w, value, 0);
    }
}

static void walk_block(struct walk *w, const struct block_ast *block, struct span span) {
    scope_push(w, span, true);
    walk_statements(w, block->first);
    scope_pop(w);
}

static void walk_assign(struct walk *w, const struct stmt *s) {
    const struct expr *place = s->place;
    walk_expr(w, s->value);
    if (place->kind == EXPR_NAME)
        walk_assigned(w, (struct ident){place->name.text, place->span}, SYMBOL_VARIABLE, s->value, place);
    else
        walk_expr(w, place);
}

static void walk_turns(struct walk *w, const struct stmt *s) {
    walk_expr(w, s->value);
    scope_push(w, s->span, true);
    walk_pattern(w, s->pattern, false);
    walk_expr(w, s->cond);
    walk_statements(w, s->body.first);
    scope_pop(w);
}

static void walk_when(struct walk *w, const struct stmt *s) {
    walk_expr(w, s->cond);
    walk_block(w, &s->body, s->body.span);
    if (s->has_otherwise)
        walk_block(w, &s->otherwise, s->otherwise.first ? s->otherwise.first->span : s->span);
}

static void walk_with(struct walk *w, const struct stmt *s) {
    for (const struct arg *arg = s->args; arg; arg = arg->next) {
        const struct symbol *ambient = arg->name.text ? ambient_symbol(w, arg->name.text) : NULL;
        note(w, arg->name.span, ambient, NULL, false, false);
        walk_expr(w, arg->value);
    }
    walk_statements(w, s->body.first);
}

static void walk_statement(struct walk *w, const struct stmt *s) {
    switch (s->kind) {
    case STMT_ASSIGN:
        walk_assign(w, s);
        return;
    case STMT_CONST:
    case STMT_TYPED:
        walk_type(w, s->type, false);
        walk_expr(w, s->value);
        walk_assigned(w, s->name, s->kind == STMT_CONST ? SYMBOL_CONST : SYMBOL_VARIABLE, s->value, NULL);
        return;
    case STMT_UNPACK:
        walk_expr(w, s->value);
        walk_pattern(w, s->pattern, true);
        return;
    case STMT_FOR:
    case STMT_LOOP:
        walk_turns(w, s);
        return;
    case STMT_WHEN:
        walk_when(w, s);
        return;
    case STMT_WITH:
        walk_with(w, s);
        return;
    default:
        break;
    }
    const struct expr *const parts[] = {s->place, s->value, s->cond, s->message, s->over, s->optimizer};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        walk_expr(w, parts[i]);
    walk_args(w, s->args);
    walk_statements(w, s->body.first); /* an `if`: its sides stand in its place */
    walk_statements(w, s->otherwise.first);
}

static void walk_statements(struct walk *w, const struct stmt *s) {
    for (; s; s = s->next)
        walk_statement(w, s);
}

/* ---- items ---- */

static void walk_item(struct walk *w, const struct item *item);

static void walk_formals(struct walk *w, const struct formal *formals, bool binds) {
    for (const struct formal *f = formals; f; f = f->next) {
        struct symbol *symbol = declare_noted(w, SYMBOL_FORMAL, f->name);
        if (symbol)
            symbol->formal = f;
    }
    for (const struct formal *f = formals; f; f = f->next) {
        walk_type(w, f->type, binds);
        walk_expr(w, f->init);
    }
}

static void walk_function(struct walk *w, const struct item *item) {
    const struct item *owner = w->owner;
    w->owner = item;
    scope_push(w, item->span, true);
    walk_formals(w, item->formals, true);
    walk_type(w, item->type, false);
    walk_expr(w, item->value);
    walk_statements(w, item->body.first);
    scope_pop(w);
    w->owner = owner;
}

static enum symbol_kind kind_of_item(const struct item *item) {
    switch (item->kind) {
    case ITEM_MODULE:
        return SYMBOL_MODULE;
    case ITEM_LET:
        return SYMBOL_LET;
    case ITEM_PARAM:
        return SYMBOL_PARAM;
    case ITEM_BUFFER:
        return SYMBOL_BUFFER;
    default:
        return SYMBOL_FN;
    }
}

/* Members are there all over their module, whatever their order. */
static void declare_items(struct walk *w, const struct item *item) {
    for (; item; item = item->next) {
        if (item->kind == ITEM_USE || item->kind == ITEM_STMT || !item->name.text)
            continue;
        struct symbol *symbol = declare_noted(w, kind_of_item(item), item->name);
        if (symbol) {
            symbol->item = item;
            symbol->value = item->value;
        }
    }
}

/* Sizes of inputs that the module's body names belong to the instance (S10): declared where a fn mentions
 * them first. */
static void declare_instance_dims(struct walk *w, const struct item *item) {
    const struct module *module = module_create(w->names->arena, item, w->names->file->scope);
    for (int i = 0; i < module->signatures.names.count; i++) {
        const char *name = module->signatures.names.at[i];
        if (!name_set_has(&module->body_uses, name) || name_set_has(&module->declared, name) ||
            find_symbol(w, name, item->span.end))
            continue;
        declare(w, SYMBOL_DIM, (struct ident){name, item->name.span});
    }
}

static void walk_module(struct walk *w, const struct item *item) {
    const struct item *owner = w->owner;
    w->owner = item;
    scope_push(w, item->span, false);
    walk_formals(w, item->formals, false);
    declare_items(w, item->members);
    declare_instance_dims(w, item);
    for (const struct item *member = item->members; member; member = member->next)
        walk_item(w, member);
    scope_pop(w);
    w->owner = owner;
}

static void walk_use(struct walk *w, const struct item *item) {
    const char *name = item->name.text;
    const struct binding *found = name ? scope_find_here(w->names->file->scope, name) : NULL;
    if (found)
        note(w, item->name.span, symbol_outside(w, found), NULL, true, false);
    for (const struct param_name *n = item->names; n; n = n->next) {
        found = scope_find_here(w->names->file->scope, n->name.text);
        if (found && found->datum.kind != DATUM_ERROR)
            note(w, n->name.span, symbol_outside(w, found), NULL, false, false);
    }
    if (name || item->names || item->source_is_file)
        return;
    const char *stem = strrchr(item->source, '.') ? strrchr(item->source, '.') + 1 : item->source;
    found = scope_find_here(w->names->file->scope, intern(w->fe->names, stem));
    if (found && found->datum.kind == DATUM_NAMESPACE)
        note(w, item->source_span, symbol_outside(w, found), NULL, false, false);
}

/* let conv = nn.Conv2d(64, 3) */
static void note_made_of(struct walk *w, const struct item *item) {
    const struct item *module = item->kind == ITEM_LET ? module_of_expr(w, item->value, 0) : NULL;
    for (int i = 0; module && i < w->scope->symbols.count; i++)
        if (w->scope->symbols.at[i]->item == item)
            ((struct symbol *)w->scope->symbols.at[i])->made_of = module;
}

static void walk_item(struct walk *w, const struct item *item) {
    switch (item->kind) {
    case ITEM_USE:
        walk_use(w, item);
        break;
    case ITEM_MODULE:
        walk_module(w, item);
        break;
    case ITEM_FN:
    case ITEM_TRAIN:
        walk_function(w, item);
        break;
    case ITEM_STMT:
        walk_statement(w, item->stmt);
        break;
    default:
        walk_type(w, item->type, false);
        walk_expr(w, item->value);
        note_made_of(w, item);
    }
}

static int compare_occurrences(const void *x, const void *y) {
    const struct occurrence *a = x, *b = y;
    if (a->span.begin != b->span.begin)
        return a->span.begin < b->span.begin ? -1 : 1;
    return a->span.end < b->span.end ? -1 : a->span.end > b->span.end;
}

struct names *names_read(struct frontend *fe, struct arena *arena, const struct model_file *file,
                         const struct facts *facts) {
    struct names *names = ARENA_NEW(arena, struct names);
    names->arena = arena;
    names->ast = file->ast;
    names->file = file;
    struct walk w = {.names = names, .fe = fe, .facts = facts};
    map_init(&w.outside, arena);
    scope_push(&w, (struct span){file->ast->source, 0, file->ast->source->length}, false);
    declare_items(&w, file->ast->items);
    for (const struct item *item = file->ast->items; item; item = item->next)
        walk_item(&w, item);
    if (names->occurrences.count)
        qsort(names->occurrences.at, (size_t)names->occurrences.count, sizeof *names->occurrences.at,
              compare_occurrences);
    return names;
}

/* ---- questions ---- */

const struct occurrence *names_at(const struct names *names, uint32_t offset) {
    int low = 0, high = names->occurrences.count;
    while (low < high) { /* the first that begins behind offset */
        int middle = low + (high - low) / 2;
        if (names->occurrences.at[middle].span.begin <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    const struct occurrence *o = low > 0 ? &names->occurrences.at[low - 1] : NULL;
    return o && o->span.end >= offset ? o : NULL;
}

const struct name_scope *names_scope_at(const struct names *names, uint32_t offset) {
    const struct name_scope *found = names->scopes.at[0];
    for (int i = 0; i < names->scopes.count; i++)
        if (names->scopes.at[i]->span.begin <= offset && offset <= names->scopes.at[i]->span.end)
            found = names->scopes.at[i];
    return found;
}

const struct symbol *names_find(const struct names *names, uint32_t offset, const char *name) {
    const struct symbol *symbol = find_in(names_scope_at(names, offset), name, offset);
    if (symbol)
        return symbol;
    const struct binding *outside = scope_find(names->file->scope, name);
    return outside ? symbol_of_binding(names->arena, outside) : NULL;
}
