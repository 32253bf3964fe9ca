#include "runtime/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The lines "philox4x32 10" of Random123's tests/kat_vectors: counter, key, result. */
static const uint32_t known_answers[][10] = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
     0xa20bc7c6, 0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
     0x5001e420, 0x24126ea1},
};

static void the_published_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known_answers / sizeof *known_answers; i++) {
        const uint32_t *v = known_answers[i];
        struct philox_block block = philox_block((struct philox_key){{v[4], v[5]}}, v[0], v[1], v[2], v[3]);
        assert_memory_equal(block.word, v + 6, sizeof block.word);
    }
}

static void elements_and_keys_are_words_of_blocks(void **state) {
    (void)state;
    struct philox_key key = philox_seed(0x0123456789abcdefu);
    assert_int_equal(key.word[0], 0x89abcdef);
    assert_int_equal(key.word[1], 0x01234567);
    const uint64_t i = 4 * (((uint64_t)7 << 32) + 5) + 3; /* needs the second counter word */
    assert_int_equal(philox_element(key, i), philox_block(key, 5, 7, 0, 0).word[3]);
    assert_int_equal(philox_element(key, 2), philox_block(key, 0, 0, 0, 0).word[2]);
    struct philox_key folded = philox_fold(key, 9);
    struct philox_block block = philox_block(key, 9, 0, 0, 1);
    assert_memory_equal(folded.word, block.word, sizeof folded.word);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vectors),
        cmocka_unit_test(elements_and_keys_are_words_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
