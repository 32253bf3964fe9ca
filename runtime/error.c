#include "runtime/error.h"

#include <stdarg.h>
#include <stdio.h>

bool weft_fail(struct weft_error *error, const char *format, ...) {
    if (!error)
        return false;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return false;
}
