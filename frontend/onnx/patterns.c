/* frontend/onnx/patterns.c: several operators of Weft that ONNX has as one, because whoever runs the model is
 * fastest with those. What becomes of a pattern computes the same up to rounding.
 *
 * Patterns: op(p, ...)   this operator, its operands by patterns; add and mul in either order
 *           op           this operator, whatever its operands
 *           x y z ...    any value; twice the same letter: the same value
 *           d=op(...)    what the rest matches has a letter
 *           a b c        a constant whose elements are all equal; its number
 *           1 -1 0.5     a constant whose elements all are this number, in f32
 * Between an operator and its operand there may be a reshape that puts in or takes out axes of size 1, or a
 * broadcast; letters have the value with them. */
#include "onnx/activations.h"
#include "onnx/emit_contract.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
    const char *text;
    bool (*guard)(struct pattern_match *m); /* NULL: none; it may set letters for `emit` */
    const char *needs;                      /* letters: what `emit` asks names of */
    const char *(*emit)(struct emission *e, const struct pattern_match *m);
};

/* ---- matching ---- */

static bool same_but_ones(const struct type *a, const struct type *b) {
    int i = 0, k = 0;
    for (;;) {
        while (i < a->rank && type_size(a, i) == 1)
            i++;
        while (k < b->rank && type_size(b, k) == 1)
            k++;
        if (i == a->rank || k == b->rank)
            return i == a->rank && k == b->rank;
        if (type_size(a, i++) != type_size(b, k++))
            return false;
    }
}

/* The value without a reshape of ones or a broadcast on it. */
static const struct value *bare(const struct value *value) {
    for (const struct op *op = value->def; op; op = value->def) {
        bool is_view = op->code == OP_broadcast ||
                       (op->code == OP_reshape && same_but_ones(op->in[0]->type, op->out[0]->type));
        if (!is_view)
            break;
        value = op->in[0];
    }
    return value;
}

static bool splat_of(const struct value *value, double *number) {
    const struct value *b = onnx_origin(bare(onnx_origin(value)));
    if (!b->def || b->def->code != OP_const || type_elements(b->type) != 1)
        return false;
    struct tensor element = {.type = b->type};
    double f = 0;
    int64_t i = 0;
    bool is_float = dtype_is_float(b->type->dtype);
    if (is_float)
        element.f = &f;
    else
        element.i = &i;
    tensor_set_bytes(&element, op_attr(b->def, ATTR_data)->data->bytes);
    *number = is_float ? f : (double)i;
    return true;
}

static bool match_term(struct pattern_match *m, const char **at, const struct value *value);

/* The operands from *at on, which stands behind "(". */
static bool match_operands(struct pattern_match *m, const char **at, const struct op *op, bool swapped) {
    for (int i = 0; i < op->in_count; i++) {
        *at += i > 0; /* the comma */
        if (!match_term(m, at, op->in[swapped ? 1 - i : i]))
            return false;
    }
    ++*at;
    return true;
}

static bool match_op(struct pattern_match *m, const char **at, const struct value *value) {
    const char *begin = *at;
    while (isalnum((unsigned char)**at) || **at == '_')
        ++*at;
    enum opcode code;
    if (!opcode_find(begin, (size_t)(*at - begin), &code))
        return false;
    const struct op *op = value->def;
    if (!op || op->code != code)
        op = bare(value)->def;
    if (!op || op->code != code)
        return false;
    if (**at != '(')
        return true;
    const char *operands = ++*at;
    struct pattern_match before = *m;
    if (match_operands(m, at, op, false))
        return true;
    if ((code != OP_add && code != OP_mul) || op->in_count != 2)
        return false;
    *m = before;
    *at = operands;
    return match_operands(m, at, op, true);
}

static bool match_letter(struct pattern_match *m, int letter, const struct value *value) {
    double number;
    if (letter < 3 && !splat_of(value, &number))
        return false;
    if (letter < 3)
        m->numbers[letter] = number;
    const struct value *bound = m->values[letter];
    if (bound && bare(bound) != bare(value))
        return false;
    if (!bound)
        m->values[letter] = value;
    return true;
}

static bool match_term(struct pattern_match *m, const char **at, const struct value *value) {
    double number;
    const char *begin = *at;
    if (isdigit((unsigned char)*begin) || *begin == '-') {
        char *end;
        double wanted = strtod(begin, &end);
        *at = end;
        return splat_of(value, &number) && fabs(number - wanted) <= 1e-6 * fabs(wanted);
    }
    if (isalpha((unsigned char)begin[0]) && !isalnum((unsigned char)begin[1]) && begin[1] != '_') {
        ++*at;
        if (!match_letter(m, *begin - 'a', value))
            return false;
        if (**at != '=')
            return true;
        ++*at;
        return match_term(m, at, value);
    }
    return match_op(m, at, value);
}

static const struct value *at_letter(const struct pattern_match *m, char letter) {
    return m->values[letter - 'a'];
}

static void set_letter(struct pattern_match *m, char letter, const struct value *value) {
    m->values[letter - 'a'] = value;
}

/* ---- guards ---- */

static const struct op *def_of(const struct value *value, enum opcode code) {
    const struct op *op = value->def;
    if (!op || op->code != code)
        op = bare(value)->def;
    return op && op->code == code ? op : NULL;
}

static bool is_kind(const struct op *reduce, const char *kind) {
    return strcmp(op_string(reduce, ATTR_kind), kind) == 0;
}

/* Does a value stand beside x as its reduction over these axes, kept with size 1? */
static bool keeps_axes(const struct value *value, const struct type *x, const int64_t *axes, int count) {
    const struct value *v = value->def && value->def->code == OP_broadcast ? value->def->in[0] : value;
    if (v->type->rank != x->rank)
        return false;
    for (int i = 0; i < x->rank; i++) {
        bool is_reduced = false;
        for (int k = 0; k < count; k++)
            is_reduced |= axes[k] == i;
        if (type_size(v->type, i) != (is_reduced ? 1 : type_size(x, i)))
            return false;
    }
    return true;
}

static bool same_axes(const struct op *a, const struct op *b) {
    int n, m;
    const int64_t *x = op_ints(a, ATTR_axes, &n), *y = op_ints(b, ATTR_axes, &m);
    return n == m && memcmp(x, y, sizeof *x * (size_t)n) == 0;
}

/* A constant with one element for each channel, axis 1 of a value of this type. */
static bool is_per_channel(struct emission *e, const struct value *value, const struct type *type) {
    const struct value *b = bare(value);
    if (!onnx_is_constant(e, b) || type->rank < 2 || type_elements(b->type) != type_size(type, 1))
        return false;
    const struct value *v = value->def && value->def->code == OP_broadcast ? value->def->in[0] : value;
    int axis = 1 - (type->rank - v->type->rank);
    return axis >= 0 && axis < v->type->rank && type_size(v->type, axis) == type_size(type, 1) &&
           type_elements(v->type) == type_size(type, 1);
}

/* The constant as [C]. */
static const char *vector_name(struct emission *e, const struct value *value) {
    const struct value *b = bare(value);
    const char *name = onnx_name(e, b);
    int64_t count = type_elements(b->type);
    return b->type->rank == 1 ? name : onnx_reshape(e, name, 1, &count);
}

/* ---- activations ---- */

static const char *onnx_relu(struct emission *e, const struct pattern_match *m) {
    return onnx_one(e, "Relu", onnx_name(e, at_letter(m, 'x')));
}

static const char *onnx_leaky_relu(struct emission *e, const struct pattern_match *m) {
    struct onnx_node n = onnx_node(e, "LeakyRelu", onnx_name(e, at_letter(m, 'x')), NULL);
    onnx_node_float(e->model, n.node, "alpha", m->numbers[0]);
    return n.out;
}

static const char *onnx_sigmoid(struct emission *e, const struct pattern_match *m) {
    return onnx_one(e, "Sigmoid", onnx_name(e, at_letter(m, 'x')));
}

static bool is_sigmoid(struct pattern_match *m) {
    return value_is_function(m->root->out[0], at_letter(m, 'x'), exact_sigmoid);
}

static bool is_silu(struct pattern_match *m) {
    return value_is_function(m->root->out[0], at_letter(m, 'x'), exact_silu);
}

static bool is_gelu(struct pattern_match *m) {
    return value_is_function(m->root->out[0], at_letter(m, 'x'), exact_gelu);
}

static const char *onnx_silu(struct emission *e, const struct pattern_match *m) {
    const char *x = onnx_name(e, at_letter(m, 'x'));
    return onnx_two(e, "Mul", x, onnx_one(e, "Sigmoid", x));
}

static const char *onnx_gelu_of(struct emission *e, const struct pattern_match *m) {
    return onnx_gelu_text(e, at_letter(m, 'x'));
}

/* ---- softmax ---- */

static bool is_softmax(struct pattern_match *m) {
    const struct op *top = def_of(at_letter(m, 'm'), OP_reduce), *sum = def_of(at_letter(m, 's'), OP_reduce);
    const struct type *x = at_letter(m, 'x')->type;
    int count;
    const int64_t *axes = op_ints(sum, ATTR_axes, &count);
    return is_kind(top, "max") && is_kind(sum, "sum") && same_axes(top, sum) && count == 1 &&
           keeps_axes(at_letter(m, 'm'), x, axes, 1) && keeps_axes(at_letter(m, 's'), x, axes, 1);
}

static const char *onnx_softmax(struct emission *e, const struct pattern_match *m) {
    struct onnx_node n = onnx_node(e, m->pattern->text[0] == 'd' ? "Softmax" : "LogSoftmax",
                                   onnx_name(e, at_letter(m, 'x')), NULL);
    onnx_int(e, n, "axis", op_ints(def_of(at_letter(m, 's'), OP_reduce), ATTR_axes, NULL)[0]);
    return n.out;
}

/* ---- means and norms ---- */

static double reduced_count(const struct op *reduce) {
    return (double)type_elements(reduce->in[0]->type) / (double)type_elements(reduce->out[0]->type);
}

/* Is the sum times `factor` a mean? f32 has 1 / n rounded. */
static bool is_mean_of(const struct op *reduce, double factor) {
    int count;
    op_ints(reduce, ATTR_axes, &count);
    return is_kind(reduce, "sum") && count > 0 && type_elements(reduce->out[0]->type) > 0 &&
           fabs(factor * reduced_count(reduce) - 1) < 1e-6;
}

/* A sum is multiplied with a number, or divided by one where its count is a size that was open. */
static double factor_of(const struct value *mean, double number) {
    return def_of(mean, OP_div) ? 1 / number : number;
}

static bool is_mean(struct pattern_match *m) {
    return is_mean_of(def_of(at_letter(m, 'r'), OP_reduce), factor_of(m->root->out[0], m->numbers[0]));
}

static const char *onnx_mean(struct emission *e, const struct pattern_match *m) {
    int count;
    const int64_t *axes = op_ints(def_of(at_letter(m, 'r'), OP_reduce), ATTR_axes, &count);
    struct onnx_node n =
        onnx_node(e, "ReduceMean", onnx_name(e, at_letter(m, 'x')), onnx_int_list(e, axes, count), NULL);
    onnx_int(e, n, "keepdims", 0);
    const struct type *type = m->root->out[0]->type,
                      *reduced = def_of(at_letter(m, 'r'), OP_reduce)->out[0]->type;
    return type == reduced ? n.out : onnx_reshape(e, n.out, type->rank, onnx_sizes(e, type));
}

/* (x - mean) / sqrt(var + eps): n is 1 / count in both, up to how it is written. */
static bool is_normal(const struct pattern_match *m, const int64_t **axes, int *count) {
    const struct op *mean = def_of(at_letter(m, 'p'), OP_reduce), *var = def_of(at_letter(m, 'q'), OP_reduce);
    const struct type *x = at_letter(m, 'x')->type;
    *axes = op_ints(mean, ATTR_axes, count);
    return at_letter(m, 'd')->type == x && is_mean_of(mean, factor_of(at_letter(m, 'm'), m->numbers[0])) &&
           is_mean_of(var, factor_of(at_letter(m, 'v'), m->numbers[1])) && same_axes(mean, var) &&
           keeps_axes(at_letter(m, 'm'), x, *axes, *count) && keeps_axes(at_letter(m, 'v'), x, *axes, *count);
}

/* The axes are the last `count` of the type's. */
static bool are_last(const struct type *type, const int64_t *axes, int count) {
    for (int i = 0; i < count; i++)
        if (axes[i] != type->rank - count + i)
            return false;
    return true;
}

/* Over all axes behind the channels: InstanceNormalization's, which GroupNorm's groups are too. */
static bool is_instance_norm(struct pattern_match *m) {
    const int64_t *axes;
    int count;
    const struct type *x = at_letter(m, 'x')->type;
    return is_normal(m, &axes, &count) && x->rank >= 3 && count == x->rank - 2 && are_last(x, axes, count) &&
           m->root->out[0]->type == x;
}

static bool is_instance_norm_affine(struct pattern_match *m) {
    const struct type *x = at_letter(m, 'x')->type;
    return is_instance_norm(m) && is_per_channel(m->e, at_letter(m, 'w'), x) &&
           is_per_channel(m->e, at_letter(m, 'y'), x);
}

static const char *onnx_instance_norm(struct emission *e, const struct pattern_match *m) {
    const struct value *x = at_letter(m, 'x'), *w = at_letter(m, 'w'), *y = at_letter(m, 'y');
    int64_t channels = type_size(x->type, 1);
    const char *scale = w ? vector_name(e, w) : onnx_filled(e, x->type->dtype, channels, 1);
    const char *shift = y ? vector_name(e, y) : onnx_filled(e, x->type->dtype, channels, 0);
    struct onnx_node n = onnx_node(e, "InstanceNormalization", onnx_name(e, x), scale, shift, NULL);
    onnx_node_float(e->model, n.node, "epsilon", m->numbers[2]);
    return n.out;
}

static bool is_layer_norm(struct pattern_match *m) {
    const int64_t *axes;
    int count;
    const struct type *x = at_letter(m, 'x')->type;
    return is_normal(m, &axes, &count) && are_last(x, axes, count) && count == 1 &&
           m->root->out[0]->type == x;
}

static bool is_vector_of_last(const struct value *value, const struct type *x) {
    const struct type *type = value->type;
    return type->rank == 1 && type_size(type, 0) == type_size(x, -1);
}

static bool is_layer_norm_affine(struct pattern_match *m) {
    const struct type *x = at_letter(m, 'x')->type;
    return is_layer_norm(m) && is_vector_of_last(at_letter(m, 'w'), x) &&
           is_vector_of_last(at_letter(m, 'y'), x);
}

static const char *onnx_layer_norm(struct emission *e, const struct pattern_match *m) {
    const struct value *x = at_letter(m, 'x'), *w = at_letter(m, 'w'), *y = at_letter(m, 'y');
    const char *scale = w ? onnx_name(e, w) : onnx_filled(e, x->type->dtype, type_size(x->type, -1), 1);
    struct onnx_node n =
        onnx_node(e, "LayerNormalization", onnx_name(e, x), scale, y ? onnx_name(e, y) : NULL, NULL);
    onnx_int(e, n, "axis", -1);
    onnx_node_float(e->model, n.node, "epsilon", m->numbers[2]);
    return n.out;
}

/* BatchNorm outside of training: its statistics are constants, so that they fold into what is in front. */
static bool is_batch_norm(struct pattern_match *m) {
    const struct type *x = at_letter(m, 'x')->type;
    return dtype_is_float(x->dtype) && m->root->out[0]->type == x &&
           is_per_channel(m->e, at_letter(m, 'm'), x) && is_per_channel(m->e, at_letter(m, 's'), x) &&
           is_per_channel(m->e, at_letter(m, 'y'), x);
}

static const char *onnx_batch_norm(struct emission *e, const struct pattern_match *m) {
    const struct value *x = at_letter(m, 'x');
    const char *scale = vector_name(e, at_letter(m, 's')), *shift = vector_name(e, at_letter(m, 'y')),
               *mean = vector_name(e, at_letter(m, 'm'));
    const char *var = onnx_filled(e, x->type->dtype, type_size(x->type, 1), 1); /* it is in the scale */
    struct onnx_node n = onnx_node(e, "BatchNormalization", onnx_name(e, x), scale, shift, mean, var, NULL);
    onnx_node_float(e->model, n.node, "epsilon", 0);
    return n.out;
}

/* ---- contractions with a bias ---- */

/* i and j become the contraction's operands. */
static bool is_contraction_alone(struct pattern_match *m) {
    const struct value *k = at_letter(m, 'k');
    if (bare(k) != k || value_use_count(k) != 1)
        return false;
    set_letter(m, 'i', k->def->in[0]);
    set_letter(m, 'j', k->def->in[1]);
    return true;
}

static bool is_conv_bias(struct pattern_match *m) {
    const struct value *k = at_letter(m, 'k');
    return is_contraction_alone(m) && m->root->out[0]->type == k->type &&
           is_per_channel(m->e, at_letter(m, 'y'), k->type);
}

static const char *onnx_conv_bias(struct emission *e, const struct pattern_match *m) {
    return onnx_convolution(e, at_letter(m, 'k')->def, vector_name(e, at_letter(m, 'y')));
}

static bool is_gemm_bias(struct pattern_match *m) {
    const struct value *k = at_letter(m, 'k'), *y = at_letter(m, 'y');
    return is_contraction_alone(m) && onnx_is_gemm(k->def) && m->root->out[0]->type == k->type &&
           onnx_is_constant(m->e, y) && is_vector_of_last(y, k->type);
}

static const char *onnx_gemm_bias(struct emission *e, const struct pattern_match *m) {
    return onnx_gemm(e, at_letter(m, 'k')->def, onnx_name(e, at_letter(m, 'y')));
}

/* ---- pools ---- */

/* Windows over all axes behind the channels, all of them reduced; a pad in front of them with this value is
 * the pool's. */
struct pool {
    const struct op *windows;
    const struct value *x;
    int rank; /* of the window */
    int64_t pads[6];
};

static bool find_pool(const struct op *reduce, double padding, struct pool *p) {
    int n, count;
    p->windows = reduce->in[0]->def;
    p->x = p->windows->in[0];
    op_ints(p->windows, ATTR_window, &n);
    const int64_t *axes = op_ints(reduce, ATTR_axes, &count);
    p->rank = n;
    if (n < 1 || n > 3 || p->x->type->rank != n + 2 || count != n ||
        !are_last(p->windows->out[0]->type, axes, n) || !dtype_is_float(p->x->type->dtype))
        return false;
    const struct op *pad = p->x->def;
    if (!pad || pad->code != OP_pad || op_float(pad, ATTR_value) != padding)
        return true;
    const struct dim *const *lo = op_dims(pad, ATTR_lo, NULL), *const *hi = op_dims(pad, ATTR_hi, NULL);
    const int64_t *interior = op_ints(pad, ATTR_interior, NULL),
                  *window = op_ints(p->windows, ATTR_window, NULL);
    for (int i = 0; i < n + 2; i++) {
        int64_t most = i < 2 ? 0 : window[i - 2] - 1;
        if (interior[i] || dim_value(lo[i]) < 0 || dim_value(lo[i]) > most || dim_value(hi[i]) < 0 ||
            dim_value(hi[i]) > most)
            return true; /* it stays a Pad */
    }
    for (int i = 0; i < n; i++) {
        p->pads[i] = dim_value(lo[i + 2]);
        p->pads[n + i] = dim_value(hi[i + 2]);
    }
    p->x = pad->in[0];
    return true;
}

static const char *onnx_pool(struct emission *e, const char *op_type, const struct pool *p) {
    struct onnx_node n = onnx_node(e, op_type, onnx_name(e, p->x), NULL);
    onnx_ints(e, n, "kernel_shape", op_ints(p->windows, ATTR_window, NULL), p->rank);
    onnx_ints(e, n, "strides", op_ints(p->windows, ATTR_step, NULL), p->rank);
    onnx_ints(e, n, "pads", p->pads, 2 * p->rank);
    if (op_type[0] == 'M')
        onnx_ints(e, n, "dilations", op_ints(p->windows, ATTR_dilation, NULL), p->rank);
    else
        onnx_int(e, n, "count_include_pad", 1);
    return n.out;
}

static bool is_max_pool(struct pattern_match *m) {
    struct pool p = {0};
    if (!is_kind(m->root, "max") || !find_pool(m->root, -INFINITY, &p))
        return false;
    set_letter(m, 'x', p.x);
    return true;
}

static const char *onnx_max_pool(struct emission *e, const struct pattern_match *m) {
    struct pool p = {0};
    find_pool(m->root, -INFINITY, &p);
    return onnx_pool(e, "MaxPool", &p);
}

static bool is_average_pool(struct pattern_match *m) {
    struct pool p = {0};
    const struct op *reduce = def_of(at_letter(m, 'r'), OP_reduce);
    if (!is_mean_of(reduce, factor_of(m->root->out[0], m->numbers[0])) || !find_pool(reduce, 0, &p) ||
        m->root->out[0]->type != reduce->out[0]->type)
        return false;
    for (int i = 0; i < p.rank; i++)
        if (op_ints(p.windows, ATTR_dilation, NULL)[i] != 1)
            return false;
    set_letter(m, 'x', p.x);
    return true;
}

static const char *onnx_average_pool(struct emission *e, const struct pattern_match *m) {
    struct pool p = {0};
    find_pool(def_of(at_letter(m, 'r'), OP_reduce), 0, &p);
    return onnx_pool(e, "AveragePool", &p);
}

/* ---- moving pixels ---- */

/* [B, C, H, W] to [B, C, H, n, W, n] by a broadcast, to [B, C, H n, W n]. */
static bool is_upsample(struct pattern_match *m) {
    static const int from[4] = {0, 1, 2, 4};
    const struct type *wide = at_letter(m, 'k')->type, *to = m->root->out[0]->type;
    const struct value *x = bare(at_letter(m, 'k'));
    if (wide->rank != 6 || to->rank != 4 || x->type->rank != 4 || !dtype_is_float(to->dtype))
        return false;
    int64_t n = type_size(wide, 3);
    for (int i = 0; i < 4; i++) {
        int64_t size = type_size(x->type, i);
        /* With a size of 1 behind the batch it would not be clear which axis is which. */
        if (size != type_size(wide, from[i]) || (i > 0 && size == 1) ||
            type_size(to, i) != size * (i < 2 ? 1 : n))
            return false;
    }
    set_letter(m, 'x', x);
    return type_size(wide, 5) == n;
}

static const char *onnx_upsample(struct emission *e, const struct pattern_match *m) {
    const struct type *scales = type_of_sizes(e->graph->types, DTYPE_f32, 1, &(int64_t){4});
    float n = (float)type_size(at_letter(m, 'k')->type, 3), *values = ARENA_ARRAY(e->arena, float, 4);
    memcpy(values, (float[]){1, 1, n, n}, 4 * sizeof *values);
    const char *name = onnx_take_name(e->model, "scales");
    onnx_add_initialiser(e->model, name, scales, values);
    struct onnx_node node = onnx_node(e, "Resize", onnx_name(e, at_letter(m, 'x')), "", name, NULL);
    onnx_node_text(e->model, node.node, "mode", "nearest");
    onnx_node_text(e->model, node.node, "coordinate_transformation_mode", "asymmetric");
    onnx_node_text(e->model, node.node, "nearest_mode", "floor");
    return node.out;
}

/* A slice of x alone along the axis, from `start` backwards. */
static bool is_mirrored(const struct value *part, const struct value *x, int axis, int64_t start) {
    const struct op *slice = part->def;
    if (!slice || slice->code != OP_slice || slice->in[0] != x ||
        dim_value(op_dims(slice, ATTR_start, NULL)[axis]) != start)
        return false;
    for (int i = 0; i < x->type->rank; i++)
        if (i != axis &&
            (type_size(part->type, i) != type_size(x->type, i) || op_ints(slice, ATTR_step, NULL)[i] != 1))
            return false;
    return op_ints(slice, ATTR_step, NULL)[axis] == -1 || type_size(part->type, axis) == 1;
}

/* pad_reflect of the library along one axis: [p .. 1], x, [n - 2 .. n - 1 - p]. NULL: it is none; else x. */
static const struct value *reflected(const struct op *op) {
    if (!op || op->code != OP_concat || op->in_count != 3 || !dtype_is_float(op->out[0]->type->dtype))
        return NULL;
    int axis = (int)op_int(op, ATTR_axis);
    const struct value *x = op->in[1];
    int64_t p = type_size(op->in[0]->type, axis), q = type_size(op->in[2]->type, axis),
            n = type_size(x->type, axis);
    bool fits = p >= 1 && q >= 1 && p < n && q < n && is_mirrored(op->in[0], x, axis, p) &&
                is_mirrored(op->in[2], x, axis, n - 2);
    return fits ? x : NULL;
}

/* The reflection along another axis that alone is reflected here: one Pad does both. NULL: none. */
static const struct op *reflection_inside(const struct op *op) {
    const struct value *x = reflected(op);
    bool is_alone = x && value_use_count(x) == 3 && reflected(x->def); /* the concat and its two slices */
    return is_alone && op_int(x->def, ATTR_axis) != op_int(op, ATTR_axis) ? x->def : NULL;
}

static bool is_reflection(struct pattern_match *m) {
    const struct op *inside = reflection_inside(m->root);
    set_letter(m, 'x', reflected(inside ? inside : m->root));
    return at_letter(m, 'x') != NULL;
}

static void add_pads(const struct op *op, int rank, int64_t *pads) {
    int axis = (int)op_int(op, ATTR_axis);
    pads[axis] = type_size(op->in[0]->type, axis);
    pads[rank + axis] = type_size(op->in[2]->type, axis);
}

static const char *onnx_reflection(struct emission *e, const struct pattern_match *m) {
    int rank = m->root->out[0]->type->rank;
    int64_t *pads = ARENA_ARRAY(e->arena, int64_t, 2 * rank);
    const struct op *inside = reflection_inside(m->root);
    add_pads(m->root, rank, pads);
    if (inside)
        add_pads(inside, rank, pads);
    struct onnx_node n =
        onnx_node(e, "Pad", onnx_name(e, at_letter(m, 'x')), onnx_int_list(e, pads, 2 * rank), NULL);
    onnx_node_text(e->model, n.node, "mode", "reflect");
    return n.out;
}

/* ---- the table: the first that fits is taken ---- */

#define NORMAL(by) "mul(d=sub(x,m=" by "(p=reduce(x),a)),div(1,sqrt(add(v=" by "(q=reduce(mul(d,d)),b),c))))"

static const struct pattern patterns[] = {
    {"select(le(x,0),0,x)", NULL, "x", onnx_relu},
    {"select(lt(x,0),mul(a,x),x)", NULL, "x", onnx_leaky_relu},
    {"select(lt(x,a),u,v)", is_sigmoid, "x", onnx_sigmoid},
    {"add(mul(x,select(lt(x,a),u,v)),t)", is_silu, "x", onnx_silu},
    {"mul(x,select(lt(x,a),u,v))", is_silu, "x", onnx_silu},
    {"mul(mul(0.5,x),f)", is_gelu, "x", onnx_gelu_of},
    {"div(e=exp(sub(x,m=reduce(x))),s=reduce(e))", is_softmax, "x", onnx_softmax},
    {"sub(y=sub(x,m=reduce(x)),log(s=reduce(exp(y))))", is_softmax, "x", onnx_softmax},
    {"add(mul(" NORMAL("mul") ",w),y)", is_layer_norm_affine, "xwy", onnx_layer_norm},
    {"add(mul(" NORMAL("div") ",w),y)", is_layer_norm_affine, "xwy", onnx_layer_norm},
    {"add(mul(" NORMAL("mul") ",w),y)", is_instance_norm_affine, "x", onnx_instance_norm},
    {"add(mul(" NORMAL("div") ",w),y)", is_instance_norm_affine, "x", onnx_instance_norm},
    {NORMAL("mul"), is_instance_norm, "x", onnx_instance_norm},
    {NORMAL("div"), is_instance_norm, "x", onnx_instance_norm},
    {NORMAL("mul"), is_layer_norm, "x", onnx_layer_norm},
    {NORMAL("div"), is_layer_norm, "x", onnx_layer_norm},
    {"add(mul(sub(x,m),s),y)", is_batch_norm, "x", onnx_batch_norm},
    {"add(k=conv,y)", is_conv_bias, "ij", onnx_conv_bias},
    {"add(k=dot,y)", is_gemm_bias, "ij", onnx_gemm_bias},
    {"reduce(windows(x))", is_max_pool, "x", onnx_max_pool},
    {"mul(r=reduce(windows(x)),a)", is_average_pool, "x", onnx_average_pool},
    {"div(r=reduce(windows(x)),a)", is_average_pool, "x", onnx_average_pool},
    {"mul(r=reduce(x),a)", is_mean, "x", onnx_mean},
    {"div(r=reduce(x),a)", is_mean, "x", onnx_mean},
    {"reshape(k=broadcast(x))", is_upsample, "x", onnx_upsample},
    {"concat", is_reflection, "x", onnx_reflection},
};

static bool fits(struct emission *e, const struct pattern *pattern, const struct op *op,
                 struct pattern_match *m) {
    *m = (struct pattern_match){.pattern = pattern, .root = op, .e = e};
    const char *at = pattern->text;
    const char *end = at + strcspn(at, "(=");
    enum opcode code;
    if (op->out_count != 1 || !opcode_find(at, (size_t)(end - at), &code) || op->code != code)
        return false;
    return match_op(m, &at, op->out[0]) && (!pattern->guard || pattern->guard(m));
}

struct pattern_match *pattern_find(struct emission *e, const struct op *op) {
    struct pattern_match m;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (fits(e, &patterns[i], op, &m)) {
            struct pattern_match *found = ARENA_NEW(e->arena, struct pattern_match);
            *found = m;
            return found;
        }
    return NULL;
}

int pattern_needs(const struct pattern_match *match, const struct value **values) {
    int count = 0;
    for (const char *letter = match->pattern->needs; *letter; letter++)
        values[count++] = at_letter(match, *letter);
    return count;
}

void pattern_emit(struct emission *e, const struct pattern_match *match) {
    onnx_define(e, match->root->out[0], match->pattern->emit(e, match));
}
