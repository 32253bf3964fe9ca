#include "ir/view.h"

void view_dense(struct view *view, const struct type *type) {
    view->rank = type->rank;
    view->base = 0;
    int64_t stride = 1;
    for (int i = type->rank - 1; i >= 0; i--) {
        view->size[i] = type_size(type, i);
        view->stride[i] = stride;
        stride *= view->size[i];
    }
}

static void transpose(struct view *v, const struct op *op) {
    const int64_t *perm = op_ints(op, ATTR_perm, NULL);
    const struct view from = *v;
    for (int i = 0; i < v->rank; i++) {
        v->size[i] = from.size[perm[i]];
        v->stride[i] = from.stride[perm[i]];
    }
}

static void transpose_back(struct view *v, const struct op *op) {
    const int64_t *perm = op_ints(op, ATTR_perm, NULL);
    const struct view from = *v;
    for (int i = 0; i < v->rank; i++) {
        v->size[perm[i]] = from.size[i];
        v->stride[perm[i]] = from.stride[i];
    }
}

static bool slice(struct view *v, const struct op *op) {
    int rank = 0;
    const struct dim *const *start = op_dims(op, ATTR_start, &rank);
    const int64_t *step = op_ints(op, ATTR_step, NULL);
    for (int i = 0; i < rank; i++) {
        if (!dim_is_const(start[i]))
            return false;
        v->base += dim_value(start[i]) * v->stride[i];
        v->stride[i] *= step[i];
        v->size[i] = type_size(op->out[0]->type, i);
    }
    return true;
}

static void broadcast(struct view *v, const struct op *op) {
    const int64_t *axes = op_ints(op, ATTR_axes, NULL);
    const struct view from = *v;
    v->rank = op->out[0]->type->rank;
    for (int i = 0; i < v->rank; i++) {
        v->size[i] = type_size(op->out[0]->type, i);
        v->stride[i] = 0;
    }
    for (int i = 0; i < from.rank; i++)
        v->stride[axes[i]] = from.size[i] == 1 ? 0 : from.stride[i];
}

/* Axes of the old shape and the new are matched from the front in groups of equal size; a group of several
 * old axes must be one run in memory. */
static bool reshape(struct view *v, const struct type *type) {
    struct view to = *v;
    to.rank = type->rank;
    for (int i = 0; i < type->rank; i++) {
        to.size[i] = type_size(type, i);
        to.stride[i] = 0;
    }
    int i = 0, j = 0;
    while (i < v->rank || j < to.rank) {
        int i0 = i, j0 = j;
        int64_t old = i < v->rank ? v->size[i++] : 1, new = j < to.rank ? to.size[j++] : 1;
        while (old != new) {
            if (old < new &&i < v->rank)
                old *= v->size[i++];
            else if (new < old && j < to.rank)
                new *= to.size[j++];
            else
                return false; /* a size of 0 somewhere */
        }
        int last = i - 1; /* the innermost old axis of the group that is longer than 1 */
        while (last > i0 && v->size[last] == 1)
            last--;
        int64_t stride = i > i0 ? v->stride[last] : 0, run = stride;
        for (int k = last; k >= i0; k--) {
            if (v->size[k] != 1 && v->stride[k] != run)
                return false;
            run *= v->size[k];
        }
        for (int k = j - 1; k >= j0; k--) {
            to.stride[k] = stride;
            stride *= to.size[k];
        }
    }
    *v = to;
    return true;
}

bool view_through(struct view *view, const struct op *op) {
    switch (op->code) {
    case OP_transpose:
        transpose(view, op);
        return true;
    case OP_reshape:
        return reshape(view, op->out[0]->type);
    case OP_slice:
        return slice(view, op);
    case OP_broadcast:
        broadcast(view, op);
        return true;
    case OP_stop_gradient:
        return true;
    default:
        return false;
    }
}

bool view_before(struct view *view, const struct op *op) {
    if (op->code == OP_transpose) {
        transpose_back(view, op);
        return true;
    }
    return op->code == OP_reshape && reshape(view, op->in[0]->type);
}
