/* driver/shapes.h: sizes for dimension variables, from the arrays that are given and from --shape. */
#ifndef DRIVER_SHAPES_H
#define DRIVER_SHAPES_H

#include "driver/session.h"

#include <stdint.h>

/* Several sizes for one name: B=1,8,64. */
struct listed_size {
    const char *name, *origin;
    VEC(int64_t) values; /* no two are equal */
};

/* Bindings that were found, and where each came from, for messages; and names with several sizes to choose
 * between. */
struct sizes {
    VEC(struct dim_binding) bindings;
    VEC(const char *) origins;
    VEC(struct listed_size) listed;
};

/* NAME=SIZE and NAME=SIZE,SIZE,... options. */
bool sizes_from_options(struct session *session, struct invocation *invocation, struct sizes *sizes);
/* Binds name to value; false: it has another value already (reported with both origins). */
bool sizes_bind(struct session *session, struct sizes *sizes, const char *name, int64_t value,
                const char *origin);
/* Matches the shape of an array against a type with variables: a variable alone is bound, everything else is
 * checked once all are known. origin names the array in messages ("x=digit.png"). false: reported. */
bool sizes_match(struct session *session, struct sizes *sizes, const struct type *type, int rank,
                 const int64_t *shape, const char *origin);
/* Whether every dim of the type is known; the sizes go to shape (of the type's rank). */
bool sizes_of_type(struct session *session, const struct sizes *sizes, const struct type *type,
                   int64_t *shape);

#endif
