/* frontend/repl.c: the texts of a REPL. One elaborator lives as long as the REPL and gets a fresh graph for
 * each text; definitions stand in a file of their own, and since names are looked up when a function runs, a
 * new definition is seen by all that use it. What a text computes at run time is kept by the caller under the
 * name that it was assigned to; here is known its type, so that a later text that uses the name has it as an
 * input. */
#include "frontend/entry.h"
#include "frontend/inspect_parts.h"
#include "frontend/visit.h"

#include <string.h>

/* A name that stands for values of run time: a tensor, or a list or tuple of them. */
struct variable {
    const char *name;
    struct datum shape;             /* with tensors of a graph that is gone in its leaves: their types */
    VEC(const char *) leaves;       /* the names of the inputs: x, or q.mean and q.logvar */
    VEC(const struct type *) types; /* NULL: not run yet */
};

/* A value of elaboration and the statement that made it: made anew when a definition that it depends on
 * changes. */
struct kept {
    const char *name;
    const struct item *item;
    const struct source *source;
};

struct repl_scope {
    struct elab *e;
    struct model_file *file;
    struct scope *values; /* names of values that exist at elaboration: numbers, lists, lambdas, instances */
    VEC(struct variable) variables;
    VEC(struct kept) kept;
    VEC(const char *) remade; /* by the last text */
};

/* ---- making one ---- */

static const char root_text[] = "module Repl() { }\n";

static struct instance *make_root(struct elab *e, struct scope *scope) {
    const struct source *source = source_create(e->arena, "<repl>", root_text, sizeof root_text - 1);
    const struct file_ast *ast = parse_file(e->arena, e->names, source, e->diags);
    const struct module *module = module_create(e->arena, ast->items, scope);
    struct instance *root =
        instance_create(e, module, scope_create(e->arena, SCOPE_INSTANCE, scope), ast->items->span);
    root->body = BODY_DONE;
    return root;
}

struct repl_scope *repl_create(struct frontend *fe, const char *model_path) {
    struct repl_scope *repl = ARENA_NEW(fe->arena, struct repl_scope);
    const struct model_file *model = model_path ? frontend_find_file(fe, model_path) : NULL;
    repl->file = frontend_empty_file(fe, "<repl>", model ? model->scope : NULL);
    repl->e = elab_create(fe, fe->arena, "repl");
    repl->e->root = make_root(repl->e, repl->file->scope);
    repl->e->root->elab = repl->e;
    repl->e->names_places = true;
    repl->values = repl->e->root->scope;
    return repl;
}

/* ---- variables ---- */

static struct variable *find_variable(struct repl_scope *repl, const char *name) {
    for (int i = 0; i < repl->variables.count; i++)
        if (repl->variables.at[i].name == name)
            return &repl->variables.at[i];
    return NULL;
}

static void forget(struct repl_scope *repl, const char *name) {
    struct variable *v = find_variable(repl, name);
    if (v)
        *v = VEC_POP(&repl->variables);
}

/* Whether every tensor of the variable has been computed. */
static bool is_bound(const struct variable *v) {
    for (int i = 0; i < v->types.count; i++)
        if (!v->types.at[i])
            return false;
    return true;
}

void repl_bind(struct repl_scope *repl, const char *name, const struct type *type) {
    name = intern(repl->e->names, name);
    for (int i = 0; i < repl->variables.count; i++) {
        struct variable *v = &repl->variables.at[i];
        for (int k = 0; k < v->leaves.count; k++)
            if (v->leaves.at[k] == name)
                v->types.at[k] = type;
    }
}

void repl_declare(struct repl_scope *repl, const char *name, const struct type *type) {
    name = intern(repl->e->names, name);
    forget(repl, name);
    struct variable v = {.name = name, .shape = {.kind = DATUM_TENSOR}};
    VEC_PUSH(repl->e->arena, &v.leaves, name);
    VEC_PUSH(repl->e->arena, &v.types, type);
    VEC_PUSH(repl->e->arena, &repl->variables, v);
}

static struct datum input_leaf(struct elab *e, const struct variable *v, int leaf) {
    struct builder b = e->b;
    builder_at_end(&b, e->function->body);
    b.before = e->last_input ? e->last_input->next : e->function->body->first;
    b.site = e->function->site;
    struct value *x = build_input(&b, v->leaves.at[leaf], v->types.at[leaf]);
    if (x)
        e->last_input = x->def;
    return datum_tensor(x);
}

/* The variable's value in the function being built: inputs in its leaves. */
static struct datum as_inputs(struct elab *e, const struct variable *v, struct datum shape, int *leaf) {
    if (!datum_is_sequence(shape))
        return input_leaf(e, v, (*leaf)++);
    shape = datum_copy(e->arena, shape);
    for (int i = 0; i < shape.list->count; i++)
        *datum_at(shape, i) = as_inputs(e, v, shape.list->at[i], leaf);
    return shape;
}

/* Names that the text uses become inputs; those that it does not use stay away. */
static void bring_variables(struct repl_scope *repl, const struct source *source, struct scope *scope) {
    for (int i = 0; i < repl->variables.count; i++) {
        const struct variable *v = &repl->variables.at[i];
        int leaf = 0;
        if (is_bound(v) && strstr(source->text, v->name))
            scope_bind(scope, v->name, as_inputs(repl->e, v, v->shape, &leaf), (struct span){0});
    }
}

/* ---- results ---- */

/* A lambda that took values of this graph cannot outlive it. */
static bool holds_run_time(struct datum d) {
    if (d.kind == DATUM_TENSOR || d.kind == DATUM_RANGE)
        return d.kind == DATUM_TENSOR || d.range->lo.kind == DATUM_TENSOR || d.range->hi.kind == DATUM_TENSOR;
    for (int i = 0; datum_is_sequence(d) && i < d.list->count; i++)
        if (holds_run_time(d.list->at[i]))
            return true;
    const struct scope *captured =
        d.kind == DATUM_CLOSURE && d.closure->kind != CLOSURE_FN ? d.closure->scope : NULL;
    for (int i = 0; captured && i < captured->bindings.count; i++)
        if (holds_run_time(captured->bindings.at[i].datum))
            return true;
    return false;
}

struct outcome {
    struct repl_scope *repl;
    const struct item *items; /* of the text; NULL: an expression */
    struct results results;
    struct span span;
};

static bool pattern_has(const struct pattern *pattern, const char *name) {
    for (; pattern; pattern = pattern->next)
        if (pattern->name.text == name || pattern_has(pattern->parts, name))
            return true;
    return false;
}

/* The last statement of the text that assigns the name; NULL: it is none that could be run again by itself.
 */
static const struct item *maker_of(const struct item *item, const char *name) {
    const struct item *found = NULL;
    for (; item; item = item->next) {
        const struct stmt *s = item->kind == ITEM_STMT ? item->stmt : NULL;
        bool assigns = item->kind == ITEM_LET && item->name.text == name;
        if (s && s->kind == STMT_ASSIGN && s->op == ASSIGN_SET)
            assigns = s->place->kind == EXPR_NAME && s->place->name.text == name;
        else if (s && (s->kind == STMT_TYPED || s->kind == STMT_CONST))
            assigns = s->name.text == name;
        else if (s && s->kind == STMT_UNPACK)
            assigns = pattern_has(s->pattern, name);
        if (assigns)
            found = item;
    }
    return found;
}

static void note_kept(struct repl_scope *repl, const char *name, const struct item *item,
                      const struct source *source) {
    struct kept fresh = {name, item, source};
    for (int i = 0; i < repl->kept.count; i++)
        if (repl->kept.at[i].name == name) {
            repl->kept.at[i] = fresh;
            return;
        }
    VEC_PUSH(repl->e->arena, &repl->kept, fresh);
}

/* A name that the text has assigned: kept here where it is a value of elaboration, else a result of the
 * function. */
static void keep(struct outcome *o, const char *name, struct datum d) {
    struct repl_scope *repl = o->repl;
    struct elab *e = repl->e;
    forget(repl, name);
    if (datum_is_error(d))
        return;
    if (!holds_run_time(d)) {
        scope_bind(repl->values, name, d, o->span);
        name_members(e, e->root, d, name);
        note_kept(repl, name, maker_of(o->items, name), o->span.source);
        return;
    }
    if (d.kind == DATUM_CLOSURE) {
        diag_hint(report_error(e, o->span, E_TIME, "the function %s holds values of this computation", name),
                  "`fn %s(...) = ...` defines one that is kept", name);
        return;
    }
    struct variable v = {.name = name, .shape = d};
    int from = o->results.values.count;
    if (!flatten_results(e, d, name, o->span, &o->results))
        return;
    for (int i = from; i < o->results.values.count; i++) {
        VEC_PUSH(e->arena, &v.leaves, o->results.names.at[i]);
        VEC_PUSH(e->arena, &v.types, (const struct type *)NULL);
    }
    VEC_PUSH(e->arena, &repl->variables, v);
}

/* ---- one text ---- */

/* The elaborator forgets the graph of the text before. */
static void renew(struct elab *e, struct arena *arena) {
    e->graph = graph_create(arena, e->types, e->names, "repl");
    for (int i = 0; i < e->weights.count; i++)
        e->weights.at[i]->state = NULL;
    e->weights.count = e->optimizers.count = e->entries.count = 0;
    map_init(&e->weight_of, e->arena);
    builder_init(&e->b, e->graph, block_create(e->graph, NULL, NULL), e->diags);
    e->b.site = &site_unknown;
}

/* changed: the names that meant something else before. */
static bool define_items(struct repl_scope *repl, const struct item *item, bool *defined,
                         struct name_set *changed) {
    int errors = diags_error_count(repl->e->diags);
    for (; item; item = item->next) {
        if (item->kind != ITEM_USE && item->kind != ITEM_MODULE && item->kind != ITEM_FN)
            continue;
        if (item->name.text && scope_find(repl->file->scope, item->name.text))
            VEC_PUSH(repl->e->arena, &changed->names, item->name.text);
        frontend_redefine(repl->e->frontend, repl->file, item);
        *defined = true;
    }
    return diags_error_count(repl->e->diags) == errors;
}

static void run_items(struct repl_scope *repl, const struct item *item) {
    struct elab *e = repl->e;
    for (; item; item = item->next) {
        if (item->kind == ITEM_STMT)
            run_statement(e, item->stmt);
        else if (item->kind == ITEM_LET)
            scope_bind(e->frame->scope, item->name.text, evaluate(e, item->value), item->name.span);
        else if (item->kind == ITEM_PARAM || item->kind == ITEM_BUFFER || item->kind == ITEM_TRAIN)
            fail(e, item->span, E_UNSUPPORTED, "this stands in a model");
    }
}

static bool has_statements(const struct item *item) {
    for (; item; item = item->next)
        if (item->kind != ITEM_USE && item->kind != ITEM_MODULE && item->kind != ITEM_FN)
            return true;
    return false;
}

/* The names that the statements have bound, in order. */
static void keep_names(struct outcome *o, const struct scope *scope, const struct scope *before) {
    for (int i = 0; i < scope->bindings.count; i++) {
        const struct binding *b = &scope->bindings.at[i];
        const struct binding *old = scope_find_here(before, b->name);
        if (!old || old->datum.kind != b->datum.kind || old->datum.tensor != b->datum.tensor)
            keep(o, b->name, b->datum);
    }
}

struct text {
    struct repl_scope *repl;
    const struct source *source;
    const struct expr *expr;  /* the text is one expression */
    const struct item *items; /* or statements and definitions */
    const char **assigned, **shown;
};

/* print(x), or x |> print: it has shown what it gives. */
static bool is_print(struct elab *e, const struct expr *x) {
    if (x->kind == EXPR_PIPE)
        x = x->b;
    const struct expr *name = x->kind == EXPR_CALL ? x->a : x;
    return name->kind == EXPR_NAME && strcmp(name->name.text, "print") == 0 &&
           scope_find(e->frame->scope, name->name.text) == scope_find(e->frontend->builtins, name->name.text);
}

/* An expression: what is known now is shown, tensors are results. */
static void run_expression(struct text *t, struct outcome *o) {
    struct elab *e = t->repl->e;
    struct datum d = evaluate(e, t->expr);
    if (datum_is_error(d) || datum_is_none(d) || is_print(e, t->expr))
        return;
    if (holds_run_time(d) && d.kind != DATUM_CLOSURE) {
        flatten_results(e, d, "", t->expr->span, &o->results);
        return;
    }
    if (d.kind == DATUM_CONSTANT) {
        flatten_results(e, d, "", t->expr->span, &o->results);
        return;
    }
    struct strbuf text;
    strbuf_init(&text, e->arena);
    datum_print(&text, e->types, d);
    *t->shown = text.text ? text.text : "";
}

static void run_text(struct text *t, struct outcome *o) {
    struct elab *e = t->repl->e;
    struct scope *scope = scope_create(e->arena, SCOPE_FUNCTION, t->repl->values), *before;
    bring_variables(t->repl, t->source, scope);
    before = arena_memdup(e->arena, scope, sizeof *scope);
    before->bindings.at = arena_memdup(e->arena, scope->bindings.at,
                                       sizeof *scope->bindings.at * (size_t)scope->bindings.count);
    e->frame->scope = scope;
    if (t->expr) {
        run_expression(t, o);
        return;
    }
    run_items(t->repl, t->items);
    int names = o->results.values.count;
    keep_names(o, scope, before);
    if (o->results.values.count > names)
        *t->assigned = t->repl->variables.at[t->repl->variables.count - 1].name;
}

static struct function *build_text(struct text *t, struct arena *arena) {
    struct elab *e = t->repl->e;
    struct building building;
    struct outcome o = {.repl = t->repl, .items = t->items, .span = {t->source, 0, t->source->length}};
    int errors = diags_error_count(e->diags);
    renew(e, arena);
    struct site *site = ARENA_NEW(arena, struct site);
    site->span = o.span;
    building_begin(e, &building, "it", FUNCTION_EXPRESSION, site);
    building.frame.is_body = true; /* an instance gets the name that it is assigned to */
    run_text(t, &o);
    e->b.site = site;
    count_step(e, o.span);
    return building_end(e, &building, o.results.values.at, o.results.names.at, o.results.values.count,
                        errors);
}

/* ---- what depends on a definition ---- */

struct dependence {
    const struct repl_scope *repl;
    const struct name_set *changed;
    struct name_set seen;
    bool found;
};

static void look_at_item(struct dependence *d, const struct item *item);

/* The definition of a name that was made in this REPL. */
static const struct item *definition_of(const struct repl_scope *repl, const char *name) {
    for (int i = 0; i < repl->kept.count; i++)
        if (repl->kept.at[i].name == name)
            return repl->kept.at[i].item;
    const struct binding *b = scope_find_here(repl->file->scope, name);
    if (b && b->datum.kind == DATUM_MODULE)
        return b->datum.module->item;
    return b && b->datum.kind == DATUM_CLOSURE ? b->datum.closure->item : NULL;
}

static void look_at_name(void *data, const struct expr *x) {
    struct dependence *d = data;
    if (x->kind != EXPR_NAME || d->found || name_set_has(&d->seen, x->name.text))
        return;
    VEC_PUSH(d->repl->e->arena, &d->seen.names, x->name.text);
    d->found = name_set_has(d->changed, x->name.text);
    look_at_item(d, d->found ? NULL : definition_of(d->repl, x->name.text));
}

static void look_at_item(struct dependence *d, const struct item *item) {
    if (item)
        visit_item(item, look_at_name, d);
}

static bool depends_on(const struct repl_scope *repl, const struct item *item,
                       const struct name_set *changed) {
    struct dependence d = {.repl = repl, .changed = changed};
    look_at_item(&d, item);
    return d.found;
}

/* Values that were made with a definition that has changed, in the order in which they were made; all others
 * stay as they are. */
static void remake(struct repl_scope *repl, const struct name_set *changed, struct arena *arena) {
    int count = repl->kept.count;
    for (int i = 0; i < count; i++) {
        const struct kept k = repl->kept.at[i];
        bool is_done =
            i > 0 && k.item == repl->kept.at[i - 1].item; /* (a, b) = ...: one statement, two names */
        if (!k.item || !depends_on(repl, k.item, changed))
            continue;
        VEC_PUSH(repl->e->arena, &repl->remade, k.name);
        if (is_done)
            continue;
        struct item alone = *k.item;
        alone.next = NULL;
        const char *assigned, *shown;
        struct text t = {.repl = repl,
                         .source = k.source,
                         .items = arena_memdup(repl->e->arena, &alone, sizeof alone),
                         .assigned = &assigned,
                         .shown = &shown};
        build_text(&t, arena);
    }
}

int repl_remade(const struct repl_scope *repl, const char *const **names) {
    *names = repl->remade.at;
    return repl->remade.count;
}

/* ---- a text ---- */

/* A function without results and effects is nothing to run. */
static bool has_work(const struct function *function) {
    FOR_EACH_OP (op, function->body) {
        if (op->code == OP_yield
                ? op->in_count > 0
                : op_infos[op->code].fuse == FUSE_EFFECT || op->code == OP_cond || op->code == OP_loop)
            return true;
    }
    return false;
}

static bool has_yield(const struct stmt *s) {
    for (; s; s = s->next)
        if (s->kind == STMT_YIELD ||
            (s->kind != STMT_LOOP && (has_yield(s->body.first) || has_yield(s->otherwise.first))))
            return true;
    return false;
}

/* A loop that yields is shown like any other value: `loop i in 0..3 { yield i }` is an expression here. */
static const struct expr *loop_value(struct elab *e, const struct item *item) {
    if (!item || item->next || item->kind != ITEM_STMT || item->stmt->kind != STMT_LOOP ||
        !has_yield(item->stmt->body.first))
        return NULL;
    struct expr *x = ARENA_NEW(e->arena, struct expr);
    x->kind = EXPR_LOOP;
    x->span = item->stmt->span;
    x->loop = item->stmt;
    x->depth = 1;
    return x;
}

struct function *repl_evaluate(struct repl_scope *repl, const struct source *source, struct arena *arena,
                               bool *is_definition, const char **assigned, const char **text) {
    struct elab *e = repl->e;
    struct text t = {.repl = repl, .source = source, .assigned = assigned, .shown = text};
    *is_definition = false;
    *assigned = *text = NULL;
    struct diags *trial =
        diags_create(e->arena); /* what is no expression may be statements: those say what is wrong */
    t.expr = parse_text_expression(e->arena, e->names, source, trial);
    if (diags_error_count(trial) > 0)
        t.expr = NULL;
    repl->remade.count = 0;
    if (!t.expr) {
        int errors = diags_error_count(e->diags);
        struct name_set changed = {0};
        t.items = parse_file(e->arena, e->names, source, e->diags)->items;
        if (diags_error_count(e->diags) > errors || !define_items(repl, t.items, is_definition, &changed))
            return NULL;
        if (changed.names.count > 0)
            remake(repl, &changed, arena);
        t.expr = loop_value(e, t.items);
        if (!t.expr && !has_statements(t.items))
            return NULL;
        *is_definition = false;
    }
    struct function *function = build_text(&t, arena);
    if (!function)
        return NULL;
    if (!has_work(function)) {
        *is_definition = true;
        return NULL;
    }
    if (e->graph->states.count > 0 && !instance_elaborate_init(e->root))
        return NULL;
    return function;
}

/* ---- completion ---- */

/* A run-time value by its type alone: its graph is gone. */
static struct datum as_types(struct elab *e, const struct variable *v, struct datum shape, int *leaf) {
    if (!datum_is_sequence(shape)) {
        struct value *value = ARENA_NEW(e->arena, struct value);
        value->type = v->types.at[(*leaf)++];
        return datum_tensor(value);
    }
    shape = datum_copy(e->arena, shape);
    for (int i = 0; i < shape.list->count; i++)
        *datum_at(shape, i) = as_types(e, v, shape.list->at[i], leaf);
    return shape;
}

/* The line is a text like an editor's, whose surroundings are what the REPL holds. */
int repl_complete(struct repl_scope *repl, const char *line, uint32_t cursor, uint32_t *begin,
                  struct candidate **out) {
    struct elab *e = repl->e;
    struct scope *scope = scope_create(e->arena, SCOPE_FILE, repl->values);
    for (int i = 0; i < repl->variables.count; i++) {
        int leaf = 0;
        const struct variable *v = &repl->variables.at[i];
        if (is_bound(v))
            scope_bind(scope, v->name, as_types(e, v, v->shape, &leaf), (struct span){0});
    }
    struct model_file here = {.path = "<repl>", .status = FILE_LOADED, .scope = scope};
    return inspection_complete(inspection_of_line(e->frontend, e->arena, line, &here), cursor, begin, out);
}
