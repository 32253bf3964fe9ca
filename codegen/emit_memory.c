/* codegen/emit_memory.c: elements between memory and registers. In lanes, a load whose index moves by 1 is a
 * vector load; by another constant, a few vector loads and a shuffle, or one load a lane; by 0, a splat. */
#include "codegen/emission.h"

#include <string.h>

static bool is_memory_wide(const struct emission *em, enum dtype dtype) {
    return dtype_bytes(dtype) >= 4 || em->e->target->vector_bits >= 512;
}

/* ---- dtypes whose registers differ from memory ---- */

static LLVMValueRef bf16_to_float(struct emitter *e, LLVMValueRef raw) {
    LLVMTypeRef shape = LLVMTypeOf(raw), wide = type_like(e->i32, shape);
    LLVMValueRef bits = LLVMBuildShl(e->b, LLVMBuildZExt(e->b, raw, wide, ""), const_like(wide, 16), "");
    return LLVMBuildBitCast(e->b, bits, type_like(e->f32, shape), "");
}

/* To nearest, ties to even: adds half of the last place, less one where the kept part is even. NaN keeps its
 * top bits and becomes quiet. */
static LLVMValueRef rounded_bits(struct emitter *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef shape = LLVMTypeOf(x), wide = type_like(e->i32, shape);
    LLVMValueRef bits = LLVMBuildBitCast(b, x, wide, ""), sixteen = const_like(wide, 16);
    LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, sixteen, ""), const_like(wide, 1), "");
    LLVMValueRef sum = LLVMBuildAdd(b, LLVMBuildAdd(b, bits, const_like(wide, 0x7fff), ""), odd, "");
    LLVMValueRef quiet = LLVMBuildOr(b, bits, const_like(wide, 0x400000), "");
    LLVMValueRef is_nan = LLVMBuildFCmp(b, LLVMRealUNO, x, x, "");
    return LLVMBuildSelect(b, is_nan, quiet, sum, "");
}

static LLVMValueRef float_to_bf16(struct emitter *e, LLVMValueRef x) {
    LLVMTypeRef i16 = LLVMIntTypeInContext(e->context, 16);
    LLVMValueRef bits = rounded_bits(e, x);
    LLVMValueRef kept = LLVMBuildLShr(e->b, bits, const_like(LLVMTypeOf(bits), 16), "");
    return LLVMBuildTrunc(e->b, kept, type_like(i16, LLVMTypeOf(x)), "");
}

LLVMValueRef emit_round_bf16(struct emitter *e, LLVMValueRef x) {
    LLVMValueRef bits = rounded_bits(e, x), high = const_like(LLVMTypeOf(bits), 0xffff0000);
    return LLVMBuildBitCast(e->b, LLVMBuildAnd(e->b, bits, high, ""), LLVMTypeOf(x), "");
}

/* x86 before AVX2 may lack F16C (vcvtph2ps), and then LLVM calls a function that nobody links: integers do
 * it. The exponent is moved by a multiplication, which also makes subnormals right (Giesen, "half to float
 * done quick"). */
static LLVMValueRef half_to_float(struct emitter *e, LLVMValueRef raw) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef shape = LLVMTypeOf(raw), wide = type_like(e->i32, shape), floats = type_like(e->f32, shape);
    LLVMTypeRef halves = type_like(LLVMHalfTypeInContext(e->context), shape);
    if (e->target->has_half)
        return LLVMBuildFPExt(b, LLVMBuildBitCast(b, raw, halves, ""), floats, "");
    LLVMValueRef h = LLVMBuildZExt(b, raw, wide, "");
    LLVMValueRef magnitude =
        LLVMBuildShl(b, LLVMBuildAnd(b, h, const_like(wide, 0x7fff), ""), const_like(wide, 13), "");
    LLVMValueRef scaled =
        LLVMBuildFMul(b, LLVMBuildBitCast(b, magnitude, floats, ""), const_like(floats, 0x1p112), "");
    LLVMValueRef bits = LLVMBuildBitCast(b, scaled, wide, "");
    LLVMValueRef is_special = LLVMBuildICmp(b, LLVMIntUGE, magnitude, const_like(wide, 0x7c00 << 13), "");
    LLVMValueRef special = LLVMBuildOr(b, magnitude, const_like(wide, 0x7f800000), "");
    bits = LLVMBuildSelect(b, is_special, special, bits, "");
    LLVMValueRef sign =
        LLVMBuildShl(b, LLVMBuildAnd(b, h, const_like(wide, 0x8000), ""), const_like(wide, 16), "");
    return LLVMBuildBitCast(b, LLVMBuildOr(b, bits, sign, ""), floats, "");
}

/* The other way: normal results by integer rounding, subnormal ones by adding a number whose last place is
 * theirs. */
static LLVMValueRef float_to_half(struct emitter *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef shape = LLVMTypeOf(x), wide = type_like(e->i32, shape), floats = type_like(e->f32, shape);
    LLVMTypeRef i16 = LLVMIntTypeInContext(e->context, 16);
    LLVMTypeRef halves = type_like(LLVMHalfTypeInContext(e->context), shape);
    if (e->target->has_half)
        return LLVMBuildBitCast(b, LLVMBuildFPTrunc(b, x, halves, ""), type_like(i16, shape), "");
    LLVMValueRef bits = LLVMBuildBitCast(b, x, wide, "");
    LLVMValueRef sign =
        LLVMBuildAnd(b, LLVMBuildLShr(b, bits, const_like(wide, 16), ""), const_like(wide, 0x8000), "");
    LLVMValueRef m = LLVMBuildAnd(b, bits, const_like(wide, 0x7fffffff), "");
    LLVMValueRef odd =
        LLVMBuildAnd(b, LLVMBuildLShr(b, m, const_like(wide, 13), ""), const_like(wide, 1), "");
    LLVMValueRef bias = const_like(wide, 0xfff - (112 << 23));
    LLVMValueRef normal =
        LLVMBuildLShr(b, LLVMBuildAdd(b, LLVMBuildAdd(b, m, bias, ""), odd, ""), const_like(wide, 13), "");
    LLVMValueRef magic = const_like(floats, 0.5); /* its last place is 2^-24, half's smallest number */
    LLVMValueRef sum = LLVMBuildFAdd(b, LLVMBuildBitCast(b, m, floats, ""), magic, "");
    LLVMValueRef tiny =
        LLVMBuildSub(b, LLVMBuildBitCast(b, sum, wide, ""), LLVMBuildBitCast(b, magic, wide, ""), "");
    LLVMValueRef r = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntULT, m, const_like(wide, 113 << 23), ""),
                                     tiny, normal, "");
    LLVMValueRef too_big = LLVMBuildICmp(b, LLVMIntUGE, m, const_like(wide, 143 << 23), "");
    r = LLVMBuildSelect(b, too_big, const_like(wide, 0x7c00), r, "");
    LLVMValueRef is_nan = LLVMBuildFCmp(b, LLVMRealUNO, x, x, "");
    r = LLVMBuildSelect(b, is_nan, const_like(wide, 0x7e00), r, "");
    return LLVMBuildTrunc(b, LLVMBuildOr(b, r, sign, ""), type_like(i16, shape), "");
}

LLVMValueRef emit_from_memory(struct emitter *e, enum dtype dtype, LLVMValueRef raw) {
    if (dtype == DTYPE_bool)
        return LLVMBuildICmp(e->b, LLVMIntNE, raw, LLVMConstNull(LLVMTypeOf(raw)), "");
    if (dtype == DTYPE_bf16)
        return bf16_to_float(e, raw);
    if (dtype == DTYPE_f16)
        return half_to_float(e, raw);
    return raw;
}

LLVMValueRef emit_to_memory(struct emitter *e, enum dtype dtype, LLVMValueRef value) {
    if (dtype == DTYPE_bool)
        return LLVMBuildZExt(e->b, value, type_like(e->i8, LLVMTypeOf(value)), "");
    if (dtype == DTYPE_bf16)
        return float_to_bf16(e, value);
    if (dtype == DTYPE_f16)
        return float_to_half(e, value);
    return value;
}

/* ---- addresses ---- */

static LLVMValueRef load_constant_bytes(struct emission *em, const struct buffer *buffer) {
    size_t size = (size_t)buffer->elements * (size_t)dtype_bytes(buffer->dtype);
    LLVMValueRef bytes = LLVMConstStringInContext(em->e->context, buffer->bytes, (unsigned)size, true);
    LLVMValueRef global = LLVMAddGlobal(em->e->module, LLVMTypeOf(bytes), "data");
    LLVMSetInitializer(global, bytes);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetAlignment(global, 64);
    return global;
}

static LLVMValueRef pointer_in_data(struct emission *em, int slot) {
    LLVMValueRef index = emit_i64(em, slot);
    LLVMValueRef place = LLVMBuildGEP2(em->e->b, em->e->ptr, em->data, &index, 1, "");
    return LLVMBuildLoad2(em->e->b, em->e->ptr, place, "");
}

static LLVMValueRef buffer_pointer(struct emission *em, const struct buffer *buffer) {
    struct emitter *e = em->e;
    if (buffer->space == SPACE_ARGUMENT)
        return pointer_in_data(em, buffer->argument);
    if (buffer->space == SPACE_CONSTANT)
        return load_constant_bytes(em, buffer);
    if (buffer->space == SPACE_STACK) {
        LLVMTypeRef type = LLVMArrayType2(emit_memory_type(em, buffer->dtype), (uint64_t)buffer->elements);
        LLVMValueRef array = LLVMBuildAlloca(e->b, type, buffer->name);
        LLVMSetAlignment(array, 64);
        return array;
    }
    static const int slots[] = {
        [SPACE_SHARED] = DATA_SHARED, [SPACE_WORKER] = DATA_WORKERS, [SPACE_PACKED] = DATA_PACKED};
    LLVMValueRef base = pointer_in_data(em, em->argument_count + slots[buffer->space]);
    LLVMValueRef offset = emit_i64(em, buffer->offset);
    if (buffer->space == SPACE_WORKER) {
        LLVMValueRef worker = em->bindings[em->function->worker->id].value;
        LLVMValueRef mine = LLVMBuildMul(e->b, worker, emit_i64(em, em->worker_bytes), "");
        offset = LLVMBuildAdd(e->b, mine, offset, "");
    }
    return LLVMBuildGEP2(e->b, e->i8, base, &offset, 1, "");
}

LLVMValueRef emit_buffer(struct emission *em, struct buffer *buffer) {
    int position = 0;
    while (em->function->buffers.at[position] != buffer)
        position++;
    if (!em->buffers[position]) {
        LLVMBasicBlockRef here = LLVMGetInsertBlock(em->e->b);
        LLVMPositionBuilderBefore(em->e->b, em->entry_end);
        em->buffers[position] = buffer_pointer(em, buffer);
        LLVMPositionBuilderAtEnd(em->e->b, here);
    }
    return em->buffers[position];
}

LLVMValueRef emit_element(struct emission *em, struct buffer *buffer, LLVMValueRef index) {
    return LLVMBuildGEP2(em->e->b, emit_memory_type(em, buffer->dtype), emit_buffer(em, buffer), &index, 1,
                         "");
}

/* ---- loads ---- */

/* What lanes touch. Where the distances between them are known, `base` is lane 0's index; else each has its
 * own. */
struct access {
    struct buffer *buffer;
    LLVMValueRef base;               /* scalar */
    LLVMValueRef each;               /* vector of indices, or NULL */
    LLVMValueRef mask;               /* lanes that may touch memory, or NULL */
    int lanes, active;               /* the first `active` lanes do, whatever the mask; -1: not known */
    int64_t offsets[128], low, high; /* from lane 0; the least and greatest of active lanes */
};

static LLVMValueRef both_masks(struct emission *em, LLVMValueRef a, LLVMValueRef b) {
    return !a ? b : !b ? a : emit_mask_and(em->e, a, b);
}

static void find_range(struct access *a, int count) {
    for (int i = 0; i < count; i++) {
        a->low = a->offsets[i] < a->low ? a->offsets[i] : a->low;
        a->high = a->offsets[i] > a->high ? a->offsets[i] : a->high;
    }
}

static void access_begin(struct emission *em, struct access *a, struct buffer *buffer,
                         const struct loop_expr *index, LLVMValueRef own_mask) {
    *a = (struct access){.buffer = buffer, .lanes = em->lanes.count};
    a->mask = both_masks(em, own_mask, em->lanes.mask);
    a->active = own_mask ? -1 : em->lanes.active;
    if (!lane_offsets(em, index, a->offsets)) {
        a->each = emit_form(em, index, FORM_VECTOR);
        return;
    }
    a->base = emit_form(em, index, FORM_SCALAR);
    find_range(a, a->active < 0 ? a->lanes : a->active);
}

static bool is_contiguous(const struct access *a) {
    for (int i = 0; i < a->lanes; i++)
        if (a->each || a->offsets[i] != i)
            return false;
    return true;
}

/* Whether two runs of `lanes` elements, from the lowest and up to the highest, hold what the first `count`
 * lanes want. */
static bool fits_two_runs(const struct access *a, int count) {
    if (count < 0 || a->each)
        return false;
    for (int i = 0; i < count; i++)
        if (a->offsets[i] - a->low >= a->lanes && a->high - a->offsets[i] >= a->lanes)
            return false;
    return true;
}

/* All lanes have one mask, and lie in runs that the buffer has room for. */
static bool is_all_or_none(struct emission *em, const struct loop_expr *x) {
    struct access a = {.lanes = em->lanes.count};
    if (!x->mask || em->lanes.mask || expr_facts(em, x->mask)->varies ||
        !lane_offsets(em, x->index, a.offsets))
        return false;
    find_range(&a, a.lanes);
    return fits_two_runs(&a, a.lanes) && x->buffer->elements > a.high - a.low;
}

void prepare_load(struct emission *em, const struct loop_expr *x, enum emit_form form) {
    emit_buffer(em, x->buffer);
    if (x->mask) {
        emit_form(em, x->mask, form == FORM_VECTOR && is_all_or_none(em, x) ? FORM_SCALAR : form);
        emit_form(em, x->otherwise, form);
    }
    int64_t offsets[128];
    bool known = form == FORM_SCALAR || lane_offsets(em, x->index, offsets);
    emit_form(em, x->index, known ? FORM_SCALAR : FORM_VECTOR);
}

static LLVMValueRef load_at(struct emission *em, struct buffer *buffer, LLVMTypeRef type,
                            LLVMValueRef index) {
    LLVMValueRef v = LLVMBuildLoad2(em->e->b, type, emit_element(em, buffer, index), "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(buffer->dtype));
    return v;
}

static LLVMValueRef load_scalar(struct emission *em, const struct loop_expr *x) {
    LLVMBuilderRef b = em->e->b;
    LLVMValueRef index = emit_form(em, x->index, FORM_SCALAR);
    LLVMTypeRef type = emit_memory_type(em, x->dtype);
    if (!x->mask)
        return emit_from_memory(em->e, x->dtype, load_at(em, x->buffer, type, index));
    LLVMValueRef mask = emit_form(em, x->mask, FORM_SCALAR),
                 otherwise = emit_form(em, x->otherwise, FORM_SCALAR);
    if (!x->buffer->elements)
        return otherwise;
    LLVMValueRef safe = LLVMBuildSelect(b, mask, index, emit_i64(em, 0), "");
    LLVMValueRef value = emit_from_memory(em->e, x->dtype, load_at(em, x->buffer, type, safe));
    return LLVMBuildSelect(b, mask, value, otherwise, "");
}

static LLVMValueRef load_masked(struct emission *em, const struct access *a) {
    struct emitter *e = em->e;
    LLVMTypeRef type = LLVMVectorType(emit_memory_type(em, a->buffer->dtype), (unsigned)a->lanes);
    LLVMValueRef args[] = {emit_element(em, a->buffer, a->base),
                           LLVMConstInt(e->i32, (unsigned)dtype_bytes(a->buffer->dtype), false), a->mask,
                           LLVMConstNull(type)};
    return emit_intrinsic2(e, "llvm.masked.load", type, e->ptr, args, 4);
}

/* `count` elements from `offset` behind lane 0's index. */
static LLVMValueRef load_run(struct emission *em, const struct access *a, int64_t offset, int64_t count) {
    LLVMTypeRef type = LLVMVectorType(emit_memory_type(em, a->buffer->dtype), (unsigned)count);
    LLVMValueRef index = offset ? LLVMBuildAdd(em->e->b, a->base, emit_i64(em, offset), "") : a->base;
    return load_at(em, a->buffer, type, index);
}

/* One or two vector loads and a shuffle. Nothing outside of low..high is read. */
static LLVMValueRef load_shuffled(struct emission *em, const struct access *a) {
    int64_t span = a->high - a->low + 1, run = span < a->lanes ? span : a->lanes, second = a->high - run + 1;
    LLVMValueRef low = load_run(em, a, a->low, run), high = low;
    if (second > a->low)
        high = load_run(em, a, second, run);
    LLVMValueRef picks[128];
    for (int i = 0; i < a->lanes; i++) {
        int64_t at = i < a->active ? a->offsets[i] - a->low : 0;
        picks[i] = LLVMConstInt(em->e->i32,
                                (unsigned long long)(at < run ? at : at - (second - a->low) + run), false);
    }
    return LLVMBuildShuffleVector(em->e->b, low, high, LLVMConstVector(picks, (unsigned)a->lanes), "");
}

/* The index of a lane, i64. A lane that may not touch memory gets one that is good to read. */
static LLVMValueRef index_of_lane(struct emission *em, const struct access *a, LLVMValueRef each, int i) {
    LLVMBuilderRef b = em->e->b;
    LLVMValueRef lane = emit_i64(em, i);
    if (each) {
        LLVMValueRef index = LLVMBuildExtractElement(b, each, lane, "");
        return LLVMTypeOf(index) == em->e->i64 ? index : LLVMBuildSExt(b, index, em->e->i64, "");
    }
    LLVMValueRef index = LLVMBuildAdd(b, a->base, emit_i64(em, a->offsets[i]), "");
    if (!a->mask || i < a->active)
        return index;
    LLVMValueRef active = LLVMBuildExtractElement(b, a->mask, lane, "");
    return LLVMBuildSelect(b, active, index, emit_i64(em, 0), "");
}

static LLVMValueRef load_each(struct emission *em, const struct access *a) {
    LLVMBuilderRef b = em->e->b;
    LLVMTypeRef element = emit_memory_type(em, a->buffer->dtype);
    LLVMValueRef v = LLVMGetPoison(LLVMVectorType(element, (unsigned)a->lanes)), each = a->each;
    if (each && a->mask)
        each = LLVMBuildSelect(b, a->mask, each, LLVMConstNull(LLVMTypeOf(each)), "");
    int count = a->active < 0 ? a->lanes : a->active;
    for (int i = 0; i < count; i++) {
        LLVMValueRef one = load_at(em, a->buffer, element, index_of_lane(em, a, each, i));
        v = LLVMBuildInsertElement(b, v, one, emit_i64(em, i), "");
    }
    return v;
}

/* Lanes apart from each other that may touch memory or not, each for itself: as load_shuffled, of runs whose
 * elements have the mask of the lane that wants them. */
static bool fits_masked_runs(const struct access *a) {
    for (int i = 0; i < a->lanes; i++)
        for (int j = 0; j < i; j++)
            if (a->offsets[i] == a->offsets[j])
                return false;
    return a->mask && fits_two_runs(a, a->lanes) && a->high - a->low >= a->lanes;
}

static LLVMValueRef masked_run(struct emission *em, const struct access *a, int64_t first) {
    LLVMValueRef picks[128];
    for (int i = 0; i < a->lanes; i++)
        picks[i] = LLVMConstInt(em->e->i32, (unsigned)a->lanes, false); /* of no lane: false */
    for (int i = 0; i < a->lanes; i++)
        if (a->offsets[i] >= first && a->offsets[i] < first + a->lanes)
            picks[a->offsets[i] - first] = LLVMConstInt(em->e->i32, (unsigned)i, false);
    struct access run = *a;
    run.base = first ? LLVMBuildAdd(em->e->b, a->base, emit_i64(em, first), "") : a->base;
    run.mask = LLVMBuildShuffleVector(em->e->b, a->mask, LLVMConstNull(LLVMTypeOf(a->mask)),
                                      LLVMConstVector(picks, (unsigned)a->lanes), "");
    return load_masked(em, &run);
}

static LLVMValueRef load_masked_runs(struct emission *em, const struct access *a) {
    int64_t second = a->high - a->lanes + 1;
    LLVMValueRef low = masked_run(em, a, a->low), high = masked_run(em, a, second), picks[128];
    for (int i = 0; i < a->lanes; i++) {
        int64_t at = a->offsets[i] - a->low;
        int64_t pick = at < a->lanes ? at : a->offsets[i] - second + a->lanes;
        picks[i] = LLVMConstInt(em->e->i32, (unsigned long long)pick, false);
    }
    return LLVMBuildShuffleVector(em->e->b, low, high, LLVMConstVector(picks, (unsigned)a->lanes), "");
}

/* A mask that is the same for all lanes: elements from the buffer's first on are good to read where it is
 * false.
 */
static LLVMValueRef load_all_or_none(struct emission *em, const struct loop_expr *x) {
    LLVMBuilderRef b = em->e->b;
    struct access a;
    access_begin(em, &a, x->buffer, x->index, NULL);
    LLVMValueRef mask = emit_form(em, x->mask, FORM_SCALAR);
    a.base = LLVMBuildSelect(b, mask, a.base, emit_i64(em, -a.low), "");
    LLVMValueRef raw = is_contiguous(&a) ? load_run(em, &a, 0, a.lanes) : load_shuffled(em, &a);
    LLVMValueRef v = emit_from_memory(em->e, x->dtype, raw);
    return LLVMBuildSelect(b, mask, v, emit_vector(em, x->otherwise), "");
}

static LLVMValueRef load_vector(struct emission *em, const struct loop_expr *x) {
    if (is_all_or_none(em, x))
        return load_all_or_none(em, x);
    LLVMValueRef own = x->mask ? emit_form(em, x->mask, FORM_VECTOR) : NULL;
    LLVMValueRef otherwise = x->mask ? emit_vector(em, x->otherwise) : NULL;
    if (!x->buffer->elements && x->mask)
        return otherwise;
    struct access a;
    access_begin(em, &a, x->buffer, x->index, own);
    bool can_mask = em->e->target->has_masked_memory && is_memory_wide(em, x->dtype);
    LLVMValueRef raw;
    if (is_contiguous(&a) && !a.mask)
        raw = load_run(em, &a, 0, a.lanes);
    else if (is_contiguous(&a) && can_mask)
        raw = load_masked(em, &a);
    else if (fits_two_runs(&a, a.active))
        raw = load_shuffled(em, &a);
    else if (can_mask && !a.each && fits_masked_runs(&a))
        raw = load_masked_runs(em, &a);
    else
        raw = load_each(em, &a);
    LLVMValueRef v = emit_from_memory(em->e, x->dtype, raw);
    return own ? LLVMBuildSelect(em->e->b, own, v, otherwise, "") : v;
}

LLVMValueRef emit_load(struct emission *em, const struct loop_expr *x, enum emit_form form) {
    return form == FORM_SCALAR ? load_scalar(em, x) : load_vector(em, x);
}

/* ---- stores ---- */

static void store_at(struct emission *em, struct buffer *buffer, LLVMValueRef index, LLVMValueRef raw) {
    LLVMValueRef s = LLVMBuildStore(em->e->b, raw, emit_element(em, buffer, index));
    LLVMSetAlignment(s, (unsigned)dtype_bytes(buffer->dtype));
}

/* Runs on where condition holds; the caller continues in the block that follows. */
static void store_if(struct emission *em, struct buffer *buffer, LLVMValueRef index, LLVMValueRef raw,
                     LLVMValueRef condition) {
    LLVMBasicBlockRef then = emit_block(em, "store"), after = emit_block(em, "stored");
    LLVMBuildCondBr(em->e->b, condition, then, after);
    LLVMPositionBuilderAtEnd(em->e->b, then);
    store_at(em, buffer, index, raw);
    LLVMBuildBr(em->e->b, after);
    LLVMPositionBuilderAtEnd(em->e->b, after);
}

/* The value in its form in memory. What is cast to a 16-bit float is rounded here and nowhere else. */
static LLVMValueRef stored_value(struct emission *em, const struct loop_stmt *s, enum emit_form form) {
    enum dtype dtype = s->buffer->dtype;
    const struct loop_expr *x = s->value;
    bool is_narrow = dtype == DTYPE_bf16 || dtype == DTYPE_f16;
    bool is_cast = is_narrow && x->kind == LEXPR_OP && x->code == OP_cast;
    if (is_cast)
        x = x->args[0];
    LLVMValueRef value = form == FORM_VECTOR ? emit_vector(em, x) : emit_scalar(em, x);
    return is_cast ? emit_narrow(em->e, value, x->dtype, dtype) : emit_to_memory(em->e, dtype, value);
}

static void store_scalar(struct emission *em, const struct loop_stmt *s) {
    LLVMValueRef value = stored_value(em, s, FORM_SCALAR);
    LLVMValueRef index = emit_scalar(em, s->index);
    if (s->mask)
        store_if(em, s->buffer, index, value, emit_scalar(em, s->mask));
    else
        store_at(em, s->buffer, index, value);
}

static void store_masked(struct emission *em, const struct access *a, LLVMValueRef raw) {
    struct emitter *e = em->e;
    LLVMValueRef args[] = {raw, emit_element(em, a->buffer, a->base),
                           LLVMConstInt(e->i32, (unsigned)dtype_bytes(a->buffer->dtype), false), a->mask};
    emit_intrinsic2(e, "llvm.masked.store", LLVMTypeOf(raw), e->ptr, args, 4);
}

/* The first lanes in pieces of powers of two: a masked store is 42 operations on AMD before AVX-512. */
static void store_pieces(struct emission *em, const struct access *a, LLVMValueRef raw) {
    LLVMBuilderRef b = em->e->b;
    int done = 0;
    for (int piece = a->lanes; piece > 0; piece /= 2) {
        if (a->active - done < piece)
            continue;
        LLVMValueRef picks[128], part = raw;
        for (int i = 0; i < piece; i++)
            picks[i] = LLVMConstInt(em->e->i32, (unsigned)(done + i), false);
        if (piece == 1)
            part = LLVMBuildExtractElement(b, raw, emit_i64(em, done), "");
        else if (piece < a->lanes)
            part = LLVMBuildShuffleVector(b, raw, raw, LLVMConstVector(picks, (unsigned)piece), "");
        store_at(em, a->buffer, LLVMBuildAdd(b, a->base, emit_i64(em, done), ""), part);
        done += piece;
    }
}

static void store_each(struct emission *em, const struct access *a, LLVMValueRef raw) {
    LLVMBuilderRef b = em->e->b;
    int count = a->active < 0 ? a->lanes : a->active;
    for (int i = 0; i < count; i++) {
        LLVMValueRef lane = emit_i64(em, i), one = LLVMBuildExtractElement(b, raw, lane, ""), index;
        if (a->each)
            index = index_of_lane(em, a, a->each, i);
        else
            index = LLVMBuildAdd(b, a->base, emit_i64(em, a->offsets[i]), "");
        if (a->mask && i >= a->active)
            store_if(em, a->buffer, index, one, LLVMBuildExtractElement(b, a->mask, lane, ""));
        else
            store_at(em, a->buffer, index, one);
    }
}

static void store_vector(struct emission *em, const struct loop_stmt *s) {
    LLVMValueRef own = s->mask ? emit_form(em, s->mask, FORM_VECTOR) : NULL;
    LLVMValueRef raw = stored_value(em, s, FORM_VECTOR);
    struct access a;
    access_begin(em, &a, s->buffer, s->index, own);
    bool can_mask = em->e->target->has_masked_memory && is_memory_wide(em, s->buffer->dtype);
    bool masks_well = em->e->target->vector_bits >= 512;
    if (is_contiguous(&a) && !a.mask)
        store_at(em, a.buffer, a.base, raw);
    else if (is_contiguous(&a) && a.active > 0 && !masks_well)
        store_pieces(em, &a, raw);
    else if (is_contiguous(&a) && can_mask)
        store_masked(em, &a, raw);
    else
        store_each(em, &a, raw);
}

void emit_store(struct emission *em, const struct loop_stmt *s) {
    emit_buffer(em, s->buffer);
    bool varies = em->lanes.count && (expr_facts(em, s->index)->varies || expr_facts(em, s->value)->varies ||
                                      (s->mask && expr_facts(em, s->mask)->varies));
    if (varies)
        store_vector(em, s);
    else
        store_scalar(em, s);
    em->epoch++;
}
