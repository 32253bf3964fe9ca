/* runtime/picture.h: what is done to a picture on its way into a batch: cut, scaled, turned, mirrored. What
 * is left to chance is a function of a key, so that a run that is resumed sees the same pictures. */
#ifndef WEFT_PICTURE_H
#define WEFT_PICTURE_H

#include "runtime/image.h"
#include "runtime/philox.h"

/* In this order; all zero: nothing is done. Pairs are (height, width). */
struct weft_picture_steps {
    int crop[4];   /* top, left, height, width; height 0: the whole */
    int resize[2]; /* width 0: the shorter side becomes `height`, the other keeps the proportion */
    float
        rotate; /* by an angle that is even in [-rotate, rotate] degrees; what comes from outside is black */
    int random_crop[2]; /* at a place that is even over all places */
    int center_crop[2];
    bool flip; /* left to right, one time in two */
};

bool weft_picture_is_random(const struct weft_picture_steps *steps);
bool weft_picture_is_plain(const struct weft_picture_steps *steps); /* nothing is done */

/* The size of a picture behind the steps, from its size before them. false: it is too small for a cut; `name`
 * is the file's, for the message. */
bool weft_picture_size(const char *name, const struct weft_picture_steps *steps, int *height, int *width,
                       struct weft_error *error);
/* Takes the picture through the steps; false: it is destroyed. */
bool weft_picture_take_steps(const char *name, const struct weft_picture_steps *steps, struct philox_key key,
                             struct weft_image *image, struct weft_error *error);

/* The parts, each a new picture. Scaling is by a triangle (linear interpolation), widened to the scale where
 * the picture shrinks, in the integers of Pillow's Image.resize(…, BILINEAR): equal, or one level apart.
 * Angles are in degrees against the clock. */
bool weft_picture_resize(const struct weft_image *from, int height, int width, struct weft_image *to,
                         struct weft_error *error);
bool weft_picture_crop(const struct weft_image *from, int top, int left, int height, int width,
                       struct weft_image *to, struct weft_error *error);
bool weft_picture_rotate(const struct weft_image *from, float angle, struct weft_image *to,
                         struct weft_error *error);
void weft_picture_flip(struct weft_image *image);

#endif
