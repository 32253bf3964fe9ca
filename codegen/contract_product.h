/* codegen/contract_product.h: products of matrices as axes, for dot and for what comes down to it. */
#ifndef CODEGEN_CONTRACT_PRODUCT_H
#define CODEGEN_CONTRACT_PRODUCT_H

#include "codegen/contract.h"

/* An axis and how far a step along it moves in A, B and C. */
struct axis {
    int64_t extent, a, b, c;
};
struct axes { /* outermost first */
    int count;
    struct axis at[OPERAND_RANK * 2];
};

static inline void axes_add(struct axes *axes, int64_t extent, int64_t a, int64_t b, int64_t c) {
    if (extent != 1)
        axes->at[axes->count++] = (struct axis){extent, a, b, c};
}

enum b_mode {
    B_IN_PLACE,     /* vectors along n are read where they lie */
    B_PACKED_HERE,  /* each task packs the panels it needs, a block of k at a time */
    B_PACKED_BEFORE /* a phase packs all */
};

/* How a product is cut (docs/contract.md, "Blocking"). All counts are of whole things; what does not divide
 * is in the last one. */
struct blocking {
    int rows, vectors;         /* the register tile */
    int64_t panel;             /* columns of a panel: vectors * lanes */
    int64_t panels;            /* in all of N */
    struct row_split split;    /* of M */
    int64_t k_block, k_blocks; /* of the outermost level of k, in its steps */
    int64_t row_block;         /* tiles of rows that stay in L2 while the panels pass */
    int64_t row_parts, column_parts, units_per_task;
    int64_t tiles_per_part, panels_per_part;
    enum b_mode mode;
};

struct product {
    struct contraction *c;
    struct operand a, b; /* A gives rows, B vectors: lhs and rhs, or the reverse */
    struct axes grid, k;
    struct axis m, n;
    int64_t depth, inner; /* all of k; all levels of k but the outermost */
    struct blocking by;
    int64_t packed; /* offset of packed panels in WORKER or SHARED memory */
    /* Two neighbours of k in bf16 are one step, a word of A and of B (AVX512_BF16): all sizes and strides of
     * k, and of what is in words, count them. pair: elements from the first of B to the second where they are
     * no word in memory; packing makes words of them. */
    bool has_pairs;
    int64_t pair;
    int64_t cast; /* offset of A's rows in the dtype of the sums in WORKER memory, -1: A is read as it lies */
};

int64_t grid_points(const struct product *d);
/* Both operands are bf16 as they lie, and the target has dot products of them. */
bool product_is_of_pairs(const struct product *d);
/* Where A, B and C of a point of the grid begin, in elements. */
struct grid_place {
    const struct loop_expr *a, *b, *c;
};
struct grid_place grid_place(const struct product *d, struct writer *w, const struct loop_expr *point);

/* contract_inner.c: few rows and both operands contiguous along k: B is read once, as it lies, with lanes
 * along k. */
bool product_suits_inner(const struct product *d);
void product_inner(struct product *d);

/* C[grid, m, n] = sum_k A[grid, m, k] * B[grid, k, n]: axes of m do not move in B, those of n not in A, those
 * of k not in C. The last axis of n (of m, where n has none) is contiguous in C. false: reported. */
bool contract_product(struct contraction *c, const struct operand *a, const struct operand *b,
                      const struct axes *m, const struct axes *n, const struct axes *k,
                      const struct axes *grid);

#endif
