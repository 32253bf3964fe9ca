/* frontend/convert.c: elaboration values to tensors of the graph. */
#include "frontend/elab.h"

enum dtype default_float(const struct elab *e) {
    return e->in_constant ? DTYPE_f64 : DTYPE_f32;
}

struct value *size_tensor(struct elab *e, const struct dim *size, enum dtype dtype) {
    if (dim_is_const(size))
        return dtype_is_float(dtype) ? build_number(&e->b, dtype, (double)dim_value(size))
                                     : build_int(&e->b, dtype, dim_value(size));
    if (e->in_constant) {
        report_error(e, e->b.site->span, E_TIME, "the size %s is not known at elaboration",
                     dim_text(e->types, size));
        return NULL;
    }
    return build_cast(&e->b, build_dim(&e->b, size), dtype);
}

static struct value *float_tensor(struct elab *e, double number, int dtype, struct span span) {
    enum dtype want = dtype == DTYPE_ANY ? default_float(e) : (enum dtype)dtype;
    if (dtype_is_float(want))
        return build_number(&e->b, want, number);
    struct diag *diag = report_error(e, span, E_DTYPE, "a float number meets %s elements", dtype_text(want));
    diag_hint(diag,
              want == DTYPE_bool ? "f32(x) casts the bools" : "f32(x) casts the integers, int(a) the number");
    return NULL;
}

static struct value *int_tensor(struct elab *e, const struct dim *size, int dtype, struct span span) {
    enum dtype want = dtype == DTYPE_ANY ? DTYPE_i32 : (enum dtype)dtype;
    if (want != DTYPE_bool)
        return size_tensor(e, size, want);
    report_error(e, span, E_DTYPE, "a number meets bool elements");
    return NULL;
}

static struct value *bool_tensor(struct elab *e, bool truth, int dtype, struct span span) {
    if (dtype == DTYPE_ANY || dtype == DTYPE_bool)
        return build_int(&e->b, DTYPE_bool, truth);
    report_error(e, span, E_DTYPE, "a bool meets %s elements", dtype_text((enum dtype)dtype));
    return NULL;
}

struct value *to_tensor(struct elab *e, struct datum d, int dtype, struct span span) {
    switch (d.kind) {
    case DATUM_ERROR:
        return NULL;
    case DATUM_TENSOR:
        return d.tensor;
    case DATUM_CONSTANT:
        return constant_tensor(e, d.constant, dtype);
    case DATUM_FLOAT:
        return float_tensor(e, d.number, dtype, span);
    case DATUM_INT:
        return int_tensor(e, d.size, dtype, span);
    case DATUM_BOOL:
        return bool_tensor(e, d.truth, dtype, span);
    default:
        break;
    }
    struct diag *diag = report_error(e, span, E_TYPE, "a tensor is wanted here, this is %s", describe(e, d));
    label_name_at(e, diag, span);
    if (datum_is_sequence(d))
        diag_hint(diag, "tensor(list) makes one of a list of numbers, stack(list) of a list of tensors");
    return NULL;
}

/* The dtype that a number beside d takes: a tensor's; DTYPE_ANY where d says nothing. */
static int wanted_by(struct datum d) {
    return d.kind == DATUM_TENSOR ? (int)d.tensor->type->dtype : DTYPE_ANY;
}

/* The dtype for numbers that meet no tensor: a float beside an int makes both floats. */
static int common_of_numbers(struct elab *e, struct datum a, struct datum b) {
    if (a.kind == DATUM_CONSTANT || b.kind == DATUM_CONSTANT) {
        struct datum c = a.kind == DATUM_CONSTANT ? a : b;
        return dtype_is_float(c.constant->type->dtype) ? (int)default_float(e) : (int)c.constant->type->dtype;
    }
    return a.kind == DATUM_FLOAT || b.kind == DATUM_FLOAT ? (int)default_float(e) : DTYPE_ANY;
}

static void label_last(struct elab *e, const struct value *x, struct span span) {
    struct diag *diag = diags_last(e->diags);
    if (diag)
        label_operand(e, diag, x, span);
}

bool to_tensors(struct elab *e, struct datum a, struct datum b, struct span sa, struct span sb,
                struct value **x, struct value **y) {
    int for_a = wanted_by(b), for_b = wanted_by(a);
    if (for_a == DTYPE_ANY && for_b == DTYPE_ANY)
        for_a = for_b = common_of_numbers(e, a, b);
    *x = to_tensor(e, a, for_a, sa);
    *y = to_tensor(e, b, for_b, sb);
    if (a.kind == DATUM_TENSOR && !*y) /* the number does not suit the tensor: show that too */
        label_last(e, a.tensor, sa);
    if (b.kind == DATUM_TENSOR && !*x)
        label_last(e, b.tensor, sb);
    return *x && *y;
}
