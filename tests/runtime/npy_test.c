#include "runtime/npy.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

static void round_trips_of_all_dtypes_and_ranks(void **state) {
    const char *path = in_folder(*state, "x.npy");
    static const weft_dtype dtypes[] = {WEFT_F64, WEFT_F32, WEFT_F16, WEFT_I64, WEFT_I32,
                                        WEFT_U32, WEFT_I8,  WEFT_U8,  WEFT_BOOL};
    static const int64_t shape[WEFT_MAX_RANK] = {3, 2, 1, 1, 4};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (int32_t rank = 0; rank <= 5; rank++) {
            struct weft_array a, b;
            struct weft_error error = {""};
            assert_true(weft_array_create(&a, dtypes[d], rank, shape, &error));
            assert_int_equal((uintptr_t)a.data % 64, 0);
            size_t bytes = weft_array_bytes(&a);
            for (size_t i = 0; i < bytes; i++)
                ((unsigned char *)a.data)[i] = (unsigned char)(i * 37 + d);
            assert_true(weft_npy_write(path, &a, &error));
            assert_true(weft_npy_read(path, &b, &error));
            assert_int_equal(b.dtype, a.dtype);
            assert_int_equal(b.rank, rank);
            assert_memory_equal(b.shape, a.shape, sizeof a.shape);
            assert_memory_equal(b.data, a.data, bytes);
            weft_array_destroy(&a);
            weft_array_destroy(&b);
        }
}

static void empty_arrays_and_the_largest_rank(void **state) {
    const char *path = in_folder(*state, "x.npy");
    struct weft_array a, b;
    int64_t shape[WEFT_MAX_RANK];
    for (int i = 0; i < WEFT_MAX_RANK; i++)
        shape[i] = i == 3 ? 0 : (int64_t)1 << 2;
    shape[0] = 1000000000;
    assert_true(weft_array_create(&a, WEFT_F32, WEFT_MAX_RANK, shape, NULL));
    assert_true(weft_npy_write(path, &a, NULL));
    assert_true(weft_npy_read(path, &b, NULL));
    assert_int_equal(weft_array_count(&b), 0);
    assert_memory_equal(b.shape, shape, sizeof shape);
    weft_array_destroy(&a);
    weft_array_destroy(&b);
}

/* What numpy.save(f, numpy.arange(6, dtype='f4').reshape(2, 3)) writes, NumPy 1.24. */
static void bytes_as_numpy_writes_them(void **state) {
    const char *path = in_folder(*state, "x.npy");
    static const float values[6] = {0, 1, 2, 3, 4, 5};
    char bytes[128 + sizeof values];
    memset(bytes, ' ', 128);
    memcpy(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(bytes + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 59);
    bytes[127] = '\n';
    memcpy(bytes + 128, values, sizeof values);
    put_file(path, bytes, sizeof bytes);
    struct weft_array a;
    struct weft_error error = {""};
    assert_true(weft_npy_read(path, &a, &error));
    assert_int_equal(a.rank, 2);
    assert_int_equal(a.shape[0], 2);
    assert_int_equal(a.shape[1], 3);
    assert_memory_equal(a.data, values, sizeof values);
    assert_true(weft_npy_write(path, &a, &error));
    size_t size;
    unsigned char *written = get_file(path, &size);
    assert_int_equal((size - sizeof values) % 64, 0);
    free(written);
    weft_array_destroy(&a);
}

static void assert_refused(const char *header, size_t data, const char *why) {
    char bytes[1000] = "\x93NUMPY\x01\x00";
    size_t length = strlen(header);
    bytes[8] = (char)length;
    memcpy(bytes + 10, header, length);
    struct weft_array a;
    struct weft_error error = {""};
    assert_false(weft_npy_parse("x.npy", bytes, 10 + length + data, &a, &error));
    assert_string_equal(error.message, why);
    assert_null(a.data);
}

static void hostile_headers(void **state) {
    (void)state;
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4,
                   "x.npy: a broken .npy header: a dimension expected, a negative number found");
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 4,
                   "x.npy: the shape in the header is impossible");
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296), }", 0,
                   "x.npy: the shape in the header is impossible");
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 4,
                   "x.npy: a dimension is too large");
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", 4,
                   "x.npy: 4000000000000 bytes of data expected, 4 found");
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1), }",
                   4, "x.npy: more than 16 dimensions");
    assert_refused("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4,
                   "x.npy: dtype '>f4' is big endian: little endian is expected");
    assert_refused("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 4,
                   "x.npy: dtype '|O' cannot be read: f2 f4 f8 i1 i4 i8 u1 u4 b1 can");
    assert_refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4,
                   "x.npy: records cannot be read: an array of one dtype is expected");
    assert_refused("{'descr': '<f4', 'fortran_order': True, 'shape': (2,2), }", 16,
                   "x.npy: it is in Fortran order: save it with numpy.ascontiguousarray");
    assert_refused("{'descr': '<f4', 'shape': (2,2), }", 16,
                   "x.npy: a broken .npy header: descr, fortran_order and shape expected, nothing else");
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + evil()", 4,
                   "x.npy: a broken .npy header: descr, fortran_order and shape expected, nothing else");
    assert_refused("{'descr': '<f4'; }", 4, "x.npy: a broken .npy header: `}` expected");
    assert_refused("{'descr", 0, "x.npy: a broken .npy header: `'` expected");
}

static bool read_it(const char *path) {
    struct weft_array a;
    bool ok = weft_npy_read(path, &a, NULL);
    weft_array_destroy(&a);
    return ok;
}

static void cut_and_changed_files(void **state) {
    const char *path = in_folder(*state, "x.npy");
    struct weft_array a;
    const int64_t shape[] = {2, 3};
    assert_true(weft_array_create(&a, WEFT_F32, 2, shape, NULL));
    assert_true(weft_npy_write(path, &a, NULL));
    assert_cut_is_refused(path, read_it);
    weft_array_destroy(&a);
}

static void what_cannot_be_written(void **state) {
    struct weft_array a;
    struct weft_error error = {""};
    assert_true(weft_array_create(&a, WEFT_BF16, 0, NULL, NULL));
    assert_false(weft_npy_write(in_folder(*state, "x.npy"), &a, &error));
    assert_non_null(strstr(error.message, "x.npy: .npy has no dtype bf16: convert it to f32"));
    assert_int_equal(count_files(*state), 0);
    weft_array_destroy(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(round_trips_of_all_dtypes_and_ranks),
        FOLDER_TEST(empty_arrays_and_the_largest_rank),
        FOLDER_TEST(bytes_as_numpy_writes_them),
        cmocka_unit_test(hostile_headers),
        FOLDER_TEST(cut_and_changed_files),
        FOLDER_TEST(what_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
