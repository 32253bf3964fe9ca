/* frontend/builtins_shape.c: functions that move elements: reshape, transpose, concat, pad and what follows
 * from them. */
#include "frontend/builtin.h"

/* ---- reshape ---- */

/* The one -1 of a shape becomes what is left of the elements. false: reported. */
static bool fill_rest(struct elab *e, const struct builtin_call *c, const struct type *from,
                      const struct dim **dims, int count) {
    int rest = -1;
    const struct dim *known = dim_const(e->types, 1);
    for (int i = 0; i < count; i++) {
        bool is_rest = dim_is_const(dims[i]) && dim_value(dims[i]) == -1;
        if (is_rest && rest >= 0) {
            report_error(e, c->spans[1], E_SHAPE, "one size of a shape can be -1");
            return false;
        }
        if (is_rest)
            rest = i;
        else
            known = dim_mul(e->types, known, dims[i]);
    }
    if (rest < 0)
        return true;
    const struct dim *all = type_count(e->types, from);
    if (dim_is_const(all) && dim_is_const(known) &&
        (dim_value(known) == 0 || dim_value(all) % dim_value(known) != 0)) {
        report_error(e, c->spans[1], E_SHAPE,
                     "no size makes this shape of %s: %s does not divide its %s elements",
                     type_text(e->types, from), dim_text(e->types, known), dim_text(e->types, all));
        return false;
    }
    struct datum size = divide_sizes(e, all, known, c->span);
    if (size.kind != DATUM_INT)
        return false;
    dims[rest] = size.size;
    return true;
}

static struct datum run_reshape(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int count;
    const struct dim **dims = x ? arg_dims(e, c, 1, &count) : NULL;
    if (!dims || !fill_rest(e, c, x->type, dims, count) || !sizes_are_natural(e, dims, count, c->spans[1]))
        return datum_error();
    return datum_tensor(build_reshape(&e->b, x, count, dims));
}

/* ---- transpose, flip ---- */

static bool is_permutation(const int64_t *perm, int rank) {
    uint64_t seen = 0;
    for (int i = 0; i < rank; i++) {
        if (perm[i] < 0 || perm[i] >= rank || rank > 63 || (seen >> perm[i] & 1))
            return false;
        seen |= UINT64_C(1) << perm[i];
    }
    return true;
}

static struct datum run_transpose(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    if (!x)
        return datum_error();
    int rank = x->type->rank;
    int64_t *perm;
    if (c->given[1]) {
        perm = arg_ints(e, c, 1, rank, NULL);
        if (!perm)
            return datum_error();
        for (int i = 0; i < rank; i++)
            perm[i] += perm[i] < 0 ? rank : 0;
    } else { /* the last two change places */
        perm = ARENA_ARRAY(e->arena, int64_t, rank);
        for (int i = 0; i < rank; i++)
            perm[i] = i;
        if (rank >= 2) {
            perm[rank - 2] = rank - 1;
            perm[rank - 1] = rank - 2;
        }
    }
    if (!is_permutation(perm, rank))
        return fail(e, c->spans[1], E_INDEX, "the axes of %s are not each named once",
                    type_text(e->types, x->type));
    return datum_tensor(build_transpose(&e->b, x, perm));
}

/* x[start + i * step] along one axis. */
static struct value *slice_axis(struct elab *e, struct value *x, int axis, const struct dim *start,
                                int64_t step, const struct dim *size) {
    int rank = x->type->rank;
    const struct dim **starts = ARENA_ARRAY(e->arena, const struct dim *, rank),
                     **sizes = ARENA_ARRAY(e->arena, const struct dim *, rank);
    int64_t *steps = ARENA_ARRAY(e->arena, int64_t, rank);
    for (int i = 0; i < rank; i++) {
        starts[i] = i == axis ? start : dim_const(e->types, 0);
        sizes[i] = i == axis ? size : x->type->dims[i];
        steps[i] = i == axis ? step : 1;
    }
    return build_slice(&e->b, x, starts, steps, sizes);
}

static struct datum run_flip(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int count;
    int64_t *axes = x ? arg_axes(e, c, 1, x->type->rank, &count) : NULL;
    for (int i = 0; axes && i < count && x; i++) {
        const struct dim *size = x->type->dims[axes[i]];
        x = slice_axis(e, x, (int)axes[i], dim_sub(e->types, size, dim_const(e->types, 1)), -1, size);
    }
    return datum_tensor(axes ? x : NULL);
}

/* ---- broadcast, repeat ---- */

static struct datum run_broadcast(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int count;
    const struct dim **dims = x ? arg_shape(e, c, 1, &count) : NULL;
    if (!dims)
        return datum_error();
    return datum_tensor(build_broadcast_to(&e->b, x, type_with_dims(e->types, x->type, count, dims)));
}

static struct datum repeat_list(struct elab *e, const struct builtin_call *c) {
    const struct list *items;
    int64_t n;
    if (!arg_items(e, c, 0, &items) || !arg_int(e, c, 1, &n))
        return datum_error();
    VEC(struct datum) out = {0};
    if (n > 0 && items->count > MAX_LIST / n)
        return fail(e, c->span, E_UNSUPPORTED, "a list of more than %d elements", MAX_LIST);
    for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < items->count; i++)
            VEC_PUSH(e->arena, &out, items->at[i]);
    return datum_list(e->arena, out.at, out.count);
}

/* Each row n times: a new axis behind, broadcast, and merged. */
static struct datum run_repeat(struct elab *e, const struct builtin_call *c) {
    if (datum_is_sequence(c->args[0]) || c->args[0].kind == DATUM_RANGE)
        return repeat_list(e, c);
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int axis;
    if (!x || !arg_axis(e, c, 2, x->type->rank, &axis))
        return datum_error();
    if (c->args[1].kind != DATUM_INT)
        return fail(e, c->spans[1], E_TYPE, "an int is wanted, this is %s", describe(e, c->args[1]));
    int rank = x->type->rank;
    const struct dim *n = c->args[1].size;
    const struct dim **wide = ARENA_ARRAY(e->arena, const struct dim *, rank + 1),
                     **merged = ARENA_ARRAY(e->arena, const struct dim *, rank);
    int64_t *axes = ARENA_ARRAY(e->arena, int64_t, rank);
    for (int i = 0; i < rank; i++) {
        axes[i] = i + (i > axis);
        wide[axes[i]] = x->type->dims[i];
        merged[i] = i == axis ? dim_mul(e->types, x->type->dims[i], n) : x->type->dims[i];
    }
    wide[axis + 1] = n;
    struct value *y = build_broadcast(&e->b, x, type_with_dims(e->types, x->type, rank + 1, wide), axes);
    return datum_tensor(y ? build_reshape(&e->b, y, rank, merged) : NULL);
}

/* ---- concat, stack ---- */

/* The elements as tensors of one dtype: that of the first tensor among them, or their numbers' own. */
static struct value **tensors_of(struct elab *e, const struct builtin_call *c, const struct list *items) {
    int dtype = DTYPE_ANY;
    bool has_float = false;
    for (int i = 0; i < items->count; i++) {
        if (items->at[i].kind == DATUM_TENSOR && dtype == DTYPE_ANY)
            dtype = (int)items->at[i].tensor->type->dtype;
        has_float |= items->at[i].kind == DATUM_FLOAT;
    }
    if (dtype == DTYPE_ANY && has_float)
        dtype = (int)default_float(e);
    struct value **xs = ARENA_ARRAY(e->arena, struct value *, items->count);
    for (int i = 0; i < items->count; i++) {
        struct datum d = items->at[i];
        xs[i] = datum_is_sequence(d) ? tensor_of_list(e, d, dtype, c->spans[0])
                                     : to_tensor(e, d, dtype, c->spans[0]);
        if (!xs[i])
            return NULL;
    }
    return xs;
}

static struct datum run_concat(struct elab *e, const struct builtin_call *c) {
    const struct list *items;
    if (!arg_items(e, c, 0, &items))
        return datum_error();
    if (items->count == 0)
        return fail(e, c->spans[0], E_TYPE, "concat of an empty list");
    struct value **xs = tensors_of(e, c, items);
    int axis = 0;
    if (!xs || (c->given[1] && !arg_axis(e, c, 1, xs[0]->type->rank, &axis)))
        return datum_error();
    return datum_tensor(items->count == 1 ? xs[0] : build_concat(&e->b, xs, items->count, axis));
}

static struct value *with_new_axis(struct elab *e, struct value *x, int axis) {
    int rank = x->type->rank;
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, rank + 1);
    for (int i = 0; i <= rank; i++)
        dims[i] = i == axis ? dim_const(e->types, 1) : x->type->dims[i - (i > axis)];
    return build_reshape(&e->b, x, rank + 1, dims);
}

static struct datum run_stack(struct elab *e, const struct builtin_call *c) {
    const struct list *items;
    if (!arg_items(e, c, 0, &items))
        return datum_error();
    if (items->count == 0)
        return fail(e, c->spans[0], E_TYPE, "stack of an empty list");
    struct value **xs = tensors_of(e, c, items);
    int axis = 0;
    if (!xs || (c->given[1] && !arg_axis(e, c, 1, xs[0]->type->rank + 1, &axis)))
        return datum_error();
    for (int i = 0; i < items->count; i++) {
        if (xs[i]->type->rank < axis)
            return fail(e, c->spans[0], E_SHAPE, "the tensors of a stack have one shape");
        xs[i] = with_new_axis(e, xs[i], axis);
        if (!xs[i])
            return datum_error();
    }
    return datum_tensor(items->count == 1 ? xs[0] : build_concat(&e->b, xs, items->count, axis));
}

/* ---- chunk, split ---- */

static struct datum pieces(struct elab *e, struct value *x, int axis, const struct dim *const *sizes,
                           int count) {
    struct datum *items = ARENA_ARRAY(e->arena, struct datum, count);
    const struct dim *start = dim_const(e->types, 0);
    for (int i = 0; i < count; i++) {
        struct value *piece = slice_axis(e, x, axis, start, 1, sizes[i]);
        if (!piece)
            return datum_error();
        items[i] = datum_tensor(piece);
        start = dim_add(e->types, start, sizes[i]);
    }
    return datum_list(e->arena, items, count);
}

static struct datum run_chunk(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int64_t n;
    int axis = 0;
    if (!x || !arg_int(e, c, 1, &n) || (c->given[2] && !arg_axis(e, c, 2, x->type->rank, &axis)))
        return datum_error();
    if (n < 1 || n > 65536 || x->type->rank == 0)
        return fail(e, c->spans[1], E_INDEX, "%s cannot be cut into %lld chunks",
                    type_text(e->types, x->type), (long long)n);
    const struct dim *whole = x->type->dims[axis];
    if (dim_is_const(whole) && dim_value(whole) % n != 0)
        return fail(e, c->spans[1], E_DIM, "axis %d of %s cannot be cut into %lld equal chunks", axis,
                    type_text(e->types, x->type), (long long)n);
    struct datum size = divide_sizes(e, whole, dim_const(e->types, n), c->span);
    if (size.kind != DATUM_INT)
        return datum_error();
    const struct dim **sizes = ARENA_ARRAY(e->arena, const struct dim *, n);
    for (int i = 0; i < n; i++)
        sizes[i] = size.size;
    return pieces(e, x, axis, sizes, (int)n);
}

static struct datum run_split(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    int count, axis = 0;
    const struct dim **sizes = x ? arg_dims(e, c, 1, &count) : NULL;
    if (!sizes || (c->given[2] && !arg_axis(e, c, 2, x->type->rank, &axis)))
        return datum_error();
    const struct dim *sum = dim_const(e->types, 0);
    for (int i = 0; i < count; i++)
        sum = dim_add(e->types, sum, sizes[i]);
    if (x->type->rank == 0 || sum != x->type->dims[axis])
        return fail(e, c->spans[1], E_SHAPE, "the sizes add up to %s, but axis %d of %s is %s",
                    dim_text(e->types, sum), axis, type_text(e->types, x->type),
                    x->type->rank > 0 ? dim_text(e->types, x->type->dims[axis]) : "missing");
    return pieces(e, x, axis, sizes, count);
}

/* ---- pad ---- */

static bool pad_pair(struct datum d, const struct dim **lo, const struct dim **hi) {
    bool is_pair = datum_is_sequence(d) && d.list->count == 2 && d.list->at[0].kind == DATUM_INT &&
                   d.list->at[1].kind == DATUM_INT;
    if (is_pair) {
        *lo = d.list->at[0].size;
        *hi = d.list->at[1].size;
    }
    return is_pair;
}

static struct datum run_pad(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    const struct list *items;
    if (!x || !arg_items(e, c, 1, &items))
        return datum_error();
    int rank = x->type->rank;
    const struct dim **lo = ARENA_ARRAY(e->arena, const struct dim *, rank),
                     **hi = ARENA_ARRAY(e->arena, const struct dim *, rank);
    if (items->count != rank)
        return fail(e, c->spans[1], E_SHAPE, "%d pair%s for the %d axes of %s", items->count,
                    items->count == 1 ? "" : "s", rank, type_text(e->types, x->type));
    for (int i = 0; i < rank; i++)
        if (!pad_pair(items->at[i], &lo[i], &hi[i])) {
            hint_argument(report_error(e, c->spans[1], E_TYPE,
                                       "an axis is padded by a pair (before, behind), this is %s",
                                       describe(e, items->at[i])),
                          c->builtin->name);
            return datum_error();
        }
    double value = 0.0;
    if (c->given[2] && c->args[2].kind == DATUM_FLOAT)
        value = c->args[2].number;
    else if (c->given[2] && datum_is_known_int(c->args[2]))
        value = (double)dim_value(c->args[2].size);
    else if (c->given[2])
        return fail(e, c->spans[2], E_TYPE, "the value to pad with is a number, this is %s",
                    describe(e, c->args[2]));
    return datum_tensor(build_pad(&e->b, x, lo, hi, ARENA_ARRAY(e->arena, int64_t, rank), value));
}

const struct builtin builtins_shape[] = {
    {"reshape", "x shape", run_reshape, 0},
    {"transpose", "x perm?", run_transpose, 0},
    {"flip", "x axis", run_flip, 0},
    {"broadcast", "x shape", run_broadcast, 0},
    {"repeat", "x n axis?", run_repeat, 0},
    {"concat", "xs axis?", run_concat, 0},
    {"stack", "xs axis?", run_stack, 0},
    {"chunk", "x n axis?", run_chunk, 0},
    {"split", "x sizes axis?", run_split, 0},
    {"pad", "x pads value?", run_pad, 0},
    {0},
};
