/* frontend/frontend.h: model text to graphs. The one public header of the front end (ast.h is for its own
 * files, the formatter and the language server).
 *
 * A `frontend` lives as long as a session. It keeps the files that were read, the modules they define, and
 * hands out model instances; an instance owns a graph to which entries are elaborated on request. */
#ifndef FRONTEND_FRONTEND_H
#define FRONTEND_FRONTEND_H

#include "base/diag.h"
#include "base/intern.h"
#include "ir/graph.h"

struct frontend;
struct model;    /* a `model` (or module) of a file */
struct instance; /* a model with its hyper-parameters fixed */

/* Where the front end gets the text of a file that is used (the library's are embedded in the program): an
 * editor's text that is not saved stands before the file. Returns NULL where there is none, with *why in
 * words. */
struct file_resolver {
    const struct source *(*read)(void *context, struct arena *arena, const char *path, const char **why);
    void *context;
};

struct frontend *frontend_create(struct arena *arena, struct types *types, struct interner *names,
                                 struct diags *diags);
/* The folder whose .weft files replace the embedded library (--lib); NULL: the embedded one. */
void frontend_set_library(struct frontend *fe, const char *folder);

/* Read files through this; without it they are read from the disk. */
void frontend_set_resolver(struct frontend *fe, struct file_resolver resolver);

/* What sums of products of f32 tensors are computed in: f32, or bf16 (--precision, a recipe's `precision`).
 * Of entries that are elaborated from here on. */
void frontend_set_precision(struct frontend *fe, enum dtype dtype);

/* How many expressions an entry may evaluate before it is given up (a few minutes' worth, unless it is set).
 */
void frontend_set_limit(struct frontend *fe, int64_t evaluations);

/* Reads a file and all that it uses. false: reported. Reading it again gives the same definitions. */
bool frontend_load(struct frontend *fe, const char *path);
/* The same for a text that is no file. */
bool frontend_load_source(struct frontend *fe, const struct source *source);

/* The models of a loaded file, in order. */
int frontend_model_count(const struct frontend *fe, const char *path);
const char *frontend_model_name(const struct frontend *fe, const char *path, int index);

/* A hyper-parameter as the command line or a recipe gives it: the value is text in the language (an
 * elaboration expression: 400, 1e-3, [1, 2, 2], "hybrid", true). span is where it was given. */
struct setting {
    const char *name;
    const char *value;
    struct span span;
};
/* An instance of model `name` (NULL: the only one) of the loaded file. NULL: reported. Its graph is created
 * in `arena`. */
struct instance *frontend_instantiate(struct frontend *fe, const char *path, const char *name,
                                      const struct setting *settings, int setting_count, struct arena *arena);

/* The entries: exported fns and trains of the model, in order of declaration. */
enum param_kind {
    PARAM_TENSOR,
    PARAM_INT,
    PARAM_OTHER
}; /* other: float, string, lists: elaboration values */
struct entry_param {
    const char *name;
    enum param_kind kind;
    const struct type *type; /* TENSOR: with dimension variables */
    bool has_default;
    double default_value; /* TENSOR with has_default: of a scalar, what the text says; NaN where it is no
                             number */
    bool optional;
    struct span span;
};
struct entry {
    const char *name;
    bool is_train;
    const char *doc;
    struct entry_param *params;
    int param_count;
    struct span span;
};
int instance_entry_count(const struct instance *instance);
const struct entry *instance_entry(const struct instance *instance, int index);
const struct entry *instance_find_entry(const struct instance *instance,
                                        const char *name); /* NULL: none; not reported */

/* A tensor parameter T? is an input where its setting says `true`, else it is none; the fields of a named
 * tuple of tensors are inputs p.mean, p.logvar. */
/* Elaborates an entry into the instance's graph (once for each distinct set of int arguments). `int` and
 * other elaboration parameters take the settings' values, or their defaults; one without either becomes a
 * dimension variable of its name where it is an int, else an error. accumulate: the recipe's (S27), 1 for
 * none. NULL: reported. */
struct function *instance_elaborate(struct instance *instance, const char *entry,
                                    const struct setting *arguments, int argument_count, int accumulate);
/* The function "init" (FUNCTION_INIT; "init_" where the model has an `init` of its own): from the seed, the
 * first value of every state that the entries elaborated so far touch. Elaborate the entries first. */
struct function *instance_elaborate_init(struct instance *instance);
/* Elaborates the first value of one weight of each declaration, to see whether it is right; its "init" is of
 * no other use. */
bool instance_check_init(struct instance *instance);
struct graph *instance_graph(const struct instance *instance);

/* The REPL. One text is definitions, statements or an expression. A definition replaces an older one of its
 * name, and what depends on it elaborates anew. An expression (or the right side of an assignment) gives a
 * function in a fresh graph in `arena`; *is_definition is set where there is nothing to run. NULL with
 * *is_definition false: reported, or *text is set: a value that exists at elaboration alone (a number, a
 * list, a shape) is printed to it.
 *
 * Names assigned to run-time values are inputs of later functions that use them: a result named x (x.mean,
 * x.0 for the parts of a tuple or list) is the input of that name, once repl_bind has said its type after the
 * run. *assigned is the last name that the text assigns to run-time values, else NULL; results of a bare
 * expression have no name.
 *
 * Where the function reads weights (of instances that were made in the REPL: `m = VAE()`), its graph has a
 * function "init" for their first values too; the caller keeps the values by the states' names. */
struct repl_scope;
struct repl_scope *repl_create(struct frontend *fe,
                               const char *model_path /* may be NULL: its models are in scope */);
struct function *repl_evaluate(struct repl_scope *repl, const struct source *source, struct arena *arena,
                               bool *is_definition, const char **assigned /* the name it assigns, or NULL */,
                               const char **text);
/* A tensor that comes from elsewhere: a file. */
void repl_declare(struct repl_scope *repl, const char *name, const struct type *type);
void repl_bind(struct repl_scope *repl, const char *name, const struct type *type);
/* The names of values of elaboration (instances, say) that the last text made anew, because a definition that
 * they depend on has changed; their weights keep their values. */
int repl_remade(const struct repl_scope *repl, const char *const **names);
/* What may stand at byte `cursor` of a line: see inspection_complete (inspect.h). */
struct candidate;
int repl_complete(struct repl_scope *repl, const char *line, uint32_t cursor, uint32_t *begin,
                  struct candidate **out);

/* Formatted text of a file (`weft fmt`); NULL: it does not parse; reported. */
const char *frontend_format(struct arena *arena, const struct source *source, struct diags *diags);

#endif
