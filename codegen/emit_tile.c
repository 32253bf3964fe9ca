/* codegen/emit_tile.c: micro-kernels to LLVM IR. The form that KERNELS.md 1 measured: one block for the
 * innermost loop, accumulators as phis, pointers that step, no pass of LLVM's behind it but the code
 * generator. */
#include "codegen/emission.h"

#include <assert.h>
#include <string.h>

enum {
    MAX_ACCUMULATORS = 32,
    /* Levels of constant count are unrolled from the inside while a turn has at most so many multiply-adds: a
     * 3 x 3 window with 12 accumulators is one block of 108. */
    UNROLL_LIMIT = 48
};

struct micro {
    struct emission *em;
    struct emitter *e;
    const struct tile *tile;
    int lanes, vectors, columns; /* columns: accumulators in a row, vectors of OUTER or columns of INNER */
    int partial;                 /* lanes of the last vector that exist, 0: all */
    int pointers;                /* of B: 1 where its vectors or columns are at constant distances */
    enum dtype dtype;            /* of registers and of C */
    LLVMTypeRef element, vector;
    LLVMValueRef c[TILE_VECTORS], counts[TILE_LEVELS];
    LLVMValueRef acc[MAX_ACCUMULATORS];
};

/* Where the operands are read in one turn: pointers, and what unrolled levels add in elements. */
struct cursor {
    LLVMValueRef a, b[TILE_VECTORS];
    int64_t a_offset, b_offset;
};

/* ---- memory ---- */

/* What elements in memory are, and on their way to registers. */
struct reading {
    enum dtype memory, as;
};

static struct reading reading_a(const struct micro *m) {
    return (struct reading){m->tile->a->dtype, m->tile->a_as};
}

static struct reading reading_b(const struct micro *m) {
    return (struct reading){m->tile->b->dtype, m->tile->b_as};
}

static struct reading reading_c(const struct micro *m) {
    return (struct reading){m->dtype, m->dtype};
}

static LLVMValueRef element_at(struct micro *m, enum dtype dtype, LLVMValueRef pointer, int64_t offset) {
    if (offset == 0)
        return pointer;
    LLVMValueRef index = emit_i64(m->em, offset);
    return LLVMBuildGEP2(m->e->b, emit_memory_type(m->em, dtype), pointer, &index, 1, "");
}

static LLVMValueRef load_of(struct micro *m, LLVMTypeRef type, enum dtype dtype, LLVMValueRef pointer) {
    LLVMValueRef x = LLVMBuildLoad2(m->e->b, type, pointer, "");
    LLVMSetAlignment(x, (unsigned)dtype_bytes(dtype));
    return x;
}

static LLVMValueRef to_register(struct micro *m, struct reading s, LLVMValueRef raw) {
    LLVMValueRef x = emit_cast(m->e, emit_from_memory(m->e, s.memory, raw), s.memory, s.as);
    return emit_cast(m->e, x, s.as, m->dtype);
}

static LLVMValueRef first_lanes(struct micro *m, int count) {
    LLVMValueRef lane[64];
    for (int i = 0; i < m->lanes; i++)
        lane[i] = LLVMConstInt(m->e->i1, i < count, 0);
    return LLVMConstVector(lane, (unsigned)m->lanes);
}

/* The lanes behind count are zero and touch no memory. */
static LLVMValueRef load_vector(struct micro *m, struct reading s, LLVMValueRef pointer, int count) {
    LLVMTypeRef vector = LLVMVectorType(emit_memory_type(m->em, s.memory), (unsigned)m->lanes);
    if (count == m->lanes)
        return to_register(m, s, load_of(m, vector, s.memory, pointer));
    LLVMTypeRef overloads[] = {vector, m->e->ptr};
    LLVMValueRef args[] = {pointer, LLVMConstInt(m->e->i32, (unsigned)dtype_bytes(s.memory), 0),
                           first_lanes(m, count), LLVMConstNull(vector)};
    unsigned id = LLVMLookupIntrinsicID("llvm.masked.load", 16);
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(m->e->module, id, overloads, 2);
    return to_register(
        m, s,
        LLVMBuildCall2(m->e->b, LLVMIntrinsicGetType(m->e->context, id, overloads, 2), callee, args, 4, ""));
}

/* One element in all lanes. Narrow ones become vectors before they are cast: there is an instruction that
 * broadcasts them from memory, and one that widens lanes; a bf16 is even in place once a lane holds two. */
static LLVMValueRef load_splat(struct micro *m, struct reading s, LLVMValueRef pointer) {
    LLVMValueRef raw = load_of(m, emit_memory_type(m->em, s.memory), s.memory, pointer);
    if (s.memory == m->dtype && s.as == m->dtype)
        return emit_splat(m->em, raw, m->lanes);
    if (s.memory != DTYPE_bf16 || s.as != DTYPE_bf16 || m->dtype != DTYPE_f32)
        return to_register(m, s, emit_splat(m->em, raw, m->lanes));
    LLVMTypeRef words = LLVMVectorType(m->e->i32, (unsigned)m->lanes);
    LLVMValueRef pairs = LLVMBuildBitCast(m->e->b, emit_splat(m->em, raw, 2 * m->lanes), words, "");
    return LLVMBuildBitCast(m->e->b, LLVMBuildShl(m->e->b, pairs, const_like(words, 16), ""), m->vector, "");
}

static LLVMValueRef lane_range(struct micro *m, LLVMValueRef vector, int first, int count) {
    LLVMValueRef lane[64];
    for (int i = 0; i < count; i++)
        lane[i] = LLVMConstInt(m->e->i32, (unsigned)(first + i), 0);
    return LLVMBuildShuffleVector(m->e->b, vector, LLVMGetPoison(LLVMTypeOf(vector)),
                                  LLVMConstVector(lane, (unsigned)count), "");
}

static LLVMValueRef lane_of(struct micro *m, LLVMValueRef vector, int lane) {
    return LLVMBuildExtractElement(m->e->b, vector, LLVMConstInt(m->e->i32, (unsigned)lane, 0), "");
}

/* The first count lanes, in pieces of powers of two: masked stores are microcode on AMD before AVX-512 (42
 * operations on Zen 3), and three plain ones are not. */
static void store_vector(struct micro *m, LLVMValueRef vector, LLVMValueRef pointer, int count) {
    int done = 0;
    for (int piece = m->lanes; piece >= 1; piece /= 2) {
        if (count - done < piece)
            continue;
        LLVMValueRef part =
            piece == m->lanes ? vector
            : piece > 1
                ? lane_range(m, vector, done, piece)
                : LLVMBuildExtractElement(m->e->b, vector, LLVMConstInt(m->e->i32, (unsigned)done, 0), "");
        LLVMSetAlignment(LLVMBuildStore(m->e->b, part, element_at(m, m->dtype, pointer, done)),
                         (unsigned)dtype_bytes(m->dtype));
        done += piece;
    }
}

/* ---- arithmetic ---- */

static LLVMValueRef add(struct micro *m, LLVMValueRef x, LLVMValueRef y) {
    return dtype_is_float(m->dtype) ? LLVMBuildFAdd(m->e->b, x, y, "") : LLVMBuildAdd(m->e->b, x, y, "");
}

static LLVMValueRef multiply_add(struct micro *m, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z) {
    if (!dtype_is_float(m->dtype))
        return LLVMBuildAdd(m->e->b, LLVMBuildMul(m->e->b, x, y, ""), z, "");
    if (!m->e->target->has_fma)
        return LLVMBuildFAdd(m->e->b, LLVMBuildFMul(m->e->b, x, y, ""), z, "");
    LLVMValueRef args[] = {x, y, z};
    return emit_intrinsic(m->e, "llvm.fma", m->vector, args, 3);
}

static LLVMTypeRef pairs_type(struct micro *m) {
    return LLVMVectorType(LLVMBFloatTypeInContext(m->e->context), 2 * (unsigned)m->lanes);
}

/* Words of two bf16, as they are packed for OUTER. */
static LLVMValueRef load_words(struct micro *m, LLVMValueRef pointer, int count) {
    LLVMTypeRef words = LLVMVectorType(m->e->i32, (unsigned)m->lanes);
    if (count == m->lanes)
        return LLVMBuildBitCast(m->e->b, load_of(m, words, DTYPE_i32, pointer), pairs_type(m), "");
    LLVMValueRef args[] = {pointer, LLVMConstInt(m->e->i32, 4, 0), first_lanes(m, count),
                           LLVMConstNull(words)};
    LLVMValueRef some = emit_intrinsic2(m->e, "llvm.masked.load", words, m->e->ptr, args, 4);
    return LLVMBuildBitCast(m->e->b, some, pairs_type(m), "");
}

static LLVMValueRef splat_word(struct micro *m, LLVMValueRef pointer) {
    LLVMValueRef word = load_of(m, m->e->i32, DTYPE_bf16, pointer);
    return LLVMBuildBitCast(m->e->b, emit_splat(m->em, word, m->lanes), pairs_type(m), "");
}

/* 2 * VL elements of bf16, those behind count zero. */
static LLVMValueRef load_pairs(struct micro *m, LLVMValueRef pointer, int count) {
    LLVMTypeRef i16 = LLVMIntTypeInContext(m->e->context, 16);
    LLVMTypeRef raw = LLVMVectorType(i16, 2 * (unsigned)m->lanes);
    LLVMTypeRef pairs = pairs_type(m);
    LLVMValueRef mask[128];
    if (count == 2 * m->lanes)
        return LLVMBuildBitCast(m->e->b, load_of(m, raw, DTYPE_bf16, pointer), pairs, "");
    for (int i = 0; i < 2 * m->lanes; i++)
        mask[i] = LLVMConstInt(m->e->i1, i < count, 0);
    LLVMValueRef args[] = {pointer, LLVMConstInt(m->e->i32, 2, 0),
                           LLVMConstVector(mask, 2 * (unsigned)m->lanes), LLVMConstNull(raw)};
    LLVMValueRef some = emit_intrinsic2(m->e, "llvm.masked.load", raw, m->e->ptr, args, 4);
    return LLVMBuildBitCast(m->e->b, some, pairs, "");
}

/* The first of each pair, or the second, as f32. */
static LLVMValueRef of_pairs(struct micro *m, LLVMValueRef x, bool second) {
    LLVMTypeRef words = LLVMVectorType(m->e->i32, (unsigned)m->lanes);
    LLVMValueRef bits = LLVMBuildBitCast(m->e->b, x, words, "");
    bits = second ? LLVMBuildAnd(m->e->b, bits, const_like(words, 0xffff0000), "")
                  : LLVMBuildShl(m->e->b, bits, const_like(words, 16), "");
    return LLVMBuildBitCast(m->e->b, bits, m->vector, "");
}

/* z + x[2i] * y[2i] + x[2i + 1] * y[2i + 1] in each lane i, by vdpbf16ps; for tests on a machine without it,
 * by two multiply-adds. */
static LLVMValueRef pairs_add(struct micro *m, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z) {
    if (!feature_is_listed(m->e->target->needs, "+avx512bf16"))
        return multiply_add(m, of_pairs(m, x, true), of_pairs(m, y, true),
                            multiply_add(m, of_pairs(m, x, false), of_pairs(m, y, false), z));
    const char *name = "llvm.x86.avx512bf16.dpbf16ps.512";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef args[] = {z, x, y}, callee = LLVMGetIntrinsicDeclaration(m->e->module, id, NULL, 0);
    return LLVMBuildCall2(m->e->b, LLVMIntrinsicGetType(m->e->context, id, NULL, 0), callee, args, 3, "");
}

static LLVMValueRef b_pointer(struct micro *m, const struct cursor *at, int column) {
    if (m->pointers > 1)
        return element_at(m, m->tile->b->dtype, at->b[column], at->b_offset);
    int64_t distance = m->tile->kind == TILE_INNER ? m->tile->b_n : m->lanes;
    return element_at(m, m->tile->b->dtype, at->b[0], at->b_offset + column * distance);
}

/* One step of k: a vector or broadcast of each row of A, a vector of each column of B, all their products.
 * With rows
 * <= columns A's vectors of INNER are the ones kept, so that the others can be memory operands. */
static int lanes_of(const struct micro *m, int vector);

static void emit_pairs(struct micro *m, const struct cursor *at, int count) {
    bool in_words = m->tile->kind == TILE_OUTER;
    LLVMValueRef b[MAX_ACCUMULATORS];
    for (int j = 0; j < m->columns; j++) {
        LLVMValueRef pointer = b_pointer(m, at, j);
        b[j] = in_words ? load_words(m, pointer, lanes_of(m, j)) : load_pairs(m, pointer, count);
    }
    for (int i = 0; i < m->tile->rows; i++) {
        LLVMValueRef pointer = element_at(m, m->tile->a->dtype, at->a, at->a_offset + i * m->tile->a_m);
        LLVMValueRef a = in_words ? splat_word(m, pointer) : load_pairs(m, pointer, count);
        for (int j = 0; j < m->columns; j++)
            m->acc[i * m->columns + j] = pairs_add(m, a, b[j], m->acc[i * m->columns + j]);
    }
}

/* A's vectors stay in registers, those of B come one by one: 3 x 4 sums, 3 and 1 are the 16 registers of
 * AVX2. */
static void emit_inner_step(struct micro *m, const struct cursor *at, int count) {
    const struct tile *t = m->tile;
    LLVMValueRef a[MAX_ACCUMULATORS];
    for (int i = 0; i < t->rows; i++)
        a[i] =
            load_vector(m, reading_a(m), element_at(m, t->a->dtype, at->a, at->a_offset + i * t->a_m), count);
    for (int j = 0; j < m->columns; j++) {
        LLVMValueRef b = load_vector(m, reading_b(m), b_pointer(m, at, j), count);
        for (int i = 0; i < t->rows; i++) {
            LLVMValueRef *acc = &m->acc[i * m->columns + j];
            *acc = multiply_add(m, a[i], b, *acc);
        }
    }
}

static void emit_step(struct micro *m, const struct cursor *at, int count) {
    const struct tile *t = m->tile;
    LLVMValueRef b[MAX_ACCUMULATORS];
    if (t->pairs) {
        emit_pairs(m, at, count);
        return;
    }
    if (t->kind == TILE_INNER) {
        emit_inner_step(m, at, count);
        return;
    }
    for (int j = 0; j < m->columns; j++)
        b[j] = load_vector(m, reading_b(m), b_pointer(m, at, j),
                           j == m->columns - 1 && m->partial ? m->partial : count);
    for (int i = 0; i < t->rows; i++) {
        LLVMValueRef pointer = element_at(m, t->a->dtype, at->a, at->a_offset + i * t->a_m);
        LLVMValueRef a = load_splat(m, reading_a(m), pointer);
        for (int j = 0; j < m->columns; j++) {
            LLVMValueRef *acc = &m->acc[i * m->columns + j];
            *acc = multiply_add(m, a, b[j], *acc);
        }
    }
}

/* ---- the levels of k ---- */

static bool is_unrolled(const struct micro *m, int level) {
    int64_t work = m->tile->rows * m->columns;
    for (int i = m->tile->level_count - 1; i >= level; i--) {
        const struct loop_expr *count = m->tile->levels[i].count;
        if (count->kind != LEXPR_INT || (work *= count->i) > UNROLL_LIMIT)
            return false;
    }
    return true;
}

static LLVMBasicBlockRef here(const struct micro *m) {
    return LLVMGetInsertBlock(m->e->b);
}

static LLVMValueRef phi_of(struct micro *m, LLVMValueRef first, LLVMBasicBlockRef from) {
    LLVMValueRef phi = LLVMBuildPhi(m->e->b, LLVMTypeOf(first), "");
    LLVMAddIncoming(phi, &first, &from, 1);
    return phi;
}

static void phi_add(LLVMValueRef phi, LLVMValueRef value, LLVMBasicBlockRef from) {
    LLVMAddIncoming(phi, &value, &from, 1);
}

static void emit_levels(struct micro *m, int level, struct cursor at);
static void emit_turns(struct micro *m, int level, const struct cursor *at, int64_t count);
static int64_t turns_a_block(const struct micro *m, int level);

static void emit_loop(struct micro *m, int level, const struct cursor *at) {
    const struct tile_level *l = &m->tile->levels[level];
    LLVMBuilderRef b = m->e->b;
    int acc_count = m->tile->rows * m->columns;
    bool may_be_empty = l->count->min < 1;
    LLVMValueRef zero = emit_i64(m->em, 0), before[MAX_ACCUMULATORS], acc[MAX_ACCUMULATORS];
    LLVMBasicBlockRef entry = here(m), body = emit_block(m->em, "k"), exit = emit_block(m->em, "k.end");
    if (may_be_empty)
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSGT, m->counts[level], zero, ""), body, exit);
    else
        LLVMBuildBr(b, body);

    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef turn = phi_of(m, zero, entry);
    struct cursor inner = {.a = phi_of(m, at->a, entry), .a_offset = at->a_offset, .b_offset = at->b_offset};
    for (int j = 0; j < m->pointers; j++)
        inner.b[j] = phi_of(m, at->b[j], entry);
    for (int i = 0; i < acc_count; i++) {
        before[i] = m->acc[i];
        m->acc[i] = acc[i] = phi_of(m, m->acc[i], entry);
    }
    int64_t turns = turns_a_block(m, level);
    emit_turns(m, level, &inner, turns);

    LLVMBasicBlockRef latch = here(m);
    LLVMValueRef next = LLVMBuildAdd(b, turn, emit_i64(m->em, turns), "");
    phi_add(turn, next, latch);
    phi_add(inner.a, element_at(m, m->tile->a->dtype, inner.a, turns * l->a), latch);
    for (int j = 0; j < m->pointers; j++)
        phi_add(inner.b[j], element_at(m, m->tile->b->dtype, inner.b[j], turns * l->b), latch);
    for (int i = 0; i < acc_count; i++)
        phi_add(acc[i], m->acc[i], latch);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, m->counts[level], ""), body, exit);

    LLVMPositionBuilderAtEnd(b, exit);
    for (int i = 0; may_be_empty && i < acc_count; i++) {
        LLVMValueRef merged = phi_of(m, before[i], entry);
        phi_add(merged, m->acc[i], latch);
        m->acc[i] = merged;
    }
}

/* Turns of a constant count that one block of code may hold: the count's greatest divisor within the limit.
 */
static int64_t turns_a_block(const struct micro *m, int level) {
    const struct loop_expr *count = m->tile->levels[level].count;
    if (level + 1 < m->tile->level_count || count->kind != LEXPR_INT)
        return 1;
    int64_t most = UNROLL_LIMIT / (m->tile->rows * m->columns);
    for (int64_t n = most < count->i ? most : count->i; n > 1; n--)
        if (count->i % n == 0)
            return n;
    return 1;
}

static void emit_turns(struct micro *m, int level, const struct cursor *at, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        struct cursor turn = *at;
        turn.a_offset += i * m->tile->levels[level].a;
        turn.b_offset += i * m->tile->levels[level].b;
        emit_levels(m, level + 1, turn);
    }
}

static void emit_levels(struct micro *m, int level, struct cursor at) {
    if (level == m->tile->level_count)
        emit_step(m, &at, m->tile->pairs ? 2 * m->lanes : m->lanes);
    else if (is_unrolled(m, level))
        emit_turns(m, level, &at, m->tile->levels[level].count->i);
    else
        emit_loop(m, level, &at);
}

/* ---- accumulators to and from C ---- */

static int lanes_of(const struct micro *m, int vector) {
    return vector == m->columns - 1 && m->partial ? m->partial : m->lanes;
}

static LLVMValueRef c_vector(struct micro *m, int row, int vector) {
    return element_at(m, m->dtype, m->c[vector], row * m->tile->c_m);
}

static void load_accumulators(struct micro *m) {
    for (int i = 0; i < m->tile->rows; i++)
        for (int j = 0; j < m->columns; j++)
            m->acc[i * m->columns + j] = load_vector(m, reading_c(m), c_vector(m, i, j), lanes_of(m, j));
}

static void clear_accumulators(struct micro *m) {
    for (int i = 0; i < m->tile->rows * m->columns; i++)
        m->acc[i] = LLVMConstNull(m->vector);
}

/* True or false for good, or a branch. */
static void start_accumulators(struct micro *m, LLVMValueRef accumulate) {
    clear_accumulators(m);
    if (!accumulate || m->tile->kind == TILE_INNER)
        return;
    if (LLVMIsConstant(accumulate)) {
        if (LLVMConstIntGetZExtValue(accumulate))
            load_accumulators(m);
        return;
    }
    LLVMBasicBlockRef entry = here(m), old = emit_block(m->em, "old"), start = emit_block(m->em, "start");
    LLVMBuildCondBr(m->e->b, accumulate, old, start);
    LLVMPositionBuilderAtEnd(m->e->b, old);
    load_accumulators(m);
    LLVMBuildBr(m->e->b, start);
    LLVMPositionBuilderAtEnd(m->e->b, start);
    for (int i = 0; i < m->tile->rows * m->columns; i++) {
        LLVMValueRef phi = phi_of(m, LLVMConstNull(m->vector), entry);
        phi_add(phi, m->acc[i], old);
        m->acc[i] = phi;
    }
}

static void store_accumulators(struct micro *m) {
    for (int i = 0; i < m->tile->rows; i++)
        for (int j = 0; j < m->columns; j++)
            store_vector(m, m->acc[i * m->columns + j], c_vector(m, i, j), lanes_of(m, j));
}

/* The statements behind one finished vector: row `row` of the tile, lanes from `column`. */
static void emit_finished(struct micro *m, LLVMValueRef vector, int row, int column, int count) {
    const struct tile *t = m->tile;
    emit_lanes_begin(m->em, t->column, emit_i64(m->em, column), m->lanes,
                     count < m->lanes ? first_lanes(m, count) : NULL);
    m->em->lanes.active = count;
    emit_bind(m->em, t->row, emit_i64(m->em, row));
    emit_bind(m->em, t->finished, vector);
    emit_statements(m->em, t->epilogue);
    emit_lanes_end(m->em);
}

static void emit_epilogue(struct micro *m) {
    for (int i = 0; i < m->tile->rows; i++)
        for (int j = 0; j < m->columns; j++)
            emit_finished(m, m->acc[i * m->columns + j], i, j * m->lanes, lanes_of(m, j));
}

static void finish_outer(struct micro *m, LLVMValueRef last) {
    if (!m->tile->epilogue) {
        store_accumulators(m);
        return;
    }
    if (!last) {
        emit_epilogue(m);
        return;
    }
    LLVMBasicBlockRef now = emit_block(m->em, "last"), later = emit_block(m->em, "later"),
                      end = emit_block(m->em, "tile.end");
    LLVMBuildCondBr(m->e->b, last, now, later);
    LLVMPositionBuilderAtEnd(m->e->b, later);
    store_accumulators(m);
    LLVMBuildBr(m->e->b, end);
    LLVMPositionBuilderAtEnd(m->e->b, now);
    emit_scope_push(m->em);
    emit_epilogue(m);
    emit_scope_pop(m->em);
    LLVMBuildBr(m->e->b, end);
    LLVMPositionBuilderAtEnd(m->e->b, end);
}

/* ---- INNER: sums over lanes ---- */

static LLVMValueRef shuffle(struct micro *m, LLVMValueRef x, LLVMValueRef y, const int *lane, int count) {
    LLVMValueRef mask[64];
    for (int i = 0; i < count; i++)
        mask[i] = LLVMConstInt(m->e->i32, (unsigned)lane[i], 0);
    return LLVMBuildShuffleVector(m->e->b, x, y, LLVMConstVector(mask, (unsigned)count), "");
}

/* Sums of neighbours of x and y, in each four lanes (x0 + x1, x2 + x3, y0 + y1, y2 + y3): x86's haddps. */
static LLVMValueRef add_pairs(struct micro *m, LLVMValueRef x, LLVMValueRef y) {
    int even[64], odd[64];
    for (int i = 0; i < m->lanes; i++) {
        even[i] = (i / 4) * 4 + (i % 2) * 2 + (i % 4 < 2 ? 0 : m->lanes);
        odd[i] = even[i] + 1;
    }
    return add(m, shuffle(m, x, y, even, m->lanes), shuffle(m, x, y, odd, m->lanes));
}

/* The sums of four accumulators' lanes, in a tree of neighbours. */
static void add_lanes(struct micro *m, const LLVMValueRef *x, LLVMValueRef *sums) {
    if (m->lanes == 2) {
        for (int i = 0; i < 4; i++)
            sums[i] = add(m, lane_of(m, x[i], 0), lane_of(m, x[i], 1));
        return;
    }
    LLVMValueRef all = add_pairs(m, add_pairs(m, x[0], x[1]), add_pairs(m, x[2], x[3]));
    for (int width = m->lanes; width > 4; width /= 2)
        all = add(m, lane_range(m, all, 0, width / 2), lane_range(m, all, width / 2, width / 2));
    for (int i = 0; i < 4; i++)
        sums[i] = lane_of(m, all, i);
}

static void add_to_c(struct micro *m, LLVMValueRef sum, LLVMValueRef pointer, LLVMValueRef accumulate) {
    if (accumulate) {
        LLVMValueRef old = load_of(m, m->element, m->dtype, pointer);
        /* Selected behind the sum: what C holds before the first store may be anything. */
        sum = LLVMBuildSelect(m->e->b, accumulate, add(m, old, sum), sum, "");
    }
    LLVMSetAlignment(LLVMBuildStore(m->e->b, sum, pointer), (unsigned)dtype_bytes(m->dtype));
}

static void finish_inner(struct micro *m, LLVMValueRef accumulate) {
    const struct tile *t = m->tile;
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < m->columns; j += 4) {
            LLVMValueRef four[4];
            for (int k = 0; k < 4; k++)
                four[k] = j + k < m->columns ? m->acc[i * m->columns + j + k] : LLVMConstNull(m->vector);
            LLVMValueRef sums[4];
            add_lanes(m, four, sums);
            for (int k = 0; k < 4 && j + k < m->columns; k++)
                add_to_c(m, sums[k], element_at(m, m->dtype, m->c[0], i * t->c_m + (j + k) * t->c_n),
                         accumulate);
        }
}

/* ---- TRANSPOSE ---- */

/* Interleaves pairs of vectors that stand `distance` apart, in pieces of `unit` lanes within blocks of 2 *
 * unit (high: from the upper halves), which x86 does with unpack, movlhps and perm2f128. */
static LLVMValueRef interleave(struct micro *m, LLVMValueRef x, LLVMValueRef y, int unit, int block,
                               int high) {
    int lane[64];
    for (int i = 0; i < m->lanes; i++) {
        int in_block = i % block, piece = in_block / unit;
        int source = (i / block) * block + (piece / 2) * unit + in_block % unit + (high ? block / 2 : 0);
        lane[i] = source + (piece % 2 ? m->lanes : 0);
    }
    return shuffle(m, x, y, lane, m->lanes);
}

/* One stage over all vectors: those whose indices differ in bit `distance` exchange halves. */
static void exchange(struct micro *m, LLVMValueRef *v, int distance, int unit, int block) {
    for (int i = 0; i < m->lanes; i++) {
        if (i & distance)
            continue;
        LLVMValueRef x = v[i], y = v[i + distance];
        v[i] = interleave(m, x, y, unit, block, 0);
        v[i + distance] = interleave(m, x, y, unit, block, 1);
    }
}

/* Within groups of four lanes and vectors: interleave neighbours' elements, then pairs. The two stages leave
 * vectors 1 and 2 of each four exchanged. Beyond, blocks of 4, 8 .. lanes change places as wholes. */
static void transpose_vectors(struct micro *m, LLVMValueRef *v) {
    if (m->lanes == 2) {
        exchange(m, v, 1, 1, 2);
        return;
    }
    exchange(m, v, 1, 1, 4);
    exchange(m, v, 2, 2, 4);
    for (int i = 0; i < m->lanes; i += 4) {
        LLVMValueRef t = v[i + 1];
        v[i + 1] = v[i + 2];
        v[i + 2] = t;
    }
    for (int d = 4; d < m->lanes; d *= 2)
        exchange(m, v, d, d, 2 * d);
}

static void emit_transpose(struct micro *m, LLVMValueRef a) {
    const struct tile *t = m->tile;
    LLVMValueRef v[64];
    for (int i = 0; i < m->lanes; i++)
        v[i] = i < t->rows
                   ? load_vector(m, reading_a(m), element_at(m, t->a->dtype, a, i * t->a_m), t->columns)
                   : LLVMConstNull(m->vector);
    transpose_vectors(m, v);
    for (int j = 0; j < t->columns; j++) {
        if (t->epilogue)
            emit_finished(m, v[j], j, 0, t->rows);
        else
            store_vector(m, v[j], element_at(m, m->dtype, m->c[0], j * t->c_m),
                         t->c_full ? m->lanes : t->rows);
    }
}

static void emit_copy(struct micro *m, LLVMValueRef a) {
    const struct tile *t = m->tile;
    for (int i = 0; i < t->rows; i++)
        for (int n = 0; n < t->columns; n += m->lanes) {
            int count = t->columns - n < m->lanes ? t->columns - n : m->lanes;
            LLVMValueRef v =
                load_vector(m, reading_a(m), element_at(m, t->a->dtype, a, i * t->a_m + n), count);
            store_vector(m, v, element_at(m, m->dtype, m->c[0], i * t->c_m + n), count);
        }
}

/* ---- the door ---- */

static LLVMValueRef place(struct micro *m, struct buffer *buffer, const struct loop_expr *index) {
    return emit_element(m->em, buffer, emit_scalar(m->em, index));
}

/* Pointers to the vectors of B or C; those without an index of their own stand behind the first. */
static int places(struct micro *m, struct buffer *buffer, const struct loop_expr *const *index,
                  LLVMValueRef *out) {
    int own = 1;
    out[0] = place(m, buffer, index[0]);
    for (int v = 1; v < m->vectors; v++) {
        own += index[v] != NULL;
        out[v] = index[v] ? place(m, buffer, index[v]) : element_at(m, buffer->dtype, out[0], v * m->lanes);
    }
    return own;
}

static void emit_product(struct micro *m, LLVMValueRef a) {
    const struct tile *t = m->tile;
    struct cursor at = {.a = a};
    int own = places(m, t->b, t->b_index, at.b);
    m->pointers = own > 1 ? m->vectors : 1;
    for (int i = 0; i < t->level_count; i++)
        m->counts[i] = emit_scalar(m->em, t->levels[i].count);
    LLVMValueRef accumulate = t->accumulate ? emit_scalar(m->em, t->accumulate) : NULL;
    LLVMValueRef last = t->last ? emit_scalar(m->em, t->last) : NULL;

    start_accumulators(m, accumulate);
    emit_levels(m, 0, at);
    if (t->tail) { /* INNER has one level where it has a tail */
        const struct tile_level *l = &t->levels[0];
        struct cursor end = {
            .a_offset = l->count->i * l->a, .b_offset = l->count->i * l->b, .a = at.a, .b = {at.b[0]}};
        emit_step(m, &end, t->tail);
    }
    if (t->kind == TILE_INNER)
        finish_inner(m, accumulate);
    else
        finish_outer(m, last);
}

void emit_tile(struct emission *em, const struct loop_stmt *stmt) {
    const struct tile *t = stmt->tile;
    struct emitter *e = emission_emitter(em);
    struct micro m = {.em = em, .e = e, .tile = t, .dtype = tile_dtype(t)};
    m.element = emit_memory_type(em, m.dtype);
    m.lanes = target_lanes(e->target, dtype_bytes(m.dtype));
    m.vector = LLVMVectorType(m.element, (unsigned)m.lanes);
    bool is_product = t->kind == TILE_OUTER || t->kind == TILE_INNER;
    m.vectors = t->kind == TILE_OUTER ? (t->columns + m.lanes - 1) / m.lanes : 1;
    m.columns = t->kind == TILE_OUTER ? m.vectors : t->columns;
    m.partial = t->kind == TILE_OUTER ? t->columns % m.lanes : 0;
    assert(!is_product || t->rows * m.columns <= MAX_ACCUMULATORS);
    LLVMValueRef a = place(&m, t->a, t->a_index);
    places(&m, t->c, t->c_index, m.c);
    if (is_product)
        emit_product(&m, a);
    else if (t->kind == TILE_TRANSPOSE)
        emit_transpose(&m, a);
    else
        emit_copy(&m, a);
}
