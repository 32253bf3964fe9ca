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

/* "1,8,64" after the name; false where that is not what stands there. */
static bool read_list(struct session *session, const char *text, struct listed_size *list) {
    for (const char *at = text;; at++) {
        char *end = NULL;
        errno = 0;
        long long value = strtoll(at, &end, 10);
        if (end == at || errno || value < 0 || (*end && *end != ','))
            return false;
        for (int i = 0; i < list->values.count; i++)
            if (list->values.at[i] == value)
                return false;
        VEC_PUSH(session->arena, &list->values, (int64_t)value);
        if (!*end)
            return true;
        at = end;
    }
}

static bool is_given(const struct sizes *sizes, const char *name) {
    for (int i = 0; i < sizes->listed.count; i++)
        if (strcmp(sizes->listed.at[i].name, name) == 0)
            return true;
    return find_binding(sizes, name) >= 0;
}

bool sizes_from_options(struct session *session, struct invocation *invocation, struct sizes *sizes) {
    for (int i = 0; i < invocation->values[OPT_shape].count; i++) {
        const char *word = invocation->values[OPT_shape].at[i], *equals = strchr(word, '=');
        struct listed_size list = {.origin = arena_printf(session->arena, "--shape %s", word)};
        if (!equals || equals == word || !read_list(session, equals + 1, &list)) {
            usage_error(invocation, "--shape wants NAME=SIZE, or different sizes as NAME=1,8,64, not `%s`",
                        word);
            return false;
        }
        list.name = intern_n(session->names, word, (size_t)(equals - word));
        if (is_given(sizes, list.name)) {
            usage_error(invocation, "--shape names `%s` twice; --shape %s=1,8 is for both", list.name,
                        list.name);
            return false;
        }
        if (list.values.count > 1)
            VEC_PUSH(session->arena, &sizes->listed, list);
        else if (!sizes_bind(session, sizes, list.name, list.values.at[0], list.origin))
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
