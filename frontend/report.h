/* frontend/report.h: what the parser says where the grammar fails, and where it goes on. Internal to
 * frontend/. */
#ifndef FRONTEND_REPORT_H
#define FRONTEND_REPORT_H

#include "frontend/parser.h"

/* Reports that parser->tokens.at[parser->found] is none of the `count` expected kinds. */
void report_syntax_error(struct parser *parser, const int *expected, int count);
/* Moves the parser to the end of what is broken: the next NL or closing bracket at the level of the token
 * found. */
void parser_resynchronise(struct parser *parser);

#endif
