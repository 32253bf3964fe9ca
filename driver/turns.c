/* driver/turns.c: what a training run does at its turns: evaluations, pictures, lines of the log, the report.
 */
#include "driver/report.h"
#include "driver/train.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the log ---- */

static double elapsed(const struct training *t) {
    return clock_seconds() - t->begun;
}

static bool put_line(struct training *t, json_t *line) {
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    bool ok = text && fprintf(t->log, "%s\n", text) > 0 && fflush(t->log) == 0;
    free(text);
    return ok || session_fail(t->session, E_FILE, "%s cannot be written", t->json_path);
}

static json_t *new_line(const struct training *t, const char *kind) {
    json_t *line = json_pack("{s:s, s:I, s:I, s:f}", "kind", kind, "step", (json_int_t)t->position.step,
                             "epoch", (json_int_t)t->position.epoch, "seconds", elapsed(t));
    if (t->recipe->phases.count > 1)
        json_object_set_new(line, "phase", json_integer(t->position.phase + 1));
    return line;
}

bool log_values(struct training *t, const char *kind, const char *const *names, const double *values,
                int count) {
    json_t *line = new_line(t, kind), *object = json_object();
    for (int i = 0; i < count; i++) /* JSON has no NaN: null stands for it */
        json_object_set_new(object, names[i], isfinite(values[i]) ? json_real(values[i]) : json_null());
    json_object_set_new(line, "values", object);
    return put_line(t, line);
}

bool log_list(struct training *t, const char *name, const double *values, int64_t count) {
    json_t *line = new_line(t, "list"), *list = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(list, isfinite(values[i]) ? json_real(values[i]) : json_null());
    json_object_set_new(line, "name", json_string(name));
    json_object_set_new(line, "list", list);
    return put_line(t, line);
}

bool log_picture(struct training *t, const char *name, const char *file) {
    json_t *line = new_line(t, "samples");
    json_object_set_new(line, "name", json_string(name));
    json_object_set_new(line, "file", json_string(file));
    return put_line(t, line);
}

/* ---- the report ---- */

static bool draw_report(struct training *t) {
    struct arena *arena = arena_create();
    const struct graph *graph = training_graph(t);
    const struct phase *p =
        t->phase_count && t->position.phase < t->first_phase + t->phase_count ? training_phase(t) : NULL;
    int64_t parameters = 0;
    for (int i = 0; i < graph->states.count; i++)
        if (graph->states.at[i]->kind == STATE_WEIGHT)
            parameters += type_elements(graph->states.at[i]->type);
    const char *why;
    const struct source *model = source_read(arena, t->recipe->model_path, &why);
    const char *facts[][2] = {
        {"parameters", arena_printf(arena, "%lld", (long long)parameters)},
        {"seed", arena_printf(arena, "%llu", (unsigned long long)t->session->seed)},
        {"threads", arena_printf(arena, "%d", weft_pool_exec(t->session->pool)->width)},
        {"batch", p ? arena_printf(arena, "%lld of %lld items", (long long)p->recipe->batch,
                                   (long long)p->call.feed->count)
                    : NULL},
        {"milliseconds a step",
         arena_printf(arena, "%.3f", 1e3 * elapsed(t) / fmax(1.0, (double)t->position.step))},
        {"arena of a step",
         p ? arena_printf(arena, "%.2f MB", 1e-6 * (double)fed_call_plan(&p->call)->arena_bytes) : NULL},
    };
    const struct report_facts all = {.title = graph->name,
                                     .recipe = t->recipe->source->text,
                                     .model = model ? model->text : NULL,
                                     .facts = (const char *const(*)[2])facts,
                                     .fact_count = p ? 6 : 3};
    struct weft_error error;
    bool ok = report_write(arena, t->folder, t->json_path, t->html_path, &all, &error) ||
              session_fail(t->session, E_FILE, "%s", error.message);
    arena_destroy(arena);
    return ok;
}

/* ---- turns ---- */

static bool is_due(const struct training *t, const struct turn *turn, bool epoch_ended) {
    if (!turn->count || t->position.step == 0)
        return false;
    return turn->in_epochs ? epoch_ended && t->position.epoch % turn->count == 0
                           : t->position.step % turn->count == 0;
}

/* Evaluations and pictures that are due by their turns, or (`at_end`) those of the end that were not. */
static bool take_turns(struct training *t, bool epoch_ended, bool at_end, bool *any) {
    bool ok = true;
    for (int i = 0; ok && i < t->evaluation_count; i++) {
        const struct turn *turn = &t->evaluations[i].recipe->turn;
        bool due = is_due(t, turn, epoch_ended);
        if (at_end ? turn->at_end && !due : due)
            ok = evaluation_run(t, &t->evaluations[i]), *any = true;
    }
    for (int i = 0; ok && i < t->sampling_count; i++) {
        const struct turn *turn = &t->samplings[i].recipe->turn;
        bool due = is_due(t, turn, epoch_ended);
        if (at_end ? turn->at_end && !due : due)
            ok = sampling_run(t, &t->samplings[i]), *any = true;
    }
    return ok;
}

static bool save_weights(struct training *t, const char *name) {
    return weights_save(t->session, training_graph(t), training_plan(t), &t->memory,
                        arena_printf(t->session->arena, "%s/%s.safetensors", t->folder, name), false, NULL,
                        0);
}

bool turns_take(struct training *t, bool epoch_ended, bool phase_ended, bool stops) {
    bool any = false, ok = take_turns(t, epoch_ended, false, &any), trains = t->recipe->phases.count > 0;
    bool ended = phase_ended || t->position.is_over || !trains;
    bool stage_ends = !trains || (ended && t->position.phase + 1 == t->first_phase + t->phase_count);
    bool run_ends = stops || !trains || (ended && t->position.phase + 1 == t->recipe->phases.count);
    if (ok && stage_ends) /* not where the run is stopped: who stops it wants it to end now */
        ok = take_turns(t, epoch_ended, true, &any);
    if (ok && trains && (run_ends || stage_ends || is_due(t, &t->recipe->checkpoint, epoch_ended))) {
        const char *model = t->recipe->phases.at[t->first_phase].model;
        t->position.seconds = elapsed(t);
        ok = (!stage_ends || !model || save_weights(t, model)) &&
             checkpoint_save(t->session, training_graph(t), training_plan(t), &t->memory, t->folder,
                             &t->position, t->recipe->keep);
        any = true;
    }
    if (ok && run_ends && trains)
        ok = save_weights(t, "last");
    return ok && (!(any || run_ends) || draw_report(t));
}
