#include "runtime/dataset.h"
#include "runtime/idx.h"
#include "runtime/image.h"
#include "runtime/npy.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { COUNT = 7, HEIGHT = 2, WIDTH = 3, PLANE = HEIGHT * WIDTH };

static void put_gzip(const char *path, const void *bytes, unsigned size) {
    gzFile file = gzopen(path, "wb");
    assert_int_equal(gzwrite(file, bytes, size), size);
    gzclose(file);
}

/* Seven pictures of 2 x 3: pixel p of picture i is 10 i + p; its class is i. */
static void put_idx(const char *folder, const char *set, bool is_gzip) {
    unsigned char images[16 + COUNT * PLANE] = {0, 0, 8, 3, 0, 0, 0, COUNT, 0, 0, 0, HEIGHT, 0, 0, 0, WIDTH};
    unsigned char labels[8 + COUNT] = {0, 0, 8, 1, 0, 0, 0, COUNT};
    char name[64];
    for (int i = 0; i < COUNT; i++) {
        labels[8 + i] = (unsigned char)i;
        for (int p = 0; p < PLANE; p++)
            images[16 + i * PLANE + p] = (unsigned char)(10 * i + p);
    }
    snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", set, is_gzip ? ".gz" : "");
    (is_gzip ? put_gzip(in_folder(folder, name), images, sizeof images)
             : put_file(in_folder(folder, name), images, sizeof images));
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", set, is_gzip ? ".gz" : "");
    (is_gzip ? put_gzip(in_folder(folder, name), labels, sizeof labels)
             : put_file(in_folder(folder, name), labels, sizeof labels));
}

static void idx_plain_and_in_gzip(void **state) {
    put_idx(*state, "train", false);
    put_idx(*state, "t10k", true);
    static const char *const splits[] = {NULL, "train", "test"};
    for (int i = 0; i < 3; i++) {
        struct weft_dataset *set = dataset_opened(
            &(struct weft_dataset_options){.kind = "mnist", .path = *state, .split = splits[i]});
        assert_int_equal(weft_dataset_count(set), COUNT);
        assert_int_equal(weft_dataset_field_count(set), 2);
        const struct weft_field *image = weft_dataset_field(set, 0), *label = weft_dataset_field(set, 1);
        assert_string_equal(image->name, "image");
        assert_int_equal(image->dtype, WEFT_F32);
        assert_int_equal(image->rank, 3);
        assert_memory_equal(image->shape, ((int64_t[]){1, HEIGHT, WIDTH}), 24);
        assert_string_equal(label->name, "label");
        assert_int_equal(label->dtype, WEFT_I32);
        assert_int_equal(label->rank, 0);
        float pixels[2 * PLANE];
        int32_t classes[2];
        void *out[] = {pixels, classes};
        assert_true(weft_dataset_read(set, (int64_t[]){5, 2}, 2, NULL, out, NULL));
        assert_int_equal(classes[0], 5);
        assert_int_equal(classes[1], 2);
        for (int p = 0; p < PLANE; p++) {
            assert_true(pixels[p] == (float)(50 + p) / 255.0f);
            assert_true(pixels[PLANE + p] == (float)(20 + p) / 255.0f);
        }
        weft_dataset_close(set);
    }
}

static void splits_limits_ranges_and_channels(void **state) {
    put_idx(*state, "train", false);
    struct weft_dataset_options options = {
        .kind = "idx", .path = *state, .hold_out = 3, .lo = -1, .hi = 1, .channels = 3};
    struct weft_dataset *train = dataset_opened(&options);
    assert_int_equal(weft_dataset_count(train), 4);
    options.split = "held";
    struct weft_dataset *held = dataset_opened(&options);
    assert_int_equal(weft_dataset_count(held), 3);
    options.limit = 2;
    struct weft_dataset *limited = dataset_opened(&options);
    assert_int_equal(weft_dataset_count(limited), 2);
    float pixels[3 * PLANE];
    int32_t label;
    void *out[] = {pixels, &label};
    assert_true(weft_dataset_read(held, (int64_t[]){0}, 1, NULL, out, NULL));
    assert_int_equal(label, 4);
    for (int c = 0; c < 3; c++)
        assert_true(pixels[c * PLANE + 1] == -1 + 2 * (41 / 255.0f));
    void *only_label[] = {NULL, &label};
    assert_true(weft_dataset_read(limited, (int64_t[]){1}, 1, NULL, only_label, NULL));
    assert_int_equal(label, 5);
    weft_dataset_close(train);
    weft_dataset_close(held);
    weft_dataset_close(limited);
    weft_dataset_close(NULL);
}

static void wrong_options(void **state) {
    put_idx(*state, "train", false);
    struct weft_dataset_options o = {.kind = "idx", .path = *state};
    o.kind = "idz";
    dataset_refused(&o, "no data of kind \"idz\": idx, mnist, cifar10, npz, npy, images, folders, unpaired "
                        "and pairs are known");
    o.kind = "idx";
    o.split = "valid";
    dataset_refused(&o, "no split \"valid\": train, test and held are known");
    o.split = "held";
    dataset_refused(&o, "the split \"held\" is empty: hold_out says how many items it has");
    o.hold_out = COUNT;
    dataset_refused(&o, "hold_out is 7 of 7 items: nothing is left to train on");
    o.hold_out = 0, o.split = NULL, o.channels = 2;
    dataset_refused(&o, "pictures of 2 channels: 1 (grey) and 3 (RGB) are possible");
    o.channels = 0, o.split = "test";
    dataset_refused(&o, "t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz expected, neither found");
    o.kind = "images";
    dataset_refused(&o, "data of kind \"images\" have no split \"test\"");
    o.split = NULL;
    dataset_refused(&o, "*.png, *.jpg, *.jpeg expected, no such file found");
    o.path = "/nowhere";
    dataset_refused(&o, "/nowhere: cannot be read: No such file or directory");
    o.path = NULL;
    dataset_refused(&o, "data of kind \"images\" need a path");
}

static void sets_that_do_not_fit_together(void **state) {
    put_idx(*state, "train", false);
    struct weft_dataset_options o = {.kind = "idx", .path = *state};
    const char *labels = in_folder(*state, "train-labels-idx1-ubyte");
    put_file(labels, (unsigned char[]){0, 0, 8, 1, 0, 0, 0, 2, 1, 1}, 10);
    dataset_refused(&o, "7 items expected, as in \"image\", 2 found");
    put_file(labels, (unsigned char[]){0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1}, 13);
    dataset_refused(&o, "1 dimensions expected, 2 found");
    put_file(labels, (unsigned char[]){0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0}, 12);
    dataset_refused(&o, "IDX type 0x0d: unsigned bytes (0x08) are expected");
    put_file(labels, (unsigned char[]){0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1}, 16);
    dataset_refused(&o, "the shape in the header is impossible");
    put_file(labels, (unsigned char[]){0, 0, 8, 1, 255, 255, 255, 255}, 8);
    dataset_refused(&o, "4294967303 bytes expected, 8 found");
    put_file(labels, "PK\3\4", 4);
    dataset_refused(&o, "train-labels-idx1-ubyte: not an IDX file");
}

static bool read_idx(const char *path) {
    struct weft_array a;
    bool ok = weft_idx_read(path, &a, NULL);
    weft_array_destroy(&a);
    return ok;
}

static void cut_and_changed_idx(void **state) {
    put_idx(*state, "train", false);
    put_idx(*state, "t10k", true);
    assert_cut_is_refused(in_folder(*state, "train-images-idx3-ubyte"), read_idx);
    assert_cut_is_refused(in_folder(*state, "t10k-labels-idx1-ubyte.gz"), read_idx);
}

static void cifar10(void **state) {
    static unsigned char records[2][3073];
    for (int i = 0; i < 2; i++)
        for (int p = 1; p < 3073; p++)
            records[i][p] = (unsigned char)(p * 7 + i);
    records[0][0] = 3, records[1][0] = 9;
    put_file(in_folder(*state, "data_batch_1.bin"), records, sizeof records);
    put_file(in_folder(*state, "data_batch_2.bin"), records[1], sizeof records[1]);
    put_file(in_folder(*state, "batches.meta.txt"), "", 0);
    struct weft_dataset_options o = {.kind = "cifar10", .path = *state};
    struct weft_dataset *set = dataset_opened(&o);
    assert_int_equal(weft_dataset_count(set), 3);
    assert_memory_equal(weft_dataset_field(set, 0)->shape, ((int64_t[]){3, 32, 32}), 24);
    float pixels[3072];
    int32_t label;
    assert_true(weft_dataset_read(set, (int64_t[]){2}, 1, NULL, (void *[]){pixels, &label}, NULL));
    assert_int_equal(label, 9);
    for (int p = 0; p < 3072; p++)
        assert_true(pixels[p] == records[1][1 + p] / 255.0f);
    weft_dataset_close(set);
    o.channels = 1;
    set = dataset_opened(&o);
    assert_true(weft_dataset_read(set, (int64_t[]){0}, 1, NULL, (void *[]){pixels, &label}, NULL));
    assert_true(pixels[5] == weft_luma(records[0][6], records[0][6 + 1024], records[0][6 + 2048]) / 255.0f);
    weft_dataset_close(set);
    o.split = "test";
    dataset_refused(&o, "test_batch*.bin expected, no such file found");
    o.split = NULL;
    put_file(in_folder(*state, "data_batch_2.bin"), records[1], 3072);
    dataset_refused(&o, "data_batch_2.bin: records of 3073 bytes expected, 3072 bytes found");
    records[1][0] = 10;
    put_file(in_folder(*state, "data_batch_2.bin"), records[1], 3073);
    dataset_refused(&o, "record 2 has class 10: 0 to 9 are expected");
}

static void put_array(const char *path, weft_dtype dtype, int32_t rank, const int64_t *shape,
                      const void *data) {
    struct weft_array a;
    assert_true(weft_array_create(&a, dtype, rank, shape, NULL));
    memcpy(a.data, data, weft_array_bytes(&a));
    assert_true(weft_npy_write(path, &a, NULL));
    weft_array_destroy(&a);
}

static void npy_files(void **state) {
    put_array(in_folder(*state, "image.npy"), WEFT_U8, 3, (int64_t[]){2, 1, 2},
              (unsigned char[]){0, 255, 51, 102});
    put_array(in_folder(*state, "label.npy"), WEFT_I64, 1, (int64_t[]){2}, (int64_t[]){-4, 70000});
    put_array(in_folder(*state, "z.npy"), WEFT_F64, 2, (int64_t[]){2, 2}, (double[]){0.5, 1, 2, -3});
    struct weft_dataset_options o = {.kind = "npy", .path = *state};
    struct weft_dataset *set = dataset_opened(&o);
    assert_int_equal(weft_dataset_field_count(set), 3);
    assert_string_equal(weft_dataset_field(set, 2)->name, "z");
    assert_int_equal(weft_dataset_field(set, 2)->rank, 1);
    float image[2], z[2];
    int32_t label;
    assert_true(weft_dataset_read(set, (int64_t[]){1}, 1, NULL, (void *[]){image, &label, z}, NULL));
    assert_true(image[0] == 51 / 255.0f && image[1] == 102 / 255.0f);
    assert_int_equal(label, 70000);
    assert_true(z[0] == 2 && z[1] == -3);
    weft_dataset_close(set);
    put_array(in_folder(*state, "label.npy"), WEFT_I64, 1, (int64_t[]){2}, (int64_t[]){1, (int64_t)1 << 40});
    dataset_refused(&o, "label.npy: 1099511627776 does not fit int32");
    put_array(in_folder(*state, "label.npy"), WEFT_F16, 1, (int64_t[]){2}, (uint16_t[]){0x3c00, 0xc100});
    set = dataset_opened(&o);
    float halves[2];
    assert_true(weft_dataset_read(set, (int64_t[]){0, 1}, 2, NULL, (void *[]){NULL, halves, NULL}, NULL));
    assert_true(halves[0] == 1.0f && halves[1] == -2.5f);
    weft_dataset_close(set);
    o.path = in_folder(*state, "image.npy");
    set = dataset_opened(&o);
    assert_string_equal(weft_dataset_field(set, 0)->name, "image");
    assert_int_equal(weft_dataset_field(set, 0)->shape[0], 1);
    weft_dataset_close(set);
}

static void put_png(const char *path, int width, int channels, unsigned char value) {
    struct weft_image image;
    assert_true(weft_image_create(&image, width, 2, channels, NULL));
    memset(image.pixels, value, (size_t)(2 * width * channels));
    assert_true(weft_image_write(path, &image, NULL));
    weft_image_destroy(&image);
}

static void a_folder_of_images(void **state) {
    put_png(in_folder(*state, "b.png"), 3, 1, 100);
    put_png(in_folder(*state, "a.PNG"), 3, 4, 200);
    put_file(in_folder(*state, "notes.txt"), "", 0);
    struct weft_dataset_options o = {.kind = "images", .path = *state};
    struct weft_dataset *set = dataset_opened(&o);
    assert_int_equal(weft_dataset_count(set), 2);
    assert_memory_equal(weft_dataset_field(set, 0)->shape, ((int64_t[]){3, 2, 3}), 24);
    float pixels[2][18];
    assert_true(weft_dataset_read(set, (int64_t[]){1, 0}, 2, NULL, (void *[]){pixels}, NULL));
    for (int i = 0; i < 18; i++)
        assert_true(pixels[0][i] == 100 / 255.0f && pixels[1][i] == 200 / 255.0f);
    put_png(in_folder(*state, "b.png"), 4, 1, 100);
    struct weft_error error = {""};
    assert_false(weft_dataset_read(set, (int64_t[]){1}, 1, NULL, (void *[]){pixels}, &error));
    assert_non_null(strstr(error.message, "b.png: 4 x 2 pixels: 3 x 2 are expected, as in "));
    put_file(in_folder(*state, "b.png"), "", 0);
    assert_false(weft_dataset_read(set, (int64_t[]){1}, 1, NULL, (void *[]){pixels}, &error));
    assert_non_null(strstr(error.message, "b.png: neither a PNG nor a JPEG"));
    weft_dataset_close(set);
    put_file(in_folder(*state, "a.PNG"), "", 0);
    dataset_refused(&o, "a.PNG: neither a PNG nor a JPEG");
}

static void an_epoch_is_a_permutation_of_its_numbers(void **state) {
    (void)state;
    enum { N = 1000 };
    int64_t a[N], b[N];
    bool seen[N] = {false};
    weft_shuffle(7, 3, N, a);
    weft_shuffle(7, 3, N, b);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < N; i++) {
        assert_true(a[i] >= 0 && a[i] < N && !seen[a[i]]);
        seen[a[i]] = true;
    }
    int same_epoch = 0, same_seed = 0;
    weft_shuffle(7, 4, N, b);
    for (int i = 0; i < N; i++)
        same_epoch += a[i] == b[i];
    weft_shuffle(8, 3, N, b);
    for (int i = 0; i < N; i++)
        same_seed += a[i] == b[i];
    assert_true(same_epoch < 10 && same_seed < 10);
    weft_shuffle(7, 3, 1, a);
    assert_int_equal(a[0], 0);
    weft_shuffle(7, 3, 0, a);
}

/* Each place of each of the 24 orders of four: 4.3 sigma around the mean of 2400. */
static void shuffles_are_even(void **state) {
    (void)state;
    int hits[256] = {0};
    int64_t order[4];
    enum { EPOCHS = 24 * 2400 };
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        weft_shuffle(1, epoch, 4, order);
        hits[order[0] | order[1] << 2 | order[2] << 4 | order[3] << 6]++;
    }
    int kinds = 0;
    for (int i = 0; i < 256; i++)
        if (hits[i]) {
            assert_in_range(hits[i], 2400 - 210, 2400 + 210);
            kinds++;
        }
    assert_int_equal(kinds, 24);
}

static void check_real(const char *folder, const char *kind, const char *split, int64_t count,
                       int32_t first) {
    if (access(folder, F_OK) != 0) {
        print_message("skipped: no data at %s\n", folder);
        return;
    }
    struct weft_dataset *set =
        dataset_opened(&(struct weft_dataset_options){.kind = kind, .path = folder, .split = split});
    assert_int_equal(weft_dataset_count(set), count);
    int32_t label;
    assert_true(weft_dataset_read(set, (int64_t[]){0}, 1, NULL, (void *[]){NULL, &label}, NULL));
    assert_int_equal(label, first);
    weft_dataset_close(set);
}

static void real_sets(void **state) {
    (void)state;
    const char *data = getenv("WEFT_DATA");
    char path[600];
    check_real("/usr/share/datasets/fashion-mnist", "idx", "test", 10000, 9);
    snprintf(path, sizeof path, "%s/mnist", data ? data : "../shared/data");
    check_real(path, "mnist", "train", 60000, 5);
    check_real(path, "mnist", "test", 10000, 7);
    snprintf(path, sizeof path, "%s/cifar10", data ? data : "../shared/data");
    check_real(path, "cifar10", "test", 1000, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(idx_plain_and_in_gzip),
        FOLDER_TEST(splits_limits_ranges_and_channels),
        FOLDER_TEST(wrong_options),
        FOLDER_TEST(sets_that_do_not_fit_together),
        FOLDER_TEST(cut_and_changed_idx),
        FOLDER_TEST(cifar10),
        FOLDER_TEST(npy_files),
        FOLDER_TEST(a_folder_of_images),
        cmocka_unit_test(an_epoch_is_a_permutation_of_its_numbers),
        cmocka_unit_test(shuffles_are_even),
        cmocka_unit_test(real_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
