/* ir/type.h: dtypes, dims and tensor types. Dims and types are interned in a `struct types` that lives as
 * long as the session: two of them are equal exactly when their pointers are. */
#ifndef IR_TYPE_H
#define IR_TYPE_H

#include "base/arena.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum dtype {
#define DTYPE(name, ctype, bytes, class) DTYPE_##name,
#include "ir/dtype.def"
#undef DTYPE
    DTYPE_COUNT
};
enum dtype_class { CLASS_FLOAT, CLASS_SIGNED, CLASS_UNSIGNED, CLASS_BOOL };

const char *dtype_text(enum dtype dtype); /* "f32" */
int dtype_bytes(enum dtype dtype);
enum dtype_class dtype_class(enum dtype dtype);
static inline bool dtype_is_float(enum dtype d) {
    return dtype_class(d) == CLASS_FLOAT;
}
static inline bool dtype_is_int(enum dtype d) {
    return dtype_class(d) == CLASS_SIGNED || dtype_class(d) == CLASS_UNSIGNED;
}
bool dtype_find(const char *text, size_t length, enum dtype *out); /* false: no such dtype */

/* A dim is a polynomial with rational coefficients over dimension variables, in a normal form:
 *   B, 784, 2*C + 1, 1/2*H, H*W, floor((H + 1)/2) - 1.
 * Variables stand for sizes >= 0. H / 2 is exact: the elaborator records the precondition that 2 divides H.
 * What is known to divide (dim_assume_multiple) lets floor((H - 1)/2) become 1/2*H - 1. A coefficient that
 * leaves int64 saturates: a size that no machine has. */
struct dim;
struct types;

struct types *types_create(struct arena *arena);
struct arena *types_arena(struct types *types);

const struct dim *dim_const(struct types *types, int64_t value);
const struct dim *dim_var(struct types *types, const char *name); /* one variable per text of the name */
const struct dim *dim_add(struct types *types, const struct dim *a, const struct dim *b);
const struct dim *dim_sub(struct types *types, const struct dim *a, const struct dim *b);
const struct dim *dim_mul(struct types *types, const struct dim *a, const struct dim *b);
/* a / b where b divides a as polynomials (H*W / W, 6*H / 4 = 3/2*H); NULL where it does not. For constants
 * NULL unless exact. The caller records the precondition where the result has a coefficient that is no
 * integer. */
const struct dim *dim_div(struct types *types, const struct dim *a, const struct dim *b);
const struct dim *dim_floordiv(struct types *types, const struct dim *a, int64_t b); /* b != 0 */
/* From now on `dim` counts as a multiple of n in this `types`. */
void dim_assume_multiple(struct types *types, const struct dim *dim, int64_t n);
/* Nothing is known to divide any more: what was assumed belongs to one function, whose sizes may have names
 * that others use as well (function_assume). */
void dim_forget_assumptions(struct types *types);
bool dim_is_multiple(struct types *types, const struct dim *dim,
                     int64_t n); /* provably, from what is assumed */

bool dim_is_const(const struct dim *dim);
int64_t dim_value(const struct dim *dim);       /* of a constant */
bool dim_is_integral(const struct dim *dim);    /* all coefficients are integers */
int64_t dim_denominator(const struct dim *dim); /* the least n that makes those of n * dim integers */
/* a < b, a == b, a > b for all sizes: -1, 0, 1; 2 where it depends on the sizes (or is not decided). */
int dim_compare(struct types *types, const struct dim *a, const struct dim *b);
void dim_print(struct strbuf *out, const struct dim *dim);
const char *dim_text(struct types *types, const struct dim *dim); /* in the types' arena */
/* Parses the text that dim_print writes; NULL on other text. */
const struct dim *dim_parse(struct types *types, const char *text, size_t length);

/* Values for variables. Substituting gives NULL where the value does not come out whole; it may be negative
 * (the lo of a pad). A variable without a binding stays. */
struct dim_binding {
    const char *name;
    int64_t value;
};
const struct dim *dim_bind(struct types *types, const struct dim *dim, const struct dim_binding *bindings,
                           int count);

/* The type of a value: dtype[dims]. rank 0 is a scalar. */
#define OPEN_ELEMENTS INT64_MIN
struct type {
    enum dtype dtype;
    int rank;
    const struct dim *const *dims;
    int64_t elements; /* saturating; OPEN_ELEMENTS: a dim is no constant */
};

const struct type *type_get(struct types *types, enum dtype dtype, int rank, const struct dim *const *dims);
const struct type *type_scalar(struct types *types, enum dtype dtype);
const struct type *type_of_sizes(struct types *types, enum dtype dtype, int rank, const int64_t *sizes);
const struct type *type_with_dtype(struct types *types, const struct type *type, enum dtype dtype);
const struct type *type_with_dims(struct types *types, const struct type *type, int rank,
                                  const struct dim *const *dims);
bool type_is_static(const struct type *type);                               /* every dim is a constant */
const struct dim *type_count(struct types *types, const struct type *type); /* the number of elements */
/* Of static types only. axis may be negative: -1 is the last. */
int64_t type_size(const struct type *type, int axis);
int64_t type_elements(const struct type *type); /* saturating */
int64_t type_bytes(const struct type *type);
/* NumPy broadcasting of the dims of a and b, with a's dtype; NULL where they do not broadcast. */
const struct type *type_broadcast(struct types *types, const struct type *a, const struct type *b);
void type_print(struct strbuf *out, const struct type *type); /* f32[B,1,28,28] */
const char *type_text(struct types *types, const struct type *type);

#endif
