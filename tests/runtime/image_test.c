#include "runtime/image.h"

#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void fill(struct weft_image *image) {
    size_t size = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    for (size_t i = 0; i < size; i++)
        image->pixels[i] = (unsigned char)(i * 31 + 7);
}

static void png_round_trips(void **state) {
    const char *path = in_folder(*state, "x.png");
    struct weft_error error = {""};
    for (int channels = 1; channels <= 4; channels++) {
        struct weft_image a, b;
        assert_true(weft_image_create(&a, 13, 5, channels, &error));
        fill(&a);
        assert_true(weft_image_write(path, &a, &error));
        assert_true(weft_image_read(path, 0, &b, &error));
        assert_int_equal(b.width, 13);
        assert_int_equal(b.height, 5);
        assert_int_equal(b.channels, channels);
        assert_memory_equal(a.pixels, b.pixels, (size_t)(13 * 5 * channels));
        weft_image_destroy(&a);
        weft_image_destroy(&b);
    }
}

static void channels_are_converted(void **state) {
    const char *path = in_folder(*state, "x.png");
    struct weft_image a, b;
    assert_true(weft_image_create(&a, 2, 1, 4, NULL));
    memcpy(a.pixels, (unsigned char[]){255, 0, 0, 10, 10, 200, 30, 255}, 8);
    assert_true(weft_image_write(path, &a, NULL));
    static const unsigned char expected[5][8] = {
        [1] = {76, 124}, /* Pillow: Image.convert("L") */
        [2] = {76, 10, 124, 255},
        [3] = {255, 0, 0, 10, 200, 30},
        [4] = {255, 0, 0, 10, 10, 200, 30, 255},
    };
    for (int channels = 1; channels <= 4; channels++) {
        assert_true(weft_image_read(path, channels, &b, NULL));
        assert_memory_equal(b.pixels, expected[channels], (size_t)(2 * channels));
        weft_image_destroy(&b);
    }
    weft_image_destroy(&a);
    assert_true(weft_image_create(&a, 1, 1, 1, NULL));
    a.pixels[0] = 9;
    assert_true(weft_image_write(path, &a, NULL));
    assert_true(weft_image_read(path, 4, &b, NULL));
    assert_memory_equal(b.pixels, ((unsigned char[]){9, 9, 9, 255}), 4);
    weft_image_destroy(&a);
    weft_image_destroy(&b);
}

static void floats_there_and_back(void **state) {
    (void)state;
    struct weft_image a, b;
    float chw[3 * 12 * 10];
    assert_true(weft_image_create(&a, 12, 10, 3, NULL));
    assert_true(weft_image_create(&b, 12, 10, 3, NULL));
    fill(&a);
    a.pixels[0] = 0, a.pixels[3] = 255;
    weft_image_to_chw(&a, -1, 1, chw);
    assert_true(chw[0] == -1);
    assert_true(chw[1] == 1);
    assert_true(chw[120] == -1 + 2 * (a.pixels[1] / 255.0f));
    weft_image_from_chw(chw, -1, 1, &b);
    assert_memory_equal(a.pixels, b.pixels, 360);
    chw[0] = NAN, chw[1] = 7, chw[2] = -INFINITY, chw[3] = INFINITY, chw[4] = 0;
    weft_image_from_chw(chw, -1, 1, &b);
    assert_int_equal(b.pixels[0], 0);
    assert_int_equal(b.pixels[3], 255);
    assert_int_equal(b.pixels[6], 0);
    assert_int_equal(b.pixels[9], 255);
    assert_int_equal(b.pixels[12], 128);
    weft_image_destroy(&a);
    weft_image_destroy(&b);
}

static void grids(void **state) {
    (void)state;
    static const float images[3][2] = {{0, 1}, {1, 0}, {0, 0}}; /* 1 x 2 pixels each */
    struct weft_grid grid = {
        .count = 3, .channels = 1, .height = 1, .width = 2, .rows = 2, .columns = 2, .border = 1, .hi = 1};
    struct weft_image image;
    struct weft_error error = {""};
    assert_true(weft_image_grid(images[0], &grid, &image, &error));
    static const unsigned char expected[5][7] = {
        {255, 255, 255, 255, 255, 255, 255}, {255, 0, 255, 255, 255, 0, 255},
        {255, 255, 255, 255, 255, 255, 255}, {255, 0, 0, 255, 255, 255, 255},
        {255, 255, 255, 255, 255, 255, 255},
    };
    assert_int_equal(image.width, 7);
    assert_int_equal(image.height, 5);
    assert_memory_equal(image.pixels, expected, sizeof expected);
    weft_image_destroy(&image);
    grid.columns = 1000000;
    assert_false(weft_image_grid(images[0], &grid, &image, &error));
    assert_non_null(strstr(error.message, "cannot be drawn"));
}

static bool read_it(const char *path) {
    struct weft_image image;
    bool ok = weft_image_read(path, 0, &image, NULL);
    weft_image_destroy(&image);
    return ok;
}

static void cut_and_changed_files(void **state) {
    const char *path = in_folder(*state, "x.png");
    struct weft_image a;
    assert_true(weft_image_create(&a, 6, 5, 3, NULL));
    fill(&a);
    assert_true(weft_image_write(path, &a, NULL));
    assert_cut_is_refused(path, read_it);
    weft_image_destroy(&a);
}

static void a_size_that_the_bytes_cannot_have(void **state) {
    (void)state;
    unsigned char bytes[200] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x06\0\0\0";
    uLong crc = crc32(0, bytes + 12, 17);
    for (int i = 0; i < 4; i++)
        bytes[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
    memcpy(bytes + 33, "\0\0\0\x64IDAT", 8);
    struct weft_image image;
    struct weft_error error = {""};
    assert_false(weft_image_decode("x", bytes, sizeof bytes, 0, &image, &error));
    assert_string_equal(error.message, "x: the PNG is broken: its size is impossible for so few bytes");
    assert_false(weft_image_decode("x", "GIF89a, not this", 16, 0, &image, &error));
    assert_string_equal(error.message, "x: neither a PNG nor a JPEG");
}

/* Willem van Schaik's suite: every kind of PNG; names that begin with x are broken on purpose. */
static void png_suite(void **state) {
    (void)state;
    const char *data = getenv("WEFT_DATA");
    char folder[600], path[1200];
    snprintf(folder, sizeof folder, "%s/images/pngsuite", data ? data : "../shared/data");
    DIR *dir = opendir(folder);
    if (!dir) {
        print_message("skipped: PngSuite is not at %s\n", folder);
        skip();
        return;
    }
    int good = 0, bad = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct weft_image image;
        struct weft_error error = {""};
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".png") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        bool is_broken = entry->d_name[0] == 'x';
        if (weft_image_read(path, 0, &image, &error) == is_broken)
            fail_msg("%s is %s", entry->d_name, is_broken ? "accepted" : error.message);
        weft_image_destroy(&image);
        *(is_broken ? &bad : &good) += 1;
    }
    closedir(dir);
    assert_true(good > 100);
    assert_true(bad > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(png_round_trips),
        FOLDER_TEST(channels_are_converted),
        cmocka_unit_test(floats_there_and_back),
        cmocka_unit_test(grids),
        FOLDER_TEST(cut_and_changed_files),
        cmocka_unit_test(a_size_that_the_bytes_cannot_have),
        cmocka_unit_test(png_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
