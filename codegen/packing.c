/* codegen/packing.c: what kernels make of weights alone is made once, when weights are loaded, and kept
 * behind the tensors in the weights block: docs/abi.md, Weights. */
#include "codegen/compile.h"
#include "codegen/entry.h"
#include "codegen/jit.h"

#include <string.h>

/* ---- places ---- */

static const int64_t *find_weights(const struct compiled *c, const struct compiled_function *f,
                                   const struct op *op) {
    int64_t *offsets = ARENA_ARRAY(c->arena, int64_t, op->in_count + 1);
    for (int i = 0; i < op->in_count; i++) {
        const struct place *place = plan_place(f->plan, op->in[i]);
        offsets[i] = place && place->kind == PLACE_WEIGHTS ? place->offset : -1;
    }
    return offsets;
}

static bool reads_same(const struct loop_function *phase, const int64_t *a, const int64_t *b) {
    bool same = true;
    for (int i = 0; i < phase->buffers.count; i++) {
        const struct buffer *buffer = phase->buffers.at[i];
        same &= buffer->space != SPACE_ARGUMENT || a[buffer->argument] == b[buffer->argument];
    }
    return same;
}

static bool packs_same(const struct lowered_kernel *a, const struct lowered_kernel *b) {
    bool same = a->loops.packing.count == b->loops.packing.count;
    for (int i = 0; same && i < a->loops.packing.count; i++) {
        const struct loop_function *x = a->loops.packing.at[i], *y = b->loops.packing.at[i];
        same = strcmp(x->symbol, y->symbol) == 0 && reads_same(x, a->weight_offset, b->weight_offset);
    }
    return same;
}

void packing_place(struct compiled *c, const struct compiled_function *f, struct lowered_kernel *kernel) {
    kernel->weight_offset = find_weights(c, f, kernel->op);
    for (int i = 0; i < c->packings.count; i++)
        if (packs_same(kernel, c->packings.at[i])) {
            kernel->packed_offset = c->packings.at[i]->packed_offset;
            return;
        }
    kernel->packed_offset = align64(c->weights_bytes);
    c->weights_bytes = kernel->packed_offset + align64(kernel->loops.packed_bytes);
    VEC_PUSH(c->arena, &c->packings, kernel);
}

/* ---- the function ---- */

enum { BASE_WEIGHTS, BASE_NONE, BASES };

static LLVMValueRef i64_of(const struct emitter *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

/* The kernel's data array, as far as packing looks at it. */
static void add_steps(struct entry_module *m, struct step_run *run, const struct lowered_kernel *kernel) {
    struct arena *arena = m->e->arena;
    const struct op *op = kernel->op;
    int slots = op->in_count + op->out_count + DATA_SLOTS;
    for (int i = 0; i < slots; i++) {
        struct step_slot slot = {BASE_NONE, 0};
        if (i < op->in_count && kernel->weight_offset[i] >= 0)
            slot = (struct step_slot){BASE_WEIGHTS, kernel->weight_offset[i]};
        else if (i == op->in_count + op->out_count + DATA_PACKED)
            slot = (struct step_slot){BASE_WEIGHTS, kernel->packed_offset};
        VEC_PUSH(arena, &run->slots, slot);
    }
    for (int i = 0; i < kernel->loops.packing.count; i++) {
        const struct loop_function *phase = kernel->loops.packing.at[i];
        struct step step = {entry_unit(m, phase->symbol), phase->tasks, i ? 0 : slots, 0};
        VEC_PUSH(arena, &run->steps, step);
    }
}

static int most_slots(const struct compiled *c) {
    int most = 1;
    for (int i = 0; i < c->packings.count; i++) {
        int slots = c->packings.at[i]->op->in_count + c->packings.at[i]->op->out_count + DATA_SLOTS;
        most = slots > most ? slots : most;
    }
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
        LLVMBuildAlloca(e->b, LLVMArrayType2(e->ptr, (uint64_t)most_slots(m->compiled)), "data");
    LLVMBuildStore(e->b, LLVMConstNull(pointers), bases);
    LLVMBuildStore(e->b, LLVMGetParam(fn, 0), bases); /* BASE_WEIGHTS is the first */
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
