/* The values of recipes, and maps of them by tables of keys. */
#include "driver/recipe_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool recipe_wrong(struct recipe_reader *r, const struct yaml *node, const char *wanted) {
    if (node->kind == YAML_SCALAR)
        diag_error(r->diags, node->span, E_RECIPE, "%s is wanted here, not `%s`", wanted, node->text);
    else
        diag_error(r->diags, node->span, E_RECIPE, "%s is wanted here, not %s", wanted, yaml_kind_text(node));
    return false;
}

const char *recipe_resolve(struct recipe_reader *r, const char *path) {
    return path[0] == '/' ? path : arena_printf(r->arena, "%s%s", r->folder, path);
}

/* ---- maps ---- */

static const struct key *find_key(const struct key *keys, const char *name) {
    for (const struct key *k = keys; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

/* Keys of other tools' configurations, and of recipes that were thought of before the language was there:
 * what stands in the model is not the recipe's. */
static const struct {
    const char *key, *hint;
} foreign_keys[] = {
    {"metric",
     "a measure is a fn of the model, made of those in `metrics`, and `fn` names it: its results are logged"},
    {"metrics",
     "a measure is a fn of the model, made of those in `metrics`, and `fn` names it: its results are logged"},
    {"features", "what tells images apart is a member of the model; `load` gives it its weights"},
    {"against",
     "a fn that compares images takes both: `data` gives it the real ones, and it draws the others"},
    {"weights", "whose weights a fn reads stands in its text: with weights: average { ... }"},
    {"ema",
     "averages are the model's: let average = shadow(net), and nn.ema(average, net, 0.999) in its train"},
    {"standardize",
     "`range: [lo, hi]` moves pixels; statistics of a set go into buffers of the model with `fit`"},
    {"normalize",
     "`range: [lo, hi]` moves pixels; statistics of a set go into buffers of the model with `fit`"},
    {"lr", "it is the model's: `set: {lr: 1e-3}` for a hyper-parameter of that name"},
    {"learning_rate", "it is the model's: `set: {lr: 1e-3}` for a hyper-parameter of that name"},
    {"optimizer", "it stands in the model: minimize loss using nn.Adam(lr: lr)"},
    {"optimiser", "it stands in the model: minimize loss using nn.Adam(lr: lr)"},
    {"scheduler", "a schedule is an expression in the model: nn.Adam(lr: nn.warmup_cosine(lr, 100, 1000))"},
    {"loss", "it stands in the model: minimize loss using nn.Adam(lr: lr)"},
    {"batch_size", "it is called `batch`, beside `data`"},
    {"shuffle_seed", "`seed` is that of everything random"},
    {"device", "there is one kind, the CPU; `threads` says with how many cores"},
    {"workers", "`threads` says with how many cores; batches are read while a step is computed"},
    {"num_workers", "`threads` says with how many cores; batches are read while a step is computed"},
    {"output", "the run's folder is checkpoint: {dir: ...}, or --out"},
    {"resume", "--resume on the command line goes on with a run"},
};

static const char *foreign_key(const char *key) {
    for (size_t i = 0; i < sizeof foreign_keys / sizeof *foreign_keys; i++)
        if (strcmp(foreign_keys[i].key, key) == 0)
            return foreign_keys[i].hint;
    return NULL;
}

static bool unknown_key(struct recipe_reader *r, const struct yaml *key, const struct key *keys) {
    int count = 0;
    for (const struct key *k = keys; k->name; k++)
        count++;
    const char **names = ARENA_ARRAY(r->arena, const char *, count + 1);
    for (int i = 0; i < count; i++)
        names[i] = keys[i].name;
    struct diag *d = diag_error(r->diags, key->span, E_RECIPE, "there is no key `%s` here", key->text);
    const char *hint = foreign_key(key->text);
    if (hint)
        diag_hint(d, "%s", hint);
    else if (nearest_name(key->text, names, count))
        diag_nearest(d, key->text, names, count);
    else
        diag_hint(d, "the keys here are %s", names_text(r->arena, names, count));
    return false;
}

bool recipe_read_map(struct recipe_reader *r, const struct yaml *node, const struct key *keys, void *into) {
    if (node->kind != YAML_MAP)
        return recipe_wrong(r, node, "a map");
    bool ok = true;
    for (const struct yaml *child = node->children; child; child = child->next) {
        const struct key *key = find_key(keys, child->key->text);
        ok = (key ? key->read(r, child, (char *)into + key->offset) : unknown_key(r, child->key, keys)) && ok;
    }
    for (const struct key *k = keys; k->name; k++)
        if (k->is_required && !yaml_find(node, k->name)) {
            diag_error(r->diags, node->span, E_RECIPE, "the key `%s` is missing here", k->name);
            ok = false;
        }
    return ok;
}

bool recipe_read_each(struct recipe_reader *r, const struct yaml *node,
                      bool (*one)(struct recipe_reader *r, const struct yaml *node, void *into), void *into) {
    if (node->kind == YAML_MAP)
        return one(r, node, into);
    if (node->kind != YAML_LIST)
        return recipe_wrong(r, node, "a list of maps");
    bool ok = true;
    for (const struct yaml *child = node->children; child; child = child->next)
        ok = one(r, child, into) && ok;
    return ok;
}

/* ---- texts and paths ---- */

bool recipe_read_text(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (node->kind != YAML_SCALAR || !*node->text)
        return recipe_wrong(r, node, "a text");
    *(const char **)into = node->text;
    return true;
}

bool recipe_read_path(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (!recipe_read_text(r, node, into))
        return false;
    *(const char **)into = recipe_resolve(r, node->text);
    return true;
}

bool recipe_read_input_path(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (!recipe_read_path(r, node, into))
        return false;
    if (access(*(const char **)into, R_OK) == 0)
        return true;
    diag_error(r->diags, node->span, E_RECIPE, "`%s` cannot be read: %s", *(const char **)into,
               strerror(errno));
    return false;
}

bool recipe_read_texts(struct recipe_reader *r, const struct yaml *node, void *into) {
    typedef VEC(const char *) text_list;
    if (node->kind != YAML_LIST)
        return recipe_wrong(r, node, "a list of texts");
    for (const struct yaml *child = node->children; child; child = child->next) {
        if (child->kind != YAML_SCALAR)
            return recipe_wrong(r, child, "a text");
        VEC_PUSH(r->arena, (text_list *)into, child->text);
    }
    return true;
}

int recipe_read_choice(struct recipe_reader *r, const struct yaml *node, const char *const *choices,
                       int count, const char *wanted) {
    const char *text = "";
    if (!recipe_read_text(r, node, &text))
        return -1;
    for (int i = 0; i < count; i++)
        if (strcmp(text, choices[i]) == 0)
            return i;
    recipe_wrong(r, node, wanted);
    diag_nearest(diags_last(r->diags), text, choices, count);
    return -1;
}

/* ---- numbers ---- */

static bool read_integer(struct recipe_reader *r, const struct yaml *node, int64_t least, const char *wanted,
                         void *into) {
    char *end = NULL;
    errno = 0;
    long long value = node->kind == YAML_SCALAR ? strtoll(node->text, &end, 10) : 0;
    if (node->kind != YAML_SCALAR || node->is_quoted || end == node->text || *end || errno || value < least)
        return recipe_wrong(r, node, wanted);
    *(int64_t *)into = value;
    return true;
}

bool recipe_read_positive(struct recipe_reader *r, const struct yaml *node, void *into) {
    return read_integer(r, node, 1, "a whole number from 1", into);
}

bool recipe_read_natural(struct recipe_reader *r, const struct yaml *node, void *into) {
    return read_integer(r, node, 0, "a whole number from 0", into);
}

bool recipe_read_real(struct recipe_reader *r, const struct yaml *node, void *into) {
    char *end = NULL;
    double value = node->kind == YAML_SCALAR ? strtod(node->text, &end) : 0.0;
    if (node->kind != YAML_SCALAR || node->is_quoted || end == node->text || *end || !isfinite(value))
        return recipe_wrong(r, node, "a number");
    *(double *)into = value;
    return true;
}

bool recipe_read_bool(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (node->kind != YAML_SCALAR || node->is_quoted ||
        (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
        return recipe_wrong(r, node, "true or false");
    *(bool *)into = strcmp(node->text, "true") == 0;
    return true;
}

bool size_parse(const char *text, int64_t *bytes) {
    static const char units[] = "KMGT";
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || !(value > 0) || !isfinite(value))
        return false;
    const char *unit = *end ? strchr(units, *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        value *= 1024;
    end += unit != NULL;
    end += *end == 'B';
    if (*end || value >= 0x1p62)
        return false;
    *bytes = (int64_t)value;
    return true;
}

bool recipe_read_size(struct recipe_reader *r, const struct yaml *node, void *into) {
    bool ok = node->kind == YAML_SCALAR && size_parse(node->text, into);
    return ok || recipe_wrong(r, node, "a size such as 512M or 2G");
}

bool recipe_read_grid(struct recipe_reader *r, const struct yaml *node, void *into) {
    int64_t *pair = into;
    const struct yaml *first = node->kind == YAML_LIST ? node->children : NULL;
    if (!first || !first->next || first->next->next)
        return recipe_wrong(r, node, "a grid such as [8, 8]");
    return recipe_read_positive(r, first, &pair[0]) && recipe_read_positive(r, first->next, &pair[1]);
}

/* ---- turns ---- */

bool recipe_read_turn(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct turn *turn = into;
    char unit[8];
    int used = 0;
    long long count;
    const char *wanted = "a turn such as `1 epoch` or `500 steps`";
    if (node->kind != YAML_SCALAR || sscanf(node->text, "%18lld %7[a-z]%n", &count, unit, &used) != 2 ||
        node->text[used] || count < 1)
        return recipe_wrong(r, node, wanted);
    bool epochs = strcmp(unit, "epoch") == 0 || strcmp(unit, "epochs") == 0;
    if (!epochs && strcmp(unit, "step") != 0 && strcmp(unit, "steps") != 0)
        return recipe_wrong(r, node, wanted);
    turn->count = count;
    turn->in_epochs = epochs;
    return true;
}

bool recipe_read_at(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (node->kind != YAML_SCALAR || strcmp(node->text, "end") != 0)
        return recipe_wrong(r, node, "`end`");
    ((struct turn *)into)->at_end = true;
    return true;
}

/* ---- values for the model ---- */

static bool is_bare(const struct yaml *node) {
    char *end;
    strtod(node->text, &end);
    bool is_word = strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0 ||
                   strcmp(node->text, "none") == 0;
    return !node->is_quoted && ((end != node->text && !*end) || is_word);
}

bool recipe_write_expression(struct recipe_reader *r, const struct yaml *node, struct strbuf *out) {
    if (node->kind == YAML_MAP)
        return recipe_wrong(r, node, "a number, a text or a list");
    if (node->kind == YAML_SCALAR) {
        strbuf_printf(out, is_bare(node) ? "%s" : "\"%s\"", node->text);
        return true;
    }
    strbuf_putc(out, '[');
    for (const struct yaml *child = node->children; child; child = child->next) {
        if (!recipe_write_expression(r, child, out))
            return false;
        strbuf_puts(out, child->next ? ", " : "");
    }
    strbuf_putc(out, ']');
    return true;
}

static bool read_setting(struct recipe_reader *r, const struct yaml *node, struct setting *setting) {
    struct strbuf text;
    strbuf_init(&text, r->arena);
    if (!recipe_write_expression(r, node, &text))
        return false;
    *setting = (struct setting){node->key->text, text.text, node->span};
    return true;
}

bool recipe_read_settings(struct recipe_reader *r, const struct yaml *node, void *into) {
    typedef VEC(struct setting) setting_list;
    if (node->kind != YAML_MAP)
        return recipe_wrong(r, node, "a map of names to values");
    for (const struct yaml *child = node->children; child; child = child->next) {
        struct setting setting;
        if (!read_setting(r, child, &setting))
            return false;
        VEC_PUSH(r->arena, (setting_list *)into, setting);
    }
    return true;
}

bool recipe_read_inputs(struct recipe_reader *r, const struct yaml *node, void *into) {
    typedef VEC(struct recipe_input) input_list;
    input_list *list = into;
    if (node->kind != YAML_MAP)
        return recipe_wrong(r, node, "a map of names to values");
    for (const struct yaml *child = node->children; child; child = child->next) {
        struct recipe_input input;
        if (!read_setting(r, child, &input.setting))
            return false;
        input.raw = child->kind == YAML_SCALAR ? child->text : input.setting.value;
        for (int i = 0; i < list->count; i++)
            if (strcmp(list->at[i].setting.name, input.setting.name) == 0) {
                diag_error(r->diags, child->key->span, E_RECIPE, "`%s` is given in `in` and in `set`",
                           input.setting.name);
                return false;
            }
        VEC_PUSH(r->arena, list, input);
    }
    return true;
}

/* ---- sets by name ---- */

bool recipe_read_source(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_source *source = into;
    const char *name = NULL;
    if (!recipe_read_text(r, node, &name))
        return false;
    const char *dot = strrchr(name, '.');
    *source = (struct recipe_source){recipe_find_data(r->recipe, name), NULL};
    if (!source->data && dot)
        *source = (struct recipe_source){
            recipe_find_data(r->recipe, arena_strndup(r->arena, name, (size_t)(dot - name))), dot + 1};
    if (source->data)
        return true;
    int count = r->recipe->data.count;
    const char **names = ARENA_ARRAY(r->arena, const char *, count + 1);
    for (int i = 0; i < count; i++)
        names[i] = r->recipe->data.at[i]->name;
    diag_nearest(diag_error(r->diags, node->span, E_RECIPE, "`data` has no set named `%s`", name), name,
                 names, count);
    return false;
}
