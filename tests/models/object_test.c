/* Every entry of every model as a linked object: the bits of the JIT, also on two threads. */
#include "support_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/weft-models-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static void *open_object(struct model_run *run) {
    struct arena *arena = run->session.arena;
    size_t size;
    const void *object =
        run->session.codegen->object(run->program->compiled, "m", NULL, &size, run->session.diags);
    if (!object)
        model_fail(run, "no object");
    FILE *file = fopen(arena_printf(arena, "%s/m.o", folder), "wb");
    assert_int_equal(fwrite(object, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(system(arena_printf(arena, "cc -shared -Wl,-z,defs -o '%s/%s.so' %s/m.o -lm", folder,
                                         run->size->name, folder)),
                     0);
    void *library = dlopen(arena_printf(arena, "%s/%s.so", folder, run->size->name), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    return library;
}

/* The same call of the same inputs and states by both. */
static void expect_same_bits(struct model_run *run, int entry, void *library) {
    struct model_call *call = model_call_create(run, entry, 300 + (uint32_t)entry);
    struct snapshot before = model_snapshot(call);
    model_call_run(call, NULL);
    struct snapshot jit = model_snapshot(call);
    struct program_entry shipped = *call->entry;
    shipped.call =
        (weft_call *)(uintptr_t)dlsym(library, arena_printf(run->session.arena, "m_%s_call", shipped.name));
    assert_non_null(shipped.call);
    call->entry = &shipped;
    model_restore(call, &before);
    model_call_run(call, weft_pool_exec(run->session.pool));
    struct snapshot object = model_snapshot(call);
    if (!snapshot_equal(&jit, &object))
        fail_msg("%s:%s: the object has other bits", run->size->name, shipped.name);
}

static void objects_have_the_bits_of_the_jit(void **state) {
    struct model_run *run = model_open(*state);
    model_compile(run, NULL);
    model_start(run);
    void *library = open_object(run);
    for (int entry = 0; entry < run->entry_count; entry++)
        expect_same_bits(run, entry, library);
    dlclose(library);
    model_close(run);
}

int main(int argc, char **argv) {
    return models_main(argc, argv, "objects", objects_have_the_bits_of_the_jit, make_folder, remove_folder);
}
