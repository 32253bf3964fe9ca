/* driver/samples.c: pictures of a run: an fn on values, on a set's first items, or on what another fn made of
 * them. */
#include "driver/train.h"

#include <stdlib.h>
#include <string.h>

enum { PICTURES_DEFAULT = 64 };

/* ---- before the first step ---- */

/* The fn of the recipe, elaborated with those of its values that are settings; false: reported. */
static bool prepare_fn(struct training *t, const struct sampling *s, const char *fn, bool *used,
                       struct inputs *inputs, struct function **out) {
    const struct entry *entry = training_find_fn(t, fn, s->recipe->span);
    const struct input_sources sources = {t->recipe, t->feeds};
    if (!entry)
        return false;
    if (!inputs_read(t->session, &sources, entry, s->recipe->inputs.at, s->recipe->inputs.count, used,
                     inputs))
        return false;
    *out = instance_elaborate(t->instance, fn, inputs->settings.at, inputs->settings.count, 1);
    return *out != NULL;
}

static const char *file_name(struct training *t, const struct recipe_samples *r) {
    int before = 0;
    for (int i = 0; &t->recipe->samples.at[i] < r; i++)
        before += strcmp(t->recipe->samples.at[i].fn, r->fn) == 0;
    return before ? arena_printf(t->session->arena, "%s-%d", r->fn, before + 1) : r->fn;
}

bool sampling_prepare(struct training *t, struct sampling *s) {
    const struct recipe_samples *r = s->recipe;
    bool *used = ARENA_ARRAY(t->session->arena, bool, r->inputs.count + 1);
    s->name = file_name(t, r);
    if (!prepare_fn(t, s, r->fn, used, &s->inputs, &s->function) ||
        (r->from && !prepare_fn(t, s, r->from, used, &s->from_inputs, &s->from)))
        return false;
    struct feed *feed = training_feed(t, r->source.data);
    int64_t wanted = r->rows ? r->rows * r->columns : PICTURES_DEFAULT;
    wanted = r->beside ? (wanted + 1) / 2 : wanted;
    wanted = feed && wanted > feed->count ? feed->count : wanted;
    struct supply own = {.given = s->inputs.given.at, .given_count = s->inputs.given.count, .batch = wanted};
    struct supply from = {
        .given = s->from_inputs.given.at, .given_count = s->from_inputs.given.count, .batch = wanted};
    struct supply *takes_items = r->from ? &from : &own;
    takes_items->feed = feed;
    takes_items->field = r->source.field;
    s->supply = own;
    s->from_supply = from;
    s->count = wanted;
    return inputs_check_used(t->session, instance_find_entry(t->instance, r->fn), r->inputs.at,
                             r->inputs.count, used);
}

bool sampling_connect(struct training *t, struct sampling *s) {
    if (s->from) {
        if (!supply_connect(t->session, &s->from_supply, s->from, &s->from_sizes))
            return false;
        s->from_slot = programs_add(&t->programs, s->from, &s->from_sizes);
        s->supply.from = s->from;
        s->supply.from_sizes = &s->from_sizes;
    }
    if (!supply_connect(t->session, &s->supply, s->function, &s->sizes) ||
        !inputs_check_sizes(t->session, instance_find_entry(t->instance, s->recipe->fn), &s->inputs,
                            &s->sizes, s->recipe->span))
        return false;
    s->slot = programs_add(&t->programs, s->function, &s->sizes);
    bool is_single = s->from ? s->from_supply.is_single : s->supply.is_single;
    s->count = is_single ? s->count : 1;
    return true;
}

bool sampling_create(struct training *t, struct sampling *s) {
    return fed_call_create(t->session, s->slot, &s->supply, &s->call) &&
           (!s->from || fed_call_create(t->session, s->from_slot, &s->from_supply, &s->from_call));
}

void sampling_destroy(struct sampling *s) {
    fed_call_destroy(&s->call);
    fed_call_destroy(&s->from_call);
    inputs_destroy(&s->inputs);
    inputs_destroy(&s->from_inputs);
}

/* ---- what one turn collects ---- */

/* An array of all calls: a result, or the input that stands beside it. */
struct collected {
    const struct type *type; /* of all calls together */
    char *bytes;             /* owned */
    size_t each;             /* bytes of a call */
};

/* Several calls of an item each stand on a new first axis. */
static bool collected_create(struct training *t, const struct sampling *s, const struct type *type,
                             struct collected *out) {
    int64_t sizes[WEFT_MAX_RANK + 1] = {s->count};
    bool is_stack = s->from ? s->from_supply.is_single : s->supply.is_single;
    for (int i = 0; i < type->rank; i++)
        sizes[i + is_stack] = type_size(type, i);
    out->each = (size_t)type_bytes(type);
    out->type = is_stack ? type_of_sizes(t->session->types, type->dtype, type->rank + 1, sizes) : type;
    out->bytes = malloc(out->each * (size_t)s->count + 1);
    return out->bytes ||
           session_fail(t->session, E_DATA, "no memory for the results of `%s`", s->function->name);
}

/* The input whose pictures stand beside the results: of the fn that takes the items. */
static int beside_argument(const struct sampling *s, const struct function_plan *plan) {
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role == WEFT_INPUT && a->type->dtype == DTYPE_f32 &&
            (strcmp(s->recipe->beside, "input") == 0 || strcmp(s->recipe->beside, a->name) == 0))
            return i;
    }
    return -1;
}

static bool run_call(struct training *t, struct sampling *s, int64_t number, int64_t *items) {
    struct fed_call *first = s->from ? &s->from_call : &s->call;
    for (int64_t i = 0; i < first->batch; i++)
        items[i] = number + i;
    /* Draws differ from call to call, but not from turn to turn: pictures of one noise are seen to grow. */
    uint64_t seed = session_seed(t->session, 0x80000000u + (uint32_t)number);
    if (first->feed && !fed_call_fill(t->session, first, items, NULL, NULL))
        return false;
    if (s->from) {
        if (!fed_call_run(t->session, first, &t->memory, seed))
            return false;
        fed_call_take(&s->call, first);
    }
    return fed_call_run(t->session, &s->call, &t->memory, seed);
}

/* ---- writing ---- */

/* A type whose values can be drawn, with four axes in *as: [B, C, H, W]; [B, H, W]; and of an fn that is not
 * fed with batches, or item by item, one picture [C, H, W] or [H, W]. */
static bool as_pictures(struct training *t, const struct sampling *s, const struct type *type,
                        const struct type **as) {
    int r = type->rank;
    bool is_single = s->from ? s->from_supply.is_single : s->supply.is_single,
         is_alone = !s->recipe->source.data;
    if (type->dtype != DTYPE_f32 || r > 4 || r < (is_alone ? 2 : 3))
        return false;
    bool has_channels =
        r == 4 || (r == 3 && !is_single && (type_size(type, 0) == 1 || type_size(type, 0) == 3));
    int64_t channels = has_channels ? type_size(type, r - 3) : 1;
    int64_t sizes[4] = {r == 4 || (r == 3 && !has_channels) ? type_size(type, 0) : 1, channels,
                        type_size(type, r - 2), type_size(type, r - 1)};
    *as = type_of_sizes(t->session->types, DTYPE_f32, 4, sizes);
    return (channels == 1 || channels == 3) && sizes[2] > 1 && sizes[3] > 1;
}

/* Inputs and results in turn: in, out, in, out, ... false where they are not pictures of one size. */
static bool interleave(struct training *t, const struct sampling *s, const struct collected *in,
                       struct collected *out) {
    const struct type *a, *b;
    if (!as_pictures(t, s, in->type, &a) || !as_pictures(t, s, out->type, &b) || a != b)
        return true;
    int64_t n = type_size(a, 0), sizes[4] = {2 * n, type_size(a, 1), type_size(a, 2), type_size(a, 3)};
    size_t each = (size_t)(type_bytes(a) / n);
    char *both = malloc(2 * each * (size_t)n);
    if (!both)
        return session_fail(t->session, E_DATA, "no memory to draw pictures side by side");
    for (int64_t i = 0; i < n; i++) {
        memcpy(both + (size_t)(2 * i) * each, in->bytes + (size_t)i * each, each);
        memcpy(both + (size_t)(2 * i + 1) * each, out->bytes + (size_t)i * each, each);
    }
    free(out->bytes);
    *out = (struct collected){type_of_sizes(t->session->types, DTYPE_f32, 4, sizes), both, 0};
    return true;
}

/* The pattern with {i}, {step} and {name} filled in. */
static const char *fill_pattern(struct training *t, const char *pattern, const char *name, int64_t index) {
    struct strbuf out;
    strbuf_init(&out, t->session->arena);
    for (const char *at = pattern; *at;) {
        if (strncmp(at, "{i}", 3) == 0) {
            strbuf_printf(&out, "%lld", (long long)index);
            at += 3;
        } else if (strncmp(at, "{step}", 6) == 0) {
            strbuf_printf(&out, "%08lld", (long long)t->position.step);
            at += 6;
        } else if (strncmp(at, "{name}", 6) == 0) {
            strbuf_puts(&out, name);
            at += 6;
        } else {
            strbuf_putc(&out, *at++);
        }
    }
    return strchr(out.text, '/') ? out.text : arena_printf(t->session->arena, "%s/%s", t->folder, out.text);
}

static bool write_value(struct training *t, const struct sampling *s, const char *path,
                        const struct type *type, const void *bytes) {
    double lo, hi;
    training_range(t, s->recipe->source.data, &lo, &hi);
    return session_make_folder(t->session, path, true) &&
           value_write(t->session, path, type, bytes, s->recipe->rows, s->recipe->columns, lo, hi);
}

/* `save: PATTERN`: a file for each item where {i} is in it, else one file of all; arrays as they are,
 * pictures as pictures. */
static bool save_pattern(struct training *t, const struct sampling *s, const char *name,
                         const struct collected *c, const struct type *pictures) {
    const char *pattern = s->recipe->save;
    const struct type *type = strstr(pattern, ".png") ? pictures : c->type;
    if (!strstr(pattern, "{i}") || type->rank == 0)
        return write_value(t, s, fill_pattern(t, pattern, name, 0), type, c->bytes);
    int64_t n = type_size(type, 0), sizes[WEFT_MAX_RANK];
    for (int i = 1; i < type->rank; i++)
        sizes[i - 1] = type_size(type, i);
    const struct type *one = type_of_sizes(t->session->types, type->dtype, type->rank - 1, sizes);
    for (int64_t i = 0; i < n; i++)
        if (!write_value(t, s, fill_pattern(t, pattern, name, i), one,
                         c->bytes + (size_t)i * (size_t)type_bytes(one)))
            return false;
    return true;
}

/* One result: as the recipe says (of the results alone), and in the run's folder as a picture where it is
 * one. */
static bool write_result(struct training *t, const struct sampling *s, const char *name,
                         const struct collected *input, struct collected *c) {
    const struct type *pictures = NULL;
    bool is_picture = as_pictures(t, s, c->type, &pictures);
    bool saves_npy = s->recipe->save && strcmp(s->recipe->save, "npy") == 0;
    if (s->recipe->save && !saves_npy && !save_pattern(t, s, name, c, is_picture ? pictures : c->type))
        return false;
    if (saves_npy || (!is_picture && !s->recipe->save)) {
        const char *path =
            arena_printf(t->session->arena, "%s/%s-%08lld.npy", t->folder, name, (long long)t->position.step);
        return write_value(t, s, path, c->type, c->bytes);
    }
    if (!is_picture)
        return true;
    if (input->bytes && !interleave(t, s, input, c))
        return false;
    as_pictures(t, s, c->type, &pictures);
    const char *file = arena_printf(t->session->arena, "%s-%08lld.png", name, (long long)t->position.step);
    return write_value(t, s, arena_printf(t->session->arena, "%s/%s", t->folder, file), pictures, c->bytes) &&
           log_picture(t, s->name, file);
}

/* ---- a turn ---- */

bool sampling_run(struct training *t, struct sampling *s) {
    const struct function_plan *plan = fed_call_plan(&s->call);
    struct fed_call *first = s->from ? &s->from_call : &s->call;
    int results = plan_result_count(plan), argument,
        beside = s->recipe->beside ? beside_argument(s, fed_call_plan(first)) : -1;
    struct collected *all = ARENA_ARRAY(t->session->arena, struct collected, results + 1), input = {0};
    int64_t *items = ARENA_ARRAY(t->session->arena, int64_t, first->batch + 1);
    bool ok = beside < 0 || collected_create(t, s, fed_call_plan(first)->arguments.at[beside].type, &input);
    for (int k = 0; ok && k < results; k++)
        ok = collected_create(t, s, plan_result(plan, k, &argument)->type, &all[k]);
    for (int64_t i = 0; ok && i < s->count; i++) {
        ok = run_call(t, s, i, items);
        for (int k = 0; ok && k < results; k++) {
            plan_result(plan, k, &argument);
            memcpy(all[k].bytes + (size_t)i * all[k].each, s->call.values[argument], all[k].each);
        }
        if (ok && beside >= 0)
            memcpy(input.bytes + (size_t)i * input.each, first->values[beside], input.each);
    }
    for (int k = 0; ok && k < results; k++) {
        const char *name = plan_result(plan, k, &argument)->name;
        const char *file = results == 1 ? s->name : arena_printf(t->session->arena, "%s-%s", s->name, name);
        ok = write_result(t, s, file, &input, &all[k]);
    }
    for (int k = 0; k < results; k++)
        free(all[k].bytes);
    free(input.bytes);
    return ok;
}
