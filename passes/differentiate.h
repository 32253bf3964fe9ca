/* passes/differentiate.h: gradients. Every `grad` becomes plain operators; a gradient by what its scalar does
 * not depend on becomes zeros and the warning W_ZERO_GRAD. No new diagnostics but those of gradient rules
 * that do not exist (E_GRAD). The graph may be symbolic in its sizes. */
#ifndef PASSES_DIFFERENTIATE_H
#define PASSES_DIFFERENTIATE_H

#include "passes/pipeline.h"

bool differentiate(struct graph *graph, struct pass_context *context);

#endif
