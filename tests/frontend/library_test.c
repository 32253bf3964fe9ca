/* models/lib in numbers: tests/frontend/library/NAME.test holds a model whose functions take nothing; each is
 * run by the evaluator in f64 and its results are printed. The expected numbers were checked by hand or
 * against Python's math. */
#include "support_elaborate.h"
#include "support_golden.h"

#include "ir/eval.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void print_tensor(struct types *types, const struct tensor *t, struct strbuf *out) {
    bool is_float = dtype_is_float(t->type->dtype);
    strbuf_printf(out, " %s", type_text(types, t->type));
    for (int64_t i = 0; i < type_elements(t->type); i++) {
        if (!is_float)
            strbuf_printf(out, " %" PRId64, t->i[i]);
        else
            strbuf_printf(out, " %.6g", fabs(t->f[i]) < 1e-12 ? 0.0 : t->f[i]);
    }
}

static struct tensor *seed_for(struct session *s) {
    const int64_t two = 2;
    return tensor_create(s->arena, type_of_sizes(s->types, DTYPE_u32, 1, &two));
}

/* None but the seed, where it draws. */
static int input_count(struct function *function) {
    int count = 0;
    FOR_EACH_OP (op, function->body)
        count += op->code == OP_input;
    return count;
}

static void run_entry(struct session *s, struct instance *model, const char *name, struct strbuf *out) {
    struct function *function = instance_elaborate(model, name, NULL, 0, 1);
    if (!function)
        return;
    struct eval *eval = eval_create(s->arena, instance_graph(model), EVAL_F64, s->diags);
    struct tensor *seed = seed_for(s);
    int count = function->body->last->in_count;
    struct tensor **results = ARENA_ARRAY(s->arena, struct tensor *, count + 1);
    if (!eval_function(eval, function, &seed, input_count(function), results, NULL))
        return;
    strbuf_printf(out, "%s:", name);
    for (int i = 0; i < count; i++)
        print_tensor(s->types, results[i], out);
    strbuf_putc(out, '\n');
}

static void run_model(struct arena *arena, const char *name, const char *input, size_t length,
                      struct strbuf *out) {
    struct session s = session_start(arena, name, input, length);
    struct instance *model = frontend_instantiate(s.fe, name, NULL, NULL, 0, arena);
    for (int i = 0; model && i < instance_entry_count(model); i++)
        run_entry(&s, model, instance_entry(model, i)->name, out);
    diags_render(s.diags, out, false);
}

static void numbers_are_as_expected(void **state) {
    (void)state;
    assert_int_equal(golden_run("library", run_model), 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--rewrite") == 0)
        setenv("WEFT_GOLDEN", "1", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_are_as_expected)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
