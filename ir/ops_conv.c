/* ir/ops_conv.c: convolutions and their gradient by the weights. */
#include "ir/build.h"
#include "ir/evaluate.h"
#include "ir/gradient_rules.h"
#include "ir/infer.h"

/* ---- inference ---- */

static bool check_conv_attrs(struct graph *graph, struct op *op, struct diags *diags, int rank) {
    if (rank < 1 || rank > 3) {
        infer_error(graph, op, diags, E_SHAPE, "wants [batch, channel, 1 to 3 axes], but got %s",
                    type_name(graph, op->in[0]));
        return false;
    }
    if (op_int(op, ATTR_groups) < 1) {
        infer_error(graph, op, diags, E_INDEX, "groups must be 1 or more");
        return false;
    }
    return infer_list(graph, op, diags, ATTR_stride, rank, 1) &&
           infer_list(graph, op, diags, ATTR_dilation, rank, 1) &&
           infer_list(graph, op, diags, ATTR_lhs_dilation, rank, 1) &&
           infer_list(graph, op, diags, ATTR_pad_lo, rank, INT64_MIN) &&
           infer_list(graph, op, diags, ATTR_pad_hi, rank, INT64_MIN);
}

void conv_attrs_get(const struct op *op, struct conv_attrs *out) {
    int rank;
    const int64_t *stride = op_ints(op, ATTR_stride, &rank);
    *out = (struct conv_attrs){.rank = rank, .groups = op_int(op, ATTR_groups)};
    for (int i = 0; i < rank; i++) {
        out->stride[i] = stride[i];
        out->pad_lo[i] = op_ints(op, ATTR_pad_lo, NULL)[i];
        out->pad_hi[i] = op_ints(op, ATTR_pad_hi, NULL)[i];
        out->dilation[i] = op_ints(op, ATTR_dilation, NULL)[i];
        out->lhs_dilation[i] = op_ints(op, ATTR_lhs_dilation, NULL)[i];
    }
}

/* The extent of spatial axis i: (n - 1) * lhs_dilation + 1, and the padding. */
static const struct dim *padded_extent(struct types *types, const struct dim *n, const struct conv_attrs *c,
                                       int i) {
    if (c->lhs_dilation[i] != 1) {
        const struct dim *gaps =
            dim_mul(types, dim_sub(types, n, dim_const(types, 1)), dim_const(types, c->lhs_dilation[i]));
        n = dim_add(types, gaps, dim_const(types, 1));
    }
    return dim_add(types, n, dim_add(types, dim_const(types, c->pad_lo[i]), dim_const(types, c->pad_hi[i])));
}

/* [B, 28, 28, 3], as other libraries have it. */
static bool looks_channels_last(const struct type *x) {
    return x->rank == 4 && dim_is_const(x->dims[3]) && dim_value(x->dims[3]) <= 4 && x->dims[1] == x->dims[2];
}

/* The type of conv(x, w) by op's attributes; NULL: reported. x f[B, C, n..], w f[O, C/groups, k..] -> f[B, O,
 * p..]. */
static const struct type *conv_type(struct graph *graph, struct op *op, struct diags *diags,
                                    const struct type *x, const struct type *w) {
    struct types *types = graph->types;
    int rank = x->rank - 2;
    if (!check_conv_attrs(graph, op, diags, rank))
        return NULL;
    struct conv_attrs c;
    conv_attrs_get(op, &c);
    const struct dim *groups = dim_const(types, c.groups);
    if (w->rank != x->rank || dim_mul(types, w->dims[1], groups) != x->dims[1]) {
        struct diag *diag = infer_error(
            graph, op, diags, E_SHAPE, "a kernel of %s does not fit an image of %s in %lld group%s",
            type_text(types, w), type_text(types, x), (long long)c.groups, c.groups == 1 ? "" : "s");
        diag_hint(diag,
                  "an image is [batch, channels, sizes ...], a kernel [out, channels / groups, sizes ...]");
        return NULL;
    }
    if (dim_is_const(w->dims[0]) && dim_value(w->dims[0]) % c.groups != 0) {
        infer_error(graph, op, diags, E_SHAPE, "%s output channels are not divisible into %lld groups",
                    dim_name(graph, w->dims[0]), (long long)c.groups);
        return NULL;
    }
    const struct dim *dims[5] = {x->dims[0], w->dims[0]};
    for (int i = 0; i < rank; i++) {
        const struct dim *extent = padded_extent(types, x->dims[i + 2], &c, i);
        dims[i + 2] = window_places(types, extent, w->dims[i + 2], c.stride[i], c.dilation[i]);
        if (dims[i + 2])
            continue;
        struct diag *diag = infer_error(
            graph, op, diags, E_SHAPE,
            "a window of %s with dilation %lld does not fit the padded axis %d of %s, which is %s",
            dim_name(graph, w->dims[i + 2]), (long long)c.dilation[i], i + 2, type_text(types, x),
            dim_name(graph, extent));
        if (looks_channels_last(x))
            diag_hint(diag,
                      "images are [B, C, H, W]: transpose(x, [0, 3, 1, 2]) brings the channels in front");
        return NULL;
    }
    return type_with_dims(types, x, x->rank, dims);
}

static bool check_floats(struct graph *graph, struct op *op, struct diags *diags) {
    enum dtype dtype;
    if (!infer_product_dtype(graph, op, diags, &dtype))
        return false;
    if (dtype_is_float(dtype))
        return true;
    infer_error(graph, op, diags, E_DTYPE, "wants floats, but got %s", type_name(graph, op->in[0]));
    return false;
}

bool infer_conv(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type =
        check_floats(graph, op, diags) ? conv_type(graph, op, diags, op->in[0]->type, op->in[1]->type) : NULL;
    return type && infer_result(op, type);
}

bool infer_conv_wgrad(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *w = infer_declared_type(graph, op, diags);
    if (!w || !check_floats(graph, op, diags))
        return false;
    const struct type *y = conv_type(graph, op, diags, op->in[0]->type, w);
    if (!y)
        return false;
    if (op->in[1]->type == y && w->dtype == y->dtype)
        return true;
    infer_error(graph, op, diags, E_SHAPE, "for a kernel of %s the gradient must be %s, but is %s",
                type_text(graph->types, w), type_text(graph->types, y), type_name(graph, op->in[1]));
    return false;
}

/* ---- values: sums are doubles, rounded to the dtype once at the end ---- */

/* A convolution with its sizes, brought to three spatial axes by axes of size 1 in front. */
struct convolution {
    struct conv_attrs a;
    int64_t batch, channels, filters, image[3], kernel[3], result[3];
    int64_t *place[3]; /* [kernel][result]: which element of the image meets there, or -1 */
};

static struct convolution convolution_of(struct eval *e, const struct op *op, const struct type *x,
                                         const struct type *w, const struct type *y) {
    struct convolution c = {
        .batch = type_size(x, 0), .channels = type_size(x, 1), .filters = type_size(w, 0)};
    conv_attrs_get(op, &c.a);
    int missing = 3 - c.a.rank;
    for (int axis = 0; axis < 3; axis++) {
        int own = axis - missing;
        c.image[axis] = own < 0 ? 1 : type_size(x, own + 2);
        c.kernel[axis] = own < 0 ? 1 : type_size(w, own + 2);
        c.result[axis] = own < 0 ? 1 : type_size(y, own + 2);
        c.place[axis] = EVAL_ARRAY(e, int64_t, c.kernel[axis] * c.result[axis]);
        for (int64_t k = 0; own >= 0 && k < c.kernel[axis]; k++)
            for (int64_t p = 0; p < c.result[axis]; p++) {
                int64_t at = p * c.a.stride[own] + k * c.a.dilation[own] - c.a.pad_lo[own],
                        gap = c.a.lhs_dilation[own];
                bool inside = at >= 0 && at % gap == 0 && at / gap < c.image[axis];
                c.place[axis][k * c.result[axis] + p] = inside ? at / gap : -1;
            }
    }
    return c;
}

/* Meets every product: row(c, one row of the image, one weight, one row of the result, the places of the
 * row). */
typedef void convolution_row(const struct convolution *c, double *x, double *w, double *y,
                             const int64_t *place);

/* For one image b, one filter o and one input channel j of its group. */
static void convolve_plane(const struct convolution *c, double *x, double *w, double *y,
                           convolution_row *row) {
    const int64_t *k = c->kernel, *p = c->result, *n = c->image;
    for (int64_t k0 = 0; k0 < k[0]; k0++)
        for (int64_t k1 = 0; k1 < k[1]; k1++)
            for (int64_t k2 = 0; k2 < k[2]; k2++)
                for (int64_t p0 = 0; p0 < p[0]; p0++)
                    for (int64_t p1 = 0; p1 < p[1]; p1++) {
                        int64_t x0 = c->place[0][k0 * p[0] + p0], x1 = c->place[1][k1 * p[1] + p1];
                        if (x0 >= 0 && x1 >= 0)
                            row(c, x + (x0 * n[1] + x1) * n[2], w + (k0 * k[1] + k1) * k[2] + k2,
                                y + (p0 * p[1] + p1) * p[2], c->place[2] + k2 * p[2]);
                    }
}

static void convolve(const struct convolution *c, double *x, double *w, double *y, convolution_row *row) {
    int64_t inputs = c->channels / c->a.groups, outputs = c->filters / c->a.groups;
    int64_t image = c->image[0] * c->image[1] * c->image[2],
            kernel = c->kernel[0] * c->kernel[1] * c->kernel[2];
    int64_t result = c->result[0] * c->result[1] * c->result[2];
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t o = 0; o < c->filters; o++)
            for (int64_t j = 0; j < inputs; j++) {
                int64_t channel = o / outputs * inputs + j;
                convolve_plane(c, x + (b * c->channels + channel) * image, w + (o * inputs + j) * kernel,
                               y + (b * c->filters + o) * result, row);
            }
}

static void row_forward(const struct convolution *c, double *x, double *w, double *y, const int64_t *place) {
    for (int64_t p = 0; p < c->result[2]; p++)
        if (place[p] >= 0)
            y[p] += x[place[p]] * *w;
}

static void row_weight(const struct convolution *c, double *x, double *w, double *y, const int64_t *place) {
    for (int64_t p = 0; p < c->result[2]; p++)
        if (place[p] >= 0)
            *w += x[place[p]] * y[p];
}

bool eval_conv(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct convolution c = convolution_of(e, op, in[0]->type, in[1]->type, out[0]->type);
    convolve(&c, in[0]->f, in[1]->f, out[0]->f, row_forward);
    return true;
}

bool eval_conv_wgrad(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct convolution c = convolution_of(e, op, in[0]->type, out[0]->type, in[1]->type);
    convolve(&c, in[0]->f, out[0]->f, in[1]->f, row_weight);
    return true;
}

/* ---- gradients of convolutions ---- */

/* w[O, C/G, k..] -> [C, O/G, k..], group by group. */
static struct value *swapped_channels(struct gradient *g, struct value *w, int64_t groups) {
    struct types *types = g->b->graph->types;
    int rank = w->type->rank;
    if (groups == 1) {
        int64_t *swap = axes_counting(g->scratch, 0, rank);
        swap[0] = 1;
        swap[1] = 0;
        return build_transpose(g->b, w, swap);
    }
    const struct dim *group_dim = dim_const(types, groups);
    const struct dim *filters = dim_div(types, w->type->dims[0], group_dim);
    const struct dim **dims = ARENA_ARRAY(g->scratch, const struct dim *, rank + 1);
    int64_t *perm = axes_counting(g->scratch, 0, rank + 1);
    dims[0] = group_dim;
    dims[1] = filters;
    for (int axis = 1; axis < rank; axis++)
        dims[axis + 1] = w->type->dims[axis];
    perm[1] = 2;
    perm[2] = 1;
    struct value *split = build_transpose(g->b, build_reshape(g->b, w, rank + 1, dims), perm);
    dims[1] = dim_mul(types, group_dim, w->type->dims[1]);
    dims[2] = filters;
    return build_reshape(g->b, split, rank, dims + 1);
}

/* The weights of the convolution that goes back: channels swapped and the kernel turned round. */
static struct value *turned_weights(struct gradient *g, struct value *w, int64_t groups) {
    return build_flip(g->b, swapped_channels(g, w, groups), 2, w->type->rank - 2, g->scratch);
}

/* The gradient of sum(conv(x, w) * dy) by x. With q the places of x spread by its dilation,
 *     dx[q] = sum_k dy~[q + lo - k d] w[k],   dy~ = dy spread by the stride,
 * which with k' = K - 1 - k is a convolution of dy~ with the turned kernel, lo' = (K - 1) d - lo, that takes
 * each lhs_dilation-th place; hi' follows from the size of x. NULL: reported. */
static struct value *conv_back(struct gradient *g, const struct type *x, struct value *w, struct value *dy) {
    struct types *types = g->b->graph->types;
    struct conv_attrs a, back;
    conv_attrs_get(g->op, &a);
    back = a;
    const struct dim *one = dim_const(types, 1);
    for (int k = 0; k < a.rank; k++) {
        back.stride[k] = a.lhs_dilation[k];
        back.lhs_dilation[k] = a.stride[k];
        const struct dim *reach =
            dim_mul(types, dim_sub(types, w->type->dims[k + 2], one), dim_const(types, a.dilation[k]));
        const struct dim *lo = dim_sub(types, reach, dim_const(types, a.pad_lo[k]));
        /* (X - 1) L + 1 places must come out of (P - 1) s + 1, lo', hi' and a window that reaches over K'
         * more */
        const struct dim *places =
            dim_mul(types, dim_sub(types, x->dims[k + 2], one), dim_const(types, a.lhs_dilation[k]));
        const struct dim *have =
            dim_mul(types, dim_sub(types, dy->type->dims[k + 2], one), dim_const(types, a.stride[k]));
        const struct dim *hi = dim_sub(types, dim_add(types, places, reach), dim_add(types, have, lo));
        if (!dim_is_const(lo) || !dim_is_const(hi)) {
            diag_error_at(g->b->diags, g->op->site, E_GRAD,
                          "the gradient of this convolution wants a padding of %s, which must be a number: "
                          "bind the sizes first",
                          dim_text(types, dim_is_const(lo) ? hi : lo));
            return NULL;
        }
        back.pad_lo[k] = dim_value(lo);
        back.pad_hi[k] = dim_value(hi);
    }
    return build_conv(g->b, dy, turned_weights(g, w, a.groups), &back);
}

/* A transposed convolution (stride 1 over a spread x): its weights' gradient by conv_wgrad meets zeros most
 * of the time. Place p of dy meets element i of x under tap k where p = i L - k d + lo, so with k' = K - 1 -
 * k and without zeros dw[o, c, k] = sum_{b,i} dy[b, o, i L + k' d - lo'] x[b, c, i],   lo' = (K - 1) d - lo:
 * the gradient of a convolution of dy with stride L, turned round. */
static bool is_transposed_conv(const struct conv_attrs *a, const struct type *w) {
    bool spreads = false;
    for (int k = 0; k < a->rank; k++) {
        if (a->stride[k] != 1 || !dim_is_const(w->dims[k + 2]))
            return false;
        spreads = spreads || a->lhs_dilation[k] != 1;
    }
    return spreads && a->groups == 1;
}

static struct value *weights_back(struct gradient *g, struct value *x, const struct type *w, struct value *dy,
                                  const struct conv_attrs *a) {
    if (!is_transposed_conv(a, w))
        return build_conv_wgrad(g->b, x, dy, w, a);
    struct conv_attrs back = *a;
    const struct dim **dims = ARENA_ARRAY(g->scratch, const struct dim *, w->rank);
    for (int k = 0; k < w->rank; k++)
        dims[k] = w->dims[k < 2 ? 1 - k : k];
    for (int k = 0; k < a->rank; k++) {
        int64_t reach = (dim_value(w->dims[k + 2]) - 1) * a->dilation[k];
        back.stride[k] = a->lhs_dilation[k];
        back.lhs_dilation[k] = 1;
        back.pad_lo[k] = reach - a->pad_lo[k];
        back.pad_hi[k] = reach - a->pad_hi[k];
    }
    const struct type *swapped = type_with_dims(g->b->graph->types, w, w->rank, dims);
    struct value *dw = build_conv_wgrad(g->b, dy, x, swapped, &back);
    return dw ? turned_weights(g, dw, 1) : NULL;
}

bool grad_conv(struct gradient *g) {
    struct value *x = g->op->in[0], *w = g->op->in[1];
    struct conv_attrs a;
    conv_attrs_get(g->op, &a);
    if (g->want[0] && !(g->dx[0] = conv_back(g, x->type, w, g->dy[0])))
        return false;
    return !g->want[1] || (g->dx[1] = weights_back(g, x, w->type, g->dy[0], &a));
}

/* sum(conv_wgrad(x, dy) * v) = sum(conv(x, v) * dy) */
bool grad_conv_wgrad(struct gradient *g) {
    struct value *x = g->op->in[0], *dy = g->op->in[1], *v = g->dy[0];
    struct conv_attrs a;
    conv_attrs_get(g->op, &a);
    if (g->want[0] && !(g->dx[0] = conv_back(g, x->type, v, dy)))
        return false;
    return !g->want[1] || (g->dx[1] = build_conv(g->b, x, v, &a));
}
