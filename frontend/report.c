/* frontend/report.c: syntax errors in words: "expected an expression, found `}`". The kinds that the grammar
 * would take are gathered into what a person expects there (an expression, a type, a statement); a slip of
 * somebody who knows another language gets a hint. */
#include "frontend/report.h"

#include "frontend/grammar.tab.h"

#include <string.h>

enum { ERRORS_MAX = 50 }; /* after so many, a text is something else than a model */

static const char *kind_text(int kind) {
    static const struct {
        int kind;
        const char *text;
    } texts[] = {
        {END, "the end of the text"},
        {NL, "a new line"},
        {ID, "a name"},
        {NUM, "a number"},
        {STR, "a string"},
        {DTYPE, "a dtype"},
        {MODEL, "`model`"},
        {MODULE, "`module`"},
        {TRAIN, "`train`"},
        {OPTIMIZER, "`optimizer`"},
        {ELLIPSIS, "`...`"},
        {ARROW, "`->`"},
        {FATARROW, "`=>`"},
        {ADD_SET, "`+=`"},
        {SUB_SET, "`-=`"},
        {MUL_SET, "`*=`"},
        {DIV_SET, "`/=`"},
        {PIPE, "`|>`"},
        {EQ, "`==`"},
        {NE, "`!=`"},
        {LE, "`<=`"},
        {GE, "`>=`"},
        {RANGE, "`..`"},
        {NOT_IN, "`not in`"},
#define WORD(text, token) {token, "`" text "`"},
#include "frontend/words.def"
#undef WORD
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].kind == kind)
            return texts[i].text;
    return NULL;
}

/* ---- what was expected ---- */

/* END is 0, which ends the lists below. */
enum { LAST = -1 };

/* If all kinds of `marks` are expected, the whole of `kinds` is called `text`. The first row that fits goes
 * first. */
struct family {
    const char *text;
    int marks[3];
    int kinds[40];
};
static const struct family families[] = {
    {"a declaration", {LET}, {LET,    PARAM, BUFFER, FN,       TRAIN,  MODEL,  MODULE, OPTIMIZER,
                              USE,    CONST, ID,     IF,       WHEN,   FOR,    LOOP,   WITH,
                              RETURN, YIELD, UPDATE, MINIMIZE, REPORT, ASSERT, '('}},
    {"a statement",
     {MINIMIZE},
     {CONST, ID, IF, WHEN, FOR, LOOP, WITH, RETURN, YIELD, UPDATE, MINIMIZE, REPORT, ASSERT, '('}},
    {"an expression",
     {NUM, '('},
     {ID, NUM, STR, DTYPE, TRUE, FALSE, NONE, IF, WHEN, FN, LOOP, NOT, '-', '(', '['}},
    {"a type", {DTYPE, '('}, {DTYPE, ID, FN, '(', '['}},
    {"a pattern", {ID, '('}, {ID, '('}},
    {"the end of the statement", {NL, '}'}, {NL, '}'}},
    {"the end of the statement", {NL, LAST}, {NL, LAST}},
};
/* What may continue an expression is mentioned only where nothing else is expected. */
static const struct family operators = {
    "an operator", {'*', '+'}, {PIPE, OR,     AND,   EQ,  NE,  '<',     LE,      '>',     GE,
                                IN,   NOT_IN, RANGE, '+', '-', '*',     '/',     '%',     '@',
                                '^',  '.',    '(',   '[', '=', ADD_SET, SUB_SET, MUL_SET, DIV_SET}};

struct expectation {
    const int *kinds;
    int count;
    bool *is_named;
    const char *words[80];
    int word_count;
};

static int find_kind(const struct expectation *e, int kind) {
    for (int i = 0; i < e->count; i++)
        if (e->kinds[i] == (kind == LAST ? END : kind) && !e->is_named[i])
            return i;
    return -1;
}

static bool take_family(struct expectation *e, const struct family *family) {
    for (int i = 0; i < 3 && family->marks[i]; i++)
        if (find_kind(e, family->marks[i]) < 0)
            return false;
    for (int i = 0; family->kinds[i]; i++) {
        int at = find_kind(e, family->kinds[i]);
        if (at >= 0)
            e->is_named[at] = true;
    }
    return true;
}

static void add_word(struct expectation *e, const char *word) {
    if (e->word_count < (int)(sizeof e->words / sizeof *e->words))
        e->words[e->word_count++] = word;
}

static const char *expected_text(const struct parser *parser, int kind) {
    if (kind == END && parser->start == START_EXPRESSION)
        return "`}`";
    const char *text = kind_text(kind);
    return text ? text : arena_printf(parser->arena, "`%c`", kind);
}

static void gather_expected(const struct parser *parser, struct expectation *e) {
    bool has_operators = take_family(e, &operators);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (take_family(e, &families[i]))
            add_word(e, families[i].text);
    for (int i = 0; i < e->count; i++) {
        if (!e->is_named[i])
            add_word(e, expected_text(parser, e->kinds[i]));
    }
    if (has_operators && e->word_count == 0)
        add_word(e, operators.text);
}

/* "a", "a or b", "a, b or c" */
static const char *join_words(struct arena *arena, const struct expectation *e) {
    struct strbuf text;
    strbuf_init(&text, arena);
    for (int i = 0; i < e->word_count; i++) {
        if (i > 0)
            strbuf_puts(&text, i + 1 < e->word_count ? ", " : " or ");
        strbuf_puts(&text, e->words[i]);
    }
    return text.text;
}

/* ---- what was found ---- */

static const char *found_text(struct parser *parser, const struct token *token) {
    if (token->kind == END)
        return expected_text(parser, END);
    if (token->kind == NL)
        return "the end of the line";
    int length = (int)(token->span.end - token->span.begin);
    if (length > 30 || token->kind == STR)
        return kind_text(token->kind);
    return arena_printf(parser->arena, "`%.*s`", length, parser->source->text + token->span.begin);
}

/* Before an empty place the last token is what one looks at. */
static struct span shown_span(const struct parser *parser) {
    struct span span = parser->tokens.at[parser->found].span;
    if (span.begin == span.end && parser->found > 0 && span.begin < parser->source->length)
        span.end++;
    return span;
}

/* A word of the language where a name is wanted, or in the place of an assigned name. */
static const char *reserved_hint(struct parser *parser, const struct expectation *e) {
    const struct token *found = &parser->tokens.at[parser->found];
    if (found->kind == '=' && parser->found > 0)
        found--;
    else if (find_kind(e, ID) < 0)
        return NULL;
    if (!found->text || word_token(found->text) != found->kind || found->kind == DTYPE ||
        token_begins_statement(&parser->tokens, parser->found))
        return NULL;
    if (found->kind == LOOP)
        return "a loop is a value on the right side of `=` alone: x = loop i in 0..n { yield ... }";
    return arena_printf(parser->arena, "`%s` is a word of the language: choose another name", found->text);
}

static const char *comparison_hint(const struct parser *parser) {
    static const int comparisons[] = {'<', LE, '>', GE, EQ, NE};
    const struct token *found = &parser->tokens.at[parser->found];
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++)
        if (found->kind == comparisons[i] && parser->found > 0 && token_ends_statement(found[-1].kind))
            return "comparisons do not chain: write a < b and b < c";
    return NULL;
}

/* A bracket was put in right here: what does not fit behind it is the same mistake. */
static bool has_missing_bracket(const struct parser *parser, const struct token *token) {
    for (int i = 0; i < diags_count(parser->diags); i++)
        if (diag_code_of(parser->diags, i) == E_BRACKET &&
            diag_span(parser->diags, i).source == token->span.source &&
            diag_span(parser->diags, i).begin == token->span.begin)
            return true;
    return false;
}

void report_syntax_error(struct parser *parser, const int *expected, int count) {
    const struct token *token = &parser->tokens.at[parser->found];
    if (parser->has_given_up || token->kind == BAD || diags_error_count(parser->diags) >= ERRORS_MAX ||
        has_missing_bracket(parser, token))
        return;
    struct expectation e = {
        .kinds = expected, .count = count, .is_named = ARENA_ARRAY(parser->arena, bool, count + 1)};
    const char *hint = slip_hint(&parser->tokens, parser->found);
    if (!hint)
        hint = reserved_hint(parser, &e);
    if (!hint)
        hint = comparison_hint(parser);
    gather_expected(parser, &e);
    const char *found = found_text(parser, token);
    struct diag *d;
    if (e.word_count > 0 && e.word_count <= 6)
        d = diag_error(parser->diags, shown_span(parser), E_SYNTAX, "expected %s, found %s",
                       join_words(parser->arena, &e), found);
    else
        d = diag_error(parser->diags, shown_span(parser), E_SYNTAX, "%s does not fit here", found);
    if (hint)
        diag_hint(d, "%s", hint);
}

/* ---- recovery ---- */

void parser_resynchronise(struct parser *parser) {
    const struct token *at = parser->tokens.at;
    int i = parser->found;
    while (at[i].kind != END && at[i].kind != NL && !token_closes(at[i].kind))
        i = token_opens(at[i].kind) ? at[i].match + 1 : i + 1;
    /* The token found is still the grammar's look-ahead: it is read again only where it is the place itself.
     */
    if (i > parser->found)
        parser->at = i;
}

void parser_give_up(struct parser *parser, struct span span) {
    if (!parser->has_given_up)
        diag_hint(diag_error(parser->diags, span, E_SYNTAX, "this is nested too deep"),
                  "give parts of it names of their own");
    parser->has_given_up = true;
}
