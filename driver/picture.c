/* driver/picture.c: a tensor as a picture made of characters (picture.h). */
#include "driver/picture.h"

#include <stdint.h>
#include <string.h>

enum { WIDEST = 112 }; /* characters */

struct picture {
    const float *pixels;
    int64_t count, channels, height, width;
    int64_t scale; /* pixels of the image for one of the drawing, along each axis */
};

static bool take(struct picture *p, const struct type *type, const void *bytes) {
    if (type->dtype != DTYPE_f32 || type->rank < 2 || type->rank > 4)
        return false;
    int64_t sizes[4] = {1, 1, 1, 1};
    for (int i = 0; i < type->rank; i++)
        sizes[4 - type->rank + i] = dim_value(type->dims[i]);
    *p = (struct picture){bytes, sizes[0], sizes[1], sizes[2], sizes[3], 1};
    bool is_picture = (p->channels == 1 || p->channels == 3) && p->count > 0 && p->height > 0 && p->width > 0;
    if (!is_picture)
        return false;
    p->scale = (p->width + WIDEST - 1) / WIDEST;
    int64_t fit = (WIDEST + 1) / (p->width / p->scale + 1);
    p->count = p->count < fit ? p->count : fit > 0 ? fit : 1;
    return true;
}

/* The mean of a square of pixels, held in [0, 1]; a NaN is black. */
static double pixel(const struct picture *p, int64_t image, int64_t channel, int64_t y, int64_t x) {
    double sum = 0;
    int64_t count = 0;
    channel = channel < p->channels ? channel : 0;
    for (int64_t i = y * p->scale; i < (y + 1) * p->scale && i < p->height; i++)
        for (int64_t k = x * p->scale; k < (x + 1) * p->scale && k < p->width; k++, count++)
            sum += (double)p->pixels[((image * p->channels + channel) * p->height + i) * p->width + k];
    double mean = count ? sum / (double)count : 0;
    return mean > 1 ? 1 : mean > 0 ? mean : 0;
}

static void put_colour(struct strbuf *out, const struct picture *p, const char *where, int64_t image,
                       int64_t y, int64_t x) {
    int rgb[3];
    for (int c = 0; c < 3; c++)
        rgb[c] = (int)(255 * pixel(p, image, c, y, x) + 0.5);
    strbuf_printf(out, "\033[%s;2;%d;%d;%dm", where, rgb[0], rgb[1], rgb[2]);
}

/* Of two pixels, one above the other: the upper half block has the colour of the text, the rest that of the
 * ground. */
static void put_cell(struct strbuf *out, const struct picture *p, int64_t image, int64_t y, int64_t x,
                     bool in_colour) {
    static const char shades[] = " .:-=+*#%@";
    if (in_colour) {
        put_colour(out, p, "38", image, y, x);
        put_colour(out, p, "48", image, y + 1, x);
        strbuf_puts(out, "\xe2\x96\x80");
        return;
    }
    double light = 0;
    for (int c = 0; c < 3; c++)
        light += (pixel(p, image, c, y, x) + pixel(p, image, c, y + 1, x)) / 6;
    strbuf_putc(out, shades[(int)(light * (double)(sizeof shades - 2) + 0.5)]);
}

bool picture_draw(struct strbuf *out, const struct type *type, const void *bytes, bool in_colour) {
    struct picture p;
    if (!take(&p, type, bytes))
        return false;
    int64_t height = (p.height + p.scale - 1) / p.scale, width = (p.width + p.scale - 1) / p.scale;
    for (int64_t y = 0; y < height; y += 2) {
        for (int64_t image = 0; image < p.count; image++) {
            for (int64_t x = 0; x < width; x++)
                put_cell(out, &p, image, y, x, in_colour);
            strbuf_puts(out, in_colour ? "\033[0m" : "");
            if (image + 1 < p.count)
                strbuf_putc(out, ' ');
        }
        while (out->length > 0 && out->text[out->length - 1] == ' ')
            out->text[--out->length] = 0;
        strbuf_putc(out, '\n');
    }
    return true;
}
