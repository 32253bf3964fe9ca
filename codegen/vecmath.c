/* codegen/vecmath.c: transcendental functions as LLVM IR, on one float or a vector of them. LLVM would make a
 * scalar call for each lane (KERNELS.md 3). f32 is computed here, branch-free, from polynomials of Cephes (S.
 * Moshier) and N. Juffa; sin, cos, pow and atan2 go through functions of their own in the module
 * (vecmath_calls.c). f64 calls libm. Errors: docs/codegen.md, measured by tests/codegen/vecmath_test.c. */
#include "codegen/vecmath.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- small words ---- */

struct vm vm_of(struct emitter *e, LLVMValueRef x) {
    bool vector = LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind;
    struct vm m = {.e = e,
                   .b = e->b,
                   .type = LLVMTypeOf(x),
                   .lanes = vector ? (int)LLVMGetVectorSize(LLVMTypeOf(x)) : 0};
    m.ints = vector ? LLVMVectorType(e->i32, (unsigned)m.lanes) : e->i32;
    return m;
}

static LLVMValueRef splat(LLVMTypeRef type, LLVMValueRef one) {
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
        return one;
    LLVMValueRef all[128];
    unsigned n = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < n; i++)
        all[i] = one;
    return LLVMConstVector(all, n);
}

static LLVMTypeRef element_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

/* Note [Constants in memory] LLVM broadcasts a constant into a register in front of a loop. Of the 16
 * registers that there are before AVX-512 the two dozen constants of a sigmoid take all; in each turn they
 * then move around among themselves (22 of 64 instructions). A vector in memory is an operand of the
 * instruction that wants it. `externally initialised` keeps LLVM from reading the constant again. */
static LLVMValueRef const_in_memory(const struct vm *m, LLVMValueRef all, double x) {
    float single = (float)x;
    uint32_t bits;
    char name[40];
    memcpy(&bits, &single, sizeof(bits));
    snprintf(name, sizeof(name), "weft.splat.%08x.%d", (unsigned)bits, m->lanes);
    LLVMValueRef global = LLVMGetNamedGlobal(m->e->module, name);
    unsigned bytes = (unsigned)m->lanes * sizeof(float);
    if (!global) {
        global = LLVMAddGlobal(m->e->module, m->type, name);
        LLVMSetInitializer(global, all);
        LLVMSetGlobalConstant(global, true);
        LLVMSetExternallyInitialized(global, true);
        LLVMSetLinkage(global, LLVMInternalLinkage);
        LLVMSetAlignment(global, bytes);
    }
    LLVMValueRef load = LLVMBuildLoad2(m->b, m->type, global, "");
    LLVMSetAlignment(load, bytes);
    return load;
}

LLVMValueRef vm_const(const struct vm *m, double x) {
    LLVMTypeRef element = element_of(m->type);
    LLVMValueRef all = splat(m->type, LLVMConstReal(element, x));
    bool has_few = m->lanes && m->e->target->vector_registers <= 16;
    return has_few && element == m->e->f32 ? const_in_memory(m, all, x) : all;
}

LLVMValueRef vm_int(const struct vm *m, int64_t x) {
    return splat(m->ints, LLVMConstInt(element_of(m->ints), (unsigned long long)x, true));
}

LLVMValueRef vm_fma(const struct vm *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    if (!m->e->target->has_fma)
        return LLVMBuildFAdd(m->b, LLVMBuildFMul(m->b, a, b, ""), c, "");
    LLVMValueRef args[] = {a, b, c};
    return emit_intrinsic(m->e, "llvm.fma", m->type, args, 3);
}

LLVMValueRef vm_mul(const struct vm *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFMul(m->b, a, b, "");
}

LLVMValueRef vm_add(const struct vm *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(m->b, a, b, "");
}

LLVMValueRef vm_sub(const struct vm *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(m->b, a, b, "");
}

LLVMValueRef vm_abs(const struct vm *m, LLVMValueRef x) {
    return emit_intrinsic(m->e, "llvm.fabs", m->type, &x, 1);
}

LLVMValueRef vm_less(const struct vm *m, LLVMValueRef a, double b) {
    return LLVMBuildFCmp(m->b, LLVMRealOLT, a, vm_const(m, b), "");
}

LLVMValueRef vm_select(const struct vm *m, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(m->b, c, x, y, "");
}

LLVMValueRef vm_bits(const struct vm *m, LLVMValueRef x) {
    return LLVMBuildBitCast(m->b, x, m->ints, "");
}

LLVMValueRef vm_float(const struct vm *m, LLVMValueRef bits) {
    return LLVMBuildBitCast(m->b, bits, m->type, "");
}

/* c[0] + x * (c[1] + x * (..)) */
LLVMValueRef vm_poly(const struct vm *m, LLVMValueRef x, const double *c, int count) {
    LLVMValueRef p = vm_const(m, c[count - 1]);
    for (int i = count - 2; i >= 0; i--)
        p = vm_fma(m, p, x, vm_const(m, c[i]));
    return p;
}

LLVMValueRef vm_with_sign(const struct vm *m, LLVMValueRef magnitude, LLVMValueRef sign) {
    LLVMValueRef args[] = {magnitude, sign};
    return emit_intrinsic(m->e, "llvm.copysign", m->type, args, 2);
}

/* x where it lies between; low or high where not; NaN stays. */
static LLVMValueRef clamp(const struct vm *m, LLVMValueRef x, double low, double high) {
    LLVMValueRef l = vm_const(m, low), h = vm_const(m, high);
    x = vm_select(m, LLVMBuildFCmp(m->b, LLVMRealOGT, l, x, ""), l, x);
    return vm_select(m, LLVMBuildFCmp(m->b, LLVMRealOLT, h, x, ""), h, x);
}

/* Note [Rounding by a sum] x + 1.5 * 2^23 has x rounded to an integer in its last bits: good for |x| < 2^22,
 * on every target, and the integer is had without a conversion that NaN would make undefined. */
static const double ROUNDER = 12582912.0;

struct rounded {
    LLVMValueRef value, bits; /* the integer as a float; as an integer */
};

static struct rounded round_small(const struct vm *m, LLVMValueRef x) {
    LLVMValueRef t = vm_add(m, x, vm_const(m, ROUNDER));
    LLVMValueRef bits = LLVMBuildSub(m->b, vm_bits(m, t), vm_int(m, 0x4B400000), "");
    return (struct rounded){vm_sub(m, t, vm_const(m, ROUNDER)), bits};
}

/* 2^n as a float, -126 <= n <= 127 */
static LLVMValueRef power_of_two(const struct vm *m, LLVMValueRef n) {
    LLVMValueRef biased = LLVMBuildAdd(m->b, n, vm_int(m, 127), "");
    return vm_float(m, LLVMBuildShl(m->b, biased, vm_int(m, 23), ""));
}

/* ---- exp and its kin ---- */

/* x = n * ln 2 + r, |r| <= ln 2 / 2: ln 2 in two parts, the first of 9 bits, so that n times it is exact. */
struct reduced {
    LLVMValueRef n, r; /* integer, float */
};

static struct reduced reduce_by_ln2(const struct vm *m, LLVMValueRef x) {
    struct rounded n = round_small(m, vm_mul(m, x, vm_const(m, 1.44269504088896341)));
    LLVMValueRef r = vm_fma(m, n.value, vm_const(m, -0.693359375), x);
    r = vm_fma(m, n.value, vm_const(m, 2.12194440e-4), r);
    return (struct reduced){n.bits, r};
}

/* e^r - 1 = r + r^2 P(r) */
static LLVMValueRef small_expm1(const struct vm *m, LLVMValueRef r) {
    static const double c[] = {5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2,
                               8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4};
    return vm_fma(m, vm_mul(m, r, r), vm_poly(m, r, c, 6), r);
}

/* 2^n in two factors, since the result may be subnormal or overflow: 2^(n / 2) and what is left, whose
 * exponents' bits are the last ones of a sum (Note [Rounding by a sum]), biased by twice 127, and of half of
 * it. */
static LLVMValueRef vm_exp(const struct vm *m, LLVMValueRef x) {
    const double rounder = ROUNDER + 254;
    x = clamp(m, x, -104, 89);
    LLVMValueRef t = vm_add(m, vm_mul(m, x, vm_const(m, 1.44269504088896341)), vm_const(m, rounder));
    LLVMValueRef n = vm_sub(m, t, vm_const(m, rounder)), bits = vm_bits(m, t);
    LLVMValueRef r = vm_fma(m, n, vm_const(m, -0.693359375), x);
    r = vm_fma(m, n, vm_const(m, 2.12194440e-4), r);
    LLVMValueRef half = LLVMBuildLShr(m->b, bits, vm_int(m, 1), "");
    LLVMValueRef rest = LLVMBuildSub(m->b, bits, half, "");
    half = vm_float(m, LLVMBuildShl(m->b, half, vm_int(m, 23), ""));
    rest = vm_float(m, LLVMBuildShl(m->b, rest, vm_int(m, 23), ""));
    return vm_mul(m, vm_fma(m, small_expm1(m, r), half, half), rest);
}

/* Where the result cannot overflow: 2^n in one factor, whose exponent's bits are the last ones of a sum (Note
 * [Rounding by a sum]). At n = -127, the least, those are zeros, and so is 2^n. */
static LLVMValueRef vm_exp_below(const struct vm *m, LLVMValueRef x) {
    const double rounder = ROUNDER + 127;
    LLVMValueRef least = vm_const(m, -88), n, r;
    x = vm_select(m, LLVMBuildFCmp(m->b, LLVMRealOGT, least, x, ""), least, x);
    LLVMValueRef t = vm_fma(m, x, vm_const(m, 1.44269504088896341), vm_const(m, rounder));
    n = vm_sub(m, t, vm_const(m, rounder));
    r = vm_fma(m, n, vm_const(m, -0.693359375), x);
    r = vm_fma(m, n, vm_const(m, 2.12194440e-4), r);
    LLVMValueRef scale = vm_float(m, LLVMBuildShl(m->b, vm_bits(m, t), vm_int(m, 23), ""));
    return vm_fma(m, small_expm1(m, r), scale, scale);
}

/* As vm_exp_below, of -s / 2. */
LLVMValueRef vm_mul_exp_of_half(const struct vm *m, LLVMValueRef factor, LLVMValueRef s, LLVMValueRef lost) {
    const double rounder = ROUNDER + 127;
    LLVMValueRef half = vm_const(m, -0.5);
    LLVMValueRef t = vm_fma(m, s, vm_const(m, -0.5 * 1.44269504088896341), vm_const(m, rounder));
    LLVMValueRef n = vm_sub(m, t, vm_const(m, rounder)), r = vm_mul(m, s, half);
    r = vm_fma(m, n, vm_const(m, -0.693359375), r);
    r = vm_fma(m, n, vm_const(m, 2.12194440e-4), r);
    r = vm_fma(m, lost, half, r);
    LLVMValueRef scale = vm_float(m, LLVMBuildShl(m->b, vm_bits(m, t), vm_int(m, 23), ""));
    return vm_mul(m, vm_fma(m, factor, small_expm1(m, r), factor), scale);
}

/* (e^r - 1) * 2^n + (2^n - 1), all halved so that n = 128 does not overflow before the end. Below -25 it is
 * -1. */
static LLVMValueRef vm_expm1(const struct vm *m, LLVMValueRef x) {
    struct reduced d = reduce_by_ln2(m, clamp(m, x, -25, 89));
    LLVMValueRef s = power_of_two(m, LLVMBuildSub(m->b, d.n, vm_int(m, 1), ""));
    LLVMValueRef y = vm_fma(m, small_expm1(m, d.r), s, vm_sub(m, s, vm_const(m, 0.5)));
    y = vm_add(m, y, y);
    return vm_select(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, x, vm_const(m, 0), ""), x, y); /* keeps -0 */
}

/* tanh(x) = x + x^3 P(x^2) below 0.625, else 1 - 2 / (e^(2x) + 1) */
static LLVMValueRef vm_tanh(const struct vm *m, LLVMValueRef x) {
    static const double c[] = {-3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2,
                               -5.70498872745e-3};
    LLVMValueRef a = vm_abs(m, x), s = vm_mul(m, x, x);
    LLVMValueRef small = vm_fma(m, vm_mul(m, vm_poly(m, s, c, 5), s), x, x);
    LLVMValueRef twice = vm_add(m, a, a), most = vm_const(m, 40); /* from 10 on tanh is 1 */
    LLVMValueRef e =
        vm_exp_below(m, vm_select(m, LLVMBuildFCmp(m->b, LLVMRealOLT, most, twice, ""), most, twice));
    LLVMValueRef q = LLVMBuildFDiv(m->b, vm_const(m, 2), vm_add(m, e, vm_const(m, 1)), "");
    LLVMValueRef large = vm_sub(m, vm_const(m, 1), q);
    return vm_with_sign(m, vm_select(m, vm_less(m, a, 0.625), small, large), x);
}

/* N. Juffa's erff: x + x P(x^2) below 0.92, else 1 - e^(-Q(x)) */
static LLVMValueRef vm_erf(const struct vm *m, LLVMValueRef x) {
    static const double near[] = {1.28379166e-1,  -3.76125336e-1, 1.12819925e-1,
                                  -2.67681349e-2, 4.99119423e-3,  -5.96761703e-4};
    LLVMValueRef t = vm_abs(m, x), s = vm_mul(m, x, x);
    LLVMValueRef small = vm_fma(m, vm_poly(m, s, near, 6), x, x);
    static const double far[] = {-1.28717512e-1, -6.34846687e-1, -1.06777847e-1, 2.42546219e-2,
                                 -3.88396438e-3, 3.83197126e-4,  -1.72853470e-5};
    LLVMValueRef q = vm_fma(m, vm_poly(m, t, far, 7), t, LLVMBuildFNeg(m->b, t, ""));
    LLVMValueRef large = vm_sub(m, vm_const(m, 1), vm_exp_below(m, q));
    LLVMValueRef far_away = LLVMBuildFCmp(m->b, LLVMRealOGT, t, vm_const(m, 0.921875), "");
    return vm_with_sign(m, vm_select(m, far_away, large, small), x);
}

/* ---- logarithms ---- */

/* x = 2^e * f with sqrt(1/2) <= f < sqrt(2); log x = log f + e ln 2, ln 2 in two parts. */
static LLVMValueRef log_of_positive(const struct vm *m, LLVMValueRef x, LLVMValueRef correction) {
    static const double c[] = {3.3333331174e-1,  -2.4999993993e-1, 2.0000714765e-1,
                               -1.6668057665e-1, 1.4249322787e-1,  -1.2420140846e-1,
                               1.1676998740e-1,  -1.1514610310e-1, 7.0376836292e-2};
    LLVMBuilderRef b = m->b;
    LLVMValueRef tiny = vm_less(m, x, 0x1p-126);
    LLVMValueRef scaled = vm_select(m, tiny, vm_mul(m, x, vm_const(m, 0x1p23)), x);
    LLVMValueRef bits = LLVMBuildSub(b, vm_bits(m, scaled), vm_int(m, 0x3F3504F3), "");
    LLVMValueRef e = LLVMBuildAShr(b, bits, vm_int(m, 23), "");
    LLVMValueRef mantissa = LLVMBuildAnd(b, bits, vm_int(m, 0x7FFFFF), "");
    LLVMValueRef f = vm_float(m, LLVMBuildAdd(b, mantissa, vm_int(m, 0x3F3504F3), ""));
    e = LLVMBuildSub(b, e, vm_select(m, tiny, vm_int(m, 23), vm_int(m, 0)), "");
    LLVMValueRef n = LLVMBuildSIToFP(b, e, m->type, "");
    LLVMValueRef r = vm_sub(m, f, vm_const(m, 1)), s = vm_mul(m, r, r);
    LLVMValueRef y = vm_mul(m, vm_mul(m, vm_poly(m, r, c, 9), r), s);
    y = vm_fma(m, n, vm_const(m, -2.12194440e-4), y);
    y = vm_fma(m, s, vm_const(m, -0.5), y);
    if (correction)
        y = vm_add(m, y, correction);
    return vm_fma(m, n, vm_const(m, 0.693359375), vm_add(m, r, y));
}

/* log 0 = -inf, log of less: NaN, log inf = inf */
static LLVMValueRef log_edges(const struct vm *m, LLVMValueRef x, LLVMValueRef y) {
    y = vm_select(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, x, vm_const(m, INFINITY), ""), x, y);
    y = vm_select(m, LLVMBuildFCmp(m->b, LLVMRealULT, x, vm_const(m, 0), ""), vm_const(m, NAN), y);
    return vm_select(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, x, vm_const(m, 0), ""), vm_const(m, -INFINITY), y);
}

static LLVMValueRef vm_log(const struct vm *m, LLVMValueRef x) {
    return log_edges(m, x, log_of_positive(m, x, NULL));
}

/* log(1 + x) = log u + (x - (u - 1)) / u with u = 1 + x rounded (Kahan). */
static LLVMValueRef vm_log1p(const struct vm *m, LLVMValueRef x) {
    LLVMValueRef one = vm_const(m, 1), u = vm_add(m, x, one);
    LLVMValueRef lost = vm_sub(m, x, vm_sub(m, u, one));
    LLVMValueRef y = log_edges(m, u, log_of_positive(m, u, LLVMBuildFDiv(m->b, lost, u, "")));
    LLVMValueRef small = vm_less(m, vm_abs(m, x), 0x1p-24);
    return vm_select(m, small, x, y);
}

/* ---- the table ---- */

static LLVMValueRef vm_floor(const struct vm *m, LLVMValueRef x) {
    return emit_intrinsic(m->e, "llvm.floor", m->type, &x, 1);
}

static LLVMValueRef vm_round(const struct vm *m, LLVMValueRef x) {
    return emit_intrinsic(m->e, "llvm.roundeven", m->type, &x, 1);
}

static LLVMValueRef vm_sqrt(const struct vm *m, LLVMValueRef x) {
    return emit_intrinsic(m->e, "llvm.sqrt", m->type, &x, 1);
}

static LLVMValueRef (*const unary[OP_COUNT])(const struct vm *m, LLVMValueRef x) = {
    [OP_exp] = vm_exp,     [OP_expm1] = vm_expm1, [OP_log] = vm_log,
    [OP_log1p] = vm_log1p, [OP_tanh] = vm_tanh,   [OP_erf] = vm_erf,
    [OP_floor] = vm_floor, [OP_round] = vm_round, [OP_sqrt] = vm_sqrt,
};

/* One instruction for f64 too, on every target that has vectors of them. */
static bool is_exact(enum opcode code) {
    return code == OP_floor || code == OP_round || code == OP_sqrt;
}

LLVMValueRef emit_exp_below(struct emitter *e, LLVMValueRef x) {
    struct vm m = vm_of(e, x);
    return element_of(m.type) == e->f64 ? vm_libm(&m, OP_exp, x, NULL) : vm_exp_below(&m, x);
}

static LLVMValueRef gelu_of_f64(const struct vm *m, LLVMValueRef x) {
    LLVMValueRef z = vm_mul(m, x, vm_const(m, -0.70710678118654752440));
    return vm_mul(m, vm_mul(m, x, vm_const(m, 0.5)), vm_libm(m, OP_erfc, z, NULL));
}

LLVMValueRef emit_math(struct emitter *e, enum opcode code, LLVMValueRef x, LLVMValueRef y) {
    struct vm m = vm_of(e, x);
    if (element_of(m.type) == e->f64 && code == OP_gelu)
        return gelu_of_f64(&m, x);
    if (element_of(m.type) == e->f64 && !is_exact(code))
        return vm_libm(&m, code, x, y);
    if (unary[code])
        return unary[code](&m, x);
    return vm_call(&m, code, x, y);
}
