/* codegen/pipeline.h: the loop passes in their order: what turns one kernel op into loop functions that the
 * emitter takes. They work on one kernel at a time. */
#ifndef CODEGEN_PIPELINE_H
#define CODEGEN_PIPELINE_H

#include "codegen/lower.h"

struct loop_pass {
    const char *name;
    bool (*run)(struct lowering *l, const struct op *kernel, struct loop_kernel *loops); /* false: reported */
    const char *summary;
};

extern const struct loop_pass loop_pipeline[];
extern const int loop_pipeline_count;

bool run_loop_pipeline(struct lowering *l, const struct op *kernel, struct loop_kernel *loops);

#endif
