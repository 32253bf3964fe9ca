#include "driver/bisect_gradients.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- reports around a grad ---- */

static void report(struct builder *b, struct value *value, char what, int grad, int index) {
    build_report(b, arena_printf(b->graph->arena, "bisect %c %d %d", what, grad, index), value);
}

/* Behind where the value is made, so that a change of it reaches all who use it. */
static void report_behind(struct builder *b, struct value *value, int grad, int index) {
    struct op *behind = value->def ? value->def->next : b->block->first;
    builder_before(b, behind);
    report(b, value, 'x', grad, index);
}

static void watch_block(struct builder *b, struct block *block, int *count) {
    FOR_EACH_OP (op, block) {
        for (int r = 0; r < op->region_count; r++)
            watch_block(b, op->regions[r], count);
        if (op->code != OP_grad)
            continue;
        b->block = block;
        builder_before(b, op->next);
        for (int i = 0; i < op->out_count; i++)
            report(b, op->out[i], 'd', *count, i);
        builder_before(b, op);
        report(b, op->in[0], 'y', *count, 0);
        for (int i = 1; i < op->in_count; i++)
            report_behind(b, op->in[i], *count, i - 1);
        (*count)++;
    }
}

int gradients_watch(struct function *function, struct diags *diags) {
    struct builder b;
    int count = 0;
    builder_init(&b, function->graph, function->body, diags);
    watch_block(&b, function->body, &count);
    return count;
}

/* ---- one run ---- */

struct seen {
    int grad, index;
    char what;
    struct tensor *value; /* a copy of the first */
};

struct watcher {
    const struct gradient_run *run;
    struct arena *arena;
    VEC(struct seen) first;       /* of the run in which nothing is moved */
    VEC(struct tensor *) stopped; /* what each stop_gradient gave there, in the order of execution */
    int grad;                     /* -1: nothing is moved */
    double step;
    int next_stopped;
    bool *is_moved; /* by x */
    double y;       /* of the moved run */
    bool has_y;
};

static struct seen *find_seen(struct watcher *w, char what, int grad, int index) {
    for (int i = 0; i < w->first.count; i++) {
        struct seen *s = &w->first.at[i];
        if (s->what == what && s->grad == grad && s->index == index)
            return s;
    }
    return NULL;
}

static void see_first(struct watcher *w, char what, int grad, int index, const struct tensor *t) {
    if (find_seen(w, what, grad, index))
        return;
    struct seen seen = {grad, index, what, tensor_clone(w->arena, t)};
    VEC_PUSH(w->arena, &w->first, seen);
}

/* The direction of x's elements: any number in [-1, 1), the same in every run. */
static double direction(int index, int64_t element) {
    uint32_t seed = (uint32_t)element * 2654435761u + (uint32_t)index * 40503u + 12345;
    seed = (seed ^ seed >> 15) * 0x45d9f3bu;
    return (double)(seed >> 8) * 0x1p-23 - 1;
}

static void move(struct watcher *w, int index, struct tensor *x) {
    if (w->is_moved[index])
        return;
    w->is_moved[index] = true;
    for (int64_t k = 0; k < type_elements(x->type); k++)
        x->f[k] += w->step * direction(index, k);
}

/* What has no gradient does not move either. */
static void stop(struct watcher *w, struct tensor *t) {
    if (w->grad < 0)
        VEC_PUSH(w->arena, &w->stopped, tensor_clone(w->arena, t));
    else if (w->next_stopped < w->stopped.count && dtype_is_float(t->type->dtype)) {
        const struct tensor *was = w->stopped.at[w->next_stopped];
        if (was->type == t->type)
            memcpy(t->f, was->f, sizeof(double) * (size_t)type_elements(t->type));
    }
    w->next_stopped++;
}

static bool watch(void *context, const struct op *op, struct tensor *const *in, struct tensor *const *out) {
    struct watcher *w = context;
    char what;
    int grad, index;
    if (op->code == OP_stop_gradient)
        stop(w, out[0]);
    if (op->code != OP_report ||
        sscanf(op_string(op, ATTR_name), "bisect %c %d %d", &what, &grad, &index) != 3)
        return true;
    if (w->grad < 0) {
        see_first(w, what, grad, index, in[0]);
    } else if (grad == w->grad && what == 'x') {
        move(w, index, in[0]);
    } else if (grad == w->grad && what == 'y') {
        w->y = in[0]->f[0];
        w->has_y = true;
        return false; /* the first turn of a loop is enough */
    }
    return true;
}

static int count_reports(const struct block *block) {
    int count = 0;
    FOR_EACH_OP (op, block) {
        count += op->code == OP_report;
        for (int r = 0; r < op->region_count; r++)
            count += count_reports(op->regions[r]);
    }
    return count;
}

static bool run_once(struct watcher *w, int grad, double step) {
    const struct gradient_run *run = w->run;
    struct arena *arena = arena_create();
    struct eval *eval = eval_create(arena, run->graph, EVAL_F64, run->diags);
    struct tensor **inputs = ARENA_ARRAY(arena, struct tensor *, run->input_count + 1);
    int reports = count_reports(run->function->body);
    w->grad = grad;
    w->step = step;
    w->next_stopped = 0;
    w->has_y = false;
    w->is_moved = ARENA_ARRAY(arena, bool, reports + 1);
    for (int i = 0; i < run->input_count; i++)
        inputs[i] = tensor_clone(arena, run->inputs[i]);
    for (int i = 0; i < run->graph->states.count; i++)
        eval_set_state(eval, run->graph->states.at[i], tensor_clone(arena, run->states[i]));
    eval_set_observer(eval, watch, w);
    bool ok =
        eval_function(eval, run->function, inputs, run->input_count,
                      ARENA_ARRAY(arena, struct tensor *, block_yield(run->function->body)->in_count + 1),
                      ARENA_ARRAY(arena, struct tensor *, reports + 1));
    arena_destroy(arena);
    return ok || grad >= 0;
}

/* ---- slopes ---- */

enum { STEPS = 4 };
static const double tolerance = 1e-3; /* of the sum of the terms' sizes: corners that are crossed count */

static double said_slope(struct watcher *w, int grad, double *size) {
    double slope = 0;
    *size = 0;
    for (int i = 0; i < w->first.count; i++) {
        const struct seen *d = &w->first.at[i];
        if (d->what != 'd' || d->grad != grad)
            continue;
        for (int64_t k = 0; k < type_elements(d->value->type); k++) {
            double term = d->value->f[k] * direction(d->index, k);
            slope += term;
            *size += fabs(term);
        }
    }
    return slope;
}

/* Of a `grad` that did not run, or of what is no number, there is nothing to say. */
static void check_grad(struct watcher *w, int grad, const char **why) {
    static const double steps[STEPS] = {1e-5, 1e-6, 1e-4, 1e-7};
    double size, said = said_slope(w, grad, &size), slope = 0;
    const struct seen *y = find_seen(w, 'y', grad, 0);
    if (!y || !find_seen(w, 'd', grad, 0) || !isfinite(said))
        return;
    for (int s = 0; s < STEPS; s++) {
        double side[2];
        for (int k = 0; k < 2; k++) {
            run_once(w, grad, k ? -steps[s] : steps[s]);
            if (!w->has_y)
                return;
            side[k] = w->y;
        }
        slope = (side[0] - side[1]) / (2 * steps[s]);
        double noise = 1e-13 * fabs(y->value->f[0]) / steps[s];
        if (!isfinite(slope) || fabs(slope - said) <= tolerance * size + noise + 1e-9)
            return;
    }
    *why = arena_printf(w->arena, "gradient %d says a slope of %.6g, but it is %.6g (its terms: %.3g in all)",
                        grad + 1, said, slope, size);
}

bool gradients_are_slopes(const struct gradient_run *run, struct arena *arena, const char **why) {
    struct watcher w = {.run = run, .arena = arena};
    int count = 0;
    if (!run_once(&w, -1, 0))
        return false;
    for (int i = 0; i < w.first.count; i++)
        count = w.first.at[i].grad >= count ? w.first.at[i].grad + 1 : count;
    for (int grad = 0; grad < count && !*why; grad++)
        check_grad(&w, grad, why);
    return true;
}
