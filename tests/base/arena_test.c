#include "base/arena.h"

#include "base/vec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool is_zero(const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static void memory_is_zero_and_aligned_also_after_a_reset(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 3000; size += 7) {
            char *bytes = arena_alloc(arena, size);
            assert_int_equal((uintptr_t)bytes % _Alignof(max_align_t), 0);
            assert_true(is_zero(bytes, size));
            memset(bytes, 0xff, size);
        }
        assert_true(arena_used(arena) > 600000);
        arena_reset(arena);
        assert_int_equal(arena_used(arena), 0);
    }
    arena_destroy(arena);
}

static void neighbours_do_not_overlap(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    enum { COUNT = 2000 };
    unsigned char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        memset(blocks[i] = arena_alloc(arena, 1 + (size_t)i % 200), i & 0xff, 1 + (size_t)i % 200);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j <= i % 200; j++)
            assert_int_equal(blocks[i][j], i & 0xff);
    arena_destroy(arena);
}

static void grow_keeps_the_bytes_and_zeroes_the_rest(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    memset(arena_alloc(arena, 9000), 0xff, 9000);
    arena_reset(arena); /* what is handed out next was dirty */
    char *text = arena_alloc(arena, 5);
    memcpy(text, "abcd", 5);
    char *grown = arena_grow(arena, text, 5, 40);
    assert_ptr_equal(grown, text); /* it was the last block */
    assert_string_equal(grown, "abcd");
    assert_true(is_zero(grown + 5, 35));
    (void)arena_alloc(arena, 1);
    char *moved = arena_grow(arena, grown, 40, 100000);
    assert_ptr_not_equal(moved, grown);
    assert_string_equal(moved, "abcd");
    assert_true(is_zero(moved + 5, 99995));
    assert_ptr_equal(arena_grow(arena, moved, 100000, 7), moved);
    assert_non_null(arena_grow(arena, NULL, 0, 8));
    arena_destroy(arena);
}

static void exhaustion_lands(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    jmp_buf landing;
    arena_set_landing(arena, &landing);
    volatile int landed = 0, made = 0;
    if (setjmp(landing)) {
        landed = 1;
    } else {
        arena_fail_at(arena, 4);
        for (;; made++)
            arena_alloc(arena, 8);
    }
    assert_int_equal(landed, 1);
    assert_int_equal(made, 3);
    assert_non_null(arena_alloc(arena, 8)); /* it works on after the failure */
    if (setjmp(landing))
        landed = 2;
    else
        arena_alloc(arena, SIZE_MAX - 100);
    assert_int_equal(landed, 2);
    if (setjmp(landing))
        landed = 3;
    else
        (void)ARENA_ARRAY(arena, char, -1);
    assert_int_equal(landed, 3);
    arena_destroy(arena);
}

static void text_is_copied_and_formatted(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    assert_string_equal(arena_strdup(arena, "weft"), "weft");
    assert_string_equal(arena_strndup(arena, "weft and warp", 4), "weft");
    assert_string_equal(arena_printf(arena, "f32[%d,%s]", 5, "B"), "f32[5,B]");
    assert_memory_equal(arena_memdup(arena, "\0x\0y", 4), "\0x\0y", 4);
    assert_non_null(arena_memdup(arena, NULL, 0));
    arena_destroy(arena);
}

static void a_vec_grows(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    VEC(int) numbers = {0};
    for (int i = 0; i < 1000; i++)
        VEC_PUSH(arena, &numbers, i * i);
    assert_int_equal(numbers.count, 1000);
    assert_int_equal(VEC_LAST(&numbers), 999 * 999);
    assert_int_equal(VEC_POP(&numbers), 999 * 999);
    for (int i = 0; i < numbers.count; i++)
        assert_int_equal(numbers.at[i], i * i);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zero_and_aligned_also_after_a_reset),
        cmocka_unit_test(neighbours_do_not_overlap),
        cmocka_unit_test(grow_keeps_the_bytes_and_zeroes_the_rest),
        cmocka_unit_test(exhaustion_lands),
        cmocka_unit_test(text_is_copied_and_formatted),
        cmocka_unit_test(a_vec_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
