/* passes/alias.c: which values share memory.
 *
 * Every value begins in a class of its own; a class is one piece of memory. Views, captures and a loop's
 * carried values join classes by what they mean. Then classes are joined where that saves a copy or memory,
 * as long as no two values of different content live in one class at the same time (interfere):
 *   - a written state's new value with the state (the optimiser writes straight into the weights),
 *   - a result or report with the caller's argument,
 *   - what a loop's body yields with what it carries, what a cond's sides yield with its result,
 *   - a kernel's result with an operand that dies at it, where kernel_overwrites (overwrite.c).
 * What is not joined is copied by the entry: into the argument or the state at the end, between two turns, at
 * a side's end. A loop that cannot update a carried value in place thus has two buffers and a copy between
 * turns: a swap of pointers would save the copy, a small part of a turn's work, at the price of places that
 * are not fixed. */
#include "passes/pipeline.h"
#include "passes/plan.h"

#include "ir/build.h"
#include "runtime/weft.h"

#include <string.h>

struct memory_class {
    VEC(const struct value *) members;
    enum place_kind kind; /* PLACE_NONE: free, it will be in the arena */
    bool is_writable; /* fixed, but the function gives it new content: a result, a state written in place */
    int argument;     /* PLACE_ARGUMENT */
    const struct data *data;   /* PLACE_CONSTANT */
    const struct state *state; /* PLACE_WEIGHTS, PLACE_STATE */
};

struct aliasing {
    struct arena *arena;
    struct function *function;
    struct liveness *live;
    const struct op **at;           /* the op at each position */
    const bool **overwrites;        /* by op id: of kernels */
    struct memory_class **class_of; /* by value id */
    struct memory_class **of_state; /* by state index; NULL: the function does not touch it */
    struct function_plan *plan;
};

/* ---- classes ---- */

static struct memory_class *class_create(struct aliasing *a, enum place_kind kind) {
    struct memory_class *c = ARENA_NEW(a->arena, struct memory_class);
    c->kind = kind;
    return c;
}

static void class_take(struct aliasing *a, struct memory_class *c, const struct value *value) {
    a->class_of[value->id] = c;
    VEC_PUSH(a->arena, &c->members, value);
}

/* The class of a fixed kind, or the larger one, takes the members of the other. */
static void class_join(struct aliasing *a, struct memory_class *x, struct memory_class *y) {
    if (x == y)
        return;
    if (x->kind == PLACE_NONE && (y->kind != PLACE_NONE || y->members.count > x->members.count)) {
        struct memory_class *swap = x;
        x = y;
        y = swap;
    }
    for (int i = 0; i < y->members.count; i++)
        class_take(a, x, y->members.at[i]);
    y->members.count = 0;
}

static struct memory_class *class_of(const struct aliasing *a, const struct value *value) {
    return a->class_of[value->id];
}

static struct memory_class *class_of_state(struct aliasing *a, const struct state *state) {
    if (!a->of_state[state->index]) {
        struct memory_class *c = class_create(a, state->kind == STATE_WEIGHT ? PLACE_WEIGHTS : PLACE_STATE);
        c->state = state;
        a->of_state[state->index] = c;
    }
    return a->of_state[state->index];
}

static struct memory_class *class_of_argument(struct aliasing *a, int argument, bool is_writable) {
    struct memory_class *c = class_create(a, PLACE_ARGUMENT);
    c->argument = argument;
    c->is_writable = is_writable;
    return c;
}

static int argument_of(const struct aliasing *a, const struct value *input) {
    for (int i = 0; i < a->plan->arguments.count; i++) {
        const struct plan_argument *arg = &a->plan->arguments.at[i];
        if (arg->value == input && (arg->role == WEFT_INPUT || arg->role == WEFT_SEED))
            return i;
    }
    return -1;
}

/* The class that an op's results begin in. */
static void classify_result(struct aliasing *a, const struct op *op, const struct value *out) {
    struct memory_class *c;
    if (op->code == OP_input) {
        c = class_of_argument(a, argument_of(a, out), false);
    } else if (op->code == OP_read) {
        c = class_of_state(a, op_attr(op, ATTR_state)->state);
    } else if (op->code == OP_reshape) {
        c = class_of(a, op->in[0]);
    } else if (op->code == OP_const) {
        c = class_create(a, PLACE_CONSTANT);
        c->data = op_attr(op, ATTR_data)->data;
    } else {
        c = class_create(a, PLACE_NONE);
    }
    class_take(a, c, out);
}

static void classify_block(struct aliasing *a, const struct block *block);

/* A loop's carried values are one memory before, in and after it; its test sees what its body sees. */
static void classify_loop(struct aliasing *a, const struct op *loop) {
    int carried = (int)op_int(loop, ATTR_carried);
    for (int r = 0; r < loop->region_count; r++) {
        const struct block *region = loop->regions[r];
        for (int i = 0; i < region->param_count; i++) {
            struct memory_class *c;
            if (i > carried)
                c = class_of(a, loop->in[i + 1]);
            else if (r > 0)
                c = class_of(a, loop->regions[0]->params[i]);
            else if (i > 0)
                c = class_of(a, loop->out[i - 1]);
            else
                c = class_create(a, PLACE_NONE);
            class_take(a, c, region->params[i]);
        }
        classify_block(a, region);
    }
}

static void classify_cond(struct aliasing *a, const struct op *cond) {
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < cond->regions[side]->param_count; i++)
            class_take(a, class_of(a, cond->in[i + 1]), cond->regions[side]->params[i]);
        classify_block(a, cond->regions[side]);
    }
}

static void classify_block(struct aliasing *a, const struct block *block) {
    FOR_EACH_OP (op, block) {
        a->at[a->live->begin[op->id]] = op;
        for (int i = 0; i < op->out_count; i++)
            classify_result(a, op, op->out[i]);
        if (op->code == OP_kernel)
            a->overwrites[op->id] = kernel_overwrites(op, a->arena);
        else if (op->code == OP_loop)
            classify_loop(a, op);
        else if (op->code == OP_cond)
            classify_cond(a, op);
    }
}

static bool may_overwrite(const struct aliasing *a, const struct op *kernel, int operand, int result) {
    return a->overwrites[kernel->id][operand * kernel->out_count + result];
}

/* ---- interference ---- */

/* u dies where the kernel writes v, and wherever the kernel reads u it may write v over it. */
static bool may_take_over(const struct aliasing *a, const struct op *kernel, const struct value *u,
                          const struct value *v) {
    bool is_read = false;
    for (int i = 0; i < kernel->in_count; i++) {
        if (kernel->in[i] != u)
            continue;
        if (!may_overwrite(a, kernel, i, v->index))
            return false;
        is_read = true;
    }
    return is_read;
}

/* u is read at op and v born there, and yet they may be one memory: the op writes v over u, or v begins as u.
 */
static bool passes_into(const struct aliasing *a, const struct value *u, const struct value *v,
                        const struct op *op) {
    if (op->code == OP_kernel)
        return v->def == op && may_take_over(a, op, u, v);
    if (op->code == OP_loop) /* the carried parameter k begins as operand k + 1 */
        return v->block && v->block->owner == op && v->index > 0 && v->index <= op_int(op, ATTR_carried) &&
               op->in[v->index + 1] == u;
    const struct op *owner = op->code == OP_yield ? op->block->owner : NULL;
    return owner && v->def == owner && v->index < op->in_count && op->in[v->index] == u;
}

static bool hands_over(const struct aliasing *a, const struct value *u, const struct value *v) {
    int where = live_sets_touch(&a->live->sets[u->id], &a->live->sets[v->id]);
    return where >= 0 && passes_into(a, u, v, a->at[where]);
}

static bool values_interfere(const struct aliasing *a, const struct value *u, const struct value *v) {
    return live_sets_overlap(&a->live->sets[u->id], &a->live->sets[v->id]) && !hands_over(a, u, v) &&
           !hands_over(a, v, u);
}

static bool classes_interfere(const struct aliasing *a, const struct memory_class *x,
                              const struct memory_class *y) {
    for (int i = 0; i < x->members.count; i++)
        for (int j = 0; j < y->members.count; j++)
            if (values_interfere(a, x->members.at[i], y->members.at[j]))
                return true;
    return false;
}

/* Joins two classes where nothing speaks against it. Fixed memory takes part only if the function may write
 * to it. */
static bool try_join(struct aliasing *a, struct memory_class *x, struct memory_class *y) {
    if (x == y)
        return true;
    if (x->kind != PLACE_NONE && y->kind != PLACE_NONE)
        return false;
    const struct memory_class *fixed = x->kind != PLACE_NONE ? x : y;
    if ((fixed->kind != PLACE_NONE && !fixed->is_writable) || classes_interfere(a, x, y))
        return false;
    class_join(a, x, y);
    return true;
}

/* ---- what is joined ---- */

static void live_until_end(struct aliasing *a, const struct value *value) {
    struct live_set *set = &a->live->sets[value->id];
    live_set_add(a->arena, set, (struct live_range){VEC_LAST(&set->ranges).begin, a->live->length - 1});
}

/* A state holds its old value from the function's begin, and the new one until its end. */
static void join_writes(struct aliasing *a) {
    FOR_EACH_OP (op, a->function->body) {
        if (op->code == OP_read)
            live_set_add(a->arena, &a->live->sets[op->out[0]->id],
                         (struct live_range){0, a->live->begin[op->id]});
        if (op->code == OP_write)
            live_until_end(a, op->in[0]);
    }
    FOR_EACH_OP (op, a->function->body) {
        if (op->code != OP_write)
            continue;
        struct memory_class *state = class_of_state(a, op_attr(op, ATTR_state)->state);
        bool was_writable = state->is_writable;
        state->is_writable = true;
        state->is_writable = try_join(a, class_of(a, op->in[0]), state) || was_writable;
    }
}

/* The caller reads it after the end: so long must it keep its memory there. */
static void join_argument(struct aliasing *a, const struct value *value, int argument) {
    struct live_set *set = &a->live->sets[value->id], before = *set;
    live_until_end(a, value);
    if (!try_join(a, class_of(a, value), class_of_argument(a, argument, true)))
        *set = before;
}

/* Results, and reports that surely run, go straight to the caller. */
static void join_outputs(struct aliasing *a) {
    for (int i = 0; i < a->plan->arguments.count; i++) {
        const struct plan_argument *arg = &a->plan->arguments.at[i];
        if (arg->role == WEFT_RESULT || (arg->report && !arg->report->block->owner))
            join_argument(a, arg->value, i);
    }
}

static void join_loop(struct aliasing *a, const struct op *loop) {
    const struct op *yield = block_yield(loop->regions[0]);
    for (int i = 0; i < op_int(loop, ATTR_carried); i++) {
        try_join(a, class_of(a, yield->in[i]), class_of(a, loop->out[i]));
        try_join(a, class_of(a, loop->in[i + 2]), class_of(a, loop->out[i]));
    }
}

static void join_cond(struct aliasing *a, const struct op *cond) {
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < cond->out_count; i++)
            try_join(a, class_of(a, block_yield(cond->regions[side])->in[i]), class_of(a, cond->out[i]));
}

/* A result takes over the first operand that lets it. */
static void join_kernel(struct aliasing *a, const struct op *kernel) {
    for (int j = 0; j < kernel->out_count; j++)
        for (int i = 0; i < kernel->in_count; i++)
            if (may_overwrite(a, kernel, i, j) && class_of(a, kernel->in[i]) != class_of(a, kernel->out[j]) &&
                try_join(a, class_of(a, kernel->in[i]), class_of(a, kernel->out[j])))
                break;
}

static void for_each_op(struct aliasing *a, const struct block *block, enum opcode code,
                        void (*visit)(struct aliasing *a, const struct op *op)) {
    FOR_EACH_OP (op, block) {
        if (op->code == code)
            visit(a, op);
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            for_each_op(a, op->regions[r], code, visit);
    }
}

/* ---- copies that a parallel assignment needs ---- */

static const struct value *without_views(const struct value *value) {
    while (value->def && value->def->code == OP_reshape)
        value = value->def->in[0];
    return value;
}

/* A nest that copies its operand, in front of `before`. stop_gradient is the identity. */
static struct value *insert_copy(struct graph *graph, struct op *before, struct value *value) {
    const struct attr attrs[] = {
        {.name = ATTR_kind, .string = intern(graph->names, "nest")},
        {.name = ATTR_name, .string = intern(graph->names, "copy")},
    };
    struct op *kernel = op_create(graph, OP_kernel, &value, 1, attrs, 2, &value->type, 1, before->site);
    struct block *region = op_add_region(graph, kernel);
    struct value *param = block_add_param(graph, region, value->type, NULL);
    struct op *copy = op_create(graph, OP_stop_gradient, &param, 1, NULL, 0, &value->type, 1, before->site);
    op_append(copy, region);
    op_append(op_create(graph, OP_yield, &copy->out[0], 1, NULL, 0, NULL, 0, before->site), region);
    op_insert_before(kernel, before);
    return kernel->out[0];
}

static bool is_written(const struct function *function, const struct state *state) {
    FOR_EACH_OP (op, function->body)
        if (op->code == OP_write && op_attr(op, ATTR_state)->state == state)
            return true;
    return false;
}

/* Writes are copied one by one at the end: what comes from another state that is written too is taken aside
 * before. */
static void separate_writes(struct graph *graph, struct function *function) {
    FOR_EACH_OP (op, function->body) {
        if (op->code != OP_write)
            continue;
        const struct value *source = without_views(op->in[0]);
        const struct state *from =
            source->def && source->def->code == OP_read ? op_attr(source->def, ATTR_state)->state : NULL;
        if (from && from != op_attr(op, ATTR_state)->state && is_written(function, from))
            op_set_in(op, 0, insert_copy(graph, op, op->in[0]));
    }
}

/* Likewise what a turn hands from one carried value to another. */
static void separate_carried(struct graph *graph, const struct op *loop) {
    struct op *yield = block_yield(loop->regions[0]);
    int carried = (int)op_int(loop, ATTR_carried);
    for (int i = 0; i < carried; i++) {
        const struct value *source = without_views(yield->in[i]);
        bool is_carried = !source->def && source->block == loop->regions[0] && source->index <= carried;
        if (is_carried && source->index != i + 1)
            op_set_in(yield, i, insert_copy(graph, yield, yield->in[i]));
    }
}

static void separate_block(struct graph *graph, const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_loop)
            separate_carried(graph, op);
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            separate_block(graph, op->regions[r]);
    }
}

/* ---- the plan ---- */

static void add_argument(struct plan *plan, struct function_plan *f, const char *name, int role,
                         const struct value *value) {
    struct plan_argument arg = {name, role, value ? value->type : NULL, value, NULL};
    VEC_PUSH(plan->arena, &f->arguments, arg);
}

static int site_depth(const struct site *site) {
    int depth = 0;
    for (; site->caller; site = site->caller)
        depth++;
    return depth;
}

/* Whether a reader who follows the calls comes to a before b: the outermost places decide, then those within.
 */
static bool is_earlier(const struct site *a, const struct site *b) {
    int depth_a = site_depth(a), depth_b = site_depth(b);
    for (int k = 0; k <= depth_a && k <= depth_b; k++) {
        const struct site *in_a = a, *in_b = b;
        for (int i = k; i < depth_a; i++)
            in_a = in_a->caller;
        for (int i = k; i < depth_b; i++)
            in_b = in_b->caller;
        if (in_a->span.source != in_b->span.source || in_a->span.begin != in_b->span.begin)
            return in_a->span.source == in_b->span.source && in_a->span.begin < in_b->span.begin;
    }
    return false;
}

struct reports {
    VEC(const struct op *) at;
};

/* In the order of the text, regions included; `schedule` may have moved them. Those of one place, from a
 * `for`, stay. */
static void list_reports(struct plan *plan, struct reports *reports, const struct block *block) {
    FOR_EACH_OP (op, block) {
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            list_reports(plan, reports, op->regions[r]);
        if (op->code != OP_report)
            continue;
        VEC_PUSH(plan->arena, &reports->at, op);
        for (int i = reports->at.count - 1; i > 0 && is_earlier(op->site, reports->at.at[i - 1]->site); i--) {
            reports->at.at[i] = reports->at.at[i - 1];
            reports->at.at[i - 1] = op;
        }
    }
}

static void add_reports(struct plan *plan, struct function_plan *f) {
    struct reports reports = {0};
    list_reports(plan, &reports, f->function->body);
    for (int i = 0; i < reports.at.count; i++) {
        const struct op *op = reports.at.at[i];
        add_argument(plan, f, op_string(op, ATTR_name), WEFT_REPORT, op->in[0]);
        VEC_LAST(&f->arguments).report = op;
    }
}

static const char *result_name(const struct function *function, int index, int count, struct arena *arena) {
    const char *given = function->result_names ? function->result_names[index] : NULL;
    if (given && *given)
        return given;
    return count == 1 ? "result" : arena_printf(arena, "result_%d", index);
}

static void list_arguments(struct plan *plan, struct function_plan *f) {
    const struct function *function = f->function;
    add_argument(plan, f, "weights", WEFT_WEIGHTS, NULL);
    add_argument(plan, f, "state", WEFT_STATE, NULL);
    FOR_EACH_OP (op, function->body)
        if (op->code == OP_input) {
            const char *name = op_string(op, ATTR_name);
            add_argument(plan, f, name, op_is_seed(op) ? WEFT_SEED : WEFT_INPUT, op->out[0]);
        }
    const struct op *yield = block_yield(function->body);
    for (int i = 0; i < yield->in_count; i++)
        add_argument(plan, f, result_name(function, i, yield->in_count, plan->arena), WEFT_RESULT,
                     yield->in[i]);
    add_reports(plan, f);
}

static void note_states(struct function_plan *f) {
    FOR_EACH_OP (op, f->function->body) {
        if (op->code != OP_read && op->code != OP_write)
            continue;
        bool is_weight = op_attr(op, ATTR_state)->state->kind == STATE_WEIGHT;
        f->reads_weights |= is_weight && op->code == OP_read;
        f->writes_weights |= is_weight && op->code == OP_write;
        f->reads_state |= !is_weight && op->code == OP_read;
        f->writes_state |= !is_weight && op->code == OP_write;
    }
}

static struct place *place_of_class(struct aliasing *a, const struct plan *plan,
                                    const struct memory_class *c) {
    struct place *place = ARENA_NEW(plan->arena, struct place);
    place->kind = c->kind == PLACE_NONE ? PLACE_WORKSPACE : c->kind;
    place->argument = c->argument;
    place->data = c->data;
    place->offset = c->state ? plan->state_offset[c->state->index] : 0;
    for (int i = 0; i < c->members.count; i++)
        map_put(&a->plan->places, c->members.at[i], place);
    return place;
}

static void add_buffer(struct aliasing *a, const struct plan *plan, const struct memory_class *c,
                       struct place *place) {
    struct plan_buffer buffer = {
        .value = c->members.at[0], .bytes = type_bytes(c->members.at[0]->type), .place = place};
    for (int i = 0; i < c->members.count; i++) {
        const struct live_set *set = &a->live->sets[c->members.at[i]->id];
        for (int j = 0; j < set->ranges.count; j++)
            live_set_add(plan->arena, &buffer.live, set->ranges.at[j]);
    }
    buffer.begin = buffer.live.ranges.at[0].begin;
    buffer.end = VEC_LAST(&buffer.live.ranges).end;
    VEC_PUSH(plan->arena, &a->plan->buffers, buffer);
}

/* In order of the values' definition, so that the listing follows the program. */
static void place_value(struct aliasing *a, const struct plan *plan, const struct value *value) {
    if (map_has(&a->plan->places, value))
        return;
    const struct memory_class *c = class_of(a, value);
    struct place *place = place_of_class(a, plan, c);
    if (place->kind == PLACE_WORKSPACE)
        add_buffer(a, plan, c, place);
}

static void place_block(struct aliasing *a, const struct plan *plan, const struct block *block) {
    for (int i = 0; i < block->param_count; i++)
        place_value(a, plan, block->params[i]);
    FOR_EACH_OP (op, block) {
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            place_block(a, plan, op->regions[r]);
        for (int i = 0; i < op->out_count; i++)
            place_value(a, plan, op->out[i]);
    }
}

struct function_plan *alias_function(struct graph *graph, struct function *function, struct plan *plan,
                                     struct arena *scratch) {
    separate_writes(graph, function);
    separate_block(graph, function->body);

    struct function_plan *f = ARENA_NEW(plan->arena, struct function_plan);
    f->function = function;
    map_init(&f->places, plan->arena);
    list_arguments(plan, f);
    note_states(f);

    struct aliasing a = {.arena = scratch, .function = function, .plan = f};
    a.live = liveness_compute(scratch, function);
    a.at = ARENA_ARRAY(scratch, const struct op *, a.live->length);
    a.class_of = ARENA_ARRAY(scratch, struct memory_class *, graph->next_value);
    a.overwrites = ARENA_ARRAY(scratch, const bool *, graph->next_op);
    a.of_state = ARENA_ARRAY(scratch, struct memory_class *, graph->states.count);
    f->length = a.live->length;
    classify_block(&a, function->body);
    join_writes(&a);
    join_outputs(&a);
    for_each_op(&a, function->body, OP_loop, join_loop);
    for_each_op(&a, function->body, OP_cond, join_cond);
    for_each_op(&a, function->body, OP_kernel, join_kernel);
    place_block(&a, plan, function->body);
    VEC_PUSH(plan->arena, &plan->functions, f);
    return f;
}

bool alias(struct graph *graph, struct pass_context *context) {
    context->plan = plan_create(context->arena, graph);
    for (int i = 0; i < context->function_count; i++)
        alias_function(graph, context->functions[i], context->plan, context->scratch);
    return true;
}
