/* driver/profile_write.c: a profile for other programs: Chrome's trace viewer, a browser, whoever reads JSON.
 */
#include "driver/profile.h"

#include <jansson.h>
#include <stdlib.h>

/* The text of a JSON value, which is taken. Memory that ran out gives an empty text. */
static const char *take_text(struct arena *arena, json_t *value) {
    char *dumped = json_dumps(value, JSON_COMPACT);
    const char *text = arena_strdup(arena, dumped ? dumped : "");
    free(dumped);
    json_decref(value);
    return text;
}

/* Names come from model texts, which are UTF-8 or refused by the lexer; json_string gives NULL on others. */
static json_t *string(const char *text) {
    json_t *value = json_string(text);
    return value ? value : json_string("?");
}

/* ---- JSON ---- */

static json_t *kernel_object(const struct profile *p, const struct profile_kernel *k) {
    json_t *object = json_object();
    double each = k->seconds / (double)k->calls;
    json_object_set_new(object, "kernel", string(k->name));
    json_object_set_new(object, "line", string(k->line));
    json_object_set_new(object, "seconds", json_real(k->seconds / p->runs));
    json_object_set_new(object, "calls", json_integer(k->calls / p->runs));
    json_object_set_new(object, "flops", json_real(k->cost.flops));
    json_object_set_new(object, "bytes", json_real(k->cost.bytes));
    json_object_set_new(object, "gflops", json_real(each > 0 ? 1e-9 * k->cost.flops / each : 0));
    return object;
}

const char *profile_json(const struct profile *p) {
    json_t *root = json_object(), *kernels = json_array(), *lines = json_array();
    for (int i = 0; i < p->kernels.count; i++)
        json_array_append_new(kernels, kernel_object(p, &p->kernels.at[i]));
    for (int i = 0; i < p->lines.count; i++) {
        json_t *line = json_object();
        json_object_set_new(line, "line", string(p->lines.at[i].line));
        json_object_set_new(line, "seconds", json_real(p->lines.at[i].seconds / p->runs));
        json_object_set_new(line, "kernels", json_integer(p->lines.at[i].kernels));
        json_array_append_new(lines, line);
    }
    json_object_set_new(root, "runs", json_integer(p->runs));
    json_object_set_new(root, "seconds", json_real(p->seconds / p->runs));
    json_object_set_new(root, "kernels", kernels);
    json_object_set_new(root, "lines", lines);
    return take_text(p->arena, root);
}

/* ---- Chrome's trace: complete events, times in microseconds ---- */

static const char *row_name(struct arena *arena, const struct profile_row *row) {
    if (!row->kernel)
        return "copy";
    const char *name = op_string(row->kernel, ATTR_name);
    return row->phases == 1 ? name
                            : arena_printf(arena, "%s (phase %d of %d)", name, row->phase + 1, row->phases);
}

static const char *row_line(struct arena *arena, const struct profile_row *row) {
    struct span span = row->kernel ? row->kernel->site->span : (struct span){0};
    int line, column;
    if (!span_is_known(span))
        return "";
    source_locate(span.source, span.begin, &line, &column);
    return arena_printf(arena, "%s:%d", span.source->name, line);
}

const char *profile_trace(const struct profile *p, const struct profile_log *log) {
    json_t *root = json_object(), *events = json_array();
    int64_t count = log->count < log->capacity ? log->count : log->capacity;
    for (int64_t i = 1; i < count; i++) {
        const struct profile_event *event = &log->events[i];
        if (event->row < 0)
            continue;
        const struct profile_row *row = &p->rows[event->row];
        json_t *e = json_object(), *args = json_object();
        json_object_set_new(e, "name", string(row_name(p->arena, row)));
        json_object_set_new(e, "ph", json_string("X"));
        json_object_set_new(e, "pid", json_integer(1));
        json_object_set_new(e, "tid", json_integer(1));
        json_object_set_new(e, "ts", json_real(1e-3 * (double)(event[-1].time - log->events[0].time)));
        json_object_set_new(e, "dur", json_real(1e-3 * (double)(event->time - event[-1].time)));
        json_object_set_new(args, "line", string(row_line(p->arena, row)));
        json_object_set_new(args, "tasks", json_integer(row->tasks));
        json_object_set_new(e, "args", args);
        json_array_append_new(events, e);
    }
    json_object_set_new(root, "traceEvents", events);
    json_object_set_new(root, "displayTimeUnit", json_string("ms"));
    return take_text(p->arena, root);
}

/* ---- the page ---- */

static json_t *frame_object(const struct profile_frame *frame, int runs) {
    json_t *object = json_object(), *below = json_array();
    for (int i = 0; i < frame->below.count; i++)
        json_array_append_new(below, frame_object(frame->below.at[i], runs));
    json_object_set_new(object, "n", string(frame->label));
    json_object_set_new(object, "t", json_real(1e3 * frame->seconds / runs));
    json_object_set_new(object, "c", below);
    return object;
}

/* "</" would end the script in which the data stand; a string of JSON may have any character as a number. */
static void put_data(struct strbuf *out, const char *json) {
    for (; *json; json++) {
        if (*json == '<')
            strbuf_puts(out, "\\u003c");
        else
            strbuf_putc(out, *json);
    }
}

static const char head[] =
    "<style>body{font:14px sans-serif;margin:20px;max-width:1400px}h1{font-size:18px}#g{position:relative}\n"
    "#g "
    "div{position:absolute;height:19px;overflow:hidden;white-space:nowrap;box-sizing:border-box;border:1px "
    "solid #fff;\n"
    "font-size:12px;padding:1px 3px;cursor:pointer;border-radius:2px}#w{height:3em;color:#333}\n"
    "table{border-collapse:collapse;margin-top:16px}td,th{padding:2px 12px 2px "
    "0;text-align:left}td.r,th.r{text-align:right}</style>\n";

/* A frame's width is its part of the time of the one that is looked at; a click looks at another. */
static const char script[] =
    "const g=document.getElementById('g'),w=document.getElementById('w');let path=[data];\n"
    "function hue(s){let h=0;for(const c of s.replace(/:\\d+.*/,''))h=(h*31+c.charCodeAt(0))>>>0;return "
    "h%360}\n"
    "function tell(f){w.textContent=f.n+'  '+f.t.toFixed(3)+' ms, '+(100*f.t/data.t).toFixed(1)+' %'}\n"
    "function put(f,x,width,row,up){const "
    "d=document.createElement('div');d.style.left=x+'px';d.style.width=Math.max(width,1)+'px';\n"
    "d.style.top=20*row+'px';d.style.background='hsl('+hue(f.n)+',60%,'+(up?88:76)+'%)';d.textContent=width>"
    "30?f.n:'';d.title=f.n+'\\n'+f.t.toFixed(3)+' ms';\n"
    "d.onmouseenter=()=>tell(f);d.onclick=()=>{path=up?path.slice(0,path.indexOf(f)+1):path.concat(find(path["
    "path.length-1],f));draw()};g.append(d)}\n"
    "function find(from,f){for(const c of from.c){if(c===f)return [c];const p=find(c,f);if(p.length)return "
    "[c].concat(p)}return []}\n"
    "function below(f,x,scale,row){let deep=row;for(const c of [...f.c].sort((a,b)=>b.t-a.t)){const "
    "width=c.t*scale;if(width>=0.5){put(c,x,width,row);\n"
    "deep=Math.max(deep,below(c,x,scale,row+1))}x+=width}return deep}\n"
    "function draw(){g.textContent='';const width=g.clientWidth;path.forEach((f,i)=>put(f,0,width,i,true));\n"
    "const f=path[path.length-1];g.style.height=20*(below(f,0,width/f.t,path.length)+1)+'px';tell(f)}\n"
    "addEventListener('resize',draw);draw();\n";

static void put_lines(const struct profile *p, struct strbuf *out) {
    strbuf_puts(
        out, "<table><tr><th class=r>ms</th><th class=r>%</th><th class=r>kernels</th><th>line</th></tr>\n");
    for (int i = 0; i < p->lines.count; i++) {
        const struct profile_line *line = &p->lines.at[i];
        strbuf_printf(out, "<tr><td class=r>%.3f</td><td class=r>%.1f</td><td class=r>%d</td><td>",
                      1e3 * line->seconds / p->runs, 100 * line->seconds / p->seconds, line->kernels);
        strbuf_escaped(out, line->line);
        strbuf_puts(out, "</td></tr>\n");
    }
    strbuf_puts(out, "</table>\n");
}

const char *profile_page(const struct profile *p, const char *title) {
    struct strbuf out;
    strbuf_init(&out, p->arena);
    strbuf_puts(&out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    strbuf_escaped(&out, title);
    strbuf_printf(&out, "</title>\n%s</head>\n<body><h1>", head);
    strbuf_escaped(&out, title);
    strbuf_printf(
        &out, ": %.3f ms in kernels, the mean of %d runs</h1>\n<div id=\"w\"></div><div id=\"g\"></div>\n",
        1e3 * p->seconds / p->runs, p->runs);
    put_lines(p, &out);
    strbuf_puts(&out, "<script>const data=");
    put_data(&out, take_text(p->arena, frame_object(&p->root, p->runs)));
    strbuf_printf(&out, ";\n%s</script></body></html>\n", script);
    return out.text;
}
