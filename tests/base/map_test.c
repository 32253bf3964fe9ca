#include "base/map.h"

#include "base/intern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void *pointer(uintptr_t n) {
    return (void *)n;
}

static void keys_are_found_replaced_and_erased(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct map map;
    map_init(&map, arena);
    assert_null(map_find(&map, "absent"));
    map_erase(&map, "absent");
    enum { COUNT = 5000 };
    for (uintptr_t i = 0; i < COUNT; i++) /* 0 is a key: integers are cast to pointers */
        map_put(&map, pointer(16 * i), pointer(i + 1));
    for (uintptr_t i = 0; i < COUNT; i += 3)
        map_put(&map, pointer(16 * i), pointer(i + 7));
    for (uintptr_t i = 1; i < COUNT; i += 3)
        map_erase(&map, pointer(16 * i));
    for (uintptr_t i = 0; i < COUNT; i++) {
        void *expected = i % 3 == 0 ? pointer(i + 7) : i % 3 == 1 ? NULL : pointer(i + 1);
        assert_ptr_equal(map_find(&map, pointer(16 * i)), expected);
        assert_int_equal(map_has(&map, pointer(16 * i)), i % 3 != 1);
        assert_false(map_has(&map, pointer(16 * i + 8)));
    }
    assert_int_equal(map.count, COUNT - (COUNT + 1) / 3);
    arena_destroy(arena);
}

static void null_values_are_there(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct map map;
    map_init(&map, arena);
    const char *key = "key";
    map_put(&map, key, NULL);
    assert_true(map_has(&map, key));
    assert_null(map_find(&map, key));
    assert_null(map_find(&map, "other"));
    assert_int_equal(map.count, 1);
    arena_destroy(arena);
}

/* Against a plain array, with keys that collide often: the hole of an erased key must not hide its followers.
 */
static void erasing_hides_nobody(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct map map;
    map_init(&map, arena);
    enum { KEYS = 40 };
    bool is_in[KEYS] = {false};
    uint32_t random = 1;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525u + 1013904223u;
        uintptr_t key = (random >> 16) % KEYS;
        if (random >> 31) {
            map_put(&map, pointer(key), pointer(key + 100));
            is_in[key] = true;
        } else {
            map_erase(&map, pointer(key));
            is_in[key] = false;
        }
        for (uintptr_t k = 0; k < KEYS; k++)
            assert_ptr_equal(map_find(&map, pointer(k)), is_in[k] ? pointer(k + 100) : NULL);
    }
    arena_destroy(arena);
}

/* http://www.isthe.com/chongo/src/fnv/test_fnv.c */
static void the_hash_is_fnv_1a(void **state) {
    (void)state;
    assert_true(hash_bytes(0, "", 0) == 0xcbf29ce484222325u);
    assert_true(hash_bytes(0, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(hash_bytes(0, "foobar", 6) == 0x85944171f73967e8u);
    assert_true(hash_bytes(1, "a", 1) != hash_bytes(2, "a", 1));
}

static void names_are_equal_as_pointers(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct interner *names = interner_create(arena);
    const char *first[3000];
    char text[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "name%d", i);
        first[i] = intern(names, text);
        assert_string_equal(first[i], text);
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "name%d!", i);
        assert_ptr_equal(intern_n(names, text, strlen(text) - 1), first[i]);
        assert_ptr_not_equal(intern(names, text), first[i]);
    }
    assert_string_equal(intern(names, ""), "");
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found_replaced_and_erased),
        cmocka_unit_test(null_values_are_there),
        cmocka_unit_test(erasing_hides_nobody),
        cmocka_unit_test(the_hash_is_fnv_1a),
        cmocka_unit_test(names_are_equal_as_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
