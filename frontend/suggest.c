/* frontend/suggest.c: what a name that means nothing may have been meant to be: a variable of a block that
 * has ended, one that gets its value later, a name of a used file, a file that is not used, a slip of the
 * fingers. */
#include "frontend/builtin.h"
#include "frontend/library.h"

#include <string.h>

/* ---- assignments in the function that runs ---- */

struct search {
    const char *name;
    struct span use;
    struct span before, behind; /* an assignment in front of the use, in a block; and one behind it */
};

static void note_binding(struct search *s, const struct ident *name) {
    if (name->text != s->name || name->span.source != s->use.source)
        return;
    if (name->span.begin < s->use.begin)
        s->before = name->span;
    else if (!span_is_known(s->behind) && name->span.begin > s->use.begin)
        s->behind = name->span;
}

static void note_pattern(struct search *s, const struct pattern *pattern) {
    for (; pattern; pattern = pattern->next) {
        note_binding(s, &pattern->name);
        note_pattern(s, pattern->parts);
    }
}

static void search_statements(struct search *s, const struct stmt *stmt) {
    for (; stmt; stmt = stmt->next) {
        if (stmt->kind == STMT_ASSIGN && stmt->place->kind == EXPR_NAME)
            note_binding(s, &(struct ident){stmt->place->name.text, stmt->place->span});
        if (stmt->kind == STMT_TYPED || stmt->kind == STMT_CONST)
            note_binding(s, &stmt->name);
        note_pattern(s, stmt->pattern);
        search_statements(s, stmt->body.first);
        search_statements(s, stmt->otherwise.first);
    }
}

static bool explain_by_assignment(struct elab *e, struct diag *diag, const char *name, struct span span) {
    struct search s = {.name = name, .use = span};
    if (e->frame->item)
        search_statements(&s, e->frame->item->body.first);
    if (span_is_known(s.before)) {
        diag_label(diag, s.before, "this `%s` belongs to its block", name);
        diag_hint(diag, "give `%s` a value in front of the block, and it stays alive behind it", name);
        return true;
    }
    if (span_is_known(s.behind))
        diag_label(diag, s.behind, "`%s` gets its value here, later", name);
    return span_is_known(s.behind);
}

/* ---- types ---- */

enum foreign_place {
    FOREIGN_TYPE,
    FOREIGN_NAME,
    FOREIGN_LIBRARY,
    FOREIGN_MEMBER,
    FOREIGN_METHOD,
    FOREIGN_PARAMETER,
    FOREIGN_CALL,
    FOREIGN_ARGUMENT
};
static const struct {
    enum foreign_place place;
    const char *theirs, *hint;
} foreign[] = {
#define FOREIGN(place, theirs, hint) {FOREIGN_##place, theirs, hint},
#include "frontend/foreign.def"
#undef FOREIGN
};

static bool hint_foreign(struct diag *diag, const char *word, enum foreign_place place) {
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (foreign[i].place == place && strcmp(foreign[i].theirs, word) == 0) {
            diag_hint(diag, "%s", foreign[i].hint);
            return true;
        }
    return false;
}

void hint_parameter(struct diag *diag, const char *name, const char *const *names, int count) {
    const char *near = nearest_name(name, names, count);
    if (near || !hint_foreign(diag, name, FOREIGN_PARAMETER))
        diag_nearest(diag, name, names, count);
}

/* "x, axis: ..." of "x axis? keep?": the parameters that a call needs. */
static const char *needed_of_builtin(struct arena *arena, const struct builtin *b) {
    struct strbuf out;
    strbuf_init(&out, arena);
    for (const char *p = b->params; *p; p += strcspn(p, " "), p += *p == ' ') {
        size_t length = strcspn(p, " ?*");
        if (p[length] != '?')
            strbuf_printf(&out, "%s%.*s", out.length ? ", " : "", (int)length, p);
    }
    return out.length ? out.text : "x";
}

static const char *needed_of_closure(struct arena *arena, const struct closure *closure) {
    struct strbuf out;
    strbuf_init(&out, arena);
    const struct formal *f = closure->kind == CLOSURE_FN ? closure->item->formals : NULL;
    for (; f; f = f->next)
        if (!f->init)
            strbuf_printf(&out, "%s%s", out.length ? ", " : "", f->name.text);
    return out.length ? out.text : "x";
}

/* x.add_(1.0) */
static bool hint_in_place(struct diag *diag, const char *name) {
    size_t length = strlen(name);
    if (length < 2 || name[length - 1] != '_' || name[length - 2] == '_')
        return false;
    diag_hint(diag, "nothing is changed in place: assign the new value, x = x + 1.0");
    return true;
}

void hint_tensor_member(struct elab *e, struct diag *diag, const char *name) {
    static const char *const members[] = {"shape", "dtype"};
    const struct binding *fn = scope_find(e->frame->scope, name);
    if (hint_foreign(diag, name, FOREIGN_MEMBER) || hint_in_place(diag, name))
        return;
    if (fn && fn->datum.kind == DATUM_CLOSURE)
        diag_hint(diag, "`%s` is a function: %s(%s)", name, name,
                  needed_of_closure(e->arena, fn->datum.closure));
    else if (fn && fn->datum.kind == DATUM_BUILTIN)
        diag_hint(diag, "`%s` is a function: %s(%s)", name, name,
                  needed_of_builtin(e->arena, fn->datum.builtin));
    else
        diag_nearest(diag, name, members, 2);
}

void hint_call(struct diag *diag, const char *name) {
    hint_foreign(diag, name, FOREIGN_CALL);
}

void hint_argument(struct diag *diag, const char *name) {
    hint_foreign(diag, name, FOREIGN_ARGUMENT);
}

/* ---- the library ---- */

/* Whether a line of the text begins with the declaration of a function or module of this name. */
static bool declares(const char *text, const char *name) {
    static const char *const words[] = {"fn ", "module ", "optimizer ", "model "};
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            const char *word = line + strlen(words[i]);
            if (strncmp(line, words[i], strlen(words[i])) == 0 && strncmp(word, name, length) == 0 &&
                strchr(" ({\n", word[length]))
                return true;
        }
    }
    return false;
}

/* "diffusion.edm" of the library's file that declares the name, "nn" of one of nn's; NULL: none does. */
static const char *library_home(struct arena *arena, const char *name) {
    for (int i = 0; i < library_file_count; i++) {
        const struct library_file *file = &library_files[i];
        if (strcmp(file->name, "prelude.weft") == 0 || !declares((const char *)file->bytes, name))
            continue;
        char *home = arena_printf(arena, "%.*s", (int)(strlen(file->name) - strlen(".weft")), file->name);
        if (strncmp(home, "nn/", 3) == 0)
            return "nn";
        for (char *c = home; *c; c++)
            if (*c == '/')
                *c = '.';
        return home;
    }
    return NULL;
}

static bool hint_library_home(struct arena *arena, struct diag *diag, const char *name) {
    const char *home = library_home(arena, name), *last = home ? strrchr(home, '.') : NULL;
    if (home)
        diag_hint(diag, "it is `%s.%s`, with `use %s` at the top of the file", last ? last + 1 : home, name,
                  home);
    return home != NULL;
}

/* Whether `word` is one of the parts of `name` that a _ separates: cosine of cosine_decay. */
static bool is_part(const char *name, const char *word) {
    size_t length = strlen(word);
    for (const char *p = strstr(name, word); p; p = strstr(p + 1, word))
        if ((p == name || p[-1] == '_') && (p[length] == 0 || p[length] == '_'))
            return true;
    return false;
}

/* Up to three; of more, none. */
static void hint_longer_names(struct arena *arena, struct diag *diag, const char *name,
                              const char *const *names, int count) {
    struct strbuf text;
    strbuf_init(&text, arena);
    int hits = 0;
    for (int i = 0; i < count; i++)
        if (is_part(names[i], name))
            strbuf_printf(&text, "%s`%s`", hits++ ? ", or " : "", names[i]);
    if (hits > 0 && hits <= 3)
        diag_hint(diag, "did you mean %s?", text.text);
}

void hint_library_name(struct arena *arena, struct diag *diag, const char *name, const struct scope *scope) {
    if (hint_foreign(diag, name, FOREIGN_LIBRARY))
        return;
    VEC(const char *) names = {0};
    for (int i = 0; i < scope->bindings.count; i++)
        if (scope->bindings.at[i].name)
            VEC_PUSH(arena, &names, scope->bindings.at[i].name);
    if (nearest_name(name, names.at, names.count))
        diag_nearest(diag, name, names.at, names.count);
    else if (!hint_library_home(arena, diag, name))
        hint_longer_names(arena, diag, name, names.at, names.count);
}

void hint_instance_member(struct arena *arena, struct diag *diag, const char *name,
                          const struct scope *scope) {
    if (!hint_foreign(diag, name, FOREIGN_METHOD))
        hint_nearest_in(arena, diag, name, scope);
}

void unknown_type(struct diags *diags, const char *word, struct span span) {
    static const char *const words[] = {"int", "float", "bool", "string", "list", "module",
                                        "any", "num",   "fn",   "f16",    "bf16", "f32",
                                        "f64", "i8",    "u8",   "i32",    "u32",  "i64"};
    struct diag *diag = diag_error(diags, span, E_NAME, "unknown type `%s`", word);
    if (!hint_foreign(diag, word, FOREIGN_TYPE))
        diag_nearest(diag, word, words, (int)(sizeof words / sizeof *words));
}

void unknown_dtype(struct diags *diags, const char *word, struct span span) {
    const char *words[DTYPE_COUNT];
    for (int i = 0; i < DTYPE_COUNT; i++)
        words[i] = dtype_text((enum dtype)i);
    struct diag *diag = diag_error(diags, span, E_DTYPE, "`%s` is no dtype", word);
    if (!hint_foreign(diag, word, FOREIGN_TYPE))
        diag_nearest(diag, word, words, DTYPE_COUNT);
}

/* ---- other files ---- */

static bool explain_by_file(struct elab *e, struct diag *diag, const char *name) {
    for (const struct scope *s = e->frame->scope; s; s = s->parent)
        for (int i = 0; s->kind == SCOPE_FILE && i < s->bindings.count; i++) {
            const struct binding *b = &s->bindings.at[i];
            if (!b->name || b->datum.kind != DATUM_NAMESPACE || !scope_find_here(b->datum.scope, name))
                continue;
            diag_hint(diag, "did you mean `%s.%s`?", b->name, name);
            return true;
        }
    for (int i = 0; i < library_file_count; i++) {
        size_t length = strlen(name);
        if (strncmp(library_files[i].name, name, length) != 0 ||
            strcmp(library_files[i].name + length, ".weft") != 0)
            continue;
        diag_hint(diag, "`use %s` at the top of the file brings it", name);
        return true;
    }
    return false;
}

void explain_unknown_name(struct elab *e, struct diag *diag, const char *name, struct span span) {
    if (explain_by_assignment(e, diag, name, span) || explain_by_file(e, diag, name) ||
        hint_foreign(diag, name, FOREIGN_NAME))
        return;
    const char *near = scope_nearest(e->frame->scope, name, e->arena);
    if (near)
        diag_hint(diag, "did you mean `%s`?", near);
    else
        hint_library_home(e->arena, diag, name);
}
