/* passes/fuse.c: groups the ops that one kernel computes. After it a block holds sources, free views
 * (reshape), kernels, loops, conds and effects.
 *
 * First each contraction takes what follows it element by element (its epilogue), and the block's order is
 * made such that its ops stand together. Then the other ops are visited from the last to the first, so that
 * an op finds its users grouped, and whatever lies between two groups is grouped already:
 *   - all users in one kernel: it goes there, if it fits;
 *   - cheap ops go into every kernel that uses them, and are computed again in each;
 *   - else its users' kernels become one, if they may; or one of them hands the value on to the others;
 *   - else it begins a kernel.
 * A reduction fits where the kernel's results are its own rows, or elements of the rows that it sums
 * (softmax, norms): the kernel then sweeps over each row. No step may close a cycle of kernels. */
#include "passes/fuse.h"

#include "passes/passes.h"

#include <string.h>

enum {
    LARGE_PART = 16,
    ONE_TASK = 131072 /* elements that one sweep of everything may have */
};

/* ---- may an op go where its users are? ---- */

/* The user walks op's elements more often than once, and not only along the innermost axis, where what is
 * invariant is computed in front of the loop. */
static bool is_repeated_by(const struct op *op, const struct op *user) {
    const struct value *v = op->out[0];
    const struct type *from = v->type, *to = user->out[0]->type;
    if (type_elements(to) <= type_elements(from) || op_class(user) == FUSE_REDUCE)
        return false;
    if (user->code == OP_concat || user->code == OP_pad || user->code == OP_random_bits)
        return false;
    if (user->code == OP_broadcast) {
        const int64_t *axes = op_ints(user, ATTR_axes, NULL);
        for (int i = 0; i < from->rank; i++)
            if (axes[i] == to->rank - 1 && type_size(from, i) > 1)
                return true;
        return false;
    }
    bool innermost_is_one = from->rank == 0 || type_size(from, -1) == 1;
    return op_class(user) != FUSE_MAP || !innermost_is_one;
}

static bool reduction_fits(const struct op *op, const struct cluster *c) {
    struct sweep s;
    sweep_of(op, &s);
    if (cluster_has_sweep(c, &s))
        return true;
    for (int i = 0; i < c->sweeps.count; i++) /* a sum over rows of what each row's own sweeps give */
        if (c->sweeps.at[i].elements == s.rows && s.elements <= ONE_TASK)
            return true;
    if (c->sweeps.count)
        return false;
    if (c->elements == s.rows)
        return true;
    return c->elements == s.elements && (s.rows > 1 || s.elements <= ONE_TASK);
}

static bool fits_nest(const struct fusion *f, const struct op *op, const struct cluster *c) {
    if (fuse_is_loop_reduction(op))
        return reduction_fits(op, c);
    if (!fuse_is_dear(op) || elements_of(op->out[0]) <= 1)
        return true;
    FOR_EACH_USE (use, op->out[0])
        if (cluster_holds(f, use->user, c) && is_repeated_by(op, use->user))
            return false;
    return true;
}

static bool fits(const struct fusion *f, const struct op *op, const struct cluster *c) {
    if (c->kind == CLUSTER_NEST)
        return fits_nest(f, op, c);
    if (c->kind == CLUSTER_ATTEND)
        return attend_can_read(f, op);
    if (c->kind != CLUSTER_CONTRACT)
        return false;
    if (is_before_core(f, op, c))
        return prologue_can_read(f, op);
    return epilogue_can_read(op);
}

/* The op has one element for each row, made from reductions of rows of c's elements. */
static bool is_of_rows(const struct op *op, const struct cluster *c) {
    int64_t rows = elements_of(op->out[0]);
    if (fuse_is_loop_reduction(op))
        return elements_of(op->in[0]) == c->elements;
    if (op_class(op) != FUSE_MAP && op->code != OP_reshape && op->code != OP_broadcast)
        return false;
    for (int i = 0; i < op->in_count; i++) {
        const struct op *def = op->in[i]->def;
        if (def && elements_of(op->in[i]) == rows && is_of_rows(def, c))
            return true;
    }
    return false;
}

/* c computes op's value for others too: in the loops that it has anyway. */
static bool can_provide(struct fusion *f, struct op *op, struct cluster *c) {
    if (c->kind != CLUSTER_NEST || op->out_count != 1)
        return false;
    int64_t n = elements_of(op->out[0]);
    bool of_rows = n < c->elements && n > 1 && is_of_rows(op, c);
    return (n == c->elements || of_rows) && !cluster_closes_cycle(f, op, c);
}

/* ---- the visit ---- */

static void begin_own(struct fusion *f, struct op *op) {
    /* A reshape of its own is a free view, a constant is data: neither is a kernel. */
    bool is_free = op->code == OP_reshape || op->code == OP_const;
    cluster_begin(f, op, is_free ? CLUSTER_OUTSIDE : fuse_kind(op));
}

/* Makes one cluster of those users that may be one. */
static void unite(struct fusion *f, const struct op *op, const cluster_list *users) {
    struct cluster *home = NULL;
    for (int i = 0; i < users->count; i++) {
        struct cluster *c = users->at[i];
        if (c->kind != CLUSTER_NEST || c->merged || !fits(f, op, c))
            continue;
        if (!home)
            home = c;
        else if (clusters_may_merge(f, home, c))
            clusters_merge(f, home, c);
    }
}

static void place_dear(struct fusion *f, struct op *op, cluster_list *users) {
    if (users->count == 1 && fits(f, op, users->at[0])) {
        cluster_join(f, op, users->at[0]);
        return;
    }
    if (elements_of(op->out[0]) > TINY)
        unite(f, op, users);
    clusters_using(f, op, users);
    if (users->count == 1 && fits(f, op, users->at[0])) {
        cluster_join(f, op, users->at[0]);
        return;
    }
    for (int i = 0; i < users->count; i++)
        if (fits(f, op, users->at[i]) && can_provide(f, op, users->at[i])) {
            cluster_join(f, op, users->at[i]);
            place_of(f, op)->provider = users->at[i];
            return;
        }
    begin_own(f, op);
}

static void place_cheap(struct fusion *f, struct op *op, cluster_list *users) {
    struct cluster *provider = NULL;
    bool others = false;
    for (int i = 0; i < users->count; i++)
        if (!fits(f, op, users->at[i]))
            others = true;
    if (others && fuse_is_dear(op)) { /* it is stored: then it is loaded */
        place_dear(f, op, users);
        return;
    }
    for (int i = 0; i < users->count; i++) {
        struct cluster *c = users->at[i];
        if (!fits(f, op, c))
            continue;
        cluster_join(f, op, c);
        if (others && !provider && op->code != OP_reshape && elements_of(op->out[0]) > 1 &&
            can_provide(f, op, c))
            provider = c;
    }
    if (others && !provider)
        begin_own(f, op);
    else
        place_of(f, op)->provider = provider;
}

/* A value of an epilogue that is no result is computed again where it is used. */
static void copy_to_users(struct fusion *f, struct op *op) {
    cluster_list users;
    clusters_using(f, op, &users);
    for (int i = 0; i < users.count; i++)
        if (users.at[i] != place_of(f, op)->provider && fits(f, op, users.at[i]))
            cluster_join(f, op, users.at[i]);
}

static void visit(struct fusion *f, struct op *op) {
    struct place_of_op *p = place_of(f, op);
    if (p->homes.count && p->homes.at[0]->kind == CLUSTER_CONTRACT && !p->is_result &&
        op != p->homes.at[0]->core)
        copy_to_users(f, op);
    if (p->homes.count)
        return;
    enum cluster_kind kind = fuse_kind(op);
    if (kind != CLUSTER_NEST) {
        cluster_begin(f, op, kind);
        return;
    }
    cluster_list users;
    clusters_using(f, op, &users);
    if (fuse_is_duplicable(f, op))
        place_cheap(f, op, &users);
    else
        place_dear(f, op, &users);
}

/* ---- kernels side by side ---- */

/* A large one: the scale of a norm is no reason to hold the results of several norms at once. */
static bool share_an_operand(const struct fusion *f, const struct cluster *a, const struct cluster *b) {
    for (int i = 0; i < a->ops.count; i++)
        for (int k = 0; k < a->ops.at[i]->in_count; k++) {
            const struct value *v = a->ops.at[i]->in[k];
            if (elements_of(v) <= TINY || elements_of(v) * LARGE_PART <= a->sweeps.at[0].elements)
                continue;
            FOR_EACH_USE (use, v)
                if (cluster_holds(f, use->user, b))
                    return true;
        }
    return false;
}

/* Reductions over the same rows of the same tensor; scalars that would be kernels of a few instructions. */
static bool belong_together(const struct fusion *f, const struct cluster *a, const struct cluster *b) {
    bool both_sweep = a->sweeps.count && b->sweeps.count;
    if (both_sweep)
        return share_an_operand(f, a, b);
    return !a->sweeps.count && !b->sweeps.count && a->elements == 1 && b->elements == 1;
}

static void merge_neighbours(struct fusion *f) {
    for (int i = 0; i < f->clusters.count; i++)
        for (int k = i + 1; k < f->clusters.count; k++) {
            struct cluster *a = f->clusters.at[i], *b = f->clusters.at[k];
            if (a->merged || b->merged || a->kind != CLUSTER_NEST || b->kind != CLUSTER_NEST ||
                a->elements != b->elements)
                continue;
            if (belong_together(f, a, b) && clusters_may_merge(f, a, b))
                clusters_merge(f, a, b);
        }
}

/* ---- blocks ---- */

static void fuse_block(struct fusion *f, struct block *block) {
    fuse_prepare_attend(f, block);
    f->block = block;
    f->clusters.count = 0;
    f->op_count = f->graph->next_op;
    f->of = ARENA_ARRAY(f->arena, struct place_of_op, f->op_count);
    int position = 0;
    FOR_EACH_OP (op, block)
        f->of[op->id].position = position++;
    fuse_find_updates(f, block);
    FOR_EACH_OP (op, block)
        if (op_class(op) == FUSE_CONTRACT)
            fuse_grow_epilogue(f, op);
    FOR_EACH_OP (op, block)
        if (op->code == OP_attend)
            fuse_begin_attend(f, op);
    fuse_gather_contractions(f, block);
    for (struct op *op = block->last; op; op = op->prev)
        visit(f, op);
    merge_neighbours(f);
    fuse_build(f);
}

static void fuse_regions(struct fusion *f, struct block *block) {
    FOR_EACH_OP (op, block)
        for (int r = 0; op->code != OP_kernel && op->code != OP_attend && r < op->region_count; r++)
            fuse_regions(f, op->regions[r]);
    fuse_block(f, block);
}

bool fuse(struct graph *graph, struct pass_context *context) {
    struct fusion f = {.graph = graph, .arena = context->scratch};
    for (int i = 0; i < context->function_count; i++)
        if (context->functions[i]->kind != FUNCTION_COMPOSITE)
            fuse_regions(&f, context->functions[i]->body);
    return true;
}
