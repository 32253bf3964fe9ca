/* Data sets whose pictures stay in files. */
#include "runtime/bpe.h"
#include "runtime/dataset_parts.h"
#include "runtime/error.h"
#include "runtime/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char pictures[] = ".png .jpg .jpeg";

static bool load_folder(struct weft_dataset *set, const char *folder, const char *name,
                        struct weft_error *error) {
    struct weft_listing list;
    return weft_list_files(folder, "", pictures, &list, error) &&
           weft_dataset_add_files(set, name, &list, error);
}

bool weft_load_images(struct weft_dataset *set, const struct weft_dataset_options *o,
                      struct weft_error *error) {
    return load_folder(set, o->path, "image", error);
}

bool weft_load_unpaired(struct weft_dataset *set, const struct weft_dataset_options *o,
                        struct weft_error *error) {
    if (!o->other)
        return weft_fail(error, "unpaired data need two folders");
    if (!load_folder(set, o->path, "a", error) || !load_folder(set, o->other, "b", error))
        return false;
    set->columns[1].is_partner = true;
    return true;
}

/* ---- a folder for each class ---- */

/* Moves the paths of `from` behind those of `to`. */
static bool append(struct weft_listing *to, struct weft_listing *from) {
    bool ok = true;
    for (int64_t i = 0; i < from->count; i++) {
        ok = ok && weft_listing_add(to, from->paths[i]);
        if (ok)
            from->paths[i] = NULL;
    }
    weft_listing_free(from);
    return ok;
}

struct classes {
    struct weft_listing files;
    int64_t *ends; /* by class: how many files there are up to its last */
};

static bool list_classes(const struct weft_listing *folders, struct classes *all, struct weft_error *error) {
    all->ends = calloc((size_t)folders->count, sizeof *all->ends);
    if (!all->ends)
        return weft_fail(error, "no memory for the names of the classes");
    for (int64_t c = 0; c < folders->count; c++) {
        struct weft_listing list;
        if (!weft_list_files(folders->paths[c], "", pictures, &list, error))
            return false;
        if (!append(&all->files, &list))
            return weft_fail(error, "%s: no memory for its names", folders->paths[c]);
        all->ends[c] = all->files.count;
    }
    return true;
}

static int32_t class_of(const struct classes *all, int64_t file) {
    int32_t class = 0;
    while (file >= all->ends[class])
        class ++;
    return class;
}

/* The items stand in an order without meaning, always the same one: sorted by class, `limit` and `hold_out`
 * would cut whole classes off. Moves the paths into this order and makes the labels to it. */
static bool mix(struct classes *all, struct weft_array *labels, struct weft_error *error) {
    int64_t count = all->files.count, *order = malloc(sizeof *order * (size_t)(count + 1));
    char **paths = malloc(sizeof *paths * (size_t)(count + 1));
    bool ok = order && paths ? weft_array_create(labels, WEFT_I32, 1, &count, error)
                             : weft_fail(error, "no memory for the names of %" PRId64 " pictures", count);
    if (ok) {
        weft_shuffle(0, 0, count, order);
        for (int64_t i = 0; i < count; i++) {
            paths[i] = all->files.paths[order[i]];
            ((int32_t *)labels->data)[i] = class_of(all, order[i]);
        }
        memcpy(all->files.paths, paths, sizeof *paths * (size_t)count);
    }
    free(order);
    free(paths);
    return ok;
}

bool weft_load_folders(struct weft_dataset *set, const struct weft_dataset_options *o,
                       struct weft_error *error) {
    struct weft_listing folders;
    struct classes all = {0};
    struct weft_array labels = {0};
    if (!weft_list_folders(o->path, &folders, error))
        return false;
    bool ok = list_classes(&folders, &all, error) && mix(&all, &labels, error);
    ok = ok && weft_dataset_add_files(set, "image", &all.files, error) &&
         weft_dataset_add_array(set, o->path, "label", &labels, 0, error);
    weft_listing_free(&all.files); /* both are empty where a column has taken them */
    weft_array_destroy(&labels);
    free(all.ends);
    weft_listing_free(&folders);
    return ok;
}

/* ---- pictures and their texts ---- */

enum { LARGEST_TABLE = 1 << 30 };

/* A table under way: its paths, and where its texts stand. */
struct table {
    const char *path;
    char *bytes;
    struct weft_listing files, texts; /* texts: copies */
};

/* The picture's path is meant from the table's folder. */
static char *path_of(const char *table, const char *name) {
    const char *slash = strrchr(table, '/');
    if (!slash || name[0] == '/')
        return strdup(name);
    char *folder = strndup(table, (size_t)(slash - table)),
         *path = folder ? weft_path_join(folder, name) : NULL;
    free(folder);
    return path;
}

static bool read_line(struct table *t, char *line, int64_t number, struct weft_error *error) {
    line[strcspn(line, "\r")] = 0;
    char *tab = strchr(line, '\t');
    if (!*line)
        return true;
    if (!tab || tab == line)
        return weft_fail(error, "%s: line %" PRId64 ": a path, a tab and a text are expected", t->path,
                         number);
    *tab = 0;
    return (weft_listing_add(&t->files, path_of(t->path, line)) &&
            weft_listing_add(&t->texts, strdup(tab + 1))) ||
           weft_fail(error, "%s: no memory to read it", t->path);
}

static bool read_table(struct table *t, struct weft_error *error) {
    unsigned char *bytes;
    size_t size;
    if (!weft_file_read(t->path, LARGEST_TABLE, &bytes, &size, error))
        return false;
    t->bytes = (char *)bytes;
    int64_t number = 0;
    for (char *at = t->bytes, *next; at < t->bytes + size; at = next) {
        char *newline = memchr(at, '\n', (size_t)(t->bytes + size - at));
        next = newline ? newline + 1 : t->bytes + size;
        if (newline)
            *newline = 0;
        if (!read_line(t, at, ++number, error))
            return false;
    }
    return t->files.count > 0 || weft_fail(error, "%s: there are no pictures in it", t->path);
}

static bool add_texts(struct weft_dataset *set, const struct table *t, const struct weft_dataset_options *o,
                      struct weft_error *error) {
    struct weft_array tokens;
    struct weft_bpe *bpe = weft_bpe_open(o->merges, error);
    const int64_t shape[] = {t->texts.count, o->text_length};
    if (!bpe || !weft_array_create(&tokens, WEFT_I32, 2, shape, error)) {
        weft_bpe_close(bpe);
        return false;
    }
    bool ok = true;
    for (int64_t i = 0; ok && i < t->texts.count; i++)
        ok = weft_bpe_encode(bpe, t->texts.paths[i], o->text_length,
                             (int32_t *)tokens.data + i * o->text_length) >= 0;
    weft_bpe_close(bpe);
    if (!ok) {
        weft_array_destroy(&tokens);
        return weft_fail(error, "%s: no memory for its texts", t->path);
    }
    return weft_dataset_add_array(set, t->path, "text", &tokens, 0, error);
}

bool weft_load_pairs(struct weft_dataset *set, const struct weft_dataset_options *o,
                     struct weft_error *error) {
    struct table t = {.path = o->path};
    bool ok = read_table(&t, error);
    ok = ok && weft_dataset_add_files(set, "image", &t.files, error) &&
         (!o->merges || add_texts(set, &t, o, error));
    weft_listing_free(&t.files); /* empty where the column has taken it */
    weft_listing_free(&t.texts);
    free(t.bytes);
    return ok;
}
