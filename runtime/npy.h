/* runtime/npy.h: NumPy's .npy files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html),
 * versions 1 to 3, little endian, C order. */
#ifndef WEFT_NPY_H
#define WEFT_NPY_H

#include "runtime/array.h"

/* f64 f32 f16 i64 i32 i8 u32 u8 bool. *array is made; the caller destroys it. false: nothing was made. */
bool weft_npy_read(const char *path, struct weft_array *array, struct weft_error *error);
/* The same from bytes in memory; `name` stands for the path in messages. */
bool weft_npy_parse(const char *name, const void *bytes, size_t size, struct weft_array *array,
                    struct weft_error *error);
/* Version 1. bf16, which NumPy has not, is refused. */
bool weft_npy_write(const char *path, const struct weft_array *array, struct weft_error *error);

#endif
