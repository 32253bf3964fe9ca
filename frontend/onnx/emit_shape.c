/* frontend/onnx/emit_shape.c: operators that move elements, and the tools that other emitters use for it. */
#include "onnx/emit.h"

#include <string.h>

static bool define(struct emission *e, const struct op *op, const char *name) {
    onnx_define(e, op->out[0], name);
    return true;
}

/* ---- constants by their content ---- */

/* One initialiser for each name: names of constants are made from what they hold. */
static const char *content(struct emission *e, const char *name, const struct type *type, const void *bytes) {
    const char *interned = intern(e->graph->names, name);
    struct onnx_scope *top = e->scope;
    while (top->outer)
        top = top->outer;
    const char *known = map_find(&top->names, interned);
    if (known)
        return known;
    known = onnx_take_name(e->model, name);
    onnx_add_initialiser(e->model, known, type, bytes);
    map_put(&top->names, interned, (void *)known);
    return known;
}

const char *onnx_int_list(struct emission *e, const int64_t *values, int count) {
    struct strbuf name;
    strbuf_init(&name, e->arena);
    strbuf_puts(&name, "ints");
    for (int i = 0; i < count; i++)
        strbuf_printf(&name, "_%lld", (long long)values[i]);
    const struct type *type = type_of_sizes(e->graph->types, DTYPE_i64, 1, &(int64_t){count});
    return content(e, name.text, type, arena_memdup(e->arena, values, sizeof *values * (size_t)count));
}

static const void *number_bytes(struct emission *e, const struct type *type, double value) {
    struct tensor *tensor = tensor_create(e->arena, type);
    for (int64_t i = 0; i < type_elements(type); i++) {
        if (dtype_is_float(type->dtype))
            tensor->f[i] = value;
        else
            tensor->i[i] = (int64_t)value;
    }
    void *bytes = arena_alloc(e->arena, (size_t)type_bytes(type) + 1);
    tensor_to_bytes(tensor, bytes);
    return bytes;
}

static const char *number_text(struct emission *e, double value) {
    struct strbuf text;
    strbuf_init(&text, e->arena);
    strbuf_double(&text, value);
    return text.text;
}

const char *onnx_number(struct emission *e, enum dtype dtype, double value) {
    dtype = onnx_inner_dtype(dtype);
    const struct type *type = type_scalar(e->graph->types, dtype);
    const char *name = arena_printf(e->arena, "%s_%s", dtype_text(dtype), number_text(e, value));
    return content(e, name, type, number_bytes(e, type, value));
}

const char *onnx_filled(struct emission *e, enum dtype dtype, int64_t count, double value) {
    dtype = onnx_inner_dtype(dtype);
    const struct type *type = type_of_sizes(e->graph->types, dtype, 1, &count);
    const char *name =
        arena_printf(e->arena, "%s_%s_x%lld", dtype_text(dtype), number_text(e, value), (long long)count);
    return content(e, name, type, number_bytes(e, type, value));
}

/* ---- tools ---- */

int64_t *onnx_sizes(struct emission *e, const struct type *type) {
    int64_t *sizes = ARENA_ARRAY(e->arena, int64_t, type->rank + 1);
    for (int i = 0; i < type->rank; i++)
        sizes[i] = type_size(type, i);
    return sizes;
}

int64_t *onnx_dims(struct emission *e, const struct op *op, enum attr_name name) {
    int count;
    const struct dim *const *dims = op_dims(op, name, &count);
    int64_t *values = ARENA_ARRAY(e->arena, int64_t, count + 1);
    for (int i = 0; i < count; i++)
        values[i] = dim_value(dims[i]);
    return values;
}

const char *onnx_reshape(struct emission *e, const char *name, int rank, const int64_t *sizes) {
    struct onnx_node n = onnx_node(e, "Reshape", name, onnx_int_list(e, sizes, rank), NULL);
    for (int i = 0; i < rank; i++)
        if (sizes[i] == 0) {
            onnx_int(e, n, "allowzero", 1);
            break;
        }
    return n.out;
}

const char *onnx_transpose(struct emission *e, const char *name, int rank, const int64_t *perm) {
    bool is_identity = true;
    for (int i = 0; i < rank; i++)
        is_identity &= perm[i] == i;
    if (is_identity)
        return name;
    struct onnx_node n = onnx_node(e, "Transpose", name, NULL);
    onnx_ints(e, n, "perm", perm, rank);
    return n.out;
}

const char *onnx_cast(struct emission *e, const char *name, enum dtype dtype) {
    struct onnx_node n = onnx_node(e, "Cast", name, NULL);
    onnx_int(e, n, "to", onnx_dtype(onnx_inner_dtype(dtype)));
    return n.out;
}

const char *onnx_slice(struct emission *e, const char *name, const struct type *type, const int64_t *start,
                       const int64_t *count, const int64_t *step) {
    int64_t *part = ARENA_ARRAY(e->arena, int64_t, 4 * type->rank + 4);
    int64_t *starts = part, *ends = part + type->rank, *axes = ends + type->rank, *steps = axes + type->rank;
    int n = 0;
    for (int i = 0; i < type->rank; i++) {
        int64_t by = step ? step[i] : 1;
        if (start[i] == 0 && count[i] == type_size(type, i) && by == 1)
            continue;
        int64_t end = start[i] + count[i] * by;
        starts[n] = start[i];
        ends[n] = end < 0 ? INT64_MIN / 2 : end; /* in front of the first: -1 would be the last */
        axes[n] = i;
        steps[n++] = by;
    }
    if (n == 0)
        return name;
    return onnx_node(e, "Slice", name, onnx_int_list(e, starts, n), onnx_int_list(e, ends, n),
                     onnx_int_list(e, axes, n), onnx_int_list(e, steps, n), NULL)
        .out;
}

/* lo and hi are not negative. */
const char *onnx_pad(struct emission *e, const char *name, int rank, enum dtype dtype, const int64_t *lo,
                     const int64_t *hi, double value) {
    int64_t *pads = ARENA_ARRAY(e->arena, int64_t, 2 * rank + 1);
    bool none = true;
    for (int i = 0; i < rank; i++) {
        pads[i] = lo[i];
        pads[rank + i] = hi[i];
        none &= lo[i] == 0 && hi[i] == 0;
    }
    return none ? name
                : onnx_node(e, "Pad", name, onnx_int_list(e, pads, 2 * rank), onnx_number(e, dtype, value),
                            NULL)
                      .out;
}

/* ---- views ---- */

bool onnx_reshape_op(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const struct type *type = op->out[0]->type;
    return define(e, op, onnx_reshape(e, onnx_name(e, op->in[0]), type->rank, onnx_sizes(e, type)));
}

bool onnx_transpose_op(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return define(
        e, op,
        onnx_transpose(e, onnx_name(e, op->in[0]), op->out[0]->type->rank, op_ints(op, ATTR_perm, NULL)));
}

bool onnx_slice_op(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    return define(e, op,
                  onnx_slice(e, onnx_name(e, op->in[0]), op->in[0]->type, onnx_dims(e, op, ATTR_start),
                             onnx_sizes(e, op->out[0]->type), op_ints(op, ATTR_step, NULL)));
}

/* k elements of the value between two of an axis of size n: [n] to [n, 1], filled up to [n, k + 1], flat,
 * cut. */
const char *onnx_spread(struct emission *e, const char *name, const struct type *type, int axis, int64_t k,
                        double value) {
    int rank = type->rank;
    int64_t *sizes = ARENA_ARRAY(e->arena, int64_t, 4 * (rank + 1)), *lo = sizes + rank + 1,
            *hi = lo + rank + 1, *flat = hi + rank + 1, n = type_size(type, axis);
    for (int i = 0; i <= rank; i++)
        sizes[i] = i <= axis ? type_size(type, i) : i == axis + 1 ? 1 : type_size(type, i - 1);
    hi[axis + 1] = k;
    for (int i = 0; i < rank; i++)
        flat[i] = i == axis ? n * (k + 1) : type_size(type, i);
    name = onnx_reshape(e, name, rank + 1, sizes);
    name = onnx_reshape(e, onnx_pad(e, name, rank + 1, type->dtype, lo, hi, value), rank, flat);
    const struct type *long_type = type_of_sizes(e->graph->types, type->dtype, rank, flat);
    flat[axis] -= k;
    memset(lo, 0, sizeof *lo * (size_t)rank);
    return onnx_slice(e, name, long_type, lo, flat, NULL);
}

bool onnx_pad_op(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const struct type *type = op->in[0]->type;
    int rank = type->rank;
    const int64_t *interior = op_ints(op, ATTR_interior, NULL);
    int64_t *lo = onnx_dims(e, op, ATTR_lo), *hi = onnx_dims(e, op, ATTR_hi), *sizes = onnx_sizes(e, type),
            *start = ARENA_ARRAY(e->arena, int64_t, rank + 1);
    double value = op_float(op, ATTR_value);
    const char *name = onnx_name(e, op->in[0]);
    for (int i = 0; i < rank; i++) {
        if (interior[i] == 0 || sizes[i] < 2)
            continue;
        name = onnx_spread(e, name, type_of_sizes(e->graph->types, type->dtype, rank, sizes), i, interior[i],
                           value);
        sizes[i] += (sizes[i] - 1) * interior[i];
    }
    /* What is negative cuts; it may cut more than there is of x only where the other side pads. */
    const struct type *full = type_of_sizes(e->graph->types, type->dtype, rank, sizes);
    for (int i = 0; i < rank; i++) {
        start[i] = lo[i] < 0 ? -lo[i] : 0;
        sizes[i] -= start[i] + (hi[i] < 0 ? -hi[i] : 0);
        if (sizes[i] < 0)
            return onnx_refuse(e, op, "a pad cuts more of an axis than it has");
        lo[i] = lo[i] < 0 ? 0 : lo[i];
        hi[i] = hi[i] < 0 ? 0 : hi[i];
    }
    name = onnx_slice(e, name, full, start, sizes, NULL);
    return define(e, op, onnx_pad(e, name, rank, type->dtype, lo, hi, value));
}

bool onnx_concat(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const char **names = ARENA_ARRAY(e->arena, const char *, op->in_count);
    for (int i = 0; i < op->in_count; i++)
        names[i] = onnx_name(e, op->in[i]);
    struct onnx_node n = onnx_node(e, "Concat", names[0], NULL);
    for (int i = 1; i < op->in_count; i++)
        onnx_node_input(e->model, n.node, names[i]);
    onnx_int(e, n, "axis", op_int(op, ATTR_axis));
    return define(e, op, n.out);
}

/* ---- places known at run time ---- */

/* The start of a dynamic slice, held in what the axis has: i64[rank]. */
static const char *starts_name(struct emission *e, const struct op *op, int first, const struct type *x,
                               const struct type *part) {
    const char **each = ARENA_ARRAY(e->arena, const char *, x->rank);
    for (int i = 0; i < x->rank; i++) {
        const char *at = onnx_cast(e, onnx_name(e, op->in[first + i]), DTYPE_i64);
        at = onnx_two(e, "Max", at, onnx_number(e, DTYPE_i64, 0));
        at =
            onnx_two(e, "Min", at, onnx_number(e, DTYPE_i64, (double)(type_size(x, i) - type_size(part, i))));
        each[i] = onnx_reshape(e, at, 1, &(int64_t){1});
    }
    struct onnx_node n = onnx_node(e, "Concat", each[0], NULL);
    for (int i = 1; i < x->rank; i++)
        onnx_node_input(e->model, n.node, each[i]);
    onnx_int(e, n, "axis", 0);
    return n.out;
}

bool onnx_dynamic_slice(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const struct type *x = op->in[0]->type, *part = op->out[0]->type;
    if (x->rank == 0)
        return define(e, op, onnx_name(e, op->in[0]));
    int64_t *axes = ARENA_ARRAY(e->arena, int64_t, x->rank);
    for (int i = 0; i < x->rank; i++)
        axes[i] = i;
    const char *starts = starts_name(e, op, 1, x, part);
    const char *ends = onnx_two(e, "Add", starts, onnx_int_list(e, onnx_sizes(e, part), x->rank));
    return define(
        e, op,
        onnx_node(e, "Slice", onnx_name(e, op->in[0]), starts, ends, onnx_int_list(e, axes, x->rank), NULL)
            .out);
}

/* The places [sizes.., rank] of a box that begins at 0. */
static const char *grid_name(struct emission *e, const int64_t *sizes, int rank) {
    int64_t count = rank, *shape = ARENA_ARRAY(e->arena, int64_t, rank + 1);
    struct strbuf name;
    strbuf_init(&name, e->arena);
    strbuf_puts(&name, "grid");
    for (int i = 0; i < rank; i++) {
        strbuf_printf(&name, "_%lld", (long long)sizes[i]);
        shape[i] = sizes[i];
        count *= sizes[i];
    }
    shape[rank] = rank;
    int64_t *bytes = ARENA_ARRAY(e->arena, int64_t, count + 1);
    for (int64_t i = 0; i < count / rank; i++)
        for (int64_t k = rank - 1, rest = i; k >= 0; rest /= sizes[k], k--)
            bytes[i * rank + k] = rest % sizes[k];
    return content(e, name.text, type_of_sizes(e->graph->types, DTYPE_i64, rank + 1, shape), bytes);
}

/* ScatterND at start + each place of the box; behind the last axis that is cut, whole slices move. */
bool onnx_dynamic_update(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const struct type *x = op->in[0]->type, *part = op->in[1]->type;
    int depth = x->rank;
    while (depth > 0 && type_size(x, depth - 1) == type_size(part, depth - 1))
        depth--;
    if (depth == 0) {
        onnx_define(e, op->out[0], onnx_name(e, op->in[1]));
        return true;
    }
    const char *starts = starts_name(e, op, 2, x, part);
    const struct type *all = type_of_sizes(e->graph->types, DTYPE_i64, 1, &(int64_t){x->rank});
    starts = onnx_slice(e, starts, all, (int64_t[]){0}, &(int64_t){depth}, NULL);
    const char *places = onnx_two(e, "Add", grid_name(e, onnx_sizes(e, part), depth), starts);
    return define(
        e, op, onnx_node(e, "ScatterND", onnx_name(e, op->in[0]), places, onnx_name(e, op->in[1]), NULL).out);
}

/* ---- gather and scatter ---- */

/* x[b.., o.., a, r..] with the axis behind the batch: perm and its inverse. */
static void axis_to_front(int rank, int batch, int axis, int64_t *perm) {
    for (int i = 0; i < rank; i++)
        perm[i] = i < batch || i > axis ? i : i == batch ? axis : i - 1;
}

/* [b.., i.., 1] to [b.., i.., batch + 1]: each index with the numbers of its batch in front. */
static const char *full_index(struct emission *e, const struct value *index, int batch) {
    const struct type *type = index->type;
    int rank = type->rank;
    int64_t *sizes = ARENA_ARRAY(e->arena, int64_t, 2 * rank + 4), *wide = sizes + rank + 2;
    for (int i = 0; i < rank; i++)
        sizes[i] = type_size(type, i);
    sizes[rank] = 1;
    const char *last = onnx_reshape(e, onnx_cast(e, onnx_name(e, index), DTYPE_i64), rank + 1, sizes);
    if (batch == 0)
        return last;
    const char *grid = grid_name(e, sizes, batch);
    for (int i = 0; i <= rank; i++)
        wide[i] = i < batch ? sizes[i] : i < rank ? 1 : batch;
    grid = onnx_reshape(e, grid, rank + 1, wide);
    for (int i = 0; i < rank; i++)
        wide[i] = sizes[i];
    grid = onnx_two(e, "Expand", grid, onnx_int_list(e, wide, rank + 1));
    struct onnx_node n = onnx_node(e, "Concat", grid, last, NULL);
    onnx_int(e, n, "axis", rank);
    return n.out;
}

/* From [b.., i.., o.., r..] to the result's order [b.., o.., i.., r..] (or back). */
static void result_order(int batch, int indices, int others, int rank, bool back, int64_t *perm) {
    int first = back ? others : indices, second = back ? indices : others;
    for (int i = 0; i < rank; i++) {
        int k = i - batch;
        perm[i] = k < 0 || k >= first + second ? i : k < second ? batch + first + k : batch + k - second;
    }
}

bool onnx_gather(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const struct type *x = op->in[0]->type;
    int batch = (int)op_int(op, ATTR_batch), axis = (int)op_int(op, ATTR_axis), rank = op->out[0]->type->rank,
        indices = op->in[1]->type->rank - batch;
    const char *name = onnx_name(e, op->in[0]);
    if (batch == 0) {
        struct onnx_node n = onnx_node(e, "Gather", name, onnx_name(e, op->in[1]), NULL);
        onnx_int(e, n, "axis", axis);
        return define(e, op, n.out);
    }
    int64_t *perm = ARENA_ARRAY(e->arena, int64_t, x->rank + rank);
    axis_to_front(x->rank, batch, axis, perm);
    name = onnx_transpose(e, name, x->rank, perm);
    name = onnx_two(e, "GatherND", name, full_index(e, op->in[1], batch));
    result_order(batch, indices, axis - batch, rank, false, perm);
    return define(e, op, onnx_transpose(e, name, rank, perm));
}

bool onnx_scatter(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    const struct type *x = op->in[0]->type, *u = op->in[2]->type;
    int batch = (int)op_int(op, ATTR_batch), axis = (int)op_int(op, ATTR_axis),
        indices = op->in[1]->type->rank - batch;
    int64_t *perm = ARENA_ARRAY(e->arena, int64_t, 2 * x->rank + u->rank), *inverse = perm + x->rank,
            *order = inverse + x->rank;
    axis_to_front(x->rank, batch, axis, perm);
    for (int i = 0; i < x->rank; i++)
        inverse[perm[i]] = i;
    result_order(batch, indices, axis - batch, u->rank, true, order);
    const char *data = onnx_transpose(e, onnx_name(e, op->in[0]), x->rank, perm);
    const char *updates = onnx_transpose(e, onnx_name(e, op->in[2]), u->rank, order);
    struct onnx_node n = onnx_node(e, "ScatterND", data, full_index(e, op->in[1], batch), updates, NULL);
    const char *kind = op_string(op, ATTR_kind);
    onnx_node_text(e->model, n.node, "reduction", strcmp(kind, "set") == 0 ? "none" : kind);
    return define(e, op, onnx_transpose(e, n.out, x->rank, inverse));
}

/* ---- sort ---- */

/* TopK of all: equal values in the order of their places, as a stable sort has them. */
bool onnx_sort(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    int64_t axis = op_int(op, ATTR_axis), size = type_size(op->in[0]->type, (int)axis);
    struct onnx_node n = onnx_node(e, "TopK", onnx_name(e, op->in[0]), onnx_int_list(e, &size, 1), NULL);
    const char *places = onnx_fresh(e, "TopK_places");
    onnx_node_output(e->model, n.node, places);
    onnx_int(e, n, "axis", axis);
    onnx_int(e, n, "largest", op_int(op, ATTR_descending));
    onnx_int(e, n, "sorted", 1);
    onnx_define(e, op->out[0], n.out);
    onnx_define(e, op->out[1], onnx_cast(e, places, DTYPE_i32));
    return true;
}
