/* frontend/inspect_complete.c: what may stand at a place: completion and the call around it. The words before
 * the place say what is wanted; the text around it may be broken, so that they are read as tokens. */
#include "frontend/inspect_parts.h"

#include "frontend/builtin.h"
#include "frontend/grammar.tab.h"
#include "frontend/library.h"
#include "frontend/visit.h"

#include <string.h>

struct completer {
    struct inspection *in;
    VEC(struct candidate) found;
};

enum rank { RANK_WANTED, RANK_LOCAL, RANK_FILE, RANK_LIBRARY, RANK_BUILTIN, RANK_WORD };

static void add(struct completer *c, const char *text, enum candidate_kind kind, const char *detail,
                const char *doc, int rank) {
    for (int i = 0; i < c->found.count; i++)
        if (strcmp(c->found.at[i].text, text) == 0)
            return; /* an inner name hides an outer one */
    VEC_PUSH(c->in->arena, &c->found, ((struct candidate){text, kind, detail, doc, rank}));
}

/* ---- symbols and bindings ---- */

static enum candidate_kind kind_of_symbol(const struct symbol *symbol) {
    static const enum candidate_kind kinds[SYMBOL_KINDS] = {
        [SYMBOL_MODULE] = CANDIDATE_MODULE,     [SYMBOL_FN] = CANDIDATE_FUNCTION,
        [SYMBOL_LET] = CANDIDATE_MEMBER,        [SYMBOL_PARAM] = CANDIDATE_MEMBER,
        [SYMBOL_BUFFER] = CANDIDATE_MEMBER,     [SYMBOL_CONST] = CANDIDATE_CONSTANT,
        [SYMBOL_FORMAL] = CANDIDATE_VARIABLE,   [SYMBOL_DIM] = CANDIDATE_CONSTANT,
        [SYMBOL_VARIABLE] = CANDIDATE_VARIABLE, [SYMBOL_FILE] = CANDIDATE_FILE,
        [SYMBOL_BUILTIN] = CANDIDATE_FUNCTION,  [SYMBOL_FIELD] = CANDIDATE_MEMBER};
    return kinds[symbol->kind];
}

static const char *detail_of_symbol(struct inspection *in, const struct symbol *symbol) {
    struct strbuf out;
    strbuf_init(&out, in->arena);
    const struct fact *fact = facts_of_name(in->facts, symbol->span);
    if (symbol->builtin)
        write_builtin_form(&out, symbol->builtin);
    else if (fact && fact->count && symbol->kind != SYMBOL_MODULE && symbol->kind != SYMBOL_FN &&
             symbol->kind != SYMBOL_FILE)
        write_fact(&out, in->types, fact);
    else if (symbol->item)
        strbuf_puts(&out, text_of_item(in->arena, symbol->item));
    else if (symbol->formal)
        strbuf_puts(&out, text_of_span(in->arena, symbol->formal->span, 100));
    return out.text;
}

static void add_symbol(struct completer *c, const struct symbol *symbol, int rank) {
    const char *doc = symbol->item                     ? symbol->item->doc
                      : symbol->kind == SYMBOL_BUILTIN ? builtin_doc(symbol->name)
                                                       : NULL;
    add(c, symbol->name, kind_of_symbol(symbol), detail_of_symbol(c->in, symbol), doc, rank);
}

static const char *value_text(struct inspection *in, struct datum d) {
    struct strbuf out;
    strbuf_init(&out, in->arena);
    write_value(&out, in->types, d);
    return out.text;
}

static bool is_plain_value(struct datum d) {
    return datum_is_number(d) || datum_is_sequence(d) || datum_is_run_time(d) || d.kind == DATUM_INSTANCE;
}

static void add_scope(struct completer *c, const struct scope *scope, int rank) {
    for (int i = 0; scope && i < scope->bindings.count; i++) {
        const struct binding *b = &scope->bindings.at[i];
        if (b->name && is_plain_value(b->datum) && scope->kind != SCOPE_BUILTINS)
            add(c, b->name, CANDIDATE_VARIABLE, value_text(c->in, b->datum), NULL, rank);
        else if (b->name)
            add_symbol(c, symbol_of_binding(c->in->arena, b), rank);
    }
}

static void add_item(struct completer *c, const struct item *item) {
    static const enum candidate_kind kinds[] = {
        [ITEM_MODULE] = CANDIDATE_MODULE, [ITEM_FN] = CANDIDATE_FUNCTION,  [ITEM_TRAIN] = CANDIDATE_FUNCTION,
        [ITEM_LET] = CANDIDATE_MEMBER,    [ITEM_PARAM] = CANDIDATE_MEMBER, [ITEM_BUFFER] = CANDIDATE_MEMBER};
    if (item->name.text && item->kind != ITEM_USE && item->kind != ITEM_STMT)
        add(c, item->name.text, kinds[item->kind], text_of_item(c->in->arena, item), item->doc, RANK_WANTED);
}

/* ---- members ---- */

static void add_module_members(struct completer *c, const struct item *module) {
    for (const struct item *m = module->members; m; m = m->next)
        add_item(c, m);
    for (const struct formal *f = module->formals; f; f = f->next)
        add(c, f->name.text, CANDIDATE_CONSTANT, text_of_span(c->in->arena, f->span, 100), NULL, RANK_LOCAL);
}

static void add_members(struct completer *c, struct datum d) {
    if (d.kind == DATUM_INSTANCE)
        add_module_members(c, d.instance->module->item);
    else if (d.kind == DATUM_NAMESPACE)
        add_scope(c, d.scope, RANK_WANTED);
    for (int i = 0; d.kind == DATUM_TUPLE && i < d.list->count; i++)
        if (d.list->names && d.list->names[i])
            add(c, d.list->names[i], CANDIDATE_MEMBER, value_text(c->in, d.list->at[i]), NULL, RANK_WANTED);
    if (!datum_is_run_time(d))
        return;
    add(c, "shape", CANDIDATE_MEMBER, "its sizes, a list", NULL, RANK_WANTED);
    add(c, "dtype", CANDIDATE_MEMBER, "its dtype", NULL, RANK_WANTED);
    if (d.kind == DATUM_TENSOR && d.weight)
        add(c, "name", CANDIDATE_MEMBER, "its name in the model's weights, a string", NULL, RANK_WANTED);
}

/* A member of a value, without an elaboration: what is not there yet is not there. */
static bool member_value(struct datum d, const char *name, struct datum *out) {
    const struct binding *found = NULL;
    if (d.kind == DATUM_NAMESPACE)
        found = scope_find_here(d.scope, name);
    else if (d.kind == DATUM_INSTANCE)
        found = scope_find_here(d.instance->scope, name);
    if (found)
        *out = found->datum;
    int field = d.kind == DATUM_TUPLE && d.list->names ? tuple_find(d.list, name) : -1;
    if (field >= 0)
        *out = d.list->at[field];
    return found || field >= 0;
}

static bool value_of_name(struct inspection *in, uint32_t offset, const char *name, struct datum *out) {
    const struct symbol *symbol = names_find(in->names, offset, name);
    const struct fact *fact = symbol ? facts_of_name(in->facts, symbol->span) : NULL;
    if (fact && fact->count) {
        *out = fact->values[0];
        return true;
    }
    if (symbol && symbol->made_of)
        return false; /* known by its text alone */
    const struct binding *found = scope_find(in->file->scope, name);
    if (found)
        *out = found->datum;
    return found != NULL;
}

bool value_of_path(struct inspection *in, uint32_t offset, const char *path, struct datum *out) {
    size_t length = strcspn(path, ".");
    if (!value_of_name(in, offset, intern_n(in->interner, path, length), out))
        return false;
    for (const char *at = path + length; *at; at += length) {
        at++;
        length = strcspn(at, ".");
        if (!member_value(*out, intern_n(in->interner, at, length), out))
            return false;
    }
    return true;
}

/* ---- the tokens before the place ---- */

static int token_before(const struct inspection *in, uint32_t offset) {
    int low = 0, high = in->tokens.count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (in->tokens.at[middle].span.end <= offset && in->tokens.at[middle].kind != 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

static int kind_at(const struct inspection *in, int i) {
    return i >= 0 && i < in->tokens.count ? in->tokens.at[i].kind : TOKEN_LINE_END;
}

/* Over line ends, backwards. */
static int skip_lines(const struct inspection *in, int i) {
    while (i >= 0 && in->tokens.at[i].kind == TOKEN_LINE_END)
        i--;
    return i;
}

static bool is_letter(char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The dotted name whose last token is i ("nn.Linear"); NULL: it is none. *first is its first token. */
static const char *path_ending_at(const struct inspection *in, int i, int *first) {
    int begin = i;
    if (i < 0 || !in->tokens.at[i].text || !is_letter(in->source->text[in->tokens.at[i].span.begin]))
        return NULL;
    while (begin >= 2 && kind_at(in, begin - 1) == '.' && in->tokens.at[begin - 2].text)
        begin -= 2;
    if (kind_at(in, begin - 1) == '.')
        return NULL; /* a field of something else: f(x).y */
    *first = begin;
    struct strbuf out;
    strbuf_init(&out, in->arena);
    for (int k = begin; k <= i; k += 2)
        strbuf_printf(&out, "%s%s", k > begin ? "." : "", in->tokens.at[k].text);
    return out.text;
}

/* The innermost bracket that is open behind token i; -1: none. *commas counts those behind it, on its level.
 */
static int open_bracket(const struct inspection *in, int i, int *commas) {
    int depth = 0;
    *commas = 0;
    for (; i >= 0; i--) {
        int kind = kind_at(in, i);
        if (token_closes(kind))
            depth++;
        else if (token_opens(kind) && depth-- == 0)
            return i;
        else if (kind == ',' && depth == 0)
            (*commas)++;
        else if (depth == 0 && token_begins_member(&in->tokens, i))
            return -1; /* a bracket before it is one that was left open */
    }
    return -1;
}

static bool in_comment_or_string(const struct inspection *in, uint32_t offset) {
    for (int i = 0; i < in->comments.count; i++)
        if (in->comments.at[i].span.begin < offset && offset <= in->comments.at[i].span.end)
            return true;
    for (int i = 0; i < in->tokens.count; i++)
        if (in->tokens.at[i].kind == STR && in->tokens.at[i].span.begin < offset &&
            offset < in->tokens.at[i].span.end)
            return true;
    return false;
}

/* ---- calls ---- */

struct call_place {
    int opener, commas;
    const char *path; /* of what is called */
    bool is_piped;
    bool is_declaration; /* fn f( ... ) */
    struct datum callee; /* ERROR: it is not known */
    const struct item *item;
};

static bool find_call(struct inspection *in, int last, struct call_place *call) {
    *call = (struct call_place){.callee = datum_error()};
    call->opener = open_bracket(in, last, &call->commas);
    int first = 0;
    if (call->opener < 1 || kind_at(in, call->opener) != '(')
        return false;
    call->path = path_ending_at(in, call->opener - 1, &first);
    int before = kind_at(in, first - 1);
    call->is_declaration =
        before == FN || before == TRAIN || before == MODULE || before == MODEL || before == OPTIMIZER;
    call->is_piped = kind_at(in, skip_lines(in, first - 1)) == PIPE;
    if (!call->path)
        return kind_at(in, call->opener - 1) == FN ? (call->is_declaration = true) : false;
    uint32_t at = in->tokens.at[call->opener].span.begin;
    if (!call->is_declaration && value_of_path(in, at, call->path, &call->callee))
        formals_of_datum(in->interner, call->callee, &call->item);
    const struct symbol *symbol = call->item || strchr(call->path, '.')
                                      ? NULL
                                      : names_find(in->names, at, intern(in->interner, call->path));
    if (symbol && (symbol->kind == SYMBOL_MODULE || symbol->kind == SYMBOL_FN))
        call->item = symbol->item;
    else if (symbol && symbol->made_of)
        for (const struct item *m = symbol->made_of->members; m; m = m->next)
            if (m->kind == ITEM_FN && strcmp(m->name.text, "call") == 0)
                call->item = m;
    return true;
}

static const struct builtin *builtin_of(const struct call_place *call) {
    return call->callee.kind == DATUM_BUILTIN ? call->callee.builtin : NULL;
}

static void add_arguments(struct completer *c, const struct call_place *call) {
    struct arena *arena = c->in->arena;
    for (const struct formal *f = call->item ? call->item->formals : NULL; f; f = f->next)
        add(c, arena_printf(arena, "%s: ", f->name.text), CANDIDATE_ARGUMENT,
            text_of_span(arena, f->span, 100), NULL, RANK_WANTED);
    const struct builtin *builtin = builtin_of(call);
    for (const char *p = builtin ? builtin->params : ""; *p;) {
        size_t length = strcspn(p, " "), name = strcspn(p, "?* ");
        if (p[name] != '*')
            add(c, arena_printf(arena, "%.*s: ", (int)name, p), CANDIDATE_ARGUMENT, NULL, NULL, RANK_WANTED);
        p += length + (p[length] == ' ');
    }
}

/* ---- what is wanted ---- */

static void add_types(struct completer *c) {
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        add(c, dtype_text((enum dtype)dtype), CANDIDATE_TYPE, "a dtype: f32[B, 3] is a tensor", NULL,
            RANK_WANTED);
    static const struct {
        const char *word, *detail;
    } words[] = {{"int", "a number of the elaboration"},
                 {"float", "a number; with [...] any float dtype"},
                 {"string", "a text of the elaboration"},
                 {"list", "a list of the elaboration"},
                 {"module", "an instance"},
                 {"fn", "a function"},
                 {"num", "any dtype of numbers"},
                 {"any", "any dtype"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        add(c, words[i].word, CANDIDATE_TYPE, words[i].detail, NULL, RANK_WANTED);
}

static void add_files(struct completer *c) {
    for (int i = 0; i < library_file_count; i++) {
        char *name = arena_strdup(c->in->arena, library_files[i].name);
        name[strlen(name) - strlen(".weft")] = 0;
        for (char *slash = strchr(name, '/'); slash; slash = strchr(slash, '/'))
            *slash = '.'; /* nn/layers.weft is used as nn.layers */
        if (strcmp(name, "prelude") != 0)
            add(c, name, CANDIDATE_FILE, "of the library", NULL, RANK_WANTED);
    }
}

static void add_ambients(struct completer *c) {
    static const char *const names[] = {"training", "precision", "weights", "rng"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        add(c, arena_printf(c->in->arena, "%s: ", names[i]), CANDIDATE_WORD, NULL, builtin_doc(names[i]),
            RANK_WANTED);
}

static void add_words(struct completer *c) {
    for (const char *const *word = language_words; *word; word++)
        add(c, *word, word_token(*word) == DTYPE ? CANDIDATE_TYPE : CANDIDATE_WORD, NULL, word_doc(*word),
            RANK_WORD);
    static const char *const ambients[] = {"training", "step", "epoch", "precision", "rng"};
    for (size_t i = 0; i < sizeof ambients / sizeof *ambients; i++)
        add(c, ambients[i], CANDIDATE_VARIABLE, "an ambient", builtin_doc(ambients[i]), RANK_BUILTIN);
}

/* Every name that is alive at the place. */
static void add_names(struct completer *c, uint32_t offset) {
    for (const struct name_scope *scope = names_scope_at(c->in->names, offset); scope; scope = scope->outer)
        for (int i = scope->symbols.count - 1; i >= 0; i--)
            if (!scope->in_order || scope->symbols.at[i]->span.end < offset)
                add_symbol(c, scope->symbols.at[i], scope->outer ? RANK_LOCAL : RANK_FILE);
    int rank = RANK_FILE;
    for (const struct scope *scope = c->in->file->scope; scope;
         scope = scope->parent, rank += rank < RANK_BUILTIN)
        add_scope(c, scope, rank);
}

/* Behind a point. What stands before it is a name that is known; else the text with a name put in behind the
 * point is inspected, and its elaboration tells. */
static void complete_member(struct completer *c, int point, uint32_t offset) {
    struct inspection *in = c->in;
    int first;
    struct datum d;
    const char *path = path_ending_at(in, point - 1, &first);
    if (path && value_of_path(in, in->tokens.at[point].span.begin, path, &d)) {
        add_members(c, d);
        return;
    }
    const struct symbol *symbol =
        path && !strchr(path, '.') ? names_find(in->names, offset, intern(in->interner, path)) : NULL;
    if (symbol && symbol->made_of) {
        add_module_members(c, symbol->made_of);
        return;
    }
    if (!in->facts)
        return; /* a line of the REPL: nothing is elaborated for it */
    static const char placeholder[] = "weft_here";
    uint32_t at = in->tokens.at[point].span.end;
    const char *text = arena_printf(in->arena, "%.*s%s%s", (int)at, in->source->text, placeholder,
                                    in->source->text + offset);
    const struct source *source = source_create(in->arena, in->source->name, text, strlen(text));
    const struct inspection *patched = inspection_create(in->arena, source, &in->options);
    const struct expr *x = expr_at(patched->file->ast, at + 1);
    const struct fact *fact = x && x->kind == EXPR_FIELD ? facts_of_expr(patched->facts, x->a) : NULL;
    if (fact && fact->count)
        add_members(c, fact->values[0]);
}

/* use nn: | : the names of that file. */
static bool complete_use(struct completer *c, int last) {
    struct inspection *in = c->in;
    int first = last;
    while (first >= 0 && kind_at(in, first) != TOKEN_LINE_END && kind_at(in, first) != USE)
        first--;
    if (kind_at(in, first) != USE)
        return false;
    if (first == last) {
        add_files(c);
        return true;
    }
    for (int i = first; i <= last; i++)
        if (kind_at(in, i) == ':') {
            int begin;
            const char *path = path_ending_at(in, i - 1, &begin);
            const struct model_file *file = path ? frontend_library_file(in->frontend, path) : NULL;
            add_scope(c, file ? file->scope : NULL, RANK_WANTED);
            return true;
        }
    return true;
}

/* Whether a type is wanted behind token `last`. */
static bool wants_type(struct inspection *in, int last, const struct call_place *call, bool in_call) {
    int kind = kind_at(in, last), before = kind_at(in, last - 2);
    if (kind == ARROW)
        return true;
    if (kind != ':')
        return false;
    return before == PARAM || before == BUFFER || before == LET || before == CONST ||
           (in_call && call->is_declaration);
}

int inspection_complete(struct inspection *in, uint32_t offset, uint32_t *begin, struct candidate **out) {
    struct completer c = {.in = in};
    *begin = offset;
    while (*begin > 0 && is_letter(in->source->text[*begin - 1]))
        (*begin)--;
    bool is_number = *begin < offset && in->source->text[*begin] >= '0' && in->source->text[*begin] <= '9';
    if (!is_number && !in_comment_or_string(in, offset)) {
        int last = token_before(in, *begin);
        struct call_place call;
        bool in_call = find_call(in, last, &call);
        int kind = kind_at(in, last), behind_lines = kind_at(in, skip_lines(in, last));
        if (kind == '.' || behind_lines == '.') {
            complete_member(&c, skip_lines(in, last), offset);
        } else if (complete_use(&c, last)) {
            ;
        } else if (wants_type(in, last, &call, in_call)) {
            add_types(&c);
        } else if (kind == WITH) {
            add_ambients(&c);
        } else if (!in_call || !call.is_declaration || kind == '=') {
            if (in_call && (kind == '(' || kind == ','))
                add_arguments(&c, &call);
            add_names(&c, *begin);
            add_words(&c);
        }
    }
    *out = c.found.at;
    return c.found.count;
}

/* ---- the call around a place ---- */

struct label {
    struct strbuf text;
    VEC(struct byte_range) parameters;
};

static void label_of_item(struct label *label, const struct item *item) {
    strbuf_printf(&label->text, "%s(", item->name.text ? item->name.text : "train");
    for (const struct formal *f = item->formals; f; f = f->next) {
        int begin = (int)label->text.length;
        strbuf_puts(&label->text, text_of_span(label->text.arena, f->span, 200));
        VEC_PUSH(label->text.arena, &label->parameters,
                 ((struct byte_range){begin, (int)label->text.length}));
        strbuf_puts(&label->text, f->next ? ", " : "");
    }
    strbuf_putc(&label->text, ')');
    if (item->kind == ITEM_FN && item->type)
        strbuf_printf(&label->text, " -> %s", text_of_span(label->text.arena, item->type->span, 200));
}

static void label_of_builtin(struct label *label, const struct builtin *builtin) {
    write_builtin_form(&label->text, builtin);
    int begin = (int)strlen(builtin->name) + 1;
    while (begin < (int)label->text.length - 1) {
        int length = (int)strcspn(label->text.text + begin, ",)");
        VEC_PUSH(label->text.arena, &label->parameters, ((struct byte_range){begin, begin + length}));
        begin += length + 2;
    }
}

/* The parameter that the tokens behind the last comma name, else the one of that number. */
static int active_parameter(struct inspection *in, const struct call_place *call, const struct label *label,
                            int last) {
    int from = last;
    for (int depth = 0; from > call->opener; from--) {
        int kind = kind_at(in, from);
        depth += token_closes(kind) - token_opens(kind);
        if (depth == 0 && kind == ',')
            break;
    }
    from++;
    while (kind_at(in, from) == TOKEN_LINE_END && from < in->tokens.count - 1)
        from++;
    if (kind_at(in, from + 1) == ':' && in->tokens.at[from].text)
        for (int i = 0; i < label->parameters.count; i++) {
            const char *text = label->text.text + label->parameters.at[i].begin;
            size_t length = strlen(in->tokens.at[from].text);
            if (strncmp(text, in->tokens.at[from].text, length) == 0 && !is_letter(text[length]))
                return i;
        }
    bool takes_piped = call->is_piped && !(call->item && call->item->kind == ITEM_MODULE);
    int index = call->commas + takes_piped;
    return index < label->parameters.count ? index : -1;
}

bool inspection_signature(struct inspection *in, uint32_t offset, struct signature_help *out) {
    struct call_place call;
    int last = token_before(in, offset);
    if (in_comment_or_string(in, offset) || !find_call(in, last, &call) || call.is_declaration)
        return false;
    struct label label = {0};
    strbuf_init(&label.text, in->arena);
    if (call.item)
        label_of_item(&label, call.item);
    else if (builtin_of(&call))
        label_of_builtin(&label, builtin_of(&call));
    else
        return false;
    *out = (struct signature_help){.label = label.text.text, .parameter_count = label.parameters.count};
    out->doc = call.item ? call.item->doc : builtin_doc(builtin_of(&call)->name);
    out->parameters = arena_memdup(in->arena, label.parameters.at,
                                   sizeof *label.parameters.at * (size_t)label.parameters.count);
    out->active = active_parameter(in, &call, &label, last);
    return true;
}
