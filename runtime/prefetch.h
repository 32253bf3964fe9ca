/* runtime/prefetch.h: the next batch of a data set, read by a thread of its own while the present one is
 * computed with. It keeps one batch in memory. */
#ifndef WEFT_PREFETCH_H
#define WEFT_PREFETCH_H

#include "runtime/dataset.h"

struct weft_prefetch;

/* Nobody else reads the set while a batch is begun and not waited for. wanted[field]: whether
 * the field is read. NULL: refused. */
struct weft_prefetch *weft_prefetch_create(struct weft_dataset *set, const bool *wanted, int64_t batch,
                                           struct weft_error *error);
void weft_prefetch_destroy(struct weft_prefetch *prefetch); /* NULL is fine */

/* Begins to read a batch; the items are copied. What was begun before and not taken is lost. */
void weft_prefetch_begin(struct weft_prefetch *prefetch, const int64_t *items,
                         const struct weft_draws *draws);
/* Waits until the thread is done with what was begun, which is kept: the set may be read by the caller then.
 */
void weft_prefetch_wait(struct weft_prefetch *prefetch);
/* As weft_dataset_read: hands out the batch that was begun, if it is this one, or reads it now. */
bool weft_prefetch_read(struct weft_prefetch *prefetch, const int64_t *items, const struct weft_draws *draws,
                        void *const *out, struct weft_error *error);

#endif
