/* frontend/visit.h: a walk over every expression of a tree, outer before inner, in the order of the text. */
#ifndef FRONTEND_VISIT_H
#define FRONTEND_VISIT_H

#include "frontend/ast.h"

typedef void expr_visitor(void *data, const struct expr *x);
void visit_expr(const struct expr *x, expr_visitor *visit, void *data);
void visit_item(const struct item *item, expr_visitor *visit, void *data); /* without those behind it */
void visit_file(const struct file_ast *file, expr_visitor *visit, void *data);
/* The smallest expression around a byte; NULL: none. */
const struct expr *expr_at(const struct file_ast *file, uint32_t offset);

#endif
