/* codegen/contract_blas.c: the other back end behind the seam: a dot whose operands lie as matrices becomes
 * calls of cblas_sgemm, one for each batch index, and a second phase for what is fused behind it. The
 * yardstick of bench/, and a way in for other libraries; never the default. Convolutions and what is no f32
 * matrix stay with our engine. */
#include "codegen/contract.h"

#include <limits.h>

/* A group of axes as one: `size` elements, `stride` apart. */
struct axis {
    int64_t size, stride;
};

/* A dot's operand: which axes of it are batch, free and summed. */
struct matrix {
    struct operand map;
    struct axis batch, free, summed;
};

static bool is_listed(int axis, const int64_t *list, int count) {
    for (int i = 0; i < count; i++)
        if (list[i] == axis)
            return true;
    return false;
}

/* Appends an axis that lies inside the group so far; false where the two are not one. Sizes of 1 have no
 * stride. */
static bool extend(struct axis *group, int64_t size, int64_t stride) {
    if (size == 1)
        return true;
    if (group->size != 1 && group->stride != stride * size)
        return false;
    *group = (struct axis){group->size * size, stride};
    return true;
}

static bool extend_by_list(struct axis *group, const struct operand *map, const int64_t *axes, int count) {
    for (int i = 0; i < count; i++)
        if (!extend(group, map->size[axes[i]], map->stride[axes[i]]))
            return false;
    return true;
}

static bool read_matrix(struct matrix *m, const struct op *dot, enum attr_name batch, enum attr_name summed) {
    int batch_count, summed_count;
    const int64_t *batches = op_ints(dot, batch, &batch_count), *sums = op_ints(dot, summed, &summed_count);
    m->batch = m->free = m->summed = (struct axis){1, 0};
    if (!extend_by_list(&m->batch, &m->map, batches, batch_count) ||
        !extend_by_list(&m->summed, &m->map, sums, summed_count))
        return false;
    for (int i = 0; i < m->map.rank; i++)
        if (!is_listed(i, batches, batch_count) && !is_listed(i, sums, summed_count) &&
            !extend(&m->free, m->map.size[i], m->map.stride[i]))
            return false;
    return true;
}

/* A matrix in memory: `rows` is the axis that steps from row to row, `columns` the contiguous one. */
static bool lies_as(struct axis rows, struct axis columns, int *row) {
    bool contiguous = columns.size == 1 || columns.stride == 1;
    int64_t step = rows.size == 1 ? columns.size : rows.stride;
    *row = (int)step;
    return contiguous && step >= columns.size && step <= INT_MAX && rows.size <= INT_MAX;
}

static bool fill_gemm(struct gemm *g, const struct matrix *a, const struct matrix *b) {
    g->m = (int)a->free.size;
    g->n = (int)b->free.size;
    g->k = (int)a->summed.size;
    g->c_row = g->n;
    g->a_turned = !lies_as(a->free, a->summed, &g->a_row);
    g->b_turned = !lies_as(b->summed, b->free, &g->b_row);
    return (!g->a_turned || lies_as(a->summed, a->free, &g->a_row)) &&
           (!g->b_turned || lies_as(b->free, b->summed, &g->b_row));
}

static void write_calls(struct contraction *c, const struct matrix *a, const struct matrix *b,
                        const struct gemm *shape) {
    struct writer w;
    writer_begin(&w, c->l, c->out, c->kernel);
    const struct loop_expr *batch = writer_count(&w, "batch", a->batch.size);
    const struct loop_expr *begin[] = {plus_n(&w, times(&w, batch, a->batch.stride), a->map.base),
                                       plus_n(&w, times(&w, batch, b->batch.stride), b->map.base),
                                       times(&w, batch, (int64_t)shape->m * shape->n)};
    struct gemm *g = writer_gemm(&w, begin);
    *g = *shape;
    g->a = operand_buffer(&w, &a->map, "a");
    g->b = operand_buffer(&w, &b->map, "b");
    g->c = finish_raw(&w, &c->finish);
    g->c->is_written = true;
    writer_end(&w);
    writer_finish(&w, 1);
}

static void write_rest(struct contraction *c) {
    enum { ELEMENTS_PER_TASK = 16384 };
    struct writer w;
    int64_t elements = type_elements(c->core->out[0]->type), tasks = ceil_div(elements, ELEMENTS_PER_TASK);
    writer_begin(&w, c->l, c->out, c->kernel);
    const struct loop_expr *first = times(&w, writer_task(&w, tasks), ELEMENTS_PER_TASK);
    const struct loop_expr *end = least(&w, plus_n(&w, first, ELEMENTS_PER_TASK), index_of(&w, elements));
    finish_run(&w, &c->finish, (struct run){index_of(&w, 0), first, elements},
               plus(&w, end, times(&w, first, -1)));
    writer_finish(&w, tasks);
}

bool contract_blas(struct contraction *c, bool *is_done) {
    struct matrix a = {0}, b = {0};
    struct gemm shape = {0};
    *is_done = false;
    if (c->core->out[0]->type->dtype != DTYPE_f32)
        return true;
    int phases = c->out->phases.count;
    if (!operand_map(c->l, c->out, c->kernel, c->core->in[0], &a.map) ||
        !operand_map(c->l, c->out, c->kernel, c->core->in[1], &b.map))
        return false;
    bool is_f32 = a.map.dtype == DTYPE_f32 && b.map.dtype == DTYPE_f32 && a.map.as == DTYPE_f32 &&
                  b.map.as == DTYPE_f32;
    *is_done = is_f32 && read_matrix(&a, c->core, ATTR_lhs_batch, ATTR_lhs_contract) &&
               read_matrix(&b, c->core, ATTR_rhs_batch, ATTR_rhs_contract) && fill_gemm(&shape, &a, &b);
    if (!*is_done) {
        c->out->phases.count = phases; /* those that would have made operands: our engine asks again */
        return true;
    }
    if (c->finish.kind == FINISH_TILE)
        c->finish.kind = FINISH_LOOP; /* the library's tiles have no place for it */
    write_calls(c, &a, &b, &shape);
    if (c->finish.kind != FINISH_NOTHING)
        write_rest(c);
    return true;
}
