#include "driver/shapes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int find_binding(const struct sizes *sizes, const char *name) {
    for (int i = 0; i < sizes->bindings.count; i++)
        if (strcmp(sizes->bindings.at[i].name, name) == 0)
            return i;
    return -1;
}

bool sizes_bind(struct session *session, struct sizes *sizes, const char *name, int64_t value,
                const char *origin) {
    int at = find_binding(sizes, name);
    if (at >= 0 && sizes->bindings.at[at].value != value)
        return session_fail(session, E_SHAPE, "%s is %lld by %s, but %lld by %s", name,
                            (long long)sizes->bindings.at[at].value, sizes->origins.at[at], (long long)value,
                            origin);
    if (at >= 0)
        return true;
    struct dim_binding binding = {intern(session->names, name), value};
    VEC_PUSH(session->arena, &sizes->bindings, binding);
    VEC_PUSH(session->arena, &sizes->origins, origin);
    return true;
}

bool sizes_from_options(struct session *session, struct invocation *invocation, struct sizes *sizes) {
    for (int i = 0; i < invocation->values[OPT_shape].count; i++) {
        const char *word = invocation->values[OPT_shape].at[i], *equals = strchr(word, '=');
        char *end = NULL;
        errno = 0;
        long long value = equals ? strtoll(equals + 1, &end, 10) : 0;
        if (!equals || equals == word || end == equals + 1 || *end || errno || value < 0) {
            usage_error(invocation, "--shape wants NAME=SIZE, not `%s`", word);
            return false;
        }
        const char *name = arena_strndup(session->arena, word, (size_t)(equals - word));
        if (!sizes_bind(session, sizes, name, value, arena_printf(session->arena, "--shape %s", word)))
            return false;
    }
    return true;
}

/* A dim that is one variable alone has its name as its text, and a name is a variable's if that gives the dim
 * back. */
static bool is_variable(struct session *session, const struct dim *dim, const char **name) {
    *name = dim_text(session->types, dim);
    return !dim_is_const(dim) && dim_var(session->types, *name) == dim;
}

bool sizes_match(struct session *session, struct sizes *sizes, const struct type *type, int rank,
                 const int64_t *shape, const char *origin) {
    if (type->rank != rank)
        return session_fail(session, E_SHAPE, "%s has %d dimension%s; the model wants %s", origin, rank,
                            rank == 1 ? "" : "s", type_text(session->types, type));
    for (int i = 0; i < rank; i++) {
        const char *name;
        if (is_variable(session, type->dims[i], &name) && !sizes_bind(session, sizes, name, shape[i], origin))
            return false;
    }
    for (int i = 0; i < rank; i++) {
        const struct dim *known =
            dim_bind(session->types, type->dims[i], sizes->bindings.at, sizes->bindings.count);
        if (known && dim_is_const(known) && dim_value(known) != shape[i])
            return session_fail(session, E_SHAPE, "dimension %d of %s is %lld; the model wants %s there", i,
                                origin, (long long)shape[i], dim_text(session->types, type->dims[i]));
    }
    return true;
}

bool sizes_of_type(struct session *session, const struct sizes *sizes, const struct type *type,
                   int64_t *shape) {
    for (int i = 0; i < type->rank; i++) {
        const struct dim *known =
            dim_bind(session->types, type->dims[i], sizes->bindings.at, sizes->bindings.count);
        if (!known || !dim_is_const(known))
            return false;
        shape[i] = dim_value(known);
    }
    return true;
}
