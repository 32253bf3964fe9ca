/* The models of models/, and those of second_order.weft, each at the size at which the tests run it. */
#include "support_models.h"

/* A row that does not say runs in short. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

const struct model_size model_sizes[] = {
    {"lenet.weft", "", "B=3", "", SHORT},
    {"vae.weft", "hidden=40 latent=5", "B=5 n=3", "", SHORT},
    {"conv_vae.weft", "ch=4 hidden=24 latent=5", "B=3 n=2", "", LONG},
    {"ddpm.weft", "ch=16 mult=[1,1,1] T=50", "B=2 n=2 steps=3", "", SHORT},
    {"ddpm_cifar.weft", "size=4 channels=1 ch=32 mult=[1,1] res=1 attn=[2] T=6", "B=2 n=1 steps=3", "", LONG},
    {"latent_diffusion.weft",
     "size=4 channels=1 vae_ch=32 vae_mult=[1] z=2 ch=32 mult=[1] res=1 attn=[1] heads=2 width=8 T=20",
     "B=2 n=1 steps=3", "label=0..10", LONG},
    {"stable_diffusion.weft",
     "T=20 ch=32 mult=[1] res=1 attn=[1] heads=2 vae_ch=32 vae_mult=[1] z=2 vocab=10 length=4 width=8 "
     "layers=1 "
     "text_heads=2",
     "B=1 H=4 W=4 h=4 w=4 height=4 width=4 steps=4", "tokens=0..10 empty=0..10 t=0..20", LONG},
    {"mindvis.weft:MaskedBrain", "voxels=32 patch=4 dim=16 depth=1 dec_dim=8 dec_depth=1 heads=2", "B=2", "",
     LONG},
    {"mindvis.weft:MindVis",
     "voxels=32 patch=4 dim=16 depth=1 brain_heads=2 size=4 ae_ch=32 ae_mult=[1] codes=10 z=2 ch=32 mult=[1] "
     "res=1 "
     "attn=[1] heads=2 code=4 width=8 T=20",
     "B=1 steps=3", "", LONG},
    {"clip.weft",
     "size=4 patch=2 dim=8 depth=1 heads=2 out=6 vocab=12 length=5 width=8 layers=1 text_heads=2", "B=3 K=4",
     "tokens=0..12", LONG},
    {"vit.weft", "size=8 patch=4 channels=1 dim=16 depth=2 heads=2 classes=10", "B=3", "", LONG},
    {"resnet.weft", "blocks=[1,1,1,1] ch=4 stem=3 size=16 classes=10", "B=3 H=16 W=16", "image=-1..1", LONG},
    {"dcgan.weft", "z=6 ch=4 mult=[2,1]", "B=3 n=2 rows=1 steps=3", "", SHORT},
    {"cyclegan.weft", "size=16 ch=4 blocks=1 patch_ch=4 patch_layers=1 pool=2", "B=2 H=16 W=16",
     "a=-1..1 b=-1..1", LONG},
    {"vampvae.weft", "side=8 hidden=24 latent=5 pseudo=7", "B=5 n=4 samples=3", "", SHORT},
    {"cvae.weft", "side=8 hidden=24 latent=5", "B=5 n=4", "", SHORT},
    {"sohl_dickstein.weft:GaussianDiffusion2015", "size=8 T=20 n=4 hidden=4 dense=12", "B=3 m=2",
     "image=-2..2", LONG},
    {"sohl_dickstein.weft:BinomialDiffusion", "bits=10 T=20 hidden=8", "B=6 m=4 every=5", "", SHORT},
    {"iddpm.weft", "size=4 channels=1 T=4 ch=32 mult=[1,1] res=1 attn=[2] head=8", "B=2 n=1 steps=2",
     "image=-1..1", LONG},
    {"iddpm.weft", "size=4 channels=1 T=4 ch=32 mult=[1] res=1 attn=[] head=8 loss_kind=\"vlb\"",
     "B=2 n=1 steps=2", "image=-1..1", LONG},
    {"fractal.weft:Fractal", "size=16 range=4 stride=4 chunk=4", "B=2 N=3 M=5 iterations=3", "", SHORT},
    {"fractal.weft:QuadtreeFractal", "size=16 levels=[8,4,2] chunk=4", "iterations=3", "", LONG},
    {"fractal.weft:Dimension", "size=16 boxes=[1,2,4]", "B=2", "", SHORT},
    {"fractal.weft:Dimension", "size=16 boxes=[1,2,4] q=1.0", "B=2", "", SHORT},
    {"wgan_gp.weft", "size=8 ch=4 latent=5 critic=2", "B=2 n=2", "image=-1..1", SHORT},
    {"transgan.weft",
     "latent=5 dim=16 bottom=4 depth=[1,1] grid=[0,4] heads=2 d_dim=8 d_depth=1 critic=2 channels=1",
     "B=2 n=2", "image=-1..1", LONG},
    {"guided.weft",
     "size=4 channels=1 T=6 classes=3 ch=32 mult=[1,1] res=1 attn=[2] head=16 judge_ch=64 judge_res=1",
     "B=2 n=2 steps=3", "image=-1..1 label=0..3", LONG},
    {"vqgan.weft",
     "size=16 channels=1 codes=9 dim=4 ch=32 mult=[1,1] res=1 attn=[8] d_ch=4 d_layers=2 gan_start=1", "B=2",
     "image=-1..1 id=0..9", LONG},
    {"maskgit.weft",
     "size=4 channels=1 codes=7 code_dim=4 ch=32 mult=[1,1] res=1 attn=[] classes=3 dim=8 depth=1 heads=2",
     "B=2 steps=3", "image=-1..1 label=0..3 tokens=0..7", LONG},
    {"paella.weft",
     "codes=11 width=[8,12] heads=[0,2] blocks=[1,2] levels=[\"CT\",\"CTA\"] given=5 cond=6 c_in=4 "
     "features=8",
     "B=2 H=4 W=4 M=3 h=4 w=4 steps=3 renoise_steps=2", "x=0..11 noise=0..11 tokens=0..11", LONG},
    {"pixelcnn.weft", "size=6 levels=4 ch=4 blocks=1", "B=3 n=2 rows=4 first=20", "x=0..4", SHORT},
    {"made.weft", "side=4 hidden=[12,10]", "B=3 n=2", "", SHORT},
    {"realnvp.weft", "size=4 ch=4 blocks=1", "B=4 n=2", "", LONG},
    {"vqvae.weft", "size=8 codes=6 dim=4 ch=4 prior_ch=6 prior_blocks=1", "B=3 n=2", "id=0..6", LONG},
    {"cfg.weft", "ch=8 mult=[1,1,1] T=20", "B=2 n=2 steps=2", "t=0..20", LONG},
    {"flow_matching.weft", "ch=8 mult=[1,1,1]", "B=1 n=1 steps=2", "", LONG},
    {"ncsn.weft", "ch=8 mult=[1,1,1] levels=2", "B=1 n=1 turns=2", "sigma=1..2", LONG},
    {"consistency.weft", "ch=8 mult=[1,1,1] s0=4 s1=8 steps=100", "B=2 n=1", "level=-1..1", LONG},
    {"diffae.weft", "ch=8 mult=[1,1,1] code=5 T=20", "B=1 steps=2", "", LONG},
    {"controlnet.weft",
     "T=20 ch=32 mult=[1] res=1 attn=[1] heads=2 vae_ch=32 vae_mult=[1,1,1,1] z=2 vocab=10 length=4 width=8 "
     "layers=1 "
     "text_heads=2",
     "B=1 H=8 W=8 h=1 w=1 steps=2", "tokens=0..10 empty=0..10 t=0..20", LONG},
    {"sdxl.weft",
     "T=20 ch=32 mult=[1,1] res=1 depth=[1,1] head=8 vae_ch=32 vae_mult=[1] z=2 vocab=10 length=4 width=8 "
     "layers=2 "
     "text_heads=2 big_width=8 big_layers=2 big_heads=2",
     "B=1 H=4 W=4 h=4 w=4 height=4 width=4 steps=2 K=16 P=1544", "tokens=0..10 empty=0..10 t=0..20", LONG},
    /* losses that hold gradients, in loops too */
    {"tests/models/second_order.weft:Penalty", "", "B=2", "", LONG},
    {"tests/models/second_order.weft:Sliced", "", "B=2", "", LONG},
    {"tests/models/second_order.weft:Energy", "", "B=2", "", SHORT},
    {"tests/models/second_order.weft:Unrolled", "", "B=2", "", LONG},
    {"tests/models/second_order.weft:Flat", "", "B=3", "label=0..3", LONG},
    {"tests/models/second_order.weft:Meta", "", "B=3", "label=0..3", LONG},
    {"tests/models/second_order.weft:Operators", "", "B=3", "id=0..6", LONG},
};
const int model_count = sizeof(model_sizes) / sizeof(*model_sizes);
