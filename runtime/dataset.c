#include "runtime/dataset.h"

#include "runtime/dataset_parts.h"
#include "runtime/error.h"
#include "runtime/image.h"
#include "runtime/philox.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct weft_dataset_kind *find_kind(const char *name) {
    for (int i = 0; i < weft_dataset_kind_count; i++)
        if (strcmp(weft_dataset_kinds[i].name, name) == 0)
            return &weft_dataset_kinds[i];
    return NULL;
}

static bool is_split(const struct weft_dataset_options *options, const char *name) {
    return strcmp(options->split ? options->split : "train", name) == 0;
}

static bool check_options(const struct weft_dataset_options *o, struct weft_error *error) {
    const struct weft_dataset_kind *kind = o->kind ? find_kind(o->kind) : NULL;
    if (!kind)
        return weft_fail(error,
                         "no data of kind \"%s\": idx, mnist, cifar10, npz, npy, images, folders, unpaired "
                         "and pairs are known",
                         o->kind ? o->kind : "");
    if (!o->path)
        return weft_fail(error, "data of kind \"%s\" need a path", o->kind);
    if (!is_split(o, "train") && !is_split(o, "test") && !is_split(o, "held"))
        return weft_fail(error, "no split \"%s\": train, test and held are known", o->split);
    if (is_split(o, "test") && !kind->has_test)
        return weft_fail(error, "data of kind \"%s\" have no split \"test\": train and held are possible",
                         o->kind);
    if (is_split(o, "held") && o->hold_out <= 0)
        return weft_fail(error, "the split \"held\" is empty: hold_out says how many items it has");
    if (o->hold_out < 0 || o->limit < 0)
        return weft_fail(error, "hold_out and limit cannot be negative");
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return weft_fail(error, "pictures of %d channels: 1 (grey) and 3 (RGB) are possible", o->channels);
    return true;
}

static bool select_split(struct weft_dataset *set, const struct weft_dataset_options *o,
                         struct weft_error *error) {
    if (set->total == 0)
        return weft_fail(error, "%s: there are no items", o->path);
    set->first = 0;
    set->count = set->total;
    if (!is_split(o, "test")) {
        if (o->hold_out >= set->total)
            return weft_fail(error,
                             "%s: hold_out is %" PRId64 " of %" PRId64 " items: nothing is left to train on",
                             o->path, o->hold_out, set->total);
        set->count = is_split(o, "held") ? o->hold_out : set->total - o->hold_out;
        set->first = is_split(o, "held") ? set->total - o->hold_out : 0;
    }
    if (o->limit && o->limit < set->count)
        set->count = o->limit;
    return true;
}

/* The size of a column's pictures as they are stored. */
static void stored_size(const struct weft_column *c, int *height, int *width) {
    int32_t r = c->items.rank;
    *height = c->items.data ? (int)c->items.shape[r - 2] : c->height;
    *width = c->items.data ? (int)c->items.shape[r - 1] : c->width;
}

/* What a column gives: pictures float32 [C, H, W] with the channels asked for, floats float32, integers
 * int32. */
static bool describe(struct weft_dataset *set, const char *path, struct weft_column *c,
                     struct weft_error *error) {
    struct weft_field *f = &c->field;
    f->name = c->name;
    if (c->channels) {
        int height, width;
        stored_size(c, &height, &width);
        if (!weft_picture_size(c->files.count ? c->files.paths[0] : path, &set->steps, &height, &width,
                               error))
            return false;
        *f = (struct weft_field){
            c->name, WEFT_F32, 3, {set->channels ? set->channels : c->channels, height, width}};
        return true;
    }
    f->dtype = c->items.dtype == WEFT_F32 || c->items.dtype == WEFT_F64 ? WEFT_F32 : WEFT_I32;
    f->rank = c->items.rank - 1;
    memcpy(f->shape, c->items.shape + 1, sizeof *f->shape * (size_t)f->rank);
    return true;
}

/* ---- columns ---- */

static struct weft_column *add_column(struct weft_dataset *set, const char *path, const char *name,
                                      struct weft_error *error) {
    struct weft_column *columns = realloc(set->columns, sizeof *columns * (size_t)(set->column_count + 1));
    char *copy = strdup(name);
    if (columns)
        set->columns = columns;
    if (!columns || !copy) {
        free(copy);
        weft_fail(error, "%s: no memory to read it", path);
        return NULL;
    }
    columns[set->column_count] = (struct weft_column){.name = copy};
    return &columns[set->column_count++];
}

struct weft_column *weft_dataset_add_array(struct weft_dataset *set, const char *path, const char *name,
                                           struct weft_array *take_items, int channels,
                                           struct weft_error *error) {
    int64_t count = take_items->shape[0];
    struct weft_column *column = NULL;
    if (set->column_count > 0 && count != set->total)
        weft_fail(error, "%s: %" PRId64 " items expected, as in \"%s\", %" PRId64 " found", path, set->total,
                  set->columns[0].name, count);
    else
        column = add_column(set, path, name, error);
    if (!column) {
        weft_array_destroy(take_items);
        return NULL;
    }
    column->items = *take_items;
    column->channels = channels;
    *take_items = (struct weft_array){0};
    set->total = count;
    return column;
}

/* The first picture that can be read tells the size and the colours of all; alpha is dropped. */
static bool read_first(struct weft_dataset *set, struct weft_column *column, struct weft_error *error) {
    struct weft_image image;
    int64_t i = 0;
    while (!weft_image_read(column->files.paths[i], 0, &image, error))
        if (!set->skip_broken || ++i == column->files.count)
            return false;
    column->channels = image.channels >= 3 ? 3 : 1;
    column->height = image.height;
    column->width = image.width;
    weft_image_destroy(&image);
    return true;
}

struct weft_column *weft_dataset_add_files(struct weft_dataset *set, const char *name,
                                           struct weft_listing *take_files, struct weft_error *error) {
    struct weft_column *column = add_column(set, take_files->paths[0], name, error);
    if (!column) {
        weft_listing_free(take_files);
        return NULL;
    }
    column->files = *take_files;
    *take_files = (struct weft_listing){0};
    set->total = column->files.count > set->total ? column->files.count : set->total;
    return read_first(set, column, error) ? column : NULL;
}

struct weft_dataset *weft_dataset_open(const struct weft_dataset_options *options, struct weft_error *error) {
    if (!check_options(options, error))
        return NULL;
    struct weft_dataset *set = calloc(1, sizeof *set);
    if (!set) {
        weft_fail(error, "%s: no memory to read it", options->path);
        return NULL;
    }
    set->channels = options->channels;
    set->steps = options->steps;
    set->skip_broken = options->skip_broken;
    set->lo = options->lo;
    set->hi = options->lo == 0 && options->hi == 0 ? 1 : options->hi;
    for (int b = 0; b < 256; b++)
        set->value[b] = set->lo + (set->hi - set->lo) * ((float)b / 255.0f);
    bool ok = find_kind(options->kind)->load(set, options, error) && select_split(set, options, error);
    for (int i = 0; ok && i < set->column_count; i++)
        ok = describe(set, options->path, &set->columns[i], error);
    set->broken = ok ? calloc((size_t)set->total, sizeof *set->broken) : NULL;
    if (ok && set->broken)
        return set;
    if (ok)
        weft_fail(error, "%s: no memory to read it", options->path);
    weft_dataset_close(set);
    return NULL;
}

void weft_dataset_close(struct weft_dataset *set) {
    if (!set)
        return;
    for (int i = 0; i < set->column_count; i++) {
        weft_array_destroy(&set->columns[i].items);
        weft_listing_free(&set->columns[i].files);
        free(set->columns[i].name);
    }
    free(set->broken);
    free(set->columns);
    free(set);
}

int64_t weft_dataset_count(const struct weft_dataset *set) {
    return set->count;
}

int weft_dataset_field_count(const struct weft_dataset *set) {
    return set->column_count;
}

const struct weft_field *weft_dataset_field(const struct weft_dataset *set, int index) {
    return &set->columns[index].field;
}

bool weft_dataset_is_costly(const struct weft_dataset *set) {
    for (int i = 0; i < set->column_count; i++)
        if (set->columns[i].files.count > 0 ||
            (set->columns[i].channels && !weft_picture_is_plain(&set->steps)))
            return true;
    return false;
}

int64_t weft_dataset_skipped(const struct weft_dataset *set, const char **why) {
    *why = set->last.message;
    return set->skipped;
}

/* ---- batches ---- */

static size_t elements_of(const struct weft_field *f) {
    size_t count = 1;
    for (int32_t i = 0; i < f->rank; i++)
        count *= (size_t)f->shape[i];
    return count;
}

/* Planes of bytes [from, plane] to float32 [to, plane]: the same, grey to RGB, or RGB to grey. */
static void copy_picture(const struct weft_dataset *set, const unsigned char *bytes, int from, int to,
                         size_t plane, float *out) {
    const float *value = set->value;
    if (from == 3 && to == 1) {
        for (size_t i = 0; i < plane; i++)
            out[i] = value[weft_luma(bytes[i], bytes[plane + i], bytes[2 * plane + i])];
        return;
    }
    for (int c = 0; c < to; c++)
        for (size_t i = 0; i < plane; i++)
            out[(size_t)c * plane + i] = value[bytes[(size_t)(from == to ? c : 0) * plane + i]];
}

static void copy_floats(const struct weft_array *items, size_t first, size_t count, float *out) {
    if (items->dtype == WEFT_F32)
        memcpy(out, (const float *)items->data + first, count * sizeof *out);
    else
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const double *)items->data)[first + i];
}

static void copy_integers(const struct weft_array *items, size_t first, size_t count, int32_t *out) {
    for (size_t i = 0; i < count; i++)
        out[i] = items->dtype == WEFT_U8    ? ((const uint8_t *)items->data)[first + i]
                 : items->dtype == WEFT_I64 ? (int32_t)((const int64_t *)items->data)[first + i]
                                            : ((const int32_t *)items->data)[first + i];
}

/* Draws of pictures stand apart from those of the model's own seed and of the order. All pictures of an item
 * take the same draws, so that what belongs together stays on top of each other; a partner takes its own. */
enum { ORDER_STREAM = 0x6f726472, PICTURE_STREAM = 0x70696374, PARTNER_STREAM = 0x70617274 };

static struct philox_key key_of(const struct weft_draws *draws, uint32_t stream, int64_t item) {
    struct philox_key key = philox_fold(philox_fold(philox_seed(draws->seed), stream), draws->epoch);
    return philox_fold(philox_fold(key, (uint32_t)item), (uint32_t)((uint64_t)item >> 32));
}

/* The file of an item: its own, or a partner: drawn for training, the one in turn for everything else. */
static const char *file_of(const struct weft_dataset *set, const struct weft_column *c, int64_t item,
                           const struct weft_draws *draws) {
    uint64_t count = (uint64_t)c->files.count, at = (uint64_t)item % count;
    if (c->is_partner && draws->epoch != WEFT_NO_EPOCH)
        at = (uint64_t)philox_element(key_of(draws, PARTNER_STREAM, item), 0) * count >> 32;
    (void)set;
    return c->files.paths[at];
}

/* Planes of bytes to a picture with interleaved channels. */
static bool picture_of(const struct weft_column *c, const unsigned char *bytes, int channels,
                       struct weft_image *image, struct weft_error *error) {
    int height, width;
    stored_size(c, &height, &width);
    if (!weft_image_create(image, width, height, channels, error))
        return false;
    size_t plane = (size_t)height * (size_t)width;
    for (size_t i = 0; i < plane; i++) {
        const unsigned char *in = bytes + i;
        unsigned char *out = image->pixels + i * (size_t)channels;
        if (c->channels == 3 && channels == 1)
            *out = weft_luma(in[0], in[plane], in[2 * plane]);
        else
            for (int k = 0; k < channels; k++)
                out[k] = in[c->channels == channels ? (size_t)k * plane : 0];
    }
    return true;
}

/* A picture of a file, or one that takes steps. */
static bool read_picture(const struct weft_dataset *set, const struct weft_column *c, int64_t item,
                         const struct weft_draws *draws, float *out, struct weft_error *error) {
    const struct weft_field *f = &c->field;
    const char *name = c->files.count ? file_of(set, c, item, draws) : c->name;
    struct weft_image image;
    size_t stored = c->items.data ? weft_array_bytes(&c->items) / (size_t)c->items.shape[0] : 0;
    bool ok = c->files.count ? weft_image_read(name, (int)f->shape[0], &image, error)
                             : picture_of(c, (const unsigned char *)c->items.data + (size_t)item * stored,
                                          (int)f->shape[0], &image, error);
    struct philox_key key = philox_fold(key_of(draws, PICTURE_STREAM, item), c->is_partner);
    if (!ok || !weft_picture_take_steps(name, &set->steps, key, &image, error))
        return false;
    ok = image.height == f->shape[1] && image.width == f->shape[2];
    if (ok)
        weft_image_to_chw(&image, set->lo, set->hi, out);
    else
        weft_fail(error,
                  "%s: %d x %d pixels: %d x %d are expected, as in %s (center_crop or random_crop makes one "
                  "size of all)",
                  name, image.width, image.height, (int)f->shape[2], (int)f->shape[1], c->files.paths[0]);
    weft_image_destroy(&image);
    return ok;
}

static bool read_item(const struct weft_dataset *set, const struct weft_column *c, int64_t item, size_t at,
                      const struct weft_draws *draws, void *out, struct weft_error *error) {
    const struct weft_field *f = &c->field;
    size_t count = elements_of(f);
    if (c->channels && (c->files.count || !weft_picture_is_plain(&set->steps)))
        return read_picture(set, c, item, draws, (float *)out + at * count, error);
    if (c->channels) {
        size_t plane = (size_t)(f->shape[1] * f->shape[2]);
        const unsigned char *bytes =
            (const unsigned char *)c->items.data + (size_t)item * (size_t)c->channels * plane;
        copy_picture(set, bytes, c->channels, (int)f->shape[0], plane, (float *)out + at * count);
    } else if (f->dtype == WEFT_F32) {
        copy_floats(&c->items, (size_t)item * count, count, (float *)out + at * count);
    } else {
        copy_integers(&c->items, (size_t)item * count, count, (int32_t *)out + at * count);
    }
    return true;
}

/* All fields of one item, so that a picture and its label stay together. */
static bool read_row(const struct weft_dataset *set, int64_t item, size_t at, const struct weft_draws *draws,
                     void *const *out, struct weft_error *error) {
    for (int i = 0; i < set->column_count; i++)
        if (out[i] && !read_item(set, &set->columns[i], item, at, draws, out[i], error))
            return false;
    return true;
}

bool weft_dataset_read(struct weft_dataset *set, const int64_t *items, int64_t count,
                       const struct weft_draws *draws, void *const *out, struct weft_error *error) {
    static const struct weft_draws none = {0, WEFT_NO_EPOCH};
    for (int64_t k = 0; k < count; k++) {
        int64_t item = items[k], tries = set->skip_broken ? set->count : 1;
        bool ok = false;
        while (!ok && tries-- > 0) {
            int64_t at = set->first + item;
            ok = !set->broken[at] && read_row(set, at, (size_t)k, draws ? draws : &none, out, &set->last);
            if (!ok && !set->broken[at] && set->skip_broken) {
                set->broken[at] = true;
                set->skipped++;
            }
            item = (item + 1) % set->count;
        }
        if (!ok)
            return weft_fail(error, "%s", set->last.message);
    }
    return true;
}

void weft_shuffle(uint64_t seed, uint32_t epoch, int64_t count, int64_t *order) {
    struct philox_key key = philox_fold(philox_fold(philox_seed(seed), ORDER_STREAM), epoch);
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    for (int64_t i = count - 1; i > 0; i--) {
        /* a word times n, high half: in [0, n), even to one part in 2^32 / n (Lemire 2019) */
        int64_t j = (int64_t)((uint64_t)philox_element(key, (uint64_t)i) * (uint64_t)(i + 1) >> 32);
        int64_t other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}

const struct weft_dataset_kind weft_dataset_kinds[] = {
    {"idx", true, weft_load_idx},          {"mnist", true, weft_load_idx},
    {"cifar10", true, weft_load_cifar10},  {"npz", false, weft_load_npz},
    {"npy", false, weft_load_npy},         {"images", false, weft_load_images},
    {"folders", false, weft_load_folders}, {"unpaired", false, weft_load_unpaired},
    {"pairs", false, weft_load_pairs},
};
const int weft_dataset_kind_count = sizeof weft_dataset_kinds / sizeof *weft_dataset_kinds;
