/* A file: the header's length as 8 bytes, the header as JSON, the data. The header is an object of
 * "name": {"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}, offsets counted from behind the
 * header, and
 * "__metadata__": {"key": "text"}. */
#include "runtime/weights.h"

#include "runtime/array.h"
#include "runtime/error.h"
#include "runtime/file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char metadata_key[] = "__metadata__";

/* The reference reader's limit. */
enum { LARGEST_HEADER = 100000000, HEADER_ALIGNMENT = 64 };

static const struct {
    const char *text;
    weft_dtype dtype;
} dtypes[] = {
    {"F64", WEFT_F64}, {"F32", WEFT_F32}, {"BF16", WEFT_BF16}, {"F16", WEFT_F16}, {"I64", WEFT_I64},
    {"I32", WEFT_I32}, {"U32", WEFT_U32}, {"I8", WEFT_I8},     {"U8", WEFT_U8},   {"BOOL", WEFT_BOOL},
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof *dtypes };

struct weft_weights {
    struct weft_mapping map; /* empty where the caller owns the bytes */
    json_t *header;          /* owns names and metadata */
    struct weft_weight *all;
    int count;
};

/* What a reader of one header knows. */
struct reading {
    const char *file;
    const unsigned char *data;
    size_t data_size;
    struct weft_error *error;
};

static bool read_dtype(const struct reading *r, struct weft_weight *w, const json_t *entry) {
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    for (int i = 0; text && i < DTYPE_COUNT; i++)
        if (strcmp(text, dtypes[i].text) == 0) {
            w->dtype = dtypes[i].dtype;
            return true;
        }
    return weft_fail(r->error, "%s: tensor \"%s\" has dtype %s, which Weft does not have", r->file, w->name,
                     text ? text : "(none)");
}

static bool read_shape(const struct reading *r, struct weft_weight *w, const json_t *entry) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return weft_fail(r->error, "%s: tensor \"%s\" has no shape", r->file, w->name);
    if (json_array_size(shape) > WEFT_MAX_RANK)
        return weft_fail(r->error, "%s: tensor \"%s\" has %zu dimensions: at most %d are expected", r->file,
                         w->name, json_array_size(shape), WEFT_MAX_RANK);
    for (; w->rank < (int32_t)json_array_size(shape); w->rank++) {
        const json_t *dim = json_array_get(shape, (size_t)w->rank);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return weft_fail(r->error, "%s: tensor \"%s\": dimension %d is not a size", r->file, w->name,
                             (int)w->rank);
        w->shape[w->rank] = json_integer_value(dim);
    }
    if (!weft_shape_bytes(w->dtype, w->rank, w->shape, &w->bytes))
        return weft_fail(r->error, "%s: tensor \"%s\" has an impossible shape", r->file, w->name);
    return true;
}

static bool read_place(const struct reading *r, struct weft_weight *w, const json_t *entry) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return weft_fail(r->error, "%s: tensor \"%s\" has no data_offsets", r->file, w->name);
    json_int_t first = json_integer_value(begin), last = json_integer_value(end);
    if (first < 0 || last < first || (size_t)last > r->data_size)
        return weft_fail(r->error, "%s: tensor \"%s\" lies at bytes %" PRId64 " to %" PRId64 " of %zu",
                         r->file, w->name, (int64_t)first, (int64_t)last, r->data_size);
    if ((size_t)(last - first) != w->bytes)
        return weft_fail(r->error, "%s: tensor \"%s\": its shape needs %zu bytes, %" PRId64 " found", r->file,
                         w->name, w->bytes, (int64_t)(last - first));
    w->data = r->data + first;
    return true;
}

static bool read_metadata(const struct reading *r, json_t *entry) {
    const char *key;
    json_t *value;
    bool ok = json_is_object(entry);
    json_object_foreach(entry, key, value) ok = ok && json_is_string(value);
    return ok || weft_fail(r->error, "%s: %s must hold texts", r->file, metadata_key);
}

static bool read_entries(const struct reading *r, struct weft_weights *weights) {
    const char *key;
    json_t *entry;
    weights->all = calloc(json_object_size(weights->header) + 1, sizeof *weights->all);
    if (!weights->all)
        return weft_fail(r->error, "%s: no memory for its names", r->file);
    json_object_foreach(weights->header, key, entry) {
        if (strcmp(key, metadata_key) == 0) {
            if (!read_metadata(r, entry))
                return false;
            continue;
        }
        struct weft_weight *w = &weights->all[weights->count++];
        w->name = key;
        if (!read_dtype(r, w, entry) || !read_shape(r, w, entry) || !read_place(r, w, entry))
            return false;
    }
    return true;
}

static int by_place(const void *x, const void *y) {
    const struct weft_weight *a = x, *b = y;
    if (a->data != b->data)
        return (const char *)a->data < (const char *)b->data ? -1 : 1;
    return a->bytes == b->bytes ? 0 : a->bytes < b->bytes ? -1 : 1;
}

static int by_name(const void *x, const void *y) {
    const struct weft_weight *a = x, *b = y;
    return strcmp(a->name, b->name);
}

/* Overlaps would give two names to one tensor, gaps would hide data: the format forbids both. */
static bool check_cover(const struct reading *r, struct weft_weights *weights) {
    size_t covered = 0;
    qsort(weights->all, (size_t)weights->count, sizeof *weights->all, by_place);
    for (int i = 0; i < weights->count; i++) {
        const struct weft_weight *w = &weights->all[i];
        size_t begin = (size_t)((const unsigned char *)w->data - r->data);
        if (begin != covered)
            return weft_fail(r->error, "%s: tensor \"%s\" begins at byte %zu of the data, %zu expected",
                             r->file, w->name, begin, covered);
        covered = begin + w->bytes;
    }
    return covered == r->data_size ||
           weft_fail(r->error, "%s: %zu bytes of data expected, %zu found", r->file, covered, r->data_size);
}

static bool read_all(struct weft_weights *weights, const char *name, const unsigned char *bytes, size_t size,
                     struct weft_error *error) {
    if (size < 8)
        return weft_fail(error, "%s: not a safetensors file: %zu bytes are too few", name, size);
    uint64_t length;
    memcpy(&length, bytes, sizeof length);
    if (length > LARGEST_HEADER || length > size - 8)
        return weft_fail(error,
                         "%s: not a safetensors file, or cut off: a header of %" PRIu64
                         " bytes expected, %zu found",
                         name, length, size - 8);
    if (length == 0 || bytes[8] != '{')
        return weft_fail(error, "%s: not a safetensors file: its header is no JSON object", name);
    json_error_t why;
    weights->header = json_loadb((const char *)bytes + 8, length, JSON_REJECT_DUPLICATES, &why);
    if (!weights->header)
        return weft_fail(error, "%s: the header is broken: %s", name, why.text);
    const struct reading r = {name, bytes + 8 + length, size - 8 - length, error};
    if (!read_entries(&r, weights) || !check_cover(&r, weights))
        return false;
    qsort(weights->all, (size_t)weights->count, sizeof *weights->all, by_name);
    return true;
}

struct weft_weights *weft_weights_parse(const char *name, const void *bytes, size_t size,
                                        struct weft_error *error) {
    struct weft_weights *weights = calloc(1, sizeof *weights);
    if (weights && read_all(weights, name, bytes, size, error))
        return weights;
    if (!weights)
        weft_fail(error, "%s: no memory to read it", name);
    weft_weights_close(weights);
    return NULL;
}

struct weft_weights *weft_weights_open(const char *path, struct weft_error *error) {
    struct weft_mapping map;
    if (!weft_mapping_open(&map, path, error))
        return NULL;
    struct weft_weights *weights = weft_weights_parse(path, map.bytes, map.size, error);
    if (weights)
        weights->map = map;
    else
        weft_mapping_close(&map);
    return weights;
}

void weft_weights_close(struct weft_weights *weights) {
    if (!weights)
        return;
    weft_mapping_close(&weights->map);
    json_decref(weights->header);
    free(weights->all);
    free(weights);
}

int weft_weights_count(const struct weft_weights *weights) {
    return weights->count;
}

const struct weft_weight *weft_weights_at(const struct weft_weights *weights, int index) {
    return &weights->all[index];
}

const struct weft_weight *weft_weights_find(const struct weft_weights *weights, const char *name) {
    const struct weft_weight key = {.name = name};
    return bsearch(&key, weights->all, (size_t)weights->count, sizeof key, by_name);
}

const char *weft_weights_metadata(const struct weft_weights *weights, const char *key) {
    return json_string_value(json_object_get(json_object_get(weights->header, metadata_key), key));
}

static const char *dtype_text(weft_dtype dtype) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].text;
    return NULL;
}

/* The tensors in the order in which they lie in the file. */
#define FOR_EACH_IN_FILE(i, weights, count)                                                                  \
    for (size_t element = 8; element > 0; element /= 2)                                                      \
        for (int i = 0; i < (count); i++)                                                                    \
            if (weft_dtype_size((weights)[i].dtype) == element)

static json_t *describe(const struct weft_weight *w, size_t offset) {
    json_t *shape = json_array();
    for (int32_t i = 0; i < w->rank; i++)
        json_array_append_new(shape, json_integer(w->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_text(w->dtype), "shape", shape, "data_offsets",
                     (json_int_t)offset, (json_int_t)(offset + w->bytes));
}

/* The header's text, malloc'ed; NULL where there is no memory or a name is no UTF-8 or stands twice. */
static char *make_header(const struct weft_weight *weights, int count, const struct weft_metadata *metadata,
                         int metadata_count) {
    json_t *header = json_object(), *texts = json_object();
    bool ok = header && texts;
    size_t offset = 0;
    for (int i = 0; i < metadata_count; i++)
        ok = ok && json_object_set_new(texts, metadata[i].key, json_string(metadata[i].value)) == 0;
    if (ok && metadata_count > 0)
        ok = json_object_set(header, metadata_key, texts) == 0;
    FOR_EACH_IN_FILE(i, weights, count) {
        ok = ok && !json_object_get(header, weights[i].name) &&
             json_object_set_new(header, weights[i].name, describe(&weights[i], offset)) == 0;
        offset += weights[i].bytes;
    }
    char *text = ok ? json_dumps(header, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(texts);
    json_decref(header);
    return text;
}

static bool check_sizes(const char *path, const struct weft_weight *weights, int count,
                        struct weft_error *error) {
    for (int i = 0; i < count; i++) {
        size_t bytes;
        if (!weft_shape_bytes(weights[i].dtype, weights[i].rank, weights[i].shape, &bytes) ||
            bytes != weights[i].bytes)
            return weft_fail(error, "%s: tensor \"%s\" does not have the bytes of its shape", path,
                             weights[i].name);
        if (strcmp(weights[i].name, metadata_key) == 0)
            return weft_fail(error, "%s: a tensor cannot be called %s", path, metadata_key);
    }
    return true;
}

/* Spaces behind the JSON bring the data to a multiple of 64, so that a mapped file is aligned. */
static void write_header(struct weft_file *file, const char *text) {
    static const char spaces[HEADER_ALIGNMENT] =
        "                                                                ";
    size_t length = strlen(text), over = (8 + length) % HEADER_ALIGNMENT;
    size_t padding = over ? HEADER_ALIGNMENT - over : 0;
    uint64_t total = length + padding;
    weft_file_write(file, &total, sizeof total);
    weft_file_write(file, text, length);
    weft_file_write(file, spaces, padding);
}

bool weft_weights_write(const char *path, const struct weft_weight *weights, int count,
                        const struct weft_metadata *metadata, int metadata_count, struct weft_error *error) {
    if (!check_sizes(path, weights, count, error))
        return false;
    char *header = make_header(weights, count, metadata, metadata_count);
    if (!header)
        return weft_fail(error, "%s: a name stands twice or is no UTF-8", path);
    struct weft_file *file = weft_file_create(path, error);
    if (file) {
        write_header(file, header);
        FOR_EACH_IN_FILE(i, weights, count)
        weft_file_write(file, weights[i].data, weights[i].bytes);
    }
    free(header);
    return file && weft_file_take_commit(file, error);
}
