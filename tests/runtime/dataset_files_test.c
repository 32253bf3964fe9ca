/* Data sets whose pictures stay in files, .npz, and the thread that reads ahead. */
#include "runtime/dataset.h"
#include "runtime/image.h"
#include "runtime/npy.h"
#include "runtime/prefetch.h"
#include "runtime/zip.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static void put_png(const char *folder, const char *name, int width, int height, unsigned char value) {
    struct weft_image image;
    assert_true(weft_image_create(&image, width, height, 1, NULL));
    memset(image.pixels, value, (size_t)(height * width));
    unsigned char *bytes;
    size_t size;
    assert_true(weft_image_encode(&image, &bytes, &size, NULL));
    put_file(in_folder(folder, name), bytes, size); /* weft_image_write waits for the disk */
    free(bytes);
    weft_image_destroy(&image);
}

static void pictures_of_any_size(void **state) {
    put_png(*state, "a.png", 8, 6, 50);
    put_png(*state, "b.png", 5, 9, 100);
    struct weft_dataset_options o = {.kind = "images", .path = *state, .steps = {.resize = {4}}};
    struct weft_dataset *set = dataset_opened(&o);
    float pixels[2][16];
    struct weft_error error;
    assert_false(weft_dataset_read(set, (int64_t[]){1}, 1, NULL, (void *[]){pixels}, &error));
    assert_non_null(strstr(error.message, "b.png: 4 x 7 pixels: 5 x 4 are expected, as in "));
    weft_dataset_close(set);
    o.steps.center_crop[0] = o.steps.center_crop[1] = 4;
    set = dataset_opened(&o);
    assert_true(weft_dataset_is_costly(set));
    assert_memory_equal(weft_dataset_field(set, 0)->shape, ((int64_t[]){1, 4, 4}), 24);
    assert_true(weft_dataset_read(set, (int64_t[]){1, 0}, 2, NULL, (void *[]){pixels}, NULL));
    assert_true(pixels[0][15] == 100 / 255.0f && pixels[1][0] == 50 / 255.0f);
    weft_dataset_close(set);
    o.steps = (struct weft_picture_steps){.random_crop = {7, 7}};
    dataset_refused(&o, "a.png: 8 x 6 pixels are too few for random_crop of 7 x 7");
}

static void broken_files_are_named_or_skipped(void **state) {
    put_file(in_folder(*state, "a.png"), "no", 2);
    put_png(*state, "b.png", 4, 4, 100);
    put_file(in_folder(*state, "c.jpg"), "\xff\xd8\xff", 3);
    put_png(*state, "d.png", 4, 4, 200);
    struct weft_dataset_options o = {.kind = "images", .path = *state};
    dataset_refused(&o, "a.png: neither a PNG nor a JPEG");
    o.skip_broken = true;
    struct weft_dataset *set = dataset_opened(&o);
    float pixels[4][16];
    assert_true(weft_dataset_read(set, (int64_t[]){0, 1, 2, 3}, 4, NULL, (void *[]){pixels}, NULL));
    assert_true(pixels[0][0] == 100 / 255.0f && pixels[1][0] == 100 / 255.0f && pixels[2][0] == 200 / 255.0f);
    const char *why;
    assert_int_equal(weft_dataset_skipped(set, &why), 2);
    assert_non_null(strstr(why, "c.jpg: the JPEG is broken"));
    remove(in_folder(*state, "b.png"));
    remove(in_folder(*state, "d.png"));
    struct weft_error error;
    assert_false(weft_dataset_read(set, (int64_t[]){0}, 1, NULL, (void *[]){pixels}, &error));
    weft_dataset_close(set);
}

static void a_folder_for_each_class(void **state) {
    mkdir(in_folder(*state, "zebra"), 0700);
    mkdir(in_folder(*state, "ant"), 0700);
    put_png(*state, "zebra/1.png", 3, 3, 10);
    put_png(*state, "ant/1.png", 3, 3, 20);
    put_png(*state, "ant/2.png", 3, 3, 30);
    struct weft_dataset_options o = {.kind = "folders", .path = *state};
    struct weft_dataset *set = dataset_opened(&o);
    float pixels[3][9];
    int32_t labels[3];
    assert_true(weft_dataset_read(set, (int64_t[]){0, 1, 2}, 3, NULL, (void *[]){pixels, labels}, NULL));
    int zebras = 0;
    for (int i = 0; i < 3; i++) { /* in any order: the label belongs to the picture */
        assert_true(labels[i] == (pixels[i][0] == 10 / 255.0f));
        zebras += labels[i];
    }
    assert_int_equal(zebras, 1);
    weft_dataset_close(set);
    mkdir(in_folder(*state, "bear"), 0700);
    dataset_refused(&o, "bear: *.png, *.jpg, *.jpeg expected, no such file found");
    o.path = in_folder(*state, "bear");
    dataset_refused(&o, "bear: a folder for each class expected, none found");
}

static void two_folders(void **state) {
    mkdir(in_folder(*state, "a"), 0700);
    mkdir(in_folder(*state, "b"), 0700);
    for (int i = 0; i < 6; i++)
        put_png(*state, (char[]){i < 2 ? 'a' : 'b', '/', (char)('0' + i), '.', 'p', 'n', 'g', 0}, 2, 2,
                (unsigned char)(10 * i));
    struct weft_dataset_options o = {
        .kind = "unpaired", .path = strdup(in_folder(*state, "a")), .other = in_folder(*state, "b")};
    struct weft_dataset *set = dataset_opened(&o);
    assert_int_equal(weft_dataset_count(set), 4);
    assert_string_equal(weft_dataset_field(set, 1)->name, "b");
    float a[4][4], b[4][4], again[4][4];
    void *out[] = {a, b}, *second[] = {NULL, again};
    const int64_t items[] = {0, 1, 2, 3};
    assert_true(weft_dataset_read(set, items, 4, NULL, out, NULL));
    for (int i = 0; i < 4; i++)
        assert_true(a[i][0] == (float)(10 * (i % 2)) / 255.0f && b[i][0] == (float)(20 + 10 * i) / 255.0f);
    int moved = 0;
    for (uint32_t epoch = 0; epoch < 20; epoch++) {
        const struct weft_draws draws = {7, epoch};
        assert_true(weft_dataset_read(set, items, 4, &draws, out, NULL));
        assert_true(weft_dataset_read(set, items, 4, &draws, second, NULL));
        assert_memory_equal(b, again, sizeof b);
        moved += b[0][0] != 20 / 255.0f;
    }
    assert_in_range(moved, 8, 20); /* three times in four */
    weft_dataset_close(set);
    free((char *)o.path);
}

static void pictures_and_their_texts(void **state) {
    put_png(*state, "x.png", 2, 2, 10);
    static const char merges[] = "#version: 0.2\nl o\nlo w</w>\n",
                      table[] = "x.png\tlow\r\n\nx.png\tLow low\n";
    char merges_path[600];
    snprintf(merges_path, sizeof merges_path, "%s", in_folder(*state, "merges.txt"));
    put_file(merges_path, merges, sizeof merges - 1);
    put_file(in_folder(*state, "t.tsv"), table, sizeof table - 1);
    struct weft_dataset_options o = {
        .kind = "pairs", .path = in_folder(*state, "t.tsv"), .merges = merges_path, .text_length = 4};
    struct weft_dataset *set = dataset_opened(&o);
    int32_t text[2][4];
    assert_int_equal(weft_dataset_count(set), 2);
    assert_true(weft_dataset_read(set, (int64_t[]){0, 1}, 2, NULL, (void *[]){NULL, text}, NULL));
    assert_memory_equal(text, ((int32_t[]){514, 513, 515, 515, 514, 513, 513, 515}), 32);
    weft_dataset_close(set);
    put_file(in_folder(*state, "t.tsv"), "x.png\tlow\nlow\n", 14);
    dataset_refused(&o, "t.tsv: line 2: a path, a tab and a text are expected");
}

/* ---- .npz ---- */

static void put_number(unsigned char **at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (unsigned char)(value >> 8 * i);
}

/* One archive of members, deflated or stored. */
struct archive {
    unsigned char bytes[1 << 14], directory[1 << 10], *at, *entry;
    int count;
};

static void add_member(struct archive *z, const char *name, const unsigned char *data, size_t size,
                       bool pack) {
    unsigned char packed[1 << 13];
    size_t length = strlen(name), packed_size = size;
    memcpy(packed, data, size);
    if (pack) {
        z_stream s = {0};
        assert_int_equal(deflateInit2(&s, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        s.next_in = (unsigned char *)data, s.avail_in = (unsigned)size, s.next_out = packed,
        s.avail_out = sizeof packed;
        assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
        packed_size = s.total_out;
        deflateEnd(&s);
    }
    uint64_t offset = (uint64_t)(z->at - z->bytes), crc = crc32(0, data, (unsigned)size);
    for (int central = 0; central < 2; central++) {
        unsigned char **at = central ? &z->entry : &z->at;
        put_number(at, central ? 0x02014b50 : 0x04034b50, 4);
        put_number(at, 20, central ? 4 : 2);
        put_number(at, 0, 2);
        put_number(at, pack ? 8 : 0, 2);
        put_number(at, 0, 4);
        put_number(at, crc, 4);
        put_number(at, packed_size, 4);
        put_number(at, size, 4);
        put_number(at, length, 2);
        put_number(at, 0, 2);
        if (central)
            put_number(at, 0, 6), put_number(at, 0, 4), put_number(at, offset, 4);
        memcpy(*at, name, length);
        *at += length;
    }
    memcpy(z->at, packed, packed_size);
    z->at += packed_size;
    z->count++;
}

static void put_archive(struct archive *z, const char *path) {
    uint64_t offset = (uint64_t)(z->at - z->bytes), size = (uint64_t)(z->entry - z->directory);
    memcpy(z->at, z->directory, size);
    z->at += size;
    put_number(&z->at, 0x06054b50, 4);
    put_number(&z->at, 0, 4);
    put_number(&z->at, (uint64_t)z->count, 2);
    put_number(&z->at, (uint64_t)z->count, 2);
    put_number(&z->at, size, 4);
    put_number(&z->at, offset, 4);
    put_number(&z->at, 0, 2);
    put_file(path, z->bytes, (size_t)(z->at - z->bytes));
}

static void add_array(struct archive *z, const char *folder, const char *name, bool pack, weft_dtype dtype,
                      int rank, const int64_t *shape, const void *data) {
    struct weft_array a;
    assert_true(weft_array_create(&a, dtype, rank, shape, NULL));
    memcpy(a.data, data, weft_array_bytes(&a));
    assert_true(weft_npy_write(in_folder(folder, "one.npy"), &a, NULL));
    weft_array_destroy(&a);
    size_t size;
    unsigned char *bytes = get_file(in_folder(folder, "one.npy"), &size);
    add_member(z, name, bytes, size, pack);
    free(bytes);
}

static const char *put_npz(const char *folder) {
    static struct archive z;
    z = (struct archive){.at = z.bytes, .entry = z.directory};
    add_array(&z, folder, "tokens.npy", true, WEFT_I64, 2, (int64_t[]){2, 3}, (int64_t[]){1, 2, 3, 4, 5, 6});
    add_array(&z, folder, "image.npy", false, WEFT_U8, 4, (int64_t[]){2, 2, 1, 3},
              (unsigned char[]){0, 51, 102, 255, 204, 153, 1, 2, 3, 4, 5, 6});
    add_array(&z, folder, "c.npy", true, WEFT_F64, 1, (int64_t[]){2}, (double[]){0.5, -1});
    const char *path = in_folder(folder, "set.npz");
    put_archive(&z, path);
    return path;
}

static void npz_by_name(void **state) {
    struct weft_dataset_options o = {.kind = "npz", .path = put_npz(*state)};
    struct weft_dataset *set = dataset_opened(&o);
    int32_t tokens[3];
    float image[6], c;
    assert_int_equal(weft_dataset_field_count(set), 3);
    assert_memory_equal(weft_dataset_field(set, 1)->shape, ((int64_t[]){3, 2, 1}),
                        24); /* the planes come first */
    assert_true(weft_dataset_read(set, (int64_t[]){0}, 1, NULL, (void *[]){tokens, image, &c}, NULL));
    assert_memory_equal(tokens, ((int32_t[]){1, 2, 3}), 12);
    assert_true(image[0] == 0 && image[1] == 1 && image[2] == 51 / 255.0f && image[5] == 153 / 255.0f &&
                c == 0.5f);
    weft_dataset_close(set);
    const struct weft_wanted_field fields[] = {{"c", WEFT_F32}, {"tokens", WEFT_F32}};
    o.fields = fields, o.field_count = 2;
    set = dataset_opened(&o);
    float numbers[3];
    assert_true(weft_dataset_read(set, (int64_t[]){1}, 1, NULL, (void *[]){&c, numbers}, NULL));
    assert_true(c == -1 && numbers[2] == 6);
    weft_dataset_close(set);
    o.fields = (const struct weft_wanted_field[]){{"d", WEFT_F32}}, o.field_count = 1;
    dataset_refused(&o, "there is no array \"d\" in it; it has tokens, image, c");
    o.fields = (const struct weft_wanted_field[]){{"c", WEFT_I32}};
    dataset_refused(&o, "set.npz:c: whole numbers are wanted, f64 found");
    o.fields = (const struct weft_wanted_field[]){{"c", WEFT_U8}};
    dataset_refused(&o, "set.npz:c: pictures (u8 [N,H,W], [N,C,H,W] or [N,H,W,C]) are wanted");
}

static bool read_npz(const char *path) {
    struct weft_dataset *set =
        weft_dataset_open(&(struct weft_dataset_options){.kind = "npz", .path = path}, NULL);
    weft_dataset_close(set);
    return set != NULL;
}

static void cut_and_changed_npz(void **state) {
    static struct archive z;
    char path[600];
    z = (struct archive){.at = z.bytes, .entry = z.directory};
    add_array(&z, *state, "t.npy", true, WEFT_I32, 1, (int64_t[]){2}, (int32_t[]){1, 2});
    snprintf(path, sizeof path, "%s", in_folder(*state, "set.npz"));
    put_archive(&z, path);
    assert_cut_is_refused(path, read_npz);
}

/* A picture and its mask are cut at one place and mirrored together. */
static void pictures_of_an_item_take_the_same_draws(void **state) {
    static struct archive z;
    unsigned char pixels[8 * 8];
    z = (struct archive){.at = z.bytes, .entry = z.directory};
    for (int i = 0; i < 64; i++)
        pixels[i] = (unsigned char)(3 * i);
    add_array(&z, *state, "image.npy", true, WEFT_U8, 3, (int64_t[]){1, 8, 8}, pixels);
    add_array(&z, *state, "mask.npy", true, WEFT_U8, 3, (int64_t[]){1, 8, 8}, pixels);
    put_archive(&z, in_folder(*state, "two.npz"));
    struct weft_dataset_options o = {
        .kind = "npz", .path = in_folder(*state, "two.npz"), .steps = {.random_crop = {3, 3}, .flip = true}};
    struct weft_dataset *set = dataset_opened(&o);
    float image[9], mask[9], first = 0;
    int moved = 0;
    for (uint32_t epoch = 0; epoch < 20; epoch++) {
        const struct weft_draws draws = {1, epoch};
        assert_true(weft_dataset_read(set, (int64_t[]){0}, 1, &draws, (void *[]){image, mask}, NULL));
        assert_memory_equal(image, mask, sizeof image);
        first = epoch ? first : image[0];
        moved += image[0] != first;
    }
    assert_true(moved > 10);
    weft_dataset_close(set);
}

/* ---- reading ahead ---- */

static void what_was_begun_is_handed_out(void **state) {
    for (int i = 0; i < 4; i++)
        put_png(*state, (char[]){(char)('0' + i), '.', 'p', 'n', 'g', 0}, 2, 2, (unsigned char)(10 * i));
    struct weft_dataset *set =
        dataset_opened(&(struct weft_dataset_options){.kind = "images", .path = *state});
    const bool wanted[] = {true};
    const struct weft_draws draws = {0, 3}, later = {0, 4};
    struct weft_prefetch *p = weft_prefetch_create(set, wanted, 2, NULL);
    float pixels[2][4];
    void *out[] = {pixels};
    struct weft_error error;
    for (int64_t i = 0; i < 20; i++) {
        const int64_t items[] = {i % 4, (i + 1) % 4}, next[] = {(i + 1) % 4, (i + 2) % 4};
        assert_true(weft_prefetch_read(p, items, &draws, out, NULL));
        assert_true(pixels[0][0] == (float)(10 * (i % 4)) / 255.0f &&
                    pixels[1][3] == (float)(10 * ((i + 1) % 4)) / 255.0f);
        weft_prefetch_begin(p, i % 3 ? next : items, i % 5 ? &draws : &later);
    }
    put_file(in_folder(*state, "2.png"), "", 0);
    weft_prefetch_begin(p, (int64_t[]){1, 2}, &draws);
    assert_false(weft_prefetch_read(p, (int64_t[]){1, 2}, &draws, out, &error));
    assert_non_null(strstr(error.message, "2.png: neither"));
    weft_prefetch_begin(p, (int64_t[]){1, 3}, &draws); /* left behind */
    weft_prefetch_destroy(p);
    weft_dataset_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(pictures_of_any_size),         FOLDER_TEST(broken_files_are_named_or_skipped),
        FOLDER_TEST(a_folder_for_each_class),      FOLDER_TEST(two_folders),
        FOLDER_TEST(pictures_and_their_texts),     FOLDER_TEST(npz_by_name),
        FOLDER_TEST(cut_and_changed_npz),          FOLDER_TEST(pictures_of_an_item_take_the_same_draws),
        FOLDER_TEST(what_was_begun_is_handed_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
