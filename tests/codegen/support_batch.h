/* tests/codegen/support_batch.h: random functions through passes, code generator and calls, against the
 * evaluator. Operands lie against pages that cannot be read, and cannot be written; results begin behind
 * bytes that must stay; two threads give the bits of one. A failure prints its function and a smaller one
 * that fails too. */
#ifndef TESTS_CODEGEN_SUPPORT_BATCH_H
#define TESTS_CODEGEN_SUPPORT_BATCH_H

#include "support_entry.h"
#include "support_random.h"

/* An opcode is a function of one such operator. */
enum {
    GRAPH_EXACT = OP_COUNT, /* a graph of what rounds nothing */
    GRAPH_SMOOTH,
    GRAPH_SIXTEEN, /* a smooth one, half of whose operators are in bf16 and f16 */
    GRADIENTS,     /* GRADIENTS + kind: a function of that kind with its first and second gradients, which are
                      compared with differences in f64 as well */
    KINDS = 2 * GRADIENTS
};

struct test_case {
    int kind;
    uint32_t seed;
    int limit, ops;   /* of a smaller one: sizes, operators of a graph; 0: as it comes */
    uint32_t skipped; /* passes that are left out: bits by row of the pipeline */
    bool each_pass;   /* the evaluator runs it after each pass */
};

extern struct batch_total {
    int failures, most_failures, cases_run;
    bool shows; /* prints each function before it is compiled */
} batch_total;

const char *kind_text(int kind);
int kind_find(const char *text); /* KINDS: there is none */
bool kind_exists(int kind);

/* Compiled in one go; `skipped` of the first counts for all. cpu: NULL is this machine's. */
void batch_run(const struct test_case *cases, int count, const char *cpu);
/* A function of a graph that was written down; its inputs are multiples of 1/8, the results exact. */
void batch_run_text(const char *text);
/* A signal tells which case was under way. */
void batch_catch_crashes(void);

#endif
