/* passes/schedule.c: an order of ops that needs little memory. Within a block three orders are tried: the
 * given one; the given one with every op pulled forward that frees as much as it makes; and a greedy one that
 * always takes the ready op with the least growth. The best by the peak of live bytes is kept, the given one
 * where none is better: it has the locality that the program was written with.
 *
 * A state whose new value shall be written over the old one must have no reader left: the readers of the old
 * value are put before the op that makes the new one, where that makes no cycle. */
#include "passes/pipeline.h"
#include "passes/plan.h"

/* A piece of memory that an op of the block makes. */
struct owner {
    int64_t bytes;
    int users;    /* items that read it, views looked through */
    bool is_kept; /* the block's yield reads it */
};

struct item {
    struct op *op;
    VEC(int) next;   /* items that must come later */
    VEC(int) reads;  /* owners, each once */
    VEC(int) makes;  /* by result: an owner */
    const bool *may; /* of a kernel: which results may take over which operands */
    int before;      /* how many items must come earlier */
    int64_t inside;  /* the peak within its regions */
    int mark;        /* of the search for paths */
};

struct scheduling {
    struct graph *graph;
    struct arena *arena;
    VEC(struct item) items; /* the ops that may move, in the given order */
    VEC(struct owner) owners;
    int *item_of;  /* by op id: index + 1 */
    int *owner_of; /* by value id: index + 1 */
    int marks;
};

/* A partial order under construction. */
struct trial {
    int *left;     /* by item: how many must still come earlier */
    int *users;    /* by owner: how many must still read it */
    bool *is_done; /* by item */
    int *order;
    int count;
    int64_t live, peak;
};

/* ---- the block as items and owners ---- */

static bool is_head(const struct op *op) {
    return op->code == OP_input || op->code == OP_read || op->code == OP_const;
}

static bool is_tail(const struct op *op) {
    return op->code == OP_write || op->code == OP_yield;
}

static void add_edge(struct scheduling *s, int from, int to) {
    struct item *item = &s->items.at[from];
    for (int i = 0; i < item->next.count; i++)
        if (item->next.at[i] == to)
            return;
    VEC_PUSH(s->arena, &item->next, to);
    s->items.at[to].before++;
}

static void add_read(struct scheduling *s, struct item *item, int owner) {
    for (int i = 0; i < item->reads.count; i++)
        if (item->reads.at[i] == owner)
            return;
    VEC_PUSH(s->arena, &item->reads, owner);
    s->owners.at[owner].users++;
}

static void add_operands(struct scheduling *s, int index) {
    struct item *item = &s->items.at[index];
    for (int i = 0; i < item->op->in_count; i++) {
        const struct value *in = item->op->in[i];
        if (in->def && s->item_of[in->def->id])
            add_edge(s, s->item_of[in->def->id] - 1, index);
        if (s->owner_of[in->id] && item->op->code != OP_reshape)
            add_read(s, item, s->owner_of[in->id] - 1);
    }
}

static void add_results(struct scheduling *s, int index) {
    struct item *item = &s->items.at[index];
    for (int i = 0; i < item->op->out_count; i++) {
        const struct value *out = item->op->out[i];
        if (item->op->code == OP_reshape) {
            s->owner_of[out->id] = s->owner_of[item->op->in[0]->id];
            continue;
        }
        struct owner owner = {.bytes = type_bytes(out->type)};
        VEC_PUSH(s->arena, &s->owners, owner);
        s->owner_of[out->id] = s->owners.count;
        VEC_PUSH(s->arena, &item->makes, s->owners.count - 1);
    }
}

/* What leaves the function lives in the caller's memory, what leaves a region must be kept to its end. */
static void keep_outputs(struct scheduling *s, const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (op->code != OP_yield && op->code != OP_write && op->code != OP_report)
            continue;
        for (int i = 0; i < op->in_count; i++) {
            int owner = s->owner_of[op->in[i]->id] - 1;
            if (owner < 0)
                continue;
            s->owners.at[owner].is_kept = true;
            if (!block->owner)
                s->owners.at[owner].bytes = 0;
        }
    }
}

static bool is_effect(const struct op *op) {
    return op->code == OP_report || op->code == OP_check || op->code == OP_print;
}

static void collect_items(struct scheduling *s, struct block *block) {
    int last_effect = -1;
    FOR_EACH_OP (op, block) {
        if (is_head(op) || is_tail(op))
            continue;
        struct item item = {.op = op};
        if (op->code == OP_kernel)
            item.may = kernel_overwrites(op, s->arena);
        VEC_PUSH(s->arena, &s->items, item);
        int index = s->items.count - 1;
        s->item_of[op->id] = index + 1;
        add_operands(s, index);
        add_results(s, index);
        if (!is_effect(op))
            continue;
        if (last_effect >= 0)
            add_edge(s, last_effect, index);
        last_effect = index;
    }
    keep_outputs(s, block);
}

/* ---- readers of an old state before its update ---- */

static bool has_path(struct scheduling *s, int from, int to) {
    if (from == to)
        return true;
    struct item *item = &s->items.at[from];
    if (item->mark == s->marks)
        return false;
    item->mark = s->marks;
    for (int i = 0; i < item->next.count; i++)
        if (has_path(s, item->next.at[i], to))
            return true;
    return false;
}

static void readers_first(struct scheduling *s, const struct value *old, int update) {
    FOR_EACH_USE (use, old) {
        int reader = s->item_of[use->user->id] - 1;
        if (reader < 0)
            continue;
        if (use->user->code == OP_reshape)
            readers_first(s, use->user->out[0], update);
        s->marks++;
        if (reader != update && !has_path(s, update, reader))
            add_edge(s, reader, update);
    }
}

static const struct value *without_views(const struct value *value) {
    while (value->def && value->def->code == OP_reshape)
        value = value->def->in[0];
    return value;
}

static void updates_last(struct scheduling *s, const struct block *block) {
    FOR_EACH_OP (write, block) {
        if (write->code != OP_write)
            continue;
        const struct value *source = without_views(write->in[0]);
        int update = source->def ? s->item_of[source->def->id] - 1 : -1;
        FOR_EACH_OP (read, block)
            if (update >= 0 && read->code == OP_read &&
                op_attr(read, ATTR_state)->state == op_attr(write, ATTR_state)->state)
                readers_first(s, read->out[0], update);
    }
}

/* ---- trying orders ---- */

static struct trial *trial_create(struct scheduling *s) {
    struct trial *t = ARENA_NEW(s->arena, struct trial);
    t->left = ARENA_ARRAY(s->arena, int, s->items.count);
    t->is_done = ARENA_ARRAY(s->arena, bool, s->items.count);
    t->order = ARENA_ARRAY(s->arena, int, s->items.count);
    t->users = ARENA_ARRAY(s->arena, int, s->owners.count);
    for (int i = 0; i < s->items.count; i++)
        t->left[i] = s->items.at[i].before;
    for (int i = 0; i < s->owners.count; i++)
        t->users[i] = s->owners.at[i].users;
    return t;
}

static bool dies_at(const struct scheduling *s, const struct trial *t, int owner) {
    return t->users[owner] == 1 && !s->owners.at[owner].is_kept;
}

/* Result j comes into the memory of an operand that dies. */
static bool is_taken_over(const struct scheduling *s, const struct trial *t, const struct item *item, int j) {
    for (int i = 0; item->may && i < item->op->in_count; i++) {
        int owner = s->owner_of[item->op->in[i]->id] - 1;
        if (owner >= 0 && item->may[i * item->op->out_count + j] && dies_at(s, t, owner))
            return true;
    }
    return false;
}

/* Bytes that the item adds while it runs, and those that remain when it is done. */
static void effect_of(const struct scheduling *s, const struct trial *t, const struct item *item,
                      int64_t *during, int64_t *after) {
    int64_t made = 0, taken = 0, freed = 0;
    for (int j = 0; j < item->makes.count; j++) {
        int64_t bytes = s->owners.at[item->makes.at[j]].bytes;
        made += bytes;
        if (is_taken_over(s, t, item, j))
            taken += bytes;
    }
    for (int i = 0; i < item->reads.count; i++)
        if (dies_at(s, t, item->reads.at[i]))
            freed += s->owners.at[item->reads.at[i]].bytes;
    *during = made - (taken < freed ? taken : freed) + item->inside;
    for (int j = 0; j < item->makes.count; j++) /* a result that nobody reads */
        if (s->owners.at[item->makes.at[j]].users == 0 && !s->owners.at[item->makes.at[j]].is_kept)
            freed += s->owners.at[item->makes.at[j]].bytes;
    *after = made - freed;
}

static void take(const struct scheduling *s, struct trial *t, int index) {
    const struct item *item = &s->items.at[index];
    int64_t during, after;
    effect_of(s, t, item, &during, &after);
    t->peak = t->live + during > t->peak ? t->live + during : t->peak;
    t->live += after;
    for (int i = 0; i < item->reads.count; i++)
        t->users[item->reads.at[i]]--;
    for (int i = 0; i < item->next.count; i++)
        t->left[item->next.at[i]]--;
    t->is_done[index] = true;
    t->order[t->count++] = index;
}

/* The next item in the given order; with `pulls`, before it one that frees as much as it makes; with
 * `greedy`, the one that grows least. */
static int choose(const struct scheduling *s, const struct trial *t, bool pulls, bool greedy) {
    int first = -1, best = -1;
    int64_t best_after = 0;
    for (int i = 0; i < s->items.count; i++) {
        if (t->is_done[i] || t->left[i])
            continue;
        if (first < 0)
            first = i;
        if (!pulls)
            break;
        int64_t during, after;
        effect_of(s, t, &s->items.at[i], &during, &after);
        if (best < 0 || after < best_after) {
            best = i;
            best_after = after;
        }
    }
    return best >= 0 && (greedy || best_after <= 0) ? best : first;
}

static struct trial *try_order(struct scheduling *s, bool pulls, bool greedy) {
    struct trial *t = trial_create(s);
    while (t->count < s->items.count)
        take(s, t, choose(s, t, pulls, greedy));
    return t;
}

/* ---- blocks ---- */

/* Heads stay in front; items in the order found; writes behind them. */
static void apply(const struct scheduling *s, struct block *block, const struct trial *t) {
    struct op *yield = block_yield(block);
    VEC(struct op *) writes = {0};
    FOR_EACH_OP (op, block)
        if (op->code == OP_write)
            VEC_PUSH(s->arena, &writes, op);
    for (int i = 0; i < s->items.count; i++)
        op_move_before(s->items.at[t->order[i]].op, yield);
    for (int i = 0; i < writes.count; i++)
        op_move_before(writes.at[i], yield);
}

/* Gives the block's peak. */
static int64_t schedule_block(struct graph *graph, struct block *block, struct arena *arena) {
    struct scheduling s = {.graph = graph, .arena = arena};
    s.item_of = ARENA_ARRAY(arena, int, graph->next_op);
    s.owner_of = ARENA_ARRAY(arena, int, graph->next_value);
    collect_items(&s, block);
    for (int i = 0; i < s.items.count; i++) {
        struct item *item = &s.items.at[i];
        for (int r = 0; item->op->code != OP_kernel && r < item->op->region_count; r++) {
            int64_t inside = schedule_block(graph, item->op->regions[r], arena);
            item->inside = inside > item->inside ? inside : item->inside;
        }
    }
    if (!block->owner)
        updates_last(&s, block);
    struct trial *best = try_order(&s, false, false);
    for (int greedy = 0; greedy < 2; greedy++) {
        struct trial *other = try_order(&s, true, greedy);
        if (other->peak < best->peak)
            best = other;
    }
    apply(&s, block, best);
    return best->peak;
}

void schedule_function(struct graph *graph, struct function *function, struct arena *scratch) {
    schedule_block(graph, function->body, scratch);
}

bool schedule(struct graph *graph, struct pass_context *context) {
    for (int i = 0; i < context->function_count && !context->is_scheduled; i++)
        schedule_function(graph, context->functions[i], context->scratch);
    return true;
}
