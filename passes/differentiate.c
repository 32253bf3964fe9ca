/* passes/differentiate.c: replaces every `grad` by the graph that computes it: reverse mode (ir/gradient.h)
 * over what lies between the xs and y. Innermost first and in program order, so a `grad` of a `grad` finds
 * plain operators, and composites before what calls them. */
#include "passes/passes.h"

#include "ir/gradient.h"

struct differentiate {
    struct graph *graph;
    struct pass_context *context;
    bool *done; /* by index of the function */
};

static const char *name_of(struct graph *graph, const struct value *value) {
    if (value->name)
        return value->name;
    if (value->def && value->def->code == OP_input)
        return op_string(value->def, ATTR_name);
    if (value->def && value->def->code == OP_read)
        return op_attr(value->def, ATTR_state)->state->name;
    return type_text(graph->types, value->type);
}

/* Of many xs some may be zero: a gradient penalty does not depend on the last layer's bias. */
static struct value *zeros(struct builder *b, const struct op *grad, int k, bool warns) {
    const struct value *x = grad->in[k + 1];
    if (!warns)
        return build_full(b, x->type, 0);
    diag_warning(b->diags, grad->site->span, W_ZERO_GRAD,
                 "the gradient by `%s` is zero: nothing that is differentiated depends on it",
                 name_of(b->graph, x));
    return build_full(b, x->type, 0);
}

/* Of equal xs each gets the whole gradient: they are one value, and the question was asked twice. */
static bool replace_grad(struct differentiate *d, struct op *grad) {
    struct arena *scratch = d->context->scratch;
    struct builder b;
    builder_init(&b, d->graph, grad->block, d->context->diags);
    builder_before(&b, grad);
    b.site = grad->site;
    struct value *y = grad->in[0], *one = build_number(&b, y->type->dtype, 1);
    struct value **dxs = ARENA_ARRAY(scratch, struct value *, grad->out_count);
    struct reverse reverse = {&y, &one, 1, grad->in + 1, grad->out_count, NULL};
    if (!one)
        return false;
    if (!gradient_reverse(&b, &reverse, dxs, scratch)) {
        struct diag *diag = diags_last(d->context->diags);
        if (diag && span_is_known(grad->site->span))
            diag_label(diag, grad->site->span, "the gradient is taken here");
        return false;
    }
    bool any = false;
    for (int k = 0; k < grad->out_count; k++)
        any |= dxs[k] != NULL;
    for (int k = 0; k < grad->out_count; k++) {
        struct value *dx = dxs[k] ? dxs[k] : zeros(&b, grad, k, !any);
        if (!dx)
            return false;
        value_replace(grad->out[k], dx);
    }
    op_erase(grad);
    return true;
}

static bool visit_function(struct differentiate *d, const struct function *function);

static bool visit_block(struct differentiate *d, struct block *block) {
    FOR_EACH_OP (op, block) {
        for (int r = 0; r < op->region_count; r++)
            if (!visit_block(d, op->regions[r]))
                return false;
        if (op->code == OP_call) {
            if (!visit_function(d, op_attr(op, ATTR_function)->function))
                return false;
            function_assume(block->function);
        }
        if (op->code == OP_grad && !replace_grad(d, op))
            return false;
    }
    return true;
}

static bool visit_function(struct differentiate *d, const struct function *function) {
    for (int k = 0; k < d->graph->functions.count; k++)
        if (d->graph->functions.at[k] == function) {
            if (d->done[k])
                return true;
            d->done[k] = true;
        }
    function_assume(function);
    return visit_block(d, function->body);
}

bool differentiate(struct graph *graph, struct pass_context *context) {
    struct differentiate d = {graph, context, ARENA_ARRAY(context->scratch, bool, graph->functions.count)};
    for (int k = 0; k < graph->functions.count; k++)
        if (!visit_function(&d, graph->functions.at[k]))
            return false;
    return true;
}
