/* A model as a linked object, beside the compiled code in memory. */
#include "support_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

static void *open_object(struct model_run *run, const char *folder) {
    struct arena *arena = run->session.arena;
    size_t size;
    const void *object = run->session.codegen->object(run->program->compiled, "m", (struct held_blocks){0},
                                                      &size, run->session.diags);
    if (!object)
        model_fail(run, "no object");
    FILE *file = fopen(arena_printf(arena, "%s/m.o", folder), "wb");
    assert_int_equal(fwrite(object, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(
        system(arena_printf(arena, "cc -shared -Wl,-z,defs -o %s/m.so %s/m.o -lm", folder, folder)), 0);
    void *library = dlopen(arena_printf(arena, "%s/m.so", folder), RTLD_NOW | RTLD_LOCAL);
    assert_int_equal(system(arena_printf(arena, "rm -r %s", folder)), 0);
    if (!library)
        fail_msg("%s", dlerror());
    return library;
}

/* The function of an entry; `fn error` has a _ behind its name (docs/abi.md). */
static weft_call *find_call(struct arena *arena, void *library, const char *entry) {
    void *call = dlsym(library, arena_printf(arena, "m_%s_call", entry));
    return (weft_call *)(uintptr_t)(call ? call : dlsym(library, arena_printf(arena, "m_%s__call", entry)));
}

/* The same call of the same inputs and states by both. */
static void expect_same_bits(struct model_run *run, int entry, void *library) {
    struct model_call *call = model_call_create(run, entry, 300 + (uint32_t)entry);
    struct snapshot before = model_snapshot(call);
    model_call_run(call, NULL);
    struct snapshot jit = model_snapshot(call);
    struct program_entry shipped = *call->entry;
    shipped.call = find_call(run->session.arena, library, shipped.name);
    assert_non_null(shipped.call);
    call->entry = &shipped;
    model_restore(call, &before);
    model_call_run(call, weft_pool_exec(run->session.pool));
    struct snapshot object = model_snapshot(call);
    if (!snapshot_equal(&jit, &object))
        fail_msg("%s:%s: the object has other bits", run->size->name, shipped.name);
}

void model_check_object(struct model_run *run) {
    char folder[] = "/tmp/weft-models-XXXXXX";
    assert_non_null(mkdtemp(folder));
    void *library = open_object(run, folder);
    for (int entry = 0; entry < run->entry_count; entry++)
        expect_same_bits(run, entry, library);
    dlclose(library);
}
