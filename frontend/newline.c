/* frontend/newline.c: which line ends separate statements (docs/language.md, "Lines").
 *
 * A line end becomes NL where all three hold: the innermost open bracket is "{" or none; the token before can
 * end a statement; the token after cannot continue one. So a chain may break before |>, + or -, and "(" or
 * "[" at the start of a line never continues the line above. ";" overrides the third. */
#include "frontend/grammar.tab.h"
#include "frontend/token.h"

static const int enders[] = {ID, NUM, STR, DTYPE, TRUE, FALSE, NONE, ')', ']', '}', RETURN, '?', FN, BAD, 0};
static const int continuers[] = {PIPE,     '.', ',', ')', ']',    '}',  '=',  EQ,    NE,  '<',   LE,
                                 '>',      GE,  '+', '-', '*',    '/',  '%',  '@',   '^', RANGE, ARROW,
                                 FATARROW, AND, OR,  IN,  NOT_IN, ELSE, OVER, USING, AS,  WHILE, 0};

static bool is_among(const int *kinds, int kind) {
    while (*kinds && *kinds != kind)
        kinds++;
    return *kinds != 0;
}

bool token_ends_statement(int kind) {
    return is_among(enders, kind);
}

bool token_continues_statement(int kind) {
    return is_among(continuers, kind);
}

bool token_opens(int kind) {
    return kind == '(' || kind == '[' || kind == '{';
}

bool token_closes(int kind) {
    return kind == ')' || kind == ']' || kind == '}';
}

int token_partner(int kind) {
    static const char pairs[] = "()[]{}";
    for (int i = 0; pairs[i]; i++)
        if (pairs[i] == kind)
            return pairs[i ^ 1];
    return 0;
}

static int kind_at(const struct tokens *tokens, int at) {
    return at < tokens->count ? tokens->at[at].kind : 0;
}

bool token_begins_member(const struct tokens *tokens, int at) {
    static const int words[] = {LET, PARAM, BUFFER, TRAIN, MODEL, MODULE, OPTIMIZER, 0};
    int kind = kind_at(tokens, at);
    return is_among(words, kind) || (kind == FN && kind_at(tokens, at + 1) == ID);
}

bool token_begins_statement(const struct tokens *tokens, int at) {
    static const int words[] = {RETURN, YIELD, MINIMIZE, REPORT, UPDATE, CONST, ASSERT, USE, WITH, 0};
    return is_among(words, kind_at(tokens, at)) || token_begins_member(tokens, at);
}

bool token_begins_assignment(const struct tokens *tokens, int at) {
    static const int assigns[] = {'=', ADD_SET, SUB_SET, MUL_SET, DIV_SET, 0};
    return kind_at(tokens, at) == ID && is_among(assigns, kind_at(tokens, at + 1));
}

struct filter {
    struct arena *arena;
    struct tokens out;
    VEC(int) open; /* indices in `out` of the brackets that are open */
};

static int last_kind(const struct filter *filter) {
    return filter->out.count ? VEC_LAST(&filter->out).kind : NL;
}

static void emit(struct filter *filter, struct token token) {
    if (token_opens(token.kind)) {
        VEC_PUSH(filter->arena, &filter->open, filter->out.count);
    } else if (token_closes(token.kind)) {
        int opener = VEC_POP(&filter->open); /* balanced: brackets.c */
        token.match = opener;
        filter->out.at[opener].match = filter->out.count;
    }
    VEC_PUSH(filter->arena, &filter->out, token);
}

/* A separator is an empty place right behind the token that it follows: that is where an error points. */
static void emit_newline(struct filter *filter) {
    struct span before = VEC_LAST(&filter->out).span;
    emit(filter, (struct token){.kind = NL, .match = -1, .span = {before.source, before.end, before.end}});
}

/* Whether the line before lacks its end: the one line end that only broken text has. */
static bool breaks_off(int last, const struct tokens *in, int at) {
    bool wants_more = token_continues_statement(last) && last != ',';
    return (wants_more && token_begins_assignment(in, at)) ||
           (last != '{' && last != NL && token_begins_statement(in, at));
}

static bool separates(const struct filter *filter, const struct tokens *in, int at, bool semicolon) {
    int last = last_kind(filter), next = in->at[at].kind;
    bool in_parens = filter->open.count && filter->out.at[VEC_LAST(&filter->open)].kind != '{';
    if (in_parens || next == 0)
        return false;
    if (token_ends_statement(last))
        return semicolon || !token_continues_statement(next);
    return breaks_off(last, in, at);
}

/* "not in" is one operator. */
static bool joins_not_in(const struct tokens *in, int at) {
    return in->at[at].kind == NOT && in->at[at + 1].kind == IN;
}

struct tokens newlines_filter(struct arena *arena, const struct tokens *balanced) {
    struct filter filter = {.arena = arena};
    for (int i = 0; i < balanced->count; i++) {
        bool semicolon = false, line_end = false;
        for (; balanced->at[i].kind < 0; i++) {
            line_end = true;
            semicolon |= balanced->at[i].kind == TOKEN_SEMICOLON;
        }
        struct token token = balanced->at[i];
        bool is_not_in = joins_not_in(balanced, i);
        if (line_end && !is_not_in && separates(&filter, balanced, i, semicolon))
            emit_newline(&filter);
        if (is_not_in) {
            token.kind = NOT_IN;
            token.span.end = balanced->at[++i].span.end;
        }
        if (token.kind == 0 && filter.out.count) /* the end is where the text ends, not where the file does */
            token.span.begin = token.span.end = VEC_LAST(&filter.out).span.end;
        emit(&filter, token);
    }
    return filter.out;
}
