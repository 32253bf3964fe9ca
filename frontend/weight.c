/* frontend/weight.c: params and buffers, their names (N1 to N6), views of them, and their states in the
 * graph. */
#include "frontend/elab.h"

#include <string.h>

struct weight *weight_declare(struct elab *e, struct instance *owner, const struct item *item) {
    struct weight *w = ARENA_NEW(e->arena, struct weight);
    w->name = item->name.text;
    w->path = item->weight_path ? item->weight_path : item->name.text;
    w->item = item;
    w->owner = owner;
    w->kind = item->kind == ITEM_PARAM ? STATE_WEIGHT : STATE_BUFFER;
    return w;
}

struct weight *weight_make(struct elab *e, const char *name, enum state_kind kind, const struct type *type) {
    for (int i = 0; i < e->made.count; i++)
        if (e->made.at[i]->name == name)
            return e->made.at[i];
    struct weight *w = ARENA_NEW(e->arena, struct weight);
    w->name = w->path = name;
    w->kind = kind;
    w->type = type;
    VEC_PUSH(e->arena, &e->made, w);
    return w;
}

static const char *relative_path(struct elab *e, const struct instance *instance,
                                 const struct instance *top) {
    if (!instance || instance == top)
        return "";
    return path_join(e, relative_path(e, instance->owner, top), instance->path ? instance->path : "");
}

const char *weight_name(struct elab *e, const struct weight *w) {
    if (w->shadow) {
        const char *place = path_join(e, relative_path(e, w->shadow->owner, e->root),
                                      w->shadow->path ? w->shadow->path : "shadow");
        return path_join(e, place,
                         path_join(e, relative_path(e, w->source->owner, w->shadow->root), w->source->path));
    }
    return w->owner ? path_join(e, instance_path(e, w->owner), w->path) : w->name;
}

/* ---- views ---- */

struct weight *shadow_weight(struct elab *e, struct shadow *shadow, struct weight *w) {
    for (int i = 0; i < shadow->weights.count; i++)
        if (shadow->weights.at[i]->source == w)
            return shadow->weights.at[i];
    struct weight *copy = ARENA_NEW(e->arena, struct weight);
    *copy = (struct weight){.name = w->name,
                            .path = w->path,
                            .item = w->item,
                            .owner = w->owner,
                            .kind = w->kind,
                            .source = w,
                            .shadow = shadow};
    VEC_PUSH(e->arena, &shadow->weights, copy);
    return copy;
}

static struct weight *seen_through(struct elab *e, const struct view *views, struct weight *w, bool *frozen) {
    for (const struct view *view = views; view; view = view->next) {
        if (!w->owner || !instance_is_below(w->owner, view->root))
            continue;
        if (view->frozen)
            *frozen = true;
        else if (!w->shadow)
            w = shadow_weight(e, view->shadow, w);
    }
    return w;
}

struct weight *weight_seen(struct elab *e, struct weight *w, bool *frozen) {
    *frozen = false;
    return seen_through(e, e->ambient.views, w, frozen);
}

/* ---- states ---- */

struct weight *weight_of_state(const struct elab *e, const struct state *state) {
    return map_find(&e->weight_of, state);
}

const struct type *weight_type(struct elab *e, struct weight *w, struct span span) {
    if (!w->item)
        return w->type;
    const struct site *site = e->frame ? e->frame->site : NULL;
    if (span.source != w->item->name.span.source) /* read from outside: that place is the user's */
        site = site_of_call(e, span, NULL);
    struct frame frame; /* of its own: the caller's dtype variables are not the weight's */
    frame_push(e, &frame, w->owner->scope, w->owner, site);
    struct binder binder = {.scope = w->owner->scope, .self = w->owner, .what = "the weight"};
    const struct type *type = resolve_type(e, &binder, w->item->type);
    frame_pop(e, &frame);
    if (type && !type_is_static(type)) {
        struct diag *diag = report_error(e, w->item->type->span, E_DIM,
                                         "the shape %s of `%s` depends on the size of an input",
                                         type_text(e->types, type), weight_name(e, w));
        diag_hint(diag, "make the size a hyper-parameter");
        return NULL;
    }
    return type;
}

/* N5: an instance without a place, whose weights have no name. */
static bool has_place(struct elab *e, const struct weight *w, struct span span) {
    for (struct instance *i = w->owner; i && i != e->root; i = i->owner)
        if (!i->path && e->names_places) {
            name_anonymous(e, e->root, i, NULL);
        } else if (!i->path) {
            struct diag *diag =
                report_error(e, span, E_STATE, "`%s` of `%s` has no place in the model, so it has no name",
                             w->name, i->module->name);
            diag_label(diag, i->site->span, "the instance is made here: give it a `let`");
            return false;
        }
    return true;
}

static struct state *existing_state(struct elab *e, struct weight *w, struct state *state,
                                    const struct type *type, struct span span) {
    const struct weight *other = weight_of_state(e, state);
    if (other && other->item == w->item && state->type == type && other->shadow == w->shadow)
        return state;
    struct diag *diag = report_error(e, span, E_STATE, "two weights have the name `%s`", state->name);
    diag_label(diag, state->site->span, "the other is declared here, %s", type_text(e->types, state->type));
    if (w->item)
        diag_label(diag, w->item->name.span, "this one here, %s", type_text(e->types, type));
    if (w->shadow && !w->shadow->path)
        diag_label(diag, w->shadow->span,
                   "this shadow has no name for its weights to begin with: give it a `let`");
    return NULL;
}

struct state *weight_state(struct elab *e, struct weight *w, struct span span) {
    if (w->state)
        return w->state;
    const struct type *type = weight_type(e, w, span);
    if (!type || !has_place(e, w, span))
        return NULL;
    const char *name = intern(e->names, weight_name(e, w));
    struct state *state = graph_find_state(e->graph, name);
    if (state) {
        w->state = existing_state(e, w, state, type, span);
        return w->state;
    }
    struct site *site = ARENA_NEW(e->graph->arena, struct site);
    site->span = w->item ? w->item->name.span : span;
    site->caller = w->owner && w->owner != e->root ? w->owner->site : NULL;
    w->state = graph_add_state(e->graph, name, w->kind, type, site);
    VEC_PUSH(e->arena, &e->weights, w);
    map_put(&e->weight_of, w->state, w);
    return w->state;
}

/* ---- lists of weights ---- */

struct walk {
    struct elab *e;
    struct weight_list *out;
    const struct view *views;
    bool buffers_too;
    struct map seen; /* instances */
};

/* A weight exists once it is read, itself or through a shadow. */
static bool weight_exists(const struct weight *w) {
    return w->state || w->is_touched;
}

static void walk_datum(struct walk *walk, struct datum d);

static void walk_weight(struct walk *walk, struct weight *w) {
    bool frozen = false;
    if (!weight_exists(w) || (w->kind != STATE_WEIGHT && !walk->buffers_too))
        return;
    struct weight *seen = seen_through(walk->e, walk->views, w, &frozen);
    if (!(frozen && walk->out->skip_frozen))
        VEC_PUSH(walk->e->arena, &walk->out->at, seen);
}

static void walk_instance(struct walk *walk, struct instance *instance) {
    if (map_has(&walk->seen, instance))
        return;
    map_put(&walk->seen, instance, instance);
    for (int i = 0; i < instance->members.count; i++) {
        const struct member *member = &instance->members.at[i];
        if (member->weight)
            walk_weight(walk, member->weight);
        else
            walk_datum(walk, scope_find_here(instance->scope, member->name)->datum);
    }
    for (int i = 0; i < instance->anonymous.count; i++)
        walk_instance(walk, instance->anonymous.at[i].instance);
}

static bool sees_shadow(const struct view *view) {
    for (; view; view = view->next)
        if (view->shadow)
            return true;
    return false;
}

/* A shadow's weights stand where its let stands, and its instance may be walked again for itself. */
static void walk_seen_instance(struct walk *walk, struct datum d) {
    const struct view *outer = walk->views;
    struct map seen = walk->seen;
    if (sees_shadow(d.view))
        map_init(&walk->seen, walk->e->arena);
    if (d.view) {
        struct datum through = datum_through(walk->e, d, outer);
        walk->views = through.view;
    }
    walk_instance(walk, d.instance);
    walk->views = outer;
    if (sees_shadow(d.view))
        walk->seen = seen;
}

static void walk_datum(struct walk *walk, struct datum d) {
    if (d.kind == DATUM_INSTANCE)
        walk_seen_instance(walk, d);
    else if (datum_is_sequence(d))
        for (int i = 0; i < d.list->count; i++)
            walk_datum(walk, d.list->at[i]);
    else if (d.kind == DATUM_WEIGHT || (d.kind == DATUM_TENSOR && d.weight))
        walk_weight(walk, d.weight);
}

void collect_weights(struct elab *e, struct datum d, struct weight_list *out, bool buffers_too) {
    struct walk walk = {.e = e, .out = out, .buffers_too = buffers_too};
    map_init(&walk.seen, e->arena);
    walk_datum(&walk, d);
}

void order_states(struct elab *e) {
    struct weight_list order = {0};
    struct datum place = {.kind = DATUM_INSTANCE, .instance = e->root};
    collect_weights(e, place, &order, true);
    for (int i = 0; i < e->optimizers.count; i++) {
        place.instance = e->optimizers.at[i];
        collect_weights(e, place, &order, true);
    }
    struct map placed;
    map_init(&placed, e->arena);
    struct state **states = ARENA_ARRAY(e->arena, struct state *, e->graph->states.count);
    int count = 0;
    for (int i = 0; i < order.at.count; i++) {
        struct state *state = order.at.at[i]->state;
        if (!state || map_has(&placed, state))
            continue;
        map_put(&placed, state, state);
        states[count++] = state;
    }
    for (int i = 0; i < e->graph->states.count; i++) /* the run's come behind */
        if (!map_has(&placed, e->graph->states.at[i]))
            states[count++] = e->graph->states.at[i];
    for (int i = 0; i < count; i++) {
        e->graph->states.at[i] = states[i];
        states[i]->index = i;
    }
}
