/* The disk cache's folder: what comes back, what counts as absent, what is refused. */
#include "base/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct setting {
    struct arena *arena;
    struct store store;
    char root[64];
};

static int set_up(void **state) {
    struct setting *s = calloc(1, sizeof(*s));
    const char *why = NULL;
    s->arena = arena_create();
    strcpy(s->root, "/tmp/weft-store-XXXXXX");
    assert_non_null(mkdtemp(s->root));
    assert_true(store_open(&s->store, s->arena, arena_printf(s->arena, "%s/a/b", s->root), &why));
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct setting *s = *state;
    store_clear(&s->store, s->arena);
    rmdir(s->store.folder);
    rmdir(arena_printf(s->arena, "%s/a", s->root));
    rmdir(s->root);
    arena_destroy(s->arena);
    free(s);
    return 0;
}

static void what_was_put_comes_back(void **state) {
    struct setting *s = *state;
    size_t size = 0;
    struct stat info;
    assert_null(store_get(&s->store, "one", s->arena, &size));
    assert_true(store_put(&s->store, "one", "first", 5));
    assert_true(store_put(&s->store, "one", "another", 7));
    assert_memory_equal(store_get(&s->store, "one", s->arena, &size), "another", 7);
    assert_int_equal(size, 7);
    assert_int_equal(stat(s->store.folder, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    struct store_list list;
    store_list(&s->store, s->arena, &list);
    assert_int_equal(list.entries.count, 1); /* nothing half written lies beside it */
    assert_string_equal(list.entries.at[0].key, "one");
    assert_int_equal(store_clear(&s->store, s->arena), 1);
    assert_null(store_get(&s->store, "one", s->arena, &size));
}

/* A flipped bit anywhere, and a file that was cut. */
static void damage_counts_as_absent(void **state) {
    struct setting *s = *state;
    const char *path = arena_printf(s->arena, "%s/x.object", s->store.folder);
    size_t size = 0;
    assert_true(store_put(&s->store, "x", "some bytes", 10));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    for (long at = 0; at < info.st_size; at++) {
        assert_true(store_put(&s->store, "x", "some bytes", 10));
        FILE *f = fopen(path, "r+");
        fseek(f, at, SEEK_SET);
        int c = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(c ^ 4, f);
        fclose(f);
        assert_null(store_get(&s->store, "x", s->arena, &size));
    }
    for (long length = 0; length < info.st_size; length += 5) {
        assert_true(store_put(&s->store, "x", "some bytes", 10));
        assert_int_equal(truncate(path, length), 0);
        assert_null(store_get(&s->store, "x", s->arena, &size));
    }
}

static void set_last_use(struct setting *s, const char *key, long seconds) {
    struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
    const char *path = arena_printf(s->arena, "%s/%s.object", s->store.folder, key);
    assert_int_equal(utimensat(-1, path, times, 0), 0);
}

static void the_least_recently_used_goes(void **state) {
    struct setting *s = *state;
    char bytes[1000] = {0};
    size_t size;
    assert_true(store_put(&s->store, "a", bytes, sizeof(bytes)));
    assert_true(store_put(&s->store, "b", bytes, sizeof(bytes)));
    assert_true(store_put(&s->store, "c", bytes, sizeof(bytes)));
    set_last_use(s, "a", 1000);
    set_last_use(s, "b", 2000);
    set_last_use(s, "c", 3000);
    assert_non_null(store_get(&s->store, "a", s->arena, &size)); /* used just now */
    s->store.limit = 2200;
    store_trim(&s->store, s->arena);
    assert_non_null(store_get(&s->store, "a", s->arena, &size));
    assert_null(store_get(&s->store, "b", s->arena, &size));
    assert_non_null(store_get(&s->store, "c", s->arena, &size));
}

static void a_folder_that_others_write_is_refused(void **state) {
    struct setting *s = *state;
    struct store other;
    const char *why = NULL;
    assert_int_equal(chmod(s->root, 0777), 0);
    assert_false(store_open(&other, s->arena, s->root, &why));
    assert_non_null(strstr(why, "no other may write"));
    assert_int_equal(chmod(s->root, 0700), 0);
    assert_false(store_open(&other, s->arena, "/dev/null/cache", &why));
    assert_non_null(strstr(why, "/dev/null/cache"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_counts_as_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_least_recently_used_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_others_write_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
