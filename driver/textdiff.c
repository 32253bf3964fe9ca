/* driver/textdiff.c: the difference of two texts. The lines that both have are a longest common subsequence,
 * found in a table of their lengths (Wagner & Fischer 1974), between the heads and tails that are equal. */
#include "driver/textdiff.h"

#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { CONTEXT = 3, TABLE_MOST = 1 << 24 }; /* beyond it all lines between head and tail change */

struct line {
    const char *text;
    int length; /* with its line end */
};
typedef VEC(struct line) line_list;

static line_list lines_of(struct arena *arena, const char *text) {
    line_list lines = {0};
    while (*text) {
        size_t length = strcspn(text, "\n");
        length += text[length] == '\n';
        VEC_PUSH(arena, &lines, ((struct line){text, (int)length}));
        text += length;
    }
    return lines;
}

static bool is_equal(const struct line *a, const struct line *b) {
    return a->length == b->length && memcmp(a->text, b->text, (size_t)a->length) == 0;
}

/* A line of the result: ' ' of both, '-' of the first, '+' of the second. */
struct change {
    char kind;
    const struct line *line;
};
struct difference {
    struct arena *arena;
    line_list a, b;
    VEC(struct change) changes;
};

static void push(struct difference *d, char kind, const struct line *line) {
    VEC_PUSH(d->arena, &d->changes, ((struct change){kind, line}));
}

/* Lines [a0, a1) and [b0, b1), which begin and end with different ones. */
static void compare_middle(struct difference *d, int a0, int a1, int b0, int b1) {
    int rows = a1 - a0, columns = b1 - b0, i = 0, j = 0;
    int32_t *common = NULL;
    if ((int64_t)(rows + 1) * (columns + 1) <= TABLE_MOST) {
        common = ARENA_ARRAY(d->arena, int32_t, (rows + 1) * (columns + 1));
        for (int r = rows - 1; r >= 0; r--)
            for (int c = columns - 1; c >= 0; c--) {
                int32_t below = common[(r + 1) * (columns + 1) + c],
                        beside = common[r * (columns + 1) + c + 1];
                bool same = is_equal(&d->a.at[a0 + r], &d->b.at[b0 + c]);
                common[r * (columns + 1) + c] = same             ? common[(r + 1) * (columns + 1) + c + 1] + 1
                                                : below > beside ? below
                                                                 : beside;
            }
    }
    while (i < rows || j < columns) {
        bool same = common && i < rows && j < columns && is_equal(&d->a.at[a0 + i], &d->b.at[b0 + j]);
        bool removes = i < rows && (j == columns || !common ||
                                    common[(i + 1) * (columns + 1) + j] >= common[i * (columns + 1) + j + 1]);
        if (same) {
            push(d, ' ', &d->a.at[a0 + i++]);
            j++;
        } else if (removes) {
            push(d, '-', &d->a.at[a0 + i++]);
        } else {
            push(d, '+', &d->b.at[b0 + j++]);
        }
    }
}

/* Whether some line within CONTEXT of the i-th one changes. */
static bool is_shown(const struct difference *d, int i) {
    for (int k = i - CONTEXT; k <= i + CONTEXT; k++)
        if (k >= 0 && k < d->changes.count && d->changes.at[k].kind != ' ')
            return true;
    return false;
}

static int write_hunk(struct strbuf *out, const struct difference *d, int from, int line_a, int line_b) {
    int to = from, in_a = 0, in_b = 0;
    for (; to < d->changes.count && is_shown(d, to); to++) {
        in_a += d->changes.at[to].kind != '+';
        in_b += d->changes.at[to].kind != '-';
    }
    strbuf_printf(out, "@@ -%d,%d +%d,%d @@\n", in_a ? line_a : line_a - 1, in_a, in_b ? line_b : line_b - 1,
                  in_b);
    for (int i = from; i < to; i++) {
        const struct line *line = d->changes.at[i].line;
        strbuf_putc(out, d->changes.at[i].kind);
        strbuf_write(out, line->text, (size_t)line->length);
        if (line->text[line->length - 1] != '\n')
            strbuf_puts(out, "\n\\ No newline at end of file\n");
    }
    return to;
}

void text_diff(struct strbuf *out, const char *name, const char *before, const char *after) {
    struct difference d = {
        .arena = out->arena, .a = lines_of(out->arena, before), .b = lines_of(out->arena, after)};
    int head = 0, tail = 0, line_a = 1, line_b = 1;
    while (head < d.a.count && head < d.b.count && is_equal(&d.a.at[head], &d.b.at[head]))
        push(&d, ' ', &d.a.at[head++]);
    while (head + tail < d.a.count && head + tail < d.b.count &&
           is_equal(&d.a.at[d.a.count - 1 - tail], &d.b.at[d.b.count - 1 - tail]))
        tail++;
    compare_middle(&d, head, d.a.count - tail, head, d.b.count - tail);
    for (int i = d.a.count - tail; i < d.a.count; i++)
        push(&d, ' ', &d.a.at[i]);
    bool is_named = false;
    for (int i = 0; i < d.changes.count; i++) {
        if (is_shown(&d, i)) {
            if (!is_named)
                strbuf_printf(out, "--- %s\n+++ %s\n", name, name);
            is_named = true;
            int end = write_hunk(out, &d, i, line_a, line_b);
            for (; i < end; i++) {
                line_a += d.changes.at[i].kind != '+';
                line_b += d.changes.at[i].kind != '-';
            }
        }
        if (i < d.changes.count) {
            line_a++;
            line_b++;
        }
    }
}
