/* Every gradient rule against finite differences, first and second gradients (of elementwise operators the
 * third too): on the examples of ops.def, on shapes around them, and on random ones. */
#include "support_gradient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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
    {"scan", "f32[0,2] {axis = 0, kind = \"prod\", exclusive = 0, reverse = 0}"},
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
     "f32[2,3,4], f32[2,3,4] {stride = [1], pad_lo = [2], pad_hi = [2], dilation = [1], lhs_dilation = [2], "
     "groups = 1}"},
    {"conv",
     "f32[1,2,3,2], f32[3,2,2,3] {stride = [1, 1], pad_lo = [0, -1], pad_hi = [1, 5], dilation = [2, 1], "
     "lhs_dilation = [3, 1], groups = 1}"},
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
        struct tensor **results = run_check(&c);
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

int main(void) {
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)
        TEST(every_example_of_the_table), TEST(shapes_around_the_examples),
        TEST(random_convolutions),        TEST(random_products),
        TEST(corners_are_shared_fairly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
