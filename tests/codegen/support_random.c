#include "support_maker.h"

#include <math.h>
#include <string.h>

/* ---- chance ---- */

uint32_t next_random(uint32_t *seed) {
    uint32_t x = *seed = *seed * 1664525u + 1013904223u;
    return ((x ^ x >> 16) * 0x45d9f3bu) >> 4;
}

int pick(struct maker *m, int n) {
    return (int)(next_random(&m->random) % (uint32_t)n);
}

bool one_in(struct maker *m, int n) {
    return pick(m, n) == 0;
}

int64_t limited(const struct maker *m, int64_t size) {
    return m->limit && size > m->limit ? m->limit : size;
}

static int64_t any_size(struct maker *m) {
    static const int64_t wide[] = {96, 128, 200, 257, 300, 512, 1000, 1023, 3000, 20000};
    static const int64_t sizes[] = {1,  1,  2,  3,  4,  5,  6,  7,  8,  9,  12,  15,  16,
                                    17, 20, 24, 31, 32, 33, 40, 48, 64, 65, 100, 130, 260};
    if (m->is_graph)
        return one_in(m, 6) ? 1 : m->sizes[pick(m, 4)];
    if (m->is_wide && one_in(m, 2))
        return wide[pick(m, sizeof wide / sizeof *wide)];
    return one_in(m, 30) ? 0 : sizes[pick(m, sizeof sizes / sizeof *sizes)];
}

int64_t random_size(struct maker *m) {
    return limited(m, any_size(m));
}

int64_t count_of(const struct shape *s) {
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++)
        n *= s->size[i];
    return n;
}

struct shape random_shape(struct maker *m, int least, int most) {
    struct shape s;
    do {
        s.rank = least + pick(m, most - least + 1);
        for (int i = 0; i < s.rank; i++)
            s.size[i] = random_size(m);
    } while (count_of(&s) > (m->is_wide ? WIDE_ELEMENTS : ELEMENTS_MOST));
    return s;
}

struct shape shape_of(const struct value *v) {
    struct shape s = {.rank = v->type->rank};
    for (int i = 0; i < s.rank; i++)
        s.size[i] = type_size(v->type, i);
    return s;
}

const struct type *typed(struct maker *m, enum dtype dtype, const struct shape *s) {
    return type_of_sizes(m->graph->types, dtype, s->rank, s->size);
}

const struct dim **dims_of(struct maker *m, const int64_t *sizes, int count) {
    const struct dim **dims = ARENA_ARRAY(m->graph->arena, const struct dim *, count);
    for (int i = 0; i < count; i++)
        dims[i] = dim_const(m->graph->types, sizes[i]);
    return dims;
}

/* ---- values and their ranges ---- */

struct value *keep(struct maker *m, struct value *v, struct range range) {
    if (v)
        VEC_PUSH(m->graph->arena, &m->pool, ((struct known){v, range}));
    return v;
}

struct range range_of(const struct maker *m, const struct value *v) {
    for (int i = m->pool.count - 1; i >= 0; i--)
        if (m->pool.at[i].value == v)
            return m->pool.at[i].range;
    return (struct range){9, 3};
}

struct value *new_input(struct maker *m, enum dtype dtype, const struct shape *s, struct random_input input) {
    const char *name = arena_printf(m->graph->arena, "x%d", m->inputs.count);
    VEC_PUSH(m->graph->arena, &m->inputs, input);
    return keep(m, build_input(&m->b, name, typed(m, dtype, s)), (struct range){4, 3});
}

/* x brought to |x| <= bound. */
struct value *tame(struct maker *m, struct value *x, double bound) {
    struct range r = range_of(m, x);
    if (!dtype_is_float(x->type->dtype) || (r.bound <= bound && (!m->is_exact || r.bits <= 3)))
        return x;
    double scale = 1;
    while (r.bound * scale > bound)
        scale /= 2;
    x = scale < 1 ? build_mul(&m->b, x, build_like(&m->b, x, scale)) : x;
    if (m->is_exact)
        x = build_unary(&m->b, OP_floor, x);
    return keep(m, x, (struct range){m->is_exact ? bound + 1 : bound, 0});
}

static struct value *reshaped(struct maker *m, struct value *x, const struct shape *s) {
    return keep(m, build_reshape(&m->b, x, s->rank, dims_of(m, s->size, s->rank)), range_of(m, x));
}

/* x made to have the shape: cut or repeated in row-major order. */
static struct value *fit(struct maker *m, struct value *x, const struct shape *s) {
    int64_t have = type_elements(x->type), want = count_of(s);
    if (x->type == typed(m, x->type->dtype, s))
        return x;
    struct range range = range_of(m, x);
    if (have < want) {
        struct shape flat = {1, {have}}, rows = {2, {(want + have - 1) / have, have}},
                     all = {1, {rows.size[0] * have}};
        const int64_t last = 1;
        x = build_broadcast(&m->b, reshaped(m, x, &flat), typed(m, x->type->dtype, &rows), &last);
        x = reshaped(m, keep(m, x, range), &all);
        have = all.size[0];
    }
    if (have > want) {
        struct shape flat = {1, {have}};
        const int64_t start = pick(m, (int)(have - want) + 1), step = 1;
        x = keep(
            m, build_slice(&m->b, reshaped(m, x, &flat), dims_of(m, &start, 1), &step, dims_of(m, &want, 1)),
            range);
    }
    return reshaped(m, x, s);
}

/* Any value of the dtype that the graph has; graphs have inputs of f32, i32 and bool. */
struct value *any_value(struct maker *m, enum dtype dtype) {
    for (int tries = 0;; tries++) {
        int recent = m->pool.count < 8 ? m->pool.count : 8;
        int i = one_in(m, 2) ? m->pool.count - 1 - pick(m, recent) : pick(m, m->pool.count);
        struct value *v = m->pool.at[i].value;
        if (v->type->dtype == dtype && type_elements(v->type) > 0)
            return v;
        if (tries > 1000 && dtype == DTYPE_u32)
            return build_cast(&m->b, any_value(m, DTYPE_i32), dtype);
    }
}

static bool has_dims(const struct value *v, const struct shape *s) {
    if (v->type->rank != s->rank)
        return false;
    for (int i = 0; i < s->rank; i++)
        if (type_size(v->type, i) != s->size[i])
            return false;
    return true;
}

/* What graphs have values of; others are made of them. */
static enum dtype base_of(enum dtype dtype) {
    return dtype_is_float(dtype) ? DTYPE_f32 : dtype_is_int(dtype) && dtype != DTYPE_u32 ? DTYPE_i32 : dtype;
}

/* An operand of that type: an input of its own, or what the graph has. */
static struct value *operand_as(struct maker *m, enum dtype dtype, const struct shape *s,
                                struct random_input input) {
    if (!m->is_graph)
        return new_input(m, dtype, s, input);
    for (int tries = 0; tries < 12; tries++) {
        struct value *v = m->pool.at[m->pool.count - 1 - pick(m, m->pool.count)].value;
        if (v->type->dtype == dtype && has_dims(v, s))
            return v;
    }
    struct value *x = fit(m, any_value(m, base_of(dtype)), s);
    if (x->type->dtype == dtype)
        return x;
    struct range range = range_of(m, x);
    return keep(m, build_cast(&m->b, x, dtype), range);
}

struct value *operand(struct maker *m, enum dtype dtype, const struct shape *s) {
    struct random_input input = m->floats;
    if (!dtype_is_float(dtype))
        input.fill = one_in(m, 2) ? FILL_GRID : FILL_BITS;
    struct value *x = operand_as(m, dtype, s, input);
    return m->is_graph ? tame(m, x, m->is_exact ? 8 : m->floats.hi) : x;
}

/* Integers in 0..n-1. */
struct value *index_operand(struct maker *m, const struct shape *s, int64_t n) {
    struct random_input input = {FILL_INDEX, 0, (double)n};
    struct value *x = operand_as(m, DTYPE_i32, s, input);
    return m->is_graph
               ? keep(m, build_binary(&m->b, OP_mod, x, build_int(&m->b, DTYPE_i32, n)), (struct range){0})
               : x;
}

struct value *key_operand(struct maker *m) {
    struct shape two = {1, {2}};
    return operand_as(m, DTYPE_u32, &two, (struct random_input){FILL_BITS, 0, 0});
}

/* ---- attributes ---- */

struct attr attr_int(enum attr_name name, int64_t i) {
    return (struct attr){.name = name, .i = i};
}

struct attr attr_ints(enum attr_name name, const int64_t *ints, int count) {
    return (struct attr){.name = name, .count = count, .ints = ints};
}

struct attr attr_dims(struct maker *m, enum attr_name name, const int64_t *sizes, int count) {
    return (struct attr){.name = name, .count = count, .dims = dims_of(m, sizes, count)};
}

struct attr attr_string(struct maker *m, enum attr_name name, const char *text) {
    return (struct attr){.name = name, .string = intern(m->graph->names, text)};
}

/* ---- functions ---- */

void function_begin(struct maker *m, const char *name, enum function_kind kind, struct diags *diags) {
    struct function *function = graph_add_function(m->graph, name, kind, &site_unknown);
    builder_init(&m->b, m->graph, function->body, diags);
    builder_at_end(&m->b, function->body);
}

struct random_function function_end(struct maker *m, struct value *const *results, int count,
                                    enum exactness exactness) {
    struct function *function = m->b.block->function;
    build_yield(&m->b, results, count);
    function->result_names = ARENA_ARRAY(m->graph->arena, const char *, count);
    for (int i = 0; i < count; i++)
        function->result_names[i] = arena_printf(m->graph->arena, "y%d", i);
    return (struct random_function){function, m->inputs.at, exactness};
}

/* ---- elements ---- */

static double special(uint32_t *seed) {
    static const double values[] = {0.0, -0.0, INFINITY, -INFINITY, NAN,   0.5,    -0.5, 1.5,
                                    2.5, -2.5, 1,        -1,        1e-40, -1e-42, 3e38, 1e-38};
    uint32_t r = next_random(seed);
    if (r % 3 == 0)
        return values[r / 3 % (sizeof values / sizeof *values)];
    return ldexp((double)(next_random(seed) % 4096) / 2048 - 1, (int)(next_random(seed) % 60) - 30);
}

static double float_element(const struct random_input *input, uint32_t *seed) {
    if (input->fill == FILL_SPECIAL)
        return special(seed);
    if (input->fill == FILL_GRID)
        return ((double)(next_random(seed) % 65) - 32) / 8;
    return input->lo + (input->hi - input->lo) * (double)(next_random(seed) % (1u << 24)) * 0x1p-24;
}

static int64_t int_element(const struct random_input *input, enum dtype dtype, uint32_t *seed) {
    uint32_t r = next_random(seed);
    if (dtype == DTYPE_bool)
        return r & 1;
    if (input->fill == FILL_INDEX)
        return r % (uint32_t)input->hi;
    if (input->fill == FILL_GRID)
        return int_wrap(dtype, (int64_t)(r % 17) - 8);
    return int_wrap(dtype,
                    (int64_t)((uint64_t)next_random(seed) << 40 ^ (uint64_t)next_random(seed) << 20 ^ r));
}

void random_fill(const struct random_input *input, uint32_t seed, struct tensor *out) {
    for (int64_t i = 0; i < type_elements(out->type); i++)
        if (dtype_is_float(out->type->dtype))
            out->f[i] = float_round(out->type->dtype, float_element(input, &seed));
        else
            out->i[i] = int_element(input, out->type->dtype, &seed);
}
