/* driver/lsp_methods.c: the methods of the protocol, as a table, and those that concern the server itself. */
#include "driver/lsp.h"

#include <string.h>

/* ---- the life of the server ---- */

static json_t *names_array(const char *const *names) {
    json_t *out = json_array();
    for (; *names; names++)
        json_array_append_new(out, json_string(*names));
    return out;
}

static json_t *capabilities(void) {
    enum { INCREMENTAL = 2 };
    json_t *tokens = json_pack("{s:{s:o, s:o}, s:b}", "legend", "tokenTypes", names_array(word_kinds),
                               "tokenModifiers", names_array(lsp_token_modifiers), "full", 1);
    json_t *out = json_pack("{s:s, s:{s:b, s:i, s:b}, s:b, s:b, s:b, s:b, s:{s:b}, s:b, s:b, s:b, s:b}",
                            "positionEncoding", "utf-16", "textDocumentSync", "openClose", 1, "change",
                            INCREMENTAL, "save", 1, "hoverProvider", 1, "definitionProvider", 1,
                            "referencesProvider", 1, "documentHighlightProvider", 1, "renameProvider",
                            "prepareProvider", 1, "documentFormattingProvider", 1, "documentSymbolProvider",
                            1, "inlayHintProvider", 1, "foldingRangeProvider", 1);
    json_object_set_new(out, "completionProvider", json_pack("{s:[s, s]}", "triggerCharacters", ".", ":"));
    json_object_set_new(
        out, "signatureHelpProvider",
        json_pack("{s:[s, s], s:[s]}", "triggerCharacters", "(", ",", "retriggerCharacters", ":"));
    json_object_set_new(out, "semanticTokensProvider", tokens);
    json_object_set_new(out, "codeActionProvider",
                        json_pack("{s:[s, s]}", "codeActionKinds", "quickfix", "refactor.rewrite"));
    return out;
}

/* Which folders the editor has open. */
static void note_root(struct lsp *lsp, const json_t *uri) {
    const char *text = json_string_value(uri);
    if (text && strncmp(text, "file://", 7) == 0)
        VEC_PUSH(lsp->session->arena, &lsp->roots, lsp_path_of_uri(lsp->session->arena, text));
}

static void note_roots(struct lsp *lsp, const json_t *params) {
    const json_t *folders = json_object_get(params, "workspaceFolders"), *folder;
    size_t i;
    json_array_foreach((json_t *)folders, i, folder) note_root(lsp, json_object_get(folder, "uri"));
    if (lsp->roots.count == 0)
        note_root(lsp, json_object_get(params, "rootUri"));
}

static json_t *initialize(struct lsp_call *call) {
    if (call->lsp->is_initialized) {
        call->code = LSP_INVALID_REQUEST;
        call->why = "the server has been initialized";
        return NULL;
    }
    call->lsp->is_initialized = true;
    note_roots(call->lsp, call->params);
    return json_pack("{s:o, s:{s:s, s:s}}", "capabilities", capabilities(), "serverInfo", "name", "weft",
                     "version", WEFT_VERSION);
}

static json_t *shut_down(struct lsp_call *call) {
    call->lsp->is_shut_down = true;
    return json_null();
}

static json_t *leave(struct lsp_call *call) {
    call->lsp->is_over = true;
    return NULL;
}

static json_t *nothing(struct lsp_call *call) {
    (void)call;
    return NULL;
}

/* ---- texts ---- */

static const json_t *text_document(const struct lsp_call *call) {
    return json_object_get(call->params, "textDocument");
}

static json_t *did_open(struct lsp_call *call) {
    const json_t *document = text_document(call);
    const char *uri = json_string_value(json_object_get(document, "uri")),
               *text = json_string_value(json_object_get(document, "text"));
    if (uri && text)
        lsp_open(call->lsp, uri, text, json_integer_value(json_object_get(document, "version")));
    return NULL;
}

static json_t *did_change(struct lsp_call *call) {
    const json_t *changes = json_object_get(call->params, "contentChanges"), *change;
    size_t i;
    if (!call->document)
        return NULL;
    json_array_foreach((json_t *)changes, i, change) {
        const char *text = json_string_value(json_object_get(change, "text"));
        if (text && !lsp_change(call->document, json_object_get(change, "range"), text))
            fprintf(stderr, "weft lsp: a change of no range is passed over\n");
    }
    call->document->version = json_integer_value(json_object_get(text_document(call), "version"));
    lsp_touch(call->lsp, call->document->path);
    return NULL;
}

static json_t *did_save(struct lsp_call *call) {
    if (call->document) {
        call->document->is_deep = true;
        lsp_touch(call->lsp, call->document->path);
    }
    return NULL;
}

static json_t *did_close(struct lsp_call *call) {
    if (call->document) {
        lsp_publish_nothing(call->document->uri);
        lsp_close(call->lsp, call->document);
    }
    return NULL;
}

/* Files have changed on the disk: whoever uses one is stale; which, is not worth the trouble. */
static json_t *files_changed(struct lsp_call *call) {
    for (int i = 0; i < call->lsp->documents.count; i++)
        call->lsp->documents.at[i]->is_stale = true;
    return NULL;
}

/* ---- the table ---- */

enum needs { NEEDS_NOTHING, NEEDS_TEXT };

static const struct method {
    const char *name;
    enum { REQUEST, NOTIFICATION } kind;
    enum needs needs; /* TEXT: an open document, inspected */
    json_t *(*run)(struct lsp_call *call);
} methods[] = {
    {"initialize", REQUEST, NEEDS_NOTHING, initialize},
    {"initialized", NOTIFICATION, NEEDS_NOTHING, nothing},
    {"shutdown", REQUEST, NEEDS_NOTHING, shut_down},
    {"exit", NOTIFICATION, NEEDS_NOTHING, leave},
    {"textDocument/didOpen", NOTIFICATION, NEEDS_NOTHING, did_open},
    {"textDocument/didChange", NOTIFICATION, NEEDS_NOTHING, did_change},
    {"textDocument/didSave", NOTIFICATION, NEEDS_NOTHING, did_save},
    {"textDocument/didClose", NOTIFICATION, NEEDS_NOTHING, did_close},
    {"workspace/didChangeWatchedFiles", NOTIFICATION, NEEDS_NOTHING, files_changed},
    {"textDocument/hover", REQUEST, NEEDS_TEXT, lsp_hover},
    {"textDocument/definition", REQUEST, NEEDS_TEXT, lsp_definition},
    {"textDocument/references", REQUEST, NEEDS_TEXT, lsp_references},
    {"textDocument/documentHighlight", REQUEST, NEEDS_TEXT, lsp_highlights},
    {"textDocument/prepareRename", REQUEST, NEEDS_TEXT, lsp_prepare_rename},
    {"textDocument/rename", REQUEST, NEEDS_TEXT, lsp_rename},
    {"textDocument/completion", REQUEST, NEEDS_TEXT, lsp_completion},
    {"textDocument/signatureHelp", REQUEST, NEEDS_TEXT, lsp_signature},
    {"textDocument/formatting", REQUEST, NEEDS_TEXT, lsp_formatting},
    {"textDocument/documentSymbol", REQUEST, NEEDS_TEXT, lsp_symbols},
    {"textDocument/semanticTokens/full", REQUEST, NEEDS_TEXT, lsp_semantic_tokens},
    {"textDocument/inlayHint", REQUEST, NEEDS_TEXT, lsp_inlay_hints},
    {"textDocument/codeAction", REQUEST, NEEDS_TEXT, lsp_code_actions},
    {"textDocument/foldingRange", REQUEST, NEEDS_TEXT, lsp_folding},
};

static const struct method *find_method(const char *name) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

/* ---- one message ---- */

static bool refuse(struct lsp_call *call, enum lsp_error code, const char *why) {
    call->code = code;
    call->why = why;
    return false;
}

/* Whether the method may run now; its text is looked up and brought up to date. */
static bool prepare(struct lsp_call *call, const struct method *method) {
    struct lsp *lsp = call->lsp;
    call->document = lsp_find(lsp, json_string_value(json_object_get(text_document(call), "uri")));
    if (method->needs == NEEDS_NOTHING)
        return true;
    if (!call->document)
        return refuse(call, LSP_INVALID_PARAMS, "textDocument names no text that is open");
    call->inspection = lsp_inspect(lsp, call->document);
    if (!call->inspection)
        return refuse(call, LSP_FAILED, "there is not enough memory to elaborate this text");
    const json_t *position = json_object_get(call->params, "position");
    call->offset = lsp_offset(call->document->source, json_integer_value(json_object_get(position, "line")),
                              json_integer_value(json_object_get(position, "character")));
    return true;
}

/* A question that runs out of memory fails alone; the text is inspected anew for the next one. */
static json_t *run_guarded(struct lsp_call *call, const struct method *method) {
    struct arena *arena = call->inspection ? call->document->arena : NULL;
    if (!arena)
        return method->run(call);
    jmp_buf landing;
    if (setjmp(landing) == 0) {
        arena_set_landing(arena, &landing);
        json_t *result = method->run(call);
        arena_set_landing(arena, NULL);
        return result;
    }
    arena_set_landing(arena, NULL);
    call->document->is_stale = true;
    refuse(call, LSP_FAILED, "there is not enough memory for an answer");
    return NULL;
}

/* Answers leave a little behind in the text's arena: one that has grown large is given back. */
enum { ARENA_MOST = 1 << 30 };

static void tidy(struct lsp_call *call, size_t before) {
    if (call->inspection && arena_used(call->document->arena) > before + ARENA_MOST)
        call->document->is_stale = true;
}

static void run_method(struct lsp_call *call, const struct method *method, const json_t *id) {
    json_t *result = NULL;
    if (prepare(call, method)) {
        size_t before = call->inspection ? arena_used(call->document->arena) : 0;
        result = run_guarded(call, method);
        tidy(call, before);
    }
    if (!id) {
        json_decref(result);
        return;
    }
    if (call->why) {
        json_decref(result);
        lsp_send_error(id, call->code, call->why);
        return;
    }
    lsp_send_result(id, result);
}

/* What the state of the server forbids; NULL: nothing. */
static const char *forbidden(const struct lsp *lsp, const char *name, enum lsp_error *code) {
    *code = lsp->is_shut_down ? LSP_INVALID_REQUEST : LSP_NOT_INITIALIZED;
    if (strcmp(name, "exit") == 0)
        return NULL;
    if (lsp->is_shut_down)
        return "the server has been shut down";
    return lsp->is_initialized || strcmp(name, "initialize") == 0 ? NULL
                                                                  : "the server has not been initialized";
}

void lsp_handle(struct lsp *lsp, const struct lsp_message *message) {
    const json_t *json = message->json, *id = json_object_get(json, "id");
    const char *name = json_string_value(json_object_get(json, "method")), *why;
    enum lsp_error code;
    if (!json) {
        lsp_send_error(NULL, LSP_PARSE_ERROR,
                       "this is no message: a header with Content-Length, a blank line, JSON");
        return;
    }
    if (!name) { /* an answer to something that was never asked, or no message at all */
        if (!json_object_get(json, "result") && !json_object_get(json, "error"))
            lsp_send_error(id, LSP_INVALID_REQUEST, "a message has a `method`");
        return;
    }
    if (message->is_cancelled) {
        lsp_send_error(id, LSP_CANCELLED, "cancelled");
        return;
    }
    if ((why = forbidden(lsp, name, &code))) {
        if (id)
            lsp_send_error(id, code, why);
        return;
    }
    const struct method *method = find_method(name);
    if (!method || (method->kind == REQUEST) != (id != NULL)) {
        if (id)
            lsp_send_error(id, method ? LSP_INVALID_REQUEST : LSP_UNKNOWN_METHOD,
                           method ? "this is a notification" : "there is no such method");
        return;
    }
    struct lsp_call call = {.lsp = lsp, .params = json_object_get(json, "params")};
    run_method(&call, method, id);
}
