#include "passes/liveness.h"

/* ---- sets of ranges ---- */

void live_set_add(struct arena *arena, struct live_set *set, struct live_range range) {
    struct live_set joined = {0};
    bool placed = false;
    for (int i = 0; i < set->ranges.count; i++) {
        struct live_range r = set->ranges.at[i];
        if (r.end < range.begin) {
            VEC_PUSH(arena, &joined.ranges, r);
        } else if (r.begin > range.end) {
            if (!placed)
                VEC_PUSH(arena, &joined.ranges, range);
            placed = true;
            VEC_PUSH(arena, &joined.ranges, r);
        } else {
            range.begin = r.begin < range.begin ? r.begin : range.begin;
            range.end = r.end > range.end ? r.end : range.end;
        }
    }
    if (!placed)
        VEC_PUSH(arena, &joined.ranges, range);
    *set = joined;
}

/* How many positions a and b share, up to 2, and one of them. */
static int shared_positions(const struct live_set *a, const struct live_set *b, int *where) {
    int shared = 0;
    if (!a->ranges.count || !b->ranges.count || VEC_LAST(&a->ranges).end < b->ranges.at[0].begin ||
        VEC_LAST(&b->ranges).end < a->ranges.at[0].begin)
        return 0;
    for (int i = 0, j = 0; i < a->ranges.count && j < b->ranges.count && shared < 2;) {
        struct live_range x = a->ranges.at[i], y = b->ranges.at[j];
        int begin = x.begin > y.begin ? x.begin : y.begin;
        int end = x.end < y.end ? x.end : y.end;
        if (begin <= end) {
            *where = begin;
            shared += end - begin + 1;
        }
        if (x.end < y.end)
            i++;
        else
            j++;
    }
    return shared;
}

bool live_sets_overlap(const struct live_set *a, const struct live_set *b) {
    int where;
    return shared_positions(a, b, &where) > 0;
}

static bool begins_at(const struct live_set *set, int position) {
    for (int i = 0; i < set->ranges.count; i++)
        if (set->ranges.at[i].begin == position)
            return true;
    return false;
}

static bool ends_at(const struct live_set *set, int position) {
    for (int i = 0; i < set->ranges.count; i++)
        if (set->ranges.at[i].end == position)
            return true;
    return false;
}

int live_sets_touch(const struct live_set *a, const struct live_set *b) {
    int where;
    return shared_positions(a, b, &where) == 1 && ends_at(a, where) && begins_at(b, where) ? where : -1;
}

/* ---- positions ---- */

static void number_block(struct liveness *l, const struct block *block);

static void number_op(struct liveness *l, const struct op *op) {
    l->begin[op->id] = l->length++;
    if (op->code == OP_loop && op->region_count == 2)
        number_block(l, op->regions[1]); /* the test stands before the body: it runs first */
    if (op->code == OP_loop || op->code == OP_cond)
        number_block(l, op->regions[0]);
    if (op->code == OP_cond)
        number_block(l, op->regions[1]);
    l->end[op->id] = l->length - 1;
}

static void number_block(struct liveness *l, const struct block *block) {
    FOR_EACH_OP (op, block)
        number_op(l, op);
}

/* ---- ranges ---- */

/* From `begin` to the last use of value in its own block. */
static void add_life(struct liveness *l, const struct value *value, int begin) {
    int last = begin;
    FOR_EACH_USE (use, value) {
        const struct op *user = use->user;
        bool is_captured = user->code == OP_loop && use->index >= loop_first_capture(user);
        int at = is_captured ? l->end[user->id] : l->begin[user->id];
        last = at > last ? at : last;
    }
    live_set_add(l->arena, &l->sets[value->id], (struct live_range){begin, last});
}

static void live_block(struct liveness *l, const struct block *block);

static void live_cond(struct liveness *l, const struct op *cond) {
    for (int side = 0; side < 2; side++) {
        const struct block *region = cond->regions[side];
        live_block(l, region);
        for (int i = 0; i < region->param_count; i++)
            if (region->params[i]->uses)
                add_life(l, region->params[i], l->begin[region->first->id]);
    }
}

/* The index and the carried values live from the loop's begin; where there is a test, through it, because the
 * loop may end there with what they hold. */
static void live_loop_params(struct liveness *l, const struct op *loop, const struct block *region,
                             int carried) {
    int begin = l->begin[loop->id];
    for (int i = 0; i <= carried; i++) {
        add_life(l, region->params[i], begin);
        if (loop->region_count == 2)
            live_set_add(l->arena, &l->sets[region->params[i]->id],
                         (struct live_range){begin, l->begin[block_yield(loop->regions[1])->id]});
    }
    /* The entry counts in registers and stores the index once a turn. */
    live_set_add(l->arena, &l->sets[region->params[0]->id], (struct live_range){begin, l->end[loop->id]});
}

static void live_loop(struct liveness *l, const struct op *loop) {
    for (int r = 0; r < loop->region_count; r++) {
        live_block(l, loop->regions[r]);
        live_loop_params(l, loop, loop->regions[r], (int)op_int(loop, ATTR_carried));
    }
}

/* Results of a loop are there from the turn's end on, stacked ones from its begin; those of a cond at the end
 * of either side. */
static void live_results(struct liveness *l, const struct op *op) {
    int begin = l->begin[op->id], end = l->end[op->id];
    for (int i = 0; i < op->out_count; i++) {
        bool is_late = op->code == OP_cond || (op->code == OP_loop && i < op_int(op, ATTR_carried));
        add_life(l, op->out[i], is_late ? end : begin);
        if (op->code == OP_loop && !is_late)
            live_set_add(l->arena, &l->sets[op->out[i]->id], (struct live_range){begin, end});
        if (op->code == OP_cond) {
            int other = l->begin[block_yield(op->regions[0])->id];
            live_set_add(l->arena, &l->sets[op->out[i]->id], (struct live_range){other, other});
        }
    }
}

static void live_block(struct liveness *l, const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_cond)
            live_cond(l, op);
        else if (op->code == OP_loop)
            live_loop(l, op);
        live_results(l, op);
    }
}

struct liveness *liveness_compute(struct arena *arena, const struct function *function) {
    struct liveness *l = ARENA_NEW(arena, struct liveness);
    l->arena = arena;
    l->begin = ARENA_ARRAY(arena, int, function->graph->next_op);
    l->end = ARENA_ARRAY(arena, int, function->graph->next_op);
    l->sets = ARENA_ARRAY(arena, struct live_set, function->graph->next_value);
    number_block(l, function->body);
    live_block(l, function->body);
    return l;
}
