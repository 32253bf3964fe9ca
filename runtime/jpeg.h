/* runtime/jpeg.h: JPEG files to pictures, through libjpeg. */
#ifndef WEFT_JPEG_H
#define WEFT_JPEG_H

#include "runtime/image.h"

bool weft_is_jpeg(const void *bytes, size_t size);
/* Grey or RGB, as the file is; CMYK becomes RGB. A file that is cut off is refused. *image is the caller's;
 * false: nothing was made. */
bool weft_jpeg_decode(const char *name, const void *bytes, size_t size, struct weft_image *image,
                      struct weft_error *error);

#endif
