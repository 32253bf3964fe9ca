/* codegen/emit_pattern.c: what is known of a vector loop's lanes while its code is made. Lane 0 stands at a
 * multiple of the number of lanes behind the loop's first turn, so w / 2 in 8 lanes is w0 / 2 + 0, 0, 1, 1,
 * 2, 2, 3, 3 whatever w0 is: upsampling, pooling's gradient and strided access become whole loads and a
 * shuffle. */
#include "codegen/emission.h"

#include <string.h>

static int64_t floor_mod(int64_t a, int64_t m) {
    return (a % m + m) % m;
}

struct residue_query {
    struct emission *em;
    int64_t m, sum;
    bool is_known;
};

static void residue_term(void *data, const struct loop_expr *atom, int64_t coefficient) {
    struct residue_query *q = data;
    const struct lanes *lanes = &q->em->lanes;
    if (coefficient % q->m == 0)
        return;
    bool is_lane = atom->kind == LEXPR_VAR && atom->var == lanes->var;
    if (is_lane && lanes->first >= 0 && coefficient * lanes->count % q->m == 0)
        q->sum += coefficient * lanes->first;
    else
        q->is_known = false;
}

int64_t lane_residue(struct emission *em, const struct loop_expr *x, int64_t m) {
    struct residue_query q = {.em = em, .m = m, .is_known = true};
    lexpr_terms(x, residue_term, &q, &q.sum);
    return q.is_known ? floor_mod(q.sum, m) : -1;
}

static bool offsets_of_division(struct emission *em, const struct loop_expr *x, int64_t *offsets) {
    int64_t inner[128], m = x->args[1]->kind == LEXPR_INT ? x->args[1]->i : 0;
    int64_t first = m > 0 ? lane_residue(em, x->args[0], m) : -1;
    if (first < 0 || !lane_offsets(em, x->args[0], inner))
        return false;
    for (int i = 0; i < em->lanes.count; i++) {
        int64_t at = first + inner[i], rest = floor_mod(at, m);
        offsets[i] = x->code == OP_div ? (at - rest) / m : rest - first;
    }
    return true;
}

bool lane_offsets(struct emission *em, const struct loop_expr *x, int64_t *offsets) {
    int n = em->lanes.count;
    if (!expr_facts(em, x)->varies) {
        memset(offsets, 0, sizeof(*offsets) * (size_t)n);
        return true;
    }
    if (x->kind == LEXPR_VAR && x->var == em->lanes.var) {
        for (int i = 0; i < n; i++)
            offsets[i] = i;
        return true;
    }
    if (x->kind != LEXPR_OP || x->dtype != DTYPE_i64)
        return false;
    if (x->code == OP_div || x->code == OP_mod)
        return offsets_of_division(em, x, offsets);
    int64_t other[128];
    if (x->code == OP_add && lane_offsets(em, x->args[0], offsets) && lane_offsets(em, x->args[1], other)) {
        for (int i = 0; i < n; i++)
            offsets[i] += other[i];
        return true;
    }
    if (x->code != OP_mul || x->args[1]->kind != LEXPR_INT || !lane_offsets(em, x->args[0], offsets))
        return false;
    for (int i = 0; i < n; i++)
        offsets[i] *= x->args[1]->i;
    return true;
}
