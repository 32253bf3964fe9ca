/* The elaborator: small texts and the graphs that they become (tests/frontend/elaborate/NAME.test), the
 * models of the zoo, and numbers: a model trains in the evaluator, draws are Philox's. */
#include "support_elaborate.h"
#include "support_golden.h"

#include "ir/eval.h"
#include "runtime/philox.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void graphs_are_as_expected(void **state) {
    (void)state;
    assert_int_equal(golden_run("elaborate", elaborate_text), 0);
}

static void values_are_as_expected(void **state) {
    (void)state;
    assert_int_equal(golden_run("values", run_model_text), 0);
}

/* ---- the zoo ---- */

static int elaborate_folder(struct arena *arena, const char *folder, bool with_init) {
    DIR *dir = opendir(folder);
    int broken = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *why;
        if (!strstr(entry->d_name, ".weft"))
            continue;
        const struct source *source =
            source_read(arena, arena_printf(arena, "%s/%s", folder, entry->d_name), &why);
        struct session s = session_start(arena, source->name, source->text, source->length);
        if (elaborate_everything(&s, with_init))
            continue;
        struct strbuf text;
        strbuf_init(&text, arena);
        diags_render(s.diags, &text, false);
        fprintf(stderr, "%s\n", text.text);
        broken++;
    }
    if (dir)
        closedir(dir);
    return dir ? broken : -1;
}

static void assert_folder_elaborates(const char *name, bool with_init) {
    struct arena *arena = arena_create();
    const char *folder = source_folder(arena, name);
    if (!folder) {
        arena_destroy(arena);
        skip();
    }
    int broken = elaborate_folder(arena, folder, with_init);
    arena_destroy(arena);
    assert_int_equal(broken, 0);
}

static void models_elaborate(void **state) {
    (void)state;
    assert_folder_elaborates("models", true);
}

/* The models of the field at their full size, from the language's description, with its slips mended (a
 * missing `use init`, a size that divides only under an assert, a division that is not exact). Sizes of
 * images stay symbolic. */
static void programs_elaborate(void **state) {
    (void)state;
    assert_folder_elaborates("tests/frontend/programs", false);
}

/* ---- running a model ---- */

static const char vae[] = "use nn\n"
                          "use dist\n"
                          "model VAE(hidden: int = 6, latent: int = 2, lr: float = 0.01) {\n"
                          "  let encoder = [nn.Linear(hidden), relu]\n"
                          "  let mu = nn.Linear(latent)\n"
                          "  let logvar = nn.Linear(latent)\n"
                          "  let decoder = [nn.Linear(hidden), relu, nn.Linear(12)]\n"
                          "  train step(x: f32[B, 12]) {\n"
                          "    h = x |> encoder\n"
                          "    (m, lv) = (mu(h), logvar(h))\n"
                          "    z = m + exp(0.5 * lv) * randn_like(m)\n"
                          "    nll = sum(nn.bce_logits_each(z |> decoder, x)) / B\n"
                          "    kl = sum(dist.kl_standard_normal(m, lv)) / B\n"
                          "    minimize nll + kl using nn.Adam(lr: lr)\n"
                          "    report elbo = -(nll + kl)\n"
                          "  }\n"
                          "  fn draw(n: int) -> (u: f32[n], z: f32[n], k: i32[n]) = (u: uniform([n]), z: "
                          "randn([n]), k: randint([n], 2, 7))\n"
                          "}\n";

struct run {
    struct session s;
    struct graph *graph;
    struct eval *eval;
};

static struct tensor *seed_tensor(struct run *r, uint32_t word) {
    const int64_t two = 2;
    struct tensor *seed = tensor_create(r->s.arena, type_of_sizes(r->s.types, DTYPE_u32, 1, &two));
    seed->i[0] = word;
    return seed;
}

/* Runs init and hands its values to the evaluator. */
static void start(struct run *r, struct function *init) {
    struct tensor *seed = seed_tensor(r, 7);
    r->eval = eval_create(r->s.arena, r->graph, EVAL_EXACT, r->s.diags);
    assert_true(eval_function(r->eval, init, &seed, 1, NULL, NULL));
}

static void assert_quiet(const struct session *s) {
    struct strbuf text;
    strbuf_init(&text, s->arena);
    diags_render(s->diags, &text, false);
    if (diags_count(s->diags) > 0)
        fprintf(stderr, "%s\n", text.text);
    assert_int_equal(diags_count(s->diags), 0);
}

static void a_vae_learns_in_the_evaluator(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct run r = {.s = session_start(arena, "vae.weft", vae, strlen(vae))};
    struct instance *model = frontend_instantiate(r.s.fe, "vae.weft", "VAE", NULL, 0, arena);
    assert_non_null(model);
    struct function *step = instance_elaborate(model, "step", NULL, 0, 1),
                    *init = instance_elaborate_init(model);
    assert_quiet(&r.s);
    r.graph = instance_graph(model);
    const struct dim_binding batch = {"B", 8};
    assert_true(open_gradients(&r.s, r.graph, step->body));
    assert_true(graph_bind(r.graph, step, &batch, 1, r.s.diags));
    assert_true(graph_verify(r.graph, r.s.diags, "differentiate"));
    start(&r, init);
    const int64_t shape[] = {8, 12};
    struct tensor *x = tensor_create(arena, type_of_sizes(r.s.types, DTYPE_f32, 2, shape));
    for (int i = 0; i < 96; i++)
        x->f[i] = (i / 12 + i % 12) % 4 == 0;
    struct tensor *inputs[] = {x, seed_tensor(&r, 7)};
    double elbo[60];
    for (int i = 0; i < 60; i++) {
        struct tensor *report = NULL;
        assert_true(eval_function(r.eval, step, inputs, 2, NULL, &report));
        elbo[i] = report->f[0];
    }
    assert_true(elbo[59] > elbo[0] + 0.5);
    assert_int_equal(eval_state(r.eval, graph_find_state(r.graph, "run.step"))->i[0], 60);
    assert_int_equal(eval_state(r.eval, graph_find_state(r.graph, "opt.step.0.mu.weight.k"))->i[0], 60);
    arena_destroy(arena);
}

/* ---- accumulate (S27) ---- */

static const char slope[] = "use nn\n"
                            "model Slope() {\n"
                            "  param w: f32[2] = 1\n"
                            "  train step(x: f32[2]) {\n"
                            "    minimize sum(w * x) using nn.SGD(lr: 0.5)\n"
                            "    report w, u = uniform([])\n"
                            "  }\n"
                            "}\n";

/* Two calls make a step, by the mean of their gradients; they draw different numbers. */
static void two_calls_accumulate_to_a_step(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct run r = {.s = session_start(arena, "slope.weft", slope, strlen(slope))};
    struct instance *model = frontend_instantiate(r.s.fe, "slope.weft", NULL, NULL, 0, arena);
    struct function *step = instance_elaborate(model, "step", NULL, 0, 2),
                    *init = instance_elaborate_init(model);
    assert_quiet(&r.s);
    r.graph = instance_graph(model);
    assert_true(open_gradients(&r.s, r.graph, step->body));
    assert_true(graph_verify(r.graph, r.s.diags, "differentiate"));
    start(&r, init);
    const int64_t two = 2;
    struct tensor *x = tensor_create(arena, type_of_sizes(r.s.types, DTYPE_f32, 1, &two));
    struct tensor *inputs[] = {x, seed_tensor(&r, 7)};
    const double w[] = {1.0, 0.25, 0.25,
                        -1.5}; /* after calls with x = 1, 2, 3, 4: less 0.5 * mean(1, 2), ... */
    double drawn[4];
    for (int call = 0; call < 4; call++) {
        struct tensor *reports[2];
        x->f[0] = call + 1.0;
        assert_true(eval_function(r.eval, step, inputs, 2, NULL, reports));
        assert_true(reports[0]->f[0] == w[call]);
        drawn[call] = reports[1]->f[0];
        for (int i = 0; i < call; i++)
            assert_true(drawn[i] != drawn[call]);
    }
    assert_int_equal(eval_state(r.eval, graph_find_state(r.graph, "run.step"))->i[0], 2);
    arena_destroy(arena);
}

/* ---- draws (S8) ---- */

static void draws_are_philox(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct run r = {.s = session_start(arena, "vae.weft", vae, strlen(vae))};
    struct instance *model = frontend_instantiate(r.s.fe, "vae.weft", "VAE", NULL, 0, arena);
    struct function *draw = instance_elaborate(model, "draw", NULL, 0, 1);
    assert_quiet(&r.s);
    r.graph = instance_graph(model);
    const struct dim_binding n = {"n", 9};
    assert_true(graph_bind(r.graph, draw, &n, 1, r.s.diags));
    r.eval = eval_create(arena, r.graph, EVAL_EXACT, r.s.diags);
    struct tensor *seed = seed_tensor(&r, 5), *out[3];
    assert_true(eval_function(r.eval, draw, &seed, 1, out, NULL));
    struct philox_key entry = philox_fold(philox_seed(5), 0); /* the step of a fn is 0 */
    struct philox_key call = philox_fold(entry, 0);           /* the call of draw is the first that draws */
    struct philox_key key[3] = {philox_fold(call, 0), philox_fold(call, 1), philox_fold(call, 2)};
    struct philox_key second = philox_fold(key[1], 1);
    for (uint32_t i = 0; i < 9; i++) {
        double u = (philox_element(key[0], i) >> 8) * 0x1p-24;
        double a = ((philox_element(key[1], i) >> 8) + 1) * 0x1p-24,
               b = (philox_element(second, i) >> 8) * 0x1p-24;
        assert_true(out[0]->f[i] == u);
        assert_true(fabs(out[1]->f[i] - sqrt(-2.0 * log(a)) * cos(2.0 * 3.14159265358979323846 * b)) < 1e-5);
        assert_int_equal(out[2]->i[i], 2 + (int)((philox_element(key[2], i) >> 8) * 0x1p-24 * 5.0));
    }
    arena_destroy(arena);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--rewrite") == 0)
        setenv("WEFT_GOLDEN", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_are_as_expected),
        cmocka_unit_test(values_are_as_expected),
        cmocka_unit_test(models_elaborate),
        cmocka_unit_test(programs_elaborate),
        cmocka_unit_test(a_vae_learns_in_the_evaluator),
        cmocka_unit_test(two_calls_accumulate_to_a_step),
        cmocka_unit_test(draws_are_philox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
