/* ir/verify.c: what holds of every graph, checked. */
#include "ir/graph.h"

#include "base/map.h"

#include <string.h>

struct verifier {
    struct graph *graph;
    struct diags *diags, *inner; /* inner: what inference says, to be quoted */
    const char *after_pass;
    int64_t operands, uses; /* of the function: each operand must be one linked use */
    bool ok;
};

static void fail(struct verifier *v, const struct site *site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct verifier *v, const struct site *site, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(v->graph->arena, format, args);
    va_end(args);
    if (v->after_pass)
        diag_defect(v->diags, site->span, "after the pass %s: %s", v->after_pass, message);
    else
        diag_error_at(v->diags, site, E_IR, "%s", message);
    v->ok = false;
}

static void check_value(struct verifier *v, const struct value *value, const struct site *site) {
    if (!value->type)
        fail(v, site, "a value has no type");
    const struct use *before = NULL;
    for (const struct use *use = value->uses; use; before = use, use = use->next) {
        v->uses++;
        if (use->prev != before || use->index < 0 || use->index >= use->user->in_count ||
            &use->user->in_uses[use->index] != use || use->user->in[use->index] != value) {
            fail(v, site, "a use of a value of %s is not linked both ways",
                 value->def ? opcode_text(value->def->code) : "a block");
            return;
        }
        if (!use->user->block) {
            fail(v, site, "a value of %s is used by an erased %s",
                 value->def ? opcode_text(value->def->code) : "a block", opcode_text(use->user->code));
            return;
        }
    }
}

static void check_operands(struct verifier *v, const struct op *op, const struct map *defined) {
    for (int i = 0; i < op->in_count; i++) {
        v->operands++;
        if (map_has(defined, op->in[i]))
            continue;
        bool same_block = op->in[i]->def ? op->in[i]->def->block == op->block : op->in[i]->block == op->block;
        fail(v, op->site,
             same_block ? "%s uses operand %d before it is made"
                        : "%s takes operand %d from outside its block",
             opcode_text(op->code), i);
    }
}

/* Where operators may stand. */
static void check_place(struct verifier *v, const struct op *op) {
    const struct op *owner = op->block->owner;
    if (owner && (op->code == OP_input || op->code == OP_read || op->code == OP_write))
        fail(v, op->site, "%s stands in a region of %s, not in a function's body", opcode_text(op->code),
             opcode_text(owner->code));
    if (owner && owner->code == OP_kernel && op->code != OP_yield && !op_is_pure(op->code))
        fail(v, op->site, "%s is an effect and stands in a kernel", opcode_text(op->code));
    if (op->code == OP_yield && op != op->block->last)
        fail(v, op->site, "a yield does not end its block");
}

static void check_attrs(struct verifier *v, const struct op *op) {
    for (int i = 0; i < op->attr_count; i++) {
        const struct attr *attr = &op->attrs[i];
        if (attr_kind(attr->name) == ATTR_STATE) {
            const struct state *state = attr->state;
            if (state->index >= v->graph->states.count || v->graph->states.at[state->index] != state)
                fail(v, op->site, "%s names a state of another graph", opcode_text(op->code));
        } else if (attr_kind(attr->name) == ATTR_FUNCTION) {
            if (attr->function->graph != v->graph)
                fail(v, op->site, "%s names a function of another graph", opcode_text(op->code));
        }
    }
}

/* Inference once more: it must accept the op, and give the types that the results have. */
static void check_types(struct verifier *v, struct op *op) {
    const struct type *few[4], **types = few;
    if (op->out_count > 4)
        types = ARENA_ARRAY(v->graph->arena, const struct type *, op->out_count);
    for (int i = 0; i < op->out_count; i++)
        types[i] = op->out[i]->type;
    if (!op_infer(v->graph, op, v->inner)) {
        fail(v, op->site, "%s", diag_message(v->inner, diags_count(v->inner) - 1));
        diags_clear(v->inner);
        return;
    }
    for (int i = 0; i < op->out_count; i++) {
        if (op->out[i]->type == types[i])
            continue;
        fail(v, op->site, "result %d of %s is %s, but should be %s", i, opcode_text(op->code),
             type_text(v->graph->types, types[i]), type_text(v->graph->types, op->out[i]->type));
        op->out[i]->type = types[i];
    }
}

static void check_block(struct verifier *v, struct block *block, const struct site *site) {
    struct map defined;
    map_init(&defined, v->graph->arena);
    for (int i = 0; i < block->param_count; i++) {
        struct value *param = block->params[i];
        if (param->def || param->block != block || param->index != i)
            fail(v, site, "parameter %d does not know its block", i);
        map_put(&defined, param, param);
        check_value(v, param, site);
    }
    const struct op *before = NULL;
    for (struct op *op = block->first; op; before = op, op = op->next) {
        if (op->block != block || op->prev != before) {
            fail(v, op->site, "%s is not linked into its block", opcode_text(op->code));
            return;
        }
        check_operands(v, op, &defined);
        for (int r = 0; r < op->region_count; r++) {
            if (op->regions[r]->owner != op || op->regions[r]->function != block->function)
                fail(v, op->site, "a region of %s does not know its owner", opcode_text(op->code));
            check_block(v, op->regions[r], op->site);
        }
        for (int i = 0; i < op->out_count; i++) {
            if (op->out[i]->def != op || op->out[i]->index != i)
                fail(v, op->site, "result %d of %s does not know its op", i, opcode_text(op->code));
            map_put(&defined, op->out[i], op->out[i]);
            check_value(v, op->out[i], op->site);
        }
        check_place(v, op);
        check_attrs(v, op);
        if (v->ok)
            check_types(v, op);
    }
    if (block->last != before || !block_yield(block))
        fail(v, site, "a block does not end in a yield");
}

/* A state has one new value at most, and is read before it. */
static void check_states(struct verifier *v, const struct block *body) {
    bool *written = ARENA_ARRAY(v->graph->arena, bool, v->graph->states.count);
    FOR_EACH_OP (op, body) {
        if (op->code != OP_write)
            continue;
        const struct state *state = op_attr(op, ATTR_state)->state;
        if (written[state->index])
            fail(v, op->site, "`%s` is written twice", state->name);
        written[state->index] = true;
    }
}

/* Depth first through the calls: a function that is met again while it is open calls itself. */
enum { CLOSED = 1, OPEN = 2 };

static bool check_calls(struct verifier *v, const struct function *function, struct map *marks);

static bool check_calls_in(struct verifier *v, const struct block *block, struct map *marks) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_call && !check_calls(v, op_attr(op, ATTR_function)->function, marks)) {
            fail(v, op->site, "`%s` calls itself", block->function->name);
            return false;
        }
        for (int r = 0; r < op->region_count; r++)
            if (!check_calls_in(v, op->regions[r], marks))
                return false;
    }
    return true;
}

static bool check_calls(struct verifier *v, const struct function *function, struct map *marks) {
    intptr_t mark = (intptr_t)map_find(marks, function);
    if (mark)
        return mark == CLOSED;
    map_put(marks, function, (void *)(intptr_t)OPEN);
    if (!check_calls_in(v, function->body, marks))
        return false;
    map_put(marks, function, (void *)(intptr_t)CLOSED);
    return true;
}

static void check_function(struct verifier *v, struct function *function) {
    if (function->body->function != function || function->body->owner || function->graph != v->graph)
        fail(v, function->site, "the body of `%s` does not know its function", function->name);
    v->operands = v->uses = 0;
    function_assume(function);
    check_block(v, function->body, function->site);
    if (v->ok && v->operands != v->uses)
        fail(v, function->site, "`%s` has %lld operands, but %lld uses are linked", function->name,
             (long long)v->operands, (long long)v->uses);
    if (v->ok)
        check_states(v, function->body);
}

bool graph_verify(struct graph *graph, struct diags *diags, const char *after_pass) {
    struct verifier v = {.graph = graph,
                         .diags = diags,
                         .inner = diags_create(graph->arena),
                         .after_pass = after_pass,
                         .ok = true};
    for (int i = 0; i < graph->functions.count; i++)
        check_function(&v, graph->functions.at[i]);
    struct map marks;
    map_init(&marks, graph->arena);
    for (int i = 0; v.ok && i < graph->functions.count; i++)
        check_calls(&v, graph->functions.at[i], &marks);
    return v.ok;
}
