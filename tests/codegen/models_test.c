/* Whole models: each entry at a small size, compiled, against the f64 evaluator of the graph before any pass
 * but `differentiate`. The graphs come from `weft dump`: this layer does not see the front end. */
#include "codegen/codegen.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "passes/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_MOST = 1 << 22, VALUES_MOST = 64 };
static const double TOLERANCE = 1e-5; /* DESIGN section 8 */

struct session {
    struct arena *arena;
    struct diags *diags;
    struct graph *graph, *before; /* compiled; as it was */
    struct plan *plan;
    struct compiled *compiled;
    struct loaded *loaded;
    struct function *entries[VALUES_MOST];
    int entry_count;
    uint32_t seed;
};

static void must(struct session *s, bool ok, const char *what) {
    struct strbuf out;
    strbuf_init(&out, s->arena);
    diags_render(s->diags, &out, false);
    if (!ok)
        fail_msg("%s: %s", what, out.text ? out.text : "");
}

static char *dumped(struct session *s, const char *arguments) {
    const char *weft = getenv("WEFT"), *root = getenv("SOURCE_DIR");
    if (!weft || !root)
        return NULL;
    FILE *pipe = popen(
        arena_printf(s->arena, "'%s' dump '%s'/models/%s --after differentiate", weft, root, arguments), "r");
    assert_non_null(pipe);
    char *text = arena_alloc(s->arena, TEXT_MOST);
    size_t size = fread(text, 1, TEXT_MOST - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    assert_true(size > 0 && size < TEXT_MOST - 1);
    return text;
}

static void compile(struct session *s, const char *text) {
    const struct source *source = source_create(s->arena, "model.ir", text, strlen(text));
    struct types *types = types_create(s->arena);
    struct interner *names = interner_create(s->arena);
    s->graph = graph_parse(s->arena, types, names, source, s->diags);
    s->before = graph_parse(s->arena, types, names, source, s->diags);
    must(s, s->graph && s->before, "parse");
    for (int i = 0; i < s->graph->functions.count; i++)
        if (s->graph->functions.at[i]->kind != FUNCTION_COMPOSITE)
            s->entries[s->entry_count++] = s->graph->functions.at[i];
    struct pass_context context = {.arena = s->arena, .diags = s->diags, .verify = true};
    context.functions = s->entries;
    context.function_count = s->entry_count;
    must(s, pipeline_run(s->graph, &context, NULL), "passes");
    s->plan = context.plan;
    struct codegen_options options = {0};
    s->compiled =
        weft_codegen.compile(s->graph, s->entries, s->entry_count, s->plan, &options, s->arena, s->diags);
    must(s, s->compiled, "compile");
    s->loaded = weft_codegen.load(s->compiled, s->diags);
    must(s, s->loaded, "load");
}

static unsigned char *memory(struct session *s, int64_t bytes) {
    uintptr_t p = (uintptr_t)arena_alloc(s->arena, (size_t)bytes + 64);
    return (unsigned char *)((p + 63) & ~(uintptr_t)63);
}

/* Small weights; second moments and pixels are not negative. */
static void fill(struct session *s, const struct type *type, const char *name, unsigned char *bytes) {
    struct tensor *t = tensor_create(s->arena, type);
    size_t length = strlen(name);
    bool is_square = length > 2 && !strcmp(name + length - 2, ".v"), is_image = !strcmp(name, "image");
    for (int64_t i = 0; i < type_elements(type); i++) {
        s->seed = s->seed * 1664525u + 1013904223u;
        double u = (double)(s->seed >> 8) / 16777216;
        if (dtype_is_float(type->dtype))
            t->f[i] = is_image ? u : is_square ? 0.1 * u + 0.01 : 0.4 * u - 0.2;
        else
            t->i[i] = type->dtype == DTYPE_u32 ? (int64_t)(4e9 * u)
                                               : (int64_t)(u * (type->dtype == DTYPE_bool ? 2 : 3));
    }
    tensor_to_bytes(t, bytes);
}

struct call {
    struct eval *eval;
    unsigned char *weights, *state;
    void *args[VALUES_MOST];
    struct tensor *inputs[VALUES_MOST], *results[VALUES_MOST], *reports[VALUES_MOST];
    int input_count;
};

static unsigned char *state_bytes(const struct session *s, const struct call *c, const struct state *state) {
    return (state->kind == STATE_WEIGHT ? c->weights : c->state) + s->plan->state_offset[state->index];
}

static void prepare(struct session *s, const struct function_plan *plan, struct call *c) {
    c->args[0] = c->weights = memory(s, s->plan->weights_bytes);
    c->args[1] = c->state = memory(s, s->plan->state_bytes);
    c->eval = eval_create(s->arena, s->before, EVAL_F64, s->diags);
    for (int i = 0; i < s->graph->states.count; i++) {
        const struct state *state = s->graph->states.at[i], *old = graph_find_state(s->before, state->name);
        fill(s, state->type, state->name, state_bytes(s, c, state));
        eval_set_state(c->eval, old, tensor_from_bytes(s->arena, old->type, state_bytes(s, c, state)));
    }
    for (int i = 2; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        c->args[i] = memory(s, type_bytes(a->type));
        if (a->role != WEFT_INPUT && a->role != WEFT_SEED)
            continue;
        fill(s, a->type, a->name, c->args[i]);
        c->inputs[c->input_count++] = tensor_from_bytes(s->arena, a->type, c->args[i]);
    }
}

static void expect(struct session *s, const char *entry, const char *name, const struct tensor *wanted,
                   const void *bytes) {
    struct strbuf why;
    strbuf_init(&why, s->arena);
    if (wanted && !compare_tensors(tensor_from_bytes(s->arena, wanted->type, bytes), wanted, TOLERANCE, &why))
        fail_msg("%s of %s: %s", name, entry, why.text);
}

static void check_entry(struct session *s, const char *name) {
    const struct function_plan *plan = plan_of(s->plan, graph_find_function(s->graph, name));
    struct call c = {0};
    prepare(s, plan, &c);
    void *workspace = memory(s, (int64_t)weft_codegen.workspace(s->compiled, name, 1));
    assert_int_equal(weft_codegen.entry(s->loaded, name)(c.args, workspace, NULL), 0);
    const struct function *old = graph_find_function(s->before, name);
    must(s, eval_function(c.eval, old, c.inputs, c.input_count, c.results, c.reports), name);
    int result = 0, report = 0;
    for (int i = 2; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role == WEFT_RESULT)
            expect(s, name, a->name, c.results[result++], c.args[i]);
        if (a->role == WEFT_REPORT)
            expect(s, name, a->name, c.reports[report++], c.args[i]);
    }
    for (int i = 0; i < s->graph->states.count; i++) {
        const struct state *state = s->graph->states.at[i];
        const struct tensor *wanted = eval_state(c.eval, graph_find_state(s->before, state->name));
        expect(s, name, state->name, wanted, state_bytes(s, &c, state));
    }
}

static void check_model(const char *arguments) {
    struct arena *arena = arena_create();
    struct session s = {.arena = arena, .diags = diags_create(arena), .seed = 7};
    const char *text = dumped(&s, arguments);
    if (!text)
        skip();
    compile(&s, text);
    for (int i = 0; i < s.entry_count; i++)
        check_entry(&s, s.entries[i]->name);
    weft_codegen.unload(s.loaded);
    arena_destroy(arena);
}

static void lenet(void **state) {
    (void)state;
    check_model("lenet.weft --shape B=3");
}

static void vae(void **state) {
    (void)state;
    check_model("vae.weft --shape B=3 --shape n=2");
}

static void conv_vae(void **state) {
    (void)state;
    check_model("conv_vae.weft --shape B=2 --shape n=2");
}

static void ddpm(void **state) {
    (void)state;
    check_model("ddpm.weft --entry step --set ch=8 --shape B=1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lenet),
        cmocka_unit_test(vae),
        cmocka_unit_test(conv_vae),
        cmocka_unit_test(ddpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
