/* What others have published about the models of models/ holds of our texts: how many weights they have, and
 * the names and shapes in public checkpoints. And that texts of their size become graphs at once. */
#include "support_elaborate.h"
#include "support_golden.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void fail_with_messages(const struct session *s) {
    struct strbuf text;
    strbuf_init(&text, s->arena);
    diags_render(s->diags, &text, false);
    fail_msg("%s\n%s", s->path, text.text);
}

/* The only model of a file of models/ at its published size, with one entry elaborated: the weights that it
 * reads exist. NULL: the sources are not there. */
static struct instance *elaborate_model(struct arena *arena, const char *file, const char *entry,
                                        struct session *s) {
    const char *folder = source_folder(arena, "models"), *why;
    const struct source *source =
        folder ? source_read(arena, arena_printf(arena, "%s/%s", folder, file), &why) : NULL;
    if (!source)
        return NULL;
    *s = session_start(arena, source->name, source->text, source->length);
    struct instance *model = frontend_instantiate(s->fe, s->path, NULL, NULL, 0, arena);
    if (!model || !instance_elaborate(model, entry, NULL, 0, 1))
        fail_with_messages(s);
    return model;
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
    /* pytorch-CycleGAN-and-pix2pix prints 11.378 M for resnet_9blocks and 2.765 M for the basic discriminator
     */
    {"cyclegan.weft", "step", "netG_A.", 11378179},
    {"cyclegan.weft", "step", "netD_A.", 2764737},
    /* CompVis' v1-inference.yaml prints 859.52 M for the U-Net; the others are sums over the checkpoint's
       shapes */
    {"stable_diffusion.weft", "txt2img", "model.", 859520964},
    {"stable_diffusion.weft", "txt2img", "cond_stage_model.", 123060480},
    {"stable_diffusion.weft", "txt2img", "first_stage_model.", 49490199},
    {"stable_diffusion.weft", "img2img", "first_stage_model.", 83653863},
    /* diffusers' stable-diffusion-xl-base-1.0: unet, text_encoder_2 */
    {"sdxl.weft", "txt2img", "model.diffusion_model.", 2567463684},
    {"sdxl.weft", "txt2img", "conditioner.embedders.1.model.", 694659840},
    /* diffusers' sd-controlnet-canny */
    {"controlnet.weft", "predict", "control_model.", 361279120},
    {"clip.weft", "logits", "", 427616513},
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

/* "name [4, 3]" of the description of a public checkpoint, as "PREFIXname : f32[4,3]". */
static void expected_line(struct strbuf *out, const char *prefix, const char *line, size_t length) {
    size_t name = strcspn(line, " ");
    strbuf_printf(out, "%s%.*s : f32", prefix, (int)name, line);
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

/* The weights that one entry reads have the names, shapes and order of the model's public checkpoint, without
 * any map. */
static void expect_public_names(const char *file, const char *entry, const struct checkpoint *parts,
                                int count) {
    struct arena *arena = arena_create();
    const char *data = getenv("WEFT_DATA");
    struct strbuf expected, found;
    strbuf_init(&expected, arena);
    strbuf_init(&found, arena);
    bool known = data != NULL;
    for (int i = 0; known && i < count; i++)
        known = expected_names(arena, arena_printf(arena, "%s/../names", data), &parts[i], &expected);
    struct session s;
    struct instance *model = known ? elaborate_model(arena, file, entry, &s) : NULL;
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

static void stable_diffusion_has_its_public_names(void **state) {
    (void)state;
    static const struct checkpoint parts[] = {
        {"sd_v1_unet.txt", "model.diffusion_model."},
        {"sd_vae_kl_f8.txt", "first_stage_model."},
        {"sd_v1_clip_text.txt", "cond_stage_model.transformer.text_model."}};
    expect_public_names("stable_diffusion.weft", "img2img", parts, 3);
}

static void clip_has_its_public_names(void **state) {
    (void)state;
    static const struct checkpoint whole = {"clip_vit_l14_openai.txt", ""};
    expect_public_names("clip.weft", "logits", &whole, 1);
}

/* ---- time and memory ---- */

enum { BEST_OF = 3 };

static double cpu_seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

struct cost {
    double seconds;
    size_t bytes;
};

/* Of text to graphs: every entry of every model of a file with init, or one entry alone. */
static struct cost elaboration_cost(const char *path, const char *entry) {
    struct cost best = {1e9, 0};
    for (int i = 0; i < BEST_OF; i++) {
        struct arena *arena = arena_create();
        const char *why;
        double begun = cpu_seconds();
        const struct source *source = source_read(arena, path, &why);
        struct session s = session_start(arena, source->name, source->text, source->length);
        struct instance *model = entry ? frontend_instantiate(s.fe, s.path, NULL, NULL, 0, arena) : NULL;
        if (entry ? !instance_elaborate(model, entry, NULL, 0, 1) : !elaborate_everything(&s, true))
            fail_with_messages(&s);
        best.seconds = fmin(best.seconds, cpu_seconds() - begun);
        best.bytes = arena_used(arena);
        arena_destroy(arena);
    }
    return best;
}

/* Every model at its published size within a second, Stable Diffusion's txt2img within 0.3 s and 200 MB.
 * Prints what it measured. */
static void elaboration_keeps_its_budget(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    const char *folder = source_folder(arena, "models"), *slow = getenv("WEFT_SLOW");
    DIR *dir = folder ? opendir(folder) : NULL;
    if (!dir) {
        arena_destroy(arena);
        skip();
    }
    double patience = slow ? atof(slow) : 1;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".weft"))
            continue;
        struct cost cost = elaboration_cost(arena_printf(arena, "%s/%s", folder, entry->d_name), NULL);
        printf("%-24s %6.0f ms %6.1f MB\n", entry->d_name, 1e3 * cost.seconds, 1e-6 * (double)cost.bytes);
        if (cost.seconds > patience)
            fail_msg("%s takes %.2f s", entry->d_name, cost.seconds);
    }
    closedir(dir);
    struct cost cost = elaboration_cost(arena_printf(arena, "%s/stable_diffusion.weft", folder), "txt2img");
    printf("%-24s %6.0f ms %6.1f MB\n", "  its txt2img", 1e3 * cost.seconds, 1e-6 * (double)cost.bytes);
    assert_true(cost.seconds < 0.3 * patience && cost.bytes < 200000000);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_have_as_many_weights_as_published),
        cmocka_unit_test(stable_diffusion_has_its_public_names),
        cmocka_unit_test(clip_has_its_public_names),
        cmocka_unit_test(elaboration_keeps_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
