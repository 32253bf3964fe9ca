/* codegen/contract_winograd.c: 3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray,
 * "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1 and equations 13 to 15): a tile
 * of 4 x 4 pixels costs 36 products where the sum itself has 144. With g a window of weights, d the 6 x 6
 * pixels that a tile sees, and B, G, A constant,
 *
 *     y = A^T [ (G g G^T) * (B^T d B) ] A        (* element by element, summed over channels)
 *
 * so for each of the 36 places: M[tile][out] = sum_in V[tile][in] * U[in][out], a product of matrices for the
 * register tile. Lanes are channels: images are copied to [chunk of channels][y][x][channel], transformed
 * into V; of M, lanes are output channels, transformed into pixels and turned back. U is made by a first
 * phase of its own. The other phase's tasks take a band of tile rows of one image, or whole images, each with
 * a part of the output channels. */
#include "codegen/contract_window.h"

enum {
    TILE = 4, /* pixels of a tile along an axis */
    SEEN = 6, /* pixels that it sees */
    PLACES = SEEN * SEEN
};

struct winograd {
    struct contraction *c;
    struct operand x, w;
    struct window win;
    struct window view; /* channels in place of images, images in place of channels, whole tiles of pixels */
    struct canvas canvas;
    int rows, vectors; /* the register tile: tiles of pixels, vectors of output channels */
    struct row_split split;
    int64_t columns, panels;           /* output channels of a register tile; panels of them */
    int64_t tiles_y, tiles_x;          /* tiles of an image */
    int64_t band_rows, bands;          /* tile rows of a band */
    int64_t images, groups;            /* images of a task; groups of them */
    int64_t parts, part_panels;        /* parts of the output channels */
    int64_t tiles;                     /* of a task */
    int64_t chunks, in;                /* vectors of input channels; channels with those that fill the last */
    int64_t u_place, v_place, m_place; /* elements from one place to the next, in U, V and M */
    int64_t u, v, m, finished; /* offsets: U in SHARED or PACKED memory, the others in WORKER memory */
    bool keeps_u;              /* U is made when the weights are loaded */
};

/* ---- whether and how ---- */

static bool is_window(const struct window_axis *a, int64_t window) {
    return a->window == window && a->stride == 1 && a->dilation == 1 && a->lhs_dilation == 1 &&
           a->spread == 1;
}

/* Worker memory that V may take, U in all, and U where it is kept: what is larger would not stay in a cache
 * of some kind, or cost more memory than the speed is worth (all of the U of Stable Diffusion's U-Net: 1.2
 * times the weights). */
enum { MOST_V_BYTES = 6 * 1024 * 1024, MOST_U_BYTES = 64 * 1024 * 1024, MOST_KEPT_BYTES = 16 * 1024 * 1024 };

static int64_t tiles_of(const struct window *n) {
    return ceil_div(n->axis[1].out, TILE) * ceil_div(n->axis[2].out, TILE);
}

/* Of a vector of weights. U is made, written and read once, in a cache or in memory: of 256 -> 256 channels,
 * 14^2, it costs as much as all the rest. Where it is made when the weights are loaded, it is read. */
static double cycles_of_u(int64_t bytes, bool is_kept) {
    enum { CACHED_BYTES = 4 * 1024 * 1024 };
    if (is_kept)
        return 170;
    return bytes <= CACHED_BYTES ? 230 : 550;
}

/* Cycles, counted as multiply-adds at two vectors a cycle. Measured on Zen 3: the transforms of a vector of
 * channels of one tile cost some 170 cycles for V and 140 for M. */
static bool pays(const struct contraction *c, const struct window *n, double u_cycles) {
    double vectors_in = (double)ceil_div(n->in, c->lanes), vectors_out = (double)ceil_div(n->out, c->lanes);
    double tiles = (double)(tiles_of(n) * n->batch), in = (double)n->in;
    double direct = 9 * (double)(n->out_pixels * n->batch) * in * vectors_out / 2 / 0.85;
    double products = PLACES * tiles * in * vectors_out / 2 / 0.75;
    double transforms = tiles * (170 * vectors_in + 140 * vectors_out) + u_cycles * in * vectors_out;
    return products + transforms < 0.8 * direct;
}

static int64_t u_bytes(const struct contraction *c, const struct window *n) {
    return PLACES * n->in * n->out * dtype_bytes(c->dtype);
}

static bool keeps_u(const struct contraction *c, const struct operand *w, const struct window *n) {
    return u_bytes(c, n) <= MOST_KEPT_BYTES && operand_is_kept(c, w);
}

bool conv_winograd_suits(const struct contraction *c, const struct operand *w, const struct window *n) {
    enum { FEW_TILES = 8 };
    return c->dtype == DTYPE_f32 && c->l->winograd && n->groups == 1 && is_window(&n->axis[0], 1) &&
           n->axis[0].image == 1 && n->axis[0].out == 1 && n->axis[0].pad_lo == 0 &&
           is_window(&n->axis[1], 3) && is_window(&n->axis[2], 3) && n->in >= 8 && n->out >= 8 &&
           u_bytes(c, n) <= MOST_U_BYTES && tiles_of(n) * n->batch >= FEW_TILES &&
           pays(c, n, cycles_of_u(u_bytes(c, n), keeps_u(c, w, n)));
}

/* Bands cut an image's tile rows evenly where its tiles alone are enough for a task; else a task takes
 * several images. */
static void choose_tasks(struct winograd *g) {
    enum { WANTED = 48, TASKS = 8 };
    const struct window *n = &g->win;
    int64_t row_bytes = PLACES * g->in * g->tiles_x * dtype_bytes(g->c->dtype);
    g->bands = 1;
    for (int64_t bands = 1; bands <= g->tiles_y; bands++) {
        int64_t rows = ceil_div(g->tiles_y, bands);
        bool is_large = ceil_div(g->tiles_y, g->bands) * row_bytes > MOST_V_BYTES;
        if (g->tiles_y % bands == 0 && (is_large || rows * g->tiles_x >= WANTED))
            g->bands = bands;
    }
    g->band_rows = g->tiles_y / g->bands;
    g->images = 1;
    int64_t band_tiles = g->band_rows * g->tiles_x;
    if (g->bands == 1)
        g->images = at_most(n->batch, at_least(1, ceil_div(WANTED, band_tiles)));
    g->groups = ceil_div(n->batch, g->images);
    g->tiles = g->images * band_tiles;
    g->parts = 1;
    for (int64_t parts = 2; g->groups * g->bands * g->parts < TASKS && parts <= g->panels; parts++)
        if (g->panels % parts == 0 && g->panels / parts * g->columns >= 128)
            g->parts = parts;
    g->part_panels = g->panels / g->parts;
}

/* Channels as the images of a canvas, and the image as its channel. */
static void swap_roles(struct winograd *g) {
    g->view = g->win;
    g->view.batch = g->win.in;
    g->view.x_batch = g->win.x_channel;
    g->view.x_channel = g->win.x_batch;
    g->view.in = g->view.groups = 1;
    for (int i = 1; i < 3; i++) {
        struct window_axis *a = &g->view.axis[i];
        a->out = TILE * (i == 1 ? g->tiles_y : g->tiles_x);
        a->classes[0].count = a->out;
    }
}

/* The 36 places are written together: an odd number of cache lines between them takes them to different sets.
 */
static int64_t apart(const struct winograd *g, int64_t elements) {
    enum { LINE = 64 };
    int64_t of_line = LINE / dtype_bytes(g->c->dtype), lines = ceil_div(elements, of_line);
    return (lines + (lines % 2 == 0)) * of_line;
}

static void lay_out(struct winograd *g) {
    int64_t lanes = g->c->lanes, element = dtype_bytes(g->c->dtype);
    struct loop_kernel *out = g->c->out;
    g->u_place = apart(g, g->panels * g->win.in * g->columns);
    g->v_place = apart(g, g->tiles * g->in);
    g->m_place = apart(g, g->tiles * g->part_panels * g->columns);
    canvas_plan(&g->view, (int)lanes, 1, TILE * g->band_rows, &g->canvas);
    int64_t bytes = PLACES * g->u_place * element;
    g->u = g->keeps_u ? kernel_packed(out, bytes) : kernel_shared(out, bytes);
    g->canvas.offset = kernel_worker(out, g->canvas.elements * element);
    g->v = kernel_worker(out, PLACES * g->v_place * element);
    g->m = kernel_worker(out, PLACES * g->m_place * element);
    g->finished = kernel_worker(out, TILE * g->band_rows * TILE * g->tiles_x * lanes * element);
}

static void choose_sizes(struct winograd *g) {
    const struct window *n = &g->win;
    g->tiles_y = ceil_div(n->axis[1].out, TILE);
    g->tiles_x = ceil_div(n->axis[2].out, TILE);
    g->chunks = ceil_div(n->in, g->c->lanes);
    g->in = g->chunks * g->c->lanes;
    g->rows = g->c->l->target->tile_rows;
    g->vectors = g->c->l->target->tile_vectors;
    g->columns = (int64_t)g->vectors * g->c->lanes;
    g->panels = ceil_div(n->out, g->columns);
    choose_tasks(g);
    g->split = row_split(g->tiles, g->rows);
    swap_roles(g);
    lay_out(g);
}

/* ---- transforms ---- */

typedef const struct loop_expr *expr;

static expr add(struct writer *w, expr a, expr b) {
    return lexpr_binary(w->f, OP_add, a->dtype, a, b);
}
static expr sub(struct writer *w, expr a, expr b) {
    return lexpr_binary(w->f, OP_sub, a->dtype, a, b);
}
static expr scale(struct writer *w, double factor, expr a) {
    return lexpr_binary(w->f, OP_mul, a->dtype, lexpr_float(w->f, a->dtype, factor), a);
}

/* G g: three weights to six. */
static void transform_weights(struct writer *w, const expr *g, expr *out) {
    expr even = scale(w, 1.0 / 6, add(w, g[0], g[2])), odd = scale(w, 1.0 / 6, g[1]);
    expr wide = add(w, scale(w, 1.0 / 24, g[0]), scale(w, 1.0 / 6, g[2])), half = scale(w, 1.0 / 12, g[1]);
    out[0] = scale(w, 0.25, g[0]);
    out[1] = scale(w, -1, add(w, even, odd));
    out[2] = sub(w, odd, even);
    out[3] = add(w, wide, half);
    out[4] = sub(w, wide, half);
    out[5] = g[2];
}

/* B^T d: six pixels to six. */
static void transform_pixels(struct writer *w, const expr *d, expr *out) {
    expr even = sub(w, d[4], scale(w, 4, d[2])), odd = sub(w, d[3], scale(w, 4, d[1]));
    expr near = sub(w, d[4], d[2]), far = scale(w, 2, sub(w, d[3], d[1]));
    out[0] = add(w, sub(w, scale(w, 4, d[0]), scale(w, 5, d[2])), d[4]);
    out[1] = add(w, even, odd);
    out[2] = sub(w, even, odd);
    out[3] = add(w, near, far);
    out[4] = sub(w, near, far);
    out[5] = add(w, sub(w, scale(w, 4, d[1]), scale(w, 5, d[3])), d[5]);
}

/* A^T m: six products to four pixels. */
static void transform_products(struct writer *w, const expr *m, expr *out) {
    expr even = add(w, m[1], m[2]), odd = sub(w, m[1], m[2]);
    expr far_even = add(w, m[3], m[4]), far_odd = sub(w, m[3], m[4]);
    out[0] = add(w, add(w, m[0], even), far_even);
    out[1] = add(w, odd, scale(w, 2, far_odd));
    out[2] = add(w, even, scale(w, 4, far_even));
    out[3] = add(w, add(w, odd, scale(w, 8, far_odd)), m[5]);
}

/* T x T^T of an n x n square, row major, to one of size x size; both have SEEN elements in a row. */
static void transform_square(struct writer *w, void (*transform)(struct writer *, const expr *, expr *),
                             int n, int size, const expr *x, expr *out) {
    expr columns[PLACES];
    for (int k = 0; k < n; k++) {
        expr column[SEEN], result[SEEN];
        for (int i = 0; i < n; i++)
            column[i] = x[i * SEEN + k];
        transform(w, column, result);
        for (int i = 0; i < size; i++)
            columns[i * SEEN + k] = result[i];
    }
    for (int i = 0; i < size; i++)
        transform(w, &columns[i * SEEN], &out[i * SEEN]);
}

/* ---- buffers ---- */

static struct buffer *u_buffer(const struct winograd *g, struct writer *w) {
    return writer_memory(w, g->keeps_u ? SPACE_PACKED : SPACE_SHARED, g->u, g->c->dtype,
                         PLACES * g->panels * g->win.in * g->columns, "u");
}
static struct buffer *v_buffer(const struct winograd *g, struct writer *w) {
    return writer_memory(w, SPACE_WORKER, g->v, g->c->dtype, PLACES * g->v_place, "v");
}
static struct buffer *m_buffer(const struct winograd *g, struct writer *w) {
    return writer_memory(w, SPACE_WORKER, g->m, g->c->dtype, PLACES * g->m_place, "m");
}
static struct buffer *finished_buffer(const struct winograd *g, struct writer *w) {
    return writer_memory(w, SPACE_WORKER, g->finished, g->c->dtype,
                         TILE * g->band_rows * TILE * g->tiles_x * g->c->lanes, "finished");
}

/* One vector: its lanes are the turns of the loop. */
static expr begin_lanes(const struct winograd *g, struct writer *w) {
    return writer_for(w, "lane", index_of(w, 0), index_of(w, g->c->lanes), LOOP_VECTOR);
}

/* ---- U ---- */

/* A weight of the window as a vector of output channels; zero behind the last of them. */
static expr weight(const struct winograd *g, struct writer *w, expr out, expr in, int y, int x) {
    const struct window *n = &g->win;
    expr at = plus(w, times(w, out, n->w_out), times(w, in, n->w_in));
    at = plus_n(w, at, g->w.base + y * n->axis[1].w + x * n->axis[2].w);
    expr exists = g->panels * g->columns == n->out ? NULL : lexpr_within(w->f, out, 0, n->out);
    return operand_load_inside(w, &g->w, "w", at, exists, g->c->dtype);
}

static void write_weights(struct winograd *g) {
    struct writer writer, *w = &writer;
    writer_begin(w, g->c->l, g->c->out, g->c->kernel);
    expr panel = writer_task(w, g->panels);
    expr in = writer_count(w, "in", g->win.in), vector = writer_count(w, "vector", g->vectors);
    expr lane = begin_lanes(g, w);
    expr column = plus(w, times(w, vector, g->c->lanes), lane);
    expr out = plus(w, times(w, panel, g->columns), column);
    expr window[PLACES], u[PLACES];
    for (int i = 0; i < 9; i++)
        window[i / 3 * SEEN + i % 3] = weight(g, w, out, in, i / 3, i % 3);
    transform_square(w, transform_weights, 3, SEEN, window, u);
    expr first = plus(w, times(w, plus(w, times(w, panel, g->win.in), in), g->columns), column);
    for (int i = 0; i < PLACES; i++)
        writer_store(w, u_buffer(g, w), plus_n(w, first, i * g->u_place), u[i]);
    writer_end(w);
    writer_end(w);
    writer_end(w);
    if (g->keeps_u)
        writer_finish_packing(w, g->panels);
    else
        writer_finish(w, g->panels);
}

/* ---- V ---- */

struct task {
    expr group, band, part;
};

/* A tile's number in the task. */
static expr tile_number(const struct winograd *g, struct writer *w, expr image, expr y, expr x) {
    return plus(w, times(w, plus(w, times(w, image, g->band_rows), y), g->tiles_x), x);
}

/* Opens a loop over the task's images that exist; *number is the image's in the batch. */
static expr begin_images(const struct winograd *g, struct writer *w, const struct task *t, expr *number) {
    expr image = writer_count(w, "image", g->images);
    *number = plus(w, times(w, t->group, g->images), image);
    writer_if(w, lexpr_within(w->f, *number, 0, g->win.batch));
    return image;
}

static void end_images(struct writer *w) {
    writer_end(w);
    writer_end(w);
}

/* The tiles of a chunk of channels, which the canvas holds. */
static void write_v_tiles(struct winograd *g, struct writer *w, expr image, expr chunk) {
    expr y = writer_count(w, "tile_y", g->band_rows), x = writer_count(w, "tile_x", g->tiles_x);
    expr lane = begin_lanes(g, w);
    expr corner = plus(w, times(w, y, TILE * g->canvas.stride[1]), times(w, x, TILE * g->canvas.stride[2]));
    expr pixels[PLACES], v[PLACES];
    for (int i = 0; i < PLACES; i++) {
        int64_t at = i / SEEN * g->canvas.stride[1] + i % SEEN * g->canvas.stride[2];
        pixels[i] = lexpr_load(w->f, canvas_buffer(w, g->c, &g->canvas, "canvas"),
                               plus(w, plus_n(w, corner, at), lane));
    }
    transform_square(w, transform_pixels, SEEN, SEEN, pixels, v);
    expr tile = tile_number(g, w, image, y, x);
    expr first = plus(w, plus(w, times(w, tile, g->in), times(w, chunk, g->c->lanes)), lane);
    for (int i = 0; i < PLACES; i++)
        writer_store(w, v_buffer(g, w), plus_n(w, first, i * g->v_place), v[i]);
    writer_end(w);
    writer_end(w);
    writer_end(w);
}

static void write_v(struct winograd *g, struct writer *w, const struct task *t) {
    expr number, image = begin_images(g, w, t, &number);
    expr chunk = writer_count(w, "chunk", g->chunks);
    canvas_fill(w, g->c, &g->view, &g->canvas, &g->x, number, chunk, t->band);
    write_v_tiles(g, w, image, chunk);
    writer_end(w);
    end_images(w);
}

/* ---- M ---- */

static void write_product(struct winograd *g, struct writer *w, const struct task *t, expr place, expr panel,
                          expr row, int rows) {
    struct tile *tile = writer_tile(w, TILE_OUTER, rows, (int)g->columns);
    tile_read_a(tile, v_buffer(g, w), g->c->dtype);
    tile_read_b(tile, u_buffer(g, w), g->c->dtype);
    tile->c = m_buffer(g, w);
    tile->a_m = g->in;
    tile->a_index = plus(w, times(w, place, g->v_place), times(w, row, g->in));
    expr from = plus(w, times(w, t->part, g->part_panels), panel);
    tile->b_index[0] = plus(w, times(w, place, g->u_place), times(w, from, g->win.in * g->columns));
    tile->c_m = g->part_panels * g->columns;
    tile->c_index[0] =
        plus(w, times(w, place, g->m_place), plus(w, times(w, row, tile->c_m), times(w, panel, g->columns)));
    tile->levels[tile->level_count++] = (struct tile_level){index_of(w, g->win.in), 1, g->columns};
}

static void write_m(struct winograd *g, struct writer *w, const struct task *t) {
    const struct row_split *s = &g->split;
    expr place = writer_count(w, "place", PLACES), panel = writer_count(w, "panel", g->part_panels);
    if (s->big) {
        expr i = writer_count(w, "rows", s->big);
        write_product(g, w, t, place, panel, times(w, i, s->height + 1), (int)s->height + 1);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        expr i = writer_for(w, "rows", index_of(w, s->big), index_of(w, s->tiles), LOOP_SERIAL);
        write_product(g, w, t, place, panel, plus_n(w, times(w, i, s->height), s->big), (int)s->height);
        writer_end(w);
    }
    writer_end(w);
    writer_end(w);
}

/* ---- pixels ---- */

/* A vector of output channels (`chunk` of the part) of the tiles of an image, as [y][x][channel]. */
static void write_pixels(struct winograd *g, struct writer *w, expr image, expr chunk) {
    int64_t lanes = g->c->lanes, row = g->part_panels * g->columns;
    expr y = writer_count(w, "tile_y", g->band_rows), x = writer_count(w, "tile_x", g->tiles_x);
    expr lane = begin_lanes(g, w);
    expr first =
        plus(w, plus(w, times(w, tile_number(g, w, image, y, x), row), times(w, chunk, lanes)), lane);
    expr m[PLACES], pixels[PLACES];
    for (int i = 0; i < PLACES; i++)
        m[i] = lexpr_load(w->f, m_buffer(g, w), plus_n(w, first, i * g->m_place));
    transform_square(w, transform_products, SEEN, TILE, m, pixels);
    int64_t step = TILE * g->tiles_x * lanes;
    expr corner = plus(w, plus(w, times(w, y, TILE * step), times(w, x, TILE * lanes)), lane);
    for (int i = 0; i < TILE; i++)
        for (int k = 0; k < TILE; k++)
            writer_store(w, finished_buffer(g, w), plus_n(w, corner, i * step + k * lanes),
                         pixels[i * SEEN + k]);
    writer_end(w);
    writer_end(w);
    writer_end(w);
}

/* Where finished pixels go: the image, the first of `channels` output channels, the band's first pixel. */
struct target_place {
    expr number, out, band_pixel;
    int channels;
};

static expr result_place(const struct winograd *g, struct writer *w, const struct target_place *p) {
    return plus(w, times(w, p->number, g->win.y_batch), times(w, p->out, g->win.y_channel));
}

/* `pixels` neighbours of a row, of all channels of the chunk. */
static void finish_square(struct winograd *g, struct writer *w, const struct target_place *p, expr y, expr x,
                          int pixels) {
    struct finish *finish = &g->c->finish;
    int64_t lanes = g->c->lanes;
    struct tile *t = writer_tile(w, TILE_TRANSPOSE, pixels, p->channels);
    tile_read_a(t, finished_buffer(g, w), g->c->dtype);
    t->a_index = times(w, plus(w, times(w, y, TILE * g->tiles_x), x), lanes);
    t->a_m = lanes;
    expr place = result_place(g, w, p);
    expr pixel = plus(w, p->band_pixel, plus(w, times(w, y, g->win.axis[2].out), x));
    t->c = finish->kind == FINISH_TILE ? writer_argument(w, finish->first_result) : finish_raw(w, finish);
    t->c_index[0] = plus(w, place, pixel);
    t->c_m = g->win.y_channel;
    if (finish->kind == FINISH_TILE)
        finish_tile(w, finish, t, (struct run){place, pixel, g->win.out_pixels}, t->c_m);
}

static void finish_rows(struct winograd *g, struct writer *w, const struct target_place *p, expr rows) {
    int64_t lanes = g->c->lanes, width = g->win.axis[2].out;
    int rest = (int)(width % lanes);
    expr y = writer_for(w, "y", index_of(w, 0), rows, LOOP_SERIAL);
    if (width >= lanes) {
        expr i = writer_count(w, "square", width / lanes);
        finish_square(g, w, p, y, times(w, i, lanes), (int)lanes);
        writer_end(w);
    }
    if (rest)
        finish_square(g, w, p, y, index_of(w, width - rest), rest);
    writer_end(w);
    if (g->c->finish.kind != FINISH_LOOP)
        return;
    struct target_place one = *p;
    one.out = plus(w, p->out, writer_count(w, "channel", p->channels));
    finish_run(w, &g->c->finish, (struct run){result_place(g, w, &one), p->band_pixel, g->win.out_pixels},
               times(w, rows, width));
    writer_end(w);
}

/* The last chunk of output channels may be a part of a vector, and others be nothing but what fills panels.
 */
static void finish_chunk(struct winograd *g, struct writer *w, struct target_place *p, expr rows) {
    int64_t lanes = g->c->lanes, whole = g->win.out / lanes;
    int rest = (int)(g->win.out % lanes);
    writer_if(w, is_below(w, p->out, index_of(w, whole * lanes)));
    p->channels = (int)lanes;
    finish_rows(g, w, p, rows);
    if (rest) {
        writer_else(w);
        writer_if(w, is_below(w, p->out, index_of(w, g->win.out)));
        p->channels = rest;
        finish_rows(g, w, p, rows);
        writer_end(w);
    }
    writer_end(w);
}

static void write_results(struct winograd *g, struct writer *w, const struct task *t) {
    const struct window_axis *y = &g->win.axis[1];
    int64_t lanes = g->c->lanes, chunks = g->part_panels * g->vectors, height = TILE * g->band_rows;
    struct target_place p = {0};
    expr image = begin_images(g, w, t, &p.number), chunk = writer_count(w, "chunk", chunks);
    expr first_row = times(w, t->band, height);
    expr rows = least(w, index_of(w, height), plus(w, index_of(w, y->out), times(w, first_row, -1)));
    p.out = times(w, plus(w, times(w, t->part, chunks), chunk), lanes);
    p.band_pixel = times(w, first_row, g->win.axis[2].out);
    write_pixels(g, w, image, chunk);
    finish_chunk(g, w, &p, rows);
    writer_end(w);
    end_images(w);
}

static void write_convolution(struct winograd *g) {
    struct writer writer, *w = &writer;
    int64_t tasks = g->groups * g->bands * g->parts;
    writer_begin(w, g->c->l, g->c->out, g->c->kernel);
    expr task = writer_task(w, tasks), item = lexpr_div(w->f, task, g->parts);
    struct task t = {.part = lexpr_mod(w->f, task, g->parts),
                     .band = lexpr_mod(w->f, item, g->bands),
                     .group = lexpr_div(w->f, item, g->bands)};
    write_v(g, w, &t);
    write_m(g, w, &t);
    write_results(g, w, &t);
    writer_finish(w, tasks);
}

static void explain(const struct winograd *g) {
    const struct window *n = &g->win;
    if (!g->c->l->why)
        return;
    strbuf_printf(g->c->l->why,
                  "conv %lld images, %lld -> %lld channels, 3x3, %lld pixels: Winograd F(4x4, 3x3), tile "
                  "%dx%d, tasks of "
                  "%lld tiles: %lld groups of images, %lld bands, %lld parts of the channels%s\n",
                  (long long)n->batch, (long long)n->in, (long long)n->out, (long long)n->out_pixels, g->rows,
                  g->vectors, (long long)g->tiles, (long long)g->groups, (long long)g->bands,
                  (long long)g->parts, g->keeps_u ? ", U made when the weights are loaded" : "");
}

void contract_winograd(struct contraction *c, const struct operand *x, const struct operand *w,
                       const struct window *win) {
    struct winograd g = {.c = c, .x = *x, .w = *w, .win = *win, .keeps_u = keeps_u(c, w, win)};
    choose_sizes(&g);
    explain(&g);
    write_weights(&g);
    write_convolution(&g);
}
