/* passes/liveness.h: when the values of a function live, in its present order of ops.
 *
 * Every op outside of kernels has a position; the ops of regions are counted in line: a loop's test, then its
 * body; a cond's two sides one after the other. A position is a whole op: operands are read and results
 * written within it. So a range is closed at both ends, and an operand that dies at an op touches the result
 * that is born there. */
#ifndef PASSES_LIVENESS_H
#define PASSES_LIVENESS_H

#include "base/vec.h"
#include "ir/graph.h"

struct live_range {
    int begin, end; /* positions, both included */
};

/* Ascending, disjoint. More than one for a cond's result, which is there at the end of either side. */
struct live_set {
    VEC(struct live_range) ranges;
};

struct liveness {
    struct arena *arena;
    int length; /* positions are 0 .. length - 1 */
    /* By op id: where it stands; a region op from its own place to the last yield of its regions. */
    int *begin, *end;
    /* By value id. A value that a loop captures lives through the whole loop, since every turn reads it, and
     * the parameter that stands for it has no range of its own. A value that a cond captures lives up to the
     * cond, and in each side as that side's parameter, from the side's begin to its last use there. */
    struct live_set *sets;
};

struct liveness *liveness_compute(struct arena *arena, const struct function *function);

void live_set_add(struct arena *arena, struct live_set *set,
                  struct live_range range); /* joins what overlaps */
bool live_sets_overlap(const struct live_set *a, const struct live_set *b);
/* The position at which a range of a ends and one of b begins, where they share no other position; else -1.
 */
int live_sets_touch(const struct live_set *a, const struct live_set *b);

/* Loops and conds by the position of their operands. A loop's are lo, hi, carried, captures; a cond's its
 * condition and captures. */
static inline int loop_first_capture(const struct op *loop) {
    return 2 + (int)op_int(loop, ATTR_carried);
}

#endif
