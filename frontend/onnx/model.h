/* frontend/onnx/model.h: an ONNX model under construction, and its bytes. Everything lives in one arena but
 * the bytes of tensors, which stay where they are and must live until the model is written.
 *
 * Names are unique in the whole model, subgraphs included: what a subgraph uses of the graphs around it, it
 * uses by name. Initialisers stand in the main graph alone. */
#ifndef ONNX_MODEL_H
#define ONNX_MODEL_H

#include "base/arena.h"
#include "base/map.h"
#include "base/vec.h"
#include "ir/type.h"

#include "onnx/onnx.pb-c.h"

enum { ONNX_OPSET = 18, ONNX_IR_VERSION = 8 };

/* A graph, or the body of a Loop or If. */
struct onnx_graph {
    Onnx__GraphProto proto;
    VEC(Onnx__NodeProto *) nodes;
    VEC(Onnx__ValueInfoProto *) inputs, outputs;
    VEC(Onnx__TensorProto *) initialisers;
};

struct onnx_model {
    struct arena *arena;
    Onnx__ModelProto proto;
    struct onnx_graph *main;
    struct map taken;    /* of a hash of a name to the chain of names with it */
    size_t tensor_bytes; /* of all initialisers */
};

struct onnx_model *onnx_model_create(struct arena *arena, const char *name);
/* `wanted`, or with _2, _3 .. behind it where that is taken already. */
const char *onnx_take_name(struct onnx_model *model, const char *wanted);

struct onnx_graph *onnx_graph_create(struct onnx_model *model, const char *name);
void onnx_add_input(struct onnx_model *model, struct onnx_graph *graph, const char *name,
                    const struct type *type);
void onnx_add_output(struct onnx_model *model, struct onnx_graph *graph, const char *name,
                     const struct type *type);
/* A constant tensor: the bytes are row major and in the memory format of the type, which is ONNX's too. */
void onnx_add_initialiser(struct onnx_model *model, const char *name, const struct type *type,
                          const void *bytes);
/* The lists of a graph that is complete, as protobuf-c wants them. */
Onnx__GraphProto *onnx_graph_finish(struct onnx_graph *graph);
int onnx_dtype(enum dtype dtype); /* TensorProto.DataType */

/* Nodes: made and appended; then inputs, outputs, attributes, in order. */
Onnx__NodeProto *onnx_add_node(struct onnx_model *model, struct onnx_graph *graph, const char *op_type);
void onnx_node_input(struct onnx_model *model, Onnx__NodeProto *node, const char *name); /* "": left out */
void onnx_node_output(struct onnx_model *model, Onnx__NodeProto *node, const char *name);
void onnx_node_int(struct onnx_model *model, Onnx__NodeProto *node, const char *name, int64_t value);
void onnx_node_ints(struct onnx_model *model, Onnx__NodeProto *node, const char *name, const int64_t *values,
                    int count);
void onnx_node_float(struct onnx_model *model, Onnx__NodeProto *node, const char *name, double value);
void onnx_node_text(struct onnx_model *model, Onnx__NodeProto *node, const char *name, const char *value);
void onnx_node_graph(struct onnx_model *model, Onnx__NodeProto *node, const char *name,
                     struct onnx_graph *graph);

/* ---- writing ---- */

/* A protocol buffer ends at 2 GB. */
bool onnx_needs_data_file(const struct onnx_model *model);
/* From now on large tensors are in a file of this name in the folder of the model. */
void onnx_set_data_file(struct onnx_model *model, const char *name);

typedef void onnx_sink(void *context, const void *bytes, size_t size);
void onnx_write_model(struct onnx_model *model, onnx_sink *sink, void *context);
void onnx_write_data(const struct onnx_model *model, onnx_sink *sink, void *context);

#endif
