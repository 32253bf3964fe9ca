/* driver/pass_over.c: an fn over a whole set, batch by batch; or once, where it needs no set. */
#include "driver/train.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_DEFAULT = 64 };

int plan_result_count(const struct function_plan *plan) {
    int count = 0;
    for (int i = 0; i < plan->arguments.count; i++)
        count += plan->arguments.at[i].role == WEFT_RESULT;
    return count;
}

const struct plan_argument *plan_result(const struct function_plan *plan, int index, int *argument) {
    for (int i = 0; i < plan->arguments.count; i++)
        if (plan->arguments.at[i].role == WEFT_RESULT && index-- == 0) {
            *argument = i;
            return &plan->arguments.at[i];
        }
    return NULL;
}

const struct entry *training_find_fn(struct training *t, const char *fn, struct span span) {
    const struct entry *entry = instance_find_entry(t->instance, fn);
    if (entry && !entry->is_train)
        return entry;
    if (entry) {
        diag_error(t->session->diags, span, E_RECIPE, "`%s` is a train block; an fn is wanted here", fn);
        return NULL;
    }
    int count = instance_entry_count(t->instance);
    const char **names = ARENA_ARRAY(t->session->arena, const char *, count + 1);
    int fns = 0;
    for (int i = 0; i < count; i++)
        if (!instance_entry(t->instance, i)->is_train)
            names[fns++] = instance_entry(t->instance, i)->name;
    diag_nearest(diag_error(t->session->diags, span, E_RECIPE, "the model has no fn named `%s`; it has %s",
                            fn, names_text(t->session->arena, names, fns)),
                 fn, names, fns);
    return NULL;
}

bool pass_over_prepare(struct training *t, struct pass_over *p, const char *fn,
                       const struct recipe_input *inputs, int input_count, struct recipe_source source,
                       int64_t batch, int64_t rows, struct span span) {
    const struct entry *entry = training_find_fn(t, fn, span);
    bool *used = ARENA_ARRAY(t->session->arena, bool, input_count + 1);
    const struct input_sources sources = {t->recipe, t->feeds};
    if (!entry || !inputs_read(t->session, &sources, entry, inputs, input_count, used, &p->inputs) ||
        !inputs_check_used(t->session, entry, inputs, input_count, used))
        return false;
    struct feed *feed = training_feed(t, source.data);
    p->rows = !feed ? 1 : rows && rows < feed->count ? rows : feed->count;
    batch = batch                    ? batch
            : t->recipe->whole.batch ? t->recipe->whole.batch
            : t->phase_count         ? t->recipe->phases.at[t->first_phase].batch
                                     : BATCH_DEFAULT;
    p->supply = (struct supply){.feed = feed,
                                .field = source.field,
                                .batch = batch > p->rows ? p->rows : batch,
                                .given = p->inputs.given.at,
                                .given_count = p->inputs.given.count};
    p->span = span;
    p->function = instance_elaborate(t->instance, fn, p->inputs.settings.at, p->inputs.settings.count, 1);
    return p->function != NULL;
}

bool pass_over_connect(struct training *t, struct pass_over *p) {
    struct sizes *sizes = ARENA_NEW(t->session->arena, struct sizes),
                 *rest = ARENA_NEW(t->session->arena, struct sizes);
    if (!supply_connect(t->session, &p->supply, p->function, sizes) ||
        !inputs_check_sizes(t->session, instance_find_entry(t->instance, p->function->name), &p->inputs,
                            sizes, p->span))
        return false;
    p->full_slot = programs_add(&t->programs, p->function, sizes);
    int64_t left = p->rows % p->supply.batch;
    if (left == 0)
        return true;
    p->rest_supply = p->supply;
    p->rest_supply.batch = left;
    p->rest_supply.routes.at = NULL;
    p->rest_supply.routes.count = p->rest_supply.routes.capacity = 0;
    if (!supply_connect(t->session, &p->rest_supply, p->function, rest))
        return false;
    p->rest_slot = programs_add(&t->programs, p->function, rest);
    return true;
}

bool pass_over_create(struct training *t, struct pass_over *p) {
    return fed_call_create(t->session, p->full_slot, &p->supply, &p->full) &&
           (!p->rest_slot || fed_call_create(t->session, p->rest_slot, &p->rest_supply, &p->rest));
}

void pass_over_destroy(struct pass_over *p) {
    fed_call_destroy(&p->full);
    fed_call_destroy(&p->rest);
    inputs_destroy(&p->inputs);
}

/* The call of the batch that begins at item `done`. */
static struct fed_call *call_at(struct pass_over *p, int64_t done) {
    return p->rows - done >= p->supply.batch ? &p->full : &p->rest;
}

static void number_items(int64_t *items, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        items[i] = first + i;
}

static bool run_batch(struct training *t, struct pass_over *p, int64_t done, int64_t *items, pass_take *take,
                      void *context) {
    struct fed_call *call = call_at(p, done);
    int64_t batch = call->batch, *next = items + batch;
    bool has_next = done + 2 * batch <= p->rows; /* of this size */
    number_items(items, done, batch);
    number_items(next, done + batch, has_next ? batch : 0);
    uint64_t seed = session_seed(t->session, 0x40000000u + (uint32_t)(done / p->supply.batch));
    return (!call->feed || fed_call_fill(t->session, call, items, has_next ? next : NULL, NULL)) &&
           fed_call_run(t->session, call, &t->memory, seed) && take(context, call);
}

bool pass_over_run(struct training *t, struct pass_over *p, pass_take *take, void *context) {
    int64_t *items = malloc(sizeof *items * 2 * (size_t)p->supply.batch);
    bool ok = items ? fed_call_read_ahead(t->session, &p->full)
                    : session_fail(t->session, E_DATA, "no memory for the numbers of a batch");
    for (int64_t done = 0; ok && done < p->rows; done += call_at(p, done)->batch)
        ok = run_batch(t, p, done, items, take, context);
    fed_call_stop_ahead(&p->full);
    free(items);
    return ok;
}
