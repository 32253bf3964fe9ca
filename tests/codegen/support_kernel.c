#include "support_kernel.h"

#include "codegen/llvm.h"
#include "ir/eval.h"
#include "ir/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GUARD = 256 }; /* bytes behind each buffer */

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *rendered(struct kernel_run *run) {
    struct strbuf out;
    strbuf_init(&out, run->arena);
    diags_render(run->diags, &out, false);
    return out.text ? strdup(out.text) : "";
}

static struct op *find_kernel(struct graph *graph) {
    FOR_EACH_OP (op, graph->functions.at[0]->body)
        if (op->code == OP_kernel)
            return op;
    return NULL;
}

static LLVMMemoryBufferRef compile(struct kernel_run *run, const char **why) {
    struct emitter e;
    if (!emitter_init(&e, run->target, run->arena, "kernel"))
        return NULL;
    for (int i = 0; i < run->kernel.phases.count; i++) {
        struct loop_function *f = run->kernel.phases.at[i];
        f->symbol = arena_printf(run->arena, "phase%d", i);
        emit_loop_function(&e, f, run->op->in_count + run->op->out_count, run->kernel.worker_bytes, NULL);
    }
    char *message = NULL;
    if (LLVMVerifyModule(e.module, LLVMReturnStatusAction, &message)) {
        *why = message;
        return NULL;
    }
    LLVMDisposeMessage(message);
    if (getenv("KERNEL_DUMP"))
        LLVMPrintModuleToFile(e.module, getenv("KERNEL_DUMP"), &message);
    LLVMTargetMachineRef machine = target_machine_create(run->target);
    char *refused = NULL;
    LLVMMemoryBufferRef object = emit_object(machine, e.module, &refused);
    LLVMDisposeTargetMachine(machine);
    emitter_finish(&e);
    return object;
}

static bool link_phases(struct kernel_run *run, LLVMMemoryBufferRef object, const char **why) {
    run->jit = jit_create(run->arena, false, why);
    if (!run->jit ||
        !jit_add_object(run->jit, LLVMGetBufferStart(object), LLVMGetBufferSize(object), run->arena, why))
        return false;
    run->phase_count = run->kernel.phases.count;
    run->phases = ARENA_ARRAY(run->arena, kernel_phase *, run->phase_count + 1);
    run->tasks = ARENA_ARRAY(run->arena, int64_t, run->phase_count + 1);
    for (int i = 0; i < run->phase_count; i++) {
        run->phases[i] = (kernel_phase *)(uintptr_t)jit_symbol(run->jit, run->kernel.phases.at[i]->symbol,
                                                               run->arena, why);
        run->tasks[i] = run->kernel.phases.at[i]->tasks;
        if (!run->phases[i])
            return false;
    }
    return true;
}

/* "wide": this machine as if its vectors had 512 bits and dot products of bf16. LLVM cuts them in two, so
 * that kernels of 16 lanes run here. */
static const struct target *find_target(struct arena *arena, const char *cpu, struct diags *diags) {
    if (strcmp(cpu, "wide") != 0)
        return target_get(arena, cpu, diags);
    const struct target *wide = target_get(arena, "x86-64-v4", diags);
    struct target *t = arena_memdup(arena, target_get(arena, "native", diags), sizeof(*t));
    t->vector_bits = wide->vector_bits;
    t->vector_registers = wide->vector_registers;
    t->tile_rows = wide->tile_rows;
    t->tile_vectors = wide->tile_vectors;
    t->has_bf16_dot = true;
    return t;
}

static bool runs_here(const char *cpu) {
    return strcmp(cpu, "aarch64") != 0 && strcmp(cpu, "x86-64-v4") != 0 && strcmp(cpu, "znver4") != 0;
}

struct kernel_run *kernel_compile(const char *text, const char *cpu,
                                  bool (*make)(struct lowering *, const struct op *, struct loop_kernel *),
                                  const char **why) {
    struct arena *arena = arena_create();
    struct kernel_run *run = ARENA_NEW(arena, struct kernel_run);
    run->arena = arena;
    run->types = types_create(arena);
    run->diags = diags_create(arena);
    run->target = find_target(arena, cpu, run->diags);
    const struct source *source = source_create(arena, "kernel.ir", text, strlen(text));
    run->graph = graph_parse(arena, run->types, interner_create(arena), source, run->diags);
    if (!run->target || !run->graph || !(run->op = find_kernel(run->graph))) {
        *why = rendered(run);
        return NULL;
    }
    struct strbuf explained;
    strbuf_init(&explained, arena);
    struct lowering l = {.arena = arena, .target = run->target, .diags = run->diags, .why = &explained};
    double start = seconds_now();
    if (!make(&l, run->op, &run->kernel)) {
        *why = rendered(run);
        return NULL;
    }
    run->why = explained.text ? explained.text : "";
    if (getenv("KERNEL_LOOPS"))
        for (int i = 0; i < run->kernel.phases.count; i++) {
            struct strbuf out;
            strbuf_init(&out, arena);
            loops_print(run->kernel.phases.at[i], &out);
            fputs(out.text, stderr);
        }
    double lowered = seconds_now();
    LLVMMemoryBufferRef object = compile(run, why);
    run->lower_seconds = lowered - start;
    run->emit_seconds = seconds_now() - lowered;
    if (!object)
        return NULL;
    bool linked = !runs_here(cpu) || link_phases(run, object, why);
    LLVMDisposeMemoryBuffer(object);
    return linked ? run : NULL;
}

/* ---- memory ---- */

static int argument_count(const struct kernel_run *run) {
    return run->op->in_count + run->op->out_count;
}

static const struct type *argument_type(const struct kernel_run *run, int i) {
    return i < run->op->in_count ? run->op->in[i]->type : run->op->out[i - run->op->in_count]->type;
}

static size_t slot_bytes(const struct kernel_run *run, int i, int workers) {
    if (i < argument_count(run))
        return (size_t)type_bytes(argument_type(run, i));
    return i == argument_count(run) ? (size_t)run->kernel.shared_bytes
                                    : (size_t)(run->kernel.worker_bytes * workers);
}

static void *guarded(size_t bytes) {
    size_t all = (bytes + GUARD + 63) / 64 * 64;
    unsigned char *memory = aligned_alloc(64, all);
    if (!memory)
        abort();
    memset(memory, 0xff, all); /* NaN: what is read before it is written shows */
    return memory;
}

void kernel_allocate(struct kernel_run *run, int workers) {
    int slots = argument_count(run) + 3;
    run->data = ARENA_ARRAY(run->arena, void *, slots);
    for (int i = 0; i < slots - 1; i++)
        run->data[i] = guarded(slot_bytes(run, i, workers));
    run->data[slots - 1] = guarded(64);
}

void kernel_free(struct kernel_run *run) {
    for (int i = 0; run->data && i < argument_count(run) + 3; i++)
        free(run->data[i]);
    jit_destroy(run->jit);
    arena_destroy(run->arena);
}

bool kernel_guards_hold(const struct kernel_run *run) {
    for (int i = 0; i < argument_count(run) + 1; i++) {
        const unsigned char *end = (const unsigned char *)run->data[i] + slot_bytes(run, i, 1);
        for (int k = 0; k < GUARD; k++)
            if (end[k] != 0xff)
                return false;
    }
    return true;
}

static void fill(void *memory, enum dtype dtype, int64_t k, int32_t random) {
    if (dtype == DTYPE_f64)
        ((double *)memory)[k] = (double)((float)random * 0x1p-31f);
    else if (dtype == DTYPE_f32)
        ((float *)memory)[k] = (float)random * 0x1p-31f;
    else if (dtype_is_float(dtype))
        ((uint16_t *)memory)[k] = half_bits(dtype, (double)random * 0x1p-31);
    else if (dtype == DTYPE_bool)
        ((uint8_t *)memory)[k] = random < 0;
    else
        memset((char *)memory + k * dtype_bytes(dtype), 0, (size_t)dtype_bytes(dtype));
}

void kernel_random(struct kernel_run *run, uint32_t seed) {
    for (int i = 0; i < run->op->in_count; i++)
        for (int64_t k = 0; k < type_elements(argument_type(run, i)); k++) {
            seed = seed * 1664525u + 1013904223u;
            fill(run->data[i], argument_type(run, i)->dtype, k, (int32_t)seed);
        }
}

void kernel_call(struct kernel_run *run, int first_phase) {
    for (int i = first_phase; i < run->phase_count; i++)
        for (int64_t task = 0; task < run->tasks[i]; task++)
            run->phases[i](run->data, task, 0);
}

/* Results and scratch become NaN again, as after kernel_allocate. */
static void forget(struct kernel_run *run, int workers) {
    for (int i = run->op->in_count; i < argument_count(run) + 2; i++)
        memset(run->data[i], 0xff, slot_bytes(run, i, workers));
}

bool kernel_same_in_any_order(struct kernel_run *run, int workers) {
    void *before[16];
    for (int i = run->op->in_count; i < argument_count(run); i++)
        before[i] = arena_memdup(run->arena, run->data[i], slot_bytes(run, i, 1));
    forget(run, workers);
    for (int i = 0; i < run->phase_count; i++)
        for (int64_t task = run->tasks[i] - 1; task >= 0; task--)
            run->phases[i](run->data, task, (int32_t)(task % workers));
    for (int i = run->op->in_count; i < argument_count(run); i++)
        if (slot_bytes(run, i, 1) && memcmp(before[i], run->data[i], slot_bytes(run, i, 1)) != 0)
            return false;
    return true;
}

double kernel_error(struct kernel_run *run) {
    struct tensor *inputs[16], *results[16];
    for (int i = 0; i < run->op->in_count; i++)
        inputs[i] = tensor_from_bytes(run->arena, run->op->in[i]->type, run->data[i]);
    struct eval *eval = eval_create(run->arena, run->graph, EVAL_F64, run->diags);
    if (!eval_function(eval, run->graph->functions.at[0], inputs, run->op->in_count, results, NULL))
        return INFINITY;
    double worst = 0;
    for (int i = 0; i < run->op->out_count; i++) {
        const struct type *type = run->op->out[i]->type;
        struct tensor *got = tensor_from_bytes(run->arena, type, run->data[run->op->in_count + i]);
        double difference = 0, size = 0;
        for (int64_t k = 0; k < type_elements(type); k++) {
            double a = dtype_is_float(type->dtype) ? got->f[k] : (double)got->i[k];
            double b = dtype_is_float(type->dtype) ? results[i]->f[k] : (double)results[i]->i[k];
            double d = fabs(a - b);
            difference = d > difference || isnan(d) ? d : difference;
            size = fabs(b) > size ? fabs(b) : size;
            if (isnan(difference))
                return NAN;
        }
        double error = size > 0 ? difference / size : difference;
        worst = error > worst ? error : worst;
    }
    return worst;
}
