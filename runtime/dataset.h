/* runtime/dataset.h: data sets as batches of named arrays. Pictures are "image", float32 [C, H, W] in a
 * range; classes are "label", int32; texts are "text", int32 [length]. */
#ifndef WEFT_DATASET_H
#define WEFT_DATASET_H

#include "runtime/picture.h"
#include "runtime/weft.h"

#include <stdbool.h>

/* An array of an .npz that is wanted, and as what: WEFT_F32, WEFT_I32, or WEFT_U8 for pictures. */
struct weft_wanted_field {
    const char *name;
    weft_dtype dtype;
};

struct weft_dataset_options {
    /* "idx" or "mnist": a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… (plain or
     * .gz). "cifar10": a folder with data_batch*.bin and test_batch*.bin. "npz": the arrays of a file by
     * their names. "npy": one file (the field "image"), or a folder in which NAME.npy holds the field NAME.
     * Of both: u8 arrays of rank 3 or 4 are pictures [N, H, W] or [N, C, H, W], other u8, i32 and i64 arrays
     * become int32, f16, f32 and f64 float32. "images": a folder of PNG and JPEG in the order of their names.
     * "folders": such a folder for each class; the label is the place of its name among them. "unpaired": two
     * folders of pictures, "a" and "b". "pairs": a table, lines of a picture's path (from the table's
     * folder), a tab, and its text. */
    const char *kind;
    const char *path;
    const char *other; /* unpaired: the folder of "b" */
    const char *split; /* "train" (as NULL), "test" or "held"; "test" of idx, mnist and cifar10 alone */
    int64_t hold_out;  /* so many items at the end of the training set are "held" and missing in "train" */
    int64_t limit;     /* at most so many items; 0: all */
    float lo, hi;      /* the range of pictures; both 0: [0, 1] */
    int channels;      /* of pictures: 1 grey, 3 RGB, 0 as they are */
    struct weft_picture_steps steps;
    bool skip_broken; /* a file that cannot be read is replaced by the item behind it; else it is an error */
    const struct weft_wanted_field *fields; /* npz: NULL: all */
    int field_count;
    const char *merges; /* pairs: the list of merges of the byte-pair encoding; NULL: texts are left out */
    int64_t text_length;
};

struct weft_field {
    const char *name;
    weft_dtype dtype; /* WEFT_F32 or WEFT_I32 */
    int32_t rank;     /* of one item */
    int64_t shape[WEFT_MAX_RANK];
};

struct weft_dataset;

/* Reads arrays whole into memory; the files of pictures are read as they are needed. NULL: refused. */
struct weft_dataset *weft_dataset_open(const struct weft_dataset_options *options, struct weft_error *error);
void weft_dataset_close(struct weft_dataset *set); /* NULL is fine */

int64_t weft_dataset_count(const struct weft_dataset *set); /* items, at least 1 */
int weft_dataset_field_count(const struct weft_dataset *set);
const struct weft_field *weft_dataset_field(const struct weft_dataset *set, int index);
/* Whether a batch takes files or work on pictures: worth a thread of its own. */
bool weft_dataset_is_costly(const struct weft_dataset *set);

/* What the draws of a batch (places of cuts, mirrors, partners) are a function of, together with the item. */
struct weft_draws {
    uint64_t seed;
    uint32_t epoch;
};
enum {
    WEFT_NO_EPOCH = INT32_MAX
}; /* of evaluations: partners are taken in turn, other draws are always the same */

/* Fills out[field], dense arrays [count, shape of the field], with the items that `items` names; out[field]
 * NULL skips the field. draws NULL: seed 0, WEFT_NO_EPOCH. false: a file is broken, or of another size. Not
 * by two threads at once. */
bool weft_dataset_read(struct weft_dataset *set, const int64_t *items, int64_t count,
                       const struct weft_draws *draws, void *const *out, struct weft_error *error);
/* How many files were skipped so far, and what was wrong with the last one (of skip_broken). */
int64_t weft_dataset_skipped(const struct weft_dataset *set, const char **why);

/* The order of an epoch: a permutation of [0, count), a pure function of the three numbers (Fisher and Yates
 * as in Knuth, vol. 2, 3.4.2, algorithm P, over Philox). */
void weft_shuffle(uint64_t seed, uint32_t epoch, int64_t count, int64_t *order);

#endif
