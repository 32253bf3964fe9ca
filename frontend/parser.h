/* frontend/parser.h: what the rules of grammar.y are written with. Internal to frontend/. */
#ifndef FRONTEND_PARSER_H
#define FRONTEND_PARSER_H

#include "frontend/ast.h"
#include "frontend/token.h"

/* The deepest tree of an expression, and how deep bison's stack may grow: so that whoever walks a tree may
 * recurse. */
enum { EXPRESSION_DEPTH_MAX = 1000, PARSER_STACK_MAX = 4000 };

/* One run of the grammar over an array of tokens: a file, or the {expression} of a string. */
struct parser {
    struct arena *arena;
    struct interner *names;
    const struct source *source;
    struct diags *diags;
    struct tokens tokens;
    const struct comments *comments;
    int at;    /* of the token that the grammar reads next; -1: the start mark */
    int start; /* START_FILE or START_EXPRESSION */
    int found; /* the token that was read last */
    bool has_given_up;
    struct item *items; /* the results */
    struct expr *expr;
};

/* Lists as the rules build them. `node` is evaluated once. */
#define LIST_OF(name, type)                                                                                  \
    struct name {                                                                                            \
        struct type *first, *last;                                                                           \
    }
LIST_OF(item_list, item);
LIST_OF(stmt_list, stmt);
LIST_OF(formal_list, formal);
LIST_OF(arg_list, arg);
LIST_OF(sub_list, sub);
LIST_OF(dim_list, dim_expr);
LIST_OF(type_list, type_expr);
LIST_OF(pattern_list, pattern);
LIST_OF(name_list, param_name);
#define LIST_APPEND(list, node)                                                                              \
    do {                                                                                                     \
        if ((list).last)                                                                                     \
            (list).last = (list).last->next = (node);                                                        \
        else                                                                                                 \
            (list).first = (list).last = (node);                                                             \
    } while (0)

/* The optional end of a member: as "weight.path". */
struct path_clause {
    const char *text; /* NULL: there is none */
    struct span span;
};

/* ---- ast.c: nodes ---- */
struct ident ident_of(const struct token *token);
struct expr *expr_new(struct parser *parser, enum expr_kind kind, struct span span);
struct expr *expr_word(struct parser *parser, enum expr_kind kind, const struct token *token);
struct expr *expr_number(struct parser *parser, const struct token *token);
struct expr *expr_unary(struct parser *parser, enum unary_op op, struct span op_span, struct expr *a);
struct expr *expr_binary(struct parser *parser, enum binary_op op, struct expr *a, struct span op_span,
                         struct expr *b);
struct expr *expr_pipe(struct parser *parser, struct expr *a, struct span op_span, struct expr *b);
struct expr *expr_choice(struct parser *parser, enum expr_kind kind, struct span span, struct expr *a,
                         struct expr *b, struct expr *c);
struct expr *expr_lambda(struct parser *parser, struct span span, struct name_list params, struct expr *body);
struct expr *expr_field(struct parser *parser, struct expr *a, const struct token *name);
struct expr *expr_call(struct parser *parser, struct expr *a, struct arg_list args, struct span end);
struct expr *expr_index(struct parser *parser, struct expr *a, struct sub_list subs, struct span end);
struct expr *expr_elements(struct parser *parser, enum expr_kind kind, struct span span,
                           struct arg_list elements);
/* a, b after return, yield, = and over: one expression is itself, several are a tuple. */
struct expr *expr_bare(struct parser *parser, struct span span, struct arg_list elements);
struct expr *expr_comprehension(struct parser *parser, struct span span, struct expr *element,
                                struct pattern *pattern, struct expr *list, struct expr *condition);
struct expr *expr_loop(struct parser *parser, struct stmt *loop);

struct arg *arg_new(struct parser *parser, const struct token *name, struct expr *value, struct span span);
struct sub *sub_new(struct parser *parser, enum sub_kind kind, struct span span, struct expr *a,
                    struct expr *b, struct expr *step);
struct param_name *param_name_new(struct parser *parser, const struct token *name);
struct pattern *pattern_name(struct parser *parser, const struct token *name);
struct pattern *pattern_tuple(struct parser *parser, struct span span, struct pattern_list parts);

struct type_expr *type_new(struct parser *parser, enum type_kind kind, struct span span);
struct type_expr *type_word(struct parser *parser, enum type_kind kind, const struct token *word);
struct type_expr *type_tensor(struct parser *parser, const struct token *dtype, struct dim_list dims,
                              struct span span);
struct dim_expr *dim_new(struct parser *parser, struct expr *expr, const struct token *rest,
                         struct span span);
struct formal *formal_new(struct parser *parser, const struct token *name, struct type_expr *type,
                          struct expr *init, struct span span);

struct stmt *stmt_new(struct parser *parser, enum stmt_kind kind, struct span span);
/* for and loop: pattern in value (while cond) body. */
struct stmt *stmt_turns(struct parser *parser, enum stmt_kind kind, struct span span, struct pattern *pattern,
                        struct expr *value, struct expr *condition, struct block_ast body);
struct block_ast block_of(struct stmt *only); /* else if */

struct item *item_new(struct parser *parser, enum item_kind kind, const struct token *name, struct span span);
struct item *item_member(struct parser *parser, enum item_kind kind, const struct token *name,
                         struct span span, struct type_expr *type, struct expr *value,
                         struct path_clause path);
struct item *item_stmt(struct parser *parser, struct stmt *stmt);

/* ---- comments.c ---- */
/* The doc comment that ends on the line above `begin`, or NULL. */
const char *doc_above(struct parser *parser, uint32_t begin);
/* The doc comment that begins the file and belongs to no declaration, or NULL. */
const char *doc_of_file(struct parser *parser);

/* ---- strings.c ---- */
struct expr *expr_string(struct parser *parser, const struct token *token);
/* The text of a string that may not interpolate: a path. */
const char *plain_string(struct parser *parser, const struct token *token);

/* ---- parse.c ---- */
/* Parses bytes [begin, end) as one expression; NULL: reported. */
struct expr *parse_expression(struct parser *outer, uint32_t begin, uint32_t end);
/* The tree has become too deep to be walked: reports it, once. The rules then stop the parser. */
void parser_give_up(struct parser *parser, struct span span);

#endif
