/* driver/progress.h: how long work shows itself: a bar on a terminal, plain lines elsewhere, JSON lines for
 * programs, nothing when quiet. All of it goes to standard error, so that results stay alone on standard
 * output. */
#ifndef DRIVER_PROGRESS_H
#define DRIVER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_style { PROGRESS_BAR, PROGRESS_LINES, PROGRESS_JSON, PROGRESS_QUIET };

struct progress {
    enum progress_style style;
    const char *what; /* "epoch 3/20" */
    int64_t done, total;
    double begun, shown; /* seconds of the monotonic clock */
    int64_t resumed;     /* done at the beginning: does not count for the rate */
    bool is_drawn;       /* a bar stands on the terminal's last line */
};

double clock_seconds(void); /* monotonic */
enum progress_style progress_style_of(bool json, bool quiet);

void progress_begin(struct progress *p, enum progress_style style, const char *what, int64_t done,
                    int64_t total);
/* reports: "elbo -120.3  kl 24.1", or "". Draws at most some ten times a second, a line at most every 5 s. */
void progress_update(struct progress *p, int64_t done, const char *reports);
void progress_end(struct progress *p, const char *reports);
/* A line for people between the bars ("epoch 1: bound -121.2"); printed in JSON style as {"message": ...}. */
void progress_say(struct progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
