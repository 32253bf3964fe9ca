/* ir/eval.h: the evaluator. It runs any graph with bound dims, slowly and obviously right: the oracle for every kernel,
 * the folder of constants, and what `weft dump --bisect` compares with. */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/graph.h"

/* In f64 mode every float operator computes and keeps double whatever the dtype says; in exact mode each result is
 * rounded to its dtype (f32 arithmetic as the compiled code does it, but for the order of sums). */
enum eval_mode { EVAL_F64, EVAL_EXACT };

/* Elements in row-major order; floats as double, integers and bools as int64_t. */
struct tensor {
    const struct type *type; /* static */
    union {
        double *f;
        int64_t *i;
    };
};

struct tensor *tensor_create(struct arena *arena, const struct type *type); /* zeros */
struct tensor *tensor_from_bytes(struct arena *arena, const struct type *type, const void *bytes);
void tensor_to_bytes(const struct tensor *tensor, void *bytes); /* rounds to the dtype */

struct eval;
struct eval *eval_create(struct arena *arena, struct graph *graph, enum eval_mode mode, struct diags *diags);
/* The values of states; written ones are replaced after eval_function returns true. */
void eval_set_state(struct eval *eval, const struct state *state, struct tensor *value);
struct tensor *eval_state(const struct eval *eval, const struct state *state); /* NULL: never set */

/* Runs a function. inputs[i] is for the i-th `input` op of its body, in order (the seed's included). Results are
 * function->body's yield; reports in order of the `report` ops, where the caller passes an array. false: reported (a
 * check that failed, an input of another type, a state without value). */
bool eval_function(struct eval *eval, const struct function *function, struct tensor *const *inputs, int input_count,
                   struct tensor **results, struct tensor **reports);
/* One op on given operands: constant folding and operator tests. */
bool eval_op(struct eval *eval, const struct op *op, struct tensor *const *in, struct tensor **out);

#endif
