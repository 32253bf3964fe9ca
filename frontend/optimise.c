/* frontend/optimise.c: gradients, and `minimize`: a grad op, calls of an optimizer's fns, and writes (S4, S6,
 * S26). */
#include "frontend/elab.h"
#include "ir/gradient.h"

#include <string.h>

/* ---- what a loss depends on ---- */

/* Marks all that a gradient of y may be taken by: what y is computed from, but for what lies behind a
 * stop_gradient and the like. Regions that are still open use outside values directly, closed ones take them
 * as operands, so operands are all there is to follow. */
static void mark_back(struct map *seen, struct arena *arena, struct value *y) {
    VEC(struct value *) work = {0};
    VEC_PUSH(arena, &work, y);
    while (work.count > 0) {
        struct value *value = VEC_POP(&work);
        if (map_has(seen, value))
            continue;
        map_put(seen, value, value);
        if (!value->def || !gradient_passes(value->def->code))
            continue;
        for (int i = 0; i < value->def->in_count; i++)
            if (dtype_is_float(value->def->in[i]->type->dtype))
                VEC_PUSH(arena, &work, value->def->in[i]);
    }
}

/* The one version of w that was marked; NULL: none, or several (reported, *several set). */
static struct value *reached_version(struct elab *e, const struct map *seen, const struct weight *w,
                                     struct span span, bool *several) {
    const struct version *found = NULL;
    const struct versions *versions = map_find(&e->versions, w->state);
    for (int i = 0; versions && i < versions->at.count; i++) {
        const struct version *v = &versions->at.at[i];
        if (!map_has(seen, v->value) || (found && found->value == v->value))
            continue;
        if (found) {
            struct diag *diag =
                report_error(e, span, E_GRAD, "the loss depends on two versions of `%s`", w->state->name);
            diag_label(diag, found->span, "one is read here");
            diag_label(diag, v->span, "another here, after an update");
            *several = true;
            return NULL;
        }
        found = v;
    }
    return found ? found->value : NULL;
}

static bool is_loss(struct elab *e, struct value *y, struct span span) {
    if (y->type->rank == 0 && dtype_is_float(y->type->dtype))
        return true;
    struct diag *diag = report_error(e, span, E_GRAD, "a gradient is taken of a float scalar, this is %s",
                                     type_text(e->types, y->type));
    diag_hint(diag, y->type->rank > 0 ? "mean(x) or sum(x) makes a scalar"
                                      : "f32(x) casts, but nothing is learnt through it");
    return false;
}

/* ---- grad ---- */

struct gradients {
    struct elab *e;
    struct value *y;
    struct map seen;
    struct span span;
    VEC(struct value *) xs;     /* by which it is taken */
    VEC(struct value *) leaves; /* in the order of the structure; NULL: zeros like zero_of */
    VEC(struct value *) zero_of;
    bool failed;
};

static void gather_leaf(struct gradients *g, struct datum d) {
    struct elab *e = g->e;
    struct value *x = d.tensor;
    if (d.weight) {
        x = reached_version(e, &g->seen, d.weight, g->span, &g->failed);
    } else if (!map_has(&g->seen, x)) {
        x = NULL;
    }
    VEC_PUSH(e->arena, &g->leaves, x);
    VEC_PUSH(e->arena, &g->zero_of, d.tensor);
    if (x)
        VEC_PUSH(e->arena, &g->xs, x);
    else if (!g->failed)
        diag_warning(e->diags, g->span, W_ZERO_GRAD,
                     "the gradient is zero: the value does not depend on its variable");
}

/* The tensors of x; a module gives the list of its weights. */
static struct datum gather_leaves(struct gradients *g, struct datum x) {
    struct elab *e = g->e;
    if (x.kind == DATUM_INSTANCE) {
        struct weight_list weights = {0};
        collect_weights(e, x, &weights, false);
        struct datum *items = ARENA_ARRAY(e->arena, struct datum, weights.at.count);
        for (int i = 0; i < weights.at.count; i++) {
            items[i] = datum_tensor(state_read(e, weights.at.at[i], g->span));
            items[i].weight = weights.at.at[i];
        }
        x = datum_list(e->arena, items, weights.at.count);
    }
    if (datum_is_sequence(x)) {
        x = datum_copy(e->arena, x);
        for (int i = 0; i < x.list->count; i++)
            *datum_at(x, i) = gather_leaves(g, x.list->at[i]);
        return x;
    }
    if (x.kind == DATUM_TENSOR) {
        gather_leaf(g, x);
        return x;
    }
    g->failed = true;
    if (!datum_is_error(x))
        fail(e, g->span, E_GRAD, "there is no gradient by %s", describe(e, x));
    return x;
}

static struct datum put_gradients(struct gradients *g, struct datum x, struct op *op, int *leaf, int *next) {
    struct elab *e = g->e;
    if (x.kind == DATUM_TENSOR) {
        int i = (*leaf)++;
        return datum_tensor(g->leaves.at[i] ? op->out[(*next)++]
                                            : build_full(&e->b, g->zero_of.at[i]->type, 0.0));
    }
    for (int i = 0; i < x.list->count; i++)
        *datum_at(x, i) =
            put_gradients(g, x.list->at[i], op, leaf, next); /* the copy that gather_leaves made */
    return x;
}

struct datum gradient_datum(struct elab *e, struct value *y, struct datum x, struct span span) {
    if (!is_loss(e, y, span))
        return datum_error();
    struct gradients g = {.e = e, .y = y, .span = span};
    map_init(&g.seen, e->arena);
    mark_back(&g.seen, e->arena, y);
    x = gather_leaves(&g, x);
    if (g.failed)
        return datum_error();
    rebase_region(e, &y, g.xs.at, g.xs.count);
    struct op *op = g.xs.count > 0 ? build_grad(&e->b, y, g.xs.at, g.xs.count) : NULL;
    if (g.xs.count > 0 && !op)
        return datum_error();
    int leaf = 0, next = 0;
    return put_gradients(&g, x, op, &leaf, &next);
}

/* ---- minimize ---- */

struct step {
    struct elab *e;
    const struct stmt *s;
    struct value *loss;
    struct instance *optimizer;
    struct weight_list weights;
    VEC(struct value *) versions; /* by which the gradients are taken */
    int k;                        /* the ordinal of this minimize */
};

/* Every weight that may be trained, in order of its first read. */
static void all_trainable(struct elab *e, struct weight_list *out) {
    for (int i = 0; i < e->weights.count; i++)
        if (e->weights.at[i]->kind == STATE_WEIGHT && e->weights.at[i]->state->trainable)
            VEC_PUSH(e->arena, &out->at, e->weights.at[i]);
}

static bool choose_weights(struct step *step) {
    struct elab *e = step->e;
    struct weight_list candidates = {.skip_frozen = true};
    if (step->s->over) {
        struct datum over = evaluate(e, step->s->over);
        if (datum_is_error(over))
            return false;
        collect_weights(e, over, &candidates, false);
    } else {
        all_trainable(e, &candidates);
    }
    struct map seen;
    map_init(&seen, e->arena);
    mark_back(&seen, e->arena, step->loss);
    for (int i = 0; i < candidates.at.count; i++) {
        bool several = false;
        struct weight *w = candidates.at.at[i];
        struct value *x = w->state ? reached_version(e, &seen, w, step->s->span, &several) : NULL;
        if (several)
            return false;
        if (!x)
            continue;
        VEC_PUSH(e->arena, &step->weights.at, w);
        VEC_PUSH(e->arena, &step->versions, x);
    }
    if (step->weights.at.count > 0)
        return true;
    struct span place = step->s->over ? step->s->over->span : step->s->value->span;
    struct diag *diag =
        report_error(e, place, E_GRAD, "the loss depends on no weight %s",
                     step->s->over ? "of those that it is minimized over" : "that can be trained");
    if (step->s->over)
        diag_label(diag, step->s->value->span, "the loss");
    diag_hint(diag, "what is frozen, or read through stop_gradient, is not trained");
    return false;
}

static bool choose_optimizer(struct step *step) {
    struct elab *e = step->e;
    const struct expr *x = step->s->optimizer;
    struct datum d = evaluate(e, x);
    if (d.kind == DATUM_INSTANCE && d.instance->module->item->module_kind == MODULE_OPTIMIZER) {
        step->optimizer = d.instance;
        return true;
    }
    if (!datum_is_error(d))
        diag_hint(report_error(e, x->span, E_TYPE, "`using` wants an optimizer, this is %s", describe(e, d)),
                  "an optimizer is made with its parameters: nn.Adam(lr: 1e-3)");
    return false;
}

/* The optimizer's instance for one weight: the same arguments, buffers of its own (N6). */
static struct instance *optimizer_for(struct step *step, const struct weight *w) {
    struct elab *e = step->e;
    struct scope *scope = scope_create(e->arena, SCOPE_INSTANCE, step->optimizer->module->scope);
    for (const struct formal *f = step->optimizer->module->item->formals; f; f = f->next) {
        const struct binding *b = scope_find_here(step->optimizer->scope, f->name.text);
        scope_bind(scope, b->name, b->datum, b->span);
    }
    struct instance *instance = instance_create(e, step->optimizer->module, scope, step->s->optimizer->span);
    instance->owner = e->root;
    instance->path =
        intern(e->names, arena_printf(e->arena, "opt.%s.%d.%s", e->function->name, step->k, w->state->name));
    VEC_PUSH(e->arena, &e->optimizers, instance);
    return instance;
}

static struct datum call_method(struct elab *e, struct instance *self, const struct item *fn,
                                const struct datum *args, int count, const struct expr *place,
                                struct span span) {
    struct closure closure = {.kind = CLOSURE_FN, .item = fn, .scope = self->scope, .self = self};
    struct arguments arguments = {0};
    for (int i = 0; i < count; i++)
        VEC_PUSH(e->arena, &arguments.at, ((struct argument){.datum = args[i], .span = span}));
    return call_fn(e, &closure, &arguments, place, span);
}

/* `fn prepare(gs) -> gs` sees all gradients at once: clipping by the global norm. */
static bool prepare(struct step *step, struct datum *gradients, int count) {
    struct elab *e = step->e;
    const struct item *fn = module_find_fn(step->optimizer->module, intern(e->names, "prepare"));
    if (!fn)
        return true;
    struct datum list = datum_list(e->arena, gradients, count);
    struct datum prepared =
        call_method(e, step->optimizer, fn, &list, 1, step->s->optimizer, step->s->optimizer->span);
    if (datum_is_error(prepared))
        return false;
    if (prepared.kind != DATUM_LIST || prepared.list->count != count) {
        fail(e, fn->name.span, E_TYPE, "prepare must give a list of %d gradients, this is %s", count,
             describe(e, prepared));
        return false;
    }
    memcpy(gradients, prepared.list->at, sizeof *gradients * (size_t)count);
    return true;
}

static bool update_weight(struct step *step, const struct item *fn, struct weight *w, struct datum gradient) {
    struct elab *e = step->e;
    struct datum p = datum_tensor(state_current(e, w));
    p.weight = w;
    struct datum args[] = {p, gradient};
    struct datum next =
        call_method(e, optimizer_for(step, w), fn, args, 2, step->s->optimizer, step->s->optimizer->span);
    if (datum_is_error(next))
        return false;
    struct value *value = to_tensor(e, next, (int)w->state->type->dtype, fn->name.span);
    if (!value)
        return false;
    bool written = state_write(e, w, value, step->s->span);
    if (!written)
        diag_label(diags_last(e->diags), fn->name.span, "its new value comes from here");
    return written;
}

static void update_weights(struct step *step, struct datum *gradients) {
    struct elab *e = step->e;
    const struct item *fn = module_find_fn(step->optimizer->module, intern(e->names, "call"));
    if (!fn) {
        fail(e, step->s->optimizer->span, E_TYPE, "`%s` has no `fn call(p, g)`",
             step->optimizer->module->name);
        return;
    }
    if (!prepare(step, gradients, step->weights.at.count))
        return;
    for (int i = 0; i < step->weights.at.count; i++)
        if (!update_weight(step, fn, step->weights.at.at[i], gradients[i]))
            return; /* the others would say the same */
}

/* ---- accumulate: k (S27): every k-th call updates, with the mean of k gradients ---- */

struct weight *accumulated_calls(struct elab *e) {
    const char *name = arena_printf(e->arena, "opt.%s.call", e->function->name);
    return weight_make(e, intern(e->names, name), STATE_BUFFER, type_scalar(e->types, DTYPE_i32));
}

struct value *is_last_call(struct elab *e, struct span span) {
    struct value *call = state_read(e, accumulated_calls(e), span);
    return call ? build_binary(&e->b, OP_eq, call, build_int(&e->b, DTYPE_i32, e->accumulate - 1)) : NULL;
}

struct accumulation {
    struct step *step;
    struct weight **sums;
};

static void update_by_sums(struct elab *e, void *data) {
    struct accumulation *a = data;
    int count = a->step->weights.at.count;
    struct datum *gradients = ARENA_ARRAY(e->arena, struct datum, count);
    for (int i = 0; i < count; i++) {
        struct value *sum = state_current(e, a->sums[i]);
        gradients[i] = datum_tensor(build_mul(&e->b, sum, build_like(&e->b, sum, 1.0 / e->accumulate)));
    }
    update_weights(a->step, gradients);
    for (int i = 0; i < count; i++)
        state_write(e, a->sums[i], build_full(&e->b, a->sums[i]->state->type, 0.0), a->step->s->span);
}

static void accumulate(struct step *step, const struct op *grad) {
    struct elab *e = step->e;
    struct span span = step->s->span;
    struct accumulation a = {step, ARENA_ARRAY(e->arena, struct weight *, grad->out_count)};
    for (int i = 0; i < grad->out_count; i++) {
        const char *of = step->weights.at.at[i]->state->name;
        const char *name = arena_printf(e->arena, "opt.%s.%d.%s.sum", e->function->name, step->k, of);
        a.sums[i] = weight_make(e, intern(e->names, name), STATE_BUFFER, grad->out[i]->type);
        struct value *sum = state_read(e, a.sums[i], span);
        if (!sum || !state_write(e, a.sums[i], build_add(&e->b, sum, grad->out[i]), span))
            return;
    }
    struct value *last = is_last_call(e, span);
    if (last)
        run_under(e, last, update_by_sums, &a, span);
}

static void apply_step(struct step *step) {
    struct elab *e = step->e;
    int count = step->weights.at.count;
    rebase_region(e, &step->loss, step->versions.at, count);
    struct op *op = build_grad(&e->b, step->loss, step->versions.at, count);
    if (!op)
        return;
    if (e->accumulate > 1) {
        accumulate(step, op);
        return;
    }
    struct datum *gradients = ARENA_ARRAY(e->arena, struct datum, count);
    for (int i = 0; i < count; i++)
        gradients[i] = datum_tensor(op->out[i]);
    update_weights(step, gradients);
}

void run_minimize(struct elab *e, const struct stmt *s) {
    struct step step = {.e = e, .s = s, .k = e->minimize_count++};
    step.loss = to_tensor(e, evaluate(e, s->value), DTYPE_ANY, s->value->span);
    if (!step.loss || !is_loss(e, step.loss, s->value->span))
        return;
    if (!e->is_train) {
        fail(e, s->span, E_STATE, "`minimize` stands in a `train` block, or in a fn that one calls");
        return;
    }
    struct ambient ambient = e->ambient; /* an optimizer computes in its weights' own dtypes */
    e->ambient.has_precision = false;
    e->ambient.products = DTYPE_f32;
    if (choose_weights(&step) && choose_optimizer(&step))
        apply_step(&step);
    e->ambient = ambient;
}
