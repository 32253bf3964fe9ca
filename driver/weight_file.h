/* driver/weight_file.h: a file of named tensors, .safetensors or .npz, and its names as a model calls them.
 */
#ifndef DRIVER_WEIGHT_FILE_H
#define DRIVER_WEIGHT_FILE_H

#include "driver/recipe.h"
#include "driver/session.h"
#include "runtime/weights.h"
#include "runtime/zip.h"

struct named_tensor {
    const char *file_name;  /* as the file has it */
    const char *model_name; /* without the prefix, through the map, below `into`; NULL: not for us */
    struct weft_weight weight;
};

struct weight_file {
    const char *path;
    struct named_tensor *all;
    int count;
    struct weft_weights *safetensors; /* one of these two */
    struct weft_zip zip;
    struct weft_array *arrays;
};

/* Opens a file; model_names are as in the file. false: reported. */
bool weight_file_open(struct session *session, const char *path, struct weight_file *file);
void weight_file_close(struct weight_file *file);
/* The names below `into` ("." for all) of what begins with `prefix`, by the rules of a map in turn. */
void weight_file_rename(struct session *session, struct weight_file *file, const char *into,
                        const char *prefix, struct recipe_rename *const *map, int map_count);
/* The element-wise conversion between floats, as a copy; false: no such conversion. */
bool named_tensor_copy(const struct weft_weight *from, enum dtype dtype, void *to);

#endif
