/* codegen/contract_conv_taps.c: transposed convolutions of small images as products: what each pixel of the
 * image gives to each tap of each output channel, [tap][pixel] = sum_c w[channel][c][tap] * x[c][pixel], and
 * then the sum of the few taps that meet at a position of the output (col2im). No zero between the elements
 * is multiplied, weights are read once as they lie, and pixels fill lanes that the classes of positions, a
 * half or a quarter of a row each, leave idle. An image of one pixel is the same with nothing to add up: a
 * product of matrices. */
#include "codegen/contract_product.h"
#include "codegen/contract_window.h"

/* What is added up at a position along an axis: of a class of positions the taps that it sees; or where the
 * image has one pixel, the one tap through which a position sees it, if there is one. */
struct taps_axis {
    struct window_axis a;
    bool is_single;
    int64_t first, count; /* of the taps that see the image anywhere */
    double seen;          /* pairs of a position and a tap that sees the image there */
    int64_t tap, pixel;   /* strides in a channel's products */
};

struct conv_taps {
    struct contraction *c;
    struct window win;
    struct taps_axis axis[3];
    int64_t taps, pixels;
    bool pixels_are_lanes;
    int64_t tap_stride, pixel_stride, channel, offset; /* of the products, in SHARED memory */
};

/* ---- sizes ---- */

static void see(struct taps_axis *t, int64_t tap) {
    int64_t end = at_least(t->first + t->count, tap + 1);
    t->first = t->count ? at_most(t->first, tap) : tap;
    t->count = t->count ? end - t->first : 1;
    t->seen++;
}

static void axis_init(struct taps_axis *t, const struct window_axis *a) {
    *t = (struct taps_axis){.a = *a, .is_single = a->image == 1 && a->dilation == 1};
    for (int64_t y = 0; t->is_single && y < a->out; y++) {
        int64_t tap = a->pad_lo - y * a->stride;
        if (tap >= 0 && tap < a->window)
            see(t, tap);
    }
    for (int k = 0; !t->is_single && k < a->class_count; k++) {
        const struct window_class *c = &a->classes[k];
        for (int64_t j = 0; j < c->taps; j++)
            for (int64_t q = 0; q < c->count; q++) {
                int64_t at = q * a->stride + c->image + j * c->image_step;
                if (at >= 0 && at < a->image)
                    see(t, c->tap + j * c->tap_step);
            }
    }
}

static double filled(int64_t elements, int64_t lanes) {
    return (double)elements / (double)(ceil_div(elements, lanes) * lanes);
}

static void taps_init(struct conv_taps *v, struct contraction *c, const struct window *win) {
    *v = (struct conv_taps){.c = c, .win = *win, .taps = 1, .pixels = 1};
    for (int i = 0; i < 3; i++) {
        axis_init(&v->axis[i], &win->axis[i]);
        v->taps *= v->axis[i].count;
        v->pixels *= win->axis[i].image;
    }
    v->pixels_are_lanes = filled(v->pixels, c->lanes) >= filled(at_least(v->taps, 1), c->lanes);
    v->tap_stride = v->pixels_are_lanes ? v->pixels : 1;
    v->pixel_stride = v->pixels_are_lanes ? 1 : v->taps;
    v->channel = v->taps * v->pixels;
    int64_t tap = v->tap_stride, pixel = v->pixel_stride;
    for (int i = 2; i >= 0; i--) {
        v->axis[i].tap = tap;
        v->axis[i].pixel = pixel;
        tap *= v->axis[i].count;
        pixel *= win->axis[i].image;
    }
}

/* Where a stride lies between the elements, or of images of one pixel; deep enough that the sums of the taps
 * do not weigh (measured: with 64 channels they do), and as long as all products stay in L3. */
bool conv_taps_suit(struct contraction *c, const struct window *win) {
    enum { DEEP = 96, PRODUCTS_BYTES = 8 << 20 };
    bool has_stride = false;
    double part = 1; /* of the products that reach the output */
    struct conv_taps v;
    for (int i = 0; i < 3; i++) {
        const struct window_axis *a = &win->axis[i];
        if (a->image < 1 || a->spread > 1)
            return false;
        has_stride |= a->lhs_dilation > 1;
    }
    if (win->in < DEEP)
        return false;
    taps_init(&v, c, win);
    for (int i = 0; i < 3; i++)
        part *= v.axis[i].seen / (double)(win->axis[i].image * at_least(v.axis[i].count, 1));
    int64_t bytes = win->groups * win->out * win->batch * v.channel * dtype_bytes(c->dtype);
    return v.taps > 1 && (has_stride || v.pixels == 1) && part >= 0.5 && bytes <= PRODUCTS_BYTES;
}

/* ---- the products ---- */

static bool multiply(struct conv_taps *v, const struct operand *x, const struct operand *w) {
    const struct window *n = &v->win;
    struct contraction products = *v->c;
    products.finish = (struct finish){.kind = FINISH_NOTHING, .dtype = v->c->dtype};
    products.finish.elements = n->groups * n->out * n->batch * v->channel;
    products.finish.raw_offset = v->offset =
        kernel_shared(v->c->out, products.finish.elements * dtype_bytes(v->c->dtype));
    struct axes taps = {0}, pixels = {0}, images = {0}, k = {0}, grid = {0};
    struct operand from = *w;
    bool swaps = !v->pixels_are_lanes;
    int64_t group = n->out * n->batch * v->channel;
#define ADD(axes, extent, of_w, of_x, of_c)                                                                  \
    axes_add(axes, extent, swaps ? (of_x) : (of_w), swaps ? (of_w) : (of_x), of_c)
    ADD(&grid, n->groups, n->out * n->w_out, n->in * n->x_channel, group);
    ADD(&grid, n->out, n->w_out, 0, n->batch * v->channel);
    ADD(swaps ? &images : &grid, n->batch, 0, n->x_batch, v->channel);
    for (int i = 0; i < 3; i++) {
        const struct taps_axis *t = &v->axis[i];
        from.base += t->first * t->a.w;
        ADD(&taps, t->count, t->a.w, 0, t->tap);
        ADD(&pixels, t->a.image, 0, t->a.x, t->pixel);
    }
    ADD(&k, n->in, n->w_in, n->x_channel, 0);
#undef ADD
    for (int i = 0; i < pixels.count; i++)
        images.at[images.count++] = pixels.at[i];
    return swaps ? contract_product(&products, x, &from, &images, &taps, &k, &grid)
                 : contract_product(&products, &from, x, &taps, &images, &k, &grid);
}

/* ---- the sums ---- */

struct position {
    const struct loop_expr *at[3]; /* in its class */
    const struct window_class *class[3];
};

/* Where term j of a position's sum is along an axis, in elements of a channel's products; *inside gathers
 * whether it is there. */
static const struct loop_expr *term_along(struct writer *w, const struct taps_axis *t,
                                          const struct loop_expr *q, const struct window_class *c, int64_t j,
                                          const struct loop_expr **inside) {
    if (t->is_single) {
        const struct loop_expr *tap = plus_n(w, times(w, q, -t->a.stride), t->a.pad_lo - t->first);
        *inside = lexpr_and(w->f, *inside, lexpr_within(w->f, tap, 0, t->count));
        return times(w, tap, t->tap);
    }
    const struct loop_expr *pixel = plus_n(w, times(w, q, t->a.stride), c->image + j * c->image_step);
    *inside = lexpr_and(w->f, *inside, lexpr_within(w->f, pixel, 0, t->a.image));
    return plus_n(w, times(w, pixel, t->pixel), (c->tap + j * c->tap_step - t->first) * t->tap);
}

static int64_t terms_of(const struct taps_axis *t, const struct window_class *c) {
    return t->is_single ? t->count > 0 : c->taps;
}

static const struct loop_expr *sum_of_taps(struct conv_taps *v, struct writer *w, const struct position *p,
                                           const struct loop_expr *from) {
    struct operand products = {.dtype = v->c->dtype, .as = v->c->dtype, .space = SPACE_SHARED};
    products.offset = v->offset;
    products.elements = v->win.groups * v->win.out * v->win.batch * v->channel;
    const struct loop_expr *sum = NULL;
    int64_t terms[3], all = 1;
    for (int i = 0; i < 3; i++)
        all *= terms[i] = terms_of(&v->axis[i], p->class[i]);
    for (int64_t term = 0; term < all; term++) {
        const struct loop_expr *inside = NULL, *at = from;
        int64_t rest = term;
        for (int i = 2; i >= 0; i--) {
            at = plus(w, at, term_along(w, &v->axis[i], p->at[i], p->class[i], rest % terms[i], &inside));
            rest /= terms[i];
        }
        const struct loop_expr *x = operand_load_inside(w, &products, "products", at, inside, v->c->dtype);
        sum = sum ? lexpr_binary(w->f, OP_add, v->c->dtype, sum, x) : x;
    }
    return sum ? sum : writer_zero(w, v->c->dtype);
}

/* The positions of one class along each axis, of one image and output channel. */
static void write_class(struct conv_taps *v, struct writer *w, struct position *p,
                        const struct loop_expr *from, const struct loop_expr *to) {
    int64_t count[3];
    for (int i = 0; i < 3; i++) {
        const struct taps_axis *t = &v->axis[i];
        count[i] = t->is_single ? t->a.out : p->class[i]->count;
        if (count[i] < 1)
            return;
    }
    for (int i = 0; i < 3; i++) {
        const struct taps_axis *t = &v->axis[i];
        p->at[i] =
            writer_for(w, "q", index_of(w, 0), index_of(w, count[i]), i == 2 ? LOOP_VECTOR : LOOP_SERIAL);
        const struct loop_expr *at = p->at[i];
        if (!t->is_single)
            at = plus_n(w, times(w, at, t->a.lhs_dilation), p->class[i] -> first);
        to = plus(w, to, times(w, at, t->a.y));
    }
    writer_store(w, finish_raw(w, &v->c->finish), to, sum_of_taps(v, w, p, from));
    for (int i = 0; i < 3; i++)
        writer_end(w);
}

static int classes_of(const struct taps_axis *t) {
    return t->is_single ? 1 : t->a.class_count;
}

static void write_sums(struct conv_taps *v) {
    enum { RUN = 4096 }; /* elements of a task */
    const struct window *n = &v->win;
    struct writer writer, *w = &writer;
    writer_begin(w, v->c->l, v->c->out, v->c->kernel);
    int64_t channels = n->groups * n->out, each = ceil_div(RUN, n->batch * n->out_pixels);
    int64_t tasks = ceil_div(channels, each);
    const struct loop_expr *low = times(w, writer_task(w, tasks), each);
    const struct loop_expr *high = least(w, plus_n(w, low, each), index_of(w, channels));
    const struct loop_expr *channel = writer_for(w, "channel", low, high, LOOP_SERIAL);
    const struct loop_expr *image = writer_count(w, "image", n->batch);
    const struct loop_expr *from = times(w, plus(w, times(w, channel, n->batch), image), v->channel);
    const struct loop_expr *to = plus(w, times(w, image, n->y_batch), times(w, channel, n->y_channel));
    for (int z = 0; z < classes_of(&v->axis[0]); z++)
        for (int y = 0; y < classes_of(&v->axis[1]); y++)
            for (int x = 0; x < classes_of(&v->axis[2]); x++) {
                const struct window_axis *a = n->axis;
                struct position p = {.class = {&a[0].classes[z], &a[1].classes[y], &a[2].classes[x]}};
                write_class(v, w, &p, from, to);
            }
    if (v->c->finish.kind == FINISH_LOOP)
        finish_run(w, &v->c->finish, (struct run){to, index_of(w, 0), n->out_pixels},
                   index_of(w, n->out_pixels));
    writer_end(w);
    writer_end(w);
    writer_finish(w, tasks);
}

static void explain(const struct conv_taps *v) {
    const struct window *n = &v->win;
    if (v->c->l->why)
        strbuf_printf(v->c->l->why,
                      "conv %lld images, %lld groups of %lld -> %lld channels, %lld pixels -> %lld: products "
                      "of pixels and %lld taps, then sums\n",
                      (long long)n->batch, (long long)n->groups, (long long)n->in, (long long)n->out,
                      (long long)v->pixels, (long long)n->out_pixels, (long long)v->taps);
}

bool contract_conv_taps(struct contraction *c, const struct operand *x, const struct operand *w,
                        const struct window *win) {
    struct conv_taps v;
    taps_init(&v, c, win);
    explain(&v);
    if (c->finish.kind == FINISH_TILE)
        c->finish.kind = FINISH_LOOP;
    if (!multiply(&v, x, w))
        return false;
    write_sums(&v);
    return true;
}
