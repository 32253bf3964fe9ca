/* driver/repl.h: weft repl: definitions, expressions over tensors through the JIT, and commands that begin
 * with a colon. No mistake ends the session; Ctrl-C stops the computation.
 *
 *     repl.c           the terminal: lines, completion, history
 *     repl_run.c       evaluation: variables and weights that live from text to text
 *     repl_commands.c  the table of commands */
#ifndef DRIVER_REPL_H
#define DRIVER_REPL_H

#include "driver/session.h"

/* A value that lives from text to text: a name that was assigned, or a weight, buffer or counter. */
struct kept_value {
    const char *name;
    const struct type *type;
    void *bytes; /* malloc'ed */
};
struct kept_values {
    VEC(struct kept_value) at;
};

struct repl {
    struct session session;
    struct repl_scope *scope;
    struct kept_values variables, weights;
    int line_number;
    bool is_over;
};

/* ---- repl_run.c ---- */
struct kept_value *kept_find(const struct kept_values *values, const char *name); /* NULL: none */
/* Keeps a value under its name, in place of an older one. Takes the bytes. */
void repl_take_variable(struct repl *r, const char *name, const struct type *type, void *bytes);
void repl_evaluate_text(struct repl *r, const char *text, bool show_time);
/* An expression's value, without showing it: its only or last tensor. The caller frees *bytes. false:
 * reported. */
bool repl_value(struct repl *r, const char *text, const struct type **type, void **bytes);
/* One text through the front end. NULL: nothing to run (it has been said why). */
struct function *repl_understand(struct repl *r, const char *text, struct arena *arena,
                                 const char **assigned);
struct program *repl_compile(struct repl *r, struct function *f);
void repl_show_diagnostics(struct repl *r);
void repl_forget(struct repl *r); /* at the end */

/* ---- repl_commands.c ---- */
/* `:type x` without its colon; a unique beginning of a command's name is enough. */
void repl_command(struct repl *r, const char *line);
/* What somebody types who does not know the colon: exit, quit, help. The command's line, or NULL. */
const char *repl_plain_command(const char *text);
/* The commands that begin with `start`, in order: the i-th one's name, NULL behind the last. */
const char *repl_command_name(const char *start, int i);

#endif
