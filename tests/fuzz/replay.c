/* tests/fuzz/replay.c: the main of a fuzz target in the ordinary test run. It feeds the target the empty
 * input, each file of the corpus folder, and a fixed number of mutations of each (cuts, changed bytes,
 * doubled and removed pieces), the same in every run. What the target must not do is crash, hang, or trip a
 * sanitizer. usage: fuzz_TARGET CORPUS [MUTATIONS] */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { LARGEST = 1 << 20, MUTATIONS = 400 };

/* Exactly as large as its input, so that a sanitizer sees a read past the end. */
static void feed(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (size)
        memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Marsaglia 2003, xorshift64. */
static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 8;
}

static size_t cut_end(uint8_t *bytes, size_t size, uint64_t *random) {
    (void)bytes;
    return next(random) % (size + 1);
}

static size_t change_byte(uint8_t *bytes, size_t size, uint64_t *random) {
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '('};
    size_t at = next(random) % size;
    bytes[at] = next(random) % 2 ? edges[next(random) % sizeof edges] : (uint8_t)next(random);
    return size;
}

static size_t flip_bit(uint8_t *bytes, size_t size, uint64_t *random) {
    bytes[next(random) % size] ^= (uint8_t)(1u << next(random) % 8);
    return size;
}

static size_t remove_piece(uint8_t *bytes, size_t size, uint64_t *random) {
    size_t at = next(random) % size, length = 1 + next(random) % (size - at);
    memmove(bytes + at, bytes + at + length, size - at - length);
    return size - length;
}

static size_t double_piece(uint8_t *bytes, size_t size, uint64_t *random) {
    size_t at = next(random) % size, length = 1 + next(random) % (size - at);
    if (size + length > LARGEST)
        return size;
    memmove(bytes + at + length, bytes + at, size - at);
    return size + length;
}

static void mutate(const uint8_t *bytes, size_t size, int times, uint64_t *random) {
    static size_t (*const mutations[])(uint8_t *, size_t, uint64_t *) = {cut_end, change_byte, flip_bit,
                                                                         remove_piece, double_piece};
    uint8_t *work = malloc(LARGEST);
    for (int i = 0; i < times; i++) {
        size_t length = size;
        memcpy(work, bytes, size);
        for (uint64_t steps = 1 + next(random) % 4; steps > 0 && length > 0; steps--)
            length = mutations[next(random) % (sizeof mutations / sizeof *mutations)](work, length, random);
        feed(work, length);
    }
    free(work);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv) {
    struct dirent **entries;
    int count = argc > 1 ? scandir(argv[1], &entries, is_visible, by_name) : -1;
    if (count <= 0) {
        fprintf(stderr, "usage: %s CORPUS [MUTATIONS]: a folder with at least one file\n", argv[0]);
        return 1;
    }
    uint64_t random = 88172645463325252u;
    uint8_t *bytes = malloc(LARGEST);
    feed(bytes, 0);
    for (int i = 0; i < count; i++) {
        char path[1000];
        snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        FILE *file = fopen(path, "rb");
        size_t size = file ? fread(bytes, 1, LARGEST, file) : 0;
        if (file)
            fclose(file);
        feed(bytes, size);
        mutate(bytes, size, argc > 2 ? atoi(argv[2]) : MUTATIONS, &random);
        free(entries[i]);
    }
    free(entries);
    free(bytes);
    printf("%d inputs and their mutations\n", count);
    return 0;
}
