/* ir/dim.c: the algebra of dims. Sums are built in a `struct poly`, kept in normal form, and interned when
 * complete. */
#include "base/map.h"
#include "ir/types.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* ---- rationals: exact, saturating where a result leaves int64 (a size that no machine has) ---- */

__extension__ typedef __int128 wide;

static wide wide_gcd(wide a, wide b) {
    while (b) {
        wide r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

static int64_t gcd(int64_t a, int64_t b) {
    return (int64_t)wide_gcd(a, b);
}

static int64_t clamp(wide x) {
    return x > INT64_MAX ? INT64_MAX : x < -INT64_MAX ? -INT64_MAX : (int64_t)x;
}

static struct ratio ratio_make(wide num, wide den) {
    assert(den != 0);
    if (den < 0) {
        num = -num;
        den = -den;
    }
    wide g = wide_gcd(num, den);
    if (g > 1) {
        num /= g;
        den /= g;
    }
    if (den > INT64_MAX)
        return (struct ratio){num < 0 ? -INT64_MAX : INT64_MAX, 1};
    return (struct ratio){clamp(num), (int64_t)den};
}

static struct ratio ratio_add(struct ratio a, struct ratio b) {
    return ratio_make((wide)a.num * b.den + (wide)b.num * a.den, (wide)a.den * b.den);
}

static struct ratio ratio_mul(struct ratio a, struct ratio b) {
    return ratio_make((wide)a.num * b.num, (wide)a.den * b.den);
}

static struct ratio ratio_div(struct ratio a, struct ratio b) {
    return ratio_make((wide)a.num * b.den, (wide)a.den * b.num);
}

static int64_t ratio_floor(struct ratio a) {
    int64_t q = a.num / a.den;
    return q - (a.num % a.den < 0);
}

static int64_t lcm(int64_t a, int64_t b) {
    return clamp((wide)a / gcd(a, b) * b);
}

/* ---- order: never by address, so that texts and results are the same in every run ---- */

static int dim_order(const struct dim *a, const struct dim *b);

static int atom_order(const struct atom *a, const struct atom *b) {
    if (a == b)
        return 0;
    if (a->name && b->name)
        return strcmp(a->name, b->name);
    if (!a->name && !b->name)
        return dim_order(a->inner, b->inner);
    return a->name ? -1 : 1;
}

/* < 0 where a's atoms stand before b's: graded lexicographic, so that long division ends. */
static int monomial_order(const struct term *a, const struct term *b) {
    if (a->degree != b->degree)
        return a->degree > b->degree ? -1 : 1;
    for (int i = 0; i < a->count && i < b->count; i++) {
        int order = atom_order(a->factors[i].atom, b->factors[i].atom);
        if (order)
            return order;
        if (a->factors[i].power != b->factors[i].power)
            return a->factors[i].power > b->factors[i].power ? -1 : 1;
    }
    return 0; /* equal degrees: neither can be longer */
}

static int dim_order(const struct dim *a, const struct dim *b) {
    for (int i = 0; i < a->count && i < b->count; i++) {
        int order = monomial_order(&a->terms[i], &b->terms[i]);
        if (order)
            return order;
        struct ratio x = a->terms[i].coefficient, y = b->terms[i].coefficient;
        wide left = (wide)x.num * y.den, right = (wide)y.num * x.den;
        if (left != right)
            return left < right ? -1 : 1;
    }
    return a->count - b->count;
}

/* ---- interning ---- */

static uint64_t atom_hash(const void *key) {
    const struct atom *atom = key;
    return atom->name ? hash_bytes(1, atom->name, strlen(atom->name))
                      : hash_bytes(2, &atom->inner, sizeof(atom->inner));
}

static bool atom_same(const void *a, const void *b) {
    const struct atom *x = a, *y = b;
    return x->inner == y->inner && !x->name == !y->name && (!x->name || strcmp(x->name, y->name) == 0);
}

static struct atom *atom_get(struct types *types, const char *name, const struct dim *inner) {
    struct atom key = {name, inner, 1};
    void **slot = table_slot(types, &types->atoms, atom_hash(&key), &key, atom_same, atom_hash);
    if (!*slot) {
        key.name = name ? arena_strdup(types->arena, name) : NULL;
        *slot = arena_memdup(types->arena, &key, sizeof(key));
    }
    return *slot;
}

static uint64_t dim_hash(const void *key) {
    const struct dim *dim = key;
    uint64_t hash = 3;
    for (int i = 0; i < dim->count; i++) {
        const struct term *t = &dim->terms[i];
        hash = hash_bytes(hash, &t->coefficient, sizeof(t->coefficient));
        for (int j = 0; j < t->count; j++) {
            hash = hash_bytes(hash, &t->factors[j].atom, sizeof(t->factors[j].atom));
            hash = hash_bytes(hash, &t->factors[j].power, sizeof(t->factors[j].power));
        }
    }
    return hash;
}

static bool monomial_same(const struct term *a, const struct term *b) {
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (a->factors[i].atom != b->factors[i].atom || a->factors[i].power != b->factors[i].power)
            return false;
    return true;
}

static bool dim_same(const void *a, const void *b) {
    const struct dim *x = a, *y = b;
    if (x->count != y->count)
        return false;
    for (int i = 0; i < x->count; i++) {
        struct ratio p = x->terms[i].coefficient, q = y->terms[i].coefficient;
        if (p.num != q.num || p.den != q.den || !monomial_same(&x->terms[i], &y->terms[i]))
            return false;
    }
    return true;
}

/* ---- polynomials under construction: the few terms that most have stand on the stack ---- */

struct poly {
    VEC(struct term) terms;
    struct term few[4];
};

static void poly_init(struct poly *poly) {
    poly->terms.at = poly->few;
    poly->terms.count = 0;
    poly->terms.capacity = sizeof poly->few / sizeof *poly->few;
}

static const struct dim *poly_intern(struct types *types, const struct poly *poly) {
    struct dim key = {poly->terms.count, poly->terms.at};
    void **slot = table_slot(types, &types->dims, dim_hash(&key), &key, dim_same, dim_hash);
    if (!*slot) {
        key.terms = arena_memdup(types->arena, key.terms, sizeof(*key.terms) * (size_t)key.count);
        *slot = arena_memdup(types->arena, &key, sizeof(key));
    }
    return *slot;
}

static void poly_add_term(struct types *types, struct poly *poly, struct ratio coefficient,
                          const struct term *monomial) {
    if (coefficient.num == 0)
        return;
    int at = 0;
    while (at < poly->terms.count && monomial_order(&poly->terms.at[at], monomial) < 0)
        at++;
    if (at < poly->terms.count && monomial_same(&poly->terms.at[at], monomial)) {
        struct ratio sum = ratio_add(poly->terms.at[at].coefficient, coefficient);
        poly->terms.at[at].coefficient = sum;
        if (sum.num == 0) {
            memmove(&poly->terms.at[at], &poly->terms.at[at + 1],
                    sizeof(struct term) * (size_t)(poly->terms.count - at - 1));
            poly->terms.count--;
        }
        return;
    }
    struct term term = *monomial;
    term.coefficient = coefficient;
    VEC_PUSH(types->arena, &poly->terms, term);
    memmove(&poly->terms.at[at + 1], &poly->terms.at[at],
            sizeof(struct term) * (size_t)(poly->terms.count - 1 - at));
    poly->terms.at[at] = term;
}

static void poly_add(struct types *types, struct poly *poly, const struct dim *dim, struct ratio scale) {
    for (int i = 0; i < dim->count; i++)
        poly_add_term(types, poly, ratio_mul(dim->terms[i].coefficient, scale), &dim->terms[i]);
}

static void poly_add_ratio(struct types *types, struct poly *poly, struct ratio value) {
    poly_add_term(types, poly, value, &(struct term){0});
}

static void poly_add_atom(struct types *types, struct poly *poly, struct atom *atom, int power,
                          struct ratio coefficient) {
    struct factor *factor = ARENA_NEW(types->arena, struct factor);
    *factor = (struct factor){atom, power};
    poly_add_term(types, poly, coefficient, &(struct term){.count = 1, .degree = power, .factors = factor});
}

static struct term monomial_mul(struct types *types, const struct term *a, const struct term *b) {
    if (a->count == 0 || b->count == 0)
        return a->count == 0 ? *b : *a;
    struct factor *factors = ARENA_ARRAY(types->arena, struct factor, a->count + b->count);
    int count = 0, i = 0, j = 0;
    while (i < a->count || j < b->count) {
        int order = i == a->count   ? 1
                    : j == b->count ? -1
                                    : atom_order(a->factors[i].atom, b->factors[j].atom);
        if (order < 0) {
            factors[count++] = a->factors[i++];
        } else if (order > 0) {
            factors[count++] = b->factors[j++];
        } else {
            factors[count] = a->factors[i++];
            factors[count++].power += b->factors[j++].power;
        }
    }
    return (struct term){.count = count, .degree = a->degree + b->degree, .factors = factors};
}

/* a / b where b's atoms are among a's; false where not. */
static bool monomial_div(struct types *types, const struct term *a, const struct term *b, struct term *out) {
    struct factor *factors = ARENA_ARRAY(types->arena, struct factor, a->count);
    int count = 0, j = 0;
    for (int i = 0; i < a->count; i++) {
        struct factor f = a->factors[i];
        if (j < b->count && b->factors[j].atom == f.atom)
            f.power -= b->factors[j++].power;
        if (f.power < 0)
            return false;
        if (f.power > 0)
            factors[count++] = f;
    }
    *out = (struct term){.count = count, .degree = a->degree - b->degree, .factors = factors};
    return j == b->count;
}

static const struct ratio one = {1, 1}, minus_one = {-1, 1};

/* ---- making dims ---- */

static const struct dim *number_intern(struct types *types, int64_t value) {
    struct poly poly;
    poly_init(&poly);
    poly_add_ratio(types, &poly, (struct ratio){clamp(value), 1});
    return poly_intern(types, &poly);
}

const struct dim *dim_const(struct types *types, int64_t value) {
    if (value < 0 || value >= (int64_t)(sizeof types->numbers / sizeof *types->numbers))
        return number_intern(types, value);
    if (!types->numbers[value])
        types->numbers[value] = number_intern(types, value);
    return types->numbers[value];
}

const struct dim *dim_var(struct types *types, const char *name) {
    struct poly poly;
    poly_init(&poly);
    poly_add_atom(types, &poly, atom_get(types, name, NULL), 1, one);
    return poly_intern(types, &poly);
}

static const struct dim *dim_combine(struct types *types, const struct dim *a, const struct dim *b,
                                     struct ratio scale) {
    struct poly poly;
    poly_init(&poly);
    poly_add(types, &poly, a, one);
    poly_add(types, &poly, b, scale);
    return poly_intern(types, &poly);
}

const struct dim *dim_add(struct types *types, const struct dim *a, const struct dim *b) {
    return dim_combine(types, a, b, one);
}

const struct dim *dim_sub(struct types *types, const struct dim *a, const struct dim *b) {
    return dim_combine(types, a, b, minus_one);
}

static const struct dim *dim_scale(struct types *types, const struct dim *a, struct ratio scale) {
    struct poly poly;
    poly_init(&poly);
    poly_add(types, &poly, a, scale);
    return poly_intern(types, &poly);
}

const struct dim *dim_mul(struct types *types, const struct dim *a, const struct dim *b) {
    if (dim_is_const(a) && dim_is_const(b))
        return dim_const(types, clamp((wide)dim_value(a) * dim_value(b)));
    struct poly poly;
    poly_init(&poly);
    for (int i = 0; i < a->count; i++)
        for (int j = 0; j < b->count; j++) {
            struct term product = monomial_mul(types, &a->terms[i], &b->terms[j]);
            poly_add_term(types, &poly, ratio_mul(a->terms[i].coefficient, b->terms[j].coefficient),
                          &product);
        }
    return poly_intern(types, &poly);
}

/* Long division: the leading term of the rest must be a multiple of b's, until nothing is left. */
const struct dim *dim_div(struct types *types, const struct dim *a, const struct dim *b) {
    if (b->count == 0)
        return NULL;
    struct poly rest, quotient;
    poly_init(&rest);
    poly_init(&quotient);
    poly_add(types, &rest, a, one);
    while (rest.terms.count > 0) {
        struct term factor;
        if (!monomial_div(types, &rest.terms.at[0], &b->terms[0], &factor))
            return NULL;
        struct ratio scale = ratio_div(rest.terms.at[0].coefficient, b->terms[0].coefficient);
        poly_add_term(types, &quotient, scale, &factor);
        for (int i = 0; i < b->count; i++) {
            struct term product = monomial_mul(types, &factor, &b->terms[i]);
            poly_add_term(types, &rest, ratio_mul(ratio_mul(scale, minus_one), b->terms[i].coefficient),
                          &product);
        }
    }
    const struct dim *result = poly_intern(types, &quotient);
    bool constant = result->count == 0 || result->terms[0].count == 0;
    return constant && !dim_is_const(result) ? NULL : result;
}

/* ---- what divides what ---- */

static bool term_is_whole(const struct term *t) {
    int64_t den = t->coefficient.den;
    for (int i = 0; i < t->count; i++)
        for (int p = 0; p < t->factors[i].power && den > 1; p++)
            den /= gcd(den, t->factors[i].atom->multiple);
    return den == 1;
}

static bool terms_are_whole(const struct dim *dim) {
    for (int i = 0; i < dim->count; i++)
        if (!term_is_whole(&dim->terms[i]))
            return false;
    return true;
}

static const struct term *dim_find_monomial(const struct dim *dim, const struct term *monomial) {
    for (int i = 0; i < dim->count; i++)
        if (monomial_same(&dim->terms[i], monomial))
            return &dim->terms[i];
    return NULL;
}

/* Is the value of `dim` an integer for all sizes? By its terms, or by one assumption and the terms of what is
 * left. */
static bool dim_is_whole(struct types *types, const struct dim *dim) {
    if (terms_are_whole(dim))
        return true;
    for (int i = 0; i < types->assumptions.count; i++) {
        const struct assumption *known = &types->assumptions.at[i];
        const struct term *lead = &known->dim->terms[0], *t = dim_find_monomial(dim, lead);
        if (!t)
            continue;
        struct ratio r = ratio_div(t->coefficient, lead->coefficient);
        if (known->n % r.den == 0 &&
            terms_are_whole(dim_combine(types, dim, known->dim, ratio_mul(r, minus_one))))
            return true;
    }
    return false;
}

bool dim_is_multiple(struct types *types, const struct dim *dim, int64_t n) {
    return n != 0 && dim_is_whole(types, dim_scale(types, dim, ratio_make(1, n)));
}

void dim_assume_multiple(struct types *types, const struct dim *dim, int64_t n) {
    if (n <= 1 || dim_is_multiple(types, dim, n) || dim->count == 0)
        return;
    const struct term *t = &dim->terms[0];
    if (dim->count == 1 && t->count == 1 && t->degree == 1) {
        /* p/q * H a multiple of n: H a multiple of n*q / gcd(n*q, p). */
        struct atom *atom = t->factors[0].atom;
        if (atom->multiple == 1)
            VEC_PUSH(types->arena, &types->assumed, atom);
        atom->multiple =
            lcm(atom->multiple, ratio_make((wide)n * t->coefficient.den, t->coefficient.num).num);
        if (atom->multiple < 0)
            atom->multiple = -atom->multiple;
        return;
    }
    VEC_PUSH(types->arena, &types->assumptions, ((struct assumption){dim, n}));
}

void dim_forget_assumptions(struct types *types) {
    for (int i = 0; i < types->assumed.count; i++)
        types->assumed.at[i]->multiple = 1;
    types->assumed.count = types->assumptions.count = 0;
}

/* ---- floor ---- */

static int64_t common_denominator(const struct dim *dim, bool with_constant) {
    int64_t den = 1;
    for (int i = 0; i < dim->count; i++)
        if (with_constant || dim->terms[i].count > 0)
            den = lcm(den, dim->terms[i].coefficient.den);
    return den;
}

/* The term 1/den * floor(x) of `dim`: then floor(dim) = floor(dim with x in place of floor(x)). */
static const struct term *find_inner_floor(const struct dim *dim, int64_t den) {
    for (int i = 0; i < dim->count; i++) {
        const struct term *t = &dim->terms[i];
        if (t->degree == 1 && t->factors[0].atom->inner && t->coefficient.num == 1 &&
            t->coefficient.den == den)
            return t;
    }
    return NULL;
}

/* Where rest - c/den is known to be whole for one 0 <= c < den, that is the floor: (K - 1)/2 for an odd K. */
static bool take_whole(struct types *types, struct poly *out, const struct dim *rest) {
    int64_t den = common_denominator(rest, true);
    if (types->assumptions.count == 0 || den > 64)
        return false;
    for (int64_t c = 0; c < den; c++) {
        const struct dim *whole =
            dim_sub(types, rest, dim_scale(types, dim_const(types, c), ratio_make(1, den)));
        if (!dim_is_whole(types, whole))
            continue;
        poly_add(types, out, whole, one);
        return true;
    }
    return false;
}

/* floor(x) for a dim with any rational coefficients. What is whole comes out; of the other coefficients the
 * fraction in (0, 1) stays under the floor; a constant there counts only in steps of what the others have in
 * common. */
static const struct dim *dim_floor(struct types *types, const struct dim *x) {
    struct poly out, fraction;
    poly_init(&out);
    poly_init(&fraction);
    for (int i = 0; i < x->count; i++) {
        const struct term *t = &x->terms[i];
        struct ratio whole =
            term_is_whole(t) ? t->coefficient : (struct ratio){ratio_floor(t->coefficient), 1};
        poly_add_term(types, &out, whole, t);
        poly_add_term(types, &fraction, ratio_add(t->coefficient, ratio_mul(whole, minus_one)), t);
    }
    const struct dim *rest = poly_intern(types, &fraction);
    if (rest->count == 0 || rest->terms[0].count == 0)
        return poly_intern(types, &out);
    if (take_whole(types, &out, rest))
        return poly_intern(types, &out);
    int64_t den = common_denominator(rest, false);
    const struct term *last = &rest->terms[rest->count - 1], *inner = find_inner_floor(rest, den);
    if (last->count == 0 && den % last->coefficient.den != 0) {
        struct ratio scaled = ratio_mul(last->coefficient, (struct ratio){den, 1});
        poly_add_ratio(types, &fraction, ratio_mul(last->coefficient, minus_one));
        poly_add_ratio(types, &fraction, ratio_make(ratio_floor(scaled), den));
        rest = poly_intern(types, &fraction);
    }
    if (inner) {
        const struct dim *under = inner->factors[0].atom->inner;
        poly_add_term(types, &fraction, ratio_make(-1, den), inner);
        poly_add(types, &fraction, under, ratio_make(1, den));
        poly_add(types, &out, dim_floor(types, poly_intern(types, &fraction)), one);
        return poly_intern(types, &out);
    }
    poly_add_atom(types, &out, atom_get(types, NULL, rest), 1, one);
    return poly_intern(types, &out);
}

const struct dim *dim_floordiv(struct types *types, const struct dim *a, int64_t b) {
    assert(b != 0);
    return dim_floor(types, dim_scale(types, a, ratio_make(1, b)));
}

/* ---- asking ---- */

bool dim_is_const(const struct dim *dim) {
    return dim->count == 0 ||
           (dim->count == 1 && dim->terms[0].count == 0 && dim->terms[0].coefficient.den == 1);
}

int64_t dim_value(const struct dim *dim) {
    assert(dim_is_const(dim));
    return dim->count == 0 ? 0 : dim->terms[0].coefficient.num;
}

int64_t dim_denominator(const struct dim *dim) {
    return common_denominator(dim, true);
}

bool dim_is_integral(const struct dim *dim) {
    return dim_denominator(dim) == 1;
}

/* A bound of `dim` without floors that stand alone: x - (d - 1)/d <= floor(x) <= x, where d is the common
 * denominator. */
static const struct dim *dim_bound(struct types *types, const struct dim *dim, bool upper) {
    struct poly poly;
    poly_init(&poly);
    bool again = false;
    for (int i = 0; i < dim->count; i++) {
        const struct term *t = &dim->terms[i];
        const struct dim *inner = t->degree == 1 ? t->factors[0].atom->inner : NULL;
        if (!inner) {
            poly_add_term(types, &poly, t->coefficient, t);
            continue;
        }
        again = true;
        poly_add(types, &poly, inner, t->coefficient);
        if ((t->coefficient.num > 0) != upper) {
            int64_t den = common_denominator(inner, true);
            poly_add_ratio(types, &poly, ratio_mul(t->coefficient, ratio_make(1 - den, den)));
        }
    }
    const struct dim *bound = poly_intern(types, &poly);
    return again ? dim_bound(types, bound, upper) : bound;
}

/* All coefficients have the sign, and there is a constant: then so has the value, as atoms are >= 0. */
static bool has_sign(const struct dim *dim, int sign) {
    for (int i = 0; i < dim->count; i++)
        if ((dim->terms[i].coefficient.num > 0) != (sign > 0))
            return false;
    return dim->count > 0 && dim->terms[dim->count - 1].count == 0;
}

int dim_compare(struct types *types, const struct dim *a, const struct dim *b) {
    if (a == b)
        return 0;
    const struct dim *difference = dim_sub(types, a, b);
    if (has_sign(dim_bound(types, difference, false), 1))
        return 1;
    if (has_sign(dim_bound(types, difference, true), -1))
        return -1;
    return 2;
}

/* ---- substitution ---- */

static const struct dim *dim_substitute(struct types *types, const struct dim *dim,
                                        const struct dim_binding *bindings, int count);

static const struct dim *atom_substitute(struct types *types, struct atom *atom,
                                         const struct dim_binding *bindings, int count) {
    if (atom->inner)
        return dim_floor(types, dim_substitute(types, atom->inner, bindings, count));
    for (int i = 0; i < count; i++)
        if (strcmp(bindings[i].name, atom->name) == 0)
            return dim_const(types, bindings[i].value);
    return dim_var(types, atom->name);
}

static const struct dim *dim_substitute(struct types *types, const struct dim *dim,
                                        const struct dim_binding *bindings, int count) {
    struct poly poly;
    poly_init(&poly);
    for (int i = 0; i < dim->count; i++) {
        const struct dim *product = dim_const(types, 1);
        for (int j = 0; j < dim->terms[i].count; j++) {
            struct factor f = dim->terms[i].factors[j];
            const struct dim *value = atom_substitute(types, f.atom, bindings, count);
            for (int p = 0; p < f.power; p++)
                product = dim_mul(types, product, value);
        }
        poly_add(types, &poly, product, dim->terms[i].coefficient);
    }
    return poly_intern(types, &poly);
}

const struct dim *dim_bind(struct types *types, const struct dim *dim, const struct dim_binding *bindings,
                           int count) {
    if (dim_is_const(dim))
        return dim;
    const struct dim *bound = dim_substitute(types, dim, bindings, count);
    bool constant = bound->count == 0 || bound->terms[0].count == 0;
    return constant && !dim_is_const(bound) ? NULL : bound;
}

/* ---- text ---- */

static void ratio_print(struct strbuf *out, struct ratio r) {
    strbuf_printf(out, "%lld", (long long)r.num);
    if (r.den != 1)
        strbuf_printf(out, "/%lld", (long long)r.den);
}

static void terms_print(struct strbuf *out, const struct dim *dim, int64_t scale);

/* floor(H/2), floor((H + 1)/2) */
static void floor_print(struct strbuf *out, const struct dim *inner) {
    int64_t den = common_denominator(inner, true);
    strbuf_puts(out, inner->count > 1 ? "floor((" : "floor(");
    terms_print(out, inner, den);
    strbuf_printf(out, inner->count > 1 ? ")/%lld)" : "/%lld)", (long long)den);
}

static void terms_print(struct strbuf *out, const struct dim *dim, int64_t scale) {
    for (int i = 0; i < dim->count; i++) {
        const struct term *t = &dim->terms[i];
        struct ratio c = ratio_mul(t->coefficient, (struct ratio){scale, 1});
        if (i > 0)
            strbuf_puts(out, c.num < 0 ? " - " : " + ");
        else if (c.num < 0)
            strbuf_putc(out, '-');
        c.num = c.num < 0 ? -c.num : c.num;
        bool unit = c.num == 1 && c.den == 1 && t->count > 0;
        if (!unit)
            ratio_print(out, c);
        for (int j = 0; j < t->count; j++) {
            if (j > 0 || !unit)
                strbuf_putc(out, '*');
            if (t->factors[j].atom->name)
                strbuf_puts(out, t->factors[j].atom->name);
            else
                floor_print(out, t->factors[j].atom->inner);
            if (t->factors[j].power > 1)
                strbuf_printf(out, "^%d", t->factors[j].power);
        }
    }
}

void dim_print(struct strbuf *out, const struct dim *dim) {
    if (dim->count == 0)
        strbuf_putc(out, '0');
    terms_print(out, dim, 1);
}

const char *dim_text(struct types *types, const struct dim *dim) {
    struct strbuf buf;
    strbuf_init(&buf, types->arena);
    dim_print(&buf, dim);
    return buf.text;
}

/* dim   = ["-"] term {("+" | "-") term}
 * term  = power {("*" | "/" int) power}
 * power = int | name ["^" int] | "floor(" under ")" ["^" int]
 * under = "(" dim ")/" int | dim */
struct dim_reader {
    struct types *types;
    const char *at, *end;
    int depth; /* of floors, so that hostile text cannot exhaust the stack */
};
enum { DIM_READER_DEPTH = 32, DIM_READER_POWER = 64 };

static const struct dim *read_sum(struct dim_reader *r);

static bool take(struct dim_reader *r, char c) {
    while (r->at < r->end && *r->at == ' ')
        r->at++;
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool read_int(struct dim_reader *r, int64_t *value) {
    take(r, ' ');
    if (r->at == r->end || !isdigit((unsigned char)*r->at))
        return false;
    *value = 0;
    for (; r->at < r->end && isdigit((unsigned char)*r->at); r->at++)
        *value = clamp((wide)*value * 10 + (*r->at - '0'));
    return true;
}

static bool is_name_char(char c, bool first) {
    return c == '_' || isalpha((unsigned char)c) || (!first && (isdigit((unsigned char)c) || c == '.'));
}

static const struct dim *read_floor(struct dim_reader *r) {
    if (++r->depth > DIM_READER_DEPTH)
        return NULL;
    bool quotient = take(r, '(');
    const struct dim *dim = read_sum(r);
    int64_t den = 1;
    if (!dim || (quotient && !(take(r, ')') && take(r, '/') && read_int(r, &den) && den > 0)) ||
        !take(r, ')'))
        return NULL;
    r->depth--;
    return dim_floor(r->types, dim_scale(r->types, dim, ratio_make(1, den)));
}

static const struct dim *read_power(struct dim_reader *r) {
    int64_t value;
    if (read_int(r, &value))
        return dim_const(r->types, value);
    const char *begin = r->at;
    while (r->at < r->end && is_name_char(*r->at, r->at == begin))
        r->at++;
    size_t length = (size_t)(r->at - begin);
    if (length == 0)
        return NULL;
    const struct dim *base;
    if (length == 5 && memcmp(begin, "floor", 5) == 0 && take(r, '('))
        base = read_floor(r);
    else
        base = dim_var(r->types, arena_strndup(r->types->arena, begin, length));
    if (!base || !take(r, '^'))
        return base;
    if (base->count > 1 || !read_int(r, &value) || value < 1 || value > DIM_READER_POWER)
        return NULL;
    const struct dim *product = base;
    for (int64_t i = 1; i < value; i++)
        product = dim_mul(r->types, product, base);
    return product;
}

static const struct dim *read_term(struct dim_reader *r) {
    const struct dim *product = read_power(r);
    while (product) {
        int64_t den;
        if (take(r, '*')) {
            const struct dim *power = read_power(r);
            if (!power || (product->count > 1 && power->count > 1))
                return NULL;
            product = dim_mul(r->types, product, power);
        } else if (take(r, '/')) {
            if (!read_int(r, &den) || den == 0)
                return NULL;
            product = dim_scale(r->types, product, ratio_make(1, den));
        } else {
            break;
        }
    }
    return product;
}

static const struct dim *read_sum(struct dim_reader *r) {
    bool negative = take(r, '-');
    const struct dim *sum = read_term(r);
    if (sum && negative)
        sum = dim_scale(r->types, sum, minus_one);
    while (sum) {
        bool plus = take(r, '+');
        if (!plus && !take(r, '-'))
            break;
        const struct dim *term = read_term(r);
        sum = term ? dim_combine(r->types, sum, term, plus ? one : minus_one) : NULL;
    }
    return sum;
}

const struct dim *dim_parse(struct types *types, const char *text, size_t length) {
    struct dim_reader reader = {types, text, text + length, 0};
    const struct dim *dim = read_sum(&reader);
    take(&reader, ' ');
    return reader.at == reader.end ? dim : NULL;
}
