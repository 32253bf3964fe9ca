/* codegen/entry.c: graphs of kernels to LLVM functions. Kernels between two points of control flow are rows
 * of a constant table (codegen/steps.c) and one call; loops and conds are native control flow around such
 * runs. Values are pointers given by the plan; where the plan gives two of them one place nothing is copied.
 */
#include "codegen/entry.h"

#include "codegen/debug.h"
#include "ir/graph.h"

#include <string.h>

struct entry {
    struct entry_module *m;
    LLVMBuilderRef b;
    const struct compiled_function *f;
    LLVMValueRef fn, workspace, exec;
    LLVMValueRef log;   /* of the profile, or NULL */
    LLVMValueRef *args; /* by argument: the pointer that the caller gave */
    LLVMValueRef bases; /* [ptr]: the workspace, the arguments, the constants, NULL */
    LLVMValueRef data;  /* [slots x ptr]: what a kernel's body gets */
    const struct constants *constants;
    LLVMValueRef constant_bytes;
    struct step_run run; /* kernels that are not yet called */
};

/* ---- the module's common parts ---- */

static LLVMValueRef i64_of(const struct emitter *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

static LLVMValueRef i32_of(const struct emitter *e, int64_t value) {
    return LLVMConstInt(e->i32, (unsigned long long)value, true);
}

static LLVMBasicBlockRef new_block(const struct emitter *e, LLVMValueRef fn, const char *name) {
    return LLVMAppendBasicBlockInContext(e->context, fn, name);
}

void entry_module_init(struct entry_module *m, struct emitter *e, const struct compiled *compiled,
                       bool checks_cpu) {
    *m = (struct entry_module){.e = e, .compiled = compiled};
    m->profiles = compiled->options.profile && !checks_cpu; /* objects never */
    LLVMTypeRef exec[] = {e->ptr, e->i32, e->ptr, e->ptr, e->ptr};
    LLVMTypeRef body[] = {e->ptr, e->i64, e->i32};
    LLVMTypeRef parallel_for[] = {e->ptr, e->ptr, e->ptr, e->i64};
    LLVMTypeRef call[] = {e->ptr, e->ptr, e->ptr};
    m->exec_type = LLVMStructTypeInContext(e->context, exec, 5, false);
    m->body_type = LLVMFunctionType(e->void_type, body, 3, false);
    m->parallel_for_type = LLVMFunctionType(e->void_type, parallel_for, 4, false);
    m->call_type = LLVMFunctionType(e->i32, call, 3, false);
    m->steps = emit_steps_function(m);
    m->copy = emit_copy_function(m);
    if (checks_cpu) {
        m->fits_cpu = emit_fits_cpu(e);
        m->cpu_tag = hash_bytes(hash_bytes(0, e->target->cpu, strlen(e->target->cpu)), e->target->features,
                                strlen(e->target->features));
    }
}

/* ---- constants ---- */

/* All constants of a function are one piece of data: so a constant is an offset, as every other place is. */
struct constants {
    VEC(const struct data *) list;
    struct map offset_of; /* const struct data * to its offset + 1 */
    int64_t bytes;
};

static void collect_constants(struct constants *c, const struct entry *n, const struct block *block) {
    FOR_EACH_OP (op, block) {
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            collect_constants(c, n, op->regions[r]);
        const struct data *data = op->code == OP_const ? op_attr(op, ATTR_data)->data : NULL;
        if (!data || map_has(&c->offset_of, data))
            continue;
        map_put(&c->offset_of, data, (void *)(intptr_t)(c->bytes + 1));
        VEC_PUSH(n->m->e->arena, &c->list, data);
        c->bytes += align64(type_bytes(data->type));
    }
}

static LLVMValueRef emit_constants(const struct entry *n, const struct constants *c) {
    const struct emitter *e = n->m->e;
    char *bytes = arena_alloc(e->arena, (size_t)c->bytes + 1);
    for (int i = 0, at = 0; i < c->list.count; i++) {
        const struct data *data = c->list.at[i];
        memcpy(bytes + at, data->bytes, (size_t)type_bytes(data->type));
        at += (int)align64(type_bytes(data->type));
    }
    LLVMValueRef value = LLVMConstStringInContext(e->context, bytes, (unsigned)c->bytes, true);
    LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(value), "constants");
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetAlignment(global, PLAN_ALIGNMENT);
    return global;
}

/* ---- places ---- */

static LLVMValueRef offset_pointer(struct entry *n, LLVMValueRef base, int64_t offset) {
    LLVMValueRef index = i64_of(n->m->e, offset);
    return offset ? LLVMBuildInBoundsGEP2(n->b, n->m->e->i8, base, &index, 1, "") : base;
}

static int64_t constant_offset(const struct entry *n, const struct place *place) {
    return (int64_t)(intptr_t)map_find(&n->constants->offset_of, place->data) - 1;
}

static LLVMValueRef place_pointer(struct entry *n, const struct place *place) {
    switch (place->kind) {
    case PLACE_WORKSPACE:
        return offset_pointer(n, n->workspace, WORKSPACE_HEADER + place->offset);
    case PLACE_WEIGHTS:
        return offset_pointer(n, n->args[0], place->offset);
    case PLACE_STATE:
        return offset_pointer(n, n->args[1], place->offset);
    case PLACE_ARGUMENT:
        return n->args[place->argument];
    default:
        return offset_pointer(n, n->constant_bytes, constant_offset(n, place));
    }
}

static const struct place *place_of(const struct entry *n, const struct value *value) {
    return packing_find_place(n->m->compiled, n->f->plan, value);
}

static LLVMValueRef pointer_of(struct entry *n, const struct value *value) {
    return place_pointer(n, place_of(n, value));
}

static bool same_place(const struct place *a, const struct place *b) {
    return a->kind == b->kind && a->offset == b->offset && a->argument == b->argument && a->data == b->data;
}

/* ---- errors ---- */

/* Goes on where `ok`, else returns the code. */
static void return_unless(struct entry *n, LLVMValueRef ok, LLVMValueRef code) {
    LLVMBasicBlockRef failed = new_block(n->m->e, n->fn, "failed"), on = new_block(n->m->e, n->fn, "on");
    LLVMBuildCondBr(n->b, ok, on, failed);
    LLVMPositionBuilderAtEnd(n->b, failed);
    LLVMBuildRet(n->b, code);
    LLVMPositionBuilderAtEnd(n->b, on);
}

/* A kernel's checks leave the smallest failed number in the workspace header. */
static void emit_kernel_checks(struct entry *n, const struct lowered_kernel *kernel) {
    const struct emitter *e = n->m->e;
    LLVMValueRef found = LLVMBuildLoad2(n->b, e->i32, offset_pointer(n, n->workspace, HEADER_ERROR), "");
    LLVMValueRef ok = LLVMBuildICmp(n->b, LLVMIntEQ, found, i32_of(e, -1), "");
    LLVMValueRef code = LLVMBuildAdd(n->b, found, i32_of(e, WEFT_FIRST_CHECK + kernel->first_check), "");
    LLVMValueRef stopped = LLVMBuildICmp(n->b, LLVMIntEQ, found, i32_of(e, WEFT_STOP), "");
    return_unless(n, ok, LLVMBuildSelect(n->b, stopped, i32_of(e, WEFT_STOPPED), code, ""));
}

/* At the beginning of a turn: volatile, since it is others who store it. */
static void emit_stop(struct entry *n) {
    const struct emitter *e = n->m->e;
    LLVMValueRef word = LLVMBuildLoad2(n->b, e->i32, offset_pointer(n, n->workspace, HEADER_ERROR), "");
    LLVMSetVolatile(word, true);
    return_unless(n, LLVMBuildICmp(n->b, LLVMIntNE, word, i32_of(e, WEFT_STOP), ""), i32_of(e, WEFT_STOPPED));
}

/* ---- kernels ---- */

/* Calls the kernels that have gathered. */
static void flush_run(struct entry *n) {
    emit_step_run(n->m, &n->run, n->exec, n->bases, n->data, n->log);
}

LLVMValueRef entry_unit(const struct entry_module *m, const char *symbol) {
    LLVMValueRef known = LLVMGetNamedFunction(m->e->module, symbol);
    return known ? known : LLVMAddFunction(m->e->module, symbol, m->body_type);
}

enum { BASE_WORKSPACE, BASE_ARGUMENTS };
enum { COPY_SLOTS = 3 };

static int constant_base(const struct entry *n) {
    return BASE_ARGUMENTS + n->f->plan->arguments.count;
}

/* The place as an offset from one of the bases. */
static struct step_slot slot_of(const struct entry *n, const struct place *place) {
    switch (place->kind) {
    case PLACE_WORKSPACE:
        return (struct step_slot){BASE_WORKSPACE, WORKSPACE_HEADER + place->offset};
    case PLACE_WEIGHTS:
        return (struct step_slot){BASE_ARGUMENTS, place->offset};
    case PLACE_STATE:
        return (struct step_slot){BASE_ARGUMENTS + 1, place->offset};
    case PLACE_ARGUMENT:
        return (struct step_slot){BASE_ARGUMENTS + place->argument, 0};
    default:
        return (struct step_slot){constant_base(n), constant_offset(n, place)};
    }
}

/* A copy is a step like a kernel: its body is in steps.c. Where both are one place there is nothing to do. */
static void copy_value(struct entry *n, const struct place *to, const struct value *from) {
    const struct place *source = place_of(n, from);
    int64_t bytes = type_bytes(from->type);
    if (same_place(to, source) || !bytes)
        return;
    struct arena *arena = n->m->e->arena;
    struct step_slot slots[COPY_SLOTS] = {slot_of(n, to), slot_of(n, source), {constant_base(n) + 1, bytes}};
    struct step step = {n->m->copy, 1, COPY_SLOTS, 0};
    for (int i = 0; i < COPY_SLOTS; i++)
        VEC_PUSH(arena, &n->run.slots, slots[i]);
    VEC_PUSH(arena, &n->run.steps, step);
}

/* Operands, results, then what enum data_slot lists. Further phases find the array as it is. */
static void emit_kernel(struct entry *n, const struct op *op) {
    const struct lowered_kernel *kernel = map_find(&n->m->compiled->kernel_of, op);
    struct arena *arena = n->m->e->arena;
    struct step_run *run = &n->run;
    if (kernel->loops.phases.count == 0 || kernel->is_kept)
        return;
    int first = run->slots.count;
    for (int i = 0; i < op->in_count; i++)
        VEC_PUSH(arena, &run->slots, slot_of(n, place_of(n, op->in[i])));
    for (int i = 0; i < op->out_count; i++)
        VEC_PUSH(arena, &run->slots, slot_of(n, place_of(n, op->out[i])));
    VEC_PUSH(arena, &run->slots, ((struct step_slot){BASE_WORKSPACE, n->f->shared_offset}));
    VEC_PUSH(arena, &run->slots, ((struct step_slot){BASE_WORKSPACE, n->f->worker_offset}));
    VEC_PUSH(arena, &run->slots, ((struct step_slot){BASE_WORKSPACE, HEADER_ERROR}));
    if (kernel->loops.packed_bytes)
        VEC_PUSH(arena, &run->slots, ((struct step_slot){BASE_ARGUMENTS, kernel->packed_offset}));
    for (int i = 0; i < kernel->loops.phases.count; i++) {
        const struct loop_function *phase = kernel->loops.phases.at[i];
        struct step step = {entry_unit(n->m, phase->symbol), phase->tasks, i ? 0 : run->slots.count - first,
                            kernel->first_row + i};
        VEC_PUSH(arena, &run->steps, step);
    }
    if (kernel->check_count) {
        flush_run(n);
        emit_kernel_checks(n, kernel);
    }
}

/* ---- control flow ---- */

static void emit_block_ops(struct entry *n, const struct block *block);

static LLVMValueRef load_scalar(struct entry *n, const struct value *value) {
    LLVMTypeRef type = LLVMIntTypeInContext(n->m->e->context, 8 * (unsigned)dtype_bytes(value->type->dtype));
    LLVMValueRef load = LLVMBuildLoad2(n->b, type, pointer_of(n, value), "");
    LLVMSetAlignment(load, (unsigned)dtype_bytes(value->type->dtype));
    return load;
}

static LLVMValueRef load_condition(struct entry *n, const struct value *value) {
    return LLVMBuildICmp(n->b, LLVMIntNE, load_scalar(n, value), LLVMConstInt(n->m->e->i8, 0, false), "");
}

struct turns {
    LLVMValueRef lo, hi, count; /* i64 */
    LLVMValueRef turn;          /* i64, from 0 */
};

/* Bounds are read once, before anything of the loop is written. Stacks have room for their first dim's turns.
 */
static void begin_loop(struct entry *n, const struct op *loop, struct turns *t) {
    const struct emitter *e = n->m->e;
    t->lo = LLVMBuildSExt(n->b, load_scalar(n, loop->in[0]), e->i64, "lo");
    t->hi = LLVMBuildSExt(n->b, load_scalar(n, loop->in[1]), e->i64, "hi");
    t->count = LLVMBuildSub(n->b, t->hi, t->lo, "turns");
    int carried = (int)op_int(loop, ATTR_carried);
    for (int i = carried; i < loop->out_count; i++) {
        LLVMValueRef room = i64_of(e, type_size(loop->out[i]->type, 0));
        return_unless(n, LLVMBuildICmp(n->b, LLVMIntSLE, t->count, room, ""), i32_of(e, WEFT_BAD_SHAPE));
    }
    for (int i = 0; i < carried; i++)
        copy_value(n, place_of(n, loop->out[i]), loop->in[i + 2]);
    flush_run(n);
}

static void store_index(struct entry *n, const struct op *loop, const struct turns *t) {
    const struct emitter *e = n->m->e;
    LLVMValueRef index = op_int(loop, ATTR_reverse)
                             ? LLVMBuildSub(n->b, LLVMBuildSub(n->b, t->hi, i64_of(e, 1), ""), t->turn, "")
                             : LLVMBuildAdd(n->b, t->lo, t->turn, "");
    LLVMBuildStore(n->b, LLVMBuildTrunc(n->b, index, e->i32, ""), pointer_of(n, loop->regions[0]->params[0]));
}

/* Behind a turn: stacked yields go to their slot, carried ones to where the next turn reads them. Stacks
 * first: what is yielded twice may lie where a carried value will. */
static void end_turn(struct entry *n, const struct op *loop, const struct turns *t) {
    const struct op *yield = block_yield(loop->regions[0]);
    int carried = (int)op_int(loop, ATTR_carried);
    for (int i = carried; i < loop->out_count; i++) {
        int64_t bytes = type_bytes(yield->in[i]->type);
        LLVMValueRef offset = LLVMBuildMul(n->b, t->turn, i64_of(n->m->e, bytes), "");
        LLVMValueRef slot =
            LLVMBuildInBoundsGEP2(n->b, n->m->e->i8, pointer_of(n, loop->out[i]), &offset, 1, "");
        unsigned alignment = (unsigned)dtype_bytes(yield->in[i]->type->dtype);
        LLVMBuildMemCpy(n->b, slot, alignment, pointer_of(n, yield->in[i]), alignment,
                        i64_of(n->m->e, bytes));
    }
    for (int i = 0; i < carried; i++)
        copy_value(n, place_of(n, loop->out[i]), yield->in[i]);
    flush_run(n);
}

static void emit_loop(struct entry *n, const struct op *loop) {
    const struct emitter *e = n->m->e;
    struct turns t;
    begin_loop(n, loop, &t);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(n->b), head = new_block(e, n->fn, "turn"),
                      body = new_block(e, n->fn, "body"), after = new_block(e, n->fn, "after");
    LLVMBuildBr(n->b, head);

    LLVMPositionBuilderAtEnd(n->b, head);
    t.turn = LLVMBuildPhi(n->b, e->i64, "turn");
    LLVMBuildCondBr(n->b, LLVMBuildICmp(n->b, LLVMIntSLT, t.turn, t.count, ""), body, after);

    LLVMPositionBuilderAtEnd(n->b, body);
    emit_stop(n);
    store_index(n, loop, &t);
    if (loop->region_count == 2) {
        emit_block_ops(n, loop->regions[1]);
        LLVMBasicBlockRef holds = new_block(e, n->fn, "holds");
        LLVMBuildCondBr(n->b, load_condition(n, block_yield(loop->regions[1])->in[0]), holds, after);
        LLVMPositionBuilderAtEnd(n->b, holds);
    }
    emit_block_ops(n, loop->regions[0]);
    end_turn(n, loop, &t);
    LLVMValueRef next = LLVMBuildAdd(n->b, t.turn, i64_of(e, 1), "");
    LLVMValueRef turns[] = {i64_of(e, 0), next};
    LLVMBasicBlockRef from[] = {before, LLVMGetInsertBlock(n->b)};
    LLVMAddIncoming(t.turn, turns, from, 2);
    LLVMBuildBr(n->b, head);
    LLVMPositionBuilderAtEnd(n->b, after);
}

static void emit_cond(struct entry *n, const struct op *cond) {
    const struct emitter *e = n->m->e;
    LLVMBasicBlockRef side[] = {new_block(e, n->fn, "then"), new_block(e, n->fn, "else")},
                      after = new_block(e, n->fn, "endif");
    LLVMBuildCondBr(n->b, load_condition(n, cond->in[0]), side[0], side[1]);
    for (int r = 0; r < 2; r++) {
        LLVMPositionBuilderAtEnd(n->b, side[r]);
        emit_block_ops(n, cond->regions[r]);
        for (int i = 0; i < cond->out_count; i++)
            copy_value(n, place_of(n, cond->out[i]), block_yield(cond->regions[r])->in[i]);
        flush_run(n);
        LLVMBuildBr(n->b, after);
    }
    LLVMPositionBuilderAtEnd(n->b, after);
}

static void emit_check(struct entry *n, const struct op *op) {
    int row = (int)(intptr_t)map_find(&n->m->compiled->first_check_of, op) - 1;
    return_unless(n, load_condition(n, op->in[0]), i32_of(n->m->e, WEFT_FIRST_CHECK + row));
}

static void emit_print(struct entry *n, const struct op *op) {
    emit_print_call(n->m, n->fn, n->exec, op_string(op, ATTR_name), op->in[0]->type,
                    pointer_of(n, op->in[0]));
}

/* Where it stands: a state may change behind it. */
static void emit_report(struct entry *n, const struct op *op) {
    const struct function_plan *plan = n->f->plan;
    for (int i = 0; i < plan->arguments.count; i++)
        if (plan->arguments.at[i].report == op)
            copy_value(n, &(struct place){.kind = PLACE_ARGUMENT, .argument = i}, op->in[0]);
}

/* Ops that are not listed need no code: sources and views are places, and effects of the outer block come at
 * its end. */
static void (*const rules[OP_COUNT])(struct entry *, const struct op *) = {
    [OP_kernel] = emit_kernel, [OP_loop] = emit_loop,     [OP_cond] = emit_cond,
    [OP_check] = emit_check,   [OP_report] = emit_report, [OP_print] = emit_print,
};

static void emit_block_ops(struct entry *n, const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (!rules[op->code])
            continue;
        if (op->code != OP_kernel && op->code != OP_report)
            flush_run(n);
        rules[op->code](n, op);
    }
    flush_run(n);
}

/* ---- the function ---- */

/* Results and reports to the caller where they are not there already; then states, whose old values those may
 * be. */
static void emit_outputs(struct entry *n) {
    const struct function_plan *plan = n->f->plan;
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *arg = &plan->arguments.at[i];
        if (arg->role == WEFT_RESULT)
            copy_value(n, &(struct place){.kind = PLACE_ARGUMENT, .argument = i}, arg->value);
    }
    FOR_EACH_OP (op, n->f->function->body) {
        if (op->code != OP_write)
            continue;
        const struct state *state = op_attr(op, ATTR_state)->state;
        struct place place = {.kind = state->kind == STATE_WEIGHT ? PLACE_WEIGHTS : PLACE_STATE,
                              .offset = n->m->compiled->plan->state_offset[state->index]};
        copy_value(n, &place, op->in[0]);
    }
    flush_run(n);
}

int entry_most_slots(const struct compiled *compiled) {
    int most = COPY_SLOTS;
    for (int i = 0; i < compiled->kernels.count; i++) {
        const struct op *op = compiled->kernels.at[i]->op;
        int slots = op->in_count + op->out_count + DATA_SLOTS;
        most = slots > most ? slots : most;
    }
    return most;
}

static void load_arguments(struct entry *n, LLVMValueRef args) {
    const struct emitter *e = n->m->e;
    int count = n->f->plan->arguments.count;
    n->args = ARENA_ARRAY(e->arena, LLVMValueRef, count);
    n->bases = LLVMBuildAlloca(n->b, LLVMArrayType2(e->ptr, (uint64_t)count + 3), "bases");
    LLVMBuildStore(n->b, n->workspace, n->bases);
    for (int i = 0; i < count; i++) {
        const char *name = n->f->plan->arguments.at[i].name;
        n->args[i] = LLVMBuildLoad2(n->b, e->ptr, offset_pointer(n, args, 8 * i), name);
        LLVMBuildStore(n->b, n->args[i], offset_pointer(n, n->bases, 8 * (BASE_ARGUMENTS + i)));
    }
    LLVMBuildStore(n->b, n->constant_bytes, offset_pointer(n, n->bases, 8 * constant_base(n)));
    LLVMBuildStore(n->b, LLVMConstNull(e->ptr), offset_pointer(n, n->bases, 8 * (constant_base(n) + 1)));
}

/* The log's pointer is behind the arguments. */
static void begin_log(struct entry *n, LLVMValueRef args) {
    int64_t place = 8 * n->f->plan->arguments.count;
    n->log = LLVMBuildLoad2(n->b, n->m->e->ptr, offset_pointer(n, args, place), "log");
    emit_event(n->m->e, n->log, i64_of(n->m->e, -1));
}

/* cpuid is slow where it traps (a microsecond and more under a hypervisor): a workspace remembers that it was
 * fine. */
static void emit_cpu_check(struct entry *n) {
    const struct emitter *e = n->m->e;
    LLVMValueRef tag = offset_pointer(n, n->workspace, HEADER_CPU_TAG);
    LLVMValueRef wanted = LLVMConstInt(e->i64, n->m->cpu_tag, false);
    LLVMBasicBlockRef ask = new_block(e, n->fn, "ask"), known = new_block(e, n->fn, "known");
    LLVMValueRef is_known = LLVMBuildICmp(n->b, LLVMIntEQ, LLVMBuildLoad2(n->b, e->i64, tag, ""), wanted, "");
    LLVMBuildCondBr(n->b, is_known, known, ask);
    LLVMPositionBuilderAtEnd(n->b, ask);
    LLVMTypeRef type = LLVMGlobalGetValueType(n->m->fits_cpu);
    return_unless(n, LLVMBuildCall2(n->b, type, n->m->fits_cpu, NULL, 0, ""), i32_of(e, WEFT_BAD_CPU));
    LLVMBuildStore(n->b, wanted, tag);
    LLVMBuildBr(n->b, known);
    LLVMPositionBuilderAtEnd(n->b, known);
}

LLVMValueRef emit_entry(struct entry_module *m, const struct compiled_function *function,
                        const char *symbol) {
    struct emitter *e = m->e;
    struct entry n = {.m = m, .b = e->b, .f = function};
    n.fn = LLVMAddFunction(e->module, symbol, m->call_type);
    emit_attributes(e, n.fn);
    debug_begin_function(e, n.fn, function->function->name, function->function->site);
    n.workspace = LLVMGetParam(n.fn, 1);
    n.exec = LLVMGetParam(n.fn, 2);
    LLVMPositionBuilderAtEnd(n.b, new_block(e, n.fn, "entry"));
    n.data = LLVMBuildAlloca(n.b, LLVMArrayType2(e->ptr, (uint64_t)entry_most_slots(m->compiled)), "data");
    if (m->fits_cpu)
        emit_cpu_check(&n);
    struct constants constants = {0};
    map_init(&constants.offset_of, e->arena);
    collect_constants(&constants, &n, function->function->body);
    n.constants = &constants;
    n.constant_bytes = emit_constants(&n, &constants);
    load_arguments(&n, LLVMGetParam(n.fn, 0));
    if (m->profiles)
        begin_log(&n, LLVMGetParam(n.fn, 0));
    LLVMBuildStore(n.b, i32_of(e, -1), offset_pointer(&n, n.workspace, HEADER_ERROR));
    emit_block_ops(&n, function->function->body);
    emit_outputs(&n);
    LLVMBuildRet(n.b, i32_of(e, 0));
    debug_end_function(e);
    return n.fn;
}
