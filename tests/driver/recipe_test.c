/* Recipes: what is read, and how each kind of mistake is told. */
#include "driver/recipe.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char head[] =
    "model: m.weft:VAE\ndata: {train: {kind: idx, dir: data}, test: {kind: idx, dir: data, split: test}}\n"
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

/* A text from tests/fuzz/corpus/driver_recipe: files that hold every key, with paths that are everywhere. */
static struct recipe *parse_corpus(struct fixture *f, const char *name) {
    const char *why, *root = getenv("SOURCE_DIR");
    const char *path =
        arena_printf(f->arena, "%s/tests/fuzz/corpus/driver_recipe/%s", root ? root : ".", name);
    const struct source *source = source_read(f->arena, path, &why);
    assert_non_null(source);
    struct recipe *recipe = parse(f, source->text);
    if (!recipe)
        fail_msg("%s: %s", name, diag_message(f->diags, 0));
    return recipe;
}

static void reads_the_keys_of_a_run(void **state) {
    struct fixture *f = *state;
    struct recipe *r = parse_corpus(f, "whole.yaml");
    assert_string_equal(r->model_path, "/dev/null");
    assert_string_equal(r->model_name, "VAE");
    static const char *const values[] = {"400", "[1, [2, 4]]", "\"hybrid\"", "\"12\"", "true", "none"};
    assert_int_equal(r->settings.count, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(r->settings.at[i].value, values[i]);
    assert_int_equal(r->seed, 7);
    assert_int_equal(r->threads, 2);
    assert_int_equal(r->memory, 3 << 29);
    assert_true(r->skip_nan);
    const struct recipe_phase *p = &r->phases.at[0];
    assert_int_equal(r->phases.count, 1);
    assert_true(p->batch == 32 && p->accumulate == 3 && p->epochs == 2 && p->steps == 0);
    assert_string_equal(p->train, "step");
    assert_ptr_equal(p->source.data, recipe_find_data(r, "train"));
    const struct recipe_load *l = &r->whole.load.at[0];
    assert_string_equal(l->prefix, "model.");
    assert_true(l->missing.count == 1 && l->ignore.count == 2);
    assert_string_equal(r->fit.at[0].into, "norm.mean");
    assert_string_equal(r->dir, arena_printf(f->arena, "%s/runs/vae", f->folder));
    assert_true(r->checkpoint.count == 1 && r->checkpoint.in_epochs && r->keep == 3);
    assert_string_equal(r->best, "elbo");
    assert_true(r->log.count == 10 && !r->log.in_epochs);
    assert_string_equal(r->log_json, "l.jsonl"); /* in the run's folder */
    assert_string_equal(r->log_html, arena_printf(f->arena, "%s/r/page.html", f->folder));
    recipe_finish(r);
}

static void reads_evaluations_and_samples(void **state) {
    struct fixture *f = *state;
    struct recipe *r = parse_corpus(f, "whole.yaml");
    const struct recipe_evaluate *e = r->evaluate.at;
    assert_ptr_equal(e[0].source.data, recipe_find_data(r, "held"));
    assert_true(e[0].turn.count == 2 && e[0].turn.in_epochs && !e[0].turn.at_end &&
                e[0].reduce == REDUCE_MEAN);
    assert_true(e[0].batch == 100 && e[0].rows == 1000 && e[0].patience == 3);
    assert_string_equal(e[0].watch, "-elbo");
    assert_true(!e[1].source.data && e[1].turn.at_end && e[1].reduce == REDUCE_LIST &&
                e[1].inputs.count == 2);
    const struct recipe_samples *s = r->samples.at;
    assert_string_equal(s[0].inputs.at[1].raw, "repeat(0..10, 8)");
    assert_true(s[0].rows == 8 && s[0].columns == 4 && s[0].turn.count == 500 && !s[0].turn.in_epochs);
    assert_string_equal(s[0].save, arena_printf(f->arena, "%s/out/x-{i}.png", f->folder));
    assert_string_equal(s[1].from, "encode");
    assert_string_equal(s[1].beside, "input");
    assert_string_equal(s[1].source.field, "image");
    assert_true(s[1].turn.at_end);
    recipe_finish(r);
}

static void reads_data_and_phases(void **state) {
    struct fixture *f = *state;
    struct recipe *r = parse_corpus(f, "phases.yaml");
    const struct weft_dataset_options *o = &recipe_find_data(r, "a")->options;
    assert_memory_equal(o->steps.crop, ((int[]){1, 2, 30, 40}), sizeof o->steps.crop);
    assert_true(o->steps.resize[0] == 9 && o->steps.resize[1] == 8 && o->steps.rotate == 10 &&
                o->steps.flip && o->skip_broken);
    assert_true(o->steps.random_crop[0] == 8 && o->steps.random_crop[1] == 8 && o->steps.center_crop[1] == 4);
    o = &recipe_find_data(r, "b")->options;
    assert_true(o->field_count == 3 && o->fields[0].dtype == WEFT_I32 && o->fields[2].dtype == WEFT_U8);
    o = &recipe_find_data(r, "c")->options;
    assert_true(o->other && o->steps.resize[0] == 286 && o->steps.resize[1] == 0);
    o = &recipe_find_data(r, "d")->options;
    assert_true(o->text_length == 77 && o->merges && o->steps.center_crop[0] == 512 && o->hi == 1);
    assert_memory_equal(recipe_find_data(r, "e")->options.steps.crop, ((int[]){0, 0, 3, 3}),
                        sizeof o->steps.crop);
    assert_string_equal(recipe_find_data(r, "f")->options.split, "test");
    assert_int_equal(recipe_find_data(r, "a")->shuffle, -1);
    const struct recipe_phase *p = r->phases.at;
    assert_int_equal(r->phases.count, 3);
    assert_true(p[0].batch == 4 && p[0].accumulate == 1 && p[0].epochs == 3 && !p[0].model);
    assert_true(p[1].accumulate == 2 && p[1].steps == 7 && p[1].settings.count == 1);
    assert_string_equal(p[1].source.field, "c");
    assert_string_equal(p[2].load.at[0].from, "Other");
    assert_string_equal(r->dir, arena_printf(f->arena, "%s/runs/r", f->folder)); /* by the recipe's name */
    recipe_finish(r);
}

/* The recipes of the zoo are free of mistakes; their data and weights need not be here. */
static void the_zoo_reads(void **state) {
    struct fixture *f = *state;
    const char *root = getenv("SOURCE_DIR"), *why;
    struct dirent **names;
    const char *folder = arena_printf(f->arena, "%s/models", root ? root : ".");
    int count = scandir(folder, &names, NULL, alphasort), recipes = 0;
    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(names[i]->d_name, '.');
        if (dot && strcmp(dot, ".yaml") == 0) {
            const struct source *source =
                source_read(f->arena, arena_printf(f->arena, "%s/%s", folder, names[i]->d_name), &why);
            diags_clear(f->diags);
            recipe_finish(recipe_parse(f->arena, source, f->diags));
            for (int k = 0; k < diags_count(f->diags); k++)
                if (!strstr(diag_message(f->diags, k), "cannot be read"))
                    fail_msg("%s: %s", names[i]->d_name, diag_message(f->diags, k));
            recipes++;
        }
        free(names[i]);
    }
    free(names);
    assert_true(recipes > 5);
}

static void tells_mistakes(void **state) {
    static const char number[] = "a whole number from 1 is wanted here, not `0`";
    static const struct {
        const char *more, *message;
    } mistakes[] = {
        {"evalute: []\n", "there is no key `evalute` here"},
        {"optimizer: adam\n", "there is no key `optimizer` here"},
        {"seed: seven\n", "a whole number from 0 is wanted here, not `seven`"},
        {"seed: \"7\"\n", "a whole number from 0 is wanted here, not `7`"},
        {"threads: [1]\n", "a whole number from 1 is wanted here, not a list"},
        {"threads: 0\n", number},
        {"accumulate: 0\n", number},
        {"precision: f16\n", "f32 or bf16 is wanted here, not `f16`"},
        {"memory: big\n", "a size such as 512M or 2G is wanted here, not `big`"},
        {"memory: 12X\n", "a size such as 512M or 2G is wanted here, not `12X`"},
        {"train: []\n", "a text is wanted here, not a list"},
        {"steps: 100\n", "a recipe says how long it runs by `epochs` or by `steps`"},
        {"batch: 2\n", "the key `batch` is given twice"},
        {"on_nan: ignore\n", "stop or skip is wanted here, not `ignore`"},
        {"set: [1]\n", "a map of names to values is wanted here, not a list"},
        {"set: {a: {b: 1}}\n", "a number, a text or a list is wanted here, not a map"},
        {"evaluate: [{fn: bound, data: tset}]\n", "`data` has no set named `tset`"},
        {"evaluate: [{data: test}]\n", "the key `fn` is missing here"},
        {"evaluate: 7\n", "a list of maps is wanted here, not `7`"},
        {"evaluate: [{fn: bound, data: test, every: 2 weeks}]\n",
         "a turn such as `1 epoch` or `500 steps` is wanted here, not `2 weeks`"},
        {"evaluate: [{fn: bound, data: test, at: start}]\n", "`end` is wanted here, not `start`"},
        {"evaluate: [{fn: bound, data: test, rows: 0}]\n", number},
        {"evaluate: [{fn: bound, data: test, reduce: max}]\n", "mean, sum or list is wanted here, not `max`"},
        {"evaluate: [{fn: bound, data: test, every: 1 epoch, stop: {watch: elbo}}]\n",
         "the key `patience` is missing here"},
        {"evaluate: [{fn: bound, data: test, stop: {watch: elbo, patience: 3}}]\n",
         "`stop` wants an evaluation with `every`"},
        {"evaluate: [{fn: bound, data: test, every: 1 epoch, reduce: list, stop: {watch: elbo, patience: "
         "3}}]\n",
         "`stop` watches one number: `reduce: mean` or `sum`"},
        {"samples: {fn: sample, grid: [8]}\n", "a grid such as [8, 8] is wanted here, not a list"},
        {"samples: {fn: sample, in: [8]}\n", "a map of names to values is wanted here, not a list"},
        {"samples: {fn: sample, in: {n: 1}, set: {n: 2}}\n", "`n` is given in `in` and in `set`"},
        {"samples: {fn: sample, from: encode}\n", "`from` wants `data`"},
        {"samples: {fn: sample, beside: input}\n", "`beside` wants `data`"},
        {"samples: {fn: sample, save: x.gif}\n",
         "npy, or a path that ends in .png or .npy is wanted here, not `x.gif`"},
        {"fit: [{fn: average, data: train}]\n", "the key `into` is missing here"},
        {"fit: [{fn: average, into: m}]\n", "the key `data` is missing here"},
        {"load: {into: .}\n", "the key `file` is missing here"},
        {"load: {file: m.weft, from: A}\n", "`file` and `from` exclude each other"},
        {"load: {from: A}\n", "`from` belongs into a phase"},
        {"load: {file: m.weft, missing: a}\n", "a list of texts is wanted here, not `a`"},
        {"log: {evry: 1 epoch}\n", "there is no key `evry` here"},
        {"phases: [{train: a, epochs: 1}]\n",
         "with `phases`, each of them says its train block and its length"},
        {"seed: *anchor\n", "aliases are not used in recipes: write the value out"},
        {"seed: {a: [\n", "not YAML: did not find expected node content"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        refused(f, mistakes[i].more, mistakes[i].message);
    refused(
        f, "load: {file: no.safetensors}\n",
        arena_printf(f->arena, "`%s/no.safetensors` cannot be read: No such file or directory", f->folder));
}

/* One set in the place of `train`. */
static void set_refused(struct fixture *f, const char *set, const char *message) {
    assert_null(
        parse(f, arena_printf(f->arena, "model: m.weft\nbatch: 1\nsteps: 1\ndata: {train: %s}\n", set)));
    assert_string_equal(diag_message(f->diags, 0), message);
    assert_true(span_is_known(diag_span(f->diags, 0)));
}

static void tells_mistakes_of_data(void **state) {
    static const struct {
        const char *set, *message;
    } mistakes[] = {
        {"{dir: data}", "the key `kind` is missing here"},
        {"{kind: mnits, dir: data}", "a kind of data (idx, mnist, cifar10, npz, npy, images, folders, "
                                     "unpaired, pairs) is wanted here, not `mnits`"},
        {"{kind: mnist}", "the key `dir` is missing here"},
        {"{kind: npz}", "the key `file` is missing here"},
        {"{kind: unpaired, a: data}", "the key `b` is missing here"},
        {"{kind: pairs}", "the key `table` is missing here"},
        {"{kind: mnist, file: m.weft}", "data of kind `mnist` have no key `file`"},
        {"{kind: images, dir: data, fields: {a: f32}}", "data of kind `images` have no key `fields`"},
        {"{kind: npz, file: m.weft, fields: {a: f64}}",
         "f32, i32, or u8 for pictures is wanted here, not `f64`"},
        {"{kind: mnist, dir: data, split: valid}", "train, test or held is wanted here, not `valid`"},
        {"{kind: mnist, dir: data, hold_out: -1}", "a whole number from 0 is wanted here, not `-1`"},
        {"{kind: mnist, dir: data, gray: yes}", "true or false is wanted here, not `yes`"},
        {"{kind: mnist, dir: data, flip: 1}", "true or false is wanted here, not `1`"},
        {"{kind: mnist, dir: data, resize: [1, 2, 3]}",
         "a size such as 64 (of the shorter side) or [height, width] is wanted here, not a list"},
        {"{kind: mnist, dir: data, center_crop: 0}",
         "a size such as 64 or [height, width] is wanted here, not `0`"},
        {"{kind: mnist, dir: data, random_crop: 70000}",
         "a size of at most 65536 pixels is wanted here, not `70000`"},
        {"{kind: mnist, dir: data, crop: [1, 2, 3]}",
         "[height, width] or [top, left, height, width] is wanted here, not a list"},
        {"{kind: mnist, dir: data, rotate: 200}", "an angle from 0 to 180 degrees is wanted here, not `200`"},
        {"{kind: mnist, dir: data, range: [1, -1]}",
         "a range with its lower end first is wanted here, not a list"},
        {"{kind: mnist, dir: data, range: 1}", "a range such as [-1, 1] is wanted here, not `1`"},
        {"{kind: mnist, dir: data, on_error: ignore}", "stop or skip is wanted here, not `ignore`"},
        {"{kind: mnist, dir: data, shuffle: 2}", "true or false is wanted here, not `2`"},
        {"{kind: pairs, table: m.weft, text: {length: 7}}", "the key `bpe` is missing here"},
        {"{kind: pairs, table: m.weft, text: {bpe: gpt, length: 7}}",
         "an encoding (clip) is wanted here, not `gpt`"},
        {"{kind: pairs, table: m.weft, image: {kind: png}}", "there is no key `kind` here"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        set_refused(f, mistakes[i].set, mistakes[i].message);
    set_refused(f, "{kind: mnist, dir: nowhere}",
                arena_printf(f->arena, "`%s/nowhere` cannot be read: No such file or directory", f->folder));
    set_refused(f, "{kind: pairs, table: m.weft, text: {bpe: clip, length: 7}}",
                arena_printf(f->arena,
                             "`%s/merges.txt` cannot be read: a byte-pair encoding needs its list of merges",
                             f->folder));
}

static void phases_refused(struct fixture *f, const char *phases, const char *message) {
    assert_null(
        parse(f, arena_printf(f->arena,
                              "model: m.weft\ndata: {train: {kind: idx, dir: data}}\nbatch: 2\nphases: %s\n",
                              phases)));
    assert_string_equal(diag_message(f->diags, 0), message);
}

static void tells_mistakes_of_phases(void **state) {
    struct fixture *f = *state;
    phases_refused(f, "[{train: a}]", "a phase says how long it is by `epochs` or by `steps`");
    phases_refused(f, "[{train: a, epochs: 1, steps: 2}]",
                   "a phase says how long it is by `epochs` or by `steps`");
    phases_refused(f, "[{train: a, epochs: 1, data: tset}]", "`data` has no set named `tset`");
    phases_refused(f, "[{epochs: 1, load: [{file: m.weft}]}]",
                   "`load` in a phase wants `model` or `set`: a model that begins anew");
    phases_refused(f, "[{model: A, epochs: 1, load: [{from: B}]}]",
                   "`from` names the `model` of an earlier phase");
    assert_null(parse(f, "model: m.weft\ndata: {train: {kind: idx, dir: data}}\n"));
    assert_string_equal(diag_message(f->diags, 0),
                        "a recipe says how long it runs by `epochs` or by `steps`");
    struct recipe *r =
        parse(f, "model: m.weft\ndata: {test: {kind: idx, dir: data}}\nsamples: {fn: sample}\n");
    assert_non_null(r); /* nothing is trained */
    assert_int_equal(r->phases.count, 0);
}

/* A map of names, written beside the recipe. */
static bool map_reads(struct fixture *f, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/map.yaml", f->folder);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    struct recipe *r = parse(f, arena_printf(f->arena, "%sload: {file: m.weft, map: map.yaml}\n", head));
    recipe_finish(r);
    return r != NULL;
}

static void maps_of_names(void **state) {
    struct fixture *f = *state;
    assert_true(map_reads(f, "- {match: '^a([0-9]+)', to: 'b.\\1'}\n- {match: x, to: ''}\n"));
    assert_false(map_reads(f, "- {match: '(a', to: b}\n"));
    assert_non_null(strstr(diag_message(f->diags, 0), "`(a` is no regular expression: "));
    assert_non_null(strstr(diag_span(f->diags, 0).source->name, "map.yaml"));
    assert_false(map_reads(f, "- {match: 'a', to: '\\1'}\n"));
    assert_string_equal(diag_message(f->diags, 0), "the expression has no group \\1");
    assert_false(map_reads(f, "- {mach: a, to: b}\n"));
    assert_false(map_reads(f, "- [\n"));
}

static void slips_are_guessed(void **state) {
    struct fixture *f = *state;
    static const char *const slips[][2] = {{"evalute: []\n", "did you mean `evaluate`?"},
                                           {"on_nan: skp\n", "did you mean `skip`?"},
                                           {"evaluate: [{fn: f, data: tets}]\n", "did you mean `test`?"},
                                           {"zzzzzz: 1\n", "the keys here are `model`, `set`"}};
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        assert_null(parse(f, arena_printf(f->arena, "%s%s", head, slips[i][0])));
        struct strbuf text;
        strbuf_init(&text, f->arena);
        diags_render(f->diags, &text, false);
        if (!strstr(text.text, slips[i][1]))
            fail_msg("\"%s\" expected in\n%s", slips[i][1], text.text);
    }
}

static void reports_several_at_once(void **state) {
    struct fixture *f = *state;
    assert_null(parse(f, "model: none.weft\nbatch: -1\ncolour: red\n"));
    assert_true(diags_error_count(f->diags) >= 4); /* the model, the batch, the colour, what is missing */
}

static void hostile_texts_are_refused(void **state) {
    struct fixture *f = *state;
    static const char *const texts[] = {"",
                                        "[]",
                                        "-",
                                        "{",
                                        "\"",
                                        "a: b: c",
                                        "model: []",
                                        "data: {train: []}",
                                        "? [a]\n: b",
                                        "--- a\n--- b",
                                        "model: {m: {m: {m: {m: {m: 1}}}}}",
                                        "\xff\xfe",
                                        "a: !!binary x",
                                        "&a [*a]"};
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
        cmocka_unit_test_setup_teardown(reads_the_keys_of_a_run, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(reads_evaluations_and_samples, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(reads_data_and_phases, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(the_zoo_reads, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(tells_mistakes, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(tells_mistakes_of_data, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(tells_mistakes_of_phases, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(maps_of_names, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(slips_are_guessed, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(reports_several_at_once, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(hostile_texts_are_refused, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
