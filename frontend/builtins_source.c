/* frontend/builtins_source.c: tensors out of nothing: full, zeros, arange, and tensor(list). */
#include "frontend/builtin.h"

#include "ir/tensor.h"

/* ---- full and its kin ---- */

static const struct type *shape_type(struct elab *e, const struct builtin_call *c, int i, enum dtype dtype) {
    int count;
    const struct dim **dims = arg_shape(e, c, i, &count);
    return dims ? type_get(e->types, dtype, count, dims) : NULL;
}

static struct datum run_full(struct elab *e, const struct builtin_call *c) {
    struct datum value = c->args[1];
    enum dtype dtype = value.kind == DATUM_TENSOR ? value.tensor->type->dtype
                       : value.kind == DATUM_INT  ? DTYPE_i32
                       : value.kind == DATUM_BOOL ? DTYPE_bool
                                                  : default_float(e);
    if (!arg_dtype(e, c, 2, &dtype))
        return datum_error();
    const struct type *type = shape_type(e, c, 0, dtype);
    struct value *x = type ? arg_tensor(e, c, 1, (int)dtype) : NULL;
    x = build_cast(&e->b, x, dtype);
    if (x && x->type->rank > 0)
        return fail(e, c->spans[1], E_SHAPE, "full takes a scalar, this is %s", type_text(e->types, x->type));
    return datum_tensor(x ? build_broadcast_to(&e->b, x, type) : NULL);
}

/* The row's opcode is the number: zeros or ones. */
static struct datum run_filled(struct elab *e, const struct builtin_call *c) {
    enum dtype dtype = default_float(e);
    if (!arg_dtype(e, c, 1, &dtype))
        return datum_error();
    const struct type *type = shape_type(e, c, 0, dtype);
    return datum_tensor(type ? build_full(&e->b, type, c->builtin->opcode) : NULL);
}

static struct datum filled_like(struct elab *e, struct datum d, double value, struct span span) {
    if (datum_is_sequence(d)) {
        d = datum_copy(e->arena, d);
        for (int i = 0; i < d.list->count; i++)
            *datum_at(d, i) = filled_like(e, d.list->at[i], value, span);
        return d;
    }
    struct value *x = to_tensor(e, d, DTYPE_ANY, span);
    return datum_tensor(x ? build_full(&e->b, x->type, value) : NULL);
}

static struct datum run_filled_like(struct elab *e, const struct builtin_call *c) {
    return filled_like(e, c->args[0], c->builtin->opcode, c->spans[0]);
}

/* ---- arange ---- */

static struct datum run_arange(struct elab *e, const struct builtin_call *c) {
    enum dtype dtype = DTYPE_i32;
    struct datum d = c->args[0];
    const struct dim *lo = dim_const(e->types, 0), *hi = NULL;
    if (d.kind == DATUM_INT)
        hi = d.size;
    if (d.kind == DATUM_RANGE && d.range->lo.kind == DATUM_INT && d.range->hi.kind == DATUM_INT) {
        lo = d.range->lo.size;
        hi = d.range->hi.size;
    }
    if (!hi)
        return fail(e, c->spans[0], E_TYPE, "arange takes an int or a range, this is %s", describe(e, d));
    if (!arg_dtype(e, c, 1, &dtype))
        return datum_error();
    enum dtype made = dtype_is_float(dtype) ? DTYPE_i32 : dtype;
    const struct dim *count = dim_sub(e->types, hi, lo);
    struct value *x = build_iota(&e->b, type_get(e->types, made, 1, &count), 0);
    if (x && !(dim_is_const(lo) && dim_value(lo) == 0))
        x = build_add(&e->b, x, size_tensor(e, lo, made));
    return datum_tensor(build_cast(&e->b, x, dtype));
}

/* ---- tensor(list) ---- */

struct numbers {
    struct elab *e;
    struct span span;
    VEC(const struct dim *) dims;
    VEC(double) at;
    bool has_float, has_bool, is_broken;
};

/* Numbers of a nested list, depth first; every list of a depth must have the same length. */
static void gather_numbers(struct numbers *n, struct datum d, int depth) {
    struct elab *e = n->e;
    const struct list *items;
    if (n->is_broken)
        return;
    if (datum_is_sequence(d) || d.kind == DATUM_RANGE) {
        if (!datum_items(e, d, n->span, &items)) {
            n->is_broken = true;
            return;
        }
        const struct dim *size = dim_const(e->types, items->count);
        if (n->dims.count == depth && n->at.count == 0) {
            VEC_PUSH(e->arena, &n->dims, size);
        } else if (depth >= n->dims.count || n->dims.at[depth] != size) {
            fail(e, n->span, E_SHAPE, "the lists of a tensor must have one length at each depth");
            n->is_broken = true;
        }
        for (int i = 0; i < items->count; i++)
            gather_numbers(n, items->at[i], depth + 1);
        return;
    }
    bool known = d.kind == DATUM_FLOAT || datum_is_known_int(d) || d.kind == DATUM_BOOL;
    if (!known || depth != n->dims.count) {
        n->is_broken = true;
        fail(e, n->span, E_TYPE,
             known ? "numbers and lists do not mix in a tensor"
                   : "a tensor's list holds known numbers, this is %s",
             describe(e, d));
        return;
    }
    n->has_float |= d.kind == DATUM_FLOAT;
    n->has_bool |= d.kind == DATUM_BOOL;
    VEC_PUSH(e->arena, &n->at,
             d.kind == DATUM_FLOAT ? d.number
             : d.kind == DATUM_INT ? (double)dim_value(d.size)
                                   : (double)d.truth);
}

static bool holds_tensors(struct datum d) {
    if (datum_is_run_time(d))
        return true;
    return datum_is_sequence(d) && d.list->count > 0 && holds_tensors(d.list->at[0]);
}

/* A list whose rows are tensors: stacked. */
static struct value *stack_rows(struct elab *e, struct datum d, int dtype, struct span span) {
    VEC(struct value *) rows = {0};
    for (int i = 0; i < d.list->count; i++) {
        struct datum item = d.list->at[i];
        struct value *x =
            datum_is_sequence(item) ? tensor_of_list(e, item, dtype, span) : to_tensor(e, item, dtype, span);
        if (!x)
            return NULL;
        const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, x->type->rank + 1);
        dims[0] = dim_const(e->types, 1);
        for (int k = 0; k < x->type->rank; k++)
            dims[k + 1] = x->type->dims[k];
        VEC_PUSH(e->arena, &rows, build_reshape(&e->b, x, x->type->rank + 1, dims));
    }
    return rows.count == 1 ? rows.at[0] : build_concat(&e->b, rows.at, rows.count, 0);
}

struct value *tensor_of_list(struct elab *e, struct datum d, int dtype, struct span span) {
    if (holds_tensors(d))
        return stack_rows(e, d, dtype, span);
    struct numbers n = {.e = e, .span = span};
    gather_numbers(&n, d, 0);
    if (n.is_broken)
        return NULL;
    enum dtype made = dtype != DTYPE_ANY ? (enum dtype)dtype
                      : n.has_float      ? default_float(e)
                      : n.has_bool       ? DTYPE_bool
                                         : DTYPE_i32;
    const struct type *type = type_get(e->types, made, n.dims.count, n.dims.at);
    struct tensor *tensor = tensor_create(e->arena, type);
    for (int i = 0; i < n.at.count; i++) {
        if (dtype_is_float(made))
            tensor->f[i] = n.at.at[i];
        else
            tensor->i[i] = (int64_t)n.at.at[i];
    }
    void *bytes = arena_alloc(e->arena, (size_t)type_bytes(type) + 1);
    tensor_to_bytes(tensor, bytes);
    return build_const(&e->b, type, bytes);
}

static struct datum run_tensor(struct elab *e, const struct builtin_call *c) {
    enum dtype dtype = DTYPE_f32;
    if (!arg_dtype(e, c, 1, &dtype))
        return datum_error();
    int wanted = c->given[1] ? (int)dtype : DTYPE_ANY;
    if (datum_is_sequence(c->args[0]) || c->args[0].kind == DATUM_RANGE)
        return datum_tensor(tensor_of_list(e, c->args[0], wanted, c->spans[0]));
    return datum_tensor(arg_tensor(e, c, 0, wanted));
}

const struct builtin builtins_source[] = {
    {"full", "shape value dtype?", run_full, 0}, {"zeros", "shape dtype?", run_filled, 0},
    {"ones", "shape dtype?", run_filled, 1},     {"zeros_like", "x", run_filled_like, 0},
    {"ones_like", "x", run_filled_like, 1},      {"arange", "n dtype?", run_arange, 0},
    {"tensor", "list dtype?", run_tensor, 0},    {0},
};
