/* codegen/contract_inner.c: products with few rows, where both operands are contiguous along k (y = x W^T for
 * a small batch): INNER tiles read B once, as it lies. */
#include "codegen/contract_product.h"

enum {
    MOST_ROWS = 16, /* from here on packing B for OUTER tiles is cheaper than adding lanes up */
    LEAST_VECTORS = 4
};

static const struct axis *innermost(const struct product *d) {
    return &d->k.at[d->k.count - 1];
}

/* Elements of k in a vector. */
static int step_of(const struct product *d) {
    return d->c->lanes * (product_is_of_pairs(d) ? 2 : 1);
}

bool product_suits_inner(const struct product *d) {
    const struct axis *k = innermost(d);
    bool contiguous = k->a == 1 && k->b == 1 && d->n.b != 1;
    bool has_tail = k->extent % step_of(d) != 0;
    return contiguous && d->m.extent <= MOST_ROWS && k->extent >= LEAST_VECTORS * step_of(d) &&
           (!has_tail || d->k.count == 1) && !d->c->packs_before;
}

struct inner {
    struct product *d;
    struct row_split rows;
    int columns; /* of a tile */
    int64_t tiles, parts, tiles_per_part, units_per_task;
};

/* As many columns as registers hold, four at a time: their lanes are added up together. */
static void choose_sizes(struct inner *n) {
    struct product *d = n->d;
    int registers = d->c->l->target->vector_registers;
    int rows = d->m.extent < 3 ? (int)d->m.extent : 3;
    n->rows = row_split(d->m.extent, rows);
    n->columns = (rows + 1) * 8 + 1 <= registers + 2 ? 8 : 4; /* one of A or B may be a memory operand */
    n->tiles = ceil_div(d->n.extent, n->columns);
    int64_t grid = grid_points(d);
    double work = (double)d->m.extent * (double)d->n.extent * (double)d->depth * (double)grid;
    /* A row of B costs its way from memory: as much as some 8 rows of products. */
    int64_t wanted =
        task_target(work < 8 * work / (double)d->m.extent ? 8 * work / (double)d->m.extent : work);
    n->tiles_per_part = ceil_div(n->tiles, at_most(n->tiles, ceil_div(wanted, grid)));
    n->parts = ceil_div(n->tiles, n->tiles_per_part);
    n->units_per_task = n->parts > 1 ? 1 : ceil_div(grid, wanted);
}

static void write_tile(struct inner *n, struct writer *w, const struct grid_place *at,
                       const struct loop_expr *row, int rows, const struct loop_expr *column, int columns) {
    struct product *d = n->d;
    int step = step_of(d);
    struct tile *t = writer_tile(w, TILE_INNER, rows, columns);
    t->pairs = product_is_of_pairs(d);
    tile_read_a(t, operand_buffer(w, &d->a, "a"), d->a.as);
    t->a_index = plus(w, at->a, times(w, row, d->m.a));
    t->a_m = d->m.a;
    tile_read_b(t, operand_buffer(w, &d->b, "b"), d->b.as);
    t->b_index[0] = plus(w, at->b, times(w, column, d->n.b));
    t->b_n = d->n.b;
    t->c = finish_raw(w, &d->c->finish);
    t->c_index[0] = plus(w, plus(w, at->c, times(w, row, d->m.c)), times(w, column, d->n.c));
    t->c_m = d->m.c;
    t->c_n = d->n.c;
    for (int i = 0; i < d->k.count; i++) {
        const struct axis *k = &d->k.at[i];
        bool is_last = i == d->k.count - 1;
        t->levels[t->level_count++] =
            (struct tile_level){.count = index_of(w, is_last ? k->extent / step : k->extent),
                                .a = is_last ? step : k->a,
                                .b = is_last ? step : k->b};
    }
    t->tail = (int)(innermost(d)->extent % step);
}

static void write_rows(struct inner *n, struct writer *w, const struct grid_place *at,
                       const struct loop_expr *column, int columns) {
    const struct row_split *s = &n->rows;
    if (s->big) {
        const struct loop_expr *i = writer_count(w, "tile", s->big);
        write_tile(n, w, at, times(w, i, s->height + 1), (int)s->height + 1, column, columns);
        writer_end(w);
    }
    if (s->big < s->tiles) {
        const struct loop_expr *i =
            writer_for(w, "tile", index_of(w, s->big), index_of(w, s->tiles), LOOP_SERIAL);
        write_tile(n, w, at, plus_n(w, times(w, i, s->height), s->big), (int)s->height, column, columns);
        writer_end(w);
    }
}

static void write_unit(struct inner *n, struct writer *w, const struct loop_expr *unit) {
    struct product *d = n->d;
    struct grid_place at = grid_place(d, w, lexpr_div(w->f, unit, n->parts));
    const struct loop_expr *low = times(w, lexpr_mod(w->f, unit, n->parts), n->tiles_per_part);
    const struct loop_expr *high = least(w, plus_n(w, low, n->tiles_per_part), index_of(w, n->tiles));
    int64_t whole = d->n.extent / n->columns, edge = d->n.extent % n->columns;
    const struct loop_expr *i =
        writer_for(w, "columns", low, least(w, high, index_of(w, whole)), LOOP_SERIAL);
    write_rows(n, w, &at, times(w, i, n->columns), n->columns);
    writer_end(w);
    if (edge) {
        writer_if(w, is_below(w, index_of(w, whole), high));
        write_rows(n, w, &at, index_of(w, whole * n->columns), (int)edge);
        writer_end(w);
    }
    if (d->c->finish.kind == FINISH_NOTHING)
        return;
    const struct loop_expr *first = times(w, low, n->columns);
    const struct loop_expr *end = least(w, times(w, high, n->columns), index_of(w, d->n.extent));
    const struct loop_expr *count = writer_let(w, "count", plus(w, end, times(w, first, -1)));
    const struct loop_expr *row = writer_count(w, "m", d->m.extent);
    struct run run = {plus(w, at.c, times(w, row, d->m.c)), first, d->n.extent};
    finish_run(w, &d->c->finish, run, count);
    writer_end(w);
}

void product_inner(struct product *d) {
    struct inner n = {.d = d};
    choose_sizes(&n);
    if (d->c->l->why)
        strbuf_printf(
            d->c->l->why, "dot %lldx%lldx%lld, grid %lld: lanes along k, tile %lldx%d, %lld parts\n",
            (long long)d->m.extent, (long long)d->n.extent, (long long)d->depth, (long long)grid_points(d),
            (long long)(n.rows.height + (n.rows.big > 0)), n.columns, (long long)n.parts);
    struct writer writer, *w = &writer;
    writer_begin(w, d->c->l, d->c->out, d->c->kernel);
    int64_t units = grid_points(d) * n.parts, tasks = ceil_div(units, n.units_per_task);
    const struct loop_expr *low = times(w, writer_task(w, tasks), n.units_per_task), *unit = low;
    const struct loop_expr *high = least(w, plus_n(w, low, n.units_per_task), index_of(w, units));
    if (n.units_per_task > 1)
        unit = writer_for(w, "unit", low, high, LOOP_SERIAL);
    write_unit(&n, w, unit);
    if (n.units_per_task > 1)
        writer_end(w);
    writer_finish(w, tasks);
}
