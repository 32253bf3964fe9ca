#include "driver/report.h"

#include "base/source.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "runtime/file.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

struct point {
    double step, value;
};
/* One curve: all values of one name. */
struct series {
    const char *name, *kind;
    VEC(struct point) points;
};
struct picture {
    const char *name, *file;
    int64_t step;
};
struct run_log {
    struct arena *arena;
    VEC(struct series *) series;
    VEC(struct picture) pictures;
    double last_step, seconds;
};

/* ---- reading the log ---- */

static struct series *series_of(struct run_log *log, const char *name, const char *kind) {
    for (int i = 0; i < log->series.count; i++)
        if (strcmp(log->series.at[i]->name, name) == 0 && strcmp(log->series.at[i]->kind, kind) == 0)
            return log->series.at[i];
    struct series *series = ARENA_NEW(log->arena, struct series);
    series->name = arena_strdup(log->arena, name);
    series->kind = arena_strdup(log->arena, kind);
    VEC_PUSH(log->arena, &log->series, series);
    return series;
}

static void read_entry(struct run_log *log, json_t *entry) {
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    double step = json_number_value(json_object_get(entry, "step"));
    const char *file = json_string_value(json_object_get(entry, "file"));
    const char *name = json_string_value(json_object_get(entry, "name")), *key;
    json_t *value;
    if (!kind)
        return;
    log->last_step = fmax(log->last_step, step);
    log->seconds = fmax(log->seconds, json_number_value(json_object_get(entry, "seconds")));
    json_object_foreach(json_object_get(entry, "values"), key, value) {
        struct point point = {step, json_number_value(value)};
        if (json_is_number(value))
            VEC_PUSH(log->arena, &series_of(log, key, kind)->points, point);
    }
    if (file && name && !strchr(file, '/')) {
        struct picture picture = {arena_strdup(log->arena, name), arena_strdup(log->arena, file),
                                  (int64_t)step};
        VEC_PUSH(log->arena, &log->pictures, picture);
    }
}

/* A last line that a killed run left half written does not parse, and is passed over. */
static void read_log(struct run_log *log, const char *text) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        json_error_t error;
        json_t *entry = json_loadb(text, length, 0, &error);
        if (entry)
            read_entry(log, entry);
        json_decref(entry);
        text += length + (text[length] == '\n');
    }
}

/* ---- drawing ---- */

static void put_base64(struct strbuf *out, const unsigned char *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned word = (unsigned)bytes[i] << 16 | (i + 1 < size ? (unsigned)bytes[i + 1] << 8 : 0) |
                        (i + 2 < size ? bytes[i + 2] : 0);
        strbuf_putc(out, digits[word >> 18]);
        strbuf_putc(out, digits[word >> 12 & 63]);
        strbuf_putc(out, i + 1 < size ? digits[word >> 6 & 63] : '=');
        strbuf_putc(out, i + 2 < size ? digits[word & 63] : '=');
    }
}

/* The largest of 1, 2, 5 times a power of ten that gives about `count` ticks over `range`. */
static double tick_step(double range, int count) {
    double raw = range / count, power = pow(10.0, floor(log10(raw))), scaled = raw / power;
    return power * (scaled < 1.5 ? 1.0 : scaled < 3.5 ? 2.0 : scaled < 7.5 ? 5.0 : 10.0);
}

enum { WIDTH = 560, HEIGHT = 240, LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 30 };

struct axes {
    double x0, x1, y0, y1;
};

static double place_x(const struct axes *a, double x) {
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct axes *a, double y) {
    return HEIGHT - BOTTOM - (y - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

/* The first points of a training curve are often far off all others: the axis begins at the 2nd percentile.
 */
static void widen(struct axes *a, const struct series *s) {
    for (int i = 0; i < s->points.count; i++) {
        const struct point p = s->points.at[i];
        if (!isfinite(p.value))
            continue;
        a->x0 = fmin(a->x0, p.step);
        a->x1 = fmax(a->x1, p.step);
        if (i < s->points.count / 50)
            continue;
        a->y0 = fmin(a->y0, p.value);
        a->y1 = fmax(a->y1, p.value);
    }
}

static struct axes axes_of(const struct series *s) {
    struct axes a = {HUGE_VAL, -HUGE_VAL, HUGE_VAL, -HUGE_VAL};
    widen(&a, s);
    if (!(a.y0 <= a.y1))
        return (struct axes){0, 1, 0, 1};
    double pad = a.y1 > a.y0 ? 0.05 * (a.y1 - a.y0) : fabs(a.y0) * 0.05 + 1e-9;
    a.y0 -= pad;
    a.y1 += pad;
    if (a.x1 <= a.x0)
        a.x1 = a.x0 + 1;
    return a;
}

/* Ticks behind the first between low and high. */
static int tick_count(double low, double high, double step) {
    return (int)(floor(high / step) - ceil(low / step));
}

static void draw_axes(struct strbuf *out, const struct axes *a) {
    double step = tick_step(a->y1 - a->y0, 4);
    for (int i = 0, last = tick_count(a->y0, a->y1, step); i <= last; i++) {
        double y = (ceil(a->y0 / step) + i) * step;
        strbuf_printf(
            out,
            "<line class=grid x1=%d y1=%.1f x2=%d y2=%.1f /><text x=%d y=%.1f text-anchor=end>%.6g</text>",
            LEFT, place_y(a, y), WIDTH - RIGHT, place_y(a, y), LEFT - 6, place_y(a, y) + 4,
            fabs(y) < step * 1e-6 ? 0.0 : y);
    }
    step = tick_step(a->x1 - a->x0, 5);
    for (int i = 0, last = tick_count(a->x0, a->x1, step); i <= last; i++) {
        double x = (ceil(a->x0 / step) + i) * step;
        strbuf_printf(out, "<text x=%.1f y=%d text-anchor=middle>%.6g</text>", place_x(a, x), HEIGHT - 10, x);
    }
    strbuf_printf(out, "<line class=axis x1=%d y1=%d x2=%d y2=%d />", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT,
                  HEIGHT - BOTTOM);
}

static void draw_series(struct strbuf *out, const struct series *s) {
    struct axes a = axes_of(s);
    strbuf_puts(out, "<figure><figcaption>");
    strbuf_escaped(out, s->name);
    strbuf_printf(out, " <b>%.6g</b></figcaption><svg viewBox='0 0 %d %d'>", VEC_LAST(&s->points).value,
                  WIDTH, HEIGHT);
    draw_axes(out, &a);
    strbuf_puts(out, "<polyline points='");
    for (int i = 0; i < s->points.count; i++) {
        const struct point p = s->points.at[i];
        if (isfinite(p.value) && p.value >= a.y0 && p.value <= a.y1)
            strbuf_printf(out, "%.1f,%.1f ", place_x(&a, p.step), place_y(&a, p.value));
    }
    strbuf_puts(out, "'/>");
    for (int i = 0; s->points.count < 30 && i < s->points.count; i++) {
        const struct point p = s->points.at[i];
        if (isfinite(p.value) && p.value >= a.y0 && p.value <= a.y1)
            strbuf_printf(out, "<circle cx=%.1f cy=%.1f r=3><title>step %.0f: %.6g</title></circle>",
                          place_x(&a, p.step), place_y(&a, p.value), p.step, p.value);
    }
    strbuf_puts(out, "</svg></figure>\n");
}

static void draw_picture(struct strbuf *out, struct arena *arena, const char *folder,
                         const struct picture *picture) {
    const char *why;
    const struct source *file = source_read(arena, arena_printf(arena, "%s/%s", folder, picture->file), &why);
    if (!file)
        return; /* someone tidied the folder */
    strbuf_puts(out, "<figure><figcaption>");
    strbuf_escaped(out, picture->name);
    strbuf_printf(out, ", step %lld</figcaption><img alt='samples at step %lld' src='data:image/png;base64,",
                  (long long)picture->step, (long long)picture->step);
    put_base64(out, (const unsigned char *)file->text, file->length);
    strbuf_puts(out, "'></figure>\n");
}

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2em auto;padding:0 "
    "1em;color:#1c2430;background:#fff}"
    "h1{font-weight:600}h2{margin-top:2em;font-weight:600;border-bottom:1px solid #dde3ea}"
    ".row{display:flex;flex-wrap:wrap;gap:1.5em}figure{margin:0}figure svg{width:560px;max-width:100%}"
    "figcaption{color:#5a6675}figcaption "
    "b{color:#1c2430}img{image-rendering:pixelated;min-width:260px;max-width:560px}"
    "svg text{font:12px system-ui,sans-serif;fill:#5a6675}.grid{stroke:#e8ecf1}.axis{stroke:#9aa5b1}"
    "polyline{fill:none;stroke:#2563a8;stroke-width:1.8;stroke-linejoin:round}circle{fill:#2563a8}"
    "table{border-collapse:collapse}td{padding:.15em 1.2em .15em 0}td:first-child{color:#5a6675}"
    "pre{background:#f5f7f9;padding:1em;overflow-x:auto;font-size:13px;line-height:1.4}";

/* The pictures of one name, newest first, and no more than a page holds. */
enum { PICTURES_SHOWN = 12 };

static void draw_pictures(struct strbuf *out, const struct run_log *log, const char *folder) {
    strbuf_puts(out, "<h2>Pictures</h2><div class=row>\n");
    for (int shown = 0, i = log->pictures.count - 1; i >= 0 && shown < PICTURES_SHOWN; i--, shown++)
        draw_picture(out, log->arena, folder, &log->pictures.at[i]);
    strbuf_puts(out, "</div>\n");
}

static void draw_curves(struct strbuf *out, const struct run_log *log, const char *kind, const char *title) {
    bool any = false;
    for (int i = 0; i < log->series.count; i++) {
        if (strcmp(log->series.at[i]->kind, kind) != 0)
            continue;
        if (!any)
            strbuf_printf(out, "<h2>%s</h2><div class=row>\n", title);
        any = true;
        draw_series(out, log->series.at[i]);
    }
    if (any)
        strbuf_puts(out, "</div>\n");
}

static void draw_text(struct strbuf *out, const char *title, const char *text) {
    if (!text)
        return;
    strbuf_printf(out, "<h2>%s</h2><pre>", title);
    strbuf_escaped(out, text);
    strbuf_puts(out, "</pre>\n");
}

const char *report_text(struct arena *arena, const char *folder, const char *log_text,
                        const struct report_facts *facts) {
    struct run_log log = {.arena = arena};
    read_log(&log, log_text);
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, "<!doctype html><html lang=en><meta charset=utf-8><title>");
    strbuf_escaped(&out, facts->title);
    strbuf_printf(&out, "</title><style>%s</style>\n<h1>", style);
    strbuf_escaped(&out, facts->title);
    strbuf_printf(&out, "</h1><table><tr><td>steps<td>%.0f<tr><td>time<td>%.1f s", log.last_step,
                  log.seconds);
    for (int i = 0; i < facts->fact_count; i++) {
        strbuf_puts(&out, "<tr><td>");
        strbuf_escaped(&out, facts->facts[i][0]);
        strbuf_puts(&out, "<td>");
        strbuf_escaped(&out, facts->facts[i][1]);
    }
    strbuf_puts(&out, "</table>\n");
    draw_curves(&out, &log, "train", "Training");
    draw_curves(&out, &log, "evaluate", "Evaluation");
    if (log.pictures.count)
        draw_pictures(&out, &log, folder);
    draw_text(&out, "Recipe", facts->recipe);
    draw_text(&out, "Model", facts->model);
    strbuf_puts(&out, "</html>\n");
    return out.text;
}

bool report_write(struct arena *arena, const char *folder, const char *json, const char *html,
                  const struct report_facts *facts, struct weft_error *error) {
    const char *why;
    const struct source *log = source_read(arena, json, &why);
    const char *text = report_text(arena, folder, log ? log->text : "", facts);
    return weft_file_write_whole(html, text, strlen(text), error);
}
