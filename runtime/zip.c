#include "runtime/zip.h"

#include "runtime/error.h"
#include "runtime/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Sizes of the records without their names and extra fields, and deflate's largest ratio. */
enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    COMMENT_MOST = 65535,
    LARGEST_RATIO = 1032
};

static uint64_t number(const unsigned char *bytes, int count) {
    uint64_t value = 0;
    for (int i = count; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static bool has_signature(const unsigned char *bytes, int third, int fourth) {
    return bytes[0] == 'P' && bytes[1] == 'K' && bytes[2] == third && bytes[3] == fourth;
}

static bool broken(const struct weft_zip *zip, const char *why, struct weft_error *error) {
    return weft_fail(error, "%s: not a .npz (ZIP) file: %s", zip->name, why);
}

/* Where the directory begins and how many members it has. */
struct directory {
    uint64_t at, count;
};

/* The end record stands behind everything but a comment. ZIP64 puts another before it, found through a
 * locator. */
static bool find_directory(const struct weft_zip *zip, struct directory *d, struct weft_error *error) {
    if (zip->length < END_SIZE)
        return broken(zip, "it is too short", error);
    size_t at = zip->length - END_SIZE, least = at > COMMENT_MOST ? at - COMMENT_MOST : 0;
    while (!has_signature(zip->bytes + at, 5, 6))
        if (at-- == least)
            return broken(zip, "it has no directory (it is cut off, or something else)", error);
    *d = (struct directory){number(zip->bytes + at + 16, 4), number(zip->bytes + at + 10, 2)};
    if (at < LOCATOR_SIZE || !has_signature(zip->bytes + at - LOCATOR_SIZE, 6, 7))
        return true;
    uint64_t at64 = number(zip->bytes + at - LOCATOR_SIZE + 8, 8);
    if (at64 > zip->length || zip->length - at64 < END64_SIZE || !has_signature(zip->bytes + at64, 6, 6))
        return broken(zip, "its ZIP64 directory is broken", error);
    *d = (struct directory){number(zip->bytes + at64 + 48, 8), number(zip->bytes + at64 + 32, 8)};
    return true;
}

/* ZIP64: the sizes that do not fit 32 bits stand in an extra field, in a fixed order. */
static bool read_extra(struct weft_zip_member *m, const unsigned char *extra, size_t length) {
    uint64_t *const fields[] = {&m->size, &m->packed, &m->at};
    while (length >= 4) {
        size_t size = number(extra + 2, 2), used = 4;
        if (size > length - 4)
            return false;
        for (int i = 0; number(extra, 2) == 1 && i < 3; i++)
            if (*fields[i] == UINT32_MAX) {
                if (used + 8 > size + 4)
                    return false;
                *fields[i] = number(extra + used, 8);
                used += 8;
            }
        extra += size + 4;
        length -= size + 4;
    }
    return true;
}

/* One entry of the directory; *at moves behind it. */
static bool read_entry(const struct weft_zip *zip, size_t *at, struct weft_zip_member *m,
                       struct weft_error *error) {
    const unsigned char *e = zip->bytes + *at;
    if (zip->length - *at < ENTRY_SIZE || !has_signature(e, 1, 2))
        return broken(zip, "its directory is broken", error);
    size_t name = number(e + 28, 2), extra = number(e + 30, 2), comment = number(e + 32, 2);
    if (zip->length - *at - ENTRY_SIZE < name + extra + comment)
        return broken(zip, "its directory is cut off", error);
    *m = (struct weft_zip_member){.method = (int)number(e + 10, 2),
                                  .crc = (uint32_t)number(e + 16, 4),
                                  .packed = number(e + 20, 4),
                                  .size = number(e + 24, 4),
                                  .at = number(e + 42, 4)};
    if (!read_extra(m, e + ENTRY_SIZE + name, extra))
        return broken(zip, "a ZIP64 field is broken", error);
    if (m->at > zip->length || zip->length - m->at < LOCAL_SIZE ||
        m->packed > zip->length - m->at - LOCAL_SIZE)
        return broken(zip, "a member lies outside of it", error);
    if (m->size / LARGEST_RATIO > m->packed)
        return broken(zip, "a member's size is impossible for so few bytes", error);
    m->name = strndup((const char *)e + ENTRY_SIZE, name);
    *at += ENTRY_SIZE + name + extra + comment;
    return m->name || weft_fail(error, "%s: no memory for its directory", zip->name);
}

static bool read_directory(struct weft_zip *zip, struct weft_error *error) {
    struct directory d = {0};
    if (!find_directory(zip, &d, error))
        return false;
    if (d.at > zip->length || d.count > (zip->length - d.at) / ENTRY_SIZE)
        return broken(zip, "its directory is broken", error);
    zip->members = calloc(d.count + 1, sizeof *zip->members);
    if (!zip->members)
        return weft_fail(error, "%s: no memory for its directory", zip->name);
    size_t at = d.at;
    for (uint64_t i = 0; i < d.count; i++)
        if (!read_entry(zip, &at, &zip->members[zip->count++], error))
            return false;
    return true;
}

bool weft_zip_parse(struct weft_zip *zip, const char *name, const void *bytes, size_t length,
                    struct weft_error *error) {
    *zip = (struct weft_zip){.name = name, .bytes = bytes, .length = length};
    if (read_directory(zip, error))
        return true;
    weft_zip_close(zip);
    return false;
}

bool weft_zip_open(struct weft_zip *zip, const char *path, struct weft_error *error) {
    struct weft_mapping map;
    *zip = (struct weft_zip){0};
    if (!weft_mapping_open(&map, path, error))
        return false;
    if (!weft_zip_parse(zip, path, map.bytes, map.size, error)) {
        weft_mapping_close(&map);
        return false;
    }
    zip->map = map;
    return true;
}

void weft_zip_close(struct weft_zip *zip) {
    for (int i = 0; i < zip->count; i++)
        free(zip->members[i].name);
    free(zip->members);
    weft_mapping_close(&zip->map);
    *zip = (struct weft_zip){0};
}

/* Deflated bytes without a header of their own. zlib counts input in unsigned ints: it is fed by pieces. */
static bool inflate_raw(const unsigned char *in, uint64_t packed, unsigned char *out, uint64_t size) {
    static const uint64_t piece = 1u << 30;
    z_stream z = {0};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return false;
    uint64_t taken = 0, made = 0;
    int status = Z_OK;
    while (status == Z_OK) {
        uint64_t more_in = packed - taken < piece ? packed - taken : piece,
                 more_out = size - made < piece ? size - made : piece;
        z.next_in = (unsigned char *)in + taken;
        z.avail_in = (unsigned)more_in;
        z.next_out = out + made;
        z.avail_out = (unsigned)more_out;
        status = inflate(&z, Z_NO_FLUSH);
        taken += more_in - z.avail_in;
        made += more_out - z.avail_out;
    }
    inflateEnd(&z);
    return status == Z_STREAM_END && made == size;
}

static uint32_t checksum(const unsigned char *bytes, uint64_t size) {
    uLong crc = crc32(0, NULL, 0);
    for (uint64_t at = 0; at < size; at += 1u << 30)
        crc = crc32(crc, bytes + at, (unsigned)(size - at < 1u << 30 ? size - at : 1u << 30));
    return (uint32_t)crc;
}

bool weft_zip_read(const struct weft_zip *zip, int member, unsigned char **bytes, size_t *size,
                   struct weft_error *error) {
    const struct weft_zip_member *m = &zip->members[member];
    const unsigned char *local = zip->bytes + m->at;
    if (m->method != 0 && m->method != 8)
        return weft_fail(error,
                         "%s: the member \"%s\" is packed by method %d; stored and deflated ones can be read",
                         zip->name, m->name, m->method);
    if (!has_signature(local, 3, 4))
        return broken(zip, "a member is not where the directory says", error);
    size_t skip = LOCAL_SIZE + number(local + 26, 2) + number(local + 28, 2);
    if (skip > zip->length - m->at || m->packed > zip->length - m->at - skip ||
        (m->method == 0 && m->packed != m->size))
        return broken(zip, "a member lies outside of it", error);
    unsigned char *out = malloc(m->size + 1);
    if (!out)
        return weft_fail(error, "%s: no memory for the member \"%s\"", zip->name, m->name);
    bool ok = true;
    if (m->method == 0)
        memcpy(out, local + skip, m->size);
    else
        ok = inflate_raw(local + skip, m->packed, out, m->size);
    if (!ok || checksum(out, m->size) != m->crc) {
        free(out);
        return weft_fail(error, "%s: the member \"%s\" is broken", zip->name, m->name);
    }
    out[m->size] = 0;
    *bytes = out;
    *size = m->size;
    return true;
}

bool weft_npz_read(const struct weft_zip *zip, int member, struct weft_array *array,
                   struct weft_error *error) {
    unsigned char *bytes;
    size_t size;
    char name[400];
    snprintf(name, sizeof name, "%.300s:%.80s", zip->name, zip->members[member].name);
    if (!weft_zip_read(zip, member, &bytes, &size, error))
        return false;
    bool ok = weft_npy_parse(name, bytes, size, array, error);
    free(bytes);
    return ok;
}
