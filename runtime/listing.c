#include "runtime/listing.h"

#include "runtime/error.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

char *weft_path_join(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}

bool weft_path_ends(const char *name, const char *suffixes) {
    size_t length = strlen(name);
    for (const char *at = suffixes; *at;) {
        size_t end = strcspn(at, " ");
        if (length > end && strncasecmp(name + length - end, at, end) == 0)
            return true;
        at += end + (at[end] == ' ');
    }
    return false;
}

void weft_listing_free(struct weft_listing *list) {
    for (int64_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct weft_listing){0};
}

bool weft_listing_add(struct weft_listing *list, char *path) {
    bool is_full = (list->count & (list->count - 1)) == 0; /* capacities are powers of two */
    char **grown = !path ? NULL
                   : is_full
                       ? realloc(list->paths, sizeof *grown * (size_t)(list->count ? 2 * list->count : 1))
                       : list->paths;
    if (!grown) {
        free(path);
        return false;
    }
    list->paths = grown;
    grown[list->count++] = path;
    return true;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* One name of the folder; takes what is wanted into the list. suffixes NULL: folders are wanted. */
static bool take_name(const char *folder, const char *name, const char *prefix, const char *suffixes,
                      struct weft_listing *list) {
    if (name[0] == '.' || strncmp(name, prefix, strlen(prefix)) != 0 ||
        (suffixes && !weft_path_ends(name, suffixes)))
        return true;
    char *path = weft_path_join(folder, name);
    if (path && !suffixes && !is_folder(path)) {
        free(path);
        return true;
    }
    return weft_listing_add(list, path);
}

static bool list_names(const char *folder, const char *prefix, const char *suffixes,
                       struct weft_listing *list, struct weft_error *error) {
    *list = (struct weft_listing){0};
    DIR *dir = opendir(folder);
    if (!dir)
        return weft_fail(error, "%s: cannot be read: %s", folder, strerror(errno));
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        ok = take_name(folder, entry->d_name, prefix, suffixes, list);
    closedir(dir);
    if (!ok) {
        weft_listing_free(list);
        return weft_fail(error, "%s: no memory for its names", folder);
    }
    if (list->count > 0)
        qsort(list->paths, (size_t)list->count, sizeof *list->paths, by_text);
    return true;
}

/* ".png .jpg" as a message says it: "*.png, *.jpg" */
static void print_patterns(const char *prefix, const char *suffixes, char *out, size_t size) {
    size_t n = 0;
    out[0] = 0;
    for (const char *at = suffixes; *at && n < size;) {
        int end = (int)strcspn(at, " ");
        n += (size_t)snprintf(out + n, size - n, "%s%s*%.*s", n ? ", " : "", prefix, end, at);
        at += end + (at[end] == ' ');
    }
}

bool weft_list_files(const char *folder, const char *prefix, const char *suffixes, struct weft_listing *list,
                     struct weft_error *error) {
    char patterns[128];
    if (!list_names(folder, prefix, suffixes, list, error))
        return false;
    print_patterns(prefix, suffixes, patterns, sizeof patterns);
    return list->count > 0 || weft_fail(error, "%s: %s expected, no such file found", folder, patterns);
}

bool weft_list_folders(const char *folder, struct weft_listing *list, struct weft_error *error) {
    if (!list_names(folder, "", NULL, list, error))
        return false;
    return list->count > 0 || weft_fail(error, "%s: a folder for each class expected, none found", folder);
}
