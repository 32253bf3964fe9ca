/* frontend/doc.c: the declarations of texts, with their comments. */
#include "frontend/doc.h"
#include "frontend/ast.h"
#include "frontend/builtin.h"
#include "frontend/inspect_parts.h"
#include "frontend/library.h"

#include <string.h>

struct collector {
    struct arena *arena;
    struct doc_file *file;
    const struct source *source;
    const char *prefix;            /* in front of names: "edm." */
    const struct file_ast *parent; /* the file of whose folder it is, or NULL: nn, for nn.layers */
    const char *parent_prefix;
};

/* ---- pieces of text ---- */

/* Behind the bracket that closes the one at `at`; strings are skipped. */
static uint32_t behind_bracket(const char *text, uint32_t at) {
    int depth = 0;
    for (; text[at]; at++) {
        if (text[at] == '"')
            for (at++; text[at] && text[at] != '"'; at++)
                at += text[at] == '\\' && text[at + 1];
        else if (strchr("([{", text[at]))
            depth++;
        else if (strchr(")]}", text[at]) && --depth == 0)
            return at + 1;
        if (!text[at])
            break;
    }
    return at;
}

/* [begin, end) with its later lines moved left by as much as the first one stands to the right. */
static const char *dedented(struct arena *arena, const struct source *source, uint32_t begin, uint32_t end) {
    int line, column;
    source_locate(source, begin, &line, &column);
    struct strbuf out;
    strbuf_init(&out, arena);
    for (uint32_t at = begin; at < end; at++) {
        strbuf_putc(&out, source->text[at]);
        for (int i = 1; source->text[at] == '\n' && i < column && source->text[at + 1] == ' '; i++)
            at++;
    }
    return out.text;
}

/* Where what a declaration says of itself ends: before its body, its value, its members. */
static uint32_t signature_end(const struct source *source, const struct item *item) {
    if (item->type)
        return item->type->span.end;
    uint32_t at = item->name.span.end;
    return source->text[at] == '(' ? behind_bracket(source->text, at) : at;
}

static const char *signature_of(const struct collector *c, const struct item *item) {
    const char *text = dedented(c->arena, c->source, item->span.begin, signature_end(c->source, item));
    if ((item->kind != ITEM_PARAM && item->kind != ITEM_BUFFER) || !item->weight_path)
        return text;
    const char *colon = strchr(text, ':'); /* its name in a file of weights */
    return arena_printf(c->arena, "%.*s%s%s", (int)strcspn(text, " "), text,
                        arena_printf(c->arena, " %s", item->weight_path), colon ? colon : "");
}

/* "// ---- activations ----": the name in the last such line in front of an offset. */
static const char *section_of(const struct collector *c, uint32_t offset) {
    static const char mark[] = "\n// ---- ";
    const char *found = NULL, *text = c->source->text;
    for (const char *at = text; (at = strstr(at, mark)) && at < text + offset; at++)
        found = at + sizeof mark - 1;
    if (!found)
        return NULL;
    size_t length = strcspn(found, "\n");
    while (length > 0 && (found[length - 1] == '-' || found[length - 1] == ' '))
        length--;
    return arena_strndup(c->arena, found, length);
}

/* ---- entries ---- */

static bool is_told(const struct item *item, bool is_member) {
    bool is_callable = item->kind == ITEM_MODULE || item->kind == ITEM_FN || item->kind == ITEM_TRAIN;
    return is_callable || (is_member && (item->kind == ITEM_PARAM || item->kind == ITEM_BUFFER));
}

/* Whether the parent brings the name: use nn.layers: Linear. */
static bool is_brought(const struct collector *c, const char *name) {
    for (const struct item *item = c->parent ? c->parent->items : NULL; item; item = item->next)
        for (const struct param_name *n = item->kind == ITEM_USE ? item->names : NULL; n; n = n->next)
            if (strcmp(n->name.text, name) == 0)
                return true;
    return false;
}

static void add_entry(const struct collector *c, const struct item *item, const char *holder) {
    int line, column;
    source_locate(c->source, item->span.begin, &line, &column);
    const char *name = holder ? arena_printf(c->arena, "%s.%s", holder, item->name.text) : item->name.text;
    const char *prefix = holder ? "" : is_brought(c, name) ? c->parent_prefix : c->prefix;
    struct doc_entry entry = {
        .name = arena_printf(c->arena, "%s%s", prefix, name),
        .signature = signature_of(c, item),
        .text = item->doc,
        .section = section_of(c, item->span.begin),
        .file = c->file->file,
        .line = line,
        .is_member = holder != NULL,
    };
    VEC_PUSH(c->arena, &c->file->entries, entry);
    for (const struct item *member = item->members; member; member = member->next)
        if (is_told(member, true))
            add_entry(c, member, entry.name);
}

static void collect_items(const struct collector *c, const struct file_ast *ast) {
    c->file->text = ast->doc;
    for (const struct item *item = ast->items; item; item = item->next)
        if (is_told(item, false))
            add_entry(c, item, NULL);
}

static struct doc_file *add_file(struct docs *docs, struct arena *arena, const char *name, const char *file) {
    VEC_PUSH(arena, &docs->files, ((struct doc_file){.name = name, .file = file}));
    return &docs->files.at[docs->files.count - 1];
}

struct docs *docs_of_file(struct arena *arena, struct interner *names, const struct source *source,
                          struct diags *diags) {
    struct docs *docs = ARENA_NEW(arena, struct docs);
    int errors = diags_error_count(diags);
    const struct file_ast *ast = parse_file(arena, names, source, diags);
    if (diags_error_count(diags) > errors)
        return NULL;
    const struct collector c = {.arena = arena,
                                .file = add_file(docs, arena, source->name, source->name),
                                .source = source,
                                .prefix = ""};
    collect_items(&c, ast);
    return docs;
}

/* ---- the library ---- */

static const struct file_ast *library_ast(struct arena *arena, struct interner *names, int index) {
    const struct library_file *file = &library_files[index];
    const struct source *source = source_create(arena, file->name, (const char *)file->bytes, file->length);
    return parse_file(arena, names, source, diags_create(arena));
}

/* nn.weft, for nn/layers.weft; NULL: the file lies in no folder, or the folder has no file. */
static const struct file_ast *parent_of(struct arena *arena, struct interner *names, const char *file,
                                        const char **stem) {
    const char *slash = strchr(file, '/');
    for (int i = 0; slash && i < library_file_count; i++) {
        *stem = arena_strndup(arena, file, (size_t)(slash - file));
        if (strcmp(library_files[i].name, arena_printf(arena, "%s.weft", *stem)) == 0)
            return library_ast(arena, names, i);
    }
    return NULL;
}

static bool is_everywhere(const char *name) {
    return strcmp(name, "prelude") == 0 || strcmp(name, "special") == 0;
}

static void collect_library_file(struct docs *docs, struct arena *arena, struct interner *names, int index) {
    const char *file = library_files[index].name, *parent = "";
    char *name = arena_strndup(arena, file, strlen(file) - strlen(".weft"));
    for (char *at = name; *at; at++)
        if (*at == '/')
            *at = '.';
    const char *dot = strrchr(name, '.');
    const struct file_ast *ast = library_ast(arena, names, index);
    struct collector c = {.arena = arena, .file = add_file(docs, arena, name, file), .source = ast->source};
    c.prefix = is_everywhere(name) ? "" : arena_printf(arena, "%s.", dot ? dot + 1 : name);
    c.parent = parent_of(arena, names, file, &parent);
    c.parent_prefix = arena_printf(arena, "%s.", parent);
    collect_items(&c, ast);
}

/* All that is in scope everywhere and is not written in the language: functions, ambients, numbers. */
static const char *const everywhere[] = {
#define DOC(name, text) name,
#include "frontend/builtin_docs.def"
#undef DOC
};

/* "x axis? keep?" to fn sum(x, axis?, keep?). */
static const char *builtin_signature(struct arena *arena, const struct builtin *b) {
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_printf(&out, "fn %s(", b->name);
    for (const char *p = b->params; *p; p++)
        if (*p == ' ')
            strbuf_puts(&out, ", ");
        else if (strncmp(p, "**", 2) == 0)
            strbuf_puts(&out, ": ..."), p++;
        else if (*p == '*')
            strbuf_puts(&out, "...");
        else
            strbuf_putc(&out, *p);
    strbuf_putc(&out, ')');
    return out.text;
}

static void collect_builtins(struct docs *docs, struct arena *arena, struct interner *names) {
    struct doc_file *file = add_file(docs, arena, "in C", NULL);
    file->text = "What is in scope everywhere and not written in the language: functions (a `?` marks what "
                 "may be left out), ambients, "
                 "numbers.";
    const struct scope *scope = builtins_scope(arena, names, types_create(arena));
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++) {
        const struct binding *b = scope_find_here(scope, intern(names, everywhere[i]));
        bool is_function = b && b->datum.kind == DATUM_BUILTIN;
        struct doc_entry entry = {.name = everywhere[i],
                                  .signature = is_function ? builtin_signature(arena, b->datum.builtin)
                                                           : everywhere[i],
                                  .text = builtin_doc(everywhere[i])};
        VEC_PUSH(arena, &file->entries, entry);
    }
}

struct docs *docs_of_library(struct arena *arena, struct interner *names) {
    struct docs *docs = ARENA_NEW(arena, struct docs);
    for (int first = 1; first >= 0; first--)
        for (int i = 0; i < library_file_count; i++)
            if ((strcmp(library_files[i].name, "prelude.weft") == 0) == first)
                collect_library_file(docs, arena, names, i);
    collect_builtins(docs, arena, names);
    return docs;
}
