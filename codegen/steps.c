/* codegen/steps.c: runs of kernels as tables. Straight code that stores each kernel's pointers and calls it
 * costs LLVM more than its length (482 kernels: 260 ms, against 54 kernels: 18 ms); a table and a loop cost
 * it nothing, and the loop costs some nanoseconds a pointer. */
#include "codegen/entry.h"

static LLVMValueRef i64_of(const struct emitter *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

static LLVMBasicBlockRef new_block(const struct emitter *e, LLVMValueRef fn, const char *name) {
    return LLVMAppendBasicBlockInContext(e->context, fn, name);
}

static LLVMValueRef element(const struct emitter *e, LLVMTypeRef type, LLVMValueRef array,
                            LLVMValueRef index) {
    return LLVMBuildInBoundsGEP2(e->b, type, array, &index, 1, "");
}

/* The numbers of a table, two in a row. */
static LLVMValueRef load_number(const struct emitter *e, LLVMValueRef table, LLVMValueRef row, int column) {
    LLVMValueRef index = LLVMBuildShl(e->b, row, i64_of(e, 1), "");
    index = LLVMBuildAdd(e->b, index, i64_of(e, column), "");
    return LLVMBuildLoad2(e->b, e->i64, element(e, e->i64, table, index), "");
}

static LLVMValueRef load_exec(const struct entry_module *m, LLVMValueRef exec, unsigned field) {
    LLVMValueRef place = LLVMBuildStructGEP2(m->e->b, m->exec_type, exec, field, "");
    return LLVMBuildLoad2(m->e->b, m->e->ptr, place, "");
}

/* ---- one body over its tasks ---- */

/* void weft_run(exec, body, data, tasks): the caller's parallel_for; without one, or for a single task, a
 * loop. */
static LLVMValueRef emit_run_function(struct entry_module *m) {
    struct emitter *e = m->e;
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->ptr, e->i64};
    LLVMValueRef fn =
        LLVMAddFunction(e->module, "weft_run", LLVMFunctionType(e->void_type, params, 4, false));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    emit_attributes(e, fn);
    LLVMValueRef exec = LLVMGetParam(fn, 0), body = LLVMGetParam(fn, 1), data = LLVMGetParam(fn, 2),
                 tasks = LLVMGetParam(fn, 3);
    LLVMBasicBlockRef begin = new_block(e, fn, "begin"), serial = new_block(e, fn, "serial"),
                      parallel = new_block(e, fn, "parallel"), done = new_block(e, fn, "done");
    LLVMPositionBuilderAtEnd(e->b, begin);
    LLVMValueRef alone = LLVMBuildICmp(e->b, LLVMIntEQ, exec, LLVMConstNull(e->ptr), "");
    LLVMValueRef single = LLVMBuildICmp(e->b, LLVMIntEQ, tasks, i64_of(e, 1), "");
    LLVMBuildCondBr(e->b, LLVMBuildOr(e->b, alone, single, ""), serial, parallel);

    LLVMPositionBuilderAtEnd(e->b, serial);
    LLVMValueRef task = LLVMBuildPhi(e->b, e->i64, "task");
    LLVMValueRef call[] = {data, task, LLVMConstInt(e->i32, 0, false)};
    LLVMBuildCall2(e->b, m->body_type, body, call, 3, "");
    LLVMValueRef next = LLVMBuildAdd(e->b, task, i64_of(e, 1), "");
    LLVMAddIncoming(task, (LLVMValueRef[]){i64_of(e, 0), next}, (LLVMBasicBlockRef[]){begin, serial}, 2);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, tasks, ""), serial, done);

    LLVMPositionBuilderAtEnd(e->b, parallel);
    LLVMValueRef forward[] = {load_exec(m, exec, 0), body, data, tasks};
    LLVMBuildCall2(e->b, m->parallel_for_type, load_exec(m, exec, 2), forward, 4, "");
    LLVMBuildBr(e->b, done);

    LLVMPositionBuilderAtEnd(e->b, done);
    LLVMBuildRetVoid(e->b);
    return fn;
}

/* ---- a table of bodies ---- */

/* data[k - first] = bases[base of k] + offset of k, for the slots k from first to end; stands at `after`
 * afterwards. */
static void emit_fill(const struct emitter *e, LLVMValueRef fn, LLVMValueRef bases, LLVMValueRef data,
                      LLVMValueRef slots, LLVMValueRef first, LLVMValueRef end, LLVMBasicBlockRef after) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), fill = new_block(e, fn, "fill");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, first, end, ""), fill, after);
    LLVMPositionBuilderAtEnd(e->b, fill);
    LLVMValueRef k = LLVMBuildPhi(e->b, e->i64, "k");
    LLVMValueRef base =
        LLVMBuildLoad2(e->b, e->ptr, element(e, e->ptr, bases, load_number(e, slots, k, 0)), "");
    LLVMValueRef offset = load_number(e, slots, k, 1);
    LLVMValueRef address = LLVMBuildGEP2(e->b, e->i8, base, &offset, 1, "");
    LLVMBuildStore(e->b, address, element(e, e->ptr, data, LLVMBuildSub(e->b, k, first, "")));
    LLVMValueRef next = LLVMBuildAdd(e->b, k, i64_of(e, 1), "");
    LLVMAddIncoming(k, (LLVMValueRef[]){first, next}, (LLVMBasicBlockRef[]){before, fill}, 2);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, end, ""), fill, after);
    LLVMPositionBuilderAtEnd(e->b, after);
}

/* ---- profiles ---- */

enum { LOG_CAPACITY = 1, LOG_NOW = 2, LOG_EVENTS = 3, EVENT_WORDS = 2 }; /* in words: struct profile_log */

/* Behind the last place the last one is written again: no branch, and the count tells how many were lost. */
void emit_event(const struct emitter *e, LLVMValueRef log, LLVMValueRef row) {
    LLVMValueRef count = LLVMBuildLoad2(e->b, e->i64, log, "count");
    LLVMValueRef capacity =
        LLVMBuildLoad2(e->b, e->i64, element(e, e->i64, log, i64_of(e, LOG_CAPACITY)), "capacity");
    LLVMValueRef now = LLVMBuildLoad2(e->b, e->ptr, element(e, e->i64, log, i64_of(e, LOG_NOW)), "now");
    LLVMValueRef fits = LLVMBuildICmp(e->b, LLVMIntSLT, count, capacity, "");
    LLVMValueRef last = LLVMBuildSub(e->b, capacity, i64_of(e, 1), "");
    LLVMValueRef at =
        LLVMBuildMul(e->b, LLVMBuildSelect(e->b, fits, count, last, ""), i64_of(e, EVENT_WORDS), "");
    LLVMValueRef event = element(e, e->i64, log, LLVMBuildAdd(e->b, at, i64_of(e, LOG_EVENTS), ""));
    LLVMValueRef time = LLVMBuildCall2(e->b, LLVMFunctionType(e->i64, NULL, 0, false), now, NULL, 0, "time");
    LLVMBuildStore(e->b, row, event);
    LLVMBuildStore(e->b, time, element(e, e->i64, event, i64_of(e, 1)));
    LLVMBuildStore(e->b, LLVMBuildAdd(e->b, count, i64_of(e, 1), ""), log);
}

LLVMValueRef emit_steps_function(struct entry_module *m) {
    struct emitter *e = m->e;
    LLVMValueRef run = emit_run_function(m);
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->ptr, e->ptr, e->ptr, e->i64, e->ptr, e->ptr, e->ptr};
    LLVMTypeRef type = LLVMFunctionType(e->void_type, params, m->profiles ? 9 : 7, false);
    LLVMValueRef fn = LLVMAddFunction(e->module, "weft_steps", type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    emit_attributes(e, fn);
    LLVMValueRef exec = LLVMGetParam(fn, 0), bases = LLVMGetParam(fn, 1), data = LLVMGetParam(fn, 2),
                 bodies = LLVMGetParam(fn, 3), steps = LLVMGetParam(fn, 4), count = LLVMGetParam(fn, 5),
                 slots = LLVMGetParam(fn, 6);
    LLVMBasicBlockRef begin = new_block(e, fn, "begin"), step = new_block(e, fn, "step"),
                      call = new_block(e, fn, "call"), done = new_block(e, fn, "done");
    LLVMPositionBuilderAtEnd(e->b, begin);
    LLVMBuildBr(e->b, step);

    LLVMPositionBuilderAtEnd(e->b, step);
    LLVMValueRef i = LLVMBuildPhi(e->b, e->i64, "i"), first = LLVMBuildPhi(e->b, e->i64, "first");
    LLVMValueRef end = LLVMBuildAdd(e->b, first, load_number(e, steps, i, 1), "end");
    emit_fill(e, fn, bases, data, slots, first, end, call);

    LLVMValueRef body = LLVMBuildLoad2(e->b, e->ptr, element(e, e->ptr, bodies, i), "body");
    LLVMValueRef args[] = {exec, body, data, load_number(e, steps, i, 0)};
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(run), run, args, 4, "");
    if (m->profiles) {
        LLVMValueRef row = LLVMBuildLoad2(e->b, e->i64, element(e, e->i64, LLVMGetParam(fn, 7), i), "row");
        emit_event(e, LLVMGetParam(fn, 8), row);
    }
    LLVMValueRef next = LLVMBuildAdd(e->b, i, i64_of(e, 1), "");
    LLVMBasicBlockRef from[] = {begin, call};
    LLVMAddIncoming(i, (LLVMValueRef[]){i64_of(e, 0), next}, from, 2);
    LLVMAddIncoming(first, (LLVMValueRef[]){i64_of(e, 0), end}, from, 2);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, count, ""), step, done);

    LLVMPositionBuilderAtEnd(e->b, done);
    LLVMBuildRetVoid(e->b);
    return fn;
}

LLVMValueRef emit_copy_function(struct entry_module *m) {
    struct emitter *e = m->e;
    LLVMValueRef fn = LLVMAddFunction(e->module, "weft_copy", m->body_type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    emit_attributes(e, fn);
    LLVMPositionBuilderAtEnd(e->b, new_block(e, fn, "begin"));
    LLVMValueRef part[3];
    for (int i = 0; i < 3; i++) /* the third is a number behind NULL */
        part[i] = LLVMBuildLoad2(e->b, i < 2 ? e->ptr : e->i64,
                                 element(e, e->ptr, LLVMGetParam(fn, 0), i64_of(e, i)), "");
    LLVMBuildMemCpy(e->b, part[0], 1, part[1], 1, part[2]);
    LLVMBuildRetVoid(e->b);
    return fn;
}

static LLVMValueRef add_table(const struct emitter *e, LLVMTypeRef type, LLVMValueRef *rows, int count,
                              const char *name) {
    LLVMValueRef table = LLVMConstArray2(type, rows, (uint64_t)count);
    LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(table), name);
    LLVMSetInitializer(global, table);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    return global;
}

void emit_step_run(struct entry_module *m, struct step_run *run, LLVMValueRef exec, LLVMValueRef bases,
                   LLVMValueRef data, LLVMValueRef log) {
    struct emitter *e = m->e;
    int step_count = run->steps.count, slot_count = run->slots.count;
    if (!step_count)
        return;
    LLVMValueRef *bodies = ARENA_ARRAY(e->arena, LLVMValueRef, step_count);
    LLVMValueRef *steps = ARENA_ARRAY(e->arena, LLVMValueRef, 2 * step_count);
    LLVMValueRef *rows = ARENA_ARRAY(e->arena, LLVMValueRef, step_count);
    for (int i = 0; i < step_count; i++) {
        bodies[i] = run->steps.at[i].body;
        rows[i] = i64_of(e, run->steps.at[i].row);
        steps[2 * i] = i64_of(e, run->steps.at[i].tasks);
        steps[2 * i + 1] = i64_of(e, run->steps.at[i].slots);
    }
    LLVMValueRef *slots = ARENA_ARRAY(e->arena, LLVMValueRef, 2 * slot_count);
    for (int i = 0; i < slot_count; i++) {
        slots[2 * i] = i64_of(e, run->slots.at[i].base);
        slots[2 * i + 1] = i64_of(e, run->slots.at[i].offset);
    }
    LLVMValueRef args[] = {exec,
                           bases,
                           data,
                           add_table(e, e->ptr, bodies, step_count, "bodies"),
                           add_table(e, e->i64, steps, 2 * step_count, "steps"),
                           i64_of(e, step_count),
                           add_table(e, e->i64, slots, 2 * slot_count, "slots"),
                           m->profiles ? add_table(e, e->i64, rows, step_count, "rows") : NULL,
                           log};
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(m->steps), m->steps, args, m->profiles ? 9 : 7, "");
    *run = (struct step_run){0};
}
