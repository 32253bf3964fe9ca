/* tests/codegen/support_entry.h: graphs in IR text (as they are after `fuse`) planned, compiled and called.
 */
#ifndef TESTS_CODEGEN_SUPPORT_ENTRY_H
#define TESTS_CODEGEN_SUPPORT_ENTRY_H

#include "codegen/codegen.h"
#include "ir/eval.h"

struct entry_run {
    struct arena *arena, *scratch;
    struct diags *diags;
    struct graph *graph;
    struct plan *plan;
    struct compiled *compiled;
    struct loaded *loaded;
};

/* Everything of the graph's functions; fails the test with the diagnostics where something is refused. */
struct entry_run *entry_run_compile(const char *text, const struct codegen_options *options); /* not loaded */
struct entry_run *entry_run_create(const char *text, const struct codegen_options *options);
void entry_run_destroy(struct entry_run *run);

/* What one call sees and leaves: the two blocks, and a piece of memory for each argument. */
struct call_memory {
    const struct function_plan *plan;
    unsigned char *weights, *state, **args; /* args[0] is weights, args[1] state */
    unsigned char *workspace;
};
/* States and inputs filled from the seed: floats in [-2, 2), bools, small integers. Results hold 0xa5. */
struct call_memory *call_memory_create(struct entry_run *run, const char *function, int width, uint32_t seed);
int call_entry(struct entry_run *run, weft_call *call, struct call_memory *memory, const weft_exec *exec);
/* The evaluator's results, states and reports against what a call left: the same bits, or within a tolerance
 * of the f64 evaluator's. Fails the test otherwise. */
void expect_evaluated(struct entry_run *run, const struct call_memory *before,
                      const struct call_memory *after, double tolerance);
void expect_same(struct entry_run *run, const struct call_memory *a, const struct call_memory *b);

/* Two threads that take tasks in turn. */
extern const weft_exec two_threads;

/* Writes the object, links it with the C compiler against libm and nothing else, opens it. */
void *object_open(struct entry_run *run, const char *prefix, const char *folder);
void write_file(const char *path, const void *bytes, size_t size);

#endif
