#include "base/diag.h"

#include "base/diag_parts.h"

#include <ctype.h>
#include <string.h>

static const char *const code_text[DIAG_CODE_COUNT] = {
#define ERROR_CODE(name, number, title) [name] = number,
#include "base/errors.def"
#undef ERROR_CODE
};

struct diags *diags_create(struct arena *arena) {
    struct diags *diags = ARENA_NEW(arena, struct diags);
    diags->arena = arena;
    return diags;
}

static struct diag *report(struct diags *diags, enum severity severity, struct span span, enum diag_code code,
                           const char *message) {
    struct diag *diag = ARENA_NEW(diags->arena, struct diag);
    diag->arena = diags->arena;
    diag->span = span;
    diag->severity = severity;
    diag->code = code;
    diag->message = message;
    VEC_PUSH(diags->arena, &diags->all, diag);
    return diag;
}

#define REPORT(diags, severity, span, code, format, result)                                                  \
    do {                                                                                                     \
        va_list report_args;                                                                                 \
        va_start(report_args, format);                                                                       \
        const char *report_text = arena_vprintf((diags)->arena, format, report_args);                        \
        va_end(report_args);                                                                                 \
        (result) = report((diags), (severity), (span), (code), report_text);                                 \
    } while (0)

struct diag *diag_error(struct diags *diags, struct span span, enum diag_code code, const char *format, ...) {
    struct diag *diag;
    REPORT(diags, SEVERITY_ERROR, span, code, format, diag);
    return diag;
}

struct diag *diag_warning(struct diags *diags, struct span span, enum diag_code code, const char *format,
                          ...) {
    struct diag *diag;
    REPORT(diags, SEVERITY_WARNING, span, code, format, diag);
    return diag;
}

struct diag *diag_defect(struct diags *diags, struct span span, const char *format, ...) {
    struct diag *diag;
    REPORT(diags, SEVERITY_DEFECT, span, E_DEFECT, format, diag);
    return diag;
}

static const struct span nowhere = {0};

struct diag *diag_error_at(struct diags *diags, const struct site *site, enum diag_code code,
                           const char *format, ...) {
    struct diag *diag;
    REPORT(diags, SEVERITY_ERROR, site ? site->span : nowhere, code, format, diag);
    diag_chain(diag, site);
    return diag;
}

void diag_label(struct diag *diag, struct span span, const char *format, ...) {
    va_list args;
    va_start(args, format);
    struct diag_label label = {span, arena_vprintf(diag->arena, format, args)};
    va_end(args);
    VEC_PUSH(diag->arena, &diag->labels, label);
}

static void remark(struct diag *diag, const char *kind, const char *text) {
    struct diag_remark line = {kind, text};
    VEC_PUSH(diag->arena, &diag->remarks, line);
}

void diag_note(struct diag *diag, const char *format, ...) {
    va_list args;
    va_start(args, format);
    remark(diag, "note", arena_vprintf(diag->arena, format, args));
    va_end(args);
}

void diag_hint(struct diag *diag, const char *format, ...) {
    va_list args;
    va_start(args, format);
    remark(diag, "help", arena_vprintf(diag->arena, format, args));
    va_end(args);
}

/* A call on the way to the mistake; a recursion makes the same one again and again. */
struct call {
    const struct site *site;
    int times;
};
typedef VEC(struct call) call_list;

static bool same_call(const struct site *a, const struct site *b) {
    return a->span.source == b->span.source && a->span.begin == b->span.begin && a->span.end == b->span.end &&
           (a->what == b->what || (a->what && b->what && strcmp(a->what, b->what) == 0));
}

static void note_call(struct diag *diag, const struct call *call) {
    const struct site *site = call->site;
    const char *what = site->what ? arena_printf(diag->arena, "in %s, ", site->what) : "";
    if (!span_is_known(site->span)) {
        if (site->what)
            diag_note(diag, "in %s", site->what);
        return;
    }
    int line, column;
    source_locate(site->span.source, site->span.begin, &line, &column);
    const char *times = call->times > 1 ? arena_printf(diag->arena, ", %d times", call->times) : "";
    diag_note(diag, "%scalled at %s:%d:%d%s", what, site->span.source->name, line, column, times);
}

static bool is_in_library(struct span span) {
    return span_is_known(span) && strncmp(span.source->name, "<lib>/", 6) == 0;
}

/* A mistake that shows in the library was made by the user: the nearest of his lines is its place, and needs
 * no note; the library's line is shown with it. */
static void blame_users_call(struct diag *diag, call_list *calls) {
    if (!is_in_library(diag->span))
        return;
    for (int i = 0; i < calls->count; i++) {
        const struct site *site = calls->at[i].site;
        if (!span_is_known(site->span) || is_in_library(site->span))
            continue;
        const char *inside = calls->at[0].site->what;
        diag_label(diag, diag->span, "%s%s", inside ? "in " : "", inside ? inside : "here");
        diag->span = site->span;
        memmove(&calls->at[i], &calls->at[i + 1], sizeof *calls->at * (size_t)(calls->count - i - 1));
        calls->count--;
        return;
    }
}

/* A recursion that ran away has thousands of callers: the innermost few and the outermost tell the story. */
enum { CHAIN_INNER = 6, CHAIN_OUTER = 2 };

/* An entry is called by nobody: it is named where a chain of calls leads back to it, and not when the mistake
 * stands in itself. */
void diag_chain(struct diag *diag, const struct site *site) {
    call_list calls = {0};
    for (const struct site *call = site ? site->caller : NULL; call; call = call->caller) {
        if (calls.count > 0 && same_call(VEC_LAST(&calls).site, call))
            VEC_LAST(&calls).times++;
        else
            VEC_PUSH(diag->arena, &calls, ((struct call){call, 1}));
    }
    if (calls.count == 1 && !span_is_known(calls.at[0].site->span))
        return;
    diag->is_called = calls.count > 0;
    blame_users_call(diag, &calls);
    int skipped = calls.count - CHAIN_INNER - CHAIN_OUTER;
    for (int i = 0; i < calls.count; i++) {
        if (skipped <= 1 || i < CHAIN_INNER || i >= calls.count - CHAIN_OUTER)
            note_call(diag, &calls.at[i]);
        else if (i == CHAIN_INNER)
            diag_note(diag, "%d more calls", skipped);
    }
}

int diags_error_count(const struct diags *diags) {
    int errors = 0;
    for (int i = 0; i < diags->all.count; i++)
        errors += diags->all.at[i]->severity != SEVERITY_WARNING;
    return errors;
}

bool diags_has_defect(const struct diags *diags) {
    for (int i = 0; i < diags->all.count; i++)
        if (diags->all.at[i]->severity == SEVERITY_DEFECT)
            return true;
    return false;
}

int diags_count(const struct diags *diags) {
    return diags->all.count;
}

struct diag *diags_last(const struct diags *diags) {
    return diags->all.count > 0 ? VEC_LAST(&diags->all) : NULL;
}

void diags_clear(struct diags *diags) {
    diags->all.count = 0;
}

void diags_truncate(struct diags *diags, int count) {
    if (count < diags->all.count)
        diags->all.count = count;
}

const char *diag_message(const struct diags *diags, int index) {
    return diags->all.at[index]->message;
}

struct span diag_span(const struct diags *diags, int index) {
    return diags->all.at[index]->span;
}

enum diag_code diag_code_of(const struct diags *diags, int index) {
    return diags->all.at[index]->code;
}

enum severity diag_severity(const struct diags *diags, int index) {
    return diags->all.at[index]->severity;
}

int diag_label_count(const struct diags *diags, int index) {
    return diags->all.at[index]->labels.count;
}

struct span diag_label_span(const struct diags *diags, int index, int label) {
    return diags->all.at[index]->labels.at[label].span;
}

const char *diag_label_text(const struct diags *diags, int index, int label) {
    return diags->all.at[index]->labels.at[label].text;
}

int diag_remark_count(const struct diags *diags, int index) {
    return diags->all.at[index]->remarks.count;
}

const char *diag_remark_kind(const struct diags *diags, int index, int remark) {
    return diags->all.at[index]->remarks.at[remark].kind;
}

const char *diag_remark_text(const struct diags *diags, int index, int remark) {
    return diags->all.at[index]->remarks.at[remark].text;
}

const char *diag_code_text(enum diag_code code) {
    return code_text[code];
}

enum { LONGEST_NAME = 63 }; /* nobody slips in a name longer than that by one letter and wants advice */

static int min3(int a, int b, int c) {
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits that turn a into b: insert, delete, replace, swap of neighbours (optimal string alignment; Damerau
 * 1964), in any case of letters. Three rows of the table are alive at a time. */
static int edit_distance(const char *a, int a_length, const char *b, int b_length) {
    int rows[3][LONGEST_NAME + 1];
    for (int j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (int i = 1; i <= a_length; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
            bool swapped = i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                           tolower((unsigned char)a[i - 2]) == y;
            if (swapped && two_above[j - 2] + 1 < row[j])
                row[j] = two_above[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *nearest_name(const char *word, const char *const *candidates, int count) {
    size_t length = strlen(word);
    if (length == 0 || length > LONGEST_NAME)
        return NULL;
    const char *best = NULL;
    int best_distance = (int)length / 3 + 1; /* one letter in three may be wrong */
    if (length < 3)
        best_distance = 1; /* of one or two letters, the case alone */
    for (int i = 0; i < count; i++) {
        size_t candidate_length = strlen(candidates[i]);
        if (candidate_length > LONGEST_NAME)
            continue;
        int distance = edit_distance(word, (int)length, candidates[i], (int)candidate_length);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    return best;
}

void diag_nearest(struct diag *diag, const char *word, const char *const *candidates, int count) {
    const char *near = nearest_name(word, candidates, count);
    if (near)
        diag_hint(diag, "did you mean `%s`?", near);
}

const char *names_text(struct arena *arena, const char *const *names, int count) {
    struct strbuf out;
    strbuf_init(&out, arena);
    for (int i = 0; i < count; i++)
        strbuf_printf(&out, "%s`%s`", i == 0 ? "" : i == count - 1 ? " and " : ", ", names[i]);
    return count > 0 ? out.text : "nothing";
}
