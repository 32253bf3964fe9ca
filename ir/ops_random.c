/* ir/ops_random.c: Philox 4x32-10: random bits, and keys made from keys. */
#include "ir/evaluate.h"
#include "ir/infer.h"
#include "runtime/philox.h"

/* ---- inference ---- */

/* A key, u32[2], or one for each row, u32[n,2]. */
static bool check_key(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *key = op->in[0]->type;
    if (key->dtype == DTYPE_u32 && (key->rank == 1 || key->rank == 2) &&
        key->dims[key->rank - 1] == dim_const(graph->types, 2))
        return true;
    infer_error(graph, op, diags, E_TYPE, "the key must be u32[2], or u32[n,2] with a key a row, but is %s",
                type_name(graph, op->in[0]));
    return false;
}

/* Keys of rows go with values that have as many. */
static bool check_rows(struct graph *graph, struct op *op, const struct type *type, struct diags *diags) {
    const struct type *key = op->in[0]->type;
    if (key->rank == 1 || (type->rank > 0 && type->dims[0] == key->dims[0]))
        return true;
    infer_error(graph, op, diags, E_SHAPE, "the rows of the keys %s and of %s differ",
                type_name(graph, op->in[0]), type_text(graph->types, type));
    return false;
}

bool infer_random_bits(struct graph *graph, struct op *op, struct diags *diags) {
    const struct type *type = infer_declared_type(graph, op, diags);
    if (!type || !check_key(graph, op, diags) || !check_rows(graph, op, type, diags))
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
    if (d->rank && !check_rows(graph, op, d, diags))
        return false;
    const struct type *key = op->in[0]->type;
    bool rows = d->rank || key->rank == 2;
    const struct dim *dims[2] = {d->rank ? d->dims[0] : key->dims[0], dim_const(graph->types, 2)};
    return infer_result(op, rows ? type_get(graph->types, DTYPE_u32, 2, dims) : key);
}

/* ---- values ---- */

static struct philox_key key_at(const struct tensor *key, int64_t row) {
    return (struct philox_key){{(uint32_t)key->i[2 * row], (uint32_t)key->i[2 * row + 1]}};
}

/* With a key a row, the elements of each row are counted from 0: so a row does not know of the others. */
bool eval_random_bits(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)e;
    const struct type *type = op->out[0]->type;
    int64_t rows = in[0]->type->rank == 2 ? type_size(type, 0) : 1;
    int64_t n = rows > 0 ? type_elements(type) / rows : 0;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t k = 0; k < n; k++)
            out[0]->i[row * n + k] = philox_element(key_at(in[0], row), (uint64_t)k);
    return true;
}

/* key u32[2] or a row of them, d [] or a row: a key for each. */
bool eval_random_fold(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)e;
    int64_t rows = type_elements(op->out[0]->type) / 2;
    bool keys = op->in[0]->type->rank > 1, folds = op->in[1]->type->rank > 0;
    for (int64_t row = 0; row < rows; row++) {
        struct philox_key key =
            philox_fold(key_at(in[0], keys ? row : 0), (uint32_t)in[1]->i[folds ? row : 0]);
        out[0]->i[2 * row] = key.word[0];
        out[0]->i[2 * row + 1] = key.word[1];
    }
    return true;
}
