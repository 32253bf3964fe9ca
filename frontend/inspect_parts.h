/* frontend/inspect_parts.h: what the files inspect*.c share. */
#ifndef FRONTEND_INSPECT_PARTS_H
#define FRONTEND_INSPECT_PARTS_H

#include "frontend/inspect.h"
#include "frontend/names.h"
#include "frontend/token.h"

struct inspection {
    struct arena *arena;
    const struct source *source;
    struct inspection_options options;
    struct types *types;
    struct interner *interner;
    struct diags *diags;
    struct frontend *frontend;
    struct facts *facts;
    struct model_file *file; /* of the text */
    struct names *names;
    struct tokens tokens; /* as they stand, with line ends */
    struct comments comments;
    VEC(const struct graph *) graphs;
    struct outline *outline; /* made when it is first asked for */
};

/* ---- inspect.c ---- */
/* A line of the REPL within `here`, whose scope holds what the REPL knows; nothing of it is elaborated. */
struct inspection *inspection_of_line(struct frontend *fe, struct arena *arena, const char *line,
                                      struct model_file *here);

/* ---- inspect_reach.c ---- */
/* Has functions and modules elaborated that no model reaches, for their facts. */
void inspect_unreached(struct inspection *in);

/* ---- inspect_text.c: declarations and values in words ---- */
/* "fn encode(x: f32[B, 784]) -> f32[B, 20]", "module Linear(out: int)", "let mu = nn.Linear(latent)": without
 * its body. */
const char *text_of_item(struct arena *arena, const struct item *item);
uint32_t module_body_begin(const struct item *item); /* behind its brace */
/* "Linear(out: int, bias: bool = true)": an item's name and formals. */
void write_call_form(struct strbuf *out, const struct item *item);
const char *text_of_span(struct arena *arena, struct span span, size_t most); /* in one line */
/* A value as an editor shows it: a tensor by its type, a number by itself, an instance by its module. */
void write_value(struct strbuf *out, struct types *types, struct datum d);
bool value_has_tensor(struct datum d);
/* "f32[B,64,H,W] or f32[B,128,H,W]" */
void write_fact(struct strbuf *out, struct types *types, const struct fact *fact);
/* "sum(x, axis?, keep?)" */
void write_builtin_form(struct strbuf *out, const struct builtin *builtin);
const char *builtin_doc(const char *name); /* of a builtin, ambient or number; NULL: none */
const char *word_doc(const char *word);    /* of a reserved word, hard or soft */

/* ---- inspect_complete.c ---- */
/* The value of a dotted name (x, q.mean, nn.Linear) at a byte, as far as it is known. false: it is not. */
bool value_of_path(struct inspection *in, uint32_t offset, const char *path, struct datum *out);

#endif
