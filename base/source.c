#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t count_lines(const char *text, size_t length) {
    uint32_t lines = 1;
    for (const char *at = text; (at = memchr(at, '\n', length - (size_t)(at - text))); at++)
        lines++;
    return lines;
}

/* Takes text, which lives in the arena and ends with a zero. */
static const struct source *take_text(struct arena *arena, const char *name, const char *text,
                                      size_t length) {
    struct source *source = ARENA_NEW(arena, struct source);
    uint32_t *starts = ARENA_ARRAY(arena, uint32_t, count_lines(text, length));
    source->name = arena_strdup(arena, name);
    source->text = text;
    source->length = (uint32_t)length;
    source->line_start = starts;
    starts[source->line_count++] = 0;
    for (uint32_t i = 0; i < length; i++)
        if (text[i] == '\n')
            starts[source->line_count++] = i + 1;
    return source;
}

const struct source *source_create(struct arena *arena, const char *name, const char *text, size_t length) {
    return take_text(arena, name, arena_strndup(arena, text, length), length);
}

enum { FIRST_READ = 64 << 10 };
static const off_t SIZE_LIMIT = (off_t)1 << 31;

/* The buffer is allocated before the file is opened: exhaustion then leaves no open file behind. Only what
 * has no size beforehand, a pipe, grows while it is read. */
const struct source *source_read(struct arena *arena, const char *path, const char **why) {
    struct stat info;
    if (stat(path, &info) != 0) {
        *why = arena_strdup(arena, strerror(errno));
        return NULL;
    }
    if (S_ISDIR(info.st_mode) || info.st_size >= SIZE_LIMIT) {
        *why = S_ISDIR(info.st_mode) ? "it is a folder" : "it has 2 GB or more";
        return NULL;
    }
    size_t capacity = S_ISREG(info.st_mode) ? (size_t)info.st_size + 2 : FIRST_READ, length = 0;
    char *text = arena_alloc(arena, capacity);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : 0;
    while (file >= 0 && (got = read(file, text + length, capacity - 1 - length)) > 0) {
        length += (size_t)got;
        if ((off_t)length >= SIZE_LIMIT)
            break;
        if (length + 1 == capacity) {
            text = arena_grow(arena, text, capacity, 2 * capacity);
            capacity *= 2;
        }
    }
    int reason = errno;
    if (file >= 0)
        close(file);
    if (got != 0) {
        *why = got > 0 ? "it has 2 GB or more" : arena_strdup(arena, strerror(reason));
        return NULL;
    }
    text[length] = 0;
    return take_text(arena, path, text, length);
}

/* Index of the last line that starts at or before offset. */
static uint32_t line_of(const struct source *source, uint32_t offset) {
    uint32_t low = 0, high = source->line_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (source->line_start[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void source_locate(const struct source *source, uint32_t offset, int *line, int *column) {
    if (offset > source->length)
        offset = source->length;
    uint32_t index = line_of(source, offset);
    *line = (int)index + 1;
    *column = 1;
    for (uint32_t i = source->line_start[index]; i < offset; i++)
        *column += ((unsigned char)source->text[i] & 0xc0) != 0x80; /* 10xxxxxx continues a character */
}

const char *source_line(const struct source *source, int line, int *length) {
    if (line < 1 || (uint32_t)line > source->line_count) {
        *length = 0;
        return "";
    }
    uint32_t begin = source->line_start[line - 1];
    uint32_t end = (uint32_t)line < source->line_count ? source->line_start[line] - 1 : source->length;
    if (end > begin && source->text[end - 1] == '\r')
        end--;
    *length = (int)(end - begin);
    return source->text + begin;
}

struct span span_join(struct span a, struct span b) {
    if (!span_is_known(a))
        return b;
    if (!span_is_known(b) || a.source != b.source)
        return a;
    return (struct span){a.source, a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end};
}

void path_normalise(char *path) {
    char *parts[1024], *at = path, *out = path + 1;
    int count = 0;
    if (*path != '/')
        return;
    while (*at && count < 1024) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        char *next = at + length;
        bool is_last = *next == 0; /* a '/' may be written over it */
        if (length == 2 && at[0] == '.' && at[1] == '.')
            out = count > 0 ? parts[--count] : path + 1;
        else if (length > 0 && !(length == 1 && at[0] == '.')) {
            parts[count++] = out;
            memmove(out, at, length);
            out += length;
            *out++ = '/';
        }
        if (is_last)
            break;
        at = next + 1;
    }
    if (out > path + 1)
        out--;
    *out = 0;
}
