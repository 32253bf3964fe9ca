/* Recipes: what is read, and how each kind of mistake is told. */
#include "driver/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char head[] = "model: m.weft:VAE\ndata: {train: {kind: idx, dir: data}, test: {kind: idx, dir: data, split: test}}\n"
                           "batch: 32\nepochs: 2\ncheckpoint: {dir: runs/vae}\n";

struct fixture {
    struct arena *arena;
    struct diags *diags;
    char folder[64];
};

static int open_fixture(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->arena = arena_create();
    f->diags = diags_create(f->arena);
    strcpy(f->folder, "/tmp/weft-recipe-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    char path[128];
    snprintf(path, sizeof path, "%s/data", f->folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/m.weft", f->folder);
    FILE *file = fopen(path, "w");
    fclose(file);
    *state = f;
    return 0;
}

static int close_fixture(void **state) {
    struct fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
    arena_destroy(f->arena);
    free(f);
    return 0;
}

static struct recipe *parse(struct fixture *f, const char *text) {
    diags_clear(f->diags);
    const char *name = arena_printf(f->arena, "%s/r.yaml", f->folder);
    return recipe_parse(f->arena, source_create(f->arena, name, text, strlen(text)), f->diags);
}

/* The recipe `head` with more behind it is refused with this message, as the first or only one. */
static void refused(struct fixture *f, const char *more, const char *message) {
    assert_null(parse(f, arena_printf(f->arena, "%s%s", head, more)));
    assert_true(diags_error_count(f->diags) > 0);
    assert_string_equal(diag_message(f->diags, 0), message);
    assert_true(span_is_known(diag_span(f->diags, 0)));
}

static void reads_every_key(void **state) {
    struct fixture *f = *state;
    struct recipe *r = parse(f, arena_printf(f->arena, "%s%s", head,
                                             "set: {hidden: 400, mult: [1, 2], kind: hybrid, name: \"12\", on: true}\nseed: 7\nthreads: 2\n"
                                             "evaluate: [{fn: bound, data: test, every: 2 epochs, reduce: mean, batch: 100, rows: 1000}]\n"
                                             "samples: {fn: sample, in: {n: 64}, grid: [8, 4], every: 500 steps}\n"
                                             "log: {every: 10 steps}\non_nan: skip\naccumulate: 3\n"));
    assert_non_null(r);
    assert_string_equal(r->model_name, "VAE");
    assert_int_equal(r->batch, 32);
    assert_int_equal(r->epochs, 2);
    assert_int_equal(r->accumulate, 3);
    assert_int_equal(r->settings.count, 5);
    assert_string_equal(r->settings.at[0].value, "400");
    assert_string_equal(r->settings.at[1].value, "[1, 2]");
    assert_string_equal(r->settings.at[2].value, "\"hybrid\"");
    assert_string_equal(r->settings.at[3].value, "\"12\"");
    assert_string_equal(r->settings.at[4].value, "true");
    assert_ptr_equal(r->evaluate.at[0].data, recipe_find_data(r, "test"));
    assert_true(r->evaluate.at[0].turn.in_epochs);
    assert_int_equal(r->samples.at[0].rows, 8);
    assert_int_equal(r->samples.at[0].columns, 4);
    assert_false(r->samples.at[0].turn.in_epochs);
    assert_true(r->skip_nan);
    assert_string_equal(r->data.at[0]->path, arena_printf(f->arena, "%s/data", f->folder));
}

static void tells_mistakes(void **state) {
    struct fixture *f = *state;
    refused(f, "evalute: []\n", "there is no key `evalute` here");
    refused(f, "phases: []\n", "the key `phases` is not supported by this version");
    refused(f, "seed: seven\n", "a whole number from 0 is wanted here, not `seven`");
    refused(f, "seed: \"7\"\n", "a whole number from 0 is wanted here, not `7`");
    refused(f, "threads: [1]\n", "a whole number from 1 is wanted here, not a list");
    refused(f, "threads: 0\n", "a whole number from 1 is wanted here, not `0`");
    refused(f, "steps: 100\n", "a recipe says how long it runs by `epochs` or by `steps`");
    refused(f, "batch: 2\n", "the key `batch` is given twice");
    refused(f, "evaluate: [{fn: bound, data: tset}]\n", "`data` has no set named `tset`");
    refused(f, "evaluate: [{fn: bound}]\n", "the key `data` is missing here");
    refused(f, "evaluate: [{fn: bound, data: test, every: 2 weeks}]\n", "a turn such as `1 epoch` or `500 steps` is wanted here, not `2 weeks`");
    refused(f, "samples: {fn: sample, grid: [8]}\n", "a grid such as [8, 8] is wanted here, not a list");
    refused(f, "set: [1]\n", "a map of names to values is wanted here, not a list");
    refused(f, "precision: bf16\n", "f32 (bf16 is not supported by this version) is wanted here, not `bf16`");
    refused(f, "on_nan: ignore\n", "stop or skip is wanted here, not `ignore`");
    refused(f, "load: {file: no.safetensors}\n",
            arena_printf(f->arena, "the weights `%s/no.safetensors` cannot be read: No such file or directory", f->folder));
    refused(f, "seed: *anchor\n", "aliases are not used in recipes: write the value out");
    refused(f, "seed: {a: [\n", "not YAML: did not find expected node content");
}

static void reports_several_at_once(void **state) {
    struct fixture *f = *state;
    assert_null(parse(f, "model: none.weft\nbatch: -1\ncolour: red\n"));
    assert_true(diags_error_count(f->diags) >= 4); /* the model, the batch, the colour, what is missing */
}

static void hostile_texts_are_refused(void **state) {
    struct fixture *f = *state;
    static const char *const texts[] = {"", "[]", "-", "{", "\"", "a: b: c", "model: []", "data: {train: []}", "? [a]\n: b", "--- a\n--- b",
                                        "model: {m: {m: {m: {m: {m: 1}}}}}", "\xff\xfe", "a: !!binary x", "&a [*a]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_null(parse(f, texts[i]));
        assert_true(diags_error_count(f->diags) > 0);
    }
    struct strbuf deep;
    strbuf_init(&deep, f->arena);
    for (int i = 0; i < 5000; i++)
        strbuf_putc(&deep, '[');
    assert_null(parse(f, deep.text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_every_key, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(tells_mistakes, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(reports_several_at_once, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(hostile_texts_are_refused, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
