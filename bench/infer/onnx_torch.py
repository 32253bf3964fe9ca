"""An ONNX model as a PyTorch module: the operators that `weft export` writes for the rows of the bench, each the function
that PyTorch has for it, so that torch runs the very same graph."""
import numpy
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

DTYPES = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 11: torch.float64}


def padded(x, pads, value=0.0):
    """ONNX has all begins, then all ends; torch pairs from the last axis."""
    half = len(pads) // 2
    if pads[:half] == pads[half:] or not any(pads):
        return x, pads[:half]
    return F.pad(x, [p for i in reversed(range(half)) for p in (pads[i], pads[half + i])], value=value), [0] * half


def conv(a, x, w, b=None):
    x, pads = padded(x, a["pads"])
    return (F.conv1d, F.conv2d, F.conv3d)[w.dim() - 3](x, w, b, a["strides"], pads, a["dilations"], a["group"])


def conv_transpose(a, x, w, b=None):
    rank = w.dim() - 2
    lo, hi = a["pads"][:rank], a["pads"][rank:]
    more = [m + p - q for m, p, q in zip(a["output_padding"], lo, hi)]  # torch cuts both ends alike
    return (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1](x, w, b, a["strides"], lo, more, a["group"], a["dilations"])


def max_pool(a, x):
    x, pads = padded(x, a["pads"], -float("inf"))
    return F.max_pool2d(x, a["kernel_shape"], a["strides"], pads, a["dilations"])


def average_pool(a, x):
    x, pads = padded(x, a["pads"])
    return F.avg_pool2d(x, a["kernel_shape"], a["strides"], pads, count_include_pad=True)


def gemm(a, x, w, b):
    return F.linear(x.t() if a["transA"] else x, w if a["transB"] else w.t(), b)


def pad(a, x, pads, value=None):
    half = len(pads) // 2
    pairs = [p for i in reversed(range(half)) for p in (pads[i], pads[half + i])]
    if a.get("mode") == b"reflect":
        return F.pad(x, pairs[:2 * (x.dim() - 2)], mode="reflect")
    return F.pad(x, pairs, value=0.0 if value is None else float(value))


def part(a, x, starts, ends, axes, steps):
    for start, end, axis, step in zip(starts, ends, axes, steps):
        if step < 0:
            x = x.flip(axis)
            start, end, step = x.shape[axis] - 1 - start, x.shape[axis] - 1 - max(end, -1), -step
        x = x[(slice(None),) * axis + (slice(start, end, step),)]
    return x


OPERATORS = {
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y, "Div": lambda a, x, y: x / y,
    "Max": lambda a, x, y: torch.maximum(x, y), "Min": lambda a, x, y: torch.minimum(x, y), "Sqrt": lambda a, x: x.sqrt(),
    "Relu": lambda a, x: F.relu(x), "Sigmoid": lambda a, x: torch.sigmoid(x), "Tanh": lambda a, x: torch.tanh(x),
    "Erf": lambda a, x: torch.erf(x), "Sin": lambda a, x: torch.sin(x), "Cos": lambda a, x: torch.cos(x), "Exp": lambda a, x: torch.exp(x),
    "Softmax": lambda a, x: F.softmax(x, a["axis"]), "Cast": lambda a, x: x.to(DTYPES[a["to"]]), "Identity": lambda a, x: x,
    "Reshape": lambda a, x, shape: x.reshape(shape), "Transpose": lambda a, x: x.permute(a["perm"]),
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]), "Slice": part, "Pad": pad, "Expand": lambda a, x, shape: x.expand(shape),
    "MatMul": lambda a, x, y: x @ y, "Gemm": gemm, "Conv": conv, "ConvTranspose": conv_transpose,
    "MaxPool": max_pool, "AveragePool": average_pool, "ReduceMean": lambda a, x, axes: x.mean(axes, keepdim=bool(a["keepdims"])),
    "ReduceSum": lambda a, x, axes: x.sum(axes, keepdim=bool(a["keepdims"])),
    "BatchNormalization": lambda a, x, w, b, m, v: F.batch_norm(x, m, v, w, b, False, 0.0, a["epsilon"]),
    "InstanceNormalization": lambda a, x, w, b: F.instance_norm(x, weight=w, bias=b, eps=a["epsilon"]),
    "LayerNormalization": lambda a, x, w, b=None: F.layer_norm(x, [x.shape[-1]], w, b, a["epsilon"]),
    "Resize": lambda a, x, roi, scales: F.interpolate(x, scale_factor=scales[2:], mode="nearest"),
}


class Graph(torch.nn.Module):
    """The nodes in order. What depends on constants alone is computed once, here."""

    def __init__(self, model):
        super().__init__()
        self.inputs, self.outputs = [v.name for v in model.graph.input], [v.name for v in model.graph.output]
        self.constants, self.steps = {"": None}, []
        for t in model.graph.initializer:
            value = numpy_helper.to_array(t)
            is_list = value.ndim == 1 and (value.dtype == numpy.int64 or t.name.startswith("scales"))  # shapes, axes, pads
            self.constants[t.name] = value.tolist() if is_list else torch.from_numpy(value if value.flags.writeable else value.copy())
        for node in model.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            attributes = {k: list(v) if isinstance(v, (list, tuple)) or "Repeated" in type(v).__name__ else v for k, v in attributes.items()}
            step = (OPERATORS[node.op_type], attributes, tuple(node.input), node.output[0])
            if all(name in self.constants for name in node.input):
                self.constants[node.output[0]] = step[0](attributes, *(self.constants[n] for n in node.input)).contiguous()
            else:
                self.steps.append(step)

    def forward(self, *inputs):
        values = dict(self.constants)
        values.update(zip(self.inputs, inputs))
        for function, attributes, names, out in self.steps:
            values[out] = function(attributes, *(values[n] for n in names))
        return [values[n] for n in self.outputs]


def load(path):
    return Graph(onnx.load(path)).eval()
