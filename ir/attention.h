/* ir/attention.h: what the region of an `attend` (or of a kernel made of one) computes, read from its plain
 * operators: sums of products over scores that never are stored.
 *
 * Scores are values of one shape [batch.., X, Y]: products of two operands that contract what they have in
 * common (q k^T, dO v^T), and elementwise operators of those. They leave the region as sums of products with
 * a further operand over X or over Y (P v, dS^T q), as sums over batch axes (the gradient of a bias), or as
 * the logarithm of a softmax's sums. A forward region has one softmax along X or Y; a backward one has none
 * left: it reads that logarithm. */
#ifndef IR_ATTENTION_H
#define IR_ATTENTION_H

#include "ir/graph.h"

enum { ATTENTION_PRODUCTS = 4, ATTENTION_RESULTS = 16 };

enum attention_result_kind {
    ATTENTION_SUM,     /* dot of scores and an operand over X or Y; moved about perhaps */
    ATTENTION_LOG_SUM, /* log of the softmax's sums: max + log(sum(exp(x - max))) */
    ATTENTION_PARTIAL  /* scores, summed over batch axes perhaps, in another shape perhaps */
};

struct attention_result {
    enum attention_result_kind kind;
    const struct value *value;  /* what is yielded */
    const struct op *dot;       /* SUM */
    int side;                   /* SUM: which operand of dot the scores are */
    bool over_y;                /* SUM: it contracts Y, and the result runs over X */
    const struct value *scores; /* SUM, PARTIAL */
    const struct op *reduce;    /* PARTIAL: NULL: nothing is summed */
};

struct attention {
    const struct type *scores;
    int batch; /* how many leading axes all share: X is axis `batch` of the scores, Y the next */
    const struct op *products[ATTENTION_PRODUCTS]; /* the dots of two operands */
    int product_count;
    struct attention_result results[ATTENTION_RESULTS]; /* of each yielded value */
    int result_count;
    /* Of a gradient: exp(logits - L), where L is the logarithm of the row's sum: at most 1, up to rounding.
     */
    const struct value *shares;
    /* The softmax, if there is one: weights = exp(logits - max) / sum. */
    bool has_softmax;
    bool along_y;
    struct value *logits, *exponentials, *weights;
    const struct op *max, *sum; /* the reductions, */
    struct value *max_in_use;   /* and the greatest logits as they are taken from the others */
};

/* NULL: it is read. Else a sentence that tells what the region holds besides. */
const char *attention_read(const struct block *region, struct arena *scratch, struct attention *out);

/* The one axis of a dot's side that is neither batch nor contracted, or the one that is contracted; -1: there
 * are none or several. */
int dot_free_axis(const struct op *dot, int side);
int dot_contracted_axis(const struct op *dot, int side);

/* The softmax that `weights` are, perhaps in another dtype: sets has_softmax and what follows it. false: they
 * are none. */
bool attention_find_softmax(struct value *weights, struct attention *out);

#endif
