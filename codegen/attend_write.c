/* codegen/attend_write.c: the loops of one sweep of attention (struct sweep): blocking, packing, the register
 * tiles of products and sums, what is stored. */
#include "codegen/attend.h"

/* ---- memory ---- */

struct buffer *sweep_memory(struct sweep *s, struct writer *w, int64_t offset, int64_t elements,
                            const char *name) {
    return writer_memory(w, SPACE_WORKER, offset, s->t->dtype, elements, name);
}

struct buffer *scores_buffer(struct sweep *s, struct writer *w, int which) {
    return sweep_memory(s, w, s->scores[which], s->rows_per_block * s->panel, "scores");
}

struct buffer *sums_buffer(struct sweep *s, struct writer *w, int which) {
    return sweep_memory(s, w, s->sums_at[which],
                        s->panels_per_unit * s->sums[which]->other.features * s->panel, "sums");
}

static const struct attend_side *lane_side(const struct sweep *s, int product) {
    return &s->products[product]->side[s->lanes_are_x ? 0 : 1];
}

static const struct attend_side *row_side(const struct sweep *s, int product) {
    return &s->products[product]->side[s->lanes_are_x ? 1 : 0];
}

static struct buffer *packed_buffer(struct sweep *s, struct writer *w, int product) {
    int64_t elements = s->panels_per_unit * lane_side(s, product)->features * s->panel;
    return sweep_memory(s, w, s->packed[product], elements, "packed");
}

const struct loop_expr *panel_in_unit(struct writer *w, const struct sweep_place *p) {
    return plus(w, p->panel, times(w, p->panel_low, -1));
}

/* ---- blocking ---- */

static int64_t depth_of(const struct sweep *s) {
    int64_t depth = 1;
    for (int i = 0; i < s->product_count; i++)
        depth = at_least(depth, row_side(s, i)->features);
    for (int i = 0; i < s->sum_count; i++)
        depth = at_least(depth, s->sums[i]->other.features);
    return depth;
}

static double multiply_adds(const struct sweep *s) {
    double each = 0, points = 1;
    for (int i = 0; i < s->product_count; i++)
        each += (double)row_side(s, i)->features;
    for (int i = 0; i < s->sum_count; i++)
        each += (double)s->sums[i]->other.features;
    for (int i = 0; i < s->t->a.batch; i++)
        points *= (double)s->t->batch[i];
    return points * (each + 8) * (double)s->lane_count * (double)s->row_count; /* 8: the exponential */
}

/* Points of the batch that are units of their own, or that each unit walks through. */
static int64_t points_of(const struct sweep *s, bool inner) {
    int64_t points = 1;
    for (int i = 0; i < s->t->a.batch; i++)
        points *= s->is_inner[i] == inner ? s->t->batch[i] : 1;
    return points;
}

/* Blocks of whole tiles but for the last, which has one tile's rows at least: its last tile ends with the
 * last row, and computes some rows twice. */
static void choose_rows(struct sweep *s, int64_t fit) {
    enum { LEAST_ROWS = 48 };
    int64_t tiles = ceil_div(s->row_count, s->height);
    int64_t most = at_least(1, at_least(fit, LEAST_ROWS) / s->height);
    s->blocks = ceil_div(tiles, most);
    int64_t each = ceil_div(tiles, s->blocks);
    while (each > 1 && s->row_count - (s->blocks - 1) * each * s->height < s->height)
        each--;
    s->rows_per_block = each * s->height;
    s->blocks = ceil_div(s->row_count, s->rows_per_block);
    if (s->row_count - (s->blocks - 1) * s->rows_per_block < s->height) { /* no cut does */
        s->blocks = 1;
        s->rows_per_block = tiles * s->height;
    }
}

/* A block of rows of an operand, and the scores of a panel with it, share L1. A unit has some panels, for
 * whose sake rows that do not lie together are copied. */
static void choose_blocking(struct sweep *s) {
    /* FEW: a part of all lanes that may be idle, for the sake of half the code. */
    enum { UNIT_LANES = 128, LEAST_UNITS = 4, FEW = 12 };
    const struct target *target = s->t->l->target;
    int64_t element = dtype_bytes(s->t->dtype), depth = depth_of(s);
    double work = multiply_adds(s);
    struct tile_work shape = {s->row_count, s->lane_count, s->t->lanes, (double)depth, work < SMALL_PRODUCT};
    int rows;
    choose_tile(target, &shape, &rows, &s->vectors);
    s->height = at_most(rows, s->row_count);
    s->panel = s->vectors * s->t->lanes;
    s->panels = ceil_div(s->lane_count, s->panel);
    int64_t idle = (s->panels * s->panel - s->lane_count) / s->t->lanes * s->t->lanes;
    s->has_even_panels = !sweep_reads_memory(s) && idle * FEW <= s->lane_count;
    int64_t buffers = at_least(s->product_count, s->sum_count);
    choose_rows(s, target->l1_bytes * 7 / 8 / element / (depth + buffers * s->panel));
    int64_t points = points_of(s, false), most = at_least(1, UNIT_LANES / s->panel);
    int64_t wanted = task_target(work);
    int64_t parts = at_least(ceil_div(s->panels, most),
                             at_most(ceil_div(at_most(wanted, LEAST_UNITS), points), s->panels));
    s->panels_per_unit = ceil_div(s->panels, parts);
    s->units_per_point = ceil_div(s->panels, s->panels_per_unit);
    s->units_per_task = ceil_div(points * s->units_per_point, wanted);
}

/* Rows that are one run of memory, of the dtype of the sums, are read in place. */
static bool is_in_place(const struct sweep *s, const struct attend_side *side) {
    const struct operand *o = &side->operand;
    return o->dtype == s->t->dtype && o->as == o->dtype && side->feature == 1 && side->row == side->features;
}

static int64_t take(struct sweep *s, int64_t *at, int64_t elements) {
    int64_t offset = *at;
    *at += (elements * dtype_bytes(s->t->dtype) + 63) / 64 * 64;
    return offset;
}

/* The copy of rows that a product made serves a sum as well. */
static int64_t copy_of(const struct sweep *s, const struct attend_side *side, int products) {
    for (int i = 0; i < products; i++) {
        const struct attend_side *other = row_side(s, i);
        const struct operand *a = &side->operand, *b = &other->operand;
        bool same = a->space == b->space && a->argument == b->argument && a->offset == b->offset &&
                    a->base == b->base && a->as == b->as && side->row == other->row &&
                    side->feature == other->feature && side->features == other->features;
        for (int k = 0; k < s->t->a.batch; k++)
            same &= side->batch[k] == other->batch[k];
        if (same)
            return s->product_copy[i];
    }
    return -1;
}

static void choose_memory(struct sweep *s) {
    int64_t at = 0, rows = s->rows_per_block;
    for (int i = 0; i < at_least(s->product_count, s->sum_count); i++)
        s->scores[i] = take(s, &at, rows * s->panel);
    for (int i = 0; i < s->product_count; i++) {
        s->packed[i] = take(s, &at, s->panels_per_unit * lane_side(s, i)->features * s->panel);
        const struct attend_side *side = row_side(s, i);
        s->product_copy[i] = -1;
        if (!is_in_place(s, side))
            s->product_copy[i] = take(s, &at, rows * side->features);
    }
    for (int i = 0; i < s->sum_count; i++) {
        const struct attend_side *side = &s->sums[i]->other;
        s->sums_at[i] = take(s, &at, s->panels_per_unit * side->features * s->panel);
        s->sum_copy[i] = -1;
        if (!is_in_place(s, side) && (s->sum_copy[i] = copy_of(s, side, s->product_count)) < 0)
            s->sum_copy[i] = take(s, &at, rows * side->features);
    }
    s->greatest = take(s, &at, s->panels_per_unit * s->panel);
    s->total = take(s, &at, s->panels_per_unit * s->panel);
    s->factor = take(s, &at, s->panel);
    s->t->out->worker_bytes = at_least(s->t->out->worker_bytes, at);
}

/* ---- places ---- */

static const struct loop_expr *side_begin(struct sweep *s, struct writer *w, const struct sweep_place *p,
                                          const struct attend_side *side) {
    const struct loop_expr *at = index_of(w, side->operand.base);
    for (int i = 0; i < s->t->a.batch; i++)
        at = plus(w, at, times(w, p->batch[i], side->batch[i]));
    return at;
}

static const struct loop_expr *result_begin(struct sweep *s, struct writer *w, const struct sweep_place *p,
                                            const struct attend_result *r) {
    const struct loop_expr *at = index_of(w, 0);
    for (int i = 0; i < s->t->a.batch; i++)
        at = plus(w, at, times(w, p->batch[i], r->batch[i]));
    return at;
}

/* ---- packing lanes: [panel][feature][lane], zeros behind the last lane ---- */

static void pack_square(struct sweep *s, struct writer *w, const struct attend_side *side, struct buffer *to,
                        const struct loop_expr *from, const struct loop_expr *at, int64_t lanes,
                        int64_t features) {
    struct tile *t = writer_tile(w, TILE_TRANSPOSE, (int)lanes, (int)features);
    tile_read_a(t, operand_buffer(w, &side->operand, "lanes"), side->operand.as);
    t->a_index = from;
    t->a_m = side->row;
    t->c = to;
    t->c_index[0] = at;
    t->c_m = s->panel;
    t->c_full = true;
}

/* A vector of lanes. */
static void pack_strip(struct sweep *s, struct writer *w, const struct attend_side *side, struct buffer *to,
                       const struct loop_expr *from, const struct loop_expr *at, int64_t count) {
    int64_t lanes = s->t->lanes, whole = side->features / lanes, rest = side->features % lanes;
    if (whole) {
        const struct loop_expr *i = writer_count(w, "feature", whole);
        pack_square(s, w, side, to, plus(w, from, times(w, i, lanes)),
                    plus(w, at, times(w, i, lanes * s->panel)), count, lanes);
        writer_end(w);
    }
    if (rest)
        pack_square(s, w, side, to, plus_n(w, from, whole * lanes), plus_n(w, at, whole * lanes * s->panel),
                    count, rest);
}

/* Zeros in lanes from `first` on. */
static void clear_lanes(struct sweep *s, struct writer *w, const struct attend_side *side, struct buffer *to,
                        const struct loop_expr *at, int64_t first, int64_t padded) {
    if (first >= padded)
        return;
    const struct loop_expr *f = writer_count(w, "feature", side->features);
    const struct loop_expr *line = plus(w, at, times(w, f, s->panel));
    const struct loop_expr *lane =
        writer_for(w, "lane", index_of(w, first), index_of(w, padded), LOOP_SERIAL);
    writer_store(w, to, plus(w, line, lane), writer_zero(w, s->t->dtype));
    writer_end(w);
    writer_end(w);
}

/* Features lie together: squares change place. */
static void pack_squares(struct sweep *s, struct writer *w, const struct attend_side *side, struct buffer *to,
                         const struct loop_expr *from, const struct loop_expr *at,
                         const struct sweep_place *p) {
    int64_t lanes = s->t->lanes, whole = p->columns / lanes, rest = p->columns % lanes;
    if (whole) {
        const struct loop_expr *i = writer_count(w, "vector", whole);
        pack_strip(s, w, side, to, plus(w, from, times(w, i, lanes * side->row)),
                   plus(w, at, times(w, i, lanes)), lanes);
        writer_end(w);
    }
    if (rest)
        pack_strip(s, w, side, to, plus_n(w, from, whole * lanes * side->row), plus_n(w, at, whole * lanes),
                   rest);
    clear_lanes(s, w, side, to, at, (whole + (rest > 0)) * lanes, p->padded);
}

static void pack_lines(struct sweep *s, struct writer *w, const struct attend_side *side, struct buffer *to,
                       const struct loop_expr *from, const struct loop_expr *at,
                       const struct sweep_place *p) {
    const struct loop_expr *f = writer_count(w, "feature", side->features);
    const struct loop_expr *line = plus(w, at, times(w, f, s->panel));
    const struct loop_expr *start = plus(w, from, times(w, f, side->feature));
    const struct loop_expr *lane =
        writer_for(w, "lane", index_of(w, 0), index_of(w, p->columns), LOOP_VECTOR);
    writer_store(
        w, to, plus(w, line, lane),
        operand_load(w, &side->operand, "lanes", plus(w, start, times(w, lane, side->row)), s->t->dtype));
    writer_end(w);
    writer_end(w);
    clear_lanes(s, w, side, to, at, p->columns, p->padded);
}

static void scale_panel(struct sweep *s, struct writer *w, const struct attend_product *product,
                        const struct attend_side *side, struct buffer *packed, const struct loop_expr *at,
                        const struct sweep_place *p) {
    if (!product->scaled)
        return;
    const struct loop_expr *f = writer_count(w, "feature", side->features);
    const struct loop_expr *lane = writer_for(w, "lane", index_of(w, 0), index_of(w, p->padded), LOOP_VECTOR);
    const struct loop_expr *place = plus(w, at, plus(w, times(w, f, s->panel), lane));
    const struct loop_expr *x = lexpr_load(w->f, packed, place);
    const struct loop_expr *scale = lexpr_float(w->f, s->t->dtype, product->scale);
    writer_store(w, packed, place, lexpr_binary(w->f, OP_mul, s->t->dtype, x, scale));
    writer_end(w);
    writer_end(w);
}

static void pack_panel(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    for (int i = 0; i < s->product_count; i++) {
        const struct attend_side *side = lane_side(s, i);
        struct buffer *to = packed_buffer(s, w, i);
        const struct loop_expr *from =
            plus(w, side_begin(s, w, p, side), times(w, times(w, p->panel, s->panel), side->row));
        const struct loop_expr *at = times(w, panel_in_unit(w, p), side->features * s->panel);
        if (side->feature == 1 && side->row != 1)
            pack_squares(s, w, side, to, from, at, p);
        else
            pack_lines(s, w, side, to, from, at, p);
        scale_panel(s, w, s->products[i], side, to, at, p);
    }
}

/* ---- rows ---- */

/* Where rows are read from: in place, or the block's copy. */
struct rows {
    struct buffer *buffer;
    enum dtype as;
    const struct loop_expr *begin; /* of the block's first row */
    int64_t row, feature;
};

/* Copies lie as rows of features, or where rows are neighbours in memory as lines of rows. */
static bool is_by_rows(const struct attend_side *side) {
    return side->row != 1 || side->feature == 1;
}

static struct rows rows_of(struct sweep *s, struct writer *w, const struct sweep_place *p,
                           const struct attend_side *side, int64_t copy) {
    if (copy < 0)
        return (struct rows){operand_buffer(w, &side->operand, "rows"), side->operand.as,
                             plus(w, side_begin(s, w, p, side), times(w, p->row_low, side->row)), side->row,
                             side->feature};
    bool by_rows = is_by_rows(side);
    return (struct rows){sweep_memory(s, w, copy, s->rows_per_block * side->features, "copy"), s->t->dtype,
                         index_of(w, 0), by_rows ? side->features : 1, by_rows ? 1 : s->rows_per_block};
}

static void copy_rows(struct sweep *s, struct writer *w, const struct sweep_place *p,
                      const struct attend_side *side, int64_t copy) {
    struct rows to = rows_of(s, w, p, side, copy);
    const struct loop_expr *from = plus(w, side_begin(s, w, p, side), times(w, p->row_low, side->row));
    const struct loop_expr *row, *feature, *features = index_of(w, side->features);
    if (is_by_rows(side)) {
        row = writer_for(w, "row", index_of(w, 0), p->rows, LOOP_SERIAL);
        feature = writer_for(w, "feature", index_of(w, 0), features, LOOP_VECTOR);
    } else {
        feature = writer_for(w, "feature", index_of(w, 0), features, LOOP_SERIAL);
        row = writer_for(w, "row", index_of(w, 0), p->rows, LOOP_VECTOR);
    }
    from = plus(w, from, plus(w, times(w, row, side->row), times(w, feature, side->feature)));
    const struct loop_expr *at = plus(w, times(w, row, to.row), times(w, feature, to.feature));
    writer_store(w, to.buffer, at, operand_load(w, &side->operand, "rows", from, s->t->dtype));
    writer_end(w);
    writer_end(w);
}

static void copy_block(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    for (int i = 0; i < s->product_count; i++)
        if (s->product_copy[i] >= 0)
            copy_rows(s, w, p, row_side(s, i), s->product_copy[i]);
    for (int i = 0; i < s->sum_count; i++)
        if (s->sum_copy[i] >= 0 && copy_of(s, &s->sums[i]->other, s->product_count) < 0)
            copy_rows(s, w, p, &s->sums[i]->other, s->sum_copy[i]);
}

/* ---- tiles ---- */

static void product_tile(struct sweep *s, struct writer *w, const struct sweep_place *p, int product,
                         const struct loop_expr *row) {
    const struct attend_side *lanes = lane_side(s, product);
    struct rows rows = rows_of(s, w, p, row_side(s, product), s->product_copy[product]);
    struct tile *t = writer_tile(w, TILE_OUTER, (int)s->height, (int)p->padded);
    tile_read_a(t, rows.buffer, rows.as);
    t->a_index = plus(w, rows.begin, times(w, row, rows.row));
    t->a_m = rows.row;
    tile_read_b(t, packed_buffer(s, w, product), s->t->dtype);
    t->b_index[0] = times(w, panel_in_unit(w, p), lanes->features * s->panel);
    t->c = scores_buffer(s, w, product);
    t->c_index[0] = times(w, row, s->panel);
    t->c_m = s->panel;
    t->c_n = 1;
    t->levels[t->level_count++] =
        (struct tile_level){.count = index_of(w, lanes->features), .a = rows.feature, .b = s->panel};
}

/* The last tile ends with the block's last row. */
static void write_product(struct sweep *s, struct writer *w, const struct sweep_place *p, int product) {
    const struct loop_expr *tiles = lexpr_div(w->f, plus_n(w, p->rows, s->height - 1), s->height);
    const struct loop_expr *i = writer_for(w, "tile", index_of(w, 0), tiles, LOOP_SERIAL);
    const struct loop_expr *row = least(w, times(w, i, s->height), plus_n(w, p->rows, -s->height));
    product_tile(s, w, p, product, s->row_count % s->height ? row : times(w, i, s->height));
    writer_end(w);
}

static void sum_tile(struct sweep *s, struct writer *w, const struct sweep_place *p, int sum,
                     const struct loop_expr *feature, int height) {
    const struct attend_side *side = &s->sums[sum]->other;
    struct rows rows = rows_of(s, w, p, side, s->sum_copy[sum]);
    struct tile *t = writer_tile(w, TILE_OUTER, height, (int)p->padded);
    tile_read_a(t, rows.buffer, rows.as);
    t->a_index = plus(w, rows.begin, times(w, feature, rows.feature));
    t->a_m = rows.feature;
    tile_read_b(t, scores_buffer(s, w, sum), s->t->dtype);
    t->b_index[0] = index_of(w, 0);
    t->c = sums_buffer(s, w, sum);
    t->c_index[0] =
        plus(w, times(w, panel_in_unit(w, p), side->features * s->panel), times(w, feature, s->panel));
    t->c_m = s->panel;
    t->c_n = 1;
    t->levels[t->level_count++] = (struct tile_level){.count = p->rows, .a = rows.row, .b = s->panel};
    t->accumulate = p->is_later;
}

/* As many features as the panel's vectors leave registers for; somewhat fewer where that cuts them evenly. */
static int sum_height(const struct sweep *s, int64_t features) {
    int most = (s->t->l->target->vector_registers - 1) / s->vectors - 1;
    most = most < 1 ? 1 : most > 12 ? 12 : most;
    for (int rows = most; rows > 1 && 3 * rows >= 2 * most; rows--)
        if (features % rows == 0)
            return rows;
    return most;
}

static void write_sum(struct sweep *s, struct writer *w, const struct sweep_place *p, int sum) {
    int64_t features = s->sums[sum]->other.features;
    struct row_split split = row_split(features, sum_height(s, features));
    if (split.big) {
        const struct loop_expr *i = writer_count(w, "tile", split.big);
        sum_tile(s, w, p, sum, times(w, i, split.height + 1), (int)split.height + 1);
        writer_end(w);
    }
    if (split.big < split.tiles) {
        const struct loop_expr *i =
            writer_for(w, "tile", index_of(w, split.big), index_of(w, split.tiles), LOOP_SERIAL);
        sum_tile(s, w, p, sum, plus_n(w, times(w, i, split.height), split.big), (int)split.height);
        writer_end(w);
    }
}

/* ---- storing ---- */

static void store_square(struct sweep *s, struct writer *w, const struct attend_result *r,
                         struct buffer *sums, const struct loop_expr *from, const struct loop_expr *at,
                         int64_t features, int64_t lanes) {
    struct tile *t = writer_tile(w, TILE_TRANSPOSE, (int)features, (int)lanes);
    tile_read_a(t, sums, s->t->dtype);
    t->a_index = from;
    t->a_m = s->panel;
    t->c = writer_argument(w, r->argument);
    t->c->is_written = true;
    t->c_index[0] = at;
    t->c_m = r->row;
}

static void store_strip(struct sweep *s, struct writer *w, const struct attend_result *r, struct buffer *sums,
                        const struct loop_expr *from, const struct loop_expr *at, int64_t count) {
    int64_t lanes = s->t->lanes, whole = r->other.features / lanes, rest = r->other.features % lanes;
    if (whole) {
        const struct loop_expr *i = writer_count(w, "feature", whole);
        store_square(s, w, r, sums, plus(w, from, times(w, i, lanes * s->panel)),
                     plus(w, at, times(w, i, lanes)), lanes, count);
        writer_end(w);
    }
    if (rest)
        store_square(s, w, r, sums, plus_n(w, from, whole * lanes * s->panel), plus_n(w, at, whole * lanes),
                     rest, count);
}

static void store_squares(struct sweep *s, struct writer *w, const struct attend_result *r,
                          struct buffer *sums, const struct loop_expr *from, const struct loop_expr *at,
                          int64_t columns) {
    int64_t lanes = s->t->lanes, whole = columns / lanes, rest = columns % lanes;
    if (whole) {
        const struct loop_expr *i = writer_count(w, "vector", whole);
        store_strip(s, w, r, sums, plus(w, from, times(w, i, lanes)),
                    plus(w, at, times(w, i, lanes * r->row)), lanes);
        writer_end(w);
    }
    if (rest)
        store_strip(s, w, r, sums, plus_n(w, from, whole * lanes), plus_n(w, at, whole * lanes * r->row),
                    rest);
}

static void store_lines(struct sweep *s, struct writer *w, const struct attend_result *r, struct buffer *sums,
                        const struct loop_expr *from, const struct loop_expr *at, int64_t columns) {
    struct buffer *out = writer_argument(w, r->argument);
    const struct loop_expr *f = writer_count(w, "feature", r->other.features);
    const struct loop_expr *lane = writer_for(w, "lane", index_of(w, 0), index_of(w, columns), LOOP_VECTOR);
    const struct loop_expr *x = lexpr_load(w->f, sums, plus(w, from, plus(w, times(w, f, s->panel), lane)));
    const struct loop_expr *place = plus(w, times(w, f, r->feature), times(w, lane, r->row));
    writer_store(w, out, plus(w, at, place), writer_cast(w, out->dtype, x));
    writer_end(w);
    writer_end(w);
}

static void store_panel(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    softmax_finish(s, w, p);
    for (int i = 0; i < s->sum_count; i++) {
        const struct attend_result *r = s->sums[i];
        struct buffer *sums = sums_buffer(s, w, i);
        const struct loop_expr *from = times(w, panel_in_unit(w, p), r->other.features * s->panel);
        const struct loop_expr *at =
            plus(w, result_begin(s, w, p, r), times(w, times(w, p->panel, s->panel), r->row));
        if (r->feature == 1 && r->row != 1 && writer_argument(w, r->argument)->dtype == s->t->dtype)
            store_squares(s, w, r, sums, from, at, p->columns);
        else
            store_lines(s, w, r, sums, from, at, p->columns);
    }
}

/* Zeros where partial sums will be added up: the lanes of the unit in all rows. */
static void clear_partials(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    for (int i = 0; i < s->partial_count; i++) {
        const struct attend_result *r = s->partials[i];
        struct buffer *out = writer_argument(w, r->argument);
        const struct loop_expr *row = writer_count(w, "row", s->row_count);
        const struct loop_expr *at = plus(w, result_begin(s, w, p, r), times(w, row, r->row));
        const struct loop_expr *end = least(w, times(w, p->panel_high, s->panel), index_of(w, s->lane_count));
        const struct loop_expr *lane =
            writer_for(w, "lane", times(w, p->panel_low, s->panel), end, LOOP_VECTOR);
        writer_store(w, out, plus(w, at, lane), writer_zero(w, out->dtype));
        writer_end(w);
        writer_end(w);
    }
}

/* ---- the loops ---- */

/* Runs `each` for every panel of the unit: whole ones, and the last if it is narrower. */
static void for_panels(struct sweep *s, struct writer *w, struct sweep_place *p, bool is_even,
                       void (*each)(struct sweep *, struct writer *, const struct sweep_place *)) {
    int64_t lanes = is_even ? s->panels * s->panel : s->lane_count;
    int64_t whole = lanes / s->panel, edge = lanes % s->panel;
    if (whole) {
        const struct loop_expr *end = least(w, p->panel_high, index_of(w, whole));
        p->panel = writer_for(w, "panel", p->panel_low, end, LOOP_SERIAL);
        p->columns = p->padded = s->panel;
        each(s, w, p);
        writer_end(w);
    }
    if (edge) {
        writer_if(w, is_below(w, index_of(w, whole), p->panel_high));
        p->panel = index_of(w, whole);
        p->columns = edge;
        p->padded = s->has_even_panels ? s->panel : ceil_div(edge, s->t->lanes) * s->t->lanes;
        each(s, w, p);
        writer_end(w);
    }
}

static void write_panel(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    for (int i = 0; i < s->product_count; i++)
        write_product(s, w, p, i);
    sweep_scores(s, w, p);
    for (int i = 0; i < s->sum_count; i++)
        write_sum(s, w, p, i);
}

/* Rows that some lane of the unit sees, as blocks: at least one, so that there are sums to store. */
static void visible_blocks(struct sweep *s, struct writer *w, const struct sweep_place *p,
                           const struct loop_expr **low, const struct loop_expr **high) {
    const struct visibility *v = &s->t->visible;
    *low = index_of(w, 0);
    *high = index_of(w, s->blocks);
    if (!s->t->is_masked || s->blocks == 1)
        return;
    int64_t rows = s->lanes_are_x ? v->y : v->x;
    const struct loop_expr *first = times(w, p->panel_low, s->panel);
    const struct loop_expr *last = plus_n(w, times(w, p->panel_high, s->panel), -1);
    last = least(w, last, index_of(w, s->lane_count - 1));
    if (rows < 0) { /* row <= lane + constant: up to the last lane's */
        const struct loop_expr *end = most(w, plus_n(w, last, v->constant), index_of(w, 0));
        *high =
            writer_let(w, "visible", least(w, *high, plus_n(w, lexpr_div(w->f, end, s->rows_per_block), 1)));
    } else { /* row >= lane - constant: from the first lane's on */
        const struct loop_expr *begin = most(w, plus_n(w, first, -v->constant), index_of(w, 0));
        const struct loop_expr *block = lexpr_div(w->f, begin, s->rows_per_block);
        *low = writer_let(w, "visible", least(w, block, index_of(w, s->blocks - 1)));
    }
}

static void write_blocks(struct sweep *s, struct writer *w, struct sweep_place *p) {
    const struct loop_expr *low, *high;
    visible_blocks(s, w, p, &low, &high);
    p->block = writer_for(w, "block", low, high, LOOP_SERIAL);
    p->is_later = is_below(w, low, p->block);
    p->row_low = times(w, p->block, s->rows_per_block);
    const struct loop_expr *left = plus(w, index_of(w, s->row_count), times(w, p->row_low, -1));
    p->rows = writer_let(w, "rows", least(w, index_of(w, s->rows_per_block), left));
    copy_block(s, w, p);
    for_panels(s, w, p, s->has_even_panels, write_panel);
    writer_end(w);
}

/* One point of the batch. */
static void write_point(struct sweep *s, struct writer *w, struct sweep_place *p) {
    for_panels(s, w, p, false, pack_panel);
    softmax_begin(s, w, p);
    write_blocks(s, w, p);
    for_panels(s, w, p, false, store_panel);
}

/* Indices of the batch axes that are inner ones, or that are not, from the number of a point of them. */
static void place_batch(struct sweep *s, struct writer *w, struct sweep_place *p,
                        const struct loop_expr *point, bool inner) {
    int first = 0;
    while (first < s->t->a.batch && s->is_inner[first] != inner)
        first++;
    for (int i = s->t->a.batch - 1; i >= first; i--) {
        if (s->is_inner[i] != inner)
            continue;
        p->batch[i] = i == first ? point : lexpr_mod(w->f, point, s->t->batch[i]);
        point = lexpr_div(w->f, point, s->t->batch[i]);
    }
}

static void write_unit(struct sweep *s, struct writer *w, const struct loop_expr *unit) {
    struct sweep_place p = {0};
    for (int i = 0; i < s->t->a.batch; i++)
        p.batch[i] = index_of(w, 0);
    place_batch(s, w, &p, lexpr_div(w->f, unit, s->units_per_point), false);
    p.panel_low = times(w, lexpr_mod(w->f, unit, s->units_per_point), s->panels_per_unit);
    p.panel_high = least(w, plus_n(w, p.panel_low, s->panels_per_unit), index_of(w, s->panels));
    clear_partials(s, w, &p);
    const struct loop_expr *inner = writer_count(w, "point", points_of(s, true));
    place_batch(s, w, &p, inner, true);
    write_point(s, w, &p);
    writer_end(w);
}

static void explain(const struct sweep *s) {
    if (!s->t->l->why)
        return;
    strbuf_printf(
        s->t->l->why,
        "attention over %lld x %lld scores%s%s: lanes along %s, %lld products, %lld sums, depth %lld, "
        "%lld lanes a panel, %lld panels a unit, %lld rows a block\n",
        (long long)s->t->x, (long long)s->t->y, s->t->a.has_softmax ? ", running softmax" : "",
        s->t->is_masked ? ", hidden blocks left out" : "", s->lanes_are_x ? "queries" : "keys",
        (long long)s->product_count, (long long)s->sum_count, (long long)depth_of(s), (long long)s->panel,
        (long long)s->panels_per_unit, (long long)s->rows_per_block);
}

void sweep_write(struct sweep *s) {
    struct writer writer, *w = &writer;
    choose_blocking(s);
    choose_memory(s);
    explain(s);
    writer_begin(w, s->t->l, s->t->out, s->t->kernel);
    int64_t units = points_of(s, false) * s->units_per_point, tasks = ceil_div(units, s->units_per_task);
    const struct loop_expr *low = times(w, writer_task(w, tasks), s->units_per_task);
    const struct loop_expr *high = least(w, plus_n(w, low, s->units_per_task), index_of(w, units));
    const struct loop_expr *unit = low;
    if (s->units_per_task > 1)
        unit = writer_for(w, "unit", low, high, LOOP_SERIAL);
    write_unit(s, w, unit);
    if (s->units_per_task > 1)
        writer_end(w);
    writer_finish(w, tasks);
}
