/* ir/infer.c: the checks and messages that inference functions share. */
#include "ir/infer.h"

#include <string.h>

const char *type_name(struct graph *graph, const struct value *value) {
    return value->type ? type_text(graph->types, value->type) : "(no type)";
}

const char *dim_name(struct graph *graph, const struct dim *dim) {
    return dim_text(graph->types, dim);
}

/* Where a value was written: its op's place, or that of the op in whose region it is a parameter. */
static struct span value_span(const struct value *value) {
    if (value->def)
        return value->def->site->span;
    if (value->block->owner)
        return value->block->owner->site->span;
    return (struct span){0};
}

struct diag *infer_error(struct graph *graph, const struct op *op, struct diags *diags, enum diag_code code,
                         const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(types_arena(graph->types), format, args);
    va_end(args);
    struct diag *diag = diag_error_at(diags, op->site, code, "%s: %s", opcode_text(op->code), message);
    for (int i = 0; i < op->in_count && i < 3; i++) {
        const struct value *value = op->in[i];
        struct span span = value_span(value);
        if (!span_is_known(span) || !value->type)
            continue;
        if (value->name)
            diag_label(diag, span, "`%s` is %s", value->name, type_name(graph, value));
        else
            diag_label(diag, span, "this is %s", type_name(graph, value));
    }
    return diag;
}

bool infer_result(struct op *op, const struct type *type) {
    op->out[0]->type = type;
    return true;
}

bool infer_axis(struct graph *graph, const struct op *op, struct diags *diags, int64_t axis, int rank) {
    if (axis >= 0 && axis < rank)
        return true;
    infer_error(graph, op, diags, E_INDEX, "axis %lld is not one of the %d axes of %s", (long long)axis, rank,
                op->in_count ? type_name(graph, op->in[0]) : type_name(graph, op->out[0]));
    return false;
}

bool infer_axes(struct graph *graph, const struct op *op, struct diags *diags, const char *what,
                const int64_t *axes, int count, int rank) {
    for (int i = 0; i < count; i++) {
        if (axes[i] < 0 || axes[i] >= rank) {
            infer_error(graph, op, diags, E_INDEX, "%s: axis %lld is not one of %d axes", what,
                        (long long)axes[i], rank);
            return false;
        }
        if (i > 0 && axes[i] <= axes[i - 1]) {
            infer_error(graph, op, diags, E_INDEX, "%s: axes must ascend, but %lld follows %lld", what,
                        (long long)axes[i], (long long)axes[i - 1]);
            return false;
        }
    }
    return true;
}

bool infer_equal_dims(struct graph *graph, const struct op *op, struct diags *diags, int a, int axis_a, int b,
                      int axis_b) {
    const struct type *x = op->in[a]->type, *y = op->in[b]->type;
    if (x->dims[axis_a] == y->dims[axis_b])
        return true;
    infer_error(graph, op, diags, E_SHAPE, "%s at axis %d of %s is not %s at axis %d of %s",
                dim_name(graph, x->dims[axis_a]), axis_a, type_name(graph, op->in[a]),
                dim_name(graph, y->dims[axis_b]), axis_b, type_name(graph, op->in[b]));
    return false;
}

bool infer_dtype(struct graph *graph, const struct op *op, struct diags *diags, int index, enum dtype dtype) {
    if (op->in[index]->type->dtype == dtype)
        return true;
    infer_error(graph, op, diags, E_DTYPE, "operand %d must be %s, but is %s", index, dtype_text(dtype),
                type_name(graph, op->in[index]));
    return false;
}

const struct type *infer_declared_type(struct graph *graph, const struct op *op, struct diags *diags) {
    if (!op->out[0]->type)
        infer_error(graph, op, diags, E_IR, "its result's type must be declared");
    return op->out[0]->type;
}

bool infer_list(struct graph *graph, const struct op *op, struct diags *diags, enum attr_name name, int count,
                int64_t least) {
    const struct attr *attr = op_attr(op, name);
    if (attr->count != count) {
        infer_error(graph, op, diags, E_SHAPE, "`%s` has %d entries, but %d are wanted", attr_text(name),
                    attr->count, count);
        return false;
    }
    for (int i = 0; i < count && attr_kind(name) == ATTR_INTS; i++)
        if (attr->ints[i] < least) {
            infer_error(graph, op, diags, E_INDEX, "`%s` has the entry %lld, which is less than %lld",
                        attr_text(name), (long long)attr->ints[i], (long long)least);
            return false;
        }
    return true;
}

bool infer_kind(struct graph *graph, const struct op *op, struct diags *diags, const char *words) {
    const char *kind = op_string(op, ATTR_kind);
    size_t length = strlen(kind);
    for (const char *at = words; length > 0 && (at = strstr(at, kind)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0))
            return true;
    infer_error(graph, op, diags, E_IR, "kind is `%s`, not one of %s", kind, words);
    return false;
}

const struct dim *window_places(struct types *types, const struct dim *length, const struct dim *size,
                                int64_t step, int64_t dilation) {
    const struct dim *one = dim_const(types, 1);
    /* (length - ((size - 1) * dilation + 1)) / step + 1 */
    const struct dim *reach = dim_mul(types, dim_sub(types, size, one), dim_const(types, dilation));
    const struct dim *room = dim_sub(types, length, dim_add(types, reach, one));
    if (dim_compare(types, room, dim_const(types, 0)) == -1)
        return NULL;
    return dim_add(types, dim_floordiv(types, room, step), one);
}
