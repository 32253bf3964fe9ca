/* frontend/products.c: sums of products at the precision that the command line or a recipe asks for.
 *
 * Note [The precision of products]: `with precision: bf16 { }` in a text is of one mind: what is `float`
 * there is bf16, and the text says where f32 begins again. A precision from outside (--precision bf16, a
 * recipe's `precision: bf16`) meets texts that were written for f32: fn f(x: f32[B]) -> f32[B]. It therefore
 * changes no type. The products alone, dot and conv and with them their gradients, take bf16 copies of f32
 * operands and their results are f32 again (Micikevicius et al. 2018, section 3.1; bf16 needs no scaling of
 * the loss). The weights themselves, sums, norms, softmax, losses, optimisers and first values stay f32; so
 * does what stands in a `with precision`, which knows better. */
#include "frontend/elab.h"

static bool is_narrowed(const struct elab *e, const struct value *x, const struct value *y) {
    return x && y && e->ambient.products != DTYPE_f32 && x->type->dtype == DTYPE_f32 &&
           y->type->dtype == DTYPE_f32 && !e->in_constant && !e->in_init;
}

static struct value *narrow(struct elab *e, struct value *x) {
    return build_cast(&e->b, x, e->ambient.products);
}

static struct value *widen(struct elab *e, struct value *x) {
    return x ? build_cast(&e->b, x, DTYPE_f32) : NULL;
}

struct value *dot_product(struct elab *e, struct value *x, struct value *y, const int64_t *x_batch,
                          const int64_t *y_batch, int batch_count, const int64_t *x_inner,
                          const int64_t *y_inner, int inner_count) {
    if (!is_narrowed(e, x, y))
        return build_dot(&e->b, x, y, x_batch, y_batch, batch_count, x_inner, y_inner, inner_count);
    struct value *a = narrow(e, x), *b = narrow(e, y);
    return widen(e, build_dot(&e->b, a, b, x_batch, y_batch, batch_count, x_inner, y_inner, inner_count));
}

struct value *conv_product(struct elab *e, struct value *x, struct value *w, const struct conv_attrs *attrs) {
    if (!is_narrowed(e, x, w))
        return build_conv(&e->b, x, w, attrs);
    struct value *a = narrow(e, x), *b = narrow(e, w);
    return widen(e, build_conv(&e->b, a, b, attrs));
}
