/* codegen/print.c: `print` of a model: a call of the exec's print hook, where there is an exec and it has
 * one. */
#include "codegen/entry.h"

#include <string.h>

enum { EXEC_PRINT = 3, EXEC_PRINT_CONTEXT = 4 }; /* fields of weft_exec */

static LLVMValueRef constant(struct emitter *e, const char *name, LLVMValueRef value) {
    LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    return global;
}

static LLVMValueRef i32_of(const struct emitter *e, int value) {
    return LLVMConstInt(e->i32, (unsigned long long)value, true);
}

static LLVMValueRef shape_of(struct emitter *e, const struct type *type) {
    if (type->rank == 0)
        return LLVMConstNull(e->ptr);
    LLVMValueRef *sizes = ARENA_ARRAY(e->arena, LLVMValueRef, type->rank);
    for (int i = 0; i < type->rank; i++)
        sizes[i] = LLVMConstInt(e->i64, (unsigned long long)type_size(type, i), true);
    return constant(e, "shape", LLVMConstArray2(e->i64, sizes, (uint64_t)type->rank));
}

/* A weft_arg_info. */
static LLVMValueRef info_of(struct emitter *e, const char *label, const struct type *type) {
    LLVMValueRef text = LLVMConstStringInContext(e->context, label, (unsigned)strlen(label), false);
    LLVMValueRef fields[] = {constant(e, "label", text), i32_of(e, WEFT_PRINT), i32_of(e, type->dtype),
                             i32_of(e, type->rank), shape_of(e, type)};
    return constant(e, "print", LLVMConstStructInContext(e->context, fields, 5, false));
}

static LLVMValueRef load_field(const struct entry_module *m, LLVMValueRef exec, unsigned field) {
    LLVMValueRef place = LLVMBuildStructGEP2(m->e->b, m->exec_type, exec, field, "");
    return LLVMBuildLoad2(m->e->b, m->e->ptr, place, "");
}

static LLVMBasicBlockRef new_block(const struct emitter *e, LLVMValueRef fn, const char *name) {
    return LLVMAppendBasicBlockInContext(e->context, fn, name);
}

/* To `then` where the pointer is not NULL, else to `otherwise`; goes on in `then`. */
static void branch_on(struct emitter *e, LLVMValueRef pointer, LLVMBasicBlockRef then,
                      LLVMBasicBlockRef otherwise) {
    LLVMValueRef is_null = LLVMBuildICmp(e->b, LLVMIntEQ, pointer, LLVMConstNull(e->ptr), "");
    LLVMBuildCondBr(e->b, is_null, otherwise, then);
    LLVMPositionBuilderAtEnd(e->b, then);
}

void emit_print_call(struct entry_module *m, LLVMValueRef fn, LLVMValueRef exec, const char *label,
                     const struct type *type, LLVMValueRef data) {
    struct emitter *e = m->e;
    LLVMBasicBlockRef has_exec = new_block(e, fn, "has_exec"), prints = new_block(e, fn, "prints"),
                      after = new_block(e, fn, "printed");
    branch_on(e, exec, has_exec, after);
    LLVMValueRef hook = load_field(m, exec, EXEC_PRINT);
    branch_on(e, hook, prints, after);
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->ptr};
    LLVMValueRef args[] = {load_field(m, exec, EXEC_PRINT_CONTEXT), info_of(e, label, type), data};
    LLVMBuildCall2(e->b, LLVMFunctionType(e->void_type, params, 3, false), hook, args, 3, "");
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
}
