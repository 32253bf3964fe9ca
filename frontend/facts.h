/* frontend/facts.h: what an elaboration saw in one text: the values that its expressions had and its names
 * were bound to. The elaborator notes them where it is asked to (frontend_set_facts) and knows nothing of who
 * reads them: editors (inspect.h). The front end holds a pointer that is NULL in every other use.
 *
 * An expression of a module is evaluated once for each instance and call; a few different values are kept,
 * the first first. Facts live in the arena of the elaboration: they point to its values. */
#ifndef FRONTEND_FACTS_H
#define FRONTEND_FACTS_H

#include "base/map.h"
#include "frontend/datum.h"

enum { FACT_VALUES = 3 };

struct fact {
    int count;     /* of values[] */
    bool has_more; /* there were others */
    struct datum values[FACT_VALUES];
};

struct facts {
    struct arena *arena;
    const struct source *source; /* the text they are about */
    struct map of_expr;          /* struct expr to struct fact */
    struct map of_name;          /* a binding's span to struct fact */
};

struct facts *facts_create(struct arena *arena, const struct source *source);
void facts_note_expr(struct facts *facts, const struct expr *x, struct datum d);
/* Of a name that stands at its span: sizes are bound at the argument that tells them, which is none of their
 * business. */
void facts_note_binding(struct facts *facts, const char *name, struct span span, struct datum d);
/* NULL: it was never evaluated, or was a mistake. */
const struct fact *facts_of_expr(const struct facts *facts, const struct expr *x);
const struct fact *facts_of_name(const struct facts *facts, struct span span);

#endif
