#include "base/store.h"

#include "base/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In front of the bytes in every file. */
struct header {
    char magic[8];
    uint64_t size;
    uint64_t checksum; /* of the bytes */
};
static const char magic[8] = "weftob1";
static const char suffix[] = ".object";
enum { CHECKSUM_SEED = 0x5ed };

/* ---- the folder ---- */

static bool make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!ok)
            return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

bool store_open(struct store *store, struct arena *arena, const char *folder, const char **why) {
    struct stat info;
    if (!make_folders(arena_strdup(arena, folder)) || stat(folder, &info) != 0) {
        *why = arena_printf(arena, "%s: %s", folder, strerror(errno));
        return false;
    }
    if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH))) {
        *why = arena_printf(arena, "%s: must be a folder of this user that no other may write to", folder);
        return false;
    }
    *store = (struct store){arena_strdup(arena, folder), (int64_t)STORE_LIMIT_MB << 20};
    return true;
}

enum { PATH_BYTES = 4096 };

static bool path_of(const struct store *store, const char *key, char path[PATH_BYTES]) {
    return snprintf(path, PATH_BYTES, "%s/%s%s", store->folder, key, suffix) < PATH_BYTES;
}

/* ---- one entry ---- */

static bool read_all(int file, void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = read(file, (char *)bytes + done, size - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool write_all(int file, const void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(file, (const char *)bytes + done, size - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void *read_entry(int file, struct arena *arena, size_t *size) {
    struct stat info;
    struct header header;
    if (fstat(file, &info) != 0 || !read_all(file, &header, sizeof(header)) ||
        memcmp(header.magic, magic, sizeof(magic)) != 0 ||
        header.size != (uint64_t)info.st_size - sizeof(header))
        return NULL;
    void *bytes = arena_alloc(arena, header.size);
    if (!read_all(file, bytes, header.size) ||
        hash_bytes(CHECKSUM_SEED, bytes, header.size) != header.checksum)
        return NULL;
    *size = header.size;
    return bytes;
}

void *store_get(const struct store *store, const char *key, struct arena *arena, size_t *size) {
    char path[PATH_BYTES];
    int file = path_of(store, key, path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return NULL;
    void *bytes = read_entry(file, arena, size);
    if (bytes)
        futimens(file, NULL); /* used now */
    close(file);
    return bytes;
}

/* Written beside its place and moved there: a reader sees the old file, the new one, or none. */
bool store_put(const struct store *store, const char *key, const void *bytes, size_t size) {
    char path[PATH_BYTES], beside[PATH_BYTES];
    if (!path_of(store, key, path) ||
        snprintf(beside, sizeof(beside), "%s/.new-XXXXXX", store->folder) >= (int)sizeof(beside))
        return false;
    int file = mkostemp(beside, O_CLOEXEC);
    if (file < 0)
        return false;
    struct header header = {.size = size, .checksum = hash_bytes(CHECKSUM_SEED, bytes, size)};
    memcpy(header.magic, magic, sizeof(magic));
    bool ok = write_all(file, &header, sizeof(header)) && write_all(file, bytes, size);
    ok = close(file) == 0 && ok && rename(beside, path) == 0;
    if (!ok)
        unlink(beside);
    return ok;
}

/* ---- all of them ---- */

static int by_last_use(const void *a, const void *b) {
    const struct store_entry *x = a, *y = b;
    if (x->last_used != y->last_used)
        return x->last_used < y->last_used ? -1 : 1;
    return strcmp(x->key, y->key);
}

static void list_file(DIR *folder, const char *name, struct arena *arena, struct store_list *list) {
    size_t length = strlen(name), tail = sizeof(suffix) - 1;
    struct stat info;
    if (length <= tail || strcmp(name + length - tail, suffix) != 0 ||
        fstatat(dirfd(folder), name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
        return;
    struct store_entry entry = {arena_strndup(arena, name, length - tail), info.st_size, info.st_mtime};
    VEC_PUSH(arena, &list->entries, entry);
    list->bytes += entry.bytes;
}

void store_list(const struct store *store, struct arena *arena, struct store_list *list) {
    *list = (struct store_list){0};
    DIR *folder = opendir(store->folder);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        list_file(folder, entry->d_name, arena, list);
    closedir(folder);
    if (list->entries.count)
        qsort(list->entries.at, (size_t)list->entries.count, sizeof(struct store_entry), by_last_use);
}

static bool remove_entry(const struct store *store, const char *key) {
    char path[PATH_BYTES];
    return path_of(store, key, path) && unlink(path) == 0;
}

void store_trim(const struct store *store, struct arena *scratch) {
    struct store_list list;
    store_list(store, scratch, &list);
    for (int i = 0; i < list.entries.count && list.bytes > store->limit; i++)
        if (remove_entry(store, list.entries.at[i].key))
            list.bytes -= list.entries.at[i].bytes;
}

int store_clear(const struct store *store, struct arena *scratch) {
    struct store_list list;
    int removed = 0;
    store_list(store, scratch, &list);
    for (int i = 0; i < list.entries.count; i++)
        removed += remove_entry(store, list.entries.at[i].key);
    return removed;
}
