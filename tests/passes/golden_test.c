/* Runs every tests/passes/PASS/NAME.test: a file that holds a command, a text and what must come of it:
 *
 *   // what the test is about
 *   run: simplify, dce
 *   --- before
 *   graph ...
 *   --- after
 *   graph ...
 *
 * Commands: `run: PASS, PASS` runs passes of the pipeline in this order, verified after each, and prints the
 * graph; `bind: B=3, H=8` may stand in front and sets the sizes first, `memory: 4096` limits the arena. Where
 * a pass refuses, `after` is the diagnostics. The parts may only differ in white space at the ends of lines.
 * With --rewrite, or with WEFT_GOLDEN in the environment (make golden), the `after` parts are written anew
 * instead. SOURCE_DIR is the root of the repository; a further argument is a part of the paths to run. */
#include "ir/text.h"
#include "passes/pipeline.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct golden {
    struct arena *arena;
    const char *path;
    const char *head, *before, *after; /* the three parts of the file, each ending in a newline */
};

static const char *read_whole(struct arena *arena, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    struct strbuf text;
    strbuf_init(&text, arena);
    char buffer[4096];
    size_t count;
    while ((count = fread(buffer, 1, sizeof(buffer), file)) > 0)
        strbuf_write(&text, buffer, count);
    fclose(file);
    return text.text ? text.text : "";
}

static bool split(struct golden *g, const char *text) {
    static const char before_mark[] = "--- before\n", after_mark[] = "--- after\n";
    const char *before = strstr(text, before_mark), *after = before ? strstr(before, after_mark) : NULL;
    if (!after)
        return false;
    g->head = arena_strndup(g->arena, text, (size_t)(before - text));
    before += strlen(before_mark);
    g->before = arena_strndup(g->arena, before, (size_t)(after - before));
    g->after = arena_strdup(g->arena, after + strlen(after_mark));
    return true;
}

/* The value of "key: ..." in the head; NULL: not there. */
static const char *head_line(const struct golden *g, const char *key) {
    const char *at = g->head;
    size_t length = strlen(key);
    while (at && *at) {
        if (strncmp(at, key, length) == 0 && at[length] == ':') {
            at += length + 1;
            at += strspn(at, " ");
            return arena_strndup(g->arena, at, strcspn(at, "\n"));
        }
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return NULL;
}

static bool bind_sizes(const struct golden *g, struct graph *graph, struct diags *diags) {
    const char *line = head_line(g, "bind");
    VEC(struct dim_binding) bindings = {0};
    while (line && *line) {
        char name[64];
        long long value;
        int used = 0;
        if (sscanf(line, "%63[^=]=%lld%n", name, &value, &used) < 2)
            return false;
        VEC_PUSH(g->arena, &bindings, ((struct dim_binding){arena_strdup(g->arena, name), value}));
        line += used;
        line += strspn(line, ", ");
    }
    for (int i = 0; bindings.count > 0 && i < graph->functions.count; i++)
        if (!graph_bind(graph, graph->functions.at[i], bindings.at, bindings.count, diags))
            return false;
    return true;
}

static bool run_passes(const struct golden *g, struct graph *graph, struct diags *diags) {
    const char *line = head_line(g, "run");
    if (!line) {
        diag_error(diags, (struct span){0}, E_IR, "the test has no line `run: PASS`");
        return false;
    }
    struct pass_context context = {.arena = g->arena, .diags = diags, .scratch = arena_create()};
    context.functions = graph->functions.at;
    context.memory = head_line(g, "memory") ? strtoll(head_line(g, "memory"), NULL, 10) : 0;
    context.function_count = graph->functions.count;
    bool ok = true;
    while (ok && *line) {
        const char *name = arena_strndup(g->arena, line, strcspn(line, ", "));
        const struct pass *pass = pipeline_find(name);
        if (!pass)
            diag_error(diags, (struct span){0}, E_IR, "there is no pass `%s`", name);
        ok = pass && pass->run(graph, &context) && graph_verify(graph, diags, name);
        arena_reset(context.scratch);
        line += strlen(name);
        line += strspn(line, ", ");
    }
    arena_destroy(context.scratch);
    return ok;
}

static const char *result_of(const struct golden *g) {
    struct diags *diags = diags_create(g->arena);
    const struct source *source = source_create(g->arena, "before", g->before, strlen(g->before));
    struct graph *graph =
        graph_parse(g->arena, types_create(g->arena), interner_create(g->arena), source, diags);
    struct strbuf out;
    strbuf_init(&out, g->arena);
    if (graph && bind_sizes(g, graph, diags) && run_passes(g, graph, diags))
        graph_print(graph, &out);
    else
        diags_render(diags, &out, false);
    return out.text ? out.text : "";
}

/* The first line in which a and b differ. */
static void show_difference(const char *wanted, const char *got) {
    int line = 1;
    while (*wanted && *got) {
        size_t m = strcspn(wanted, "\n"), n = strcspn(got, "\n");
        if (m != n || strncmp(wanted, got, m) != 0)
            break;
        wanted += m + (wanted[m] == '\n');
        got += n + (got[n] == '\n');
        line++;
    }
    printf("  line %d of the part after:\n  wanted: %.*s\n  got:    %.*s\n", line, (int)strcspn(wanted, "\n"),
           wanted, (int)strcspn(got, "\n"), got);
}

static bool rewrite(const struct golden *g, const char *result) {
    FILE *file = fopen(g->path, "wb");
    if (!file)
        return false;
    fprintf(file, "%s--- before\n%s--- after\n%s", g->head, g->before, result);
    return fclose(file) == 0;
}

static bool run_file(const char *path, bool rewriting) {
    struct arena *arena = arena_create();
    struct golden g = {.arena = arena, .path = path};
    const char *text = read_whole(arena, path);
    bool ok = text && split(&g, text);
    if (!ok)
        printf("%s: has no parts `--- before` and `--- after`\n", path);
    const char *result = ok ? result_of(&g) : "";
    if (ok && strcmp(result, g.after) != 0) {
        ok = rewriting && rewrite(&g, result);
        printf("%s: %s\n", path, ok ? "rewritten" : "differs");
        if (!ok)
            show_difference(g.after, result);
    }
    arena_destroy(arena);
    return ok;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Runs the .test files of a folder and those below; counts failures. */
static int run_folder(struct arena *arena, const char *folder, const char *filter, bool rewriting,
                      int *count) {
    struct dirent **entries;
    int found = scandir(folder, &entries, NULL, by_name), failures = 0;
    for (int i = 0; i < found; i++) {
        const char *name = entries[i]->d_name, *dot = strrchr(name, '.');
        const char *path = arena_printf(arena, "%s/%s", folder, name);
        if (dot && strcmp(dot, ".test") == 0 && (!filter || strstr(path, filter))) {
            ++*count;
            failures += !run_file(path, rewriting);
        } else if (name[0] != '.' && !dot) {
            failures += run_folder(arena, path, filter, rewriting, count);
        }
        free(entries[i]);
    }
    if (found >= 0)
        free(entries);
    return failures;
}

int main(int argc, char **argv) {
    const char *root = getenv("SOURCE_DIR"), *filter = NULL;
    bool rewriting = getenv("WEFT_GOLDEN") != NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rewrite") == 0)
            rewriting = true;
        else
            filter = argv[i];
    }
    struct arena *arena = arena_create();
    int count = 0;
    int failures = run_folder(arena, arena_printf(arena, "%s/tests/passes", root ? root : "."), filter,
                              rewriting, &count);
    arena_destroy(arena);
    printf("%d golden tests, %d failed\n", count, failures);
    return failures > 0 || count == 0;
}
