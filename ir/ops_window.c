/* ir/ops_window.c: windows over the last axes, and fold, their adjoint. */
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"
#include "ir/infer.h"

/* ---- inference ---- */

/* The type of windows(x) for x of type `image`, by op's attributes; NULL: reported. */
static const struct type *windows_type(struct graph *graph, struct op *op, struct diags *diags,
                                       const struct type *image) {
    int n;
    const int64_t *window = op_ints(op, ATTR_window, &n);
    if (!infer_list(graph, op, diags, ATTR_window, n, 1) || !infer_list(graph, op, diags, ATTR_step, n, 1) ||
        !infer_list(graph, op, diags, ATTR_dilation, n, 1))
        return NULL;
    const int64_t *step = op_ints(op, ATTR_step, NULL), *dilation = op_ints(op, ATTR_dilation, NULL);
    if (n > image->rank) {
        infer_error(graph, op, diags, E_SHAPE, "a window of %d axes does not fit %s", n,
                    type_text(graph->types, image));
        return NULL;
    }
    int first = image->rank - n;
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, image->rank + n);
    for (int i = 0; i < first; i++)
        dims[i] = image->dims[i];
    for (int i = 0; i < n; i++) {
        const struct dim *size = dim_const(graph->types, window[i]);
        const struct dim *places =
            window_places(graph->types, image->dims[first + i], size, step[i], dilation[i]);
        if (!places) {
            infer_error(
                graph, op, diags, E_SHAPE, "a window of %lld with dilation %lld does not fit axis %d of %s",
                (long long)window[i], (long long)dilation[i], first + i, type_text(graph->types, image));
            return NULL;
        }
        dims[first + i] = places;
        dims[image->rank + i] = size;
    }
    return type_with_dims(graph->types, image, image->rank + n, dims);
}

bool infer_windows(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = windows_type(graph, op, diags, op->in[0]->type);
    return type && infer_result(op, type);
}

bool infer_fold(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *image = infer_declared_type(graph, op, diags);
    const struct type *type = image ? windows_type(graph, op, diags, image) : NULL;
    if (!type)
        return false;
    if (op->in[0]->type == type && dtype_class(type->dtype) != CLASS_BOOL)
        return true;
    infer_error(graph, op, diags, E_SHAPE, "to give %s the operand must be %s, but is %s",
                type_text(graph->types, image), type_text(graph->types, type), type_name(graph, op->in[0]));
    return false;
}

/* ---- values ---- */

/* A walk through the places [.., o.., k..] of windows over `image`: at[0] there, at[1] in the image. */
static void walk_windows(struct walk *w, struct eval *e, const struct op *op, const struct type *windows,
                         const struct type *image) {
    int n;
    const int64_t *step = op_ints(op, ATTR_step, &n), *dilation = op_ints(op, ATTR_dilation, NULL);
    const int64_t *strides = type_strides(e, image);
    walk_type(w, e, windows);
    for (int axis = 0; axis < image->rank; axis++) {
        int k = axis - (image->rank - n); /* which of the moved axes, from 0 */
        w->stride[1][axis] = k < 0 ? strides[axis] : strides[axis] * step[k];
        if (k >= 0)
            w->stride[1][image->rank + k] = strides[axis] * dilation[k];
    }
}

bool eval_windows(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct walk w;
    for (walk_windows(&w, e, op, op->out[0]->type, in[0]->type); w.left; walk_next(&w))
        element_copy(out[0], w.at[0], in[0], w.at[1]);
    return true;
}

bool eval_fold(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct walk w;
    for (walk_windows(&w, e, op, in[0]->type, op->out[0]->type); w.left; walk_next(&w))
        element_add(out[0], w.at[1], in[0], w.at[0]);
    return true;
}

/* ---- gradients ---- */

/* fold and windows are each other's adjoint. */
static bool grad_adjoint(struct gradient *g, enum opcode adjoint) {
    struct op *op =
        build_op(g->b, adjoint, g->dy, 1, g->op->attrs, g->op->attr_count, &g->op->in[0]->type, 1);
    g->dx[0] = op ? op->out[0] : NULL;
    return op != NULL;
}
bool grad_windows(struct gradient *g) {
    return grad_adjoint(g, OP_fold);
}
bool grad_fold(struct gradient *g) {
    return grad_adjoint(g, OP_windows);
}
