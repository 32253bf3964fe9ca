/* What others have published about the models of models/ holds of our texts: how many weights they have, and the
 * names and shapes in public checkpoints. */
#include "support_elaborate.h"
#include "support_golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The only model of a file of models/ at its published size, with one entry elaborated: the weights that it reads exist.
 * NULL: the sources are not there, or it does not elaborate (then the messages are printed). */
static struct instance *elaborate_model(struct arena *arena, const char *file, const char *entry,
                                        struct session *s) {
    const char *folder = source_folder(arena, "models"), *why;
    if (!folder)
        return NULL;
    const struct source *source = source_read(arena, arena_printf(arena, "%s/%s", folder, file), &why);
    *s = session_start(arena, source->name, source->text, source->length);
    struct instance *model = frontend_instantiate(s->fe, s->path, NULL, NULL, 0, arena);
    if (model && instance_elaborate(model, entry, NULL, 0, 1))
        return model;
    struct strbuf text;
    strbuf_init(&text, arena);
    diags_render(s->diags, &text, false);
    fail_msg("%s:%s\n%s", file, entry, text.text);
    return NULL;
}

/* ---- parameter counts ---- */

struct count {
    const char *file, *entry;
    const char *part; /* what the weights' names begin with */
    long long weights;
};

static const struct count counts[] = {
    /* torchvision's vit_b_16, ResNet18_Weights.IMAGENET1K_V1: `num_params` */
    {"vit.weft", "predict", "", 86567656},
    {"resnet.weft", "predict", "", 11689512},
    /* pytorch/examples, dcgan: netG of 100 codes and 64 channels, 3 colours */
    {"dcgan.weft", "sample", "generator.", 3576704},
    /* Ho et al. 2020, section 4: "35.7 million parameters" */
    {"ddpm_cifar.weft", "step", "net.", 35746307},
    /* pytorch-CycleGAN-and-pix2pix prints 11.378 M for resnet_9blocks and 2.765 M for the basic discriminator */
    {"cyclegan.weft", "step", "netG_A.", 11378179},
    {"cyclegan.weft", "step", "netD_A.", 2764737},
    /* CompVis' v1-inference.yaml prints 859.52 M for the U-Net; the others are sums over the checkpoint's shapes */
    {"stable_diffusion.weft", "txt2img", "model.", 859520964},
    {"stable_diffusion.weft", "txt2img", "cond_stage_model.", 123060480},
    {"stable_diffusion.weft", "txt2img", "first_stage_model.", 49490199},
    {"stable_diffusion.weft", "img2img", "first_stage_model.", 83653863},
};

static long long count_weights(const struct graph *graph, const char *part) {
    long long sum = 0;
    for (int i = 0; i < graph->states.count; i++) {
        const struct state *state = graph->states.at[i];
        if (state->kind == STATE_WEIGHT && strncmp(state->name, part, strlen(part)) == 0)
            sum += type_elements(state->type);
    }
    return sum;
}

static void models_have_as_many_weights_as_published(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct arena *arena = arena_create();
        struct session s;
        struct instance *model = elaborate_model(arena, counts[i].file, counts[i].entry, &s);
        if (!model) {
            arena_destroy(arena);
            skip();
        }
        long long found = count_weights(instance_graph(model), counts[i].part);
        if (found != counts[i].weights)
            fail_msg("%s: %s* has %lld weights, not %lld", counts[i].file, counts[i].part, found,
                     counts[i].weights);
        arena_destroy(arena);
    }
}

/* ---- names (N1 to N6) ---- */

struct checkpoint {
    const char *file, *prefix;
};

/* "name [4, 3]" of the description of a public checkpoint, as "prefix.name : f32[4,3]". */
static void expected_line(struct strbuf *out, const char *prefix, const char *line, size_t length) {
    size_t name = strcspn(line, " ");
    strbuf_printf(out, "%s.%.*s : f32", prefix, (int)name, line);
    for (size_t i = name; i < length; i++)
        if (line[i] != ' ')
            strbuf_putc(out, line[i]);
    strbuf_putc(out, '\n');
}

static bool expected_names(struct arena *arena, const char *folder, const struct checkpoint *checkpoint,
                           struct strbuf *out) {
    const char *why;
    const struct source *source =
        source_read(arena, arena_printf(arena, "%s/%s", folder, checkpoint->file), &why);
    for (int line = 1; source && line <= (int)source->line_count; line++) {
        int length;
        const char *text = source_line(source, line, &length);
        if (length > 0)
            expected_line(out, checkpoint->prefix, text, (size_t)length);
    }
    return source != NULL;
}

/* The weights of Stable Diffusion have the names, shapes and order of the public checkpoint, without any map. */
static void stable_diffusion_has_its_public_names(void **state) {
    (void)state;
    static const struct checkpoint parts[] = {
        {"sd_v1_unet.txt", "model.diffusion_model"},
        {"sd_vae_kl_f8.txt", "first_stage_model"},
        {"sd_v1_clip_text.txt", "cond_stage_model.transformer.text_model"}};
    struct arena *arena = arena_create();
    const char *data = getenv("WEFT_DATA");
    struct strbuf expected, found;
    strbuf_init(&expected, arena);
    strbuf_init(&found, arena);
    bool known = data != NULL;
    for (size_t i = 0; known && i < sizeof parts / sizeof *parts; i++)
        known = expected_names(arena, arena_printf(arena, "%s/../names", data), &parts[i], &expected);
    struct session s;
    struct instance *model = known ? elaborate_model(arena, "stable_diffusion.weft", "img2img", &s) : NULL;
    if (!model) {
        arena_destroy(arena);
        skip();
    }
    const struct graph *graph = instance_graph(model);
    for (int i = 0; i < graph->states.count; i++)
        strbuf_printf(&found, "%s : %s\n", graph->states.at[i]->name,
                      type_text(s.types, graph->states.at[i]->type));
    assert_string_equal(found.text, expected.text);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_have_as_many_weights_as_published),
        cmocka_unit_test(stable_diffusion_has_its_public_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
