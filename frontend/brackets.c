/* frontend/brackets.c: gives every bracket its partner, so that one missing bracket costs one error and the
 * parser sees balanced text.
 *
 * Where is a bracket missing? ( and [ end at the latest where a line begins with a word that no expression
 * contains (let, fn NAME, train NAME, return, param, buffer, minimize ...) or with an assignment. A "{" that
 * is no module's ends where a member (let, fn NAME ...) stands at its own indentation or further left.
 * Everything else shows at a closing bracket of another shape or at the end of the file. */
#include "frontend/grammar.tab.h"
#include "frontend/token.h"

#include <string.h>

struct opener {
    struct token token;
    int indent;       /* columns before the first token of its line */
    bool is_module;   /* the "{" of a module's body, where members may stand */
    bool is_formals;  /* of fn NAME ( */
    bool wants_brace; /* an if, when or else stands directly inside, and its "{" has not come yet */
};

/* A pair of "{" and "}" whose lines are indented differently: the likely place of a missing "}". */
struct doubt {
    struct span open, close;
};

struct balance {
    struct arena *arena;
    struct diags *diags;
    const struct tokens *in;
    int at;
    struct tokens out;
    VEC(struct opener) open;
    struct doubt doubt;
    int indent;         /* of the line that is being read */
    bool module_begins; /* a module's name has been read and its "{" has not */
};

static const char *bracket_text(int kind) {
    static const char *const texts[] = {
        ['('] = "(", [')'] = ")", ['['] = "[", [']'] = "]", ['{'] = "{", ['}'] = "}"};
    return texts[kind];
}

static int innermost(const struct balance *b) {
    return b->open.count ? VEC_LAST(&b->open).token.kind : 0;
}

static bool in_parens(const struct balance *b) {
    return innermost(b) == '(' || innermost(b) == '[';
}

/* Puts in the partner of the innermost opener. Line ends that were read already are put behind it again. */
static void insert_partner(struct balance *b) {
    struct opener opener = VEC_POP(&b->open);
    struct token closer = {.kind = token_partner(opener.token.kind), .match = -1, .inserted = true};
    struct token line_end = VEC_LAST(&b->out);
    bool at_line_end = line_end.kind < 0;
    if (at_line_end)
        b->out.count--;
    closer.span = VEC_LAST(&b->out).span;
    closer.span.begin = closer.span.end;
    VEC_PUSH(b->arena, &b->out, closer);
    if (at_line_end)
        VEC_PUSH(b->arena, &b->out, line_end);
}

/* Whether a string that is not closed begins behind `at` on its line: the bracket stands in it. */
static bool is_in_open_string(const struct balance *b, struct span at) {
    uint32_t line_end = at.end + (uint32_t)strcspn(at.source->text + at.end, "\n");
    for (int i = 0; i < diags_count(b->diags); i++) {
        struct span span = diag_span(b->diags, i);
        if (diag_code_of(b->diags, i) == E_CHARACTER && span.source == at.source && span.begin >= at.end &&
            span.end == line_end && at.source->text[span.begin] == '"')
            return true;
    }
    return false;
}

/* The innermost opener is never closed: reported at the opener, or where it should have been closed. NULL:
 * that is the mistake of a string. */
static struct diag *report_unclosed(struct balance *b, struct span where) {
    const struct opener *opener = &VEC_LAST(&b->open);
    if (is_in_open_string(b, opener->token.span))
        return NULL;
    struct diag *d =
        diag_error(b->diags, where, E_BRACKET, "`%s` is missing: `%s` is not closed",
                   bracket_text(token_partner(opener->token.kind)), bracket_text(opener->token.kind));
    diag_label(d, opener->token.span, "opened here");
    return d;
}

static void close_innermost(struct balance *b, struct span where) {
    report_unclosed(b, where);
    insert_partner(b);
}

/* ---- closing brackets ---- */

/* The index of the innermost opener of this kind, -1: none. */
static int find_opener(const struct balance *b, int kind) {
    int i = b->open.count - 1;
    while (i >= 0 && b->open.at[i].token.kind != kind)
        i--;
    return i;
}

static void note_indentation(struct balance *b, const struct opener *opener, const struct token *closer,
                             bool leads_line) {
    if (opener->token.kind == '{' && leads_line && opener->indent != b->indent &&
        !span_is_known(b->doubt.open))
        b->doubt = (struct doubt){opener->token.span, closer->span};
}

static void read_closer(struct balance *b, struct token closer, bool leads_line) {
    int wanted = token_partner(closer.kind);
    int opener = find_opener(b, wanted);
    if (opener < 0 && b->open.count && innermost(b) != '{' && wanted != '{') { /* (a] */
        struct diag *d = diag_error(b->diags, closer.span, E_BRACKET, "`%s` is closed by `%s`",
                                    bracket_text(innermost(b)), bracket_text(closer.kind));
        diag_label(d, VEC_LAST(&b->open).token.span, "opened here");
        closer.kind = token_partner(innermost(b));
        opener = b->open.count - 1;
    }
    if (opener < 0) {
        diag_error(b->diags, closer.span, E_BRACKET, "`%s` closes nothing", bracket_text(closer.kind));
        return;
    }
    while (b->open.count - 1 > opener)
        close_innermost(b, closer.span);
    note_indentation(b, &VEC_LAST(&b->open), &closer, leads_line);
    b->open.count--;
    VEC_PUSH(b->arena, &b->out, closer);
}

/* ---- the beginnings of lines ---- */

/* Inside ( and [ an assignment is possible only after "(" or ",": the default of a parameter. */
static bool begins_assignment(const struct balance *b) {
    int before = b->out.count >= 2 ? b->out.at[b->out.count - 2].kind : 0;
    return token_ends_statement(before) && token_begins_assignment(b->in, b->at);
}

/* All ( and [ that a new statement leaves open are one mistake: the innermost is named, the others get
 * labels. */
static void close_parens(struct balance *b) {
    int last = b->out.count - 1;
    struct span where = b->out.at[b->out.at[last].kind < 0 ? last - 1 : last].span;
    where.begin = where.end;
    struct diag *d = report_unclosed(b, where);
    for (bool first = true; in_parens(b); first = false) {
        if (!first && d)
            diag_label(d, VEC_LAST(&b->open).token.span, "this `%s` is open too", bracket_text(innermost(b)));
        insert_partner(b);
    }
}

static void begin_line(struct balance *b) {
    const struct token *first = &b->in->at[b->at];
    int line, column;
    source_locate(first->span.source, first->span.begin, &line, &column);
    b->indent = column - 1;
    if (in_parens(b) && (token_begins_statement(b->in, b->at) || begins_assignment(b)))
        close_parens(b);
    while (innermost(b) == '{' && !VEC_LAST(&b->open).is_module && token_begins_member(b->in, b->at) &&
           b->indent <= VEC_LAST(&b->open).indent)
        close_innermost(b, VEC_LAST(&b->open).token.span);
}

/* ---- the whole text ---- */

/* Whether a "{" that came now would be what other languages have as the body of a nameless function, behind
 * `=>` or fn(y): the grammar refuses it, and its ) is not missing. */
static bool begins_body(const struct balance *b) {
    int at = b->at - 1;
    if (at >= 0 && b->in->at[at].kind == ')')
        while (at > 0 && b->in->at[at].kind != '(')
            at--;
    return at > 0 && (b->in->at[at].kind == FATARROW || b->in->at[at - 1].kind == FN);
}

/* Inside ( and [ only the branches of `if` and `when` have braces: another "{" shows that a ) or ] is
 * missing. */
static void open_bracket(struct balance *b, struct token token) {
    if (token.kind == '{' && in_parens(b) && !begins_body(b)) {
        if (VEC_LAST(&b->open).wants_brace)
            VEC_LAST(&b->open).wants_brace = false;
        else
            close_parens(b);
    }
    struct opener opener = {.token = token, .indent = b->indent};
    opener.is_module = token.kind == '{' && b->module_begins;
    opener.is_formals = token.kind == '(' && b->at >= 2 && b->in->at[b->at - 2].kind == FN;
    if (token.kind == '{')
        b->module_begins = false;
    VEC_PUSH(b->arena, &b->open, opener);
    VEC_PUSH(b->arena, &b->out, token);
}

/* One error for all that is open at the end of the text. The place that indentation makes suspicious is
 * shown, too. */
static void close_all(struct balance *b) {
    struct diag *d = report_unclosed(b, VEC_LAST(&b->open).token.span);
    if (d && span_is_known(b->doubt.open)) {
        diag_label(d, b->doubt.open, "this `{` may be the one that is not closed:");
        diag_label(d, b->doubt.close, "its `}` has another indentation");
    }
    while (b->open.count)
        insert_partner(b);
}

struct tokens brackets_balance(struct arena *arena, const struct tokens *raw, struct diags *diags) {
    struct balance b = {.arena = arena, .diags = diags, .in = raw};
    bool leads_line = true;
    for (; b.at < raw->count; b.at++) {
        struct token token = raw->at[b.at];
        if (leads_line && token.kind > 0)
            begin_line(&b);
        if (token.kind == ARROW && b.open.count && VEC_LAST(&b.open).is_formals)
            close_parens(&b);
        if (token.kind == MODEL || token.kind == MODULE || token.kind == OPTIMIZER)
            b.module_begins = true;
        if (b.open.count && (token.kind == IF || token.kind == WHEN || token.kind == ELSE))
            VEC_LAST(&b.open).wants_brace = true;
        if (token.kind == 0 && b.open.count)
            close_all(&b);
        if (token_opens(token.kind))
            open_bracket(&b, token);
        else if (token_closes(token.kind))
            read_closer(&b, token, leads_line);
        else
            VEC_PUSH(arena, &b.out, token);
        leads_line = token.kind == TOKEN_LINE_END;
    }
    return b.out;
}
