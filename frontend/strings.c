/* frontend/strings.c: what stands between the quotes of a string: text with escapes, and {expressions}. */
#include "frontend/parser.h"

struct reader {
    struct parser *parser;
    struct span inside; /* between the quotes */
    uint32_t at;
    struct strbuf text; /* since the last piece */
    struct piece *first, *last;
};

static struct span inside_quotes(const struct token *token) {
    struct span span = token->span;
    const char *text = span.source->text;
    span.begin++;
    /* A string that is not closed was reported; its last character is text. */
    if (span.end > span.begin && text[span.end - 1] == text[span.begin - 1])
        span.end--;
    return span;
}

static void read_escape(struct reader *r) {
    static const char letters[] = "nt\"\\{}", meanings[] = "\n\t\"\\{}";
    const char *text = r->parser->source->text;
    if (r->at + 1 < r->inside.end) {
        for (int i = 0; letters[i]; i++) {
            if (letters[i] == text[r->at + 1]) {
                strbuf_putc(&r->text, meanings[i]);
                r->at += 2;
                return;
            }
        }
    }
    struct span span = {r->inside.source, r->at, r->at + 2 < r->inside.end ? r->at + 2 : r->inside.end};
    diag_hint(diag_error(r->parser->diags, span, E_CHARACTER, "this is not an escape"),
              "the escapes are \\n \\t \\\" \\\\ \\{ \\}");
    r->at = span.end;
}

static void add_piece(struct reader *r, const char *text, struct expr *expr) {
    struct piece *piece = ARENA_NEW(r->parser->arena, struct piece);
    piece->text = text;
    piece->expr = expr;
    if (r->last)
        r->last->next = piece;
    else
        r->first = piece;
    r->last = piece;
}

static void finish_text(struct reader *r) {
    if (r->text.length > 0)
        add_piece(r, intern(r->parser->names, r->text.text), NULL);
    strbuf_init(&r->text, r->parser->arena);
}

/* Where the expression that begins behind a { ends: at the } of its level; 0: nowhere. */
static uint32_t find_end(const struct reader *r, uint32_t begin) {
    int depth = 1;
    for (uint32_t i = begin; i < r->inside.end; i++) {
        char c = r->parser->source->text[i];
        depth += (c == '{') - (c == '}');
        if (depth == 0)
            return i;
    }
    return 0;
}

static void read_expression(struct reader *r) {
    uint32_t begin = r->at + 1;
    uint32_t end = find_end(r, begin);
    if (end == 0) {
        struct span brace = {r->inside.source, r->at, r->at + 1};
        diag_hint(
            diag_error(r->parser->diags, brace, E_BRACKET, "`}` is missing: `{` is not closed in the string"),
            "a brace that is text is written \\{");
        r->at = r->inside.end;
        return;
    }
    struct expr *expr = parse_expression(r->parser, begin, end);
    if (expr) {
        finish_text(r);
        add_piece(r, NULL, expr);
    }
    r->at = end + 1;
}

static void read_pieces(struct reader *r, bool interpolates) {
    const char *text = r->parser->source->text;
    strbuf_init(&r->text, r->parser->arena);
    while (r->at < r->inside.end) {
        if (text[r->at] == '\\')
            read_escape(r);
        else if (interpolates && text[r->at] == '{')
            read_expression(r);
        else
            strbuf_putc(&r->text, text[r->at++]);
    }
}

struct expr *expr_string(struct parser *parser, const struct token *token) {
    struct reader r = {.parser = parser, .inside = inside_quotes(token)};
    r.at = r.inside.begin;
    read_pieces(&r, true);
    finish_text(&r);
    struct expr *e = expr_new(parser, EXPR_STRING, token->span);
    e->pieces = r.first;
    return e;
}

const char *plain_string(struct parser *parser, const struct token *token) {
    struct reader r = {.parser = parser, .inside = inside_quotes(token)};
    r.at = r.inside.begin;
    read_pieces(&r, false);
    return intern(parser->names, r.text.text);
}
