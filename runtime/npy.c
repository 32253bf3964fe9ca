#include "runtime/npy.h"

#include "runtime/error.h"
#include "runtime/file.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little endian and are copied as they are");

static const char magic[6] = "\x93NUMPY";

static const struct {
    const char *descr;
    weft_dtype dtype;
} descrs[] = {
    {"<f8", WEFT_F64},  {"<f4", WEFT_F32}, {"<f2", WEFT_F16}, {"<i8", WEFT_I64},
    {"<i4", WEFT_I32},  {"<u4", WEFT_U32}, {"|i1", WEFT_I8},  {"|u1", WEFT_U8},
    {"|b1", WEFT_BOOL}, {"<i1", WEFT_I8},  {"<u1", WEFT_U8},  {"<b1", WEFT_BOOL},
};
enum { DESCR_COUNT = sizeof descrs / sizeof *descrs };

/* The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. */
struct header {
    const char *name; /* the file's */
    const char *at, *end;
    struct weft_error *error;
    weft_dtype dtype;
    bool is_fortran;
    int32_t rank;
    int64_t shape[WEFT_MAX_RANK];
    unsigned seen; /* a bit for each key */
};

static void skip_space(struct header *h) {
    while (h->at < h->end && isspace((unsigned char)*h->at))
        h->at++;
}

static bool accept(struct header *h, const char *text) {
    size_t length = strlen(text);
    skip_space(h);
    if ((size_t)(h->end - h->at) < length || memcmp(h->at, text, length) != 0)
        return false;
    h->at += length;
    return true;
}

static bool expect(struct header *h, const char *text) {
    return accept(h, text) || weft_fail(h->error, "%s: a broken .npy header: `%s` expected", h->name, text);
}

/* A string in single or double quotes, without escapes. */
static bool parse_string(struct header *h, char *text, size_t room) {
    skip_space(h);
    size_t length = 0;
    char quote = h->at < h->end ? *h->at : 0;
    if (quote != '\'' && quote != '"')
        return weft_fail(h->error, "%s: a broken .npy header: a string expected", h->name);
    for (h->at++; h->at < h->end && *h->at != quote; h->at++)
        if (length + 1 < room && isprint((unsigned char)*h->at))
            text[length++] = *h->at;
    text[length] = 0;
    return expect(h, quote == '"' ? "\"" : "'");
}

static bool parse_descr(struct header *h) {
    char descr[16];
    if (accept(h, "["))
        return weft_fail(h->error, "%s: records cannot be read: an array of one dtype is expected", h->name);
    if (!parse_string(h, descr, sizeof descr))
        return false;
    for (int i = 0; i < DESCR_COUNT; i++)
        if (strcmp(descr, descrs[i].descr) == 0) {
            h->dtype = descrs[i].dtype;
            return true;
        }
    if (descr[0] == '>')
        return weft_fail(h->error, "%s: dtype '%s' is big endian: little endian is expected", h->name, descr);
    return weft_fail(h->error, "%s: dtype '%s' cannot be read: f2 f4 f8 i1 i4 i8 u1 u4 b1 can", h->name,
                     descr);
}

static bool parse_order(struct header *h) {
    h->is_fortran = accept(h, "True");
    return h->is_fortran || expect(h, "False");
}

static bool parse_dim(struct header *h) {
    int64_t dim = 0;
    skip_space(h);
    if (h->at == h->end || !isdigit((unsigned char)*h->at))
        return weft_fail(h->error, "%s: a broken .npy header: a dimension expected, %s found", h->name,
                         h->at < h->end && *h->at == '-' ? "a negative number" : "something else");
    for (; h->at < h->end && isdigit((unsigned char)*h->at); h->at++)
        if (__builtin_mul_overflow(dim, 10, &dim) || __builtin_add_overflow(dim, *h->at - '0', &dim))
            return weft_fail(h->error, "%s: a dimension is too large", h->name);
    if (h->rank == WEFT_MAX_RANK)
        return weft_fail(h->error, "%s: more than %d dimensions", h->name, WEFT_MAX_RANK);
    h->shape[h->rank++] = dim;
    (void)accept(h, "L"); /* Python 2 wrote 3L */
    return true;
}

static bool parse_shape(struct header *h) {
    h->rank = 0;
    if (!expect(h, "("))
        return false;
    while (!accept(h, ")")) {
        if (!parse_dim(h))
            return false;
        if (!accept(h, ","))
            return expect(h, ")");
    }
    return true;
}

static const struct {
    const char *key;
    bool (*parse)(struct header *);
} keys[] = {{"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};
enum { KEY_COUNT = sizeof keys / sizeof *keys, ALL_KEYS = (1 << KEY_COUNT) - 1 };

static bool parse_entry(struct header *h) {
    char key[32];
    if (!parse_string(h, key, sizeof key) || !expect(h, ":"))
        return false;
    for (unsigned i = 0; i < KEY_COUNT; i++)
        if (strcmp(key, keys[i].key) == 0) {
            h->seen |= 1u << i;
            return keys[i].parse(h);
        }
    return weft_fail(h->error, "%s: a broken .npy header: unknown key '%s'", h->name, key);
}

static bool parse_header(struct header *h) {
    if (!expect(h, "{"))
        return false;
    for (bool more = true; more && !accept(h, "}");) {
        if (!parse_entry(h))
            return false;
        more = accept(h, ",");
        if (!more && !expect(h, "}"))
            return false;
    }
    skip_space(h);
    if (h->seen != ALL_KEYS || h->at != h->end)
        return weft_fail(h->error,
                         "%s: a broken .npy header: descr, fortran_order and shape expected, nothing else",
                         h->name);
    return true;
}

/* Elements of a matrix in Fortran order mean a transposition, which is not done silently behind a reader's
 * back. */
static bool check_order(const struct header *h) {
    return !h->is_fortran || h->rank <= 1 ||
           weft_fail(h->error, "%s: it is in Fortran order: save it with numpy.ascontiguousarray", h->name);
}

/* Where the header's text begins and ends; the data follow. */
static bool find_header(struct header *h, const char *bytes, size_t size) {
    if (size < 10 || memcmp(bytes, magic, sizeof magic) != 0)
        return weft_fail(h->error, "%s: not a .npy file", h->name);
    int major = (unsigned char)bytes[6];
    if (major < 1 || major > 3)
        return weft_fail(h->error, "%s: .npy version %d: 1, 2 or 3 are expected", h->name, major);
    size_t start = major == 1 ? 10 : 12, length = 0;
    if (size < start)
        return weft_fail(h->error, "%s: the header is cut off", h->name);
    for (size_t i = start; i-- > 8;)
        length = length << 8 | (unsigned char)bytes[i];
    if (length > size - start)
        return weft_fail(h->error, "%s: the header is cut off: %zu bytes expected, %zu found", h->name,
                         length, size - start);
    h->at = bytes + start;
    h->end = h->at + length;
    return true;
}

bool weft_npy_parse(const char *name, const void *bytes, size_t size, struct weft_array *array,
                    struct weft_error *error) {
    struct header h = {.name = name, .at = bytes, .end = bytes, .error = error};
    size_t expected;
    *array = (struct weft_array){0};
    if (!find_header(&h, bytes, size))
        return false;
    const char *data = h.end;
    size_t found = size - (size_t)(data - (const char *)bytes);
    if (!parse_header(&h) || !check_order(&h))
        return false;
    if (!weft_shape_bytes(h.dtype, h.rank, h.shape, &expected))
        return weft_fail(error, "%s: the shape in the header is impossible", name);
    if (expected != found)
        return weft_fail(error, "%s: %zu bytes of data expected, %zu found", name, expected, found);
    if (!weft_array_create(array, h.dtype, h.rank, h.shape, error))
        return false;
    memcpy(array->data, data, found);
    return true;
}

bool weft_npy_read(const char *path, struct weft_array *array, struct weft_error *error) {
    struct weft_mapping map;
    *array = (struct weft_array){0};
    if (!weft_mapping_open(&map, path, error))
        return false;
    bool ok = weft_npy_parse(path, map.bytes, map.size, array, error);
    weft_mapping_close(&map);
    return ok;
}

static const char *descr_of(weft_dtype dtype) {
    for (int i = 0; i < DESCR_COUNT; i++)
        if (descrs[i].dtype == dtype)
            return descrs[i].descr;
    return NULL;
}

/* The header ends with a line feed so that the data begin at a multiple of 64. Its longest text, 16
 * dimensions of 19 digits, has less than 450 bytes. */
static void write_header(struct weft_file *file, const char *descr, const struct weft_array *array) {
    char text[512];
    int length = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int32_t i = 0; i < array->rank; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%" PRId64 ", ", array->shape[i]);
    length += snprintf(text + length, sizeof text - (size_t)length, "), }");
    while ((10 + length + 1) % 64 != 0)
        text[length++] = ' ';
    text[length++] = '\n';
    const unsigned char prefix[4] = {1, 0, (unsigned char)length, (unsigned char)(length >> 8)};
    weft_file_write(file, magic, sizeof magic);
    weft_file_write(file, prefix, sizeof prefix);
    weft_file_write(file, text, (size_t)length);
}

bool weft_npy_write(const char *path, const struct weft_array *array, struct weft_error *error) {
    const char *descr = descr_of(array->dtype);
    if (!descr)
        return weft_fail(error, "%s: .npy has no dtype %s: convert it to f32", path,
                         weft_dtype_name(array->dtype));
    struct weft_file *file = weft_file_create(path, error);
    if (!file)
        return false;
    write_header(file, descr, array);
    weft_file_write(file, array->data, weft_array_bytes(array));
    return weft_file_take_commit(file, error);
}
