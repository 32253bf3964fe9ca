/* runtime/idx.h: the IDX files of MNIST and its kin (http://yann.lecun.com/exdb/mnist), plain or in gzip. */
#ifndef WEFT_IDX_H
#define WEFT_IDX_H

#include "runtime/array.h"

/* Arrays of unsigned bytes (IDX type 0x08) of any rank: WEFT_U8. false: nothing was made. */
bool weft_idx_read(const char *path, struct weft_array *array, struct weft_error *error);
bool weft_idx_parse(const char *name, const void *bytes, size_t size, struct weft_array *array,
                    struct weft_error *error);

#endif
