/* codegen/vecmath_calls.c: the longer functions, each once in a module for each vector length: sin and cos,
 * erfc, gelu, pow, atan2 of f32, computed with f64 inside; and libm for f64. */
#include "codegen/vecmath.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- f64 beside f32 ---- */

static struct vm wide_of(const struct vm *m) {
    struct vm w = *m;
    w.type = m->lanes ? LLVMVectorType(m->e->f64, (unsigned)m->lanes) : m->e->f64;
    w.ints = m->lanes ? LLVMVectorType(m->e->i64, (unsigned)m->lanes) : m->e->i64;
    return w;
}

static LLVMValueRef widen(const struct vm *w, LLVMValueRef x) {
    return LLVMBuildFPExt(w->b, x, w->type, "");
}

static LLVMValueRef narrow(const struct vm *m, LLVMValueRef x) {
    return LLVMBuildFPTrunc(m->b, x, m->type, "");
}

/* The nearest integer as a float, and as an integer: see Note [Rounding by a sum]; here |x| < 2^51. */
struct wide_rounded {
    LLVMValueRef value, bits;
};

static struct wide_rounded round_wide(const struct vm *w, LLVMValueRef x) {
    LLVMValueRef rounder = vm_const(w, 0x1.8p52), t = vm_add(w, x, rounder);
    LLVMValueRef bits = LLVMBuildSub(w->b, vm_bits(w, t), vm_int(w, 0x4338000000000000), "");
    return (struct wide_rounded){vm_sub(w, t, rounder), bits};
}

static LLVMValueRef equals(const struct vm *m, LLVMValueRef x, double y) {
    return LLVMBuildFCmp(m->b, LLVMRealOEQ, x, vm_const(m, y), "");
}

/* ---- functions in the module ---- */

typedef LLVMValueRef vm_body(const struct vm *m, LLVMValueRef x, LLVMValueRef y);

static LLVMValueRef define(const struct vm *m, const char *name, unsigned arity, vm_body *body) {
    struct emitter e = *m->e;
    e.b = LLVMCreateBuilderInContext(e.context);
    LLVMTypeRef params[] = {m->type, m->type};
    LLVMTypeRef type = LLVMFunctionType(m->type, params, arity, false);
    e.fn = LLVMAddFunction(e.module, name, type);
    LLVMSetLinkage(e.fn, LLVMInternalLinkage);
    emit_attributes(&e, e.fn);
    LLVMPositionBuilderAtEnd(e.b, LLVMAppendBasicBlockInContext(e.context, e.fn, "entry"));
    struct vm inside = *m;
    inside.e = &e;
    inside.b = e.b;
    LLVMBuildRet(e.b, body(&inside, LLVMGetParam(e.fn, 0), arity > 1 ? LLVMGetParam(e.fn, 1) : NULL));
    LLVMDisposeBuilder(e.b);
    return e.fn;
}

/* A call of the function weft.<word>.<lanes>, which is defined at its first use. */
static LLVMValueRef call_body(const struct vm *m, const char *word, unsigned arity, vm_body *body,
                              LLVMValueRef x, LLVMValueRef y) {
    char name[32];
    snprintf(name, sizeof(name), "weft.%s.%d", word, m->lanes);
    LLVMValueRef fn = LLVMGetNamedFunction(m->e->module, name);
    if (!fn)
        fn = define(m, name, arity, body);
    LLVMValueRef args[] = {x, y};
    return LLVMBuildCall2(m->b, LLVMGlobalGetValueType(fn), fn, args, arity, "");
}

/* ---- sin and cos ---- */

/* x = n * pi / 2 + r, |r| <= pi / 4. n counts quarter turns; only its last two bits matter. */
struct quarter {
    LLVMValueRef n, r;
};

/* pi / 2 in two parts, the first of 33 bits: n times it is exact in f64 while |x| < 2^20. */
static struct quarter quarters_of_small(const struct vm *m, LLVMValueRef x) {
    struct vm w = wide_of(m);
    LLVMValueRef wide = widen(&w, x);
    struct wide_rounded n = round_wide(&w, vm_mul(&w, wide, vm_const(&w, 0.63661977236758134308)));
    LLVMValueRef r = vm_fma(&w, n.value, vm_const(&w, -1.57079632673412561417), wide);
    r = vm_fma(&w, n.value, vm_const(&w, -6.07710050650619224932e-11), r);
    return (struct quarter){LLVMBuildTrunc(m->b, n.bits, m->ints, ""), narrow(m, r)};
}

/* 2 / pi in words of 32 bits behind a word of zeros. */
static LLVMValueRef two_over_pi(struct emitter *e) {
    static const uint32_t words[] = {0,          0xA2F9836E, 0x4E441529, 0xFC2757D1,
                                     0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB};
    const char *name = "weft.two_over_pi";
    LLVMValueRef global = LLVMGetNamedGlobal(e->module, name);
    if (global)
        return global;
    LLVMValueRef values[8];
    for (int i = 0; i < 8; i++)
        values[i] = LLVMConstInt(e->i32, words[i], false);
    LLVMValueRef data = LLVMConstArray2(e->i32, values, 8);
    global = LLVMAddGlobal(e->module, LLVMTypeOf(data), name);
    LLVMSetInitializer(global, data);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    return global;
}

struct words {
    LLVMValueRef w[3];
};

/* 96 bits of 2 / pi from bit `position` on, as three numbers below 2^32. */
static struct words window(struct emitter *e, LLVMValueRef position) {
    LLVMBuilderRef b = e->b;
    LLVMValueRef five = LLVMConstInt(e->i64, 5, false), table = two_over_pi(e);
    LLVMValueRef first = LLVMBuildLShr(b, position, five, "");
    LLVMValueRef shift = LLVMBuildAnd(b, position, LLVMConstInt(e->i64, 31, false), ""), raw[4];
    LLVMValueRef thirty_two = LLVMConstInt(e->i64, 32, false);
    struct words out;
    for (int i = 0; i < 4; i++) {
        LLVMValueRef at = LLVMBuildAdd(b, first, LLVMConstInt(e->i64, (unsigned)i, false), "");
        LLVMValueRef place = LLVMBuildGEP2(b, e->i32, table, &at, 1, "");
        raw[i] = LLVMBuildZExt(b, LLVMBuildLoad2(b, e->i32, place, ""), e->i64, "");
    }
    for (int i = 0; i < 3; i++) {
        LLVMValueRef pair = LLVMBuildOr(b, LLVMBuildShl(b, raw[i], thirty_two, ""), raw[i + 1], "");
        out.w[i] = LLVMBuildLShr(b, LLVMBuildShl(b, pair, shift, ""), thirty_two, "");
    }
    return out;
}

/* Payne and Hanek 1983 for one f32 with |x| >= 2^20: with x = m * 2^k, m of 24 bits, m * (2^k * 2/pi mod 4)
 * in fixed point with 2 bits before the point and 94 behind. Gives n in the low half of an i64 and r's bits
 * in the high one. */
static LLVMValueRef quarters_of_large(struct emitter *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->b;
    LLVMValueRef bits = LLVMBuildZExt(b, LLVMBuildBitCast(b, x, e->i32, ""), e->i64, "");
#define I(v) LLVMConstInt(e->i64, (unsigned long long)(v), true)
    LLVMValueRef exponent = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, I(23), ""), I(255), "");
    LLVMValueRef m = LLVMBuildOr(b, LLVMBuildAnd(b, bits, I(0x7FFFFF), ""), I(0x800000), "");
    LLVMValueRef special = LLVMBuildICmp(b, LLVMIntEQ, exponent, I(255), "");
    LLVMValueRef position = LLVMBuildSub(b, exponent, I(150 - 30), "");
    LLVMValueRef in_table =
        LLVMBuildICmp(b, LLVMIntULE, position, I(104 + 30), ""); /* small lanes come here too */
    struct words t = window(e, LLVMBuildSelect(b, in_table, position, I(0), ""));
    LLVMValueRef low = LLVMBuildMul(b, m, t.w[2], "");
    LLVMValueRef mid = LLVMBuildAdd(b, LLVMBuildMul(b, m, t.w[1], ""), LLVMBuildLShr(b, low, I(32), ""), "");
    LLVMValueRef high = LLVMBuildAdd(b, LLVMBuildMul(b, m, t.w[0], ""), LLVMBuildLShr(b, mid, I(32), ""), "");
    LLVMValueRef top =
        LLVMBuildOr(b, LLVMBuildShl(b, high, I(32), ""), LLVMBuildAnd(b, mid, I(0xFFFFFFFF), ""), "");
    LLVMValueRef below = LLVMBuildLShr(b, LLVMBuildAnd(b, low, I(0xFFFFFFFF), ""), I(30), "");
    LLVMValueRef fraction = LLVMBuildOr(b, LLVMBuildShl(b, top, I(2), ""), below, "");
    LLVMValueRef n =
        LLVMBuildAdd(b, LLVMBuildLShr(b, top, I(62), ""), LLVMBuildLShr(b, fraction, I(63), ""), "");
    LLVMValueRef scale = LLVMConstReal(e->f64, 0x1.921fb54442d18p-64); /* pi / 2 * 2^-64 */
    LLVMValueRef r = LLVMBuildFMul(b, LLVMBuildSIToFP(b, fraction, e->f64, ""), scale, "");
    LLVMValueRef negative = LLVMBuildICmp(b, LLVMIntNE, LLVMBuildLShr(b, bits, I(31), ""), I(0), "");
    n = LLVMBuildSelect(b, negative, LLVMBuildNeg(b, n, ""), n, "");
    r = LLVMBuildSelect(b, negative, LLVMBuildFNeg(b, r, ""), r, "");
    LLVMValueRef r32 = LLVMBuildFPTrunc(b, r, e->f32, "");
    r32 = LLVMBuildSelect(b, special, LLVMConstReal(e->f32, NAN), r32, "");
    LLVMValueRef r_bits = LLVMBuildZExt(b, LLVMBuildBitCast(b, r32, e->i32, ""), e->i64, "");
    return LLVMBuildOr(b, LLVMBuildShl(b, r_bits, I(32), ""), LLVMBuildAnd(b, n, I(3), ""), "");
#undef I
}

static struct quarter replace_lane(const struct vm *m, struct quarter q, LLVMValueRef lane,
                                   LLVMValueRef packed) {
    struct emitter *e = m->e;
    LLVMValueRef n = LLVMBuildTrunc(e->b, packed, e->i32, "");
    LLVMValueRef high = LLVMBuildLShr(e->b, packed, LLVMConstInt(e->i64, 32, false), "");
    LLVMValueRef r = LLVMBuildBitCast(e->b, LLVMBuildTrunc(e->b, high, e->i32, ""), e->f32, "");
    if (!m->lanes)
        return (struct quarter){n, r};
    return (struct quarter){LLVMBuildInsertElement(e->b, q.n, n, lane, ""),
                            LLVMBuildInsertElement(e->b, q.r, r, lane, "")};
}

/* The lanes with |x| >= 2^20 once more, one by one: rare, so a loop. */
static struct quarter redo_large(const struct vm *m, LLVMValueRef x, struct quarter q) {
    struct emitter *e = m->e;
    LLVMBuilderRef b = e->b;
    LLVMValueRef fn = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    LLVMBasicBlockRef from = LLVMGetInsertBlock(b),
                      loop = LLVMAppendBasicBlockInContext(e->context, fn, "lane");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, fn, "joined");
    LLVMBuildBr(b, loop);
    LLVMPositionBuilderAtEnd(b, loop);
    LLVMValueRef lane = LLVMBuildPhi(b, e->i64, ""), n = LLVMBuildPhi(b, m->ints, ""),
                 r = LLVMBuildPhi(b, m->type, "");
    LLVMValueRef one = m->lanes ? LLVMBuildExtractElement(b, x, lane, "") : x;
    struct vm s = vm_of(e, one);
    LLVMValueRef is_small = vm_less(&s, vm_abs(&s, one), 0x1p20);
    struct quarter redone = replace_lane(m, (struct quarter){n, r}, lane, quarters_of_large(e, one));
    LLVMValueRef next_n = LLVMBuildSelect(b, is_small, n, redone.n, "");
    LLVMValueRef next_r = LLVMBuildSelect(b, is_small, r, redone.r, "");
    LLVMValueRef next = LLVMBuildAdd(b, lane, LLVMConstInt(e->i64, 1, false), "");
    LLVMValueRef count = LLVMConstInt(e->i64, m->lanes ? (unsigned)m->lanes : 1, false);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntULT, next, count, ""), loop, after);
    LLVMBasicBlockRef both[] = {from, loop};
    LLVMAddIncoming(lane, (LLVMValueRef[]){LLVMConstNull(e->i64), next}, both, 2);
    LLVMAddIncoming(n, (LLVMValueRef[]){q.n, next_n}, both, 2);
    LLVMAddIncoming(r, (LLVMValueRef[]){q.r, next_r}, both, 2);
    LLVMPositionBuilderAtEnd(b, after);
    return (struct quarter){next_n, next_r};
}

static LLVMValueRef any_lane(const struct vm *m, LLVMValueRef condition) {
    if (!m->lanes)
        return condition;
    LLVMTypeRef bits = LLVMIntTypeInContext(m->e->context, (unsigned)m->lanes);
    LLVMValueRef all = LLVMBuildBitCast(m->b, condition, bits, "");
    return LLVMBuildICmp(m->b, LLVMIntNE, all, LLVMConstNull(bits), "");
}

static struct quarter quarters_of(const struct vm *m, LLVMValueRef x) {
    struct emitter *e = m->e;
    LLVMBuilderRef b = m->b;
    LLVMValueRef fn = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    struct quarter fast = quarters_of_small(m, x);
    LLVMValueRef is_large = LLVMBuildFCmp(b, LLVMRealUGE, vm_abs(m, x), vm_const(m, 0x1p20), "");
    LLVMBasicBlockRef from = LLVMGetInsertBlock(b),
                      rare = LLVMAppendBasicBlockInContext(e->context, fn, "large");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, fn, "reduced");
    LLVMBuildCondBr(b, any_lane(m, is_large), rare, after);
    LLVMPositionBuilderAtEnd(b, rare);
    struct quarter slow = redo_large(m, x, fast);
    LLVMBasicBlockRef rare_end = LLVMGetInsertBlock(b);
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
    struct quarter q = {LLVMBuildPhi(b, m->ints, ""), LLVMBuildPhi(b, m->type, "")};
    LLVMAddIncoming(q.n, (LLVMValueRef[]){fast.n, slow.n}, (LLVMBasicBlockRef[]){from, rare_end}, 2);
    LLVMAddIncoming(q.r, (LLVMValueRef[]){fast.r, slow.r}, (LLVMBasicBlockRef[]){from, rare_end}, 2);
    return q;
}

/* sin(x) for turn = 0, cos(x) for turn = 1 */
static LLVMValueRef circular(const struct vm *m, LLVMValueRef x, int turn) {
    static const double s[] = {-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4};
    static const double c[] = {4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5};
    LLVMBuilderRef b = m->b;
    struct quarter q = quarters_of(m, x);
    LLVMValueRef n = LLVMBuildAdd(b, q.n, vm_int(m, turn), ""), z = vm_mul(m, q.r, q.r);
    LLVMValueRef sine = vm_fma(m, vm_mul(m, vm_poly(m, z, s, 3), z), q.r, q.r);
    LLVMValueRef cosine = vm_fma(m, z, vm_const(m, -0.5), vm_mul(m, vm_mul(m, z, z), vm_poly(m, z, c, 3)));
    cosine = vm_add(m, cosine, vm_const(m, 1));
    LLVMValueRef odd = LLVMBuildICmp(b, LLVMIntNE, LLVMBuildAnd(b, n, vm_int(m, 1), ""), vm_int(m, 0), "");
    LLVMValueRef y = vm_select(m, odd, cosine, sine);
    LLVMValueRef sign = LLVMBuildShl(b, LLVMBuildAnd(b, n, vm_int(m, 2), ""), vm_int(m, 30), "");
    y = vm_float(m, LLVMBuildXor(b, vm_bits(m, y), sign, ""));
    return turn ? y : vm_select(m, equals(m, x, 0), x, y); /* sin(-0) = -0 */
}

static LLVMValueRef body_sin(const struct vm *m, LLVMValueRef x, LLVMValueRef y) {
    (void)y;
    return circular(m, x, 0);
}

static LLVMValueRef body_cos(const struct vm *m, LLVMValueRef x, LLVMValueRef y) {
    (void)y;
    return circular(m, x, 1);
}

/* ---- pow ---- */

/* log2 of positive f64, to 40 bits: 2^e * f, log f = 2 artanh((f - 1) / (f + 1)). */
static LLVMValueRef wide_log2(const struct vm *w, LLVMValueRef x) {
    static const double c[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15};
    LLVMBuilderRef b = w->b;
    LLVMValueRef root = vm_int(w, 0x3FE6A09E667F3BCD);
    LLVMValueRef bits = LLVMBuildSub(b, vm_bits(w, x), root, "");
    LLVMValueRef e = LLVMBuildAShr(b, bits, vm_int(w, 52), "");
    LLVMValueRef f =
        vm_float(w, LLVMBuildAdd(b, LLVMBuildAnd(b, bits, vm_int(w, 0xFFFFFFFFFFFFF), ""), root, ""));
    LLVMValueRef one = vm_const(w, 1), t = LLVMBuildFDiv(b, vm_sub(w, f, one), vm_add(w, f, one), "");
    LLVMValueRef log_f = vm_mul(w, t, vm_poly(w, vm_mul(w, t, t), c, 8));
    /* an integer of few bits to f64 without a conversion instruction that AVX2 lacks */
    LLVMValueRef magic = LLVMBuildAdd(b, e, vm_int(w, 0x4338000000000000), "");
    LLVMValueRef n = vm_sub(w, vm_float(w, magic), vm_const(w, 0x1.8p52));
    return vm_fma(w, log_f, vm_const(w, 1.44269504088896341), n);
}

/* 2^z of f64, |z| <= 200 */
static LLVMValueRef wide_exp2(const struct vm *w, LLVMValueRef z) {
    static const double c[] = {1,         1,          1.0 / 2,     1.0 / 6,      1.0 / 24,     1.0 / 120,
                               1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800};
    struct wide_rounded n = round_wide(w, z);
    LLVMValueRef g = vm_mul(w, vm_sub(w, z, n.value), vm_const(w, 0.69314718055994531));
    LLVMValueRef biased = LLVMBuildAdd(w->b, n.bits, vm_int(w, 1023), "");
    LLVMValueRef scale = vm_float(w, LLVMBuildShl(w->b, biased, vm_int(w, 52), ""));
    return vm_mul(w, vm_poly(w, g, c, 11), scale);
}

static LLVMValueRef bounded(const struct vm *w, LLVMValueRef x, double limit) {
    LLVMValueRef high = vm_const(w, limit), low = vm_const(w, -limit);
    x = vm_select(w, LLVMBuildFCmp(w->b, LLVMRealOGT, x, high, ""), high, x);
    return vm_select(w, LLVMBuildFCmp(w->b, LLVMRealOLT, x, low, ""), low, x);
}

static LLVMValueRef is_integer(const struct vm *m, LLVMValueRef y) {
    return LLVMBuildFCmp(m->b, LLVMRealOEQ, emit_intrinsic(m->e, "llvm.floor", m->type, &y, 1), y, "");
}

/* |x|^y = 2^(y log2 |x|), then the cases of C's Annex F. */
static LLVMValueRef body_pow(const struct vm *m, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = m->b;
    struct vm w = wide_of(m);
    LLVMValueRef a = vm_abs(m, x), wide_a = widen(&w, a);
    LLVMValueRef log = wide_log2(&w, wide_a);
    log = vm_select(&w, equals(&w, wide_a, 0), vm_const(&w, -INFINITY), log);
    log = vm_select(&w, equals(&w, wide_a, INFINITY), vm_const(&w, INFINITY), log);
    LLVMValueRef z = bounded(&w, vm_mul(&w, log, widen(&w, y)), 200);
    LLVMValueRef p = narrow(m, wide_exp2(&w, z)), one = vm_const(m, 1), nan = vm_const(m, NAN);
    p = vm_select(m, LLVMBuildFCmp(b, LLVMRealUNO, x, y, ""), nan, p);
    p = vm_select(m, LLVMBuildAnd(b, equals(m, a, 1), LLVMBuildFCmp(b, LLVMRealORD, y, y, ""), ""), one, p);
    LLVMValueRef whole = is_integer(m, y), half_whole = is_integer(m, vm_mul(m, y, vm_const(m, 0.5)));
    LLVMValueRef odd = LLVMBuildAnd(b, whole, LLVMBuildNot(b, half_whole, ""), "");
    LLVMValueRef negative = LLVMBuildICmp(b, LLVMIntSLT, vm_bits(m, x), vm_int(m, 0), "");
    p = vm_select(m, LLVMBuildAnd(b, negative, odd, ""), LLVMBuildFNeg(b, p, ""), p);
    LLVMValueRef finite =
        LLVMBuildAnd(b, vm_less(m, x, 0), LLVMBuildFCmp(b, LLVMRealONE, a, vm_const(m, INFINITY), ""), "");
    p = vm_select(m, LLVMBuildAnd(b, finite, LLVMBuildNot(b, whole, ""), ""), nan, p);
    LLVMValueRef trivial = LLVMBuildOr(b, equals(m, y, 0), equals(m, x, 1), "");
    return vm_select(m, trivial, one, p);
}

/* ---- atan2 ---- */

/* atan t for 0 <= t <= 1: t + t^3 P(t^2) below tan(pi / 8), else pi / 4 + atan((t - 1) / (t + 1)). */
static LLVMValueRef wide_atan(const struct vm *w, LLVMValueRef t) {
    static const double c[] = {-3.33329491539e-1, 1.99777106478e-1, -1.38776856032e-1, 8.05374449538e-2};
    LLVMValueRef one = vm_const(w, 1),
                 far = LLVMBuildFCmp(w->b, LLVMRealOGT, t, vm_const(w, 0.41421356237309503), "");
    LLVMValueRef moved = LLVMBuildFDiv(w->b, vm_sub(w, t, one), vm_add(w, t, one), "");
    LLVMValueRef u = vm_select(w, far, moved, t), z = vm_mul(w, u, u);
    LLVMValueRef r = vm_fma(w, vm_mul(w, vm_poly(w, z, c, 4), z), u, u);
    return vm_select(w, far, vm_add(w, r, vm_const(w, 0.78539816339744831)), r);
}

static LLVMValueRef body_atan2(const struct vm *m, LLVMValueRef y, LLVMValueRef x) {
    LLVMBuilderRef b = m->b;
    struct vm w = wide_of(m);
    LLVMValueRef ax = widen(&w, vm_abs(m, x)), ay = widen(&w, vm_abs(m, y));
    LLVMValueRef steep = LLVMBuildFCmp(b, LLVMRealOGT, ay, ax, "");
    LLVMValueRef high = vm_select(&w, steep, ay, ax), low = vm_select(&w, steep, ax, ay);
    LLVMValueRef t = LLVMBuildFDiv(b, low, high, "");
    t = vm_select(&w, LLVMBuildFCmp(b, LLVMRealOEQ, low, high, ""), vm_const(&w, 1), t);
    t = vm_select(&w, equals(&w, high, 0), vm_const(&w, 0), t);
    LLVMValueRef r = wide_atan(&w, t);
    r = vm_select(&w, steep, vm_sub(&w, vm_const(&w, 1.57079632679489662), r), r);
    LLVMValueRef left = LLVMBuildICmp(b, LLVMIntSLT, vm_bits(m, x), vm_int(m, 0), "");
    r = vm_select(&w, left, vm_sub(&w, vm_const(&w, 3.14159265358979324), r), r);
    LLVMValueRef angle = vm_with_sign(m, narrow(m, r), y);
    return vm_select(m, LLVMBuildFCmp(b, LLVMRealUNO, x, y, ""), vm_add(m, x, y), angle);
}

/* ---- erfc ---- */

/* erfc(t) = e^(-t^2) u P(u) with u = 1 / (1 + 0.3 t) for 0 <= t <= 10.3, where f32 is 0; 2 - erfc(t) below 0.
 * P is interpolated at Chebyshev's points of that range, its relative error is below 1e-9; its variable runs
 * from -1 to 1. */
static LLVMValueRef wide_erfc(const struct vm *w, LLVMValueRef x) {
    static const double c[] = {4.0643015431556e-01, 3.0124478450589e-01,  1.7665743376559e-01,
                               8.1005118210968e-02, 2.7883013711199e-02,  6.4317895709599e-03,
                               5.8345368467647e-04, -1.7953838787945e-04, -6.1728744598799e-05,
                               2.2010065814371e-06, 3.3183676169557e-06};
    LLVMValueRef t = bounded(w, vm_abs(w, x), 10.3), one = vm_const(w, 1);
    LLVMValueRef u = LLVMBuildFDiv(w->b, one, vm_fma(w, t, vm_const(w, 0.3), one), "");
    LLVMValueRef v = vm_fma(w, u, vm_const(w, 2.6472491909385112), vm_const(w, -1.6472491909385114));
    LLVMValueRef power = vm_mul(w, vm_mul(w, t, t), vm_const(w, -1.44269504088896341));
    LLVMValueRef r = vm_mul(w, vm_mul(w, vm_poly(w, v, c, 11), u), wide_exp2(w, power));
    return vm_select(w, vm_less(w, x, 0), vm_sub(w, vm_const(w, 2), r), r);
}

static LLVMValueRef body_erfc(const struct vm *m, LLVMValueRef x, LLVMValueRef y) {
    struct vm w = wide_of(m);
    (void)y;
    return narrow(m, wide_erfc(&w, widen(&w, x)));
}

/* ---- gelu ---- */

/* x / 2 * erfc(-x / sqrt(2)) in f64, rounded once, to subnormal numbers too; below -14.5 f32 has nothing, at
 * -inf it is -inf * 0. */
static LLVMValueRef wide_gelu(const struct vm *m, LLVMValueRef x) {
    struct vm w = wide_of(m);
    LLVMValueRef wide = widen(&w, x), least = vm_const(&w, -14.5);
    wide = vm_select(&w, vm_less(&w, wide, -14.5), least, wide);
    LLVMValueRef share = wide_erfc(&w, vm_mul(&w, wide, vm_const(&w, -0.70710678118654752440)));
    LLVMValueRef y = narrow(m, vm_mul(&w, vm_mul(&w, wide, vm_const(&w, 0.5)), share));
    return vm_select(m, equals(m, x, -INFINITY), vm_const(m, NAN), y);
}

/* From -5.5 on, in f32: with a = |x|, gelu(x) = max(x, 0) - a e^(-a^2 / 2) R(a), R(a) = erfc(a / sqrt(2))
 * e^(a^2 / 2) / 2. R is a polynomial in q = (a - 4) / (a + 4) for 0 <= a <= 5.6 (its relative error
 * is 1.2e-8), as in N. Juffa's erfcxf, from where the step is that makes q exact to the last digit. What a^2
 * was rounded by is a fused multiply-add, and goes into the exponent. Beyond 5.6 what is taken from x is 1e-8
 * of it. */
static LLVMValueRef near_gelu(const struct vm *m, LLVMValueRef x) {
    static const double c[] = {9.44106414565317e-2,   -1.703976943854336e-1, 1.243791989695705e-1,
                               -7.170996220464657e-2, 3.086102709253952e-2,  -8.442805869036911e-3,
                               7.258920422258389e-4,  1.0022438261841032e-3, 7.501566014628654e-5};
    LLVMBuilderRef b = m->b;
    LLVMValueRef most = vm_const(m, 5.6), four = vm_const(m, -4), one = vm_const(m, 1), a = vm_abs(m, x);
    a = vm_select(m, LLVMBuildFCmp(b, LLVMRealOLT, most, a, ""), most, a);
    LLVMValueRef s = vm_mul(m, a, a), lost = vm_fma(m, a, a, LLVMBuildFNeg(b, s, ""));
    LLVMValueRef i = LLVMBuildFDiv(b, one, vm_sub(m, a, four), ""), q = vm_mul(m, vm_add(m, a, four), i);
    LLVMValueRef t = vm_fma(m, vm_add(m, q, one), four, a);
    q = vm_fma(m, i, vm_fma(m, LLVMBuildFNeg(b, q, ""), a, t), q);
    LLVMValueRef r = vm_poly(m, q, c, 9);
    LLVMValueRef share = vm_mul_exp_of_half(m, r, s, lost);
    LLVMValueRef above = vm_select(m, vm_less(m, x, 0), vm_const(m, -0.0), x);
    return vm_fma(m, LLVMBuildFNeg(b, share, ""), a, above);
}

static LLVMValueRef body_far_gelu(const struct vm *m, LLVMValueRef x, LLVMValueRef y) {
    (void)y;
    return wide_gelu(m, x);
}

/* Lanes below -5.5 are rare: they are done once more in f64. A lane does not depend on the others. */
static LLVMValueRef body_gelu(const struct vm *m, LLVMValueRef x, LLVMValueRef y) {
    (void)y;
    if (!m->e->target->has_fma)
        return wide_gelu(m, x);
    LLVMBuilderRef b = m->b;
    LLVMValueRef fn = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b)), near = near_gelu(m, x);
    LLVMValueRef is_far = vm_less(m, x, -5.5);
    LLVMBasicBlockRef from = LLVMGetInsertBlock(b),
                      rare = LLVMAppendBasicBlockInContext(m->e->context, fn, "far"),
                      after = LLVMAppendBasicBlockInContext(m->e->context, fn, "joined");
    LLVMBuildCondBr(b, any_lane(m, is_far), rare, after);
    LLVMPositionBuilderAtEnd(b, rare);
    LLVMValueRef both = vm_select(m, is_far, call_body(m, "far_gelu", 1, body_far_gelu, x, NULL), near);
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
    LLVMValueRef result = LLVMBuildPhi(b, m->type, "");
    LLVMAddIncoming(result, (LLVMValueRef[]){near, both}, (LLVMBasicBlockRef[]){from, rare}, 2);
    return result;
}

/* ---- the table ---- */

static const struct {
    const char *name;
    unsigned arity;
    vm_body *body;
} bodies[OP_COUNT] = {
    [OP_sin] = {"sin", 1, body_sin},    [OP_cos] = {"cos", 1, body_cos},
    [OP_erfc] = {"erfc", 1, body_erfc}, [OP_gelu] = {"gelu", 1, body_gelu},
    [OP_pow] = {"pow", 2, body_pow},    [OP_atan2] = {"atan2", 2, body_atan2},
};

LLVMValueRef vm_call(const struct vm *m, enum opcode code, LLVMValueRef x, LLVMValueRef y) {
    return call_body(m, bodies[code].name, bodies[code].arity, bodies[code].body, x, y);
}

/* ---- f64 ---- */

LLVMValueRef vm_libm(const struct vm *m, enum opcode code, LLVMValueRef x, LLVMValueRef y) {
    struct emitter *e = m->e;
    const char *name = opcode_text(code);
    LLVMTypeRef params[] = {e->f64, e->f64};
    unsigned arity = y ? 2 : 1;
    LLVMTypeRef type = LLVMFunctionType(e->f64, params, arity, false);
    LLVMValueRef fn = LLVMGetNamedFunction(e->module, name);
    if (!fn)
        fn = LLVMAddFunction(e->module, name, type);
    if (!m->lanes)
        return LLVMBuildCall2(m->b, type, fn, (LLVMValueRef[]){x, y}, arity, "");
    LLVMValueRef v = LLVMGetPoison(m->type);
    for (int i = 0; i < m->lanes; i++) {
        LLVMValueRef lane = LLVMConstInt(e->i64, (unsigned)i, false);
        LLVMValueRef args[] = {LLVMBuildExtractElement(m->b, x, lane, ""),
                               y ? LLVMBuildExtractElement(m->b, y, lane, "") : NULL};
        v = LLVMBuildInsertElement(m->b, v, LLVMBuildCall2(m->b, type, fn, args, arity, ""), lane, "");
    }
    return v;
}
