/* What the steps of the models come to after `fuse`, at the sizes of their recipes: kernels by kind and name,
 * with how many there are of each. A fusion that is lost, or won, shows as a difference; `make golden` writes
 * the new list. */
#include "support_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct listing {
    const char *golden, *entry;
    struct model_size size;
};

/* A row that does not say computes in f32. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const struct listing listings[] = {
    {"lenet_step.txt", "step", {"lenet.weft", "", "B=64", "", SHORT}},
    {"vae_step.txt", "step", {"vae.weft", "", "B=128 n=64", "", SHORT}},
    {"vae_sample.txt", "sample", {"vae.weft", "", "B=128 n=64", "", SHORT}},
    {"conv_vae_step.txt", "step", {"conv_vae.weft", "", "B=128 n=64", "", SHORT}},
    {"ddpm_step.txt", "step", {"ddpm.weft", "", "B=128 n=64", "", SHORT}},
    {"ddpm_sample.txt", "sample", {"ddpm.weft", "", "B=128 n=64 steps=100", "", SHORT}},
    {"vit_predict.txt", "predict", {"vit.weft", "", "B=1", "", SHORT}},
    {"vit_step.txt", "step", {"vit.weft", "", "B=16", "", SHORT}},
    {"stable_diffusion_predict.txt", "predict", {"stable_diffusion.weft", "", "B=1 h=64 w=64", "", SHORT}},
};
enum { LISTINGS = sizeof(listings) / sizeof(*listings) };

struct names {
    struct arena *arena;
    VEC(const char *) at;
};

static void take_kernels(struct names *names, const struct block *block) {
    FOR_EACH_OP (op, block) {
        if (op->code == OP_kernel)
            VEC_PUSH(names->arena, &names->at,
                     arena_printf(names->arena, "%s %s", op_string(op, ATTR_kind), op_string(op, ATTR_name)));
        for (int r = 0; op->code != OP_kernel && r < op->region_count; r++)
            take_kernels(names, op->regions[r]);
    }
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *kernels_of(struct model_run *run, const char *entry) {
    struct graph *graph = model_graph(run, "fuse");
    struct names names = {.arena = run->session.arena};
    take_kernels(&names, graph_find_function(graph, entry)->body);
    qsort(names.at.at, (size_t)names.at.count, sizeof(*names.at.at), by_text);
    struct strbuf out;
    strbuf_init(&out, names.arena);
    strbuf_printf(&out, "%d kernels\n", names.at.count);
    for (int i = 0, next; i < names.at.count; i = next) {
        for (next = i + 1; next < names.at.count && strcmp(names.at.at[next], names.at.at[i]) == 0;)
            next++;
        strbuf_printf(&out, "%4d %s\n", next - i, names.at.at[i]);
    }
    return out.text;
}

static void the_kernels_are_those_of_the_list(void **state) {
    const struct listing *listing = *state;
    struct model_run *run = model_open_entry(&listing->size, listing->entry);
    const char *text = kernels_of(run, listing->entry), *why;
    const char *path =
        arena_printf(run->session.arena, "%s/tests/models/kernels/%s", getenv("SOURCE_DIR"), listing->golden);
    if (getenv("WEFT_GOLDEN")) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
    } else {
        const struct source *golden = source_read(run->session.arena, path, &why);
        if (!golden || strcmp(golden->text, text) != 0)
            fail_msg("%s: other kernels than in the list (`make golden` writes it anew):\n%s",
                     listing->golden, text);
    }
    model_close(run);
}

int main(void) {
    struct CMUnitTest tests[LISTINGS];
    for (int i = 0; i < LISTINGS; i++)
        tests[i] = (struct CMUnitTest){listings[i].golden, the_kernels_are_those_of_the_list, NULL, NULL,
                                       (void *)(uintptr_t)&listings[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
