/* codegen/lower_contract.c: a kernel with one sum of products in it to loop IR: docs/contract.md. */
#include "codegen/contract.h"

/* Which schedule writes which operator. */
static const struct {
    enum opcode code;
    bool (*lower)(struct contraction *c);
} schedules[] = {
    {OP_dot, contract_dot},
};

static const struct op *find_core(const struct op *kernel) {
    FOR_EACH_OP (op, kernel->regions[0])
        if (op_infos[op->code].fuse == FUSE_CONTRACT)
            return op;
    return NULL;
}

static bool lower(struct lowering *l, const struct op *kernel, bool packs_before, struct loop_kernel *out) {
    const struct op *core = find_core(kernel);
    if (!core) {
        diag_defect(l->diags, kernel->site->span, "a kernel of kind contract without a sum of products");
        return false;
    }
    enum dtype dtype = core->out[0]->type->dtype;
    if (dtype != DTYPE_f32 && dtype != DTYPE_f64) {
        diag_error_at(l->diags, core->site, E_COMPILE,
                      "sums of products of %s are not compiled yet: cast to f32", dtype_text(dtype));
        return false;
    }
    struct contraction c = {
        .l = l, .out = out, .kernel = kernel, .core = core, .dtype = dtype, .packs_before = packs_before};
    c.lanes = target_lanes(l->target, dtype_bytes(dtype));
    if (!finish_plan(l, out, kernel, core->out[0], &c.finish))
        return false;
    if (type_elements(core->out[0]->type) == 0)
        return true; /* no phase: there is nothing to store */
    for (size_t i = 0; i < sizeof(schedules) / sizeof(*schedules); i++)
        if (schedules[i].code == core->code)
            return schedules[i].lower(&c);
    diag_error_at(l->diags, core->site, E_COMPILE, "%s is not compiled yet", opcode_text(core->code));
    return false;
}

bool lower_contract(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    return lower(l, kernel, false, out);
}

bool lower_contract_packed(struct lowering *l, const struct op *kernel, struct loop_kernel *out) {
    return lower(l, kernel, true, out);
}

/* ---- sizes that all schedules choose alike ---- */

struct row_split row_split(int64_t rows, int most) {
    int64_t tiles = (rows + most - 1) / most;
    return (struct row_split){.tiles = tiles, .big = rows % tiles, .height = rows / tiles};
}

/* The target's tile for many rows; for few, as many vectors as the registers hold: rows * vectors
 * accumulators, the vectors of B, one of A. */
void tile_shape(const struct target *target, int64_t rows, int *tile_rows, int *tile_vectors) {
    *tile_rows = target->tile_rows;
    *tile_vectors = target->tile_vectors;
    if (rows >= *tile_rows)
        return;
    *tile_rows = (int)rows;
    int most = (int)((target->vector_registers - 1) / (rows + 1));
    *tile_vectors = most < TILE_VECTORS ? most : TILE_VECTORS;
    if (*tile_vectors < target->tile_vectors)
        *tile_vectors = target->tile_vectors;
}

/* A task is some 30 microseconds of a fast core at least, and there are at most 64. */
int64_t task_target(double multiply_adds) {
    double tasks = multiply_adds / 1e6;
    return tasks < 1 ? 1 : tasks > 64 ? 64 : (int64_t)tasks;
}
