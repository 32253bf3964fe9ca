/* driver/steps.c: the steps of a stage's phases.
 *
 * Note [The same bits after a resume]: everything that a step depends on is in the checkpoint or a pure
 * function of the seed and the position: weights, optimiser state and run.step are restored, the order of an
 * epoch's items and the draws for its pictures are functions of (seed of the phase, epoch, item), and the
 * model's draws are keyed by (seed of the phase, step). The items behind an epoch's last full step are left
 * out of that epoch.
 *
 * Note [A phase counts from zero]: run.step and run.epoch begin anew in each phase, because schedules are
 * written in them; its draws differ from those of the phase before by its seed. The first phase's seed is the
 * run's. */
#include "driver/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reports ---- */

static bool is_summed(const struct plan_argument *a) {
    return a->role == WEFT_REPORT && a->type->rank == 0;
}

/* Note [Reports under a when]: one that does not run leaves its memory as it was, so that is marked before
 * the call: all ones, which is a NaN that no operator gives, or in integers bytes of 0x80. */
static int mark_of(const struct plan_argument *a) {
    return dtype_is_float(a->type->dtype) ? 0xff : 0x80;
}

static void mark_reports(struct training *t) {
    const struct fed_call *call = &training_phase(t)->call;
    const struct function_plan *plan = fed_call_plan(call);
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (is_summed(a) && a->report->block->owner)
            memset(call->values[i], mark_of(a), (size_t)type_bytes(a->type));
    }
}

static bool was_reported(const struct plan_argument *a, const void *value) {
    const unsigned char *bytes = value;
    for (int64_t i = 0; i < type_bytes(a->type); i++)
        if (bytes[i] != mark_of(a))
            return true;
    return !a->report->block->owner;
}

/* The reports' means since the last line: "elbo -120.3  kl 24.1". */
static const char *reports_text(const struct training *t, char *out, size_t size) {
    const struct function_plan *plan = fed_call_plan(&training_phase(t)->call);
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < plan->arguments.count && n < size; i++)
        if (is_summed(&plan->arguments.at[i]) && t->sum_counts[i] > 0)
            n += (size_t)snprintf(out + n, size - n, "%s %.5g  ", plan->arguments.at[i].name,
                                  t->sums[i] / (double)t->sum_counts[i]);
    return out;
}

static bool log_reports(struct training *t) {
    const struct function_plan *plan = fed_call_plan(&training_phase(t)->call);
    const char **names = ARENA_ARRAY(t->session->arena, const char *, plan->arguments.count);
    double *values = ARENA_ARRAY(t->session->arena, double, plan->arguments.count);
    int count = 0;
    for (int i = 0; i < plan->arguments.count; i++) {
        if (!is_summed(&plan->arguments.at[i]) || t->sum_counts[i] == 0)
            continue;
        names[count] = plan->arguments.at[i].name;
        values[count++] = t->sums[i] / (double)t->sum_counts[i];
    }
    memset(t->sums, 0, sizeof(double) * (size_t)plan->arguments.count);
    memset(t->sum_counts, 0, sizeof(int64_t) * (size_t)plan->arguments.count);
    t->summed = 0;
    return count == 0 || log_values(t, "train", names, values, count);
}

/* The first report that is NaN; NULL: none is. */
static const char *nan_report(const struct training *t) {
    const struct fed_call *call = &training_phase(t)->call;
    const struct function_plan *plan = fed_call_plan(call);
    for (int i = 0; i < plan->arguments.count; i++)
        if (is_summed(&plan->arguments.at[i]) && was_reported(&plan->arguments.at[i], call->values[i]) &&
            isnan(value_element(plan->arguments.at[i].type, call->values[i], 0)))
            return plan->arguments.at[i].name;
    return NULL;
}

static void add_reports(struct training *t) {
    const struct fed_call *call = &training_phase(t)->call;
    const struct function_plan *plan = fed_call_plan(call);
    for (int i = 0; i < plan->arguments.count; i++)
        if (is_summed(&plan->arguments.at[i]) && was_reported(&plan->arguments.at[i], call->values[i])) {
            t->sums[i] += value_element(plan->arguments.at[i].type, call->values[i], 0);
            t->sum_counts[i]++;
        }
    t->summed++;
}

/* ---- on_nan: skip ---- */

enum { SKIPPED_MOST = 100 };

static bool make_copies(struct training *t) {
    if (!t->recipe->skip_nan || t->saved_weights)
        return true;
    t->saved_weights = malloc(t->memory.weights_bytes + 1);
    t->saved_state = malloc(t->memory.state_bytes + 1);
    return (t->saved_weights && t->saved_state) ||
           session_fail(t->session, E_DATA, "no memory to keep the weights before a step (`on_nan: skip`)");
}

static void save_memory(struct training *t) {
    if (!t->recipe->skip_nan)
        return;
    memcpy(t->saved_weights, t->memory.weights, t->memory.weights_bytes);
    memcpy(t->saved_state, t->memory.state, t->memory.state_bytes);
}

/* A NaN in a gradient reaches the weights without reaching a report. */
static bool has_nan_weight(const struct training *t) {
    const struct graph *graph = training_graph(t);
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        if (state->kind != STATE_WEIGHT || state->type->dtype != DTYPE_f32)
            continue;
        const float *values = memory_of_state(&t->memory, training_plan(t), state);
        int64_t count = type_elements(state->type);
        float sum = 0; /* NaN and infinities stay in it; an overflow of finite weights would be as bad */
        for (int64_t k = 0; k < count; k++)
            sum += values[k] * 0.0f;
        if (sum != 0)
            return true;
    }
    return false;
}

static void set_counter(struct training *t, const char *name, int64_t count) {
    const struct state *state = graph_find_state(training_graph(t), name);
    int32_t value = (int32_t)count;
    if (state)
        memcpy(memory_of_state(&t->memory, training_plan(t), state), &value, sizeof value);
}

/* Undoes the step; only its number is spent. */
static bool skip_step(struct training *t) {
    memcpy(t->memory.weights, t->saved_weights, t->memory.weights_bytes);
    memcpy(t->memory.state, t->saved_state, t->memory.state_bytes);
    set_counter(t, "run.step", t->position.phase_step + 1);
    t->skipped++;
    if (++t->skipped_in_a_row >= SKIPPED_MOST)
        return session_fail(t->session, E_NAN, "%d steps in a row gave a NaN, the last at step %lld",
                            SKIPPED_MOST, (long long)t->position.step + 1);
    progress_say(&t->progress, "step %lld gave a NaN and was skipped (%lld so far)",
                 (long long)t->position.step + 1, (long long)t->skipped);
    return true;
}

/* ---- steps ---- */

static struct weft_draws draws_of(const struct training *t) {
    return (struct weft_draws){training_phase(t)->seed, (uint32_t)t->position.epoch};
}

bool steps_fill_batch(struct training *t) {
    struct phase *p = training_phase(t);
    const struct weft_draws draws = draws_of(t);
    const int64_t *items = t->order + t->position.batch * p->call.batch;
    bool has_next = t->position.batch + 1 < p->epoch_steps * p->recipe->accumulate;
    return fed_call_fill(t->session, &p->call, items, has_next ? items + p->call.batch : NULL, &draws);
}

static bool run_batch(struct training *t) {
    struct phase *p = training_phase(t);
    mark_reports(t);
    return steps_fill_batch(t) && fed_call_run(t->session, &p->call, &t->memory, p->seed);
}

bool steps_take_batch(struct training *t) {
    if (!run_batch(t))
        return false;
    t->position.batch++;
    return true;
}

/* One optimiser step: `accumulate` batches. */
static bool take_step(struct training *t) {
    const struct recipe_phase *r = training_phase(t)->recipe;
    bool is_bad = false;
    save_memory(t);
    for (int64_t k = 0; k < r->accumulate; k++) {
        if (!run_batch(t))
            return false;
        const char *report = nan_report(t);
        if (report && !t->recipe->skip_nan) {
            nan_trace(t, report);
            return false;
        }
        is_bad |= report != NULL;
        if (!is_bad)
            add_reports(t);
        t->position.batch++;
    }
    if (t->recipe->skip_nan && (is_bad || has_nan_weight(t))) {
        if (!skip_step(t))
            return false;
    } else {
        t->skipped_in_a_row = 0;
    }
    t->position.step++;
    t->position.phase_step++;
    return true;
}

void steps_begin_epoch(struct training *t) {
    const struct phase *p = training_phase(t);
    int64_t count = p->call.feed->count;
    if (p->recipe->source.data->shuffle == 0)
        for (int64_t i = 0; i < count; i++)
            t->order[i] = i;
    else
        weft_shuffle(p->seed, (uint32_t)t->position.epoch, count, t->order);
    set_counter(t, "run.epoch", t->position.epoch);
}

/* "epoch 3/20", "phase 2/3, epoch 3/20" */
static const char *epoch_text(const struct training *t) {
    const struct phase *p = training_phase(t);
    struct arena *arena = t->session->arena;
    const char *epoch = arena_printf(arena, "epoch %lld/%lld", (long long)t->position.epoch + 1,
                                     (long long)((p->steps + p->epoch_steps - 1) / p->epoch_steps));
    int phases = t->recipe->phases.count;
    return phases == 1
               ? epoch
               : arena_printf(arena, "phase %lld/%d, %s", (long long)t->position.phase + 1, phases, epoch);
}

/* The steps of the epoch under way, from where the position stands. *over: the phase has reached its end, or
 * is to stop. */
static bool run_epoch(struct training *t, const volatile sig_atomic_t *stop_wanted, bool *over) {
    struct phase *p = training_phase(t);
    int64_t first = t->position.phase_step - t->position.batch / p->recipe->accumulate;
    steps_begin_epoch(t);
    progress_begin(&t->progress, t->style, epoch_text(t), t->position.phase_step - first, p->epoch_steps);
    while (t->position.phase_step - first < p->epoch_steps && !*over) {
        char text[256];
        if (!take_step(t))
            return false;
        bool ended = t->position.phase_step - first == p->epoch_steps,
             last = t->position.phase_step >= p->steps;
        progress_update(&t->progress, t->position.phase_step - first, reports_text(t, text, sizeof text));
        if (ended) {
            progress_end(&t->progress, text);
            t->position.epoch++;
            t->position.batch = 0;
        }
        const struct turn *log = &t->recipe->log;
        bool due = log->in_epochs ? ended && t->position.epoch % log->count == 0
                                  : t->position.step % log->count == 0;
        if ((due || last) && t->summed > 0 && !log_reports(t))
            return false;
        *over = last || *stop_wanted;
        if (!turns_take(t, ended, last, *stop_wanted))
            return false;
        *over |= t->position.is_over;
        if (*over && t->summed > 0 && !log_reports(t))
            return false;
    }
    return true;
}

static bool is_ended(const struct training *t) {
    return t->position.is_over || t->position.phase_step >= training_phase(t)->steps;
}

/* The memory that a phase needs beside the stage's. */
static bool begin_phase(struct training *t) {
    struct phase *p = training_phase(t);
    free(t->order);
    t->order = malloc(sizeof *t->order * (size_t)p->call.feed->count);
    t->sums = ARENA_ARRAY(t->session->arena, double, fed_call_plan(&p->call)->arguments.count + 1);
    t->sum_counts = ARENA_ARRAY(t->session->arena, int64_t, fed_call_plan(&p->call)->arguments.count + 1);
    t->summed = 0;
    if (!t->order)
        return session_fail(t->session, E_DATA, "no memory for the order of %lld items",
                            (long long)p->call.feed->count);
    return make_copies(t) && fed_call_read_ahead(t->session, &p->call);
}

/* Moves to the phase behind the present one. */
static void next_phase(struct training *t) {
    t->position.phase++;
    t->position.phase_step = t->position.epoch = t->position.batch = 0;
    t->position.is_over = false;
    for (int i = 0; i < t->position.watch_count; i++)
        t->position.watches[i] = (struct watch){-HUGE_VAL, 0};
}

bool steps_run(struct training *t, const volatile sig_atomic_t *stop_wanted) {
    bool ok = true;
    while (ok && t->position.phase < t->first_phase + t->phase_count && !*stop_wanted) {
        if (is_ended(t)) {
            next_phase(t);
            if (t->position.phase < t->first_phase + t->phase_count)
                set_counter(t, "run.step", 0);
            continue;
        }
        ok = begin_phase(t);
        for (bool over = false; ok && !over;)
            ok = run_epoch(t, stop_wanted, &over);
        fed_call_stop_ahead(&training_phase(t)->call); /* the next phase may use the same set */
    }
    return ok;
}
