/* tests/models/support_models.h: a model of models/ in every form at once: its graph with the gradients
 * opened and nothing else done, for the evaluator; and the same functions compiled, with memory to call them
 * in. */
#ifndef TESTS_MODELS_SUPPORT_MODELS_H
#define TESTS_MODELS_SUPPORT_MODELS_H

#include "driver/session.h"
#include "ir/eval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A model at a size that the evaluator bears. Lists are words "name=value" with a space between them. */
struct model_size {
    /* "vae.weft", "sohl_dickstein.weft:BinomialDiffusion", in models/, or with its folder; of a whole path
     * only the entries without parameters are wanted */
    const char *name;
    const char *settings; /* hyper-parameters: "ch=16 mult=[1,1,1]" */
    const char *sizes;    /* of dimensions, and `int` parameters of entries: "B=3 n=2" */
    const char *inputs;   /* "label=0..10 image=-1..1": lo and the end; else floats [0, 1), integers 0..9 */
    enum { SHORT, LONG } run; /* LONG: it takes long to compile, and runs with --long alone */
    bool is_bf16;             /* with the products in bf16 (--precision) */
};
extern const struct model_size model_sizes[]; /* support_zoo.c */
extern const int model_count;

/* What a test program is asked to do: "--long" runs also what takes long, and a word picks the models whose
 * name it is a part of. */
struct choice {
    bool is_long;
    const char *word;
};
struct choice choice_read(int argc, char **argv);
bool choice_takes(const struct choice *choice, const struct model_size *size);
/* Runs the tests; after all of a --long run, notes in tests/models/long_runs.txt what was run, when, and for
 * how long; a short run says what is noted there. */
int choice_run(const struct choice *choice, const char *group, const struct CMUnitTest *tests, size_t count);
/* One test for each model; `always` is a part of the names of those that run in any case, or NULL. */
int models_main(int argc, char **argv, const char *group, void (*test)(void **), const char *always);
/* How the inputs of one name are filled. */
struct range {
    double lo, end;
};
struct range model_range(const struct model_size *size, const char *input, const struct type *type);

struct model_run {
    struct session session;
    const struct model_size *size;
    struct instance *instance;
    struct request *requests; /* every entry in order of declaration, then init */
    int entry_count;          /* without init, which is entry number entry_count */
    struct graph *plain;      /* after differentiate and inline */
    struct program *program;
    struct memory memory;
};

/* Elaborates everything. Fails the test with what was reported where something is refused; so do all
 * functions here. */
struct model_run *model_open(const struct model_size *size);
/* The same with one entry, and init. */
struct model_run *model_open_entry(const struct model_size *size, const char *entry);
void model_compile(struct model_run *run, const char *cpu);
/* The functions of the requests in a graph of their own, bound, after the passes up to `until`. */
struct graph *model_graph(struct model_run *run, const char *until);
void model_close(struct model_run *run);
void model_fail(struct model_run *run, const char *what);

/* What one call sees and leaves. args[0] and args[1] are the run's blocks of weights and state. */
struct model_call {
    struct model_run *run;
    const struct program_entry *entry;
    unsigned char **args;
};
/* Inputs from the seed, each in its range. */
struct model_call *model_call_create(struct model_run *run, int entry, uint32_t seed);
/* Calls it; the workspace and the results hold NaNs before. exec may be NULL. */
void model_call_run(struct model_call *call, const weft_exec *exec);
/* The bytes of weights, state, results and reports as they are now, in the session's arena. */
struct snapshot {
    unsigned char *bytes;
    size_t size;
};
struct snapshot model_snapshot(const struct model_call *call);
bool snapshot_equal(const struct snapshot *a, const struct snapshot *b);
void model_restore(struct model_call *call, const struct snapshot *snapshot); /* weights and state */

/* Links the compiled entries as an object and calls each from the states that are there: the bits of the
 * compiled code in memory, also on two threads. */
void model_check_object(struct model_run *run);

/* init, by the compiled code; then weights that begin as zeros (biases, last layers) get small random values,
 * or half of the network would not be seen. */
void model_start(struct model_run *run);

/* The evaluator on a graph of the run, with the states of the compiled model. */
struct eval *model_eval(struct model_run *run, struct graph *graph, enum eval_mode mode);
struct tensor *state_tensor(const struct model_run *run, const struct state *state);

#endif
