/* ir/ops_random.c: Philox 4x32-10: random bits, and keys made from keys. */
#include "ir/evaluate.h"
#include "ir/infer.h"
#include "runtime/philox.h"

/* ---- inference ---- */

static bool check_key(struct graph *graph, struct op *op, struct diags *diags) {
    const int64_t words = 2;
    if (op->in[0]->type == type_of_sizes(graph->types, DTYPE_u32, 1, &words))
        return true;
    infer_error(graph, op, diags, E_TYPE, "the key must be u32[2], but is %s", type_name(graph, op->in[0]));
    return false;
}

bool infer_random_bits(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = infer_declared_type(graph, op, diags);
    if (!type || !check_key(graph, op, diags))
        return false;
    if (type->dtype == DTYPE_u32)
        return true;
    infer_error(graph, op, diags, E_DTYPE, "gives u32, not %s", type_name(graph, op->out[0]));
    return false;
}

bool infer_random_fold(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *d = op->in[1]->type;
    if (!check_key(graph, op, diags))
        return false;
    if ((d->dtype != DTYPE_i32 && d->dtype != DTYPE_u32) || d->rank > 1) {
        infer_error(graph, op, diags, E_TYPE, "folds in i32 or u32 of rank 0 or 1, but got %s",
                    type_name(graph, op->in[1]));
        return false;
    }
    const struct dim *dims[2] = {d->rank ? d->dims[0] : NULL, dim_const(graph->types, 2)};
    return infer_result(op, type_get(graph->types, DTYPE_u32, 1 + d->rank, dims + 1 - d->rank));
}

/* ---- values ---- */

static struct philox_key key_at(const struct tensor *key, int64_t row) {
    return (struct philox_key){{(uint32_t)key->i[2 * row], (uint32_t)key->i[2 * row + 1]}};
}

bool eval_random_bits(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)e;
    int64_t n = type_elements(op->out[0]->type);
    for (int64_t k = 0; k < n; k++)
        out[0]->i[k] = philox_element(key_at(in[0], 0), (uint64_t)k);
    return true;
}

/* key u32[2] or a row of them, d [] or a row: a key for each. */
bool eval_random_fold(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)e;
    int64_t rows = type_elements(op->out[0]->type) / 2;
    bool keys = type_elements(op->in[0]->type) > 2, folds = type_elements(op->in[1]->type) > 1;
    for (int64_t row = 0; row < rows; row++) {
        struct philox_key key =
            philox_fold(key_at(in[0], keys ? row : 0), (uint32_t)in[1]->i[folds ? row : 0]);
        out[0]->i[2 * row] = key.word[0];
        out[0]->i[2 * row + 1] = key.word[1];
    }
    return true;
}
