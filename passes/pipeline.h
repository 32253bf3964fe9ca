/* passes/pipeline.h: the graph passes in their order, as a table, and the runner. docs/passes.md tells what
 * each does. */
#ifndef PASSES_PIPELINE_H
#define PASSES_PIPELINE_H

#include "base/diag.h"
#include "ir/graph.h"
#include "passes/plan.h"

enum { PASS_TIMES = 32 };
struct pass;
struct rewrite_watch;
struct rule_set;

/* What a run of the pipeline needs and gives. Zero it, then set arena, diags and what is wanted. */
struct pass_context {
    struct arena *arena;   /* of the graph: what passes add to it */
    struct arena *scratch; /* made by the runner, reset after each pass */
    struct diags *diags;
    struct function *const *functions; /* the entries that are compiled */
    int function_count;
    bool verify;            /* after each pass; always on in builds with WEFT_VERIFY */
    const char *dump_after; /* a pass's name; "all": each */
    struct strbuf *dump;
    struct strbuf *why;      /* --explain: what a pass left as it was; NULL: nobody asks */
    int64_t memory;          /* bytes that an entry's arena may take; 0: as many as it takes */
    struct span memory_span; /* where that is said; unknown: on the command line */
    bool is_scheduled;       /* rematerialise leaves the order that it planned with */
    VEC(struct op *) again;  /* the kernels that rematerialise added */
    uint32_t skipped;        /* bits by row of the pipeline: optional passes that are left out, for tests */
    struct plan *plan;       /* made by plan_memory */
    struct rewrite_watch *rewrites;    /* of simplify, for --bisect; NULL: nobody asks */
    const struct rule_set *more_rules; /* of simplify; for tests, which plant a wrong one */
    /* Called behind each pass that ran, ahead of the verifier; for tests, which plant an error. */
    void (*after_pass)(const struct pass *pass, struct graph *graph, struct pass_context *context);
    double seconds[PASS_TIMES]; /* by row of the pipeline, for --time */
};

struct pass {
    const char *name;
    bool (*run)(struct graph *graph,
                struct pass_context *context); /* true: the graph is valid; false: reported */
    bool needs_sizes;                          /* every dim of the functions must be bound by graph_bind */
    bool is_optional;                          /* without it the program is slower, or larger, and the same */
    const char *summary;
};

extern const struct pass pipeline[];
extern const int pipeline_count;

/* Runs the passes in order up to and including `until` (NULL: all). false: reported; a failed verifier is a
 * defect that names the pass. */
bool pipeline_run(struct graph *graph, struct pass_context *context, const char *until);
/* The same from the pass `from` on, of a graph that went through those in front of it. */
bool pipeline_run_from(struct graph *graph, struct pass_context *context, const char *from,
                       const char *until);
const struct pass *pipeline_find(const char *name); /* NULL: none */

#endif
