/* IR text through the graph passes: a graph that the parser accepts must come out of each as a graph. */
#include "ir/text.h"
#include "passes/passes.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct arena *arena = arena_create();
    struct diags *diags = diags_create(arena);
    const struct source *source = source_create(arena, "input", (const char *)bytes, size);
    struct graph *graph = graph_parse(arena, types_create(arena), interner_create(arena), source, diags);
    if (graph) {
        struct pass_context context = {.arena = arena, .diags = diags, .verify = true};
        if (!pipeline_run(graph, &context, "dce") &&
            (diags_error_count(diags) == 0 || diags_has_defect(diags)))
            abort();
    }
    arena_destroy(arena);
    return 0;
}
