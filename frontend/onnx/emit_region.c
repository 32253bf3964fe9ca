/* frontend/onnx/emit_region.c: If and Loop. What a region captures it uses by the name around it; only what a
 * turn passes to the next is an input of a Loop's body. */
#include "onnx/emit.h"

#include <string.h>

/* Captures get names before the body's graph is begun: what is made for them belongs to the graph around. */
static void name_captures(struct emission *e, const struct op *op, struct onnx_scope *inner,
                          const struct block *region) {
    for (int i = op_first_capture(op); i < op->in_count; i++) {
        int param = i - op_region_shift(op);
        if (onnx_is_constant(e, op->in[i]) && !(op->in[i]->def && op->in[i]->def->code == OP_broadcast))
            continue; /* an initialiser, made when it is asked for */
        const char *name = onnx_name(e, op->in[i]);
        if (region && param < region->param_count)
            map_put(&inner->names, region->params[param], (void *)name);
    }
}

static void begin_scope(struct emission *e, struct onnx_scope *scope, const char *stem) {
    *scope =
        (struct onnx_scope){.graph = onnx_graph_create(e->model, onnx_fresh(e, stem)), .outer = e->scope};
    map_init(&scope->names, e->arena);
}

/* An output of a subgraph: an Identity, since it may be a value of the graph around. */
static void add_result(struct emission *e, const char *name, const struct type *type) {
    struct onnx_node n = onnx_node(e, "Identity", name, NULL);
    onnx_add_output(e->model, e->scope->graph, n.out, onnx_inner_type(e, type));
}

bool onnx_cond(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    static const char *const sides[] = {"then_branch", "else_branch"};
    struct onnx_scope scope[2];
    bool ok = true;
    const char *condition = onnx_name(e, op->in[0]);
    for (int r = 0; r < 2; r++) {
        const struct op *yield = block_yield(op->regions[r]);
        begin_scope(e, &scope[r], sides[r]);
        name_captures(e, op, &scope[r], op->regions[r]);
        e->scope = &scope[r];
        ok = ok && onnx_block(e, op->regions[r]);
        for (int i = 0; ok && i < yield->in_count; i++)
            add_result(e, onnx_name(e, yield->in[i]), yield->in[i]->type);
        e->scope = scope[r].outer;
    }
    if (!ok)
        return false;
    Onnx__NodeProto *node = onnx_add_node(e->model, e->scope->graph, "If");
    onnx_node_input(e->model, node, condition);
    for (int i = 0; i < op->out_count; i++) {
        const char *name = onnx_fresh(e, "If");
        onnx_node_output(e->model, node, name);
        onnx_define(e, op->out[i], name);
    }
    for (int r = 0; r < 2; r++)
        onnx_node_graph(e->model, node, sides[r], scope[r].graph);
    return true;
}

/* ---- loops ---- */

struct turns {
    const char *lo, *count; /* i32 and i64, scalars */
    bool reversed;
};

static struct turns loop_turns(struct emission *e, const struct op *op) {
    const char *lo = onnx_name(e, op->in[0]), *hi = onnx_name(e, op->in[1]);
    const char *count = onnx_two(e, "Max", onnx_two(e, "Sub", hi, lo), onnx_number(e, DTYPE_i32, 0));
    struct turns t = {lo, onnx_cast(e, count, DTYPE_i64), op_int(op, ATTR_reverse) != 0};
    if (t.reversed)
        t.lo = onnx_two(e, "Sub", hi, onnx_number(e, DTYPE_i32, 1)); /* the first, from which it falls */
    return t;
}

/* The index of turn `turn` (i64), as Weft counts. */
static const char *loop_index(struct emission *e, const struct turns *t, const char *turn) {
    return onnx_two(e, t->reversed ? "Sub" : "Add", t->lo, onnx_cast(e, turn, DTYPE_i32));
}

/* The test region with its parameters named, in the graph that is open; NULL: reported. */
static const char *onnx_test(struct emission *e, const struct op *op, const char *index,
                             const char *const *carried) {
    const struct block *test = op->regions[1];
    onnx_define(e, test->params[0], index);
    for (int i = 0; i < (int)op_int(op, ATTR_carried); i++)
        onnx_define(e, test->params[i + 1], carried[i]);
    return onnx_block(e, test) ? onnx_name(e, block_yield(test)->in[0]) : NULL;
}

/* A copy of the test stands in front of the loop and another at the end of the body: an ONNX loop is told at
 * a turn's end whether there is a next one. */
static const char *first_test(struct emission *e, const struct op *op, const struct turns *t,
                              const char *const *start) {
    if (op->region_count < 2)
        return onnx_number(e, DTYPE_bool, 1);
    struct onnx_scope scope = {.graph = e->scope->graph, .outer = e->scope};
    map_init(&scope.names, e->arena);
    name_captures(e, op, &scope, op->regions[1]);
    e->scope = &scope;
    const char *holds = onnx_test(e, op, loop_index(e, t, onnx_number(e, DTYPE_i64, 0)), start);
    e->scope = scope.outer;
    return holds;
}

static bool onnx_body(struct emission *e, const struct op *op, const struct turns *t) {
    struct onnx_graph *graph = e->scope->graph;
    const struct block *body = op->regions[0];
    const struct op *yield = block_yield(body);
    int carried = (int)op_int(op, ATTR_carried);
    const char *turn = onnx_fresh(e, "turn"), *holds = onnx_fresh(e, "holds");
    onnx_add_input(e->model, graph, turn, type_scalar(e->graph->types, DTYPE_i64));
    onnx_add_input(e->model, graph, holds, type_scalar(e->graph->types, DTYPE_bool));
    for (int i = 0; i < carried; i++) {
        const char *name = onnx_fresh(e, "carried");
        onnx_add_input(e->model, graph, name, onnx_inner_type(e, body->params[i + 1]->type));
        onnx_define(e, body->params[i + 1], name);
    }
    onnx_define(e, body->params[0], loop_index(e, t, turn));
    if (!onnx_block(e, body))
        return false;
    const char **results = ARENA_ARRAY(e->arena, const char *, yield->in_count + 1);
    for (int i = 0; i < yield->in_count; i++)
        results[i] = onnx_name(e, yield->in[i]);
    if (op->region_count == 2) {
        const char *next = onnx_two(e, "Add", turn, onnx_number(e, DTYPE_i64, 1));
        if (!(holds = onnx_test(e, op, loop_index(e, t, next), results)))
            return false;
    }
    add_result(e, holds, type_scalar(e->graph->types, DTYPE_bool));
    for (int i = 0; i < yield->in_count; i++)
        add_result(e, results[i], yield->in[i]->type);
    return true;
}

bool onnx_loop(struct emission *e, const struct op *op, const char *text) {
    (void)text;
    int carried = (int)op_int(op, ATTR_carried);
    const char **start = ARENA_ARRAY(e->arena, const char *, carried + 1);
    for (int i = 0; i < carried; i++)
        start[i] = onnx_name(e, op->in[i + 2]);
    struct turns t = loop_turns(e, op);
    const char *holds = first_test(e, op, &t, start);
    if (!holds)
        return false;
    struct onnx_scope scope;
    begin_scope(e, &scope, "body");
    for (int r = 0; r < op->region_count; r++)
        name_captures(e, op, &scope, op->regions[r]);
    e->scope = &scope;
    bool ok = onnx_body(e, op, &t);
    e->scope = scope.outer;
    if (!ok)
        return false;
    Onnx__NodeProto *node = onnx_add_node(e->model, e->scope->graph, "Loop");
    onnx_node_input(e->model, node, t.count);
    onnx_node_input(e->model, node, holds);
    for (int i = 0; i < carried; i++)
        onnx_node_input(e->model, node, start[i]);
    for (int i = 0; i < op->out_count; i++) {
        const char *name = onnx_fresh(e, "Loop");
        onnx_node_output(e->model, node, name);
        onnx_define(e, op->out[i], name);
    }
    onnx_node_graph(e->model, node, "body", scope.graph);
    return true;
}
