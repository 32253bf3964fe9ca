/* base/store.h: a folder of byte strings under keys, of limited size: the disk cache of compiled objects.
 * What is stored becomes machine code in this process, so the folder must be ours alone; every entry carries
 * a checksum, appears whole or not at all, and one that is damaged counts as absent. Nothing here is worth an
 * error to the user: a store that cannot be used is only slower. */
#ifndef BASE_STORE_H
#define BASE_STORE_H

#include "base/arena.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct store {
    const char *folder;
    int64_t limit; /* bytes of all files; store_trim keeps to it */
};

struct store_entry {
    const char *key;
    int64_t bytes;     /* of the file */
    int64_t last_used; /* seconds since 1970 */
};
struct store_list {
    VEC(struct store_entry) entries; /* the least recently used first */
    int64_t bytes;
};

enum { STORE_LIMIT_MB = 256 };

/* Makes the folder (and those above it) with mode 0700. false: *why says what is wrong with it: it cannot be
 * made, it is somebody else's, others may write to it. */
bool store_open(struct store *store, struct arena *arena, const char *folder, const char **why);
/* A key is made of letters, digits, '-' and '_'. NULL: absent or damaged. */
void *store_get(const struct store *store, const char *key, struct arena *arena, size_t *size);
bool store_put(const struct store *store, const char *key, const void *bytes, size_t size);
void store_list(const struct store *store, struct arena *arena, struct store_list *list);
void store_trim(const struct store *store,
                struct arena *scratch); /* removes the least recently used beyond the limit */
int store_clear(const struct store *store, struct arena *scratch); /* removes all; how many there were */

#endif
