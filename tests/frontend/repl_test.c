/* The REPL's texts: what is defined, what is shown, what is a function to run. */
#include "frontend/inspect.h"
#include "ir/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena;
    struct types *types;
    struct diags *diags;
    struct repl_scope *repl;
    bool is_definition;
    const char *assigned, *text;
};

static int set_up(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    f->arena = arena;
    f->types = types_create(arena);
    f->diags = diags_create(arena);
    struct frontend *fe = frontend_create(arena, f->types, interner_create(arena), f->diags);
    f->repl = repl_create(fe, NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    arena_destroy(f->arena);
    return 0;
}

static struct function *enter(struct fixture *f, const char *text) {
    const struct source *source = source_create(f->arena, "<repl:1>", text, strlen(text));
    struct function *function =
        repl_evaluate(f->repl, source, f->arena, &f->is_definition, &f->assigned, &f->text);
    if (function && !graph_verify(function->graph, f->diags, "elaboration")) {
        struct strbuf out;
        strbuf_init(&out, f->arena);
        diags_render(f->diags, &out, false);
        fail_msg("%s", out.text);
    }
    return function;
}

static const char *printed(struct fixture *f, const struct function *function) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    assert_non_null(function);
    function_print(function, &out);
    return out.text;
}

static void assert_shows(struct fixture *f, const char *text, const char *shown) {
    assert_null(enter(f, text));
    assert_non_null(f->text);
    assert_string_equal(f->text, shown);
    assert_int_equal(diags_count(f->diags), 0);
}

static void values_of_elaboration_are_shown(void **state) {
    struct fixture *f = *state;
    assert_shows(f, "1 + 2", "3");
    assert_shows(f, "1.0 / 4", "0.25");
    assert_shows(f, "[i^2 for i in 0..4]", "[0, 1, 4, 9]");
    assert_shows(f, "shape(zeros([2, 3]))", "[2, 3]");
    assert_null(enter(f, "n = 7"));
    assert_true(f->is_definition);
    assert_shows(f, "n * n", "49");
}

static void run_time_values_are_inputs_of_later_texts(void **state) {
    struct fixture *f = *state;
    struct function *made = enter(f, "x = randn([3])");
    assert_non_null(made);
    assert_string_equal(f->assigned, "x");
    assert_string_equal(made->result_names[0], "x");
    const int64_t three = 3;
    repl_bind(f->repl, "x", type_of_sizes(f->types, DTYPE_f32, 1, &three));
    assert_string_equal(printed(f, enter(f, "x + 1.0")), "expression it(_) {\n"
                                                         "  %0 = input {name = \"x\"} : f32[3]\n"
                                                         "  %1 = const {data = 1} : f32[]\n"
                                                         "  %2 = add(%0, %1) : f32[3]\n"
                                                         "  yield(%2)\n"
                                                         "}\n");
    assert_null(f->assigned);
    assert_non_null(enter(f, "q = (twice: x + x, half: 0.5 * x)"));
    repl_bind(f->repl, "q.twice", type_of_sizes(f->types, DTYPE_f32, 1, &three));
    repl_bind(f->repl, "q.half", type_of_sizes(f->types, DTYPE_f32, 1, &three));
    assert_non_null(strstr(printed(f, enter(f, "q.half")), "input {name = \"q.half\"}"));
}

/* print(x) has shown x: its value is no result. */
static void what_is_printed_is_shown_once(void **state) {
    struct fixture *f = *state;
    static const char *const texts[] = {"print(zeros([2]))", "zeros([2]) |> print",
                                        "zeros([2]) |> print(\"z\")"};
    for (int i = 0; i < 3; i++) {
        const char *text = printed(f, enter(f, texts[i]));
        assert_non_null(strstr(text, "print("));
        assert_non_null(strstr(text, "  yield\n"));
    }
    assert_non_null(strstr(printed(f, enter(f, "print(zeros([2])) + 1.0")), "yield(%"));
    assert_null(enter(f, "fn print(x) = x")); /* another print is an fn like any other */
    assert_non_null(strstr(printed(f, enter(f, "print(zeros([2]))")), "yield(%"));
}

static void a_definition_replaces_an_older_one(void **state) {
    struct fixture *f = *state;
    assert_null(enter(f, "fn double(a) = a + a"));
    assert_true(f->is_definition);
    assert_null(enter(f, "fn quadruple(a) = double(double(a))"));
    assert_shows(f, "quadruple(3)", "12");
    assert_null(enter(f, "fn double(a) = 2 * a + 1"));
    assert_shows(f, "quadruple(3)", "15");
}

static void an_instance_keeps_its_weights_by_name(void **state) {
    struct fixture *f = *state;
    assert_null(enter(f, "use nn"));
    assert_true(f->is_definition);
    assert_null(enter(f, "m = [nn.Linear(2), relu]"));
    assert_true(f->is_definition);
    for (int i = 0; i < 2; i++) {
        struct function *function = enter(f, "ones([1, 4]) |> m");
        assert_non_null(function);
        assert_non_null(graph_find_state(function->graph, "m.0.weight"));
        assert_non_null(graph_find_function(function->graph, "init"));
    }
}

static void a_mistake_leaves_the_session_alive(void **state) {
    struct fixture *f = *state;
    assert_null(enter(f, "zeros([2]) + zeros([3])"));
    assert_false(f->is_definition);
    assert_null(f->text);
    assert_int_equal(diags_error_count(f->diags), 1);
    diags_clear(f->diags);
    assert_shows(f, "2 * 3", "6");
}

static const char *remade(struct fixture *f) {
    const char *const *names;
    int count = repl_remade(f->repl, &names);
    return names_text(f->arena, names, count);
}

static void a_definition_makes_anew_what_depends_on_it(void **state) {
    struct fixture *f = *state;
    enter(f, "use nn");
    enter(f, "fn width(n) = 2 * n");
    enter(f, "module Net(n: int) { let a = nn.Linear(width(n)) \n fn call(x) = a(x) }");
    enter(f, "module Other() { let a = nn.Linear(3) \n fn call(x) = a(x) }");
    enter(f, "n = 2");
    enter(f, "net = Net(n)");
    enter(f, "list = [net, relu]");
    enter(f, "other = Other()");
    assert_string_equal(remade(f), "nothing");
    enter(f, "fn width(n) = 5 * n");
    assert_string_equal(remade(f), "`net` and `list`");
    assert_non_null(strstr(printed(f, enter(f, "ones([1, 4]) |> list")), "f32[10,4]"));
    enter(f, "fn unused(x) = width(x)"); /* new: nothing can depend on it */
    assert_string_equal(remade(f), "nothing");
    enter(f, "module Other() { fn call(x) = x }");
    assert_string_equal(remade(f), "`other`");
    enter(f, "fn relu(x) = x"); /* of the prelude: it is hidden from now on */
    assert_string_equal(remade(f), "`list`");
    assert_int_equal(diags_error_count(f->diags), 0);
}

static void a_train_can_be_called(void **state) {
    struct fixture *f = *state;
    enter(f, "use nn");
    enter(f, "model M { let a = nn.Linear(3) \n train step(x: f32[B, 2]) { loss = mean(a(x)^2) \n"
             " minimize loss using nn.SGD(lr: 0.1) \n report loss } }");
    enter(f, "m = M()");
    struct function *function = enter(f, "m.step(ones([4, 2]))");
    const char *text = printed(f, function);
    assert_non_null(strstr(text, "report"));
    assert_non_null(strstr(text, "run.step"));
    assert_non_null(graph_find_state(function->graph, "m.a.weight"));
    assert_non_null(strstr(printed(f, enter(f, "for i in 0..2 { m.step(ones([4, 2])) }")), "loss.1"));
    assert_non_null(enter(f, "loop i in 0..9 { m.step(ones([4, 2])) }"));
    assert_int_equal(diags_error_count(f->diags), 0);
}

static void a_loop_that_yields_is_shown(void **state) {
    struct fixture *f = *state;
    assert_non_null(strstr(printed(f, enter(f, "loop i in 0..3 { yield f32(i) }")), "f32[3]"));
    assert_null(f->assigned);
}

static bool has_candidate(struct fixture *f, const char *prefix, const char *wanted) {
    struct candidate *found;
    uint32_t begin;
    int count = repl_complete(f->repl, prefix, (uint32_t)strlen(prefix), &begin, &found);
    for (int i = 0; i < count; i++)
        if (strcmp(arena_printf(f->arena, "%.*s%s", (int)begin, prefix, found[i].text), wanted) == 0)
            return true;
    return false;
}

static void names_are_completed(void **state) {
    struct fixture *f = *state;
    assert_null(enter(f, "use nn"));
    assert_true(has_candidate(f, "resh", "reshape"));
    assert_true(has_candidate(f, "rel", "relu"));
    assert_true(has_candidate(f, "nn.Lin", "nn.Linear"));
    assert_false(has_candidate(f, "nn.Lin", "reshape"));
    enter(f, "m = (layer: nn.Linear(3), n: 2)");
    assert_true(has_candidate(f, "m.la", "m.layer"));
    assert_true(has_candidate(f, "m.layer.we", "m.layer.weight"));
    assert_true(has_candidate(f, "y = nn.Conv2d(8, pa", "y = nn.Conv2d(8, pad: "));
    assert_true(has_candidate(f, "sum(x, ax", "sum(x, axis: "));
    assert_true(has_candidate(f, "fn f(x: f3", "fn f(x: f32"));
    assert_false(has_candidate(f, "// nn.Lin", "// nn.Linear"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_of_elaboration_are_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(run_time_values_are_inputs_of_later_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_printed_is_shown_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_definition_replaces_an_older_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_instance_keeps_its_weights_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mistake_leaves_the_session_alive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_definition_makes_anew_what_depends_on_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_train_can_be_called, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_loop_that_yields_is_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_completed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
