/* runtime/image.h: pictures of 8 bits a channel, PNG and JPEG in, PNG out, and their way to and from float
 * tensors. */
#ifndef WEFT_IMAGE_H
#define WEFT_IMAGE_H

#include "runtime/weft.h"

#include <stdbool.h>

/* Rows from the top, channels interleaved: pixels[(y * width + x) * channels + c]. */
struct weft_image {
    int width, height;
    int channels;          /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha */
    unsigned char *pixels; /* malloc'ed; owned */
};

/* Reads a PNG or JPEG of any kind: palettes are looked up, 16 bits are rounded to 8. channels 0 takes the
 * file's; 1 and 3 convert (grey = 0.299 R + 0.587 G + 0.114 B, ITU-R 601-2) and drop alpha; 2 and 4 add an
 * opaque alpha where there is none. */
bool weft_image_read(const char *path, int channels, struct weft_image *image, struct weft_error *error);
bool weft_image_decode(const char *name, const void *bytes, size_t size, int channels,
                       struct weft_image *image, struct weft_error *error);
bool weft_image_write(const char *path, const struct weft_image *image, struct weft_error *error);
/* A PNG in memory, malloc'ed (for pages that embed their pictures). */
bool weft_image_encode(const struct weft_image *image, unsigned char **bytes, size_t *size,
                       struct weft_error *error);

bool weft_image_create(struct weft_image *image, int width, int height, int channels,
                       struct weft_error *error);  /* black */
void weft_image_destroy(struct weft_image *image); /* and makes it all zero */

/* ITU-R 601-2 in 16 bits of fraction, the same integers as Pillow's. */
unsigned char weft_luma(unsigned char r, unsigned char g, unsigned char b);

/* chw is float32 [channels, height, width]; a byte b stands for lo + (hi - lo) * b / 255. From floats:
 * rounded to the nearest byte, what lies outside of the range is clamped, NaN is lo. */
void weft_image_to_chw(const struct weft_image *image, float lo, float hi, float *chw);
void weft_image_from_chw(const float *chw, float lo, float hi, struct weft_image *image);

/* images is float32 [count, channels, height, width]: a grid of rows x columns, filled row by row, `border`
 * white pixels around each; cells without an image are white. channels is 1 or 3. */
struct weft_grid {
    int64_t count;
    int channels, height, width;
    int rows, columns, border;
    float lo, hi;
};
bool weft_image_grid(const float *images, const struct weft_grid *grid, struct weft_image *image,
                     struct weft_error *error);

#endif
