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
        return weft_fail(error, "no data of kind \"%s\": idx, mnist, cifar10, npy and images are known",
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

/* What a column gives: pictures float32 [C, H, W] with the channels asked for, floats float32, integers
 * int32. */
static void describe(struct weft_dataset *set, struct weft_column *c) {
    struct weft_field *f = &c->field;
    f->name = c->name;
    if (c->channels) {
        int32_t r = c->items.rank;
        int64_t height = c->items.data ? c->items.shape[r - 2] : f->shape[1];
        int64_t width = c->items.data ? c->items.shape[r - 1] : f->shape[2];
        *f = (struct weft_field){
            c->name, WEFT_F32, 3, {set->channels ? set->channels : c->channels, height, width}};
        return;
    }
    f->dtype = c->items.dtype == WEFT_F32 || c->items.dtype == WEFT_F64 ? WEFT_F32 : WEFT_I32;
    f->rank = c->items.rank - 1;
    memcpy(f->shape, c->items.shape + 1, sizeof *f->shape * (size_t)f->rank);
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
    set->lo = options->lo;
    set->hi = options->lo == 0 && options->hi == 0 ? 1 : options->hi;
    for (int b = 0; b < 256; b++)
        set->value[b] = set->lo + (set->hi - set->lo) * ((float)b / 255.0f);
    bool ok = find_kind(options->kind)->load(set, options->path, is_split(options, "test"), error) &&
              select_split(set, options, error);
    if (!ok) {
        weft_dataset_close(set);
        return NULL;
    }
    for (int i = 0; i < set->column_count; i++)
        describe(set, &set->columns[i]);
    return set;
}

void weft_dataset_close(struct weft_dataset *set) {
    if (!set)
        return;
    for (int i = 0; i < set->column_count; i++) {
        weft_array_destroy(&set->columns[i].items);
        free(set->columns[i].name);
    }
    for (int64_t i = 0; set->files && i < set->total; i++)
        free(set->files[i]);
    free(set->files);
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

static bool read_file(const struct weft_dataset *set, const struct weft_column *c, int64_t item, float *out,
                      struct weft_error *error) {
    const struct weft_field *f = &c->field;
    struct weft_image image;
    if (!weft_image_read(set->files[item], (int)f->shape[0], &image, error))
        return false;
    bool ok = image.height == f->shape[1] && image.width == f->shape[2];
    if (ok)
        weft_image_to_chw(&image, set->lo, set->hi, out);
    else
        weft_fail(error, "%s: %d x %d pixels: %d x %d are expected, as in %s", set->files[item], image.width,
                  image.height, (int)f->shape[2], (int)f->shape[1], set->files[0]);
    weft_image_destroy(&image);
    return ok;
}

static bool read_item(const struct weft_dataset *set, const struct weft_column *c, int64_t item, size_t at,
                      void *out, struct weft_error *error) {
    const struct weft_field *f = &c->field;
    size_t count = elements_of(f);
    if (!c->items.data)
        return read_file(set, c, item, (float *)out + at * count, error);
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

bool weft_dataset_read(const struct weft_dataset *set, const int64_t *items, int64_t count, void *const *out,
                       struct weft_error *error) {
    for (int i = 0; i < set->column_count; i++)
        for (int64_t k = 0; out[i] && k < count; k++)
            if (!read_item(set, &set->columns[i], set->first + items[k], (size_t)k, out[i], error))
                return false;
    return true;
}

void weft_shuffle(uint64_t seed, uint32_t epoch, int64_t count, int64_t *order) {
    enum { ORDER_STREAM = 0x6f726472 }; /* keeps these draws apart from those of the model's own seed */
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
