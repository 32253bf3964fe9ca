/* ir/gradient_rules.h: what the gradient rules of ir/ops_*.c share. Internal to ir/.
 *
 * grad_NAME(g) belongs to the rows of ops.def whose grad column says NAME; see struct gradient. At least one
 * of want is set, so a rule with one operand that has a gradient need not look. Constructors take NULL
 * quietly and give NULL, so a rule looks at the end alone. */
#ifndef IR_GRADIENT_RULES_H
#define IR_GRADIENT_RULES_H

#include "base/map.h"
#include "ir/gradient.h"

#define OP(name, operands, results, attributes, infer, grad, ...) bool grad_##grad(struct gradient *g);
#include "ir/ops.def"
#undef OP

/* ---- pieces of graph ---- */

/* a + b, but a scatter or an update into zeros is redone into the other sum. NULL: reported. */
struct value *build_accumulate(struct builder *b, struct value *sum, struct value *dx);
struct value *build_scan(struct builder *b, struct value *x, const char *kind, int64_t axis, bool exclusive,
                         bool reverse);
/* x in the opposite order along `count` axes from `first` on; x itself where they have one element. */
struct value *build_flip(struct builder *b, struct value *x, int first, int count, struct arena *scratch);
/* x[place : place + 1] along the axis, place an i32[]: the axis stays, with size 1. */
struct value *build_slice_at(struct builder *b, struct value *x, int axis, struct value *place,
                             struct arena *scratch);
struct value *build_size(struct builder *b, const struct dim *size); /* i32[] */
/* The sum of u's elements at the places that index names along each line of the axis; u, index (i32) and the
 * result have one shape. NULL: reported. */
struct value *scatter_lines(struct gradient *g, struct value *u, struct value *index, int axis);
/* [count, dims of type...] */
const struct type *stack_type(struct types *types, const struct type *type, const struct dim *count,
                              struct arena *scratch);
int64_t *axes_counting(struct arena *arena, int64_t first, int count); /* first, first + 1, ... */
bool axes_are_ascending(const int64_t *axes, int count);               /* 0, 1, 2, ... */

/* ---- what depends on what: sets of float values, as maps from a value to itself ---- */

/* Adds what the ops from first to last (NULL: none) compute from marked values along differentiable paths. */
void mark_dependents(struct op *first, struct op *last, struct map *marked);
/* Adds what marked values are computed from along such paths. */
void mark_sources(struct op *first, struct op *last, struct map *marked);
static inline void mark(struct map *marked, struct value *value) {
    map_put(marked, value, value);
}

/* ---- ops with regions ---- */

/* Erases what nobody uses. */
void block_sweep(struct block *block);
/* Puts an op whose regions are complete at the builder's place: what they use from outside becomes captures,
 * and the op is typed. NULL: reported. */
struct op *build_region_op(struct builder *b, struct op *op);
/* A rule that differentiates a copy of op's region (or of what it calls) at the builder's place. */
bool open_and_reverse(struct gradient *g, const struct block *body);

#endif
