/* codegen/contract_window.h: what a convolution and its gradient by the weights share: sizes brought to three
 * spatial axes, and images copied so that they are lanes. */
#ifndef CODEGEN_CONTRACT_WINDOW_H
#define CODEGEN_CONTRACT_WINDOW_H

#include "codegen/contract.h"

/* One residue class of an output axis under lhs_dilation d: the positions d * q + first, q < count. All of
 * them see the same taps tap + j * tap_step, j < taps, at image coordinates q * stride + image + j *
 * image_step: the zeros between two elements are never multiplied. Without lhs_dilation there is one class,
 * with all taps. A great lhs_dilation (and any of conv_wgrad, where each tap has positions of its own) is
 * `spread` instead: the canvas holds the zeros. */
struct window_class {
    int64_t first, count;
    int64_t tap, tap_step, taps;
    int64_t image, image_step;
};

enum { WINDOW_CLASSES = 4 };

struct window_axis {
    int64_t image, window, out;
    int64_t stride, pad_lo, dilation;
    int64_t lhs_dilation, spread; /* one of them is 1 */
    int class_count;
    struct window_class classes[WINDOW_CLASSES];
    int64_t x, w, y; /* strides of the image, the weights and the (dense) output along this axis */
};

struct window {
    int64_t batch, groups, in, out; /* channels of a group */
    struct window_axis axis[3];
    int64_t x_batch, x_channel, w_out, w_in, y_batch, y_channel;
    int64_t out_pixels;
};

/* x, w and y as they lie; of conv_wgrad w is the result, and the canvas is spread. */
void window_init(const struct contraction *c, const struct operand *x, const struct operand *w,
                 const struct operand *y, bool spreads, struct window *out);

/* A copy of some rows of a chunk of images with images as lanes: [channel][z][y][x][lane], zeros where the
 * padding is. Index i of an axis holds coordinate origin + i of the image, spread where it is (+ what a band
 * of output rows adds). */
struct canvas {
    int64_t origin[3], size[3], stride[3];
    int64_t channels, channel; /* their number and distance */
    int64_t elements, offset;  /* in WORKER memory */
    int band_axis;
    int64_t bands, band_shift; /* image coordinates from one band to the next along band_axis */
};

/* The canvas that the output rows of a band need, where it counts `band_rows` of band_axis. */
void canvas_plan(const struct window *win, int lanes, int band_axis, int64_t band_rows, struct canvas *out);
/* A canvas of an image as it is, of `channels` channels, cut in bands of rows. */
void canvas_plain(const struct window *image, int lanes, int band_axis, int64_t band_rows, int64_t channels,
                  struct canvas *out);
/* The images of a chunk as the window of an image alone: no taps. */
void window_of_image(const struct operand *x, struct window *out);
/* Fills it from the images of a chunk (as many as lanes; fewer in the last one) and the channels from
 * first_channel. */
void canvas_fill(struct writer *w, const struct contraction *c, const struct window *win,
                 const struct canvas *canvas, const struct operand *x, const struct loop_expr *first_channel,
                 const struct loop_expr *chunk, const struct loop_expr *band);
struct buffer *canvas_buffer(struct writer *w, const struct contraction *c, const struct canvas *canvas,
                             const char *name);

/* The weights as tiles read them: where they lie, or where that takes a cast, a copy of a block of channels
 * in the dtype of the sums, [output channel of a group][channel of the block][tap], in WORKER memory. */
struct weights {
    const struct contraction *c;
    const struct window *win;
    struct operand w;
    bool is_cast;
    int64_t offset, channel_block;
    int64_t out, in, tap[3]; /* strides */
};

void weights_plan(const struct contraction *c, const struct window *win, const struct operand *w,
                  int64_t channel_block, struct weights *out);
/* Fills the copy, where there is one, with `count` channels of a group from `first` on. */
void weights_cast(struct writer *w, const struct weights *weights, const struct loop_expr *group,
                  const struct loop_expr *first, const struct loop_expr *count);
/* The tile's A: from an output channel `row` of the group on, at the block's first channel and tap 0. */
void weights_read(struct writer *w, const struct weights *weights, struct tile *t,
                  const struct loop_expr *group, const struct loop_expr *first, const struct loop_expr *row);

/* The schedule of conv for few images, and whether it fills the lanes better than images do. */
bool conv_rows_suit(const struct contraction *c, const struct window *win);
void contract_conv_rows(struct contraction *c, const struct operand *x, const struct operand *w,
                        const struct window *win);

/* The schedule of transposed convolutions of small images, and whether it suits. false: reported. */
bool conv_taps_suit(struct contraction *c, const struct window *win);
bool contract_conv_taps(struct contraction *c, const struct operand *x, const struct operand *w,
                        const struct window *win);

/* The schedule of 3x3 windows by Winograd's minimal filtering, and whether it is allowed and pays. */
bool conv_winograd_suits(const struct contraction *c, const struct operand *w, const struct window *win);
void contract_winograd(struct contraction *c, const struct operand *x, const struct operand *w,
                       const struct window *win);

/* The schedule of conv_wgrad for many channels, and whether it suits. */
bool wgrad_pixels_suit(const struct contraction *c, const struct operand *dy, const struct window *win);
void contract_wgrad_pixels(struct contraction *c, const struct operand *x, const struct operand *dy,
                           const struct window *win);

#endif
