/* schedule, alias and plan_memory: what shares memory on purpose, what a listing says, and random programs
 * run by their plan against the evaluator. */
#include "passes/passes.h"
#include "passes/plan_run.h"
#include "random_program.h"

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

/* %1 is made by a routine, and dies at a nest with the given region, whose result another routine reads. */
static int64_t arena_of_nest(struct setting *s, const char *region) {
    const char *text = arena_printf(
        s->arena,
        "graph g\n"
        "fn f() {\n"
        "  %%0 = input {name = \"x\"} : f32[16,16]\n"
        "  %%1 = kernel(%%0) {kind = \"routine\", name = \"first\"} : f32[16,16] region(%%2: f32[16,16]) {\n"
        "    %%3 = neg(%%2) : f32[16,16]\n"
        "    yield(%%3)\n  }\n"
        "  %%4 = kernel(%%1) " NEST " : f32[16,16] region(%%5: f32[16,16]) {\n%s    yield(%%9)\n  }\n"
        "  %%10 = kernel(%%4) {kind = \"routine\", name = \"last\"} : f32[16] region(%%11: f32[16,16]) {\n"
        "    %%12 = reduce(%%11) {axes = [0], kind = \"sum\"} : f32[16]\n"
        "    yield(%%12)\n  }\n"
        "  yield(%%10)\n}\n",
        region);
    return plan_text(s, text)->arena_bytes;
}

/* A row is read whole before any of it is written; where an element needs the sum of another row, it is not.
 */
static void rows_are_written_over_rows(void **state) {
    struct setting *s = *state;
    enum { ONE = 1024, TWO = 2048 };
    assert_int_equal(arena_of_nest(s, "    %6 = reduce(%5) {axes = [1], kind = \"sum\"} : f32[16]\n"
                                      "    %7 = reshape(%6) : f32[16,1]\n"
                                      "    %8 = sqrt(%7) : f32[16,1]\n"
                                      "    %9 = div(%5, %8) : f32[16,16]\n"),
                     ONE);
    assert_int_equal(arena_of_nest(s, "    %6 = reduce(%5) {axes = [0], kind = \"sum\"} : f32[16]\n"
                                      "    %9 = sub(%5, %6) : f32[16,16]\n"),
                     ONE);
    assert_int_equal(arena_of_nest(s, "    %6 = reduce(%5) {axes = [1], kind = \"max\"} : f32[16]\n"
                                      "    %9 = sub(%5, %6) : f32[16,16]\n"),
                     TWO); /* the maximum of row j at column j */
    assert_int_equal(arena_of_nest(s, "    %6 = reduce(%5) {axes = [1], kind = \"sum\"} : f32[16]\n"
                                      "    %7 = broadcast(%6) {axes = [0]} : f32[16,16]\n"
                                      "    %9 = mul(%5, %7) : f32[16,16]\n"),
                     ONE);
    assert_int_equal(arena_of_nest(s, "    %6 = reduce(%5) {axes = [1], kind = \"sum\"} : f32[16]\n"
                                      "    %7 = reduce(%5) {axes = [0], kind = \"sum\"} : f32[16]\n"
                                      "    %8 = sub(%5, %7) : f32[16,16]\n"
                                      "    %13 = reshape(%6) : f32[16,1]\n"
                                      "    %9 = mul(%8, %13) : f32[16,16]\n"),
                     TWO); /* two kinds of rows */
    assert_int_equal(arena_of_nest(s, "    %6 = reshape(%5) : f32[64,4]\n"
                                      "    %7 = reduce(%6) {axes = [1], kind = \"sum\"} : f32[64]\n"
                                      "    %8 = reshape(%7) : f32[64,1]\n"
                                      "    %13 = sub(%6, %8) : f32[64,4]\n"
                                      "    %9 = reshape(%13) : f32[16,16]\n"),
                     TWO); /* a sum of four terms is an expression, asked for at each element */
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

/* Plans it again in three quarters of the memory; NULL: it does not fit. */
static struct function_plan *plan_in_less(struct setting *s, const char *text, int64_t memory) {
    struct function *f = s->graph->functions.at[0];
    struct pass_context context = {
        .arena = s->arena, .scratch = s->scratch, .diags = s->diags, .functions = &f, .function_count = 1};
    context.memory = memory;
    s->plan = plan_create(s->arena, s->graph);
    if (!rematerialise(s->graph, &context) || !graph_verify(s->graph, s->diags, "rematerialise"))
        fail_with(s, text);
    struct function_plan *plan = alias_function(s->graph, f, s->plan, s->scratch);
    plan_memory_function(plan, s->scratch);
    return plan->arena_bytes <= memory ? plan : NULL;
}

static void random_programs_run_in_less_memory(void **state) {
    (void)state;
    int fitted = 0;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        void *fresh;
        set_up(&fresh);
        struct setting *s = fresh;
        const char *text = random_program(s->arena, seed * 104729);
        int64_t memory = plan_text(s, text)->arena_bytes * 3 / 4;
        struct function_plan *f = memory ? plan_in_less(s, text, memory) : NULL;
        fitted += f != NULL;
        if (f)
            run_both(s, text, f, seed);
        tear_down(&fresh);
    }
    assert_true(fitted > 10);
}

static void random_programs_run_by_their_plan(void **state) {
    (void)state;
    double worst = 1;
    for (uint32_t seed = 1; seed <= 400; seed++) {
        void *fresh;
        set_up(&fresh);
        struct setting *s = fresh;
        const char *text = random_program(s->arena, seed * 7919);
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
        TEST(rows_are_written_over_rows),
        TEST(the_listing_names_peak_bound_and_lines),
        cmocka_unit_test(random_programs_run_by_their_plan),
        cmocka_unit_test(random_programs_run_in_less_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
