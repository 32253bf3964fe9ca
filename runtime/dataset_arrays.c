/* Data sets that are arrays in files: IDX, CIFAR-10, .npy and .npz. */
#include "runtime/dataset_parts.h"
#include "runtime/error.h"
#include "runtime/file.h"
#include "runtime/idx.h"
#include "runtime/npy.h"
#include "runtime/zip.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* train-images-idx3-ubyte, with .gz behind it or a dot before idx, depending on who packed it. NULL: none is
 * there. */
static char *find_idx(const char *folder, const char *stem, const char *kind, struct weft_error *error) {
    static const struct {
        char separator;
        const char *end;
    } forms[] = {{'-', ""}, {'-', ".gz"}, {'.', ""}, {'.', ".gz"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%c%s-ubyte%s", stem, forms[i].separator, kind, forms[i].end);
        char *path = weft_path_join(folder, name);
        if (path && access(path, F_OK) == 0)
            return path;
        free(path);
    }
    weft_fail(error, "%s: %s-%s-ubyte or %s-%s-ubyte.gz expected, neither found", folder, stem, kind, stem,
              kind);
    return NULL;
}

/* One file of the pair; rank says what it must be. */
static bool load_idx_file(struct weft_dataset *set, const char *folder, const char *stem, const char *field,
                          int32_t rank, struct weft_error *error) {
    struct weft_array items;
    char kind[8];
    snprintf(kind, sizeof kind, "idx%d", (int)rank);
    char *path = find_idx(folder, stem, kind, error);
    bool ok = path && weft_idx_read(path, &items, error);
    if (ok && items.rank != rank) {
        ok = weft_fail(error, "%s: %d dimensions expected, %d found", path, (int)rank, (int)items.rank);
        weft_array_destroy(&items);
    }
    ok = ok && weft_dataset_add_array(set, path, field, &items, rank == 3, error);
    free(path);
    return ok;
}

static bool is_test_split(const struct weft_dataset_options *o) {
    return o->split && strcmp(o->split, "test") == 0;
}

bool weft_load_idx(struct weft_dataset *set, const struct weft_dataset_options *o, struct weft_error *error) {
    bool is_test = is_test_split(o);
    return load_idx_file(set, o->path, is_test ? "t10k-images" : "train-images", "image", 3, error) &&
           load_idx_file(set, o->path, is_test ? "t10k-labels" : "train-labels", "label", 1, error);
}

/* Krizhevsky 2009: a record is the label's byte and the planes R, G, B of 32 x 32 pixels. */
enum { CIFAR_PIXELS = 3 * 32 * 32, CIFAR_RECORD = 1 + CIFAR_PIXELS };
static const size_t CIFAR_LARGEST = (size_t)1 << 31;

struct records {
    unsigned char *bytes;
    size_t size;
};

static bool append_records(struct records *all, const char *path, struct weft_error *error) {
    unsigned char *bytes;
    size_t size;
    if (!weft_file_read(path, CIFAR_LARGEST, &bytes, &size, error))
        return false;
    bool ok = size > 0 && size % CIFAR_RECORD == 0;
    if (!ok)
        weft_fail(error, "%s: records of %d bytes expected, %zu bytes found", path, CIFAR_RECORD, size);
    unsigned char *grown = ok ? realloc(all->bytes, all->size + size) : NULL;
    if (grown) {
        memcpy(grown + all->size, bytes, size);
        *all = (struct records){grown, all->size + size};
    } else if (ok) {
        ok = weft_fail(error, "%s: no memory to read it", path);
    }
    free(bytes);
    return ok;
}

static bool split_records(struct weft_dataset *set, const char *path, const struct records *all,
                          struct weft_error *error) {
    struct weft_array images = {0}, labels = {0};
    int64_t count = (int64_t)(all->size / CIFAR_RECORD);
    const int64_t shape[4] = {count, 3, 32, 32};
    if (!weft_array_create(&images, WEFT_U8, 4, shape, error) ||
        !weft_array_create(&labels, WEFT_U8, 1, shape, error)) {
        weft_array_destroy(&images);
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        const unsigned char *record = all->bytes + i * CIFAR_RECORD;
        ((unsigned char *)labels.data)[i] = record[0];
        memcpy((unsigned char *)images.data + i * CIFAR_PIXELS, record + 1, CIFAR_PIXELS);
        if (record[0] > 9) {
            weft_array_destroy(&images);
            weft_array_destroy(&labels);
            return weft_fail(error, "%s: record %" PRId64 " has class %d: 0 to 9 are expected", path, i,
                             record[0]);
        }
    }
    if (!weft_dataset_add_array(set, path, "image", &images, 3, error)) {
        weft_array_destroy(&labels);
        return false;
    }
    return weft_dataset_add_array(set, path, "label", &labels, 0, error);
}

bool weft_load_cifar10(struct weft_dataset *set, const struct weft_dataset_options *o,
                       struct weft_error *error) {
    bool is_test = is_test_split(o);
    struct weft_listing list;
    struct records all = {0};
    if (!weft_list_files(o->path, is_test ? "test_batch" : "data_batch", ".bin", &list, error))
        return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < list.count; i++)
        ok = append_records(&all, list.paths[i], error);
    ok = ok && split_records(set, o->path, &all, error);
    free(all.bytes);
    weft_listing_free(&list);
    return ok;
}

/* ---- .npy and .npz ---- */

static double from_half(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 31 ? (fraction ? NAN : INFINITY)
                   : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                  : ldexp(fraction, -24);
    return bits >> 15 ? -value : value;
}

static double element_of(const struct weft_array *a, int64_t i) {
    switch (a->dtype) {
    case WEFT_F64:
        return ((const double *)a->data)[i];
    case WEFT_F32:
        return ((const float *)a->data)[i];
    case WEFT_F16:
        return from_half(((const uint16_t *)a->data)[i]);
    case WEFT_I64:
        return (double)((const int64_t *)a->data)[i];
    case WEFT_I32:
        return ((const int32_t *)a->data)[i];
    case WEFT_U32:
        return ((const uint32_t *)a->data)[i];
    case WEFT_I8:
        return ((const int8_t *)a->data)[i];
    default:
        return ((const uint8_t *)a->data)[i];
    }
}

static bool is_real(weft_dtype dtype) {
    return dtype == WEFT_F64 || dtype == WEFT_F32 || dtype == WEFT_F16;
}

/* The same numbers as f32 or i32: a number that int32 does not hold is no class and no token. */
static bool convert(const char *path, struct weft_array *a, weft_dtype dtype, struct weft_error *error) {
    struct weft_array out;
    if (a->dtype == dtype)
        return true;
    if (dtype == WEFT_I32 && is_real(a->dtype))
        return weft_fail(error, "%s: whole numbers are wanted, %s found", path, weft_dtype_name(a->dtype));
    if (!weft_array_create(&out, dtype, a->rank, a->shape, error))
        return false;
    int64_t count = weft_array_count(a);
    for (int64_t i = 0; i < count; i++) {
        double value = element_of(a, i);
        if (dtype == WEFT_F32) {
            ((float *)out.data)[i] = (float)value;
            continue;
        }
        if (value < INT32_MIN || value > INT32_MAX) {
            weft_array_destroy(&out);
            return weft_fail(error, "%s: %.0f does not fit int32", path, value);
        }
        ((int32_t *)out.data)[i] = (int32_t)value;
    }
    weft_array_destroy(a);
    *a = out;
    return true;
}

/* u8 [N,H,W], [N,C,H,W] or [N,H,W,C] are pictures; the last becomes the one before. */
static int picture_channels(const struct weft_array *a, bool *is_interleaved) {
    *is_interleaved = false;
    if (a->dtype != WEFT_U8 || a->rank < 3 || a->rank > 4)
        return 0;
    if (a->rank == 3)
        return 1;
    if (a->shape[1] == 1 || a->shape[1] == 3)
        return (int)a->shape[1];
    *is_interleaved = true;
    return a->shape[3] == 1 || a->shape[3] == 3 ? (int)a->shape[3] : 0;
}

static bool separate_planes(struct weft_array *a, struct weft_error *error) {
    const int64_t shape[] = {a->shape[0], a->shape[3], a->shape[1], a->shape[2]};
    struct weft_array out;
    if (!weft_array_create(&out, WEFT_U8, 4, shape, error))
        return false;
    int64_t plane = shape[2] * shape[3], channels = shape[1];
    for (int64_t i = 0; i < shape[0]; i++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = 0; p < plane; p++)
                ((uint8_t *)out.data)[(i * channels + c) * plane + p] =
                    ((const uint8_t *)a->data)[(i * plane + p) * channels + c];
    weft_array_destroy(a);
    *a = out;
    return true;
}

/* Makes an array a column of the set, as `wanted` (WEFT_BOOL: as what it is). Takes items. */
static bool add_items(struct weft_dataset *set, const char *path, const char *name, struct weft_array *items,
                      weft_dtype wanted, struct weft_error *error) {
    bool is_interleaved, ok = true;
    int channels = picture_channels(items, &is_interleaved);
    if (items->rank < 1)
        ok = weft_fail(error, "%s: an array of items expected, a single number found", path);
    else if (items->dtype == WEFT_U8 && items->rank == 4 && !channels && wanted != WEFT_F32 &&
             wanted != WEFT_I32)
        ok = weft_fail(error, "%s: pictures of 1 or 3 channels expected, %" PRId64 " found", path,
                       items->shape[1]);
    else if (wanted == WEFT_U8 && !channels)
        ok = weft_fail(error, "%s: pictures (u8 [N,H,W], [N,C,H,W] or [N,H,W,C]) are wanted", path);
    bool is_picture = ok && channels && (wanted == WEFT_U8 || wanted == WEFT_BOOL);
    if (is_picture)
        ok = !is_interleaved || separate_planes(items, error);
    else if (ok)
        ok = convert(path, items,
                     wanted == WEFT_F32 || (wanted == WEFT_BOOL && is_real(items->dtype)) ? WEFT_F32
                                                                                          : WEFT_I32,
                     error);
    if (!ok) {
        weft_array_destroy(items);
        return false;
    }
    return weft_dataset_add_array(set, path, name, items, is_picture ? channels : 0, error);
}

static bool load_npy_file(struct weft_dataset *set, const char *path, const char *name,
                          struct weft_error *error) {
    struct weft_array items;
    return weft_npy_read(path, &items, error) && add_items(set, path, name, &items, WEFT_BOOL, error);
}

/* "NAME" of "folder/NAME.npy", malloc'ed. */
static char *field_name(const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = strlen(base);
    return strndup(base, length > 4 && weft_path_ends(base, ".npy") ? length - 4 : length);
}

static bool load_npy_member(struct weft_dataset *set, const char *path, struct weft_error *error) {
    char *name = field_name(path);
    bool ok =
        name ? load_npy_file(set, path, name, error) : weft_fail(error, "%s: no memory to read it", path);
    free(name);
    return ok;
}

bool weft_load_npy(struct weft_dataset *set, const struct weft_dataset_options *o, struct weft_error *error) {
    struct weft_listing list;
    if (weft_path_ends(o->path, ".npy"))
        return load_npy_file(set, o->path, "image", error);
    if (!weft_list_files(o->path, "", ".npy", &list, error))
        return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < list.count; i++)
        ok = load_npy_member(set, list.paths[i], error);
    weft_listing_free(&list);
    return ok;
}

static bool load_npz_member(struct weft_dataset *set, const struct weft_zip *zip, int member,
                            const char *name, weft_dtype wanted, struct weft_error *error) {
    struct weft_array items;
    char path[600];
    snprintf(path, sizeof path, "%.400s:%.100s", zip->name, name);
    return weft_npz_read(zip, member, &items, error) && add_items(set, path, name, &items, wanted, error);
}

/* All arrays, in the file's order. */
static bool load_members(struct weft_dataset *set, const struct weft_zip *zip, struct weft_error *error) {
    bool ok = zip->count > 0 || weft_fail(error, "%s: there are no arrays in it", zip->name);
    for (int i = 0; ok && i < zip->count; i++) {
        char *name = field_name(zip->members[i].name);
        ok = name ? load_npz_member(set, zip, i, name, WEFT_BOOL, error)
                  : weft_fail(error, "%s: no memory to read it", zip->name);
        free(name);
    }
    return ok;
}

static int find_member(const struct weft_zip *zip, const char *name) {
    size_t length = strlen(name);
    for (int i = 0; i < zip->count; i++) {
        const char *member = zip->members[i].name;
        if (strncmp(member, name, length) == 0 && (!member[length] || strcmp(member + length, ".npy") == 0))
            return i;
    }
    return -1;
}

/* "label, tokens": what the file has, for a message. */
static void print_members(const struct weft_zip *zip, char *out, size_t size) {
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < zip->count && n < size; i++) {
        size_t length = strlen(zip->members[i].name);
        bool has_ending = weft_path_ends(zip->members[i].name, ".npy");
        n += (size_t)snprintf(out + n, size - n, "%s%.*s", i ? ", " : "",
                              (int)(has_ending ? length - 4 : length), zip->members[i].name);
    }
}

bool weft_load_npz(struct weft_dataset *set, const struct weft_dataset_options *o, struct weft_error *error) {
    struct weft_zip zip;
    if (!weft_zip_open(&zip, o->path, error))
        return false;
    bool ok = o->fields || load_members(set, &zip, error);
    for (int i = 0; ok && o->fields && i < o->field_count; i++) {
        int member = find_member(&zip, o->fields[i].name);
        char names[200];
        print_members(&zip, names, sizeof names);
        ok = member >= 0 ? load_npz_member(set, &zip, member, o->fields[i].name, o->fields[i].dtype, error)
                         : weft_fail(error, "%s: there is no array \"%s\" in it; it has %s", o->path,
                                     o->fields[i].name, names);
    }
    weft_zip_close(&zip);
    return ok;
}
