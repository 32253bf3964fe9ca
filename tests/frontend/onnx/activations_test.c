/* Functions of one number are known by their values, however they are written. */
#include "onnx/activations.h"

#include "ir/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *body;
    double (*exact)(double x);
    bool is;
} cases[] = {
    {"  %n = neg(%x)\n  %e = exp(%n)\n  %d = add(%e, %one)\n  %y = div(%one, %d)\n", exact_sigmoid, true},
    {"  %h = mul(%x, %half)\n  %t = tanh(%h)\n  %d = mul(%t, %half)\n  %y = add(%d, %half)\n", exact_sigmoid,
     true},
    {"  %n = neg(%x)\n  %e = exp(%n)\n  %d = add(%e, %one)\n  %y = div(%x, %d)\n", exact_silu, true},
    {"  %n = neg(%x)\n  %e = exp(%n)\n  %d = add(%e, %one)\n  %y = div(%x, %d)\n", exact_sigmoid, false},
    /* 1.0001 in place of 1 */
    {"  %n = neg(%x)\n  %e = exp(%n)\n  %d = add(%e, %near)\n  %y = div(%x, %d)\n", exact_silu, false},
    {"  %z = mul(%x, %root)\n  %r = erf(%z)\n  %s = add(%r, %one)\n  %h = mul(%x, %half)\n  %y = mul(%h, "
     "%s)\n",
     exact_gelu, true},
    /* the approximation by tanh is another function */
    {"  %q = mul(%x, %x)\n  %c = mul(%q, %x)\n  %k = mul(%c, %cubic)\n  %s = add(%x, %k)\n  %m = mul(%s, "
     "%scale)\n"
     "  %t = tanh(%m)\n  %u = add(%t, %one)\n  %h = mul(%x, %half)\n  %y = mul(%h, %u)\n",
     exact_gelu, false},
    /* of two numbers, and not of one place alone */
    {"  %w = input {name = \"w\"} : f32[2,3]\n  %n = neg(%w)\n  %e = exp(%n)\n  %d = add(%e, %one)\n  %y = "
     "div(%x, %d)\n",
     exact_silu, false},
    {"  %r = reduce(%x) {axes = [0], kind = \"max\"}\n  %y = add(%x, %r)\n", exact_silu, false},
};

static void known_by_their_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_create();
        struct diags *diags = diags_create(arena);
        const char *text = arena_printf(
            arena,
            "graph g\nfn f() {\n  %%x = input {name = \"x\"} : f32[2,3]\n"
            "  %%one = const {data = 1} : f32[]\n  %%half = const {data = 0.5} : f32[]\n"
            "  %%near = const {data = 1.0001} : f32[]\n  %%root = const {data = 0.70710677} : f32[]\n"
            "  %%cubic = const {data = 0.044715} : f32[]\n  %%scale = const {data = 0.7978846} : f32[]\n"
            "%s  yield(%%y)\n}\n",
            cases[i].body);
        const struct source *source = source_create(arena, "test.ir", text, strlen(text));
        struct graph *graph = graph_parse(arena, types_create(arena), interner_create(arena), source, diags);
        if (!graph)
            fail_msg("%s\n%s", text, diag_message(diags, 0));
        const struct block *body = graph->functions.at[0]->body;
        if (value_is_function(block_yield(body)->in[0], body->first->out[0], cases[i].exact) != cases[i].is)
            fail_msg("%s: not as it should be", cases[i].body);
        arena_destroy(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_by_their_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
