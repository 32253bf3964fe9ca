/* frontend/evaluate.c: expressions to elaboration values. Each kind of expression is a row of a table. */
#include "frontend/builtin.h"
#include "frontend/facts.h"

#include <string.h>

/* ---- names ---- */

/* The ambients (S7) are found where no scope has the name, so that `fn call(x, step)` may have a parameter
 * `step`. */
static struct datum ambient_training(struct elab *e, struct span span) {
    (void)span;
    return datum_bool(e->ambient.training);
}
static struct datum ambient_step(struct elab *e, struct span span) {
    return datum_tensor(state_read(e, e->step, span));
}
static struct datum ambient_epoch(struct elab *e, struct span span) {
    return datum_tensor(state_read(e, e->epoch, span));
}
static struct datum ambient_precision(struct elab *e, struct span span) {
    (void)span;
    return datum_dtype(e->ambient.has_precision ? e->ambient.precision : DTYPE_f32);
}

/* A key of its own, as a draw here would have: `with rng: k` starts a stream with it. */
static struct datum ambient_rng(struct elab *e, struct span span) {
    (void)span;
    return datum_tensor(draw_key(e));
}

static const struct {
    const char *name;
    struct datum (*value)(struct elab *e, struct span span);
} ambients[] = {
    {"training", ambient_training},   {"step", ambient_step}, {"epoch", ambient_epoch},
    {"precision", ambient_precision}, {"rng", ambient_rng},
};

static struct datum unknown_name(struct elab *e, const char *name, struct span span) {
    for (const struct scope *s = e->frame->scope; s; s = s->parent)
        if (s->kind == SCOPE_INSTANCE && s->instance && name_set_has(&s->instance->module->signatures, name))
            return fail(e, span, E_DIM, "the dimension `%s` of `%s` is not known before its first call", name,
                        s->instance->module->name);
    explain_unknown_name(e, report_error(e, span, E_NAME, "unknown name `%s`", name), name, span);
    return datum_error();
}

struct datum datum_read(struct elab *e, struct datum d, struct span span) {
    if (d.kind != DATUM_WEIGHT)
        return d;
    struct datum read = datum_tensor(state_read(e, d.weight, span));
    bool frozen;
    if (read.kind == DATUM_TENSOR)
        read.weight = d.weight->owner ? weight_seen(e, d.weight, &frozen) : d.weight;
    return read;
}

struct datum evaluate_name(struct elab *e, const char *name, struct span span) {
    struct binding *found = scope_find(e->frame->scope, name);
    if (found)
        return datum_read(e, found->datum, span);
    for (size_t i = 0; i < sizeof ambients / sizeof *ambients; i++)
        if (strcmp(ambients[i].name, name) == 0)
            return ambients[i].value(e, span);
    if (strcmp(name, "_") == 0)
        return fail(e, span, E_NAME, "`_` stands for the piped value, and nothing is piped here");
    return unknown_name(e, name, span);
}

static struct datum evaluate_name_expr(struct elab *e, const struct expr *x) {
    return evaluate_name(e, x->name.text, x->span);
}

/* ---- literals ---- */

static struct datum evaluate_dtype(struct elab *e, const struct expr *x) {
    enum dtype dtype;
    if (!dtype_find(x->name.text, strlen(x->name.text), &dtype))
        unknown_dtype(e->diags, x->name.text, x->span);
    else
        return datum_dtype(dtype);
    return datum_error();
}

static struct datum evaluate_number(struct elab *e, const struct expr *x) {
    return x->is_int ? datum_int(e->types, x->integer) : datum_float(x->number);
}

static struct datum evaluate_bool(struct elab *e, const struct expr *x) {
    (void)e;
    return datum_bool(x->is_true);
}

static struct datum evaluate_none(struct elab *e, const struct expr *x) {
    (void)e, (void)x;
    return datum_none();
}

const char *evaluate_text(struct elab *e, const struct expr *x) {
    if (x->kind != EXPR_STRING) {
        struct datum d = evaluate(e, x);
        if (d.kind == DATUM_STRING)
            return d.text;
        if (!datum_is_error(d))
            report_error(e, x->span, E_TYPE, "a string is wanted, this is %s", describe(e, d));
        return NULL;
    }
    struct strbuf out;
    strbuf_init(&out, e->arena);
    for (const struct piece *piece = x->pieces; piece; piece = piece->next) {
        if (!piece->expr) {
            strbuf_puts(&out, piece->text ? piece->text : "");
            continue;
        }
        struct datum d = evaluate(e, piece->expr);
        if (datum_is_error(d))
            return NULL;
        datum_print(&out, e->types, d);
    }
    return intern_n(e->names, out.text ? out.text : "", out.length);
}

static struct datum evaluate_string(struct elab *e, const struct expr *x) {
    const char *text = evaluate_text(e, x);
    return text ? datum_string(text) : datum_error();
}

/* ---- sequences ---- */

static struct datum evaluate_sequence(struct elab *e, const struct expr *x) {
    VEC(struct datum) items = {0};
    VEC(const char *) names = {0};
    bool named = false, broken = false;
    for (const struct arg *arg = x->args; arg; arg = arg->next) {
        struct datum d = evaluate(e, arg->value);
        broken |= datum_is_error(d);
        named |= arg->name.text != NULL;
        VEC_PUSH(e->arena, &items, d);
        VEC_PUSH(e->arena, &names, arg->name.text);
    }
    if (broken)
        return datum_error();
    if (x->kind == EXPR_LIST)
        return datum_list(e->arena, items.at, items.count);
    struct datum tuple = datum_tuple(e->arena, items.at, named ? names.at : NULL, items.count);
    return datum_made_at(e->arena, tuple, x->span);
}

static void refuse_items(struct elab *e, struct datum d, struct span span) {
    struct diag *diag = report_error(e, span, datum_is_run_time(d) ? E_TIME : E_TYPE,
                                     "a list is wanted here, this is %s", describe(e, d));
    if (datum_is_run_time(d))
        diag_hint(diag,
                  "chunk(x, n, axis: a) gives a list of pieces; `loop i in 0..n` runs over x[i] at run time");
    else if (d.kind == DATUM_INT)
        diag_hint(diag, "0..n is a range");
}

bool datum_items(struct elab *e, struct datum d, struct span span, const struct list **out) {
    if (datum_is_sequence(d)) {
        *out = d.list;
        return true;
    }
    if (d.kind != DATUM_RANGE) {
        if (!datum_is_error(d))
            refuse_items(e, d, span);
        return false;
    }
    const struct range *r = d.range;
    if (!datum_is_known_int(r->lo) || !datum_is_known_int(r->hi)) {
        const char *end = datum_is_known_int(r->lo) ? "the end" : "the begin";
        struct diag *diag =
            report_error(e, span, E_TIME, "a range is unrolled at elaboration, but %s of this one is %s", end,
                         describe(e, datum_is_known_int(r->lo) ? r->hi : r->lo));
        diag_hint(diag, "`loop` runs over it at run time; to unroll it, make its end a hyper-parameter");
        return false;
    }
    int64_t lo = dim_value(r->lo.size), hi = dim_value(r->hi.size), count = hi > lo ? hi - lo : 0;
    if (count > 1 << 20) {
        report_error(e, span, E_UNSUPPORTED, "a range of %lld elements cannot be unrolled", (long long)count);
        return false;
    }
    struct datum *items = ARENA_ARRAY(e->arena, struct datum, count);
    for (int64_t i = 0; i < count; i++)
        items[i] = datum_int(e->types, r->reversed ? hi - 1 - i : lo + i);
    struct list *list = ARENA_NEW(e->arena, struct list);
    list->count = (int)count;
    list->at = items;
    *out = list;
    return true;
}

/* (mean, logvar) = encode(x) where the right side is one tensor. */
static bool may_be_unpacked(struct elab *e, struct datum d, const struct pattern *pattern, int wanted,
                            struct span span) {
    if (!datum_is_run_time(d) || datum_is_sequence(d))
        return true;
    struct diag *diag =
        report_error(e, span, E_TIME, "%d values are wanted here, this is %s", wanted, describe(e, d));
    diag_label(diag, pattern->span, "for these names");
    const struct type *type = d.kind == DATUM_TENSOR ? d.tensor->type : d.constant->type;
    if (type->rank > 0 && dim_is_const(type->dims[0]) && dim_value(type->dims[0]) == wanted)
        diag_hint(diag, "its rows as a list: [x[i] for i in 0..%d]", wanted);
    else
        diag_hint(diag, "chunk(x, %d, axis: a) cuts a tensor into a list of pieces", wanted);
    return false;
}

bool bind_pattern(struct elab *e, const struct pattern *pattern, struct datum d, struct span span,
                  bool assign) {
    if (pattern->name.text) {
        if (strcmp(pattern->name.text, "_") == 0)
            return true;
        if (assign)
            scope_assign(e->frame->scope, pattern->name.text, d, pattern->span);
        else
            scope_bind(e->frame->scope, pattern->name.text, d, pattern->span);
        return true;
    }
    int wanted = 0;
    for (const struct pattern *part = pattern->parts; part; part = part->next)
        wanted++;
    const struct list *items = NULL;
    if (!datum_is_error(d)) {
        if (!may_be_unpacked(e, d, pattern, wanted, span) || !datum_items(e, d, span, &items))
            d = datum_error();
        else if (items->count != wanted) {
            struct diag *diag = report_error(e, span, E_TYPE, "%d values for %d names", items->count, wanted);
            diag_label(diag, pattern->span, "these names");
            d = datum_error();
        }
    }
    int i = 0;
    for (const struct pattern *part = pattern->parts; part; part = part->next, i++)
        bind_pattern(e, part, datum_is_error(d) ? d : items->at[i], span, assign);
    return !datum_is_error(d);
}

static struct datum evaluate_comprehension(struct elab *e, const struct expr *x) {
    const struct list *items;
    if (!datum_items(e, evaluate(e, x->b), x->b->span, &items))
        return datum_error();
    struct datum *out = ARENA_ARRAY(e->arena, struct datum, items->count);
    int count = 0;
    bool broken = false;
    struct scope *outer = e->frame->scope;
    struct turn turn = {0, e->frame->turns};
    e->frame->turns = &turn;
    e->frame->scope = scope_create(e->arena, SCOPE_BLOCK, outer);
    for (; turn.index < items->count && !broken; turn.index++) {
        int i = turn.index;
        e->frame->scope->bindings.count =
            0; /* nothing keeps a block's scope: lambdas take values out of it */
        broken = !bind_pattern(e, x->pattern, items->at[i], x->b->span, false);
        bool keep = true;
        if (!broken && x->c)
            broken = !evaluate_condition(e, x->c, "if", &keep);
        if (broken || !keep)
            continue;
        out[count] = evaluate(e, x->a);
        broken = datum_is_error(out[count++]);
    }
    e->frame->scope = outer;
    e->frame->turns = turn.outer;
    return broken ? datum_error() : datum_list_take(e->arena, out, count);
}

/* ---- conditions ---- */

static void hint_of_truth(struct diag *diag, struct datum d) {
    if (datum_is_number(d))
        diag_hint(diag, "a number is no condition: compare it, n != 0");
    else if (datum_is_none(d))
        diag_hint(diag, "x == none asks whether there is a value");
}

static bool known_truth(struct elab *e, struct datum d, const char *word, struct span span, bool *truth) {
    switch (d.kind) {
    case DATUM_BOOL:
        *truth = d.truth;
        return true;
    case DATUM_ERROR:
        return false;
    case DATUM_UNDECIDED:
        diag_hint(report_error(e, span, E_TIME,
                               "`%s` needs to know whether %s, which depends on the input's size", word,
                               d.text),
                  "make the size a hyper-parameter, or assert what holds of it");
        return false;
    case DATUM_TENSOR:
        diag_hint(report_error(e, span, E_TIME, "`%s` decides at elaboration, this is %s of run time", word,
                               describe(e, d)),
                  d.tensor->type->rank == 0 ? "`when` decides at run time"
                                            : "`where(c, x, y)` chooses element by element at run time");
        return false;
    default:
        hint_of_truth(report_error(e, span, E_TYPE, "a bool is wanted, this is %s", describe(e, d)), d);
        return false;
    }
}

bool evaluate_condition(struct elab *e, const struct expr *x, const char *word, bool *truth) {
    return known_truth(e, evaluate(e, x), word, x->span, truth);
}

static struct datum evaluate_if(struct elab *e, const struct expr *x) {
    bool truth;
    if (!evaluate_condition(e, x->a, "if", &truth))
        return datum_error();
    return evaluate(e, truth ? x->b : x->c);
}

/* ---- operators ---- */

static struct datum evaluate_unary(struct elab *e, const struct expr *x) {
    return apply_unary(e, (enum unary_op)x->op, evaluate(e, x->a), x->span, x->a->span);
}

/* `and` and `or` stop where the left side decides. */
static struct datum evaluate_binary(struct elab *e, const struct expr *x) {
    struct datum a = evaluate(e, x->a);
    enum binary_op op = (enum binary_op)x->op;
    if (a.kind == DATUM_BOOL && (op == BINARY_AND || op == BINARY_OR) && a.truth == (op == BINARY_OR))
        return a;
    return apply_binary(e, op, a, evaluate(e, x->b), x->span, x->a->span, x->b->span);
}

/* ---- functions ---- */

/* A lambda takes the values that its free names have now (S3: there is no aliasing). Names of the instance
 * and the file are looked up when it runs. */
struct capture {
    struct elab *e;
    struct scope *from, *into;
};

static void capture_names(struct capture *c, const struct expr *x);

static void capture_name(struct capture *c, const char *name, struct span span) {
    for (const struct scope *s = c->from; s && (s->kind == SCOPE_BLOCK || s->kind == SCOPE_FUNCTION);
         s = s->parent) {
        const struct binding *found = scope_find_here(s, name);
        if (found) {
            scope_bind(c->into, name, found->datum, found->span);
            return;
        }
    }
    (void)span;
}

static void capture_args(struct capture *c, const struct arg *arg) {
    for (; arg; arg = arg->next)
        capture_names(c, arg->value);
}

static void capture_names(struct capture *c, const struct expr *x) {
    if (!x)
        return;
    if (x->kind == EXPR_NAME)
        capture_name(c, x->name.text, x->span);
    capture_names(c, x->a);
    capture_names(c, x->b);
    capture_names(c, x->c);
    capture_args(c, x->args);
    for (const struct sub *sub = x->subs; sub; sub = sub->next) {
        capture_names(c, sub->a);
        capture_names(c, sub->b);
        capture_names(c, sub->step);
    }
    for (const struct piece *piece = x->pieces; piece; piece = piece->next)
        capture_names(c, piece->expr);
}

static struct scope *enclosing_instance_or_file(struct scope *scope) {
    while (scope->kind == SCOPE_BLOCK || scope->kind == SCOPE_FUNCTION)
        scope = scope->parent;
    return scope;
}

static struct datum make_closure(struct elab *e, const struct expr *x, enum closure_kind kind) {
    struct closure *closure = ARENA_NEW(e->arena, struct closure);
    closure->kind = kind;
    closure->expr = x;
    closure->self = e->frame->self;
    closure->view = e->ambient.views;
    closure->scope = scope_create(e->arena, SCOPE_FUNCTION, enclosing_instance_or_file(e->frame->scope));
    struct capture capture = {e, e->frame->scope, closure->scope};
    capture_names(&capture, x);
    return (struct datum){.kind = DATUM_CLOSURE, .closure = closure};
}

static struct datum evaluate_lambda(struct elab *e, const struct expr *x) {
    return make_closure(e, x, CLOSURE_LAMBDA);
}

/* leaky_relu(_, 0.2) is a function of one argument, unless a pipe has given `_` its value. */
static struct datum evaluate_call_expr(struct elab *e, const struct expr *x) {
    const char *hole = intern(e->names, "_");
    for (const struct arg *arg = x->args; arg; arg = arg->next)
        if (arg->value->kind == EXPR_NAME && arg->value->name.text == hole &&
            !scope_find(e->frame->scope, hole))
            return make_closure(e, x, CLOSURE_HOLE);
    return evaluate_call(e, x);
}

/* ---- members ---- */

static struct datum tensor_field(struct elab *e, struct datum d, const char *name, struct span span) {
    const struct type *type = d.kind == DATUM_TENSOR ? d.tensor->type : d.constant->type;
    if (strcmp(name, "dtype") == 0)
        return datum_dtype(type->dtype);
    if (strcmp(name, "shape") == 0) {
        struct datum *dims = ARENA_ARRAY(e->arena, struct datum, type->rank);
        for (int i = 0; i < type->rank; i++)
            dims[i] = datum_size(type->dims[i]);
        return datum_list(e->arena, dims, type->rank);
    }
    if (strcmp(name, "name") == 0 && d.kind == DATUM_TENSOR && d.weight)
        return datum_string(intern(e->names, weight_name(e, d.weight)));
    if (strcmp(name, "split") == 0 && is_key(e, d)) /* (a, b) = rng.split */
        return split_key(e, d.tensor, 2);
    struct diag *diag = report_error(e, span, E_NAME, "%s has no member `%s`", describe(e, d), name);
    hint_tensor_member(e, diag, name);
    return datum_error();
}

static struct datum namespace_field(struct elab *e, struct datum d, const char *name, struct span span) {
    const struct binding *found = scope_find_here(d.scope, name);
    if (found)
        return found->datum;
    if (d.scope->file->status == FILE_BROKEN) /* what is missing may be what could not be read */
        return datum_error();
    const char *file = file_title(e->frontend, d.scope->file);
    hint_library_name(e->arena, report_error(e, span, E_NAME, "%s has no `%s`", file, name), name, d.scope);
    return datum_error();
}

static struct datum tuple_field(struct elab *e, struct datum d, const char *name, struct span span) {
    int i = tuple_find(d.list, name);
    if (i >= 0)
        return d.list->at[i];
    VEC(const char *) names = {0};
    for (int k = 0; k < d.list->count; k++)
        if (d.list->names && d.list->names[k])
            VEC_PUSH(e->arena, &names, d.list->names[k]);
    struct diag *diag = report_error(e, span, E_NAME, "%s has no field `%s`", describe(e, d), name);
    if (names.count > 0)
        diag_nearest(diag, name, names.at, names.count);
    else
        diag_hint(diag, "its parts have no names: `[0]` is the first one");
    label_elsewhere(diag, d.list->made, span, "it is made here");
    return datum_error();
}

struct datum field_of(struct elab *e, struct datum d, const char *name, struct span span) {
    switch (d.kind) {
    case DATUM_ERROR:
        return d;
    case DATUM_INSTANCE:
        return instance_member(e, d, name, span);
    case DATUM_NAMESPACE:
        return namespace_field(e, d, name, span);
    case DATUM_TUPLE:
        return tuple_field(e, d, name, span);
    case DATUM_TENSOR:
    case DATUM_CONSTANT:
        return tensor_field(e, d, name, span);
    default:
        break;
    }
    struct diag *diag = report_error(e, span, E_TYPE, "%s has no members", describe(e, d));
    if (d.kind == DATUM_MODULE)
        diag_hint(diag, "`%s(...)` makes an instance, which has them", d.module->name);
    return datum_error();
}

static struct datum evaluate_field(struct elab *e, const struct expr *x) {
    return field_of(e, evaluate(e, x->a), x->name.text, x->op_span);
}

static struct datum evaluate_index(struct elab *e, const struct expr *x) {
    return apply_index(e, evaluate(e, x->a), x);
}

static struct datum evaluate_loop(struct elab *e, const struct expr *x) {
    return run_loop(e, x->loop, true);
}

/* Only where an editor has a broken text elaborated as far as it goes. */
static struct datum evaluate_broken(struct elab *e, const struct expr *x) {
    (void)e, (void)x;
    return datum_error();
}

static struct datum (*const rules[])(struct elab *e, const struct expr *x) = {
    [EXPR_NAME] = evaluate_name_expr, [EXPR_DTYPE] = evaluate_dtype,
    [EXPR_NUMBER] = evaluate_number,  [EXPR_STRING] = evaluate_string,
    [EXPR_BOOL] = evaluate_bool,      [EXPR_NONE] = evaluate_none,
    [EXPR_UNARY] = evaluate_unary,    [EXPR_BINARY] = evaluate_binary,
    [EXPR_PIPE] = evaluate_pipe,      [EXPR_LAMBDA] = evaluate_lambda,
    [EXPR_IF] = evaluate_if,          [EXPR_WHEN] = evaluate_when,
    [EXPR_FIELD] = evaluate_field,    [EXPR_CALL] = evaluate_call_expr,
    [EXPR_INDEX] = evaluate_index,    [EXPR_TUPLE] = evaluate_sequence,
    [EXPR_LIST] = evaluate_sequence,  [EXPR_COMPREHENSION] = evaluate_comprehension,
    [EXPR_LOOP] = evaluate_loop,      [EXPR_ERROR] = evaluate_broken,
};

/* A program that unrolls without end is told so, in place of waiting for it. Memory is looked at now and
 * then. */
static bool has_patience(struct elab *e, struct span span) {
    bool too_long = ++e->evaluations > e->frontend->evaluation_limit;
    bool too_large = e->evaluations % 4096 == 0 && arena_used(e->arena) > MAX_MEMORY;
    if (!too_long && !too_large)
        return true;
    report_error(e, span, E_RECURSION, "the elaboration comes to no end: it has evaluated %lld expressions",
                 (long long)e->evaluations);
    e->gave_up = true;
    return false;
}

/* Ops that the expression adds point to its site. Most expressions are numbers and add none: their sites are
 * used again, or a table of a million numbers would leave a million sites behind. */
struct datum evaluate(struct elab *e, const struct expr *x) {
    if (e->gave_up || !has_patience(e, x->span))
        return datum_error();
    const struct site *before = e->b.site;
    struct site *site = site_take(e, x->span);
    int ops = e->graph->next_op, messages = diags_count(e->diags);
    e->b.site = site;
    struct datum d = rules[x->kind](e, x);
    e->b.site = before;
    if (e->frontend->facts)
        facts_note_expr(e->frontend->facts, x, d);
    if (e->graph->next_op == ops && diags_count(e->diags) == messages)
        site_give_back(e, site);
    return d;
}
