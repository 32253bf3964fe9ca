#include "runtime/dataset_parts.h"
#include "runtime/error.h"
#include "runtime/file.h"
#include "runtime/idx.h"
#include "runtime/image.h"
#include "runtime/npy.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* "folder/name", malloc'ed. */
static char *join(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* Takes items, also where it fails. All columns of a set have the same number of items. */
static bool add_column(struct weft_dataset *set, const char *path, const char *name, struct weft_array *items,
                       int channels, struct weft_error *error) {
    int64_t count = items->shape[0];
    struct weft_column *columns = realloc(set->columns, sizeof *columns * (size_t)(set->column_count + 1));
    char *copy = strdup(name);
    if (columns)
        set->columns = columns;
    bool fits = set->column_count == 0 || count == set->total;
    if (!columns || !copy || !fits) {
        weft_array_destroy(items);
        free(copy);
        return fits ? weft_fail(error, "%s: no memory to read it", path)
                    : weft_fail(error, "%s: %" PRId64 " items expected, as in \"%s\", %" PRId64 " found",
                                path, set->total, set->columns[0].name, count);
    }
    columns[set->column_count++] = (struct weft_column){.name = copy, .items = *items, .channels = channels};
    *items = (struct weft_array){0};
    set->total = count;
    return true;
}

/* Names in a folder that begin and end as asked, sorted; each malloc'ed, with the folder before it. */
struct listing {
    char **paths;
    int64_t count;
};

static void listing_free(struct listing *list) {
    for (int64_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct listing){0};
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_with(const char *name, const char *suffix) {
    size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcasecmp(name + length - end, suffix) == 0;
}

static bool matches(const char *name, const char *prefix, const char *suffix) {
    return name[0] != '.' && strncmp(name, prefix, strlen(prefix)) == 0 && ends_with(name, suffix);
}

static bool listing_add(struct listing *list, char *path) {
    bool is_full = (list->count & (list->count - 1)) == 0; /* capacities are powers of two */
    char **grown = is_full ? realloc(list->paths, sizeof *grown * (size_t)(list->count ? 2 * list->count : 1))
                           : list->paths;
    if (!grown || !path) {
        free(path);
        list->paths = grown ? grown : list->paths;
        return false;
    }
    list->paths = grown;
    grown[list->count++] = path;
    return true;
}

static bool list_folder(const char *folder, const char *prefix, const char *suffix, struct listing *list,
                        struct weft_error *error) {
    *list = (struct listing){0};
    DIR *dir = opendir(folder);
    if (!dir) {
        weft_fail(error, "%s: cannot be read: %s", folder, strerror(errno));
        return false;
    }
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (matches(entry->d_name, prefix, suffix))
            ok = listing_add(list, join(folder, entry->d_name));
    closedir(dir);
    if (!ok)
        weft_fail(error, "%s: no memory for its names", folder);
    else if (!list->paths)
        ok = weft_fail(error, "%s: %s*%s expected, no such file found", folder, prefix, suffix);
    if (!ok || !list->paths) {
        listing_free(list);
        return false;
    }
    qsort(list->paths, (size_t)list->count, sizeof *list->paths, by_text);
    return true;
}

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
        char *path = join(folder, name);
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
    ok = ok && add_column(set, path, field, &items, rank == 3, error);
    free(path);
    return ok;
}

static bool load_idx(struct weft_dataset *set, const char *path, bool is_test, struct weft_error *error) {
    return load_idx_file(set, path, is_test ? "t10k-images" : "train-images", "image", 3, error) &&
           load_idx_file(set, path, is_test ? "t10k-labels" : "train-labels", "label", 1, error);
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
    if (!add_column(set, path, "image", &images, 3, error)) {
        weft_array_destroy(&labels);
        return false;
    }
    return add_column(set, path, "label", &labels, 0, error);
}

static bool load_cifar10(struct weft_dataset *set, const char *path, bool is_test, struct weft_error *error) {
    struct listing list;
    struct records all = {0};
    if (!list_folder(path, is_test ? "test_batch" : "data_batch", ".bin", &list, error))
        return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < list.count; i++)
        ok = append_records(&all, list.paths[i], error);
    ok = ok && split_records(set, path, &all, error);
    free(all.bytes);
    listing_free(&list);
    return ok;
}

/* Of which dtype and rank an array may be a column, and of how many channels its pictures are. */
static bool fits_column(const char *path, const struct weft_array *a, int *channels,
                        struct weft_error *error) {
    static const bool is_possible[] = {[WEFT_F64] = true, [WEFT_F32] = true, [WEFT_I64] = true,
                                       [WEFT_I32] = true, [WEFT_U8] = true,  [WEFT_BOOL] = false};
    if (!is_possible[a->dtype])
        return weft_fail(error, "%s: f32, f64, u8, i32 or i64 expected, %s found", path,
                         weft_dtype_name(a->dtype));
    if (a->rank < 1)
        return weft_fail(error, "%s: an array of items expected, a single number found", path);
    *channels = 0;
    if (a->dtype != WEFT_U8 || a->rank < 3 || a->rank > 4)
        return true;
    *channels = a->rank == 3 ? 1 : a->shape[1] == 1 ? 1 : a->shape[1] == 3 ? 3 : 0;
    return *channels ||
           weft_fail(error, "%s: pictures of 1 or 3 channels expected, %" PRId64 " found", path, a->shape[1]);
}

/* int32 holds every class; a number that it does not hold is no class. */
static bool fits_int32(const char *path, const struct weft_array *a, struct weft_error *error) {
    int64_t count = a->dtype == WEFT_I64 ? weft_array_count(a) : 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t value = ((const int64_t *)a->data)[i];
        if (value != (int32_t)value)
            return weft_fail(error, "%s: %" PRId64 " does not fit int32", path, value);
    }
    return true;
}

static bool load_npy_file(struct weft_dataset *set, const char *path, const char *name,
                          struct weft_error *error) {
    struct weft_array items;
    int channels = 0;
    if (!weft_npy_read(path, &items, error))
        return false;
    if (!fits_column(path, &items, &channels, error) || !fits_int32(path, &items, error)) {
        weft_array_destroy(&items);
        return false;
    }
    return add_column(set, path, name, &items, channels, error);
}

/* The field's name is the file's without its folder and ".npy". */
static bool load_npy_member(struct weft_dataset *set, const char *path, struct weft_error *error) {
    const char *base = strrchr(path, '/') + 1;
    char *name = strndup(base, strlen(base) - strlen(".npy"));
    bool ok =
        name ? load_npy_file(set, path, name, error) : weft_fail(error, "%s: no memory to read it", path);
    free(name);
    return ok;
}

static bool load_npy(struct weft_dataset *set, const char *path, bool is_test, struct weft_error *error) {
    struct listing list;
    (void)is_test;
    if (ends_with(path, ".npy"))
        return load_npy_file(set, path, "image", error);
    if (!list_folder(path, "", ".npy", &list, error))
        return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < list.count; i++)
        ok = load_npy_member(set, list.paths[i], error);
    listing_free(&list);
    return ok;
}

/* The first file tells the size of all; alpha is dropped. */
static bool load_images(struct weft_dataset *set, const char *path, bool is_test, struct weft_error *error) {
    struct listing list = {0};
    struct weft_image image = {0};
    struct weft_array none = {.rank = 1};
    (void)is_test;
    if (!list_folder(path, "", ".png", &list, error))
        return false;
    none.shape[0] = list.count;
    bool is_read = weft_image_read(list.paths[0], 0, &image, error);
    if (!is_read || !add_column(set, path, "image", &none, 1, error)) {
        weft_image_destroy(&image);
        listing_free(&list);
        return false;
    }
    set->files = list.paths;
    struct weft_column *column = &set->columns[0];
    column->channels = image.channels >= 3 ? 3 : 1;
    column->field.shape[1] = image.height;
    column->field.shape[2] = image.width;
    weft_image_destroy(&image);
    return true;
}

const struct weft_dataset_kind weft_dataset_kinds[] = {
    {"idx", true, load_idx},  {"mnist", true, load_idx},      {"cifar10", true, load_cifar10},
    {"npy", false, load_npy}, {"images", false, load_images},
};
const int weft_dataset_kind_count = sizeof weft_dataset_kinds / sizeof *weft_dataset_kinds;
