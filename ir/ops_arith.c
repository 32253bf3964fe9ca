/* Arithmetic and the functions of one number, elementwise: values and gradients. */
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"

#include <math.h>

typedef double float_binary(double x, double y);
typedef int64_t int_binary(int64_t x, int64_t y);

/* ---- values ---- */

static bool eval_binary(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out,
                        float_binary *f, int_binary *i) {
    struct walk w;
    walk_type(&w, e, op->out[0]->type);
    walk_broadcast(&w, 1, in[0]->type);
    walk_broadcast(&w, 2, in[1]->type);
    if (dtype_is_float(op->out[0]->type->dtype))
        for (; w.left; walk_next(&w))
            out[0]->f[w.at[0]] = f(in[0]->f[w.at[1]], in[1]->f[w.at[2]]);
    else
        for (; w.left; walk_next(&w))
            out[0]->i[w.at[0]] = i(in[0]->i[w.at[1]], in[1]->i[w.at[2]]);
    return true;
}

static bool eval_unary(const struct op *op, struct tensor *const *in, struct tensor **out, double f(double),
                       int64_t i(int64_t)) {
    int64_t n = type_elements(op->out[0]->type);
    if (dtype_is_float(op->out[0]->type->dtype))
        for (int64_t k = 0; k < n; k++)
            out[0]->f[k] = f(in[0]->f[k]);
    else
        for (int64_t k = 0; k < n; k++)
            out[0]->i[k] = i(in[0]->i[k]);
    return true;
}

/* Integers wrap: computed modulo 2^64, which the evaluator cuts down to the dtype. */
double float_add(double x, double y) {
    return x + y;
}
int64_t int_add(int64_t x, int64_t y) {
    return (int64_t)((uint64_t)x + (uint64_t)y);
}
static double float_sub(double x, double y) {
    return x - y;
}
static int64_t int_sub(int64_t x, int64_t y) {
    return (int64_t)((uint64_t)x - (uint64_t)y);
}
double float_mul(double x, double y) {
    return x * y;
}
int64_t int_mul(int64_t x, int64_t y) {
    return (int64_t)((uint64_t)x * (uint64_t)y);
}
static double float_div(double x, double y) {
    return x / y;
}
static int64_t int_div(int64_t x, int64_t y) {
    if (y == 0)
        return 0;
    if (y == -1) /* the least number has no negative: it wraps to itself */
        return int_sub(0, x);
    return x / y - (x % y != 0 && (x < 0) != (y < 0));
}
static double float_mod(double x, double y) {
    double r = fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
static int64_t int_mod(int64_t x, int64_t y) {
    return y == 0 ? 0 : int_sub(x, int_mul(int_div(x, y), y));
}
double float_max(double x, double y) {
    return isnan(x) || x > y ? x : y;
}
int64_t int_max(int64_t x, int64_t y) {
    return x > y ? x : y;
}
double float_min(double x, double y) {
    return isnan(x) || x < y ? x : y;
}
int64_t int_min(int64_t x, int64_t y) {
    return x < y ? x : y;
}
static double float_neg(double x) {
    return -x;
}
static int64_t int_neg(int64_t x) {
    return int_sub(0, x);
}
static int64_t int_abs(int64_t x) {
    return x < 0 ? int_sub(0, x) : x;
}
static double float_sign(double x) {
    return x > 0 ? 1 : x < 0 ? -1 : x; /* zero and NaN stay what they are */
}
static int64_t int_sign(int64_t x) {
    return (x > 0) - (x < 0);
}
static double float_gelu(double x) {
    return 0.5 * x * erfc(x * -0.70710678118654752440);
}

#define EVAL_BINARY(name, f, i)                                                                              \
    bool eval_##name(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {   \
        return eval_binary(e, op, in, out, f, i);                                                            \
    }
EVAL_BINARY(add, float_add, int_add)
EVAL_BINARY(sub, float_sub, int_sub)
EVAL_BINARY(mul, float_mul, int_mul)
EVAL_BINARY(div, float_div, int_div)
EVAL_BINARY(mod, float_mod, int_mod)
EVAL_BINARY(max, float_max, int_max)
EVAL_BINARY(min, float_min, int_min)
EVAL_BINARY(pow, pow, NULL)
EVAL_BINARY(atan2, atan2, NULL)

#define EVAL_UNARY(name, f, i)                                                                               \
    bool eval_##name(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {   \
        (void)e;                                                                                             \
        return eval_unary(op, in, out, f, i);                                                                \
    }
EVAL_UNARY(neg, float_neg, int_neg)
EVAL_UNARY(abs, fabs, int_abs)
EVAL_UNARY(sign, float_sign, int_sign)
EVAL_UNARY(floor, floor, NULL)
EVAL_UNARY(round, rint, NULL) /* half to even */
EVAL_UNARY(exp, exp, NULL)
EVAL_UNARY(expm1, expm1, NULL)
EVAL_UNARY(log, log, NULL)
EVAL_UNARY(log1p, log1p, NULL)
EVAL_UNARY(sqrt, sqrt, NULL)
EVAL_UNARY(sin, sin, NULL)
EVAL_UNARY(cos, cos, NULL)
EVAL_UNARY(tanh, tanh, NULL)
EVAL_UNARY(erf, erf, NULL)
EVAL_UNARY(erfc, erfc, NULL)
EVAL_UNARY(gelu, float_gelu, NULL)

/* ---- gradients ----
 * x, y are the operands, z the result, dz its gradient; dx and dy are asked for one by one. */

/* The gradient of an operand, summed over the axes along which it was broadcast; false: reported. */
static bool give(struct gradient *g, int operand, struct value *dx) {
    g->dx[operand] = build_sum_to(g->b, dx, g->op->in[operand]->type);
    return g->dx[operand] != NULL;
}

bool grad_add(struct gradient *g) {
    return (!g->want[0] || give(g, 0, g->dy[0])) && (!g->want[1] || give(g, 1, g->dy[0]));
}

bool grad_sub(struct gradient *g) {
    return (!g->want[0] || give(g, 0, g->dy[0])) &&
           (!g->want[1] || give(g, 1, build_unary(g->b, OP_neg, g->dy[0])));
}

bool grad_mul(struct gradient *g) {
    struct value *x = g->op->in[0], *y = g->op->in[1], *dz = g->dy[0];
    return (!g->want[0] || give(g, 0, build_mul(g->b, dz, y))) &&
           (!g->want[1] || give(g, 1, build_mul(g->b, dz, x)));
}

/* dx = dz / y, dy = -(dz / y) z */
bool grad_div(struct gradient *g) {
    struct value *quotient = build_div(g->b, g->dy[0], g->op->in[1]);
    if (g->want[0] && !give(g, 0, quotient))
        return false;
    if (!g->want[1])
        return true;
    return give(g, 1, build_unary(g->b, OP_neg, build_mul(g->b, quotient, g->op->out[0])));
}

/* z = x - floor(x / y) y */
bool grad_mod(struct gradient *g) {
    if (g->want[0] && !give(g, 0, g->dy[0]))
        return false;
    if (!g->want[1])
        return true;
    struct value *turns = build_unary(g->b, OP_floor, build_div(g->b, g->op->in[0], g->op->in[1]));
    return give(g, 1, build_unary(g->b, OP_neg, build_mul(g->b, g->dy[0], turns)));
}

/* dx = dz y x^(y - 1), 0 where y = 0 (x^(-1) may be infinite there);
 * dy = dz z log x, 0 where x = 0 (log x is infinite, and z is 0 for each y > 0) */
bool grad_pow(struct gradient *g) {
    struct builder *b = g->b;
    struct value *x = g->op->in[0], *y = g->op->in[1], *dz = g->dy[0];
    if (g->want[0]) {
        struct value *power = build_binary(b, OP_pow, x, build_sub(b, y, build_like(b, y, 1)));
        struct value *slope = build_mul(b, y, power), *none = build_binary(b, OP_eq, y, build_like(b, y, 0));
        if (!give(g, 0, build_mul(b, dz, build_select(b, none, build_like(b, y, 0), slope))))
            return false;
    }
    if (!g->want[1])
        return true;
    struct value *zero = build_binary(b, OP_eq, x, build_like(b, x, 0));
    struct value *log = build_unary(b, OP_log, build_select(b, zero, build_like(b, x, 1), x));
    return give(g, 1, build_mul(b, dz, build_mul(b, g->op->out[0], log)));
}

/* Ties give half the gradient to each. Selecting, not multiplying by 0 or 1, keeps an infinite dz out of the
 * other. */
static bool grad_extremum(struct gradient *g, bool greatest) {
    struct builder *b = g->b;
    struct value *x = g->op->in[0], *y = g->op->in[1], *dz = g->dy[0];
    struct value *equal = build_binary(b, OP_eq, x, y), *half = build_mul(b, dz, build_like(b, dz, 0.5));
    for (int k = 0; k < 2; k++) {
        if (!g->want[k])
            continue;
        struct value *mine = k == 0 ? x : y, *other = k == 0 ? y : x;
        struct value *wins =
            greatest ? build_binary(b, OP_lt, other, mine) : build_binary(b, OP_lt, mine, other);
        struct value *alone = build_select(b, wins, dz, build_like(b, dz, 0));
        if (!give(g, k, build_select(b, equal, half, alone)))
            return false;
    }
    return true;
}
bool grad_max(struct gradient *g) {
    return grad_extremum(g, true);
}
bool grad_min(struct gradient *g) {
    return grad_extremum(g, false);
}

/* z = atan2(y, x): dy = dz x / (x^2 + y^2), dx = -dz y / (x^2 + y^2); y is the first operand. */
bool grad_atan2(struct gradient *g) {
    struct builder *b = g->b;
    struct value *y = g->op->in[0], *x = g->op->in[1];
    struct value *share = build_div(b, g->dy[0], build_add(b, build_mul(b, x, x), build_mul(b, y, y)));
    if (g->want[0] && !give(g, 0, build_mul(b, share, x)))
        return false;
    return !g->want[1] || give(g, 1, build_unary(b, OP_neg, build_mul(b, share, y)));
}

/* The rules of one operand: dx = the expression in b, x, z and dz. */
#define GRAD_UNARY(name, expression)                                                                         \
    bool grad_##name(struct gradient *g) {                                                                   \
        struct builder *b = g->b;                                                                            \
        struct value *x = g->op->in[0], *z = g->op->out[0], *dz = g->dy[0];                                  \
        (void)x, (void)z;                                                                                    \
        g->dx[0] = (expression);                                                                             \
        return g->dx[0] != NULL;                                                                             \
    }
GRAD_UNARY(neg, build_unary(b, OP_neg, dz))
GRAD_UNARY(abs, build_mul(b, dz, build_unary(b, OP_sign, x)))
GRAD_UNARY(exp, build_mul(b, dz, z))
GRAD_UNARY(expm1, build_mul(b, dz, build_add(b, z, build_like(b, z, 1))))
GRAD_UNARY(log, build_div(b, dz, x))
GRAD_UNARY(log1p, build_div(b, dz, build_add(b, x, build_like(b, x, 1))))
GRAD_UNARY(sqrt, build_div(b, build_mul(b, dz, build_like(b, z, 0.5)), z))
GRAD_UNARY(sin, build_mul(b, dz, build_unary(b, OP_cos, x)))
GRAD_UNARY(cos, build_unary(b, OP_neg, build_mul(b, dz, build_unary(b, OP_sin, x))))
GRAD_UNARY(tanh, build_mul(b, dz, build_sub(b, build_like(b, z, 1), build_mul(b, z, z))))
/* erf'(x) = 2 / sqrt(pi) exp(-x^2) */
GRAD_UNARY(erf, build_mul(b, dz,
                          build_mul(b, build_like(b, x, 1.1283791670955126),
                                    build_unary(b, OP_exp, build_unary(b, OP_neg, build_mul(b, x, x))))))
GRAD_UNARY(erfc, build_mul(b, dz,
                           build_mul(b, build_like(b, x, -1.1283791670955126),
                                     build_unary(b, OP_exp, build_unary(b, OP_neg, build_mul(b, x, x))))))
/* gelu'(x) = erfc(-x / sqrt(2)) / 2 + x exp(-x^2 / 2) / sqrt(2 pi) */
static struct value *gelu_slope(struct builder *b, struct value *x) {
    struct value *z = build_mul(b, x, build_like(b, x, -0.70710678118654752440));
    struct value *share = build_mul(b, build_like(b, x, 0.5), build_unary(b, OP_erfc, z));
    struct value *bell = build_unary(b, OP_exp, build_unary(b, OP_neg, build_mul(b, z, z)));
    bell = build_mul(b, build_like(b, x, 0.39894228040143268), bell);
    return build_add(b, share, build_mul(b, x, bell));
}
GRAD_UNARY(gelu, build_mul(b, dz, gelu_slope(b, x)))
