#include "ir/evaluate.h"

#include "base/map.h"

#include <string.h>

/* The value of an SSA name while its block runs. */
struct slot {
    struct tensor *tensor;
    int uses_left; /* the tensor is released after its last use, where this slot owns it */
    bool owned;    /* not a parameter, whose tensor belongs to the caller */
};

/* A function that is being run. */
struct frame {
    const struct function *function;
    struct tensor *const *inputs; /* of its `input` ops; NULL: a composite, which has parameters */
    int input_count, next_input;
    struct frame *caller;
};

struct memory {
    void *block;
    size_t size;
};

/* A free block, in a list of blocks of one size. */
struct spare {
    struct spare *next;
};
enum { SPARE_LISTS = 48 };

struct eval {
    struct arena *arena;
    struct graph *graph;
    enum eval_mode mode;
    struct diags *diags;
    VEC(struct tensor *) states;  /* by state->index; NULL: never set */
    VEC(struct tensor *) pending; /* written by the run that is under way */
    VEC(struct slot) slots;       /* by value->id */
    VEC(struct memory) scratch;   /* of the operators that are running, the innermost last */
    struct spare *spare[SPARE_LISTS];
    struct frame *frame;
    struct map report_index; /* op -> its place among the reports, plus 1 */
    struct tensor **reports;
    eval_observer *observer;
    void *observer_context;
};

typedef bool eval_rule(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out);
static eval_rule *const rules[OP_COUNT] = {
#define OP(name, operands, results, attributes, infer, grad, value_rule, ...) [OP_##name] = eval_##value_rule,
#include "ir/ops.def"
#undef OP
};

/* ---- memory: blocks of powers of two, kept in lists when they are free ---- */

static int size_class(size_t size) {
    int class = 6; /* 64 bytes at least */
    while ((size_t)1 << class < size)
        class ++;
    return class;
}

static void *memory_take(struct eval *e, size_t size) {
    int class = size_class(size);
    struct spare *block = e->spare[class];
    if (!block)
        return arena_alloc(e->arena, (size_t)1 << class);
    e->spare[class] = block->next;
    return memset(block, 0, size);
}

static void memory_give_back(struct eval *e, void *block, size_t size) {
    int class = size_class(size);
    struct spare *spare = block;
    spare->next = e->spare[class];
    e->spare[class] = spare;
}

void *eval_scratch(struct eval *e, size_t size) {
    struct memory memory = {memory_take(e, size), size};
    VEC_PUSH(e->arena, &e->scratch, memory);
    return memory.block;
}

static void scratch_release(struct eval *e, int down_to) {
    while (e->scratch.count > down_to) {
        struct memory memory = VEC_POP(&e->scratch);
        memory_give_back(e, memory.block, memory.size);
    }
}

static size_t tensor_bytes(const struct type *type) {
    return sizeof(int64_t) * (size_t)type_elements(type);
}

struct tensor *tensor_take(struct eval *e, const struct type *type) {
    struct tensor *tensor = memory_take(e, sizeof *tensor);
    tensor->type = type;
    tensor->i = memory_take(e, tensor_bytes(type));
    return tensor;
}

struct tensor *tensor_copy(struct eval *e, const struct tensor *tensor) {
    struct tensor *copy = tensor_take(e, tensor->type);
    memcpy(copy->i, tensor->i, tensor_bytes(tensor->type));
    return copy;
}

void tensor_release(struct eval *e, struct tensor *tensor) {
    memory_give_back(e, tensor->i, tensor_bytes(tensor->type));
    memory_give_back(e, tensor, sizeof *tensor);
}

/* ---- states, errors ---- */

struct eval *eval_create(struct arena *arena, struct graph *graph, enum eval_mode mode, struct diags *diags) {
    struct eval *e = ARENA_NEW(arena, struct eval);
    *e = (struct eval){.arena = arena, .graph = graph, .mode = mode, .diags = diags};
    return e;
}

void eval_set_observer(struct eval *e, eval_observer *observer, void *context) {
    e->observer = observer;
    e->observer_context = context;
}

enum eval_mode eval_mode(const struct eval *e) {
    return e->mode;
}

struct types *eval_types(const struct eval *e) {
    return e->graph->types;
}

void eval_set_state(struct eval *e, const struct state *state, struct tensor *value) {
    while (e->states.count <= state->index)
        VEC_PUSH(e->arena, &e->states, NULL);
    struct tensor **place = &e->states.at[state->index], *old = *place;
    *place = tensor_copy(e, value);
    if (old)
        tensor_release(e, old);
}

struct tensor *eval_state(const struct eval *e, const struct state *state) {
    return state->index < e->states.count ? e->states.at[state->index] : NULL;
}

bool eval_error(struct eval *e, const struct op *op, enum diag_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(e->arena, format, args);
    va_end(args);
    diag_error_at(e->diags, op->site, code, "%s", message);
    return false;
}

bool eval_none(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    (void)in, (void)out;
    diag_defect(e->diags, op->site->span, "%s has no value outside a function", opcode_text(op->code));
    return false;
}

/* ---- ops ---- */

/* The type of a given value is the declared one; what dtype a tensor keeps its numbers in is the same for
 * all. */
static bool given_fits(struct eval *e, const struct op *op, const char *what, const struct tensor *given) {
    const struct type *type = op->out[0]->type;
    if (given->type == type)
        return true;
    return eval_error(e, op, E_TYPE, "%s has the type %s, and %s was given", what,
                      type_text(e->graph->types, type), type_text(e->graph->types, given->type));
}

static bool run_input(struct eval *e, const struct op *op, struct tensor **out) {
    struct frame *frame = e->frame;
    const char *name = op_string(op, ATTR_name);
    if (!frame || frame->next_input >= frame->input_count)
        return eval_error(e, op, E_IR, "the input %s stands outside the function that is run", name);
    struct tensor *given = frame->inputs[frame->next_input++];
    if (!given_fits(e, op, name, given))
        return false;
    *out = tensor_copy(e, given);
    return true;
}

static bool run_read(struct eval *e, const struct op *op, struct tensor **out) {
    const struct state *state = op_attr(op, ATTR_state)->state;
    struct tensor *value = eval_state(e, state);
    if (!value)
        return eval_error(e, op, E_STATE, "%s has no value", state->name);
    if (!given_fits(e, op, state->name, value))
        return false;
    *out = tensor_copy(e, value);
    return true;
}

static bool run_write(struct eval *e, const struct op *op, struct tensor *value) {
    int index = op_attr(op, ATTR_state)->state->index;
    while (e->pending.count <= index)
        VEC_PUSH(e->arena, &e->pending, NULL);
    struct tensor *old = e->pending.at[index];
    e->pending.at[index] = tensor_copy(e, value);
    if (old)
        tensor_release(e, old);
    return true;
}

static bool run_report(struct eval *e, const struct op *op, const struct tensor *value) {
    intptr_t index = e->reports ? (intptr_t)map_find(&e->report_index, op) : 0;
    if (index)
        e->reports[index - 1] = tensor_copy(e, value);
    return true;
}

/* One op on the values of its operands. out[k] becomes a tensor that the caller owns. */
static bool run_rule(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    bool region = op_infos[op->code].fuse == FUSE_REGION;
    for (int k = 0; k < op->out_count; k++) {
        const struct type *type = op->out[k]->type;
        if (!type_is_static(type))
            return eval_error(e, op, E_DIM, "a dim of %s has no value yet", type_text(e->graph->types, type));
        out[k] = region ? NULL : tensor_take(e, type);
    }
    int mark = e->scratch.count;
    if (!rules[op->code](e, op, in, out))
        return false;
    scratch_release(e, mark);
    if (!region) /* what a region yields is rounded already */
        for (int k = 0; k < op->out_count; k++)
            if (e->mode == EVAL_EXACT || !dtype_is_float(out[k]->type->dtype))
                tensor_round(out[k]);
    return true;
}

/* The operators that need the function around them; all others go by their row. */
static bool run_op(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    switch (op->code) {
    case OP_input:
        return run_input(e, op, out);
    case OP_read:
        return run_read(e, op, out);
    case OP_write:
        return run_write(e, op, in[0]);
    case OP_report:
        return run_report(e, op, in[0]);
    case OP_print:
        return true; /* an observer sees it */
    default:
        return run_rule(e, op, in, out);
    }
}

bool eval_op(struct eval *e, const struct op *op, struct tensor *const *in, struct tensor **out) {
    return run_op(e, op, in, out);
}

/* ---- blocks ---- */

static void slot_use(struct eval *e, const struct value *value) {
    struct slot *slot = &e->slots.at[value->id];
    if (--slot->uses_left == 0 && slot->owned)
        tensor_release(e, slot->tensor);
}

static void slot_fill(struct eval *e, const struct value *value, struct tensor *tensor, bool owned) {
    struct slot slot = {tensor, value_use_count(value), owned};
    if (owned && slot.uses_left == 0)
        tensor_release(e, tensor);
    e->slots.at[value->id] = slot;
}

static bool run_in_block(struct eval *e, const struct op *op) {
    int mark = e->scratch.count;
    struct tensor **in = EVAL_ARRAY(e, struct tensor *, op->in_count);
    struct tensor **out = EVAL_ARRAY(e, struct tensor *, op->out_count);
    for (int k = 0; k < op->in_count; k++)
        in[k] = e->slots.at[op->in[k]->id].tensor;
    if (!run_op(e, op, in, out) || (e->observer && !e->observer(e->observer_context, op, in, out)))
        return false;
    for (int k = 0; k < op->out_count; k++)
        slot_fill(e, op->out[k], out[k], true);
    for (int k = 0; k < op->in_count; k++)
        slot_use(e, op->in[k]);
    scratch_release(e, mark);
    return true;
}

/* Moves the value out where the block owns it (once), else copies. */
static struct tensor *take_result(struct eval *e, const struct value *value) {
    struct slot *slot = &e->slots.at[value->id];
    if (!slot->owned)
        return tensor_copy(e, slot->tensor);
    slot->owned = false;
    return slot->tensor;
}

bool eval_block(struct eval *e, const struct block *block, struct tensor *const *args,
                struct tensor **results) {
    while (e->slots.count < e->graph->next_value)
        VEC_PUSH(e->arena, &e->slots, (struct slot){0});
    for (int k = 0; k < block->param_count; k++)
        slot_fill(e, block->params[k], args[k], false);
    const struct op *yield = block_yield(block);
    for (const struct op *op = block->first; op != yield; op = op->next)
        if (!run_in_block(e, op))
            return false;
    for (int k = 0; k < yield->in_count; k++)
        results[k] = take_result(e, yield->in[k]);
    return true;
}

/* ---- functions ---- */

static bool run_function(struct eval *e, struct frame *frame, struct tensor *const *args,
                         struct tensor **results) {
    frame->caller = e->frame;
    e->frame = frame;
    bool ok = eval_block(e, frame->function->body, args, results);
    e->frame = frame->caller;
    return ok;
}

bool eval_call_function(struct eval *e, const struct op *op, const struct function *callee,
                        struct tensor *const *args, struct tensor **results) {
    for (const struct frame *frame = e->frame; frame; frame = frame->caller)
        if (frame->function == callee)
            return eval_error(e, op, E_RECURSION, "%s calls itself", callee->name);
    struct frame frame = {.function = callee};
    return run_function(e, &frame, args, results);
}

static void number_reports(struct eval *e, const struct block *block, intptr_t *count) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_report)
            map_put(&e->report_index, op, (void *)++*count);
        for (int k = 0; k < op->region_count; k++)
            number_reports(e, op->regions[k], count);
    }
}

static int input_count_of(const struct function *function) {
    int count = function->body->param_count;
    FOR_EACH_OP (op, function->body)
        count += op->code == OP_input;
    return count;
}

static void commit_states(struct eval *e) {
    for (int index = 0; index < e->pending.count; index++) {
        struct tensor *value = e->pending.at[index];
        if (!value)
            continue;
        eval_set_state(e, e->graph->states.at[index], value);
        tensor_release(e, value);
        e->pending.at[index] = NULL;
    }
}

bool eval_function(struct eval *e, const struct function *function, struct tensor *const *inputs,
                   int input_count, struct tensor **results, struct tensor **reports) {
    e->reports = reports;
    map_init(&e->report_index, e->arena);
    intptr_t report_count = 0;
    if (reports)
        number_reports(e, function->body, &report_count);
    for (intptr_t k = 0; k < report_count; k++)
        reports[k] = NULL;
    for (int index = 0; index < e->pending.count; index++)
        e->pending.at[index] = NULL;
    e->scratch.count = 0; /* what a run that failed has left */
    e->frame = NULL;
    int wanted = input_count_of(function);
    if (input_count != wanted) {
        diag_error_at(e->diags, function->site, E_ARGUMENT, "%s takes %d inputs, %d were given",
                      function->name, wanted, input_count);
        return false;
    }
    struct frame frame = {.function = function, .inputs = inputs, .input_count = input_count};
    if (!run_function(e, &frame, inputs, results))
        return false;
    commit_states(e);
    return true;
}
