/* driver/repl.c: weft repl: definitions, expressions over tensors through the JIT, and commands that begin with a colon.
 * No mistake ends the session; Ctrl-C stops the computation. */
#include "driver/progress.h"
#include "driver/session.h"
#include "frontend/doc.h"
#include "driver/values.h"
#include "ir/text.h"

#include "frontend/ast.h"

#include <errno.h>
#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name that was assigned a run-time value. */
struct variable {
    const char *name;
    const struct type *type;
    void *bytes; /* malloc'ed */
};

struct repl {
    struct session session;
    struct repl_scope *scope;
    VEC(struct variable) variables;
    int line_number;
    bool is_over;
    bool is_continued; /* the prompt of a further line */
    EditLine *edit;
    History *history;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

/* ---- evaluation ---- */

static void show_diagnostics(struct repl *r) {
    struct strbuf text;
    strbuf_init(&text, r->session.arena);
    diags_render(r->session.diags, &text, isatty(STDERR_FILENO));
    fputs(text.text, stderr);
    diags_clear(r->session.diags);
}

static struct variable *find_variable(struct repl *r, const char *name) {
    for (int i = 0; i < r->variables.count; i++)
        if (strcmp(r->variables.at[i].name, name) == 0)
            return &r->variables.at[i];
    return NULL;
}

/* Keeps a result under the name it was assigned to. Takes the bytes. */
static void take_variable(struct repl *r, const char *name, const struct type *type, void *bytes) {
    struct variable *old = find_variable(r, name), fresh = {name, type, bytes};
    if (old) {
        free(old->bytes);
        *old = fresh;
    } else {
        VEC_PUSH(r->session.arena, &r->variables, fresh);
    }
    repl_bind(r->scope, name, type);
}

/* One text through the front end. NULL: nothing to run (it has been said why). */
static struct function *understand(struct repl *r, const char *text, struct arena *arena, const char **assigned) {
    const char *name = arena_printf(r->session.arena, "<repl:%d>", ++r->line_number), *shown = NULL;
    const struct source *source = source_create(r->session.arena, name, text, strlen(text));
    bool is_definition;
    *assigned = NULL;
    struct function *f = repl_evaluate(r->scope, source, arena, &is_definition, assigned, &shown);
    if (shown)
        puts(shown);
    return f;
}

static struct program *compile(struct repl *r, struct function *f) {
    const struct request request = {f, NULL, 0};
    return program_create(&r->session, f->graph, &request, 1, true);
}

/* Runs an expression's function; its inputs are variables, its states start from its init. Results are malloc'ed. */
static bool run(struct repl *r, struct program *p, struct memory *memory, void **values) {
    const struct program_entry *entry = &p->entries[0];
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        struct variable *variable = a->role == WEFT_INPUT ? find_variable(r, a->name) : NULL;
        if (variable)
            values[i] = variable->bytes;
        else if (a->role == WEFT_RESULT || a->role == WEFT_REPORT)
            values[i] = aligned_alloc(64, ((size_t)type_bytes(a->type) + 127) / 64 * 64);
    }
    return program_call(&r->session, p, 0, memory, values, session_seed(&r->session, (uint32_t)r->line_number));
}

/* Prints the results, or keeps the one that was assigned; frees the others. */
static void take_results(struct repl *r, const struct program_entry *entry, void **values, const char *assigned, bool ok) {
    for (int i = 0; i < entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &entry->plan->arguments.at[i];
        if (a->role != WEFT_RESULT && a->role != WEFT_REPORT)
            continue;
        if (ok && assigned && a->role == WEFT_RESULT) {
            take_variable(r, assigned, a->type, values[i]);
            continue;
        }
        if (ok) {
            struct strbuf text;
            strbuf_init(&text, r->session.arena);
            value_print(&text, a->name, a->type, values[i]);
            fputs(text.text, stdout);
        }
        free(values[i]);
    }
}

static void evaluate(struct repl *r, const char *text, bool show_time) {
    struct arena *arena = arena_create();
    const char *assigned;
    double begun = clock_seconds();
    struct function *f = understand(r, text, arena, &assigned);
    struct program *p = f ? compile(r, f) : NULL;
    struct memory memory = {0};
    if (p && memory_create(&r->session, p->plan, &memory)) {
        double compiled = clock_seconds();
        void **values = ARENA_ARRAY(p->arena, void *, p->entries[0].plan->arguments.count);
        bool ok = run(r, p, &memory, values);
        double ran = clock_seconds();
        take_results(r, &p->entries[0], values, assigned, ok);
        if (interrupted)
            fprintf(stderr, "interrupted\n");
        else if (show_time)
            printf("compiled in %.2f ms, ran in %.3f ms\n", 1e3 * (compiled - begun), 1e3 * (ran - compiled));
    }
    memory_destroy(&memory);
    program_destroy(&r->session, p);
    show_diagnostics(r);
    arena_destroy(arena);
}

/* ---- commands ---- */

static void command_evaluate_timed(struct repl *r, const char *text) {
    evaluate(r, text, true);
}

/* What :type, :ir, :plan and :asm print of an expression. */
enum look { LOOK_TYPE, LOOK_IR, LOOK_PLAN, LOOK_ASM };

static void print_types(struct strbuf *out, const struct function *f) {
    struct op *yield = block_yield(f->body);
    for (int i = 0; i < yield->in_count; i++) {
        if (f->result_names && f->result_names[i] && *f->result_names[i])
            strbuf_printf(out, "%s: ", f->result_names[i]);
        type_print(out, yield->in[i]->type);
        strbuf_putc(out, '\n');
    }
}

static void look(struct repl *r, const char *text, enum look what) {
    struct arena *arena = arena_create();
    const char *assigned;
    struct function *f = understand(r, text, arena, &assigned);
    struct program *p = f && what >= LOOK_PLAN ? compile(r, f) : NULL;
    struct strbuf out;
    strbuf_init(&out, arena);
    if (f && what == LOOK_TYPE)
        print_types(&out, f);
    else if (f && what == LOOK_IR)
        function_print(f, &out);
    else if (p && what == LOOK_PLAN)
        plan_print(p->plan, &out);
    const char *code = p && what == LOOK_ASM ? r->session.codegen->assembly(p->compiled, r->session.diags) : NULL;
    fputs(code ? code : out.text, stdout);
    program_destroy(&r->session, p);
    show_diagnostics(r);
    arena_destroy(arena);
}

static void command_type(struct repl *r, const char *text) {
    look(r, text, LOOK_TYPE);
}

static void command_ir(struct repl *r, const char *text) {
    look(r, text, LOOK_IR);
}

static void command_expression_plan(struct repl *r, const char *text) {
    look(r, text, LOOK_PLAN);
}

static void command_asm(struct repl *r, const char *text) {
    look(r, text, LOOK_ASM);
}

static void command_load(struct repl *r, const char *path) {
    const char *why;
    const struct source *source = source_read(r->session.arena, path, &why);
    struct arena *arena = arena_create();
    bool is_definition;
    const char *assigned, *shown = NULL;
    if (!source)
        fprintf(stderr, "%s: %s\n", path, why);
    else
        repl_evaluate(r->scope, source, arena, &is_definition, &assigned, &shown);
    show_diagnostics(r);
    arena_destroy(arena);
}

static void command_quit(struct repl *r, const char *text) {
    (void)text;
    r->is_over = true;
}

static void command_list_help(struct repl *r, const char *text);

static const struct repl_command {
    const char *name, *argument, *help;
    void (*run)(struct repl *, const char *);
} repl_commands[] = {
    {"help", "[NAME]", "print this, or what a name of the library is", command_list_help},
    {"type", "EXPR", "the type of an expression", command_type},
    {"ir", "EXPR", "its graph", command_ir},
    {"plan", "EXPR", "where its buffers live", command_expression_plan},
    {"asm", "EXPR", "the machine code of its kernels", command_asm},
    {"time", "EXPR", "evaluate it and say how long it took", command_evaluate_timed},
    {"load", "FILE", "take in the definitions of a file", command_load},
    {"quit", "", "leave (so does Ctrl-D)", command_quit},
};
enum { REPL_COMMANDS = sizeof repl_commands / sizeof repl_commands[0] };

/* :help nn.Linear */
static void explain_name(struct repl *r, const char *name) {
    struct arena *arena = arena_create();
    struct strbuf out;
    strbuf_init(&out, arena);
    const char *nearest;
    if (docs_print_entry(docs_of_library(arena, r->session.names), arena, name, &out, &nearest))
        fputs(out.text, stdout);
    else
        fprintf(stderr, "the library has no %s%s%s%s\n", name, nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    arena_destroy(arena);
}

static void command_list_help(struct repl *r, const char *text) {
    if (*text) {
        explain_name(r, text);
        return;
    }
    printf("Type definitions (fn f(x) = ..., model M { ... }), assignments (x = randn([2, 3])) or expressions (sum(x)).\n"
           "What is not finished goes on in the next line. Ctrl-C stops a computation.\n\n");
    for (int i = 0; i < REPL_COMMANDS; i++)
        printf("  :%-6s %-6s %s\n", repl_commands[i].name, repl_commands[i].argument, repl_commands[i].help);
}

static void run_command(struct repl *r, const char *line) {
    size_t length = strcspn(line, " \t");
    const char *names[REPL_COMMANDS], *rest = line + length + strspn(line + length, " \t");
    for (int i = 0; i < REPL_COMMANDS; i++) {
        names[i] = repl_commands[i].name;
        if (strlen(names[i]) == length && memcmp(names[i], line, length) == 0) {
            if (*repl_commands[i].argument && *repl_commands[i].argument != '[' && !*rest)
                fprintf(stderr, ":%s wants %s\n", names[i], repl_commands[i].argument);
            else
                repl_commands[i].run(r, rest);
            return;
        }
    }
    const char *nearest = nearest_name(arena_strndup(r->session.arena, line, length), names, REPL_COMMANDS);
    fprintf(stderr, "there is no command :%.*s; %s%s\n", (int)length, line, nearest ? "did you mean :" : ":help lists them", nearest ? nearest : "");
}

/* ---- lines ---- */

static char *prompt(EditLine *edit) {
    struct repl *r;
    el_get(edit, EL_CLIENTDATA, &r);
    return r->is_continued ? "  ... " : "weft> ";
}

/* Completes the word before the cursor as far as all candidates agree; lists them where that adds nothing. */
static unsigned char complete(EditLine *edit, int key) {
    (void)key;
    struct repl *r;
    el_get(edit, EL_CLIENTDATA, &r);
    const LineInfo *line = el_line(edit);
    const char *word = line->cursor;
    while (word > line->buffer && (word[-1] == '_' || word[-1] == '.' || (word[-1] >= '0' && word[-1] <= '9') ||
                                   (word[-1] >= 'a' && word[-1] <= 'z') || (word[-1] >= 'A' && word[-1] <= 'Z')))
        word--;
    size_t length = (size_t)(line->cursor - word);
    const char **candidates;
    int count = repl_complete(r->scope, arena_strndup(r->session.arena, word, length), &candidates, r->session.arena);
    if (count == 0)
        return CC_ERROR;
    size_t common = strlen(candidates[0]);
    for (int i = 1; i < count; i++)
        for (size_t k = 0; k < common; k++)
            if (candidates[i][k] != candidates[0][k])
                common = k;
    if (common > length) {
        el_insertstr(edit, arena_strndup(r->session.arena, candidates[0] + length, common - length));
        return CC_REFRESH;
    }
    printf("\n");
    for (int i = 0; i < count; i++)
        printf("%s%s", candidates[i], i + 1 < count ? "  " : "\n");
    return CC_REDISPLAY;
}

/* A Ctrl-D that comes before the editor has taken the terminal over reaches it as a zero byte: it means the same. */
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

static bool open_editor(struct repl *r) {
    HistEvent event;
    r->history = history_init();
    r->edit = el_init("weft", stdin, stdout, stderr);
    if (!r->history || !r->edit)
        return session_fail(&r->session, E_FILE, "the line editor cannot be opened");
    history(r->history, &event, H_SETSIZE, 1000);
    const char *path = history_path(r->session.arena);
    if (path)
        history(r->history, &event, H_LOAD, path);
    el_set(r->edit, EL_CLIENTDATA, r);
    el_set(r->edit, EL_PROMPT, prompt);
    el_set(r->edit, EL_EDITOR, "emacs");
    el_set(r->edit, EL_SIGNAL, 0);
    el_set(r->edit, EL_HIST, history, r->history);
    /* el_set would keep copies of these texts that nothing frees. */
    el_wset(r->edit, EL_ADDFN, L"weft-complete", L"complete a name", complete);
    el_set(r->edit, EL_BIND, "^I", "weft-complete", NULL);
    el_wset(r->edit, EL_ADDFN, L"weft-end", L"end the session", end_of_input);
    el_set(r->edit, EL_BIND, "^@", "weft-end", NULL);
    return true;
}

static void close_editor(struct repl *r) {
    HistEvent event;
    const char *path = history_path(r->session.arena);
    if (path && r->history)
        history(r->history, &event, H_SAVE, path);
    if (r->edit)
        el_end(r->edit);
    if (r->history)
        history_end(r->history);
}

/* A line of the terminal, or of a file or pipe; NULL at the end. */
static char *read_line(struct repl *r, char **buffer, size_t *size) {
    if (!r->edit)
        return getline(buffer, size, stdin) < 0 ? NULL : *buffer;
    int count;
    const char *line = el_gets(r->edit, &count);
    return line ? arena_strdup(r->session.arena, line) : NULL;
}

/* Reads until brackets are closed and operators have their right side. */
static const char *read_text(struct repl *r) {
    struct strbuf text;
    strbuf_init(&text, r->session.arena);
    char *buffer = NULL, *line;
    size_t size = 0;
    r->is_continued = false;
    interrupted = 0;
    while ((line = read_line(r, &buffer, &size))) {
        strbuf_puts(&text, line);
        r->is_continued = text.text[0] != ':' &&
                          parse_is_incomplete(r->session.arena, source_create(r->session.arena, "<repl>", text.text, text.length));
        if (!r->is_continued || interrupted)
            break;
    }
    free(buffer);
    if (interrupted) { /* Ctrl-C at the prompt drops what was typed */
        puts("");
        return "";
    }
    return line || text.length ? text.text : NULL;
}

static void take_text(struct repl *r, const char *text) {
    HistEvent event;
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    char *trimmed = arena_strndup(r->session.arena, text, length);
    if (length == 0)
        return;
    if (r->history)
        history(r->history, &event, H_ENTER, trimmed);
    if (*trimmed == ':')
        run_command(r, trimmed + 1);
    else
        evaluate(r, trimmed, false);
    fflush(stdout);
}

enum exit_status command_repl(struct invocation *invocation) {
    struct repl r = {0};
    if (invocation->words.count > 1)
        return usage_error(invocation, "one model at the most");
    if (!session_open(&r.session, invocation))
        return EXIT_USAGE;
    bool ok = true;
    if (isatty(STDIN_FILENO)) {
        ok = open_editor(&r);
        if (ok && !r.session.quiet)
            printf("weft %s   :help tells what there is\n", WEFT_VERSION);
    }
    const char *model = invocation->words.count ? invocation->words.at[0] : NULL;
    r.scope = ok ? repl_create(r.session.frontend, model) : NULL;
    show_diagnostics(&r);
    signal(SIGINT, on_interrupt);
    r.session.interrupted = &interrupted;
    for (const char *text; r.scope && !r.is_over && (text = read_text(&r));)
        take_text(&r, text);
    close_editor(&r);
    for (int i = 0; i < r.variables.count; i++)
        free(r.variables.at[i].bytes);
    return session_finish(&r.session, r.scope != NULL);
}
