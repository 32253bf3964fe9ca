/* passes/rewrite.h: the rule engine. A rule is a row: a pattern, a guard, what comes in its place, and an
 * example that the tests run. The engine applies rules to all ops of a graph until none applies.
 *
 * Three laws for all rules (after LuaJIT's lj_opt_fold.c): the result keeps its type; a rule makes the graph
 * cheaper, or as cheap and nearer to one form, so that the work ends; and a result keeps its bits, but for
 * what docs/passes.md lists (the sign of a zero, the payload of a NaN, overflow between two scalings by
 * constants).
 *
 * Patterns:    op(p, ...)      this operator, its operands by patterns; commuting operands in either order
 *              x y z           any value; twice the same letter: the same value
 *              a b c           a constant whose elements are all equal
 *              1 -1 0.5        a constant whose elements all are this number
 *              op              this operator, whatever its operands
 *              *               any operator
 * Replacements are terms of the same language, built in front of the op and broadcast to its type. */
#ifndef PASSES_REWRITE_H
#define PASSES_REWRITE_H

#include "ir/build.h"
#include "ir/eval.h"

struct rewriter;

/* An op that fits the pattern, and the values of its letters. */
struct match {
    struct rewriter *rewriter;
    struct builder *b; /* in front of op, with its site */
    struct op *op;
    struct value *values[26]; /* by letter */
};

struct rule {
    const char *pattern;
    bool (*guard)(const struct match *m);    /* NULL: no further condition */
    const char *to;                          /* a term, or */
    struct value *(*build)(struct match *m); /* the value for the op's one result; NULL: does not apply; or */
    bool (*apply)(
        struct match *m); /* changes the op in place, or replaces its results; false: does not apply */
    const char *example;  /* nested terms with operand types as leaves, as in ir/ops.def: mul(f32[3], ...) */
};

struct rule_set {
    const struct rule *rules;
    int count;
};

/* What a caller wants to know of a run, and where it should stop. */
struct rewrite_watch {
    int most;                /* rewrites after which it stops; 0: none */
    int *fired;              /* counts the rewrites by rule, in the order of the sets; NULL: nobody asks */
    int count;               /* out: how many there were, */
    const struct rule *last; /* the rule of the last one, */
    const struct site *site; /* and where the op came from that it met */
};

/* Applies the rules to a fixpoint in all functions. Ops that lose their last use on the way are erased. Gives
 * the number of rewrites; -1: reported (a defect: the rules did not come to an end). `watch` may be NULL.
 * Memory of the run comes from scratch. */
int rewrite_graph(struct graph *graph, const struct rule_set *sets, int set_count, struct diags *diags,
                  struct arena *scratch, struct rewrite_watch *watch);

struct value *match_value(const struct match *m, char letter);
/* The evaluator that folds constants, in exact mode, and memory that lasts until the engine is done. */
struct eval *match_eval(const struct match *m);
struct arena *match_scratch(const struct match *m);
/* For rules that `apply`: the users of a value that is not a result of the op must be looked at again. */
void match_changed(const struct match *m, const struct value *value);
/* Are all elements of the value one known number? Integers beyond 2^53 count as unknown. */
bool value_is_splat(const struct value *value, double *number);
/* The op that makes the value, if it is of this operator. NULL: it is not. */
struct op *value_def(const struct value *value, enum opcode code);

#endif
