#include "driver/profile.h"

#include <stdlib.h>
#include <string.h>

/* ---- places ---- */

static const char *place_text(struct arena *arena, struct span span) {
    int line, column;
    if (!span_is_known(span))
        return "no line";
    source_locate(span.source, span.begin, &line, &column);
    return arena_printf(arena, "%s:%d", span.source->name, line);
}

/* Not the layers and functions that everything is made of, where all kernels of a model would be on a few
 * lines; the larger parts of the library (ldm, unet, ..) count as a model's text. */
static bool is_telling(struct span span) {
    return span_is_known(span) && strncmp(span.source->name, "<lib>/nn", 8) != 0 &&
           strcmp(span.source->name, "<lib>/prelude.weft") != 0;
}

/* Most ops are made in the library: the nearest line that tells where in the model that is. */
static const char *telling_line(struct arena *arena, const struct site *site) {
    for (const struct site *s = site; s; s = s->caller)
        if (is_telling(s->span))
            return place_text(arena, s->span);
    return place_text(arena, site->span);
}

/* ---- kernels ---- */

void profile_init(struct profile *p, struct measured *m) {
    *p = (struct profile){.arena = m->session.arena};
    p->rows = m->session.codegen->profile_rows(m->program->compiled, &p->row_count);
    p->kernel_of_row = ARENA_ARRAY(p->arena, int, p->row_count);
    for (int i = 0; i < p->row_count; i++) {
        const struct profile_row *row = &p->rows[i];
        if (row->phase == 0) {
            struct profile_kernel k = {.op = row->kernel, .name = "copy", .line = "no line"};
            if (row->kernel) {
                k.name = op_string(row->kernel, ATTR_name);
                k.line = telling_line(p->arena, row->kernel->site);
                k.cost = cost_of_op(row->kernel);
            }
            VEC_PUSH(p->arena, &p->kernels, k);
        }
        p->kernel_of_row[i] = p->kernels.count - 1;
    }
}

static int64_t event_count(const struct profile_log *log) {
    return log->count < log->capacity ? log->count : log->capacity;
}

void profile_add(struct profile *p, const struct profile_log *log) {
    for (int64_t i = 1; i < event_count(log); i++) {
        const struct profile_event *event = &log->events[i];
        if (event->row < 0)
            continue;
        struct profile_kernel *k = &p->kernels.at[p->kernel_of_row[event->row]];
        double seconds = 1e-9 * (double)(event->time - event[-1].time);
        k->seconds += seconds;
        k->calls += p->rows[event->row].phase == 0;
        p->seconds += seconds;
    }
    p->lost += log->count - event_count(log);
    p->runs++;
}

/* ---- lines and calls ---- */

static void add_line(struct profile *p, const struct profile_kernel *k) {
    int at = 0;
    while (at < p->lines.count && strcmp(p->lines.at[at].line, k->line) != 0)
        at++;
    if (at == p->lines.count)
        VEC_PUSH(p->arena, &p->lines, ((struct profile_line){.line = k->line}));
    p->lines.at[at].seconds += k->seconds;
    p->lines.at[at].kernels++;
}

static struct profile_frame *frame_below(struct profile *p, struct profile_frame *frame, const char *label) {
    for (int i = 0; i < frame->below.count; i++)
        if (strcmp(frame->below.at[i]->label, label) == 0)
            return frame->below.at[i];
    struct profile_frame *made = ARENA_NEW(p->arena, struct profile_frame);
    made->label = label;
    VEC_PUSH(p->arena, &frame->below, made);
    return made;
}

/* The frame of a call, below those of its callers. */
static struct profile_frame *call_frame(struct profile *p, const struct site *call, double seconds) {
    if (!call)
        return &p->root;
    struct profile_frame *outer = call_frame(p, call->caller, seconds);
    const char *label = call->what ? call->what : "call";
    if (span_is_known(call->span))
        label = arena_printf(p->arena, "%s, called at %s", label, place_text(p->arena, call->span));
    struct profile_frame *frame = frame_below(p, outer, label);
    frame->seconds += seconds;
    return frame;
}

static void add_path(struct profile *p, const struct profile_kernel *k) {
    const struct site *site = k->op ? k->op->site : NULL;
    struct profile_frame *call = call_frame(p, site ? site->caller : NULL, k->seconds);
    const char *label =
        site ? arena_printf(p->arena, "%s  %s", place_text(p->arena, site->span), k->name) : k->name;
    frame_below(p, call, label)->seconds += k->seconds;
    p->root.seconds += k->seconds;
}

static int kernels_by_time(const void *a, const void *b) {
    double x = ((const struct profile_kernel *)a)->seconds, y = ((const struct profile_kernel *)b)->seconds;
    return (x < y) - (x > y);
}

static int lines_by_time(const void *a, const void *b) {
    double x = ((const struct profile_line *)a)->seconds, y = ((const struct profile_line *)b)->seconds;
    return (x < y) - (x > y);
}

void profile_finish(struct profile *p) {
    p->root.label = "entry";
    for (int i = 0; i < p->kernels.count; i++)
        if (p->kernels.at[i].calls) {
            add_line(p, &p->kernels.at[i]);
            add_path(p, &p->kernels.at[i]);
        }
    qsort(p->kernels.at, (size_t)p->kernels.count, sizeof *p->kernels.at, kernels_by_time);
    while (p->kernels.count && !VEC_LAST(&p->kernels).calls) /* init's */
        p->kernels.count--;
    if (p->lines.count)
        qsort(p->lines.at, (size_t)p->lines.count, sizeof *p->lines.at, lines_by_time);
}
