/* passes/plan_svg.c: a memory plan as a picture: the schedule from left to right, the arena from the bottom
 * up, a rectangle for each time that a buffer is alive, in a colour for each line of the model text. */
#include "passes/plan.h"

#include <stdio.h>
#include <string.h>

enum {
    WIDTH = 1200,
    HEIGHT = 640,
    LEFT = 90,
    TOP = 50,
    RIGHT = 20,
    BELOW = 40,
    LEGEND_ROW = 18,
    MOST_LEGEND = 24
};

/* The buffers that one line of the model text made. */
struct line_use {
    const char *text; /* "vae.weft:23" */
    int64_t bytes;
    int hue;
};

struct drawing {
    const struct function_plan *plan;
    struct arena *arena;
    struct strbuf *out;
    VEC(struct line_use) lines;
    int first;         /* position at which the first buffer begins: inputs and weights stand before */
    double across, up; /* pixels for a position, for a byte */
};

static struct span span_of(const struct value *value) {
    if (value->def)
        return value->def->site->span;
    return value->block->owner ? value->block->owner->site->span : value->block->function->site->span;
}

static const char *line_text(struct arena *arena, const struct value *value) {
    struct span span = span_of(value);
    int line, column;
    if (!span_is_known(span))
        return "no line";
    source_locate(span.source, span.begin, &line, &column);
    return arena_printf(arena, "%s:%d", span.source->name, line);
}

static struct line_use *line_of(struct drawing *d, const struct value *value) {
    const char *text = line_text(d->arena, value);
    for (int i = 0; i < d->lines.count; i++)
        if (strcmp(d->lines.at[i].text, text) == 0)
            return &d->lines.at[i];
    /* The golden angle keeps neighbours in the list apart in colour. */
    struct line_use line = {text, 0, (int)(137.508 * d->lines.count) % 360};
    VEC_PUSH(d->arena, &d->lines, line);
    return &VEC_LAST(&d->lines);
}

static const char *bytes_text(struct arena *arena, int64_t bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1000 && unit < 4; unit++)
        value /= 1024;
    return arena_printf(arena, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void put_title(struct drawing *d, const struct plan_buffer *b) {
    struct strbuf type;
    strbuf_init(&type, d->arena);
    type_print(&type, b->value->type);
    const struct op *def = b->value->def;
    const char *maker = !def                     ? "parameter of a region"
                        : def->code == OP_kernel ? op_string(def, ATTR_name)
                                                 : opcode_text(def->code);
    strbuf_puts(d->out, "<title>");
    strbuf_escaped(d->out, arena_printf(d->arena, "%s  %s\n%s at %lld, alive %d to %d\n%s", maker, type.text,
                                        bytes_text(d->arena, b->bytes), (long long)b->offset, b->begin,
                                        b->end, line_text(d->arena, b->value)));
    strbuf_puts(d->out, "</title>");
}

static void put_buffer(struct drawing *d, const struct plan_buffer *b) {
    struct line_use *line = line_of(d, b->value);
    line->bytes += b->bytes;
    strbuf_printf(d->out, "<g fill=\"hsl(%d,55%%,62%%)\">", line->hue);
    put_title(d, b);
    for (int i = 0; i < b->live.ranges.count; i++) {
        struct live_range r = b->live.ranges.at[i];
        double height = d->up * (double)b->bytes, bottom = TOP + HEIGHT - d->up * (double)b->offset;
        strbuf_printf(d->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
                      LEFT + d->across * (r.begin - d->first), bottom - height,
                      d->across * (r.end - r.begin + 1), height);
    }
    strbuf_puts(d->out, "</g>\n");
}

/* A horizontal line at this many bytes, with its name left of it. */
static void put_level(struct drawing *d, int64_t bytes, const char *name, const char *dash) {
    double y = TOP + HEIGHT - d->up * (double)bytes;
    strbuf_printf(
        d->out,
        "<line x1=\"%d\" y1=\"%.2f\" x2=\"%d\" y2=\"%.2f\" stroke=\"#222\" stroke-dasharray=\"%s\"/>"
        "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\">%s</text><text x=\"%d\" y=\"%.2f\" "
        "text-anchor=\"end\">%s</text>\n",
        LEFT, y, LEFT + WIDTH, y, dash, LEFT - 6, y - 2, name, LEFT - 6, y + 11, bytes_text(d->arena, bytes));
}

/* The lines that made most, as a list below. */
static void put_legend(struct drawing *d, int rows) {
    for (int row = 0; row < rows; row++) {
        struct line_use *most = NULL;
        for (int i = 0; i < d->lines.count; i++)
            if (!most || d->lines.at[i].bytes > most->bytes)
                most = &d->lines.at[i];
        int x = LEFT + (row % 3) * WIDTH / 3, y = TOP + HEIGHT + BELOW + row / 3 * LEGEND_ROW;
        strbuf_printf(d->out,
                      "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"hsl(%d,55%%,62%%)\"/><text "
                      "x=\"%d\" y=\"%d\">",
                      x, y, most->hue, x + 18, y + 10);
        strbuf_escaped(d->out, most->text);
        strbuf_printf(d->out, "  %s</text>\n", bytes_text(d->arena, most->bytes));
        most->bytes = -1;
    }
}

void plan_draw(const struct function_plan *plan, struct arena *arena, struct strbuf *out) {
    struct drawing d = {.plan = plan, .arena = arena, .out = out};
    int64_t top = plan->arena_bytes > 0 ? plan->arena_bytes : 1;
    d.first = plan->buffers.count ? plan->length : 0;
    for (int i = 0; i < plan->buffers.count; i++)
        d.first = plan->buffers.at[i].begin < d.first ? plan->buffers.at[i].begin : d.first;
    d.across = (double)WIDTH / (plan->length > d.first ? plan->length - d.first : 1);
    d.up = (double)HEIGHT / (double)top;
    for (int i = 0; i < plan->buffers.count; i++)
        line_of(&d, plan->buffers.at[i].value);
    int rows = d.lines.count < MOST_LEGEND ? d.lines.count : MOST_LEGEND;
    int height = TOP + HEIGHT + BELOW + (rows + 2) / 3 * LEGEND_ROW + 10;
    strbuf_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
        "font-size=\"12\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"24\" font-size=\"16\">",
        LEFT + WIDTH + RIGHT, height, LEFT);
    strbuf_escaped(out, plan->function->name);
    strbuf_printf(out, ": %d buffers in %s, ratio to the lower bound %.3f</text>\n", plan->buffers.count,
                  bytes_text(arena, plan->arena_bytes),
                  plan->lower_bound ? (double)plan->arena_bytes / (double)plan->lower_bound : 1.0);
    strbuf_puts(out, "<g stroke=\"#fff\" stroke-width=\"0.4\">\n");
    for (int i = 0; i < plan->buffers.count; i++)
        put_buffer(&d, &plan->buffers.at[i]);
    strbuf_puts(out, "</g>\n");
    put_level(&d, plan->arena_bytes, "peak", "none");
    if (plan->lower_bound < plan->arena_bytes)
        put_level(&d, plan->lower_bound, "bound", "5,4");
    strbuf_printf(out,
                  "<text x=\"%d\" y=\"%d\">%d</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d positions "
                  "of the schedule</text>\n",
                  LEFT, TOP + HEIGHT + 16, d.first, LEFT + WIDTH, TOP + HEIGHT + 16, plan->length);
    put_legend(&d, rows);
    strbuf_puts(out, "</svg>\n");
}
