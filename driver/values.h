/* driver/values.h: tensors on the command line: what is given as IN=VALUE, and how results are shown and
 * written. */
#ifndef DRIVER_VALUES_H
#define DRIVER_VALUES_H

#include "driver/session.h"
#include "runtime/array.h"

/* A value of the command line. A literal is f64 until the dtype that is wanted is known. */
struct given {
    const char *name; /* of the parameter */
    const char *text; /* as it was written, for messages: "x=digit.png" */
    struct weft_array array;
    bool is_literal;
    bool is_used;
};

/* Takes NAME=VALUE apart, without a look at VALUE. false: reported. */
bool given_name(struct session *session, const char *word, struct given *given);
/* Reads NAME=VALUE: VALUE a .npy file, a PNG or JPEG (f32 [1,C,H,W] in [0, 1]), a number, or a list such as
 * [1, 2] or
 * [[1, 2], [3, 4]]. false: reported. The caller destroys given->array. */
bool given_read(struct session *session, const char *word, struct given *given);
/* The value of a scalar that is not given, as the model's text says it; false: the text says none (nothing is
 * reported). */
bool given_default(struct session *session, const struct entry_param *param, struct given *given);
/* An array of exactly this dtype: a literal is converted (2.5 for an i32 is an error), another array must
 * have it. false: reported. */
bool given_convert(struct session *session, struct given *given, enum dtype dtype);

/* A tensor for people: all of it while it is small, else its range, mean and number of NaNs. */
void value_print(struct strbuf *out, const char *name, const struct type *type, const void *bytes);
/* Writes a tensor by the path's ending: .npy; .png for f32 (or u8) of [H,W], [C,H,W] or [B,C,H,W] with 1 or 3
 * channels and values in [lo, hi], batches as a grid of rows x columns (0: nearly square). false: reported.
 */
bool value_write(struct session *session, const char *path, const struct type *type, const void *bytes,
                 int64_t rows, int64_t columns, double lo, double hi);

/* Element i of a tensor as a number. */
double value_element(const struct type *type, const void *bytes, int64_t i);

#endif
