/* base/strbuf.h: text under construction, in an arena. Always terminated by a zero byte. */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include "base/arena.h"

struct strbuf {
    struct arena *arena;
    char *text;
    size_t length, capacity;
};

void strbuf_init(struct strbuf *buf, struct arena *arena);
void strbuf_putc(struct strbuf *buf, char c);
void strbuf_puts(struct strbuf *buf, const char *text);
void strbuf_write(struct strbuf *buf, const char *bytes, size_t length);
void strbuf_printf(struct strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As text or in quotes of HTML and SVG. */
void strbuf_escaped(struct strbuf *buf, const char *text);
/* The shortest decimal text that reads back as the same double (or float); nan, inf and -inf as such words.
 */
void strbuf_double(struct strbuf *buf, double value);
void strbuf_float(struct strbuf *buf, float value);

#endif
