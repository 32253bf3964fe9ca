/* frontend/entry.h: functions of the graph under construction. */
#ifndef FRONTEND_ENTRY_H
#define FRONTEND_ENTRY_H

#include "frontend/elab.h"

/* The parts of an elaborator's state that belong to one function. */
struct building {
    struct region base;
    struct stream stream;
    struct frame frame;
};

/* Starts a function of the instance's graph: the builder stands at its end, in a frame of the root. */
void building_begin(struct elab *e, struct building *building, const char *name, enum function_kind kind,
                    const struct site *site);
/* Writes what was written and yields the results. NULL where errors were reported since there were `errors`
 * of them: the function is taken out of the graph. */
struct function *building_end(struct elab *e, struct building *building, struct value *const *results,
                              const char **names, int count, int errors);

/* Counts an optimiser step, where a `train` has minimized something. */
void count_step(struct elab *e, struct span span);
/* The elaborator of a model, with its root instance. NULL: reported. */
struct elab *elab_create(struct frontend *fe, struct arena *arena, const char *graph_name);
/* A hyper-parameter or argument from its text. */
struct datum evaluate_setting(struct elab *e, const struct setting *setting, const struct type_expr *type);
/* The tensors in a result, in order, with the names of the fields that lead to them. */
struct results {
    VEC(struct value *) values;
    VEC(const char *) names;
};
bool flatten_results(struct elab *e, struct datum d, const char *path, struct span span, struct results *out);

#endif
