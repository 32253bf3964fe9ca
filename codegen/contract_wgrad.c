/* codegen/contract_wgrad.c: the gradient of a convolution by its weights, dW[o, c, tap] = sum over images and
 * pixels of dy[o, pixel] * x[c, pixel at the tap]. Both are copied with images as lanes; micro-kernels of
 * kind INNER run over the pixels and add the lanes up at their end. K, the images, is split among tasks in a
 * number of parts that depends on the shapes alone; a second phase adds the parts in order. */
#include "codegen/contract_window.h"

struct wgrad {
    struct contraction *c;
    struct operand x, dy;
    struct window win;    /* of x, with the weights as result */
    struct window dy_win; /* of dy as an image */
    struct canvas canvas, dy_canvas;
    int band_axis;
    int64_t bands, band_rows, chunks;
    int64_t splits;              /* parts of the chunks */
    int64_t row_parts, part_out; /* parts of a group's output channels; channels of one */
    struct row_split rows;       /* of part_out */
    /* Columns of a tile run along one axis of the weights: the window's innermost, or the input channels. */
    bool columns_are_channels;
    struct row_split columns;
    int64_t elements; /* of dW */
    bool has_partials;
    int64_t partials; /* offset in SHARED memory: [split][dW] */
};

/* ---- sizes ---- */

/* Divides `count` in the most equal parts that are no more than `most`. */
static int64_t most_divisor(int64_t count, int64_t most) {
    for (int64_t parts = at_most(most, count); parts > 1; parts--)
        if (count % parts == 0)
            return parts;
    return 1;
}

enum {
    PARTIAL_BYTES = 2 * 1024 * 1024, /* of all partial results together */
    LEAST_STEPS = 96                 /* of k in a tile: the lanes' sum at its end costs some 4 */
};

/* Bands so that x and dy stay in L2, but for tiles that would be too short. */
static void choose_bands(struct wgrad *g) {
    const struct window *n = &g->win;
    int64_t element = dtype_bytes(g->c->dtype), pixels = n->out_pixels;
    int64_t channels = n->groups * (n->in * n->axis[1].stride * n->axis[2].stride + n->out);
    int64_t bytes = channels * pixels * g->c->lanes * element;
    int64_t wanted = ceil_div(bytes, g->c->l->target->l2_bytes * 3 / 4);
    int64_t most = at_least(1, pixels / LEAST_STEPS);
    g->band_axis = n->axis[0].out > 1 ? 0 : 1;
    g->bands = most_divisor(n->axis[g->band_axis].out, at_most(wanted, most));
    g->band_rows = n->axis[g->band_axis].out / g->bands;
}

/* Rows and columns of the tile: accumulators, the vectors of one side and one of the other fit the registers.
 */
static void choose_tiles(struct wgrad *g) {
    int registers = g->c->l->target->vector_registers;
    g->columns_are_channels = g->win.axis[2].window == 1;
    int64_t rows = g->part_out, columns = g->columns_are_channels ? g->win.in : g->win.axis[2].window;
    double best = 0;
    for (int r = 1; r <= 8; r++)
        for (int c = 1; c <= 8 && r * c + c + 1 <= registers; c++) {
            struct row_split s = row_split(rows, r), t = row_split(columns, c);
            double tiles = (double)(s.tiles * t.tiles),
                   products = (double)(rows * columns) / tiles; /* of an average tile */
            double loads = ((double)rows / (double)s.tiles + (double)columns / (double)t.tiles) / 2;
            double step = products / 2 > loads ? products / 2 : loads;
            double cycles = tiles * (step > 4 ? step : 4);
            if (best != 0 && cycles >= best)
                continue;
            best = cycles;
            g->rows = s;
            g->columns = t;
        }
}

static void choose_sizes(struct wgrad *g) {
    const struct window *n = &g->win;
    int64_t taps = n->axis[0].window * n->axis[1].window * n->axis[2].window;
    g->elements = n->groups * n->out * n->in * taps;
    g->chunks = ceil_div(n->batch, g->c->lanes);
    int64_t wanted = task_target((double)g->elements * (double)n->batch * (double)n->out_pixels);
    int64_t bytes = g->elements * dtype_bytes(g->c->dtype);
    g->splits = at_most(at_most(g->chunks, wanted), at_least(1, PARTIAL_BYTES / bytes));
    g->splits = ceil_div(g->chunks, ceil_div(g->chunks, g->splits)); /* none is empty */
    g->row_parts = 1;
    if (n->groups == 1)
        g->row_parts = most_divisor(n->out, at_most(ceil_div(wanted, g->splits), at_least(1, n->out / 16)));
    g->part_out = n->out / g->row_parts;
    choose_tiles(g);
    choose_bands(g);
}

/* ---- the products ---- */

struct place {
    const struct loop_expr *split, *part, *group, *chunk, *band;
    const struct loop_expr *is_later; /* not the first chunk and band of the split: accumulate */
    const struct loop_expr *tap[3], *channel;
};

static struct buffer *result_buffer(struct wgrad *g, struct writer *w) {
    if (!g->has_partials)
        return finish_raw(w, &g->c->finish);
    return writer_memory(w, SPACE_SHARED, g->partials, g->c->dtype, g->splits * g->elements, "partial");
}

static void write_tile(struct wgrad *g, struct writer *w, const struct place *at, const struct loop_expr *row,
                       int rows, const struct loop_expr *column, int columns) {
    const struct window *n = &g->win;
    const struct window_axis *axis = n->axis;
    int64_t lanes = g->c->lanes, taps = axis[0].window * axis[1].window * axis[2].window;
    struct tile *t = writer_tile(w, TILE_INNER, rows, columns);
    const struct loop_expr *channel = g->columns_are_channels ? column : at->channel;
    tile_read_a(t, canvas_buffer(w, g->c, &g->dy_canvas, "dy"), g->c->dtype);
    t->a_index = times(w, plus(w, times(w, at->group, n->out), row), g->dy_canvas.channel);
    t->a_m = g->dy_canvas.channel;
    tile_read_b(t, canvas_buffer(w, g->c, &g->canvas, "x"), g->c->dtype);
    t->b_index[0] = times(w, plus(w, times(w, at->group, n->in), channel), g->canvas.channel);
    t->b_n = g->columns_are_channels ? g->canvas.channel : axis[2].dilation * lanes;
    const struct loop_expr *out =
        plus(w, times(w, at->group, n->out), plus(w, times(w, at->part, g->part_out), row));
    const struct loop_expr *c = times(w, plus(w, times(w, out, n->in), channel), taps);
    c = plus(w, c, times(w, at->split, g->has_partials ? g->elements : 0));
    int64_t tap_stride = taps;
    for (int i = 0; i < 3; i++) {
        tap_stride /= axis[i].window;
        const struct loop_expr *tap = i == 2 && !g->columns_are_channels ? column : at->tap[i];
        t->b_index[0] = plus(w, t->b_index[0], times(w, tap, axis[i].dilation * g->canvas.stride[i]));
        c = plus(w, c, times(w, tap, tap_stride));
        int64_t count = i == g->band_axis ? g->band_rows : axis[i].out;
        if (count != 1 || i == 2)
            t->levels[t->level_count++] = (struct tile_level){.count = index_of(w, count),
                                                              .a = g->dy_canvas.stride[i],
                                                              .b = axis[i].stride * g->canvas.stride[i]};
    }
    t->c = result_buffer(g, w);
    t->c_index[0] = c;
    t->c_m = n->in * taps;
    t->c_n = g->columns_are_channels ? taps : 1;
    t->accumulate = at->is_later;
}

/* Calls write_tile for each tile of columns, in both widths. */
static void write_columns(struct wgrad *g, struct writer *w, const struct place *at,
                          const struct loop_expr *row, int rows) {
    const struct row_split *s = &g->columns;
    if (s->big) {
        const struct loop_expr *i = writer_count(w, "columns", s->big);
        write_tile(g, w, at, row, rows, times(w, i, s->height + 1), (int)s->height + 1);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        const struct loop_expr *i =
            writer_for(w, "columns", index_of(w, s->big), index_of(w, s->tiles), LOOP_SERIAL);
        write_tile(g, w, at, row, rows, plus_n(w, times(w, i, s->height), s->big), (int)s->height);
        writer_end(w);
    }
}

/* One tile of rows against all of the weights' other axes: dy's rows stay in L1 while x passes. */
static void write_row(struct wgrad *g, struct writer *w, struct place *at, const struct loop_expr *row,
                      int rows) {
    if (!g->columns_are_channels)
        at->channel = writer_count(w, "c", g->win.in);
    for (int i = 0; i < 3; i++)
        if (i < 2 || g->columns_are_channels)
            at->tap[i] = writer_count(w, "tap", g->win.axis[i].window);
    write_columns(g, w, at, row, rows);
    for (int i = 0; i < 3; i++)
        writer_end(w);
}

static void write_products(struct wgrad *g, struct writer *w, struct place *at) {
    const struct row_split *s = &g->rows;
    at->group = writer_count(w, "group", g->win.groups);
    if (s->big) {
        const struct loop_expr *i = writer_count(w, "tile", s->big);
        write_row(g, w, at, times(w, i, s->height + 1), (int)s->height + 1);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        const struct loop_expr *i =
            writer_for(w, "tile", index_of(w, s->big), index_of(w, s->tiles), LOOP_SERIAL);
        write_row(g, w, at, plus_n(w, times(w, i, s->height), s->big), (int)s->height);
        writer_end(w);
    }
    writer_end(w);
}

/* ---- phases ---- */

static void write_phase(struct wgrad *g) {
    struct writer writer, *w = &writer;
    int64_t tasks = g->splits * g->row_parts, each = ceil_div(g->chunks, g->splits);
    writer_begin(w, g->c->l, g->c->out, g->c->kernel);
    const struct loop_expr *task = writer_task(w, tasks);
    struct place at = {.split = lexpr_div(w->f, task, g->row_parts),
                       .part = lexpr_mod(w->f, task, g->row_parts)};
    const struct loop_expr *low = times(w, at.split, each);
    const struct loop_expr *high = least(w, plus_n(w, low, each), index_of(w, g->chunks));
    at.chunk = each == 1 ? low : writer_for(w, "chunk", low, high, LOOP_SERIAL);
    at.band = writer_count(w, "band", g->bands);
    at.is_later = is_positive(w, plus(w, plus(w, at.chunk, times(w, low, -1)), at.band));
    canvas_fill(w, g->c, &g->win, &g->canvas, &g->x, index_of(w, 0), at.chunk, at.band);
    canvas_fill(w, g->c, &g->dy_win, &g->dy_canvas, &g->dy, times(w, at.part, g->part_out), at.chunk,
                at.band);
    write_products(g, w, &at);
    writer_end(w);
    if (each != 1)
        writer_end(w);
    writer_finish(w, tasks);
}

/* The sum of the partial results, in order, and what follows it. */
static void write_sum(struct wgrad *g) {
    enum { RUN = 4096 };
    struct writer writer, *w = &writer;
    int64_t tasks = ceil_div(g->elements, RUN);
    writer_begin(w, g->c->l, g->c->out, g->c->kernel);
    const struct loop_expr *first = times(w, writer_task(w, tasks), RUN);
    const struct loop_expr *end = least(w, plus_n(w, first, RUN), index_of(w, g->elements));
    const struct loop_expr *i = writer_for(w, "i", first, end, LOOP_VECTOR);
    const struct loop_expr *sum = NULL;
    for (int64_t s = 0; s < g->splits; s++) {
        const struct loop_expr *part = lexpr_load(w->f, result_buffer(g, w), plus_n(w, i, s * g->elements));
        sum = sum ? lexpr_binary(w->f, OP_add, g->c->dtype, sum, part) : part;
    }
    finish_element(w, &g->c->finish, i, writer_let(w, "sum", sum));
    writer_end(w);
    writer_finish(w, tasks);
}

static void explain(const struct wgrad *g) {
    const struct window *n = &g->win;
    if (!g->c->l->why)
        return;
    strbuf_printf(g->c->l->why,
                  "conv_wgrad %lld images, %lld groups of %lld -> %lld channels, %lld pixels: tile "
                  "%lldx%lld, %lld parts of the "
                  "images, %lld of the rows, %lld bands\n",
                  (long long)n->batch, (long long)n->groups, (long long)n->in, (long long)n->out,
                  (long long)n->out_pixels, (long long)(g->rows.height + (g->rows.big > 0)),
                  (long long)(g->columns.height + (g->columns.big > 0)), (long long)g->splits,
                  (long long)g->row_parts, (long long)g->bands);
}

/* Nothing to sum over: zeros. */
static void write_zeros(struct contraction *c) {
    struct writer w;
    writer_begin(&w, c->l, c->out, c->kernel);
    const struct loop_expr *count = index_of(&w, type_elements(c->core->out[0]->type));
    const struct loop_expr *i = writer_for(&w, "i", index_of(&w, 0), count, LOOP_VECTOR);
    finish_element(&w, &c->finish, i, writer_zero(&w, c->dtype));
    writer_end(&w);
    writer_finish(&w, 1);
}

bool contract_wgrad(struct contraction *c) {
    struct wgrad g = {.c = c};
    struct operand weights = {0};
    if (!operand_map_rows(c->l, c->out, c->kernel, c->core->in[0], &g.x) ||
        !operand_map_rows(c->l, c->out, c->kernel, c->core->in[1], &g.dy))
        return false;
    if (type_elements(c->core->in[0]->type) == 0 || type_elements(c->core->in[1]->type) == 0) {
        write_zeros(c);
        return true;
    }
    map_dense(&weights, c->core->out[0]->type);
    window_init(c, &g.x, &weights, &g.dy, true, &g.win);
    if (wgrad_pixels_suit(c, &g.dy, &g.win)) {
        contract_wgrad_pixels(c, &g.x, &g.dy, &g.win);
        return true;
    }
    window_of_image(&g.dy, &g.dy_win);
    choose_sizes(&g);
    canvas_plan(&g.win, c->lanes, g.band_axis, g.band_rows, &g.canvas);
    canvas_plain(&g.dy_win, c->lanes, g.band_axis, g.band_rows, g.win.groups * g.part_out, &g.dy_canvas);
    int64_t element = dtype_bytes(c->dtype);
    g.canvas.offset = kernel_worker(c->out, g.canvas.elements * element);
    g.dy_canvas.offset = kernel_worker(c->out, g.dy_canvas.elements * element);
    g.has_partials = g.splits > 1 || c->finish.kind != FINISH_NOTHING;
    if (g.has_partials)
        g.partials = kernel_shared(c->out, g.splits * g.elements * element);
    explain(&g);
    write_phase(&g);
    if (g.has_partials)
        write_sum(&g);
    return true;
}
