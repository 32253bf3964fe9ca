/* driver/lsp.h: weft lsp, a language server (Language Server Protocol 3.17) over standard input and output.
 *
 *     lsp_wire.c       messages: framing, JSON, a queue that is looked through for cancellations
 *     lsp_document.c   open texts: changes, positions in UTF-16, paths; the inspection of each
 *     lsp_publish.c    diagnostics
 *     lsp_methods.c    the table of methods, and what is asked of the server itself
 *     lsp_rename.c     references and renaming, over all texts that use one another
 *     lsp_recipes.c    the same in recipes
 *     lsp_answers.c    what is asked of a text: questions to frontend/inspect.h, answers as JSON
 *     cmd_lsp.c        the loop
 *
 * What is known of a text comes from the front end; here is the protocol alone. */
#ifndef DRIVER_LSP_H
#define DRIVER_LSP_H

#include "base/vec.h"
#include "driver/session.h"
#include "frontend/inspect.h"

#include <jansson.h>

/* ---- lsp_wire.c ---- */
enum { LSP_MESSAGE_MOST = 128 << 20 }; /* bytes */
enum lsp_error {
    LSP_PARSE_ERROR = -32700,
    LSP_INVALID_REQUEST = -32600,
    LSP_UNKNOWN_METHOD = -32601,
    LSP_INVALID_PARAMS = -32602,
    LSP_INTERNAL_ERROR = -32603,
    LSP_NOT_INITIALIZED = -32002,
    LSP_CANCELLED = -32800,
    LSP_FAILED = -32803
};
struct lsp_message {
    json_t *json; /* owned by the queue until it is taken; NULL: it was no JSON */
    bool is_cancelled;
};
struct lsp_wire {
    struct arena *arena;
    int in;      /* file descriptor */
    char *bytes; /* read and not yet understood */
    size_t begin, end, capacity;
    bool is_closed; /* no more will come */
    VEC(struct lsp_message) queue;
    int next; /* of the queue */
};
/* Takes the next message in *out, whose json the caller gives back. Waits `wait_ms` (-1: as long as it
 * takes). false: none came, or (with is_closed) none will. What has come behind it is read, too, so that a
 * request may turn out to be cancelled. */
bool lsp_take(struct lsp_wire *wire, int wait_ms, struct lsp_message *out);
void lsp_send(json_t *message);                                               /* takes it */
void lsp_send_result(const json_t *id, json_t *result);                       /* takes result */
void lsp_send_error(const json_t *id, enum lsp_error code, const char *text); /* id NULL: of nobody known */
void lsp_notify(const char *method, json_t *params);                          /* takes params */

/* ---- lsp_document.c ---- */
struct lsp_document {
    char *uri, *path; /* in the arena of the text */
    int64_t version;
    struct arena *text_arena;
    const struct source *source;   /* as it stands in the editor */
    struct arena *arena;           /* of the inspection */
    struct inspection *inspection; /* NULL: none, or memory ran out */
    bool is_stale;                 /* the text, or one that it uses, has changed since */
    bool is_deep;                  /* gradients are looked at, too: behind opening and saving */
};
struct lsp {
    struct session *session;
    struct lsp_wire wire;
    VEC(struct lsp_document *) documents;
    VEC(const char *) roots; /* the folders that the editor has open */
    const char *library;     /* --lib */
    const char *manual;      /* the folder of the error pages, or NULL */
    bool is_initialized, is_shut_down, is_over;
};
struct lsp_document *lsp_find(struct lsp *lsp, const char *uri); /* NULL: not open */
void lsp_open(struct lsp *lsp, const char *uri, const char *text, int64_t version);
void lsp_close(struct lsp *lsp, struct lsp_document *document);
/* range NULL: the whole text. false: the range is none. */
bool lsp_change(struct lsp_document *document, const json_t *range, const char *text);
/* Every document that uses the one of this path is stale now, and itself. */
void lsp_touch(struct lsp *lsp, const char *path);
/* The document's inspection, made anew where it is stale; NULL: memory has run out. */
struct inspection *lsp_inspect(struct lsp *lsp, struct lsp_document *document);
/* The inspection of a file that need not be open, in an arena of its own; NULL: it cannot be read, or memory
 * has run out. */
struct inspection *lsp_inspect_file(struct lsp *lsp, struct arena *arena, const char *path);

uint32_t lsp_offset(const struct source *source, int64_t line,
                    int64_t character); /* held inside of the text */
json_t *lsp_position(const struct source *source, uint32_t offset);
json_t *lsp_range(struct span span);
/* A place in any file; NULL: it is in none that an editor can open. */
json_t *lsp_location(struct lsp *lsp, struct span span);
char *lsp_path_of_uri(struct arena *arena, const char *uri); /* a uri that is no file's stands for itself */
char *lsp_uri_of_path(struct arena *arena, const char *path);

/* ---- lsp_publish.c ---- */
void lsp_publish(struct lsp *lsp, const struct lsp_document *document);
void lsp_publish_nothing(const char *uri);
/* The quick fixes for what is wrong in a range: "did you mean". */
json_t *lsp_fixes(struct lsp *lsp, struct lsp_document *document, uint32_t begin, uint32_t end);

/* ---- lsp_methods.c, lsp_answers.c ---- */
struct lsp_call {
    struct lsp *lsp;
    const json_t *params;
    struct lsp_document *document; /* of params.textDocument; NULL: none is named, or it is not open */
    struct inspection *inspection; /* of document, for requests */
    uint32_t offset;               /* of params.position, 0 without one */
    enum lsp_error code;           /* set with `why` by a method that fails */
    const char *why;
};
/* Runs one message and answers it. */
void lsp_handle(struct lsp *lsp, const struct lsp_message *message);

json_t *lsp_hover(struct lsp_call *call);
json_t *lsp_definition(struct lsp_call *call);
json_t *lsp_references(struct lsp_call *call);
json_t *lsp_highlights(struct lsp_call *call);
json_t *lsp_prepare_rename(struct lsp_call *call);
json_t *lsp_rename(struct lsp_call *call);
json_t *lsp_completion(struct lsp_call *call);
json_t *lsp_signature(struct lsp_call *call);
json_t *lsp_formatting(struct lsp_call *call);
json_t *lsp_symbols(struct lsp_call *call);
json_t *lsp_semantic_tokens(struct lsp_call *call);
json_t *lsp_inlay_hints(struct lsp_call *call);
json_t *lsp_code_actions(struct lsp_call *call);
json_t *lsp_folding(struct lsp_call *call);
extern const char *const lsp_token_modifiers[]; /* NULL ends them */

#endif
