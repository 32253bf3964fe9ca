/* Sums of products against the evaluator: many shapes, edges of the tile, epilogues, targets, two threads'
 * order. */
#include "support_kernel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const cpus[] = {"native", "x86-64"};
/* "wide" runs kernels of AVX-512 here; for the others it is enough that LLVM takes them. */
static const char *const other_cpus[] = {"wide", "x86-64-v4", "aarch64"};

static void check_on(const char *text, const char *cpu, double tolerance) {
    const char *why = "";
    struct kernel_run *run = kernel_compile(text, cpu, lower_contract, &why);
    if (!run)
        fail_msg("%s\n%s", text, why);
    if (!run->jit) {
        kernel_free(run);
        return;
    }
    kernel_allocate(run, 2);
    kernel_random(run, 7);
    kernel_call(run, 0);
    double error = kernel_error(run);
    if (!(error <= tolerance))
        fail_msg("%s\n%s: error %g\n%s", text, cpu, error, run->why);
    if (!kernel_guards_hold(run))
        fail_msg("%s\n%s: wrote behind the end", text, cpu);
    if (!kernel_same_in_any_order(run, 2))
        fail_msg("%s\n%s: other bits in another order\n%s", text, cpu, run->why);
    kernel_free(run);
}

static void check(const char *text) {
    for (size_t i = 0; i < sizeof(cpus) / sizeof(*cpus); i++)
        check_on(text, cpus[i], 1e-5);
}

/* fn with one contract kernel: operand types, the body's operators over %10, %11 .., the result's type and
 * value. */
static void check_kernel(const char *const *operands, int count, const char *body, const char *result,
                         const char *yielded) {
    char text[4096], *at = text;
    at += sprintf(at, "graph t\nfn f() {\n");
    for (int i = 0; i < count; i++)
        at += sprintf(at, "  %%%d = input {name = \"x%d\"} : %s\n", i, i, operands[i]);
    at += sprintf(at, "  %%9 = kernel(");
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s%%%d", i ? ", " : "", i);
    at += sprintf(at, ") {kind = \"contract\", name = \"k\"} : %s region(", result);
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s%%%d: %s", i ? ", " : "", 10 + i, operands[i]);
    sprintf(at, ") {\n%s    yield(%%%s)\n  }\n  yield(%%9)\n}\n", body, yielded);
    check(text);
}

static void check_dot(int m, int n, int k, bool a_transposed, bool b_transposed) {
    char a[64], b[64], result[64], body[256];
    sprintf(a, "f32[%d,%d]", a_transposed ? k : m, a_transposed ? m : k);
    sprintf(b, "f32[%d,%d]", b_transposed ? n : k, b_transposed ? k : n);
    sprintf(result, "f32[%d,%d]", m, n);
    sprintf(body,
            "    %%20 = dot(%%10, %%11) {lhs_batch = [], rhs_batch = [], lhs_contract = [%d], rhs_contract = "
            "[%d]} : %s\n",
            a_transposed ? 0 : 1, b_transposed ? 1 : 0, result);
    check_kernel((const char *[]){a, b}, 2, body, result, "20");
}

static void dots_of_many_shapes(void **state) {
    (void)state;
    static const int shapes[][3] = {{1, 1, 1},    {1, 17, 9},   {5, 1, 33},    {6, 16, 8},
                                    {7, 17, 1},   {13, 31, 29}, {64, 64, 64},  {50, 10, 84},
                                    {3, 100, 40}, {97, 130, 7}, {61, 49, 300}, {4, 3, 0}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        for (int which = 0; which < 4; which++)
            check_dot(shapes[i][0], shapes[i][1], shapes[i][2], which & 1, which & 2);
}

struct conv_case {
    int batch, in, out, groups, rank; /* in: channels of a group */
    int image[3], window[3], stride[3], low[3], high[3], dilation[3], spread[3];
};

static char *print_list(char *at, const char *name, const int *list, int count) {
    at += sprintf(at, "%s = [", name);
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s%d", i ? ", " : "", list[i] ? list[i] : (*name == 'p' ? 0 : 1));
    return at + sprintf(at, "], ");
}

static void print_attributes(char *at, const struct conv_case *c) {
    at = print_list(at, "stride", c->stride, c->rank);
    at = print_list(at, "pad_lo", c->low, c->rank);
    at = print_list(at, "pad_hi", c->high, c->rank);
    at = print_list(at, "dilation", c->dilation, c->rank);
    at = print_list(at, "lhs_dilation", c->spread, c->rank);
    sprintf(at, "groups = %d", c->groups);
}

static int or_one(int x) {
    return x ? x : 1;
}

static void conv_types(const struct conv_case *c, char *x, char *w, char *y) {
    x += sprintf(x, "f32[%d,%d", c->batch, c->in * c->groups);
    w += sprintf(w, "f32[%d,%d", c->out * c->groups, c->in);
    y += sprintf(y, "f32[%d,%d", c->batch, c->out * c->groups);
    for (int i = 0; i < c->rank; i++) {
        int extent = (c->image[i] - 1) * or_one(c->spread[i]) + 1 + c->low[i] + c->high[i];
        x += sprintf(x, ",%d", c->image[i]);
        w += sprintf(w, ",%d", c->window[i]);
        y += sprintf(y, ",%d",
                     (extent - (c->window[i] - 1) * or_one(c->dilation[i]) - 1) / or_one(c->stride[i]) + 1);
    }
    strcpy(x, "]");
    strcpy(w, "]");
    strcpy(y, "]");
}

static void check_conv(const struct conv_case *c) {
    char x[96], w[96], y[96], attributes[256], body[512];
    conv_types(c, x, w, y);
    print_attributes(attributes, c);
    sprintf(body, "    %%20 = conv(%%10, %%11) {%s} : %s\n", attributes, y);
    check_kernel((const char *[]){x, w}, 2, body, y, "20");
}

static const struct conv_case conv_cases[] = {
    {.batch = 1, .in = 1, .out = 1, .groups = 1, .rank = 1, .image = {5}, .window = {3}},
    {.batch = 9,
     .in = 1,
     .out = 6,
     .groups = 1,
     .rank = 2,
     .image = {28, 28},
     .window = {5, 5},
     .low = {2, 2},
     .high = {2, 2}},
    {.batch = 8, .in = 6, .out = 16, .groups = 1, .rank = 2, .image = {14, 14}, .window = {5, 5}},
    {.batch = 17,
     .in = 5,
     .out = 13,
     .groups = 1,
     .rank = 2,
     .image = {7, 7},
     .window = {3, 3},
     .low = {1, 1},
     .high = {1, 1}},
    {.batch = 2, /* few pixels: as patches */
     .in = 5,
     .out = 80,
     .groups = 2,
     .rank = 2,
     .image = {5, 6},
     .window = {3, 3},
     .stride = {2, 1},
     .low = {1, 1},
     .high = {1, 0},
     .dilation = {1, 2}},
    {.batch = 2,
     .in = 9,
     .out = 11,
     .groups = 1,
     .rank = 2,
     .image = {17, 20},
     .window = {4, 4},
     .stride = {4, 5}},
    {.batch = 4,
     .in = 70,
     .out = 9,
     .groups = 1,
     .rank = 2,
     .image = {7, 9},
     .window = {3, 3},
     .low = {1, 1},
     .high = {1, 1}},
    {.batch = 3,
     .in = 8,
     .out = 8,
     .groups = 1,
     .rank = 2,
     .image = {14, 14},
     .window = {3, 3},
     .stride = {2, 2},
     .low = {1, 1},
     .high = {1, 1}},
    {.batch = 3,
     .in = 8,
     .out = 5,
     .groups = 1,
     .rank = 2,
     .image = {7, 7},
     .window = {3, 3},
     .low = {1, 1},
     .high = {2, 2},
     .spread = {2, 2}},
    {.batch = 16,
     .in = 12,
     .out = 10,
     .groups = 1,
     .rank = 2,
     .image = {14, 14},
     .window = {4, 4},
     .low = {2, 2},
     .high = {2, 2},
     .spread = {2, 2}},
    {.batch = 2,
     .in = 3,
     .out = 4,
     .groups = 1,
     .rank = 2,
     .image = {3, 3},
     .window = {6, 6},
     .low = {5, 5},
     .high = {5, 5},
     .spread = {6, 6}},
    {.batch = 2,
     .in = 3,
     .out = 4,
     .groups = 3,
     .rank = 2,
     .image = {8, 9},
     .window = {3, 2},
     .stride = {1, 2},
     .low = {0, 1},
     .high = {1, 0},
     .dilation = {2, 1}},
    {.batch = 8,
     .in = 1,
     .out = 1,
     .groups = 10,
     .rank = 2,
     .image = {9, 9},
     .window = {3, 3},
     .low = {1, 1},
     .high = {1, 1}},
    {.batch = 5, .in = 4, .out = 6, .groups = 1, .rank = 2, .image = {6, 5}, .window = {1, 1}},
    {.batch = 2,
     .in = 3,
     .out = 2,
     .groups = 1,
     .rank = 2,
     .image = {9, 9},
     .window = {3, 3},
     .low = {-1, -2},
     .high = {-1, 0}},
    {.batch = 2,
     .in = 3,
     .out = 4,
     .groups = 1,
     .rank = 3,
     .image = {4, 5, 6},
     .window = {2, 3, 2},
     .stride = {1, 2, 1},
     .low = {1, 0, 1},
     .high = {0, 1, 1}},
    {.batch = 8,
     .in = 2,
     .out = 3,
     .groups = 1,
     .rank = 3,
     .image = {3, 4, 4},
     .window = {3, 3, 3},
     .low = {1, 1, 1},
     .high = {1, 1, 1},
     .spread = {2, 1, 2}},
    {.batch = 2,
     .in = 2,
     .out = 3,
     .groups = 1,
     .rank = 1,
     .image = {40},
     .window = {7},
     .stride = {3},
     .low = {3},
     .high = {3},
     .dilation = {2},
     .spread = {2}},
};

/* Few images, rows of pixels that fill lanes. */
static const struct conv_case narrow_cases[] = {
    {.batch = 1,
     .in = 70,
     .out = 20,
     .groups = 1,
     .rank = 2,
     .image = {14, 14},
     .window = {3, 3},
     .low = {1, 1},
     .high = {1, 1}},
    {.batch = 1,
     .in = 6,
     .out = 7,
     .groups = 1,
     .rank = 2,
     .image = {29, 31},
     .window = {5, 5},
     .stride = {2, 2},
     .low = {2, 2},
     .high = {2, 2}},
    {.batch = 2,
     .in = 20,
     .out = 12,
     .groups = 1,
     .rank = 2,
     .image = {9, 9},
     .window = {4, 4},
     .low = {2, 2},
     .high = {2, 2},
     .spread = {2, 2}},
    {.batch = 1,
     .in = 3,
     .out = 5,
     .groups = 2,
     .rank = 2,
     .image = {12, 40},
     .window = {2, 6},
     .stride = {1, 3},
     .low = {0, 4},
     .high = {1, 2},
     .dilation = {1, 2}},
    {.batch = 1,
     .in = 2,
     .out = 3,
     .groups = 1,
     .rank = 2,
     .image = {5, 7},
     .window = {5, 5},
     .low = {4, 4},
     .high = {4, 4},
     .spread = {5, 5}},
};

#define DEEP(b, o, g, r) .batch = b, .in = 96, .out = o, .groups = g, .rank = r

/* What each pixel gives to each tap, and sums of taps. */
static const struct conv_case tap_cases[] = {
    {DEEP(1, 5, 1, 2), .image = {1, 1}, .window = {4, 4}, .low = {3, 3}, .high = {3, 3}},
    {DEEP(3, 5, 2, 2), .image = {1, 1}, .window = {4, 3}, .low = {2, 2}, .high = {3, 1}},
    {DEEP(2, 3, 1, 2), .image = {1, 1}, .window = {5, 4}, .low = {4, 3}, .high = {4, 3}, .stride = {2, 1}},
    {DEEP(1, 6, 1, 2), .image = {4, 4}, .window = {4, 4}, .low = {2, 2}, .high = {2, 2}, .spread = {2, 2}},
    {DEEP(3, 3, 2, 2), .image = {4, 5}, .window = {3, 3}, .low = {1, 2}, .high = {2, 1}, .spread = {2, 2}},
    {DEEP(2, 3, 1, 2), .image = {3, 4}, .window = {3, 2}, .low = {2, 1}, .high = {2, 1}, .spread = {3, 2}},
    {DEEP(1, 3, 1, 2), .image = {1, 4}, .window = {3, 4}, .low = {2, 1}, .high = {2, 1}, .spread = {2, 2}},
    {DEEP(9, 2, 1, 1), .image = {7}, .window = {5}, .low = {3}, .high = {2}, .spread = {2}, .dilation = {2}},
    {DEEP(2, 3, 1, 1), .image = {9}, .window = {4}, .low = {3}, .high = {3}, .spread = {3}, .stride = {2}},
    {DEEP(1, 2, 1, 3), .image = {2, 3, 3}, .window = {3, 4, 2}, .low = {1, 2, 0}, .high = {2, 2, 1},
     .spread = {2, 2, 2}},
};

/* Channels enough for the schedules of many channels. */
static const struct conv_case wide_cases[] = {
    {.batch = 3,
     .in = 5,
     .out = 9,
     .groups = 2,
     .rank = 2,
     .image = {9, 8},
     .window = {3, 3},
     .stride = {2, 1},
     .low = {1, 2},
     .high = {2, 0},
     .dilation = {1, 2}},
    {.batch = 20,
     .in = 13,
     .out = 37,
     .groups = 1,
     .rank = 2,
     .image = {7, 7},
     .window = {3, 3},
     .low = {1, 1},
     .high = {1, 1}},
    {.batch = 2,
     .in = 4,
     .out = 20,
     .groups = 1,
     .rank = 3,
     .image = {4, 5, 6},
     .window = {2, 3, 2},
     .stride = {1, 2, 1},
     .low = {1, 0, 1},
     .high = {0, 1, 1}},
    {.batch = 3,
     .in = 8,
     .out = 8,
     .groups = 1,
     .rank = 1,
     .image = {1000},
     .window = {7},
     .stride = {3},
     .low = {3},
     .high = {3},
     .dilation = {2}},
    {.batch = 2,
     .in = 4,
     .out = 8,
     .groups = 1,
     .rank = 2,
     .image = {3, 3},
     .window = {6, 6},
     .low = {5, 5},
     .high = {5, 5}},
    {.batch = 9,
     .in = 16,
     .out = 24,
     .groups = 1,
     .rank = 2,
     .image = {28, 28},
     .window = {3, 3},
     .stride = {2, 2},
     .low = {1, 1},
     .high = {1, 1}},
    {.batch = 2,
     .in = 9,
     .out = 7,
     .groups = 2,
     .rank = 2,
     .image = {21, 19},
     .window = {1, 1},
     .stride = {2, 2}},
    {.batch = 5, .in = 24, .out = 16, .groups = 1, .rank = 2, .image = {5, 9}, .window = {1, 1}},
};

static void check_wgrad(const struct conv_case *c) {
    char x[96], w[96], y[96], attributes[256], body[512];
    conv_types(c, x, w, y);
    print_attributes(attributes, c);
    sprintf(body, "    %%20 = conv_wgrad(%%10, %%11) {%s} : %s\n", attributes, w);
    check_kernel((const char *[]){x, y}, 2, body, w, "20");
}

static void gradients_by_weights(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(conv_cases) / sizeof(*conv_cases); i++)
        check_wgrad(&conv_cases[i]);
    for (size_t i = 0; i < sizeof(wide_cases) / sizeof(*wide_cases); i++)
        check_wgrad(&wide_cases[i]);
}

static void convolutions(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(conv_cases) / sizeof(*conv_cases); i++)
        check_conv(&conv_cases[i]);
    for (size_t i = 0; i < sizeof(wide_cases) / sizeof(*wide_cases); i++)
        check_conv(&wide_cases[i]);
    for (size_t i = 0; i < sizeof(narrow_cases) / sizeof(*narrow_cases); i++)
        check_conv(&narrow_cases[i]);
    for (size_t i = 0; i < sizeof(tap_cases) / sizeof(*tap_cases); i++)
        check_conv(&tap_cases[i]);
}

/* Minimal filtering: edges of tiles, bands, several images a task, channels that fill no vector, epilogues on
 * registers and behind, weights that are flipped. */
static bool lower_winograd(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    l->winograd = true;
    return lower_contract(l, kernel, out);
}

static const struct conv_case square_cases[] = {
    {.batch = 1, .in = 32, .out = 32, .image = {32, 32}, .low = {1, 1}, .high = {1, 1}},
    {.batch = 1, .in = 35, .out = 37, .image = {29, 27}, .low = {1, 1}, .high = {1, 1}},
    {.batch = 1, .in = 16, .out = 150, .image = {64, 21}, .low = {0, 2}, .high = {1, 0}},
    {.batch = 37, .in = 33, .out = 24, .image = {7, 7}, .low = {1, 1}, .high = {1, 1}},
    {.batch = 5, .in = 24, .out = 300, .image = {14, 14}, .low = {0, 0}, .high = {0, 0}},
    {.batch = 2, .in = 40, .out = 16, .image = {40, 40}, .low = {2, 2}, .high = {2, 2}},
};

static const char *const square_bodies[] = {
    "", "    %%21 = max(%%20, %%20) : %s\n",                         /* on registers */
    "    %%22 = tanh(%%20) : %s\n    %%21 = mul(%%20, %%22) : %s\n", /* a loop behind */
};

static void check_square(const struct conv_case *given, const char *cpu, int body) {
    struct conv_case c = *given;
    c.groups = 1;
    c.rank = 2;
    c.window[0] = c.window[1] = 3;
    char x[96], w[96], y[96], attributes[256], text[2048], rest[256] = "";
    conv_types(&c, x, w, y);
    print_attributes(attributes, &c);
    sprintf(rest, square_bodies[body], y, y);
    sprintf(text,
            "graph t\nfn f() {\n  %%0 = input {name = \"x\"} : %s\n  %%1 = input {name = \"w\"} : %s\n"
            "  %%2 = kernel(%%0, %%1) {kind = \"contract\", name = \"k\"} : %s region(%%10: %s, %%11: %s) {\n"
            "    %%20 = conv(%%10, %%11) {%s} : %s\n%s    yield(%%%d)\n  }\n  yield(%%2)\n}\n",
            x, w, y, x, w, attributes, y, rest, body ? 21 : 20);
    const char *why = "";
    struct kernel_run *run = kernel_compile(text, cpu, lower_winograd, &why);
    if (!run)
        fail_msg("%s\n%s", text, why);
    if (!strstr(run->why, "Winograd"))
        fail_msg("not chosen for\n%s%s", text, run->why);
    kernel_allocate(run, 2);
    kernel_random(run, 5);
    kernel_call(run, 0);
    double error = kernel_error(run);
    if (!(error < 3e-5))
        fail_msg("error %g of\n%s", error, text);
    assert_true(kernel_guards_hold(run));
    assert_true(kernel_same_in_any_order(run, 2));
    kernel_free(run);
}

static void squares_by_minimal_filtering(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(square_cases) / sizeof(*square_cases); i++)
        check_square(&square_cases[i], "native", (int)(i % 3));
    check_square(&square_cases[1], "x86-64", 1);
}

#define PLAIN_DOT "{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}"
#define CONV_ATTRIBUTES                                                                                      \
    "{stride = [1, 1], pad_lo = [1, 1], pad_hi = [1, 1], dilation = [1, 1], lhs_dilation = [1, 1], groups "  \
    "= 1}"

/* Kernels whose region does more than the sum of products. */
static const char *const kernels[] = {
    /* bias along n, relu: on registers */
    "graph t\nfn f() {\n  %0 = input {name = \"a\"} : f32[37,300]\n  %1 = input {name = \"b\"} : "
    "f32[300,45]\n"
    "  %2 = input {name = \"c\"} : f32[45]\n"
    "  %3 = kernel(%0, %1, %2) {kind = \"contract\", name = \"k\"} : f32[37,45] region(%4: f32[37,300], %5: "
    "f32[300,45], %6: f32[45]) {\n"
    "    %7 = dot(%4, %5) " PLAIN_DOT " : f32[37,45]\n    %8 = add(%7, %6) : f32[37,45]\n"
    "    %9 = const {data = 0.0} : f32[]\n    %10 = max(%8, %9) : f32[37,45]\n    yield(%10)\n  }\n  "
    "yield(%3)\n}\n",
    /* the value before and after tanh, residual, bias along m: a loop behind */
    "graph t\nfn f() {\n  %0 = input {name = \"a\"} : f32[37,300]\n  %1 = input {name = \"b\"} : "
    "f32[300,45]\n"
    "  %2 = input {name = \"c\"} : f32[37,1]\n  %3 = input {name = \"d\"} : f32[37,45]\n"
    "  %4, %5 = kernel(%0, %1, %2, %3) {kind = \"contract\", name = \"k\"} : f32[37,45], f32[37,45] "
    "region(%6: f32[37,300], "
    "%7: f32[300,45], %8: f32[37,1], %9: f32[37,45]) {\n"
    "    %10 = dot(%6, %7) " PLAIN_DOT
    " : f32[37,45]\n    %11 = add(%10, %8) : f32[37,45]\n    %12 = tanh(%11) : f32[37,45]\n"
    "    %13 = mul(%12, %9) : f32[37,45]\n    yield(%13, %11)\n  }\n  yield(%4, %5)\n}\n",
    /* only a mask of the result, reshaped; operands through views */
    "graph t\nfn f() {\n  %0 = input {name = \"a\"} : f32[20,3,7]\n  %1 = input {name = \"b\"} : f32[9,20]\n"
    "  %2 = kernel(%0, %1) {kind = \"contract\", name = \"k\"} : bool[7,27] region(%3: f32[20,3,7], %4: "
    "f32[9,20]) {\n"
    "    %5 = transpose(%3) {perm = [2, 1, 0]} : f32[7,3,20]\n    %6 = transpose(%4) {perm = [1, 0]} : "
    "f32[20,9]\n"
    "    %7 = dot(%5, %6) {lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [0]} : "
    "f32[7,3,9]\n"
    "    %8 = reshape(%7) : f32[7,27]\n    %9 = const {data = 0.25} : f32[]\n    %10 = lt(%9, %8) : "
    "bool[7,27]\n"
    "    yield(%10)\n  }\n  yield(%2)\n}\n",
    /* batches, and an operand that is computed first */
    "graph t\nfn f() {\n  %0 = input {name = \"a\"} : f32[2,3,10,8]\n  %1 = input {name = \"b\"} : "
    "f32[2,12,3,8]\n"
    "  %2 = kernel(%0, %1) {kind = \"contract\", name = \"k\"} : f32[2,3,10,12] region(%3: f32[2,3,10,8], "
    "%4: f32[2,12,3,8]) {\n"
    "    %5 = exp(%3) : f32[2,3,10,8]\n"
    "    %6 = dot(%5, %4) {lhs_batch = [0, 1], rhs_batch = [0, 2], lhs_contract = [3], rhs_contract = [3]} : "
    "f32[2,3,10,12]\n"
    "    yield(%6)\n  }\n  yield(%2)\n}\n",
    /* sums over two axes */
    "graph t\nfn f() {\n  %0 = input {name = \"a\"} : f32[6,5,11]\n  %1 = input {name = \"b\"} : "
    "f32[5,13,6]\n"
    "  %2 = kernel(%0, %1) {kind = \"contract\", name = \"k\"} : f32[11,13] region(%3: f32[6,5,11], %4: "
    "f32[5,13,6]) {\n"
    "    %5 = dot(%3, %4) {lhs_batch = [], rhs_batch = [], lhs_contract = [0, 1], rhs_contract = [2, 0]} : "
    "f32[11,13]\n"
    "    yield(%5)\n  }\n  yield(%2)\n}\n",
    /* a convolution with bias, residual, relu */
    "graph t\nfn f() {\n  %0 = input {name = \"x\"} : f32[10,4,9,7]\n  %1 = input {name = \"w\"} : "
    "f32[5,4,3,3]\n"
    "  %2 = input {name = \"b\"} : f32[5]\n  %3 = input {name = \"r\"} : f32[10,5,9,7]\n"
    "  %4 = kernel(%0, %1, %2, %3) {kind = \"contract\", name = \"k\"} : f32[10,5,9,7] region(%5: "
    "f32[10,4,9,7], %6: f32[5,4,3,3], "
    "%7: f32[5], %8: f32[10,5,9,7]) {\n"
    "    %9 = conv(%5, %6) " CONV_ATTRIBUTES
    " : f32[10,5,9,7]\n    %10 = broadcast(%7) {axes = [1]} : f32[10,5,9,7]\n"
    "    %11 = add(%9, %10) : f32[10,5,9,7]\n    %12 = add(%11, %8) : f32[10,5,9,7]\n    %13 = const {data = "
    "0.0} : f32[]\n"
    "    %14 = max(%12, %13) : f32[10,5,9,7]\n    yield(%14)\n  }\n  yield(%4)\n}\n",
    /* a convolution of a flipped kernel, and silu behind */
    "graph t\nfn f() {\n  %0 = input {name = \"x\"} : f32[10,5,9,7]\n  %1 = input {name = \"w\"} : "
    "f32[5,4,3,3]\n"
    "  %2 = kernel(%0, %1) {kind = \"contract\", name = \"k\"} : f32[10,4,9,7] region(%3: f32[10,5,9,7], %4: "
    "f32[5,4,3,3]) {\n"
    "    %5 = transpose(%4) {perm = [1, 0, 2, 3]} : f32[4,5,3,3]\n"
    "    %6 = slice(%5) {start = [0, 0, 2, 2], step = [1, 1, -1, -1]} : f32[4,5,3,3]\n"
    "    %7 = conv(%3, %6) " CONV_ATTRIBUTES
    " : f32[10,4,9,7]\n    %8 = neg(%7) : f32[10,4,9,7]\n    %9 = exp(%8) : f32[10,4,9,7]\n"
    "    %10 = const {data = 1.0} : f32[]\n    %11 = add(%10, %9) : f32[10,4,9,7]\n    %12 = div(%7, %11) : "
    "f32[10,4,9,7]\n"
    "    yield(%12)\n  }\n  yield(%2)\n}\n",
    /* decayed weights: the gradient plus a part of the weight */
    "graph t\nfn f() {\n  %0 = input {name = \"x\"} : f32[20,4,9,7]\n  %1 = input {name = \"d\"} : "
    "f32[20,5,9,7]\n"
    "  %2 = input {name = \"w\"} : f32[5,4,3,3]\n"
    "  %3 = kernel(%0, %1, %2) {kind = \"contract\", name = \"k\"} : f32[5,4,3,3] region(%4: f32[20,4,9,7], "
    "%5: f32[20,5,9,7], "
    "%6: f32[5,4,3,3]) {\n"
    "    %7 = conv_wgrad(%4, %5) " CONV_ATTRIBUTES
    " : f32[5,4,3,3]\n    %8 = add(%7, %6) : f32[5,4,3,3]\n    yield(%8)\n  }\n"
    "  yield(%3)\n}\n",
    /* lanes along k, with a tail and a loop behind */
    "graph t\nfn f() {\n  %0 = input {name = \"a\"} : f32[5,77]\n  %1 = input {name = \"b\"} : f32[21,77]\n"
    "  %2 = kernel(%0, %1) {kind = \"contract\", name = \"k\"} : f32[5,21] region(%3: f32[5,77], %4: "
    "f32[21,77]) {\n"
    "    %5 = dot(%3, %4) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : "
    "f32[5,21]\n"
    "    %6 = neg(%5) : f32[5,21]\n    yield(%6)\n  }\n  yield(%2)\n}\n",
    /* a gradient by the weights of few channels */
    "graph t\nfn f() {\n  %0 = input {name = \"x\"} : f32[9,2,6,5]\n  %1 = input {name = \"d\"} : "
    "f32[9,3,6,5]\n"
    "  %2 = kernel(%0, %1) {kind = \"contract\", name = \"k\"} : f32[3,2,3,3] region(%3: f32[9,2,6,5], %4: "
    "f32[9,3,6,5]) {\n"
    "    %5 = conv_wgrad(%3, %4) " CONV_ATTRIBUTES " : f32[3,2,3,3]\n    yield(%5)\n  }\n  yield(%2)\n}\n",
};

static void whole_kernels(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++)
        check(kernels[i]);
}

static void kernels_for_other_targets(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++)
        for (size_t k = 0; k < sizeof(other_cpus) / sizeof(*other_cpus); k++)
            check_on(kernels[i], other_cpus[k], 1e-5);
}

static void kernels_in_double(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++) {
        char *text = strdup(kernels[i]);
        for (char *at = text; (at = strstr(at, "f32"));)
            memcpy(at, "f64", 3);
        for (size_t k = 0; k < sizeof(cpus) / sizeof(*cpus); k++)
            check_on(text, cpus[k], 1e-12);
        free(text);
    }
}

/* With pairs ("wide") and without; one unit of a bf16 is 2^-8 of the result. */
static void products_of_bf16(void **state) {
    (void)state;
    static const int shapes[][3] = {{1, 40, 128}, {2, 40, 333}, {3, 9, 640}, {16, 31, 257}, {5, 17, 160},
                                    {1, 1, 129},  {4, 33, 96},  {7, 65, 31}, {40, 70, 66},  {97, 130, 200}};
    static const char *const targets[] = {"native", "x86-64", "wide", "x86-64-v4", "znver4", "aarch64"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        for (int turned = 0; turned < 2; turned++) {
            int m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
            char text[1024], b[64];
            sprintf(b, "bf16[%d,%d]", turned ? n : k, turned ? k : n);
            sprintf(text,
                    "graph t\nfn f() {\n  %%0 = input {name = \"a\"} : bf16[%d,%d]\n"
                    "  %%1 = input {name = \"b\"} : %s\n  %%2 = kernel(%%0, %%1) {kind = \"contract\", name "
                    "= \"k\"} : "
                    "bf16[%d,%d] region(%%3: bf16[%d,%d], %%4: %s) {\n"
                    "    %%5 = dot(%%3, %%4) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], "
                    "rhs_contract = [%d]} : "
                    "bf16[%d,%d]\n    yield(%%5)\n  }\n  yield(%%2)\n}\n",
                    m, k, b, m, n, m, k, b, turned ? 1 : 0, m, n);
            for (size_t t = 0; t < sizeof(targets) / sizeof(*targets); t++)
                check_on(text, targets[t], 0x1p-8);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_of_many_shapes),
        cmocka_unit_test(convolutions),
        cmocka_unit_test(squares_by_minimal_filtering),
        cmocka_unit_test(gradients_by_weights),
        cmocka_unit_test(whole_kernels),
        cmocka_unit_test(kernels_for_other_targets),
        cmocka_unit_test(kernels_in_double),
        cmocka_unit_test(products_of_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
