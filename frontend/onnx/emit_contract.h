/* frontend/onnx/emit_contract.h: products and convolutions with what ONNX adds to them, for the patterns. */
#ifndef ONNX_EMIT_CONTRACT_H
#define ONNX_EMIT_CONTRACT_H

#include "ir/build.h"
#include "onnx/emit.h"

/* The name of a conv's result, with a bias [O] or NULL. */
const char *onnx_convolution(struct emission *e, const struct op *op, const char *bias);
/* A dot of two matrices: Gemm with a bias that broadcasts to the result. */
bool onnx_is_gemm(const struct op *op);
const char *onnx_gemm(struct emission *e, const struct op *op, const char *bias);

#endif
