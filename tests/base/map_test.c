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

static void the_hash_sees_every_byte(void **state) {
    (void)state;
    unsigned char bytes[20] = {0};
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        uint64_t hash = hash_bytes(0, bytes, size);
        assert_true(hash == hash_bytes(0, bytes, size));
        assert_true(hash != hash_bytes(1, bytes, size));
        assert_true(size == 0 || hash != hash_bytes(0, bytes, size - 1)); /* zeros count */
        for (size_t i = 0; i < size; i++) {
            bytes[i] = 0x80;
            assert_true(hash != hash_bytes(0, bytes, size));
            bytes[i] = 0;
        }
    }
}

/* Tables look at the low bits, and pointers differ in the middle. */
static void the_hash_spreads(void **state) {
    (void)state;
    enum { COUNT = 4096, MOST = 12 };
    for (int shift = 0; shift < 48; shift += 4) {
        static int load[COUNT];
        memset(load, 0, sizeof(load));
        for (uint64_t i = 0; i < COUNT; i++) {
            uint64_t key = i << shift;
            assert_true(++load[hash_bytes(0, &key, sizeof(key)) % COUNT] <= MOST);
        }
    }
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
        cmocka_unit_test(the_hash_sees_every_byte),
        cmocka_unit_test(the_hash_spreads),
        cmocka_unit_test(names_are_equal_as_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
