/* frontend/constant.c: `const`: tensors that are computed at elaboration, in f64, by the evaluator. The ops
 * are built in a block that belongs to no function and run at once. */
#include "frontend/elab.h"

#include "ir/eval.h"

#include <string.h>

/* ---- running what was built ---- */

struct runner {
    struct elab *e;
    struct eval *eval;
    struct map values; /* struct value to struct tensor */
};

/* What is computed at elaboration must fit into it. */
static bool has_room(struct runner *r, const struct op *op) {
    for (int i = 0; i < op->out_count; i++) {
        double elements = 1.0;
        for (int k = 0; k < op->out[i]->type->rank; k++)
            elements *= (double)dim_value(op->out[i]->type->dims[k]);
        if (elements <= MAX_CONSTANT)
            continue;
        diag_error_at(r->e->diags, op->site, E_UNSUPPORTED, "a constant of more than %d elements",
                      MAX_CONSTANT);
        return false;
    }
    return true;
}

static bool run_op(struct runner *r, struct op *op) {
    if (!has_room(r, op))
        return false;
    struct tensor **in = ARENA_ARRAY(r->e->arena, struct tensor *, op->in_count);
    struct tensor **out = ARENA_ARRAY(r->e->arena, struct tensor *, op->out_count);
    for (int i = 0; i < op->in_count; i++)
        in[i] = map_find(&r->values, op->in[i]);
    if (!eval_op(r->eval, op, in, out))
        return false;
    for (int i = 0; i < op->out_count; i++)
        map_put(&r->values, op->out[i], out[i]);
    return true;
}

static const struct data *data_of(struct elab *e, const struct tensor *tensor) {
    struct data *data = ARENA_NEW(e->arena, struct data);
    void *bytes = arena_alloc(e->arena, (size_t)type_bytes(tensor->type) + 1);
    tensor_to_bytes(tensor, bytes);
    *data = (struct data){tensor->type, bytes};
    return data;
}

/* The tensors in a datum become constants. */
static struct datum harvest(struct runner *r, struct datum d) {
    struct elab *e = r->e;
    if (d.kind == DATUM_TENSOR) {
        const struct tensor *tensor = map_find(&r->values, d.tensor);
        return tensor ? (struct datum){.kind = DATUM_CONSTANT, .constant = data_of(e, tensor)}
                      : datum_error();
    }
    if (!datum_is_sequence(d))
        return d;
    d = datum_copy(e->arena, d);
    for (int i = 0; i < d.list->count; i++)
        *datum_at(d, i) = harvest(r, d.list->at[i]);
    return d;
}

static struct datum run_block_of_constants(struct elab *e, struct block *block, struct datum d) {
    struct runner r = {e, eval_create(e->arena, e->graph, EVAL_EXACT, e->diags), {0}};
    map_init(&r.values, e->arena);
    FOR_EACH_OP (op, block)
        if (!run_op(&r, op))
            return datum_error();
    return harvest(&r, d);
}

/* `const x: f32[...] = ...` is cast to its type at the end. */
static struct datum cast_to_type(struct elab *e, struct datum d, const struct type_expr *type,
                                 struct span span) {
    struct binder binder = {.scope = e->frame->scope, .self = e->frame->self, .what = "the constant"};
    enum dtype dtype;
    bool is_tensor =
        type && type->kind == TYPE_TENSOR && dtype_find(type->name.text, strlen(type->name.text), &dtype);
    if (is_tensor && d.kind == DATUM_TENSOR)
        d = datum_tensor(build_cast(&e->b, d.tensor, dtype));
    if (type && !datum_is_error(d) && !bind_type(e, &binder, type, &d, span))
        return datum_error();
    return d;
}

struct datum evaluate_constant(struct elab *e, const struct expr *x, const struct type_expr *type) {
    if (e->in_constant)
        return evaluate(e, x);
    struct builder before = e->b;
    struct block *block = block_create(e->graph, NULL, NULL);
    builder_at_end(&e->b, block);
    e->in_constant = true;
    struct datum d = cast_to_type(e, evaluate(e, x), type, x->span);
    e->in_constant = false;
    e->b = before;
    if (datum_is_error(d))
        return d;
    return run_block_of_constants(e, block, d);
}

/* ---- constants as tensors of the graph ---- */

struct value *constant_tensor(struct elab *e, const struct data *data, int dtype) {
    enum dtype from = data->type->dtype, to = from;
    bool both_floats = dtype_is_float(from) && (dtype == DTYPE_ANY || dtype_is_float((enum dtype)dtype));
    if (both_floats)
        to = dtype == DTYPE_ANY ? default_float(e) : (enum dtype)dtype;
    if (to == from)
        return build_const(&e->b, data->type, data->bytes);
    struct tensor *tensor = tensor_from_bytes(e->arena, data->type, data->bytes);
    tensor->type = type_with_dtype(e->types, data->type, to);
    void *bytes = arena_alloc(e->arena, (size_t)type_bytes(tensor->type) + 1);
    tensor_to_bytes(tensor, bytes);
    return build_const(&e->b, tensor->type, bytes);
}
