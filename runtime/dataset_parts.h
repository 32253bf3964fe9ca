/* runtime/dataset_parts.h: what a data set holds; between dataset.c, which hands it out, and dataset_kinds.c,
 * which fills it from files. */
#ifndef WEFT_DATASET_PARTS_H
#define WEFT_DATASET_PARTS_H

#include "runtime/array.h"
#include "runtime/dataset.h"

/* A field and where its items come from: an array in memory, or files. */
struct weft_column {
    struct weft_field field;
    char *name;              /* owned; field.name points to it */
    struct weft_array items; /* [N, ...]; empty where files are read */
    int channels;            /* planes of a stored picture; 0: no picture */
};

struct weft_dataset {
    struct weft_column *columns;
    int column_count;
    int64_t total;        /* items in the files */
    int64_t first, count; /* those of this split */
    float lo, hi;
    float value[256]; /* that a byte stands for */
    int channels;     /* as asked for: 0, 1 or 3 */
    char **files;     /* "images": total paths, sorted */
};

struct weft_dataset_kind {
    const char *name;
    bool has_test;
    bool (*load)(struct weft_dataset *set, const char *path, bool is_test, struct weft_error *error);
};
extern const struct weft_dataset_kind weft_dataset_kinds[];
extern const int weft_dataset_kind_count;

#endif
