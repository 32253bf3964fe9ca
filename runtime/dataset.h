/* runtime/dataset.h: data sets as batches of named arrays. Pictures are "image", float32 [C, H, W] in a
 * range; classes are "label", int32. */
#ifndef WEFT_DATASET_H
#define WEFT_DATASET_H

#include "runtime/weft.h"

#include <stdbool.h>

struct weft_dataset_options {
    /* "idx" or "mnist": a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… (plain or
     * .gz). "cifar10": a folder with data_batch*.bin and test_batch*.bin. "npy": one file (the field
     * "image"), or a folder in which NAME.npy holds the field NAME; u8 arrays of rank 3 or 4 are pictures [N,
     * H, W] or [N, C, H, W], other u8, i32 and i64 arrays become int32, f32 and f64 float32. "images": a
     * folder of PNG of one size, in the order of their names. */
    const char *kind;
    const char *path;
    const char *split; /* "train" (as NULL), "test" or "held"; of npy and images, which have no test set, not
                          "test" */
    int64_t hold_out;  /* so many items at the end of the training set are "held" and missing in "train" */
    int64_t limit;     /* at most so many items; 0: all */
    float lo, hi;      /* the range of pictures; both 0: [0, 1] */
    int channels;      /* of pictures: 1 grey, 3 RGB, 0 as they are */
};

struct weft_field {
    const char *name;
    weft_dtype dtype; /* WEFT_F32 or WEFT_I32 */
    int32_t rank;     /* of one item */
    int64_t shape[WEFT_MAX_RANK];
};

struct weft_dataset;

/* Reads the whole set into memory, but for "images", whose files are read as they are needed. NULL: refused.
 */
struct weft_dataset *weft_dataset_open(const struct weft_dataset_options *options, struct weft_error *error);
void weft_dataset_close(struct weft_dataset *set); /* NULL is fine */

int64_t weft_dataset_count(const struct weft_dataset *set); /* items, at least 1 */
int weft_dataset_field_count(const struct weft_dataset *set);
const struct weft_field *weft_dataset_field(const struct weft_dataset *set, int index);

/* Fills out[field], dense arrays [count, shape of the field], with the items that `items` names; out[field]
 * NULL skips the field. false: a file of "images" is broken or of another size. */
bool weft_dataset_read(const struct weft_dataset *set, const int64_t *items, int64_t count, void *const *out,
                       struct weft_error *error);

/* The order of an epoch: a permutation of [0, count), a pure function of the three numbers (Fisher and Yates
 * as in Knuth, vol. 2, 3.4.2, algorithm P, over Philox). */
void weft_shuffle(uint64_t seed, uint32_t epoch, int64_t count, int64_t *order);

#endif
