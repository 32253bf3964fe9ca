#include "support_maker.h"

#include <string.h>

/* ---- the table: how each operator is made ---- */

enum {
    F32 = 1 << DTYPE_f32,
    SIXTEEN = 1 << DTYPE_bf16 | 1 << DTYPE_f16,
    FLOATS = F32 | 1 << DTYPE_f64 | SIXTEEN,
    I8 = 1 << DTYPE_i8,
    INTS = 1 << DTYPE_i64 | 1 << DTYPE_i32 | 1 << DTYPE_u32 | 1 << DTYPE_i8 | 1 << DTYPE_u8,
    NUMBERS = FLOATS | INTS,
    BOOL = 1 << DTYPE_bool,
    ANY = NUMBERS | BOOL
};
/* Where a graph may use it: where nothing rounds, where everything is smooth. */
enum { IN_EXACT = 1, IN_SMOOTH = 2, IN_BOTH = 3 };

struct row {
    enum opcode code;
    struct op *(*make)(struct maker *m, const struct row *row);
    unsigned dtypes;
    enum exactness exactness; /* on inputs of any kind; SUMMED: EXACT on a grid */
    unsigned graphs;
    double lo, hi; /* where float operands lie; 0, 0: anywhere */
};

static enum dtype random_dtype(struct maker *m, unsigned dtypes) {
    /* In graphs a 16-bit float is rounded by the evaluator behind each operator, by compiled code where it is
     * stored: such graphs are of a kind of their own. */
    if (m->is_graph && !m->has_sixteen)
        dtypes &= F32 | 1 << DTYPE_f64 | INTS | BOOL;
    if (m->has_sixteen && (dtypes & SIXTEEN) && one_in(m, 2))
        return one_in(m, 2) ? DTYPE_bf16 : DTYPE_f16;
    if ((dtypes & F32) && one_in(m, m->is_graph ? 4 : 2) != m->is_graph)
        return DTYPE_f32;
    for (;;) {
        int dtype = pick(m, DTYPE_COUNT);
        if (dtypes & 1u << dtype)
            return dtype;
    }
}

static struct op *build(struct maker *m, const struct row *row, struct value *const *in, int in_count,
                        const struct attr *attrs, int attr_count, const struct type *type) {
    const struct type *types[2] = {type, NULL};
    return build_op(&m->b, row->code, in, in_count, attrs, attr_count, types, op_infos[row->code].results);
}

/* ---- elementwise ---- */

/* s with axes of size 1, and without some in front. */
static struct shape narrower(struct maker *m, const struct shape *s) {
    struct shape out = {0};
    int skipped = one_in(m, 3) ? pick(m, s->rank + 1) : 0;
    for (int i = skipped; i < s->rank; i++)
        out.size[out.rank++] = one_in(m, 4) ? 1 : s->size[i];
    return out;
}

/* Smooth functions of what may be anything: log, sqrt and divisors see x^2 + 1/2. */
static struct value *positive(struct maker *m, struct value *x) {
    x = build_mul(&m->b, x, x);
    return build_add(&m->b, x, build_like(&m->b, x, 0.5));
}

static bool wants_positive(enum opcode code, int operand) {
    return code == OP_log || code == OP_sqrt || (code == OP_pow && operand == 0) ||
           (code == OP_div && operand == 1);
}

static struct op *make_map(struct maker *m, const struct row *row) {
    enum dtype dtype = random_dtype(m, row->dtypes);
    struct shape s = random_shape(m, 0, 4);
    int count = op_infos[row->code].operands;
    struct value *in[3];
    for (int i = 0; i < count; i++) {
        struct shape part = i && one_in(m, 2) ? narrower(m, &s) : s;
        in[i] = operand(m, row->code == OP_select && i == 0 ? DTYPE_bool : dtype, &part);
        if (m->is_graph && !m->is_exact && wants_positive(row->code, i))
            in[i] = positive(m, in[i]);
    }
    if (count > 1 && one_in(m, 3)) { /* the narrow one first */
        struct value *first = in[count - 2];
        if (row->code != OP_select && !(m->is_graph && wants_positive(row->code, row->code == OP_div))) {
            in[count - 2] = in[count - 1];
            in[count - 1] = first;
        }
    }
    return build(m, row, in, count, NULL, 0, NULL);
}

static struct op *make_cast(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 3);
    struct value *x = operand(m, random_dtype(m, row->dtypes), &s);
    return build(m, row, &x, 1, NULL, 0, typed(m, random_dtype(m, row->dtypes), &s));
}

static struct op *make_bitcast(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 3);
    enum dtype from = random_dtype(m, NUMBERS), to;
    do
        to = random_dtype(m, NUMBERS);
    while (dtype_bytes(to) != dtype_bytes(from));
    struct value *x = operand(m, from, &s);
    return build(m, row, &x, 1, NULL, 0, typed(m, to, &s));
}

/* ---- sources ---- */

static struct op *make_iota(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 1, 3);
    struct attr axis = attr_int(ATTR_axis, pick(m, s.rank));
    return build(m, row, NULL, 0, &axis, 1, typed(m, random_dtype(m, row->dtypes), &s));
}

static struct op *make_dim(struct maker *m, const struct row *row) {
    struct attr size = {.name = ATTR_size, .dim = dim_const(m->graph->types, pick(m, 100))};
    return build(m, row, NULL, 0, &size, 1, NULL);
}

static struct op *make_random_bits(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 3);
    struct value *key = key_operand(m);
    return build(m, row, &key, 1, NULL, 0, typed(m, DTYPE_u32, &s));
}

static struct op *make_random_fold(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 1);
    struct value *in[2] = {key_operand(m), NULL};
    in[1] = operand(m, one_in(m, 2) || m->is_graph ? DTYPE_i32 : DTYPE_u32, &s);
    return build(m, row, in, 2, NULL, 0, NULL);
}

/* ---- views ---- */

static struct op *make_reshape(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 4), to = {0};
    for (int i = 0; i < s.rank; i++) /* neighbours merge, axes of 1 appear, even ones split */
        if (to.rank > 0 && one_in(m, 2))
            to.size[to.rank - 1] *= s.size[i];
        else
            to.size[to.rank++] = s.size[i];
    for (int i = 0; i < to.rank && to.rank < 6; i++) {
        int64_t factor = one_in(m, 2) ? 2 : one_in(m, 2) ? 3 : 1;
        if (!one_in(m, 2) || to.size[i] % factor != 0)
            continue;
        memmove(to.size + i + 1, to.size + i, sizeof(int64_t) * (size_t)(to.rank - i));
        to.rank++;
        to.size[i] = factor;
        to.size[++i] /= factor;
    }
    struct value *x = operand(m, random_dtype(m, row->dtypes), &s);
    return build(m, row, &x, 1, NULL, 0, typed(m, x->type->dtype, &to));
}

static void shuffle(struct maker *m, int64_t *at, int count) {
    for (int i = 0; i < count; i++)
        at[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int k = pick(m, i + 1);
        int64_t other = at[i];
        at[i] = at[k];
        at[k] = other;
    }
}

static struct op *make_transpose(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 5);
    int64_t perm[AXES_MOST];
    shuffle(m, perm, s.rank);
    struct value *x = operand(m, random_dtype(m, row->dtypes), &s);
    struct attr attr = attr_ints(ATTR_perm, perm, s.rank);
    return build(m, row, &x, 1, &attr, 1, NULL);
}

static struct op *make_broadcast(struct maker *m, const struct row *row) {
    struct shape to = random_shape(m, 0, 4), from = {0};
    int64_t axes[AXES_MOST];
    for (int i = 0; i < to.rank; i++)
        if (!one_in(m, 3)) {
            axes[from.rank] = i;
            from.size[from.rank++] = one_in(m, 4) ? 1 : to.size[i];
        }
    struct value *x = operand(m, random_dtype(m, row->dtypes), &from);
    struct attr attr = attr_ints(ATTR_axes, axes, from.rank);
    return build(m, row, &x, 1, &attr, 1, typed(m, x->type->dtype, &to));
}

static struct op *make_slice(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 4), to = s;
    int64_t start[AXES_MOST], step[AXES_MOST];
    for (int i = 0; i < s.rank; i++) {
        step[i] = one_in(m, 2) ? 1 : 1 + pick(m, 3);
        int64_t most = s.size[i] ? (s.size[i] - 1) / step[i] + 1 : 0;
        to.size[i] = one_in(m, 3) || most == 0 ? most
                     : m->is_graph             ? 1 + pick(m, (int)most)
                                               : pick(m, (int)most + 1);
        int64_t span = to.size[i] ? (to.size[i] - 1) * step[i] : 0, room = s.size[i] - 1 - span;
        start[i] = to.size[i] && room > 0 ? pick(m, (int)room + 1) : 0;
        if (one_in(m, 4)) { /* backwards over the same elements */
            start[i] += span;
            step[i] = -step[i];
        }
    }
    struct value *x = operand(m, random_dtype(m, row->dtypes), &s);
    struct attr attrs[] = {attr_dims(m, ATTR_start, start, s.rank), attr_ints(ATTR_step, step, s.rank)};
    return build(m, row, &x, 1, attrs, 2, typed(m, x->type->dtype, &to));
}

static struct op *make_pad(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 4);
    int64_t lo[AXES_MOST], hi[AXES_MOST], interior[AXES_MOST];
    for (int i = 0; i < s.rank; i++) {
        bool crops = s.size[i] > 4 && one_in(m, 4);
        lo[i] = one_in(m, 2) ? 0 : pick(m, 4) - (crops ? 2 : 0);
        hi[i] = one_in(m, 2) ? 0 : pick(m, 4) - (crops ? 2 : 0);
        interior[i] = one_in(m, 4) ? 1 + pick(m, 2) : 0;
    }
    enum dtype dtype = random_dtype(m, row->dtypes);
    struct value *x = operand(m, dtype, &s);
    double value = one_in(m, 2) ? 0 : dtype_is_float(dtype) ? 0.5 : 1;
    struct attr attrs[] = {attr_dims(m, ATTR_lo, lo, s.rank),
                           attr_dims(m, ATTR_hi, hi, s.rank),
                           attr_ints(ATTR_interior, interior, s.rank),
                           {.name = ATTR_value, .f = value}};
    return build(m, row, &x, 1, attrs, 4, NULL);
}

static struct op *make_concat(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 1, 4);
    int count = 1 + pick(m, 4), axis = pick(m, s.rank);
    enum dtype dtype = random_dtype(m, row->dtypes);
    struct value *in[4];
    for (int i = 0; i < count; i++) {
        struct shape part = s;
        part.size[axis] = one_in(m, 2) ? s.size[axis] : 1 + pick(m, 5);
        in[i] = operand(m, dtype, &part);
    }
    struct attr attr = attr_int(ATTR_axis, axis);
    return build(m, row, in, count, &attr, 1, NULL);
}

static struct shape part_of(struct maker *m, const struct shape *s) {
    struct shape part = *s;
    for (int i = 0; i < s->rank; i++)
        if (part.size[i] > 0 && !one_in(m, 3))
            part.size[i] = 1 + pick(m, (int)part.size[i]);
    return part;
}

static int add_indices(struct maker *m, struct value **in, int count, int rank) {
    struct shape scalar = {0};
    for (int i = 0; i < rank; i++)
        in[count++] = operand(m, DTYPE_i32, &scalar);
    return count;
}

static struct op *make_dynamic_slice(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 3), part = part_of(m, &s);
    struct value *in[AXES_MOST] = {operand(m, random_dtype(m, row->dtypes), &s)};
    int count = add_indices(m, in, 1, s.rank);
    return build(m, row, in, count, NULL, 0, typed(m, in[0]->type->dtype, &part));
}

static struct op *make_dynamic_update(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 3), part = part_of(m, &s);
    struct value *in[AXES_MOST] = {operand(m, random_dtype(m, row->dtypes), &s)};
    in[1] = operand(m, in[0]->type->dtype, &part);
    int count = add_indices(m, in, 2, s.rank);
    return build(m, row, in, count, NULL, 0, NULL);
}

/* The shapes of gather: x, index, and the result. */
struct lookup {
    struct shape x, index, result;
    int axis, batch;
};

static struct lookup random_lookup(struct maker *m) {
    struct lookup l;
    do {
        l.x = random_shape(m, 1, 3);
        l.axis = pick(m, l.x.rank);
        l.batch = pick(m, l.axis + 1);
        l.index = random_shape(m, 0, 2);
        if (l.x.size[l.axis] == 0)
            l.x.size[l.axis] = 1;
        memmove(l.index.size + l.batch, l.index.size, sizeof(int64_t) * (size_t)l.index.rank);
        memcpy(l.index.size, l.x.size, sizeof(int64_t) * (size_t)l.batch);
        l.index.rank += l.batch;
        l.result = (struct shape){0};
        for (int i = 0; i < l.axis; i++)
            l.result.size[l.result.rank++] = l.x.size[i];
        for (int i = l.batch; i < l.index.rank; i++)
            l.result.size[l.result.rank++] = l.index.size[i];
        for (int i = l.axis + 1; i < l.x.rank; i++)
            l.result.size[l.result.rank++] = l.x.size[i];
    } while (count_of(&l.result) > ELEMENTS_MOST || count_of(&l.index) > ELEMENTS_MOST);
    return l;
}

static struct op *make_gather(struct maker *m, const struct row *row) {
    struct lookup l = random_lookup(m);
    struct value *in[2] = {operand(m, random_dtype(m, row->dtypes), &l.x), NULL};
    in[1] = index_operand(m, &l.index, l.x.size[l.axis]);
    struct attr attrs[] = {attr_int(ATTR_axis, l.axis), attr_int(ATTR_batch, l.batch)};
    return build(m, row, in, 2, attrs, 2, NULL);
}

static struct op *make_scatter(struct maker *m, const struct row *row) {
    static const char *const kinds[] = {"add", "set", "max"};
    struct lookup l = random_lookup(m);
    struct value *in[3] = {operand(m, random_dtype(m, row->dtypes), &l.x), NULL, NULL};
    in[1] = index_operand(m, &l.index, l.x.size[l.axis]);
    in[2] = operand(m, in[0]->type->dtype, &l.result);
    struct attr attrs[] = {attr_int(ATTR_axis, l.axis), attr_int(ATTR_batch, l.batch),
                           attr_string(m, ATTR_kind, kinds[pick(m, 3)])};
    return build(m, row, in, 3, attrs, 3, NULL);
}

/* ---- along axes ---- */

static struct op *make_sort(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 1, 3);
    struct value *x = operand(m, random_dtype(m, row->dtypes), &s);
    struct attr attrs[] = {attr_int(ATTR_axis, pick(m, s.rank)), attr_int(ATTR_descending, pick(m, 2))};
    return build(m, row, &x, 1, attrs, 2, NULL);
}

/* Of products the factors are near 1, or they leave every range. */
static const char *random_kind(struct maker *m, enum dtype dtype) {
    static const char *const kinds[] = {"max", "min", "sum", "prod"};
    const char *kind = kinds[pick(m, dtype == DTYPE_bool ? 2 : m->is_graph ? 3 : 4)];
    if (kind == kinds[3] && dtype_is_float(dtype)) {
        m->floats = (struct random_input){FILL_REAL, 0.95, 1.05};
        m->exactness = SUMMED;
    }
    return kind;
}

static struct op *make_reduce(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 0, 4);
    int64_t axes[AXES_MOST];
    int count = 0;
    for (int i = 0; i < s.rank; i++)
        if (one_in(m, 2))
            axes[count++] = i;
    enum dtype dtype = random_dtype(m, row->dtypes);
    const char *kind = random_kind(m, dtype);
    struct value *x = operand(m, dtype, &s);
    struct attr attrs[] = {attr_ints(ATTR_axes, axes, count), attr_string(m, ATTR_kind, kind)};
    return build(m, row, &x, 1, attrs, 2, NULL);
}

static struct op *make_arg_reduce(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 1, 3);
    int axis = pick(m, s.rank);
    if (s.size[axis] == 0)
        s.size[axis] = 1;
    struct value *x = operand(m, random_dtype(m, row->dtypes), &s);
    struct attr attrs[] = {attr_int(ATTR_axis, axis),
                           attr_string(m, ATTR_kind, one_in(m, 2) ? "max" : "min")};
    return build(m, row, &x, 1, attrs, 2, NULL);
}

static struct op *make_scan(struct maker *m, const struct row *row) {
    struct shape s = random_shape(m, 1, 3);
    enum dtype dtype = random_dtype(m, row->dtypes);
    const char *kind = random_kind(m, dtype);
    struct value *x = operand(m, dtype, &s);
    /* An infinity beside a convolution's padding is NaN, or is not, as the padding is multiplied or not. */
    bool begins_with_inf = m->is_graph && kind[0] == 'm', exclusive = pick(m, 2) && !begins_with_inf;
    struct attr attrs[] = {attr_int(ATTR_axis, pick(m, s.rank)), attr_string(m, ATTR_kind, kind),
                           attr_int(ATTR_exclusive, exclusive), attr_int(ATTR_reverse, pick(m, 2))};
    return build(m, row, &x, 1, attrs, 4, NULL);
}

/* ---- windows ---- */

struct window {
    struct shape image, places; /* places: [.., o.., k..] */
    int64_t size[3], step[3], dilation[3];
    int axes;
};

static struct window random_window(struct maker *m) {
    struct window w;
    do {
        w.image = random_shape(m, 1, 4);
        w.axes = 1 + pick(m, w.image.rank < 3 ? w.image.rank : 3);
        w.places = w.image;
        for (int i = 0; i < w.axes; i++) {
            int64_t *image = &w.image.size[w.image.rank - w.axes + i];
            w.size[i] = 1 + pick(m, 4);
            w.step[i] = 1 + pick(m, 3);
            w.dilation[i] = one_in(m, 3) ? 2 : 1;
            int64_t extent = (w.size[i] - 1) * w.dilation[i] + 1;
            *image = *image < extent ? extent : *image;
            w.places.size[w.image.rank - w.axes + i] = (*image - extent) / w.step[i] + 1;
            w.places.size[w.places.rank++] = w.size[i];
        }
    } while (w.places.rank > 6 || count_of(&w.places) > 4 * ELEMENTS_MOST);
    return w;
}

static struct op *make_windows(struct maker *m, const struct row *row) {
    struct window w = random_window(m);
    bool opens = row->code == OP_windows;
    struct value *x = operand(m, random_dtype(m, row->dtypes), opens ? &w.image : &w.places);
    struct attr attrs[] = {attr_ints(ATTR_window, w.size, w.axes), attr_ints(ATTR_step, w.step, w.axes),
                           attr_ints(ATTR_dilation, w.dilation, w.axes)};
    return build(m, row, &x, 1, attrs, 3, opens ? NULL : typed(m, x->type->dtype, &w.image));
}

/* ---- contractions ---- */

enum {
    SIDE_MOST = 16000,      /* elements of an operand */
    SUM_MOST = 16000,       /* terms of a sum: it is exact on a grid */
    PRODUCTS_MOST = 400000, /* what the evaluator computes in a few milliseconds */
    WIDE_TIMES = 6
};

/* The axes of one side of a dot: which of them are batch axes, free, contracted, in a random order. */
struct side {
    struct shape shape;
    int64_t batch[2], contract[2];
    int64_t free; /* the product of the free axes */
};

static struct side random_side(struct maker *m, const struct shape *batch, const struct shape *contract,
                               int free) {
    int rank = batch->rank + contract->rank + free;
    struct side s = {.shape = {.rank = rank}, .free = 1};
    int64_t order[AXES_MOST];
    shuffle(m, order, rank);
    for (int i = 0; i < rank; i++) {
        int k = i - batch->rank;
        int64_t at = order[i];
        if (k < 0)
            s.shape.size[s.batch[i] = at] = batch->size[i];
        else if (k < contract->rank)
            s.shape.size[s.contract[k] = at] = contract->size[k];
        else
            s.free *= s.shape.size[at] = random_size(m);
    }
    return s;
}

/* A kernel may cast what it reads. */
static struct value *cast_operand(struct maker *m, enum dtype dtype, const struct shape *s) {
    if (m->is_graph || dtype == DTYPE_i8 || !one_in(m, 4))
        return operand(m, dtype, s);
    struct value *x = operand(m, random_dtype(m, FLOATS | I8), s);
    return x->type->dtype == dtype ? x : build_cast(&m->b, x, dtype);
}

static struct op *make_dot(struct maker *m, const struct row *row) {
    struct shape batch, contract;
    struct side side[2];
    int64_t free = 0, work = 0, wide = m->is_wide ? WIDE_TIMES : 1;
    do {
        batch = one_in(m, 2) ? (struct shape){0} : random_shape(m, 0, 2);
        contract = random_shape(m, one_in(m, 8) ? 0 : 1, one_in(m, 3) ? 2 : 1);
        side[0] = random_side(m, &batch, &contract, pick(m, 3));
        side[1] = random_side(m, &batch, &contract, pick(m, 3));
        free = side[0].free * side[1].free;
        work = free * count_of(&batch) * count_of(&contract);
    } while (count_of(&side[0].shape) > SIDE_MOST * wide || count_of(&side[1].shape) > SIDE_MOST * wide ||
             count_of(&contract) > SUM_MOST || work > PRODUCTS_MOST * wide ||
             free * count_of(&batch) > (m->is_graph ? ELEMENTS_MOST : SIDE_MOST) * wide);
    enum dtype dtype = random_dtype(m, row->dtypes);
    struct value *in[2] = {cast_operand(m, dtype, &side[0].shape), NULL};
    in[1] = cast_operand(m, dtype, &side[1].shape);
    struct attr attrs[] = {attr_ints(ATTR_lhs_batch, side[0].batch, batch.rank),
                           attr_ints(ATTR_rhs_batch, side[1].batch, batch.rank),
                           attr_ints(ATTR_lhs_contract, side[0].contract, contract.rank),
                           attr_ints(ATTR_rhs_contract, side[1].contract, contract.rank)};
    return build(m, row, in, 2, attrs, 4, NULL);
}

struct convolution {
    int axes;
    int64_t stride[3], lo[3], hi[3], dilation[3], spread[3], groups;
    struct shape x, w, y;
};

/* Half of them are as in image models: one stride, padding that keeps the size, no groups. */
static struct convolution random_convolution(struct maker *m) {
    static const int64_t channels[] = {1, 2, 3, 4, 6, 8, 16, 24, 32};
    struct convolution c;
    int64_t work, wide = m->is_wide ? WIDE_TIMES : 1;
    do {
        bool plain = one_in(m, 2);
        c.axes = one_in(m, 2) ? 2 : 1 + pick(m, 3);
        c.groups = plain || one_in(m, 2) ? 1 : 1 + pick(m, 4);
        int64_t in = limited(m, channels[pick(m, 9)]), out = limited(m, channels[pick(m, 9)]);
        c.x = (struct shape){2 + c.axes, {1 + pick(m, 3), in * c.groups}};
        c.w = (struct shape){2 + c.axes, {out * c.groups, in}};
        c.y = (struct shape){2 + c.axes, {c.x.size[0], c.w.size[0]}};
        int64_t stride = 1 + pick(m, 2), kernel = 1 + pick(m, 5);
        for (int i = 0; i < c.axes; i++) {
            int64_t k = plain ? kernel : 1 + pick(m, 5), n = 1 + pick(m, c.axes == 1   ? 60
                                                                         : c.axes == 2 ? 18
                                                                                       : 7);
            n = limited(m, n);
            c.stride[i] = plain ? stride : 1 + pick(m, 3);
            c.dilation[i] = plain || one_in(m, 2) ? 1 : 1 + pick(m, 2);
            c.spread[i] = plain || one_in(m, 2) ? 1 : 1 + pick(m, 3);
            c.lo[i] = plain ? k / 2 : pick(m, 4) - (one_in(m, 4) ? 1 : 0);
            c.hi[i] = plain ? k / 2 : pick(m, 4) - (one_in(m, 4) ? 1 : 0);
            int64_t extent = (k - 1) * c.dilation[i] + 1;
            while ((n - 1) * c.spread[i] + 1 + c.lo[i] + c.hi[i] < extent)
                n++;
            c.x.size[2 + i] = n;
            c.w.size[2 + i] = k;
            c.y.size[2 + i] = ((n - 1) * c.spread[i] + 1 + c.lo[i] + c.hi[i] - extent) / c.stride[i] + 1;
        }
        work = count_of(&c.y) * count_of(&c.w) / c.w.size[0];
    } while (work > PRODUCTS_MOST * wide || count_of(&c.x) > SIDE_MOST * wide || count_of(&c.w) > SIDE_MOST ||
             count_of(&c.y) > (m->is_graph ? ELEMENTS_MOST : SIDE_MOST) * wide ||
             count_of(&c.y) / c.y.size[1] > SUM_MOST);
    return c;
}

static struct op *make_conv(struct maker *m, const struct row *row) {
    struct convolution c = random_convolution(m);
    enum dtype dtype = random_dtype(m, row->dtypes);
    bool forward = row->code == OP_conv;
    struct value *in[2] = {cast_operand(m, dtype, &c.x), NULL};
    in[1] = cast_operand(m, dtype, forward ? &c.w : &c.y);
    struct attr attrs[] = {
        attr_ints(ATTR_stride, c.stride, c.axes),       attr_ints(ATTR_pad_lo, c.lo, c.axes),
        attr_ints(ATTR_pad_hi, c.hi, c.axes),           attr_ints(ATTR_dilation, c.dilation, c.axes),
        attr_ints(ATTR_lhs_dilation, c.spread, c.axes), attr_int(ATTR_groups, c.groups)};
    return build(m, row, in, 2, attrs, 6, forward ? NULL : typed(m, dtype, &c.w));
}

static const struct row rows[] = {
    {OP_iota, make_iota, INTS, EXACT, IN_EXACT, 0, 0},
    {OP_dim, make_dim, 1 << DTYPE_i64, EXACT, 0, 0, 0},
    {OP_random_bits, make_random_bits, 1 << DTYPE_u32, EXACT, IN_EXACT, 0, 0},
    {OP_random_fold, make_random_fold, 1 << DTYPE_u32, EXACT, IN_EXACT, 0, 0},
    {OP_stop_gradient, make_map, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_add, make_map, NUMBERS, EXACT, IN_BOTH, 0, 0},
    {OP_sub, make_map, NUMBERS, EXACT, IN_BOTH, 0, 0},
    {OP_mul, make_map, NUMBERS, EXACT, IN_BOTH, 0, 0},
    {OP_div, make_map, NUMBERS, EXACT, IN_SMOOTH, 0, 0},
    {OP_mod, make_map, NUMBERS, EXACT, 0, 0, 0},
    {OP_pow, make_map, FLOATS, ROUNDED, IN_SMOOTH, 0.1, 4},
    {OP_max, make_map, NUMBERS, EXACT, IN_BOTH, 0, 0},
    {OP_min, make_map, NUMBERS, EXACT, IN_BOTH, 0, 0},
    {OP_atan2, make_map, FLOATS, ROUNDED, 0, -4, 4},
    {OP_neg, make_map, NUMBERS, EXACT, IN_BOTH, 0, 0},
    {OP_abs, make_map, NUMBERS, EXACT, IN_BOTH, 0, 0},
    {OP_sign, make_map, NUMBERS, EXACT, IN_EXACT, 0, 0},
    {OP_floor, make_map, FLOATS, EXACT, IN_EXACT, 0, 0},
    {OP_round, make_map, FLOATS, EXACT, IN_EXACT, 0, 0},
    {OP_exp, make_map, FLOATS, ROUNDED, IN_SMOOTH, -10, 10},
    {OP_expm1, make_map, FLOATS, ROUNDED, IN_SMOOTH, -10, 10},
    {OP_log, make_map, FLOATS, ROUNDED, IN_SMOOTH, 0, 10},
    {OP_log1p, make_map, FLOATS, ROUNDED, 0, -1, 10},
    {OP_sqrt, make_map, FLOATS, EXACT, IN_SMOOTH, 0, 10},
    {OP_sin, make_map, FLOATS, ROUNDED, IN_SMOOTH, -10, 10},
    {OP_cos, make_map, FLOATS, ROUNDED, IN_SMOOTH, -10, 10},
    {OP_tanh, make_map, FLOATS, ROUNDED, IN_SMOOTH, -10, 10},
    {OP_erf, make_map, FLOATS, ROUNDED, IN_SMOOTH, -5, 5},
    {OP_erfc, make_map, FLOATS, ROUNDED, IN_SMOOTH, -5, 5},
    {OP_gelu, make_map, FLOATS, ROUNDED, IN_SMOOTH, -8, 8},
    {OP_eq, make_map, ANY, EXACT, IN_EXACT, 0, 0},
    {OP_ne, make_map, ANY, EXACT, IN_EXACT, 0, 0},
    {OP_lt, make_map, ANY, EXACT, IN_EXACT, 0, 0},
    {OP_le, make_map, ANY, EXACT, IN_EXACT, 0, 0},
    {OP_and, make_map, INTS | BOOL, EXACT, IN_EXACT, 0, 0},
    {OP_or, make_map, INTS | BOOL, EXACT, IN_EXACT, 0, 0},
    {OP_xor, make_map, INTS | BOOL, EXACT, IN_EXACT, 0, 0},
    {OP_not, make_map, INTS | BOOL, EXACT, IN_EXACT, 0, 0},
    {OP_shl, make_map, INTS, EXACT, IN_EXACT, 0, 0},
    {OP_shr, make_map, INTS, EXACT, IN_EXACT, 0, 0},
    {OP_select, make_map, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_cast, make_cast, ANY, EXACT, IN_EXACT, 0, 0},
    {OP_bitcast, make_bitcast, NUMBERS, EXACT, 0, 0, 0},
    {OP_reshape, make_reshape, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_transpose, make_transpose, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_broadcast, make_broadcast, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_slice, make_slice, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_pad, make_pad, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_concat, make_concat, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_dynamic_slice, make_dynamic_slice, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_dynamic_update, make_dynamic_update, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_gather, make_gather, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_scatter, make_scatter, NUMBERS, SUMMED, IN_BOTH, 0, 0},
    {OP_sort, make_sort, NUMBERS, EXACT, IN_EXACT, 0, 0},
    {OP_windows, make_windows, ANY, EXACT, IN_BOTH, 0, 0},
    {OP_fold, make_windows, NUMBERS, SUMMED, IN_BOTH, 0, 0},
    {OP_reduce, make_reduce, ANY, SUMMED, IN_BOTH, 0, 0},
    {OP_arg_reduce, make_arg_reduce, ANY, EXACT, IN_EXACT, 0, 0},
    {OP_scan, make_scan, NUMBERS, SUMMED, IN_BOTH, 0, 0},
    {OP_dot, make_dot, FLOATS | I8, SUMMED, IN_BOTH, 0, 0},
    {OP_conv, make_conv, FLOATS, SUMMED, IN_BOTH, 0, 0},
    {OP_conv_wgrad, make_conv, FLOATS, SUMMED, IN_BOTH, 0, 0},
};
enum { ROWS = sizeof(rows) / sizeof(*rows) };

static const struct row *find_row(enum opcode code) {
    for (int i = 0; i < ROWS; i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

bool random_knows(enum opcode code) {
    return find_row(code) != NULL;
}

/* Which inputs one operator gets, and what that means for its result. */
static void choose_inputs(struct maker *m, const struct row *row) {
    bool anywhere = row->lo == row->hi;
    m->floats = (struct random_input){FILL_REAL, anywhere ? -4 : row->lo, anywhere ? 4 : row->hi};
    m->exactness = row->exactness;
    int what = pick(m, 3);
    if (row->exactness == SUMMED && what == 0) {
        m->floats.fill = FILL_GRID;
        m->exactness = EXACT;
    } else if (row->exactness != SUMMED && what < 2) {
        m->floats.fill = what == 0 ? FILL_SPECIAL : anywhere ? FILL_GRID : FILL_REAL;
    }
}

struct random_function random_operator(struct graph *graph, const char *name, enum opcode code, uint32_t seed,
                                       int limit, struct diags *diags) {
    const struct row *row = find_row(code);
    struct maker m = {.graph = graph, .random = seed, .limit = limit};
    m.is_wide = one_in(&m, 12);
    function_begin(&m, name, FUNCTION_FN, diags);
    choose_inputs(&m, row);
    struct op *op = row->make(&m, row);
    return op ? function_end(&m, op->out, op->out_count, m.exactness) : (struct random_function){0};
}

struct op *random_op(struct maker *m, bool elementwise) {
    const struct row *row;
    do
        row = &rows[pick(m, elementwise ? ROWS / 2 : ROWS)]; /* elementwise operators stand in front */
    while (!(row->graphs & (m->is_exact ? IN_EXACT : IN_SMOOTH)) || row->code == OP_cast ||
           (m->is_differentiable && row->code == OP_stop_gradient));
    m->floats.hi = row->code == OP_exp || row->code == OP_expm1 || row->code == OP_pow ? 2 : 4;
    return row->make(m, row);
}
