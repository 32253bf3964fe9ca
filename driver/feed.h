/* driver/feed.h: a data set in front of an entry: which field goes to which input, the sizes that follow, and batches. */
#ifndef DRIVER_FEED_H
#define DRIVER_FEED_H

#include "driver/recipe.h"
#include "driver/session.h"
#include "driver/shapes.h"
#include "runtime/dataset.h"

struct feed {
    const struct recipe_data *data;
    struct weft_dataset *set;
    int64_t count;
};
bool feed_open(struct session *session, const struct recipe_data *data, struct feed *feed);
void feed_close(struct feed *feed);

/* An entry whose inputs come from a feed: the batch's memory, and the arrays of all arguments for program_call. */
struct fed_call {
    struct program *program;
    int entry;
    const struct feed *feed; /* NULL: no inputs from data */
    int64_t batch;
    void **values;     /* by the plan's arguments; owned */
    void **fields;     /* by the set's fields: where it goes; NULL: nobody wants it */
};
/* The sizes that a batch of the feed gives the function's inputs. A field is an input's by name, else by order; an item
 * of another rank fits where [batch, elements] is wanted. false: reported. */
bool feed_sizes(struct session *session, const struct feed *feed, const struct function *function, int64_t batch, struct sizes *sizes);
/* Allocates what a call needs. */
bool fed_call_create(struct session *session, struct program *program, int entry, const struct feed *feed, int64_t batch,
                     struct fed_call *call);
void fed_call_destroy(struct fed_call *call);
/* Reads the items into the batch's memory. */
bool fed_call_fill(struct session *session, struct fed_call *call, const int64_t *items);

#endif
