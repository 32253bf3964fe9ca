#include "runtime/array.h"

#include "runtime/error.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [WEFT_F64] = {"f64", 8}, [WEFT_F32] = {"f32", 4},   [WEFT_BF16] = {"bf16", 2}, [WEFT_F16] = {"f16", 2},
    [WEFT_I64] = {"i64", 8}, [WEFT_I32] = {"i32", 4},   [WEFT_U32] = {"u32", 4},   [WEFT_I8] = {"i8", 1},
    [WEFT_U8] = {"u8", 1},   [WEFT_BOOL] = {"bool", 1},
};

static const size_t LARGEST = (size_t)1 << 62;
enum { ALIGNMENT = 64 };

size_t weft_dtype_size(weft_dtype dtype) {
    return dtypes[dtype].size;
}

const char *weft_dtype_name(weft_dtype dtype) {
    return dtypes[dtype].name;
}

/* A dimension of 0 makes an empty array, but not a legal one of dimensions that overflow beside it. */
bool weft_shape_bytes(weft_dtype dtype, int32_t rank, const int64_t *shape, size_t *bytes) {
    size_t product = weft_dtype_size(dtype);
    bool is_empty = false;
    for (int32_t i = 0; i < rank; i++) {
        if (shape[i] < 0 || (shape[i] > 0 && (size_t)shape[i] > LARGEST / product))
            return false;
        if (shape[i] == 0)
            is_empty = true;
        else
            product *= (size_t)shape[i];
    }
    *bytes = is_empty ? 0 : product;
    return true;
}

bool weft_array_create(struct weft_array *array, weft_dtype dtype, int32_t rank, const int64_t *shape,
                       struct weft_error *error) {
    size_t bytes;
    *array = (struct weft_array){.dtype = dtype, .rank = rank};
    if (rank < 0 || rank > WEFT_MAX_RANK)
        return weft_fail(error, "an array of %d dimensions: at most %d are possible", (int)rank,
                         WEFT_MAX_RANK);
    if (!weft_shape_bytes(dtype, rank, shape, &bytes))
        return weft_fail(error, "an array whose size does not fit the memory of any machine");
    size_t allocated = bytes / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    array->data = aligned_alloc(ALIGNMENT, allocated);
    if (!array->data)
        return weft_fail(error, "no memory for an array of %zu bytes", bytes);
    memset(array->data, 0, allocated);
    for (int32_t i = 0; i < rank; i++)
        array->shape[i] = shape[i];
    return true;
}

void weft_array_destroy(struct weft_array *array) {
    free(array->data);
    *array = (struct weft_array){0};
}

size_t weft_array_bytes(const struct weft_array *array) {
    size_t bytes = 0;
    return weft_shape_bytes(array->dtype, array->rank, array->shape, &bytes) ? bytes : 0;
}

int64_t weft_array_count(const struct weft_array *array) {
    return (int64_t)(weft_array_bytes(array) / weft_dtype_size(array->dtype));
}
