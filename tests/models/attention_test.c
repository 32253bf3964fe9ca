/* Attention of the models keeps no scores: their kernels are of kind attend, and no buffer of the plan has
 * the shape of scores, forward or backward. */
#include "support_models.h"

#include "ir/attention.h"

#include <string.h>

struct listing {
    struct model_size size;
    const char *entry;
    int kernels;      /* of attention, in the entry */
    double megabytes; /* the arena is smaller */
    bool has_second;  /* derivatives: those of an attention keep its scores */
};

static const struct listing listings[] = {
    {{"vit.weft", "", "B=2", "", SHORT, false}, "predict", 12, 13, false},
    {{"vit.weft", "", "B=2", "", SHORT, false}, "step", 24, 700, false},
    {{"stable_diffusion.weft", "", "B=1 h=64 w=64", "", SHORT, false}, "predict", 32, 100, false},
    {{"stable_diffusion.weft", "", "B=2", "", SHORT, false}, "read", 12, 10, false},
    {{"clip.weft", "", "B=2 K=3", "", SHORT, false}, "classify", 36, 40, false},
    {{"transgan.weft", "", "n=2", "", SHORT, false}, "sample", 11, 40, false},
    {{"transgan.weft", "", "B=2", "", SHORT, false}, "step", 69, 2000, true},
};
enum { LISTINGS = sizeof(listings) / sizeof(*listings) };

static bool same_dims(const struct type *a, const struct type *b) {
    return a->rank == b->rank && !memcmp(a->dims, b->dims, sizeof(*a->dims) * (size_t)a->rank);
}

/* The scores' type of each kernel of attention. */
struct scores {
    struct arena *arena;
    VEC(const struct type *) types;
};

static void find_scores(struct scores *scores, const struct block *block) {
    FOR_EACH_OP (op, block) {
        struct attention a;
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            find_scores(scores, op->regions[r]);
        if (op->code != OP_kernel || strcmp(op_string(op, ATTR_kind), "attend") != 0)
            continue;
        assert_null(attention_read(op->regions[0], scores->arena, &a));
        VEC_PUSH(scores->arena, &scores->types, a.scores);
    }
}

static void check_plan(const struct listing *listing, const struct function_plan *plan,
                       const struct scores *scores) {
    assert_int_equal(scores->types.count, listing->kernels);
    for (int i = 0; i < plan->buffers.count && !listing->has_second; i++)
        for (int k = 0; k < scores->types.count; k++)
            if (same_dims(plan->buffers.at[i].value->type, scores->types.at[k]))
                fail_msg("%s %s: a buffer of scores", listing->size.name, listing->entry);
    if ((double)plan->arena_bytes > 1e6 * listing->megabytes)
        fail_msg("%s %s: an arena of %.1f MB", listing->size.name, listing->entry,
                 1e-6 * (double)plan->arena_bytes);
}

static void no_buffer_holds_scores(void **state) {
    const struct listing *listing = *state;
    struct model_run *run = model_open_entry(&listing->size, listing->entry);
    struct arena *arena = run->session.arena;
    struct function **functions = ARENA_ARRAY(arena, struct function *, 2);
    struct strbuf why;
    strbuf_init(&why, arena);
    struct graph *graph =
        session_bind(&run->session, instance_graph(run->instance), run->requests, 1, functions, arena);
    struct pass_context context = {.functions = functions, .function_count = 1, .why = &why};
    if (!graph || !session_run_passes(&run->session, graph, &context, NULL))
        model_fail(run, "the passes fail");
    if (why.length)
        fail_msg("%s %s: %s", listing->size.name, listing->entry, why.text);
    struct scores scores = {.arena = arena};
    find_scores(&scores, functions[0]->body);
    check_plan(listing, plan_of(context.plan, functions[0]), &scores);
    model_close(run);
}

int main(void) {
    struct CMUnitTest tests[LISTINGS];
    for (int i = 0; i < LISTINGS; i++)
        tests[i] = (struct CMUnitTest){listings[i].size.name, no_buffer_holds_scores, NULL, NULL,
                                       (void *)(uintptr_t)&listings[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
