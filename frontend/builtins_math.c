/* frontend/builtins_math.c: elementwise functions, on elaboration numbers and on tensors; casts. */
#include "frontend/builtin.h"

#include <math.h>

/* ---- one operand ---- */

static double sign_of(double x) {
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;
}

static double number_gelu(double x) {
    return 0.5 * x * erfc(x * -0.70710678118654752440);
}

/* What the functions are on elaboration numbers: half to even for round, as on tensors. */
static double (*const on_numbers[OP_COUNT])(double) = {
    [OP_abs] = fabs,    [OP_sign] = sign_of, [OP_floor] = floor, [OP_round] = rint, [OP_exp] = exp,
    [OP_expm1] = expm1, [OP_log] = log,      [OP_log1p] = log1p, [OP_sqrt] = sqrt,  [OP_sin] = sin,
    [OP_cos] = cos,     [OP_tanh] = tanh,    [OP_erf] = erf,     [OP_erfc] = erfc,  [OP_gelu] = number_gelu,
};

static bool keeps_ints(int opcode) {
    return opcode == OP_abs || opcode == OP_sign || opcode == OP_floor || opcode == OP_round;
}

static struct datum run_unary(struct elab *e, const struct builtin_call *c) {
    struct datum x = c->args[0];
    int code = c->builtin->opcode;
    if (x.kind == DATUM_FLOAT)
        return datum_float(on_numbers[code](x.number));
    if (datum_is_known_int(x)) {
        double y = on_numbers[code]((double)dim_value(x.size));
        return keeps_ints(code) ? datum_int(e->types, (int64_t)y) : datum_float(y);
    }
    int dtype = x.kind == DATUM_INT ? (int)default_float(e) : DTYPE_ANY;
    return datum_tensor(build_unary(&e->b, (enum opcode)code, arg_tensor(e, c, 0, dtype)));
}

/* Numbers have no gradient to stop; tuples and lists stop it in each of their tensors. */
static struct datum stop_gradient(struct elab *e, struct datum d) {
    if (d.kind == DATUM_TENSOR)
        return datum_tensor(build_unary(&e->b, OP_stop_gradient, d.tensor));
    if (!datum_is_sequence(d))
        return d;
    d = datum_copy(e->arena, d);
    for (int i = 0; i < d.list->count; i++)
        *datum_at(d, i) = stop_gradient(e, d.list->at[i]);
    return d;
}

static struct datum run_stop_gradient(struct elab *e, const struct builtin_call *c) {
    return stop_gradient(e, c->args[0]);
}

/* ---- two operands ---- */

static bool both_tensors(struct elab *e, const struct builtin_call *c, int i, int k, struct value **x,
                         struct value **y) {
    return to_tensors(e, c->args[i], c->args[k], c->spans[i], c->spans[k], x, y) &&
           operands_fit(e, c->builtin->name, *x, *y, c->span, c->spans[i], c->spans[k]);
}

static struct datum run_atan2(struct elab *e, const struct builtin_call *c) {
    if (datum_is_number(c->args[0]) && datum_is_number(c->args[1]))
        return datum_float(
            atan2(c->args[0].kind == DATUM_FLOAT ? c->args[0].number : (double)dim_value(c->args[0].size),
                  c->args[1].kind == DATUM_FLOAT ? c->args[1].number : (double)dim_value(c->args[1].size)));
    struct value *y, *x;
    return both_tensors(e, c, 0, 1, &y, &x) ? datum_tensor(build_binary(&e->b, OP_atan2, y, x))
                                            : datum_error();
}

static struct datum run_floordiv(struct elab *e, const struct builtin_call *c) {
    struct datum a = c->args[0], b = c->args[1];
    if (a.kind == DATUM_INT && datum_is_known_int(b)) {
        if (dim_value(b.size) <= 0)
            return fail(e, c->spans[1], E_DIM, "floordiv wants a positive divisor, this is %s",
                        describe(e, b));
        return datum_size(dim_floordiv(e->types, a.size, dim_value(b.size)));
    }
    if (a.kind == DATUM_INT && b.kind == DATUM_INT)
        return divide_sizes(e, a.size, b.size, c->span);
    struct value *x, *y;
    if (!both_tensors(e, c, 0, 1, &x, &y))
        return datum_error();
    struct value *q = build_div(&e->b, x, y);
    return datum_tensor(q && dtype_is_float(q->type->dtype) ? build_unary(&e->b, OP_floor, q) : q);
}

/* where(c, x, y): a condition that is known chooses now. */
static struct datum run_where(struct elab *e, const struct builtin_call *c) {
    if (c->args[0].kind == DATUM_BOOL && !datum_is_run_time(c->args[1]) && !datum_is_run_time(c->args[2]))
        return c->args[0].truth ? c->args[1] : c->args[2];
    struct value *condition = arg_tensor(e, c, 0, DTYPE_ANY), *x, *y;
    if (!condition || !both_tensors(e, c, 1, 2, &x, &y))
        return datum_error();
    if (condition->type->dtype != DTYPE_bool)
        return fail(e, c->spans[0], E_DTYPE, "the condition of `where` is bools, this is %s",
                    type_text(e->types, condition->type));
    return datum_tensor(build_select(&e->b, condition, x, y));
}

/* ---- dtypes ---- */

static struct datum run_cast(struct elab *e, const struct builtin_call *c) {
    enum dtype dtype = DTYPE_f32;
    if (!arg_dtype(e, c, 1, &dtype))
        return datum_error();
    return datum_tensor(build_cast(&e->b, arg_tensor(e, c, 0, DTYPE_ANY), dtype));
}

static struct datum run_bitcast(struct elab *e, const struct builtin_call *c) {
    enum dtype dtype = DTYPE_u32;
    if (!arg_dtype(e, c, 1, &dtype))
        return datum_error();
    return datum_tensor(build_bitcast(&e->b, arg_tensor(e, c, 0, DTYPE_ANY), dtype));
}

/* int(x), float(x): of elaboration numbers. */
static struct datum run_int(struct elab *e, const struct builtin_call *c) {
    struct datum x = c->args[0];
    if (x.kind == DATUM_INT)
        return x;
    if (x.kind == DATUM_BOOL)
        return datum_int(e->types, x.truth);
    if (x.kind == DATUM_FLOAT) {
        if (fabs(x.number) < 9e18)
            return datum_int(e->types, (int64_t)x.number);
        return fail(e, c->spans[0], E_TYPE, "the number is no int");
    }
    struct diag *diag = report_error(e, c->spans[0], E_TIME, "int(x) is of an elaboration number, this is %s",
                                     describe(e, x));
    diag_hint(diag, "i32(x) casts a tensor");
    return datum_error();
}

static struct datum run_float(struct elab *e, const struct builtin_call *c) {
    struct datum x = c->args[0];
    if (x.kind == DATUM_FLOAT)
        return x;
    if (datum_is_known_int(x))
        return datum_float((double)dim_value(x.size));
    if (x.kind == DATUM_INT)
        return datum_tensor(size_tensor(e, x.size, default_float(e)));
    struct diag *diag = report_error(e, c->spans[0], E_TIME,
                                     "float(x) is of an elaboration number, this is %s", describe(e, x));
    diag_hint(diag, "f32(x) casts a tensor");
    return datum_error();
}

static struct datum run_dtype(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    return x ? datum_dtype(x->type->dtype) : datum_error();
}

#define UNARY(op)                                                                                            \
    { #op, "x", run_unary, OP_##op }
const struct builtin builtins_math[] = {
    UNARY(abs),
    UNARY(sign),
    UNARY(floor),
    UNARY(round),
    UNARY(exp),
    UNARY(expm1),
    UNARY(log),
    UNARY(log1p),
    UNARY(sqrt),
    UNARY(sin),
    UNARY(cos),
    UNARY(tanh),
    UNARY(erf),
    UNARY(erfc),
    UNARY(gelu),
    {"stop_gradient", "x", run_stop_gradient, 0},
    {"atan2", "y x", run_atan2, 0},
    {"floordiv", "x y", run_floordiv, 0},
    {"where", "condition x y", run_where, 0},
    {"cast", "x dtype", run_cast, 0},
    {"bitcast", "x dtype", run_bitcast, 0},
    {"int", "x", run_int, 0},
    {"float", "x", run_float, 0},
    {"dtype", "x", run_dtype, 0},
    {0},
};
