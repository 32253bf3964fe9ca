/* codegen/codegen.c: the layer's table of functions. */
#include "codegen/codegen.h"

#include "codegen/compile.h"
#include "codegen/interface.h"
#include "codegen/jit.h"
#include "codegen/session.h"

#include <dlfcn.h>
#include <llvm/Config/llvm-config.h>
#include <stdlib.h>
#include <time.h>

struct loaded {
    struct arena *arena;
    struct jit *jit;
};

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- running ---- */

static void unload(struct loaded *loaded) {
    if (!loaded)
        return;
    jit_destroy(loaded->jit);
    arena_destroy(loaded->arena); /* loaded lies in it */
}

/* The library that --gemm=openblas asks for, left open: code in this process calls it. It takes its slowest
 * kernels on CPUs younger than it is (KERNELS: 28 to 41 % of peak on Zen 5) unless it is told which to take
 * before it is loaded. */
static bool open_openblas(const struct compiled *compiled, struct arena *arena, const char **why) {
    if (compiled->target->vector_bits == 512)
        setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
    if (dlopen("libopenblas.so.0", RTLD_NOW | RTLD_GLOBAL))
        return true;
    *why = arena_printf(arena, "%s; install libopenblas, or leave --gemm=openblas out", dlerror());
    return false;
}

static bool link_objects(struct loaded *loaded, const struct compiled *compiled, const char **why) {
    if (compiled->options.use_openblas && !open_openblas(compiled, loaded->arena, why))
        return false;
    if (!(loaded->jit = jit_create(loaded->arena, compiled->options.debug_info, why)))
        return false;
    for (int i = 0; i < compiled->objects.count; i++)
        if (!jit_add_object(loaded->jit, compiled->objects.at[i].at, compiled->objects.at[i].size,
                            loaded->arena, why))
            return false;
    for (int i = 0; i < compiled->functions.count; i++) {
        const char *symbol = jit_entry_symbol(loaded->arena, compiled->functions.at[i].function->name);
        if (!jit_symbol(loaded->jit, symbol, loaded->arena, why))
            return false;
    }
    return true;
}

static struct loaded *load(struct compiled *compiled, struct diags *diags) {
    if (compiled->options.no_jit) {
        diag_defect(diags, (struct span){0},
                    "what was compiled without code for this process is loaded into it");
        return NULL;
    }
    double begin = seconds_now();
    struct arena *arena = arena_create();
    const char *why = "out of memory";
    struct loaded *loaded = NULL;
    if (arena) {
        loaded = ARENA_NEW(arena, struct loaded);
        loaded->arena = arena;
        if (link_objects(loaded, compiled, &why)) {
            compiled->times.link = seconds_now() - begin;
            return loaded;
        }
    }
    diag_error(diags, (struct span){0}, E_COMPILE, "the compiled code does not link: %s", why);
    unload(loaded);
    return NULL;
}

static weft_call *entry(struct loaded *loaded, const char *function) {
    const char *why;
    void *address = jit_symbol(loaded->jit, jit_entry_symbol(loaded->arena, function), loaded->arena, &why);
    return (weft_call *)(uintptr_t)address;
}

static void pack(struct loaded *loaded, void *weights) {
    const char *why;
    void *address = jit_symbol(loaded->jit, PACKING_SYMBOL, loaded->arena, &why);
    if (address)
        ((packing_function *)(uintptr_t)address)(weights);
}

/* ---- what was compiled ---- */

static size_t weights_bytes(const struct compiled *compiled) {
    return (size_t)compiled->weights_bytes;
}

static size_t workspace(const struct compiled *compiled, const char *function, int width) {
    const struct compiled_function *f = compiled_find(compiled, function);
    return f ? (size_t)workspace_bytes(f, width) : 0;
}

static const char *loops(const struct compiled *compiled) {
    struct strbuf out;
    strbuf_init(&out, compiled->arena);
    for (int i = 0; i < compiled->units.count; i++) {
        const struct unit *unit = compiled->units.at[i];
        strbuf_printf(&out, "// %s\n%s\n", unit->function->symbol, unit->text);
    }
    return out.text;
}

static const char *explain(const struct compiled *compiled) {
    return compiled->why.text ? compiled->why.text : "";
}

static struct codegen_times times(const struct compiled *compiled) {
    return compiled->times;
}

static const char *error_text(const struct compiled *compiled, int code) {
    int row = code - WEFT_FIRST_CHECK;
    return row >= 0 && row < compiled->checks.count ? compiled->checks.at[row].message : NULL;
}

static const struct site *error_site(const struct compiled *compiled, int code) {
    int row = code - WEFT_FIRST_CHECK;
    return row >= 0 && row < compiled->checks.count ? compiled->checks.at[row].site : NULL;
}

static const struct profile_row *profile_rows(const struct compiled *compiled, int *count) {
    *count = compiled->rows.count;
    return compiled->rows.at;
}

/* ---- versions ---- */

static const char *llvm_version(void) {
    return LLVM_VERSION_STRING;
}

const struct codegen_api weft_codegen = {
    .version = WEFT_CODEGEN_VERSION,
    .compile = session_compile,
    .load = load,
    .unload = unload,
    .entry = entry,
    .weights_bytes = weights_bytes,
    .pack = pack,
    .pack_now = packing_run,
    .workspace = workspace,
    .object = object_emit,
    .header = header_write,
    .loops = loops,
    .assembly = assembly_print,
    .explain = explain,
    .times = times,
    .profile_rows = profile_rows,
    .error_text = error_text,
    .error_site = error_site,
    .llvm_version = llvm_version,
};
