/* driver/profile.h: what the log of a profiled entry (codegen.h) says: time by kernel, by line of the model
 * text, and by the calls that led to it. */
#ifndef DRIVER_PROFILE_H
#define DRIVER_PROFILE_H

#include "driver/measure.h"
#include "passes/cost.h"

/* A kernel op, all its phases; copies between values are one more, without an op. */
struct profile_kernel {
    const struct op *op;
    const char *name; /* "conv + silu", as listings have it */
    const char *line; /* "vit.weft:23": the nearest line that is not of the library's layers */
    double seconds;   /* of all runs */
    int64_t calls;
    struct cost cost; /* of one call */
};

struct profile_line {
    const char *line;
    double seconds;
    int kernels;
};

/* A call or instantiation that led to kernels, or, at the end of a path, a line with its kernel. */
struct profile_frame {
    const char *label;
    double seconds; /* with all that is below */
    VEC(struct profile_frame *) below;
};

struct profile {
    struct arena *arena;
    const struct profile_row *rows;
    int row_count;
    int *kernel_of_row;
    VEC(struct profile_kernel) kernels;
    VEC(struct profile_line) lines;
    struct profile_frame root;
    int runs;
    double seconds; /* in kernels, of all runs */
    int64_t lost;   /* events that the log had no room for */
};

void profile_init(struct profile *profile, struct measured *m);
/* Adds what one call has written. */
void profile_add(struct profile *profile, const struct profile_log *log);
/* Lines and calls, from the kernels; the dearest first everywhere. */
void profile_finish(struct profile *profile);

/* A run's log as a Chrome trace, and the whole as a page with a flame graph: text in the arena. */
const char *profile_trace(const struct profile *profile, const struct profile_log *log);
const char *profile_page(const struct profile *profile, const char *title);
/* The kernels and lines as one JSON object. */
const char *profile_json(const struct profile *profile);

#endif
