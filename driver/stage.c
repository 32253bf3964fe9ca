/* driver/stage.c: a model instance of a run: elaborated, compiled, its memory filled. */
#include "driver/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct feed *training_feed(const struct training *t, const struct recipe_data *data) {
    for (int i = 0; data && i < t->recipe->data.count; i++)
        if (t->recipe->data.at[i] == data)
            return &t->feeds[i];
    return NULL;
}

const struct plan *training_plan(const struct training *t) {
    return t->programs.all.at[0]->plan;
}

const struct graph *training_graph(const struct training *t) {
    return t->programs.all.at[0]->graph;
}

struct phase *training_phase(const struct training *t) {
    return &t->phases[t->position.phase - t->first_phase];
}

void training_range(const struct training *t, const struct recipe_data *data, double *lo, double *hi) {
    if (!data && t->phase_count)
        data = t->phases[0].recipe->source.data;
    *lo = data ? data->options.lo : 0;
    *hi = data ? data->options.hi : 1;
}

int stage_count_phases(const struct recipe *recipe, int first) {
    int count = 0;
    for (int i = first; i < recipe->phases.count; i++, count++) {
        const struct recipe_phase *a = &recipe->phases.at[first], *b = &recipe->phases.at[i];
        if (i > first && (b->load.count > 0 || a->model != b->model || a->settings.at != b->settings.at))
            break;
    }
    return count;
}

/* ---- elaboration ---- */

/* The recipe's settings under those of the phase. */
static bool make_instance(struct training *t) {
    const struct recipe *r = t->recipe;
    const struct recipe_phase *first = t->phase_count ? &r->phases.at[t->first_phase] : NULL;
    const struct model_name name = {.path = r->model_path,
                                    .model = first && first->model ? first->model : r->model_name};
    VEC(struct setting) all = {0};
    for (int i = 0; i < r->settings.count; i++) {
        bool is_hidden = false;
        for (int k = 0; first && k < first->settings.count; k++)
            is_hidden |= strcmp(first->settings.at[k].name, r->settings.at[i].name) == 0;
        if (!is_hidden)
            VEC_PUSH(t->session->arena, &all, r->settings.at[i]);
    }
    for (int k = 0; first && k < first->settings.count; k++)
        VEC_PUSH(t->session->arena, &all, first->settings.at[k]);
    if (!frontend_load(t->session->frontend, name.path))
        return false;
    t->instance = session_instantiate(t->session, &name, all.at, all.count);
    return t->instance != NULL;
}

/* The train block that the phase names, or the only one. */
static const struct entry *find_train(struct training *t, const struct recipe_phase *phase) {
    int count = instance_entry_count(t->instance), trains = 0;
    const char **names = ARENA_ARRAY(t->session->arena, const char *, count + 1);
    const struct entry *found = NULL, *only = NULL;
    for (int i = 0; i < count; i++) {
        const struct entry *entry = instance_entry(t->instance, i);
        if (!entry->is_train)
            continue;
        names[trains++] = entry->name;
        only = entry;
        if (phase->train && strcmp(entry->name, phase->train) == 0)
            found = entry;
    }
    if (found || (!phase->train && trains == 1))
        return found ? found : only;
    const char *list = names_text(t->session->arena, names, trains);
    if (phase->train)
        diag_nearest(diag_error(t->session->diags, phase->span, E_NAME,
                                "the model has no train block named `%s`; it has %s", phase->train, list),
                     phase->train, names, trains);
    else if (trains == 0)
        diag_error(t->session->diags, phase->span, E_NAME, "the model has no train block");
    else
        diag_hint(diag_error(t->session->diags, phase->span, E_NAME,
                             "the model has more than one train block: %s", list),
                  "`train: NAME` chooses one, `phases` trains them in turn");
    return NULL;
}

static bool elaborate_phases(struct training *t) {
    t->phases = ARENA_ARRAY(t->session->arena, struct phase, t->phase_count + 1);
    bool ok = true;
    for (int i = 0; i < t->phase_count; i++) {
        struct phase *p = &t->phases[i];
        int number = t->first_phase + i;
        *p = (struct phase){.recipe = &t->recipe->phases.at[number]};
        p->seed = number ? session_seed(t->session, 0x20000000u + (uint32_t)number) : t->session->seed;
        const struct entry *train = find_train(t, p->recipe);
        if (train && inputs_read(t->session, NULL, train, NULL, 0, NULL, &p->inputs))
            p->step = instance_elaborate(t->instance, train->name, NULL, 0, (int)p->recipe->accumulate);
        ok = p->step && ok;
    }
    return ok;
}

/* Whether the stage does it: its model has the fn, or there is one stage alone, which is told that it has
 * not. */
static bool is_of_stage(const struct training *t, const char *fn) {
    bool is_alone = t->first_phase == 0 && t->phase_count == t->recipe->phases.count;
    return is_alone || instance_find_entry(t->instance, fn);
}

static bool prepare_others(struct training *t) {
    const struct recipe *r = t->recipe;
    struct arena *arena = t->session->arena;
    bool ok = true;
    t->evaluations = ARENA_ARRAY(arena, struct evaluation, r->evaluate.count + 1);
    t->samplings = ARENA_ARRAY(arena, struct sampling, r->samples.count + 1);
    t->fits = ARENA_ARRAY(arena, struct fitting_pass, r->fit.count + 1);
    t->evaluation_count = t->sampling_count = t->fit_count = 0;
    for (int i = 0; i < r->evaluate.count; i++) {
        const struct recipe_evaluate *e = &r->evaluate.at[i];
        if (!is_of_stage(t, e->fn))
            continue;
        struct evaluation *evaluation = &t->evaluations[t->evaluation_count++];
        *evaluation = (struct evaluation){.recipe = e, .watch = &t->position.watches[i]};
        ok = pass_over_prepare(t, &evaluation->pass, e->fn, e->inputs.at, e->inputs.count, e->source,
                               e->batch, e->rows, e->span) &&
             ok;
    }
    for (int i = 0; i < r->samples.count; i++) {
        if (!is_of_stage(t, r->samples.at[i].fn))
            continue;
        struct sampling *sampling = &t->samplings[t->sampling_count++];
        *sampling = (struct sampling){.recipe = &r->samples.at[i]};
        ok = sampling_prepare(t, sampling) && ok;
    }
    for (int i = 0; i < r->fit.count; i++) {
        const struct recipe_fit *f = &r->fit.at[i];
        if (!is_of_stage(t, f->fn))
            continue;
        struct fitting_pass *fit = &t->fits[t->fit_count++];
        *fit = (struct fitting_pass){.recipe = f};
        ok = pass_over_prepare(t, &fit->pass, f->fn, NULL, 0, f->source, f->batch, 0, f->span) && ok;
    }
    return ok;
}

static bool elaborate(struct training *t) {
    double begun = clock_seconds();
    bool ok = make_instance(t) && elaborate_phases(t);
    ok = ok && prepare_others(t);
    t->init = ok ? instance_elaborate_init(t->instance) : NULL;
    session_add_time(t->session, "front end", clock_seconds() - begun);
    return t->init != NULL;
}

/* ---- compilation ---- */

static bool connect_phase(struct training *t, struct phase *p) {
    const struct recipe_phase *r = p->recipe;
    const struct feed *feed = training_feed(t, r->source.data);
    struct sizes *sizes = ARENA_NEW(t->session->arena, struct sizes);
    if (feed->count < r->batch)
        return session_fail(t->session, E_DATA,
                            "the training set has %lld items, less than one batch of %lld",
                            (long long)feed->count, (long long)r->batch);
    p->epoch_steps = feed->count / r->batch / r->accumulate;
    if (p->epoch_steps == 0)
        return session_fail(t->session, E_DATA, "an epoch has %lld batches, fewer than `accumulate`",
                            (long long)(feed->count / r->batch));
    p->steps = r->steps ? r->steps : r->epochs * p->epoch_steps;
    p->supply = (struct supply){.feed = feed,
                                .field = r->source.field,
                                .batch = r->batch,
                                .given = p->inputs.given.at,
                                .given_count = p->inputs.given.count};
    if (!supply_connect(t->session, &p->supply, p->step, sizes))
        return false;
    if (p->supply.is_single && r->batch != 1)
        return session_fail(
            t->session, E_DATA,
            "`%s` takes one item a call: `batch: 1`, and `accumulate` for more of them a step",
            p->step->name);
    p->slot = programs_add(&t->programs, p->step, sizes);
    return true;
}

static bool compile(struct training *t) {
    bool ok = true;
    t->programs = (struct programs){.session = t->session, .graph = instance_graph(t->instance)};
    for (int i = 0; ok && i < t->phase_count; i++)
        ok = connect_phase(t, &t->phases[i]);
    t->init_slot = programs_add(&t->programs, t->init, NULL);
    for (int i = 0; ok && i < t->evaluation_count; i++)
        ok = pass_over_connect(t, &t->evaluations[i].pass);
    for (int i = 0; ok && i < t->sampling_count; i++)
        ok = sampling_connect(t, &t->samplings[i]);
    for (int i = 0; ok && i < t->fit_count; i++)
        ok = pass_over_connect(t, &t->fits[i].pass);
    return ok && programs_compile(&t->programs);
}

static bool create_calls(struct training *t) {
    bool ok = memory_create(t->session, training_plan(t), &t->memory);
    for (int i = 0; ok && i < t->phase_count; i++)
        ok = fed_call_create(t->session, t->phases[i].slot, &t->phases[i].supply, &t->phases[i].call);
    for (int i = 0; ok && i < t->evaluation_count; i++)
        ok = pass_over_create(t, &t->evaluations[i].pass);
    for (int i = 0; ok && i < t->sampling_count; i++)
        ok = sampling_create(t, &t->samplings[i]);
    for (int i = 0; ok && i < t->fit_count; i++)
        ok = pass_over_create(t, &t->fits[i].pass);
    return ok;
}

/* What can be told of names only now. */
static bool check_names(struct training *t) {
    bool ok = true, has_best = false;
    for (int i = 0; i < t->evaluation_count; i++)
        ok = evaluation_check_names(t, &t->evaluations[i], &has_best) && ok;
    for (int i = 0; i < t->fit_count; i++)
        ok = fit_check(t, &t->fits[i]) && ok;
    bool is_alone = t->phase_count == t->recipe->phases.count;
    if (t->recipe->best && !has_best && is_alone) {
        diag_error(t->session->diags, t->recipe->best_span, E_RECIPE, "no evaluation has a result `%s`",
                   t->recipe->best + (*t->recipe->best == '-'));
        ok = false;
    }
    return ok;
}

bool stage_open(struct training *t, int first_phase) {
    t->first_phase = first_phase;
    t->phase_count = stage_count_phases(t->recipe, first_phase);
    return elaborate(t) && compile(t) && create_calls(t) && check_names(t);
}

void stage_close(struct training *t) {
    for (int i = 0; t->phases && i < t->phase_count; i++) {
        fed_call_destroy(&t->phases[i].call);
        inputs_destroy(&t->phases[i].inputs);
    }
    for (int i = 0; i < t->evaluation_count; i++)
        pass_over_destroy(&t->evaluations[i].pass);
    for (int i = 0; i < t->sampling_count; i++)
        sampling_destroy(&t->samplings[i]);
    for (int i = 0; i < t->fit_count; i++)
        pass_over_destroy(&t->fits[i].pass);
    t->evaluation_count = t->sampling_count = t->fit_count = t->phase_count = 0;
    memory_destroy(&t->memory);
    programs_destroy(&t->programs);
    free(t->saved_weights);
    free(t->saved_state);
    t->saved_weights = t->saved_state = NULL;
}

/* ---- the memory ---- */

static bool load_weights(struct training *t, const recipe_load_list *loads) {
    struct fitting *fittings = ARENA_ARRAY(t->session->arena, struct fitting, loads->count + 1);
    for (int i = 0; i < loads->count; i++) {
        const struct recipe_load *l = &loads->at[i];
        const char *path =
            l->file ? l->file : arena_printf(t->session->arena, "%s/%s.safetensors", t->folder, l->from);
        fittings[i] =
            (struct fitting){path,          l->into,          l->prefix,    l->map.at,       l->map.count,
                             l->missing.at, l->missing.count, l->ignore.at, l->ignore.count, false};
    }
    return weights_load_all(t->session, training_graph(t), training_plan(t), &t->memory, fittings,
                            loads->count);
}

bool stage_fill_memory(struct training *t, const char *checkpoint) {
    if (checkpoint)
        return checkpoint_load(t->session, training_graph(t), training_plan(t), &t->memory, checkpoint);
    void *values[8] = {0};
    const recipe_load_list *loads = &t->recipe->whole.load;
    if (t->phase_count && t->recipe->phases.at[t->first_phase].load.count > 0)
        loads = &t->recipe->phases.at[t->first_phase].load;
    else if (t->first_phase > 0)
        loads = NULL; /* a later model has its own, or none */
    if (!slot_call(t->session, t->init_slot, &t->memory, values, t->session->seed) ||
        (loads && !load_weights(t, loads)))
        return false;
    for (int i = 0; i < t->fit_count; i++)
        if (!fit_run(t, &t->fits[i]))
            return false;
    return true;
}
