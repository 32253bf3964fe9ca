/* passes/rules.h: the rules of the pass simplify, by what they are about. Internal to passes/. */
#ifndef PASSES_RULES_H
#define PASSES_RULES_H

#include "passes/rewrite.h"

/* Rows: TO(pattern, guard, replacement, example); BUILD and APPLY have a function for the replacement. */
/* clang-format off */
#define TO(p, g, t, e)    {.pattern = (p), .guard = (g), .to = (t), .example = (e)}
#define BUILD(p, g, f, e) {.pattern = (p), .guard = (g), .build = (f), .example = (e)}
#define APPLY(p, g, f, e) {.pattern = (p), .guard = (g), .apply = (f), .example = (e)}
/* clang-format on */

/* Constants and broadcasts: compute at compile time, or compute the small thing in place of its copies. */
extern const struct rule_set fold_rules;
/* Identities of arithmetic, logic and casts. */
extern const struct rule_set algebra_rules;
/* Reshapes, transposes, broadcasts, slices, pads, concats; known indices; the axes of dot; some sums. */
extern const struct rule_set view_rules;
/* cond and loop. */
extern const struct rule_set control_rules;

enum { RULE_SETS = 4 };
void simplify_rules(struct rule_set sets[RULE_SETS]); /* all of them, in the order in which they are tried */

#endif
