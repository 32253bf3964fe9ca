#include "runtime/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    for (int channels = 0; channels <= 4; channels++) {
        struct weft_image image;
        struct weft_error error;
        (void)weft_image_decode("input", bytes, size, channels, &image, &error);
        weft_image_destroy(&image);
    }
    return 0;
}
