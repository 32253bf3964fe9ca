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
    PARAM_SIZE,   /* int64_t: a dimension variable, or an int parameter that is chosen by */
    PARAM_SEED,   /* uint64_t */
    PARAM_OUTPUT, /* T *: a result or report */
    PARAM_WORKSPACE,
    PARAM_EXEC
};

struct c_param {
    enum c_param_kind kind;
    const char *name;        /* a C identifier, unique in its list */
    const struct type *type; /* of tensors and scalars; where there are variants, the first one's */
    bool is_const;           /* WEIGHTS, STATE: the entry does not write them */
    int argument;            /* of the `_call` form; -1: none */
    int size;                /* SIZE: its place in the sizes of each variant */
};

/* An entry for one combination of sizes: PREFIX_NAME_call and PREFIX_NAME_args; where it is one of several,
 * the sizes are part of NAME. */
struct c_variant {
    const struct compiled_function *function;
    const char *name;
};

/* int PREFIX_NAME(params) and size_t PREFIX_NAME_workspace(sizes, exec), which find the variant by its sizes.
 * The model's `init` is the exception: int PREFIX_init(weights, state, seed), whose workspace is on the
 * stack. */
struct c_function {
    const struct function *entry; /* the first variant's: kind, doc comment */
    const char *name;             /* PREFIX_NAME */
    VEC(struct c_variant) variants;
    VEC(struct c_param) params;
    bool is_init;
};

/* All entries of an object, in order. */
struct c_interface {
    VEC(struct c_function) functions;
};

/* false: the variants of an entry have no common form; reported. */
bool c_interface_of(const struct compiled *compiled, const char *prefix, struct c_interface *out,
                    struct diags *diags);
int64_t c_size(const struct c_variant *variant, const struct c_param *param);
const char *c_identifier(struct arena *arena,
                         const char *text); /* other characters become _; never a word of C */
const char *c_type_of(enum dtype dtype);    /* "float"; bf16 and f16: "uint16_t", their bits */

/* "vae.weft:12: message" of a row of compiled->checks. */
const char *check_text(const struct compiled *compiled, int row);
/* An `init` may use this much of the stack. */
enum { INIT_STACK_BYTES = 256 * 1024 };

extern const char weft_abi_text[]; /* runtime/weft.h, embedded by CMake: a written header stands alone */

/* codegen/object.c, codegen/header.c: object and header of codegen.h. */
const void *object_emit(struct compiled *compiled, const char *prefix, struct held_blocks held, size_t *size,
                        struct diags *diags);
const char *header_write(struct compiled *compiled, const char *prefix, struct held_blocks held,
                         struct diags *diags);
/* codegen/assembly.c: all units and entries as assembly text. NULL: reported. */
const char *assembly_print(struct compiled *compiled, struct diags *diags);

#endif
