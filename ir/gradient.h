/* ir/gradient.h: the gradient rules of the operator table's grad column, and reverse mode over a block, which
 * the pass `differentiate` and the rules of operators with regions are made of. */
#ifndef IR_GRADIENT_H
#define IR_GRADIENT_H

#include "ir/build.h"

/* One application of a rule. Given dy[i], the gradient of a scalar by op's i-th result (NULL: zero; at least
 * one is not), the rule builds dx[j], the gradient by the j-th operand, for each j with want[j], from
 * operators at the builder's place. What it leaves NULL is zero. It may use op's operands and results, so
 * what it builds can be differentiated again. */
struct gradient {
    struct builder *b;
    struct op *op;
    struct value *const *dy;
    const bool *want;
    struct value **dx;
    struct arena *scratch; /* for worklists */
};
typedef bool gradient_rule(struct gradient *g); /* false: reported */

gradient_rule *gradient_of(enum opcode code); /* never NULL: zero, none and leaf rules do nothing */
bool gradient_exists(enum opcode code);       /* false: the result is an integer or bool, or an effect */
/* Whether a gradient by one of its operands may go through the op: not where it is zero by nature or meaning
 * (floor, stop_gradient), or there is none. A `grad`, which becomes ordinary operators, lets it through. */
bool gradient_passes(enum opcode code);

/* Reverse mode. The ys were made in the builder's block in front of its place; dys[i] is the gradient by
 * ys[i] (NULL: zero). Builds the gradient by each of the xs (values of the block, or of an outer one where
 * the block's region is still open), at the builder's place; dxs[i] stays NULL where no path of
 * differentiable operators leads from xs[i] to a y. Only ops behind `after` (NULL: all of the block) are
 * looked at, and only those on a path get a gradient. false: reported. */
struct reverse {
    struct value *const *ys, *const *dys;
    int y_count;
    struct value *const *xs;
    int x_count;
    struct op *after;
};
bool gradient_reverse(struct builder *b, const struct reverse *reverse, struct value **dxs,
                      struct arena *scratch);

#endif
