#include "codegen/contract_window.h"

#include <assert.h>

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t remainder_of(int64_t a, int64_t b) {
    return a - floor_div(a, b) * b;
}

/* ---- sizes ---- */

static struct window_class find_class(const struct window_axis *a, int64_t first) {
    int64_t d = a->lhs_dilation;
    struct window_class c = {.first = first, .count = ceil_div(a->out - first, d)};
    for (int64_t k = 0; k < a->window; k++) {
        int64_t at = first * a->stride + k * a->dilation - a->pad_lo;
        if (remainder_of(at, d))
            continue;
        if (c.taps == 0) {
            c.tap = k;
            c.image = floor_div(at, d);
        } else if (c.taps == 1) {
            c.tap_step = k - c.tap;
            c.image_step = floor_div(at, d) - c.image;
        }
        c.taps++;
    }
    return c;
}

static void find_classes(struct window_axis *a, bool spreads) {
    if (spreads || a->lhs_dilation > WINDOW_CLASSES) {
        a->spread = a->lhs_dilation;
        a->lhs_dilation = 1;
    }
    for (int64_t first = 0; first < a->lhs_dilation && first < a->out; first++)
        a->classes[a->class_count++] = find_class(a, first);
}

/* Coordinates along a spread axis. */
static int64_t spread_extent(const struct window_axis *a) {
    return a->image ? (a->image - 1) * a->spread + 1 : 0;
}

void window_init(const struct contraction *c, const struct operand *x, const struct operand *w,
                 const struct operand *y, bool spreads, struct window *out) {
    struct conv_attrs attrs;
    conv_attrs_get(c->core, &attrs);
    *out = (struct window){.batch = x->size[0],
                           .groups = attrs.groups,
                           .in = w->size[1],
                           .out = w->size[0] / attrs.groups,
                           .x_batch = x->stride[0],
                           .x_channel = x->stride[1],
                           .w_out = w->stride[0],
                           .w_in = w->stride[1],
                           .y_batch = y->stride[0],
                           .y_channel = y->stride[1],
                           .out_pixels = 1};
    for (int i = 0; i < 3; i++) {
        int own = i - (3 - attrs.rank);
        struct window_axis *a = &out->axis[i];
        *a = (struct window_axis){
            .image = 1, .window = 1, .out = 1, .stride = 1, .dilation = 1, .lhs_dilation = 1, .spread = 1};
        if (own >= 0)
            *a = (struct window_axis){.image = x->size[own + 2],
                                      .window = w->size[own + 2],
                                      .out = y->size[own + 2],
                                      .stride = attrs.stride[own],
                                      .pad_lo = attrs.pad_lo[own],
                                      .dilation = attrs.dilation[own],
                                      .lhs_dilation = attrs.lhs_dilation[own],
                                      .spread = 1,
                                      .x = x->stride[own + 2],
                                      .w = w->stride[own + 2],
                                      .y = y->stride[own + 2]};
        out->out_pixels *= a->out;
        find_classes(a, spreads);
    }
}

/* ---- the canvas ---- */

void canvas_plan(const struct window *win, int lanes, int band_axis, int64_t band_rows, struct canvas *out) {
    *out = (struct canvas){.band_axis = band_axis, .channels = win->groups * win->in};
    int64_t stride = lanes;
    for (int i = 2; i >= 0; i--) {
        const struct window_axis *a = &win->axis[i];
        int64_t low = INT64_MAX, high = INT64_MIN;
        for (int k = 0; k < a->class_count; k++) {
            const struct window_class *c = &a->classes[k];
            int64_t count = i == band_axis ? ceil_div(band_rows - c->first, a->lhs_dilation) : c->count;
            if (!c->taps || count < 1)
                continue;
            int64_t last = (count - 1) * a->stride + c->image + (c->taps - 1) * c->image_step;
            low = at_most(low, c->image);
            high = at_least(high, last);
        }
        if (low > high)
            low = high = 0; /* no output position sees the image at all */
        out->origin[i] = low;
        out->size[i] = high - low + 1;
        out->stride[i] = stride;
        stride *= out->size[i];
        if (i == band_axis) {
            out->bands = ceil_div(a->out, band_rows);
            out->band_shift = out->bands == 1 ? 0 : band_rows / a->lhs_dilation * a->stride;
        }
    }
    out->channel = stride;
    out->elements = out->channels * stride;
}

void canvas_plain(const struct window *image, int lanes, int band_axis, int64_t band_rows, int64_t channels,
                  struct canvas *out) {
    *out = (struct canvas){.band_axis = band_axis, .channels = channels};
    out->bands = ceil_div(image->axis[band_axis].image, band_rows);
    out->band_shift = out->bands == 1 ? 0 : band_rows;
    int64_t stride = lanes;
    for (int i = 2; i >= 0; i--) {
        out->size[i] = i == band_axis ? band_rows : image->axis[i].image;
        out->stride[i] = stride;
        stride *= out->size[i];
    }
    out->channel = stride;
    out->elements = channels * stride;
}

void window_of_image(const struct operand *x, struct window *out) {
    *out = (struct window){.batch = x->size[0], .x_batch = x->stride[0], .x_channel = x->stride[1]};
    for (int i = 0; i < 3; i++) {
        int own = i - (3 - (x->rank - 2));
        out->axis[i] = (struct window_axis){.image = 1, .spread = 1};
        if (own >= 0)
            out->axis[i] =
                (struct window_axis){.image = x->size[own + 2], .x = x->stride[own + 2], .spread = 1};
    }
}

struct buffer *canvas_buffer(struct writer *w, const struct contraction *c, const struct canvas *canvas,
                             const char *name) {
    return writer_memory(w, SPACE_WORKER, canvas->offset, c->dtype, canvas->elements, name);
}

struct filling {
    struct writer *w;
    const struct contraction *c;
    const struct window *win;
    const struct canvas *canvas;
    const struct operand *x;
    const struct loop_expr *first_channel;
    const struct loop_expr *image; /* number of the chunk's first image */
};

static void clear(const struct filling *f, const struct loop_expr *first, int64_t count) {
    if (count <= 0)
        return;
    struct writer *w = f->w;
    const struct loop_expr *i = writer_for(w, "i", index_of(w, 0), index_of(w, count), LOOP_VECTOR);
    writer_store(w, canvas_buffer(w, f->c, f->canvas, "canvas"), plus(w, first, i),
                 writer_zero(w, f->c->dtype));
    writer_end(w);
}

static void turn_square(const struct filling *f, const struct loop_expr *from, const struct loop_expr *to,
                        int images, int64_t pixels) {
    struct tile *t = writer_tile(f->w, TILE_TRANSPOSE, images, (int)pixels);
    tile_read_a(t, operand_buffer(f->w, f->x, "x"), f->x->as);
    t->a_index = from;
    t->a_m = f->win->x_batch;
    t->c = canvas_buffer(f->w, f->c, f->canvas, "canvas");
    t->c_index[0] = to;
    t->c_m = f->c->lanes * f->win->axis[2].spread;
    t->c_full = true;
}

/* `count` pixels that are contiguous in the image become as many vectors. */
static void turn_run(const struct filling *f, const struct loop_expr *from, const struct loop_expr *to,
                     int images, int64_t count) {
    struct writer *w = f->w;
    int64_t lanes = f->c->lanes, step = lanes * f->win->axis[2].spread, whole = count / lanes,
            rest = count % lanes;
    if (whole) {
        const struct loop_expr *i = writer_count(w, "x", whole);
        turn_square(f, plus(w, from, times(w, i, lanes)), plus(w, to, times(w, i, lanes * step)), images,
                    lanes);
        writer_end(w);
    }
    if (rest)
        turn_square(f, plus_n(w, from, whole * lanes), plus_n(w, to, whole * lanes * step), images, rest);
}

/* Rows of the canvas are whole rows of the image, one behind the other: they are turned as one run. */
static bool rows_are_whole(const struct canvas *canvas, const struct window *win) {
    const struct window_axis *x = &win->axis[2], *y = &win->axis[1];
    int64_t last = canvas->origin[1] + canvas->size[1] +
                   (canvas->bands - 1) * (canvas->band_axis == 1 ? canvas->band_shift : 0);
    return y->spread == 1 && x->spread == 1 && canvas->origin[1] >= 0 && last <= y->image &&
           canvas->origin[2] == 0 && canvas->size[2] == x->image && y->x == x->image * x->x &&
           canvas->origin[0] == 0 && canvas->size[0] == 1 && win->axis[0].image == 1;
}

static void fill_row(const struct filling *f, const struct loop_expr *from, const struct loop_expr *to,
                     int images) {
    const struct window_axis *x = &f->win->axis[2];
    int64_t origin = f->canvas->origin[2], size = f->canvas->size[2], lanes = f->c->lanes;
    /* Elements of the image that the canvas has a place for. */
    int64_t low = at_least(0, ceil_div(at_least(origin, 0), x->spread));
    int64_t high = at_most(x->image, floor_div(origin + size - 1, x->spread) + 1);
    if (low >= high) {
        clear(f, to, size * lanes);
        return;
    }
    int64_t first = low * x->spread - origin, end = (high - 1) * x->spread + 1 - origin;
    if (x->spread > 1)
        clear(f, to, size * lanes);
    else
        clear(f, to, first * lanes);
    turn_run(f, plus_n(f->w, from, low * x->x), plus_n(f->w, to, first * lanes), images, high - low);
    if (x->spread == 1)
        clear(f, plus_n(f->w, to, end * lanes), (size - end) * lanes);
}

/* The element of the image behind row i of the canvas along an axis; *inside gathers whether it exists. */
static const struct loop_expr *image_row(const struct filling *f, int axis, const struct loop_expr *i,
                                         const struct loop_expr *band, const struct loop_expr **inside) {
    struct writer *w = f->w;
    const struct window_axis *a = &f->win->axis[axis];
    const struct loop_expr *at = plus_n(w, i, f->canvas->origin[axis]);
    if (axis == f->canvas->band_axis)
        at = plus(w, at, times(w, band, f->canvas->band_shift));
    *inside = lexpr_and(w->f, *inside, lexpr_within(w->f, at, 0, spread_extent(a)));
    if (a->spread == 1)
        return at;
    *inside = lexpr_and(w->f, *inside, is_at(w, lexpr_mod(w->f, at, a->spread), 0));
    return lexpr_div(w->f, at, a->spread);
}

static void fill_rows(const struct filling *f, const struct loop_expr *from, const struct loop_expr *to,
                      const struct loop_expr *band, int images) {
    struct writer *w = f->w;
    const struct canvas *canvas = f->canvas;
    const struct loop_expr *z = writer_count(w, "z", canvas->size[0]),
                           *y = writer_count(w, "y", canvas->size[1]);
    const struct loop_expr *inside = NULL;
    for (int i = 0; i < 2; i++) {
        const struct loop_expr *row = image_row(f, i, i ? y : z, band, &inside);
        from = plus(w, from, times(w, row, f->win->axis[i].x));
        to = plus(w, to, times(w, i ? y : z, canvas->stride[i]));
    }
    writer_if(w, inside);
    fill_row(f, from, to, images);
    if (inside) {
        writer_else(w);
        clear(f, to, canvas->size[2] * f->c->lanes);
    }
    writer_end(w);
    writer_end(w);
    writer_end(w);
}

static void fill_channels(const struct filling *f, const struct loop_expr *band, int images) {
    struct writer *w = f->w;
    const struct canvas *canvas = f->canvas;
    const struct loop_expr *channel = writer_count(w, "c", canvas->channels);
    const struct loop_expr *from = plus_n(w, times(w, f->image, f->win->x_batch), f->x->base);
    from = plus(w, from, times(w, plus(w, f->first_channel, channel), f->win->x_channel));
    const struct loop_expr *to = times(w, channel, canvas->channel);
    if (rows_are_whole(canvas, f->win)) {
        const struct loop_expr *row = index_of(w, canvas->origin[1]);
        if (canvas->band_axis == 1)
            row = plus(w, row, times(w, band, canvas->band_shift));
        from = plus(w, from, times(w, row, f->win->axis[1].x));
        turn_run(f, from, to, images, canvas->size[1] * canvas->size[2]);
    } else {
        fill_rows(f, from, to, band, images);
    }
    writer_end(w);
}

void canvas_fill(struct writer *w, const struct contraction *c, const struct window *win,
                 const struct canvas *canvas, const struct operand *x, const struct loop_expr *first_channel,
                 const struct loop_expr *chunk, const struct loop_expr *band) {
    struct filling f = {w, c, win, canvas, x, first_channel, times(w, chunk, c->lanes)};
    int64_t whole = win->batch / c->lanes, rest = win->batch % c->lanes;
    if (!rest || !whole) {
        fill_channels(&f, band, rest ? (int)rest : c->lanes);
        return;
    }
    writer_if(w, is_below(w, chunk, index_of(w, whole)));
    fill_channels(&f, band, c->lanes);
    writer_else(w);
    fill_channels(&f, band, (int)rest);
    writer_end(w);
}

/* ---- weights ---- */

void weights_plan(const struct contraction *c, const struct window *win, const struct operand *w,
                  int64_t channel_block, struct weights *out) {
    int64_t taps = win->axis[0].window * win->axis[1].window * win->axis[2].window;
    *out = (struct weights){
        .c = c, .win = win, .w = *w, .channel_block = channel_block, .out = win->w_out, .in = win->w_in};
    out->is_cast = w->dtype != c->dtype || w->as != w->dtype;
    for (int i = 0; i < 3; i++)
        out->tap[i] = win->axis[i].w;
    if (!out->is_cast)
        return;
    out->offset = kernel_worker(c->out, win->out * channel_block * taps * dtype_bytes(c->dtype));
    out->out = channel_block * taps;
    out->in = taps;
    for (int i = 2, step = 1; i >= 0; step *= (int)win->axis[i--].window)
        out->tap[i] = step;
}

static struct buffer *weights_buffer(struct writer *w, const struct weights *weights) {
    return writer_memory(w, SPACE_WORKER, weights->offset, weights->c->dtype,
                         weights->win->out * weights->out, "weights");
}

/* Where an output channel of the group begins in memory, at channel `first`. */
static const struct loop_expr *weights_place(struct writer *w, const struct weights *weights,
                                             const struct loop_expr *group, const struct loop_expr *first,
                                             const struct loop_expr *row) {
    const struct window *win = weights->win;
    const struct loop_expr *out = plus(w, times(w, group, win->out), row);
    const struct loop_expr *at = plus(w, times(w, out, win->w_out), times(w, first, win->w_in));
    return plus_n(w, at, weights->w.base);
}

/* A channel's taps lie together, and channels one behind the other. */
static bool weights_are_a_run(const struct weights *weights) {
    const struct window_axis *a = weights->win->axis;
    int64_t run = 1;
    for (int i = 2; i >= 0; run *= a[i--].window)
        if (a[i].window != 1 && a[i].w != run)
            return false;
    return weights->win->w_in == run || weights->win->in == 1;
}

void weights_cast(struct writer *w, const struct weights *weights, const struct loop_expr *group,
                  const struct loop_expr *first, const struct loop_expr *count) {
    if (!weights->is_cast)
        return;
    const struct window_axis *a = weights->win->axis;
    bool is_run = weights_are_a_run(weights);
    const struct loop_expr *row = writer_count(w, "out", weights->win->out);
    const struct loop_expr *from = weights_place(w, weights, group, first, row);
    const struct loop_expr *to = times(w, row, weights->out);
    if (is_run) {
        const struct loop_expr *i =
            writer_for(w, "i", index_of(w, 0), times(w, count, weights->in), LOOP_VECTOR);
        from = plus(w, from, i);
        to = plus(w, to, i);
    } else {
        const struct loop_expr *in = writer_for(w, "in", index_of(w, 0), count, LOOP_SERIAL);
        from = plus(w, from, times(w, in, weights->win->w_in));
        to = plus(w, to, times(w, in, weights->in));
    }
    for (int i = 0; !is_run && i < 3; i++) {
        const struct loop_expr *tap = writer_for(w, "tap", index_of(w, 0), index_of(w, a[i].window),
                                                 i == 2 ? LOOP_VECTOR : LOOP_SERIAL);
        from = plus(w, from, times(w, tap, a[i].w));
        to = plus(w, to, times(w, tap, weights->tap[i]));
    }
    writer_store(w, weights_buffer(w, weights), to,
                 operand_load(w, &weights->w, "w", from, weights->c->dtype));
    for (int i = 0; i < (is_run ? 2 : 5); i++)
        writer_end(w);
}

void weights_read(struct writer *w, const struct weights *weights, struct tile *t,
                  const struct loop_expr *group, const struct loop_expr *first, const struct loop_expr *row) {
    t->a_m = weights->out;
    if (weights->is_cast) {
        tile_read_a(t, weights_buffer(w, weights), weights->c->dtype);
        t->a_index = times(w, row, weights->out);
    } else {
        tile_read_a(t, operand_buffer(w, &weights->w, "w"), weights->w.as);
        t->a_index = weights_place(w, weights, group, first, row);
    }
}
