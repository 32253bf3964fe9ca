/* driver/repl.c: the terminal of the REPL: lines, completion, history (repl.h). */
#include "driver/repl.h"

#include "frontend/ast.h"
#include "frontend/inspect.h"

#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where texts come from: a terminal, or a file or pipe. */
struct terminal {
    struct repl repl;
    bool is_continued; /* the prompt of a further line */
    EditLine *edit;    /* NULL: no terminal */
    History *history;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

/* ---- lines ---- */

static char *prompt(EditLine *edit) {
    struct terminal *t;
    el_get(edit, EL_CLIENTDATA, &t);
    return t->is_continued ? "  ... " : "weft> ";
}

/* What the word before the cursor may become; *begin is where it begins. */
typedef VEC(const char *) word_list;

static word_list candidates_of(struct repl *r, const char *line, uint32_t cursor, uint32_t *begin) {
    word_list words = {0};
    struct candidate *found;
    if (*line == ':' && !strpbrk(line, " \t")) {
        const char *name;
        *begin = 1;
        for (int i = 0; (name = repl_command_name(line + 1, i)); i++)
            VEC_PUSH(r->session.arena, &words, name);
        return words;
    }
    char *text = arena_strdup(r->session.arena, line);
    for (size_t i = 0; text[0] == ':' && text[i] && text[i] != ' '; i++)
        text[i] = ' '; /* behind :type stands an expression */
    int count = repl_complete(r->scope, text, cursor, begin, &found);
    for (int i = 0; i < count; i++)
        if (strncmp(found[i].text, line + *begin, cursor - *begin) == 0)
            VEC_PUSH(r->session.arena, &words, found[i].text);
    return words;
}

static size_t common_length(const word_list *words) {
    size_t common = strlen(words->at[0]);
    for (int i = 1; i < words->count; i++)
        for (size_t k = 0; k < common; k++)
            if (words->at[i][k] != words->at[0][k])
                common = k;
    return common;
}

enum { COLUMNS = 96, MOST_SHOWN = 120 };

static void list_words(const word_list *words) {
    size_t column = 0;
    putchar('\n');
    for (int i = 0; i < words->count && i < MOST_SHOWN; i++) {
        if (column > 0 && column + strlen(words->at[i]) > COLUMNS) {
            putchar('\n');
            column = 0;
        }
        column += (size_t)printf("%s%s", column ? "  " : "", words->at[i]);
    }
    printf(words->count > MOST_SHOWN ? "  ... %d more\n" : "\n", words->count - MOST_SHOWN);
}

/* Completes the word before the cursor as far as all candidates agree; lists them where that adds nothing. */
static unsigned char complete(EditLine *edit, int key) {
    (void)key;
    struct terminal *t;
    uint32_t begin;
    el_get(edit, EL_CLIENTDATA, &t);
    const LineInfo *info = el_line(edit);
    uint32_t cursor = (uint32_t)(info->cursor - info->buffer);
    const char *line = arena_strndup(t->repl.session.arena, info->buffer, cursor);
    word_list words = candidates_of(&t->repl, line, cursor, &begin);
    if (words.count == 0)
        return CC_ERROR;
    size_t common = common_length(&words), length = cursor - begin;
    if (common > length) {
        el_insertstr(edit, arena_strndup(t->repl.session.arena, words.at[0] + length, common - length));
        return CC_REFRESH;
    }
    list_words(&words);
    return CC_REDISPLAY;
}

/* A Ctrl-D that comes before the editor has taken the terminal over reaches it as a zero byte: it means the
 * same. */
static unsigned char end_of_input(EditLine *edit, int key) {
    (void)key;
    const LineInfo *line = el_line(edit);
    return line->lastchar == line->buffer ? CC_EOF : CC_ERROR;
}

static const char *history_path(struct arena *arena) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        return arena_printf(arena, "%s/weft_history", state);
    return home && *home == '/' ? arena_printf(arena, "%s/.weft_history", home) : NULL;
}

static bool open_editor(struct terminal *t) {
    HistEvent event;
    t->history = history_init();
    t->edit = el_init("weft", stdin, stdout, stderr);
    if (!t->history || !t->edit)
        return session_fail(&t->repl.session, E_FILE, "the line editor cannot be opened");
    history(t->history, &event, H_SETSIZE, 1000);
    const char *path = history_path(t->repl.session.arena);
    if (path)
        history(t->history, &event, H_LOAD, path);
    el_set(t->edit, EL_CLIENTDATA, t);
    el_set(t->edit, EL_PROMPT, prompt);
    el_set(t->edit, EL_EDITOR, "emacs");
    el_set(t->edit, EL_SIGNAL, 0);
    el_set(t->edit, EL_HIST, history, t->history);
    /* el_set would keep copies of these texts that nothing frees. */
    el_wset(t->edit, EL_ADDFN, L"weft-complete", L"complete a name", complete);
    el_set(t->edit, EL_BIND, "^I", "weft-complete", NULL);
    el_wset(t->edit, EL_ADDFN, L"weft-end", L"end the session", end_of_input);
    el_set(t->edit, EL_BIND, "^@", "weft-end", NULL);
    return true;
}

static void close_editor(struct terminal *t) {
    HistEvent event;
    const char *path = history_path(t->repl.session.arena);
    if (path && t->history)
        history(t->history, &event, H_SAVE, path);
    if (t->edit)
        el_end(t->edit);
    if (t->history)
        history_end(t->history);
}

/* A line of the terminal, or of a file or pipe; NULL at the end. */
static char *read_line(struct terminal *t, char **buffer, size_t *size) {
    if (!t->edit)
        return getline(buffer, size, stdin) < 0 ? NULL : *buffer;
    int count;
    const char *line = el_gets(t->edit, &count);
    return line ? arena_strdup(t->repl.session.arena, line) : NULL;
}

/* Reads until brackets are closed and operators have their right side; two empty lines end what cannot be
 * finished. */
static const char *read_text(struct terminal *t) {
    struct arena *arena = t->repl.session.arena;
    struct strbuf text;
    strbuf_init(&text, arena);
    char *buffer = NULL, *line;
    size_t size = 0;
    t->is_continued = false;
    interrupted = 0;
    for (int empty = 0; (line = read_line(t, &buffer, &size)) && !interrupted;) {
        strbuf_puts(&text, line);
        empty = line[strspn(line, " \t\r\n")] ? 0 : empty + 1;
        t->is_continued = text.text[0] != ':' && empty < 2 &&
                          parse_is_incomplete(arena, source_create(arena, "<repl>", text.text, text.length));
        if (!t->is_continued)
            break;
    }
    free(buffer);
    if (interrupted) { /* Ctrl-C at the prompt drops what was typed */
        puts("");
        return "";
    }
    return line || text.length ? text.text : NULL;
}

/* a = 3; a * 2: one after the other, so that each shows its value. */
static void evaluate_pieces(struct repl *r, const char *text) {
    struct arena *arena = r->session.arena;
    const struct source *source = source_create(arena, "<repl>", text, strlen(text));
    for (uint32_t begin = 0; begin < source->length;) {
        uint32_t end = parse_find_semicolon(arena, source, begin);
        const char *piece = arena_strndup(arena, text + begin, end - begin);
        if (piece[strspn(piece, " \t\r\n")])
            repl_evaluate_text(r, piece, false);
        begin = end + 1;
    }
}

static void take_text(struct terminal *t, const char *text) {
    HistEvent event;
    struct repl *r = &t->repl;
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    while (length > 0 && strchr(" \t\r\n", *text)) {
        text++;
        length--;
    }
    char *trimmed = arena_strndup(r->session.arena, text, length);
    const char *plain = repl_plain_command(trimmed);
    if (length == 0)
        return;
    if (t->history)
        history(t->history, &event, H_ENTER, trimmed);
    if (*trimmed == ':')
        repl_command(r, trimmed + 1);
    else if (plain)
        repl_command(r, plain);
    else
        evaluate_pieces(r, trimmed);
    fflush(stdout);
}

enum exit_status command_repl(struct invocation *invocation) {
    struct terminal t = {0};
    struct repl *r = &t.repl;
    if (invocation->words.count > 1)
        return usage_error(invocation, "one model at the most");
    if (!session_open(&r->session, invocation))
        return EXIT_USAGE;
    const char *model = invocation->words.count ? invocation->words.at[0] : NULL;
    bool ok = !model || frontend_load(r->session.frontend, model);
    if (isatty(STDIN_FILENO)) {
        ok = ok && open_editor(&t);
        if (ok && !r->session.quiet)
            printf("weft %s   :help tells what there is\n", WEFT_VERSION);
    }
    r->scope = ok ? repl_create(r->session.frontend, model) : NULL;
    signal(SIGINT, on_interrupt);
    r->session.interrupted = &interrupted;
    if (r->scope)
        repl_show_diagnostics(r);
    for (const char *text; r->scope && !r->is_over && (text = read_text(&t));)
        take_text(&t, text);
    close_editor(&t);
    repl_forget(r);
    return session_finish(&r->session, r->scope != NULL);
}
