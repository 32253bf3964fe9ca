/* frontend/inspect_outline.c: what concerns the whole text: its outline, its names by kind, types to be shown
 * in it. */
#include "frontend/inspect_parts.h"

#include "frontend/grammar.tab.h"
#include "frontend/visit.h"

#include <string.h>

/* ---- outline ---- */

static struct outline *outline_of_items(struct arena *arena, const struct item *item);

static struct outline *outline_of_item(struct arena *arena, const struct item *item) {
    static const enum outline_kind kinds[] = {
        [ITEM_MODULE] = OUTLINE_MODEL,  [ITEM_LET] = OUTLINE_MEMBER,  [ITEM_PARAM] = OUTLINE_WEIGHT,
        [ITEM_BUFFER] = OUTLINE_WEIGHT, [ITEM_FN] = OUTLINE_FUNCTION, [ITEM_TRAIN] = OUTLINE_FUNCTION,
        [ITEM_STMT] = OUTLINE_CONSTANT, [ITEM_USE] = OUTLINE_MEMBER};
    const struct ident *name = item->kind == ITEM_STMT ? &item->stmt->name : &item->name;
    bool is_constant = item->kind == ITEM_STMT && item->stmt->kind == STMT_CONST;
    if (item->kind == ITEM_USE || (item->kind == ITEM_STMT && !is_constant) || !name->text)
        return NULL;
    struct outline *out = ARENA_NEW(arena, struct outline);
    *out = (struct outline){
        .name = name->text, .kind = kinds[item->kind], .span = item->span, .name_span = name->span};
    const char *text = text_of_item(arena, item);
    out->detail = item->kind == ITEM_STMT ? NULL : text;
    out->children = outline_of_items(arena, item->members);
    return out;
}

static struct outline *outline_of_items(struct arena *arena, const struct item *item) {
    struct outline *first = NULL, **last = &first;
    for (; item; item = item->next) {
        struct outline *out = outline_of_item(arena, item);
        if (out) {
            *last = out;
            last = &out->next;
        }
    }
    return first;
}

const struct outline *inspection_outline(struct inspection *in) {
    if (!in->outline)
        in->outline = outline_of_items(in->arena, in->file->ast->items);
    return in->outline;
}

/* ---- words ---- */

enum word_kind {
    WORD_NAMESPACE,
    WORD_CLASS,
    WORD_FUNCTION,
    WORD_METHOD,
    WORD_PARAMETER,
    WORD_VARIABLE,
    WORD_PROPERTY,
    WORD_SIZE,
    WORD_TYPE,
    WORD_KEYWORD
};
const char *const word_kinds[] = {"namespace", "class",    "function", "method",
                                  "parameter", "variable", "property", "typeParameter",
                                  "type",      "keyword",  NULL};

static int word_of_symbol(const struct symbol *symbol) {
    static const enum word_kind kinds[SYMBOL_KINDS] = {
        [SYMBOL_MODULE] = WORD_CLASS,     [SYMBOL_FN] = WORD_FUNCTION,      [SYMBOL_LET] = WORD_PROPERTY,
        [SYMBOL_PARAM] = WORD_PROPERTY,   [SYMBOL_BUFFER] = WORD_PROPERTY,  [SYMBOL_CONST] = WORD_VARIABLE,
        [SYMBOL_FORMAL] = WORD_PARAMETER, [SYMBOL_DIM] = WORD_SIZE,         [SYMBOL_VARIABLE] = WORD_VARIABLE,
        [SYMBOL_FILE] = WORD_NAMESPACE,   [SYMBOL_BUILTIN] = WORD_FUNCTION, [SYMBOL_FIELD] = WORD_PROPERTY};
    if (symbol->kind == SYMBOL_BUILTIN && !symbol->builtin)
        return WORD_VARIABLE;
    if (symbol->kind == SYMBOL_FN && symbol->owner && symbol->owner->kind == ITEM_MODULE)
        return WORD_METHOD;
    return (int)kinds[symbol->kind];
}

static bool is_keyword(int kind) {
    static const int soft[] = {MODEL, MODULE, OPTIMIZER, TRAIN, NOT_IN};
    for (size_t i = 0; i < sizeof soft / sizeof *soft; i++)
        if (kind == soft[i])
            return true;
    return false;
}

/* Whether a token is a reserved word: those carry their text in the source. */
static bool is_reserved(struct inspection *in, const struct token *token) {
    size_t length = token->span.end - token->span.begin;
    const char *text = arena_strndup(in->arena, in->source->text + token->span.begin, length);
    return length < 12 && word_token(text) == token->kind && token->kind != DTYPE;
}

static bool word_of_token(struct inspection *in, const struct token *token, struct word *out) {
    *out = (struct word){.span = token->span};
    if (token->kind == DTYPE)
        out->kind = WORD_TYPE;
    else if (is_keyword(token->kind) || (token->kind > 255 && is_reserved(in, token)))
        out->kind = WORD_KEYWORD;
    else
        return false;
    return true;
}

int inspection_words(struct inspection *in, struct word **out) {
    VEC(struct word) words = {0};
    int next = 0;
    const struct names *names = in->names;
    for (int i = 0; i < in->tokens.count; i++) {
        const struct token *token = &in->tokens.at[i];
        struct word word;
        while (next < names->occurrences.count && names->occurrences.at[next].span.begin < token->span.begin)
            next++;
        const struct occurrence *o = next < names->occurrences.count ? &names->occurrences.at[next] : NULL;
        if (token->kind == ID && o && o->span.begin == token->span.begin && o->span.end == token->span.end) {
            const struct symbol *symbol = o->symbol;
            word = (struct word){.span = o->span,
                                 .kind = word_of_symbol(symbol),
                                 .declares = o->declares && symbol->kind != SYMBOL_FIELD};
            word.is_library =
                symbol->kind == SYMBOL_BUILTIN || (symbol->span.source && symbol->span.source != in->source);
            word.is_constant = symbol->kind == SYMBOL_CONST;
        } else if (!word_of_token(in, token, &word)) {
            continue;
        }
        VEC_PUSH(in->arena, &words, word);
    }
    *out = words.at;
    return words.count;
}

/* ---- hints ---- */

enum { LONGEST_HINT = 72 };

struct hinter {
    struct inspection *in;
    uint32_t begin, end;
    VEC(struct hint) hints;
};

static void add_hint(struct hinter *h, uint32_t offset, const char *before, const struct fact *fact) {
    struct strbuf out;
    if (!fact || !fact->count || !value_has_tensor(fact->values[0]) || offset < h->begin || offset > h->end)
        return;
    strbuf_init(&out, h->in->arena);
    strbuf_puts(&out, before);
    write_value(&out, h->in->types, fact->values[0]);
    if (fact->count > 1) /* of several instances: the first stands for them */
        strbuf_puts(&out, " ...");
    if (out.length <= LONGEST_HINT)
        VEC_PUSH(h->in->arena, &h->hints, ((struct hint){offset, out.text}));
}

/* A pipe that goes on in the next line shows what goes into it. */
static void hint_of_pipe(void *data, const struct expr *x) {
    struct hinter *h = data;
    if (x->kind != EXPR_PIPE || x->span.source != h->in->source || x->op_span.begin < x->a->span.end)
        return;
    const char *gap = x->span.source->text + x->a->span.end;
    if (memchr(gap, '\n', x->op_span.begin - x->a->span.end))
        add_hint(h, x->a->span.end, "  ", facts_of_expr(h->in->facts, x->a));
}

static int compare_hints(const struct hint *a, const struct hint *b) {
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

int inspection_hints(struct inspection *in, uint32_t begin, uint32_t end, struct hint **out) {
    struct hinter h = {.in = in, .begin = begin, .end = end};
    for (int i = 0; i < in->names->occurrences.count; i++) {
        const struct occurrence *o = &in->names->occurrences.at[i];
        if (o->assigns && o->symbol->kind == SYMBOL_VARIABLE && in->source->text[o->span.end] != ':')
            add_hint(&h, o->span.end, ": ", facts_of_name(in->facts, o->span));
    }
    visit_file(in->file->ast, hint_of_pipe, &h);
    for (int i = 1; i < h.hints.count; i++) /* nearly in order: an insertion sort */
        for (int k = i; k > 0 && compare_hints(&h.hints.at[k], &h.hints.at[k - 1]) < 0; k--) {
            struct hint hint = h.hints.at[k];
            h.hints.at[k] = h.hints.at[k - 1];
            h.hints.at[k - 1] = hint;
        }
    *out = h.hints.at;
    return h.hints.count;
}
