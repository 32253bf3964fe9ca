/* frontend/ast_print.h: a tree as S-expressions: a line for each item and statement, members and bodies
 * indented. Two texts with the same print mean the same; places and comments are not in it. For tests and
 * `weft fmt`'s own check. */
#ifndef FRONTEND_AST_PRINT_H
#define FRONTEND_AST_PRINT_H

#include "base/strbuf.h"
#include "frontend/ast.h"

void ast_print(const struct file_ast *file, struct strbuf *out);
void ast_print_expr(const struct expr *expr, struct strbuf *out);

#endif
