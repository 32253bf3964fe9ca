#include "codegen/pipeline.h"

/* Note [Tiles at lowering]: there are no passes `tile`, `vectorise` and `parallelise` that would look for
 * structure in loops: a lowering knows its kernel's iteration space, so it asks the target for tiles and
 * chunks and marks its loops as it makes them. */
const struct loop_pass loop_pipeline[] = {
    {"lower", lower_kernel, "a kernel to loop functions: tiled, marked for vectors, cut into tasks"},
};
const int loop_pipeline_count = sizeof(loop_pipeline) / sizeof(*loop_pipeline);

bool run_loop_pipeline(struct lowering *l, const struct op *kernel, struct loop_kernel *loops) {
    for (int i = 0; i < loop_pipeline_count; i++)
        if (!loop_pipeline[i].run(l, kernel, loops))
            return false;
    return true;
}
