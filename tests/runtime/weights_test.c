#include "runtime/weights.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float matrix[2][3] = {{1, 2, 3}, {4, 5, 6}};
static const int64_t step = 77;
static const uint8_t mask[5] = {1, 0, 1, 1, 0};
static const uint16_t half[1] = {0x3c00};

static const struct weft_weight sample[] = {
    {"mask", WEFT_BOOL, 1, {5}, mask, sizeof mask},
    {"encoder.0.weight", WEFT_F32, 2, {2, 3}, matrix, sizeof matrix},
    {"half", WEFT_BF16, 2, {1, 1}, half, sizeof half},
    {"step", WEFT_I64, 0, {0}, &step, sizeof step},
    {"none", WEFT_F32, 2, {0, 9}, NULL, 0},
};
enum { SAMPLE_COUNT = sizeof sample / sizeof *sample };
static const struct weft_metadata texts[] = {{"format", "weft"}, {"epoch", "3 \"ä\""}};

static void tensors_and_metadata_round_trip(void **state) {
    const char *path = in_folder(*state, "x.safetensors");
    struct weft_error error = {""};
    assert_true(weft_weights_write(path, sample, SAMPLE_COUNT, texts, 2, &error));
    struct weft_weights *w = weft_weights_open(path, &error);
    assert_non_null(w);
    assert_int_equal(weft_weights_count(w), SAMPLE_COUNT);
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        const struct weft_weight *found = weft_weights_find(w, sample[i].name);
        assert_non_null(found);
        assert_int_equal(found->dtype, sample[i].dtype);
        assert_int_equal(found->rank, sample[i].rank);
        assert_memory_equal(found->shape, sample[i].shape, sizeof found->shape);
        assert_int_equal(found->bytes, sample[i].bytes);
        if (found->bytes)
            assert_memory_equal(found->data, sample[i].data, found->bytes);
        assert_int_equal((uintptr_t)found->data % (found->dtype == WEFT_I64 ? 8 : 1), 0);
        if (i > 0)
            assert_true(strcmp(weft_weights_at(w, i - 1)->name, weft_weights_at(w, i)->name) < 0);
    }
    assert_null(weft_weights_find(w, "encoder"));
    assert_string_equal(weft_weights_metadata(w, "epoch"), "3 \"ä\"");
    assert_null(weft_weights_metadata(w, "other"));
    weft_weights_close(w);
    weft_weights_close(NULL);
}

static void the_same_arguments_give_the_same_bytes(void **state) {
    const char *a = in_folder(*state, "a"), *b = in_folder(*state, "b");
    assert_true(weft_weights_write(a, sample, SAMPLE_COUNT, texts, 2, NULL));
    assert_true(weft_weights_write(b, sample, SAMPLE_COUNT, texts, 2, NULL));
    size_t size_a, size_b;
    unsigned char *bytes_a = get_file(a, &size_a), *bytes_b = get_file(b, &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(bytes_a, bytes_b, size_a);
    free(bytes_a);
    free(bytes_b);
}

static void no_tensors_at_all(void **state) {
    const char *path = in_folder(*state, "x.safetensors");
    assert_true(weft_weights_write(path, NULL, 0, NULL, 0, NULL));
    struct weft_weights *w = weft_weights_open(path, NULL);
    assert_non_null(w);
    assert_int_equal(weft_weights_count(w), 0);
    assert_null(weft_weights_find(w, "x"));
    assert_null(weft_weights_metadata(w, "x"));
    weft_weights_close(w);
}

static void assert_refused(const char *header, size_t data, const char *why) {
    char bytes[1000] = {0};
    uint64_t length = strlen(header);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    struct weft_error error = {""};
    assert_null(weft_weights_parse("x", bytes, 8 + length + data, &error));
    assert_string_equal(error.message, why);
}

static void hostile_headers(void **state) {
    (void)state;
    assert_refused("", 0, "x: not a safetensors file: its header is no JSON object");
    assert_refused("[1]", 0, "x: not a safetensors file: its header is no JSON object");
    assert_refused("{", 0, "x: the header is broken: string or '}' expected near end of file");
    assert_refused("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                   "x: tensor \"a\" has dtype F8_E4M3, which Weft does not have");
    assert_refused("{\"a\":7}", 0, "x: tensor \"a\" has dtype (none), which Weft does not have");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,1]}}", 1, "x: tensor \"a\" has no shape");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
                   "x: tensor \"a\": dimension 0 is not a size");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4,
                   "x: tensor \"a\": dimension 0 is not a size");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4,
                   "x: tensor \"a\" has an impossible shape");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1000000000000],\"data_offsets\":[0,4000000000000]}}",
                   4, "x: tensor \"a\" lies at bytes 0 to 4000000000000 of 4");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                   "x: tensor \"a\": its shape needs 8 bytes, 4 found");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4,
                   "x: tensor \"a\" lies at bytes 4 to 0 of 4");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
                   "x: tensor \"a\" has no data_offsets");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                   4, "x: tensor \"b\" begins at byte 0 of the data, 4 expected");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8,
                   "x: 4 bytes of data expected, 8 found");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                   4, "x: the header is broken: duplicate object key near '\"a\"'");
    assert_refused("{\"__metadata__\":{\"a\":1}}", 0, "x: __metadata__ must hold texts");
    assert_refused(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
        "x: tensor \"a\" has 17 dimensions: at most 16 are expected");
}

static void a_header_longer_than_the_file(void **state) {
    (void)state;
    static const unsigned char bytes[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    struct weft_error error = {""};
    assert_null(weft_weights_parse("x", bytes, sizeof bytes, &error));
    assert_non_null(strstr(error.message, "a header of 18446744073709551615 bytes expected, 8 found"));
}

static void a_header_nested_deep(void **state) {
    (void)state;
    enum { DEPTH = 200000 };
    char *bytes = malloc(8 + 5 + DEPTH);
    uint64_t length = 5 + DEPTH;
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, "{\"a\":", 5);
    memset(bytes + 13, '[', DEPTH);
    assert_null(weft_weights_parse("x", bytes, 8 + length, NULL));
    free(bytes);
}

static bool read_it(const char *path) {
    struct weft_weights *w = weft_weights_open(path, NULL);
    weft_weights_close(w);
    return w != NULL;
}

static void cut_and_changed_files(void **state) {
    const char *path = in_folder(*state, "x");
    assert_true(weft_weights_write(path, sample, 2, texts, 1, NULL));
    assert_cut_is_refused(path, read_it);
}

static void what_cannot_be_written(void **state) {
    const char *path = in_folder(*state, "x");
    struct weft_error error = {""};
    const struct weft_weight twice[] = {sample[0], sample[0]};
    assert_false(weft_weights_write(path, twice, 2, NULL, 0, &error));
    assert_non_null(strstr(error.message, "a name stands twice or is no UTF-8"));
    struct weft_weight wrong = sample[1];
    wrong.bytes--;
    assert_false(weft_weights_write(path, &wrong, 1, NULL, 0, &error));
    assert_non_null(strstr(error.message, "\"encoder.0.weight\" does not have the bytes of its shape"));
    wrong = sample[1];
    wrong.name = "\xff";
    assert_false(weft_weights_write(path, &wrong, 1, NULL, 0, &error));
    wrong.name = "__metadata__";
    assert_false(weft_weights_write(path, &wrong, 1, NULL, 0, &error));
    assert_int_equal(count_files(*state), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(tensors_and_metadata_round_trip),
        FOLDER_TEST(the_same_arguments_give_the_same_bytes),
        FOLDER_TEST(no_tensors_at_all),
        cmocka_unit_test(hostile_headers),
        cmocka_unit_test(a_header_longer_than_the_file),
        cmocka_unit_test(a_header_nested_deep),
        FOLDER_TEST(cut_and_changed_files),
        FOLDER_TEST(what_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
