/* Any bytes as a model text: the parser, the printer of trees and the formatter. What formats must parse, and
 * formatting it again must change nothing. */
#include "frontend/ast_print.h"
#include "frontend/frontend.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void format_twice(struct arena *arena, const struct source *source) {
    struct diags *diags = diags_create(arena);
    const char *once = frontend_format(arena, source, diags);
    if (diags_has_defect(diags))
        abort();
    if (!once)
        return;
    const char *twice = frontend_format(arena, source_create(arena, "again", once, strlen(once)), diags);
    if (!twice || strcmp(once, twice) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct arena *arena = arena_create();
    const struct source *source = source_create(arena, "fuzz", (const char *)bytes, size);
    struct diags *diags = diags_create(arena);
    struct strbuf text;
    strbuf_init(&text, arena);
    ast_print(parse_file(arena, interner_create(arena), source, diags), &text);
    diags_render(diags, &text, false);
    parse_is_incomplete(arena, source);
    format_twice(arena, source);
    arena_destroy(arena);
    return 0;
}
