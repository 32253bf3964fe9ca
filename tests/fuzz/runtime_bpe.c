/* Any bytes as a list of merges, and as a text in it. */
#include "runtime/bpe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct weft_error error;
    struct weft_bpe *bpe = weft_bpe_parse("input", bytes, size, &error);
    char *text = malloc(size + 1);
    int32_t out[16];
    memcpy(text, bytes, size);
    text[size] = 0;
    if (bpe && weft_bpe_encode(bpe, text, 16, out) < 2)
        abort();
    for (int i = 0; bpe && i < 16; i++)
        if (out[i] < 0 || out[i] >= weft_bpe_count(bpe))
            abort();
    weft_bpe_close(bpe);
    free(text);
    return 0;
}
