/* driver/checkpoint.h: weights and states between memory and .safetensors files, by name. */
#ifndef DRIVER_CHECKPOINT_H
#define DRIVER_CHECKPOINT_H

#include "driver/session.h"
#include "runtime/weights.h"

/* How a file of weights is fitted to a model: names in the file have `prefix` in front; model weights that match a glob
 * of `missing` need not be there, names of the file that match one of `ignore` are passed over. */
struct fitting {
    const char *into;   /* "." or a member: only weights under it, whose names in the file begin behind it */
    const char *prefix; /* "" for none */
    const char *const *missing;
    int missing_count;
    const char *const *ignore;
    int ignore_count;
};

/* Fills the weights (and, where `with_state`, buffers, optimiser state and counters) of `memory` from a file. Everything
 * that does not fit is told in one message: nothing is changed then. */
bool weights_load(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                  const char *path, const struct fitting *fitting, bool with_state);
bool weights_save(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                  const char *path, bool with_state, const struct weft_metadata *metadata, int metadata_count);

/* Where a training run stands. */
struct position {
    int64_t step;       /* optimiser steps done */
    int64_t epoch;      /* whole epochs done */
    int64_t batch;      /* batches done in the epoch that is under way */
    double seconds;     /* of all sessions together */
};
bool checkpoint_save(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                     const char *folder, const struct position *position, int64_t keep);
/* Takes the weights and checkpoints of an earlier run away, so that none of them is taken for the new run's. */
void checkpoint_clear(struct session *session, const char *folder);
/* The newest checkpoint of a folder; NULL: there is none. */
const char *checkpoint_find(struct session *session, const char *folder);
bool checkpoint_load(struct session *session, const struct graph *graph, const struct plan *plan, const struct memory *memory,
                     const char *path, struct position *position);

#endif
