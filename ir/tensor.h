/* ir/tensor.h: tensors with values, as the evaluator keeps them: elements in row-major order, floats of every
 * dtype as double, integers and bools as int64_t. They live in the arena that they were made in. */
#ifndef IR_TENSOR_H
#define IR_TENSOR_H

#include "ir/type.h"

struct tensor {
    const struct type *type; /* static */
    union {
        double *f;
        int64_t *i;
    };
};

struct tensor *tensor_create(struct arena *arena, const struct type *type); /* zeros */
struct tensor *tensor_clone(struct arena *arena, const struct tensor *tensor);
/* From and to the memory format of the dtype (type_bytes of them). Writing rounds floats and wraps integers.
 */
struct tensor *tensor_from_bytes(struct arena *arena, const struct type *type, const void *bytes);
void tensor_set_bytes(struct tensor *tensor, const void *bytes);
void tensor_to_bytes(const struct tensor *tensor, void *bytes);

/* What is left of a number in the dtype: rounded to nearest even, subnormals kept, infinity beyond the
 * greatest. */
double float_round(enum dtype dtype, double x);
/* f16 and bf16: a number from its 16 bits, and the bits of what is left of a number. */
double half_value(enum dtype dtype, uint16_t bits);
uint16_t half_bits(enum dtype dtype, double x);
int64_t int_wrap(enum dtype dtype, int64_t x); /* bool: 0 or 1 */
/* The least and the greatest number of an integer dtype or bool. */
int64_t int_least(enum dtype dtype);
int64_t int_greatest(enum dtype dtype);
void tensor_round(struct tensor *tensor); /* every element to the tensor's dtype */

/* Whether a and b have one shape and max|a - b| <= tolerance * max|b|, over their finite elements; where b is
 * all zeros the greatest |a| itself counts. What is not finite must be equal and in the same places. false:
 * *why (may be NULL) gets one line with the shapes, or with the ratio and the worst place: "max|a-b| / max|b|
 * = 0.02 > 1e-05, a[1,3] = 0.5 for 0.49". */
bool compare_tensors(const struct tensor *a, const struct tensor *b, double tolerance, struct strbuf *why);

#endif
