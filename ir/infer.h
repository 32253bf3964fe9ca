/* ir/infer.h: what the inference functions of ir/ops_*.c share. Internal to ir/.
 *
 * infer_NAME(graph, op, diags) belongs to the rows of ops.def whose infer column says NAME. Counts of
 * operands, results and attributes were checked from the row before (op_check_form). It sets the types of the
 * results, or reports what does not fit, naming the operator and the types at both operands' places, and
 * returns false. */
#ifndef IR_INFER_H
#define IR_INFER_H

#include "ir/graph.h"

#define OP(name, operands, results, attributes, infer, ...)                                                  \
    bool infer_##infer(struct graph *graph, struct op *op, struct diags *diags);
#include "ir/ops.def"
#undef OP

/* "add: MESSAGE" at the op's site, with a label for each operand (and its type) and the chain of
 * instantiations. */
struct diag *infer_error(struct graph *graph, const struct op *op, struct diags *diags, enum diag_code code,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));

const char *type_name(struct graph *graph, const struct value *value); /* the text of a value's type */
const char *dim_name(struct graph *graph, const struct dim *dim);

/* Sets the type of the one result; true. */
bool infer_result(struct op *op, const struct type *type);
/* Is axis one of 0 .. rank - 1? false: reported. */
bool infer_axis(struct graph *graph, const struct op *op, struct diags *diags, int64_t axis, int rank);
/* Are these `count` axes of an operand of this rank, ascending and without repetition? false: reported. */
bool infer_axes(struct graph *graph, const struct op *op, struct diags *diags, const char *what,
                const int64_t *axes, int count, int rank);
/* The dims of operands a and b must be equal at these axes; false: reported. */
bool infer_equal_dims(struct graph *graph, const struct op *op, struct diags *diags, int a, int axis_a, int b,
                      int axis_b);
/* Operand `index` must have this dtype; false: reported. */
bool infer_dtype(struct graph *graph, const struct op *op, struct diags *diags, int index, enum dtype dtype);
/* The declared type of the one result; NULL: reported. */
const struct type *infer_declared_type(struct graph *graph, const struct op *op, struct diags *diags);
/* A list attribute must have `count` entries, each >= least; false: reported. */
bool infer_list(struct graph *graph, const struct op *op, struct diags *diags, enum attr_name name, int count,
                int64_t least);
/* The attribute `kind` must be one of the words, separated by spaces; false: reported. */
bool infer_kind(struct graph *graph, const struct op *op, struct diags *diags, const char *words);
/* The dtype of sums of products of the two operands: floats give their own, i8 gives i32; false: reported. */
bool infer_product_dtype(struct graph *graph, struct op *op, struct diags *diags, enum dtype *out);
/* The number of places of a window of `size` elements, `dilation` apart, moved by `step` over `length`
 * elements; NULL where the window surely does not fit. */
const struct dim *window_places(struct types *types, const struct dim *length, const struct dim *size,
                                int64_t step, int64_t dilation);

#endif
