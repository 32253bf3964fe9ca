/* ir/reader.h: a place in IR text, and what may stand there. Internal to ir/. A function that cannot find
 * what it was asked for reports so, with the place, and gives NULL or false. */
#ifndef IR_READER_H
#define IR_READER_H

#include "base/diag.h"
#include "base/intern.h"
#include "ir/type.h"

struct reader {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    const struct source *source;
    struct diags *diags;
    const char *at, *end;
    const char *token_end; /* of the last token that was skipped behind: where an op ends */
    int errors;
};

bool reader_fail(struct reader *r, const char *begin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct span reader_span(const struct reader *r, const char *begin); /* from begin to the place */

void reader_skip(struct reader *r); /* white space and comments */
bool reader_peek(struct reader *r, char c);
bool reader_take(struct reader *r, char c);
bool reader_expect(struct reader *r, char c, const char *where); /* "`c` is wanted WHERE, not ..." */
const char *reader_found(struct reader *r);                      /* what stands at the place, for messages */
/* A word of letters, digits, _ and dots; length 0: none. */
size_t reader_word(struct reader *r, const char **begin);
bool reader_take_word(struct reader *r, const char *text);
int reader_hex_digit(char c); /* -1: it is none */

const char *reader_string(struct reader *r);                 /* in quotes; unescaped */
const char *reader_name(struct reader *r, const char *what); /* a word or a string, interned */
bool reader_int(struct reader *r, int64_t *out);
bool reader_float(struct reader *r, double *out);
/* The text up to one of the stops, outside of parentheses. */
const struct dim *reader_dim(struct reader *r, const char *stops);
const struct type *reader_type(struct reader *r);

#endif
