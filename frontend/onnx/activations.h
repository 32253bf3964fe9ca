/* frontend/onnx/activations.h: is a piece of the graph a known function of one number? */
#ifndef ONNX_ACTIVATIONS_H
#define ONNX_ACTIVATIONS_H

#include "ir/graph.h"

/* Note [Functions by their values]: the library writes silu or gelu down with corrections that save a last
 * digit here and an underflow there, and writes them otherwise when somebody finds a better way. So they are
 * known by what they compute: the operators between x and y are run on numbers, and compared with the
 * formula. */

/* Whether y is computed from x and constants alone, by a few elementwise operators of x's type, and is
 * exact(x) for every x that is tried, up to rounding in f32. */
bool value_is_function(const struct value *y, const struct value *x, double (*exact)(double x));

double exact_sigmoid(double x);
double exact_silu(double x);
double exact_gelu(double x);

#endif
