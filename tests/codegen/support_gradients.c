#include "support_gradients.h"

#include <math.h>
#include <string.h>

/* ---- making ---- */

enum { INPUTS_MOST = 48 };

struct extension {
    struct builder b, head; /* at the end; behind the inputs */
    struct random_function *f;
    struct value *inputs[INPUTS_MOST];
    int input_count;
    struct value *results[INPUTS_MOST];
    int result_count;
};

static const struct random_input weight_numbers = {FILL_REAL, 0.5, 1.5};

static struct value *new_weight(struct extension *e, const struct type *type) {
    struct arena *arena = e->b.graph->arena;
    struct random_input *inputs = ARENA_ARRAY(arena, struct random_input, e->input_count + 1);
    memcpy(inputs, e->f->inputs, sizeof(*inputs) * (size_t)e->input_count);
    inputs[e->input_count] = weight_numbers;
    e->f->inputs = inputs;
    const char *name = arena_printf(arena, "w%d", e->input_count);
    return e->inputs[e->input_count++] = build_input(&e->head, name, type);
}

/* NULL: none of them is a float. */
static struct value *weighted_sum(struct extension *e, struct value *const *values, int count) {
    struct value *sum = NULL;
    for (int i = 0; i < count && e->input_count < INPUTS_MOST; i++) {
        if (!values[i] || !dtype_is_float(values[i]->type->dtype))
            continue;
        struct value *product = build_mul(&e->b, values[i], new_weight(e, values[i]->type));
        int64_t axes[8];
        for (int axis = 0; axis < product->type->rank; axis++)
            axes[axis] = axis;
        product = build_cast(&e->b, product, DTYPE_f32);
        struct value *term = build_reduce(&e->b, product, "sum", axes, product->type->rank);
        sum = sum ? build_add(&e->b, sum, term) : term;
    }
    return sum;
}

static void find_inputs(struct extension *e) {
    struct op *behind = e->f->function->body->first;
    FOR_EACH_OP (op, e->f->function->body)
        if (op->code == OP_input && e->input_count < INPUTS_MOST) {
            e->inputs[e->input_count++] = op->out[0];
            behind = op->next;
        }
    builder_before(&e->head, behind);
}

/* What numbers of every size, NaN among them, would say of a slope is nothing. */
static void make_ordinary(struct extension *e, bool divides) {
    for (int i = 0; i < e->input_count; i++) {
        struct random_input *input = &e->f->inputs[i];
        if (!dtype_is_float(e->inputs[i]->type->dtype))
            continue;
        if (divides || input->lo >= input->hi)
            *input = (struct random_input){FILL_REAL, divides ? 0.5 : -4, 4};
        else /* log and its like have no slope where they begin */
            *input = (struct random_input){FILL_REAL, input->lo + 0.05 * (input->hi - input->lo), input->hi};
    }
}

/* y and its gradients, a `grad` that the passes open, become results. false: reported. */
static bool add_order(struct extension *e, struct derivatives *d, struct value *y, struct value **dxs,
                      int x_count) {
    struct value *xs[INPUTS_MOST];
    int order = d->orders++, place[INPUTS_MOST], count = 0;
    d->at[order].dx = ARENA_ARRAY(e->b.graph->arena, int, INPUTS_MOST);
    d->at[order].y = e->result_count;
    memset(dxs, 0, sizeof(*dxs) * INPUTS_MOST);
    for (int i = 0; i < x_count; i++) {
        d->at[order].dx[i] = -1;
        if (dtype_is_float(e->inputs[i]->type->dtype)) {
            place[count] = i;
            xs[count++] = e->inputs[i];
        }
    }
    struct op *grad = build_grad(&e->b, y, xs, count);
    e->results[e->result_count++] = y;
    for (int i = 0; grad && i < count && e->result_count < INPUTS_MOST; i++) {
        dxs[place[i]] = grad->out[i];
        d->at[order].dx[place[i]] = e->result_count;
        e->results[e->result_count++] = grad->out[i];
    }
    return grad != NULL;
}

bool random_gradients(struct graph *graph, struct random_function *f, bool divides, struct derivatives *d,
                      struct diags *diags) {
    struct extension e = {.f = f};
    struct op *yield = block_yield(f->function->body);
    struct value *dxs[INPUTS_MOST];
    *d = (struct derivatives){0};
    builder_init(&e.b, graph, f->function->body, diags);
    e.head = e.b;
    find_inputs(&e);
    make_ordinary(&e, divides);
    f->exactness = SMOOTH;
    int x_count = d->input_count = e.input_count;
    builder_before(&e.b, yield);
    struct value *y = weighted_sum(&e, yield->in, yield->in_count);
    for (int order = 0; order < 2 && y; order++) {
        if (!add_order(&e, d, y, dxs, x_count))
            return false;
        y = weighted_sum(&e, dxs, x_count);
    }
    if (d->orders == 0)
        return true;
    op_erase(yield);
    builder_at_end(&e.b, f->function->body);
    build_yield(&e.b, e.results, e.result_count);
    f->function->result_names = ARENA_ARRAY(graph->arena, const char *, e.result_count);
    for (int i = 0; i < e.result_count; i++)
        f->function->result_names[i] = arena_printf(graph->arena, "y%d", i);
    return true;
}

/* ---- slopes ---- */

struct motion {
    const struct derivatives *d;
    struct tensor *const *inputs;
    double *const *start, *const *direction; /* by input; NULL: it does not move */
    evaluate_fn *evaluate;
    void *context;
};

static bool evaluate_at(const struct motion *m, double distance, struct tensor **results) {
    for (int i = 0; i < m->d->input_count; i++)
        for (int64_t k = 0; m->start[i] && k < type_elements(m->inputs[i]->type); k++)
            m->inputs[i]->f[k] = m->start[i][k] + distance * m->direction[i][k];
    return m->evaluate(m->context, results);
}

/* The slope along the direction that the gradients say, and the sum of its terms' sizes. */
static double said_slope(const struct motion *m, int order, struct tensor *const *results, double *size) {
    double slope = 0;
    *size = 0;
    for (int i = 0; i < m->d->input_count; i++) {
        int dx = m->start[i] ? m->d->at[order].dx[i] : -1;
        for (int64_t k = 0; dx >= 0 && k < type_elements(m->inputs[i]->type); k++) {
            double term = results[dx]->f[k] * m->direction[i][k];
            slope += term;
            *size += fabs(term);
        }
    }
    return slope;
}

enum { RESULTS_MOST = 64, STEPS = 5 };

bool derivatives_agree(const struct derivatives *d, struct tensor *const *inputs, bool is_rough,
                       uint32_t seed, evaluate_fn *evaluate, void *context, struct arena *arena,
                       struct strbuf *why) {
    static const double steps[STEPS] = {1e-5, 1e-6, 1e-7, 1e-4, 1e-3};
    double *start[INPUTS_MOST] = {0}, *direction[INPUTS_MOST] = {0}, wrong = 0;
    struct tensor *here[RESULTS_MOST], *above[RESULTS_MOST], *below[RESULTS_MOST];
    for (int i = 0; i < d->input_count; i++) {
        int64_t n = type_elements(inputs[i]->type);
        if (!dtype_is_float(inputs[i]->type->dtype))
            continue;
        start[i] = arena_memdup(arena, inputs[i]->f, sizeof(double) * (size_t)n);
        direction[i] = ARENA_ARRAY(arena, double, n + 1);
        for (int64_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            direction[i][k] = (double)(seed >> 8) * 0x1p-23 - 1;
        }
    }
    const struct motion m = {d, inputs, start, direction, evaluate, context};
    if (!evaluate_at(&m, 0, here))
        return false;
    for (int order = 0; order < d->orders; order++) {
        double size, said = said_slope(&m, order, here, &size);
        bool agrees = !isfinite(said);
        for (int s = 0; s < STEPS && !agrees; s++) {
            if (!evaluate_at(&m, steps[s], above) || !evaluate_at(&m, -steps[s], below))
                return false;
            int y = d->at[order].y;
            double slope = (above[y]->f[0] - below[y]->f[0]) / (2 * steps[s]);
            double noise = 1e-14 * fabs(here[y]->f[0]) / steps[s];
            agrees =
                !isfinite(slope) || fabs(slope - said) <= (is_rough ? 1e-2 : 1e-5) * size + noise + 1e-10;
            wrong = slope;
        }
        if (!agrees) {
            strbuf_printf(why, "gradient %d says a slope of %.12g, but it is %.12g (terms of %.3g in all)",
                          order + 1, said, wrong, size);
            break;
        }
    }
    struct tensor *ignored[RESULTS_MOST];
    evaluate_at(&m, 0, ignored);
    return why->length == 0;
}
