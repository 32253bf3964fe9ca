/* driver/recipe.h: a training run, as a YAML file says it (docs/recipes.md). Everything is checked, the kinds
 * of values, the names of keys and of data sets, the files, before anything is written. */
#ifndef DRIVER_RECIPE_H
#define DRIVER_RECIPE_H

#include "base/diag.h"
#include "base/vec.h"
#include "frontend/frontend.h"
#include "runtime/dataset.h"

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A turn: every `count` epochs or steps; count 0: never; at the end. */
struct turn {
    int64_t count;
    bool in_epochs;
    bool at_end;
};

struct recipe_data {
    const char *name; /* train, valid, test, ... */
    struct weft_dataset_options options;
    VEC(struct weft_wanted_field) fields; /* options.fields */
    int shuffle;                          /* -1: as the use wants it */
    struct span span;
};

/* SET or SET.FIELD: all fields of a set, or one of them alone. */
struct recipe_source {
    const struct recipe_data *data; /* NULL: none */
    const char *field;              /* NULL: all */
};

/* A value of `in` or `set`: a setting of the fn where its parameter is fixed at elaboration, else a tensor.
 */
struct recipe_input {
    struct setting setting;
    const char *raw; /* as it was written: "0..10", "noise.npy", "bpe:a bicycle", "[1, 2]" */
};

/* In names of a file, what matches becomes `to`, in which \1 to \9 are groups. */
struct recipe_rename {
    regex_t match;
    const char *to;
};

struct recipe_load {
    const char *into, *file, *prefix;
    const char *from; /* instead of a file: the model of an earlier phase */
    VEC(struct recipe_rename *) map;
    VEC(const char *) missing;
    VEC(const char *) ignore;
    struct span span;
};
typedef VEC(struct recipe_load) recipe_load_list;

struct recipe_fit {
    const char *fn, *into;
    struct recipe_source source;
    int64_t batch; /* 0: the recipe's */
    struct span span, into_span;
};

enum reduce { REDUCE_MEAN, REDUCE_SUM, REDUCE_LIST };

struct recipe_evaluate {
    const char *fn;
    VEC(struct recipe_input) inputs;
    struct recipe_source source;
    struct turn turn;
    int64_t batch, rows; /* 0: the recipe's batch, all rows */
    enum reduce reduce;
    const char
        *watch; /* stop: the result whose standstill ends the phase ("-" in front: less is better); NULL */
    int64_t patience;
    struct span span, watch_span;
};

struct recipe_samples {
    const char *fn;
    VEC(struct recipe_input) inputs; /* in: {n: 64} and set: {steps: 20}, by parameter name */
    struct recipe_source source;     /* inputs from a set */
    const char *from;                /* the fn whose results are the inputs; it takes the set's items; NULL */
    const char *beside;    /* the input (`input`: the first) whose images stand beside the results */
    int64_t rows, columns; /* of the grid; 0: nearly square */
    const char *save;      /* a pattern, a path; "npy"; NULL */
    struct turn turn;
    struct span span;
};

/* One train block on one set. A recipe without `phases` has one. */
struct recipe_phase {
    const char *model;            /* NULL: the recipe's */
    VEC(struct setting) settings; /* of that model, over the recipe's */
    const char *train;            /* NULL: the only one */
    struct recipe_source source;
    int64_t batch, accumulate, epochs, steps;
    recipe_load_list load;
    struct span span;
};

struct recipe {
    const struct source *source;
    const char *folder;                  /* of the recipe, with its slash, or "" */
    const char *model_path, *model_name; /* name NULL: the only model */
    VEC(struct setting) settings;
    enum dtype precision;          /* f32 or bf16 */
    int64_t seed, threads, memory; /* memory 0: as much as it takes */
    VEC(struct recipe_data *) data;
    struct recipe_phase whole; /* what the recipe says outside of phases: their defaults, or the only phase */
    VEC(struct recipe_phase) phases; /* empty: nothing is trained */
    VEC(struct recipe_fit) fit;
    VEC(struct recipe_evaluate) evaluate;
    VEC(struct recipe_samples) samples;
    const char *dir; /* of checkpoints and everything else */
    struct turn checkpoint;
    int64_t keep;
    const char *best; /* the evaluated result whose greatest value (with a "-" in front: least) keeps its
                         weights; NULL */
    struct span best_span, memory_span;
    struct turn log;
    const char *log_json, *log_html; /* a name in the run's folder, or a path */
    bool skip_nan;
};

/* NULL: reported. Paths in it are resolved against the recipe's folder. */
struct recipe *recipe_parse(struct arena *arena, const struct source *source, struct diags *diags);
const struct recipe_data *recipe_find_data(const struct recipe *recipe, const char *name); /* NULL: none */
/* Frees what the arena does not hold: the compiled expressions of maps. NULL is fine. */
void recipe_finish(struct recipe *recipe);
/* "512M", "1.5G", "4096": false: it is no size. */
bool size_parse(const char *text, int64_t *bytes);
/* Every key, its values and its meaning: `weft help recipe`, docs/recipes.md. */
void recipe_help(FILE *out);

#endif
