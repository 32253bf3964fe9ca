/* frontend/rebase.c: a gradient inside a region of a `when` or `loop`. Once the region is closed, what was
 * computed outside of it is a parameter, and nothing leads from it to the weights. So the outside ops that
 * lie between an x and y are copied to the head of the region, where they run only if it does, and the
 * region's ops use the copies (S26). */
#include "frontend/elab.h"

#include "ir/gradient.h"

struct rebase {
    struct elab *e;
    struct block *region;
    struct map depends; /* value to itself where a gradient leads from it to an x, else to NULL-like `no` */
    struct map copies;  /* value to its copy */
    struct op *head;    /* copies go in front of it; NULL: the region was empty */
    struct value *yes, *no;
};

static bool is_inside(const struct rebase *r, const struct op *op) {
    for (const struct block *block = op->block; block; block = block->owner ? block->owner->block : NULL)
        if (block == r->region)
            return true;
    return false;
}

static bool depends(struct rebase *r, struct value *value) {
    struct value *known = map_find(&r->depends, value);
    if (known)
        return known == r->yes;
    map_put(&r->depends, value, r->no);
    bool found = false, passes = value->def && gradient_passes(value->def->code);
    for (int i = 0; passes && i < value->def->in_count; i++)
        found |= dtype_is_float(value->def->in[i]->type->dtype) && depends(r, value->def->in[i]);
    map_put(&r->depends, value, found ? r->yes : r->no);
    return found;
}

static struct value *copy_of(struct rebase *r, struct value *value);

static void copy_region(struct rebase *r, struct op *op, const struct block *from) {
    struct graph *graph = r->e->graph;
    struct block *into = op_add_region(graph, op);
    struct map map;
    map_init(&map, r->e->arena);
    into->function = r->e->function;
    for (int i = 0; i < from->param_count; i++)
        map_put(&map, from->params[i],
                block_add_param(graph, into, from->params[i]->type, from->params[i]->name));
    block_clone_into(graph, from, into, NULL, &map);
    const struct op *yield = block_yield(from);
    struct value **results = ARENA_ARRAY(r->e->arena, struct value *, yield->in_count);
    for (int i = 0; i < yield->in_count; i++)
        results[i] = map_find(&map, yield->in[i]);
    struct builder b = r->e->b;
    builder_at_end(&b, into);
    build_yield(&b, results, yield->in_count);
}

static void copy_op(struct rebase *r, struct op *op) {
    struct graph *graph = r->e->graph;
    struct value **in = ARENA_ARRAY(r->e->arena, struct value *, op->in_count);
    const struct type **types = ARENA_ARRAY(r->e->arena, const struct type *, op->out_count);
    for (int i = 0; i < op->in_count; i++)
        in[i] = copy_of(r, op->in[i]);
    for (int i = 0; i < op->out_count; i++)
        types[i] = op->out[i]->type;
    struct op *copy = op_create(graph, op->code, in, op->in_count, op->attrs, op->attr_count, types,
                                op->out_count, op->site);
    for (int i = 0; i < op->region_count; i++)
        copy_region(r, copy, op->regions[i]);
    if (r->head)
        op_insert_before(copy, r->head);
    else
        op_append(copy, r->region);
    for (int i = 0; i < op->out_count; i++) {
        copy->out[i]->name = op->out[i]->name;
        map_put(&r->copies, op->out[i], copy->out[i]);
    }
}

/* The region's copy of an outside value that depends on an x; any other value itself. */
static struct value *copy_of(struct rebase *r, struct value *value) {
    if (!value->def || is_inside(r, value->def) || !depends(r, value))
        return value;
    struct value *copy = map_find(&r->copies, value);
    if (!copy) {
        copy_op(r, value->def);
        copy = map_find(&r->copies, value);
    }
    return copy;
}

static void rebase_operands(struct rebase *r, struct block *block) {
    FOR_EACH_OP (op, block) {
        for (int i = 0; i < op->in_count; i++) {
            struct value *copy = copy_of(r, op->in[i]);
            if (copy != op->in[i])
                op_set_in(op, i, copy);
        }
    }
}

void rebase_region(struct elab *e, struct value **y, struct value *const *xs, int count) {
    if (!e->region || !e->region->outer)
        return;
    struct value marks[2] = {{0}, {0}};
    struct rebase r = {.e = e,
                       .region = e->region->block,
                       .head = e->region->block->first,
                       .yes = &marks[0],
                       .no = &marks[1]};
    map_init(&r.depends, e->arena);
    map_init(&r.copies, e->arena);
    for (int i = 0; i < count; i++)
        map_put(&r.depends, xs[i], r.yes);
    /* An x itself is never copied: the gradient is by the value outside. */
    for (int i = 0; i < count; i++)
        map_put(&r.copies, xs[i], xs[i]);
    rebase_operands(&r, r.region);
    *y = copy_of(&r, *y);
}
