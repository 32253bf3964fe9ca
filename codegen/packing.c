/* codegen/packing.c: what kernels make of weights alone is made once, when weights are loaded, and kept
 * behind the tensors in the weights block: docs/abi.md, Weights. */
#include "codegen/compile.h"
#include "codegen/entry.h"
#include "codegen/interface.h"
#include "codegen/jit.h"

#include <string.h>

/* ---- places ---- */

const struct place *packing_find_place(const struct compiled *c, const struct function_plan *plan,
                                       const struct value *value) {
    const struct place *place = plan_place(plan, value);
    const struct place *kept = place ? map_find(&c->kept, place) : NULL;
    return kept ? kept : place;
}

static const int64_t *find_weights(const struct compiled *c, const struct compiled_function *f,
                                   const struct op *op) {
    int64_t *offsets = ARENA_ARRAY(c->arena, int64_t, op->in_count + 1);
    for (int i = 0; i < op->in_count; i++) {
        const struct place *place = packing_find_place(c, f->plan, op->in[i]);
        offsets[i] = place && place->kind == PLACE_WEIGHTS ? place->offset : -1;
    }
    return offsets;
}

static bool reads_same(const struct loop_function *phase, const int64_t *a, const int64_t *b) {
    bool same = true;
    for (int i = 0; i < phase->buffers.count; i++) {
        const struct buffer *buffer = phase->buffers.at[i];
        bool is_read = buffer->space == SPACE_ARGUMENT && !buffer->is_written;
        same &= !is_read || a[buffer->argument] == b[buffer->argument];
    }
    return same;
}

/* What of the kernel runs when weights are loaded. */
static int count_phases(const struct lowered_kernel *kernel) {
    return kernel->is_kept ? kernel->loops.phases.count : kernel->loops.packing.count;
}
static const struct loop_function *phase_at(const struct lowered_kernel *kernel, int i) {
    return kernel->is_kept ? kernel->loops.phases.at[i] : kernel->loops.packing.at[i];
}

static bool packs_same(const struct lowered_kernel *a, const struct lowered_kernel *b) {
    bool same = a->is_kept == b->is_kept && count_phases(a) == count_phases(b);
    for (int i = 0; same && i < count_phases(a); i++) {
        const struct loop_function *x = phase_at(a, i), *y = phase_at(b, i);
        same = strcmp(x->symbol, y->symbol) == 0 && reads_same(x, a->weight_offset, b->weight_offset);
    }
    return same;
}

/* The place of the first kernel that does the same, or a new one of so many bytes. */
static void find_place(struct compiled *c, const struct compiled_function *f, struct lowered_kernel *kernel,
                       int64_t bytes) {
    kernel->weight_offset = find_weights(c, f, kernel->op);
    for (int i = 0; i < c->packings.count; i++)
        if (packs_same(kernel, c->packings.at[i])) {
            kernel->packed_offset = c->packings.at[i]->packed_offset;
            return;
        }
    kernel->packed_offset = align64(c->weights_bytes);
    c->weights_bytes = kernel->packed_offset + align64(bytes);
    VEC_PUSH(c->arena, &c->packings, kernel);
}

void packing_place(struct compiled *c, const struct compiled_function *f, struct lowered_kernel *kernel) {
    find_place(c, f, kernel, kernel->loops.packed_bytes);
}

/* ---- whole kernels ---- */

static void add_writer(struct map *writers, const struct function_plan *plan, const struct value *value) {
    const struct place *place = plan_place(plan, value);
    if (place)
        map_put(writers, place, (void *)((intptr_t)map_find(writers, place) + 1));
}

/* Results of kernels; of loops and conds, what copies write: results and the parameters that are no captures.
 */
void packing_count_writers(struct map *writers, const struct function_plan *plan, const struct block *block) {
    FOR_EACH_OP (op, block) {
        bool has_control = op->code == OP_loop || op->code == OP_cond;
        for (int i = 0; (has_control || op->code == OP_kernel) && i < op->out_count; i++)
            add_writer(writers, plan, op->out[i]);
        int own = has_control ? op_first_capture(op) - op_region_shift(op) : 0;
        for (int r = 0; has_control && r < op->region_count; r++) {
            for (int i = 0; i < own; i++)
                add_writer(writers, plan, op->regions[r]->params[i]);
            packing_count_writers(writers, plan, op->regions[r]);
        }
    }
}

/* Results that are larger than the weights that they are made of would cost more memory than the time is
 * worth; small tables may be made of nothing. */
bool packing_suits(const struct compiled *c, const struct compiled_function *f, const struct op *op,
                   const struct map *writers) {
    enum { SMALL_BYTES = 64 * 1024 };
    int64_t read = SMALL_BYTES, written = 0;
    bool suits = strcmp(op_string(op, ATTR_kind), "nest") == 0;
    for (int i = 0; suits && i < op->in_count; i++) {
        const struct place *place = packing_find_place(c, f->plan, op->in[i]);
        suits = place && place->kind == PLACE_WEIGHTS;
        read += type_bytes(op->in[i]->type);
    }
    for (int i = 0; suits && i < op->out_count; i++) {
        const struct place *place = plan_place(f->plan, op->out[i]);
        suits = place && place->kind == PLACE_WORKSPACE && (intptr_t)map_find(writers, place) == 1;
        written += type_bytes(op->out[i]->type);
    }
    return suits && written <= read;
}

static int64_t memory_of(const struct lowered_kernel *kernel) {
    return align64(kernel->loops.shared_bytes) + kernel->worker_bytes;
}

void packing_keep(struct compiled *c, const struct compiled_function *f, struct lowered_kernel *kernel) {
    if (kernel->check_count || memory_of(kernel) > INIT_STACK_BYTES)
        return;
    const struct op *op = kernel->op;
    int64_t bytes = 0;
    for (int i = 0; i < op->out_count; i++)
        bytes += align64(type_bytes(op->out[i]->type));
    kernel->is_kept = true;
    find_place(c, f, kernel, bytes);
    int64_t offset = kernel->packed_offset;
    for (int i = 0; i < op->out_count; i++) {
        struct place *kept = ARENA_NEW(c->arena, struct place);
        *kept = (struct place){.kind = PLACE_WEIGHTS, .offset = offset};
        map_put(&c->kept, plan_place(f->plan, op->out[i]), kept);
        offset += align64(type_bytes(op->out[i]->type));
    }
}

/* ---- the function ---- */

enum { BASE_WEIGHTS, BASE_MEMORY, BASE_NONE, BASES };

static LLVMValueRef i64_of(const struct emitter *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

static void add_slot(const struct entry_module *m, struct step_run *run, int base, int64_t offset) {
    VEC_PUSH(m->e->arena, &run->slots, ((struct step_slot){base, offset}));
}

/* The kernel's data array, as far as packing looks at it. */
static void add_steps(struct entry_module *m, struct step_run *run, const struct lowered_kernel *kernel) {
    struct arena *arena = m->e->arena;
    const struct op *op = kernel->op;
    int64_t result = kernel->packed_offset;
    int first = run->slots.count;
    for (int i = 0; i < op->in_count; i++) {
        bool is_weight = kernel->weight_offset[i] >= 0;
        add_slot(m, run, is_weight ? BASE_WEIGHTS : BASE_NONE, is_weight ? kernel->weight_offset[i] : 0);
    }
    for (int i = 0; i < op->out_count; i++) {
        add_slot(m, run, kernel->is_kept ? BASE_WEIGHTS : BASE_NONE, kernel->is_kept ? result : 0);
        result += align64(type_bytes(op->out[i]->type));
    }
    add_slot(m, run, BASE_MEMORY, 0); /* in the order of enum data_slot */
    add_slot(m, run, BASE_MEMORY, align64(kernel->loops.shared_bytes));
    add_slot(m, run, BASE_NONE, 0);
    add_slot(m, run, BASE_WEIGHTS, kernel->packed_offset);
    int slots = run->slots.count - first;
    for (int i = 0; i < count_phases(kernel); i++) {
        const struct loop_function *phase = phase_at(kernel, i);
        struct step step = {entry_unit(m, phase->symbol), phase->tasks, i ? 0 : slots, 0};
        VEC_PUSH(arena, &run->steps, step);
    }
}

static int64_t most_memory(const struct compiled *c) {
    int64_t most = PLAN_ALIGNMENT;
    for (int i = 0; i < c->packings.count; i++)
        if (c->packings.at[i]->is_kept && memory_of(c->packings.at[i]) > most)
            most = memory_of(c->packings.at[i]);
    return most;
}

/* Where entries are profiled the steps write a log: nobody reads this one. */
static LLVMValueRef emit_unread_log(struct entry_module *m, LLVMBasicBlockRef back) {
    struct emitter *e = m->e;
    LLVMValueRef clock =
        LLVMAddFunction(e->module, "weft_no_clock", LLVMFunctionType(e->i64, NULL, 0, false));
    LLVMSetLinkage(clock, LLVMInternalLinkage);
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->context, clock, "begin"));
    LLVMBuildRet(e->b, i64_of(e, 0));
    LLVMPositionBuilderAtEnd(e->b, back);
    LLVMTypeRef fields[] = {e->i64, e->i64, e->ptr, e->i64, e->i64};
    LLVMTypeRef type = LLVMStructTypeInContext(e->context, fields, 5, false);
    LLVMValueRef log = LLVMBuildAlloca(e->b, type, "log");
    LLVMBuildStore(e->b, i64_of(e, 0), LLVMBuildStructGEP2(e->b, type, log, 0, ""));
    LLVMBuildStore(e->b, i64_of(e, 1), LLVMBuildStructGEP2(e->b, type, log, 1, ""));
    LLVMBuildStore(e->b, clock, LLVMBuildStructGEP2(e->b, type, log, 2, ""));
    return log;
}

static void emit_cpu_check(struct entry_module *m, LLVMValueRef fn) {
    struct emitter *e = m->e;
    LLVMBasicBlockRef other = LLVMAppendBasicBlockInContext(e->context, fn, "other"),
                      fits = LLVMAppendBasicBlockInContext(e->context, fn, "fits");
    LLVMValueRef ok = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(m->fits_cpu), m->fits_cpu, NULL, 0, "");
    LLVMBuildCondBr(e->b, ok, fits, other);
    LLVMPositionBuilderAtEnd(e->b, other);
    LLVMBuildRet(e->b, LLVMConstInt(e->i32, WEFT_BAD_CPU, false));
    LLVMPositionBuilderAtEnd(e->b, fits);
}

LLVMValueRef emit_pack_function(struct entry_module *m, const char *symbol) {
    struct emitter *e = m->e;
    LLVMValueRef fn = LLVMAddFunction(e->module, symbol, LLVMFunctionType(e->i32, &e->ptr, 1, false));
    emit_attributes(e, fn);
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->context, fn, "begin"));
    if (m->fits_cpu && m->compiled->packings.count)
        emit_cpu_check(m, fn);
    LLVMTypeRef pointers = LLVMArrayType2(e->ptr, BASES);
    LLVMValueRef bases = LLVMBuildAlloca(e->b, pointers, "bases");
    LLVMValueRef data =
        LLVMBuildAlloca(e->b, LLVMArrayType2(e->ptr, (uint64_t)entry_most_slots(m->compiled)), "data");
    LLVMValueRef memory =
        LLVMBuildAlloca(e->b, LLVMArrayType2(e->i8, (uint64_t)most_memory(m->compiled)), "memory");
    LLVMSetAlignment(memory, PLAN_ALIGNMENT);
    LLVMBuildStore(e->b, LLVMConstNull(pointers), bases);
    LLVMBuildStore(e->b, LLVMGetParam(fn, 0), bases); /* BASE_WEIGHTS is the first */
    LLVMValueRef index = i64_of(e, BASE_MEMORY);
    LLVMBuildStore(e->b, memory, LLVMBuildInBoundsGEP2(e->b, e->ptr, bases, &index, 1, ""));
    LLVMValueRef log = m->profiles ? emit_unread_log(m, LLVMGetInsertBlock(e->b)) : NULL;
    struct step_run run = {0};
    for (int i = 0; i < m->compiled->packings.count; i++)
        add_steps(m, &run, m->compiled->packings.at[i]);
    emit_step_run(m, &run, LLVMConstNull(e->ptr), bases, data, log);
    LLVMBuildRet(e->b, LLVMConstInt(e->i32, WEFT_OK, false));
    return fn;
}

/* ---- at build time ---- */

static bool runs_here(const struct compiled *c) {
    char *here = LLVMGetDefaultTargetTriple();
    size_t machine = strcspn(here, "-");
    bool same = strncmp(here, c->target->triple, machine + 1) == 0;
    LLVMDisposeMessage(here);
    return same;
}

static LLVMMemoryBufferRef compile_packing(struct compiled *c, const char **why) {
    struct emitter e;
    if (!emitter_init(&e, c->target, c->arena, "packing"))
        return NULL;
    emit_packing_units(&e, c);
    struct entry_module m;
    entry_module_init(&m, &e, c, true);
    emit_pack_function(&m, PACKING_SYMBOL);
    LLVMTargetMachineRef machine = target_machine_create(c->target);
    LLVMMemoryBufferRef object = NULL;
    char *message = NULL;
    if (machine && verify_module(&e, c->arena, why) && !(object = emit_object(machine, e.module, &message)))
        *why = arena_strdup(c->arena, message);
    LLVMDisposeMessage(message);
    if (machine)
        LLVMDisposeTargetMachine(machine);
    emitter_finish(&e);
    return object;
}

static bool call_packing(struct jit *jit, struct compiled *c, void *weights, int *code, const char **why) {
    LLVMMemoryBufferRef object = compile_packing(c, why);
    bool ok =
        object && jit_add_object(jit, LLVMGetBufferStart(object), LLVMGetBufferSize(object), c->arena, why);
    if (object)
        LLVMDisposeMemoryBuffer(object);
    void *address = ok ? jit_symbol(jit, PACKING_SYMBOL, c->arena, why) : NULL;
    if (address)
        *code = ((packing_function *)(uintptr_t)address)(weights);
    return address != NULL;
}

bool packing_run(struct compiled *c, void *weights, struct diags *diags) {
    const char *why = "no target machine";
    int code = WEFT_BAD_CPU;
    if (runs_here(c)) {
        struct jit *jit = jit_create(c->arena, false, &why);
        bool ok = jit && call_packing(jit, c, weights, &code, &why);
        jit_destroy(jit);
        if (!ok) {
            diag_defect(diags, (struct span){0}, "LLVM does not compile the packing of weights: %s", why);
            return false;
        }
    }
    if (code == WEFT_OK)
        return true;
    diag_hint(
        diag_error(diags, (struct span){0}, E_TARGET,
                   "weights are packed with code for %s, which this machine does not run", c->target->cpu),
        "build without --weights and fill the block with PREFIX_pack_weights where the object runs, or pack "
        "nothing: --packing off");
    return false;
}
