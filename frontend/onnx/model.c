#include "onnx/model.h"

#include <assert.h>
#include <string.h>

/* ---- names ---- */

struct taken_name {
    const char *name;
    struct taken_name *next;
};

static bool is_taken(const struct onnx_model *model, const void *key, const char *name) {
    for (const struct taken_name *t = map_find(&model->taken, key); t; t = t->next)
        if (strcmp(t->name, name) == 0)
            return true;
    return false;
}

static const void *hash_key(const char *name) {
    return (const void *)(uintptr_t)(hash_bytes(0, name, strlen(name)) | 1);
}

const char *onnx_take_name(struct onnx_model *model, const char *wanted) {
    const char *name = wanted;
    for (int i = 2; is_taken(model, hash_key(name), name); i++)
        name = arena_printf(model->arena, "%s_%d", wanted, i);
    struct taken_name *t = ARENA_NEW(model->arena, struct taken_name);
    const void *key = hash_key(name);
    *t = (struct taken_name){arena_strdup(model->arena, name), map_find(&model->taken, key)};
    map_put(&model->taken, key, t);
    return t->name;
}

/* ---- graphs ---- */

struct onnx_graph *onnx_graph_create(struct onnx_model *model, const char *name) {
    struct onnx_graph *graph = ARENA_NEW(model->arena, struct onnx_graph);
    onnx__graph_proto__init(&graph->proto);
    graph->proto.name = arena_strdup(model->arena, name);
    return graph;
}

struct onnx_model *onnx_model_create(struct arena *arena, const char *name) {
    struct onnx_model *model = ARENA_NEW(arena, struct onnx_model);
    model->arena = arena;
    map_init(&model->taken, arena);
    model->main = onnx_graph_create(model, name);
    onnx__model_proto__init(&model->proto);
    model->proto.has_ir_version = true;
    model->proto.ir_version = ONNX_IR_VERSION;
    model->proto.producer_name = arena_strdup(arena, "weft");
    model->proto.producer_version = arena_strdup(arena, WEFT_VERSION);
    Onnx__OperatorSetIdProto *opset = ARENA_NEW(arena, Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(opset);
    opset->domain = arena_strdup(arena, "");
    opset->has_version = true;
    opset->version = ONNX_OPSET;
    model->proto.n_opset_import = 1;
    model->proto.opset_import = ARENA_NEW(arena, Onnx__OperatorSetIdProto *);
    *model->proto.opset_import = opset;
    return model;
}

Onnx__GraphProto *onnx_graph_finish(struct onnx_graph *graph) {
    Onnx__GraphProto *p = &graph->proto;
    p->node = graph->nodes.at;
    p->n_node = (size_t)graph->nodes.count;
    p->input = graph->inputs.at;
    p->n_input = (size_t)graph->inputs.count;
    p->output = graph->outputs.at;
    p->n_output = (size_t)graph->outputs.count;
    p->initializer = graph->initialisers.at;
    p->n_initializer = (size_t)graph->initialisers.count;
    return p;
}

/* In the order of ir/dtype.def. */
int onnx_dtype(enum dtype dtype) {
    static const int numbers[DTYPE_COUNT] = {
        [DTYPE_f64] = 11, [DTYPE_f32] = 1,  [DTYPE_bf16] = 16, [DTYPE_f16] = 10, [DTYPE_i64] = 7,
        [DTYPE_i32] = 6,  [DTYPE_u32] = 12, [DTYPE_i8] = 3,    [DTYPE_u8] = 2,   [DTYPE_bool] = 9};
    return numbers[dtype];
}

static Onnx__ValueInfoProto *value_info(struct onnx_model *model, const char *name, const struct type *type) {
    struct arena *arena = model->arena;
    Onnx__ValueInfoProto *info = ARENA_NEW(arena, Onnx__ValueInfoProto);
    Onnx__TypeProto *t = ARENA_NEW(arena, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *tensor = ARENA_NEW(arena, Onnx__TypeProto__Tensor);
    Onnx__TensorShapeProto *shape = ARENA_NEW(arena, Onnx__TensorShapeProto);
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(t);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    info->name = (char *)name;
    info->type = t;
    t->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = onnx_dtype(type->dtype);
    tensor->shape = shape;
    shape->n_dim = (size_t)type->rank;
    shape->dim = ARENA_ARRAY(arena, Onnx__TensorShapeProto__Dimension *, type->rank + 1);
    for (int i = 0; i < type->rank; i++) {
        shape->dim[i] = ARENA_NEW(arena, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(shape->dim[i]);
        shape->dim[i]->has_dim_value = true;
        shape->dim[i]->dim_value = type_size(type, i);
    }
    return info;
}

void onnx_add_input(struct onnx_model *model, struct onnx_graph *graph, const char *name,
                    const struct type *type) {
    VEC_PUSH(model->arena, &graph->inputs, value_info(model, name, type));
}

void onnx_add_output(struct onnx_model *model, struct onnx_graph *graph, const char *name,
                     const struct type *type) {
    VEC_PUSH(model->arena, &graph->outputs, value_info(model, name, type));
}

void onnx_add_initialiser(struct onnx_model *model, const char *name, const struct type *type,
                          const void *bytes) {
    Onnx__TensorProto *tensor = ARENA_NEW(model->arena, Onnx__TensorProto);
    onnx__tensor_proto__init(tensor);
    tensor->name = (char *)name;
    tensor->has_data_type = true;
    tensor->data_type = onnx_dtype(type->dtype);
    tensor->n_dims = (size_t)type->rank;
    tensor->dims = ARENA_ARRAY(model->arena, int64_t, type->rank + 1);
    for (int i = 0; i < type->rank; i++)
        tensor->dims[i] = type_size(type, i);
    tensor->has_raw_data = true;
    tensor->raw_data = (ProtobufCBinaryData){(size_t)type_bytes(type), (uint8_t *)bytes};
    model->tensor_bytes += tensor->raw_data.len;
    VEC_PUSH(model->arena, &model->main->initialisers, tensor);
}

/* ---- nodes ---- */

Onnx__NodeProto *onnx_add_node(struct onnx_model *model, struct onnx_graph *graph, const char *op_type) {
    Onnx__NodeProto *node = ARENA_NEW(model->arena, Onnx__NodeProto);
    onnx__node_proto__init(node);
    node->op_type = (char *)op_type;
    VEC_PUSH(model->arena, &graph->nodes, node);
    return node;
}

/* A node's lists are short: they grow one by one, in place while the node is the youngest in the arena. */
static void push_text(struct onnx_model *model, char ***list, size_t *count, const char *text) {
    *list = arena_grow(model->arena, *list, *count * sizeof **list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = (char *)text;
}

void onnx_node_input(struct onnx_model *model, Onnx__NodeProto *node, const char *name) {
    push_text(model, &node->input, &node->n_input, name);
}

void onnx_node_output(struct onnx_model *model, Onnx__NodeProto *node, const char *name) {
    push_text(model, &node->output, &node->n_output, name);
    if (node->n_output == 1)
        node->name = (char *)name;
}

static Onnx__AttributeProto *add_attribute(struct onnx_model *model, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *a = ARENA_NEW(model->arena, Onnx__AttributeProto);
    onnx__attribute_proto__init(a);
    a->name = (char *)name;
    a->has_type = true;
    a->type = type;
    node->attribute = arena_grow(model->arena, node->attribute, node->n_attribute * sizeof(void *),
                                 (node->n_attribute + 1) * sizeof(void *));
    node->attribute[node->n_attribute++] = a;
    return a;
}

void onnx_node_int(struct onnx_model *model, Onnx__NodeProto *node, const char *name, int64_t value) {
    Onnx__AttributeProto *a = add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = true;
    a->i = value;
}

void onnx_node_ints(struct onnx_model *model, Onnx__NodeProto *node, const char *name, const int64_t *values,
                    int count) {
    Onnx__AttributeProto *a = add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = (size_t)count;
    a->ints = arena_memdup(model->arena, values, sizeof *values * (size_t)count);
}

void onnx_node_float(struct onnx_model *model, Onnx__NodeProto *node, const char *name, double value) {
    Onnx__AttributeProto *a = add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = true;
    a->f = (float)value;
}

void onnx_node_text(struct onnx_model *model, Onnx__NodeProto *node, const char *name, const char *value) {
    Onnx__AttributeProto *a = add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = true;
    a->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
}

void onnx_node_graph(struct onnx_model *model, Onnx__NodeProto *node, const char *name,
                     struct onnx_graph *graph) {
    Onnx__AttributeProto *a = add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH);
    a->g = onnx_graph_finish(graph);
}

/* ---- writing ---- */

/* Room is left for what is not tensors: nodes, names, attributes. */
static const size_t most_inside = (size_t)2000 << 20;
/* Small tensors (shapes, axes) stay inside: who reads a model wants them before any other file is opened. */
enum { LEAST_OUTSIDE = 1024, DATA_ALIGNMENT = 4096 };

bool onnx_needs_data_file(const struct onnx_model *model) {
    return model->tensor_bytes > most_inside;
}

static Onnx__StringStringEntryProto *entry(struct arena *arena, const char *key, const char *value) {
    Onnx__StringStringEntryProto *e = ARENA_NEW(arena, Onnx__StringStringEntryProto);
    onnx__string_string_entry_proto__init(e);
    e->key = (char *)key;
    e->value = (char *)value;
    return e;
}

static size_t data_gap(size_t offset) {
    return (DATA_ALIGNMENT - offset % DATA_ALIGNMENT) % DATA_ALIGNMENT;
}

void onnx_set_data_file(struct onnx_model *model, const char *name) {
    size_t offset = 0;
    for (int i = 0; i < model->main->initialisers.count; i++) {
        Onnx__TensorProto *tensor = model->main->initialisers.at[i];
        size_t size = tensor->raw_data.len;
        if (size < LEAST_OUTSIDE)
            continue;
        offset += data_gap(offset);
        tensor->external_data = ARENA_ARRAY(model->arena, Onnx__StringStringEntryProto *, 3);
        tensor->n_external_data = 3;
        tensor->external_data[0] = entry(model->arena, "location", name);
        tensor->external_data[1] = entry(model->arena, "offset", arena_printf(model->arena, "%zu", offset));
        tensor->external_data[2] = entry(model->arena, "length", arena_printf(model->arena, "%zu", size));
        tensor->has_data_location = true;
        tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
        tensor->has_raw_data = false; /* the bytes stay known to onnx_write_data */
        offset += size;
    }
}

void onnx_write_data(const struct onnx_model *model, onnx_sink *sink, void *context) {
    static const char zeros[DATA_ALIGNMENT];
    size_t offset = 0;
    for (int i = 0; i < model->main->initialisers.count; i++) {
        const Onnx__TensorProto *tensor = model->main->initialisers.at[i];
        if (!tensor->n_external_data)
            continue;
        sink(context, zeros, data_gap(offset));
        offset += data_gap(offset) + tensor->raw_data.len;
        sink(context, tensor->raw_data.data, tensor->raw_data.len);
    }
}

struct sink_buffer {
    ProtobufCBuffer base;
    onnx_sink *sink;
    void *context;
};

static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes) {
    const struct sink_buffer *b = (const struct sink_buffer *)buffer;
    b->sink(b->context, bytes, size);
}

void onnx_write_model(struct onnx_model *model, onnx_sink *sink, void *context) {
    struct sink_buffer buffer = {{append}, sink, context};
    model->proto.graph = onnx_graph_finish(model->main);
    protobuf_c_message_pack_to_buffer(&model->proto.base, &buffer.base);
}
