/* driver/textdiff.h: the difference of two texts, line by line. */
#ifndef DRIVER_TEXTDIFF_H
#define DRIVER_TEXTDIFF_H

#include "base/strbuf.h"

/* Writes a unified difference with three lines of context, as `diff -u` has it; nothing where they are equal.
 */
void text_diff(struct strbuf *out, const char *name, const char *before, const char *after);

#endif
