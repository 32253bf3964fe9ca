/* Any bytes as a model text that is elaborated: every entry and the first values of every model in it, with
 * little patience. A graph that comes out must be valid; nothing may be a defect. */
#include "frontend/frontend.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { PATIENCE = 20000 };

static void elaborate_model(struct frontend *fe, const char *path, const char *name, struct arena *arena,
                            struct diags *diags) {
    struct instance *model = frontend_instantiate(fe, path, name, NULL, 0, arena);
    for (int i = 0; model && i < instance_entry_count(model); i++)
        instance_elaborate(model, instance_entry(model, i)->name, NULL, 0, 1 + i % 2);
    if (model && diags_error_count(diags) == 0 && instance_elaborate_init(model))
        graph_verify(instance_graph(model), diags, "elaboration");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct arena *arena = arena_create();
    struct diags *diags = diags_create(arena);
    struct frontend *fe = frontend_create(arena, types_create(arena), interner_create(arena), diags);
    frontend_set_limit(fe, PATIENCE);
    if (frontend_load_source(fe, source_create(arena, "fuzz", (const char *)bytes, size)))
        for (int i = 0; i < frontend_model_count(fe, "fuzz"); i++)
            elaborate_model(fe, "fuzz", frontend_model_name(fe, "fuzz", i), arena, diags);
    struct strbuf text;
    strbuf_init(&text, arena);
    diags_render(diags, &text, false);
    if (diags_has_defect(diags))
        abort();
    arena_destroy(arena);
    return 0;
}
