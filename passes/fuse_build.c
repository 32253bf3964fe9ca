/* passes/fuse_build.c: clusters to kernel ops, in an order in which everything comes before it is used. */
#include "passes/fuse.h"

#include "base/map.h"

#include <string.h>

/* ---- which values a kernel takes and gives ---- */

/* Someone without a copy of its own needs it. */
static bool is_needed_outside(const struct fusion *f, const struct value *v) {
    FOR_EACH_USE (use, v)
        for (int i = 0; use->user->id < f->op_count && i < f->of[use->user->id].homes.count; i++)
            if (!cluster_holds(f, v->def, cluster_now(f->of[use->user->id].homes.at[i])))
                return true;
    return false;
}

struct making {
    const struct cluster *cluster;
    struct op **ops; /* in the block's order */
    int op_count;
    VEC(struct value *) operands, results;
};

static int by_position(const struct fusion *f, const struct op *a, const struct op *b) {
    return f->of[a->id].position - f->of[b->id].position;
}

static void sort_ops(const struct fusion *f, struct op **ops, int count) {
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && by_position(f, ops[k - 1], ops[k]) > 0; k--) {
            struct op *t = ops[k];
            ops[k] = ops[k - 1];
            ops[k - 1] = t;
        }
}

static void add_operand(struct fusion *f, struct making *m, struct value *v) {
    if (v->def && cluster_holds(f, v->def, m->cluster))
        return;
    for (int i = 0; i < m->operands.count; i++)
        if (m->operands.at[i] == v)
            return;
    VEC_PUSH(f->arena, &m->operands, v);
}

static void find_borders(struct fusion *f, struct making *m) {
    for (int i = 0; i < m->op_count; i++) {
        struct op *op = m->ops[i];
        for (int k = 0; k < op->in_count; k++)
            add_operand(f, m, op->in[k]);
        const struct cluster *provider = f->of[op->id].provider;
        for (int k = 0; k < op->out_count; k++)
            if (provider && cluster_now((struct cluster *)provider) == m->cluster &&
                is_needed_outside(f, op->out[k]))
                VEC_PUSH(f->arena, &m->results, op->out[k]);
    }
}

/* ---- names ---- */

static bool is_worth_naming(const struct op *op) {
    enum fuse_class class = op_infos[op->code].fuse;
    return class != FUSE_VIEW && op->code != OP_const && op->code != OP_stop_gradient;
}

/* The first, the dearest and the last ops: "dot_add_max", "sub_exp_reduce_div". */
static const char *name_of(struct fusion *f, const struct making *m) {
    if (m->cluster->kind == CLUSTER_ATTEND)
        return intern(f->graph->names,
                      attend_is_forward(m->cluster->core) ? "attention" : "attention_gradient");
    enum { MOST = 5 };
    struct strbuf name;
    strbuf_init(&name, f->arena);
    int named = 0, worth = 0;
    for (int i = 0; i < m->op_count; i++)
        worth += is_worth_naming(m->ops[i]);
    for (int i = 0; i < m->op_count; i++) {
        const struct op *op = m->ops[i];
        bool telling = worth <= MOST || i == m->op_count - 1 || op_infos[op->code].flops >= 10 ||
                       op_infos[op->code].fuse >= FUSE_REDUCE;
        if ((worth && !is_worth_naming(op)) || !telling || named >= MOST)
            continue;
        strbuf_printf(&name, "%s%s", named++ ? "_" : "", opcode_text(op->code));
    }
    if (!named)
        strbuf_puts(&name, opcode_text(m->ops[m->op_count - 1]->code));
    return intern(f->graph->names, name.text);
}

/* ---- kernels ---- */

/* The operators of an `attend` stand in the kernel as they stood in its region. */
static void open_attend(struct fusion *f, const struct op *op, struct block *region, struct map *map) {
    const struct block *from = op->regions[0];
    for (int i = 0; i < op->in_count; i++)
        map_put(map, from->params[i], map_find(map, op->in[i]));
    block_clone_into(f->graph, from, region, NULL, map);
    for (int i = 0; i < op->out_count; i++)
        map_put(map, op->out[i], map_find(map, block_yield(from)->in[i]));
}

static void clone_op(struct fusion *f, const struct op *op, struct block *region, struct map *map) {
    if (op->code == OP_attend) {
        open_attend(f, op, region, map);
        return;
    }
    struct value **in = ARENA_ARRAY(f->arena, struct value *, op->in_count + 1);
    const struct type **types = ARENA_ARRAY(f->arena, const struct type *, op->out_count + 1);
    for (int i = 0; i < op->in_count; i++)
        in[i] = map_find(map, op->in[i]);
    for (int i = 0; i < op->out_count; i++)
        types[i] = op->out[i]->type;
    struct op *copy = op_create(f->graph, op->code, in, op->in_count, op->attrs, op->attr_count, types,
                                op->out_count, op->site);
    op_append(copy, region);
    for (int i = 0; i < op->out_count; i++) {
        copy->out[i]->name = op->out[i]->name;
        map_put(map, op->out[i], copy->out[i]);
    }
}

static const char *const kinds[] = {[CLUSTER_NEST] = "nest",
                                    [CLUSTER_CONTRACT] = "contract",
                                    [CLUSTER_ATTEND] = "attend",
                                    [CLUSTER_ROUTINE] = "routine"};

/* The kernel, unlinked. `values` takes the values that kernels give to what stands for them now. */
static struct op *make_kernel(struct fusion *f, const struct cluster *c, struct map *values) {
    struct making m = {.cluster = c, .op_count = c->ops.count};
    m.ops = arena_memdup(f->arena, c->ops.at, sizeof(*m.ops) * (size_t)m.op_count);
    sort_ops(f, m.ops, m.op_count);
    find_borders(f, &m);
    if (!m.results.count)
        return NULL;
    const struct attr attrs[] = {{.name = ATTR_kind, .string = intern(f->graph->names, kinds[c->kind])},
                                 {.name = ATTR_name, .string = name_of(f, &m)}};
    const struct type **types = ARENA_ARRAY(f->arena, const struct type *, m.results.count);
    for (int i = 0; i < m.results.count; i++)
        types[i] = m.results.at[i]->type;
    const struct site *site =
        c->kind == CLUSTER_CONTRACT ? c->core->site : m.results.at[m.results.count - 1]->def->site;
    struct op *kernel = op_create(f->graph, OP_kernel, m.operands.at, m.operands.count, attrs, 2, types,
                                  m.results.count, site);
    struct block *region = op_add_region(f->graph, kernel);
    struct map map;
    map_init(&map, f->arena);
    for (int i = 0; i < m.operands.count; i++) {
        struct value *v = m.operands.at[i];
        map_put(&map, v, block_add_param(f->graph, region, v->type, v->name));
    }
    for (int i = 0; i < m.op_count; i++)
        clone_op(f, m.ops[i], region, &map);
    struct value **yields = ARENA_ARRAY(f->arena, struct value *, m.results.count);
    for (int i = 0; i < m.results.count; i++) {
        yields[i] = map_find(&map, m.results.at[i]);
        kernel->out[i]->name = m.results.at[i]->name;
        map_put(values, m.results.at[i], kernel->out[i]);
    }
    op_append(op_create(f->graph, OP_yield, yields, m.results.count, NULL, 0, NULL, 0, site), region);
    return kernel;
}

/* ---- the order ---- */

/* What stands in the new block: a kernel, or an op that stays. */
struct node {
    struct op *op;
    int position; /* of the last op in it: it comes no earlier without need */
    bool is_placed;
};

static int last_position(const struct fusion *f, const struct cluster *c) {
    int last = 0;
    for (int i = 0; i < c->ops.count; i++)
        if (f->of[c->ops.at[i]->id].provider && f->of[c->ops.at[i]->id].position > last)
            last = f->of[c->ops.at[i]->id].position;
    return last;
}

struct ordering {
    struct fusion *f;
    VEC(struct node *) nodes; /* by position */
    struct map node_of;       /* op to its node */
};

static void insert_node(struct ordering *o, struct op *op, int position) {
    struct node *n = ARENA_NEW(o->f->arena, struct node);
    *n = (struct node){.op = op, .position = position};
    VEC_PUSH(o->f->arena, &o->nodes, n);
    for (int i = o->nodes.count - 1; i > 0 && o->nodes.at[i - 1]->position > position; i--) {
        o->nodes.at[i] = o->nodes.at[i - 1];
        o->nodes.at[i - 1] = n;
    }
    map_put(&o->node_of, op, n);
}

/* Depth first from the nodes in their old order: an op comes right before the first that needs it, else where
 * it was. */
static void place_node(struct ordering *o, struct node *n, struct op *end) {
    if (n->is_placed)
        return;
    n->is_placed = true;
    for (int i = 0; i < n->op->in_count; i++) {
        struct op *def = n->op->in[i]->def;
        struct node *before = def ? map_find(&o->node_of, def) : NULL;
        if (before)
            place_node(o, before, end);
    }
    op_move_before(n->op, end);
}

/* ---- the block ---- */

static void replace_operands(struct op *op, const struct map *values) {
    for (int i = 0; i < op->in_count; i++) {
        struct value *now = map_find(values, op->in[i]);
        if (now)
            op_set_in(op, i, now);
    }
}

static void make_nodes(struct ordering *o, struct map *values) {
    struct fusion *f = o->f;
    for (int i = 0; i < f->clusters.count; i++) {
        struct cluster *c = f->clusters.at[i];
        if (c->merged)
            continue;
        if (c->kind == CLUSTER_OUTSIDE) {
            insert_node(o, c->core, f->of[c->core->id].position);
            continue;
        }
        struct op *kernel = make_kernel(f, c, values);
        if (kernel)
            insert_node(o, kernel, last_position(f, c));
    }
}

void fuse_build(struct fusion *f) {
    struct map values;
    map_init(&values, f->arena);
    struct ordering o = {.f = f};
    map_init(&o.node_of, f->arena);
    make_nodes(&o, &values);
    for (int i = 0; i < o.nodes.count; i++)
        replace_operands(o.nodes.at[i]->op, &values);
    for (struct op *op = f->block->last, *prev; op; op = prev) {
        prev = op->prev;
        if (!map_has(&o.node_of, op))
            op_erase(op);
    }
    struct op *end = block_yield(f->block);
    for (int i = 0; i < o.nodes.count; i++)
        if (o.nodes.at[i]->op != end)
            place_node(&o, o.nodes.at[i], end);
}
