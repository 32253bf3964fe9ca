/* ir/ops_index.c: operators that move elements by run-time indices: dynamic_slice, dynamic_update, gather,
 * scatter, sort. */
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"
#include "ir/infer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inference ---- */

/* Operands from `first` on: one i32[] for each axis of x; `part`, the piece, must have x's dtype and fit into
 * it. */
static bool check_dynamic(struct graph *graph, struct op *op, struct diags *diags, int first,
                          const struct type *part) {
    if (op->in_count < first) {
        infer_error(graph, op, diags, E_IR, "has too few operands");
        return false;
    }
    const struct type *x = op->in[0]->type;
    if (op->in_count - first != x->rank) {
        infer_error(graph, op, diags, E_SHAPE, "%s wants %d start indices, not %d",
                    type_name(graph, op->in[0]), x->rank, op->in_count - first);
        return false;
    }
    const struct type *index = type_scalar(graph->types, DTYPE_i32);
    for (int i = first; i < op->in_count; i++)
        if (op->in[i]->type != index) {
            infer_error(graph, op, diags, E_TYPE, "a start index must be i32[], but is %s",
                        type_name(graph, op->in[i]));
            return false;
        }
    if (part->dtype != x->dtype || part->rank != x->rank) {
        infer_error(graph, op, diags, E_SHAPE, "%s is no part of %s", type_text(graph->types, part),
                    type_name(graph, op->in[0]));
        return false;
    }
    for (int i = 0; i < x->rank; i++)
        if (dim_compare(graph->types, part->dims[i], x->dims[i]) == 1) {
            infer_error(graph, op, diags, E_SHAPE, "%s is larger than %s at axis %d",
                        type_text(graph->types, part), type_name(graph, op->in[0]), i);
            return false;
        }
    return true;
}

bool infer_dynamic_slice(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = infer_declared_type(graph, op, diags);
    return type && check_dynamic(graph, op, diags, 1, type);
}

bool infer_dynamic_update(struct graph *graph, struct op *op, struct diags *diags) {
    if (op->in_count < 2) {
        infer_error(graph, op, diags, E_IR, "has too few operands");
        return false;
    }
    return check_dynamic(graph, op, diags, 2, op->in[1]->type) && infer_result(op, op->in[0]->type);
}

/* The type of gather(x, index): [batch.., x's axes up to axis, index's own axes, x's axes behind axis]. */
static const struct type *gather_type(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *x = op->in[0]->type, *index = op->in[1]->type;
    int64_t axis = op_int(op, ATTR_axis), batch = op_int(op, ATTR_batch);
    if (!infer_axis(graph, op, diags, axis, x->rank))
        return NULL;
    if (!dtype_is_int(index->dtype)) {
        infer_error(graph, op, diags, E_DTYPE, "the index must be integers, but is %s",
                    type_name(graph, op->in[1]));
        return NULL;
    }
    if (batch < 0 || batch > axis || batch > index->rank) {
        infer_error(graph, op, diags, E_INDEX, "%lld batch axes do not fit %s, %s and axis %lld",
                    (long long)batch, type_name(graph, op->in[0]), type_name(graph, op->in[1]),
                    (long long)axis);
        return NULL;
    }
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, x->rank + index->rank);
    int rank = 0;
    for (int i = 0; i < batch; i++)
        if (!infer_equal_dims(graph, op, diags, 0, i, 1, i))
            return NULL;
    for (int i = 0; i < axis; i++)
        dims[rank++] = x->dims[i];
    for (int i = (int)batch; i < index->rank; i++)
        dims[rank++] = index->dims[i];
    for (int i = (int)axis + 1; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    return type_with_dims(graph->types, x, rank, dims);
}

bool infer_gather(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = gather_type(graph, op, diags);
    return type && infer_result(op, type);
}

bool infer_scatter(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *update = gather_type(graph, op, diags);
    if (!update || !infer_kind(graph, op, diags, "add set max"))
        return false;
    if (op->in[2]->type != update) {
        infer_error(graph, op, diags, E_SHAPE, "the update must be %s, but is %s",
                    type_text(graph->types, update), type_name(graph, op->in[2]));
        return false;
    }
    return infer_result(op, op->in[0]->type);
}

bool infer_sort(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = op->in[0]->type;
    if (!infer_axis(graph, op, diags, op_int(op, ATTR_axis), type->rank))
        return false;
    op->out[0]->type = type;
    op->out[1]->type = type_with_dtype(graph->types, type, DTYPE_i32);
    return true;
}

/* ---- values ---- */

/* A walk through the part of `whole` that begins at the clamped indices: at[0] in the part, at[1] in the
 * whole. */
static void walk_part(struct walk *w, struct eval *e, const struct type *part, const struct type *whole,
                      struct tensor *const *indices) {
    int64_t *strides = type_strides(e, whole);
    walk_type(w, e, part);
    memcpy(w->stride[1], strides, sizeof(int64_t) * (size_t)w->rank);
    for (int axis = 0; axis < w->rank; axis++)
        w->at[1] +=
            strides[axis] * index_clamped(indices[axis], type_size(whole, axis) - type_size(part, axis));
}

bool eval_dynamic_slice(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct walk w;
    for (walk_part(&w, e, op->out[0]->type, in[0]->type, in + 1); w.left; walk_next(&w))
        element_copy(out[0], w.at[0], in[0], w.at[1]);
    return true;
}

bool eval_dynamic_update(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)op;
    struct walk w;
    memcpy(out[0]->i, in[0]->i, sizeof(int64_t) * (size_t)type_elements(in[0]->type));
    for (walk_part(&w, e, in[1]->type, in[0]->type, in + 2); w.left; walk_next(&w))
        element_copy(out[0], w.at[1], in[1], w.at[0]);
    return true;
}

/* gather and scatter see x as [batch, outer, axis, inner] and the rows as [batch, outer, indices, inner]. */
struct rows {
    int64_t batch, outer, axis, indices, inner;
};

static struct rows rows_of(const struct op *op) {
    const struct type *x = op->in[0]->type, *index = op->in[1]->type;
    int64_t axis = op_int(op, ATTR_axis), batch = op_int(op, ATTR_batch);
    struct rows r = {1, 1, type_size(x, (int)axis), 1, 1};
    for (int k = 0; k < x->rank; k++)
        *(k < batch ? &r.batch : k < axis ? &r.outer : &r.inner) *= k == axis ? 1 : type_size(x, k);
    for (int k = (int)batch; k < index->rank; k++)
        r.indices *= type_size(index, k);
    return r;
}

/* Calls visit(x, offset in x, rows, offset in rows, inner) for every row, in order. */
static bool visit_rows(struct eval *e, const struct op *op, struct tensor *x, const struct tensor *index,
                       struct tensor *rows,
                       void visit(struct tensor *, int64_t, struct tensor *, int64_t, int64_t)) {
    struct rows r = rows_of(op);
    for (int64_t b = 0; b < r.batch; b++)
        for (int64_t o = 0; o < r.outer; o++)
            for (int64_t k = 0; k < r.indices; k++) {
                int64_t place = index->i[b * r.indices + k], slab = b * r.outer + o;
                if (place < 0 || place >= r.axis)
                    return eval_error(e, op, E_INDEX, "the index %lld is not in 0..%lld", (long long)place,
                                      (long long)r.axis);
                visit(x, (slab * r.axis + place) * r.inner, rows, (slab * r.indices + k) * r.inner, r.inner);
            }
    return true;
}

static void row_get(struct tensor *x, int64_t at, struct tensor *rows, int64_t row, int64_t inner) {
    memcpy(rows->i + row, x->i + at, sizeof(int64_t) * (size_t)inner);
}
static void row_set(struct tensor *x, int64_t at, struct tensor *rows, int64_t row, int64_t inner) {
    memcpy(x->i + at, rows->i + row, sizeof(int64_t) * (size_t)inner);
}
static void row_add(struct tensor *x, int64_t at, struct tensor *rows, int64_t row, int64_t inner) {
    for (int64_t k = 0; k < inner; k++)
        element_add(x, at + k, rows, row + k);
}
static void row_max(struct tensor *x, int64_t at, struct tensor *rows, int64_t row, int64_t inner) {
    for (int64_t k = 0; k < inner; k++)
        if (dtype_is_float(x->type->dtype))
            x->f[at + k] = float_max(x->f[at + k], rows->f[row + k]);
        else
            x->i[at + k] = int_max(x->i[at + k], rows->i[row + k]);
}

bool eval_gather(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    return visit_rows(e, op, in[0], in[1], out[0], row_get);
}

bool eval_scatter(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    const char *kind = op_string(op, ATTR_kind);
    memcpy(out[0]->i, in[0]->i, sizeof(int64_t) * (size_t)type_elements(in[0]->type));
    return visit_rows(e, op, out[0], in[1], in[2], *kind == 's' ? row_set : *kind == 'a' ? row_add : row_max);
}

/* An element of a line that is sorted. */
struct ranked {
    double f;
    int64_t i, index;
};

/* -1, 0, 1 for x before, beside, behind y; NaN is behind all. */
static int float_order(double x, double y) {
    return isnan(x) || isnan(y) ? isnan(x) - isnan(y) : (x > y) - (x < y);
}
static int ranked_ascending(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    int order = float_order(x->f, y->f);
    if (!order)
        order = (x->i > y->i) - (x->i < y->i);
    return order ? order : (x->index > y->index) - (x->index < y->index); /* stable */
}
static int ranked_descending(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    int order = isnan(x->f) || isnan(y->f) ? float_order(x->f, y->f) : float_order(y->f, x->f);
    if (!order)
        order = (y->i > x->i) - (y->i < x->i);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

bool eval_sort(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct walk w;
    int64_t n, stride;
    walk_lines(&w, e, in[0]->type, op_int(op, ATTR_axis), &n, &stride);
    struct ranked *line = EVAL_ARRAY(e, struct ranked, n);
    bool floats = dtype_is_float(in[0]->type->dtype);
    for (; w.left; walk_next(&w)) {
        for (int64_t k = 0; k < n; k++) {
            int64_t at = w.at[0] + k * stride;
            line[k] = (struct ranked){floats ? in[0]->f[at] : 0, floats ? 0 : in[0]->i[at], k};
        }
        qsort(line, (size_t)n, sizeof *line,
              op_int(op, ATTR_descending) ? ranked_descending : ranked_ascending);
        for (int64_t k = 0; k < n; k++) {
            element_copy(out[0], w.at[0] + k * stride, in[0], w.at[0] + line[k].index * stride);
            out[1]->i[w.at[0] + k * stride] = line[k].index;
        }
    }
    return true;
}

/* ---- gradients ---- */

static struct value *zeros_like(struct gradient *g, const struct value *x) {
    return build_full(g->b, x->type, 0);
}

/* `first`, and second where there is one, then op's indices from operand `from` on. */
static struct value *build_dynamic(struct gradient *g, enum opcode code, struct value *first,
                                   struct value *second, int from, const struct type *type) {
    int count = 0, indices = g->op->in_count - from;
    if (!first || (code == OP_dynamic_update && !second))
        return NULL;
    struct value **in = ARENA_ARRAY(g->scratch, struct value *, indices + 2);
    in[count++] = first;
    if (second)
        in[count++] = second;
    for (int k = from; k < g->op->in_count; k++)
        in[count++] = g->op->in[k];
    struct op *op = build_op(g->b, code, in, count, NULL, 0, &type, 1);
    return op ? op->out[0] : NULL;
}

bool grad_dynamic_slice(struct gradient *g) {
    if (!g->want[0])
        return true;
    struct value *x = g->op->in[0];
    g->dx[0] = build_dynamic(g, OP_dynamic_update, zeros_like(g, x), g->dy[0], 1, x->type);
    return g->dx[0] != NULL;
}

bool grad_dynamic_update(struct gradient *g) {
    struct value *x = g->op->in[0], *u = g->op->in[1];
    if (g->want[0] &&
        !(g->dx[0] = build_dynamic(g, OP_dynamic_update, g->dy[0], zeros_like(g, u), 2, x->type)))
        return false;
    return !g->want[1] || (g->dx[1] = build_dynamic(g, OP_dynamic_slice, g->dy[0], NULL, 2, u->type));
}

/* gather(x, .) and scatter(x, ., u) with the indices, axis and batch of op. */
static struct value *gather_like(struct gradient *g, struct value *x) {
    return build_gather(g->b, x, g->op->in[1], (int)op_int(g->op, ATTR_axis), (int)op_int(g->op, ATTR_batch));
}
static struct value *scatter_like(struct gradient *g, struct value *x, struct value *u, const char *kind) {
    return build_scatter(g->b, x, g->op->in[1], u, (int)op_int(g->op, ATTR_axis),
                         (int)op_int(g->op, ATTR_batch), kind);
}

bool grad_gather(struct gradient *g) {
    if (!g->want[0])
        return true;
    g->dx[0] = scatter_like(g, zeros_like(g, g->op->in[0]), g->dy[0], "add");
    return g->dx[0] != NULL;
}

/* Of rows with equal indices only the last one is seen in the result of scatter set: bool[u's type], true
 * there. Each row writes its number, and those who read their own again have won. NULL: reported. */
static struct value *rows_that_last(struct gradient *g) {
    struct builder *b = g->b;
    struct types *types = b->graph->types;
    struct value *index = g->op->in[1];
    const struct type *u = g->op->in[2]->type, *x = g->op->in[0]->type;
    int axis = (int)op_int(g->op, ATTR_axis), batch = (int)op_int(g->op, ATTR_batch);
    const struct dim **dims = ARENA_ARRAY(g->scratch, const struct dim *, batch + 1);
    for (int k = 0; k < batch; k++)
        dims[k] = index->type->dims[k];
    dims[batch] = x->dims[axis];
    const struct type *places = type_get(types, DTYPE_i32, batch + 1, dims);
    dims[batch] = dim_const(types, 1);
    for (int k = batch; k < index->type->rank; k++)
        dims[batch] = dim_mul(types, dims[batch], index->type->dims[k]);
    struct value *flat = build_reshape(b, index, batch + 1, dims);
    struct value *number = build_iota(b, type_get(types, DTYPE_i32, batch + 1, dims), batch);
    struct value *written = build_scatter(b, build_full(b, places, 0), flat, number, batch, batch, "set");
    struct value *won = build_binary(b, OP_eq, build_gather(b, written, flat, batch, batch), number);
    won = build_reshape(b, won, index->type->rank, index->type->dims);
    int64_t *axes = ARENA_ARRAY(g->scratch, int64_t, index->type->rank);
    for (int k = 0; k < index->type->rank; k++)
        axes[k] = k < batch ? k : axis + k - batch;
    return build_broadcast(b, won, type_with_dtype(types, u, DTYPE_bool), axes);
}

static bool grad_scatter_set(struct gradient *g) {
    const struct value *u = g->op->in[2];
    if (g->want[0] && !(g->dx[0] = scatter_like(g, g->dy[0], zeros_like(g, u), "set")))
        return false;
    if (!g->want[2])
        return true;
    struct value *rows = gather_like(g, g->dy[0]);
    if (g->op->in[1]->type->rank > op_int(g->op, ATTR_batch)) /* else one row only */
        rows = build_select(g->b, rows_that_last(g), rows, build_like(g->b, g->dy[0], 0));
    g->dx[2] = rows;
    return rows != NULL;
}

/* y = max of x and the rows that meet there: all that are equal to y share dy equally. */
static bool grad_scatter_max(struct gradient *g) {
    struct builder *b = g->b;
    struct value *x = g->op->in[0], *u = g->op->in[2], *y = g->op->out[0], *dy = g->dy[0];
    struct value *zero = build_like(b, dy, 0);
    struct value *x_wins = build_binary(b, OP_eq, x, y),
                 *u_wins = build_binary(b, OP_eq, u, gather_like(g, y));
    struct value *winners =
        scatter_like(g, build_cast(b, x_wins, x->type->dtype), build_cast(b, u_wins, x->type->dtype), "add");
    struct value *share = build_div(b, dy, winners);
    if (g->want[0] && !(g->dx[0] = build_select(b, x_wins, share, zero)))
        return false;
    return !g->want[2] || (g->dx[2] = build_select(b, u_wins, gather_like(g, share), zero));
}

bool grad_scatter(struct gradient *g) {
    const char *kind = op_string(g->op, ATTR_kind);
    if (*kind == 's')
        return grad_scatter_set(g);
    if (*kind == 'm')
        return grad_scatter_max(g);
    if (g->want[0])
        g->dx[0] = g->dy[0];
    return !g->want[2] || (g->dx[2] = gather_like(g, g->dy[0]));
}

/* x with `axis` moved to the end, or back again. */
static struct value *move_axis(struct gradient *g, struct value *x, int axis, bool back) {
    if (!x || axis == x->type->rank - 1)
        return x;
    int last = x->type->rank - 1;
    int64_t *perm = ARENA_ARRAY(g->scratch, int64_t, last + 1);
    for (int k = 0; k <= last; k++)
        perm[k] = back ? (k < axis ? k : k == axis ? last : k - 1) : (k < axis ? k : k < last ? k + 1 : axis);
    return build_transpose(g->b, x, perm);
}

struct value *scatter_lines(struct gradient *g, struct value *u, struct value *index, int axis) {
    struct value *rows = move_axis(g, u, axis, false);
    if (!rows)
        return NULL;
    int last = rows->type->rank - 1;
    struct value *sum = build_scatter(g->b, build_full(g->b, rows->type, 0), move_axis(g, index, axis, false),
                                      rows, last, last, "add");
    return move_axis(g, sum, axis, true);
}

/* The values went where the permutation says: dx[perm[k]] = dy[k]. */
bool grad_sort(struct gradient *g) {
    g->dx[0] = scatter_lines(g, g->dy[0], g->op->out[1], (int)op_int(g->op, ATTR_axis));
    return g->dx[0] != NULL;
}
