/* driver/entries.h: the entries of an instance as commands name them, elaborated. */
#ifndef DRIVER_ENTRIES_H
#define DRIVER_ENTRIES_H

#include "driver/session.h"
#include "driver/shapes.h"

struct requests {
    VEC(struct request) list;
};

/* A comma-separated list of entries (NULL: all of them), elaborated into the instance's graph, with their
 * sizes. Int parameters with a default take the size that is given under their name; others stay open as
 * dimension variables. What --arg gives goes to the parameters of its name, in every entry that has one.
 * Where several sizes are listed for what an entry depends on, there is a request for
 * each combination of them, one after the other. A size that no entry depends on is warned of. false:
 * reported. */
bool entries_elaborate(struct session *session, struct instance *instance, const char *list,
                       const struct sizes *sizes, struct requests *requests);
/* One entry by name, or the model's only one where name is NULL. NULL: reported. */
const struct entry *entries_find(struct session *session, const struct instance *instance, const char *name);

#endif
