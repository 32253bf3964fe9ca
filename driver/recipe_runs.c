/* What is done with a model at its turns: `fit`, `evaluate`, `samples`. */
#include "driver/recipe_read.h"

#include <string.h>

/* ---- fit ---- */

static bool read_buffer(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_fit *fit = into;
    fit->into_span = node->span;
    return recipe_read_text(r, node, &fit->into);
}

const struct key recipe_fit_keys[] = {{"fn", recipe_read_text, KEY_AT(recipe_fit, fn), true, "NAME",
                                       "an fn with one result: its mean over the set, by items", NULL},
                                      {"data", recipe_read_source, KEY_AT(recipe_fit, source), true, "SET",
                                       "the set that is gone through", NULL},
                                      {"into", read_buffer, 0, true, "BUFFER",
                                       "the buffer that takes it, by its place in the model: norm.mean",
                                       NULL},
                                      {"batch", recipe_read_positive, KEY_AT(recipe_fit, batch), false,
                                       "whole number", "items a call (the recipe's batch)", NULL},
                                      {0}};

static bool one_fit(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_fit fit = {.span = node->span};
    (void)into;
    if (!recipe_read_map(r, node, recipe_fit_keys, &fit))
        return false;
    VEC_PUSH(r->arena, &r->recipe->fit, fit);
    return true;
}

bool recipe_read_fit(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_each(r, node, one_fit, into);
}

/* ---- evaluate ---- */

static bool read_reduce(struct recipe_reader *r, const struct yaml *node, void *into) {
    static const char *const reductions[] = {
        [REDUCE_MEAN] = "mean", [REDUCE_SUM] = "sum", [REDUCE_LIST] = "list"};
    int choice = recipe_read_choice(r, node, reductions, 3, "mean, sum or list");
    *(enum reduce *)into = choice < 0 ? REDUCE_MEAN : (enum reduce)choice;
    return choice >= 0;
}

static bool read_watch(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_evaluate *evaluate = into;
    evaluate->watch_span = node->span;
    return recipe_read_text(r, node, &evaluate->watch);
}

const struct key recipe_stop_keys[] = {
    {"watch", read_watch, 0, true, "NAME", "the result that must grow; -NAME: shrink", NULL},
    {"patience", recipe_read_positive, KEY_AT(recipe_evaluate, patience), true, "whole number",
     "so many evaluations without a new best end the phase", NULL},
    {0}};

static bool read_stop(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_map(r, node, recipe_stop_keys, into);
}

const struct key recipe_evaluate_keys[] = {
    {"fn", recipe_read_text, KEY_AT(recipe_evaluate, fn), true, "NAME",
     "its results are logged by their names", NULL},
    {"data", recipe_read_source, KEY_AT(recipe_evaluate, source), false, "SET",
     "the set that is gone through", NULL},
    {"in", recipe_read_inputs, KEY_AT(recipe_evaluate, inputs), false, "{NAME: VALUE}",
     "parameters that do not come from the set", NULL},
    {"set", recipe_read_inputs, KEY_AT(recipe_evaluate, inputs), false, "{NAME: VALUE}", "the same", NULL},
    {"every", recipe_read_turn, KEY_AT(recipe_evaluate, turn), false, "N epochs or N steps", "when", NULL},
    {"at", recipe_read_at, KEY_AT(recipe_evaluate, turn), false, "end",
     "at the end (also where neither is said)", NULL},
    {"batch", recipe_read_positive, KEY_AT(recipe_evaluate, batch), false, "whole number",
     "items a call (the recipe's batch)", NULL},
    {"rows", recipe_read_positive, KEY_AT(recipe_evaluate, rows), false, "whole number",
     "only the first items of the set", NULL},
    {"reduce", read_reduce, KEY_AT(recipe_evaluate, reduce), false, "mean, sum or list",
     "over the items (mean); list: a value for each", NULL},
    {"stop", read_stop, 0, false, "{watch, patience}", "end the phase early", NULL},
    {0}};

static void default_turn(struct turn *turn) {
    turn->at_end |= turn->count == 0;
}

static bool one_evaluate(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_evaluate evaluate = {.span = node->span};
    (void)into;
    if (!recipe_read_map(r, node, recipe_evaluate_keys, &evaluate))
        return false;
    if (evaluate.watch && !evaluate.turn.count) {
        diag_error(r->diags, evaluate.watch_span, E_RECIPE, "`stop` wants an evaluation with `every`");
        return false;
    }
    if (evaluate.watch && evaluate.reduce == REDUCE_LIST) {
        diag_error(r->diags, evaluate.watch_span, E_RECIPE,
                   "`stop` watches one number: `reduce: mean` or `sum`");
        return false;
    }
    default_turn(&evaluate.turn);
    VEC_PUSH(r->arena, &r->recipe->evaluate, evaluate);
    return true;
}

bool recipe_read_evaluate(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_each(r, node, one_evaluate, into);
}

/* ---- samples ---- */

static bool read_save(struct recipe_reader *r, const struct yaml *node, void *into) {
    if (!recipe_read_text(r, node, into))
        return false;
    size_t length = strlen(node->text);
    bool has_ending = length > 4 && (strcmp(node->text + length - 4, ".png") == 0 ||
                                     strcmp(node->text + length - 4, ".npy") == 0);
    if (!has_ending && strcmp(node->text, "npy") != 0)
        return recipe_wrong(r, node, "npy, or a path that ends in .png or .npy");
    if (strchr(node->text, '/'))
        *(const char **)into = recipe_resolve(r, node->text);
    return true;
}

const struct key recipe_samples_keys[] = {
    {"fn", recipe_read_text, KEY_AT(recipe_samples, fn), true, "NAME", "its results are the pictures", NULL},
    {"in", recipe_read_inputs, KEY_AT(recipe_samples, inputs), false, "{NAME: VALUE}",
     "its parameters: a number, a list, a range 0..10, repeat(0..10, 8), a file .npy or .png, "
     "data(SET.FIELD)[:8], bpe:TEXT",
     NULL},
    {"set", recipe_read_inputs, KEY_AT(recipe_samples, inputs), false, "{NAME: VALUE}",
     "the same, for settings such as steps", NULL},
    {"data", recipe_read_source, KEY_AT(recipe_samples, source), false, "SET",
     "the first items of a set are its inputs", NULL},
    {"from", recipe_read_text, KEY_AT(recipe_samples, from), false, "FN",
     "another fn takes the items, and its results are the inputs", NULL},
    {"beside", recipe_read_text, KEY_AT(recipe_samples, beside), false, "input or NAME",
     "each result stands behind the picture it came from", NULL},
    {"grid", recipe_read_grid, KEY_AT(recipe_samples, rows), false, "[rows, columns]",
     "how many, and how they are laid out", NULL},
    {"every", recipe_read_turn, KEY_AT(recipe_samples, turn), false, "N epochs or N steps", "when", NULL},
    {"at", recipe_read_at, KEY_AT(recipe_samples, turn), false, "end",
     "at the end (also where neither is said)", NULL},
    {"save", read_save, KEY_AT(recipe_samples, save), false, "npy or PATTERN",
     "npy: arrays; out/x-{i}.png: a file each ({i}, {step}, {name})", NULL},
    {0}};

static bool one_samples(struct recipe_reader *r, const struct yaml *node, void *into) {
    struct recipe_samples samples = {.span = node->span};
    (void)into;
    if (!recipe_read_map(r, node, recipe_samples_keys, &samples))
        return false;
    if ((samples.from || samples.beside) && !samples.source.data) {
        diag_error(r->diags, node->span, E_RECIPE, "`%s` wants `data`", samples.from ? "from" : "beside");
        return false;
    }
    default_turn(&samples.turn);
    VEC_PUSH(r->arena, &r->recipe->samples, samples);
    return true;
}

bool recipe_read_samples(struct recipe_reader *r, const struct yaml *node, void *into) {
    return recipe_read_each(r, node, one_samples, into);
}
