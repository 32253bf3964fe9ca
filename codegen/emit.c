/* codegen/emit.c: loop functions to LLVM functions: statements, serial loops, branches. SSA is made on the
 * way: the loop IR is structured, so a mutable variable needs a phi exactly at the head of a loop that sets
 * it and behind a branch that does. */
#include "codegen/debug.h"
#include "codegen/emission.h"

#include <assert.h>

LLVMBasicBlockRef emit_block(struct emission *em, const char *name) {
    return LLVMAppendBasicBlockInContext(em->e->context, em->fn, name);
}

/* ---- mutable variables ---- */

static bool is_listed(const struct var_list *list, const struct loop_var *var) {
    for (int i = 0; i < list->sets.count; i++)
        if (list->sets.at[i]->var == var)
            return true;
    return false;
}

static void collect_sets(struct emission *em, const struct loop_stmt *s, struct var_list *out,
                         struct var_list *own) {
    for (; s; s = s->next) {
        if (s->kind == LSTMT_ACC)
            VEC_PUSH(em->e->arena, &own->sets, s);
        if (s->kind == LSTMT_SET && !is_listed(own, s->var) && !is_listed(out, s->var))
            VEC_PUSH(em->e->arena, &out->sets, s);
        collect_sets(em, s->body, out, own);
        collect_sets(em, s->otherwise, out, own);
    }
}

void assigned_variables(struct emission *em, const struct loop_stmt *first, struct var_list *out) {
    struct var_list own = {0};
    *out = (struct var_list){0};
    collect_sets(em, first, out, &own);
}

static LLVMValueRef *current_values(struct emission *em, const struct var_list *vars) {
    LLVMValueRef *values = ARENA_ARRAY(em->e->arena, LLVMValueRef, vars->sets.count + 1);
    for (int i = 0; i < vars->sets.count; i++)
        values[i] = em->bindings[vars->sets.at[i]->var->id].value;
    return values;
}

static void set_current(struct emission *em, const struct loop_var *var, LLVMValueRef value) {
    em->bindings[var->id].value = value;
    em->epoch++;
}

/* ---- serial loops ---- */

void emit_serial_loop(struct emission *em, const struct loop_stmt *s, LLVMValueRef lo, LLVMValueRef hi,
                      bool surely_runs) {
    LLVMBuilderRef b = em->e->b;
    struct var_list vars;
    assigned_variables(em, s->body, &vars);
    int count = vars.sets.count;
    LLVMValueRef *before = current_values(em, &vars),
                 *phis = ARENA_ARRAY(em->e->arena, LLVMValueRef, count + 1);
    LLVMBasicBlockRef preheader = LLVMGetInsertBlock(b), body = emit_block(em, "loop"),
                      after = emit_block(em, "done");
    LLVMValueRef enter = surely_runs
                             ? LLVMBuildBr(b, body)
                             : LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, lo, hi, ""), body, after);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef i = LLVMBuildPhi(b, em->e->i64, s->var->name);
    for (int k = 0; k < count; k++)
        phis[k] = LLVMBuildPhi(b, LLVMTypeOf(before[k]), vars.sets.at[k]->var->name);
    scope_open(em, SCOPE_LOOP, enter, surely_runs);
    emit_bind(em, s->var, i);
    for (int k = 0; k < count; k++)
        set_current(em, vars.sets.at[k]->var, phis[k]);
    emit_statements(em, s->body);
    scope_close(em);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(b);
    LLVMValueRef next = LLVMBuildNSWAdd(b, i, emit_i64(em, s->step), "");
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, hi, ""), body, after);
    LLVMAddIncoming(i, (LLVMValueRef[]){lo, next}, (LLVMBasicBlockRef[]){preheader, latch}, 2);
    LLVMValueRef *ends = current_values(em, &vars);
    LLVMPositionBuilderAtEnd(b, after);
    for (int k = 0; k < count; k++) {
        LLVMAddIncoming(phis[k], (LLVMValueRef[]){before[k], ends[k]},
                        (LLVMBasicBlockRef[]){preheader, latch}, 2);
        LLVMValueRef end = ends[k];
        if (!surely_runs) {
            end = LLVMBuildPhi(b, LLVMTypeOf(end), "");
            LLVMAddIncoming(end, (LLVMValueRef[]){before[k], ends[k]},
                            (LLVMBasicBlockRef[]){preheader, latch}, 2);
        }
        set_current(em, vars.sets.at[k]->var, end);
    }
}

static bool runs_surely(const struct loop_stmt *s) {
    return s->hi->min > s->lo->max;
}

static bool runs_never(const struct loop_stmt *s) {
    return s->hi->max <= s->lo->min;
}

static void emit_for(struct emission *em, const struct loop_stmt *s) {
    if (runs_never(s))
        return;
    if (s->loop == LOOP_VECTOR && !em->lanes.count)
        emit_vector_loop(em, s);
    else
        emit_serial_loop(em, s, emit_scalar(em, s->lo), emit_scalar(em, s->hi), runs_surely(s));
}

/* ---- other statements ---- */

static LLVMValueRef emit_either(struct emission *em, const struct loop_expr *x) {
    bool varies = em->lanes.count && expr_facts(em, x)->varies;
    return emit_form(em, x, varies ? FORM_VECTOR : FORM_SCALAR);
}

static void emit_let(struct emission *em, const struct loop_stmt *s) {
    emit_bind(em, s->var, emit_either(em, s->value));
}

/* Within lanes an accumulator is a vector from the start: each lane has its own. */
static void emit_acc(struct emission *em, const struct loop_stmt *s) {
    if (begin_pending_sum(em, s))
        return;
    emit_bind(em, s->var, em->lanes.count ? emit_vector(em, s->value) : emit_scalar(em, s->value));
}

/* A turn of the rest that runs without lanes adds to lane 0 of a sum that keeps its lanes. */
static void set_lane_0(struct emission *em, const struct loop_stmt *s) {
    struct binding *b = &em->bindings[s->var->id];
    LLVMValueRef lanes = b->value, zero = emit_i64(em, 0);
    b->value = LLVMBuildExtractElement(em->e->b, lanes, zero, "");
    b->is_vector = false;
    em->epoch++;
    LLVMValueRef value = emit_scalar(em, s->value);
    b->is_vector = true;
    set_current(em, s->var, LLVMBuildInsertElement(em->e->b, lanes, value, zero, ""));
}

static void emit_set(struct emission *em, const struct loop_stmt *s) {
    const struct binding *old = &em->bindings[s->var->id];
    if (!em->lanes.count && old->is_vector) {
        set_lane_0(em, s);
        return;
    }
    LLVMValueRef value = old->is_vector ? emit_vector(em, s->value) : emit_scalar(em, s->value);
    bool across_lanes = em->lanes.count && old->depth < em->lanes.depth;
    if (across_lanes && em->lanes.mask)
        value = LLVMBuildSelect(em->e->b, em->lanes.mask, value, old->value, "");
    set_current(em, s->var, value);
}

static void emit_branch(struct emission *em, const struct loop_stmt *body, LLVMBasicBlockRef block,
                        LLVMBasicBlockRef after) {
    LLVMPositionBuilderAtEnd(em->e->b, block);
    scope_open(em, SCOPE_BRANCH, NULL, false);
    emit_statements(em, body);
    scope_close(em);
    LLVMBuildBr(em->e->b, after);
}

static void emit_if(struct emission *em, const struct loop_stmt *s) {
    LLVMBuilderRef b = em->e->b;
    LLVMValueRef condition = emit_scalar(em, s->value);
    struct var_list vars, other;
    assigned_variables(em, s->body, &vars);
    assigned_variables(em, s->otherwise, &other);
    for (int i = 0; i < other.sets.count; i++)
        if (!is_listed(&vars, other.sets.at[i]->var))
            VEC_PUSH(em->e->arena, &vars.sets, other.sets.at[i]);
    LLVMValueRef *before = current_values(em, &vars);
    LLVMBasicBlockRef yes = emit_block(em, "then"), no = emit_block(em, "else"),
                      after = emit_block(em, "endif");
    LLVMBuildCondBr(b, condition, yes, no);
    emit_branch(em, s->body, yes, after);
    LLVMBasicBlockRef yes_end = LLVMGetInsertBlock(b);
    LLVMValueRef *yes_values = current_values(em, &vars);
    for (int i = 0; i < vars.sets.count; i++)
        set_current(em, vars.sets.at[i]->var, before[i]);
    emit_branch(em, s->otherwise, no, after);
    LLVMBasicBlockRef no_end = LLVMGetInsertBlock(b);
    LLVMValueRef *no_values = current_values(em, &vars);
    LLVMPositionBuilderAtEnd(b, after);
    for (int i = 0; i < vars.sets.count; i++) {
        LLVMValueRef phi = LLVMBuildPhi(b, LLVMTypeOf(yes_values[i]), "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){yes_values[i], no_values[i]},
                        (LLVMBasicBlockRef[]){yes_end, no_end}, 2);
        set_current(em, vars.sets.at[i]->var, phi);
    }
}

/* The least code of a failed check wins, whatever the order of the tasks. */
static void emit_check(struct emission *em, const struct loop_stmt *s) {
    struct emitter *e = em->e;
    LLVMValueRef good = emit_scalar(em, s->value);
    LLVMBasicBlockRef failed = emit_block(em, "failed"), after = emit_block(em, "checked");
    LLVMBuildCondBr(e->b, good, after, failed);
    LLVMPositionBuilderAtEnd(e->b, failed);
    LLVMValueRef slot = emit_i64(em, em->argument_count + DATA_ERROR);
    LLVMValueRef place = LLVMBuildGEP2(e->b, e->ptr, em->data, &slot, 1, "");
    LLVMValueRef header = LLVMBuildLoad2(e->b, e->ptr, place, "");
    LLVMBuildAtomicRMW(e->b, LLVMAtomicRMWBinOpUMin, header, LLVMConstInt(e->i32, (unsigned)s->code, false),
                       LLVMAtomicOrderingMonotonic, false);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
}

enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112 };

static void emit_gemm(struct emission *em, const struct loop_stmt *s) {
    struct emitter *e = em->e;
    const struct gemm *g = s->gemm;
    LLVMTypeRef types[] = {e->i32, e->i32, e->i32, e->i32, e->i32, e->i32, e->f32,
                           e->ptr, e->i32, e->ptr, e->i32, e->f32, e->ptr, e->i32};
    LLVMTypeRef type = LLVMFunctionType(e->void_type, types, 14, false);
    LLVMValueRef library = LLVMGetNamedFunction(e->module, "cblas_sgemm");
    if (!library)
        library = LLVMAddFunction(e->module, "cblas_sgemm", type);
    int numbers[14] = {CBLAS_ROW_MAJOR,
                       g->a_turned ? CBLAS_TRANS : CBLAS_NO_TRANS,
                       g->b_turned ? CBLAS_TRANS : CBLAS_NO_TRANS,
                       g->m,
                       g->n,
                       g->k,
                       1,
                       0,
                       g->a_row,
                       0,
                       g->b_row,
                       0,
                       0,
                       g->c_row};
    LLVMValueRef args[14];
    for (int i = 0; i < 14; i++)
        args[i] = types[i] == e->f32 ? LLVMConstReal(e->f32, numbers[i])
                                     : LLVMConstInt(e->i32, (unsigned)numbers[i], true);
    args[7] = emit_element(em, g->a, emit_scalar(em, s->args[0]));
    args[9] = emit_element(em, g->b, emit_scalar(em, s->args[1]));
    args[12] = emit_element(em, g->c, emit_scalar(em, s->args[2]));
    LLVMBuildCall2(e->b, type, library, args, 14, "");
}

static void (*const statements[])(struct emission *, const struct loop_stmt *) = {
    [LSTMT_FOR] = emit_for,   [LSTMT_LET] = emit_let,       [LSTMT_ACC] = emit_acc,
    [LSTMT_SET] = emit_set,   [LSTMT_STORE] = emit_store,   [LSTMT_IF] = emit_if,
    [LSTMT_TILE] = emit_tile, [LSTMT_PHILOX] = emit_philox, [LSTMT_CHECK] = emit_check,
    [LSTMT_GEMM] = emit_gemm,
};

void emit_statements(struct emission *em, const struct loop_stmt *first) {
    for (const struct loop_stmt *s = first; s; s = s->next) {
        LLVMMetadataRef outer = debug_enter(em->e, s->site);
        statements[s->kind](em, s);
        debug_restore(em->e, outer);
    }
}

/* ---- functions ---- */

static LLVMValueRef declare(struct emitter *e, const char *symbol) {
    LLVMTypeRef params[] = {e->ptr, e->i64, e->i32};
    LLVMValueRef fn = LLVMAddFunction(e->module, symbol, LLVMFunctionType(e->void_type, params, 3, false));
    emit_attributes(e, fn);
    return fn;
}

LLVMValueRef emit_loop_function(struct emitter *e, const struct loop_function *function, int argument_count,
                                int64_t worker_bytes, const struct site *site) {
    LLVMValueRef fn = declare(e, function->symbol);
    debug_begin_function(e, fn, function->name ? function->name : function->symbol, site);
    struct arena *arena = e->arena;
    struct emission em = {
        .e = e,
        .function = function,
        .fn = fn,
        .data = LLVMGetParam(fn, 0),
        .argument_count = argument_count,
        .worker_bytes = worker_bytes,
        .buffers = ARENA_ARRAY(arena, LLVMValueRef, function->buffers.count + 1),
        .facts = ARENA_ARRAY(arena, struct expr_facts, function->next_expr + 1),
        .memory = ARENA_ARRAY(arena, struct memory_of_expr, function->next_expr + 1),
        .bindings = ARENA_ARRAY(arena, struct binding, function->next_var + 1),
        .stamp = 1,
        .epoch = 1,
    };
    e->fn = fn;
    LLVMBasicBlockRef entry = emit_block(&em, "entry"), first = emit_block(&em, "first");
    LLVMPositionBuilderAtEnd(e->b, entry);
    LLVMValueRef worker = LLVMBuildSExt(e->b, LLVMGetParam(fn, 2), e->i64, "worker");
    em.entry_end = LLVMBuildBr(e->b, first);
    LLVMPositionBuilderAtEnd(e->b, first);
    scope_open(&em, SCOPE_STRAIGHT, NULL, true);
    emit_bind(&em, function->task, LLVMGetParam(fn, 1));
    emit_bind(&em, function->worker, worker);
    emit_statements(&em, function->body);
    scope_close(&em);
    LLVMBuildRetVoid(e->b);
    debug_end_function(e);
    return fn;
}
