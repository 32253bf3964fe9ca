/* driver/lsp_recipes.h: where a recipe (YAML) names what a model text declares. */
#ifndef DRIVER_LSP_RECIPES_H
#define DRIVER_LSP_RECIPES_H

#include "base/source.h"
#include "base/vec.h"
#include "frontend/inspect.h"

struct recipe_places {
    VEC(struct span) spans;
};

/* The places of a recipe's text that mean `name`, which is declared in the text at `path` and which a recipe
 * calls as `as` says. Of what is no recipe, or of another model, there are none. */
void recipe_find_places(struct arena *arena, const struct source *recipe, const char *path, const char *name,
                        const struct recipe_name *as, struct recipe_places *out);

#endif
