/* frontend/comments.c: doc comments. `///` lines belong to the declaration on the line below them. */
#include "frontend/parser.h"

#include <string.h>

/* The number of comments that end at or before `offset`. */
static int comments_before(const struct comments *comments, uint32_t offset) {
    int low = 0, high = comments->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (comments->at[middle].span.end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether bytes [begin, end) are blanks around exactly one line end. */
static bool is_next_line(const struct source *source, uint32_t begin, uint32_t end) {
    int lines = 0;
    for (uint32_t i = begin; i < end; i++) {
        if (source->text[i] == '\n')
            lines++;
        else if (source->text[i] != ' ' && source->text[i] != '\t' && source->text[i] != '\r')
            return false;
    }
    return lines == 1;
}

static bool is_doc_line(const struct comment *comment) {
    return comment->is_doc && comment->owns_line;
}

/* Doc comments [first, last) as one text: without slashes, the blank behind them and blanks at their ends,
 * joined by line ends. */
static const char *join_lines(struct parser *parser, int first, int last) {
    struct strbuf text;
    strbuf_init(&text, parser->arena);
    for (int i = first; i < last; i++) {
        struct span span = parser->comments->at[i].span;
        uint32_t begin = span.begin + 3;
        if (begin < span.end && parser->source->text[begin] == ' ')
            begin++;
        while (begin < span.end && strchr(" \t\r", parser->source->text[span.end - 1]))
            span.end--;
        if (i > first)
            strbuf_putc(&text, '\n');
        strbuf_write(&text, parser->source->text + begin, span.end - begin);
    }
    return text.text;
}

/* The first of the doc lines that follow each other and end with comment `last` - 1. */
static int first_of_group(const struct parser *parser, int last) {
    const struct comment *at = parser->comments->at;
    int first = last - 1;
    while (first > 0 && is_doc_line(&at[first - 1]) &&
           is_next_line(parser->source, at[first - 1].span.end, at[first].span.begin))
        first--;
    return first;
}

const char *doc_above(struct parser *parser, uint32_t begin) {
    const struct comments *comments = parser->comments;
    int last = comments ? comments_before(comments, begin) : 0;
    if (last == 0 || !is_doc_line(&comments->at[last - 1]) ||
        !is_next_line(parser->source, comments->at[last - 1].span.end, begin))
        return NULL;
    return join_lines(parser, first_of_group(parser, last), last);
}

const char *doc_of_file(struct parser *parser) {
    const struct comments *comments = parser->comments;
    uint32_t begin = parser->tokens.at[0].span.begin;
    if (comments->count == 0 || !is_doc_line(&comments->at[0]) || comments->at[0].span.begin > begin)
        return NULL;
    int last = 1;
    while (last < comments->count && is_doc_line(&comments->at[last]) &&
           is_next_line(parser->source, comments->at[last - 1].span.end, comments->at[last].span.begin))
        last++;
    bool declares = parser->items && parser->items->kind != ITEM_USE &&
                    is_next_line(parser->source, comments->at[last - 1].span.end, parser->items->span.begin);
    return declares ? NULL : join_lines(parser, 0, last);
}
