/* driver/report.h: report.html of a run: one self-contained file with the curves, the pictures, the recipe
 * and the timing. It is made anew from what lies in the run's folder (log.jsonl and the PNG files it names),
 * so an interrupted run, a resumed one and a finished one are drawn alike.
 *
 * log.jsonl holds one object a line:
 *   {"kind": "train", "step": 50, "epoch": 0, "seconds": 1.25, "values": {"elbo": -203.1}}
 *   {"kind": "evaluate", "step": 469, "epoch": 1, "seconds": 9.8, "values": {"bound (test)": -121.0}}
 *   {"kind": "samples", "step": 469, "epoch": 1, "seconds": 9.9, "file": "sample-000469.png", "name":
 * "sample"} */
#ifndef DRIVER_REPORT_H
#define DRIVER_REPORT_H

#include "base/arena.h"
#include "runtime/weft.h"

#include <stdbool.h>

struct report_facts {
    const char *title;             /* the model's name */
    const char *recipe;            /* its text */
    const char *model;             /* the model's text */
    const char *const (*facts)[2]; /* pairs: what, value: parameters, threads, CPU, seconds a step, ... */
    int fact_count;
};

/* Writes `html` atomically, from the log `json`. false: *error says why. */
bool report_write(struct arena *arena, const char *folder, const char *json, const char *html,
                  const struct report_facts *facts, struct weft_error *error);
/* The same as text in the arena, from the text of a log; pictures are read from `folder`. */
const char *report_text(struct arena *arena, const char *folder, const char *log,
                        const struct report_facts *facts);

#endif
