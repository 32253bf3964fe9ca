/* schedule, alias and plan_memory: what shares memory on purpose, what a listing says, and random programs
 * run by their plan against the evaluator. */
#include "support.h"

#include "ir/text.h"
#include "runtime/weft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct setting {
    struct arena *arena, *scratch;
    struct types *types;
    struct diags *diags;
    struct graph *graph;
    struct plan *plan;
};

static int set_up(void **state) {
    struct setting *s = calloc(1, sizeof(*s));
    s->arena = arena_create();
    s->scratch = arena_create();
    s->types = types_create(s->arena);
    s->diags = diags_create(s->arena);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct setting *s = *state;
    arena_destroy(s->scratch);
    arena_destroy(s->arena);
    free(s);
    return 0;
}

static void fail_with(struct setting *s, const char *text) {
    struct strbuf out;
    strbuf_init(&out, s->arena);
    diags_render(s->diags, &out, false);
    fputs(text, stderr);
    fail_msg("%s", out.text);
}

/* Parses, schedules, plans. */
static struct function_plan *plan_text(struct setting *s, const char *text) {
    const struct source *source = source_create(s->arena, "test", text, strlen(text));
    s->graph = graph_parse(s->arena, s->types, interner_create(s->arena), source, s->diags);
    if (!s->graph)
        fail_with(s, text);
    s->plan = plan_create(s->arena, s->graph);
    struct function *f = s->graph->functions.at[0];
    schedule_function(s->graph, f, s->scratch);
    struct function_plan *plan = alias_function(s->graph, f, s->plan, s->scratch);
    plan_memory_function(plan, s->scratch);
    if (!graph_verify(s->graph, s->diags, "plan"))
        fail_with(s, text);
    return plan;
}

/* ---- what shares memory ---- */

#define NEST "{kind = \"nest\", name = \"k\"}"

static enum place_kind written_in(const struct function_plan *plan) {
    FOR_EACH_OP (op, plan->function->body)
        if (op->code == OP_write)
            return plan_place(plan, op->in[0])->kind;
    return PLACE_NONE;
}

static void an_update_is_written_into_the_state(void **state) {
    struct setting *s = *state;
    struct function_plan *plan =
        plan_text(s, "graph g\n"
                     "state @w : f32[100] weight\n"
                     "state @b : f32[7] buffer\n"
                     "state @m : f32[100] buffer\n"
                     "train f() {\n"
                     "  %0 = input {name = \"x\"} : f32[100]\n"
                     "  %1 = read {state = @w} : f32[100]\n"
                     "  %2 = kernel(%1, %0) " NEST " : f32[100] region(%3: f32[100], %4: f32[100]) {\n"
                     "    %5 = sub(%3, %4) : f32[100]\n"
                     "    yield(%5)\n  }\n"
                     "  %6 = kernel(%1) " NEST " : f32[100] region(%7: f32[100]) {\n"
                     "    %8 = neg(%7) : f32[100]\n"
                     "    yield(%8)\n  }\n"
                     "  write(%2) {state = @w}\n"
                     "  yield(%6)\n}\n");
    assert_int_equal(written_in(plan), PLACE_WEIGHTS);
    assert_int_equal(plan->arena_bytes,
                     0); /* the reader of the old weight was put first, the result is the caller's */
    assert_int_equal(s->plan->weights_bytes, 448);
    assert_int_equal(s->plan->state_bytes, 64 + 448);
    assert_int_equal(s->plan->state_offset[2], 64);
    assert_true(plan->writes_weights && !plan->reads_state && !plan->writes_state);
    assert_int_equal(plan->arguments.count, 4);
    assert_string_equal(plan->arguments.at[3].name, "result");
}

static void the_old_value_is_kept_for_a_late_reader(void **state) {
    struct setting *s = *state;
    struct function_plan *plan =
        plan_text(s, "graph g\n"
                     "state @w : f32[100] weight\n"
                     "train f() {\n"
                     "  %1 = read {state = @w} : f32[100]\n"
                     "  %2 = kernel(%1) " NEST " : f32[100] region(%3: f32[100]) {\n"
                     "    %5 = neg(%3) : f32[100]\n"
                     "    yield(%5)\n  }\n"
                     "  %6 = kernel(%2, %1) " NEST " : f32[100] region(%7: f32[100], %8: f32[100]) {\n"
                     "    %9 = add(%7, %8) : f32[100]\n"
                     "    yield(%9)\n  }\n"
                     "  write(%2) {state = @w}\n"
                     "  yield(%6)\n}\n");
    assert_int_equal(written_in(plan), PLACE_WORKSPACE);
    assert_int_equal(plan->arena_bytes, 448);
}

static void a_side_not_taken_keeps_the_state_without_a_copy(void **state) {
    struct setting *s = *state;
    struct function_plan *plan =
        plan_text(s, "graph g\n"
                     "state @w : f32[100] weight\n"
                     "train f() {\n"
                     "  %0 = input {name = \"c\"} : bool[]\n"
                     "  %1 = read {state = @w} : f32[100]\n"
                     "  %2 = cond(%0, %1) : f32[100] region(%3: f32[100]) {\n"
                     "    %4 = kernel(%3) " NEST " : f32[100] region(%5: f32[100]) {\n"
                     "      %6 = neg(%5) : f32[100]\n"
                     "      yield(%6)\n    }\n"
                     "    yield(%4)\n"
                     "  } region(%7: f32[100]) {\n"
                     "    yield(%7)\n  }\n"
                     "  write(%2) {state = @w}\n"
                     "  yield\n}\n");
    assert_int_equal(written_in(plan), PLACE_WEIGHTS);
    assert_int_equal(plan->arena_bytes, 0);
}

static void a_turn_overwrites_what_it_carries(void **state) {
    struct setting *s = *state;
    struct function_plan *plan = plan_text(
        s, "graph g\n"
           "fn f() {\n"
           "  %0 = input {name = \"x\"} : f32[100]\n"
           "  %1 = const {data = 0} : i32[]\n"
           "  %2 = const {data = 9} : i32[]\n"
           "  %3 = loop(%1, %2, %0) {reverse = 0, carried = 1} : f32[100] region(%4: i32[], %5: f32[100]) {\n"
           "    %6 = kernel(%5) " NEST " : f32[100] region(%7: f32[100]) {\n"
           "      %8 = neg(%7) : f32[100]\n"
           "      yield(%8)\n    }\n"
           "    yield(%6)\n  }\n"
           "  yield(%3)\n}\n");
    assert_int_equal(plan->arena_bytes,
                     64); /* the turn's index: the carried value is in the caller's result */
}

/* ---- the listing ---- */

static void the_listing_names_peak_bound_and_lines(void **state) {
    struct setting *s = *state;
    plan_text(
        s, "graph g\n"
           "fn f() {\n"
           "  %0 = input {name = \"x\"} : f32[1000]\n"
           "  %1 = kernel(%0) {kind = \"routine\", name = \"first\"} : f32[1000] region(%2: f32[1000]) {\n"
           "    %3 = neg(%2) : f32[1000]\n"
           "    yield(%3)\n  }\n"
           "  %4 = kernel(%1) {kind = \"routine\", name = \"second\"} : f32[1000] region(%5: f32[1000]) {\n"
           "    %6 = neg(%5) : f32[1000]\n"
           "    yield(%6)\n  }\n"
           "  yield(%4)\n}\n");
    struct strbuf out;
    strbuf_init(&out, s->arena);
    plan_print(s->plan, &out);
    assert_string_equal(
        out.text, "weights 0 B, state 0 B\n"
                  "f: peak 3.9 KB (4032 bytes), lower bound 3.9 KB, ratio 1.000, 1 buffers\n"
                  "        offset        size          live  type                      made by\n"
                  "             0      3.9 KB      1..2      f32[1000]                 first  test:4\n");
}

/* ---- random programs ---- */

enum kind { KIND_A, KIND_B, KIND_C }; /* f32[4,3], f32[12], bool[] */
static const char *const kinds[] = {"f32[4,3]", "f32[12]", "bool[]"};

struct scope {
    int count;
    struct {
        int id;
        enum kind kind;
    } at[64];
};

struct maker {
    struct strbuf *out;
    uint32_t seed;
    int next;
};

static int pick(struct maker *m, int n) {
    m->seed = m->seed * 1664525u + 1013904223u;
    return (int)((m->seed >> 8) % (uint32_t)n);
}

static void add(struct scope *s, int id, enum kind kind) {
    if (s->count < 64) {
        s->at[s->count].id = id;
        s->at[s->count++].kind = kind;
    }
}

/* A value of the kind; every scope has one of A and B. Late ones are likelier. */
static int any(struct maker *m, const struct scope *s, enum kind kind) {
    for (;;) {
        int i = pick(m, s->count);
        if (pick(m, 2))
            i = s->count - 1 - pick(m, s->count < 4 ? s->count : 4);
        if (s->at[i].kind == kind)
            return s->at[i].id;
    }
}

static bool has(const struct scope *s, enum kind kind) {
    for (int i = 0; i < s->count; i++)
        if (s->at[i].kind == kind)
            return true;
    return false;
}

/* y = a op b, or two results of both. */
static void make_elementwise(struct maker *m, struct scope *s) {
    enum kind k = pick(m, 2) ? KIND_A : KIND_B;
    const char *t = kinds[k], *op = pick(m, 2) ? "add" : "sub";
    int a = any(m, s, k), b = any(m, s, k), two = pick(m, 3) == 0, id = m->next;
    m->next += 6;
    strbuf_printf(m->out, "%%%d%s = kernel(%%%d, %%%d) " NEST " : %s%s%s region(%%%d: %s, %%%d: %s) {\n", id,
                  two ? arena_printf(m->out->arena, ", %%%d", id + 1) : "", a, b, t, two ? ", " : "",
                  two ? t : "", id + 2, t, id + 3, t);
    strbuf_printf(m->out, "%%%d = %s(%%%d, %%%d) : %s\n", id + 4, op, id + 2, id + 3, t);
    if (two)
        strbuf_printf(m->out, "%%%d = max(%%%d, %%%d) : %s\nyield(%%%d, %%%d)\n}\n", id + 5, id + 2, id + 3,
                      t, id + 4, id + 5);
    else
        strbuf_printf(m->out, "yield(%%%d)\n}\n", id + 4);
    add(s, id, k);
    if (two)
        add(s, id + 1, k);
}

/* Reads its operand from the other end. */
static void make_reversed(struct maker *m, struct scope *s) {
    int a = any(m, s, KIND_A), id = m->next;
    m->next += 3;
    strbuf_printf(m->out,
                  "%%%d = kernel(%%%d) " NEST " : f32[4,3] region(%%%d: f32[4,3]) {\n"
                  "%%%d = slice(%%%d) {start = [3, 2], step = [-1, -1]} : f32[4,3]\nyield(%%%d)\n}\n",
                  id, a, id + 1, id + 2, id + 1, id + 2);
    add(s, id, KIND_A);
}

static void make_reshape(struct maker *m, struct scope *s) {
    enum kind k = pick(m, 2) ? KIND_A : KIND_B;
    int id = m->next++;
    strbuf_printf(m->out, "%%%d = reshape(%%%d) : %s\n", id, any(m, s, k), kinds[1 - k]);
    add(s, id, 1 - k);
}

/* Whether the first element is positive. */
static void make_test(struct maker *m, struct scope *s) {
    int id = m->next;
    m->next += 6;
    strbuf_printf(
        m->out,
        "%%%d = kernel(%%%d) " NEST " : bool[] region(%%%d: f32[12]) {\n"
        "%%%d = reduce(%%%d) {axes = [0], kind = \"max\"} : f32[]\n%%%d = const {data = 0.5} : f32[]\n"
        "%%%d = lt(%%%d, %%%d) : bool[]\nyield(%%%d)\n}\n",
        id, any(m, s, KIND_B), id + 1, id + 2, id + 1, id + 3, id + 4, id + 3, id + 2, id + 4);
    add(s, id, KIND_C);
}

static void make_block(struct maker *m, struct scope *s, int ops, int depth);

/* Parameters of a region, in a scope of their own. */
static void make_params(struct maker *m, struct scope *inner, const enum kind *kind, int count,
                        bool has_index) {
    strbuf_puts(m->out, " region(");
    if (has_index)
        strbuf_printf(m->out, "%%%d: i32[]", m->next++);
    for (int i = 0; i < count; i++) {
        strbuf_printf(m->out, "%s%%%d: %s", i || has_index ? ", " : "", m->next, kinds[kind[i]]);
        add(inner, m->next++, kind[i]);
    }
    strbuf_puts(m->out, ") {\n");
}

static void make_yield(struct maker *m, const struct scope *s, const enum kind *kind, int count) {
    strbuf_puts(m->out, "yield(");
    for (int i = 0; i < count; i++)
        strbuf_printf(m->out, "%s%%%d", i ? ", " : "", any(m, s, kind[i]));
    strbuf_puts(m->out, ")\n}");
}

static int choose_operands(struct maker *m, const struct scope *s, int *ids, enum kind *kind, int count) {
    for (int i = 0; i < count; i++) {
        kind[i] = i < 2 ? (enum kind)i : pick(m, 2) ? KIND_A : KIND_B;
        ids[i] = any(m, s, kind[i]);
    }
    return count;
}

static void make_loop(struct maker *m, struct scope *s, int depth) {
    int ids[6], carried = 2 + pick(m, 2), first = m->next;
    enum kind kind[6];
    int count = choose_operands(m, s, ids, kind, carried + pick(m, 3));
    bool tested = pick(m, 3) == 0, stacks = !tested && pick(m, 2);
    int lo = first, hi = first + 1, out = first + 2;
    m->next += 2 + carried + 1;
    strbuf_printf(m->out, "%%%d = const {data = 1} : i32[]\n%%%d = const {data = %d} : i32[]\n", lo, hi,
                  stacks ? 4 : 1 + pick(m, 4));
    for (int i = 0; i < carried + stacks; i++)
        strbuf_printf(m->out, "%s%%%d", i ? ", " : "", out + i);
    strbuf_printf(m->out, " = loop(%%%d, %%%d", lo, hi);
    for (int i = 0; i < count; i++)
        strbuf_printf(m->out, ", %%%d", ids[i]);
    strbuf_printf(m->out, ") {carried = %d, reverse = %d} : ", carried, pick(m, 2));
    for (int i = 0; i < carried; i++)
        strbuf_printf(m->out, "%s%s", i ? ", " : "", kinds[kind[i]]);
    strbuf_puts(m->out, stacks ? ", f32[3,4,3]" : "");
    struct scope body = {0}, test = {0};
    make_params(m, &body, kind, count, true);
    make_block(m, &body, 2 + pick(m, 4), depth + 1);
    enum kind yields[4] = {kind[0], kind[1], kind[2]};
    yields[carried] = KIND_A; /* what is stacked */
    make_yield(m, &body, yields, carried + stacks);
    if (tested) {
        make_params(m, &test, kind, count, true);
        make_test(m, &test);
        strbuf_printf(m->out, "yield(%%%d)\n}", test.at[test.count - 1].id);
    }
    strbuf_puts(m->out, "\n");
    for (int i = 0; i < carried; i++)
        add(s, out + i, kind[i]);
}

static void make_cond(struct maker *m, struct scope *s, int depth) {
    int ids[6], results = 1 + pick(m, 3);
    enum kind kind[6], yields[3];
    if (!has(s, KIND_C))
        make_test(m, s);
    int condition = any(m, s, KIND_C), count = choose_operands(m, s, ids, kind, 2 + pick(m, 3)),
        out = m->next;
    m->next += results;
    for (int i = 0; i < results; i++) {
        yields[i] = pick(m, 2) ? KIND_A : KIND_B;
        strbuf_printf(m->out, "%s%%%d", i ? ", " : "", out + i);
    }
    strbuf_printf(m->out, " = cond(%%%d", condition);
    for (int i = 0; i < count; i++)
        strbuf_printf(m->out, ", %%%d", ids[i]);
    strbuf_puts(m->out, ") : ");
    for (int i = 0; i < results; i++)
        strbuf_printf(m->out, "%s%s", i ? ", " : "", kinds[yields[i]]);
    for (int side = 0; side < 2; side++) {
        struct scope inner = {0};
        make_params(m, &inner, kind, count, false);
        make_block(m, &inner, pick(m, 4), depth + 1);
        make_yield(m, &inner, yields, results);
    }
    strbuf_puts(m->out, "\n");
    for (int i = 0; i < results; i++)
        add(s, out + i, yields[i]);
}

static void make_block(struct maker *m, struct scope *s, int ops, int depth) {
    for (int i = 0; i < ops; i++) {
        int what = pick(m, depth < 2 ? 10 : 7);
        if (what < 4)
            make_elementwise(m, s);
        else if (what < 5)
            make_reversed(m, s);
        else if (what < 7)
            make_reshape(m, s);
        else if (what < 8)
            make_cond(m, s, depth);
        else
            make_loop(m, s, depth);
    }
}

/* Three states, all read; some are written, with anything. */
static const char *make_program(struct arena *arena, uint32_t seed) {
    struct strbuf out;
    strbuf_init(&out, arena);
    struct maker m = {&out, seed, 10};
    struct scope s = {0};
    strbuf_puts(&out,
                "graph g\nstate @p : f32[4,3] weight\nstate @q : f32[4,3] buffer\nstate @r : f32[12] weight\n"
                "train f() {\n%0 = input {name = \"x\"} : f32[4,3]\n%1 = input {name = \"y\"} : f32[12]\n"
                "%2 = input {name = \"c\"} : bool[]\n%3 = read {state = @p} : f32[4,3]\n"
                "%4 = read {state = @q} : f32[4,3]\n%5 = read {state = @r} : f32[12]\n");
    add(&s, 0, KIND_A), add(&s, 1, KIND_B), add(&s, 2, KIND_C), add(&s, 3, KIND_A), add(&s, 4, KIND_A),
        add(&s, 5, KIND_B);
    make_block(&m, &s, 3 + pick(&m, 12), 0);
    strbuf_printf(&out, "report(%%%d) {name = \"r\"}\n", any(&m, &s, KIND_B));
    if (pick(&m, 4))
        strbuf_printf(&out, "write(%%%d) {state = @p}\n", any(&m, &s, KIND_A));
    if (pick(&m, 4))
        strbuf_printf(&out, "write(%%%d) {state = @q}\n", any(&m, &s, KIND_A));
    if (pick(&m, 4))
        strbuf_printf(&out, "write(%%%d) {state = @r}\n", any(&m, &s, KIND_B));
    strbuf_printf(&out, "yield(%%%d, %%%d, %%%d)\n}\n", any(&m, &s, KIND_A), any(&m, &s, KIND_B),
                  any(&m, &s, KIND_A));
    return out.text;
}

/* The same random bytes for the evaluator and for the run by the plan. */
static struct tensor *fill(struct setting *s, const struct type *type, unsigned char *bytes, uint32_t *seed) {
    struct tensor *tensor = tensor_create(s->arena, type);
    for (int64_t i = 0; i < type_elements(type); i++) {
        *seed = *seed * 1664525u + 1013904223u;
        if (dtype_is_float(type->dtype))
            tensor->f[i] = (double)((int)(*seed >> 20) - 2048) / 1024;
        else
            tensor->i[i] = *seed >> 31;
    }
    tensor_to_bytes(tensor, bytes);
    return tensor;
}

static void expect_bytes(struct setting *s, const struct tensor *wanted, const unsigned char *bytes,
                         const char *what) {
    size_t size = (size_t)type_bytes(wanted->type);
    unsigned char *expected = arena_alloc(s->arena, size + 1);
    tensor_to_bytes(wanted, expected);
    if (memcmp(expected, bytes, size) != 0) {
        struct strbuf out;
        strbuf_init(&out, s->arena);
        graph_print(s->graph, &out);
        plan_print(s->plan, &out);
        fputs(out.text, stderr); /* fail_msg cuts long texts */
        fail_msg("%s differs", what);
    }
}

static void run_both(struct setting *s, const char *text, const struct function_plan *f, uint32_t seed) {
    struct plan_run run;
    struct tensor *inputs[8], *results[8], *reports[8];
    int input_count = 0, result = 0, report = 0;
    plan_run_init(&run, s->arena, s->graph, s->plan, f->function, s->diags);
    struct eval *eval = eval_create(s->arena, s->graph, EVAL_EXACT, s->diags);
    for (int i = 0; i < s->graph->states.count; i++) {
        const struct state *st = s->graph->states.at[i];
        eval_set_state(eval, st, fill(s, st->type, plan_run_state(&run, st), &seed));
    }
    for (int i = 0; i < f->arguments.count; i++)
        if (f->arguments.at[i].role == WEFT_INPUT)
            inputs[input_count++] = fill(s, f->arguments.at[i].type, run.args[i], &seed);
    if (!eval_function(eval, f->function, inputs, input_count, results, reports) || !plan_run(&run))
        fail_with(s, text);
    for (int i = 0; i < f->arguments.count; i++) {
        const struct plan_argument *arg = &f->arguments.at[i];
        if (arg->role == WEFT_RESULT)
            expect_bytes(s, results[result++], run.args[i], arg->name);
        if (arg->role == WEFT_REPORT)
            expect_bytes(s, reports[report++], run.args[i], arg->name);
    }
    for (int i = 0; i < s->graph->states.count; i++) {
        const struct state *st = s->graph->states.at[i];
        expect_bytes(s, eval_state(eval, st), plan_run_state(&run, st), st->name);
    }
}

static void random_programs_run_by_their_plan(void **state) {
    (void)state;
    double worst = 1;
    for (uint32_t seed = 1; seed <= 400; seed++) {
        void *fresh;
        set_up(&fresh);
        struct setting *s = fresh;
        const char *text = make_program(s->arena, seed * 7919);
        struct function_plan *f = plan_text(s, text);
        for (uint32_t run = 0; run < 2; run++)
            run_both(s, text, f, seed + 1000 * run);
        double ratio = f->lower_bound ? (double)f->arena_bytes / (double)f->lower_bound : 1;
        worst = ratio > worst ? ratio : worst;
        tear_down(&fresh);
    }
    assert_true(worst < 1.2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(an_update_is_written_into_the_state),
        TEST(the_old_value_is_kept_for_a_late_reader),
        TEST(a_side_not_taken_keeps_the_state_without_a_copy),
        TEST(a_turn_overwrites_what_it_carries),
        TEST(the_listing_names_peak_bound_and_lines),
        cmocka_unit_test(random_programs_run_by_their_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
