/* Kernels of kind nest and routine: each function of plain operators becomes one kernel, is compiled for this
 * machine and for the baseline, and is compared with the evaluator. */
#include "base/map.h"
#include "codegen/lower.h"
#include "ir/eval.h"
#include "ir/graph.h"
#include "ir/text.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct session {
    struct arena *arena;
    struct diags *diags;
    struct types *types;
    uint64_t random;
};

static const char *rendered(struct session *s) {
    struct strbuf out;
    strbuf_init(&out, s->arena);
    diags_render(s->diags, &out, false);
    return out.text ? out.text : "";
}

static struct session session_open(void) {
    struct session s = {.arena = arena_create(), .random = 88172645463325252ull};
    s.diags = diags_create(s.arena);
    s.types = types_create(s.arena);
    return s;
}

static struct graph *parse(struct session *s, const char *body) {
    const char *text = arena_printf(s->arena, "graph test\nfn f() {\n%s\n}\n", body);
    const struct source *source = source_create(s->arena, "test.ir", text, strlen(text));
    struct graph *g = graph_parse(s->arena, s->types, interner_create(s->arena), source, s->diags);
    if (!g)
        fail_msg("%s", rendered(s));
    return g;
}

/* Moves all operators but the inputs into the region of one kernel. */
static struct op *as_kernel(struct session *s, struct graph *g, const char *kind) {
    struct block *body = g->functions.at[0]->body;
    struct op *yield = block_yield(body);
    VEC(struct value *) inputs = {0};
    const struct type **types = ARENA_ARRAY(s->arena, const struct type *, yield->in_count + 1);
    FOR_EACH_OP (op, body)
        if (op->code == OP_input)
            VEC_PUSH(s->arena, &inputs, op->out[0]);
    for (int i = 0; i < yield->in_count; i++)
        types[i] = yield->in[i]->type;
    struct attr attrs[] = {{.name = ATTR_kind, .string = intern(g->names, kind)},
                           {.name = ATTR_name, .string = intern(g->names, "test")}};
    struct op *kernel =
        op_create(g, OP_kernel, inputs.at, inputs.count, attrs, 2, types, yield->in_count, &site_unknown);
    struct block *region = op_add_region(g, kernel);
    struct map map;
    map_init(&map, s->arena);
    for (int i = 0; i < inputs.count; i++)
        map_put(&map, inputs.at[i], block_add_param(g, region, inputs.at[i]->type, NULL));
    struct value **results = ARENA_ARRAY(s->arena, struct value *, yield->in_count + 1);
    FOR_EACH_OP (op, body) {
        if (op->code == OP_input || op->code == OP_yield)
            continue;
        struct value **in = ARENA_ARRAY(s->arena, struct value *, op->in_count + 1);
        for (int i = 0; i < op->in_count; i++)
            in[i] = map_find(&map, op->in[i]);
        const struct type **out = ARENA_ARRAY(s->arena, const struct type *, op->out_count + 1);
        for (int i = 0; i < op->out_count; i++)
            out[i] = op->out[i]->type;
        struct op *copy =
            op_create(g, op->code, in, op->in_count, op->attrs, op->attr_count, out, op->out_count, op->site);
        op_append(copy, region);
        for (int i = 0; i < op->out_count; i++)
            map_put(&map, op->out[i], copy->out[i]);
    }
    for (int i = 0; i < yield->in_count; i++)
        results[i] = map_find(&map, yield->in[i]);
    op_append(op_create(g, OP_yield, results, yield->in_count, NULL, 0, NULL, 0, &site_unknown), region);
    return kernel;
}

static uint64_t random_word(struct session *s) {
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    return s->random ^= s->random << 17;
}

/* Floats in [-2, 2), integers in [0, 4) so that they serve as indices, bools. */
static struct tensor *random_tensor(struct session *s, const struct type *type) {
    struct tensor *t = tensor_create(s->arena, type);
    for (int64_t i = 0; i < type_elements(type); i++) {
        double u = (double)(random_word(s) >> 11) / 9007199254740992.0;
        if (dtype_is_float(type->dtype))
            t->f[i] = float_round(type->dtype, 4 * u - 2);
        else
            t->i[i] = type->dtype == DTYPE_bool ? u < 0.5 : (int64_t)(4 * u);
    }
    return t;
}

enum { GUARD = 64 };

static void *memory(struct session *s, const struct type *type) {
    char *p = arena_alloc(s->arena, (size_t)type_bytes(type) + 2 * GUARD);
    memset(p, 0x5A, (size_t)type_bytes(type) + 2 * GUARD);
    return p + GUARD;
}

static void assert_guards(const void *memory, const struct type *type) {
    const char *p = memory;
    for (int i = 0; i < GUARD; i++)
        assert_true(p[-1 - i] == 0x5A && p[type_bytes(type) + i] == 0x5A);
}

static void compare_on(struct session *s, const struct op *kernel, const char *cpu, struct tensor *const *in,
                       struct tensor *const *expected, double tolerance, const char *text) {
    const struct target *target = target_get(s->arena, cpu, s->diags);
    struct lowering l = {.arena = s->arena, .target = target, .diags = s->diags};
    struct loop_kernel *loops = ARENA_NEW(s->arena, struct loop_kernel);
    if (!lower_kernel(&l, kernel, loops))
        fail_msg("%s", rendered(s));
    if (getenv("WEFT_TEST_LOOPS")) {
        struct strbuf out;
        strbuf_init(&out, s->arena);
        for (int i = 0; i < loops->phases.count; i++)
            loops_print(loops->phases.at[i], &out);
        print_message("%s\n%s\n", text, out.text);
    }
    struct machine *m = machine_create(s->arena, target, loops, kernel->in_count + kernel->out_count);
    void **args = ARENA_ARRAY(s->arena, void *, kernel->in_count + kernel->out_count + 1);
    for (int i = 0; i < kernel->in_count; i++)
        tensor_to_bytes(in[i], args[i] = memory(s, kernel->in[i]->type));
    void **first = ARENA_ARRAY(s->arena, void *, kernel->out_count + 1);
    for (int reverse = 0; reverse < 2; reverse++) {
        for (int i = 0; i < kernel->out_count; i++)
            args[kernel->in_count + i] = memory(s, kernel->out[i]->type);
        machine_run(m, args, reverse);
        for (int i = 0; i < kernel->out_count; i++) {
            const struct type *type = kernel->out[i]->type;
            void *got = args[kernel->in_count + i];
            assert_guards(got, type);
            if (reverse)
                assert_memory_equal(first[i], got,
                                    (size_t)type_bytes(type)); /* the order of tasks is nobody's */
            first[i] = got;
            struct strbuf why;
            strbuf_init(&why, s->arena);
            if (!compare_tensors(tensor_from_bytes(s->arena, type, got), expected[i], tolerance, &why))
                fail_msg("%s, result %d of\n%s\n%s", cpu, i, text, why.text);
        }
    }
    for (int i = 0; i < kernel->in_count; i++)
        assert_guards(args[i], kernel->in[i]->type);
    machine_destroy(m);
}

/* Code for machines that are not this one: it can only be looked at. */
static void compile_for(struct session *s, const struct op *kernel, const char *cpu) {
    const struct target *target = target_get(s->arena, cpu, s->diags);
    struct lowering l = {.arena = s->arena, .target = target, .diags = s->diags};
    struct loop_kernel *loops = ARENA_NEW(s->arena, struct loop_kernel);
    assert_true(lower_kernel(&l, kernel, loops));
    machine_compiles(s->arena, target, loops, kernel->in_count + kernel->out_count);
}

static void check_within(const char *kind, const char *body, double tolerance) {
    struct session s = session_open();
    struct graph *g = parse(&s, body);
    struct op *kernel = as_kernel(&s, g, kind);
    struct tensor **in = ARENA_ARRAY(s.arena, struct tensor *, kernel->in_count + 1);
    struct tensor **expected = ARENA_ARRAY(s.arena, struct tensor *, kernel->out_count + 1);
    for (int i = 0; i < kernel->in_count; i++)
        in[i] = random_tensor(&s, kernel->in[i]->type);
    struct eval *eval = eval_create(s.arena, g, EVAL_EXACT, s.diags);
    if (!eval_function(eval, g->functions.at[0], in, kernel->in_count, expected, NULL))
        fail_msg("%s", rendered(&s));
    compare_on(&s, kernel, "native", in, expected, tolerance, body);
    compare_on(&s, kernel, "x86-64", in, expected, tolerance, body);
    compile_for(&s, kernel, "x86-64-v4");
    compile_for(&s, kernel, "aarch64");
    arena_destroy(s.arena);
}

static void check(const char *body) {
    check_within("nest", body, 2e-6);
}

static void elementwise(void **state) {
    (void)state;
    static const char *const sizes[] = {"0", "1", "7", "8", "31", "32", "33", "5,7", "3,1,9", "2,3,40"};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "%%0 = input {name = \"x\"} : f32[%s]\n%%1 = input {name = \"y\"} : f32[%s]\n%%2 = mul(%%0, "
                 "%%1) : f32[%s]\n"
                 "%%3 = exp(%%2) : f32[%s]\n%%4 = add(%%3, %%0) : f32[%s]\nyield(%%4, %%2)",
                 sizes[i], sizes[i], sizes[i], sizes[i], sizes[i]);
        check(text);
    }
}

static void broadcasts(void **state) {
    (void)state;
    check("%0 = input {name = \"x\"} : f32[6,10]\n%1 = input {name = \"b\"} : f32[10]\n%2 = input {name = "
          "\"c\"} : f32[6,1]\n"
          "%3 = const {data = 2.5} : f32[]\n%4 = add(%0, %1) : f32[6,10]\n%5 = mul(%4, %2) : f32[6,10]\n%6 = "
          "max(%5, %3) : f32[6,10]\nyield(%6)");
    check("%0 = input {name = \"x\"} : f32[2,3,4,5]\n%1 = input {name = \"b\"} : f32[3]\n"
          "%2 = broadcast(%1) {axes = [1]} : f32[2,3,4,5]\n%3 = add(%0, %2) : f32[2,3,4,5]\nyield(%3)");
}

static void views(void **state) {
    (void)state;
    check("%0 = input {name = \"x\"} : f32[5,6,7]\n%1 = transpose(%0) {perm = [2, 0, 1]} : "
          "f32[7,5,6]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[8,12]\n%1 = slice(%0) {start = [7, 1], step = [-2, 3]} : "
          "f32[4,3]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[3,40]\n%1 = slice(%0) {start = [0, 39], step = [1, -1]} : "
          "f32[3,40]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[3,70]\n%1 = slice(%0) {start = [0, 1], step = [1, 2]} : "
          "f32[3,34]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[3,4]\n%1 = pad(%0) {lo = [1, 0], hi = [2, -1], interior = [0, 1], "
          "value = 0.5} : f32[6,6]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[3,20]\n%1 = pad(%0) {lo = [1, 2], hi = [1, 3], interior = [0, 0], "
          "value = 0} : f32[5,25]\n%2 = exp(%1) : f32[5,25]\nyield(%2)");
    check("%0 = input {name = \"x\"} : f32[3,4]\n%1 = input {name = \"y\"} : f32[3,30]\n%2 = neg(%0) : "
          "f32[3,4]\n%3 = concat(%2, %1, %0) {axis = 1} : f32[3,38]\nyield(%3)");
    check("%0 = input {name = \"x\"} : f32[6,4]\n%1 = reshape(%0) : f32[3,8]\n%2 = input {name = \"b\"} : "
          "f32[8]\n%3 = add(%1, %2) : f32[3,8]\n%4 = reshape(%3) : f32[4,6]\nyield(%4)");
    check("%0 = input {name = \"x\"} : f32[2,3,4,5]\n%1 = reshape(%0) : f32[2,3,4,1,5,1]\n%2 = broadcast(%1) "
          "{axes = [0, 1, 2, 3, 4, 5]} : f32[2,3,4,2,5,2]\n%3 = reshape(%2) : f32[2,3,8,10]\nyield(%3)");
    check("%0 = iota {axis = 1} : i32[3,40]\n%1 = cast(%0) : f32[3,40]\nyield(%1, %0)");
}

static void runtime_indices(void **state) {
    (void)state;
    check("%0 = input {name = \"x\"} : f32[5,7]\n%1 = input {name = \"i\"} : i32[3,2]\n%2 = gather(%0, %1) "
          "{axis = 0, batch = 0} : f32[3,2,7]\nyield(%2)");
    check("%0 = input {name = \"x\"} : f32[9,30]\n%1 = input {name = \"i\"} : i32[9]\n%2 = gather(%0, %1) "
          "{axis = 1, batch = 1} : f32[9]\nyield(%2)");
    check("%0 = input {name = \"x\"} : f32[2,8,3]\n%1 = input {name = \"i\"} : i32[2,20]\n%2 = gather(%0, "
          "%1) {axis = 1, batch = 1} : f32[2,20,3]\n%3 = exp(%2) : f32[2,20,3]\nyield(%3)");
    check("%0 = input {name = \"x\"} : f32[8,26]\n%1 = input {name = \"i\"} : i32[]\n%2 = input {name = "
          "\"j\"} : i32[]\n%3 = dynamic_slice(%0, %1, %2) : f32[3,20]\nyield(%3)");
}

static void windows_and_folds(void **state) {
    (void)state;
    check("%0 = input {name = \"x\"} : f32[2,7,8]\n%1 = windows(%0) {window = [2, 3], step = [2, 1], "
          "dilation = [1, 2]} : f32[2,3,4,2,3]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[2,3,28,28]\n%1 = windows(%0) {window = [2, 2], step = [2, 2], "
          "dilation = [1, 1]} : f32[2,3,14,14,2,2]\n"
          "%2 = reduce(%1) {axes = [4, 5], kind = \"max\"} : f32[2,3,14,14]\nyield(%2)");
    check("%0 = input {name = \"x\"} : f32[2,3,5,5]\n%1 = pad(%0) {lo = [0, 0, 1, 1], hi = [0, 0, 1, 1], "
          "interior = [0, 0, 0, 0], value = -inf} : f32[2,3,7,7]\n"
          "%2 = windows(%1) {window = [3, 3], step = [2, 2], dilation = [1, 1]} : f32[2,3,3,3,3,3]\n%3 = "
          "reduce(%2) {axes = [4, 5], kind = \"max\"} : f32[2,3,3,3]\nyield(%3)");
    check("%0 = input {name = \"x\"} : f32[2,3,14,14,2,2]\n%1 = fold(%0) {window = [2, 2], step = [2, 2], "
          "dilation = [1, 1]} : f32[2,3,28,28]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[2,3,4,2,3]\n%1 = fold(%0) {window = [2, 3], step = [2, 1], "
          "dilation = [1, 2]} : f32[2,7,8]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[3,4,4,3,3]\n%1 = fold(%0) {window = [3, 3], step = [1, 1], "
          "dilation = [1, 1]} : f32[3,6,6]\nyield(%1)");
}

static void reductions(void **state) {
    (void)state;
    static const char *const kinds[] = {"sum", "max", "min", "prod"};
    for (int i = 0; i < 4; i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "%%0 = input {name = \"x\"} : f32[5,13,11]\n%%1 = reduce(%%0) {axes = [0, 2], kind = "
                 "\"%s\"} : f32[13]\n"
                 "%%2 = reduce(%%0) {axes = [2], kind = \"%s\"} : f32[5,13]\n%%3 = reduce(%%0) {axes = [0], "
                 "kind = \"%s\"} : f32[13,11]\nyield(%%1, %%2, %%3)",
                 kinds[i], kinds[i], kinds[i]);
        check(text);
    }
    check("%0 = input {name = \"x\"} : f32[100,37]\n%1 = reduce(%0) {axes = [0, 1], kind = \"sum\"} : "
          "f32[]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[700,401]\n%1 = mul(%0, %0) : f32[700,401]\n%2 = reduce(%1) {axes "
          "= [0, 1], kind = \"sum\"} : f32[]\n%3 = sqrt(%2) : f32[]\nyield(%3)");
    check("%0 = input {name = \"x\"} : f32[64,6,33,33]\n%1 = reduce(%0) {axes = [0, 2, 3], kind = \"sum\"} : "
          "f32[6]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[4000,60]\n%1 = reduce(%0) {axes = [0], kind = \"sum\"} : "
          "f32[60]\n%2 = reduce(%0) {axes = [0], kind = \"max\"} : f32[60]\nyield(%1, %2)");
    check("%0 = input {name = \"x\"} : f32[0,5]\n%1 = reduce(%0) {axes = [0], kind = \"max\"} : "
          "f32[5]\nyield(%1)");
    check("%0 = input {name = \"x\"} : f32[3,0]\n%1 = reduce(%0) {axes = [1], kind = \"sum\"} : f32[3]\n%2 = "
          "exp(%1) : f32[3]\nyield(%2)");
    check("%0 = input {name = \"x\"} : bool[6,50]\n%1 = reduce(%0) {axes = [1], kind = \"max\"} : "
          "bool[6]\n%2 = reduce(%0) {axes = [0], kind = \"min\"} : bool[50]\nyield(%1, %2)");
    check("%0 = input {name = \"x\"} : i32[6,50]\n%1 = reduce(%0) {axes = [1], kind = \"sum\"} : i32[6]\n%2 "
          "= reduce(%0) {axes = [0], kind = \"min\"} : i32[50]\nyield(%1, %2)");
    check("%0 = input {name = \"x\"} : f32[9,30]\n%1 = arg_reduce(%0) {axis = 1, kind = \"max\"} : "
          "i32[9]\n%2 = arg_reduce(%0) {axis = 0, kind = \"min\"} : i32[30]\nyield(%1, %2)");
}

/* Sweeps over rows: softmax, its loss, norms over rows, groups and batches. */
static void row_sweeps(void **state) {
    (void)state;
    static const char *const shapes[][2] = {
        {"9,33", "9,1"}, {"128,10", "128,1"}, {"3,5000", "3,1"}, {"1,7", "1,1"}};
    for (int i = 0; i < 4; i++) {
        const char *s = shapes[i][0], *r = shapes[i][1];
        int rows = atoi(s);
        char text[1024];
        snprintf(text, sizeof(text),
                 "%%0 = input {name = \"x\"} : f32[%s]\n%%1 = reduce(%%0) {axes = [1], kind = \"max\"} : "
                 "f32[%d]\n%%2 = reshape(%%1) : f32[%s]\n"
                 "%%3 = sub(%%0, %%2) : f32[%s]\n%%4 = exp(%%3) : f32[%s]\n%%5 = reduce(%%4) {axes = [1], "
                 "kind = \"sum\"} : f32[%d]\n%%6 = reshape(%%5) : f32[%s]\n"
                 "%%7 = div(%%4, %%6) : f32[%s]\n%%8 = log(%%5) : f32[%d]\n%%9 = add(%%8, %%1) : "
                 "f32[%d]\nyield(%%7, %%9)",
                 s, rows, r, s, s, rows, r, s, rows, rows);
        check(text);
    }
    check("%0 = input {name = \"x\"} : f32[20,48]\n%1 = input {name = \"g\"} : f32[48]\n%2 = const {data = "
          "48} : f32[]\n%3 = const {data = 0.00001} : f32[]\n"
          "%4 = reduce(%0) {axes = [1], kind = \"sum\"} : f32[20]\n%5 = div(%4, %2) : f32[20]\n%6 = "
          "reshape(%5) : f32[20,1]\n%7 = sub(%0, %6) : f32[20,48]\n"
          "%8 = mul(%7, %7) : f32[20,48]\n%9 = reduce(%8) {axes = [1], kind = \"sum\"} : f32[20]\n%10 = "
          "div(%9, %2) : f32[20]\n%11 = add(%10, %3) : f32[20]\n%12 = sqrt(%11) : f32[20]\n"
          "%13 = reshape(%12) : f32[20,1]\n%14 = div(%7, %13) : f32[20,48]\n%15 = mul(%14, %1) : "
          "f32[20,48]\nyield(%15, %5, %12)");
    check("%0 = input {name = \"x\"} : f32[2,8,5,7]\n%1 = input {name = \"g\"} : f32[8]\n%2 = const {data = "
          "70} : f32[]\n"
          "%3 = reshape(%0) : f32[2,4,70]\n%4 = reduce(%3) {axes = [2], kind = \"sum\"} : f32[2,4]\n%5 = "
          "div(%4, %2) : f32[2,4]\n%6 = reshape(%5) : f32[2,4,1]\n"
          "%7 = sub(%3, %6) : f32[2,4,70]\n%8 = mul(%7, %7) : f32[2,4,70]\n%9 = reduce(%8) {axes = [2], kind "
          "= \"sum\"} : f32[2,4]\n%10 = sqrt(%9) : f32[2,4]\n%11 = reshape(%10) : f32[2,4,1]\n"
          "%12 = div(%7, %11) : f32[2,4,70]\n%13 = reshape(%12) : f32[2,8,5,7]\n%14 = reshape(%1) : "
          "f32[8,1,1]\n%15 = mul(%13, %14) : f32[2,8,5,7]\n"
          "%16 = neg(%15) : f32[2,8,5,7]\n%17 = exp(%16) : f32[2,8,5,7]\n%18 = const {data = 1} : f32[]\n%19 "
          "= add(%17, %18) : f32[2,8,5,7]\n%20 = div(%15, %19) : f32[2,8,5,7]\nyield(%20)");
    check("%0 = input {name = \"x\"} : f32[6,5,9,9]\n%1 = reduce(%0) {axes = [0, 2, 3], kind = \"sum\"} : "
          "f32[5]\n%2 = reshape(%1) : f32[5,1,1]\n%3 = sub(%0, %2) : f32[6,5,9,9]\nyield(%3)");
    check_within("nest",
                 "%0 = input {name = \"x\"} : f32[30,40]\n%1 = reduce(%0) {axes = [0], kind = \"sum\"} : "
                 "f32[40]\n%2 = sub(%0, %1) : f32[30,40]\n%3 = exp(%2) : f32[30,40]\nyield(%3)",
                 1e-5);
    /* a softmax over channels: the contiguous axis is kept */
    check("%0 = input {name = \"x\"} : f32[2,10,36]\n%1 = reduce(%0) {axes = [1], kind = \"max\"} : "
          "f32[2,36]\n%2 = reshape(%1) : f32[2,1,36]\n%3 = sub(%0, %2) : f32[2,10,36]\n"
          "%4 = exp(%3) : f32[2,10,36]\n%5 = reduce(%4) {axes = [1], kind = \"sum\"} : f32[2,36]\n%6 = "
          "reshape(%5) : f32[2,1,36]\n%7 = div(%4, %6) : f32[2,10,36]\nyield(%7)");
    /* rows and columns in one kernel */
    check("%0 = input {name = \"x\"} : f32[30,40]\n%1 = reduce(%0) {axes = [0], kind = \"sum\"} : "
          "f32[40]\n%2 = reduce(%0) {axes = [1], kind = \"sum\"} : f32[30]\n%3 = reshape(%2) : f32[30,1]\n"
          "%4 = add(%1, %3) : f32[30,40]\n%5 = mul(%4, %0) : f32[30,40]\nyield(%5)");
    /* everything by the norm of everything */
    check("%0 = input {name = \"x\"} : f32[900,400]\n%1 = mul(%0, %0) : f32[900,400]\n%2 = reduce(%1) {axes "
          "= [0, 1], kind = \"sum\"} : f32[]\n%3 = sqrt(%2) : f32[]\n%4 = div(%0, %3) : "
          "f32[900,400]\nyield(%4, %3)");
    /* a reduction of a reduction */
    check("%0 = input {name = \"x\"} : f32[30,40]\n%1 = reduce(%0) {axes = [1], kind = \"max\"} : "
          "f32[30]\n%2 = exp(%1) : f32[30]\n%3 = reduce(%2) {axes = [0], kind = \"sum\"} : f32[]\nyield(%3)");
    /* rows whose loops are not in the order of the result's axes */
    check("%0 = input {name = \"x\"} : f32[2,33,2,5]\n%1 = reduce(%0) {axes = [1, 3], kind = \"min\"} : "
          "f32[2,2]\n"
          "%2 = reshape(%1) : f32[2,1,2,1]\n%3 = sub(%0, %2) : f32[2,33,2,5]\n"
          "%4 = transpose(%3) {perm = [2, 3, 1, 0]} : f32[2,5,33,2]\nyield(%4)");
    /* pick of an arg max */
    check("%0 = input {name = \"x\"} : f32[12,40]\n%1 = arg_reduce(%0) {axis = 1, kind = \"max\"} : "
          "i32[12]\n%2 = gather(%0, %1) {axis = 1, batch = 1} : f32[12]\nyield(%2)");
}

static void random_words(void **state) {
    (void)state;
    check("%0 = input {name = \"key\"} : u32[2]\n%1 = random_bits(%0) : u32[4,5]\n%2 = random_bits(%0) : "
          "u32[77]\nyield(%1, %2)");
    check("%0 = input {name = \"key\"} : u32[2]\n%1 = random_bits(%0) : u32[6,64]\n%2 = cast(%1) : "
          "f32[6,64]\n%3 = sqrt(%2) : f32[6,64]\nyield(%3)");
    check("%0 = input {name = \"key\"} : u32[2]\n%1 = random_bits(%0) : u32[2,60]\n%2 = slice(%1) {start = "
          "[0, 0], step = [1, 1]} : u32[1,60]\n%3 = slice(%1) {start = [1, 0], step = [1, 1]} : "
          "u32[1,60]\n%4 = xor(%2, %3) : u32[1,60]\nyield(%4)");
}

static void other_dtypes(void **state) {
    (void)state;
    check("%0 = input {name = \"x\"} : f64[3,13]\n%1 = exp(%0) : f64[3,13]\n%2 = reduce(%1) {axes = [1], "
          "kind = \"sum\"} : f64[3]\nyield(%1, %2)");
    check_within("nest", "%0 = input {name = \"x\"} : bf16[3,13]\n%1 = exp(%0) : bf16[3,13]\nyield(%1)",
                 1e-2);
    check_within("nest", "%0 = input {name = \"x\"} : f16[3,13]\n%1 = mul(%0, %0) : f16[3,13]\nyield(%1)",
                 1e-3);
    check("%0 = input {name = \"x\"} : i32[50]\n%1 = input {name = \"y\"} : i32[50]\n%2 = div(%0, %1) : "
          "i32[50]\n%3 = mod(%0, %1) : i32[50]\n%4 = neg(%0) : i32[50]\n%5 = div(%4, %1) : i32[50]\n%6 = "
          "mod(%4, %1) : i32[50]\n%7 = shl(%0, %1) : i32[50]\n%8 = shr(%4, %1) : i32[50]\nyield(%2, %3, %5, "
          "%6, %7, %8)");
    check("%0 = input {name = \"x\"} : u8[50]\n%1 = cast(%0) : f32[50]\n%2 = input {name = \"y\"} : "
          "f32[50]\n%3 = mul(%1, %2) : f32[50]\n%4 = cast(%3) : u8[50]\n%5 = cast(%3) : i64[50]\n%6 = lt(%1, "
          "%2) : bool[50]\n%7 = select(%6, %1, %2) : f32[50]\n%8 = sign(%2) : f32[50]\nyield(%3, %4, %5, %6, "
          "%7, %8)");
    check("%0 = input {name = \"x\"} : f32[50]\n%1 = bitcast(%0) : u32[50]\n%2 = const {data = 9} : "
          "u32[]\n%3 = shr(%1, %2) : u32[50]\n%4 = floor(%0) : f32[50]\n%5 = round(%0) : f32[50]\n%6 = "
          "mod(%0, %4) : f32[50]\nyield(%3, %4, %5)");
    check("%0 = input {name = \"x\"} : f32[4,3]\n%1 = const {data = [1, 2, 3]} : f32[3]\n%2 = add(%0, %1) : "
          "f32[4,3]\nyield(%2)");
}

/* Adam for one weight: three results over the same elements, in place of the operands. */
static void optimiser(void **state) {
    (void)state;
    check(
        "%0 = input {name = \"w\"} : f32[37,11]\n%1 = input {name = \"m\"} : f32[37,11]\n%2 = input {name = "
        "\"v\"} : f32[37,11]\n%3 = input {name = \"g\"} : f32[37,11]\n%4 = input {name = \"rate\"} : f32[]\n"
        "%5 = const {data = 0.9} : f32[]\n%6 = const {data = 0.1} : f32[]\n%7 = mul(%1, %5) : f32[37,11]\n%8 "
        "= mul(%3, %6) : f32[37,11]\n%9 = add(%7, %8) : f32[37,11]\n%10 = mul(%3, %3) : f32[37,11]\n"
        "%11 = abs(%2) : f32[37,11]\n%12 = add(%11, %10) : f32[37,11]\n%13 = sqrt(%12) : f32[37,11]\n%14 = "
        "add(%13, %6) : f32[37,11]\n%15 = div(%9, %14) : f32[37,11]\n%16 = mul(%15, %4) : f32[37,11]\n%17 = "
        "sub(%0, %16) : f32[37,11]\nyield(%17, %9, %12)");
}

static void check_routine(const char *body) {
    check_within("routine", body, 2e-6);
}

static void routines(void **state) {
    (void)state;
    check_routine("%0 = input {name = \"x\"} : f32[5,37]\n%1 = scan(%0) {axis = 1, kind = \"sum\", exclusive "
                  "= 0, reverse = 0} : f32[5,37]\nyield(%1)");
    check_routine("%0 = input {name = \"x\"} : f32[5,37]\n%1 = scan(%0) {axis = 0, kind = \"prod\", "
                  "exclusive = 1, reverse = 1} : f32[5,37]\nyield(%1)");
    check_routine("%0 = input {name = \"x\"} : i32[3,4,2]\n%1 = scan(%0) {axis = 1, kind = \"max\", "
                  "exclusive = 1, reverse = 0} : i32[3,4,2]\nyield(%1)");
    check_routine(
        "%0 = input {name = \"x\"} : f32[5,7]\n%1 = input {name = \"i\"} : i32[9]\n%2 = input {name = \"u\"} "
        ": f32[9,7]\n%3 = scatter(%0, %1, %2) {axis = 0, batch = 0, kind = \"add\"} : f32[5,7]\nyield(%3)");
    check_routine("%0 = input {name = \"x\"} : f32[5,40]\n%1 = input {name = \"i\"} : i32[9]\n%2 = input "
                  "{name = \"u\"} : f32[9,40]\n%3 = scatter(%0, %1, %2) {axis = 0, batch = 0, kind = "
                  "\"set\"} : f32[5,40]\nyield(%3)");
    check_routine("%0 = input {name = \"x\"} : f32[6,3,5]\n%1 = input {name = \"i\"} : i32[6,2]\n%2 = input "
                  "{name = \"u\"} : f32[6,3,2]\n%3 = scatter(%0, %1, %2) {axis = 2, batch = 1, kind = "
                  "\"max\"} : f32[6,3,5]\nyield(%3)");
    check_routine("%0 = input {name = \"x\"} : f32[8,26]\n%1 = input {name = \"u\"} : f32[3,20]\n%2 = input "
                  "{name = \"i\"} : i32[]\n%3 = input {name = \"j\"} : i32[]\n%4 = dynamic_update(%0, %1, "
                  "%2, %3) : f32[8,26]\nyield(%4)");
    check_routine("%0 = input {name = \"x\"} : f32[3,41]\n%1, %2 = sort(%0) {axis = 1, descending = 0} : "
                  "f32[3,41], i32[3,41]\nyield(%1, %2)");
    check_routine("%0 = input {name = \"x\"} : i32[17,3]\n%1, %2 = sort(%0) {axis = 0, descending = 1} : "
                  "i32[17,3], i32[17,3]\nyield(%2)");
    check_routine("%0 = input {name = \"x\"} : f32[1,1]\n%1, %2 = sort(%0) {axis = 0, descending = 1} : "
                  "f32[1,1], i32[1,1]\nyield(%1, %2)");
    check_routine("%0 = input {name = \"x\"} : f32[2,6,6,9,9]\n%1 = fold(%0) {window = [9, 9], step = [1, "
                  "2], dilation = [1, 1]} : f32[2,14,19]\nyield(%1)");
    check("%0 = input {name = \"k\"} : u32[2]\n%1 = input {name = \"d\"} : i32[9]\n%2 = random_fold(%0, %1) "
          ": u32[9,2]\nyield(%2)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise),
        cmocka_unit_test(broadcasts),
        cmocka_unit_test(views),
        cmocka_unit_test(runtime_indices),
        cmocka_unit_test(windows_and_folds),
        cmocka_unit_test(reductions),
        cmocka_unit_test(row_sweeps),
        cmocka_unit_test(random_words),
        cmocka_unit_test(other_dtypes),
        cmocka_unit_test(optimiser),
        cmocka_unit_test(routines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
