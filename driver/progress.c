#include "driver/progress.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum progress_style progress_style_of(bool json, bool quiet) {
    return json                    ? PROGRESS_JSON
           : quiet                 ? PROGRESS_QUIET
           : isatty(STDERR_FILENO) ? PROGRESS_BAR
                                   : PROGRESS_LINES;
}

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 80;
}

void progress_begin(struct progress *p, enum progress_style style, const char *what, int64_t done,
                    int64_t total) {
    *p = (struct progress){.style = style,
                           .what = what,
                           .done = done,
                           .total = total,
                           .resumed = done,
                           .begun = clock_seconds()};
    p->shown = p->begun;
}

/* "1:05", "2:03:10" */
static void print_duration(char out[24], double seconds) {
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 24, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 24, "%ld:%02ld", s / 60, s % 60);
}

/* "epoch 3/20  120/469  181/s  0:02 left  elbo -120.3" */
static void describe(const struct progress *p, char *out, size_t size, const char *reports) {
    double elapsed = clock_seconds() - p->begun,
           rate = elapsed > 0 ? (double)(p->done - p->resumed) / elapsed : 0;
    char left[24] = "?";
    if (rate > 0)
        print_duration(left, (double)(p->total - p->done) / rate);
    snprintf(out, size, "%lld/%lld  %.4g/s  %s left  %s", (long long)p->done, (long long)p->total, rate, left,
             reports);
}

static void draw_bar(struct progress *p, const char *reports) {
    enum { CELLS = 24 };
    char text[512], line[1024];
    describe(p, text, sizeof text, reports);
    int filled = p->total > 0 ? (int)(CELLS * p->done / p->total) : 0;
    int n = snprintf(line, sizeof line, "%s [", p->what);
    for (int i = 0; i < CELLS; i++)
        line[n++] = i < filled ? '=' : i == filled ? '>' : ' ';
    snprintf(line + n, sizeof line - (size_t)n, "] %s", text);
    line[terminal_width() - 1 < (int)sizeof line ? terminal_width() - 1 : (int)sizeof line - 1] = 0;
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    p->is_drawn = true;
}

static void print_json(const char *what, int64_t done, int64_t total, const char *reports) {
    json_t *object = json_pack("{s:s, s:I, s:I, s:s}", "progress", what, "done", (json_int_t)done, "total",
                               (json_int_t)total, "reports", reports);
    if (object)
        json_dumpf(object, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(object);
}

static void show(struct progress *p, const char *reports) {
    char text[512];
    p->shown = clock_seconds();
    switch (p->style) {
    case PROGRESS_BAR:
        draw_bar(p, reports);
        break;
    case PROGRESS_LINES:
        describe(p, text, sizeof text, reports);
        fprintf(stderr, "%s  %s\n", p->what, text);
        break;
    case PROGRESS_JSON:
        print_json(p->what, p->done, p->total, reports);
        break;
    case PROGRESS_QUIET:
        break;
    }
}

void progress_update(struct progress *p, int64_t done, const char *reports) {
    p->done = done;
    if (clock_seconds() - p->shown >= (p->style == PROGRESS_BAR ? 0.1 : 5.0))
        show(p, reports);
}

static void wipe_bar(struct progress *p) {
    if (p->is_drawn)
        fprintf(stderr, "\r\033[K");
    p->is_drawn = false;
}

void progress_end(struct progress *p, const char *reports) {
    wipe_bar(p);
    if (p->style == PROGRESS_QUIET)
        return;
    char taken[24];
    double seconds = clock_seconds() - p->begun;
    print_duration(taken, seconds);
    if (p->style == PROGRESS_JSON)
        print_json(p->what, p->done, p->total, reports);
    else
        fprintf(stderr, "%s  %lld in %s (%.2f s)  %s\n", p->what, (long long)(p->done - p->resumed), taken,
                seconds, reports);
}

void progress_say(struct progress *p, const char *format, ...) {
    if (p->style == PROGRESS_QUIET)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    wipe_bar(p);
    if (p->style == PROGRESS_JSON) {
        json_t *object = json_pack("{s:s}", "message", text);
        if (object)
            json_dumpf(object, stderr, JSON_COMPACT);
        json_decref(object);
        fputc('\n', stderr);
    } else {
        fprintf(stderr, "%s\n", text);
    }
}
