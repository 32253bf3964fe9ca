/* driver/cmd_fmt.c: weft fmt: model texts in the one style. */
#include "driver/session.h"
#include "driver/textdiff.h"
#include "frontend/inspect.h"
#include "runtime/file.h"

#include <string.h>
#include <unistd.h>

struct formatting {
    struct session *session;
    bool check, diff, lets;
};

static bool write_back(struct session *session, const char *path, const char *text) {
    struct weft_error error;
    return weft_file_write_whole(path, text, strlen(text), &error) ||
           session_fail(session, E_FILE, "%s", error.message);
}

/* `-` is the standard input. */
static const struct source *read_text(struct session *session, const char *path, bool is_input) {
    const char *why;
    const struct source *source = source_read(session->arena, is_input ? "/dev/stdin" : path, &why);
    if (!source)
        session_fail(session, E_FILE, "%s cannot be read: %s", path, why);
    return source && is_input ? source_create(session->arena, "<stdin>", source->text, source->length)
                              : source;
}

/* Instances that methods make get names: the text must elaborate for that. */
static const struct source *with_lets(const struct formatting *f, const struct source *source) {
    const struct inspection_options options = {0};
    struct inspection *in = inspection_create(f->session->arena, source, &options);
    const char *text = inspection_with_lets(in);
    return source_create(f->session->arena, source->name, text, strlen(text));
}

static void show_difference(const struct formatting *f, const char *path, const char *before,
                            const char *after) {
    struct strbuf out;
    strbuf_init(&out, f->session->arena);
    text_diff(&out, path, before, after);
    fputs(out.text, stdout);
}

/* Formats one text: in place, or only shown, or only looked at. */
static bool format_file(const struct formatting *f, const char *path) {
    bool is_input = strcmp(path, "-") == 0;
    const struct source *source = read_text(f->session, path, is_input);
    if (!source)
        return false;
    const char *text =
        frontend_format(f->session->arena, f->lets ? with_lets(f, source) : source, f->session->diags);
    if (!text)
        return false;
    bool is_same = strcmp(text, source->text) == 0;
    if (f->diff && !is_same)
        show_difference(f, path, source->text, text);
    if (f->check && !is_same)
        return f->diff ? false
                       : session_fail(f->session, E_SYNTAX, "%s is not formatted; `weft fmt %s` does it",
                                      path, path);
    if (f->check || f->diff)
        return true;
    if (is_input)
        fputs(text, stdout);
    else if (!is_same && !f->session->quiet)
        printf("%s\n", path);
    return is_input || is_same || write_back(f->session, path, text);
}

enum exit_status command_fmt(struct invocation *invocation) {
    struct session session;
    if (invocation->words.count == 0)
        return usage_error(invocation, "which file?");
    if (!session_open(&session, invocation))
        return EXIT_USAGE;
    const struct formatting f = {&session, option_given(invocation, OPT_check),
                                 option_given(invocation, OPT_diff), option_given(invocation, OPT_lets)};
    bool ok = true;
    for (int i = 0; i < invocation->words.count; i++)
        ok = format_file(&f, invocation->words.at[i]) && ok;
    return session_finish(&session, ok);
}
