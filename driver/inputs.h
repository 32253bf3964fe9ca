/* driver/inputs.h: the values of a recipe's `in` and `set`, as the parameters of an fn want them. */
#ifndef DRIVER_INPUTS_H
#define DRIVER_INPUTS_H

#include "driver/feed.h"

/* The inputs of one fn: settings for its elaboration, arrays for its calls. The arrays are owned. */
struct inputs {
    VEC(struct setting) settings;
    VEC(struct given) given;
};

/* Where values come from: the recipe (its folder, its encoding of texts) and its open sets. */
struct input_sources {
    const struct recipe *recipe;
    struct feed *feeds; /* by recipe->data */
};

/* Takes the values that the fn `entry` has parameters for. Their names must all be parameters of one of the
 * count entries (the fn itself and the fn of `from`); *used says which were taken. A tensor is a number, a
 * list, a range a..b, repeat(list or range, n), a .npy or .png file, data(SET.FIELD)[:n], bpe:TEXT or a list
 * of such texts. false: reported. */
bool inputs_read(struct session *session, const struct input_sources *sources, const struct entry *entry,
                 const struct recipe_input *values, int count, bool *used, struct inputs *inputs);
/* Each value must have been used. */
bool inputs_check_used(struct session *session, const struct entry *entry, const struct recipe_input *values,
                       int count, const bool *used);
/* Each whole number without a default must be given, or follow from the sizes of tensors. */
bool inputs_check_sizes(struct session *session, const struct entry *entry, const struct inputs *inputs,
                        const struct sizes *sizes, struct span span);
void inputs_destroy(struct inputs *inputs);

#endif
