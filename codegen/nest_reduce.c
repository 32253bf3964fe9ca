/* codegen/nest_reduce.c: reductions. One over a few elements is an expression. Any other becomes loops in the
 * outermost open loop that its index varies in, together with all reductions that were asked for there over
 * the same elements and do not depend on each other: the mean and the mean square of a row are one sweep. */
#include "codegen/nest.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef const struct loop_expr *expr;

static int64_t reduced_elements(const struct op *op) {
    int64_t all = type_elements(op->in[0]->type), kept = type_elements(op->out[0]->type);
    return kept ? all / kept : 0;
}

bool is_loop_reduction(const struct op *op) {
    if (op->code != OP_reduce && op->code != OP_arg_reduce)
        return false;
    return reduced_elements(op) > (op->code == OP_reduce ? NEST_UNROLL : 0);
}

static enum opcode combining(const char *kind, enum dtype dtype) {
    bool is_bool = dtype == DTYPE_bool;
    if (!strcmp(kind, "sum"))
        return is_bool ? OP_or : OP_add;
    if (!strcmp(kind, "prod"))
        return is_bool ? OP_and : OP_mul;
    return !strcmp(kind, "max") ? (is_bool ? OP_or : OP_max) : is_bool ? OP_and : OP_min;
}

static int64_t int_edge(enum dtype dtype, bool greatest) {
    int bits = 8 * dtype_bytes(dtype);
    if (dtype == DTYPE_bool)
        return greatest;
    if (dtype_class(dtype) == CLASS_UNSIGNED)
        return greatest ? (int64_t)(~0ull >> (64 - bits)) : 0;
    int64_t top = (int64_t)(~0ull >> (65 - bits));
    return greatest ? top : -top - 1;
}

static expr neutral(struct loop_function *f, const char *kind, enum dtype dtype) {
    bool is_max = !strcmp(kind, "max"), is_prod = !strcmp(kind, "prod"), is_sum = !strcmp(kind, "sum");
    if (dtype_is_float(dtype))
        return lexpr_float(f, dtype, is_sum ? 0 : is_prod ? 1 : is_max ? -INFINITY : INFINITY);
    return lexpr_int(f, dtype, is_sum ? 0 : is_prod ? 1 : int_edge(dtype, !is_max));
}

/* ---- the operand's index ---- */

/* The kept axes from the result's index; the reduced ones are left NULL. */
static expr *kept_index(struct phase *p, const struct op *op, const expr *index) {
    const struct type *x = op->in[0]->type;
    expr *full = ARENA_ARRAY(p->nest->arena, expr, x->rank + 1);
    int count = 1, next = 0, kept = 0;
    int64_t single = op->code == OP_arg_reduce ? op_int(op, ATTR_axis) : 0;
    const int64_t *axes = op->code == OP_arg_reduce ? &single : op_ints(op, ATTR_axes, &count);
    for (int axis = 0; axis < x->rank; axis++) {
        if (next < count && axes[next] == axis)
            next++;
        else
            full[axis] = index[kept++];
    }
    return full;
}

/* Adds what the loops over the reduced axes give: each counts in strides of the operand's flat index. */
static void fill_reduced(struct phase *p, const struct type *x, expr *full, const struct space *space,
                         const expr *turns) {
    for (int axis = 0; axis < x->rank; axis++) {
        if (full[axis])
            continue;
        int64_t low = type_stride(x, axis), size = type_size(x, axis);
        full[axis] = lexpr_index(p->f, 0);
        for (int i = 0; i < space->axes.count; i++) {
            struct axis a = space->axes.at[i];
            if (a.stride * a.size <= low || a.stride >= low * size)
                continue; /* it moves other axes */
            expr moved = lexpr_div(p->f, lexpr_mul(p->f, turns[i], a.stride), low);
            bool spans_more = a.stride * a.size > low * size;
            full[axis] = lexpr_add(p->f, full[axis], spans_more ? lexpr_mod(p->f, moved, size) : moved);
        }
    }
}

/* ---- as an expression ---- */

static expr unrolled(struct phase *p, const struct op *op, const expr *index, expr mask) {
    const struct type *x = op->in[0]->type;
    const char *kind = op_string(op, ATTR_kind);
    int count;
    const int64_t *axes = op_ints(op, ATTR_axes, &count);
    int64_t n = reduced_elements(op);
    expr r = NULL;
    for (int64_t i = 0; i < n; i++) {
        expr *full = kept_index(p, op, index);
        int64_t rest = i;
        for (int k = count - 1; k >= 0; k--) {
            int64_t size = type_size(x, (int)axes[k]);
            full[axes[k]] = lexpr_index(p->f, rest % size);
            rest /= size;
        }
        expr value = ask(p, op->in[0], full, mask);
        r = r ? lexpr_binary(p->f, combining(kind, x->dtype), x->dtype, r, value) : value;
    }
    return r ? r : neutral(p->f, kind, x->dtype);
}

/* ---- as loops ---- */

static const struct space *loops_of(struct phase *p, const struct op *op) {
    struct space **known = &p->nest->loops[nest_slot(p->nest, op->out[0])];
    if (!*known) {
        *known = ARENA_NEW(p->nest->arena, struct space);
        space_of_reduction(p->nest, op, *known);
    }
    return *known;
}

static bool same_loops(const struct space *a, const struct space *b) {
    return a->axes.count == b->axes.count &&
           (!a->axes.count || !memcmp(a->axes.at, b->axes.at, sizeof(*a->axes.at) * (size_t)a->axes.count));
}

struct member {
    const struct op *op;
    const expr *index;
    struct loop_var *sum, *result;
};

struct group {
    VEC(struct member) members;
    const struct space *space;
    int level;
    expr mask;
};

/* All reductions that the trial saw at this place over the same elements, whose operands need as many sweeps
 * before. */
static void gather_group(struct phase *p, const struct op *op, const expr *index, struct group *g) {
    struct nest *n = p->nest;
    VEC_PUSH(n->arena, &g->members, ((struct member){.op = op, .index = index}));
    if (p->is_trial || p->inside)
        return;
    int depth = n->depth[nest_slot(n, op->out[0])];
    for (int i = 0; i < p->asked.count; i++) {
        const struct asked *a = &p->asked.at[i];
        bool fits = a->op->code == OP_reduce && a->level == g->level && a->mask == g->mask && !a->inside &&
                    n->depth[nest_slot(n, a->op->out[0])] == depth &&
                    same_loops(loops_of(p, a->op), g->space);
        if (!fits || memo_find(p, a->op->out[0], a->index, a->mask))
            continue;
        bool known = false;
        for (int k = 0; k < g->members.count; k++)
            known |= g->members.at[k].op == a->op &&
                     same_index(g->members.at[k].index, a->index, a->op->out[0]->type->rank);
        if (!known)
            VEC_PUSH(n->arena, &g->members, ((struct member){.op = a->op, .index = a->index}));
    }
}

/* Some reduction inside is asked for at an index that this innermost loop moves: then lanes would gather. */
static bool has_reduction_inside(const struct phase *p, const struct op *op) {
    for (int i = 0; i < p->asked.count; i++)
        if (p->asked.at[i].inside == op && p->asked.at[i].moves_inside)
            return true;
    return false;
}

/* A split reduction does one chunk of its outermost loop: from chunk * per on, as far as there is something.
 */
static expr first_of_chunk(struct phase *p, int64_t size, expr *turns) {
    int64_t per = (size + p->chunks - 1) / p->chunks;
    expr begin = lexpr_mul(p->f, p->chunk, per);
    expr left = lexpr_add(p->f, lexpr_index(p->f, size), lexpr_mul(p->f, begin, -1));
    *turns = size % per ? lexpr_binary(p->f, OP_min, DTYPE_i64, left, lexpr_index(p->f, per))
                        : lexpr_index(p->f, per);
    return begin;
}

static void open_loops(struct phase *p, const struct group *g, expr *turns, struct loop_var **vars) {
    static const char *const names[] = {"k", "l", "m", "n"};
    const struct op *op = g->members.at[0].op;
    bool vector = !p->vector_is_outside && !in_vector(p) && !has_reduction_inside(p, op);
    bool split = p->chunk && !p->inside;
    for (int i = 0; i < g->space->axes.count; i++) {
        int64_t size = g->space->axes.at[i].size;
        bool last = i == g->space->axes.count - 1;
        expr hi = lexpr_index(p->f, size), begin = lexpr_index(p->f, 0);
        if (split && i == 0)
            begin = first_of_chunk(p, size, &hi);
        vars[i] = index_var(p, names[i % 4], hi->max);
        level_open(p, vars[i], hi, last && vector ? LOOP_VECTOR : LOOP_SERIAL);
        turns[i] = lexpr_add(p->f, begin, lexpr_var(p->f, vars[i]));
    }
}

static void declare_sum(struct phase *p, struct member *m, int level) {
    enum dtype dtype = m->op->out[0]->type->dtype;
    const char *kind = op_string(m->op, ATTR_kind);
    m->sum = loop_var_create(p->f, "sum", dtype);
    m->sum->is_mutable = true;
    m->sum->within = p->levels.at[level].var;
    struct loop_stmt *s = loop_append(p->f, &p->levels.at[level].list, LSTMT_ACC);
    s->var = m->sum;
    s->value = neutral(p->f, kind, dtype);
    s->reduce = combining(kind, dtype);
}

static void take_sum(struct phase *p, struct member *m, int level, expr mask) {
    m->result = loop_var_create(p->f, "total", m->sum->dtype);
    m->result->within = p->levels.at[level].var;
    struct loop_stmt *s = loop_append(p->f, &p->levels.at[level].list, LSTMT_LET);
    s->var = m->result;
    s->value = lexpr_var(p->f, m->sum);
    memo_add(p, m->op->out[0], m->index, mask, lexpr_var(p->f, m->result));
}

/* Levels deeper than the one that a reduction stands in wait until it is written. */
struct parked {
    struct level *at;
    int count;
};

static struct parked park(struct phase *p, int level) {
    struct parked k = {.count = p->levels.count - 1 - level};
    k.at = arena_memdup(p->nest->arena, &p->levels.at[level + 1], sizeof(struct level) * (size_t)k.count);
    p->levels.count = level + 1;
    return k;
}

static void unpark(struct phase *p, struct parked k) {
    for (int i = 0; i < k.count; i++)
        VEC_PUSH(p->nest->arena, &p->levels, k.at[i]);
}

static void add_member(struct phase *p, struct group *g, struct member *m, const expr *turns) {
    expr *full = kept_index(p, m->op, m->index);
    fill_reduced(p, m->op->in[0]->type, full, g->space, turns);
    expr value = ask(p, m->op->in[0], full, g->mask);
    const char *kind = op_string(m->op, ATTR_kind);
    enum opcode code = combining(kind, m->sum->dtype);
    struct loop_stmt *s = loop_append(p->f, &VEC_LAST(&p->levels).list, LSTMT_SET);
    s->var = m->sum;
    s->reduce = code;
    s->value = lexpr_binary(p->f, code, m->sum->dtype, lexpr_var(p->f, m->sum), value);
}

static void note_asked(struct phase *p, const struct group *g, const expr *index,
                       struct loop_var *const *vars, const struct op *inside) {
    if (!p->is_trial)
        return;
    const struct op *op = g->members.at[0].op;
    struct asked a = {
        .op = op, .index = index, .mask = g->mask, .level = g->level, .inside = inside, .vars = vars};
    for (int i = 0; inside && p->inside_var && i < op->out[0]->type->rank; i++)
        a.moves_inside |= lexpr_depends_on(index[i], p->inside_var);
    VEC_PUSH(p->nest->arena, &p->asked, a);
}

static expr as_loops(struct phase *p, const struct op *op, const expr *index, expr mask) {
    struct nest *n = p->nest;
    struct group g = {.space = loops_of(p, op), .mask = mask};
    int rank = op->out[0]->type->rank;
    g.level = level_of(p, index, rank);
    expr others[] = {mask, p->inside ? NULL : p->chunk};
    int of_others = level_of(p, others, 2);
    g.level = of_others > g.level ? of_others : g.level;
    index = arena_memdup(n->arena, index, sizeof(expr) * (size_t)rank);
    gather_group(p, op, index, &g);
    struct parked deeper = park(p, g.level);
    const struct op *inside = p->inside;
    const struct loop_var *inside_var = p->inside_var;
    int sweep = p->sweep;
    for (int i = 0; i < g.members.count; i++)
        declare_sum(p, &g.members.at[i], g.level);
    struct loop_var **vars = ARENA_ARRAY(n->arena, struct loop_var *, g.space->axes.count + 1);
    expr *turns = ARENA_ARRAY(n->arena, expr, g.space->axes.count + 1);
    open_loops(p, &g, turns, vars);
    p->inside = op;
    p->inside_var = g.space->axes.count ? vars[g.space->axes.count - 1] : NULL;
    p->sweep = n->depth[nest_slot(n, op->out[0])];
    for (int i = 0; i < g.members.count; i++)
        add_member(p, &g, &g.members.at[i], turns);
    p->inside = inside;
    p->inside_var = inside_var;
    p->sweep = sweep;
    for (int i = 0; i < g.space->axes.count; i++)
        level_close(p);
    note_asked(p, &g, index, vars, inside);
    for (int i = 0; i < g.members.count; i++)
        take_sum(p, &g.members.at[i], g.level, mask);
    unpark(p, deeper);
    return lexpr_var(p->f, g.members.at[0].result);
}

/* ---- from shared memory ---- */

static int stored_place(const struct nest *n, const struct value *v) {
    for (int i = 0; i < n->stored.count; i++)
        if (n->stored.at[i].value == v)
            return i;
    return -1;
}

/* The partial results in the order of their chunks. */
static expr from_stored(struct phase *p, const struct op *op, int place, const expr *index) {
    const struct stored s = p->nest->stored.at[place];
    const struct type *type = op->out[0]->type;
    struct buffer *b = phase_stored(p, place);
    expr flat = note_access(p, flat_index(p, type, index));
    if (s.chunks == 1)
        return lexpr_load(p->f, b, flat);
    int level = level_of(p, index, type->rank);
    struct parked deeper = park(p, level);
    struct member m = {.op = op, .index = index};
    declare_sum(p, &m, level);
    struct loop_var *chunk = index_var(p, "chunk", s.chunks);
    level_open(p, chunk, lexpr_index(p->f, s.chunks), LOOP_SERIAL);
    struct loop_stmt *set = loop_append(p->f, &VEC_LAST(&p->levels).list, LSTMT_SET);
    set->var = m.sum;
    set->reduce = combining(op_string(op, ATTR_kind), type->dtype);
    expr at = lexpr_add(p->f, lexpr_mul(p->f, lexpr_var(p->f, chunk), s.count), flat);
    expr args[] = {lexpr_var(p->f, m.sum), lexpr_load(p->f, b, at)};
    set->value = lexpr_op(p->f, set->reduce, type->dtype, args, 2);
    level_close(p);
    take_sum(p, &m, level, NULL);
    unpark(p, deeper);
    return lexpr_var(p->f, m.result);
}

expr ask_reduce(struct phase *p, const struct op *op, const expr *index, expr mask) {
    if (!is_loop_reduction(op))
        return unrolled(p, op, index, mask);
    int place = stored_place(p->nest, op->out[0]);
    /* While its own phase writes it, it is computed. */
    if (place >= 0 && !(p->chunk && !p->inside))
        return from_stored(p, op, place, index);
    return as_loops(p, op, index, mask);
}

/* ---- the place of the greatest ---- */

/* The first NaN, else the first that is better than all before it. */
static expr is_better(struct phase *p, expr value, expr best, bool greatest) {
    struct loop_function *f = p->f;
    expr better = greatest ? lexpr_binary(f, OP_lt, DTYPE_bool, best, value)
                           : lexpr_binary(f, OP_lt, DTYPE_bool, value, best);
    if (!dtype_is_float(value->dtype))
        return better;
    expr value_is_nan = lexpr_binary(f, OP_ne, DTYPE_bool, value, value);
    expr best_is_number = lexpr_binary(f, OP_eq, DTYPE_bool, best, best);
    return lexpr_binary(f, OP_or, DTYPE_bool, better,
                        lexpr_binary(f, OP_and, DTYPE_bool, value_is_nan, best_is_number));
}

static struct loop_var *accumulator(struct phase *p, const char *name, expr start, int level) {
    struct loop_var *v = loop_var_create(p->f, name, start->dtype);
    v->is_mutable = true;
    v->within = p->levels.at[level].var;
    struct loop_stmt *s = loop_append(p->f, &p->levels.at[level].list, LSTMT_ACC);
    s->var = v;
    s->value = start;
    return v;
}

static void set_if(struct phase *p, struct loop_var *v, expr condition, expr value) {
    expr args[] = {condition, value, lexpr_var(p->f, v)};
    struct loop_stmt *s = loop_append(p->f, &VEC_LAST(&p->levels).list, LSTMT_SET);
    s->var = v;
    s->value = lexpr_op(p->f, OP_select, v->dtype, args, 3);
}

static expr let(struct phase *p, int level, const char *name, expr value) {
    struct loop_var *v = loop_var_create(p->f, name, value->dtype);
    v->within = p->levels.at[level].var;
    struct loop_stmt *s = loop_append(p->f, &p->levels.at[level].list, LSTMT_LET);
    s->var = v;
    s->value = value;
    return lexpr_var(p->f, v);
}

expr ask_arg_reduce(struct phase *p, const struct op *op, const expr *index, expr mask) {
    struct loop_function *f = p->f;
    const struct type *x = op->in[0]->type;
    int64_t axis = op_int(op, ATTR_axis), size = type_size(x, (int)axis);
    bool greatest = !strcmp(op_string(op, ATTR_kind), "max");
    int stored = stored_place(p->nest, op->out[0]);
    if (stored >= 0 && !(p->chunk && !p->inside))
        return from_stored(p, op, stored, index);
    int rank = op->out[0]->type->rank, level = level_of(p, index, rank), of_mask = level_of(p, &mask, 1);
    level = of_mask > level ? of_mask : level;
    struct parked deeper = park(p, level);
    expr *full = kept_index(p, op, index);
    /* No element is worse than the start; an index of 0 stands for "none was better". */
    struct loop_var *best = accumulator(p, "best", neutral(f, greatest ? "max" : "min", x->dtype), level);
    struct loop_var *place = accumulator(p, "place", lexpr_int(f, DTYPE_i32, 0), level);
    struct loop_var *k = index_var(p, "k", size);
    level_open(p, k, lexpr_index(f, size), LOOP_SERIAL);
    full[axis] = lexpr_var(f, k);
    const struct op *inside = p->inside;
    int sweep = p->sweep;
    const struct loop_var *inside_var = p->inside_var;
    p->inside = op;
    p->inside_var = k;
    p->sweep = p->nest->depth[nest_slot(p->nest, op->out[0])];
    expr value = ask(p, op->in[0], full, mask), at = lexpr_var(f, k);
    p->inside = inside;
    p->inside_var = inside_var;
    p->sweep = sweep;
    expr better = let(p, p->levels.count - 1, "better", is_better(p, value, lexpr_var(f, best), greatest));
    set_if(p, best, better, value);
    set_if(p, place, better, lexpr_op(f, OP_cast, DTYPE_i32, &at, 1));
    level_close(p);
    struct loop_var **vars = ARENA_ARRAY(p->nest->arena, struct loop_var *, 2);
    vars[0] = k;
    if (p->is_trial) {
        struct asked a = {.op = op,
                          .index = arena_memdup(p->nest->arena, index, sizeof(expr) * (size_t)rank),
                          .mask = mask,
                          .level = level,
                          .inside = inside,
                          .vars = vars};
        for (int i = 0; inside && inside_var && i < rank; i++)
            a.moves_inside |= lexpr_depends_on(index[i], inside_var);
        VEC_PUSH(p->nest->arena, &p->asked, a);
    }
    expr r = let(p, level, "place", lexpr_var(f, place));
    unpark(p, deeper);
    return r;
}
