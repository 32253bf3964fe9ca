/* Gradients of whole small graphs against finite differences, and what is built for them. */
#include "support_gradient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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
        TEST(whole_graphs),
        TEST(only_what_is_asked_for_is_built),
        TEST(effects_are_not_repeated),
        TEST(a_sequence_is_added_to_in_place),
        TEST(a_loop_with_a_test_has_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
