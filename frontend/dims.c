/* frontend/dims.c: types as patterns. A name in a parameter's type that is no int in scope is a dimension
 * variable (S10): it is bound by the argument's size, for this call, or for the instance where its module's
 * body uses the name. */
#include "frontend/elab.h"

#include <string.h>

/* ---- names in dims ---- */

static const struct binding *find_size(const struct binder *b, const char *name) {
    const struct binding *found = scope_find(b->scope, name);
    return found && found->datum.kind == DATUM_INT ? found : NULL;
}

/* A name that stands for a value where the signature is that is no size: a list in len(mult). The name of a
 * module or function does not: f32[B, M] in a model M has a size M. */
static bool is_other_value(const struct binder *b, const char *name) {
    const struct binding *found = scope_find(b->scope, name);
    if (!found)
        return false;
    switch (found->datum.kind) {
    case DATUM_INT:
    case DATUM_MODULE:
    case DATUM_CLOSURE:
    case DATUM_BUILTIN:
    case DATUM_NAMESPACE:
        return false;
    default:
        return true;
    }
}

/* Declared by the body, which has not run. */
static bool is_waiting(const struct binder *b, const char *name) {
    return b->self && b->self->body == BODY_WAITING && name_set_has(&b->self->module->declared, name);
}

static bool belongs_to_instance(const struct binder *b, const char *name) {
    return b->self && name_set_has(&b->self->module->body_uses, name) &&
           !name_set_has(&b->self->module->declared, name);
}

static void bind_dimension(const struct binder *b, const char *name, struct datum d, struct span span) {
    scope_bind(belongs_to_instance(b, name) ? b->self->scope : b->scope, name, d, span);
}

static bool is_word(const struct expr *x, const char *word) {
    return x->kind == EXPR_NAME && strcmp(x->name.text, word) == 0;
}

/* The first name in a dim that has no value, and how many different ones there are. */
struct unknowns {
    const char *first;
    int count;
    bool waiting;
};

static void find_unknowns(const struct binder *b, const struct expr *x, struct unknowns *out) {
    if (!x)
        return;
    if (x->kind == EXPR_NAME) {
        const char *name = x->name.text;
        out->waiting |= is_waiting(b, name) && !find_size(b, name);
        if (find_size(b, name) || is_other_value(b, name) || name == out->first)
            return;
        out->first = out->first ? out->first : name;
        out->count++;
        return;
    }
    if (x->kind != EXPR_CALL)
        find_unknowns(b, x->a, out);
    find_unknowns(b, x->b, out);
    find_unknowns(b, x->c, out);
    for (const struct arg *arg = x->args; arg; arg = arg->next)
        find_unknowns(b, arg->value, out);
}

/* ---- evaluating dims ---- */

static const struct dim *evaluate_dim(struct elab *e, const struct binder *b, const struct expr *x) {
    struct scope *before = e->frame->scope;
    const struct site *site = e->frame->site;
    e->frame->scope = b->scope;
    if (b->site)
        e->frame->site = b->site;
    struct datum d = evaluate(e, x);
    e->frame->scope = before;
    e->frame->site = site;
    if (d.kind == DATUM_INT)
        return d.size;
    if (!datum_is_error(d))
        report_error(e, x->span, E_TYPE, "a dimension is an int, this is %s", describe(e, d));
    return NULL;
}

/* The value of the dim where its one unknown name has the value n. */
static const struct dim *dim_at(struct elab *e, const struct binder *b, const struct expr *x,
                                const char *name, int64_t n) {
    struct binder trial = *b;
    trial.scope = scope_create(e->arena, SCOPE_BLOCK, b->scope);
    scope_bind(trial.scope, name, datum_int(e->types, n), x->span);
    return evaluate_dim(e, &trial, x);
}

/* a * name + c == actual: the unknown's value; NULL: it has none, or the dim is not affine. */
static const struct dim *solve_dim(struct elab *e, const struct binder *b, const struct expr *x,
                                   const char *name, const struct dim *actual) {
    const struct dim *at0 = dim_at(e, b, x, name, 0), *at1 = at0 ? dim_at(e, b, x, name, 1) : NULL,
                     *at2 = at1 ? dim_at(e, b, x, name, 2) : NULL;
    if (!at2)
        return NULL;
    const struct dim *factor = dim_sub(e->types, at1, at0);
    if (dim_sub(e->types, at2, at1) != factor || (dim_is_const(factor) && dim_value(factor) == 0))
        return NULL;
    const struct dim *value = dim_div(e->types, dim_sub(e->types, actual, at0), factor);
    return value && dim_is_integral(value) ? value : NULL;
}

/* ---- matching one dim ---- */

struct match {
    struct elab *e;
    const struct binder *b;
    const struct type_expr *pattern;
    const struct type *type;
    struct span span; /* of the value */
    int axis;
    const struct value *value; /* whose type it is, or NULL */
};

static struct diag *mismatch(const struct match *m, enum diag_code code, const char *why) {
    struct elab *e = m->e;
    struct diag *diag =
        report_error(e, m->span, code, "%s is %s, %s", m->b->what, type_text(e->types, m->type), why);
    diag_label(diag, m->pattern->span, "the type that is wanted");
    if (!m->value || !label_origin(e, diag, m->value, m->span))
        label_name_at(e, diag, m->span);
    return diag;
}

static bool same_size(const struct match *m, const struct dim *wanted, const struct dim *found,
                      const struct binding *by) {
    struct elab *e = m->e;
    if (wanted == found)
        return true;
    if (m->b->quiet)
        return false;
    bool unknown = dim_compare(e->types, wanted, found) == 2;
    const char *why = arena_printf(e->arena, "but axis %d of it %s %s, not %s", m->axis,
                                   unknown ? "must be shown to be" : "must be", dim_text(e->types, wanted),
                                   dim_text(e->types, found));
    struct diag *diag = mismatch(m, E_SHAPE, why);
    if (by && span_is_known(by->span) && by->span.begin != m->span.begin)
        diag_label(diag, by->span, "`%s` is %s since here", by->name, dim_text(e->types, wanted));
    if (unknown && dim_denominator(wanted) == 1 && dim_denominator(found) == 1)
        diag_hint(diag, "if it always is, write %s for %s in the parameter's type",
                  dim_text(e->types, wanted), dim_text(e->types, found));
    else if (unknown)
        diag_hint(diag, "an `assert size %% n == 0` in front says what divides the size");
    return false;
}

static bool match_name(const struct match *m, const char *name, const struct dim *actual) {
    const struct binding *found = find_size(m->b, name);
    if (found)
        return same_size(m, found->datum.size, actual, found);
    if (is_waiting(m->b, name))
        return true;
    bind_dimension(m->b, name, datum_size(actual), m->span);
    return true;
}

static bool match_dim(const struct match *m, const struct expr *x, const struct dim *actual) {
    struct elab *e = m->e;
    if (is_word(x, "_"))
        return true;
    if (x->kind == EXPR_NAME)
        return match_name(m, x->name.text, actual);
    struct unknowns unknown = {0};
    find_unknowns(m->b, x, &unknown);
    if (unknown.waiting)
        return true;
    if (unknown.count > 1) {
        if (!m->b->quiet)
            diag_hint(report_error(e, x->span, E_DIM, "a dimension can have one unknown name"),
                      "an int parameter of the fn makes a name known");
        return false;
    }
    if (m->b->quiet && unknown.count == 0)
        return true; /* checked when the body has run */
    if (unknown.count == 0) {
        const struct dim *wanted = evaluate_dim(e, m->b, x);
        return wanted && same_size(m, wanted, actual, NULL);
    }
    const struct dim *value = solve_dim(e, m->b, x, unknown.first, actual);
    if (value) {
        bind_dimension(m->b, unknown.first, datum_size(value), m->span);
        return true;
    }
    if (!m->b->quiet)
        mismatch(m, E_DIM,
                 arena_printf(e->arena, "but no `%s` makes axis %d of it %s", unknown.first, m->axis,
                              dim_text(e->types, actual)));
    return false;
}

/* ...N takes `count` dims from m->axis on. */
static bool match_rest(struct match *m, const struct dim_expr *rest, int count) {
    struct elab *e = m->e;
    if (!rest->rest.text)
        return true;
    const char *name = rest->rest.text;
    const struct binding *found = scope_find(m->b->scope, name);
    if (found && found->datum.kind == DATUM_LIST) {
        const struct list *list = found->datum.list;
        bool good = list->count == count;
        for (int i = 0; i < count && good; i++)
            good = list->at[i].kind == DATUM_INT && list->at[i].size == m->type->dims[m->axis + i];
        if (!good && !m->b->quiet) {
            struct strbuf text;
            strbuf_init(&text, e->arena);
            datum_print(&text, e->types, found->datum);
            struct diag *diag =
                mismatch(m, E_SHAPE, arena_printf(e->arena, "but `...%s` is %s", name, text.text));
            if (span_is_known(found->span) && found->span.begin != m->span.begin)
                diag_label(diag, found->span, "`%s` is bound here", name);
        }
        return good;
    }
    struct datum *dims = ARENA_ARRAY(e->arena, struct datum, count);
    for (int i = 0; i < count; i++)
        dims[i] = datum_size(m->type->dims[m->axis + i]);
    bind_dimension(m->b, name, datum_list(e->arena, dims, count), m->span);
    return true;
}

static bool match_dims(struct match *m) {
    int fixed = 0, rests = 0;
    for (const struct dim_expr *d = m->pattern->dims; d; d = d->next)
        d->expr ? fixed++ : rests++;
    int spare = m->type->rank - fixed;
    if (spare < 0 || (spare > 0 && rests == 0)) {
        if (m->b->quiet)
            return false;
        struct diag *diag = mismatch(m, E_SHAPE,
                                     arena_printf(m->e->arena, "but it must have %s%d ax%s",
                                                  rests ? "at least " : "", fixed, fixed == 1 ? "is" : "es"));
        const struct expr *first = m->pattern->dims ? m->pattern->dims->expr : NULL; /* f32 has none */
        if (spare == -1 && first && is_word(first, "B") && m->type->rank > 0 &&
            dim_is_const(m->type->dims[0]))
            diag_hint(diag, "x[none] puts an axis of size 1 in front: a batch of one");
        return false;
    }
    bool good = true;
    for (const struct dim_expr *d = m->pattern->dims; d; d = d->next) {
        good = d->expr ? match_dim(m, d->expr, m->type->dims[m->axis]) : match_rest(m, d, spare);
        m->axis += d->expr ? 1 : spare;
        if (!good) /* one message for a type, whatever else of it is wrong */
            break;
    }
    return good;
}

/* ---- dtypes ---- */

bool is_dtype_variable(const char *word) {
    return strcmp(word, "any") == 0 || strcmp(word, "num") == 0 || strcmp(word, "float") == 0;
}

/* The dtype that a type's word asks for; DTYPE_ANY: a dtype variable that is not bound yet. false: no such
 * word. */
static bool wanted_dtype(struct elab *e, const struct type_expr *type, int *dtype) {
    enum dtype fixed;
    *dtype = DTYPE_ANY;
    if (dtype_find(type->name.text, strlen(type->name.text), &fixed)) {
        *dtype = (int)fixed;
        return true;
    }
    for (int i = 0; i < e->frame->dtype_count; i++)
        if (strcmp(e->frame->dtypes[i].word, type->name.text) == 0)
            *dtype = (int)e->frame->dtypes[i].dtype;
    if (is_dtype_variable(type->name.text))
        return true;
    unknown_dtype(e->diags, type->name.text, type->name.span);
    return false;
}

static void bind_dtype(struct elab *e, const struct type_expr *type, enum dtype dtype) {
    enum dtype fixed;
    if (dtype_find(type->name.text, strlen(type->name.text), &fixed) || e->frame->dtype_count == 4)
        return;
    for (int i = 0; i < e->frame->dtype_count; i++)
        if (strcmp(e->frame->dtypes[i].word, type->name.text) == 0)
            return;
    e->frame->dtypes[e->frame->dtype_count].word = type->name.text;
    e->frame->dtypes[e->frame->dtype_count++].dtype = dtype;
}

static bool dtype_fits_word(const char *word, enum dtype dtype) {
    if (strcmp(word, "float") == 0)
        return dtype_is_float(dtype);
    if (strcmp(word, "num") == 0)
        return dtype != DTYPE_bool;
    return true;
}

/* In a constant everything is f64 until it is cast at the end; with a precision, `float` arguments take it
 * (S7). */
static struct value *settle_dtype(struct elab *e, const struct type_expr *type, struct value *x, int wanted) {
    if (wanted != DTYPE_ANY && e->in_constant && dtype_is_float(x->type->dtype) &&
        dtype_is_float((enum dtype)wanted))
        return x;
    bool is_float_word = strcmp(type->name.text, "float") == 0;
    if (is_float_word && e->ambient.has_precision && x->type->dtype == DTYPE_f32 && !e->in_constant)
        return build_cast(&e->b, x, e->ambient.precision);
    return x;
}

/* `bool` without brackets is a bool of the elaboration; bool[] a value of run time (S23). */
static bool is_plain_bool(const struct type_expr *type) {
    const char *behind = type->name.span.source->text + type->name.span.end;
    return type->kind == TYPE_TENSOR && !type->dims && strcmp(type->name.text, "bool") == 0 && *behind != '[';
}

/* A module's number stays one: its instance outlives the function that is built now. */
static bool stays_number(const struct binder *b, const struct type_expr *type, struct datum d) {
    return b->keeps_numbers && !type->dims && datum_is_number(d) && strcmp(type->name.text, "bool") != 0;
}

static bool bind_tensor(struct elab *e, const struct binder *b, const struct type_expr *type, struct datum *d,
                        struct span span) {
    int wanted;
    if (b->quiet) {
        if (d->kind != DATUM_TENSOR && d->kind != DATUM_CONSTANT)
            return false;
        struct match m = {e,    b, type, d->kind == DATUM_TENSOR ? d->tensor->type : d->constant->type,
                          span, 0, NULL};
        return match_dims(&m);
    }
    if (!wanted_dtype(e, type, &wanted))
        return false;
    if (stays_number(b, type, *d))
        return true;
    if (d->kind != DATUM_TENSOR && d->kind != DATUM_CONSTANT && !datum_is_number(*d) &&
        d->kind != DATUM_BOOL) {
        struct diag *diag =
            report_error(e, span, E_TYPE, "%s must be a tensor, this is %s", b->what, describe(e, *d));
        diag_label(diag, type->span, "the type that is wanted");
        label_name_at(e, diag, span);
        return false;
    }
    struct value *x = to_tensor(e, *d, wanted, span);
    if (!x)
        return false;
    struct value *settled = settle_dtype(e, type, x, wanted);
    if (!settled)
        return false;
    enum dtype dtype = settled->type->dtype;
    bool fits = wanted == DTYPE_ANY ? dtype_fits_word(type->name.text, dtype)
                                    : (int)dtype == wanted || (e->in_constant && dtype_is_float(dtype) &&
                                                               dtype_is_float((enum dtype)wanted));
    if (!fits) {
        struct diag *diag =
            report_error(e, span, E_DTYPE, "%s is %s, but %s elements are wanted", b->what,
                         type_text(e->types, settled->type),
                         wanted == DTYPE_ANY ? type->name.text : dtype_text((enum dtype)wanted));
        diag_label(diag, type->span, "the type that is wanted");
        label_origin(e, diag, settled, span);
        return false;
    }
    bind_dtype(e, type, dtype);
    struct match m = {e, b, type, settled->type, span, 0, settled};
    if (!match_dims(&m))
        return false;
    /* A module's parameter outlives the function that it is made in: a constant stays one, for each that
     * reads it. */
    const struct attr *data = settled->def ? op_attr(settled->def, ATTR_data) : NULL;
    if (b->keeps_numbers && d->kind == DATUM_CONSTANT && data)
        *d = (struct datum){.kind = DATUM_CONSTANT, .constant = data->data};
    else if (d->kind != DATUM_TENSOR || d->tensor != settled)
        *d = datum_tensor(settled);
    return true;
}

/* ---- types of elaboration values ---- */

static bool bind_int(struct elab *e, struct datum *d) {
    (void)e;
    return d->kind == DATUM_INT;
}
static bool bind_float(struct elab *e, struct datum *d) {
    (void)e;
    if (datum_is_known_int(*d))
        *d = datum_float((double)dim_value(d->size));
    return datum_is_number(*d);
}
static bool bind_bool(struct elab *e, struct datum *d) {
    (void)e;
    return d->kind == DATUM_BOOL;
}
static bool bind_string(struct elab *e, struct datum *d) {
    (void)e;
    return d->kind == DATUM_STRING;
}
static bool bind_list(struct elab *e, struct datum *d) {
    (void)e;
    return datum_is_sequence(*d) || d->kind == DATUM_RANGE;
}
static bool bind_module(struct elab *e, struct datum *d) {
    (void)e;
    return d->kind == DATUM_INSTANCE || d->kind == DATUM_MODULE || datum_is_sequence(*d);
}
static bool bind_any(struct elab *e, struct datum *d) {
    (void)e, (void)d;
    return true;
}

static const struct {
    const char *name, *wanted;
    bool (*bind)(struct elab *e, struct datum *d);
} plain_types[] = {
    {"int", "an int", bind_int},          {"float", "a number", bind_float},
    {"bool", "true or false", bind_bool}, {"string", "a string", bind_string},
    {"list", "a list", bind_list},        {"module", "an instance", bind_module},
    {"any", "a value", bind_any},         {"num", "a number", bind_float},
};

/* A tensor in place of one of these is a value that comes too late; in place of a list it is another thing.
 */
static bool is_number_word(const char *wanted) {
    return strcmp(wanted, "an int") == 0 || strcmp(wanted, "a number") == 0 ||
           strcmp(wanted, "true or false") == 0;
}

static bool refuse(struct elab *e, const struct binder *b, const struct type_expr *type, struct datum d,
                   const char *wanted, struct span span) {
    if (b->quiet)
        return false;
    bool is_late = datum_is_run_time(d) && is_number_word(wanted);
    struct diag *diag = report_error(e, span, is_late ? E_TIME : E_TYPE, "%s must be %s, this is %s", b->what,
                                     wanted, describe(e, d));
    bool is_library = type && strncmp(type->span.source->name, "<lib>/", 6) == 0;
    if (is_library && is_late)
        return false; /* its declaration is not the user's to change */
    if (datum_is_run_time(d) && strcmp(wanted, "a number") == 0)
        diag_hint(diag, "`f32` in place of `float` takes a value of run time");
    else if (datum_is_run_time(d) && strcmp(wanted, "true or false") == 0)
        diag_hint(diag, "`bool[]` in place of `bool` takes a value of run time");
    else if (d.kind == DATUM_INT && strstr(b->what, "`bias`"))
        diag_hint(diag, "the size of what comes in is left out: it is found at the first call");
    return false;
}

static bool bind_plain(struct elab *e, const struct binder *b, const struct type_expr *type, struct datum *d,
                       struct span span) {
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        if (strcmp(plain_types[i].name, type->name.text) == 0)
            return plain_types[i].bind(e, d) || refuse(e, b, type, *d, plain_types[i].wanted, span);
    if (b->quiet)
        return false;
    unknown_type(e->diags, type->name.text, type->name.span);
    return false;
}

bool is_type_word(const char *word) {
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        if (strcmp(plain_types[i].name, word) == 0)
            return true;
    return false;
}

static bool bind_function(struct elab *e, const struct binder *b, const struct type_expr *type,
                          struct datum *d, struct span span) {
    bool callable = d->kind == DATUM_CLOSURE || d->kind == DATUM_BUILTIN || d->kind == DATUM_MODULE ||
                    d->kind == DATUM_INSTANCE || d->kind == DATUM_LIST;
    return callable || refuse(e, b, type, *d, "a function", span);
}

static bool bind_elements(struct elab *e, const struct binder *b, const struct type_expr *type,
                          struct datum *d, struct span span) {
    if (d->kind != DATUM_LIST && d->kind != DATUM_RANGE && d->kind != DATUM_TUPLE)
        return refuse(e, b, type, *d, "a list", span);
    const struct list *items;
    if (!datum_items(e, *d, span, &items))
        return false;
    struct datum *at = ARENA_ARRAY(e->arena, struct datum, items->count);
    bool good = true;
    for (int i = 0; i < items->count; i++) {
        at[i] = items->at[i];
        good &= bind_type(e, b, type->inner, &at[i], span);
    }
    *d = datum_list(e->arena, at, items->count);
    return good;
}

static bool bind_fields(struct elab *e, const struct binder *b, const struct type_expr *type, struct datum *d,
                        struct span span) {
    int count = 0;
    for (const struct type_expr *field = type->inner; field; field = field->next)
        count++;
    if (!datum_is_sequence(*d) || d->list->count != count)
        return refuse(e, b, type, *d, arena_printf(e->arena, "a tuple of %d", count), span);
    struct datum *at = ARENA_ARRAY(e->arena, struct datum, count);
    const char **names = ARENA_ARRAY(e->arena, const char *, count);
    bool named = false, good = true;
    int i = 0;
    for (const struct type_expr *field = type->inner; field; field = field->next, i++) {
        int from = field->field.text && d->list->names ? tuple_find(d->list, field->field.text) : i;
        if (from < 0)
            return refuse(e, b, type, *d,
                          arena_printf(e->arena, "a tuple with the field `%s`", field->field.text), span);
        at[i] = d->list->at[from];
        names[i] = field->field.text;
        named |= names[i] != NULL;
        good &= bind_type(e, b, field, &at[i], span);
    }
    struct span made = d->list->made;
    *d = datum_made_at(e->arena, datum_tuple(e->arena, at, named ? names : NULL, count), made);
    return good;
}

bool bind_type(struct elab *e, const struct binder *binder, const struct type_expr *type, struct datum *d,
               struct span span) {
    if (datum_is_error(*d) ||
        !type) /* no type: what stands there could not be read (an editor goes on all the same) */
        return false;
    if (datum_is_none(*d) && type->optional)
        return true;
    switch (type->kind) {
    case TYPE_NAME:
        return bind_plain(e, binder, type, d, span);
    case TYPE_FN:
        return bind_function(e, binder, type, d, span);
    case TYPE_TENSOR:
        return is_plain_bool(type) ? bind_plain(e, binder, type, d, span)
                                   : bind_tensor(e, binder, type, d, span);
    case TYPE_LIST:
        return bind_elements(e, binder, type, d, span);
    case TYPE_TUPLE:
        return bind_fields(e, binder, type, d, span);
    }
    return false;
}

/* ---- types without a value: of weights and of an entry's inputs ---- */

static bool bind_entry_names(struct elab *e, const struct binder *b, const struct expr *x) {
    for (;;) {
        struct unknowns unknown = {0};
        find_unknowns(b, x, &unknown);
        if (!unknown.first)
            return true;
        if (unknown.waiting)
            return false;
        bind_dimension(b, unknown.first, datum_size(dim_var(e->types, unknown.first)), x->span);
    }
}

static const struct dim *resolve_dim(struct elab *e, const struct binder *b, const struct expr *x) {
    if (b->is_entry && is_word(x, "_"))
        return dim_var(e->types, arena_printf(e->arena, "dim%d", e->fresh_dims++));
    if (b->is_entry && !bind_entry_names(e, b, x))
        return NULL;
    return evaluate_dim(e, b, x);
}

const struct type *resolve_type(struct elab *e, const struct binder *b, const struct type_expr *type) {
    if (type->kind != TYPE_TENSOR) {
        report_error(e, type->span, E_TYPE, "a tensor type is wanted here, like f32[4, 3]");
        return NULL;
    }
    int dtype;
    if (!wanted_dtype(e, type, &dtype))
        return NULL;
    VEC(const struct dim *) dims = {0};
    for (const struct dim_expr *d = type->dims; d; d = d->next) {
        if (d->expr) {
            const struct dim *dim = resolve_dim(e, b, d->expr);
            if (!dim)
                return NULL;
            VEC_PUSH(e->arena, &dims, dim);
            continue;
        }
        const struct binding *rest = d->rest.text ? scope_find(b->scope, d->rest.text) : NULL;
        if (!rest || rest->datum.kind != DATUM_LIST) {
            report_error(e, d->span, E_DIM, "how many axes `...%s` stands for is not known here",
                         d->rest.text ? d->rest.text : "");
            return NULL;
        }
        for (int i = 0; i < rest->datum.list->count; i++)
            VEC_PUSH(e->arena, &dims, rest->datum.list->at[i].size);
    }
    return type_get(e->types, dtype == DTYPE_ANY ? DTYPE_f32 : (enum dtype)dtype, dims.count, dims.at);
}

bool foresee_dims(struct elab *e, const struct binder *b, const struct type_expr *type) {
    bool good = true;
    for (const struct type_expr *inner = type->inner; inner; inner = inner->next)
        good &= foresee_dims(e, b, inner);
    for (const struct dim_expr *d = type->dims; d; d = d->next) {
        struct unknowns unknown = {0};
        if (!d->expr || d->expr->kind == EXPR_NAME)
            continue;
        find_unknowns(b, d->expr, &unknown);
        if (unknown.count == 0 && !unknown.waiting)
            good &= evaluate_dim(e, b, d->expr) != NULL;
    }
    return good;
}

bool type_is_tensor(const struct type_expr *type) {
    return type->kind == TYPE_TENSOR && !is_plain_bool(type);
}
