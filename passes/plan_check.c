/* passes/plan_check.c: an entry's arena against --memory, and what to say where it is too large. */
#include "passes/plan.h"

#include <string.h>

enum { LINES_NAMED = 8 };

static const char *size_text(struct arena *arena, int64_t bytes) {
    static const char *const units[] = {"B", "K", "M", "G", "T"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    return arena_printf(arena, unit ? "%.1f%s" : "%.0f %s", value, units[unit]);
}

static bool is_alive(const struct plan_buffer *buffer, int position) {
    for (int i = 0; i < buffer->live.ranges.count; i++)
        if (buffer->live.ranges.at[i].begin <= position && position <= buffer->live.ranges.at[i].end)
            return true;
    return false;
}

static int64_t bytes_at(const struct function_plan *plan, int position) {
    int64_t bytes = 0;
    for (int i = 0; i < plan->buffers.count; i++)
        bytes += is_alive(&plan->buffers.at[i], position) ? plan->buffers.at[i].bytes : 0;
    return bytes;
}

static int peak_of(const struct function_plan *plan) {
    int peak = 0;
    int64_t most = -1;
    for (int i = 0; i < plan->buffers.count; i++) { /* sums only grow where a buffer begins */
        int at = plan->buffers.at[i].begin;
        int64_t bytes = bytes_at(plan, at);
        if (bytes > most) {
            most = bytes;
            peak = at;
        }
    }
    return peak;
}

/* What a line of the model, or of the library under a call of the model, holds. */
struct holder {
    const char *place;
    const struct value *value; /* the largest */
    int64_t bytes;
    int count;
};

static const char *place_of_span(struct arena *arena, struct span span) {
    int line, column;
    source_locate(span.source, span.begin, &line, &column);
    return arena_printf(arena, "%s:%d", span.source->name, line);
}

/* "<lib>/nn/layers.weft:23, from unet.weft:52" */
static const char *place_text(struct arena *arena, const struct value *value) {
    const struct site *site = value->def            ? value->def->site
                              : value->block->owner ? value->block->owner->site
                                                    : value->block->function->site;
    if (!span_is_known(site->span))
        return "no line of the model";
    const char *own = place_of_span(arena, site->span);
    const struct site *outer = site;
    while (outer->caller && span_is_known(outer->caller->span))
        outer = outer->caller;
    return outer == site ? own : arena_printf(arena, "%s, from %s", own, place_of_span(arena, outer->span));
}

typedef VEC(struct holder) holders;

static void hold(holders *all, struct arena *arena, const struct plan_buffer *buffer) {
    const char *place = place_text(arena, buffer->value);
    for (int i = 0; i < all->count; i++) {
        struct holder *h = &all->at[i];
        if (strcmp(h->place, place) != 0)
            continue;
        h->bytes += buffer->bytes;
        h->count++;
        if (type_bytes(buffer->value->type) > type_bytes(h->value->type))
            h->value = buffer->value;
        return;
    }
    VEC_PUSH(arena, all, ((struct holder){place, buffer->value, buffer->bytes, 1}));
}

static void largest_first(holders *all) {
    for (int i = 1; i < all->count; i++)
        for (int k = i; k > 0 && all->at[k - 1].bytes < all->at[k].bytes; k--) {
            struct holder swap = all->at[k];
            all->at[k] = all->at[k - 1];
            all->at[k - 1] = swap;
        }
}

static const char *holder_text(struct arena *arena, const struct holder *h) {
    struct strbuf text;
    strbuf_init(&text, arena);
    strbuf_printf(&text, "%s at the peak: ", size_text(arena, h->bytes));
    if (h->count > 1)
        strbuf_printf(&text, "%d values, the largest ", h->count);
    type_print(&text, h->value->type);
    strbuf_printf(&text, " of %s", h->place);
    return text.text;
}

static void name_holders(struct diag *d, const struct function_plan *plan, struct arena *arena) {
    holders all = {0};
    int peak = peak_of(plan);
    for (int i = 0; i < plan->buffers.count; i++)
        if (is_alive(&plan->buffers.at[i], peak))
            hold(&all, arena, &plan->buffers.at[i]);
    largest_first(&all);
    int64_t rest = 0;
    for (int i = 0; i < all.count; i++) {
        if (i < LINES_NAMED)
            diag_note(d, "%s", holder_text(arena, &all.at[i]));
        else
            rest += all.at[i].bytes;
    }
    if (rest)
        diag_note(d, "%s at the peak: %d more lines", size_text(arena, rest), all.count - LINES_NAMED);
}

bool plan_check(const struct function_plan *plan, int64_t allowed, struct span said, struct arena *arena,
                struct diags *diags) {
    if (plan->arena_bytes <= allowed)
        return true;
    struct span span = span_is_known(said) ? said : plan->function->site->span;
    struct diag *d = diag_error(
        diags, span, E_MEMORY, "`%s` takes %s for its intermediate values at least; `memory` allows %s",
        plan->function->name, size_text(arena, plan->arena_bytes), size_text(arena, allowed));
    name_holders(d, plan, arena);
    if (plan->function->kind == FUNCTION_TRAIN)
        diag_hint(d, "a smaller batch takes less; a recipe's `accumulate` makes up for it");
    return false;
}
