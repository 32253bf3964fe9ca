/* codegen/target.h: what the code generator knows of a CPU. */
#ifndef CODEGEN_TARGET_H
#define CODEGEN_TARGET_H

#include "base/arena.h"
#include "base/diag.h"

struct target {
    const char *triple, *cpu, *features; /* as LLVM spells them */
    const char *needs; /* "+avx,+avx2,..": what code for it asks of the machine; a superset of what it uses */
    int vector_bits;   /* 512 AVX-512, 256 AVX2, 128 SSE2 and NEON */
    int vector_registers; /* 32 or 16 */
    bool has_fma;
    bool has_masked_memory; /* masked loads and stores are one instruction */
    bool has_half;          /* vectors of f16 become f32 and back in one instruction */
    bool has_bf16_dot;      /* AVX512_BF16 */
    int l1_bytes, l2_bytes; /* data caches of a core: 32 K and 512 K where unknown */
    /* The register tile of the f32 micro-kernel, tile_rows x tile_vectors vectors (KERNELS.md 1):
     * 6x4 of 16 lanes on AVX-512, 6x2 of 8 lanes on AVX2, 4x2 of 4 lanes on SSE2, 8x2 of 4 on NEON. */
    int tile_rows, tile_vectors;
};

/* cpu: "native", an LLVM name ("haswell"), or a level (x86-64, x86-64-v3, x86-64-v4, aarch64). NULL: reported
 * (E_TARGET) with a suggestion. */
const struct target *target_get(struct arena *arena, const char *cpu, struct diags *diags);
/* Whether "+avx2" stands in a list of features. */
bool feature_is_listed(const char *features, const char *feature);
/* Lanes of a vector of elements of this many bytes. */
int target_lanes(const struct target *target, int element_bytes);

#endif
