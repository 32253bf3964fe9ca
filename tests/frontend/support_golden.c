#include "support_golden.h"

#include "base/vec.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char separator[] = "\n---- expected ----\n";

const char *source_folder(struct arena *arena, const char *folder) {
    const char *root = getenv("SOURCE_DIR");
    return root ? arena_printf(arena, "%s/%s", root, folder) : NULL;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_tests(struct arena *arena, const char *folder, const char ***names) {
    VEC(const char *) found = {0};
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        if (length > 5 && strcmp(entry->d_name + length - 5, ".test") == 0)
            VEC_PUSH(arena, &found, arena_strdup(arena, entry->d_name));
    }
    if (dir)
        closedir(dir);
    if (found.count)
        qsort(found.at, (size_t)found.count, sizeof *found.at, compare_names);
    *names = found.at;
    return found.count;
}

static void rewrite(const char *path, const char *input, size_t length, const char *output) {
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    fwrite(input, 1, length, file);
    fputs(separator, file);
    fputs(output, file);
    fclose(file);
}

static bool run_one(struct arena *arena, const char *folder, const char *name, golden_function *function) {
    const char *path = arena_printf(arena, "%s/%s", folder, name), *why = NULL;
    const struct source *file = source_read(arena, path, &why);
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, why);
        return false;
    }
    const char *cut = strstr(file->text, separator);
    size_t length = cut ? (size_t)(cut - file->text) : strlen(file->text);
    const char *expected = cut ? cut + strlen(separator) : "";
    struct strbuf out;
    strbuf_init(&out, arena);
    const char *model = arena_printf(arena, "%.*s.weft", (int)strlen(name) - 5, name);
    function(arena, model, arena_strndup(arena, file->text, length), length, &out);
    if (strcmp(out.text, expected) == 0)
        return true;
    if (getenv("WEFT_GOLDEN")) {
        rewrite(path, file->text, length, out.text);
        return true;
    }
    fprintf(stderr, "%s: expected\n%s\nfound\n%s\n", path, expected, out.text);
    return false;
}

int golden_run(const char *folder, golden_function *function) {
    struct arena *arena = arena_create();
    const char *path = source_folder(arena, arena_printf(arena, "tests/frontend/%s", folder));
    const char **names = NULL;
    int count = path ? list_tests(arena, path, &names) : 0;
    int failures = count ? 0 : -1;
    for (int i = 0; i < count; i++)
        failures += !run_one(arena, path, names[i], function);
    arena_destroy(arena);
    return failures;
}
