#include "ir/evaluate.h"

void walk_init(struct walk *walk, struct eval *e, int rank) {
    *walk = (struct walk){.e = e, .rank = rank};
    walk->size = EVAL_ARRAY(e, int64_t, rank);
    walk->index = EVAL_ARRAY(e, int64_t, rank);
    for (int t = 0; t < WALK_TENSORS; t++)
        walk->stride[t] = EVAL_ARRAY(e, int64_t, rank);
}

void walk_start(struct walk *walk) {
    walk->left = 1;
    for (int axis = 0; axis < walk->rank; axis++)
        walk->left *= walk->size[axis];
}

void walk_next(struct walk *walk) {
    walk->left--;
    for (int axis = walk->rank - 1; axis >= 0; axis--) {
        bool wraps = ++walk->index[axis] == walk->size[axis];
        int64_t steps = wraps ? 1 - walk->size[axis] : 1;
        for (int t = 0; t < WALK_TENSORS; t++)
            walk->at[t] += steps * walk->stride[t][axis];
        if (!wraps)
            return;
        walk->index[axis] = 0;
    }
}

int64_t *type_strides(struct eval *e, const struct type *type) {
    int64_t *strides = EVAL_ARRAY(e, int64_t, type->rank), stride = 1;
    for (int axis = type->rank - 1; axis >= 0; axis--) {
        strides[axis] = stride;
        stride *= type_size(type, axis);
    }
    return strides;
}

void walk_type(struct walk *walk, struct eval *e, const struct type *type) {
    walk_init(walk, e, type->rank);
    walk->stride[0] = type_strides(e, type);
    for (int axis = 0; axis < type->rank; axis++)
        walk->size[axis] = type_size(type, axis);
    walk_start(walk);
}

void walk_broadcast(struct walk *walk, int t, const struct type *type) {
    int64_t *strides = type_strides(walk->e, type);
    int shift = walk->rank - type->rank;
    for (int axis = 0; axis < type->rank; axis++)
        walk->stride[t][axis + shift] = type_size(type, axis) == 1 ? 0 : strides[axis];
}

void walk_lines(struct walk *walk, struct eval *e, const struct type *type, int64_t axis, int64_t *count,
                int64_t *stride) {
    walk_type(walk, e, type);
    *count = walk->size[axis];
    *stride = walk->stride[0][axis];
    walk->size[axis] = 1;
    walk_start(walk);
}

int64_t index_clamped(const struct tensor *tensor, int64_t greatest) {
    int64_t i = tensor->i[0];
    return i < 0 ? 0 : i > greatest ? greatest : i;
}
