/* frontend/scope.h: names and what they stand for. Scopes are chained: builtins < prelude < file < instance <
 * function < block. */
#ifndef FRONTEND_SCOPE_H
#define FRONTEND_SCOPE_H

#include "base/map.h"
#include "base/vec.h"
#include "frontend/datum.h"

enum scope_kind { SCOPE_BUILTINS, SCOPE_FILE, SCOPE_INSTANCE, SCOPE_FUNCTION, SCOPE_BLOCK };

struct binding {
    const char *name;
    struct datum datum;
    struct span span; /* of what bound it; unknown for builtins */
};

struct scope {
    enum scope_kind kind;
    struct scope *parent;
    struct arena *arena;
    struct instance *instance; /* of an INSTANCE scope */
    struct model_file *file;   /* of a FILE scope; NULL: the builtins */
    struct facts *facts;       /* what is told of every binding; NULL: nobody asks */
    struct map index;          /* name to position + 1, in the kinds that grow large */
    VEC(struct binding) bindings;
};

struct scope *scope_create(struct arena *arena, enum scope_kind kind, struct scope *parent);
/* In this scope alone; NULL: not there. Valid until the next binding is added. */
struct binding *scope_find_here(const struct scope *scope, const char *name);
/* In this scope or those around it. */
struct binding *scope_find(const struct scope *scope, const char *name);
void scope_bind(struct scope *scope, const char *name, struct datum datum, struct span span); /* replaces */
void scope_erase(struct scope *scope, const char *name); /* of this scope; its binding becomes unreachable */
/* Assignment (S3): rebinds the name where the same function or instance body already has it, else binds it
 * here. */
void scope_assign(struct scope *scope, const char *name, struct datum datum, struct span span);
/* The name nearest to a misspelt one, or NULL. */
const char *scope_nearest(const struct scope *scope, const char *name, struct arena *arena);

#endif
