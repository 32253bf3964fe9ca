#include "runtime/file.h"

#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

static void assert_holds(const char *path, const char *text) {
    size_t size;
    unsigned char *bytes = get_file(path, &size);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    free(bytes);
}

static void a_file_appears_whole(void **state) {
    const char *path = in_folder(*state, "x.txt");
    struct weft_error error = {""};
    struct weft_file *file = weft_file_create(path, &error);
    assert_non_null(file);
    weft_file_write(file, "one ", 4);
    fprintf(weft_file_stream(file), "%s", "two");
    assert_int_not_equal(access(path, F_OK), 0);
    assert_true(weft_file_take_commit(file, &error));
    assert_holds(path, "one two");
    assert_true(weft_file_write_whole(path, "three", 5, &error));
    assert_holds(path, "three");
    assert_int_equal(count_files(*state), 1);
}

static void an_abandoned_file_leaves_nothing(void **state) {
    const char *path = in_folder(*state, "x.txt");
    put_file(path, "old", 3);
    struct weft_file *file = weft_file_create(path, NULL);
    weft_file_write(file, "new", 3);
    weft_file_take_abandon(file);
    weft_file_take_abandon(NULL);
    assert_holds(path, "old");
    assert_int_equal(count_files(*state), 1);
}

/* The limit on the size of files stands for the full disk: both come back from write(2). */
static void a_full_disk_leaves_the_old_file(void **state) {
    const char *path = in_folder(*state, "x.txt");
    put_file(path, "old", 3);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {1000, 1000};
        setrlimit(RLIMIT_FSIZE, &limit);
        signal(SIGXFSZ, SIG_IGN);
        struct weft_error error = {""};
        static const char bytes[100000];
        bool written = weft_file_write_whole(path, bytes, sizeof bytes, &error);
        bool is_told = strstr(error.message, "x.txt: cannot be written: File too large") != NULL;
        _exit(!written && is_told ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_holds(path, "old");
    assert_int_equal(count_files(*state), 1);
}

static void folders_that_are_not_there_and_special_files(void **state) {
    struct weft_error error = {""};
    assert_null(weft_file_create(in_folder(*state, "no/x.txt"), &error));
    assert_non_null(strstr(error.message, "no/x.txt: cannot be written: No such file or directory"));
    assert_null(weft_file_create(*state, &error)); /* a folder */
    assert_true(weft_file_write_whole("/dev/null", "abc", 3, &error));
    struct stat info;
    stat("/dev/null", &info);
    assert_true(S_ISCHR(info.st_mode));
    assert_false(weft_file_write_whole("/dev/full", "abc", 3, &error));
    assert_string_equal(error.message, "/dev/full: cannot be written: No space left on device");
}

static void reading_whole_with_a_limit(void **state) {
    const char *path = in_folder(*state, "x.bin");
    struct weft_error error = {""};
    unsigned char *bytes;
    size_t size;
    static char content[200000];
    memset(content, 'y', sizeof content);
    put_file(path, content, sizeof content);
    assert_true(weft_file_read(path, sizeof content, &bytes, &size, &error));
    assert_int_equal(size, sizeof content);
    assert_memory_equal(bytes, content, size);
    assert_int_equal(bytes[size], 0);
    free(bytes);
    assert_false(weft_file_read(path, sizeof content - 1, &bytes, &size, &error));
    assert_non_null(strstr(error.message, "x.bin: cannot be read: it is too large"));
    assert_false(weft_file_read("/dev/zero", 1000000, &bytes, &size, &error));
    assert_true(weft_file_read("/proc/self/status", 1000000, &bytes, &size, &error));
    assert_true(size > 100);
    free(bytes);
    assert_false(weft_file_read(*state, 1000000, &bytes, &size, &error));
    assert_non_null(strstr(error.message, "Is a directory"));
    put_file(path, "", 0);
    assert_true(weft_file_read(path, 0, &bytes, &size, &error));
    assert_int_equal(size, 0);
    free(bytes);
}

static void mapping(void **state) {
    const char *path = in_folder(*state, "x.bin");
    struct weft_mapping map;
    struct weft_error error = {""};
    put_file(path, "abc", 3);
    assert_true(weft_mapping_open(&map, path, &error));
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.bytes, "abc", 3);
    weft_mapping_close(&map);
    put_file(path, "", 0);
    assert_true(weft_mapping_open(&map, path, &error));
    assert_int_equal(map.size, 0);
    weft_mapping_close(&map);
    assert_false(weft_mapping_open(&map, *state, &error));
    assert_non_null(strstr(error.message, "it is not a regular file"));
    assert_false(weft_mapping_open(&map, in_folder(*state, "none"), &error));
}

static size_t gzip(const void *bytes, size_t size, unsigned char *out, size_t room) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)bytes, z.avail_in = (uInt)size;
    z.next_out = out, z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static void gzip_opens_members_and_refuses_bombs(void **state) {
    (void)state;
    struct weft_error error = {""};
    static unsigned char zeros[1 << 20], packed[5000], *out;
    size_t size = gzip(zeros, sizeof zeros, packed, sizeof packed), out_size;
    assert_true(weft_gunzip("a", packed, size, sizeof zeros, &out, &out_size, &error));
    assert_int_equal(out_size, sizeof zeros);
    assert_memory_equal(out, zeros, out_size);
    free(out);
    assert_false(weft_gunzip("a", packed, size, sizeof zeros - 1, &out, &out_size, &error));
    assert_string_equal(error.message, "a: it opens to more than was expected");
    size_t first = gzip("one ", 4, packed, sizeof packed);
    size_t both = first + gzip("two", 3, packed + first, sizeof packed - first);
    assert_true(weft_gunzip("a", packed, both, 100, &out, &out_size, &error));
    assert_int_equal(out_size, 7);
    assert_memory_equal(out, "one two", 7);
    free(out);
    for (size_t cut = 0; cut < both; cut++)
        if (cut != first)
            assert_false(weft_gunzip("a", packed, cut, 100, &out, &out_size, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(a_file_appears_whole),
        FOLDER_TEST(an_abandoned_file_leaves_nothing),
        FOLDER_TEST(a_full_disk_leaves_the_old_file),
        FOLDER_TEST(folders_that_are_not_there_and_special_files),
        FOLDER_TEST(reading_whole_with_a_limit),
        FOLDER_TEST(mapping),
        cmocka_unit_test(gzip_opens_members_and_refuses_bombs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
