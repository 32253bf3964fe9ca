/* Valid programs with one slip: a token left out, doubled, or changed for its neighbour. Each mutant runs in
 * a process of its own, through the front end and the elaborator: it must come to an end within a second,
 * without a crash or a defect, and what it reports must touch the line of the slip or one next to it, where
 * it reports anything. Slips of a bracket may show further away: what is missing is known by the indentation
 * alone.
 *
 *     mutation_test [--long] [SEED [COUNT]]
 *
 * A mutant that fails is printed with its seed; `mutation_test SEED 1` runs it again. --long also takes the
 * big programs of tests/frontend/programs. WEFT_SLOW (the sanitizers' builds) multiplies the time. */
#include "support_elaborate.h"
#include "support_golden.h"

#include "base/diag_parts.h"

#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- tokens ---- */

struct token {
    int begin, end;
};
struct tokens {
    struct token *at;
    int count, capacity;
};

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static int token_end(const char *text, int at) {
    static const char *const signs[] = {
        "...", "|>", "->", "=>", "..", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/="};
    if (is_word(text[at])) {
        while (is_word(text[at]) || (text[at] == '.' && isdigit((unsigned char)text[at + 1]) &&
                                     isdigit((unsigned char)text[at - 1])))
            at++;
        return at;
    }
    if (text[at] == '"') {
        for (at++; text[at] && text[at] != '"' && text[at] != '\n'; at++)
            at += text[at] == '\\' && text[at + 1];
        return at + (text[at] == '"');
    }
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strncmp(text + at, signs[i], strlen(signs[i])) == 0)
            return at + (int)strlen(signs[i]);
    return at + 1;
}

static void split(struct arena *arena, const char *text, struct tokens *out) {
    for (int at = 0; text[at];) {
        if (strncmp(text + at, "//", 2) == 0) {
            at += (int)strcspn(text + at, "\n");
        } else if (isspace((unsigned char)text[at])) {
            at++;
        } else {
            int end = token_end(text, at);
            VEC_PUSH(arena, out, ((struct token){at, end}));
            at = end;
        }
    }
}

/* ---- mutants ---- */

enum mutation { DELETED, DOUBLED, SWAPPED, MUTATIONS };
static const char *const mutation_text[] = {"deleted", "doubled", "swapped with the next"};

struct mutant {
    unsigned seed;
    const char *path, *folder; /* of the whole program */
    const char *name;          /* as messages call it */
    const char *text;
    enum mutation mutation;
    const char *token;
    int line;
    bool is_bracket; /* one of the tokens opens or closes something, or ends a line's statement */
};

/* Numbers that follow from the seed alone (xorshift32, Marsaglia 2003). */
static unsigned random_number(unsigned *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static bool opens_or_closes(const char *text, struct token t) {
    return strchr("(){}[]\"", text[t.begin]) != NULL;
}

static const char *piece(struct arena *arena, const char *text, struct token t) {
    return arena_strndup(arena, text + t.begin, (size_t)(t.end - t.begin));
}

static struct mutant make_mutant(struct arena *arena, const struct source *program, unsigned seed) {
    struct tokens tokens = {0};
    const char *text = program->text;
    split(arena, text, &tokens);
    unsigned state = seed * 2654435761u + 1;
    for (int i = 0; i < 4; i++)
        random_number(&state);
    int at = (int)(random_number(&state) % (unsigned)(tokens.count - 1));
    struct token t = tokens.at[at], next = tokens.at[at + 1];
    struct mutant m = {.seed = seed, .path = program->name, .mutation = random_number(&state) % MUTATIONS};
    const char *slash = strrchr(program->name, '/');
    m.name = slash ? slash + 1 : program->name;
    m.folder = slash ? arena_strndup(arena, program->name, (size_t)(slash - program->name)) : ".";
    m.token = piece(arena, text, t);
    m.is_bracket = opens_or_closes(text, t) || (m.mutation == SWAPPED && opens_or_closes(text, next));
    int column;
    source_locate(program, (uint32_t)t.begin, &m.line, &column);
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_write(&out, text, (size_t)t.begin);
    if (m.mutation == DOUBLED)
        strbuf_printf(&out, "%s %s", m.token, m.token);
    if (m.mutation == SWAPPED)
        strbuf_printf(&out, "%s%.*s%s", piece(arena, text, next), next.begin - t.end, text + t.end, m.token);
    strbuf_puts(&out, text + (m.mutation == SWAPPED ? next.end : t.end));
    m.text = out.text;
    return m;
}

/* ---- where the messages point ---- */

static bool is_near(const struct mutant *m, struct span span) {
    if (!span_is_known(span) || strcmp(span.source->name, m->name) != 0)
        return false;
    int first, last, column;
    source_locate(span.source, span.begin, &first, &column);
    source_locate(span.source, span.end, &last, &column);
    /* a token that was swapped over a line end made two lines differ */
    return first <= m->line + 2 && last >= m->line - 1;
}

/* "in f, called at m.weft:12:3" */
static bool note_is_near(const struct mutant *m, const char *note) {
    const char *at = strstr(note, m->name);
    if (!at || at[strlen(m->name)] != ':')
        return false;
    int line = atoi(at + strlen(m->name) + 1);
    return line >= m->line - 1 && line <= m->line + 2;
}

static bool diag_is_near(const struct mutant *m, const struct diag *diag) {
    bool near = is_near(m, diag->span);
    for (int i = 0; i < diag->labels.count; i++)
        near |= is_near(m, diag->labels.at[i].span);
    for (int i = 0; i < diag->remarks.count; i++)
        near |= note_is_near(m, diag->remarks.at[i].text);
    return near;
}

/* ---- running ---- */

enum outcome { VALID, NEAR, FAR, DEFECT, CRASH, SLOW, OUTCOMES };
static const char *const outcome_text[] = {"valid", "near", "far away", "a defect", "a crash", "too slow"};

static enum outcome judge(const struct mutant *m, const struct diags *diags) {
    if (diags_has_defect(diags))
        return DEFECT;
    if (diags_error_count(diags) == 0)
        return VALID;
    for (int i = 0; i < diags->all.count; i++)
        if (diags->all.at[i]->severity == SEVERITY_ERROR && diag_is_near(m, diags->all.at[i]))
            return NEAR;
    return FAR;
}

/* In the mutant's own process. */
static int run(struct arena *arena, const struct mutant *m, bool shows) {
    struct session s = session_start(arena, m->name, m->text, strlen(m->text));
    if (diags_error_count(s.diags) == 0)
        elaborate_everything(&s, strstr(m->path, "/models/") !=
                                     NULL); /* the first values of big ones take long */
    struct strbuf drawn;
    strbuf_init(&drawn, arena);
    diags_render(s.diags, &drawn, false);
    if (shows)
        fprintf(stderr, "%s\n", drawn.text ? drawn.text : "no message");
    return judge(m, s.diags);
}

/* Of the processor: the machine may be busy. */
static double seconds(const struct rusage *usage) {
    return (double)usage->ru_utime.tv_sec + 1e-6 * (double)usage->ru_utime.tv_usec +
           (double)usage->ru_stime.tv_sec + 1e-6 * (double)usage->ru_stime.tv_usec;
}

static double patience(void) {
    const char *slow = getenv("WEFT_SLOW");
    return slow ? atof(slow) : 1.0;
}

enum { STATUS = 100 }; /* added to the outcome: a sanitizer ends a process with 1 */

static enum outcome run_apart(struct arena *arena, const struct mutant *m, bool shows) {
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        if (chdir(m->folder) != 0) /* programs use each other by names beside them */
            _exit(1);
        _exit(STATUS + run(arena, m, shows));
    }
    int status = 0;
    struct rusage usage;
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        return CRASH;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? SLOW : CRASH;
    if (WEXITSTATUS(status) < STATUS || WEXITSTATUS(status) >= STATUS + OUTCOMES)
        return CRASH;
    return seconds(&usage) > patience() ? SLOW : (enum outcome)(WEXITSTATUS(status) - STATUS);
}

static void show(struct arena *arena, const struct mutant *m, enum outcome outcome) {
    fprintf(stderr, "seed %u, %s:%d, `%s` %s: %s\n", m->seed, m->path, m->line, m->token,
            mutation_text[m->mutation], outcome_text[outcome]);
    if (outcome == FAR || outcome == DEFECT)
        run_apart(arena, m, true);
}

/* ---- the programs ---- */

struct programs {
    VEC(const struct source *) at;
};

static int compare_sources(const void *a, const void *b) {
    return strcmp((*(const struct source *const *)a)->name, (*(const struct source *const *)b)->name);
}

static void add_folder(struct arena *arena, const char *folder, struct programs *out) {
    const char *path = source_folder(arena, folder), *why;
    DIR *dir = path ? opendir(path) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strstr(entry->d_name, ".weft")) {
            const struct source *source =
                source_read(arena, arena_printf(arena, "%s/%s", path, entry->d_name), &why);
            assert_non_null(source);
            VEC_PUSH(arena, &out->at, source);
        }
    if (dir)
        closedir(dir);
    if (out->at.count > 0)
        qsort(out->at.at, (size_t)out->at.count, sizeof *out->at.at, compare_sources);
}

static struct {
    unsigned seed, count;
    bool is_long, is_one;
} options = {1, 200, false, false};

static void mutants_are_reported_where_they_are(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct programs programs = {0};
    add_folder(arena, "models", &programs);
    if (options.is_long)
        add_folder(arena, "tests/frontend/programs", &programs);
    if (programs.at.count == 0)
        skip();
    unsigned counts[OUTCOMES] = {0};
    for (unsigned i = 0; i < options.count; i++) {
        struct arena *own = arena_create();
        unsigned seed = options.seed + i;
        struct mutant m = make_mutant(own, programs.at.at[seed % (unsigned)programs.at.count], seed);
        enum outcome outcome = run_apart(own, &m, options.is_one);
        counts[outcome]++;
        if (outcome > FAR || (outcome == FAR && !m.is_bracket) || options.is_one)
            show(own, &m, outcome);
        if (outcome == FAR && m.is_bracket)
            counts[NEAR]++, counts[FAR]--;
        arena_destroy(own);
    }
    for (int i = 0; i < OUTCOMES; i++)
        printf("%u %s%s", counts[i], outcome_text[i], i + 1 < OUTCOMES ? ", " : "\n");
    arena_destroy(arena);
    assert_int_equal(counts[DEFECT] + counts[CRASH] + counts[SLOW], 0);
    assert_int_equal(counts[FAR], 0);
    assert_true(options.is_one || counts[NEAR] > options.count / 2);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--long") == 0)
            options.is_long = true, options.count = options.count == 200 ? 5000 : options.count;
        else if (i + 1 < argc && isdigit((unsigned char)argv[i + 1][0]))
            options.seed = (unsigned)atoi(argv[i]), options.count = (unsigned)atoi(argv[++i]);
        else
            options.seed = (unsigned)atoi(argv[i]);
    options.is_one = options.count == 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(mutants_are_reported_where_they_are)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
