/* frontend/onnx/emit_reduce.c: reductions, running ones, and windows. */
#include "onnx/emit.h"

#include <math.h>
#include <string.h>

static bool define(struct emission *e, const struct op *op, const char *name) {
    onnx_define(e, op->out[0], name);
    return true;
}

static const struct kind {
    const char *name, *reduce, *two, *arg;
} kinds[] = {
    {"sum", "ReduceSum", "Add", NULL},
    {"prod", "ReduceProd", "Mul", NULL},
    {"max", "ReduceMax", "Max", "ArgMax"},
    {"min", "ReduceMin", "Min", "ArgMin"},
};

static const struct kind *kind_of(const struct op *op) {
    const struct kind *k = kinds;
    while (strcmp(k->name, op_string(op, ATTR_kind)) != 0)
        k++;
    return k;
}

/* ---- reductions ---- */

bool onnx_reduce(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    int count;
    const int64_t *axes = op_ints(op, ATTR_axes, &count);
    bool is_bool = op->in[0]->type->dtype == DTYPE_bool;
    const char *x = onnx_name(e, op->in[0]);
    if (count == 0)
        return define(e, op, x);
    if (is_bool)
        x = onnx_cast(e, x, DTYPE_i32);
    struct onnx_node n = onnx_node(e, kind_of(op)->reduce, x, onnx_int_list(e, axes, count), NULL);
    onnx_int(e, n, "keepdims", 0);
    return define(e, op, is_bool ? onnx_cast(e, n.out, DTYPE_bool) : n.out);
}

bool onnx_arg_reduce(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    struct onnx_node n = onnx_node(e, kind_of(op)->arg, onnx_name(e, op->in[0]), NULL);
    onnx_int(e, n, "axis", op_int(op, ATTR_axis));
    onnx_int(e, n, "keepdims", 0);
    return define(e, op, onnx_cast(e, n.out, DTYPE_i32));
}

/* ---- running reductions ---- */

static double identity_of(const struct op *op) {
    const char *kind = kind_of(op)->name;
    if (kind[0] == 'p')
        return 1;
    if (kind[0] == 's')
        return 0;
    enum dtype dtype = op->in[0]->type->dtype;
    double least = dtype_is_float(dtype) ? -INFINITY : (double)int_least(dtype);
    return kind[1] == 'a' ? least : dtype_is_float(dtype) ? INFINITY : (double)int_greatest(dtype);
}

/* The elements `by` places on, and the identity where there are none. */
static const char *moved(struct emission *e, const struct op *op, const char *x, int64_t by, bool back) {
    const struct type *type = op->in[0]->type;
    int axis = (int)op_int(op, ATTR_axis);
    int64_t *start = ARENA_ARRAY(e->arena, int64_t, 2 * type->rank), *none = start + type->rank,
            *count = onnx_sizes(e, type), *pad = ARENA_ARRAY(e->arena, int64_t, type->rank);
    count[axis] -= by;
    start[axis] = back ? by : 0;
    pad[axis] = by;
    const char *part = onnx_slice(e, x, type, start, count, NULL);
    return onnx_pad(e, part, type->rank, type->dtype, back ? none : pad, back ? pad : none, identity_of(op));
}

/* Sums by CumSum; the others by doubling (Hillis & Steele 1986): after turn k an element holds 2^k of them.
 */
bool onnx_scan(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    bool back = op_int(op, ATTR_reverse), exclusive = op_int(op, ATTR_exclusive);
    int64_t axis = op_int(op, ATTR_axis), size = type_size(op->in[0]->type, (int)axis);
    const char *x = onnx_name(e, op->in[0]);
    if (strcmp(kind_of(op)->name, "sum") == 0) {
        struct onnx_node n = onnx_node(e, "CumSum", x, onnx_number(e, DTYPE_i64, (double)axis), NULL);
        onnx_int(e, n, "exclusive", exclusive);
        onnx_int(e, n, "reverse", back);
        return define(e, op, n.out);
    }
    if (exclusive && size > 0)
        x = moved(e, op, x, 1, back);
    for (int64_t by = 1; by < size; by *= 2)
        x = onnx_two(e, kind_of(op)->two, x, moved(e, op, x, by, back));
    return define(e, op, x);
}

/* ---- windows ---- */

/* Each axis gathered by a table [places, window]; then the windows' axes go behind. */
bool onnx_windows(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    int n, rank = op->in[0]->type->rank, first;
    const int64_t *window = op_ints(op, ATTR_window, &n), *step = op_ints(op, ATTR_step, NULL),
                  *dilation = op_ints(op, ATTR_dilation, NULL);
    int64_t *perm = ARENA_ARRAY(e->arena, int64_t, rank + n + 1);
    const char *x = onnx_name(e, op->in[0]);
    first = rank - n;
    for (int i = 0; i < n; i++) {
        int64_t places = type_size(op->out[0]->type, first + i), k = 0;
        int64_t *table = ARENA_ARRAY(e->arena, int64_t, places * window[i] + 1);
        for (int64_t o = 0; o < places; o++)
            for (int64_t w = 0; w < window[i]; w++)
                table[k++] = o * step[i] + w * dilation[i];
        const char *index =
            onnx_reshape(e, onnx_int_list(e, table, (int)k), 2, (int64_t[]){places, window[i]});
        struct onnx_node g = onnx_node(e, "Gather", x, index, NULL);
        onnx_int(e, g, "axis", first + 2 * i);
        x = g.out;
        perm[first + i] = first + 2 * i;
        perm[rank + i] = first + 2 * i + 1;
    }
    for (int i = 0; i < first; i++)
        perm[i] = i;
    return define(e, op, onnx_transpose(e, x, rank + n, perm));
}

/* The sum over a window's elements, each spread to the places that it came from. */
bool onnx_fold(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    int n;
    const int64_t *window = op_ints(op, ATTR_window, &n), *step = op_ints(op, ATTR_step, NULL),
                  *dilation = op_ints(op, ATTR_dilation, NULL);
    const struct type *type = op->in[0]->type, *to = op->out[0]->type;
    int rank = to->rank, first = rank - n;
    int64_t turns = 1, *start = ARENA_ARRAY(e->arena, int64_t, 5 * (rank + n)), *count = start + rank + n,
            *sizes = count + rank + n, *lo = sizes + rank + n, *hi = lo + rank + n;
    const char *sum = NULL, *x = onnx_name(e, op->in[0]);
    for (int i = 0; i < n; i++)
        turns *= window[i];
    for (int64_t t = 0; t < turns; t++) {
        for (int i = 0; i < rank; i++)
            count[i] = sizes[i] = type_size(type, i);
        int64_t rest = t, k[8] = {0};
        for (int i = n - 1; i >= 0; rest /= window[i], i--) {
            k[i] = rest % window[i];
            start[rank + i] = k[i];
            count[rank + i] = 1;
        }
        const char *part = onnx_reshape(e, onnx_slice(e, x, type, start, count, NULL), rank, sizes);
        for (int i = 0; i < n; i++) {
            int axis = first + i;
            const struct type *now = type_of_sizes(e->graph->types, to->dtype, rank, sizes);
            if (step[i] > 1 && sizes[axis] > 1) {
                part = onnx_spread(e, part, now, axis, step[i] - 1, 0);
                sizes[axis] = (sizes[axis] - 1) * step[i] + 1;
            }
            lo[axis] = k[i] * dilation[i];
            hi[axis] = type_size(to, axis) - sizes[axis] - lo[axis];
        }
        part = onnx_pad(e, part, rank, to->dtype, lo, hi, 0);
        sum = sum ? onnx_two(e, "Add", sum, part) : part;
    }
    return sum ? define(e, op, sum) : onnx_refuse(e, op, "a window has no elements");
}
