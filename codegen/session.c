/* codegen/session.c: from functions with a plan to objects in memory: lower every kernel, share equal code,
 * compile. */
#include "codegen/session.h"

#include "codegen/compile.h"
#include "codegen/debug.h"
#include "codegen/lower.h"
#include "codegen/pipeline.h"

#include <string.h>
#include <time.h>

int64_t align64(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

const struct compiled_function *compiled_find(const struct compiled *compiled, const char *function) {
    for (int i = 0; i < compiled->functions.count; i++)
        if (strcmp(compiled->functions.at[i].function->name, function) == 0)
            return &compiled->functions.at[i];
    return NULL;
}

int64_t workspace_bytes(const struct compiled_function *function, int64_t width) {
    return function->worker_offset + function->worker_bytes * (width < 1 ? 1 : width);
}

const char *jit_entry_symbol(struct arena *arena, const char *function) {
    return arena_printf(arena, "weft_entry_%s", function);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- units ---- */

static struct unit *find_unit(const struct compiled *c, const char *symbol) {
    for (int i = 0; i < c->units.count; i++)
        if (strcmp(c->units.at[i]->function->symbol, symbol) == 0)
            return c->units.at[i];
    return NULL;
}

/* Gives the phase its symbol, from all that determines its code; code that is there already serves again. */
static void add_unit(struct compiled *c, const struct lowered_kernel *kernel, struct loop_function *phase,
                     bool packs) {
    struct strbuf text;
    strbuf_init(&text, c->arena);
    loops_print(phase, &text);
    int arguments = kernel->op->in_count + kernel->op->out_count;
    const char *call = arena_printf(c->arena, "%d %lld", arguments, (long long)kernel->worker_bytes);
    struct strbuf places;
    strbuf_init(&places, c->arena);
    if (c->options.debug_info)
        debug_print_places(phase, kernel->op->site, &places);
    struct hash_text hash = hash_texts((const char *[]){call, text.text, places.text}, places.length ? 3 : 2);
    phase->name = op_string(kernel->op, ATTR_name);
    phase->symbol = arena_printf(c->arena, "weft_%s", hash.text);
    struct unit *known = find_unit(c, phase->symbol);
    if (known) {
        known->packs |= packs;
        return;
    }
    struct unit *unit = ARENA_NEW(c->arena, struct unit);
    *unit = (struct unit){.function = phase,
                          .argument_count = arguments,
                          .worker_bytes = kernel->worker_bytes,
                          .text = text.text,
                          .packs = packs,
                          .site = kernel->op->site,
                          .cost = text.length};
    VEC_PUSH(c->arena, &c->units, unit);
}

/* ---- kernels ---- */

static int count_checks(const struct loop_stmt *first) {
    int most = 0;
    for (const struct loop_stmt *s = first; s; s = s->next) {
        int inner = count_checks(s->body), other = count_checks(s->otherwise);
        int own = s->kind == LSTMT_CHECK ? s->code + 1 : 0;
        most = most > inner ? most : inner;
        most = most > other ? most : other;
        most = most > own ? most : own;
    }
    return most;
}

static void add_check(struct compiled *c, const char *message, const struct site *site) {
    struct check_row row = {message, site};
    VEC_PUSH(c->arena, &c->checks, row);
}

/* The loops of a kernel number their checks from 0: so equal code may serve at several places. */
static void add_kernel_checks(struct compiled *c, struct lowered_kernel *kernel) {
    kernel->first_check = c->checks.count;
    for (int i = 0; i < kernel->loops.phases.count; i++) {
        int count = count_checks(kernel->loops.phases.at[i]->body);
        kernel->check_count = count > kernel->check_count ? count : kernel->check_count;
    }
    for (int i = 0; i < kernel->check_count; i++)
        add_check(c, arena_printf(c->arena, "%s: an index is out of range", op_string(kernel->op, ATTR_name)),
                  kernel->op->site);
}

/* What the function's workspace has for it, and the rows of its profile. */
static void add_to_function(struct compiled *c, struct compiled_function *f, struct lowered_kernel *kernel) {
    int64_t shared_end = f->shared_offset + align64(kernel->loops.shared_bytes);
    f->worker_offset = shared_end > f->worker_offset ? shared_end : f->worker_offset;
    f->worker_bytes = kernel->worker_bytes > f->worker_bytes ? kernel->worker_bytes : f->worker_bytes;
    kernel->first_row = c->rows.count;
    for (int i = 0; i < kernel->loops.phases.count; i++) {
        const struct loop_function *phase = kernel->loops.phases.at[i];
        struct profile_row row = {kernel->op, i, kernel->loops.phases.count, phase->tasks};
        VEC_PUSH(c->arena, &c->rows, row);
    }
}

static bool add_kernel(struct compiled *c, struct compiled_function *f, const struct op *op,
                       struct lowering *l) {
    struct lowered_kernel *kernel = ARENA_NEW(c->arena, struct lowered_kernel);
    kernel->op = op;
    if (!run_loop_pipeline(l, op, &kernel->loops))
        return false;
    kernel->worker_bytes = align64(kernel->loops.worker_bytes);
    add_kernel_checks(c, kernel);
    bool may_keep = l->packs_weights && packing_suits(c, f, op, &c->writers);
    for (int i = 0; i < kernel->loops.phases.count; i++)
        add_unit(c, kernel, kernel->loops.phases.at[i], may_keep);
    if (may_keep)
        packing_keep(c, f, kernel);
    if (!kernel->is_kept)
        add_to_function(c, f, kernel);
    for (int i = 0; i < kernel->loops.packing.count; i++)
        add_unit(c, kernel, kernel->loops.packing.at[i], true);
    if (kernel->loops.packed_bytes)
        packing_place(c, f, kernel);
    VEC_PUSH(c->arena, &c->kernels, kernel);
    map_put(&c->kernel_of, op, kernel);
    return true;
}

/* Any other op here is the mistake of a pass. */
static bool is_expected(const struct op *op) {
    switch (op->code) {
    case OP_input:
    case OP_read:
    case OP_write:
    case OP_const:
    case OP_reshape:
    case OP_loop:
    case OP_cond:
    case OP_report:
    case OP_check:
    case OP_print:
    case OP_yield:
        return true;
    default:
        return false;
    }
}

static bool visit_op(struct compiled *c, struct compiled_function *f, const struct op *op,
                     struct lowering *l) {
    if (op->code == OP_kernel)
        return add_kernel(c, f, op, l);
    if (!is_expected(op)) {
        diag_defect(l->diags, op->site->span, "`%s` was left for the code generator outside of a kernel",
                    opcode_text(op->code));
        return false;
    }
    if (op->code == OP_check) {
        add_check(c, op_string(op, ATTR_message), op->site);
        map_put(&c->first_check_of, op, (void *)(intptr_t)c->checks.count);
    }
    return true;
}

static bool visit_block(struct compiled *c, struct compiled_function *f, const struct block *block,
                        struct lowering *l) {
    FOR_EACH_OP (op, block) {
        if (!visit_op(c, f, op, l))
            return false;
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            if (!visit_block(c, f, op->regions[r], l))
                return false;
    }
    return true;
}

static bool add_function(struct compiled *c, struct function *function, struct lowering *l) {
    const struct function_plan *plan = plan_of(c->plan, function);
    if (!plan) {
        diag_defect(l->diags, function->site->span, "`%s` has no memory plan", function->name);
        return false;
    }
    struct compiled_function f = {.function = function, .plan = plan};
    f.shared_offset = WORKSPACE_HEADER + align64(plan->arena_bytes);
    f.worker_offset = f.shared_offset;
    l->plan = plan;
    l->packs_weights = c->packs_weights && function->kind != FUNCTION_INIT;
    map_init(&c->writers, c->arena);
    if (l->packs_weights)
        packing_count_writers(&c->writers, plan, function->body);
    if (!visit_block(c, &f, function->body, l))
        return false;
    VEC_PUSH(c->arena, &c->functions, f);
    return true;
}

/* ---- the whole ---- */

static struct compiled *compiled_create(struct graph *graph, const struct plan *plan,
                                        const struct codegen_options *options, struct arena *arena) {
    struct compiled *c = ARENA_NEW(arena, struct compiled);
    c->arena = arena;
    c->graph = graph;
    c->plan = plan;
    c->options = *options;
    c->weights_bytes = plan->weights_bytes;
    map_init(&c->kept, arena);
    map_init(&c->kernel_of, arena);
    map_init(&c->first_check_of, arena);
    strbuf_init(&c->why, arena);
    VEC_PUSH(arena, &c->rows, ((struct profile_row){.phases = 1, .tasks = 1}));
    return c;
}

/* An init writes them too, and they are packed behind it. */
static bool writes_weights(const struct plan *plan, struct function *const *functions, int count) {
    bool writes = false;
    for (int i = 0; i < count; i++) {
        const struct function_plan *own = plan_of(plan, functions[i]);
        writes |= own && own->writes_weights && functions[i]->kind != FUNCTION_INIT;
    }
    return writes;
}

struct compiled *session_compile(struct graph *graph, struct function *const *functions, int count,
                                 const struct plan *plan, const struct codegen_options *options,
                                 struct arena *arena, struct diags *diags) {
    double begin = seconds_now();
    struct compiled *c = compiled_create(graph, plan, options, arena);
    if (!(c->target = target_get(arena, options->cpu, diags)))
        return NULL;
    c->packs_weights = options->pack_weights && !writes_weights(plan, functions, count);
    struct lowering l = {.arena = arena,
                         .target = c->target,
                         .diags = diags,
                         .why = options->explain ? &c->why : NULL,
                         .kept = &c->kept,
                         .winograd = !options->no_winograd,
                         .use_openblas = options->use_openblas};
    for (int i = 0; i < count; i++)
        if (!add_function(c, functions[i], &l))
            return NULL;
    c->times.lower = seconds_now() - begin;
    c->times.kernels = c->kernels.count;
    c->times.distinct = c->units.count;
    if (!options->no_jit && !compile_objects(c, diags))
        return NULL;
    c->times.compile = seconds_now() - begin;
    return c;
}
