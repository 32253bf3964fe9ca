/* frontend/scope.c: chained scopes (scope.h). */
#include "frontend/scope.h"

#include "frontend/facts.h"

/* Functions have a handful of names: a walk beats a hash. Files and builtins have many. */
static bool is_indexed(const struct scope *scope) {
    return scope->kind == SCOPE_BUILTINS || scope->kind == SCOPE_FILE;
}

struct scope *scope_create(struct arena *arena, enum scope_kind kind, struct scope *parent) {
    struct scope *scope = ARENA_NEW(arena, struct scope);
    scope->kind = kind;
    scope->parent = parent;
    scope->arena = arena;
    scope->instance = parent ? parent->instance : NULL;
    scope->facts = parent ? parent->facts : NULL;
    map_init(&scope->index, arena);
    return scope;
}

struct binding *scope_find_here(const struct scope *scope, const char *name) {
    if (is_indexed(scope)) {
        size_t position = (size_t)map_find(&scope->index, name);
        return position ? &scope->bindings.at[position - 1] : NULL;
    }
    for (int i = scope->bindings.count - 1; i >= 0; i--)
        if (scope->bindings.at[i].name == name)
            return &scope->bindings.at[i];
    return NULL;
}

struct binding *scope_find(const struct scope *scope, const char *name) {
    for (; scope; scope = scope->parent) {
        struct binding *found = scope_find_here(scope, name);
        if (found)
            return found;
    }
    return NULL;
}

void scope_bind(struct scope *scope, const char *name, struct datum datum, struct span span) {
    if (scope->facts)
        facts_note_binding(scope->facts, name, span, datum);
    struct binding *found = scope_find_here(scope, name);
    if (found) {
        found->datum = datum;
        found->span = span;
        return;
    }
    VEC_PUSH(scope->arena, &scope->bindings, ((struct binding){name, datum, span}));
    if (is_indexed(scope))
        map_put(&scope->index, name, (void *)(size_t)scope->bindings.count);
}

void scope_erase(struct scope *scope, const char *name) {
    struct binding *found = scope_find_here(scope, name);
    if (!found)
        return;
    found->name = NULL; /* no name is NULL */
    if (is_indexed(scope))
        map_erase(&scope->index, name);
}

void scope_assign(struct scope *scope, const char *name, struct datum datum, struct span span) {
    for (struct scope *s = scope; s; s = s->parent) {
        struct binding *found = scope_find_here(s, name);
        if (found) {
            scope_bind(s, name, datum, span);
            return;
        }
        if (s->kind != SCOPE_BLOCK)
            break;
    }
    scope_bind(scope, name, datum, span);
}

const char *scope_nearest(const struct scope *scope, const char *name, struct arena *arena) {
    VEC(const char *) names = {0};
    for (; scope; scope = scope->parent)
        for (int i = 0; i < scope->bindings.count; i++)
            if (scope->bindings.at[i].name)
                VEC_PUSH(arena, &names, scope->bindings.at[i].name);
    return nearest_name(name, names.at, names.count);
}
