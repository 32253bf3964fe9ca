/* bench/train/glue.c: between run.py and the objects: a step with its memory, called n times. */
#include "runtime/pool.h"
#include "runtime/weft.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct model {
    const char *name;
    size_t (*weights_size)(void), (*state_size)(void), (*workspace)(int64_t batch, const weft_exec *);
    int (*init)(void *, void *, uint64_t);
    weft_call *call;
    const weft_arg_info *args;
};

/* The symbols of vae.o and its like, found by their names; the headers would give each its own prototype.
 * run.py defines ROWS as X(name) X(name) .. */
#define X(name)                                                                                              \
    size_t name##_weights_size(void), name##_state_size(void);                                               \
    int name##_init(void *, void *, uint64_t);                                                               \
    size_t name##_step_workspace(int64_t, const weft_exec *);                                                \
    weft_call name##_step_call;                                                                              \
    extern const weft_arg_info name##_step_args[];
ROWS
#undef X
#define X(name)                                                                                              \
    {#name,       name##_weights_size, name##_state_size, name##_step_workspace,                             \
     name##_init, name##_step_call,    name##_step_args},
    static const struct model models[] = {ROWS};
#undef X

struct run {
    const struct model *model;
    struct weft_pool *pool;
    void *args[64];
    void *workspace;
    uint64_t seed;
};

static void *block(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p)
        memset(p, 0, (bytes + 127) / 64 * 64);
    return p;
}

static size_t element_bytes(weft_dtype dtype) {
    static const size_t bytes[] = {8, 4, 2, 2, 8, 4, 4, 1, 1, 1};
    return bytes[dtype];
}

/* Pixels in [0, 1) and labels in [0, 10), the same in every run. */
static void fill(void *bytes, weft_dtype dtype, size_t count) {
    uint32_t x = 1;
    for (size_t i = 0; i < count; i++) {
        x = x * 1664525u + 1013904223u;
        if (dtype == WEFT_F32)
            ((float *)bytes)[i] = (float)(x >> 8) * 0x1p-24f;
        else
            ((int32_t *)bytes)[i] = (int32_t)(x >> 8) % 10;
    }
}

static void *argument(struct run *r, const weft_arg_info *a) {
    if (a->role == WEFT_SEED)
        return &r->seed;
    if (a->role == WEFT_WEIGHTS)
        return block(r->model->weights_size());
    if (a->role == WEFT_STATE)
        return block(r->model->state_size());
    size_t count = 1;
    for (int i = 0; i < a->rank; i++)
        count *= (size_t)a->shape[i];
    void *bytes = block(count * element_bytes(a->dtype));
    if (bytes && a->role == WEFT_INPUT)
        fill(bytes, a->dtype, count);
    return bytes;
}

struct run *glue_open(const char *name, int threads);
double glue_steps(struct run *r, int n);

struct run *glue_open(const char *name, int threads) {
    struct run *r = calloc(1, sizeof *r);
    for (size_t i = 0; r && i < sizeof models / sizeof models[0]; i++)
        if (strcmp(models[i].name, name) == 0)
            r->model = &models[i];
    if (!r || !r->model)
        return NULL;
    r->pool = threads > 1 ? weft_pool_create(threads, NULL) : NULL;
    const weft_exec *exec = r->pool ? weft_pool_exec(r->pool) : NULL;
    int64_t batch = 0;
    for (int i = 0; r->model->args[i].name; i++) {
        if (!(r->args[i] = argument(r, &r->model->args[i])))
            return NULL;
        if (r->model->args[i].role == WEFT_INPUT)
            batch = r->model->args[i].shape[0];
    }
    r->workspace = block(r->model->workspace(batch, exec));
    return r->workspace && r->model->init(r->args[0], r->args[1], 1) == 0 ? r : NULL;
}

double glue_steps(struct run *r, int n) {
    const weft_exec *exec = r->pool ? weft_pool_exec(r->pool) : NULL;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < n; i++)
        if (r->model->call(r->args, r->workspace, exec) != 0)
            return -1.0;
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}
