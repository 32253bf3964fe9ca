/* driver/nan.c: where a NaN comes from. Compiled code does not look for NaNs, so when a report is one the
 * weights have taken it in already. But a run is a pure function of its seed: the last checkpoint and the
 * steps behind it give the state before the failing call again, and the evaluator can watch that call op by
 * op. */
#include "driver/train.h"
#include "ir/eval.h"

#include <math.h>
#include <string.h>

static bool has_nan(const struct tensor *tensor) {
    if (!tensor || !dtype_is_float(tensor->type->dtype))
        return false;
    int64_t count = type_elements(tensor->type);
    for (int64_t i = 0; i < count; i++)
        if (isnan(tensor->f[i]))
            return true;
    return false;
}

/* The first op that makes a NaN from operands without one. */
static bool watch(void *context, const struct op *op, struct tensor *const *in, struct tensor *const *out) {
    const struct op **found = context;
    for (int i = 0; i < op->in_count; i++)
        if (has_nan(in[i]))
            return true;
    for (int i = 0; i < op->out_count; i++)
        if (has_nan(out[i])) {
            *found = op;
            return false;
        }
    return true;
}

/* Takes the memory back to just before the failing call: to the last checkpoint, and forward from there.
 * false: it cannot be done (reported, or there is nothing left to compare with). */
static bool go_back(struct training *t, const struct position *failing) {
    const char *checkpoint = checkpoint_find(t->session, t->folder);
    struct position start = {.watches = t->position.watches, .watch_count = 0};
    if (checkpoint && !checkpoint_read_position(t->session, checkpoint, &start))
        return false;
    if (start.phase != failing->phase || (!checkpoint && failing->phase > 0))
        return false;
    t->position = start;
    if (!stage_fill_memory(t, checkpoint))
        return false;
    const struct phase *p = training_phase(t);
    while (t->position.epoch < failing->epoch || t->position.batch < failing->batch) {
        int64_t end =
            t->position.epoch < failing->epoch ? p->epoch_steps * p->recipe->accumulate : failing->batch;
        steps_begin_epoch(t);
        while (t->position.batch < end)
            if (!steps_take_batch(t))
                return false;
        if (t->position.epoch == failing->epoch)
            break;
        t->position.epoch++;
        t->position.batch = 0;
    }
    steps_begin_epoch(t);
    return steps_fill_batch(t);
}

/* The step as the passes begin with it, gradients opened: operators of the model, each with its place. */
static struct function *open_step(struct training *t, struct arena *arena) {
    const struct phase *p = training_phase(t);
    struct function *step;
    struct graph *graph =
        session_bind(t->session, instance_graph(t->instance), &p->slot->request, 1, &step, arena);
    struct pass_context context = {.functions = &step, .function_count = 1};
    return graph && session_run_passes(t->session, graph, &context, "inline") ? step : NULL;
}

static struct tensor *input_tensor(struct training *t, const struct op *op, struct arena *arena) {
    const char *name = op_string(op, ATTR_name);
    if (op_is_seed(op))
        return tensor_from_bytes(arena, op->out[0]->type, &training_phase(t)->seed);
    const struct fed_call *call = &training_phase(t)->call;
    int at = entry_argument(&call->slot->program->entries[call->slot->entry], name, true);
    return tensor_from_bytes(arena, op->out[0]->type, call->values[at]);
}

static const struct op *find_op(struct training *t, const struct function *step, struct arena *arena) {
    const struct op *found = NULL;
    struct eval *eval = eval_create(arena, step->graph, EVAL_EXACT, t->session->diags);
    for (int i = 0; i < step->graph->states.count; i++) {
        const struct state *state = step->graph->states.at[i];
        eval_set_state(
            eval, state,
            tensor_from_bytes(arena, state->type, memory_of_state(&t->memory, training_plan(t), state)));
    }
    VEC(struct tensor *) inputs = {0};
    FOR_EACH_OP (op, step->body) {
        if (op->code == OP_input)
            VEC_PUSH(arena, &inputs, input_tensor(t, op, arena));
    }
    struct tensor **results = ARENA_ARRAY(arena, struct tensor *, block_yield(step->body)->in_count + 1);
    eval_set_observer(eval, watch, &found);
    eval_function(eval, step, inputs.at, inputs.count, results, NULL);
    return found;
}

static const struct site *report_site(const struct function *f, const char *name) {
    FOR_EACH_OP (op, f->body) {
        if (op->code == OP_report && strcmp(op_string(op, ATTR_name), name) == 0)
            return op->site;
    }
    return f->site;
}

void nan_trace(struct training *t, const char *report) {
    const struct position failing = t->position;
    progress_say(&t->progress, "`%s` is NaN at step %lld: looking for the operator", report,
                 (long long)failing.step + 1);
    struct arena *arena = arena_create();
    struct function *step = go_back(t, &failing) ? open_step(t, arena) : NULL;
    const struct op *op = step ? find_op(t, step, arena) : NULL;
    /* Sites live in the session's arena, which outlives the graph's copy. */
    const struct site *site = op ? op->site : report_site(training_phase(t)->step, report);
    struct diag *d = diag_error_at(t->session->diags, site, E_NAN,
                                   op ? "%s makes the first NaN of step %lld" : "%s is NaN at step %lld",
                                   op ? opcode_text(op->code) : report, (long long)failing.step + 1);
    if (op)
        diag_note(d, "the report `%s` is NaN", report);
    diag_hint(d, "a smaller learning rate, clipped gradients, or a guard such as max(x, 1e-12) before log, "
                 "sqrt and division");
    arena_destroy(arena);
}
