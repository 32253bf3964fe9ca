/* codegen/contract_maps.c: operands of a contraction as affine maps from indices to memory. */
#include "codegen/contract.h"

#include <assert.h>

void map_dense(struct operand *o, const struct type *type) {
    o->rank = type->rank;
    o->base = 0;
    int64_t stride = 1;
    for (int i = type->rank - 1; i >= 0; i--) {
        o->size[i] = type_size(type, i);
        o->stride[i] = stride;
        stride *= o->size[i];
    }
}

static void map_transpose(struct operand *o, const struct op *op) {
    const int64_t *perm = op_ints(op, ATTR_perm, NULL);
    struct operand from = *o;
    for (int i = 0; i < o->rank; i++) {
        o->size[i] = from.size[perm[i]];
        o->stride[i] = from.stride[perm[i]];
    }
}

static bool map_slice(struct operand *o, const struct op *op) {
    int rank = 0;
    const struct dim *const *start = op_dims(op, ATTR_start, &rank);
    const int64_t *step = op_ints(op, ATTR_step, NULL);
    for (int i = 0; i < rank; i++) {
        if (!dim_is_const(start[i]))
            return false;
        o->base += dim_value(start[i]) * o->stride[i];
        o->stride[i] *= step[i];
        o->size[i] = type_size(op->out[0]->type, i);
    }
    return true;
}

static void map_broadcast(struct operand *o, const struct op *op) {
    const int64_t *axes = op_ints(op, ATTR_axes, NULL);
    struct operand from = *o;
    o->rank = op->out[0]->type->rank;
    for (int i = 0; i < o->rank; i++) {
        o->size[i] = type_size(op->out[0]->type, i);
        o->stride[i] = 0;
    }
    for (int i = 0; i < from.rank; i++)
        o->stride[axes[i]] = from.size[i] == 1 ? 0 : from.stride[i];
}

/* Axes of the old shape and the new are matched from the front in groups of equal size; a group of several
 * old axes must be one run in memory. */
static bool map_reshape(struct operand *o, const struct type *type) {
    struct operand to = *o;
    to.rank = type->rank;
    for (int i = 0; i < type->rank; i++) {
        to.size[i] = type_size(type, i);
        to.stride[i] = 0;
    }
    int i = 0, j = 0;
    while (i < o->rank || j < to.rank) {
        int i0 = i, j0 = j;
        int64_t old = i < o->rank ? o->size[i++] : 1, new = j < to.rank ? to.size[j++] : 1;
        while (old != new) {
            if (old < new &&i < o->rank)
                old *= o->size[i++];
            else if (new < old && j < to.rank)
                new *= to.size[j++];
            else
                return false; /* a size of 0 somewhere */
        }
        int last = i - 1; /* the innermost old axis of the group that is longer than 1 */
        while (last > i0 && o->size[last] == 1)
            last--;
        int64_t stride = i > i0 ? o->stride[last] : 0, run = stride;
        for (int k = last; k >= i0; k--) {
            if (o->size[k] != 1 && o->stride[k] != run)
                return false;
            run *= o->size[k];
        }
        for (int k = j - 1; k >= j0; k--) {
            to.stride[k] = stride;
            stride *= to.size[k];
        }
    }
    *o = to;
    return true;
}

/* One cast is made where elements are read. */
static bool map_cast(struct operand *o, const struct op *op) {
    bool is_first = o->as == o->dtype;
    o->as = op->out[0]->type->dtype;
    return is_first;
}

/* true: value is a chain of views of a parameter, with a cast among them at most. */
static bool map_views(const struct op *kernel, const struct value *value, struct operand *o) {
    if (!value->def) {
        o->space = SPACE_ARGUMENT;
        o->argument = value->index;
        o->dtype = o->as = value->type->dtype;
        o->elements = type_elements(value->type);
        map_dense(o, value->type);
        return true;
    }
    const struct op *op = value->def;
    if (op->in_count != 1 || value->type->rank > OPERAND_RANK || !map_views(kernel, op->in[0], o))
        return false;
    switch (op->code) {
    case OP_transpose:
        map_transpose(o, op);
        return true;
    case OP_reshape:
        return map_reshape(o, value->type);
    case OP_slice:
        return map_slice(o, op);
    case OP_broadcast:
        map_broadcast(o, op);
        return true;
    case OP_cast:
        return map_cast(o, op);
    case OP_stop_gradient:
        return true;
    default:
        return false;
    }
}

enum { STAGE_RUN = 4096 }; /* elements of a task */

/* A phase that computes the operand element by element into SHARED memory. */
static void stage_operand(struct lowering *l, struct loop_kernel *kernel, const struct op *op,
                          const struct value *value, struct operand *o) {
    o->dtype = o->as = value->type->dtype;
    o->space = SPACE_SHARED;
    o->elements = type_elements(value->type);
    o->offset = kernel_shared(kernel, o->elements * dtype_bytes(o->dtype));
    map_dense(o, value->type);
    if (o->elements == 0)
        return;
    struct writer w;
    writer_begin(&w, l, kernel, op);
    int64_t tasks = o->elements / STAGE_RUN + 1;
    const struct loop_expr *first = times(&w, writer_task(&w, tasks), STAGE_RUN);
    const struct loop_expr *end = least(&w, plus_n(&w, first, STAGE_RUN), index_of(&w, o->elements));
    const struct loop_expr *i = writer_for(&w, "i", first, end, LOOP_VECTOR);
    struct reader r = {.w = &w, .kernel = op};
    const struct loop_expr *index[OPERAND_RANK];
    writer_unflatten(&w, value->type, i, index);
    writer_store(&w, operand_buffer(&w, o, "staged"), i, value_at(&r, value, index));
    writer_end(&w);
    writer_finish(&w, tasks);
}

static bool map_or_stage(struct lowering *l, struct loop_kernel *kernel, const struct op *op,
                         const struct value *value, bool rows, struct operand *out) {
    *out = (struct operand){0};
    if (map_views(op, value, out)) {
        int last = out->rank - 1;
        if (!rows || out->stride[last] == 1 || out->size[last] == 1)
            return true;
    }
    *out = (struct operand){0};
    if (!values_are_readable(op, NULL, value)) {
        diag_defect(l->diags, op->site->span,
                    "a contraction's operand is more than elementwise operators and views");
        return false;
    }
    stage_operand(l, kernel, op, value, out);
    return true;
}

bool operand_map(struct lowering *l, struct loop_kernel *kernel, const struct op *op,
                 const struct value *value, struct operand *out) {
    return map_or_stage(l, kernel, op, value, false, out);
}

bool operand_map_rows(struct lowering *l, struct loop_kernel *kernel, const struct op *op,
                      const struct value *value, struct operand *out) {
    return map_or_stage(l, kernel, op, value, true, out);
}

/* An argument's memory in words of another dtype. */
static struct buffer *argument_as(struct writer *w, const struct operand *operand, const char *name) {
    for (int i = 0; i < w->f->buffers.count; i++) {
        struct buffer *b = w->f->buffers.at[i];
        if (b->space == SPACE_ARGUMENT && b->argument == operand->argument && b->dtype == operand->dtype)
            return b;
    }
    return loop_add_argument(w->f, operand->argument, operand->dtype, operand->elements, name, false);
}

struct buffer *operand_buffer(struct writer *w, const struct operand *operand, const char *name) {
    if (operand->space == SPACE_ARGUMENT) {
        struct buffer *b = writer_argument(w, operand->argument);
        return b->dtype == operand->dtype ? b : argument_as(w, operand, name);
    }
    return writer_memory(w, operand->space, operand->offset, operand->dtype, operand->elements, name);
}

const struct loop_expr *operand_load(struct writer *w, const struct operand *operand, const char *name,
                                     const struct loop_expr *index, enum dtype dtype) {
    const struct loop_expr *x = lexpr_load(w->f, operand_buffer(w, operand, name), index);
    return writer_cast(w, dtype, writer_cast(w, operand->as, x));
}

void tile_read_a(struct tile *t, struct buffer *buffer, enum dtype as) {
    t->a = buffer;
    t->a_as = as;
}

void tile_read_b(struct tile *t, struct buffer *buffer, enum dtype as) {
    t->b = buffer;
    t->b_as = as;
}
