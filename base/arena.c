#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
enum { RED_ZONE = 16 }; /* between neighbours, so that a run over the end is seen */
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { RED_ZONE = 0 };
#endif

enum { ALIGNMENT = 16, FIRST_BLOCK = 16 << 10, LARGEST_STEP = 4 << 20 };

struct block {
    struct block *older;
    size_t size, used;
    size_t dirty; /* bytes from here on still hold calloc's zeros */
    _Alignas(ALIGNMENT) char bytes[];
};

struct arena {
    struct block *newest;
    size_t handed_out;
    size_t calls_until_failure; /* 0: never */
    jmp_buf *landing;
};

static struct block *block_create(size_t size, struct block *older) {
    struct block *block = calloc(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->size = size;
    block->older = older;
    POISON(block->bytes, size);
    return block;
}

static void block_destroy(struct block *block) {
    UNPOISON(block->bytes, block->size);
    free(block);
}

struct arena *arena_create(void) {
    struct arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->newest = block_create(FIRST_BLOCK, NULL);
    if (!arena->newest) {
        free(arena);
        return NULL;
    }
    return arena;
}

void arena_destroy(struct arena *arena) {
    if (!arena)
        return;
    for (struct block *block = arena->newest; block;) {
        struct block *older = block->older;
        block_destroy(block);
        block = older;
    }
    free(arena);
}

/* Keeps the newest block, the largest of those that grew by themselves: a scratch arena reaches its size
 * once. */
void arena_reset(struct arena *arena) {
    struct block *keep = arena->newest;
    for (struct block *block = keep->older; block;) {
        struct block *older = block->older;
        block_destroy(block);
        block = older;
    }
    keep->older = NULL;
    keep->used = 0;
    POISON(keep->bytes, keep->size);
    arena->handed_out = 0;
}

void arena_set_landing(struct arena *arena, jmp_buf *landing) {
    arena->landing = landing;
}

void arena_fail_at(struct arena *arena, size_t n) {
    arena->calls_until_failure = n;
}

static _Noreturn void exhausted(struct arena *arena) {
    if (arena->landing)
        longjmp(*arena->landing, 1);
    fputs("weft: out of memory\n", stderr);
    abort();
}

static void count_call(struct arena *arena) {
    if (arena->calls_until_failure && --arena->calls_until_failure == 0)
        exhausted(arena);
}

static size_t round_up(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* Makes bytes [from, to) of a block usable and zero. */
static void open_bytes(struct block *block, size_t from, size_t to) {
    UNPOISON(block->bytes + from, to - from);
    if (from < block->dirty)
        memset(block->bytes + from, 0, (to < block->dirty ? to : block->dirty) - from);
    if (to > block->dirty)
        block->dirty = to;
}

static struct block *add_block(struct arena *arena, size_t wanted) {
    size_t size = arena->newest->size < LARGEST_STEP ? 2 * arena->newest->size : (size_t)LARGEST_STEP;
    struct block *block = block_create(size > wanted ? size : wanted, arena->newest);
    if (!block)
        exhausted(arena);
    arena->newest = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size) {
    count_call(arena);
    if (size > SIZE_MAX / 4)
        exhausted(arena);
    size_t taken = round_up(size ? size : 1) + RED_ZONE;
    struct block *block = arena->newest;
    if (taken > block->size - block->used)
        block = add_block(arena, taken);
    size_t at = block->used;
    open_bytes(block, at, at + size);
    block->used = at + taken;
    arena->handed_out += taken;
    return block->bytes + at;
}

void *arena_grow(struct arena *arena, void *old, size_t old_size, size_t new_size) {
    if (old && new_size <= old_size)
        return old;
    struct block *block = arena->newest; /* old is the last allocation exactly where it ends at used */
    size_t old_taken = round_up(old_size ? old_size : 1) + RED_ZONE;
    if (old && new_size <= SIZE_MAX / 4 && (char *)old + old_taken == block->bytes + block->used) {
        size_t at = (size_t)((char *)old - block->bytes);
        size_t taken = round_up(new_size) + RED_ZONE;
        if (taken <= block->size - at) {
            count_call(arena);
            open_bytes(block, at + old_size, at + new_size);
            block->used = at + taken;
            arena->handed_out += taken - old_taken;
            return old;
        }
    }
    void *grown = arena_alloc(arena, new_size);
    if (old && old_size)
        memcpy(grown, old, old_size);
    return grown;
}

size_t arena_used(const struct arena *arena) {
    return arena->handed_out;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length) {
    char *copy = arena_alloc(arena, length + 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text) {
    return arena_strndup(arena, text, strlen(text));
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0)
        length = 0;
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}

void *arena_memdup(struct arena *arena, const void *bytes, size_t size) {
    void *copy = arena_alloc(arena, size);
    return size ? memcpy(copy, bytes, size) : copy;
}
