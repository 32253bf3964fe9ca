"""Attention, transformers, positions, gates; recurrent layers."""

import numpy as np
from case import Case, each
from layers import called, module_twin, random_weights
from twins import jax, jnp, torch

F = torch.nn.functional
N = jax.nn if jax else None
T = torch.nn


# ---- attention ---------------------------------------------------------------------------------------------


# what is added: inputs of these names from (d, b, h, n, m), and what the call says
EXTRAS = {
    "": (lambda *_: {}, ""),
    "mask": (lambda d, b, h, n, m: {"mask": seen(d, b, n, m)}, ", mask: mask"),
    "bias": (lambda d, b, h, n, m: {"bias": d.normal(1, h, n, m)}, ", bias: bias"),
    "causal": (lambda d, b, h, n, m: {"mask": np.tril(np.ones((n, m), bool))}, ", mask: causal_mask(N)"),
    "scale": (lambda *_: {}, ", scale: 0.4"),
}


def seen(d, b, n, m):
    """Every query sees a key at least."""
    mask = d.mask(0.7, b, 1, n, m)
    mask[..., 0] = True
    return mask


def attention(d):
    b, h, n, m, k, e = d.sizes((1, 2), (1, 4), (1, 40), (2, 40), (1, 24), (1, 24))
    name = d.pick(*EXTRAS)
    m = n if name == "causal" else m
    make, words = EXTRAS[name]
    scale = 0.4 if name == "scale" else None
    inputs = {"q": d.normal(b, h, n, k), "k": d.normal(b, h, m, k), "v": d.normal(b, h, m, e), **make(d, b, h, n, m)}
    return Case(
        f"attention {name}".strip(),
        inputs,
        f"nn.attention(q, k, v{words.replace('N', str(n))})",
        lambda q, k, v, mask=None, bias=None: F.scaled_dot_product_attention(
            q, k, v, mask if bias is None else bias, scale=scale
        ),
        lambda q, k, v, mask=None, bias=None: jax_attention(q, k, v, mask, bias, scale),
        "q k v" + (" bias" if name == "bias" else ""),
        d.pick(1, 2),
    )


def jax_attention(q, k, v, mask, bias, scale):
    s = jnp.einsum("bhnd,bhmd->bhnm", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    s = s if bias is None else s + bias
    s = s if mask is None else jnp.where(mask, s, -jnp.inf)
    return jnp.einsum("bhnm,bhmd->bhnd", N.softmax(s, -1), v)


def multihead(d):
    h, b, n, m = d.sizes((1, 4), (1, 2), (2, 9), (2, 9))
    width = h * d.size(1, 6)
    module = T.MultiheadAttention(width, h, batch_first=True)
    weights = random_weights(d, module)
    inputs, body, twin = d.pick(
        ({}, "layer(x)", lambda w, x: module_twin(module)(w, x, x, x, None, False)[0]),
        ({"z": d.normal(b, m, width)}, "layer(x, z)", lambda w, x, z: module_twin(module)(w, x, z, z, None, False)[0]),
        (
            {},
            f"layer(x, mask: causal_mask({n}))",
            lambda w, x: module_twin(module)(w, x, x, x, None, False, ~torch.ones(n, n, dtype=torch.bool).tril())[0],
        ),
    )
    return Case(
        "MultiheadAttention",
        {"x": d.normal(b, n, width), **inputs},
        body,
        twin,
        None,
        "x " + " ".join(weights),
        1,
        member=f"nn.MultiheadAttention({h})",
        weights=weights,
        paths={"bias": "b"},
    )


def vit_block(d):
    h, n = d.sizes((1, 4), (2, 9))
    width = h * d.size(2, 6)
    shapes = {
        "norm1.weight": [width],
        "norm1.bias": [width],
        "attn.qkv.weight": [3 * width, width],
        "attn.qkv.bias": [3 * width],
        "attn.proj.weight": [width, width],
        "attn.proj.bias": [width],
        "norm2.weight": [width],
        "norm2.bias": [width],
        "mlp.fc1.weight": [2 * width, width],
        "mlp.fc1.bias": [2 * width],
        "mlp.fc2.weight": [width, 2 * width],
        "mlp.fc2.bias": [width],
    }
    weights = {name: 0.5 * d.normal(*shape) for name, shape in shapes.items()}

    def twin(w, x):
        part = lambda name, x: F.linear(x, w[name + ".weight"], w[name + ".bias"])
        norm = lambda name, x: F.layer_norm(x, (width,), w[name + ".weight"], w[name + ".bias"], 1e-6)
        q, k, v = part("attn.qkv", norm("norm1", x)).reshape(2, n, 3, h, -1).permute(2, 0, 3, 1, 4)
        x = x + part("attn.proj", F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, n, width))
        return x + part("mlp.fc2", F.gelu(part("mlp.fc1", norm("norm2", x))))

    return Case(
        "ViTBlock",
        {"x": d.normal(2, n, width)},
        called(d),
        twin,
        None,
        "x attn.qkv.weight mlp.fc1.weight",
        1,
        member=f"nn.ViTBlock({h}, ratio: 2.0)",
        weights=weights,
    )


def positions(d):
    n, k = d.size(1, 40), 4 * d.size(1, 8)
    h, w = d.sizes((1, 9), (1, 9))
    return Case(
        "sinusoidal, sincos_2d",
        {},
        f"a = nn.sinusoidal({n}, {k})\nb = nn.sincos_2d({h}, {w}, {k})",
        lambda: (interleaved(n, k), grid_positions(h, w, k)),
        None,
        results="a b",
    )


def interleaved(n, k):
    a = torch.arange(n, dtype=torch.float64)[:, None] / 10000 ** (torch.arange(0, k, 2, dtype=torch.float64) / k)
    return torch.stack([a.sin(), a.cos()], 2).reshape(n, k).float()


def grid_positions(h, w, k):
    freq = 10000 ** (-torch.arange(k // 4, dtype=torch.float64) / (k / 4))
    half = lambda at: torch.cat([(at[:, None] * freq).sin(), (at[:, None] * freq).cos()], 1)
    columns, rows = torch.arange(w, dtype=torch.float64).repeat(h), torch.arange(
        h, dtype=torch.float64
    ).repeat_interleave(w)
    return torch.cat([half(columns), half(rows)], 1).float()


def rotary(d):
    n, k = d.size(1, 20), 2 * d.size(1, 8)

    def twin(x):
        freq = 10000 ** (-torch.arange(0, k, 2, dtype=torch.float64) / k)
        turn = torch.polar(
            torch.ones(n, k // 2, dtype=torch.float64), torch.arange(n, dtype=torch.float64)[:, None] * freq
        )
        z = torch.complex(x[..., : k // 2].double(), x[..., k // 2 :].double()) * turn
        return torch.cat([z.real, z.imag], -1).to(x.dtype)

    return Case("rotary", {"x": d.normal(2, 2, n, k)}, "nn.rotary(x)", twin, None, "x")


def gated(d):
    k, hidden = d.sizes((1, 9), (1, 9))
    weights = {"w1.weight": d.normal(hidden, k), "w2.weight": d.normal(k, hidden), "w3.weight": d.normal(hidden, k)}
    return Case(
        "SwiGLU",
        {"x": d.normal(3, k)},
        called(d),
        lambda w, x: F.linear(F.silu(F.linear(x, w["w1.weight"])) * F.linear(x, w["w3.weight"]), w["w2.weight"]),
        lambda w, x: (N.silu(x @ w["w1.weight"].T) * (x @ w["w3.weight"].T)) @ w["w2.weight"].T,
        "x w1.weight w2.weight w3.weight",
        2,
        member=f"nn.SwiGLU({hidden})",
        weights=weights,
    )


def glu(d):
    axis = d.pick(-1, 1)
    return Case(
        "glu",
        {"x": d.normal(2, 6, 8)},
        f"nn.glu(x, {axis})",
        lambda x: F.glu(x, axis),
        lambda x: N.glu(x, axis),
        "x",
        2,
    )


# ---- recurrent ---------------------------------------------------------------------------------------------


def recurrent(d, kind):
    """Over a sequence, from zeros; torch's layer of one direction has the cell's weights with `_l0` at the end."""
    i, h, t = d.sizes((1, 6), (1, 6), (1, 6))
    module = getattr(T, kind)(i, h, batch_first=True)
    weights = {"cell." + name[:-3]: w for name, w in random_weights(d, module).items()}
    back = lambda w: {name[5:] + "_l0": a for name, a in w.items()}
    return Case(
        kind,
        {"x": d.normal(2, t, i)},
        called(d),
        lambda w, x: module_twin(module)(back(w), x)[0],
        None,
        "x " + " ".join(weights),
        1,
        member=f"nn.{kind}({h})",
        weights=weights,
    )


def cell(d, kind):
    i, h = d.sizes((1, 6), (1, 6))
    module = getattr(T, kind + "Cell")(i, h)
    weights = random_weights(d, module)
    state = {"h": d.normal(3, h), **({"c": d.normal(3, h)} if kind == "LSTM" else {})}
    twin = lambda w, x, h, c=None: module_twin(module)(w, x, h if c is None else (h, c))
    body = "r = layer(x, h, c)\na = r.h\nb = r.c" if kind == "LSTM" else "a = layer(x, h)"
    return Case(
        kind + "Cell",
        {"x": d.normal(3, i), **state},
        body,
        twin,
        None,
        f"x {' '.join(state)} {' '.join(weights)}",
        2,
        "a b" if kind == "LSTM" else "a",
        f"nn.{kind}Cell({h})",
        weights,
    )


FAMILIES = {
    "attention": [(attention, 10), (multihead, 6), (vit_block, 2), (positions, 2), (rotary, 2), (gated, 2), (glu, 2)],
    "recurrent": each(recurrent, 2, [("LSTM",), ("GRU",)]) + each(cell, 2, [("LSTM",), ("GRU",)]),
}
