#include "onnx/activations.h"

#include "ir/build.h"
#include "ir/eval.h"

#include <math.h>

double exact_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

double exact_silu(double x) {
    return x * exact_sigmoid(x);
}

double exact_gelu(double x) {
    return 0.5 * x * erfc(-x / sqrt(2.0));
}

/* From -32 to 32 in steps that are no round numbers. */
enum { TRIED = 331, MOST_OPS = 96 };
static double tried(int i) {
    return -32.0 + 64.0 / (TRIED - 1) * i;
}

/* A copy of the operators between x and y, on TRIED numbers in place of x's. */
struct trial {
    struct graph *graph;
    struct builder b;
    const struct value *x;
    struct map copies; /* const struct value * to struct value * */
    int ops;
};

static bool same_dims(struct trial *t, const struct type *a, const struct type *b) {
    return type_with_dtype(t->graph->types, a, b->dtype) == b;
}

/* NULL: it is not of that kind. */
static struct value *copy_value(struct trial *t, const struct value *v) {
    struct value *known = map_find(&t->copies, v), *in[3];
    const struct op *op = v->def;
    if (known)
        return known;
    if (!op || ++t->ops > MOST_OPS || op->in_count > 3)
        return NULL;
    if (op->code == OP_const && v->type->rank == 0) {
        known = build_const(&t->b, v->type, op_attr(op, ATTR_data)->data->bytes);
    } else if (op_infos[op->code].fuse == FUSE_MAP &&
               (v->type->rank == 0 || same_dims(t, v->type, t->x->type))) {
        for (int i = 0; i < op->in_count; i++)
            if (!(in[i] = copy_value(t, op->in[i])))
                return NULL;
        const struct type *declared = type_with_dtype(t->graph->types, in[0]->type, v->type->dtype);
        struct op *copy = build_op(&t->b, op->code, in, op->in_count, op->attrs, op->attr_count,
                                   op->code == OP_cast || op->code == OP_bitcast ? &declared : NULL, 1);
        known = copy ? copy->out[0] : NULL;
    }
    if (known)
        map_put(&t->copies, v, known);
    return known;
}

static bool agrees(const struct tensor *found, double (*exact)(double x)) {
    for (int i = 0; i < TRIED; i++) {
        double wanted = exact(tried(i));
        if (!(fabs(found->f[i] - wanted) <= 1e-6 * fmax(1, fabs(wanted))))
            return false;
    }
    return true;
}

static bool run_trial(struct trial *t, struct arena *arena, const struct value *y,
                      double (*exact)(double x)) {
    const struct type *type = type_of_sizes(t->graph->types, t->x->type->dtype, 1, &(int64_t){TRIED});
    struct function *function = graph_add_function(t->graph, "trial", FUNCTION_FN, &site_unknown);
    builder_init(&t->b, t->graph, function->body, diags_create(arena));
    map_put(&t->copies, t->x, build_input(&t->b, "x", type));
    struct value *copy = copy_value(t, y);
    if (!copy || copy->type != type)
        return false;
    build_yield(&t->b, &copy, 1);
    struct tensor *x = tensor_create(arena, type), *result;
    for (int i = 0; i < TRIED; i++)
        x->f[i] = float_round(type->dtype, tried(i));
    struct eval *eval = eval_create(arena, t->graph, EVAL_EXACT, t->b.diags);
    return eval_function(eval, function, &x, 1, &result, NULL) && agrees(result, exact);
}

bool value_is_function(const struct value *y, const struct value *x, double (*exact)(double x)) {
    const struct graph *around = x->block ? x->block->function->graph : x->def->block->function->graph;
    struct arena *arena =
        dtype_bytes(x->type->dtype) >= 4 && dtype_is_float(x->type->dtype) ? arena_create() : NULL;
    if (!arena) /* 16 bits have too few digits to tell */
        return false;
    struct trial t = {.graph = graph_create(arena, around->types, around->names, "trial"), .x = x};
    map_init(&t.copies, arena);
    bool is = run_trial(&t, arena, y, exact);
    arena_destroy(arena);
    return is;
}
