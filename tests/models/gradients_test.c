/* The gradient of every model's loss, as the compiler derives it, against differences of the loss along
 * random directions in f64. */
#include "support_models.h"

#include "ir/build.h"
#include "passes/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIRECTIONS = 3 };
/* Of the weights' own size, tried in turn: a corner (relu, clamp, max_pool) within a stride spoils it, and a
 * shorter one may pass by. */
static const double strides[] = {1e-6, 1e-7, 1e-8};
static const double tolerance = 1e-5; /* of the greatest part of the slope */

/* A train function that yields (loss, gradients...) and does nothing else; and the same with inputs in place
 * of what stop_gradient gives, for differences: held at its values, the loss has the slope that the gradient
 * tells. */
struct loss {
    struct model_run *run;
    struct graph *graph;
    struct function *function, *held;
    VEC(struct tensor *) inputs;       /* those of `function`, then what is held */
    int input_count;                   /* of function */
    VEC(const struct state *) weights; /* of which the gradients are, in order */
    struct eval *eval;
};

/* ---- the function ---- */

static void drop_effects(struct block *body) {
    FOR_EACH_OP (op, body)
        if (op->code == OP_write || op->code == OP_report || op->code == OP_check)
            op_erase(op);
}

/* The gradient of the first `minimize`: by weights as they are read. (Those behind it see updated weights,
 * and a difference of the whole function would go through the update.) NULL: the function minimizes in a
 * `when` alone. */
static struct op *find_gradient(struct block *body) {
    FOR_EACH_OP (op, body) {
        bool is_by_weights = op->code == OP_grad;
        for (int i = 1; is_by_weights && i < op->in_count; i++)
            is_by_weights = op->in[i]->def && op->in[i]->def->code == OP_read;
        if (is_by_weights)
            return op;
    }
    return NULL;
}

static bool yield_gradients(struct loss *l) {
    struct builder b;
    builder_init(&b, l->graph, l->function->body, l->run->session.diags);
    drop_effects(l->function->body);
    struct op *op = find_gradient(l->function->body);
    if (!op)
        return false;
    struct value **results = ARENA_ARRAY(l->graph->arena, struct value *, op->in_count);
    results[0] = op->in[0];
    for (int i = 1; i < op->in_count; i++) {
        VEC_PUSH(l->graph->arena, &l->weights, op_attr(op->in[i]->def, ATTR_state)->state);
        results[i] = op->out[i - 1];
    }
    op_erase(block_yield(l->function->body));
    builder_at_end(&b, l->function->body);
    build_yield(&b, results, op->in_count);
    l->function->result_names = ARENA_ARRAY(l->graph->arena, const char *, op->in_count);
    for (int i = 0; i < op->in_count; i++)
        l->function->result_names[i] = "";
    return true;
}

static void run_passes(struct loss *l) {
    struct pass_context context = {.arena = l->graph->arena,
                                   .scratch = arena_create(),
                                   .diags = l->run->session.diags,
                                   .functions = &l->function,
                                   .function_count = 1};
    if (!dce(l->graph, &context) || !differentiate(l->graph, &context) || !inline_calls(l->graph, &context) ||
        !dce(l->graph, &context) || !graph_verify(l->graph, l->run->session.diags, "differentiate"))
        model_fail(l->run, "a pass failed");
    arena_destroy(context.scratch);
}

static void hold_constants(struct loss *l) {
    l->held = graph_find_function(graph_copy(l->graph, l->run->session.arena), l->function->name);
    struct builder b;
    builder_init(&b, l->held->graph, l->held->body, l->run->session.diags);
    struct op *head = l->held->body->first;
    while (head->code == OP_input)
        head = head->next;
    FOR_EACH_OP (op, l->held->body)
        if (op->code == OP_stop_gradient) {
            builder_before(&b, head);
            value_replace(op->out[0], build_input(&b, "held", op->out[0]->type));
        }
}

static bool loss_create(struct loss *l, struct model_run *run, int entry) {
    *l = (struct loss){.run = run, .graph = model_graph(run, NULL)};
    l->function = graph_find_function(l->graph, run->requests[entry].function->name);
    if (!yield_gradients(l))
        return false;
    run_passes(l);
    hold_constants(l);
    return true;
}

/* ---- its values ---- */

static double random_number(uint32_t *seed) { /* in [-1, 1) */
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) * 0x1p-23 - 1;
}

/* Weights in a range where no unit sleeps, pixels in [0, 1), labels in 0..9, buffers as init leaves them. */
static void fill(struct loss *l) {
    struct arena *arena = l->run->session.arena;
    const struct function *init = graph_find_function(l->graph, "init");
    uint32_t seed = 23;
    int64_t two = 2;
    struct tensor *key = tensor_create(arena, type_of_sizes(l->run->session.types, DTYPE_u32, 1, &two));
    key->i[0] = 9;
    l->eval = eval_create(arena, l->graph, EVAL_F64, l->run->session.diags);
    if (!eval_function(l->eval, init, &key, 1, NULL, NULL))
        model_fail(l->run, "init");
    for (int i = 0; i < l->weights.count; i++) {
        struct tensor *weight = eval_state(l->eval, l->weights.at[i]);
        for (int64_t k = 0; k < type_elements(weight->type); k++)
            weight->f[k] += 0.05 * random_number(&seed);
    }
    FOR_EACH_OP (op, l->function->body) {
        if (op->code != OP_input)
            continue;
        struct tensor *input = tensor_create(arena, op->out[0]->type);
        VEC_PUSH(arena, &l->inputs, input);
        l->input_count++;
        struct range range = model_range(l->run->size, op_string(op, ATTR_name), input->type);
        for (int64_t k = 0; k < type_elements(input->type); k++) {
            double x = range.lo + (range.end - range.lo) * (0.5 + 0.5 * random_number(&seed));
            if (dtype_is_float(input->type->dtype))
                input->f[k] = x;
            else
                input->i[k] = (int64_t)floor(x);
        }
    }
}

static bool take_constant(void *context, const struct op *op, struct tensor *const *in,
                          struct tensor *const *out) {
    struct loss *l = context;
    (void)in;
    if (op->code != OP_stop_gradient || op->block != l->function->body)
        return true;
    struct tensor *held = tensor_create(l->run->session.arena, out[0]->type); /* out goes with the call */
    for (int64_t i = 0; i < type_elements(held->type); i++)
        if (dtype_is_float(held->type->dtype))
            held->f[i] = out[0]->f[i];
        else
            held->i[i] = out[0]->i[i];
    VEC_PUSH(l->run->session.arena, &l->inputs, held);
    return true;
}

static struct tensor **run(struct loss *l, const struct function *function, int input_count) {
    struct tensor **results = ARENA_ARRAY(l->run->session.arena, struct tensor *, l->weights.count + 1);
    if (!eval_function(l->eval, function, l->inputs.at, input_count, results, NULL))
        model_fail(l->run, "the evaluator refuses");
    return results;
}

/* The loss, and its gradients by the weights; and notes what is to be held. */
static struct tensor **run_loss(struct loss *l) {
    eval_set_observer(l->eval, take_constant, l);
    struct tensor **results = run(l, l->function, l->input_count);
    eval_set_observer(l->eval, NULL, NULL);
    return results;
}

/* ---- slopes ---- */

struct direction {
    struct tensor **at, **start; /* one for each weight */
    double slope, scale;         /* as the gradient says; the root of the sum of squares of its parts */
};

/* Each weight moves by random steps, so long that each counts alike in the slope. */
static struct direction choose(struct loss *l, struct tensor *const *gradients, uint32_t *seed) {
    struct arena *arena = l->run->session.arena;
    struct direction d = {.at = ARENA_ARRAY(arena, struct tensor *, l->weights.count),
                          .start = ARENA_ARRAY(arena, struct tensor *, l->weights.count)};
    for (int i = 0; i < l->weights.count; i++) {
        const struct tensor *weight = eval_state(l->eval, l->weights.at[i]), *g = gradients[i];
        int64_t n = type_elements(weight->type);
        d.start[i] = tensor_create(arena, weight->type);
        d.at[i] = tensor_create(arena, weight->type);
        double squares = 0, part = 0;
        for (int64_t k = 0; k < n; k++)
            squares += g->f[k] * g->f[k];
        double length = 1 / fmax(sqrt(squares), 1e-2);
        for (int64_t k = 0; k < n; k++) {
            d.start[i]->f[k] = weight->f[k];
            d.at[i]->f[k] = length * random_number(seed);
            part += g->f[k] * d.at[i]->f[k];
        }
        d.slope += part;
        d.scale += part * part;
    }
    d.scale = sqrt(d.scale);
    return d;
}

static double loss_at(struct loss *l, const struct direction *d, double distance) {
    for (int i = 0; i < l->weights.count; i++) {
        struct tensor *weight = eval_state(l->eval, l->weights.at[i]);
        int64_t n = type_elements(weight->type);
        for (int64_t k = 0; k < n; k++)
            weight->f[k] = d->start[i]->f[k] + distance * d->at[i]->f[k];
    }
    return run(l, l->held, l->inputs.count)[0]->f[0];
}

static void the_loss_has_the_slope_of_its_gradient(void **state) {
    struct model_run *run = model_open(*state);
    for (int entry = 0; entry < run->entry_count; entry++) {
        struct loss l;
        if (run->requests[entry].function->kind != FUNCTION_TRAIN || !loss_create(&l, run, entry))
            continue;
        fill(&l);
        struct tensor **at = run_loss(&l);
        uint32_t seed = 31;
        for (int i = 0; i < DIRECTIONS; i++) {
            struct direction d = choose(&l, at + 1, &seed);
            double slope = 0;
            bool is_near = false;
            for (size_t k = 0; k < sizeof strides / sizeof *strides && !is_near; k++) {
                slope = (loss_at(&l, &d, strides[k]) - loss_at(&l, &d, -strides[k])) / (2 * strides[k]);
                is_near = fabs(slope - d.slope) <= tolerance * d.scale;
            }
            loss_at(&l, &d, 0);
            if (!is_near)
                fail_msg("%s:%s: direction %d: the gradient says %.10g, the loss %.10g (parts of %.3g)",
                         run->size->name, l.function->name, i, d.slope, slope, d.scale);
        }
    }
    model_close(run);
}

int main(int argc, char **argv) {
    return models_main(argc, argv, "gradients", the_loss_has_the_slope_of_its_gradient, "second_order");
}
