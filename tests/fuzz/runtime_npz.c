#include "runtime/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct weft_zip zip;
    struct weft_error error;
    if (!weft_zip_parse(&zip, "input", bytes, size, &error))
        return 0;
    for (int i = 0; i < zip.count; i++) {
        struct weft_array array = {0};
        (void)weft_npz_read(&zip, i, &array, &error);
        weft_array_destroy(&array);
    }
    weft_zip_close(&zip);
    return 0;
}
