/* passes/fuse_epilogue.c: contractions and what follows them element by element. */
#include "passes/fuse.h"

#include <string.h>

enum {
    EPILOGUE_FLOPS = 4, /* less than these, an operator on an operand beside the sum may go into the kernel */
    EPILOGUE_RESULTS = 3
};

/* In front of the sum of products a contraction reads through transposes, and casts what is in memory as it
 * reads it: a copy of a weight in 16 bits is never stored. */
static bool is_stored_view(const struct fusion *f, const struct value *v) {
    return fuse_is_stored(f, v) || (v->def->code == OP_transpose && is_stored_view(f, v->def->in[0]));
}

bool prologue_can_read(const struct fusion *f, const struct op *op) {
    return op->code == OP_transpose || (op->code == OP_cast && is_stored_view(f, op->in[0]));
}

/* Behind the sum it reads through these. */
bool epilogue_can_read(const struct op *op) {
    switch (op->code) {
    case OP_const:
    case OP_broadcast:
    case OP_reshape:
    case OP_transpose:
        return true;
    default:
        return op_class(op) == FUSE_MAP && op_infos[op->code].flops < EPILOGUE_FLOPS;
    }
}

bool is_before_core(const struct fusion *f, const struct op *op, const struct cluster *c) {
    FOR_EACH_USE (use, op->out[0]) {
        const struct op *user = use->user;
        bool is_step = user->code == OP_transpose || user->code == OP_cast;
        if (user == c->core || (is_step && cluster_holds(f, user, c) && is_before_core(f, user, c)))
            return true;
    }
    return false;
}

/* The contraction whose kernel computes the op, or NULL. */
static struct cluster *contraction_of(const struct fusion *f, const struct op *op) {
    const struct place_of_op *p = place_of(f, op);
    return p->homes.count && p->homes.at[0]->kind == CLUSTER_CONTRACT ? p->homes.at[0] : NULL;
}

static bool any_input_depends(struct fusion *f, const struct op *op, const struct cluster *c);

/* Whether the op, which c does not compute, depends on what c computes: asked backwards, as far as
 * anything could. A kernel runs as a whole: what another contraction's epilogue waits for, its sums wait for
 * too. */
static bool depends_on(struct fusion *f, const struct op *op, const struct cluster *c) {
    if (cluster_holds(f, op, c))
        return true;
    const struct cluster *whole = contraction_of(f, op);
    if (!whole && place_of(f, op)->position < f->earliest)
        return false;
    struct place_of_op *p = place_of(f, whole ? whole->core : op);
    if (p->asked == f->next_mark)
        return p->answer;
    p->asked = f->next_mark;
    p->answer = false;
    for (int i = 0; whole && i < whole->ops.count && !p->answer; i++)
        p->answer = any_input_depends(f, whole->ops.at[i], c);
    if (!whole)
        p->answer = any_input_depends(f, op, c);
    return p->answer;
}

static bool any_input_depends(struct fusion *f, const struct op *op, const struct cluster *c) {
    for (int i = 0; i < op->in_count; i++)
        if (op->in[i]->def && depends_on(f, op->in[i]->def, c))
            return true;
    return false;
}

/* An update of a state can be in place in a nest, which reads each element before it writes it; a
 * contraction's result cannot. So the optimiser's part begins a kernel. */
static bool updates_state(const struct fusion *f, const struct op *op) {
    return f->of[op->id].updates_state;
}

void fuse_find_updates(struct fusion *f, const struct block *block) {
    f->is_written = ARENA_ARRAY(f->arena, bool, f->graph->states.count + 1);
    FOR_EACH_OP (op, block)
        if (op->code == OP_write)
            f->is_written[op_attr(op, ATTR_state)->state->index] = true;
    FOR_EACH_OP (op, block) {
        if (op_class(op) != FUSE_MAP || elements_of(op->out[0]) <= 1)
            continue;
        for (int i = 0; i < op->in_count; i++) {
            const struct op *def = op->in[i]->def;
            if (!def || elements_of(op->in[i]) != elements_of(op->out[0]))
                continue;
            bool is_state = def->code == OP_read && f->is_written[op_attr(def, ATTR_state)->state->index];
            f->of[op->id].updates_state |= is_state || f->of[def->id].updates_state;
        }
    }
}

/* The place of the last op that the contraction waits for. */
static int ready_at(const struct fusion *f, const struct op *core) {
    int last = 0;
    for (int i = 0; i < core->in_count; i++) {
        const struct op *def = core->in[i]->def;
        last = def && place_of(f, def)->position > last ? place_of(f, def)->position : last;
    }
    return last;
}

enum { TERMS = 4 }; /* how far back from a sum its contractions are looked for */

/* Of two contractions that are added the one that has to wait longer does it: the other is done early, and
 * what it reads can go. */
static bool is_left_to_later(const struct fusion *f, const struct value *operand, const struct cluster *c,
                             int depth) {
    const struct op *def = operand->def;
    if (!def || depth == 0 || def->out_count != 1 || value_use_count(operand) != 1 ||
        elements_of(operand) != c->elements || cluster_holds(f, def, c))
        return false;
    if (op_class(def) == FUSE_CONTRACT)
        return ready_at(f, def) > ready_at(f, c->core);
    if (op_class(def) != FUSE_MAP)
        return false;
    for (int i = 0; i < def->in_count; i++)
        if (is_left_to_later(f, def->in[i], c, depth - 1))
            return true;
    return false;
}

static bool extends_epilogue(struct fusion *f, const struct op *op, const struct cluster *c) {
    bool fits = op_class(op) == FUSE_MAP || op->code == OP_reshape;
    if (!fits || place_of(f, op)->homes.count || elements_of(op->out[0]) != c->elements ||
        op->block != c->core->block)
        return false;
    f->next_mark++;
    if (updates_state(f, op))
        return false;
    for (int i = 0; i < op->in_count; i++) {
        struct op *def = op->in[i]->def;
        if (def && !cluster_holds(f, def, c) && depends_on(f, def, c))
            return false;
        if (def && cluster_holds(f, def, c) && elements_of(op->in[i]) != c->elements)
            return false;
        if (is_left_to_later(f, op->in[i], c, TERMS))
            return false;
    }
    return true;
}

/* Somebody outside of c needs the op's value, and it does not pay to compute it there again from other
 * results. */
static bool must_be_result(const struct fusion *f, const struct cluster *c, const struct op *op,
                           const struct op *with) {
    bool is_needed = false;
    FOR_EACH_USE (use, op->out[0]) {
        if (use->user == with || cluster_holds(f, use->user, c))
            continue;
        is_needed = true;
        if (fuse_reads_memory(f, use->user))
            return true;
    }
    return is_needed && (op == c->core || op_class(op) != FUSE_MAP || !fuse_is_cheap_chain(f, op));
}

static void sort_by_position(const struct fusion *f, struct op **ops, int count) {
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && place_of(f, ops[k - 1])->position > place_of(f, ops[k])->position; k--) {
            struct op *t = ops[k];
            ops[k] = ops[k - 1];
            ops[k - 1] = t;
        }
}

/* Finds which values of c, if `with` (or NULL) were in it, are results of its kernel, and counts them. */
static int find_results(struct fusion *f, const struct cluster *c, struct op *with) {
    int count = c->ops.count, results = 0;
    struct op **ops = ARENA_ARRAY(f->arena, struct op *, count + 1);
    memcpy(ops, c->ops.at, sizeof(*ops) * (size_t)count);
    if (with)
        ops[count++] = with;
    sort_by_position(f, ops, count);
    for (int i = 0; i < count; i++)
        place_of(f, ops[i])->is_result = false;
    for (int i = 0; i < count; i++)
        results += place_of(f, ops[i])->is_result = must_be_result(f, c, ops[i], with);
    return results;
}

/* All that the op reads besides c's values is there when c runs, or a few operators make it of what is: it
 * could end in c's epilogue. Where two ways lead from c's value to the op (x < 0 ? x : -x), one of them is
 * asked before the other is in c. */
static bool could_follow(const struct fusion *f, const struct op *op, const struct op *before,
                         const struct cluster *c, int depth) {
    for (int i = 0; i < op->in_count; i++) {
        const struct op *def = op->in[i]->def;
        bool is_there = !def || def == before || cluster_holds(f, def, c) || elements_of(op->in[i]) <= TINY ||
                        fuse_is_stored(f, op->in[i]);
        bool is_made = !is_there && depth > 0 && op_class(def) == FUSE_MAP && !updates_state(f, def) &&
                       could_follow(f, def, before, c, depth - 1);
        if (!is_there && !is_made)
            return false;
    }
    return true;
}

enum { WAYS = 5 };

/* Its value, or what the epilogue will make of it, has to be stored for another kind of reader than a nest.
 */
static bool leads_to_memory(const struct fusion *f, const struct op *op, const struct cluster *c, int depth) {
    if (depth == 0 || updates_state(f, op))
        return false;
    FOR_EACH_USE (use, op->out[0]) {
        const struct op *user = use->user;
        if (fuse_kind(user) != CLUSTER_NEST)
            return true;
        bool passes_on =
            op_class(user) == FUSE_VIEW || (op_class(user) == FUSE_MAP && could_follow(f, user, op, c, WAYS));
        if (passes_on && leads_to_memory(f, user, c, depth - 1))
            return true;
    }
    return false;
}

/* Another result costs a store: worth it only where the value would be stored anyway. */
static bool is_worth_its_results(struct fusion *f, const struct cluster *c, struct op *op) {
    enum { CHAIN = 6 };
    int before = find_results(f, c, NULL), results = find_results(f, c, op);
    place_of(f, op)->is_result = false;
    if (results > EPILOGUE_RESULTS)
        return false;
    return results <= before || leads_to_memory(f, op, c, CHAIN);
}

/* The first user, in the order of the block, that extends the epilogue. */
static struct op *find_extension(struct fusion *f, const struct cluster *c) {
    struct op *best = NULL;
    for (int i = 0; i < c->ops.count; i++)
        FOR_EACH_USE (use, c->ops.at[i]->out[0]) {
            struct op *op = use->user;
            if (best && place_of(f, op)->position >= place_of(f, best)->position)
                continue;
            if (extends_epilogue(f, op, c) && is_worth_its_results(f, c, op))
                best = op;
        }
    return best;
}

/* What ends an epilogue and is no result is not needed there; a reshape at its end is a free view behind the
 * kernel. */
static bool drop_last_op(struct fusion *f, struct cluster *c) {
    for (int i = c->ops.count - 1; i > 0; i--) {
        struct op *op = c->ops.at[i];
        bool is_used = place_of(f, op)->is_result && op->code != OP_reshape;
        FOR_EACH_USE (use, op->out[0])
            is_used |= cluster_holds(f, use->user, c);
        if (is_used)
            continue;
        place_of(f, op)->homes.count = 0;
        place_of(f, op)->provider = NULL;
        place_of(f, op)->is_result = false;
        memmove(&c->ops.at[i], &c->ops.at[i + 1], sizeof(op) * (size_t)(c->ops.count - 1 - i));
        c->ops.count--;
        return true;
    }
    return false;
}

/* The first place that may depend on the contraction at `position`: its own, or the core of an earlier one
 * whose epilogue stands behind that, since whoever uses those sums waits for the epilogue. Clusters are in
 * the order of their cores. */
static int earliest_dependent(const struct fusion *f, int position) {
    for (int i = f->clusters.count - 1; i >= 0; i--) {
        const struct cluster *c = f->clusters.at[i];
        for (int k = 0; k < c->ops.count; k++)
            if (place_of(f, c->ops.at[k])->position > position && place_of(f, c->core)->position < position) {
                position = place_of(f, c->core)->position;
                break;
            }
    }
    return position;
}

void fuse_grow_epilogue(struct fusion *f, struct op *core) {
    f->earliest = earliest_dependent(f, place_of(f, core)->position);
    struct cluster *c = cluster_begin(f, core, CLUSTER_CONTRACT);
    for (struct op *next = find_extension(f, c); next; next = find_extension(f, c)) {
        cluster_join(f, next, c);
        place_of(f, next)->provider = c;
    }
    do {
        sort_by_position(f, c->ops.at, c->ops.count);
        find_results(f, c, NULL);
    } while (drop_last_op(f, c));
}

/* ---- the order ---- */

struct gathering {
    struct fusion *f;
    struct op *end; /* the block's yield */
    int position;
};

static void move_to_end(struct gathering *g, struct op *op) {
    op_move_before(op, g->end);
    place_of(g->f, op)->position = g->position++;
}

/* The op, or the whole contraction that it is a part of, behind what that needs. `asked` marks what has its
 * place. */
static void gather(struct gathering *g, struct op *op) {
    struct fusion *f = g->f;
    const struct cluster *c = contraction_of(f, op);
    struct op *const *ops = c ? c->ops.at : &op;
    int count = c ? c->ops.count : 1;
    if (place_of(f, op)->asked == f->next_mark)
        return;
    for (int i = 0; i < count; i++)
        place_of(f, ops[i])->asked = f->next_mark;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < ops[i]->in_count; k++)
            if (ops[i]->in[k]->def)
                gather(g, ops[i]->in[k]->def);
    for (int i = 0; i < count; i++)
        move_to_end(g, ops[i]);
}

void fuse_gather_contractions(struct fusion *f, struct block *block) {
    struct gathering g = {.f = f, .end = block_yield(block)};
    VEC(struct op *) ops = {0}; /* as they were: the block changes underneath */
    FOR_EACH_OP (op, block)
        if (op != g.end)
            VEC_PUSH(f->arena, &ops, op);
    f->next_mark++;
    for (int i = 0; i < ops.count; i++)
        gather(&g, ops.at[i]);
    place_of(f, g.end)->position = g.position;
}
