/* codegen/vecmath.h: the words that the vecmath*.c are written in: IR builders for one type of float. */
#ifndef CODEGEN_VECMATH_H
#define CODEGEN_VECMATH_H

#include "codegen/llvm.h"

struct vm {
    struct emitter *e;
    LLVMBuilderRef b;
    LLVMTypeRef type, ints; /* float or a vector of it; integers of the same size and length (of f32: i32) */
    int lanes;              /* 0: a scalar */
};

struct vm vm_of(struct emitter *e, LLVMValueRef x);
LLVMValueRef vm_const(const struct vm *m, double x);
LLVMValueRef vm_int(const struct vm *m, int64_t x);
LLVMValueRef vm_fma(const struct vm *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMValueRef vm_mul(const struct vm *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef vm_add(const struct vm *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef vm_sub(const struct vm *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef vm_abs(const struct vm *m, LLVMValueRef x);
LLVMValueRef vm_less(const struct vm *m, LLVMValueRef a, double b);
LLVMValueRef vm_select(const struct vm *m, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef vm_bits(const struct vm *m, LLVMValueRef x);
LLVMValueRef vm_float(const struct vm *m, LLVMValueRef bits);
LLVMValueRef vm_poly(const struct vm *m, LLVMValueRef x, const double *c, int count);
LLVMValueRef vm_with_sign(const struct vm *m, LLVMValueRef magnitude, LLVMValueRef sign);

/* factor * e^(-(s + lost) / 2), 0 <= s <= 160, and |lost| is a rounding of s. */
LLVMValueRef vm_mul_exp_of_half(const struct vm *m, LLVMValueRef factor, LLVMValueRef s, LLVMValueRef lost);

/* vecmath_calls.c: sin, cos, gelu, pow, atan2 of f32 through a function in the module, made at its first use;
 * and functions of f64 through libm, lane by lane. y is NULL but for pow and atan2. */
LLVMValueRef vm_call(const struct vm *m, enum opcode code, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef vm_libm(const struct vm *m, enum opcode code, LLVMValueRef x, LLVMValueRef y);

#endif
