#include "base/diag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena;
    struct diags *diags;
};

static int set_up(void **state) {
    static struct fixture fixture;
    fixture.arena = arena_create();
    fixture.diags = diags_create(fixture.arena);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    arena_destroy(f->arena);
    return 0;
}

static const struct source *text_of(struct fixture *f, const char *name, const char *text) {
    return source_create(f->arena, name, text, strlen(text));
}

/* The n-th place (from 0) of word in the source. */
static struct span find(const struct source *source, const char *word, int n) {
    const char *at = strstr(source->text, word);
    while (n-- > 0)
        at = strstr(at + 1, word);
    uint32_t begin = (uint32_t)(at - source->text);
    return (struct span){source, begin, begin + (uint32_t)strlen(word)};
}

static void assert_drawn(struct fixture *f, const char *expected) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    diags_render(f->diags, &out, false);
    assert_string_equal(out.text, expected);
}

static void the_picture_of_the_header(void **state) {
    struct fixture *f = *state;
    const struct source *s =
        text_of(f, "vae.weft", "\n\n\n\n\n\n\n\n\n\n\n    y = a @ b\n\n\n\n\n\n\n\n  call()\n");
    struct site outer = {find(s, "call()", 0), NULL, "nn.Linear.call"};
    struct site site = {find(s, "a @ b", 0), &outer, NULL};
    struct diag *d = diag_error_at(f->diags, &site, E_SHAPE, "the inner dimensions differ");
    diag_label(d, site.span, "this is %s", "f32[5,7]");
    diag_hint(d, "did you mean `%s`?", "c");
    assert_drawn(f, "error[E0301]: the inner dimensions differ\n"
                    "  --> vae.weft:12:9\n"
                    "   |\n"
                    "12 |     y = a @ b\n"
                    "   |         ^^^^^ this is f32[5,7]\n"
                    "   = note: in nn.Linear.call, called at vae.weft:20:3\n"
                    "   = help: did you mean `c`?\n");
}

static void labels_on_one_line_on_others_and_in_other_files(void **state) {
    struct fixture *f = *state;
    const struct source *s = text_of(f, "a.weft", "a = f(1)\nb = g(2)\n\n\ny = a @ b\n");
    const struct source *lib = text_of(f, "<lib>/nn.weft", "fn f(x)\n");
    struct diag *d = diag_error(f->diags, find(s, "a @ b", 0), E_SHAPE, "the inner dimensions differ");
    diag_label(d, find(lib, "f(x)", 0), "defined here");
    diag_label(d, find(s, "b", 1), "this is f32[7,3]");
    diag_label(d, find(s, "a", 1), "this is f32[5,8]");
    diag_label(d, find(s, "f(1)", 0), "the 8 comes from here");
    diag_label(d, find(s, "b", 0), "here");
    assert_drawn(f, "error[E0301]: the inner dimensions differ\n"
                    " --> a.weft:5:5\n"
                    "  |\n"
                    "1 | a = f(1)\n"
                    "  |     ---- the 8 comes from here\n"
                    "2 | b = g(2)\n"
                    "  | - here\n"
                    "...\n"
                    "5 | y = a @ b\n"
                    "  |     ^^^^^\n"
                    "  |     - this is f32[5,8]\n"
                    "  |         - this is f32[7,3]\n"
                    " ::: <lib>/nn.weft:1:4\n"
                    "  |\n"
                    "1 | fn f(x)\n"
                    "  |    ---- defined here\n");
}

static void columns_of_tabs_and_unicode(void **state) {
    struct fixture *f = *state;
    const struct source *s = text_of(f, "u.weft", "\tσ = 漢(x)\t+ y # \033[31m\xff\n");
    diag_label(diag_error(f->diags, find(s, "x", 0), E_NAME, "unknown name"), find(s, "y", 0), "like this");
    assert_drawn(f, "error[E0201]: unknown name\n"
                    " --> u.weft:1:8\n"
                    "  |\n"
                    "1 |     σ = 漢(x)   + y # \xef\xbf\xbd[31m\xef\xbf\xbd\n"
                    "  |            ^\n"
                    "  |                   - like this\n");
}

static void spans_over_lines_empty_spans_and_the_end(void **state) {
    struct fixture *f = *state;
    const struct source *s = text_of(f, "a.weft", "f(1,\n  2)\nx");
    diag_error(f->diags, (struct span){s, 0, 9}, E_ARGUMENT, "two lines");
    diag_error(f->diags, (struct span){s, 2, 2}, E_SYNTAX, "between two letters");
    diag_error(f->diags, (struct span){s, 11, 11}, E_SYNTAX, "at the end");
    assert_drawn(f, "error[E0204]: two lines\n"
                    " --> a.weft:1:1\n"
                    "  |\n"
                    "1 | f(1,\n"
                    "  | ^^^^\n"
                    "\n"
                    "error[E0101]: between two letters\n"
                    " --> a.weft:1:3\n"
                    "  |\n"
                    "1 | f(1,\n"
                    "  |   ^\n"
                    "\n"
                    "error[E0101]: at the end\n"
                    " --> a.weft:3:2\n"
                    "  |\n"
                    "3 | x\n"
                    "  |  ^\n");
}

static void sorted_by_place_without_repetitions(void **state) {
    struct fixture *f = *state;
    const struct source *b = text_of(f, "b.weft", "xyz\n"), *a = text_of(f, "a.weft", "xyz\n");
    diag_error(f->diags, find(b, "z", 0), E_NAME, "third");
    diag_warning(f->diags, find(b, "x", 0), W_ZERO_GRAD, "second");
    diag_warning(f->diags, find(b, "y", 0), W_UNUSED, "not drawn beside errors");
    diag_error(f->diags, find(a, "z", 0), E_NAME, "first");
    diag_error(f->diags, find(b, "z", 0), E_NAME, "third");
    diag_error(f->diags, find(b, "z", 0), E_NAME, "fourth");
    diag_note(diag_defect(f->diags, (struct span){0}, "no place at all"), "please report it");
    assert_drawn(f, "defect[E9999]: no place at all\n"
                    " = note: please report it\n"
                    "\n"
                    "error[E0201]: first\n --> a.weft:1:3\n  |\n1 | xyz\n  |   ^\n"
                    "\n"
                    "warning[W0003]: second\n --> b.weft:1:1\n  |\n1 | xyz\n  | ^\n"
                    "\n"
                    "error[E0201]: third\n --> b.weft:1:3\n  |\n1 | xyz\n  |   ^\n"
                    "\n"
                    "error[E0201]: fourth\n --> b.weft:1:3\n  |\n1 | xyz\n  |   ^\n");
    assert_int_equal(diags_count(f->diags), 7);
    assert_int_equal(diags_error_count(f->diags), 5);
    assert_true(diags_has_defect(f->diags));
    assert_string_equal(diag_message(f->diags, 1), "second");
    assert_int_equal(diag_severity(f->diags, 1), SEVERITY_WARNING);
    assert_int_equal(diag_code_of(f->diags, 1), W_ZERO_GRAD);
    assert_ptr_equal(diag_span(f->diags, 1).source, b);
    diags_truncate(f->diags, 6);
    assert_false(diags_has_defect(f->diags));
    diags_clear(f->diags);
    assert_drawn(f, "");
}

static void colour_is_only_an_overlay(void **state) {
    struct fixture *f = *state;
    const struct source *s = text_of(f, "a.weft", "x\n");
    diag_note(diag_error(f->diags, find(s, "x", 0), E_NAME, "unknown name"), "note");
    struct strbuf plain, coloured;
    strbuf_init(&plain, f->arena);
    strbuf_init(&coloured, f->arena);
    diags_render(f->diags, &plain, false);
    diags_render(f->diags, &coloured, true);
    assert_null(strchr(plain.text, '\033'));
    struct strbuf stripped;
    strbuf_init(&stripped, f->arena);
    for (const char *at = coloured.text; *at; at++)
        if (*at == '\033')
            at = strchr(at, 'm');
        else
            strbuf_putc(&stripped, *at);
    assert_string_equal(stripped.text, plain.text);
    assert_true(coloured.length > plain.length);
}

static void long_chains_are_cut_in_the_middle(void **state) {
    struct fixture *f = *state;
    const struct source *s = text_of(f, "a.weft", "f() g()\n");
    struct site chain[1000];
    for (int i = 0; i < 1000; i++)
        chain[i] =
            (struct site){find(s, i % 2 ? "f()" : "g()", 0), i ? &chain[i - 1] : NULL, i % 2 ? "f" : "g"};
    diag_error_at(f->diags, &chain[999], E_RECURSION, "calls are nested too deep");
    struct strbuf out;
    strbuf_init(&out, f->arena);
    diags_render(f->diags, &out, false);
    assert_non_null(strstr(out.text, "in f, called at a.weft:1:1\n  = note: 991 more calls\n"));
    int notes = 0;
    for (const char *at = out.text; (at = strstr(at, "= note")); at++)
        notes++;
    assert_int_equal(notes, 9);
}

static void long_lines_are_cut(void **state) {
    struct fixture *f = *state;
    char text[1001];
    memset(text, 'a', 1000);
    text[500] = 'x', text[510] = 'y', text[900] = 'z', text[1000] = 0;
    const struct source *s = text_of(f, "a.weft", text);
    struct diag *d = diag_error(f->diags, find(s, "x", 0), E_NAME, "far out");
    diag_label(d, find(s, "y", 0), "near");
    diag_label(d, find(s, "z", 0), "far");
    struct strbuf out;
    strbuf_init(&out, f->arena);
    diags_render(f->diags, &out, false);
    assert_true(out.length < 1000);
    assert_non_null(strstr(
        out.text, "1 | ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaxaaaaaaaaayaaa"));
    assert_non_null(
        strstr(out.text, "aaa...\n  |                                                                ^\n"));
    assert_non_null(strstr(
        out.text, "                                                                          - near\n"));
}

static void equal_calls_are_counted(void **state) {
    struct fixture *f = *state;
    const struct source *s = text_of(f, "a.weft", "f()\nx\n");
    struct site entry = {{0}, NULL, "M.step"}, first = {find(s, "f()", 0), &entry, "f"},
                second = {find(s, "f()", 0), &first, "f"}, place = {find(s, "x", 0), &second, NULL};
    diag_error_at(f->diags, &place, E_RECURSION, "calls are nested too deep");
    assert_drawn(f, "error[E0403]: calls are nested too deep\n"
                    " --> a.weft:2:1\n"
                    "  |\n"
                    "2 | x\n"
                    "  | ^\n"
                    "  = note: in f, called at a.weft:1:1, 2 times\n"
                    "  = note: in M.step\n");
}

static void a_mistake_in_the_library_is_the_users_line(void **state) {
    struct fixture *f = *state;
    const struct source *s = text_of(f, "a.weft", "y = norm(x)\n"),
                        *lib = text_of(f, "<lib>/nn.weft", "mean(x)\nvar(x)\n");
    struct site entry = {{0}, NULL, "M.f"}, user = {find(s, "norm(x)", 0), &entry, "nn.norm"},
                inner = {find(lib, "var(x)", 0), &user, "var"},
                place = {find(lib, "mean(x)", 0), &inner, NULL};
    diag_error_at(f->diags, &place, E_TYPE, "not this");
    assert_drawn(f, "error[E0303]: not this\n"
                    " --> a.weft:1:5\n"
                    "  |\n"
                    "1 | y = norm(x)\n"
                    "  |     ^^^^^^^\n"
                    " ::: <lib>/nn.weft:1:1\n"
                    "  |\n"
                    "1 | mean(x)\n"
                    "  | ------- in var\n"
                    "  = note: in var, called at <lib>/nn.weft:2:1\n"
                    "  = note: in M.f\n");
}

static void slips_have_a_near_name(void **state) {
    (void)state;
    static const char *const names[] = {"relu", "sigmoid", "Linear", "Conv2d", "mu", "logvar"};
    enum { COUNT = sizeof names / sizeof *names };
    assert_string_equal(nearest_name("sigmiod", names, COUNT), "sigmoid");
    assert_string_equal(nearest_name("linear", names, COUNT), "Linear");
    assert_string_equal(nearest_name("Conv2", names, COUNT), "Conv2d");
    assert_string_equal(nearest_name("logvr", names, COUNT), "logvar");
    assert_string_equal(nearest_name("ReLU", names, COUNT), "relu");
    assert_string_equal(nearest_name("MU", names, COUNT), "mu");
    assert_null(nearest_name("x", names, COUNT));
    assert_null(nearest_name("softmax", names, COUNT));
    assert_null(nearest_name("", names, COUNT));
    char endless[5000];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    assert_null(nearest_name(endless, names, COUNT));
}

static void every_code_has_its_own_number(void **state) {
    (void)state;
    for (int i = 0; i < DIAG_CODE_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(diag_code_text((enum diag_code)i), diag_code_text((enum diag_code)j));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_picture_of_the_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(labels_on_one_line_on_others_and_in_other_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(columns_of_tabs_and_unicode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spans_over_lines_empty_spans_and_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sorted_by_place_without_repetitions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(colour_is_only_an_overlay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_chains_are_cut_in_the_middle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_calls_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mistake_in_the_library_is_the_users_line, set_up, tear_down),
        cmocka_unit_test(slips_have_a_near_name),
        cmocka_unit_test(every_code_has_its_own_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
