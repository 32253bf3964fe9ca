/* ir/print.c: graphs to text; parse.c is the way back. */
#include "ir/text.h"

#include "base/map.h"
#include "ir/tensor.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static const char *const function_kinds[] = {
    [FUNCTION_FN] = "fn",
    [FUNCTION_TRAIN] = "train",
    [FUNCTION_INIT] = "init",
    [FUNCTION_COMPOSITE] = "composite",
    [FUNCTION_EXPRESSION] = "expression",
};
static const char *const state_kinds[] = {
    [STATE_WEIGHT] = "weight",
    [STATE_BUFFER] = "buffer",
    [STATE_RUN] = "run",
};

const char *function_kind_text(enum function_kind kind) {
    return function_kinds[kind];
}

const char *state_kind_text(enum state_kind kind) {
    return state_kinds[kind];
}

enum { LIST_MOST = 16 }; /* constants with more elements are printed as bytes */

struct printer {
    struct strbuf *out;
    struct map *numbers; /* value to its number + 1; NULL: by id */
    intptr_t next;
    int depth;
};

/* ---- words ---- */

static bool is_plain(const char *name) {
    if (!*name || strcmp(name, "_") == 0)
        return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '.')
            return false;
    return true;
}

static void print_string(struct strbuf *out, const char *text) {
    strbuf_putc(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_printf(out, "\\%c", *c);
        else if (*c == '\n')
            strbuf_puts(out, "\\n");
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            strbuf_printf(out, "\\x%02x", (unsigned char)*c);
        else
            strbuf_putc(out, *c);
    }
    strbuf_putc(out, '"');
}

static void print_name(struct strbuf *out, const char *name) {
    if (is_plain(name))
        strbuf_puts(out, name);
    else
        print_string(out, name);
}

/* ---- constants ---- */

static void print_element(struct strbuf *out, const struct tensor *tensor, int64_t i) {
    enum dtype dtype = tensor->type->dtype;
    if (!dtype_is_float(dtype))
        strbuf_printf(out, "%lld", (long long)tensor->i[i]);
    else if (dtype == DTYPE_f64)
        strbuf_double(out, tensor->f[i]);
    else
        strbuf_float(out, (float)tensor->f[i]);
}

/* Would reading the elements as numbers give these very bytes? Not those of every NaN. */
static bool is_printable(struct arena *arena, const struct data *data, const struct tensor *tensor) {
    int64_t bytes = type_bytes(data->type), count = type_elements(data->type);
    char *again = arena_alloc(arena, (size_t)bytes);
    for (int64_t i = 0; dtype_is_float(data->type->dtype) && i < count; i++)
        if (isnan(tensor->f[i]))
            tensor->f[i] = NAN;
    tensor_to_bytes(tensor, again);
    return memcmp(again, data->bytes, (size_t)bytes) == 0;
}

static void print_data(struct strbuf *out, const struct data *data) {
    int64_t count = type_elements(data->type), bytes = type_bytes(data->type);
    if (count == 0) {
        strbuf_puts(out, "[]");
        return;
    }
    if (count <= LIST_MOST) {
        struct tensor *tensor = tensor_from_bytes(out->arena, data->type, data->bytes);
        if (is_printable(out->arena, data, tensor)) {
            bool list = data->type->rank > 0;
            strbuf_puts(out, list ? "[" : "");
            for (int64_t i = 0; i < count; i++) {
                strbuf_puts(out, i ? ", " : "");
                print_element(out, tensor, i);
            }
            strbuf_puts(out, list ? "]" : "");
            return;
        }
    }
    strbuf_puts(out, "hex\"");
    for (int64_t i = 0; i < bytes; i++) {
        static const char digits[] = "0123456789abcdef";
        unsigned char byte = ((const unsigned char *)data->bytes)[i];
        strbuf_putc(out, digits[byte >> 4]);
        strbuf_putc(out, digits[byte & 15]);
    }
    strbuf_putc(out, '"');
}

/* ---- ops ---- */

static void print_attr(struct strbuf *out, const struct attr *attr) {
    strbuf_printf(out, "%s = ", attr_text(attr->name));
    switch (attr_kind(attr->name)) {
    case ATTR_INT:
        strbuf_printf(out, "%lld", (long long)attr->i);
        break;
    case ATTR_FLOAT:
        strbuf_double(out, attr->f);
        break;
    case ATTR_STRING:
        print_string(out, attr->string);
        break;
    case ATTR_DIM:
        dim_print(out, attr->dim);
        break;
    case ATTR_DATA:
        print_data(out, attr->data);
        break;
    case ATTR_STATE:
        strbuf_putc(out, '@');
        print_name(out, attr->state->name);
        break;
    case ATTR_FUNCTION:
        print_name(out, attr->function->name);
        break;
    case ATTR_INTS:
    case ATTR_DIMS:
        strbuf_putc(out, '[');
        for (int i = 0; i < attr->count; i++) {
            strbuf_puts(out, i ? ", " : "");
            if (attr_kind(attr->name) == ATTR_INTS)
                strbuf_printf(out, "%lld", (long long)attr->ints[i]);
            else
                dim_print(out, attr->dims[i]);
        }
        strbuf_putc(out, ']');
        break;
    }
}

static void print_value(struct printer *p, const struct value *value) {
    intptr_t number = value->id;
    if (p->numbers) {
        number = (intptr_t)map_find(p->numbers, value) - 1;
        if (number < 0) {
            number = p->next++;
            map_put(p->numbers, value, (void *)(number + 1));
        }
    }
    strbuf_printf(p->out, "%%%lld", (long long)number);
}

static void print_values(struct printer *p, struct value *const *values, int count) {
    for (int i = 0; i < count; i++) {
        strbuf_puts(p->out, i ? ", " : "");
        print_value(p, values[i]);
    }
}

static void print_type(struct printer *p, const struct value *value) {
    if (value->type)
        type_print(p->out, value->type);
    else
        strbuf_putc(p->out, '?'); /* an op that is being built, in a debugger */
}

static void print_indent(struct printer *p) {
    for (int i = 0; i < p->depth; i++)
        strbuf_puts(p->out, "  ");
}

static void print_op(struct printer *p, const struct op *op);

static void print_precondition(struct strbuf *out, const struct precondition *p) {
    strbuf_puts(out, "  require ");
    dim_print(out, p->dim);
    if (p->multiple)
        strbuf_printf(out, " %% %lld", (long long)p->multiple);
    else
        strbuf_puts(out, " >= 0");
    if (p->message) {
        strbuf_putc(out, ' ');
        print_string(out, p->message);
    }
    strbuf_putc(out, '\n');
}

static void print_block(struct printer *p, const struct block *block) {
    strbuf_puts(p->out, "{\n");
    const struct function *function = block->owner ? NULL : block->function;
    for (int i = 0; function && i < function->preconditions.count; i++)
        print_precondition(p->out, &function->preconditions.at[i]);
    p->depth++;
    FOR_EACH_OP (op, block) {
        print_indent(p);
        print_op(p, op);
        strbuf_putc(p->out, '\n');
    }
    p->depth--;
    print_indent(p);
    strbuf_putc(p->out, '}');
}

static void print_region(struct printer *p, const struct block *region) {
    strbuf_puts(p->out, " region(");
    for (int i = 0; i < region->param_count; i++) {
        strbuf_puts(p->out, i ? ", " : "");
        print_value(p, region->params[i]);
        strbuf_puts(p->out, ": ");
        print_type(p, region->params[i]);
    }
    strbuf_puts(p->out, ") ");
}

static void print_op(struct printer *p, const struct op *op) {
    if (op->out_count) {
        print_values(p, op->out, op->out_count);
        strbuf_puts(p->out, " = ");
    }
    strbuf_puts(p->out, opcode_text(op->code));
    if (op->in_count) {
        strbuf_putc(p->out, '(');
        print_values(p, op->in, op->in_count);
        strbuf_putc(p->out, ')');
    }
    for (int i = 0; i < op->attr_count; i++) {
        strbuf_puts(p->out, i ? ", " : " {");
        print_attr(p->out, &op->attrs[i]);
    }
    strbuf_puts(p->out, op->attr_count ? "}" : "");
    for (int i = 0; i < op->out_count; i++) {
        strbuf_puts(p->out, i ? ", " : " : ");
        print_type(p, op->out[i]);
    }
    for (int i = 0; i < op->region_count; i++) {
        print_region(p, op->regions[i]);
        print_block(p, op->regions[i]);
    }
}

void op_print(const struct op *op, struct strbuf *out) {
    struct printer p = {.out = out};
    print_op(&p, op);
}

/* ---- functions and graphs ---- */

void function_print(const struct function *function, struct strbuf *out) {
    struct map numbers;
    map_init(&numbers, out->arena);
    struct printer p = {.out = out, .numbers = &numbers};
    const struct op *yield = block_yield(function->body);
    strbuf_printf(out, "%s ", function_kind_text(function->kind));
    print_name(out, function->name);
    strbuf_putc(out, '(');
    for (int i = 0; function->result_names && yield && i < yield->in_count; i++) {
        const char *name = function->result_names[i];
        strbuf_puts(out, i ? ", " : "");
        if (name && *name)
            print_name(out, name);
        else
            strbuf_putc(out, '_');
    }
    strbuf_putc(out, ')');
    if (function->body->param_count)
        print_region(&p, function->body);
    else
        strbuf_putc(out, ' ');
    print_block(&p, function->body);
    strbuf_putc(out, '\n');
}

void graph_print(const struct graph *graph, struct strbuf *out) {
    strbuf_puts(out, "graph ");
    print_name(out, graph->name);
    strbuf_putc(out, '\n');
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        strbuf_puts(out, "state @");
        print_name(out, state->name);
        strbuf_puts(out, " : ");
        type_print(out, state->type);
        strbuf_printf(out, " %s", state_kind_text(state->kind));
        if (state->kind == STATE_WEIGHT && !state->trainable)
            strbuf_puts(out, " frozen");
        strbuf_putc(out, '\n');
    }
    for (int i = 0; i < graph->functions.count; i++)
        function_print(graph->functions.at[i], out);
}
