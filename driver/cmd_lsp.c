/* driver/cmd_lsp.c: weft lsp: the loop of the language server. */
#include "driver/codegen_module.h"
#include "driver/lsp.h"

#include <unistd.h>

/* How long the editor must be silent before a text that has changed is looked at without being asked. */
enum { SETTLE_MS = 120 };

static struct lsp_document *stale_document(const struct lsp *lsp) {
    for (int i = 0; i < lsp->documents.count; i++)
        if (lsp->documents.at[i]->is_stale)
            return lsp->documents.at[i];
    return NULL;
}

/* The pages of the error codes: installed, or in the tree that the program was built in. */
static const char *find_manual(struct arena *arena) {
    static const char *const places[] = {"../share/doc/weft/errors", "../../docs/errors"};
    const char *folder = program_folder(arena);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *manual = lsp_path_of_uri(arena, arena_printf(arena, "file://%s/%s", folder, places[i]));
        if (access(arena_printf(arena, "%s/E0101.md", manual), R_OK) == 0)
            return manual;
    }
    return NULL;
}

/* A message that has come goes first; while none comes, stale texts are brought up to date, one at a time. */
static void serve(struct lsp *lsp) {
    while (!lsp->is_over) {
        struct lsp_message message;
        struct lsp_document *stale = stale_document(lsp);
        if (lsp_take(&lsp->wire, stale ? SETTLE_MS : -1, &message)) {
            lsp_handle(lsp, &message);
            json_decref(message.json);
        } else if (lsp->wire.is_closed) {
            return;
        } else if (stale) {
            lsp_inspect(lsp, stale);
        }
    }
}

enum exit_status command_lsp(struct invocation *invocation) {
    struct session session;
    if (invocation->words.count > 0)
        return usage_error(invocation, "it takes no file: the editor tells it which ones are open");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    struct lsp lsp = {.session = &session, .library = option_text(invocation, OPT_lib, NULL)};
    lsp.wire.arena = session.arena;
    lsp.wire.in = STDIN_FILENO;
    lsp.manual = find_manual(session.arena);
    serve(&lsp);
    while (lsp.documents.count > 0)
        lsp_close(&lsp, lsp.documents.at[0]);
    /* The specification: 0 where `exit` comes behind `shutdown`, else 1. */
    return session_finish(&session, lsp.is_over && lsp.is_shut_down);
}
