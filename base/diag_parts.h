/* base/diag_parts.h: what a diagnostic consists of; between diag.c, which fills it, and diag_render.c, which
 * draws it. */
#ifndef BASE_DIAG_PARTS_H
#define BASE_DIAG_PARTS_H

#include "base/diag.h"
#include "base/vec.h"

struct diag_label {
    struct span span;
    const char *text; /* NULL: the place alone */
};

/* A line under the picture: "note" or "help". */
struct diag_remark {
    const char *kind, *text;
};

struct diag {
    struct arena *arena;
    struct span span;
    enum severity severity;
    enum diag_code code;
    const char *message;
    bool
        is_called; /* it stands in something that was called: another call may say it again, of other sizes */
    VEC(struct diag_label) labels;
    VEC(struct diag_remark) remarks;
};

struct diags {
    struct arena *arena;
    VEC(struct diag *) all;
};

#endif
