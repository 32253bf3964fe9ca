/* frontend/token.h: a model text as an array of tokens, and the three steps that make it ready for the
 * grammar:
 *
 *     lexer.l     characters to tokens; line ends are tokens, comments go to a side table
 *     brackets.c  every bracket gets its partner: a missing one is reported, once, and put in
 *     newline.c   line ends that separate statements stay, all others go (docs/language.md, "Lines")
 *
 * An array, and no stream, because each step looks ahead or back, and because the parser leaps from an error
 * to the next place where it can go on. Internal to frontend/. */
#ifndef FRONTEND_TOKEN_H
#define FRONTEND_TOKEN_H

#include "base/diag.h"
#include "base/intern.h"
#include "base/source.h"
#include "base/vec.h"

/* A token's kind is the grammar's number for it (grammar.tab.h); these two never reach the grammar. */
enum { TOKEN_LINE_END = -1, TOKEN_SEMICOLON = -2 };

struct token {
    int kind;
    int match; /* of a bracket: the index of its partner, in the array that newline.c returns */
    struct span span;
    const char *text; /* of a word: interned */
    double number;    /* NUM; exact as `integer` with is_int */
    int64_t integer;
    bool is_int;
    bool inserted; /* a bracket that the text lacks */
};
struct tokens {
    struct token *at; /* the last one ends the file: kind 0, an empty span at the end */
    int count, capacity;
};

struct comment {
    struct span span; /* without the line end */
    bool is_doc;      /* three slashes and no fourth */
    bool owns_line;   /* nothing but blanks before it on its line */
};
struct comments {
    struct comment *at;
    int count, capacity;
};

/* Reads bytes [begin, end) of the source. What is no token is reported and left out, or read as what was
 * meant. */
struct tokens tokens_read(struct arena *arena, struct interner *names, const struct source *source,
                          uint32_t begin, uint32_t end, struct comments *comments, struct diags *diags);
struct tokens brackets_balance(struct arena *arena, const struct tokens *raw, struct diags *diags);
struct tokens newlines_filter(struct arena *arena, const struct tokens *balanced);

/* newline.c: whether a statement may end after, or go on with, a token of this kind. */
bool token_ends_statement(int kind);
bool token_continues_statement(int kind);
/* Whether tokens->at[at] begins a member (let, fn NAME ...) or a statement whose word no expression contains.
 */
bool token_begins_member(const struct tokens *tokens, int at);
bool token_begins_statement(const struct tokens *tokens, int at);
bool token_begins_assignment(const struct tokens *tokens, int at); /* NAME = */
bool token_opens(int kind);                                        /* ( [ { */
bool token_closes(int kind);                                       /* ) ] } */
int token_partner(int kind);                                       /* ')' for '(' and so on, both ways */

/* The keyword or dtype that `text` is, or 0 for a name. */
int word_token(const char *text);
/* The words themselves, for completion and "did you mean": NULL ends them. */
extern const char *const language_words[];

/* slips.c: what somebody who knows another language meant, for tokens->at[found] where the grammar fails; or
 * NULL. */
const char *slip_hint(const struct tokens *tokens, int found);

#endif
