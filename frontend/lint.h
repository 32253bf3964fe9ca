/* frontend/lint.h: a look at a file's text before it runs. */
#ifndef FRONTEND_LINT_H
#define FRONTEND_LINT_H

#include "frontend/ast.h"

struct frontend;

/* Reports names that are declared twice and types that do not exist; with `warns`, things that are never used
 * and functions that hide a builtin one. */
void lint_file(struct frontend *fe, const struct file_ast *file, bool warns);

#endif
