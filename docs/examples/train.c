/* train.c: trains the VAE from its first weights with the object alone: cc train.c vae.o -lm
 * usage: train train-images-idx3-ubyte EPOCHS SEED. Prints the mean bound of each epoch. */
#include "vae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { B = 128, PIXELS = 28 * 28 };

static void *block(size_t size) {
    void *p = aligned_alloc(64, (size + 127) / 64 * 64);
    if (!p)
        exit(1);
    return memset(p, 0, (size + 127) / 64 * 64);
}

/* The pixels of an IDX file, behind its header of four words. */
static unsigned char *read_images(const char *path, long *count) {
    FILE *file = fopen(path, "rb");
    unsigned char head[16];
    if (!file || fread(head, 1, 16, file) != 16)
        exit((fprintf(stderr, "%s: no IDX file\n", path), 1));
    *count = (long)head[4] << 24 | head[5] << 16 | head[6] << 8 | head[7];
    unsigned char *pixels = block((size_t)*count * PIXELS);
    if (fread(pixels, PIXELS, (size_t)*count, file) != (size_t)*count)
        exit((fprintf(stderr, "%s: too short\n", path), 1));
    fclose(file);
    return pixels;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return fprintf(stderr, "usage: train train-images-idx3-ubyte EPOCHS SEED\n"), 1;
    long count;
    const unsigned char *pixels = read_images(argv[1], &count);
    int epochs = atoi(argv[2]);
    uint64_t seed = strtoull(argv[3], NULL, 10);
    void *weights = block(vae_weights_size()), *state = block(vae_state_size());
    void *workspace = block(vae_step_workspace(B, NULL));
    float *image = block(sizeof(float) * B * PIXELS);
    int code = vae_init(weights, state, seed);
    for (int epoch = 0; !code && epoch < epochs; epoch++) {
        double sum = 0;
        long steps = count / B;
        for (long step = 0; !code && step < steps; step++) {
            for (long i = 0; i < B * PIXELS; i++)
                image[i] = (float)pixels[step * B * PIXELS + i] / 255.0f;
            float elbo, nll, kl;
            code = vae_step(weights, state, image, B, seed, &elbo, &nll, &kl, workspace, NULL);
            sum += elbo;
        }
        printf("epoch %d: elbo %.9g\n", epoch + 1, sum / (double)(count / B));
    }
    return code ? fprintf(stderr, "%s\n", vae_error(code)), 1 : 0;
}
