/* ir/gradient.h: the gradient rules of the operator table's grad column, for the pass `differentiate`. */
#ifndef IR_GRADIENT_H
#define IR_GRADIENT_H

#include "ir/build.h"

/* Given dy[i], the gradient of a scalar by op's i-th result (NULL: zero), builds dx[j], the gradient by its j-th operand
 * (left NULL: zero), from operators at the builder's place. false: reported. A rule uses op's operands and results, so
 * it can be differentiated again. */
typedef bool gradient_rule(struct builder *b, struct op *op, struct value *const *dy, struct value **dx);

gradient_rule *gradient_of(enum opcode code); /* never NULL: zero, none and leaf rules do nothing */
bool gradient_exists(enum opcode code);       /* false: the result is an integer or bool, or an effect */

#endif
