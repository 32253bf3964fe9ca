/* driver/feed.h: data sets in front of entries: what goes to which input, the sizes that follow, and batches.
 */
#ifndef DRIVER_FEED_H
#define DRIVER_FEED_H

#include "driver/programs.h"
#include "driver/recipe.h"
#include "driver/values.h"
#include "runtime/prefetch.h"

struct feed {
    const struct recipe_data *data;
    struct weft_dataset *set;
    int64_t count;
    struct weft_prefetch *prefetch; /* NULL: nobody reads ahead */
    int64_t skipped;                /* broken files that were told of */
};
bool feed_open(struct session *session, const struct recipe_data *data, struct feed *feed);
void feed_close(struct feed *feed);

/* What an input gets: values[index] of the recipe, the index-th result of another fn, or a field of the set.
 */
struct route {
    const char *input;
    enum { ROUTE_GIVEN, ROUTE_RESULT, ROUTE_FIELD } kind;
    int index;
};

/* Where the inputs of an entry come from: what is given by name, then what another fn results in, then a set.
 * Of the last two each goes to an input by name, else in order. */
struct supply {
    const struct given *given;
    int given_count;
    const struct function *from; /* NULL: none */
    const struct sizes *from_sizes;
    const struct feed *feed; /* NULL: none */
    const char *field;       /* this one alone; NULL: all */
    int64_t batch;           /* items a call */
    bool is_single; /* found: the inputs are one item, without an axis for the batch, which is 1 then */
    VEC(struct route) routes;
};
/* Finds the routes and the sizes that follow. An item of another rank fits where [batch, elements] is wanted;
 * an item alone fits where the input has no axis more than it. false: reported. */
bool supply_connect(struct session *session, struct supply *supply, const struct function *function,
                    struct sizes *sizes);

/* A call of an entry: the memory of its arguments. */
struct fed_call {
    const struct slot *slot;
    struct feed *feed; /* NULL: no inputs from data */
    int64_t batch;
    void **values; /* by the plan's arguments; owned */
    void **fields; /* by the set's fields: where it goes; NULL: nobody wants it */
    const struct route *routes;
    int route_count;
    bool reads_ahead;
};
/* Allocates what a call needs, behind programs_compile. */
bool fed_call_create(struct session *session, const struct slot *slot, const struct supply *supply,
                     struct fed_call *call);
void fed_call_destroy(struct fed_call *call);
/* Lets a thread read the batch behind the present one, where that is worth it. One call of a feed may. */
bool fed_call_read_ahead(struct session *session, struct fed_call *call);
void fed_call_stop_ahead(struct fed_call *call); /* the set is free for other calls */
/* Reads the items into the batch's memory; draws NULL: an evaluation. next: the items that are likely to
 * follow, or NULL. */
bool fed_call_fill(struct session *session, struct fed_call *call, const int64_t *items, const int64_t *next,
                   const struct weft_draws *draws);
/* Copies the results of another call into the inputs that take them. */
void fed_call_take(struct fed_call *call, const struct fed_call *from);
bool fed_call_run(struct session *session, struct fed_call *call, struct memory *memory, uint64_t seed);
const struct function_plan *fed_call_plan(const struct fed_call *call);

#endif
