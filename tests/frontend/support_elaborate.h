/* tests/frontend/support_elaborate.h: models from texts, for the tests of the elaborator. */
#ifndef SUPPORT_ELABORATE_H
#define SUPPORT_ELABORATE_H

#include "frontend/frontend.h"
#include "ir/graph.h"

/* A session of the front end, everything in `arena`. */
struct session {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    struct diags *diags;
    struct frontend *fe;
    const char *path; /* of the loaded text */
};
struct session session_start(struct arena *arena, const char *name, const char *text, size_t length);

/* Elaborates what the first line of the session's text says, "// run: NAME..." with NAME an entry or `init`
 * and k=v a hyper-parameter; without such a line every entry of every model and init. Prints the functions to
 * `printed`. The graphs are verified. */
void elaborate_asked(struct session *s, const char *text, struct strbuf *printed);
/* Loads the text and does that; `out` gets the functions, or the messages in place of them. */
void elaborate_text(struct arena *arena, const char *name, const char *text, size_t length,
                    struct strbuf *out);
/* Loads the text, runs init with seed 7 and every entry of its one model that has no inputs, in order,
 * `train` blocks twice, and prints what they give and report, then the buffers. */
void run_model_text(struct arena *arena, const char *name, const char *text, size_t length,
                    struct strbuf *out);
/* The pass `differentiate` in small: every grad op of a block and its regions becomes graph. false: reported.
 */
bool open_gradients(struct session *s, struct graph *graph, struct block *block);
/* Every entry (and init) of every model in the session that needs no arguments: false where there were
 * messages. */
bool elaborate_everything(struct session *s, bool with_init);

#endif
