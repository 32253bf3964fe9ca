#include "runtime/file.h"

#include "runtime/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

struct weft_file {
    FILE *stream;
    char *path;
    char *temporary; /* NULL: the path itself is being written */
    int reason;      /* errno of the first failure, 0 none */
};

static void file_free(struct weft_file *file) {
    free(file->path);
    free(file->temporary);
    free(file);
}

/* Opens PATH.N.tmp for the first N that is free, with the mode that the user's mask leaves. */
static int open_temporary(const char *path, char **name) {
    size_t size = strlen(path) + 32;
    *name = malloc(size);
    if (!*name)
        return -1;
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        snprintf(*name, size, "%s.%ld-%u.tmp", path, (long)getpid(), attempt);
        int descriptor = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

static bool is_special(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

struct weft_file *weft_file_create(const char *path, struct weft_error *error) {
    struct weft_file *file = calloc(1, sizeof *file);
    if (!file || !(file->path = strdup(path))) {
        free(file);
        weft_fail(error, "%s: no memory to write it", path);
        return NULL;
    }
    int descriptor =
        is_special(path) ? open(path, O_WRONLY | O_CLOEXEC) : open_temporary(path, &file->temporary);
    file->stream = descriptor >= 0 ? fdopen(descriptor, "wb") : NULL;
    if (file->stream)
        return file;
    weft_fail(error, "%s: cannot be written: %s", path, strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    if (descriptor >= 0 && file->temporary)
        unlink(file->temporary);
    file_free(file);
    return NULL;
}

void weft_file_write(struct weft_file *file, const void *bytes, size_t size) {
    if (!file->reason && size && fwrite(bytes, 1, size, file->stream) != size)
        file->reason = errno ? errno : EIO;
}

FILE *weft_file_stream(struct weft_file *file) {
    return file->stream;
}

static void keep_reason(struct weft_file *file, bool failed) {
    if (failed && !file->reason)
        file->reason = errno ? errno : EIO;
}

/* A rename is only sure once the folder is on the disk too; a file system that cannot do that is not at
 * fault. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    int descriptor = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (descriptor >= 0) {
        (void)fsync(descriptor);
        close(descriptor);
    }
    free(folder);
}

bool weft_file_take_commit(struct weft_file *file, struct weft_error *error) {
    keep_reason(file, ferror(file->stream));
    keep_reason(file, fflush(file->stream) != 0);
    if (file->temporary)
        keep_reason(file, fsync(fileno(file->stream)) != 0);
    keep_reason(file, fclose(file->stream) != 0);
    if (file->temporary && !file->reason)
        keep_reason(file, rename(file->temporary, file->path) != 0);
    int reason = file->reason;
    if (reason) {
        if (file->temporary)
            unlink(file->temporary);
        weft_fail(error, "%s: cannot be written: %s", file->path, strerror(reason));
    } else if (file->temporary) {
        sync_folder(file->path);
    }
    file_free(file);
    return reason == 0;
}

void weft_file_take_abandon(struct weft_file *file) {
    if (!file)
        return;
    fclose(file->stream);
    if (file->temporary)
        unlink(file->temporary);
    file_free(file);
}

bool weft_file_write_whole(const char *path, const void *bytes, size_t size, struct weft_error *error) {
    struct weft_file *file = weft_file_create(path, error);
    if (!file)
        return false;
    weft_file_write(file, bytes, size);
    return weft_file_take_commit(file, error);
}

enum { FIRST_READ = 64 << 10 };

/* Doubles a malloc'ed buffer up to limit + 1 bytes; false frees nothing. */
static bool grow(unsigned char **bytes, size_t *capacity, size_t limit) {
    size_t wanted = *capacity < limit / 2 ? 2 * *capacity : limit + 1;
    unsigned char *grown = realloc(*bytes, wanted);
    if (!grown)
        return false;
    *bytes = grown;
    *capacity = wanted;
    return true;
}

static bool read_failed(FILE *stream, unsigned char *bytes, struct weft_error *error, const char *path,
                        const char *why) {
    fclose(stream);
    free(bytes);
    return weft_fail(error, "%s: cannot be read: %s", path, why);
}

bool weft_file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size,
                    struct weft_error *error) {
    FILE *stream = fopen(path, "rbe");
    if (!stream)
        return weft_fail(error, "%s: cannot be read: %s", path, strerror(errno));
    struct stat info;
    size_t capacity = FIRST_READ, length = 0;
    if (fstat(fileno(stream), &info) == 0 && S_ISREG(info.st_mode) && (size_t)info.st_size < limit)
        capacity = (size_t)info.st_size + 2; /* one for the zero, one to see the end without growing */
    unsigned char *buffer = malloc(capacity);
    if (!buffer)
        return read_failed(stream, buffer, error, path, "no memory");
    for (;;) {
        length += fread(buffer + length, 1, capacity - 1 - length, stream);
        if (ferror(stream))
            return read_failed(stream, buffer, error, path, strerror(errno));
        if (length < capacity - 1)
            break;
        if (length >= limit)
            return read_failed(stream, buffer, error, path, "it is too large");
        if (!grow(&buffer, &capacity, limit + 1))
            return read_failed(stream, buffer, error, path, "no memory");
    }
    fclose(stream);
    if (length > limit) {
        free(buffer);
        return weft_fail(error, "%s: cannot be read: it is too large", path);
    }
    buffer[length] = 0;
    *bytes = buffer;
    *size = length;
    return true;
}

bool weft_mapping_open(struct weft_mapping *mapping, const char *path, struct weft_error *error) {
    *mapping = (struct weft_mapping){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return weft_fail(error, "%s: cannot be read: %s", path, strerror(errno));
    struct stat info;
    void *bytes = NULL;
    const char *why = NULL;
    if (fstat(descriptor, &info) != 0)
        why = strerror(errno);
    else if (!S_ISREG(info.st_mode))
        why = "it is not a regular file";
    else if (info.st_size > 0 &&
             (bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0)) == MAP_FAILED)
        why = strerror(errno);
    close(descriptor);
    if (why)
        return weft_fail(error, "%s: cannot be read: %s", path, why);
    if (info.st_size > 0)
        *mapping = (struct weft_mapping){bytes, (size_t)info.st_size};
    return true;
}

void weft_mapping_close(struct weft_mapping *mapping) {
    if (mapping->bytes)
        munmap((void *)mapping->bytes, mapping->size);
    *mapping = (struct weft_mapping){0};
}

/* Inflates until the input ends; several members follow each other. Returns why not, or NULL. */
static const char *inflate_all(z_stream *z, unsigned char **out, size_t *capacity, size_t *length,
                               size_t limit) {
    for (;;) {
        if (*length == *capacity) {
            if (*capacity > limit)
                return "it opens to more than was expected";
            if (!grow(out, capacity, limit))
                return "no memory";
        }
        size_t room = *capacity - *length;
        z->next_out = *out + *length;
        z->avail_out = room > (1u << 30) ? 1u << 30 : (uInt)room;
        uInt before = z->avail_out;
        int status = inflate(z, Z_NO_FLUSH);
        *length += before - z->avail_out;
        if (status == Z_STREAM_END) {
            if (z->avail_in == 0)
                return *length > limit ? "it opens to more than was expected" : NULL;
            status = inflateReset(z);
        }
        if (status == Z_BUF_ERROR && z->avail_in == 0)
            return "the compressed data are cut off";
        if (status != Z_OK)
            return "the compressed data are broken";
    }
}

enum { GZIP_ONLY = 16 + MAX_WBITS };

bool weft_gunzip(const char *name, const unsigned char *bytes, size_t size, size_t limit, unsigned char **out,
                 size_t *out_size, struct weft_error *error) {
    z_stream z = {0};
    if (size > UINT32_MAX)
        return weft_fail(error, "%s: compressed data of 4 GB and more cannot be read", name);
    size_t capacity = FIRST_READ < limit ? FIRST_READ : limit + 1, length = 0;
    unsigned char *buffer = malloc(capacity);
    if (!buffer || inflateInit2(&z, GZIP_ONLY) != Z_OK) {
        free(buffer);
        return weft_fail(error, "%s: no memory to open it", name);
    }
    z.next_in = (unsigned char *)bytes;
    z.avail_in = (uInt)size;
    const char *why = inflate_all(&z, &buffer, &capacity, &length, limit);
    inflateEnd(&z);
    if (why) {
        free(buffer);
        return weft_fail(error, "%s: %s", name, why);
    }
    *out = buffer;
    *out_size = length;
    return true;
}

size_t weft_gunzip_head(const unsigned char *bytes, size_t size, unsigned char *out, size_t room) {
    z_stream z = {0};
    if (inflateInit2(&z, GZIP_ONLY) != Z_OK)
        return 0;
    z.next_in = (unsigned char *)bytes;
    z.avail_in = size > UINT32_MAX ? UINT32_MAX : (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    (void)inflate(&z, Z_SYNC_FLUSH); /* what is broken behind these bytes is found by who reads on */
    inflateEnd(&z);
    return room - z.avail_out;
}
