/* frontend/onnx/emit_contract.c: products and convolutions. */
#include "onnx/emit_contract.h"

#include <string.h>

/* ---- dot ---- */

/* One side of a product: its axes in the order batch, rows, summed (or batch, summed, rows). */
struct side {
    const struct type *type;
    const int64_t *batch, *summed;
    int batch_count, summed_count, row_count;
    int64_t rows[16];
};

static struct side side_of(const struct op *op, int operand) {
    struct side s = {.type = op->in[operand]->type};
    s.batch = op_ints(op, operand ? ATTR_rhs_batch : ATTR_lhs_batch, &s.batch_count);
    s.summed = op_ints(op, operand ? ATTR_rhs_contract : ATTR_lhs_contract, &s.summed_count);
    for (int i = 0; i < s.type->rank; i++) {
        bool is_row = true;
        for (int k = 0; k < s.batch_count; k++)
            is_row &= s.batch[k] != i;
        for (int k = 0; k < s.summed_count; k++)
            is_row &= s.summed[k] != i;
        if (is_row && s.row_count < 16)
            s.rows[s.row_count++] = i;
    }
    return s;
}

static int64_t product(const struct type *type, const int64_t *axes, int count) {
    int64_t n = 1;
    for (int i = 0; i < count; i++)
        n *= type_size(type, (int)axes[i]);
    return n;
}

/* The operand as [batch.., rows, summed], or, for the right side, [batch.., summed, rows]. Several rows of
 * the left side may stay as they are where there is no batch: MatMul takes them for one. */
static const char *matrix_name(struct emission *e, const char *name, const struct side *s, bool is_right,
                               bool keeps_rows) {
    int64_t perm[16], sizes[18];
    int n = 0;
    const int64_t *first = is_right ? s->summed : s->rows, *second = is_right ? s->rows : s->summed;
    int first_count = is_right ? s->summed_count : s->row_count,
        second_count = is_right ? s->row_count : s->summed_count;
    for (int i = 0; i < s->batch_count; i++) {
        sizes[n] = type_size(s->type, (int)s->batch[i]);
        perm[n++] = s->batch[i];
    }
    for (int i = 0; i < first_count; i++)
        perm[n++] = first[i];
    for (int i = 0; i < second_count; i++)
        perm[n++] = second[i];
    name = onnx_transpose(e, name, n, perm);
    if (s->summed_count == 1 && (s->row_count == 1 || keeps_rows))
        return name;
    sizes[s->batch_count] = product(s->type, first, first_count);
    sizes[s->batch_count + 1] = product(s->type, second, second_count);
    return onnx_reshape(e, name, s->batch_count + 2, sizes);
}

bool onnx_dot(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    struct side l = side_of(op, 0), r = side_of(op, 1);
    const struct type *type = op->out[0]->type;
    if (l.type->rank > 16 || r.type->rank > 16)
        return onnx_refuse(e, op, "a product has more than 16 axes");
    bool keeps_rows = l.batch_count == 0 && r.row_count == 1 && l.row_count > 1 && l.summed_count == 1;
    const char *x = onnx_name(e, op->in[0]), *y = onnx_name(e, op->in[1]);
    if (type->dtype != op->in[0]->type->dtype) { /* i8 sums up in i32 */
        x = onnx_cast(e, x, type->dtype);
        y = onnx_cast(e, y, type->dtype);
    }
    const char *name =
        onnx_two(e, "MatMul", matrix_name(e, x, &l, false, keeps_rows), matrix_name(e, y, &r, true, false));
    if (!keeps_rows && (l.row_count != 1 || r.row_count != 1))
        name = onnx_reshape(e, name, type->rank, onnx_sizes(e, type));
    onnx_define(e, op->out[0], name);
    return true;
}

bool onnx_is_gemm(const struct op *op) {
    struct side l = side_of(op, 0), r = side_of(op, 1);
    return op->in[0]->type->rank == 2 && op->in[1]->type->rank == 2 && l.batch_count == 0 &&
           l.summed_count == 1 && r.summed_count == 1 && dtype_is_float(op->out[0]->type->dtype);
}

const char *onnx_gemm(struct emission *e, const struct op *op, const char *bias) {
    struct side l = side_of(op, 0), r = side_of(op, 1);
    struct onnx_node n = onnx_node(e, "Gemm", onnx_name(e, op->in[0]), onnx_name(e, op->in[1]), bias, NULL);
    onnx_int(e, n, "transA", l.summed[0] == 0);
    onnx_int(e, n, "transB", r.summed[0] == 1);
    return n.out;
}

/* ---- conv ---- */

/* What is left of the image where padding is negative. */
static const char *cut_image(struct emission *e, const struct op *op, struct conv_attrs *c,
                             const struct type **type) {
    int64_t *start = ARENA_ARRAY(e->arena, int64_t, c->rank + 2), *sizes = onnx_sizes(e, op->in[0]->type);
    for (int i = 0; i < c->rank; i++) {
        int64_t lo = c->pad_lo[i] < 0 ? -c->pad_lo[i] : 0, hi = c->pad_hi[i] < 0 ? -c->pad_hi[i] : 0;
        start[i + 2] = lo;
        sizes[i + 2] -= lo + hi;
        c->pad_lo[i] += lo;
        c->pad_hi[i] += hi;
    }
    *type = type_of_sizes(e->graph->types, op->in[0]->type->dtype, c->rank + 2, sizes);
    return onnx_slice(e, onnx_name(e, op->in[0]), op->in[0]->type, start, sizes, NULL);
}

static void conv_pads(struct emission *e, struct onnx_node n, const struct conv_attrs *c, const int64_t *lo,
                      const int64_t *hi) {
    int64_t pads[6];
    memcpy(pads, lo, sizeof *lo * (size_t)c->rank);
    memcpy(pads + c->rank, hi, sizeof *hi * (size_t)c->rank);
    onnx_ints(e, n, "pads", pads, 2 * c->rank);
}

static const char *onnx_plain_conv(struct emission *e, const struct op *op, struct conv_attrs *c,
                                   const char *bias) {
    const struct type *type, *w = op->in[1]->type;
    const char *x = cut_image(e, op, c, &type);
    struct onnx_node n = onnx_node(e, "Conv", x, onnx_name(e, op->in[1]), bias, NULL);
    onnx_ints(e, n, "kernel_shape", onnx_sizes(e, w) + 2, c->rank);
    onnx_ints(e, n, "strides", c->stride, c->rank);
    onnx_ints(e, n, "dilations", c->dilation, c->rank);
    onnx_int(e, n, "group", c->groups);
    conv_pads(e, n, c, c->pad_lo, c->pad_hi);
    return n.out;
}

/* conv's weights [G O, C, k..] as ConvTranspose has them: [G C, O, k.. from the end]. */
static const char *transposed_kernel(struct emission *e, const struct op *op, const struct conv_attrs *c) {
    const struct type *w = op->in[1]->type;
    int rank = w->rank;
    int64_t *sizes = onnx_sizes(e, w), start[5] = {0}, step[5] = {1, 1, -1, -1, -1};
    for (int i = 2; i < rank; i++)
        start[i] = sizes[i] - 1;
    const char *name = onnx_slice(e, onnx_name(e, op->in[1]), w, start, sizes, step);
    int64_t split[6] = {c->groups, sizes[0] / c->groups, sizes[1]}, perm[6] = {0, 2, 1, 3, 4, 5},
            joined[5] = {c->groups * sizes[1], sizes[0] / c->groups};
    for (int i = 2; i < rank; i++)
        split[i + 1] = joined[i] = sizes[i];
    name = onnx_transpose(e, onnx_reshape(e, name, rank + 1, split), rank + 1, perm);
    return onnx_reshape(e, name, rank, joined);
}

/* A spread image under a kernel k that covers (k - 1) d more: ConvTranspose with that less the padding.
 * false: it cannot be said so. */
static bool transposed_pads(const struct op *op, const struct conv_attrs *c, int64_t *lo, int64_t *hi,
                            int64_t *more) {
    for (int i = 0; i < c->rank; i++) {
        int64_t reach = (type_size(op->in[1]->type, i + 2) - 1) * c->dilation[i];
        lo[i] = reach - c->pad_lo[i];
        hi[i] = reach - c->pad_hi[i];
        more[i] = hi[i] < 0 ? -hi[i] : 0;
        hi[i] += more[i];
        if (lo[i] < 0 || c->stride[i] != 1 || more[i] >= c->lhs_dilation[i])
            return false;
    }
    return true;
}

/* The image with zeros between its pixels, for a conv that is no ConvTranspose. */
static const char *spread_conv(struct emission *e, const struct op *op, const struct conv_attrs *c,
                               const char *bias);

/* A few pixels that padding makes many: most products are with zeros, which ConvTranspose does not meet. */
static bool grows(const struct op *op) {
    const struct type *x = op->in[0]->type, *y = op->out[0]->type;
    double before = 1, after = 1;
    for (int i = 2; i < x->rank; i++) {
        before *= (double)type_size(x, i);
        after *= (double)type_size(y, i);
    }
    return after > 2 * before;
}

const char *onnx_convolution(struct emission *e, const struct op *op, const char *bias) {
    struct conv_attrs c;
    int64_t lo[3], hi[3], more[3];
    bool is_spread = false;
    conv_attrs_get(op, &c);
    for (int i = 0; i < c.rank; i++)
        is_spread |= c.lhs_dilation[i] != 1;
    bool may = transposed_pads(op, &c, lo, hi, more);
    if (!is_spread && !(may && grows(op)))
        return onnx_plain_conv(e, op, &c, bias);
    if (!may)
        return spread_conv(e, op, &c, bias);
    struct onnx_node n =
        onnx_node(e, "ConvTranspose", onnx_name(e, op->in[0]), transposed_kernel(e, op, &c), bias, NULL);
    onnx_ints(e, n, "kernel_shape", onnx_sizes(e, op->in[1]->type) + 2, c.rank);
    onnx_ints(e, n, "strides", c.lhs_dilation, c.rank);
    onnx_ints(e, n, "dilations", c.dilation, c.rank);
    onnx_ints(e, n, "output_padding", more, c.rank);
    onnx_int(e, n, "group", c.groups);
    conv_pads(e, n, &c, lo, hi);
    return n.out;
}

static const char *spread_conv(struct emission *e, const struct op *op, const struct conv_attrs *c,
                               const char *bias) {
    const struct type *type = op->in[0]->type;
    int64_t *sizes = onnx_sizes(e, type);
    const char *x = onnx_name(e, op->in[0]);
    for (int i = 0; i < c->rank; i++) {
        if (sizes[i + 2] < 2 || c->lhs_dilation[i] == 1)
            continue;
        const struct type *now = type_of_sizes(e->graph->types, type->dtype, type->rank, sizes);
        x = onnx_spread(e, x, now, i + 2, c->lhs_dilation[i] - 1, 0);
        sizes[i + 2] += (sizes[i + 2] - 1) * (c->lhs_dilation[i] - 1);
    }
    int64_t start[5] = {0}, lo[5] = {0}, hi[5] = {0};
    const struct type *wide = type_of_sizes(e->graph->types, type->dtype, type->rank, sizes);
    for (int i = 0; i < c->rank; i++) {
        start[i + 2] = c->pad_lo[i] < 0 ? -c->pad_lo[i] : 0;
        sizes[i + 2] -= start[i + 2] + (c->pad_hi[i] < 0 ? -c->pad_hi[i] : 0);
        lo[i] = c->pad_lo[i] < 0 ? 0 : c->pad_lo[i];
        hi[i] = c->pad_hi[i] < 0 ? 0 : c->pad_hi[i];
    }
    x = onnx_slice(e, x, wide, start, sizes, NULL);
    struct onnx_node n = onnx_node(e, "Conv", x, onnx_name(e, op->in[1]), bias, NULL);
    onnx_ints(e, n, "strides", c->stride, c->rank);
    onnx_ints(e, n, "dilations", c->dilation, c->rank);
    onnx_int(e, n, "group", c->groups);
    conv_pads(e, n, c, lo, hi);
    return n.out;
}

bool onnx_conv(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    onnx_define(e, op->out[0], onnx_convolution(e, op, NULL));
    return true;
}
