/* frontend/parse.c: text to tree: the steps of token.h, then the grammar. */
#include "frontend/ast.h"
#include "frontend/grammar.tab.h"
#include "frontend/parser.h"

static struct tokens read_tokens(struct parser *parser, uint32_t begin, uint32_t end,
                                 struct comments *comments) {
    struct tokens raw =
        tokens_read(parser->arena, parser->names, parser->source, begin, end, comments, parser->diags);
    struct tokens balanced = brackets_balance(parser->arena, &raw, parser->diags);
    return newlines_filter(parser->arena, &balanced);
}

struct file_ast *parse_file(struct arena *arena, struct interner *names, const struct source *source,
                            struct diags *diags) {
    struct comments comments = {0};
    struct parser parser = {
        .arena = arena, .names = names, .source = source, .diags = diags, .at = -1, .start = START_FILE};
    parser.comments = &comments;
    parser.tokens = read_tokens(&parser, 0, source->length, &comments);
    weft_grammar_parse(&parser);
    struct file_ast *file = ARENA_NEW(arena, struct file_ast);
    file->source = source;
    file->items = parser.items;
    file->doc = doc_of_file(&parser);
    return file;
}

struct expr *parse_expression(struct parser *outer, uint32_t begin, uint32_t end) {
    struct parser parser = {
        .arena = outer->arena, .names = outer->names, .source = outer->source, .diags = outer->diags};
    parser.at = -1;
    parser.start = START_EXPRESSION;
    parser.tokens = read_tokens(&parser, begin, end, NULL);
    return weft_grammar_parse(&parser) == 0 ? parser.expr : NULL;
}

struct expr *parse_text_expression(struct arena *arena, struct interner *names, const struct source *source,
                                   struct diags *diags) {
    struct parser outer = {.arena = arena, .names = names, .source = source, .diags = diags};
    return parse_expression(&outer, 0, source->length);
}

bool parse_is_incomplete(struct arena *arena, const struct source *source) {
    struct tokens tokens =
        tokens_read(arena, interner_create(arena), source, 0, source->length, NULL, diags_create(arena));
    int depth = 0, last = 0;
    for (int i = 0; i < tokens.count; i++) {
        int kind = tokens.at[i].kind;
        depth += token_opens(kind) - token_closes(kind);
        if (kind > 0)
            last = kind;
    }
    return depth > 0 || (last != 0 && last != '}' && !token_ends_statement(last));
}

uint32_t parse_find_semicolon(struct arena *arena, const struct source *source, uint32_t from) {
    struct tokens tokens =
        tokens_read(arena, interner_create(arena), source, 0, source->length, NULL, diags_create(arena));
    int depth = 0;
    for (int i = 0; i < tokens.count; i++) {
        int kind = tokens.at[i].kind;
        depth += token_opens(kind) - token_closes(kind);
        if (depth == 0 && kind == TOKEN_SEMICOLON && tokens.at[i].span.begin >= from)
            return tokens.at[i].span.begin;
    }
    return source->length;
}
