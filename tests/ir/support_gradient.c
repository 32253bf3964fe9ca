#include "support_gradient.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ELEMENTS = 12 }; /* how many elements of an input are moved */
static const double step = 1e-5, tolerance = 1e-7;

static struct value *random_weights(struct check *c, const struct type *type) {
    struct tensor *weights = tensor_create(c->f->arena, type);
    for (int64_t k = 0; k < type_elements(type); k++)
        weights->f[k] = random_number(c->f, 0.5, 1.5) * (random_number(c->f, -1, 1) < 0 ? -1 : 1);
    void *bytes = arena_alloc(c->f->arena, (size_t)type_bytes(type));
    tensor_to_bytes(weights, bytes);
    return build_const(&c->b, type, bytes);
}

/* A scalar that depends on every element of the values. NULL: none of them is a float. */
static struct value *random_sum(struct check *c, struct value *const *values, int count) {
    struct value *sum = NULL;
    for (int k = 0; k < count; k++) {
        if (!values[k] || !dtype_is_float(values[k]->type->dtype))
            continue;
        struct value *product = build_mul(&c->b, values[k], random_weights(c, values[k]->type));
        int64_t axes[8];
        for (int axis = 0; axis < product->type->rank; axis++)
            axes[axis] = axis;
        struct value *term = build_reduce(&c->b, product, "sum", axes, product->type->rank);
        sum = sum ? build_add(&c->b, sum, term) : term;
    }
    return sum;
}

void check_create(struct check *c, struct fixture *f, const struct subject *subject) {
    *c = (struct check){.f = f, .subject = subject, .graph = parsed(f, subject->text)};
    c->function = c->graph->functions.at[0];
    const struct type **types;
    c->input_count = input_types(f, c->function, &types);
    c->inputs = ARENA_ARRAY(f->arena, struct tensor *, c->input_count);
    c->xs = ARENA_ARRAY(f->arena, struct value *, c->input_count);
    c->x_inputs = ARENA_ARRAY(f->arena, int, c->input_count);
    int number = 0;
    FOR_EACH_OP (op, c->function->body) {
        if (op->code != OP_input)
            continue;
        struct tensor *input = c->inputs[number] = tensor_create(f->arena, op->out[0]->type);
        bool is_x = dtype_is_float(input->type->dtype);
        for (int64_t k = 0; k < type_elements(input->type); k++)
            if (is_x)
                input->f[k] = random_number(f, subject->least, subject->greatest);
            else
                input->i[k] = (int64_t)random_number(f, 0, input->type->dtype == DTYPE_bool ? 2 : 4);
        if (is_x) {
            c->x_inputs[c->x_count] = number;
            c->xs[c->x_count++] = op->out[0];
        }
        number++;
    }
    builder_init(&c->b, c->graph, c->function->body, f->diags);
}

int build_orders(struct check *c) {
    struct op *yield = block_yield(c->function->body);
    struct value **results = ARENA_ARRAY(c->f->arena, struct value *, c->subject->orders * (c->x_count + 1));
    struct value **dxs = ARENA_ARRAY(c->f->arena, struct value *, c->x_count);
    builder_before(&c->b, yield);
    struct value *y = random_sum(c, yield->in, yield->in_count);
    assert_non_null(y);
    int count = 0, order = 0;
    while (y && order < c->subject->orders) {
        struct value *one = build_number(&c->b, y->type->dtype, 1);
        struct reverse reverse = {&y, &one, 1, c->xs, c->x_count, NULL};
        if (!gradient_reverse(&c->b, &reverse, dxs, c->f->arena))
            fail_msg("%s\n%s", c->subject->text, rendered(c->f));
        results[count++] = y;
        for (int k = 0; k < c->x_count; k++)
            results[count++] = dxs[k] ? dxs[k] : build_full(&c->b, c->xs[k]->type, 0);
        order++;
        y = random_sum(c, dxs, c->x_count);
    }
    op_erase(yield);
    builder_at_end(&c->b, c->function->body);
    build_yield(&c->b, results, count);
    if (!graph_verify(c->graph, c->f->diags, "the gradient"))
        fail_msg("%s\n%s", c->subject->text, rendered(c->f));
    return order;
}

struct tensor **run_check(struct check *c) {
    struct tensor **results =
        ARENA_ARRAY(c->f->arena, struct tensor *, block_yield(c->function->body)->in_count);
    if (!eval_function(c->eval, c->function, c->inputs, c->input_count, results, NULL))
        fail_msg("%s\n%s", c->subject->text, rendered(c->f));
    return results;
}

/* Moves one element of an input and compares the change of each y with its gradient there. */
static void check_element(struct check *c, struct tensor **results, int orders, int x, int64_t element) {
    double *place = &c->inputs[c->x_inputs[x]]->f[element], value = *place;
    *place = value + step;
    struct tensor **above = run_check(c);
    *place = value - step;
    struct tensor **below = run_check(c);
    *place = value;
    for (int order = 0; order < orders; order++) {
        int y = order * (c->x_count + 1);
        double slope = (above[y]->f[0] - below[y]->f[0]) / (2 * step),
               gradient = results[y + 1 + x]->f[element];
        double scale = 1 + fabs(slope) + fabs(results[y]->f[0]);
        if (!(fabs(slope - gradient) <= tolerance * scale)) {
            struct strbuf text;
            strbuf_init(&text, c->f->arena);
            function_print(c->function, &text);
            fail_msg("seed %d: gradient %d by element %lld of float input %d is %.10g, but the slope is "
                     "%.10g\n%s\n%s",
                     SEED, order + 1, (long long)element, x, gradient, slope, c->subject->text, text.text);
        }
    }
}

static void check_subject(struct fixture *f, const struct subject *subject) {
    struct check c;
    check_create(&c, f, subject);
    int orders = build_orders(&c);
    c.eval = eval_create(f->arena, c.graph, EVAL_F64, f->diags);
    struct tensor **results = run_check(&c);
    for (int x = 0; x < c.x_count; x++) {
        int64_t n = type_elements(c.xs[x]->type);
        for (int64_t k = 0; k < n && k < ELEMENTS; k++)
            check_element(&c, results, orders, x,
                          n <= ELEMENTS ? k : (int64_t)random_number(f, 0, (double)n));
    }
}

void check_text(const struct subject *subject) {
    void *state;
    fixture_create(&state);
    struct fixture *f = state;
    f->random = SEED;
    check_subject(f, subject);
    fixture_destroy(&state);
}

void check_use(const char *op, const char *use, double least, double greatest, int orders) {
    void *state;
    fixture_create(&state);
    struct fixture *f = state;
    f->random = SEED;
    struct subject subject = {text_around(f, op, use), least, greatest, orders};
    check_subject(f, &subject);
    fixture_destroy(&state);
}
