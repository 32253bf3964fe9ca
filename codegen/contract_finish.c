/* codegen/contract_finish.c: what a kernel does with the elements of its contraction: elementwise operators,
 * broadcast operands, several results. */
#include "codegen/contract.h"

#include "passes/plan.h"

#include <assert.h>
#include <string.h>

/* ---- values of the region as expressions ---- */

static const struct loop_expr *linear_index(struct writer *w, const struct type *type,
                                            const struct loop_expr *const *index) {
    const struct loop_expr *linear = index_of(w, 0);
    int64_t stride = 1;
    for (int i = type->rank - 1; i >= 0; i--) {
        linear = plus(w, linear, times(w, index[i], stride));
        stride *= type_size(type, i);
    }
    return linear;
}

static const struct loop_expr *parameter_at(struct reader *r, const struct value *v,
                                            const struct loop_expr *const *index) {
    return lexpr_load(r->w->f, writer_argument(r->w, v->index), linear_index(r->w, v->type, index));
}

static const struct loop_expr *constant_at(struct reader *r, const struct value *v,
                                           const struct loop_expr *const *index) {
    const struct data *data = op_attr(v->def, ATTR_data)->data;
    struct buffer *buffer =
        loop_add_buffer(r->w->f, SPACE_CONSTANT, v->type->dtype, type_elements(v->type), "constant");
    buffer->bytes = data->bytes;
    if (type_elements(v->type) != 1 || (v->type->dtype != DTYPE_f32 && v->type->dtype != DTYPE_f64))
        return lexpr_load(r->w->f, buffer, linear_index(r->w, v->type, index));
    r->w->f->buffers.count--; /* a number needs no memory */
    float single = 0;
    double number = 0;
    if (v->type->dtype == DTYPE_f64)
        memcpy(&number, data->bytes, sizeof(number));
    else
        memcpy(&single, data->bytes, sizeof(single));
    return lexpr_float(r->w->f, v->type->dtype, v->type->dtype == DTYPE_f64 ? number : (double)single);
}

static const struct loop_expr *map_at(struct reader *r, const struct value *v,
                                      const struct loop_expr *const *index) {
    const struct op *op = v->def;
    const struct loop_expr *args[3];
    assert(op->in_count <= 3);
    for (int i = 0; i < op->in_count; i++) {
        const struct type *type = op->in[i]->type;
        const struct loop_expr *inner[OPERAND_RANK];
        int skip = v->type->rank - type->rank;
        for (int k = 0; k < type->rank; k++)
            inner[k] = type_size(type, k) == 1 ? index_of(r->w, 0) : index[skip + k];
        args[i] = value_at(r, op->in[i], inner);
    }
    if (op->code == OP_stop_gradient)
        return args[0];
    if (v == r->shares)
        return lexpr_exp_below(r->w->f, args[0]);
    return lexpr_op(r->w->f, op->code, v->type->dtype, args, op->in_count);
}

static const struct loop_expr *transpose_at(struct reader *r, const struct value *v,
                                            const struct loop_expr *const *index) {
    const int64_t *perm = op_ints(v->def, ATTR_perm, NULL);
    const struct loop_expr *inner[OPERAND_RANK];
    for (int i = 0; i < v->type->rank; i++)
        inner[perm[i]] = index[i];
    return value_at(r, v->def->in[0], inner);
}

static const struct loop_expr *reshape_at(struct reader *r, const struct value *v,
                                          const struct loop_expr *const *index) {
    const struct loop_expr *inner[OPERAND_RANK];
    writer_unflatten(r->w, v->def->in[0]->type, linear_index(r->w, v->type, index), inner);
    return value_at(r, v->def->in[0], inner);
}

static const struct loop_expr *broadcast_at(struct reader *r, const struct value *v,
                                            const struct loop_expr *const *index) {
    const int64_t *axes = op_ints(v->def, ATTR_axes, NULL);
    const struct type *type = v->def->in[0]->type;
    const struct loop_expr *inner[OPERAND_RANK];
    for (int i = 0; i < type->rank; i++)
        inner[i] = type_size(type, i) == 1 ? index_of(r->w, 0) : index[axes[i]];
    return value_at(r, v->def->in[0], inner);
}

static const struct loop_expr *slice_at(struct reader *r, const struct value *v,
                                        const struct loop_expr *const *index) {
    const struct dim *const *start = op_dims(v->def, ATTR_start, NULL);
    const int64_t *step = op_ints(v->def, ATTR_step, NULL);
    const struct loop_expr *inner[OPERAND_RANK];
    for (int i = 0; i < v->type->rank; i++)
        inner[i] = plus_n(r->w, times(r->w, index[i], step[i]), dim_value(start[i]));
    return value_at(r, v->def->in[0], inner);
}

static const struct loop_expr *iota_at(struct reader *r, const struct value *v,
                                       const struct loop_expr *const *index) {
    return writer_cast(r->w, v->type->dtype, index[op_int(v->def, ATTR_axis)]);
}

typedef const struct loop_expr *value_rule(struct reader *r, const struct value *v,
                                           const struct loop_expr *const *index);
static value_rule *rule_of(const struct op *op) {
    switch (op->code) {
    case OP_const:
        return constant_at;
    case OP_iota:
        return iota_at;
    case OP_transpose:
        return transpose_at;
    case OP_reshape:
        return reshape_at;
    case OP_broadcast:
        return broadcast_at;
    case OP_slice:
        return slice_at;
    default:
        return op_infos[op->code].fuse == FUSE_MAP ? map_at : NULL;
    }
}

bool values_are_readable(const struct op *kernel, const struct value *core, const struct value *value) {
    if (value == core || !value->def)
        return value->type->rank <= OPERAND_RANK;
    if (value->type->rank > OPERAND_RANK || !rule_of(value->def))
        return false;
    for (int i = 0; i < value->def->in_count; i++)
        if (!values_are_readable(kernel, core, value->def->in[i]))
            return false;
    return true;
}

static struct reader_memo *find_memo(struct reader *r, const struct value *value,
                                     const struct loop_expr *const *index) {
    for (int i = 0; i < r->memo.count; i++) {
        struct reader_memo *m = &r->memo.at[i];
        if (m->value == value && !memcmp(m->index, index, sizeof(*index) * (size_t)value->type->rank))
            return m;
    }
    return NULL;
}

const struct loop_expr *value_at(struct reader *r, const struct value *value,
                                 const struct loop_expr *const *index) {
    if (value == r->core)
        return r->core_value;
    if (!value->def)
        return parameter_at(r, value, index);
    struct reader_memo *known = find_memo(r, value, index);
    if (known)
        return known->result;
    struct reader_memo memo = {.value = value};
    memcpy(memo.index, index, sizeof(*index) * (size_t)value->type->rank);
    const struct site *outer = r->w->f->place;
    r->w->f->place = value->def->site;
    memo.result = rule_of(value->def)(r, value, index);
    r->w->f->place = outer;
    VEC_PUSH(r->w->l->arena, &r->memo, memo);
    return memo.result;
}

/* ---- the plan ---- */

enum {
    /* Operators that may run on a tile's registers: adds, products, comparisons, selects. Beyond, a loop
     * behind the tile gives the same speed for a third of the code (KERNELS.md 1). */
    CHEAP_FLOPS = 4,
    CHEAP_TOTAL = 12
};

/* Flops of the operators between the contraction's result and value, or a great number. */
static int cost_of(const struct finish *finish, const struct value *value) {
    if (value == finish->core || !value->def)
        return 0;
    int cost = op_infos[value->def->code].flops;
    if (cost >= CHEAP_FLOPS)
        return 2 * CHEAP_TOTAL;
    for (int i = 0; i < value->def->in_count && cost <= CHEAP_TOTAL; i++)
        cost += cost_of(finish, value->def->in[i]);
    return cost;
}

/* The contraction's result reaches `value` element by element: no view but a reshape in between. */
static bool keeps_place(const struct value *core, const struct value *value, bool *reaches) {
    if (value == core) {
        *reaches = true;
        return true;
    }
    if (!value->def)
        return true;
    enum opcode code = value->def->code;
    for (int i = 0; i < value->def->in_count; i++) {
        bool inner = false;
        if (!keeps_place(core, value->def->in[i], &inner))
            return false;
        bool same_size = type_elements(value->def->in[i]->type) == type_elements(value->type);
        if (inner && ((op_infos[code].fuse != FUSE_MAP && code != OP_reshape) || !same_size))
            return false;
        *reaches |= inner;
    }
    return true;
}

static bool results_fit(struct lowering *l, const struct op *kernel, const struct value *core) {
    const struct op *yield = block_yield(kernel->regions[0]);
    for (int i = 0; i < yield->in_count; i++) {
        bool reaches = false;
        bool fits = type_elements(yield->in[i]->type) == type_elements(core->type) &&
                    values_are_readable(kernel, core, yield->in[i]) &&
                    keeps_place(core, yield->in[i], &reaches);
        if (fits)
            continue;
        diag_defect(l->diags, kernel->site->span,
                    "a contraction's kernel yields what is not elementwise on its result");
        return false;
    }
    return true;
}

/* The result lies where an operand of the elementwise part lies: nothing but finished elements may go there.
 */
static bool overwrites_operand(const struct lowering *l, const struct op *op, int result) {
    const bool *may = kernel_overwrites(op, l->arena);
    for (int i = 0; i < op->in_count; i++)
        if (may[i * op->out_count + result] &&
            (!l->plan || plan_place(l->plan, op->in[i]) == plan_place(l->plan, op->out[result])))
            return true;
    return false;
}

bool finish_plan(struct lowering *l, const struct op *op, const struct value *core, enum dtype dtype,
                 struct finish *out) {
    *out = (struct finish){.dtype = dtype,
                           .kernel = op,
                           .core = core,
                           .first_result = op->in_count,
                           .elements = type_elements(core->type)};
    if (!results_fit(l, op, core))
        return false;
    const struct op *yield = block_yield(op->regions[0]);
    out->kind = FINISH_TILE;
    if (yield->in_count == 1 && yield->in[0] == core && core->type->dtype == dtype)
        out->kind = FINISH_NOTHING;
    int cost = 0;
    for (int i = 0; i < yield->in_count; i++) {
        cost += cost_of(out, yield->in[i]);
        if (yield->in[i]->type->dtype == dtype && !out->raw_is_argument && !overwrites_operand(l, op, i)) {
            out->raw_is_argument = true;
            out->raw_argument = op->in_count + i;
        }
    }
    if (cost > CHEAP_TOTAL)
        out->kind = FINISH_LOOP;
    out->raw_offset = -1;
    return true;
}

void finish_choose(struct finish *finish, double depth) {
    enum { SHALLOW = 160 };
    if (finish->kind == FINISH_TILE && depth >= SHALLOW && finish->raw_is_argument)
        finish->kind = FINISH_LOOP;
}

struct buffer *finish_raw(struct writer *w, struct finish *finish) {
    if (finish->raw_is_argument)
        return writer_argument(w, finish->raw_argument);
    if (finish->raw_offset < 0)
        finish->raw_offset = kernel_shared(w->kernel, finish->elements * dtype_bytes(finish->dtype));
    return writer_memory(w, SPACE_SHARED, finish->raw_offset, finish->dtype, finish->elements, "raw");
}

/* ---- statements ---- */

void finish_element(struct writer *w, const struct finish *finish, const struct loop_expr *linear,
                    const struct loop_expr *value) {
    struct reader r = {.w = w,
                       .kernel = finish->kernel,
                       .core = finish->core,
                       .core_value = writer_cast(w, finish->core->type->dtype, value)};
    const struct op *yield = block_yield(finish->kernel->regions[0]);
    const struct loop_expr *results[OPERAND_RANK];
    assert(yield->in_count <= OPERAND_RANK);
    for (int i = 0; i < yield->in_count;
         i++) { /* all are computed before the first is stored: raw may be one of them */
        const struct loop_expr *index[OPERAND_RANK];
        writer_unflatten(w, yield->in[i]->type, linear, index);
        results[i] = value_at(&r, yield->in[i], index);
        if (yield->in_count > 1)
            results[i] = writer_let(w, "y", results[i]);
    }
    for (int i = 0; i < yield->in_count; i++)
        writer_store(w, writer_argument(w, finish->first_result + i), linear, results[i]);
}

static const struct loop_expr *run_element(struct writer *w, struct run run, const struct loop_expr *i) {
    const struct loop_expr *inner = lexpr_known(w->f, plus(w, run.inner, i), 0, run.limit - 1);
    return plus(w, run.outer, inner);
}

void finish_tile(struct writer *w, const struct finish *finish, struct tile *tile, struct run run,
                 int64_t row_stride) {
    bool transposes = tile->kind == TILE_TRANSPOSE;
    struct loop_function *f = w->f;
    tile->finished = loop_var_create(f, "finished", finish->dtype);
    tile->row = loop_var_create(f, "row", DTYPE_i64);
    tile->column = loop_var_create(f, "column", DTYPE_i64);
    tile->row->min = tile->column->min = 0;
    tile->row->max = (transposes ? tile->columns : tile->rows) - 1;
    tile->column->max = (transposes ? tile->rows : tile->columns) - 1;
    const struct loop_expr *linear = run_element(w, run, lexpr_var(f, tile->column));
    linear = plus(w, linear, times(w, lexpr_var(f, tile->row), row_stride));
    /* The statements go to the tile, not to the open list. */
    struct loop_list outer = w->level[w->depth].list;
    w->level[w->depth].list = (struct loop_list){0};
    finish_element(w, finish, linear, lexpr_var(f, tile->finished));
    tile->epilogue = w->level[w->depth].list.first;
    w->level[w->depth].list = outer;
}

void finish_run(struct writer *w, struct finish *finish, struct run run, const struct loop_expr *count) {
    const struct loop_expr *i = writer_for(w, "i", index_of(w, 0), count, LOOP_VECTOR);
    const struct loop_expr *linear = run_element(w, run, i);
    const struct loop_expr *raw = writer_let(w, "raw", lexpr_load(w->f, finish_raw(w, finish), linear));
    finish_element(w, finish, linear, raw);
    writer_end(w);
}
