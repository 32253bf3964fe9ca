/* The recipe's own map, its phases, and what must hold of the whole. */
#include "driver/recipe_read.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- single keys ---- */

static bool read_model(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe *recipe = into;
    if (!recipe_read_path(r, node, &recipe->model_path))
        return false;
    char *path = arena_strdup(r->arena, recipe->model_path);
    char *colon = strrchr(path, ':');
    if (colon && !strchr(colon, '/')) {
        *colon = 0;
        recipe->model_name = colon + 1;
    }
    recipe->model_path = path;
    if (access(path, R_OK) == 0)
        return true;
    diag_error(r->diags, node->span, E_RECIPE, "the model `%s` cannot be read: %s", path, strerror(errno));
    return false;
}

static bool read_precision(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char *const choices[] = {"f32", "bf16"};
    struct recipe *recipe = into;
    int choice = recipe_read_choice(r, node, choices, 2, "f32 or bf16");
    recipe->precision = choice == 1 ? DTYPE_bf16 : DTYPE_f32;
    return choice >= 0;
}

static bool read_on_nan(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char *const choices[] = {"stop", "skip"};
    int choice = recipe_read_choice(r, node, choices, 2, "stop or skip");
    *(bool *)into = choice == 1;
    return choice >= 0;
}

static bool read_memory(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe *recipe = into;
    recipe->memory_span = node->span;
    return recipe_read_size(r, node, &recipe->memory);
}

static bool read_best(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe *recipe = into;
    recipe->best_span = node->span;
    return recipe_read_text(r, node, &recipe->best);
}

static const struct key checkpoint_keys[] = {
    {"dir", recipe_read_path, KEY_AT(recipe, dir), false, "FOLDER",
     "the run's folder (default: runs/ and the recipe's name, beside the recipe)", NULL},
    {"every", recipe_read_turn, KEY_AT(recipe, checkpoint), false, "N epochs or N steps", "when (1 epoch)",
     NULL},
    {"keep", recipe_read_positive, KEY_AT(recipe, keep), false, "whole number",
     "so many of the newest stay (2)", NULL},
    {"best", read_best, 0, false, "NAME",
     "the weights of this result's greatest value stay in best.safetensors; -NAME: of the least", NULL},
    {0}};

static bool read_checkpoint(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_map(r, node, checkpoint_keys, into);
}

/* A name alone is in the run's folder; a path is meant from the recipe. */
static bool read_log_path(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (!recipe_read_text(r, node, into))
        return false;
    if (strchr(node->text, '/'))
        *(const char **)into = recipe_resolve(r, node->text);
    return true;
}

static const struct key log_keys[] = {
    {"every", recipe_read_turn, KEY_AT(recipe, log), false, "N epochs or N steps",
     "how often the means of the reports are logged (50 steps)", NULL},
    {"json", read_log_path, KEY_AT(recipe, log_json), false, "FILE",
     "log.jsonl; a name alone is in the run's folder", NULL},
    {"html", read_log_path, KEY_AT(recipe, log_html), false, "FILE", "report.html; likewise", NULL},
    {0}};

static bool read_log(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_map(r, node, log_keys, into);
}

/* ---- phases ---- */

static const struct key phase_keys[] = {
    {"train", recipe_read_text, KEY_AT(recipe_phase, train), false, "NAME",
     "the train block, where the model has more than one", NULL},
    {"data", recipe_read_source, KEY_AT(recipe_phase, source), false, "SET or SET.FIELD",
     "what it learns from (the set `train`)", NULL},
    {"batch", recipe_read_positive, KEY_AT(recipe_phase, batch), false, "whole number",
     "the recipe's, where it is not said", NULL},
    {"accumulate", recipe_read_positive, KEY_AT(recipe_phase, accumulate), false, "whole number",
     "the recipe's, where it is not said", NULL},
    {"epochs", recipe_read_positive, KEY_AT(recipe_phase, epochs), false, "whole number",
     "how long: this or `steps`", NULL},
    {"steps", recipe_read_positive, KEY_AT(recipe_phase, steps), false, "whole number", "in optimiser steps",
     NULL},
    {"model", recipe_read_text, KEY_AT(recipe_phase, model), false, "NAME",
     "another model of the same text, which begins anew", NULL},
    {"set", recipe_read_settings, KEY_AT(recipe_phase, settings), false, "{NAME: VALUE}",
     "its hyper-parameters, over the recipe's; the model begins anew", NULL},
    {"load", recipe_read_load, KEY_AT(recipe_phase, load), false, "list",
     "weights, for a model that begins anew", NULL},
    {0}};

static bool one_phase(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_phase phase = {.span = node->span};
    (void)into;
    bool ok = recipe_read_map(r, node, phase_keys, &phase);
    VEC_PUSH(r->arena, &r->recipe->phases, phase);
    return ok;
}

static bool read_phases(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_each(r, node, one_phase, into);
}

/* ---- the recipe ---- */

/* `data` stands first, because others name its sets wherever they stand. */
static const struct key data_key[] = {
    {"data", recipe_read_data, 0, true, "{NAME: set}", "named sets: train, test, ...", NULL}, {0}};

#define WHOLE_AT(field) KEY_AT(recipe, whole.field)
static const struct key recipe_keys[] = {
    {"model", read_model, 0, true, "PATH:NAME",
     "the model's text, and the model in it (:NAME where there are several)", NULL},
    {"set", recipe_read_settings, KEY_AT(recipe, settings), false, "{NAME: VALUE}",
     "hyper-parameters; --set on the command line wins", NULL},
    {"seed", recipe_read_natural, KEY_AT(recipe, seed), false, "whole number", "of everything random (0)",
     NULL},
    {"threads", recipe_read_positive, KEY_AT(recipe, threads), false, "whole number",
     "to compute with (as many as cores); results do not depend on it", NULL},
    {"precision", read_precision, 0, false, "f32 or bf16",
     "of products (matmul, conv); weights, sums, losses and reports are f32 in any case (f32)", NULL},
    {"memory", read_memory, 0, false, "size: 512M, 2G",
     "the most that an entry may take for its intermediate values; kernels are computed again until it fits",
     NULL},
    {"train", recipe_read_text, WHOLE_AT(train), false, "NAME",
     "the train block, where the model has more than one", NULL},
    {"batch", recipe_read_positive, WHOLE_AT(batch), false, "whole number", "items a call", NULL},
    {"accumulate", recipe_read_positive, WHOLE_AT(accumulate), false, "whole number",
     "calls an optimiser step (1)", NULL},
    {"epochs", recipe_read_positive, WHOLE_AT(epochs), false, "whole number",
     "how long the run is: this or `steps`; without both nothing is trained", NULL},
    {"steps", recipe_read_positive, WHOLE_AT(steps), false, "whole number", "in optimiser steps", NULL},
    {"phases", read_phases, 0, false, "list, below",
     "several train blocks in order, instead of `train`, `epochs` and `steps`", NULL},
    {"load", recipe_read_load, WHOLE_AT(load), false, "list, below", "weights before the start", NULL},
    {"fit", recipe_read_fit, 0, false, "list, below",
     "statistics over a set, stored in buffers before the start", NULL},
    {"evaluate", recipe_read_evaluate, 0, false, "list, below", "an fn over a set", NULL},
    {"samples", recipe_read_samples, 0, false, "list, below", "pictures", NULL},
    {"checkpoint", read_checkpoint, 0, false, "map, below", "where the run's files go, and when it is saved",
     NULL},
    {"log", read_log, 0, false, "map, below", "the log and the report", NULL},
    {"on_nan", read_on_nan, KEY_AT(recipe, skip_nan), false, "stop or skip",
     "a NaN ends the run and names its operator (stop), or its step is undone (skip)", NULL},
    {0}};

/* Reads the recipe's own map: `data` apart from the rest. */
static bool read_recipe(struct recipe_reader *r, struct yaml *root) {
    if (root->kind != YAML_MAP)
        return recipe_wrong(r, root, "a map of keys (`weft help recipe` lists them)");
    const struct yaml *data = yaml_find(root, "data");
    struct yaml only = {.kind = YAML_MAP, .span = root->span}, copy;
    if (data) {
        copy = *data;
        copy.next = NULL;
        only.children = &copy;
    }
    bool ok = recipe_read_map(r, &only, data_key, r->recipe);
    for (struct yaml **link = &root->children; *link; link = &(*link)->next)
        if (*link == data) {
            *link = data->next;
            break;
        }
    return recipe_read_map(r, root, recipe_keys, r->recipe) && ok;
}

static bool fail(struct recipe_reader *r, struct span span, const char *what) {
    diag_error(r->diags, span, E_RECIPE, "%s", what);
    return false;
}

/* Fills a phase from what the recipe says outside of phases. */
static bool complete_phase(struct recipe_reader *r, struct recipe_phase *p) {
    const struct recipe_phase *whole = &r->recipe->whole;
    if (!p->source.data)
        p->source.data = recipe_find_data(r->recipe, "train");
    if (!p->source.data && r->recipe->data.count == 1)
        p->source.data = r->recipe->data.at[0];
    p->batch = p->batch ? p->batch : whole->batch;
    p->accumulate = p->accumulate ? p->accumulate : whole->accumulate ? whole->accumulate : 1;
    if ((p->epochs > 0) == (p->steps > 0))
        return fail(r, p->span, "a phase says how long it is by `epochs` or by `steps`");
    if (!p->batch)
        return fail(r, p->span, "the key `batch` is missing here");
    return p->source.data || fail(r, p->span, "`data` has no set named `train`");
}

/* Whether a phase goes on with the model of the one before it. */
static bool begins_anew(const struct recipe_phase *p) {
    return p->model || p->settings.count > 0 || p->load.count > 0;
}

static bool check_phases(struct recipe_reader *r, const struct yaml *root) {
    struct recipe *recipe = r->recipe;
    const struct recipe_phase *whole = &recipe->whole;
    bool ok = true;
    if (whole->epochs || whole->steps || whole->train)
        ok = fail(r,
                  yaml_find(root, whole->train    ? "train"
                                  : whole->epochs ? "epochs"
                                                  : "steps")
                      ->key->span,
                  "with `phases`, each of them says its train block and its length");
    for (int i = 0; i < recipe->phases.count; i++) {
        struct recipe_phase *p = &recipe->phases.at[i];
        ok = complete_phase(r, p) && ok;
        if (p->load.count > 0 && !p->model && p->settings.count == 0)
            ok = fail(r, p->span, "`load` in a phase wants `model` or `set`: a model that begins anew");
        if (i > 0 && !begins_anew(p)) {
            p->model = p[-1].model;
            p->settings.at = p[-1].settings.at;
            p->settings.count = p[-1].settings.count;
        }
        for (int k = 0; k < p->load.count; k++) {
            bool known = !p->load.at[k].from;
            for (int j = 0; j < i; j++)
                known |= recipe->phases.at[j].model && p->load.at[k].from &&
                         strcmp(recipe->phases.at[j].model, p->load.at[k].from) == 0;
            if (!known)
                ok = fail(r, p->load.at[k].span, "`from` names the `model` of an earlier phase");
        }
    }
    return ok;
}

static bool check_whole(struct recipe_reader *r, const struct yaml *root) {
    struct recipe *recipe = r->recipe;
    struct recipe_phase *whole = &recipe->whole;
    for (int i = 0; i < whole->load.count; i++)
        if (whole->load.at[i].from)
            return fail(r, whole->load.at[i].span, "`from` belongs into a phase");
    if (recipe->phases.count > 0)
        return check_phases(r, root);
    whole->span = root->span;
    if (whole->epochs && whole->steps)
        return fail(r, root->span, "a recipe says how long it runs by `epochs` or by `steps`");
    if (whole->epochs || whole->steps) {
        struct recipe_phase phase = *whole;
        if (!complete_phase(r, &phase))
            return false;
        phase.load.count = 0; /* the recipe's own */
        VEC_PUSH(r->arena, &recipe->phases, phase);
        return true;
    }
    if (whole->train || (recipe->evaluate.count == 0 && recipe->samples.count == 0))
        return fail(r, root->span, "a recipe says how long it runs by `epochs` or by `steps`");
    return true;
}

/* runs/NAME beside the recipe NAME.yaml */
static const char *default_dir(struct recipe_reader *r, const char *name) {
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strrchr(base, '.');
    return arena_printf(r->arena, "%sruns/%.*s", r->folder,
                        (int)(dot && dot > base ? (size_t)(dot - base) : strlen(base)), base);
}

struct recipe *recipe_parse(struct arena *arena, const struct source *source, struct diags *diags) {
    struct recipe_reader r = {
        .arena = arena, .diags = diags, .recipe = ARENA_NEW(arena, struct recipe), .folder = ""};
    const char *slash = strrchr(source->name, '/');
    if (slash)
        r.folder = arena_strndup(arena, source->name, (size_t)(slash - source->name) + 1);
    *r.recipe = (struct recipe){.source = source,
                                .folder = r.folder,
                                .keep = 2,
                                .precision = DTYPE_f32,
                                .dir = default_dir(&r, source->name),
                                .checkpoint = {1, true, false},
                                .log = {50, false, false},
                                .log_json = "log.jsonl",
                                .log_html = "report.html"};
    struct yaml *root = yaml_parse(arena, source, diags);
    if (root && read_recipe(&r, root) && check_whole(&r, root))
        return r.recipe;
    recipe_finish(r.recipe);
    return NULL;
}

static void finish_loads(const recipe_load_list *loads) {
    for (int i = 0; i < loads->count; i++)
        for (int k = 0; k < loads->at[i].map.count; k++)
            regfree(&loads->at[i].map.at[k]->match);
}

void recipe_finish(struct recipe *recipe) {
    if (!recipe)
        return;
    finish_loads(&recipe->whole.load);
    for (int i = 0; i < recipe->phases.count; i++)
        finish_loads(&recipe->phases.at[i].load);
}

/* ---- what users read ---- */

/* Text from column `start` on, wrapped at the width of a terminal; `column` is where the line stands. */
static void put_wrapped(FILE *out, int column, int start, const char *text) {
    enum { WIDTH = 112 };
    column += fprintf(out, "%*s", column < start ? start - column : 0, "");
    for (const char *word = text; *word;) {
        int length = (int)strcspn(word, " ");
        if (column > start && column + 1 + length > WIDTH)
            column = fprintf(out, "\n%*s", start, "") - 1;
        column += fprintf(out, "%s%.*s", column > start ? " " : "", length, word);
        word += length + (word[length] == ' ');
    }
    fprintf(out, "\n");
}

static void help_keys(FILE *out, const char *title, const struct key *keys) {
    enum { VALUE = 15, HELP = 43 };
    if (title)
        fprintf(out, "\n%s\n", title);
    for (const struct key *k = keys; k->name; k++) {
        int column = fprintf(out, "  %s%s", k->name, k->is_required ? "*" : "");
        column += fprintf(out, "%*s%s", column < VALUE ? VALUE - column : 1, "", k->value);
        if (column > HELP - 2) {
            fprintf(out, "\n");
            column = 0;
        }
        put_wrapped(out, column, HELP, k->help);
    }
}

static void help_kinds(FILE *out) {
    enum { HELP = 15 };
    fprintf(out, "\nkinds of data, and the names of what they yield\n");
    for (int k = 0; recipe_kinds_help[k][0]; k++)
        put_wrapped(out, fprintf(out, "  %s", recipe_kinds_help[k][0]), HELP, recipe_kinds_help[k][1]);
}

void recipe_help(FILE *out) {
    static const struct {
        const char *title;
        const struct key *keys;
    } tables[] = {
        {"phases: [{...}, ...]", phase_keys},
        {"load: [{...}, ...]", recipe_load_keys},
        {"a map of names: [{...}, ...]", recipe_rename_keys},
        {"fit: [{...}, ...]", recipe_fit_keys},
        {"evaluate: [{...}, ...]", recipe_evaluate_keys},
        {"stop: {...} of evaluate", recipe_stop_keys},
        {"samples: [{...}, ...]", recipe_samples_keys},
        {"checkpoint: {...}", checkpoint_keys},
        {"log: {...}", log_keys},
    };
    fprintf(out, "A recipe is a YAML file: on what, for how long, and with which evaluations and pictures a "
                 "model is trained.\n"
                 "Paths are meant from the recipe's folder. Keys with a * must be there.\n");
    help_keys(out, "the recipe", recipe_keys);
    help_keys(out, NULL, data_key);
    help_keys(out, "data: {NAME: {...}}", recipe_data_keys);
    help_kinds(out);
    help_keys(out, "text: {...} of data of the kind pairs", recipe_text_keys);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        help_keys(out, tables[i].title, tables[i].keys);
}
