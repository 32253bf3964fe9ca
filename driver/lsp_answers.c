/* driver/lsp_answers.c: what an editor asks of a text. Each answer is a question to frontend/inspect.h, put
 * into JSON. */
#include "driver/lsp.h"

#include <string.h>

static json_t *markdown(const char *text) {
    return json_pack("{s:s, s:s}", "kind", "markdown", "value", text);
}

/* ---- names ---- */

json_t *lsp_hover(struct lsp_call *call) {
    struct strbuf text;
    struct span span;
    strbuf_init(&text, call->document->arena);
    if (!inspection_hover(call->inspection, call->offset, &text, &span))
        return NULL;
    return json_pack("{s:o, s:o}", "contents", markdown(text.text), "range", lsp_range(span));
}

json_t *lsp_definition(struct lsp_call *call) {
    struct span span;
    return inspection_definition(call->inspection, call->offset, &span) ? lsp_location(call->lsp, span)
                                                                        : NULL;
}

json_t *lsp_highlights(struct lsp_call *call) {
    enum { READ = 2, WRITE = 3 };
    struct name_place *places;
    int count = inspection_references(call->inspection, call->offset, &places);
    json_t *out = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(out, json_pack("{s:o, s:i}", "range", lsp_range(places[i].span), "kind",
                                             places[i].assigns ? WRITE : READ));
    return out;
}

/* ---- completion ---- */

/* Arguments stand in the order of their declaration, all others in that of the alphabet. */
static json_t *completion_item(const struct lsp_call *call, const struct candidate *c, int index,
                               json_t *range) {
    static const int kinds[CANDIDATE_KINDS] = {
        [CANDIDATE_MODULE] = 7,   [CANDIDATE_FUNCTION] = 3,  [CANDIDATE_MEMBER] = 5,
        [CANDIDATE_VARIABLE] = 6, [CANDIDATE_CONSTANT] = 21, [CANDIDATE_FILE] = 9,
        [CANDIDATE_WORD] = 14,    [CANDIDATE_TYPE] = 22,     [CANDIDATE_ARGUMENT] = 10};
    json_t *item =
        json_pack("{s:s, s:i, s:s, s:{s:o, s:s}}", "label", c->text, "kind", kinds[c->kind], "sortText",
                  arena_printf(call->document->arena, "%d%03d%s", c->rank,
                               c->kind == CANDIDATE_ARGUMENT ? index : 0, c->text),
                  "textEdit", "range", range, "newText", c->text);
    if (c->detail)
        json_object_set_new(item, "detail", json_string(c->detail));
    if (c->doc)
        json_object_set_new(item, "documentation", markdown(c->doc));
    return item;
}

json_t *lsp_completion(struct lsp_call *call) {
    struct candidate *candidates;
    uint32_t begin;
    int count = inspection_complete(call->inspection, call->offset, &begin, &candidates);
    json_t *out = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(
            out, completion_item(call, &candidates[i], i,
                                 lsp_range((struct span){call->document->source, begin, call->offset})));
    return json_pack("{s:b, s:o}", "isIncomplete", 0, "items", out);
}

json_t *lsp_signature(struct lsp_call *call) {
    struct signature_help help;
    if (!inspection_signature(call->inspection, call->offset, &help))
        return NULL;
    json_t *parameters = json_array();
    for (int i = 0; i < help.parameter_count; i++) {
        const struct byte_range *range = &help.parameters[i];
        const char *text = arena_strndup(call->document->arena, help.label + range->begin,
                                         (size_t)(range->end - range->begin));
        json_array_append_new(parameters, json_pack("{s:s}", "label", text));
    }
    json_t *signature = json_pack("{s:s, s:o}", "label", help.label, "parameters", parameters);
    if (help.doc)
        json_object_set_new(signature, "documentation", markdown(help.doc));
    json_t *out = json_pack("{s:[o], s:i}", "signatures", signature, "activeSignature", 0);
    json_object_set_new(out, "activeParameter",
                        json_integer(help.active >= 0 ? help.active : help.parameter_count));
    return out;
}

/* ---- the whole text ---- */

/* One edit over the lines that differ: the editor's cursor and folds stay where they are. text NULL: no edit.
 */
static json_t *edits_to(const struct source *source, const char *text) {
    json_t *out = json_array();
    if (!text || strcmp(text, source->text) == 0)
        return out; /* a broken text is left as it is */
    size_t length = strlen(text), head = 0, tail = 0;
    while (head < length && head < source->length && text[head] == source->text[head])
        head++;
    while (head > 0 && text[head - 1] != '\n')
        head--;
    while (tail + head < length && tail + head < source->length &&
           text[length - 1 - tail] == source->text[source->length - 1 - tail])
        tail++;
    while (tail > 0 && source->text[source->length - tail - 1] != '\n')
        tail--;
    struct span span = {source, (uint32_t)head, (uint32_t)(source->length - tail)};
    json_array_append_new(out, json_pack("{s:o, s:s#}", "range", lsp_range(span), "newText", text + head,
                                         (int)(length - tail - head)));
    return out;
}

json_t *lsp_formatting(struct lsp_call *call) {
    struct arena *arena = call->document->arena;
    return edits_to(call->document->source,
                    frontend_format(arena, call->document->source, diags_create(arena)));
}

static json_t *symbols(const struct outline *outline) {
    static const int kinds[] = {[OUTLINE_MODEL] = 5,
                                [OUTLINE_FUNCTION] = 12,
                                [OUTLINE_MEMBER] = 8,
                                [OUTLINE_WEIGHT] = 7,
                                [OUTLINE_CONSTANT] = 14};
    json_t *out = json_array();
    for (; outline; outline = outline->next) {
        json_t *symbol = json_pack("{s:s, s:i, s:o, s:o, s:o}", "name", outline->name, "kind",
                                   kinds[outline->kind], "range", lsp_range(outline->span), "selectionRange",
                                   lsp_range(outline->name_span), "children", symbols(outline->children));
        if (outline->detail)
            json_object_set_new(symbol, "detail", json_string(outline->detail));
        json_array_append_new(out, symbol);
    }
    return out;
}

json_t *lsp_symbols(struct lsp_call *call) {
    return symbols(inspection_outline(call->inspection));
}

static void fold(json_t *out, const struct outline *outline) {
    for (; outline; outline = outline->next) {
        int first, last, column;
        source_locate(outline->span.source, outline->span.begin, &first, &column);
        source_locate(outline->span.source, outline->span.end, &last, &column);
        if (last > first)
            json_array_append_new(out, json_pack("{s:i, s:i}", "startLine", first - 1, "endLine", last - 1));
        fold(out, outline->children);
    }
}

json_t *lsp_folding(struct lsp_call *call) {
    json_t *out = json_array();
    fold(out, inspection_outline(call->inspection));
    return out;
}

const char *const lsp_token_modifiers[] = {"declaration", "defaultLibrary", "readonly", NULL};

/* Five numbers a token: lines and columns from the token before it, length, kind, modifiers. */
json_t *lsp_semantic_tokens(struct lsp_call *call) {
    struct word *words;
    int count = inspection_words(call->inspection, &words), line_before = 0, column_before = 0;
    json_t *data = json_array();
    for (int i = 0; i < count; i++) {
        const struct word *word = &words[i];
        json_t *begin = lsp_position(word->span.source, word->span.begin);
        int line = (int)json_integer_value(json_object_get(begin, "line")),
            column = (int)json_integer_value(json_object_get(begin, "character"));
        int modifiers = word->declares | word->is_library << 1 | word->is_constant << 2;
        int numbers[] = {line - line_before, line == line_before ? column - column_before : column,
                         (int)(word->span.end - word->span.begin), word->kind,
                         modifiers}; /* words are ASCII */
        for (int k = 0; k < 5; k++)
            json_array_append_new(data, json_integer(numbers[k]));
        json_decref(begin);
        line_before = line;
        column_before = column;
    }
    return json_pack("{s:o}", "data", data);
}

static void bounds_of(const struct lsp_call *call, uint32_t *begin, uint32_t *end) {
    const json_t *range = json_object_get(call->params, "range"), *from = json_object_get(range, "start"),
                 *to = json_object_get(range, "end");
    const struct source *source = call->document->source;
    *begin = from ? lsp_offset(source, json_integer_value(json_object_get(from, "line")),
                               json_integer_value(json_object_get(from, "character")))
                  : 0;
    *end = to ? lsp_offset(source, json_integer_value(json_object_get(to, "line")),
                           json_integer_value(json_object_get(to, "character")))
              : source->length;
}

json_t *lsp_inlay_hints(struct lsp_call *call) {
    enum { TYPE_HINT = 1 };
    uint32_t begin, end;
    struct hint *hints;
    bounds_of(call, &begin, &end);
    int count = inspection_hints(call->inspection, begin, end, &hints);
    json_t *out = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(out, json_pack("{s:o, s:s, s:i}", "position",
                                             lsp_position(call->document->source, hints[i].offset), "label",
                                             hints[i].text, "kind", TYPE_HINT));
    return out;
}

/* The instances that methods make, as members: all of the text's at once, since they are numbered together
 * (N5). */
static json_t *naming_action(struct lsp_call *call) {
    struct arena *arena = call->document->arena;
    const char *text = inspection_with_lets(call->inspection);
    const struct source *source = source_create(arena, call->document->source->name, text, strlen(text));
    json_t *edits = edits_to(call->document->source, frontend_format(arena, source, diags_create(arena)));
    return json_pack("{s:s, s:s, s:{s:{s:o}}}", "title", "Give the instances that methods make a `let`",
                     "kind", "refactor.rewrite", "edit", "changes", call->document->uri, edits);
}

json_t *lsp_code_actions(struct lsp_call *call) {
    uint32_t begin, end;
    bounds_of(call, &begin, &end);
    json_t *out = lsp_fixes(call->lsp, call->document, begin, end);
    struct let_offer *offers;
    int count = inspection_lets(call->inspection, &offers);
    for (int i = 0; i < count; i++)
        if (offers[i].call.begin <= end && offers[i].call.end >= begin) {
            json_array_append_new(out, naming_action(call));
            break;
        }
    return out;
}
