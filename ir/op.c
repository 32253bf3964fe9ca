/* ir/op.c: the descriptor table and the names of opcodes and attributes, expanded from ops.def and attrs.def.
 */
#include "ir/op.h"

#include "ir/infer.h"

#include <string.h>

_Static_assert(ATTR_COUNT <= 64, "the attributes of an operator are a set of 64 bits");

#define A(name) (UINT64_C(1) << ATTR_##name)
const struct op_info op_infos[OP_COUNT] = {
#define OP(name, operands, results, attributes, infer, grad, eval, fuse, flops, lower, example, ulp,         \
           equation)                                                                                         \
    [OP_##name] = {#name,       operands, results, attributes, infer_##infer,                                \
                   FUSE_##fuse, flops,    example, ulp,        equation},
#include "ir/ops.def"
#undef OP
};
#undef A

static const struct {
    const char *text;
    enum attr_kind kind;
} attrs[ATTR_COUNT] = {
#define ATTR(name, kind) [ATTR_##name] = {#name, ATTR_##kind},
#include "ir/attrs.def"
#undef ATTR
};

static bool equals(const char *word, const char *text, size_t length) {
    return strlen(word) == length && memcmp(word, text, length) == 0;
}

const char *opcode_text(enum opcode code) {
    return op_infos[code].name;
}

bool opcode_find(const char *text, size_t length, enum opcode *out) {
    for (int i = 0; i < OP_COUNT; i++)
        if (equals(op_infos[i].name, text, length)) {
            *out = (enum opcode)i;
            return true;
        }
    return false;
}

bool op_commutes(enum opcode code) {
    static const enum opcode codes[] = {OP_add, OP_mul, OP_eq, OP_ne, OP_and, OP_or, OP_xor};
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        if (codes[i] == code)
            return true;
    return false;
}

const char *attr_text(enum attr_name name) {
    return attrs[name].text;
}

enum attr_kind attr_kind(enum attr_name name) {
    return attrs[name].kind;
}

bool attr_find(const char *text, size_t length, enum attr_name *out) {
    for (int i = 0; i < ATTR_COUNT; i++)
        if (equals(attrs[i].text, text, length)) {
            *out = (enum attr_name)i;
            return true;
        }
    return false;
}

/* ---- inference with the checks that the row alone decides ---- */

static bool check_count(struct graph *graph, const struct op *op, struct diags *diags, int have, int want,
                        const char *what) {
    if (want == VARIADIC || have == want)
        return true;
    infer_error(graph, op, diags, E_IR, "has %d %s%s, not %d", want, what, want == 1 ? "" : "s", have);
    return false;
}

bool op_check_form(struct graph *graph, const struct op *op, struct diags *diags) {
    const struct op_info *info = &op_infos[op->code];
    if (!check_count(graph, op, diags, op->in_count, info->operands, "operand") ||
        !check_count(graph, op, diags, op->out_count, info->results, "result"))
        return false;
    uint64_t present = 0;
    for (int i = 0; i < op->attr_count; i++)
        present |= UINT64_C(1) << op->attrs[i].name;
    for (int i = 0; i < ATTR_COUNT; i++) {
        uint64_t bit = UINT64_C(1) << i;
        if ((present & bit) == (info->attributes & bit))
            continue;
        infer_error(graph, op, diags, E_IR,
                    present & bit ? "has no attribute `%s`" : "wants the attribute `%s`",
                    attr_text((enum attr_name)i));
        return false;
    }
    return true;
}

/* Operators that join the axes of two operands can double the rank at each step. */
enum { RANK_MOST = 1000 };

bool op_infer(struct graph *graph, struct op *op, struct diags *diags) {
    if (!op_check_form(graph, op, diags) || !op_infos[op->code].infer(graph, op, diags))
        return false;
    for (int i = 0; i < op->out_count; i++)
        if (op->out[i]->type->rank > RANK_MOST) {
            infer_error(graph, op, diags, E_SHAPE, "the result has more than %d axes", RANK_MOST);
            return false;
        }
    return true;
}
