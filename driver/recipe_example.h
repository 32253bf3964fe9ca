/* driver/recipe_example.h: a recipe for a model, to begin with. */
#ifndef DRIVER_RECIPE_EXAMPLE_H
#define DRIVER_RECIPE_EXAMPLE_H

#include "driver/session.h"

/* Prints a recipe for MODEL.weft[:NAME] to standard output: data that fit its train block, its fns as
 * evaluations and pictures. false: reported. */
bool recipe_example(struct session *session, const char *word);

#endif
