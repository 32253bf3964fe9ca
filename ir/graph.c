/* ir/graph.c: making, linking, changing and copying graphs. */
#include "ir/graph.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct site site_unknown;

/* ---- the graph and what it owns ---- */

struct graph *graph_create(struct arena *arena, struct types *types, struct interner *names,
                           const char *name) {
    struct graph *graph = ARENA_NEW(arena, struct graph);
    graph->arena = arena;
    graph->types = types;
    graph->names = names;
    graph->name = intern(names, name);
    map_init(&graph->state_names, arena);
    return graph;
}

struct function *graph_add_function(struct graph *graph, const char *name, enum function_kind kind,
                                    const struct site *site) {
    struct function *function = ARENA_NEW(graph->arena, struct function);
    function->name = intern(graph->names, name);
    function->kind = kind;
    function->site = site ? site : &site_unknown;
    function->graph = graph;
    function->body = block_create(graph, function, NULL);
    VEC_PUSH(graph->arena, &graph->functions, function);
    return function;
}

struct function *graph_find_function(const struct graph *graph, const char *name) {
    for (int i = 0; i < graph->functions.count; i++)
        if (strcmp(graph->functions.at[i]->name, name) == 0)
            return graph->functions.at[i];
    return NULL;
}

void function_assume(const struct function *function) {
    struct types *types = function->graph->types;
    dim_forget_assumptions(types);
    for (int i = 0; i < function->preconditions.count; i++) {
        const struct precondition *p = &function->preconditions.at[i];
        if (p->multiple)
            dim_assume_multiple(types, p->dim, p->multiple);
    }
}

void function_require(struct function *function, const struct precondition *precondition) {
    for (int i = 0; i < function->preconditions.count; i++) {
        const struct precondition *p = &function->preconditions.at[i];
        bool is_stronger = precondition->multiple && p->multiple % precondition->multiple == 0;
        if (p->dim == precondition->dim &&
            (p->multiple == precondition->multiple || (p->multiple && is_stronger)))
            return;
    }
    VEC_PUSH(function->graph->arena, &function->preconditions, *precondition);
}

struct state *graph_add_state(struct graph *graph, const char *name, enum state_kind kind,
                              const struct type *type, const struct site *site) {
    struct state *state = ARENA_NEW(graph->arena, struct state);
    state->name = intern(graph->names, name);
    state->kind = kind;
    state->type = type;
    state->site = site ? site : &site_unknown;
    state->index = graph->states.count;
    VEC_PUSH(graph->arena, &graph->states, state);
    map_put(&graph->state_names, state->name, state);
    return state;
}

struct state *graph_find_state(const struct graph *graph, const char *name) {
    return map_find(&graph->state_names, intern(graph->names, name));
}

static struct value *value_create(struct graph *graph, const struct type *type, int index) {
    struct value *value = ARENA_NEW(graph->arena, struct value);
    value->type = type;
    value->index = index;
    value->id = graph->next_value++;
    return value;
}

struct block *block_create(struct graph *graph, struct function *function, struct op *owner) {
    struct block *block = ARENA_NEW(graph->arena, struct block);
    block->function = function;
    block->owner = owner;
    return block;
}

/* An array of `count` elements has room for a power of two: a loop over a large model captures thousands of
 * weights, and an arena keeps every array that was outgrown. */
static size_t room(int count) {
    size_t room = 1;
    while (room < (size_t)count)
        room *= 2;
    return room;
}

/* The array, with room for one more. */
static void *grow(struct graph *graph, void *old, int count, size_t size) {
    if (count > 0 && room(count) > (size_t)count)
        return old;
    return arena_grow(graph->arena, old, (size_t)count * size, room(count + 1) * size);
}

struct value *block_add_param(struct graph *graph, struct block *block, const struct type *type,
                              const char *name) {
    struct value *param = value_create(graph, type, block->param_count);
    param->block = block;
    param->name = name ? intern(graph->names, name) : NULL;
    block->params = grow(graph, block->params, block->param_count, sizeof(*block->params));
    block->params[block->param_count++] = param;
    return param;
}

struct op *block_yield(const struct block *block) {
    return block->last && block->last->code == OP_yield ? block->last : NULL;
}

/* ---- uses ---- */

static void use_link(struct use *use, struct value *value) {
    use->prev = NULL;
    use->next = value->uses;
    if (value->uses)
        value->uses->prev = use;
    value->uses = use;
}

static void use_unlink(struct use *use, struct value *value) {
    if (use->prev)
        use->prev->next = use->next;
    else
        value->uses = use->next;
    if (use->next)
        use->next->prev = use->prev;
    use->prev = use->next = NULL;
}

void op_set_in(struct op *op, int index, struct value *value) {
    assert(index >= 0 && index < op->in_count);
    use_unlink(&op->in_uses[index], op->in[index]);
    op->in[index] = value;
    use_link(&op->in_uses[index], value);
}

/* The uses are nodes of lists: moved to a wider array, their neighbours must be told. */
static void widen_uses(struct graph *graph, struct op *op) {
    struct use *uses = ARENA_ARRAY(graph->arena, struct use, room(op->in_count + 1));
    for (int i = 0; i < op->in_count; i++) {
        uses[i] = op->in_uses[i];
        if (uses[i].next)
            uses[i].next->prev = &uses[i];
        if (uses[i].prev)
            uses[i].prev->next = &uses[i];
        else
            op->in[i]->uses = &uses[i];
    }
    op->in_uses = uses;
}

void op_add_in(struct graph *graph, struct op *op, struct value *value) {
    int count = op->in_count;
    if (count > 0 && room(count) == (size_t)count)
        widen_uses(graph, op);
    op->in = grow(graph, op->in, count, sizeof(*op->in));
    op->in[count] = value;
    op->in_uses[count] = (struct use){.user = op, .index = count};
    op->in_count++;
    use_link(&op->in_uses[count], value);
}

void op_remove_in(struct op *op, int index) {
    use_unlink(&op->in_uses[index], op->in[index]);
    for (int i = index; i + 1 < op->in_count; i++) {
        struct value *value = op->in[i + 1];
        use_unlink(&op->in_uses[i + 1], value);
        op->in[i] = value;
        use_link(&op->in_uses[i], value);
    }
    op->in_count--;
}

void op_remove_out(struct op *op, int index) {
    assert(!value_has_uses(op->out[index]));
    for (int i = index; i + 1 < op->out_count; i++) {
        op->out[i] = op->out[i + 1];
        op->out[i]->index = i;
    }
    op->out_count--;
}

void block_remove_param(struct block *block, int index) {
    assert(!value_has_uses(block->params[index]));
    for (int i = index; i + 1 < block->param_count; i++) {
        block->params[i] = block->params[i + 1];
        block->params[i]->index = i;
    }
    block->param_count--;
}

bool block_has_effects(const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_yield)
            continue;
        if (!op_is_pure(op->code))
            return true;
        if (op->code == OP_call && block_has_effects(op_attr(op, ATTR_function)->function->body))
            return true;
        for (int r = 0; r < op->region_count; r++)
            if (block_has_effects(op->regions[r]))
                return true;
    }
    return false;
}

void value_replace(struct value *old, struct value *with) {
    assert(old != with);
    FOR_EACH_USE (use, old)
        op_set_in(use->user, use->index, with);
}

bool value_has_uses(const struct value *value) {
    return value->uses != NULL;
}

int value_use_count(const struct value *value) {
    int count = 0;
    for (const struct use *use = value->uses; use; use = use->next)
        count++;
    return count;
}

/* ---- ops ---- */

/* A list of an attribute copied into the graph's arena. */
static struct attr attr_copy(struct graph *graph, const struct attr *attr) {
    struct attr copy = *attr;
    switch (attr_kind(attr->name)) {
    case ATTR_INTS:
        copy.ints = arena_memdup(graph->arena, attr->ints, sizeof(*attr->ints) * (size_t)attr->count);
        break;
    case ATTR_DIMS:
        copy.dims = arena_memdup(graph->arena, attr->dims, sizeof(*attr->dims) * (size_t)attr->count);
        break;
    case ATTR_STRING:
        copy.string = intern(graph->names, attr->string);
        break;
    case ATTR_DATA: {
        struct data *data = ARENA_NEW(graph->arena, struct data);
        data->type = attr->data->type;
        data->bytes = arena_memdup(graph->arena, attr->data->bytes, (size_t)type_bytes(data->type));
        copy.data = data;
        break;
    }
    default:
        break;
    }
    return copy;
}

struct op *op_create(struct graph *graph, enum opcode code, struct value *const *in, int in_count,
                     const struct attr *attrs, int attr_count, const struct type *const *types, int out_count,
                     const struct site *site) {
    struct op *op = ARENA_NEW(graph->arena, struct op);
    op->code = code;
    op->site = site ? site : &site_unknown;
    op->id = graph->next_op++;
    op->in_count = in_count;
    op->in = ARENA_ARRAY(graph->arena, struct value *, room(in_count));
    op->in_uses = ARENA_ARRAY(graph->arena, struct use, room(in_count));
    for (int i = 0; i < in_count; i++) {
        op->in[i] = in[i];
        op->in_uses[i] = (struct use){.user = op, .index = i};
        use_link(&op->in_uses[i], in[i]);
    }
    for (int i = 0; i < attr_count; i++)
        op_set_attr(graph, op, attrs[i]);
    op->out_count = out_count;
    op->out = ARENA_ARRAY(graph->arena, struct value *, room(out_count));
    for (int i = 0; i < out_count; i++) {
        op->out[i] = value_create(graph, types ? types[i] : NULL, i);
        op->out[i]->def = op;
    }
    return op;
}

struct block *op_add_region(struct graph *graph, struct op *op) {
    struct block *region = block_create(graph, op->block ? op->block->function : NULL, op);
    op->regions = grow(graph, op->regions, op->region_count, sizeof(*op->regions));
    op->regions[op->region_count++] = region;
    return region;
}

struct value *op_add_out(struct graph *graph, struct op *op, const struct type *type) {
    struct value *value = value_create(graph, type, op->out_count);
    value->def = op;
    op->out = grow(graph, op->out, op->out_count, sizeof(*op->out));
    op->out[op->out_count++] = value;
    return value;
}

/* The regions of an op that was made before it was put anywhere learn their function here. */
static void op_set_block(struct op *op, struct block *block) {
    op->block = block;
    for (int i = 0; i < op->region_count; i++) {
        if (op->regions[i]->function == block->function)
            continue;
        op->regions[i]->function = block->function;
        FOR_EACH_OP (inner, op->regions[i])
            op_set_block(inner, op->regions[i]);
    }
}

void op_insert_before(struct op *op, struct op *before) {
    assert(!op->block);
    op->prev = before->prev;
    op->next = before;
    if (before->prev)
        before->prev->next = op;
    else
        before->block->first = op;
    before->prev = op;
    op_set_block(op, before->block);
}

void op_append(struct op *op, struct block *block) {
    assert(!op->block);
    op->prev = block->last;
    if (block->last)
        block->last->next = op;
    else
        block->first = op;
    block->last = op;
    op_set_block(op, block);
}

static void op_unlink(struct op *op) {
    if (!op->block)
        return;
    if (op->prev)
        op->prev->next = op->next;
    else
        op->block->first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        op->block->last = op->prev;
    op->prev = op->next = NULL;
    op->block = NULL;
}

void op_move_before(struct op *op, struct op *before) {
    if (op == before)
        return;
    op_unlink(op);
    op_insert_before(op, before);
}

static void op_drop_uses(struct op *op) {
    for (int i = 0; i < op->in_count; i++)
        use_unlink(&op->in_uses[i], op->in[i]);
    op->in_count = 0;
    for (int i = 0; i < op->region_count; i++)
        FOR_EACH_OP (inner, op->regions[i])
            op_drop_uses(inner);
}

void op_erase(struct op *op) {
    for (int i = 0; i < op->out_count; i++)
        assert(!value_has_uses(op->out[i]));
    op_drop_uses(op);
    op_unlink(op);
}

bool op_is_seed(const struct op *op) {
    if (op->code != OP_input || strcmp(op_string(op, ATTR_name), "seed") != 0)
        return false;
    const struct type *type = op->out[0]->type;
    return type->dtype == DTYPE_u32 && type->rank == 1 && dim_is_const(type->dims[0]) &&
           dim_value(type->dims[0]) == 2;
}

int op_region_shift(const struct op *op) {
    return op->code == OP_cond || op->code == OP_loop ? 1 : 0;
}

int op_first_capture(const struct op *op) {
    return op->code == OP_loop ? 2 + (int)op_int(op, ATTR_carried) : op_region_shift(op);
}

/* ---- attributes: kept in the order of attrs.def ---- */

const struct attr *op_attr(const struct op *op, enum attr_name name) {
    for (int i = 0; i < op->attr_count; i++)
        if (op->attrs[i].name == name)
            return &op->attrs[i];
    return NULL;
}

static const struct attr *op_get_attr(const struct op *op, enum attr_name name) {
    const struct attr *attr = op_attr(op, name);
    assert(attr);
    return attr;
}

int64_t op_int(const struct op *op, enum attr_name name) {
    return op_get_attr(op, name)->i;
}

const int64_t *op_ints(const struct op *op, enum attr_name name, int *count) {
    const struct attr *attr = op_get_attr(op, name);
    if (count)
        *count = attr->count;
    return attr->ints;
}

double op_float(const struct op *op, enum attr_name name) {
    return op_get_attr(op, name)->f;
}

const char *op_string(const struct op *op, enum attr_name name) {
    return op_get_attr(op, name)->string;
}

const struct dim *const *op_dims(const struct op *op, enum attr_name name, int *count) {
    const struct attr *attr = op_get_attr(op, name);
    if (count)
        *count = attr->count;
    return attr->dims;
}

void op_set_attr(struct graph *graph, struct op *op, struct attr attr) {
    int at = 0;
    while (at < op->attr_count && op->attrs[at].name < attr.name)
        at++;
    if (at == op->attr_count || op->attrs[at].name != attr.name) {
        op->attrs = grow(graph, op->attrs, op->attr_count, sizeof(*op->attrs));
        memmove(&op->attrs[at + 1], &op->attrs[at], sizeof(*op->attrs) * (size_t)(op->attr_count - at));
        op->attr_count++;
    }
    op->attrs[at] = attr_copy(graph, &attr);
}

bool attr_equal(const struct attr *a, const struct attr *b) {
    if (a->name != b->name)
        return false;
    switch (attr_kind(a->name)) {
    case ATTR_INT:
        return a->i == b->i;
    case ATTR_INTS:
        return a->count == b->count &&
               (a->count == 0 || memcmp(a->ints, b->ints, sizeof(*a->ints) * (size_t)a->count) == 0);
    case ATTR_FLOAT:
        return memcmp(&a->f, &b->f, sizeof(a->f)) == 0; /* as bits: 0 is not -0, and a NaN is itself */
    case ATTR_STRING:
        return a->string == b->string || strcmp(a->string, b->string) == 0;
    case ATTR_DIM:
        return a->dim == b->dim;
    case ATTR_DIMS:
        return a->count == b->count &&
               (a->count == 0 || memcmp(a->dims, b->dims, sizeof(*a->dims) * (size_t)a->count) == 0);
    case ATTR_DATA:
        return a->data->type == b->data->type &&
               (type_bytes(a->data->type) == 0 ||
                memcmp(a->data->bytes, b->data->bytes, (size_t)type_bytes(a->data->type)) == 0);
    case ATTR_STATE:
        return a->state == b->state;
    case ATTR_FUNCTION:
        return a->function == b->function;
    }
    return false;
}

/* ---- cloning ---- */

static struct value *mapped(const struct map *map, struct value *value) {
    struct value *found = map_find(map, value);
    return found ? found : value;
}

struct op *op_clone(struct graph *graph, const struct op *op, struct map *map) {
    struct value **in = ARENA_ARRAY(graph->arena, struct value *, op->in_count);
    const struct type **types = ARENA_ARRAY(graph->arena, const struct type *, op->out_count);
    for (int i = 0; i < op->in_count; i++)
        in[i] = mapped(map, op->in[i]);
    for (int i = 0; i < op->out_count; i++)
        types[i] = op->out[i]->type;
    struct op *clone = op_create(graph, op->code, in, op->in_count, op->attrs, op->attr_count, types,
                                 op->out_count, op->site);
    for (int i = 0; i < op->out_count; i++) {
        clone->out[i]->name = op->out[i]->name;
        map_put(map, op->out[i], clone->out[i]);
    }
    for (int i = 0; i < op->region_count; i++) {
        struct block *from = op->regions[i], *into = op_add_region(graph, clone);
        for (int j = 0; j < from->param_count; j++)
            map_put(map, from->params[j],
                    block_add_param(graph, into, from->params[j]->type, from->params[j]->name));
        FOR_EACH_OP (inner, from)
            op_append(op_clone(graph, inner, map), into);
    }
    return clone;
}

void block_clone_into(struct graph *graph, const struct block *from, struct block *into, struct op *before,
                      struct map *map) {
    FOR_EACH_OP (op, from) {
        if (op->code == OP_yield)
            continue;
        struct op *clone = op_clone(graph, op, map);
        if (before)
            op_insert_before(clone, before);
        else
            op_append(clone, into);
    }
}

/* ---- closing regions ---- */

/* The parameter of `region` for the outside value: an old capture's, or that of a new one. */
static struct value *region_capture(struct graph *graph, struct op *op, struct block *region,
                                    struct value *value) {
    int shift = op_region_shift(op);
    for (int i = op_first_capture(op); i < op->in_count; i++)
        if (op->in[i] == value && i - shift < region->param_count)
            return region->params[i - shift];
    op_add_in(graph, op, value);
    for (int r = 0; r < op->region_count; r++)
        if (op->regions[r]->param_count < op->in_count - shift)
            block_add_param(graph, op->regions[r], value->type, value->name);
    return region->params[op->in_count - 1 - shift];
}

void region_close(struct graph *graph, struct op *op, struct block *region) {
    FOR_EACH_OP (inner, region) {
        for (int r = 0; r < inner->region_count; r++)
            region_close(graph, inner, inner->regions[r]);
        for (int i = 0; i < inner->in_count; i++) {
            struct value *value = inner->in[i];
            struct block *home = value->def ? value->def->block : value->block;
            if (home != region)
                op_set_in(inner, i, region_capture(graph, op, region, value));
        }
    }
}

/* ---- copying the whole graph ---- */

struct copier {
    struct graph *graph; /* the copy */
    struct map sites, values, functions;
};

static const struct site *copy_site(struct copier *c, const struct site *site) {
    if (!site || site == &site_unknown)
        return site;
    struct site *copy = map_find(&c->sites, site);
    if (!copy) {
        copy = arena_memdup(c->graph->arena, site, sizeof(*site));
        copy->what = site->what ? intern(c->graph->names, site->what) : NULL;
        map_put(&c->sites, site, copy);
        copy->caller = copy_site(c, site->caller);
    }
    return copy;
}

/* After cloning, what still points into the old graph: sites, states and called functions. */
static void settle_block(struct copier *c, struct block *block) {
    FOR_EACH_OP (op, block) {
        op->site = copy_site(c, op->site);
        for (int i = 0; i < op->attr_count; i++) {
            struct attr *attr = &op->attrs[i];
            if (attr_kind(attr->name) == ATTR_STATE)
                attr->state = c->graph->states.at[attr->state->index];
            else if (attr_kind(attr->name) == ATTR_FUNCTION)
                attr->function = map_find(&c->functions, attr->function);
        }
        for (int r = 0; r < op->region_count; r++)
            settle_block(c, op->regions[r]);
    }
}

static void copy_body(struct copier *c, const struct block *from, struct block *into) {
    for (int i = 0; i < from->param_count; i++)
        map_put(&c->values, from->params[i],
                block_add_param(c->graph, into, from->params[i]->type, from->params[i]->name));
    FOR_EACH_OP (op, from)
        op_append(op_clone(c->graph, op, &c->values), into);
}

static void copy_function(struct copier *c, const struct function *from, struct function *into) {
    struct arena *arena = c->graph->arena;
    into->doc = from->doc ? arena_strdup(arena, from->doc) : NULL;
    into->entry = from->entry ? intern(c->graph->names, from->entry) : NULL;
    for (int i = 0; i < from->sizes.count; i++)
        VEC_PUSH(arena, &into->sizes, from->sizes.at[i]);
    for (int i = 0; i < from->preconditions.count; i++) {
        struct precondition p = from->preconditions.at[i];
        p.message = p.message ? arena_strdup(arena, p.message) : NULL;
        p.site = copy_site(c, p.site);
        VEC_PUSH(arena, &into->preconditions, p);
    }
    copy_body(c, from->body, into->body);
    struct op *yield = block_yield(into->body);
    if (!from->result_names || !yield)
        return;
    into->result_names = ARENA_ARRAY(arena, const char *, yield->in_count);
    for (int i = 0; i < yield->in_count; i++)
        into->result_names[i] = from->result_names[i] ? intern(c->graph->names, from->result_names[i]) : NULL;
}

struct function *graph_add_copy(struct graph *graph, const struct function *function, const char *name) {
    struct copier c = {.graph = graph};
    map_init(&c.sites, graph->arena);
    map_init(&c.values, graph->arena);
    struct function *copy = graph_add_function(graph, name, function->kind, function->site);
    copy_function(&c, function, copy);
    return copy;
}

struct graph *graph_copy(const struct graph *graph, struct arena *arena) {
    struct copier c = {.graph = graph_create(arena, graph->types, graph->names, graph->name)};
    map_init(&c.sites, arena);
    map_init(&c.values, arena);
    map_init(&c.functions, arena);
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *s = graph->states.at[i];
        graph_add_state(c.graph, s->name, s->kind, s->type, copy_site(&c, s->site))->trainable = s->trainable;
    }
    for (int i = 0; i < graph->functions.count; i++) {
        const struct function *f = graph->functions.at[i];
        map_put(&c.functions, f, graph_add_function(c.graph, f->name, f->kind, copy_site(&c, f->site)));
    }
    for (int i = 0; i < graph->functions.count; i++) {
        copy_function(&c, graph->functions.at[i], c.graph->functions.at[i]);
        settle_block(&c, c.graph->functions.at[i]->body);
    }
    return c.graph;
}
