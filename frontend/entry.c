/* frontend/entry.c: models with their hyper-parameters fixed, and their entries as functions of the graph. */
#include "frontend/entry.h"

#include <math.h>
#include <string.h>

/* ---- one function ---- */

void building_begin(struct elab *e, struct building *building, const char *name, enum function_kind kind,
                    const struct site *site) {
    memset(building, 0, sizeof *building);
    e->function = graph_add_function(e->graph, name, kind, site);
    builder_init(&e->b, e->graph, e->function->body, e->diags);
    e->b.site = site;
    e->is_train = kind == FUNCTION_TRAIN;
    e->seed = NULL;
    e->last_input = e->last_read = NULL;
    e->minimize_count = 0;
    e->checked.count = e->reported.count = e->claims.count = 0;
    map_init(&e->versions, e->arena);
    e->ambient = (struct ambient){.training = e->is_train, .products = e->frontend->products};
    e->loops = NULL;
    e->evaluations = 0;
    e->gave_up = false;
    dim_forget_assumptions(e->types);
    region_push(e, &building->base, e->function->body, false);
    stream_push(e, &building->stream);
    frame_push(e, &building->frame, e->root->scope, e->root, NULL);
    require_again(e, e->root);
}

/* In the order of the states, which is that of the declarations. */
static void write_states(struct elab *e, struct region *base) {
    order_states(e);
    e->b.site = e->function->site;
    for (int i = 0; i < e->graph->states.count; i++) {
        const struct current *current = region_find(base, e->graph->states.at[i]);
        if (current && current->written)
            build_write(&e->b, e->graph->states.at[i], current->value);
    }
}

static void report_claims(struct elab *e) {
    for (int i = 0; i < e->claims.count; i++)
        if (!e->claims.at[i].taken)
            diag_error(e->diags, e->claims.at[i].span, E_ARGUMENT,
                       "nothing in the list takes the argument `%s`", e->claims.at[i].name);
}

struct function *building_end(struct elab *e, struct building *building, struct value *const *results,
                              const char **names, int count, int errors) {
    struct function *function = e->function;
    report_claims(e);
    if (diags_error_count(e->diags) == errors) {
        write_states(e, &building->base);
        build_yield(&e->b, results, count);
        function->result_names = names;
    }
    frame_pop(e, &building->frame);
    stream_pop(e, &building->stream);
    region_pop(e, &building->base);
    e->function = NULL;
    if (diags_error_count(e->diags) == errors)
        return function;
    e->graph->functions.count--; /* nothing else was added since */
    return NULL;
}

/* ---- results ---- */

bool flatten_results(struct elab *e, struct datum d, const char *path, struct span span,
                     struct results *out) {
    if (datum_is_none(d))
        return true;
    if (datum_is_sequence(d)) {
        for (int i = 0; i < d.list->count; i++) {
            const char *name =
                d.list->names && d.list->names[i] ? d.list->names[i] : arena_printf(e->arena, "%d", i);
            if (!flatten_results(e, d.list->at[i], path_join(e, path, name), span, out))
                return false;
        }
        return true;
    }
    struct value *x = to_tensor(e, d, DTYPE_ANY, span);
    if (!x)
        return false;
    VEC_PUSH(e->graph->arena, &out->values, x);
    VEC_PUSH(e->graph->arena, &out->names, intern(e->names, path));
    return true;
}

/* ---- settings ---- */

static bool is_string_type(const struct type_expr *type) {
    return type && type->kind == TYPE_NAME && strcmp(type->name.text, "string") == 0;
}

struct datum evaluate_setting(struct elab *e, const struct setting *setting, const struct type_expr *type) {
    if (is_string_type(type) && setting->value[0] != '"')
        return datum_string(intern(e->names, setting->value));
    const char *name = arena_printf(e->arena, "<%s>", setting->name);
    const struct source *source = source_create(e->arena, name, setting->value, strlen(setting->value));
    const struct expr *x = parse_text_expression(e->arena, e->names, source, e->diags);
    return x ? evaluate(e, x) : datum_error();
}

/* It may be meant for an fn of the model. */
static void hint_fn_with(struct diag *diag, const struct module *module, const char *name) {
    for (const struct item *item = module->item->members; item; item = item->next)
        for (const struct formal *f = item->kind == ITEM_FN ? item->formals : NULL; f; f = f->next)
            if (strcmp(f->name.text, name) == 0) {
                diag_hint(
                    diag,
                    "`%s` is a parameter of the fn `%s`: NAME=VALUE for `weft run`, --arg NAME=VALUE for "
                    "`weft build`",
                    name, item->name.text);
                return;
            }
}

static void unknown_setting(struct elab *e, const struct formal *formals, const struct setting *setting,
                            const char *what, const struct module *module) {
    struct diag *diag =
        diag_error(e->diags, setting->span, E_ARGUMENT, "`%s` has no parameter `%s`", what, setting->name);
    VEC(const char *) names = {0};
    for (; formals; formals = formals->next)
        VEC_PUSH(e->arena, &names, formals->name.text);
    if (module)
        hint_fn_with(diag, module, setting->name);
    diag_note(diag, "its parameters are %s", names_text(e->arena, names.at, names.count));
    diag_nearest(diag, setting->name, names.at, names.count);
}

/* The arguments that the settings give to the formals; module: where they are a model's. false: reported. */
static bool settings_as_arguments(struct elab *e, const struct formal *formals,
                                  const struct setting *settings, int count, const char *what,
                                  const struct module *module, struct arguments *args) {
    int errors = diags_error_count(e->diags);
    for (int i = 0; i < count; i++) {
        const char *name = intern(e->names, settings[i].name);
        const struct formal *formal = formals;
        while (formal && formal->name.text != name)
            formal = formal->next;
        if (!formal) {
            unknown_setting(e, formals, &settings[i], what, module);
            continue;
        }
        struct datum d = evaluate_setting(e, &settings[i], formal->type);
        VEC_PUSH(e->arena, &args->at, ((struct argument){name, d, settings[i].span, settings[i].span}));
    }
    return diags_error_count(e->diags) == errors;
}

/* Hyper-parameters without a default that nobody gave. false: reported. */
static bool has_settings(struct elab *e, const struct module *module, const struct arguments *args) {
    bool good = true;
    for (const struct formal *f = module->item->formals; f; f = f->next) {
        bool given = f->init != NULL;
        for (int i = 0; i < args->at.count; i++)
            given |= args->at.at[i].name == f->name.text;
        if (given)
            continue;
        diag_hint(diag_error(e->diags, f->name.span, E_ARGUMENT,
                             "the hyper-parameter `%s` of `%s` has no value", f->name.text, module->name),
                  "give one with --set %s=VALUE or under `set:` of a recipe, or a default here",
                  f->name.text);
        good = false;
    }
    return good;
}

/* ---- instances of models ---- */

struct elab *elab_create(struct frontend *fe, struct arena *arena, const char *graph_name) {
    struct elab *e = ARENA_NEW(arena, struct elab);
    e->frontend = fe;
    e->arena = arena;
    e->types = fe->types;
    e->names = fe->names;
    e->diags = fe->diags;
    e->graph = graph_create(arena, fe->types, fe->names, graph_name);
    builder_init(&e->b, e->graph, block_create(e->graph, NULL, NULL),
                 fe->diags); /* between functions: for nothing */
    e->b.site = &site_unknown;
    e->accumulate = 1;
    e->ambient.products = DTYPE_f32;
    map_init(&e->draws, arena);
    map_init(&e->weight_of, arena);
    const struct type *counter = type_scalar(fe->types, DTYPE_i32);
    e->step = weight_make(e, intern(fe->names, "run.step"), STATE_RUN, counter);
    e->epoch = weight_make(e, intern(fe->names, "run.epoch"), STATE_RUN, counter);
    return e;
}

/* No model of this name, or several and no name. The file's models are shown. */
static void refuse_model(struct frontend *fe, const struct model_file *file, const char *name) {
    VEC(const char *) names = {0};
    struct span span = {0};
    for (int i = 0; i < file->models.count; i++) {
        bool is_model = file->models.at[i]->item->module_kind == MODULE_MODEL;
        if (is_model && !span_is_known(span))
            span = file->models.at[i]->item->name.span;
        if (is_model || name)
            VEC_PUSH(fe->arena, &names, file->models.at[i]->name);
    }
    const char *list = names_text(fe->arena, names.at, names.count);
    if (names.count == 0) {
        diag_hint(diag_error(fe->diags, (struct span){file->ast->source, 0, 0}, E_NAME, "%s has no model",
                             file->path),
                  "a model is what can be run and trained: model NAME { ... }");
    } else if (!name) {
        diag_hint(diag_error(fe->diags, span, E_NAME, "%s has several models: %s", file->path, list),
                  "name one of them: %s:%s", file->path, names.at[0]);
    } else {
        struct diag *diag =
            diag_error(fe->diags, span, E_NAME, "%s has no model `%s`, it has %s", file->path, name, list);
        diag_nearest(diag, name, names.at, names.count);
    }
}

static const struct module *choose_model(struct frontend *fe, const struct model_file *file,
                                         const char *name) {
    const struct module *found = NULL;
    int models = 0;
    for (int i = 0; i < file->models.count; i++) {
        const struct module *module = file->models.at[i];
        bool is_model = module->item->module_kind == MODULE_MODEL;
        models += is_model;
        if (name ? strcmp(module->name, name) == 0 : is_model)
            found = module;
    }
    if (found && (name || models == 1))
        return found;
    refuse_model(fe, file, name);
    return NULL;
}

/* Sizes of inputs that the root's body names are the entry's dimension variables from the start, so that it
 * can run. */
static void bind_root_dims(struct elab *e, struct instance *root) {
    const struct module *module = root->module;
    for (int i = 0; i < module->signatures.names.count; i++) {
        const char *name = module->signatures.names.at[i];
        if (name_set_has(&module->body_uses, name) && !name_set_has(&module->declared, name) &&
            !scope_find(root->scope, name))
            scope_bind(root->scope, name, datum_size(dim_var(e->types, name)), module->item->name.span);
    }
}

static bool describe_entries(struct elab *e);

struct instance *frontend_instantiate(struct frontend *fe, const char *path, const char *name,
                                      const struct setting *settings, int setting_count,
                                      struct arena *arena) {
    const struct model_file *file = frontend_find_file(fe, path);
    if (!file) {
        diag_error(fe->diags, (struct span){0}, E_FILE, "%s has not been read", path);
        return NULL;
    }
    const struct module *module = choose_model(fe, file, name);
    if (!module)
        return NULL;
    struct elab *e = elab_create(fe, arena, snake_case(arena, module->name));
    struct frame frame;
    frame_push(e, &frame, file->scope, NULL, NULL);
    frame.is_body = frame.is_entry = true;
    struct arguments args = {0};
    struct datum root = datum_error();
    if (settings_as_arguments(e, module->item->formals, settings, setting_count, module->name, module,
                              &args) &&
        has_settings(e, module, &args))
        root = make_instance(e, module, &args, NULL, module->item->name.span);
    bool good = root.kind == DATUM_INSTANCE;
    if (good) {
        e->root = root.instance;
        e->root->elab = e;
        bind_root_dims(e, e->root);
        good = instance_run_body(e, e->root, module->item->name.span) && describe_entries(e);
    }
    frame_pop(e, &frame);
    return good ? e->root : NULL;
}

struct graph *instance_graph(const struct instance *instance) {
    return instance->elab->graph;
}

/* ---- entries ---- */

/* A function or a module: what no caller can hand over, nor take. */
static bool is_of_elaboration(const struct type_expr *type) {
    return type->kind == TYPE_FN || (type->kind == TYPE_NAME && strcmp(type->name.text, "module") == 0);
}

/* f32[...N, D], [f32[B]]: of an input the number of axes is known, and of inputs how many they are. Such a fn
 * is there for others to call. */
static bool is_open(const struct type_expr *type) {
    if (type && type->kind == TYPE_LIST)
        return type_is_tensor(type->inner);
    for (const struct dim_expr *d = type ? type->dims : NULL; d; d = d->next)
        if (!d->expr)
            return true;
    return false;
}

static bool is_exported(const struct item *item) {
    if (item->kind == ITEM_TRAIN)
        return true;
    if (item->kind != ITEM_FN || (item->type && is_of_elaboration(item->type)))
        return false;
    for (const struct formal *f = item->formals; f; f = f->next)
        if (!f->init && (!f->type || is_of_elaboration(f->type) || is_open(f->type)))
            return false;
    return true;
}

static enum param_kind kind_of(const struct type_expr *type) {
    if (type && type_is_tensor(type) && !is_open(type))
        return PARAM_TENSOR;
    return type && type->kind == TYPE_NAME && strcmp(type->name.text, "int") == 0 ? PARAM_INT : PARAM_OTHER;
}

/* A named tuple of tensors, whose fields are inputs one by one: p.mean, p.logvar. */
static bool is_record(const struct type_expr *type) {
    bool good = type && type->kind == TYPE_TUPLE && !type->optional;
    for (const struct type_expr *field = good ? type->inner : NULL; field && good; field = field->next)
        good = is_record(field) || (kind_of(field) == PARAM_TENSOR && !field->optional);
    return good;
}

static int input_count(const struct type_expr *type) {
    int count = 0;
    for (const struct type_expr *field = is_record(type) ? type->inner : NULL; field; field = field->next)
        count += input_count(field);
    return is_record(type) ? count : 1;
}

static const char *field_path(struct elab *e, const char *path, const struct type_expr *field, int index) {
    return path_join(e, path, field->field.text ? field->field.text : arena_printf(e->arena, "%d", index));
}

/* The ints of an entry without a value are dimension variables; the types of its inputs see them. */
static struct scope *entry_scope(struct elab *e, const struct item *item, const struct arguments *args) {
    struct scope *scope = scope_create(e->arena, SCOPE_FUNCTION, e->root->scope);
    for (const struct formal *f = item->formals; f; f = f->next)
        if (kind_of(f->type) == PARAM_INT && !f->init)
            scope_bind(scope, f->name.text, datum_size(dim_var(e->types, f->name.text)), f->name.span);
    for (int i = 0; args && i < args->at.count; i++)
        scope_bind(scope, args->at.at[i].name, args->at.at[i].datum, args->at.at[i].span);
    struct scope *before = e->frame->scope;
    e->frame->scope = scope;
    for (const struct formal *f = item->formals; f; f = f->next)
        if (kind_of(f->type) == PARAM_INT && f->init && !scope_find_here(scope, f->name.text))
            scope_bind(scope, f->name.text, evaluate(e, f->init), f->name.span);
    e->frame->scope = before;
    return scope;
}

/* A number as it stands in the text, perhaps with a sign; NaN: it is none. */
static double number_of(const struct expr *e) {
    if (e->kind == EXPR_UNARY && e->op == UNARY_NEG)
        return -number_of(e->a);
    return e->kind == EXPR_NUMBER ? e->number : NAN;
}

/* A parameter, or the fields of one that is a record; *next is where the following goes. */
static bool describe_param(struct elab *e, const struct binder *binder, const struct formal *f,
                           const struct type_expr *type, const char *name, struct entry_param **next) {
    if (is_record(type)) {
        bool good = true;
        int index = 0;
        for (const struct type_expr *field = type->inner; field; field = field->next)
            good &= describe_param(e, binder, f, field, field_path(e, name, field, index++), next);
        return good;
    }
    struct entry_param *p = (*next)++;
    *p = (struct entry_param){.name = name,
                              .kind = kind_of(type),
                              .has_default = f->init != NULL,
                              .optional = type && type->optional,
                              .span = f->span};
    if (p->kind != PARAM_TENSOR)
        return true;
    p->type = resolve_type(e, binder, type);
    if (p->has_default)
        p->default_value = number_of(f->init);
    return p->type != NULL;
}

static bool describe_entry(struct elab *e, const struct item *item) {
    struct entry entry = {.name = item->name.text,
                          .is_train = item->kind == ITEM_TRAIN,
                          .doc = item->doc,
                          .span = item->name.span};
    for (const struct formal *f = item->formals; f; f = f->next)
        entry.param_count += input_count(f->type);
    entry.params = ARENA_ARRAY(e->arena, struct entry_param, entry.param_count);
    struct frame frame; /* its dtype variables are its own */
    frame_push(e, &frame, e->root->scope, e->root, NULL);
    dim_forget_assumptions(e->types);
    require_again(e, e->root);
    struct scope *scope = entry_scope(e, item, NULL);
    bool good = true;
    struct entry_param *next = entry.params;
    for (const struct formal *f = item->formals; f; f = f->next) {
        struct binder binder = {.scope = scope, .self = e->root, .is_entry = true, .what = f->name.text};
        good &= describe_param(e, &binder, f, f->type, f->name.text, &next);
    }
    frame_pop(e, &frame);
    VEC_PUSH(e->arena, &e->descriptions, entry);
    return good;
}

static bool describe_entries(struct elab *e) {
    bool good = true;
    for (const struct item *item = e->root->module->item->members; item; item = item->next)
        if (is_exported(item))
            good &= describe_entry(e, item);
    return good;
}

int instance_entry_count(const struct instance *instance) {
    return instance->elab->descriptions.count;
}

const struct entry *instance_entry(const struct instance *instance, int index) {
    return &instance->elab->descriptions.at[index];
}

const struct entry *instance_find_entry(const struct instance *instance, const char *name) {
    for (int i = 0; i < instance->elab->descriptions.count; i++)
        if (strcmp(instance->elab->descriptions.at[i].name, name) == 0)
            return &instance->elab->descriptions.at[i];
    return NULL;
}

static const struct item *find_item(struct elab *e, const char *name) {
    VEC(const char *) names = {0};
    for (const struct item *item = e->root->module->item->members; item; item = item->next) {
        if (!is_exported(item))
            continue;
        if (strcmp(item->name.text, name) == 0)
            return item;
        VEC_PUSH(e->arena, &names, item->name.text);
    }
    struct diag *diag =
        diag_error(e->diags, e->root->module->item->name.span, E_NAME, "`%s` has no entry `%s`, it has %s",
                   e->root->module->name, name, names_text(e->arena, names.at, names.count));
    diag_nearest(diag, name, names.at, names.count);
    return NULL;
}

/* ---- elaborating one ---- */

/* "sample(steps=50)": the entry with the arguments that it was elaborated for. */
static const char *entry_key(struct elab *e, const char *entry, const struct arguments *args,
                             int accumulate) {
    struct strbuf key;
    strbuf_init(&key, e->arena);
    strbuf_printf(&key, "%s*%d(", entry, accumulate);
    for (int i = 0; i < args->at.count; i++) {
        strbuf_printf(&key, "%s=", args->at.at[i].name);
        datum_print(&key, e->types, args->at.at[i].datum);
        strbuf_putc(&key, ',');
    }
    return intern(e->names, key.text);
}

/* The first has the entry's own name, further ones a number: sample, sample_2. */
static const char *function_name(struct elab *e, const char *entry) {
    const char *name = entry;
    for (int n = 2; graph_find_function(e->graph, name); n++)
        name = arena_printf(e->arena, "%s_%d", entry, n);
    return intern(e->names, name);
}

/* The hidden seed's name and type are its own: a key is made of it, `with rng: k`. */
static bool is_seed_like(struct elab *e, const struct formal *f, const struct type *type) {
    const int64_t words = 2;
    if (strcmp(f->name.text, "seed") != 0 || type != type_of_sizes(e->types, DTYPE_u32, 1, &words))
        return false;
    diag_hint(report_error(e, f->span, E_DUPLICATE, "an entry has a seed of its own, a u32[2] of this name"),
              "give the parameter another name");
    return true;
}

static struct value *make_input(struct elab *e, const struct binder *binder, const struct formal *f,
                                const struct type_expr *type_expr, const char *name) {
    const struct type *type = resolve_type(e, binder, type_expr);
    if (!type || is_seed_like(e, f, type))
        return NULL;
    e->b.site = site_here(e, f->span);
    struct value *x = build_input(&e->b, name, type);
    if (x) {
        x->name = name;
        e->last_input = x->def;
    }
    return x;
}

/* An input, or a tuple of them. */
static struct datum make_inputs_of(struct elab *e, const struct binder *binder, const struct formal *f,
                                   const struct type_expr *type, const char *name) {
    if (!is_record(type))
        return datum_tensor(make_input(e, binder, f, type, name));
    VEC(struct datum) fields = {0};
    VEC(const char *) names = {0};
    bool named = false;
    for (const struct type_expr *field = type->inner; field; field = field->next) {
        struct datum d = make_inputs_of(e, binder, f, field, field_path(e, name, field, fields.count));
        if (datum_is_error(d))
            return d;
        VEC_PUSH(e->arena, &fields, d);
        VEC_PUSH(e->arena, &names, field->field.text);
        named |= field->field.text != NULL;
    }
    return datum_tuple(e->arena, fields.at, named ? names.at : NULL, fields.count);
}

static struct argument *find_argument(const struct arguments *args, const char *name) {
    for (int i = 0; i < args->at.count; i++)
        if (args->at.at[i].name == name)
            return &args->at.at[i];
    return NULL;
}

/* Inputs for the tensor parameters, in order; the arguments of ints that stay open. An optional tensor is an
 * input where its argument is `true`. */
static bool make_inputs(struct elab *e, const struct item *item, struct arguments *args) {
    struct scope *scope = entry_scope(e, item, args);
    struct binder binder = {.scope = scope, .self = e->root, .is_entry = true};
    for (const struct formal *f = item->formals; f; f = f->next) {
        struct argument *given = find_argument(args, f->name.text);
        bool is_input = kind_of(f->type) == PARAM_TENSOR || is_record(f->type);
        bool is_wanted = given && given->datum.kind == DATUM_BOOL && given->datum.truth;
        if (kind_of(f->type) == PARAM_INT && !f->init && !given) {
            struct datum d = scope_find_here(scope, f->name.text)->datum;
            VEC_PUSH(e->arena, &args->at, ((struct argument){f->name.text, d, f->name.span, f->name.span}));
        }
        bool is_left_out = f->type && f->type->optional && !is_wanted;
        if (is_input && is_left_out && given)
            given->datum = datum_none();
        if (is_left_out && !given && !f->init)
            VEC_PUSH(e->arena, &args->at,
                     ((struct argument){f->name.text, datum_none(), f->name.span, f->name.span}));
        if (!is_input || is_left_out || (!f->type->optional && given))
            continue;
        binder.what = f->name.text;
        struct datum d = make_inputs_of(e, &binder, f, f->type, f->name.text);
        if (datum_is_error(d))
            return false;
        if (given)
            given->datum = d;
        else
            VEC_PUSH(e->arena, &args->at, ((struct argument){f->name.text, d, f->name.span, f->name.span}));
    }
    return true;
}

/* run.step counts optimiser steps: with `accumulate: k` every k-th call is one (S27). */
void count_step(struct elab *e, struct span span) {
    if (!e->is_train || e->minimize_count == 0)
        return;
    struct builder *b = &e->b;
    struct value *step = state_read(e, e->step, span), *one = build_int(b, DTYPE_i32, 1);
    if (!step)
        return;
    if (e->accumulate > 1) {
        struct value *last = is_last_call(e, span), *call = state_read(e, accumulated_calls(e), span);
        struct value *next = build_select(b, last, build_int(b, DTYPE_i32, 0), build_add(b, call, one));
        state_write(e, accumulated_calls(e), next, span);
        one = build_cast(b, last, DTYPE_i32);
    }
    state_write(e, e->step, build_add(b, step, one), span);
}

static struct function *build_entry(struct elab *e, const struct item *item, struct arguments *args) {
    struct building building;
    int errors = diags_error_count(e->diags);
    bool is_train = item->kind == ITEM_TRAIN;
    struct site *site = ARENA_NEW(e->graph->arena, struct site);
    site->span = item->name.span;
    building_begin(e, &building, function_name(e, item->name.text), is_train ? FUNCTION_TRAIN : FUNCTION_FN,
                   site);
    building.frame.is_entry = true;
    e->function->doc = item->doc;
    struct results results = {0};
    if (make_inputs(e, item, args)) {
        struct closure closure = {.kind = CLOSURE_FN, .item = item, .scope = e->root->scope, .self = e->root};
        struct datum d = call_fn(e, &closure, args, NULL, item->name.span);
        e->b.site = site;
        if (!datum_is_error(d) && !is_train)
            flatten_results(e, d, "", item->name.span, &results);
        count_step(e, item->name.span);
    }
    return building_end(e, &building, results.values.at, results.names.at, results.values.count, errors);
}

struct function *instance_elaborate(struct instance *instance, const char *entry,
                                    const struct setting *arguments, int argument_count, int accumulate) {
    struct elab *e = instance->elab;
    const struct item *item = find_item(e, entry);
    if (!item)
        return NULL;
    struct frame frame;
    frame_push(e, &frame, e->root->scope, e->root, NULL);
    frame.is_body = true;
    struct arguments args = {0};
    bool good = settings_as_arguments(e, item->formals, arguments, argument_count, entry, NULL, &args);
    frame_pop(e, &frame);
    if (!good)
        return NULL;
    e->accumulate = accumulate;
    const char *key = entry_key(e, entry, &args, accumulate);
    for (int i = 0; i < e->entries.count; i++)
        if (e->entries.at[i].key == key)
            return e->entries.at[i].function;
    struct function *function = build_entry(e, item, &args);
    if (function)
        VEC_PUSH(e->arena, &e->entries, ((struct elaborated){key, function}));
    return function;
}
