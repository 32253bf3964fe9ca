/* ir/op.h: opcodes and attributes, expanded from ops.def and attrs.def. */
#ifndef IR_OP_H
#define IR_OP_H

#include "base/diag.h"
#include "ir/type.h"

#include <stdbool.h>
#include <stdint.h>

enum opcode {
#define OP(name, ...) OP_##name,
#include "ir/ops.def"
#undef OP
    OP_COUNT
};

enum attr_name {
#define ATTR(name, kind) ATTR_##name,
#include "ir/attrs.def"
#undef ATTR
    ATTR_COUNT
};
enum attr_kind {
    ATTR_INT,
    ATTR_INTS,
    ATTR_FLOAT,
    ATTR_STRING,
    ATTR_DIM,
    ATTR_DIMS,
    ATTR_DATA,
    ATTR_STATE,
    ATTR_FUNCTION
};

/* The bytes of a constant tensor in the memory format of its (static) type, row major. */
struct data {
    const struct type *type;
    const void *bytes;
};

struct state;
struct function;

struct attr {
    enum attr_name name;
    int count; /* of ints and dims */
    union {
        int64_t i;
        const int64_t *ints;
        double f;
        const char *string; /* interned in the graph's names */
        const struct dim *dim;
        const struct dim *const *dims;
        const struct data *data;
        struct state *state;
        struct function *function;
    };
};

enum fuse_class {
    FUSE_SOURCE,
    FUSE_MAP,
    FUSE_VIEW,
    FUSE_REDUCE,
    FUSE_CONTRACT,
    FUSE_OPAQUE,
    FUSE_EFFECT,
    FUSE_REGION
};
enum { VARIADIC = -1 };

struct op;
struct graph;

/* What the whole program may know of an operator. Gradients, evaluation and lowering expand their own
 * columns. */
struct op_info {
    const char *name;
    int operands, results; /* or VARIADIC */
    uint64_t attributes;   /* bit ATTR_x: must be there */
    /* Gives the results their types, from operands, attributes, and where the row says "declared" the type
     * that the results were made with; checks everything that is wrong in a use of the operator. false:
     * reported. */
    bool (*infer)(struct graph *graph, struct op *op, struct diags *diags);
    enum fuse_class fuse;
    int flops;
    const char *example;
    double ulp;           /* compiled code in f32 is that near to the exact result; 0: exact, or a sum */
    const char *equation; /* for readers */
};
extern const struct op_info op_infos[OP_COUNT];

const char *opcode_text(enum opcode code);
bool opcode_find(const char *text, size_t length, enum opcode *out);
const char *attr_text(enum attr_name name);
enum attr_kind attr_kind(enum attr_name name);
bool attr_find(const char *text, size_t length, enum attr_name *out);

/* op(x, y) has the bits of op(y, x). max and min are not among them: max(0, -0) may be either zero. */
bool op_commutes(enum opcode code);
static inline bool op_is_pure(enum opcode code) { /* may be dropped, shared and moved */
    return op_infos[code].fuse != FUSE_EFFECT;
}

#endif
