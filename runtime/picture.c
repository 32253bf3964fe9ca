#include "runtime/picture.h"

#include "runtime/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which element of the key decides what. */
enum { DRAW_TOP, DRAW_LEFT, DRAW_FLIP, DRAW_ANGLE };

bool weft_picture_is_random(const struct weft_picture_steps *s) {
    return s->flip || s->rotate != 0 || s->random_crop[0];
}

bool weft_picture_is_plain(const struct weft_picture_steps *s) {
    return !s->crop[2] && !s->resize[0] && !s->center_crop[0] && !weft_picture_is_random(s);
}

static size_t offset_of(const struct weft_image *image, int y, int x) {
    return ((size_t)y * (size_t)image->width + (size_t)x) * (size_t)image->channels;
}

/* ---- scaling ---- */

/* Pillow's Resample.c: an output pixel is a sum over a window of input pixels, its weights in 22 bits of
 * fraction; rows first, then columns, rounded to bytes between. */
enum { FRACTION_BITS = 32 - 8 - 2 };

struct window {
    int first, count;
};
struct filter {
    struct window *windows; /* by output pixel */
    int32_t *weights;       /* `widest` for each */
    int widest;
};

static void filter_free(struct filter *f) {
    free(f->windows);
    free(f->weights);
}

static double triangle(double x) {
    return fabs(x) < 1.0 ? 1.0 - fabs(x) : 0.0;
}

static void fill_window(struct filter *f, int in, int out, int at, double *scratch) {
    double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale, center = (at + 0.5) * scale,
           sum = 0;
    int first = (int)(center - stretch + 0.5), end = (int)(center + stretch + 0.5);
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    for (int i = first; i < end; i++)
        sum += scratch[i - first] = triangle((i - center + 0.5) / stretch);
    for (int i = first; i < end; i++)
        f->weights[(size_t)at * (size_t)f->widest + (size_t)(i - first)] =
            (int32_t)(0.5 + scratch[i - first] / sum * (1 << FRACTION_BITS));
    f->windows[at] = (struct window){first, end - first};
}

/* false: no memory; what there is of it is for filter_free. */
static bool filter_create(struct filter *f, int in, int out) {
    double scale = (double)in / out;
    f->widest = (int)ceil(scale < 1.0 ? 1.0 : scale) * 2 + 1;
    f->windows = malloc(sizeof *f->windows * (size_t)out);
    f->weights = calloc((size_t)out * (size_t)f->widest, sizeof *f->weights);
    double *scratch = malloc(sizeof *scratch * (size_t)f->widest);
    bool ok = f->windows && f->weights && scratch;
    for (int i = 0; ok && i < out; i++)
        fill_window(f, in, out, i, scratch);
    free(scratch);
    return ok;
}

/* The sum over a window of bytes that lie `stride` apart. */
static unsigned char weigh(const struct filter *f, int at, const unsigned char *bytes, size_t stride) {
    const int32_t *weights = f->weights + (size_t)at * (size_t)f->widest;
    int64_t sum = 1 << (FRACTION_BITS - 1);
    bytes += (size_t)f->windows[at].first * stride;
    for (int i = 0; i < f->windows[at].count; i++)
        sum += (int64_t)weights[i] * bytes[(size_t)i * stride];
    sum >>= FRACTION_BITS;
    return (unsigned char)(sum > 255 ? 255 : sum);
}

static void scale_rows(const struct filter *f, const struct weft_image *from, struct weft_image *to) {
    for (int y = 0; y < to->height; y++)
        for (int x = 0; x < to->width; x++)
            for (int c = 0; c < to->channels; c++)
                to->pixels[offset_of(to, y, x) + (size_t)c] =
                    weigh(f, x, from->pixels + offset_of(from, y, 0) + c, (size_t)from->channels);
}

static void scale_columns(const struct filter *f, const struct weft_image *from, struct weft_image *to) {
    size_t stride = (size_t)from->width * (size_t)from->channels;
    for (int y = 0; y < to->height; y++)
        for (size_t i = 0; i < stride; i++)
            to->pixels[(size_t)y * stride + i] = weigh(f, y, from->pixels + i, stride);
}

bool weft_picture_resize(const struct weft_image *from, int height, int width, struct weft_image *to,
                         struct weft_error *error) {
    struct filter across = {0}, down = {0};
    struct weft_image wide = {0};
    *to = (struct weft_image){0};
    bool ok = filter_create(&across, from->width, width) && filter_create(&down, from->height, height);
    if (!ok)
        weft_fail(error, "no memory to scale a picture to %d x %d pixels", width, height);
    ok = ok && weft_image_create(&wide, width, from->height, from->channels, error) &&
         weft_image_create(to, width, height, from->channels, error);
    if (ok) {
        scale_rows(&across, from, &wide);
        scale_columns(&down, &wide, to);
    }
    weft_image_destroy(&wide);
    filter_free(&across);
    filter_free(&down);
    return ok;
}

/* ---- the other parts ---- */

bool weft_picture_crop(const struct weft_image *from, int top, int left, int height, int width,
                       struct weft_image *to, struct weft_error *error) {
    if (!weft_image_create(to, width, height, from->channels, error))
        return false;
    for (int y = 0; y < height; y++)
        memcpy(to->pixels + offset_of(to, y, 0), from->pixels + offset_of(from, top + y, left),
               (size_t)width * (size_t)from->channels);
    return true;
}

/* Outside of the picture is black. */
static float pixel_at(const struct weft_image *image, int y, int x, int c) {
    bool inside = y >= 0 && y < image->height && x >= 0 && x < image->width;
    return inside ? image->pixels[offset_of(image, y, x) + (size_t)c] : 0.0f;
}

static unsigned char between(const struct weft_image *image, float y, float x, int c) {
    int top = (int)floorf(y), left = (int)floorf(x);
    float v = y - (float)top, u = x - (float)left;
    float above = (1 - u) * pixel_at(image, top, left, c) + u * pixel_at(image, top, left + 1, c);
    float below = (1 - u) * pixel_at(image, top + 1, left, c) + u * pixel_at(image, top + 1, left + 1, c);
    return (unsigned char)((1 - v) * above + v * below + 0.5f);
}

bool weft_picture_rotate(const struct weft_image *from, float angle, struct weft_image *to,
                         struct weft_error *error) {
    if (!weft_image_create(to, from->width, from->height, from->channels, error))
        return false;
    float radians = angle * 3.14159265f / 180.0f, cosine = cosf(radians), sine = sinf(radians);
    float cy = (float)(from->height - 1) / 2, cx = (float)(from->width - 1) / 2;
    for (int y = 0; y < to->height; y++)
        for (int x = 0; x < to->width; x++) {
            float dy = (float)y - cy,
                  dx = (float)x - cx; /* where the pixel came from: turned the other way */
            float sy = cy + sine * dx + cosine * dy, sx = cx + cosine * dx - sine * dy;
            for (int c = 0; c < to->channels; c++)
                to->pixels[offset_of(to, y, x) + (size_t)c] = between(from, sy, sx, c);
        }
    return true;
}

void weft_picture_flip(struct weft_image *image) {
    for (int y = 0; y < image->height; y++)
        for (int left = 0, right = image->width - 1; left < right; left++, right--)
            for (int c = 0; c < image->channels; c++) {
                unsigned char *a = image->pixels + offset_of(image, y, left) + c;
                unsigned char *b = image->pixels + offset_of(image, y, right) + c;
                unsigned char kept = *a;
                *a = *b;
                *b = kept;
            }
}

/* ---- all of them ---- */

/* (height, width) that a picture is scaled to. */
static void scaled_size(const struct weft_picture_steps *s, int *height, int *width) {
    int short_side = *height < *width ? *height : *width, wanted = s->resize[0];
    if (!wanted)
        return;
    if (s->resize[1]) {
        *height = s->resize[0];
        *width = s->resize[1];
        return;
    }
    *height = *height == short_side ? wanted : (int)((int64_t)wanted * *height / short_side);
    *width = *width == short_side ? wanted : (int)((int64_t)wanted * *width / short_side);
}

static bool fits(const char *name, const char *what, int height, int width, int wanted_height,
                 int wanted_width, struct weft_error *error) {
    return (wanted_height <= height && wanted_width <= width) ||
           weft_fail(error, "%s: %d x %d pixels are too few for %s of %d x %d", name, width, height, what,
                     wanted_width, wanted_height);
}

bool weft_picture_size(const char *name, const struct weft_picture_steps *s, int *height, int *width,
                       struct weft_error *error) {
    const int *const cuts[] = {s->random_crop, s->center_crop};
    static const char *const names[] = {"random_crop", "center_crop"};
    if (s->crop[2]) {
        if (!fits(name, "crop", *height, *width, s->crop[0] + s->crop[2], s->crop[1] + s->crop[3], error))
            return false;
        *height = s->crop[2];
        *width = s->crop[3];
    }
    scaled_size(s, height, width);
    for (int i = 0; i < 2; i++) {
        if (!cuts[i][0])
            continue;
        if (!fits(name, names[i], *height, *width, cuts[i][0], cuts[i][1], error))
            return false;
        *height = cuts[i][0];
        *width = cuts[i][1];
    }
    return true;
}

/* A number in [0, n), even to one part in 2^32 / n (Lemire 2019). */
static int draw(struct philox_key key, int which, int n) {
    return (int)((uint64_t)philox_element(key, (uint64_t)which) * (uint64_t)n >> 32);
}

static void replace(struct weft_image *image, struct weft_image *by) {
    weft_image_destroy(image);
    *image = *by;
}

static bool cut(struct weft_image *image, int top, int left, int height, int width,
                struct weft_error *error) {
    struct weft_image next;
    if (!weft_picture_crop(image, top, left, height, width, &next, error))
        return false;
    replace(image, &next);
    return true;
}

static bool scale(const struct weft_picture_steps *s, struct weft_image *image, struct weft_error *error) {
    int height = image->height, width = image->width;
    struct weft_image next;
    scaled_size(s, &height, &width);
    if (height == image->height && width == image->width)
        return true;
    if (!weft_picture_resize(image, height, width, &next, error))
        return false;
    replace(image, &next);
    return true;
}

static bool turn(const struct weft_picture_steps *s, struct philox_key key, struct weft_image *image,
                 struct weft_error *error) {
    struct weft_image next;
    float even = (float)(philox_element(key, DRAW_ANGLE) >> 8) / (float)(1 << 24);
    if (s->rotate == 0)
        return true;
    if (!weft_picture_rotate(image, s->rotate * (2 * even - 1), &next, error))
        return false;
    replace(image, &next);
    return true;
}

static bool cut_twice(const struct weft_picture_steps *s, struct philox_key key, struct weft_image *image,
                      struct weft_error *error) {
    if (s->random_crop[0]) {
        int top = draw(key, DRAW_TOP, image->height - s->random_crop[0] + 1);
        int left = draw(key, DRAW_LEFT, image->width - s->random_crop[1] + 1);
        if (!cut(image, top, left, s->random_crop[0], s->random_crop[1], error))
            return false;
    }
    return !s->center_crop[0] ||
           cut(image, (image->height - s->center_crop[0]) / 2, (image->width - s->center_crop[1]) / 2,
               s->center_crop[0], s->center_crop[1], error);
}

bool weft_picture_take_steps(const char *name, const struct weft_picture_steps *s, struct philox_key key,
                             struct weft_image *image, struct weft_error *error) {
    int height = image->height, width = image->width;
    bool ok = weft_picture_size(name, s, &height, &width, error) &&
              (!s->crop[2] || cut(image, s->crop[0], s->crop[1], s->crop[2], s->crop[3], error)) &&
              scale(s, image, error) && turn(s, key, image, error) && cut_twice(s, key, image, error);
    if (!ok) {
        weft_image_destroy(image);
        return false;
    }
    if (s->flip && draw(key, DRAW_FLIP, 2))
        weft_picture_flip(image);
    return true;
}
