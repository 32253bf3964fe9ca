#include "driver/codegen_module.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

static const char *const places[] = {"%s/libweft_codegen.so", "%s/../lib/weft/libweft_codegen.so",
                                     "%s/../lib64/weft/libweft_codegen.so",
                                     "%s/../lib/x86_64-linux-gnu/weft/libweft_codegen.so"};

const char *program_folder(struct arena *arena) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return ".";
    path[n] = 0;
    char *slash = strrchr(path, '/');
    *(slash ? slash : path) = 0;
    return arena_strdup(arena, path);
}

static const char *module_path(struct arena *arena) {
    const char *folder = program_folder(arena);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct strbuf path;
        strbuf_init(&path, arena);
        strbuf_write(&path, folder, strlen(folder));
        strbuf_puts(&path, places[i] + 2);
        if (access(path.text, R_OK) == 0)
            return path.text;
    }
    return arena_printf(arena, "%s/libweft_codegen.so", folder);
}

const struct codegen_api *codegen_module_open(struct arena *arena, struct diags *diags) {
    const char *path = module_path(arena);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct codegen_api *api = module ? dlsym(module, "weft_codegen") : NULL;
    if (!api)
        diag_error(diags, (struct span){0}, E_COMPILE, "the code generator cannot be opened: %s", dlerror());
    else if (api->version != WEFT_CODEGEN_VERSION)
        diag_error(diags, (struct span){0}, E_COMPILE, "%s is of another version of weft", path);
    return api && api->version == WEFT_CODEGEN_VERSION ? api : NULL;
}
