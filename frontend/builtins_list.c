/* frontend/builtins_list.c: lists, shapes and words: what is computed at elaboration alone. */
#include "frontend/builtin.h"

#include <fnmatch.h>
#include <string.h>

static struct datum run_len(struct elab *e, const struct builtin_call *c) {
    struct datum d = c->args[0];
    if (d.kind == DATUM_STRING)
        return datum_int(e->types, (int64_t)strlen(d.text));
    if (datum_is_run_time(d)) {
        const struct type *type = d.kind == DATUM_TENSOR ? d.tensor->type : d.constant->type;
        return type->rank > 0 ? datum_size(type->dims[0])
                              : fail(e, c->span, E_TYPE, "a scalar has no length");
    }
    if (d.kind == DATUM_RANGE && d.range->lo.kind == DATUM_INT && d.range->hi.kind == DATUM_INT)
        return datum_size(dim_sub(e->types, d.range->hi.size, d.range->lo.size));
    const struct list *items;
    return arg_items(e, c, 0, &items) ? datum_int(e->types, items->count) : datum_error();
}

static struct datum run_range(struct elab *e, const struct builtin_call *c) {
    struct datum lo = c->given[1] ? c->args[0] : datum_int(e->types, 0),
                 hi = c->given[1] ? c->args[1] : c->args[0];
    return apply_binary(e, BINARY_RANGE, lo, hi, c->span, c->spans[0], c->spans[c->given[1]]);
}

static struct datum run_reversed(struct elab *e, const struct builtin_call *c) {
    if (c->args[0].kind == DATUM_RANGE) {
        struct range *range = arena_memdup(e->arena, c->args[0].range, sizeof *range);
        range->reversed = !range->reversed;
        return (struct datum){.kind = DATUM_RANGE, .range = range};
    }
    const struct list *items;
    if (!arg_items(e, c, 0, &items))
        return datum_error();
    struct datum *at = ARENA_ARRAY(e->arena, struct datum, items->count);
    for (int i = 0; i < items->count; i++)
        at[i] = items->at[items->count - 1 - i];
    return datum_list(e->arena, at, items->count);
}

static struct datum run_enumerate(struct elab *e, const struct builtin_call *c) {
    const struct list *items;
    if (!arg_items(e, c, 0, &items))
        return datum_error();
    struct datum *at = ARENA_ARRAY(e->arena, struct datum, items->count);
    for (int i = 0; i < items->count; i++) {
        const struct datum pair[] = {datum_int(e->types, i), items->at[i]};
        at[i] = datum_tuple(e->arena, pair, NULL, 2);
    }
    return datum_list(e->arena, at, items->count);
}

static struct datum run_zip(struct elab *e, const struct builtin_call *c) {
    const struct list *lists = c->args[0].list;
    if (lists->count == 0)
        return fail(e, c->span, E_ARGUMENT, "zip wants lists");
    const struct list **items = ARENA_ARRAY(e->arena, const struct list *, lists->count);
    for (int k = 0; k < lists->count; k++)
        if (!datum_items(e, lists->at[k], c->span, &items[k]))
            return datum_error();
    for (int k = 1; k < lists->count; k++)
        if (items[k]->count != items[0]->count)
            return fail(e, c->span, E_TYPE, "zip of lists of %d and %d elements", items[0]->count,
                        items[k]->count);
    struct datum *at = ARENA_ARRAY(e->arena, struct datum, items[0]->count),
                 *row = ARENA_ARRAY(e->arena, struct datum, lists->count);
    for (int i = 0; i < items[0]->count; i++) {
        for (int k = 0; k < lists->count; k++)
            row[k] = items[k]->at[i];
        at[i] = datum_tuple(e->arena, row, NULL, lists->count);
    }
    return datum_list(e->arena, at, items[0]->count);
}

/* The characters of a string are strings: join(["CT", "A"]) as a list of letters is ["C", "T", "A"]. */
static struct datum letters(struct elab *e, const struct list *words) {
    VEC(struct datum) out = {0};
    for (int i = 0; i < words->count; i++)
        for (const char *p = words->at[i].text; *p; p++)
            VEC_PUSH(e->arena, &out, datum_string(intern_n(e->names, p, 1)));
    return datum_list(e->arena, out.at, out.count);
}

/* Lists in a list become one; strings, with something between them, one string; without, the list of their
 * letters. */
static struct datum run_join(struct elab *e, const struct builtin_call *c) {
    const struct list *items;
    if (!arg_items(e, c, 0, &items))
        return datum_error();
    bool words = items->count > 0;
    for (int i = 0; i < items->count; i++)
        words &= items->at[i].kind == DATUM_STRING;
    if (words && !c->given[1])
        return letters(e, items);
    if (words) {
        const char *between = arg_string(e, c, 1);
        struct strbuf text;
        strbuf_init(&text, e->arena);
        for (int i = 0; i < items->count && between; i++)
            strbuf_printf(&text, "%s%s", i ? between : "", items->at[i].text);
        return between ? datum_string(intern(e->names, text.text)) : datum_error();
    }
    VEC(struct datum) out = {0};
    for (int i = 0; i < items->count; i++) {
        const struct list *part;
        if (!datum_items(e, items->at[i], c->spans[0], &part))
            return datum_error();
        for (int k = 0; k < part->count; k++)
            VEC_PUSH(e->arena, &out, part->at[k]);
    }
    return datum_list(e->arena, out.at, out.count);
}

static struct datum run_shape(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    if (!x)
        return datum_error();
    struct datum *dims = ARENA_ARRAY(e->arena, struct datum, x->type->rank);
    for (int i = 0; i < x->type->rank; i++)
        dims[i] = datum_size(x->type->dims[i]);
    return datum_list(e->arena, dims, x->type->rank);
}

static struct datum run_rank(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    return x ? datum_int(e->types, x->type->rank) : datum_error();
}

static struct datum run_match(struct elab *e, const struct builtin_call *c) {
    const char *name = arg_string(e, c, 0), *glob = name ? arg_string(e, c, 1) : NULL;
    return glob ? datum_bool(fnmatch(glob, name, 0) == 0) : datum_error();
}

static struct datum run_string(struct elab *e, const struct builtin_call *c) {
    struct strbuf text;
    strbuf_init(&text, e->arena);
    datum_print(&text, e->types, c->args[0]);
    return datum_string(intern_n(e->names, text.text ? text.text : "", text.length));
}

const struct builtin builtins_list[] = {
    {"len", "list", run_len, 0},
    {"range", "a b?", run_range, 0},
    {"reversed", "list", run_reversed, 0},
    {"enumerate", "list", run_enumerate, 0},
    {"zip", "lists*", run_zip, 0},
    {"join", "list between?", run_join, 0},
    {"shape", "x", run_shape, 0},
    {"rank", "x", run_rank, 0},
    {"match", "name glob", run_match, 0},
    {"string", "x", run_string, 0},
    {0},
};
