/* frontend/onnx/emit.h: what the emitters of ONNX nodes share. A value of the graph becomes a name of the
 * model.
 *
 * Note [What is needed]: a block is walked twice. The first walk goes backwards from what the block yields
 * and marks the ops whose results somebody needs; an op that a pattern takes (onnx/patterns.c) needs what the
 * pattern says, and not its own operands. The second walk goes forwards and emits what is marked.
 *
 * Note [Constants]: what depends on weights and constants alone is computed here, by the evaluator, and
 * becomes an initialiser once somebody asks for its name: so a norm's scale, a flipped kernel or a mask is a
 * tensor in the file, and a weight that is only used in another form is not there in its own.
 *
 * Note [bf16]: opset 18 has hardly an operator for it, and runtimes have fewer. A value of bf16 is a tensor
 * of f32 whose numbers are rounded behind each operator that may need it, as compiled code does; inputs,
 * outputs and weights are bf16. */
#ifndef ONNX_EMIT_H
#define ONNX_EMIT_H

#include "ir/eval.h"
#include "onnx/export.h"

struct pattern_match;

/* Names of values in one graph of the model; what is not here is looked up in the graph around it. */
struct onnx_scope {
    struct onnx_graph *graph;
    struct map names;
    struct onnx_scope *outer;
};

struct emission {
    struct arena *arena; /* the model's */
    struct graph *graph;
    const struct function *function;
    struct onnx_model *model;
    struct onnx_states states;
    struct diags *diags;
    struct onnx_scope *scope;
    struct map needed;  /* const struct op * */
    struct map matches; /* const struct op * to struct pattern_match * */
    struct map known;   /* const struct value * to KNOWN or VARIES */
    struct map folded;  /* const struct value * to struct tensor * */
    struct map written; /* const struct state *: the function changes it */
    struct eval *eval;
    const struct op *op; /* that is being emitted: nodes carry its place in the model text */
};

/* One row of onnx/ops.def. */
typedef bool emitter(struct emission *e, const struct op *op, const char *text);

/* The name of a value: of what was emitted, or of an initialiser that is made now. */
const char *onnx_name(struct emission *e, const struct value *value);
/* The same for an operand that broadcasts: the name may be that of a tensor whose dims are those of the value
 * or 1. */
const char *onnx_narrow_name(struct emission *e, const struct value *value);
void onnx_define(struct emission *e, const struct value *value, const char *name);
/* The dtype and type that a value has inside of the model: f32 for bf16. */
enum dtype onnx_inner_dtype(enum dtype dtype);
const struct type *onnx_inner_type(struct emission *e, const struct type *type);
/* The value that a parameter of a region stands for, as long as it is a mere capture. */
const struct value *onnx_origin(const struct value *value);
/* Does it depend on weights and constants alone, and is it small enough to be computed here? */
bool onnx_is_constant(struct emission *e, const struct value *value);

/* The initialiser of a constant; what it depends on must be constant. */
const char *onnx_constant_name(struct emission *e, const struct value *value);

/* A node with one output, which gets a fresh name; inputs are ended by NULL. Attributes are added behind. */
struct onnx_node {
    Onnx__NodeProto *node;
    const char *out;
};
struct onnx_node onnx_node(struct emission *e, const char *op_type, ...) __attribute__((sentinel));
void onnx_int(struct emission *e, struct onnx_node node, const char *name, int64_t value);
void onnx_ints(struct emission *e, struct onnx_node node, const char *name, const int64_t *values, int count);
const char *onnx_fresh(struct emission *e, const char *stem);

/* Initialisers made here; equal ones are one. */
const char *onnx_int_list(struct emission *e, const int64_t *values, int count); /* i64[count] */
const char *onnx_number(struct emission *e, enum dtype dtype, double value);     /* a scalar */
const char *onnx_gelu_text(struct emission *e, const struct value *x); /* gelu(x) as peers know it */
const char *onnx_filled(struct emission *e, enum dtype dtype, int64_t count,
                        double value); /* [count] of one number */

/* Shapes: each gives the name of the result, which is `name` where there is nothing to do. */
const char *onnx_reshape(struct emission *e, const char *name, int rank, const int64_t *sizes);
const char *onnx_transpose(struct emission *e, const char *name, int rank, const int64_t *perm);
const char *onnx_cast(struct emission *e, const char *name, enum dtype dtype);
/* start, ends and steps for each axis, only those that cut. */
const char *onnx_slice(struct emission *e, const char *name, const struct type *type, const int64_t *start,
                       const int64_t *count, const int64_t *step);
const char *onnx_pad(struct emission *e, const char *name, int rank, enum dtype dtype, const int64_t *lo,
                     const int64_t *hi, double value);
/* k elements of the value between two of an axis. */
const char *onnx_spread(struct emission *e, const char *name, const struct type *type, int axis, int64_t k,
                        double value);
/* x and y are names; what is between them is an ONNX operator of two operands. */
const char *onnx_two(struct emission *e, const char *op_type, const char *x, const char *y);
const char *onnx_one(struct emission *e, const char *op_type, const char *x);
int64_t *onnx_sizes(struct emission *e, const struct type *type); /* rank of them, in the arena */
int64_t *onnx_dims(struct emission *e, const struct op *op, enum attr_name name);

/* In onnx/export.c: emits a block; the yield's operands have names afterwards. */
bool onnx_block(struct emission *e, const struct block *block);
/* Reports that ONNX cannot say it, at the model's line. */
bool onnx_refuse(struct emission *e, const struct op *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- patterns (onnx/patterns.c) ---- */

struct pattern;
struct pattern_match {
    const struct pattern *pattern;
    const struct value *values[26]; /* by letter */
    double numbers[26];             /* of a, b, c */
    const struct op *root;
    struct emission *e;
};
/* The first pattern that fits; NULL: none. */
struct pattern_match *pattern_find(struct emission *e, const struct op *op);
/* The values that it needs, at most 26. */
int pattern_needs(const struct pattern_match *match, const struct value **values);
void pattern_emit(struct emission *e, const struct pattern_match *match);

#endif
