/* passes/open_remat.c: a `remat` region becomes plain ops in its place. It has done its work: the forward and
 * the backward copy were kept apart while `cse` could have shared them, and no later pass shares ops. So does
 * an `attend` in which something stands that the kernels of attention do not know. */
#include "passes/passes.h"

#include "ir/attention.h"

/* Gives the op to go on with: the first of the region's, for what is within. */
static struct op *open_region(struct graph *graph, struct op *remat, struct arena *scratch) {
    const struct block *region = remat->regions[0];
    struct map values;
    map_init(&values, scratch);
    for (int i = 0; i < remat->in_count; i++)
        map_put(&values, region->params[i], remat->in[i]);
    struct op *before = remat->prev;
    block_clone_into(graph, region, remat->block, remat, &values);
    const struct op *yield = block_yield(region);
    for (int i = 0; i < remat->out_count; i++)
        value_replace(remat->out[i], map_find(&values, yield->in[i]));
    struct op *first = before ? before->next : remat->block->first;
    struct op *next = first == remat ? remat->next : first;
    op_erase(remat);
    return next;
}

static bool has_elements(const struct value *v) {
    return !type_is_static(v->type) || type_elements(v->type) > 0;
}

static bool is_known_attention(const struct op *op, struct arena *scratch) {
    struct attention a;
    if (attention_read(op->regions[0], scratch, &a))
        return false;
    bool known = true;
    for (int i = 0; i < a.product_count; i++)
        known &= has_elements(a.products[i]->in[0]) && has_elements(a.products[i]->in[1]);
    for (int i = 0; i < a.result_count; i++)
        known &= has_elements(a.results[i].value);
    return known;
}

static bool is_to_open(const struct op *op, struct arena *scratch) {
    return op->code == OP_remat || (op->code == OP_attend && !is_known_attention(op, scratch));
}

static void open_regions(struct graph *graph, struct block *block, struct arena *scratch) {
    struct op *op = block->first;
    while (op) {
        if (is_to_open(op, scratch)) {
            op = open_region(graph, op, scratch);
            continue;
        }
        for (int r = 0; r < op->region_count; r++)
            open_regions(graph, op->regions[r], scratch);
        op = op->next;
    }
}

bool open_remat(struct graph *graph, struct pass_context *context) {
    for (int i = 0; i < graph->functions.count; i++)
        open_regions(graph, graph->functions.at[i]->body, context->scratch);
    return true;
}
