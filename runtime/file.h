/* runtime/file.h: files read whole, mapped, and written so that nobody ever sees half of one. */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include "runtime/weft.h"

#include <stdbool.h>
#include <stdio.h>

/* A file under construction. It is written under a temporary name in the same folder and takes its own name
 * when it is complete; a run that is killed, or a disk that is full, leaves an older file of that name as it
 * was. A path that names something else than a regular file (a pipe, /dev/stdout) is written directly. */
struct weft_file;

struct weft_file *weft_file_create(const char *path, struct weft_error *error);
/* A failure is remembered: callers write on and ask once, at the end. */
void weft_file_write(struct weft_file *file, const void *bytes, size_t size);
FILE *weft_file_stream(struct weft_file *file); /* for fprintf; belongs to the file */
/* Flushes, syncs, renames. The file is gone afterwards, whatever the result; where it is false, so is what
 * was written. */
bool weft_file_take_commit(struct weft_file *file, struct weft_error *error);
void weft_file_take_abandon(struct weft_file *file); /* NULL is fine */

/* All three at once. */
bool weft_file_write_whole(const char *path, const void *bytes, size_t size, struct weft_error *error);

/* Reads a file whole, at most `limit` bytes; *bytes is malloc'ed, with a zero byte behind the last. */
bool weft_file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size,
                    struct weft_error *error);

/* Maps a file for reading; an empty file is no mapping (bytes NULL, size 0) and fine. The file must not
 * shrink while it is mapped: as long as it is written by weft_file_create it does not, it is replaced. */
struct weft_mapping {
    const unsigned char *bytes;
    size_t size;
};
bool weft_mapping_open(struct weft_mapping *mapping, const char *path, struct weft_error *error);
void weft_mapping_close(struct weft_mapping *mapping);

/* Opens gzip: `bytes` may hold several members, as gzip(1) allows. *out is malloc'ed. No more than `limit`
 * bytes are produced, whatever the input says. `name` is the file's, for messages. */
bool weft_gunzip(const char *name, const unsigned char *bytes, size_t size, size_t limit, unsigned char **out,
                 size_t *out_size, struct weft_error *error);
/* The first bytes alone: fills out and returns how many there are, at most `room`. */
size_t weft_gunzip_head(const unsigned char *bytes, size_t size, unsigned char *out, size_t room);

#endif
