/* frontend/onnx/export.c: blocks to graphs, names, constants. */
#include "onnx/emit.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EMIT(op, function, text) emitter onnx_##function;
#include "onnx/ops.def"
#undef EMIT
static const struct {
    emitter *emit;
    const char *text;
} rows[OP_COUNT] = {
#define EMIT(op, function, text) [OP_##op] = {onnx_##function, text},
#include "onnx/ops.def"
#undef EMIT
};

/* ---- refusals ---- */

bool onnx_refuse(struct emission *e, const struct op *op, const char *format, ...) {
    va_list args;
    va_start(args, format);
    diag_error_at(e->diags, op->site, E_EXPORT, "`%s` cannot be exported: %s", e->function->name,
                  arena_vprintf(e->arena, format, args));
    va_end(args);
    return false;
}

bool onnx_refused(struct emission *e, const struct op *op, const char *text) {
    return onnx_refuse(e, op, "%s", text);
}

/* ---- names ---- */

static const char *find_name(const struct onnx_scope *scope, const struct value *value) {
    for (; scope; scope = scope->outer)
        if (map_has(&scope->names, value))
            return map_find(&scope->names, value);
    return NULL;
}

/* ---- bf16: Note [bf16] ---- */

enum dtype onnx_inner_dtype(enum dtype dtype) {
    return dtype == DTYPE_bf16 ? DTYPE_f32 : dtype;
}

const struct type *onnx_inner_type(struct emission *e, const struct type *type) {
    return type_with_dtype(e->graph->types, type, onnx_inner_dtype(type->dtype));
}

static const char *converted(struct emission *e, const char *name, enum dtype dtype) {
    struct onnx_node n = onnx_node(e, "Cast", name, NULL);
    onnx_int(e, n, "to", onnx_dtype(dtype));
    return n.out;
}

/* Views and what a region hands out hold rounded numbers already. */
static bool is_rounded(const struct value *value) {
    enum fuse_class class = value->def ? op_infos[value->def->code].fuse : FUSE_VIEW;
    return value->type->dtype != DTYPE_bf16 || class == FUSE_VIEW || class == FUSE_REGION;
}

void onnx_define(struct emission *e, const struct value *value, const char *name) {
    if (!is_rounded(value))
        name = converted(e, converted(e, name, DTYPE_bf16), DTYPE_f32);
    map_put(&e->scope->names, value, (void *)name);
}

const char *onnx_fresh(struct emission *e, const char *stem) {
    const char *wanted = e->op ? arena_printf(e->arena, "%s.%d", stem, e->op->id) : stem;
    return onnx_take_name(e->model, wanted);
}

/* ---- nodes ---- */

/* "vae.weft:23", for whoever looks at the file with a viewer. */
static const char *place_text(struct emission *e, const struct op *op) {
    struct span span = op->site->span;
    int line, column;
    if (!span_is_known(span))
        return NULL;
    source_locate(span.source, span.begin, &line, &column);
    return arena_printf(e->arena, "%s:%d", span.source->name, line);
}

struct onnx_node onnx_node(struct emission *e, const char *op_type, ...) {
    struct onnx_node n = {onnx_add_node(e->model, e->scope->graph, op_type), NULL};
    va_list args;
    va_start(args, op_type);
    for (const char *name; (name = va_arg(args, const char *));)
        onnx_node_input(e->model, n.node, name);
    va_end(args);
    n.out = onnx_fresh(e, op_type);
    onnx_node_output(e->model, n.node, n.out);
    if (e->op)
        n.node->doc_string = (char *)place_text(e, e->op);
    return n;
}

void onnx_int(struct emission *e, struct onnx_node node, const char *name, int64_t value) {
    onnx_node_int(e->model, node.node, name, value);
}

void onnx_ints(struct emission *e, struct onnx_node node, const char *name, const int64_t *values,
               int count) {
    onnx_node_ints(e->model, node.node, name, values, count);
}

/* ---- constants ---- */

/* Beyond this many elements a constant is computed by whoever runs the model: the evaluator is slow. */
enum { MOST_FOLDED = 1 << 23 };
static char KNOWN, VARIES; /* marks in emission.known: their addresses */

const struct value *onnx_origin(const struct value *value) {
    while (!value->def && value->block->owner) {
        const struct op *owner = value->block->owner;
        int operand = value->index + op_region_shift(owner);
        if (operand < op_first_capture(owner))
            break;
        value = owner->in[operand];
    }
    return value;
}

static bool can_fold(const struct op *op) {
    switch (op->code) {
    case OP_const:
    case OP_iota:
        return true;
    case OP_random_bits:
    case OP_random_fold:
    case OP_bitcast:
        return true; /* of constant keys: the numbers that Weft draws */
    default:
        return op->in_count > 0 && op->region_count == 0 && op_infos[op->code].fuse != FUSE_EFFECT;
    }
}

static bool compute_constant(struct emission *e, const struct value *value) {
    const struct op *op = value->def;
    if (!op || !can_fold(op))
        return op && op->code == OP_read && !map_has(&e->written, op_attr(op, ATTR_state)->state);
    bool is_stored = op->code == OP_const || op->code == OP_reshape; /* bytes that are there already */
    if (!is_stored && type_elements(value->type) > MOST_FOLDED)
        return false;
    for (int i = 0; i < op->in_count; i++)
        if (!onnx_is_constant(e, op->in[i]))
            return false;
    return true;
}

bool onnx_is_constant(struct emission *e, const struct value *value) {
    value = onnx_origin(value);
    const void *mark = map_find(&e->known, value);
    if (!mark) {
        mark = compute_constant(e, value) ? &KNOWN : &VARIES;
        map_put(&e->known, value, (void *)mark);
    }
    return mark == &KNOWN;
}

/* The bytes of a weight or a constant, seen through reshapes; NULL: it must be computed. */
static const void *stored_bytes(struct emission *e, const struct value *value) {
    const struct op *op = value->def;
    while (op->code == OP_reshape) {
        value = onnx_origin(op->in[0]);
        op = value->def;
    }
    if (op->code == OP_const)
        return op_attr(op, ATTR_data)->data->bytes;
    return op->code == OP_read ? e->states.bytes(e->states.context, op_attr(op, ATTR_state)->state) : NULL;
}

/* NULL: reported. */
static struct tensor *fold(struct emission *e, const struct value *value) {
    value = onnx_origin(value);
    struct tensor *known = map_find(&e->folded, value);
    if (known)
        return known;
    const void *bytes = stored_bytes(e, value);
    const struct op *op = value->def;
    if (bytes) {
        known = tensor_from_bytes(e->arena, value->type, bytes);
        map_put(&e->folded, value, known);
        return known;
    }
    struct tensor **in = ARENA_ARRAY(e->arena, struct tensor *, op->in_count + 1),
                  **out = ARENA_ARRAY(e->arena, struct tensor *, op->out_count);
    for (int i = 0; i < op->in_count; i++)
        if (!(in[i] = fold(e, op->in[i])))
            return NULL;
    if (!eval_op(e->eval, op, in, out))
        return NULL;
    for (int i = 0; i < op->out_count; i++)
        map_put(&e->folded, op->out[i], out[i]);
    return map_find(&e->folded, value);
}

/* A weight has its own name; others are called by the op that made them. */
static const char *constant_name(struct emission *e, const struct value *value) {
    const struct op *op = value->def;
    if (op->code == OP_read)
        return onnx_take_name(e->model, op_attr(op, ATTR_state)->state->name);
    return onnx_take_name(e->model, arena_printf(e->arena, "const.%d", op->id));
}

const char *onnx_constant_name(struct emission *e, const struct value *value) {
    value = onnx_origin(value);
    struct onnx_scope *top = e->scope;
    while (top->outer)
        top = top->outer;
    const char *name = map_find(&top->names, value);
    if (name)
        return name;
    const void *bytes = stored_bytes(e, value);
    if (!bytes) {
        const struct tensor *tensor = fold(e, value);
        void *made = tensor ? arena_alloc(e->arena, (size_t)type_bytes(value->type) + 1) : NULL;
        if (tensor)
            tensor_to_bytes(tensor, made);
        bytes = made;
    }
    name = constant_name(e, value);
    if (bytes) /* else the evaluator has reported */
        onnx_add_initialiser(e->model, name, value->type, bytes);
    if (value->type->dtype == DTYPE_bf16) {
        struct onnx_scope *inner = e->scope; /* in the main graph: others may ask for it later */
        e->scope = top;
        name = converted(e, name, DTYPE_f32);
        e->scope = inner;
    }
    map_put(&top->names, value, (void *)name);
    return name;
}

/* ---- the names of values ---- */

/* The operand of a broadcast with 1 for each axis that is new. */
static const char *widened(struct emission *e, const struct op *broadcast) {
    const struct type *from = broadcast->in[0]->type, *to = broadcast->out[0]->type;
    const int64_t *axes = op_ints(broadcast, ATTR_axes, NULL);
    int64_t *sizes = ARENA_ARRAY(e->arena, int64_t, to->rank),
            *perm = ARENA_ARRAY(e->arena, int64_t, from->rank);
    for (int i = 0; i < to->rank; i++)
        sizes[i] = 1;
    for (int i = 0; i < from->rank; i++)
        sizes[axes[i]] = type_size(from, i);
    for (int i = 0; i < from->rank; i++) { /* axes may cross */
        int at = 0;
        for (int k = 0; k < from->rank; k++)
            at += axes[k] < axes[i];
        perm[at] = i;
    }
    const char *name = onnx_transpose(e, onnx_name(e, broadcast->in[0]), from->rank, perm);
    bool is_suffix = true; /* then ONNX puts the ones in front by itself */
    for (int i = 0; i < from->rank; i++)
        is_suffix &= axes[i] == to->rank - from->rank + i;
    return is_suffix ? name : onnx_reshape(e, name, to->rank, sizes);
}

const char *onnx_narrow_name(struct emission *e, const struct value *value) {
    const char *name = find_name(e->scope, value);
    if (name || !value->def || value->def->code != OP_broadcast)
        return name ? name : onnx_name(e, value);
    return widened(e, value->def);
}

const char *onnx_name(struct emission *e, const struct value *value) {
    const char *name = find_name(e->scope, value);
    if (name)
        return name;
    bool is_broadcast = value->def && value->def->code == OP_broadcast;
    if (!is_broadcast && onnx_is_constant(e, value))
        return onnx_constant_name(e, value);
    assert(is_broadcast && "what is needed was emitted before");
    int64_t *sizes = onnx_sizes(e, value->type);
    name =
        onnx_node(e, "Expand", widened(e, value->def), onnx_int_list(e, sizes, value->type->rank), NULL).out;
    onnx_define(e, value, name);
    return name;
}

/* ---- blocks ---- */

static void need_value(struct emission *e, const struct value *value) {
    if (value->def && (value->def->code == OP_broadcast || !onnx_is_constant(e, value)))
        map_put(&e->needed, value->def, (void *)value->def);
}

static bool is_wanted_effect(const struct op *op) {
    return op->code == OP_write || op->code == OP_grad;
}

static void need_operands(struct emission *e, const struct op *op) {
    struct pattern_match *match = pattern_find(e, op);
    if (match) {
        const struct value *values[26];
        int count = pattern_needs(match, values);
        map_put(&e->matches, op, match);
        for (int i = 0; i < count; i++)
            need_value(e, values[i]);
        return;
    }
    for (int i = 0; i < op->in_count; i++)
        need_value(e, op->in[i]);
}

static void mark_needed(struct emission *e, const struct block *block) {
    for (const struct op *op = block->last; op; op = op->prev) {
        if (op->code == OP_yield || is_wanted_effect(op))
            map_put(&e->needed, op, (void *)op);
        if (map_has(&e->needed, op))
            need_operands(e, op);
    }
}

bool onnx_block(struct emission *e, const struct block *block) {
    mark_needed(e, block);
    bool ok = true;
    FOR_EACH_OP (op, block) {
        if (!map_has(&e->needed, op))
            continue;
        const struct op *around = e->op;
        e->op = op;
        const struct pattern_match *match = map_find(&e->matches, op);
        if (match)
            pattern_emit(e, match);
        else
            ok = rows[op->code].emit(e, op, rows[op->code].text) && ok;
        e->op = around;
        if (!ok)
            return false; /* what follows would have no operands */
    }
    return true;
}

/* ---- the whole ---- */

static void collect_written(struct emission *e, const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_write)
            map_put(&e->written, op_attr(op, ATTR_state)->state, op);
        for (int r = 0; r < op->region_count; r++)
            collect_written(e, op->regions[r]);
    }
}

/* Every input is one of the model, used or not: it is the entry's signature. The seed has no use here. */
static void add_inputs(struct emission *e) {
    FOR_EACH_OP (op, e->function->body) {
        if (op->code != OP_input || op_is_seed(op))
            continue;
        const char *name = onnx_take_name(e->model, op_string(op, ATTR_name));
        onnx_add_input(e->model, e->model->main, name, op->out[0]->type);
        if (op->out[0]->type->dtype == DTYPE_bf16)
            name = converted(e, name, DTYPE_f32);
        map_put(&e->scope->names, op->out[0], (void *)name);
    }
}

static void take_output_names(struct emission *e, const char **names) {
    const struct op *yield = block_yield(e->function->body);
    for (int i = 0; i < yield->in_count; i++) {
        const char *name = e->function->result_names ? e->function->result_names[i] : "";
        if (!*name)
            name = yield->in_count == 1 ? "output" : arena_printf(e->arena, "output_%d", i);
        names[i] = onnx_take_name(e->model, name);
    }
}

/* An Identity each: a result may be an input, a weight, or there twice. */
static void add_outputs(struct emission *e, const char *const *names) {
    const struct op *yield = block_yield(e->function->body);
    for (int i = 0; i < yield->in_count; i++) {
        const char *value = onnx_name(e, yield->in[i]); /* may make a node of its own */
        if (yield->in[i]->type->dtype == DTYPE_bf16)
            value = converted(e, value, DTYPE_bf16);
        Onnx__NodeProto *node = onnx_add_node(e->model, e->model->main, "Identity");
        onnx_node_input(e->model, node, value);
        onnx_node_output(e->model, node, names[i]);
        onnx_add_output(e->model, e->model->main, names[i], yield->in[i]->type);
    }
}

struct onnx_model *onnx_export(struct graph *graph, const struct function *function,
                               const struct onnx_states *states, struct arena *arena, struct diags *diags) {
    struct emission e = {.arena = arena,
                         .graph = graph,
                         .function = function,
                         .model = onnx_model_create(arena, function->name),
                         .states = *states,
                         .diags = diags,
                         .eval = eval_create(arena, graph, EVAL_EXACT, diags)};
    struct onnx_scope top = {.graph = e.model->main};
    map_init(&top.names, arena);
    map_init(&e.needed, arena);
    map_init(&e.matches, arena);
    map_init(&e.known, arena);
    map_init(&e.folded, arena);
    map_init(&e.written, arena);
    e.scope = &top;
    if (function->doc)
        e.model->main->proto.doc_string = (char *)function->doc;
    const struct op *yield = block_yield(function->body);
    const char **names = ARENA_ARRAY(arena, const char *, yield->in_count + 1);
    collect_written(&e, function->body);
    add_inputs(&e);
    take_output_names(&e, names);
    if (!onnx_block(&e, function->body))
        return NULL;
    add_outputs(&e, names);
    return diags_error_count(diags) == 0 ? e.model : NULL;
}
