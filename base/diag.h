/* base/diag.h: what went wrong, as values. A mistake of the user is collected here and the function returns
 * false or NULL, which means "already reported". Only driver/ prints, through diags_render, and picks the
 * exit status. */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include "base/arena.h"
#include "base/source.h"
#include "base/strbuf.h"

#include <stdbool.h>

enum diag_code {
#define ERROR_CODE(name, number, title) name,
#include "base/errors.def"
#undef ERROR_CODE
    DIAG_CODE_COUNT
};

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_DEFECT }; /* a defect is ours: exit status 3 */

struct diags;
struct diag;

struct diags *diags_create(struct arena *arena);

/* Reports. The message is one sentence without a full stop, lower case, naming what was expected and what was
 * found. The returned diag takes labels, notes and a hint; it stays valid as long as the arena. */
struct diag *diag_error(struct diags *diags, struct span span, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct diag *diag_warning(struct diags *diags, struct span span, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct diag *diag_defect(struct diags *diags, struct span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An error at a site: its span, and the chain of instantiations that led there as notes. */
struct diag *diag_error_at(struct diags *diags, const struct site *site, enum diag_code code,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

void diag_label(struct diag *diag, struct span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diag_note(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));
void diag_hint(struct diag *diag, const char *format, ...)
    __attribute__((format(printf, 2, 3)));                   /* "did you mean" */
void diag_chain(struct diag *diag, const struct site *site); /* the callers of site, innermost first */

int diags_error_count(const struct diags *diags); /* errors and defects */
bool diags_has_defect(const struct diags *diags);
int diags_count(const struct diags *diags);
struct diag *diags_last(const struct diags *diags); /* to say more of it; NULL: none */
void diags_clear(struct diags *diags);              /* the REPL, between lines */
void diags_truncate(struct diags *diags,
                    int count); /* forget all but the first count: a trial that was given up */

/* Reading them out, for the language server and for tests. */
const char *diag_message(const struct diags *diags, int index);
struct span diag_span(const struct diags *diags, int index);
enum diag_code diag_code_of(const struct diags *diags, int index);
enum severity diag_severity(const struct diags *diags, int index);
const char *diag_code_text(enum diag_code code); /* "E0301" */
int diag_label_count(const struct diags *diags, int index);
struct span diag_label_span(const struct diags *diags, int index, int label);
const char *diag_label_text(const struct diags *diags, int index, int label); /* may be NULL */
int diag_remark_count(const struct diags *diags, int index);
const char *diag_remark_kind(const struct diags *diags, int index, int remark); /* "note" or "help" */
const char *diag_remark_text(const struct diags *diags, int index, int remark);
/* The indices of those that are worth a reader's time, in the order of their places: what several calls say
 * of one place once, and advice (W0001, W0002) only where there are no errors. */
int diags_in_order(const struct diags *diags, struct arena *arena, int **order);

/* Draws those of diags_in_order:
 *     error[E0301]: the inner dimensions differ
 *       --> vae.weft:12:9
 *        |
 *     12 |     y = a @ b
 *        |         ^^^^^ this is f32[5,7]
 *        = note: in nn.Linear.call, called at vae.weft:20:3
 *        = help: did you mean `c`?
 */
void diags_render(const struct diags *diags, struct strbuf *out, bool colour);

/* The candidate nearest to word by edit distance, or NULL where none is near enough to be a slip. */
const char *nearest_name(const char *word, const char *const *candidates, int count);
/* "did you mean" that one, if there is one. */
void diag_nearest(struct diag *diag, const char *word, const char *const *candidates, int count);
/* "`a`, `b` and `c`"; "nothing" of none. */
const char *names_text(struct arena *arena, const char *const *names, int count);

#endif
