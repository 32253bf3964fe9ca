/* frontend/builtins_window.c: windows and their adjoint, convolutions. */
#include "frontend/builtin.h"

static int64_t *filled(struct elab *e, int count, int64_t value) {
    int64_t *at = ARENA_ARRAY(e->arena, int64_t, count);
    for (int i = 0; i < count; i++)
        at[i] = value;
    return at;
}

/* An optional list of `count` ints. */
static int64_t *ints_or(struct elab *e, const struct builtin_call *c, int i, int count, int64_t otherwise) {
    return c->given[i] && !datum_is_none(c->args[i]) ? arg_ints(e, c, i, count, NULL)
                                                     : filled(e, count, otherwise);
}

/* ---- windows, fold ---- */

struct window {
    int count;
    int64_t *window, *step, *dilation;
};

static bool window_args(struct elab *e, const struct builtin_call *c, int first, struct window *w) {
    w->window = arg_ints(e, c, first, -1, &w->count);
    w->step = w->window ? ints_or(e, c, first + 1, w->count, 1) : NULL;
    w->dilation = w->step ? ints_or(e, c, first + 2, w->count, 1) : NULL;
    return w->dilation != NULL;
}

static struct value *build_window_op(struct elab *e, enum opcode code, struct value *x,
                                     const struct window *w, const struct type *type) {
    const struct attr attrs[] = {{.name = ATTR_window, .count = w->count, .ints = w->window},
                                 {.name = ATTR_step, .count = w->count, .ints = w->step},
                                 {.name = ATTR_dilation, .count = w->count, .ints = w->dilation}};
    struct op *op = build_op(&e->b, code, &x, 1, attrs, 3, type ? &type : NULL, 1);
    return op ? op->out[0] : NULL;
}

static struct datum run_windows(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    struct window w;
    if (!x || !window_args(e, c, 1, &w))
        return datum_error();
    return datum_tensor(build_window_op(e, OP_windows, x, &w, NULL));
}

/* fold(x, size, window): [..., H', W', kh, kw] to [..., H, W], with size [H, W]. */
static struct datum run_fold(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    struct window w;
    int count;
    const struct dim **size = x ? arg_dims(e, c, 1, &count) : NULL;
    if (!size || !window_args(e, c, 2, &w))
        return datum_error();
    int lead = x->type->rank - 2 * w.count;
    if (lead < 0 || count != w.count)
        return fail(e, c->span, E_SHAPE, "%s holds no windows of %d axes", type_text(e->types, x->type),
                    w.count);
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, lead + count);
    for (int i = 0; i < lead + count; i++)
        dims[i] = i < lead ? x->type->dims[i] : size[i - lead];
    return datum_tensor(
        build_window_op(e, OP_fold, x, &w, type_with_dims(e->types, x->type, lead + count, dims)));
}

/* ---- convolutions ---- */

static bool pad_args(struct elab *e, const struct builtin_call *c, int i, struct conv_attrs *attrs) {
    const struct list *items;
    if (!c->given[i])
        return true;
    if (!arg_items(e, c, i, &items))
        return false;
    bool good = items->count == attrs->rank;
    for (int k = 0; k < items->count && good; k++) {
        struct datum d = items->at[k];
        good = datum_is_sequence(d) && d.list->count == 2 && datum_is_known_int(d.list->at[0]) &&
               datum_is_known_int(d.list->at[1]);
        if (good) {
            attrs->pad_lo[k] = dim_value(d.list->at[0].size);
            attrs->pad_hi[k] = dim_value(d.list->at[1].size);
        }
    }
    if (!good)
        report_error(e, c->spans[i], E_TYPE,
                     "pad is a pair (before, behind) of known ints for each of the %d spatial axes",
                     attrs->rank);
    return good;
}

/* groups may be a size of the input, B: then *open is set. */
static bool groups_arg(struct elab *e, const struct builtin_call *c, struct conv_attrs *attrs,
                       const struct dim **open) {
    *open = NULL;
    if (c->given[5] && c->args[5].kind == DATUM_INT && !datum_is_known_int(c->args[5]))
        *open = c->args[5].size;
    return !c->given[5] || *open || arg_int(e, c, 5, &attrs->groups);
}

/* x w stride? pad? dilation? groups? */
static bool conv_args(struct elab *e, const struct builtin_call *c, struct value **x, struct value **w,
                      struct conv_attrs *attrs, const struct dim **open) {
    *x = arg_tensor(e, c, 0, DTYPE_ANY);
    *w = arg_tensor(e, c, 1, DTYPE_ANY);
    if (!*x || !*w)
        return false;
    *attrs = (struct conv_attrs){.rank = (*x)->type->rank - 2, .groups = 1};
    if (attrs->rank < 1 || attrs->rank > 3 || (*w)->type->rank != attrs->rank + 2) {
        report_error(e, c->span, E_SHAPE,
                     "a convolution is of [B, C, 1 to 3 axes] with [O, C, as many], these are %s and %s",
                     type_text(e->types, (*x)->type), type_text(e->types, (*w)->type));
        return false;
    }
    int64_t *stride = ints_or(e, c, 2, attrs->rank, 1),
            *dilation = stride ? ints_or(e, c, 4, attrs->rank, 1) : NULL;
    if (!dilation || !pad_args(e, c, 3, attrs) || !groups_arg(e, c, attrs, open))
        return false;
    for (int i = 0; i < attrs->rank; i++) {
        attrs->stride[i] = stride[i];
        attrs->dilation[i] = dilation[i];
        attrs->lhs_dilation[i] = 1;
        if (stride[i] < 1 || dilation[i] < 1) {
            report_error(e, c->span, E_INDEX, "strides and dilations are 1 or more");
            return false;
        }
    }
    return true;
}

static bool is_multiple(struct elab *e, const struct dim *a, const struct dim *of) {
    const struct dim *quotient = dim_div(e->types, a, of);
    return quotient && dim_is_integral(quotient);
}

/* dims, with the axis at i split in g and the rest, [..., g, dims[i] / g, ...]; NULL: g does not divide it.
 */
static const struct dim **split_axis(struct elab *e, const struct type *type, int i, const struct dim *g) {
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, type->rank + 1);
    for (int k = 0; k < type->rank; k++)
        dims[k + (k > i)] = type->dims[k];
    dims[i] = g;
    dims[i + 1] = dim_div(e->types, type->dims[i], g);
    return is_multiple(e, type->dims[i], g) ? dims : NULL;
}

/* The image as the windows of a convolution see it: spread by lhs_dilation, with its padding. */
static struct value *pad_axes(struct elab *e, struct value *x, const struct conv_attrs *attrs) {
    int rank = x->type->rank;
    const struct dim **lo = ARENA_ARRAY(e->arena, const struct dim *, rank),
                     **hi = ARENA_ARRAY(e->arena, const struct dim *, rank);
    int64_t *between = filled(e, rank, 0);
    for (int i = 0; i < rank; i++) {
        int axis = i - (rank - attrs->rank);
        lo[i] = dim_const(e->types, axis < 0 ? 0 : attrs->pad_lo[axis]);
        hi[i] = dim_const(e->types, axis < 0 ? 0 : attrs->pad_hi[axis]);
        between[i] = axis < 0 ? 0 : attrs->lhs_dilation[axis] - 1;
    }
    return build_pad(&e->b, x, lo, hi, between, 0.0);
}

/* Of windows [N, g, C, H', W', kh, kw] and kernels [g, O, C, kh, kw] the sum over C, kh and kw, as
 * [N, g * O, H', W']. */
static struct value *group_product(struct elab *e, struct value *x, struct value *w, int spatial) {
    int64_t group = 1, first = 0, *of_x = ARENA_ARRAY(e->arena, int64_t, spatial + 1),
            *of_w = ARENA_ARRAY(e->arena, int64_t, spatial + 1);
    for (int i = 0; i <= spatial; i++) {
        of_x[i] = i == 0 ? 2 : 2 + spatial + i;
        of_w[i] = 2 + i;
    }
    struct value *y = dot_product(e, x, w, &group, &first, 1, of_x, of_w, spatial + 1);
    if (!y) /* [g, N, H', W', O] */
        return NULL;
    int rank = spatial + 2;
    int64_t *perm = ARENA_ARRAY(e->arena, int64_t, rank + 1);
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, rank);
    for (int i = 0; i <= rank; i++)
        perm[i] = i == 0 ? 1 : i == 1 ? 0 : i == 2 ? rank : i - 1;
    for (int i = 0; i < rank; i++)
        dims[i] = i == 0   ? x->type->dims[0]
                  : i == 1 ? dim_mul(e->types, w->type->dims[0], w->type->dims[1])
                           : x->type->dims[i + 1];
    y = build_transpose(&e->b, y, perm);
    return y ? build_reshape(&e->b, y, rank, dims) : NULL;
}

/* groups: B, with B a size that the caller chooses: a kernel for each image of a batch, as StyleGAN 2 has it
 * (Karras et al. 2020, appendix B). The operator `conv` wants a number; a product of windows does not. */
static struct datum conv_of_open_groups(struct elab *e, const struct builtin_call *c, struct value *x,
                                        struct value *w, const struct conv_attrs *attrs,
                                        const struct dim *groups) {
    const struct dim **image = split_axis(e, x->type, 1, groups),
                     **kernel = split_axis(e, w->type, 0, groups);
    struct window window = {attrs->rank, filled(e, attrs->rank, 1), (int64_t *)attrs->stride,
                            (int64_t *)attrs->dilation};
    for (int i = 0; i < attrs->rank; i++) {
        if (!dim_is_const(w->type->dims[2 + i]))
            return fail(e, c->spans[1], E_DIM, "the kernel's size must be known, this is %s",
                        type_text(e->types, w->type));
        window.window[i] = dim_value(w->type->dims[2 + i]);
    }
    if (!image || !kernel || image[2] != w->type->dims[1])
        return fail(e, c->span, E_SHAPE,
                    "in %s groups the image has %s * C channels and the kernels are [%s * O, C, ...], these "
                    "are %s and %s",
                    dim_text(e->types, groups), dim_text(e->types, groups), dim_text(e->types, groups),
                    type_text(e->types, x->type), type_text(e->types, w->type));
    x = pad_axes(e, x, attrs);
    image = x ? split_axis(e, x->type, 1, groups) : NULL;
    x = x ? build_reshape(&e->b, x, attrs->rank + 3, image) : NULL;
    w = x ? build_reshape(&e->b, w, attrs->rank + 3, kernel) : NULL;
    x = w ? build_window_op(e, OP_windows, x, &window, NULL) : NULL;
    return datum_tensor(x ? group_product(e, x, w, attrs->rank) : NULL);
}

static struct datum run_conv(struct elab *e, const struct builtin_call *c) {
    struct value *x, *w;
    struct conv_attrs attrs;
    const struct dim *groups;
    if (!conv_args(e, c, &x, &w, &attrs, &groups))
        return datum_error();
    return groups ? conv_of_open_groups(e, c, x, w, &attrs, groups)
                  : datum_tensor(conv_product(e, x, w, &attrs));
}

/* w [C, O/g, k...], C a multiple of g, as the kernel of a convolution to O channels: [O, C/g, k...], flipped.
 */
static struct value *transposed_kernel(struct elab *e, struct value *w, const struct dim *g) {
    int rank = w->type->rank;
    const struct dim *in = dim_div(e->types, w->type->dims[0], g), *out = w->type->dims[1];
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, rank + 1);
    dims[0] = g;
    dims[1] = in;
    for (int i = 1; i < rank; i++)
        dims[i + 1] = w->type->dims[i];
    int64_t *perm = ARENA_ARRAY(e->arena, int64_t, rank + 1);
    for (int i = 0; i <= rank; i++)
        perm[i] = i == 1 ? 2 : i == 2 ? 1 : i;
    struct value *y =
        build_transpose(&e->b, build_reshape(&e->b, w, rank + 1, dims), perm); /* [g, O/g, C/g, k...] */
    const struct dim **merged = ARENA_ARRAY(e->arena, const struct dim *, rank),
                     **start = ARENA_ARRAY(e->arena, const struct dim *, rank);
    int64_t *step = ARENA_ARRAY(e->arena, int64_t, rank);
    for (int i = 0; i < rank; i++) {
        merged[i] = i == 0 ? dim_mul(e->types, g, out) : i == 1 ? in : w->type->dims[i];
        start[i] =
            i < 2 ? dim_const(e->types, 0) : dim_sub(e->types, w->type->dims[i], dim_const(e->types, 1));
        step[i] = i < 2 ? 1 : -1;
    }
    y = y ? build_reshape(&e->b, y, rank, merged) : NULL;
    return y ? build_slice(&e->b, y, start, step, merged) : NULL;
}

static struct datum kernel_does_not_fit(struct elab *e, const struct builtin_call *c, const struct value *x,
                                        const struct value *w, const struct dim *groups) {
    struct diag *d = report_error(
        e, c->span, E_SHAPE, "conv_transpose: a kernel of %s does not fit an image of %s in %s group%s",
        type_text(e->types, w->type), type_text(e->types, x->type), dim_text(e->types, groups),
        dim_is_const(groups) && dim_value(groups) == 1 ? "" : "s");
    diag_hint(d, "an image is [batch, channels, sizes ...], a kernel [channels, out / groups, sizes ...]");
    return datum_error();
}

/* The adjoint of conv by its image: zeros between the elements, the kernel flipped, pads complemented. */
static struct datum run_conv_transpose(struct elab *e, const struct builtin_call *c) {
    struct value *x, *w;
    struct conv_attrs attrs;
    const struct dim *open;
    if (!conv_args(e, c, &x, &w, &attrs, &open))
        return datum_error();
    const struct dim *groups = open ? open : dim_const(e->types, attrs.groups);
    if (attrs.groups < 1)
        return fail(e, c->spans[5], E_INDEX, "conv_transpose: groups must be 1 or more");
    if (x->type->dims[1] != w->type->dims[0] || !is_multiple(e, w->type->dims[0], groups))
        return kernel_does_not_fit(e, c, x, w, groups);
    for (int i = 0; i < attrs.rank; i++) {
        if (!dim_is_const(w->type->dims[2 + i]))
            return fail(e, c->spans[1], E_DIM, "the kernel's size must be known, this is %s",
                        type_text(e->types, w->type));
        int64_t reach = attrs.dilation[i] * (dim_value(w->type->dims[2 + i]) - 1);
        attrs.lhs_dilation[i] = attrs.stride[i];
        attrs.stride[i] = 1;
        attrs.pad_lo[i] = reach - attrs.pad_lo[i];
        attrs.pad_hi[i] = reach - attrs.pad_hi[i];
    }
    struct value *kernel = transposed_kernel(e, w, groups);
    if (!kernel)
        return datum_error();
    return open ? conv_of_open_groups(e, c, x, kernel, &attrs, open)
                : datum_tensor(conv_product(e, x, kernel, &attrs));
}

const struct builtin builtins_window[] = {
    {"windows", "x window step? dilation?", run_windows, 0},
    {"fold", "x size window step? dilation?", run_fold, 0},
    {"conv", "x w stride? pad? dilation? groups?", run_conv, 0},
    {"conv_transpose", "x w stride? pad? dilation? groups?", run_conv_transpose, 0},
    {0},
};
