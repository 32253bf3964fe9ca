/* passes/fuse.h: what fuse.c (which ops share a kernel) and fuse_build.c (making the kernels) share. */
#ifndef PASSES_FUSE_H
#define PASSES_FUSE_H

#include "ir/graph.h"

enum cluster_kind {
    CLUSTER_OUTSIDE, /* one op that stays as it is */
    CLUSTER_NEST,
    CLUSTER_CONTRACT,
    CLUSTER_ROUTINE
};

/* Which elements a reduction adds up: of a tensor of `elements`, to `rows` results. axes: stride and size of
 * each run of reduced axes in the flat index; two reductions with equal sweeps walk a row together. */
struct sweep {
    int64_t elements, rows;
    int64_t axes[8][2];
    int axis_count; /* -1: more than that, equal to none */
};

/* Ops that one kernel computes. */
struct cluster {
    enum cluster_kind kind;
    struct op *core;  /* the first op, or the contraction */
    int64_t elements; /* of its results */
    VEC(struct op *) ops;
    VEC(struct sweep) sweeps;
    struct cluster *merged; /* it lives on there */
    int mark;               /* of the last search that came by */
};

struct place_of_op {
    int position;                /* in the block */
    VEC(struct cluster *) homes; /* cheap ops have several: they are computed again in each */
    int asked;                   /* the last question whether it depends on a contraction, */
    bool answer;                 /* and the answer */
    bool is_result;              /* of a contraction's kernel: it has to be in memory */
    bool updates_state;          /* elementwise, from a state that the function writes */
    struct cluster *provider;    /* whose kernel gives the op's results to other kernels; NULL: nobody asks */
};

struct fusion {
    struct graph *graph;
    struct arena *arena; /* scratch */
    struct block *block;
    struct place_of_op *of;         /* by op id */
    int op_count;                   /* ids below it; kernels that are being made have higher ones */
    VEC(struct cluster *) clusters; /* in order of creation */
    bool *is_written;               /* by state index */
    int next_mark;
};

struct cluster *cluster_now(struct cluster *c); /* what it was merged into */
/* Replaces the block's ops by kernels: one for each cluster but those outside. */
void fuse_build(struct fusion *f);

#endif
