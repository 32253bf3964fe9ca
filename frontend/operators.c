/* frontend/operators.c: unary and binary operators on numbers, sizes, lists and tensors. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

struct operands {
    struct datum a, b;
    struct span span, sa, sb;
};

static struct datum mismatch(struct elab *e, enum binary_op op, const struct operands *o) {
    struct diag *diag = report_error(e, o->span, E_TYPE, "`%s` does not go with %s and %s",
                                     binary_op_text(op), describe(e, o->a), describe(e, o->b));
    if ((o->a.kind == DATUM_LIST && datum_is_run_time(o->b)) ||
        (o->b.kind == DATUM_LIST && datum_is_run_time(o->a)))
        diag_hint(diag, "tensor(list) makes a tensor of a list of numbers, stack(list) of a list of tensors");
    else if (o->a.kind == DATUM_STRING || o->b.kind == DATUM_STRING)
        diag_hint(diag, "string(x) makes a string of a value, \"{x}\" puts it into one");
    else if (datum_is_none(o->a) || datum_is_none(o->b))
        diag_hint(diag, "it was left out: x == none asks whether there is a value");
    return datum_error();
}

/* ---- sizes ---- */

/* Note [Whose precondition]: what an entry's text asks of its sizes is asked of its callers alone; another
 * entry with an H of its own asks nothing. What a module's body asks (it runs once, for whoever comes first)
 * is asked by every entry that uses the instance, and is kept with it. */
static void require(struct elab *e, const struct precondition *p) {
    if (p->multiple)
        dim_assume_multiple(e->types, p->dim, p->multiple);
    if (e->function)
        function_require(e->function, p);
    for (struct frame *frame = e->frame; frame; frame = frame->caller)
        if (frame->is_body && frame->self && frame->self->body == BODY_RUNNING)
            VEC_PUSH(e->arena, &frame->self->preconditions, *p);
}

void require_again(struct elab *e, const struct instance *instance) {
    for (int i = 0; i < instance->preconditions.count; i++)
        require(e, &instance->preconditions.at[i]);
}

void require_not_negative(struct elab *e, const struct dim *dim, const char *message, struct span span) {
    require(e, &(struct precondition){dim, 0, message, site_here(e, span)});
}

void require_multiple(struct elab *e, const struct dim *dim, int64_t n, const char *message,
                      struct span span) {
    require(e, &(struct precondition){dim, n, message, site_here(e, span)});
}

enum { MOST_DIVISOR = 4096 }; /* that a size is asked to be a multiple of */

struct datum divide_sizes(struct elab *e, const struct dim *a, const struct dim *b, struct span span) {
    if (dim_is_const(b) && dim_value(b) == 0)
        return fail(e, span, E_DIM, "division by zero");
    const struct dim *q = dim_div(e->types, a, b);
    int64_t n = q ? dim_denominator(q) : 0;
    if (n == 0 || n > MOST_DIVISOR) {
        struct diag *diag = report_error(e, span, E_DIM, "%s does not divide %s", dim_text(e->types, b),
                                         dim_text(e->types, a));
        diag_hint(diag, "floordiv(a, b) rounds down; write a number as 3.0 for a float division");
        return datum_error();
    }
    if (n > 1)
        require_multiple(e, dim_mul(e->types, q, dim_const(e->types, n)), n, NULL, span);
    return datum_size(q);
}

static struct datum modulo_sizes(struct elab *e, const struct dim *a, const struct dim *b, struct span span) {
    if (!dim_is_const(b) || dim_value(b) <= 0)
        return fail(e, span, E_DIM, "`%%` wants a known positive divisor, this is %s", dim_text(e->types, b));
    int64_t n = dim_value(b);
    if (dim_is_const(a)) {
        int64_t r = dim_value(a) % n;
        return datum_int(e->types, r < 0 ? r + n : r);
    }
    if (dim_is_multiple(e->types, a, n))
        return datum_int(e->types, 0);
    const struct dim *whole = dim_mul(e->types, dim_floordiv(e->types, a, n), b);
    return datum_size(dim_sub(e->types, a, whole));
}

static struct datum power_sizes(struct elab *e, const struct operands *o) {
    if (!datum_is_known_int(o->b))
        return fail(e, o->sb, E_TIME, "the exponent is not known at elaboration: %s", describe(e, o->b));
    int64_t n = dim_value(o->b.size);
    if (n < 0) {
        if (!datum_is_known_int(o->a))
            return fail(e, o->sa, E_TIME, "%s is not known at elaboration", describe(e, o->a));
        return datum_float(pow((double)dim_value(o->a.size), (double)n));
    }
    if (dim_is_const(o->a.size) && n > 0 && pow(fabs((double)dim_value(o->a.size)), (double)n) > 4e18)
        return fail(e, o->span, E_DIM, "the power is too large for an int");
    if (n > 64 && !dim_is_const(o->a.size))
        return fail(e, o->span, E_DIM, "the power of a size is too large");
    if (n > 64) /* what did not overflow is a power of -1, 0 or 1 */
        n = 62 + n % 2;
    const struct dim *power = dim_const(e->types, 1);
    for (int64_t i = 0; i < n; i++)
        power = dim_mul(e->types, power, o->a.size);
    return datum_size(power);
}

static struct datum undecided(struct elab *e, enum binary_op op, const struct dim *a, const struct dim *b) {
    const char *text =
        arena_printf(e->arena, "%s %s %s", dim_text(e->types, a), binary_op_text(op), dim_text(e->types, b));
    return (struct datum){.kind = DATUM_UNDECIDED, .text = text};
}

static struct datum compare_sizes(struct elab *e, enum binary_op op, const struct dim *a,
                                  const struct dim *b) {
    int order = dim_compare(e->types, a, b);
    if (order == 2)
        return undecided(e, op, a, b);
    switch (op) {
    case BINARY_EQ:
        return datum_bool(order == 0);
    case BINARY_NE:
        return datum_bool(order != 0);
    case BINARY_LT:
        return datum_bool(order < 0);
    case BINARY_LE:
        return datum_bool(order <= 0);
    case BINARY_GT:
        return datum_bool(order > 0);
    default:
        return datum_bool(order >= 0);
    }
}

static bool is_comparison(enum binary_op op) {
    return op >= BINARY_EQ && op <= BINARY_GE;
}

/* Sums, differences and products of two numbers: what tables of them are made of. false: something else. */
static bool binary_numbers(struct elab *e, enum binary_op op, const struct operands *o, struct datum *out) {
    if (!dim_is_const(o->a.size) || !dim_is_const(o->b.size) || op < BINARY_ADD || op > BINARY_MUL)
        return false;
    int64_t a = dim_value(o->a.size), b = dim_value(o->b.size), r;
    bool overflows = op == BINARY_ADD   ? __builtin_add_overflow(a, b, &r)
                     : op == BINARY_SUB ? __builtin_sub_overflow(a, b, &r)
                                        : __builtin_mul_overflow(a, b, &r);
    *out = overflows ? fail(e, o->span, E_DIM, "the result is too large for an int") : datum_int(e->types, r);
    return true;
}

static struct datum binary_sizes(struct elab *e, enum binary_op op, const struct operands *o) {
    const struct dim *a = o->a.size, *b = o->b.size;
    if (is_comparison(op))
        return compare_sizes(e, op, a, b);
    struct datum number;
    if (binary_numbers(e, op, o, &number))
        return number;
    switch (op) {
    case BINARY_ADD:
        return datum_size(dim_add(e->types, a, b));
    case BINARY_SUB:
        return datum_size(dim_sub(e->types, a, b));
    case BINARY_MUL:
        return datum_size(dim_mul(e->types, a, b));
    case BINARY_DIV:
        return divide_sizes(e, a, b, o->span);
    case BINARY_MOD:
        return modulo_sizes(e, a, b, o->span);
    case BINARY_POW:
        return power_sizes(e, o);
    default:
        return mismatch(e, op, o);
    }
}

/* ---- floats ---- */

static double number_of(struct datum d) {
    return d.kind == DATUM_FLOAT ? d.number : (double)dim_value(d.size);
}

static struct datum binary_floats(struct elab *e, enum binary_op op, const struct operands *o) {
    double a = number_of(o->a), b = number_of(o->b);
    switch (op) {
    case BINARY_ADD:
        return datum_float(a + b);
    case BINARY_SUB:
        return datum_float(a - b);
    case BINARY_MUL:
        return datum_float(a * b);
    case BINARY_DIV:
        return datum_float(a / b);
    case BINARY_MOD:
        return datum_float(a - floor(a / b) * b);
    case BINARY_POW:
        return datum_float(pow(a, b));
    case BINARY_EQ:
        return datum_bool(a == b);
    case BINARY_NE:
        return datum_bool(a != b);
    case BINARY_LT:
        return datum_bool(a < b);
    case BINARY_LE:
        return datum_bool(a <= b);
    case BINARY_GT:
        return datum_bool(a > b);
    case BINARY_GE:
        return datum_bool(a >= b);
    default:
        return mismatch(e, op, o);
    }
}

/* ---- tensors ---- */

struct value *build_matmul(struct elab *e, struct value *x, struct value *y, struct span span) {
    if (!x || !y)
        return NULL;
    int rx = x->type->rank, ry = y->type->rank;
    if (rx == 0 || ry == 0) {
        report_error(e, span, E_SHAPE, "`@` wants at least one axis on both sides, these are %s and %s",
                     type_text(e->types, x->type), type_text(e->types, y->type));
        return NULL;
    }
    int batch = ry > 2 ? ry - 2 : 0;
    if (batch > 0 && rx - 2 != batch) {
        report_error(e, span, E_SHAPE, "`@` wants the same leading axes, these are %s and %s",
                     type_text(e->types, x->type), type_text(e->types, y->type));
        return NULL;
    }
    int64_t *axes = ARENA_ARRAY(e->arena, int64_t, batch);
    for (int i = 0; i < batch; i++)
        axes[i] = i;
    int64_t last = rx - 1, inner = ry == 1 ? 0 : ry - 2;
    return dot_product(e, x, y, axes, axes, batch, &last, &inner, 1);
}

/* x^n by squaring; n > 0. */
static struct value *whole_power(struct elab *e, struct value *x, int64_t n) {
    struct value *result = NULL;
    for (struct value *square = x; n > 0; n /= 2) {
        if (n % 2)
            result = result ? build_mul(&e->b, result, square) : square;
        if (n > 1)
            square = build_mul(&e->b, square, square);
    }
    return result;
}

static struct value *reciprocal(struct elab *e, struct value *x) {
    return x ? build_div(&e->b, build_like(&e->b, x, 1.0), x) : NULL;
}

/* Exponents that need no pow; NULL: it needs one. */
static struct value *easy_power(struct elab *e, struct value *x, double n) {
    bool is_float = dtype_is_float(x->type->dtype);
    if (n == floor(n) && n != 0.0 && fabs(n) <= 16.0 && (n > 0.0 || is_float)) {
        struct value *power = whole_power(e, x, (int64_t)fabs(n));
        return n > 0.0 ? power : reciprocal(e, power);
    }
    if (is_float && fabs(n) == 0.5) {
        struct value *root = build_unary(&e->b, OP_sqrt, x);
        return n > 0.0 ? root : reciprocal(e, root);
    }
    return NULL;
}

static struct datum power_tensors(struct elab *e, struct operands *o) {
    bool known = o->b.kind == DATUM_FLOAT || datum_is_known_int(o->b);
    if (known && datum_is_run_time(o->a)) {
        struct value *x = to_tensor(e, o->a, DTYPE_ANY, o->sa);
        struct value *power = x ? easy_power(e, x, number_of(o->b)) : NULL;
        if (!x || power)
            return datum_tensor(power);
        return datum_tensor(build_binary(&e->b, OP_pow, x, to_tensor(e, o->b, x->type->dtype, o->sb)));
    }
    struct value *x, *y;
    if (o->b.kind == DATUM_TENSOR && dtype_is_int(o->b.tensor->type->dtype) &&
        (o->a.kind == DATUM_FLOAT ||
         (o->a.kind == DATUM_TENSOR && dtype_is_float(o->a.tensor->type->dtype)))) {
        /* 0.9^k with a counter k */
        enum dtype dtype = o->a.kind == DATUM_TENSOR ? o->a.tensor->type->dtype : default_float(e);
        o->b = datum_tensor(build_cast(&e->b, o->b.tensor, dtype));
    }
    if (!to_tensors(e, o->a, o->b, o->sa, o->sb, &x, &y))
        return datum_error();
    return datum_tensor(build_binary(&e->b, OP_pow, x, y));
}

static struct datum divide_tensors(struct elab *e, const struct operands *o) {
    struct value *x, *y;
    if (!to_tensors(e, o->a, o->b, o->sa, o->sb, &x, &y) ||
        !operands_fit(e, "/", x, y, o->span, o->sa, o->sb))
        return datum_error();
    if (dtype_is_int(x->type->dtype)) {
        struct diag *diag = report_error(e, o->span, E_DTYPE, "`/` divides floats, these are %s and %s",
                                         type_text(e->types, x->type), type_text(e->types, y->type));
        diag_hint(diag, "floordiv(a, b) divides integers and rounds down; f32(a) casts");
        return datum_error();
    }
    return datum_tensor(build_div(&e->b, x, y));
}

/* op, and whether the operands change sides: a > b is b < a. */
static const struct {
    enum opcode code;
    bool swap;
} tensor_ops[] = {
    [BINARY_OR] = {OP_or, false},   [BINARY_AND] = {OP_and, false}, [BINARY_EQ] = {OP_eq, false},
    [BINARY_NE] = {OP_ne, false},   [BINARY_LT] = {OP_lt, false},   [BINARY_LE] = {OP_le, false},
    [BINARY_GT] = {OP_lt, true},    [BINARY_GE] = {OP_le, true},    [BINARY_ADD] = {OP_add, false},
    [BINARY_SUB] = {OP_sub, false}, [BINARY_MUL] = {OP_mul, false}, [BINARY_MOD] = {OP_mod, false},
};

/* x[..., k] @ y[..., k, n] */
static bool inner_sizes_fit(struct elab *e, const struct value *x, const struct value *y,
                            const struct operands *o) {
    const struct type *a = x->type, *b = y->type;
    if (a->rank == 0 || b->rank == 0)
        return true; /* build_matmul says it */
    const struct dim *k = a->dims[a->rank - 1], *m = b->dims[b->rank == 1 ? 0 : b->rank - 2];
    if (k == m)
        return true;
    struct diag *diag = report_error(
        e, o->span, E_SHAPE, "the inner sizes of `@` differ: %s and %s, of %s and %s", dim_text(e->types, k),
        dim_text(e->types, m), type_text(e->types, a), type_text(e->types, b));
    label_operand(e, diag, x, o->sa);
    label_operand(e, diag, y, o->sb);
    if (b->rank > 1 && b->dims[b->rank - 1] == k)
        diag_hint(diag, "the last sizes agree: transpose the right side, x @ transpose(w)");
    return false;
}

static struct datum binary_tensors(struct elab *e, enum binary_op op, struct operands *o) {
    if (op == BINARY_POW)
        return power_tensors(e, o);
    if (op == BINARY_DIV)
        return divide_tensors(e, o);
    struct value *x, *y;
    if (!to_tensors(e, o->a, o->b, o->sa, o->sb, &x, &y))
        return datum_error();
    if (op == BINARY_MATMUL)
        return inner_sizes_fit(e, x, y, o) ? datum_tensor(build_matmul(e, x, y, o->span)) : datum_error();
    if (!operands_fit(e, binary_op_text(op), x, y, o->span, o->sa, o->sb))
        return datum_error();
    bool swap = tensor_ops[op].swap;
    return datum_tensor(build_binary(&e->b, tensor_ops[op].code, swap ? y : x, swap ? x : y));
}

/* ---- everything else ---- */

static struct datum is_in(struct elab *e, const struct operands *o, bool wanted) {
    const struct list *items;
    if (!datum_items(e, o->b, o->sb, &items))
        return datum_error();
    for (int i = 0; i < items->count; i++)
        if (datum_equal(e->types, o->a, items->at[i]))
            return datum_bool(wanted);
    return datum_bool(!wanted);
}

static struct datum make_range(struct elab *e, const struct operands *o) {
    const struct datum ends[] = {o->a, o->b};
    const struct span spans[] = {o->sa, o->sb};
    for (int i = 0; i < 2; i++)
        if (ends[i].kind != DATUM_INT &&
            !(ends[i].kind == DATUM_TENSOR && ends[i].tensor->type == type_scalar(e->types, DTYPE_i32)))
            return fail(e, spans[i], E_TYPE, "the ends of a range are ints or i32[], this is %s",
                        describe(e, ends[i]));
    struct range *range = ARENA_NEW(e->arena, struct range);
    range->lo = o->a;
    range->hi = o->b;
    return (struct datum){.kind = DATUM_RANGE, .range = range};
}

static struct datum binary_bools(struct elab *e, enum binary_op op, const struct operands *o) {
    switch (op) {
    case BINARY_AND:
        return datum_bool(o->a.truth && o->b.truth);
    case BINARY_OR:
        return datum_bool(o->a.truth || o->b.truth);
    case BINARY_EQ:
        return datum_bool(o->a.truth == o->b.truth);
    case BINARY_NE:
        return datum_bool(o->a.truth != o->b.truth);
    default:
        return mismatch(e, op, o);
    }
}

/* A bool known now beside a tensor: true and t is t, false and t is false. */
static struct datum fold_bool(bool known, enum binary_op op, struct datum tensor) {
    return known == (op == BINARY_AND) ? tensor : datum_bool(known);
}

static struct datum undecided_logic(struct elab *e, enum binary_op op, const struct operands *o) {
    struct datum known = o->a.kind == DATUM_BOOL ? o->a : o->b, other = o->a.kind == DATUM_BOOL ? o->b : o->a;
    if (known.kind == DATUM_BOOL)
        return fold_bool(known.truth, op, other);
    if (o->a.kind != o->b.kind)
        return mismatch(e, op, o);
    const char *text = arena_printf(e->arena, "%s %s %s", o->a.text, binary_op_text(op), o->b.text);
    return (struct datum){.kind = DATUM_UNDECIDED, .text = text};
}

static struct datum binary_others(struct elab *e, enum binary_op op, const struct operands *o) {
    if (op == BINARY_EQ || op == BINARY_NE)
        return datum_bool(datum_equal(e->types, o->a, o->b) == (op == BINARY_EQ));
    if (op == BINARY_ADD && o->a.kind == DATUM_STRING && o->b.kind == DATUM_STRING &&
        strlen(o->a.text) + strlen(o->b.text) > MAX_TEXT)
        return fail(e, o->span, E_UNSUPPORTED, "a string of more than %d bytes", MAX_TEXT);
    if (op == BINARY_ADD && o->a.kind == DATUM_STRING && o->b.kind == DATUM_STRING)
        return datum_string(intern(e->names, arena_printf(e->arena, "%s%s", o->a.text, o->b.text)));
    bool is_list = o->a.kind == DATUM_LIST || o->a.kind == DATUM_RANGE;
    if (op == BINARY_ADD && is_list && !datum_is_run_time(o->b)) {
        const struct list *a, *b;
        if (!datum_items(e, o->a, o->sa, &a) || !datum_items(e, o->b, o->sb, &b))
            return datum_error();
        if (a->count + (int64_t)b->count > MAX_LIST)
            return fail(e, o->span, E_UNSUPPORTED, "a list of more than %d elements", MAX_LIST);
        return datum_list_join(e->arena, a, b);
    }
    return mismatch(e, op, o);
}

static bool is_arithmetic(struct datum d) {
    return datum_is_number(d) || datum_is_run_time(d) || d.kind == DATUM_BOOL;
}

struct datum apply_binary(struct elab *e, enum binary_op op, struct datum a, struct datum b, struct span span,
                          struct span sa, struct span sb) {
    struct operands o = {a, b, span, sa, sb};
    if (datum_is_error(a) || datum_is_error(b))
        return datum_error();
    if (op == BINARY_IN || op == BINARY_NOT_IN)
        return is_in(e, &o, op == BINARY_IN);
    if (op == BINARY_RANGE)
        return make_range(e, &o);
    if (op == BINARY_AND || op == BINARY_OR) {
        if (a.kind == DATUM_UNDECIDED || b.kind == DATUM_UNDECIDED)
            return undecided_logic(e, op, &o);
        if (a.kind == DATUM_BOOL && b.kind == DATUM_TENSOR)
            return fold_bool(a.truth, op, b);
        if (b.kind == DATUM_BOOL && a.kind == DATUM_TENSOR)
            return fold_bool(b.truth, op, a);
    }
    if (!is_arithmetic(a) || !is_arithmetic(b))
        return binary_others(e, op, &o);
    if (datum_is_run_time(a) || datum_is_run_time(b))
        return binary_tensors(e, op, &o);
    if (a.kind == DATUM_BOOL || b.kind == DATUM_BOOL)
        return a.kind == b.kind ? binary_bools(e, op, &o) : binary_others(e, op, &o);
    if (a.kind == DATUM_INT && b.kind == DATUM_INT)
        return binary_sizes(e, op, &o);
    bool known =
        (a.kind == DATUM_FLOAT || dim_is_const(a.size)) && (b.kind == DATUM_FLOAT || dim_is_const(b.size));
    return known ? binary_floats(e, op, &o) : binary_tensors(e, op, &o); /* 1.0 / B is a value of run time */
}

struct datum apply_unary(struct elab *e, enum unary_op op, struct datum a, struct span span,
                         struct span operand) {
    bool negate = op == UNARY_NEG;
    switch (a.kind) {
    case DATUM_ERROR:
        return a;
    case DATUM_INT:
        if (negate)
            return datum_size(dim_sub(e->types, dim_const(e->types, 0), a.size));
        break;
    case DATUM_FLOAT:
        if (negate)
            return datum_float(-a.number);
        break;
    case DATUM_BOOL:
        if (!negate)
            return datum_bool(!a.truth);
        break;
    case DATUM_UNDECIDED:
        if (!negate)
            return (struct datum){.kind = DATUM_UNDECIDED,
                                  .text = arena_printf(e->arena, "not (%s)", a.text)};
        break;
    case DATUM_TENSOR:
    case DATUM_CONSTANT:
        return datum_tensor(
            build_unary(&e->b, negate ? OP_neg : OP_not, to_tensor(e, a, DTYPE_ANY, operand)));
    default:
        break;
    }
    return fail(e, span, E_TYPE, "`%s` does not go with %s", negate ? "-" : "not", describe(e, a));
}
