/* passes/split_upsample.c: a conv of an upsampled image.
 *
 * With u[p] = sum_{d < n} z[p - d], where z is x spread by n - 1 zeros, conv(u, w)[p] = sum_k w[k] u[p + k -
 * pad] is sum_m v[m] z[p + m - (n - 1) - pad] with v[m] = sum_{a < n} w[m - a]. */
#include "passes/split.h"

#include "ir/build.h"

static struct value *without_views(struct value *value) {
    while (value->def && value->def->code == OP_reshape)
        value = value->def->in[0];
    return value;
}

/* The sizes of `type` without ones are those of [B, C, H, n, W, n] at the axes 0, 1, 2, 4. */
static bool fills_axes(const struct op *broadcast, const struct type *image) {
    const struct type *from = broadcast->in[0]->type;
    const int64_t *axes = op_ints(broadcast, ATTR_axes, NULL);
    int64_t size[6] = {1, 1, 1, 1, 1, 1};
    for (int i = 0; i < from->rank; i++) {
        if (i > 0 && axes[i] <= axes[i - 1])
            return false;
        size[axes[i]] = type_size(from, i);
    }
    return size[3] == 1 && size[5] == 1 && size[0] == type_size(image, 0) && size[1] == type_size(image, 1);
}

static int64_t factor_of(const struct op *broadcast) {
    return type_size(broadcast->out[0]->type, 3);
}

static struct op *find_broadcast(const struct op *conv) {
    struct op *def = without_views(conv->in[0])->def;
    const struct type *image = conv->in[0]->type, *to;
    if (!def || def->code != OP_broadcast || image->rank != 4 || def->out[0]->type->rank != 6)
        return NULL;
    to = def->out[0]->type;
    int64_t n = type_size(to, 3), height = type_size(to, 2), width = type_size(to, 4);
    bool is_upsample = n > 1 && type_size(to, 5) == n && type_size(image, 2) == n * height &&
                       type_size(image, 3) == n * width && fills_axes(def, image) &&
                       type_elements(def->in[0]->type) * n * n == type_elements(image);
    return is_upsample ? def : NULL;
}

struct value *split_upsampled(const struct op *conv) {
    struct conv_attrs a;
    if (conv->code != OP_conv)
        return NULL;
    conv_attrs_get(conv, &a);
    for (int i = 0; i < a.rank; i++)
        if (a.stride[i] != 1 || a.dilation[i] != 1 || a.lhs_dilation[i] != 1)
            return NULL;
    const struct op *broadcast = a.rank == 2 ? find_broadcast(conv) : NULL;
    return broadcast ? without_views(broadcast->in[0]) : NULL;
}

/* The sum of w at all n x n distances. */
static struct value *spread_weights(struct builder *b, struct value *w, int64_t n) {
    struct types *types = b->graph->types;
    const int64_t interior[4] = {0};
    struct value *sum = NULL;
    for (int64_t i = 0; i < n * n; i++) {
        const struct dim *none = dim_const(types, 0);
        const struct dim *lo[] = {none, none, dim_const(types, i / n), dim_const(types, i % n)};
        const struct dim *hi[] = {none, none, dim_const(types, n - 1 - i / n),
                                  dim_const(types, n - 1 - i % n)};
        struct value *moved = build_pad(b, w, lo, hi, interior, 0);
        sum = sum ? build_add(b, sum, moved) : moved;
    }
    return sum;
}

bool split_upsample(struct graph *graph, struct op *conv, struct diags *diags) {
    const struct op *broadcast = find_broadcast(conv);
    const struct type *image = broadcast->out[0]->type;
    int64_t n = factor_of(broadcast);
    struct conv_attrs a;
    struct builder b;
    builder_init(&b, graph, conv->block, diags);
    builder_before(&b, conv);
    b.site = conv->site;
    conv_attrs_get(conv, &a);
    for (int i = 0; i < 2; i++) {
        a.lhs_dilation[i] = n;
        a.pad_lo[i] += n - 1;
        a.pad_hi[i] += n - 1;
    }
    const struct dim *dims[] = {image->dims[0], image->dims[1], image->dims[2], image->dims[4]};
    struct value *x = build_reshape(&b, broadcast->in[0], 4, dims);
    struct value *result = build_conv(&b, x, spread_weights(&b, conv->in[1], n), &a);
    if (!result)
        return false;
    value_replace(conv->out[0], result);
    return true;
}
