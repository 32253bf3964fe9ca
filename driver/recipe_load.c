/* `load`: weights before the start, and maps of their names (semantics S18, N2). */
#include "driver/recipe_read.h"

#include <string.h>

static bool read_match(struct recipe_reader *r, const struct yaml *node, void *into) {
    regex_t *match = into;
    const char *text = NULL;
    if (!recipe_read_text(r, node, &text))
        return false;
    int code = regcomp(match, text, REG_EXTENDED);
    if (code == 0)
        return true;
    char why[128];
    regerror(code, match, why, sizeof why);
    memset(match, 0, sizeof *match);
    diag_error(r->diags, node->span, E_RECIPE, "`%s` is no regular expression: %s", text, why);
    return false;
}

/* A text that may be empty. */
static bool read_any_text(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (node->kind != YAML_SCALAR)
        return recipe_wrong(r, node, "a text");
    *(const char **)into = node->text;
    return true;
}

const struct key recipe_rename_keys[] = {{"match", read_match, KEY_AT(recipe_rename, match), true,
                                          "expression", "a POSIX extended regular expression", NULL},
                                         {"to", read_any_text, KEY_AT(recipe_rename, to), true, "text",
                                          "what each match becomes; \\1 to \\9 are its groups", NULL},
                                         {0}};

/* The groups that `to` names must be there. */
static bool check_groups(struct recipe_reader *r, const struct yaml *node,
                         const struct recipe_rename *rename) {
    for (const char *at = rename->to; *at; at++)
        if (at[0] == '\\' && at[1] >= '1' && at[1] <= '9' && (size_t)(at[1] - '0') > rename->match.re_nsub) {
            diag_error(r->diags, node->span, E_RECIPE, "the expression has no group \\%c", at[1]);
            return false;
        }
    return true;
}

static bool one_rename(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_load *load = into;
    struct recipe_rename *rename = ARENA_NEW(r->arena, struct recipe_rename);
    VEC_PUSH(r->arena, &load->map, rename); /* pushed first: recipe_finish frees what was compiled */
    return recipe_read_map(r, node, recipe_rename_keys, rename) && check_groups(r, node, rename);
}

/* A file: a list of {match, to}, in the order in which they apply. */
static bool read_map_file(struct recipe_reader *r, const struct yaml *node, void *into) {
    const char *path = NULL, *why;
    if (!recipe_read_input_path(r, node, &path))
        return false;
    const struct source *source = source_read(r->arena, path, &why);
    if (!source) {
        diag_error(r->diags, node->span, E_RECIPE, "the map `%s` cannot be read: %s", path, why);
        return false;
    }
    const struct yaml *root = yaml_parse(r->arena, source, r->diags);
    return root && recipe_read_each(r, root, one_rename, into);
}

const struct key recipe_load_keys[] = {
    {"file", recipe_read_input_path, KEY_AT(recipe_load, file), false, "FILE", ".safetensors or .npz", NULL},
    {"from", recipe_read_text, KEY_AT(recipe_load, from), false, "MODEL",
     "instead of a file, in a phase: what an earlier phase's model has learnt", NULL},
    {"into", recipe_read_text, KEY_AT(recipe_load, into), false, "MEMBER or .",
     "only the weights below this member, by their names below it (.: all)", NULL},
    {"prefix", read_any_text, KEY_AT(recipe_load, prefix), false, "text",
     "only the file's names that begin with it; it is cut off", NULL},
    {"map", read_map_file, 0, false, "FILE.yaml",
     "a list of {match, to}: applied to the file's names in turn", NULL},
    {"missing", recipe_read_texts, KEY_AT(recipe_load, missing), false, "[globs]",
     "weights of the model that the file need not have", NULL},
    {"ignore", recipe_read_texts, KEY_AT(recipe_load, ignore), false, "[globs]",
     "names of the file that nobody wants", NULL},
    {0}};

static bool one_load(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_load load = {.into = ".", .prefix = "", .span = node->span};
    bool ok = recipe_read_map(r, node, recipe_load_keys, &load);
    VEC_PUSH(r->arena, (recipe_load_list *)into, load);
    if (ok && !load.file == !load.from) {
        diag_error(r->diags, node->span, E_RECIPE,
                   load.file ? "`file` and `from` exclude each other" : "the key `file` is missing here");
        return false;
    }
    return ok;
}

bool recipe_read_load(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_each(r, node, one_load, into);
}
