/* Every entry of every model of models/, at a small size: compiled code against the f64 evaluator on the
 * graph that only had its gradients opened; alone, on two threads, twice, and as a linked object. */
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

enum { TRAIN_STEPS = 3 };
static const double tolerance = 1e-5; /* of max|a - b| / max|b| */

static void expect_finite(struct model_run *run, const char *entry, const char *name,
                          const struct tensor *t) {
    int64_t n = dtype_is_float(t->type->dtype) ? type_elements(t->type) : 0;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t->f[i]))
            fail_msg("%s:%s: %s[%lld] is %g", run->size->name, entry, name, (long long)i, t->f[i]);
}

/* ---- Note [Adam's first steps]: an update divides a gradient by its own size, so that a gradient which is
 * all rounding moves its weight as far as any other. What a step does with a moment is therefore compared
 * with an evaluator that goes on from the compiled code's moment: turn by turn from equal inputs. The moment
 * itself is compared with the one that the evaluator computes, from the compiled code's earlier ones. ---- */

struct cut {
    struct graph *graph;
    struct function *function;
};

static bool is_moment(const struct state *state) {
    size_t length = strlen(state->name);
    return strncmp(state->name, "opt.", 4) == 0 && length > 2 &&
           (strcmp(state->name + length - 2, ".m") == 0 || strcmp(state->name + length - 2, ".v") == 0);
}

/* `keeper` alone goes on reading `moment`, all others read `given`, which is a value of the function's body:
 * also in a region that computes the moment, where keeper is the region's yield. */
static void cut_moment(struct value *moment, struct op *keeper, struct value *given) {
    FOR_EACH_USE (use, moment)
        if (use->user != keeper)
            op_set_in(use->user, use->index, given);
    if (!moment->def || moment->def->code != OP_cond)
        return;
    struct op *cond = moment->def;
    for (int r = 0; r < cond->region_count; r++) {
        struct op *yield = block_yield(cond->regions[r]);
        struct value *inner = yield->in[moment->index];
        if (!inner->def)
            continue; /* this side leaves the moment as it was */
        cut_moment(inner, yield, given);
        region_close(cond->block->function->graph, cond, cond->regions[r]);
    }
}

/* The function with an input of its name for each moment that it writes. */
static struct cut cut_at_moments(struct model_run *run, const char *name) {
    struct cut cut = {.graph = graph_copy(run->plain, run->session.arena)};
    cut.function = graph_find_function(cut.graph, name);
    struct builder b;
    builder_init(&b, cut.graph, cut.function->body, run->session.diags);
    FOR_EACH_OP (op, cut.function->body) {
        const struct state *state = op->code == OP_write ? op_attr(op, ATTR_state)->state : NULL;
        if (!state || !is_moment(state))
            continue;
        builder_before(&b, cut.function->body->first);
        cut_moment(op->in[0], op, build_input(&b, state->name, op->in[0]->type));
    }
    if (!graph_verify(cut.graph, run->session.diags, "cut_at_moments"))
        model_fail(run, "the cut is wrong");
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
        const struct state *state = graph_find_state(function->graph, op_string(op, ATTR_name));
        VEC_PUSH(call->run->session.arena, &inputs,
                 state && is_moment(state) ? state_tensor(call->run, state)
                                           : argument_tensor(call, op_string(op, ATTR_name)));
    }
    *count = inputs.count;
    return inputs.at;
}

/* ---- one call ---- */

enum { OUTPUTS_MAX = 64 };
struct outputs {
    struct tensor *results[OUTPUTS_MAX], *reports[OUTPUTS_MAX];
};

static struct outputs evaluate(struct model_run *run, struct eval *eval, const struct function *function,
                               struct tensor *const *inputs, int count) {
    struct outputs out = {0};
    if (!eval_function(eval, function, inputs, count, out.results, out.reports))
        model_fail(run, "the evaluator refuses");
    return out;
}

/* The function by the evaluator, from the states and inputs of one call: in f64 and, once it is asked for,
 * with every result rounded to f32. */
struct oracle {
    struct model_call *call;
    const struct cut *cut;
    struct tensor **inputs;
    int input_count;
    struct eval *exact, *rounding;
    struct outputs wanted, rounded;
    bool has_rounded;
    double greatest[2]; /* of the moments m and v; 0: not looked for yet */
};

/* Takes the states as they are before the call. */
static struct oracle oracle_create(struct model_call *call, const struct cut *cut) {
    return (struct oracle){.call = call,
                           .cut = cut,
                           .exact = model_eval(call->run, cut->graph, EVAL_F64),
                           .rounding = model_eval(call->run, cut->graph, EVAL_EXACT)};
}

static void oracle_ask(struct oracle *o) {
    o->inputs = take_inputs(o->call, o->cut->function, &o->input_count);
    o->wanted = evaluate(o->call->run, o->exact, o->cut->function, o->inputs, o->input_count);
}

/* The place in `rounded` or in the rounding evaluator's states of what stands at the same place in f64. */
enum kind { RESULT, REPORT, STATE };
static struct tensor *oracle_value(struct oracle *o, bool rounded, enum kind kind, int index) {
    struct outputs *out = rounded ? &o->rounded : &o->wanted;
    if (rounded && !o->has_rounded)
        o->rounded = evaluate(o->call->run, o->rounding, o->cut->function, o->inputs, o->input_count);
    o->has_rounded = o->has_rounded || rounded;
    return kind == RESULT   ? out->results[index]
           : kind == REPORT ? out->reports[index]
                            : eval_state(rounded ? o->rounding : o->exact, o->cut->graph->states.at[index]);
}

static double greatest(const struct tensor *t) {
    int64_t n = dtype_is_float(t->type->dtype) ? type_elements(t->type) : 0;
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        if (fabs(t->f[i]) > most)
            most = fabs(t->f[i]);
    return most;
}

static char kind_of_moment(const struct state *state) {
    return is_moment(state) ? state->name[strlen(state->name) - 1] : 0;
}

static double greatest_moment(struct oracle *o, char letter) {
    const struct graph *graph = o->cut->graph;
    double *known = &o->greatest[letter == 'v'];
    if (*known > 0)
        return *known;
    double most = 0;
    for (int i = 0; i < graph->states.count; i++)
        if (kind_of_moment(graph->states.at[i]) == letter)
            most = fmax(most, greatest(oracle_value(o, false, STATE, i)));
    return *known = most;
}

/* Whether a moment differs by a few roundings of the greatest one of its kind and step. That of a bias in
 * front of a normalisation is nothing but such. */
static bool is_rounding(struct oracle *o, const struct tensor *got, enum kind kind, int index) {
    const struct graph *graph = o->cut->graph;
    const struct tensor *want = oracle_value(o, false, kind, index);
    if (kind != STATE || !is_moment(graph->states.at[index]))
        return false;
    char letter = kind_of_moment(graph->states.at[index]);
    double scale = greatest_moment(o, letter), difference = 0;
    int64_t n = type_elements(want->type);
    for (int64_t i = 0; i < n; i++)
        if (fabs(got->f[i] - want->f[i]) > difference)
            difference = fabs(got->f[i] - want->f[i]);
    return difference <= 0x1p-20 * scale;
}

/* 1e-5 is right but where a model amplifies rounding: the early turns of a sampler by 1 / sqrt(abar), which
 * is 30 and more; a small difference of large numbers. How much is right there is what the evaluator itself
 * loses where it rounds every result (but no partial sum) to f32: up to 32 times that, and 2e-3 at most. */
static void expect_wanted(struct oracle *o, const char *name, const struct tensor *got, enum kind kind,
                          int index) {
    struct model_run *run = o->call->run;
    const struct tensor *want = oracle_value(o, false, kind, index);
    if (!want)
        return; /* a report on the side of a `when` that was not taken */
    expect_finite(run, o->call->entry->name, name, want);
    double most = tolerance;
    if (compare_tensors(got, want, most, NULL) || is_rounding(o, got, kind, index))
        return;
    while (most < 2e-3 / 2 && !compare_tensors(oracle_value(o, true, kind, index), want, most / 32, NULL))
        most *= 2;
    struct strbuf why;
    strbuf_init(&why, run->session.arena);
    if (!compare_tensors(got, want, most, &why))
        fail_msg("%s:%s: %s: %s", run->size->name, o->call->entry->name, name, why.text);
}

static void expect_evaluated(struct oracle *o) {
    struct model_run *run = o->call->run;
    const struct plan_argument *arguments = o->call->entry->plan->arguments.at;
    int done[2] = {0};
    for (int i = 2; i < o->call->entry->plan->arguments.count; i++) {
        enum kind kind = arguments[i].role == WEFT_RESULT ? RESULT : REPORT;
        if (arguments[i].role != WEFT_RESULT && arguments[i].role != WEFT_REPORT)
            continue;
        assert_true(done[kind] < OUTPUTS_MAX);
        expect_wanted(o, arguments[i].name,
                      tensor_from_bytes(run->session.arena, arguments[i].type, o->call->args[i]), kind,
                      done[kind]);
        done[kind]++;
    }
    for (int i = 0; i < o->cut->graph->states.count; i++) {
        const struct state *state = o->cut->graph->states.at[i];
        expect_wanted(o, state->name, state_tensor(run, state), STATE, i);
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
            fail_msg("%s:%s: other bits %s", call->run->size->name, call->entry->name,
                     turn == 1 ? "on two threads" : "the second time");
    }
}

static void check_call(struct model_run *run, int entry, uint32_t seed, const struct cut *cut) {
    struct model_call *call = model_call_create(run, entry, seed);
    struct oracle oracle = oracle_create(call, cut);
    expect_one_outcome(call);
    oracle_ask(&oracle);
    expect_evaluated(&oracle);
}

static void check_entry(struct model_run *run, int entry) {
    const struct function *function = run->program->entries[entry].function;
    struct cut cut = cut_at_moments(run, function->name);
    bool is_train = function->kind == FUNCTION_TRAIN;
    for (uint32_t step = 0; step < (is_train ? TRAIN_STEPS : 1); step++)
        check_call(run, entry, is_train ? 200 + step : 100 + (uint32_t)entry, &cut);
}

static void check_model(const struct model_size *size) {
    struct model_run *run = model_open(size);
    model_compile(run, NULL);
    check_entry(run, run->entry_count); /* init */
    model_start(run);
    for (int entry = 0; entry < run->entry_count; entry++)
        check_entry(run, entry);
    model_check_object(run);
    model_close(run);
}

static void every_entry_is_what_the_evaluator_says(void **state) {
    check_model(*state);
}

int main(int argc, char **argv) {
    return models_main(argc, argv, "models", every_entry_is_what_the_evaluator_says, NULL);
}
