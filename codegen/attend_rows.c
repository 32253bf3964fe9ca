/* codegen/attend_rows.c: scores between two products: elementwise operators, and the running softmax. */
#include "codegen/attend.h"

#include <math.h>

/* ---- elementwise ---- */

/* Indices of the scores' axes where lane `lane` of the panel meets row `row` of the block. Of an axis of one
 * element it is 0, as operators that broadcast ask for it. */
static void scores_index(struct sweep *s, struct writer *w, const struct sweep_place *p,
                         const struct loop_expr *row, const struct loop_expr *lane,
                         const struct loop_expr **index) {
    const struct attend *t = s->t;
    int n = t->a.batch;
    const struct loop_expr *lanes = plus(w, times(w, p->panel, s->panel), lane),
                           *rows = plus(w, p->row_low, row);
    lanes = lexpr_known(w->f, lanes, 0, at_least(s->lane_count, 1) - 1 + s->panel);
    rows = lexpr_known(w->f, rows, 0, s->row_count - 1);
    for (int i = 0; i < n; i++)
        index[i] = t->batch[i] == 1 ? index_of(w, 0) : p->batch[i];
    index[n] = t->x == 1 ? index_of(w, 0) : s->lanes_are_x ? lanes : rows;
    index[n + 1] = t->y == 1 ? index_of(w, 0) : s->lanes_are_x ? rows : lanes;
}

static const struct loop_expr *scores_place(struct sweep *s, struct writer *w, const struct loop_expr *row,
                                            const struct loop_expr *lane) {
    return plus(w, times(w, row, s->panel), lane);
}

/* What the product's elements are: the dot's, or those times a number. */
static const struct value *stored_value(const struct attend_product *p) {
    return p->scaled ? p->scaled : p->dot->out[0];
}

/* The products' elements there are known; all others are made of them. */
static void open_reader(struct sweep *s, struct writer *w, const struct loop_expr *const *index,
                        const struct loop_expr *place, struct reader *r) {
    *r = (struct reader){.w = w, .kernel = s->t->kernel, .shares = s->t->a.shares};
    for (int i = 0; i < s->product_count; i++) {
        const struct value *product = stored_value(s->products[i]);
        struct reader_memo memo = {.value = product};
        for (int k = 0; k < product->type->rank; k++)
            memo.index[k] = index[k];
        memo.result = lexpr_load(w->f, scores_buffer(s, w, i), place);
        memo.result = writer_cast(w, product->type->dtype, memo.result);
        VEC_PUSH(w->l->arena, &r->memo, memo);
    }
}

/* Reads memory at a place that depends on the row of X or Y: not beyond the last one. */
static bool reads_memory(const struct value *v) {
    if (!v->def)
        return type_elements(v->type) > 1;
    if (v->def->code == OP_dot)
        return false;
    if (v->def->code == OP_const)
        return type_elements(v->type) > 1;
    for (int i = 0; i < v->def->in_count; i++)
        if (reads_memory(v->def->in[i]))
            return true;
    return false;
}

bool sweep_reads_memory(const struct sweep *s) {
    if (s->t->a.has_softmax)
        return reads_memory(s->t->a.logits);
    bool reads = s->partial_count > 0;
    for (int i = 0; i < s->sum_count; i++)
        reads |= reads_memory(s->sums[i]->of->scores);
    return reads;
}

/* Lanes to compute: whole vectors, unless what is read ends with the last real one. */
static int64_t lanes_of(const struct sweep_place *p, bool exact) {
    return exact ? p->columns : p->padded;
}

static void write_elementwise(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    bool exact = sweep_reads_memory(s);
    const struct loop_expr *index[OPERAND_RANK], *values[2 * ATTENTION_RESULTS];
    const struct loop_expr *row = writer_for(w, "row", index_of(w, 0), p->rows, LOOP_SERIAL);
    const struct loop_expr *lane =
        writer_for(w, "lane", index_of(w, 0), index_of(w, lanes_of(p, exact)), LOOP_VECTOR);
    const struct loop_expr *place = scores_place(s, w, row, lane);
    struct reader r;
    scores_index(s, w, p, row, lane, index);
    open_reader(s, w, index, place, &r);
    int count = 0;
    for (int i = 0; i < s->sum_count; i++)
        values[count++] = writer_let(w, "s", value_at(&r, s->sums[i]->of->scores, index));
    for (int i = 0; i < s->partial_count; i++)
        values[count++] = writer_let(w, "p", value_at(&r, s->partials[i]->of->scores, index));
    for (int i = 0; i < s->sum_count; i++)
        writer_store(w, scores_buffer(s, w, i), place, writer_cast(w, s->t->dtype, values[i]));
    for (int i = 0; i < s->partial_count; i++) {
        const struct attend_result *out = s->partials[i];
        struct buffer *buffer = writer_argument(w, out->argument);
        const struct loop_expr *at = index_of(w, 0);
        for (int k = 0; k < s->t->a.batch; k++)
            at = plus(w, at, times(w, p->batch[k], out->batch[k]));
        at = plus(w, at, times(w, index[s->t->a.batch], out->row));
        at = plus(w, at, index[s->t->a.batch + 1]);
        const struct loop_expr *old = lexpr_load(w->f, buffer, at), *sum = values[s->sum_count + i];
        writer_store(w, buffer, at, lexpr_binary(w->f, OP_add, buffer->dtype, old, sum));
    }
    writer_end(w);
    writer_end(w);
}

/* ---- the softmax ----
 *
 * Note [Online softmax] (Milakov & Gimelshein 2018, algorithm 3.) Of each lane's row the greatest logit m and
 * the sum l of exp(t - m) are kept, over the blocks seen so far. A block with a greater one multiplies l, and
 * the sums behind it, by exp(m - m'). Where all that a row has seen is -inf, 0 stands for m, so that exp(-inf
 * - m) is 0 and no NaN: the row's l is 0 then, and if it stays so, its sum is 0 / 0, as it should be. A NaN
 * among the logits need not be found: its own exponential makes l and the sums NaN. */

static const struct loop_expr *number(struct sweep *s, struct writer *w, double value) {
    return lexpr_float(w->f, s->t->dtype, value);
}

static const struct loop_expr *choose(struct writer *w, const struct loop_expr *condition,
                                      const struct loop_expr *yes, const struct loop_expr *no) {
    const struct loop_expr *args[] = {condition, yes, no};
    return lexpr_op(w->f, OP_select, yes->dtype, args, 3);
}

static const struct loop_expr *greater(struct writer *w, const struct loop_expr *a,
                                       const struct loop_expr *b) {
    return choose(w, lexpr_binary(w->f, OP_lt, DTYPE_bool, a, b), b, a);
}

static const struct loop_expr *finite_or_zero(struct sweep *s, struct writer *w, const struct loop_expr *m) {
    const struct loop_expr *none = lexpr_binary(w->f, OP_eq, DTYPE_bool, m, number(s, w, -INFINITY));
    return choose(w, none, number(s, w, 0), m);
}

static const struct loop_expr *exp_of_difference(struct sweep *s, struct writer *w, const struct loop_expr *a,
                                                 const struct loop_expr *b) {
    return lexpr_exp_below(w->f, lexpr_binary(w->f, OP_sub, s->t->dtype, a, b));
}

static int64_t unit_lanes(const struct sweep *s) {
    return s->panels_per_unit * s->panel;
}

static struct buffer *greatest_buffer(struct sweep *s, struct writer *w) {
    return sweep_memory(s, w, s->greatest, unit_lanes(s), "greatest");
}
static struct buffer *total_buffer(struct sweep *s, struct writer *w) {
    return sweep_memory(s, w, s->total, unit_lanes(s), "total");
}
static struct buffer *factor_buffer(struct sweep *s, struct writer *w) {
    return sweep_memory(s, w, s->factor, s->panel, "factor");
}

void softmax_begin(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    (void)p;
    if (!s->t->a.has_softmax)
        return;
    const struct loop_expr *lane =
        writer_for(w, "lane", index_of(w, 0), index_of(w, unit_lanes(s)), LOOP_VECTOR);
    writer_store(w, greatest_buffer(s, w), lane, number(s, w, -INFINITY));
    writer_store(w, total_buffer(s, w), lane, number(s, w, 0));
    writer_end(w);
}

/* Opens a loop over the rows of the block, one at a time. */
static const struct loop_expr *open_rows(struct writer *w, const struct sweep_place *p) {
    return writer_for(w, "row", index_of(w, 0), p->rows, LOOP_SERIAL);
}

/* m' of a lane: the greatest of m and the block's logits, which are stored over the product's scores where
 * they are another value. */
static const struct loop_expr *find_greatest(struct sweep *s, struct writer *w, const struct sweep_place *p,
                                             const struct loop_expr *lane, const struct loop_expr *old) {
    const struct loop_expr *index[OPERAND_RANK];
    struct loop_var *m = writer_acc(w, "m", old);
    const struct loop_expr *row = open_rows(w, p), *place = scores_place(s, w, row, lane);
    struct reader r;
    scores_index(s, w, p, row, lane, index);
    open_reader(s, w, index, place, &r);
    const struct loop_expr *t = writer_cast(w, s->t->dtype, value_at(&r, s->t->a.logits, index));
    if (s->t->a.logits != stored_value(s->products[0])) {
        t = writer_let(w, "t", t);
        writer_store(w, scores_buffer(s, w, 0), place, t);
    }
    writer_set(w, m, greater(w, lexpr_var(w->f, m), t));
    writer_end(w);
    return writer_let(w, "m", lexpr_var(w->f, m));
}

static void write_softmax(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    bool exact = sweep_reads_memory(s);
    const struct loop_expr *lane =
        writer_for(w, "lane", index_of(w, 0), index_of(w, lanes_of(p, exact)), LOOP_VECTOR);
    const struct loop_expr *mine = plus(w, times(w, panel_in_unit(w, p), s->panel), lane);
    const struct loop_expr *old = writer_let(w, "old", lexpr_load(w->f, greatest_buffer(s, w), mine));
    const struct loop_expr *m = find_greatest(s, w, p, lane, old);
    const struct loop_expr *base = writer_let(w, "base", finite_or_zero(s, w, m));
    const struct loop_expr *factor = writer_let(w, "factor", exp_of_difference(s, w, old, base));
    const struct loop_expr *before = lexpr_load(w->f, total_buffer(s, w), mine);
    struct loop_var *l = writer_acc(w, "l", lexpr_binary(w->f, OP_mul, s->t->dtype, before, factor));
    const struct loop_expr *row = open_rows(w, p), *place = scores_place(s, w, row, lane);
    const struct loop_expr *t = lexpr_load(w->f, scores_buffer(s, w, 0), place);
    const struct loop_expr *e = writer_let(w, "e", exp_of_difference(s, w, t, base));
    writer_store(w, scores_buffer(s, w, 0), place, e);
    writer_set(w, l, lexpr_binary(w->f, OP_add, s->t->dtype, lexpr_var(w->f, l), e));
    writer_end(w);
    writer_store(w, greatest_buffer(s, w), mine, m);
    writer_store(w, total_buffer(s, w), mine, lexpr_var(w->f, l));
    writer_store(w, factor_buffer(s, w), lane, factor);
    writer_end(w);
}

/* The sums so far, by the factor of each lane. */
static void rescale(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    if (!s->sum_count)
        return;
    int64_t features = s->sums[0]->other.features;
    writer_if(w, p->is_later);
    const struct loop_expr *f = writer_count(w, "feature", features);
    const struct loop_expr *lane = writer_for(w, "lane", index_of(w, 0), index_of(w, p->padded), LOOP_VECTOR);
    const struct loop_expr *at =
        plus(w, times(w, panel_in_unit(w, p), features * s->panel), plus(w, times(w, f, s->panel), lane));
    struct buffer *sums = sums_buffer(s, w, 0);
    const struct loop_expr *factor = lexpr_load(w->f, factor_buffer(s, w), lane);
    writer_store(w, sums, at, lexpr_binary(w->f, OP_mul, s->t->dtype, lexpr_load(w->f, sums, at), factor));
    writer_end(w);
    writer_end(w);
    writer_end(w);
}

void sweep_scores(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    if (s->t->a.has_softmax) {
        write_softmax(s, w, p);
        rescale(s, w, p);
    } else {
        write_elementwise(s, w, p);
    }
}

/* Sums over their totals; and the logarithms of those. */
void softmax_finish(struct sweep *s, struct writer *w, const struct sweep_place *p) {
    const struct loop_expr *mine = times(w, panel_in_unit(w, p), s->panel);
    if (!s->t->a.has_softmax)
        return;
    if (s->sum_count) {
        int64_t features = s->sums[0]->other.features;
        const struct loop_expr *f = writer_count(w, "feature", features);
        const struct loop_expr *lane =
            writer_for(w, "lane", index_of(w, 0), index_of(w, p->padded), LOOP_VECTOR);
        const struct loop_expr *at =
            plus(w, times(w, panel_in_unit(w, p), features * s->panel), plus(w, times(w, f, s->panel), lane));
        struct buffer *sums = sums_buffer(s, w, 0);
        const struct loop_expr *total = lexpr_load(w->f, total_buffer(s, w), plus(w, mine, lane));
        writer_store(w, sums, at, lexpr_binary(w->f, OP_div, s->t->dtype, lexpr_load(w->f, sums, at), total));
        writer_end(w);
        writer_end(w);
    }
    if (!s->log_sum)
        return;
    const struct loop_expr *at = times(w, p->panel, s->panel);
    for (int i = 0; i < s->t->a.batch; i++)
        at = plus(w, at, times(w, p->batch[i], s->log_sum->batch[i]));
    const struct loop_expr *lane =
        writer_for(w, "lane", index_of(w, 0), index_of(w, p->columns), LOOP_VECTOR);
    const struct loop_expr *total = lexpr_load(w->f, total_buffer(s, w), plus(w, mine, lane));
    const struct loop_expr *log = lexpr_op(w->f, OP_log, s->t->dtype, &total, 1);
    const struct loop_expr *m = lexpr_load(w->f, greatest_buffer(s, w), plus(w, mine, lane));
    struct buffer *out = writer_argument(w, s->log_sum->argument);
    writer_store(w, out, plus(w, at, lane),
                 writer_cast(w, out->dtype, lexpr_binary(w->f, OP_add, s->t->dtype, log, m)));
    writer_end(w);
}
