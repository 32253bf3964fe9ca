/* Any bytes as a recipe: YAML, the tables of keys, and the messages about it. */
#include "driver/recipe.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct arena *arena = arena_create();
    struct diags *diags = diags_create(arena);
    struct recipe *recipe =
        recipe_parse(arena, source_create(arena, "fuzz/r.yaml", (const char *)bytes, size), diags);
    struct strbuf text;
    strbuf_init(&text, arena);
    diags_render(diags, &text, false);
    if (!recipe && diags_error_count(diags) == 0)
        abort(); /* refused without a word */
    if (recipe && diags_error_count(diags) > 0)
        abort(); /* accepted with a mistake */
    recipe_finish(recipe);
    arena_destroy(arena);
    return 0;
}
