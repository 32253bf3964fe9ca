"""Normalisation, in evaluation and in training, with its running statistics."""

import numpy as np
from case import Case, each
from layers import random_weights, simple, module_twin
from twins import jnp, torch

F = torch.nn.functional
T = torch.nn


def normed(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + eps)


def per_channel(a, x):
    return a.reshape((-1,) + (1,) * (x.ndim - 2))


def group_norm(d):
    g, k = d.sizes((1, 4), (1, 4))
    if g == 1:
        k += 1
    x = 2 * d.normal(2, g * k, *d.sizes((2, 6), (2, 6))) + 1
    return simple(
        d,
        "GroupNorm",
        f"nn.GroupNorm({g})",
        T.GroupNorm(g, g * k),
        x,
        lambda w, x: normed(x.reshape(2, g, -1), 2, 1e-5).reshape(x.shape) * per_channel(w["weight"], x)
        + per_channel(w["bias"], x),
        paths={},
    )


def layer_norm(d):
    n = d.size(3, 70)
    x = 2 * d.normal(2, d.size(1, 5), n) + 1
    return simple(
        d,
        "LayerNorm",
        "nn.LayerNorm()",
        T.LayerNorm(n),
        x,
        lambda w, x: normed(x, -1, 1e-5) * w["weight"] + w["bias"],
        paths={},
    )


def layer_norm_plain(d):
    n = d.size(3, 70)
    x = 2 * d.normal(2, d.size(1, 5), n) + 1
    return Case(
        "LayerNorm without weights",
        {"x": x},
        "layer(x)",
        lambda x: F.layer_norm(x, (n,)),
        lambda x: normed(x, -1, 1e-5),
        "x",
        2,
        member="nn.LayerNorm(affine: false)",
    )


def rms_norm(d):
    n = d.size(3, 70)
    return simple(
        d,
        "RMSNorm",
        "nn.RMSNorm()",
        T.RMSNorm(n, eps=1e-6),
        d.normal(2, d.size(1, 5), n),
        lambda w, x: x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * w["weight"],
        paths={},
    )


def instance_norm(d):
    c = d.size(1, 4)
    x = 2 * d.normal(2, c, *d.sizes((3, 6), (3, 6))) + 1
    return simple(
        d,
        "InstanceNorm",
        "nn.InstanceNorm(affine: true)",
        T.InstanceNorm2d(c, affine=True),
        x,
        lambda w, x: normed(x, (2, 3), 1e-5) * per_channel(w["weight"], x) + per_channel(w["bias"], x),
        paths={},
    )


def batch_norm_eval(d):
    c, affine = d.size(1, 6), d.pick(True, False)
    module = T.BatchNorm2d(c, affine=affine).eval()
    weights = random_weights(d, module)
    slopes = "x weight bias" if affine else "x"
    return Case(
        "BatchNorm in evaluation",
        {"x": d.normal(3, c, 4, 5)},
        "layer(x)",
        module_twin(module),
        lambda w, x: (x - per_channel(w["running_mean"], x))
        / jnp.sqrt(per_channel(w["running_var"], x) + 1e-5)
        * per_channel(w.get("weight", jnp.ones(c)), x)
        + per_channel(w.get("bias", jnp.zeros(c)), x),
        slopes,
        2,
        member=f"nn.BatchNorm(affine: {str(affine).lower()})",
        weights=weights,
    )


def batch_norm_train(d):
    """The result, and the running statistics after the call (the variance divided by n - 1)."""
    c, momentum = d.size(1, 6), d.pick(0.1, 0.3)
    shape = d.pick((4, c, 5, 4), (9, c))
    weights = random_weights(d, T.BatchNorm2d(c))

    def jax_twin(w, x):
        axes = (0,) + tuple(range(2, len(shape)))
        n = x.shape[0] * int(np.prod(shape[2:]))
        mean, v = x.mean(axes), x.var(axes)
        y = (x - per_channel(mean, x)) / jnp.sqrt(per_channel(v, x) + 1e-5)
        y = y * per_channel(w["weight"], x) + per_channel(w["bias"], x)
        running = lambda name, now: (1 - momentum) * w[name] + momentum * now
        return y, running("running_mean", mean), running("running_var", v * n / (n - 1))

    def torch_twin(w, x):
        mean, var = w["running_mean"].clone(), w["running_var"].clone()
        y = F.batch_norm(x, mean, var, w["weight"], w["bias"], True, momentum)
        return y, mean.detach(), var.detach()

    return Case(
        "BatchNorm in training",
        {"x": 2 * d.normal(*shape) + 1},
        "with training: true { y = layer(x) }\nmean_after = layer.running_mean\nvar_after = layer.running_var",
        torch_twin,
        jax_twin,
        "x weight bias",
        2,
        "y mean_after var_after",
        f"nn.BatchNorm(momentum: {momentum})",
        weights,
        constant="mean_after var_after",
    )


def conditional_norm(d):
    c, k = d.sizes((1, 4), (2, 5))
    weights = {
        "gamma": d.normal(k, c),
        "beta": d.normal(k, c),
        "bn.running_mean": d.normal(c),
        "bn.running_var": d.uniform(0.5, 2, c),
    }

    def twin(w, x, label):
        y = F.batch_norm(x, w["bn.running_mean"], w["bn.running_var"])
        return y * w["gamma"][label][:, :, None, None] + w["beta"][label][:, :, None, None]

    return Case(
        "ConditionalBatchNorm",
        {"x": d.normal(3, c, 4, 4), "label": d.ints(0, k, 3)},
        "layer(x, label)",
        twin,
        None,
        "x gamma beta",
        2,
        member=f"nn.ConditionalBatchNorm({k})",
        weights=weights,
    )


def conditional_norm_train(d):
    c, k = d.sizes((1, 4), (2, 5))
    weights = {
        "gamma": d.normal(k, c),
        "beta": d.normal(k, c),
        "bn.running_mean": d.normal(c),
        "bn.running_var": d.uniform(0.5, 2, c),
    }

    def twin(w, x, label):
        mean, var = w["bn.running_mean"].clone(), w["bn.running_var"].clone()
        y = F.batch_norm(x, mean, var, training=True)
        return y * w["gamma"][label][:, :, None, None] + w["beta"][label][:, :, None, None], mean.detach(), var.detach()

    body = "with training: true { y = layer(x, label) }\n"
    body += "mean_after = layer.bn.running_mean\nvar_after = layer.bn.running_var"
    return Case(
        "ConditionalBatchNorm in training",
        {"x": d.normal(3, c, 4, 4), "label": d.ints(0, k, 3)},
        body,
        twin,
        None,
        "x gamma beta",
        1,
        "y mean_after var_after",
        f"nn.ConditionalBatchNorm({k})",
        weights,
        constant="mean_after var_after",
    )


class GRN(T.Module):
    """As the public code of ConvNeXt V2 has it."""

    def __init__(self, n):
        super().__init__()
        self.gamma, self.beta = T.Parameter(torch.zeros(1, 1, 1, n)), T.Parameter(torch.zeros(1, 1, 1, n))

    def forward(self, x):
        g = torch.linalg.vector_norm(x, 2, (1, 2), keepdim=True)
        return self.gamma * (x * (g / (g.mean(-1, keepdim=True) + 1e-6))) + self.beta + x


def grn(d):
    n = d.size(2, 6)
    return simple(d, "GRN", "nn.GRN()", GRN(n), d.normal(2, 3, 4, n), paths={})


def lrn(d):
    size = d.pick(3, 5)
    x = 3 * d.normal(2, d.size(5, 8), 3, 4)
    return Case(
        "lrn", {"x": x}, f"nn.lrn(x, {size}, alpha: 0.1)", lambda x: F.local_response_norm(x, size, 0.1), None, "x", 2
    )


def pixel_norm(d):
    return Case(
        "pixel_norm",
        {"x": d.normal(2, d.size(2, 6), 3, 4)},
        "nn.pixel_norm(x)",
        lambda x: x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt(),
        lambda x: x / jnp.sqrt((x * x).mean(1, keepdims=True) + 1e-8),
        "x",
        2,
    )


def modulated_norms(d):
    c = d.size(1, 4)
    inputs = {"x": d.normal(2, c, 4, 5), "style": d.normal(2, c, 3, 3), "a": d.normal(2, c), "b": d.normal(2, c)}
    return Case(
        "adain, film",
        inputs,
        "nn.film(nn.adain(x, style), a, b)",
        lambda x, style, a, b: adain_film(x, style, a, b, lambda s: s.var((2, 3), correction=0, keepdim=True)),
        lambda x, style, a, b: adain_film(x, style, a, b, lambda s: s.var((2, 3), keepdims=True)),
        "x style a b",
        2,
    )


def adain_film(x, style, a, b, var):
    mean = lambda s: s.mean((2, 3))[:, :, None, None]
    y = (x - mean(x)) * ((var(style) + 1e-5) / (var(x) + 1e-5)) ** 0.5 + mean(style)
    return y * (1 + a[:, :, None, None]) + b[:, :, None, None]


def weight_norm(d):
    """Not torch._weight_norm, whose second gradient holds the norms constant (autograd.gradgradcheck refuses it)."""
    o, c = d.sizes((1, 5), (1, 5))
    return Case(
        "weight_norm",
        {"v": d.normal(o, c, 3, 3), "g": d.normal(o)},
        "nn.weight_norm(v, g)",
        lambda v, g: v * (g / v.square().sum((1, 2, 3)).sqrt()).reshape(-1, 1, 1, 1),
        lambda v, g: v * (g / jnp.sqrt((v * v).sum((1, 2, 3)))).reshape(-1, 1, 1, 1),
        "v g",
        2,
    )


def spectral(d, training):
    """In training one turn of the power iteration, whose vectors stay; no gradient goes through them."""
    i, o, image = *d.sizes((2, 6), (2, 6)), d.pick(False, True)
    inner = T.Conv2d(i, o, 3) if image else T.Linear(i, o)
    module = T.utils.spectral_norm(inner, eps=1e-12).train(training)
    weights = {name: w for name, w in random_weights(d, module).items() if name != "weight"}
    for name in ["weight_u", "weight_v"]:
        weights[name] /= np.linalg.norm(weights[name])
    member = f"nn.SNConv2d({o}, 3)" if image else f"nn.SNLinear({o})"

    def twin(w, x):
        w = {name: (a.clone() if name in ("weight_u", "weight_v") else a) for name, a in w.items()}
        return torch.func.functional_call(module, w, (x,))

    return Case(
        f"{'SNConv2d' if image else 'SNLinear'} in {'training' if training else 'evaluation'}",
        {"x": d.normal(2, i, 5, 6) if image else d.normal(3, i)},
        "with training: true { y = layer(x) }" if training else "layer(x)",
        twin,
        None,
        "x weight_orig bias",
        1,
        member=member,
        weights=weights,
        paths={"bias": "b", "weight_orig": "weight"},
    )


FAMILIES = {
    "norms": [
        (group_norm, 4),
        (layer_norm, 2),
        (layer_norm_plain, 2),
        (rms_norm, 2),
        (instance_norm, 2),
        (batch_norm_eval, 2),
        (batch_norm_train, 4),
        (conditional_norm, 1),
        (conditional_norm_train, 1),
        (grn, 2),
        (lrn, 2),
        (pixel_norm, 1),
        (modulated_norms, 1),
        (weight_norm, 1),
    ]
    + each(spectral, 2, [(False,), (True,)])
}
