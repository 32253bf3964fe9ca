/* codegen/loops.c: functions, buffers, variables and statements of the loop IR. Expressions: lexpr.c; text:
 * loops_print.c. */
#include "codegen/loops.h"

#include <assert.h>

struct loop_function *loop_function_create(struct arena *arena) {
    struct loop_function *f = ARENA_NEW(arena, struct loop_function);
    f->arena = arena;
    f->tasks = 1;
    f->task = loop_var_create(f, "task", DTYPE_i64);
    f->worker = loop_var_create(f, "worker", DTYPE_i64);
    f->task->min = f->worker->min = 0;
    return f;
}

struct buffer *loop_add_buffer(struct loop_function *f, enum buffer_space space, enum dtype dtype,
                               int64_t elements, const char *name) {
    struct buffer *b = ARENA_NEW(f->arena, struct buffer);
    *b = (struct buffer){.name = name,
                         .dtype = dtype,
                         .space = space,
                         .elements = elements,
                         .is_written = space != SPACE_CONSTANT && space != SPACE_ARGUMENT};
    VEC_PUSH(f->arena, &f->buffers, b);
    return b;
}

struct buffer *loop_add_argument(struct loop_function *f, int argument, enum dtype dtype, int64_t elements,
                                 const char *name, bool written) {
    struct buffer *b = loop_add_buffer(f, SPACE_ARGUMENT, dtype, elements, name);
    b->argument = argument;
    b->is_written = written;
    return b;
}

struct loop_var *loop_var_create(struct loop_function *f, const char *name, enum dtype dtype) {
    struct loop_var *v = ARENA_NEW(f->arena, struct loop_var);
    *v = (struct loop_var){
        .name = name, .dtype = dtype, .id = f->next_var++, .min = INT64_MIN / 4, .max = INT64_MAX / 4};
    return v;
}

struct loop_stmt *loop_append(struct loop_function *f, struct loop_list *list, enum loop_stmt_kind kind) {
    struct loop_stmt *s = ARENA_NEW(f->arena, struct loop_stmt);
    s->kind = kind;
    s->site = f->place;
    if (list->last)
        list->last->next = s;
    else
        list->first = s;
    list->last = s;
    return s;
}

struct loop_stmt *loop_for(struct loop_function *f, struct loop_list *list, struct loop_var *var,
                           const struct loop_expr *lo, const struct loop_expr *hi, int64_t step,
                           enum loop_kind kind) {
    assert(step > 0);
    struct loop_stmt *s = loop_append(f, list, LSTMT_FOR);
    s->loop = kind;
    s->var = var;
    s->lo = lo;
    s->hi = hi;
    s->step = step;
    return s;
}
