/* frontend/onnx/emit_map.c: elementwise operators. */
#include "onnx/emit.h"

#include <math.h>

/* ---- operands ---- */

/* The size that axis i (of the result's) has in the narrow form of an operand. */
static int64_t narrow_size(const struct value *value, int rank, int i) {
    int axis = i - (rank - value->type->rank);
    if (axis < 0)
        return 1;
    if (!value->def || value->def->code != OP_broadcast)
        return type_size(value->type, axis);
    const struct op *op = value->def;
    const int64_t *axes = op_ints(op, ATTR_axes, NULL);
    for (int k = 0; k < op->in[0]->type->rank; k++)
        if (axes[k] == axis)
            return type_size(op->in[0]->type, k);
    return 1;
}

/* Do the operands give the result its size even where this one is narrow? */
static bool may_be_narrow(const struct op *op, int operand, const bool *is_narrow) {
    const struct type *type = op->out[0]->type;
    for (int i = 0; i < type->rank; i++) {
        bool reached = false;
        for (int k = 0; k < op->in_count; k++) {
            int axis = i - (type->rank - op->in[k]->type->rank);
            int64_t full = axis < 0 ? 1 : type_size(op->in[k]->type, axis);
            int64_t size = k == operand || is_narrow[k] ? narrow_size(op->in[k], type->rank, i) : full;
            reached |= size == type_size(type, i);
        }
        if (!reached)
            return false;
    }
    return true;
}

static void operand_names(struct emission *e, const struct op *op, const char **names) {
    bool is_narrow[3] = {false};
    for (int k = 0; k < op->in_count; k++) {
        is_narrow[k] = may_be_narrow(op, k, is_narrow);
        names[k] = is_narrow[k] ? onnx_narrow_name(e, op->in[k]) : onnx_name(e, op->in[k]);
    }
}

static bool define(struct emission *e, const struct op *op, const char *name) {
    onnx_define(e, op->out[0], name);
    return true;
}

const char *onnx_two(struct emission *e, const char *op_type, const char *x, const char *y) {
    return onnx_node(e, op_type, x, y, NULL).out;
}

const char *onnx_one(struct emission *e, const char *op_type, const char *x) {
    return onnx_node(e, op_type, x, NULL).out;
}

bool onnx_direct(struct emission *e, const struct op *op, const char *text) {
    const char *names[3] = {NULL};
    operand_names(e, op, names);
    return define(e, op, onnx_node(e, text, names[0], names[1], names[2], NULL).out);
}

bool onnx_alias(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return define(e, op, onnx_name(e, op->in[0]));
}

bool onnx_nothing(struct emission *e, const struct op *op, const char *text) {
    (void)e, (void)op, (void)text;
    return true;
}

/* ---- arithmetic that ONNX has otherwise, or not ---- */

static bool is_float(const struct op *op) {
    return dtype_is_float(op->in[0]->type->dtype);
}

/* y with 1 for 0, which ONNX leaves undefined; *zero: where it was. */
static const char *divisor(struct emission *e, const struct op *op, const char *y, const char **zero) {
    enum dtype dtype = op->in[1]->type->dtype;
    *zero = onnx_two(e, "Equal", y, onnx_number(e, dtype, 0));
    return onnx_node(e, "Where", *zero, onnx_number(e, dtype, 1), y, NULL).out;
}

/* ONNX rounds quotients of integers towards zero, Weft down: less 1 where a remainder has not y's sign. */
bool onnx_div(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const char *names[3], *zero;
    enum dtype dtype = op->in[0]->type->dtype;
    operand_names(e, op, names);
    if (is_float(op))
        return define(e, op, onnx_two(e, "Div", names[0], names[1]));
    const char *y = divisor(e, op, names[1], &zero), *none = onnx_number(e, dtype, 0);
    const char *q = onnx_two(e, "Div", names[0], y);
    if (dtype_class(dtype) == CLASS_SIGNED) {
        const char *rest = onnx_two(e, "Sub", names[0], onnx_two(e, "Mul", q, y));
        const char *differs =
            onnx_two(e, "Less", onnx_two(e, "Mul", onnx_one(e, "Sign", rest), onnx_one(e, "Sign", y)), none);
        q = onnx_two(e, "Sub", q, onnx_cast(e, differs, dtype));
    }
    return define(e, op, onnx_node(e, "Where", zero, none, q, NULL).out);
}

/* ONNX's Mod has the divisor's sign too, for integers alone. */
bool onnx_mod(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const char *names[3], *zero;
    operand_names(e, op, names);
    if (is_float(op)) {
        const char *whole = onnx_one(e, "Floor", onnx_two(e, "Div", names[0], names[1]));
        return define(e, op, onnx_two(e, "Sub", names[0], onnx_two(e, "Mul", whole, names[1])));
    }
    const char *rest = onnx_two(e, "Mod", names[0], divisor(e, op, names[1], &zero));
    return define(e, op,
                  onnx_node(e, "Where", zero, onnx_number(e, op->in[0]->type->dtype, 0), rest, NULL).out);
}

/* The angle from the axis that is nearer: atan of the lesser over the greater, turned by a quarter or a half.
 */
bool onnx_atan2(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const char *names[3];
    enum dtype dtype = op->out[0]->type->dtype;
    operand_names(e, op, names);
    const char *y = names[0], *x = names[1], *zero = onnx_number(e, dtype, 0),
               *pi = onnx_number(e, dtype, M_PI);
    const char *steep = onnx_two(e, "Less", onnx_one(e, "Abs", x), onnx_one(e, "Abs", y));
    const char *top = onnx_node(e, "Where", steep, onnx_one(e, "Neg", x), y, NULL).out;
    const char *bottom = onnx_node(e, "Where", steep, y, x, NULL).out;
    const char *nothing = onnx_two(e, "Equal", bottom, zero);
    const char *safe = onnx_node(e, "Where", nothing, onnx_number(e, dtype, 1), bottom, NULL).out;
    const char *angle = onnx_one(e, "Atan", onnx_two(e, "Div", top, safe));
    const char *down = onnx_two(e, "Less", y, zero), *left = onnx_two(e, "Less", x, zero);
    const char *half = onnx_node(e, "Where", down, onnx_one(e, "Neg", pi), pi, NULL).out;
    const char *flat = onnx_node(e, "Where", left, half, zero, NULL).out;
    const char *quarter = onnx_two(e, "Mul", half, onnx_number(e, dtype, 0.5));
    const char *base = onnx_node(e, "Where", steep, quarter, flat, NULL).out;
    return define(e, op, onnx_two(e, "Add", angle, base));
}

/* e^x - 1 = 2 sinh(x/2) e^(x/2): no digits are lost near 0. Below -60 it is -1, and sinh would overflow. */
bool onnx_expm1(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    enum dtype dtype = op->out[0]->type->dtype;
    const char *x = onnx_two(e, "Max", onnx_name(e, op->in[0]), onnx_number(e, dtype, -60));
    const char *half = onnx_two(e, "Mul", x, onnx_number(e, dtype, 0.5));
    const char *product = onnx_two(e, "Mul", onnx_one(e, "Sinh", half), onnx_one(e, "Exp", half));
    return define(e, op, onnx_two(e, "Mul", product, onnx_number(e, dtype, 2)));
}

/* log(u) x / (u - 1) with u = 1 + x as it was rounded, and x where that is 1 (Goldberg 1991, theorem 4). */
bool onnx_log1p(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    enum dtype dtype = op->out[0]->type->dtype;
    const char *x = onnx_name(e, op->in[0]), *one = onnx_number(e, dtype, 1);
    const char *u = onnx_two(e, "Add", x, one), *near = onnx_two(e, "Equal", u, one);
    const char *rest = onnx_node(e, "Where", near, one, onnx_two(e, "Sub", u, one), NULL).out;
    const char *far = onnx_two(e, "Mul", onnx_one(e, "Log", u), onnx_two(e, "Div", x, rest));
    return define(e, op, onnx_node(e, "Where", near, x, far, NULL).out);
}

bool onnx_erfc(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const char *one = onnx_number(e, op->out[0]->type->dtype, 1);
    return define(e, op, onnx_two(e, "Sub", one, onnx_one(e, "Erf", onnx_name(e, op->in[0]))));
}

/* The form that peers know as gelu: 0.5 (x (1 + erf(x / sqrt 2))). */
const char *onnx_gelu_text(struct emission *e, const struct value *x) {
    enum dtype dtype = x->type->dtype;
    const char *name = onnx_name(e, x);
    const char *erf = onnx_one(e, "Erf", onnx_two(e, "Div", name, onnx_number(e, dtype, M_SQRT2)));
    const char *product = onnx_two(e, "Mul", name, onnx_two(e, "Add", erf, onnx_number(e, dtype, 1)));
    return onnx_two(e, "Mul", product, onnx_number(e, dtype, 0.5));
}

bool onnx_gelu(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return define(e, op, onnx_gelu_text(e, op->in[0]));
}

/* ---- comparisons and bits ---- */

/* ONNX orders numbers alone. */
static void comparable(struct emission *e, const struct op *op, const char *text, const char **names) {
    operand_names(e, op, names);
    if (op->in[0]->type->dtype != DTYPE_bool || text[0] == 'E')
        return;
    for (int k = 0; k < 2; k++)
        names[k] = onnx_cast(e, names[k], DTYPE_i32);
}

bool onnx_compare(struct emission *e, const struct op *op, const char *text) {
    const char *names[3];
    comparable(e, op, text, names);
    return define(e, op, onnx_two(e, text, names[0], names[1]));
}

bool onnx_compare_not(struct emission *e, const struct op *op, const char *text) {
    const char *names[3];
    comparable(e, op, text, names);
    return define(e, op, onnx_one(e, "Not", onnx_two(e, text, names[0], names[1])));
}

bool onnx_bits(struct emission *e, const struct op *op, const char *text) {
    bool is_bool = op->out[0]->type->dtype == DTYPE_bool;
    return onnx_direct(e, op, is_bool ? text : arena_printf(e->arena, "Bitwise%s", text));
}

bool onnx_shift(struct emission *e, const struct op *op, const char *text) {
    const char *names[3];
    if (dtype_class(op->out[0]->type->dtype) != CLASS_UNSIGNED)
        return onnx_refuse(e, op, "ONNX has no operator that shifts the bits of a signed number");
    operand_names(e, op, names);
    struct onnx_node n = onnx_node(e, "BitShift", names[0], names[1], NULL);
    onnx_node_text(e->model, n.node, "direction", text);
    return define(e, op, n.out);
}

bool onnx_cast_op(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return define(e, op, onnx_cast(e, onnx_name(e, op->in[0]), op->out[0]->type->dtype));
}

/* Inputs have their names from the beginning. The seed is none: who draws with it is refused there. */
bool onnx_input(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return !op_is_seed(op) || define(e, op, "");
}

bool onnx_constant(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return define(e, op, onnx_constant_name(e, op->out[0]));
}

bool onnx_dim(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return define(e, op, onnx_number(e, DTYPE_i64, (double)dim_value(op_attr(op, ATTR_size)->dim)));
}
