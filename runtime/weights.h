/* runtime/weights.h: safetensors (https://github.com/huggingface/safetensors): named tensors in one file. */
#ifndef WEFT_WEIGHTS_H
#define WEFT_WEIGHTS_H

#include "runtime/weft.h"

#include <stdbool.h>

/* A tensor of a file, dense and row major. Of a file that others wrote, the data may stand at any address:
 * copy, do not cast. */
struct weft_weight {
    const char *name;
    weft_dtype dtype;
    int32_t rank;
    int64_t shape[WEFT_MAX_RANK];
    const void *data;
    size_t bytes;
};

struct weft_metadata {
    const char *key, *value;
};

struct weft_weights;

/* Maps the file and checks its header whole: names once, dtypes known, every tensor as long as its shape
 * says, no gap and no overlap. NULL: refused. */
struct weft_weights *weft_weights_open(const char *path, struct weft_error *error);
/* The same of bytes that the caller keeps alive. */
struct weft_weights *weft_weights_parse(const char *name, const void *bytes, size_t size,
                                        struct weft_error *error);
void weft_weights_close(struct weft_weights *weights); /* NULL is fine */

int weft_weights_count(const struct weft_weights *weights);
const struct weft_weight *weft_weights_at(const struct weft_weights *weights, int index); /* sorted by name */
const struct weft_weight *weft_weights_find(const struct weft_weights *weights,
                                            const char *name);                          /* or NULL */
const char *weft_weights_metadata(const struct weft_weights *weights, const char *key); /* or NULL */

/* Writes the tensors, those of large elements first and otherwise in the order given, which keeps every
 * element aligned without gaps. Names must differ. The same arguments give the same bytes. */
bool weft_weights_write(const char *path, const struct weft_weight *weights, int count,
                        const struct weft_metadata *metadata, int metadata_count, struct weft_error *error);

#endif
