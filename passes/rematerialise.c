/* passes/rematerialise.c: less memory for more work, where an entry's arena would be larger than what is
 * allowed (--memory). Behind fuse, whole kernels are computed again.
 *
 * As long as the plan is too large: at the position where most bytes are alive, take a value that lives
 * across it, made before and used behind, and make it a second time in front of its later uses. Its kernel's
 * operands must be there again: those that are not either live on, or are made again themselves, up to a
 * depth; so a segment of a forward pass is computed again in front of its backward pass, all values of it
 * once (Chen et al. 2016). Of all candidates and depths the one with the least time for each byte that it
 * frees is taken. A kernel that has only later uses just moves. */
#include "passes/cost.h"
#include "passes/passes.h"

enum {
    MOST_KERNELS = 32, /* computed again for one value, */
    MOST_KEPT = 64,    /* operands that live on for them */
    MOST_ROUNDS = 300, /* values for one entry */
    PATIENCE = 40,     /* rounds without a smaller peak */
    MOST_MOVES = 3,    /* of one kernel: each may look good again and again */
    LEAST_PART = 1024  /* a candidate frees at least this part of what is too much */
};

/* Seconds are only compared with each other. */
static const double flops_in_second = 5e10, bytes_in_second = 8e9;

struct budget {
    struct graph *graph;
    struct function *function;
    struct pass_context *context;
    struct arena *arena; /* of one look at the program */
    struct map moves;    /* of a kernel that was made again: how often already */
    struct liveness *live;
    struct function_plan *plan;
    int64_t *bytes_at; /* alive, by position */
    int64_t *change;   /* scratch of raises_peak: what a recipe does to it, from one position to the next */
    int peak;          /* the position where most are */
};

/* What is computed again together. */
struct recipe {
    struct op *kernels[MOST_KERNELS]; /* operands' makers first */
    int count;
    struct {
        int from, to; /* positions */
        int64_t bytes;
    } kept[MOST_KEPT]; /* operands that live on */
    int kept_count;
    int64_t freed;   /* at the peak, less what lives on for it */
    bool is_settled; /* where it is computed again, all that is alive fits: that is no next peak */
    double seconds;
};

/* ---- a look at the program ---- */

static int64_t aligned(int64_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

static void find_peak(struct budget *b) {
    b->bytes_at = ARENA_ARRAY(b->arena, int64_t, b->plan->length + 1);
    for (int i = 0; i < b->plan->buffers.count; i++) {
        const struct plan_buffer *buffer = &b->plan->buffers.at[i];
        for (int j = 0; j < buffer->live.ranges.count; j++) {
            b->bytes_at[buffer->live.ranges.at[j].begin] += aligned(buffer->bytes);
            b->bytes_at[buffer->live.ranges.at[j].end + 1] -= aligned(buffer->bytes);
        }
    }
    b->change = ARENA_ARRAY(b->arena, int64_t, b->plan->length + 2);
    b->peak = 0;
    for (int t = 1; t < b->plan->length; t++) {
        b->bytes_at[t] += b->bytes_at[t - 1];
        b->peak = b->bytes_at[t] > b->bytes_at[b->peak] ? t : b->peak;
    }
}

/* Plans it as it stands; the plan is thrown away. */
static void look(struct budget *b) {
    arena_reset(b->arena);
    struct plan *plan = plan_create(b->arena, b->graph);
    b->plan = alias_function(b->graph, b->function, plan, b->arena);
    b->live = liveness_compute(b->arena, b->function);
    find_peak(b);
}

static int64_t peak_bytes(const struct budget *b) {
    return b->plan->length ? b->bytes_at[b->peak] : 0;
}

/* ---- values and their uses ---- */

static struct value *without_views(struct value *value) {
    while (value->def && value->def->code == OP_reshape)
        value = value->def->in[0];
    return value;
}

/* The last position at which the value, or a view of it, is used. */
static int last_use(const struct budget *b, const struct value *value) {
    int last = -1;
    FOR_EACH_USE (use, value) {
        int at = use->user->code == OP_reshape ? last_use(b, use->user->out[0]) : b->live->end[use->user->id];
        last = at > last ? at : last;
    }
    return last;
}

/* The first use behind the peak; INT_MAX: none. */
static int next_use(const struct budget *b, const struct value *value) {
    int next = INT32_MAX;
    FOR_EACH_USE (use, value) {
        int at =
            use->user->code == OP_reshape ? next_use(b, use->user->out[0]) : b->live->begin[use->user->id];
        next = at > b->peak && at < next ? at : next;
    }
    return next;
}

static bool is_used_at_peak(const struct budget *b, const struct value *value) {
    FOR_EACH_USE (use, value) {
        const struct op *user = use->user;
        if (user->code == OP_reshape
                ? is_used_at_peak(b, user->out[0])
                : b->live->begin[user->id] <= b->peak && b->peak <= b->live->end[user->id])
            return true;
    }
    return false;
}

static bool is_in_arena(const struct budget *b, const struct value *value) {
    const struct place *place = plan_place(b->plan, value);
    return place && place->kind == PLACE_WORKSPACE;
}

/* Made before the peak, used behind it, and only kept there. */
static bool spans_peak(const struct budget *b, const struct value *value) {
    return is_in_arena(b, value) && b->live->begin[value->def->id] < b->peak &&
           next_use(b, value) != INT32_MAX && !is_used_at_peak(b, value);
}

/* ---- candidates ---- */

static bool holds(const struct recipe *r, const struct op *kernel) {
    for (int i = 0; i < r->count; i++)
        if (r->kernels[i] == kernel)
            return true;
    return false;
}

static bool keep(const struct budget *b, struct recipe *r, const struct value *operand, int at) {
    int64_t bytes = aligned(type_bytes(operand->type));
    int from = last_use(b, operand);
    if (r->kept_count == MOST_KEPT)
        return false;
    r->kept[r->kept_count].from = from;
    r->kept[r->kept_count].to = at;
    r->kept[r->kept_count++].bytes = bytes;
    r->freed -= from <= b->peak ? bytes : 0;
    return true;
}

/* Adds the kernel and what it needs to run at the position `at`: operands that are gone by then are made
 * again, `depth` kernels deep, else they live on. false: too many. */
static bool gather(const struct budget *b, struct recipe *r, struct op *kernel, int at, int depth) {
    if (holds(r, kernel))
        return true;
    for (int i = 0; i < kernel->in_count; i++) {
        struct value *operand = without_views(kernel->in[i]);
        if (!is_in_arena(b, operand) || last_use(b, operand) >= at)
            continue;
        bool is_made = operand->def && operand->def->code == OP_kernel;
        if (is_made && depth > 0) {
            if (!gather(b, r, operand->def, at, depth - 1))
                return false;
        } else if (!keep(b, r, operand, at)) {
            return false;
        }
    }
    if (r->count == MOST_KERNELS)
        return false;
    r->kernels[r->count++] = kernel;
    for (int i = 0; i < kernel->out_count; i++)
        if (spans_peak(b, kernel->out[i]))
            r->freed += aligned(type_bytes(kernel->out[i]->type));
    return true;
}

/* A kernel all of whose uses are behind the peak is moved, at no cost. */
static double added_seconds(const struct budget *b, const struct recipe *r) {
    double seconds = 0;
    for (int i = 0; i < r->count; i++) {
        bool has_early_use = false;
        for (int k = 0; k < r->kernels[i]->out_count; k++)
            FOR_EACH_USE (use, r->kernels[i]->out[k])
                has_early_use |= b->live->begin[use->user->id] <= b->peak && !holds(r, use->user);
        struct cost cost = cost_of_op(r->kernels[i]);
        seconds += has_early_use ? cost.flops / flops_in_second + cost.bytes / bytes_in_second : 0;
    }
    return seconds + 1e-6 * r->count;
}

static intptr_t moves_of(const struct budget *b, const struct op *kernel) {
    return (intptr_t)map_find(&b->moves, kernel);
}

static void add_change(const struct budget *b, int from, int to, int64_t bytes) {
    b->change[from + 1] += bytes;
    b->change[to + 1] -= bytes;
}

/* The last use up to the peak; where there is none, the value's begin. */
static int last_early_use(const struct budget *b, const struct value *value) {
    int last = b->live->begin[value->def->id];
    FOR_EACH_USE (use, value) {
        const struct op *user = use->user;
        int at = user->code == OP_reshape ? last_early_use(b, user->out[0]) : b->live->end[user->id];
        last = at <= b->peak && at > last ? at : last;
    }
    return last;
}

/* What lives on would make as high a peak elsewhere. */
static bool raises_peak(const struct budget *b, const struct recipe *r) {
    for (int i = 0; i < r->kept_count; i++)
        add_change(b, r->kept[i].from, r->kept[i].to, r->kept[i].bytes);
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->kernels[i]->out_count; k++) {
            const struct value *v = r->kernels[i]->out[k];
            if (spans_peak(b, v))
                add_change(b, last_early_use(b, v), next_use(b, v) - 1, -aligned(type_bytes(v->type)));
        }
    int64_t change = 0;
    bool raises = false;
    for (int t = 0; t < b->plan->length; t++) {
        change += b->change[t];
        raises |= change > 0 && b->bytes_at[t] + change >= peak_bytes(b);
    }
    for (int t = 0; t < b->plan->length + 2; t++)
        b->change[t] = 0;
    return raises;
}

/* More than what is too much need not be freed. */
static bool is_better(const struct recipe *r, const struct recipe *best, int64_t excess) {
    if (!best->count || r->is_settled != best->is_settled)
        return !best->count || r->is_settled;
    int64_t freed = r->freed < excess ? r->freed : excess, most = best->freed < excess ? best->freed : excess;
    return r->seconds * (double)most < best->seconds * (double)freed;
}

static void consider(const struct budget *b, struct op *kernel, int64_t target, struct recipe *best) {
    static const int depths[] = {0, 1, 2, 3, 5, 8, 12, 20};
    int at = INT32_MAX;
    if (moves_of(b, kernel) >= MOST_MOVES)
        return;
    for (int i = 0; i < kernel->out_count; i++)
        if (spans_peak(b, kernel->out[i])) {
            int next = next_use(b, kernel->out[i]);
            at = next < at ? next : at;
        }
    if (at == INT32_MAX)
        return;
    int64_t excess = peak_bytes(b) - target, least = excess / LEAST_PART + 1;
    int count = -1;
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        struct recipe r = {0};
        if (!gather(b, &r, kernel, at, depths[i]) || r.count == count)
            return; /* deeper is the same */
        count = r.count;
        r.seconds = added_seconds(b, &r);
        r.is_settled = b->bytes_at[at] <= target;
        if (r.freed >= least && is_better(&r, best, excess) && !raises_peak(b, &r))
            *best = r;
    }
}

static void consider_block(const struct budget *b, const struct block *block, int64_t target,
                           struct recipe *best) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_kernel)
            consider(b, op, target, best);
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            consider_block(b, op->regions[r], target, best);
    }
}

/* ---- computing again ---- */

struct repeating {
    struct budget *b;
    VEC(struct op *) made;
};

static bool stands_before(const struct op *x, const struct op *y) {
    for (const struct op *op = x->next; op; op = op->next)
        if (op == y)
            return true;
    return false;
}

static bool is_late(const struct repeating *r, const struct op *user) {
    for (int i = 0; i < r->made.count; i++)
        if (r->made.at[i] == user)
            return true;
    return r->b->live->begin[user->id] > r->b->peak;
}

static bool has_late_use(const struct repeating *r, const struct value *value) {
    FOR_EACH_USE (use, value)
        if (use->user->code == OP_reshape ? has_late_use(r, use->user->out[0]) : is_late(r, use->user))
            return true;
    return false;
}

/* Late uses of the old value take the new one, through views of their own. *first becomes the first op that
 * uses it. */
static void redirect(struct repeating *r, struct value *old, struct value *new, struct op **first) {
    FOR_EACH_USE (use, old) {
        struct op *user = use->user;
        if (user->code == OP_reshape && has_late_use(r, user->out[0])) {
            struct map map;
            map_init(&map, r->b->arena);
            map_put(&map, old, new);
            struct op *view = op_clone(r->b->graph, user, &map);
            redirect(r, user->out[0], view->out[0], first);
            op_insert_before(view, *first);
            *first = view;
        } else if (user->code != OP_reshape && is_late(r, user)) {
            op_set_in(user, use->index, new);
            if (!*first || stands_before(user, *first))
                *first = user;
        }
    }
}

static void repeat_kernel(struct repeating *r, struct op *kernel) {
    struct map map;
    map_init(&map, r->b->arena);
    struct op *again = op_clone(r->b->graph, kernel, &map), *first = NULL;
    for (int i = 0; i < kernel->out_count; i++)
        redirect(r, kernel->out[i], again->out[i], &first);
    if (!first) { /* nobody needs it late */
        op_erase(again);
        return;
    }
    op_insert_before(again, first);
    map_put(&r->b->moves, again, (void *)(moves_of(r->b, kernel) + 1));
    VEC_PUSH(r->b->arena, &r->made, again);
}

/* Users first, so that each kernel finds those that were made for it. */
static void repeat(struct budget *b, const struct recipe *recipe) {
    struct repeating r = {.b = b};
    for (int i = recipe->count - 1; i >= 0; i--)
        repeat_kernel(&r, recipe->kernels[i]);
    for (int i = 0; i < r.made.count; i++)
        VEC_PUSH(b->context->arena, &b->context->again, r.made.at[i]);
    struct pass_context cleaning = *b->context;
    cleaning.scratch = b->arena;
    dce(b->graph, &cleaning); /* kernels that only moved, and results that were not wanted twice */
}

/* ---- the pass ---- */

static bool step(struct budget *b, int64_t target) {
    struct recipe best = {0};
    consider_block(b, b->function->body, target, &best);
    if (!best.count)
        return false;
    repeat(b, &best);
    look(b);
    return true;
}

/* The ops of all blocks, so that an order can be taken back. */
typedef VEC(struct op *) op_list;

static void list_ops(const struct budget *b, const struct block *block, op_list *ops) {
    FOR_EACH_OP (op, block) {
        VEC_PUSH(b->context->scratch, ops, op);
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            list_ops(b, op->regions[r], ops);
    }
}

static void restore_order(const op_list *ops) {
    for (int i = 0; i < ops->count; i++) {
        struct op *op = ops->at[i], *end = block_yield(op->block);
        if (op != end)
            op_move_before(op, end);
    }
}

/* Gives the bytes that the entry would take now. `schedule` goes by an estimate of what shares memory: where
 * its order is worse, the old one comes back. */
static int64_t plan_now(struct budget *b) {
    op_list before = {0};
    int64_t bytes = peak_bytes(b);
    list_ops(b, b->function->body, &before);
    schedule_function(b->graph, b->function, b->arena);
    look(b);
    if (peak_bytes(b) > bytes) {
        restore_order(&before);
        look(b);
    }
    plan_memory_function(b->plan, b->arena);
    return b->plan->arena_bytes;
}

/* The packing may need more than the largest sum of live bytes: then that has to be less. Gives the bytes
 * that were reached. */
static int64_t fit(struct budget *b, int64_t target) {
    int64_t allowed = b->context->memory, least = INT64_MAX;
    int idle = 0;
    for (int round = 0; round < MOST_ROUNDS && idle < PATIENCE; round++) {
        if (peak_bytes(b) <= target || !step(b, target)) {
            int64_t bytes = plan_now(b);
            if (bytes <= allowed || (peak_bytes(b) > target && !step(b, target)))
                return bytes;
            target = peak_bytes(b) <= target ? target - (bytes - allowed) : target;
        }
        idle = peak_bytes(b) < least ? 0 : idle + 1;
        least = peak_bytes(b) < least ? peak_bytes(b) : least;
    }
    return plan_now(b);
}

static void set_function(struct block *block, struct function *function) {
    block->function = function;
    FOR_EACH_OP (op, block)
        for (int r = 0; r < op->region_count; r++)
            set_function(op->regions[r], function);
}

static void swap_bodies(struct function *f, struct function *g) {
    struct block *body = f->body;
    f->body = g->body;
    g->body = body;
    set_function(f->body, f);
    set_function(g->body, g);
}

/* Steps cannot be taken back, and those for another target may lead further: each begins with the program as
 * it was. What fits, or else the least, stays. */
static void fit_best(struct budget *b) {
    static const double targets[] = {1, 0.8, 0.6};
    struct function *function = b->function;
    int64_t least = INT64_MAX;
    struct function *best = NULL;
    int functions = b->graph->functions.count;
    for (int i = 0; i < 3 && least > b->context->memory; i++) {
        b->function = graph_add_copy(b->graph, function, function->name);
        look(b);
        int64_t bytes = fit(b, (int64_t)(targets[i] * (double)b->context->memory));
        best = bytes < least ? b->function : best;
        least = bytes < least ? bytes : least;
    }
    swap_bodies(function, best);
    b->graph->functions.count = functions;
}

bool rematerialise(struct graph *graph, struct pass_context *context) {
    if (!context->memory)
        return true;
    struct arena *arena = arena_create();
    if (!arena) {
        diag_error(context->diags, (struct span){0}, E_COMPILE, "there is no memory for the passes");
        return false;
    }
    for (int i = 0; i < context->function_count; i++) {
        struct budget b = {
            .graph = graph, .function = context->functions[i], .context = context, .arena = arena};
        map_init(&b.moves, context->scratch);
        look(&b);
        if (plan_now(&b) > context->memory)
            fit_best(&b);
    }
    arena_destroy(arena);
    context->is_scheduled = true;
    return true;
}
