/* codegen/contract_dot.c: the axes of a dot. */
#include "codegen/contract_product.h"

static bool is_in(const int64_t *list, int count, int axis) {
    for (int i = 0; i < count; i++)
        if (list[i] == axis)
            return true;
    return false;
}

static void axes_reverse(struct axes *axes) {
    for (int i = 0; i < axes->count / 2; i++) {
        struct axis x = axes->at[i], *last = &axes->at[axes->count - 1 - i];
        axes->at[i] = *last;
        *last = x;
    }
}

/* The result is dense: batch axes, lhs's free ones, rhs's. They are gathered from its end. */
bool contract_dot(struct contraction *c) {
    const struct op *op = c->core;
    struct operand a, b;
    if (!operand_map(c->l, c->out, c->kernel, op->in[0], &a) ||
        !operand_map(c->l, c->out, c->kernel, op->in[1], &b))
        return false;
    int batches, contracted;
    const int64_t *lb = op_ints(op, ATTR_lhs_batch, &batches), *rb = op_ints(op, ATTR_rhs_batch, NULL);
    const int64_t *lc = op_ints(op, ATTR_lhs_contract, &contracted),
                  *rc = op_ints(op, ATTR_rhs_contract, NULL);
    struct axes m = {0}, n = {0}, k = {0}, grid = {0};
    int64_t stride = 1;
    for (int i = b.rank - 1; i >= 0; i--)
        if (!is_in(rb, batches, i) && !is_in(rc, contracted, i)) {
            axes_add(&n, b.size[i], 0, b.stride[i], stride);
            stride *= b.size[i];
        }
    for (int i = a.rank - 1; i >= 0; i--)
        if (!is_in(lb, batches, i) && !is_in(lc, contracted, i)) {
            axes_add(&m, a.size[i], a.stride[i], 0, stride);
            stride *= a.size[i];
        }
    for (int i = batches - 1; i >= 0; i--) {
        axes_add(&grid, a.size[lb[i]], a.stride[lb[i]], b.stride[rb[i]], stride);
        stride *= a.size[lb[i]];
    }
    for (int i = 0; i < contracted; i++)
        axes_add(&k, a.size[lc[i]], a.stride[lc[i]], b.stride[rc[i]], 0);
    axes_reverse(&m);
    axes_reverse(&n);
    axes_reverse(&grid);
    return contract_product(c, &a, &b, &m, &n, &k, &grid);
}
