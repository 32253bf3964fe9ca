#include "base/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_place(const struct source *source, uint32_t offset, int line, int column) {
    int l, c;
    source_locate(source, offset, &l, &c);
    assert_int_equal(l, line);
    assert_int_equal(c, column);
}

static void places_count_characters(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const char *text = "ab\n\nσ = 1\r\nend";
    const struct source *source = source_create(arena, "a.weft", text, strlen(text));
    assert_int_equal(source->line_count, 4);
    assert_place(source, 0, 1, 1);
    assert_place(source, 2, 1, 3); /* the line's end belongs to the line */
    assert_place(source, 3, 2, 1);
    assert_place(source, 4, 3, 1);
    assert_place(source, 6, 3, 2); /* behind a letter of two bytes */
    assert_place(source, 7, 3, 3);
    assert_place(source, (uint32_t)strlen(text), 4, 4);
    assert_place(source, 4000, 4, 4);
    arena_destroy(arena);
}

static void lines_come_without_their_ends(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const struct source *source = source_create(arena, "a.weft", "ab\r\n\nlast", 9);
    int length;
    assert_memory_equal(source_line(source, 1, &length), "ab", 2);
    assert_int_equal(length, 2);
    source_line(source, 2, &length);
    assert_int_equal(length, 0);
    assert_memory_equal(source_line(source, 3, &length), "last", 4);
    assert_int_equal(length, 4);
    source_line(source, 4, &length);
    assert_int_equal(length, 0);
    source_line(source, 0, &length);
    assert_int_equal(length, 0);
    const struct source *empty = source_create(arena, "empty", "", 0);
    assert_int_equal(empty->line_count, 1);
    assert_place(empty, 0, 1, 1);
    arena_destroy(arena);
}

static void files_are_read_whole_or_refused(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    char path[] = "/tmp/weft_source_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    char bytes[5000];
    memset(bytes, 'x', sizeof bytes);
    bytes[17] = '\n', bytes[18] = 0;
    assert_int_equal(write(file, bytes, sizeof bytes), sizeof bytes);
    close(file);
    const char *why = NULL;
    const struct source *source = source_read(arena, path, &why);
    assert_non_null(source);
    assert_string_equal(source->name, path);
    assert_int_equal(source->length, sizeof bytes);
    assert_memory_equal(source->text, bytes, sizeof bytes);
    assert_int_equal(source->text[sizeof bytes], 0);
    unlink(path);
    assert_null(source_read(arena, path, &why));
    assert_string_equal(why, "No such file or directory");
    assert_null(source_read(arena, "/tmp", &why));
    assert_string_equal(why, "it is a folder");
    assert_non_null(source_read(arena, "/proc/self/status", &why)); /* has no size beforehand */
    arena_destroy(arena);
}

static void spans_join(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const struct source *one = source_create(arena, "one", "abcdef", 6),
                        *two = source_create(arena, "two", "", 0);
    struct span a = {one, 1, 2}, b = {one, 4, 6}, other = {two, 0, 0}, nowhere = {0};
    struct span both = span_join(a, b);
    assert_int_equal(both.begin, 1);
    assert_int_equal(both.end, 6);
    assert_ptr_equal(span_join(nowhere, b).source, one);
    assert_int_equal(span_join(a, nowhere).end, 2);
    assert_int_equal(span_join(a, other).end, 2);
    assert_false(span_is_known(nowhere));
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_count_characters),
        cmocka_unit_test(lines_come_without_their_ends),
        cmocka_unit_test(files_are_read_whole_or_refused),
        cmocka_unit_test(spans_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
