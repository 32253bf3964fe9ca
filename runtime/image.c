#include "runtime/image.h"

#include "runtime/error.h"
#include "runtime/file.h"
#include "runtime/jpeg.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* Pictures beyond that are no pictures for models; a file is read whole. */
enum { LARGEST_SIDE = 1 << 16, LARGEST_FILE = 1 << 30 };
static const size_t LARGEST_IMAGE = (size_t)1 << 30;

/* Deflate gives at most 1032 bytes for one (zlib, deflate's longest match of 258 bytes in two bits). */
enum { LARGEST_RATIO = 1032 };

bool weft_image_create(struct weft_image *image, int width, int height, int channels,
                       struct weft_error *error) {
    *image = (struct weft_image){0};
    if (width <= 0 || height <= 0 || channels < 1 || channels > 4)
        return weft_fail(error, "a picture of %d x %d pixels and %d channels is none", width, height,
                         channels);
    if ((size_t)width > LARGEST_IMAGE / (size_t)channels / (size_t)height)
        return weft_fail(error, "a picture of %d x %d pixels is too large", width, height);
    unsigned char *pixels = calloc((size_t)width * (size_t)height, (size_t)channels);
    if (!pixels)
        return weft_fail(error, "no memory for a picture of %d x %d pixels", width, height);
    *image = (struct weft_image){width, height, channels, pixels};
    return true;
}

void weft_image_destroy(struct weft_image *image) {
    free(image->pixels);
    *image = (struct weft_image){0};
}

static unsigned char *row_of(const struct weft_image *image, int y) {
    return image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels;
}

/* What libpng's callbacks know. It reports an error by a call that must not return: a jump to where it was
 * called. The coder lives in the frame above the one that jumps back, so nothing in it is lost. */
struct coder {
    const char *name;
    struct weft_error *error;
    jmp_buf landing;
    png_structp png;
    png_infop info;
    struct weft_image image;
    png_bytep *rows;
    const unsigned char *at, *end; /* decoding: what was not read yet */
    unsigned char *bytes;          /* encoding: what was written */
    size_t size, capacity;
};

static _Noreturn void fail_png(png_structp png, png_const_charp why) {
    struct coder *coder = png_get_error_ptr(png);
    weft_fail(coder->error, "%s: the PNG is broken: %s", coder->name, why);
    longjmp(coder->landing, 1);
}

static void ignore_warning(png_structp png, png_const_charp why) {
    (void)png;
    (void)why;
}

static void point_at_rows(struct coder *coder) {
    coder->rows = calloc((size_t)coder->image.height, sizeof *coder->rows);
    if (!coder->rows)
        png_error(coder->png, "no memory for it");
    for (int y = 0; y < coder->image.height; y++)
        coder->rows[y] = row_of(&coder->image, y);
}

static bool run(struct coder *coder, void (*body)(struct coder *)) {
    if (!coder->png || !coder->info)
        return weft_fail(coder->error, "%s: no memory for its PNG", coder->name);
    if (setjmp(coder->landing))
        return false;
    body(coder);
    return true;
}

static void read_bytes(png_structp png, png_bytep out, size_t size) {
    struct coder *coder = png_get_io_ptr(png);
    if ((size_t)(coder->end - coder->at) < size)
        png_error(png, "it is cut off");
    memcpy(out, coder->at, size);
    coder->at += size;
}

/* Everything becomes 8 bits of grey or RGB, with alpha where the file has some. */
static void set_transformations(png_structp png, png_infop info) {
    if (png_get_bit_depth(png, info) == 16)
        png_set_scale_16(png);
    if (png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_valid(png, info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    png_set_interlace_handling(png);
}

/* A header may claim any size: memory is given only for what the bytes behind it can open to. */
static void check_size(struct coder *coder, png_structp png, png_infop info) {
    size_t packed = (size_t)(coder->end - coder->at);
    size_t bits = (size_t)png_get_bit_depth(png, info) * png_get_channels(png, info);
    size_t row = (png_get_image_width(png, info) * bits + 7) / 8;
    if (row * png_get_image_height(png, info) / LARGEST_RATIO > packed)
        png_error(png, "its size is impossible for so few bytes");
}

static void decode(struct coder *coder) {
    png_structp png = coder->png;
    png_infop info = coder->info;
    png_set_read_fn(png, coder, read_bytes);
    png_set_user_limits(png, LARGEST_SIDE, LARGEST_SIDE);
    png_read_info(png, info);
    check_size(coder, png, info);
    set_transformations(png, info);
    png_read_update_info(png, info);
    int width = (int)png_get_image_width(png, info), height = (int)png_get_image_height(png, info);
    if (!weft_image_create(&coder->image, width, height, png_get_channels(png, info), NULL))
        png_error(png, "it is too large");
    point_at_rows(coder);
    png_read_image(png, coder->rows);
    png_read_end(png, NULL);
}

unsigned char weft_luma(unsigned char r, unsigned char g, unsigned char b) {
    return (unsigned char)((19595u * r + 38470u * g + 7471u * b + 0x8000u) >> 16);
}

static void convert_pixel(const unsigned char *from, int from_channels, unsigned char *to, int to_channels) {
    bool from_colour = from_channels >= 3, to_colour = to_channels >= 3;
    for (int c = 0; c < (to_colour ? 3 : 1); c++)
        to[c] = to_colour && from_colour ? from[c]
                : from_colour            ? weft_luma(from[0], from[1], from[2])
                                         : from[0];
    if (to_channels % 2 == 0)
        to[to_channels - 1] = from_channels % 2 == 0 ? from[from_channels - 1] : 255;
}

/* Takes `image` apart: its pixels are freed or become those of *out. */
static bool convert(struct weft_image *image, int channels, struct weft_image *out,
                    struct weft_error *error) {
    if (channels == 0 || channels == image->channels) {
        *out = *image;
        *image = (struct weft_image){0};
        return true;
    }
    if (!weft_image_create(out, image->width, image->height, channels, error))
        return false;
    size_t count = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < count; i++)
        convert_pixel(image->pixels + i * (size_t)image->channels, image->channels,
                      out->pixels + i * (size_t)channels, channels);
    return true;
}

bool weft_image_decode(const char *name, const void *bytes, size_t size, int channels,
                       struct weft_image *image, struct weft_error *error) {
    struct coder coder = {
        .name = name, .error = error, .at = bytes, .end = (const unsigned char *)bytes + size};
    *image = (struct weft_image){0};
    if (weft_is_jpeg(bytes, size)) {
        bool ok = weft_jpeg_decode(name, bytes, size, &coder.image, error) &&
                  convert(&coder.image, channels, image, error);
        weft_image_destroy(&coder.image);
        return ok;
    }
    if (size < 8 || png_sig_cmp((png_const_bytep)bytes, 0, 8) != 0)
        return weft_fail(error, "%s: neither a PNG nor a JPEG", name);
    coder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &coder, fail_png, ignore_warning);
    coder.info = coder.png ? png_create_info_struct(coder.png) : NULL;
    bool ok = run(&coder, decode) && convert(&coder.image, channels, image, error);
    png_destroy_read_struct(&coder.png, &coder.info, NULL);
    free(coder.rows);
    weft_image_destroy(&coder.image);
    return ok;
}

bool weft_image_read(const char *path, int channels, struct weft_image *image, struct weft_error *error) {
    unsigned char *bytes;
    size_t size;
    *image = (struct weft_image){0};
    if (!weft_file_read(path, LARGEST_FILE, &bytes, &size, error))
        return false;
    bool ok = weft_image_decode(path, bytes, size, channels, image, error);
    free(bytes);
    return ok;
}

static void write_bytes(png_structp png, png_bytep bytes, size_t size) {
    struct coder *coder = png_get_io_ptr(png);
    if (size > coder->capacity - coder->size) {
        size_t capacity = 2 * coder->capacity > coder->size + size ? 2 * coder->capacity : coder->size + size;
        unsigned char *grown = realloc(coder->bytes, capacity);
        if (!grown)
            png_error(png, "no memory for it");
        coder->bytes = grown;
        coder->capacity = capacity;
    }
    memcpy(coder->bytes + coder->size, bytes, size);
    coder->size += size;
}

static void flush_nothing(png_structp png) {
    (void)png;
}

static void encode(struct coder *coder) {
    static const int colour_types[] = {[1] = PNG_COLOR_TYPE_GRAY,
                                       [2] = PNG_COLOR_TYPE_GRAY_ALPHA,
                                       [3] = PNG_COLOR_TYPE_RGB,
                                       [4] = PNG_COLOR_TYPE_RGB_ALPHA};
    png_structp png = coder->png;
    png_set_write_fn(png, coder, write_bytes, flush_nothing);
    png_set_IHDR(png, coder->info, (png_uint_32)coder->image.width, (png_uint_32)coder->image.height, 8,
                 colour_types[coder->image.channels], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, coder->info);
    point_at_rows(coder);
    png_write_image(png, coder->rows);
    png_write_end(png, NULL);
}

static bool encode_named(const char *name, const struct weft_image *image, unsigned char **bytes,
                         size_t *size, struct weft_error *error) {
    struct coder coder = {.name = name, .error = error, .image = *image};
    if (image->channels < 1 || image->channels > 4 || image->width <= 0 || image->height <= 0)
        return weft_fail(error, "%s: an empty picture cannot be written", name);
    coder.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &coder, fail_png, ignore_warning);
    coder.info = coder.png ? png_create_info_struct(coder.png) : NULL;
    bool ok = run(&coder, encode);
    png_destroy_write_struct(&coder.png, &coder.info);
    free(coder.rows);
    if (!ok) {
        free(coder.bytes);
        return false;
    }
    *bytes = coder.bytes;
    *size = coder.size;
    return true;
}

bool weft_image_encode(const struct weft_image *image, unsigned char **bytes, size_t *size,
                       struct weft_error *error) {
    return encode_named("picture", image, bytes, size, error);
}

bool weft_image_write(const char *path, const struct weft_image *image, struct weft_error *error) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (!encode_named(path, image, &bytes, &size, error))
        return false;
    bool ok = weft_file_write_whole(path, bytes, size, error);
    free(bytes);
    return ok;
}

void weft_image_to_chw(const struct weft_image *image, float lo, float hi, float *chw) {
    size_t plane = (size_t)image->width * (size_t)image->height, channels = (size_t)image->channels;
    float value[256];
    for (int b = 0; b < 256; b++)
        value[b] = lo + (hi - lo) * ((float)b / 255.0f);
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < plane; i++)
            chw[c * plane + i] = value[image->pixels[i * channels + c]];
}

static unsigned char byte_of(float value, float lo, float hi) {
    float scaled = (value - lo) / (hi - lo) * 255.0f + 0.5f;
    return scaled >= 255.0f ? 255 : scaled >= 0.0f ? (unsigned char)scaled : 0; /* NaN fails both */
}

void weft_image_from_chw(const float *chw, float lo, float hi, struct weft_image *image) {
    size_t plane = (size_t)image->width * (size_t)image->height, channels = (size_t)image->channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < plane; i++)
            image->pixels[i * channels + c] = byte_of(chw[c * plane + i], lo, hi);
}

static void put_cell(const float *chw, const struct weft_grid *grid, int top, int left,
                     struct weft_image *image) {
    size_t plane = (size_t)grid->height * (size_t)grid->width;
    for (int y = 0; y < grid->height; y++) {
        unsigned char *pixel = row_of(image, top + y) + left * grid->channels;
        for (int x = 0; x < grid->width; x++)
            for (int c = 0; c < grid->channels; c++)
                *pixel++ =
                    byte_of(chw[(size_t)c * plane + (size_t)(y * grid->width + x)], grid->lo, grid->hi);
    }
}

/* Side of the grid in pixels, 0 where it is none that a picture can have. */
static int grid_side(int cells, int pixels, int border) {
    if (cells <= 0 || pixels <= 0 || border < 0 || border > LARGEST_SIDE)
        return 0;
    int64_t side = border + (int64_t)cells * ((int64_t)pixels + border);
    return side <= LARGEST_SIDE ? (int)side : 0;
}

bool weft_image_grid(const float *images, const struct weft_grid *grid, struct weft_image *image,
                     struct weft_error *error) {
    int width = grid_side(grid->columns, grid->width, grid->border);
    int height = grid_side(grid->rows, grid->height, grid->border);
    *image = (struct weft_image){0};
    if (!width || !height || (grid->channels != 1 && grid->channels != 3))
        return weft_fail(error,
                         "a grid of %d x %d pictures of %d x %d pixels and %d channels cannot be drawn",
                         grid->rows, grid->columns, grid->height, grid->width, grid->channels);
    if (!weft_image_create(image, width, height, grid->channels, error))
        return false;
    memset(image->pixels, 255, (size_t)width * (size_t)height * (size_t)grid->channels);
    size_t size = (size_t)grid->channels * (size_t)grid->height * (size_t)grid->width;
    for (int64_t i = 0; i < grid->count && i < (int64_t)grid->rows * grid->columns; i++) {
        int row = (int)(i / grid->columns), column = (int)(i % grid->columns);
        put_cell(images + (size_t)i * size, grid, grid->border + row * (grid->height + grid->border),
                 grid->border + column * (grid->width + grid->border), image);
    }
    return true;
}
