/* codegen/cpuid.c: the function of an object that asks the CPU whether it can run the object's code. */
#include "codegen/entry.h"

#include <string.h>

enum cpuid_register { EAX, EBX, ECX, EDX };

/* Where the CPU tells of a feature: Intel's manual volume 2A, CPUID; AMD's volume 3, appendix E. In order of
 * leaves. */
static const struct feature_bit {
    const char *feature;
    uint32_t leaf, subleaf;
    enum cpuid_register reg;
    int bit;
} feature_bits[] = {
    {"+sse3", 1, 0, ECX, 0},
    {"+ssse3", 1, 0, ECX, 9},
    {"+fma", 1, 0, ECX, 12},
    {"+cx16", 1, 0, ECX, 13},
    {"+sse4.1", 1, 0, ECX, 19},
    {"+sse4.2", 1, 0, ECX, 20},
    {"+movbe", 1, 0, ECX, 22},
    {"+popcnt", 1, 0, ECX, 23},
    {"+avx", 1, 0, ECX, 28},
    {"+f16c", 1, 0, ECX, 29},
    {"+bmi", 7, 0, EBX, 3},
    {"+avx2", 7, 0, EBX, 5},
    {"+bmi2", 7, 0, EBX, 8},
    {"+avx512f", 7, 0, EBX, 16},
    {"+avx512dq", 7, 0, EBX, 17},
    {"+avx512ifma", 7, 0, EBX, 21},
    {"+avx512cd", 7, 0, EBX, 28},
    {"+avx512bw", 7, 0, EBX, 30},
    {"+avx512vl", 7, 0, EBX, 31},
    {"+avx512vbmi", 7, 0, ECX, 1},
    {"+avx512vbmi2", 7, 0, ECX, 6},
    {"+gfni", 7, 0, ECX, 8},
    {"+vaes", 7, 0, ECX, 9},
    {"+avx512vnni", 7, 0, ECX, 11},
    {"+avx512bitalg", 7, 0, ECX, 12},
    {"+avx512vpopcntdq", 7, 0, ECX, 14},
    {"+avx512vp2intersect", 7, 0, EDX, 8},
    {"+avx512fp16", 7, 0, EDX, 23},
    {"+avxvnni", 7, 1, EAX, 4},
    {"+avx512bf16", 7, 1, EAX, 5},
    {"+lzcnt", 0x80000001u, 0, ECX, 5},
};
enum { FEATURE_COUNT = sizeof(feature_bits) / sizeof(*feature_bits) };

/* The operating system saves the registers that AVX, and that AVX-512, adds: bits of XCR0. */
enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6, OSXSAVE_BIT = 27 };

struct asking {
    struct emitter *e;
    LLVMValueRef fn;
};

static LLVMValueRef u32_of(const struct asking *a, uint32_t value) {
    return LLVMConstInt(a->e->i32, value, false);
}

static LLVMValueRef emit_asm(const struct asking *a, const char *text, const char *constraints, int results,
                             LLVMValueRef *in, int in_count) {
    LLVMTypeRef i32[] = {a->e->i32, a->e->i32, a->e->i32, a->e->i32};
    LLVMTypeRef result = LLVMStructTypeInContext(a->e->context, i32, (unsigned)results, false);
    LLVMTypeRef type = LLVMFunctionType(result, i32, (unsigned)in_count, false);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, strlen(text), constraints, strlen(constraints), true,
                                         false, LLVMInlineAsmDialectATT, false);
    return LLVMBuildCall2(a->e->b, type, code, in, (unsigned)in_count, "");
}

static LLVMValueRef emit_cpuid(const struct asking *a, uint32_t leaf, uint32_t subleaf) {
    LLVMValueRef in[] = {u32_of(a, leaf), u32_of(a, subleaf)};
    return emit_asm(a, "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}", 4, in, 2);
}

/* Goes on where all bits of the mask are set, else returns false. */
static void want_bits(const struct asking *a, LLVMValueRef value, uint32_t mask) {
    struct emitter *e = a->e;
    LLVMBasicBlockRef on = LLVMAppendBasicBlockInContext(e->context, a->fn, "on"),
                      lacks = LLVMAppendBasicBlockInContext(e->context, a->fn, "lacks");
    LLVMValueRef has = LLVMBuildAnd(e->b, value, u32_of(a, mask), "");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, has, u32_of(a, mask), ""), on, lacks);
    LLVMPositionBuilderAtEnd(e->b, lacks);
    LLVMBuildRet(e->b, LLVMConstInt(e->i1, 0, false));
    LLVMPositionBuilderAtEnd(e->b, on);
}

/* A leaf beyond the last one answers with anything. Leaf 7 is the last that is asked of the basic ones. */
static void want_leaves(const struct asking *a) {
    struct emitter *e = a->e;
    LLVMValueRef last = LLVMBuildExtractValue(e->b, emit_cpuid(a, 0, 0), EAX, "");
    LLVMValueRef enough = LLVMBuildICmp(e->b, LLVMIntUGE, last, u32_of(a, 7), "");
    want_bits(a, LLVMBuildZExt(e->b, enough, e->i32, ""), 1);
}

/* All features that the target needs of one leaf. */
static void want_leaf(const struct asking *a, const char *needs, uint32_t leaf, uint32_t subleaf,
                      bool has_avx) {
    uint32_t mask[4] = {0};
    for (int i = 0; i < FEATURE_COUNT; i++) {
        const struct feature_bit *f = &feature_bits[i];
        if (f->leaf == leaf && f->subleaf == subleaf && feature_is_listed(needs, f->feature))
            mask[f->reg] |= 1u << f->bit;
    }
    if (leaf == 1 && has_avx)
        mask[ECX] |= 1u << OSXSAVE_BIT;
    if (!(mask[EAX] | mask[EBX] | mask[ECX] | mask[EDX]))
        return;
    LLVMValueRef regs = emit_cpuid(a, leaf, subleaf);
    for (int r = 0; r < 4; r++)
        if (mask[r])
            want_bits(a, LLVMBuildExtractValue(a->e->b, regs, (unsigned)r, ""), mask[r]);
}

static void want_saved_registers(const struct asking *a, uint32_t mask) {
    LLVMValueRef zero = u32_of(a, 0);
    LLVMValueRef regs = emit_asm(a, "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}", 2, &zero, 1);
    want_bits(a, LLVMBuildExtractValue(a->e->b, regs, 0, ""), mask);
}

/* The function itself is for every CPU of the kind. */
LLVMValueRef emit_fits_cpu(struct emitter *e) {
    const char *needs = e->target->needs;
    if (strncmp(e->target->triple, "x86_64", 6) != 0 || !feature_is_listed(needs, "+sse3"))
        return NULL;
    struct asking a = {e,
                       LLVMAddFunction(e->module, "weft_fits_cpu", LLVMFunctionType(e->i1, NULL, 0, false))};
    LLVMSetLinkage(a.fn, LLVMInternalLinkage);
    LLVMAddTargetDependentFunctionAttr(a.fn, "target-cpu", "x86-64");
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->context, a.fn, "begin"));
    bool has_avx = feature_is_listed(needs, "+avx");
    want_leaves(&a);
    want_leaf(&a, needs, 1, 0, has_avx);
    if (has_avx)
        want_saved_registers(&a, feature_is_listed(needs, "+avx512f") ? XCR0_AVX512 : XCR0_AVX);
    want_leaf(&a, needs, 7, 0, false);
    want_leaf(&a, needs, 7, 1, false);
    want_leaf(&a, needs, 0x80000001u, 0, false);
    LLVMBuildRet(e->b, LLVMConstInt(e->i1, 1, false));
    return a.fn;
}
