/* passes/plan.h: where every value of an entry lives: the result of the passes schedule, alias and
 * plan_memory, read by codegen and printed by `weft plan`. */
#ifndef PASSES_PLAN_H
#define PASSES_PLAN_H

#include "base/diag.h"
#include "base/map.h"
#include "ir/graph.h"
#include "passes/liveness.h"

enum place_kind {
    PLACE_NONE,      /* a value that is never in memory: it lives inside a kernel */
    PLACE_WORKSPACE, /* offset from the start of the arena in the workspace */
    PLACE_WEIGHTS,   /* offset in the weights block */
    PLACE_STATE,     /* offset in the state block */
    PLACE_ARGUMENT,  /* args[argument], from its start: an input or a result of the entry */
    PLACE_CONSTANT   /* data in the object */
};

/* Values that share memory share one place. */
struct place {
    enum place_kind kind;
    int64_t offset;
    int argument;
    const struct data *data;
};

/* A buffer of the arena and its life, for the listing. Times are positions in the schedule
 * (passes/liveness.h). */
struct plan_buffer {
    const struct value *value; /* the first that lives in it */
    int64_t offset, bytes;     /* bytes: what the value needs; buffers begin at multiples of PLAN_ALIGNMENT */
    int begin, end;
    struct live_set live; /* of all values in it */
    struct place *place;
};
enum { PLAN_ALIGNMENT = 64 };

/* One argument of an entry's `_call` form, in order: weights, state, inputs (seed among them), results,
 * reports. */
struct plan_argument {
    const char *name;
    int role;                  /* enum weft_role */
    const struct type *type;   /* NULL for weights and state; the seed: u32[2], its low word first */
    const struct value *value; /* the input's, the result's or the reported value */
    const struct op
        *report; /* of a report. One inside a region leaves the memory as it is where it does not run */
};

struct function_plan {
    const struct function *function;
    VEC(struct plan_argument) arguments;
    VEC(struct plan_buffer) buffers;
    int64_t arena_bytes; /* the peak that was reached */
    int64_t lower_bound; /* the largest sum of live bytes at any moment of this schedule */
    int length;          /* positions of the schedule */
    bool reads_weights, writes_weights, reads_state, writes_state; /* which blocks the entry touches */
    VEC(const struct op *) again; /* kernels that compute again what was computed before, to save memory */
    struct map places;            /* const struct value * to struct place * */
};

/* One graph's plan: the layout of its states, shared by all functions, and a plan for each. */
struct plan {
    struct arena *arena;
    const int64_t
        *state_offset; /* by state->index: in the weights block for weights, in the state block for others */
    int64_t weights_bytes, state_bytes;
    VEC(struct function_plan *) functions;
};

struct plan *plan_create(struct arena *arena,
                         const struct graph *graph); /* the layout of the states, no functions */
struct function_plan *plan_of(const struct plan *plan,
                              const struct function *function); /* NULL: not planned */
const struct place *plan_place(const struct function_plan *plan,
                               const struct value *value); /* NULL: no place */
/* The arena against what is allowed; too much is an error that names the lines whose values are alive at the
 * peak. `said`: where the limit is, unknown for the command line. */
bool plan_check(const struct function_plan *plan, int64_t allowed, struct span said, struct arena *arena,
                struct diags *diags);
void plan_print(const struct plan *plan, struct strbuf *out);
/* A function's plan as an SVG picture. */
void plan_draw(const struct function_plan *plan, struct arena *arena, struct strbuf *out);

/* The steps of the passes schedule, alias and plan_memory, for one function. schedule_function reorders each
 * block; alias_function adds the function's plan to `plan`, with every place but the offsets in the arena,
 * and may insert a copying kernel where a parallel assignment needs one; plan_memory_function gives the
 * offsets. */
void schedule_function(struct graph *graph, struct function *function, struct arena *scratch);
struct function_plan *alias_function(struct graph *graph, struct function *function, struct plan *plan,
                                     struct arena *scratch);
void plan_memory_function(struct function_plan *plan, struct arena *scratch);

/* may[i * kernel->out_count + j]: the kernel may write result j over operand i where that dies at it: every
 * element of the operand is read before any result of the same index is written, by the same task. True for
 * operands of nests and contractions that reach results through elementwise operators alone, of equal shape
 * and size of element. */
const bool *kernel_overwrites(const struct op *kernel, struct arena *arena);

#endif
