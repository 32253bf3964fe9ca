/* passes/simplify.c: the pass, and the rules of arithmetic. The files rules_*.c hold the others. */
#include "passes/passes.h"
#include "passes/rules.h"

#include <math.h>
#include <stdlib.h>

void simplify_rules(struct rule_set sets[RULE_SETS]) {
    sets[0] = fold_rules;
    sets[1] = algebra_rules;
    sets[2] = view_rules;
    sets[3] = control_rules;
}

bool simplify(struct graph *graph, struct pass_context *context) {
    struct rule_set sets[RULE_SETS + 1];
    simplify_rules(sets);
    if (context->more_rules)
        sets[RULE_SETS] = *context->more_rules;
    return rewrite_graph(graph, sets, RULE_SETS + (context->more_rules != NULL), context->diags,
                         context->scratch, context->rewrites) >= 0;
}

/* ---- guards ---- */

static enum dtype result_dtype(const struct match *m) {
    return m->op->out[0]->type->dtype;
}

static bool is_int(const struct match *m) {
    return dtype_is_int(result_dtype(m));
}

static bool is_bool(const struct match *m) {
    return result_dtype(m) == DTYPE_bool;
}

static bool is_not_float(const struct match *m) {
    return !dtype_is_float(result_dtype(m));
}

/* The op gives its operand back. */
static bool is_same_type(const struct match *m) {
    return m->op->in[0]->type == m->op->out[0]->type;
}

/* Constants wait for folding: a sign turned over from one to the other, or three that change places, would go
 * on for ever. */
static bool x_varies(const struct match *m) {
    double number;
    return !value_is_splat(match_value(m, 'x'), &number);
}

static bool inner_is_used_once(const struct match *m) {
    return value_use_count(m->op->in[0]) == 1;
}

/* The greatest e for which both 2^e and 2^-e are normal numbers of the dtype. */
static int exponent_most(enum dtype dtype) {
    return dtype == DTYPE_f64 ? 1022 : dtype == DTYPE_f16 ? 14 : 126;
}

/* c = 2^e or -2^e: scaling by it rounds nothing, short of overflow and subnormals. */
static bool is_power_of_two(const struct match *m, char letter) {
    double c;
    int exponent;
    return value_is_splat(match_value(m, letter), &c) && fabs(frexp(c, &exponent)) == 0.5 &&
           abs(exponent - 1) <= exponent_most(result_dtype(m));
}

static bool divisor_is_power_of_two(const struct match *m) {
    return dtype_is_float(result_dtype(m)) && is_power_of_two(m, 'c');
}

/* round(x * a) * b = round(x * (a * b)) where one of them is a power of two; integers wrap. */
static bool scaling_is_exact(const struct match *m) {
    return x_varies(m) && (is_int(m) || is_power_of_two(m, 'a') || is_power_of_two(m, 'b'));
}

static bool is_int_that_varies(const struct match *m) {
    return is_int(m) && x_varies(m);
}

/* Every value of the dtype `from` is one of `to`. */
static bool dtype_fits(enum dtype from, enum dtype to) {
    static const struct {
        int digits,
            range; /* of the significand in bits; of the exponent, as log2 of the greatest power of two */
    } form[DTYPE_COUNT] = {
        [DTYPE_f64] = {53, 1023}, [DTYPE_f32] = {24, 127}, [DTYPE_bf16] = {8, 127}, [DTYPE_f16] = {11, 15},
        [DTYPE_i64] = {63, 63},   [DTYPE_i32] = {31, 31},  [DTYPE_u32] = {32, 32},  [DTYPE_i8] = {7, 7},
        [DTYPE_u8] = {8, 8},      [DTYPE_bool] = {1, 1},
    };
    bool sign_fits =
        dtype_class(from) != CLASS_SIGNED || dtype_class(to) == CLASS_SIGNED || dtype_is_float(to);
    bool class_fits = !dtype_is_float(from) || dtype_is_float(to);
    return sign_fits && class_fits && to != DTYPE_bool && form[from].digits <= form[to].digits &&
           form[from].range <= form[to].range;
}

static bool inner_cast_loses_nothing(const struct match *m) {
    return dtype_fits(match_value(m, 'x')->type->dtype, m->op->in[0]->type->dtype);
}

/* ---- powers ---- */

/* x^n by squaring: x^5 = x * (x^2)^2. */
static struct value *power(struct builder *b, struct value *x, int n) {
    if (n == 1)
        return x;
    struct value *half = power(b, x, n / 2), *square = build_mul(b, half, half);
    return n % 2 ? build_mul(b, square, x) : square;
}

enum { POWER_MOST = 8 }; /* beyond, the roundings add up and pow is as fast */

static struct value *small_power(struct match *m) {
    struct value *x = match_value(m, 'x');
    double n = 0;
    value_is_splat(match_value(m, 'c'), &n);
    if (n == 0)
        return build_like(m->b, x, 1);
    if (n == 0.5)
        return build_unary(m->b, OP_sqrt, x);
    if (n != floor(n) || fabs(n) > POWER_MOST)
        return NULL;
    struct value *y = power(m->b, x, (int)fabs(n));
    return n > 0 ? y : build_div(m->b, build_like(m->b, x, 1), y);
}

#define C(value) "const {data = " #value "} : f32[]"

/* clang-format off */
static const struct rule algebra[] = {
    TO("add(x, 0)", NULL, "x", "add(f32[5,7], " C(0) ")"),
    TO("sub(x, 0)", NULL, "x", "sub(f32[5,7], " C(0) ")"),
    TO("sub(0, x)", NULL, "neg(x)", "sub(" C(0) ", f32[5,7])"),
    TO("mul(x, 1)", NULL, "x", "mul(f32[5,1], broadcast(" C(1) ") {axes = []} : f32[5,7])"),
    TO("mul(x, -1)", NULL, "neg(x)", "mul(" C(-1) ", f32[5,7])"),
    TO("mul(x, 0)", is_int, "0", "mul(i32[5,7], const {data = 0} : i32[])"),
    TO("div(x, 1)", NULL, "x", "div(f32[5,7], " C(1) ")"),
    TO("div(x, c)", divisor_is_power_of_two, "mul(x, div(1, c))", "div(f32[5,7], " C(-8) ")"),
    TO("mul(mul(x, a), b)", scaling_is_exact, "mul(x, mul(a, b))", "mul(mul(f32[5,7], " C(3.3) "), " C(0.25) ")"),
    TO("add(add(x, a), b)", is_int_that_varies, "add(x, add(a, b))",
       "add(add(i32[5,7], const {data = 7} : i32[]), const {data = -9} : i32[])"),
    TO("neg(neg(x))", NULL, "x", "neg(neg(f32[5,7]))"),
    TO("add(x, neg(y))", NULL, "sub(x, y)", "add(neg(f32[5,7]), f32[7])"),
    TO("sub(x, neg(y))", NULL, "add(x, y)", "sub(f32[5,7], neg(f32[7]))"),
    TO("mul(neg(x), neg(y))", NULL, "mul(x, y)", "mul(neg(f32[5,7]), neg(f32[7]))"),
    TO("mul(neg(x), c)", x_varies, "mul(x, neg(c))", "mul(neg(f32[5,7]), " C(3.3) ")"),
    TO("neg(mul(x, c))", inner_is_used_once, "mul(x, neg(c))", "neg(mul(f32[5,7], " C(3.3) "))"),
    TO("abs(neg(x))", NULL, "abs(x)", "abs(neg(f32[5,7]))"),
    TO("abs(abs(x))", NULL, "abs(x)", "abs(abs(f32[5,7]))"),
    BUILD("pow(x, c)", NULL, small_power, "pow(f32[5,7], " C(-5) ")"),
    TO("max(x, x)", NULL, "x", NULL),
    TO("min(x, x)", NULL, "x", NULL),
    TO("and(x, x)", NULL, "x", NULL),
    TO("or(x, x)", NULL, "x", NULL),
    TO("and(x, 1)", is_bool, "x", "and(bool[5], const {data = 1} : bool[])"),
    TO("and(x, 0)", is_not_float, "0", "and(i32[5], const {data = 0} : i32[])"),
    TO("or(x, 0)", NULL, "x", "or(i32[5], const {data = 0} : i32[])"),
    TO("or(x, 1)", is_bool, "1", "or(bool[5], const {data = 1} : bool[])"),
    TO("xor(x, 0)", NULL, "x", "xor(i32[5], const {data = 0} : i32[])"),
    TO("not(not(x))", NULL, "x", "not(not(bool[5]))"),
    TO("shl(x, 0)", NULL, "x", "shl(u32[5], const {data = 0} : u32[])"),
    TO("shr(x, 0)", NULL, "x", "shr(u32[5], const {data = 0} : u32[])"),
    TO("select(1, x, y)", NULL, "x", "select(const {data = 1} : bool[], f32[7], f32[5,1])"),
    TO("select(0, x, y)", NULL, "y", "select(const {data = 0} : bool[], f32[7], f32[5,1])"),
    TO("select(p, x, x)", NULL, "x", NULL),
    TO("select(not(p), x, y)", NULL, "select(p, y, x)", "select(not(bool[5,7]), f32[7], f32[5,1])"),
    TO("cast(x)", is_same_type, "x", "cast(f32[5,7]) : f32[5,7]"),
    TO("cast(cast(x))", inner_cast_loses_nothing, "cast(x)", "cast(cast(u8[5,7]) : i32[5,7]) : f32[5,7]"),
    TO("bitcast(x)", is_same_type, "x", "bitcast(f32[5,7]) : f32[5,7]"),
    TO("bitcast(bitcast(x))", NULL, "bitcast(x)", "bitcast(bitcast(f32[5,7]) : u32[5,7]) : i32[5,7]"),
    TO("stop_gradient(x)", NULL, "x", "stop_gradient(f32[5,7])"),
};
/* clang-format on */

const struct rule_set algebra_rules = {algebra, sizeof(algebra) / sizeof(*algebra)};
