/* codegen/contract_write.c: nested statements of the loop IR, written one after the other. */
#include "codegen/contract.h"

#include <assert.h>

static int64_t align64(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

void writer_begin(struct writer *w, struct lowering *l, struct loop_kernel *kernel, const struct op *op) {
    *w = (struct writer){.l = l, .kernel = kernel, .op = op, .f = loop_function_create(l->arena)};
}

static struct loop_function *finish_function(struct writer *w, int64_t tasks) {
    assert(w->depth == 0 && tasks >= 1);
    w->f->body = w->level[0].list.first;
    w->f->tasks = tasks;
    return w->f;
}

void writer_finish(struct writer *w, int64_t tasks) {
    VEC_PUSH(w->l->arena, &w->kernel->phases, finish_function(w, tasks));
}

void writer_finish_packing(struct writer *w, int64_t tasks) {
    VEC_PUSH(w->l->arena, &w->kernel->packing, finish_function(w, tasks));
}

const struct loop_expr *writer_task(struct writer *w, int64_t tasks) {
    if (tasks == 1)
        return index_of(w, 0);
    w->f->task->min = 0;
    w->f->task->max = tasks - 1;
    return lexpr_var(w->f, w->f->task);
}

static void open_level(struct writer *w, struct loop_stmt *stmt) {
    assert(w->depth + 1 < WRITER_DEPTH);
    w->depth++;
    w->level[w->depth].list = (struct loop_list){0};
    w->level[w->depth].stmt = stmt;
    w->level[w->depth].is_otherwise = false;
}

static struct loop_list *current_list(struct writer *w) {
    return &w->level[w->depth].list;
}

static bool is_number(const struct loop_expr *x) {
    return x->kind == LEXPR_INT;
}

const struct loop_expr *writer_for(struct writer *w, const char *name, const struct loop_expr *lo,
                                   const struct loop_expr *hi, enum loop_kind kind) {
    if (is_number(lo) && is_number(hi) && hi->i == lo->i + 1) {
        open_level(w, NULL);
        /* The body goes to the list around it when it ends. */
        return lo;
    }
    struct loop_var *var = loop_var_create(w->f, name, DTYPE_i64);
    var->min = lo->min;
    var->max = hi->max > lo->min ? hi->max - 1 : lo->min;
    open_level(w, loop_for(w->f, current_list(w), var, lo, hi, 1, kind));
    return lexpr_var(w->f, var);
}

const struct loop_expr *writer_count(struct writer *w, const char *name, int64_t count) {
    return writer_for(w, name, index_of(w, 0), index_of(w, count), LOOP_SERIAL);
}

void writer_if(struct writer *w, const struct loop_expr *condition) {
    if (!condition || (condition->kind == LEXPR_INT && condition->i)) {
        open_level(w, NULL);
        return;
    }
    struct loop_stmt *stmt = loop_append(w->f, current_list(w), LSTMT_IF);
    stmt->value = condition;
    open_level(w, stmt);
}

static void splice(struct loop_list *into, const struct loop_list *list) {
    if (!list->first)
        return;
    if (into->last)
        into->last->next = list->first;
    else
        into->first = list->first;
    into->last = list->last;
}

void writer_else(struct writer *w) {
    struct loop_stmt *stmt = w->level[w->depth].stmt;
    if (stmt)
        stmt->body = current_list(w)->first;
    else /* the condition was known to hold */
        splice(&w->level[w->depth - 1].list, current_list(w));
    *current_list(w) = (struct loop_list){0};
    w->level[w->depth].is_otherwise = true;
}

void writer_end(struct writer *w) {
    assert(w->depth > 0);
    struct loop_stmt *stmt = w->level[w->depth].stmt;
    struct loop_list list = *current_list(w);
    bool is_otherwise = w->level[w->depth].is_otherwise;
    w->depth--;
    if (stmt && is_otherwise)
        stmt->otherwise = list.first;
    else if (stmt)
        stmt->body = list.first;
    else if (!is_otherwise)
        splice(current_list(w), &list);
}

void writer_store(struct writer *w, struct buffer *buffer, const struct loop_expr *index,
                  const struct loop_expr *value) {
    struct loop_stmt *stmt = loop_append(w->f, current_list(w), LSTMT_STORE);
    stmt->buffer = buffer;
    stmt->index = index;
    stmt->value = value;
    buffer->is_written = true;
}

const struct loop_expr *writer_let(struct writer *w, const char *name, const struct loop_expr *value) {
    if (value->kind == LEXPR_INT || value->kind == LEXPR_VAR)
        return value;
    struct loop_var *var = loop_var_create(w->f, name, value->dtype);
    var->min = value->min;
    var->max = value->max;
    struct loop_stmt *stmt = loop_append(w->f, current_list(w), LSTMT_LET);
    stmt->var = var;
    stmt->value = value;
    return lexpr_var(w->f, var);
}

struct loop_var *writer_acc(struct writer *w, const char *name, const struct loop_expr *initial) {
    struct loop_var *var = loop_var_create(w->f, name, initial->dtype);
    var->is_mutable = true;
    struct loop_stmt *stmt = loop_append(w->f, current_list(w), LSTMT_ACC);
    stmt->var = var;
    stmt->value = initial;
    return var;
}

void writer_set(struct writer *w, struct loop_var *var, const struct loop_expr *value) {
    struct loop_stmt *stmt = loop_append(w->f, current_list(w), LSTMT_SET);
    stmt->var = var;
    stmt->value = value;
}

struct tile *writer_tile(struct writer *w, enum tile_kind kind, int rows, int columns) {
    struct loop_stmt *stmt = loop_append(w->f, current_list(w), LSTMT_TILE);
    struct tile *tile = ARENA_NEW(w->l->arena, struct tile);
    tile->kind = kind;
    tile->rows = rows;
    tile->columns = columns;
    stmt->tile = tile;
    return tile;
}

struct gemm *writer_gemm(struct writer *w, const struct loop_expr *const begin[3]) {
    struct loop_stmt *stmt = loop_append(w->f, current_list(w), LSTMT_GEMM);
    stmt->gemm = ARENA_NEW(w->l->arena, struct gemm);
    for (int i = 0; i < 3; i++)
        stmt->args[i] = begin[i];
    return stmt->gemm;
}

/* ---- memory ---- */

int64_t kernel_shared(struct loop_kernel *kernel, int64_t bytes) {
    int64_t offset = kernel->shared_bytes;
    kernel->shared_bytes += align64(bytes);
    return offset;
}

int64_t kernel_worker(struct loop_kernel *kernel, int64_t bytes) {
    int64_t offset = kernel->worker_bytes;
    kernel->worker_bytes += align64(bytes);
    return offset;
}

int64_t kernel_packed(struct loop_kernel *kernel, int64_t bytes) {
    int64_t offset = kernel->packed_bytes;
    kernel->packed_bytes += align64(bytes);
    return offset;
}

struct buffer *writer_memory(struct writer *w, enum buffer_space space, int64_t offset, enum dtype dtype,
                             int64_t elements, const char *name) {
    for (int i = 0; i < w->f->buffers.count; i++) {
        struct buffer *b = w->f->buffers.at[i];
        if (b->space == space && b->offset == offset && b->dtype == dtype && b->elements == elements)
            return b;
    }
    struct buffer *buffer = loop_add_buffer(w->f, space, dtype, elements, name);
    buffer->offset = offset;
    buffer->is_written = true;
    return buffer;
}

struct buffer *writer_argument(struct writer *w, int argument) {
    for (int i = 0; i < w->f->buffers.count; i++) {
        struct buffer *b = w->f->buffers.at[i];
        if (b->space == SPACE_ARGUMENT && b->argument == argument)
            return b;
    }
    bool is_result = argument >= w->op->in_count;
    const struct value *value = is_result ? w->op->out[argument - w->op->in_count] : w->op->in[argument];
    const char *name = arena_printf(w->l->arena, "%s%d", is_result ? "out" : "in",
                                    is_result ? argument - w->op->in_count : argument);
    return loop_add_argument(w->f, argument, value->type->dtype, type_elements(value->type), name, is_result);
}

/* ---- index arithmetic ---- */

const struct loop_expr *index_of(struct writer *w, int64_t value) {
    return lexpr_index(w->f, value);
}

const struct loop_expr *plus(struct writer *w, const struct loop_expr *a, const struct loop_expr *b) {
    return lexpr_add(w->f, a, b);
}

const struct loop_expr *plus_n(struct writer *w, const struct loop_expr *a, int64_t n) {
    return lexpr_add(w->f, a, index_of(w, n));
}

const struct loop_expr *times(struct writer *w, const struct loop_expr *a, int64_t n) {
    return lexpr_mul(w->f, a, n);
}

const struct loop_expr *least(struct writer *w, const struct loop_expr *a, const struct loop_expr *b) {
    return lexpr_binary(w->f, OP_min, DTYPE_i64, a, b);
}

const struct loop_expr *most(struct writer *w, const struct loop_expr *a, const struct loop_expr *b) {
    return lexpr_binary(w->f, OP_max, DTYPE_i64, a, b);
}

const struct loop_expr *is_below(struct writer *w, const struct loop_expr *a, const struct loop_expr *b) {
    return lexpr_binary(w->f, OP_lt, DTYPE_bool, a, b);
}

const struct loop_expr *is_at(struct writer *w, const struct loop_expr *a, int64_t value) {
    return lexpr_binary(w->f, OP_eq, DTYPE_bool, a, index_of(w, value));
}

const struct loop_expr *is_positive(struct writer *w, const struct loop_expr *a) {
    return is_below(w, index_of(w, 0), a);
}

const struct loop_expr *writer_zero(struct writer *w, enum dtype dtype) {
    return dtype_is_float(dtype) ? lexpr_float(w->f, dtype, 0) : lexpr_int(w->f, dtype, 0);
}

const struct loop_expr *writer_cast(struct writer *w, enum dtype dtype, const struct loop_expr *a) {
    return a->dtype == dtype ? a : lexpr_op(w->f, OP_cast, dtype, &a, 1);
}

/* Each index from the whole: what is known of inner parts of it (lexpr_known) then drops out at once. */
void writer_unflatten(struct writer *w, const struct type *type, const struct loop_expr *linear,
                      const struct loop_expr **index) {
    int64_t stride = 1;
    for (int i = type->rank - 1; i >= 0; i--) {
        index[i] = lexpr_div(w->f, linear, stride);
        if (i)
            index[i] = lexpr_mod(w->f, index[i], type_size(type, i));
        stride *= type_size(type, i);
    }
}
