/* passes/inline.c: opens calls. A call becomes a copy of its callee's body, whose ops know from where they
 * were called. Afterwards nothing calls a composite, and the composites leave the graph. */
#include "passes/passes.h"

/* The op's chain of callers continued by the call's: the innermost site of the callee stays in front. */
static const struct site *site_under(struct graph *graph, const struct site *site, const struct site *call,
                                     const char *callee, struct map *sites) {
    if (!site)
        return call;
    struct site *copy = map_find(sites, site);
    if (!copy) {
        copy = ARENA_NEW(graph->arena, struct site);
        *copy = *site;
        if (!site->caller)
            copy->what = callee;
        copy->caller = site_under(graph, site->caller, call, callee, sites);
        map_put(sites, site, copy);
    }
    return copy;
}

static void set_sites(struct graph *graph, struct op *op, const struct site *call, const char *callee,
                      struct map *sites) {
    op->site = site_under(graph, op->site, call, callee, sites);
    for (int r = 0; r < op->region_count; r++)
        FOR_EACH_OP (inner, op->regions[r])
            set_sites(graph, inner, call, callee, sites);
}

/* Gives the op to go on with: the first of the copy, for calls within, or what follows the call. */
static struct op *open_call(struct graph *graph, struct op *call, struct arena *scratch) {
    const struct function *callee = op_attr(call, ATTR_function)->function;
    struct map values, sites;
    map_init(&values, scratch);
    map_init(&sites, scratch);
    for (int i = 0; i < call->in_count; i++)
        map_put(&values, callee->body->params[i], call->in[i]);
    for (int i = 0; i < callee->preconditions.count; i++)
        function_require(call->block->function, &callee->preconditions.at[i]);
    struct op *before = call->prev;
    block_clone_into(graph, callee->body, call->block, call, &values);
    struct op *first = before ? before->next : call->block->first;
    for (struct op *op = first; op != call; op = op->next)
        set_sites(graph, op, call->site, callee->name, &sites);
    const struct op *yield = block_yield(callee->body);
    for (int i = 0; i < call->out_count; i++) {
        struct value *result = map_find(&values, yield->in[i]);
        if (!result->name)
            result->name = call->out[i]->name;
        value_replace(call->out[i], result);
    }
    struct op *next = first == call ? call->next : first;
    op_erase(call);
    return next;
}

static void open_calls(struct graph *graph, struct block *block, struct arena *scratch) {
    struct op *op = block->first;
    while (op) {
        for (int r = 0; r < op->region_count; r++)
            open_calls(graph, op->regions[r], scratch);
        op = op->code == OP_call ? open_call(graph, op, scratch) : op->next;
    }
}

bool inline_calls(struct graph *graph, struct pass_context *context) {
    int kept = 0;
    for (int i = 0; i < graph->functions.count; i++)
        if (graph->functions.at[i]->kind != FUNCTION_COMPOSITE)
            open_calls(graph, graph->functions.at[i]->body, context->scratch);
    for (int i = 0; i < graph->functions.count; i++)
        if (graph->functions.at[i]->kind != FUNCTION_COMPOSITE)
            graph->functions.at[kept++] = graph->functions.at[i];
    graph->functions.count = kept;
    return true;
}
