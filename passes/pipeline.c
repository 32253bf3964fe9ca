/* passes/pipeline.c: the order of the graph passes, and the runner: it times, verifies and dumps, the passes
 * do not. */
#include "passes/pipeline.h"

#include "ir/text.h"
#include "passes/passes.h"

#include <string.h>
#include <time.h>

const struct pass pipeline[] = {
    {"attend", attend, false, true, "find attention, which keeps no scores"},
    {"differentiate", differentiate, false, false, "turn gradients into plain operators"},
    {"inline", inline_calls, false, false, "open the calls of composites without a kernel of their own"},
    {"simplify", simplify, false, true, "apply the rules of algebra, views and folding until none applies"},
    {"cse", cse, false, true, "share what is computed twice"},
    {"dce", dce, false, true, "drop what nothing needs"},
    {"open_remat", open_remat, false, false, "put what is computed again on purpose in its place"},
    {"split", split, true, true, "compute large values in parts, where --memory demands it"},
    {"fuse", fuse, true, false, "group the ops that one kernel computes"},
    {"rematerialise", rematerialise, true, true, "compute kernels again, where --memory demands it"},
    {"schedule", schedule, true, true, "order ops for least peak memory"},
    {"alias", alias, true, false, "find views, updates in place and results written where they belong"},
    {"plan_memory", plan_memory, true, false, "give every value its place in the workspace"},
};
const int pipeline_count = sizeof(pipeline) / sizeof(*pipeline);
_Static_assert(sizeof(pipeline) / sizeof(*pipeline) <= PASS_TIMES, "each pass has its time in the context");

#ifdef WEFT_VERIFY
static const bool verify_always = true;
#else
static const bool verify_always = false;
#endif

const struct pass *pipeline_find(const char *name) {
    for (int i = 0; i < pipeline_count; i++)
        if (strcmp(pipeline[i].name, name) == 0)
            return &pipeline[i];
    return NULL;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static const struct value *find_unbound(const struct block *block) {
    for (int i = 0; i < block->param_count; i++)
        if (!type_is_static(block->params[i]->type))
            return block->params[i];
    FOR_EACH_OP (op, block) {
        for (int i = 0; i < op->out_count; i++)
            if (!type_is_static(op->out[i]->type))
                return op->out[i];
        for (int r = 0; r < op->region_count; r++) {
            const struct value *value = find_unbound(op->regions[r]);
            if (value)
                return value;
        }
    }
    return NULL;
}

static bool check_sizes(const struct pass *pass, struct graph *graph, struct pass_context *context) {
    for (int i = 0; i < context->function_count; i++) {
        const struct function *function = context->functions[i];
        const struct value *value = find_unbound(function->body);
        if (!value)
            continue;
        diag_defect(context->diags, function->site->span,
                    "the pass %s came to `%s` while a value was still %s", pass->name, function->name,
                    type_text(graph->types, value->type));
        return false;
    }
    return true;
}

static bool run_pass(const struct pass *pass, struct graph *graph, struct pass_context *context) {
    if (pass->is_optional && context->skipped >> (pass - pipeline) & 1)
        return true;
    if (pass->needs_sizes && !check_sizes(pass, graph, context))
        return false;
    double begin = seconds_now();
    bool ok = pass->run(graph, context);
    context->seconds[pass - pipeline] += seconds_now() - begin;
    arena_reset(context->scratch);
    if (ok && context->after_pass)
        context->after_pass(pass, graph, context);
    if (ok && context->dump_after && context->dump &&
        (strcmp(context->dump_after, pass->name) == 0 || strcmp(context->dump_after, "all") == 0)) {
        strbuf_printf(context->dump, "// after %s\n", pass->name);
        graph_print(graph, context->dump);
    }
    return ok && (!(verify_always || context->verify) || graph_verify(graph, context->diags, pass->name));
}

bool pipeline_run_from(struct graph *graph, struct pass_context *context, const char *from,
                       const char *until) {
    context->scratch = arena_create();
    if (!context->scratch) {
        diag_error(context->diags, (struct span){0}, E_COMPILE, "there is no memory for the passes");
        return false;
    }
    bool ok = true;
    for (int i = (int)(pipeline_find(from) - pipeline); i < pipeline_count && ok; i++) {
        ok = run_pass(&pipeline[i], graph, context);
        if (until && strcmp(until, pipeline[i].name) == 0)
            break;
    }
    arena_destroy(context->scratch);
    context->scratch = NULL;
    return ok;
}

bool pipeline_run(struct graph *graph, struct pass_context *context, const char *until) {
    return pipeline_run_from(graph, context, pipeline[0].name, until);
}
