/* codegen/emit_lanes.c: FOR marked VECTOR. The body is emitted on vectors for as many whole vectors as there
 * are, then once more for the rest: under a mask where the target masks memory in one instruction, else as a
 * serial loop.
 *
 * Note [Wide lanes] A light body runs on several registers at once, by giving LLVM vectors of 2 or 4 times
 * the machine's length: that hides the latency of sums and saves the loop's own instructions. How many lanes
 * a loop has depends on its body, its trip count and the target, so that the order of a sum's terms is fixed
 * with them. */
#include "codegen/emission.h"

#include <assert.h>
#include <math.h>

/* What a loop's body looks like to who chooses its lanes. */
struct body_facts {
    int widest; /* bytes of the widest element in memory */
    int narrowest;
    int operators; /* distinct operators */
    bool is_heavy; /* gathers, transcendental functions, random bits */
    bool has_sum;  /* accumulates, over the lanes or in each */
    VEC(const struct loop_expr *) seen;
};

static bool is_transcendental(enum opcode code) {
    return op_infos[code].flops >= 10;
}

static void look_at_expr(struct emission *em, const struct loop_stmt *loop, const struct loop_expr *x,
                         struct body_facts *out) {
    if (!x || x->kind == LEXPR_INT || x->kind == LEXPR_FLOAT || x->kind == LEXPR_VAR)
        return;
    for (int i = 0; i < out->seen.count; i++)
        if (out->seen.at[i] == x)
            return;
    VEC_PUSH(em->e->arena, &out->seen, x);
    look_at_expr(em, loop, x->mask, out);
    look_at_expr(em, loop, x->otherwise, out);
    for (int i = 0; i < x->arg_count; i++)
        look_at_expr(em, loop, x->args[i], out);
    if (x->kind == LEXPR_LOAD) {
        int64_t stride;
        out->is_heavy |= !lexpr_stride(x->index, loop->var, &stride) || (stride != 0 && stride != 1);
        out->widest = dtype_bytes(x->dtype) > out->widest ? dtype_bytes(x->dtype) : out->widest;
        out->narrowest = dtype_bytes(x->dtype) < out->narrowest ? dtype_bytes(x->dtype) : out->narrowest;
    } else {
        out->operators++;
        out->is_heavy |= is_transcendental(x->code);
    }
}

static void look_at_body(struct emission *em, const struct loop_stmt *loop, const struct loop_stmt *s,
                         struct body_facts *out) {
    for (; s; s = s->next) {
        look_at_expr(em, loop, s->value, out);
        look_at_expr(em, loop, s->mask, out);
        out->has_sum |= s->kind == LSTMT_SET;
        out->is_heavy |= s->kind == LSTMT_PHILOX || s->kind == LSTMT_TILE;
        if (s->kind == LSTMT_STORE) {
            int bytes = dtype_bytes(s->buffer->dtype);
            out->widest = bytes > out->widest ? bytes : out->widest;
            out->narrowest = bytes < out->narrowest ? bytes : out->narrowest;
        }
        look_at_body(em, loop, s->body, out);
        look_at_body(em, loop, s->otherwise, out);
    }
}

static int choose_lanes(const struct emission *em, const struct body_facts *facts,
                        const struct loop_stmt *s) {
    const struct target *t = em->e->target;
    int one = facts->narrowest >= 8 ? target_lanes(t, 8) : target_lanes(t, 4);
    double most = (double)s->hi->max - (double)s->lo->min;
    if (facts->is_heavy || !facts->has_sum || facts->operators > 12 || facts->widest > 4)
        return one;
    return most <= one ? one : most <= 2 * one ? 2 * one : 4 * one;
}

/* ---- reductions over lanes ---- */

static LLVMValueRef lowest_of(struct emitter *e, enum dtype dtype) {
    int bits = 8 * dtype_bytes(dtype);
    if (dtype == DTYPE_bool)
        return LLVMConstInt(e->i1, 0, false);
    LLVMTypeRef type = LLVMIntTypeInContext(e->context, (unsigned)bits);
    bool with_sign = dtype_class(dtype) == CLASS_SIGNED;
    return LLVMConstInt(type, with_sign ? 1ull << (bits - 1) : 0, false);
}

static LLVMValueRef highest_of(struct emitter *e, enum dtype dtype) {
    int bits = 8 * dtype_bytes(dtype);
    if (dtype == DTYPE_bool)
        return LLVMConstInt(e->i1, 1, false);
    LLVMTypeRef type = LLVMIntTypeInContext(e->context, (unsigned)bits);
    uint64_t all = bits == 64 ? ~0ull : (1ull << bits) - 1;
    return LLVMConstInt(type, dtype_class(dtype) == CLASS_SIGNED ? all >> 1 : all, false);
}

/* What changes nothing when it is combined. */
static LLVMValueRef neutral(struct emission *em, enum opcode reduce, enum dtype dtype) {
    LLVMTypeRef type = emit_value_type(em, dtype);
    if (reduce == OP_add)
        return dtype_is_float(dtype) ? LLVMConstReal(type, -0.0) : LLVMConstNull(type);
    if (reduce == OP_mul)
        return const_like(type, 1);
    if (dtype_is_float(dtype))
        return LLVMConstReal(type, reduce == OP_max ? -INFINITY : INFINITY);
    return reduce == OP_max || reduce == OP_or ? lowest_of(em->e, dtype) : highest_of(em->e, dtype);
}

static LLVMValueRef combine(struct emission *em, enum opcode reduce, enum dtype dtype, LLVMValueRef a,
                            LLVMValueRef b) {
    const struct loop_expr of = {.kind = LEXPR_FLOAT, .dtype = dtype};
    const struct loop_expr x = {
        .kind = LEXPR_OP, .dtype = dtype, .code = reduce, .arg_count = 2, .args = {&of, &of}};
    return emit_operator(em, &x, (LLVMValueRef[]){a, b});
}

/* Half by half: lane i with lane i + n/2, until one is left. */
static LLVMValueRef combine_lanes(struct emission *em, enum opcode reduce, enum dtype dtype, LLVMValueRef v) {
    LLVMBuilderRef b = em->e->b;
    for (int n = lane_count(v); n > 1; n /= 2) {
        LLVMValueRef low[64], high[64];
        for (int i = 0; i < n / 2; i++) {
            low[i] = LLVMConstInt(em->e->i32, (unsigned)i, false);
            high[i] = LLVMConstInt(em->e->i32, (unsigned)(i + n / 2), false);
        }
        LLVMValueRef poison = LLVMGetPoison(LLVMTypeOf(v));
        LLVMValueRef l = LLVMBuildShuffleVector(b, v, poison, LLVMConstVector(low, (unsigned)n / 2), "");
        LLVMValueRef h = LLVMBuildShuffleVector(b, v, poison, LLVMConstVector(high, (unsigned)n / 2), "");
        v = combine(em, reduce, dtype, l, h);
    }
    return LLVMBuildExtractElement(b, v, emit_i64(em, 0), "");
}

/* ---- the loop ---- */

struct vector_loop {
    const struct loop_stmt *s;
    int lanes;
    LLVMValueRef lo, hi, main_hi; /* whole vectors are in lo..main_hi */
    bool main_runs, main_surely_runs, has_rest, rest_surely_runs;
    struct var_list sums;
    LLVMValueRef *starts; /* the scalars that the sums start from */
};

static void bounds(struct emission *em, struct vector_loop *v) {
    LLVMBuilderRef b = em->e->b;
    const struct loop_stmt *s = v->s;
    v->lo = emit_scalar(em, s->lo);
    v->hi = emit_scalar(em, s->hi);
    v->main_surely_runs = s->hi->min - s->lo->max >= v->lanes;
    v->main_runs = s->hi->max - s->lo->min >= v->lanes;
    if (s->lo->kind == LEXPR_INT && s->hi->kind == LEXPR_INT) {
        int64_t n = s->hi->i - s->lo->i;
        v->has_rest = v->rest_surely_runs = n % v->lanes != 0;
        v->main_hi = emit_i64(em, s->hi->i - n % v->lanes);
        return;
    }
    v->has_rest = true;
    LLVMValueRef n = LLVMBuildSub(b, v->hi, v->lo, "");
    n = LLVMBuildAnd(b, n, emit_i64(em, -(int64_t)v->lanes), "");
    v->main_hi = LLVMBuildAdd(b, v->lo, n, "");
}

static LLVMValueRef lanes_below(struct emission *em, LLVMValueRef rest, int lanes) {
    LLVMValueRef numbers[128];
    for (int i = 0; i < lanes; i++)
        numbers[i] = LLVMConstInt(em->e->i32, (unsigned)i, false);
    LLVMValueRef limit = emit_splat(em, LLVMBuildTrunc(em->e->b, rest, em->e->i32, ""), lanes);
    return LLVMBuildICmp(em->e->b, LLVMIntSLT, LLVMConstVector(numbers, (unsigned)lanes), limit, "");
}

static void set_sum(struct emission *em, const struct loop_stmt *set, LLVMValueRef value) {
    em->bindings[set->var->id].value = value;
    em->bindings[set->var->id].is_vector = lane_count(value) > 0;
    em->epoch++;
}

static void sums_begin(struct emission *em, struct vector_loop *v) {
    assigned_variables(em, v->s->body, &v->sums);
    v->starts = ARENA_ARRAY(em->e->arena, LLVMValueRef, v->sums.sets.count + 1);
    for (int i = 0; i < v->sums.sets.count; i++) {
        const struct loop_stmt *set = v->sums.sets.at[i];
        assert(set->reduce);
        v->starts[i] = em->bindings[set->var->id].value;
        if (em->bindings[set->var->id].is_vector) /* it keeps its lanes */
            continue;
        set_sum(em, set, emit_splat(em, neutral(em, set->reduce, set->var->dtype), v->lanes));
    }
}

static void sums_end(struct emission *em, struct vector_loop *v) {
    for (int i = 0; i < v->sums.sets.count; i++) {
        const struct loop_stmt *set = v->sums.sets.at[i];
        if (em->bindings[set->var->id].pending)
            continue;
        LLVMValueRef all = combine_lanes(em, set->reduce, set->var->dtype, em->bindings[set->var->id].value);
        set_sum(em, set, combine(em, set->reduce, set->var->dtype, v->starts[i], all));
    }
    em->stamp++;
}

/* The body of a vector turn is a loop body like any other, but for its variable's lanes. */
static void emit_turn(struct emission *em, const struct vector_loop *v, LLVMValueRef base,
                      LLVMValueRef mask) {
    const struct loop_expr *lo = v->s->lo, *hi = v->s->hi;
    emit_lanes_begin(em, v->s->var, base, v->lanes, mask);
    em->lanes.first = lo->kind == LEXPR_INT ? lo->i : -1;
    if (mask && lo->kind == LEXPR_INT && hi->kind == LEXPR_INT)
        em->lanes.active = (int)((hi->i - lo->i) % v->lanes);
    emit_statements(em, v->s->body);
    emit_lanes_end(em);
}

static LLVMValueRef *sum_values(struct emission *em, const struct vector_loop *v) {
    LLVMValueRef *values = ARENA_ARRAY(em->e->arena, LLVMValueRef, v->sums.sets.count + 1);
    for (int i = 0; i < v->sums.sets.count; i++)
        values[i] = em->bindings[v->sums.sets.at[i]->var->id].value;
    return values;
}

static void merge_sums(struct emission *em, const struct vector_loop *v, LLVMValueRef *a,
                       LLVMBasicBlockRef from_a, LLVMValueRef *z, LLVMBasicBlockRef from_z) {
    for (int i = 0; i < v->sums.sets.count; i++) {
        LLVMValueRef phi = LLVMBuildPhi(em->e->b, LLVMTypeOf(a[i]), "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){a[i], z[i]}, (LLVMBasicBlockRef[]){from_a, from_z}, 2);
        set_sum(em, v->sums.sets.at[i], phi);
    }
}

static void emit_main(struct emission *em, struct vector_loop *v) {
    LLVMBuilderRef b = em->e->b;
    LLVMValueRef *before = sum_values(em, v);
    LLVMBasicBlockRef preheader = LLVMGetInsertBlock(b), body = emit_block(em, "lanes"),
                      after = emit_block(em, "rest");
    LLVMValueRef enter =
        v->main_surely_runs
            ? LLVMBuildBr(b, body)
            : LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, v->lo, v->main_hi, ""), body, after);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef base = LLVMBuildPhi(b, em->e->i64, v->s->var->name);
    LLVMValueRef *phis = ARENA_ARRAY(em->e->arena, LLVMValueRef, v->sums.sets.count + 1);
    for (int i = 0; i < v->sums.sets.count; i++) {
        phis[i] = LLVMBuildPhi(b, LLVMTypeOf(before[i]), "");
        set_sum(em, v->sums.sets.at[i], phis[i]);
    }
    scope_open(em, SCOPE_LOOP, enter, v->main_surely_runs);
    emit_turn(em, v, base, NULL);
    scope_close(em);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(b);
    LLVMValueRef next = LLVMBuildNSWAdd(b, base, emit_i64(em, v->lanes), "");
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, v->main_hi, ""), body, after);
    LLVMAddIncoming(base, (LLVMValueRef[]){v->lo, next}, (LLVMBasicBlockRef[]){preheader, latch}, 2);
    LLVMValueRef *ends = sum_values(em, v);
    for (int i = 0; i < v->sums.sets.count; i++)
        LLVMAddIncoming(phis[i], (LLVMValueRef[]){before[i], ends[i]},
                        (LLVMBasicBlockRef[]){preheader, latch}, 2);
    LLVMPositionBuilderAtEnd(b, after);
    if (!v->main_surely_runs)
        merge_sums(em, v, before, preheader, ends, latch);
}

static void emit_masked_rest(struct emission *em, struct vector_loop *v) {
    LLVMBuilderRef b = em->e->b;
    LLVMValueRef *before = sum_values(em, v);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(b), after = NULL;
    if (!v->rest_surely_runs) {
        LLVMBasicBlockRef body = emit_block(em, "masked");
        after = emit_block(em, "end");
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, v->main_hi, v->hi, ""), body, after);
        LLVMPositionBuilderAtEnd(b, body);
    }
    scope_open(em, v->rest_surely_runs ? SCOPE_STRAIGHT : SCOPE_BRANCH, NULL, true);
    LLVMValueRef rest = LLVMBuildSub(b, v->hi, v->main_hi, "");
    emit_turn(em, v, v->main_hi, lanes_below(em, rest, v->lanes));
    scope_close(em);
    if (v->rest_surely_runs)
        return;
    LLVMBasicBlockRef end = LLVMGetInsertBlock(b);
    LLVMValueRef *ends = sum_values(em, v);
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
    merge_sums(em, v, before, here, ends, end);
}

static int lanes_of_loop(struct emission *em, const struct loop_stmt *s, struct body_facts *facts) {
    *facts = (struct body_facts){.narrowest = 8};
    look_at_body(em, s, s->body, facts);
    if (!facts->widest)
        facts->narrowest = 4;
    return choose_lanes(em, facts, s);
}

/* The vector loop that sets var, from s on; *depth: serial loops around it. */
static const struct loop_stmt *find_sum(const struct loop_stmt *s, const struct loop_var *var, int *depth) {
    for (; s; s = s->next) {
        if (s->kind != LSTMT_FOR)
            continue;
        if (s->loop == LOOP_VECTOR) {
            for (const struct loop_stmt *b = s->body; b; b = b->next)
                if (b->kind == LSTMT_SET && b->var == var)
                    return s;
            continue;
        }
        const struct loop_stmt *found = find_sum(s->body, var, depth);
        if (found) {
            (*depth)++;
            return found;
        }
    }
    return NULL;
}

bool begin_pending_sum(struct emission *em, const struct loop_stmt *acc) {
    int depth = 0;
    const struct loop_stmt *loop =
        acc->reduce && !em->lanes.count ? find_sum(acc->next, acc->var, &depth) : NULL;
    if (!loop || !depth)
        return false;
    struct body_facts facts;
    int lanes = lanes_of_loop(em, loop, &facts);
    enum dtype dtype = acc->var->dtype;
    emit_bind(em, acc->var, emit_splat(em, neutral(em, acc->reduce, dtype), lanes));
    struct binding *b = &em->bindings[acc->var->id];
    b->pending = acc->reduce;
    b->dtype = dtype;
    b->start = emit_scalar(em, acc->value);
    return true;
}

LLVMValueRef pending_sum(struct emission *em, const struct binding *sum) {
    LLVMValueRef all = combine_lanes(em, sum->pending, sum->dtype, sum->value);
    return combine(em, sum->pending, sum->dtype, sum->start, all);
}

void emit_vector_loop(struct emission *em, const struct loop_stmt *s) {
    struct body_facts facts;
    struct vector_loop v = {.s = s, .lanes = lanes_of_loop(em, s, &facts)};
    bounds(em, &v);
    /* A rest of known length is loaded and stored piece by piece, which needs no masks in hardware. */
    bool known = s->lo->kind == LEXPR_INT && s->hi->kind == LEXPR_INT;
    bool masked = known || (em->e->target->has_masked_memory &&
                            (facts.narrowest >= 4 || em->e->target->vector_bits >= 512));
    if (!v.main_runs && !masked) {
        emit_serial_loop(em, s, v.lo, v.hi, v.rest_surely_runs);
        return;
    }
    sums_begin(em, &v);
    em->stamp++;
    if (v.main_runs)
        emit_main(em, &v);
    if (v.has_rest && masked)
        emit_masked_rest(em, &v);
    sums_end(em, &v);
    if (v.has_rest && !masked)
        emit_serial_loop(em, s, v.main_hi, v.hi, v.rest_surely_runs);
}
