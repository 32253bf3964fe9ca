"""Layers of nn, in evaluation and in training, with torch's weights."""

import numpy as np
from case import Case, each
from images import jax_conv, jax_conv_transpose
from twins import jax, jnp, torch

F = torch.nn.functional
N = jax.nn if jax else None
T = torch.nn


def module_twin(module):
    """A torch module as a function of its weights, which may be f32 or f64."""
    return lambda w, x, *more: torch.func.functional_call(module, w, (x, *more))


def random_weights(d, module, scale=0.5):
    """Of the names and sizes of a torch module's; variances are positive."""
    arrays = {}
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            arrays[name] = scale * d.normal(*tensor.shape)
        if name.endswith("running_var"):
            arrays[name] = np.abs(arrays[name]) + np.float32(0.5)
    return arrays


def called(d):
    """In turn in evaluation and in training, which is the same for layers without statistics and draws."""
    return d.pick("layer(x)", "with training: true { y = layer(x) }")


def simple(d, name, member, module, x, jax_f=None, order=2, paths=None):
    """A layer of one input whose weights have torch's names; x and all of them are differentiated by."""
    weights = random_weights(d, module)
    return Case(
        name,
        {"x": x},
        called(d),
        module_twin(module),
        jax_f,
        "x " + " ".join(weights),
        order,
        member=member,
        weights=weights,
        paths={"bias": "b"} if paths is None else paths,
    )


# ---- products ----------------------------------------------------------------------------------------------


def linear(d):
    i, o, bias = *d.sizes((1, 40), (1, 40)), d.pick(True, False)
    return simple(
        d,
        "Linear",
        f"nn.Linear({o}, bias: {str(bias).lower()})",
        T.Linear(i, o, bias),
        d.normal(2, d.size(1, 9), i),
        lambda w, x: x @ w["weight"].T + w.get("bias", 0),
    )


def conv(d, axes):
    c, o, k, s, p = (*d.sizes((1, 5), (1, 5), (1, 4), (1, 2), (0, 2)),)
    module = [T.Conv1d, T.Conv2d, T.Conv3d][axes - 1](c, o, k, s, p)
    bias = (o,) + (1,) * axes
    return simple(
        d,
        f"Conv{axes}d",
        f"nn.Conv{axes}d({o}, {k}, stride: {s}, pad: {p})",
        module,
        d.normal(2, c, *d.sizes(*[(4, 7)] * axes)),
        lambda w, x: jax_conv(x, w["weight"], (s,) * axes, [(p, p)] * axes, (1,) * axes, 1) + w["bias"].reshape(bias),
    )


def conv_grouped(d):
    g, s = d.size(2, 3), d.size(1, 2)
    c, o = g * d.size(1, 3), g * d.size(1, 3)
    return simple(
        d,
        "Conv2d, groups, dilation",
        f"nn.Conv2d({o}, 3, stride: {s}, pad: 2, dilation: 2, groups: {g})",
        T.Conv2d(c, o, 3, s, 2, 2, g),
        d.normal(2, c, *d.sizes((5, 8), (5, 8))),
        lambda w, x: jax_conv(x, w["weight"], (s, s), [(2, 2)] * 2, (2, 2), g) + w["bias"].reshape(o, 1, 1),
    )


def conv_transposed(d, axes):
    c, o, p = d.sizes((1, 5), (1, 5), (0, 1))
    k, s, more = d.pick((3, 2, 1), (4, 2, 0), (3, 1, 0))
    more = min(more, p)
    module = [T.ConvTranspose1d, T.ConvTranspose2d][axes - 1](c, o, k, s, p, more)
    pad = [(p, p - more)] * axes
    return simple(
        d,
        f"ConvT{axes}d",
        f"nn.ConvT{axes}d({o}, {k}, stride: {s}, pad: {p}, out_pad: {more})",
        module,
        d.normal(2, c, *d.sizes(*[(3, 6)] * axes)),
        lambda w, x: jax_conv_transpose(x, w["weight"], (s,) * axes, pad, (1,) * axes, 1)
        + w["bias"].reshape((o,) + (1,) * axes),
    )


class Separable(T.Module):
    def __init__(self, c, o):
        super().__init__()
        self.depthwise, self.pointwise = T.Conv2d(c, c, 3, 1, 1, groups=c, bias=False), T.Conv2d(c, o, 1)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


def separable(d):
    c, o = d.sizes((1, 6), (1, 6))
    return simple(d, "SeparableConv2d", f"nn.SeparableConv2d({o}, 3, pad: 1)", Separable(c, o), d.normal(2, c, 6, 7))


class Masked(T.Conv2d):
    """Sees what comes before the middle, row by row, and with kind B the middle."""

    kind = "A"

    def forward(self, x):
        k = self.kernel_size[0]
        seen = torch.arange(k * k).reshape(k, k) < k * k // 2 + (self.kind == "B")
        return F.conv2d(x, self.weight * seen, self.bias, padding=k // 2)


def masked_conv(d):
    c, o, k = *d.sizes((1, 4), (1, 4)), d.pick(3, 5)
    module = Masked(c, o, k)
    module.kind = d.pick("A", "B")
    return simple(d, "MaskedConv2d", f'nn.MaskedConv2d("{module.kind}", {o}, {k})', module, d.normal(2, c, 6, 7))


def masked_linear(d):
    i, o = d.sizes((2, 6), (2, 6))
    mask = d.mask(0.5, o, i).astype(np.float32)
    module = T.Linear(i, o)
    member = f"const layer_mask = tensor({mask.tolist()})\nnn.MaskedLinear(layer_mask)"
    case = simple(
        d, "MaskedLinear", member, module, d.normal(3, i), lambda w, x: x @ (w["weight"] * mask).T + w["bias"]
    )
    case.torch = lambda w, x: F.linear(x, w["weight"] * torch.from_numpy(mask).to(x.dtype), w["bias"])
    return case


def embedding(d):
    n, k = d.sizes((3, 9), (1, 8))
    weights = {"weight": d.normal(n, k)}
    return Case(
        "Embedding",
        {"i": d.ints(0, n, *d.sizes((1, 4), (1, 6)))},
        called(d).replace("(x)", "(i)"),
        lambda w, i: F.embedding(i, w["weight"]),
        lambda w, i: w["weight"][i],
        "weight",
        member=f"nn.Embedding({n}, {k})",
        weights=weights,
    )


def prelu(d):
    c = d.size(1, 5)
    return simple(
        d,
        "PReLU",
        "nn.PReLU()",
        T.PReLU(c),
        d.normal(2, c, 4, 5),
        lambda w, x: jnp.where(x < 0, w["weight"].reshape(c, 1, 1) * x, x),
    )


class Squeeze(T.Module):
    def __init__(self, c, reduction):
        super().__init__()
        self.fc1, self.fc2 = T.Conv2d(c, c // reduction, 1), T.Conv2d(c // reduction, c, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


def identity(d):
    return Case(
        "Identity", {"x": d.normal(3, 4)}, "layer(x)^2", lambda x: x**2, lambda x: x**2, "x", member="nn.Identity()"
    )


def squeeze(d):
    c = 2 * d.size(1, 6)
    return simple(d, "SqueezeExcite", "nn.SqueezeExcite(2)", Squeeze(c, 2), d.normal(3, c, 5, 4))


def mlp(d):
    a, b, c = d.sizes((1, 9), (1, 9), (1, 9))
    shapes = {"layers.0.weight": (b, a), "layers.0.bias": (b,), "layers.1.weight": (c, b), "layers.1.bias": (c,)}

    def twin(act, w, x):
        h = act(x @ w["layers.0.weight"].T + w["layers.0.bias"])
        return h @ w["layers.1.weight"].T + w["layers.1.bias"]

    return Case(
        "MLP",
        {"x": d.normal(3, a)},
        called(d),
        lambda w, x: twin(F.gelu, w, x),
        lambda w, x: twin(lambda h: N.gelu(h, approximate=False), w, x),
        "x layers.0.weight layers.1.bias",
        2,
        member=f"nn.MLP([{b}, {c}], act: gelu)",
        weights={name: 0.5 * d.normal(*shape) for name, shape in shapes.items()},
        paths={"bias": "b"},
    )


# ---- draws: the mask is what the layer left out ------------------------------------------------------------


DROPPED = """with training: true { z = layer(x) }
kept = f32(z != 0.0)
y = z - x * kept / KEEP
slope = grad(sum(z * x), x) - 2.0 * x * kept / KEEP
whole = max(kept, axis: REST) - min(kept, axis: REST)
share = f32(abs(mean(kept) - KEEP) < BOUND)"""


def dropout(d, member, sizes, drawn):
    """Each index of the `drawn` leading axes has a draw of its own, and what lies behind it shares its fate. The mask
    is what the layer left out: with it, x gives the results and the gradient; the share kept is within 4.5 deviations
    of 1 - p."""
    p = d.pick(0.25, 0.5)
    bound = 4.5 * (p * (1 - p) / int(np.prod(sizes[:drawn]))) ** 0.5
    words = {"KEEP": 1 - p, "REST": list(range(drawn, len(sizes))), "BOUND": bound}
    body = DROPPED
    for word, value in words.items():
        body = body.replace(word, str(value))
    wanted = lambda m, x: (m.zeros_like(x), m.zeros_like(x), m.zeros(sizes[:drawn]), 1.0 + 0.0 * x.sum())
    x = d.uniform(0.5, 2, *sizes)
    return Case(
        member,
        {"x": x},
        body,
        lambda x: wanted(torch, x),
        lambda x: wanted(jnp, x),
        results="y slope whole share",
        member=f"nn.{member}({p})",
    )


def no_dropout(d, member):
    return Case(
        f"{member} in evaluation",
        {"x": d.normal(3, 4, 5)},
        "layer(x)^2",
        lambda x: x**2,
        lambda x: x**2,
        "x",
        member=f"nn.{member}(0.5)",
    )


# ---- StyleGAN, codes ---------------------------------------------------------------------------------------


def equal(d):
    i, o, rate = *d.sizes((1, 6), (1, 6)), d.pick(1.0, 0.01)
    weights = {"weight": d.normal(o, i), "bias": d.normal(o)}
    return Case(
        "EqualLinear",
        {"x": d.normal(3, i)},
        called(d),
        lambda w, x: F.linear(x, w["weight"] * (rate * i**-0.5), w["bias"] * rate),
        lambda w, x: x @ (w["weight"] * (rate * i**-0.5)).T + w["bias"] * rate,
        "x weight bias",
        2,
        member=f"nn.EqualLinear({o}, rate: {rate})",
        weights=weights,
    )


def equal_conv(d):
    i, o = d.sizes((1, 6), (1, 6))
    weights = {"weight": d.normal(o, i, 3, 3), "bias": d.normal(o)}
    return Case(
        "EqualConv2d",
        {"x": d.normal(2, i, 5, 6)},
        called(d),
        lambda w, x: F.conv2d(x, w["weight"] * (9 * i) ** -0.5, w["bias"], padding=1),
        None,
        "x weight bias",
        2,
        member=f"nn.EqualConv2d({o}, 3, pad: 1)",
        weights=weights,
        paths={"bias": "b"},
    )


def modulated(d):
    """The twin makes a weight for each image, as the paper has it (eq. 1 and 3)."""
    i, o, k = d.sizes((1, 5), (1, 5), (1, 5))
    demodulate = d.pick(True, False)
    weights = {"weight": d.normal(o, i, 3, 3), "modulation.weight": d.normal(i, k), "modulation.bias": d.normal(i)}

    def twin(w, x, z):
        s = F.linear(z, w["modulation.weight"] * k**-0.5, w["modulation.bias"])
        kernels = (w["weight"] * (9 * i) ** -0.5)[None] * s[:, None, :, None, None]
        if demodulate:
            kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        return torch.cat([F.conv2d(x[n : n + 1], kernels[n], padding=1) for n in range(2)])

    return Case(
        "ModulatedConv2d",
        {"x": d.normal(2, i, 5, 6), "z": d.normal(2, k)},
        "layer(x, z)",
        twin,
        None,
        "x z weight modulation.weight",
        1,
        member=f"nn.ModulatedConv2d({o}, 3, demodulate: {str(demodulate).lower()})",
        weights=weights,
    )


def minibatch(d):
    def twin(x):
        s = (x.reshape(4, -1, *x.shape[1:]).var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        return torch.cat([x, s.repeat(4).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)

    return Case("minibatch_std", {"x": d.normal(4 * d.size(1, 2), 3, 4, 5)}, "nn.minibatch_std(x)", twin, None, "x", 2)


def blur(d):
    c = d.size(1, 4)
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    return Case(
        "blur",
        {"x": d.normal(2, c, 5, 6)},
        "nn.blur(x)",
        lambda x: F.conv2d(x, torch.outer(row, row).to(x.dtype).expand(c, 1, 3, 3), padding=1, groups=c),
        None,
        "x",
    )


def quantizer(d):
    """The nearest code, with gradients of both parts of the loss."""
    k, n = d.sizes((2, 9), (2, 5))

    def twin(w, z):
        flat, codes = z.permute(0, 2, 3, 1).reshape(-1, n), w["embedding.weight"]
        near = torch.cdist(flat, codes).argmin(1)
        q = codes[near].reshape(z.shape[0], *z.shape[2:], n).permute(0, 3, 1, 2)
        loss = (q - z.detach()).square().mean() + 0.25 * (z - q.detach()).square().mean()
        share = F.one_hot(near, k).to(z.dtype).mean(0)
        perplexity = (-(share * (share + 1e-10).log()).sum()).exp()
        return z + (q - z).detach(), loss, near.reshape(z.shape[0], *z.shape[2:]).int(), perplexity

    body = "r = layer(z)\ny = r.z\nloss = r.loss\nid = r.id\np = r.perplexity"
    return Case(
        "VectorQuantizer",
        {"z": d.normal(2, n, 3, 4)},
        body,
        twin,
        None,
        "z embedding.weight",
        1,
        "y loss id p",
        f"nn.VectorQuantizer({k}, {n})",
        {"embedding.weight": d.normal(k, n)},
        {"embedding.weight": "weight"},
        constant="p",
    )


def following_quantizer(d):
    """In training the table moves to the running means of the encodings (van den Oord et al. 2017, appendix A.1)."""
    k, n, decay = *d.sizes((2, 6), (2, 5)), 0.9
    weights = {"embedding": d.normal(k, n), "cluster_size": d.uniform(1, 3, k), "embed_avg": d.normal(k, n)}

    def twin(w, z):
        rows = z.detach().permute(0, 2, 3, 1).reshape(-1, n)
        near = F.one_hot(torch.cdist(rows, w["embedding"]).argmin(1), k).to(z.dtype)
        size = decay * w["cluster_size"] + (1 - decay) * near.sum(0)
        mean = decay * w["embed_avg"] + (1 - decay) * near.T @ rows
        smooth = (size + 1e-5) / (size.sum() + k * 1e-5) * size.sum()
        q = (near @ w["embedding"]).reshape(z.shape[0], *z.shape[2:], n).permute(0, 3, 1, 2)
        return 0.25 * (z - q).square().mean(), size, mean, mean / smooth[:, None]

    body = "with training: true { r = layer(z) }\nloss = r.loss\n"
    body += "size = layer.cluster_size\nmeans = layer.embed_avg\ntable = layer.embedding"
    return Case(
        "EMAVectorQuantizer in training",
        {"z": d.normal(2, n, 3, 4)},
        body,
        twin,
        None,
        "z",
        1,
        "loss size means table",
        f"nn.EMAVectorQuantizer({k}, {n}, decay: {decay})",
        weights,
        constant="size means table",
    )


def scalar_quantizer(d):
    levels = d.pick([3, 5], [7, 3, 5])

    def twin(z):
        half = torch.tensor([(n - 1) / 2 for n in levels], dtype=z.dtype).reshape(-1, 1, 1)
        b = torch.tanh(z) * half
        q = b + (b.round() - b).detach()
        place = torch.tensor([int(np.prod(levels[:i])) for i in range(len(levels))]).reshape(-1, 1, 1)
        return q / half, ((b.round() + half) * place).sum(1).int()

    return Case(
        "FSQ",
        {"z": d.normal(2, len(levels), 3, 4)},
        "r = layer(z)\ny = r.z\nid = r.id",
        twin,
        None,
        "z",
        1,
        "y id",
        f"nn.FSQ({levels})",
    )


DRAWS = [("Dropout", (30, 50, 1), 2), ("Dropout2d", (20, 30, 3, 4), 2), ("DropPath", (300, 2, 3), 1)]
FAMILIES = {
    "linear, convolution layers": [
        (linear, 4),
        (conv_grouped, 2),
        (separable, 2),
        (masked_conv, 2),
        (masked_linear, 2),
        (mlp, 2),
    ]
    + each(conv, 2, [(1,), (2,), (3,)])
    + each(conv_transposed, 3, [(1,), (2,)]),
    "other layers": [
        (embedding, 2),
        (prelu, 2),
        (squeeze, 2),
        (equal, 2),
        (equal_conv, 2),
        (modulated, 2),
        (minibatch, 1),
        (blur, 1),
        (quantizer, 2),
        (following_quantizer, 2),
        (identity, 1),
        (scalar_quantizer, 2),
    ],
    "dropout": each(dropout, 2, DRAWS) + each(no_dropout, 1, [("Dropout",), ("Dropout2d",), ("DropPath",)]),
}
