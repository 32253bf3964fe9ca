#include "runtime/jpeg.h"

#include "runtime/error.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h> /* wants size_t and FILE before it */

#include <jerror.h>

/* A block of 64 samples costs at least two bits (a code for its DC, one for the end of its block); runs of
 * empty blocks in progressive scans still leave a bit a block for DC. So a byte opens to at most 8 blocks of
 * each component. */
enum { LARGEST_SIDE = 1 << 16, LARGEST_RATIO = 8 * 64 };

/* Memory that libjpeg may take beside the picture: the coefficients of a progressive file. */
static const long LARGEST_MEMORY = 1L << 30;

/* What the callbacks know. libjpeg's error call must not return: it jumps to where decoding began. */
struct decoder {
    struct jpeg_error_mgr errors; /* first: libjpeg hands a pointer to it back */
    jmp_buf landing;
    const char *name;
    struct weft_error *error;
    struct weft_image image;
    unsigned char *row; /* CMYK */
};

static _Noreturn void give_up(struct decoder *d, const char *why) {
    weft_fail(d->error, "%s: the JPEG is broken: %s", d->name, why);
    longjmp(d->landing, 1);
}

static void on_error(j_common_ptr info) {
    char why[JMSG_LENGTH_MAX];
    info->err->format_message(info, why);
    give_up((struct decoder *)info->err, why);
}

/* Warnings are for garbage that does no harm; an early end does: the rest of the picture would be grey. */
static void on_message(j_common_ptr info, int level) {
    int code = info->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        give_up((struct decoder *)info->err, "it is cut off");
}

bool weft_is_jpeg(const void *bytes, size_t size) {
    return size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0;
}

/* Adobe's CMYK files hold inverted inks: R = C K / 255 (the way of Pillow and libvips). */
static void cmyk_to_rgb(const unsigned char *from, int width, bool is_inverted, unsigned char *to) {
    for (int x = 0; x < width; x++, from += 4, to += 3)
        for (int c = 0; c < 3; c++) {
            unsigned ink = is_inverted ? from[c] : 255u - from[c],
                     black = is_inverted ? from[3] : 255u - from[3];
            to[c] = (unsigned char)((ink * black + 127) / 255);
        }
}

static void start(struct decoder *d, struct jpeg_decompress_struct *info, size_t size) {
    jpeg_read_header(info, TRUE);
    if (info->image_width > LARGEST_SIDE || info->image_height > LARGEST_SIDE ||
        (size_t)info->image_width * info->image_height / LARGEST_RATIO > size)
        give_up(d, "its size is impossible for so few bytes");
    bool is_cmyk = info->num_components == 4;
    info->out_color_space = is_cmyk ? JCS_CMYK : info->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    info->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(info);
    if (!weft_image_create(&d->image, (int)info->output_width, (int)info->output_height,
                           is_cmyk ? 3 : info->output_components, NULL))
        give_up(d, "it is too large");
    if (is_cmyk && !(d->row = malloc((size_t)info->output_width * 4)))
        give_up(d, "no memory for it");
}

static void read_rows(struct decoder *d, struct jpeg_decompress_struct *info) {
    size_t stride = (size_t)d->image.width * (size_t)d->image.channels;
    while (info->output_scanline < info->output_height) {
        unsigned char *target = d->image.pixels + info->output_scanline * stride;
        JSAMPROW row = d->row ? d->row : target;
        if (jpeg_read_scanlines(info, &row, 1) == 0)
            give_up(d, "it is cut off");
        if (d->row)
            cmyk_to_rgb(d->row, d->image.width, info->saw_Adobe_marker, target);
    }
    jpeg_finish_decompress(info);
}

/* Apart from the caller: what lives here does not outlive a jump. */
static bool decode(struct decoder *d, struct jpeg_decompress_struct *info, const void *bytes, size_t size) {
    if (setjmp(d->landing))
        return false;
    jpeg_create_decompress(info);
    info->mem->max_memory_to_use = LARGEST_MEMORY;
    jpeg_mem_src(info, bytes, (unsigned long)size);
    start(d, info, size);
    read_rows(d, info);
    return true;
}

bool weft_jpeg_decode(const char *name, const void *bytes, size_t size, struct weft_image *image,
                      struct weft_error *error) {
    struct decoder d = {.name = name, .error = error};
    struct jpeg_decompress_struct info = {.err = jpeg_std_error(&d.errors)};
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    *image = (struct weft_image){0};
    bool ok = decode(&d, &info, bytes, size);
    jpeg_destroy_decompress(&info);
    free(d.row);
    if (ok)
        *image = d.image;
    else
        weft_image_destroy(&d.image);
    return ok;
}
