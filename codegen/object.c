/* codegen/object.c: an object file: the units and entries of the JIT in one module, with the C interface
 * around them (interface.h). The same loop functions go through the same emitter and the same code generator,
 * each on its own, so the bits that it computes are those of the JIT for the same CPU. */
#include "codegen/compile.h"
#include "codegen/debug.h"
#include "codegen/entry.h"
#include "codegen/interface.h"

#include <string.h>

struct object {
    struct emitter *e;
    struct compiled *compiled;
    const char *prefix;
    struct held_blocks held;
    struct entry_module entries;
    LLVMValueRef prepare;              /* int prepare_weights(weights) */
    LLVMTypeRef tensor_info, arg_info; /* weft_tensor_info, weft_arg_info */
};

/* ---- small things ---- */

static LLVMValueRef i64_of(const struct object *o, int64_t value) {
    return LLVMConstInt(o->e->i64, (unsigned long long)value, true);
}

static LLVMValueRef i32_of(const struct object *o, int64_t value) {
    return LLVMConstInt(o->e->i32, (unsigned long long)value, true);
}

static const char *name_of(const struct object *o, const char *suffix) {
    return arena_printf(o->e->arena, "%s_%s", o->prefix, suffix);
}

static LLVMValueRef add_constant(const struct object *o, const char *name, LLVMValueRef value,
                                 bool is_public) {
    LLVMValueRef global = LLVMAddGlobal(o->e->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    if (!is_public)
        LLVMSetLinkage(global, LLVMPrivateLinkage);
    return global;
}

static LLVMValueRef text_of(const struct object *o, const char *text) {
    return add_constant(o, "text",
                        LLVMConstStringInContext(o->e->context, text, (unsigned)strlen(text), false), false);
}

static LLVMValueRef shape_of(const struct object *o, const struct type *type) {
    if (type->rank == 0)
        return LLVMConstNull(o->e->ptr);
    LLVMValueRef *sizes = ARENA_ARRAY(o->e->arena, LLVMValueRef, type->rank);
    for (int i = 0; i < type->rank; i++)
        sizes[i] = i64_of(o, type_size(type, i));
    return add_constant(o, "shape", LLVMConstArray2(o->e->i64, sizes, (uint64_t)type->rank), false);
}

/* Declares a function and stands at its begin. */
static LLVMValueRef begin_function(const struct object *o, const char *name, LLVMTypeRef result,
                                   LLVMTypeRef *params, int count) {
    LLVMValueRef fn =
        LLVMAddFunction(o->e->module, name, LLVMFunctionType(result, params, (unsigned)count, false));
    emit_attributes(o->e, fn);
    LLVMPositionBuilderAtEnd(o->e->b, LLVMAppendBasicBlockInContext(o->e->context, fn, "begin"));
    return fn;
}

static LLVMValueRef at_offset(const struct object *o, LLVMValueRef base, LLVMValueRef offset) {
    return LLVMBuildInBoundsGEP2(o->e->b, o->e->i8, base, &offset, 1, "");
}

/* ---- the lists ---- */

static void define_types(struct object *o) {
    struct emitter *e = o->e;
    LLVMTypeRef tensor[] = {e->ptr, e->i32, e->i32, e->ptr, e->i64, e->i64};
    LLVMTypeRef arg[] = {e->ptr, e->i32, e->i32, e->i32, e->ptr};
    o->tensor_info = LLVMStructTypeInContext(e->context, tensor, 6, false);
    o->arg_info = LLVMStructTypeInContext(e->context, arg, 5, false);
}

static LLVMValueRef tensor_row(const struct object *o, const struct state *state) {
    LLVMValueRef fields[] = {text_of(o, state->name),
                             i32_of(o, state->type->dtype), /* weft_dtype has ir's order */
                             i32_of(o, state->type->rank),
                             shape_of(o, state->type),
                             i64_of(o, o->compiled->plan->state_offset[state->index]),
                             i64_of(o, type_bytes(state->type))};
    return LLVMConstStructInContext(o->e->context, fields, 6, false);
}

/* The weights, or the other states; gives how many. */
static int emit_tensor_list(const struct object *o, const char *suffix, bool weights) {
    const struct graph *graph = o->compiled->graph;
    LLVMValueRef *rows = ARENA_ARRAY(o->e->arena, LLVMValueRef, graph->states.count + 1);
    int count = 0;
    for (int i = 0; i < graph->states.count; i++)
        if ((graph->states.at[i]->kind == STATE_WEIGHT) == weights)
            rows[count++] = tensor_row(o, graph->states.at[i]);
    rows[count] = LLVMConstNull(o->tensor_info);
    add_constant(o, name_of(o, suffix), LLVMConstArray2(o->tensor_info, rows, (uint64_t)count + 1), true);
    return count;
}

static void emit_argument_list(const struct object *o, const struct c_variant *f) {
    const struct function_plan *plan = f->function->plan;
    LLVMValueRef *rows = ARENA_ARRAY(o->e->arena, LLVMValueRef, plan->arguments.count + 1);
    for (int i = 0; i < plan->arguments.count; i++) {
        const struct plan_argument *arg = &plan->arguments.at[i];
        LLVMValueRef no_shape = LLVMConstNull(o->e->ptr);
        LLVMValueRef fields[] = {
            text_of(o, arg->name), i32_of(o, arg->role), i32_of(o, arg->type ? arg->type->dtype : DTYPE_u8),
            i32_of(o, arg->type ? arg->type->rank : 0), arg->type ? shape_of(o, arg->type) : no_shape};
        rows[i] = LLVMConstStructInContext(o->e->context, fields, 5, false);
    }
    const char *name = arena_printf(o->e->arena, "%s_args", f->name);
    rows[plan->arguments.count] = LLVMConstNull(o->arg_info);
    add_constant(o, name, LLVMConstArray2(o->arg_info, rows, (uint64_t)plan->arguments.count + 1), true);
}

/* const unsigned char PREFIX_weights[], PREFIX_state[]: the blocks as the entries want them. */
static void emit_block(const struct object *o, const char *suffix, const void *block, int64_t size) {
    if (!block)
        return;
    LLVMValueRef bytes = LLVMConstStringInContext2(o->e->context, block, (size_t)size, true);
    LLVMSetAlignment(add_constant(o, name_of(o, suffix), bytes, true), PLAN_ALIGNMENT);
}

static void emit_size(const struct object *o, const char *suffix, int64_t bytes) {
    begin_function(o, name_of(o, suffix), o->e->i64, NULL, 0);
    LLVMBuildRet(o->e->b, i64_of(o, bytes));
}

static LLVMValueRef emit_prepare_call(const struct object *o, LLVMValueRef weights) {
    return LLVMBuildCall2(o->e->b, LLVMGlobalGetValueType(o->prepare), o->prepare, &weights, 1, "");
}

/* int pack_weights(raw, weights) and int unpack_weights(weights, raw): a copy for each tensor; what is packed
 * comes behind them. */
static void emit_packing(const struct object *o, bool packs) {
    const struct emitter *e = o->e;
    LLVMTypeRef params[] = {e->ptr, e->ptr};
    LLVMValueRef fn =
        begin_function(o, name_of(o, packs ? "pack_weights" : "unpack_weights"), e->i32, params, 2);
    LLVMValueRef raw = LLVMGetParam(fn, packs ? 0 : 1), weights = LLVMGetParam(fn, packs ? 1 : 0);
    int row = 0;
    for (int i = 0; i < o->compiled->graph->states.count; i++) {
        const struct state *state = o->compiled->graph->states.at[i];
        if (state->kind != STATE_WEIGHT)
            continue;
        LLVMValueRef slot = at_offset(o, raw, i64_of(o, 8 * row++));
        LLVMValueRef tensor = LLVMBuildLoad2(e->b, e->ptr, slot, "");
        LLVMValueRef place = at_offset(o, weights, i64_of(o, o->compiled->plan->state_offset[state->index]));
        LLVMValueRef bytes = i64_of(o, type_bytes(state->type));
        LLVMBuildMemCpy(e->b, packs ? place : tensor, 1, packs ? tensor : place, 1, bytes);
    }
    LLVMBuildRet(e->b, packs ? emit_prepare_call(o, weights) : i32_of(o, WEFT_OK));
}

/* ---- error(code) ---- */

static const char *const common_errors[] = {
    [WEFT_OK] = "no error",
    [WEFT_BAD_CPU] = "this CPU lacks an instruction set that the object was built for",
    [WEFT_BAD_SHAPE] = "a size that the object was not built for",
    [WEFT_STOPPED] = "stopped by the caller",
};
enum { COMMON_COUNT = sizeof(common_errors) / sizeof(*common_errors) };

static void emit_error(const struct object *o) {
    struct emitter *e = o->e;
    LLVMValueRef fn = begin_function(o, name_of(o, "error"), e->ptr, &e->i32, 1);
    LLVMBasicBlockRef unknown = LLVMAppendBasicBlockInContext(e->context, fn, "unknown");
    int count = COMMON_COUNT + o->compiled->checks.count;
    LLVMValueRef dispatch = LLVMBuildSwitch(e->b, LLVMGetParam(fn, 0), unknown, (unsigned)count);
    for (int i = 0; i < count; i++) {
        int check = i - COMMON_COUNT;
        const char *text = check < 0 ? common_errors[i] : check_text(o->compiled, check);
        LLVMBasicBlockRef block = LLVMAppendBasicBlockInContext(e->context, fn, "known");
        LLVMAddCase(dispatch, i32_of(o, check < 0 ? i : WEFT_FIRST_CHECK + check), block);
        LLVMPositionBuilderAtEnd(e->b, block);
        LLVMBuildRet(e->b, text_of(o, text));
    }
    LLVMPositionBuilderAtEnd(e->b, unknown);
    LLVMBuildRet(e->b, text_of(o, "not an error code of this object"));
}

/* ---- typed entries ---- */

static LLVMTypeRef scalar_type(const struct object *o, enum dtype dtype) {
    if (dtype == DTYPE_f32)
        return o->e->f32;
    return dtype == DTYPE_f64 ? o->e->f64
                              : LLVMIntTypeInContext(o->e->context, 8 * (unsigned)dtype_bytes(dtype));
}

static LLVMTypeRef param_type(const struct object *o, const struct c_param *p) {
    if (p->kind == PARAM_SIZE || p->kind == PARAM_SEED)
        return o->e->i64;
    return p->kind == PARAM_SCALAR ? scalar_type(o, p->type->dtype) : o->e->ptr;
}

static LLVMTypeRef *param_types(const struct object *o, const struct c_function *f) {
    LLVMTypeRef *types = ARENA_ARRAY(o->e->arena, LLVMTypeRef, f->params.count + 1);
    for (int i = 0; i < f->params.count; i++)
        types[i] = param_type(o, &f->params.at[i]);
    return types;
}

/* Branches to blocks[i] where the sizes are those of variant i, and stands where they are none's. sizes: the
 * SIZE parameters, in order. */
static void emit_choice(const struct object *o, const struct c_function *f, LLVMValueRef fn,
                        const LLVMValueRef *sizes, LLVMBasicBlockRef *blocks) {
    const struct emitter *e = o->e;
    for (int v = 0; v < f->variants.count; v++) {
        LLVMValueRef fits = LLVMConstInt(e->i1, 1, false);
        for (int i = 0, k = 0; i < f->params.count; i++) {
            const struct c_param *p = &f->params.at[i];
            if (p->kind != PARAM_SIZE)
                continue;
            LLVMValueRef size = i64_of(o, c_size(&f->variants.at[v], p));
            LLVMValueRef same = LLVMBuildICmp(e->b, LLVMIntEQ, sizes[k++], size, "");
            fits = LLVMBuildAnd(e->b, fits, same, "");
        }
        blocks[v] = LLVMAppendBasicBlockInContext(e->context, fn, "fits");
        LLVMBasicBlockRef other = LLVMAppendBasicBlockInContext(e->context, fn, "other");
        LLVMBuildCondBr(e->b, fits, blocks[v], other);
        LLVMPositionBuilderAtEnd(e->b, other);
    }
}

/* Pointers stay what they are, values go into memory: so they fill the array of the `_call` form. */
static LLVMValueRef emit_argument_array(const struct object *o, const struct c_function *f, LLVMValueRef fn) {
    const struct emitter *e = o->e;
    int count = f->variants.at[0].function->plan->arguments.count; /* of every variant */
    LLVMTypeRef type = LLVMArrayType2(e->ptr, (uint64_t)count);
    LLVMValueRef args = LLVMBuildAlloca(e->b, type, "args");
    LLVMBuildStore(e->b, LLVMConstNull(type), args);
    for (int i = 0; i < f->params.count; i++) {
        const struct c_param *p = &f->params.at[i];
        LLVMValueRef value = LLVMGetParam(fn, (unsigned)i);
        if (p->argument < 0)
            continue;
        if (p->kind == PARAM_SCALAR || p->kind == PARAM_SEED) {
            LLVMValueRef memory = LLVMBuildAlloca(e->b, LLVMTypeOf(value), p->name);
            LLVMBuildStore(e->b, value, memory);
            value = memory;
        }
        LLVMBuildStore(e->b, value, at_offset(o, args, i64_of(o, 8 * p->argument)));
    }
    return args;
}

static LLVMValueRef find_param(const struct c_function *f, LLVMValueRef fn, enum c_param_kind kind) {
    for (int i = 0; i < f->params.count; i++)
        if (f->params.at[i].kind == kind)
            return LLVMGetParam(fn, (unsigned)i);
    return NULL;
}

/* The SIZE parameters of a function whose parameters are those of `f`, or its sizes alone. */
static LLVMValueRef *size_values(const struct object *o, const struct c_function *f, LLVMValueRef fn,
                                 bool sizes_alone) {
    LLVMValueRef *sizes = ARENA_ARRAY(o->e->arena, LLVMValueRef, f->params.count + 1);
    for (int i = 0, k = 0; i < f->params.count; i++)
        if (f->params.at[i].kind == PARAM_SIZE) {
            sizes[k] = LLVMGetParam(fn, (unsigned)(sizes_alone ? k : i));
            k++;
        }
    return sizes;
}

static LLVMBasicBlockRef *blocks_of(const struct object *o, const struct c_function *f) {
    return ARENA_ARRAY(o->e->arena, LLVMBasicBlockRef, f->variants.count);
}

/* The workspace of an init is on the stack, so that its caller has none to bring. */
static LLVMValueRef emit_stack_workspace(const struct object *o, const struct c_function *f) {
    uint64_t bytes = (uint64_t)workspace_bytes(f->variants.at[0].function, 1);
    LLVMValueRef workspace = LLVMBuildAlloca(o->e->b, LLVMArrayType2(o->e->i8, bytes), "workspace");
    LLVMSetAlignment(workspace, 64);
    return workspace;
}

/* What an init returns: 0 once what is packed is there too. */
static LLVMValueRef emit_prepared(const struct object *o, const struct c_function *f, LLVMValueRef fn,
                                  LLVMValueRef code) {
    const struct emitter *e = o->e;
    LLVMBasicBlockRef failed = LLVMAppendBasicBlockInContext(e->context, fn, "failed"),
                      on = LLVMAppendBasicBlockInContext(e->context, fn, "on");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, code, i32_of(o, WEFT_OK), ""), on, failed);
    LLVMPositionBuilderAtEnd(e->b, failed);
    LLVMBuildRet(e->b, code);
    LLVMPositionBuilderAtEnd(e->b, on);
    return emit_prepare_call(o, find_param(f, fn, PARAM_WEIGHTS));
}

/* calls[i]: the `_call` form of variant i. Allocas are all in the first block. */
static void emit_typed(const struct object *o, const struct c_function *f, LLVMValueRef *calls) {
    const struct emitter *e = o->e;
    LLVMValueRef fn = begin_function(o, f->name, e->i32, param_types(o, f), f->params.count);
    LLVMValueRef args = emit_argument_array(o, f, fn), workspace, exec;
    workspace = f->is_init ? emit_stack_workspace(o, f) : find_param(f, fn, PARAM_WORKSPACE);
    exec = f->is_init ? LLVMConstNull(e->ptr) : find_param(f, fn, PARAM_EXEC);
    LLVMBasicBlockRef *blocks = blocks_of(o, f);
    emit_choice(o, f, fn, size_values(o, f, fn, false), blocks);
    LLVMBuildRet(e->b, i32_of(o, WEFT_BAD_SHAPE));
    for (int v = 0; v < f->variants.count; v++) {
        LLVMPositionBuilderAtEnd(e->b, blocks[v]);
        LLVMValueRef forward[] = {args, workspace, exec};
        LLVMValueRef code = LLVMBuildCall2(e->b, o->entries.call_type, calls[v], forward, 3, "");
        LLVMBuildRet(e->b, f->is_init ? emit_prepared(o, f, fn, code) : code);
    }
}

/* max(exec ? exec->width : 1, 1), as an i64; the builder stands behind it. */
static LLVMValueRef emit_width(const struct object *o, LLVMValueRef fn, LLVMValueRef exec) {
    const struct emitter *e = o->e;
    LLVMBasicBlockRef begin = LLVMGetInsertBlock(e->b),
                      many = LLVMAppendBasicBlockInContext(e->context, fn, "many"),
                      known = LLVMAppendBasicBlockInContext(e->context, fn, "known");
    LLVMBuildCondBr(e->b, LLVMBuildIsNull(e->b, exec, ""), known, many);
    LLVMPositionBuilderAtEnd(e->b, many);
    LLVMValueRef width =
        LLVMBuildLoad2(e->b, e->i32, LLVMBuildStructGEP2(e->b, o->entries.exec_type, exec, 1, ""), "");
    width = LLVMBuildSExt(e->b, width, e->i64, "");
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSGT, width, i64_of(o, 1), "");
    width = LLVMBuildSelect(e->b, some, width, i64_of(o, 1), "");
    LLVMBuildBr(e->b, known);
    LLVMPositionBuilderAtEnd(e->b, known);
    LLVMValueRef result = LLVMBuildPhi(e->b, e->i64, "width");
    LLVMAddIncoming(result, (LLVMValueRef[]){i64_of(o, 1), width}, (LLVMBasicBlockRef[]){begin, many}, 2);
    return result;
}

/* size_t NAME_workspace(sizes, exec): 0 for sizes that the object is not built for. */
static void emit_workspace(const struct object *o, const struct c_function *f) {
    const struct emitter *e = o->e;
    LLVMTypeRef *types = ARENA_ARRAY(e->arena, LLVMTypeRef, f->params.count + 1);
    int count = 0;
    for (int i = 0; i < f->params.count; i++)
        if (f->params.at[i].kind == PARAM_SIZE)
            types[count++] = e->i64;
    types[count++] = e->ptr;
    const char *name = arena_printf(e->arena, "%s_workspace", f->name);
    LLVMValueRef fn = begin_function(o, name, e->i64, types, count);
    LLVMValueRef width = emit_width(o, fn, LLVMGetParam(fn, (unsigned)count - 1));
    LLVMBasicBlockRef *blocks = blocks_of(o, f);
    emit_choice(o, f, fn, size_values(o, f, fn, true), blocks);
    LLVMBuildRet(e->b, i64_of(o, 0));
    for (int v = 0; v < f->variants.count; v++) {
        const struct compiled_function *function = f->variants.at[v].function;
        LLVMPositionBuilderAtEnd(e->b, blocks[v]);
        LLVMValueRef workers = LLVMBuildMul(e->b, width, i64_of(o, function->worker_bytes), "");
        LLVMBuildRet(e->b, LLVMBuildAdd(e->b, workers, i64_of(o, function->worker_offset), ""));
    }
}

static bool fits_stack(const struct c_function *f, struct diags *diags) {
    int64_t bytes = workspace_bytes(f->variants.at[0].function, 1);
    if (bytes <= INIT_STACK_BYTES)
        return true;
    diag_error_at(diags, f->entry->site, E_COMPILE,
                  "`%s` needs %lld bytes of temporary memory, and an object has %d on the stack for it",
                  f->entry->name, (long long)bytes, INIT_STACK_BYTES);
    return false;
}

static bool emit_function(struct object *o, const struct c_function *f, struct diags *diags) {
    if (f->is_init && !fits_stack(f, diags))
        return false;
    LLVMValueRef *calls = ARENA_ARRAY(o->e->arena, LLVMValueRef, f->variants.count);
    for (int v = 0; v < f->variants.count; v++) {
        const struct c_variant *variant = &f->variants.at[v];
        calls[v] =
            emit_entry(&o->entries, variant->function, arena_printf(o->e->arena, "%s_call", variant->name));
        if (f->is_init)
            LLVMSetLinkage(calls[v], LLVMInternalLinkage);
        else
            emit_argument_list(o, variant);
    }
    emit_typed(o, f, calls);
    if (!f->is_init)
        emit_workspace(o, f);
    return true;
}

/* ---- the file ---- */

static bool emit_all(struct object *o, struct diags *diags) {
    struct c_interface interface;
    if (!c_interface_of(o->compiled, o->prefix, &interface, diags))
        return false;
    define_types(o);
    emit_units(o->e, o->compiled, true);
    entry_module_init(&o->entries, o->e, o->compiled, true);
    emit_tensor_list(o, "weights_info", true);
    emit_tensor_list(o, "state_info", false);
    emit_block(o, "weights", o->held.weights, o->compiled->weights_bytes);
    emit_block(o, "state", o->held.state, o->compiled->plan->state_bytes);
    emit_size(o, "weights_size", o->compiled->weights_bytes);
    emit_size(o, "state_size", o->compiled->plan->state_bytes);
    o->prepare = emit_pack_function(&o->entries, name_of(o, "prepare_weights"));
    emit_packing(o, true);
    emit_packing(o, false);
    emit_error(o);
    for (int i = 0; i < interface.functions.count; i++)
        if (!emit_function(o, &interface.functions.at[i], diags))
            return false;
    return true;
}

static const void *take_bytes(struct compiled *compiled, LLVMMemoryBufferRef object, size_t *size) {
    *size = LLVMGetBufferSize(object);
    const void *bytes = arena_memdup(compiled->arena, LLVMGetBufferStart(object), *size);
    LLVMDisposeMemoryBuffer(object);
    return bytes;
}

static const void *generate(struct object *o, size_t *size, struct diags *diags) {
    const char *defect = NULL;
    char *why = NULL;
    if (!verify_module(o->e, o->compiled->arena, &defect)) {
        diag_defect(diags, (struct span){0}, "LLVM does not take the object's module: %s", defect);
        return NULL;
    }
    LLVMTargetMachineRef machine = target_machine_create(o->compiled->target);
    LLVMMemoryBufferRef object = machine ? emit_object(machine, o->e->module, &why) : NULL;
    if (machine)
        LLVMDisposeTargetMachine(machine);
    if (object)
        return take_bytes(o->compiled, object, size);
    diag_defect(diags, (struct span){0}, "LLVM does not compile the object: %s",
                why ? why : "no target machine");
    LLVMDisposeMessage(why);
    return NULL;
}

const void *object_emit(struct compiled *compiled, const char *prefix, struct held_blocks held, size_t *size,
                        struct diags *diags) {
    struct emitter e;
    if (!emitter_init(&e, compiled->target, compiled->arena, prefix)) {
        diag_defect(diags, (struct span){0}, "LLVM has no target machine for %s", compiled->target->triple);
        return NULL;
    }
    struct object o = {
        .e = &e, .compiled = compiled, .prefix = c_identifier(compiled->arena, prefix), .held = held};
    if (compiled->options.debug_info)
        debug_open(&e);
    bool ok = emit_all(&o, diags);
    debug_finish(&e);
    const void *bytes = ok ? generate(&o, size, diags) : NULL;
    emitter_finish(&e);
    return bytes;
}
