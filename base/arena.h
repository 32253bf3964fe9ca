/* base/arena.h: memory by lifetime. Everything allocated from an arena lives until the arena is reset or
 * destroyed; nothing is freed alone. A block of memory is zeroed, so that a struct starts in its empty state.
 *
 * Exhaustion is the one non-local exit of the compiler: arena_alloc never returns NULL, it longjmps to the
 * landing that the arena's session or worker has set, and aborts with a message where there is none. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_create(void); /* NULL when the system has no memory for its first block */
void arena_destroy(struct arena *arena);
void arena_reset(struct arena *arena); /* all memory handed out becomes invalid (poisoned under ASan) */
void arena_set_landing(struct arena *arena, jmp_buf *landing);

/* The test build's way to make exhaustion likely: the n-th allocation from now fails (0: never). */
void arena_fail_at(struct arena *arena, size_t n);

void *arena_alloc(struct arena *arena, size_t size)
    __attribute__((returns_nonnull)); /* zeroed, aligned for any type */
/* A block of new_size that begins with the old_size bytes of old; grows in place where old was the last
 * block. */
void *arena_grow(struct arena *arena, void *old, size_t old_size, size_t new_size)
    __attribute__((returns_nonnull));
size_t arena_used(const struct arena *arena); /* bytes handed out since creation or the last reset */

char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Never NULL; `bytes` may be, where the size is 0. */
void *arena_memdup(struct arena *arena, const void *bytes, size_t size);

#define ARENA_NEW(arena, T)      ((T *)arena_alloc((arena), sizeof(T)))
#define ARENA_ARRAY(arena, T, n) ((T *)arena_alloc((arena), sizeof(T) * (size_t)(n)))

#endif
