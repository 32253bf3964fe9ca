/* codegen/contract_conv_rows.c: convolutions of few images: lanes run along rows of pixels. A task copies the
 * rows of one image that a band of output rows needs; where the stride is s, every row as s runs of every
 * s-th pixel, so that the pixels of neighbouring windows lie together. Taps whose pixels lie in one run are
 * one product; the others add to it. */
#include "codegen/contract_window.h"

struct rows {
    struct contraction *c;
    struct operand x, w;
    struct window win;
    struct weights weights;
    struct canvas canvas; /* of one image: origin, size and strides; along x see `run` */
    int64_t run;          /* elements from one run of a row to the next */
    int rows, vectors;    /* the register tile: output channels, vectors of pixels */
    struct row_split split;
    int band_axis;
    int64_t bands, band_rows;
    int64_t channel_block, channel_blocks;
    /* Unfinished pixels in WORKER memory: [output channel of a group][class][z][y][x], rows of x in whole
     * vectors. */
    int64_t unfinished, sub[3], channel;
};

/* One combination of residue classes of output positions. */
struct class_set {
    struct window_class axis[3];
    int number;
};

/* Taps of x that lie in one run: tap j0 + i * step for i < count, the first at `offset` of run `residue`. */
struct tap_group {
    int64_t first, step, count, residue, offset, advance;
};

enum { UNFINISHED_BYTES = 128 * 1024, BAND_TASKS = 16 };

/* ---- sizes ---- */

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t class_count(const struct rows *r) {
    int64_t count = 1;
    for (int i = 0; i < 3; i++)
        count *= r->win.axis[i].lhs_dilation;
    return count;
}

static void choose_bands(struct rows *r) {
    const struct window *n = &r->win;
    const struct window_axis *a = &n->axis[r->band_axis];
    int64_t element = dtype_bytes(r->c->dtype), unit = a->lhs_dilation;
    double work = (double)n->groups * (double)n->out * (double)n->in * (double)n->out_pixels *
                  (double)(n->axis[0].window * n->axis[1].window * n->axis[2].window);
    int64_t wanted = ceil_div(at_most(task_target(work * (double)n->batch), BAND_TASKS), n->batch);
    wanted = at_least(wanted, n->out * n->out_pixels * element / UNFINISHED_BYTES);
    r->bands = 1;
    for (int64_t bands = 2; bands <= at_most(wanted, a->out / unit); bands++)
        if (a->out % (bands * unit) == 0)
            r->bands = bands;
    r->band_rows = a->out / r->bands;
}

/* Places of a class along an axis in a band, at most. */
static int64_t places(const struct rows *r, int axis) {
    const struct window_axis *a = &r->win.axis[axis];
    return ceil_div(axis == r->band_axis ? r->band_rows : a->out, a->lhs_dilation);
}

static void lay_out(struct rows *r) {
    int64_t lanes = r->c->lanes, stride = r->win.axis[2].stride;
    canvas_plan(&r->win, 1, r->band_axis, r->band_rows, &r->canvas);
    struct canvas *canvas = &r->canvas;
    r->run = ceil_div(canvas->size[2], stride) + lanes; /* the last vector of a row may read behind it */
    canvas->stride[2] = 1;
    canvas->stride[1] = r->run * stride;
    canvas->stride[0] = canvas->stride[1] * canvas->size[1];
    canvas->channel = canvas->stride[0] * canvas->size[0];
    canvas->elements = canvas->channels * canvas->channel + lanes;
    r->sub[2] = ceil_div(places(r, 2), lanes) * lanes;
    r->sub[1] = places(r, 1);
    r->sub[0] = places(r, 0);
    r->channel = class_count(r) * r->sub[0] * r->sub[1] * r->sub[2];
}

static void choose_sizes(struct rows *r) {
    const struct window *n = &r->win;
    int64_t element = dtype_bytes(r->c->dtype), lanes = r->c->lanes, l1 = r->c->l->target->l1_bytes;
    int64_t taps = n->axis[0].window * n->axis[1].window * n->axis[2].window;
    r->band_axis = n->axis[0].out > 1 ? 0 : 1;
    choose_bands(r);
    lay_out(r);
    struct tile_work work = {n->out, r->sub[0] * r->sub[1] * r->sub[2], (int)lanes, (double)(n->in * taps),
                             false};
    choose_tile(r->c->l->target, &work, &r->rows, &r->vectors);
    r->split = row_split(n->out, r->rows);
    /* What a tile reads of a channel: its rows' lines, about twice as long as the vectors. */
    int64_t bytes = 2 * r->vectors * lanes * element * n->axis[0].window * n->axis[1].window;
    r->channel_blocks = ceil_div(at_least(n->in, 1), at_least(1, l1 / 2 / bytes));
    r->channel_block = ceil_div(at_least(n->in, 1), r->channel_blocks);
    r->channel_blocks = ceil_div(at_least(n->in, 1), r->channel_block);
}

/* ---- the copy ---- */

struct place {
    const struct loop_expr *image, *band, *group, *channel_block;
};

/* A row of the canvas as runs; elements that the image does not have are zero. */
static void copy_row(struct rows *r, struct writer *w, const struct loop_expr *from,
                     const struct loop_expr *to) {
    const struct window_axis *x = &r->win.axis[2];
    int64_t extent = x->image ? (x->image - 1) * x->spread + 1 : 0, origin = r->canvas.origin[2];
    for (int64_t residue = 0; residue < x->stride && residue < r->canvas.size[2]; residue++) {
        int64_t count = ceil_div(r->canvas.size[2] - residue, x->stride);
        const struct loop_expr *i = writer_for(w, "x", index_of(w, 0), index_of(w, count), LOOP_VECTOR);
        const struct loop_expr *at = plus_n(w, times(w, i, x->stride), residue + origin);
        const struct loop_expr *inside = lexpr_within(w->f, at, 0, extent);
        if (x->spread > 1)
            inside = lexpr_and(w->f, inside, is_at(w, lexpr_mod(w->f, at, x->spread), 0));
        const struct loop_expr *element = plus(w, from, times(w, lexpr_div(w->f, at, x->spread), x->x));
        writer_store(w, canvas_buffer(w, r->c, &r->canvas, "canvas"),
                     plus_n(w, plus(w, to, i), residue * r->run),
                     operand_load_inside(w, &r->x, "x", element, inside, r->c->dtype));
        writer_end(w);
    }
}

static void clear_row(struct rows *r, struct writer *w, const struct loop_expr *to) {
    const struct loop_expr *i =
        writer_for(w, "x", index_of(w, 0), index_of(w, r->canvas.stride[1]), LOOP_VECTOR);
    writer_store(w, canvas_buffer(w, r->c, &r->canvas, "canvas"), plus(w, to, i),
                 writer_zero(w, r->c->dtype));
    writer_end(w);
}

static void copy_rows(struct rows *r, struct writer *w, const struct place *at) {
    const struct canvas *canvas = &r->canvas;
    const struct loop_expr *channel = writer_count(w, "c", canvas->channels), *inside = NULL;
    const struct loop_expr *from = plus_n(w, times(w, at->image, r->win.x_batch), r->x.base);
    from = plus(w, from, times(w, channel, r->win.x_channel));
    const struct loop_expr *to = times(w, channel, canvas->channel);
    for (int i = 0; i < 2; i++) {
        const struct window_axis *a = &r->win.axis[i];
        const struct loop_expr *row = writer_count(w, i ? "y" : "z", canvas->size[i]);
        to = plus(w, to, times(w, row, canvas->stride[i]));
        row = plus_n(w, row, canvas->origin[i]);
        if (i == canvas->band_axis)
            row = plus(w, row, times(w, at->band, canvas->band_shift));
        inside = lexpr_and(w->f, inside,
                           lexpr_within(w->f, row, 0, a->image ? (a->image - 1) * a->spread + 1 : 0));
        if (a->spread > 1)
            inside = lexpr_and(w->f, inside, is_at(w, lexpr_mod(w->f, row, a->spread), 0));
        from = plus(w, from, times(w, lexpr_div(w->f, row, a->spread), a->x));
    }
    writer_if(w, inside);
    copy_row(r, w, from, to);
    if (inside) {
        writer_else(w);
        clear_row(r, w, to);
    }
    for (int i = 0; i < 4; i++)
        writer_end(w);
}

/* ---- the product ---- */

static struct buffer *unfinished_buffer(struct rows *r, struct writer *w) {
    return writer_memory(w, SPACE_WORKER, r->unfinished, r->c->dtype, r->win.out * r->channel, "unfinished");
}

static void write_tile(struct rows *r, struct writer *w, const struct place *at, const struct class_set *set,
                       const struct tap_group *taps, const struct loop_expr *const *pixel,
                       const struct loop_expr *const *slot, const struct loop_expr *row, int rows) {
    struct tile *t = writer_tile(w, TILE_OUTER, rows, r->vectors * r->c->lanes);
    const struct loop_expr *first_channel = times(w, at->channel_block, r->channel_block);
    const struct loop_expr *rest = plus(w, index_of(w, r->win.in), times(w, first_channel, -1));
    const struct loop_expr *channels = least(w, rest, index_of(w, r->channel_block));
    const struct loop_expr *in = plus(w, times(w, at->group, r->win.in), first_channel);
    const int64_t *step = r->weights.tap;
    int64_t tap = (set->axis[2].tap + taps->first * set->axis[2].tap_step) * step[2];
    t->levels[t->level_count++] = (struct tile_level){channels, r->weights.in, r->canvas.channel};
    for (int i = 0; i < 2; i++) {
        const struct window_class *c = &set->axis[i];
        tap += c->tap * step[i];
        if (c->taps != 1)
            t->levels[t->level_count++] = (struct tile_level){index_of(w, c->taps), c->tap_step * step[i],
                                                              c->image_step * r->canvas.stride[i]};
    }
    if (taps->count != 1)
        t->levels[t->level_count++] = (struct tile_level){
            index_of(w, taps->count), taps->step * set->axis[2].tap_step * step[2], taps->advance};
    weights_read(w, &r->weights, t, at->group, first_channel, row);
    t->a_index = plus_n(w, t->a_index, tap);
    tile_read_b(t, canvas_buffer(w, r->c, &r->canvas, "canvas"), r->c->dtype);
    t->c = unfinished_buffer(r, w);
    t->c_m = r->channel;
    for (int j = 0; j < r->vectors; j++) {
        t->b_index[j] = plus_n(w, plus(w, pixel[j], times(w, in, r->canvas.channel)),
                               taps->residue * r->run + taps->offset);
        t->c_index[j] = plus(w, slot[j], times(w, row, t->c_m));
    }
    bool is_first = taps->first == 0;
    if (!is_first)
        t->accumulate = lexpr_int(w->f, DTYPE_bool, 1);
    else if (r->channel_blocks > 1)
        t->accumulate = is_positive(w, at->channel_block);
}

static void write_tap_group(struct rows *r, struct writer *w, const struct place *at,
                            const struct class_set *set, const struct tap_group *taps) {
    const struct row_split *s = &r->split;
    const struct canvas *canvas = &r->canvas;
    int64_t lanes = r->c->lanes, row_vectors = ceil_div(set->axis[2].count, lanes);
    int64_t vectors = set->axis[0].count * set->axis[1].count * row_vectors;
    const struct loop_expr *step = writer_count(w, "step", ceil_div(vectors, r->vectors));
    const struct loop_expr *pixel[TILE_VECTORS], *slot[TILE_VECTORS];
    for (int j = 0; j < r->vectors; j++) { /* what is behind the last vector is the last once more */
        const struct loop_expr *v =
            least(w, plus_n(w, times(w, step, r->vectors), j), index_of(w, vectors - 1));
        const struct loop_expr *x = times(w, lexpr_mod(w->f, v, row_vectors), lanes),
                               *row = lexpr_div(w->f, v, row_vectors);
        const struct loop_expr *y = lexpr_mod(w->f, row, set->axis[1].count),
                               *z = lexpr_div(w->f, row, set->axis[1].count);
        const struct loop_expr *in_y =
            plus_n(w, times(w, y, r->win.axis[1].stride), set->axis[1].image - canvas->origin[1]);
        const struct loop_expr *in_z =
            plus_n(w, times(w, z, r->win.axis[0].stride), set->axis[0].image - canvas->origin[0]);
        pixel[j] = plus(w, x, plus(w, times(w, in_y, canvas->stride[1]), times(w, in_z, canvas->stride[0])));
        slot[j] = plus_n(w, times(w, z, r->sub[1]), set->number * r->sub[0] * r->sub[1]);
        slot[j] = plus(w, x, times(w, plus(w, slot[j], y), r->sub[2]));
        pixel[j] = writer_let(w, "pixel", pixel[j]);
        slot[j] = writer_let(w, "slot", slot[j]);
    }
    if (s->big) {
        const struct loop_expr *i = writer_count(w, "tile", s->big);
        write_tile(r, w, at, set, taps, pixel, slot, times(w, i, s->height + 1), (int)s->height + 1);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        const struct loop_expr *i =
            writer_for(w, "tile", index_of(w, s->big), index_of(w, s->tiles), LOOP_SERIAL);
        write_tile(r, w, at, set, taps, pixel, slot, plus_n(w, times(w, i, s->height), s->big),
                   (int)s->height);
        writer_end(w);
    }
    writer_end(w);
}

/* The taps of x from `first` on that lie in its run. A class without taps has one group of none: its sums are
 * zero. */
static struct tap_group group_of(const struct rows *r, const struct window_class *c, int64_t first) {
    int64_t stride = r->win.axis[2].stride, at = c->image - r->canvas.origin[2] + first * c->image_step;
    struct tap_group g = {.first = first, .step = 1, .count = c->taps > 0};
    if (!c->taps)
        return g;
    g.residue = at - floor_div(at, stride) * stride;
    g.offset = floor_div(at, stride);
    for (int64_t j = first + 1; j < c->taps; j++)
        if (((j - first) * c->image_step) % stride == 0) {
            g.step = j - first;
            g.advance = g.step * c->image_step / stride;
            g.count = (c->taps - 1 - first) / g.step + 1;
            break;
        }
    return g;
}

/* The class's taps along x, one run after the other: taps first and first + step lie in the same run. */
static void write_class(struct rows *r, struct writer *w, const struct place *at, struct class_set *set) {
    struct window_class *x = &set->axis[2];
    if (!set->axis[0].count || !set->axis[1].count || !x->count)
        return;
    struct tap_group g = group_of(r, x, 0);
    write_tap_group(r, w, at, set, &g);
    for (int64_t first = 1; first < x->taps && (g.count == 1 || first < g.step); first++) {
        struct tap_group next = group_of(r, x, first);
        write_tap_group(r, w, at, set, &next);
    }
}

static void write_classes(struct rows *r, struct writer *w, const struct place *at) {
    const struct window_axis *a = r->win.axis;
    for (int z = 0; z < a[0].class_count; z++)
        for (int y = 0; y < a[1].class_count; y++)
            for (int x = 0; x < a[2].class_count; x++) {
                struct class_set set = {{a[0].classes[z], a[1].classes[y], a[2].classes[x]}, 0};
                struct window_class *banded = &set.axis[r->band_axis];
                banded->count = ceil_div(r->band_rows - banded->first, a[r->band_axis].lhs_dilation);
                set.number = (int)((z * a[1].lhs_dilation + y) * a[2].lhs_dilation + x);
                write_class(r, w, at, &set);
            }
}

/* ---- finished pixels ---- */

static void finish(struct rows *r, struct writer *w, const struct place *at) {
    const struct window_axis *a = r->win.axis;
    const struct loop_expr *channel = writer_count(w, "channel", r->win.out), *at_axis[3],
                           *number = index_of(w, 0);
    const struct loop_expr *from = index_of(w, 0), *inner = from;
    for (int i = 0; i < 3; i++) {
        int64_t count = i == r->band_axis ? r->band_rows : a[i].out;
        at_axis[i] = writer_for(w, i == 2 ? "x" : "row", index_of(w, 0), index_of(w, count),
                                i == 2 ? LOOP_VECTOR : LOOP_SERIAL);
        number = plus(w, times(w, number, a[i].lhs_dilation), lexpr_mod(w->f, at_axis[i], a[i].lhs_dilation));
        from = plus(w, times(w, from, r->sub[i]), lexpr_div(w->f, at_axis[i], a[i].lhs_dilation));
        const struct loop_expr *place = at_axis[i];
        if (i == r->band_axis)
            place = plus(w, place, times(w, at->band, r->band_rows));
        inner = plus(w, times(w, inner, a[i].out), place);
    }
    from = plus(w, from, times(w, number, r->sub[0] * r->sub[1] * r->sub[2]));
    from = plus(w, from, times(w, channel, r->channel));
    const struct loop_expr *out = plus(w, times(w, at->group, r->win.out), channel);
    const struct loop_expr *outer =
        plus(w, times(w, at->image, r->win.y_batch), times(w, out, r->win.y_channel));
    inner = lexpr_known(w->f, inner, 0, r->win.out_pixels - 1);
    const struct loop_expr *value = writer_let(w, "sum", lexpr_load(w->f, unfinished_buffer(r, w), from));
    finish_element(w, &r->c->finish, plus(w, outer, inner), value);
    for (int i = 0; i < 4; i++)
        writer_end(w);
}

/* ---- the phase ---- */

static void explain(const struct rows *r) {
    const struct window *n = &r->win;
    if (!r->c->l->why)
        return;
    strbuf_printf(r->c->l->why,
                  "conv %lld images, %lld groups of %lld -> %lld channels, %lld pixels: rows of pixels as "
                  "lanes, tile %dx%d, "
                  "%lld bands, blocks of %lld channels\n",
                  (long long)n->batch, (long long)n->groups, (long long)n->in, (long long)n->out,
                  (long long)n->out_pixels, r->rows, r->vectors, (long long)r->bands,
                  (long long)r->channel_block);
}

bool conv_rows_suit(const struct contraction *c, const struct window *win) {
    double lanes = c->lanes, images = (double)win->batch, pixels = (double)win->axis[2].out;
    double by_images = images / ((double)ceil_div(win->batch, c->lanes) * lanes);
    double by_rows = pixels / ((double)ceil_div(win->axis[2].out, c->lanes * win->axis[2].lhs_dilation) *
                               (double)win->axis[2].lhs_dilation * lanes);
    return by_rows > 1.2 * by_images;
}

void contract_conv_rows(struct contraction *c, const struct operand *x, const struct operand *w,
                        const struct window *win) {
    struct rows r = {.c = c, .x = *x, .w = *w, .win = *win};
    choose_sizes(&r);
    int64_t element = dtype_bytes(c->dtype);
    r.canvas.offset = kernel_worker(c->out, r.canvas.elements * element);
    r.unfinished = kernel_worker(c->out, r.win.out * r.channel * element);
    weights_plan(c, &r.win, &r.w, r.channel_block, &r.weights);
    explain(&r);
    struct writer writer;
    writer_begin(&writer, c->l, c->out, c->kernel);
    const struct loop_expr *task = writer_task(&writer, r.win.batch * r.bands);
    struct place at = {.image = lexpr_div(writer.f, task, r.bands),
                       .band = lexpr_mod(writer.f, task, r.bands)};
    copy_rows(&r, &writer, &at);
    at.group = writer_count(&writer, "group", r.win.groups);
    at.channel_block = writer_count(&writer, "channels", r.channel_blocks);
    const struct loop_expr *first = times(&writer, at.channel_block, r.channel_block);
    const struct loop_expr *channels = plus(&writer, index_of(&writer, r.win.in), times(&writer, first, -1));
    weights_cast(&writer, &r.weights, at.group, first,
                 least(&writer, channels, index_of(&writer, r.channel_block)));
    write_classes(&r, &writer, &at);
    writer_end(&writer);
    finish(&r, &writer, &at);
    writer_end(&writer);
    writer_finish(&writer, r.win.batch * r.bands);
}
