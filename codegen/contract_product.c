/* codegen/contract_product.c: C[m, n] = sum_k A[m, k] * B[k, n] for each point of a grid: blocking, packing,
 * loops. */
#include "codegen/contract_product.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- axes ---- */

/* Neighbours that are one run in all three become one axis. */
static void axes_merge(struct axes *axes) {
    int kept = 0;
    for (int i = 0; i < axes->count; i++) {
        struct axis x = axes->at[i];
        struct axis *outer = kept ? &axes->at[kept - 1] : NULL;
        if (outer && outer->a == x.a * x.extent && outer->b == x.b * x.extent && outer->c == x.c * x.extent)
            *outer = (struct axis){outer->extent * x.extent, x.a, x.b, x.c};
        else
            axes->at[kept++] = x;
    }
    axes->count = kept;
}

static struct axis axes_take(struct axes *axes, int i) {
    if (i < 0)
        return (struct axis){1, 0, 0, 0};
    struct axis taken = axes->at[i];
    memmove(&axes->at[i], &axes->at[i + 1], sizeof(taken) * (size_t)(axes->count - i - 1));
    axes->count--;
    return taken;
}

static int longest(const struct axes *axes) {
    int best = axes->count - 1;
    for (int i = axes->count - 1; i >= 0; i--)
        if (axes->at[i].extent > axes->at[best].extent)
            best = i;
    return best;
}

/* Those along which B moves farther are outside, so that packing and reading follow memory. */
static void axes_order(struct axes *axes) {
    for (int i = 1; i < axes->count; i++)
        for (int j = i; j > 0 && llabs(axes->at[j].b) > llabs(axes->at[j - 1].b); j--) {
            struct axis x = axes->at[j];
            axes->at[j] = axes->at[j - 1];
            axes->at[j - 1] = x;
        }
}

static void swap_roles(struct product *d, struct axes *m, struct axes *n) {
    struct operand o = d->a;
    d->a = d->b;
    d->b = o;
    struct axes x = *m;
    *m = *n;
    *n = x;
    struct axes *all[] = {m, n, &d->grid, &d->k};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < all[i]->count; j++) {
            int64_t a = all[i]->at[j].a;
            all[i]->at[j].a = all[i]->at[j].b;
            all[i]->at[j].b = a;
        }
}

static void move_to_grid(struct product *d, const struct axes *axes) {
    for (int i = 0; i < axes->count; i++)
        d->grid.at[d->grid.count++] = axes->at[i];
}

/* The tile's axes: n where C is contiguous, m the longest of the others of A; what is left joins the grid. */
static void choose_axes(struct product *d, struct axes m, struct axes n) {
    if (n.count == 0) /* a matrix times a vector: C is contiguous along m */
        swap_roles(d, &m, &n);
    axes_order(&d->k);
    axes_merge(&d->k);
    axes_merge(&m);
    axes_merge(&n);
    d->n = axes_take(&n, n.count - 1);
    d->m = axes_take(&m, longest(&m));
    move_to_grid(d, &m);
    move_to_grid(d, &n);
    axes_merge(&d->grid);
    for (int i = 0; i < d->k.count; i++)
        if (d->k.at[i].extent == 0) { /* a sum of nothing is 0 */
            d->k.at[0] = (struct axis){0, 0, 0, 0};
            d->k.count = 1;
        }
    if (d->k.count == 0)
        d->k.at[d->k.count++] = (struct axis){1, 0, 0, 0};
    d->inner = 1;
    for (int i = 1; i < d->k.count; i++)
        d->inner *= d->k.at[i].extent;
    d->depth = d->inner * d->k.at[0].extent;
}

/* ---- pairs ---- */

bool product_is_of_pairs(const struct product *d) {
    return d->c->l->target->has_bf16_dot && d->c->dtype == DTYPE_f32 && d->a.dtype == DTYPE_bf16 &&
           d->b.dtype == DTYPE_bf16 && d->a.as == DTYPE_bf16 && d->b.as == DTYPE_bf16;
}

/* Neighbours of k are neighbours in memory, at even places: words. */
static bool lies_in_words(const struct product *d, bool is_b) {
    const struct axis *k = &d->k.at[0], *free = is_b ? &d->n : &d->m;
    bool even = (is_b ? d->b.base : d->a.base) % 2 == 0 && (is_b ? free->b : free->a) % 2 == 0;
    for (int i = 0; i < d->grid.count; i++)
        even &= (is_b ? d->grid.at[i].b : d->grid.at[i].a) % 2 == 0;
    return even && (is_b ? k->b : k->a) == 1;
}

static void read_words(struct operand *o) {
    o->dtype = o->as = DTYPE_i32;
    o->base /= 2;
    o->elements /= 2;
}

static void choose_pairs(struct product *d) {
    struct axis *k = &d->k.at[0];
    d->has_pairs = product_is_of_pairs(d) && d->k.count == 1 && k->extent > 0 && k->extent % 2 == 0 &&
                   lies_in_words(d, false);
    if (!d->has_pairs)
        return;
    bool b_in_words = lies_in_words(d, true);
    d->pair = b_in_words ? 0 : k->b;
    d->m.a /= 2;
    read_words(&d->a);
    if (b_in_words) {
        d->n.b /= 2;
        read_words(&d->b);
    }
    for (int i = 0; i < d->grid.count; i++) {
        d->grid.at[i].a /= 2;
        d->grid.at[i].b /= b_in_words ? 2 : 1;
    }
    *k = (struct axis){k->extent / 2, 1, b_in_words ? 1 : 2 * k->b, 0};
    d->depth /= 2;
}

/* ---- blocking ---- */

enum {
    PACKING_PAYS = 48, /* rows of A that each element of B is used for, from which on a copy of B is cheap */
    STREAM_ROWS =
        3, /* with no more rows B is read once, at the speed of memory: a few rows of it at a time */
    STREAM_DEPTH = 8,
    WIDE_COLUMNS = 128,   /* columns of a part at least where rows are many */
    WIDEST_COLUMNS = 256, /* columns of a part at most: its block of B stays in L2 */
    TALL_ROWS = 192       /* rows of a part at least where they are split */
};

static void choose_k_block(struct product *d) {
    struct blocking *by = &d->by;
    int64_t element = dtype_bytes(d->c->dtype);
    /* A's rows of a tile fill three eighths of L1, as B streams by from L2: 512 on Zen 3 (measured 192 to
     * 768). */
    int64_t most = at_least(64, d->c->l->target->l1_bytes * 3 / 8 / (d->c->l->target->tile_rows * element));
    if (by->mode == B_IN_PLACE && d->m.extent <= STREAM_ROWS &&
        d->depth * d->n.extent * element > d->c->l->target->l1_bytes)
        most = STREAM_DEPTH;
    int64_t steps = at_least(1, most / d->inner);
    int64_t extent = at_least(1, d->k.at[0].extent);
    by->k_blocks = ceil_div(extent, steps);
    by->k_block = ceil_div(extent, by->k_blocks);
    if (by->k_block > d->c->lanes) /* transposes go in whole vectors of k but for the last block */
        by->k_block = at_most(ceil_div(by->k_block, d->c->lanes) * d->c->lanes, extent);
    by->k_blocks = ceil_div(extent, by->k_block);
}

/* Units of work are a part of the rows times a part of the columns of one point of the grid; small ones share
 * a task. Wide parts read A less often, tall ones pack B less often. */
static void choose_parts(struct product *d, int64_t grid) {
    struct blocking *by = &d->by;
    double work = (double)d->m.extent * (double)d->n.extent * (double)d->depth;
    int64_t wanted = task_target(work * (double)grid);
    int64_t each = ceil_div(wanted, grid); /* units of one point */
    by->panels_per_part = ceil_div(by->panels, at_most(by->panels, each));
    if (d->m.extent > TALL_ROWS)
        by->panels_per_part =
            at_least(by->panels_per_part, at_most(by->panels, ceil_div(WIDE_COLUMNS, by->panel)));
    if (d->m.extent >= by->rows && by->panels_per_part * by->panel > WIDEST_COLUMNS)
        by->panels_per_part = at_least(1, WIDEST_COLUMNS / by->panel);
    by->column_parts = ceil_div(by->panels, by->panels_per_part);
    int64_t most_rows = at_least(1, d->m.extent / TALL_ROWS);
    by->row_parts = at_most(ceil_div(each, by->column_parts), most_rows);
    by->tiles_per_part = ceil_div(by->split.tiles, by->row_parts);
    by->row_parts = ceil_div(by->split.tiles, by->tiles_per_part);
    by->units_per_task = 1;
    if (by->row_parts * by->column_parts == 1)
        by->units_per_task = ceil_div(grid, at_least(wanted, 1));
}

int64_t grid_points(const struct product *d) {
    int64_t points = 1;
    for (int i = 0; i < d->grid.count; i++)
        points *= d->grid.at[i].extent;
    return points;
}

static void choose_blocking(struct product *d) {
    struct blocking *by = &d->by;
    const struct target *target = d->c->l->target;
    int64_t element = dtype_bytes(d->c->dtype);
    double products = (double)d->m.extent * (double)d->n.extent * (double)d->depth * (double)grid_points(d);
    struct tile_work work = {d->m.extent, d->n.extent, d->c->lanes, (double)d->depth,
                             products < SMALL_PRODUCT};
    choose_tile(target, &work, &by->rows, &by->vectors);
    finish_choose(&d->c->finish, (double)d->depth);
    by->panel = by->vectors * d->c->lanes;
    by->panels = ceil_div(d->n.extent, by->panel);
    by->split = row_split(d->m.extent, by->rows);
    bool is_small = d->depth * d->n.extent * element <= target->l2_bytes / 4;
    bool is_rounded = d->b.as != d->b.dtype && d->m.extent > by->rows; /* again for each tile of rows */
    by->mode =
        d->n.b == 1 && (d->m.extent < PACKING_PAYS || is_small) && !is_rounded ? B_IN_PLACE : B_PACKED_HERE;
    if (d->pair)
        by->mode = B_PACKED_HERE;
    if (d->c->packs_before)
        by->mode = B_PACKED_BEFORE;
    choose_k_block(d);
    choose_parts(d, grid_points(d));
    int64_t tile_bytes = by->k_block * d->inner * by->rows * element;
    by->row_block = at_least(1, target->l2_bytes / 4 / at_least(1, tile_bytes));
}

/* Rows of A in a block, with all of a block of k. */
static int64_t block_rows(const struct product *d) {
    int64_t blocks = ceil_div(d->by.tiles_per_part, d->by.row_block);
    return ceil_div(d->by.tiles_per_part, blocks) * (d->by.split.height + (d->by.split.big > 0));
}

/* A broadcast of A costs an instruction or two more where the element is cast on the way, a rounding to bf16
 * eight: for the sake of several panels a block of A is cast once. */
static bool is_a_cast_before(const struct product *d) {
    return !d->has_pairs &&
           (d->a.as != d->a.dtype || (d->a.dtype != d->c->dtype && d->by.panels_per_part > 1));
}

/* ---- writing the product ---- */

/* Where a unit of work is: its point of the grid and its ranges of panels and tiles of rows. */
struct unit {
    const struct loop_expr *point; /* of the grid */
    struct grid_place at;
    const struct loop_expr *panel_low, *panel_high, *tile_low, *tile_high;
    const struct loop_expr *k_first, *k_count,
        *k_block;                    /* steps of the outermost level; the block's number */
    const struct loop_expr *row_low; /* of the block of rows: where A is cast before, its first one */
};

static enum dtype packed_dtype(const struct product *d) {
    return d->has_pairs ? DTYPE_i32 : d->c->dtype;
}

static struct buffer *packed_buffer(struct product *d, struct writer *w) {
    bool shared = d->by.mode == B_PACKED_BEFORE;
    int64_t panels = shared ? d->by.panels * d->by.k_blocks * grid_points(d) : d->by.panels_per_part;
    int64_t elements = panels * d->by.panel * d->by.k_block * d->inner;
    return writer_memory(w, shared ? SPACE_SHARED : SPACE_WORKER, d->packed, packed_dtype(d), elements,
                         "packed");
}

static int64_t panel_elements(const struct product *d) {
    return d->by.panel * d->by.k_block * d->inner;
}

/* Packed panels: [panel of the unit][k][column], or all of them: [grid][block of k][panel][k][column]. */
static const struct loop_expr *packed_panel(struct product *d, struct writer *w, const struct unit *u,
                                            const struct loop_expr *panel) {
    if (d->by.mode == B_PACKED_HERE)
        return times(w, plus(w, panel, times(w, u->panel_low, -1)), panel_elements(d));
    const struct loop_expr *block = plus(w, times(w, u->point, d->by.k_blocks), u->k_block);
    return times(w, plus(w, times(w, block, d->by.panels), panel), panel_elements(d));
}

/* A block of A in the dtype of the sums: [row][k], or [k][row] where A's rows are neighbours in memory. */
static bool cast_is_by_rows(const struct product *d) {
    return d->m.a != 1;
}

static struct buffer *cast_buffer(struct product *d, struct writer *w) {
    return writer_memory(w, SPACE_WORKER, d->cast, d->c->dtype, block_rows(d) * d->by.k_block * d->inner,
                         "cast");
}

/* From a row, and from a step of the innermost level of k, to the next. */
static int64_t cast_row(const struct product *d) {
    return cast_is_by_rows(d) ? d->by.k_block * d->inner : 1;
}
static int64_t cast_step(const struct product *d) {
    return cast_is_by_rows(d) ? 1 : block_rows(d);
}

static void tile_levels(struct product *d, struct writer *w, const struct unit *u, struct tile *t) {
    int64_t packed = d->by.panel, cast = cast_step(d);
    t->level_count = d->k.count;
    for (int i = d->k.count - 1; i >= 0; i--) {
        const struct axis *k = &d->k.at[i];
        t->levels[i] = (struct tile_level){.count = i ? index_of(w, k->extent) : u->k_count,
                                           .a = d->cast < 0 ? k->a : cast,
                                           .b = d->by.mode == B_IN_PLACE ? k->b : packed};
        packed *= k->extent;
        cast *= k->extent;
    }
}

static const struct loop_expr *block_of_a(const struct product *d, struct writer *w, const struct unit *u,
                                          const struct loop_expr *row) {
    return plus(w, plus(w, u->at.a, times(w, row, d->m.a)), times(w, u->k_first, d->k.at[0].a));
}

/* One micro-kernel: rows from `row`, `columns` columns of the panel. */
static void write_tile(struct product *d, struct writer *w, const struct unit *u,
                       const struct loop_expr *panel, const struct loop_expr *row, int rows, int columns) {
    struct tile *t = writer_tile(w, TILE_OUTER, rows, columns);
    t->pairs = d->has_pairs;
    const struct loop_expr *column = times(w, panel, d->by.panel);
    if (d->cast < 0) {
        tile_read_a(t, operand_buffer(w, &d->a, "a"), d->a.as);
        t->a_index = block_of_a(d, w, u, row);
        t->a_m = d->m.a;
    } else {
        tile_read_a(t, cast_buffer(d, w), d->c->dtype);
        t->a_index = times(w, plus(w, row, times(w, u->row_low, -1)), cast_row(d));
        t->a_m = cast_row(d);
    }
    if (d->by.mode == B_IN_PLACE) {
        tile_read_b(t, operand_buffer(w, &d->b, "b"), d->b.as);
        t->b_index[0] =
            plus(w, plus(w, u->at.b, times(w, column, d->n.b)), times(w, u->k_first, d->k.at[0].b));
    } else {
        tile_read_b(t, packed_buffer(d, w), packed_dtype(d));
        t->b_index[0] = packed_panel(d, w, u, panel);
    }
    const struct loop_expr *outer = plus(w, u->at.c, times(w, row, d->m.c)), *c = plus(w, outer, column);
    bool is_stored = d->c->finish.kind != FINISH_TILE || d->by.k_blocks > 1;
    t->c = is_stored ? finish_raw(w, &d->c->finish) : writer_argument(w, d->c->finish.first_result);
    t->c_index[0] = c;
    t->c_m = d->m.c;
    t->c_n = 1;
    tile_levels(d, w, u, t);
    if (d->by.k_blocks > 1) {
        t->accumulate = is_positive(w, u->k_block);
        t->last = is_at(w, u->k_block, d->by.k_blocks - 1);
    }
    if (d->c->finish.kind == FINISH_TILE)
        finish_tile(w, &d->c->finish, t, (struct run){outer, column, d->n.extent}, d->m.c);
}

static void write_rows(struct product *d, struct writer *w, const struct unit *u,
                       const struct loop_expr *panel, int columns, const struct loop_expr *low,
                       const struct loop_expr *high) {
    const struct row_split *s = &d->by.split;
    const struct loop_expr *big = index_of(w, s->big);
    if (s->big) {
        const struct loop_expr *i = writer_for(w, "tile", low, least(w, high, big), LOOP_SERIAL);
        write_tile(d, w, u, panel, times(w, i, s->height + 1), (int)s->height + 1, columns);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        const struct loop_expr *i = writer_for(w, "tile", most(w, low, big), high, LOOP_SERIAL);
        write_tile(d, w, u, panel, plus_n(w, times(w, i, s->height), s->big), (int)s->height, columns);
        writer_end(w);
    }
}

static void write_panels(struct product *d, struct writer *w, const struct unit *u,
                         const struct loop_expr *low, const struct loop_expr *high) {
    int64_t whole = d->n.extent / d->by.panel, edge = d->n.extent % d->by.panel;
    if (whole) {
        const struct loop_expr *end = least(w, u->panel_high, index_of(w, whole));
        const struct loop_expr *panel = writer_for(w, "panel", u->panel_low, end, LOOP_SERIAL);
        write_rows(d, w, u, panel, (int)d->by.panel, low, high);
        writer_end(w);
    }
    if (edge) {
        writer_if(w, is_below(w, index_of(w, whole), u->panel_high));
        write_rows(d, w, u, index_of(w, whole), (int)edge, low, high);
        writer_end(w);
    }
}

/* FINISH_LOOP over the unit's part of some tiles of rows, once k is through. */
static void finish_rows(struct product *d, struct writer *w, const struct unit *u,
                        const struct loop_expr *low, const struct loop_expr *high) {
    const struct loop_expr *first = times(w, u->panel_low, d->by.panel);
    const struct loop_expr *end = least(w, times(w, u->panel_high, d->by.panel), index_of(w, d->n.extent));
    writer_if(w, d->by.k_blocks > 1 ? is_at(w, u->k_block, d->by.k_blocks - 1) : NULL);
    const struct loop_expr *count = writer_let(w, "count", plus(w, end, times(w, first, -1)));
    const struct loop_expr *row = writer_for(w, "m", row_of_tile(w, &d->by.split, low),
                                             row_of_tile(w, &d->by.split, high), LOOP_SERIAL);
    struct run run = {plus(w, u->at.c, times(w, row, d->m.c)), first, d->n.extent};
    finish_run(w, &d->c->finish, run, count);
    writer_end(w);
    writer_end(w);
}

/* The loops over a block of A: what lies together there is innermost. */
static void cast_block(struct product *d, struct writer *w, const struct unit *u,
                       const struct loop_expr *rows) {
    const struct loop_expr *from = block_of_a(d, w, u, u->row_low), *to = index_of(w, 0);
    bool by_rows = cast_is_by_rows(d);
    if (by_rows) {
        const struct loop_expr *row = writer_for(w, "row", index_of(w, 0), rows, LOOP_SERIAL);
        from = plus(w, from, times(w, row, d->m.a));
        to = plus(w, to, times(w, row, cast_row(d)));
    }
    int64_t step = cast_step(d) * d->inner;
    for (int i = 0; i < d->k.count; i++) {
        bool is_vector = by_rows && i == d->k.count - 1;
        const struct loop_expr *count = i ? index_of(w, d->k.at[i].extent) : u->k_count;
        const struct loop_expr *k =
            writer_for(w, "k", index_of(w, 0), count, is_vector ? LOOP_VECTOR : LOOP_SERIAL);
        from = plus(w, from, times(w, k, d->k.at[i].a));
        to = plus(w, to, times(w, k, step));
        step /= i + 1 < d->k.count ? d->k.at[i + 1].extent : 1;
    }
    if (!by_rows) {
        const struct loop_expr *row = writer_for(w, "row", index_of(w, 0), rows, LOOP_VECTOR);
        from = plus(w, from, times(w, row, d->m.a));
        to = plus(w, to, row);
    }
    writer_store(w, cast_buffer(d, w), to, operand_load(w, &d->a, "a", from, d->c->dtype));
    for (int i = 0; i < d->k.count + 1; i++)
        writer_end(w);
}

/* Tiles of rows in blocks that stay in L2. */
static void write_block(struct product *d, struct writer *w, struct unit *u) {
    int64_t blocks = ceil_div(d->by.tiles_per_part, d->by.row_block);
    int64_t each = ceil_div(d->by.tiles_per_part, blocks);
    const struct loop_expr *low = u->tile_low, *high = u->tile_high;
    const struct loop_expr *block = writer_count(w, "rows", blocks);
    if (blocks > 1) {
        low = writer_let(w, "low", plus(w, u->tile_low, times(w, block, each)));
        high = writer_let(w, "high", least(w, plus_n(w, low, each), u->tile_high));
    }
    if (d->cast >= 0) {
        u->row_low = writer_let(w, "first", row_of_tile(w, &d->by.split, low));
        const struct loop_expr *end = row_of_tile(w, &d->by.split, high);
        cast_block(d, w, u, plus(w, end, times(w, u->row_low, -1)));
    }
    write_panels(d, w, u, low, high);
    if (d->c->finish.kind == FINISH_LOOP)
        finish_rows(d, w, u, low, high);
    writer_end(w);
}

/* ---- packing B ---- */

/* An element of what is packed, of B at `from`: two bf16 of different rows become a word. */
static const struct loop_expr *packed_element(struct product *d, struct writer *w,
                                              const struct loop_expr *from) {
    if (!d->pair)
        return operand_load(w, &d->b, "b", from, packed_dtype(d));
    const struct loop_expr *bits[2];
    for (int i = 0; i < 2; i++) { /* a bf16 is the upper half of an f32 */
        const struct loop_expr *x = operand_load(w, &d->b, "b", plus_n(w, from, i * d->pair), DTYPE_f32);
        bits[i] = lexpr_op(w->f, OP_bitcast, DTYPE_u32, &x, 1);
    }
    bits[0] = lexpr_binary(w->f, OP_shr, DTYPE_u32, bits[0], lexpr_int(w->f, DTYPE_u32, 16));
    const struct loop_expr *word = lexpr_binary(w->f, OP_or, DTYPE_u32, bits[0], bits[1]);
    return lexpr_op(w->f, OP_bitcast, DTYPE_i32, &word, 1);
}

/* Any strides: an element at a time. */
static void pack_elements(struct product *d, struct writer *w, const struct loop_expr *from,
                          const struct loop_expr *to, const struct loop_expr *columns) {
    const struct loop_expr *j = writer_for(w, "n", index_of(w, 0), columns, LOOP_VECTOR);
    const struct loop_expr *value = packed_element(d, w, plus(w, from, times(w, j, d->n.b)));
    writer_store(w, packed_buffer(d, w), plus(w, to, j), value);
    writer_end(w);
}

/* k is contiguous in B: lanes x lanes blocks change place. */
static void pack_square(struct product *d, struct writer *w, const struct loop_expr *from,
                        const struct loop_expr *to, int rows, int columns) {
    struct tile *t = writer_tile(w, TILE_TRANSPOSE, rows, columns);
    tile_read_a(t, operand_buffer(w, &d->b, "b"), d->b.as);
    t->a_index = from;
    t->a_m = d->n.b;
    t->c = packed_buffer(d, w);
    t->c_index[0] = to;
    t->c_m = d->by.panel;
}

static const struct loop_expr *innermost_count(struct product *d, struct writer *w, const struct unit *u) {
    return d->k.count > 1 ? index_of(w, d->k.at[d->k.count - 1].extent) : u->k_count;
}

/* A vector of columns, `rows` of them real, along all of k. */
static void pack_strip(struct product *d, struct writer *w, const struct loop_expr *from,
                       const struct loop_expr *to, int rows, const struct loop_expr *count) {
    int lanes = d->c->lanes;
    int64_t rest = d->k.at[d->k.count - 1].extent % lanes; /* only the last block has one */
    const struct loop_expr *whole = lexpr_div(w->f, count, lanes);
    const struct loop_expr *i = writer_for(w, "k", index_of(w, 0), whole, LOOP_SERIAL);
    pack_square(d, w, plus(w, from, times(w, i, lanes)), plus(w, to, times(w, i, lanes * d->by.panel)), rows,
                lanes);
    writer_end(w);
    if (!rest)
        return;
    writer_if(w, is_below(w, times(w, whole, lanes), count));
    pack_square(d, w, plus(w, from, times(w, whole, lanes)),
                plus(w, to, times(w, whole, lanes * d->by.panel)), rows, (int)rest);
    writer_end(w);
}

static void pack_squares(struct product *d, struct writer *w, const struct loop_expr *from,
                         const struct loop_expr *to, int64_t columns, const struct loop_expr *count) {
    int64_t lanes = d->c->lanes, whole = columns / lanes, rest = columns % lanes;
    const struct loop_expr *i = writer_count(w, "vector", whole);
    if (whole)
        pack_strip(d, w, plus(w, from, times(w, i, lanes * d->n.b)), plus(w, to, times(w, i, lanes)),
                   (int)lanes, count);
    writer_end(w);
    if (rest)
        pack_strip(d, w, plus_n(w, from, whole * lanes * d->n.b), plus_n(w, to, whole * lanes), (int)rest,
                   count);
}

/* Opens loops over levels of k but the innermost `skipped`, and moves from and to along. */
static void open_levels(struct product *d, struct writer *w, const struct unit *u, int skipped,
                        const struct loop_expr **from, const struct loop_expr **to) {
    int64_t step = d->by.panel * d->inner;
    for (int i = 0; i < d->k.count; i++) {
        if (i < d->k.count - skipped) {
            const struct loop_expr *count = i ? index_of(w, d->k.at[i].extent) : u->k_count;
            const struct loop_expr *k = writer_for(w, "k", index_of(w, 0), count, LOOP_SERIAL);
            *from = plus(w, *from, times(w, k, d->k.at[i].b));
            *to = plus(w, *to, times(w, k, step));
        }
        step /= i + 1 < d->k.count ? d->k.at[i + 1].extent : 1;
    }
}

static void close_levels(struct product *d, struct writer *w, int skipped) {
    for (int i = 0; i < d->k.count - skipped; i++)
        writer_end(w);
}

static const struct loop_expr *panel_source(struct product *d, struct writer *w, const struct unit *u,
                                            const struct loop_expr *panel) {
    const struct loop_expr *from = plus(w, u->at.b, times(w, times(w, panel, d->by.panel), d->n.b));
    return plus(w, from, times(w, u->k_first, d->k.at[0].b));
}

/* One panel of `columns` columns (a number) for the unit's block of k. */
static void pack_panel(struct product *d, struct writer *w, const struct unit *u,
                       const struct loop_expr *panel, const struct loop_expr *to, int64_t columns) {
    const struct loop_expr *from = panel_source(d, w, u, panel);
    bool transposes = d->k.at[d->k.count - 1].b == 1 && d->n.b != 1;
    open_levels(d, w, u, transposes, &from, &to);
    if (transposes)
        pack_squares(d, w, from, to, columns, innermost_count(d, w, u));
    else
        pack_elements(d, w, from, to, index_of(w, columns));
    close_levels(d, w, transposes);
}

/* B's rows are contiguous: `rows` of them are copied, a panel's columns at a time. */
static void copy_rows(struct product *d, struct writer *w, const struct unit *u, const struct loop_expr *from,
                      const struct loop_expr *to, int rows, const struct loop_expr *panel, int64_t columns) {
    struct tile *t = writer_tile(w, TILE_COPY, rows, (int)columns);
    tile_read_a(t, operand_buffer(w, &d->b, "b"), d->b.as);
    t->a_index = plus(w, panel_source(d, w, u, panel), from);
    t->a_m = d->k.at[d->k.count - 1].b;
    t->c = packed_buffer(d, w);
    t->c_index[0] = plus(w, packed_panel(d, w, u, panel), to);
    t->c_m = d->by.panel;
}

static void copy_panels(struct product *d, struct writer *w, const struct unit *u,
                        const struct loop_expr *from, const struct loop_expr *to, int rows) {
    int64_t whole = d->n.extent / d->by.panel, edge = d->n.extent % d->by.panel;
    if (whole) {
        const struct loop_expr *end = least(w, u->panel_high, index_of(w, whole));
        const struct loop_expr *panel = writer_for(w, "panel", u->panel_low, end, LOOP_SERIAL);
        copy_rows(d, w, u, from, to, rows, panel, d->by.panel);
        writer_end(w);
    }
    if (edge) {
        writer_if(w, is_below(w, index_of(w, whole), u->panel_high));
        copy_rows(d, w, u, from, to, rows, index_of(w, whole), edge);
        writer_end(w);
    }
}

/* A few rows of B at a time over all panels of the unit: long runs of memory, for the sake of prefetching. */
static void pack_rows(struct product *d, struct writer *w, const struct unit *u) {
    enum { ROWS = 4 };
    const struct loop_expr *from = index_of(w, 0), *to = from;
    open_levels(d, w, u, 1, &from, &to);
    const struct loop_expr *count = innermost_count(d, w, u), *whole = lexpr_div(w->f, count, ROWS);
    int64_t step = d->k.at[d->k.count - 1].b;
    const struct loop_expr *k = writer_for(w, "k", index_of(w, 0), whole, LOOP_SERIAL);
    copy_panels(d, w, u, plus(w, from, times(w, k, ROWS * step)),
                plus(w, to, times(w, k, ROWS * d->by.panel)), ROWS);
    writer_end(w);
    k = writer_for(w, "k", times(w, whole, ROWS), count, LOOP_SERIAL);
    copy_panels(d, w, u, plus(w, from, times(w, k, step)), plus(w, to, times(w, k, d->by.panel)), 1);
    writer_end(w);
    close_levels(d, w, 1);
}

/* The panels of a unit, from panel_low on. */
static void pack_panels(struct product *d, struct writer *w, const struct unit *u) {
    if (d->n.b == 1 && !d->pair) {
        pack_rows(d, w, u);
        return;
    }
    int64_t whole = d->n.extent / d->by.panel, edge = d->n.extent % d->by.panel;
    if (whole) {
        const struct loop_expr *end = least(w, u->panel_high, index_of(w, whole));
        const struct loop_expr *panel = writer_for(w, "panel", u->panel_low, end, LOOP_SERIAL);
        pack_panel(d, w, u, panel, packed_panel(d, w, u, panel), d->by.panel);
        writer_end(w);
    }
    if (edge) {
        writer_if(w, is_below(w, index_of(w, whole), u->panel_high));
        const struct loop_expr *panel = index_of(w, whole);
        pack_panel(d, w, u, panel, packed_panel(d, w, u, panel), edge);
        writer_end(w);
    }
}

/* ---- the phase ---- */

struct grid_place grid_place(const struct product *d, struct writer *w, const struct loop_expr *point) {
    struct grid_place p = {index_of(w, d->a.base), index_of(w, d->b.base), index_of(w, 0)};
    for (int i = d->grid.count - 1; i >= 0; i--) {
        const struct axis *g = &d->grid.at[i];
        const struct loop_expr *at = i ? lexpr_mod(w->f, point, g->extent) : point;
        point = lexpr_div(w->f, point, g->extent);
        p.a = plus(w, p.a, times(w, at, g->a));
        p.b = plus(w, p.b, times(w, at, g->b));
        p.c = plus(w, p.c, times(w, at, g->c));
    }
    return p;
}

static void unit_place(struct product *d, struct writer *w, const struct loop_expr *unit, struct unit *u) {
    const struct blocking *by = &d->by;
    const struct loop_expr *column = lexpr_mod(w->f, unit, by->column_parts);
    unit = lexpr_div(w->f, unit, by->column_parts);
    const struct loop_expr *row = lexpr_mod(w->f, unit, by->row_parts);
    u->point = lexpr_div(w->f, unit, by->row_parts);
    u->at = grid_place(d, w, u->point);
    u->panel_low = times(w, column, by->panels_per_part);
    u->panel_high = least(w, plus_n(w, u->panel_low, by->panels_per_part), index_of(w, by->panels));
    u->tile_low = times(w, row, by->tiles_per_part);
    u->tile_high = least(w, plus_n(w, u->tile_low, by->tiles_per_part), index_of(w, by->split.tiles));
}

/* Opens the loop over blocks of k. */
static void k_place(struct product *d, struct writer *w, struct unit *u) {
    u->k_block = writer_count(w, "block", d->by.k_blocks);
    u->k_first = times(w, u->k_block, d->by.k_block);
    const struct loop_expr *rest = plus(w, index_of(w, d->k.at[0].extent), times(w, u->k_first, -1));
    u->k_count = writer_let(w, "depth", least(w, index_of(w, d->by.k_block), rest));
}

static void write_unit(struct product *d, struct writer *w, struct unit *u) {
    const struct blocking *by = &d->by;
    k_place(d, w, u);
    if (by->mode == B_PACKED_HERE)
        pack_panels(d, w, u);
    write_block(d, w, u);
    writer_end(w);
}

static void write_phase(struct product *d) {
    const struct blocking *by = &d->by;
    struct writer w;
    writer_begin(&w, d->c->l, d->c->out, d->c->kernel);
    int64_t units = grid_points(d) * by->row_parts * by->column_parts;
    int64_t tasks = ceil_div(units, by->units_per_task);
    const struct loop_expr *low = times(&w, writer_task(&w, tasks), by->units_per_task);
    const struct loop_expr *high = least(&w, plus_n(&w, low, by->units_per_task), index_of(&w, units));
    const struct loop_expr *unit = low;
    if (by->units_per_task > 1)
        unit = writer_for(&w, "unit", low, high, LOOP_SERIAL);
    struct unit u = {0};
    unit_place(d, &w, unit, &u);
    write_unit(d, &w, &u);
    if (by->units_per_task > 1)
        writer_end(&w);
    writer_finish(&w, tasks);
}

/* B_PACKED_BEFORE: a task is a run of panels of one point of the grid. */
static void write_packing(struct product *d) {
    enum { RUN = 4 };
    struct writer w;
    writer_begin(&w, d->c->l, d->c->out, d->c->kernel);
    int64_t runs = ceil_div(d->by.panels, RUN), tasks = runs * grid_points(d);
    const struct loop_expr *task = writer_task(&w, tasks);
    struct unit u = {0};
    u.point = lexpr_div(w.f, task, runs);
    u.at = grid_place(d, &w, u.point);
    u.panel_low = times(&w, lexpr_mod(w.f, task, runs), RUN);
    u.panel_high = least(&w, plus_n(&w, u.panel_low, RUN), index_of(&w, d->by.panels));
    k_place(d, &w, &u);
    pack_panels(d, &w, &u);
    writer_end(&w);
    writer_finish(&w, tasks);
}

static void explain(const struct product *d) {
    static const char *const modes[] = {[B_IN_PLACE] = "in place",
                                        [B_PACKED_HERE] = "packed by each task",
                                        [B_PACKED_BEFORE] = "packed before"};
    if (!d->c->l->why)
        return;
    strbuf_printf(
        d->c->l->why,
        "dot %lldx%lldx%lld%s, grid %lld: tile %dx%d vectors, k in %lld x %lld, B %s, %lld x %lld parts\n",
        (long long)d->m.extent, (long long)d->n.extent, (long long)d->depth, d->has_pairs ? " pairs" : "",
        (long long)grid_points(d), d->by.rows, d->by.vectors, (long long)d->by.k_blocks,
        (long long)d->by.k_block, modes[d->by.mode], (long long)d->by.row_parts,
        (long long)d->by.column_parts);
}

bool contract_product(struct contraction *c, const struct operand *a, const struct operand *b,
                      const struct axes *m, const struct axes *n, const struct axes *k,
                      const struct axes *grid) {
    struct product d = {.c = c, .a = *a, .b = *b, .k = *k, .grid = *grid};
    choose_axes(&d, *m, *n);
    if (d.k.count > TILE_LEVELS) {
        diag_error_at(c->l->diags, c->core->site, E_COMPILE,
                      "a product over %d axes that are not next to each other in memory", d.k.count);
        return false;
    }
    if (product_suits_inner(&d)) {
        product_inner(&d);
        return true;
    }
    choose_pairs(&d);
    choose_blocking(&d);
    int64_t panel_bytes = panel_elements(&d) * dtype_bytes(c->dtype);
    if (d.by.mode == B_PACKED_HERE)
        d.packed = kernel_worker(c->out, d.by.panels_per_part * panel_bytes);
    d.cast = -1;
    if (is_a_cast_before(&d))
        d.cast = kernel_worker(c->out, block_rows(&d) * d.by.k_block * d.inner * dtype_bytes(c->dtype));
    explain(&d);
    if (d.by.mode == B_PACKED_BEFORE) {
        d.packed = kernel_shared(c->out, grid_points(&d) * d.by.panels * d.by.k_blocks * panel_bytes);
        write_packing(&d);
    }
    write_phase(&d);
    return true;
}
