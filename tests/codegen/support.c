#include "support.h"

#include "codegen/jit.h"
#include "codegen/llvm.h"
#include "runtime/weft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WORKERS = 2 };

struct machine {
    struct arena *arena;
    struct jit *jit;
    const struct loop_kernel *kernel;
    int argument_count;
    weft_body **bodies;
};

static LLVMMemoryBufferRef object_of(struct arena *arena, const struct target *target,
                                     const struct loop_kernel *kernel, int argument_count) {
    struct emitter e;
    assert_true(emitter_init(&e, target, arena, "kernel"));
    for (int i = 0; i < kernel->phases.count; i++) {
        struct loop_function *f = kernel->phases.at[i];
        f->symbol = arena_printf(arena, "phase_%d", i);
        emit_loop_function(&e, f, argument_count, kernel->worker_bytes, NULL);
    }
    char *why = NULL;
    if (getenv("WEFT_TEST_DUMP"))
        LLVMDumpModule(e.module);
    if (LLVMVerifyModule(e.module, LLVMReturnStatusAction, &why)) {
        LLVMDumpModule(e.module);
        fail_msg("%s", why);
    }
    LLVMDisposeMessage(why);
    LLVMTargetMachineRef machine = target_machine_create(target);
    assert_non_null(machine);
    LLVMMemoryBufferRef object = emit_object(machine, e.module, &why);
    assert_non_null(object);
    LLVMDisposeTargetMachine(machine);
    emitter_finish(&e);
    return object;
}

struct machine *machine_create(struct arena *arena, const struct target *target,
                               const struct loop_kernel *kernel, int argument_count) {
    struct machine *m = ARENA_NEW(arena, struct machine);
    *m = (struct machine){.arena = arena, .kernel = kernel, .argument_count = argument_count};
    const char *why = NULL;
    m->jit = jit_create(arena, false, &why);
    assert_non_null(m->jit);
    LLVMMemoryBufferRef object = object_of(arena, target, kernel, argument_count);
    assert_true(jit_add_object(m->jit, LLVMGetBufferStart(object), LLVMGetBufferSize(object), arena, &why));
    LLVMDisposeMemoryBuffer(object);
    m->bodies = ARENA_ARRAY(arena, weft_body *, kernel->phases.count + 1);
    for (int i = 0; i < kernel->phases.count; i++) {
        void *symbol = jit_symbol(m->jit, kernel->phases.at[i]->symbol, arena, &why);
        if (!symbol)
            fail_msg("%s", why);
        m->bodies[i] = (weft_body *)(uintptr_t)symbol;
    }
    return m;
}

void machine_compiles(struct arena *arena, const struct target *target, const struct loop_kernel *kernel,
                      int argument_count) {
    LLVMDisposeMemoryBuffer(object_of(arena, target, kernel, argument_count));
}

static void *memory(struct arena *arena, int64_t bytes) {
    uintptr_t p = (uintptr_t)arena_alloc(arena, (size_t)bytes + 64);
    void *aligned = (void *)((p + 63) & ~(uintptr_t)63);
    memset(aligned, 0xFF, (size_t)bytes); /* NaN: what is not written must not be read */
    return aligned;
}

void machine_run(struct machine *m, void *const *arguments, bool reverse) {
    void **data = ARENA_ARRAY(m->arena, void *, m->argument_count + 3);
    memcpy(data, arguments, sizeof(void *) * (size_t)m->argument_count);
    uint32_t error = UINT32_MAX;
    data[m->argument_count] = memory(m->arena, m->kernel->shared_bytes);
    data[m->argument_count + 1] = memory(m->arena, m->kernel->worker_bytes * WORKERS);
    data[m->argument_count + 2] = &error;
    for (int i = 0; i < m->kernel->phases.count; i++) {
        int64_t tasks = m->kernel->phases.at[i]->tasks;
        for (int64_t t = 0; t < tasks; t++)
            m->bodies[i](data, reverse ? tasks - 1 - t : t, (int32_t)(t % WORKERS));
    }
}

void machine_destroy(struct machine *m) {
    jit_destroy(m->jit);
}

const struct target *native_target(struct arena *arena) {
    struct diags *diags = diags_create(arena);
    const struct target *target = target_get(arena, "native", diags);
    assert_non_null(target);
    return target;
}
