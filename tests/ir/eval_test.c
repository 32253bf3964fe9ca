/* Every operator of the table on hand-computed cases, and what functions, states, loops and checks do. */
#include "support_eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* operands and results as numbers, one after the other, separated by ';'. Both modes must give the results,
 * which are therefore numbers that f32 holds, unless mode says otherwise. */
enum modes { BOTH, EXACT, F64 };
struct eval_case {
    const char *op, *use, *operands, *results;
    enum modes mode;
};

static const struct eval_case cases[] = {
    /* arithmetic and broadcasting */
    {"add", "f32[2,2], f32[2]", "1 2 3 4; 10 20", "11 22 13 24", BOTH},
    {"add", "f32[], f32[]", "1; 2", "3", BOTH},
    {"add", "f32[0,2], f32[2]", "; 1 2", "", BOTH},
    {"add", "i8[2], i8[]", "127 -128; 1", "-128 -127", BOTH},
    {"add", "u32[1], u32[1]", "4294967295; 2", "1", BOTH},
    {"add", "f32[1], f32[1]", "16777216; 1", "16777216", EXACT},
    {"add", "f32[1], f32[1]", "16777216; 1", "16777217", F64},
    {"add", "f16[1], f16[1]", "2048; 1", "2048", EXACT},
    {"add", "bf16[2], bf16[]", "256 258; 1", "256 260", EXACT},
    {"sub", "f32[2,1], f32[1,2]", "1 2; 10 20", "-9 -19 -8 -18", BOTH},
    {"mul", "i32[2], i32[2]", "65536 -3; 65536 4", "0 -12", BOTH},
    {"div", "f32[3], f32[3]", "1 -1 0; 0 0 0", "inf -inf nan", BOTH},
    {"div", "i32[6], i32[6]", "7 -7 7 -7 5 -2147483648; 2 2 -2 -2 0 -1", "3 -4 -4 3 0 -2147483648", BOTH},
    {"mod", "i32[5], i32[5]", "7 -7 7 -7 5; 3 3 -3 -3 0", "1 2 -2 -1 0", BOTH},
    {"mod", "f32[5], f32[5]", "5.5 -5.5 5.5 -5.5 1; 2 2 -2 -2 0", "1.5 0.5 -0.5 -1.5 nan", BOTH},
    {"pow", "f32[4], f32[4]", "2 -2 0 4; 3 3 0 0.5", "8 -8 1 2", BOTH},
    {"max", "f32[4], f32[4]", "1 nan 2 -1; 2 1 nan -1", "2 nan nan -1", BOTH},
    {"min", "f32[3], f32[]", "1 nan -inf; 0", "0 nan -inf", BOTH},
    {"max", "i32[2], i32[2]", "1 -5; 3 -7", "3 -5", BOTH},
    {"atan2", "f64[2], f64[2]", "0 1; -1 0", "3.141592653589793 1.5707963267948966", BOTH},
    {"neg", "i8[2]", "5 -128", "-5 -128", BOTH},
    {"abs", "f32[3]", "-1.5 0 nan", "1.5 0 nan", BOTH},
    {"sign", "f32[4]", "-2 0 3 nan", "-1 0 1 nan", BOTH},
    {"sign", "i32[3]", "-2 0 3", "-1 0 1", BOTH},
    {"floor", "f32[3]", "-1.5 1.5 2", "-2 1 2", BOTH},
    {"round", "f32[5]", "0.5 1.5 2.5 -0.5 -1.5", "0 2 2 0 -2", BOTH},
    {"exp", "f32[2]", "0 -inf", "1 0", BOTH},
    {"expm1", "f64[1]", "1e-20", "1e-20", BOTH},
    {"log", "f32[3]", "1 0 -1", "0 -inf nan", BOTH},
    {"log1p", "f64[1]", "1e-20", "1e-20", BOTH},
    {"sqrt", "f32[3]", "9 0 -1", "3 0 nan", BOTH},
    {"sin", "f64[1]", "0.5", "0.479425538604203", BOTH},
    {"cos", "f64[1]", "0.5", "0.8775825618903728", BOTH},
    {"tanh", "f64[1]", "0.5", "0.46211715726000975", BOTH},
    {"erf", "f64[1]", "0.5", "0.5204998778130465", BOTH},
    {"erfc", "f64[2]", "0.5 9", "0.4795001221869535 4.13703174651381e-37", BOTH},
    {"gelu", "f64[3]", "1 -9 0", "0.8413447460685429 -1.015729565358458e-18 0", BOTH},
    /* comparison, logic, bits */
    {"eq", "f32[3], f32[3]", "1 nan 0; 1 nan -0.0", "1 0 1", BOTH},
    {"ne", "f32[2], f32[2]", "1 nan; 1 nan", "0 1", BOTH},
    {"lt", "f32[3], f32[]", "1 2 nan; 2", "1 0 0", BOTH},
    {"le", "i32[3], i32[]", "1 2 3; 2", "1 1 0", BOTH},
    {"and", "bool[4], bool[4]", "0 0 1 1; 0 1 0 1", "0 0 0 1", BOTH},
    {"or", "bool[4], bool[4]", "0 0 1 1; 0 1 0 1", "0 1 1 1", BOTH},
    {"xor", "u8[2], u8[]", "255 1; 3", "252 2", BOTH},
    {"not", "bool[2]", "0 1", "1 0", BOTH},
    {"not", "u8[2]", "0 1", "255 254", BOTH},
    {"not", "i32[1]", "5", "-6", BOTH},
    {"shl", "u32[3], u32[3]", "1 3 1; 4 31 32", "16 2147483648 0", BOTH},
    {"shr", "i32[4], i32[4]", "-8 8 -8 8; 1 1 32 32", "-4 4 -1 0", BOTH},
    {"shr", "u32[2], u32[2]", "4294967295 8; 4 40", "268435455 0", BOTH},
    {"select", "bool[2,1], f32[2,2], f32[]", "1 0; 1 2 3 4; 9", "1 2 9 9", BOTH},
    {"cast", "f32[6] : i8[6]", "1.9 -1.9 200 -200 nan inf", "1 -1 127 -128 0 127", BOTH},
    {"cast", "f32[3] : i64[3]", "1e30 -1e30 3", "9223372036854775807 -9223372036854775808 3", BOTH},
    {"cast", "f32[3] : bool[3]", "0 0.5 nan", "0 1 1", BOTH},
    {"cast", "i32[2] : u8[2]", "-1 257", "255 1", BOTH},
    {"cast", "i64[1] : f32[1]", "16777217", "16777216", EXACT},
    {"cast", "f32[2] : f16[2]", "65520 0.1", "inf 0.0999755859375", EXACT},
    {"bitcast", "f32[2] : u32[2]", "1 -2", "1065353216 3221225472", BOTH},
    {"bitcast", "u32[1] : f32[1]", "1065353216", "1", BOTH},
    /* structure */
    {"reshape", "f32[2,3] : f32[3,2]", "1 2 3 4 5 6", "1 2 3 4 5 6", BOTH},
    {"reshape", "f32[1,1] : f32[]", "7", "7", BOTH},
    {"transpose", "f32[2,3] {perm = [1, 0]}", "1 2 3 4 5 6", "1 4 2 5 3 6", BOTH},
    {"transpose", "i32[2,1,2] {perm = [2, 0, 1]}", "1 2 3 4", "1 3 2 4", BOTH},
    {"broadcast", "f32[2] {axes = [0]} : f32[2,3]", "1 2", "1 1 1 2 2 2", BOTH},
    {"broadcast", "f32[1,2] {axes = [0, 2]} : f32[2,2,2]", "1 2", "1 2 1 2 1 2 1 2", BOTH},
    {"broadcast", "f32[] {axes = []} : f32[0]", "1", "", BOTH},
    {"slice", "f32[5] {start = [4], step = [-2]} : f32[3]", "0 1 2 3 4", "4 2 0", BOTH},
    {"slice", "f32[2,3] {start = [0, 1], step = [1, 1]} : f32[2,2]", "1 2 3 4 5 6", "2 3 5 6", BOTH},
    {"slice", "f32[3] {start = [3], step = [1]} : f32[0]", "1 2 3", "", BOTH},
    {"pad", "f32[3] {lo = [1], hi = [2], interior = [1], value = 9}", "1 2 3", "9 1 9 2 9 3 9 9", BOTH},
    {"pad", "f32[4] {lo = [-1], hi = [-1], interior = [0], value = 9}", "1 2 3 4", "2 3", BOTH},
    {"pad", "f32[0] {lo = [1], hi = [1], interior = [2], value = 9}", "", "9 9", BOTH},
    {"pad", "i32[1] {lo = [0], hi = [1], interior = [0], value = -1}", "5", "5 -1", BOTH},
    {"concat", "f32[2,1], f32[2,2] {axis = 1}", "1 2; 3 4 5 6", "1 3 4 2 5 6", BOTH},
    {"concat", "f32[1], f32[0], f32[2] {axis = 0}", "1; ; 2 3", "1 2 3", BOTH},
    {"dynamic_slice", "f32[4], i32[] : f32[2]", "1 2 3 4; 1", "2 3", BOTH},
    {"dynamic_slice", "f32[4], i32[] : f32[2]", "1 2 3 4; 9", "3 4", BOTH},
    {"dynamic_slice", "f32[2,2], i32[], i32[] : f32[1,1]", "1 2 3 4; -5; 1", "2", BOTH},
    {"dynamic_update", "f32[4], f32[2], i32[]", "1 2 3 4; 8 9; 3", "1 2 8 9", BOTH},
    {"gather", "f32[3,2], i32[2] {axis = 0, batch = 0}", "1 2 3 4 5 6; 2 0", "5 6 1 2", BOTH},
    {"gather", "f32[2,3], i32[] {axis = 1, batch = 0}", "1 2 3 4 5 6; 1", "2 5", BOTH},
    {"gather", "f32[2,3], i32[2] {axis = 1, batch = 1}", "1 2 3 4 5 6; 2 0", "3 4", BOTH},
    {"gather", "f32[2,2,2], i32[2,1] {axis = 2, batch = 1}", "1 2 3 4 5 6 7 8; 1 0", "2 4 5 7", BOTH},
    {"scatter", "f32[3], i32[3], f32[3] {axis = 0, batch = 0, kind = \"add\"}", "1 1 1; 0 2 0; 1 2 4",
     "6 1 3", BOTH},
    {"scatter", "f32[3], i32[3], f32[3] {axis = 0, batch = 0, kind = \"set\"}", "1 1 1; 0 2 0; 1 2 4",
     "4 1 2", BOTH},
    {"scatter", "f32[3], i32[3], f32[3] {axis = 0, batch = 0, kind = \"max\"}", "1 1 3; 0 2 0; 0 nan 4",
     "4 1 nan", BOTH},
    {"scatter", "i32[2,2], i32[2], i32[2] {axis = 1, batch = 1, kind = \"add\"}", "0 0 0 0; 1 0; 5 6",
     "0 5 6 0", BOTH},
    {"sort", "f32[5] {axis = 0, descending = 0}", "3 nan 1 2 1", "1 1 2 3 nan; 2 4 3 0 1", BOTH},
    {"sort", "f32[5] {axis = 0, descending = 1}", "3 nan 1 2 1", "3 2 1 1 nan; 0 3 2 4 1", BOTH},
    {"sort", "i32[2,2] {axis = 0, descending = 0}", "3 1 2 4", "2 1 3 4; 1 0 0 1", BOTH},
    {"windows", "f32[5] {window = [2], step = [2], dilation = [2]}", "0 1 2 3 4", "0 2 2 4", BOTH},
    {"windows", "f32[2,3] {window = [2, 2], step = [1, 1], dilation = [1, 1]}", "1 2 3 4 5 6",
     "1 2 4 5 2 3 5 6", BOTH},
    {"fold", "f32[2,2] {window = [2], step = [1], dilation = [1]} : f32[3]", "1 2 3 4", "1 5 4", BOTH},
    /* reductions */
    {"reduce", "f32[2,3] {axes = [1], kind = \"sum\"}", "1 2 3 4 5 6", "6 15", BOTH},
    {"reduce", "f32[2,3] {axes = [0, 1], kind = \"max\"}", "1 2 3 4 nan 6", "nan", BOTH},
    {"reduce", "f32[2,2] {axes = [0], kind = \"prod\"}", "1 2 3 4", "3 8", BOTH},
    {"reduce", "f32[0,2] {axes = [0], kind = \"sum\"}", "", "0 0", BOTH},
    {"reduce", "f32[0] {axes = [0], kind = \"min\"}", "", "inf", BOTH},
    {"reduce", "i32[0] {axes = [0], kind = \"max\"}", "", "-2147483648", BOTH},
    {"reduce", "i32[0] {axes = [0], kind = \"prod\"}", "", "1", BOTH},
    {"reduce", "bool[2,2] {axes = [1], kind = \"max\"}", "0 0 0 1", "0 1", BOTH},
    {"reduce", "bool[2,2] {axes = [1], kind = \"min\"}", "1 0 1 1", "0 1", BOTH},
    {"reduce", "bool[0] {axes = [0], kind = \"min\"}", "", "1", BOTH},
    {"reduce", "i8[3] {axes = [0], kind = \"sum\"}", "100 100 100", "44", BOTH},
    {"arg_reduce", "f32[2,3] {axis = 1, kind = \"max\"}", "1 3 3 5 nan 7", "1 1", BOTH},
    {"arg_reduce", "i32[2,2] {axis = 0, kind = \"min\"}", "1 2 1 0", "0 1", BOTH},
    {"scan", "f32[4] {axis = 0, kind = \"sum\", exclusive = 0, reverse = 0}", "1 2 3 4", "1 3 6 10", BOTH},
    {"scan", "f32[4] {axis = 0, kind = \"sum\", exclusive = 1, reverse = 1}", "1 2 3 4", "9 7 4 0", BOTH},
    {"scan", "f32[2,2] {axis = 0, kind = \"prod\", exclusive = 0, reverse = 0}", "1 2 3 4", "1 2 3 8", BOTH},
    {"scan", "i32[3] {axis = 0, kind = \"max\", exclusive = 1, reverse = 0}", "2 1 3", "-2147483648 2 2",
     BOTH},
    {"scan", "f32[3] {axis = 0, kind = \"min\", exclusive = 0, reverse = 1}", "2 1 3", "1 1 3", BOTH},
    /* contractions */
    {"dot", "f32[2,2], f32[2,2] {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}",
     "1 2 3 4; 5 6 7 8", "19 22 43 50", BOTH},
    {"dot", "f32[2,2], f32[2,2] {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [1]}",
     "1 2 3 4; 5 6 7 8", "23 31 34 46", BOTH},
    {"dot", "f32[2,3], f32[2,3] {lhs_batch = [0], rhs_batch = [0], lhs_contract = [1], rhs_contract = [1]}",
     "1 2 3 4 5 6; 1 1 1 2 2 2", "6 30", BOTH},
    {"dot", "f32[2], f32[3] {lhs_batch = [], rhs_batch = [], lhs_contract = [], rhs_contract = []}",
     "1 2; 1 10 100", "1 10 100 2 20 200", BOTH},
    {"dot", "f32[2,0], f32[0,1] {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}",
     "; ", "0 0", BOTH},
    {"dot", "i8[1,2], i8[2,1] {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}",
     "127 127; 127 127", "32258", BOTH},
    {"conv",
     "f32[1,1,4], f32[1,1,3] {stride = [1], pad_lo = [1], pad_hi = [1], dilation = [1], lhs_dilation = [1], "
     "groups = 1}",
     "1 2 3 4; 1 10 100", "210 321 432 43", BOTH},
    {"conv",
     "f32[1,1,4], f32[1,1,2] {stride = [2], pad_lo = [0], pad_hi = [1], dilation = [2], lhs_dilation = [1], "
     "groups = 1}",
     "1 2 3 4; 1 10", "31 3", BOTH},
    {"conv",
     "f32[1,1,2], f32[1,1,2] {stride = [1], pad_lo = [1], pad_hi = [1], dilation = [1], lhs_dilation = [2], "
     "groups = 1}",
     "1 2; 1 10", "10 1 20 2", BOTH},
    {"conv",
     "f32[1,1,4], f32[1,1,1] {stride = [1], pad_lo = [-1], pad_hi = [-1], dilation = [1], lhs_dilation = "
     "[1], groups = 1}",
     "1 2 3 4; 2", "4 6", BOTH},
    {"conv",
     "f32[1,2,2], f32[2,1,1] {stride = [1], pad_lo = [0], pad_hi = [0], dilation = [1], lhs_dilation = [1], "
     "groups = 2}",
     "1 2 3 4; 10 100", "10 20 300 400", BOTH},
    {"conv",
     "f32[1,1,2,2], f32[1,1,2,2] {stride = [1, 1], pad_lo = [0, 1], pad_hi = [0, 0], dilation = [1, 1], "
     "lhs_dilation = [1, 1], groups = 1}",
     "1 2 3 4; 1 10 100 1000", "3010 4321", BOTH},
    {"conv_wgrad",
     "f32[1,1,4], f32[1,1,4] {stride = [1], pad_lo = [1], pad_hi = [1], dilation = [1], lhs_dilation = [1], "
     "groups = 1} : "
     "f32[1,1,3]",
     "1 2 3 4; 1 10 100 1000", "3210 4321 432", BOTH},
    /* sources */
    {"iota", "{axis = 1} : i32[2,3]", "", "0 1 2 0 1 2", BOTH},
    {"dim", "{size = 7}", "", "7", BOTH},
};

static void run_case(struct fixture *f, const struct eval_case *c, enum eval_mode mode) {
    struct graph *graph = parsed(f, text_around(f, c->op, c->use));
    const struct function *function = graph->functions.at[0];
    const struct op *yield = block_yield(function->body);
    const struct type **types;
    int count = input_types(f, function, &types);
    struct tensor *inputs[4], *results[2];
    const char *operands = c->operands, *expected = c->results;
    for (int k = 0; k < count; k++)
        inputs[k] = numbers(f, types[k], next_part(f, &operands));
    struct eval *eval = eval_create(f->arena, graph, mode, f->diags);
    if (!eval_function(eval, function, inputs, count, results, NULL))
        fail_msg("%s(%s): %s", c->op, c->use, rendered(f));
    for (int k = 0; k < yield->in_count; k++) {
        struct strbuf why;
        strbuf_init(&why, f->arena);
        struct tensor *wanted = numbers(f, yield->in[k]->type, next_part(f, &expected));
        if (!compare_tensors(results[k], wanted, 1e-15, &why))
            fail_msg("%s(%s) of %s: result %d: %s", c->op, c->use, c->operands, k, why.text);
    }
}

static void every_case_gives_its_results(void **state) {
    struct fixture *f = *state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        if (cases[k].mode != F64)
            run_case(f, &cases[k], EVAL_EXACT);
        if (cases[k].mode != EXACT)
            run_case(f, &cases[k], EVAL_F64);
    }
}

/* All operators that have values of their own are in the cases; the others are in the functions below. */
static void every_operator_has_a_case(void **state) {
    (void)state;
    for (int code = 0; code < OP_COUNT; code++) {
        const char *name = op_infos[code].name;
        bool found = op_infos[code].fuse == FUSE_EFFECT || op_infos[code].fuse == FUSE_REGION;
        found |= code == OP_input || code == OP_const || code == OP_read || code == OP_random_bits ||
                 code == OP_random_fold || code == OP_stop_gradient;
        for (size_t k = 0; k < sizeof cases / sizeof *cases && !found; k++)
            found = strcmp(cases[k].op, name) == 0;
        if (!found)
            fail_msg("%s has no case", name);
    }
}

/* ---- whole functions ---- */

struct run {
    struct eval *eval;
    const struct function *function;
    struct tensor *results[4], *reports[4];
    bool ok;
};

/* Runs the first function of a text; inputs are given as in the cases. */
static struct run run_text(struct fixture *f, const char *text, const char *inputs_text) {
    struct graph *graph = parsed(f, text);
    struct run run = {.function = graph->functions.at[0],
                      .eval = eval_create(f->arena, graph, EVAL_EXACT, f->diags)};
    const struct type **types;
    struct tensor *inputs[4];
    int count = input_types(f, run.function, &types);
    for (int k = 0; k < count; k++)
        inputs[k] = numbers(f, types[k], next_part(f, &inputs_text));
    run.ok = eval_function(run.eval, run.function, inputs, count, run.results, run.reports);
    return run;
}

static void expect(struct fixture *f, const struct tensor *tensor, const char *text) {
    struct strbuf why;
    strbuf_init(&why, f->arena);
    assert_non_null(tensor);
    if (!compare_tensors(tensor, numbers(f, tensor->type, text), 0, &why))
        fail_msg("for %s: %s", text, why.text);
}

static void expect_error(struct fixture *f, const struct run *run, const char *message) {
    assert_false(run->ok);
    assert_int_equal(diags_error_count(f->diags), 1);
    assert_string_equal(diag_message(f->diags, 0), message);
    diags_clear(f->diags);
}

static void random_bits_are_philox(void **state) {
    struct fixture *f = *state;
    /* The known answers of Random123's kat_vectors: philox4x32-10 with all zeros. Element 4 begins the next
     * block. */
    struct run run = run_text(f,
                              "graph g\nfn f() {\n"
                              "%k = input {name = \"k\"} : u32[2]\n"
                              "%d = const {data = [0, 7]} : i32[2]\n"
                              "%b = random_bits(%k) : u32[5]\n"
                              "%r = random_fold(%k, %d) : u32[2,2]\n"
                              "yield(%b, %r)\n}\n",
                              "0 0");
    assert_true(run.ok);
    struct tensor *bits = run.results[0], *keys = run.results[1];
    assert_int_equal(bits->i[0], 0x6627e8d5);
    assert_int_equal(bits->i[1], 0xe169c58d);
    assert_int_equal(bits->i[2], 0xbc57ac4c);
    assert_int_equal(bits->i[3], 0x9b00dbd8);
    assert_int_not_equal(bits->i[4], bits->i[0]);
    assert_true(keys->i[0] != keys->i[2] && keys->i[1] != keys->i[3]);
}

static void loops_carry_and_stack_in_the_order_of_turns(void **state) {
    struct fixture *f = *state;
    static const char text[] =
        "graph g\nfn f() {\n"
        "%%lo = const {data = 2} : i32[]\n"
        "%%hi = const {data = 5} : i32[]\n"
        "%%s = const {data = 1} : i32[]\n"
        "%%k = const {data = 10} : i32[]\n"
        "%%r, %%y = loop(%%lo, %%hi, %%s, %%k) {reverse = %d, carried = 1} : i32[], i32[3] "
        "region(%%i: i32[], %%c: i32[], %%t: i32[]) {\n"
        "%%m = mul(%%c, %%t) : i32[]\n"
        "%%n = add(%%m, %%i) : i32[]\n"
        "yield(%%n, %%c)\n}\n"
        "yield(%%r, %%y)\n}\n";
    struct run up = run_text(f, arena_printf(f->arena, text, 0), "");
    assert_true(up.ok);
    expect(f, up.results[0], "1234");
    expect(f, up.results[1], "1 12 123");
    struct run down = run_text(f, arena_printf(f->arena, text, 1), "");
    assert_true(down.ok);
    expect(f, down.results[0], "1432");
    expect(f, down.results[1], "1 14 143");
}

static const char while_text[] = "graph g\nfn f() {\n"
                                 "%lo = const {data = 0} : i32[]\n"
                                 "%hi = input {name = \"n\"} : i32[]\n"
                                 "%s = const {data = 1} : f32[]\n"
                                 "%r = loop(%lo, %hi, %s) {reverse = 0, carried = 1} : f32[] "
                                 "region(%i: i32[], %c: f32[]) {\n"
                                 "%d = add(%c, %c) : f32[]\n"
                                 "yield(%d)\n} region(%j: i32[], %e: f32[]) {\n"
                                 "%m = const {data = 100} : f32[]\n"
                                 "%t = lt(%e, %m) : bool[]\n"
                                 "yield(%t)\n}\n"
                                 "yield(%r)\n}\n";

static void loops_stop_at_their_test_or_bound(void **state) {
    struct fixture *f = *state;
    static const char *const bounds[] = {"1000", "3", "0", "-4"}, *const wanted[] = {"128", "8", "1", "1"};
    for (int k = 0; k < 4; k++) {
        struct run run = run_text(f, while_text, bounds[k]);
        assert_true(run.ok);
        expect(f, run.results[0], wanted[k]);
    }
}

static const char branch_text[] = "graph g\nfn f() {\n"
                                  "%c = input {name = \"c\"} : bool[]\n"
                                  "%x = input {name = \"x\"} : f32[2]\n"
                                  "report(%x) {name = \"all\"}\n"
                                  "%a, %b = cond(%c, %x) : f32[2], f32[2] region(%y: f32[2]) {\n"
                                  "%n = neg(%y) : f32[2]\n"
                                  "report(%n) {name = \"negative\"}\n"
                                  "yield(%n, %n)\n} region(%q: f32[2]) {\n"
                                  "%z = add(%q, %q) : f32[2]\n"
                                  "yield(%q, %z)\n}\n"
                                  "%m = remat(%a, %b) : f32[2] region(%u: f32[2], %v: f32[2]) {\n"
                                  "%w = mul(%u, %v) : f32[2]\n"
                                  "yield(%w)\n}\n"
                                  "yield(%a, %b, %m)\n}\n";

static void one_side_of_a_branch_runs(void **state) {
    struct fixture *f = *state;
    struct run yes = run_text(f, branch_text, "1; 3 4"), no = run_text(f, branch_text, "0; 3 4");
    assert_true(yes.ok && no.ok);
    expect(f, yes.results[0], "-3 -4");
    expect(f, yes.results[1], "-3 -4");
    expect(f, yes.results[2], "9 16");
    expect(f, yes.reports[0], "3 4");
    expect(f, yes.reports[1], "-3 -4");
    expect(f, no.results[0], "3 4");
    expect(f, no.results[1], "6 8");
    assert_null(no.reports[1]);
}

static const char state_text[] = "graph g\nstate @w : f32[2] weight\nstate @run.step : i32[] run\nfn f() {\n"
                                 "%x = input {name = \"x\"} : f32[2]\n"
                                 "%w = read {state = @w} : f32[2]\n"
                                 "%y = add(%w, %x) : f32[2]\n"
                                 "write(%y) {state = @w}\n"
                                 "%c = lt(%w, %y) : bool[2]\n"
                                 "%a = reduce(%c) {axes = [0], kind = \"min\"} : bool[]\n"
                                 "check(%a) {message = \"x must be positive\"}\n"
                                 "yield(%w)\n}\n";

static void states_change_when_a_run_has_ended_well(void **state) {
    struct fixture *f = *state;
    struct graph *graph = parsed(f, state_text);
    const struct function *function = graph->functions.at[0];
    const struct state *w = graph_find_state(graph, "w");
    struct eval *eval = eval_create(f->arena, graph, EVAL_F64, f->diags);
    struct tensor *x = numbers(f, w->type, "1 2"), *bad = numbers(f, w->type, "1 -2"), *result;
    struct run run = {.ok = eval_function(eval, function, &x, 1, &result, NULL)};
    expect_error(f, &run, "w has no value");
    eval_set_state(eval, w, numbers(f, w->type, "10 20"));
    for (int k = 0; k < 3; k++)
        assert_true(eval_function(eval, function, &x, 1, &result, NULL));
    expect(f, result, "12 24");
    expect(f, eval_state(eval, w), "13 26");
    run.ok = eval_function(eval, function, &bad, 1, &result, NULL);
    expect_error(f, &run, "x must be positive");
    expect(f, eval_state(eval, w), "13 26");
    assert_null(eval_state(eval, graph_find_state(graph, "run.step")));
}

static void calls_run_composites(void **state) {
    struct fixture *f = *state;
    struct run run = run_text(f,
                              "graph g\nfn f() {\n"
                              "%x = input {name = \"x\"} : f32[2]\n"
                              "%y = call(%x) {function = twice} : f32[2]\n"
                              "%z = call(%y) {function = twice} : f32[2]\n"
                              "yield(%z)\n}\n"
                              "composite twice() region(%x: f32[2]) {\n"
                              "%y = add(%x, %x) : f32[2]\n"
                              "yield(%y)\n}\n",
                              "1 2");
    assert_true(run.ok);
    expect(f, run.results[0], "4 8");
}

static void mistakes_in_what_is_given_are_reported(void **state) {
    struct fixture *f = *state;
    struct run run =
        run_text(f, text_around(f, "gather", "f32[3], i32[1] {axis = 0, batch = 0}"), "1 2 3; 3");
    expect_error(f, &run, "the index 3 is not in 0..3");
    run =
        run_text(f, text_around(f, "scatter", "f32[3], i32[1], f32[1] {axis = 0, batch = 0, kind = \"add\"}"),
                 "1 2 3; -1; 1");
    expect_error(f, &run, "the index -1 is not in 0..3");
    struct graph *graph = parsed(f, text_around(f, "neg", "f32[3]"));
    struct eval *eval = eval_create(f->arena, graph, EVAL_F64, f->diags);
    struct tensor *wrong = numbers(f, type_scalar(f->types, DTYPE_f32), "1"), *result;
    run.ok = eval_function(eval, graph->functions.at[0], &wrong, 1, &result, NULL);
    expect_error(f, &run, "x0 has the type f32[3], and f32[] was given");
    run.ok = eval_function(eval, graph->functions.at[0], NULL, 0, &result, NULL);
    expect_error(f, &run, "f takes 1 inputs, 0 were given");
    graph = parsed(f, text_around(f, "neg", "f32[B]"));
    eval = eval_create(f->arena, graph, EVAL_F64, f->diags);
    run.ok = eval_function(eval, graph->functions.at[0], &wrong, 1, &result, NULL);
    expect_error(f, &run, "x0 has the type f32[B], and f32[] was given");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)
        TEST(every_case_gives_its_results),
        TEST(every_operator_has_a_case),
        TEST(random_bits_are_philox),
        TEST(loops_carry_and_stack_in_the_order_of_turns),
        TEST(loops_stop_at_their_test_or_bound),
        TEST(one_side_of_a_branch_runs),
        TEST(states_change_when_a_run_has_ended_well),
        TEST(calls_run_composites),
        TEST(mistakes_in_what_is_given_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
