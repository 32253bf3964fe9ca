/* ir/bind.c: sizes for dimension variables, in a function and what it calls. */
#include "ir/graph.h"

#include "base/map.h"

#include <string.h>

/* ---- which variables a function depends on ---- */

static bool dims_use(struct types *types, const struct dim *const *dims, int count, const char *name) {
    const struct dim_binding any = {name, 1};
    for (int i = 0; i < count; i++)
        if (dim_bind(types, dims[i], &any, 1) != dims[i])
            return true;
    return false;
}

static bool block_uses_dim(const struct graph *graph, const struct block *block, const char *name) {
    for (int i = 0; i < block->param_count; i++)
        if (dims_use(graph->types, block->params[i]->type->dims, block->params[i]->type->rank, name))
            return true;
    FOR_EACH_OP (op, block) {
        for (int i = 0; i < op->out_count; i++)
            if (dims_use(graph->types, op->out[i]->type->dims, op->out[i]->type->rank, name))
                return true;
        for (int i = 0; i < op->attr_count; i++) {
            const struct attr *attr = &op->attrs[i];
            enum attr_kind kind = attr_kind(attr->name);
            if ((kind == ATTR_DIM && dims_use(graph->types, &attr->dim, 1, name)) ||
                (kind == ATTR_DIMS && dims_use(graph->types, attr->dims, attr->count, name)) ||
                (kind == ATTR_FUNCTION && function_uses_dim(graph, attr->function, name)))
                return true;
        }
        for (int r = 0; r < op->region_count; r++)
            if (block_uses_dim(graph, op->regions[r], name))
                return true;
    }
    return false;
}

bool function_uses_dim(const struct graph *graph, const struct function *function, const char *name) {
    return block_uses_dim(graph, function->body, intern(graph->names, name));
}

/* ---- binding ---- */

struct binder {
    struct graph *graph;
    const struct dim_binding *bindings;
    int count;
    struct diags *diags;
    struct map done; /* functions */
    bool *is_used;   /* by binding: some size depends on it */
};

static bool report_unbound(struct binder *b, const struct site *site, const struct dim *dim) {
    const struct dim *bound = dim_bind(b->graph->types, dim, b->bindings, b->count);
    if (!bound)
        diag_error_at(b->diags, site, E_DIM, "the size %s is not a whole number at these dims",
                      dim_text(b->graph->types, dim));
    else if (!dim_is_const(bound))
        diag_error_at(b->diags, site, E_DIM, "the size %s has no value yet: give one for each dim",
                      dim_text(b->graph->types, bound));
    else
        diag_error_at(b->diags, site, E_DIM, "the size %s is negative, %lld, at these dims",
                      dim_text(b->graph->types, dim), (long long)dim_value(bound));
    return false;
}

static void note_use(struct binder *b, const struct dim *dim) {
    for (int i = 0; i < b->count && !dim_is_const(dim); i++)
        if (!b->is_used[i])
            b->is_used[i] = dim_bind(b->graph->types, dim, &b->bindings[i], 1) != dim;
}

/* NULL: reported. */
static const struct dim *bind_dim(struct binder *b, const struct site *site, const struct dim *dim,
                                  bool is_size) {
    const struct dim *bound = dim_bind(b->graph->types, dim, b->bindings, b->count);
    note_use(b, dim);
    if (bound && dim_is_const(bound) && (!is_size || dim_value(bound) >= 0))
        return bound;
    report_unbound(b, site, dim);
    return NULL;
}

static const struct dim *const *bind_dims(struct binder *b, const struct site *site,
                                          const struct dim *const *dims, int count, bool is_size) {
    const struct dim **bound = ARENA_ARRAY(b->graph->arena, const struct dim *, count);
    for (int i = 0; i < count; i++)
        if (!(bound[i] = bind_dim(b, site, dims[i], is_size)))
            return NULL;
    return bound;
}

static bool bind_value(struct binder *b, const struct site *site, struct value *value) {
    if (type_is_static(value->type))
        return true;
    const struct dim *const *dims = bind_dims(b, site, value->type->dims, value->type->rank, true);
    if (dims)
        value->type = type_with_dims(b->graph->types, value->type, value->type->rank, dims);
    return dims != NULL;
}

static bool bind_attrs(struct binder *b, struct op *op) {
    for (int i = 0; i < op->attr_count; i++) {
        struct attr *attr = &op->attrs[i];
        if (attr_kind(attr->name) == ATTR_DIM && !(attr->dim = bind_dim(b, op->site, attr->dim, true)))
            return false;
        if (attr_kind(attr->name) == ATTR_DIMS &&
            !(attr->dims = bind_dims(b, op->site, attr->dims, attr->count, false)))
            return false;
    }
    return true;
}

static bool bind_function(struct binder *b, struct function *function);

static bool bind_block(struct binder *b, struct block *block, const struct site *site) {
    for (int i = 0; i < block->param_count; i++)
        if (!bind_value(b, site, block->params[i]))
            return false;
    FOR_EACH_OP (op, block) {
        if (!bind_attrs(b, op) ||
            (op->code == OP_call && !bind_function(b, op_attr(op, ATTR_function)->function)))
            return false;
        for (int r = 0; r < op->region_count; r++)
            if (!bind_block(b, op->regions[r], op->site))
                return false;
        for (int i = 0; i < op->out_count; i++)
            if (!bind_value(b, op->site, op->out[i]))
                return false;
        if (!op_infer(b->graph, op, b->diags))
            return false;
    }
    return true;
}

static bool holds(const struct precondition *p, int64_t size) {
    return p->multiple ? size % p->multiple == 0 : size >= 0;
}

/* ", as H is 2 and W is 3": what the dim depends on; a message was written before H had a value. */
static const char *bindings_text(struct binder *b, const struct dim *dim) {
    struct strbuf out;
    strbuf_init(&out, b->graph->arena);
    for (int i = 0; i < b->count; i++)
        if (dim_bind(b->graph->types, dim, &b->bindings[i], 1) != dim)
            strbuf_printf(&out, "%s%s is %lld", out.length ? " and " : ", as ", b->bindings[i].name,
                          (long long)b->bindings[i].value);
    return out.length ? out.text : "";
}

static void refuse_sizes(struct binder *b, const struct precondition *p, int64_t size) {
    const char *text = dim_text(b->graph->types, p->dim);
    if (p->multiple) {
        struct diag *diag =
            diag_error_at(b->diags, p->site, E_DIM, "%s must be a multiple of %lld, but is %lld", text,
                          (long long)p->multiple, (long long)size);
        if (p->message)
            diag_note(diag, "%s", p->message);
        return;
    }
    struct diag *diag = diag_error_at(b->diags, p->site, E_DIM, "the sizes do not fit: %s",
                                      p->message ? p->message : "one is too large or too small");
    diag_note(diag, "%s is %lld, and may not be negative%s", text, (long long)size, bindings_text(b, p->dim));
}

static bool check_preconditions(struct binder *b, const struct function *function) {
    bool ok = true;
    for (int i = 0; i < function->preconditions.count; i++) {
        const struct precondition *p = &function->preconditions.at[i];
        const struct dim *bound = dim_bind(b->graph->types, p->dim, b->bindings, b->count);
        if (!bound || !dim_is_const(bound) || holds(p, dim_value(bound)))
            continue;
        refuse_sizes(b, p, dim_value(bound));
        ok = false;
    }
    return ok;
}

static bool bind_function(struct binder *b, struct function *function) {
    if (map_has(&b->done, function))
        return true;
    map_put(&b->done, function, function);
    return check_preconditions(b, function) && bind_block(b, function->body, function->site);
}

bool graph_bind(struct graph *graph, struct function *function, const struct dim_binding *bindings, int count,
                struct diags *diags) {
    struct binder b = {graph, bindings, count, diags, {0}, ARENA_ARRAY(graph->arena, bool, count + 1)};
    map_init(&b.done, graph->arena);
    if (!bind_function(&b, function))
        return false;
    for (int i = 0; i < count; i++) {
        struct dim_binding used = {intern(graph->names, bindings[i].name), bindings[i].value};
        if (b.is_used[i])
            VEC_PUSH(graph->arena, &function->sizes, used);
    }
    return true;
}
