/* codegen/lower_nest.c: kernels of kind nest to loop functions. Results of one number of elements share their
 * loops; a reduction that many rows or tasks would compute again gets phases of its own. For each function:
 *   1. a trial over the refined space shows which loops the reductions' indices vary in: they are the row,
 * and go outside;
 *   2. loops that always move together are merged, and a second trial shows how memory is walked;
 *   3. from that: which loop becomes a vector, which loops are shared out to tasks;
 *   4. a third trial, if there are reductions, finds sweeps that can be one and values worth keeping between
 * them;
 *   5. the same again writes the function. */
#include "codegen/nest.h"

#include <assert.h>
#include <string.h>

typedef const struct loop_expr *expr;

enum {
    /* In elements of a light loop, some 0.3 ns each: */
    SHARE_WORK = 32768,  /* less is one task: waking another thread takes microseconds */
    TASK_WORK = 8192,    /* what a task has, once there are several: small, so that threads end together */
    SPLIT_WORK = 131072, /* a reduction of so much work to few results is split, */
    CHUNK_WORK = 32768,  /* into chunks of so much */
    SPLIT_UNITS = 16,
    REDO_LIMIT = 4096 /* elements that a reduction may read again in each task or row */
};

struct dimension {
    int64_t size, stride;
    bool is_row;
    struct loop_var *var;
};

struct root {
    const struct value *value;
    int argument; /* of a result; else -1: shared memory, at place `stored` */
    int stored;
};

/* Note [Pieces of a row] Parts of a concat and the border of a pad are conditions on the innermost index.
 * Where one of them compares that index with a number, the loop is written in pieces, so that within each the
 * condition is known and nothing is left of it. */
enum { MOST_PIECES = 6 };

struct pieces {
    const struct loop_var *var;
    int64_t size, cut[MOST_PIECES + 1]; /* ascending, without 0; the last is the size */
    int count;
};

/* How one function will look. */
struct shape {
    struct nest *nest;
    VEC(struct root) roots;
    int64_t elements, chunks;   /* of each root; chunks of a split reduction, 0: these are results */
    VEC(struct dimension) dims; /* outermost first */
    int vector; /* the place in dims of the vector loop that holds reductions, or of the innermost loop; -1:
                   none */
    int shared_out; /* how many leading dims are divided among the tasks */
    int64_t per_task;
    struct pieces pieces;                  /* of the innermost loop */
    VEC(const struct value *) row_results; /* results that are written for each row on the way */
    struct loop_var *turn,
        *whole; /* of the loop over what a task does: the trials and the writing use the same */
};

/* ---- what is in the kernel ---- */

static void find_depths(struct nest *n) {
    FOR_EACH_OP (op, n->body) {
        int depth = 0;
        for (int i = 0; i < op->in_count; i++) {
            int of = n->depth[nest_slot(n, op->in[i])];
            depth = of > depth ? of : depth;
        }
        for (int i = 0; i < op->out_count; i++)
            n->depth[nest_slot(n, op->out[i])] = depth + is_loop_reduction(op);
    }
}

static void find_ids(struct nest *n) {
    int low = INT32_MAX, high = 0;
    for (int i = 0; i < n->body->param_count; i++) {
        low = n->body->params[i]->id < low ? n->body->params[i]->id : low;
        high = n->body->params[i]->id > high ? n->body->params[i]->id : high;
    }
    FOR_EACH_OP (op, n->body)
        for (int i = 0; i < op->out_count; i++) {
            low = op->out[i]->id < low ? op->out[i]->id : low;
            high = op->out[i]->id > high ? op->out[i]->id : high;
        }
    n->first_id = low;
    n->id_count = high - low + 1;
}

/* What an element costs beside a load and an addition: transcendental functions and random bits weigh more.
 */
static int64_t weight_of(const struct nest *n) {
    int64_t weight = 1;
    FOR_EACH_OP (op, n->body)
        if (op_infos[op->code].flops >= 10 && type_elements(op->out[0]->type) > 64)
            weight += op->code == OP_random_bits ? 8 : 3;
    return weight > 16 ? 16 : weight;
}

static void nest_init(struct nest *n, struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    *n = (struct nest){.l = l, .arena = l->arena, .kernel = kernel, .body = kernel->regions[0], .out = out};
    find_ids(n);
    n->argument = ARENA_ARRAY(n->arena, int, n->id_count);
    n->depth = ARENA_ARRAY(n->arena, int, n->id_count);
    n->loops = ARENA_ARRAY(n->arena, struct space *, n->id_count);
    n->is_done = ARENA_ARRAY(n->arena, bool, kernel->out_count + 1);
    for (int i = 0; i < n->id_count; i++)
        n->argument[i] = -1;
    for (int i = 0; i < n->body->param_count; i++)
        n->argument[nest_slot(n, n->body->params[i])] = i;
    find_depths(n);
    n->weight = weight_of(n);
}

/* ---- one run over a shape: asks for the roots in their loops ---- */

static struct phase *phase_create(struct nest *n) {
    struct phase *p = ARENA_NEW(n->arena, struct phase);
    p->nest = n;
    p->f = loop_function_create(n->arena);
    p->arguments = ARENA_ARRAY(n->arena, struct buffer *, n->kernel->in_count + n->kernel->out_count + 1);
    return p;
}

/* RUN_ROWS notes which sweeps ask for dear values, RUN_RECALL which of these a later sweep wants from the
 * first. */
enum run_kind { RUN_SPACE, RUN_ROWS, RUN_RECALL, RUN_WRITE };

static void phase_begin(struct phase *p, enum run_kind kind) {
    struct nest *n = p->nest;
    p->is_trial = kind != RUN_WRITE;
    p->notes_rows = kind != RUN_SPACE;
    p->recalls_rows = kind == RUN_RECALL || kind == RUN_WRITE;
    p->levels.count = 0;
    p->accesses.count = p->loads.count = 0;
    p->philox.count = 0;
    p->inside_var = NULL;
    if (p->is_trial)
        p->asked.count = 0;
    if (!p->recalls_rows)
        p->row_values.count = 0;
    p->memos = ARENA_ARRAY(n->arena, struct memo *, n->id_count);
    if (!p->stored)
        p->stored = ARENA_ARRAY(n->arena, struct buffer *, n->stored.count + 1);
    p->sweep = LAST_SWEEP;
    p->inside = NULL;
    p->chunk = NULL;
    VEC_PUSH(n->arena, &p->levels, ((struct level){0}));
}

/* The loop over what the tasks share out: a task does per_task turns from task * per_task on. */
static expr open_shared(struct phase *p, struct shape *s, int64_t total, enum loop_kind kind) {
    struct loop_function *f = p->f;
    int64_t tasks = (total + s->per_task - 1) / s->per_task;
    f->tasks = tasks;
    f->task->max = tasks - 1;
    if (s->per_task == 1 && tasks > 1)
        return lexpr_var(f, f->task);
    if (!s->turn)
        s->turn = index_var(p, "i", tasks == 1 ? total : s->per_task);
    if (tasks == 1) {
        level_open(p, s->turn, lexpr_index(f, total), kind);
        return lexpr_var(f, s->turn);
    }
    expr begin = lexpr_mul(f, lexpr_var(f, f->task), s->per_task), hi = lexpr_index(f, s->per_task);
    if (total % s->per_task) {
        expr left = lexpr_add(f, lexpr_index(f, total), lexpr_mul(f, begin, -1));
        hi = lexpr_binary(f, OP_min, DTYPE_i64, hi, left);
    }
    level_open(p, s->turn, hi, kind);
    expr whole = lexpr_add(f, begin, lexpr_var(f, s->turn));
    if (kind == LOOP_VECTOR)
        return whole;
    /* Its range is what lets div and mod dissolve, and the sum's own is wider: so it has a name. */
    if (!s->whole)
        s->whole = index_var(p, "t", total);
    s->whole->within = s->turn;
    struct loop_stmt *let = loop_append(f, &VEC_LAST(&p->levels).list, LSTMT_LET);
    let->var = s->whole;
    let->value = whole;
    return lexpr_var(f, s->whole);
}

/* Opens the loops of the first `count` dimensions; gives each one's variable or expression. */
static void open_dims(struct phase *p, struct shape *s, int count, expr *turns) {
    int64_t total = 1;
    for (int i = 0; i < s->shared_out; i++)
        total *= s->dims.at[i].size;
    expr shared = NULL;
    if (s->shared_out)
        shared = open_shared(p, s, total, s->shared_out == 1 && s->vector == 0 ? LOOP_VECTOR : LOOP_SERIAL);
    int64_t stride = total;
    for (int i = 0; i < s->shared_out; i++) {
        stride /= s->dims.at[i].size;
        turns[i] = lexpr_mod(p->f, lexpr_div(p->f, shared, stride), s->dims.at[i].size);
        if (s->shared_out == 1)
            turns[i] = shared;
    }
    static const char *const names[] = {"a", "b", "c", "d"};
    p->row_levels = p->levels.count;
    for (int i = s->shared_out; i < count; i++) {
        struct dimension *d = &s->dims.at[i];
        if (!d->var)
            d->var = index_var(p, names[i % 4], d->size);
        level_open(p, d->var, lexpr_index(p->f, d->size), i == s->vector ? LOOP_VECTOR : LOOP_SERIAL);
        turns[i] = lexpr_var(p->f, d->var);
        if (d->is_row)
            p->row_levels = p->levels.count;
    }
}

/* All values are computed before the first is stored: a result may lie where an operand of another lay. */
static expr name_value(struct phase *p, expr value) {
    struct loop_stmt *let = loop_append(p->f, &VEC_LAST(&p->levels).list, LSTMT_LET);
    let->var = loop_var_create(p->f, "y", value->dtype);
    let->value = value;
    return lexpr_var(p->f, let->var);
}

static void store_roots(struct phase *p, const struct shape *s, expr flat, expr *values) {
    for (int i = 0; s->roots.count > 1 && i < s->roots.count; i++)
        values[i] = name_value(p, values[i]);
    for (int i = 0; i < s->roots.count; i++) {
        const struct root *r = &s->roots.at[i];
        struct loop_stmt *store = loop_append(p->f, &VEC_LAST(&p->levels).list, LSTMT_STORE);
        store->value = values[i];
        store->index = flat;
        if (r->argument >= 0) {
            store->buffer = phase_argument(p, r->argument);
            continue;
        }
        store->buffer = phase_stored(p, r->stored);
        store->buffer->is_written = true;
        store->index = lexpr_add(p->f, lexpr_mul(p->f, p->chunk, s->elements), flat);
    }
}

/* The row's own flat index: a result of just these elements is written when it is asked for. */
static void note_rows(struct phase *p, const struct shape *s, const expr *turns) {
    p->row_flat = lexpr_index(p->f, 0);
    p->row_elements = 1;
    for (int i = s->dims.count - 1; i >= 0; i--)
        if (s->dims.at[i].is_row) {
            p->row_flat = lexpr_add(p->f, p->row_flat, lexpr_mul(p->f, turns[i], p->row_elements));
            p->row_elements *= s->dims.at[i].size;
        }
    if (s->chunks || (p->row_elements == 1 && p->f->tasks > 1))
        p->row_flat = NULL;
}

/* What stands in the innermost loop, where turns say where it is. */
static void write_body(struct phase *p, struct shape *s, enum run_kind kind, const expr *turns) {
    struct nest *n = p->nest;
    expr *values = ARENA_ARRAY(n->arena, expr, s->roots.count + 1), flat = lexpr_index(p->f, 0);
    note_rows(p, s, turns);
    for (int i = 0; i < s->dims.count; i++) {
        if (s->chunks && s->dims.at[i].stride == 0)
            p->chunk = turns[i];
        else
            flat = lexpr_add(p->f, flat, lexpr_mul(p->f, turns[i], s->dims.at[i].stride));
    }
    if (s->chunks && !p->chunk)
        p->chunk = lexpr_index(p->f, 0);
    p->chunks = s->chunks;
    note_access(p, flat);
    for (int i = 0; i < s->roots.count; i++) {
        const struct value *v = s->roots.at[i].value;
        values[i] = ask(p, v, unflatten(p, v->type, flat), NULL);
        if (kind != RUN_WRITE)
            VEC_PUSH(n->arena, &p->loads, flat); /* a store counts as a load does */
    }
    for (int i = 0; i < s->row_results.count; i++)
        if (p->row_flat)
            ask(p, s->row_results.at[i], unflatten(p, s->row_results.at[i]->type, p->row_flat), NULL);
    store_roots(p, s, flat, values);
}

static void add_cut(struct pieces *c, int64_t at) {
    int place = 0;
    while (place < c->count && c->cut[place] < at)
        place++;
    if (at <= 0 || at >= c->size || c->count == MOST_PIECES || (place < c->count && c->cut[place] == at))
        return;
    memmove(&c->cut[place + 1], &c->cut[place], sizeof(*c->cut) * (size_t)(c->count - place));
    c->cut[place] = at;
    c->count++;
}

/* var + k, or var alone. */
static bool is_shifted(const struct pieces *c, expr x, int64_t *shift) {
    bool is_sum = x->kind == LEXPR_OP && x->code == OP_add && x->args[1]->kind == LEXPR_INT;
    *shift = is_sum ? x->args[1]->i : 0;
    expr base = is_sum ? x->args[0] : x;
    return base->kind == LEXPR_VAR && base->var == c->var;
}

static void find_cuts(struct pieces *c, expr x) {
    if (x->kind != LEXPR_OP)
        return;
    int64_t shift;
    if (x->code == OP_lt && x->args[1]->kind == LEXPR_INT && is_shifted(c, x->args[0], &shift))
        add_cut(c, x->args[1]->i - shift);
    else if (x->code == OP_le && x->args[0]->kind == LEXPR_INT && is_shifted(c, x->args[1], &shift))
        add_cut(c, x->args[0]->i - shift);
    else if (x->code == OP_and)
        for (int i = 0; i < x->arg_count; i++)
            find_cuts(c, x->args[i]);
}

/* Of the trial that ran last. One piece: nothing is cut. */
static void choose_pieces(const struct phase *p, struct shape *s) {
    struct pieces *c = &s->pieces;
    *c = (struct pieces){0};
    bool is_plain = !p->asked.count && s->dims.count > s->shared_out && s->vector == s->dims.count - 1;
    if (!is_plain)
        return;
    c->var = VEC_LAST(&s->dims).var;
    c->size = VEC_LAST(&s->dims).size;
    for (int i = 0; i < p->accesses.count; i++)
        if (p->accesses.at[i])
            find_cuts(c, p->accesses.at[i]);
    c->cut[c->count++] = c->size;
}

static void write_pieces(struct phase *p, struct shape *s, expr *turns) {
    const struct pieces *c = &s->pieces;
    int last = s->dims.count - 1;
    for (int64_t i = 0, begin = 0; i < c->count; begin = c->cut[i++]) {
        struct loop_var *var = index_var(p, "x", c->cut[i] - begin);
        level_open(p, var, lexpr_index(p->f, c->cut[i] - begin), LOOP_VECTOR);
        turns[last] = lexpr_add(p->f, lexpr_var(p->f, var), lexpr_index(p->f, begin));
        write_body(p, s, RUN_WRITE, turns);
        level_close(p);
    }
}

static void run(struct phase *p, struct shape *s, enum run_kind kind) {
    bool is_cut = kind == RUN_WRITE && s->pieces.count > 1;
    phase_begin(p, kind);
    expr *turns = ARENA_ARRAY(p->nest->arena, expr, s->dims.count + 1);
    open_dims(p, s, s->dims.count - is_cut, turns);
    if (is_cut)
        write_pieces(p, s, turns);
    else
        write_body(p, s, kind, turns);
    for (int i = p->levels.count - 1; i > 0; i--)
        level_close(p);
    p->f->body = p->levels.at[0].list.first;
}

/* ---- 1. rows, 2. merging ---- */

static bool varies_in(const struct asked *a, const struct loop_var *var) {
    for (int i = 0; i < a->op->out[0]->type->rank; i++)
        if (lexpr_depends_on(a->index[i], var))
            return true;
    return a->mask && lexpr_depends_on(a->mask, var);
}

static void find_rows(const struct phase *p, struct shape *s) {
    for (int i = 0; i < s->dims.count; i++) {
        s->dims.at[i].is_row = s->chunks && s->dims.at[i].stride == 0;
        for (int k = 0; k < p->asked.count; k++)
            s->dims.at[i].is_row |= varies_in(&p->asked.at[k], s->dims.at[i].var);
    }
}

static bool was_asked(const struct phase *p, const struct op *op) {
    for (int i = 0; i < p->asked.count; i++)
        if (p->asked.at[i].op == op)
            return true;
    return false;
}

/* Every reduction that v depends on was asked for. */
static bool needs_only_asked(const struct phase *p, const struct value *v) {
    if (!v->def || !p->nest->depth[nest_slot(p->nest, v)])
        return true;
    if (is_loop_reduction(v->def))
        return was_asked(p, v->def);
    for (int i = 0; i < v->def->in_count; i++)
        if (!needs_only_asked(p, v->def->in[i]))
            return false;
    return true;
}

static void find_row_results(const struct phase *p, struct shape *s) {
    struct nest *n = p->nest;
    const struct op *yield = block_yield(n->body);
    int64_t rows = 1;
    for (int i = 0; i < s->dims.count; i++)
        rows *= s->dims.at[i].is_row ? s->dims.at[i].size : 1;
    s->row_results.count = 0;
    for (int i = 0; i < yield->in_count; i++) {
        const struct value *v = yield->in[i];
        bool of_rows = !n->is_done[i] && n->depth[nest_slot(n, v)] && type_elements(v->type) == rows;
        if (of_rows && !s->chunks && rows < s->elements && needs_only_asked(p, v))
            VEC_PUSH(n->arena, &s->row_results, v);
    }
}

static void rows_go_outside(struct shape *s) {
    int rows = 0;
    for (int i = 0; i < s->dims.count; i++) {
        struct dimension d = s->dims.at[i];
        if (!d.is_row)
            continue;
        memmove(&s->dims.at[rows + 1], &s->dims.at[rows], sizeof(d) * (size_t)(i - rows));
        s->dims.at[rows++] = d;
    }
}

/* An innermost loop of 2 or 4 turns is half a vector: with the loop around it, its index is the remainder of
 * a lane's number, which the emitter knows. */
static void merge_short(const struct phase *p, struct shape *s) {
    int lanes = target_lanes(p->nest->l->target, 4);
    while (s->dims.count > 1) {
        struct dimension *outer = &s->dims.at[s->dims.count - 2], inner = s->dims.at[s->dims.count - 1];
        bool adjacent =
            outer->is_row == inner.is_row && outer->stride == inner.size * inner.stride && inner.stride;
        if (!adjacent || inner.size >= lanes || lanes % inner.size)
            return;
        *outer = (struct dimension){outer->size * inner.size, inner.stride, inner.is_row, inner.var};
        s->dims.count--;
    }
}

static void merge_dims(const struct phase *p, struct shape *s) {
    int kept = 0;
    for (int i = 1; i < s->dims.count; i++) {
        struct dimension *outer = &s->dims.at[kept], inner = s->dims.at[i];
        bool adjacent =
            outer->is_row == inner.is_row && outer->stride == inner.size * inner.stride && inner.stride;
        if (adjacent && can_merge_all(p, outer->var, inner.var, inner.size)) {
            /* what is merged with this pair must move with its innermost variable */
            *outer = (struct dimension){outer->size * inner.size, inner.stride, inner.is_row, inner.var};
        } else {
            s->dims.at[++kept] = inner;
        }
    }
    if (s->dims.count)
        s->dims.count = kept + 1;
    merge_short(p, s);
    for (int i = 0; i < s->dims.count; i++)
        s->dims.at[i].var = NULL;
}

/* A pair of loops over what is reduced merges where all that asked for the reduction allow it. */
static bool loops_merge(const struct phase *p, const struct op *op, const struct space *space, int i) {
    struct axis outer = space->axes.at[i], inner = space->axes.at[i + 1];
    if (outer.stride != inner.stride * inner.size)
        return false;
    for (int k = 0; k < p->asked.count; k++) {
        const struct asked *a = &p->asked.at[k];
        if (a->op == op && !can_merge_all(p, a->vars[i], a->vars[i + 1], inner.size))
            return false;
    }
    return true;
}

static void merge_loops(const struct phase *p) {
    struct nest *n = p->nest;
    for (int k = 0; k < p->asked.count; k++) {
        const struct op *op = p->asked.at[k].op;
        bool first = op->code == OP_reduce;
        for (int j = 0; j < k; j++)
            first &= p->asked.at[j].op != op;
        struct space *space = n->loops[nest_slot(n, op->out[0])], merged = {0};
        if (!first || !space || !space->axes.count)
            continue;
        VEC_PUSH(n->arena, &merged.axes, space->axes.at[0]);
        for (int i = 1; i < space->axes.count; i++) {
            struct axis next = space->axes.at[i];
            if (loops_merge(p, op, space, i - 1))
                VEC_LAST(&merged.axes) = (struct axis){VEC_LAST(&merged.axes).size * next.size, next.stride};
            else
                VEC_PUSH(n->arena, &merged.axes, next);
        }
        *space = merged;
    }
}

/* ---- 3. which loop is a vector ---- */

/* How well memory is walked when var becomes lanes: contiguous is good, and so is what does not move with it
 * (a channel's scale, for lanes along the pixels: one load in front of the loop); gathering is bad. */
static int score(const struct phase *p, const struct loop_var *var) {
    int sum = 0;
    for (int i = 0; i < p->loads.count; i++) {
        int64_t stride;
        bool affine = lexpr_stride(p->loads.at[i], var, &stride);
        bool moves = lexpr_depends_on(p->loads.at[i], var);
        sum += !moves || (affine && (stride == 0 || stride == 1)) ? 2 : -1;
    }
    return sum;
}

static int score_inner_loops(const struct phase *p) {
    int best = INT32_MIN;
    for (int k = 0; k < p->asked.count; k++) {
        const struct asked *a = &p->asked.at[k];
        const struct space *space = p->nest->loops[nest_slot(p->nest, a->op->out[0])];
        int count = a->op->code == OP_arg_reduce ? 1 : space->axes.count;
        int of = count ? score(p, a->vars[count - 1]) : 0;
        best = of > best ? of : best;
    }
    return best;
}

static int row_dims(const struct shape *s) {
    int rows = 0;
    while (rows < s->dims.count && s->dims.at[rows].is_row)
        rows++;
    return rows;
}

/* Without reductions: the best-walked loop, moved innermost. */
static void choose_plain_vector(const struct phase *p, struct shape *s) {
    int best = s->dims.count - 1, best_score = INT32_MIN;
    for (int i = 0; i < s->dims.count; i++) {
        int of = s->dims.at[i].size < 4 ? 0 : score(p, s->dims.at[i].var);
        if (of >= best_score)
            best = i, best_score = of;
    }
    struct dimension d = s->dims.at[best];
    memmove(&s->dims.at[best], &s->dims.at[best + 1], sizeof(d) * (size_t)(s->dims.count - 1 - best));
    s->dims.at[s->dims.count - 1] = d;
    s->vector = s->dims.count - 1;
}

static void choose_vector(struct phase *p, struct shape *s) {
    s->vector = -1;
    p->vector_is_outside = false;
    if (!s->dims.count)
        return;
    if (!p->asked.count) {
        choose_plain_vector(p, s);
        return;
    }
    int rows = row_dims(s), last_row = rows - 1, inside = score_inner_loops(p);
    if (s->dims.count > rows) {
        int of = score(p, s->dims.at[s->dims.count - 1].var);
        inside = of > inside ? of : inside;
    }
    bool row_is_wide = rows && s->dims.at[last_row].size >= 4 && s->dims.at[last_row].stride;
    if (row_is_wide && score(p, s->dims.at[last_row].var) > inside) {
        s->vector = last_row;
        p->vector_is_outside = true;
    } else if (s->dims.count > rows) {
        s->vector = s->dims.count - 1;
    }
}

/* ---- 3. tasks ---- */

/* Elements that a reduction reads, those of the reductions that its own operand asks for among them. */
static int64_t work_of_reduction(const struct phase *p, const struct op *op) {
    int64_t work = type_elements(op->in[0]->type);
    for (int i = 0; i < p->asked.count; i++)
        if (p->asked.at[i].inside == op)
            work += type_elements(p->asked.at[i].op->in[0]->type);
    return work;
}

/* Elements read or written for one turn of the dims from `from` on. */
static int64_t work_of_turn(const struct phase *p, const struct shape *s, int from) {
    int64_t rows = 1, all = 1;
    for (int i = from; i < s->dims.count; i++) {
        all *= s->dims.at[i].size;
        rows *= s->dims.at[i].is_row ? s->dims.at[i].size : 1;
    }
    int64_t reduced = 0;
    for (int k = 0; k < p->asked.count; k++) {
        const struct op *op = p->asked.at[k].op;
        int64_t kept = type_elements(op->out[0]->type);
        if (!p->asked.at[k].inside && kept)
            reduced += work_of_reduction(p, op) / kept;
    }
    if (s->chunks)
        reduced /= s->chunks;
    return all + rows * reduced;
}

static void choose_tasks(const struct phase *p, struct shape *s) {
    int candidates = p->asked.count ? row_dims(s) : s->dims.count > 1 ? s->dims.count - 1 : s->dims.count;
    if (s->vector == candidates - 1 && candidates > 1)
        candidates--; /* the vector loop stays a loop of its own, unless it is all there is */
    s->shared_out = 0;
    int64_t turns = 1;
    int64_t weight = p->nest->weight;
    while (s->shared_out < candidates &&
           (turns < 64 || work_of_turn(p, s, s->shared_out) * weight > TASK_WORK))
        turns *= s->dims.at[s->shared_out++].size;
    if (!s->shared_out)
        return;
    int64_t work = work_of_turn(p, s, s->shared_out) * weight, per = work ? TASK_WORK / work : turns;
    if (work * turns <= SHARE_WORK)
        per = turns;
    int64_t lanes = target_lanes(p->nest->l->target, 4) * 4;
    if (s->vector == 0 && s->shared_out == 1)
        per = per < lanes ? lanes : per / lanes * lanes;
    s->per_task = per < 1 ? 1 : per > turns ? turns : per;
}

/* ---- reductions that get phases of their own ---- */

static int64_t align64(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* How often the loops around it would compute this reduction for one and the same index. */
static int64_t repetitions(const struct phase *p, const struct shape *s, const struct asked *a) {
    int64_t times = 1;
    for (int i = 0; i < s->dims.count; i++)
        if (s->dims.at[i].is_row && !varies_in(a, s->dims.at[i].var))
            times *= s->dims.at[i].size;
    bool is_scalar = type_elements(a->op->out[0]->type) == 1;
    int64_t work = work_of_turn(p, s, 0);
    if (is_scalar && times == 1 && s->elements > 1)
        times = 1 + (work - type_elements(a->op->in[0]->type)) / (SHARE_WORK / p->nest->weight);
    return times;
}

static int64_t chunks_for(const struct phase *p, const struct op *op) {
    const struct nest *n = p->nest;
    int64_t work = work_of_reduction(p, op) * n->weight, kept = type_elements(op->out[0]->type);
    const struct space *space = n->loops[nest_slot(n, op->out[0])];
    if (op->code != OP_reduce || work < SPLIT_WORK || kept >= SPLIT_UNITS * 64 || !space->axes.count)
        return 1;
    int64_t chunks = work / CHUNK_WORK, most = space->axes.at[0].size;
    chunks = chunks > 64 ? 64 : chunks;
    chunks = chunks > most ? most : chunks;
    /* the same number of turns in all but the last */
    int64_t per = chunks > 0 ? (most + chunks - 1) / chunks : most;
    return per > 0 ? (most + per - 1) / per : 1;
}

static bool is_stored(const struct nest *n, const struct value *v) {
    for (int i = 0; i < n->stored.count; i++)
        if (n->stored.at[i].value == v)
            return true;
    return false;
}

static bool wants_own_phase(const struct phase *p, const struct shape *s, const struct asked *a) {
    const struct nest *n = p->nest;
    if (a->inside || a->mask || is_stored(n, a->op->out[0]))
        return false;
    bool is_root = false;
    for (int i = 0; i < s->roots.count; i++)
        is_root |= s->roots.at[i].value == a->op->out[0];
    if (s->chunks && is_root)
        return false;
    int64_t kept = type_elements(a->op->out[0]->type),
            each = kept ? type_elements(a->op->in[0]->type) / kept : 0;
    int64_t times = repetitions(p, s, a);
    return (times > 1 && each * times > REDO_LIMIT) || (kept < SPLIT_UNITS && chunks_for(p, a->op) > 1);
}

static bool lower_roots(struct nest *n, struct shape *s);

/* One phase for all such reductions over the same elements at the same depth. */
static bool lower_own_phase(struct nest *n, const struct phase *p, const struct shape *of,
                            const struct asked *first) {
    int64_t chunks = chunks_for(p, first->op), kept = type_elements(first->op->out[0]->type);
    struct shape s = {.nest = n, .elements = kept, .chunks = chunks};
    int depth = n->depth[nest_slot(n, first->op->out[0])];
    for (int i = 0; i < p->asked.count; i++) {
        const struct asked *a = &p->asked.at[i];
        const struct value *v = a->op->out[0];
        if (a->op->code != first->op->code || !wants_own_phase(p, of, a) ||
            n->depth[nest_slot(n, v)] != depth || type_elements(v->type) != kept ||
            a->op->in[0]->type->dims != first->op->in[0]->type->dims)
            continue;
        int64_t bytes = align64(chunks * kept * dtype_bytes(v->type->dtype));
        VEC_PUSH(n->arena, &n->stored, ((struct stored){v, n->out->shared_bytes, chunks, kept}));
        n->out->shared_bytes += bytes;
        VEC_PUSH(n->arena, &s.roots, ((struct root){v, -1, n->stored.count - 1}));
    }
    for (int i = 0; i < s.roots.count; i++)
        n->loops[nest_slot(n, s.roots.at[i].value)] = NULL; /* refined and merged for its own loops */
    return lower_roots(n, &s);
}

/* The deepest reduction that wants it, whose own operands will ask for theirs. NULL: none. */
static const struct asked *find_own_phase(const struct phase *p, const struct shape *s) {
    const struct asked *best = NULL;
    for (int i = 0; i < p->asked.count; i++)
        if (!best && wants_own_phase(p, s, &p->asked.at[i]))
            best = &p->asked.at[i];
    return best;
}

/* ---- a function ---- */

static void shape_begin(struct nest *n, struct shape *s) {
    struct space space;
    space_refine(n, s->elements, &space);
    s->dims.count = 0;
    if (s->chunks > 1)
        VEC_PUSH(n->arena, &s->dims, ((struct dimension){.size = s->chunks}));
    for (int i = 0; i < space.axes.count; i++)
        VEC_PUSH(n->arena, &s->dims,
                 ((struct dimension){.size = space.axes.at[i].size, .stride = space.axes.at[i].stride}));
    s->vector = -1;
    s->shared_out = 0;
}

static void forget_vars(struct shape *s) {
    for (int i = 0; i < s->dims.count; i++)
        s->dims.at[i].var = NULL;
    s->turn = s->whole = NULL;
}

/* WORKER buffers one behind the other; phases run one after the other, so they share the memory. */
static void place_worker_buffers(struct nest *n, struct loop_function *f) {
    int64_t bytes = 0;
    for (int i = 0; i < f->buffers.count; i++) {
        struct buffer *b = f->buffers.at[i];
        if (b->space != SPACE_WORKER)
            continue;
        b->offset = bytes;
        bytes += align64(b->elements * dtype_bytes(b->dtype));
    }
    n->out->worker_bytes = bytes > n->out->worker_bytes ? bytes : n->out->worker_bytes;
}

static bool lower_roots(struct nest *n, struct shape *s) {
    shape_begin(n, s);
    struct phase *p = phase_create(n);
    run(p, s, RUN_SPACE);
    find_rows(p, s);
    const struct asked *own = find_own_phase(p, s);
    if (own)
        return lower_own_phase(n, p, s, own) && lower_roots(n, s);
    find_row_results(p, s);
    rows_go_outside(s);
    merge_dims(p, s);
    merge_loops(p);
    run(p, s, RUN_SPACE);
    choose_vector(p, s);
    choose_tasks(p, s);
    choose_pieces(p, s);
    forget_vars(s);
    if (p->asked.count) {
        run(p, s, RUN_ROWS);
        run(p, s, RUN_RECALL);
    }
    run(p, s, RUN_WRITE);
    place_worker_buffers(n, p->f);
    VEC_PUSH(n->arena, &n->out->phases, p->f);
    return true;
}

/* ---- the kernel ---- */

/* The results that are not written yet and have as many elements as the largest of them. */
static bool next_results(struct nest *n, struct shape *s) {
    const struct op *yield = block_yield(n->body);
    *s = (struct shape){.nest = n, .elements = -1};
    for (int i = 0; i < yield->in_count; i++) {
        int64_t elements = type_elements(yield->in[i]->type);
        if (!n->is_done[i] && elements > s->elements)
            s->elements = elements;
    }
    for (int i = 0; i < yield->in_count; i++) {
        if (n->is_done[i] || type_elements(yield->in[i]->type) != s->elements)
            continue;
        n->is_done[i] = true;
        VEC_PUSH(n->arena, &s->roots, ((struct root){yield->in[i], n->kernel->in_count + i, -1}));
    }
    return s->roots.count > 0;
}

bool lower_nest(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    struct nest n;
    nest_init(&n, l, kernel, out);
    struct shape s;
    while (next_results(&n, &s))
        if (s.elements > 0 && !lower_roots(&n, &s))
            return false;
    return true;
}
