/* An error is planted in each pass in turn, and in the code generator: bisect names it, with the rule or the
 * kernel. Without one all agree. */
#include "support_models.h"

#include "driver/bisect.h"
#include "passes/passes.h"
#include "passes/rules.h"

#include <string.h>

static const struct model_size size = {"tests/models/bisect.weft", "", "B=5", "", SHORT, false};

/* ---- errors ---- */

static const char *guilty; /* the pass */

/* Every tanh becomes a sine. */
static int spoil_block(const struct block *block) {
    int count = 0;
    FOR_EACH_OP (op, block) {
        if (op->code == OP_tanh) {
            op->code = OP_sin;
            count++;
        }
        for (int r = 0; r < op->region_count; r++)
            count += spoil_block(op->regions[r]);
    }
    return count;
}

static void spoil_graph(struct graph *graph) {
    int count = 0;
    for (int i = 0; i < graph->functions.count; i++)
        count += spoil_block(graph->functions.at[i]->body);
    assert_true(count > 0);
}

/* A value goes where another one, no smaller, lives at the same time. */
static bool spoil_places(struct function_plan *f) {
    for (int i = 0; i < f->buffers.count; i++)
        for (int k = 0; k < f->buffers.count; k++) {
            struct plan_buffer *a = &f->buffers.at[i], *b = &f->buffers.at[k];
            if (i == k || a->bytes < b->bytes || a->begin > b->end || b->begin > a->end)
                continue;
            map_put(&f->places, b->value, a->place);
            return true;
        }
    return false;
}

static void spoil_plan(struct plan *plan) {
    bool done = false;
    for (int i = 0; i < plan->functions.count; i++)
        done |= spoil_places(plan->functions.at[i]);
    assert_true(done);
}

static void spoil(const struct pass *pass, struct graph *graph, struct pass_context *context) {
    if (strcmp(pass->name, guilty) != 0)
        return;
    if (strcmp(guilty, "alias") == 0 || strcmp(guilty, "plan_memory") == 0)
        spoil_plan(context->plan);
    else
        spoil_graph(graph);
}

static struct compiled *compile_spoiled(struct graph *graph, struct function *const *functions, int count,
                                        const struct plan *plan, const struct codegen_options *options,
                                        struct arena *arena, struct diags *diags) {
    spoil_graph(graph);
    return weft_codegen.compile(graph, functions, count, plan, options, arena, diags);
}

static const struct rule wrong[] = {TO("tanh(x)", NULL, "sin(x)", NULL)};
static const struct rule_set wrong_rules = {wrong, 1};

/* ---- tests ---- */

static struct bisect_finding bisect_with(struct model_run *run, const struct bisect *like) {
    struct strbuf out;
    struct bisect b = *like;
    struct bisect_finding finding;
    strbuf_init(&out, run->session.arena);
    b.session = &run->session;
    b.graph = instance_graph(run->instance);
    b.requests = run->requests;
    b.count = run->entry_count + 1;
    b.out = &out;
    if (!bisect_run(&b, &finding))
        model_fail(run, out.text);
    print_message("%s", out.text);
    return finding;
}

static int set_up(void **state) {
    *state = model_open(&size);
    return 0;
}

static int tear_down(void **state) {
    struct model_run *run = *state;
    arena_destroy(run->session.arena);
    return 0;
}

static void nothing_is_found_where_nothing_is_wrong(void **state) {
    const struct bisect_finding f = bisect_with(*state, &(struct bisect){0});
    if (f.step)
        fail_msg("%s: %s", f.step, f.why);
}

static void an_error_in_each_pass_is_named(void **state) {
    (void)state;
    for (int i = 0; i < pipeline_count; i++) {
        struct model_run *run = model_open(&size);
        guilty = pipeline[i].name;
        const struct bisect_finding f = bisect_with(run, &(struct bisect){.after_pass = spoil});
        if (!f.step || strcmp(f.step, guilty) != 0)
            fail_msg("an error in %s: found %s", guilty, f.step ? f.step : "nothing");
        if (strcmp(guilty, "fuse") == 0)
            assert_true(f.detail && strstr(f.detail, "tanh") && f.site);
        arena_destroy(run->session.arena);
    }
}

static void a_wrong_rule_is_named(void **state) {
    struct model_run *run = *state;
    const struct bisect_finding f = bisect_with(run, &(struct bisect){.more_rules = &wrong_rules});
    int line, column;
    assert_string_equal(f.step, "simplify");
    assert_non_null(strstr(f.detail, "by the rule tanh(x)"));
    source_locate(f.site->span.source, f.site->span.begin, &line, &column);
    assert_non_null(strstr(f.site->span.source->name, "bisect.weft"));
    assert_int_equal(line, 8);
}

static void a_wrong_kernel_is_named(void **state) {
    struct model_run *run = *state;
    struct codegen_api spoiled = weft_codegen;
    spoiled.compile = compile_spoiled;
    run->session.codegen = &spoiled;
    const struct bisect_finding f = bisect_with(run, &(struct bisect){0});
    assert_string_equal(f.step, "codegen");
    assert_non_null(f.detail);
    assert_non_null(strstr(f.detail, "tanh"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(nothing_is_found_where_nothing_is_wrong),
        cmocka_unit_test(an_error_in_each_pass_is_named),
        TEST(a_wrong_rule_is_named),
        TEST(a_wrong_kernel_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
