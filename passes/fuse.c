/* passes/fuse.c: groups the ops that one kernel computes. After it a block holds sources, free views
 * (reshape), kernels, loops, conds and effects.
 *
 * First each contraction takes what follows it element by element (its epilogue). Then the other ops are
 * visited from the last to the first, so that an op finds its users grouped:
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
    TINY = 64,         /* elements: what is this small costs nothing to compute again */
    UNROLLED = 9,      /* codegen/nest.h: a reduction over so few is no loop */
    FOLD_TERMS = 64,   /* a fold of more overlapping windows is a routine */
    ONE_TASK = 131072, /* elements that one sweep of everything may have */
    DEAR_FLOPS = 10,
    CHEAP_FLOPS = 2,
    /* Computing again: a chain of exp and a few more is less than a store and a load from main memory. */
    RECIPE_FLOPS = 32,
    RECIPE_TENSORS = 2,
    SMALL_PART = 16,
    EPILOGUE_FLOPS = 4,
    EPILOGUE_RESULTS = 3
};

struct cluster *cluster_now(struct cluster *c) {
    while (c->merged)
        c = c->merged;
    return c;
}

/* ---- what an op is ---- */

static enum fuse_class class_of(const struct op *op) {
    return op_infos[op->code].fuse;
}

static int64_t elements_of(const struct value *v) {
    return type_elements(v->type);
}

static int64_t reduced_by(const struct op *op) {
    int64_t kept = elements_of(op->out[0]);
    return kept ? elements_of(op->in[0]) / kept : 0;
}

static bool is_loop_reduction(const struct op *op) {
    return op->code == OP_arg_reduce || (op->code == OP_reduce && reduced_by(op) > UNROLLED);
}

static bool is_large_const(const struct op *op) {
    return op->code == OP_const && elements_of(op->out[0]) > TINY;
}

/* The number of a draw, which nothing but keys are made of. It stays in memory, so that the kernels that draw
 * weights of one shape are one piece of code. */
static bool is_ordinal(const struct op *op) {
    if (op->code != OP_const || !op->out[0]->uses)
        return false;
    FOR_EACH_USE (use, op->out[0])
        if (use->user->code != OP_random_fold || use->index != 1)
            return false;
    return true;
}

/* Windows that do not overlap give each element one term; others all that may reach it. */
static bool is_small_fold(const struct op *op) {
    int n;
    const int64_t *window = op_ints(op, ATTR_window, &n), *step = op_ints(op, ATTR_step, NULL);
    const int64_t *dilation = op_ints(op, ATTR_dilation, NULL);
    int64_t terms = 1;
    for (int i = 0; i < n; i++)
        terms *= (window[i] - 1) * dilation[i] + 1 <= step[i] ? 1 : window[i];
    return terms <= FOLD_TERMS;
}

static enum cluster_kind kind_of(const struct op *op) {
    switch (class_of(op)) {
    case FUSE_CONTRACT:
        return CLUSTER_CONTRACT;
    case FUSE_OPAQUE:
        if (op->code == OP_random_fold || (op->code == OP_fold && is_small_fold(op)))
            return CLUSTER_NEST;
        return CLUSTER_ROUTINE;
    case FUSE_EFFECT:
    case FUSE_REGION:
        return CLUSTER_OUTSIDE;
    case FUSE_SOURCE:
        return op->code == OP_input || op->code == OP_read || is_large_const(op) || is_ordinal(op)
                   ? CLUSTER_OUTSIDE
                   : CLUSTER_NEST;
    default:
        return CLUSTER_NEST;
    }
}

static bool is_dear(const struct op *op) {
    if (op->code == OP_reduce)
        return reduced_by(op) > 1;
    return op_infos[op->code].flops >= DEAR_FLOPS;
}

/* In memory whatever is decided here: contractions have their epilogues already; and who is no nest reads
 * memory. */
static bool is_surely_stored(const struct fusion *f, const struct value *v);

static bool is_read_from_memory(const struct fusion *f, const struct op *user) {
    return kind_of(user) != CLUSTER_NEST || (user->code == OP_reshape && is_surely_stored(f, user->out[0]));
}

static bool is_surely_stored(const struct fusion *f, const struct value *v) {
    if (!v->def)
        return true;
    const struct place_of_op *p = &f->of[v->def->id];
    bool in_contraction = p->homes.count > 0 && p->homes.at[0]->kind == CLUSTER_CONTRACT;
    if (in_contraction || kind_of(v->def) != CLUSTER_NEST)
        return !in_contraction || p->is_result;
    FOR_EACH_USE (use, v)
        if (is_read_from_memory(f, use->user))
            return true;
    return false;
}

/* What computing a value again takes: operations for each element, and the large tensors that are read. */
struct recipe {
    int flops;
    const struct value *tensors[RECIPE_TENSORS + 1];
    int tensor_count; /* more than RECIPE_TENSORS: it cannot be computed again */
};

static void recipe_add_tensor(struct recipe *r, const struct value *v) {
    for (int i = 0; i < r->tensor_count; i++)
        if (r->tensors[i] == v)
            return;
    if (r->tensor_count <= RECIPE_TENSORS)
        r->tensors[r->tensor_count++] = v;
}

/* Adds what v takes, for a result of `elements`. What is small beside it is stored for little. */
static void recipe_add(const struct fusion *f, const struct value *v, int64_t elements, struct recipe *r) {
    const struct op *op = v->def;
    bool is_small = elements_of(v) <= TINY || elements_of(v) * SMALL_PART <= elements;
    if (r->tensor_count > RECIPE_TENSORS || r->flops > RECIPE_FLOPS)
        return;
    if (op && (op->code == OP_iota || op->code == OP_const))
        return;
    if (is_small || is_surely_stored(f, v)) {
        if (!is_small)
            recipe_add_tensor(r, v);
        return;
    }
    bool passes_on = class_of(op) == FUSE_VIEW && op->code != OP_gather && op->code != OP_dynamic_slice;
    if (class_of(op) != FUSE_MAP && !passes_on) {
        r->tensor_count = RECIPE_TENSORS + 1;
        return;
    }
    r->flops += op_infos[op->code].flops;
    for (int i = 0; i < op->in_count; i++)
        recipe_add(f, op->in[i], elements, r);
}

/* An elementwise op whose chain back to stored tensors costs less than to store and load its result. */
static bool is_cheap_chain(const struct fusion *f, const struct op *op) {
    struct recipe r = {.flops = op_infos[op->code].flops};
    for (int i = 0; i < op->in_count; i++)
        recipe_add(f, op->in[i], elements_of(op->out[0]), &r);
    return r.tensor_count <= RECIPE_TENSORS && r.flops <= RECIPE_FLOPS;
}

/* Costs less to compute again than to store and load. */
static bool is_duplicable(const struct fusion *f, const struct op *op) {
    switch (class_of(op)) {
    case FUSE_SOURCE:
        return op->code != OP_random_bits;
    case FUSE_VIEW:
        return true;
    case FUSE_OPAQUE:
        return op->code == OP_random_fold && elements_of(op->out[0]) <= TINY;
    case FUSE_MAP:
        if (elements_of(op->out[0]) <= TINY)
            return op_infos[op->code].flops <= CHEAP_FLOPS;
        return is_cheap_chain(f, op);
    default:
        return false;
    }
}

/* ---- sweeps ---- */

static void sweep_of(const struct op *op, struct sweep *out) {
    const struct type *type = op->in[0]->type;
    int count = 1;
    int64_t single = op->code == OP_arg_reduce ? op_int(op, ATTR_axis) : 0;
    const int64_t *axes = op->code == OP_arg_reduce ? &single : op_ints(op, ATTR_axes, &count);
    *out = (struct sweep){.elements = elements_of(op->in[0]), .rows = elements_of(op->out[0])};
    int64_t stride = 1;
    for (int axis = type->rank - 1; axis >= 0; axis--) {
        int64_t size = type_size(type, axis);
        bool goes = false;
        for (int i = 0; i < count; i++)
            goes |= axes[i] == axis;
        int64_t(*last)[2] = out->axis_count > 0 ? &out->axes[out->axis_count - 1] : NULL;
        if (goes && size > 1 && last && (*last)[0] * (*last)[1] == stride) {
            (*last)[1] *= size;
        } else if (goes && size > 1 && out->axis_count >= 0) {
            if (out->axis_count == 8) {
                out->axis_count = -1;
                return;
            }
            out->axes[out->axis_count][0] = stride;
            out->axes[out->axis_count++][1] = size;
        }
        stride *= size;
    }
}

static bool same_sweep(const struct sweep *a, const struct sweep *b) {
    return a->elements == b->elements && a->axis_count == b->axis_count && a->axis_count >= 0 &&
           !memcmp(a->axes, b->axes, sizeof(a->axes[0]) * (size_t)a->axis_count);
}

static bool has_sweep(const struct cluster *c, const struct sweep *s) {
    for (int i = 0; i < c->sweeps.count; i++)
        if (same_sweep(&c->sweeps.at[i], s))
            return true;
    return false;
}

/* ---- clusters ---- */

static struct place_of_op *of(const struct fusion *f, const struct op *op) {
    return &f->of[op->id];
}

static bool is_home(const struct fusion *f, const struct op *op, const struct cluster *c) {
    for (int i = 0; i < of(f, op)->homes.count; i++)
        if (cluster_now(of(f, op)->homes.at[i]) == c)
            return true;
    return false;
}

static void join(struct fusion *f, struct op *op, struct cluster *c) {
    VEC_PUSH(f->arena, &c->ops, op);
    VEC_PUSH(f->arena, &of(f, op)->homes, c);
    if (!is_loop_reduction(op) || c->kind != CLUSTER_NEST)
        return;
    struct sweep s;
    sweep_of(op, &s);
    if (!has_sweep(c, &s))
        VEC_PUSH(f->arena, &c->sweeps, s);
}

static struct cluster *cluster_begin(struct fusion *f, struct op *op, enum cluster_kind kind) {
    struct cluster *c = ARENA_NEW(f->arena, struct cluster);
    c->kind = kind;
    c->core = op;
    c->elements = op->out_count ? elements_of(op->out[0]) : 0;
    VEC_PUSH(f->arena, &f->clusters, c);
    join(f, op, c);
    of(f, op)->provider = c;
    return c;
}

typedef VEC(struct cluster *) cluster_list;

static void add_cluster(struct fusion *f, cluster_list *list, struct cluster *c) {
    c = cluster_now(c);
    for (int i = 0; i < list->count; i++)
        if (list->at[i] == c)
            return;
    VEC_PUSH(f->arena, list, c);
}

static void users_of(struct fusion *f, const struct op *op, cluster_list *out) {
    *out = (cluster_list){0};
    for (int i = 0; i < op->out_count; i++)
        FOR_EACH_USE (use, op->out[i])
            for (int k = 0; k < of(f, use->user)->homes.count; k++)
                add_cluster(f, out, of(f, use->user)->homes.at[k]);
}

/* ---- no cycles ---- */

/* The clusters that c hands op's value to: those with a copy of their own do not ask. */
static void fed_through(struct fusion *f, const struct op *op, const struct cluster *c, cluster_list *out) {
    cluster_list users;
    *out = (cluster_list){0};
    if (!of(f, op)->provider || cluster_now(of(f, op)->provider) != c)
        return;
    users_of(f, op, &users);
    for (int i = 0; i < users.count; i++)
        if (!is_home(f, op, users.at[i]))
            VEC_PUSH(f->arena, out, users.at[i]);
}

/* Whether c feeds `target` through any chain of clusters. */
static bool reaches(struct fusion *f, struct cluster *c, const struct cluster *target) {
    if (c == target)
        return true;
    if (c->mark == f->next_mark)
        return false;
    c->mark = f->next_mark;
    for (int i = 0; i < c->ops.count; i++) {
        cluster_list fed;
        fed_through(f, c->ops.at[i], c, &fed);
        for (int k = 0; k < fed.count; k++)
            if (reaches(f, fed.at[k], target))
                return true;
    }
    return false;
}

/* If c gave op's value to its other users, would one of them feed c? */
static bool closes_cycle(struct fusion *f, const struct op *op, struct cluster *c) {
    cluster_list users;
    users_of(f, op, &users);
    f->next_mark++;
    for (int i = 0; i < users.count; i++)
        if (users.at[i] != c && reaches(f, users.at[i], c))
            return true;
    return false;
}

/* Does a feed b other than directly? */
static bool feeds_around(struct fusion *f, struct cluster *a, struct cluster *b) {
    f->next_mark++;
    a->mark = f->next_mark;
    for (int i = 0; i < a->ops.count; i++) {
        cluster_list fed;
        fed_through(f, a->ops.at[i], a, &fed);
        for (int k = 0; k < fed.count; k++)
            if (fed.at[k] != b && reaches(f, fed.at[k], b))
                return true;
    }
    return false;
}

static bool may_merge(struct fusion *f, struct cluster *a, struct cluster *b) {
    if (a->kind != CLUSTER_NEST || b->kind != CLUSTER_NEST || a->elements != b->elements)
        return false;
    for (int i = 0; i < a->sweeps.count; i++)
        if (b->sweeps.count && !has_sweep(b, &a->sweeps.at[i]))
            return false;
    for (int i = 0; i < b->sweeps.count; i++)
        if (a->sweeps.count && !has_sweep(a, &b->sweeps.at[i]))
            return false;
    return !feeds_around(f, a, b) && !feeds_around(f, b, a);
}

static void merge(struct fusion *f, struct cluster *into, struct cluster *from) {
    for (int i = 0; i < from->ops.count; i++)
        if (!is_home(f, from->ops.at[i], into))
            VEC_PUSH(f->arena, &into->ops, from->ops.at[i]);
    for (int i = 0; i < from->sweeps.count; i++)
        if (!has_sweep(into, &from->sweeps.at[i]))
            VEC_PUSH(f->arena, &into->sweeps, from->sweeps.at[i]);
    from->merged = into;
}

/* ---- contractions and what follows them ---- */

/* In front of the sum of products a contraction reads through transposes; behind it through these. */
static bool is_readable_behind(const struct op *op) {
    switch (op->code) {
    case OP_const:
    case OP_broadcast:
    case OP_reshape:
    case OP_transpose:
        return true;
    default:
        return class_of(op) == FUSE_MAP && op_infos[op->code].flops < EPILOGUE_FLOPS;
    }
}

static bool is_used_by_core(const struct op *op, const struct cluster *c) {
    for (int i = 0; i < c->core->in_count; i++)
        if (c->core->in[i]->def == op)
            return true;
    return false;
}

/* Whether the op, which c does not compute, depends on what c computes: asked backwards, as far as c's first
 * op. */
static bool depends_on(struct fusion *f, const struct op *op, const struct cluster *c) {
    struct place_of_op *p = of(f, op);
    if (is_home(f, op, c))
        return true;
    if (p->position < of(f, c->core)->position)
        return false;
    if (p->asked == f->next_mark)
        return p->answer;
    p->asked = f->next_mark;
    p->answer = false;
    for (int i = 0; i < op->in_count && !p->answer; i++)
        p->answer = op->in[i]->def && depends_on(f, op->in[i]->def, c);
    return p->answer;
}

/* An update of a state can be in place in a nest, which reads each element before it writes it; a
 * contraction's result cannot. So the optimiser's part begins a kernel. */
static bool updates_state(const struct fusion *f, const struct op *op) {
    return f->of[op->id].updates_state;
}

static void find_updates(struct fusion *f, const struct block *block) {
    f->is_written = ARENA_ARRAY(f->arena, bool, f->graph->states.count + 1);
    FOR_EACH_OP (op, block)
        if (op->code == OP_write)
            f->is_written[op_attr(op, ATTR_state)->state->index] = true;
    FOR_EACH_OP (op, block) {
        if (class_of(op) != FUSE_MAP || elements_of(op->out[0]) <= 1)
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

static bool extends_epilogue(struct fusion *f, const struct op *op, const struct cluster *c) {
    bool fits = class_of(op) == FUSE_MAP || op->code == OP_reshape;
    if (!fits || of(f, op)->homes.count || elements_of(op->out[0]) != c->elements ||
        op->block != c->core->block)
        return false;
    f->next_mark++;
    if (updates_state(f, op))
        return false;
    for (int i = 0; i < op->in_count; i++) {
        struct op *def = op->in[i]->def;
        if (def && !is_home(f, def, c) && depends_on(f, def, c))
            return false;
        if (def && is_home(f, def, c) && elements_of(op->in[i]) != c->elements)
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
        if (use->user == with || is_home(f, use->user, c))
            continue;
        is_needed = true;
        if (is_read_from_memory(f, use->user))
            return true;
    }
    return is_needed && (op == c->core || class_of(op) != FUSE_MAP || !is_cheap_chain(f, op));
}

static void sort_by_position(const struct fusion *f, struct op **ops, int count) {
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && of(f, ops[k - 1])->position > of(f, ops[k])->position; k--) {
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
        of(f, ops[i])->is_result = false;
    for (int i = 0; i < count; i++)
        results += of(f, ops[i])->is_result = must_be_result(f, c, ops[i], with);
    return results;
}

/* All that the op reads besides c's values is there when c runs: it could end in c's epilogue. */
static bool could_follow(const struct fusion *f, const struct op *op, const struct op *before,
                         const struct cluster *c) {
    for (int i = 0; i < op->in_count; i++) {
        const struct op *def = op->in[i]->def;
        bool is_there = !def || def == before || is_home(f, def, c) || elements_of(op->in[i]) <= TINY ||
                        is_surely_stored(f, op->in[i]);
        if (!is_there)
            return false;
    }
    return true;
}

/* Its value, or what the epilogue will make of it, has to be stored for another kind of reader than a nest.
 */
static bool leads_to_memory(const struct fusion *f, const struct op *op, const struct cluster *c, int depth) {
    if (depth == 0 || updates_state(f, op))
        return false;
    FOR_EACH_USE (use, op->out[0]) {
        const struct op *user = use->user;
        if (kind_of(user) != CLUSTER_NEST)
            return true;
        bool passes_on =
            class_of(user) == FUSE_VIEW || (class_of(user) == FUSE_MAP && could_follow(f, user, op, c));
        if (passes_on && leads_to_memory(f, user, c, depth - 1))
            return true;
    }
    return false;
}

/* Another result costs a store: worth it only where the value would be stored anyway. */
static bool is_worth_its_results(struct fusion *f, const struct cluster *c, struct op *op) {
    enum { CHAIN = 6 };
    int before = find_results(f, c, NULL), results = find_results(f, c, op);
    of(f, op)->is_result = false;
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
            if (best && of(f, op)->position >= of(f, best)->position)
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
        bool is_used = of(f, op)->is_result && op->code != OP_reshape;
        FOR_EACH_USE (use, op->out[0])
            is_used |= is_home(f, use->user, c);
        if (is_used)
            continue;
        of(f, op)->homes.count = 0;
        of(f, op)->provider = NULL;
        of(f, op)->is_result = false;
        memmove(&c->ops.at[i], &c->ops.at[i + 1], sizeof(op) * (size_t)(c->ops.count - 1 - i));
        c->ops.count--;
        return true;
    }
    return false;
}

static void grow_epilogue(struct fusion *f, struct op *core) {
    struct cluster *c = cluster_begin(f, core, CLUSTER_CONTRACT);
    for (struct op *next = find_extension(f, c); next; next = find_extension(f, c)) {
        join(f, next, c);
        of(f, next)->provider = c;
    }
    do {
        sort_by_position(f, c->ops.at, c->ops.count);
        find_results(f, c, NULL);
    } while (drop_last_op(f, c));
}

/* ---- may an op go where its users are? ---- */

/* The user walks op's elements more often than once, and not only along the innermost axis, where what is
 * invariant is computed in front of the loop. */
static bool is_repeated_by(const struct op *op, const struct op *user) {
    const struct value *v = op->out[0];
    const struct type *from = v->type, *to = user->out[0]->type;
    if (type_elements(to) <= type_elements(from) || class_of(user) == FUSE_REDUCE)
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
    return class_of(user) != FUSE_MAP || !innermost_is_one;
}

static bool reduction_fits(const struct op *op, const struct cluster *c) {
    struct sweep s;
    sweep_of(op, &s);
    if (has_sweep(c, &s))
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
    if (is_loop_reduction(op))
        return reduction_fits(op, c);
    if (!is_dear(op) || elements_of(op->out[0]) <= 1)
        return true;
    FOR_EACH_USE (use, op->out[0])
        if (is_home(f, use->user, c) && is_repeated_by(op, use->user))
            return false;
    return true;
}

static bool fits(const struct fusion *f, const struct op *op, const struct cluster *c) {
    if (c->kind == CLUSTER_NEST)
        return fits_nest(f, op, c);
    if (c->kind != CLUSTER_CONTRACT)
        return false;
    if (is_used_by_core(op, c))
        return op->code == OP_transpose;
    return is_readable_behind(op);
}

/* The op has one element for each row, made from reductions of rows of c's elements. */
static bool is_of_rows(const struct op *op, const struct cluster *c) {
    int64_t rows = elements_of(op->out[0]);
    if (is_loop_reduction(op))
        return elements_of(op->in[0]) == c->elements;
    if (class_of(op) != FUSE_MAP && op->code != OP_reshape && op->code != OP_broadcast)
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
    return (n == c->elements || of_rows) && !closes_cycle(f, op, c);
}

/* ---- the visit ---- */

static void begin_own(struct fusion *f, struct op *op) {
    /* A reshape of its own is a free view, a constant is data: neither is a kernel. */
    bool is_free = op->code == OP_reshape || op->code == OP_const;
    cluster_begin(f, op, is_free ? CLUSTER_OUTSIDE : kind_of(op));
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
        else if (may_merge(f, home, c))
            merge(f, home, c);
    }
}

static void place_dear(struct fusion *f, struct op *op, cluster_list *users) {
    if (users->count == 1 && fits(f, op, users->at[0])) {
        join(f, op, users->at[0]);
        return;
    }
    if (elements_of(op->out[0]) > TINY)
        unite(f, op, users);
    users_of(f, op, users);
    if (users->count == 1 && fits(f, op, users->at[0])) {
        join(f, op, users->at[0]);
        return;
    }
    for (int i = 0; i < users->count; i++)
        if (fits(f, op, users->at[i]) && can_provide(f, op, users->at[i])) {
            join(f, op, users->at[i]);
            of(f, op)->provider = users->at[i];
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
    if (others && is_dear(op)) { /* it is stored: then it is loaded */
        place_dear(f, op, users);
        return;
    }
    for (int i = 0; i < users->count; i++) {
        struct cluster *c = users->at[i];
        if (!fits(f, op, c))
            continue;
        join(f, op, c);
        if (others && !provider && op->code != OP_reshape && elements_of(op->out[0]) > 1 &&
            can_provide(f, op, c))
            provider = c;
    }
    if (others && !provider)
        begin_own(f, op);
    else
        of(f, op)->provider = provider;
}

/* A value of an epilogue that is no result is computed again where it is used. */
static void copy_to_users(struct fusion *f, struct op *op) {
    cluster_list users;
    users_of(f, op, &users);
    for (int i = 0; i < users.count; i++)
        if (users.at[i] != of(f, op)->provider && fits(f, op, users.at[i]))
            join(f, op, users.at[i]);
}

static void visit(struct fusion *f, struct op *op) {
    struct place_of_op *p = of(f, op);
    if (p->homes.count && p->homes.at[0]->kind == CLUSTER_CONTRACT && !p->is_result &&
        op != p->homes.at[0]->core)
        copy_to_users(f, op);
    if (p->homes.count)
        return;
    enum cluster_kind kind = kind_of(op);
    if (kind != CLUSTER_NEST) {
        cluster_begin(f, op, kind);
        return;
    }
    cluster_list users;
    users_of(f, op, &users);
    if (is_duplicable(f, op))
        place_cheap(f, op, &users);
    else
        place_dear(f, op, &users);
}

/* ---- kernels side by side ---- */

static bool share_an_operand(const struct fusion *f, const struct cluster *a, const struct cluster *b) {
    for (int i = 0; i < a->ops.count; i++)
        for (int k = 0; k < a->ops.at[i]->in_count; k++) {
            const struct value *v = a->ops.at[i]->in[k];
            if (elements_of(v) <= TINY)
                continue;
            FOR_EACH_USE (use, v)
                if (is_home(f, use->user, b))
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
            if (belong_together(f, a, b) && may_merge(f, a, b))
                merge(f, a, b);
        }
}

/* ---- blocks ---- */

static void fuse_block(struct fusion *f, struct block *block) {
    f->block = block;
    f->clusters.count = 0;
    f->op_count = f->graph->next_op;
    f->of = ARENA_ARRAY(f->arena, struct place_of_op, f->op_count);
    int position = 0;
    FOR_EACH_OP (op, block)
        f->of[op->id].position = position++;
    find_updates(f, block);
    FOR_EACH_OP (op, block)
        if (class_of(op) == FUSE_CONTRACT)
            grow_epilogue(f, op);
    for (struct op *op = block->last; op; op = op->prev)
        visit(f, op);
    merge_neighbours(f);
    fuse_build(f);
}

static void fuse_regions(struct fusion *f, struct block *block) {
    FOR_EACH_OP (op, block)
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
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
