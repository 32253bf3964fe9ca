/* frontend/format.c: `weft fmt`. The author's lines stay; what is decided here is the space between tokens,
 * the indentation and the blank lines (docs/language.md, "Style"). Working on tokens, it keeps every comment,
 * and it can check itself: the tree of the result must be the tree of the text. */
#include "frontend/ast.h"
#include "frontend/ast_print.h"
#include "frontend/frontend.h"
#include "frontend/grammar.tab.h"
#include "frontend/token.h"

#include <string.h>

enum { INDENT = 2, CONTINUATION = 4 };

/* An `if` or `when`: where its `else` goes when it begins a line. */
struct choice {
    bool is_statement;
    int column;
};

/* An open bracket, or the top of the file. */
struct level {
    int opener;           /* its kind; 0: the file */
    int indent;           /* of lines inside */
    int outer;            /* of its partner, where that begins a line */
    bool has_lines;       /* a block of several lines */
    bool is_index;        /* x[...]: a colon makes a slice */
    struct choice choice; /* of the `if` that was read last at this level */
};

struct formatter {
    struct arena *arena;
    const struct source *source;
    struct tokens tokens; /* without line ends; the last is the end */
    struct comments comments;
    struct strbuf out;
    VEC(struct level) levels;
    int comment;        /* the next one */
    int column, indent; /* of the end and of the begin of the line that is being written */
    uint32_t end;       /* of what was written last, in the source */
    bool at_start;      /* nothing was written yet */
    bool after_opener;
    bool slice_is_spaced; /* of the colon that was written last */
};

static struct level *level_of(struct formatter *f) {
    return &VEC_LAST(&f->levels);
}

static bool is_in_parens(struct formatter *f) {
    return level_of(f)->opener == '(' || level_of(f)->opener == '[';
}

static int kind_at(const struct formatter *f, int i) {
    return i >= 0 && i < f->tokens.count ? f->tokens.at[i].kind : 0;
}

/* Line ends between two places of the source. */
static int breaks_between(const struct formatter *f, uint32_t begin, uint32_t end) {
    int count = 0;
    for (uint32_t i = begin; i < end; i++)
        count += f->source->text[i] == '\n';
    return count;
}

/* ---- output ---- */

static void write_span(struct formatter *f, struct span span) {
    strbuf_write(&f->out, f->source->text + span.begin, span.end - span.begin);
    for (uint32_t i = span.begin; i < span.end; i++)
        f->column +=
            (f->source->text[i] & 0xC0) != 0x80; /* bytes that continue a UTF-8 sequence have no column */
    f->end = span.end;
    f->at_start = false;
}

static void write_spaces(struct formatter *f, int count) {
    for (int i = 0; i < count; i++)
        strbuf_putc(&f->out, ' ');
    f->column += count;
}

/* Blank lines: one of several stays; none behind an opening bracket or before a closing one. */
static void begin_line(struct formatter *f, int indent, int breaks, bool closes) {
    if (!f->at_start)
        strbuf_puts(&f->out, breaks > 1 && !f->after_opener && !closes ? "\n\n" : "\n");
    f->column = 0;
    f->indent = indent;
    write_spaces(f, indent);
}

/* ---- spaces within a line ---- */

static bool ends_operand(int kind) {
    return token_ends_statement(kind) && kind != RETURN && kind != FN;
}

static bool is_unary(const struct formatter *f, int i) {
    int kind = kind_at(f, i);
    return (kind == '-' || kind == '+') && !ends_operand(kind_at(f, i - 1));
}

static bool is_operator(const struct formatter *f, int i) {
    int kind = kind_at(f, i);
    bool continues = token_continues_statement(kind) && kind != '.' && kind != ',' && !token_closes(kind);
    return continues && !is_unary(f, i);
}

/* Whether the bound of a slice that begins (step 1) or ends (step -1) at token i is there, and has an
 * operator. */
static void look_at_bound(const struct formatter *f, int i, int step, bool *is_there, bool *has_operator) {
    int depth = 0;
    for (*is_there = *has_operator = false; i >= 0 && kind_at(f, i) != 0; i += step) {
        int kind = kind_at(f, i);
        if (depth == 0 && (kind == ':' || kind == ',' || (step > 0 ? token_closes(kind) : token_opens(kind))))
            return;
        depth += step * (token_opens(kind) - token_closes(kind));
        *is_there = true;
        *has_operator |= depth == 0 && is_operator(f, i);
    }
}

/* 1:-1 and i : i + 1 and a : +n: spaces where both bounds are there and one is more than a word. */
static bool is_spaced_slice(const struct formatter *f, int colon) {
    bool left, right, left_operator, right_operator;
    look_at_bound(f, colon - 1, -1, &left, &left_operator);
    look_at_bound(f, colon + 1, 1, &right, &right_operator);
    bool is_length = kind_at(f, colon + 1) == '+';
    return is_length || (left && right && (left_operator || right_operator));
}

static bool is_tight_pair(int before, int kind) {
    static const int tight[] = {'.', RANGE, '^', 0};
    for (const int *t = tight; *t; t++)
        if (before == *t || kind == *t)
            return true;
    if (kind == '(' || kind == '[')
        return before == ID || before == DTYPE || before == ')' || before == ']' ||
               (before == FN && kind == '(');
    return kind == '?' || (before == ELLIPSIS && kind == ID);
}

static bool is_spaced(struct formatter *f, int i) {
    int before = kind_at(f, i - 1), kind = kind_at(f, i);
    if (before == '(' || before == '[' || kind == ')' || kind == ']' || kind == ',' ||
        kind == TOKEN_SEMICOLON)
        return false;
    if (before == '{' || kind == '}')
        return before != '{' || kind != '}';
    if (before == ',')
        return true;
    if (kind == ':')
        return level_of(f)->is_index && f->slice_is_spaced;
    if (before == ':')
        return !level_of(f)->is_index || f->slice_is_spaced;
    return !is_tight_pair(before, kind) && !is_unary(f, i - 1);
}

/* ---- indentation ---- */

static bool begins_statement(const struct formatter *f, int i) {
    int before = kind_at(f, i - 1), kind = kind_at(f, i);
    if (i == 0 || before == '{' || before == TOKEN_SEMICOLON)
        return true;
    return token_ends_statement(before) && !token_continues_statement(kind) &&
           !(kind == NOT && kind_at(f, i + 1) == IN);
}

/* Where token i goes when it begins a line. */
static int indent_of(struct formatter *f, int i) {
    struct level *level = level_of(f);
    int before = kind_at(f, i - 1), kind = kind_at(f, i);
    if (kind == 0)
        return 0;
    if (token_closes(kind))
        return level->outer;
    if (kind == ELSE && !level->choice.is_statement)
        return level->choice.column;
    if (is_in_parens(f) || kind == ELSE || begins_statement(f, i))
        return level->indent;
    return level->indent + (before == '=' || before == FATARROW ? INDENT : CONTINUATION);
}

/* ---- tokens and comments ---- */

static bool is_followed_on_line(const struct formatter *f, int i) {
    return breaks_between(f, f->tokens.at[i].span.end, f->tokens.at[i + 1].span.begin) == 0;
}

/* A block whose statements stand on several lines begins and ends with a line of its own. */
static bool is_block_of_lines(const struct formatter *f, int open) {
    int depth = 0;
    for (int i = open + 1; kind_at(f, i) != 0; i++) {
        int kind = kind_at(f, i);
        if (depth == 0 && kind == '}')
            return false;
        bool breaks = breaks_between(f, f->tokens.at[i - 1].span.end, f->tokens.at[i].span.begin) > 0;
        if (depth == 0 && breaks && begins_statement(f, i))
            return true;
        depth += token_opens(kind) - token_closes(kind);
    }
    return false;
}

static void open_level(struct formatter *f, int i) {
    int kind = kind_at(f, i), before = kind_at(f, i - 1);
    struct level inner = {.opener = kind};
    int base = kind == '{' && !is_in_parens(f) ? level_of(f)->indent : f->indent;
    bool hangs = kind != '{' && is_followed_on_line(f, i);
    inner.indent = hangs ? f->column : base + INDENT;
    inner.outer = hangs ? f->column - 1 : base;
    inner.has_lines = kind == '{' && !is_in_parens(f) && is_block_of_lines(f, i);
    inner.is_index = kind == '[' && (before == ID || before == ')' || before == ']');
    VEC_PUSH(f->arena, &f->levels, inner);
}

static void note_choice(struct formatter *f, int i) {
    int kind = kind_at(f, i);
    if ((kind == IF || kind == WHEN) && kind_at(f, i - 1) != ELSE)
        level_of(f)->choice = (struct choice){!is_in_parens(f) && begins_statement(f, i), f->column};
}

static void write_token(struct formatter *f, int i) {
    const struct token *token = &f->tokens.at[i];
    int breaks = breaks_between(f, f->end, token->span.begin);
    bool begins_or_ends = f->after_opener ? token->kind != '}' : token->kind == '}';
    if (breaks == 0 && level_of(f)->has_lines && begins_or_ends)
        breaks = 1;
    if (token->kind == ':')
        f->slice_is_spaced = level_of(f)->is_index && is_spaced_slice(f, i);
    if (f->at_start || breaks > 0)
        begin_line(f, indent_of(f, i), breaks, token_closes(token->kind));
    else if (is_spaced(f, i))
        write_spaces(f, 1);
    note_choice(f, i);
    if (token_closes(token->kind))
        f->levels.count--;
    write_span(f, token->span);
    if (token_opens(token->kind))
        open_level(f, i);
    f->after_opener = token_opens(token->kind);
}

/* The comments before token i. */
static void write_comments(struct formatter *f, int i) {
    for (; f->comment < f->comments.count; f->comment++) {
        struct span span = f->comments.at[f->comment].span;
        if (span.begin > f->tokens.at[i].span.begin)
            return;
        while (f->source->text[span.end - 1] == ' ' || f->source->text[span.end - 1] == '\t')
            span.end--;
        int breaks = breaks_between(f, f->end, span.begin);
        bool closes = token_closes(kind_at(f, i)) || kind_at(f, i) == 0;
        if (f->at_start || breaks > 0)
            begin_line(f, closes ? level_of(f)->indent : indent_of(f, i), breaks, false);
        else
            write_spaces(f, 2);
        write_span(f, span);
        f->after_opener = false;
    }
}

/* A semicolon says nothing at the end of a line or of a block, or behind another one. */
static bool is_idle_semicolon(const struct tokens *raw, int i) {
    int next = i + 1 < raw->count ? raw->at[i + 1].kind : 0;
    return raw->at[i].kind == TOKEN_SEMICOLON && (next < 0 || next == 0 || next == '}');
}

static void take_tokens(struct formatter *f, const struct tokens *raw) {
    for (int i = 0; i < raw->count; i++) {
        bool is_first = f->tokens.count == 0 || kind_at(f, f->tokens.count - 1) == '{';
        bool is_idle = is_idle_semicolon(raw, i) || (raw->at[i].kind == TOKEN_SEMICOLON && is_first);
        if (raw->at[i].kind != TOKEN_LINE_END && !is_idle)
            VEC_PUSH(f->arena, &f->tokens, raw->at[i]);
    }
}

static const char *format_source(struct arena *arena, struct interner *names, const struct source *source,
                                 struct diags *diags) {
    struct formatter f = {.arena = arena, .source = source, .at_start = true};
    struct tokens raw = tokens_read(arena, names, source, 0, source->length, &f.comments, diags);
    take_tokens(&f, &raw);
    strbuf_init(&f.out, arena);
    VEC_PUSH(arena, &f.levels, (struct level){0});
    for (int i = 0; i < f.tokens.count; i++) {
        write_comments(&f, i);
        if (f.tokens.at[i].kind != 0)
            write_token(&f, i);
    }
    if (!f.at_start)
        strbuf_putc(&f.out, '\n');
    return f.out.text;
}

/* ---- the check ---- */

static const char *tree_text(struct arena *arena, struct interner *names, const struct source *source,
                             struct diags *diags) {
    struct strbuf text;
    strbuf_init(&text, arena);
    ast_print(parse_file(arena, names, source, diags), &text);
    return text.text;
}

const char *frontend_format(struct arena *arena, const struct source *source, struct diags *diags) {
    struct interner *names = interner_create(arena);
    int errors = diags_error_count(diags);
    const char *before = tree_text(arena, names, source, diags);
    if (diags_error_count(diags) > errors)
        return NULL;
    const char *text = format_source(arena, names, source, diags);
    const struct source *formatted = source_create(arena, source->name, text, strlen(text));
    struct diags *unseen = diags_create(arena);
    const char *after = tree_text(arena, names, formatted, unseen);
    if (diags_error_count(unseen) == 0 && strcmp(before, after) == 0)
        return text;
    diag_defect(diags, (struct span){source, 0, 0}, "the formatter would change what %s means", source->name);
    return NULL;
}
