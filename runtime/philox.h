/* runtime/philox.h: Philox 4x32-10, a random number generator without state (Salmon, Moraes, Dror, Shaw:
 * "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Block = bijection(counter, key): any element of
 * any stream is computed alone, so results do not depend on threads or order. Header only: the evaluator, the
 * code generator's constant folding and the data sets use the same lines. */
#ifndef WEFT_PHILOX_H
#define WEFT_PHILOX_H

#include <stdint.h>

struct philox_key {
    uint32_t word[2];
};

struct philox_block {
    uint32_t word[4];
};

static inline struct philox_block philox_block(struct philox_key key, uint32_t c0, uint32_t c1, uint32_t c2,
                                               uint32_t c3) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key.word[0];
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key.word[1];
        c3 = (uint32_t)a;
        key.word[0] += 0x9E3779B9u; /* the golden ratio, sqrt(3) - 1: Weyl sequences */
        key.word[1] += 0xBB67AE85u;
    }
    return (struct philox_block){{c0, c1, c2, c3}};
}

/* The key of a seed: its low and high word. */
static inline struct philox_key philox_seed(uint64_t seed) {
    return (struct philox_key){{(uint32_t)seed, (uint32_t)(seed >> 32)}};
}

/* The key of a part of what `key` stands for (semantics S8): words 0 and 1 of the block with counter (d, 0,
 * 0, 1). Draws have 0 in the last word of their counters, so no draw meets the words of a key. */
static inline struct philox_key philox_fold(struct philox_key key, uint32_t d) {
    struct philox_block block = philox_block(key, d, 0, 0, 1);
    return (struct philox_key){{block.word[0], block.word[1]}};
}

/* Element i of a draw (S8): word i % 4 of the block with counter (i / 4 as 64 bits, 0, 0). */
static inline uint32_t philox_element(struct philox_key key, uint64_t i) {
    return philox_block(key, (uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), 0, 0).word[i % 4];
}

#endif
