/* Comparisons, logic, bits, selection and changes of dtype, elementwise: values and gradients. */
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"

#include <math.h>

/* ---- comparisons: false where an operand is NaN, but for ne ---- */

static bool eval_comparison(struct eval *e, const struct op *op, struct tensor *const *in,
                            struct tensor **out, bool f(double, double), bool i(int64_t, int64_t)) {
    struct walk w;
    walk_type(&w, e, op->out[0]->type);
    walk_broadcast(&w, 1, in[0]->type);
    walk_broadcast(&w, 2, in[1]->type);
    bool floats = dtype_is_float(in[0]->type->dtype);
    for (; w.left; walk_next(&w))
        out[0]->i[w.at[0]] =
            floats ? f(in[0]->f[w.at[1]], in[1]->f[w.at[2]]) : i(in[0]->i[w.at[1]], in[1]->i[w.at[2]]);
    return true;
}

#define EVAL_COMPARISON(name, sign)                                                                          \
    static bool name##_float(double x, double y) {                                                           \
        return x sign y;                                                                                     \
    }                                                                                                        \
    static bool name##_int(int64_t x, int64_t y) {                                                           \
        return x sign y;                                                                                     \
    }                                                                                                        \
    bool eval_##name(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {   \
        return eval_comparison(e, op, in, out, name##_float, name##_int);                                    \
    }
EVAL_COMPARISON(eq, ==)
EVAL_COMPARISON(ne, !=)
EVAL_COMPARISON(lt, <)
EVAL_COMPARISON(le, <=)

/* ---- logic and bits: on bool, 0 and 1 behave as the bits they are ---- */

static bool eval_bits(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out,
                      int64_t f(enum dtype, int64_t, int64_t)) {
    struct walk w;
    walk_type(&w, e, op->out[0]->type);
    walk_broadcast(&w, 1, in[0]->type);
    walk_broadcast(&w, 2, in[1]->type);
    for (; w.left; walk_next(&w))
        out[0]->i[w.at[0]] = f(in[0]->type->dtype, in[0]->i[w.at[1]], in[1]->i[w.at[2]]);
    return true;
}

static int64_t and_int(enum dtype dtype, int64_t x, int64_t y) {
    (void)dtype;
    return x & y;
}
static int64_t or_int(enum dtype dtype, int64_t x, int64_t y) {
    (void)dtype;
    return x | y;
}
static int64_t xor_int(enum dtype dtype, int64_t x, int64_t y) {
    (void)dtype;
    return x ^ y;
}
/* A negative count is a great one, as for an unsigned number. */
static bool shifts_out(enum dtype dtype, int64_t count) {
    return count < 0 || count >= 8 * dtype_bytes(dtype);
}
static int64_t shl_int(enum dtype dtype, int64_t x, int64_t count) {
    return shifts_out(dtype, count) ? 0 : (int64_t)((uint64_t)x << count);
}
static int64_t shr_int(enum dtype dtype, int64_t x, int64_t count) {
    int64_t sign = x < 0 ? -1 : 0; /* an unsigned number is kept as it is: never negative */
    return shifts_out(dtype, count) ? sign
                                    : (int64_t)((((uint64_t)x ^ (uint64_t)sign) >> count) ^ (uint64_t)sign);
}

#define EVAL_BITS(name)                                                                                      \
    bool eval_##name(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {   \
        return eval_bits(e, op, in, out, name##_int);                                                        \
    }
EVAL_BITS(and)
EVAL_BITS(or)
EVAL_BITS(xor)
EVAL_BITS(shl)
EVAL_BITS(shr)

bool eval_not(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)e;
    bool truth = op->out[0]->type->dtype == DTYPE_bool;
    int64_t n = type_elements(op->out[0]->type);
    for (int64_t k = 0; k < n; k++)
        out[0]->i[k] = truth ? !in[0]->i[k] : ~in[0]->i[k];
    return true;
}

/* ---- selection ---- */

bool eval_select(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct walk w;
    walk_type(&w, e, op->out[0]->type);
    for (int k = 0; k < 3; k++)
        walk_broadcast(&w, k + 1, in[k]->type);
    for (; w.left; walk_next(&w)) {
        int k = in[0]->i[w.at[1]] ? 1 : 2;
        element_copy(out[0], w.at[0], in[k], w.at[k + 1]);
    }
    return true;
}

/* dx = c ? dz : 0, dy = c ? 0 : dz */
bool grad_select(struct gradient *g) {
    struct value *c = g->op->in[0], *dz = g->dy[0], *zero = build_like(g->b, dz, 0);
    for (int k = 1; k < 3; k++) {
        if (!g->want[k])
            continue;
        struct value *dx = build_select(g->b, c, k == 1 ? dz : zero, k == 1 ? zero : dz);
        g->dx[k] = build_sum_to(g->b, dx, g->op->in[k]->type);
        if (!g->dx[k])
            return false;
    }
    return true;
}

/* ---- changes of dtype ---- */

/* Truncates towards zero and saturates; NaN gives 0. */
static int64_t int_of_float(enum dtype dtype, double x) {
    if (dtype == DTYPE_bool)
        return x != 0;
    if (isnan(x))
        return 0;
    int64_t least = int_least(dtype), greatest = int_greatest(dtype);
    if (x <= (double)least)
        return least;
    if (x >= (double)greatest) /* 2^63 for i64 */
        return greatest;
    return (int64_t)x;
}

bool eval_cast(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    enum dtype to = op->out[0]->type->dtype;
    bool from_float = dtype_is_float(op->in[0]->type->dtype);
    int64_t n = type_elements(op->out[0]->type);
    for (int64_t k = 0; k < n; k++) {
        if (!dtype_is_float(to))
            out[0]->i[k] = from_float         ? int_of_float(to, in[0]->f[k])
                           : to == DTYPE_bool ? in[0]->i[k] != 0
                                              : in[0]->i[k];
        else if (from_float)
            out[0]->f[k] = in[0]->f[k];
        else if (to == DTYPE_f32 && eval_mode(e) == EVAL_EXACT)
            out[0]->f[k] = (float)in[0]->i[k]; /* rounded once: by way of double it would be twice */
        else
            out[0]->f[k] = (double)in[0]->i[k];
    }
    return true;
}

/* Floats go back to the operand's dtype; integers have no gradient. */
bool grad_cast(struct gradient *g) {
    enum dtype from = g->op->in[0]->type->dtype;
    if (!dtype_is_float(from))
        return true;
    g->dx[0] = build_cast(g->b, g->dy[0], from);
    return g->dx[0] != NULL;
}

bool eval_bitcast(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    void *bytes = eval_scratch(e, (size_t)type_bytes(op->out[0]->type));
    tensor_to_bytes(in[0], bytes);
    tensor_set_bytes(out[0], bytes);
    return true;
}
