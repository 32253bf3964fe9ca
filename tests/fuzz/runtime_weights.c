#include "runtime/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Reads every byte that an accepted file hands out. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct weft_error error;
    struct weft_weights *weights = weft_weights_parse("input", bytes, size, &error);
    volatile uint8_t sum = 0;
    for (int i = 0; weights && i < weft_weights_count(weights); i++) {
        const struct weft_weight *w = weft_weights_at(weights, i);
        for (size_t b = 0; b < w->bytes; b++)
            sum = (uint8_t)(sum + ((const uint8_t *)w->data)[b]);
    }
    weft_weights_close(weights);
    return 0;
}
