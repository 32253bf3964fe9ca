/* Changing graphs: cloning blocks, closing nested regions, removing operands, results and parameters, binding
 * sizes. */
#include "base/map.h"
#include "ir/build.h"
#include "ir/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena;
    struct types *types;
    struct diags *diags;
};

static int setup(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    *f = (struct fixture){arena, types_create(arena), diags_create(arena)};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    arena_destroy(((struct fixture *)*state)->arena);
    return 0;
}

static struct graph *parse(struct fixture *f, const char *text) {
    const struct source *source = source_create(f->arena, "test.ir", text, strlen(text));
    struct graph *graph = graph_parse(f->arena, f->types, interner_create(f->arena), source, f->diags);
    assert_non_null(graph);
    return graph;
}

static void expect_text(struct fixture *f, struct graph *graph, const char *text) {
    assert_true(graph_verify(graph, f->diags, "the test"));
    struct strbuf out;
    strbuf_init(&out, f->arena);
    graph_print(graph, &out);
    assert_string_equal(out.text, text);
}

/* The n-th op of the first function's body. */
static struct op *op_at(struct graph *graph, int n) {
    struct op *op = graph->functions.at[0]->body->first;
    while (n-- > 0)
        op = op->next;
    return op;
}

static void a_block_is_cloned_with_its_regions(void **state) {
    struct fixture *f = *state;
    struct graph *graph = parse(f, "graph g\n"
                                   "composite body() region(%0: f32[3], %1: bool[]) {\n"
                                   "  %2 = exp(%0) : f32[3]\n"
                                   "  %3 = cond(%1, %2) : f32[3] region(%4: f32[3]) {\n"
                                   "    %5 = neg(%4) : f32[3]\n"
                                   "    yield(%5)\n"
                                   "  } region(%6: f32[3]) {\n"
                                   "    yield(%6)\n"
                                   "  }\n"
                                   "  yield(%3)\n"
                                   "}\n"
                                   "fn f() {\n"
                                   "  %0 = input {name = \"x\"} : f32[3]\n"
                                   "  %1 = input {name = \"c\"} : bool[]\n"
                                   "  yield(%0)\n"
                                   "}\n");
    struct block *body = graph->functions.at[0]->body, *into = graph->functions.at[1]->body;
    struct map map;
    map_init(&map, f->arena);
    map_put(&map, body->params[0], into->first->out[0]);
    map_put(&map, body->params[1], into->first->next->out[0]);
    block_clone_into(graph, body, into, into->last, &map);
    op_set_in(into->last, 0, map_find(&map, block_yield(body)->in[0]));
    graph->functions.at[0] = graph->functions.at[1];
    graph->functions.count = 1;
    expect_text(f, graph,
                "graph g\n"
                "fn f() {\n"
                "  %0 = input {name = \"x\"} : f32[3]\n"
                "  %1 = input {name = \"c\"} : bool[]\n"
                "  %2 = exp(%0) : f32[3]\n"
                "  %3 = cond(%1, %2) : f32[3] region(%4: f32[3]) {\n"
                "    %5 = neg(%4) : f32[3]\n"
                "    yield(%5)\n"
                "  } region(%6: f32[3]) {\n"
                "    yield(%6)\n"
                "  }\n"
                "  yield(%3)\n"
                "}\n");
}

/* loop { remat { add(x, carried) } }: what the inner region takes from far outside passes through the outer
 * one. */
static void nested_regions_are_closed_through_each_other(void **state) {
    struct fixture *f = *state;
    struct graph *graph = parse(f, "graph g\nfn f() {\n"
                                   "  %0 = input {name = \"x\"} : f32[3]\n"
                                   "  %1 = const {data = 4} : i32[]\n"
                                   "  yield(%0)\n"
                                   "}\n");
    struct value *x = op_at(graph, 0)->out[0], *four = op_at(graph, 1)->out[0];
    struct block *body = graph->functions.at[0]->body;
    const struct attr attrs[] = {{.name = ATTR_reverse, .i = 0}, {.name = ATTR_carried, .i = 1}};
    struct op *loop = op_create(graph, OP_loop, (struct value *[]){four, four, x}, 3, attrs, 2,
                                (const struct type *[]){NULL}, 1, NULL);
    op_insert_before(loop, body->last);
    struct block *turn = op_add_region(graph, loop);
    block_add_param(graph, turn, four->type, "i");
    struct value *carried = block_add_param(graph, turn, x->type, "h");
    struct op *remat = op_create(graph, OP_remat, NULL, 0, NULL, 0, (const struct type *[]){NULL}, 1, NULL);
    op_append(remat, turn);
    struct builder b;
    builder_init(&b, graph, op_add_region(graph, remat), f->diags);
    struct value *sum = build_add(&b, x, carried), *product = build_mul(&b, sum, x);
    build_yield(&b, &product, 1);
    builder_at_end(&b, turn);
    build_yield(&b, remat->out, 1);
    region_close(graph, loop, turn);
    assert_true(op_infer(graph, remat, f->diags) && op_infer(graph, loop, f->diags));
    op_set_in(body->last, 0, loop->out[0]);
    expect_text(f, graph,
                "graph g\n"
                "fn f() {\n"
                "  %0 = input {name = \"x\"} : f32[3]\n"
                "  %1 = const {data = 4} : i32[]\n"
                "  %2 = loop(%1, %1, %0, %0) {reverse = 0, carried = 1} : f32[3] region(%3: i32[], %4: "
                "f32[3], %5: f32[3]) {\n"
                "    %6 = remat(%5, %4) : f32[3] region(%7: f32[3], %8: f32[3]) {\n"
                "      %9 = add(%7, %8) : f32[3]\n"
                "      %10 = mul(%9, %7) : f32[3]\n"
                "      yield(%10)\n"
                "    }\n"
                "    yield(%6)\n"
                "  }\n"
                "  yield(%2)\n"
                "}\n");
}

static void operands_results_and_parameters_can_be_taken_away(void **state) {
    struct fixture *f = *state;
    struct graph *graph = parse(f, "graph g\nfn f() {\n"
                                   "  %0 = input {name = \"x\"} : f32[3]\n"
                                   "  %1 = input {name = \"y\"} : f32[3]\n"
                                   "  %2, %3, %4 = remat(%0, %1, %0) : f32[3], f32[3], f32[3] region(%5: "
                                   "f32[3], %6: f32[3], %7: f32[3]) {\n"
                                   "    yield(%5, %6, %7)\n"
                                   "  }\n"
                                   "  yield(%4)\n"
                                   "}\n");
    struct op *remat = op_at(graph, 2), *yield = block_yield(remat->regions[0]);
    op_remove_in(yield, 1);
    op_remove_out(remat, 1);
    block_remove_param(remat->regions[0], 1);
    op_remove_in(remat, 1);
    op_remove_in(yield, 0);
    op_remove_out(remat, 0);
    expect_text(f, graph,
                "graph g\n"
                "fn f() {\n"
                "  %0 = input {name = \"x\"} : f32[3]\n"
                "  %1 = input {name = \"y\"} : f32[3]\n"
                "  %2 = remat(%0, %0) : f32[3] region(%3: f32[3], %4: f32[3]) {\n"
                "    yield(%4)\n"
                "  }\n"
                "  yield(%2)\n"
                "}\n");
}

/* H of f is even; H of g is any size, also where both are typed in one go, and in a copy. */
static void a_function_demands_of_its_own_sizes(void **state) {
    struct fixture *f = *state;
    static const char text[] = "graph g\n"
                               "fn f() {\n"
                               "  require H % 2 \"an even one\"\n"
                               "  %0 = input {name = \"x\"} : f32[H]\n"
                               "  %1 = slice(%0) {start = [0], step = [2]} : f32[1/2*H]\n"
                               "  yield(%1)\n"
                               "}\n"
                               "fn g() {\n"
                               "  %0 = input {name = \"x\"} : f32[H]\n"
                               "  %1 = slice(%0) {start = [0], step = [2]} : f32[floor((H + 1)/2)]\n"
                               "  yield(%1)\n"
                               "}\n";
    struct graph *graph = parse(f, text);
    assert_true(graph_verify(graph, f->diags, "test"));
    expect_text(f, graph, text);
    struct graph *copy = graph_copy(graph, f->arena);
    assert_true(graph_verify(copy, f->diags, "test"));
    const struct dim_binding odd = {"H", 7};
    assert_true(graph_bind(copy, copy->functions.at[1], &odd, 1, f->diags));
    assert_false(graph_bind(copy, copy->functions.at[0], &odd, 1, f->diags));
    assert_string_equal(diag_message(f->diags, 0), "H must be a multiple of 2, but is 7");
}

static void binding_reaches_regions_attributes_and_callees(void **state) {
    struct fixture *f = *state;
    struct graph *graph = parse(
        f, "graph g\n"
           "fn f() {\n"
           "  require H % 2\n"
           "  %0 = input {name = \"x\"} : f32[B,H]\n"
           "  %1 = remat(%0) : f32[B,1/2*H] region(%2: f32[B,H]) {\n"
           "    %3 = slice(%2) {start = [0, 1/2*H], step = [1, 1]} : f32[B,1/2*H]\n"
           "    yield(%3)\n"
           "  }\n"
           "  %4 = call(%1) {function = pads} : f32[B,H]\n"
           "  %5 = dim {size = H - 7} : i64[]\n"
           "  yield(%4)\n"
           "}\n"
           "composite pads() region(%0: f32[B,1/2*H]) {\n"
           "  %1 = pad(%0) {lo = [0, 1/4*H], hi = [0, 1/4*H], interior = [0, 0], value = 0} : f32[B,H]\n"
           "  yield(%1)\n"
           "}\n");
    struct dim_binding bindings[] = {{"B", 2}, {"H", 8}};
    assert_true(graph_bind(graph, graph->functions.at[0], bindings, 2, f->diags));
    expect_text(f, graph,
                "graph g\n"
                "fn f() {\n"
                "  require H % 2\n"
                "  %0 = input {name = \"x\"} : f32[2,8]\n"
                "  %1 = remat(%0) : f32[2,4] region(%2: f32[2,8]) {\n"
                "    %3 = slice(%2) {start = [0, 4], step = [1, 1]} : f32[2,4]\n"
                "    yield(%3)\n"
                "  }\n"
                "  %4 = call(%1) {function = pads} : f32[2,8]\n"
                "  %5 = dim {size = 1} : i64[]\n"
                "  yield(%4)\n"
                "}\n"
                "composite pads() region(%0: f32[2,4]) {\n"
                "  %1 = pad(%0) {lo = [0, 2], hi = [0, 2], interior = [0, 0], value = 0} : f32[2,8]\n"
                "  yield(%1)\n"
                "}\n");
}

static void sizes_that_do_not_fit_are_reported(void **state) {
    struct fixture *f = *state;
    static const struct {
        int64_t size;
        const char *message;
    } cases[] = {
        {6, "the size 1/4*H is not a whole number at these dims"},
        {4, "the size H - 8 is negative, -4, at these dims"},
        {8, "slice: 7 elements from 2 on in steps of 1 leave axis 0 of f32[8]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct graph *graph = parse(f, "graph g\nfn f() {\n"
                                       "  %0 = input {name = \"x\"} : f32[H]\n"
                                       "  %1 = slice(%0) {start = [1/4*H], step = [1]} : f32[H - 1]\n"
                                       "  %2 = input {name = \"y\"} : f32[H - 8]\n"
                                       "  yield(%1)\n"
                                       "}\n");
        /* the negative size stands first */
        if (cases[i].size == 4)
            op_move_before(op_at(graph, 2), op_at(graph, 0));
        assert_false(graph_bind(graph, graph->functions.at[0], &(struct dim_binding){"H", cases[i].size}, 1,
                                f->diags));
        assert_string_equal(diag_message(f->diags, 0), cases[i].message);
        diags_clear(f->diags);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_block_is_cloned_with_its_regions),
        TEST(nested_regions_are_closed_through_each_other),
        TEST(operands_results_and_parameters_can_be_taken_away),
        TEST(a_function_demands_of_its_own_sizes),
        TEST(binding_reaches_regions_attributes_and_callees),
        TEST(sizes_that_do_not_fit_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
