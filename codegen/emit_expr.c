/* codegen/emit_expr.c: where a value is computed, and remembering it. */
#include "codegen/debug.h"
#include "codegen/emission.h"

#include <assert.h>

struct emitter *emission_emitter(struct emission *em) {
    return em->e;
}

/* ---- types and small values ---- */

LLVMTypeRef emit_memory_type(struct emission *em, enum dtype dtype) {
    const struct emitter *e = em->e;
    if (dtype == DTYPE_f32)
        return e->f32;
    if (dtype == DTYPE_f64)
        return e->f64;
    return LLVMIntTypeInContext(e->context, 8 * (unsigned)dtype_bytes(dtype));
}

LLVMTypeRef emit_value_type(struct emission *em, enum dtype dtype) {
    const struct emitter *e = em->e;
    if (dtype == DTYPE_bool)
        return e->i1;
    if (dtype == DTYPE_bf16 || dtype == DTYPE_f16)
        return e->f32;
    return emit_memory_type(em, dtype);
}

LLVMValueRef emit_i64(struct emission *em, int64_t value) {
    return LLVMConstInt(em->e->i64, (unsigned long long)value, true);
}

LLVMTypeRef element_type(LLVMValueRef value) {
    LLVMTypeRef t = LLVMTypeOf(value);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetElementType(t) : t;
}

int lane_count(LLVMValueRef value) {
    LLVMTypeRef t = LLVMTypeOf(value);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 0;
}

LLVMTypeRef type_like(LLVMTypeRef element, LLVMTypeRef shape) {
    return LLVMGetTypeKind(shape) == LLVMVectorTypeKind ? LLVMVectorType(element, LLVMGetVectorSize(shape))
                                                        : element;
}

LLVMValueRef const_like(LLVMTypeRef type, double value) {
    bool vector = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    LLVMTypeRef element = vector ? LLVMGetElementType(type) : type;
    LLVMValueRef one = LLVMGetTypeKind(element) == LLVMIntegerTypeKind
                           ? LLVMConstInt(element, (unsigned long long)(long long)value, true)
                           : LLVMConstReal(element, value);
    if (!vector)
        return one;
    LLVMValueRef all[128];
    unsigned n = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < n; i++)
        all[i] = one;
    return LLVMConstVector(all, n);
}

LLVMValueRef emit_splat(struct emission *em, LLVMValueRef scalar, int lanes) {
    LLVMBuilderRef b = em->e->b;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef all[128];
        for (int i = 0; i < lanes; i++)
            all[i] = scalar;
        return LLVMConstVector(all, (unsigned)lanes);
    }
    LLVMValueRef first = LLVMBuildInsertElement(b, LLVMGetPoison(type), scalar, emit_i64(em, 0), "");
    LLVMTypeRef shuffle = LLVMVectorType(em->e->i32, (unsigned)lanes);
    return LLVMBuildShuffleVector(b, first, LLVMGetPoison(type), LLVMConstNull(shuffle), "");
}

bool index_is_narrow(const struct loop_expr *x) {
    if (x->dtype != DTYPE_i64 || x->min < INT32_MIN || x->max > INT32_MAX)
        return false;
    if (x->kind == LEXPR_INT || x->kind == LEXPR_VAR)
        return true;
    if (x->kind == LEXPR_LOAD)
        return false;
    if (x->code == OP_cast)
        return dtype_bytes(x->args[0]->dtype) <= 4 && x->args[0]->dtype != DTYPE_u32 &&
               !dtype_is_float(x->args[0]->dtype);
    bool arithmetic = x->code == OP_add || x->code == OP_mul || x->code == OP_div || x->code == OP_mod ||
                      x->code == OP_min || x->code == OP_max;
    return arithmetic && index_is_narrow(x->args[0]) && index_is_narrow(x->args[1]);
}

/* ---- scopes ---- */

void scope_open(struct emission *em, enum scope_kind kind, LLVMValueRef preheader_end, bool surely_runs) {
    struct scope s = {.kind = kind, .preheader_end = preheader_end, .surely_runs = surely_runs};
    VEC_PUSH(em->e->arena, &em->scopes, s);
}

void scope_close(struct emission *em) {
    struct scope *s = &VEC_LAST(&em->scopes);
    for (int i = 0; i < s->remembered.count; i++) {
        int key = s->remembered.at[i];
        em->memory[key / FORM_COUNT].value[key % FORM_COUNT] = NULL;
    }
    em->scopes.count--;
    em->stamp++;
    em->epoch++;
}

void emit_scope_push(struct emission *em) {
    scope_open(em, SCOPE_STRAIGHT, NULL, true);
}

void emit_scope_pop(struct emission *em) {
    scope_close(em);
}

void emit_bind(struct emission *em, const struct loop_var *var, LLVMValueRef value) {
    em->bindings[var->id] =
        (struct binding){.value = value, .depth = em->scopes.count - 1, .is_vector = lane_count(value) > 0};
}

void emit_lanes_begin(struct emission *em, const struct loop_var *var, LLVMValueRef base, int lanes,
                      LLVMValueRef mask) {
    assert(!em->lanes.count);
    emit_scope_push(em);
    em->lanes = (struct lanes){.var = var,
                               .base = base,
                               .mask = mask,
                               .count = lanes,
                               .active = mask ? -1 : lanes,
                               .first = -1,
                               .depth = em->scopes.count - 1};
    em->bindings[var->id] = (struct binding){.value = base, .depth = em->scopes.count - 1};
}

void emit_lanes_end(struct emission *em) {
    em->lanes = (struct lanes){0};
    emit_scope_pop(em);
}

/* ---- facts ---- */

static void facts_of_part(struct emission *em, const struct loop_expr *part, struct expr_facts *out) {
    if (!part)
        return;
    const struct expr_facts *p = expr_facts(em, part);
    out->depth = p->depth > out->depth ? p->depth : out->depth;
    out->varies |= p->varies;
    out->is_fickle |= p->is_fickle;
    out->has_load |= p->has_load;
}

const struct expr_facts *expr_facts(struct emission *em, const struct loop_expr *x) {
    struct expr_facts *f = &em->facts[x->id];
    if (f->stamp == em->stamp)
        return f;
    struct expr_facts found = {.stamp = em->stamp};
    if (x->kind == LEXPR_VAR) {
        const struct binding *b = &em->bindings[x->var->id];
        assert(b->value);
        found.depth = b->depth;
        found.varies = b->is_vector || (em->lanes.count && x->var == em->lanes.var);
        found.is_fickle = x->var->is_mutable;
    }
    facts_of_part(em, x->index, &found);
    facts_of_part(em, x->mask, &found);
    facts_of_part(em, x->otherwise, &found);
    for (int i = 0; i < x->arg_count; i++)
        facts_of_part(em, x->args[i], &found);
    if (x->kind == LEXPR_LOAD) {
        found.has_load = true;
        found.is_fickle |= x->buffer->is_written;
    }
    *f = found;
    return f;
}

/* ---- placing ---- */

/* Moves the builder to where a value of these facts belongs, and says in which scope it may be remembered. */
static int place(struct emission *em, const struct expr_facts *f) {
    int top = em->scopes.count - 1, depth = f->depth;
    if (f->is_fickle)
        return top;
    if (f->has_load)
        for (int s = depth + 1; s <= top; s++) {
            const struct scope *scope = &em->scopes.at[s];
            if (scope->kind == SCOPE_BRANCH || (scope->kind == SCOPE_LOOP && !scope->surely_runs))
                depth = s;
        }
    int loop = depth + 1;
    while (loop <= top && em->scopes.at[loop].kind != SCOPE_LOOP)
        loop++;
    if (loop <= top)
        LLVMPositionBuilderBefore(em->e->b, em->scopes.at[loop].preheader_end);
    for (int s = loop <= top ? loop - 1 : top; s > depth; s--)
        if (em->scopes.at[s].kind == SCOPE_BRANCH)
            return s;
    return depth;
}

static void remember(struct emission *em, const struct loop_expr *x, enum emit_form form, int scope,
                     LLVMValueRef value) {
    struct memory_of_expr *m = &em->memory[x->id];
    m->value[form] = value;
    m->epoch[form] = em->epoch;
    VEC_PUSH(em->e->arena, &em->scopes.at[scope].remembered, x->id * FORM_COUNT + (int)form);
}

static LLVMValueRef recalled(struct emission *em, const struct loop_expr *x, enum emit_form form,
                             const struct expr_facts *f) {
    const struct memory_of_expr *m = &em->memory[x->id];
    if (!m->value[form] || (f->is_fickle && m->epoch[form] != em->epoch))
        return NULL;
    /* a splat outside of two vector loops may have the other one's length */
    bool fits = form == FORM_SCALAR || lane_count(m->value[form]) == em->lanes.count;
    return fits ? m->value[form] : NULL;
}

/* ---- values ---- */

static LLVMValueRef lane_numbers(struct emission *em, LLVMTypeRef element) {
    LLVMValueRef all[128];
    for (int i = 0; i < em->lanes.count; i++)
        all[i] = LLVMConstInt(element, (unsigned long long)i, false);
    return LLVMConstVector(all, (unsigned)em->lanes.count);
}

/* The lanes' own variable as a vector: base + 0, 1, .. */
static LLVMValueRef lanes_of_var(struct emission *em, const struct loop_expr *x) {
    LLVMBuilderRef b = em->e->b;
    LLVMTypeRef element = index_is_narrow(x) ? em->e->i32 : em->e->i64;
    LLVMValueRef base = em->lanes.base;
    if (element == em->e->i32)
        base = LLVMBuildTrunc(b, base, element, "");
    return LLVMBuildAdd(b, emit_splat(em, base, em->lanes.count), lane_numbers(em, element), "");
}

static LLVMValueRef leaf(struct emission *em, const struct loop_expr *x) {
    LLVMTypeRef type = emit_value_type(em, x->dtype);
    return x->kind == LEXPR_INT ? LLVMConstInt(type, (unsigned long long)x->i, true)
                                : LLVMConstReal(type, x->f);
}

/* A uniform value as a vector. Index values become 32 bits wide where all their parts are. */
static LLVMValueRef splat_of(struct emission *em, const struct loop_expr *x) {
    LLVMValueRef scalar = emit_form(em, x, FORM_SCALAR);
    if (x->kind == LEXPR_INT && index_is_narrow(x))
        scalar = LLVMConstInt(em->e->i32, (unsigned long long)x->i, true);
    const struct expr_facts *f = expr_facts(em, x);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(em->e->b);
    int scope = place(em, f);
    if (index_is_narrow(x) && LLVMTypeOf(scalar) == em->e->i64)
        scalar = LLVMBuildTrunc(em->e->b, scalar, em->e->i32, "");
    LLVMValueRef v = emit_splat(em, scalar, em->lanes.count);
    LLVMPositionBuilderAtEnd(em->e->b, here);
    remember(em, x, FORM_VECTOR, scope, v);
    return v;
}

/* An index whose lanes lie at known distances: no division in vectors. */
static LLVMValueRef spread_index(struct emission *em, const struct loop_expr *x, const int64_t *offsets) {
    LLVMValueRef all[128];
    for (int i = 0; i < em->lanes.count; i++)
        all[i] = LLVMConstInt(em->e->i32, (unsigned long long)offsets[i], true);
    LLVMValueRef base = LLVMBuildTrunc(em->e->b, emit_form(em, x, FORM_SCALAR), em->e->i32, "");
    LLVMValueRef distances = LLVMConstVector(all, (unsigned)em->lanes.count);
    return LLVMBuildAdd(em->e->b, emit_splat(em, base, em->lanes.count), distances, "");
}

static LLVMValueRef known_remainders(struct emission *em, const int64_t *offsets, int64_t first) {
    LLVMValueRef all[128];
    for (int i = 0; i < em->lanes.count; i++)
        all[i] = LLVMConstInt(em->e->i32, (unsigned long long)(first + offsets[i]), true);
    return LLVMConstVector(all, (unsigned)em->lanes.count);
}

/* A division or remainder of an index whose lanes are known but for lane 0. */
static bool is_known_in_lanes(struct emission *em, const struct loop_expr *x, enum emit_form form,
                              int64_t *offsets) {
    bool divides = x->kind == LEXPR_OP && (x->code == OP_div || x->code == OP_mod);
    return form == FORM_VECTOR && divides && index_is_narrow(x) && lane_offsets(em, x, offsets);
}

static LLVMValueRef known_lanes(struct emission *em, const struct loop_expr *x, const int64_t *offsets) {
    if (x->code == OP_div)
        return spread_index(em, x, offsets);
    return known_remainders(em, offsets, lane_residue(em, x->args[0], x->args[1]->i));
}

static LLVMValueRef compute(struct emission *em, const struct loop_expr *x, enum emit_form form) {
    int64_t offsets[128];
    if (is_known_in_lanes(em, x, form, offsets))
        return known_lanes(em, x, offsets);
    if (x->kind == LEXPR_VAR)
        return lanes_of_var(em, x);
    if (x->kind == LEXPR_LOAD)
        return emit_load(em, x, form);
    LLVMValueRef args[3] = {0};
    for (int i = 0; i < x->arg_count; i++)
        args[i] = emit_form(em, x->args[i], form);
    return emit_operator(em, x, args);
}

/* Each part finds its own place, and the builder must not stand in a preheader meanwhile: so parts come
 * first, and `compute` finds them remembered. */
static void prepare(struct emission *em, const struct loop_expr *x, enum emit_form form) {
    if (x->kind == LEXPR_LOAD)
        prepare_load(em, x, form);
    int64_t offsets[128];
    if (is_known_in_lanes(em, x, form, offsets)) {
        emit_form(em, x, FORM_SCALAR);
        return;
    }
    for (int i = 0; i < x->arg_count; i++)
        emit_form(em, x->args[i], form);
}

LLVMValueRef emit_form(struct emission *em, const struct loop_expr *x, enum emit_form form) {
    if (form == FORM_SCALAR && (x->kind == LEXPR_INT || x->kind == LEXPR_FLOAT))
        return leaf(em, x);
    const struct binding *binding = x->kind == LEXPR_VAR ? &em->bindings[x->var->id] : NULL;
    if (binding && form == FORM_SCALAR && binding->is_vector && binding->pending)
        return pending_sum(em, binding);
    if (binding && (form == FORM_SCALAR || binding->is_vector))
        return binding->value;
    struct expr_facts facts = *expr_facts(em, x);
    LLVMValueRef known = recalled(em, x, form, &facts);
    if (known)
        return known;
    if (form == FORM_VECTOR && !facts.varies)
        return splat_of(em, x);
    prepare(em, x, form);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(em->e->b);
    int scope = place(em, &facts);
    LLVMMetadataRef outer = debug_enter(em->e, x->site);
    LLVMValueRef v = compute(em, x, form);
    debug_restore(em->e, outer);
    LLVMPositionBuilderAtEnd(em->e->b, here);
    remember(em, x, form, scope, v);
    return v;
}

LLVMValueRef emit_scalar(struct emission *em, const struct loop_expr *x) {
    return emit_form(em, x, FORM_SCALAR);
}

LLVMValueRef emit_vector(struct emission *em, const struct loop_expr *x) {
    assert(em->lanes.count);
    LLVMValueRef v = emit_form(em, x, FORM_VECTOR);
    LLVMTypeRef whole = type_like(em->e->i64, LLVMTypeOf(v));
    return x->dtype == DTYPE_i64 ? LLVMBuildSExtOrBitCast(em->e->b, v, whole, "") : v;
}
