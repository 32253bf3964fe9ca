/* Every entry of every model of models/, at a small size: compiled code against the f64 evaluator on the
 * graph that only had its gradients opened; alone, on two threads, and twice. */
#include "support_models.h"

#include "ir/build.h"
#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TRAIN_STEPS = 3 };
static const double tolerance = 1e-5; /* of max|a - b| / max|b| */

static void expect_near(struct model_run *run, const char *entry, const char *name, const struct tensor *got,
                        const struct tensor *wanted, double most) {
    struct strbuf why;
    strbuf_init(&why, run->session.arena);
    if (!compare_tensors(got, wanted, most, &why))
        fail_msg("%s:%s: %s: %s", run->size->file, entry, name, why.text);
}

/* ---- Note [Adam's first steps]: an update divides a gradient by its own size, so that a gradient which is
 * all rounding moves its weight as far as any other. Moments are compared with the evaluator's; what follows
 * from them is compared with an evaluator that starts from the compiled code's moments: turn by turn from
 * equal inputs. ---- */

struct cut {
    struct graph *graph;
    struct function *function;
};

static bool is_moment(const struct state *state) {
    size_t length = strlen(state->name);
    return strncmp(state->name, "opt.", 4) == 0 && length > 2 &&
           (strcmp(state->name + length - 2, ".m") == 0 || strcmp(state->name + length - 2, ".v") == 0);
}

/* The function with inputs of their names in place of the moments that it writes, without reports. */
static struct cut cut_at_moments(struct model_run *run, const char *name) {
    struct cut cut = {.graph = graph_copy(run->plain, run->session.arena)};
    cut.function = graph_find_function(cut.graph, name);
    struct builder b;
    builder_init(&b, cut.graph, cut.function->body, run->session.diags);
    FOR_EACH_OP (op, cut.function->body) {
        if (op->code == OP_write && is_moment(op_attr(op, ATTR_state)->state)) {
            struct value *moment = op->in[0];
            const struct state *state = op_attr(op, ATTR_state)->state;
            op_erase(op);
            builder_before(&b, cut.function->body->first);
            value_replace(moment, build_input(&b, state->name, moment->type));
        } else if (op->code == OP_report) {
            op_erase(op);
        }
    }
    struct pass_context context = {.arena = cut.graph->arena,
                                   .scratch = arena_create(),
                                   .diags = run->session.diags,
                                   .functions = &cut.function,
                                   .function_count = 1};
    if (!dce(cut.graph, &context))
        model_fail(run, "dce");
    arena_destroy(context.scratch);
    return cut;
}

static struct tensor *argument_tensor(const struct model_call *call, const char *name) {
    for (int i = 2; i < call->entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &call->entry->plan->arguments.at[i];
        if ((a->role == WEFT_INPUT || a->role == WEFT_SEED) && strcmp(a->name, name) == 0)
            return tensor_from_bytes(call->run->session.arena, a->type, call->args[i]);
    }
    return NULL;
}

/* The caller's inputs, the seed and, of a cut function, the moments that are in memory now, as the evaluator
 * takes them: in the order of the `input` ops. */
static struct tensor **take_inputs(const struct model_call *call, const struct function *function,
                                   int *count) {
    VEC(struct tensor *) inputs = {0};
    FOR_EACH_OP (op, function->body) {
        if (op->code != OP_input)
            continue;
        const struct state *moment = graph_find_state(function->graph, op_string(op, ATTR_name));
        VEC_PUSH(call->run->session.arena, &inputs,
                 moment ? state_tensor(call->run, moment) : argument_tensor(call, op_string(op, ATTR_name)));
    }
    *count = inputs.count;
    return inputs.at;
}

/* `eval` has the states as the call found them. */
static void expect_updates(struct model_call *call, struct eval *eval, struct cut *cut) {
    struct model_run *run = call->run;
    int count;
    struct tensor **inputs = take_inputs(call, cut->function, &count), *results[16];
    if (!eval_function(eval, cut->function, inputs, count, results, NULL))
        model_fail(run, "the evaluator refuses the updates");
    for (int i = 0; i < cut->graph->states.count; i++) {
        const struct state *state = cut->graph->states.at[i];
        if (!is_moment(state))
            expect_near(run, call->entry->name, state->name, state_tensor(run, state),
                        eval_state(eval, state), tolerance);
    }
}

/* ---- one call ---- */

static bool has_loop(const struct block *block) {
    FOR_EACH_OP (op, block)
        if (op->code == OP_loop)
            return true;
    return false;
}

/* A sampler's turns amplify rounding, early ones by 1 / sqrt(abar), which is 30 and more. How much is right
 * for f32 is what the evaluator itself loses where it rounds every result to f32: results of functions with a
 * loop may differ by a few times of that. */
static double sampler_tolerance(struct model_run *run, const struct function *function,
                                struct tensor *const *inputs, int count, const struct tensor *wanted) {
    if (!has_loop(function->body))
        return tolerance;
    struct tensor *rounded[16];
    if (!eval_function(model_eval(run, run->plain, EVAL_EXACT), function, inputs, count, rounded, NULL))
        model_fail(run, "the evaluator refuses in f32");
    double most = tolerance;
    while (!compare_tensors(rounded[0], wanted, most / 8, NULL))
        most *= 2;
    assert_true(most < 1e-3);
    return most;
}

/* Functions with a loop have one result. */
static void expect_evaluated(struct model_call *call, struct eval *eval, bool has_updates) {
    struct model_run *run = call->run;
    struct function *function = graph_find_function(run->plain, call->entry->name);
    struct tensor *outputs[2][16] = {0}; /* results, reports */
    int count, done[2] = {0};
    struct tensor **inputs = take_inputs(call, function, &count);
    if (!eval_function(eval, function, inputs, count, outputs[0], outputs[1]))
        model_fail(run, "the evaluator refuses");
    double most = sampler_tolerance(run, function, inputs, count, outputs[0][0]);
    for (int i = 2; i < call->entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &call->entry->plan->arguments.at[i];
        if (a->role != WEFT_RESULT && a->role != WEFT_REPORT)
            continue;
        struct tensor *got = tensor_from_bytes(run->session.arena, a->type, call->args[i]);
        int kind = a->role == WEFT_REPORT;
        assert_true(done[kind] < 16);
        expect_near(run, call->entry->name, a->name, got, outputs[kind][done[kind]++], most);
    }
    for (int i = 0; i < run->plain->states.count; i++) {
        const struct state *state = run->plain->states.at[i];
        if (!has_updates || is_moment(state))
            expect_near(run, call->entry->name, state->name, state_tensor(run, state),
                        eval_state(eval, state), tolerance);
    }
}

/* Runs the call alone, on two threads, and on two threads again, from the same states; leaves those after it.
 */
static void expect_one_outcome(struct model_call *call) {
    struct snapshot before = model_snapshot(call), first = {0};
    for (int turn = 0; turn < 3; turn++) {
        model_restore(call, &before);
        model_call_run(call, turn > 0 ? weft_pool_exec(call->run->session.pool) : NULL);
        struct snapshot after = model_snapshot(call);
        if (turn == 0)
            first = after;
        else if (!snapshot_equal(&first, &after))
            fail_msg("%s:%s: other bits %s", call->run->size->file, call->entry->name,
                     turn == 1 ? "on two threads" : "the second time");
    }
}

static void check_call(struct model_run *run, int entry, uint32_t seed, struct cut *cut) {
    struct model_call *call = model_call_create(run, entry, seed);
    struct eval *plain = model_eval(run, run->plain, EVAL_F64),
                *updates = cut ? model_eval(run, cut->graph, EVAL_F64) : NULL;
    expect_one_outcome(call);
    expect_evaluated(call, plain, cut != NULL);
    if (cut)
        expect_updates(call, updates, cut);
}

static void check_entry(struct model_run *run, int entry) {
    const struct function *function = run->program->entries[entry].function;
    if (function->kind != FUNCTION_TRAIN) {
        check_call(run, entry, 100 + (uint32_t)entry, NULL);
        return;
    }
    struct cut cut = cut_at_moments(run, function->name);
    for (uint32_t step = 0; step < TRAIN_STEPS; step++)
        check_call(run, entry, 200 + step, &cut);
}

static void check_model(const struct model_size *size) {
    struct model_run *run = model_open(size);
    model_compile(run, NULL);
    check_call(run, run->entry_count, 5, NULL); /* init */
    model_start(run);
    for (int entry = 0; entry < run->entry_count; entry++)
        check_entry(run, entry);
    model_close(run);
}

static void every_entry_is_what_the_evaluator_says(void **state) {
    check_model(*state);
}

int main(void) {
    struct CMUnitTest tests[16];
    for (int i = 0; i < model_count; i++)
        tests[i] = (struct CMUnitTest){model_sizes[i].file, every_entry_is_what_the_evaluator_says, NULL,
                                       NULL, (void *)(uintptr_t)&model_sizes[i]};
    return _cmocka_run_group_tests("models", tests, (size_t)model_count, NULL, NULL);
}
