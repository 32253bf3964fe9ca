/* frontend/ast.h: the tree of a model text, as the grammar gives it (docs/language.md; the names of the nodes
 * are those of the grammar). Nodes live in the arena of their source. Every node has a span; lists are linked
 * through `next`. */
#ifndef FRONTEND_AST_H
#define FRONTEND_AST_H

#include "base/diag.h"
#include "base/intern.h"
#include "base/source.h"
#include "ir/type.h"

struct expr;
struct stmt;
struct item;

/* A name with its place. Interned. */
struct ident {
    const char *text;
    struct span span;
};

/* ---- types ---- */
enum type_kind {
    TYPE_NAME,   /* int float bool string list module any num float: `name` */
    TYPE_FN,     /* fn */
    TYPE_TENSOR, /* f32[B, 2*C], float[...N]; DTYPE alone is rank 0 */
    TYPE_LIST,   /* [T] */
    TYPE_TUPLE   /* (mean: T, logvar: T); a field's name may be missing */
};
struct dim_expr {
    struct expr *expr; /* NULL: an ellipsis */
    struct ident rest; /* "...N": text NULL for a bare "..." or an expr */
    struct span span;
    struct dim_expr *next;
};
struct type_expr {
    enum type_kind kind;
    bool optional;           /* T? */
    struct ident name;       /* NAME; TENSOR: the dtype word, f32 or a dtype variable (any num float) */
    struct dim_expr *dims;   /* TENSOR */
    struct type_expr *inner; /* LIST: its element; TUPLE: the first field */
    struct ident field;      /* of a tuple's field: its name or NULL */
    struct span span;
    struct type_expr *next;
};

/* ---- patterns: x, (a, b), ((a, b), c) ---- */
struct pattern {
    struct ident name;     /* text NULL: a tuple */
    struct pattern *parts; /* of a tuple */
    struct span span;
    struct pattern *next;
};

/* ---- expressions ---- */
enum expr_kind {
    EXPR_NAME,   /* name; "_" is the placeholder */
    EXPR_DTYPE,  /* f32 as a value: called, it casts */
    EXPR_NUMBER, /* number, is_int */
    EXPR_STRING, /* text with {expr} interpolation: pieces */
    EXPR_BOOL,   /* is_true */
    EXPR_NONE,
    EXPR_UNARY,  /* op, a: - not */
    EXPR_BINARY, /* op, a, b: see enum binary_op */
    EXPR_PIPE,   /* a |> b */
    EXPR_LAMBDA, /* fn(params) => a */
    EXPR_IF,     /* if a { b } else { c } */
    EXPR_WHEN,   /* when a { b } else { c } */
    EXPR_FIELD,  /* a.name */
    EXPR_CALL,   /* a(args) */
    EXPR_INDEX,  /* a[subs] */
    EXPR_TUPLE, /* (), (a,), (a, b), (mean: a, logvar: b), and a bare list of expressions after return, yield,
                   = */
    EXPR_LIST,  /* [a, b] */
    EXPR_COMPREHENSION, /* [a for pattern in b if c] */
    EXPR_LOOP,          /* a loop as a value: loop */
    EXPR_ERROR          /* could not be parsed; reported */
};
enum binary_op {
    BINARY_OR,
    BINARY_AND,
    BINARY_EQ,
    BINARY_NE,
    BINARY_LT,
    BINARY_LE,
    BINARY_GT,
    BINARY_GE,
    BINARY_IN,
    BINARY_NOT_IN,
    BINARY_RANGE,
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_MOD,
    BINARY_MATMUL,
    BINARY_POW
};
enum unary_op { UNARY_NEG, UNARY_NOT };

/* An argument, a tuple element or a list element; name.text is NULL where it has none. */
struct arg {
    struct ident name;
    struct expr *value;
    struct span span;
    struct arg *next;
};
enum sub_kind { SUB_INDEX, SUB_ELLIPSIS, SUB_SLICE /* a:b:step */, SUB_LENGTH /* a : +n */ };
struct sub {
    enum sub_kind kind;
    struct expr *a, *b, *step; /* INDEX: a; SLICE: each may be NULL; LENGTH: a and b */
    struct span span;
    struct sub *next;
};
/* "a {x} b" is "a ", x, " b": either text or expr. */
struct piece {
    const char *text;
    struct expr *expr;
    struct piece *next;
};
struct param_name {
    struct ident name;
    struct param_name *next;
};

struct expr {
    enum expr_kind kind;
    unsigned depth; /* of the tree below, with itself; the parser bounds it, so that a walk may recurse */
    struct span span;
    struct span op_span; /* of the operator's token in UNARY, BINARY, PIPE, and of the name in FIELD */
    int op;
    struct ident name; /* NAME, DTYPE, FIELD */
    double number;     /* NUMBER */
    int64_t integer;   /* NUMBER with is_int */
    bool is_int, is_true;
    bool parenthesised; /* (a): for the formatter; (a < b) < c */
    struct expr *a, *b, *c;
    struct arg *args;          /* CALL, TUPLE, LIST */
    struct sub *subs;          /* INDEX */
    struct piece *pieces;      /* STRING */
    struct param_name *params; /* LAMBDA */
    struct pattern *pattern;   /* COMPREHENSION */
    struct stmt *loop;         /* LOOP: a STMT_LOOP */
};

/* ---- statements ---- */
enum stmt_kind {
    STMT_ERROR,  /* could not be parsed; reported */
    STMT_CONST,  /* const name: type = value */
    STMT_ASSIGN, /* place op value (place: NAME, FIELD, CALL, INDEX expressions) */
    STMT_CALL,   /* place alone: for its effect */
    STMT_TYPED,  /* name: type = value */
    STMT_UNPACK, /* pattern = value */
    STMT_IF,     /* if cond body else otherwise */
    STMT_WHEN,   /* likewise at run time */
    STMT_FOR,    /* for pattern in value body */
    STMT_LOOP,   /* loop pattern in value while cond body; pattern and value NULL: `loop while` */
    STMT_WITH,   /* with args body */
    STMT_RETURN, /* value may be NULL */
    STMT_YIELD,
    STMT_UPDATE,   /* update place op value */
    STMT_MINIMIZE, /* minimize value over over using optimizer; over may be NULL */
    STMT_REPORT,   /* args: name may be missing */
    STMT_ASSERT    /* assert cond, message; message may be NULL */
};
enum assign_op { ASSIGN_SET, ASSIGN_ADD, ASSIGN_SUB, ASSIGN_MUL, ASSIGN_DIV };

struct block_ast {
    struct stmt *first;
    struct span span; /* with its braces */
};
struct stmt {
    enum stmt_kind kind;
    struct span span;
    enum assign_op op;
    struct ident name;
    struct type_expr *type;
    struct expr *place, *value, *cond, *message, *over, *optimizer;
    struct pattern *pattern;
    struct arg *args;
    struct block_ast body;
    struct block_ast otherwise; /* else; an `else if` is a block of one statement */
    bool has_otherwise;
    const char *doc;
    struct stmt *next;
};

/* ---- items: what stands at the top level and in module bodies ---- */
enum item_kind {
    ITEM_USE,    /* use path as alias; use path: names; use "file" */
    ITEM_MODULE, /* model, module, optimizer */
    ITEM_LET,    /* let name: type = value as weight_path */
    ITEM_PARAM,  /* param name: type = value as weight_path */
    ITEM_BUFFER,
    ITEM_FN, /* fn name formals -> result body; or = value */
    ITEM_TRAIN,
    ITEM_STMT /* an elaboration statement */
};
enum module_kind { MODULE_MODEL, MODULE_MODULE, MODULE_OPTIMIZER };

struct formal {
    struct ident name;
    struct type_expr *type; /* may be NULL */
    struct expr *init;      /* may be NULL */
    struct span span;
    struct formal *next;
};
struct item {
    enum item_kind kind;
    enum module_kind module_kind;
    struct span span;
    struct ident name;      /* USE: the alias, or NULL */
    const char *doc;        /* the /// lines above, joined by '\n', or NULL */
    struct formal *formals; /* MODULE, FN, TRAIN */
    struct type_expr *type; /* LET, PARAM, BUFFER: declared; FN: the result */
    struct expr *value;     /* LET, PARAM, BUFFER, FN with "=" */
    struct block_ast body;  /* FN, TRAIN */
    bool has_body;
    const char *weight_path; /* as "..": NULL where it is not there, "" splices */
    struct span path_span;
    struct item *members; /* MODULE */
    struct stmt *stmt;    /* STMT */
    const char *source;   /* USE: "a.b" or the file of the string */
    bool source_is_file;
    struct span source_span;
    struct param_name *names; /* USE path: names */
    struct item *next;
};

struct file_ast {
    const struct source *source;
    const char
        *doc; /* the /// lines at its head that belong to no declaration: a blank line or a `use` follows */
    struct item *items;
};

/* Parses a text. Never NULL: what could not be parsed is left out, and reported. Statements at the top level
 * are items (the REPL and scripts have them; in a model file the elaborator refuses them). */
struct file_ast *parse_file(struct arena *arena, struct interner *names, const struct source *source,
                            struct diags *diags);
/* The whole text as one expression; NULL: it is none; reported. */
struct expr *parse_text_expression(struct arena *arena, struct interner *names, const struct source *source,
                                   struct diags *diags);
/* Whether the text ends inside an open bracket or after an operator, so that the REPL asks for another line.
 */
bool parse_is_incomplete(struct arena *arena, const struct source *source);

/* Where the first `;` outside of brackets stands, at or behind `from`; the text's length where there is none:
 * the REPL takes what it separates one by one. */
uint32_t parse_find_semicolon(struct arena *arena, const struct source *source, uint32_t from);

const char *binary_op_text(enum binary_op op);

#endif
