/* codegen/contract_wgrad_pixels.c: gradients by the weights where there are channels enough for OUTER tiles:
 * dW[tap][c][o] += x[image][c][pixel at the tap] * dyT[image][pixel][o] with images and pixels as k. x is
 * read in place, one broadcast for each channel; only dy is transposed, into panels of output channels. Each
 * tap runs over the pixels that it sees, so that padding is neither stored nor multiplied. */
#include "codegen/contract_window.h"

struct pixels {
    struct contraction *c;
    struct operand x, dy;
    struct window win;
    int rows, vectors;     /* the register tile: input channels, output channels */
    int64_t panel, panels; /* output channels of a panel; panels of a group */
    struct row_split split;
    int band_axis;
    int64_t images, chunks; /* of a chunk; chunks of the batch */
    int64_t bands, band_rows, band_pixels;
    int64_t splits, parts, panels_per_part; /* tasks: parts of the chunks x parts of the panels */
    int64_t taps, partial_elements;         /* of one split: [group][tap][c][panel][o] */
    int64_t turned, partials;               /* offsets: dyT in WORKER, partial results in SHARED memory */
};

enum {
    STEPS = 384, /* pixels of a chunk: a panel of dyT of that depth fills most of L1 */
    PARTIAL_BYTES = 4 * 1024 * 1024
};

/* ---- sizes ---- */

static int64_t greatest_divisor(int64_t count, int64_t most) {
    for (int64_t d = at_most(count, most); d > 1; d--)
        if (count % d == 0)
            return d;
    return 1;
}

static void choose_chunks(struct pixels *p) {
    const struct window *n = &p->win;
    p->band_axis = n->axis[0].out > 1 ? 0 : 1;
    int64_t rows = n->axis[p->band_axis].out, row_pixels = n->out_pixels / rows;
    p->band_rows = greatest_divisor(rows, at_least(1, (STEPS + row_pixels) / row_pixels));
    p->bands = rows / p->band_rows;
    p->band_pixels = p->band_rows * row_pixels;
    p->images = at_most(n->batch, at_least(1, (STEPS + n->out_pixels / 2) / n->out_pixels));
    p->chunks = ceil_div(n->batch, p->images);
}

static void choose_sizes(struct pixels *p) {
    const struct window *n = &p->win;
    int lanes = p->c->lanes;
    p->taps = n->axis[0].window * n->axis[1].window * n->axis[2].window;
    struct tile_work work = {n->in, n->out, lanes, STEPS, false};
    choose_tile(p->c->l->target, &work, &p->rows, &p->vectors);
    p->panel = p->vectors * lanes;
    p->panels = ceil_div(n->out, p->panel);
    p->split = row_split(n->in, p->rows);
    choose_chunks(p);
    p->partial_elements = n->groups * p->taps * n->in * p->panels * p->panel;
    int64_t wanted = task_target((double)p->partial_elements * (double)n->batch * (double)n->out_pixels);
    p->panels_per_part = ceil_div(p->panels, at_most(p->panels, wanted));
    p->parts = ceil_div(p->panels, p->panels_per_part);
    int64_t most = at_least(1, PARTIAL_BYTES / (p->partial_elements * dtype_bytes(p->c->dtype)));
    int64_t splits = at_most(at_most(ceil_div(wanted, p->parts), p->chunks), most);
    p->splits = ceil_div(p->chunks, ceil_div(p->chunks, splits)); /* none is empty */
}

/* ---- dy turned ---- */

struct place {
    const struct loop_expr *split, *group, *chunk, *band, *images;
    const struct loop_expr *panel_low, *panel_high, *panel;
    const struct loop_expr *is_later; /* not the split's first chunk and band: accumulate */
    const struct loop_expr *tap[3];
};

static struct buffer *turned_buffer(struct pixels *p, struct writer *w) {
    int64_t elements = p->panels_per_part * p->images * p->band_pixels * p->panel;
    return writer_memory(w, SPACE_WORKER, p->turned, p->c->dtype, elements, "turned");
}

static void turn_square(struct pixels *p, struct writer *w, const struct loop_expr *from,
                        const struct loop_expr *to, int rows, int columns) {
    struct tile *t = writer_tile(w, TILE_TRANSPOSE, rows, columns);
    tile_read_a(t, operand_buffer(w, &p->dy, "dy"), p->dy.as);
    t->a_index = from;
    t->a_m = p->dy.stride[1];
    t->c = turned_buffer(p, w);
    t->c_index[0] = to;
    t->c_m = p->panel;
    t->c_full = true;
}

/* All pixels of the band, of `rows` output channels. */
static void turn_channels(struct pixels *p, struct writer *w, const struct loop_expr *from,
                          const struct loop_expr *to, int rows) {
    int64_t lanes = p->c->lanes, whole = p->band_pixels / lanes, rest = p->band_pixels % lanes;
    if (whole) {
        const struct loop_expr *i = writer_count(w, "pixels", whole);
        turn_square(p, w, plus(w, from, times(w, i, lanes)), plus(w, to, times(w, i, lanes * p->panel)), rows,
                    (int)lanes);
        writer_end(w);
    }
    if (rest)
        turn_square(p, w, plus_n(w, from, whole * lanes), plus_n(w, to, whole * lanes * p->panel), rows,
                    (int)rest);
}

/* A panel, a vector of its channels after the other; the last ones may be missing: `rows` of them exist. */
static void turn_panel(struct pixels *p, struct writer *w, const struct place *at,
                       const struct loop_expr *image, int64_t rows) {
    int64_t lanes = p->c->lanes;
    const struct loop_expr *number = plus(w, times(w, at->chunk, p->images), image);
    const struct loop_expr *channel = plus(w, times(w, at->group, p->win.out), times(w, at->panel, p->panel));
    const struct loop_expr *from =
        plus(w, times(w, number, p->dy.stride[0]), times(w, channel, p->dy.stride[1]));
    from = plus_n(w, plus(w, from, times(w, at->band, p->band_pixels)), p->dy.base);
    const struct loop_expr *panel = plus(w, at->panel, times(w, at->panel_low, -1));
    const struct loop_expr *to =
        times(w, plus(w, times(w, panel, p->images), image), p->band_pixels * p->panel);
    for (int64_t v = 0; v < p->vectors; v++) {
        int64_t first = v * lanes, here = at_least(0, at_most(lanes, rows - first));
        turn_channels(p, w, plus_n(w, from, here ? first * p->dy.stride[1] : 0), plus_n(w, to, first),
                      (int)here);
    }
}

static void turn_part(struct pixels *p, struct writer *w, struct place *at) {
    int64_t whole = p->win.out / p->panel, edge = p->win.out % p->panel;
    const struct loop_expr *image = writer_for(w, "image", index_of(w, 0), at->images, LOOP_SERIAL);
    if (whole) {
        at->panel =
            writer_for(w, "panel", at->panel_low, least(w, at->panel_high, index_of(w, whole)), LOOP_SERIAL);
        turn_panel(p, w, at, image, p->panel);
        writer_end(w);
    }
    if (edge) {
        at->panel = index_of(w, whole);
        writer_if(w, is_below(w, at->panel, at->panel_high));
        turn_panel(p, w, at, image, edge);
        writer_end(w);
    }
    writer_end(w);
}

/* ---- products ---- */

static struct buffer *partial_buffer(struct pixels *p, struct writer *w) {
    return writer_memory(w, SPACE_SHARED, p->partials, p->c->dtype, p->splits * p->partial_elements,
                         "partial");
}

/* Output positions of an axis that a tap sees the image at: first and count. */
struct positions {
    const struct loop_expr *first, *count;
};

static struct positions positions_of(struct pixels *p, struct writer *w, const struct place *at, int axis) {
    const struct window_axis *a = &p->win.axis[axis];
    /* 0 <= position * stride + shift < image */
    const struct loop_expr *shift = plus_n(w, times(w, at->tap[axis], a->dilation), -a->pad_lo);
    const struct loop_expr *first = lexpr_div(w->f, plus_n(w, times(w, shift, -1), a->stride - 1), a->stride);
    const struct loop_expr *end =
        plus_n(w, lexpr_div(w->f, plus_n(w, times(w, shift, -1), a->image - 1), a->stride), 1);
    const struct loop_expr *low = index_of(w, 0), *high = index_of(w, a->out);
    if (axis == p->band_axis && p->bands > 1) {
        low = times(w, at->band, p->band_rows);
        high = plus_n(w, low, p->band_rows);
    }
    first = writer_let(w, "first", most(w, first, low));
    end = least(w, end, high);
    return (struct positions){
        first, writer_let(w, "count", most(w, plus(w, end, times(w, first, -1)), index_of(w, 0)))};
}

struct tap_place {
    const struct loop_expr *a, *b; /* of the first pixel, in x and in the panel */
    struct positions positions[3];
};

static struct tap_place place_tap(struct pixels *p, struct writer *w, const struct place *at) {
    struct tap_place t = {.a = index_of(w, p->x.base), .b = index_of(w, 0)};
    int64_t row = p->panel;
    for (int i = 2; i >= 0; i--) {
        const struct window_axis *a = &p->win.axis[i];
        t.positions[i] = positions_of(p, w, at, i);
        const struct loop_expr *first = t.positions[i].first, *inner = first;
        const struct loop_expr *image =
            plus(w, times(w, first, a->stride), times(w, at->tap[i], a->dilation));
        t.a = plus(w, t.a, times(w, plus_n(w, image, -a->pad_lo), a->x));
        if (i == p->band_axis && p->bands > 1)
            inner = plus(w, first, times(w, at->band, -p->band_rows));
        t.b = plus(w, t.b, times(w, inner, row));
        row *= i == p->band_axis ? p->band_rows : a->out;
    }
    const struct loop_expr *panel = plus(w, at->panel, times(w, at->panel_low, -1));
    t.b = writer_let(w, "dy", plus(w, t.b, times(w, panel, p->images * p->band_pixels * p->panel)));
    t.a = plus(w, t.a, times(w, times(w, at->chunk, p->images), p->win.x_batch));
    t.a = writer_let(w, "x", plus(w, t.a, times(w, times(w, at->group, p->win.in), p->win.x_channel)));
    return t;
}

static const struct loop_expr *partial_place(struct pixels *p, struct writer *w, const struct place *at,
                                             const struct loop_expr *channel) {
    const struct loop_expr *i = plus(w, times(w, at->split, p->win.groups), at->group);
    for (int axis = 0; axis < 3; axis++)
        i = plus(w, times(w, i, p->win.axis[axis].window), at->tap[axis]);
    i = plus(w, times(w, i, p->win.in), channel);
    return times(w, plus(w, times(w, i, p->panels), at->panel), p->panel);
}

static void write_tile(struct pixels *p, struct writer *w, const struct place *at,
                       const struct tap_place *tap, const struct loop_expr *row, int rows) {
    struct tile *t = writer_tile(w, TILE_OUTER, rows, (int)p->panel);
    tile_read_a(t, operand_buffer(w, &p->x, "x"), p->x.as);
    t->a_index = plus(w, tap->a, times(w, row, p->win.x_channel));
    t->a_m = p->win.x_channel;
    tile_read_b(t, turned_buffer(p, w), p->c->dtype);
    t->b_index[0] = tap->b;
    t->c = partial_buffer(p, w);
    t->c_index[0] = partial_place(p, w, at, row);
    t->c_m = p->panels * p->panel;
    t->c_n = 1;
    t->accumulate = at->is_later;
    t->levels[t->level_count++] =
        (struct tile_level){.count = at->images, .a = p->win.x_batch, .b = p->band_pixels * p->panel};
    int64_t row_elements = p->band_pixels * p->panel;
    for (int i = 0; i < 3; i++) {
        const struct window_axis *a = &p->win.axis[i];
        const struct loop_expr *count = tap->positions[i].count;
        row_elements /= i == p->band_axis ? p->band_rows : a->out;
        if (count->min != 1 || count->max != 1 || i == 2) /* padding may leave none even of one */
            t->levels[t->level_count++] =
                (struct tile_level){.count = count, .a = a->stride * a->x, .b = row_elements};
    }
}

static void write_tap(struct pixels *p, struct writer *w, const struct place *at) {
    const struct row_split *s = &p->split;
    struct tap_place tap = place_tap(p, w, at);
    if (s->big) {
        const struct loop_expr *i = writer_count(w, "tile", s->big);
        write_tile(p, w, at, &tap, times(w, i, s->height + 1), (int)s->height + 1);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        const struct loop_expr *i =
            writer_for(w, "tile", index_of(w, s->big), index_of(w, s->tiles), LOOP_SERIAL);
        write_tile(p, w, at, &tap, plus_n(w, times(w, i, s->height), s->big), (int)s->height);
        writer_end(w);
    }
}

static void write_part(struct pixels *p, struct writer *w, struct place *at) {
    at->panel = writer_for(w, "panel", at->panel_low, at->panel_high, LOOP_SERIAL);
    for (int i = 0; i < 3; i++)
        at->tap[i] = writer_count(w, "tap", p->win.axis[i].window);
    write_tap(p, w, at);
    for (int i = 0; i < 4; i++)
        writer_end(w);
}

/* ---- phases ---- */

static void write_phase(struct pixels *p) {
    struct writer writer, *w = &writer;
    int64_t tasks = p->splits * p->parts, each = ceil_div(p->chunks, p->splits);
    writer_begin(w, p->c->l, p->c->out, p->c->kernel);
    const struct loop_expr *task = writer_task(w, tasks);
    struct place at = {.split = lexpr_div(w->f, task, p->parts)};
    at.panel_low = times(w, lexpr_mod(w->f, task, p->parts), p->panels_per_part);
    at.panel_high = least(w, plus_n(w, at.panel_low, p->panels_per_part), index_of(w, p->panels));
    const struct loop_expr *low = times(w, at.split, each);
    const struct loop_expr *high = least(w, plus_n(w, low, each), index_of(w, p->chunks));
    at.chunk = each == 1 ? low : writer_for(w, "chunk", low, high, LOOP_SERIAL);
    const struct loop_expr *rest = plus(w, index_of(w, p->win.batch), times(w, at.chunk, -p->images));
    at.images = writer_let(w, "images", least(w, index_of(w, p->images), rest));
    at.band = writer_count(w, "band", p->bands);
    at.is_later = is_positive(w, plus(w, plus(w, at.chunk, times(w, low, -1)), at.band));
    at.group = writer_count(w, "group", p->win.groups);
    turn_part(p, w, &at);
    write_part(p, w, &at);
    writer_end(w);
    writer_end(w);
    if (each != 1)
        writer_end(w);
    writer_finish(w, tasks);
}

/* dW[o, c, tap]: the partial results in order, transposed, and what follows. A task is an input channel. */
static void write_sum(struct pixels *p) {
    struct writer writer, *w = &writer;
    const struct window *n = &p->win;
    int64_t tasks = n->groups * n->in;
    writer_begin(w, p->c->l, p->c->out, p->c->kernel);
    const struct loop_expr *task = writer_task(w, tasks);
    const struct loop_expr *group = lexpr_div(w->f, task, n->in), *channel = lexpr_mod(w->f, task, n->in);
    const struct loop_expr *tap = writer_count(w, "tap", p->taps);
    const struct loop_expr *from = plus(w, times(w, plus(w, times(w, group, p->taps), tap), n->in), channel);
    const struct loop_expr *o = writer_for(w, "o", index_of(w, 0), index_of(w, n->out), LOOP_VECTOR);
    from = plus(w, times(w, from, p->panels * p->panel), o);
    const struct loop_expr *sum = NULL;
    for (int64_t s = 0; s < p->splits; s++) {
        const struct loop_expr *part =
            lexpr_load(w->f, partial_buffer(p, w), plus_n(w, from, s * p->partial_elements));
        sum = sum ? lexpr_binary(w->f, OP_add, p->c->dtype, sum, part) : part;
    }
    const struct loop_expr *out = plus(w, times(w, group, n->out), o);
    const struct loop_expr *linear = plus(w, times(w, plus(w, times(w, out, n->in), channel), p->taps), tap);
    finish_element(w, &p->c->finish, linear, writer_let(w, "sum", sum));
    writer_end(w);
    writer_end(w);
    writer_finish(w, tasks);
}

static void explain(const struct pixels *p) {
    const struct window *n = &p->win;
    if (!p->c->l->why)
        return;
    strbuf_printf(p->c->l->why,
                  "conv_wgrad %lld images, %lld groups of %lld -> %lld channels, %lld pixels: pixels as k, "
                  "tile %dx%d, chunks "
                  "of %lld images x %lld pixels, %lld parts of the images, %lld of the channels\n",
                  (long long)n->batch, (long long)n->groups, (long long)n->in, (long long)n->out,
                  (long long)n->out_pixels, p->rows, p->vectors, (long long)p->images,
                  (long long)p->band_pixels, (long long)p->splits, (long long)p->parts);
}

static bool pixels_are_a_run(const struct operand *dy) {
    int64_t run = 1;
    for (int i = dy->rank - 1; i >= 2; i--) {
        if (dy->size[i] != 1 && dy->stride[i] != run)
            return false;
        run *= dy->size[i];
    }
    return true;
}

enum { LEAST_IN = 4 };

bool wgrad_pixels_suit(const struct contraction *c, const struct operand *dy, const struct window *win) {
    bool spread = false;
    for (int i = 0; i < 3; i++)
        spread |= win->axis[i].spread != 1;
    return !spread && win->in >= LEAST_IN && win->out >= c->lanes && pixels_are_a_run(dy);
}

void contract_wgrad_pixels(struct contraction *c, const struct operand *x, const struct operand *dy,
                           const struct window *win) {
    struct pixels p = {.c = c, .x = *x, .dy = *dy, .win = *win};
    choose_sizes(&p);
    int64_t element = dtype_bytes(c->dtype);
    p.turned = kernel_worker(c->out, p.panels_per_part * p.images * p.band_pixels * p.panel * element);
    p.partials = kernel_shared(c->out, p.splits * p.partial_elements * element);
    explain(&p);
    write_phase(&p);
    write_sum(&p);
}
