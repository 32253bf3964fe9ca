/* codegen/interface.h: the C interface of an object, as data: header.c writes it down, object.c emits it.
 * docs/abi.md tells users what it means. */
#ifndef CODEGEN_INTERFACE_H
#define CODEGEN_INTERFACE_H

#include "codegen/session.h"

enum c_param_kind {
    PARAM_WEIGHTS,
    PARAM_STATE,
    PARAM_TENSOR, /* const T *: an input */
    PARAM_SCALAR, /* T: an input of rank 0 */
    PARAM_SIZE,   /* int64_t: a dimension variable; the object knows one value */
    PARAM_SEED,   /* uint64_t */
    PARAM_OUTPUT, /* T *: a result or report */
    PARAM_WORKSPACE,
    PARAM_EXEC
};

struct c_param {
    enum c_param_kind kind;
    const char *name;        /* a C identifier, unique in its list */
    const struct type *type; /* of tensors and scalars */
    bool is_const;           /* WEIGHTS, STATE: the entry does not write them */
    int argument;            /* of the `_call` form; -1: none */
    int64_t size;            /* SIZE: the value that the object is built for */
};

/* int PREFIX_NAME(params), size_t PREFIX_NAME_workspace(sizes, exec), PREFIX_NAME_call and PREFIX_NAME_args.
 * The model's `init` is the exception: int PREFIX_init(weights, state, seed), whose workspace is on the
 * stack. */
struct c_function {
    const struct compiled_function *function;
    const char *name; /* PREFIX_NAME */
    VEC(struct c_param) params;
    bool is_init;
};

struct c_function c_function_of(const struct compiled *compiled, const struct compiled_function *function,
                                const char *prefix);
const char *c_identifier(struct arena *arena,
                         const char *text); /* other characters become _; never a word of C */
const char *c_type_of(enum dtype dtype);    /* "float"; bf16 and f16: "uint16_t", their bits */

/* "vae.weft:12: message" of a row of compiled->checks. */
const char *check_text(const struct compiled *compiled, int row);
/* An `init` may use this much of the stack. */
enum { INIT_STACK_BYTES = 256 * 1024 };

extern const char weft_abi_text[]; /* runtime/weft.h, embedded by CMake: a written header stands alone */

/* codegen/object.c, codegen/header.c: object and header of codegen.h. */
const void *object_emit(struct compiled *compiled, const char *prefix, const void *weights, size_t *size,
                        struct diags *diags);
const char *header_write(struct compiled *compiled, const char *prefix, bool holds_weights);
/* codegen/assembly.c: all units and entries as assembly text. NULL: reported. */
const char *assembly_print(struct compiled *compiled, struct diags *diags);

#endif
