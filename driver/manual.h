/* driver/manual.h: what the tables of commands and options are made into for others to read: manual pages,
 * and the completion of shells. `weft help --man`, `--man-COMMAND`, `--bash` and `--zsh` print them; the
 * build installs them. */
#ifndef DRIVER_MANUAL_H
#define DRIVER_MANUAL_H

#include <stdbool.h>
#include <stdio.h>

/* false: `what` is none of these words. */
bool manual_write(FILE *out, const char *what);

#endif
