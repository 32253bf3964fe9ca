/* The rules of simplify: each fires on its own example, and neither examples nor random graphs change their
 * values. */
#include "ir/eval.h"
#include "ir/text.h"
#include "passes/passes.h"
#include "passes/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena *arena, *scratch;
    struct types *types;
    struct interner *names;
    struct diags *diags;
    uint64_t seed;
};

static int setup(void **state) {
    struct arena *arena = arena_create();
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    *f = (struct fixture){
        arena, arena_create(), types_create(arena), interner_create(arena), diags_create(arena), 1};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    arena_destroy(f->scratch);
    arena_destroy(f->arena);
    return 0;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t random_word(struct fixture *f) {
    uint64_t z = f->seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int below(struct fixture *f, int n) {
    return (int)(random_word(f) % (uint64_t)n);
}

static const char *rendered(struct fixture *f) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    diags_render(f->diags, &out, false);
    return out.text ? out.text : "";
}

static const char *printed(struct fixture *f, const struct graph *graph) {
    struct strbuf out;
    strbuf_init(&out, f->arena);
    graph_print(graph, &out);
    return out.text;
}

/* ---- running ---- */

static struct tensor *random_tensor(struct fixture *f, const struct type *type) {
    struct tensor *tensor = tensor_create(f->arena, type);
    for (int64_t i = 0; i < type_elements(type); i++) {
        if (dtype_is_float(type->dtype))
            tensor->f[i] = (double)(float)((double)(random_word(f) >> 11) * 0x1p-51 - 2);
        else
            tensor->i[i] = below(f, type->dtype == DTYPE_bool ? 2 : 4);
    }
    return tensor;
}

/* The inputs of the first function, in order. */
static int make_inputs(struct fixture *f, const struct graph *graph, struct tensor **inputs) {
    int count = 0;
    FOR_EACH_OP (op, graph->functions.at[0]->body)
        if (op->code == OP_input)
            inputs[count++] = random_tensor(f, op->out[0]->type);
    return count;
}

static struct tensor **run(struct fixture *f, struct graph *graph, struct tensor *const *inputs, int count) {
    const struct function *function = graph->functions.at[0];
    struct tensor **results =
        ARENA_ARRAY(f->arena, struct tensor *, block_yield(function->body)->in_count + 1);
    struct eval *eval = eval_create(f->arena, graph, EVAL_EXACT, f->diags);
    if (!eval_function(eval, function, inputs, count, results, NULL))
        fail_msg("%s\n%s", printed(f, graph), rendered(f));
    return results;
}

static void expect_equal(struct fixture *f, const char *before, struct graph *graph,
                         struct tensor *const *want, struct tensor *const *have, double tolerance) {
    struct strbuf why;
    strbuf_init(&why, f->arena);
    for (int i = 0; i < block_yield(graph->functions.at[0]->body)->in_count; i++)
        if (!compare_tensors(have[i], want[i], tolerance, &why))
            fail_msg("result %d: %s\nbefore\n%s\nafter\n%s", i, why.text, before, printed(f, graph));
}

/* ---- examples ---- */

struct writer {
    struct fixture *f;
    struct strbuf inputs, ops;
    int count;
    const char *at;
};

static size_t type_length(const char *text) {
    size_t word = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789");
    return text[word] == '[' ? (size_t)(strchr(text, ']') + 1 - text) : 0;
}

/* One nested term as lines of IR text; gives its number. */
static int write_term(struct writer *w) {
    int operands[8], operand_count = 0;
    size_t length = type_length(w->at);
    if (length > 0) {
        strbuf_printf(&w->inputs, "  %%%d = input {name = \"x%d\"} : %.*s\n", w->count, w->count, (int)length,
                      w->at);
        w->at += length;
        return w->count++;
    }
    const char *name = w->at;
    length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    w->at += length;
    if (*w->at == '(') {
        do {
            w->at += 1;
            w->at += strspn(w->at, " ");
            operands[operand_count++] = write_term(w);
        } while (*w->at == ',');
        assert_true(*w->at++ == ')');
    }
    strbuf_printf(&w->ops, "  %%%d = %.*s", w->count, (int)length, name);
    for (int i = 0; i < operand_count; i++)
        strbuf_printf(&w->ops, "%s%%%d%s", i ? ", " : "(", operands[i], i == operand_count - 1 ? ")" : "");
    const char *rest = w->at;
    if (strncmp(w->at, " {", 2) == 0)
        w->at = strchr(w->at, '}') + 1;
    if (strncmp(w->at, " : ", 3) == 0)
        w->at += 3 + type_length(w->at + 3);
    strbuf_printf(&w->ops, "%.*s\n", (int)(w->at - rest), rest);
    return w->count++;
}

static const char *program_of(struct fixture *f, const char *example) {
    struct writer w = {.f = f, .at = example};
    strbuf_init(&w.inputs, f->arena);
    strbuf_init(&w.ops, f->arena);
    int result = write_term(&w);
    assert_true(*w.at == 0);
    return arena_printf(f->arena, "graph example\nfn f() {\n%s%s  yield(%%%d)\n}\n",
                        w.inputs.text ? w.inputs.text : "", w.ops.text, result);
}

static void every_rule_fires_on_its_example_and_keeps_the_value(void **state) {
    struct fixture *f = *state;
    struct rule_set sets[RULE_SETS];
    simplify_rules(sets);
    int index = 0, examples = 0, fired[200];
    for (int s = 0; s < RULE_SETS; s++)
        for (int i = 0; i < sets[s].count; i++, index++) {
            const struct rule *rule = &sets[s].rules[i];
            if (!rule->example)
                continue;
            examples++;
            const char *text = program_of(f, rule->example);
            const struct source *source = source_create(f->arena, "example", text, strlen(text));
            struct graph *graph = graph_parse(f->arena, f->types, f->names, source, f->diags);
            if (!graph)
                fail_msg("%s\n%s", text, rendered(f));
            struct tensor *inputs[8];
            int count = make_inputs(f, graph, inputs);
            struct tensor **want = run(f, graph, inputs, count);
            memset(fired, 0, sizeof(fired));
            struct rewrite_watch watch = {.fired = fired};
            if (rewrite_graph(graph, sets, RULE_SETS, f->diags, f->scratch, &watch) < 0 ||
                !graph_verify(graph, f->diags, "simplify"))
                fail_msg("%s\n%s", text, rendered(f));
            if (fired[index] == 0)
                fail_msg("%s does not fire on\n%s which became\n%s", rule->pattern, text, printed(f, graph));
            expect_equal(f, text, graph, want, run(f, graph, inputs, count), 1e-6);
            arena_reset(f->scratch);
        }
    assert_true(examples > 50 && index < 200);
}

/* Terms have no regions, and name no value twice: the rules without an example are met here. */
static const char without_example[] =
    "graph g\n"
    "fn f() {\n"
    "  %0 = input {name = \"x\"} : f32[3]\n"
    "  %1 = input {name = \"y\"} : f32[3]\n"
    "  %2 = input {name = \"i\"} : i32[3]\n"
    "  %3 = input {name = \"p\"} : bool[]\n"
    "  %4 = max(%0, %0) : f32[3]\n"
    "  %5 = min(%1, %1) : f32[3]\n"
    "  %6 = and(%2, %2) : i32[3]\n"
    "  %7 = or(%2, %2) : i32[3]\n"
    "  %8 = select(%3, %0, %0) : f32[3]\n"
    "  %9 = const {data = 1} : bool[]\n"
    "  %10 = const {data = 4} : i32[]\n"
    "  %11 = const {data = 2} : f32[]\n"
    "  %12 = const {data = 0} : i32[]\n"
    "  %13 = cond(%9, %0) : f32[3] region(%14: f32[3]) {\n"
    "    %15 = neg(%14) : f32[3]\n"
    "    yield(%15)\n"
    "  } region(%16: f32[3]) {\n"
    "    yield(%16)\n"
    "  }\n"
    "  %17, %18 = cond(%3, %0, %1, %11) : f32[3], f32[3] region(%19: f32[3], %20: f32[3], %21: f32[]) {\n"
    "    %22 = mul(%19, %21) : f32[3]\n"
    "    yield(%22, %20)\n"
    "  } region(%23: f32[3], %24: f32[3], %25: f32[]) {\n"
    "    yield(%23, %24)\n"
    "  }\n"
    "  %26 = loop(%10, %10, %0) {reverse = 0, carried = 1} : f32[3] region(%27: i32[], %28: f32[3]) {\n"
    "    %29 = neg(%28) : f32[3]\n"
    "    yield(%29)\n"
    "  }\n"
    "  %30, %31 = loop(%12, %10, %0, %1, %11) {reverse = 0, carried = 2} : f32[3], f32[3] "
    "region(%32: i32[], %33: f32[3], %34: f32[3], %35: f32[]) {\n"
    "    %36 = mul(%33, %35) : f32[3]\n"
    "    %37 = add(%36, %34) : f32[3]\n"
    "    yield(%37, %34)\n"
    "  }\n"
    "  yield(%4, %5, %6, %7, %8, %13, %17, %18, %26, %30, %31)\n"
    "}\n";

static void rules_without_an_example_fire_and_keep_the_value(void **state) {
    struct fixture *f = *state;
    struct rule_set sets[RULE_SETS];
    simplify_rules(sets);
    int fired[200] = {0}, index = 0;
    struct rewrite_watch watch = {.fired = fired};
    const struct source *source = source_create(f->arena, "text", without_example, strlen(without_example));
    struct graph *graph = graph_parse(f->arena, f->types, f->names, source, f->diags);
    if (!graph)
        fail_msg("%s", rendered(f));
    struct tensor *inputs[8];
    int count = make_inputs(f, graph, inputs);
    struct tensor **want = run(f, graph, inputs, count);
    if (rewrite_graph(graph, sets, RULE_SETS, f->diags, f->scratch, &watch) < 0 ||
        !graph_verify(graph, f->diags, "simplify"))
        fail_msg("%s", rendered(f));
    for (int s = 0; s < RULE_SETS; s++)
        for (int i = 0; i < sets[s].count; i++, index++)
            if (!sets[s].rules[i].example && fired[index] == 0)
                fail_msg("rule %d of set %d, %s, has no example and fires nowhere in\n%s", i, s,
                         sets[s].rules[i].pattern, without_example);
    expect_equal(f, without_example, graph, want, run(f, graph, inputs, count), 0);
}

/* ---- random graphs ---- */

/* Shapes that broadcast with each other; results of shape operators are brought back to one of them. */
static const int64_t shapes[][2] = {{3, 4}, {1, 4}, {3, 1}};

struct garden {
    struct fixture *f;
    struct builder b;
    VEC(struct value *) values; /* f32 */
};

static struct value *pick(struct garden *g) {
    return g->values.at[below(g->f, g->values.count)];
}

static struct value *random_constant(struct garden *g) {
    static const double numbers[] = {0, 1, -1, 2, 0.5, -4, 0.3, 1.7};
    double number = numbers[below(g->f, 8)];
    if (below(g->f, 2))
        return build_number(&g->b, DTYPE_f32, number);
    return build_full(&g->b, type_of_sizes(g->f->types, DTYPE_f32, 2, shapes[below(g->f, 3)]), number);
}

static struct value *random_map(struct garden *g) {
    static const enum opcode unary[] = {OP_neg, OP_abs, OP_tanh, OP_sin, OP_stop_gradient, OP_floor};
    static const enum opcode binary[] = {OP_add, OP_sub, OP_mul, OP_max, OP_min};
    struct value *x = pick(g), *y = below(g->f, 2) ? pick(g) : random_constant(g);
    switch (below(g->f, 5)) {
    case 0:
        return build_unary(&g->b, unary[below(g->f, 6)], x);
    case 1: {
        struct value *c = build_binary(&g->b, below(g->f, 2) ? OP_lt : OP_eq, x, y);
        return build_select(&g->b, below(g->f, 2) ? c : build_unary(&g->b, OP_not, c), pick(g), y);
    }
    case 2: /* a number that is not 0 */
        return build_div(&g->b, x, build_number(&g->b, DTYPE_f32, below(g->f, 2) ? 4 : 3));
    default: {
        enum opcode code = binary[below(g->f, 5)];
        return below(g->f, 2) ? build_binary(&g->b, code, x, y) : build_binary(&g->b, code, y, x);
    }
    }
}

static struct value *sized(struct garden *g, struct value *x, const int64_t *sizes) {
    const struct type *type = type_of_sizes(g->f->types, DTYPE_f32, 2, sizes);
    return build_reshape(&g->b, x, 2, type->dims);
}

static struct value *random_view(struct garden *g) {
    struct types *types = g->f->types;
    struct value *x = build_broadcast_to(&g->b, pick(g), type_of_sizes(types, DTYPE_f32, 2, shapes[0]));
    const struct dim *zero = dim_const(types, 0), *one = dim_const(types, 1);
    const int64_t flipped[] = {4, 3}, none[] = {0, 0};
    switch (below(g->f, 6)) {
    case 0:
        return sized(g, sized(g, x, flipped), shapes[0]);
    case 1: {
        struct value *turned = build_transpose(&g->b, x, (int64_t[]){1, 0});
        struct value *y = below(g->f, 2) ? build_unary(&g->b, OP_neg, turned) : turned;
        return build_transpose(&g->b, y, (int64_t[]){1, 0});
    }
    case 2: {
        struct value *y = build_pad(&g->b, x, (const struct dim *[]){one, zero},
                                    (const struct dim *[]){zero, one}, none, 0);
        return build_slice(&g->b, y, (const struct dim *[]){below(g->f, 2) ? one : zero, zero},
                           (int64_t[]){1, 1}, x->type->dims);
    }
    case 3: {
        struct value *y = build_broadcast_to(&g->b, pick(g), x->type);
        struct value *both = build_concat(&g->b, (struct value *[]){x, y}, 2, 0);
        const struct dim *start = dim_const(types, below(g->f, 4));
        return build_slice(&g->b, both, (const struct dim *[]){start, zero}, (int64_t[]){1, 1},
                           x->type->dims);
    }
    case 4: {
        const struct dim *last = dim_const(types, 3);
        return build_slice(&g->b, x, (const struct dim *[]){zero, last}, (int64_t[]){1, -1}, x->type->dims);
    }
    default: {
        int64_t axis = 0;
        struct value *y = build_reduce(&g->b, pick(g), below(g->f, 2) ? "sum" : "max", &axis, 1);
        return y && y->type->rank == 1
                   ? build_broadcast(&g->b, y, type_of_sizes(types, DTYPE_f32, 2, shapes[0]), (int64_t[]){1})
                   : x;
    }
    }
}

static struct graph *random_graph(struct fixture *f) {
    struct graph *graph = graph_create(f->arena, f->types, f->names, "random");
    struct function *function = graph_add_function(graph, "f", FUNCTION_FN, NULL);
    struct garden g = {.f = f};
    builder_init(&g.b, graph, function->body, f->diags);
    for (int i = 0; i < 3; i++)
        VEC_PUSH(f->arena, &g.values,
                 build_input(&g.b, arena_printf(f->arena, "x%d", i),
                             type_of_sizes(f->types, DTYPE_f32, 2, shapes[i])));
    for (int i = 0; i < 25; i++) {
        struct value *value = below(f, 3) ? random_map(&g) : random_view(&g);
        assert_non_null(value);
        VEC_PUSH(f->arena, &g.values, value);
    }
    struct value *results[4] = {VEC_LAST(&g.values), pick(&g), pick(&g), pick(&g)};
    build_yield(&g.b, results, 4);
    return graph;
}

static void random_graphs_keep_every_bit(void **state) {
    struct fixture *f = *state;
    int64_t before_count = 0, after_count = 0;
    for (int round = 0; round < 400; round++) {
        f->seed = (uint64_t)round * 7919;
        struct graph *graph = random_graph(f);
        assert_true(graph_verify(graph, f->diags, "the generator"));
        const char *before = printed(f, graph);
        struct tensor *inputs[3];
        int count = make_inputs(f, graph, inputs);
        struct tensor **want = run(f, graph, inputs, count);
        struct pass_context context = {.arena = f->arena, .scratch = f->scratch, .diags = f->diags};
        static pass_function *const passes[] = {simplify, cse, dce, simplify};
        for (int i = 0; i < 4; i++) {
            if (!passes[i](graph, &context) || !graph_verify(graph, f->diags, "the test"))
                fail_msg("%s\n%s\n%s", before, printed(f, graph), rendered(f));
            arena_reset(f->scratch);
        }
        expect_equal(f, before, graph, want, run(f, graph, inputs, count), 0);
        before_count += (int64_t)strlen(before);
        after_count += (int64_t)strlen(printed(f, graph));
    }
    assert_true(after_count < before_count * 3 / 4); /* something was simplified */
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(every_rule_fires_on_its_example_and_keeps_the_value),
        TEST(rules_without_an_example_fire_and_keep_the_value),
        TEST(random_graphs_keep_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
