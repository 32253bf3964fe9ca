/* codegen/lower_routine.c: kernels of kind routine: one operator whose elements depend on run-time indices or
 * on the element before. Each writes its loops through the writer of contract_write.c. Parallel over what is
 * independent: the order within is that of the operator's definition, so that no result depends on the number
 * of threads. */
#include "codegen/contract.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef const struct loop_expr *expr;

enum { TASK_ELEMENTS = 16384 };

static struct loop_list *here(struct writer *w) {
    return &w->level[w->depth].list;
}

/* ---- mutable variables ---- */

static struct loop_var *accumulator(struct writer *w, const char *name, expr start) {
    struct loop_var *v = loop_var_create(w->f, name, start->dtype);
    v->is_mutable = true;
    struct loop_stmt *s = loop_append(w->f, here(w), LSTMT_ACC);
    s->var = v;
    s->value = start;
    return v;
}

static void set(struct writer *w, struct loop_var *v, expr value) {
    struct loop_stmt *s = loop_append(w->f, here(w), LSTMT_SET);
    s->var = v;
    s->value = value;
}

static expr choose(struct writer *w, expr condition, expr yes, expr no) {
    if (!condition)
        return yes;
    return lexpr_op(w->f, OP_select, yes->dtype, (expr[]){condition, yes, no}, 3);
}

static expr as_index(struct writer *w, expr x) {
    return x->dtype == DTYPE_i64 ? x : lexpr_op(w->f, OP_cast, DTYPE_i64, &x, 1);
}

/* The memory of operand i. A kernel takes a value once, whatever an operator does with it: dynamic_update(x,
 * u, i, i). */
static struct buffer *operand(struct writer *w, const struct op *op, int i) {
    assert(!op->in[i]->def && op->in[i]->block == w->op->regions[0]);
    return writer_argument(w, op->in[i]->index);
}

/* ---- lines: a tensor as [outer, axis, inner] ---- */

struct lines {
    int64_t outer, axis, inner;
};

static struct lines lines_of(const struct type *type, int64_t axis) {
    struct lines n = {1, type_size(type, (int)axis), 1};
    for (int i = 0; i < type->rank; i++)
        *(i < axis ? &n.outer : &n.inner) *= i == axis ? 1 : type_size(type, i);
    return n;
}

/* The inner elements that one task does at a time: all, or a part that gives enough tasks. */
static int64_t inner_part(const struct lines *n) {
    enum { LEAST = 64 };
    int64_t part = n->inner;
    while (part > LEAST && part * n->axis > TASK_ELEMENTS)
        part = (part + 1) / 2;
    return part;
}

/* Opens the loops over lines that are independent of each other, shared out to tasks: gives the place of the
 * line's first element. The innermost loop, over `part` inner elements, is a vector loop. Close with
 * close_lines. */
static expr open_lines(struct writer *w, const struct lines *n, int64_t *tasks) {
    int64_t part = inner_part(n), parts = n->inner ? ceil_div(n->inner, part) : 0, work = part * n->axis;
    int64_t turns = n->outer * parts, per = work ? TASK_ELEMENTS / work : turns;
    per = per < 1 ? 1 : per > turns ? turns : per;
    *tasks = turns ? ceil_div(turns, per) : 1;
    expr begin = times(w, writer_task(w, *tasks), per);
    expr end = least(w, plus_n(w, begin, per), index_of(w, turns));
    expr turn = writer_for(w, "line", begin, end, LOOP_SERIAL);
    expr outer = lexpr_div(w->f, turn, parts > 0 ? parts : 1);
    expr first = times(w, lexpr_mod(w->f, turn, parts > 0 ? parts : 1), part);
    expr i = writer_for(w, "i", first, least(w, plus_n(w, first, part), index_of(w, n->inner)),
                        n->inner >= 4 ? LOOP_VECTOR : LOOP_SERIAL);
    return plus(w, times(w, outer, n->axis * n->inner), i);
}

static void close_lines(struct writer *w) {
    writer_end(w);
    writer_end(w);
}

/* ---- scan ---- */

static enum opcode combining(const char *kind, enum dtype dtype) {
    if (!strcmp(kind, "sum") || !strcmp(kind, "add"))
        return dtype == DTYPE_bool ? OP_or : OP_add;
    if (!strcmp(kind, "prod"))
        return dtype == DTYPE_bool ? OP_and : OP_mul;
    return !strcmp(kind, "max") ? OP_max : OP_min;
}

static expr neutral(struct writer *w, const char *kind, enum dtype dtype) {
    bool is_max = !strcmp(kind, "max");
    int bits = 8 * dtype_bytes(dtype);
    if (!strcmp(kind, "sum"))
        return writer_zero(w, dtype);
    if (dtype_is_float(dtype))
        return lexpr_float(w->f, dtype, !strcmp(kind, "prod") ? 1 : is_max ? -INFINITY : INFINITY);
    if (!strcmp(kind, "prod"))
        return lexpr_int(w->f, dtype, 1);
    if (dtype_class(dtype) == CLASS_UNSIGNED)
        return lexpr_int(w->f, dtype, is_max ? 0 : (int64_t)(~0ull >> (64 - bits)));
    int64_t top = (int64_t)(~0ull >> (65 - bits));
    return lexpr_int(w->f, dtype, is_max ? -top - 1 : top);
}

static bool lower_scan(struct writer *w, const struct op *op) {
    const struct type *type = op->out[0]->type;
    const char *kind = op_string(op, ATTR_kind);
    struct lines n = lines_of(type, op_int(op, ATTR_axis));
    bool exclusive = op_int(op, ATTR_exclusive), reverse = op_int(op, ATTR_reverse);
    struct buffer *x = operand(w, op, 0), *y = writer_argument(w, w->op->in_count);
    int64_t tasks;
    expr line = open_lines(w, &n, &tasks);
    struct loop_var *sum = accumulator(w, "sum", neutral(w, kind, type->dtype));
    expr k = writer_count(w, "k", n.axis);
    expr step = reverse ? plus_n(w, times(w, k, -1), n.axis - 1) : k;
    expr at = plus(w, line, times(w, step, n.inner));
    if (exclusive)
        writer_store(w, y, at, lexpr_var(w->f, sum));
    /* The element is read before it may be overwritten, and the sum has a name, as the store changes nothing
     * of it. */
    expr next = lexpr_binary(w->f, combining(kind, type->dtype), type->dtype, lexpr_var(w->f, sum),
                             lexpr_load(w->f, x, at));
    set(w, sum, next);
    if (!exclusive)
        writer_store(w, y, at, lexpr_var(w->f, sum));
    writer_end(w);
    close_lines(w);
    writer_finish(w, tasks);
    return true;
}

/* ---- scatter ---- */

static expr combined(struct writer *w, const char *kind, expr old, expr update) {
    if (!strcmp(kind, "set"))
        return update;
    return lexpr_binary(w->f, combining(kind, old->dtype), old->dtype, old, update);
}

static expr converted(struct writer *w, expr x, enum dtype dtype) {
    return x->dtype == dtype ? x : lexpr_op(w->f, OP_cast, dtype, &x, 1);
}

static void copy_line(struct writer *w, struct buffer *to, struct buffer *from, expr line,
                      const struct lines *n) {
    expr at = plus(w, line, times(w, writer_count(w, "k", n->axis), n->inner));
    writer_store(w, to, at, converted(w, lexpr_load(w->f, from, at), to->dtype));
    writer_end(w);
}

/* Where rows are added up: the result itself, or numbers of f32 that are rounded to 16 bits once at the end.
 */
static struct buffer *scatter_sums(struct writer *w, const struct op *op, struct buffer *y) {
    const struct type *type = op->out[0]->type;
    if (strcmp(op_string(op, ATTR_kind), "add") != 0 || !dtype_is_float(type->dtype) ||
        dtype_bytes(type->dtype) != 2)
        return y;
    int64_t count = type_elements(type);
    return writer_memory(w, SPACE_SHARED, kernel_shared(w->kernel, 4 * count), DTYPE_f32, count, "sums");
}

/* x as [batch * outer, axis, inner], the rows as [batch * outer, indices, inner]: a task copies its lines of
 * x and then takes the indices in order. An index that is out of range moves nothing. */
static bool lower_scatter(struct writer *w, const struct op *op) {
    const struct type *type = op->out[0]->type, *index_type = op->in[1]->type;
    int64_t axis = op_int(op, ATTR_axis), batch = op_int(op, ATTR_batch), indices = 1, outer = 1;
    for (int i = (int)batch; i < index_type->rank; i++)
        indices *= type_size(index_type, i);
    for (int i = (int)batch; i < axis; i++)
        outer *= type_size(type, i);
    struct lines n = lines_of(type, axis);
    struct buffer *x = operand(w, op, 0), *index = operand(w, op, 1), *u = operand(w, op, 2);
    struct buffer *y = writer_argument(w, w->op->in_count), *sums = scatter_sums(w, op, y);
    int64_t tasks;
    expr line = open_lines(w, &n, &tasks);
    copy_line(w, sums, x, line, &n);
    expr k = writer_count(w, "k", indices);
    int64_t whole = n.axis * n.inner;
    expr slab = whole ? lexpr_div(w->f, line, whole) : line,
         inner = whole ? lexpr_mod(w->f, line, n.inner) : line;
    expr place =
        lexpr_load(w->f, index, plus(w, times(w, lexpr_div(w->f, slab, outer > 0 ? outer : 1), indices), k));
    place = as_index(w, place);
    expr row = plus(w, times(w, plus(w, times(w, slab, indices), k), n.inner), inner);
    expr at = plus(w, line, lexpr_binary(w->f, OP_mul, DTYPE_i64, place, index_of(w, n.inner)));
    expr good = lexpr_and(w->f, lexpr_binary(w->f, OP_le, DTYPE_bool, index_of(w, 0), place),
                          lexpr_binary(w->f, OP_lt, DTYPE_bool, place, index_of(w, n.axis)));
    expr old = lexpr_load_masked(w->f, sums, at, good, writer_zero(w, sums->dtype));
    expr update = converted(w, lexpr_load(w->f, u, row), sums->dtype);
    writer_store(w, sums, at, combined(w, op_string(op, ATTR_kind), old, update));
    here(w)->last->mask = good;
    writer_end(w);
    if (sums != y)
        copy_line(w, y, sums, line, &n);
    close_lines(w);
    writer_finish(w, tasks);
    return true;
}

/* ---- dynamic_update ---- */

/* One phase copies x, the next writes u at the clamped place. */
static bool lower_dynamic_update(struct writer *w, const struct op *op) {
    const struct type *type = op->out[0]->type, *part = op->in[1]->type;
    struct lowering *l = w->l;
    struct loop_kernel *kernel = w->kernel;
    const struct op *k = w->op;
    int64_t count = type_elements(type), tasks = at_least(ceil_div(count, TASK_ELEMENTS), 1);
    expr begin = times(w, writer_task(w, tasks), TASK_ELEMENTS);
    expr end = least(w, plus_n(w, begin, TASK_ELEMENTS), index_of(w, count));
    expr i = writer_for(w, "i", begin, end, LOOP_VECTOR);
    writer_store(w, writer_argument(w, k->in_count), i, lexpr_load(w->f, operand(w, op, 0), i));
    writer_end(w);
    writer_finish(w, tasks);
    writer_begin(w, l, kernel, k);
    expr at = index_of(w, 0), from = index_of(w, 0);
    int64_t stride = count, own = type_elements(part);
    for (int axis = 0; axis < type->rank; axis++) {
        stride /= at_least(type_size(type, axis), 1);
        own /= at_least(type_size(part, axis), 1);
        expr start = as_index(w, lexpr_load(w->f, operand(w, op, 2 + axis), index_of(w, 0)));
        start = least(w, most(w, start, index_of(w, 0)),
                      index_of(w, type_size(type, axis) - type_size(part, axis)));
        expr turn = writer_for(w, "i", index_of(w, 0), index_of(w, type_size(part, axis)),
                               axis == type->rank - 1 ? LOOP_VECTOR : LOOP_SERIAL);
        at = plus(w, at, lexpr_binary(w->f, OP_mul, DTYPE_i64, plus(w, start, turn), index_of(w, stride)));
        from = plus(w, from, times(w, turn, own));
    }
    writer_store(w, writer_argument(w, k->in_count), at, lexpr_load(w->f, operand(w, op, 1), from));
    for (int axis = 0; axis < type->rank; axis++)
        writer_end(w);
    writer_finish(w, 1);
    return true;
}

/* ---- sort ---- */

/* Two copies of a line, values and places: each pass merges runs of `width` from one into the other. */
struct sorting {
    struct buffer *value[2], *place[2];
    int64_t n;
    bool descending;
};

/* right comes strictly before left: then it is taken first; equal ones keep their order. NaN is behind all.
 */
static expr comes_before(struct writer *w, const struct sorting *s, expr right, expr left) {
    expr a = s->descending ? left : right, b = s->descending ? right : left;
    expr less = lexpr_binary(w->f, OP_lt, DTYPE_bool, a, b);
    if (!dtype_is_float(right->dtype))
        return less;
    expr left_is_nan = lexpr_binary(w->f, OP_ne, DTYPE_bool, left, left);
    expr right_is_number = lexpr_binary(w->f, OP_eq, DTYPE_bool, right, right);
    return lexpr_binary(w->f, OP_or, DTYPE_bool, less,
                        lexpr_binary(w->f, OP_and, DTYPE_bool, left_is_nan, right_is_number));
}

static void merge_runs(struct writer *w, const struct sorting *s, int64_t width, int from) {
    enum dtype dtype = s->value[0]->dtype;
    expr run = writer_count(w, "run", ceil_div(s->n, 2 * width));
    expr low = writer_let(w, "low", times(w, run, 2 * width));
    expr middle = writer_let(w, "middle", least(w, plus_n(w, low, width), index_of(w, s->n)));
    expr high = writer_let(w, "high", least(w, plus_n(w, low, 2 * width), index_of(w, s->n)));
    struct loop_var *i = accumulator(w, "i", low), *j = accumulator(w, "j", middle);
    expr k = writer_for(w, "k", low, high, LOOP_SERIAL);
    expr left_at = lexpr_var(w->f, i), right_at = lexpr_var(w->f, j);
    expr has_left = writer_let(w, "l", lexpr_binary(w->f, OP_lt, DTYPE_bool, left_at, middle));
    expr has_right = writer_let(w, "r", lexpr_binary(w->f, OP_lt, DTYPE_bool, right_at, high));
    expr left =
        writer_let(w, "a", lexpr_load_masked(w->f, s->value[from], left_at, has_left, writer_zero(w, dtype)));
    expr right = writer_let(
        w, "b", lexpr_load_masked(w->f, s->value[from], right_at, has_right, writer_zero(w, dtype)));
    expr no_left = lexpr_op(w->f, OP_not, DTYPE_bool, &has_left, 1);
    expr wins = lexpr_binary(w->f, OP_or, DTYPE_bool, no_left, comes_before(w, s, right, left));
    expr take_right = writer_let(w, "t", lexpr_binary(w->f, OP_and, DTYPE_bool, has_right, wins));
    expr source = writer_let(w, "s", choose(w, take_right, right_at, left_at));
    writer_store(w, s->value[1 - from], k, choose(w, take_right, right, left));
    writer_store(w, s->place[1 - from], k, lexpr_load(w->f, s->place[from], source));
    expr one = index_of(w, 1), none = index_of(w, 0);
    expr step = writer_let(w, "d", choose(w, take_right, one, none));
    set(w, j, lexpr_binary(w->f, OP_add, DTYPE_i64, right_at, step));
    set(w, i, lexpr_binary(w->f, OP_add, DTYPE_i64, left_at, plus_n(w, times(w, step, -1), 1)));
    writer_end(w);
    writer_end(w);
}

/* Which result of the kernel is the op's; -1: nobody wants it. */
static int result_of(const struct writer *w, const struct value *v) {
    const struct op *yield = block_yield(w->op->regions[0]);
    for (int i = 0; i < yield->in_count; i++)
        if (yield->in[i] == v)
            return w->op->in_count + i;
    return -1;
}

static void copy_out(struct writer *w, const struct value *v, struct buffer *line, expr first, int64_t n,
                     int64_t inner) {
    int argument = result_of(w, v);
    if (argument < 0)
        return;
    expr k = writer_count(w, "k", n);
    writer_store(w, writer_argument(w, argument), plus(w, first, times(w, k, inner)),
                 lexpr_load(w->f, line, k));
    writer_end(w);
}

static bool lower_sort(struct writer *w, const struct op *op) {
    const struct type *type = op->in[0]->type;
    struct lines n = lines_of(type, op_int(op, ATTR_axis));
    struct sorting s = {.n = n.axis, .descending = op_int(op, ATTR_descending)};
    for (int side = 0; side < 2; side++) {
        int64_t bytes = n.axis * dtype_bytes(type->dtype);
        s.value[side] = writer_memory(w, SPACE_WORKER, kernel_worker(w->kernel, bytes), type->dtype, n.axis,
                                      side ? "v1" : "v0");
        s.place[side] = writer_memory(w, SPACE_WORKER, kernel_worker(w->kernel, 4 * n.axis), DTYPE_i32,
                                      n.axis, side ? "p1" : "p0");
    }
    int64_t lines = n.outer * n.inner, per = at_least(at_most(lines, TASK_ELEMENTS / at_least(n.axis, 1)), 1);
    int64_t tasks = at_least(ceil_div(lines, per), 1);
    expr begin = times(w, writer_task(w, tasks), per);
    expr line =
        writer_for(w, "line", begin, least(w, plus_n(w, begin, per), index_of(w, lines)), LOOP_SERIAL);
    int64_t inner = at_least(n.inner, 1);
    expr first =
        plus(w, times(w, lexpr_div(w->f, line, inner), n.axis * n.inner), lexpr_mod(w->f, line, inner));
    first = writer_let(w, "first", first);
    expr k = writer_count(w, "k", n.axis);
    writer_store(w, s.value[0], k, lexpr_load(w->f, operand(w, op, 0), plus(w, first, times(w, k, n.inner))));
    writer_store(w, s.place[0], k, lexpr_op(w->f, OP_cast, DTYPE_i32, &k, 1));
    writer_end(w);
    int side = 0;
    for (int64_t width = 1; width < n.axis; width *= 2, side = 1 - side)
        merge_runs(w, &s, width, side);
    copy_out(w, op->out[0], s.value[side], first, n.axis, n.inner);
    copy_out(w, op->out[1], s.place[side], first, n.axis, n.inner);
    writer_end(w);
    writer_finish(w, tasks);
    return true;
}

/* ---- fold ---- */

/* Each element gathers from all window elements that may reach it (nest_value.c has the cheap cases). */
static bool lower_fold(struct writer *w, const struct op *op) {
    const struct type *x = op->in[0]->type, *y = op->out[0]->type;
    int n;
    const int64_t *window = op_ints(op, ATTR_window, &n), *step = op_ints(op, ATTR_step, NULL);
    const int64_t *dilation = op_ints(op, ATTR_dilation, NULL);
    int lead = y->rank - n;
    int64_t count = type_elements(y), tasks = at_least(ceil_div(count, TASK_ELEMENTS / 16), 1),
            per = TASK_ELEMENTS / 16;
    expr begin = times(w, writer_task(w, tasks), per);
    expr flat = writer_for(w, "i", begin, least(w, plus_n(w, begin, per), index_of(w, count)), LOOP_SERIAL);
    expr place[OPERAND_RANK], at = index_of(w, 0), good = NULL;
    writer_unflatten(w, y, flat, place);
    struct loop_var *sum = accumulator(w, "sum", writer_zero(w, y->dtype));
    int64_t stride = type_elements(x);
    for (int axis = 0; axis < lead + n; axis++) {
        stride /= at_least(type_size(x, axis), 1);
        expr o = place[axis];
        if (axis >= lead) {
            int i = axis - lead;
            expr k = writer_count(w, "k", window[i]);
            int64_t k_stride = 1;
            for (int later = i + 1; later < n; later++)
                k_stride *= window[later];
            expr moved = plus(w, o, times(w, k, -dilation[i]));
            good = lexpr_and(w->f, good, lexpr_within(w->f, lexpr_mod(w->f, moved, step[i]), 0, 1));
            o = lexpr_div(w->f, moved, step[i]);
            good = lexpr_and(w->f, good, lexpr_within(w->f, o, 0, type_size(x, axis)));
            at = plus(w, at, times(w, k, k_stride));
        }
        at = plus(w, at, times(w, o, stride));
    }
    expr value = lexpr_load_masked(w->f, operand(w, op, 0), at, good, writer_zero(w, y->dtype));
    set(w, sum, lexpr_binary(w->f, OP_add, y->dtype, lexpr_var(w->f, sum), value));
    for (int i = 0; i < n; i++)
        writer_end(w);
    writer_store(w, writer_argument(w, w->op->in_count), flat, lexpr_var(w->f, sum));
    writer_end(w);
    writer_finish(w, tasks);
    return true;
}

static bool (*const routines[OP_COUNT])(struct writer *w, const struct op *op) = {
    [OP_scan] = lower_scan, [OP_scatter] = lower_scatter, [OP_dynamic_update] = lower_dynamic_update,
    [OP_sort] = lower_sort, [OP_fold] = lower_fold,
};

bool lower_routine(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    const struct op *op = kernel->regions[0]->first;
    if (!routines[op->code]) {
        diag_error_at(l->diags, kernel->site, E_COMPILE, "the code generator has no routine for `%s`",
                      opcode_text(op->code));
        return false;
    }
    struct writer w;
    writer_begin(&w, l, out, kernel);
    return routines[op->code](&w, op);
}
