/* driver/picture.h: a tensor as a picture made of characters. */
#ifndef DRIVER_PICTURE_H
#define DRIVER_PICTURE_H

#include "base/strbuf.h"
#include "ir/type.h"

/* Draws f32 of [H,W], [C,H,W] or [B,C,H,W] (1 or 3 channels, values from 0 to 1; the first images of a batch
 * side by side). In colour a character holds two pixels, one above the other (24-bit escapes); else a shade.
 * Large images are made smaller. false: it is no picture. */
bool picture_draw(struct strbuf *out, const struct type *type, const void *bytes, bool in_colour);

#endif
