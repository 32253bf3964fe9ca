/* The runner: order, dumps, times, sizes, and who is blamed. */
#include "passes/pipeline.h"

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
    struct strbuf dump;
    struct pass_context context;
};

static int setup(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    f->arena = arena;
    f->types = types_create(arena);
    f->diags = diags_create(arena);
    strbuf_init(&f->dump, arena);
    f->context = (struct pass_context){.arena = arena, .diags = f->diags, .verify = true, .dump = &f->dump};
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

static const char program[] = "graph g\n"
                              "fn f() {\n"
                              "  %0 = input {name = \"x\"} : f32[B]\n"
                              "  %1 = neg(%0) : f32[B]\n"
                              "  %2 = neg(%1) : f32[B]\n"
                              "  yield(%2)\n"
                              "}\n";

static void each_pass_has_a_name_and_is_found(void **state) {
    (void)state;
    for (int i = 0; i < pipeline_count; i++) {
        assert_ptr_equal(pipeline_find(pipeline[i].name), &pipeline[i]);
        assert_true(strlen(pipeline[i].summary) > 10);
    }
    assert_null(pipeline_find("optimise"));
}

static void a_dump_shows_the_graph_after_its_pass(void **state) {
    struct fixture *f = *state;
    f->context.dump_after = "simplify";
    assert_true(pipeline_run(parse(f, program), &f->context, "dce"));
    assert_string_equal(f->dump.text, "// after simplify\n"
                                      "graph g\n"
                                      "fn f() {\n"
                                      "  %0 = input {name = \"x\"} : f32[B]\n"
                                      "  yield(%0)\n"
                                      "}\n");
}

static void all_dumps_come_in_order_and_stop_where_the_run_stops(void **state) {
    struct fixture *f = *state;
    f->context.dump_after = "all";
    assert_true(pipeline_run(parse(f, program), &f->context, "dce"));
    const char *at = f->dump.text;
    for (int i = 0; i < pipeline_count; i++) {
        const char *title = arena_printf(f->arena, "// after %s\n", pipeline[i].name),
                   *found = strstr(at, title);
        bool runs = i <= (int)(pipeline_find("dce") - pipeline);
        assert_true(runs == (found != NULL));
        assert_true(runs == (f->context.seconds[i] > 0));
        at = runs ? found : at;
    }
}

static void passes_that_need_sizes_refuse_symbolic_graphs(void **state) {
    struct fixture *f = *state;
    struct graph *graph = parse(f, program);
    f->context.functions = graph->functions.at;
    f->context.function_count = 1;
    assert_false(pipeline_run(graph, &f->context, NULL));
    assert_true(diags_has_defect(f->diags));
    assert_non_null(strstr(diag_message(f->diags, 0), "came to `f` while a value was still f32[B]"));
}

static void a_broken_graph_is_blamed_on_the_pass_that_ran(void **state) {
    struct fixture *f = *state;
    struct graph *graph = parse(f, program);
    graph->functions.at[0]->body->first->next->out[0]->type = type_scalar(f->types, DTYPE_f32);
    assert_false(pipeline_run(graph, &f->context, "inline"));
    assert_true(diags_has_defect(f->diags));
    assert_non_null(strstr(diag_message(f->diags, 0), "after the pass attend: "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(each_pass_has_a_name_and_is_found),
        TEST(a_dump_shows_the_graph_after_its_pass),
        TEST(all_dumps_come_in_order_and_stop_where_the_run_stops),
        TEST(passes_that_need_sizes_refuse_symbolic_graphs),
        TEST(a_broken_graph_is_blamed_on_the_pass_that_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
