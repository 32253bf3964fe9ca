/* frontend/init.c: the function "init": from the seed, the first value of every state. */
#include "frontend/elab.h"
#include "frontend/entry.h"

#include <string.h>

/* FNV-1a, 32 bits: a weight's draws depend on its name alone, not on which other weights exist. */
static int32_t name_hash(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return (int32_t)hash;
}

static struct value *name_key(struct elab *e, const char *name) {
    struct value *seed = seed_input(e);
    struct value *base = seed ? build_random_fold(&e->b, seed, build_int(&e->b, DTYPE_i32, 0)) : NULL;
    return base ? build_random_fold(&e->b, base, build_int(&e->b, DTYPE_i32, name_hash(name))) : NULL;
}

static struct datum shape_of(struct elab *e, const struct type *type) {
    struct datum *dims = ARENA_ARRAY(e->arena, struct datum, type->rank);
    for (int i = 0; i < type->rank; i++)
        dims[i] = datum_size(type->dims[i]);
    return datum_list(e->arena, dims, type->rank);
}

/* `= init.normal` for `= init.normal(0.02)`: it takes a number and gives the function of the shape. */
static bool refuse_maker(struct elab *e, struct datum d, struct span span) {
    const struct item *fn = d.kind == DATUM_CLOSURE && d.closure->kind == CLOSURE_FN ? d.closure->item : NULL;
    const struct type_expr *type = fn && fn->formals ? fn->formals->type : NULL;
    if (!type || type->kind != TYPE_NAME || strcmp(type->name.text, "float") != 0)
        return false;
    struct diag *diag =
        report_error(e, span, E_TYPE,
                     "a first value is a function of the weight's shape, `%s` takes a number", fn->name.text);
    diag_hint(diag, "a call makes the function: init.%s(0.02)", fn->name.text);
    return true;
}

/* A number, a tensor, or a function of the shape, as a tensor of the weight's type. */
static struct value *as_first_value(struct elab *e, struct datum d, const struct type *type,
                                    struct span span) {
    if (refuse_maker(e, d, span))
        return NULL;
    if (d.kind == DATUM_CLOSURE || d.kind == DATUM_BUILTIN) {
        struct datum shape = shape_of(e, type);
        d = call_with(e, d, &shape, 1, span);
    }
    struct value *x = to_tensor(e, d, (int)type->dtype, span);
    if (!x)
        return NULL;
    const struct type *wide = type_broadcast(e->types, x->type, type);
    if (x->type->dtype == type->dtype && wide == type)
        return build_broadcast_to(&e->b, x, type);
    report_error(e, span, x->type->dtype == type->dtype ? E_SHAPE : E_DTYPE,
                 "the first value is %s, but the weight is %s", type_text(e->types, x->type),
                 type_text(e->types, type));
    return NULL;
}

static struct value *evaluate_first(struct elab *e, struct weight *w, const struct type *type) {
    if (!w->item || !w->item->value)
        return build_full(&e->b, type, 0.0);
    struct site *site = ARENA_NEW(e->arena, struct site);
    *site = (struct site){w->item->name.span, w->owner->site,
                          arena_printf(e->arena, "the first value of %s", weight_name(e, w))};
    struct frame frame;
    frame_push(e, &frame, scope_create(e->arena, SCOPE_FUNCTION, w->owner->scope), w->owner, site);
    struct stream stream;
    stream_push(e, &stream);
    stream.pinned = name_key(e, weight_name(e, w));
    struct value *first = as_first_value(e, evaluate(e, w->item->value), type, w->item->value->span);
    stream_pop(e, &stream);
    frame_pop(e, &frame);
    return first;
}

struct value *initial_value(struct elab *e, struct weight *w, struct span span) {
    if (w->first)
        return w->first;
    if (w->source) /* a shadow starts where its model does */
        return initial_value(e, w->source, span);
    if (w->in_init) {
        report_error(e, span, E_STATE, "the first value of `%s` depends on itself", weight_name(e, w));
        return NULL;
    }
    const struct type *type = w->state ? w->state->type : weight_type(e, w, span);
    if (!type)
        return NULL;
    w->in_init = true;
    const struct view *views = e->ambient.views;
    e->ambient.views = NULL;
    w->first = evaluate_first(e, w, type);
    VEC_PUSH(e->arena, &e->first_values, w);
    e->ambient.views = views;
    w->in_init = false;
    return w->first;
}

/* First values are ops of the function being built, so every weight forgets that of an earlier one. */
static void forget_first_values(struct elab *e) {
    for (int i = 0; i < e->first_values.count; i++)
        e->first_values.at[i]->first = NULL;
    e->first_values.count = 0;
}

static bool has_entry(const struct module *module, const char *name) {
    for (const struct item *item = module->item->members; item; item = item->next)
        if ((item->kind == ITEM_FN || item->kind == ITEM_TRAIN) && strcmp(item->name.text, name) == 0)
            return true;
    return false;
}

/* "init", with a _ behind it where the model has a function of that name. */
static const char *init_name(const struct instance *instance) {
    const char *name = "init";
    while (has_entry(instance->module, name))
        name = arena_printf(instance->elab->graph->arena, "%s_", name);
    return name;
}

/* The function "init"; `declarations`: of the weights of one declaration, the first alone. */
static struct function *elaborate_init(struct instance *instance, struct map *declarations) {
    struct elab *e = instance->elab;
    int errors = diags_error_count(e->diags);
    struct building building;
    forget_first_values(e);
    building_begin(e, &building, init_name(instance), FUNCTION_INIT, instance->site);
    e->in_init = true;
    for (int i = 0; i < e->graph->states.count; i++) {
        struct state *state = e->graph->states.at[i];
        struct weight *w = weight_of_state(e, state);
        if (w && w->item && declarations) {
            if (map_has(declarations, w->item))
                continue;
            map_put(declarations, w->item, w);
        }
        struct value *first = w ? initial_value(e, w, state->site->span) : NULL;
        struct site site = *state->site;
        e->b.site = arena_memdup(e->graph->arena, &site, sizeof site);
        if (first)
            build_write(&e->b, state, first);
    }
    e->in_init = false;
    return building_end(e, &building, NULL, NULL, 0, errors);
}

struct function *instance_elaborate_init(struct instance *instance) {
    return elaborate_init(instance, NULL);
}

bool instance_check_init(struct instance *instance) {
    struct map declarations;
    map_init(&declarations, instance->elab->arena);
    return elaborate_init(instance, &declarations) != NULL;
}
