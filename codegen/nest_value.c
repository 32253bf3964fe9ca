/* codegen/nest_value.c: the value of an operator at an index vector, as an expression of the loop IR. */
#include "codegen/nest.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef const struct loop_expr *expr; /* this file writes it on every line */

struct question {
    const struct value *v;
    const struct op *op;
    const expr *index;
    expr mask;
};

/* ---- what was answered before ---- */

bool same_index(const expr *a, const expr *b, int rank) {
    for (int i = 0; i < rank; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

expr memo_find(const struct phase *p, const struct value *v, const expr *index, expr mask) {
    for (const struct memo *m = p->memos[nest_slot(p->nest, v)]; m; m = m->next)
        if (m->mask == mask && same_index(m->index, index, v->type->rank))
            return m->result;
    return NULL;
}

void memo_add(struct phase *p, const struct value *v, const expr *index, expr mask, expr result) {
    struct memo *m = ARENA_NEW(p->nest->arena, struct memo), **slot = &p->memos[nest_slot(p->nest, v)];
    const expr *kept = arena_memdup(p->nest->arena, index, sizeof(*index) * (size_t)v->type->rank);
    *m = (struct memo){.index = kept, .mask = mask, .result = result, .next = *slot};
    *slot = m;
}

/* ---- memory ---- */

expr note_access(struct phase *p, expr x) {
    if (p->is_trial && x)
        VEC_PUSH(p->nest->arena, &p->accesses, x);
    return x;
}

static bool is_result(const struct nest *n, int argument) {
    return argument >= n->kernel->in_count;
}

struct buffer *phase_argument(struct phase *p, int argument) {
    const struct nest *n = p->nest;
    if (!p->arguments[argument]) {
        bool written = is_result(n, argument);
        const struct value *v =
            written ? n->kernel->out[argument - n->kernel->in_count] : n->kernel->in[argument];
        const char *name = arena_printf(n->arena, "%s%d", written ? "out" : "in",
                                        written ? argument - n->kernel->in_count : argument);
        p->arguments[argument] =
            loop_add_argument(p->f, argument, v->type->dtype, type_elements(v->type), name, written);
    }
    return p->arguments[argument];
}

struct buffer *phase_stored(struct phase *p, int place) {
    const struct nest *n = p->nest;
    const struct stored *s = &n->stored.at[place];
    if (!p->stored[place]) {
        const char *name = arena_printf(n->arena, "shared%d", place);
        struct buffer *b =
            loop_add_buffer(p->f, SPACE_SHARED, s->value->type->dtype, s->chunks * s->count, name);
        b->offset = s->offset;
        b->is_written = false;
        p->stored[place] = b;
    }
    return p->stored[place];
}

static expr zero_of(struct phase *p, enum dtype dtype) {
    return dtype_is_float(dtype) ? lexpr_float(p->f, dtype, 0) : lexpr_int(p->f, dtype, 0);
}

static expr load(struct phase *p, struct buffer *buffer, expr at, expr mask) {
    note_access(p, at);
    if (p->is_trial)
        VEC_PUSH(p->nest->arena, &p->loads, at);
    return mask ? lexpr_load_masked(p->f, buffer, at, mask, zero_of(p, buffer->dtype))
                : lexpr_load(p->f, buffer, at);
}

static expr ask_param(struct phase *p, const struct question *q) {
    struct buffer *b = phase_argument(p, p->nest->argument[nest_slot(p->nest, q->v)]);
    return load(p, b, flat_index(p, q->v->type, q->index), q->mask);
}

static expr literal(struct phase *p, enum dtype dtype, const void *bytes, int64_t i) {
    const uint8_t *at = (const uint8_t *)bytes + i * dtype_bytes(dtype);
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)dtype_bytes(dtype)); /* little-endian, as all our targets are */
    if (dtype == DTYPE_f64) {
        double x;
        memcpy(&x, &bits, sizeof(x));
        return lexpr_float(p->f, dtype, x);
    }
    if (dtype == DTYPE_f32 || dtype == DTYPE_bf16) {
        uint32_t word = dtype == DTYPE_f32 ? (uint32_t)bits : (uint32_t)bits << 16;
        float x;
        memcpy(&x, &word, sizeof(x));
        return lexpr_float(p->f, dtype, (double)x);
    }
    int width = 8 * dtype_bytes(dtype);
    if (dtype_class(dtype) == CLASS_SIGNED && width < 64 && bits >> (width - 1))
        bits |= ~0ull << width;
    return lexpr_int(p->f, dtype, (int64_t)bits);
}

static struct buffer *constant_buffer(struct phase *p, const struct data *d) {
    for (int i = 0; i < p->f->buffers.count; i++)
        if (p->f->buffers.at[i]->bytes == d->bytes)
            return p->f->buffers.at[i];
    struct buffer *b = loop_add_buffer(p->f, SPACE_CONSTANT, d->type->dtype, type_elements(d->type), "data");
    b->bytes = d->bytes;
    return b;
}

static expr ask_const(struct phase *p, const struct question *q) {
    const struct data *d = op_attr(q->op, ATTR_data)->data;
    enum dtype dtype = d->type->dtype;
    if (type_elements(d->type) == 1 && dtype != DTYPE_f16)
        return literal(p, dtype, d->bytes, 0);
    return load(p, constant_buffer(p, d), flat_index(p, d->type, q->index), q->mask);
}

/* ---- elementwise ---- */

/* The operand's index by NumPy's rule: axes aligned at the end, an axis of 1 stays at 0. */
static expr ask_operand(struct phase *p, const struct question *q, int operand) {
    const struct value *x = q->op->in[operand];
    expr *index = ARENA_ARRAY(p->nest->arena, expr, x->type->rank + 1);
    int skip = q->v->type->rank - x->type->rank;
    for (int axis = 0; axis < x->type->rank; axis++)
        index[axis] = type_size(x->type, axis) == 1 ? lexpr_index(p->f, 0) : q->index[axis + skip];
    return ask(p, x, index, q->mask);
}

static expr ask_map(struct phase *p, const struct question *q) {
    expr args[3] = {0};
    for (int i = 0; i < q->op->in_count; i++)
        args[i] = ask_operand(p, q, i);
    if (q->op->code == OP_stop_gradient)
        return args[0];
    return lexpr_op(p->f, q->op->code, q->v->type->dtype, args, q->op->in_count);
}

/* ---- views ---- */

static expr ask_reshape(struct phase *p, const struct question *q) {
    const struct value *x = q->op->in[0];
    expr flat = flat_index(p, q->v->type, q->index);
    if (x->def)
        return ask(p, x, unflatten(p, x->type, flat), q->mask);
    struct buffer *b = phase_argument(p, p->nest->argument[nest_slot(p->nest, x)]);
    return load(p, b, flat, q->mask);
}

static expr ask_transpose(struct phase *p, const struct question *q) {
    const int64_t *perm = op_ints(q->op, ATTR_perm, NULL);
    expr *index = ARENA_ARRAY(p->nest->arena, expr, q->v->type->rank + 1);
    for (int i = 0; i < q->v->type->rank; i++)
        index[perm[i]] = q->index[i];
    return ask(p, q->op->in[0], index, q->mask);
}

static expr ask_broadcast(struct phase *p, const struct question *q) {
    const struct value *x = q->op->in[0];
    const int64_t *axes = op_ints(q->op, ATTR_axes, NULL);
    expr *index = ARENA_ARRAY(p->nest->arena, expr, x->type->rank + 1);
    for (int i = 0; i < x->type->rank; i++)
        index[i] = type_size(x->type, i) == 1 ? lexpr_index(p->f, 0) : q->index[axes[i]];
    return ask(p, x, index, q->mask);
}

static expr ask_slice(struct phase *p, const struct question *q) {
    const struct dim *const *start = op_dims(q->op, ATTR_start, NULL);
    const int64_t *step = op_ints(q->op, ATTR_step, NULL);
    expr *index = ARENA_ARRAY(p->nest->arena, expr, q->v->type->rank + 1);
    for (int i = 0; i < q->v->type->rank; i++)
        index[i] =
            lexpr_add(p->f, lexpr_mul(p->f, q->index[i], step[i]), lexpr_index(p->f, dim_value(start[i])));
    return ask(p, q->op->in[0], index, q->mask);
}

/* The condition is noted: it decides what may be merged as an index does. */
static expr both(struct phase *p, expr a, expr b) {
    return lexpr_and(p->f, a, note_access(p, b));
}

static expr number(struct phase *p, enum dtype dtype, double value) {
    return dtype_is_float(dtype) ? lexpr_float(p->f, dtype, value) : lexpr_int(p->f, dtype, (int64_t)value);
}

static expr choose(struct phase *p, expr condition, expr yes, expr no) {
    if (!condition)
        return yes;
    if (lexpr_is_false(condition))
        return no;
    return lexpr_op(p->f, OP_select, yes->dtype, (expr[]){condition, yes, no}, 3);
}

/* x has n elements with d between two; y[i] is x[(i - lo) / (d + 1)] where that is a place of x. */
static expr ask_pad(struct phase *p, const struct question *q) {
    const struct value *x = q->op->in[0];
    const struct dim *const *lo = op_dims(q->op, ATTR_lo, NULL);
    const int64_t *interior = op_ints(q->op, ATTR_interior, NULL);
    expr *index = ARENA_ARRAY(p->nest->arena, expr, x->type->rank + 1);
    expr inside = NULL, fill = number(p, q->v->type->dtype, op_float(q->op, ATTR_value));
    for (int i = 0; i < x->type->rank; i++) {
        int64_t n = type_size(x->type, i), pitch = interior[i] + 1;
        expr at = lexpr_add(p->f, q->index[i], lexpr_index(p->f, -dim_value(lo[i])));
        inside = both(p, inside, lexpr_within(p->f, at, 0, n > 0 ? (n - 1) * pitch + 1 : 0));
        if (pitch > 1)
            inside = both(p, inside, lexpr_within(p->f, lexpr_mod(p->f, at, pitch), 0, 1));
        index[i] = lexpr_div(p->f, at, pitch);
    }
    if (inside && lexpr_is_false(inside))
        return fill;
    return choose(p, inside, ask(p, x, index, lexpr_and(p->f, q->mask, inside)), fill);
}

static expr ask_concat(struct phase *p, const struct question *q) {
    int axis = (int)op_int(q->op, ATTR_axis);
    expr result = NULL, at = q->index[axis];
    for (int i = q->op->in_count - 1; i >= 0; i--) {
        const struct value *x = q->op->in[i];
        int64_t begin = 0, n = type_size(x->type, axis);
        for (int k = 0; k < i; k++)
            begin += type_size(q->op->in[k]->type, axis);
        expr mine = lexpr_within(p->f, at, begin, begin + n);
        if (mine && lexpr_is_false(mine))
            continue;
        note_access(p, mine);
        expr *index = arena_memdup(p->nest->arena, q->index, sizeof(expr) * (size_t)q->v->type->rank);
        index[axis] = lexpr_add(p->f, at, lexpr_index(p->f, -begin));
        expr value = ask(p, x, index, lexpr_and(p->f, q->mask, mine));
        result = result ? choose(p, mine, value, result) : value;
    }
    return result ? result : zero_of(p, q->v->type->dtype);
}

static expr as_index(struct phase *p, expr x) {
    return x->dtype == DTYPE_i64 ? x : lexpr_op(p->f, OP_cast, DTYPE_i64, &x, 1);
}

/* x held between 0 and last: no index of the model's reaches memory that is not the tensor's. */
static expr clamped(struct phase *p, expr x, int64_t last) {
    x = lexpr_binary(p->f, OP_max, DTYPE_i64, as_index(p, x), lexpr_index(p->f, 0));
    return lexpr_binary(p->f, OP_min, DTYPE_i64, x, lexpr_index(p->f, last > 0 ? last : 0));
}

static expr ask_dynamic_slice(struct phase *p, const struct question *q) {
    const struct value *x = q->op->in[0];
    expr *index = ARENA_ARRAY(p->nest->arena, expr, x->type->rank + 1);
    for (int i = 0; i < x->type->rank; i++) {
        int64_t last = type_size(x->type, i) - type_size(q->v->type, i);
        index[i] = last ? lexpr_add(p->f, clamped(p, ask(p, q->op->in[1 + i], NULL, NULL), last), q->index[i])
                        : q->index[i];
    }
    return ask(p, x, index, q->mask);
}

/* y[b.., o.., i.., r..] = x[b.., o.., index[b.., i..], r..] */
static expr ask_gather(struct phase *p, const struct question *q) {
    const struct value *x = q->op->in[0], *rows = q->op->in[1];
    int axis = (int)op_int(q->op, ATTR_axis), batch = (int)op_int(q->op, ATTR_batch),
        own = rows->type->rank - batch;
    expr *of_rows = ARENA_ARRAY(p->nest->arena, expr, rows->type->rank + 1);
    for (int i = 0; i < rows->type->rank; i++)
        of_rows[i] = q->index[i < batch ? i : axis + i - batch];
    expr *index = ARENA_ARRAY(p->nest->arena, expr, x->type->rank + 1);
    for (int i = 0; i < x->type->rank; i++)
        if (i != axis)
            index[i] = q->index[i < axis ? i : i + own - 1];
    index[axis] = clamped(p, ask(p, rows, of_rows, q->mask), type_size(x->type, axis) - 1);
    return ask(p, x, index, q->mask);
}

/* y[.., o, k] = x[.., o * step + k * dilation] */
static expr ask_windows(struct phase *p, const struct question *q) {
    const struct value *x = q->op->in[0];
    int n;
    op_ints(q->op, ATTR_window, &n);
    const int64_t *step = op_ints(q->op, ATTR_step, NULL), *dilation = op_ints(q->op, ATTR_dilation, NULL);
    expr *index = ARENA_ARRAY(p->nest->arena, expr, x->type->rank + 1);
    int lead = x->type->rank - n;
    for (int i = 0; i < lead; i++)
        index[i] = q->index[i];
    for (int i = 0; i < n; i++)
        index[lead + i] = lexpr_add(p->f, lexpr_mul(p->f, q->index[lead + i], step[i]),
                                    lexpr_mul(p->f, q->index[lead + n + i], dilation[i]));
    return ask(p, x, index, q->mask);
}

/* ---- fold: each element gathers from the windows that it lies in ---- */

struct fold {
    struct phase *p;
    const struct question *q;
    int n, lead;
    const int64_t *window, *step, *dilation;
    expr *index;
    expr sum;
};

static int64_t window_extent(const struct fold *f, int axis) {
    return (f->window[axis] - 1) * f->dilation[axis] + 1;
}

/* Axis by axis: the element i of window element k lies at o = (i - k * dilation) / step, if that is whole and
 * a window. Where windows do not overlap there is but one candidate, k = i mod step / dilation. */
static void fold_axis(struct fold *f, int axis, expr inside) {
    struct phase *p = f->p;
    const struct type *x = f->q->op->in[0]->type;
    if (axis == f->n) {
        expr zero = zero_of(p, x->dtype);
        if (inside && lexpr_is_false(inside))
            return;
        expr value = ask(p, f->q->op->in[0], f->index, lexpr_and(p->f, f->q->mask, inside));
        value = choose(p, inside, value, zero);
        f->sum = f->sum ? lexpr_binary(p->f, OP_add, x->dtype, f->sum, value) : value;
        return;
    }
    int place = f->lead + axis;
    expr i = f->q->index[place];
    int64_t step = f->step[axis], dilation = f->dilation[axis], windows = type_size(x, place);
    if (window_extent(f, axis) <= step) {
        expr rest = lexpr_mod(p->f, i, step);
        expr good = both(p, inside, lexpr_within(p->f, rest, 0, window_extent(f, axis)));
        if (dilation > 1)
            good = both(p, good, lexpr_within(p->f, lexpr_mod(p->f, rest, dilation), 0, 1));
        f->index[place] = lexpr_div(p->f, i, step);
        f->index[place + f->n] = lexpr_div(p->f, rest, dilation);
        fold_axis(f, axis + 1, both(p, good, lexpr_within(p->f, f->index[place], 0, windows)));
        return;
    }
    for (int64_t k = 0; k < f->window[axis]; k++) {
        expr at = lexpr_add(p->f, i, lexpr_index(p->f, -k * dilation));
        expr good = both(p, inside, lexpr_within(p->f, lexpr_mod(p->f, at, step), 0, 1));
        f->index = arena_memdup(p->nest->arena, f->index, sizeof(expr) * (size_t)x->rank);
        f->index[place] = lexpr_div(p->f, at, step);
        f->index[place + f->n] = lexpr_index(p->f, k);
        fold_axis(f, axis + 1, both(p, good, lexpr_within(p->f, f->index[place], 0, windows)));
    }
}

static expr ask_fold(struct phase *p, const struct question *q) {
    const struct type *x = q->op->in[0]->type;
    struct fold f = {.p = p, .q = q};
    f.window = op_ints(q->op, ATTR_window, &f.n);
    f.step = op_ints(q->op, ATTR_step, NULL);
    f.dilation = op_ints(q->op, ATTR_dilation, NULL);
    f.lead = q->v->type->rank - f.n;
    f.index = ARENA_ARRAY(p->nest->arena, expr, x->rank + 1);
    for (int i = 0; i < f.lead; i++)
        f.index[i] = q->index[i];
    fold_axis(&f, 0, NULL);
    return f.sum ? f.sum : zero_of(p, x->dtype);
}

/* ---- sources ---- */

static expr ask_iota(struct phase *p, const struct question *q) {
    expr i = note_access(p, q->index[op_int(q->op, ATTR_axis)]);
    enum dtype dtype = q->v->type->dtype;
    return dtype == DTYPE_i64 ? i : lexpr_op(p->f, OP_cast, dtype, &i, 1);
}

static expr ask_dim(struct phase *p, const struct question *q) {
    return lexpr_index(p->f, dim_value(op_attr(q->op, ATTR_size)->dim));
}

static expr word_of(struct phase *p, expr x) {
    return lexpr_op(p->f, OP_cast, DTYPE_u32, &x, 1);
}

/* The four words of a Philox block, in the loop that it varies in. */
static const expr *philox(struct phase *p, const expr *key, const expr *counter) {
    struct philox_words w = {{key[0], key[1], counter[0], counter[1], counter[2], counter[3]}, {0}};
    for (int i = 0; i < p->philox.count; i++)
        if (!memcmp(p->philox.at[i].parts, w.parts, sizeof(w.parts)))
            return arena_memdup(p->nest->arena, p->philox.at[i].words, sizeof(w.words));
    int level = level_of(p, w.parts, 6);
    struct loop_stmt *s = loop_append(p->f, &p->levels.at[level].list, LSTMT_PHILOX);
    for (int i = 0; i < 6; i++)
        s->args[i] = w.parts[i];
    for (int i = 0; i < 4; i++) {
        s->vars[i] = loop_var_create(p->f, "bits", DTYPE_u32);
        s->vars[i]->within = p->levels.at[level].var;
        w.words[i] = lexpr_var(p->f, s->vars[i]);
    }
    VEC_PUSH(p->nest->arena, &p->philox, w);
    return arena_memdup(p->nest->arena, w.words, sizeof(w.words));
}

/* words[at] for an index below count */
static expr pick(struct phase *p, const expr *words, int count, expr at) {
    expr r = words[count - 1];
    for (int i = count - 2; i >= 0; i--)
        r = choose(p, lexpr_within(p->f, at, i, i + 1), words[i], r);
    return r;
}

/* The key's two words; of keys of rows, those of the question's row. */
static void ask_key(struct phase *p, const struct question *q, expr *key) {
    const struct value *keys = q->op->in[0];
    int rank = keys->type->rank;
    for (int i = 0; i < 2; i++) {
        expr at[] = {rank > 1 ? q->index[0] : NULL, lexpr_index(p->f, i)};
        key[i] = ask(p, keys, at + 2 - rank, rank > 1 ? q->mask : NULL);
    }
}

/* Words 0 and 1 of the block with counter (d, 0, 0, 1): S8. */
static expr ask_random_fold(struct phase *p, const struct question *q) {
    const struct value *d = q->op->in[1];
    expr key[2], zero = lexpr_int(p->f, DTYPE_u32, 0);
    ask_key(p, q, key);
    expr counter[] = {word_of(p, ask(p, d, q->index, q->mask)), zero, zero, lexpr_int(p->f, DTYPE_u32, 1)};
    return pick(p, philox(p, key, counter), 2, note_access(p, q->index[q->v->type->rank - 1]));
}

/* The place of the question's element in the draw; with a key a row, in its row. */
static expr place_in_draw(struct phase *p, const struct question *q) {
    expr *index = arena_memdup(p->nest->arena, q->index, sizeof(expr) * (size_t)q->v->type->rank);
    if (q->op->in[0]->type->rank > 1)
        index[0] = lexpr_index(p->f, 0);
    return note_access(p, flat_index(p, q->v->type, index));
}

/* Block flat / 4 of the draw, in the loop that it varies in; then word flat mod 4 of it (S8). */
static expr ask_random_bits(struct phase *p, const struct question *q) {
    struct loop_function *f = p->f;
    expr flat = place_in_draw(p, q);
    expr block = lexpr_div(f, flat, 4), zero = lexpr_int(f, DTYPE_u32, 0), key[2];
    ask_key(p, q, key);
    bool is_long = block->max > UINT32_MAX;
    expr high = is_long ? word_of(p, lexpr_div(f, block, (int64_t)1 << 32)) : zero;
    const expr *words = philox(p, key, (expr[]){word_of(p, block), high, zero, zero});
    return pick(p, words, 4, lexpr_mod(f, flat, 4));
}

/* ---- the table ---- */

static expr ask_reduction(struct phase *p, const struct question *q) {
    return ask_reduce(p, q->op, q->index, q->mask);
}

static expr ask_arg_reduction(struct phase *p, const struct question *q) {
    return ask_arg_reduce(p, q->op, q->index, q->mask);
}

static expr (*const rules[OP_COUNT])(struct phase *p, const struct question *q) = {
    [OP_const] = ask_const,
    [OP_iota] = ask_iota,
    [OP_dim] = ask_dim,
    [OP_random_bits] = ask_random_bits,
    [OP_random_fold] = ask_random_fold,
    [OP_reshape] = ask_reshape,
    [OP_transpose] = ask_transpose,
    [OP_broadcast] = ask_broadcast,
    [OP_slice] = ask_slice,
    [OP_pad] = ask_pad,
    [OP_concat] = ask_concat,
    [OP_dynamic_slice] = ask_dynamic_slice,
    [OP_gather] = ask_gather,
    [OP_windows] = ask_windows,
    [OP_fold] = ask_fold,
    [OP_reduce] = ask_reduction,
    [OP_arg_reduce] = ask_arg_reduction,
};

/* ---- results and row values on the way ---- */

/* Splits a flat index into what the row's loops give and the place within the row. false: the loops inside
 * the row do not walk through 0..count of it. */
struct row_split {
    struct phase *p;
    expr row, place;
    VEC(struct axis) inner;
    bool good;
};

static void split_term(void *data, expr atom, int64_t coefficient) {
    struct row_split *s = data;
    struct phase *p = s->p;
    expr t = lexpr_mul(p->f, atom, coefficient);
    int level = level_of(p, &atom, 1);
    if (level < p->row_levels) {
        s->row = lexpr_add(p->f, s->row, t);
        return;
    }
    s->good = s->good && atom->kind == LEXPR_VAR && atom->min == 0 && coefficient > 0;
    s->place = lexpr_add(p->f, s->place, t);
    VEC_PUSH(p->nest->arena, &s->inner, ((struct axis){atom->max + 1, coefficient}));
}

static int64_t row_count(const struct row_split *s) {
    int64_t count = 1;
    for (int found = 0; found < s->inner.count; found++) {
        int next = -1;
        for (int i = 0; i < s->inner.count; i++)
            if (s->inner.at[i].stride == count)
                next = i;
        if (next < 0)
            return 0;
        count *= s->inner.at[next].size;
    }
    return count;
}

static bool split_row(struct phase *p, expr flat, struct row_split *out, int64_t *count) {
    int64_t constant = 0;
    *out =
        (struct row_split){.p = p, .row = lexpr_index(p->f, 0), .place = lexpr_index(p->f, 0), .good = true};
    lexpr_terms(flat, split_term, out, &constant);
    *count = out->good && !constant && out->inner.count ? row_count(out) : 0;
    return *count > 1;
}

static bool is_dear(const struct value *v) {
    return v->def && op_infos[v->def->code].fuse == FUSE_MAP && op_infos[v->def->code].flops >= 10;
}

static struct row_value *row_value_find(struct phase *p, const struct value *v, expr row, int64_t count) {
    for (int i = 0; i < p->row_values.count; i++) {
        struct row_value *r = &p->row_values.at[i];
        if (r->value == v && r->row == row && r->count == count)
            return r;
    }
    return NULL;
}

static bool row_value_of(struct phase *p, const struct value *v, expr flat, struct row_split *s,
                         struct row_value **out) {
    int64_t count;
    *out = NULL;
    if (p->vector_is_outside || !p->notes_rows || !split_row(p, flat, s, &count))
        return false;
    *out = row_value_find(p, v, s->row, count);
    if (*out || !p->is_trial || p->recalls_rows)
        return *out != NULL;
    struct row_value fresh = {.value = v, .row = s->row, .count = count, .first = p->sweep, .last = p->sweep};
    VEC_PUSH(p->nest->arena, &p->row_values, fresh);
    *out = &VEC_LAST(&p->row_values);
    return true;
}

static struct buffer *row_buffer(struct phase *p, struct row_value *r) {
    enum dtype dtype = r->value->type->dtype;
    bool small = r->count * dtype_bytes(dtype) <= NEST_STACK_BYTES;
    if (!r->buffer)
        r->buffer = loop_add_buffer(p->f, small ? SPACE_STACK : SPACE_WORKER, dtype, r->count, "row");
    return r->buffer;
}

/* Sweeps run in the order of their depths, whatever order they ask in. */
static expr ask_dear(struct phase *p, const struct question *q) {
    struct row_split s;
    struct row_value *r;
    expr flat = flat_index(p, q->v->type, q->index);
    if (!row_value_of(p, q->v, flat, &s, &r))
        return ask_map(p, q);
    if (!p->recalls_rows) {
        r->first = p->sweep < r->first ? p->sweep : r->first;
        r->last = p->sweep > r->last ? p->sweep : r->last;
        return ask_map(p, q);
    }
    if (p->sweep != r->first) {
        r->is_wanted = true;
        return lexpr_load(p->f, row_buffer(p, r), s.place);
    }
    int place = (int)(r - p->row_values.at); /* the list may grow meanwhile */
    expr result = ask_map(p, q);
    r = &p->row_values.at[place];
    if (p->is_trial || r->is_kept || !r->is_wanted)
        return result;
    r->is_kept = true;
    struct loop_stmt *store = loop_append(p->f, &p->levels.at[level_of(p, &s.place, 1)].list, LSTMT_STORE);
    store->buffer = row_buffer(p, r);
    store->index = s.place;
    store->value = result;
    return result;
}

/* A result that has one element for each row, asked for on the way to others, is written at once. */
static void store_row_result(struct phase *p, const struct value *v, const expr *index, expr result) {
    struct nest *n = p->nest;
    if (p->is_trial || !p->row_flat || !v->def || type_elements(v->type) != p->row_elements)
        return;
    const struct op *yield = block_yield(n->body);
    for (int i = 0; i < yield->in_count; i++) {
        if (yield->in[i] != v || n->is_done[i] || flat_index(p, v->type, index) != p->row_flat)
            continue;
        n->is_done[i] = true;
        struct loop_stmt *s =
            loop_append(p->f, &p->levels.at[level_of(p, &p->row_flat, 1)].list, LSTMT_STORE);
        s->buffer = phase_argument(p, n->kernel->in_count + i);
        s->index = p->row_flat;
        s->value = result;
    }
}

expr ask(struct phase *p, const struct value *v, const expr *index, expr mask) {
    if (mask && lexpr_is_false(mask))
        return zero_of(p, v->type->dtype);
    expr known = memo_find(p, v, index, mask);
    if (known)
        return known;
    struct question q = {.v = v, .op = v->def, .index = index, .mask = mask};
    expr r;
    const struct site *outer = p->f->place;
    p->f->place = v->def ? v->def->site : outer;
    if (!v->def)
        r = ask_param(p, &q);
    else if (op_infos[v->def->code].fuse != FUSE_MAP)
        r = rules[v->def->code](p, &q);
    else
        r = !mask && is_dear(v) ? ask_dear(p, &q) : ask_map(p, &q);
    memo_add(p, v, index, mask, r);
    if (!mask)
        store_row_result(p, v, index, r);
    p->f->place = outer;
    return r;
}
