/* passes/fuse_attend.c: kernels of attention: an `attend`, the views that lead to its operands, and the
 * transposes of its results. Heads that lie within rows of tokens are read and written there. */
#include "passes/fuse.h"

#include "ir/view.h"

static struct op *only_user(const struct value *v) {
    return v->uses && !v->uses->next ? v->uses->user : NULL;
}

/* The transpose behind a result, perhaps with a reshape between them, that the kernel writes in its place:
 * elements are at constant distances still. *reshape: what stands between. NULL: there is none. */
static struct op *transpose_behind(const struct value *result, struct op **reshape) {
    struct op *user = only_user(result);
    struct view view = {0};
    *reshape = NULL;
    if (user && user->code == OP_reshape) {
        *reshape = user;
        user = only_user(user->out[0]);
    }
    if (!user || user->code != OP_transpose || user->out[0]->type->rank > VIEW_RANK)
        return NULL;
    view_dense(&view, user->out[0]->type);
    if (!view_before(&view, user) || (*reshape && !view_before(&view, *reshape)))
        return NULL;
    return user;
}

static void take_view(struct fusion *f, struct op *view, struct cluster *c) {
    cluster_join(f, view, c);
    place_of(f, view)->provider = c;
    place_of(f, view)->is_result = true;
}

void fuse_begin_attend(struct fusion *f, struct op *op) {
    struct cluster *c = cluster_begin(f, op, CLUSTER_ATTEND);
    for (int i = 0; i < op->out_count; i++) {
        struct op *reshape, *transpose = transpose_behind(op->out[i], &reshape);
        if (transpose && reshape)
            take_view(f, reshape, c);
        if (transpose)
            take_view(f, transpose, c);
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
