/* The models of models/, each at the size at which the tests run it. */
#include "support_models.h"

const struct model_size model_sizes[] = {
    {"lenet.weft", "", "B=3", ""},
    {"vae.weft", "hidden=40 latent=5", "B=5 n=3", ""},
    {"conv_vae.weft", "ch=4 hidden=24 latent=5", "B=3 n=2", ""},
    {"ddpm.weft", "ch=16 mult=[1,1,1] T=50", "B=2 n=2 steps=3", ""},
    {"ddpm_cifar.weft", "size=4 channels=1 ch=32 mult=[1,1] res=1 attn=[2] T=6", "B=2 n=1 steps=3", ""},
    {"latent_diffusion.weft",
     "size=4 channels=1 vae_ch=32 vae_mult=[1] z=2 ch=32 mult=[1] res=1 attn=[1] heads=2 width=8 T=20",
     "B=2 n=1 steps=3", "label=0..10"},
    {"stable_diffusion.weft",
     "T=20 ch=32 mult=[1] res=1 attn=[1] heads=2 vae_ch=32 vae_mult=[1] z=2 vocab=10 length=4 width=8 "
     "layers=1 "
     "text_heads=2",
     "B=1 H=4 W=4 h=4 w=4 height=4 width=4 steps=4", "tokens=0..10 empty=0..10 t=0..20"},
    {"mindvis.weft:MaskedBrain", "voxels=32 patch=4 dim=16 depth=1 dec_dim=8 dec_depth=1 heads=2", "B=2", ""},
    {"mindvis.weft:MindVis",
     "voxels=32 patch=4 dim=16 depth=1 brain_heads=2 size=4 ae_ch=32 ae_mult=[1] codes=10 z=2 ch=32 mult=[1] "
     "res=1 "
     "attn=[1] heads=2 code=4 width=8 T=20",
     "B=1 steps=3", ""},
    {"clip.weft",
     "size=4 patch=2 dim=8 depth=1 heads=2 out=6 vocab=12 length=5 width=8 layers=1 text_heads=2", "B=3 K=4",
     "tokens=0..12"},
    {"vit.weft", "size=8 patch=4 channels=1 dim=16 depth=2 heads=2 classes=10", "B=3", ""},
    {"resnet.weft", "blocks=[1,1,1,1] ch=4 stem=3 size=16 classes=10", "B=3 H=16 W=16", "image=-1..1"},
    {"dcgan.weft", "z=6 ch=4 mult=[2,1]", "B=3 n=2 rows=1 steps=3", ""},
    {"cyclegan.weft", "size=16 ch=4 blocks=1 patch_ch=4 patch_layers=1 pool=2", "B=2 H=16 W=16",
     "a=-1..1 b=-1..1"},
    {"vampvae.weft", "side=8 hidden=24 latent=5 pseudo=7", "B=5 n=4 samples=3", ""},
    {"cvae.weft", "side=8 hidden=24 latent=5", "B=5 n=4", ""},
    {"sohl_dickstein.weft:GaussianDiffusion2015", "size=8 T=20 n=4 hidden=4 dense=12", "B=3 m=2",
     "image=-2..2"},
    {"sohl_dickstein.weft:BinomialDiffusion", "bits=10 T=20 hidden=8", "B=6 m=4 every=5", ""},
};
const int model_count = sizeof(model_sizes) / sizeof(*model_sizes);
