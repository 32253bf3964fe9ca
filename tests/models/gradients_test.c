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
/* Of the weights' own size, tried in turn: a corner (relu, clamp, max_pool) within a stride spoils it, and a shorter
 * one may pass by. */
static const double strides[] = {1e-6, 1e-7, 1e-8};
static const double tolerance = 1e-5; /* of the greatest part of the slope */

/* A train function that yields (loss, gradients...) and does nothing else. */
struct loss {
    struct model_run *run;
    struct graph *graph;
    struct function *function;
    struct tensor **inputs;
    int input_count;
    VEC(const struct state *) weights; /* of which the gradients are, in order */
    struct eval *eval;
};

/* ---- the function ---- */

static void drop_effects(struct block *body) {
    FOR_EACH_OP (op, body)
        if (op->code == OP_write || op->code == OP_report || op->code == OP_check)
            op_erase(op);
}

static void yield_gradients(struct loss *l) {
    struct builder b;
    builder_init(&b, l->graph, l->function->body, l->run->session.diags);
    drop_effects(l->function->body);
    FOR_EACH_OP (op, l->function->body) {
        if (op->code != OP_grad)
            continue;
        struct value **results = ARENA_ARRAY(l->graph->arena, struct value *, op->in_count);
        results[0] = op->in[0];
        for (int i = 1; i < op->in_count; i++) {
            assert_int_equal(op->in[i]->def->code, OP_read);
            VEC_PUSH(l->graph->arena, &l->weights, op_attr(op->in[i]->def, ATTR_state)->state);
            results[i] = op->out[i - 1];
        }
        op_erase(block_yield(l->function->body));
        builder_at_end(&b, l->function->body);
        build_yield(&b, results, op->in_count);
        l->function->result_names = ARENA_ARRAY(l->graph->arena, const char *, op->in_count);
        for (int i = 0; i < op->in_count; i++)
            l->function->result_names[i] = "";
        return;
    }
    fail_msg("%s: no grad in `%s`", l->run->size->name, l->function->name);
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

static struct loss loss_create(struct model_run *run, int entry) {
    struct loss l = {.run = run, .graph = model_graph(run, NULL)};
    l.function = graph_find_function(l.graph, run->requests[entry].function->name);
    yield_gradients(&l);
    run_passes(&l);
    return l;
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
    l->inputs = ARENA_ARRAY(arena, struct tensor *, 16);
    FOR_EACH_OP (op, l->function->body) {
        if (op->code != OP_input)
            continue;
        struct tensor *input = l->inputs[l->input_count++] = tensor_create(arena, op->out[0]->type);
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

static struct tensor **run_loss(struct loss *l) {
    struct tensor **results = ARENA_ARRAY(l->run->session.arena, struct tensor *, l->weights.count + 1);
    if (!eval_function(l->eval, l->function, l->inputs, l->input_count, results, NULL))
        model_fail(l->run, "the evaluator refuses");
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
        for (int64_t k = 0; k < type_elements(weight->type); k++)
            weight->f[k] = d->start[i]->f[k] + distance * d->at[i]->f[k];
    }
    return run_loss(l)[0]->f[0];
}

static void the_loss_has_the_slope_of_its_gradient(void **state) {
    struct model_run *run = model_open(*state);
    for (int entry = 0; entry < run->entry_count; entry++) {
        if (run->requests[entry].function->kind != FUNCTION_TRAIN)
            continue;
        struct loss l = loss_create(run, entry);
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
    return models_main(argc, argv, "gradients", the_loss_has_the_slope_of_its_gradient, NULL, NULL);
}
