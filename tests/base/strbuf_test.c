#include "base/strbuf.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void text_grows_and_stays_terminated(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct strbuf buf;
    strbuf_init(&buf, arena);
    assert_string_equal(buf.text, "");
    for (int i = 0; i < 500; i++) {
        strbuf_puts(&buf, "ab");
        strbuf_putc(&buf, 'c');
        strbuf_write(&buf, "def", 2);
        strbuf_printf(&buf, "%03d", i);
        assert_int_equal(buf.length, strlen(buf.text));
        assert_int_equal(buf.length, 8 * (i + 1));
    }
    assert_memory_equal(buf.text + 8 * 499, "abcde499", 9);
    arena_destroy(arena);
}

static void text_is_escaped_for_html(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct strbuf buf;
    strbuf_init(&buf, arena);
    strbuf_escaped(&buf, "a<b>&\"c\" <lib>");
    assert_string_equal(buf.text, "a&lt;b&gt;&amp;&quot;c&quot; &lt;lib&gt;");
    arena_destroy(arena);
}

static void assert_text(struct arena *arena, double value, const char *as_double, const char *as_float) {
    struct strbuf buf;
    strbuf_init(&buf, arena);
    strbuf_double(&buf, value);
    assert_string_equal(buf.text, as_double);
    strbuf_init(&buf, arena);
    strbuf_float(&buf, (float)value);
    assert_string_equal(buf.text, as_float);
}

static void numbers_are_short(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    assert_text(arena, 0, "0", "0");
    assert_text(arena, -0.0, "-0", "-0");
    assert_text(arena, 1, "1", "1");
    assert_text(arena, -2.5, "-2.5", "-2.5");
    assert_text(arena, 0.1, "0.1", "0.1");
    assert_text(arena, 100000, "100000", "100000");
    assert_text(arena, 1e-3, "0.001", "0.001");
    assert_text(arena, 1e-8, "1e-8", "1e-8");
    assert_text(arena, 1.5e20, "1.5e20", "1.5e20");
    assert_text(arena, 1.0 / 3, "0.3333333333333333", "0.33333334");
    assert_text(arena, INFINITY, "inf", "inf");
    assert_text(arena, -INFINITY, "-inf", "-inf");
    assert_text(arena, NAN, "nan", "nan");
    assert_text(arena, -NAN, "nan", "nan");
    arena_destroy(arena);
}

static void numbers_read_back(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17; /* Marsaglia 2003, xorshift64 */
        double value;
        memcpy(&value, &bits, sizeof value);
        float single;
        uint32_t half = (uint32_t)bits;
        memcpy(&single, &half, sizeof single);
        if (!isfinite(value) || !isfinite(single))
            continue;
        struct strbuf buf;
        strbuf_init(&buf, arena);
        strbuf_double(&buf, value);
        assert_true(strtod(buf.text, NULL) == value);
        strbuf_init(&buf, arena);
        strbuf_float(&buf, single);
        assert_true(strtof(buf.text, NULL) == single);
        arena_reset(arena);
    }
    static const double edges[] = {
        DBL_MAX, DBL_MIN, DBL_TRUE_MIN, DBL_EPSILON, 9007199254740993.0, 123456789012345678.0};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        struct strbuf buf;
        strbuf_init(&buf, arena);
        strbuf_double(&buf, edges[i]);
        assert_true(strtod(buf.text, NULL) == edges[i]);
    }
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_and_stays_terminated),
        cmocka_unit_test(text_is_escaped_for_html),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(numbers_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
