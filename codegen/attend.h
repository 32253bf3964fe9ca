/* codegen/attend.h: what the files of attention share (docs/attend.md). lower_attend.c reads a kernel and
 * plans its sweeps; attend_write.c writes the loops of one; attend_rows.c what happens to scores between two
 * products. */
#ifndef CODEGEN_ATTEND_H
#define CODEGEN_ATTEND_H

#include "codegen/contract.h"
#include "ir/attention.h"

/* An operand of a product or a sum: element (batch.., row, feature). */
struct attend_side {
    struct operand operand;
    int64_t rows, features;
    int64_t row, feature;        /* from one to the next, in elements */
    int64_t batch[OPERAND_RANK]; /* the same along each batch axis */
};

struct attend_product {
    const struct op *dot;
    /* Its result by a number, where nothing else reads it: the packed lanes are multiplied instead. NULL: not
     * so. */
    const struct value *scaled;
    double scale;
    struct attend_side side[2]; /* whose rows are X, Y */
};

/* What leaves the kernel: element (batch.., row, feature) of a SUM; (batch.., row) of a LOG_SUM; (batch.., x,
 * y) of a PARTIAL, where axes that are summed do not move. */
struct attend_result {
    const struct attention_result *of;
    struct attend_side other; /* SUM: the operand that the scores are multiplied with */
    int argument;             /* of the kernel */
    int64_t row, feature;     /* in the result (PARTIAL: x and y) */
    int64_t batch[OPERAND_RANK];
};

/* Query x sees key y only where x * X + y * Y + constant >= 0; x and y are 1 and -1, or -1 and 1. */
struct visibility {
    int64_t x, y, constant;
};

struct attend {
    struct lowering *l;
    struct loop_kernel *out;
    const struct op *kernel;
    struct attention a;
    enum dtype dtype; /* that it computes in */
    int lanes;
    int64_t batch[OPERAND_RANK], x, y; /* sizes of the scores' axes */
    struct attend_product products[ATTENTION_PRODUCTS];
    struct attend_result results[ATTENTION_RESULTS];
    bool is_masked; /* by `visible` */
    struct visibility visible;
};

/* One phase: for each point of the batch and each block of lanes (rows of X or of Y), all rows of the other
 * axis pass by, in blocks.
 *
 *     pack the lanes' operands: [product][panel][feature][lane]
 *     for each block of rows
 *         for each panel of lanes
 *             scores[product][row][lane] = rows of the one operand * packed lanes of the other
 *             scores become weights, or what else each sum wants
 *             sums[sum][panel][feature][lane] += features of its operand * weights
 *     store the sums */
struct sweep {
    struct attend *t;
    bool lanes_are_x;
    int64_t lane_count, row_count;
    const struct attend_product *products[ATTENTION_PRODUCTS];
    int product_count;
    const struct attend_result *sums[ATTENTION_RESULTS], *partials[ATTENTION_RESULTS], *log_sum;
    int sum_count, partial_count;
    bool is_inner[OPERAND_RANK]; /* batch axes that each task walks through, for the sake of partials */
    /* Blocking. */
    int vectors;
    bool has_even_panels; /* the last one is computed as if it were whole */
    int64_t panel, panels, panels_per_unit, units_per_point, units_per_task;
    int64_t height, rows_per_block, blocks; /* of a register tile; of a block, a multiple of it */
    /* Offsets in WORKER memory. */
    int64_t packed[ATTENTION_PRODUCTS], scores[ATTENTION_RESULTS], sums_at[ATTENTION_RESULTS];
    int64_t product_copy[ATTENTION_PRODUCTS], sum_copy[ATTENTION_RESULTS]; /* of rows; -1: read in place */
    int64_t greatest, total, factor; /* of the softmax, one element a lane: of a unit, a unit, a panel */
};

/* Where the writer is. */
struct sweep_place {
    const struct loop_expr *batch[OPERAND_RANK];
    const struct loop_expr *panel_low, *panel_high; /* of the unit, counted over all lanes */
    const struct loop_expr *panel;                  /* its number; */
    int64_t columns, padded;                        /* lanes of it that exist; whole vectors of them */
    const struct loop_expr *is_later;               /* bool: a block of rows came before this one */
    const struct loop_expr *block, *row_low, *rows; /* of rows; its first one; how many it has */
};

void sweep_write(struct sweep *s);

/* attend_mask.c: an inequality that the mask implies; false: none is found. */
bool attend_find_visibility(const struct attend *t, struct visibility *out);

/* attend_rows.c: scores of one panel and one block of rows become what the sums want. */
bool sweep_reads_memory(const struct sweep *s); /* at places that depend on lanes: not behind the last one */
void sweep_scores(struct sweep *s, struct writer *w, const struct sweep_place *p);
/* The softmax's numbers when a unit begins, and what they make of its finished sums. */
void softmax_begin(struct sweep *s, struct writer *w, const struct sweep_place *p);
void softmax_finish(struct sweep *s, struct writer *w, const struct sweep_place *p);

/* attend_write.c */
struct buffer *sweep_memory(struct sweep *s, struct writer *w, int64_t offset, int64_t elements,
                            const char *name);
struct buffer *scores_buffer(struct sweep *s, struct writer *w, int which);
struct buffer *sums_buffer(struct sweep *s, struct writer *w, int which);
/* The panel's number within the unit. */
const struct loop_expr *panel_in_unit(struct writer *w, const struct sweep_place *p);

#endif
