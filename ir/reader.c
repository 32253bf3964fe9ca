/* ir/reader.c: tokens of IR text. */
#include "ir/reader.h"

#include "ir/types.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TERMS_MOST = 1000, RANK_MOST = 1000 };

/* ---- places and mistakes ---- */

struct span reader_span(const struct reader *r, const char *begin) {
    const char *end = r->at > begin ? r->at : begin + (begin < r->end);
    return (struct span){r->source, (uint32_t)(begin - r->source->text), (uint32_t)(end - r->source->text)};
}

bool reader_fail(struct reader *r, const char *begin, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(r->arena, format, args);
    va_end(args);
    diag_error(r->diags, reader_span(r, begin), E_IR, "%s", message);
    r->errors++;
    return false;
}

/* ---- tokens ---- */

void reader_skip(struct reader *r) {
    if (r->at > r->source->text && !isspace((unsigned char)r->at[-1]))
        r->token_end = r->at;
    for (;;) {
        while (r->at < r->end && isspace((unsigned char)*r->at))
            r->at++;
        if (r->end - r->at < 2 || r->at[0] != '/' || r->at[1] != '/')
            return;
        while (r->at < r->end && *r->at != '\n')
            r->at++;
    }
}

bool reader_peek(struct reader *r, char c) {
    reader_skip(r);
    return r->at < r->end && *r->at == c;
}

bool reader_take(struct reader *r, char c) {
    if (!reader_peek(r, c))
        return false;
    r->at++;
    return true;
}

/* What stands at the place, for messages. */
const char *reader_found(struct reader *r) {
    reader_skip(r);
    if (r->at == r->end)
        return "the end of the text";
    int length = 0;
    while (r->at + length < r->end && length < 20 && !isspace((unsigned char)r->at[length]) &&
           (length == 0 || isalnum((unsigned char)r->at[length])))
        length++;
    if (!isprint((unsigned char)*r->at))
        return "a strange character";
    return arena_printf(r->arena, "`%.*s`", length, r->at);
}

bool reader_expect(struct reader *r, char c, const char *where) {
    if (reader_take(r, c))
        return true;
    const char *what = reader_found(r);
    return reader_fail(r, r->at, "`%c` is wanted %s, not %s", c, where, what);
}

static bool is_word_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* A word of letters, digits, _ and dots; length 0: none. */
size_t reader_word(struct reader *r, const char **begin) {
    reader_skip(r);
    *begin = r->at;
    while (r->at < r->end && is_word_char(*r->at))
        r->at++;
    return (size_t)(r->at - *begin);
}

static bool word_is(const char *begin, size_t length, const char *text) {
    return strlen(text) == length && memcmp(begin, text, length) == 0;
}

bool reader_take_word(struct reader *r, const char *text) {
    const char *begin;
    size_t length = reader_word(r, &begin);
    if (word_is(begin, length, text))
        return true;
    r->at = begin;
    return false;
}

int reader_hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A string in quotes, unescaped; NULL: reported. */
const char *reader_string(struct reader *r) {
    if (!reader_expect(r, '"', "before a string"))
        return NULL;
    const char *begin = r->at - 1;
    struct strbuf text;
    strbuf_init(&text, r->arena);
    while (r->at < r->end && *r->at != '"' && *r->at != '\n') {
        char c = *r->at++;
        if (c == '\\' && r->at < r->end) {
            c = *r->at++;
            if (c == 'n')
                c = '\n';
            if (c == 'x' && r->end - r->at >= 2 && reader_hex_digit(r->at[0]) >= 0 &&
                reader_hex_digit(r->at[1]) >= 0) {
                c = (char)(reader_hex_digit(r->at[0]) * 16 + reader_hex_digit(r->at[1]));
                r->at += 2;
            }
        }
        if (c == 0)
            return reader_fail(r, begin, "a string holds a zero byte"), NULL;
        strbuf_putc(&text, c);
    }
    if (r->at == r->end || *r->at++ != '"')
        return reader_fail(r, begin, "a string has no end"), NULL;
    return text.text ? text.text : "";
}

/* A name: a word or a string, interned; NULL: reported. */
const char *reader_name(struct reader *r, const char *what) {
    const char *begin;
    if (reader_peek(r, '"')) {
        const char *text = reader_string(r);
        return text ? intern(r->names, text) : NULL;
    }
    size_t length = reader_word(r, &begin);
    if (length == 0) {
        const char *other = reader_found(r);
        return reader_fail(r, begin, "%s is wanted, not %s", what, other), NULL;
    }
    return intern_n(r->names, begin, length);
}

bool reader_int(struct reader *r, int64_t *out) {
    reader_skip(r);
    const char *begin = r->at;
    char *end;
    bool digits = r->at < r->end && (isdigit((unsigned char)*r->at) || (*r->at == '-' && r->at + 1 < r->end &&
                                                                        isdigit((unsigned char)r->at[1])));
    if (!digits) {
        const char *other = reader_found(r);
        return reader_fail(r, begin, "an integer is wanted, not %s", other);
    }
    errno = 0;
    *out = strtoll(r->at, &end, 10);
    r->at = end;
    return errno ? reader_fail(r, begin, "the integer is too large") : true;
}

bool reader_float(struct reader *r, double *out) {
    reader_skip(r);
    const char *begin = r->at, *c = r->at;
    char *end;
    c += c < r->end && *c == '-';
    bool starts = c < r->end && (isdigit((unsigned char)*c) || *c == '.' || *c == 'n' || *c == 'i');
    *out = starts ? strtod(r->at, &end) : 0;
    if (!starts || end == begin) {
        const char *other = reader_found(r);
        return reader_fail(r, begin, "a number is wanted, not %s", other);
    }
    r->at = end;
    return true;
}

/* ---- dims and types ---- */

/* The text up to one of the stops outside of parentheses is a dim. NULL: reported. */
const struct dim *reader_dim(struct reader *r, const char *stops) {
    reader_skip(r);
    const char *begin = r->at;
    int depth = 0;
    while (r->at < r->end && *r->at != '\n' && (depth > 0 || !strchr(stops, *r->at))) {
        depth += *r->at == '(' ? 1 : *r->at == ')' ? -1 : 0;
        r->at++;
    }
    size_t length = (size_t)(r->at - begin);
    const struct dim *dim = dim_parse(r->types, begin, length);
    if (!dim)
        reader_fail(r, begin, "`%.*s` is no size", length > 60 ? 60 : (int)length, begin);
    return dim;
}

const struct type *reader_type(struct reader *r) {
    const char *begin;
    size_t length = reader_word(r, &begin);
    enum dtype dtype;
    if (!dtype_find(begin, length, &dtype)) {
        r->at = begin;
        const char *other = reader_found(r);
        return reader_fail(r, begin, "a type is wanted, not %s", other), NULL;
    }
    VEC(const struct dim *) dims = {0};
    int64_t terms = 1;
    if (!reader_expect(r, '[', "behind a dtype"))
        return NULL;
    while (!reader_take(r, ']')) {
        if (dims.count > 0 && !reader_expect(r, ',', "between two sizes"))
            return NULL;
        const struct dim *dim = reader_dim(r, ",]");
        if (!dim)
            return NULL;
        if (dim_compare(r->types, dim, dim_const(r->types, 0)) == -1)
            return reader_fail(r, begin, "a size is negative"), NULL;
        /* The number of elements is the product of the sizes: its terms multiply. */
        terms *= dim->count ? dim->count : 1;
        if (terms > TERMS_MOST || dims.count > RANK_MOST)
            return reader_fail(r, begin, "the type is too large"), NULL;
        VEC_PUSH(r->arena, &dims, dim);
    }
    return type_get(r->types, dtype, dims.count, dims.at);
}
