/* passes/plan.h: where every value of an entry lives: the result of the passes schedule, alias and plan_memory, read by
 * codegen and printed by `weft plan`. */
#ifndef PASSES_PLAN_H
#define PASSES_PLAN_H

#include "base/map.h"
#include "ir/graph.h"

enum place_kind {
    PLACE_NONE,      /* a value that is never in memory: it lives inside a kernel, or is an alias resolved elsewhere */
    PLACE_WORKSPACE, /* offset from the start of the arena in the workspace */
    PLACE_WEIGHTS,   /* offset in the weights block */
    PLACE_STATE,     /* offset in the state block */
    PLACE_ARGUMENT,  /* args[argument], from its start: an input or a result of the entry */
    PLACE_CONSTANT   /* data in the object */
};

struct place {
    enum place_kind kind;
    int64_t offset;
    int argument;
    const struct data *data;
};

/* A buffer of the arena and its life, for the listing. Times are positions in the schedule. */
struct plan_buffer {
    const struct value *value; /* the first that lives in it */
    int64_t offset, bytes;
    int begin, end;
};

/* One argument of an entry's `_call` form, in order: weights, state, inputs (seed among them), results, reports. */
struct plan_argument {
    const char *name;
    int role; /* enum weft_role */
    const struct type *type; /* NULL for weights and state; u64 seed: u32[2] */
    const struct value *value; /* the input's, the result's or the reported value */
};

struct function_plan {
    const struct function *function;
    VEC(struct plan_argument) arguments;
    VEC(struct plan_buffer) buffers;
    int64_t arena_bytes; /* the peak that was reached */
    int64_t lower_bound; /* the largest sum of live bytes at any moment of this schedule */
    struct map places;   /* const struct value * to struct place * */
};

/* One graph's plan: the layout of its states, shared by all functions, and a plan for each. */
struct plan {
    struct arena *arena;
    const int64_t *state_offset; /* by state->index: in the weights block for weights, in the state block for others */
    int64_t weights_bytes, state_bytes;
    VEC(struct function_plan *) functions;
};

struct function_plan *plan_of(const struct plan *plan, const struct function *function); /* NULL: not planned */
const struct place *plan_place(const struct function_plan *plan, const struct value *value); /* NULL: no place */
void plan_print(const struct plan *plan, struct strbuf *out);

#endif
