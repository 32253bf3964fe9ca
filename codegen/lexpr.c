/* codegen/lexpr.c: expressions of the loop IR. Equal expressions of a function are one object, so that the
 * lowering can remember what it has computed by pointer. Index arithmetic is kept in a normal form: a sum of
 * coefficient * atom with the atoms in order of creation (outer loops first) and the constant last, where an
 * atom is a variable, a load, or a division or remainder that the ranges of the variables do not dissolve. */
#include "codegen/loops.h"

#include "base/map.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { FIRST_TABLE_SIZE = 256 };
static const int64_t UNBOUNDED =
    INT64_MAX / 4; /* ranges saturate here: sums of two of them do not overflow */

static int64_t clamp_range(double x) {
    return x > (double)UNBOUNDED ? UNBOUNDED : x < -(double)UNBOUNDED ? -UNBOUNDED : (int64_t)x;
}

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* ---- one object for equal expressions ---- */

static uint64_t expr_hash(const struct loop_expr *x) {
    uint64_t parts[] = {
        (uint64_t)x->kind,       (uint64_t)x->dtype,   (uint64_t)x->i,         0,
        (uintptr_t)x->var,       (uintptr_t)x->buffer, (uintptr_t)x->index,    (uintptr_t)x->mask,
        (uintptr_t)x->otherwise, (uint64_t)x->code,    (uint64_t)x->arg_count, (uintptr_t)x->args[0],
        (uintptr_t)x->args[1],   (uintptr_t)x->args[2]};
    memcpy(&parts[3], &x->f, sizeof(x->f));
    return hash_bytes(0, parts, sizeof(parts));
}

static bool expr_equal(const struct loop_expr *a, const struct loop_expr *b) {
    return a->kind == b->kind && a->dtype == b->dtype && a->i == b->i &&
           !memcmp(&a->f, &b->f, sizeof(a->f)) && a->var == b->var && a->buffer == b->buffer &&
           a->index == b->index && a->mask == b->mask && a->otherwise == b->otherwise && a->code == b->code &&
           a->arg_count == b->arg_count && a->args[0] == b->args[0] && a->args[1] == b->args[1] &&
           a->args[2] == b->args[2];
}

static void table_grow(struct loop_function *f) {
    struct loop_expr **old = f->table;
    int old_size = f->table_size;
    f->table_size = old_size ? 2 * old_size : FIRST_TABLE_SIZE;
    f->table = ARENA_ARRAY(f->arena, struct loop_expr *, f->table_size);
    for (int i = 0; i < old_size; i++)
        for (struct loop_expr *x = old[i], *next; x; x = next) {
            next = x->chain;
            struct loop_expr **slot = &f->table[expr_hash(x) & (uint64_t)(f->table_size - 1)];
            x->chain = *slot;
            *slot = x;
        }
}

static const struct loop_expr *expr_unique(struct loop_function *f, const struct loop_expr *x) {
    if (f->next_expr >= f->table_size)
        table_grow(f);
    struct loop_expr **slot = &f->table[expr_hash(x) & (uint64_t)(f->table_size - 1)];
    for (struct loop_expr *old = *slot; old; old = old->chain)
        if (expr_equal(old, x))
            return old;
    struct loop_expr *made = ARENA_NEW(f->arena, struct loop_expr);
    *made = *x;
    made->site = f->place;
    made->id = f->next_expr++;
    made->chain = *slot;
    *slot = made;
    return made;
}

/* ---- leaves ---- */

const struct loop_expr *lexpr_int(struct loop_function *f, enum dtype dtype, int64_t value) {
    return expr_unique(
        f, &(struct loop_expr){.kind = LEXPR_INT, .dtype = dtype, .i = value, .min = value, .max = value});
}

const struct loop_expr *lexpr_index(struct loop_function *f, int64_t i) {
    return lexpr_int(f, DTYPE_i64, i);
}

const struct loop_expr *lexpr_float(struct loop_function *f, enum dtype dtype, double value) {
    return expr_unique(f, &(struct loop_expr){.kind = LEXPR_FLOAT, .dtype = dtype, .f = value});
}

const struct loop_expr *lexpr_var(struct loop_function *f, struct loop_var *var) {
    if (var->dtype == DTYPE_i64 && var->min == var->max && !var->is_mutable)
        return lexpr_index(f, var->min);
    return expr_unique(
        f, &(struct loop_expr){
               .kind = LEXPR_VAR, .dtype = var->dtype, .var = var, .min = var->min, .max = var->max});
}

static void range_of_dtype(enum dtype dtype, int64_t *min, int64_t *max) {
    int bits = 8 * dtype_bytes(dtype);
    *min = -UNBOUNDED, *max = UNBOUNDED;
    if (dtype == DTYPE_bool)
        *min = 0, *max = 1;
    else if (dtype_class(dtype) == CLASS_UNSIGNED)
        *min = 0, *max = ((int64_t)1 << bits) - 1;
    else if (dtype_class(dtype) == CLASS_SIGNED && bits < 64)
        *min = -((int64_t)1 << (bits - 1)), *max = ((int64_t)1 << (bits - 1)) - 1;
}

const struct loop_expr *lexpr_load(struct loop_function *f, struct buffer *buffer,
                                   const struct loop_expr *index) {
    return lexpr_load_masked(f, buffer, index, NULL, NULL);
}

const struct loop_expr *lexpr_load_masked(struct loop_function *f, struct buffer *buffer,
                                          const struct loop_expr *index, const struct loop_expr *mask,
                                          const struct loop_expr *otherwise) {
    if (mask && lexpr_is_false(mask))
        return otherwise;
    if (mask && mask->kind == LEXPR_INT)
        mask = NULL;
    struct loop_expr x = {.kind = LEXPR_LOAD,
                          .dtype = buffer->dtype,
                          .buffer = buffer,
                          .index = index,
                          .mask = mask,
                          .otherwise = mask ? otherwise : NULL};
    range_of_dtype(x.dtype, &x.min, &x.max);
    return expr_unique(f, &x);
}

/* ---- the normal form of index arithmetic ---- */

struct term {
    const struct loop_expr *atom;
    int64_t coefficient;
};

struct sum {
    struct arena *arena;
    VEC(struct term) terms;
    int64_t constant;
};

static void sum_add_term(struct sum *s, const struct loop_expr *atom, int64_t coefficient) {
    for (int i = 0; i < s->terms.count; i++)
        if (s->terms.at[i].atom == atom) {
            s->terms.at[i].coefficient += coefficient;
            return;
        }
    VEC_PUSH(s->arena, &s->terms, ((struct term){atom, coefficient}));
}

static bool is_op(const struct loop_expr *x, enum opcode code) {
    return x->kind == LEXPR_OP && x->code == code && x->dtype == DTYPE_i64;
}

static void sum_add(struct sum *s, const struct loop_expr *x, int64_t factor) {
    if (x->kind == LEXPR_INT)
        s->constant += factor * x->i;
    else if (is_op(x, OP_add)) {
        sum_add(s, x->args[0], factor);
        sum_add(s, x->args[1], factor);
    } else if (is_op(x, OP_mul) && x->args[1]->kind == LEXPR_INT)
        sum_add(s, x->args[0], factor * x->args[1]->i);
    else
        sum_add_term(s, x, factor);
}

/* a - (a / n) * n = a mod n, read from right to left: c * n * (a / n) + c * (a mod n) = c * a, and the same
 * one level up: c * n * ((a / n) mod m) + c * (a mod n) = c * (a mod (n * m)). Flattening what was
 * unflattened ends here. */
static const struct loop_expr *rejoined(struct loop_function *f, const struct loop_expr *high,
                                        const struct loop_expr *low, int64_t n) {
    const struct loop_expr *a = low->args[0];
    if (is_op(high, OP_div) && high->args[0] == a && high->args[1]->i == n)
        return a;
    if (is_op(high, OP_mod) && high->args[0] == lexpr_div(f, a, n))
        return lexpr_mod(f, a, n * high->args[1]->i);
    return NULL;
}

static bool sum_rejoin_once(struct loop_function *f, struct sum *s) {
    for (int i = 0; i < s->terms.count; i++) {
        struct term low = s->terms.at[i];
        if (!low.coefficient || !is_op(low.atom, OP_mod) || low.atom->args[1]->kind != LEXPR_INT)
            continue;
        int64_t n = low.atom->args[1]->i;
        for (int j = 0; j < s->terms.count; j++) {
            struct term high = s->terms.at[j];
            if (j == i || high.coefficient != n * low.coefficient)
                continue;
            const struct loop_expr *whole = rejoined(f, high.atom, low.atom, n);
            if (!whole)
                continue;
            s->terms.at[i].coefficient = s->terms.at[j].coefficient = 0;
            sum_add(s, whole, low.coefficient);
            return true;
        }
    }
    return false;
}

static void sum_normalise(struct loop_function *f, struct sum *s) {
    while (sum_rejoin_once(f, s))
        ;
    int kept = 0;
    for (int i = 0; i < s->terms.count; i++)
        if (s->terms.at[i].coefficient)
            s->terms.at[kept++] = s->terms.at[i];
    s->terms.count = kept;
    for (int i = 1; i < kept; i++)
        for (int j = i; j > 0 && s->terms.at[j].atom->id < s->terms.at[j - 1].atom->id; j--) {
            struct term t = s->terms.at[j];
            s->terms.at[j] = s->terms.at[j - 1];
            s->terms.at[j - 1] = t;
        }
}

static const struct loop_expr *raw_binary(struct loop_function *f, enum opcode code,
                                          const struct loop_expr *a, const struct loop_expr *b, double min,
                                          double max) {
    return expr_unique(f, &(struct loop_expr){.kind = LEXPR_OP,
                                              .dtype = DTYPE_i64,
                                              .code = code,
                                              .arg_count = 2,
                                              .args = {a, b},
                                              .min = clamp_range(min),
                                              .max = clamp_range(max)});
}

static const struct loop_expr *raw_scale(struct loop_function *f, const struct loop_expr *a, int64_t c) {
    if (c == 1)
        return a;
    double p = (double)a->min * (double)c, q = (double)a->max * (double)c;
    return raw_binary(f, OP_mul, a, lexpr_index(f, c), p < q ? p : q, p < q ? q : p);
}

static const struct loop_expr *sum_build(struct loop_function *f, struct sum *s) {
    sum_normalise(f, s);
    const struct loop_expr *x = NULL;
    for (int i = 0; i < s->terms.count; i++) {
        const struct loop_expr *t = raw_scale(f, s->terms.at[i].atom, s->terms.at[i].coefficient);
        x = x ? raw_binary(f, OP_add, x, t, (double)x->min + (double)t->min, (double)x->max + (double)t->max)
              : t;
    }
    if (!x)
        return lexpr_index(f, s->constant);
    if (!s->constant)
        return x;
    double c = (double)s->constant;
    return raw_binary(f, OP_add, x, lexpr_index(f, s->constant), (double)x->min + c, (double)x->max + c);
}

static struct sum sum_of(struct loop_function *f, const struct loop_expr *x) {
    struct sum s = {.arena = f->arena};
    sum_add(&s, x, 1);
    return s;
}

const struct loop_expr *lexpr_add(struct loop_function *f, const struct loop_expr *a,
                                  const struct loop_expr *b) {
    struct sum s = sum_of(f, a);
    sum_add(&s, b, 1);
    return sum_build(f, &s);
}

const struct loop_expr *lexpr_mul(struct loop_function *f, const struct loop_expr *a, int64_t factor) {
    struct sum s = {.arena = f->arena};
    sum_add(&s, a, factor);
    return sum_build(f, &s);
}

/* Splits x = divisor * whole + rest: whole has the terms whose coefficients divisor divides. */
static void sum_split(struct loop_function *f, const struct loop_expr *x, int64_t divisor, struct sum *whole,
                      struct sum *rest) {
    struct sum s = sum_of(f, x);
    *whole = (struct sum){.arena = f->arena};
    *rest = (struct sum){.arena = f->arena};
    for (int i = 0; i < s.terms.count; i++) {
        struct term t = s.terms.at[i];
        if (t.coefficient % divisor == 0)
            sum_add_term(whole, t.atom, t.coefficient / divisor);
        else
            sum_add_term(rest, t.atom, t.coefficient);
    }
    whole->constant = floor_div(s.constant, divisor);
    rest->constant = s.constant - whole->constant * divisor;
}

static int64_t gcd(int64_t a, int64_t b) {
    a = a < 0 ? -a : a;
    while (b) {
        int64_t r = a % b;
        a = b, b = r < 0 ? -r : r;
    }
    return a;
}

/* x = g * high + low with 0 <= low < g, for the greatest g > 1 that divides the divisor: 784 * t + 28 * y + x
 * is 784 * t and less than 784. Then x / d = high / (d / g), and x mod d = g * (high mod (d / g)) + low. 0:
 * no such g. */
static int64_t sum_layers(struct loop_function *f, const struct sum *s, int64_t divisor,
                          const struct loop_expr **high, const struct loop_expr **low) {
    int64_t tried = divisor + 1;
    for (;;) {
        int64_t g = 1;
        for (int i = 0; i < s->terms.count; i++) {
            int64_t of = gcd(s->terms.at[i].coefficient, divisor);
            g = of > g && of < tried ? of : g;
        }
        if (g == 1)
            return 0;
        struct sum h = {.arena = f->arena}, l = {.arena = f->arena, .constant = s->constant};
        for (int i = 0; i < s->terms.count; i++) {
            struct term t = s->terms.at[i];
            bool is_high = t.coefficient % g == 0;
            sum_add_term(is_high ? &h : &l, t.atom, is_high ? t.coefficient / g : t.coefficient);
        }
        *low = sum_build(f, &l);
        int64_t shift = floor_div((*low)->min, g);
        if (shift == floor_div((*low)->max, g)) {
            h.constant = shift;
            *high = sum_build(f, &h);
            *low = lexpr_add(f, *low, lexpr_index(f, -shift * g));
            return g;
        }
        tried = g;
    }
}

const struct loop_expr *lexpr_div(struct loop_function *f, const struct loop_expr *a, int64_t divisor) {
    assert(divisor > 0);
    if (divisor == 1)
        return a;
    struct sum whole, rest;
    sum_split(f, a, divisor, &whole, &rest);
    const struct loop_expr *r = sum_build(f, &rest);
    int64_t low = floor_div(r->min, divisor), high = floor_div(r->max, divisor);
    if (low == high) {
        whole.constant += low;
        return sum_build(f, &whole);
    }
    const struct loop_expr *high_part, *low_part;
    int64_t g = sum_layers(f, &rest, divisor, &high_part, &low_part);
    if (g > 1)
        return lexpr_add(f, sum_build(f, &whole), lexpr_div(f, high_part, divisor / g));
    if (is_op(r, OP_div) && r->args[1]->kind == LEXPR_INT) /* (x / m) / n = x / (m * n) */
        return lexpr_add(f, sum_build(f, &whole), lexpr_div(f, r->args[0], r->args[1]->i * divisor));
    const struct loop_expr *q = raw_binary(f, OP_div, r, lexpr_index(f, divisor), (double)low, (double)high);
    return lexpr_add(f, sum_build(f, &whole), q);
}

const struct loop_expr *lexpr_mod(struct loop_function *f, const struct loop_expr *a, int64_t divisor) {
    assert(divisor > 0);
    if (divisor == 1)
        return lexpr_index(f, 0);
    struct sum whole, rest;
    sum_split(f, a, divisor, &whole, &rest);
    const struct loop_expr *r = sum_build(f, &rest);
    int64_t low = floor_div(r->min, divisor), high = floor_div(r->max, divisor);
    if (low == high)
        return lexpr_add(f, r, lexpr_index(f, -low * divisor));
    const struct loop_expr *high_part, *low_part;
    int64_t g = sum_layers(f, &rest, divisor, &high_part, &low_part);
    if (g > 1)
        return lexpr_add(f, lexpr_mul(f, lexpr_mod(f, high_part, divisor / g), g), low_part);
    if (is_op(r, OP_mod) && r->args[1]->kind == LEXPR_INT && r->args[1]->i % divisor == 0)
        return lexpr_mod(f, r->args[0], divisor);
    return raw_binary(f, OP_mod, r, lexpr_index(f, divisor), 0, (double)(divisor - 1));
}

void lexpr_terms(const struct loop_expr *index,
                 void (*each)(void *data, const struct loop_expr *atom, int64_t coefficient), void *data,
                 int64_t *constant) {
    while (is_op(index, OP_add)) { /* the normal form is a chain of sums to the left */
        lexpr_terms(index->args[1], each, data, constant);
        index = index->args[0];
    }
    if (index->kind == LEXPR_INT)
        *constant += index->i;
    else if (is_op(index, OP_mul) && index->args[1]->kind == LEXPR_INT)
        each(data, index->args[0], index->args[1]->i);
    else
        each(data, index, 1);
}

bool lexpr_depends_on(const struct loop_expr *x, const struct loop_var *var) {
    if (x->kind == LEXPR_VAR)
        return x->var == var || x->var->within == var;
    if (x->kind == LEXPR_LOAD)
        return lexpr_depends_on(x->index, var) || (x->mask && lexpr_depends_on(x->mask, var)) ||
               (x->otherwise && lexpr_depends_on(x->otherwise, var));
    for (int i = 0; i < x->arg_count; i++)
        if (lexpr_depends_on(x->args[i], var))
            return true;
    return false;
}

struct stride_query {
    const struct loop_var *var;
    int64_t stride;
    bool is_affine;
};

static void stride_of_term(void *data, const struct loop_expr *atom, int64_t coefficient) {
    struct stride_query *q = data;
    if (atom->kind == LEXPR_VAR && atom->var == q->var)
        q->stride += coefficient;
    else if (lexpr_depends_on(atom, q->var))
        q->is_affine = false;
}

bool lexpr_stride(const struct loop_expr *index, const struct loop_var *var, int64_t *stride) {
    struct stride_query q = {.var = var, .is_affine = true};
    int64_t constant = 0;
    lexpr_terms(index, stride_of_term, &q, &constant);
    *stride = q.stride;
    return q.is_affine;
}

/* ---- operators on data, and conditions ---- */

static const struct loop_expr *lexpr_bool(struct loop_function *f, bool value) {
    return lexpr_int(f, DTYPE_bool, value);
}

bool lexpr_is_false(const struct loop_expr *condition) {
    return condition && condition->kind == LEXPR_INT && condition->i == 0;
}

/* A comparison that the ranges decide, or NULL. */
static const struct loop_expr *compare_ranges(struct loop_function *f, enum opcode code,
                                              const struct loop_expr *a, const struct loop_expr *b) {
    if (a->dtype != DTYPE_i64)
        return NULL;
    if (code == OP_lt && (a->max < b->min || a->min >= b->max))
        return lexpr_bool(f, a->max < b->min);
    if (code == OP_le && (a->max <= b->min || a->min > b->max))
        return lexpr_bool(f, a->max <= b->min);
    if (code == OP_eq && (a->max < b->min || a->min > b->max))
        return lexpr_bool(f, false);
    if (code == OP_eq && a == b)
        return lexpr_bool(f, true);
    return NULL;
}

static const struct loop_expr *fold_index(struct loop_function *f, enum opcode code,
                                          const struct loop_expr *a, const struct loop_expr *b) {
    bool constant = b->kind == LEXPR_INT;
    switch (code) {
    case OP_add:
        return lexpr_add(f, a, b);
    case OP_sub:
        return lexpr_add(f, a, lexpr_mul(f, b, -1));
    case OP_mul:
        return constant ? lexpr_mul(f, a, b->i) : a->kind == LEXPR_INT ? lexpr_mul(f, b, a->i) : NULL;
    case OP_div:
        return constant && b->i > 0 ? lexpr_div(f, a, b->i) : NULL;
    case OP_mod:
        return constant && b->i > 0 ? lexpr_mod(f, a, b->i) : NULL;
    case OP_min:
        return a->max <= b->min ? a : b->max <= a->min ? b : NULL;
    case OP_max:
        return a->min >= b->max ? a : b->min >= a->max ? b : NULL;
    default:
        return NULL;
    }
}

const struct loop_expr *lexpr_op(struct loop_function *f, enum opcode code, enum dtype dtype,
                                 const struct loop_expr *const *args, int count) {
    const struct loop_expr *folded = NULL;
    if (count == 2 && dtype == DTYPE_bool)
        folded = compare_ranges(f, code, args[0], args[1]);
    else if (count == 2 && dtype == DTYPE_i64)
        folded = fold_index(f, code, args[0], args[1]);
    else if (code == OP_select && args[0]->kind == LEXPR_INT)
        folded = args[0]->i ? args[1] : args[2];
    if (folded)
        return folded;
    struct loop_expr x = {.kind = LEXPR_OP, .dtype = dtype, .code = code, .arg_count = count};
    range_of_dtype(dtype, &x.min, &x.max);
    for (int i = 0; i < count; i++)
        x.args[i] = args[i];
    bool is_order = code == OP_min || code == OP_max;
    if (count == 2 && is_order && dtype == DTYPE_i64) {
        const struct loop_expr *a = args[0], *b = args[1];
        bool low = code == OP_min;
        x.min = low == (a->min < b->min) ? a->min : b->min;
        x.max = low == (a->max < b->max) ? a->max : b->max;
    }
    if (code == OP_cast && dtype == DTYPE_i64 && !dtype_is_float(args[0]->dtype))
        x.min = args[0]->min, x.max = args[0]->max;
    return expr_unique(f, &x);
}

const struct loop_expr *lexpr_exp_below(struct loop_function *f, const struct loop_expr *x) {
    return expr_unique(f, &(struct loop_expr){.kind = LEXPR_OP,
                                              .dtype = x->dtype,
                                              .code = OP_exp,
                                              .i = 1,
                                              .arg_count = 1,
                                              .args = {x},
                                              .min = -UNBOUNDED,
                                              .max = UNBOUNDED});
}

const struct loop_expr *lexpr_binary(struct loop_function *f, enum opcode code, enum dtype dtype,
                                     const struct loop_expr *a, const struct loop_expr *b) {
    const struct loop_expr *args[] = {a, b};
    return lexpr_op(f, code, dtype, args, 2);
}

const struct loop_expr *lexpr_and(struct loop_function *f, const struct loop_expr *a,
                                  const struct loop_expr *b) {
    if (!a || (b && lexpr_is_false(b)))
        return b;
    if (!b || lexpr_is_false(a) || a == b)
        return a;
    if (a->kind == LEXPR_INT || b->kind == LEXPR_INT)
        return a->kind == LEXPR_INT ? b : a;
    return lexpr_binary(f, OP_and, DTYPE_bool, a, b);
}

const struct loop_expr *lexpr_within(struct loop_function *f, const struct loop_expr *x, int64_t low,
                                     int64_t high) {
    const struct loop_expr *above = lexpr_binary(f, OP_le, DTYPE_bool, lexpr_index(f, low), x);
    const struct loop_expr *below = lexpr_binary(f, OP_lt, DTYPE_bool, x, lexpr_index(f, high));
    const struct loop_expr *both = lexpr_and(f, above, below);
    return both->kind == LEXPR_INT && both->i ? NULL : both;
}

const struct loop_expr *lexpr_known(struct loop_function *f, const struct loop_expr *x, int64_t low,
                                    int64_t high) {
    struct loop_expr **slot = &f->table[expr_hash(x) & (uint64_t)(f->table_size - 1)];
    for (struct loop_expr *own = *slot; own; own = own->chain)
        if (own == x) {
            own->min = x->min > low ? x->min : low;
            own->max = x->max < high ? x->max : high;
        }
    return x;
}
