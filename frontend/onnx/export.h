/* frontend/onnx/export.h: a function of the graph as an ONNX model. docs/onnx.md tells what becomes of what.
 */
#ifndef ONNX_EXPORT_H
#define ONNX_EXPORT_H

#include "ir/graph.h"
#include "onnx/model.h"

/* The bytes of a weight or buffer, in the memory format of its type; they must live until the model is
 * written. */
struct onnx_states {
    const void *(*bytes)(void *context, const struct state *state);
    void *context;
};

/* A function whose sizes are bound and whose calls and gradients are opened (passes up to `dce`). Inputs and
 * outputs have the entry's names. What ONNX cannot say is reported with the model's line; NULL. The model
 * lives in the arena. */
struct onnx_model *onnx_export(struct graph *graph, const struct function *function,
                               const struct onnx_states *states, struct arena *arena, struct diags *diags);

#endif
