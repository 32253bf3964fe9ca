/* The models of models/, each at the size at which the tests run it. */
#include "support_models.h"

const struct model_size model_sizes[] = {
    {"lenet.weft", "", "B=3", ""},
    {"vae.weft", "hidden=40 latent=5", "B=5 n=3", ""},
    {"conv_vae.weft", "ch=4 hidden=24 latent=5", "B=3 n=2", ""},
    {"ddpm.weft", "ch=16 mult=[1,1,1] T=50", "B=2 n=2 steps=3", ""},
    {"vampvae.weft", "side=8 hidden=24 latent=5 pseudo=7", "B=5 n=4 samples=3", ""},
    {"cvae.weft", "side=8 hidden=24 latent=5", "B=5 n=4", ""},
    {"sohl_dickstein.weft:GaussianDiffusion2015", "size=8 T=20 n=4 hidden=4 dense=12", "B=3 m=2", "image=-2..2"},
    {"sohl_dickstein.weft:BinomialDiffusion", "bits=10 T=20 hidden=8", "B=6 m=4 every=5", ""},
};
const int model_count = sizeof(model_sizes) / sizeof(*model_sizes);
