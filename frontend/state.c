/* frontend/state.c: the current value of every weight and buffer while a function is built. Reads stand at
 * the head of the function, writes at its end; a region of a loop or cond has its own view of what is
 * current. */
#include "frontend/elab.h"

void region_push(struct elab *e, struct region *region, struct block *block, bool is_loop) {
    *region = (struct region){.outer = e->region, .block = block, .is_loop = is_loop};
    map_init(&region->places, e->arena);
    e->region = region;
}

void region_pop(struct elab *e, struct region *region) {
    e->region = region->outer;
}

struct current *region_find(struct region *region, const struct state *state) {
    uintptr_t place = (uintptr_t)map_find(&region->places, state);
    return place ? &region->states.at[place - 1] : NULL;
}

static struct current *add_current(struct elab *e, struct region *region, struct weight *w,
                                   struct value *value) {
    VEC_PUSH(e->arena, &region->states, ((struct current){.weight = w, .value = value}));
    map_put(&region->places, w->state, (void *)(uintptr_t)region->states.count);
    return &VEC_LAST(&region->states);
}

void region_set(struct elab *e, struct region *region, struct weight *w, struct value *value) {
    struct current *current = region_find(region, w->state);
    if (!current)
        current = add_current(e, region, w, NULL);
    current->value = value;
    current->written = true;
}

/* Inputs, the seed and reads stand first, in this order. */
static struct value *read_at_head(struct elab *e, struct state *state) {
    struct builder b = e->b;
    struct op *anchor = e->last_read ? e->last_read : e->last_input;
    builder_at_end(&b, e->function->body);
    b.before = anchor ? anchor->next : e->function->body->first;
    b.site = state->site;
    struct value *value = build_read(&b, state);
    if (value) {
        value->name = state->name;
        e->last_read = value->def;
    }
    return value;
}

/* What the body of a loop sees until it is known whether it writes the state. Lives in a block of its own
 * that nothing runs, and is replaced when the loop is closed. */
static struct value *stand_in(struct elab *e, const struct weight *w) {
    struct block *nowhere = block_create(e->graph, e->function, NULL);
    return block_add_param(e->graph, nowhere, w->state->type, w->state->name);
}

static struct value *current_value(struct elab *e, struct region *region, struct weight *w) {
    struct current *current = region_find(region, w->state);
    if (current)
        return current->value;
    if (region->is_loop) {
        current = add_current(e, region, w, stand_in(e, w));
        current->stand_in = current->value;
        return current->value;
    }
    if (region->outer)
        return current_value(e, region->outer, w);
    return add_current(e, region, w, read_at_head(e, w->state))->value;
}

struct value *state_current(struct elab *e, struct weight *w) {
    return current_value(e, e->region, w);
}

void note_version(struct elab *e, struct weight *w, struct value *value, struct span span) {
    struct versions *versions = map_find(&e->versions, w->state);
    if (!versions)
        map_put(&e->versions, w->state, versions = ARENA_NEW(e->arena, struct versions));
    for (int i = 0; i < versions->at.count; i++)
        if (versions->at.at[i].value == value)
            return;
    VEC_PUSH(e->arena, &versions->at, ((struct version){value, span}));
}

static bool has_float_word(const struct weight *w) {
    return w->item && w->item->type->name.text[0] == 'f' && w->item->type->name.text[1] == 'l';
}

static struct weight *readable(struct elab *e, struct weight *w, bool *frozen, struct span span) {
    *frozen = false;
    if (e->in_constant) {
        report_error(e, span, E_TIME, "a constant cannot depend on the weight `%s`", w->name);
        return NULL;
    }
    if (!e->region) { /* the body of the model itself: no function is being built */
        diag_hint(report_error(e, span, E_TIME, "the %s `%s` has no value yet where a module's body runs",
                               w->kind == STATE_WEIGHT ? "weight" : "buffer", w->name),
                  "compute what depends on it in a fn");
        return NULL;
    }
    w->is_touched = true;
    return w->owner ? weight_seen(e, w, frozen) : w;
}

struct value *state_read(struct elab *e, struct weight *w, struct span span) {
    bool frozen;
    w = readable(e, w, &frozen, span);
    if (!w)
        return NULL;
    if (e->in_init)
        return initial_value(e, w, span);
    if (!weight_state(e, w, span))
        return NULL;
    struct value *value = current_value(e, e->region, w);
    if (!value)
        return NULL;
    if (w->kind == STATE_WEIGHT && !frozen && !w->shadow)
        w->state->trainable = true;
    note_version(e, w, value, span);
    if (e->ambient.has_precision && has_float_word(w) && value->type->dtype == DTYPE_f32)
        value = build_cast(&e->b, value, e->ambient.precision);
    return frozen ? build_unary(&e->b, OP_stop_gradient, value) : value;
}

/* What a weight becomes is held constant: no gradient goes through an update, so what is computed with the
 * new weight depends on one version of it (S26). A buffer's new value is a value like any other. */
struct value *updated_value(struct elab *e, const struct weight *w, struct value *value) {
    if (w->kind != STATE_WEIGHT)
        return value;
    struct value *held = build_unary(&e->b, OP_stop_gradient, value);
    if (held)
        held->name = w->state->name;
    return held;
}

bool state_write(struct elab *e, struct weight *w, struct value *value, struct span span) {
    bool frozen;
    if (!value || !(w = readable(e, w, &frozen, span)))
        return false;
    if (e->in_init) {
        report_error(e, span, E_STATE, "`%s` cannot be updated here", w->name);
        return false;
    }
    if (frozen) {
        report_error(e, span, E_STATE, "`%s` is frozen: it cannot be updated", weight_name(e, w));
        return false;
    }
    if (!weight_state(e, w, span))
        return false;
    if (value->type != w->state->type) {
        struct diag *diag =
            report_error(e, span, value->type->dtype == w->state->type->dtype ? E_SHAPE : E_DTYPE,
                         "`%s` is %s, it cannot become %s", w->state->name,
                         type_text(e->types, w->state->type), type_text(e->types, value->type));
        diag_label(diag, w->state->site->span, "it is declared here");
        return false;
    }
    if (e->region->is_loop)
        current_value(e, e->region, w); /* its value before the first turn */
    value = updated_value(e, w, value);
    region_set(e, e->region, w, value);
    note_version(e, w, value, span);
    return true;
}

/* Whether the value stands in a block that is open now, so that an op at the builder's place may use it. */
bool block_sees(const struct elab *e, const struct value *value) {
    const struct block *home = value->def ? value->def->block : value->block;
    if (home == e->b.block)
        return true;
    for (const struct region *region = e->region; region; region = region->outer)
        if (region->block == home)
            return true;
    return false;
}
