/* Note [Waking]: kernels are short and follow each other, so both sides first spin for some ten microseconds,
 * which costs no system call, and only then sleep. A sleeper announces itself before it looks a last time,
 * and the other side looks for sleepers after it has published (both sequentially consistent): one of the two
 * sees the other, so no wake-up is lost, and nobody takes the lock where nobody sleeps. */
#include "runtime/pool.h"

#include "runtime/error.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 1024, SPINS = 2000, CACHE_LINE = 64 };

struct worker {
    struct weft_pool *pool;
    pthread_t thread;
    int32_t index;
};

struct weft_pool {
    weft_exec exec;
    struct worker *workers; /* [1, width): the caller is worker 0 */
    int started;            /* threads to join */
    int spins;

    weft_body *body; /* the job; written before `round` is published */
    void *data;
    int64_t tasks;
    bool stop;

    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    atomic_flag busy;
    _Alignas(CACHE_LINE) atomic_uint round;  /* counts jobs */
    _Alignas(CACHE_LINE) atomic_int running; /* workers that have not finished the round */
    _Alignas(CACHE_LINE) atomic_int sleepers;
    atomic_bool caller_sleeps;
};

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_share(const struct weft_pool *pool, int32_t worker) {
    int64_t width = pool->exec.width, whole = pool->tasks / width, rest = pool->tasks % width;
    /* w*T/W without overflow of the product */
    int64_t first = worker * whole + worker * rest / width;
    int64_t last = (worker + 1) * whole + (worker + 1) * rest / width;
    for (int64_t task = first; task < last; task++)
        pool->body(pool->data, task, worker);
}

static unsigned await_round(struct weft_pool *pool, unsigned seen) {
    for (int i = 0; i < pool->spins; i++) {
        unsigned round = atomic_load_explicit(&pool->round, memory_order_acquire);
        if (round != seen)
            return round;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->round) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return atomic_load(&pool->round);
}

static void *work(void *argument) {
    struct worker *self = argument;
    struct weft_pool *pool = self->pool;
    for (unsigned round = 0;;) {
        round = await_round(pool, round);
        if (pool->stop)
            return NULL;
        run_share(pool, self->index);
        if (atomic_fetch_sub(&pool->running, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static void publish(struct weft_pool *pool) {
    atomic_fetch_add(&pool->round, 1);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void await_workers(struct weft_pool *pool) {
    for (int i = 0; i < pool->spins; i++) {
        if (atomic_load_explicit(&pool->running, memory_order_acquire) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->running) != 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

static void parallel_for(void *context, weft_body *body, void *data, int64_t tasks) {
    struct weft_pool *pool = context;
    if (pool->exec.width == 1 || tasks <= 1 || atomic_flag_test_and_set(&pool->busy)) {
        for (int64_t task = 0; task < tasks; task++)
            body(data, task, 0);
        return;
    }
    pool->body = body;
    pool->data = data;
    pool->tasks = tasks;
    atomic_store(&pool->running, pool->exec.width - 1);
    publish(pool);
    run_share(pool, 0);
    await_workers(pool);
    atomic_flag_clear(&pool->busy);
}

static int processors(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? count : 1;
}

struct weft_pool *weft_pool_create(int threads, struct weft_error *error) {
    int available = processors(), width = threads > 0 ? threads : available;
    if (width > MOST_THREADS) {
        weft_fail(error, "%d threads: at most %d are possible", threads, MOST_THREADS);
        return NULL;
    }
    struct weft_pool *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
    struct worker *workers = calloc((size_t)width, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        weft_fail(error, "no memory for %d threads", width);
        return NULL;
    }
    memset(pool, 0, sizeof *pool);
    pool->exec = (weft_exec){pool, width, parallel_for};
    pool->workers = workers;
    pool->spins =
        width <= available ? SPINS : 0; /* who spins on a processor that another thread needs, delays it */
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    atomic_flag_clear(&pool->busy);
    for (int i = 1; i < width; i++) {
        workers[i] = (struct worker){.pool = pool, .index = i};
        int reason = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        if (reason) {
            weft_fail(error, "thread %d of %d cannot be made: %s", i + 1, width, strerror(reason));
            weft_pool_destroy(pool);
            return NULL;
        }
        pool->started++;
    }
    return pool;
}

void weft_pool_destroy(struct weft_pool *pool) {
    if (!pool)
        return;
    pool->stop = true;
    publish(pool);
    for (int i = 1; i <= pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

const weft_exec *weft_pool_exec(struct weft_pool *pool) {
    return &pool->exec;
}
