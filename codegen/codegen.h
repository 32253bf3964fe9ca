/* codegen/codegen.h: graphs to native code. The one public header, without an LLVM type: the driver opens the
 * layer as a shared module (LLVM costs 5 ms and 50 MB at process start) and takes everything from the one
 * table `weft_codegen`. Tests link it directly. */
#ifndef CODEGEN_CODEGEN_H
#define CODEGEN_CODEGEN_H

#include "base/diag.h"
#include "ir/graph.h"
#include "passes/plan.h"
#include "runtime/weft.h"

struct codegen_options {
    const char *cpu;   /* target_get's names; NULL: "native" */
    int workers;       /* compile threads; 0: as many as cores */
    const char *cache; /* folder of the disk cache; NULL: no cache */
    bool use_openblas; /* contractions through cblas_sgemm */
    bool no_winograd;  /* 3x3 convolutions by their definition: less rounding */
    bool pack_weights; /* the weights are known before the entries run: what kernels make of them alone is
                          kept behind them, where no entry but an init writes weights */
    bool debug_info;   /* DWARF lines of the model text */
    bool explain;      /* keep why each kernel is what it is */
    bool profile;      /* entries that run here write a struct profile_log */
    bool no_jit;       /* lower alone: for object, header, loops and assembly; load refuses */
};

/* What the compiler did, for --time. Seconds. */
struct codegen_times {
    double lower, link;
    double emit, llvm;       /* of the compile threads, as parts of the time that passed */
    double compile;          /* the whole call, by the clock */
    int kernels, distinct;   /* kernel ops; pieces of code that they come to */
    int modules, from_cache; /* modules that units and entries are compiled in; objects found in the cache */
};

/* ---- profiles ----
 * An entry that was compiled with `profile` takes one argument more, behind those of its plan: a log. It
 * writes an event when it begins (row -1) and one behind each phase of each kernel and each copy, so that the
 * time of a row is what passed since the event before. Other builds hold nothing of this. */
struct profile_event {
    int64_t row;
    int64_t time; /* as `now` gives it */
};
struct profile_log {
    int64_t count; /* of events that happened; where it is above the capacity, the last one was overwritten */
    int64_t capacity; /* at least 1 */
    int64_t (*now)(void);
    struct profile_event events[];
};
/* One phase of a kernel op, or a copy (NULL). */
struct profile_row {
    const struct op *kernel;
    int phase, phases;
    int64_t tasks;
};

/* Compiled functions of one graph: an object in memory. */
struct compiled;
/* Its kernels linked into this process. */
struct loaded;

/* Compiles `functions` of a graph that went through all graph passes with its plan. They share weights and
 * kernels. What is returned lives in the arena and uses graph and plan. NULL: reported. */
typedef struct compiled *codegen_compile_fn(struct graph *graph, struct function *const *functions, int count,
                                            const struct plan *plan, const struct codegen_options *options,
                                            struct arena *arena, struct diags *diags);

/* Blocks that an object holds as PREFIX_weights and PREFIX_state, of weights_bytes (below) and
 * plan->state_bytes; NULL: none. */
struct held_blocks {
    const void *weights, *state;
};

struct codegen_api {
    int version;
    codegen_compile_fn *compile;
    /* Links the object in memory; freed by unload. The compiled may be forgotten after that. NULL: reported.
     */
    struct loaded *(*load)(struct compiled *compiled, struct diags *diags);
    void (*unload)(struct loaded *loaded);
    weft_call *(*entry)(struct loaded *loaded, const char *function); /* NULL: none of this name */
    /* Bytes of the weights block: the plan's, and behind them what is packed. */
    size_t (*weights_bytes)(const struct compiled *compiled);
    /* Fills what is packed from the tensors, in a block of that many bytes: once they are there and before an
     * entry is called, where the two sizes differ. The second needs no code in this process; false: this
     * machine does not run code for that CPU, or it does not compile (reported). */
    void (*pack)(struct loaded *loaded, void *weights);
    bool (*pack_now)(struct compiled *compiled, void *weights, struct diags *diags);
    /* Bytes of workspace for an entry under a width. */
    size_t (*workspace)(const struct compiled *compiled, const char *function, int width);
    /* The object file (one module, emitted once) and the C header, as bytes in the arena of the compiled.
     * `prefix` is the C name's prefix (vae). NULL: reported. */
    const void *(*object)(struct compiled *compiled, const char *prefix, struct held_blocks held,
                          size_t *size, struct diags *diags);
    const char *(*header)(struct compiled *compiled, const char *prefix, struct held_blocks held,
                          struct diags *diags);            /* NULL: reported */
    const char *(*loops)(const struct compiled *compiled); /* loop IR of all kernels, for dump */
    const char *(*assembly)(struct compiled *compiled, struct diags *diags); /* for :asm and dump */
    const char *(*explain)(const struct compiled *compiled);
    struct codegen_times (*times)(const struct compiled *compiled);
    const struct profile_row *(*profile_rows)(const struct compiled *compiled, int *count);
    /* Of a code >= WEFT_FIRST_CHECK that an entry returned: the check's message and place; NULL for other
     * codes. */
    const char *(*error_text)(const struct compiled *compiled, int code);
    const struct site *(*error_site)(const struct compiled *compiled, int code);
    const char *(*llvm_version)(void);
};
#define WEFT_CODEGEN_VERSION 1

extern const struct codegen_api weft_codegen; /* the symbol that the driver looks up */

#endif
