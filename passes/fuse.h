/* passes/fuse.h: what the parts of the pass share: fuse.c (where each op goes), fuse_ops.c (what an op is and
 * costs), fuse_clusters.c (groups of ops), fuse_epilogue.c (contractions), fuse_build.c (making the kernels).
 */
#ifndef PASSES_FUSE_H
#define PASSES_FUSE_H

#include "ir/graph.h"

enum cluster_kind {
    CLUSTER_OUTSIDE, /* one op that stays as it is */
    CLUSTER_NEST,
    CLUSTER_CONTRACT,
    CLUSTER_ATTEND,
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
    int earliest; /* position of the first op that may depend on the contraction that is being grown */
};

enum { TINY = 64 }; /* elements: what is this small costs nothing to compute again */

static inline enum fuse_class op_class(const struct op *op) {
    return op_infos[op->code].fuse;
}
static inline int64_t elements_of(const struct value *v) {
    return type_elements(v->type);
}
static inline struct place_of_op *place_of(const struct fusion *f, const struct op *op) {
    return &f->of[op->id];
}

/* fuse_ops.c */
enum cluster_kind fuse_kind(const struct op *op); /* of kernel that computes it */
bool fuse_is_loop_reduction(const struct op *op);
bool fuse_is_dear(const struct op *op);
/* In memory whatever is decided: contractions have their epilogues already, and who is no nest reads memory.
 */
bool fuse_is_stored(const struct fusion *f, const struct value *v);
bool fuse_reads_memory(const struct fusion *f, const struct op *user);
bool fuse_is_cheap_chain(const struct fusion *f, const struct op *op); /* back to stored tensors */
bool fuse_is_duplicable(const struct fusion *f, const struct op *op);
void sweep_of(const struct op *op, struct sweep *out);
void sweep_of_axes(const struct type *type, const bool *goes,
                   struct sweep *out); /* goes[axis]: it is reduced */
bool sweeps_equal(const struct sweep *a, const struct sweep *b);

/* fuse_clusters.c */
typedef VEC(struct cluster *) cluster_list;
struct cluster *cluster_now(struct cluster *c); /* what it was merged into */
struct cluster *cluster_begin(struct fusion *f, struct op *op, enum cluster_kind kind);
void cluster_join(struct fusion *f, struct op *op, struct cluster *c);
bool cluster_holds(const struct fusion *f, const struct op *op, const struct cluster *c);
bool cluster_has_sweep(const struct cluster *c, const struct sweep *s);
void clusters_using(struct fusion *f, const struct op *op, cluster_list *out);
bool cluster_closes_cycle(struct fusion *f, const struct op *op,
                          struct cluster *c); /* if c gave it to others */
bool clusters_may_merge(struct fusion *f, struct cluster *a, struct cluster *b);
void clusters_merge(struct fusion *f, struct cluster *into, struct cluster *from);

/* fuse_epilogue.c */
void fuse_find_updates(struct fusion *f, const struct block *block);
void fuse_grow_epilogue(struct fusion *f, struct op *core);
/* Brings the ops of each contraction together, in the block and in positions: from then on whatever feeds or
 * is fed by an op of it stands on the same side of all of them. */
void fuse_gather_contractions(struct fusion *f, struct block *block);
bool epilogue_can_read(const struct op *op); /* through it, an operand beside the sum */
/* The sum of products reads the op's value, perhaps through others in front of it. */
bool is_before_core(const struct fusion *f, const struct op *op, const struct cluster *c);
bool prologue_can_read(const struct fusion *f, const struct op *op); /* through it, an operand of the sum */

/* fuse_attend.c: attention takes the transposes behind it, and reads through views and casts. Before the
 * tables are made, the other readers of what is transposed come to read the transpose. */
void fuse_prepare_attend(struct fusion *f, struct block *block);
void fuse_begin_attend(struct fusion *f, struct op *op);
bool attend_can_read(const struct fusion *f, const struct op *op);
bool attend_is_forward(const struct op *op);

/* Replaces the block's ops by kernels: one for each cluster but those outside. */
void fuse_build(struct fusion *f);

#endif
