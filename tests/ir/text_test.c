/* Printing and parsing: parse(print(g)) prints the same bytes, and what is wrong in a text is said with its
 * place. */
#include "ir/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    struct diags *diags;
};

static int setup(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    *f = (struct fixture){arena, types_create(arena), interner_create(arena), diags_create(arena)};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    arena_destroy(((struct fixture *)*state)->arena);
    return 0;
}

static struct graph *parse(struct fixture *f, const char *text) {
    const struct source *source = source_create(f->arena, "test.ir", text, strlen(text));
    return graph_parse(f->arena, f->types, f->names, source, f->diags);
}

static const char *rendered(struct fixture *f) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    diags_render(f->diags, &out, false);
    return out.text ? out.text : "";
}

static const char *print(struct fixture *f, const struct graph *graph) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    graph_print(graph, &out);
    return out.text;
}

static struct graph *parse_well(struct fixture *f, const char *text) {
    struct graph *graph = parse(f, text);
    if (!graph)
        fail_msg("%s\n%s", text, rendered(f));
    assert_true(graph_verify(graph, f->diags, "the parser"));
    return graph;
}

/* The text and what its graph prints, again through both; gives the printed text. */
static const char *round_trip(struct fixture *f, const char *text) {
    const char *once = print(f, parse_well(f, text)), *twice = print(f, parse_well(f, once));
    assert_string_equal(once, twice);
    return once;
}

/* The program around an example "type, type {attributes} : type". */
static const char *around(struct fixture *f, const struct op_info *info) {
    const char *rest = strpbrk(info->example, "{:");
    size_t operands = rest ? (size_t)(rest - info->example) : strlen(info->example);
    struct strbuf text;
    strbuf_init(&text, f->arena);
    strbuf_puts(&text, "graph example\nfn f() {\n");
    const char *at = info->example, *end = at + operands;
    int count = 0;
    while (at < end && *at != ' ') {
        const char *close = strchr(at, ']') + 1;
        strbuf_printf(&text, "  %%x%d = input {name = \"x%d\"} : %.*s\n", count, count, (int)(close - at),
                      at);
        count++;
        for (at = close; at < end && (*at == ',' || *at == ' '); at++) {
        }
    }
    for (int i = 0; i < info->results; i++)
        strbuf_printf(&text, "%s%%y%d", i ? ", " : "  ", i);
    strbuf_printf(&text, " = %s", info->name);
    for (int i = 0; i < count; i++)
        strbuf_printf(&text, "%s%%x%d%s", i ? ", " : "(", i, i == count - 1 ? ")" : "");
    strbuf_printf(&text, " %s\n  yield(%%y0)\n}\n", rest ? rest : "");
    return text.text;
}

static void every_example_of_the_table_round_trips(void **state) {
    struct fixture *f = *state;
    int count = 0;
    for (int code = 0; code < OP_COUNT; code++) {
        if (!*op_infos[code].example)
            continue;
        const char *printed = round_trip(f, around(f, &op_infos[code]));
        assert_non_null(strstr(printed, op_infos[code].name));
        count++;
    }
    assert_true(count > 50);
}

static void a_program_with_everything_prints_as_it_was_written(void **state) {
    struct fixture *f = *state;
    static const char text[] =
        "graph vae\n"
        "state @encoder.0.weight : f32[4,3] weight\n"
        "state @encoder.0.bias : f32[4] weight frozen\n"
        "state @run.step : i32[] run\n"
        "state @\"odd name\" : f32[] buffer\n"
        "fn encode(mean, _) {\n"
        "  require H % 8 \"images come in \\\"blocks\\\"\"\n"
        "  require H - 16 >= 0\n"
        "  %0 = input {name = \"x\"} : f32[B,1/8*H,3]\n"
        "  %1 = read {state = @encoder.0.weight} : f32[4,3]\n"
        "  %2 = dot(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [1]} : "
        "f32[B,1/8*H,4]\n"
        "  %3 = call(%2) {function = gelu} : f32[B,1/8*H,4]\n"
        "  %4 = const {data = 2} : i32[]\n"
        "  %5 = const {data = [0, 1, -3]} : i32[3]\n"
        "  %6 = const {data = [0.1, -inf, nan]} : f32[3]\n"
        "  %7 = const {data = hex\"0100807f\"} : f32[1]\n"
        "  %8, %9 = loop(%4, %4, %3, %6) {reverse = 0, carried = 1} : f32[B,1/8*H,4], f32[0,3] "
        "region(%10: i32[], %11: f32[B,1/8*H,4], %12: f32[3]) {\n"
        "    yield(%11, %12)\n"
        "  }\n"
        "  %13 = dim {size = floor((B + 1)/2)} : i64[]\n"
        "  report(%4) {name = \"count\"}\n"
        "  yield(%8, %9)\n"
        "}\n"
        "composite gelu() region(%0: f32[B,1/8*H,4]) {\n"
        "  %1 = tanh(%0) : f32[B,1/8*H,4]\n"
        "  yield(%1)\n"
        "}\n"
        "init init() {\n"
        "  %0 = const {data = 1} : bool[]\n"
        "  yield\n"
        "}\n";
    assert_string_equal(print(f, parse_well(f, text)), text);
}

static void a_copy_prints_the_same(void **state) {
    struct fixture *f = *state;
    struct strbuf text;
    strbuf_init(&text, f->arena);
    strbuf_puts(&text, "graph g\nstate @w : f32[3] weight\n"
                       "fn f(y) {\n"
                       "  %0 = read {state = @w} : f32[3]\n"
                       "  %1 = const {data = 1} : bool[]\n"
                       "  %2 = cond(%1, %0) : f32[3] region(%3: f32[3]) {\n"
                       "    %4 = call(%3) {function = g} : f32[3]\n"
                       "    yield(%4)\n"
                       "  } region(%5: f32[3]) {\n"
                       "    yield(%5)\n"
                       "  }\n"
                       "  write(%2) {state = @w}\n"
                       "  yield(%2)\n"
                       "}\n"
                       "composite g() region(%0: f32[3]) {\n"
                       "  yield(%0)\n"
                       "}\n");
    struct graph *graph = parse_well(f, text.text);
    struct arena *other = arena_create();
    struct graph *copy = graph_copy(graph, other);
    assert_true(graph_verify(copy, f->diags, "copying"));
    assert_string_equal(print(f, copy), text.text);
    assert_ptr_not_equal(copy->functions.at[0]->body->first, graph->functions.at[0]->body->first);
    assert_ptr_equal(op_attr(copy->functions.at[0]->body->first, ATTR_state)->state, copy->states.at[0]);
    arena_destroy(other);
}

static void expect_message(struct fixture *f, const char *text, const char *message) {
    assert_null(parse(f, text));
    for (int i = 0; i < diags_count(f->diags); i++)
        if (strcmp(diag_message(f->diags, i), message) == 0) {
            diags_clear(f->diags);
            return;
        }
    fail_msg("no \"%s\" for\n%s\nbut\n%s", message, text, rendered(f));
}

static void mistakes_are_named(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"%0 = frobnicate\n", "an operator is wanted, not `frobnicate`"},
        {"yield(%9)\n", "%9 is not made before this place"},
        {"%0 = const {data = 1} : i32[]\n%0 = const {data = 1} : i32[]\nyield\n", "%0 is made twice"},
        {"%0 = const {data = [1, 2]} : i32[3]\nyield\n", "`,` is wanted between two elements, not `]`"},
        {"%0 = const {data = [1, 2, 3, 4]} : i32[3]\nyield\n",
         "`]` is wanted behind the last element, not `,`"},
        {"%0 = const {data = 300} : u8[]\nyield\n", "300 is out of range for u8"},
        {"%0 = const {data = 1}\nyield\n", "the type of a constant must be declared"},
        {"%0 = const {data = hex\"00\"} : f32[99999999999,99999999]\nyield\n",
         "there are fewer elements than f32[99999999999,99999999] has"},
        {"%0 = const {data = 1} : i32[]\n%1 = exp(%0) : i32[]\nyield\n", "exp: wants a float, but got i32[]"},
        {"%0 = const {data = 1} : f32[]\n%1 = exp(%0) : f64[]\nyield\n",
         "result 0 of exp is f32[], not f64[]"},
        {"%0 = const {data = 1} : f32[]\n%1 = add(%0) : f32[]\nyield\n", "add: has 2 operands, not 1"},
        {"%0 = iota {axis = 0, axis = 1} : i32[3]\nyield\n", "the attribute `axis` stands twice"},
        {"%0 = iota {axiom = 0} : i32[3]\nyield\n", "`axiom` is no attribute"},
        {"%0 = iota {axis = 0} : i33[3]\nyield\n", "a type is wanted, not `i33`"},
        {"%0 = iota {axis = 0} : i32[3 3]\nyield\n", "`3 3` is no size"},
        {"%0 = read {state = @none} : f32[]\nyield\n", "there is no state `none`"},
        {"%0 = call {function = none} : f32[]\nyield\n", "there is no function `none`"},
        {"%0 = const {data = 1} : f32[]\n", "a block does not end in a yield"},
        {"yield\nyield\n", "a yield does not end its block"},
        {"%0 = const {data = 1} : bool[]\n%1 = cond(%0) : bool[] region() {\n yield(%0)\n} region() {\n "
         "yield(%0)\n}\nyield\n",
         "%0 belongs to another block: a region takes it as a parameter"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        expect_message(f, arena_printf(f->arena, "graph g\nfn f() {\n%s}\n", cases[i].body),
                       cases[i].message);
    expect_message(f, "", "`graph NAME` is wanted, not the end of the text");
    expect_message(f, "graph g\nfn f() {\n", "a block has no end");
    expect_message(f, "graph g\nfoo", "a state or a function is wanted, not `foo`");
    expect_message(f, "graph g\nfn f() { yield }\nfn f() { yield }", "there are two functions `f`");
    expect_message(f, "graph g\nfn f(a, b) { yield }", "`f` names 2 results, but yields 0");
}

static void one_run_reports_several_mistakes_and_no_consequences(void **state) {
    struct fixture *f = *state;
    assert_null(parse(f, "graph g\n"
                         "fn f() {\n"
                         "  %0 = input {name = \"x\"} : f32[3]\n"
                         "  %1 = input {name = \"y\"} : f32[4] // not 3 }\n"
                         "  %2 = add(%0, %1) : f32[3]\n"
                         "  %3 = exp(%2) : f32[3]\n"
                         "  %4 = neg(%0) {axis = } : f32[3]\n"
                         "  yield(%3, %4)\n"
                         "}\n"
                         "fn g() {\n"
                         "  yield(%5)\n"
                         "}\n"));
    static const char expected[] = "error[E0301]: add: f32[3] and f32[4] do not broadcast\n"
                                   " --> test.ir:5:3\n"
                                   "  |\n"
                                   "3 |   %0 = input {name = \"x\"} : f32[3]\n"
                                   "  |   -------------------------------- this is f32[3]\n"
                                   "4 |   %1 = input {name = \"y\"} : f32[4] // not 3 }\n"
                                   "  |   -------------------------------- this is f32[4]\n"
                                   "5 |   %2 = add(%0, %1) : f32[3]\n"
                                   "  |   ^^^^^^^^^^^^^^^^^^^^^^^^^\n"
                                   "\n"
                                   "error[E0601]: an integer is wanted, not `}`\n"
                                   " --> test.ir:7:24\n"
                                   "  |\n"
                                   "7 |   %4 = neg(%0) {axis = } : f32[3]\n"
                                   "  |                        ^\n"
                                   "\n"
                                   "error[E0601]: %5 is not made before this place\n"
                                   "  --> test.ir:11:9\n"
                                   "   |\n"
                                   "11 |   yield(%5)\n"
                                   "   |         ^^\n";
    assert_string_equal(rendered(f), expected);
}

/* The text between ```ir and ``` of docs/ir.md. */
static void the_example_of_the_documentation_parses(void **state) {
    struct fixture *f = *state;
    const char *root = getenv("SOURCE_DIR"), *why;
    const struct source *page =
        source_read(f->arena, arena_printf(f->arena, "%s/docs/ir.md", root ? root : "."), &why);
    assert_non_null(page);
    const char *begin = strstr(page->text, "```ir\n"), *end = begin ? strstr(begin, "\n```\n") : NULL;
    assert_non_null(end);
    round_trip(f, arena_strndup(f->arena, begin + 6, (size_t)(end + 1 - begin - 6)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(every_example_of_the_table_round_trips),
        TEST(a_program_with_everything_prints_as_it_was_written),
        TEST(a_copy_prints_the_same),
        TEST(mistakes_are_named),
        TEST(the_example_of_the_documentation_parses),
        TEST(one_run_reports_several_mistakes_and_no_consequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
