/* ir/parse.c: text to graphs, by recursive descent. After a mistake in an op the parser goes on behind it,
 * with the op's results known to be broken, so that one run reports several mistakes and none twice. */
#include "ir/text.h"

#include "base/map.h"
#include "ir/reader.h"
#include "ir/tensor.h"

#include <string.h>

enum { ERRORS_MOST = 20, REGIONS_DEEP = 100 };

/* A name of the text and what it means; value NULL: its op is broken. */
struct binding {
    struct value *value;
    const struct block *block;
};

/* A call whose callee may stand further down; its types are checked at the end. */
struct pending_call {
    struct op *op;
    const char *name;
    struct span span;
};

struct parser {
    struct reader r;
    struct graph *graph;
    struct map bindings; /* of the function: interned name to struct binding */
    VEC(struct pending_call) calls;
    int depth; /* of regions */
};

/* ---- attributes ---- */

static bool parse_ints(struct parser *p, struct attr *attr) {
    VEC(int64_t) ints = {0};
    if (!reader_expect(&p->r, '[', "before a list"))
        return false;
    while (!reader_take(&p->r, ']')) {
        int64_t value;
        if ((ints.count > 0 && !reader_expect(&p->r, ',', "between two entries")) ||
            !reader_int(&p->r, &value))
            return false;
        VEC_PUSH(p->r.arena, &ints, value);
    }
    attr->ints = ints.at;
    attr->count = ints.count;
    return true;
}

static bool parse_dims(struct parser *p, struct attr *attr) {
    VEC(const struct dim *) dims = {0};
    if (!reader_expect(&p->r, '[', "before a list"))
        return false;
    while (!reader_take(&p->r, ']')) {
        if (dims.count > 0 && !reader_expect(&p->r, ',', "between two entries"))
            return false;
        const struct dim *dim = reader_dim(&p->r, ",]");
        if (!dim)
            return false;
        VEC_PUSH(p->r.arena, &dims, dim);
    }
    attr->dims = dims.at;
    attr->count = dims.count;
    return true;
}

/* A constant stands before its type: here it is only skipped, and read by read_data once the type is known.
 */
static bool skip_data(struct parser *p) {
    const char *begin = (reader_skip(&p->r), p->r.at);
    bool quoted = false;
    int depth = 0;
    for (; p->r.at < p->r.end && *p->r.at != '\n'; p->r.at++) {
        if (*p->r.at == '"')
            quoted = !quoted;
        depth += quoted ? 0 : *p->r.at == '[' ? 1 : *p->r.at == ']' ? -1 : 0;
        if (!quoted && depth == 0 && (*p->r.at == ',' || *p->r.at == '}'))
            return true;
    }
    return reader_fail(&p->r, begin, "a constant has no end");
}

static bool read_element(struct parser *p, struct tensor *tensor, int64_t i) {
    if (dtype_is_float(tensor->type->dtype))
        return reader_float(&p->r, &tensor->f[i]);
    const char *begin = (reader_skip(&p->r), p->r.at);
    if (!reader_int(&p->r, &tensor->i[i]))
        return false;
    enum dtype dtype = tensor->type->dtype;
    if (tensor->i[i] < int_least(dtype) || tensor->i[i] > int_greatest(dtype))
        return reader_fail(&p->r, begin, "%lld is out of range for %s", (long long)tensor->i[i],
                           dtype_text(dtype));
    return true;
}

static bool read_elements(struct parser *p, const struct type *type, void *bytes) {
    int64_t count = type_elements(type);
    struct tensor *tensor = tensor_create(p->r.arena, type);
    if (type->rank > 0 && !reader_expect(&p->r, '[', "before a list"))
        return false;
    for (int64_t i = 0; i < count; i++)
        if ((i > 0 && !reader_expect(&p->r, ',', "between two elements")) || !read_element(p, tensor, i))
            return false;
    if (type->rank > 0 && !reader_expect(&p->r, ']', "behind the last element"))
        return false;
    tensor_to_bytes(tensor, bytes);
    return true;
}

static bool read_hex(struct parser *p, const struct type *type, unsigned char *bytes) {
    const char *begin = p->r.at;
    int64_t size = type_bytes(type);
    if (!reader_expect(&p->r, '"', "behind hex"))
        return false;
    for (int64_t i = 0; i < size; i++) {
        int high = p->r.end - p->r.at < 2 ? -1 : reader_hex_digit(p->r.at[0]),
            low = high < 0 ? -1 : reader_hex_digit(p->r.at[1]);
        if (low < 0)
            return reader_fail(&p->r, begin, "%lld bytes are wanted, but there are %lld", (long long)size,
                               (long long)i);
        bytes[i] = (unsigned char)(high * 16 + low);
        p->r.at += 2;
    }
    return reader_expect(&p->r, '"', "behind the last byte");
}

/* The constant whose text begins at `text`. NULL: reported. */
static const struct data *read_data(struct parser *p, const char *text, const struct type *type) {
    const char *behind = p->r.at;
    p->r.at = text;
    if (!type)
        return reader_fail(&p->r, text, "the type of a constant must be declared"), NULL;
    /* An element takes a digit of text at least: what claims to be larger is wrong, whatever it holds. */
    if (!type_is_static(type) || type_elements(type) > p->r.end - text)
        return reader_fail(&p->r, text, "there are fewer elements than %s has",
                           type_text(p->graph->types, type)),
               NULL;
    struct data *data = ARENA_NEW(p->r.arena, struct data);
    void *bytes = arena_alloc(p->r.arena, (size_t)type_bytes(type));
    *data = (struct data){type, bytes};
    if (!(reader_take_word(&p->r, "hex") ? read_hex(p, type, bytes) : read_elements(p, type, bytes)))
        return NULL;
    const char *last = (reader_skip(&p->r), p->r.at);
    if (*last != ',' && *last != '}')
        return reader_fail(&p->r, text, "there are more elements than %s has",
                           type_text(p->graph->types, type)),
               NULL;
    p->r.at = behind;
    return data;
}

static bool parse_state_attr(struct parser *p, struct attr *attr) {
    const char *begin = (reader_skip(&p->r), p->r.at);
    if (!reader_expect(&p->r, '@', "before the name of a state"))
        return false;
    const char *name = reader_name(&p->r, "the name of a state");
    if (!name)
        return false;
    attr->state = graph_find_state(p->graph, name);
    return attr->state ? true : reader_fail(&p->r, begin, "there is no state `%s`", name);
}

/* The heads of an op and what must wait until its type is known. */
struct op_text {
    const char *begin, *data; /* data: where a constant begins, or NULL */
    const char *callee;
    struct span callee_span;
    enum opcode code;
    VEC(struct value *) in;
    VEC(struct attr) attrs;
    VEC(const char *) results;
    VEC(const struct type *) types;
    bool broken; /* an operand is: the op is skipped quietly */
};

static bool parse_attr_value(struct parser *p, struct op_text *t, struct attr *attr) {
    switch (attr_kind(attr->name)) {
    case ATTR_INT:
        return reader_int(&p->r, &attr->i);
    case ATTR_INTS:
        return parse_ints(p, attr);
    case ATTR_FLOAT:
        return reader_float(&p->r, &attr->f);
    case ATTR_STRING:
        return (attr->string = reader_string(&p->r)) != NULL;
    case ATTR_DIM:
        return (attr->dim = reader_dim(&p->r, ",}")) != NULL;
    case ATTR_DIMS:
        return parse_dims(p, attr);
    case ATTR_STATE:
        return parse_state_attr(p, attr);
    case ATTR_DATA:
        t->data = (reader_skip(&p->r), p->r.at);
        return skip_data(p);
    case ATTR_FUNCTION: {
        const char *begin = (reader_skip(&p->r), p->r.at);
        t->callee = reader_name(&p->r, "the name of a function");
        t->callee_span = reader_span(&p->r, begin);
        return t->callee != NULL;
    }
    }
    return false;
}

static bool parse_attrs(struct parser *p, struct op_text *t) {
    if (!reader_take(&p->r, '{'))
        return true;
    while (!reader_take(&p->r, '}')) {
        const char *begin;
        if (t->attrs.count > 0 && !reader_expect(&p->r, ',', "between two attributes"))
            return false;
        struct attr attr = {0};
        size_t length = reader_word(&p->r, &begin);
        if (!attr_find(begin, length, &attr.name))
            return reader_fail(&p->r, begin, "`%.*s` is no attribute", (int)length, begin);
        for (int i = 0; i < t->attrs.count; i++)
            if (t->attrs.at[i].name == attr.name)
                return reader_fail(&p->r, begin, "the attribute `%s` stands twice", attr_text(attr.name));
        if (!reader_expect(&p->r, '=', "behind an attribute's name") || !parse_attr_value(p, t, &attr))
            return false;
        VEC_PUSH(p->r.arena, &t->attrs, attr);
    }
    return true;
}

/* ---- values ---- */

/* %name, interned with its sign; NULL: reported. */
static const char *parse_value_name(struct parser *p) {
    if (!reader_expect(&p->r, '%', "before a value's name"))
        return NULL;
    const char *begin;
    size_t length = reader_word(&p->r, &begin);
    if (length == 0)
        return reader_fail(&p->r, begin, "a value's name is wanted behind %%"), NULL;
    return intern_n(p->graph->names, begin, length);
}

static void bind(struct parser *p, const char *name, struct value *value, const struct block *block) {
    struct binding *binding = map_find(&p->bindings, name);
    if (!binding)
        map_put(&p->bindings, name, binding = ARENA_NEW(p->r.arena, struct binding));
    *binding = (struct binding){value, block};
}

static bool parse_operands(struct parser *p, struct op_text *t, const struct block *block) {
    if (!reader_take(&p->r, '('))
        return true;
    for (int count = 0; !reader_take(&p->r, ')'); count++) {
        if (count > 0 && !reader_expect(&p->r, ',', "between two operands"))
            return false;
        const char *begin = (reader_skip(&p->r), p->r.at), *name = parse_value_name(p);
        if (!name)
            return false;
        const struct binding *binding = map_find(&p->bindings, name);
        if (!binding)
            return reader_fail(&p->r, begin, "%%%s is not made before this place", name);
        if (binding->value && binding->block != block)
            return reader_fail(&p->r, begin,
                               "%%%s belongs to another block: a region takes it as a parameter", name);
        t->broken |= !binding->value;
        VEC_PUSH(p->r.arena, &t->in, binding->value);
    }
    return true;
}

static bool parse_results(struct parser *p, struct op_text *t) {
    if (!reader_peek(&p->r, '%'))
        return true;
    do {
        const char *begin = (reader_skip(&p->r), p->r.at), *name = parse_value_name(p);
        if (!name)
            return false;
        if (map_has(&p->bindings, name))
            return reader_fail(&p->r, begin, "%%%s is made twice", name);
        bind(p, name, NULL, NULL); /* broken until its op is complete */
        VEC_PUSH(p->r.arena, &t->results, name);
    } while (reader_take(&p->r, ','));
    return reader_expect(&p->r, '=', "behind the results");
}

static bool parse_result_types(struct parser *p, struct op_text *t) {
    if (!reader_take(&p->r, ':'))
        return true;
    do {
        const struct type *type = reader_type(&p->r);
        if (!type)
            return false;
        VEC_PUSH(p->r.arena, &t->types, type);
    } while (reader_take(&p->r, ','));
    return true;
}

/* ---- ops ---- */

static void parse_block(struct parser *p, struct block *block);

static bool parse_params(struct parser *p, struct block *block) {
    if (!reader_expect(&p->r, '(', "behind region"))
        return false;
    while (!reader_take(&p->r, ')')) {
        if (block->param_count > 0 && !reader_expect(&p->r, ',', "between two parameters"))
            return false;
        const char *begin = (reader_skip(&p->r), p->r.at), *name = parse_value_name(p);
        if (!name || !reader_expect(&p->r, ':', "behind a parameter's name"))
            return false;
        if (map_has(&p->bindings, name))
            return reader_fail(&p->r, begin, "%%%s is made twice", name);
        const struct type *type = reader_type(&p->r);
        if (!type)
            return false;
        bind(p, name, block_add_param(p->graph, block, type, NULL), block);
    }
    return true;
}

static bool parse_regions(struct parser *p, struct op *op) {
    while (reader_take_word(&p->r, "region")) {
        if (++p->depth > REGIONS_DEEP)
            return reader_fail(&p->r, p->r.at, "regions are nested more than %d deep", REGIONS_DEEP);
        struct block *region = op_add_region(p->graph, op);
        int errors = p->r.errors;
        if (!parse_params(p, region) || !reader_expect(&p->r, '{', "before a region's body"))
            return false;
        parse_block(p, region);
        p->depth--;
        if (p->r.errors > errors)
            return false;
    }
    return true;
}

/* Types the op and compares with what the text says. */
static bool check_op(struct parser *p, struct op *op, const struct op_text *t) {
    int errors = diags_error_count(p->r.diags);
    if (!op_infer(p->graph, op, p->r.diags)) {
        p->r.errors += diags_error_count(p->r.diags) - errors;
        return false;
    }
    for (int i = 0; i < t->types.count; i++)
        if (op->out[i]->type != t->types.at[i])
            return reader_fail(&p->r, t->begin, "result %d of %s is %s, not %s", i, opcode_text(op->code),
                               type_text(p->graph->types, op->out[i]->type),
                               type_text(p->graph->types, t->types.at[i]));
    return true;
}

static struct op *make_op(struct parser *p, struct op_text *t) {
    int count = t->results.count;
    if (t->types.count > 0 && t->types.count != count) {
        reader_fail(&p->r, t->begin, "%s has %d results, but %d types", opcode_text(t->code), count,
                    t->types.count);
        return NULL;
    }
    for (int i = 0; i < t->attrs.count; i++)
        if (t->attrs.at[i].name == ATTR_data) {
            t->attrs.at[i].data = read_data(p, t->data, t->types.count ? t->types.at[0] : NULL);
            if (!t->attrs.at[i].data)
                return NULL;
        }
    struct site *site = ARENA_NEW(p->r.arena, struct site);
    reader_skip(&p->r);
    site->span = reader_span(&p->r, t->begin);
    site->span.end = (uint32_t)(p->r.token_end - p->r.source->text);
    return op_create(p->graph, t->code, t->in.at, t->in.count, t->attrs.at, t->attrs.count,
                     t->types.count ? t->types.at : NULL, count, site);
}

static bool parse_op_head(struct parser *p, struct op_text *t, const struct block *block) {
    t->begin = (reader_skip(&p->r), p->r.at);
    if (!parse_results(p, t))
        return false;
    const char *begin;
    size_t length = reader_word(&p->r, &begin);
    if (length == 0 || !opcode_find(begin, length, &t->code)) {
        p->r.at = begin;
        const char *other = reader_found(&p->r);
        return reader_fail(&p->r, begin, "an operator is wanted, not %s", other);
    }
    return parse_operands(p, t, block) && parse_attrs(p, t) && parse_result_types(p, t);
}

static bool parse_op(struct parser *p, struct block *block) {
    struct op_text t = {0};
    if (!parse_op_head(p, &t, block) || t.broken)
        return false;
    struct op *op = make_op(p, &t);
    if (!op)
        return false;
    op_append(op, block);
    if (!parse_regions(p, op))
        return false;
    if (t.callee) {
        if (t.types.count != t.results.count)
            return reader_fail(&p->r, t.begin, "the types of a call's results must be declared");
        VEC_PUSH(p->r.arena, &p->calls, ((struct pending_call){op, t.callee, t.callee_span}));
    } else if (!check_op(p, op, &t)) {
        return false;
    }
    for (int i = 0; i < t.results.count; i++)
        bind(p, t.results.at[i], op->out[i], block);
    return true;
}

/* Behind the op that begins at `begin`: the end of the line on which its braces are closed. */
static void skip_op(struct parser *p, const char *begin) {
    int depth = 0;
    bool quoted = false;
    for (p->r.at = begin; p->r.at < p->r.end; p->r.at++) {
        char c = *p->r.at;
        if (c == '"')
            quoted = !quoted;
        if (c == '/' && !quoted && p->r.at[1] == '/') /* the text ends in a zero byte */
            p->r.at += strcspn(p->r.at, "\n") - 1;
        quoted &= c != '\n';
        if (c == '}' && depth == 0 && !quoted)
            return;
        depth += quoted ? 0 : c == '{' ? 1 : c == '}' ? -1 : 0;
        if (c == '\n' && depth == 0)
            return;
    }
}

/* Up to and with the closing brace. */
static void parse_block(struct parser *p, struct block *block) {
    const char *opened = p->r.at - 1;
    while (!reader_peek(&p->r, '}')) {
        if (p->r.at == p->r.end) {
            reader_fail(&p->r, opened, "a block has no end");
            return;
        }
        if (p->r.errors >= ERRORS_MOST)
            return;
        const char *begin = p->r.at;
        int depth = p->depth;
        if (!parse_op(p, block)) {
            p->depth = depth;
            skip_op(p, begin);
        }
    }
    p->r.at++;
    if (!block_yield(block) && p->r.errors == 0)
        reader_fail(&p->r, opened, "a block does not end in a yield");
}

/* ---- what a graph consists of ---- */

static bool parse_state(struct parser *p) {
    const char *begin = p->r.at;
    if (!reader_expect(&p->r, '@', "before the name of a state"))
        return false;
    const char *name = reader_name(&p->r, "the name of a state");
    if (!name)
        return false;
    if (graph_find_state(p->graph, name))
        return reader_fail(&p->r, begin, "there are two states `%s`", name);
    const struct type *type =
        reader_expect(&p->r, ':', "behind the name of a state") ? reader_type(&p->r) : NULL;
    if (!type)
        return false;
    struct site *site = ARENA_NEW(p->r.arena, struct site);
    site->span = reader_span(&p->r, begin);
    for (int kind = STATE_WEIGHT; kind <= STATE_RUN; kind++)
        if (reader_take_word(&p->r, state_kind_text((enum state_kind)kind))) {
            struct state *state = graph_add_state(p->graph, name, (enum state_kind)kind, type, site);
            state->trainable = kind == STATE_WEIGHT && !reader_take_word(&p->r, "frozen");
            return true;
        }
    const char *other = reader_found(&p->r);
    return reader_fail(&p->r, p->r.at, "weight, buffer or run is wanted, not %s", other);
}

/* `require` is behind us: of the function whose body begins. */
static bool parse_precondition(struct parser *p, struct function *function) {
    const char *begin = p->r.at;
    struct precondition precondition = {.dim = reader_dim(&p->r, "%>")};
    bool is_sign = precondition.dim && reader_peek(&p->r, '>');
    if (!precondition.dim || !reader_expect(&p->r, is_sign ? '>' : '%', "behind a size") ||
        (is_sign && !reader_expect(&p->r, '=', "behind >")) || !reader_int(&p->r, &precondition.multiple))
        return false;
    if (is_sign ? precondition.multiple != 0 : precondition.multiple < 1)
        return reader_fail(&p->r, begin, "a multiple of %lld is no precondition",
                           (long long)precondition.multiple);
    struct site *site = ARENA_NEW(p->r.arena, struct site);
    site->span = reader_span(&p->r, begin);
    precondition.site = site;
    if (reader_peek(&p->r, '"') && !(precondition.message = reader_string(&p->r)))
        return false;
    if (!is_sign)
        dim_assume_multiple(p->graph->types, precondition.dim, precondition.multiple);
    VEC_PUSH(p->r.arena, &function->preconditions, precondition);
    return true;
}

/* (mean, _, logvar): the names of the results. */
static bool parse_result_names(struct parser *p, struct function *function, int *count) {
    VEC(const char *) names = {0};
    if (!reader_expect(&p->r, '(', "behind a function's name"))
        return false;
    while (!reader_take(&p->r, ')')) {
        if (names.count > 0 && !reader_expect(&p->r, ',', "between two results"))
            return false;
        const char *name = reader_take_word(&p->r, "_") ? "" : reader_name(&p->r, "the name of a result");
        if (!name)
            return false;
        VEC_PUSH(p->r.arena, &names, name);
    }
    function->result_names = names.at;
    *count = names.count;
    return true;
}

static bool parse_function(struct parser *p, enum function_kind kind) {
    const char *begin = (reader_skip(&p->r), p->r.at), *name = reader_name(&p->r, "a function's name");
    if (!name)
        return false;
    if (graph_find_function(p->graph, name))
        return reader_fail(&p->r, begin, "there are two functions `%s`", name);
    struct site *site = ARENA_NEW(p->r.arena, struct site);
    site->span = reader_span(&p->r, begin);
    struct function *function = graph_add_function(p->graph, name, kind, site);
    map_init(&p->bindings, p->r.arena);
    int names = 0;
    if (!parse_result_names(p, function, &names) ||
        (reader_take_word(&p->r, "region") && !parse_params(p, function->body)) ||
        !reader_expect(&p->r, '{', "before a function's body"))
        return false;
    dim_forget_assumptions(p->graph->types);
    while (reader_take_word(&p->r, "require"))
        if (!parse_precondition(p, function))
            return false;
    parse_block(p, function->body);
    const struct op *yield = block_yield(function->body);
    if (p->r.errors == 0 && names > 0 && names != yield->in_count)
        return reader_fail(&p->r, begin, "`%s` names %d results, but yields %d", name, names,
                           yield->in_count);
    return true;
}

static bool parse_item(struct parser *p) {
    if (reader_take_word(&p->r, "state"))
        return parse_state(p);
    for (int kind = FUNCTION_FN; kind <= FUNCTION_EXPRESSION; kind++)
        if (reader_take_word(&p->r, function_kind_text((enum function_kind)kind)))
            return parse_function(p, (enum function_kind)kind);
    const char *other = reader_found(&p->r);
    return reader_fail(&p->r, p->r.at, "a state or a function is wanted, not %s", other);
}

static bool resolve_calls(struct parser *p) {
    for (int i = 0; i < p->calls.count; i++) {
        const struct pending_call *call = &p->calls.at[i];
        struct function *callee = graph_find_function(p->graph, call->name);
        if (!callee) {
            diag_error(p->r.diags, call->span, E_IR, "there is no function `%s`", call->name);
            p->r.errors++;
            continue;
        }
        op_set_attr(p->graph, call->op, (struct attr){.name = ATTR_function, .function = callee});
    }
    return p->r.errors == 0;
}

struct graph *graph_parse(struct arena *arena, struct types *types, struct interner *names,
                          const struct source *source, struct diags *diags) {
    struct reader reader = {.arena = arena, .types = types, .names = names, .source = source, .diags = diags};
    reader.at = source->text;
    reader.end = source->text + source->length;
    struct parser p = {.r = reader};
    p.graph = graph_create(arena, types, names, "");
    if (!reader_take_word(&p.r, "graph")) {
        const char *other = reader_found(&p.r);
        reader_fail(&p.r, p.r.at, "`graph NAME` is wanted, not %s", other);
        return NULL;
    }
    const char *name = reader_name(&p.r, "the graph's name");
    if (!name)
        return NULL;
    p.graph->name = name;
    /* A mistake outside of bodies ends the run: what follows could mean anything. */
    while (reader_skip(&p.r), p.r.at < p.r.end)
        if (!parse_item(&p) || p.r.errors >= ERRORS_MOST)
            break;
    if (p.r.errors > 0 || !resolve_calls(&p) || !graph_verify(p.graph, diags, NULL))
        return NULL;
    return p.graph;
}
