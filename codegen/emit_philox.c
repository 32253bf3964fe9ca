/* codegen/emit_philox.c: blocks of random words. Philox 4x32-10 (Salmon et al. 2011; runtime/philox.h has the
 * same lines) is a function of its own in a module, once for each width: a key that is folded five times is
 * five calls, not a thousand instructions (30 ms of LLVM's time for every weight that a model draws at its
 * start). */
#include "codegen/emission.h"

#include <stdio.h>

enum { ROUNDS = 10 };

struct wide_product {
    LLVMValueRef high, low;
};

/* 32 x 32 -> 64 bits in each lane: the shape that pmuludq has. */
static struct wide_product multiply_wide(struct emitter *e, LLVMValueRef x, uint32_t factor) {
    LLVMTypeRef narrow = LLVMTypeOf(x), wide = type_like(e->i64, narrow);
    LLVMValueRef p = LLVMBuildMul(e->b, LLVMBuildZExt(e->b, x, wide, ""), const_like(wide, factor), "");
    LLVMValueRef high = LLVMBuildLShr(e->b, p, const_like(wide, 32), "");
    return (struct wide_product){LLVMBuildTrunc(e->b, high, narrow, ""), LLVMBuildTrunc(e->b, p, narrow, "")};
}

/* One round on the state: counter words 0 to 3, then the two of the key. */
static void emit_round(struct emitter *e, LLVMValueRef state[6], LLVMValueRef next[6]) {
    LLVMTypeRef type = LLVMTypeOf(state[0]);
    struct wide_product p = multiply_wide(e, state[0], 0xD2511F53u),
                        q = multiply_wide(e, state[2], 0xCD9E8D57u);
    next[0] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, q.high, state[1], ""), state[4], "");
    next[1] = q.low;
    next[2] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, p.high, state[3], ""), state[5], "");
    next[3] = p.low;
    next[4] = LLVMBuildAdd(e->b, state[4], const_like(type, 0x9E3779B9u), "");
    next[5] = LLVMBuildAdd(e->b, state[5], const_like(type, 0xBB67AE85u), "");
}

/* The function's body: the rounds as a loop. */
static void define_rounds(struct emitter *e, LLVMValueRef fn, LLVMTypeRef type, LLVMTypeRef result) {
    LLVMBasicBlockRef begin = LLVMAppendBasicBlockInContext(e->context, fn, "begin"),
                      round = LLVMAppendBasicBlockInContext(e->context, fn, "round"),
                      end = LLVMAppendBasicBlockInContext(e->context, fn, "end");
    LLVMPositionBuilderAtEnd(e->b, begin);
    LLVMBuildBr(e->b, round);
    LLVMPositionBuilderAtEnd(e->b, round);
    LLVMValueRef number = LLVMBuildPhi(e->b, e->i32, "number"), state[6], next[6];
    for (int i = 0; i < 6; i++)
        state[i] = LLVMBuildPhi(e->b, type, "");
    emit_round(e, state, next);
    LLVMValueRef more = LLVMBuildAdd(e->b, number, LLVMConstInt(e->i32, 1, false), "");
    LLVMBasicBlockRef from[] = {begin, round};
    LLVMAddIncoming(number, (LLVMValueRef[]){LLVMConstInt(e->i32, 0, false), more}, from, 2);
    for (int i = 0; i < 6; i++)
        LLVMAddIncoming(state[i], (LLVMValueRef[]){LLVMGetParam(fn, (unsigned)i), next[i]}, from, 2);
    LLVMValueRef again = LLVMBuildICmp(e->b, LLVMIntULT, more, LLVMConstInt(e->i32, ROUNDS, false), "");
    LLVMBuildCondBr(e->b, again, round, end);
    LLVMPositionBuilderAtEnd(e->b, end);
    LLVMValueRef words = LLVMGetPoison(result);
    for (int i = 0; i < 4; i++)
        words = LLVMBuildInsertValue(e->b, words, next[i], (unsigned)i, "");
    LLVMBuildRet(e->b, words);
}

/* {T, T, T, T} weft_philox_LANES(counter.., key..) of the module, for T = i32 or a vector of it. */
static LLVMValueRef philox_function(struct emitter *e, LLVMTypeRef type, int lanes) {
    char name[32];
    snprintf(name, sizeof(name), "weft_philox_%d", lanes);
    LLVMValueRef fn = LLVMGetNamedFunction(e->module, name);
    if (fn)
        return fn;
    LLVMTypeRef types[] = {type, type, type, type, type, type};
    LLVMTypeRef result = LLVMStructTypeInContext(e->context, types, 4, false);
    fn = LLVMAddFunction(e->module, name, LLVMFunctionType(result, types, 6, false));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    emit_attributes(e, fn);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    define_rounds(e, fn, type, result);
    LLVMPositionBuilderAtEnd(e->b, here);
    return fn;
}

void emit_philox(struct emission *em, const struct loop_stmt *s) {
    struct emitter *e = em->e;
    bool varies = false;
    for (int i = 0; i < 6; i++)
        varies |= em->lanes.count && expr_facts(em, s->args[i])->varies;
    LLVMValueRef state[6]; /* args have the key in front */
    for (int i = 0; i < 6; i++)
        state[i] = emit_form(em, s->args[i < 4 ? i + 2 : i - 4], varies ? FORM_VECTOR : FORM_SCALAR);
    LLVMValueRef fn = philox_function(e, LLVMTypeOf(state[0]), varies ? em->lanes.count : 1);
    LLVMValueRef words = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(fn), fn, state, 6, "");
    for (int i = 0; i < 4; i++)
        emit_bind(em, s->vars[i], LLVMBuildExtractValue(e->b, words, (unsigned)i, ""));
}
