/* No model of models/ is without a row in support_zoo.c, and so without a run. */
#include "support_models.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_row(const char *file, const char *model) {
    size_t length = strlen(file);
    for (int i = 0; i < model_count; i++) {
        const char *name = model_sizes[i].name;
        if (strncmp(name, file, length) == 0 &&
            (!name[length] || (name[length] == ':' && strcmp(name + length + 1, model) == 0)))
            return true;
    }
    return false;
}

/* The models that the text declares: lines that begin with `model Name`. */
static int missing_in(struct arena *arena, const char *folder, const char *file) {
    const char *why;
    const struct source *source = source_read(arena, arena_printf(arena, "%s/%s", folder, file), &why);
    assert_non_null(source);
    int missing = 0, length;
    for (uint32_t line = 1; line <= source->line_count; line++) {
        const char *text = source_line(source, (int)line, &length);
        char model[64];
        if (sscanf(text, "model %63[A-Za-z0-9_]", model) == 1 && strncmp(text, "model ", 6) == 0 &&
            !has_row(file, model)) {
            print_error("models/%s has a model %s without a row in tests/models/support_zoo.c\n", file,
                        model);
            missing++;
        }
    }
    return missing;
}

static void every_model_has_a_row(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const char *folder = arena_printf(arena, "%s/models", getenv("SOURCE_DIR"));
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int missing = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strstr(entry->d_name, ".weft"))
            missing += missing_in(arena, folder, entry->d_name);
    closedir(dir);
    arena_destroy(arena);
    assert_int_equal(missing, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_model_has_a_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
