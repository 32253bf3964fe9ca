/* The lexer and the grammar: every program of the language's description parses, trees are as expected, and
 * deep or broken text ends in a diagnostic. */
#include "frontend/ast.h"
#include "frontend/ast_print.h"
#include "frontend/frontend.h"
#include "support_golden.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct parsed {
    struct arena *arena;
    struct diags *diags;
    struct file_ast *file;
};

static struct parsed parse_text(const char *text) {
    struct parsed p = {.arena = arena_create()};
    p.diags = diags_create(p.arena);
    const struct source *source = source_create(p.arena, "test.weft", text, strlen(text));
    p.file = parse_file(p.arena, interner_create(p.arena), source, p.diags);
    return p;
}

/* ---- the programs ---- */

/* The folder of the language's description: beside the data. NULL where it is not on this machine. */
static const char *language_folder(struct arena *arena) {
    const char *data = getenv("WEFT_DATA");
    return data ? arena_printf(arena, "%s/../language", data) : NULL;
}

static void assert_parses(struct arena *arena, const char *path) {
    const char *why = NULL;
    const struct source *source = source_read(arena, path, &why);
    assert_non_null(source);
    struct diags *diags = diags_create(arena);
    struct file_ast *file = parse_file(arena, interner_create(arena), source, diags);
    struct strbuf text;
    strbuf_init(&text, arena);
    diags_render(diags, &text, false);
    if (diags_count(diags))
        fprintf(stderr, "%s\n", text.text);
    assert_int_equal(diags_count(diags), 0);
    assert_non_null(file->items);
}

static int parse_folder(const char *folder) {
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".weft"))
            continue;
        struct arena *arena = arena_create();
        assert_parses(arena, arena_printf(arena, "%s/%s", folder, entry->d_name));
        arena_destroy(arena);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

static void programs_parse(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const char *folder = language_folder(arena);
    DIR *dir = folder ? opendir(folder) : NULL;
    if (!dir) {
        arena_destroy(arena);
        skip();
    }
    closedir(dir);
    assert_true(parse_folder(arena_printf(arena, "%s/programs", folder)) >= 15);
    assert_int_equal(parse_folder(arena_printf(arena, "%s/reference", folder)), 1);
    arena_destroy(arena);
}

static void models_parse(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    if (!source_folder(arena, "models"))
        skip();
    parse_folder(source_folder(arena, "models"));
    parse_folder(source_folder(arena, "models/lib"));
    arena_destroy(arena);
}

/* ---- trees ---- */

static void print_tree(struct arena *arena, const char *name, const char *input, size_t length,
                       struct strbuf *out) {
    struct diags *diags = diags_create(arena);
    const struct source *source = source_create(arena, name, input, length);
    struct file_ast *file = parse_file(arena, interner_create(arena), source, diags);
    ast_print(file, out);
    diags_render(diags, out, false);
}

static void trees_are_as_expected(void **state) {
    (void)state;
    assert_int_equal(golden_run("tree", print_tree), 0);
}

static const char *span_text(struct arena *arena, struct span span) {
    return arena_strndup(arena, span.source->text + span.begin, span.end - span.begin);
}

static void spans_cover_their_text(void **state) {
    (void)state;
    struct parsed p =
        parse_text("fn f(x) {\n  y = a.b(1, c: 2)[3] + -z^2\n  assert y, \"at {y + 1} of\"\n}\n");
    assert_int_equal(diags_count(p.diags), 0);
    const struct stmt *set = p.file->items->body.first;
    assert_string_equal(span_text(p.arena, set->span), "y = a.b(1, c: 2)[3] + -z^2");
    const struct expr *sum = set->value;
    assert_string_equal(span_text(p.arena, sum->span), "a.b(1, c: 2)[3] + -z^2");
    assert_string_equal(span_text(p.arena, sum->op_span), "+");
    assert_string_equal(span_text(p.arena, sum->a->span), "a.b(1, c: 2)[3]");
    assert_string_equal(span_text(p.arena, sum->a->a->args->next->span), "c: 2");
    assert_string_equal(span_text(p.arena, sum->b->span), "-z^2");
    const struct piece *piece = set->next->message->pieces->next;
    assert_string_equal(span_text(p.arena, piece->expr->span), "y + 1");
    arena_destroy(p.arena);
}

/* ---- text that goes on, text that is too deep, text that is no text ---- */

static bool is_incomplete(const char *text) {
    struct arena *arena = arena_create();
    bool result = parse_is_incomplete(arena, source_create(arena, "<repl>", text, strlen(text)));
    arena_destroy(arena);
    return result;
}

static void repl_asks_for_more(void **state) {
    (void)state;
    assert_true(is_incomplete("fn f(x) {"));
    assert_true(is_incomplete("f(1,"));
    assert_true(is_incomplete("y = [1, 2"));
    assert_true(is_incomplete("y = a +"));
    assert_true(is_incomplete("x |>\n"));
    assert_true(is_incomplete("a and // b"));
    assert_false(is_incomplete(""));
    assert_false(is_incomplete("// a comment"));
    assert_false(is_incomplete("y = a + b"));
    assert_false(is_incomplete("fn f(x) { x }"));
    assert_false(is_incomplete("f(1))"));
}

static char *repeat(struct arena *arena, const char *text, int count) {
    struct strbuf out;
    strbuf_init(&out, arena);
    for (int i = 0; i < count; i++)
        strbuf_puts(&out, text);
    return out.text;
}

static void assert_too_deep(const char *head, const char *unit, const char *tail) {
    struct arena *arena = arena_create();
    struct parsed p = parse_text(arena_printf(arena, "%s%s%s", head, repeat(arena, unit, 100000), tail));
    bool found = false;
    for (int i = 0; i < diags_count(p.diags); i++)
        found |= strcmp(diag_message(p.diags, i), "this is nested too deep") == 0;
    assert_true(found);
    arena_destroy(p.arena);
    arena_destroy(arena);
}

static void depth_is_bounded(void **state) {
    (void)state;
    assert_too_deep("y = ", "(", "");
    assert_too_deep("y = ", "[", "");
    assert_too_deep("y = ", "-", "1");
    assert_too_deep("y = 1", " + 1", "");
    assert_too_deep("y = x", ".a", "");
    assert_too_deep("y = x", " |> f", "");
    assert_too_deep("y = ", "if a { b } else ", "{ c }");
    assert_too_deep("", "if a { ", "");
    assert_too_deep("y = ", "2^", "2");
    assert_too_deep("model M { fn f(x: ", "[", "");
}

static void lists_may_be_long(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct parsed p = parse_text(
        arena_printf(arena, "y = [%s]\n%s", repeat(arena, "1, ", 100000), repeat(arena, "x = 1\n", 100000)));
    assert_int_equal(diags_count(p.diags), 0);
    arena_destroy(p.arena);
    arena_destroy(arena);
}

static void any_bytes_end_in_diagnostics(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    char bytes[4096];
    uint32_t random = 1;
    for (int run = 0; run < 200; run++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 1664525u + 1013904223u;
            bytes[i] = (char)(random >> 24);
        }
        struct diags *diags = diags_create(arena);
        const struct source *source = source_create(arena, "noise", bytes, sizeof bytes);
        parse_file(arena, interner_create(arena), source, diags);
        assert_true(diags_error_count(diags) > 0);
        arena_reset(arena);
    }
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_parse),        cmocka_unit_test(models_parse),
        cmocka_unit_test(trees_are_as_expected), cmocka_unit_test(spans_cover_their_text),
        cmocka_unit_test(repl_asks_for_more),    cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(lists_may_be_long),     cmocka_unit_test(any_bytes_end_in_diagnostics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
