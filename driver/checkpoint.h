/* driver/checkpoint.h: weights and states between memory and .safetensors files, by name. */
#ifndef DRIVER_CHECKPOINT_H
#define DRIVER_CHECKPOINT_H

#include "driver/weight_file.h"

/* How a file of weights is fitted to a model: of the file's names those with `prefix` in front count, without
 * it and through the map; model weights that match a glob of `missing` need not be there, names of the file
 * that match one of `ignore` are passed over. */
struct fitting {
    const char *path;
    const char *into;   /* "." or a member: only weights under it, by their names below it */
    const char *prefix; /* "" for none */
    struct recipe_rename *const *map;
    int map_count;
    const char *const *missing;
    int missing_count;
    const char *const *ignore;
    int ignore_count;
    bool allow_unused; /* names that the model does not have are fine */
};

/* Fills the weights of `memory` (and buffers, where the files have them) from files in turn. A weight that
 * one of the files is for must be in one of them. Floats of another width are converted. Everything that does
 * not fit is told in one message: nothing is changed then. */
bool weights_load_all(struct session *session, const struct graph *graph, const struct plan *plan,
                      const struct memory *memory, const struct fitting *fittings, int count);
/* One file; with_state: a checkpoint, in which every weight, buffer, optimiser state and counter is, as it
 * is. */
bool weights_load(struct session *session, const struct graph *graph, const struct plan *plan,
                  const struct memory *memory, const char *path, const struct fitting *fitting,
                  bool with_state);
/* Writes weights and buffers; with_state: all. */
bool weights_save(struct session *session, const struct graph *graph, const struct plan *plan,
                  const struct memory *memory, const char *path, bool with_state,
                  const struct weft_metadata *metadata, int metadata_count);

/* How an evaluation that may end a phase stands. */
struct watch {
    double best;   /* -HUGE_VAL: nothing yet */
    int64_t stale; /* evaluations since */
};

/* Where a training run stands. */
struct position {
    int64_t step;          /* optimiser steps done, of all phases */
    int64_t phase;         /* that is under way */
    int64_t phase_step;    /* optimiser steps done in it */
    bool is_over;          /* of the phase: it was ended before its length */
    int64_t epoch;         /* whole epochs done in it */
    int64_t batch;         /* batches done in the epoch that is under way */
    double seconds;        /* of all sessions together */
    struct watch *watches; /* by evaluation */
    int watch_count;
};
bool checkpoint_save(struct session *session, const struct graph *graph, const struct plan *plan,
                     const struct memory *memory, const char *folder, const struct position *position,
                     int64_t keep);
/* Moves what an earlier run has left in the folder, if it has left weights, into a folder earlier-N in it:
 * checkpoints, pictures, and the files of the names in `others`. *where: that folder, or NULL. false:
 * reported. */
bool checkpoint_set_aside(struct session *session, const char *folder, const char *const *others, int count,
                          const char **where);
/* The newest checkpoint of a folder; NULL: there is none. */
const char *checkpoint_find(struct session *session, const char *folder);
/* The position alone; its watches are filled, as many as it has. */
bool checkpoint_read_position(struct session *session, const char *path, struct position *position);
bool checkpoint_load(struct session *session, const struct graph *graph, const struct plan *plan,
                     const struct memory *memory, const char *path);

#endif
