/* codegen/contract_maps.c: operands of a contraction as affine maps from indices to memory. */
#include "codegen/contract.h"
#include "passes/plan.h"

#include <assert.h>
#include <string.h>

static void take_view(struct operand *o, const struct view *view) {
    o->rank = view->rank;
    o->base = view->base;
    memcpy(o->size, view->size, sizeof(o->size));
    memcpy(o->stride, view->stride, sizeof(o->stride));
}

void map_dense(struct operand *o, const struct type *type) {
    struct view view = {0};
    view_dense(&view, type);
    take_view(o, &view);
}

static bool map_view(struct operand *o, const struct op *op) {
    struct view view = {.rank = o->rank, .base = o->base};
    memcpy(view.size, o->size, sizeof(o->size));
    memcpy(view.stride, o->stride, sizeof(o->stride));
    if (!view_through(&view, op))
        return false;
    take_view(o, &view);
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
    return op->code == OP_cast ? map_cast(o, op) : map_view(o, op);
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

bool operand_is_kept(const struct contraction *c, const struct operand *operand) {
    if (!c->l->packs_weights || !c->l->plan || operand->space != SPACE_ARGUMENT)
        return false;
    const struct place *place = plan_place(c->l->plan, c->kernel->in[operand->argument]);
    return place && (place->kind == PLACE_WEIGHTS || map_has(c->l->kept, place));
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
    return operand_load_inside(w, operand, name, index, NULL, dtype);
}

const struct loop_expr *operand_load_inside(struct writer *w, const struct operand *operand, const char *name,
                                            const struct loop_expr *index, const struct loop_expr *inside,
                                            enum dtype dtype) {
    struct buffer *buffer = operand_buffer(w, operand, name);
    const struct loop_expr *x =
        inside ? lexpr_load_masked(w->f, buffer, index, inside, writer_zero(w, operand->dtype))
               : lexpr_load(w->f, buffer, index);
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
