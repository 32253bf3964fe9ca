/* Pictures on their way into a batch: JPEG, and the steps. */
#include "runtime/jpeg.h"
#include "runtime/picture.h"

#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static unsigned char value_at(const struct weft_image *image, int y, int x, int c) {
    return image
        ->pixels[((size_t)y * (size_t)image->width + (size_t)x) * (size_t)image->channels + (size_t)c];
}

/* Smooth in both directions, another in each channel. */
static struct weft_image smooth(int height, int width, int channels) {
    struct weft_image image;
    assert_true(weft_image_create(&image, width, height, channels, NULL));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                image.pixels[(y * width + x) * channels + c] =
                    (unsigned char)(128 + 60 * sin(0.3 * x + c) + 60 * cos(0.2 * y - c));
    return image;
}

static unsigned char *jpeg_of(const struct weft_image *image, J_COLOR_SPACE space, size_t *size) {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long length = 0;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &length);
    info.image_width = (JDIMENSION)image->width;
    info.image_height = (JDIMENSION)image->height;
    info.input_components = image->channels;
    info.in_color_space = space;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 98, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = image->pixels + info.next_scanline * image->width * image->channels;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    *size = length;
    return bytes;
}

static void jpeg_in_all_colours(void **state) {
    (void)state;
    static const struct {
        int channels, read_as;
        J_COLOR_SPACE space;
    } kinds[] = {{1, 1, JCS_GRAYSCALE}, {3, 3, JCS_RGB}, {4, 3, JCS_CMYK}};
    for (int k = 0; k < 3; k++) {
        struct weft_image image = smooth(19, 33, kinds[k].channels), back, grey;
        size_t size;
        unsigned char *bytes = jpeg_of(&image, kinds[k].space, &size);
        assert_true(weft_is_jpeg(bytes, size));
        assert_true(weft_image_decode("x", bytes, size, 0, &back, NULL));
        assert_int_equal(back.channels, kinds[k].read_as);
        assert_int_equal(back.width, 33);
        for (int i = 0; k < 2 && i < 19 * 33 * kinds[k].channels; i++)
            assert_in_range(back.pixels[i] - image.pixels[i] + 16, 0, 32);
        for (int i = 0; k == 2 && i < 19 * 33; i++) /* libjpeg writes an Adobe marker: inks are inverted */
            assert_in_range(back.pixels[3 * i] - image.pixels[4 * i] * image.pixels[4 * i + 3] / 255 + 16, 0,
                            32);
        assert_true(weft_image_decode("x", bytes, size, 1, &grey, NULL));
        assert_int_equal(grey.channels, 1);
        weft_image_destroy(&image);
        weft_image_destroy(&back);
        weft_image_destroy(&grey);
        free(bytes);
    }
}

static void a_cut_jpeg_is_refused(void **state) {
    (void)state;
    struct weft_image image = smooth(40, 40, 3), back;
    size_t size;
    unsigned char *bytes = jpeg_of(&image, JCS_RGB, &size);
    struct weft_error error;
    for (size_t n = 0; n + 2 < size; n += 7) /* the last two bytes say that it ends, and are not needed */
        assert_false(weft_image_decode("x.jpg", bytes, n, 0, &back, &error));
    assert_string_equal(error.message, "x.jpg: the JPEG is broken: it is cut off");
    bytes[163] = 0xff, bytes[164] = 0xff; /* whatever it says now, it says it in bounds */
    if (weft_image_decode("x.jpg", bytes, size, 0, &back, &error))
        weft_image_destroy(&back);
    free(bytes);
    weft_image_destroy(&image);
}

/* A triangle as wide as the scale, in doubles, over both axes at once. */
static double scaled_value(const struct weft_image *image, int y, int x, int c, int height, int width) {
    double sy = (double)image->height / height, sx = (double)image->width / width, sum = 0, weight = 0;
    double cy = (y + 0.5) * sy, cx = (x + 0.5) * sx, wy = fmax(sy, 1), wx = fmax(sx, 1);
    for (int i = 0; i < image->height; i++)
        for (int j = 0; j < image->width; j++) {
            double w = fmax(0, 1 - fabs(i + 0.5 - cy) / wy) * fmax(0, 1 - fabs(j + 0.5 - cx) / wx);
            sum += w * value_at(image, i, j, c);
            weight += w;
        }
    return sum / weight;
}

static void scaling(void **state) {
    (void)state;
    static const int sizes[][2] = {{7, 9}, {31, 17}, {64, 40}, {1, 1}, {23, 5}};
    struct weft_image image = smooth(23, 31, 3), to;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        assert_true(weft_picture_resize(&image, sizes[k][0], sizes[k][1], &to, NULL));
        for (int y = 0; y < to.height; y++)
            for (int x = 0; x < to.width; x++)
                for (int c = 0; c < 3; c++)
                    assert_true(fabs(scaled_value(&image, y, x, c, to.height, to.width) -
                                     value_at(&to, y, x, c)) < 1.1);
        weft_image_destroy(&to);
    }
    weft_image_destroy(&image);
}

static void turning_and_mirroring(void **state) {
    (void)state;
    struct weft_image image = smooth(9, 9, 1), to, back;
    assert_true(weft_picture_rotate(&image, 0, &to, NULL));
    assert_memory_equal(to.pixels, image.pixels, 81);
    weft_image_destroy(&to);
    assert_true(
        weft_picture_rotate(&image, 90, &to, NULL)); /* against the clock: the right side comes to the top */
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 9; x++)
            assert_in_range(value_at(&to, y, x, 0) - value_at(&image, x, 8 - y, 0) + 1, 0, 2);
    assert_true(weft_picture_rotate(&image, 45, &back, NULL));
    assert_int_equal(value_at(&back, 0, 0, 0), 0); /* outside is black */
    weft_picture_flip(&to);
    weft_picture_flip(&to);
    weft_image_destroy(&back);
    weft_image_destroy(&to);
    assert_true(weft_picture_crop(&image, 2, 3, 4, 5, &to, NULL));
    weft_picture_flip(&to);
    assert_int_equal(value_at(&to, 1, 0, 0), value_at(&image, 3, 7, 0));
    weft_image_destroy(&to);
    weft_image_destroy(&image);
}

static void sizes_behind_the_steps(void **state) {
    (void)state;
    struct weft_error error;
    int h = 100, w = 200;
    assert_true(weft_picture_size("x", &(struct weft_picture_steps){.resize = {50}}, &h, &w, NULL));
    assert_true(h == 50 && w == 100);
    assert_true(weft_picture_size(
        "x", &(struct weft_picture_steps){.resize = {30, 20}, .center_crop = {16, 16}}, &h, &w, NULL));
    assert_true(h == 16 && w == 16);
    h = 100, w = 200;
    assert_true(weft_picture_size("x", &(struct weft_picture_steps){.crop = {10, 20, 60, 70}}, &h, &w, NULL));
    assert_true(h == 60 && w == 70);
    assert_false(
        weft_picture_size("x", &(struct weft_picture_steps){.random_crop = {64, 64}}, &h, &w, &error));
    assert_string_equal(error.message, "x: 70 x 60 pixels are too few for random_crop of 64 x 64");
}

/* The same key, the same picture; over keys, every place and both mirrors come. */
static void chance_is_a_function_of_the_key(void **state) {
    (void)state;
    const struct weft_picture_steps steps = {.random_crop = {3, 3}, .flip = true};
    bool seen[5][5] = {{false}};
    int mirrored = 0;
    enum { DRAWS = 400 };
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct weft_image a, b;
        assert_true(weft_image_create(&a, 7, 7, 1, NULL));
        for (int p = 0; p < 49; p++)
            a.pixels[p] = (unsigned char)p;
        assert_true(weft_picture_crop(&a, 0, 0, 7, 7, &b, NULL));
        assert_true(weft_picture_take_steps("x", &steps, philox_fold(philox_seed(5), i), &a, NULL));
        assert_true(weft_picture_take_steps("x", &steps, philox_fold(philox_seed(5), i), &b, NULL));
        assert_memory_equal(a.pixels, b.pixels, 9);
        bool is_mirrored = a.pixels[0] > a.pixels[2];
        int corner = is_mirrored ? a.pixels[2] : a.pixels[0];
        seen[corner / 7][corner % 7] = true;
        mirrored += is_mirrored;
        weft_image_destroy(&a);
        weft_image_destroy(&b);
    }
    for (int i = 0; i < 25; i++)
        assert_true(seen[i / 5][i % 5]);
    assert_in_range(mirrored, DRAWS / 2 - 50, DRAWS / 2 + 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpeg_in_all_colours),
        cmocka_unit_test(a_cut_jpeg_is_refused),
        cmocka_unit_test(scaling),
        cmocka_unit_test(turning_and_mirroring),
        cmocka_unit_test(sizes_behind_the_steps),
        cmocka_unit_test(chance_is_a_function_of_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
