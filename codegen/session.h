/* codegen/session.h: one compilation: what session.c, entry.c, object.c and header.c share. Everything lives
 * in the arena of `compiled`; LLVM's own modules and contexts do not outlive the function that makes them. */
#ifndef CODEGEN_SESSION_H
#define CODEGEN_SESSION_H

#include "codegen/codegen.h"
#include "codegen/loops.h"
#include "codegen/target.h"

/* One distinct piece of code: a phase of one or several kernels whose loop text is the same. */
struct unit {
    const struct loop_function *function; /* the first of them; its symbol is this unit's */
    int argument_count;
    int64_t worker_bytes;
    const char *text;        /* loop IR */
    bool packs;              /* it runs when weights are loaded */
    const struct site *site; /* of the first kernel, for -g */
    size_t cost;             /* of compiling it: the length of its text is a fair guess */
};

/* A kernel op of one of the functions. */
struct lowered_kernel {
    const struct op *op;
    struct loop_kernel loops;
    int64_t worker_bytes; /* aligned: the stride between the memory of two workers */
    int first_check;      /* row in compiled->checks of the loops' code 0 */
    int check_count;
    int first_row;         /* of its phases in compiled->rows */
    bool is_kept;          /* it reads weights alone and runs when they are loaded: its results are kept */
    int64_t packed_offset; /* in the weights block, of its PACKED memory, or of its results */
    const int64_t
        *weight_offset; /* where it has such memory: of its operands in the weights block, -1: not there */
};

/* A place of the model text that may fail at run time; its error code is WEFT_FIRST_CHECK + its row. */
struct check_row {
    const char *message;
    const struct site *site;
};

struct bytes {
    const void *at;
    size_t size;
};

struct compiled_function {
    const struct function *function;
    const struct function_plan *plan;
    int64_t shared_offset,
        worker_offset;    /* in the workspace: header, arena, shared memory, memory of workers */
    int64_t worker_bytes; /* of each worker: the most that a kernel wants */
};

struct compiled {
    struct arena *arena;
    struct graph *graph;
    const struct plan *plan;
    const struct target *target;
    struct codegen_options options;
    struct codegen_times times;
    VEC(struct compiled_function) functions;
    VEC(struct lowered_kernel *) kernels;
    VEC(const struct lowered_kernel *)
    packings;           /* whose packing fills the weights block: equal ones stand once */
    struct map writers; /* of the function that is being lowered: packing_count_writers */
    struct map kept; /* const struct place * of kept results to const struct place * in the weights block */
    bool packs_weights;        /* no entry but init writes them, and the options want it */
    int64_t weights_bytes;     /* of the weights block: its tensors, then PACKED memory */
    struct map kernel_of;      /* const struct op * to struct lowered_kernel * */
    struct map first_check_of; /* const struct op * of a check to its row + 1 */
    VEC(struct check_row) checks;
    VEC(struct profile_row) rows; /* the first is that of copies */
    VEC(struct unit *) units;
    VEC(struct bytes) objects; /* for the JIT: groups of units, then the entries */
    struct strbuf why;         /* --explain */
};

enum { WORKSPACE_HEADER = 64 };
/* In the workspace header. */
enum {
    HEADER_ERROR = 0,  /* u32: the smallest code of the checks of the kernel that ran last; ~0: none failed */
    HEADER_CPU_TAG = 8 /* u64: the object's tag once the CPU has been found fit */
};

/* The API's compile (codegen.h). */
struct compiled *session_compile(struct graph *graph, struct function *const *functions, int count,
                                 const struct plan *plan, const struct codegen_options *options,
                                 struct arena *arena, struct diags *diags);

/* codegen/packing.c: the API's pack_now (codegen.h), and what the JIT looks up for pack. */
bool packing_run(struct compiled *compiled, void *weights, struct diags *diags);
#define PACKING_SYMBOL "weft_pack_weights"
typedef int packing_function(void *weights);
/* Where a value lies: the plan's place, or where it is kept. */
const struct place *packing_find_place(const struct compiled *c, const struct function_plan *plan,
                                       const struct value *value);
/* Whether the kernel may run when weights are loaded: `writers` counts for each place who writes there
 * (packing_count_writers). Once it is lowered, packing_keep does it where it needs little memory. */
void packing_count_writers(struct map *writers, const struct function_plan *plan, const struct block *block);
bool packing_suits(const struct compiled *c, const struct compiled_function *f, const struct op *op,
                   const struct map *writers);
void packing_keep(struct compiled *c, const struct compiled_function *f, struct lowered_kernel *kernel);
/* Gives the kernel's PACKED memory its place, which equal kernels of the same weights share. */
void packing_place(struct compiled *c, const struct compiled_function *f, struct lowered_kernel *kernel);

int64_t align64(int64_t bytes);
const struct compiled_function *compiled_find(const struct compiled *compiled,
                                              const char *function); /* NULL: none */
int64_t workspace_bytes(const struct compiled_function *function, int64_t width);
/* The symbol of an entry's `_call` in the JIT; objects have their own. */
const char *jit_entry_symbol(struct arena *arena, const char *function);

#endif
