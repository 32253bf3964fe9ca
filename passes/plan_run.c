#include "passes/plan_run.h"

#include "runtime/weft.h"

#include <string.h>

static unsigned char *address(const struct plan_run *r, const struct place *place) {
    switch (place->kind) {
    case PLACE_WORKSPACE:
        return r->arena_bytes + place->offset;
    case PLACE_WEIGHTS:
        return r->weights + place->offset;
    case PLACE_STATE:
        return r->state + place->offset;
    case PLACE_ARGUMENT:
        return r->args[place->argument];
    default:
        return (unsigned char *)place->data->bytes; /* read only */
    }
}

static unsigned char *at(const struct plan_run *r, const struct value *value) {
    return address(r, plan_place(r->function, value));
}

unsigned char *plan_run_state(struct plan_run *r, const struct state *state) {
    return (state->kind == STATE_WEIGHT ? r->weights : r->state) + r->plan->state_offset[state->index];
}

void plan_run_init(struct plan_run *r, struct arena *arena, struct graph *graph, const struct plan *plan,
                   const struct function *function, struct diags *diags) {
    *r = (struct plan_run){.arena = arena, .graph = graph, .plan = plan, .function = plan_of(plan, function)};
    r->eval = eval_create(arena, graph, EVAL_EXACT, diags);
    r->arena_bytes = arena_alloc(arena, (size_t)r->function->arena_bytes + 1);
    r->weights = arena_alloc(arena, (size_t)plan->weights_bytes + 1);
    r->state = arena_alloc(arena, (size_t)plan->state_bytes + 1);
    r->args = ARENA_ARRAY(arena, unsigned char *, r->function->arguments.count);
    for (int i = 0; i < r->function->arguments.count; i++) {
        const struct type *type = r->function->arguments.at[i].type;
        if (type)
            r->args[i] = arena_alloc(arena, (size_t)type_bytes(type) + 1);
    }
}

static void copy(const struct plan_run *r, unsigned char *to, const struct value *from) {
    memmove(to, at(r, from), (size_t)type_bytes(from->type));
}

static bool run_kernel(struct plan_run *r, const struct op *op) {
    struct tensor **in = ARENA_ARRAY(r->arena, struct tensor *, op->in_count + 1);
    struct tensor **out = ARENA_ARRAY(r->arena, struct tensor *, op->out_count + 1);
    for (int i = 0; i < op->in_count; i++)
        in[i] = tensor_from_bytes(r->arena, op->in[i]->type, at(r, op->in[i]));
    if (!eval_op(r->eval, op, in, out))
        return false;
    for (int i = 0; i < op->out_count; i++)
        tensor_to_bytes(out[i], at(r, op->out[i]));
    return true;
}

static bool run_block(struct plan_run *r, const struct block *block);

static int32_t read_int(const struct plan_run *r, const struct value *value) {
    int32_t x;
    memcpy(&x, at(r, value), sizeof(x));
    return x;
}

static bool run_loop(struct plan_run *r, const struct op *loop) {
    const struct op *yield = block_yield(loop->regions[0]);
    int carried = (int)op_int(loop, ATTR_carried);
    int32_t lo = read_int(r, loop->in[0]), hi = read_int(r, loop->in[1]);
    for (int i = 0; i < carried; i++)
        copy(r, at(r, loop->out[i]), loop->in[i + 2]);
    for (int32_t turn = 0; turn < hi - lo; turn++) {
        int32_t index = op_int(loop, ATTR_reverse) ? hi - 1 - turn : lo + turn;
        memcpy(at(r, loop->regions[0]->params[0]), &index, sizeof(index));
        if (loop->region_count == 2) {
            if (!run_block(r, loop->regions[1]))
                return false;
            if (!*at(r, block_yield(loop->regions[1])->in[0]))
                break;
        }
        if (!run_block(r, loop->regions[0]))
            return false;
        for (int i = carried; i < loop->out_count; i++)
            copy(r, at(r, loop->out[i]) + turn * type_bytes(yield->in[i]->type), yield->in[i]);
        for (int i = 0; i < carried; i++)
            copy(r, at(r, loop->out[i]), yield->in[i]);
    }
    return true;
}

static bool run_cond(struct plan_run *r, const struct op *cond) {
    const struct block *side = cond->regions[*at(r, cond->in[0]) ? 0 : 1];
    if (!run_block(r, side))
        return false;
    for (int i = 0; i < cond->out_count; i++)
        copy(r, at(r, cond->out[i]), block_yield(side)->in[i]);
    return true;
}

static void run_report(const struct plan_run *r, const struct op *op) {
    for (int i = 0; i < r->function->arguments.count; i++)
        if (r->function->arguments.at[i].report == op)
            copy(r, r->args[i], op->in[0]);
}

static bool run_block(struct plan_run *r, const struct block *block) {
    FOR_EACH_OP (op, block) {
        bool ok = true;
        if (op->code == OP_kernel)
            ok = run_kernel(r, op);
        else if (op->code == OP_loop)
            ok = run_loop(r, op);
        else if (op->code == OP_cond)
            ok = run_cond(r, op);
        else if (op->code == OP_report)
            run_report(r, op);
        if (!ok)
            return false;
    }
    return true;
}

bool plan_run(struct plan_run *r) {
    if (!run_block(r, r->function->function->body))
        return false;
    for (int i = 0; i < r->function->arguments.count; i++) {
        const struct plan_argument *arg = &r->function->arguments.at[i];
        if (arg->role == WEFT_RESULT)
            copy(r, r->args[i], arg->value);
    }
    FOR_EACH_OP (op, r->function->function->body)
        if (op->code == OP_write)
            copy(r, plan_run_state(r, op_attr(op, ATTR_state)->state), op->in[0]);
    return true;
}
