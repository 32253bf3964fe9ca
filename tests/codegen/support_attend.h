/* Attention as a model would write it, in IR text, and the kernels that the passes make of it: for tests and
 * for bench/kernels. */
#ifndef TESTS_CODEGEN_SUPPORT_ATTEND_H
#define TESTS_CODEGEN_SUPPORT_ATTEND_H

#include "ir/graph.h"

/* HEADS: q, k, v as [B,h,N,d]. TOKENS: heads lie within rows, [B,N,h*d]. CHANNELS: pixels are neighbours,
 * [B,h*d,N]. */
enum attention_layout { HEADS, TOKENS, CHANNELS };
enum attention_mask { NO_MASK, CAUSAL, BEFORE, OF_KEYS, OF_ALL }; /* BEFORE: keys from the query's place on */
enum attention_bias { NO_BIAS, BIAS_OF_HEADS, BIAS_OF_ALL, BIAS_OF_KEYS };

struct attention_case {
    int batch, heads, queries, keys, depth, width; /* width: of v */
    enum attention_layout layout;
    enum attention_mask mask;
    enum attention_bias bias;
    const char *dtype;    /* NULL: f32 */
    const char *products; /* the dtype of the products, where it is another: operands and weights are cast */
};

/* fn f: the attention; gradient: by q, k, v and the bias, of the sum of its products with a further input.
 * second: by q, of the sum of the gradient's squares. */
enum attention_wanted { FORWARD_PASS, GRADIENT, SECOND_GRADIENT };
const char *attention_text(struct arena *arena, const struct attention_case *c, enum attention_wanted wanted);
/* A graph of one function that holds nothing but kernel number `which` of f after `fuse`, as text: of the
 * kernels of attention, or without the pass `attend` of all kernels. NULL: there are not so many. */
const char *attention_kernel(struct arena *arena, const char *text, int which, bool with_attend);
/* f after all passes up to `until`. NULL: *why. */
struct graph *attention_graph(struct arena *arena, const char *text, const char *until, bool with_attend,
                              const char **why);

#endif
