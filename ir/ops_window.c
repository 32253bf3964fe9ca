/* ir/ops_window.c: windows over the last axes, and fold, their adjoint. */
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
