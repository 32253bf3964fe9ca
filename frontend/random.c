/* frontend/random.c: keys and draws (S8; docs/frontend.md has the table). */
#include "frontend/elab.h"

void stream_push(struct elab *e, struct stream *stream) {
    *stream = (struct stream){.parent = e->stream, .ordinal = -1, .base = e->loops};
    e->stream = stream;
}

void stream_pop(struct elab *e, struct stream *stream) {
    e->stream = stream->parent;
}

static const struct type *key_type(struct elab *e) {
    const int64_t words = 2;
    return type_of_sizes(e->types, DTYPE_u32, 1, &words);
}

struct value *seed_input(struct elab *e) {
    if (e->seed)
        return e->seed;
    struct builder b = e->b;
    builder_at_end(&b, e->function->body);
    b.before = e->last_input ? e->last_input->next : e->function->body->first;
    b.site = e->function->site;
    e->seed = build_input(&b, "seed", key_type(e));
    if (e->seed)
        e->last_input = e->seed->def;
    return e->seed;
}

/* Folds in the index of each loop between `base` and the place, outermost first. */
static struct value *fold_loops(struct elab *e, struct value *key, const struct loop_index *loop,
                                const struct loop_index *base) {
    if (loop == base)
        return key;
    return build_random_fold(&e->b, fold_loops(e, key, loop->outer, base), loop->index);
}

/* The calls that accumulate to one step draw differently. */
static struct value *entry_key(struct elab *e) {
    struct span span = e->b.site->span;
    struct value *seed = seed_input(e);
    struct value *step = e->is_train ? state_read(e, e->step, span) : build_int(&e->b, DTYPE_i32, 0);
    struct value *key = seed && step ? build_random_fold(&e->b, seed, step) : NULL;
    if (!e->is_train || e->accumulate == 1 || !key)
        return key;
    struct value *call = state_read(e, accumulated_calls(e), span);
    return call ? build_random_fold(&e->b, key, call) : NULL;
}

static struct value *key_at(struct elab *e, struct stream *stream, int ordinal,
                            const struct loop_index *loops);

static struct value *stream_key(struct elab *e, struct stream *stream) {
    if (stream->pinned)
        return stream->pinned;
    if (stream->key && block_sees(e, stream->key))
        return stream->key;
    if (!stream->parent) {
        stream->key = entry_key(e);
    } else {
        if (stream->ordinal < 0)
            stream->ordinal = stream->parent->draws++;
        stream->key = key_at(e, stream->parent, stream->ordinal, stream->base);
    }
    return stream->key;
}

static struct value *key_at(struct elab *e, struct stream *stream, int ordinal,
                            const struct loop_index *loops) {
    struct value *key = stream_key(e, stream);
    if (!key)
        return NULL;
    return fold_loops(e, build_random_fold(&e->b, key, build_int(&e->b, DTYPE_i32, ordinal)), loops,
                      stream->base);
}

struct value *draw_key(struct elab *e) {
    if (e->in_constant || !e->function) {
        report_error(e, e->b.site->span, E_TIME, "a constant cannot be drawn at random");
        return NULL;
    }
    /* The key of the call comes first: a call gets its ordinal at its first draw. */
    return stream_key(e, e->stream) ? key_at(e, e->stream, e->stream->draws++, e->loops) : NULL;
}

/* ---- keys as values: k.of(rows), k.split ---- */

bool is_key(struct elab *e, struct datum d) {
    const struct type *type = d.kind == DATUM_TENSOR ? d.tensor->type : NULL;
    return type && type->dtype == DTYPE_u32 && (type->rank == 1 || type->rank == 2) &&
           type->dims[type->rank - 1] == dim_const(e->types, 2);
}

struct datum split_key(struct elab *e, struct value *key, int64_t n) {
    struct datum *parts = ARENA_ARRAY(e->arena, struct datum, n);
    for (int64_t i = 0; i < n; i++)
        parts[i] = datum_tensor(build_random_fold(&e->b, key, build_int(&e->b, DTYPE_i32, i)));
    return datum_list(e->arena, parts, (int)n);
}

struct value *draw_key_for(struct elab *e, const struct type *shape) {
    struct value *key = draw_key(e);
    const struct type *type = key ? key->type : NULL;
    if (!key || type->rank == 1 || (shape->rank > 0 && shape->dims[0] == type->dims[0]))
        return key;
    struct diag *diag = report_error(e, e->b.site->span, E_SHAPE,
                                     "the stream has a key for each of %s rows, this draw is of %s",
                                     dim_text(e->types, type->dims[0]), type_text(e->types, shape));
    diag_hint(diag, "under rng.of(i) the first axis of a draw is that of i");
    return NULL;
}

/* ---- draws ---- */

/* The top 24 bits, as f32: exact. */
static struct value *top_bits(struct elab *e, const struct type *shape, struct value *key) {
    const struct type *words = type_with_dtype(e->types, shape, DTYPE_u32);
    struct value *bits = build_random_bits(&e->b, key, words);
    struct value *top = bits ? build_binary(&e->b, OP_shr, bits, build_int(&e->b, DTYPE_u32, 8)) : NULL;
    return build_cast(&e->b, top, DTYPE_f32);
}

struct value *draw_uniform(struct elab *e, const struct type *shape, struct value *key) {
    struct value *top = top_bits(e, shape, key);
    return top ? build_mul(&e->b, top, build_number(&e->b, DTYPE_f32, 0x1p-24)) : NULL;
}

/* Box & Muller 1958, the cosine half: the logarithm's argument is in (0, 1]. */
struct value *draw_normal(struct elab *e, const struct type *shape, struct value *key) {
    struct builder *b = &e->b;
    struct value *u = top_bits(e, shape, key);
    if (!u)
        return NULL;
    struct value *positive =
        build_mul(b, build_add(b, u, build_number(b, DTYPE_f32, 1.0)), build_number(b, DTYPE_f32, 0x1p-24));
    struct value *radius = build_unary(
        b, OP_sqrt, build_mul(b, build_unary(b, OP_log, positive), build_number(b, DTYPE_f32, -2.0)));
    struct value *turn = top_bits(e, shape, build_random_fold(b, key, build_int(b, DTYPE_i32, 1)));
    struct value *angle =
        turn ? build_mul(b, turn, build_number(b, DTYPE_f32, 6.283185307179586 * 0x1p-24)) : NULL;
    return build_mul(b, radius, build_unary(b, OP_cos, angle));
}
