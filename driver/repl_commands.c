/* driver/repl_commands.c: the commands of the REPL, as a table. */
#include "driver/repl.h"

#include "driver/picture.h"
#include "driver/values.h"
#include "frontend/doc.h"
#include "frontend/inspect.h"
#include "ir/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void command_time(struct repl *r, const char *text) {
    repl_evaluate_text(r, text, true);
}

/* ---- looking at an expression ---- */

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
    struct function *f = repl_understand(r, text, arena, &assigned);
    struct program *p = f && what >= LOOK_PLAN ? repl_compile(r, f) : NULL;
    struct strbuf out;
    strbuf_init(&out, arena);
    if (f && what == LOOK_TYPE)
        print_types(&out, f);
    else if (f && what == LOOK_IR)
        function_print(f, &out);
    else if (p && what == LOOK_PLAN)
        plan_print(p->plan, &out);
    const char *code =
        p && what == LOOK_ASM ? r->session.codegen->assembly(p->compiled, r->session.diags) : NULL;
    fputs(code ? code : out.text, stdout);
    program_destroy(&r->session, p);
    repl_show_diagnostics(r);
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

/* ---- pictures and files ---- */

static void command_show(struct repl *r, const char *text) {
    const struct type *type;
    void *bytes;
    if (!repl_value(r, text, &type, &bytes))
        return;
    struct strbuf out;
    strbuf_init(&out, r->session.arena);
    if (picture_draw(&out, type, bytes, isatty(STDOUT_FILENO)))
        fputs(out.text, stdout);
    else
        fprintf(stderr,
                ":show draws f32 of [H,W], [C,H,W] or [B,C,H,W] with values from 0 to 1; this is %s\n",
                type_text(r->session.types, type));
    free(bytes);
}

/* "FILE EXPR" */
static void command_save(struct repl *r, const char *text) {
    const struct type *type;
    void *bytes;
    size_t length = strcspn(text, " \t");
    const char *path = arena_strndup(r->session.arena, text, length),
               *expr = text + length + strspn(text + length, " \t");
    if (!*expr) {
        fprintf(stderr, ":save wants FILE EXPR: `:save x.npy x`\n");
        return;
    }
    if (repl_value(r, expr, &type, &bytes)) {
        value_write(&r->session, path, type, bytes, 0, 0, 0, 1);
        free(bytes);
        repl_show_diagnostics(r);
    }
}

/* "NAME FILE": x = what the file holds. */
static void command_read(struct repl *r, const char *text) {
    struct given given;
    size_t length = strcspn(text, " \t");
    const char *name = arena_strndup(r->session.arena, text, length),
               *path = text + length + strspn(text + length, " \t");
    bool is_file = strchr(path, '.') != NULL;
    if (!*path || !is_file || !inspection_is_name(name)) {
        fprintf(stderr, ":read wants NAME FILE, a .npy or .png: `:read x digit.png`\n");
        return;
    }
    if (!given_read(&r->session, arena_printf(r->session.arena, "%s=%s", name, path), &given)) {
        repl_show_diagnostics(r);
        return;
    }
    enum dtype dtype;
    const char *word = weft_dtype_name(given.array.dtype);
    const struct type *type =
        dtype_find(word, strlen(word), &dtype)
            ? type_of_sizes(r->session.types, dtype, given.array.rank, given.array.shape)
            : NULL;
    void *bytes = type ? aligned_alloc(64, ((size_t)type_bytes(type) + 127) / 64 * 64) : NULL;
    if (bytes) {
        memcpy(bytes, given.array.data, (size_t)type_bytes(type));
        repl_declare(r->scope, name, type);
        repl_take_variable(r, name, type, bytes);
        printf("%s: %s\n", name, type_text(r->session.types, type));
    }
    weft_array_destroy(&given.array);
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
    repl_show_diagnostics(r);
    arena_destroy(arena);
}

/* ---- what there is ---- */

static void list_values(struct repl *r, const struct kept_values *values, const char *none) {
    for (int i = 0; i < values->at.count; i++)
        printf("%s: %s\n", values->at.at[i].name, type_text(r->session.types, values->at.at[i].type));
    if (values->at.count == 0)
        puts(none);
}

static void command_names(struct repl *r, const char *text) {
    (void)text;
    list_values(r, &r->variables, "no tensor has a name yet: x = randn([2, 3])");
}

static void command_weights(struct repl *r, const char *text) {
    (void)text;
    list_values(r, &r->weights, "there are no weights yet: they exist once an instance is called");
}

static void command_fresh(struct repl *r, const char *text) {
    (void)text;
    for (int i = 0; i < r->weights.at.count; i++)
        free(r->weights.at.at[i].bytes);
    r->weights.at.count = 0;
}

static void command_seed(struct repl *r, const char *text) {
    char *end;
    errno = 0;
    unsigned long long seed = strtoull(text, &end, 0);
    if (errno || *end || *text == '-')
        fprintf(stderr, ":seed wants a whole number, not `%s`\n", text);
    else
        r->session.seed = seed;
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
    {"help", "[NAME]", "print this, or what a name of the library or a builtin is", command_list_help},
    {"type", "EXPR", "the type of an expression", command_type},
    {"time", "EXPR", "evaluate it and say how long it took", command_time},
    {"show", "EXPR", "draw it as a picture", command_show},
    {"ir", "EXPR", "its graph", command_ir},
    {"plan", "EXPR", "where its buffers live", command_expression_plan},
    {"asm", "EXPR", "the machine code of its kernels", command_asm},
    {"names", "", "the tensors that have names", command_names},
    {"weights", "", "the weights that exist, with their types", command_weights},
    {"fresh", "", "forget the weights: they get their first values again", command_fresh},
    {"seed", "N", "the seed of first values and of draws from here on", command_seed},
    {"load", "FILE", "take in the definitions of a .weft file", command_load},
    {"read", "NAME FILE", "a tensor from a .npy or .png file", command_read},
    {"save", "FILE EXPR", "write a tensor to a .npy or .png file", command_save},
    {"quit", "", "leave (so does Ctrl-D)", command_quit},
};
enum { REPL_COMMANDS = sizeof repl_commands / sizeof repl_commands[0] };

/* :help nn.Linear, :help sum */
static void explain_name(struct repl *r, const char *name) {
    struct arena *arena = arena_create();
    struct strbuf out;
    strbuf_init(&out, arena);
    const char *nearest;
    if (builtin_print_help(name, &out) ||
        docs_print_entry(docs_of_library(arena, r->session.names), arena, name, &out, &nearest))
        fputs(out.text, stdout);
    else
        fprintf(stderr, "the library has no %s%s%s%s\n", name, nearest ? "; did you mean " : "",
                nearest ? nearest : "", nearest ? "?" : "");
    arena_destroy(arena);
}

static void command_list_help(struct repl *r, const char *text) {
    if (*text) {
        explain_name(r, text);
        return;
    }
    printf("Type an expression (sum(x)), an assignment (x = randn([2, 3])), or a definition (fn f(x) = ..., "
           "model M { ... }).\n"
           "What is not finished goes on in the next line. Tab completes; Ctrl-C stops a computation.\n"
           "`use nn` brings layers; `m = nn.Linear(3)` makes one, `m(x)` calls it. A model's `train` is "
           "called like a function, and\n"
           "moves its weights. A definition replaces an older one: what was made with it is made anew, and "
           "keeps its weights.\n\n");
    for (int i = 0; i < REPL_COMMANDS; i++)
        printf("  :%-8s %-9s  %s\n", repl_commands[i].name, repl_commands[i].argument, repl_commands[i].help);
    printf("\nThe beginning of a command is enough: `:t x`. docs/tour.md begins here and ends with a "
           "diffusion model.\n");
}

/* ---- finding a command ---- */

static bool begins_with(const char *name, const char *start, size_t length) {
    return strncmp(name, start, length) == 0;
}

/* The command of this name, or the first one in the table that begins with it. NULL: none does. */
static const struct repl_command *find_command(const char *name, size_t length) {
    const struct repl_command *found = NULL;
    for (int i = 0; i < REPL_COMMANDS; i++) {
        if (strlen(repl_commands[i].name) == length && begins_with(repl_commands[i].name, name, length))
            return &repl_commands[i];
        if (!found && length > 0 && begins_with(repl_commands[i].name, name, length))
            found = &repl_commands[i];
    }
    return found;
}

void repl_command(struct repl *r, const char *line) {
    size_t length = strcspn(line, " \t");
    const char *rest = line + length + strspn(line + length, " \t");
    const struct repl_command *command =
        length == 1 && *line == '?' ? &repl_commands[0] : find_command(line, length);
    if (command) {
        if (*command->argument && *command->argument != '[' && !*rest)
            fprintf(stderr, ":%s wants %s\n", command->name, command->argument);
        else
            command->run(r, rest);
        return;
    }
    const char *names[REPL_COMMANDS];
    for (int i = 0; i < REPL_COMMANDS; i++)
        names[i] = repl_commands[i].name;
    const char *nearest = nearest_name(arena_strndup(r->session.arena, line, length), names, REPL_COMMANDS);
    fprintf(stderr, "there is no command :%.*s; %s%s\n", (int)length, line,
            nearest ? "did you mean :" : ":help lists them", nearest ? nearest : "");
}

const char *repl_plain_command(const char *text) {
    static const struct {
        const char *word, *command;
    } words[] = {{"exit", "quit"}, {"exit()", "quit"}, {"quit", "quit"}, {"quit()", "quit"},
                 {"help", "help"}, {"help()", "help"}, {"?", "help"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i].word) == 0)
            return words[i].command;
    return NULL;
}

const char *repl_command_name(const char *start, int index) {
    for (int i = 0; i < REPL_COMMANDS; i++)
        if (begins_with(repl_commands[i].name, start, strlen(start)) && index-- == 0)
            return repl_commands[i].name;
    return NULL;
}
