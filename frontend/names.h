/* frontend/names.h: what the names of a text mean, found by reading it: no model need be complete, no size
 * known. Each place where a name stands is an *occurrence* of a *symbol*: a declaration of the text, of a
 * used file, or a builtin. The rules of scope are those of docs/language.md; where only an elaboration can
 * tell (the members of a value), the facts of one are asked. For editors (inspect.h). */
#ifndef FRONTEND_NAMES_H
#define FRONTEND_NAMES_H

#include "frontend/elab.h"
#include "frontend/facts.h"

enum symbol_kind {
    SYMBOL_MODULE, /* module, model, optimizer: item */
    SYMBOL_FN,     /* fn, train: item */
    SYMBOL_LET,
    SYMBOL_PARAM,
    SYMBOL_BUFFER,
    SYMBOL_CONST,
    SYMBOL_FORMAL,   /* a parameter: formal */
    SYMBOL_DIM,      /* a dimension variable */
    SYMBOL_VARIABLE, /* assigned, or bound by a pattern */
    SYMBOL_FILE,     /* a used file: file */
    SYMBOL_BUILTIN,  /* builtin, or an ambient */
    SYMBOL_FIELD,    /* of a tuple, of a report, of with: a word that names no declaration */
    SYMBOL_KINDS
};

struct symbol {
    enum symbol_kind kind;
    const char *name;
    struct span span; /* of its name where it is declared; unknown: a builtin */
    const struct item *item;
    const struct formal *formal;
    const struct expr *value;   /* of a let, const or first assignment */
    const struct item *made_of; /* the module that it is an instance of, where the text tells */
    const struct builtin *builtin;
    const struct model_file *file;
    const struct item *owner; /* the module or fn that it stands in; NULL: the file */
};

struct occurrence {
    struct span span;
    const struct symbol *symbol;
    const struct expr *expr; /* a NAME or FIELD; NULL: a declaration or an argument's name */
    bool declares, assigns;
};

/* A part of the text and the symbols that are declared in it. */
struct name_scope {
    const struct name_scope *outer;
    struct span span;
    bool in_order; /* a function's: a name is there behind its declaration; else all over the scope */
    VEC(const struct symbol *) symbols;
};

struct names {
    struct arena *arena;
    const struct file_ast *ast;
    const struct model_file *file;
    VEC(struct occurrence) occurrences; /* in the order of the text */
    VEC(struct name_scope *) scopes;    /* outer before inner */
};

/* facts: of an elaboration of the text, or NULL. */
struct names *names_read(struct frontend *fe, struct arena *arena, const struct model_file *file,
                         const struct facts *facts);
/* The occurrence at a byte, or ending there; NULL: none. */
const struct occurrence *names_at(const struct names *names, uint32_t offset);
/* The innermost scope around a byte. */
const struct name_scope *names_scope_at(const struct names *names, uint32_t offset);
/* What a name means at a byte: NULL: nothing. */
const struct symbol *names_find(const struct names *names, uint32_t offset, const char *name);
/* A symbol for what stands in a scope of the elaborator: a definition of another file, a builtin. */
const struct symbol *symbol_of_binding(struct arena *arena, const struct binding *binding);
/* The declaration of a parameter, in the order of a call: of a module, of a fn, of the `fn call` of an
 * instance. NULL: the callee has no such declarations (a builtin). *item is what declares them. */
const struct formal *formals_of_datum(struct interner *names, struct datum callee, const struct item **item);

#endif
