/* Kernels compute what the ops they are made of computed: each text of tests/passes/fuse, evaluated before
 * and after. */
#include "base/source.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "passes/pipeline.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 16);
    size_t size = fread(text, 1, (1 << 16) - 1, file);
    fclose(file);
    text[size] = 0;
    return text;
}

static struct tensor *ramp(struct arena *arena, const struct type *type, int salt) {
    struct tensor *t = tensor_create(arena, type);
    for (int64_t i = 0; i < type_elements(type); i++)
        if (dtype_is_float(type->dtype))
            t->f[i] = float_round(type->dtype, (double)((i * 37 + salt * 11) % 101) / 50 - 1);
        else
            t->i[i] = (i + salt) % (type->dtype == DTYPE_bool ? 2 : 4);
    return t;
}

struct outcome {
    struct tensor *results[16], *reports[16];
    struct tensor *states[16];
};

static void evaluate(struct arena *arena, struct graph *g, struct diags *diags, struct outcome *out) {
    *out = (struct outcome){0};
    struct function *f = g->functions.at[0];
    struct tensor *in[16];
    int count = 0;
    FOR_EACH_OP (op, f->body)
        if (op->code == OP_input)
            in[count] = ramp(arena, op->out[0]->type, count), count++;
    struct eval *eval = eval_create(arena, g, EVAL_EXACT, diags);
    for (int i = 0; i < g->states.count; i++)
        eval_set_state(eval, g->states.at[i], ramp(arena, g->states.at[i]->type, 20 + i));
    assert_true(eval_function(eval, f, in, count, out->results, out->reports));
    for (int i = 0; i < g->states.count; i++)
        out->states[i] = eval_state(eval, g->states.at[i]);
}

static void assert_same(struct tensor *const *a, struct tensor *const *b, const char *path) {
    for (int i = 0; i < 16; i++) {
        assert_int_equal(a[i] != NULL, b[i] != NULL);
        if (a[i] && memcmp(a[i]->i, b[i]->i, sizeof(int64_t) * (size_t)type_elements(a[i]->type)) != 0)
            fail_msg("%s: value %d changed", path, i);
    }
}

static void check_file(const char *path) {
    struct arena *arena = arena_create();
    struct diags *diags = diags_create(arena);
    char *text = read_file(path), *begin = strstr(text, "--- before\n"), *end = strstr(text, "--- after\n");
    assert_non_null(begin);
    begin += strlen("--- before\n");
    const struct source *source = source_create(arena, path, begin, (size_t)(end - begin));
    struct types *types = types_create(arena);
    struct graph *g = graph_parse(arena, types, interner_create(arena), source, diags);
    assert_non_null(g);
    struct outcome before, after;
    evaluate(arena, g, diags, &before);
    struct pass_context context = {.arena = arena,
                                   .diags = diags,
                                   .functions = g->functions.at,
                                   .function_count = g->functions.count,
                                   .verify = true};
    context.scratch = arena_create();
    assert_true(pipeline_find("fuse")->run(g, &context));
    assert_true(graph_verify(g, diags, "fuse"));
    arena_destroy(context.scratch);
    evaluate(arena, g, diags, &after);
    assert_same(before.results, after.results, path);
    assert_same(before.reports, after.reports, path);
    assert_same(before.states, after.states, path);
    free(text);
    arena_destroy(arena);
}

static void kernels_compute_what_their_ops_did(void **state) {
    (void)state;
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/tests/passes/fuse",
             getenv("SOURCE_DIR") ? getenv("SOURCE_DIR") : ".");
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".test"))
            continue;
        char path[8192];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        check_file(path);
        count++;
    }
    closedir(dir);
    assert_true(count > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_compute_what_their_ops_did)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
