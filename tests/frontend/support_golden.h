/* tests/frontend/support_golden.h: golden tests: a folder of files NAME.test, each an input, a line of dashes
 * with the word "expected", and the text that a function makes of the input. WEFT_GOLDEN=1 rewrites the
 * expected parts. */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

#include "base/source.h"
#include "base/strbuf.h"

typedef void golden_function(struct arena *arena, const char *name, const char *input, size_t length,
                             struct strbuf *out);

/* Runs every file of tests/frontend/FOLDER, in the order of their names; the number of files that differ,
 * each shown on stderr. -1: the folder is empty or cannot be read. */
int golden_run(const char *folder, golden_function *function);
/* The folder $SOURCE_DIR/FOLDER, or NULL when the test does not run under ctest. */
const char *source_folder(struct arena *arena, const char *folder);

#endif
