/* What kernels make of weights alone, made when they are loaded: places, bits, and who may have it. */
#include "support_entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[] = "/tmp/weft_packing_XXXXXX";

static const struct codegen_options packed = {.workers = 2, .pack_weights = true};

#define WINDOW                                                                                               \
    "{stride = [1, 1], pad_lo = [1, 1], pad_hi = [1, 1], dilation = [1, 1], lhs_dilation = [1, 1], groups "  \
    "= 1}"
#define CONV(result, x, w)                                                                                   \
    "  %" result " = kernel(%" x ", %" w                                                                     \
    ") {kind = \"contract\", name = \"k\"} : f32[1,32,32,32] region(%" result "1: f32[1,32,32,32], %" result \
    "2: f32[32,32,3,3]) {\n    %" result "3 = conv(%" result "1, %" result "2) " WINDOW                      \
    " : f32[1,32,32,32]\n    yield(%" result "3)\n  }\n"

/* Two windows of one weight and one of another, in a loop; an init; and where it is wanted, a step. */
static const char init[] =
    "init init() {\n"
    "  %0 = input {name = \"seed\"} : u32[2]\n"
    "  %1 = kernel(%0) {kind = \"nest\", name = \"n\"} : f32[32,32,3,3] region(%2: u32[2]) {\n"
    "    %6 = iota {axis = 1} : i32[32,32,3,3]\n"
    "    %3 = cast(%6) : f32[32,32,3,3]\n"
    "    %4 = const {data = 0.01} : f32[]\n"
    "    %5 = mul(%3, %4) : f32[32,32,3,3]\n"
    "    yield(%5)\n"
    "  }\n"
    "  write(%1) {state = @a}\n"
    "  write(%1) {state = @b}\n"
    "  yield\n"
    "}\n";
static const char apply[] =
    "fn f(y) {\n"
    "  %0 = input {name = \"x\"} : f32[1,32,32,32]\n"
    "  %1 = read {state = @a} : f32[32,32,3,3]\n"
    "  %2 = read {state = @b} : f32[32,32,3,3]\n"
    "  %3 = const {data = 0} : i32[]\n"
    "  %4 = const {data = 2} : i32[]\n" CONV("5", "0", "1") CONV(
        "6", "5", "2") "  %7 = loop(%3, %4, %6, %1) {carried = 1, reverse = 0} : f32[1,32,32,32] region(%70: "
                       "i32[], %8: "
                       "f32[1,32,32,32], %9: f32[32,32,3,3]) {\n" CONV("10", "8", "9") "    yield(%10)\n  }\n"
                                                                                       "  yield(%7)\n"
                                                                                       "}\n";
static const char step[] = "train step() {\n"
                           "  %0 = read {state = @a} : f32[32,32,3,3]\n"
                           "  %1 = kernel(%0) {kind = \"nest\", name = \"n\"} : f32[32,32,3,3] region(%2: "
                           "f32[32,32,3,3]) {\n"
                           "    %3 = add(%2, %2) : f32[32,32,3,3]\n"
                           "    yield(%3)\n"
                           "  }\n"
                           "  write(%1) {state = @a}\n"
                           "  yield\n"
                           "}\n";

enum { WEIGHT_BYTES = 32 * 32 * 9 * 4 };

static const char *program(struct arena *arena, bool with_step) {
    return arena_printf(arena,
                        "graph p\nstate @a : f32[32,32,3,3] weight\nstate @b : f32[32,32,3,3] weight\n%s%s%s",
                        init, apply, with_step ? step : "");
}

static struct entry_run *compile(bool with_step, const struct codegen_options *options) {
    struct arena *arena = arena_create();
    struct entry_run *run = entry_run_create(program(arena, with_step), options);
    arena_destroy(arena);
    return run;
}

/* The image of a weight that two kernels share is there once, behind the tensors; what nothing packs is as
 * large as its tensors. */
static void equal_work_has_one_place(void **state) {
    (void)state;
    struct entry_run *run = compile(false, &packed);
    size_t all = weft_codegen.weights_bytes(run->compiled);
    assert_int_equal(run->plan->weights_bytes, 2 * WEIGHT_BYTES);
    assert_true(all > 2 * WEIGHT_BYTES + 2 * 4 * WEIGHT_BYTES); /* 36 for each 9 */
    assert_true(all < 2 * WEIGHT_BYTES + 3 * 4 * WEIGHT_BYTES);
    entry_run_destroy(run);
    const struct codegen_options plain = {.workers = 2};
    run = compile(false, &plain);
    assert_int_equal(weft_codegen.weights_bytes(run->compiled), 2 * WEIGHT_BYTES);
    entry_run_destroy(run);
}

static void weights_that_an_entry_writes_are_not_packed(void **state) {
    (void)state;
    struct entry_run *run = compile(true, &packed);
    assert_int_equal(weft_codegen.weights_bytes(run->compiled), 2 * WEIGHT_BYTES);
    entry_run_destroy(run);
}

static void expect_call(struct entry_run *run, weft_call *call, struct call_memory *m,
                        const weft_exec *exec) {
    assert_int_equal(call_entry(run, call, m, exec), WEFT_OK);
}

static void packed_weights_give_the_same_bits(void **state) {
    (void)state;
    const struct codegen_options plain = {.workers = 2};
    struct entry_run *with = compile(false, &packed), *without = compile(false, &plain);
    struct call_memory *before = call_memory_create(with, "f", 1, 3),
                       *a = call_memory_create(with, "f", 1, 3), *b = call_memory_create(without, "f", 1, 3),
                       *c = call_memory_create(with, "f", 2, 3);
    weft_codegen.pack(with->loaded, a->weights);
    weft_codegen.pack(with->loaded, c->weights);
    expect_call(with, weft_codegen.entry(with->loaded, "f"), a, NULL);
    expect_call(with, weft_codegen.entry(with->loaded, "f"), c, &two_threads);
    expect_call(without, weft_codegen.entry(without->loaded, "f"), b, NULL);
    expect_evaluated(with, before, a, 1e-4);
    expect_same(without, a, b);
    expect_same(with, a, c);
    entry_run_destroy(with);
    entry_run_destroy(without);
}

typedef int pack_weights(const void *const raw[], void *weights);
typedef int prepare_weights(void *weights);
typedef int init_weights(void *weights, void *state, uint64_t seed);
typedef size_t weights_size(void);

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found)
        fail_msg("%s", dlerror());
    return found;
}

/* Whoever fills the block, by pack_weights, prepare_weights, init or pack_now: it is the same, and the object
 * has the bits of the JIT. */
static void objects_pack_what_the_jit_packs(void **state) {
    (void)state;
    struct entry_run *run = compile(false, &packed);
    void *library = object_open(run, "p", folder);
    size_t size = weft_codegen.weights_bytes(run->compiled);
    assert_int_equal(((weights_size *)(uintptr_t)symbol(library, "p_weights_size"))(), size);
    struct call_memory *jit = call_memory_create(run, "f", 1, 3), *packs = call_memory_create(run, "f", 1, 3),
                       *prepares = call_memory_create(run, "f", 1, 3),
                       *now = call_memory_create(run, "f", 1, 3);
    weft_codegen.pack(run->loaded, jit->weights);
    const void *const raw[] = {jit->weights, jit->weights + WEIGHT_BYTES};
    memset(packs->weights, 0, size);
    assert_int_equal(((pack_weights *)(uintptr_t)symbol(library, "p_pack_weights"))(raw, packs->weights), 0);
    assert_int_equal(((prepare_weights *)(uintptr_t)symbol(library, "p_prepare_weights"))(prepares->weights),
                     0);
    assert_true(weft_codegen.pack_now(run->compiled, now->weights, run->diags));
    expect_call(run, weft_codegen.entry(run->loaded, "f"), jit, NULL);
    weft_call *f = (weft_call *)(uintptr_t)symbol(library, "p_f_call");
    struct call_memory *all[] = {packs, prepares, now};
    for (int i = 0; i < 3; i++) {
        expect_call(run, f, all[i], NULL);
        expect_same(run, jit, all[i]);
    }
    init_weights *fill = (init_weights *)(uintptr_t)symbol(library, "p_init");
    assert_int_equal(fill(packs->weights, packs->state, 7), 0);
    memcpy(prepares->weights, packs->weights, 2 * WEIGHT_BYTES);
    weft_codegen.pack(run->loaded, prepares->weights);
    expect_call(run, f, packs, NULL);
    expect_call(run, f, prepares, NULL);
    expect_same(run, packs, prepares);
    dlclose(library);
    entry_run_destroy(run);
}

static void code_for_another_machine_does_not_pack_here(void **state) {
    (void)state;
    const struct codegen_options options = {.cpu = "aarch64", .no_jit = true, .pack_weights = true};
    struct arena *arena = arena_create();
    struct entry_run *run = entry_run_compile(program(arena, false), &options);
    assert_true(weft_codegen.weights_bytes(run->compiled) > 2 * WEIGHT_BYTES);
    struct call_memory *m = call_memory_create(run, "f", 1, 3);
    assert_false(weft_codegen.pack_now(run->compiled, m->weights, run->diags));
    assert_non_null(strstr(diag_message(run->diags, 0), "which this machine does not run"));
    entry_run_destroy(run);
    arena_destroy(arena);
}

int main(void) {
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_work_has_one_place),
        cmocka_unit_test(weights_that_an_entry_writes_are_not_packed),
        cmocka_unit_test(packed_weights_give_the_same_bits),
        cmocka_unit_test(objects_pack_what_the_jit_packs),
        cmocka_unit_test(code_for_another_machine_does_not_pack_here),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) || failed;
}
