/* Every gradient rule against central finite differences in f64, first and second gradients (for smooth
 * operators the third too): on the examples of ops.def, on shapes around them, and in whole small graphs. */
#include "ir/gradient.h"

#include "support_eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 20240611, ELEMENTS = 12 }; /* how many elements of an input are moved */
static const double step = 1e-5, tolerance = 1e-7;

/* What is differentiated: a text whose function's float inputs are numbers between least and greatest. */
struct subject {
    const char *text;
    double least, greatest;
    int orders;
};

struct check {
    struct fixture *f;
    const struct subject *subject;
    struct graph *graph;
    struct function *function;
    struct builder b;
    struct value **xs; /* the float inputs */
    int *x_inputs;     /* their numbers among all inputs */
    int x_count, input_count;
    struct tensor **inputs;
    struct eval *eval;
};

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

static void check_create(struct check *c, struct fixture *f, const struct subject *subject) {
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

/* Appends y, the gradients of y, a sum of them, its gradients, ... and makes them the results:
 * y_1, dx_1.., y_2, dx_2.., ... Gives the number of orders that there are. */
static int build_orders(struct check *c) {
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

static struct tensor **run(struct check *c) {
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
    struct tensor **above = run(c);
    *place = value - step;
    struct tensor **below = run(c);
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
    struct tensor **results = run(&c);
    for (int x = 0; x < c.x_count; x++) {
        int64_t n = type_elements(c.xs[x]->type);
        for (int64_t k = 0; k < n && k < ELEMENTS; k++)
            check_element(&c, results, orders, x,
                          n <= ELEMENTS ? k : (int64_t)random_number(f, 0, (double)n));
    }
}

/* Runs it in memory of its own: many graphs, each with many runs. */
static void check_text(const struct subject *subject) {
    void *state;
    fixture_create(&state);
    struct fixture *f = state;
    f->random = SEED;
    check_subject(f, subject);
    fixture_destroy(&state);
}

static void check_use(const char *op, const char *use, double least, double greatest, int orders) {
    void *state;
    fixture_create(&state);
    struct fixture *f = state;
    f->random = SEED;
    struct subject subject = {text_around(f, op, use), least, greatest, orders};
    check_subject(f, &subject);
    fixture_destroy(&state);
}

/* ---- single operators ---- */

/* Operands of these stay where the function is smooth. */
static const struct domain {
    const char *op;
    double least, greatest;
} domains[] = {{"log", 0.5, 2},   {"log1p", -0.5, 1}, {"sqrt", 0.5, 2},
               {"pow", 0.5, 1.5}, {"div", 0.5, 1.5},  {"mod", 1.1, 1.9}};

static struct domain domain_of(const char *op) {
    for (size_t k = 0; k < sizeof domains / sizeof *domains; k++)
        if (strcmp(domains[k].op, op) == 0)
            return domains[k];
    return (struct domain){op, -1, 1};
}

static bool has_float_operand(const char *example) {
    const char *rest = strpbrk(example, "{:"), *at = strstr(example, "f32");
    return at && (!rest || at < rest);
}

static void every_example_of_the_table(void **state) {
    (void)state;
    int count = 0;
    for (int code = 0; code < OP_COUNT; code++) {
        const struct op_info *info = &op_infos[code];
        if (!gradient_exists(code) || code == OP_stop_gradient || !has_float_operand(info->example))
            continue;
        struct domain d = domain_of(info->name);
        check_use(info->name, info->example, d.least, d.greatest, info->fuse == FUSE_MAP ? 3 : 2);
        count++;
    }
    assert_true(count >= 40);
}

static const struct {
    const char *op, *use;
} uses[] = {
    {"add", "f32[], f32[3]"},
    {"mul", "f32[2,1,3], f32[4,1]"},
    {"mul", "f32[0,3], f32[3]"},
    {"div", "f32[1], f32[4]"},
    {"pow", "f32[2,1], f32[3]"},
    {"max", "f32[2,1], f32[1,3]"},
    {"select", "bool[3], f32[2,3], f32[3]"},
    {"select", "bool[2,3], f32[], f32[1,3]"},
    {"cast", "f32[3] : f64[3]"},
    {"reshape", "f32[2,3] : f32[1,6]"},
    {"transpose", "f32[2,3,4,1] {perm = [3, 1, 0, 2]}"},
    {"broadcast", "f32[1,3] {axes = [0, 2]} : f32[4,2,3]"},
    {"broadcast", "f32[2] {axes = [0]} : f32[2,3]"},
    {"broadcast", "f32[] {axes = []} : f32[2,2]"},
    {"slice", "f32[7] {start = [6], step = [-3]} : f32[3]"},
    {"slice", "f32[7] {start = [1], step = [2]} : f32[3]"},
    {"slice", "f32[7] {start = [3], step = [-1]} : f32[1]"},
    {"slice", "f32[7] {start = [7], step = [1]} : f32[0]"},
    {"pad", "f32[4] {lo = [-1], hi = [2], interior = [2], value = 1}"},
    {"pad", "f32[1] {lo = [0], hi = [0], interior = [3], value = 0}"},
    {"concat", "f32[2,3], f32[2,0], f32[2,1] {axis = 1}"},
    {"concat", "f32[2] {axis = 0}"},
    {"dynamic_slice", "f32[5], i32[] : f32[2]"},
    {"dynamic_slice", "f32[2,3,4], i32[], i32[], i32[] : f32[1,3,2]"},
    {"dynamic_update", "f32[5], f32[3], i32[]"},
    {"gather", "f32[5,7], i32[2,3] {axis = 1, batch = 0}"},
    {"gather", "f32[2,3,5], i32[2,4] {axis = 2, batch = 1}"},
    {"gather", "f32[2,5,3], i32[2] {axis = 1, batch = 1}"},
    {"gather", "f32[5], i32[] {axis = 0, batch = 0}"},
    {"scatter", "f32[5,2], i32[3,2], f32[3,2,2] {axis = 0, batch = 0, kind = \"add\"}"},
    {"scatter", "f32[5,2], i32[3,2], f32[3,2,2] {axis = 0, batch = 0, kind = \"set\"}"},
    {"scatter", "f32[5,2], i32[6], f32[6,2] {axis = 0, batch = 0, kind = \"max\"}"},
    {"scatter", "f32[2,3,5], i32[2,4], f32[2,3,4] {axis = 2, batch = 1, kind = \"set\"}"},
    {"scatter", "f32[2,5], i32[2], f32[2] {axis = 1, batch = 1, kind = \"set\"}"},
    {"scatter", "f32[2,3,5], i32[2,4], f32[2,3,4] {axis = 2, batch = 1, kind = \"max\"}"},
    {"sort", "f32[5,2] {axis = 0, descending = 1}"},
    {"sort", "f32[1] {axis = 0, descending = 0}"},
    {"windows", "f32[5] {window = [3], step = [1], dilation = [1]}"},
    {"windows", "f32[2,4,4] {window = [2, 2], step = [2, 2], dilation = [1, 1]}"},
    {"fold", "f32[3,2] {window = [2], step = [2], dilation = [1]} : f32[7]"},
    {"reduce", "f32[3,4] {axes = [0, 1], kind = \"sum\"}"},
    {"reduce", "f32[3,4] {axes = [], kind = \"max\"}"},
    {"reduce", "f32[3,4] {axes = [1], kind = \"prod\"}"},
    {"reduce", "f32[2,3,2] {axes = [0, 2], kind = \"prod\"}"},
    {"reduce", "f32[3,4] {axes = [0], kind = \"max\"}"},
    {"reduce", "f32[3,4] {axes = [0, 1], kind = \"min\"}"},
    {"reduce", "f32[0,4] {axes = [0], kind = \"sum\"}"},
    {"scan", "f32[2,5] {axis = 1, kind = \"sum\", exclusive = 1, reverse = 1}"},
    {"scan", "f32[4,2] {axis = 0, kind = \"prod\", exclusive = 0, reverse = 0}"},
    {"scan", "f32[2,4] {axis = 1, kind = \"prod\", exclusive = 0, reverse = 1}"},
    {"scan", "f32[2,4] {axis = 1, kind = \"prod\", exclusive = 1, reverse = 0}"},
    {"scan", "f32[4] {axis = 0, kind = \"prod\", exclusive = 1, reverse = 1}"},
    {"scan", "f32[1] {axis = 0, kind = \"prod\", exclusive = 0, reverse = 0}"},
    {"scan", "f32[2,6] {axis = 1, kind = \"max\", exclusive = 0, reverse = 0}"},
    {"scan", "f32[6,2] {axis = 0, kind = \"max\", exclusive = 0, reverse = 1}"},
    {"scan", "f32[2,6] {axis = 1, kind = \"min\", exclusive = 0, reverse = 1}"},
    {"dot", "f32[3,2], f32[4,3] {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [1]}"},
    {"dot", "f32[2,3], f32[4,3] {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]}"},
    {"dot", "f32[3], f32[3] {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]}"},
    {"dot", "f32[2], f32[3] {lhs_batch = [], rhs_batch = [], lhs_contract = [], rhs_contract = []}"},
    {"dot",
     "f32[2,3,4], f32[4,5,2] {lhs_batch = [0], rhs_batch = [2], lhs_contract = [2], rhs_contract = [0]}"},
    {"dot", "f32[3,2,4,2], f32[4,2,2,3] {lhs_batch = [1], rhs_batch = [2], lhs_contract = [0, 2], "
            "rhs_contract = [3, 0]}"},
    {"dot", "f32[2,1], f32[1,2] {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}"},
    {"conv",
     "f32[1,2,5], f32[3,2,3] {stride = [1], pad_lo = [1], pad_hi = [1], dilation = [1], lhs_dilation = [1], "
     "groups = 1}"},
    {"conv",
     "f32[2,1,6], f32[2,1,2] {stride = [3], pad_lo = [0], pad_hi = [0], dilation = [1], lhs_dilation = [1], "
     "groups = 1}"},
    {"conv",
     "f32[1,2,4,3], f32[2,2,3,2] {stride = [1, 2], pad_lo = [1, 0], pad_hi = [2, 1], dilation = [1, 1], "
     "lhs_dilation = [2, 3], groups = 1}"},
    {"conv",
     "f32[1,3,4], f32[3,1,2] {stride = [1], pad_lo = [-1], pad_hi = [1], dilation = [2], lhs_dilation = [1], "
     "groups = 3}"},
    {"conv", "f32[1,2,2,3,2], f32[1,2,2,1,2] {stride = [1, 2, 1], pad_lo = [1, 0, 0], pad_hi = [0, 0, 1], "
             "dilation = [1, 1, 1], lhs_dilation = [1, 1, 1], groups = 1}"},
    {"conv_wgrad",
     "f32[2,4,5], f32[2,2,3] {stride = [2], pad_lo = [1], pad_hi = [1], dilation = [1], lhs_dilation = [1], "
     "groups = 2} : f32[2,2,3]"},
};

static void shapes_around_the_examples(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof uses / sizeof *uses; k++) {
        struct domain d = domain_of(uses[k].op);
        check_use(uses[k].op, uses[k].use, d.least, d.greatest, 2);
    }
}

static int random_int(struct fixture *f, int least, int greatest) {
    return least + (int)random_number(f, 0, greatest - least + 1);
}

static void put_list(struct strbuf *out, const char *name, const int *values, int count) {
    strbuf_printf(out, "%s = [", name);
    for (int k = 0; k < count; k++)
        strbuf_printf(out, "%s%d", k ? ", " : "", values[k]);
    strbuf_puts(out, "], ");
}

/* A convolution of random sizes and attributes, as in an example; NULL: the window does not fit. */
static const char *random_conv(struct fixture *f) {
    int rank = random_int(f, 1, 2), groups = random_int(f, 1, 2);
    int batch = random_int(f, 1, 2), inputs = random_int(f, 1, 2), outputs = random_int(f, 1, 2);
    int image[2], kernel[2], stride[2], lo[2], hi[2], dilation[2], gaps[2];
    for (int k = 0; k < rank; k++) {
        image[k] = random_int(f, 1, 5);
        kernel[k] = random_int(f, 1, 3);
        stride[k] = random_int(f, 1, 3);
        lo[k] = random_int(f, -1, 2);
        hi[k] = random_int(f, -1, 2);
        dilation[k] = random_int(f, 1, 2);
        gaps[k] = random_int(f, 1, 3);
        int extent = (image[k] - 1) * gaps[k] + 1 + lo[k] + hi[k];
        if (extent < (kernel[k] - 1) * dilation[k] + 1)
            return NULL;
    }
    struct strbuf use;
    strbuf_init(&use, f->arena);
    strbuf_printf(&use, "f32[%d,%d", batch, inputs * groups);
    for (int k = 0; k < rank; k++)
        strbuf_printf(&use, ",%d", image[k]);
    strbuf_printf(&use, "], f32[%d,%d", outputs * groups, inputs);
    for (int k = 0; k < rank; k++)
        strbuf_printf(&use, ",%d", kernel[k]);
    strbuf_puts(&use, "] {");
    put_list(&use, "stride", stride, rank);
    put_list(&use, "pad_lo", lo, rank);
    put_list(&use, "pad_hi", hi, rank);
    put_list(&use, "dilation", dilation, rank);
    put_list(&use, "lhs_dilation", gaps, rank);
    strbuf_printf(&use, "groups = %d}", groups);
    return use.text;
}

static void random_convolutions(void **state) {
    struct fixture *f = *state;
    int count = 0;
    f->random = SEED;
    while (count < 60) {
        const char *use = random_conv(f);
        if (!use)
            continue;
        check_use("conv", use, -1, 1, 2);
        count++;
    }
}

static void shuffle(struct fixture *f, int *values, int count) {
    for (int k = count - 1; k > 0; k--) {
        int j = random_int(f, 0, k), value = values[k];
        values[k] = values[j];
        values[j] = value;
    }
}

/* A product with up to two axes of each kind, everywhere in both operands. */
static const char *random_dot(struct fixture *f) {
    static const char *const names[2][2] = {{"lhs_batch", "lhs_contract"}, {"rhs_batch", "rhs_contract"}};
    int batch = random_int(f, 0, 2), contract = random_int(f, 0, 2), sizes[4], axes[2][6];
    struct strbuf use, attrs;
    strbuf_init(&use, f->arena);
    strbuf_init(&attrs, f->arena);
    for (int k = 0; k < batch + contract; k++)
        sizes[k] = random_int(f, 1, 3);
    for (int side = 0; side < 2; side++) {
        int rank = batch + contract + random_int(f, 0, 2), dims[6];
        for (int k = 0; k < rank; k++)
            axes[side][k] = k;
        shuffle(f, axes[side], rank);
        for (int k = 0; k < rank; k++)
            dims[axes[side][k]] = k < batch + contract ? sizes[k] : random_int(f, 1, 3);
        strbuf_puts(&use, side ? ", f32[" : "f32[");
        for (int k = 0; k < rank; k++)
            strbuf_printf(&use, "%s%d", k ? "," : "", dims[k]);
        strbuf_puts(&use, "]");
        put_list(&attrs, names[side][0], axes[side], batch);
        put_list(&attrs, names[side][1], axes[side] + batch, contract);
    }
    attrs.text[attrs.length - 2] = 0; /* the last comma */
    return arena_printf(f->arena, "%s {%s}", use.text, attrs.text);
}

static void random_products(void **state) {
    struct fixture *f = *state;
    f->random = SEED;
    for (int k = 0; k < 60; k++)
        check_use("dot", random_dot(f), -1, 1, 2);
}

/* ---- where functions have corners, and where products meet zeros ---- */

/* The gradients of the sum of all results, by each float input, at given numbers. */
static const struct {
    const char *op, *use, *operands, *gradients;
} corners[] = {
    /* ties give half to each, or an equal share to all */
    {"max", "f32[3], f32[3]", "1 2 3; 1 3 2", "0.5 0 1; 0.5 1 0"},
    {"min", "f32[3], f32[]", "1 0 2; 1", "0.5 1 0; 1.5"},
    {"reduce", "f32[2,4] {axes = [1], kind = \"max\"}", "5 1 5 5 1 2 3 4",
     "0.3333333333333333 0 0.3333333333333333 "
     "0.3333333333333333 0 0 0 1"},
    {"reduce", "f32[4] {axes = [0], kind = \"min\"}", "2 2 3 4", "0.5 0.5 0 0"},
    {"scatter", "f32[2], i32[3], f32[3] {axis = 0, batch = 0, kind = \"max\"}", "1 2; 0 0 1; 1 1 1",
     "0.3333333333333333 1; 0.3333333333333333 0.3333333333333333 0"},
    /* the first of equals */
    {"scan", "f32[4] {axis = 0, kind = \"max\", exclusive = 0, reverse = 0}", "1 1 2 2", "2 0 2 0"},
    {"scan", "f32[4] {axis = 0, kind = \"max\", exclusive = 0, reverse = 1}", "1 1 2 2", "0 0 0 4"},
    {"scan", "f32[3] {axis = 0, kind = \"max\", exclusive = 1, reverse = 0}", "3 1 2", "2 0 0"},
    /* the last row with an index */
    {"scatter", "f32[3], i32[3], f32[3] {axis = 0, batch = 0, kind = \"set\"}", "1 2 3; 2 0 2; 7 8 9",
     "0 1 0; 0 1 1"},
    {"reduce", "f32[3] {axes = [0], kind = \"prod\"}", "0 2 3", "6 0 0"},
    {"reduce", "f32[3] {axes = [0], kind = \"prod\"}", "0 2 0", "0 0 0"},
    {"scan", "f32[3] {axis = 0, kind = \"prod\", exclusive = 0, reverse = 0}", "2 0 3", "1 8 0"},
    {"abs", "f32[3]", "-2 0 2", "-1 0 1"},
    {"pow", "f32[2], f32[2]", "0 0; 0 1", "0 1; 0 0"},
    {"sort", "f32[3] {axis = 0, descending = 0}", "2 1 1", "1 1 1"},
    {"gather", "f32[3], i32[4] {axis = 0, batch = 0}", "1 2 3; 2 0 2 2", "1 0 3"},
};

static const char *next_part(struct fixture *f, const char **text) {
    size_t length = strcspn(*text, ";");
    const char *part = arena_strndup(f->arena, *text, length);
    *text += length + ((*text)[length] == ';');
    return part;
}

static void corners_are_shared_fairly(void **state) {
    struct fixture *f = *state;
    for (size_t k = 0; k < sizeof corners / sizeof *corners; k++) {
        struct subject subject = {text_around(f, corners[k].op, corners[k].use), 0, 1, 1};
        struct check c;
        check_create(&c, f, &subject);
        builder_before(&c.b, block_yield(c.function->body));
        struct value *y = block_yield(c.function->body)->in[0],
                     **dxs = ARENA_ARRAY(f->arena, struct value *, c.x_count);
        struct value *ones = build_full(&c.b, y->type, 1);
        assert_true(
            gradient_reverse(&c.b, &(struct reverse){&y, &ones, 1, c.xs, c.x_count, NULL}, dxs, f->arena));
        op_erase(block_yield(c.function->body));
        builder_at_end(&c.b, c.function->body);
        build_yield(&c.b, dxs, c.x_count);
        c.eval = eval_create(f->arena, c.graph, EVAL_F64, f->diags);
        const char *operands = corners[k].operands, *gradients = corners[k].gradients;
        for (int input = 0; input < c.input_count; input++)
            c.inputs[input] = numbers(f, c.inputs[input]->type, next_part(f, &operands));
        struct tensor **results = run(&c);
        for (int x = 0; x < c.x_count; x++) {
            struct strbuf why;
            strbuf_init(&why, f->arena);
            struct tensor *wanted = numbers(f, results[x]->type, next_part(f, &gradients));
            if (!compare_tensors(results[x], wanted, 1e-15, &why))
                fail_msg("%s(%s) of %s, input %d: %s", corners[k].op, corners[k].use, corners[k].operands, x,
                         why.text);
        }
    }
}

/* ---- whole graphs ---- */

static const char mlp[] =
    "graph g\n"
    "fn f() {\n"
    "  %x = input {name = \"x\"} : f32[3,4]\n"
    "  %w = input {name = \"w\"} : f32[5,4]\n"
    "  %b = input {name = \"b\"} : f32[5]\n"
    "  %v = input {name = \"v\"} : f32[5,2]\n"
    "  %0 = dot(%x, %w) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[3,5]\n"
    "  %1 = add(%0, %b) : f32[3,5]\n"
    "  %2 = tanh(%1) : f32[3,5]\n"
    "  %3 = dot(%2, %v) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[3,2]\n"
    "  %4 = mul(%3, %3) : f32[3,2]\n"
    "  yield(%4)\n"
    "}\n";

static const char conv_net[] =
    "graph g\n"
    "fn f() {\n"
    "  %x = input {name = \"x\"} : f32[2,1,6,6]\n"
    "  %w = input {name = \"w\"} : f32[2,1,3,3]\n"
    "  %b = input {name = \"b\"} : f32[2,1,1]\n"
    "  %v = input {name = \"v\"} : f32[8,3]\n"
    "  %0 = conv(%x, %w) {stride = [1, 1], pad_lo = [0, 0], pad_hi = [0, 0], dilation = [1, 1], lhs_dilation "
    "= [1, 1], "
    "groups = 1} : f32[2,2,4,4]\n"
    "  %1 = add(%0, %b) : f32[2,2,4,4]\n"
    "  %2 = windows(%1) {window = [2, 2], step = [2, 2], dilation = [1, 1]} : f32[2,2,2,2,2,2]\n"
    "  %3 = reduce(%2) {axes = [4, 5], kind = \"max\"} : f32[2,2,2,2]\n"
    "  %4 = tanh(%3) : f32[2,2,2,2]\n"
    "  %5 = reshape(%4) : f32[2,8]\n"
    "  %6 = dot(%5, %v) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[2,3]\n"
    "  %7 = exp(%6) : f32[2,3]\n"
    "  yield(%7)\n"
    "}\n";

static const char layer_norm[] = "graph g\n"
                                 "fn f() {\n"
                                 "  %x = input {name = \"x\"} : f32[3,4]\n"
                                 "  %g = input {name = \"g\"} : f32[4]\n"
                                 "  %n = const {data = 4} : f32[]\n"
                                 "  %e = const {data = 0.01} : f32[]\n"
                                 "  %0 = reduce(%x) {axes = [1], kind = \"sum\"} : f32[3]\n"
                                 "  %1 = div(%0, %n) : f32[3]\n"
                                 "  %2 = reshape(%1) : f32[3,1]\n"
                                 "  %3 = sub(%x, %2) : f32[3,4]\n"
                                 "  %4 = mul(%3, %3) : f32[3,4]\n"
                                 "  %5 = reduce(%4) {axes = [1], kind = \"sum\"} : f32[3]\n"
                                 "  %6 = div(%5, %n) : f32[3]\n"
                                 "  %7 = add(%6, %e) : f32[3]\n"
                                 "  %8 = sqrt(%7) : f32[3]\n"
                                 "  %9 = reshape(%8) : f32[3,1]\n"
                                 "  %10 = div(%3, %9) : f32[3,4]\n"
                                 "  %11 = mul(%10, %g) : f32[3,4]\n"
                                 "  yield(%11)\n"
                                 "}\n";

static const char cross_entropy[] = "graph g\n"
                                    "fn f() {\n"
                                    "  %x = input {name = \"x\"} : f32[3,4]\n"
                                    "  %t = input {name = \"label\"} : i32[3]\n"
                                    "  %0 = reduce(%x) {axes = [1], kind = \"max\"} : f32[3]\n"
                                    "  %1 = stop_gradient(%0) : f32[3]\n"
                                    "  %2 = reshape(%1) : f32[3,1]\n"
                                    "  %3 = sub(%x, %2) : f32[3,4]\n"
                                    "  %4 = exp(%3) : f32[3,4]\n"
                                    "  %5 = reduce(%4) {axes = [1], kind = \"sum\"} : f32[3]\n"
                                    "  %6 = log(%5) : f32[3]\n"
                                    "  %7 = gather(%3, %t) {axis = 1, batch = 1} : f32[3]\n"
                                    "  %8 = sub(%6, %7) : f32[3]\n"
                                    "  yield(%8)\n"
                                    "}\n";

static const char attention[] = "graph g\n"
                                "fn f() {\n"
                                "  %q = input {name = \"q\"} : f32[2,3,4]\n"
                                "  %k = input {name = \"k\"} : f32[2,3,4]\n"
                                "  %v = input {name = \"v\"} : f32[2,3,4]\n"
                                "  %0 = dot(%q, %k) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], "
                                "rhs_contract = [2]} : f32[2,3,3]\n"
                                "  %1 = exp(%0) : f32[2,3,3]\n"
                                "  %2 = reduce(%1) {axes = [2], kind = \"sum\"} : f32[2,3]\n"
                                "  %3 = reshape(%2) : f32[2,3,1]\n"
                                "  %4 = div(%1, %3) : f32[2,3,3]\n"
                                "  %5 = dot(%4, %v) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], "
                                "rhs_contract = [1]} : f32[2,3,4]\n"
                                "  yield(%5)\n"
                                "}\n";

/* A recurrence over the rows of a captured sequence, with an integer carried along, stacked outputs, and a
 * carried value
 * (%d) that nothing reads. */
static const char recurrence[] =
    "graph g\n"
    "fn f() {\n"
    "  %x = input {name = \"x\"} : f32[4,3]\n"
    "  %w = input {name = \"w\"} : f32[3,3]\n"
    "  %h = input {name = \"h\"} : f32[3]\n"
    "  %lo = const {data = 0} : i32[]\n"
    "  %hi = const {data = 4} : i32[]\n"
    "  %r, %n, %dead, %ys = loop(%lo, %hi, %h, %lo, %h, %x, %w) {reverse = REVERSE, carried = 3} : f32[3], "
    "i32[], f32[3], "
    "f32[4,3] region(%i: i32[], %c: f32[3], %m: i32[], %d: f32[3], %s: f32[4,3], %u: f32[3,3]) {\n"
    "    %z = const {data = 0} : i32[]\n"
    "    %one = const {data = 1} : i32[]\n"
    "    %0 = dynamic_slice(%s, %m, %z) : f32[1,3]\n"
    "    %1 = reshape(%0) : f32[3]\n"
    "    %2 = dot(%u, %c) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[3]\n"
    "    %3 = add(%1, %2) : f32[3]\n"
    "    %4 = tanh(%3) : f32[3]\n"
    "    %5 = add(%m, %one) : i32[]\n"
    "    %6 = cast(%i) : f32[]\n"
    "    %7 = mul(%4, %6) : f32[3]\n"
    "    %8 = exp(%d) : f32[3]\n"
    "    yield(%4, %5, %8, %7)\n"
    "  }\n"
    "  yield(%r, %ys)\n"
    "}\n";

/* A loop in a loop, whose inner bounds are captured; the outer one carries what the inner one made. */
static const char nested_loops[] =
    "graph g\n"
    "fn f() {\n"
    "  %x = input {name = \"x\"} : f32[2]\n"
    "  %a = input {name = \"a\"} : f32[2]\n"
    "  %lo = const {data = 1} : i32[]\n"
    "  %hi = const {data = 3} : i32[]\n"
    "  %r = loop(%lo, %hi, %x, %a, %lo, %hi) {reverse = 1, carried = 1} : f32[2] "
    "region(%i: i32[], %c: f32[2], %b: f32[2], %l: i32[], %h: i32[]) {\n"
    "    %s = loop(%l, %h, %c, %b) {reverse = 0, carried = 1} : f32[2] region(%j: i32[], %d: f32[2], %e: "
    "f32[2]) {\n"
    "      %0 = mul(%d, %e) : f32[2]\n"
    "      %1 = sin(%0) : f32[2]\n"
    "      yield(%1)\n"
    "    }\n"
    "    %2 = add(%s, %c) : f32[2]\n"
    "    yield(%2)\n"
    "  }\n"
    "  yield(%r)\n"
    "}\n";

static const char no_turns[] = "graph g\n"
                               "fn f() {\n"
                               "  %x = input {name = \"x\"} : f32[2]\n"
                               "  %lo = const {data = 1} : i32[]\n"
                               "  %r, %ys = loop(%lo, %lo, %x) {reverse = 0, carried = 1} : f32[2], f32[0,2] "
                               "region(%i: i32[], %c: f32[2]) {\n"
                               "    %1 = sin(%c) : f32[2]\n"
                               "    yield(%1, %c)\n"
                               "  }\n"
                               "  %s = exp(%r) : f32[2]\n"
                               "  yield(%s, %ys)\n"
                               "}\n";

/* One side uses only one of two captures; one capture stands twice. */
static const char branch[] = "graph g\n"
                             "fn f() {\n"
                             "  %c = input {name = \"c\"} : bool[]\n"
                             "  %x = input {name = \"x\"} : f32[3]\n"
                             "  %y = input {name = \"y\"} : f32[3]\n"
                             "  %z = input {name = \"z\"} : f32[]\n"
                             "  %n = SIDE(%c) : bool[]\n"
                             "  %r, %s = cond(%n, %x, %y, %x, %z) : f32[3], f32[3] "
                             "region(%x1: f32[3], %y1: f32[3], %w1: f32[3], %z1: f32[]) {\n"
                             "    %0 = mul(%x1, %y1) : f32[3]\n"
                             "    %1 = mul(%0, %w1) : f32[3]\n"
                             "    report(%0) {name = \"product\"}\n"
                             "    yield(%1, %w1)\n"
                             "  } region(%x2: f32[3], %y2: f32[3], %w2: f32[3], %z2: f32[]) {\n"
                             "    %2 = sin(%x2) : f32[3]\n"
                             "    %3 = mul(%w2, %w2) : f32[3]\n"
                             "    yield(%2, %3)\n"
                             "  }\n"
                             "  %5 = mul(%r, %z) : f32[3]\n"
                             "  yield(%5, %s)\n"
                             "}\n";

static const char remat[] = "graph g\n"
                            "fn f() {\n"
                            "  %x = input {name = \"x\"} : f32[3]\n"
                            "  %y = input {name = \"y\"} : f32[3]\n"
                            "  %r = remat(%x, %y, %x) : f32[3] region(%a: f32[3], %b: f32[3], %c: f32[3]) {\n"
                            "    %0 = exp(%a) : f32[3]\n"
                            "    %1 = mul(%0, %b) : f32[3]\n"
                            "    %2 = sin(%1) : f32[3]\n"
                            "    %3 = add(%2, %c) : f32[3]\n"
                            "    yield(%3)\n"
                            "  }\n"
                            "  %5 = mul(%r, %x) : f32[3]\n"
                            "  yield(%5)\n"
                            "}\n";

/* %s is called twice; with BACKWARD the library has its gradient, x y -> (dz y, dz x). */
static const char composites[] =
    "graph g\n"
    "fn f() {\n"
    "  %x = input {name = \"x\"} : f32[3]\n"
    "  %y = input {name = \"y\"} : f32[3]\n"
    "  %r = call(%x, %y) {function = product} : f32[3]\n"
    "  %s = call(%r, %x) {function = product} : f32[3]\n"
    "  yield(%s)\n"
    "}\n"
    "composite product() region(%a: f32[3], %b: f32[3]) {\n"
    "  %0 = mul(%a, %b) : f32[3]\n"
    "  yield(%0)\n"
    "}\n"
    "composite BACKWARD() region(%a: f32[3], %b: f32[3], %z: f32[3], %dz: f32[3]) {\n"
    "  %0 = mul(%dz, %b) : f32[3]\n"
    "  %1 = mul(%dz, %a) : f32[3]\n"
    "  yield(%0, %1)\n"
    "}\n";

/* A value that is used in many ways, one of them through a path without gradient. */
static const char many_uses[] = "graph g\n"
                                "fn f() {\n"
                                "  %x = input {name = \"x\"} : f32[4]\n"
                                "  %i = input {name = \"i\"} : i32[3]\n"
                                "  %j = input {name = \"j\"} : i32[]\n"
                                "  %0 = gather(%x, %i) {axis = 0, batch = 0} : f32[3]\n"
                                "  %1 = dynamic_slice(%x, %j) : f32[3]\n"
                                "  %2 = add(%0, %1) : f32[3]\n"
                                "  %3 = slice(%x) {start = [0], step = [1]} : f32[3]\n"
                                "  %4 = mul(%2, %3) : f32[3]\n"
                                "  %5 = floor(%x) : f32[4]\n"
                                "  yield(%4, %5)\n"
                                "}\n";

/* Random words under a key inside a region that is computed twice: both times the same. */
static const char dropout[] = "graph g\n"
                              "fn f() {\n"
                              "  %x = input {name = \"x\"} : f32[8]\n"
                              "  %key = input {name = \"seed\"} : u32[2]\n"
                              "  %r = remat(%x, %key) : f32[8] region(%a: f32[8], %k: u32[2]) {\n"
                              "    %0 = random_bits(%k) : u32[8]\n"
                              "    %1 = const {data = 2147483648} : u32[]\n"
                              "    %2 = lt(%0, %1) : bool[8]\n"
                              "    %3 = exp(%a) : f32[8]\n"
                              "    %4 = const {data = 0} : f32[]\n"
                              "    %5 = select(%2, %3, %4) : f32[8]\n"
                              "    yield(%5)\n"
                              "  }\n"
                              "  yield(%r)\n"
                              "}\n";

/* Regions of all kinds in each other: a loop that swaps its carried values, updates one of them in place,
 * yields a capture, an integer and one value twice; in it a branch, a checkpoint and a call. */
static const char regions_in_regions[] =
    "graph g\n"
    "fn f() {\n"
    "  %x = input {name = \"x\"} : f32[3]\n"
    "  %y = input {name = \"y\"} : f32[3]\n"
    "  %z = input {name = \"z\"} : f32[]\n"
    "  %lo = const {data = -1} : i32[]\n"
    "  %hi = const {data = 2} : i32[]\n"
    "  %a, %b, %s, %t, %u, %v = loop(%lo, %hi, %x, %y, %z, %x, %z) {reverse = 1, carried = 2} : "
    "f32[3], f32[3], f32[3,3], f32[3,3], i32[3], f32[3,3] "
    "region(%i: i32[], %p: f32[3], %q: f32[3], %c: f32[], %d: f32[3], %e: f32[]) {\n"
    "    %zero = const {data = 0} : i32[]\n"
    "    %even = eq(%i, %zero) : bool[]\n"
    "    %0 = cond(%even, %p, %c, %d) : f32[3] region(%p1: f32[3], %c1: f32[], %d1: f32[3]) {\n"
    "      %1 = mul(%p1, %c1) : f32[3]\n"
    "      %2 = call(%1, %d1) {function = product} : f32[3]\n"
    "      yield(%2)\n"
    "    } region(%p2: f32[3], %c2: f32[], %d2: f32[3]) {\n"
    "      %3 = sin(%p2) : f32[3]\n"
    "      yield(%3)\n"
    "    }\n"
    "    %4 = remat(%q, %0) : f32[3] region(%q3: f32[3], %r3: f32[3]) {\n"
    "      %5 = tanh(%q3) : f32[3]\n"
    "      %6 = call(%5, %r3) {function = product} : f32[3]\n"
    "      yield(%6)\n"
    "    }\n"
    "    %7 = reshape(%e) : f32[1]\n"
    "    %8 = dynamic_update(%4, %7, %i) : f32[3]\n"
    "    yield(%8, %p, %d, %0, %i, %0)\n"
    "  }\n"
    "  yield(%a, %b, %s, %t, %v)\n"
    "}\n"
    "composite product() region(%a: f32[3], %b: f32[3]) {\n"
    "  %0 = mul(%a, %b) : f32[3]\n"
    "  yield(%0)\n"
    "}\n";

/* The text with a word replaced. */
static const char *with(struct fixture *f, const char *text, const char *word, const char *by) {
    const char *at = strstr(text, word);
    assert_non_null(at);
    return arena_printf(f->arena, "%.*s%s%s", (int)(at - text), text, by, at + strlen(word));
}

static void whole_graphs(void **state) {
    struct fixture *f = *state;
    const struct subject subjects[] = {
        {mlp, -1, 1, 3},
        {conv_net, -1, 1, 2},
        {layer_norm, -1, 1, 2},
        {cross_entropy, -1, 1, 2},
        {attention, -1, 1, 2},
        {with(f, recurrence, "REVERSE", "0"), -1, 1, 2},
        {with(f, recurrence, "REVERSE", "1"), -1, 1, 2},
        {nested_loops, -1, 1, 3},
        {no_turns, -1, 1, 2},
        {with(f, branch, "SIDE(%c)", "ne(%c, %c)"), -1, 1, 2},
        {with(f, branch, "SIDE(%c)", "eq(%c, %c)"), -1, 1, 2},
        {remat, -1, 1, 3},
        {with(f, composites, "BACKWARD", "product_backward"), -1, 1, 2},
        {with(f, composites, "BACKWARD", "unrelated"), -1, 1, 2},
        {many_uses, -1, 1, 2},
        {dropout, -1, 1, 2},
        {regions_in_regions, -1, 1, 2},
    };
    for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++)
        check_text(&subjects[k]);
}

/* ---- what is built, and what is not ---- */

/* The count of ops of a kind in f after its gradient by the first x_count float inputs was built. */
static struct check differentiated(struct fixture *f, const char *text, int x_count) {
    static struct subject subject;
    struct check c;
    subject = (struct subject){text, 0, 1, 1};
    check_create(&c, f, &subject);
    c.x_count = x_count;
    build_orders(&c);
    return c;
}

static int count_ops(const struct block *block, enum opcode code) {
    int count = 0;
    FOR_EACH_OP (op, block) {
        count += op->code == code;
        for (int r = 0; r < op->region_count; r++)
            count += count_ops(op->regions[r], code);
    }
    return count;
}

static void only_what_is_asked_for_is_built(void **state) {
    struct fixture *f = *state;
    struct check images = differentiated(f, conv_net, 1), both = differentiated(f, conv_net, 2);
    assert_int_equal(count_ops(images.function->body, OP_conv_wgrad), 0);
    assert_int_equal(count_ops(images.function->body, OP_dot), 2);
    assert_int_equal(count_ops(both.function->body, OP_conv_wgrad), 1);
}

static void effects_are_not_repeated(void **state) {
    struct fixture *f = *state;
    struct check c = differentiated(f, with(f, branch, "SIDE", "not"), 3);
    assert_int_equal(count_ops(c.function->body, OP_report), 1);
    assert_int_equal(count_ops(c.function->body, OP_cond), 2);
}

/* x's rows are read in each turn: their gradient is added in place, not as a tensor of zeros each time. */
static void a_sequence_is_added_to_in_place(void **state) {
    struct fixture *f = *state;
    struct check c = differentiated(f, with(f, recurrence, "REVERSE", "0"), 1);
    struct op *back = NULL;
    FOR_EACH_OP (op, c.function->body)
        if (op->code == OP_loop)
            back = op;
    assert_int_equal(count_ops(back->regions[0], OP_broadcast), 0);
    assert_int_equal(count_ops(back->regions[0], OP_dynamic_update), 1);
    assert_int_equal(op_int(back, ATTR_carried), 2); /* by the state and by x */
}

static void a_loop_with_a_test_has_no_gradient(void **state) {
    struct fixture *f = *state;
    struct subject subject = {
        "graph g\n"
        "fn f() {\n"
        "  %x = input {name = \"x\"} : f32[]\n"
        "  %n = const {data = 9} : i32[]\n"
        "  %r = loop(%n, %n, %x) {reverse = 0, carried = 1} : f32[] region(%i: i32[], %c: f32[]) {\n"
        "    yield(%c)\n"
        "  } region(%j: i32[], %d: f32[]) {\n"
        "    %t = lt(%d, %d) : bool[]\n"
        "    yield(%t)\n"
        "  }\n"
        "  yield(%r)\n"
        "}\n",
        0, 1, 1};
    struct check c;
    struct value *dx, *one;
    check_create(&c, f, &subject);
    struct op *yield = block_yield(c.function->body);
    builder_before(&c.b, yield);
    one = build_number(&c.b, DTYPE_f32, 1);
    assert_false(gradient_reverse(&c.b, &(struct reverse){yield->in, &one, 1, c.xs, 1, NULL}, &dx, f->arena));
    assert_string_equal(diag_message(f->diags, 0),
                        "a loop whose number of turns is known at run time only has no gradient: "
                        "bound it, and mask turns with `where`");
}

int main(void) {
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)
        TEST(every_example_of_the_table),
        TEST(shapes_around_the_examples),
        TEST(random_convolutions),
        TEST(random_products),
        TEST(corners_are_shared_fairly),
        TEST(whole_graphs),
        TEST(only_what_is_asked_for_is_built),
        TEST(effects_are_not_repeated),
        TEST(a_sequence_is_added_to_in_place),
        TEST(a_loop_with_a_test_has_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
