/* codegen/emit_op.c: elementwise operators on registers, scalar or vector alike, with the meaning that
 * ir/ops.def gives them. No flag that changes a float's meaning is ever set, and nothing is contracted behind
 * our back. */
#include "codegen/emission.h"

#include <assert.h>
#include <string.h>

LLVMValueRef emit_intrinsic2(struct emitter *e, const char *name, LLVMTypeRef a, LLVMTypeRef b,
                             LLVMValueRef *args, int count) {
    LLVMTypeRef types[] = {a, b};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(e->module, id, types, 2);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->context, id, types, 2);
    return LLVMBuildCall2(e->b, type, callee, args, (unsigned)count, "");
}

/* An operator at work: dtype of the arguments (of the last one: a select's condition comes first) and of the
 * result. */
struct work {
    struct emitter *e;
    LLVMBuilderRef b;
    const struct loop_expr *x;
    enum dtype of;
    enum dtype_class class;
    LLVMTypeRef type; /* of the arguments */
    LLVMValueRef *args;
};

static bool is_float(const struct work *w) {
    return w->class == CLASS_FLOAT;
}

static LLVMValueRef op_add(struct work *w) {
    return is_float(w) ? LLVMBuildFAdd(w->b, w->args[0], w->args[1], "")
                       : LLVMBuildAdd(w->b, w->args[0], w->args[1], "");
}

static LLVMValueRef op_sub(struct work *w) {
    return is_float(w) ? LLVMBuildFSub(w->b, w->args[0], w->args[1], "")
                       : LLVMBuildSub(w->b, w->args[0], w->args[1], "");
}

static LLVMValueRef op_mul(struct work *w) {
    return is_float(w) ? LLVMBuildFMul(w->b, w->args[0], w->args[1], "")
                       : LLVMBuildMul(w->b, w->args[0], w->args[1], "");
}

/* ---- integer division: floors, and gives 0 for a divisor of 0 ---- */

static bool is_plain_division(const struct work *w) {
    const struct loop_expr *a = w->x->args[0], *d = w->x->args[1];
    return d->kind == LEXPR_INT && d->i > 0 && (a->min >= 0 || w->class == CLASS_UNSIGNED);
}

/* A divisor that the machine may divide by: 0 becomes 1; so does -1 under the least number, whose quotient
 * overflows: x / -1 is made by hand (see int_div). */
static LLVMValueRef safe_divisor(struct work *w, LLVMValueRef d) {
    LLVMValueRef one = const_like(w->type, 1),
                 bad = LLVMBuildICmp(w->b, LLVMIntEQ, d, LLVMConstNull(w->type), "");
    if (w->class == CLASS_SIGNED)
        bad = LLVMBuildOr(w->b, bad, LLVMBuildICmp(w->b, LLVMIntEQ, d, const_like(w->type, -1), ""), "");
    return LLVMBuildSelect(w->b, bad, one, d, "");
}

static LLVMValueRef is_zero(struct work *w, LLVMValueRef x) {
    return LLVMBuildICmp(w->b, LLVMIntEQ, x, LLVMConstNull(w->type), "");
}

/* quotient - 1 where the remainder is not zero and the signs differ */
static LLVMValueRef rounded_down(struct work *w, LLVMValueRef q, LLVMValueRef r, LLVMValueRef d) {
    LLVMValueRef zero = LLVMConstNull(w->type);
    LLVMValueRef differ = LLVMBuildICmp(w->b, LLVMIntSLT, LLVMBuildXor(w->b, r, d, ""), zero, "");
    LLVMValueRef inexact = LLVMBuildICmp(w->b, LLVMIntNE, r, zero, "");
    LLVMValueRef down = LLVMBuildAnd(w->b, differ, inexact, "");
    return LLVMBuildSub(w->b, q, LLVMBuildZExt(w->b, down, w->type, ""), "");
}

static LLVMValueRef int_div(struct work *w) {
    LLVMValueRef a = w->args[0], d = w->args[1];
    if (is_plain_division(w))
        return LLVMBuildUDiv(w->b, a, d, "");
    LLVMValueRef safe = safe_divisor(w, d), q;
    if (w->class == CLASS_UNSIGNED) {
        q = LLVMBuildUDiv(w->b, a, safe, "");
    } else {
        q = LLVMBuildSDiv(w->b, a, safe, "");
        q = rounded_down(w, q, LLVMBuildSub(w->b, a, LLVMBuildMul(w->b, q, safe, ""), ""), safe);
        LLVMValueRef minus_one = LLVMBuildICmp(w->b, LLVMIntEQ, d, const_like(w->type, -1), "");
        q = LLVMBuildSelect(w->b, minus_one, LLVMBuildNeg(w->b, a, ""), q, "");
    }
    return LLVMBuildSelect(w->b, is_zero(w, d), LLVMConstNull(w->type), q, "");
}

static LLVMValueRef int_mod(struct work *w) {
    LLVMValueRef a = w->args[0], d = w->args[1];
    if (is_plain_division(w))
        return LLVMBuildURem(w->b, a, d, "");
    LLVMValueRef r = LLVMBuildSub(w->b, a, LLVMBuildMul(w->b, int_div(w), d, ""), "");
    return LLVMBuildSelect(w->b, is_zero(w, d), LLVMConstNull(w->type), r, "");
}

static LLVMValueRef op_div(struct work *w) {
    return is_float(w) ? LLVMBuildFDiv(w->b, w->args[0], w->args[1], "") : int_div(w);
}

/* x - floor(x / y) * y without its roundings: the exact remainder of fmod, brought to the sign of the
 * divisor. */
static LLVMValueRef op_mod(struct work *w) {
    if (!is_float(w))
        return int_mod(w);
    LLVMBuilderRef b = w->b;
    LLVMValueRef y = w->args[1], zero = const_like(w->type, 0), r = LLVMBuildFRem(b, w->args[0], y, "");
    LLVMValueRef r_below = LLVMBuildFCmp(b, LLVMRealOLT, r, zero, ""),
                 y_below = LLVMBuildFCmp(b, LLVMRealOLT, y, zero, "");
    LLVMValueRef differ = LLVMBuildAnd(b, LLVMBuildFCmp(b, LLVMRealONE, r, zero, ""),
                                       LLVMBuildXor(b, r_below, y_below, ""), "");
    return LLVMBuildSelect(b, differ, LLVMBuildFAdd(b, r, y, ""), r, "");
}

/* ---- order ---- */

static bool is_number(LLVMValueRef x) {
    return LLVMIsConstant(x) && !LLVMIsUndef(x);
}

/* select(x > y, x, y) is one instruction of x86 and gives y where either is NaN: enough where x can be no
 * NaN. */
static LLVMValueRef float_order(struct emitter *e, LLVMValueRef x, LLVMValueRef y, LLVMRealPredicate better) {
    LLVMBuilderRef b = e->b;
    if (is_number(y)) {
        LLVMValueRef t = x;
        x = y, y = t;
    }
    LLVMValueRef r = LLVMBuildSelect(b, LLVMBuildFCmp(b, better, x, y, ""), x, y, "");
    if (is_number(x))
        return r;
    return LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealUNO, x, x, ""), x, r, "");
}

LLVMValueRef emit_max(struct emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return float_order(e, x, y, LLVMRealOGT);
}

LLVMValueRef emit_min(struct emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return float_order(e, x, y, LLVMRealOLT);
}

static LLVMValueRef int_order(struct work *w, LLVMIntPredicate with_sign, LLVMIntPredicate without) {
    LLVMIntPredicate p = w->class == CLASS_SIGNED ? with_sign : without;
    return LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, p, w->args[0], w->args[1], ""), w->args[0], w->args[1],
                           "");
}

static LLVMValueRef op_max(struct work *w) {
    return is_float(w) ? emit_max(w->e, w->args[0], w->args[1]) : int_order(w, LLVMIntSGT, LLVMIntUGT);
}

static LLVMValueRef op_min(struct work *w) {
    return is_float(w) ? emit_min(w->e, w->args[0], w->args[1]) : int_order(w, LLVMIntSLT, LLVMIntULT);
}

static LLVMValueRef compare(struct work *w, LLVMRealPredicate real, LLVMIntPredicate with_sign,
                            LLVMIntPredicate without) {
    if (is_float(w))
        return LLVMBuildFCmp(w->b, real, w->args[0], w->args[1], "");
    LLVMIntPredicate p = w->class == CLASS_SIGNED ? with_sign : without;
    return LLVMBuildICmp(w->b, p, w->args[0], w->args[1], "");
}

static LLVMValueRef op_eq(struct work *w) {
    return compare(w, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ);
}

static LLVMValueRef op_ne(struct work *w) {
    return compare(w, LLVMRealUNE, LLVMIntNE, LLVMIntNE);
}

static LLVMValueRef op_lt(struct work *w) {
    return compare(w, LLVMRealOLT, LLVMIntSLT, LLVMIntULT);
}

static LLVMValueRef op_le(struct work *w) {
    return compare(w, LLVMRealOLE, LLVMIntSLE, LLVMIntULE);
}

/* ---- one operand ---- */

static LLVMValueRef op_neg(struct work *w) {
    return is_float(w) ? LLVMBuildFNeg(w->b, w->args[0], "") : LLVMBuildNeg(w->b, w->args[0], "");
}

static LLVMValueRef op_abs(struct work *w) {
    if (is_float(w))
        return emit_intrinsic(w->e, "llvm.fabs", w->type, w->args, 1);
    if (w->class != CLASS_SIGNED)
        return w->args[0];
    LLVMValueRef negative = LLVMBuildICmp(w->b, LLVMIntSLT, w->args[0], LLVMConstNull(w->type), "");
    return LLVMBuildSelect(w->b, negative, LLVMBuildNeg(w->b, w->args[0], ""), w->args[0], "");
}

/* -1, 0 or 1; of a NaN: itself */
static LLVMValueRef op_sign(struct work *w) {
    LLVMValueRef x = w->args[0], zero = LLVMConstNull(w->type);
    LLVMValueRef one = const_like(w->type, 1), minus_one = const_like(w->type, -1);
    if (is_float(w)) {
        LLVMValueRef r =
            LLVMBuildSelect(w->b, LLVMBuildFCmp(w->b, LLVMRealOLT, x, zero, ""), minus_one, x, "");
        return LLVMBuildSelect(w->b, LLVMBuildFCmp(w->b, LLVMRealOGT, x, zero, ""), one, r, "");
    }
    LLVMValueRef positive = LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, LLVMIntNE, x, zero, ""), one, zero, "");
    if (w->class != CLASS_SIGNED)
        return positive;
    return LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, LLVMIntSLT, x, zero, ""), minus_one, positive, "");
}

static LLVMValueRef op_math(struct work *w) {
    return emit_math(w->e, w->x->code, w->args[0], w->args[1]);
}

static LLVMValueRef op_exp(struct work *w) {
    return w->x->i ? emit_exp_below(w->e, w->args[0]) : op_math(w);
}

static LLVMValueRef op_same(struct work *w) {
    return w->args[0];
}

/* ---- bits ---- */

/* Note [Masks known in part]: LLVM 19 reads past the end where a masked load is split in two registers and
 * the second part of its mask is known to be false, as `and` of a splat and a constant: it takes that part's
 * mask for true. A comparison hides the constant from it. (Masks of AVX-512 are not split.) */
LLVMValueRef emit_mask_and(struct emitter *e, LLVMValueRef a, LLVMValueRef b) {
    if (LLVMIsConstant(a)) {
        LLVMValueRef t = a;
        a = b, b = t;
    }
    int lanes = lane_count(a);
    if (!lanes || !LLVMIsConstant(b) || LLVMIsConstant(a) || e->target->vector_bits >= 512)
        return LLVMBuildAnd(e->b, a, b, "");
    LLVMTypeRef type = type_like(e->i8, LLVMTypeOf(a));
    LLVMValueRef least = LLVMBuildZExt(e->b, LLVMBuildNot(e->b, b, ""), type, ""); /* 0: it may be true */
    return LLVMBuildICmp(e->b, LLVMIntUGT, LLVMBuildZExt(e->b, a, type, ""), least, "");
}

static LLVMValueRef op_and(struct work *w) {
    if (w->of == DTYPE_bool)
        return emit_mask_and(w->e, w->args[0], w->args[1]);
    return LLVMBuildAnd(w->b, w->args[0], w->args[1], "");
}

static LLVMValueRef op_or(struct work *w) {
    return LLVMBuildOr(w->b, w->args[0], w->args[1], "");
}

static LLVMValueRef op_xor(struct work *w) {
    return LLVMBuildXor(w->b, w->args[0], w->args[1], "");
}

static LLVMValueRef op_not(struct work *w) {
    return LLVMBuildNot(w->b, w->args[0], "");
}

static LLVMValueRef shift_in_range(struct work *w) {
    LLVMValueRef width = const_like(w->type, 8 * dtype_bytes(w->of));
    return LLVMBuildICmp(w->b, LLVMIntULT, w->args[1], width, "");
}

static LLVMValueRef op_shl(struct work *w) {
    LLVMValueRef good = shift_in_range(w), zero = LLVMConstNull(w->type);
    LLVMValueRef by = LLVMBuildSelect(w->b, good, w->args[1], zero, "");
    return LLVMBuildSelect(w->b, good, LLVMBuildShl(w->b, w->args[0], by, ""), zero, "");
}

static LLVMValueRef op_shr(struct work *w) {
    LLVMValueRef good = shift_in_range(w);
    if (w->class == CLASS_SIGNED) {
        LLVMValueRef all = const_like(w->type, 8 * dtype_bytes(w->of) - 1);
        return LLVMBuildAShr(w->b, w->args[0], LLVMBuildSelect(w->b, good, w->args[1], all, ""), "");
    }
    LLVMValueRef zero = LLVMConstNull(w->type), by = LLVMBuildSelect(w->b, good, w->args[1], zero, "");
    return LLVMBuildSelect(w->b, good, LLVMBuildLShr(w->b, w->args[0], by, ""), zero, "");
}

static LLVMValueRef op_select(struct work *w) {
    return LLVMBuildSelect(w->b, w->args[0], w->args[1], w->args[2], "");
}

/* ---- conversions ---- */

static LLVMTypeRef register_type(struct emitter *e, enum dtype d) {
    if (d == DTYPE_f64)
        return e->f64;
    if (dtype_is_float(d))
        return e->f32;
    return d == DTYPE_bool ? e->i1 : LLVMIntTypeInContext(e->context, 8 * (unsigned)dtype_bytes(d));
}

static LLVMValueRef float_to_int(struct emitter *e, LLVMValueRef x, enum dtype to, LLVMTypeRef type) {
    if (to == DTYPE_bool)
        return LLVMBuildFCmp(e->b, LLVMRealUNE, x, LLVMConstNull(LLVMTypeOf(x)), "");
    bool with_sign = dtype_class(to) == CLASS_SIGNED;
    return emit_intrinsic2(e, with_sign ? "llvm.fptosi.sat" : "llvm.fptoui.sat", type, LLVMTypeOf(x), &x, 1);
}

static LLVMValueRef int_to_float(struct emitter *e, LLVMValueRef x, enum dtype from, LLVMTypeRef type) {
    return dtype_class(from) == CLASS_SIGNED ? LLVMBuildSIToFP(e->b, x, type, "")
                                             : LLVMBuildUIToFP(e->b, x, type, "");
}

static LLVMValueRef int_to_int(struct emitter *e, LLVMValueRef x, enum dtype from, enum dtype to,
                               LLVMTypeRef type) {
    if (to == DTYPE_bool)
        return LLVMBuildICmp(e->b, LLVMIntNE, x, LLVMConstNull(LLVMTypeOf(x)), "");
    return LLVMBuildIntCast2(e->b, x, type, dtype_class(from) == CLASS_SIGNED, "");
}

/* An f64 as an f32 from which a 16-bit float comes out as if the f64 had been rounded once: towards zero, the
 * last bit set where anything was lost (Boldo and Melquiond 2008, rounding to odd). */
static LLVMValueRef round_to_odd(struct emitter *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef floats = type_like(e->f32, LLVMTypeOf(x)), words = type_like(e->i32, LLVMTypeOf(x));
    LLVMValueRef near = LLVMBuildFPTrunc(b, x, floats, ""), back = LLVMBuildFPExt(b, near, LLVMTypeOf(x), "");
    LLVMValueRef size = emit_intrinsic(e, "llvm.fabs", LLVMTypeOf(x), &x, 1);
    LLVMValueRef near_size = emit_intrinsic(e, "llvm.fabs", LLVMTypeOf(x), &back, 1);
    LLVMValueRef is_up = LLVMBuildZExt(b, LLVMBuildFCmp(b, LLVMRealOGT, near_size, size, ""), words, "");
    LLVMValueRef is_lost = LLVMBuildZExt(b, LLVMBuildFCmp(b, LLVMRealONE, back, x, ""), words, "");
    LLVMValueRef bits = LLVMBuildSub(b, LLVMBuildBitCast(b, near, words, ""), is_up, "");
    return LLVMBuildBitCast(b, LLVMBuildOr(b, bits, is_lost, ""), floats, "");
}

/* As a 16-bit float, in an f32 that has its value or may be rounded to it. Integers of 32 bits and more go by
 * way of f64, which holds them (of 64 bits: but for the last places, as the evaluator has them). */
static LLVMValueRef to_narrow(struct emitter *e, LLVMValueRef x, enum dtype from) {
    LLVMTypeRef doubles = type_like(e->f64, LLVMTypeOf(x));
    if (from == DTYPE_f64)
        return round_to_odd(e, x);
    if (dtype_is_int(from) && dtype_bytes(from) >= 4)
        return round_to_odd(e, int_to_float(e, x, from, doubles));
    return dtype_is_float(from) ? x : int_to_float(e, x, from, type_like(e->f32, LLVMTypeOf(x)));
}

LLVMValueRef emit_narrow(struct emitter *e, LLVMValueRef x, enum dtype from, enum dtype to) {
    return emit_to_memory(e, to, to_narrow(e, x, from));
}

/* What is rounded to a 16-bit float goes on as an f32 with that value. */
LLVMValueRef emit_cast(struct emitter *e, LLVMValueRef x, enum dtype from, enum dtype to) {
    LLVMTypeRef type = type_like(register_type(e, to), LLVMTypeOf(x));
    LLVMValueRef r;
    if (from == to)
        return x;
    if (to == DTYPE_bf16)
        return emit_round_bf16(e, to_narrow(e, x, from));
    if (to == DTYPE_f16)
        return emit_from_memory(e, to, emit_narrow(e, x, from, to));
    if (dtype_is_float(from) && dtype_is_float(to))
        r = LLVMTypeOf(x) == type ? x : LLVMBuildFPCast(e->b, x, type, "");
    else if (dtype_is_float(from))
        r = float_to_int(e, x, to, type);
    else if (dtype_is_float(to))
        r = int_to_float(e, x, from, type);
    else
        r = int_to_int(e, x, from, to, type);
    return r;
}

static LLVMValueRef op_cast(struct work *w) {
    /* An index that stays in 32 bits is the integer itself. */
    if (index_is_narrow(w->x) && lane_count(w->args[0]))
        return int_to_int(w->e, w->args[0], w->of, DTYPE_i32, type_like(w->e->i32, w->type));
    return emit_cast(w->e, w->args[0], w->of, w->x->dtype);
}

static LLVMValueRef op_bitcast(struct work *w) {
    LLVMValueRef raw = emit_to_memory(w->e, w->of, w->args[0]);
    enum dtype to = w->x->dtype;
    LLVMTypeRef memory = to == DTYPE_f32 ? w->e->f32
                         : to == DTYPE_f64
                             ? w->e->f64
                             : LLVMIntTypeInContext(w->e->context, 8 * (unsigned)dtype_bytes(to));
    LLVMValueRef bits = LLVMBuildBitCast(w->b, raw, type_like(memory, w->type), "");
    return emit_from_memory(w->e, to, bits);
}

static LLVMValueRef (*const operators[OP_COUNT])(struct work *) = {
    [OP_add] = op_add,    [OP_sub] = op_sub,         [OP_mul] = op_mul,
    [OP_div] = op_div,    [OP_mod] = op_mod,         [OP_pow] = op_math,
    [OP_max] = op_max,    [OP_min] = op_min,         [OP_atan2] = op_math,
    [OP_neg] = op_neg,    [OP_abs] = op_abs,         [OP_sign] = op_sign,
    [OP_floor] = op_math, [OP_round] = op_math,      [OP_exp] = op_exp,
    [OP_expm1] = op_math, [OP_log] = op_math,        [OP_log1p] = op_math,
    [OP_sqrt] = op_math,  [OP_sin] = op_math,        [OP_cos] = op_math,
    [OP_tanh] = op_math,  [OP_erf] = op_math,        [OP_erfc] = op_math,
    [OP_gelu] = op_math,  [OP_eq] = op_eq,           [OP_ne] = op_ne,
    [OP_lt] = op_lt,      [OP_le] = op_le,           [OP_and] = op_and,
    [OP_or] = op_or,      [OP_xor] = op_xor,         [OP_not] = op_not,
    [OP_shl] = op_shl,    [OP_shr] = op_shr,         [OP_select] = op_select,
    [OP_cast] = op_cast,  [OP_bitcast] = op_bitcast, [OP_stop_gradient] = op_same,
};

/* Of two vectors of index arithmetic one may be in 32 bits: brings both to the wider. */
static void match_widths(struct emitter *e, LLVMValueRef *args, int first, int count) {
    if (count - first < 2 || LLVMTypeOf(args[first]) == LLVMTypeOf(args[first + 1]))
        return;
    for (int i = first; i < count; i++)
        if (element_type(args[i]) == e->i32)
            args[i] = LLVMBuildSExt(e->b, args[i], type_like(e->i64, LLVMTypeOf(args[i])), "");
}

LLVMValueRef emit_operator(struct emission *em, const struct loop_expr *x, LLVMValueRef *args) {
    assert(operators[x->code]);
    int first = x->code == OP_select ? 1 : 0;
    enum dtype of = x->args[first]->dtype;
    if (of == DTYPE_i64)
        match_widths(em->e, args, first, x->arg_count);
    struct work w = {.e = em->e,
                     .b = em->e->b,
                     .x = x,
                     .of = of,
                     .class = dtype_class(of),
                     .type = LLVMTypeOf(args[first]),
                     .args = args};
    LLVMValueRef r = operators[x->code](&w);
    bool is_index = x->dtype == DTYPE_i64 && lane_count(r) > 0;
    if (is_index && !index_is_narrow(x) && element_type(r) == em->e->i32)
        r = LLVMBuildSExt(em->e->b, r, type_like(em->e->i64, LLVMTypeOf(r)), "");
    return r;
}
