#include "base/map.h"

#include <string.h>

struct map_slot {
    const void *key;
    void *value;
    bool taken; /* NULL is a key like any other: integers are keys too */
};

enum { FIRST_CAPACITY = 16 };

void map_init(struct map *map, struct arena *arena) {
    *map = (struct map){.arena = arena};
}

/* Where the key would stand in a table without collisions: the finalizer of MurmurHash3 (Appleby). */
static size_t home_of(const struct map *map, const void *key) {
    uint64_t h = (uint64_t)(uintptr_t)key;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return (size_t)(h ^ h >> 33) & (map->capacity - 1);
}

/* The slot that holds the key, or the free one where it belongs. The table is never full. */
static struct map_slot *find_slot(const struct map *map, const void *key) {
    size_t i = home_of(map, key);
    while (map->slots[i].taken && map->slots[i].key != key)
        i = (i + 1) & (map->capacity - 1);
    return &map->slots[i];
}

void *map_find(const struct map *map, const void *key) {
    return map->count ? find_slot(map, key)->value : NULL;
}

bool map_has(const struct map *map, const void *key) {
    return map->count && find_slot(map, key)->taken;
}

static void grow(struct map *map) {
    struct map old = *map;
    size_t capacity = old.capacity ? 2 * old.capacity : FIRST_CAPACITY;
    map->slots = ARENA_ARRAY(map->arena, struct map_slot, capacity);
    map->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].taken)
            *find_slot(map, old.slots[i].key) = old.slots[i];
}

void map_put(struct map *map, const void *key, void *value) {
    if (4 * (map->count + 1) > 3 * map->capacity)
        grow(map);
    struct map_slot *slot = find_slot(map, key);
    map->count += !slot->taken;
    *slot = (struct map_slot){key, value, true};
}

/* Without tombstones: the followers that probed past the hole move up (Knuth, vol. 3, 6.4, algorithm R). */
void map_erase(struct map *map, const void *key) {
    if (!map_has(map, key))
        return;
    size_t mask = map->capacity - 1;
    size_t hole = (size_t)(find_slot(map, key) - map->slots);
    for (size_t i = (hole + 1) & mask; map->slots[i].taken; i = (i + 1) & mask) {
        size_t home = home_of(map, map->slots[i].key);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (struct map_slot){0};
    map->count--;
}

/* Fowler, Noll, Vo; http://www.isthe.com/chongo/tech/comp/fnv. Seed 0 gives the published function. */
/* The high half of the product comes down: tables look at the low bits. */
static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word ^ 0xcbf29ce484222325u) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint64_t h = mix(seed, size);
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        h = mix(h, word);
    }
    uint64_t rest = 0;
    memcpy(&rest, at, size);
    return mix(h, rest);
}
