/* passes/overwrite.c: which operands a kernel may write its results over: a nest reads element i of the
 * operand before it writes element i, or, where it sweeps over rows (norms, softmax), all of a row before it
 * writes the row. */
#include "passes/fuse.h"
#include "passes/plan.h"
#include "runtime/weft.h"

#include <string.h>

/* How a value in the kernel needs the operand that is asked about. */
enum follows {
    FOLLOWS_NOT,
    FOLLOWS_ELEMENT, /* element i needs the operand's element i, in flat order, and what its row's sums give
                      */
    FOLLOWS_ROW      /* an element for each row, made of reductions over that row */
};

struct following {
    struct map kinds;  /* of the values that need the operand: enum follows */
    int64_t elements;  /* the operand's */
    bool is_nest;      /* behind a contraction only elementwise operators of one shape count */
    bool is_swept;     /* a reduction of the operand was met: */
    struct sweep rows; /* what all reductions of the kernel sweep over then */
};

static enum follows follows_of(const struct following *f, const struct value *v) {
    return (enum follows)(intptr_t)map_find(&f->kinds, v);
}

static bool needs_any(const struct following *f, const struct op *op) {
    for (int i = 0; i < op->in_count; i++)
        if (follows_of(f, op->in[i]) != FOLLOWS_NOT)
            return true;
    return false;
}

/* `at` gives the place of each axis of a row's element in `to`, ascending. It meets the elements of just its
 * row where the axes that it is repeated along are the ones that were reduced. */
static bool row_is_aligned(const struct following *f, const struct type *row, const struct type *to,
                           const int64_t *at) {
    bool repeated[WEFT_MAX_RANK];
    if (to->rank > WEFT_MAX_RANK)
        return false;
    for (int i = 0; i < to->rank; i++)
        repeated[i] = true;
    for (int i = 0; i < row->rank; i++) {
        if (i > 0 && at[i] <= at[i - 1])
            return false;
        if (type_size(row, i) == type_size(to, (int)at[i]))
            repeated[at[i]] = false;
    }
    struct sweep sweep;
    sweep_of_axes(to, repeated, &sweep);
    return sweep.rows == f->rows.rows && sweeps_equal(&sweep, &f->rows);
}

static bool row_is_aligned_at_end(const struct following *f, const struct type *row, const struct type *to) {
    int64_t at[WEFT_MAX_RANK];
    if (row->rank > to->rank || to->rank > WEFT_MAX_RANK)
        return false;
    for (int i = 0; i < row->rank; i++)
        at[i] = i + to->rank - row->rank;
    return row_is_aligned(f, row, to, at);
}

static enum follows follow_map(const struct following *f, const struct op *op) {
    const struct type *out = op->out[0]->type;
    int64_t elements = type_elements(out);
    bool is_of_rows = f->is_swept && elements == f->rows.rows && elements != f->elements;
    if (elements != f->elements && !is_of_rows)
        return FOLLOWS_NOT;
    for (int i = 0; i < op->in_count; i++) {
        const struct type *type = op->in[i]->type;
        enum follows kind = follows_of(f, op->in[i]);
        bool fits = kind == FOLLOWS_NOT || type_elements(type) == elements;
        if (!fits && (is_of_rows || kind != FOLLOWS_ROW || !row_is_aligned_at_end(f, type, out)))
            return FOLLOWS_NOT;
    }
    return is_of_rows ? FOLLOWS_ROW : FOLLOWS_ELEMENT;
}

static enum follows follow_broadcast(const struct following *f, const struct op *op) {
    const struct type *from = op->in[0]->type, *to = op->out[0]->type;
    if (follows_of(f, op->in[0]) == FOLLOWS_ROW && type_elements(to) == f->elements &&
        row_is_aligned(f, from, to, op_ints(op, ATTR_axes, NULL)))
        return FOLLOWS_ELEMENT;
    return FOLLOWS_NOT;
}

/* A reduction over few elements is an expression, asked for between the stores of a row. */
static enum follows follow_reduction(struct following *f, const struct op *op) {
    struct sweep sweep;
    if (!fuse_is_loop_reduction(op) || follows_of(f, op->in[0]) != FOLLOWS_ELEMENT)
        return FOLLOWS_NOT;
    sweep_of(op, &sweep);
    if (sweep.rows == sweep.elements || (f->is_swept && !sweeps_equal(&sweep, &f->rows)))
        return FOLLOWS_NOT;
    f->rows = sweep;
    f->is_swept = true;
    return FOLLOWS_ROW;
}

/* FOLLOWS_NOT: it needs the operand in another way. */
static enum follows follow(struct following *f, const struct op *op) {
    if (op_class(op) == FUSE_MAP)
        return follow_map(f, op);
    if (!f->is_nest)
        return FOLLOWS_NOT;
    if (op->code == OP_reshape)
        return follows_of(f, op->in[0]);
    if (op->code == OP_broadcast)
        return follow_broadcast(f, op);
    return op_class(op) == FUSE_REDUCE ? follow_reduction(f, op) : FOLLOWS_NOT;
}

/* Rows are walked one after the other as long as all reductions have the same. */
static bool all_sweep_alike(const struct following *f, const struct block *region) {
    FOR_EACH_OP (op, region) {
        struct sweep sweep;
        if (!fuse_is_loop_reduction(op))
            continue;
        sweep_of(op, &sweep);
        if (!sweeps_equal(&sweep, &f->rows))
            return false;
    }
    return true;
}

/* Finds what needs `param`. false: some of it needs more than its element and its row. */
static bool find_followers(struct following *f, const struct block *region, const struct value *param) {
    map_put(&f->kinds, param, (void *)(intptr_t)FOLLOWS_ELEMENT);
    FOR_EACH_OP (op, region) {
        if (op->code == OP_yield || !needs_any(f, op))
            continue;
        enum follows kind = follow(f, op);
        if (kind == FOLLOWS_NOT || op->out_count != 1)
            return false;
        map_put(&f->kinds, op->out[0], (void *)(intptr_t)kind);
    }
    return !f->is_swept || all_sweep_alike(f, region);
}

/* A reduction splits a nest into sweeps: an operand that two results need might be read again after the first
 * of them is written. Without one, and behind a contraction, all results of an element are computed before
 * any of them is written. */
static bool has_reduction(const struct block *region) {
    FOR_EACH_OP (op, region) {
        enum fuse_class fuse = op_class(op);
        if (fuse == FUSE_REDUCE || fuse == FUSE_CONTRACT || fuse == FUSE_OPAQUE || fuse == FUSE_REGION)
            return true;
    }
    return false;
}

const bool *kernel_overwrites(const struct op *kernel, struct arena *arena) {
    bool *may = ARENA_ARRAY(arena, bool, kernel->in_count * kernel->out_count + 1);
    bool is_nest = strcmp(op_string(kernel, ATTR_kind), "nest") == 0;
    if (!is_nest && strcmp(op_string(kernel, ATTR_kind), "contract") != 0)
        return may;
    const struct block *region = kernel->regions[0];
    const struct op *yield = block_yield(region);
    bool has_sweeps = is_nest && has_reduction(region);
    for (int i = 0; i < kernel->in_count; i++) {
        const struct type *type = kernel->in[i]->type;
        struct following f = {.elements = type_elements(type), .is_nest = is_nest};
        map_init(&f.kinds, arena);
        if (!find_followers(&f, region, region->params[i]))
            continue;
        int needed_by = 0;
        for (int j = 0; j < kernel->out_count; j++)
            needed_by += follows_of(&f, yield->in[j]) != FOLLOWS_NOT;
        bool fits = f.is_swept ? kernel->out_count == 1 : !has_sweeps || needed_by <= 1;
        for (int j = 0; j < kernel->out_count; j++) {
            const struct type *out = kernel->out[j]->type;
            may[i * kernel->out_count + j] = fits && type_elements(out) == f.elements &&
                                             dtype_bytes(type->dtype) == dtype_bytes(out->dtype);
        }
    }
    return may;
}
