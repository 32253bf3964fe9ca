/* frontend/builtin.h: the functions of the language that are written in C. A family of them is a table; a row
 * says how a function is called, and call.c binds its arguments before it runs. */
#ifndef FRONTEND_BUILTIN_H
#define FRONTEND_BUILTIN_H

#include "frontend/elab.h"

enum { BUILTIN_MAX_PARAMS = 8 };

/* The arguments of one call: args[i] for the i-th parameter of the row, DATUM_NONE where it was left out. */
struct builtin_call {
    const struct builtin *builtin;
    struct span span;
    struct datum args[BUILTIN_MAX_PARAMS];
    bool given[BUILTIN_MAX_PARAMS];
    struct span spans[BUILTIN_MAX_PARAMS]; /* of the argument, or of the call */
};

struct builtin {
    const char *name;
    /* The parameters' names, separated by spaces. "x?" may be left out; "x*" takes all further arguments
     * without a name as a list, "x**" all further ones with a name as a named tuple. */
    const char *params;
    struct datum (*run)(struct elab *e, const struct builtin_call *c);
    int opcode; /* for functions that serve several rows */
};

/* The families, each ended by a row without name. */
extern const struct builtin builtins_math[];
extern const struct builtin builtins_reduce[];
extern const struct builtin builtins_shape[];
extern const struct builtin builtins_source[];
extern const struct builtin builtins_index[];
extern const struct builtin builtins_window[];
extern const struct builtin builtins_einops[];
extern const struct builtin builtins_random[];
extern const struct builtin builtins_key[]; /* of a key: rng.of(i) */
extern const struct builtin builtins_list[];
extern const struct builtin builtins_model[];

const struct builtin *builtin_find(const char *name); /* NULL: none */
/* The scope that holds them all. */
struct scope *builtins_scope(struct arena *arena, struct interner *names, struct types *types);

/* ---- arguments, checked; false or NULL: reported, or an error value came in ---- */
bool arg_int(struct elab *e, const struct builtin_call *c, int i, int64_t *out); /* a number known here */
bool arg_bool(struct elab *e, const struct builtin_call *c, int i, bool *out);   /* left out: false */
bool arg_dtype(struct elab *e, const struct builtin_call *c, int i,
               enum dtype *out); /* left out: untouched */
const char *arg_string(struct elab *e, const struct builtin_call *c, int i);
/* As a tensor of any dtype (DTYPE_ANY), or of the given one where the argument is a number. */
struct value *arg_tensor(struct elab *e, const struct builtin_call *c, int i, int dtype);
/* Counted from the end where negative, and checked. */
bool arg_axis(struct elab *e, const struct builtin_call *c, int i, int rank, int *out);
/* An int, or a list of ints, as axes in rising order; left out: all of them. NULL: reported. */
int64_t *arg_axes(struct elab *e, const struct builtin_call *c, int i, int rank, int *count);
/* A list of ints that may be symbolic. NULL: reported. */
const struct dim **arg_dims(struct elab *e, const struct builtin_call *c, int i, int *count);
/* The same, none of them known to be negative. */
const struct dim **arg_shape(struct elab *e, const struct builtin_call *c, int i, int *count);
bool sizes_are_natural(struct elab *e, const struct dim *const *dims, int count, struct span span);
/* A list of known ints; of length `want` unless that is -1. NULL: reported. */
int64_t *arg_ints(struct elab *e, const struct builtin_call *c, int i, int want, int *count);
/* The elements of a list or tuple argument. false: reported. */
bool arg_items(struct elab *e, const struct builtin_call *c, int i, const struct list **out);

#endif
