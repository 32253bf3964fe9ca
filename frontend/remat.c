/* frontend/remat.c: remat(f, x...): f's ops stand in a region that the backward pass computes again. It draws
 * the same random bits again, since their keys are operands. */
#include "frontend/region.h"

struct datum run_remat(struct elab *e, struct datum f, const struct list *args, struct span span) {
    struct op *op = op_create(e->graph, OP_remat, NULL, 0, NULL, 0, NULL, 0, e->b.site);
    struct builder outside = e->b;
    struct block *block = op_add_region(e->graph, op);
    block->function = e->function;
    builder_at_end(&e->b, block);
    struct region region;
    region_push(e, &region, block, false);
    e->frame->barrier++;
    struct datum value = call_with(e, f, args->at, args->count, span);
    struct leaves leaves = {0};
    bool good = !datum_is_error(value);
    if (good && !is_carriable(value))
        good = !datum_is_error(fail(e, span, E_TYPE, "remat is of a function that gives tensors, this is %s",
                                    describe(e, value)));
    good = good && flatten(e, value, NULL, &leaves, span);
    e->frame->barrier--;
    region_pop(e, &region);
    struct weights written = {0};
    written_states(e, &region, &written);
    int values = leaves.count;
    for (int i = 0; i < written.count; i++)
        VEC_PUSH(e->arena, &leaves, region_find(&region, written.at[i]->state)->value);
    if (good)
        build_yield(&e->b, leaves.at, leaves.count);
    e->b.block = outside.block;
    e->b.before = outside.before;
    if (!good)
        return datum_error();
    for (int i = 0; i < leaves.count; i++)
        op_add_out(e->graph, op, leaves.at[i]->type);
    if (!place_op(e, op))
        return datum_error();
    states_become(e, &written, op->out + values, span);
    int next = 0;
    return rebuild(e, value, op->out, &next);
}
