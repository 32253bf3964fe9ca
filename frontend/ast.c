/* frontend/ast.c: the nodes of the tree, as the rules of grammar.y make them. */
#include "frontend/ast.h"

#include "frontend/parser.h"

static const char *const binary_texts[] = {
    [BINARY_OR] = "or",    [BINARY_AND] = "and",       [BINARY_EQ] = "==",    [BINARY_NE] = "!=",
    [BINARY_LT] = "<",     [BINARY_LE] = "<=",         [BINARY_GT] = ">",     [BINARY_GE] = ">=",
    [BINARY_IN] = "in",    [BINARY_NOT_IN] = "not in", [BINARY_RANGE] = "..", [BINARY_ADD] = "+",
    [BINARY_SUB] = "-",    [BINARY_MUL] = "*",         [BINARY_DIV] = "/",    [BINARY_MOD] = "%",
    [BINARY_MATMUL] = "@", [BINARY_POW] = "^",
};

const char *binary_op_text(enum binary_op op) {
    return binary_texts[op];
}

struct ident ident_of(const struct token *token) {
    return token ? (struct ident){token->text, token->span} : (struct ident){0};
}

/* ---- expressions ---- */

struct expr *expr_new(struct parser *parser, enum expr_kind kind, struct span span) {
    struct expr *e = ARENA_NEW(parser->arena, struct expr);
    e->kind = kind;
    e->span = span;
    e->depth = 1;
    return e;
}

static void include_depth(struct parser *parser, struct expr *e, const struct expr *child) {
    if (!child || child->depth < e->depth)
        return;
    e->depth = child->depth + 1;
    if (e->depth > EXPRESSION_DEPTH_MAX)
        parser_give_up(parser, e->span);
}

static struct expr *expr_over(struct parser *parser, enum expr_kind kind, struct span span, struct expr *a,
                              struct expr *b, struct expr *c) {
    struct expr *e = expr_new(parser, kind, span);
    e->a = a;
    e->b = b;
    e->c = c;
    include_depth(parser, e, a);
    include_depth(parser, e, b);
    include_depth(parser, e, c);
    return e;
}

static void include_args(struct parser *parser, struct expr *e, struct arg *args) {
    e->args = args;
    for (const struct arg *arg = args; arg; arg = arg->next)
        include_depth(parser, e, arg->value);
}

struct expr *expr_word(struct parser *parser, enum expr_kind kind, const struct token *token) {
    struct expr *e = expr_new(parser, kind, token->span);
    e->name = ident_of(token);
    return e;
}

struct expr *expr_number(struct parser *parser, const struct token *token) {
    struct expr *e = expr_new(parser, EXPR_NUMBER, token->span);
    e->number = token->number;
    e->integer = token->integer;
    e->is_int = token->is_int;
    return e;
}

struct expr *expr_unary(struct parser *parser, enum unary_op op, struct span op_span, struct expr *a) {
    struct expr *e = expr_over(parser, EXPR_UNARY, span_join(op_span, a->span), a, NULL, NULL);
    e->op = op;
    e->op_span = op_span;
    return e;
}

struct expr *expr_binary(struct parser *parser, enum binary_op op, struct expr *a, struct span op_span,
                         struct expr *b) {
    struct expr *e = expr_over(parser, EXPR_BINARY, span_join(a->span, b->span), a, b, NULL);
    e->op = (int)op;
    e->op_span = op_span;
    return e;
}

struct expr *expr_pipe(struct parser *parser, struct expr *a, struct span op_span, struct expr *b) {
    struct expr *e = expr_over(parser, EXPR_PIPE, span_join(a->span, b->span), a, b, NULL);
    e->op_span = op_span;
    return e;
}

struct expr *expr_choice(struct parser *parser, enum expr_kind kind, struct span span, struct expr *a,
                         struct expr *b, struct expr *c) {
    return expr_over(parser, kind, span, a, b, c);
}

struct expr *expr_lambda(struct parser *parser, struct span span, struct name_list params,
                         struct expr *body) {
    struct expr *e = expr_over(parser, EXPR_LAMBDA, span, body, NULL, NULL);
    e->params = params.first;
    return e;
}

struct expr *expr_field(struct parser *parser, struct expr *a, const struct token *name) {
    struct expr *e = expr_over(parser, EXPR_FIELD, span_join(a->span, name->span), a, NULL, NULL);
    e->name = ident_of(name);
    e->op_span = name->span;
    return e;
}

struct expr *expr_call(struct parser *parser, struct expr *a, struct arg_list args, struct span end) {
    struct expr *e = expr_over(parser, EXPR_CALL, span_join(a->span, end), a, NULL, NULL);
    include_args(parser, e, args.first);
    return e;
}

struct expr *expr_index(struct parser *parser, struct expr *a, struct sub_list subs, struct span end) {
    struct expr *e = expr_over(parser, EXPR_INDEX, span_join(a->span, end), a, NULL, NULL);
    e->subs = subs.first;
    for (const struct sub *sub = subs.first; sub; sub = sub->next) {
        include_depth(parser, e, sub->a);
        include_depth(parser, e, sub->b);
        include_depth(parser, e, sub->step);
    }
    return e;
}

struct expr *expr_elements(struct parser *parser, enum expr_kind kind, struct span span,
                           struct arg_list elements) {
    struct expr *e = expr_new(parser, kind, span);
    e->parenthesised = kind == EXPR_TUPLE;
    include_args(parser, e, elements.first);
    return e;
}

struct expr *expr_bare(struct parser *parser, struct span span, struct arg_list elements) {
    if (elements.first == elements.last)
        return elements.first->value;
    struct expr *e = expr_elements(parser, EXPR_TUPLE, span, elements);
    e->parenthesised = false;
    return e;
}

struct expr *expr_comprehension(struct parser *parser, struct span span, struct expr *element,
                                struct pattern *pattern, struct expr *list, struct expr *condition) {
    struct expr *e = expr_over(parser, EXPR_COMPREHENSION, span, element, list, condition);
    e->pattern = pattern;
    return e;
}

struct expr *expr_loop(struct parser *parser, struct stmt *loop) {
    struct expr *e = expr_new(parser, EXPR_LOOP, loop->span);
    e->loop = loop;
    return e;
}

/* ---- parts of expressions, patterns, types ---- */

struct arg *arg_new(struct parser *parser, const struct token *name, struct expr *value, struct span span) {
    struct arg *arg = ARENA_NEW(parser->arena, struct arg);
    *arg = (struct arg){.name = ident_of(name), .value = value, .span = span};
    return arg;
}

struct sub *sub_new(struct parser *parser, enum sub_kind kind, struct span span, struct expr *a,
                    struct expr *b, struct expr *step) {
    struct sub *sub = ARENA_NEW(parser->arena, struct sub);
    *sub = (struct sub){.kind = kind, .a = a, .b = b, .step = step, .span = span};
    return sub;
}

struct param_name *param_name_new(struct parser *parser, const struct token *name) {
    struct param_name *param = ARENA_NEW(parser->arena, struct param_name);
    param->name = ident_of(name);
    return param;
}

struct pattern *pattern_name(struct parser *parser, const struct token *name) {
    struct pattern *pattern = ARENA_NEW(parser->arena, struct pattern);
    pattern->name = ident_of(name);
    pattern->span = name->span;
    return pattern;
}

struct pattern *pattern_tuple(struct parser *parser, struct span span, struct pattern_list parts) {
    struct pattern *pattern = ARENA_NEW(parser->arena, struct pattern);
    pattern->parts = parts.first;
    pattern->span = span;
    return pattern;
}

struct type_expr *type_new(struct parser *parser, enum type_kind kind, struct span span) {
    struct type_expr *type = ARENA_NEW(parser->arena, struct type_expr);
    type->kind = kind;
    type->span = span;
    return type;
}

struct type_expr *type_word(struct parser *parser, enum type_kind kind, const struct token *word) {
    struct type_expr *type = type_new(parser, kind, word->span);
    type->name = ident_of(word);
    return type;
}

struct type_expr *type_tensor(struct parser *parser, const struct token *dtype, struct dim_list dims,
                              struct span span) {
    struct type_expr *type = type_word(parser, TYPE_TENSOR, dtype);
    type->dims = dims.first;
    type->span = span;
    return type;
}

struct dim_expr *dim_new(struct parser *parser, struct expr *expr, const struct token *rest,
                         struct span span) {
    struct dim_expr *dim = ARENA_NEW(parser->arena, struct dim_expr);
    *dim = (struct dim_expr){.expr = expr, .rest = ident_of(rest), .span = span};
    return dim;
}

struct formal *formal_new(struct parser *parser, const struct token *name, struct type_expr *type,
                          struct expr *init, struct span span) {
    struct formal *formal = ARENA_NEW(parser->arena, struct formal);
    *formal = (struct formal){.name = ident_of(name), .type = type, .init = init, .span = span};
    return formal;
}

/* ---- statements and items ---- */

struct stmt *stmt_new(struct parser *parser, enum stmt_kind kind, struct span span) {
    struct stmt *stmt = ARENA_NEW(parser->arena, struct stmt);
    stmt->kind = kind;
    stmt->span = span;
    stmt->doc = doc_above(parser, span.begin);
    return stmt;
}

struct stmt *stmt_turns(struct parser *parser, enum stmt_kind kind, struct span span, struct pattern *pattern,
                        struct expr *value, struct expr *condition, struct block_ast body) {
    struct stmt *stmt = stmt_new(parser, kind, span);
    stmt->pattern = pattern;
    stmt->value = value;
    stmt->cond = condition;
    stmt->body = body;
    return stmt;
}

struct block_ast block_of(struct stmt *only) {
    return (struct block_ast){only, only->span};
}

struct item *item_new(struct parser *parser, enum item_kind kind, const struct token *name,
                      struct span span) {
    struct item *item = ARENA_NEW(parser->arena, struct item);
    item->kind = kind;
    item->span = span;
    item->name = ident_of(name);
    item->doc = doc_above(parser, span.begin);
    return item;
}

struct item *item_member(struct parser *parser, enum item_kind kind, const struct token *name,
                         struct span span, struct type_expr *type, struct expr *value,
                         struct path_clause path) {
    struct item *item = item_new(parser, kind, name, span);
    item->type = type;
    item->value = value;
    item->weight_path = path.text;
    item->path_span = path.span;
    return item;
}

struct item *item_stmt(struct parser *parser, struct stmt *stmt) {
    struct item *item = ARENA_NEW(parser->arena, struct item);
    *item = (struct item){.kind = ITEM_STMT, .span = stmt->span, .doc = stmt->doc, .stmt = stmt};
    return item;
}
