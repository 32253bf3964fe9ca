/* ir/text.h: graphs as text. parse(print(g)) prints the same bytes.
 *
 *   graph vae
 *   state @encoder.0.weight : f32[20,784] weight
 *   state @run.step : i32[] run
 *   fn encode(mean) {
 *     %0 = input {name = "x"} : f32[B,1,28,28]
 *     %1 = read {state = @encoder.0.weight} : f32[20,784]
 *     %2 = reshape(%0) : f32[B,784]
 *     %3 = dot(%2, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[B,20]
 *     %4 = loop(%lo, %hi, %3) {reverse = 0, carried = 1} : f32[B,20] region(%6: i32[], %7: f32[B,20]) {
 *       ...
 *       yield(%8)
 *     }
 *     report(%10) {name = "elbo"}
 *     yield(%4)
 *   }
 *
 * In front of the body stand the names of the results: () or _ where they have none. `train step(...)`, `init
 * NAME()`, `composite NAME()` and `expression NAME()` begin other kinds of functions; parameters of a
 * function's body are written like a region's: composite gelu() region(%0: f32[3]) { ... }. Preconditions:
 * require H % 8 "message".
 *
 * A dim with an operator in it needs no quotes: f32[2*C + 1,1/2*H]. Constants: {data = 0.5} for scalars,
 * {data = [1, 2, 3]} in row-major order, long ones as {data = hex"..."} of their bytes in memory. "//" begins
 * a comment. What is not printed: doc comments, sites, and the names of values, which are numbered. */
#ifndef IR_TEXT_H
#define IR_TEXT_H

#include "ir/graph.h"

void graph_print(const struct graph *graph, struct strbuf *out);
void function_print(const struct function *function, struct strbuf *out);
void op_print(const struct op *op, struct strbuf *out); /* one op with its regions, values numbered by id */
/* A whole text to a graph, checked as graph_verify does, ops with their places in source as sites; NULL:
 * reported. */
struct graph *graph_parse(struct arena *arena, struct types *types, struct interner *names,
                          const struct source *source, struct diags *diags);

const char *function_kind_text(enum function_kind kind); /* "fn", "train", ... */
const char *state_kind_text(enum state_kind kind);       /* "weight", "buffer", "run" */

#endif
