/* frontend/region.h: what `loop`, `when` and `remat` share: names and states that go through a region of the
 * graph.
 *
 * Regions are built with open captures, that is, with uses of outside values, and closed when their op is
 * complete. */
#ifndef FRONTEND_REGION_H
#define FRONTEND_REGION_H

#include "frontend/elab.h"

struct leaves {
    struct value **at;
    int count, capacity;
};
struct weights {
    struct weight **at;
    int count, capacity;
};

/* ---- tensors inside a value ---- */
/* Whether a value can go through a region: tensors, numbers, and lists and tuples of them. */
bool is_carriable(struct datum d);
/* The tensors of a value in order; `like` (may be NULL) says what dtypes numbers take. false: reported. */
bool flatten(struct elab *e, struct datum d, const struct leaves *like, struct leaves *out, struct span span);
/* The value with the shape of d whose tensors are at[*next..]. */
struct datum rebuild(struct elab *e, struct datum d, struct value *const *at, int *next);

/* ---- names that are alive before a region and assigned in it ---- */
struct carried {
    const char *name;
    struct datum before;
    struct span span; /* where it was bound before */
    int first, count; /* its tensors among all */
};
struct passage {
    struct elab *e;
    VEC(struct carried) names;
    struct leaves leaves; /* the values before */
};
/* The names that the statements assign, and that an assignment here would rebind. A loop carries their
 * tensors (with_leaves); a `when` captures them as they are. */
void passage_collect(struct passage *p, const struct stmt *first, bool with_leaves, struct span span);
void passage_bind(struct passage *p, struct value *const *values); /* from values[name.first] on */
void passage_restore(struct passage *p);
void passage_spoil(struct passage *p); /* behind what could not be built they are mistakes */
struct binding *alive_binding(struct elab *e, const char *name); /* NULL: none */

/* ---- states and ops ---- */
void written_states(struct elab *e, const struct region *region, struct weights *out);
/* The written states get the values as current ones of the innermost region. */
void states_become(struct elab *e, const struct weights *written, struct value *const *values,
                   struct span span);
/* Closes the regions of an op and puts it where the builder is. false: reported. */
bool place_op(struct elab *e, struct op *op);

#endif
