/* frontend/inspect.h: a text and all that is known of its places, for whoever writes it: the language server,
 * the REPL.
 *
 * An *inspection* is one state of one text. It is read as `weft check` reads it, with the models elaborated
 * as far as mistakes allow, and then answers questions about places (bytes) of the text. Nothing is changed
 * by a question. It lives in the arena that it was made in; a text that changes is inspected anew. The
 * elaborator does not know of this file: it fills facts.h, names.h reads the tree. */
#ifndef FRONTEND_INSPECT_H
#define FRONTEND_INSPECT_H

#include "frontend/frontend.h"

struct inspection;

struct inspection_options {
    struct file_resolver resolver; /* of used files; read NULL: the disk */
    const char *library;           /* --lib, or NULL */
    int64_t evaluation_limit;      /* for an entry; 0: the front end's own */
};
/* Never NULL. The text's mistakes are in inspection_diags. */
struct inspection *inspection_create(struct arena *arena, const struct source *source,
                                     const struct inspection_options *options);
const struct diags *inspection_diags(const struct inspection *in);
const struct source *inspection_source(const struct inspection *in);
/* Whether it is a file of the library, by its name: nn/layers.weft. */
bool inspection_is_library(const struct inspection *in);
/* The graphs of the models that were elaborated without a mistake. */
int inspection_graph_count(const struct inspection *in);
const struct graph *inspection_graph(const struct inspection *in, int index);
/* The `use` of this text by which it came to another one, whose source is given; unknown: by none. */
struct span inspection_use_of(const struct inspection *in, const struct source *source);
/* The files that were read, by the paths that they were asked for; the text itself is one of them. */
int inspection_file_count(const struct inspection *in);
const char *inspection_file(const struct inspection *in, int index);

/* "sum(x, axis?, keep?)" and its sentence; false: it is no builtin, ambient, number or reserved word. */
bool builtin_print_help(const char *name, struct strbuf *out);

/* ---- what stands at a place ---- */

/* What is to be shown of the name or expression at `offset`, as Markdown; *span is what it is about. false:
 * nothing. */
bool inspection_hover(struct inspection *in, uint32_t offset, struct strbuf *out, struct span *span);
/* Where the name at `offset` is declared: in this text, or in the source of another file. false: nowhere. */
bool inspection_definition(struct inspection *in, uint32_t offset, struct span *out);

struct name_place {
    struct span span;
    bool declares, assigns;
};
/* Every place of this text where what `offset` names stands, in order; 0: it names nothing. */
int inspection_references(struct inspection *in, uint32_t offset, struct name_place **out);
/* What a name means, to be found again from other texts: where it is declared. */
struct declaration {
    const char *path, *name;
    uint32_t begin;
    bool is_seen_outside; /* other texts may name it: no variable of a function, no dimension */
};
/* false: nothing that a text declares stands at `offset`. */
bool inspection_declaration(struct inspection *in, uint32_t offset, struct declaration *out);
/* Every place of this text that means it, in order. */
int inspection_places_of(struct inspection *in, const struct declaration *declaration,
                         struct name_place **out);
/* What a recipe calls the declaration at `begin` of this text. false: it has no name for it. */
enum recipe_role {
    RECIPE_NOTHING,
    RECIPE_MODEL,
    RECIPE_SETTING,  /* a hyper-parameter: set: {NAME: 3} */
    RECIPE_ENTRY,    /* fn: NAME, train: NAME */
    RECIPE_ARGUMENT, /* in: {NAME: 64} */
    RECIPE_MEMBER    /* into: NAME.conv */
};
struct recipe_name {
    enum recipe_role role;
    const char *model, *entry; /* the model it belongs to; of an ARGUMENT, its fn or train */
    bool is_only_model;        /* of the text: a recipe may leave its name out */
};
bool inspection_recipe_name(struct inspection *in, uint32_t begin, struct recipe_name *out);

/* Whether it can be renamed: what is no library's. *why in words where it cannot. */
bool inspection_can_rename(struct inspection *in, uint32_t offset, struct span *span, const char **why);
bool inspection_is_name(const char *text); /* not reserved */

/* ---- completion ---- */

enum candidate_kind {
    CANDIDATE_MODULE,
    CANDIDATE_FUNCTION,
    CANDIDATE_MEMBER,
    CANDIDATE_VARIABLE,
    CANDIDATE_CONSTANT,
    CANDIDATE_FILE,
    CANDIDATE_WORD,
    CANDIDATE_TYPE,
    CANDIDATE_ARGUMENT,
    CANDIDATE_KINDS
};
struct candidate {
    const char *text; /* what is inserted: "Linear", "pad: " */
    enum candidate_kind kind;
    const char *detail; /* its declaration or type in a line, or NULL */
    const char *doc;    /* or NULL */
    int rank;           /* the lower, the nearer to what is wanted */
};
/* What may stand at `offset`, where a word may have been begun already: *begin is where that word begins. */
int inspection_complete(struct inspection *in, uint32_t offset, uint32_t *begin, struct candidate **out);

struct byte_range {
    int begin, end;
};
/* The call around a place. */
struct signature_help {
    const char *label; /* "Linear(out: int, bias: bool = true)" */
    const char *doc;
    struct byte_range *parameters; /* of label */
    int parameter_count, active;   /* active: -1: none of them */
};
bool inspection_signature(struct inspection *in, uint32_t offset, struct signature_help *out);

/* ---- anonymous instances (N5) ---- */

/* An instance that a method makes where it calls it, and the member that it could be: its weights have that
 * name. */
struct let_offer {
    struct span call; /* becomes `name` */
    const char *name;
    uint32_t at; /* where `text`, the let, goes */
    const char *text;
    uint32_t module_begin;
};
int inspection_lets(struct inspection *in, struct let_offer **out);
/* The text with all of them taken. */
const char *inspection_with_lets(struct inspection *in);

/* ---- the whole text ---- */

enum outline_kind { OUTLINE_MODEL, OUTLINE_FUNCTION, OUTLINE_MEMBER, OUTLINE_WEIGHT, OUTLINE_CONSTANT };
struct outline {
    const char *name, *detail;
    enum outline_kind kind;
    struct span span, name_span;
    struct outline *children; /* linked through next */
    struct outline *next;
};
const struct outline *inspection_outline(struct inspection *in);

/* Names with what they are: an index into names_kinds_text. */
extern const char *const word_kinds[]; /* as the language server protocol calls token types; NULL ends them */
struct word {
    struct span span;
    int kind;
    bool declares, is_library, is_constant;
};
int inspection_words(struct inspection *in, struct word **out);

/* Types to be shown behind names and at the ends of lines: bytes and texts. */
struct hint {
    uint32_t offset;
    const char *text;
};
int inspection_hints(struct inspection *in, uint32_t begin, uint32_t end, struct hint **out);

#endif
