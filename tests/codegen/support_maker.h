/* tests/codegen/support_maker.h: what the random makers of functions share. */
#ifndef TESTS_CODEGEN_SUPPORT_MAKER_H
#define TESTS_CODEGEN_SUPPORT_MAKER_H

#include "support_random.h"

/* Note [Exact arithmetic]: a value with |x| <= bound that is a multiple of 2^-bits takes fewer than bound *
 * 2^bits steps; as long as these are fewer than 2^24, f32 holds it, and sums of such values are exact in any
 * order. `operand` brings what a graph has made back to |x| <= 9, bits = 0: by a scale that is a power of two
 * and `floor`, both exact. Smooth functions are kept in range by a scale alone. */
struct range {
    double bound;
    int bits;
};
struct known {
    struct value *value;
    struct range range;
};

struct maker {
    struct graph *graph;
    struct builder b;
    uint32_t random;
    bool is_graph, is_exact;
    bool is_differentiable;     /* a graph without stop_gradient */
    bool has_sixteen;           /* a graph whose operators may be in bf16 and f16 */
    bool is_wide;               /* so large that kernels have several tasks */
    int limit;                  /* of sizes; 0: none */
    struct random_input floats; /* what float operands are */
    enum exactness exactness;
    int64_t sizes[4]; /* of graphs: what axes are made of, so that shapes meet */
    VEC(struct known) pool;
    VEC(struct random_input) inputs;
};

enum { AXES_MOST = 8, ELEMENTS_MOST = 2000, WIDE_ELEMENTS = 60000 };
struct shape {
    int rank;
    int64_t size[AXES_MOST];
};

/* ---- chance ---- */

uint32_t next_random(uint32_t *seed);
int pick(struct maker *m, int n); /* 0..n-1 */
bool one_in(struct maker *m, int n);
int64_t limited(const struct maker *m, int64_t size);
int64_t random_size(struct maker *m);
struct shape random_shape(struct maker *m, int least, int most); /* of so many axes */
int64_t count_of(const struct shape *s);
struct shape shape_of(const struct value *v);
const struct type *typed(struct maker *m, enum dtype dtype, const struct shape *s);
const struct dim **dims_of(struct maker *m, const int64_t *sizes, int count);

/* ---- values ---- */

struct value *keep(struct maker *m, struct value *v, struct range range); /* into the pool */
struct range range_of(const struct maker *m, const struct value *v);
struct value *new_input(struct maker *m, enum dtype dtype, const struct shape *s, struct random_input input);
struct value *tame(struct maker *m, struct value *x, double bound); /* |x| <= bound, or one more */
struct value *any_value(struct maker *m, enum dtype dtype);         /* of a graph's */
/* An operand of that type: an input of its own, or what the graph has, tamed. */
struct value *operand(struct maker *m, enum dtype dtype, const struct shape *s);
struct value *index_operand(struct maker *m, const struct shape *s, int64_t n); /* 0..n-1 */
struct value *key_operand(struct maker *m);

struct attr attr_int(enum attr_name name, int64_t i);
struct attr attr_ints(enum attr_name name, const int64_t *ints, int count);
struct attr attr_dims(struct maker *m, enum attr_name name, const int64_t *sizes, int count);
struct attr attr_string(struct maker *m, enum attr_name name, const char *text);

/* ---- functions ---- */

void function_begin(struct maker *m, const char *name, enum function_kind kind, struct diags *diags);
struct random_function function_end(struct maker *m, struct value *const *results, int count,
                                    enum exactness exactness);

/* ---- support_random_ops.c: one operator ---- */

/* Any that graphs of this kind may use; its results are not in the pool yet. NULL: reported. */
struct op *random_op(struct maker *m, bool elementwise);

#endif
