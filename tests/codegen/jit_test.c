/* Objects in memory: targets by name, functions that run, several worlds at once. */
#include "codegen/jit.h"

#include "codegen/llvm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* double SYMBOL(double x) { return x * factor; } */
static LLVMMemoryBufferRef scale_object(struct arena *arena, const struct target *target, double factor) {
    struct emitter e;
    assert_true(emitter_init(&e, target, arena, "scale"));
    LLVMValueRef f = LLVMAddFunction(e.module, "scale", LLVMFunctionType(e.f64, &e.f64, 1, 0));
    emit_attributes(&e, f);
    LLVMPositionBuilderAtEnd(e.b, LLVMAppendBasicBlockInContext(e.context, f, ""));
    LLVMBuildRet(e.b, LLVMBuildFMul(e.b, LLVMGetParam(f, 0), LLVMConstReal(e.f64, factor), ""));
    char *why = NULL;
    assert_int_equal(LLVMVerifyModule(e.module, LLVMReturnStatusAction, &why), 0);
    LLVMDisposeMessage(why);
    LLVMTargetMachineRef machine = target_machine_create(target);
    assert_non_null(machine);
    LLVMMemoryBufferRef object = emit_object(machine, e.module, &why);
    assert_non_null(object);
    LLVMDisposeTargetMachine(machine);
    emitter_finish(&e);
    return object;
}

static struct jit *scale_jit(struct arena *arena, double factor) {
    struct diags *diags = diags_create(arena);
    const char *why = NULL;
    struct jit *jit = jit_create(arena, false, &why);
    assert_non_null(jit);
    LLVMMemoryBufferRef object = scale_object(arena, target_get(arena, "native", diags), factor);
    assert_true(jit_add_object(jit, LLVMGetBufferStart(object), LLVMGetBufferSize(object), arena, &why));
    LLVMDisposeMemoryBuffer(object);
    return jit;
}

static double call(struct jit *jit, struct arena *arena, double x) {
    const char *why = NULL;
    double (*scale)(double) = (double (*)(double))(uintptr_t)jit_symbol(jit, "scale", arena, &why);
    assert_non_null(scale);
    return scale(x);
}

static void two_worlds_hold_the_same_symbol(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct jit *two = scale_jit(arena, 2), *three = scale_jit(arena, 3);
    assert_true(call(two, arena, 7) == 14);
    assert_true(call(three, arena, 7) == 21);
    jit_destroy(two);
    assert_true(call(three, arena, 5) == 15);
    jit_destroy(three);
    arena_destroy(arena);
}

static void a_missing_symbol_is_told(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct jit *jit = scale_jit(arena, 2);
    const char *why = NULL;
    assert_null(jit_symbol(jit, "weft_no_such_symbol", arena, &why));
    assert_non_null(strstr(why, "weft_no_such_symbol"));
    jit_destroy(jit);
    arena_destroy(arena);
}

static void targets_are_found_by_name(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct diags *diags = diags_create(arena);
    const struct target *t = target_get(arena, "x86-64-v4", diags);
    assert_int_equal(t->vector_bits, 512);
    assert_int_equal(target_lanes(t, 4), 16);
    assert_int_equal(target_lanes(target_get(arena, "haswell", diags), 8), 4);
    t = target_get(arena, "aarch64", diags);
    assert_string_equal(t->cpu, "generic");
    LLVMMemoryBufferRef object = scale_object(arena, t, 2);
    assert_memory_equal(LLVMGetBufferStart(object), "\177ELF", 4);
    LLVMDisposeMemoryBuffer(object);
    assert_int_equal(diags_error_count(diags), 0);
    assert_null(target_get(arena, "haswel", diags));
    struct strbuf text;
    strbuf_init(&text, arena);
    diags_render(diags, &text, false);
    assert_string_equal(text.text, "error[E0702]: unknown CPU haswel\n = help: did you mean `haswell`?\n");
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_worlds_hold_the_same_symbol),
        cmocka_unit_test(a_missing_symbol_is_told),
        cmocka_unit_test(targets_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
