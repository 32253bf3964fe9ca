/* frontend/einops.c: einsum and rearrange. Their texts name axes: words separated by spaces, (a b) for a
 * merged axis,
 * ... for the axes that have no name, 1 for an axis of size 1. */
#include "frontend/builtin.h"

#include <ctype.h>
#include <string.h>

/* ---- axes and their sizes ---- */

/* An axis is the index of its name; the k-th of "..." counted from the end is the name "...k". */
struct axes {
    int *at;
    int count, capacity;
};
struct notation {
    struct elab *e;
    struct span span;
    VEC(const char *) names;
    VEC(const struct dim *) sizes; /* NULL: not known yet */
    VEC(int) parts;                /* of the text, in which the size was found */
    const char *text, *p;          /* the whole text, and what is left of it */
};

static int axis_named(struct notation *n, const char *name) {
    for (int i = 0; i < n->names.count; i++)
        if (n->names.at[i] == name)
            return i;
    VEC_PUSH(n->e->arena, &n->names, name);
    VEC_PUSH(n->e->arena, &n->sizes, (const struct dim *)NULL);
    VEC_PUSH(n->e->arena, &n->parts, 0);
    return n->names.count - 1;
}

static int rest_axis(struct notation *n, int from_end) {
    return axis_named(n, intern(n->e->names, arena_printf(n->e->arena, "...%d", from_end)));
}

static bool has_axis(const struct axes *axes, int axis) {
    for (int i = 0; i < axes->count; i++)
        if (axes->at[i] == axis)
            return true;
    return false;
}

static void add_axis(struct notation *n, struct axes *axes, int axis) {
    VEC_PUSH(n->e->arena, axes, axis);
}

/* The place of a piece of the text, where it stands in the model as it is; else of the whole. */
static struct span place_in_text(const struct notation *n, const char *at, size_t length) {
    struct span span = n->span;
    const char *written = span.source ? span.source->text + span.begin : "";
    if (*written != '"' || strncmp(written + 1, n->text, strlen(n->text)) != 0)
        return span;
    span.begin += 1 + (uint32_t)(at - n->text);
    span.end = span.begin + (uint32_t)length;
    return span;
}

static bool is_word_character(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* Where an axis stands in a part of the text; parts are separated by a comma or an arrow. */
static struct span mention(const struct notation *n, int part, const char *name) {
    size_t length = strlen(name);
    for (const char *p = n->text; *p; p++) {
        part -= *p == ',' || strncmp(p, "->", 2) == 0;
        bool starts = p == n->text || !is_word_character(p[-1]);
        if (part == 0 && starts && strncmp(p, name, length) == 0 && !is_word_character(p[length]))
            return place_in_text(n, p, length);
    }
    return n->span;
}

static bool wrong(struct notation *n, struct span span, const char *what) {
    report_error(n->e, span, E_ARGUMENT, "%s", what);
    return false;
}

static struct span here(const struct notation *n) {
    return place_in_text(n, n->p, *n->p ? 1 : 0);
}

static struct span behind(const struct notation *n, const char *word) {
    return place_in_text(n, n->p - strlen(word), strlen(word));
}

static void skip_spaces(struct notation *n) {
    while (*n->p == ' ')
        n->p++;
}

static bool take(struct notation *n, const char *text) {
    skip_spaces(n);
    size_t length = strlen(text);
    if (strncmp(n->p, text, length) != 0)
        return false;
    n->p += length;
    return true;
}

/* A name or a number; NULL: something else stands here. */
static const char *take_word(struct notation *n) {
    skip_spaces(n);
    size_t length = 0;
    while (is_word_character(n->p[length]))
        length++;
    const char *word = length > 0 ? intern_n(n->e->names, n->p, length) : NULL;
    n->p += length;
    return word;
}

/* ---- einsum ---- */

/* One operand's axes; `rank` of its tensor, or -1 for the result, whose "..." has as many axes as `rest`
 * says. */
static bool parse_term(struct notation *n, const struct type *type, int *rest, struct axes *out) {
    struct axes before = {0}, after = {0};
    bool has_rest = false;
    skip_spaces(n);
    const char *begin = n->p;
    for (;;) {
        if (take(n, "...")) {
            if (has_rest)
                return wrong(n, behind(n, "..."), "an operand of einsum has one `...`");
            has_rest = true;
            continue;
        }
        const char *word = take_word(n);
        if (!word)
            break;
        int axis = axis_named(n, word);
        if (has_axis(&before, axis) || has_axis(&after, axis))
            return wrong(
                n, behind(n, word),
                arena_printf(n->e->arena, "the axis `%s` stands twice in one operand of einsum", word));
        add_axis(n, has_rest ? &after : &before, axis);
    }
    int named = before.count + after.count;
    if (type && (type->rank < named || (type->rank > named && !has_rest))) {
        size_t length = (size_t)(n->p - begin);
        while (length > 0 && begin[length - 1] == ' ')
            length--;
        struct diag *diag = report_error(n->e, place_in_text(n, begin, length), E_SHAPE,
                                         "einsum names %d ax%s of %s, which has %d", named,
                                         named == 1 ? "is" : "es", type_text(n->e->types, type), type->rank);
        if (named == 1 && (int)length == type->rank && !has_rest)
            diag_hint(diag, "axes are words with blanks between them: \"b i, o i -> b o\"");
        return false;
    }
    int spare = !has_rest ? 0 : type ? type->rank - named : *rest;
    if (spare > *rest)
        *rest = spare;
    *out = before;
    for (int i = spare; i > 0; i--)
        add_axis(n, out, rest_axis(n, i));
    for (int i = 0; i < after.count; i++)
        add_axis(n, out, after.at[i]);
    return true;
}

/* Of the operand that the part-th part of the text names. */
static bool learn_sizes(struct notation *n, int part, const struct axes *axes, const struct type *type) {
    for (int i = 0; i < axes->count; i++) {
        int axis = axes->at[i];
        const struct dim *size = n->sizes.at[axis];
        if (!size) {
            n->sizes.at[axis] = size = type->dims[i];
            n->parts.at[axis] = part;
        }
        if (size == type->dims[i])
            continue;
        const char *name = n->names.at[axis], *first = dim_text(n->e->types, size),
                   *second = dim_text(n->e->types, type->dims[i]);
        struct span place = mention(n, part, name);
        struct diag *diag = report_error(n->e, place, E_SHAPE,
                                         "the axis `%s` of einsum is %s in one operand and %s in another",
                                         name, first, second);
        diag_label(diag, mention(n, n->parts.at[axis], name), "%s here", first);
        diag_label(diag, place, "%s here, in %s", second, type_text(n->e->types, type));
        return false;
    }
    return true;
}

struct term {
    struct value *x;
    struct axes axes;
};

static int place_of(const struct axes *axes, int axis) {
    for (int i = 0; i < axes->count; i++)
        if (axes->at[i] == axis)
            return i;
    return -1;
}

/* Sums out the axes that neither `other` nor `wanted` has. */
static void sum_out(struct notation *n, struct term *t, const struct axes *other, const struct axes *wanted) {
    struct axes kept = {0};
    int64_t *gone = ARENA_ARRAY(n->e->arena, int64_t, t->axes.count);
    int count = 0;
    for (int i = 0; i < t->axes.count; i++) {
        if ((other && has_axis(other, t->axes.at[i])) || has_axis(wanted, t->axes.at[i]))
            add_axis(n, &kept, t->axes.at[i]);
        else
            gone[count++] = i;
    }
    if (count > 0 && t->x)
        t->x = build_reduce(&n->e->b, t->x, "sum", gone, count);
    t->axes = kept;
}

/* t with the axes in the order of `wanted`, which has the same ones. */
static struct value *in_order(struct notation *n, const struct term *t, const struct axes *wanted) {
    int64_t *perm = ARENA_ARRAY(n->e->arena, int64_t, wanted->count);
    bool moves = false;
    for (int i = 0; i < wanted->count; i++) {
        perm[i] = place_of(&t->axes, wanted->at[i]);
        moves |= perm[i] != i;
    }
    return moves && t->x ? build_transpose(&n->e->b, t->x, perm) : t->x;
}

/* The axes of dot(a, b): shared ones that stay, then those of a alone, then those of b alone. */
static struct axes product_axes(struct notation *n, const struct term *a, const struct term *b,
                                const struct axes *wanted) {
    struct axes out = {0};
    for (int i = 0; i < a->axes.count; i++)
        if (has_axis(&b->axes, a->axes.at[i]) && has_axis(wanted, a->axes.at[i]))
            add_axis(n, &out, a->axes.at[i]);
    for (int i = 0; i < a->axes.count; i++)
        if (!has_axis(&b->axes, a->axes.at[i]))
            add_axis(n, &out, a->axes.at[i]);
    for (int i = 0; i < b->axes.count; i++)
        if (!has_axis(&a->axes, b->axes.at[i]))
            add_axis(n, &out, b->axes.at[i]);
    return out;
}

/* t with size 1 where it lacks an axis of `all`: ready to be multiplied elementwise. */
static struct value *spread(struct notation *n, const struct term *t, const struct axes *all) {
    struct axes own = {0};
    const struct dim **dims = ARENA_ARRAY(n->e->arena, const struct dim *, all->count);
    for (int i = 0; i < all->count; i++) {
        bool has = has_axis(&t->axes, all->at[i]);
        dims[i] = has ? n->sizes.at[all->at[i]] : dim_const(n->e->types, 1);
        if (has)
            add_axis(n, &own, all->at[i]);
    }
    struct value *x = in_order(n, t, &own);
    return x ? build_reshape(&n->e->b, x, all->count, dims) : NULL;
}

static struct term multiply(struct notation *n, const struct term *a, const struct term *b,
                            const struct axes *wanted) {
    struct elab *e = n->e;
    struct term out = {NULL, product_axes(n, a, b, wanted)};
    int64_t *batch[2], *inner[2];
    int batches = 0, inners = 0;
    for (int side = 0; side < 2; side++) {
        batch[side] = ARENA_ARRAY(e->arena, int64_t, a->axes.count);
        inner[side] = ARENA_ARRAY(e->arena, int64_t, a->axes.count);
    }
    for (int i = 0; i < a->axes.count; i++) {
        int k = place_of(&b->axes, a->axes.at[i]);
        if (k < 0)
            continue;
        bool stays = has_axis(wanted, a->axes.at[i]);
        (stays ? batch : inner)[0][stays ? batches : inners] = i;
        (stays ? batch : inner)[1][stays ? batches : inners] = k;
        stays ? batches++ : inners++;
    }
    if (!a->x || !b->x)
        return out;
    if (inners == 0)
        out.x = build_mul(&e->b, spread(n, a, &out.axes), spread(n, b, &out.axes));
    else
        out.x = dot_product(n->e, a->x, b->x, batch[0], batch[1], batches, inner[0], inner[1], inners);
    return out;
}

static bool same_order(const struct axes *a, const struct axes *b) {
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->at, b->at, sizeof *a->at * (size_t)a->count) == 0);
}

/* The operands change sides where that gives the result's order without a transpose. */
static struct term product(struct notation *n, const struct term *a, const struct term *b,
                           const struct axes *wanted) {
    struct axes forward = product_axes(n, a, b, wanted), backward = product_axes(n, b, a, wanted);
    bool swap = !same_order(&forward, wanted) && same_order(&backward, wanted);
    return swap ? multiply(n, b, a, wanted) : multiply(n, a, b, wanted);
}

/* What is still wanted while operands from `next` on are to come. */
static struct axes needed_axes(struct notation *n, const struct term *terms, int next, int count,
                               const struct axes *result) {
    struct axes out = *result;
    out.at = arena_memdup(n->e->arena, result->at, sizeof *out.at * (size_t)result->count);
    out.capacity = out.count;
    for (int t = next; t < count; t++)
        for (int i = 0; i < terms[t].axes.count; i++)
            if (!has_axis(&out, terms[t].axes.at[i]))
                add_axis(n, &out, terms[t].axes.at[i]);
    return out;
}

static bool parse_einsum(struct notation *n, struct term *terms, int count, struct axes *result) {
    int rest = 0;
    for (int t = 0; t < count; t++) {
        if (!parse_term(n, terms[t].x->type, &rest, &terms[t].axes) ||
            !learn_sizes(n, t, &terms[t].axes, terms[t].x->type))
            return false;
        if (!take(n, t + 1 < count ? "," : "->"))
            return wrong(n, here(n),
                         arena_printf(n->e->arena,
                                      "einsum has %d operand%s, its text has the form \"a b, b c -> a c\"",
                                      count, count == 1 ? "" : "s"));
    }
    if (!parse_term(n, NULL, &rest, result))
        return false;
    skip_spaces(n);
    if (*n->p)
        return wrong(n, here(n), arena_printf(n->e->arena, "`%c` has no meaning in einsum's text", *n->p));
    for (int i = 0; i < result->count; i++)
        if (!n->sizes.at[result->at[i]])
            return wrong(n, mention(n, count, n->names.at[result->at[i]]),
                         arena_printf(n->e->arena, "no operand of einsum has the axis `%s`",
                                      n->names.at[result->at[i]]));
    return true;
}

static struct datum run_einsum(struct elab *e, const struct builtin_call *c) {
    const char *text = arg_string(e, c, 0);
    const struct list *operands = c->args[1].list;
    if (!text)
        return datum_error();
    if (operands->count == 0)
        return fail(e, c->span, E_ARGUMENT, "einsum wants operands");
    struct notation n = {.e = e, .span = c->spans[0], .text = text, .p = text};
    struct term *terms = ARENA_ARRAY(e->arena, struct term, operands->count);
    int dtype = DTYPE_ANY;
    for (int t = 0; t < operands->count; t++)
        if (operands->at[t].kind == DATUM_TENSOR && dtype == DTYPE_ANY)
            dtype = (int)operands->at[t].tensor->type->dtype;
    for (int t = 0; t < operands->count; t++)
        if (!(terms[t].x = to_tensor(e, operands->at[t], dtype, c->span)))
            return datum_error();
    struct axes result;
    if (!parse_einsum(&n, terms, operands->count, &result))
        return datum_error();
    struct term whole = terms[0];
    for (int t = 1; t < operands->count; t++) {
        struct axes wanted = needed_axes(&n, terms, t + 1, operands->count, &result);
        sum_out(&n, &whole, &terms[t].axes, &wanted);
        sum_out(&n, &terms[t], &whole.axes, &wanted);
        whole = product(&n, &whole, &terms[t], &wanted);
    }
    sum_out(&n, &whole, NULL, &result);
    return datum_tensor(in_order(&n, &whole, &result));
}

/* ---- rearrange ---- */

/* A side of the text: its axes in order, and how they are grouped: groups.at[i] axes make axis i of the
 * tensor. */
struct side {
    struct axes axes, groups;
};

static bool parse_axis(struct notation *n, struct side *s, int *members) {
    const char *word = take_word(n);
    if (!word)
        return false;
    if (strcmp(word, "1") == 0)
        return true; /* an axis of no elements' worth: an empty group, or a member of size 1 */
    int axis = axis_named(n, word);
    if (has_axis(&s->axes, axis))
        return wrong(n, behind(n, word),
                     arena_printf(n->e->arena, "the axis `%s` stands twice on one side of rearrange", word));
    add_axis(n, &s->axes, axis);
    ++*members;
    return true;
}

static bool parse_side(struct notation *n, int rest, struct side *s) {
    for (;;) {
        int members = 0, errors = diags_error_count(n->e->diags);
        if (take(n, "...")) {
            for (int i = rest; i > 0; i--) {
                add_axis(n, &s->axes, rest_axis(n, i));
                add_axis(n, &s->groups, 1);
            }
            continue;
        }
        if (take(n, "(")) {
            while (parse_axis(n, s, &members))
                ;
            if (!take(n, ")"))
                return diags_error_count(n->e->diags) == errors &&
                       wrong(n, here(n), "a `)` is missing in rearrange's text");
        } else if (!parse_axis(n, s, &members)) {
            return diags_error_count(n->e->diags) == errors;
        }
        add_axis(n, &s->groups, members);
    }
}

/* How many axes of the left side have names of their own, to tell how many ... stands for. */
static int count_groups(const char *text) {
    int groups = 0, depth = 0;
    for (const char *p = text; *p && strncmp(p, "->", 2) != 0; p++) {
        bool starts = (isalnum((unsigned char)*p) || *p == '_') &&
                      (p == text || !(isalnum((unsigned char)p[-1]) || p[-1] == '_'));
        groups += depth == 0 && (starts || *p == '(');
        depth += (*p == '(') - (*p == ')');
    }
    return groups;
}

static bool given_sizes(struct notation *n, const struct builtin_call *c, const struct list *sizes) {
    for (int i = 0; i < sizes->count; i++) {
        if (sizes->at[i].kind != DATUM_INT) {
            report_error(n->e, c->span, E_TYPE, "the size of the axis `%s` is an int, this is %s",
                         sizes->names[i], describe(n->e, sizes->at[i]));
            return false;
        }
        int axis = axis_named(n, sizes->names[i]); /* may move the array */
        n->sizes.at[axis] = sizes->at[i].size;
    }
    return true;
}

/* Whether the text has every axis that a size is given for. */
static bool all_stand_in(struct notation *n, const struct builtin_call *c, const struct axes *axes) {
    const struct list *sizes = c->args[2].list;
    for (int i = 0; i < sizes->count; i++) {
        if (has_axis(axes, axis_named(n, sizes->names[i])))
            continue;
        struct diag *diag = report_error(n->e, c->span, E_ARGUMENT,
                                         "a size is given for `%s`, which is no axis of the text's left side",
                                         sizes->names[i]);
        const char **names = ARENA_ARRAY(n->e->arena, const char *, axes->count + 1);
        for (int k = 0; k < axes->count; k++)
            names[k] = n->names.at[axes->at[k]];
        diag_note(diag, "its axes are %s", names_text(n->e->arena, names, axes->count));
        return false;
    }
    return true;
}

/* The sizes of one group's axes: one of them may follow from the others. */
static bool solve_group(struct notation *n, const int *axes, int count, const struct dim *whole) {
    struct elab *e = n->e;
    const struct dim *known = dim_const(e->types, 1);
    int open = -1;
    for (int i = 0; i < count; i++) {
        if (n->sizes.at[axes[i]])
            known = dim_mul(e->types, known, n->sizes.at[axes[i]]);
        else if (open < 0)
            open = axes[i];
        else
            return wrong(n, mention(n, 0, n->names.at[open]),
                         arena_printf(e->arena,
                                      "the sizes of `%s` and `%s` do not follow: give one, as in %s: 4",
                                      n->names.at[open], n->names.at[axes[i]], n->names.at[open]));
    }
    if (open >= 0 && dim_is_const(whole) && dim_is_const(known) &&
        (dim_value(known) == 0 || dim_value(whole) % dim_value(known) != 0)) {
        report_error(e, mention(n, 0, n->names.at[open]), E_DIM,
                     "no size of `%s` makes the axis %s: %s does not divide it", n->names.at[open],
                     dim_text(e->types, whole), dim_text(e->types, known));
        return false;
    }
    if (open >= 0) {
        struct datum size = divide_sizes(e, whole, known, n->span);
        if (size.kind != DATUM_INT)
            return false;
        n->sizes.at[open] = size.size;
        return true;
    }
    if (known == whole)
        return true;
    report_error(e, n->span, E_SHAPE, "an axis of rearrange is %s, but its parts make %s",
                 dim_text(e->types, whole), dim_text(e->types, known));
    return false;
}

/* Whether the axes of one part of the text stand in the other, too. */
static bool same_axes(struct notation *n, const struct axes *a, const struct axes *b, int part) {
    for (int i = 0; i < a->count; i++) {
        const char *name = n->names.at[a->at[i]];
        if (!has_axis(b, a->at[i]))
            return wrong(n, mention(n, part, name),
                         arena_printf(n->e->arena, "the axis `%s` is not on the %s side of rearrange's text",
                                      name, part == 0 ? "right" : "left"));
    }
    return true;
}

static struct value *build_rearrange(struct notation *n, struct value *x, const struct side *from,
                                     const struct side *to) {
    struct elab *e = n->e;
    const struct dim **split = ARENA_ARRAY(e->arena, const struct dim *, from->axes.count),
                     **merged = ARENA_ARRAY(e->arena, const struct dim *, to->groups.count);
    for (int i = 0; i < from->axes.count; i++)
        split[i] = n->sizes.at[from->axes.at[i]];
    struct term t = {build_reshape(&e->b, x, from->axes.count, split), from->axes};
    struct value *moved = in_order(n, &t, &to->axes);
    for (int i = 0, at = 0; i < to->groups.count; i++) {
        merged[i] = dim_const(e->types, 1);
        for (int k = 0; k < to->groups.at[i]; k++)
            merged[i] = dim_mul(e->types, merged[i], n->sizes.at[to->axes.at[at++]]);
    }
    return moved ? build_reshape(&e->b, moved, to->groups.count, merged) : NULL;
}

static struct datum run_rearrange(struct elab *e, const struct builtin_call *c) {
    struct value *x = arg_tensor(e, c, 0, DTYPE_ANY);
    const char *text = x ? arg_string(e, c, 1) : NULL;
    if (!text)
        return datum_error();
    struct notation n = {.e = e, .span = c->spans[1], .text = text, .p = text};
    int rest = x->type->rank - count_groups(text);
    struct side from = {{0}, {0}}, to = {{0}, {0}};
    if (!given_sizes(&n, c, c->args[2].list) || !parse_side(&n, rest > 0 ? rest : 0, &from))
        return datum_error();
    if (!take(&n, "->"))
        return fail(e, c->spans[1], E_ARGUMENT, "rearrange's text has the form \"a (b c) -> (a b) c\"");
    if (!parse_side(&n, rest > 0 ? rest : 0, &to))
        return datum_error();
    if (from.groups.count != x->type->rank)
        return fail(e, c->spans[1], E_SHAPE, "rearrange names %d ax%s of %s, which has %d", from.groups.count,
                    from.groups.count == 1 ? "is" : "es", type_text(e->types, x->type), x->type->rank);
    if (!all_stand_in(&n, c, &from.axes))
        return datum_error();
    for (int i = 0, at = 0; i < from.groups.count; at += from.groups.at[i++])
        if (!solve_group(&n, from.axes.at + at, from.groups.at[i], x->type->dims[i]))
            return datum_error();
    if (!same_axes(&n, &from.axes, &to.axes, 0) || !same_axes(&n, &to.axes, &from.axes, 1))
        return datum_error();
    return datum_tensor(build_rearrange(&n, x, &from, &to));
}

const struct builtin builtins_einops[] = {
    {"einsum", "spec operands*", run_einsum, 0},
    {"rearrange", "tensor notation sizes**", run_rearrange, 0}, /* x is the name of an axis */
    {0},
};
