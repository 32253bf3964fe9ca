/* passes/fuse_attend.c: kernels of attention: an `attend`, the views that lead to its operands, and the
 * transposes of its results. Heads that lie within rows of tokens are read and written there. */
#include "passes/fuse.h"

/* The first use of a result, where that is a transpose and the only one. */
static struct op *only_transpose(const struct value *result) {
    struct use *use = result->uses;
    return use && !use->next && use->user->code == OP_transpose ? use->user : NULL;
}

void fuse_begin_attend(struct fusion *f, struct op *op) {
    struct cluster *c = cluster_begin(f, op, CLUSTER_ATTEND);
    for (int i = 0; i < op->out_count; i++) {
        struct op *view = only_transpose(op->out[i]);
        if (!view)
            continue;
        cluster_join(f, view, c);
        place_of(f, view)->provider = c;
        place_of(f, view)->is_result = true;
    }
}

bool attend_can_read(const struct fusion *f, const struct op *op) {
    switch (op->code) {
    case OP_reshape:
    case OP_transpose:
    case OP_slice:
    case OP_broadcast:
        return true;
    default:
        return prologue_can_read(f, op);
    }
}

bool attend_is_forward(const struct op *op) {
    FOR_EACH_OP (inner, op->regions[0])
        if (inner->code == OP_reduce && inner->out[0] && *op_string(inner, ATTR_kind) == 'm')
            return true;
    return false;
}
