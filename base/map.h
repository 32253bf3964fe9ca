/* base/map.h: a hash map from a pointer or integer to a pointer. There is no iteration on purpose: no result
 * may depend on an address or a hash order. Keep a VEC beside the map where an order is needed. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct map {
    struct arena *arena;
    struct map_slot *slots;
    size_t capacity, count;
};

void map_init(struct map *map, struct arena *arena);
void *map_find(const struct map *map, const void *key); /* NULL when absent */
bool map_has(const struct map *map, const void *key);
void map_put(struct map *map, const void *key, void *value); /* replaces an older value */
void map_erase(struct map *map, const void *key);

/* Hashing for those who intern structures: a multiplication for each eight bytes, chained through seed. */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size);

#endif
