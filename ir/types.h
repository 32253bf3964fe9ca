/* ir/types.h: what dim.c and type.c share: the representation of dims and the tables that intern. Internal to
 * them.
 *
 * A dim is a sum of terms, a term a rational coefficient times powers of atoms, an atom a variable or the
 * floor of another dim. The normal form: terms in descending graded lexicographic order (total degree first),
 * none with coefficient 0, no two with the same atoms; atoms within a term in ascending order. */
#ifndef IR_TYPES_H
#define IR_TYPES_H

#include "base/vec.h"
#include "ir/type.h"

struct ratio {
    int64_t num, den; /* den > 0, no common divisor */
};

struct atom {
    const char *name;        /* a variable, or */
    const struct dim *inner; /* floor(inner): coefficients in (0, 1), so that it is >= 0 like a variable */
    int64_t multiple;        /* it counts as a multiple of this */
};

struct factor {
    struct atom *atom;
    int power;
};

struct term {
    struct ratio coefficient;
    int count, degree;
    const struct factor *factors;
};

struct dim {
    int count;
    const struct term *terms;
};

/* `dim` counts as a multiple of n: what no single atom can say. */
struct assumption {
    const struct dim *dim;
    int64_t n;
};

struct table {
    void **slots;
    size_t capacity, count;
};

struct types {
    struct arena *arena;
    struct table atoms, dims, types;
    VEC(struct assumption) assumptions;
    VEC(struct atom *) assumed; /* those with a `multiple` above 1 */
    const struct dim
        *numbers[1024]; /* the dims 0, 1, ..., where they were asked for: most of what is asked for */
};

/* The place of the thing equal to `key` by same(): *slot is NULL where there is none yet; the caller fills
 * it. */
void **table_slot(struct types *types, struct table *table, uint64_t hash, const void *key,
                  bool (*same)(const void *, const void *), uint64_t (*rehash)(const void *));

#endif
