/* runtime/listing.h: the names in a folder. */
#ifndef WEFT_LISTING_H
#define WEFT_LISTING_H

#include "runtime/weft.h"

#include <stdbool.h>

/* Sorted paths, malloc'ed, each with its folder before it. */
struct weft_listing {
    char **paths;
    int64_t count;
};

/* The files of a folder that begin with `prefix` and end with one of `suffixes` (separated by spaces, in any
 * case). None is an error. */
bool weft_list_files(const char *folder, const char *prefix, const char *suffixes, struct weft_listing *list,
                     struct weft_error *error);
bool weft_list_folders(const char *folder, struct weft_listing *list,
                       struct weft_error *error); /* none is an error */
void weft_listing_free(struct weft_listing *list);

bool weft_listing_add(struct weft_listing *list,
                      char *path);                           /* takes path, also where it fails; NULL fails */
char *weft_path_join(const char *folder, const char *name);  /* "folder/name", malloc'ed; NULL: no memory */
bool weft_path_ends(const char *name, const char *suffixes); /* one of them, in any case */

#endif
