/* Byte-pair encoding: numbers from a small list of merges. */
#include "runtime/bpe.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

/* 512: lo, 513: low</w>, 514: er</w>, 515: new, 516: é (two bytes) at a word's end */
static const char merges[] = "#version: 0.2\nl o\nlo w</w>\ne r</w>\nn e\nÃ ©</w>\n";
enum { LOW = 513, ER = 514, START = 517, END = 518 };

static struct weft_bpe *open_merges(void) {
    struct weft_bpe *bpe = weft_bpe_parse("merges", merges, sizeof merges - 1, NULL);
    assert_non_null(bpe);
    assert_int_equal(weft_bpe_count(bpe), END + 1);
    return bpe;
}

/* The number of a printing ASCII character: they begin with '!'. */
static int32_t letter(char c) {
    return c - '!';
}

static void words(void **state) {
    (void)state;
    struct weft_bpe *bpe = open_merges();
    int32_t out[16];
    assert_int_equal(weft_bpe_encode(bpe, "  Low\tlow-er", 8, out), 6);
    const int32_t wanted[] = {START, LOW, LOW, letter('-') + 256, ER, END, END, END};
    assert_memory_equal(out, wanted, sizeof wanted);
    assert_int_equal(weft_bpe_encode(bpe, "", 4, out), 2);
    assert_memory_equal(out, ((int32_t[]){START, END, END, END}), 16);
    assert_int_equal(weft_bpe_encode(bpe, "low low low low", 4, out), 6); /* too long: the end stays */
    assert_memory_equal(out, ((int32_t[]){START, LOW, LOW, END}), 16);
    const int32_t parts[] = {START,        letter('a') + 256, letter('1') + 256, letter('b') + 256,
                             letter('\''), letter('s') + 256, letter('&') + 256, END};
    assert_int_equal(weft_bpe_encode(bpe, "a1b's &amp;", 16, out), 8);
    assert_memory_equal(out, parts, sizeof parts);
    assert_int_equal(weft_bpe_encode(bpe, "\xc3\x89", 3, out), 3); /* É becomes é */
    assert_int_equal(out[1], 516);
    assert_int_equal(weft_bpe_encode(bpe, "\xff\xc3", 8, out), 4); /* no UTF-8: signs */
    weft_bpe_close(bpe);
}

static void refused(const char *text, const char *why) {
    struct weft_error error = {""};
    assert_null(weft_bpe_parse("m", text, strlen(text), &error));
    assert_string_equal(error.message, why);
}

static void broken_lists(void **state) {
    (void)state;
    refused("", "m: there are no merges in it");
    refused("#version: 0.2\n", "m: there are no merges in it");
    refused("l o\nxyz\n", "m: line 2: a merge is two symbols with a space between");
    refused("l o\nlow e\n", "m: line 2: a symbol that no line before it makes");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(broken_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
