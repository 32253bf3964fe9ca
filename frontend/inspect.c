/* frontend/inspect.c: a text and all that is known of its places (inspect.h): making one, and where its names
 * lead. */
#include "frontend/inspect_parts.h"

#include "frontend/grammar.tab.h"
#include "frontend/library.h"
#include "frontend/visit.h"

#include <string.h>

/* ---- making one ---- */

/* A model whose hyper-parameters have values can be elaborated here; another one waits for its recipe. */
static bool has_defaults(const struct item *item) {
    for (const struct formal *f = item->formals; f; f = f->next)
        if (!f->init)
            return false;
    return true;
}

/* What needs a number or list of the elaboration is there for other functions. */
static bool stands_alone(const struct entry *entry) {
    for (int i = 0; i < entry->param_count; i++)
        if (entry->params[i].kind == PARAM_OTHER && !entry->params[i].has_default &&
            !entry->params[i].optional)
            return false;
    return true;
}

static void elaborate_model(struct inspection *in, const struct module *module) {
    struct instance *instance =
        frontend_instantiate(in->frontend, in->source->name, module->name, NULL, 0, in->arena);
    bool is_good = instance != NULL;
    for (int i = 0; instance && i < instance_entry_count(instance); i++)
        if (stands_alone(instance_entry(instance, i)))
            is_good = instance_elaborate(instance, instance_entry(instance, i)->name, NULL, 0, 1) && is_good;
    if (is_good)
        VEC_PUSH(in->arena, &in->graphs, (const struct graph *)instance_graph(instance));
}

/* Of a text that cannot be read whole, what can be read is elaborated for what it tells; only what the
 * reading said is kept of the messages. */
static void elaborate(struct inspection *in, bool is_whole) {
    int messages = diags_count(in->diags);
    for (int i = 0; i < in->file->models.count; i++) {
        const struct module *module = in->file->models.at[i];
        if (module->item->module_kind == MODULE_MODEL && has_defaults(module->item))
            elaborate_model(in, module);
    }
    if (!is_whole)
        diags_truncate(in->diags, messages);
}

struct inspection *inspection_create(struct arena *arena, const struct source *source,
                                     const struct inspection_options *options) {
    struct inspection *in = ARENA_NEW(arena, struct inspection);
    in->arena = arena;
    in->source = source;
    in->options = *options;
    in->types = types_create(arena);
    in->interner = interner_create(arena);
    in->diags = diags_create(arena);
    in->frontend = frontend_create(arena, in->types, in->interner, in->diags);
    in->facts = facts_create(arena, source);
    frontend_set_facts(in->frontend, in->facts);
    frontend_set_library(in->frontend, options->library);
    frontend_set_resolver(in->frontend, options->resolver);
    if (options->evaluation_limit)
        frontend_set_limit(in->frontend, options->evaluation_limit);
    bool is_whole = frontend_load_source(in->frontend, source);
    in->file = frontend_find_file(in->frontend, source->name);
    if (!in->file) /* the library is broken: reported */
        in->file = frontend_empty_file(in->frontend, source->name, NULL);
    if (!in->file->ast)
        in->file->ast = parse_file(arena, in->interner, source, diags_create(arena));
    elaborate(in, is_whole);
    inspect_unreached(in);
    in->names = names_read(in->frontend, arena, in->file, in->facts);
    in->tokens =
        tokens_read(arena, in->interner, source, 0, source->length, &in->comments, diags_create(arena));
    return in;
}

struct inspection *inspection_of_line(struct frontend *fe, struct arena *arena, const char *line,
                                      struct model_file *here) {
    struct inspection *in = ARENA_NEW(arena, struct inspection);
    in->arena = arena;
    in->source = source_create(arena, here->path, line, strlen(line));
    in->types = fe->types;
    in->interner = fe->names;
    in->diags = diags_create(arena);
    in->frontend = fe;
    in->file = here;
    here->ast = parse_file(arena, fe->names, in->source, in->diags);
    in->names = names_read(fe, arena, here, NULL);
    in->tokens = tokens_read(arena, fe->names, in->source, 0, in->source->length, &in->comments, in->diags);
    return in;
}

const struct diags *inspection_diags(const struct inspection *in) {
    return in->diags;
}

const struct source *inspection_source(const struct inspection *in) {
    return in->source;
}

bool inspection_is_library(const struct inspection *in) {
    for (int i = 0; i < library_file_count; i++) {
        size_t length = strlen(library_files[i].name), whole = strlen(in->source->name);
        bool ends = whole > length && strcmp(in->source->name + whole - length, library_files[i].name) == 0;
        if (ends && in->source->name[whole - length - 1] == '/' &&
            (strstr(in->source->name, "/lib/") || strstr(in->source->name, "/library-")))
            return true;
    }
    return false;
}

int inspection_graph_count(const struct inspection *in) {
    return in->graphs.count;
}

const struct graph *inspection_graph(const struct inspection *in, int index) {
    return in->graphs.at[index];
}

struct span inspection_use_of(const struct inspection *in, const struct source *source) {
    for (int turns = 0; source && turns < in->frontend->files.count; turns++) {
        const struct model_file *file = frontend_find_file(in->frontend, source->name);
        if (!file || file->used.source == in->source)
            return file ? file->used : (struct span){0};
        source = file->used.source;
    }
    return (struct span){0};
}

int inspection_file_count(const struct inspection *in) {
    return in->frontend->files.count;
}

const char *inspection_file(const struct inspection *in, int index) {
    return in->frontend->files.at[index]->path;
}

/* ---- where names lead ---- */

/* Names that two symbols mean are one: dims of an instance are met again in each fn. */
static bool is_same(const struct symbol *a, const struct symbol *b) {
    if (a == b)
        return true;
    return a->kind != SYMBOL_FIELD && a->name == b->name && span_is_known(a->span) &&
           a->span.source == b->span.source && a->span.begin == b->span.begin;
}

/* A file is declared by its first byte. */
bool inspection_definition(struct inspection *in, uint32_t offset, struct span *out) {
    const struct occurrence *o = names_at(in->names, offset);
    if (!o)
        return false;
    if (o->symbol->file && o->symbol->file->ast) {
        *out = (struct span){o->symbol->file->ast->source, 0, 0};
        return true;
    }
    *out = o->symbol->span;
    return span_is_known(*out) && o->symbol->kind != SYMBOL_FIELD;
}

int inspection_references(struct inspection *in, uint32_t offset, struct name_place **out) {
    const struct occurrence *o = names_at(in->names, offset);
    VEC(struct name_place) places = {0};
    for (int i = 0; o && o->symbol->kind != SYMBOL_FIELD && i < in->names->occurrences.count; i++) {
        const struct occurrence *other = &in->names->occurrences.at[i];
        if (is_same(other->symbol, o->symbol))
            VEC_PUSH(in->arena, &places, ((struct name_place){other->span, other->declares, other->assigns}));
    }
    *out = places.at;
    return places.count;
}

static const char *normal_path(struct arena *arena, const char *path) {
    char *normal = arena_strdup(arena, path);
    path_normalise(normal);
    return normal;
}

bool inspection_declaration(struct inspection *in, uint32_t offset, struct declaration *out) {
    const struct occurrence *o = names_at(in->names, offset);
    if (!o || o->symbol->kind == SYMBOL_FIELD || !span_is_known(o->symbol->span))
        return false;
    const struct symbol *s = o->symbol;
    *out = (struct declaration){.path = normal_path(in->arena, s->span.source->name),
                                .name = s->name,
                                .begin = s->span.begin,
                                .is_seen_outside = s->kind <= SYMBOL_FORMAL};
    return true;
}

int inspection_places_of(struct inspection *in, const struct declaration *declaration,
                         struct name_place **out) {
    VEC(struct name_place) places = {0};
    for (int i = 0; i < in->names->occurrences.count; i++) {
        const struct occurrence *o = &in->names->occurrences.at[i];
        const struct symbol *s = o->symbol;
        bool is_it = s->kind != SYMBOL_FIELD && span_is_known(s->span) &&
                     s->span.begin == declaration->begin && strcmp(s->name, declaration->name) == 0 &&
                     strcmp(normal_path(in->arena, s->span.source->name), declaration->path) == 0;
        if (is_it)
            VEC_PUSH(in->arena, &places, ((struct name_place){o->span, o->declares, o->assigns}));
    }
    *out = places.at;
    return places.count;
}

bool inspection_can_rename(struct inspection *in, uint32_t offset, struct span *span, const char **why) {
    const struct occurrence *o = names_at(in->names, offset);
    if (!o) {
        *why = "there is no name here";
        return false;
    }
    *span = o->span;
    if (o->symbol->kind == SYMBOL_FIELD)
        *why = "the name of a field cannot be followed through the text";
    else if (o->symbol->kind == SYMBOL_FILE)
        *why = "this is the name of a file";
    else if (!span_is_known(o->symbol->span))
        *why = "this is a word of the language";
    else if (strncmp(o->symbol->span.source->name, "<lib>/", 6) == 0)
        *why = "this is the library's";
    else if (o->symbol->kind == SYMBOL_FN && strcmp(o->symbol->name, "call") == 0)
        *why = "`call` is what calling an instance runs";
    else
        return true;
    return false;
}

bool inspection_is_name(const char *text) {
    bool good = *text && !(*text >= '0' && *text <= '9') && !word_token(text);
    for (const char *c = text; *c && good; c++)
        good = *c == '_' || (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
    return good && strcmp(text, "_") != 0;
}

/* ---- hover ---- */

/* The weights of an instance that exist, and those below it. */
static void write_weights(struct strbuf *out, struct datum d, int *left) {
    if (datum_is_sequence(d)) {
        for (int i = 0; i<d.list->count && * left> 0; i++)
            write_weights(out, d.list->at[i], left);
        return;
    }
    if (d.kind != DATUM_INSTANCE)
        return;
    const struct instance *instance = d.instance;
    for (int i = 0; i < instance->members.count; i++) {
        const struct member *member = &instance->members.at[i];
        if (!member->weight) {
            write_weights(out, scope_find_here(instance->scope, member->name)->datum, left);
        } else if (member->weight->state && (*left)-- > 0) {
            strbuf_printf(out, "%s: ", member->weight->state->name);
            type_print(out, member->weight->state->type);
            strbuf_putc(out, '\n');
        }
    }
    for (int i = 0; i<instance->anonymous.count && * left> 0; i++)
        write_weights(out,
                      (struct datum){.kind = DATUM_INSTANCE, .instance = instance->anonymous.at[i].instance},
                      left);
}

static const char *declaration_of(struct inspection *in, const struct symbol *symbol) {
    if (symbol->builtin) {
        struct strbuf out;
        strbuf_init(&out, in->arena);
        write_builtin_form(&out, symbol->builtin);
        return out.text;
    }
    if (symbol->item)
        return text_of_item(in->arena, symbol->item);
    if (symbol->formal)
        return text_of_span(in->arena, symbol->formal->span, 200);
    if (symbol->file)
        return arena_printf(in->arena, "use %s", symbol->name);
    if (symbol->kind == SYMBOL_CONST && symbol->value)
        return arena_printf(in->arena, "const %s = %s", symbol->name,
                            text_of_span(in->arena, symbol->value->span, 200));
    if (symbol->kind == SYMBOL_DIM)
        return arena_printf(in->arena, "%s  // a size", symbol->name);
    return symbol->name;
}

static const char *doc_of(const struct symbol *symbol) {
    if (symbol->item)
        return symbol->item->doc;
    if (symbol->file)
        return symbol->file->ast ? symbol->file->ast->doc : NULL;
    return symbol->kind == SYMBOL_BUILTIN ? builtin_doc(symbol->name) : NULL;
}

/* Where it comes from, if that is not this text. */
static void write_origin(struct inspection *in, struct strbuf *out, const struct symbol *symbol) {
    const struct source *source =
        symbol->file && symbol->file->ast ? symbol->file->ast->source : symbol->span.source;
    if (symbol->kind == SYMBOL_BUILTIN)
        strbuf_puts(out, "\n\n*builtin*");
    else if (source && source != in->source)
        strbuf_printf(out, "\n\n*%s*", source->name);
}

static const struct fact *fact_of_occurrence(const struct inspection *in, const struct occurrence *o) {
    const struct fact *fact = facts_of_expr(in->facts, o->expr);
    if (!fact && (o->declares || o->assigns))
        fact = facts_of_name(in->facts, o->span);
    return fact ? fact : facts_of_name(in->facts, o->symbol->span);
}

static bool is_definition(struct datum d) {
    return d.kind == DATUM_CLOSURE || d.kind == DATUM_MODULE || d.kind == DATUM_BUILTIN ||
           d.kind == DATUM_NAMESPACE;
}

static void write_occurrence(struct inspection *in, const struct occurrence *o, struct strbuf *out) {
    const struct symbol *symbol = o->symbol;
    const struct fact *fact = fact_of_occurrence(in, o);
    strbuf_printf(out, "```weft\n%s\n```", declaration_of(in, symbol));
    bool is_itself = fact && fact->count && fact->values[0].kind == DATUM_INT && symbol->kind == SYMBOL_DIM;
    if (fact && fact->count && !is_definition(fact->values[0]) && !is_itself) {
        int left = 8;
        strbuf_printf(out, "\n```weft\n");
        write_fact(out, in->types, fact);
        strbuf_putc(out, '\n');
        write_weights(out, fact->values[0], &left);
        struct datum d = fact->values[0];
        if (d.kind == DATUM_TENSOR && d.weight && d.weight->state)
            strbuf_printf(out, "%s\n", d.weight->state->name);
        strbuf_puts(out, left < 0 ? "...\n```" : "```");
    }
    if (doc_of(symbol))
        strbuf_printf(out, "\n\n%s", doc_of(symbol));
    write_origin(in, out, symbol);
}

static bool is_plain_name(const struct expr *x) {
    return x->kind == EXPR_NAME || x->kind == EXPR_FIELD;
}

static bool is_literal(const struct expr *x) {
    return x->kind == EXPR_NUMBER || x->kind == EXPR_BOOL || x->kind == EXPR_NONE;
}

/* A reserved word at the place: of those that are names elsewhere, only where they stand as words. */
static const struct token *word_at(const struct inspection *in, uint32_t offset) {
    for (int i = 0; i < in->tokens.count; i++) {
        const struct token *token = &in->tokens.at[i];
        if (token->span.begin <= offset && offset < token->span.end)
            return token->kind == ID || token->kind == STR || token->kind == DTYPE ? NULL : token;
    }
    return NULL;
}

static bool hover_word(struct inspection *in, uint32_t offset, struct strbuf *out, struct span *span) {
    const struct token *token = word_at(in, offset);
    const char *text = token ? text_of_span(in->arena, token->span, 16) : NULL,
               *doc = text ? word_doc(text) : NULL;
    if (!doc)
        return false;
    *span = token->span;
    strbuf_puts(out, doc);
    return true;
}

bool inspection_hover(struct inspection *in, uint32_t offset, struct strbuf *out, struct span *span) {
    const struct occurrence *o = names_at(in->names, offset);
    const struct expr *x = o ? NULL : expr_at(in->file->ast, offset);
    if (o && (o->symbol->kind != SYMBOL_FIELD || fact_of_occurrence(in, o))) {
        *span = o->span;
        write_occurrence(in, o, out);
        return true;
    }
    if (!o && hover_word(in, offset, out, span))
        return true;
    const struct fact *fact = facts_of_expr(in->facts, x);
    if (!fact || is_plain_name(x) || is_literal(x))
        return false;
    *span = span_is_known(x->op_span) ? x->op_span : x->span;
    strbuf_puts(out, "```weft\n");
    write_fact(out, in->types, fact);
    strbuf_puts(out, "\n```");
    return true;
}
