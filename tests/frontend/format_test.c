/* `weft fmt`: the style, as golden files; and on every program and library file: the tree stays, comments
 * stay, and a second run changes nothing. */
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

static const char *format(struct arena *arena, const char *name, const char *text, size_t length) {
    struct diags *diags = diags_create(arena);
    const char *result = frontend_format(arena, source_create(arena, name, text, length), diags);
    struct strbuf messages;
    strbuf_init(&messages, arena);
    diags_render(diags, &messages, false);
    if (!result)
        fprintf(stderr, "%s", messages.text);
    return result;
}

static void format_golden(struct arena *arena, const char *name, const char *input, size_t length,
                          struct strbuf *out) {
    const char *text = format(arena, name, input, length);
    strbuf_puts(out, text ? text : "does not parse\n");
}

static void style_is_as_expected(void **state) {
    (void)state;
    assert_int_equal(golden_run("format", format_golden), 0);
}

static int count_of(const char *text, const char *word) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    return count;
}

static void assert_stable(struct arena *arena, const char *path) {
    const char *why = NULL;
    const struct source *source = source_read(arena, path, &why);
    assert_non_null(source);
    const char *once = format(arena, path, source->text, source->length);
    assert_non_null(once);
    const char *twice = format(arena, path, once, strlen(once));
    assert_string_equal(once, twice);
    assert_int_equal(count_of(source->text, "//"), count_of(once, "//"));
}

static int check_folder(const char *folder) {
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct arena *arena = arena_create();
        const char *path = arena_printf(arena, "%s/%s", folder, entry->d_name);
        if (strstr(entry->d_name, ".weft")) {
            assert_stable(arena, path);
            count++;
        } else if (!strchr(entry->d_name, '.')) {
            count += check_folder(path);
        }
        arena_destroy(arena);
    }
    if (dir)
        closedir(dir);
    return count;
}

static void library_is_stable(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    if (!source_folder(arena, "models"))
        skip();
    assert_true(check_folder(source_folder(arena, "models")) >= 20);
    assert_true(check_folder(source_folder(arena, "tests/frontend/programs")) >= 1);
    arena_destroy(arena);
}

/* The project's own texts are in its own style. */
static void library_is_formatted(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    static const char *const folders[] = {"models", "models/lib", "models/lib/nn"};
    for (int i = 0; i < 3; i++) {
        const char *folder = source_folder(arena, folders[i]);
        DIR *dir = folder ? opendir(folder) : NULL;
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
            const char *why = NULL;
            if (!strstr(entry->d_name, ".weft"))
                continue;
            const struct source *source =
                source_read(arena, arena_printf(arena, "%s/%s", folder, entry->d_name), &why);
            assert_string_equal(format(arena, entry->d_name, source->text, source->length), source->text);
        }
        if (dir)
            closedir(dir);
    }
    arena_destroy(arena);
}

static void programs_are_stable(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const char *data = getenv("WEFT_DATA");
    const char *folder = data ? arena_printf(arena, "%s/../language/programs", data) : NULL;
    if (!folder || check_folder(folder) == 0) {
        arena_destroy(arena);
        skip();
    }
    arena_destroy(arena);
}

static void broken_text_is_left_alone(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct diags *diags = diags_create(arena);
    assert_null(frontend_format(arena, source_create(arena, "x.weft", "fn f(", 5), diags));
    assert_int_equal(diags_error_count(diags), 2);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(style_is_as_expected),      cmocka_unit_test(library_is_stable),
        cmocka_unit_test(library_is_formatted),      cmocka_unit_test(programs_are_stable),
        cmocka_unit_test(broken_text_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
