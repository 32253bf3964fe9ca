/* runtime/error.h: how functions of runtime/ report. A message is for the user: it begins with the file's
 * name and says what was expected and what was found. */
#ifndef WEFT_ERROR_H
#define WEFT_ERROR_H

#include "runtime/weft.h"

#include <stdbool.h>

/* Fills the message (cut off where it is too long) and returns false. A NULL error is fine. */
bool weft_fail(struct weft_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
