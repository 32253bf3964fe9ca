/* sample.c: draws 64 pictures with an object that weft built, and nothing else: cc sample.c vae.o -lm
 * usage: sample vae.weights pictures.f32 pictures.pgm */
#include "vae.h"

#include <stdio.h>
#include <stdlib.h>

enum { N = 64, SIDE = 28, COLUMNS = 8 };
static float image[N][SIDE][SIDE];

int main(int argc, char **argv) {
    size_t size = vae_weights_size();
    void *weights = aligned_alloc(64, (size + 63) / 64 * 64);
    void *workspace = aligned_alloc(64, (vae_sample_workspace(N, NULL) + 63) / 64 * 64);
    FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
    if (!file || !weights || !workspace || fread(weights, 1, size, file) != size)
        return fprintf(stderr, "usage: sample vae.weights pictures.f32 pictures.pgm\n"), 1;
    int code = vae_sample(weights, N, 1, &image[0][0][0], workspace, NULL);
    if (code)
        return fprintf(stderr, "%s\n", vae_error(code)), 1;
    FILE *raw = fopen(argv[2], "wb"), *pgm = fopen(argv[3], "wb");
    if (!raw || !pgm || fwrite(image, sizeof image, 1, raw) != 1)
        return perror("sample"), 1;
    fprintf(pgm, "P5 %d %d 255\n", COLUMNS * SIDE, N / COLUMNS * SIDE);
    for (int y = 0; y < N / COLUMNS * SIDE; y++)
        for (int x = 0; x < COLUMNS * SIDE; x++)
            fputc((int)(255.0f * image[y / SIDE * COLUMNS + x / SIDE][y % SIDE][x % SIDE] + 0.5f), pgm);
    return fclose(raw) || fclose(pgm);
}
