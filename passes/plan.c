#include "passes/plan.h"

#include "passes/cost.h"

#include <inttypes.h>

static int64_t aligned(int64_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

struct plan *plan_create(struct arena *arena, const struct graph *graph) {
    struct plan *plan = ARENA_NEW(arena, struct plan);
    int64_t *offset = ARENA_ARRAY(arena, int64_t, graph->states.count);
    plan->arena = arena;
    plan->state_offset = offset;
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        int64_t *block = state->kind == STATE_WEIGHT ? &plan->weights_bytes : &plan->state_bytes;
        offset[state->index] = *block;
        *block += aligned(type_bytes(state->type));
    }
    return plan;
}

struct function_plan *plan_of(const struct plan *plan, const struct function *function) {
    for (int i = 0; i < plan->functions.count; i++)
        if (plan->functions.at[i]->function == function)
            return plan->functions.at[i];
    return NULL;
}

const struct place *plan_place(const struct function_plan *plan, const struct value *value) {
    return map_find(&plan->places, value);
}

/* ---- the listing ---- */

/* "12.3 MB": three digits are enough to compare by eye, and the exact figure is beside it where it matters.
 */
static void print_bytes(struct strbuf *out, int64_t bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1000 && unit < 4; unit++)
        value /= 1024;
    strbuf_printf(out, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static const char *cell_bytes(struct arena *arena, int64_t bytes) {
    struct strbuf text;
    strbuf_init(&text, arena);
    print_bytes(&text, bytes);
    return text.text;
}

static const struct site *site_of(const struct value *value) {
    if (value->def)
        return value->def->site;
    return value->block->owner ? value->block->owner->site : value->block->function->site;
}

/* The op that makes the value, and the line of the model text that asked for it. */
static void print_origin(struct strbuf *out, const struct value *value) {
    const struct op *def = value->def;
    if (value->name)
        strbuf_printf(out, "%s ", value->name);
    if (!def)
        strbuf_puts(out, value->index == 0 ? "turn" : "carried");
    else if (def->code == OP_kernel)
        strbuf_puts(out, op_string(def, ATTR_name));
    else
        strbuf_puts(out, opcode_text(def->code));
    struct span span = site_of(value)->span;
    if (span_is_known(span)) {
        int line, column;
        source_locate(span.source, span.begin, &line, &column);
        strbuf_printf(out, "  %s:%d", span.source->name, line);
    }
}

static void print_buffer(const struct plan_buffer *b, struct arena *arena, struct strbuf *out) {
    struct strbuf type;
    strbuf_init(&type, arena);
    type_print(&type, b->value->type);
    strbuf_printf(out, "  %12" PRId64 "  %10s  %5d..%-5d  %-24s  ", b->offset, cell_bytes(arena, b->bytes),
                  b->begin, b->end, type.text);
    print_origin(out, b->value);
    strbuf_putc(out, '\n');
}

static void print_function(const struct function_plan *f, struct arena *arena, struct strbuf *out) {
    double ratio = f->lower_bound ? (double)f->arena_bytes / (double)f->lower_bound : 1;
    strbuf_printf(out, "%s: peak %s (%" PRId64 " bytes), lower bound %s, ratio %.3f, %d buffers\n",
                  f->function->name, cell_bytes(arena, f->arena_bytes), f->arena_bytes,
                  cell_bytes(arena, f->lower_bound), ratio, f->buffers.count);
    if (f->buffers.count)
        strbuf_printf(out, "  %12s  %10s  %12s  %-24s  %s\n", "offset", "size", "live", "type", "made by");
    for (int i = 0; i < f->buffers.count; i++)
        print_buffer(&f->buffers.at[i], arena, out);
}

/* What --memory costs: each kernel that is computed again, and the sum. */
static void print_again(const struct function_plan *f, struct arena *arena, struct strbuf *out) {
    double flops = 0;
    for (int i = 0; i < f->again.count; i++)
        flops += cost_of_op(f->again.at[i]).flops;
    if (f->again.count)
        strbuf_printf(out, "  computed again for --memory: %d kernels, %.3f GFLOP beside %.3f\n",
                      f->again.count, 1e-9 * flops, 1e-9 * (cost_of_block(f->function->body).flops - flops));
    for (int i = 0; i < f->again.count; i++) {
        struct strbuf type;
        strbuf_init(&type, arena);
        type_print(&type, f->again.at[i]->out[0]->type);
        strbuf_printf(out, "  %12.6f GFLOP  %-24s  ", 1e-9 * cost_of_op(f->again.at[i]).flops, type.text);
        print_origin(out, f->again.at[i]->out[0]);
        strbuf_putc(out, '\n');
    }
}

void plan_print(const struct plan *plan, struct strbuf *out) {
    strbuf_printf(out, "weights %s, state %s\n", cell_bytes(plan->arena, plan->weights_bytes),
                  cell_bytes(plan->arena, plan->state_bytes));
    for (int i = 0; i < plan->functions.count; i++) {
        print_function(plan->functions.at[i], plan->arena, out);
        print_again(plan->functions.at[i], plan->arena, out);
    }
}
