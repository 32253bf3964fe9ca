#include "runtime/prefetch.h"

#include "runtime/error.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum phase { IDLE, WANTED, DONE, QUIT };

struct weft_prefetch {
    struct weft_dataset *set;
    int64_t batch;
    int fields;
    void **buffers; /* by field; NULL: not wanted */
    size_t *bytes;
    int64_t *items;
    struct weft_draws draws;
    bool ok; /* of the batch that is done */
    struct weft_error error;
    enum phase phase; /* under the lock; while it is WANTED all above is the thread's */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread;
};

static void *work(void *context) {
    struct weft_prefetch *p = context;
    pthread_mutex_lock(&p->lock);
    while (p->phase != QUIT) {
        if (p->phase != WANTED) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        p->ok = weft_dataset_read(p->set, p->items, p->batch, &p->draws, p->buffers, &p->error);
        pthread_mutex_lock(&p->lock);
        p->phase = DONE;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Waits for the thread and says how it stands. */
static enum phase settle(struct weft_prefetch *p, enum phase next) {
    pthread_mutex_lock(&p->lock);
    while (p->phase == WANTED)
        pthread_cond_wait(&p->changed, &p->lock);
    enum phase was = p->phase;
    p->phase = next;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return was;
}

static size_t item_bytes(const struct weft_field *f) {
    size_t bytes = 4; /* f32 and i32 */
    for (int i = 0; i < f->rank; i++)
        bytes *= (size_t)f->shape[i];
    return bytes;
}

static bool make_buffers(struct weft_prefetch *p, const bool *wanted) {
    p->buffers = calloc((size_t)p->fields, sizeof *p->buffers);
    p->bytes = calloc((size_t)p->fields, sizeof *p->bytes);
    p->items = calloc((size_t)p->batch, sizeof *p->items);
    bool ok = p->buffers && p->bytes && p->items;
    for (int i = 0; ok && i < p->fields; i++) {
        p->bytes[i] = item_bytes(weft_dataset_field(p->set, i)) * (size_t)p->batch;
        if (wanted[i])
            ok = (p->buffers[i] = malloc(p->bytes[i] ? p->bytes[i] : 1)) != NULL;
    }
    return ok;
}

struct weft_prefetch *weft_prefetch_create(struct weft_dataset *set, const bool *wanted, int64_t batch,
                                           struct weft_error *error) {
    struct weft_prefetch *p = calloc(1, sizeof *p);
    if (!p) {
        weft_fail(error, "no memory for a batch");
        return NULL;
    }
    p->set = set;
    p->batch = batch;
    p->fields = weft_dataset_field_count(set);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    if (make_buffers(p, wanted))
        p->has_thread = pthread_create(&p->thread, NULL, work, p) == 0;
    if (p->has_thread)
        return p;
    weft_prefetch_destroy(p);
    weft_fail(error, "no memory for a batch, or no thread to read it with");
    return NULL;
}

void weft_prefetch_destroy(struct weft_prefetch *p) {
    if (!p)
        return;
    if (p->has_thread) {
        settle(p, QUIT);
        pthread_join(p->thread, NULL);
    }
    for (int i = 0; p->buffers && i < p->fields; i++)
        free(p->buffers[i]);
    free(p->buffers);
    free(p->bytes);
    free(p->items);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void weft_prefetch_begin(struct weft_prefetch *p, const int64_t *items, const struct weft_draws *draws) {
    settle(p, IDLE);
    memcpy(p->items, items, sizeof *items * (size_t)p->batch);
    p->draws = *draws;
    settle(p, WANTED);
}

void weft_prefetch_wait(struct weft_prefetch *p) {
    pthread_mutex_lock(&p->lock);
    while (p->phase == WANTED)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static bool is_begun(const struct weft_prefetch *p, const int64_t *items, const struct weft_draws *draws) {
    return p->draws.seed == draws->seed && p->draws.epoch == draws->epoch &&
           memcmp(p->items, items, sizeof *items * (size_t)p->batch) == 0;
}

bool weft_prefetch_read(struct weft_prefetch *p, const int64_t *items, const struct weft_draws *draws,
                        void *const *out, struct weft_error *error) {
    if (settle(p, IDLE) != DONE || !is_begun(p, items, draws))
        return weft_dataset_read(p->set, items, p->batch, draws, out, error);
    for (int i = 0; p->ok && i < p->fields; i++)
        if (out[i] && p->buffers[i])
            memcpy(out[i], p->buffers[i], p->bytes[i]);
    return p->ok || weft_fail(error, "%s", p->error.message);
}
