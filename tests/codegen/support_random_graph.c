#include "support_maker.h"

#include <math.h>

/* ---- graphs ---- */

/* Other operators take f32, i32, u32 and bool. */
static void keep_as_base(struct maker *m, struct value *v, struct range range) {
    keep(m, v, range);
    if (dtype_is_float(v->type->dtype) && v->type->dtype != DTYPE_f32)
        keep(m, build_cast(&m->b, v, DTYPE_f32), range);
    else if (dtype_is_int(v->type->dtype) && v->type->dtype != DTYPE_i32 && v->type->dtype != DTYPE_u32)
        keep(m, build_cast(&m->b, v, DTYPE_i32), range);
}

/* What is known of a new operator's results. */
static void keep_results(struct maker *m, const struct op *op) {
    double a = 0, work = 1;
    int bits = 0;
    for (int i = 0; i < op->in_count; i++) {
        struct range r = range_of(m, op->in[i]);
        if (!dtype_is_float(op->in[i]->type->dtype))
            continue;
        a = fmax(a, r.bound);
        bits = r.bits > bits ? r.bits : bits;
    }
    struct range out = {fmax(a, 1), bits};
    enum opcode code = op->code;
    if (code == OP_add || code == OP_sub)
        out.bound = 2 * a;
    if (code == OP_mul || code == OP_dot || code == OP_conv || code == OP_conv_wgrad)
        out = (struct range){a * a + 1, 2 * bits};
    if (code == OP_pad && bits < 1)
        out.bits = 1;
    if (code == OP_dot || code == OP_conv || code == OP_conv_wgrad || code == OP_reduce || code == OP_scan ||
        code == OP_scatter || code == OP_fold) {
        for (int i = 0; i < op->in_count; i++)
            work = fmax(work, (double)type_elements(op->in[i]->type));
        out.bound *= work;
    }
    if (code == OP_exp || code == OP_expm1)
        out.bound = exp(fmin(a, 50));
    if (code == OP_pow)
        out.bound = pow(fmax(a * a + 0.5, 2), fmin(a, 20));
    if (code == OP_div)
        out.bound = 2 * a;
    if (code == OP_cast)
        out = (struct range){fmax(a, 16), 0}; /* integers are in -8..8 or cut down below */
    for (int i = 0; i < op->out_count; i++)
        keep_as_base(m, op->out[i], out);
}

static void add_ops(struct maker *m, int ops, int depth);

/* In exact graphs integers of any size come from shifts and random bits; as floats they must be small. */
static struct value *small_float(struct maker *m, struct value *x) {
    if (!dtype_is_float(x->type->dtype) && x->type->dtype != DTYPE_bool)
        x = build_binary(&m->b, OP_mod, x, build_int(&m->b, x->type->dtype, 8));
    return keep(m, build_cast(&m->b, x, DTYPE_f32), (struct range){8, 0});
}

static void add_cast(struct maker *m) {
    struct value *x = any_value(m, (enum dtype[]){DTYPE_i32, DTYPE_bool, DTYPE_f32}[pick(m, 3)]);
    if (x->type->dtype == DTYPE_f32)
        keep(m, build_cast(&m->b, tame(m, x, 8), DTYPE_i32), (struct range){0});
    else
        small_float(m, x);
}

/* Parameters in place of carried values: tame ones, of random shapes. */
static void add_loop(struct maker *m, int depth) {
    int carried = 1 + pick(m, 2), stacks = pick(m, 2), turns = pick(m, 4), known = m->pool.count;
    struct value *in[6] = {build_int(&m->b, DTYPE_i32, 1), build_int(&m->b, DTYPE_i32, 1 + turns)};
    for (int i = 0; i < carried; i++) {
        struct shape s = random_shape(m, 0, 3);
        in[2 + i] = operand(m, DTYPE_f32, &s);
    }
    struct attr attrs[] = {attr_int(ATTR_carried, carried), attr_int(ATTR_reverse, pick(m, 2))};
    struct op *op =
        op_create(m->graph, OP_loop, in, 2 + carried, attrs, 2, NULL, carried + stacks, &site_unknown);
    struct block *body = op_add_region(m->graph, op);
    struct builder outer = m->b;
    builder_at_end(&m->b, body);
    keep(m, block_add_param(m->graph, body, type_scalar(m->graph->types, DTYPE_i32), "i"), (struct range){0});
    for (int i = 0; i < carried; i++)
        keep(m, block_add_param(m->graph, body, in[2 + i]->type, "p"), (struct range){9, 3});
    add_ops(m, 2 + pick(m, 6), depth + 1);
    struct value *yields[4];
    for (int i = 0; i < carried; i++) {
        struct shape s = shape_of(in[2 + i]);
        yields[i] = operand(m, DTYPE_f32, &s);
    }
    if (stacks)
        yields[carried] = tame(m, any_value(m, DTYPE_f32), 8);
    build_yield(&m->b, yields, carried + stacks);
    m->pool.count = known;
    m->b = outer;
    region_close(m->graph, op, body);
    op_append(op, m->b.block);
    if (!op_infer(m->graph, op, m->b.diags))
        return;
    for (int i = 0; i < op->out_count; i++)
        if (type_elements(op->out[i]->type) > 0)
            keep(m, op->out[i], (struct range){9, 3});
}

static void add_cond(struct maker *m, int depth) {
    struct shape scalar = {0}, s[2] = {random_shape(m, 0, 3), random_shape(m, 0, 3)};
    struct value *condition = operand(m, DTYPE_bool, &scalar);
    int count = 1 + pick(m, 2), known = m->pool.count;
    struct op *op = op_create(m->graph, OP_cond, &condition, 1, NULL, 0, NULL, count, &site_unknown);
    struct builder outer = m->b;
    for (int side = 0; side < 2; side++) {
        struct block *region = op_add_region(m->graph, op);
        builder_at_end(&m->b, region);
        add_ops(m, pick(m, 5), depth + 1);
        struct value *yields[2];
        for (int i = 0; i < count; i++)
            yields[i] = operand(m, DTYPE_f32, &s[i]);
        build_yield(&m->b, yields, count);
        m->pool.count = known;
    }
    m->b = outer;
    for (int side = 0; side < 2; side++)
        region_close(m->graph, op, op->regions[side]);
    op_append(op, m->b.block);
    if (op_infer(m->graph, op, m->b.diags))
        for (int i = 0; i < count; i++)
            keep(m, op->out[i], (struct range){9, 3});
}

/* Softmax, a norm: what a row has in common, broadcast over it again. */
static void add_row_sweep(struct maker *m) {
    struct shape s = random_shape(m, 1, 4), kept = {0};
    struct value *x = operand(m, DTYPE_f32, &s);
    int64_t axes[AXES_MOST], left[AXES_MOST];
    int count = 0;
    for (int i = 0; i < s.rank; i++)
        if (one_in(m, 2) || (count == 0 && i == s.rank - 1)) {
            axes[count++] = i;
        } else {
            left[kept.rank] = i;
            kept.size[kept.rank++] = s.size[i];
        }
    struct value *row = build_reduce(&m->b, x, m->is_exact || one_in(m, 2) ? "max" : "sum", axes, count);
    row = tame(m, keep(m, row, (struct range){range_of(m, x).bound * 200, 3}), 4);
    row = build_broadcast(&m->b, row, x->type, left);
    x = keep(m, build_sub(&m->b, x, row), (struct range){range_of(m, x).bound + 16, 3});
    if (m->is_exact)
        return;
    x = build_unary(&m->b, OP_exp, tame(m, x, 4));
    row = build_reduce(&m->b, x, "sum", axes, count);
    keep(m, build_div(&m->b, x, build_broadcast(&m->b, row, x->type, left)), (struct range){1, 0});
}

static void add_op(struct maker *m, int depth) {
    int what = pick(m, 40);
    if (what < 1 && depth < 2) {
        add_loop(m, depth);
    } else if (what < 2 && depth < 2) {
        add_cond(m, depth);
    } else if (what < 5) {
        add_row_sweep(m);
    } else if (what < 7 && m->is_exact) {
        add_cast(m);
    } else {
        struct op *op = random_op(m, what >= 22);
        if (op)
            keep_results(m, op);
    }
}

static void add_ops(struct maker *m, int ops, int depth) {
    for (int i = 0; i < ops; i++)
        add_op(m, depth);
}

static void add_inputs(struct maker *m) {
    const struct random_input small = {FILL_GRID, 0, 0}, bits = {FILL_BITS, 0, 0};
    for (int i = 0; i < 4; i++) {
        struct shape s = random_shape(m, i == 0 ? 2 : 0, 4);
        new_input(m, DTYPE_f32, &s, m->floats);
    }
    struct shape s = random_shape(m, 0, 2), two = {1, {2}}, scalar = {0};
    new_input(m, DTYPE_i32, &s, small);
    new_input(m, DTYPE_bool, &s, small);
    new_input(m, DTYPE_bool, &scalar, small);
    new_input(m, DTYPE_u32, &two, bits);
}

/* Weights and buffers of its own, which the function reads at its head. */
static int add_states(struct maker *m) {
    const char *name = m->b.block->function->name;
    int count = pick(m, 4);
    for (int i = 0; i < count; i++) {
        struct shape s = random_shape(m, 0, 3);
        struct state *state = graph_add_state(m->graph, arena_printf(m->graph->arena, "%s.p%d", name, i),
                                              one_in(m, 2) ? STATE_WEIGHT : STATE_BUFFER,
                                              typed(m, DTYPE_f32, &s), &site_unknown);
        keep(m, build_read(&m->b, state), (struct range){4, 3});
    }
    return count;
}

/* Most of them get a new value, made of anything: also the old value of another. */
static void write_states(struct maker *m, int count) {
    for (int i = 0; i < count; i++) {
        struct state *state = m->graph->states.at[m->graph->states.count - count + i];
        struct shape s = {.rank = state->type->rank};
        for (int axis = 0; axis < s.rank; axis++)
            s.size[axis] = type_size(state->type, axis);
        if (!one_in(m, 4))
            build_write(&m->b, state, operand(m, DTYPE_f32, &s));
    }
}

struct random_function random_graph(struct graph *graph, const char *name, int ops, enum graph_kind kind,
                                    uint32_t seed, int limit, struct diags *diags) {
    static const int64_t sizes[] = {2, 3, 4, 5, 6, 8, 9, 12, 16, 17, 20, 32, 33},
                         wide[] = {32, 50, 100, 128, 300};
    bool is_exact = kind == GRAPH_OF_EXACT;
    struct maker m = {.graph = graph,
                      .random = seed,
                      .is_graph = true,
                      .is_exact = is_exact,
                      .has_sixteen = kind == GRAPH_OF_SIXTEEN,
                      .is_differentiable = kind == GRAPH_OF_DIFFERENTIABLE,
                      .limit = limit};
    m.floats = (struct random_input){is_exact ? FILL_GRID : FILL_REAL, -4, 4};
    m.is_wide = one_in(&m, 8);
    for (int i = 0; i < 4; i++)
        m.sizes[i] = m.is_wide && i < 3 ? wide[pick(&m, 5)] : sizes[pick(&m, sizeof sizes / sizeof *sizes)];
    function_begin(&m, name, FUNCTION_TRAIN, diags);
    add_inputs(&m);
    int first = m.pool.count, states = add_states(&m);
    add_ops(&m, m.is_wide ? ops / 3 : ops, 0);
    VEC(struct value *) results = {0};
    for (int i = first; i < m.pool.count; i++) { /* what nothing uses, and some of the rest */
        struct value *v = m.pool.at[i].value;
        if (results.count < 12 && (!value_has_uses(v) || one_in(&m, 10)))
            VEC_PUSH(graph->arena, &results, v);
    }
    write_states(&m, states);
    return function_end(&m, results.at, results.count, is_exact ? EXACT : SMOOTH);
}
