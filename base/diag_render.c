/* Drawing diagnostics. A diagnostic is a head, one section for each file that its labels touch (the file of
 * the mistake first), in a section each line once, under a line one row of marks for each label, then the
 * remarks. */
#include "base/diag_parts.h"

#include <stdlib.h>
#include <string.h>

enum { TAB_WIDTH = 4 };

enum colour { PLAIN, BOLD, ERROR_COLOUR, WARNING_COLOUR, FRAME_COLOUR };

static const char *const escape[] = {
    [PLAIN] = "\033[0m",           [BOLD] = "\033[1m",
    [ERROR_COLOUR] = "\033[1;31m", [WARNING_COLOUR] = "\033[1;33m",
    [FRAME_COLOUR] = "\033[1;34m",
};

static const struct {
    const char *word;
    enum colour colour;
} looks[] = {
    [SEVERITY_ERROR] = {"error", ERROR_COLOUR},
    [SEVERITY_WARNING] = {"warning", WARNING_COLOUR},
    [SEVERITY_DEFECT] = {"defect", ERROR_COLOUR},
};

struct mark {
    struct span span;
    const char *text;
    int line, column; /* of its begin, from 1, in characters */
    bool is_primary;
};

struct drawing {
    struct strbuf *out;
    bool in_colour;
    int gutter; /* digits of the largest line number */
    enum colour severity_colour;
    int from,
        to; /* the bytes of the current line that are drawn; 0 and its length where it is not too long */
    VEC(struct mark) marks; /* in the order in which they are drawn */
};

/* Of a line that no screen holds, a piece around its first mark is drawn. */
enum { LINE_MOST = 240, PIECE = 160, PIECE_BEFORE = 60 };

static void paint(struct drawing *d, enum colour colour) {
    if (d->in_colour)
        strbuf_puts(d->out, escape[colour]);
}

static void put_times(struct strbuf *out, char c, int times) {
    for (int i = 0; i < times; i++)
        strbuf_putc(out, c);
}

/* Length of the UTF-8 sequence at text, 0 where it is none. */
static int sequence_length(const char *text, int available) {
    unsigned char first = (unsigned char)text[0];
    int length = first < 0x80             ? 1
                 : (first & 0xe0) == 0xc0 ? 2
                 : (first & 0xf0) == 0xe0 ? 3
                 : (first & 0xf8) == 0xf0 ? 4
                                          : 0;
    if (length > available)
        return 0;
    for (int i = 1; i < length; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static uint32_t code_point(const char *text, int length) {
    uint32_t code = (unsigned char)text[0] & (length == 1 ? 0x7f : 0xff >> (length + 1));
    for (int i = 1; i < length; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    return code;
}

/* Columns of a character on a terminal: the blocks of Unicode that are wide or take no place, roughly. */
static int character_width(uint32_t code) {
    static const struct {
        uint32_t first, last;
        int width;
    } blocks[] = {
        {0x0300, 0x036f, 0}, {0x200b, 0x200f, 0}, {0xfe00, 0xfe0f, 0},   {0x1100, 0x115f, 2},
        {0x2e80, 0xa4cf, 2}, {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},
        {0xff00, 0xff60, 2}, {0xffe0, 0xffe6, 2}, {0x1f300, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (code >= blocks[i].first && code <= blocks[i].last)
            return blocks[i].width;
    return 1;
}

/* Draws text (out NULL: measures it) from the given column on and returns the column behind it. Tabs become
 * spaces; what could steer a terminal, and bytes that are no UTF-8, become U+FFFD. */
static int put_text(struct strbuf *out, const char *text, int length, int column) {
    for (int i = 0; i < length;) {
        int bytes = sequence_length(text + i, length - i);
        uint32_t code = bytes ? code_point(text + i, bytes) : 0;
        bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        if (code == '\t') {
            int width = TAB_WIDTH - column % TAB_WIDTH;
            if (out)
                put_times(out, ' ', width);
            column += width;
        } else if (is_control) {
            if (out)
                strbuf_puts(out, "\xef\xbf\xbd");
            column++;
        } else {
            if (out)
                strbuf_write(out, text + i, (size_t)bytes);
            column += character_width(code);
        }
        i += bytes ? bytes : 1;
    }
    return column;
}

static void put_message(struct drawing *d, const char *text) {
    put_text(d->out, text, (int)strlen(text), 0);
}

static void put_gutter(struct drawing *d, int line) {
    paint(d, FRAME_COLOUR);
    if (line)
        strbuf_printf(d->out, "%*d |", d->gutter, line);
    else
        strbuf_printf(d->out, "%*s |", d->gutter, "");
    paint(d, PLAIN);
}

static void put_file(struct drawing *d, const char *arrow, const struct mark *mark) {
    paint(d, FRAME_COLOUR);
    strbuf_printf(d->out, "%*s%s ", d->gutter, "", arrow);
    paint(d, PLAIN);
    put_message(d, mark->span.source->name);
    strbuf_printf(d->out, ":%d:%d\n", mark->line, mark->column);
}

static int character_begin(const char *text, int at) {
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static void choose_piece(struct drawing *d, const char *text, int length, int begin) {
    d->from = 0;
    d->to = length;
    if (length <= LINE_MOST)
        return;
    if (begin > PIECE_BEFORE)
        d->from = character_begin(text, begin - PIECE_BEFORE < length ? begin - PIECE_BEFORE : length);
    if (d->from + PIECE < length)
        d->to = character_begin(text, d->from + PIECE);
}

static void put_line(struct drawing *d, const struct mark *mark) {
    int length;
    const char *text = source_line(mark->span.source, mark->line, &length);
    choose_piece(d, text, length, (int)(mark->span.source->text + mark->span.begin - text));
    put_gutter(d, mark->line);
    if (length) {
        strbuf_puts(d->out, d->from > 0 ? " ..." : " ");
        put_text(d->out, text + d->from, d->to - d->from, d->from > 0 ? 3 : 0);
        strbuf_puts(d->out, d->to < length ? "..." : "");
    }
    strbuf_putc(d->out, '\n');
}

static int clamp(int x, int lo, int hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

/* The row of marks: from the span's begin to its end, at most to the end of the line, at least one. */
static void put_marks(struct drawing *d, const struct mark *mark) {
    int length;
    const char *text = source_line(mark->span.source, mark->line, &length);
    int begin = (int)(mark->span.source->text + mark->span.begin - text);
    int end = begin + (int)(mark->span.end > mark->span.begin ? mark->span.end - mark->span.begin : 0);
    begin = clamp(begin, d->from, d->to);
    end = clamp(end, d->from, d->to);
    int from = put_text(NULL, text + d->from, begin - d->from, d->from > 0 ? 3 : 0),
        to = put_text(NULL, text + begin, end - begin, from);
    put_gutter(d, 0);
    put_times(d->out, ' ', 1 + from);
    paint(d, mark->is_primary ? d->severity_colour : FRAME_COLOUR);
    put_times(d->out, mark->is_primary ? '^' : '-', to > from ? to - from : 1);
    if (mark->text) {
        strbuf_putc(d->out, ' ');
        put_message(d, mark->text);
    }
    paint(d, PLAIN);
    strbuf_putc(d->out, '\n');
}

static void put_remark(struct drawing *d, const struct diag_remark *remark) {
    paint(d, FRAME_COLOUR);
    strbuf_printf(d->out, "%*s = ", d->gutter, "");
    paint(d, BOLD);
    strbuf_puts(d->out, remark->kind);
    paint(d, PLAIN);
    strbuf_puts(d->out, ": ");
    put_message(d, remark->text);
    strbuf_putc(d->out, '\n');
}

static bool same_span(struct span a, struct span b) {
    return a.source == b.source && a.begin == b.begin && a.end == b.end;
}

static void add_mark(struct drawing *d, struct span span, const char *text, bool is_primary) {
    struct mark mark = {.span = span, .text = text, .is_primary = is_primary};
    source_locate(span.source, span.begin, &mark.line, &mark.column);
    VEC_PUSH(d->out->arena, &d->marks, mark);
}

/* Position of a file among the marks: the file of the mistake is first, the others follow as they were
 * labelled. */
static int file_rank(const struct drawing *d, const struct source *source) {
    int rank = 0;
    while (d->marks.at[rank].span.source != source)
        rank++;
    return rank;
}

static bool is_before(const struct drawing *d, const struct mark *a, const struct mark *b) {
    int rank_a = file_rank(d, a->span.source), rank_b = file_rank(d, b->span.source);
    if (rank_a != rank_b)
        return rank_a < rank_b;
    if (a->line != b->line)
        return a->line < b->line;
    if (a->is_primary != b->is_primary)
        return a->is_primary;
    return a->span.begin < b->span.begin;
}

/* One mark for the mistake itself, with the text of the first label on its span, and one for every other
 * label. */
static void collect_marks(struct drawing *d, const struct diag *diag) {
    bool is_labelled = false;
    for (int i = 0; i < diag->labels.count; i++)
        is_labelled = is_labelled || same_span(diag->labels.at[i].span, diag->span);
    if (span_is_known(diag->span) && !is_labelled)
        add_mark(d, diag->span, NULL, true);
    for (int pass = 0; pass < 2;
         pass++) /* the labels of the mistake itself first: they rank its file first */
        for (int i = 0; i < diag->labels.count; i++) {
            const struct diag_label *label = &diag->labels.at[i];
            bool is_primary = same_span(label->span, diag->span);
            if (span_is_known(label->span) && is_primary == (pass == 0))
                add_mark(d, label->span, label->text, is_primary);
        }
}

/* Insertion sort: there are few, and equal marks keep their order. The ranks are read from the unsorted list.
 */
static void sort_marks(struct drawing *d) {
    int count = d->marks.count;
    struct mark *sorted = ARENA_ARRAY(d->out->arena, struct mark, count + 1);
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && is_before(d, &d->marks.at[i], &sorted[at - 1]); at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = d->marks.at[i];
    }
    d->marks.at = sorted;
}

static void measure_gutter(struct drawing *d) {
    int largest = 0;
    for (int i = 0; i < d->marks.count; i++)
        largest = d->marks.at[i].line > largest ? d->marks.at[i].line : largest;
    for (d->gutter = 0; largest > 0; largest /= 10)
        d->gutter++;
}

static const struct mark *heading_mark(const struct drawing *d, const struct source *source) {
    const struct mark *first = NULL;
    for (int i = 0; i < d->marks.count; i++) {
        const struct mark *mark = &d->marks.at[i];
        if (mark->span.source == source && (!first || (mark->is_primary && !first->is_primary)))
            first = mark;
    }
    return first;
}

static void put_pictures(struct drawing *d) {
    const struct mark *last = NULL;
    for (int i = 0; i < d->marks.count; i++) {
        const struct mark *mark = &d->marks.at[i];
        bool is_new_file = !last || last->span.source != mark->span.source;
        if (is_new_file) {
            put_file(d, last ? ":::" : "-->", heading_mark(d, mark->span.source));
            put_gutter(d, 0);
            strbuf_putc(d->out, '\n');
        } else if (mark->line > last->line + 1) {
            strbuf_puts(d->out, "...\n");
        }
        if (is_new_file || mark->line != last->line)
            put_line(d, mark);
        put_marks(d, mark);
        last = mark;
    }
}

static void draw(const struct diag *diag, struct strbuf *out, bool in_colour) {
    struct drawing d = {.out = out, .in_colour = in_colour, .severity_colour = looks[diag->severity].colour};
    collect_marks(&d, diag);
    sort_marks(&d);
    measure_gutter(&d);
    paint(&d, d.severity_colour);
    strbuf_printf(out, "%s[%s]", looks[diag->severity].word, diag_code_text(diag->code));
    paint(&d, PLAIN);
    paint(&d, BOLD);
    strbuf_puts(out, ": ");
    put_message(&d, diag->message);
    paint(&d, PLAIN);
    strbuf_putc(out, '\n');
    put_pictures(&d);
    for (int i = 0; i < diag->labels.count; i++) /* a label on something that no text wrote */
        if (!span_is_known(diag->labels.at[i].span))
            put_remark(&d, &(struct diag_remark){"note", diag->labels.at[i].text});
    for (int i = 0; i < diag->remarks.count; i++)
        put_remark(&d, &diag->remarks.at[i]);
}

/* Order of places: those without a source first, then by the file's name, by begin, by end. */
static int compare_places(const struct diag *a, const struct diag *b) {
    const char *name_a = a->span.source ? a->span.source->name : "",
               *name_b = b->span.source ? b->span.source->name : "";
    int names = strcmp(name_a, name_b);
    if (names)
        return names;
    if (a->span.begin != b->span.begin)
        return a->span.begin < b->span.begin ? -1 : 1;
    return a->span.end == b->span.end ? 0 : a->span.end < b->span.end ? -1 : 1;
}

struct ranked {
    const struct diag *diag;
    int index;
};

static int compare_ranked(const void *x, const void *y) {
    const struct ranked *a = x, *b = y;
    int places = compare_places(a->diag, b->diag);
    return places ? places : a->index - b->index;
}

static bool is_repetition(const struct ranked *sorted, int index) {
    const struct diag *diag = sorted[index].diag;
    for (int i = index - 1; i >= 0 && compare_places(sorted[i].diag, diag) == 0; i--)
        if (sorted[i].diag->code == diag->code && ((sorted[i].diag->is_called && diag->is_called) ||
                                                   strcmp(sorted[i].diag->message, diag->message) == 0))
            return true;
    return false;
}

/* Advice can wait where there are mistakes: half of what looks unused is then a slip elsewhere. */
static bool is_advice(const struct diag *diag) {
    return diag->code == W_UNUSED || diag->code == W_SHADOW;
}

int diags_in_order(const struct diags *diags, struct arena *arena, int **order) {
    int count = 0, kept = 0;
    bool has_errors = diags_error_count(diags) > 0;
    struct ranked *sorted = ARENA_ARRAY(arena, struct ranked, diags->all.count + 1);
    *order = ARENA_ARRAY(arena, int, diags->all.count + 1);
    for (int i = 0; i < diags->all.count; i++)
        if (!has_errors || !is_advice(diags->all.at[i]))
            sorted[count++] = (struct ranked){diags->all.at[i], i};
    qsort(sorted, (size_t)count, sizeof *sorted, compare_ranked);
    for (int i = 0; i < count; i++)
        if (!is_repetition(sorted, i))
            (*order)[kept++] = sorted[i].index;
    return kept;
}

void diags_render(const struct diags *diags, struct strbuf *out, bool colour) {
    int *order, count = diags_in_order(diags, out->arena, &order);
    for (int i = 0; i < count; i++) {
        if (i > 0)
            strbuf_putc(out, '\n');
        draw(diags->all.at[order[i]], out, colour);
    }
}
