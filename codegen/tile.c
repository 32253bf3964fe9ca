/* codegen/tile.c: what every pass may ask of a micro-kernel. Its code: emit_tile.c. */
#include "codegen/loops.h"

enum dtype tile_dtype(const struct tile *tile) {
    return tile->finished ? tile->finished->dtype : tile->c->dtype;
}

int tile_expressions(const struct tile *tile, const struct loop_expr *out[TILE_EXPRESSIONS]) {
    int count = 0;
    out[count] = tile->a_index;
    count += tile->a_index != NULL;
    for (int v = 0; v < TILE_VECTORS; v++) {
        if (tile->b_index[v])
            out[count++] = tile->b_index[v];
        if (tile->c_index[v])
            out[count++] = tile->c_index[v];
    }
    for (int i = 0; i < tile->level_count; i++)
        out[count++] = tile->levels[i].count;
    if (tile->accumulate)
        out[count++] = tile->accumulate;
    if (tile->last)
        out[count++] = tile->last;
    return count;
}

struct tile_printer {
    struct strbuf *out;
    void (*print)(void *data, const struct loop_expr *x);
    void *data;
};

static void print_places(const struct tile_printer *p, const struct buffer *buffer,
                         const struct loop_expr *const *places) {
    strbuf_printf(p->out, " %s[", buffer->name);
    for (int v = 0; v < TILE_VECTORS; v++) {
        if (!places[v])
            continue;
        strbuf_puts(p->out, v ? " | " : "");
        p->print(p->data, places[v]);
    }
    strbuf_putc(p->out, ']');
}

/* " as bf16" where elements are cast to more than the tile's own dtype. */
static void print_cast(const struct tile_printer *p, const struct buffer *buffer, enum dtype as) {
    if (as != buffer->dtype)
        strbuf_printf(p->out, " as %s", dtype_text(as));
}

static void print_levels(const struct tile_printer *p, const struct tile *tile) {
    for (int i = 0; i < tile->level_count; i++) {
        strbuf_puts(p->out, " k ");
        p->print(p->data, tile->levels[i].count);
        strbuf_printf(p->out, " by %lld, %lld;", (long long)tile->levels[i].a, (long long)tile->levels[i].b);
    }
    if (tile->pairs)
        strbuf_puts(p->out, " pairs;");
    if (tile->tail)
        strbuf_printf(p->out, " tail %d;", tile->tail);
}

static void print_condition(const struct tile_printer *p, const char *word,
                            const struct loop_expr *condition) {
    if (!condition)
        return;
    strbuf_puts(p->out, word);
    p->print(p->data, condition);
}

void tile_print(const struct tile *tile, struct strbuf *out,
                void (*print)(void *data, const struct loop_expr *x), void *data) {
    static const char *const kinds[] = {
        [TILE_OUTER] = "outer", [TILE_INNER] = "inner", [TILE_TRANSPOSE] = "transpose", [TILE_COPY] = "copy"};
    struct tile_printer p = {out, print, data};
    const struct loop_expr *a_place[TILE_VECTORS] = {tile->a_index};
    strbuf_printf(out, "tile %s %dx%d", kinds[tile->kind], tile->rows, tile->columns);
    print_places(&p, tile->c, tile->c_index);
    strbuf_printf(out, " by %lld, %lld%s <-", (long long)tile->c_m, (long long)tile->c_n,
                  tile->c_full ? " full" : "");
    print_places(&p, tile->a, a_place);
    print_cast(&p, tile->a, tile->a_as);
    strbuf_printf(out, " by %lld", (long long)tile->a_m);
    if (tile->b) {
        strbuf_puts(out, " *");
        print_places(&p, tile->b, tile->b_index);
        print_cast(&p, tile->b, tile->b_as);
        strbuf_printf(out, " by %lld:", (long long)tile->b_n);
    }
    print_levels(&p, tile);
    print_condition(&p, " accumulate if ", tile->accumulate);
    print_condition(&p, " last if ", tile->last);
}
