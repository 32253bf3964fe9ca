/* driver/yaml.h: a YAML text as a tree in which every node knows its place. One document, no aliases, no
 * tags. */
#ifndef DRIVER_YAML_H
#define DRIVER_YAML_H

#include "base/diag.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml {
    enum yaml_kind kind;
    struct span span;
    const char *text;       /* SCALAR */
    bool is_quoted;         /* SCALAR: "12" is a text, 12 a number */
    const struct yaml *key; /* a child of a MAP: its key, a scalar */
    struct yaml *children;  /* LIST, MAP: in order */
    struct yaml *next;
};

/* The tree of a text; NULL: reported (E_RECIPE), with its place. An empty text is an empty MAP. */
struct yaml *yaml_parse(struct arena *arena, const struct source *source, struct diags *diags);

const struct yaml *yaml_find(const struct yaml *map, const char *key); /* NULL: not there */
const char *yaml_kind_text(const struct yaml *node);                   /* "a list", "a map", "`text`" */

#endif
