/* codegen/contract_conv.c: convolutions with images as lanes: a task copies a band of rows of as many images
 * as a vector has lanes, transposed to [channel][y][x][image]; every element of a window is then a whole
 * vector at a constant distance, whatever stride, dilation and padding are, and nothing is packed. The
 * finished pixels are transposed back. */
#include "codegen/contract_product.h"
#include "codegen/contract_window.h"

#include <assert.h>

struct conv {
    struct contraction *c;
    struct operand x, w;
    struct window win;
    struct canvas canvas;
    struct weights weights;
    int rows, vectors; /* the register tile: output channels, pixels */
    struct row_split split;
    int band_axis;
    int64_t chunks, bands, band_rows, band_pixels;
    int64_t block, blocks; /* pixels of a block, padded to whole tiles; blocks of a band */
    int64_t channel_block, channel_blocks;
    int64_t finished; /* offset of finished pixels of a block: [output channel of a group][pixel][image] in
                         WORKER memory */
    int64_t finished_pixels; /* of a row of them */
};

/* ---- sizes ---- */

static bool has_classes(const struct window *win) {
    for (int i = 0; i < 3; i++)
        if (win->axis[i].lhs_dilation > 1)
            return true;
    return false;
}

static int64_t taps_of(const struct window *win) {
    return win->axis[0].window * win->axis[1].window * win->axis[2].window;
}

enum {
    BAND_TASKS = 16, /* enough for the cores of most machines: each band copies its window's margin again */
    CANVAS_BYTES = 1024 * 1024 /* of a band; images pass through it once */
};

/* Bands have equal numbers of rows, and whole residue classes of them. Few pixels would not fill whole tiles.
 */
static void choose_bands(struct conv *v, int64_t wanted) {
    enum { FEW = 24 };
    const struct window_axis *a = &v->win.axis[v->band_axis];
    int64_t unit = a->lhs_dilation;
    v->bands = 1;
    for (int64_t bands = 2; bands <= at_most(wanted, a->out / unit); bands++)
        if (a->out % (bands * unit) == 0 && v->win.out_pixels / bands >= FEW)
            v->bands = bands;
    v->band_rows = a->out / v->bands;
    v->band_pixels = v->win.out_pixels / v->bands;
}

enum { FINISHED_BYTES = 64 * 1024 }; /* finished pixels wait in L2 */

static void choose_sizes(struct conv *v) {
    const struct target *t = v->c->l->target;
    int64_t lanes = v->c->lanes, element = dtype_bytes(v->c->dtype), taps = taps_of(&v->win);
    double work = (double)v->win.batch * (double)v->win.groups * (double)v->win.out * (double)v->win.in *
                  (double)taps * (double)v->win.out_pixels;
    v->band_axis = v->win.axis[0].out > 1 ? 0 : 1;
    v->chunks = ceil_div(v->win.batch, lanes);
    int64_t canvas = v->win.groups * v->win.in * v->win.axis[0].image * v->win.axis[1].image *
                     v->win.axis[2].image * lanes * element;
    int64_t wanted =
        at_least(ceil_div(at_most(task_target(work), BAND_TASKS), v->chunks), ceil_div(canvas, CANVAS_BYTES));
    if (has_classes(&v->win)) /* a block is a whole band there: make it small */
        wanted = at_least(wanted, v->win.out_pixels * v->win.out * lanes * element / (2 * FINISHED_BYTES));
    choose_bands(v, wanted);
    struct tile_work shape = {v->win.out, v->band_pixels * lanes, (int)lanes, (double)(v->win.in * taps),
                              work < SMALL_PRODUCT};
    choose_tile(t, &shape, &v->rows, &v->vectors);
    finish_choose(&v->c->finish, shape.depth);
    v->split = row_split(v->win.out, v->rows);
    int64_t most = FINISHED_BYTES / (v->win.out * lanes * element) / lanes * lanes;
    v->block = has_classes(&v->win) ? v->band_pixels : at_most(at_least(most, 2 * lanes), v->band_pixels);
    v->blocks = ceil_div(v->band_pixels, v->block);
    v->finished_pixels = ceil_div(v->block, v->vectors) * v->vectors;
    /* A block of channels: what a tile reads of the canvas fills half of L1. */
    int64_t channel_bytes = v->vectors * lanes * element * taps;
    v->channel_blocks = ceil_div(at_least(v->win.in, 1), at_least(1, t->l1_bytes * 5 / 8 / channel_bytes));
    v->channel_block = ceil_div(at_least(v->win.in, 1), v->channel_blocks);
    v->channel_blocks = ceil_div(at_least(v->win.in, 1), v->channel_block);
}

/* ---- the product ---- */

struct place {
    const struct loop_expr *chunk, *band, *group, *block, *channel_block;
    const struct loop_expr *pixels; /* of the block */
};

static struct buffer *finished_buffer(struct conv *v, struct writer *w) {
    return writer_memory(w, SPACE_WORKER, v->finished, v->c->dtype,
                         v->win.out * v->finished_pixels * v->c->lanes, "finished");
}

/* One combination of residue classes, one for each axis. */
struct class_set {
    const struct window_class *axis[3];
};

/* The pixels of one tile: for each vector its place in the canvas and among the finished pixels. Of a trimmed
 * axis only the taps from `first` on, `count` of them, see the image at one of the pixels. */
struct pixels {
    const struct loop_expr *canvas[TILE_VECTORS], *slot[TILE_VECTORS];
    const struct loop_expr *first[3], *count[3]; /* NULL: all taps */
};

static bool is_trimmed(const struct conv *v, const struct class_set *set, int axis) {
    const struct window_axis *a = &v->win.axis[axis];
    const struct window_class *c = set->axis[axis];
    int64_t last = (c->count - 1) * a->stride + c->image + (c->taps - 1) * c->image_step;
    int64_t bands = axis == v->band_axis ? (v->bands - 1) * v->canvas.band_shift : 0;
    bool is_padded = c->image < 0 || last + bands >= a->image;
    /* Neighbours along x are in one tile and see different taps: worth a loop where many are lost. */
    bool is_worth = axis < 2 || (c->taps >= 4 && 2 * (c->taps - 1) >= c->count / 2);
    return a->spread == 1 && c->taps > 1 && is_padded && is_worth;
}

static void add_level(struct tile *t, const struct loop_expr *count, int64_t a, int64_t b) {
    t->levels[t->level_count++] = (struct tile_level){count, a, b};
}

/* k: the taps of trimmed axes, channels, the other taps. */
static void tile_levels(struct conv *v, struct writer *w, const struct place *at, const struct class_set *set,
                        const struct pixels *p, struct tile *t) {
    const struct loop_expr *rest =
        plus(w, index_of(w, v->win.in), times(w, at->channel_block, -v->channel_block));
    for (int is_inner = 0; is_inner < 2; is_inner++) {
        if (is_inner)
            add_level(t, least(w, rest, index_of(w, v->channel_block)), v->weights.in, v->canvas.channel);
        for (int i = 0; i < 3; i++) {
            const struct window_class *c = set->axis[i];
            bool is_here = is_inner == (p->count[i] == NULL);
            if (is_here && c->taps != 1)
                add_level(t, p->count[i] ? p->count[i] : index_of(w, c->taps),
                          c->tap_step * v->weights.tap[i], c->image_step * v->canvas.stride[i]);
        }
    }
}

/* Position q of a class set (row major) as coordinates along the axes. */
static void class_position(struct writer *w, const struct class_set *set, const struct loop_expr *q,
                           const struct loop_expr **out) {
    for (int i = 2; i >= 0; i--) {
        out[i] = i ? lexpr_mod(w->f, q, set->axis[i]->count) : q;
        q = lexpr_div(w->f, q, set->axis[i]->count);
    }
}

static void write_tile(struct conv *v, struct writer *w, const struct place *at, const struct class_set *set,
                       const struct pixels *p, const struct loop_expr *row, int rows) {
    int lanes = v->c->lanes;
    struct tile *t = writer_tile(w, TILE_OUTER, rows, v->vectors * lanes);
    tile_read_b(t, canvas_buffer(w, v->c, &v->canvas, "canvas"), v->c->dtype);
    t->c = finished_buffer(v, w);
    const struct loop_expr *first_channel = times(w, at->channel_block, v->channel_block);
    weights_read(w, &v->weights, t, at->group, first_channel, row);
    for (int i = 0; i < 3; i++) {
        const struct window_class *c = set->axis[i];
        if (c->taps)
            t->a_index = plus_n(w, t->a_index, c->tap * v->weights.tap[i]);
        if (p->first[i])
            t->a_index = plus(w, t->a_index, times(w, p->first[i], c->tap_step * v->weights.tap[i]));
    }
    t->c_m = v->finished_pixels * lanes;
    const struct loop_expr *channel = plus(w, times(w, at->group, v->win.in), first_channel);
    for (int j = 0; j < v->vectors; j++) {
        t->b_index[j] = plus(w, p->canvas[j], times(w, channel, v->canvas.channel));
        t->c_index[j] = plus(w, times(w, p->slot[j], lanes), times(w, row, t->c_m));
    }
    tile_levels(v, w, at, set, p, t);
    if (v->channel_blocks > 1)
        t->accumulate = is_positive(w, at->channel_block);
}

static void write_rows(struct conv *v, struct writer *w, const struct place *at, const struct class_set *set,
                       const struct pixels *p) {
    const struct row_split *s = &v->split;
    if (s->big) {
        const struct loop_expr *i = writer_count(w, "tile", s->big);
        write_tile(v, w, at, set, p, times(w, i, s->height + 1), (int)s->height + 1);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        const struct loop_expr *i =
            writer_for(w, "tile", index_of(w, s->big), index_of(w, s->tiles), LOOP_SERIAL);
        write_tile(v, w, at, set, p, plus_n(w, times(w, i, s->height), s->big), (int)s->height);
        writer_end(w);
    }
}

/* Widens the range of taps by what a pixel with its first tap at image coordinate `at` sees. */
static void see_taps(struct writer *w, const struct window_class *c, int64_t image,
                     const struct loop_expr *at, const struct loop_expr **first,
                     const struct loop_expr **end) {
    const struct loop_expr *zero = index_of(w, 0), *all = index_of(w, c->taps);
    const struct loop_expr *minus = times(w, at, -1);
    const struct loop_expr *low = lexpr_div(w->f, plus_n(w, minus, c->image_step - 1), c->image_step);
    const struct loop_expr *high = plus_n(w, lexpr_div(w->f, plus_n(w, minus, image - 1), c->image_step), 1);
    low = least(w, most(w, low, zero), all);
    high = least(w, most(w, high, zero), all);
    *first = *first ? least(w, *first, low) : low;
    *end = *end ? most(w, *end, high) : high;
}

/* Where vector j of a step is. What is behind the last pixel is the last once more. */
static void place_vector(struct conv *v, struct writer *w, const struct place *at,
                         const struct class_set *set, const struct loop_expr *local, int j, struct pixels *p,
                         const struct loop_expr **end) {
    int64_t count = set->axis[0]->count * set->axis[1]->count * set->axis[2]->count;
    const struct loop_expr *q = plus(w, times(w, at->block, v->block), local);
    const struct loop_expr *position[3], *canvas = index_of(w, 0), *slot = canvas;
    class_position(w, set, least(w, q, index_of(w, count - 1)), position);
    for (int i = 0; i < 3; i++) {
        const struct window_axis *a = &v->win.axis[i];
        const struct window_class *c = set->axis[i];
        int64_t row = i == v->band_axis ? v->band_rows : a->out;
        slot = plus_n(w, plus(w, times(w, slot, row), times(w, position[i], a->lhs_dilation)), c->first);
        if (!c->taps)
            continue;
        const struct loop_expr *image = plus_n(w, times(w, position[i], a->stride), c->image);
        canvas = plus(w, canvas, times(w, plus_n(w, image, -v->canvas.origin[i]), v->canvas.stride[i]));
        if (i == v->band_axis)
            image = plus(w, image, times(w, at->band, v->canvas.band_shift));
        if (is_trimmed(v, set, i))
            see_taps(w, c, a->image, image, &p->first[i], &end[i]);
    }
    p->canvas[j] = canvas;
    p->slot[j] = has_classes(&v->win) ? writer_let(w, "slot", slot) : local;
}

static void trim_taps(struct conv *v, struct writer *w, const struct class_set *set, struct pixels *p,
                      const struct loop_expr *const *end) {
    const struct loop_expr *skipped = index_of(w, 0);
    for (int i = 0; i < 3; i++) {
        if (!end[i])
            continue;
        p->first[i] = writer_let(w, "first", p->first[i]);
        const struct loop_expr *count = plus(w, end[i], times(w, p->first[i], -1));
        p->count[i] = writer_let(w, "taps", most(w, count, index_of(w, 0)));
        skipped = plus(w, skipped, times(w, p->first[i], set->axis[i]->image_step * v->canvas.stride[i]));
    }
    for (int j = 0; j < v->vectors; j++)
        p->canvas[j] = writer_let(w, "pixel", plus(w, p->canvas[j], skipped));
}

/* The pixels of a class set in the block, a tile's vectors at a time. */
static void write_class(struct conv *v, struct writer *w, const struct place *at,
                        const struct class_set *set) {
    int64_t count = set->axis[0]->count * set->axis[1]->count * set->axis[2]->count;
    if (count == 0)
        return;
    const struct loop_expr *steps = index_of(w, ceil_div(count, v->vectors));
    if (v->blocks > 1)
        steps = lexpr_div(w->f, plus_n(w, at->pixels, v->vectors - 1), v->vectors);
    const struct loop_expr *step = writer_for(w, "step", index_of(w, 0), steps, LOOP_SERIAL);
    struct pixels p = {0};
    const struct loop_expr *end[3] = {0};
    for (int j = 0; j < v->vectors; j++)
        place_vector(v, w, at, set, plus_n(w, times(w, step, v->vectors), j), j, &p, end);
    trim_taps(v, w, set, &p, end);
    write_rows(v, w, at, set, &p);
    writer_end(w);
}

/* A class of a band has the positions of the band alone. */
static struct window_class class_in_band(const struct conv *v, int axis, int k) {
    struct window_class c = v->win.axis[axis].classes[k];
    if (axis == v->band_axis)
        c.count = ceil_div(v->band_rows - c.first, v->win.axis[axis].lhs_dilation);
    return c;
}

static void write_classes(struct conv *v, struct writer *w, const struct place *at) {
    const struct window_axis *a = v->win.axis;
    for (int z = 0; z < a[0].class_count; z++)
        for (int y = 0; y < a[1].class_count; y++)
            for (int x = 0; x < a[2].class_count; x++) {
                struct window_class c[] = {class_in_band(v, 0, z), class_in_band(v, 1, y),
                                           class_in_band(v, 2, x)};
                write_class(v, w, at, &(struct class_set){{&c[0], &c[1], &c[2]}});
            }
}

/* ---- finished pixels ---- */

/* A square of pixels x images of one output channel, to its place in the result. */
static void finish_square(struct conv *v, struct writer *w, const struct place *at,
                          const struct loop_expr *channel, const struct loop_expr *pixel, int pixels,
                          int images) {
    int lanes = v->c->lanes;
    struct finish *finish = &v->c->finish;
    struct tile *t = writer_tile(w, TILE_TRANSPOSE, pixels, images);
    tile_read_a(t, finished_buffer(v, w), v->c->dtype);
    t->a_index = times(w, plus(w, times(w, channel, v->finished_pixels), pixel), lanes);
    t->a_m = lanes;
    const struct loop_expr *global =
        plus(w, times(w, at->band, v->band_pixels), plus(w, times(w, at->block, v->block), pixel));
    const struct loop_expr *out = plus(w, times(w, at->group, v->win.out), channel);
    const struct loop_expr *place =
        plus(w, times(w, times(w, at->chunk, lanes), v->win.y_batch), times(w, out, v->win.y_channel));
    t->c = finish->kind == FINISH_TILE ? writer_argument(w, finish->first_result) : finish_raw(w, finish);
    t->c_index[0] = plus(w, place, global);
    t->c_m = v->win.y_batch;
    if (finish->kind == FINISH_TILE)
        finish_tile(w, finish, t, (struct run){place, global, v->win.out_pixels}, t->c_m);
}

static void finish_loop(struct conv *v, struct writer *w, const struct place *at,
                        const struct loop_expr *channel, int images) {
    const struct loop_expr *image = writer_count(w, "image", images);
    const struct loop_expr *global =
        plus(w, times(w, at->band, v->band_pixels), times(w, at->block, v->block));
    const struct loop_expr *out = plus(w, times(w, at->group, v->win.out), channel);
    const struct loop_expr *number = plus(w, times(w, at->chunk, v->c->lanes), image);
    const struct loop_expr *first =
        plus(w, times(w, number, v->win.y_batch), times(w, out, v->win.y_channel));
    finish_run(w, &v->c->finish, (struct run){first, global, v->win.out_pixels}, at->pixels);
    writer_end(w);
}

static void finish_images(struct conv *v, struct writer *w, const struct place *at, int images) {
    int lanes = v->c->lanes;
    const struct loop_expr *channel = writer_count(w, "channel", v->win.out);
    const struct loop_expr *whole = lexpr_div(w->f, at->pixels, lanes);
    const struct loop_expr *i = writer_for(w, "square", index_of(w, 0), whole, LOOP_SERIAL);
    finish_square(v, w, at, channel, times(w, i, lanes), lanes, images);
    writer_end(w);
    int rest = (int)(v->band_pixels % v->block %
                     lanes); /* only the last block has one: block % lanes is 0 or it is alone */
    if (v->blocks == 1)
        rest = (int)(v->block % lanes);
    if (rest) {
        writer_if(w, is_below(w, times(w, whole, lanes), at->pixels));
        finish_square(v, w, at, channel, times(w, whole, lanes), rest, images);
        writer_end(w);
    }
    if (v->c->finish.kind == FINISH_LOOP)
        finish_loop(v, w, at, channel, images);
    writer_end(w);
}

static void finish_block(struct conv *v, struct writer *w, const struct place *at) {
    int64_t whole = v->win.batch / v->c->lanes, rest = v->win.batch % v->c->lanes;
    if (!rest || !whole) {
        finish_images(v, w, at, rest ? (int)rest : v->c->lanes);
        return;
    }
    writer_if(w, is_below(w, at->chunk, index_of(w, whole)));
    finish_images(v, w, at, v->c->lanes);
    writer_else(w);
    finish_images(v, w, at, (int)rest);
    writer_end(w);
}

/* ---- the phase ---- */

static void write_phase(struct conv *v) {
    struct writer writer, *w = &writer;
    writer_begin(w, v->c->l, v->c->out, v->c->kernel);
    const struct loop_expr *task = writer_task(w, v->chunks * v->bands);
    struct place at = {.chunk = lexpr_div(w->f, task, v->bands), .band = lexpr_mod(w->f, task, v->bands)};
    canvas_fill(w, v->c, &v->win, &v->canvas, &v->x, index_of(w, 0), at.chunk, at.band);
    at.group = writer_count(w, "group", v->win.groups);
    at.block = writer_count(w, "block", v->blocks);
    const struct loop_expr *rest = plus(w, index_of(w, v->band_pixels), times(w, at.block, -v->block));
    at.pixels = writer_let(w, "pixels", least(w, index_of(w, v->block), rest));
    at.channel_block = writer_count(w, "channels", v->channel_blocks);
    const struct loop_expr *first = times(w, at.channel_block, v->channel_block);
    const struct loop_expr *channels = plus(w, index_of(w, v->win.in), times(w, first, -1));
    weights_cast(w, &v->weights, at.group, first, least(w, channels, index_of(w, v->channel_block)));
    write_classes(v, w, &at);
    writer_end(w);
    finish_block(v, w, &at);
    writer_end(w);
    writer_end(w);
    writer_finish(w, v->chunks * v->bands);
}

static void explain(const struct conv *v) {
    const struct window *n = &v->win;
    if (!v->c->l->why)
        return;
    strbuf_printf(v->c->l->why,
                  "conv %lld images, %lld groups of %lld -> %lld channels, %lld taps, %lld pixels: images as "
                  "lanes, tile %dx%d, "
                  "%lld bands, blocks of %lld pixels and %lld channels\n",
                  (long long)n->batch, (long long)n->groups, (long long)n->in, (long long)n->out,
                  (long long)taps_of(n), (long long)n->out_pixels, v->rows, v->vectors, (long long)v->bands,
                  (long long)v->block, (long long)v->channel_block);
}

/* One tap, no padding: a product of matrices for each image, pixels as n. For few pixels and many images,
 * images as lanes fill the vectors better. */
static bool is_product(const struct conv *v) {
    const struct window *n = &v->win;
    for (int i = 0; i < 3; i++) {
        const struct window_axis *a = &n->axis[i];
        const struct window_class *c = &a->classes[0];
        if (a->window != 1 || a->lhs_dilation != 1 || a->spread != 1 || c->image < 0 ||
            (c->count - 1) * a->stride + c->image >= a->image)
            return false;
    }
    return n->out_pixels >= 8 * v->c->lanes || n->batch < v->c->lanes;
}

static bool conv_as_product(struct conv *v) {
    const struct window *n = &v->win;
    struct operand x = v->x;
    struct axes m = {0}, pixels = {0}, k = {0}, grid = {0};
    axes_add(&grid, n->batch, 0, n->x_batch, n->y_batch);
    axes_add(&grid, n->groups, n->out * n->w_out, n->in * n->x_channel, n->out * n->y_channel);
    axes_add(&m, n->out, n->w_out, 0, n->y_channel);
    for (int i = 0; i < 3; i++) {
        x.base += n->axis[i].classes[0].image * n->axis[i].x;
        axes_add(&pixels, n->axis[i].out, 0, n->axis[i].stride * n->axis[i].x, n->axis[i].y);
    }
    axes_add(&k, n->in, n->w_in, n->x_channel, 0);
    return contract_product(v->c, &v->w, &x, &m, &pixels, &k, &grid);
}

/* ---- few pixels of few images ---- */

/* Where bands of rows would each read all weights again; or windows share no pixel, so that a copy of them is
 * no larger than the image. */
static bool patches_suit(const struct conv *v) {
    enum { FEW = 64, DEEP = 128 };
    const struct window *n = &v->win;
    bool share = false;
    for (int i = 0; i < 3; i++) {
        const struct window_axis *a = &n->axis[i];
        if (a->lhs_dilation != 1 || a->spread != 1)
            return false;
        share |= a->stride < a->window && a->out > 1;
    }
    bool is_few = n->out_pixels <= FEW && n->out >= 4 * n->out_pixels;
    return n->batch < v->c->lanes &&
           (is_few || (!share && n->in * taps_of(n) >= DEEP && n->out >= v->c->lanes));
}

/* The image's element that tap `tap` of the window at `at` sees, along an axis; *inside gathers whether it
 * exists. */
static const struct loop_expr *seen_element(struct writer *w, const struct window_axis *a,
                                            const struct loop_expr *at, const struct loop_expr *tap,
                                            const struct loop_expr **inside) {
    const struct loop_expr *image =
        plus_n(w, plus(w, times(w, at, a->stride), times(w, tap, a->dilation)), -a->pad_lo);
    *inside = lexpr_and(w->f, *inside, lexpr_within(w->f, image, 0, a->image));
    return times(w, image, a->x);
}

/* im2col: every window of the images, zeros where the padding is, as [image][channel][tap][pixel] in SHARED
 * memory. */
static void copy_patches(struct conv *v, struct operand *out) {
    const struct window *n = &v->win;
    int64_t channels = n->groups * n->in, taps = taps_of(n);
    *out = (struct operand){.dtype = v->c->dtype, .as = v->c->dtype, .space = SPACE_SHARED};
    out->elements = n->batch * channels * taps * n->out_pixels;
    out->offset = kernel_shared(v->c->out, out->elements * dtype_bytes(v->c->dtype));
    struct writer writer, *w = &writer;
    writer_begin(w, v->c->l, v->c->out, v->c->kernel);
    const struct loop_expr *task = writer_task(w, n->batch * channels), *tap[3], *at[3], *inside = NULL,
                           *to = task;
    const struct loop_expr *from =
        plus(w, times(w, lexpr_div(w->f, task, channels), n->x_batch),
             plus_n(w, times(w, lexpr_mod(w->f, task, channels), n->x_channel), v->x.base));
    for (int i = 0; i < 3; i++) {
        tap[i] = writer_count(w, "tap", n->axis[i].window);
        to = plus(w, times(w, to, n->axis[i].window), tap[i]);
    }
    for (int i = 0; i < 3; i++) {
        at[i] = writer_for(w, "at", index_of(w, 0), index_of(w, n->axis[i].out),
                           i == 2 ? LOOP_VECTOR : LOOP_SERIAL);
        to = plus(w, times(w, to, n->axis[i].out), at[i]);
        from = plus(w, from, seen_element(w, &n->axis[i], at[i], tap[i], &inside));
    }
    writer_store(w, operand_buffer(w, out, "patches"), to,
                 operand_load_inside(w, &v->x, "x", from, inside, v->c->dtype));
    for (int i = 0; i < 6; i++)
        writer_end(w);
    writer_finish(w, n->batch * channels);
}

static bool conv_as_patches(struct conv *v) {
    const struct window *n = &v->win;
    int64_t tap = n->out_pixels, channel = taps_of(n) * n->out_pixels;
    struct operand patches;
    copy_patches(v, &patches);
    struct axes m = {0}, pixels = {0}, k = {0}, grid = {0};
    axes_add(&grid, n->batch, 0, n->groups * n->in * channel, n->y_batch);
    axes_add(&grid, n->groups, n->out * n->w_out, n->in * channel, n->out * n->y_channel);
    axes_add(&m, n->out, n->w_out, 0, n->y_channel);
    axes_add(&pixels, n->out_pixels, 0, 1, 1);
    axes_add(&k, n->in, n->w_in, channel, 0);
    for (int i = 0; i < 3; i++) {
        int64_t inner = 1;
        for (int j = i + 1; j < 3; j++)
            inner *= n->axis[j].window;
        axes_add(&k, n->axis[i].window, n->axis[i].w, inner * tap, 0);
    }
    return contract_product(v->c, &v->w, &patches, &m, &pixels, &k, &grid);
}

bool contract_conv(struct contraction *c) {
    struct conv v = {.c = c};
    struct operand y = {0};
    if (!operand_map_rows(c->l, c->out, c->kernel, c->core->in[0], &v.x) ||
        !operand_map(c->l, c->out, c->kernel, c->core->in[1], &v.w))
        return false;
    map_dense(&y, c->core->out[0]->type);
    window_init(c, &v.x, &v.w, &y, false, &v.win);
    if (is_product(&v))
        return conv_as_product(&v);
    if (conv_winograd_suits(c, &v.w, &v.win)) {
        contract_winograd(c, &v.x, &v.w, &v.win);
        return true;
    }
    if (conv_taps_suit(c, &v.win))
        return contract_conv_taps(c, &v.x, &v.w, &v.win);
    if (patches_suit(&v))
        return conv_as_patches(&v);
    if (conv_rows_suit(c, &v.win)) {
        contract_conv_rows(c, &v.x, &v.w, &v.win);
        return true;
    }
    choose_sizes(&v);
    canvas_plan(&v.win, c->lanes, v.band_axis, v.band_rows, &v.canvas);
    int64_t element = dtype_bytes(c->dtype);
    v.canvas.offset = kernel_worker(c->out, v.canvas.elements * element);
    v.finished = kernel_worker(c->out, v.win.out * v.finished_pixels * c->lanes * element);
    weights_plan(c, &v.win, &v.w, v.channel_block, &v.weights);
    explain(&v);
    write_phase(&v);
    return true;
}
