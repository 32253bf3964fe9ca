/* What an ONNX model holds, read back by protobuf-c: operators, attributes, names and constants; every
 * operator of the table gives a model whose names are made before they are used, or a refusal with its place.
 */
#include "ir/tensor.h"
#include "ir/text.h"
#include "onnx/export.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena;
    struct types *types;
    struct interner *names;
    struct diags *diags;
};

static int setup(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    *f = (struct fixture){arena, types_create(arena), interner_create(arena), diags_create(arena)};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    arena_destroy(((struct fixture *)*state)->arena);
    return 0;
}

static const char *rendered(struct fixture *f) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    diags_render(f->diags, &out, false);
    return out.text ? out.text : "";
}

/* ---- a model and back ---- */

/* Weights count up from 1. */
static const void *counting_bytes(void *context, const struct state *state) {
    struct tensor *tensor = tensor_create(context, state->type);
    for (int64_t i = 0; i < type_elements(state->type); i++)
        tensor->f[i] = (double)(i + 1);
    void *bytes = arena_alloc(context, (size_t)type_bytes(state->type) + 1);
    tensor_to_bytes(tensor, bytes);
    return bytes;
}

static void append(void *context, const void *bytes, size_t size) {
    strbuf_write(context, bytes, size);
}

/* The model of the first function of an IR text; NULL: refused. */
static struct onnx_model *exported(struct fixture *f, const char *text) {
    const struct source *source = source_create(f->arena, "test.ir", text, strlen(text));
    struct graph *graph = graph_parse(f->arena, f->types, f->names, source, f->diags);
    if (!graph)
        fail_msg("%s\n%s", text, rendered(f));
    const struct onnx_states states = {counting_bytes, f->arena};
    return onnx_export(graph, graph->functions.at[0], &states, f->arena, f->diags);
}

static Onnx__ModelProto *read_back(struct fixture *f, struct onnx_model *model) {
    struct strbuf bytes;
    strbuf_init(&bytes, f->arena);
    onnx_write_model(model, append, &bytes);
    Onnx__ModelProto *read = onnx__model_proto__unpack(NULL, bytes.length, (const uint8_t *)bytes.text);
    assert_non_null(read);
    return read;
}

/* "Conv Relu Identity" */
static const char *operators(struct fixture *f, const Onnx__GraphProto *graph) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    for (size_t i = 0; i < graph->n_node; i++)
        strbuf_printf(&out, "%s%s", i ? " " : "", graph->node[i]->op_type);
    return out.text;
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name) {
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    fail_msg("%s has no %s", node->op_type, name);
    return NULL;
}

static const Onnx__NodeProto *node_of(const Onnx__GraphProto *graph, const char *op_type) {
    for (size_t i = 0; i < graph->n_node; i++)
        if (strcmp(graph->node[i]->op_type, op_type) == 0)
            return graph->node[i];
    fail_msg("there is no %s", op_type);
    return NULL;
}

static const Onnx__TensorProto *initialiser(const Onnx__GraphProto *graph, const char *name) {
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(graph->initializer[i]->name, name) == 0)
            return graph->initializer[i];
    return NULL;
}

/* ---- structure ---- */

struct seen {
    VEC(const char *) names;
    struct arena *arena;
};

static bool has(const struct seen *seen, const char *name) {
    for (int i = 0; i < seen->names.count; i++)
        if (strcmp(seen->names.at[i], name) == 0)
            return true;
    return false;
}

static void add(struct seen *seen, const char *name) {
    if (has(seen, name))
        fail_msg("%s is made twice", name);
    VEC_PUSH(seen->arena, &seen->names, name);
}

/* Each name is made once in the whole model, and before it is used. */
static void check_graph(const Onnx__GraphProto *graph, struct seen *seen) {
    for (size_t i = 0; i < graph->n_initializer; i++)
        add(seen, graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_input; i++)
        add(seen, graph->input[i]->name);
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        for (size_t k = 0; k < node->n_input; k++)
            if (*node->input[k] && !has(seen, node->input[k]))
                fail_msg("%s uses %s, which nobody made", node->op_type, node->input[k]);
        for (size_t k = 0; k < node->n_attribute; k++)
            if (node->attribute[k]->g)
                check_graph(node->attribute[k]->g, seen);
        for (size_t k = 0; k < node->n_output; k++)
            add(seen, node->output[k]);
    }
    for (size_t i = 0; i < graph->n_output; i++)
        if (!has(seen, graph->output[i]->name))
            fail_msg("the output %s is not made", graph->output[i]->name);
}

static void check_structure(struct fixture *f, const Onnx__ModelProto *model) {
    struct seen seen = {.arena = f->arena};
    check_graph(model->graph, &seen);
}

/* ---- tests ---- */

#define X  "  %x = input {name = \"x\"} : "
#define W  "  %w = read {state = @w}\n"
#define AX "state @w : f32[4] weight\nstate @b : f32[4] weight\n"

/* A function's body and the operators of its model. */
static const struct {
    const char *states, *body, *operators;
} cases[] = {
    {"", X "f32[2,3]\n  %y = exp(%x)\n  yield(%y)", "Exp Identity"},
    {"", X "f32[2,3]\n  yield(%x, %x)", "Identity Identity"},
    {"",
     X "f32[2,3]\n  %c = const {data = 0} : f32[]\n  %l = le(%x, %c)\n  %y = select(%l, %c, %x)\n  yield(%y)",
     "Relu Identity"},
    {"",
     X "f32[2,3]\n  %c = const {data = 1} : f32[]\n  %l = le(%x, %c)\n  %y = select(%l, %c, %x)\n  yield(%y)",
     "LessOrEqual Where Identity"}, /* not at 0: no relu */
    {"",
     X "f32[2,3]\n  %m = reduce(%x) {axes = [1], kind = \"max\"}\n  %k = reshape(%m) : f32[2,1]\n"
       "  %d = sub(%x, %k)\n  %e = exp(%d)\n  %s = reduce(%e) {axes = [1], kind = \"sum\"}\n"
       "  %t = reshape(%s) : f32[2,1]\n  %y = div(%e, %t)\n  yield(%y)",
     "Softmax Identity"},
    {"",
     X "f32[3,3]\n  %m = reduce(%x) {axes = [1], kind = \"max\"}\n  %k = reshape(%m) : f32[1,3]\n"
       "  %d = sub(%x, %k)\n  %e = exp(%d)\n  %s = reduce(%e) {axes = [1], kind = \"sum\"}\n"
       "  %t = reshape(%s) : f32[3,1]\n  %y = div(%e, %t)\n  yield(%y)",
     "ReduceMax Reshape Sub Exp ReduceSum Reshape Div Identity"}, /* the maxima stand across: no softmax */
    {AX,
     X "f32[2,4]\n" W "  %v = read {state = @b}\n"
       "  %n = const {data = 0.25} : f32[]\n  %one = const {data = 1} : f32[]\n  %eps = const {data = 0.001} "
       ": f32[]\n"
       "  %r = reduce(%x) {axes = [1], kind = \"sum\"}\n  %m = mul(%r, %n)\n  %mk = reshape(%m) : f32[2,1]\n"
       "  %d = sub(%x, %mk)\n  %dd = mul(%d, %d)\n  %q = reduce(%dd) {axes = [1], kind = \"sum\"}\n  %u = "
       "mul(%q, %n)\n"
       "  %uk = reshape(%u) : f32[2,1]\n  %ue = add(%uk, %eps)\n  %z = sqrt(%ue)\n  %i = div(%one, %z)\n"
       "  %h = mul(%d, %i)\n  %hw = mul(%h, %w)\n  %y = add(%hw, %v)\n  yield(%y)",
     "LayerNormalization Identity"},
    {"state @w : f32[4,3,3,3] weight\nstate @b : f32[4] weight\n",
     X "f32[1,3,8,8]\n" W "  %b = read {state = @b}\n  %k = reshape(%b) : f32[4,1,1]\n"
       "  %c = conv(%x, %w) {stride = [1, 1], pad_lo = [1, 1], pad_hi = [1, 1], dilation = [1, 1], "
       "lhs_dilation = [1, 1], groups = 1}\n"
       "  %y = add(%c, %k)\n  yield(%y)",
     "Conv Identity"},
    {"state @w : f32[4,3,3,3] weight\nstate @b : f32[8] weight\n",
     X "f32[1,3,8,8]\n" W "  %b = read {state = @b}\n"
       "  %c = conv(%x, %w) {stride = [1, 1], pad_lo = [1, 1], pad_hi = [1, 1], dilation = [1, 1], "
       "lhs_dilation = [1, 1], groups = 1}\n"
       "  %y = add(%c, %b)\n  yield(%y)",
     "Conv Add Identity"}, /* along the image's width: no bias */
    {"state @w : f32[3,5] weight\nstate @b : f32[5] weight\n",
     X "f32[2,3]\n" W "  %b = read {state = @b}\n"
       "  %c = dot(%x, %w) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}\n"
       "  %y = add(%c, %b)\n  yield(%y)",
     "Gemm Identity"},
    {"",
     X "f32[2,3,8,8]\n  %v = windows(%x) {window = [2, 2], step = [2, 2], dilation = [1, 1]}\n"
       "  %y = reduce(%v) {axes = [4, 5], kind = \"max\"}\n  yield(%y)",
     "MaxPool Identity"},
    {"",
     X "f32[2,3,8,8]\n  %b = broadcast(%x) {axes = [0, 1, 2, 4]} : f32[2,3,8,2,8,2]\n"
       "  %y = reshape(%b) : f32[2,3,16,16]\n  yield(%y)",
     "Resize Identity"},
    {"",
     X "f32[2,3]\n  %t = input {name = \"t\"} : f32[3]\n  %b = broadcast(%t) {axes = [1]} : f32[2,3]\n"
       "  %y = add(%x, %b)\n  yield(%y)",
     "Add Identity"}, /* no Expand: Add broadcasts */
    {"",
     X "f32[2,3,7,7]\n  %c = const {data = 49} : f32[]\n  %r = reduce(%x) {axes = [2, 3], kind = \"sum\"}\n"
       "  %y = div(%r, %c)\n  yield(%y)",
     "ReduceMean Identity"},
    {"",
     X "f32[2,3,7,7]\n  %c = const {data = 48} : f32[]\n  %r = reduce(%x) {axes = [2, 3], kind = \"sum\"}\n"
       "  %y = div(%r, %c)\n  yield(%y)",
     "ReduceSum Div Identity"}, /* another number than that of the pixels */
    {"",
     X "f32[5,6]\n  %a = slice(%x) {start = [2, 0], step = [-1, 1]} : f32[2,6]\n"
       "  %b = slice(%x) {start = [3, 0], step = [-1, 1]} : f32[2,6]\n  %c = concat(%a, %x, %b) {axis = 0}\n"
       "  %d = slice(%c) {start = [0, 1], step = [1, -1]} : f32[9,1]\n"
       "  %e = slice(%c) {start = [0, 4], step = [1, -1]} : f32[9,1]\n  %y = concat(%d, %c, %e) {axis = 1}\n"
       "  yield(%y)",
     "Pad Identity"},
    {"",
     X "f32[5,6]\n  %a = slice(%x) {start = [1, 0], step = [-1, 1]} : f32[2,6]\n"
       "  %b = slice(%x) {start = [3, 0], step = [-1, 1]} : f32[2,6]\n  %y = concat(%a, %x, %b) {axis = 0}\n"
       "  yield(%y)",
     "Slice Slice Concat Identity"}, /* the edge is there twice */
    {"", X "f32[3]\n  %b = broadcast(%x) {axes = [1]} : f32[2,3]\n  %y = exp(%b)\n  yield(%y)",
     "Expand Exp Identity"},
    {"state @w : f32[4] weight\n", X "f32[4]\n" W "  %s = sqrt(%w)\n  %y = mul(%x, %s)\n  yield(%y)",
     "Mul Identity"}, /* the root is computed here */
    {"",
     X "f32[4]\n  %c = input {name = \"c\"} : bool[]\n  %y = cond(%c, %x) : f32[4] region(%a: f32[4]) {\n"
       "    %e = exp(%a)\n    yield(%e)\n  } region(%b: f32[4]) {\n    yield(%b)\n  }\n  yield(%y)",
     "If Identity"},
    {"",
     X "f32[4]\n  %lo = const {data = 0} : i32[]\n  %hi = const {data = 3} : i32[]\n"
       "  %y, %s = loop(%lo, %hi, %x) {carried = 1, reverse = 0} : f32[4], f32[3,4] region(%i: i32[], %a: "
       "f32[4]) {\n"
       "    %t = cast(%i) : f32[]\n    %e = mul(%a, %t)\n    yield(%e, %a)\n  }\n  yield(%y, %s)",
     "Sub Max Cast Loop Identity Identity"},
};

static const char *program(struct fixture *f, const char *states, const char *body) {
    return arena_printf(f->arena, "graph test\n%sfn f() {\n%s\n}\n", states, body);
}

static void patterns_become_one_operator(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = program(f, cases[i].states, cases[i].body);
        struct onnx_model *model = exported(f, text);
        if (!model)
            fail_msg("%s\n%s", text, rendered(f));
        Onnx__ModelProto *read = read_back(f, model);
        check_structure(f, read);
        if (strcmp(operators(f, read->graph), cases[i].operators) != 0)
            fail_msg("%s\ngives %s, not %s", text, operators(f, read->graph), cases[i].operators);
        onnx__model_proto__free_unpacked(read, NULL);
    }
}

static void what_a_convolution_says(void **state) {
    struct fixture *f = *state;
    Onnx__ModelProto *read = read_back(
        f, exported(f, program(f, "state @w : f32[6,2,3,2] weight\n",
                               X "f32[2,4,6,5]\n" W
                                 "  %y = conv(%x, %w) {stride = [2, 1], pad_lo = [1, 0], pad_hi = [0, 1], "
                                 "dilation = [1, 2], lhs_dilation = [1, 1], groups = 2}\n  yield(%y)")));
    const Onnx__NodeProto *node = node_of(read->graph, "Conv");
    const int64_t pads[] = {1, 0, 0, 1}, strides[] = {2, 1}, dilations[] = {1, 2};
    assert_int_equal(attribute(node, "group")->i, 2);
    assert_memory_equal(attribute(node, "pads")->ints, pads, sizeof pads);
    assert_memory_equal(attribute(node, "strides")->ints, strides, sizeof strides);
    assert_memory_equal(attribute(node, "dilations")->ints, dilations, sizeof dilations);
    const Onnx__TensorProto *w = initialiser(read->graph, "w");
    assert_non_null(w);
    assert_int_equal(w->n_dims, 4);
    assert_int_equal(w->dims[0], 6);
    assert_int_equal(w->raw_data.len, 72 * sizeof(float));
    float first[2];
    memcpy(first, w->raw_data.data, sizeof first);
    assert_true(first[0] == 1.0f && first[1] == 2.0f);
    assert_string_equal(read->graph->input[0]->name, "x");
    assert_int_equal(read->graph->input[0]->type->tensor_type->shape->dim[3]->dim_value, 5);
    assert_string_equal(read->graph->output[0]->name, "output");
    assert_int_equal(read->opset_import[0]->version, ONNX_OPSET);
    onnx__model_proto__free_unpacked(read, NULL);
}

/* conv of a spread image: out = (n - 1) s - lo - hi + k + more. */
static void a_spread_image_is_a_transposed_convolution(void **state) {
    struct fixture *f = *state;
    Onnx__ModelProto *read = read_back(
        f, exported(
               f, program(f, "state @w : f32[2,4,3] weight\n",
                          X "f32[1,4,5]\n" W
                            "  %y = conv(%x, %w) {stride = [1], pad_lo = [1], pad_hi = [2], dilation = [1], "
                            "lhs_dilation = [2], groups = 1}\n  yield(%y)")));
    const Onnx__NodeProto *node = node_of(read->graph, "ConvTranspose");
    const int64_t pads[] = {1, 0};
    assert_int_equal(attribute(node, "strides")->ints[0], 2);
    assert_memory_equal(attribute(node, "pads")->ints, pads, sizeof pads);
    assert_int_equal(attribute(node, "output_padding")->ints[0], 0);
    check_structure(f, read);
    onnx__model_proto__free_unpacked(read, NULL);
}

/* A name of the model that is there already gets a number. */
static void names_are_told_apart(void **state) {
    struct fixture *f = *state;
    Onnx__ModelProto *read = read_back(
        f, exported(f, program(f, "state @x : f32[4] weight\n",
                               X "f32[4]\n  %w = read {state = @x}\n  %y = add(%x, %w)\n  yield(%y)")));
    assert_non_null(initialiser(read->graph, "x_2"));
    check_structure(f, read);
    onnx__model_proto__free_unpacked(read, NULL);
}

/* Beyond 2 GB: here by hand. */
static void large_tensors_go_to_a_second_file(void **state) {
    struct fixture *f = *state;
    struct onnx_model *model = exported(
        f, program(f, "state @w : f32[300] weight\nstate @b : f32[2] weight\n",
                   X "f32[300]\n" W "  %y = add(%x, %w)\n  %b = read {state = @b}\n  yield(%y, %b)"));
    assert_false(onnx_needs_data_file(model));
    onnx_set_data_file(model, "x.onnx.data");
    struct strbuf data;
    strbuf_init(&data, f->arena);
    onnx_write_data(model, append, &data);
    assert_int_equal(data.length, 1200);
    assert_memory_equal(data.text,
                        counting_bytes(f->arena, &(struct state){.type = type_of_sizes(f->types, DTYPE_f32, 1,
                                                                                       &(int64_t){300})}),
                        1200);
    Onnx__ModelProto *read = read_back(f, model);
    const Onnx__TensorProto *w = initialiser(read->graph, "w"), *b = initialiser(read->graph, "b");
    assert_int_equal(w->data_location, ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
    assert_false(w->has_raw_data);
    assert_string_equal(w->external_data[0]->value, "x.onnx.data");
    assert_string_equal(w->external_data[2]->value, "1200");
    assert_int_equal(b->raw_data.len, 8);
    onnx__model_proto__free_unpacked(read, NULL);
}

static void what_onnx_cannot_say_is_refused(void **state) {
    struct fixture *f = *state;
    assert_null(exported(f, "graph test\nfn f() {\n  %k = input {name = \"seed\"} : u32[2]\n"
                            "  %y = random_bits(%k) : u32[4]\n  yield(%y)\n}\n"));
    assert_non_null(strstr(rendered(f), "error[E0703]"));
    assert_non_null(strstr(rendered(f), "`f` cannot be exported"));
}

/* ---- every operator ---- */

static const char *text_around(struct fixture *f, const struct op_info *info) {
    const char *rest = strpbrk(info->example, "{:"), *at = info->example,
               *end = rest ? rest : at + strlen(at);
    struct strbuf text;
    int count = 0;
    strbuf_init(&text, f->arena);
    strbuf_puts(&text, "graph example\nfn f() {\n");
    while (at < end && *at != ' ') {
        const char *close = strchr(at, ']') + 1;
        strbuf_printf(&text, "  %%x%d = input {name = \"x%d\"} : %.*s\n", count, count, (int)(close - at),
                      at);
        count++;
        for (at = close; at < end && (*at == ',' || *at == ' '); at++) {
        }
    }
    strbuf_printf(&text, "  %%y%s = %s", info->results > 1 ? ", %z" : "", info->name);
    for (int i = 0; i < count; i++)
        strbuf_printf(&text, "%s%%x%d%s", i ? ", " : "(", i, i == count - 1 ? ")" : "");
    strbuf_printf(&text, " %s\n  yield(%%y%s)\n}\n", rest ? rest : "", info->results > 1 ? ", %z" : "");
    return text.text;
}

static void every_operator_is_said_or_refused(void **state) {
    struct fixture *f = *state;
    int said = 0;
    for (int code = 0; code < OP_COUNT; code++) {
        const struct op_info *info = &op_infos[code];
        if (!*info->example)
            continue;
        struct onnx_model *model = exported(f, text_around(f, info));
        if (!model) {
            if (!strstr(rendered(f), "error[E0703]"))
                fail_msg("%s: %s", info->name, rendered(f));
            f->diags = diags_create(f->arena);
            continue;
        }
        Onnx__ModelProto *read = read_back(f, model);
        check_structure(f, read);
        onnx__model_proto__free_unpacked(read, NULL);
        said++;
    }
    assert_true(said >= 55); /* all but random bits, bitcast, gradients of convolutions, signed shifts */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(patterns_become_one_operator),
        TEST(what_a_convolution_says),
        TEST(a_spread_image_is_a_transposed_convolution),
        TEST(names_are_told_apart),
        TEST(large_tensors_go_to_a_second_file),
        TEST(what_onnx_cannot_say_is_refused),
        TEST(every_operator_is_said_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
