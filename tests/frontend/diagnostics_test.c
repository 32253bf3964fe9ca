/* Broken model texts and their whole messages: tests/frontend/diagnostics/NAME.test. A text that parses is
 * elaborated too: every entry of every model in it. `--rewrite` (or WEFT_GOLDEN=1) puts in the messages that
 * are given now. */
#include "support_elaborate.h"
#include "support_golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(struct arena *arena, const char *name, const char *input, size_t length,
                  struct strbuf *out) {
    struct session s = session_start(arena, name, input, length);
    if (diags_error_count(s.diags) == 0)
        elaborate_everything(&s, true);
    diags_render(s.diags, out, false);
    if (diags_count(s.diags) == 0)
        strbuf_puts(out, "no message\n");
}

static void messages_are_as_expected(void **state) {
    (void)state;
    assert_int_equal(golden_run("diagnostics", check), 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--rewrite") == 0)
        setenv("WEFT_GOLDEN", "1", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages_are_as_expected)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
