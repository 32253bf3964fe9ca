/* ir/ops_control.c: operators with regions, calls and effects. A region is closed: its parameters stand for
 * operands of its op, its yield gives the results. */
#include "ir/evaluate.h"
#include "ir/infer.h"

#include <string.h>

/* ---- inference ---- */

/* Wants `count` regions, each complete, whose parameters have the types of the operands from `first` on
 * (behind `own` parameters that have none). false: reported. */
static bool check_region(struct graph *graph, struct op *op, struct diags *diags, int index, int own,
                         int first) {
    const struct block *region = op->regions[index];
    if (!block_yield(region)) {
        infer_error(graph, op, diags, E_IR, "region %d does not end in a yield", index);
        return false;
    }
    if (region->param_count != own + op->in_count - first) {
        infer_error(graph, op, diags, E_IR, "region %d has %d parameters, but %d are wanted", index,
                    region->param_count, own + op->in_count - first);
        return false;
    }
    for (int i = own; i < region->param_count; i++)
        if (region->params[i]->type != op->in[first + i - own]->type) {
            infer_error(graph, op, diags, E_TYPE, "parameter %d of region %d is %s, but its operand is %s", i,
                        index, type_name(graph, region->params[i]),
                        type_name(graph, op->in[first + i - own]));
            return false;
        }
    return true;
}

static bool check_region_count(struct graph *graph, struct op *op, struct diags *diags, int least, int most) {
    if (op->region_count >= least && op->region_count <= most)
        return true;
    infer_error(graph, op, diags, E_IR, "has %d regions, but wants %d", op->region_count, least);
    return false;
}

static bool check_result_count(struct graph *graph, struct op *op, struct diags *diags, int count) {
    if (op->out_count == count)
        return true;
    infer_error(graph, op, diags, E_IR, "has %d results, but gives %d", op->out_count, count);
    return false;
}

static bool results_from_yield(struct graph *graph, struct op *op, struct diags *diags,
                               const struct op *yield) {
    if (!check_result_count(graph, op, diags, yield->in_count))
        return false;
    for (int i = 0; i < op->out_count; i++)
        op->out[i]->type = yield->in[i]->type;
    return true;
}

bool infer_call(struct graph *graph, struct op *op, struct diags *diags) {
    const struct function *callee = op_attr(op, ATTR_function)->function;
    const struct block *body = callee->body;
    if (!block_yield(body) || op->in_count != body->param_count) {
        infer_error(graph, op, diags, E_ARGUMENT, "`%s` takes %d operands, not %d", callee->name,
                    body->param_count, op->in_count);
        return false;
    }
    for (int i = 0; i < op->in_count; i++)
        if (op->in[i]->type != body->params[i]->type) {
            infer_error(graph, op, diags, E_TYPE, "operand %d of `%s` must be %s, but is %s", i, callee->name,
                        type_name(graph, body->params[i]), type_name(graph, op->in[i]));
            return false;
        }
    return results_from_yield(graph, op, diags, block_yield(body));
}

bool infer_cond(struct graph *graph, struct op *op, struct diags *diags) {
    if (op->in_count < 1 || op->in[0]->type != type_scalar(graph->types, DTYPE_bool)) {
        infer_error(graph, op, diags, E_TYPE, "the condition must be bool[], but is %s",
                    op->in_count ? type_name(graph, op->in[0]) : "missing");
        return false;
    }
    if (!check_region_count(graph, op, diags, 2, 2) || !check_region(graph, op, diags, 0, 0, 1) ||
        !check_region(graph, op, diags, 1, 0, 1))
        return false;
    const struct op *yes = block_yield(op->regions[0]), *no = block_yield(op->regions[1]);
    if (yes->in_count != no->in_count) {
        infer_error(graph, op, diags, E_TYPE, "one side yields %d values, the other %d", yes->in_count,
                    no->in_count);
        return false;
    }
    for (int i = 0; i < yes->in_count; i++)
        if (yes->in[i]->type != no->in[i]->type) {
            infer_error(graph, op, diags, E_TYPE, "one side yields %s, the other %s",
                        type_name(graph, yes->in[i]), type_name(graph, no->in[i]));
            return false;
        }
    return results_from_yield(graph, op, diags, yes);
}

/* The constant that a scalar integer value is; false where it is none (or a parameter that captures one). */
static bool int_constant(const struct value *value, int64_t *out) {
    if (!value->def || value->def->code != OP_const)
        return false;
    int32_t bits;
    memcpy(&bits, op_attr(value->def, ATTR_data)->data->bytes, sizeof(bits));
    *out = bits;
    return true;
}

/* The type of a stacked yield: [turns, ...]. Constant bounds decide the turns, else the result's declaration
 * does. */
static const struct type *stacked_type(struct graph *graph, struct op *op, struct diags *diags, int index,
                                       const struct type *element) {
    const struct type *declared = op->out[index]->type;
    const struct dim **dims = ARENA_ARRAY(graph->arena, const struct dim *, element->rank + 1);
    int64_t lo, hi;
    if (int_constant(op->in[0], &lo) && int_constant(op->in[1], &hi)) {
        dims[0] = dim_const(graph->types, hi > lo ? hi - lo : 0);
    } else if (declared && declared->rank > 0) {
        dims[0] = declared->dims[0];
    } else {
        infer_error(graph, op, diags, E_LOOP, "yields values, so its number of turns must be known");
        return NULL;
    }
    for (int i = 0; i < element->rank; i++)
        dims[i + 1] = element->dims[i];
    return type_with_dims(graph->types, element, element->rank + 1, dims);
}

static bool check_loop_operands(struct graph *graph, struct op *op, struct diags *diags, int64_t carried) {
    const struct type *index = type_scalar(graph->types, DTYPE_i32);
    if (carried < 0 || op->in_count - 2 < carried) {
        infer_error(graph, op, diags, E_IR, "carries %lld values, but has %d operands", (long long)carried,
                    op->in_count);
        return false;
    }
    for (int i = 0; i < 2; i++)
        if (op->in[i]->type != index) {
            infer_error(graph, op, diags, E_TYPE, "bounds must be i32[], but one is %s",
                        type_name(graph, op->in[i]));
            return false;
        }
    if (!check_region_count(graph, op, diags, 1, 2))
        return false;
    for (int r = 0; r < op->region_count; r++) {
        if (!check_region(graph, op, diags, r, 1, 2))
            return false;
        if (op->regions[r]->params[0]->type != index) {
            infer_error(graph, op, diags, E_TYPE, "the turn's index must be i32[]");
            return false;
        }
    }
    return true;
}

bool infer_loop(struct graph *graph, struct op *op, struct diags *diags) {
    int64_t carried = op_int(op, ATTR_carried);
    if (!check_loop_operands(graph, op, diags, carried))
        return false;
    const struct op *yield = block_yield(op->regions[0]);
    if (yield->in_count < carried) {
        infer_error(graph, op, diags, E_IR, "yields %d values, but carries %lld", yield->in_count,
                    (long long)carried);
        return false;
    }
    if (!check_result_count(graph, op, diags, yield->in_count))
        return false;
    if (op->region_count == 2) {
        const struct op *test = block_yield(op->regions[1]);
        if (test->in_count != 1 || test->in[0]->type != type_scalar(graph->types, DTYPE_bool)) {
            infer_error(graph, op, diags, E_TYPE, "the test before each turn must yield one bool[]");
            return false;
        }
        if (yield->in_count > carried) {
            infer_error(graph, op, diags, E_LOOP, "a loop with a test cannot stack what it yields");
            return false;
        }
    }
    for (int i = 0; i < carried; i++) {
        const struct value *before = op->in[2 + i], *after = yield->in[i];
        if (before->type != after->type) {
            infer_error(graph, op, diags, E_LOOP, "a carried value is %s before the turn and %s after it",
                        type_name(graph, before), type_name(graph, after));
            return false;
        }
        op->out[i]->type = after->type;
    }
    for (int i = (int)carried; i < yield->in_count; i++) {
        const struct type *type = stacked_type(graph, op, diags, i, yield->in[i]->type);
        if (!type)
            return false;
        op->out[i]->type = type;
    }
    return true;
}

bool infer_remat(struct graph *graph, struct op *op, struct diags *diags) {
    return check_region_count(graph, op, diags, 1, 1) && check_region(graph, op, diags, 0, 0, 0) &&
           results_from_yield(graph, op, diags, block_yield(op->regions[0]));
}

bool infer_grad(struct graph *graph, struct op *op, struct diags *diags) {
    if (op->in_count < 1 || op->in[0]->type->rank != 0 || !dtype_is_float(op->in[0]->type->dtype)) {
        infer_error(graph, op, diags, E_GRAD, "wants the gradient of a float scalar, but got %s",
                    op->in_count ? type_name(graph, op->in[0]) : "nothing");
        return false;
    }
    if (!check_result_count(graph, op, diags, op->in_count - 1))
        return false;
    for (int i = 1; i < op->in_count; i++) {
        if (!dtype_is_float(op->in[i]->type->dtype)) {
            infer_error(graph, op, diags, E_GRAD, "has no gradient by %s", type_name(graph, op->in[i]));
            return false;
        }
        op->out[i - 1]->type = op->in[i]->type;
    }
    return true;
}

bool infer_effect(struct graph *graph, struct op *op, struct diags *diags) {
    (void)graph, (void)op, (void)diags;
    return true;
}

bool infer_check(struct graph *graph, struct op *op, struct diags *diags) {
    if (op->in[0]->type == type_scalar(graph->types, DTYPE_bool))
        return true;
    infer_error(graph, op, diags, E_TYPE, "wants bool[], but got %s", type_name(graph, op->in[0]));
    return false;
}

/* ---- values ---- */

bool eval_check(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)out;
    return in[0]->i[0] || eval_error(e, op, E_ASSERT, "%s", op_string(op, ATTR_message));
}

bool eval_call(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    return eval_call_function(e, op, op_attr(op, ATTR_function)->function, in, out);
}

bool eval_cond(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    return eval_block(e, op->regions[in[0]->i[0] ? 0 : 1], in + 1, out);
}

bool eval_remat(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    return eval_block(e, op->regions[0], in, out);
}

/* A loop under way: its region's arguments (the index, the carried values, the captures) and what a turn
 * yields. */
struct turns {
    struct tensor **args, **yields;
    int carried, yield_count;
    int64_t lo, hi, count, done;
};

static bool test_holds(struct eval *e, const struct op *op, struct turns *t, bool *holds) {
    struct tensor *result;
    if (op->region_count < 2) {
        *holds = true;
        return true;
    }
    if (!eval_block(e, op->regions[1], t->args, &result))
        return false;
    *holds = result->i[0];
    tensor_release(e, result);
    return true;
}

/* The carried values go into the next turn, the others onto their stacks. */
static void pass_yields(struct eval *e, struct turns *t, struct tensor **out) {
    for (int k = 0; k < t->carried; k++) {
        if (t->done > 0) /* before, it is the operand, which is not ours */
            tensor_release(e, t->args[k + 1]);
        t->args[k + 1] = t->yields[k];
    }
    for (int k = t->carried; k < t->yield_count; k++) {
        int64_t n = type_elements(t->yields[k]->type);
        memcpy(out[k]->i + t->done * n, t->yields[k]->i, sizeof(int64_t) * (size_t)n);
        tensor_release(e, t->yields[k]);
    }
}

bool eval_loop(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    struct turns t = {.carried = (int)op_int(op, ATTR_carried),
                      .yield_count = op->out_count,
                      .lo = in[0]->i[0],
                      .hi = in[1]->i[0]};
    t.count = t.hi > t.lo ? t.hi - t.lo : 0;
    t.args = EVAL_ARRAY(e, struct tensor *, op->in_count - 1);
    t.yields = EVAL_ARRAY(e, struct tensor *, t.yield_count);
    t.args[0] = tensor_take(e, in[0]->type);
    memcpy(t.args + 1, in + 2, sizeof *in * (size_t)(op->in_count - 2));
    for (int k = t.carried; k < op->out_count; k++) {
        out[k] = tensor_take(e, op->out[k]->type);
        if (type_size(out[k]->type, 0) != t.count)
            return eval_error(e, op, E_LOOP, "the loop makes %lld turns, and its yields have room for %lld",
                              (long long)t.count, (long long)type_size(out[k]->type, 0));
    }
    for (; t.done < t.count; t.done++) {
        bool holds;
        t.args[0]->i[0] = op_int(op, ATTR_reverse) ? t.hi - 1 - t.done : t.lo + t.done;
        if (!test_holds(e, op, &t, &holds))
            return false;
        if (!holds)
            break;
        if (!eval_block(e, op->regions[0], t.args, t.yields))
            return false;
        pass_yields(e, &t, out);
    }
    for (int k = 0; k < t.carried; k++)
        out[k] = t.done > 0 ? t.args[k + 1] : tensor_copy(e, t.args[k + 1]);
    tensor_release(e, t.args[0]);
    return true;
}
