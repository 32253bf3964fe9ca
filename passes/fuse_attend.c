/* passes/fuse_attend.c: kernels of attention: an `attend`, the views that lead to its operands, and the
 * transposes of its results. Heads that lie within rows of tokens are read and written there. */
#include "passes/fuse.h"

#include "ir/build.h"
#include "ir/view.h"

static struct op *only_user(const struct value *v) {
    return v->uses && !v->uses->next ? v->uses->user : NULL;
}

/* The op is a transpose, perhaps behind a reshape, whose result the kernel can write in the place of
 * `result`: elements are at constant distances still. *reshape: what stands between. */
static struct op *transpose_from(struct op *op, struct op **reshape) {
    struct view view = {0};
    *reshape = NULL;
    if (op && op->code == OP_reshape) {
        *reshape = op;
        op = only_user(op->out[0]);
    }
    if (!op || op->code != OP_transpose || op->out[0]->type->rank > VIEW_RANK)
        return NULL;
    view_dense(&view, op->out[0]->type);
    if (!view_before(&view, op) || (*reshape && !view_before(&view, *reshape)))
        return NULL;
    return op;
}

/* A result that is a sum over scores, which the kernel writes row by row; not scores that are added up over a
 * batch (the gradient of a bias). */
static bool is_product(const struct op *attend, int result) {
    const struct op *op = block_yield(attend->regions[0])->in[result]->def;
    while (op && (op->code == OP_reshape || op->code == OP_transpose || op->code == OP_cast))
        op = op->in[0]->def;
    return op && op->code == OP_dot;
}

static struct op *transpose_behind(const struct op *attend, int result, struct op **reshape) {
    return is_product(attend, result) ? transpose_from(only_user(attend->out[result]), reshape) : NULL;
}

/* ---- several readers: all of them read what the kernel writes ---- */

static const int64_t *inverse(struct arena *arena, const struct op *transpose) {
    int count;
    const int64_t *perm = op_ints(transpose, ATTR_perm, &count);
    int64_t *back = ARENA_ARRAY(arena, int64_t, count);
    for (int i = 0; i < count; i++)
        back[perm[i]] = i;
    return back;
}

/* The result again, as a view of its transpose, for all its readers but the transpose. */
static void read_from_transpose(struct fusion *f, struct op *attend, struct value *result, struct op *reshape,
                                struct op *transpose) {
    struct op *first = reshape ? reshape : transpose, *behind = attend->next;
    struct builder b;
    builder_init(&b, f->graph, attend->block, NULL);
    if (first != behind)
        op_move_before(first, behind);
    if (reshape && transpose != first->next)
        op_move_before(transpose, first->next);
    b.before = transpose->next;
    b.site = transpose->site;
    struct value *back = build_transpose(&b, transpose->out[0], inverse(f->arena, transpose));
    if (reshape)
        back = build_reshape(&b, back, result->type->rank, result->type->dims);
    FOR_EACH_USE (use, result)
        if (use->user != first)
            op_set_in(use->user, use->index, back);
}

void fuse_prepare_attend(struct fusion *f, struct block *block) {
    FOR_EACH_OP (op, block)
        for (int i = 0; op->code == OP_attend && i < op->out_count; i++) {
            struct op *reshape, *transpose = NULL;
            if (!op->out[i]->uses || !op->out[i]->uses->next || !is_product(op, i))
                continue;
            FOR_EACH_USE (use, op->out[i])
                if (!transpose)
                    transpose = transpose_from(use->user, &reshape);
            if (transpose && transpose->block == block)
                read_from_transpose(f, op, op->out[i], reshape, transpose);
        }
}

/* ---- the cluster ---- */

static void take_view(struct fusion *f, struct op *view, struct cluster *c) {
    cluster_join(f, view, c);
    place_of(f, view)->provider = c;
    place_of(f, view)->is_result = true;
}

void fuse_begin_attend(struct fusion *f, struct op *op) {
    struct cluster *c = cluster_begin(f, op, CLUSTER_ATTEND);
    for (int i = 0; i < op->out_count; i++) {
        struct op *reshape, *transpose = transpose_behind(op, i, &reshape);
        if (transpose && reshape)
            take_view(f, reshape, c);
        if (transpose)
            take_view(f, transpose, c);
    }
}

bool attend_can_read(const struct fusion *f, const struct op *op) {
    if (op->out[0]->type->rank > VIEW_RANK || (op->in_count && op->in[0]->type->rank > VIEW_RANK))
        return false;
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
