/* What operators cost, against counts by hand. */
#include "passes/cost.h"

#include "ir/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct graph *parsed(struct arena *arena, const char *text) {
    struct diags *diags = diags_create(arena);
    const struct source *source = source_create(arena, "test.ir", text, strlen(text));
    struct graph *graph = graph_parse(arena, types_create(arena), interner_create(arena), source, diags);
    if (!graph)
        fail_msg("%s", diag_message(diags, 0));
    return graph;
}

static const struct {
    const char *body;
    double flops, bytes;
} cases[] = {
    /* 2 * 5 * 3 products of 7 terms */
    {"  %x = input {name = \"x\"} : f32[2,5,7]\n  %w = input {name = \"w\"} : f32[3,7]\n"
     "  %y = dot(%x, %w) {lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [1]}\n  "
     "yield(%y)\n",
     2.0 * 30 * 7, 4.0 * (70 + 21 + 30)},
    /* 2 images of 6 channels and 4 x 4 pixels, each of 2 channels by 3 x 3 */
    {"  %x = input {name = \"x\"} : f32[2,4,6,6]\n  %w = input {name = \"w\"} : f32[6,2,3,3]\n"
     "  %y = conv(%x, %w) {stride = [1, 1], pad_lo = [0, 0], pad_hi = [0, 0], dilation = [1, 1], "
     "lhs_dilation = [1, 1], groups = 2}\n  yield(%y)\n",
     2.0 * 2 * 6 * 16 * 18, 4.0 * (288 + 108 + 192)},
    /* every second pixel of the spread image is a zero: half of the 5 * 2 * 3 products with 2 channels each
     */
    {"  %x = input {name = \"x\"} : f32[1,2,4]\n  %w = input {name = \"w\"} : f32[5,2,3]\n"
     "  %y = conv(%x, %w) {stride = [1], pad_lo = [1], pad_hi = [1], dilation = [1], lhs_dilation = [2], "
     "groups = 1}\n"
     "  yield(%y)\n",
     2.0 * 5 * 7 * 6 / 2, 4.0 * (8 + 30 + 35)},
    {"  %x = input {name = \"x\"} : f32[4,8]\n  %y = reduce(%x) {axes = [1], kind = \"sum\"}\n  yield(%y)\n",
     32, 4.0 * 36},
};

static void single_operators(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_create();
        struct graph *graph = parsed(arena, arena_printf(arena, "graph g\nfn f() {\n%s}\n", cases[i].body));
        const struct op *op = block_yield(graph->functions.at[0]->body)->in[0]->def;
        struct cost cost = cost_of_op(op);
        assert_true(cost.flops == cases[i].flops);
        assert_true(cost.bytes == cases[i].bytes);
        arena_destroy(arena);
    }
}

/* A kernel of two additions on 8 elements, in a loop of 3 turns and once outside. */
static void loops_count_their_turns(void **state) {
    (void)state;
    struct arena *arena = arena_create();
#define KERNEL(y, x)                                                                                         \
    "  " y " = kernel(" x ") {kind = \"nest\", name = \"k\"} : f32[8] region(" y "p: f32[8]) {\n"            \
    "    " y "q = add(" y "p, " y "p) : f32[8]\n    " y "r = add(" y "q, " y "p) : f32[8]\n"                 \
    "    yield(" y "r)\n  }\n"
    struct graph *graph = parsed(
        arena,
        "graph g\nfn f() {\n  %x = input {name = \"x\"} : f32[8]\n" KERNEL(
            "%y", "%x") "  %lo = const {data = 2} : i32[]\n  %hi = const {data = 5} : i32[]\n"
                        "  %z = loop(%lo, %hi, %y) {carried = 1, reverse = 0} : f32[8] region(%i: i32[], %c: "
                        "f32[8]) {\n" KERNEL("%d", "%c") "    yield(%d)\n  }\n  yield(%z)\n}\n");
    struct cost cost = cost_of_block(graph->functions.at[0]->body);
    assert_true(cost.flops == 4 * 16);
    assert_true(cost.bytes == 4 * 64);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_operators),
        cmocka_unit_test(loops_count_their_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
