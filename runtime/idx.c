#include "runtime/idx.h"

#include "runtime/error.h"
#include "runtime/file.h"

#include <stdlib.h>
#include <string.h>

enum { UNSIGNED_BYTES = 0x08, HEADER_MOST = 4 + 4 * WEFT_MAX_RANK };
static const size_t LARGEST_FILE = (size_t)1 << 32;

struct header {
    int32_t rank;
    int64_t shape[WEFT_MAX_RANK];
    size_t size;  /* bytes of the header */
    size_t total; /* bytes of the file: header and data */
};

static uint32_t big_endian(const unsigned char *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Two zero bytes, the type, the rank, then the dimensions. */
static bool parse_header(const char *name, const unsigned char *bytes, size_t size, struct header *h,
                         struct weft_error *error) {
    if (size < 4 || bytes[0] || bytes[1])
        return weft_fail(error, "%s: not an IDX file", name);
    if (bytes[2] != UNSIGNED_BYTES)
        return weft_fail(error, "%s: IDX type 0x%02x: unsigned bytes (0x08) are expected", name, bytes[2]);
    h->rank = bytes[3];
    if (h->rank < 1 || h->rank > WEFT_MAX_RANK)
        return weft_fail(error, "%s: %d dimensions: 1 to %d are expected", name, (int)h->rank, WEFT_MAX_RANK);
    h->size = 4 + 4 * (size_t)h->rank;
    if (size < h->size)
        return weft_fail(error, "%s: the header is cut off: %zu bytes expected, %zu found", name, h->size,
                         size);
    for (int32_t i = 0; i < h->rank; i++)
        h->shape[i] = big_endian(bytes + 4 + 4 * i);
    size_t data;
    if (!weft_shape_bytes(WEFT_U8, h->rank, h->shape, &data))
        return weft_fail(error, "%s: the shape in the header is impossible", name);
    h->total = h->size + data;
    return true;
}

static bool parse_plain(const char *name, const unsigned char *bytes, size_t size, struct weft_array *array,
                        struct weft_error *error) {
    struct header h = {0};
    if (!parse_header(name, bytes, size, &h, error))
        return false;
    if (size != h.total)
        return weft_fail(error, "%s: %zu bytes expected, %zu found", name, h.total, size);
    if (!weft_array_create(array, WEFT_U8, h.rank, h.shape, error))
        return false;
    memcpy(array->data, bytes + h.size, size - h.size);
    return true;
}

/* The header is opened first: it tells how much the rest may open to. */
static bool parse_gzip(const char *name, const unsigned char *bytes, size_t size, struct weft_array *array,
                       struct weft_error *error) {
    unsigned char head[HEADER_MOST], *plain;
    size_t plain_size;
    struct header h = {0};
    size_t head_size = weft_gunzip_head(bytes, size, head, sizeof head);
    if (!parse_header(name, head, head_size, &h, error))
        return false;
    if (!weft_gunzip(name, bytes, size, h.total, &plain, &plain_size, error))
        return false;
    bool ok = parse_plain(name, plain, plain_size, array, error);
    free(plain);
    return ok;
}

bool weft_idx_parse(const char *name, const void *data, size_t size, struct weft_array *array,
                    struct weft_error *error) {
    const unsigned char *bytes = data;
    *array = (struct weft_array){0};
    bool is_gzip = size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    return is_gzip ? parse_gzip(name, bytes, size, array, error)
                   : parse_plain(name, bytes, size, array, error);
}

bool weft_idx_read(const char *path, struct weft_array *array, struct weft_error *error) {
    unsigned char *bytes;
    size_t size;
    *array = (struct weft_array){0};
    if (!weft_file_read(path, LARGEST_FILE, &bytes, &size, error))
        return false;
    bool ok = weft_idx_parse(path, bytes, size, array, error);
    free(bytes);
    return ok;
}
