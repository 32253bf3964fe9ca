/* runtime/pool.h: threads that stay, behind a weft_exec. */
#ifndef WEFT_POOL_H
#define WEFT_POOL_H

#include "runtime/weft.h"

struct weft_pool;

/* `threads` counts the caller: 1 makes no thread, 0 asks the system how many processors this process may use.
 * NULL: threads cannot be made. */
struct weft_pool *weft_pool_create(int threads, struct weft_error *error);
void weft_pool_destroy(struct weft_pool *pool); /* NULL is fine; no call may be running */

/* Worker w of W begins with the tasks [w*T/W, (w+1)*T/W), ascending, then takes what others have left; the
 * caller is worker 0. A call from inside a body, or while another thread's call is running, runs all its
 * tasks on the caller as worker 0. */
const weft_exec *weft_pool_exec(struct weft_pool *pool);

#endif
