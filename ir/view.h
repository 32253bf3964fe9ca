/* ir/view.h: where the elements of a view lie in the memory of what it is a view of: element (i, j, ..) at
 * base + i * stride[0] + j * stride[1] .. */
#ifndef IR_VIEW_H
#define IR_VIEW_H

#include "ir/graph.h"

enum { VIEW_RANK = 16 };

struct view {
    int rank;
    int64_t base, size[VIEW_RANK], stride[VIEW_RANK];
};

/* Of a row major tensor of a static type of at most VIEW_RANK axes. */
void view_dense(struct view *view, const struct type *type);
/* From the view of op's operand to that of its result. false: op is no view (transpose, reshape, slice,
 * broadcast, stop_gradient), or no strides say where its elements are; view is then of no use. */
bool view_through(struct view *view, const struct op *op);
/* From the view of op's result to that of its operand, for op transpose or reshape, which move each element
 * to one place. */
bool view_before(struct view *view, const struct op *op);

#endif
