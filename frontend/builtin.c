/* frontend/builtin.c: the scope of functions that are written in C, and checks of their arguments. */
#include "frontend/builtin.h"

#include <math.h>
#include <string.h>

static const struct builtin *const families[] = {
    builtins_math,   builtins_reduce, builtins_shape,  builtins_source, builtins_index,
    builtins_window, builtins_einops, builtins_random, builtins_list,   builtins_model,
};

const struct builtin *builtin_find(const char *name) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const struct builtin *b = families[i]; b->name; b++)
            if (strcmp(b->name, name) == 0)
                return b;
    return NULL;
}

struct scope *builtins_scope(struct arena *arena, struct interner *names, struct types *types) {
    (void)types;
    struct scope *scope = scope_create(arena, SCOPE_BUILTINS, NULL);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const struct builtin *b = families[i]; b->name; b++)
            scope_bind(scope, intern(names, b->name), (struct datum){.kind = DATUM_BUILTIN, .builtin = b},
                       (struct span){0});
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"pi", 3.14159265358979323846}, {"inf", (double)INFINITY}, {"nan", (double)NAN}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        scope_bind(scope, intern(names, numbers[i].name), datum_float(numbers[i].value), (struct span){0});
    return scope;
}

void hint_shape(struct diag *diag, const char *name, struct datum first) {
    if (first.kind == DATUM_INT)
        diag_hint(diag, "a shape is a list: %s([2, 3])", name);
}

/* "the argument axis of sum must be an int, this is a float" */
static void refuse(struct elab *e, const struct builtin_call *c, int i, const char *wanted) {
    const char *p = c->builtin->params;
    for (int k = 0; k < i; k++)
        p += strcspn(p, " ") + 1;
    struct diag *diag =
        report_error(e, c->spans[i], datum_is_run_time(c->args[i]) ? E_TIME : E_TYPE,
                     "the argument `%.*s` of `%s` must be %s, this is %s", (int)strcspn(p, "?* "), p,
                     c->builtin->name, wanted, describe(e, c->args[i]));
    if (strncmp(c->builtin->params, "shape", 5) == 0)
        hint_shape(diag, c->builtin->name, c->args[0]);
    else if (i == 0 && datum_is_run_time(c->args[0]) && strcmp(wanted, "a list") == 0)
        diag_hint(diag, "the tensors stand in a list: %s([x, y])", c->builtin->name);
    else
        hint_argument(diag, c->builtin->name);
}

bool arg_int(struct elab *e, const struct builtin_call *c, int i, int64_t *out) {
    if (datum_is_known_int(c->args[i])) {
        *out = dim_value(c->args[i].size);
        return true;
    }
    refuse(e, c, i, "a known int");
    return false;
}

bool arg_bool(struct elab *e, const struct builtin_call *c, int i, bool *out) {
    *out = false;
    if (!c->given[i] || datum_is_none(c->args[i]))
        return true;
    if (c->args[i].kind != DATUM_BOOL) {
        refuse(e, c, i, "true or false");
        return false;
    }
    *out = c->args[i].truth;
    return true;
}

bool arg_dtype(struct elab *e, const struct builtin_call *c, int i, enum dtype *out) {
    if (!c->given[i] || datum_is_none(c->args[i]))
        return true;
    if (c->args[i].kind == DATUM_DTYPE) {
        *out = c->args[i].dtype;
        return true;
    }
    refuse(e, c, i, "a dtype");
    return false;
}

const char *arg_string(struct elab *e, const struct builtin_call *c, int i) {
    if (c->args[i].kind == DATUM_STRING)
        return c->args[i].text;
    refuse(e, c, i, "a string");
    return NULL;
}

struct value *arg_tensor(struct elab *e, const struct builtin_call *c, int i, int dtype) {
    struct datum d = c->args[i];
    if (datum_is_run_time(d) || datum_is_number(d) || d.kind == DATUM_BOOL)
        return to_tensor(e, d, dtype, c->spans[i]);
    refuse(e, c, i, "a tensor");
    return NULL;
}

static bool settle_axis(struct elab *e, const struct builtin_call *c, int i, struct datum d, int rank,
                        int *out) {
    if (!datum_is_known_int(d)) {
        refuse(e, c, i, "an int or a list of ints");
        return false;
    }
    int64_t axis = dim_value(d.size);
    if (axis < -rank || axis >= rank) {
        report_error(e, c->spans[i], E_INDEX, "there is no axis %lld: `%s` has an operand of %d ax%s",
                     (long long)axis, c->builtin->name, rank, rank == 1 ? "is" : "es");
        return false;
    }
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

bool arg_axis(struct elab *e, const struct builtin_call *c, int i, int rank, int *out) {
    return settle_axis(e, c, i, c->args[i], rank, out);
}

static int64_t *all_axes(struct elab *e, int rank, int *count) {
    int64_t *axes = ARENA_ARRAY(e->arena, int64_t, rank);
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    *count = rank;
    return axes;
}

int64_t *arg_axes(struct elab *e, const struct builtin_call *c, int i, int rank, int *count) {
    if (!c->given[i] || datum_is_none(c->args[i]))
        return all_axes(e, rank, count);
    struct datum one = c->args[i];
    const struct datum *at = &one;
    int n = 1;
    if (datum_is_sequence(one)) {
        at = one.list->at;
        n = one.list->count;
    }
    bool *taken = ARENA_ARRAY(e->arena, bool, rank);
    for (int k = 0; k < n; k++) {
        int axis;
        if (!settle_axis(e, c, i, at[k], rank, &axis))
            return NULL;
        if (taken[axis]) {
            report_error(e, c->spans[i], E_INDEX, "the axis %d is given twice", axis);
            return NULL;
        }
        taken[axis] = true;
    }
    int64_t *axes = ARENA_ARRAY(e->arena, int64_t, n);
    *count = 0;
    for (int axis = 0; axis < rank; axis++)
        if (taken[axis])
            axes[(*count)++] = axis;
    return axes;
}

bool arg_items(struct elab *e, const struct builtin_call *c, int i, const struct list **out) {
    if (datum_is_sequence(c->args[i]) || c->args[i].kind == DATUM_RANGE)
        return datum_items(e, c->args[i], c->spans[i], out);
    refuse(e, c, i, "a list");
    return false;
}

const struct dim **arg_dims(struct elab *e, const struct builtin_call *c, int i, int *count) {
    const struct list *items;
    if (!arg_items(e, c, i, &items))
        return NULL;
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, items->count);
    for (int k = 0; k < items->count; k++) {
        if (items->at[k].kind != DATUM_INT) {
            refuse(e, c, i, "a list of ints");
            return NULL;
        }
        dims[k] = items->at[k].size;
    }
    *count = items->count;
    return dims;
}

bool sizes_are_natural(struct elab *e, const struct dim *const *dims, int count, struct span span) {
    for (int i = 0; i < count; i++)
        if (dim_compare(e->types, dims[i], dim_const(e->types, 0)) == -1) {
            report_error(e, span, E_DIM, "the size %s of a shape is negative", dim_text(e->types, dims[i]));
            return false;
        }
    return true;
}

const struct dim **arg_shape(struct elab *e, const struct builtin_call *c, int i, int *count) {
    const struct dim **dims = arg_dims(e, c, i, count);
    return dims && sizes_are_natural(e, dims, *count, c->spans[i]) ? dims : NULL;
}

int64_t *arg_ints(struct elab *e, const struct builtin_call *c, int i, int want, int *count) {
    int n;
    const struct dim **dims = arg_dims(e, c, i, &n);
    if (!dims)
        return NULL;
    int64_t *ints = ARENA_ARRAY(e->arena, int64_t, n);
    for (int k = 0; k < n; k++) {
        if (!dim_is_const(dims[k])) {
            refuse(e, c, i, "a list of known ints");
            return NULL;
        }
        ints[k] = dim_value(dims[k]);
    }
    if (want >= 0 && n != want) {
        refuse(e, c, i, arena_printf(e->arena, "a list of %d ints", want));
        return NULL;
    }
    if (count)
        *count = n;
    return ints;
}
