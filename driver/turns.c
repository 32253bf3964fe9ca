/* driver/turns.c: what a training run does at its turns: evaluations, pictures, lines of the log, the report. */
#include "driver/report.h"
#include "driver/train.h"
#include "driver/values.h"

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
    return ok || session_fail(t->session, E_FILE, "%s/log.jsonl cannot be written", t->folder);
}

static json_t *new_line(const struct training *t, const char *kind) {
    return json_pack("{s:s, s:I, s:I, s:f}", "kind", kind, "step", (json_int_t)t->position.step, "epoch", (json_int_t)t->position.epoch,
                     "seconds", elapsed(t));
}

bool log_values(struct training *t, const char *kind, const char *const *names, const double *values, int count) {
    json_t *line = new_line(t, kind), *object = json_object();
    for (int i = 0; i < count; i++) /* JSON has no NaN: null stands for it */
        json_object_set_new(object, names[i], isfinite(values[i]) ? json_real(values[i]) : json_null());
    json_object_set_new(line, "values", object);
    return put_line(t, line);
}

bool log_picture(struct training *t, const char *name, const char *file) {
    json_t *line = new_line(t, "samples");
    json_object_set_new(line, "name", json_string(name));
    json_object_set_new(line, "file", json_string(file));
    return put_line(t, line);
}

bool report_draw(struct training *t) {
    struct arena *arena = arena_create();
    int64_t parameters = 0;
    for (int i = 0; i < t->program->graph->states.count; i++)
        if (t->program->graph->states.at[i]->kind == STATE_WEIGHT)
            parameters += type_elements(t->program->graph->states.at[i]->type);
    const char *why;
    const struct source *model = source_read(arena, t->recipe->model_path, &why);
    const char *facts[][2] = {
        {"parameters", arena_printf(arena, "%lld", (long long)parameters)},
        {"batch", arena_printf(arena, "%lld of %lld images", (long long)t->recipe->batch, (long long)t->step_call.feed->count)},
        {"seed", arena_printf(arena, "%llu", (unsigned long long)t->session->seed)},
        {"threads", arena_printf(arena, "%d", weft_pool_exec(t->session->pool)->width)},
        {"milliseconds a step", arena_printf(arena, "%.3f", 1e3 * elapsed(t) / fmax(1.0, (double)t->position.step))},
        {"arena of a step", arena_printf(arena, "%.2f MB", 1e-6 * (double)t->program->entries[0].plan->arena_bytes)},
    };
    const struct report_facts all = {.title = instance_graph(t->instance)->name, .recipe = t->recipe->source->text,
                                     .model = model ? model->text : NULL, .facts = (const char *const(*)[2])facts,
                                     .fact_count = sizeof facts / sizeof facts[0]};
    struct weft_error error;
    bool ok = report_write(arena, t->folder, &all, &error) || session_fail(t->session, E_FILE, "%s", error.message);
    arena_destroy(arena);
    return ok;
}

/* ---- evaluation ---- */

static int64_t rows_of(const struct recipe_evaluate *recipe, const struct feed *feed) {
    return recipe->rows && recipe->rows < feed->count ? recipe->rows : feed->count;
}

bool evaluation_prepare(struct training *t, struct evaluation *e) {
    e->feed = training_feed(t, e->recipe->data);
    e->rows = rows_of(e->recipe, e->feed);
    e->batch = e->recipe->batch ? e->recipe->batch : t->recipe->batch;
    if (e->batch > e->rows)
        e->batch = e->rows;
    e->function = instance_elaborate(t->instance, e->recipe->fn, NULL, 0, 1);
    return e->function != NULL;
}

bool evaluation_compile(struct training *t, struct evaluation *e, int entry) {
    e->entry = entry;
    if (!fed_call_create(t->session, t->program, entry, e->feed, e->batch, &e->full))
        return false;
    int64_t rest = e->rows % e->batch;
    if (rest == 0)
        return true;
    struct sizes sizes = {0};
    if (!feed_sizes(t->session, e->feed, e->function, rest, &sizes))
        return false;
    const struct request request = {e->function, sizes.bindings.at, sizes.bindings.count};
    e->rest = program_create(t->session, instance_graph(t->instance), &request, 1, true);
    return e->rest && fed_call_create(t->session, e->rest, 0, e->feed, rest, &e->remainder);
}

/* Adds one batch: the mean of a result over its elements counts for each item, a sum is the sum of all elements. */
static void add_batch(const struct fed_call *call, bool sum, double *totals) {
    const struct function_plan *plan = call->program->entries[call->entry].plan;
    for (int i = 0, k = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role != WEFT_RESULT)
            continue;
        int64_t count = type_elements(a->type);
        double total = 0;
        for (int64_t j = 0; j < count; j++)
            total += value_element(a->type, call->values[i], j);
        totals[k++] += sum ? total : total / (double)count * (double)call->batch;
    }
}

static int result_count(const struct function_plan *plan) {
    int count = 0;
    for (int i = 0; i < plan->arguments.count; i++)
        count += plan->arguments.at[i].role == WEFT_RESULT;
    return count;
}

static bool evaluate_batches(struct training *t, struct evaluation *e, double *totals) {
    bool sum = strcmp(e->recipe->reduce, "sum") == 0;
    int64_t *items = ARENA_ARRAY(t->session->arena, int64_t, e->batch);
    for (int64_t done = 0, batch = 0; done < e->rows; done += e->batch, batch++) {
        struct fed_call *call = e->rows - done >= e->batch ? &e->full : &e->remainder;
        for (int64_t i = 0; i < call->batch; i++)
            items[i] = done + i;
        uint64_t seed = session_seed(t->session, 0x40000000u + (uint32_t)batch);
        if (!fed_call_fill(t->session, call, items) || !program_call(t->session, call->program, call->entry, &t->memory, call->values, seed))
            return false;
        add_batch(call, sum, totals);
    }
    return true;
}

/* "bound (test)", or "terms.kl (test)" for a named result */
static const char *value_name(struct training *t, const struct evaluation *e, const char *result) {
    return arena_printf(t->session->arena, "%s%s%s (%s)", e->recipe->fn, *result ? "." : "", result, e->recipe->data->name);
}

/* Keeps the weights in best.safetensors where the result that the recipe names is better than before. */
static bool keep_best(struct training *t, const char *result, double value) {
    const char *wanted = t->recipe->best;
    bool least = wanted && *wanted == '-';
    if (!wanted || strcmp(wanted + least, result) != 0 || !((least ? -value : value) > t->best))
        return true;
    t->best = least ? -value : value;
    const struct weft_metadata metadata[] = {{"format", "weft weights 1"},
                                             {"step", arena_printf(t->session->arena, "%lld", (long long)t->position.step)},
                                             {"score", arena_printf(t->session->arena, "%.17g", t->best)}};
    return weights_save(t->session, t->program->graph, t->program->plan, &t->memory,
                        arena_printf(t->session->arena, "%s/best.safetensors", t->folder), false, metadata, 3);
}

static bool evaluate(struct training *t, struct evaluation *e) {
    const struct function_plan *plan = t->program->entries[e->entry].plan;
    int count = result_count(plan), k = 0;
    double *totals = ARENA_ARRAY(t->session->arena, double, count + 1);
    const char **names = ARENA_ARRAY(t->session->arena, const char *, count + 1);
    if (!evaluate_batches(t, e, totals))
        return false;
    struct strbuf text;
    strbuf_init(&text, t->session->arena);
    for (int i = 0; i < plan->arguments.count; i++) {
        if (plan->arguments.at[i].role != WEFT_RESULT)
            continue;
        if (strcmp(e->recipe->reduce, "mean") == 0)
            totals[k] /= (double)e->rows;
        names[k] = value_name(t, e, count > 1 ? plan->arguments.at[i].name : "");
        if (!keep_best(t, count > 1 ? plan->arguments.at[i].name : e->recipe->fn, totals[k]))
            return false;
        strbuf_printf(&text, "  %s %.6g", names[k], totals[k]);
        k++;
    }
    progress_say(&t->progress, "step %lld:%s", (long long)t->position.step, text.text);
    return log_values(t, "evaluate", names, totals, count);
}

/* ---- pictures ---- */

bool sampling_prepare(struct training *t, struct sampling *s) {
    s->feed = s->recipe->data ? training_feed(t, s->recipe->data) : NULL;
    s->batch = s->recipe->rows ? s->recipe->rows * s->recipe->columns : 64;
    if (s->recipe->beside)
        s->batch = (s->batch + 1) / 2;
    if (s->feed && s->batch > s->feed->count)
        s->batch = s->feed->count;
    s->function = instance_elaborate(t->instance, s->recipe->fn, s->recipe->inputs.at, s->recipe->inputs.count, 1);
    return s->function != NULL;
}

bool sampling_compile(struct training *t, struct sampling *s, int entry) {
    s->entry = entry;
    return fed_call_create(t->session, t->program, entry, s->feed, s->batch, &s->call);
}

/* Inputs and results in turn: in, out, in, out, ... NULL where they are not images of one size. */
static float *interleave(struct training *t, const struct sampling *s, const struct type *type, const float *results, const struct type **both) {
    const struct function_plan *plan = t->program->entries[s->entry].plan;
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        bool named = strcmp(s->recipe->beside, "input") == 0 || strcmp(s->recipe->beside, a->name) == 0;
        if (a->role != WEFT_INPUT || !named || a->type->dtype != DTYPE_f32 || type_elements(a->type) != type_elements(type))
            continue;
        int64_t image = type_elements(type) / type_size(type, 0), n = type_size(type, 0);
        float *out = malloc(sizeof(float) * (size_t)(2 * n * image));
        for (int64_t j = 0; out && j < n; j++) {
            memcpy(out + 2 * j * image, (const float *)s->call.values[i] + j * image, sizeof(float) * (size_t)image);
            memcpy(out + (2 * j + 1) * image, results + j * image, sizeof(float) * (size_t)image);
        }
        int64_t sizes[4] = {2 * n, type_size(type, 1), type_size(type, 2), type_size(type, 3)};
        *both = type_of_sizes(t->session->types, DTYPE_f32, 4, sizes);
        return out;
    }
    return NULL;
}

static bool write_picture(struct training *t, const struct sampling *s, const struct plan_argument *a, const void *bytes) {
    bool alone = result_count(t->program->entries[s->entry].plan) == 1;
    const char *file = arena_printf(t->session->arena, "%s%s%s-%08lld.png", s->recipe->fn, alone ? "" : "-", alone ? "" : a->name,
                                    (long long)t->position.step);
    const char *path = arena_printf(t->session->arena, "%s/%s", t->folder, file);
    const struct recipe_data *data = t->recipe->train_data;
    const struct type *type = a->type, *both = NULL;
    float *pairs = s->recipe->beside && type->rank == 4 ? interleave(t, s, type, bytes, &both) : NULL;
    bool ok = value_write(t->session, path, pairs ? both : type, pairs ? pairs : bytes, s->recipe->rows, s->recipe->columns, data->lo, data->hi);
    free(pairs);
    return ok && log_picture(t, s->recipe->fn, file);
}

static bool sample(struct training *t, struct sampling *s) {
    const struct function_plan *plan = t->program->entries[s->entry].plan;
    int64_t *items = ARENA_ARRAY(t->session->arena, int64_t, s->batch);
    for (int64_t i = 0; i < s->batch; i++)
        items[i] = i;
    if (s->feed && !fed_call_fill(t->session, &s->call, items))
        return false;
    if (!program_call(t->session, t->program, s->entry, &t->memory, s->call.values, session_seed(t->session, 0x80000000u)))
        return false;
    for (int i = 0; i < plan->arguments.count; i++)
        if (plan->arguments.at[i].role == WEFT_RESULT && !write_picture(t, s, &plan->arguments.at[i], s->call.values[i]))
            return false;
    return true;
}

/* ---- turns ---- */

static bool is_due(const struct training *t, const struct turn *turn, bool epoch_ended, bool last) {
    if (turn->at_end && last)
        return true;
    if (!turn->count)
        return false;
    return turn->in_epochs ? epoch_ended && t->position.epoch % turn->count == 0 : t->position.step % turn->count == 0;
}

bool turns_take(struct training *t, bool epoch_ended, bool last) {
    bool any = false, ok = true;
    for (int i = 0; ok && i < t->recipe->evaluate.count; i++)
        if (is_due(t, &t->recipe->evaluate.at[i].turn, epoch_ended, last))
            ok = evaluate(t, &t->evaluations[i]), any = true;
    for (int i = 0; ok && i < t->recipe->samples.count; i++)
        if (is_due(t, &t->recipe->samples.at[i].turn, epoch_ended, last))
            ok = sample(t, &t->samplings[i]), any = true;
    if (ok && (last || is_due(t, &t->recipe->checkpoint, epoch_ended, last))) {
        t->position.seconds = elapsed(t);
        ok = checkpoint_save(t->session, t->program->graph, t->program->plan, &t->memory, t->folder, &t->position, t->recipe->keep);
        any = true;
    }
    if (ok && last)
        ok = weights_save(t->session, t->program->graph, t->program->plan, &t->memory,
                          arena_printf(t->session->arena, "%s/last.safetensors", t->folder), false, NULL, 0);
    return ok && (!any || report_draw(t));
}
