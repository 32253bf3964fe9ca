/* ir/eval.h: the evaluator. It runs any graph with bound dims, slowly and obviously right: the oracle for
 * every kernel, the folder of constants, and what `weft dump --bisect` compares with. */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/graph.h"
#include "ir/tensor.h"

/* In f64 mode every float operator computes and keeps double whatever the dtype says; in exact mode each
 * result is rounded to its dtype (f32 arithmetic as the compiled code does it, but for the order of sums). */
enum eval_mode { EVAL_F64, EVAL_EXACT };

struct eval;
struct eval *eval_create(struct arena *arena, struct graph *graph, enum eval_mode mode, struct diags *diags);
/* The values of states; written ones are replaced after eval_function returns true. */
void eval_set_state(struct eval *eval, const struct state *state, struct tensor *value);
struct tensor *eval_state(const struct eval *eval, const struct state *state); /* NULL: never set */

/* Runs a function. inputs[i] is for the i-th `input` op of its body, in order (the seed's included), or for
 * the i-th parameter of a composite. results are the operands of the body's yield. reports, where the caller
 * passes an array, gets one value for each `report` op in the order of the text, regions included; NULL for
 * one that did not run. The evaluator's arena owns them all. false: reported (a check that failed, an input
 * of another type, a state without value, an index out of range, a dim that is not bound). */
bool eval_function(struct eval *eval, const struct function *function, struct tensor *const *inputs,
                   int input_count, struct tensor **results, struct tensor **reports);
/* Called after each op of each block, in order of execution; false ends the run, whose eval_function then
 * returns false without a report. NULL: nobody watches. A `print` is an op like any other: whoever wants to
 * see prints watches for them. */
typedef bool eval_observer(void *context, const struct op *op, struct tensor *const *in,
                           struct tensor *const *out);
void eval_set_observer(struct eval *eval, eval_observer *observer, void *context);
/* One op on given operands: constant folding and operator tests. */
bool eval_op(struct eval *eval, const struct op *op, struct tensor *const *in, struct tensor **out);

#endif
