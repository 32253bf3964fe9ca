/* runtime/array.h: dense arrays in memory, as files hold them. */
#ifndef WEFT_ARRAY_H
#define WEFT_ARRAY_H

#include "runtime/weft.h"

#include <stdbool.h>

/* Row major, without gaps. The data is owned and 64-byte aligned; an array that is all zero owns nothing. */
struct weft_array {
    weft_dtype dtype;
    int32_t rank;
    int64_t shape[WEFT_MAX_RANK];
    void *data;
};

size_t weft_dtype_size(weft_dtype dtype);      /* bytes of an element */
const char *weft_dtype_name(weft_dtype dtype); /* as the language writes it: "f32" */

/* Number of bytes of a shape; false where a dimension is negative or the product does not fit 2^62. */
bool weft_shape_bytes(weft_dtype dtype, int32_t rank, const int64_t *shape, size_t *bytes);

/* Zeros. false: no memory, or no such shape. */
bool weft_array_create(struct weft_array *array, weft_dtype dtype, int32_t rank, const int64_t *shape,
                       struct weft_error *error);
void weft_array_destroy(struct weft_array *array); /* and makes it all zero */
size_t weft_array_bytes(const struct weft_array *array);
int64_t weft_array_count(const struct weft_array *array); /* elements */

#endif
