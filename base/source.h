/* base/source.h: texts that people wrote, and places in them. */
#ifndef BASE_SOURCE_H
#define BASE_SOURCE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* A text that was read: a model file, a line of the REPL, IR text, a recipe. Lives in the arena it was made
 * in. */
struct source {
    const char *name; /* as the user would write it: a path, "<repl:3>", "<lib>/nn.weft" */
    const char *text; /* zero terminated */
    uint32_t length;
    uint32_t line_count;
    const uint32_t *line_start; /* byte offset of each line */
};

/* Bytes [begin, end) of a source; source is NULL for things that no text wrote. */
struct span {
    const struct source *source;
    uint32_t begin, end;
};

/* Where an operation comes from: a place, and the call or instantiation that led there (NULL: none).
 * `what` names the callee for messages: "nn.Linear.call". */
struct site {
    struct span span;
    const struct site *caller;
    const char *what;
};

const struct source *source_create(struct arena *arena, const char *name, const char *text, size_t length);
/* Reads a file whole. NULL when it cannot be read (or is 2 GB and more): *why then says the reason in words.
 */
const struct source *source_read(struct arena *arena, const char *path, const char **why);

/* Line and column of a byte, both from 1; the column counts bytes of UTF-8 sequences once. */
void source_locate(const struct source *source, uint32_t offset, int *line, int *column);
/* The text of line `line` (from 1) without its end; *length in bytes. */
const char *source_line(const struct source *source, int line, int *length);

struct span span_join(struct span a, struct span b); /* from the begin of a to the end of b */
static inline bool span_is_known(struct span s) {
    return s.source != NULL;
}

/* "/a/./b/../c" to "/a/c", in place and as far as the text tells: what a `use` of another file gives must be
 * what an editor calls it. A path that does not begin with / stays. */
void path_normalise(char *path);

#endif
