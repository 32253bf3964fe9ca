/* bench/infer/glue.c: between worker.py and a compiled entry: threads, and calls that are timed without
 * Python between them. */
#include "runtime/pool.h"
#include "runtime/weft.h"

#include <stdlib.h>
#include <time.h>

struct weft_pool *glue_pool(int threads);
const weft_exec *glue_exec(struct weft_pool *pool);
double glue_calls(weft_call *call, void *const *args, void *workspace, struct weft_pool *pool, int n);

/* NULL: one thread, the caller's. */
struct weft_pool *glue_pool(int threads) {
    return threads > 1 ? weft_pool_create(threads, NULL) : NULL;
}

const weft_exec *glue_exec(struct weft_pool *pool) {
    return pool ? weft_pool_exec(pool) : NULL;
}

/* Seconds for n calls; negative: an error code of the entry. */
double glue_calls(weft_call *call, void *const *args, void *workspace, struct weft_pool *pool, int n) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < n; i++) {
        int code = call(args, workspace, glue_exec(pool));
        if (code != 0)
            return -code;
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}
