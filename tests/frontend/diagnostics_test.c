/* Broken model texts and their whole messages: tests/frontend/diagnostics/NAME.test. A text that parses is
 * elaborated too: what its first line asks for, or every entry of every model. Behind a line "---- file
 * x.weft" stands another file, beside the first. `--rewrite` (or WEFT_GOLDEN=1) puts in the messages that are
 * given now. */
#include "support_elaborate.h"
#include "support_golden.h"

#include "base/vec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char file_mark[] = "\n---- file ";

/* The texts behind the first, written where the test runs, so that `use` finds them. */
struct beside {
    VEC(const char *) names;
};

static void write_beside(struct arena *arena, const char *text, struct beside *out) {
    while ((text = strstr(text, file_mark)) != NULL) {
        text += sizeof file_mark - 1;
        const char *body = strchr(text, '\n') + 1, *end = strstr(body - 1, file_mark);
        const char *name = arena_strndup(arena, text, (size_t)(body - 1 - text));
        FILE *file = fopen(name, "w");
        assert_non_null(file);
        fwrite(body, 1, end ? (size_t)(end + 1 - body) : strlen(body), file);
        assert_int_equal(fclose(file), 0);
        VEC_PUSH(arena, &out->names, name);
    }
}

static void check(struct arena *arena, const char *name, const char *input, size_t length,
                  struct strbuf *out) {
    struct beside beside = {0};
    const char *mark = strstr(input, file_mark);
    write_beside(arena, input, &beside);
    size_t used = mark ? (size_t)(mark - input) + 1 : length;
    struct session s = session_start(arena, name, arena_strndup(arena, input, used), used);
    struct strbuf graphs;
    strbuf_init(&graphs, arena);
    elaborate_asked(&s, input, &graphs);
    diags_render(s.diags, out, false);
    if (diags_count(s.diags) == 0)
        strbuf_puts(out, "no message\n");
    for (int i = 0; i < beside.names.count; i++)
        unlink(beside.names.at[i]);
}

static void messages_are_as_expected(void **state) {
    (void)state;
    char folder[] = "/tmp/weft-diagnostics-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    int failures = golden_run("diagnostics", check);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(failures, 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--rewrite") == 0)
        setenv("WEFT_GOLDEN", "1", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages_are_as_expected)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
