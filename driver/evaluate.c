/* driver/evaluate.c: evaluations with what follows from them (the best weights, the end of a phase), and
 * `fit`. */
#include "driver/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* A result as recipes call it: by its own name, or by the fn's where it is the only one. */
static const char *result_name(const struct function *f, int index) {
    int count = block_yield(f->body)->in_count;
    const char *name = f->result_names[index];
    return count > 1 && name && *name ? name : f->name;
}

/* "bound (test)", or "terms.kl (test)" for a named result */
static const char *value_name(struct training *t, const struct evaluation *e, int index) {
    const struct function *f = e->pass.function;
    const char *name = result_name(f, index),
               *set = e->recipe->source.data ? e->recipe->source.data->name : NULL;
    bool own = strcmp(name, f->name) != 0;
    return arena_printf(t->session->arena, "%s%s%s%s%s%s", e->recipe->fn, own ? "." : "", own ? name : "",
                        set ? " (" : "", set ? set : "", set ? ")" : "");
}

static bool has_result(const struct function *f, const char *wanted) {
    wanted += *wanted == '-';
    for (int i = 0; i < block_yield(f->body)->in_count; i++)
        if (strcmp(result_name(f, i), wanted) == 0)
            return true;
    return false;
}

bool evaluation_check_names(struct training *t, struct evaluation *e, bool *has_best) {
    const struct function *f = e->pass.function;
    *has_best = *has_best || (t->recipe->best && has_result(f, t->recipe->best));
    if (!e->recipe->watch || has_result(f, e->recipe->watch))
        return true;
    int count = block_yield(f->body)->in_count;
    const char **names = ARENA_ARRAY(t->session->arena, const char *, count + 1);
    for (int i = 0; i < count; i++)
        names[i] = result_name(f, i);
    diag_nearest(diag_error(t->session->diags, e->recipe->watch_span, E_RECIPE,
                            "`%s` has no result `%s`; it has %s", f->name,
                            e->recipe->watch + (*e->recipe->watch == '-'),
                            names_text(t->session->arena, names, count)),
                 e->recipe->watch, names, count);
    return false;
}

/* ---- totals ---- */

/* What an evaluation adds up, by result. */
struct totals {
    const struct evaluation *evaluation;
    double *sums;
    double **lists; /* reduce: list: the values of the items so far */
    int64_t *counts, *capacities;
};

static bool put_value(struct totals *totals, int result, double value) {
    if (totals->counts[result] == totals->capacities[result]) {
        int64_t capacity = 2 * totals->capacities[result] + 64;
        double *grown = realloc(totals->lists[result], sizeof *grown * (size_t)capacity);
        if (!grown)
            return false;
        totals->lists[result] = grown;
        totals->capacities[result] = capacity;
    }
    totals->lists[result][totals->counts[result]++] = value;
    return true;
}

/* One batch. mean: the mean over a result's elements counts for each item; sum: the sum of all elements;
 * list: a value for each item where the result has one, else one for the batch. */
static bool add_batch(void *context, const struct fed_call *call) {
    struct totals *totals = context;
    const struct function_plan *plan = fed_call_plan(call);
    int argument;
    const struct plan_argument *a;
    for (int k = 0; (a = plan_result(plan, k, &argument)); k++) {
        int64_t count = type_elements(a->type);
        double total = 0;
        for (int64_t j = 0; j < count; j++)
            total += value_element(a->type, call->values[argument], j);
        totals->sums[k] += totals->evaluation->recipe->reduce == REDUCE_SUM
                               ? total
                               : total / (double)count * (double)call->batch;
        if (totals->evaluation->recipe->reduce != REDUCE_LIST)
            continue;
        bool by_item = a->type->rank > 0 && type_size(a->type, 0) == call->batch && count > 0;
        int64_t values = by_item ? call->batch : 1, each = count / values;
        for (int64_t i = 0; i < values; i++) {
            double sum = 0;
            for (int64_t j = 0; j < each; j++)
                sum += value_element(a->type, call->values[argument], i * each + j);
            if (!put_value(totals, k, sum / (double)each))
                return false;
        }
    }
    return true;
}

/* ---- what follows ---- */

static bool is_better(const char *wanted, double value, double than) {
    return (*wanted == '-' ? -value : value) > than;
}

/* Keeps the weights in best.safetensors where the result that the recipe names is better than before. */
static bool keep_best(struct training *t, const char *result, double value) {
    const char *wanted = t->recipe->best;
    if (!wanted || strcmp(wanted + (*wanted == '-'), result) != 0 || !is_better(wanted, value, t->best))
        return true;
    t->best = *wanted == '-' ? -value : value;
    const struct weft_metadata metadata[] = {
        {"format", "weft weights 1"},
        {"step", arena_printf(t->session->arena, "%lld", (long long)t->position.step)},
        {"score", arena_printf(t->session->arena, "%.17g", t->best)}};
    return weights_save(t->session, training_graph(t), training_plan(t), &t->memory,
                        arena_printf(t->session->arena, "%s/best.safetensors", t->folder), false, metadata,
                        3);
}

/* Ends the phase where the watched result stands still. */
static void take_watch(struct training *t, struct evaluation *e, const char *result, double value) {
    const char *wanted = e->recipe->watch;
    if (!wanted || strcmp(wanted + (*wanted == '-'), result) != 0)
        return;
    if (is_better(wanted, value, e->watch->best)) {
        *e->watch = (struct watch){*wanted == '-' ? -value : value, 0};
        return;
    }
    if (++e->watch->stale < e->recipe->patience || t->position.is_over)
        return;
    t->position.is_over = true;
    progress_say(&t->progress, "`%s` was not better than %.6g for %lld evaluations: the phase ends", result,
                 *wanted == '-' ? -e->watch->best : e->watch->best, (long long)e->recipe->patience);
}

static bool finish(struct training *t, struct evaluation *e, struct totals *totals, int count) {
    const char **names = ARENA_ARRAY(t->session->arena, const char *, count + 1);
    struct strbuf text;
    strbuf_init(&text, t->session->arena);
    for (int k = 0; k < count; k++) {
        const char *result = result_name(e->pass.function, k);
        if (e->recipe->reduce != REDUCE_SUM)
            totals->sums[k] /= (double)e->pass.rows;
        names[k] = value_name(t, e, k);
        strbuf_printf(&text, "  %s %.6g", names[k], totals->sums[k]);
        if (e->recipe->reduce == REDUCE_LIST && !log_list(t, names[k], totals->lists[k], totals->counts[k]))
            return false;
        if (!keep_best(t, result, totals->sums[k]))
            return false;
        take_watch(t, e, result, totals->sums[k]);
    }
    progress_say(&t->progress, "step %lld:%s", (long long)t->position.step, text.text);
    return log_values(t, "evaluate", names, totals->sums, count);
}

bool evaluation_run(struct training *t, struct evaluation *e) {
    int count = plan_result_count(fed_call_plan(&e->pass.full));
    struct arena *arena = t->session->arena;
    struct totals totals = {e, ARENA_ARRAY(arena, double, count + 1), ARENA_ARRAY(arena, double *, count + 1),
                            ARENA_ARRAY(arena, int64_t, count + 1), ARENA_ARRAY(arena, int64_t, count + 1)};
    bool ok = pass_over_run(t, &e->pass, add_batch, &totals) && finish(t, e, &totals, count);
    for (int k = 0; k < count; k++)
        free(totals.lists[k]);
    return ok;
}

/* ---- fit ---- */

/* The sum of the fn's one result over the items, by element. */
struct fit_sums {
    double *sums;
};

static bool add_fit(void *context, const struct fed_call *call) {
    struct fit_sums *f = context;
    int argument;
    const struct plan_argument *a = plan_result(fed_call_plan(call), 0, &argument);
    int64_t count = type_elements(a->type);
    for (int64_t i = 0; i < count; i++)
        f->sums[i] += value_element(a->type, call->values[argument], i) * (double)call->batch;
    return true;
}

static bool unknown_buffer(struct training *t, const struct recipe_fit *fit) {
    const struct graph *graph = training_graph(t);
    const char **names = ARENA_ARRAY(t->session->arena, const char *, graph->states.count + 1);
    int count = 0;
    for (int i = 0; i < graph->states.count; i++)
        if (graph->states.at[i]->kind == STATE_BUFFER && strncmp(graph->states.at[i]->name, "opt.", 4) != 0)
            names[count++] = graph->states.at[i]->name;
    struct diag *d = diag_error(t->session->diags, fit->into_span, E_RECIPE,
                                "nothing of this run reads a buffer `%s`", fit->into);
    if (nearest_name(fit->into, names, count))
        diag_nearest(d, fit->into, names, count);
    else
        diag_hint(d, "it reads %s", names_text(t->session->arena, names, count));
    return false;
}

bool fit_check(struct training *t, struct fitting_pass *f) {
    const struct state *state = graph_find_state(training_graph(t), f->recipe->into);
    const struct function_plan *plan = fed_call_plan(&f->pass.full);
    int argument;
    const struct plan_argument *a = plan_result(plan, 0, &argument);
    if (!state || state->kind == STATE_RUN)
        return unknown_buffer(t, f->recipe);
    if (plan_result_count(plan) != 1) {
        diag_error(t->session->diags, f->recipe->span, E_RECIPE,
                   "`fit` wants an fn with one result; `%s` has %d", f->recipe->fn, plan_result_count(plan));
        return false;
    }
    bool fits = a->type == state->type && (a->type->dtype == DTYPE_f32 || a->type->dtype == DTYPE_f64);
    if (!fits)
        diag_error(t->session->diags, f->recipe->span, E_RECIPE, "`%s` gives %s, the buffer `%s` is %s",
                   f->recipe->fn, type_text(t->session->types, a->type), state->name,
                   type_text(t->session->types, state->type));
    return fits;
}

bool fit_run(struct training *t, struct fitting_pass *f) {
    const struct state *state = graph_find_state(training_graph(t), f->recipe->into);
    int64_t count = type_elements(state->type);
    struct fit_sums sums = {calloc((size_t)count + 1, sizeof(double))};
    bool ok = sums.sums ? pass_over_run(t, &f->pass, add_fit, &sums)
                        : session_fail(t->session, E_DATA, "no memory to fit `%s`", state->name);
    void *block = memory_of_state(&t->memory, training_plan(t), state);
    for (int64_t i = 0; ok && i < count; i++) {
        double mean = sums.sums[i] / (double)f->pass.rows;
        if (state->type->dtype == DTYPE_f32)
            ((float *)block)[i] = (float)mean;
        else
            ((double *)block)[i] = mean;
    }
    free(sums.sums);
    return ok;
}
