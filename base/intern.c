#include "base/intern.h"

#include "base/map.h"

#include <string.h>

struct name {
    const char *text; /* NULL: a free slot */
    size_t length;
    uint64_t hash;
};

struct interner {
    struct arena *arena;
    struct name *slots; /* open addressing, linear probing; capacity is a power of two */
    size_t capacity, count;
};

enum { FIRST_CAPACITY = 256 };

struct interner *interner_create(struct arena *arena) {
    struct interner *names = ARENA_NEW(arena, struct interner);
    names->arena = arena;
    names->capacity = FIRST_CAPACITY;
    names->slots = ARENA_ARRAY(arena, struct name, FIRST_CAPACITY);
    return names;
}

/* The slot that holds the text, or the free one where it belongs. */
static struct name *find_slot(const struct interner *names, const char *text, size_t length, uint64_t hash) {
    for (size_t i = hash & (names->capacity - 1);; i = (i + 1) & (names->capacity - 1)) {
        struct name *slot = &names->slots[i];
        if (!slot->text)
            return slot;
        if (slot->hash == hash && slot->length == length && memcmp(slot->text, text, length) == 0)
            return slot;
    }
}

static void grow(struct interner *names) {
    struct interner old = *names;
    struct name *slots = ARENA_ARRAY(names->arena, struct name, 2 * old.capacity);
    names->slots = slots;
    names->capacity = 2 * old.capacity;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].text)
            *find_slot(names, old.slots[i].text, old.slots[i].length, old.slots[i].hash) = old.slots[i];
}

const char *intern_n(struct interner *names, const char *text, size_t length) {
    uint64_t hash = hash_bytes(0, text, length);
    struct name *slot = find_slot(names, text, length, hash);
    if (slot->text)
        return slot->text;
    if (4 * (names->count + 1) > 3 * names->capacity) {
        grow(names);
        slot = find_slot(names, text, length, hash);
    }
    const char *copy = arena_strndup(names->arena, text, length);
    *slot = (struct name){copy, length, hash};
    names->count++;
    return copy;
}

const char *intern(struct interner *names, const char *text) {
    return intern_n(names, text, strlen(text));
}
