#include "base/strbuf.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

void strbuf_init(struct strbuf *buf, struct arena *arena) {
    *buf = (struct strbuf){.arena = arena, .capacity = FIRST_CAPACITY};
    buf->text = arena_alloc(arena, FIRST_CAPACITY);
}

/* Room for more bytes and the zero behind them. */
static void reserve(struct strbuf *buf, size_t more) {
    size_t wanted = buf->length + more + 1;
    if (wanted <= buf->capacity)
        return;
    size_t capacity = 2 * buf->capacity > wanted ? 2 * buf->capacity : wanted;
    buf->text = arena_grow(buf->arena, buf->text, buf->capacity, capacity);
    buf->capacity = capacity;
}

void strbuf_write(struct strbuf *buf, const char *bytes, size_t length) {
    reserve(buf, length);
    if (length)
        memcpy(buf->text + buf->length, bytes, length);
    buf->length += length;
    buf->text[buf->length] = 0;
}

void strbuf_putc(struct strbuf *buf, char c) {
    strbuf_write(buf, &c, 1);
}

void strbuf_puts(struct strbuf *buf, const char *text) {
    strbuf_write(buf, text, strlen(text));
}

void strbuf_printf(struct strbuf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return;
    reserve(buf, (size_t)length);
    va_start(args, format);
    vsnprintf(buf->text + buf->length, (size_t)length + 1, format, args);
    va_end(args);
    buf->length += (size_t)length;
}

void strbuf_escaped(struct strbuf *buf, const char *text) {
    for (; *text; text++) {
        const char *entity = *text == '<'   ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '&' ? "&amp;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        if (entity)
            strbuf_puts(buf, entity);
        else
            strbuf_putc(buf, *text);
    }
}

static bool reads_back(const char *text, double value, bool is_float) {
    return is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

/* Writes 1.5e-07 as 1.5e-7 and 1e+20 as 1e20. */
static void put_exponent_form(struct strbuf *buf, const char *text) {
    const char *e = strchr(text, 'e');
    strbuf_write(buf, text, (size_t)(e - text));
    strbuf_printf(buf, "e%d", atoi(e + 1));
}

/* As few digits as read back to the same number: 17 do for every double, 9 for every float. Plain notation
 * where it stays short, as people write numbers. */
static void put_number(struct strbuf *buf, double value, bool is_float) {
    if (isnan(value) || isinf(value)) {
        strbuf_puts(buf, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    char text[40];
    int digits = 0;
    do
        snprintf(text, sizeof text, "%.*e", digits++, value);
    while (!reads_back(text, value, is_float) && digits < 17);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (exponent < -5 || exponent > 15) {
        put_exponent_form(buf, text);
        return;
    }
    int decimals = digits - 1 - exponent;
    strbuf_printf(buf, "%.*f", decimals > 0 ? decimals : 0, value);
}

void strbuf_double(struct strbuf *buf, double value) {
    put_number(buf, value, false);
}

void strbuf_float(struct strbuf *buf, float value) {
    put_number(buf, value, true);
}
