/* ir/parse.c: text to graphs, by recursive descent. After a mistake in an op the parser goes on behind it,
 * with the op's results known to be broken, so that one run reports several mistakes and none twice. */
#include "ir/text.h"

#include "base/map.h"
#include "ir/tensor.h"
#include "ir/types.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ERRORS_MOST = 20, REGIONS_DEEP = 100, TERMS_MOST = 1000, RANK_MOST = 1000 };

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
    struct arena *arena;
    const struct source *source;
    const char *at, *end;
    const char *token_end; /* of the last one that was skipped behind: where an op ends */
    struct graph *graph;
    struct diags *diags;
    struct map bindings; /* of the function: interned name to struct binding */
    VEC(struct pending_call) calls;
    int errors, depth;
};

/* ---- places and mistakes ---- */

static struct span span_from(const struct parser *p, const char *begin) {
    const char *end = p->at > begin ? p->at : begin + (begin < p->end);
    return (struct span){p->source, (uint32_t)(begin - p->source->text), (uint32_t)(end - p->source->text)};
}

static bool fail(struct parser *p, const char *begin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(struct parser *p, const char *begin, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(p->arena, format, args);
    va_end(args);
    diag_error(p->diags, span_from(p, begin), E_IR, "%s", message);
    p->errors++;
    return false;
}

/* ---- tokens ---- */

static void skip_space(struct parser *p) {
    if (p->at > p->source->text && !isspace((unsigned char)p->at[-1]))
        p->token_end = p->at;
    for (;;) {
        while (p->at < p->end && isspace((unsigned char)*p->at))
            p->at++;
        if (p->end - p->at < 2 || p->at[0] != '/' || p->at[1] != '/')
            return;
        while (p->at < p->end && *p->at != '\n')
            p->at++;
    }
}

static bool peek(struct parser *p, char c) {
    skip_space(p);
    return p->at < p->end && *p->at == c;
}

static bool take(struct parser *p, char c) {
    if (!peek(p, c))
        return false;
    p->at++;
    return true;
}

/* What stands at the place, for messages. */
static const char *found(struct parser *p) {
    skip_space(p);
    if (p->at == p->end)
        return "the end of the text";
    int length = 0;
    while (p->at + length < p->end && length < 20 && !isspace((unsigned char)p->at[length]) &&
           (length == 0 || isalnum((unsigned char)p->at[length])))
        length++;
    if (!isprint((unsigned char)*p->at))
        return "a strange character";
    return arena_printf(p->arena, "`%.*s`", length, p->at);
}

static bool expect(struct parser *p, char c, const char *where) {
    if (take(p, c))
        return true;
    const char *what = found(p);
    return fail(p, p->at, "`%c` is wanted %s, not %s", c, where, what);
}

static bool is_word_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* A word of letters, digits, _ and dots; length 0: none. */
static size_t word(struct parser *p, const char **begin) {
    skip_space(p);
    *begin = p->at;
    while (p->at < p->end && is_word_char(*p->at))
        p->at++;
    return (size_t)(p->at - *begin);
}

static bool word_is(const char *begin, size_t length, const char *text) {
    return strlen(text) == length && memcmp(begin, text, length) == 0;
}

static bool take_word(struct parser *p, const char *text) {
    const char *begin;
    size_t length = word(p, &begin);
    if (word_is(begin, length, text))
        return true;
    p->at = begin;
    return false;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A string in quotes, unescaped; NULL: reported. */
static const char *parse_string(struct parser *p) {
    if (!expect(p, '"', "before a string"))
        return NULL;
    const char *begin = p->at - 1;
    struct strbuf text;
    strbuf_init(&text, p->arena);
    while (p->at < p->end && *p->at != '"' && *p->at != '\n') {
        char c = *p->at++;
        if (c == '\\' && p->at < p->end) {
            c = *p->at++;
            if (c == 'n')
                c = '\n';
            if (c == 'x' && p->end - p->at >= 2 && hex_digit(p->at[0]) >= 0 && hex_digit(p->at[1]) >= 0) {
                c = (char)(hex_digit(p->at[0]) * 16 + hex_digit(p->at[1]));
                p->at += 2;
            }
        }
        if (c == 0)
            return fail(p, begin, "a string holds a zero byte"), NULL;
        strbuf_putc(&text, c);
    }
    if (p->at == p->end || *p->at++ != '"')
        return fail(p, begin, "a string has no end"), NULL;
    return text.text ? text.text : "";
}

/* A name: a word or a string, interned; NULL: reported. */
static const char *parse_name(struct parser *p, const char *what) {
    const char *begin;
    if (peek(p, '"')) {
        const char *text = parse_string(p);
        return text ? intern(p->graph->names, text) : NULL;
    }
    size_t length = word(p, &begin);
    if (length == 0) {
        const char *other = found(p);
        return fail(p, begin, "%s is wanted, not %s", what, other), NULL;
    }
    return intern_n(p->graph->names, begin, length);
}

static bool parse_int(struct parser *p, int64_t *out) {
    skip_space(p);
    const char *begin = p->at;
    char *end;
    bool digits = p->at < p->end && (isdigit((unsigned char)*p->at) || (*p->at == '-' && p->at + 1 < p->end &&
                                                                        isdigit((unsigned char)p->at[1])));
    if (!digits) {
        const char *other = found(p);
        return fail(p, begin, "an integer is wanted, not %s", other);
    }
    errno = 0;
    *out = strtoll(p->at, &end, 10);
    p->at = end;
    return errno ? fail(p, begin, "the integer is too large") : true;
}

static bool parse_float(struct parser *p, double *out) {
    skip_space(p);
    const char *begin = p->at, *c = p->at;
    char *end;
    c += c < p->end && *c == '-';
    bool starts = c < p->end && (isdigit((unsigned char)*c) || *c == '.' || *c == 'n' || *c == 'i');
    *out = starts ? strtod(p->at, &end) : 0;
    if (!starts || end == begin) {
        const char *other = found(p);
        return fail(p, begin, "a number is wanted, not %s", other);
    }
    p->at = end;
    return true;
}

/* ---- dims and types ---- */

/* The text up to one of the stops outside of parentheses is a dim. NULL: reported. */
static const struct dim *parse_dim(struct parser *p, const char *stops) {
    skip_space(p);
    const char *begin = p->at;
    int depth = 0;
    while (p->at < p->end && *p->at != '\n' && (depth > 0 || !strchr(stops, *p->at))) {
        depth += *p->at == '(' ? 1 : *p->at == ')' ? -1 : 0;
        p->at++;
    }
    size_t length = (size_t)(p->at - begin);
    const struct dim *dim = dim_parse(p->graph->types, begin, length);
    if (!dim)
        fail(p, begin, "`%.*s` is no size", length > 60 ? 60 : (int)length, begin);
    return dim;
}

static const struct type *parse_type(struct parser *p) {
    const char *begin;
    size_t length = word(p, &begin);
    enum dtype dtype;
    if (!dtype_find(begin, length, &dtype)) {
        p->at = begin;
        const char *other = found(p);
        return fail(p, begin, "a type is wanted, not %s", other), NULL;
    }
    VEC(const struct dim *) dims = {0};
    int64_t terms = 1;
    if (!expect(p, '[', "behind a dtype"))
        return NULL;
    while (!take(p, ']')) {
        if (dims.count > 0 && !expect(p, ',', "between two sizes"))
            return NULL;
        const struct dim *dim = parse_dim(p, ",]");
        if (!dim)
            return NULL;
        if (dim_compare(p->graph->types, dim, dim_const(p->graph->types, 0)) == -1)
            return fail(p, begin, "a size is negative"), NULL;
        /* The number of elements is the product of the sizes: its terms multiply. */
        terms *= dim->count ? dim->count : 1;
        if (terms > TERMS_MOST || dims.count > RANK_MOST)
            return fail(p, begin, "the type is too large"), NULL;
        VEC_PUSH(p->arena, &dims, dim);
    }
    return type_get(p->graph->types, dtype, dims.count, dims.at);
}

/* ---- attributes ---- */

static bool parse_ints(struct parser *p, struct attr *attr) {
    VEC(int64_t) ints = {0};
    if (!expect(p, '[', "before a list"))
        return false;
    while (!take(p, ']')) {
        int64_t value;
        if ((ints.count > 0 && !expect(p, ',', "between two entries")) || !parse_int(p, &value))
            return false;
        VEC_PUSH(p->arena, &ints, value);
    }
    attr->ints = ints.at;
    attr->count = ints.count;
    return true;
}

static bool parse_dims(struct parser *p, struct attr *attr) {
    VEC(const struct dim *) dims = {0};
    if (!expect(p, '[', "before a list"))
        return false;
    while (!take(p, ']')) {
        if (dims.count > 0 && !expect(p, ',', "between two entries"))
            return false;
        const struct dim *dim = parse_dim(p, ",]");
        if (!dim)
            return false;
        VEC_PUSH(p->arena, &dims, dim);
    }
    attr->dims = dims.at;
    attr->count = dims.count;
    return true;
}

/* A constant stands before its type: here it is only skipped, and read by read_data once the type is known.
 */
static bool skip_data(struct parser *p) {
    const char *begin = (skip_space(p), p->at);
    bool quoted = false;
    int depth = 0;
    for (; p->at < p->end && *p->at != '\n'; p->at++) {
        if (*p->at == '"')
            quoted = !quoted;
        depth += quoted ? 0 : *p->at == '[' ? 1 : *p->at == ']' ? -1 : 0;
        if (!quoted && depth == 0 && (*p->at == ',' || *p->at == '}'))
            return true;
    }
    return fail(p, begin, "a constant has no end");
}

static bool read_element(struct parser *p, struct tensor *tensor, int64_t i) {
    if (dtype_is_float(tensor->type->dtype))
        return parse_float(p, &tensor->f[i]);
    const char *begin = (skip_space(p), p->at);
    if (!parse_int(p, &tensor->i[i]))
        return false;
    enum dtype dtype = tensor->type->dtype;
    if (tensor->i[i] < int_least(dtype) || tensor->i[i] > int_greatest(dtype))
        return fail(p, begin, "%lld is out of range for %s", (long long)tensor->i[i], dtype_text(dtype));
    return true;
}

static bool read_elements(struct parser *p, const struct type *type, void *bytes) {
    int64_t count = type_elements(type);
    struct tensor *tensor = tensor_create(p->arena, type);
    if (type->rank > 0 && !expect(p, '[', "before a list"))
        return false;
    for (int64_t i = 0; i < count; i++)
        if ((i > 0 && !expect(p, ',', "between two elements")) || !read_element(p, tensor, i))
            return false;
    if (type->rank > 0 && !expect(p, ']', "behind the last element"))
        return false;
    tensor_to_bytes(tensor, bytes);
    return true;
}

static bool read_hex(struct parser *p, const struct type *type, unsigned char *bytes) {
    const char *begin = p->at;
    int64_t size = type_bytes(type);
    if (!expect(p, '"', "behind hex"))
        return false;
    for (int64_t i = 0; i < size; i++) {
        int high = p->end - p->at < 2 ? -1 : hex_digit(p->at[0]), low = high < 0 ? -1 : hex_digit(p->at[1]);
        if (low < 0)
            return fail(p, begin, "%lld bytes are wanted, but there are %lld", (long long)size, (long long)i);
        bytes[i] = (unsigned char)(high * 16 + low);
        p->at += 2;
    }
    return expect(p, '"', "behind the last byte");
}

/* The constant whose text begins at `text`. NULL: reported. */
static const struct data *read_data(struct parser *p, const char *text, const struct type *type) {
    const char *behind = p->at;
    p->at = text;
    if (!type)
        return fail(p, text, "the type of a constant must be declared"), NULL;
    /* An element takes a digit of text at least: what claims to be larger is wrong, whatever it holds. */
    if (!type_is_static(type) || type_elements(type) > p->end - text)
        return fail(p, text, "there are fewer elements than %s has", type_text(p->graph->types, type)), NULL;
    struct data *data = ARENA_NEW(p->arena, struct data);
    void *bytes = arena_alloc(p->arena, (size_t)type_bytes(type));
    *data = (struct data){type, bytes};
    if (!(take_word(p, "hex") ? read_hex(p, type, bytes) : read_elements(p, type, bytes)))
        return NULL;
    const char *last = (skip_space(p), p->at);
    if (*last != ',' && *last != '}')
        return fail(p, text, "there are more elements than %s has", type_text(p->graph->types, type)), NULL;
    p->at = behind;
    return data;
}

static bool parse_state_attr(struct parser *p, struct attr *attr) {
    const char *begin = (skip_space(p), p->at);
    if (!expect(p, '@', "before the name of a state"))
        return false;
    const char *name = parse_name(p, "the name of a state");
    if (!name)
        return false;
    attr->state = graph_find_state(p->graph, name);
    return attr->state ? true : fail(p, begin, "there is no state `%s`", name);
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
        return parse_int(p, &attr->i);
    case ATTR_INTS:
        return parse_ints(p, attr);
    case ATTR_FLOAT:
        return parse_float(p, &attr->f);
    case ATTR_STRING:
        return (attr->string = parse_string(p)) != NULL;
    case ATTR_DIM:
        return (attr->dim = parse_dim(p, ",}")) != NULL;
    case ATTR_DIMS:
        return parse_dims(p, attr);
    case ATTR_STATE:
        return parse_state_attr(p, attr);
    case ATTR_DATA:
        t->data = (skip_space(p), p->at);
        return skip_data(p);
    case ATTR_FUNCTION: {
        const char *begin = (skip_space(p), p->at);
        t->callee = parse_name(p, "the name of a function");
        t->callee_span = span_from(p, begin);
        return t->callee != NULL;
    }
    }
    return false;
}

static bool parse_attrs(struct parser *p, struct op_text *t) {
    if (!take(p, '{'))
        return true;
    while (!take(p, '}')) {
        const char *begin;
        if (t->attrs.count > 0 && !expect(p, ',', "between two attributes"))
            return false;
        struct attr attr = {0};
        size_t length = word(p, &begin);
        if (!attr_find(begin, length, &attr.name))
            return fail(p, begin, "`%.*s` is no attribute", (int)length, begin);
        for (int i = 0; i < t->attrs.count; i++)
            if (t->attrs.at[i].name == attr.name)
                return fail(p, begin, "the attribute `%s` stands twice", attr_text(attr.name));
        if (!expect(p, '=', "behind an attribute's name") || !parse_attr_value(p, t, &attr))
            return false;
        VEC_PUSH(p->arena, &t->attrs, attr);
    }
    return true;
}

/* ---- values ---- */

/* %name, interned with its sign; NULL: reported. */
static const char *parse_value_name(struct parser *p) {
    if (!expect(p, '%', "before a value's name"))
        return NULL;
    const char *begin;
    size_t length = word(p, &begin);
    if (length == 0)
        return fail(p, begin, "a value's name is wanted behind %%"), NULL;
    return intern_n(p->graph->names, begin, length);
}

static void bind(struct parser *p, const char *name, struct value *value, const struct block *block) {
    struct binding *binding = map_find(&p->bindings, name);
    if (!binding)
        map_put(&p->bindings, name, binding = ARENA_NEW(p->arena, struct binding));
    *binding = (struct binding){value, block};
}

static bool parse_operands(struct parser *p, struct op_text *t, const struct block *block) {
    if (!take(p, '('))
        return true;
    for (int count = 0; !take(p, ')'); count++) {
        if (count > 0 && !expect(p, ',', "between two operands"))
            return false;
        const char *begin = (skip_space(p), p->at), *name = parse_value_name(p);
        if (!name)
            return false;
        const struct binding *binding = map_find(&p->bindings, name);
        if (!binding)
            return fail(p, begin, "%%%s is not made before this place", name);
        if (binding->value && binding->block != block)
            return fail(p, begin, "%%%s belongs to another block: a region takes it as a parameter", name);
        t->broken |= !binding->value;
        VEC_PUSH(p->arena, &t->in, binding->value);
    }
    return true;
}

static bool parse_results(struct parser *p, struct op_text *t) {
    if (!peek(p, '%'))
        return true;
    do {
        const char *begin = (skip_space(p), p->at), *name = parse_value_name(p);
        if (!name)
            return false;
        if (map_has(&p->bindings, name))
            return fail(p, begin, "%%%s is made twice", name);
        bind(p, name, NULL, NULL); /* broken until its op is complete */
        VEC_PUSH(p->arena, &t->results, name);
    } while (take(p, ','));
    return expect(p, '=', "behind the results");
}

static bool parse_result_types(struct parser *p, struct op_text *t) {
    if (!take(p, ':'))
        return true;
    do {
        const struct type *type = parse_type(p);
        if (!type)
            return false;
        VEC_PUSH(p->arena, &t->types, type);
    } while (take(p, ','));
    return true;
}

/* ---- ops ---- */

static void parse_block(struct parser *p, struct block *block);

static bool parse_params(struct parser *p, struct block *block) {
    if (!expect(p, '(', "behind region"))
        return false;
    while (!take(p, ')')) {
        if (block->param_count > 0 && !expect(p, ',', "between two parameters"))
            return false;
        const char *begin = (skip_space(p), p->at), *name = parse_value_name(p);
        if (!name || !expect(p, ':', "behind a parameter's name"))
            return false;
        if (map_has(&p->bindings, name))
            return fail(p, begin, "%%%s is made twice", name);
        const struct type *type = parse_type(p);
        if (!type)
            return false;
        bind(p, name, block_add_param(p->graph, block, type, NULL), block);
    }
    return true;
}

static bool parse_regions(struct parser *p, struct op *op) {
    while (take_word(p, "region")) {
        if (++p->depth > REGIONS_DEEP)
            return fail(p, p->at, "regions are nested more than %d deep", REGIONS_DEEP);
        struct block *region = op_add_region(p->graph, op);
        int errors = p->errors;
        if (!parse_params(p, region) || !expect(p, '{', "before a region's body"))
            return false;
        parse_block(p, region);
        p->depth--;
        if (p->errors > errors)
            return false;
    }
    return true;
}

/* Types the op and compares with what the text says. */
static bool check_op(struct parser *p, struct op *op, const struct op_text *t) {
    int errors = diags_error_count(p->diags);
    if (!op_infer(p->graph, op, p->diags)) {
        p->errors += diags_error_count(p->diags) - errors;
        return false;
    }
    for (int i = 0; i < t->types.count; i++)
        if (op->out[i]->type != t->types.at[i])
            return fail(p, t->begin, "result %d of %s is %s, not %s", i, opcode_text(op->code),
                        type_text(p->graph->types, op->out[i]->type),
                        type_text(p->graph->types, t->types.at[i]));
    return true;
}

static struct op *make_op(struct parser *p, struct op_text *t) {
    int count = t->results.count;
    if (t->types.count > 0 && t->types.count != count) {
        fail(p, t->begin, "%s has %d results, but %d types", opcode_text(t->code), count, t->types.count);
        return NULL;
    }
    for (int i = 0; i < t->attrs.count; i++)
        if (t->attrs.at[i].name == ATTR_data) {
            t->attrs.at[i].data = read_data(p, t->data, t->types.count ? t->types.at[0] : NULL);
            if (!t->attrs.at[i].data)
                return NULL;
        }
    struct site *site = ARENA_NEW(p->arena, struct site);
    skip_space(p);
    site->span = span_from(p, t->begin);
    site->span.end = (uint32_t)(p->token_end - p->source->text);
    return op_create(p->graph, t->code, t->in.at, t->in.count, t->attrs.at, t->attrs.count,
                     t->types.count ? t->types.at : NULL, count, site);
}

static bool parse_op_head(struct parser *p, struct op_text *t, const struct block *block) {
    t->begin = (skip_space(p), p->at);
    if (!parse_results(p, t))
        return false;
    const char *begin;
    size_t length = word(p, &begin);
    if (length == 0 || !opcode_find(begin, length, &t->code)) {
        p->at = begin;
        const char *other = found(p);
        return fail(p, begin, "an operator is wanted, not %s", other);
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
            return fail(p, t.begin, "the types of a call's results must be declared");
        VEC_PUSH(p->arena, &p->calls, ((struct pending_call){op, t.callee, t.callee_span}));
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
    for (p->at = begin; p->at < p->end; p->at++) {
        char c = *p->at;
        if (c == '"')
            quoted = !quoted;
        if (c == '/' && !quoted && p->at[1] == '/') /* the text ends in a zero byte */
            p->at += strcspn(p->at, "\n") - 1;
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
    const char *opened = p->at - 1;
    while (!peek(p, '}')) {
        if (p->at == p->end) {
            fail(p, opened, "a block has no end");
            return;
        }
        if (p->errors >= ERRORS_MOST)
            return;
        const char *begin = p->at;
        int depth = p->depth;
        if (!parse_op(p, block)) {
            p->depth = depth;
            skip_op(p, begin);
        }
    }
    p->at++;
    if (!block_yield(block) && p->errors == 0)
        fail(p, opened, "a block does not end in a yield");
}

/* ---- what a graph consists of ---- */

static bool parse_state(struct parser *p) {
    const char *begin = p->at;
    if (!expect(p, '@', "before the name of a state"))
        return false;
    const char *name = parse_name(p, "the name of a state");
    if (!name)
        return false;
    if (graph_find_state(p->graph, name))
        return fail(p, begin, "there are two states `%s`", name);
    const struct type *type = expect(p, ':', "behind the name of a state") ? parse_type(p) : NULL;
    if (!type)
        return false;
    struct site *site = ARENA_NEW(p->arena, struct site);
    site->span = span_from(p, begin);
    for (int kind = STATE_WEIGHT; kind <= STATE_RUN; kind++)
        if (take_word(p, state_kind_text((enum state_kind)kind))) {
            struct state *state = graph_add_state(p->graph, name, (enum state_kind)kind, type, site);
            state->trainable = kind == STATE_WEIGHT && !take_word(p, "frozen");
            return true;
        }
    const char *other = found(p);
    return fail(p, p->at, "weight, buffer or run is wanted, not %s", other);
}

static bool parse_precondition(struct parser *p) {
    const char *begin = p->at;
    struct precondition precondition = {.dim = parse_dim(p, "%")};
    if (!precondition.dim || !expect(p, '%', "behind a size") || !parse_int(p, &precondition.multiple))
        return false;
    if (precondition.multiple < 1)
        return fail(p, begin, "a multiple of %lld is no precondition", (long long)precondition.multiple);
    struct site *site = ARENA_NEW(p->arena, struct site);
    site->span = span_from(p, begin);
    precondition.site = site;
    if (peek(p, '"') && !(precondition.message = parse_string(p)))
        return false;
    dim_assume_multiple(p->graph->types, precondition.dim, precondition.multiple);
    VEC_PUSH(p->arena, &p->graph->preconditions, precondition);
    return true;
}

/* (mean, _, logvar): the names of the results. */
static bool parse_result_names(struct parser *p, struct function *function, int *count) {
    VEC(const char *) names = {0};
    if (!expect(p, '(', "behind a function's name"))
        return false;
    while (!take(p, ')')) {
        if (names.count > 0 && !expect(p, ',', "between two results"))
            return false;
        const char *name = take_word(p, "_") ? "" : parse_name(p, "the name of a result");
        if (!name)
            return false;
        VEC_PUSH(p->arena, &names, name);
    }
    function->result_names = names.at;
    *count = names.count;
    return true;
}

static bool parse_function(struct parser *p, enum function_kind kind) {
    const char *begin = (skip_space(p), p->at), *name = parse_name(p, "a function's name");
    if (!name)
        return false;
    if (graph_find_function(p->graph, name))
        return fail(p, begin, "there are two functions `%s`", name);
    struct site *site = ARENA_NEW(p->arena, struct site);
    site->span = span_from(p, begin);
    struct function *function = graph_add_function(p->graph, name, kind, site);
    map_init(&p->bindings, p->arena);
    int names = 0;
    if (!parse_result_names(p, function, &names) ||
        (take_word(p, "region") && !parse_params(p, function->body)) ||
        !expect(p, '{', "before a function's body"))
        return false;
    parse_block(p, function->body);
    const struct op *yield = block_yield(function->body);
    if (p->errors == 0 && names > 0 && names != yield->in_count)
        return fail(p, begin, "`%s` names %d results, but yields %d", name, names, yield->in_count);
    return true;
}

static bool parse_item(struct parser *p) {
    if (take_word(p, "state"))
        return parse_state(p);
    if (take_word(p, "require"))
        return parse_precondition(p);
    for (int kind = FUNCTION_FN; kind <= FUNCTION_EXPRESSION; kind++)
        if (take_word(p, function_kind_text((enum function_kind)kind)))
            return parse_function(p, (enum function_kind)kind);
    const char *other = found(p);
    return fail(p, p->at, "a state or a function is wanted, not %s", other);
}

static bool resolve_calls(struct parser *p) {
    for (int i = 0; i < p->calls.count; i++) {
        const struct pending_call *call = &p->calls.at[i];
        struct function *callee = graph_find_function(p->graph, call->name);
        if (!callee) {
            diag_error(p->diags, call->span, E_IR, "there is no function `%s`", call->name);
            p->errors++;
            continue;
        }
        op_set_attr(p->graph, call->op, (struct attr){.name = ATTR_function, .function = callee});
    }
    return p->errors == 0;
}

struct graph *graph_parse(struct arena *arena, struct types *types, struct interner *names,
                          const struct source *source, struct diags *diags) {
    struct parser p = {.arena = arena,
                       .source = source,
                       .at = source->text,
                       .end = source->text + source->length,
                       .diags = diags};
    p.graph = graph_create(arena, types, names, "");
    if (!take_word(&p, "graph")) {
        const char *other = found(&p);
        fail(&p, p.at, "`graph NAME` is wanted, not %s", other);
        return NULL;
    }
    const char *name = parse_name(&p, "the graph's name");
    if (!name)
        return NULL;
    p.graph->name = name;
    /* A mistake outside of bodies ends the run: what follows could mean anything. */
    while (skip_space(&p), p.at < p.end)
        if (!parse_item(&p) || p.errors >= ERRORS_MOST)
            break;
    if (p.errors > 0 || !resolve_calls(&p) || !graph_verify(p.graph, diags, NULL))
        return NULL;
    return p.graph;
}
