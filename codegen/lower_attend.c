/* codegen/lower_attend.c: a kernel of attention, or of its gradient, to loop IR: docs/attend.md. */
#include "codegen/attend.h"

#include "passes/rewrite.h"

#include <string.h>

/* ---- operands and results as rows of features ---- */

static bool side_of_dot(struct attend *t, const struct op *dot, int side, struct attend_side *out) {
    if (!operand_map(t->l, t->out, t->kernel, dot->in[side], &out->operand))
        return false;
    const int64_t *batch = op_ints(dot, side ? ATTR_rhs_batch : ATTR_lhs_batch, NULL);
    for (int i = 0; i < t->a.batch; i++)
        out->batch[i] = out->operand.stride[batch[i]];
    return true;
}

static void side_axes(struct attend_side *out, int row, int feature) {
    out->rows = out->operand.size[row];
    out->features = out->operand.size[feature];
    out->row = out->operand.stride[row];
    out->feature = out->operand.stride[feature];
}

static const struct op *only_user(const struct value *v, enum opcode code) {
    return v->uses && !v->uses->next && v->uses->user->code == code ? v->uses->user : NULL;
}

/* s * c, or c * s, perhaps of s in another dtype: the value, and c. */
static void find_scale(struct attend_product *p) {
    const struct value *s = p->dot->out[0];
    const struct op *cast = only_user(s, OP_cast);
    if (cast && dtype_is_float(cast->out[0]->type->dtype))
        s = cast->out[0];
    const struct op *mul = only_user(s, OP_mul);
    if (mul && value_is_splat(mul->in[1 - s->uses->index], &p->scale))
        p->scaled = mul->out[0];
}

static bool read_products(struct attend *t) {
    for (int i = 0; i < t->a.product_count; i++) {
        struct attend_product *p = &t->products[i];
        p->dot = t->a.products[i];
        find_scale(p);
        for (int side = 0; side < 2; side++) {
            if (!side_of_dot(t, p->dot, side, &p->side[side]))
                return false;
            side_axes(&p->side[side], dot_free_axis(p->dot, side), dot_contracted_axis(p->dot, side));
        }
    }
    return true;
}

/* How `from` lies in the dense value `to` that views lead to. */
static bool strides_before(const struct value *to, const struct value *from, int64_t *stride) {
    struct view view = {0};
    view_dense(&view, to->type);
    for (const struct value *v = to; v != from; v = v->def->in[0])
        if (!view_before(&view, v->def))
            return false;
    memcpy(stride, view.stride, sizeof(view.stride));
    return true;
}

/* The dot's result has the batch axes, then its left side's free one, then its right side's. */
static bool read_sum(struct attend *t, struct attend_result *r) {
    int64_t stride[OPERAND_RANK];
    int batch = t->a.batch, side = 1 - r->of->side;
    if (!side_of_dot(t, r->of->dot, side, &r->other))
        return false;
    side_axes(&r->other, dot_contracted_axis(r->of->dot, side), dot_free_axis(r->of->dot, side));
    if (!strides_before(r->of->value, r->of->dot->out[0], stride)) {
        diag_defect(t->l->diags, t->kernel->site->span, "attention's result is moved about in its kernel");
        return false;
    }
    memcpy(r->batch, stride, sizeof(stride));
    r->row = stride[batch + r->of->side];
    r->feature = stride[batch + side];
    return true;
}

/* The axes that are left lie one in the other, in their order. */
static void read_partial(struct attend *t, struct attend_result *r) {
    int count = 0;
    const int64_t *gone = r->of->reduce ? op_ints(r->of->reduce, ATTR_axes, &count) : NULL;
    int64_t stride = t->x * t->y;
    r->row = t->y;
    r->feature = 1;
    for (int i = t->a.batch - 1; i >= 0; i--) {
        bool is_gone = false;
        for (int k = 0; k < count; k++)
            is_gone |= gone[k] == i;
        r->batch[i] = is_gone ? 0 : stride;
        stride *= is_gone ? 1 : t->batch[i];
    }
}

static void read_log_sum(struct attend *t, struct attend_result *r) {
    int64_t stride = r->row = 1;
    for (int i = t->a.batch; i-- > 0;) {
        stride *= i + 1 == t->a.batch ? (t->a.along_y ? t->x : t->y) : t->batch[i + 1];
        r->batch[i] = stride;
    }
}

static bool read_results(struct attend *t) {
    for (int i = 0; i < t->a.result_count; i++) {
        struct attend_result *r = &t->results[i];
        r->of = &t->a.results[i];
        r->argument = t->kernel->in_count + i;
        if (r->of->kind == ATTENTION_SUM && !read_sum(t, r))
            return false;
        if (r->of->kind == ATTENTION_PARTIAL)
            read_partial(t, r);
        if (r->of->kind == ATTENTION_LOG_SUM)
            read_log_sum(t, r);
    }
    return true;
}

/* ---- which sweeps ---- */

static bool needs(const struct value *v, const struct value *product) {
    if (v == product)
        return true;
    for (int i = 0; v->def && v->def->code != OP_dot && i < v->def->in_count; i++)
        if (needs(v->def->in[i], product))
            return true;
    return false;
}

static void add_products(struct sweep *s) {
    struct attend *t = s->t;
    for (int i = 0; i < t->a.product_count; i++) {
        const struct value *product = t->products[i].dot->out[0];
        bool is_needed = s->log_sum != NULL;
        for (int k = 0; k < s->sum_count; k++)
            is_needed |= needs(s->sums[k]->of->scores, product);
        for (int k = 0; k < s->partial_count; k++)
            is_needed |= needs(s->partials[k]->of->scores, product);
        if (is_needed)
            s->products[s->product_count++] = &t->products[i];
    }
}

static bool same_batch(const struct attend *t, const struct attend_result *a, const struct attend_result *b) {
    for (int i = 0; i < t->a.batch; i++)
        if ((a->batch[i] == 0) != (b->batch[i] == 0))
            return false;
    return true;
}

/* Of partial sums, those that sum over the same axes as the one that is given. */
static void add_partials(struct sweep *s, const struct attend_result *first) {
    struct attend *t = s->t;
    for (int i = 0; i < t->a.result_count; i++)
        if (t->results[i].of->kind == ATTENTION_PARTIAL && same_batch(t, first, &t->results[i]))
            s->partials[s->partial_count++] = &t->results[i];
    for (int i = 0; i < t->a.batch; i++)
        s->is_inner[i] = first->batch[i] == 0;
}

static const struct attend_result *first_partial(const struct attend *t, int from) {
    for (int i = from; i < t->a.result_count; i++) {
        bool is_new = t->results[i].of->kind == ATTENTION_PARTIAL;
        for (int k = 0; k < i && is_new; k++)
            is_new =
                t->results[k].of->kind != ATTENTION_PARTIAL || !same_batch(t, &t->results[k], &t->results[i]);
        if (is_new)
            return &t->results[i];
    }
    return NULL;
}

static struct sweep sweep_over(struct attend *t, bool lanes_are_x) {
    struct sweep s = {.t = t, .lanes_are_x = lanes_are_x};
    s.lane_count = lanes_are_x ? t->x : t->y;
    s.row_count = lanes_are_x ? t->y : t->x;
    for (int i = 0; i < t->a.result_count; i++) {
        const struct attend_result *r = &t->results[i];
        if (r->of->kind == ATTENTION_SUM && r->of->over_y == lanes_are_x)
            s.sums[s.sum_count++] = r;
        if (r->of->kind == ATTENTION_LOG_SUM && t->a.along_y == lanes_are_x)
            s.log_sum = r;
    }
    return s;
}

static void finish_sweep(struct sweep *s) {
    if (!s->sum_count && !s->partial_count && !s->log_sum)
        return;
    add_products(s);
    sweep_write(s);
}

/* Partial sums go with lanes along Y, which is contiguous in them. */
static void write_sweeps(struct attend *t) {
    struct sweep over_x = sweep_over(t, true), over_y = sweep_over(t, false);
    const struct attend_result *partial = first_partial(t, 0);
    finish_sweep(&over_x);
    if (partial)
        add_partials(&over_y, partial);
    finish_sweep(&over_y);
    while (partial && (partial = first_partial(t, partial->argument - t->kernel->in_count + 1))) {
        struct sweep more = sweep_over(t, false);
        more.sum_count = 0;
        more.log_sum = NULL;
        add_partials(&more, partial);
        finish_sweep(&more);
    }
}

/* ---- the kernel ---- */

static bool values_fit(struct attend *t) {
    const struct attention *a = &t->a;
    bool fit = a->scores->rank <= OPERAND_RANK;
    for (int i = 0; i < a->result_count && fit; i++)
        fit = type_elements(a->results[i].value->type) > 0;
    return fit;
}

bool lower_attend(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    struct attend t = {.l = l, .out = out, .kernel = kernel};
    const char *why = attention_read(kernel->regions[0], l->arena, &t.a);
    if (why || !values_fit(&t)) {
        diag_defect(l->diags, kernel->site->span, "a kernel of attention with more in it: %s",
                    why ? why : "too many axes, or no elements");
        return false;
    }
    t.dtype = t.a.scores->dtype == DTYPE_f64 ? DTYPE_f64 : DTYPE_f32;
    t.lanes = target_lanes(l->target, dtype_bytes(t.dtype));
    for (int i = 0; i < t.a.batch; i++)
        t.batch[i] = type_size(t.a.scores, i);
    t.x = type_size(t.a.scores, -2);
    t.y = type_size(t.a.scores, -1);
    if (!read_products(&t) || !read_results(&t))
        return false;
    t.is_masked = attend_find_visibility(&t, &t.visible);
    write_sweeps(&t);
    return true;
}
