/* IR text: whatever parses must print, read back, and print the same bytes. */
#include "ir/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *round_trip(struct arena *arena, const char *text, size_t size) {
    struct diags *diags = diags_create(arena);
    const struct source *source = source_create(arena, "input", text, size);
    struct graph *graph = graph_parse(arena, types_create(arena), interner_create(arena), source, diags);
    struct strbuf out;
    strbuf_init(&out, arena);
    if (!graph) {
        diags_render(diags, &out, false);
        if (diags_error_count(diags) == 0 || diags_has_defect(diags))
            abort();
        return NULL;
    }
    graph_print(graph, &out);
    return out.text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct arena *arena = arena_create();
    const char *once = round_trip(arena, (const char *)bytes, size);
    if (once) {
        const char *twice = round_trip(arena, once, strlen(once));
        if (!twice || strcmp(once, twice) != 0)
            abort();
    }
    arena_destroy(arena);
    return 0;
}
