/* passes/plan_memory.c: offsets in the arena, one function at a time. Placing buffers of known lives in the
 * least memory is NP-hard (dynamic storage allocation); greedy orders come within a few per cent here.
 * Several orders are tried, then the buffers that reach the peak are moved to the front a few times, and the
 * best of all is kept. */
#include "passes/pipeline.h"
#include "passes/plan.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 48 }; /* of moving the peak's buffers to the front */

struct packing {
    const struct function_plan *plan;
    int count;
    int *order;      /* indices of buffers, in the order in which they are placed */
    int *placed;     /* scratch: those placed, by ascending offset */
    int64_t *offset; /* by buffer */
    int64_t *best;   /* the offsets of the best packing so far */
    int64_t best_peak;
    uint64_t *conflicts; /* bits, `words` a buffer: those that live at the same time */
    int words;
};

static int64_t aligned(int64_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

/* ---- one packing ---- */

static void find_conflicts(struct packing *p, struct arena *scratch) {
    p->words = (p->count + 63) / 64;
    p->conflicts = ARENA_ARRAY(scratch, uint64_t, p->count * p->words + 1);
    for (int a = 0; a < p->count; a++)
        for (int b = 0; b < p->count; b++) {
            const struct plan_buffer *x = &p->plan->buffers.at[a], *y = &p->plan->buffers.at[b];
            if (x->begin <= y->end && y->begin <= x->end && live_sets_overlap(&x->live, &y->live))
                p->conflicts[(size_t)a * (size_t)p->words + (size_t)b / 64] |= UINT64_C(1) << b % 64;
        }
}

static bool conflict(const struct packing *p, int a, int b) {
    return p->conflicts[(size_t)a * (size_t)p->words + (size_t)b / 64] >> b % 64 & 1;
}

/* A free place for the buffer among those placed: the lowest that fits, or of all gaps the smallest that
 * fits. */
static int64_t find_place(const struct packing *p, int buffer, int placed, bool best_fit) {
    int64_t bytes = aligned(p->plan->buffers.at[buffer].bytes);
    int64_t free_from = 0, found = -1, found_gap = INT64_MAX;
    for (int i = 0; i < placed; i++) {
        int other = p->placed[i];
        if (!conflict(p, buffer, other))
            continue;
        int64_t gap = p->offset[other] - free_from;
        if (gap >= bytes && gap < found_gap) {
            found = free_from;
            found_gap = gap;
            if (!best_fit)
                return found;
        }
        int64_t end = p->offset[other] + aligned(p->plan->buffers.at[other].bytes);
        free_from = end > free_from ? end : free_from;
    }
    return found >= 0 ? found : free_from;
}

static void insert_placed(struct packing *p, int buffer, int placed) {
    int at = placed;
    for (; at > 0 && p->offset[p->placed[at - 1]] > p->offset[buffer]; at--)
        p->placed[at] = p->placed[at - 1];
    p->placed[at] = buffer;
}

/* Packs in the present order; keeps it where it is the best so far. Gives the peak. */
static int64_t pack(struct packing *p, bool best_fit) {
    int64_t peak = 0;
    for (int i = 0; i < p->count; i++) {
        int buffer = p->order[i];
        p->offset[buffer] = find_place(p, buffer, i, best_fit);
        insert_placed(p, buffer, i);
        int64_t end = p->offset[buffer] + aligned(p->plan->buffers.at[buffer].bytes);
        peak = end > peak ? end : peak;
    }
    if (peak < p->best_peak) {
        p->best_peak = peak;
        memcpy(p->best, p->offset, sizeof(*p->best) * (size_t)p->count);
    }
    return peak;
}

/* ---- orders ---- */

struct ranked {
    double rank; /* greatest first */
    int buffer;
};

static int compare_ranked(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    return x->buffer - y->buffer;
}

static double rank_by_size(const struct plan_buffer *b) {
    return (double)b->bytes;
}

static double rank_by_area(const struct plan_buffer *b) {
    return (double)b->bytes * (b->end - b->begin + 1);
}

static double rank_by_begin(const struct plan_buffer *b) {
    return -(double)b->begin;
}

static void order_by(struct packing *p, double (*rank)(const struct plan_buffer *), struct arena *scratch) {
    struct ranked *all = ARENA_ARRAY(scratch, struct ranked, p->count);
    for (int i = 0; i < p->count; i++)
        all[i] = (struct ranked){rank(&p->plan->buffers.at[i]), i};
    qsort(all, (size_t)p->count, sizeof(*all), compare_ranked);
    for (int i = 0; i < p->count; i++)
        p->order[i] = all[i].buffer;
}

/* The buffers that end at the peak go first, in their old order. */
static void peak_first(struct packing *p, int64_t peak, struct arena *scratch) {
    int *moved = ARENA_ARRAY(scratch, int, p->count), n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < p->count; i++) {
            int b = p->order[i];
            bool at_peak = p->offset[b] + aligned(p->plan->buffers.at[b].bytes) == peak;
            if (at_peak == (pass == 0))
                moved[n++] = b;
        }
    memcpy(p->order, moved, sizeof(*moved) * (size_t)p->count);
}

static void improve(struct packing *p, bool best_fit, struct arena *scratch) {
    for (int round = 0; round < ROUNDS && p->best_peak > p->plan->lower_bound; round++)
        peak_first(p, pack(p, best_fit), scratch);
}

/* ---- the bound ---- */

/* The largest sum of live bytes at any position. */
static int64_t largest_live(const struct function_plan *plan, struct arena *scratch) {
    int64_t *change = ARENA_ARRAY(scratch, int64_t, plan->length + 1);
    for (int i = 0; i < plan->buffers.count; i++) {
        const struct plan_buffer *b = &plan->buffers.at[i];
        for (int j = 0; j < b->live.ranges.count; j++) {
            change[b->live.ranges.at[j].begin] += aligned(b->bytes);
            change[b->live.ranges.at[j].end + 1] -= aligned(b->bytes);
        }
    }
    int64_t live = 0, most = 0;
    for (int t = 0; t < plan->length; t++) {
        live += change[t];
        most = live > most ? live : most;
    }
    return most;
}

void plan_memory_function(struct function_plan *plan, struct arena *scratch) {
    struct packing p = {.plan = plan, .count = plan->buffers.count, .best_peak = INT64_MAX};
    p.order = ARENA_ARRAY(scratch, int, p.count);
    p.placed = ARENA_ARRAY(scratch, int, p.count);
    p.offset = ARENA_ARRAY(scratch, int64_t, p.count);
    p.best = ARENA_ARRAY(scratch, int64_t, p.count);
    find_conflicts(&p, scratch);
    plan->lower_bound = largest_live(plan, scratch);
    double (*const ranks[])(const struct plan_buffer *) = {rank_by_size, rank_by_area, rank_by_begin};
    for (int i = 0; i < 3 && p.best_peak > plan->lower_bound; i++)
        for (int best_fit = 0; best_fit < 2; best_fit++) {
            order_by(&p, ranks[i], scratch);
            improve(&p, best_fit, scratch);
        }
    plan->arena_bytes = p.count ? p.best_peak : 0;
    for (int i = 0; i < p.count; i++) {
        plan->buffers.at[i].offset = p.best[i];
        plan->buffers.at[i].place->offset = p.best[i];
    }
}

static void note_again(struct function_plan *plan, const struct pass_context *context) {
    for (int i = 0; i < context->again.count; i++) {
        const struct op *kernel = context->again.at[i];
        if (kernel->block && kernel->block->function == plan->function) /* it was not dropped later */
            VEC_PUSH(context->arena, &plan->again, kernel);
    }
}

bool plan_memory(struct graph *graph, struct pass_context *context) {
    (void)graph;
    bool ok = true;
    for (int i = 0; i < context->plan->functions.count; i++) {
        struct function_plan *plan = context->plan->functions.at[i];
        plan_memory_function(plan, context->scratch);
        note_again(plan, context);
        ok &= !context->memory ||
              plan_check(plan, context->memory, context->memory_span, context->arena, context->diags);
    }
    return ok;
}
