/* runtime/dataset_parts.h: what a data set holds; between dataset.c, which hands it out, and dataset_arrays.c
 * and dataset_files.c, which fill it. */
#ifndef WEFT_DATASET_PARTS_H
#define WEFT_DATASET_PARTS_H

#include "runtime/array.h"
#include "runtime/dataset.h"
#include "runtime/listing.h"

/* A field and where its items come from: an array in memory, or files of pictures. */
struct weft_column {
    struct weft_field field;
    char *name;                /* owned; field.name points to it */
    struct weft_array items;   /* [N, ...]; empty where files are read */
    struct weft_listing files; /* empty where an array is there */
    int channels;              /* planes of a stored picture; 0: no picture */
    int width, height;         /* of a picture of files: the first one's, before any step */
    bool is_partner;           /* unpaired: training draws one of its files for each item */
};

struct weft_dataset {
    struct weft_column *columns;
    int column_count;
    int64_t total;        /* items in the files */
    int64_t first, count; /* those of this split */
    float lo, hi;
    float value[256]; /* that a byte stands for */
    int channels;     /* as asked for: 0, 1 or 3 */
    struct weft_picture_steps steps;
    bool skip_broken;
    bool *broken;    /* by item of the files: it was skipped */
    int64_t skipped; /* how many */
    struct weft_error last;
};

struct weft_dataset_kind {
    const char *name;
    bool has_test;
    bool (*load)(struct weft_dataset *set, const struct weft_dataset_options *options,
                 struct weft_error *error);
};
extern const struct weft_dataset_kind weft_dataset_kinds[];
extern const int weft_dataset_kind_count;

/* Adds a column: of an array (taken, also where it fails), or of files (likewise). All arrays of a set have
 * the same number of items; files may be fewer, and then begin again. NULL: refused. */
struct weft_column *weft_dataset_add_array(struct weft_dataset *set, const char *path, const char *name,
                                           struct weft_array *take_items, int channels,
                                           struct weft_error *error);
struct weft_column *weft_dataset_add_files(struct weft_dataset *set, const char *name,
                                           struct weft_listing *take_files, struct weft_error *error);

/* dataset_arrays.c */
bool weft_load_idx(struct weft_dataset *set, const struct weft_dataset_options *options,
                   struct weft_error *error);
bool weft_load_cifar10(struct weft_dataset *set, const struct weft_dataset_options *options,
                       struct weft_error *error);
bool weft_load_npy(struct weft_dataset *set, const struct weft_dataset_options *options,
                   struct weft_error *error);
bool weft_load_npz(struct weft_dataset *set, const struct weft_dataset_options *options,
                   struct weft_error *error);
/* dataset_files.c */
bool weft_load_images(struct weft_dataset *set, const struct weft_dataset_options *options,
                      struct weft_error *error);
bool weft_load_folders(struct weft_dataset *set, const struct weft_dataset_options *options,
                       struct weft_error *error);
bool weft_load_unpaired(struct weft_dataset *set, const struct weft_dataset_options *options,
                        struct weft_error *error);
bool weft_load_pairs(struct weft_dataset *set, const struct weft_dataset_options *options,
                     struct weft_error *error);

#endif
