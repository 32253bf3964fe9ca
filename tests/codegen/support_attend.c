#include "support_attend.h"

#include "ir/build.h"
#include "ir/text.h"
#include "passes/pipeline.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct writing {
    const struct attention_case *c;
    struct strbuf out;
    const char *dtype;
    int next; /* %number of the next value */
};

/* A line that makes a value; its number. */
__attribute__((format(printf, 2, 3))) static int line(struct writing *w, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    strbuf_printf(&w->out, "  %%%d = %s\n", w->next, text);
    return w->next++;
}

/* q, k, v or the weights of the sum as [B,h,rows,features]. */
static int operand(struct writing *w, const char *name, int rows, int features) {
    const struct attention_case *c = w->c;
    int b = c->batch, h = c->heads;
    if (c->layout == HEADS)
        return line(w, "input {name = \"%s\"} : %s[%d,%d,%d,%d]", name, w->dtype, b, h, rows, features);
    bool tokens = c->layout == TOKENS;
    int x = line(w, "input {name = \"%s\"} : %s[%d,%d,%d]", name, w->dtype, b, tokens ? rows : h * features,
                 tokens ? h * features : rows);
    int split = tokens ? line(w, "reshape(%%%d) : %s[%d,%d,%d,%d]", x, w->dtype, b, rows, h, features)
                       : line(w, "reshape(%%%d) : %s[%d,%d,%d,%d]", x, w->dtype, b, h, features, rows);
    return line(w, "transpose(%%%d) {perm = [%s]}", split, tokens ? "0, 2, 1, 3" : "0, 1, 3, 2");
}

static int mask_of(struct writing *w) {
    const struct attention_case *c = w->c;
    if (c->mask == OF_KEYS)
        return line(w, "input {name = \"mask\"} : bool[%d,1,1,%d]", c->batch, c->keys);
    if (c->mask == OF_ALL)
        return line(w, "input {name = \"mask\"} : bool[%d,%d]", c->queries, c->keys);
    int queries =
        line(w, "reshape(%%%d) : i32[%d,1]", line(w, "iota {axis = 0} : i32[%d]", c->queries), c->queries);
    int keys = line(w, "iota {axis = 0} : i32[%d]", c->keys);
    if (c->mask == CAUSAL)
        return line(w, "le(%%%d, %%%d)", keys, queries);
    return line(w, "le(%%%d, %%%d)", queries, keys);
}

static int masked(struct writing *w, int scores) {
    if (w->c->mask == NO_MASK)
        return scores;
    int mask = mask_of(w);
    return line(w, "select(%%%d, %%%d, %%%d)", mask, scores, line(w, "const {data = -inf} : %s[]", w->dtype));
}

static int bias_of(struct writing *w) {
    const struct attention_case *c = w->c;
    if (c->bias == BIAS_OF_HEADS)
        return line(w, "input {name = \"bias\"} : %s[%d,%d,%d]", w->dtype, c->heads, c->queries, c->keys);
    if (c->bias == BIAS_OF_ALL)
        return line(w, "input {name = \"bias\"} : %s[%d,%d,%d,%d]", w->dtype, c->batch, c->heads, c->queries,
                    c->keys);
    return line(w, "input {name = \"bias\"} : %s[%d,1,1,%d]", w->dtype, c->batch, c->keys);
}

static int softmax(struct writing *w, int x) {
    const struct attention_case *c = w->c;
    char rows[64];
    sprintf(rows, "%s[%d,%d,%d,1]", w->dtype, c->batch, c->heads, c->queries);
    int top = line(w, "reduce(%%%d) {axes = [3], kind = \"max\"}", x);
    top = line(w, "stop_gradient(%%%d)", line(w, "reshape(%%%d) : %s", top, rows));
    int e = line(w, "exp(%%%d)", line(w, "sub(%%%d, %%%d)", x, top));
    int sum = line(w, "reduce(%%%d) {axes = [3], kind = \"sum\"}", e);
    return line(w, "div(%%%d, %%%d)", e, line(w, "reshape(%%%d) : %s", sum, rows));
}

/* Back to the layout of the inputs. */
static int laid_out(struct writing *w, int x) {
    if (w->c->layout == HEADS)
        return x;
    return line(w, "transpose(%%%d) {perm = [%s]}", x, w->c->layout == TOKENS ? "0, 2, 1, 3" : "0, 1, 3, 2");
}

static int total(struct writing *w, int x, int y) {
    int product = line(w, "mul(%%%d, %%%d)", x, y);
    return line(w, "reduce(%%%d) {axes = [0, 1, 2, 3], kind = \"sum\"}", product);
}

static int cast(struct writing *w, int x, const char *dtype, int rows, int columns) {
    if (!w->c->products)
        return x;
    return line(w, "cast(%%%d) : %s[%d,%d,%d,%d]", x, dtype, w->c->batch, w->c->heads, rows, columns);
}

/* A product of the case's dtype. */
static int product(struct writing *w, int x, int y, int x_columns, int y_rows, int y_columns, bool of_rows) {
    const struct attention_case *c = w->c;
    int a = cast(w, x, c->products, c->queries, x_columns), b = cast(w, y, c->products, y_rows, y_columns);
    int dot = line(
        w,
        "dot(%%%d, %%%d) {lhs_batch = [0, 1], rhs_batch = [0, 1], lhs_contract = [3], rhs_contract = [%d]}",
        a, b, of_rows ? 2 : 3);
    return cast(w, dot, w->dtype, c->queries, of_rows ? y_columns : y_rows);
}

/* The gradients' numbers follow each other, from the one that is given. */
static int gradients(struct writing *w, int loss, const int *xs, int count) {
    int first = w->next;
    strbuf_printf(&w->out, "  %%%d", w->next++);
    for (int i = 1; i < count; i++)
        strbuf_printf(&w->out, ", %%%d", w->next++);
    strbuf_printf(&w->out, " = grad(%%%d", loss);
    for (int i = 0; i < count; i++)
        strbuf_printf(&w->out, ", %%%d", xs[i]);
    strbuf_puts(&w->out, ")\n");
    return first;
}

const char *attention_text(struct arena *arena, const struct attention_case *c,
                           enum attention_wanted wanted) {
    struct writing writing = {.c = c, .dtype = c->dtype ? c->dtype : "f32"}, *w = &writing;
    int xs[4], count = 3;
    strbuf_init(&w->out, arena);
    strbuf_puts(&w->out, "graph t\nfn f() {\n");
    xs[0] = operand(w, "q", c->queries, c->depth);
    xs[1] = operand(w, "k", c->keys, c->depth);
    xs[2] = operand(w, "v", c->keys, c->width);
    int s = product(w, xs[0], xs[1], c->depth, c->keys, c->depth, false);
    s = line(w, "mul(%%%d, %%%d)", s, line(w, "const {data = 0.3} : %s[]", w->dtype));
    if (c->bias)
        s = line(w, "add(%%%d, %%%d)", s, xs[count++] = bias_of(w));
    int o = product(w, softmax(w, masked(w, s)), xs[2], c->keys, c->keys, c->width, true);
    if (wanted == FORWARD_PASS) {
        strbuf_printf(&w->out, "  yield(%%%d)\n}\n", laid_out(w, o));
        return w->out.text;
    }
    int first = gradients(w, total(w, o, operand(w, "w", c->queries, c->width)), xs, count);
    if (wanted == SECOND_GRADIENT) {
        first = gradients(w, total(w, first, first), xs, 3);
        count = 3;
    }
    int results[4];
    for (int i = 0; i < count; i++)
        results[i] = i < 3 ? laid_out(w, first + i) : first + i;
    strbuf_puts(&w->out, "  yield(");
    for (int i = 0; i < count; i++)
        strbuf_printf(&w->out, "%s%%%d", i ? ", " : "", results[i]);
    strbuf_puts(&w->out, ")\n}\n");
    return w->out.text;
}

/* ---- through the passes ---- */

struct graph *attention_graph(struct arena *arena, const char *text, const char *until, bool with_attend,
                              const char **why) {
    struct diags *diags = diags_create(arena);
    const struct source *source = source_create(arena, "attention.ir", text, strlen(text));
    struct graph *graph = graph_parse(arena, types_create(arena), interner_create(arena), source, diags);
    struct pass_context context = {.arena = arena, .diags = diags, .verify = true};
    bool ok = graph != NULL;
    if (ok) {
        context.functions = graph->functions.at;
        context.function_count = graph->functions.count;
        context.skipped = with_attend ? 0 : 1u << (pipeline_find("attend") - pipeline);
        ok = pipeline_run(graph, &context, until);
    }
    if (ok)
        return graph;
    struct strbuf out;
    strbuf_init(&out, arena);
    diags_render(diags, &out, false);
    *why = out.text;
    return NULL;
}

static struct op *find_kernel(const struct block *block, int which, bool of_attention) {
    FOR_EACH_OP (op, block)
        if (op->code == OP_kernel && (!of_attention || strcmp(op_string(op, ATTR_kind), "attend") == 0) &&
            which-- == 0)
            return op;
    return NULL;
}

const char *attention_kernel(struct arena *arena, const char *text, int which, bool with_attend) {
    const char *why = NULL;
    struct graph *graph = attention_graph(arena, text, "fuse", with_attend, &why);
    struct op *kernel = graph ? find_kernel(graph->functions.at[0]->body, which, with_attend) : NULL;
    if (!kernel)
        return why;
    struct function *alone = graph_add_function(graph, "alone", FUNCTION_FN, &site_unknown);
    struct builder b;
    builder_init(&b, graph, alone->body, NULL);
    for (int i = 0; i < kernel->in_count; i++)
        op_set_in(kernel, i, build_input(&b, arena_printf(arena, "x%d", i), kernel->in[i]->type));
    struct op *copy = op_create(graph, OP_kernel, kernel->in, kernel->in_count, kernel->attrs,
                                kernel->attr_count, NULL, 0, kernel->site);
    copy->regions = kernel->regions;
    copy->region_count = kernel->region_count;
    kernel->region_count = 0;
    copy->regions[0]->owner = copy;
    copy->regions[0]->function = alone;
    for (int i = 0; i < kernel->out_count; i++)
        op_add_out(graph, copy, kernel->out[i]->type);
    op_append(copy, alone->body);
    build_yield(&b, copy->out, copy->out_count);
    alone->result_names = ARENA_ARRAY(arena, const char *, copy->out_count);
    for (int i = 0; i < copy->out_count; i++)
        alone->result_names[i] = "";
    graph->functions.at[0] = alone;
    graph->functions.count = 1;
    struct strbuf out;
    strbuf_init(&out, arena);
    graph_print(graph, &out);
    return out.text;
}
