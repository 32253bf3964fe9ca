/* Every fn of every model of models/ with what is made of weights alone made once: the bits of code that
 * makes it in each call, from the same weights. Winograd is off in both: where its images are kept it is
 * chosen more often. */
#include "support_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int packed_models; /* of all models: something was looked at */

/* The entries that write no weights, and init behind them. */
static void keep_readers(struct model_run *run) {
    int count = 0;
    for (int i = 0; i < run->entry_count; i++)
        if (run->requests[i].function->kind != FUNCTION_TRAIN)
            run->requests[count++] = run->requests[i];
    run->requests[count] = run->requests[run->entry_count];
    run->entry_count = count;
}

static struct model_run *open(const struct model_size *size, bool packs) {
    struct model_run *run = model_open(size);
    keep_readers(run);
    run->session.no_winograd = true;
    run->session.packs_weights = packs;
    if (run->entry_count > 0) {
        model_compile(run, "native");
        model_start(run);
    }
    return run;
}

static void expect_same_results(const struct model_call *a, const struct model_call *b) {
    const struct function_plan *plan = a->entry->plan;
    for (int i = 2; i < plan->arguments.count; i++) {
        const struct plan_argument *argument = &plan->arguments.at[i];
        if (memcmp(a->args[i], b->args[i], (size_t)type_bytes(argument->type)) != 0)
            fail_msg("%s:%s: %s is another", a->run->size->name, a->entry->name, argument->name);
    }
}

static void packed_weights_change_no_bit(void **state) {
    const struct model_size *size = *state;
    struct model_run *plain = open(size, false), *packed = open(size, true);
    if (plain->entry_count > 0) {
        size_t tensors = plain->memory.weights_bytes;
        assert_memory_equal(plain->memory.weights, packed->memory.weights, tensors);
        if (packed->memory.weights_bytes > tensors)
            packed->session.codegen->pack(packed->program->loaded, packed->memory.weights);
        packed_models += packed->memory.weights_bytes > tensors;
    }
    for (int i = 0; i < plain->entry_count; i++) {
        struct model_call *a = model_call_create(plain, i, 7), *b = model_call_create(packed, i, 7);
        model_call_run(a, NULL);
        model_call_run(b, NULL);
        expect_same_results(a, b);
    }
    model_close(plain);
    model_close(packed);
}

int main(int argc, char **argv) {
    int failed = models_main(argc, argv, "packing", packed_weights_change_no_bit, NULL);
    if (argc == 1 && packed_models < 2) {
        fprintf(stderr, "weights are packed in %d models alone\n", packed_models);
        return 1;
    }
    return failed;
}
