/* `weft fmt` does not change what a text means: every program, as it is and with its blanks and indentation
 * spoilt, becomes the same graphs after formatting as before. */
#include "support_elaborate.h"
#include "support_golden.h"

#include "ir/text.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Formatted; NULL: it does not parse. */
static const char *format(struct arena *arena, const char *name, const char *text) {
    return frontend_format(arena, source_create(arena, name, text, strlen(text)), diags_create(arena));
}

/* The text without its indentation, and with three blanks for one but in strings and comments. */
static const char *spoil(struct arena *arena, const char *text) {
    struct strbuf out;
    strbuf_init(&out, arena);
    bool quoted = false, comment = false, begins = true;
    for (const char *c = text; *c; c++) {
        if (begins && *c == ' ')
            continue;
        begins = *c == '\n';
        comment = !begins && (comment || (!quoted && c[0] == '/' && c[1] == '/'));
        quoted = !begins && (*c == '"' && !comment && c > text && c[-1] != '\\' ? !quoted : quoted);
        strbuf_puts(&out, *c == ' ' && !quoted && !comment ? "   " : arena_strndup(arena, c, 1));
    }
    return out.text;
}

/* Every function of every model with its sizes open, as IR text, or how many mistakes there are. */
static const char *meaning(struct arena *arena, const char *name, const char *text) {
    struct session s = session_start(arena, name, text, strlen(text));
    struct strbuf out;
    strbuf_init(&out, arena);
    int models = diags_error_count(s.diags) == 0 ? frontend_model_count(s.fe, name) : 0;
    for (int m = 0; m < models; m++) {
        struct instance *model =
            frontend_instantiate(s.fe, name, frontend_model_name(s.fe, name, m), NULL, 0, arena);
        for (int i = 0; model && i < instance_entry_count(model); i++)
            instance_elaborate(model, instance_entry(model, i)->name, NULL, 0, 1);
        if (model)
            graph_print(instance_graph(model), &out);
    }
    strbuf_printf(&out, "%d mistakes\n", diags_error_count(s.diags));
    return out.text;
}

/* What comes out as the text that went in means the same without a look. */
static int compare(struct arena *arena, const char *name, const char *text, const char *formatted) {
    if (!formatted || strcmp(text, formatted) == 0)
        return 0;
    if (strcmp(meaning(arena, name, text), meaning(arena, name, formatted)) != 0)
        fail_msg("%s: another graph after weft fmt", name);
    return 1;
}

struct counts {
    int files, compared;
};

static void check_file(const char *folder, const char *name, struct counts *counts) {
    struct arena *arena = arena_create();
    const char *why;
    const struct source *source = source_read(arena, name, &why);
    const char *text = source ? source->text : "", *formatted = format(arena, name, text);
    const char *spoilt = spoil(arena, text), *mended = format(arena, name, spoilt);
    if (!source || (formatted && !mended))
        fail_msg("%s/%s: %s", folder, name, source ? "does not parse any more" : why);
    counts->files++;
    counts->compared += compare(arena, name, text, formatted);
    counts->compared += compare(arena, name, text, mended);
    arena_destroy(arena);
}

/* Programs use each other by names beside them. */
static struct counts check_folder(const char *folder) {
    struct counts counts = {0};
    DIR *dir = folder && chdir(folder) == 0 ? opendir(".") : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strstr(entry->d_name, ".weft"))
            check_file(folder, entry->d_name, &counts);
    if (dir)
        closedir(dir);
    printf("%s: %d files, %d comparisons\n", folder, counts.files, counts.compared);
    return counts;
}

static void formatted_programs_mean_the_same(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    static const char *const folders[] = {"models", "models/lib", "models/lib/nn", "tests/frontend/programs"};
    if (!source_folder(arena, "models"))
        skip();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_true(check_folder(source_folder(arena, folders[i])).files > 1);
    arena_destroy(arena);
}

/* Those that the language was first described with; they are not part of the project. */
static void published_programs_mean_the_same(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const char *data = getenv("WEFT_DATA");
    struct counts counts = check_folder(data ? arena_printf(arena, "%s/../language/programs", data) : NULL);
    arena_destroy(arena);
    if (counts.files == 0)
        skip();
    assert_true(counts.compared > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(formatted_programs_mean_the_same),
                                       cmocka_unit_test(published_programs_mean_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
