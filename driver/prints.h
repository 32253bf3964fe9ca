/* driver/prints.h: what a model's `print` shows while it runs (S25). */
#ifndef DRIVER_PRINTS_H
#define DRIVER_PRINTS_H

#include "driver/session.h"

/* The print hook of a weft_exec, whose print_context is the session: a line on stderr, of JSON where the
 * session prints that, so that results on stdout stay alone. */
void prints_show(void *context, const weft_arg_info *what, const void *data);
/* The first `print` of a function, regions included; NULL: none. */
const struct op *prints_find(const struct block *block);

#endif
