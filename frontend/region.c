/* frontend/region.c: names and states that go through a region (region.h). */
#include "frontend/region.h"

#include <string.h>

/* ---- the names that a block assigns ---- */

struct assigned {
    struct elab *e;
    struct name_set names;
};

static void add_assigned(struct assigned *a, const char *name) {
    if (name && strcmp(name, "_") != 0 && !name_set_has(&a->names, name))
        VEC_PUSH(a->e->arena, &a->names.names, name);
}

static void assigned_by_pattern(struct assigned *a, const struct pattern *pattern) {
    for (; pattern; pattern = pattern->next) {
        add_assigned(a, pattern->name.text);
        assigned_by_pattern(a, pattern->parts);
    }
}

static void assigned_by(struct assigned *a, const struct stmt *s) {
    for (; s; s = s->next) {
        if (s->kind == STMT_ASSIGN) {
            const struct expr *place = s->place;
            while (place->kind == EXPR_INDEX)
                place = place->a;
            if (place->kind == EXPR_NAME)
                add_assigned(a, place->name.text);
        } else if (s->kind == STMT_TYPED || s->kind == STMT_CONST) {
            add_assigned(a, s->name.text);
        } else if (s->kind == STMT_UNPACK) {
            assigned_by_pattern(a, s->pattern);
        }
        assigned_by(a, s->body.first);
        assigned_by(a, s->otherwise.first);
    }
}

/* ---- tensors inside a value ---- */

bool is_carriable(struct datum d) {
    if (datum_is_sequence(d)) {
        for (int i = 0; i < d.list->count; i++)
            if (!is_carriable(d.list->at[i]))
                return false;
        return true;
    }
    return datum_is_number(d) || datum_is_run_time(d) || d.kind == DATUM_BOOL;
}

bool flatten(struct elab *e, struct datum d, const struct leaves *like, struct leaves *out,
             struct span span) {
    if (datum_is_sequence(d)) {
        for (int i = 0; i < d.list->count; i++)
            if (!flatten(e, d.list->at[i], like, out, span))
                return false;
        return true;
    }
    int dtype = like && out->count < like->count ? (int)like->at[out->count]->type->dtype : DTYPE_ANY;
    struct value *x = to_tensor(e, d, dtype, span);
    VEC_PUSH(e->arena, out, x);
    return x != NULL;
}

struct datum rebuild(struct elab *e, struct datum d, struct value *const *at, int *next) {
    if (!datum_is_sequence(d))
        return datum_tensor(at[(*next)++]);
    d = datum_copy(e->arena, d);
    for (int i = 0; i < d.list->count; i++)
        *datum_at(d, i) = rebuild(e, d.list->at[i], at, next);
    return d;
}

/* ---- names that go through a region ---- */

struct binding *alive_binding(struct elab *e, const char *name) {
    for (struct scope *s = e->frame->scope; s; s = s->parent) {
        struct binding *found = scope_find_here(s, name);
        if (found || s->kind != SCOPE_BLOCK)
            return found;
    }
    return NULL;
}

static void add_passing(struct passage *p, const char *name, struct span span) {
    struct binding *found = alive_binding(p->e, name);
    if (!found || !is_carriable(found->datum))
        return;
    struct carried c = {name, found->datum, found->span, p->leaves.count, 0};
    if (!flatten(p->e, found->datum, NULL, &p->leaves, span))
        return;
    c.count = p->leaves.count - c.first;
    VEC_PUSH(p->e->arena, &p->names, c);
}

/* Of a `when`: its tensors are captured as they are, so nothing is flattened before it is known what changes.
 */
static void note_passing(struct passage *p, const char *name) {
    struct binding *found = alive_binding(p->e, name);
    if (found)
        VEC_PUSH(p->e->arena, &p->names, ((struct carried){name, found->datum, found->span, 0, 0}));
}

void passage_collect(struct passage *p, const struct stmt *first, bool with_leaves, struct span span) {
    struct assigned assigned = {.e = p->e};
    assigned_by(&assigned, first);
    for (int i = 0; i < assigned.names.names.count; i++) {
        const char *name = assigned.names.names.at[i];
        bool known = false;
        for (int k = 0; k < p->names.count; k++)
            known |= p->names.at[k].name == name;
        if (known)
            continue;
        if (with_leaves)
            add_passing(p, name, span);
        else
            note_passing(p, name);
    }
}

void passage_bind(struct passage *p, struct value *const *values) {
    for (int i = 0; i < p->names.count; i++) {
        struct carried *c = &p->names.at[i];
        int next = c->first;
        struct binding *found = alive_binding(p->e, c->name);
        found->datum = rebuild(p->e, c->before, values, &next);
    }
}

void passage_restore(struct passage *p) {
    for (int i = 0; i < p->names.count; i++)
        alive_binding(p->e, p->names.at[i].name)->datum = p->names.at[i].before;
}

void passage_spoil(struct passage *p) {
    for (int i = 0; i < p->names.count; i++)
        alive_binding(p->e, p->names.at[i].name)->datum = datum_error();
}

/* ---- states and ops ---- */

void written_states(struct elab *e, const struct region *region, struct weights *out) {
    for (int i = 0; i < region->states.count; i++) {
        struct weight *w = region->states.at[i].weight;
        bool skip = !region->states.at[i].written;
        for (int k = 0; k < out->count; k++)
            skip |= out->at[k]->state == w->state;
        if (!skip)
            VEC_PUSH(e->arena, out, w);
    }
}

bool place_op(struct elab *e, struct op *op) {
    for (int r = 0; r < op->region_count; r++)
        region_close(e->graph, op, op->regions[r]);
    if (!op_infer(e->graph, op, e->diags))
        return false;
    if (e->b.before)
        op_insert_before(op, e->b.before);
    else
        op_append(op, e->b.block);
    return true;
}

void states_become(struct elab *e, const struct weights *written, struct value *const *values,
                   struct span span) {
    for (int i = 0; i < written->count; i++) {
        struct value *value = updated_value(e, written->at[i], values[i]);
        region_set(e, e->region, written->at[i], value);
        note_version(e, written->at[i], value, span);
    }
}
