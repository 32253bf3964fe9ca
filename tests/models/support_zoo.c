/* The models of models/, each at the size at which the tests run it. */
#include "support_models.h"

const struct model_size model_sizes[] = {
    {"lenet.weft", "", "B=3", ""},
    {"vae.weft", "hidden=40 latent=5", "B=5 n=3", ""},
    {"conv_vae.weft", "ch=4 hidden=24 latent=5", "B=3 n=2", ""},
    {"ddpm.weft", "ch=16 mult=[1,1,1] T=50", "B=2 n=2 steps=3", ""},
};
const int model_count = sizeof(model_sizes) / sizeof(*model_sizes);
