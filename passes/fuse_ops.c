/* passes/fuse_ops.c: what fuse may know of one op: which kind of kernel it wants, what computing it again
 * costs, which elements a reduction sweeps over. */
#include "passes/fuse.h"

#include "runtime/weft.h"

#include <string.h>

enum {
    UNROLLED = 9,    /* codegen/nest.h: a reduction over so few is no loop */
    FOLD_TERMS = 64, /* a fold of more overlapping windows is a routine */
    DEAR_FLOPS = 10,
    CHEAP_FLOPS = 2,
    /* Computing again: a chain of exp and a few more is less than a store and a load from main memory. */
    RECIPE_FLOPS = 32,
    RECIPE_TENSORS = 2,
    SMALL_PART = 16
};

static int64_t reduced_by(const struct op *op) {
    int64_t kept = elements_of(op->out[0]);
    return kept ? elements_of(op->in[0]) / kept : 0;
}

bool fuse_is_loop_reduction(const struct op *op) {
    return op->code == OP_arg_reduce || (op->code == OP_reduce && reduced_by(op) > UNROLLED);
}

static bool is_large_const(const struct op *op) {
    return op->code == OP_const && elements_of(op->out[0]) > TINY;
}

/* The number of a draw, which nothing but keys are made of. It stays in memory, so that the kernels that draw
 * weights of one shape are one piece of code. */
static bool is_ordinal(const struct op *op) {
    if (op->code != OP_const || !op->out[0]->uses)
        return false;
    FOR_EACH_USE (use, op->out[0])
        if (use->user->code != OP_random_fold || use->index != 1)
            return false;
    return true;
}

/* Windows that do not overlap give each element one term; others all that may reach it. */
static bool is_small_fold(const struct op *op) {
    int n;
    const int64_t *window = op_ints(op, ATTR_window, &n), *step = op_ints(op, ATTR_step, NULL);
    const int64_t *dilation = op_ints(op, ATTR_dilation, NULL);
    int64_t terms = 1;
    for (int i = 0; i < n; i++)
        terms *= (window[i] - 1) * dilation[i] + 1 <= step[i] ? 1 : window[i];
    return terms <= FOLD_TERMS;
}

enum cluster_kind fuse_kind(const struct op *op) {
    switch (op_class(op)) {
    case FUSE_CONTRACT:
        return CLUSTER_CONTRACT;
    case FUSE_OPAQUE:
        if (op->code == OP_random_fold || (op->code == OP_fold && is_small_fold(op)))
            return CLUSTER_NEST;
        return CLUSTER_ROUTINE;
    case FUSE_REGION:
        return op->code == OP_attend ? CLUSTER_ATTEND : CLUSTER_OUTSIDE;
    case FUSE_EFFECT:
        return CLUSTER_OUTSIDE;
    case FUSE_SOURCE:
        return op->code == OP_input || op->code == OP_read || is_large_const(op) || is_ordinal(op)
                   ? CLUSTER_OUTSIDE
                   : CLUSTER_NEST;
    default:
        return CLUSTER_NEST;
    }
}

bool fuse_is_dear(const struct op *op) {
    if (op->code == OP_reduce)
        return reduced_by(op) > 1;
    return op_infos[op->code].flops >= DEAR_FLOPS;
}

/* In memory whatever is decided here: contractions have their epilogues already; and who is no nest reads
 * memory. */
bool fuse_reads_memory(const struct fusion *f, const struct op *user) {
    return fuse_kind(user) != CLUSTER_NEST || (user->code == OP_reshape && fuse_is_stored(f, user->out[0]));
}

bool fuse_is_stored(const struct fusion *f, const struct value *v) {
    if (!v->def)
        return true;
    const struct place_of_op *p = &f->of[v->def->id];
    bool in_contraction = p->homes.count > 0 && (p->homes.at[0]->kind == CLUSTER_CONTRACT ||
                                                 p->homes.at[0]->kind == CLUSTER_ATTEND);
    if (in_contraction || fuse_kind(v->def) != CLUSTER_NEST)
        return !in_contraction || p->is_result || v->def->code == OP_attend;
    FOR_EACH_USE (use, v)
        if (fuse_reads_memory(f, use->user))
            return true;
    return false;
}

/* What computing a value again takes: operations for each element, and the large tensors that are read. */
struct recipe {
    int flops;
    const struct value *tensors[RECIPE_TENSORS + 1];
    int tensor_count; /* more than RECIPE_TENSORS: it cannot be computed again */
};

static void recipe_add_tensor(struct recipe *r, const struct value *v) {
    for (int i = 0; i < r->tensor_count; i++)
        if (r->tensors[i] == v)
            return;
    if (r->tensor_count <= RECIPE_TENSORS)
        r->tensors[r->tensor_count++] = v;
}

/* Adds what v takes, for a result of `elements`. What is small beside it is stored for little. */
static void recipe_add(const struct fusion *f, const struct value *v, int64_t elements, struct recipe *r) {
    const struct op *op = v->def;
    bool is_small = elements_of(v) <= TINY || elements_of(v) * SMALL_PART <= elements;
    if (r->tensor_count > RECIPE_TENSORS || r->flops > RECIPE_FLOPS)
        return;
    if (op && (op->code == OP_iota || op->code == OP_const))
        return;
    if (is_small || fuse_is_stored(f, v)) {
        if (!is_small)
            recipe_add_tensor(r, v);
        return;
    }
    bool passes_on = op_class(op) == FUSE_VIEW && op->code != OP_gather && op->code != OP_dynamic_slice;
    if (op_class(op) != FUSE_MAP && !passes_on) {
        r->tensor_count = RECIPE_TENSORS + 1;
        return;
    }
    r->flops += op_infos[op->code].flops;
    for (int i = 0; i < op->in_count; i++)
        recipe_add(f, op->in[i], elements, r);
}

/* An elementwise op whose chain back to stored tensors costs less than to store and load its result. */
bool fuse_is_cheap_chain(const struct fusion *f, const struct op *op) {
    struct recipe r = {.flops = op_infos[op->code].flops};
    for (int i = 0; i < op->in_count; i++)
        recipe_add(f, op->in[i], elements_of(op->out[0]), &r);
    return r.tensor_count <= RECIPE_TENSORS && r.flops <= RECIPE_FLOPS;
}

/* Costs less to compute again than to store and load. */
bool fuse_is_duplicable(const struct fusion *f, const struct op *op) {
    switch (op_class(op)) {
    case FUSE_SOURCE:
        return op->code != OP_random_bits;
    case FUSE_VIEW:
        return true;
    case FUSE_OPAQUE:
        return op->code == OP_random_fold && elements_of(op->out[0]) <= TINY;
    case FUSE_MAP:
        if (elements_of(op->out[0]) <= TINY)
            return op_infos[op->code].flops <= CHEAP_FLOPS;
        return fuse_is_cheap_chain(f, op);
    default:
        return false;
    }
}

/* ---- sweeps ---- */

void sweep_of_axes(const struct type *type, const bool *goes, struct sweep *out) {
    *out = (struct sweep){.elements = type_elements(type), .rows = 1};
    int64_t stride = 1;
    for (int axis = type->rank - 1; axis >= 0; axis--) {
        int64_t size = type_size(type, axis);
        int64_t(*last)[2] = out->axis_count > 0 ? &out->axes[out->axis_count - 1] : NULL;
        out->rows *= goes[axis] ? 1 : size;
        if (goes[axis] && size > 1 && last && (*last)[0] * (*last)[1] == stride) {
            (*last)[1] *= size;
        } else if (goes[axis] && size > 1 && out->axis_count >= 0) {
            if (out->axis_count == 8)
                out->axis_count = -1;
            else {
                out->axes[out->axis_count][0] = stride;
                out->axes[out->axis_count++][1] = size;
            }
        }
        stride *= size;
    }
}

void sweep_of(const struct op *op, struct sweep *out) {
    const struct type *type = op->in[0]->type;
    bool goes[WEFT_MAX_RANK] = {false};
    int count = 1;
    int64_t single = op->code == OP_arg_reduce ? op_int(op, ATTR_axis) : 0;
    const int64_t *axes = op->code == OP_arg_reduce ? &single : op_ints(op, ATTR_axes, &count);
    if (type->rank > WEFT_MAX_RANK) {
        *out = (struct sweep){elements_of(op->in[0]), elements_of(op->out[0]), .axis_count = -1};
        return;
    }
    for (int i = 0; i < count; i++)
        goes[axes[i]] = true;
    sweep_of_axes(type, goes, out);
}

bool sweeps_equal(const struct sweep *a, const struct sweep *b) {
    return a->elements == b->elements && a->axis_count == b->axis_count && a->axis_count >= 0 &&
           !memcmp(a->axes, b->axes, sizeof(a->axes[0]) * (size_t)a->axis_count);
}
