/* codegen/lower_contract.c: a kernel with one sum of products in it to loop IR: docs/contract.md. */
#include "codegen/contract.h"

/* Which schedule writes which operator. */
static const struct {
    enum opcode code;
    bool (*lower)(struct contraction *c);
} schedules[] = {
    {OP_dot, contract_dot},
    {OP_conv, contract_conv},
    {OP_conv_wgrad, contract_wgrad},
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
    /* Floats of 16 bits are storage: their products are added up in f32 and rounded once. i8 gives i32. */
    enum dtype dtype = core->out[0]->type->dtype;
    if (dtype == DTYPE_bf16 || dtype == DTYPE_f16)
        dtype = DTYPE_f32;
    struct contraction c = {
        .l = l, .out = out, .kernel = kernel, .core = core, .dtype = dtype, .packs_before = packs_before};
    c.lanes = target_lanes(l->target, dtype_bytes(dtype));
    if (!finish_plan(l, kernel, core->out[0], dtype, &c.finish))
        return false;
    if (type_elements(core->out[0]->type) == 0)
        return true; /* no phase: there is nothing to store */
    bool is_done;
    if (l->use_openblas && core->code == OP_dot && (!contract_blas(&c, &is_done) || is_done))
        return is_done;
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

const struct loop_expr *row_of_tile(struct writer *w, const struct row_split *split,
                                    const struct loop_expr *tile) {
    return plus(w, times(w, tile, split->height), least(w, tile, index_of(w, split->big)));
}

static double greater(double a, double b) {
    return a > b ? a : b;
}

/* Cycles of one step of k for a tile: two multiply-adds and two loads a cycle, four cycles from one
 * multiply-add to the next on the same register; B's panel from L2 where it is deep, 1.6 cycles a vector;
 * and the tile's start and end, spread over k. */
static double tile_cycles(double rows, double vectors, double depth) {
    enum { DEEP = 256 };
    double multiply = rows * vectors / 2, load = (rows + vectors) / 2, latency = 4;
    double stream = depth >= DEEP ? 1.6 * vectors : 0;
    double step = greater(greater(multiply, load), greater(stream, latency));
    return step + (2 * rows * vectors + 10) / (depth + 1);
}

/* All tiles of a shape, and what its variants cost: each is code that LLVM takes about a millisecond for. */
static double shape_cycles(const struct tile_work *work, int rows, int vectors) {
    int64_t all_vectors = ceil_div(work->columns, work->lanes);
    int64_t panels = all_vectors / vectors, edge = all_vectors % vectors;
    struct row_split s = row_split(work->rows, rows);
    double big = (double)s.big, small = (double)(s.tiles - s.big), height = (double)s.height;
    double full = big * tile_cycles(height + 1, vectors, work->depth) +
                  small * tile_cycles(height, vectors, work->depth);
    double last = big * tile_cycles(height + 1, (double)edge, work->depth) +
                  small * tile_cycles(height, (double)edge, work->depth);
    double cycles = full * (double)panels + (edge ? last : 0);
    bool has_edge = work->columns % (vectors * work->lanes) != 0 && all_vectors > vectors;
    int variants = (s.big && s.big < s.tiles ? 2 : 1) * (has_edge ? 2 : 1);
    return cycles * (1 + (work->is_small ? 0.03 : 0.005) * (variants - 1));
}

void choose_tile(const struct target *target, const struct tile_work *work, int *rows, int *vectors) {
    enum { MOST_ROWS = 12 };
    *rows = target->tile_rows;
    *vectors = target->tile_vectors;
    double best = shape_cycles(work, *rows, *vectors) *
                  0.96; /* measured: the target's own is some 4 % ahead of its model */
    for (int v = 1; v <= TILE_VECTORS; v++)
        for (int r = 1; r <= MOST_ROWS && r * v + v + 1 <= target->vector_registers; r++) {
            double cycles = shape_cycles(work, r, v);
            if (cycles < best) {
                best = cycles;
                *rows = r;
                *vectors = v;
            }
        }
}

/* A task is some 60 microseconds of a fast core at least, and there are at most 64. */
int64_t task_target(double multiply_adds) {
    double tasks = multiply_adds / 3e6;
    return tasks < 1 ? 1 : tasks > 64 ? 64 : (int64_t)tasks;
}
