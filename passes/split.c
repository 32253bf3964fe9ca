/* passes/split.c: other forms of what takes most memory, where an entry's arena would be larger than what is
 * allowed (--memory): convs of upsampled images without these images, and chains of ops in parts of their
 * channels. In front of fuse, each is tried on a copy that is planned; the one that takes least is kept, and
 * the next tried, until it fits or nothing helps. What is missing then, rematerialise finds. */
#include "passes/split.h"

#include "passes/passes.h"

enum {
    MOST_ROUNDS = 8,
    LARGE_PART = 4, /* only values of this part of what is allowed, and more, are looked at */
    GAIN = 64       /* a form must save this part of the arena at least */
};

/* What a function would take. There may be several peaks: each that is mended leaves fewer buffers that are
 * alive when too much is. */
struct measure {
    int64_t arena, involved; /* bytes; of these buffers */
};

struct splitting {
    struct graph *graph;
    struct pass_context *context;
    struct function *function;
    struct measure now;
    bool failed;
};

static const struct measure too_much = {INT64_MAX, INT64_MAX};

static bool is_less(struct measure a, struct measure b) {
    if (a.arena < b.arena - b.arena / GAIN)
        return true;
    return a.arena <= b.arena && a.involved < b.involved - b.involved / GAIN;
}

/* One form: of the conv at this place among all of the function. parts 0: without its upsampled image. */
struct form {
    int conv, parts;
};

static int64_t bytes_involved(const struct function_plan *plan, int64_t allowed, struct arena *arena) {
    int64_t *alive = ARENA_ARRAY(arena, int64_t, plan->length + 1), involved = 0;
    for (int i = 0; i < plan->buffers.count; i++)
        for (int t = plan->buffers.at[i].begin; t <= plan->buffers.at[i].end; t++)
            alive[t] += plan->buffers.at[i].bytes;
    for (int i = 0; i < plan->buffers.count; i++) {
        bool is_in = false;
        for (int t = plan->buffers.at[i].begin; t <= plan->buffers.at[i].end; t++)
            is_in |= alive[t] > allowed;
        involved += is_in ? plan->buffers.at[i].bytes : 0;
    }
    return involved;
}

/* Plans a copy, behind whose fusion nobody could split any more. */
static struct measure measure(const struct splitting *s) {
    struct function *copy = graph_add_copy(s->graph, s->function, s->function->name);
    struct arena *arena = arena_create();
    if (!arena)
        return too_much;
    struct pass_context context = {.arena = s->context->arena,
                                   .scratch = arena,
                                   .diags = s->context->diags,
                                   .functions = &copy,
                                   .function_count = 1};
    struct measure m = too_much;
    if (dce(s->graph, &context) && fuse(s->graph, &context)) {
        schedule_function(s->graph, copy, arena);
        struct plan *plan = plan_create(arena, s->graph);
        struct function_plan *planned = alias_function(s->graph, copy, plan, arena);
        plan_memory_function(planned, arena);
        m = (struct measure){planned->arena_bytes, bytes_involved(planned, s->context->memory, arena)};
    }
    s->graph->functions.count--;
    arena_destroy(arena);
    return m;
}

/* ---- places ---- */

static struct op *find_conv(struct block *block, int *left) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_conv && (*left)-- == 0)
            return op;
        for (int r = 0; r < op->region_count; r++) {
            struct op *found = find_conv(op->regions[r], left);
            if (found)
                return found;
        }
    }
    return NULL;
}

static struct op *conv_at(const struct function *function, int place) {
    return find_conv(function->body, &place);
}

static bool is_large(const struct splitting *s, const struct value *value) {
    return type_bytes(value->type) >= s->context->memory / LARGE_PART;
}

/* true: the function is changed. */
static bool apply(struct splitting *s, struct function *function, const struct form *form,
                  struct arena *arena) {
    struct op *conv = conv_at(function, form->conv);
    if (!form->parts)
        return split_upsample(s->graph, conv, s->context->diags) || !(s->failed = true);
    return split_channels(s->graph, conv, form->parts, arena, s->context->diags, &s->failed);
}

/* What the function would take with the form. */
static struct measure try_form(struct splitting *s, const struct form *form, struct arena *arena) {
    struct splitting trial = *s;
    trial.function = graph_add_copy(s->graph, s->function, s->function->name);
    struct measure m = apply(&trial, trial.function, form, arena) ? measure(&trial) : too_much;
    s->failed |= trial.failed;
    s->graph->functions.count--;
    arena_reset(arena);
    return m;
}

static bool is_possible(const struct splitting *s, const struct op *conv, const struct form *form) {
    if (!form->parts)
        return split_upsampled(conv) && is_large(s, conv->in[0]);
    return is_large(s, conv->out[0]) && type_size(conv->out[0]->type, 1) % form->parts == 0;
}

/* Fewer parts are better where more save nothing. */
static bool find_form(struct splitting *s, struct form *best, struct arena *arena) {
    static const int parts[] = {0, 2, 4, 8};
    bool found = false;
    const struct op *conv;
    for (int place = 0; (conv = conv_at(s->function, place)) && !s->failed; place++)
        for (int i = 0; i < 4; i++) {
            struct form form = {place, parts[i]};
            struct measure m = is_possible(s, conv, &form) ? try_form(s, &form, arena) : too_much;
            if (is_less(m, s->now)) {
                s->now = m;
                *best = form;
                found = true;
            }
        }
    return found;
}

static bool split_function(struct splitting *s, struct arena *arena) {
    s->now = measure(s);
    for (int round = 0; round < MOST_ROUNDS && s->now.arena > s->context->memory; round++) {
        struct form form;
        if (!find_form(s, &form, arena))
            break;
        apply(s, s->function, &form, arena);
        dce(s->graph, s->context); /* what it left behind is no place for another form */
        arena_reset(arena);
    }
    return !s->failed;
}

bool split(struct graph *graph, struct pass_context *context) {
    struct arena *arena = context->memory ? arena_create() : NULL;
    bool ok = true;
    if (!context->memory)
        return true;
    if (!arena) {
        diag_error(context->diags, (struct span){0}, E_COMPILE, "there is no memory for the passes");
        return false;
    }
    for (int i = 0; i < context->function_count && ok; i++) {
        struct splitting s = {.graph = graph, .context = context, .function = context->functions[i]};
        ok = split_function(&s, arena);
    }
    arena_destroy(arena);
    return ok;
}
