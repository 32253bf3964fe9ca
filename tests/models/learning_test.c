/* Every `train` of every model, 200 steps of the compiled code on generated pictures of ten classes: what it
 * is to lower has fallen. */
#include "support_models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 200, EDGE = 25 /* steps that are averaged at the start and at the end */, CLASSES = 10 };

/* What a run has to show: the mean of `report` over the last EDGE steps is at most `most` times that of the
 * first ones, or less by 1 - `most` where that begins about 0 or below. Of "-elbo" the negative counts.
 * `hold`: weights (and their moments) whose names begin so (several words: with one of them) are put back
 * after each step: adversaries are judged one at a time, against the other as it was at the start. */
struct lesson {
    struct model_size size;
    const char *entry, *report, *hold;
    double most;
    /* It goes on from trained weights, and tunes nothing of a last layer that begins as zeros: what would be
     * zeros is small random numbers. */
    bool is_tuned;
};

/* A row that does not say runs in short. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const struct lesson lessons[] = {
    {{"lenet.weft", "", "B=16", "", SHORT}, "step", "loss", NULL, 0.5},
    {{"vae.weft", "hidden=40 latent=5", "B=16", "", SHORT}, "step", "-elbo", NULL, 0.6},
    {{"conv_vae.weft", "ch=4 hidden=24 latent=5", "B=16", "", LONG}, "step", "-elbo", NULL, 0.6},
    {{"ddpm.weft", "ch=8 mult=[1,1,1] T=50 lr=2e-3", "B=4", "", LONG}, "step", "loss", NULL, 0.5},
    {{"ddpm_cifar.weft", "size=8 channels=1 ch=32 mult=[1] res=1 attn=[] T=20 dropout=0.0 lr=2e-3 warmup=10",
      "B=4", "", LONG},
     "step",
     "loss",
     NULL,
     0.6},
    {{"latent_diffusion.weft",
      "size=8 channels=1 vae_ch=32 vae_mult=[1] z=2 ch=32 mult=[1] res=1 attn=[] vae_lr=2e-3", "B=4", "",
      LONG},
     "autoencoder",
     "error",
     NULL,
     0.5},
    {{"latent_diffusion.weft",
      "size=8 channels=1 vae_ch=32 vae_mult=[1] z=2 ch=32 mult=[1] res=1 attn=[1] width=8 lr=2e-3", "B=4",
      "label=0..10", LONG},
     "denoiser",
     "loss",
     NULL,
     0.8},
    {{"stable_diffusion.weft",
      "ch=32 mult=[1] res=1 attn=[1] heads=2 vae_ch=32 vae_mult=[1] z=2 vocab=10 length=4 width=8 layers=1 "
      "text_heads=2 "
      "lr=2e-3 warmup=10",
      "B=4 H=8 W=8", "tokens=0..10", LONG},
     "step",
     "loss",
     NULL,
     0.7},
    {{"mindvis.weft:MaskedBrain",
      "voxels=64 patch=4 dim=16 depth=1 dec_dim=16 dec_depth=1 heads=2 steps=1 lr=1e-2", "B=8", "", LONG},
     "step",
     "loss",
     NULL,
     0.7},
    {{"mindvis.weft:MindVis",
      "voxels=32 patch=4 dim=16 depth=1 brain_heads=2 size=8 ae_ch=32 ae_mult=[1] codes=10 z=2 ch=32 "
      "mult=[1] "
      "res=1 attn=[1] heads=2 code=4 width=8 T=20 lr=2e-3",
      "B=4", "", LONG},
     "step",
     "loss",
     NULL,
     0.8,
     true},
    {{"controlnet.weft",
      "T=20 ch=32 mult=[1] res=1 attn=[1] heads=2 vae_ch=32 vae_mult=[1,1,1,1] z=2 vocab=10 length=4 width=8 "
      "layers=1 text_heads=2 lr=2e-3",
      "B=4 H=32 W=32", "tokens=0..10 empty=0..10", LONG},
     "step",
     "loss",
     NULL,
     0.8,
     true},
    {{"sdxl.weft",
      "T=20 ch=32 mult=[1] res=1 depth=[1] head=16 vae_ch=32 vae_mult=[1] z=2 vocab=10 length=4 width=8 "
      "layers=2 "
      "text_heads=2 big_width=8 big_layers=2 big_heads=2 lr=2e-3",
      "B=4 H=8 W=8", "tokens=0..10", LONG},
     "step",
     "loss",
     NULL,
     0.7},
    {{"clip.weft",
      "size=8 patch=4 dim=16 depth=1 heads=2 out=8 vocab=12 length=5 width=16 layers=1 text_heads=2 lr=3e-3 "
      "warmup=10",
      "B=8", "tokens=0..12", LONG},
     "step",
     "loss",
     NULL,
     0.8},
    {{"vit.weft", "size=8 patch=4 channels=1 dim=16 depth=2 heads=2 classes=10 lr=3e-3 warmup=10", "B=16",
      "label=0..10", LONG},
     "step",
     "loss",
     NULL,
     0.6},
    {{"resnet.weft", "blocks=[1,1,1,1] ch=4 stem=3 size=16 classes=10 lr=0.05", "B=16", "label=0..10", LONG},
     "step",
     "loss",
     NULL,
     0.6},
    /* one player learns to tell, or to be taken for real, while the other stays as it was at the start */
    {{"dcgan.weft", "z=6 ch=8 mult=[2,1]", "B=8", "", SHORT}, "step", "d_loss", "generator.", 0.5},
    {{"dcgan.weft", "z=6 ch=8 mult=[2,1]", "B=8", "", SHORT}, "step", "g_loss", "discriminator.", 0.9},
    {{"cyclegan.weft", "size=16 ch=4 blocks=1 patch_ch=4 patch_layers=1 pool=4", "B=2", "a=-1..1 b=-1..1",
      LONG},
     "step",
     "back",
     NULL,
     0.6},
    {{"cyclegan.weft", "size=16 ch=4 blocks=1 patch_ch=4 patch_layers=1 pool=4", "B=2", "a=-1..1 b=-1..1",
      LONG},
     "step",
     "d_loss.0",
     "netG",
     0.7},
    {{"vampvae.weft", "side=8 hidden=24 latent=5 pseudo=7 lr=3e-3", "B=16", "", SHORT},
     "step",
     "-elbo",
     NULL,
     0.7},
    {{"cvae.weft", "side=8 hidden=24 latent=5 lr=3e-3", "B=16", "", SHORT}, "step", "-elbo", NULL, 0.7},
    {{"sohl_dickstein.weft:GaussianDiffusion2015", "size=8 T=20 n=4 hidden=4 dense=12", "B=16", "image=-1..3",
      LONG},
     "step",
     "bits",
     NULL,
     0.9},
    {{"sohl_dickstein.weft:BinomialDiffusion", "bits=10 T=20 hidden=16 lr=1e-2", "B=32", "", SHORT},
     "step",
     "bound",
     NULL,
     0.7},
    {{"iddpm.weft", "size=8 channels=1 T=20 ch=32 mult=[1] res=1 attn=[] head=8 lr=1e-3", "B=4",
      "image=-1..1", LONG},
     "step",
     "loss",
     NULL,
     0.6},
    /* the vlb loss is noisier: the bound of single steps, each weighted */
    {{"iddpm.weft", "size=8 channels=1 T=8 ch=32 mult=[1] res=1 attn=[] head=8 lr=1e-3 loss_kind=\"vlb\"",
      "B=4", "image=-1..1", LONG},
     "step",
     "loss",
     NULL,
     0.7},
    /* the critic tells real images from those of the first generator; then the generator pleases the first
       critic */
    {{"wgan_gp.weft", "size=8 ch=8 latent=5 critic=2 lr=1e-3", "B=8", "image=-1..1", SHORT},
     "step",
     "d_loss",
     "g.",
     0.9},
    {{"wgan_gp.weft", "size=8 ch=8 latent=5 critic=2 lr=1e-3", "B=8", "image=-1..1", SHORT},
     "step",
     "g_loss",
     "d.",
     0.9},
    {{"transgan.weft",
      "latent=5 dim=16 bottom=2 depth=[1,1] grid=[0,2] heads=2 d_dim=8 d_depth=1 critic=2 channels=1 lr=1e-3",
      "B=8", "image=-1..1", LONG},
     "step",
     "d_loss",
     "G.",
     0.9},
    {{"transgan.weft",
      "latent=5 dim=16 bottom=2 depth=[1,1] grid=[0,2] heads=2 d_dim=8 d_depth=1 critic=2 channels=1 lr=1e-3",
      "B=8", "image=-1..1", LONG},
     "step",
     "g_loss",
     "D.",
     0.9},
    {{"guided.weft", "size=4 channels=1 T=50 ch=32 mult=[1] res=1 attn=[] head=16 lr=1e-3", "B=4",
      "image=-1..1", LONG},
     "denoiser",
     "loss",
     NULL,
     0.6},
    {{"guided.weft", "size=4 channels=1 T=50 mult=[1] attn=[] head=16 judge_ch=64 judge_res=1 lr=3e-3",
      "B=16", "image=-1..1 label=0..10", LONG},
     "classifier",
     "loss",
     NULL,
     0.95},
    /* words, and what they come back to; with gan_start=0 the discriminator against the first autoencoder */
    {{"vqgan.weft",
      "size=8 channels=1 codes=16 dim=4 ch=32 mult=[1,1] res=1 attn=[] d_ch=4 d_layers=1 lr=1e-3", "B=4",
      "image=-1..1", LONG},
     "step",
     "rec",
     NULL,
     0.5},
    {{"vqgan.weft",
      "size=16 channels=1 codes=16 dim=4 ch=32 mult=[1,1] res=1 attn=[] d_ch=8 d_layers=2 gan_start=0 "
      "lr=1e-3",
      "B=4", "image=-1..1", LONG},
     "step",
     "d",
     "encoder. decoder. quant_conv. post_quant_conv. quantize.",
     0.9},
    {{"maskgit.weft",
      "size=4 channels=1 codes=7 code_dim=4 ch=32 mult=[1,1] res=1 attn=[] classes=10 dim=16 depth=1 heads=2 "
      "warmup=10 total=400 lr=1e-2",
      "B=16", "image=-1..1 label=0..10", SHORT},
     "step",
     "loss",
     NULL,
     0.8},
    {{"paella.weft",
      "codes=11 width=[8,12] heads=[0,2] blocks=[1,1] levels=[\"CT\",\"CTA\"] given=5 cond=6 c_in=8 "
      "features=8 "
      "lr=1e-2",
      "B=8 H=4 W=4 M=3", "tokens=0..11", LONG},
     "step",
     "loss",
     NULL,
     0.8},
    {{"pixelcnn.weft", "size=8 levels=4 ch=8 blocks=1 lr=3e-3", "B=16", "", SHORT},
     "step",
     "bits",
     NULL,
     0.6},
    {{"made.weft", "side=8 hidden=[32] lr=1e-2", "B=16", "", SHORT}, "step", "nll", NULL, 0.8},
    {{"realnvp.weft", "size=8 ch=8 blocks=1 levels=16 lr=3e-3", "B=16", "", LONG}, "step", "bits", NULL, 0.8},
    {{"vqvae.weft", "size=8 codes=16 dim=4 ch=8 prior_ch=8 prior_blocks=1 lr=3e-3", "B=16", "", SHORT},
     "autoencoder",
     "nll",
     NULL,
     0.8},
    /* the words of the first autoencoder, which stays as it is */
    {{"vqvae.weft", "size=8 codes=16 dim=4 ch=8 prior_ch=8 prior_blocks=1 lr=1e-2", "B=16", "", LONG},
     "words",
     "bits",
     NULL,
     0.8},
    {{"cfg.weft", "ch=8 mult=[1,1,1] T=50 lr=2e-3", "B=4", "label=0..10", LONG}, "step", "loss", NULL, 0.5},
    {{"flow_matching.weft", "ch=8 mult=[1,1,1] lr=2e-3", "B=4", "", LONG}, "step", "loss", NULL, 0.6},
    {{"ncsn.weft", "ch=8 mult=[1,1,1] levels=3 lo=0.1 lr=2e-3", "B=4", "", LONG}, "step", "loss", NULL, 0.6},
    {{"consistency.weft", "ch=8 mult=[1,1,1] s0=4 s1=4 steps=1000 lr=1e-3", "B=8", "", LONG},
     "step",
     "loss",
     NULL,
     0.8},
    {{"diffae.weft", "ch=8 mult=[1,1,1] code=5 T=50 lr=2e-3", "B=4", "", LONG}, "step", "loss", NULL, 0.5},
    {{"lenet.weft", "", "B=16", "", SHORT, true}, "step", "loss", NULL, 0.5},
    {{"tests/models/precision.weft", "", "B=16", ""}, "step", "loss", NULL, 0.5},
    {{"tests/models/precision.weft", "", "B=16", ""}, "half", "loss", NULL, 0.5},
};
enum { LESSONS = sizeof(lessons) / sizeof(*lessons) };

/* ---- data ---- */

static uint32_t hash(uint32_t a, uint32_t b) {
    uint32_t x = a * 2654435761u ^ b * 2246822519u;
    x = (x ^ x >> 15) * 2246822519u;
    return x ^ x >> 13;
}

/* A number in [0, 1) that belongs to (step, row, what). */
static double number(int step, int row, uint32_t what) {
    return hash(hash((uint32_t)step, (uint32_t)row), what) * 0x1p-32;
}

static int class_of(int step, int row) {
    return (int)(CLASSES * number(step, row, 1));
}

/* Channel c at (y, x) in [0, 1]: a disc with a soft edge, whose place and size are the class's, moved a
 * little. */
static double pixel(int step, int row, int64_t c, double y, double x) {
    int k = class_of(step, row);
    double turn = 6.2831853 * k / CLASSES, width = 0.12 + 0.05 * (k % 3);
    double dy = y - 0.5 - 0.2 * sin(turn) - 0.1 * (number(step, row, 2) - 0.5);
    double dx = x - 0.5 - 0.2 * cos(turn) - 0.1 * (number(step, row, 3) - 0.5);
    return exp(-(dy * dy + dx * dx) / (2 * width * width)) * (c == k % 3 || c == 0 ? 1 : 0.3);
}

/* Of one element of an array: pictures [B, C, H, W]; conditions [B, M, E], which tell the class; rows of bits
 * [B, N] with a 1 at every fifth place; labels [B]; tokens [B, ...], which are stripes. Floats are in [0, 1].
 */
static double element(const struct type *type, int step, const int64_t at[], double range) {
    int row = (int)at[0], k = class_of(step, row);
    if (!dtype_is_float(type->dtype))
        return fmod(type->rank == 1 ? k : k + at[1] + (type->rank > 2 ? 2 * at[2] : 0), range);
    if (type->rank == 4)
        return pixel(step, row, at[1], (at[2] + 0.5) / (double)type_size(type, 2),
                     (at[3] + 0.5) / (double)type_size(type, 3));
    if (type->rank == 3)
        return 0.5 + 0.5 * sin(at[1] + (k + 1.0) * (double)at[2]);
    return type->rank == 2 ? (at[1] + k) % 5 == 0 : number(step, row, 4);
}

static void fill(struct model_call *call, int step) {
    struct arena *arena = arena_create();
    const struct function_plan *plan = call->entry->plan;
    for (int i = 2; i < plan->arguments.count; i++) {
        const struct plan_argument *a = &plan->arguments.at[i];
        if (a->role == WEFT_SEED)
            ((uint32_t *)(void *)call->args[i])[0] = 77; /* the step is folded in by the entry */
        if (a->role != WEFT_INPUT)
            continue;
        struct tensor *t = tensor_create(arena, a->type);
        struct range range = model_range(call->run->size, a->name, a->type);
        int64_t at[8] = {0};
        for (int64_t e = 0; e < type_elements(a->type); e++) {
            double x = element(a->type, step, at, range.end - range.lo);
            if (dtype_is_float(a->type->dtype))
                t->f[e] = range.lo + (range.end - range.lo) * x;
            else
                t->i[e] = (int64_t)(range.lo + x);
            for (int d = a->type->rank - 1; d >= 0 && ++at[d] == type_size(a->type, d); d--)
                at[d] = 0;
        }
        tensor_to_bytes(t, call->args[i]);
    }
    arena_destroy(arena);
}

/* ---- a run ---- */

/* false: the report stands in a `when` that did not run, and its memory is as model_call_run left it. */
static bool read_report(const struct model_call *call, const char *name, double *value) {
    bool negative = *name == '-';
    const unsigned char untouched[4] = {0xff, 0xff, 0xff, 0xff};
    for (int i = 2; i < call->entry->plan->arguments.count; i++) {
        const struct plan_argument *a = &call->entry->plan->arguments.at[i];
        if (a->role != WEFT_REPORT || strcmp(a->name, name + negative) != 0)
            continue;
        *value = (negative ? -1 : 1) * (double)*(const float *)(const void *)call->args[i];
        return memcmp(call->args[i], untouched, sizeof untouched) != 0;
    }
    fail_msg("%s reports no `%s`", call->run->size->name, name + negative);
    return false;
}

static double mean(const double *x, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i];
    return sum / count;
}

/* A state of `hold`, or an optimiser's of one: opt.<train>.<k>.<weight>.m */
static bool is_held(const struct state *state, const char *hold) {
    const char *name = state->name;
    if (strncmp(name, "opt.", 4) == 0)
        for (int points = 0; points < 3 && name; points++)
            name = strchr(name, '.') ? strchr(name, '.') + 1 : NULL;
    for (; name && hold && *hold; hold += strcspn(hold, " "), hold += *hold == ' ')
        if (strncmp(name, hold, strcspn(hold, " ")) == 0)
            return true;
    return false;
}

static void put_back(struct model_run *run, const struct snapshot *start, const char *hold) {
    const struct memory now = run->memory;
    struct memory then = now;
    then.weights = start->bytes;
    then.state = start->bytes + now.weights_bytes;
    for (int i = 0; hold && i < run->program->graph->states.count; i++) {
        const struct state *state = run->program->graph->states.at[i];
        if (is_held(state, hold))
            memcpy(memory_of_state(&now, run->program->plan, state),
                   memory_of_state(&then, run->program->plan, state), (size_t)type_bytes(state->type));
    }
}

static void the_loss_falls(void **state) {
    const struct lesson *lesson = *state;
    struct model_run *run = model_open_entry(&lesson->size, lesson->entry);
    model_compile(run, NULL);
    if (lesson->is_tuned)
        model_start(run);
    else
        model_call_run(model_call_create(run, run->entry_count, 5), NULL); /* init */
    struct model_call *call = model_call_create(run, 0, 1);
    struct snapshot start = model_snapshot(call);
    VEC(double) losses = {0};
    for (int step = 0; step < STEPS; step++) {
        fill(call, step);
        model_call_run(call, NULL);
        put_back(run, &start, lesson->hold);
        double loss;
        if (!read_report(call, lesson->report, &loss))
            continue;
        if (isnan(loss))
            fail_msg("%s: `%s` is a NaN at step %d", lesson->size.name, lesson->report, step);
        VEC_PUSH(run->session.arena, &losses, loss);
    }
    assert_true(losses.count >= 2 * EDGE);
    double first = mean(losses.at, EDGE), last = mean(losses.at + losses.count - EDGE, EDGE);
    print_message("%s: %s from %.4g to %.4g\n", lesson->size.name, lesson->report, first, last);
    double most = first > 0.1 ? lesson->most * first : first - 1 + lesson->most;
    if (!(last < most))
        fail_msg("%s: `%s` goes from %g to %g", lesson->size.name, lesson->report, first, last);
    model_close(run);
}

int main(int argc, char **argv) {
    struct choice choice = choice_read(argc, argv);
    struct CMUnitTest tests[LESSONS];
    size_t count = 0;
    for (int i = 0; i < LESSONS; i++)
        if (choice_takes(&choice, &lessons[i].size))
            tests[count++] = (struct CMUnitTest){lessons[i].size.name, the_loss_falls, NULL, NULL,
                                                 (void *)(uintptr_t)&lessons[i]};
    return choice_run(&choice, "learning", tests, count);
}
