/* driver/cmd_fmt.c: weft fmt: model texts in the one style. */
#include "driver/session.h"
#include "runtime/file.h"

#include <string.h>

static bool write_back(struct session *session, const char *path, const char *text) {
    struct weft_error error;
    return weft_file_write_whole(path, text, strlen(text), &error) || session_fail(session, E_FILE, "%s", error.message);
}

/* Formats one file in place, or with `check` only says whether it is formatted. */
static bool format_file(struct session *session, const char *path, bool check) {
    const char *why;
    const struct source *source = source_read(session->arena, path, &why);
    if (!source)
        return session_fail(session, E_FILE, "%s cannot be read: %s", path, why);
    const char *text = frontend_format(session->arena, source, session->diags);
    if (!text)
        return false;
    if (strcmp(text, source->text) == 0)
        return true;
    if (check)
        return session_fail(session, E_SYNTAX, "%s is not formatted; `weft fmt %s` does it", path, path);
    if (!session->quiet)
        printf("%s\n", path);
    return write_back(session, path, text);
}

enum exit_status command_fmt(struct invocation *invocation) {
    struct session session;
    if (invocation->words.count == 0)
        return usage_error(invocation, "which file?");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    bool ok = true;
    for (int i = 0; i < invocation->words.count; i++)
        ok = format_file(&session, invocation->words.at[i], option_given(invocation, OPT_check)) && ok;
    return session_finish(&session, ok);
}
