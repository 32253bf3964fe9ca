/* driver/recipe_read.h: reading a recipe, between its parts (recipe*.c).
 *
 * Note [Keys as rows]: each map of a recipe is described by a table of rows: the key's name, how its value is
 * read, where it goes, and what is said of it to users. Unknown keys and wrong kinds of values are thereby
 * found and worded in one place, and `weft help recipe` and docs/recipes.md are the tables themselves. */
#ifndef DRIVER_RECIPE_READ_H
#define DRIVER_RECIPE_READ_H

#include "driver/recipe.h"
#include "driver/yaml.h"

#include <stddef.h>

struct recipe_reader {
    struct arena *arena;
    struct diags *diags;
    struct recipe *recipe;
    const char *folder; /* of the recipe, with its slash, or "" */
};

/* Reads a value into *into; false: reported. */
typedef bool read_fn(struct recipe_reader *r, const struct yaml *node, void *into);

struct key {
    const char *name;
    read_fn *read;
    size_t offset; /* from the start of the struct that the map fills */
    bool is_required;
    const char *value, *help; /* for users: "[rows, columns]", "how the pictures are laid out" */
    const char *kinds;        /* of data: the kinds that the key is for, with spaces around each; NULL: all */
};
#define KEY_AT(type, field) offsetof(struct type, field)

/* Reads a whole map by its table, whose last row is zero. Goes on after a mistake, so that one run reports
 * them all. */
bool recipe_read_map(struct recipe_reader *r, const struct yaml *node, const struct key *keys, void *into);
/* A list of maps, or one map alone: each is handed to `one`. */
bool recipe_read_each(struct recipe_reader *r, const struct yaml *node,
                      bool (*one)(struct recipe_reader *r, const struct yaml *node, void *into), void *into);
/* "a number is wanted here, not `x`"; false. */
bool recipe_wrong(struct recipe_reader *r, const struct yaml *node, const char *wanted);
/* A scalar that is one of the choices; its index, or -1 (reported). */
int recipe_read_choice(struct recipe_reader *r, const struct yaml *node, const char *const *choices,
                       int count, const char *wanted);
const char *recipe_resolve(struct recipe_reader *r, const char *path); /* from the recipe's folder */
/* An expression of the language from a value: lists stay lists, what YAML quotes stays a text. */
bool recipe_write_expression(struct recipe_reader *r, const struct yaml *node, struct strbuf *out);

/* Values. The comment says what *into is. */
read_fn recipe_read_text;       /* const char * */
read_fn recipe_read_path;       /* const char *, resolved */
read_fn recipe_read_input_path; /* the same; it must be there */
read_fn recipe_read_positive;   /* int64_t from 1 */
read_fn recipe_read_natural;    /* int64_t from 0 */
read_fn recipe_read_real;       /* double */
read_fn recipe_read_bool;       /* bool */
read_fn recipe_read_turn;       /* struct turn: "5 epochs", "1 epoch", "500 steps" */
read_fn recipe_read_at;         /* struct turn: "end" */
read_fn recipe_read_grid;       /* two int64_t from 1 */
read_fn recipe_read_texts;      /* VEC(const char *) */
read_fn recipe_read_settings;   /* VEC(struct setting) */
read_fn recipe_read_inputs;     /* VEC(struct recipe_input), added to */
read_fn recipe_read_source;     /* struct recipe_source */
read_fn recipe_read_size;       /* int64_t: bytes: "512M" */

/* The parts. */
read_fn recipe_read_data;     /* recipe_data.c: data: into the recipe */
read_fn recipe_read_load;     /* recipe_load.c: recipe_load_list */
read_fn recipe_read_fit;      /* recipe_runs.c: into the recipe */
read_fn recipe_read_evaluate; /* recipe_runs.c: into the recipe */
read_fn recipe_read_samples;  /* recipe_runs.c: into the recipe */
extern const struct key recipe_data_keys[], recipe_text_keys[], recipe_load_keys[], recipe_rename_keys[],
    recipe_fit_keys[], recipe_evaluate_keys[], recipe_stop_keys[], recipe_samples_keys[];
extern const char *const recipe_kinds_help[][2]; /* a kind of data and what it is; ends with NULL */

#endif
