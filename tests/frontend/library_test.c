/* models/lib in numbers: tests/frontend/library/NAME.test holds a model whose functions take nothing; each is
 * run by the evaluator in f64 and its results (of a train: its reports) are printed. The expected numbers
 * were checked by hand, against Python's math, or against PyTorch 2 in f64. */
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

static int count_ops(const struct block *block, enum opcode code) {
    int count = 0;
    FOR_EACH_OP (op, block) {
        count += op->code == code;
        for (int r = 0; r < op->region_count; r++)
            count += count_ops(op->regions[r], code);
    }
    return count;
}

static void print_reports(struct session *s, const struct block *block, struct tensor **reports, int *next,
                          struct strbuf *out) {
    FOR_EACH_OP (op, block) {
        for (int r = 0; r < op->region_count; r++)
            print_reports(s, op->regions[r], reports, next, out);
        if (op->code == OP_report && reports[(*next)++]) {
            strbuf_printf(out, " %s", op_string(op, ATTR_name));
            print_tensor(s->types, reports[*next - 1], out);
        }
    }
}

/* Its inputs: none but the seed, where it draws. out: NULL prints nothing. */
static bool run_function(struct session *s, struct eval *eval, const struct function *function,
                         struct strbuf *out) {
    const int64_t two = 2;
    struct tensor *seed = tensor_create(s->arena, type_of_sizes(s->types, DTYPE_u32, 1, &two));
    int count = block_yield(function->body)->in_count, next = 0;
    struct tensor **results = ARENA_ARRAY(s->arena, struct tensor *, count + 1),
                  **reports =
                      ARENA_ARRAY(s->arena, struct tensor *, count_ops(function->body, OP_report) + 1);
    if (!eval_function(eval, function, &seed, count_ops(function->body, OP_input), results, reports))
        return false;
    if (!out)
        return true;
    strbuf_printf(out, "%s:", function->name);
    for (int i = 0; i < count; i++)
        print_tensor(s->types, results[i], out);
    print_reports(s, function->body, reports, &next, out);
    strbuf_putc(out, '\n');
    return true;
}

/* Every entry without parameters in order, a train twice. */
static void run_model(struct arena *arena, const char *name, const char *input, size_t length,
                      struct strbuf *out) {
    struct session s = session_start(arena, name, input, length);
    struct instance *model = frontend_instantiate(s.fe, name, NULL, NULL, 0, arena);
    VEC(struct function *) functions = {0};
    for (int i = 0; model && i < instance_entry_count(model); i++) {
        const struct entry *entry = instance_entry(model, i);
        struct function *function =
            entry->param_count == 0 ? instance_elaborate(model, entry->name, NULL, 0, 1) : NULL;
        if (function && open_gradients(&s, instance_graph(model), function->body))
            VEC_PUSH(arena, &functions, function);
    }
    struct function *init = model ? instance_elaborate_init(model) : NULL;
    struct eval *eval = init ? eval_create(arena, instance_graph(model), EVAL_F64, s.diags) : NULL;
    bool runs = eval && run_function(&s, eval, init, NULL);
    for (int i = 0; runs && i < functions.count; i++)
        for (int turn = 0; runs && turn < (functions.at[i]->kind == FUNCTION_TRAIN ? 2 : 1); turn++)
            runs = run_function(&s, eval, functions.at[i], out);
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
