#include "support.h"

#include "runtime/dataset.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int folder_set_up(void **state) {
    char template[] = "/tmp/weft_test_XXXXXX";
    *state = mkdtemp(template) ? strdup(template) : NULL;
    return *state ? 0 : 1;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *place) {
    (void)status, (void)flag, (void)place;
    return remove(path);
}

int folder_tear_down(void **state) {
    char *folder = *state;
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
    return 0;
}

const char *in_folder(const char *folder, const char *name) {
    static char paths[4][600];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void put_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

unsigned char *get_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

int count_files(const char *folder) {
    int count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

void assert_cut_is_refused(const char *path, bool (*read)(const char *path)) {
    size_t size;
    unsigned char *bytes = get_file(path, &size);
    assert_true(read(path));
    for (size_t cut = 0; cut < size; cut++) {
        put_file(path, bytes, cut);
        if (read(path))
            fail_msg("%s is accepted when %zu of its %zu bytes are there", path, cut, size);
    }
    for (size_t i = 0; i < size; i++) {
        static const unsigned char changes[] = {0x01, 0x80, 0xff};
        for (size_t c = 0; c < sizeof changes; c++) {
            bytes[i] ^= changes[c];
            put_file(path, bytes, size);
            (void)read(path);
            bytes[i] ^= changes[c];
        }
    }
    put_file(path, bytes, size);
    free(bytes);
}

struct weft_dataset *dataset_opened(const struct weft_dataset_options *options) {
    struct weft_error error = {""};
    struct weft_dataset *set = weft_dataset_open(options, &error);
    if (!set)
        fail_msg("%s", error.message);
    return set;
}

void dataset_refused(const struct weft_dataset_options *options, const char *why) {
    struct weft_error error = {""};
    assert_null(weft_dataset_open(options, &error));
    if (!strstr(error.message, why))
        fail_msg("\"%s\" expected in \"%s\"", why, error.message);
}
