/* driver/lsp_rename.c: references and renaming. What a text declares may be named in any other text that uses
 * it: those that are open, and the .weft files of the folders that the editor has open, or of the
 * declaration's own. */
#include "driver/lsp.h"
#include "driver/lsp_recipes.h"

#include "runtime/listing.h"

#include <string.h>

enum { FILES_MOST = 4096, DEPTH_MOST = 12 };

/* ---- the texts ---- */

struct search {
    struct lsp *lsp;
    struct arena *arena;
    const struct declaration *declaration;
    const char *ending; /* of the files that are looked for */
    VEC(const char *) paths;
    void (*found)(struct search *search, const char *path, struct span span, bool declares);
    json_t *out; /* what `found` adds to */
    const char *new_name;
    bool with_declaration;
};

static void add_path(struct search *s, const char *path) {
    char *normal = arena_strdup(s->arena, path);
    path_normalise(normal);
    for (int i = 0; i < s->paths.count; i++)
        if (strcmp(s->paths.at[i], normal) == 0)
            return;
    if (s->paths.count < FILES_MOST)
        VEC_PUSH(s->arena, &s->paths, (const char *)normal);
}

/* Hidden folders are nobody's texts. */
static void add_folder(struct search *s, const char *folder, int depth) {
    struct weft_listing list = {0};
    struct weft_error error;
    if (weft_list_files(folder, "", s->ending, &list, &error))
        for (int64_t i = 0; i < list.count; i++)
            add_path(s, list.paths[i]);
    weft_listing_free(&list);
    list = (struct weft_listing){0};
    if (depth < DEPTH_MOST && weft_list_folders(folder, &list, &error))
        for (int64_t i = 0; i < list.count && s->paths.count < FILES_MOST; i++) {
            const char *slash = strrchr(list.paths[i], '/');
            if (slash && slash[1] != '.')
                add_folder(s, list.paths[i], depth + 1);
        }
    weft_listing_free(&list);
}

static bool is_below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* The folders that the editor has open, or the declaration's own outside of them. */
static void add_folders(struct search *s, const char *ending) {
    const char *path = s->declaration->path, *slash = strrchr(path, '/');
    bool is_inside = false;
    s->ending = ending;
    for (int i = 0; i < s->lsp->roots.count; i++) {
        is_inside |= is_below(path, s->lsp->roots.at[i]);
        add_folder(s, s->lsp->roots.at[i], 0);
    }
    if (!is_inside && *path == '/')
        add_folder(s, arena_strndup(s->arena, path, (size_t)(slash - path)), DEPTH_MOST);
}

static void collect_paths(struct search *s) {
    add_path(s, s->declaration->path);
    if (!s->declaration->is_seen_outside)
        return;
    for (int i = 0; i < s->lsp->documents.count; i++)
        add_path(s, s->lsp->documents.at[i]->path);
    add_folders(s, ".weft");
}

/* ---- the places ---- */

static void look_in(struct search *s, struct inspection *in, const char *path) {
    struct name_place *places;
    int count = inspection_places_of(in, s->declaration, &places);
    for (int i = 0; i < count; i++)
        s->found(s, path, places[i].span, places[i].declares);
}

static struct lsp_document *open_document(struct lsp *lsp, const char *path) {
    for (int i = 0; i < lsp->documents.count; i++)
        if (strcmp(lsp->documents.at[i]->path, path) == 0)
            return lsp->documents.at[i];
    return NULL;
}

/* A text without the word is not read any further. */
static void search_file(struct search *s, const char *path) {
    struct lsp_document *document = open_document(s->lsp, path);
    if (document) {
        struct inspection *in = lsp_inspect(s->lsp, document);
        if (in)
            look_in(s, in, path);
        return;
    }
    struct arena *arena = arena_create();
    const char *why;
    const struct source *source = arena ? source_read(arena, path, &why) : NULL;
    struct inspection *in =
        source && strstr(source->text, s->declaration->name) ? lsp_inspect_file(s->lsp, arena, path) : NULL;
    if (in)
        look_in(s, in, path);
    arena_destroy(arena);
}

/* ---- recipes ---- */

static bool find_recipe_name(struct search *s, struct recipe_name *out) {
    struct lsp_document *document = open_document(s->lsp, s->declaration->path);
    struct arena *arena = document ? NULL : arena_create();
    struct inspection *in = document ? lsp_inspect(s->lsp, document)
                            : arena  ? lsp_inspect_file(s->lsp, arena, s->declaration->path)
                                     : NULL;
    bool found = in && inspection_recipe_name(in, s->declaration->begin, out);
    if (found) { /* the names outlive the inspection */
        out->model = arena_strdup(s->arena, out->model);
        out->entry = out->entry ? arena_strdup(s->arena, out->entry) : NULL;
    }
    arena_destroy(arena);
    return found;
}

/* As they stand on the disk: the server is not told of texts that are no models. */
static void search_recipe(struct search *s, const char *path, const struct recipe_name *as) {
    struct arena *arena = arena_create();
    const char *why;
    const struct source *source = arena ? source_read(arena, path, &why) : NULL;
    struct recipe_places places = {0};
    if (source && strstr(source->text, s->declaration->name))
        recipe_find_places(arena, source, s->declaration->path, s->declaration->name, as, &places);
    for (int i = 0; i < places.spans.count; i++)
        s->found(s, path, places.spans.at[i], false);
    arena_destroy(arena);
}

static void search_recipes(struct search *s) {
    struct recipe_name as;
    if (!find_recipe_name(s, &as))
        return;
    s->paths.count = 0;
    add_folders(s, ".yaml");
    add_folders(s, ".yml");
    for (int i = 0; i < s->paths.count; i++)
        search_recipe(s, s->paths.at[i], &as);
}

static void search(struct search *s) {
    collect_paths(s);
    for (int i = 0; i < s->paths.count; i++)
        search_file(s, s->paths.at[i]);
    search_recipes(s);
}

/* The declaration that a call is about, kept: its inspection may be made anew under way. */
static bool find_declaration(struct lsp_call *call, struct arena *arena, struct declaration *out) {
    if (!inspection_declaration(call->inspection, call->offset, out))
        return false;
    out->path = arena_strdup(arena, out->path);
    out->name = arena_strdup(arena, out->name);
    return true;
}

/* ---- what is asked ---- */

static const char *uri_of(struct search *s, const char *path) {
    struct lsp_document *document = open_document(s->lsp, path);
    return document ? document->uri : lsp_uri_of_path(s->arena, path);
}

static void add_reference(struct search *s, const char *path, struct span span, bool declares) {
    if (s->with_declaration || !declares)
        json_array_append_new(s->out,
                              json_pack("{s:s, s:o}", "uri", uri_of(s, path), "range", lsp_range(span)));
}

json_t *lsp_references(struct lsp_call *call) {
    const json_t *context = json_object_get(call->params, "context");
    struct declaration declaration;
    struct search s = {.lsp = call->lsp,
                       .arena = arena_create(),
                       .declaration = &declaration,
                       .found = add_reference,
                       .out = json_array(),
                       .with_declaration = json_is_true(json_object_get(context, "includeDeclaration"))};
    if (s.arena && find_declaration(call, s.arena, &declaration))
        search(&s);
    arena_destroy(s.arena);
    return s.out;
}

json_t *lsp_prepare_rename(struct lsp_call *call) {
    struct span span;
    call->code = LSP_FAILED;
    return inspection_can_rename(call->inspection, call->offset, &span, &call->why) ? lsp_range(span) : NULL;
}

static void add_edit(struct search *s, const char *path, struct span span, bool declares) {
    (void)declares;
    const char *uri = uri_of(s, path);
    json_t *edits = json_object_get(s->out, uri);
    if (!edits) {
        edits = json_array();
        json_object_set_new(s->out, uri, edits);
    }
    json_array_append_new(edits, json_pack("{s:o, s:s}", "range", lsp_range(span), "newText", s->new_name));
}

json_t *lsp_rename(struct lsp_call *call) {
    struct span span;
    struct declaration declaration;
    const char *name = json_string_value(json_object_get(call->params, "newName"));
    call->code = LSP_FAILED;
    if (!name || !inspection_is_name(name))
        call->why = "this is no name: letters, digits and _, and none of the reserved words";
    if (call->why || !inspection_can_rename(call->inspection, call->offset, &span, &call->why))
        return NULL;
    struct search s = {.lsp = call->lsp,
                       .arena = arena_create(),
                       .declaration = &declaration,
                       .found = add_edit,
                       .out = json_object(),
                       .new_name = name};
    if (s.arena && find_declaration(call, s.arena, &declaration))
        search(&s);
    arena_destroy(s.arena);
    return json_pack("{s:o}", "changes", s.out);
}
