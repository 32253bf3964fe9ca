/* ir/ops_dot.c: sums of products over any axes. */
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"
#include "ir/infer.h"

/* ---- inference ---- */

/* Floats give their own dtype, i8 gives i32. */
bool infer_product_dtype(struct graph *graph, struct op *op, struct diags *diags, enum dtype *out) {
    enum dtype x = op->in[0]->type->dtype, y = op->in[1]->type->dtype;
    if (x == y && (dtype_is_float(x) || x == DTYPE_i8)) {
        *out = x == DTYPE_i8 ? DTYPE_i32 : x;
        return true;
    }
    infer_error(graph, op, diags, E_DTYPE, "%s and %s: wants two of the same float dtype, or i8",
                type_name(graph, op->in[0]), type_name(graph, op->in[1]));
    return false;
}

/* Marks in `used` the axes of one side; false: reported. */
static bool mark_axes(struct graph *graph, struct op *op, struct diags *diags, int side, enum attr_name name,
                      bool *used) {
    int count, rank = op->in[side]->type->rank;
    const int64_t *axes = op_ints(op, name, &count);
    for (int i = 0; i < count; i++) {
        if (axes[i] < 0 || axes[i] >= rank) {
            infer_error(graph, op, diags, E_INDEX, "`%s`: axis %lld is not one of the axes of %s",
                        attr_text(name), (long long)axes[i], type_name(graph, op->in[side]));
            return false;
        }
        if (used[axes[i]]) {
            infer_error(graph, op, diags, E_INDEX, "`%s`: axis %lld is used twice", attr_text(name),
                        (long long)axes[i]);
            return false;
        }
        used[axes[i]] = true;
    }
    return true;
}

/* Two lists of axes, one for each side, must go together: as many, of equal sizes. */
static bool pair_axes(struct graph *graph, struct op *op, struct diags *diags, enum attr_name lhs,
                      enum attr_name rhs) {
    int m, n;
    const int64_t *x = op_ints(op, lhs, &m), *y = op_ints(op, rhs, &n);
    if (m != n) {
        infer_error(graph, op, diags, E_SHAPE, "`%s` has %d axes, but `%s` has %d", attr_text(lhs), m,
                    attr_text(rhs), n);
        return false;
    }
    for (int i = 0; i < m; i++)
        if (!infer_equal_dims(graph, op, diags, 0, (int)x[i], 1, (int)y[i]))
            return false;
    return true;
}

bool infer_dot(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *x = op->in[0]->type, *y = op->in[1]->type;
    enum dtype dtype;
    bool *used[2] = {ARENA_ARRAY(graph->arena, bool, x->rank), ARENA_ARRAY(graph->arena, bool, y->rank)};
    if (!infer_product_dtype(graph, op, diags, &dtype) ||
        !mark_axes(graph, op, diags, 0, ATTR_lhs_batch, used[0]) ||
        !mark_axes(graph, op, diags, 0, ATTR_lhs_contract, used[0]) ||
        !mark_axes(graph, op, diags, 1, ATTR_rhs_batch, used[1]) ||
        !mark_axes(graph, op, diags, 1, ATTR_rhs_contract, used[1]) ||
        !pair_axes(graph, op, diags, ATTR_lhs_batch, ATTR_rhs_batch) ||
        !pair_axes(graph, op, diags, ATTR_lhs_contract, ATTR_rhs_contract))
        return false;
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, x->rank + y->rank);
    int rank = 0, batch;
    const int64_t *batch_axes = op_ints(op, ATTR_lhs_batch, &batch);
    for (int i = 0; i < batch; i++)
        dims[rank++] = x->dims[batch_axes[i]];
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < op->in[side]->type->rank; i++)
            if (!used[side][i])
                dims[rank++] = op->in[side]->type->dims[i];
    return infer_result(op, type_get(graph->types, dtype, rank, dims));
}

/* ---- values ----
 *
 * Operands are packed into rows, so that the innermost loop runs over neighbours. Sums are doubles (integers:
 * int64), rounded to the dtype once at the end. */

/* The elements of a tensor with its axes in the given order. */
static struct tensor *pack(struct eval *e, const struct tensor *tensor, const int64_t *order) {
    const int64_t *strides = type_strides(e, tensor->type);
    struct tensor *packed = EVAL_ARRAY(e, struct tensor, 1);
    *packed = *tensor; /* its type names the dtype; the shape is the caller's affair */
    packed->i = EVAL_ARRAY(e, int64_t, type_elements(tensor->type));
    struct walk w;
    walk_init(&w, e, tensor->type->rank);
    for (int axis = 0; axis < w.rank; axis++) {
        w.size[axis] = type_size(tensor->type, (int)order[axis]);
        w.stride[0][axis] = strides[order[axis]];
    }
    int64_t k = 0;
    for (walk_start(&w); w.left; walk_next(&w))
        element_copy(packed, k++, tensor, w.at[0]);
    return packed;
}

/* The axes of one side of a dot in three groups. */
struct dot_side {
    const int64_t *batch, *contract, *free;
    int batch_count, contract_count, free_count;
};

static bool has_axis(const int64_t *axes, int count, int64_t axis) {
    for (int k = 0; k < count; k++)
        if (axes[k] == axis)
            return true;
    return false;
}

/* free is taken from memory for as many axes as the side has. */
static struct dot_side dot_side_of(const struct op *op, int side, int64_t *free) {
    struct dot_side s = {.free = free};
    s.batch = op_ints(op, side ? ATTR_rhs_batch : ATTR_lhs_batch, &s.batch_count);
    s.contract = op_ints(op, side ? ATTR_rhs_contract : ATTR_lhs_contract, &s.contract_count);
    for (int64_t axis = 0; axis < op->in[side]->type->rank; axis++)
        if (!has_axis(s.batch, s.batch_count, axis) && !has_axis(s.contract, s.contract_count, axis))
            free[s.free_count++] = axis;
    return s;
}

static int64_t sizes_product(const struct type *type, const int64_t *axes, int count) {
    int64_t product = 1;
    for (int k = 0; k < count; k++)
        product *= type_size(type, (int)axes[k]);
    return product;
}

/* c[m, n] += sum_k a[m, k] b[k, n] */
#define MULTIPLY(name, ctype)                                                                                \
    static void multiply_##name(int64_t m, int64_t n, int64_t k, const ctype *restrict a,                    \
                                const ctype *restrict b, ctype *restrict c) {                                \
        for (int64_t i = 0; i < m; i++)                                                                      \
            for (int64_t j = 0; j < k; j++)                                                                  \
                for (int64_t l = 0; l < n; l++)                                                              \
                    c[i * n + l] += a[i * k + j] * b[j * n + l];                                             \
    }
MULTIPLY(floats, double)
MULTIPLY(ints, int64_t)

bool eval_dot(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct tensor *packed[2];
    int64_t batch = 1, contract = 1, free[2];
    for (int side = 0; side < 2; side++) {
        const struct type *type = op->in[side]->type;
        struct dot_side s = dot_side_of(op, side, EVAL_ARRAY(e, int64_t, type->rank));
        int64_t *order = EVAL_ARRAY(e, int64_t, type->rank), *at = order;
        for (int k = 0; k < s.batch_count; k++)
            *at++ = s.batch[k];
        for (int k = 0; k < s.contract_count && side; k++)
            *at++ = s.contract[k];
        for (int k = 0; k < s.free_count; k++)
            *at++ = s.free[k];
        for (int k = 0; k < s.contract_count && !side; k++)
            *at++ = s.contract[k];
        packed[side] = pack(e, in[side], order);
        batch = sizes_product(type, s.batch, s.batch_count);
        contract = sizes_product(type, s.contract, s.contract_count);
        free[side] = sizes_product(type, s.free, s.free_count);
    }
    int64_t m = free[0], n = free[1];
    for (int64_t b = 0; b < batch; b++) {
        int64_t lhs = b * m * contract, rhs = b * contract * n, y = b * m * n;
        if (dtype_is_float(op->in[0]->type->dtype))
            multiply_floats(m, n, contract, packed[0]->f + lhs, packed[1]->f + rhs, out[0]->f + y);
        else
            multiply_ints(m, n, contract, packed[0]->i + lhs, packed[1]->i + rhs, out[0]->i + y);
    }
    return true;
}

/* ---- gradients of dot ---- */

/* The operand's axes in the order in which dot(dy, other) gives them: the batch, its own free ones, and those
 * that were contracted, in the order of the other's axes; dot(other, dy) gives the contracted ones before the
 * free ones. */
static int64_t *product_order(struct gradient *g, const struct dot_side *own, const struct dot_side *other,
                              int other_rank, bool free_first) {
    int64_t *order =
                ARENA_ARRAY(g->scratch, int64_t, own->batch_count + own->free_count + own->contract_count),
            *at = order;
    for (int k = 0; k < own->batch_count; k++)
        *at++ = own->batch[k];
    for (int k = 0; k < own->free_count && free_first; k++)
        *at++ = own->free[k];
    for (int64_t axis = 0; axis < other_rank; axis++)
        for (int k = 0; k < own->contract_count; k++)
            if (other->contract[k] == axis)
                *at++ = own->contract[k];
    for (int k = 0; k < own->free_count && !free_first; k++)
        *at++ = own->free[k];
    return order;
}

/* The gradient by one side is dy times the other side, contracted over the other's free axes. Of both orders
 * of the product that one is taken which needs no transpose, if there is one. */
static struct value *dot_gradient(struct gradient *g, int side) {
    struct op *op = g->op;
    struct value *dy = g->dy[0], *y = op->in[1 - side];
    int rank = op->in[side]->type->rank;
    struct dot_side own = dot_side_of(op, side, ARENA_ARRAY(g->scratch, int64_t, rank));
    struct dot_side other = dot_side_of(op, 1 - side, ARENA_ARRAY(g->scratch, int64_t, y->type->rank));
    const int64_t *dy_batch = axes_counting(g->scratch, 0, own.batch_count);
    const int64_t *dy_free =
        axes_counting(g->scratch, own.batch_count + (side ? 0 : own.free_count), other.free_count);
    int64_t *free_last = product_order(g, &own, &other, y->type->rank, false);
    bool flipped = axes_are_ascending(free_last, rank);
    int64_t *order = flipped ? free_last : product_order(g, &own, &other, y->type->rank, true);
    struct value *dx = flipped ? build_dot(g->b, y, dy, other.batch, dy_batch, own.batch_count, other.free,
                                           dy_free, other.free_count)
                               : build_dot(g->b, dy, y, dy_batch, other.batch, own.batch_count, dy_free,
                                           other.free, other.free_count);
    if (axes_are_ascending(order, rank))
        return dx;
    int64_t *perm = ARENA_ARRAY(g->scratch, int64_t, rank);
    for (int k = 0; k < rank; k++)
        perm[order[k]] = k;
    return build_transpose(g->b, dx, perm);
}

bool grad_dot(struct gradient *g) {
    for (int side = 0; side < 2; side++)
        if (g->want[side] && !(g->dx[side] = dot_gradient(g, side)))
            return false;
    return true;
}
