/* Note [Shares]: each worker begins with a share of the tasks, the same one for every job of so many tasks,
 * because kernels that follow each other touch the same rows. Who has finished takes tasks of others: so a
 * worker that sleeps, or whose processor does something else, delays nobody. A share's word holds the job's
 * number beside the next task, so that a worker who comes late to a job claims nothing of the next one by
 * mistake.
 *
 * Note [Waking]: kernels are short and follow each other, so both sides first spin for some ten microseconds,
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
    _Alignas(CACHE_LINE) _Atomic uint64_t share; /* the job's number << 32 | the next task of the share */
    struct weft_pool *pool;
    pthread_t thread;
    int32_t index;
};

struct weft_pool {
    weft_exec exec;
    struct worker *workers; /* width of them; the caller is worker 0 */
    int started;            /* threads to join */
    int spins;

    _Atomic(weft_body *) body; /* the job; a task that was claimed holds it in place */
    _Atomic(void *) data;
    atomic_llong tasks;
    bool stop;

    pthread_mutex_t lock;
    pthread_cond_t wake, finished;
    atomic_flag busy;
    _Alignas(CACHE_LINE) atomic_uint round; /* counts jobs */
    _Alignas(CACHE_LINE) atomic_llong done; /* tasks of this job that have run */
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

/* The first task of a worker's share: w*T/W without overflow of the product. */
static int64_t share_begin(const struct weft_pool *pool, int64_t worker, int64_t tasks) {
    int64_t width = pool->exec.width;
    return worker * (tasks / width) + worker * (tasks % width) / width;
}

/* The next task of that worker's share; -1: none is left, or it is another job's by now. */
static int64_t claim(struct weft_pool *pool, int32_t worker, unsigned round) {
    _Atomic uint64_t *share = &pool->workers[worker].share;
    uint64_t word = atomic_load(share);
    while ((unsigned)(word >> 32) == round) {
        int64_t task = (int64_t)(word & UINT32_MAX);
        if (task >= share_begin(pool, worker + 1, atomic_load(&pool->tasks)))
            return -1;
        if (atomic_compare_exchange_weak(share, &word, word + 1))
            return task;
    }
    return -1;
}

/* Runs what is left of the job, the worker's own share first. True: with these tasks it is done. */
static bool run_job(struct weft_pool *pool, int32_t worker, unsigned round) {
    int32_t width = pool->exec.width;
    int64_t ran = 0;
    for (int32_t i = 0; i < width; i++) {
        int32_t whose = worker + i < width ? worker + i : worker + i - width;
        for (int64_t task; (task = claim(pool, whose, round)) >= 0; ran++)
            atomic_load (&pool->body)(atomic_load(&pool->data), task, worker);
    }
    if (!ran)
        return false;                          /* maybe of an older job: what this one counts is not ours */
    int64_t tasks = atomic_load(&pool->tasks); /* before the count: behind it the job may end */
    return atomic_fetch_add(&pool->done, ran) + ran == tasks;
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
        if (run_job(pool, self->index, round) && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

/* Wakes the workers for a round whose shares are set, or to stop. */
static void publish(struct weft_pool *pool, unsigned round) {
    atomic_store(&pool->round, round);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void await_workers(struct weft_pool *pool, int64_t tasks) {
    for (int i = 0; i < pool->spins; i++) {
        if (atomic_load_explicit(&pool->done, memory_order_acquire) == tasks)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->done) != tasks)
        pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

static void parallel_for(void *context, weft_body *body, void *data, int64_t tasks) {
    struct weft_pool *pool = context;
    if (pool->exec.width == 1 || tasks <= 1 || tasks > UINT32_MAX || atomic_flag_test_and_set(&pool->busy)) {
        for (int64_t task = 0; task < tasks; task++)
            body(data, task, 0);
        return;
    }
    unsigned round = atomic_load(&pool->round) + 1;
    /* First nobody can claim: a worker that is late must not see the new number of tasks beside an old share.
     */
    for (int32_t w = 0; w < pool->exec.width; w++)
        atomic_store(&pool->workers[w].share, (uint64_t)round << 32 | UINT32_MAX);
    atomic_store(&pool->body, body);
    atomic_store(&pool->data, data);
    atomic_store(&pool->tasks, tasks);
    atomic_store(&pool->done, 0);
    for (int32_t w = 0; w < pool->exec.width; w++)
        atomic_store(&pool->workers[w].share, (uint64_t)round << 32 | (uint64_t)share_begin(pool, w, tasks));
    publish(pool, round);
    if (!run_job(pool, 0, round))
        await_workers(pool, tasks);
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
    struct worker *workers = aligned_alloc(CACHE_LINE, sizeof *workers * (size_t)width);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        weft_fail(error, "no memory for %d threads", width);
        return NULL;
    }
    memset(pool, 0, sizeof *pool);
    memset(workers, 0, sizeof *workers * (size_t)width);
    pool->exec = (weft_exec){.context = pool, .width = width, .parallel_for = parallel_for};
    pool->workers = workers;
    pool->spins =
        width <= available ? SPINS : 0; /* who spins on a processor that another thread needs, delays it */
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->finished, NULL);
    atomic_flag_clear(&pool->busy);
    for (int i = 1; i < width; i++) {
        workers[i].pool = pool;
        workers[i].index = i;
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
    publish(pool, atomic_load(&pool->round) + 1);
    for (int i = 1; i <= pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

const weft_exec *weft_pool_exec(struct weft_pool *pool) {
    return &pool->exec;
}
