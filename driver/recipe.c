/* Note [Keys as rows]: each map of a recipe is described by a table of rows: the key's name, how its value is read, and
 * where it goes. Unknown keys, wrong kinds of values and keys that this version refuses are thereby found and worded in
 * one place. */
#include "driver/recipe.h"

#include "driver/yaml.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct context {
    struct arena *arena;
    struct diags *diags;
    struct recipe *recipe;
    const char *folder; /* of the recipe, with its slash, or "" */
};

/* Reads a value into *into; false: reported. */
typedef bool read_fn(struct context *c, const struct yaml *node, void *into);

struct key {
    const char *name;
    read_fn *read; /* NULL: refused by name */
    size_t offset;
    bool is_required;
};

static bool wrong(struct context *c, const struct yaml *node, const char *wanted) {
    if (node->kind == YAML_SCALAR)
        diag_error(c->diags, node->span, E_RECIPE, "%s is wanted here, not `%s`", wanted, node->text);
    else
        diag_error(c->diags, node->span, E_RECIPE, "%s is wanted here, not %s", wanted, yaml_kind_text(node));
    return false;
}

static const struct key *find_key(const struct key *keys, const char *name) {
    for (const struct key *k = keys; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

static bool unknown_key(struct context *c, const struct yaml *key, const struct key *keys) {
    const char *names[64];
    int n = 0;
    for (const struct key *k = keys; k->name && n < 64; k++)
        names[n++] = k->name;
    struct diag *d = diag_error(c->diags, key->span, E_RECIPE, "there is no key `%s` here", key->text);
    const char *nearest = nearest_name(key->text, names, n);
    if (nearest)
        diag_hint(d, "did you mean `%s`?", nearest);
    return false;
}

/* Reads a whole map by its table. Goes on after a mistake, so that one run reports them all. */
static bool read_map(struct context *c, const struct yaml *node, const struct key *keys, void *into) {
    if (node->kind != YAML_MAP)
        return wrong(c, node, "a map");
    bool ok = true;
    for (const struct yaml *child = node->children; child; child = child->next) {
        const struct key *key = find_key(keys, child->key->text);
        if (!key) {
            ok = unknown_key(c, child->key, keys);
        } else if (!key->read) {
            diag_error(c->diags, child->key->span, E_RECIPE, "the key `%s` is not supported by this version", key->name);
            ok = false;
        } else {
            ok = key->read(c, child, (char *)into + key->offset) && ok;
        }
    }
    for (const struct key *k = keys; k->name; k++)
        if (k->is_required && !yaml_find(node, k->name)) {
            diag_error(c->diags, node->span, E_RECIPE, "the key `%s` is missing here", k->name);
            ok = false;
        }
    return ok;
}

/* ---- kinds of values ---- */

static bool read_text(struct context *c, const struct yaml *node, void *into) {
    if (node->kind != YAML_SCALAR || !*node->text)
        return wrong(c, node, "a text");
    *(const char **)into = node->text;
    return true;
}

static bool read_path(struct context *c, const struct yaml *node, void *into) {
    if (!read_text(c, node, into))
        return false;
    if (node->text[0] != '/')
        *(const char **)into = arena_printf(c->arena, "%s%s", c->folder, node->text);
    return true;
}

static bool read_integer(struct context *c, const struct yaml *node, int64_t least, const char *wanted, void *into) {
    char *end = NULL;
    errno = 0;
    long long value = node->kind == YAML_SCALAR ? strtoll(node->text, &end, 10) : 0;
    if (node->kind != YAML_SCALAR || node->is_quoted || end == node->text || *end || errno || value < least)
        return wrong(c, node, wanted);
    *(int64_t *)into = value;
    return true;
}

static bool read_positive(struct context *c, const struct yaml *node, void *into) {
    return read_integer(c, node, 1, "a whole number from 1", into);
}

static bool read_natural(struct context *c, const struct yaml *node, void *into) {
    return read_integer(c, node, 0, "a whole number from 0", into);
}

static bool read_real(struct context *c, const struct yaml *node, double *into) {
    char *end = NULL;
    double value = node->kind == YAML_SCALAR ? strtod(node->text, &end) : 0.0;
    if (node->kind != YAML_SCALAR || end == node->text || *end || !isfinite(value))
        return wrong(c, node, "a number");
    *into = value;
    return true;
}

static bool read_bool(struct context *c, const struct yaml *node, bool *into) {
    if (node->kind != YAML_SCALAR || (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
        return wrong(c, node, "true or false");
    *into = strcmp(node->text, "true") == 0;
    return true;
}

static bool read_flag(struct context *c, const struct yaml *node, void *into) {
    return read_bool(c, node, into);
}

static bool read_shuffle(struct context *c, const struct yaml *node, void *into) {
    bool value = false;
    if (!read_bool(c, node, &value))
        return false;
    *(int *)into = value;
    return true;
}

/* "5 epochs", "1 epoch", "500 steps" */
static bool read_turn(struct context *c, const struct yaml *node, void *into) {
    struct turn *turn = into;
    char unit[8];
    int used = 0;
    long long count;
    const char *wanted = "a turn such as `1 epoch` or `500 steps`";
    if (node->kind != YAML_SCALAR || sscanf(node->text, "%lld %7[a-z]%n", &count, unit, &used) != 2 || node->text[used] || count < 1)
        return wrong(c, node, wanted);
    bool epochs = strcmp(unit, "epoch") == 0 || strcmp(unit, "epochs") == 0;
    if (!epochs && strcmp(unit, "step") != 0 && strcmp(unit, "steps") != 0)
        return wrong(c, node, wanted);
    turn->count = count;
    turn->in_epochs = epochs;
    return true;
}

static bool read_at(struct context *c, const struct yaml *node, void *into) {
    if (node->kind != YAML_SCALAR || strcmp(node->text, "end") != 0)
        return wrong(c, node, "`end`");
    ((struct turn *)into)->at_end = true;
    return true;
}

/* Two numbers, lo < hi, into consecutive doubles. */
static bool read_range(struct context *c, const struct yaml *node, void *into) {
    double *pair = into;
    const struct yaml *first = node->kind == YAML_LIST ? node->children : NULL;
    if (!first || !first->next || first->next->next)
        return wrong(c, node, "a range such as [-1, 1]");
    if (!read_real(c, first, &pair[0]) || !read_real(c, first->next, &pair[1]))
        return false;
    return pair[0] < pair[1] || wrong(c, node, "a range with its lower end first");
}

/* Two whole numbers into consecutive int64_t. */
static bool read_grid(struct context *c, const struct yaml *node, void *into) {
    int64_t *pair = into;
    const struct yaml *first = node->kind == YAML_LIST ? node->children : NULL;
    if (!first || !first->next || first->next->next)
        return wrong(c, node, "a grid such as [8, 8]");
    return read_positive(c, first, &pair[0]) && read_positive(c, first->next, &pair[1]);
}

typedef VEC(const char *) text_list;

static bool read_texts(struct context *c, const struct yaml *node, void *into) {
    if (node->kind != YAML_LIST)
        return wrong(c, node, "a list of texts");
    for (const struct yaml *child = node->children; child; child = child->next) {
        if (child->kind != YAML_SCALAR)
            return wrong(c, child, "a text");
        VEC_PUSH(c->arena, (text_list *)into, child->text);
    }
    return true;
}

/* A YAML value as an expression of the language: lists stay lists, what YAML quotes stays a text. */
static bool write_expression(struct context *c, const struct yaml *node, struct strbuf *out) {
    if (node->kind == YAML_MAP)
        return wrong(c, node, "a number, a text or a list");
    if (node->kind == YAML_SCALAR) {
        char *end;
        strtod(node->text, &end);
        bool is_word = strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0 || strcmp(node->text, "none") == 0;
        bool bare = !node->is_quoted && ((end != node->text && !*end) || is_word);
        strbuf_printf(out, bare ? "%s" : "\"%s\"", node->text);
        return true;
    }
    strbuf_putc(out, '[');
    for (const struct yaml *child = node->children; child; child = child->next) {
        if (!write_expression(c, child, out))
            return false;
        strbuf_puts(out, child->next ? ", " : "");
    }
    strbuf_putc(out, ']');
    return true;
}

typedef VEC(struct setting) setting_list;

static bool read_settings(struct context *c, const struct yaml *node, void *into) {
    if (node->kind != YAML_MAP)
        return wrong(c, node, "a map of names to values");
    for (const struct yaml *child = node->children; child; child = child->next) {
        struct strbuf text;
        strbuf_init(&text, c->arena);
        if (!write_expression(c, child, &text))
            return false;
        struct setting setting = {child->key->text, text.text, child->span};
        VEC_PUSH(c->arena, (setting_list *)into, setting);
    }
    return true;
}

static bool read_data_name(struct context *c, const struct yaml *node, void *into) {
    const char *name = NULL;
    if (!read_text(c, node, &name))
        return false;
    const struct recipe_data *data = recipe_find_data(c->recipe, name);
    if (!data) {
        const char *names[32];
        int n = 0;
        for (; n < c->recipe->data.count && n < 32; n++)
            names[n] = c->recipe->data.at[n]->name;
        struct diag *d = diag_error(c->diags, node->span, E_RECIPE, "`data` has no set named `%s`", name);
        const char *nearest = nearest_name(name, names, n);
        if (nearest)
            diag_hint(d, "did you mean `%s`?", nearest);
        return false;
    }
    *(const struct recipe_data **)into = data;
    return true;
}

static bool one_of(struct context *c, const struct yaml *node, const char *const *choices, int count, const char *wanted, void *into) {
    if (!read_text(c, node, into))
        return false;
    for (int i = 0; i < count; i++)
        if (strcmp(node->text, choices[i]) == 0)
            return true;
    struct diag *d = diag_error(c->diags, node->span, E_RECIPE, "%s is wanted here, not `%s`", wanted, node->text);
    const char *nearest = nearest_name(node->text, choices, count);
    if (nearest)
        diag_hint(d, "did you mean `%s`?", nearest);
    return false;
}

static bool read_kind(struct context *c, const struct yaml *node, void *into) {
    static const char *const kinds[] = {"idx", "mnist", "cifar10", "npy", "images"};
    return one_of(c, node, kinds, 5, "a kind of data (idx, mnist, cifar10, npy, images)", into);
}

static bool read_split(struct context *c, const struct yaml *node, void *into) {
    static const char *const splits[] = {"train", "test", "held"};
    return one_of(c, node, splits, 3, "train, test or held", into);
}

static bool read_reduce(struct context *c, const struct yaml *node, void *into) {
    static const char *const reductions[] = {"mean", "sum"};
    return one_of(c, node, reductions, 2, "mean or sum", into);
}

static bool read_on_nan(struct context *c, const struct yaml *node, void *into) {
    static const char *const choices[] = {"stop", "skip"};
    const char *choice = "";
    if (!one_of(c, node, choices, 2, "stop or skip", &choice))
        return false;
    *(bool *)into = strcmp(choice, "skip") == 0;
    return true;
}

static bool read_model(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    if (!read_path(c, node, &c->recipe->model_path))
        return false;
    char *path = arena_strdup(c->arena, c->recipe->model_path);
    char *colon = strrchr(path, ':');
    if (colon && !strchr(colon, '/')) {
        *colon = 0;
        c->recipe->model_name = colon + 1;
    }
    c->recipe->model_path = path;
    if (access(path, R_OK) == 0)
        return true;
    diag_error(c->diags, node->span, E_RECIPE, "the model `%s` cannot be read: %s", path, strerror(errno));
    return false;
}

/* ---- the maps of a recipe ---- */

#define AT(T, member) offsetof(struct T, member)

static const struct key data_keys[] = {
    {"kind", read_kind, AT(recipe_data, kind), true},
    {"dir", read_path, AT(recipe_data, path), false},
    {"file", read_path, AT(recipe_data, path), false},
    {"split", read_split, AT(recipe_data, split), false},
    {"hold_out", read_positive, AT(recipe_data, hold_out), false},
    {"limit", read_positive, AT(recipe_data, limit), false},
    {"range", read_range, AT(recipe_data, lo), false},
    {"shuffle", read_shuffle, AT(recipe_data, shuffle), false},
    {"gray", read_flag, AT(recipe_data, gray), false},
    {"resize", NULL, 0, false},
    {"center_crop", NULL, 0, false},
    {"random_crop", NULL, 0, false},
    {"crop", NULL, 0, false},
    {"flip", NULL, 0, false},
    {"rotate", NULL, 0, false},
    {"on_error", NULL, 0, false},
    {"standardize", NULL, 0, false},
    {"fields", NULL, 0, false},
    {"image", NULL, 0, false},
    {"text", NULL, 0, false},
    {"table", NULL, 0, false},
    {"a", NULL, 0, false},
    {"b", NULL, 0, false},
    {"fn", NULL, 0, false},
    {"rows", NULL, 0, false},
    {0}};

static bool read_data(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    if (node->kind != YAML_MAP)
        return wrong(c, node, "a map of named data sets");
    bool ok = true;
    for (const struct yaml *child = node->children; child; child = child->next) {
        struct recipe_data *data = ARENA_NEW(c->arena, struct recipe_data);
        *data = (struct recipe_data){.name = child->key->text, .hi = 1.0, .shuffle = -1, .span = child->span};
        ok = read_map(c, child, data_keys, data) && ok;
        if (ok && !data->path) {
            diag_error(c->diags, child->span, E_RECIPE, "the key `dir` or `file` is missing here");
            ok = false;
        } else if (data->path && access(data->path, R_OK) != 0) {
            diag_error(c->diags, child->span, E_RECIPE, "the data `%s` cannot be read: %s", data->path, strerror(errno));
            ok = false;
        }
        VEC_PUSH(c->arena, &c->recipe->data, data);
    }
    return ok;
}

/* A list of maps, or one map alone: `read_one` adds each to the recipe. */
static bool each_map(struct context *c, const struct yaml *node, bool (*read_one)(struct context *, const struct yaml *)) {
    if (node->kind != YAML_LIST)
        return read_one(c, node);
    bool ok = true;
    for (const struct yaml *child = node->children; child; child = child->next)
        ok = read_one(c, child) && ok;
    return ok;
}

static const struct key evaluate_keys[] = {
    {"fn", read_text, AT(recipe_evaluate, fn), true},
    {"data", read_data_name, AT(recipe_evaluate, data), true},
    {"every", read_turn, AT(recipe_evaluate, turn), false},
    {"at", read_at, AT(recipe_evaluate, turn), false},
    {"batch", read_positive, AT(recipe_evaluate, batch), false},
    {"rows", read_positive, AT(recipe_evaluate, rows), false},
    {"reduce", read_reduce, AT(recipe_evaluate, reduce), false},
    {"stop", NULL, 0, false},
    {"metric", NULL, 0, false},
    {"features", NULL, 0, false},
    {"in", NULL, 0, false},
    {"n", NULL, 0, false},
    {"against", NULL, 0, false},
    {"weights", NULL, 0, false},
    {0}};

static bool one_evaluate(struct context *c, const struct yaml *node) {
    struct recipe_evaluate evaluate = {.reduce = "mean", .span = node->span};
    if (!read_map(c, node, evaluate_keys, &evaluate))
        return false;
    if (!evaluate.turn.count)
        evaluate.turn.at_end = true;
    VEC_PUSH(c->arena, &c->recipe->evaluate, evaluate);
    return true;
}

static bool read_evaluate(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    return each_map(c, node, one_evaluate);
}

static const struct key samples_keys[] = {
    {"fn", read_text, AT(recipe_samples, fn), true},
    {"in", read_settings, AT(recipe_samples, inputs), false},
    {"data", read_data_name, AT(recipe_samples, data), false},
    {"beside", read_text, AT(recipe_samples, beside), false},
    {"grid", read_grid, AT(recipe_samples, rows), false},
    {"every", read_turn, AT(recipe_samples, turn), false},
    {"at", read_at, AT(recipe_samples, turn), false},
    {"set", NULL, 0, false},
    {"from", NULL, 0, false},
    {"save", NULL, 0, false},
    {0}};

static bool one_samples(struct context *c, const struct yaml *node) {
    struct recipe_samples samples = {.span = node->span};
    if (!read_map(c, node, samples_keys, &samples))
        return false;
    if (!samples.turn.count)
        samples.turn.at_end = true;
    VEC_PUSH(c->arena, &c->recipe->samples, samples);
    return true;
}

static bool read_samples(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    return each_map(c, node, one_samples);
}

static const struct key load_keys[] = {
    {"into", read_text, AT(recipe_load, into), false},
    {"file", read_path, AT(recipe_load, file), true},
    {"prefix", read_text, AT(recipe_load, prefix), false},
    {"missing", read_texts, AT(recipe_load, missing), false},
    {"ignore", read_texts, AT(recipe_load, ignore), false},
    {"map", NULL, 0, false},
    {"from", NULL, 0, false},
    {0}};

static bool one_load(struct context *c, const struct yaml *node) {
    struct recipe_load load = {.into = ".", .prefix = "", .span = node->span};
    if (!read_map(c, node, load_keys, &load))
        return false;
    if (access(load.file, R_OK) != 0) {
        diag_error(c->diags, node->span, E_RECIPE, "the weights `%s` cannot be read: %s", load.file, strerror(errno));
        return false;
    }
    VEC_PUSH(c->arena, &c->recipe->load, load);
    return true;
}

static bool read_load(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    return each_map(c, node, one_load);
}

static const struct key checkpoint_keys[] = {
    {"dir", read_path, AT(recipe, dir), true},
    {"every", read_turn, AT(recipe, checkpoint), false},
    {"keep", read_positive, AT(recipe, keep), false},
    {"best", read_text, AT(recipe, best), false},
    {0}};

static bool read_checkpoint(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    return read_map(c, node, checkpoint_keys, c->recipe);
}

static const struct key log_keys[] = {{"every", read_turn, AT(recipe, log), false}, {"json", NULL, 0, false}, {"html", NULL, 0, false}, {0}};

static bool read_log(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    return read_map(c, node, log_keys, c->recipe);
}

static bool read_precision(struct context *c, const struct yaml *node, void *into) {
    (void)into;
    const char *precision;
    static const char *const choices[] = {"f32"};
    return one_of(c, node, choices, 1, "f32 (bf16 is not supported by this version)", &precision);
}

/* `data` stands first, because evaluate and samples name its sets wherever they stand. */
static const struct key data_key[] = {{"data", read_data, 0, true}, {0}};
static const struct key recipe_keys[] = {
    {"model", read_model, 0, true},
    {"set", read_settings, AT(recipe, settings), false},
    {"seed", read_natural, AT(recipe, seed), false},
    {"threads", read_positive, AT(recipe, threads), false},
    {"precision", read_precision, 0, false},
    {"train", read_text, AT(recipe, train), false},
    {"batch", read_positive, AT(recipe, batch), true},
    {"accumulate", read_positive, AT(recipe, accumulate), false},
    {"epochs", read_positive, AT(recipe, epochs), false},
    {"steps", read_positive, AT(recipe, steps), false},
    {"load", read_load, 0, false},
    {"evaluate", read_evaluate, 0, false},
    {"samples", read_samples, 0, false},
    {"checkpoint", read_checkpoint, 0, true},
    {"log", read_log, 0, false},
    {"on_nan", read_on_nan, AT(recipe, skip_nan), false},
    {"phases", NULL, 0, false},
    {"fit", NULL, 0, false},
    {"memory", NULL, 0, false},
    {0}};

const struct recipe_data *recipe_find_data(const struct recipe *recipe, const char *name) {
    for (int i = 0; i < recipe->data.count; i++)
        if (strcmp(recipe->data.at[i]->name, name) == 0)
            return recipe->data.at[i];
    return NULL;
}

/* Reads the recipe's own map: `data` apart from the rest. */
static bool read_recipe(struct context *c, struct yaml *root) {
    if (root->kind != YAML_MAP)
        return wrong(c, root, "a map of keys (docs/recipes.md)");
    const struct yaml *data = yaml_find(root, "data");
    struct yaml only = {.kind = YAML_MAP, .span = root->span}, copy;
    if (data) {
        copy = *data;
        copy.next = NULL;
        only.children = &copy;
    }
    bool ok = read_map(c, &only, data_key, c->recipe);
    for (struct yaml **link = &root->children; *link; link = &(*link)->next)
        if (*link == data) {
            *link = data->next;
            break;
        }
    return read_map(c, root, recipe_keys, c->recipe) && ok;
}

static bool check_whole(struct context *c, const struct yaml *root) {
    struct recipe *r = c->recipe;
    if ((r->epochs > 0) == (r->steps > 0)) {
        diag_error(c->diags, root->span, E_RECIPE, "a recipe says how long it runs by `epochs` or by `steps`");
        return false;
    }
    r->train_data = recipe_find_data(r, "train");
    if (!r->train_data) {
        diag_error(c->diags, root->span, E_RECIPE, "`data` has no set named `train`");
        return false;
    }
    return true;
}

struct recipe *recipe_parse(struct arena *arena, const struct source *source, struct diags *diags) {
    struct context c = {.arena = arena, .diags = diags, .recipe = ARENA_NEW(arena, struct recipe), .folder = ""};
    const char *slash = strrchr(source->name, '/');
    if (slash)
        c.folder = arena_strndup(arena, source->name, (size_t)(slash - source->name) + 1);
    *c.recipe = (struct recipe){.source = source, .accumulate = 1, .keep = 2, .seed = 0,
                                .checkpoint = {1, true, false}, .log = {50, false, false}};
    struct yaml *root = yaml_parse(arena, source, diags);
    if (!root || !read_recipe(&c, root) || !check_whole(&c, root))
        return NULL;
    return c.recipe;
}
