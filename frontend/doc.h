/* frontend/doc.h: what there is to read about the library, or about a file: its declarations with their doc
 * comments, found by name, as a page (docs/library.md) or as one entry for a terminal. Everything lives in
 * the arena it was made in. */
#ifndef FRONTEND_DOC_H
#define FRONTEND_DOC_H

#include "base/diag.h"
#include "base/intern.h"
#include "base/strbuf.h"
#include "base/vec.h"

/* A function, module, model or optimizer; a weight, buffer or function of one. */
struct doc_entry {
    const char *name; /* as a user writes it: relu, nn.Linear, diffusion.Gaussian.ddim */
    const char
        *signature; /* as it is declared, without its body; NULL: a function in C has none but `parameters` */
    const char *text;    /* the doc comment, lines joined by '\n'; NULL: there is none */
    const char *section; /* of its file: "activations"; NULL: none */
    const char *file;    /* nn/layers.weft of the library, or a path; NULL: in C */
    int line;
    bool is_member; /* of the entry before it that is none */
};
/* A file, with its entries in order. */
struct doc_file {
    const char *name; /* what `use` takes: nn.layers; "prelude"; a path */
    const char *file; /* as in its entries; NULL: the functions in C */
    const char *text; /* the doc comment at its head; NULL: there is none */
    VEC(struct doc_entry) entries;
};
struct docs {
    VEC(struct doc_file) files;
};

/* The library's files, the prelude first, then each folder behind its file, then the functions in C. */
struct docs *docs_of_library(struct arena *arena, struct interner *names);
/* The same of one file. NULL: it does not parse; reported. */
struct docs *docs_of_file(struct arena *arena, struct interner *names, const struct source *source,
                          struct diags *diags);

/* The whole as Markdown; `link` stands in front of the files' names in links. */
void docs_print_page(const struct docs *docs, const char *link, struct strbuf *out);
/* What `name` means, for a terminal: an entry by its whole name (nn.Linear) or the end of it (Linear,
 * Gaussian.ddim), or a file (nn), with the names in it. false: nothing; *nearest is then a name that looks
 * like it, or NULL. */
bool docs_print_entry(const struct docs *docs, struct arena *arena, const char *name, struct strbuf *out,
                      const char **nearest);

#endif
