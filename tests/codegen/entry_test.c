/* Whole functions through plan and code generator: against the evaluator, alone and on two threads, in this
 * process and as an object, and the C interface of objects. */
#include "random_program.h"
#include "support_entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct codegen_options plain = {.workers = 1};

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/weft-entry-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

/* ---- random programs ---- */

static void random_programs_keep_every_bit(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 24; seed++) {
        struct arena *arena = arena_create();
        struct entry_run *run = entry_run_create(random_program(arena, seed * 7919), &plain);
        weft_call *call = weft_codegen.entry(run->loaded, "f");
        struct call_memory *before = call_memory_create(run, "f", 1, seed),
                           *after = call_memory_create(run, "f", 1, seed),
                           *threads = call_memory_create(run, "f", 2, seed);
        assert_int_equal(call_entry(run, call, after, NULL), 0);
        assert_int_equal(call_entry(run, call, threads, &two_threads), 0);
        expect_evaluated(run, before, after, 0);
        expect_same(run, after, threads);
        entry_run_destroy(run);
        arena_destroy(arena);
    }
}

static void objects_have_the_bits_of_the_jit(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 3; seed++) {
        struct arena *arena = arena_create();
        struct entry_run *run = entry_run_create(random_program(arena, seed * 104729), &plain);
        struct call_memory *jit = call_memory_create(run, "f", 1, seed),
                           *object = call_memory_create(run, "f", 1, seed);
        void *library = object_open(run, arena_printf(arena, "p%u", seed), folder);
        weft_call *call = (weft_call *)(uintptr_t)dlsym(library, arena_printf(arena, "p%u_f_call", seed));
        assert_int_equal(call_entry(run, weft_codegen.entry(run->loaded, "f"), jit, NULL), 0);
        assert_int_equal(call_entry(run, call, object, &two_threads), 0);
        assert_int_equal(call_entry(run, call, object, &two_threads), 0); /* the CPU is known by now */
        struct call_memory *again = call_memory_create(run, "f", 1, seed);
        assert_int_equal(call_entry(run, call, again, NULL), 0);
        expect_same(run, jit, again);
        dlclose(library);
        entry_run_destroy(run);
        arena_destroy(arena);
    }
}

/* ---- kernels with many tasks ---- */

/* A layer with its bias and relu, a row sweep over it, a sum, and an update of the weight in place, in a
 * loop. */
static const char layer[] =
    "graph g\n"
    "state @w : f32[48,300] weight\n"
    "train f() {\n"
    "  %0 = input {name = \"x\"} : f32[700,48]\n"
    "  %1 = read {state = @w} : f32[48,300]\n"
    "  %2 = const {data = 0} : i32[]\n"
    "  %3 = const {data = 3} : i32[]\n"
    "  %4, %5 = loop(%2, %3, %1, %0) {carried = 1, reverse = 0} : f32[48,300], f32[3,700] "
    "region(%6: i32[], %7: f32[48,300], %8: f32[700,48]) {\n"
    "    %9 = kernel(%8, %7) {kind = \"contract\", name = \"layer\"} : f32[700,300] "
    "region(%10: f32[700,48], %11: f32[48,300]) {\n"
    "      %12 = dot(%10, %11) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], "
    "rhs_contract = [0]} : f32[700,300]\n"
    "      %13 = const {data = 0} : f32[]\n"
    "      %14 = max(%12, %13) : f32[700,300]\n"
    "      yield(%14)\n"
    "    }\n"
    "    %15 = kernel(%9) " NEST " : f32[700] region(%16: f32[700,300]) {\n"
    "      %17 = reduce(%16) {axes = [1], kind = \"max\"} : f32[700]\n"
    "      %18 = broadcast(%17) {axes = [0]} : f32[700,300]\n"
    "      %19 = sub(%16, %18) : f32[700,300]\n"
    "      %29 = const {data = 0.01} : f32[]\n"
    "      %30 = mul(%19, %29) : f32[700,300]\n"
    "      %20 = exp(%30) : f32[700,300]\n"
    "      %21 = reduce(%20) {axes = [1], kind = \"sum\"} : f32[700]\n"
    "      yield(%21)\n"
    "    }\n"
    "    %22 = kernel(%9, %7) " NEST " : f32[48,300] region(%23: f32[700,300], %24: f32[48,300]) {\n"
    "      %25 = reduce(%23) {axes = [0], kind = \"sum\"} : f32[300]\n"
    "      %26 = const {data = 0.001} : f32[]\n"
    "      %27 = mul(%25, %26) : f32[300]\n"
    "      %28 = sub(%24, %27) : f32[48,300]\n"
    "      yield(%28)\n"
    "    }\n"
    "    yield(%22, %15)\n"
    "  }\n"
    "  write(%4) {state = @w}\n"
    "  yield(%5)\n"
    "}\n";

static void many_tasks_give_the_bits_of_one_thread(void **state) {
    (void)state;
    struct entry_run *run = entry_run_create(layer, &plain);
    weft_call *call = weft_codegen.entry(run->loaded, "f");
    void *library = object_open(run, "layer", folder);
    weft_call *shipped = (weft_call *)(uintptr_t)dlsym(library, "layer_f_call");
    struct call_memory *before = call_memory_create(run, "f", 1, 3),
                       *alone = call_memory_create(run, "f", 1, 3),
                       *threads = call_memory_create(run, "f", 2, 3),
                       *object = call_memory_create(run, "f", 2, 3);
    assert_int_equal(call_entry(run, call, alone, NULL), 0);
    assert_int_equal(call_entry(run, call, threads, &two_threads), 0);
    assert_int_equal(call_entry(run, shipped, object, &two_threads), 0);
    expect_evaluated(run, before, alone, 1e-5);
    expect_same(run, alone, threads);
    expect_same(run, alone, object);
    assert_null(strstr(weft_codegen.loops(run->compiled), "tasks 1\n")); /* all of them have work for two */
    dlclose(library);
    entry_run_destroy(run);
}

/* An optimiser's moments behind the product that makes the gradient: read and written in place, at sizes that
 * are no multiple of anything, with sums that are short or cut into blocks. */
static void a_product_updates_states_in_place(void **state) {
    (void)state;
    static const int depths[] = {1, 9, 5000};
    struct arena *arena = arena_create();
    for (int i = 0; i < 3; i++) {
        const char *text = arena_printf(
            arena,
            "graph g\n"
            "state @m : f32[37,45] buffer\n"
            "state @v : f32[37,45] buffer\n"
            "train f() {\n"
            "  %%0 = input {name = \"x\"} : f32[%d,37]\n"
            "  %%1 = input {name = \"y\"} : f32[%d,45]\n"
            "  %%2 = read {state = @m} : f32[37,45]\n"
            "  %%3 = read {state = @v} : f32[37,45]\n"
            "  %%4, %%5, %%6 = kernel(%%0, %%1, %%2, %%3) {kind = \"contract\", name = \"moments\"} : "
            "f32[37,45], f32[37,45], "
            "f32[37,45] region(%%7: f32[%d,37], %%8: f32[%d,45], %%9: f32[37,45], %%10: f32[37,45]) {\n"
            "    %%11 = dot(%%7, %%8) {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = "
            "[0]} : f32[37,45]\n"
            "    %%12 = add(%%9, %%11) : f32[37,45]\n"
            "    %%13 = mul(%%11, %%11) : f32[37,45]\n"
            "    %%14 = sub(%%13, %%10) : f32[37,45]\n"
            "    %%15 = mul(%%12, %%9) : f32[37,45]\n"
            "    yield(%%12, %%14, %%15)\n"
            "  }\n"
            "  write(%%4) {state = @m}\n"
            "  write(%%5) {state = @v}\n"
            "  yield(%%6)\n"
            "}\n",
            depths[i], depths[i], depths[i], depths[i]);
        struct entry_run *run = entry_run_create(text, &plain);
        weft_call *call = weft_codegen.entry(run->loaded, "f");
        struct call_memory *before = call_memory_create(run, "f", 1, 3),
                           *after = call_memory_create(run, "f", 1, 3),
                           *threads = call_memory_create(run, "f", 2, 3);
        assert_int_equal(call_entry(run, call, after, NULL), 0);
        assert_int_equal(call_entry(run, call, threads, &two_threads), 0);
        expect_evaluated(run, before, after, 1e-5);
        expect_same(run, after, threads);
        assert_int_equal(after->plan->arena_bytes, 0);
        entry_run_destroy(run);
    }
    arena_destroy(arena);
}

static void openblas_gives_the_same_but_for_rounding(void **state) {
    (void)state;
    if (!dlopen("libopenblas.so.0", RTLD_NOW))
        skip();
    const struct codegen_options options = {.workers = 1, .use_openblas = true};
    struct entry_run *run = entry_run_create(layer, &options);
    struct call_memory *before = call_memory_create(run, "f", 1, 3),
                       *after = call_memory_create(run, "f", 1, 3);
    assert_int_equal(call_entry(run, weft_codegen.entry(run->loaded, "f"), after, NULL), 0);
    expect_evaluated(run, before, after, 1e-5);
    assert_non_null(strstr(weft_codegen.loops(run->compiled), "gemm 700 x 300 x 48: "));
    assert_non_null(strstr(weft_codegen.header(run->compiled, "layer", (struct held_blocks){0}, run->diags),
                           "Link layer.o and libopenblas"));
    entry_run_destroy(run);
}

/* Every way in which a dot's operands lie, with batches, against the evaluator. */
static void openblas_takes_matrices_as_they_lie(void **state) {
    (void)state;
    if (!dlopen("libopenblas.so.0", RTLD_NOW))
        skip();
    static const struct {
        const char *x, *y, *attributes, *z;
    } dots[] = {
        {"f32[7,5]", "f32[5,9]", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]",
         "f32[7,9]"},
        {"f32[5,7]", "f32[9,5]", "lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [1]",
         "f32[7,9]"},
        {"f32[3,7,5]", "f32[3,5,9]",
         "lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [1]", "f32[3,7,9]"},
        {"f32[2,3,7,5]", "f32[2,3,9,5]",
         "lhs_batch = [0, 1], rhs_batch = [0, 1], lhs_contract = [3], rhs_contract = [3]", "f32[2,3,7,9]"},
        {"f32[2,7,5]", "f32[7,5,9]",
         "lhs_batch = [], rhs_batch = [], lhs_contract = [1, 2], rhs_contract = [0, 1]", "f32[2,9]"},
        {"f32[1,5]", "f32[5,1]", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]",
         "f32[1,1]"},
        {"f32[4,3,5]", "f32[3,6,5]",
         "lhs_batch = [1], rhs_batch = [0], lhs_contract = [2], rhs_contract = [2]", "f32[3,4,6]"},
    };
    const struct codegen_options options = {.workers = 1, .use_openblas = true};
    struct arena *arena = arena_create();
    for (size_t i = 0; i < sizeof(dots) / sizeof(*dots); i++) {
        const char *text = arena_printf(
            arena,
            "graph g\nfn f() {\n%%0 = input {name = \"x\"} : %s\n%%1 = input {name = \"y\"} : %s\n"
            "%%2 = kernel(%%0, %%1) {kind = \"contract\", name = \"dot\"} : %s region(%%3: %s, %%4: %s) {\n"
            "%%5 = dot(%%3, %%4) {%s} : %s\n%%6 = exp(%%5) : %s\nyield(%%6)\n}\nyield(%%2)\n}\n",
            dots[i].x, dots[i].y, dots[i].z, dots[i].x, dots[i].y, dots[i].attributes, dots[i].z, dots[i].z);
        struct entry_run *run = entry_run_create(text, &options);
        struct call_memory *before = call_memory_create(run, "f", 1, 3),
                           *after = call_memory_create(run, "f", 1, 3);
        assert_int_equal(call_entry(run, weft_codegen.entry(run->loaded, "f"), after, NULL), 0);
        expect_evaluated(run, before, after, 1e-5);
        assert_non_null(strstr(weft_codegen.loops(run->compiled), "gemm"));
        entry_run_destroy(run);
    }
    arena_destroy(arena);
}

/* ---- checks ---- */

static const char checked[] = "graph g\n"
                              "fn f() {\n"
                              "  %0 = input {name = \"ok\"} : bool[]\n"
                              "  %1 = input {name = \"x\"} : f32[5]\n"
                              "  check(%0) {message = \"x must be ok\"}\n"
                              "  %2 = kernel(%1) " NEST " : f32[5] region(%3: f32[5]) {\n"
                              "    %4 = neg(%3) : f32[5]\n"
                              "    yield(%4)\n"
                              "  }\n"
                              "  yield(%2)\n"
                              "}\n";

static void a_failed_check_is_a_code_with_a_message(void **state) {
    (void)state;
    struct entry_run *run = entry_run_create(checked, &plain);
    struct call_memory *m = call_memory_create(run, "f", 1, 1);
    weft_call *call = weft_codegen.entry(run->loaded, "f");
    *m->args[2] = 1;
    assert_int_equal(call_entry(run, call, m, NULL), 0);
    *m->args[2] = 0;
    int code = call_entry(run, call, m, NULL);
    assert_int_equal(code, WEFT_FIRST_CHECK);
    assert_string_equal(weft_codegen.error_text(run->compiled, code), "x must be ok");
    assert_null(weft_codegen.error_text(run->compiled, code + 1));
    void *library = object_open(run, "checked", folder);
    const char *(*error)(int) = (const char *(*)(int))(uintptr_t)dlsym(library, "checked_error");
    assert_string_equal(error(code), "test:5: x must be ok");
    assert_string_equal(error(0), "no error");
    assert_string_equal(error(-7), "not an error code of this object");
    dlclose(library);
    entry_run_destroy(run);
}

/* ---- the C interface ---- */

static const char model[] =
    "graph vae\n"
    "state @a.weight : f32[2,3] weight\n"
    "state @a.bias : f32[3] weight\n"
    "state @opt.m : f32[3] buffer\n"
    "init init() {\n"
    "  %0 = input {name = \"seed\"} : u32[2]\n"
    "  %1 = kernel(%0) " NEST " : f32[2,3] region(%2: u32[2]) {\n"
    "    %3 = slice(%2) {start = [0], step = [1]} : u32[1]\n"
    "    %4 = cast(%3) : f32[1]\n"
    "    %5 = broadcast(%4) {axes = [1]} : f32[2,3]\n"
    "    yield(%5)\n"
    "  }\n"
    "  %6 = const {data = [1, 2, 3]} : f32[3]\n"
    "  %7 = const {data = [0, 0, 0]} : f32[3]\n"
    "  write(%1) {state = @a.weight}\n"
    "  write(%6) {state = @a.bias}\n"
    "  write(%7) {state = @opt.m}\n"
    "  yield\n"
    "}\n"
    "train step() {\n"
    "  %0 = input {name = \"int\"} : f32[3]\n"
    "  %1 = input {name = \"rate\"} : f32[]\n"
    "  %2 = input {name = \"seed\"} : u32[2]\n"
    "  %3 = read {state = @a.bias} : f32[3]\n"
    "  %4 = read {state = @opt.m} : f32[3]\n"
    "  %5, %6 = kernel(%0, %1, %3, %4) " NEST
    " : f32[3], f32[3] region(%7: f32[3], %8: f32[], %9: f32[3], %10: f32[3]) {\n"
    "    %11 = mul(%7, %8) : f32[3]\n"
    "    %12 = add(%10, %11) : f32[3]\n"
    "    %13 = sub(%9, %12) : f32[3]\n"
    "    yield(%13, %12)\n"
    "  }\n"
    "  report(%1) {name = \"d_loss.0\"}\n"
    "  write(%5) {state = @a.bias}\n"
    "  write(%6) {state = @opt.m}\n"
    "  yield\n"
    "}\n"
    "fn sum(total) {\n"
    "  %0 = input {name = \"x\"} : f32[2,3]\n"
    "  %1 = read {state = @a.weight} : f32[2,3]\n"
    "  %2 = read {state = @a.bias} : f32[3]\n"
    "  %3 = kernel(%0, %1, %2) " NEST " : f32[2,3] region(%4: f32[2,3], %5: f32[2,3], %6: f32[3]) {\n"
    "    %7 = add(%4, %5) : f32[2,3]\n"
    "    %8 = add(%7, %6) : f32[2,3]\n"
    "    yield(%8)\n"
    "  }\n"
    "  yield(%3)\n"
    "}\n";

/* The program of a user who read the header. */
static const char user[] =
    "#include \"vae.h\"\n"
    "#include <stdio.h>\n"
    "#include <string.h>\n"
    "static _Alignas(64) char weights[4096], state[4096], workspace[1 << 20];\n"
    "int main(void) {\n"
    "    float x[6] = {1, 2, 3, 4, 5, 6}, out[6], loss, raw_weight[6], raw_bias[3];\n"
    "    void *raw[] = {raw_weight, raw_bias};\n"
    "    if (vae_weights_size() != 128 || vae_state_size() != 64 || vae_weights_count != 2) return 1;\n"
    "    if (strcmp(vae_weights_info[1].name, \"a.bias\") || vae_weights_info[1].offset != 64) return 2;\n"
    "    if (vae_weights_info[0].rank != 2 || vae_weights_info[0].shape[1] != 3 || vae_weights_info[2].name) "
    "return 3;\n"
    "    if (strcmp(vae_state_info[0].name, \"opt.m\") || vae_state_info[0].dtype != WEFT_F32) return 4;\n"
    "    if (vae_step_workspace(NULL) > sizeof(workspace)) return 5;\n"
    "    if (vae_init(weights, state, 5)) return 6;\n"
    "    if (vae_step(weights, state, x, 0.5f, 9, &loss, workspace, NULL)) return 7;\n"
    "    if (vae_sum(weights, x, out, workspace, NULL)) return 8;\n"
    "    vae_unpack_weights(weights, raw);\n"
    "    raw_bias[0] = 100;\n"
    "    vae_pack_weights((const void *const *)raw, weights);\n"
    "    float *w = (float *)(weights + vae_weights_info[1].offset);\n"
    "    if (vae_sum_arg_count != 4 || vae_sum_args[2].role != WEFT_INPUT || vae_sum_args[3].role != "
    "WEFT_RESULT) return 9;\n"
    "    printf(\"%g %g %g %g %g | %g | %g %g\\n\", out[0], out[1], out[2], out[3], out[5], loss, "
    "raw_weight[5], w[0]);\n"
    "    return strcmp(vae_error(WEFT_BAD_CPU), vae_error(WEFT_OK)) ? 0 : 10;\n"
    "}\n";

static void a_user_builds_with_the_header(void **state) {
    (void)state;
    struct entry_run *run = entry_run_create(model, &plain);
    void *library = object_open(run, "vae", folder);
    dlclose(library);
    const char *header = weft_codegen.header(run->compiled, "vae", (struct held_blocks){0}, run->diags);
    write_file(arena_printf(run->arena, "%s/vae.h", folder), header, strlen(header));
    write_file(arena_printf(run->arena, "%s/user.c", folder), user, strlen(user));
    const char *build =
        arena_printf(run->arena,
                     "cd %s && cc -std=c17 -Wall -Wextra -Wpedantic -Werror -o user user.c vae.o && "
                     "c++ -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ vae.h && ./user > out.txt",
                     folder);
    assert_int_equal(system(build), 0);
    FILE *file = fopen(arena_printf(run->arena, "%s/out.txt", folder), "r");
    char line[256] = {0};
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    /* weight 5, bias {1,2,3} - 0.5 x: x + weight + bias */
    assert_string_equal(line, "6.5 8 9.5 9.5 12.5 | 0.5 | 5 100\n");
    assert_non_null(strstr(header,
                           "int vae_step(void *weights, void *state, const float *int_, float rate, "
                           "uint64_t seed, float *d_loss_0_out, void *workspace, const weft_exec *exec);"));
    assert_non_null(
        strstr(header, "int vae_sum(const void *weights, const float *x, float *total_out, void *workspace, "
                       "const weft_exec *exec);"));
    entry_run_destroy(run);
}

static void an_object_may_hold_its_blocks(void **state) {
    (void)state;
    const struct codegen_options options = {.no_jit = true};
    struct entry_run *run = entry_run_compile(model, &options);
    struct call_memory *m = call_memory_create(run, "sum", 1, 4);
    size_t size;
    struct held_blocks blocks = {m->weights, m->state};
    const void *object = weft_codegen.object(run->compiled, "held", blocks, &size, run->diags);
    assert_non_null(object);
    write_file(arena_printf(run->arena, "%s/held.o", folder), object, size);
    assert_int_equal(system(arena_printf(run->arena, "cd %s && cc -shared -o held.so held.o -lm", folder)),
                     0);
    void *library = dlopen(arena_printf(run->arena, "%s/held.so", folder), RTLD_NOW | RTLD_LOCAL);
    const unsigned char *held = dlsym(library, "held_weights");
    assert_int_equal((uintptr_t)held % 64, 0);
    assert_memory_equal(held, m->weights, (size_t)run->plan->weights_bytes);
    const unsigned char *held_state = dlsym(library, "held_state");
    assert_int_equal((uintptr_t)held_state % 64, 0);
    assert_memory_equal(held_state, m->state, (size_t)run->plan->state_bytes);
    const char *header = weft_codegen.header(run->compiled, "held", blocks, run->diags);
    assert_non_null(strstr(header, "extern const unsigned char held_weights[];"));
    assert_non_null(strstr(header, "extern const unsigned char held_state[];"));
    assert_null(weft_codegen.load(run->compiled, run->diags)); /* there is nothing to run in this process */
    dlclose(library);
    entry_run_destroy(run);
}

static void a_size_of_another_build_is_an_error_code(void **state) {
    (void)state;
    static const char text[] = "graph g\n"
                               "fn f() {\n"
                               "  %0 = input {name = \"x\"} : f32[5]\n"
                               "  yield(%0)\n"
                               "}\n";
    struct entry_run *run = entry_run_create(text, &plain);
    struct function *f = run->graph->functions.at[0];
    VEC_PUSH(run->graph->arena, &f->sizes, ((struct dim_binding){"B", 5})); /* as graph_bind notes it */
    void *library = object_open(run, "sized", folder);
    int (*call)(const float *, int64_t, float *, void *, const weft_exec *);
    size_t (*workspace)(int64_t, const weft_exec *);
    *(void **)&call = dlsym(library, "sized_f");
    *(void **)&workspace = dlsym(library, "sized_f_workspace");
    float x[5] = {1, 2, 3, 4, 5}, y[5] = {0};
    _Alignas(64) char memory[4096];
    assert_true(workspace(5, NULL) > 0 && workspace(5, NULL) <= sizeof(memory));
    assert_int_equal(workspace(6, NULL), 0);
    assert_int_equal(call(x, 6, y, memory, NULL), WEFT_BAD_SHAPE);
    assert_int_equal(call(x, 5, y, memory, NULL), 0);
    assert_memory_equal(x, y, sizeof(x));
    dlclose(library);
    entry_run_destroy(run);
}

/* Two functions of one entry, as the driver makes them of `--shape B=2,5 --shape n=3`. */
static const char two_sizes[] = "graph g\n"
                                "fn f_B2() {\n"
                                "  %0 = input {name = \"x\"} : f32[2]\n"
                                "  yield(%0)\n"
                                "}\n"
                                "fn f_B5() {\n"
                                "  %0 = input {name = \"x\"} : f32[5]\n"
                                "  yield(%0)\n"
                                "}\n";

static void make_variant(struct entry_run *run, int at, int64_t size) {
    struct function *f = run->graph->functions.at[at];
    f->entry = "f";
    VEC_PUSH(run->graph->arena, &f->sizes, ((struct dim_binding){"B", size}));
    VEC_PUSH(run->graph->arena, &f->sizes, ((struct dim_binding){"n", 3}));
}

static void one_entry_finds_its_sizes(void **state) {
    (void)state;
    struct entry_run *run = entry_run_create(two_sizes, &plain);
    make_variant(run, 0, 2);
    make_variant(run, 1, 5);
    void *library = object_open(run, "two", folder);
    int (*call)(const float *, int64_t, int64_t, float *, void *, const weft_exec *);
    size_t (*workspace)(int64_t, int64_t, const weft_exec *);
    *(void **)&call = dlsym(library, "two_f");
    *(void **)&workspace = dlsym(library, "two_f_workspace");
    assert_non_null(dlsym(library, "two_f_B2_call"));
    const weft_arg_info *args = dlsym(library, "two_f_B5_args");
    assert_int_equal(args[2].shape[0], 5);
    assert_null(dlsym(library, "two_f_call"));
    _Alignas(64) char memory[4096];
    float x[5] = {1, 2, 3, 4, 5};
    for (int64_t size = 0; size < 7; size++)
        for (int64_t n = 2; n < 5; n++) {
            bool fits = (size == 2 || size == 5) && n == 3;
            float y[5] = {0};
            assert_int_equal(workspace(size, n, NULL) > 0, fits);
            assert_int_equal(call(x, size, n, y, memory, NULL), fits ? WEFT_OK : WEFT_BAD_SHAPE);
            for (int i = 0; i < 5; i++)
                assert_float_equal(y[i], fits && i < size ? x[i] : 0, 0);
        }
    const char *header = weft_codegen.header(run->compiled, "two", (struct held_blocks){0}, run->diags);
    assert_non_null(strstr(header, " *   B: 2 or 5 in this object\n *   n: 3 in this object\n"));
    assert_non_null(
        strstr(header, " *   x: f32[2] where B is 2 and n is 3,\n *     f32[5] where B is 5 and n is 3\n"));
    assert_non_null(strstr(header, "int two_f(const float *x, int64_t B, int64_t n, "));
    dlclose(library);
    entry_run_destroy(run);
}

/* An int parameter may change what comes out: then no prototype is for both. */
static void sizes_with_other_results_are_refused(void **state) {
    (void)state;
    static const char text[] = "graph g\n"
                               "fn f_n1() {\n"
                               "  %0 = input {name = \"x\"} : f32[2]\n"
                               "  yield(%0)\n"
                               "}\n"
                               "fn f_n2() {\n"
                               "  %0 = input {name = \"x\"} : f32[2]\n"
                               "  yield(%0, %0)\n"
                               "}\n";
    struct entry_run *run = entry_run_create(text, &plain);
    make_variant(run, 0, 1);
    make_variant(run, 1, 2);
    assert_null(weft_codegen.header(run->compiled, "two", (struct held_blocks){0}, run->diags));
    assert_non_null(strstr(diag_message(run->diags, 0), "`f` has other inputs or results at other sizes"));
    entry_run_destroy(run);
}

/* An object for a CPU that this machine is not: a code, not a crash. */
static void another_cpu_is_an_error_code(void **state) {
    (void)state;
    if (__builtin_cpu_supports("avx512bf16"))
        skip();
    const struct codegen_options options = {.workers = 1, .cpu = "sapphirerapids"};
    struct entry_run *run = entry_run_create(checked, &options);
    void *library = object_open(run, "alien", folder);
    struct call_memory *m = call_memory_create(run, "f", 1, 1);
    weft_call *call = (weft_call *)(uintptr_t)dlsym(library, "alien_f_call");
    assert_int_equal(call_entry(run, call, m, NULL), WEFT_BAD_CPU);
    dlclose(library);
    entry_run_destroy(run);
}

/* Objects for other CPUs than this one: well formed, of their machine, with the symbols that users want. */
static void objects_are_made_for_every_kind_of_cpu(void **state) {
    (void)state;
    static const struct {
        const char *cpu;
        unsigned char machine; /* e_machine of the ELF header */
    } targets[] = {{"x86-64", 62}, {"haswell", 62}, {"x86-64-v4", 62}, {"aarch64", 183}};
    for (int i = 0; i < 4; i++) {
        const struct codegen_options options = {.workers = 2, .cpu = targets[i].cpu};
        struct entry_run *run = entry_run_compile(layer, &options);
        size_t size;
        const unsigned char *object =
            weft_codegen.object(run->compiled, "layer", (struct held_blocks){0}, &size, run->diags);
        assert_non_null(object);
        assert_memory_equal(object, "\177ELF", 4);
        assert_int_equal(object[18], targets[i].machine);
        assert_non_null(memmem(object, size, "layer_f_workspace", 18));
        const char *assembly = weft_codegen.assembly(run->compiled, run->diags);
        assert_non_null(strstr(assembly, "weft_entry_f:"));
        assert_true(targets[i].machine != 183 || strstr(assembly, "fmla"));
        entry_run_destroy(run);
    }
}

/* A product of few rows of bf16: pairs where the CPU has them, else conversions to f32. */
static void bf16_uses_the_cpus_dot_product(void **state) {
    (void)state;
    static const char product[] =
        "graph g\nfn f(y) {\n"
        "  %0 = input {name = \"x\"} : bf16[2,333]\n  %1 = input {name = \"w\"} : bf16[40,333]\n"
        "  %2 = kernel(%0, %1) {kind = \"contract\", name = \"k\"} : bf16[2,40] "
        "region(%3: bf16[2,333], %4: bf16[40,333]) {\n"
        "    %5 = dot(%3, %4) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : "
        "bf16[2,40]\n    yield(%5)\n  }\n"
        "  yield(%2)\n}\n";
    static const struct {
        const char *cpu;
        bool has_it;
    } targets[] = {
        {"x86-64-v4", false}, {"znver4", true}, {"sapphirerapids", true}, {"icelake-server", false}};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        const struct codegen_options options = {.workers = 1, .cpu = targets[i].cpu, .no_jit = true};
        struct entry_run *run = entry_run_compile(product, &options);
        const char *assembly = weft_codegen.assembly(run->compiled, run->diags);
        assert_int_equal(strstr(assembly, "vdpbf16ps") != NULL, targets[i].has_it);
        assert_true(targets[i].has_it || strstr(assembly, "vfmadd"));
        entry_run_destroy(run);
    }
}

/* ---- the cache ---- */

static void the_second_compile_comes_from_the_cache(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const struct codegen_options options = {.workers = 2, .cache = arena_printf(arena, "%s/cache", folder)};
    const char *text = random_program(arena, 4242);
    struct entry_run *first = entry_run_create(text, &options), *second = entry_run_create(text, &options);
    struct codegen_times cold = weft_codegen.times(first->compiled),
                         warm = weft_codegen.times(second->compiled);
    assert_int_equal(cold.from_cache, 0);
    assert_true(cold.modules > 1);
    assert_int_equal(warm.from_cache, warm.modules);
    assert_true(warm.llvm == 0);
    struct call_memory *a = call_memory_create(first, "f", 1, 5), *b = call_memory_create(second, "f", 1, 5);
    assert_int_equal(call_entry(first, weft_codegen.entry(first->loaded, "f"), a, NULL), 0);
    assert_int_equal(call_entry(second, weft_codegen.entry(second->loaded, "f"), b, NULL), 0);
    expect_same(first, a, b);
    /* another target shares nothing with it */
    const struct codegen_options other = {.workers = 2, .cache = options.cache, .cpu = "x86-64"};
    struct entry_run *third = entry_run_create(text, &other);
    assert_int_equal(weft_codegen.times(third->compiled).from_cache, 0);
    entry_run_destroy(first);
    entry_run_destroy(second);
    entry_run_destroy(third);
    arena_destroy(arena);
}

static int64_t count_up(void) {
    static int64_t time = 0;
    return ++time;
}

/* The events of one call, which has the bits of a build that does not profile. */
static struct profile_log *profile_call(struct entry_run *run, struct call_memory *m, int64_t capacity) {
    int count = m->plan->arguments.count;
    struct profile_log *log = arena_alloc(run->arena, sizeof *log + (size_t)capacity * sizeof *log->events);
    *log = (struct profile_log){.capacity = capacity, .now = count_up};
    void **args = ARENA_ARRAY(run->arena, void *, count + 1);
    for (int i = 0; i < count; i++)
        args[i] = m->args[i];
    args[count] = log;
    assert_int_equal(weft_codegen.entry(run->loaded, "f")(args, m->workspace, &two_threads), 0);
    return log;
}

static void a_profile_has_an_event_behind_each_phase(void **state) {
    (void)state;
    const char *text =
        "graph g\nfn f(_) {\n  %x = input {name = \"x\"} : f32[8]\n"
        "  %lo = const {data = 0} : i32[]\n  %hi = const {data = 3} : i32[]\n"
        "  %a = kernel(%x) {kind = \"nest\", name = \"first\"} : f32[8] region(%p: f32[8]) {\n"
        "    %q = exp(%p) : f32[8]\n    yield(%q)\n  }\n"
        "  %b = loop(%lo, %hi, %a) {carried = 1, reverse = 0} : f32[8] region(%i: i32[], %c: f32[8]) {\n"
        "    %d = kernel(%c) {kind = \"nest\", name = \"turn\"} : f32[8] region(%e: f32[8]) {\n"
        "      %s = sin(%e) : f32[8]\n      yield(%s)\n    }\n    yield(%d)\n  }\n  yield(%b)\n}\n";
    const struct codegen_options options = {.workers = 1, .profile = true};
    struct entry_run *quiet = entry_run_create(text, &plain), *run = entry_run_create(text, &options);
    struct call_memory *a = call_memory_create(quiet, "f", 2, 5), *b = call_memory_create(run, "f", 2, 5);
    assert_int_equal(call_entry(quiet, weft_codegen.entry(quiet->loaded, "f"), a, &two_threads), 0);
    const struct profile_log *log = profile_call(run, b, 64);
    expect_same(quiet, a, b);
    int row_count, firsts = 0, turns = 0;
    const struct profile_row *rows = weft_codegen.profile_rows(run->compiled, &row_count);
    assert_int_equal(log->events[0].row, -1);
    for (int64_t i = 1; i < log->count; i++) {
        assert_in_range(log->events[i].row, 0, row_count - 1);
        assert_true(log->events[i].time > log->events[i - 1].time);
        const struct op *kernel = rows[log->events[i].row].kernel;
        firsts += kernel && strcmp(op_string(kernel, ATTR_name), "first") == 0;
        turns += kernel && strcmp(op_string(kernel, ATTR_name), "turn") == 0;
    }
    assert_int_equal(firsts, 1);
    assert_int_equal(turns, 3);
    /* A log that is full keeps its bounds and counts on. */
    const struct profile_log *full = profile_call(run, b, 2);
    assert_int_equal(full->count, log->count);
    entry_run_destroy(quiet);
    entry_run_destroy(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_has_an_event_behind_each_phase),
        cmocka_unit_test(random_programs_keep_every_bit),
        cmocka_unit_test(objects_have_the_bits_of_the_jit),
        cmocka_unit_test(many_tasks_give_the_bits_of_one_thread),
        cmocka_unit_test(a_product_updates_states_in_place),
        cmocka_unit_test(openblas_gives_the_same_but_for_rounding),
        cmocka_unit_test(openblas_takes_matrices_as_they_lie),
        cmocka_unit_test(a_failed_check_is_a_code_with_a_message),
        cmocka_unit_test(a_user_builds_with_the_header),
        cmocka_unit_test(an_object_may_hold_its_blocks),
        cmocka_unit_test(a_size_of_another_build_is_an_error_code),
        cmocka_unit_test(one_entry_finds_its_sizes),
        cmocka_unit_test(sizes_with_other_results_are_refused),
        cmocka_unit_test(another_cpu_is_an_error_code),
        cmocka_unit_test(objects_are_made_for_every_kind_of_cpu),
        cmocka_unit_test(bf16_uses_the_cpus_dot_product),
        cmocka_unit_test(the_second_compile_comes_from_the_cache),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
