/* driver/recipe.h: a training run, as a YAML file says it (docs/recipes.md). Everything is checked, the kinds of values,
 * the names of keys and of data sets, the files, before anything is written. */
#ifndef DRIVER_RECIPE_H
#define DRIVER_RECIPE_H

#include "base/diag.h"
#include "base/vec.h"
#include "frontend/frontend.h"

#include <stdbool.h>
#include <stdint.h>

/* A turn: every `count` epochs or steps; count 0: never; at the end. */
struct turn {
    int64_t count;
    bool in_epochs;
    bool at_end;
};

struct recipe_data {
    const char *name; /* train, valid, test, ... */
    const char *kind; /* idx, mnist, cifar10, npy, images */
    const char *path; /* of dir or file, relative to the working directory */
    const char *split; /* train, test, held; NULL: train */
    int64_t hold_out, limit; /* 0: none, all */
    double lo, hi;           /* range of the images' values */
    int shuffle;             /* -1: as the use wants it */
    bool gray;
    struct span span;
};

struct recipe_evaluate {
    const char *fn;
    const struct recipe_data *data;
    struct turn turn;
    int64_t batch, rows; /* 0: the recipe's batch, all rows */
    const char *reduce;  /* mean or sum */
    struct span span;
};

struct recipe_samples {
    const char *fn;
    VEC(struct setting) inputs; /* in: {n: 64}: by parameter name */
    const struct recipe_data *data; /* inputs from a set; NULL: none */
    const char *beside; /* the input (`input`: the first) whose images stand beside the results */
    int64_t rows, columns;          /* of the grid; 0: nearly square */
    struct turn turn;
    struct span span;
};

struct recipe_load {
    const char *into, *file, *prefix;
    VEC(const char *) missing;
    VEC(const char *) ignore;
    struct span span;
};

struct recipe {
    const struct source *source;
    const char *model_path, *model_name; /* name NULL: the only model */
    const char *train;                   /* NULL: the only train */
    VEC(struct setting) settings;
    int64_t seed, threads, batch, accumulate, epochs, steps;
    VEC(struct recipe_data *) data;
    const struct recipe_data *train_data;
    VEC(struct recipe_evaluate) evaluate;
    VEC(struct recipe_samples) samples;
    VEC(struct recipe_load) load;
    const char *dir;      /* of checkpoints and everything else */
    struct turn checkpoint;
    int64_t keep;
    const char *best; /* the evaluated result whose greatest value (with a "-" in front: least) keeps its weights; NULL */
    struct turn log;
    bool skip_nan;
};

/* NULL: reported. Paths in it are resolved against the recipe's folder. */
struct recipe *recipe_parse(struct arena *arena, const struct source *source, struct diags *diags);
const struct recipe_data *recipe_find_data(const struct recipe *recipe, const char *name); /* NULL: none */

#endif
