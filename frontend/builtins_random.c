/* frontend/builtins_random.c: draws (random.c has the keys, docs/frontend.md the definitions). */
#include "frontend/builtin.h"

/* The shape of a draw, as a type of f32. NULL: reported. */
static const struct type *draw_shape(struct elab *e, const struct builtin_call *c) {
    int count;
    const struct dim **dims = arg_shape(e, c, 0, &count);
    return dims ? type_get(e->types, DTYPE_f32, count, dims) : NULL;
}

static struct datum run_uniform(struct elab *e, const struct builtin_call *c) {
    const struct type *type = draw_shape(e, c);
    struct value *key = type ? draw_key_for(e, type) : NULL;
    return datum_tensor(key ? draw_uniform(e, type, key) : NULL);
}

static struct datum run_randn(struct elab *e, const struct builtin_call *c) {
    const struct type *type = draw_shape(e, c);
    struct value *key = type ? draw_key_for(e, type) : NULL;
    return datum_tensor(key ? draw_normal(e, type, key) : NULL);
}

static struct datum run_random_bits(struct elab *e, const struct builtin_call *c) {
    const struct type *type = draw_shape(e, c);
    struct value *key = type ? draw_key_for(e, type) : NULL;
    return datum_tensor(key ? build_random_bits(&e->b, key, type_with_dtype(e->types, type, DTYPE_u32))
                            : NULL);
}

/* lo + floor(u * (hi - lo)). u is at most 1 - 2^-24, and u * n rounds to less than n for every n up to 2^24.
 */
static struct datum run_randint(struct elab *e, const struct builtin_call *c) {
    const struct type *type = draw_shape(e, c);
    struct value *lo = type ? arg_tensor(e, c, 1, DTYPE_i32) : NULL,
                 *hi = lo ? arg_tensor(e, c, 2, DTYPE_i32) : NULL;
    struct value *key = hi ? draw_key_for(e, type) : NULL;
    if (!key)
        return datum_error();
    struct value *span;
    if (c->args[1].kind == DATUM_INT && c->args[2].kind == DATUM_INT)
        span = size_tensor(e, dim_sub(e->types, c->args[2].size, c->args[1].size), DTYPE_f32);
    else
        span = build_cast(&e->b, build_sub(&e->b, hi, lo), DTYPE_f32);
    struct value *u = draw_uniform(e, type, key);
    struct value *whole = u && span ? build_unary(&e->b, OP_floor, build_mul(&e->b, u, span)) : NULL;
    struct value *index = build_cast(&e->b, whole, DTYPE_i32);
    bool from_zero = datum_is_known_int(c->args[1]) && dim_value(c->args[1].size) == 0;
    struct value *draw = from_zero || !index ? index : build_add(&e->b, index, lo);
    if (draw && c->args[1].kind == DATUM_INT && c->args[2].kind == DATUM_INT)
        note_draw_bounds(e, draw, c->args[1].size, c->args[2].size);
    return datum_tensor(draw);
}

/* ---- keys: rng.of(rows), rng.split(n) ---- */

/* A stream for each row, made of the row's number alone: what it draws does not depend on the other rows. */
static struct datum run_key_of(struct elab *e, const struct builtin_call *c) {
    struct value *rows = datum_is_sequence(c->args[1]) ? tensor_of_list(e, c->args[1], DTYPE_i32, c->spans[1])
                                                       : arg_tensor(e, c, 1, DTYPE_i32);
    if (!rows)
        return datum_error();
    if (rows->type->rank != 1 || (rows->type->dtype != DTYPE_i32 && rows->type->dtype != DTYPE_u32))
        return fail(e, c->spans[1], E_TYPE, "`of` takes a number for each row, i32[B], this is %s",
                    type_text(e->types, rows->type));
    return datum_tensor(build_random_fold(&e->b, c->args[0].tensor, rows));
}

static struct datum run_key_split(struct elab *e, const struct builtin_call *c) {
    int64_t n = 2;
    if (c->given[1] && !arg_int(e, c, 1, &n))
        return datum_error();
    if (n < 1 || n > MAX_LIST)
        return fail(e, c->spans[1], E_ARGUMENT, "a key is split in 1 or more, not in %lld", (long long)n);
    return split_key(e, c->args[0].tensor, n);
}

/* Members of a key, which is their first argument. */
const struct builtin builtins_key[] = {
    {"of", "key rows", run_key_of, 0}, {"split", "key n?", run_key_split, 0}, {0}};

const struct builtin builtins_random[] = {
    {"uniform", "shape", run_uniform, 0},
    {"randn", "shape", run_randn, 0},
    {"randint", "shape lo hi", run_randint, 0},
    {"random_bits", "shape", run_random_bits, 0},
    {0},
};
