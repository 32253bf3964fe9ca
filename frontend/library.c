/* frontend/library.c: files: `use`, the embedded library, the prelude; and what their top level defines. */
#include "frontend/library.h"
#include "frontend/builtin.h"
#include "frontend/lint.h"

#include <string.h>

struct frontend *frontend_create(struct arena *arena, struct types *types, struct interner *names,
                                 struct diags *diags) {
    struct frontend *fe = ARENA_NEW(arena, struct frontend);
    fe->arena = arena;
    fe->types = types;
    fe->names = names;
    fe->diags = diags;
    fe->evaluation_limit = 500000000;
    fe->products = DTYPE_f32;
    map_init(&fe->signatures, arena);
    fe->builtins = builtins_scope(arena, names, types);
    return fe;
}

void frontend_set_limit(struct frontend *fe, int64_t evaluations) {
    fe->evaluation_limit = evaluations;
}

void frontend_set_precision(struct frontend *fe, enum dtype dtype) {
    fe->products = dtype;
}

void frontend_set_resolver(struct frontend *fe, struct file_resolver resolver) {
    fe->resolver = resolver;
}

static const struct source *read_source(struct frontend *fe, const char *path, const char **why) {
    const struct file_resolver *resolver = &fe->resolver;
    return resolver->read ? resolver->read(resolver->context, fe->arena, path, why)
                          : source_read(fe->arena, path, why);
}

void frontend_set_facts(struct frontend *fe, struct facts *facts) {
    fe->facts = fe->builtins->facts = facts;
}

void frontend_set_library(struct frontend *fe, const char *folder) {
    fe->library_folder = folder ? arena_strdup(fe->arena, folder) : NULL;
}

struct model_file *frontend_find_file(const struct frontend *fe, const char *path) {
    for (int i = 0; i < fe->files.count; i++)
        if (strcmp(fe->files.at[i]->path, path) == 0)
            return fe->files.at[i];
    return NULL;
}

/* ---- where texts come from ---- */

static const char library_place[] = "<lib>/";

const char *file_title(struct frontend *fe, const struct model_file *file) {
    size_t place = sizeof library_place - 1, end = strlen(file->path) - strlen(".weft");
    if (strncmp(file->path, library_place, place) != 0)
        return file->path;
    return arena_printf(fe->arena, "`%.*s`", (int)(end - place), file->path + place);
}

static const char *folder_of(struct arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(arena, path, (size_t)(slash - path) + 1) : "";
}

/* "nn" or "a.b" to "nn.weft", "a/b.weft". */
static const char *file_of_name(struct arena *arena, const char *name) {
    char *file = arena_printf(arena, "%s.weft", name);
    for (char *c = file; c < file + strlen(name); c++)
        if (*c == '.')
            *c = '/';
    return file;
}

/* The other way round. */
static const char *name_of_file(struct arena *arena, const char *file) {
    char *name = arena_strndup(arena, file, strlen(file) - strlen(".weft"));
    for (char *c = name; *c; c++)
        if (*c == '/')
            *c = '.';
    return name;
}

/* A file of the library; NULL: it has none of that name. */
static const struct source *library_source(struct frontend *fe, const char *file) {
    const char *why;
    if (fe->library_folder)
        return read_source(fe, arena_printf(fe->arena, "%s/%s", fe->library_folder, file), &why);
    for (int i = 0; i < library_file_count; i++)
        if (strcmp(library_files[i].name, file) == 0)
            return source_create(fe->arena, arena_printf(fe->arena, "<lib>/%s", file),
                                 (const char *)library_files[i].bytes, library_files[i].length);
    return NULL;
}

/* `use`: the place that asks for it, or unknown. */
static bool load_text(struct frontend *fe, const struct source *source, struct span use,
                      struct model_file **out);

/* The file of a library name: read before, or read now. NULL: the library has none. */
static struct model_file *library_file_get(struct frontend *fe, const char *file, struct span use) {
    const char *path = fe->library_folder ? arena_printf(fe->arena, "%s/%s", fe->library_folder, file)
                                          : arena_printf(fe->arena, "<lib>/%s", file);
    struct model_file *known = frontend_find_file(fe, path);
    if (known)
        return known;
    const struct source *source = library_source(fe, file);
    struct model_file *loaded = NULL;
    if (source)
        load_text(fe, source, use, &loaded);
    return loaded;
}

struct model_file *frontend_library_file(struct frontend *fe, const char *name) {
    return library_file_get(fe, file_of_name(fe->arena, name), (struct span){0});
}

static bool load_prelude(struct frontend *fe) {
    if (fe->prelude)
        return true;
    fe->prelude = fe->builtins; /* what the prelude itself sees */
    const struct model_file *file = library_file_get(fe, "prelude.weft", (struct span){0});
    if (file)
        fe->prelude = file->scope;
    return !file || file->status == FILE_LOADED;
}

/* ---- definitions ---- */

static bool define(struct frontend *fe, struct scope *scope, const char *name, struct datum d,
                   struct span span) {
    const struct binding *older = scope_find_here(scope, name);
    if (older) {
        diag_label(diag_error(fe->diags, span, E_DUPLICATE, "`%s` is defined twice", name), older->span,
                   "it is defined here too");
        return false;
    }
    scope_bind(scope, name, d, span);
    return true;
}

static void define_item(struct frontend *fe, struct model_file *file, const struct item *item) {
    if (item->kind == ITEM_MODULE) {
        const struct module *module = module_create(fe->arena, item, file->scope);
        if (item->module_kind != MODULE_OPTIMIZER)
            VEC_PUSH(fe->arena, &file->models, module);
        define(fe, file->scope, item->name.text, (struct datum){.kind = DATUM_MODULE, .module = module},
               item->name.span);
    } else if (item->kind == ITEM_FN) {
        struct closure *closure = ARENA_NEW(fe->arena, struct closure);
        *closure = (struct closure){.kind = CLOSURE_FN, .item = item, .scope = file->scope};
        define(fe, file->scope, item->name.text, (struct datum){.kind = DATUM_CLOSURE, .closure = closure},
               item->name.span);
    } else if (item->kind == ITEM_STMT && item->stmt->kind == STMT_ERROR) {
        return; /* the parser has said it */
    } else if (item->kind != ITEM_USE) {
        struct diag *diag =
            diag_error(fe->diags, item->span, E_SYNTAX, "a file holds `use`, modules and functions");
        diag_hint(diag, "members and statements stand in a module or function");
    }
}

/* ---- use ---- */

static void refuse_missing_file(struct frontend *fe, const struct item *item, const char *why) {
    if (item->source_is_file) {
        diag_error(fe->diags, item->span, E_USE, "cannot use \"%s\": %s", item->source, why);
        return;
    }
    struct diag *diag = diag_error(fe->diags, item->span, E_USE,
                                   "there is no `%s` in the library, and no %s beside this file",
                                   item->source, file_of_name(fe->arena, item->source));
    VEC(const char *) names = {0};
    VEC(const char *) shown = {0}; /* without those that others bring: nn.layers */
    for (int i = 0; i < library_file_count; i++) {
        const char *name = name_of_file(fe->arena, library_files[i].name);
        if (strcmp(name, "prelude") == 0 || strcmp(name, "special") == 0)
            continue;
        VEC_PUSH(fe->arena, &names, name);
        if (!strchr(name, '.'))
            VEC_PUSH(fe->arena, &shown, name);
    }
    diag_note(diag, "the library has %s", names_text(fe->arena, shown.at, shown.count));
    diag_nearest(diag, item->source, names.at, names.count);
}

/* Every file that was opened since `file` was, uses the next one. */
static void refuse_cycle(struct frontend *fe, const struct model_file *file, const struct item *item) {
    struct diag *diag =
        diag_error(fe->diags, item->span, E_USE, "%s uses itself, by way of this line", file->path);
    bool on_the_way = false;
    for (int i = 0; i < fe->files.count; i++) {
        const struct model_file *other = fe->files.at[i];
        if (on_the_way && other->status == FILE_LOADING)
            diag_label(diag, other->used, "%s is used here", other->path);
        on_the_way |= other == file;
    }
}

/* The file that a `use` means: the library's, then one beside the user. NULL: reported. */
static struct model_file *used_file(struct frontend *fe, struct model_file *user, const struct item *item) {
    struct model_file *file = NULL;
    const char *name = item->source_is_file ? item->source : file_of_name(fe->arena, item->source),
               *why = "there is no such file";
    if (!item->source_is_file)
        file = library_file_get(fe, name, item->span);
    if (!file) {
        const char *path =
            name[0] == '/' ? name : arena_printf(fe->arena, "%s%s", folder_of(fe->arena, user->path), name);
        file = frontend_find_file(fe, path);
        const struct source *source = file ? NULL : read_source(fe, path, &why);
        if (source)
            load_text(fe, source, item->span, &file);
    }
    if (!file)
        refuse_missing_file(fe, item, why);
    else if (file->status == FILE_LOADING)
        refuse_cycle(fe, file, item);
    return file && file->status != FILE_LOADING ? file : NULL;
}

static const char *stem_of(struct frontend *fe, const struct item *item) {
    const char *from = item->source, *mark = strrchr(from, item->source_is_file ? '/' : '.');
    if (mark)
        from = mark + 1;
    size_t length = strlen(from);
    if (item->source_is_file && length > 5 && strcmp(from + length - 5, ".weft") == 0)
        length -= 5;
    return intern_n(fe->names, from, length);
}

static void bring_names(struct frontend *fe, struct model_file *user, const struct model_file *file,
                        const struct item *item) {
    for (const struct param_name *name = item->names; name; name = name->next) {
        const struct binding *found = scope_find_here(file->scope, name->name.text);
        if (found) {
            define(fe, user->scope, name->name.text, found->datum, name->name.span);
            continue;
        }
        if (file->status != FILE_BROKEN) { /* what is missing may be what could not be read */
            struct diag *diag = diag_error(fe->diags, name->name.span, E_NAME, "%s has no `%s`",
                                           file_title(fe, file), name->name.text);
            hint_library_name(fe->arena, diag, name->name.text, file->scope);
        }
        scope_bind(user->scope, name->name.text, datum_error(), name->name.span);
    }
}

static void run_use(struct frontend *fe, struct model_file *user, const struct item *item) {
    const struct model_file *file = used_file(fe, user, item);
    const char *name = item->name.text ? item->name.text : stem_of(fe, item);
    if (file && item->names)
        bring_names(fe, user, file, item);
    else if (file)
        define(fe, user->scope, name, (struct datum){.kind = DATUM_NAMESPACE, .scope = file->scope},
               item->span);
    else if (!item->names)
        scope_bind(user->scope, name, datum_error(), item->span);
    for (const struct param_name *n = file ? NULL : item->names; n; n = n->next)
        scope_bind(user->scope, n->name.text, datum_error(), n->name.span);
}

/* ---- loading ---- */

static bool load_text(struct frontend *fe, const struct source *source, struct span use,
                      struct model_file **out) {
    struct model_file *file = ARENA_NEW(fe->arena, struct model_file);
    *out = file;
    file->used = use;
    file->path = source->name;
    file->status = FILE_LOADING;
    file->scope = scope_create(fe->arena, SCOPE_FILE, fe->prelude);
    file->scope->file = file;
    VEC_PUSH(fe->arena, &fe->files, file);
    int errors = diags_error_count(fe->diags);
    file->ast = parse_file(fe->arena, fe->names, source, fe->diags);
    bool parsed = diags_error_count(fe->diags) == errors;
    if (parsed)
        lint_file(fe, file->ast,
                  !fe->library_folder && strncmp(source->name, library_place, strlen(library_place)) != 0);
    for (const struct item *item = file->ast->items; item; item = item->next)
        if (item->kind == ITEM_USE)
            run_use(fe, file, item);
    for (const struct item *item = file->ast->items; item; item = item->next)
        if (parsed || item->kind != ITEM_STMT) /* a stray statement is what is left of a broken declaration */
            define_item(fe, file, item);
    bool good = diags_error_count(fe->diags) == errors;
    file->status = good ? FILE_LOADED : FILE_BROKEN;
    return good;
}

bool frontend_load_source(struct frontend *fe, const struct source *source) {
    struct model_file *file = frontend_find_file(fe, source->name);
    if (file)
        return file->status == FILE_LOADED;
    return load_prelude(fe) && load_text(fe, source, (struct span){0}, &file);
}

bool frontend_load(struct frontend *fe, const char *path) {
    const char *why;
    struct model_file *file = frontend_find_file(fe, path);
    if (file)
        return file->status == FILE_LOADED;
    const struct source *source = read_source(fe, path, &why);
    if (!source) {
        diag_error(fe->diags, (struct span){0}, E_FILE, "cannot read %s: %s", path, why);
        return false;
    }
    return frontend_load_source(fe, source);
}

int frontend_model_count(const struct frontend *fe, const char *path) {
    const struct model_file *file = frontend_find_file(fe, path);
    int count = 0;
    for (int i = 0; file && i < file->models.count; i++)
        count += file->models.at[i]->item->module_kind == MODULE_MODEL;
    return count;
}

const char *frontend_model_name(const struct frontend *fe, const char *path, int index) {
    const struct model_file *file = frontend_find_file(fe, path);
    for (int i = 0; file && i < file->models.count; i++)
        if (file->models.at[i]->item->module_kind == MODULE_MODEL && index-- == 0)
            return file->models.at[i]->name;
    return NULL;
}

struct model_file *frontend_empty_file(struct frontend *fe, const char *path, struct scope *outer) {
    load_prelude(fe);
    struct model_file *file = ARENA_NEW(fe->arena, struct model_file);
    file->path = path;
    file->status = FILE_LOADED;
    file->scope = scope_create(fe->arena, SCOPE_FILE, outer ? outer : fe->prelude);
    file->scope->file = file;
    return file;
}

void frontend_redefine(struct frontend *fe, struct model_file *file, const struct item *item) {
    if (item->name.text)
        scope_erase(file->scope, item->name.text);
    for (const struct param_name *name = item->names; name; name = name->next)
        scope_erase(file->scope, name->name.text);
    if (item->kind == ITEM_USE && !item->name.text)
        scope_erase(file->scope, stem_of(fe, item));
    if (item->kind == ITEM_USE)
        run_use(fe, file, item);
    else
        define_item(fe, file, item);
}
