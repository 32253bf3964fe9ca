/* passes/cse.c: common subexpressions. In each block, of pure ops with equal operator, attributes, operands
 * and types the first stays. Ops with regions are equal when their regions are, op by op. */
#include "passes/passes.h"

#include <string.h>

/* An input is an argument of the entry; a remat is there to be computed twice. */
static bool is_sharable(const struct op *op) {
    if (!op_is_pure(op->code) || op->code == OP_input || op->code == OP_remat || op->code == OP_call)
        return false;
    for (int r = 0; r < op->region_count; r++)
        if (block_has_effects(op->regions[r]))
            return false;
    return true;
}

/* ---- hashing: equal ops have equal hashes; the order of commuting operands does not count ---- */

static uint64_t hash_attr(uint64_t hash, const struct attr *attr) {
    hash = hash_bytes(hash, &attr->name, sizeof(attr->name));
    switch (attr_kind(attr->name)) {
    case ATTR_INTS:
        return attr->count ? hash_bytes(hash, attr->ints, sizeof(*attr->ints) * (size_t)attr->count) : hash;
    case ATTR_DIMS:
        return attr->count ? hash_bytes(hash, attr->dims, sizeof(*attr->dims) * (size_t)attr->count) : hash;
    case ATTR_DATA: {
        int64_t bytes = type_bytes(attr->data->type);
        return bytes ? hash_bytes(hash, attr->data->bytes, (size_t)(bytes < 256 ? bytes : 256)) : hash;
    }
    case ATTR_INT:
    case ATTR_FLOAT:
        return hash_bytes(hash, &attr->i, sizeof(attr->i));
    case ATTR_STRING:
        return hash_bytes(hash, attr->string, strlen(attr->string));
    default:
        return hash_bytes(hash, &attr->dim, sizeof(attr->dim)); /* a pointer to what is interned or unique */
    }
}

static uint64_t hash_op(const struct op *op, bool with_operands) {
    uint64_t hash = hash_bytes(0, &op->code, sizeof(op->code)), operands = 0;
    for (int i = 0; i < op->attr_count; i++)
        hash = hash_attr(hash, &op->attrs[i]);
    for (int i = 0; i < op->in_count && with_operands; i++) {
        uint64_t one =
            hash_bytes(op_commutes(op->code) ? 0 : (uint64_t)i, &op->in[i]->id, sizeof(op->in[i]->id));
        operands += one;
    }
    hash = hash_bytes(hash, &operands, sizeof(operands));
    for (int i = 0; i < op->out_count; i++)
        hash = hash_bytes(hash, &op->out[i]->type, sizeof(op->out[i]->type));
    for (int r = 0; r < op->region_count; r++)
        FOR_EACH_OP (inner, op->regions[r]) {
            uint64_t inside = hash_op(inner, false); /* values in regions have different ids */
            hash = hash_bytes(hash, &inside, sizeof(inside));
        }
    return hash;
}

/* ---- equality ---- */

struct pairing {
    struct map map; /* a value of the one region to its fellow in the other */
};

static bool same_value(const struct pairing *pairs, const struct value *a, const struct value *b) {
    return a == b || (pairs && map_find(&pairs->map, a) == b);
}

static bool same_region(const struct block *a, const struct block *b, struct pairing *pairs);

static bool same_op(const struct op *a, const struct op *b, struct pairing *pairs, struct arena *scratch) {
    if (a->code != b->code || a->in_count != b->in_count || a->out_count != b->out_count ||
        a->attr_count != b->attr_count || a->region_count != b->region_count)
        return false;
    for (int i = 0; i < a->attr_count; i++)
        if (!attr_equal(&a->attrs[i], &b->attrs[i]))
            return false;
    for (int i = 0; i < a->out_count; i++)
        if (a->out[i]->type != b->out[i]->type)
            return false;
    bool same = true, swapped = op_commutes(a->code);
    for (int i = 0; i < a->in_count; i++) {
        same = same && same_value(pairs, a->in[i], b->in[i]);
        swapped = swapped && same_value(pairs, a->in[i], b->in[1 - i]);
    }
    if (!same && !swapped)
        return false;
    struct pairing inner;
    if (a->region_count > 0 && !pairs) {
        map_init(&inner.map, scratch);
        pairs = &inner;
    }
    for (int r = 0; r < a->region_count; r++)
        if (!same_region(a->regions[r], b->regions[r], pairs))
            return false;
    return true;
}

static bool same_region(const struct block *a, const struct block *b, struct pairing *pairs) {
    if (a->param_count != b->param_count)
        return false;
    for (int i = 0; i < a->param_count; i++) {
        if (a->params[i]->type != b->params[i]->type)
            return false;
        map_put(&pairs->map, a->params[i], b->params[i]);
    }
    const struct op *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next) {
        if (!same_op(x, y, pairs, NULL))
            return false;
        for (int i = 0; i < x->out_count; i++)
            map_put(&pairs->map, x->out[i], y->out[i]);
    }
    return !x && !y;
}

/* ---- the pass ---- */

struct seen {
    struct op *op;
    struct seen *next;
};

/* A value that an op captures twice needs one parameter only; dce takes the other away. */
static void share_captures(struct op *op) {
    int shift = op_region_shift(op);
    for (int i = op_first_capture(op); i < op->in_count; i++)
        for (int j = i + 1; j < op->in_count; j++) {
            if (op->in[i] != op->in[j])
                continue;
            for (int r = 0; r < op->region_count; r++)
                if (value_has_uses(op->regions[r]->params[j - shift]))
                    value_replace(op->regions[r]->params[j - shift], op->regions[r]->params[i - shift]);
        }
}

static void share_block(struct block *block, struct arena *scratch) {
    struct map table;
    map_init(&table, scratch);
    FOR_EACH_OP (op, block) {
        if (op->region_count > 0)
            share_captures(op);
        for (int r = 0; r < op->region_count; r++)
            share_block(op->regions[r], scratch);
        if (!is_sharable(op))
            continue;
        uint64_t hash = hash_op(op, true) | 1; /* a key is not NULL */
        struct seen *chain = map_find(&table, (void *)(uintptr_t)hash), *same = chain;
        while (same && !same_op(same->op, op, NULL, scratch))
            same = same->next;
        if (!same) {
            struct seen *entry = ARENA_NEW(scratch, struct seen);
            *entry = (struct seen){op, chain};
            map_put(&table, (void *)(uintptr_t)hash, entry);
            continue;
        }
        for (int i = 0; i < op->out_count; i++)
            if (value_has_uses(op->out[i]))
                value_replace(op->out[i], same->op->out[i]);
        op_erase(op);
    }
}

bool cse(struct graph *graph, struct pass_context *context) {
    for (int i = 0; i < graph->functions.count; i++)
        share_block(graph->functions.at[i]->body, context->scratch);
    return true;
}
