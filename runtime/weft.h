/* runtime/weft.h: the ABI of compiled objects, for C and C++. Headers only: an object links against libm at
 * most.
 *
 * An object holds entries (the model's fn and train). `weights` and `state` are two blocks of memory that the
 * caller owns, allocated 64-byte aligned with the sizes that the object tells; every entry of an object
 * shares their layout. No function allocates, keeps state, or opens files; all are re-entrant. */
#ifndef WEFT_H
#define WEFT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_ABI_MAJOR 1
#define WEFT_ABI_MINOR 1

typedef enum weft_dtype {
    WEFT_F64,
    WEFT_F32,
    WEFT_BF16,
    WEFT_F16,
    WEFT_I64,
    WEFT_I32,
    WEFT_U32,
    WEFT_I8,
    WEFT_U8,
    WEFT_BOOL
} weft_dtype; /* in the order of ir/dtype.def */

#define WEFT_MAX_RANK 16

/* A weight or buffer: raw tensors are dense and row major. */
typedef struct weft_tensor_info {
    const char *name;
    weft_dtype dtype;
    int32_t rank;
    const int64_t *shape;
    uint64_t offset; /* of the tensor in the weights or state block */
    uint64_t bytes;
} weft_tensor_info;

typedef enum weft_role {
    WEFT_WEIGHTS, /* args[0]: the weights block */
    WEFT_STATE,   /* args[1]: the state block */
    WEFT_INPUT,   /* a tensor that the caller fills */
    WEFT_SEED,    /* one uint64_t */
    WEFT_RESULT,  /* a tensor that the entry fills */
    WEFT_REPORT,  /* likewise: a `report` of a train step */
    WEFT_PRINT    /* what a `print` shows; never among the arguments */
} weft_role;

typedef struct weft_arg_info {
    const char *name;
    weft_role role;
    weft_dtype dtype;
    int32_t rank;
    const int64_t *shape;
} weft_arg_info;

/* How an entry runs its kernels in parallel. parallel_for calls body(data, task, worker) once for each task
 * in [0, tasks), in any order, on any thread, and returns when all are done; worker < width tells threads
 * apart. Results do not depend on the width. A NULL exec runs everything on the caller's thread. */
typedef void weft_body(void *data, int64_t task, int32_t worker);
/* What a `print` of the model calls, on the thread that called the entry: the label is what->name, and data a
 * dense tensor of its dtype and shape, valid during the call. */
typedef void weft_print(void *print_context, const weft_arg_info *what, const void *data);
typedef struct weft_exec {
    void *context;
    int32_t width;
    void (*parallel_for)(void *context, weft_body *body, void *data, int64_t tasks);
    weft_print *print; /* NULL: prints are silent */
    void *print_context;
} weft_exec;

/* The one form of every entry: args[i] as the entry's weft_arg_info list says; workspace 64-byte aligned, of
 * the size that the entry tells (for exec NULL or any width); exec may be NULL. 0, or an error code for the
 * object's _error(). */
typedef int weft_call(void *const *args, void *workspace, const weft_exec *exec);

/* Error codes of every object; codes from WEFT_FIRST_CHECK on are the model's own checks. */
enum {
    WEFT_OK = 0,
    WEFT_BAD_CPU = 1,   /* the machine lacks an instruction set that the object was built for */
    WEFT_BAD_SHAPE = 2, /* a dimension value that the object was not built for */
    WEFT_STOPPED = 3,   /* the caller has stored WEFT_STOP */
    WEFT_FIRST_CHECK = 16
};

/* A call can be given up from outside: whoever stores WEFT_STOP into the first int32_t of its workspace while
 * it runs (a parallel_for, another thread) makes it return WEFT_STOPPED before the next turn of a loop. */
#define WEFT_STOP (-2)

/* The message of a runtime failure (file readers of libweft_rt). */
struct weft_error {
    char message[512];
};

#ifdef __cplusplus
}
#endif

#endif
