/* frontend/index.c: x[...]: NumPy's basic indexing, gathers by an i32 tensor, and runs from a run-time start
 * (S19). */
#include "frontend/elab.h"

#include <string.h>

/* What happens to one axis of the operand, or, for NEW, between two. */
enum axis_kind { AXIS_SLICE, AXIS_POINT, AXIS_RUN, AXIS_GATHER, AXIS_NEW };
struct axis {
    enum axis_kind kind;
    const struct dim *start, *size; /* SLICE; POINT: start; RUN: size */
    int64_t step;                   /* SLICE */
    struct value *index;            /* GATHER; RUN: its start, i32[] */
    struct span span;
};
struct plan {
    struct elab *e;
    struct value *x;
    VEC(struct axis) axes; /* in the order of the result */
    int taken;             /* axes of x that have their plan */
    int gathers;           /* by tensors of rank 1 and more */
};

static const struct dim *number(struct elab *e, int64_t n) {
    return dim_const(e->types, n);
}

/* ---- static places ---- */

/* A negative number counts from the end; sizes are taken as they are. */
static const struct dim *from_end(struct elab *e, const struct dim *i, const struct dim *size) {
    return dim_is_const(i) && dim_value(i) < 0 ? dim_add(e->types, size, i) : i;
}

static const struct dim *clamp_to(struct elab *e, const struct dim *i, const struct dim *size) {
    if (dim_is_const(i) && dim_value(i) < 0)
        return number(e, 0);
    return dim_compare(e->types, i, size) == 1 ? size : i;
}

static bool plan_point(struct plan *p, const struct dim *i, struct span span) {
    struct elab *e = p->e;
    const struct dim *size = p->x->type->dims[p->taken];
    const struct dim *place = from_end(e, i, size);
    int order = dim_compare(e->types, place, size);
    if (order == 0 || order == 1 || (dim_is_const(place) && dim_value(place) < 0)) {
        fail(e, span, E_INDEX, "the index %s is not in axis %d of %s", dim_text(e->types, i), p->taken,
             type_text(e->types, p->x->type));
        return false;
    }
    VEC_PUSH(
        e->arena, &p->axes,
        ((struct axis){.kind = AXIS_POINT, .start = place, .size = number(e, 1), .step = 1, .span = span}));
    p->taken++;
    return true;
}

static void plan_slice(struct plan *p, const struct dim *start, int64_t step, const struct dim *size,
                       struct span span) {
    if (dim_is_const(size) && dim_value(size) < 0)
        size = number(p->e, 0);
    VEC_PUSH(p->e->arena, &p->axes,
             ((struct axis){.kind = AXIS_SLICE, .start = start, .size = size, .step = step, .span = span}));
    p->taken++;
}

static void plan_whole_axis(struct plan *p, struct span span) {
    plan_slice(p, number(p->e, 0), 1, p->x->type->dims[p->taken], span);
}

/* The elements from start to end, in steps: NumPy's rule, for sizes that may be symbolic. */
static void plan_range(struct plan *p, const struct dim *from, const struct dim *to, int64_t step,
                       struct span span) {
    struct elab *e = p->e;
    const struct dim *size = p->x->type->dims[p->taken], *start, *length;
    if (step > 0) {
        start = from ? clamp_to(e, from_end(e, from, size), size) : number(e, 0);
        const struct dim *end = to ? clamp_to(e, from_end(e, to, size), size) : size;
        length = dim_sub(e->types, end, start);
    } else {
        const struct dim *last = dim_sub(e->types, size, number(e, 1));
        start = from ? clamp_to(e, from_end(e, from, size), last) : last;
        const struct dim *end = to ? clamp_to(e, from_end(e, to, size), last) : number(e, -1);
        length = dim_sub(e->types, start, end);
    }
    int64_t stride = step > 0 ? step : -step;
    if (stride > 1)
        length = dim_floordiv(e->types, dim_add(e->types, length, number(e, stride - 1)), stride);
    plan_slice(p, start, step, length, span);
}

/* An optional int; false: reported. */
static bool slice_part(struct elab *e, const struct expr *x, const struct dim **out) {
    *out = NULL;
    if (!x)
        return true;
    struct datum d = evaluate(e, x);
    if (datum_is_none(d))
        return true;
    if (d.kind == DATUM_INT) {
        *out = d.size;
        return true;
    }
    if (d.kind == DATUM_TENSOR)
        diag_hint(report_error(e, x->span, E_TIME, "the ends of a slice are known at elaboration, this is %s",
                               describe(e, d)),
                  "x[a : +n] takes n elements from a run-time a");
    else if (!datum_is_error(d))
        fail(e, x->span, E_TYPE, "an int is wanted in a slice, this is %s", describe(e, d));
    return false;
}

static bool slice_step(struct elab *e, const struct expr *x, int64_t *step) {
    const struct dim *d;
    *step = 1;
    if (!slice_part(e, x, &d))
        return false;
    if (!d)
        return true;
    if (!dim_is_const(d) || dim_value(d) == 0) {
        fail(e, x->span, E_INDEX, "a step is a known int and not 0");
        return false;
    }
    *step = dim_value(d);
    return true;
}

/* ---- run-time places ---- */

static bool plan_gather(struct plan *p, struct value *index, struct span span) {
    struct elab *e = p->e;
    enum dtype dtype = index->type->dtype;
    if (dtype == DTYPE_bool) {
        diag_hint(report_error(e, span, E_TYPE, "a bool mask gives a size that is not known"),
                  "`where(mask, x, y)` keeps the shape");
        return false;
    }
    if (!dtype_is_int(dtype)) {
        fail(e, span, E_DTYPE, "an index is an integer, this is %s", type_text(e->types, index->type));
        return false;
    }
    if (index->type->rank > 0 && ++p->gathers > 1) {
        diag_hint(report_error(e, span, E_UNSUPPORTED, "one index tensor is taken at a time"),
                  "pick(x, i, axis: a) takes one element of each row, take_along(x, i, axis: a) several");
        return false;
    }
    VEC_PUSH(e->arena, &p->axes, ((struct axis){.kind = AXIS_GATHER, .index = index, .span = span}));
    p->taken++;
    return true;
}

static bool plan_run(struct plan *p, const struct sub *sub) {
    struct elab *e = p->e;
    struct datum start = sub->a ? evaluate(e, sub->a) : datum_int(e->types, 0), n = evaluate(e, sub->b);
    if (datum_is_error(start) || datum_is_error(n))
        return false;
    if (n.kind != DATUM_INT) {
        fail(e, sub->b->span, E_TYPE, "the length of a run is an int, this is %s", describe(e, n));
        return false;
    }
    if (start.kind == DATUM_INT) {
        plan_slice(p, from_end(e, start.size, p->x->type->dims[p->taken]), 1, n.size, sub->span);
        return true;
    }
    struct value *index = to_tensor(e, start, DTYPE_i32, sub->span);
    if (!index)
        return false;
    VEC_PUSH(e->arena, &p->axes,
             ((struct axis){.kind = AXIS_RUN, .index = index, .size = n.size, .step = 1, .span = sub->span}));
    p->taken++;
    return true;
}

/* ---- one subscript after the other ---- */

static bool plan_index(struct plan *p, const struct sub *sub, struct datum d) {
    struct elab *e = p->e;
    switch (d.kind) {
    case DATUM_INT:
        return plan_point(p, d.size, sub->span);
    case DATUM_TENSOR:
    case DATUM_CONSTANT: {
        struct value *index = to_tensor(e, d, DTYPE_ANY, sub->span);
        return index && plan_gather(p, index, sub->span);
    }
    case DATUM_ERROR:
        return false;
    default:
        diag_hint(report_error(e, sub->span, E_TYPE,
                               "an index is an int, a slice, none or an i32 tensor, this is %s",
                               describe(e, d)),
                  "%s",
                  d.kind == DATUM_LIST ? "tensor([0, 2], i32) makes one of a list"
                                       : "a tensor of floats is made one by i32(x)");
        return false;
    }
}

static bool has_axis_left(struct plan *p, struct span span) {
    if (p->taken < p->x->type->rank)
        return true;
    fail(p->e, span, E_INDEX, "%s has %d axes, this index is one more", type_text(p->e->types, p->x->type),
         p->x->type->rank);
    return false;
}

static bool plan_sub(struct plan *p, const struct sub *sub) {
    struct elab *e = p->e;
    struct datum d = {0};
    if (sub->kind == SUB_INDEX) {
        d = evaluate(e, sub->a);
        if (datum_is_none(d)) {
            VEC_PUSH(e->arena, &p->axes,
                     ((struct axis){.kind = AXIS_NEW, .size = number(e, 1), .span = sub->span}));
            return true;
        }
    }
    if (!has_axis_left(p, sub->span))
        return false;
    if (sub->kind == SUB_INDEX)
        return plan_index(p, sub, d);
    if (sub->kind == SUB_LENGTH)
        return plan_run(p, sub);
    const struct dim *from, *to;
    int64_t step;
    if (!slice_part(e, sub->a, &from) || !slice_part(e, sub->b, &to) || !slice_step(e, sub->step, &step))
        return false;
    plan_range(p, from, to, step, sub->span);
    return true;
}

static bool takes_axis(const struct sub *sub) {
    return sub->kind != SUB_INDEX || sub->a->kind != EXPR_NONE;
}

static bool plan_subs(struct plan *p, const struct expr *x) {
    int wanted = 0;
    for (const struct sub *sub = x->subs; sub; sub = sub->next)
        wanted += sub->kind != SUB_ELLIPSIS && takes_axis(sub);
    for (const struct sub *sub = x->subs; sub; sub = sub->next) {
        if (sub->kind != SUB_ELLIPSIS) {
            if (!plan_sub(p, sub))
                return false;
            continue;
        }
        for (int spare = p->x->type->rank - wanted; spare > 0; spare--)
            plan_whole_axis(p, sub->span);
        wanted = p->x->type->rank;
    }
    while (p->taken < p->x->type->rank)
        plan_whole_axis(p, x->span);
    return true;
}

/* ---- building ---- */

static bool is_identity(const struct plan *p, const struct axis *a, int axis) {
    return a->kind != AXIS_POINT &&
           (a->kind != AXIS_SLICE || (a->step == 1 && dim_is_const(a->start) && dim_value(a->start) == 0 &&
                                      a->size == p->x->type->dims[axis]));
}

/* Slices and points in one op; other axes stay whole. */
static struct value *build_slices(struct plan *p) {
    struct elab *e = p->e;
    int rank = p->x->type->rank, axis = 0;
    const struct dim **start = ARENA_ARRAY(e->arena, const struct dim *, rank),
                     **size = ARENA_ARRAY(e->arena, const struct dim *, rank);
    int64_t *step = ARENA_ARRAY(e->arena, int64_t, rank);
    bool needed = false;
    for (int i = 0; i < p->axes.count; i++) {
        const struct axis *a = &p->axes.at[i];
        if (a->kind == AXIS_NEW)
            continue;
        bool moves = a->kind == AXIS_SLICE || a->kind == AXIS_POINT;
        start[axis] = moves ? a->start : number(e, 0);
        size[axis] = moves ? a->size : p->x->type->dims[axis];
        step[axis] = moves ? a->step : 1;
        needed |= !is_identity(p, a, axis);
        axis++;
    }
    return needed ? build_slice(&e->b, p->x, start, step, size) : p->x;
}

static struct value *build_runs(struct plan *p, struct value *x) {
    struct elab *e = p->e;
    int rank = p->x->type->rank, axis = 0;
    struct value **in = ARENA_ARRAY(e->arena, struct value *, rank + 1);
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, rank);
    bool needed = false;
    if (!x)
        return NULL;
    in[0] = x;
    for (int i = 0; i < p->axes.count; i++) {
        const struct axis *a = &p->axes.at[i];
        if (a->kind == AXIS_NEW)
            continue;
        needed |= a->kind == AXIS_RUN;
        dims[axis] = a->kind == AXIS_RUN ? a->size : x->type->dims[axis];
        in[++axis] = a->kind == AXIS_RUN ? a->index : NULL;
    }
    if (!needed)
        return x;
    for (int i = 1; i <= rank; i++)
        if (!in[i])
            in[i] = build_int(&e->b, DTYPE_i32, 0);
    const struct type *type = type_with_dims(e->types, x->type, rank, dims);
    struct op *op = build_op(&e->b, OP_dynamic_slice, in, rank + 1, NULL, 0, &type, 1);
    return op ? op->out[0] : NULL;
}

/* From the last axis on, so that those in front keep their numbers. */
static struct value *build_gathers(struct plan *p, struct value *x) {
    int axis = p->x->type->rank;
    for (int i = p->axes.count - 1; i >= 0 && x; i--) {
        const struct axis *a = &p->axes.at[i];
        axis -= a->kind != AXIS_NEW;
        if (a->kind != AXIS_GATHER)
            continue;
        check_index(p->e, a->index, x, axis);
        x = build_gather(&p->e->b, x, a->index, axis, 0);
    }
    return x;
}

/* The dims of the result: points are gone, new axes are there. */
static const struct type *result_type(struct plan *p) {
    struct elab *e = p->e;
    VEC(const struct dim *) dims = {0};
    for (int i = 0; i < p->axes.count; i++) {
        const struct axis *a = &p->axes.at[i];
        if (a->kind == AXIS_GATHER)
            for (int k = 0; k < a->index->type->rank; k++)
                VEC_PUSH(e->arena, &dims, a->index->type->dims[k]);
        else if (a->kind != AXIS_POINT)
            VEC_PUSH(e->arena, &dims, a->size);
    }
    return type_with_dims(e->types, p->x->type, dims.count, dims.at);
}

static struct datum index_tensor(struct elab *e, struct datum a, const struct expr *x) {
    struct plan p = {.e = e, .x = to_tensor(e, a, DTYPE_ANY, x->a->span)};
    if (!p.x || !plan_subs(&p, x))
        return datum_error();
    struct value *y = build_gathers(&p, build_runs(&p, build_slices(&p)));
    const struct type *type = result_type(&p);
    if (y && y->type != type)
        y = build_reshape(&e->b, y, type->rank, type->dims);
    return datum_tensor(y);
}

/* ---- lists and strings ---- */

static bool list_place(struct elab *e, const struct list *items, const struct expr *x, int *out) {
    const struct sub *sub = x->subs;
    struct datum d = evaluate(e, sub->a);
    if (!datum_is_known_int(d)) {
        if (d.kind == DATUM_TENSOR)
            diag_hint(report_error(e, sub->span, E_TIME,
                                   "a list is indexed at elaboration, this is %s of run time",
                                   describe(e, d)),
                      "stack(list) makes a tensor of it");
        else if (!datum_is_error(d))
            fail(e, sub->span, E_TYPE, "a list is indexed by a known int, this is %s", describe(e, d));
        return false;
    }
    int64_t i = dim_value(d.size);
    if (i < -items->count || i >= items->count) {
        fail(e, sub->span, E_INDEX, "the index %lld is not in a list of %d", (long long)i, items->count);
        return false;
    }
    *out = (int)(i < 0 ? i + items->count : i);
    return true;
}

static int64_t list_end(const struct dim *given, int64_t otherwise, int64_t count) {
    int64_t i = given ? dim_value(given) : otherwise;
    if (given && i < 0)
        i += count;
    return i;
}

static struct datum slice_list(struct elab *e, const struct list *items, const struct expr *x) {
    const struct sub *sub = x->subs;
    const struct dim *from, *to;
    int64_t step;
    if (!slice_part(e, sub->a, &from) || !slice_part(e, sub->b, &to) || !slice_step(e, sub->step, &step))
        return datum_error();
    if ((from && !dim_is_const(from)) || (to && !dim_is_const(to)))
        return fail(e, sub->span, E_TIME, "the ends of a list's slice must be known");
    int64_t n = items->count, i = list_end(from, step > 0 ? 0 : n - 1, n),
            end = list_end(to, step > 0 ? n : -1, n);
    if (sub->kind == SUB_LENGTH)
        end = i + (to ? dim_value(to) : 0);
    if (i < 0)
        i = step > 0 ? 0 : -1;
    if (i >= n && step < 0)
        i = n - 1;
    VEC(struct datum) out = {0};
    for (; step > 0 ? i < end && i < n : i > end && i >= 0; i += step)
        VEC_PUSH(e->arena, &out, items->at[i]);
    return datum_list(e->arena, out.at, out.count);
}

static bool has_one_sub(struct elab *e, const struct expr *x) {
    if (x->subs && !x->subs->next && x->subs->kind != SUB_ELLIPSIS)
        return true;
    fail(e, x->span, E_INDEX, "a list has one index");
    return false;
}

static struct datum index_list(struct elab *e, struct datum a, const struct expr *x) {
    const struct list *items;
    int i;
    if (!datum_items(e, a, x->a->span, &items) || !has_one_sub(e, x))
        return datum_error();
    if (x->subs->kind != SUB_INDEX)
        return slice_list(e, items, x);
    return list_place(e, items, x, &i) ? items->at[i] : datum_error();
}

struct datum apply_index(struct elab *e, struct datum a, const struct expr *x) {
    switch (a.kind) {
    case DATUM_ERROR:
        return a;
    case DATUM_LIST:
    case DATUM_TUPLE:
    case DATUM_RANGE:
        return index_list(e, a, x);
    case DATUM_TENSOR:
    case DATUM_CONSTANT:
        return index_tensor(e, a, x);
    default:
        return fail(e, x->span, E_TYPE, "%s has no elements", describe(e, a));
    }
}

/* ---- x[i] = v ---- */

static struct datum set_in_list(struct elab *e, struct datum a, const struct expr *x, struct datum v) {
    const struct list *items;
    int i;
    if (!datum_items(e, a, x->a->span, &items) || !has_one_sub(e, x))
        return datum_error();
    if (x->subs->kind != SUB_INDEX)
        return fail(e, x->span, E_UNSUPPORTED, "one element of a list is set at a time");
    if (!list_place(e, items, x, &i))
        return datum_error();
    struct datum copy = datum_copy(e->arena, (struct datum){.kind = DATUM_LIST, .list = items});
    *datum_at(copy, i) = v;
    return copy;
}

static bool has_steps(const struct plan *p) {
    bool any = false;
    for (int i = 0; i < p->axes.count; i++)
        any |= p->axes.at[i].kind == AXIS_SLICE && p->axes.at[i].step != 1;
    return any;
}

/* A tensor of the piece's dims in its place among zeros of x's dims. */
static struct value *spread(struct plan *p, struct value *u) {
    struct elab *e = p->e;
    int rank = p->x->type->rank, axis = 0;
    const struct dim **lo = ARENA_ARRAY(e->arena, const struct dim *, rank),
                     **hi = ARENA_ARRAY(e->arena, const struct dim *, rank),
                     **first = ARENA_ARRAY(e->arena, const struct dim *, rank);
    int64_t *gap = ARENA_ARRAY(e->arena, int64_t, rank), *turn = ARENA_ARRAY(e->arena, int64_t, rank);
    for (int i = 0; i < p->axes.count; i++) {
        const struct axis *a = &p->axes.at[i];
        if (a->kind == AXIS_NEW)
            continue;
        const struct dim *last = dim_sub(e->types, a->size, number(e, 1)),
                         *reach = dim_mul(e->types, last, number(e, a->step < 0 ? -a->step : a->step));
        turn[axis] = a->step < 0 ? -1 : 1;
        first[axis] = a->step < 0 ? last : number(e, 0);
        lo[axis] = a->step < 0 ? dim_sub(e->types, a->start, reach) : a->start;
        gap[axis] = (a->step < 0 ? -a->step : a->step) - 1;
        hi[axis] = dim_sub(e->types, p->x->type->dims[axis],
                           dim_add(e->types, lo[axis], dim_add(e->types, reach, number(e, 1))));
        axis++;
    }
    u = build_slice(&e->b, u, first, turn, u->type->dims);
    return build_pad(&e->b, u, lo, hi, gap, 0);
}

/* Elements that are steps apart: where a mask, spread as they are, says so. */
static struct value *set_steps(struct plan *p, struct value *u) {
    struct elab *e = p->e;
    int rank = p->x->type->rank, axis = 0;
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, rank);
    for (int i = 0; i < p->axes.count; i++) {
        const struct axis *a = &p->axes.at[i];
        if (a->kind == AXIS_NEW)
            continue;
        if (a->index) {
            fail(e, a->span, E_UNSUPPORTED, "beside a step the other places are known at elaboration");
            return NULL;
        }
        if (dim_is_const(a->size) && dim_value(a->size) == 0)
            return p->x;
        dims[axis++] = a->size;
    }
    struct value *piece = build_reshape(&e->b, u, rank, dims);
    struct value *ones =
        piece ? build_full(&e->b, type_with_dtype(e->types, piece->type, DTYPE_bool), 1) : NULL;
    if (!ones)
        return NULL;
    return build_select(&e->b, spread(p, ones), spread(p, piece), p->x);
}

/* The piece at run-time or known starts, by dynamic_update. */
static struct value *set_piece(struct plan *p, struct value *u) {
    struct elab *e = p->e;
    if (has_steps(p))
        return set_steps(p, u);
    int rank = p->x->type->rank, axis = 0;
    struct value **in = ARENA_ARRAY(e->arena, struct value *, rank + 2);
    const struct dim **dims = ARENA_ARRAY(e->arena, const struct dim *, rank);
    for (int i = 0; i < p->axes.count; i++) {
        const struct axis *a = &p->axes.at[i];
        if (a->kind == AXIS_NEW)
            continue;
        if (a->kind == AXIS_GATHER)
            check_index(e, a->index, p->x, axis);
        dims[axis] = a->kind == AXIS_GATHER ? number(e, 1) : a->size;
        in[2 + axis++] =
            a->index ? build_cast(&e->b, a->index, DTYPE_i32) : size_tensor(e, a->start, DTYPE_i32);
    }
    in[0] = p->x;
    in[1] = build_reshape(&e->b, u, rank, dims);
    struct op *op = build_op(&e->b, OP_dynamic_update, in, rank + 2, NULL, 0, NULL, 1);
    return op ? op->out[0] : NULL;
}

/* The rows that an index tensor names, by scatter; everything else must be whole. */
static struct value *set_rows(struct plan *p, struct value *u) {
    struct elab *e = p->e;
    int axis = -1, at = 0;
    struct value *index = NULL;
    for (int i = 0; i < p->axes.count; i++) {
        const struct axis *a = &p->axes.at[i];
        if (a->kind == AXIS_GATHER && a->index->type->rank > 0) {
            axis = at;
            index = a->index;
        } else if (a->kind != AXIS_SLICE || !is_identity(p, a, at)) {
            fail(e, a->span, E_UNSUPPORTED, "beside an index tensor the other axes are set whole");
            return NULL;
        }
        at++;
    }
    check_index(e, index, p->x, axis);
    return build_scatter(&e->b, p->x, index, u, axis, 0, "set");
}

struct datum apply_index_set(struct elab *e, struct datum a, const struct expr *x, struct datum v,
                             struct span span) {
    if (datum_is_error(a) || datum_is_error(v))
        return datum_error();
    if (a.kind == DATUM_LIST)
        return set_in_list(e, a, x, v);
    if (!datum_is_run_time(a))
        return fail(e, x->span, E_TYPE, "%s has no elements to set", describe(e, a));
    struct plan p = {.e = e, .x = to_tensor(e, a, DTYPE_ANY, x->a->span)};
    if (!p.x || !plan_subs(&p, x))
        return datum_error();
    const struct type *type = result_type(&p);
    struct value *u = to_tensor(e, v, (int)p.x->type->dtype, span);
    if (u && (u->type->dtype != type->dtype || type_broadcast(e->types, u->type, type) != type)) {
        struct diag *diag = report_error(e, span, u->type->dtype != type->dtype ? E_DTYPE : E_SHAPE,
                                         "the place takes %s, the value is %s", type_text(e->types, type),
                                         type_text(e->types, u->type));
        label_operand(e, diag, p.x, x->a->span);
        return datum_error();
    }
    if (u && u->type != type)
        u = build_broadcast_to(&e->b, u, type);
    return datum_tensor(!u ? NULL : p.gathers ? set_rows(&p, u) : set_piece(&p, u));
}
