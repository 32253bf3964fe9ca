/* runtime/zip.h: the members of a ZIP archive (PKWARE's APPNOTE 6.3), stored or deflated, ZIP64 or not: what
 * NumPy writes as .npz. */
#ifndef WEFT_ZIP_H
#define WEFT_ZIP_H

#include "runtime/array.h"
#include "runtime/file.h"

struct weft_zip_member {
    char *name;
    uint64_t packed, size, at; /* bytes in the archive, bytes opened, offset of its local header */
    int method;                /* 0 stored, 8 deflated */
    uint32_t crc;
};

struct weft_zip {
    const char *name; /* of the file, for messages; the caller's */
    struct weft_mapping map;
    const unsigned char *bytes;
    size_t length;
    struct weft_zip_member *members;
    int count;
};

/* Maps the file and reads its directory. false: refused, and nothing is left open. */
bool weft_zip_open(struct weft_zip *zip, const char *path, struct weft_error *error);
/* The same of bytes that the caller keeps. */
bool weft_zip_parse(struct weft_zip *zip, const char *name, const void *bytes, size_t length,
                    struct weft_error *error);
void weft_zip_close(struct weft_zip *zip);
/* Opens a member whole: malloc'ed. */
bool weft_zip_read(const struct weft_zip *zip, int member, unsigned char **bytes, size_t *size,
                   struct weft_error *error);

/* The member NAME.npy of a .npz as an array. */
bool weft_npz_read(const struct weft_zip *zip, int member, struct weft_array *array,
                   struct weft_error *error);

#endif
