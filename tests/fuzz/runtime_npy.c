#include "runtime/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct weft_array array;
    struct weft_error error;
    (void)weft_npy_parse("input", bytes, size, &array, &error);
    weft_array_destroy(&array);
    return 0;
}
