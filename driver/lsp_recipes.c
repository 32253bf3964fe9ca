/* driver/lsp_recipes.c: a recipe's names of what a model text declares. docs/recipes.md has the keys: `model`
 * and `set` at the top and in phases, `train` and `fn` and `from` for entries, `in` for their arguments,
 * `into` for members. What names something else under such a key has another model or entry around it. */
#include "driver/lsp_recipes.h"

#include "driver/yaml.h"

#include <string.h>

struct finder {
    struct arena *arena;
    const char *name;
    const struct recipe_name *as;
    struct recipe_places *out;
};

static void add_place(struct finder *f, struct span span) {
    VEC_PUSH(f->arena, &f->out->spans, span);
}

/* `length` bytes of a scalar's text from `at` on, in the file. */
static struct span part_of(const struct yaml *node, size_t at, size_t length) {
    struct span span = node->span;
    span.begin += (uint32_t)(at + node->is_quoted);
    span.end = span.begin + (uint32_t)length;
    return span;
}

/* The scalar `node` as a whole, or its first part in front of a point: decoder.conv. */
static void look_at(struct finder *f, const struct yaml *node) {
    size_t length = strlen(f->name);
    if (!node || node->kind != YAML_SCALAR || strncmp(node->text, f->name, length) != 0)
        return;
    if (node->text[length] == 0 || (f->as->role == RECIPE_MEMBER && node->text[length] == '.'))
        add_place(f, part_of(node, 0, length));
}

static void look_at_keys(struct finder *f, const struct yaml *map) {
    if (map && map->kind == YAML_MAP)
        for (const struct yaml *child = map->children; child; child = child->next)
            look_at(f, child->key);
}

/* A map of `phases`, `evaluate`, `samples`, `fit`, `load`, or the whole recipe. */
static void look_in_map(struct finder *f, const struct yaml *map) {
    static const char *const entries[] = {"fn", "train", "from"};
    const struct yaml *fn = yaml_find(map, "fn"), *settings = yaml_find(map, "set");
    switch (f->as->role) {
    case RECIPE_SETTING:
        if (!fn)
            look_at_keys(f, settings);
        break;
    case RECIPE_ENTRY:
        for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
            look_at(f, yaml_find(map, entries[i]));
        break;
    case RECIPE_ARGUMENT:
        if (fn && fn->kind == YAML_SCALAR && strcmp(fn->text, f->as->entry) == 0) {
            look_at_keys(f, yaml_find(map, "in"));
            look_at_keys(f, settings);
        }
        break;
    case RECIPE_MEMBER:
        look_at(f, yaml_find(map, "into"));
        break;
    default:
        break;
    }
}

static void look_in_lists(struct finder *f, const struct yaml *root, const char *model) {
    static const char *const lists[] = {"phases", "load", "fit", "evaluate", "samples"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const struct yaml *list = yaml_find(root, lists[i]);
        if (!list || list->kind != YAML_LIST)
            continue;
        for (const struct yaml *map = list->children; map; map = map->next) {
            const struct yaml *own = map->kind == YAML_MAP ? yaml_find(map, "model") : NULL;
            const char *its = own && own->kind == YAML_SCALAR ? own->text : model;
            if (f->as->role == RECIPE_MODEL)
                look_at(f, own);
            else if (map->kind == YAML_MAP && strcmp(its, f->as->model) == 0)
                look_in_map(f, map);
        }
    }
}

/* Whether the recipe's `model` is in the text at `path`; *name: which, or NULL where it is not said. */
static bool is_of_text(struct arena *arena, const struct yaml *model, const char *path, const char **name) {
    if (!model || model->kind != YAML_SCALAR)
        return false;
    const char *recipe = model->span.source->name, *slash = strrchr(recipe, '/');
    char *file = *model->text == '/' || !slash
                     ? arena_strdup(arena, model->text)
                     : arena_printf(arena, "%.*s/%s", (int)(slash - recipe), recipe, model->text);
    char *colon = strrchr(file, ':');
    if (colon && !strchr(colon, '/'))
        *colon = 0;
    else
        colon = NULL;
    path_normalise(file);
    *name = colon ? colon + 1 : NULL;
    return strcmp(file, path) == 0;
}

void recipe_find_places(struct arena *arena, const struct source *recipe, const char *path, const char *name,
                        const struct recipe_name *as, struct recipe_places *out) {
    *out = (struct recipe_places){0};
    struct yaml *root = yaml_parse(arena, recipe, diags_create(arena));
    const struct yaml *model = root && root->kind == YAML_MAP ? yaml_find(root, "model") : NULL;
    const char *its;
    if (!is_of_text(arena, model, path, &its) || (!its && !as->is_only_model))
        return;
    struct finder f = {arena, name, as, out};
    if (!its)
        its = as->model;
    if (as->role == RECIPE_MODEL && strcmp(its, name) == 0 && strlen(model->text) > strlen(name) &&
        strcmp(model->text + strlen(model->text) - strlen(name), name) == 0)
        add_place(&f, part_of(model, strlen(model->text) - strlen(name), strlen(name)));
    if (strcmp(its, as->model) == 0)
        look_in_map(&f, root);
    look_in_lists(&f, root, its);
}
