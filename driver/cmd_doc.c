/* driver/cmd_doc.c: weft doc: what the library's and the user's doc comments say. */
#include "driver/session.h"
#include "frontend/doc.h"
#include "runtime/file.h"

#include <string.h>

static const char page_head[] = "# The library\n\n"
                                "What `models/lib` holds, file by file, from its doc comments (`weft doc -o "
                                "docs/library.md`; `make golden`). `weft doc NAME`\n"
                                "shows one entry in the terminal, `:help NAME` in the REPL.\n\n"
                                "In shapes B is the batch, C channels, H and W height and width, ...N any "
                                "axes; `float[...]` takes every float dtype. Where a\n"
                                "formula has a source, it is named: paper, section, equation.\n\n";

static bool write_out(struct session *session, const char *path, const struct strbuf *text) {
    struct weft_error error;
    if (!path)
        return fputs(text->text, stdout) >= 0;
    return weft_file_write_whole(path, text->text, text->length, &error) ||
           session_fail(session, E_FILE, "%s", error.message);
}

static bool is_file(const char *word) {
    size_t length = strlen(word);
    return length > 5 && strcmp(word + length - 5, ".weft") == 0;
}

static bool document_library(struct session *session, struct strbuf *out) {
    strbuf_puts(out, page_head);
    docs_print_page(docs_of_library(session->arena, session->names), "../models/lib/", out);
    return true;
}

static bool document_file(struct session *session, const char *path, struct strbuf *out) {
    const char *why;
    const struct source *source = source_read(session->arena, path, &why);
    if (!source)
        return session_fail(session, E_FILE, "%s cannot be read: %s", path, why);
    const struct docs *docs = docs_of_file(session->arena, session->names, source, session->diags);
    if (docs)
        docs_print_page(docs, "", out);
    return docs != NULL;
}

static bool document_name(struct session *session, const char *name, struct strbuf *out) {
    const struct docs *docs = docs_of_library(session->arena, session->names);
    const char *nearest;
    if (docs_print_entry(docs, session->arena, name, out, &nearest))
        return true;
    return nearest
               ? session_fail(session, E_NAME, "the library has no `%s`; did you mean `%s`?", name, nearest)
               : session_fail(session, E_NAME, "the library has no `%s`; `weft doc` prints all of it", name);
}

enum exit_status command_doc(struct invocation *invocation) {
    struct session session;
    if (invocation->words.count > 1)
        return usage_error(invocation, "one file or name at the most");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    const char *word = invocation->words.count ? invocation->words.at[0] : NULL;
    struct strbuf out;
    strbuf_init(&out, session.arena);
    bool ok = !word           ? document_library(&session, &out)
              : is_file(word) ? document_file(&session, word, &out)
                              : document_name(&session, word, &out);
    return session_finish(&session,
                          ok && write_out(&session, option_text(invocation, OPT_output, NULL), &out));
}
