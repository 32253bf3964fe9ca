#include "codegen/llvm.h"

#include <stdio.h>
#include <string.h>

bool emitter_init(struct emitter *e, const struct target *target, struct arena *arena,
                  const char *module_name) {
    LLVMTargetMachineRef machine = target_machine_create(target);
    if (!machine)
        return false;
    LLVMContextRef c = LLVMContextCreate();
    *e = (struct emitter){
        .context = c,
        .module = LLVMModuleCreateWithNameInContext(module_name, c),
        .b = LLVMCreateBuilderInContext(c),
        .target = target,
        .arena = arena,
        .i1 = LLVMInt1TypeInContext(c),
        .i8 = LLVMInt8TypeInContext(c),
        .i32 = LLVMInt32TypeInContext(c),
        .i64 = LLVMInt64TypeInContext(c),
        .f32 = LLVMFloatTypeInContext(c),
        .f64 = LLVMDoubleTypeInContext(c),
        .ptr = LLVMPointerTypeInContext(c, 0),
        .void_type = LLVMVoidTypeInContext(c),
    };
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMSetTarget(e->module, target->triple);
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(machine);
    return true;
}

void emitter_finish(struct emitter *e) {
    LLVMDisposeBuilder(e->b);
    LLVMDisposeModule(e->module);
    LLVMContextDispose(e->context);
    *e = (struct emitter){0};
}

static void add_text_attribute(struct emitter *e, LLVMValueRef function, const char *name, const char *text) {
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(e->context, name, (unsigned)strlen(name), text, (unsigned)strlen(text));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, a);
}

void emit_attributes(struct emitter *e, LLVMValueRef function) {
    const char nounwind[] = "nounwind";
    unsigned kind = LLVMGetEnumAttributeKindForName(nounwind, sizeof(nounwind) - 1);
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e->context, kind, 0));
    add_text_attribute(e, function, "target-cpu", e->target->cpu);
    if (*e->target->features)
        add_text_attribute(e, function, "target-features", e->target->features);
    /* Some CPUs' models prefer 256 of their 512 bits; our tiles are made for the full width. */
    char bits[16];
    snprintf(bits, sizeof(bits), "%d", e->target->vector_bits);
    add_text_attribute(e, function, "prefer-vector-width", bits);
    add_text_attribute(e, function, "min-legal-vector-width", bits);
}

LLVMValueRef emit_intrinsic(struct emitter *e, const char *name, LLVMTypeRef type, LLVMValueRef *args,
                            int count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(e->module, id, &type, 1);
    LLVMTypeRef callee_type = LLVMIntrinsicGetType(e->context, id, &type, 1);
    return LLVMBuildCall2(e->b, callee_type, callee, args, (unsigned)count, "");
}
