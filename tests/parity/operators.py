"""Operators: elementwise, of integers, structure, reductions, contractions, control."""

import numpy as np
from case import Case, each
from twins import jax, jnp, torch

F = torch.nn.functional
N = jax.nn if jax else None
lax = jax.lax if jax else None
S = jax.scipy.special if jax else None


# ---- one number --------------------------------------------------------------------------------------------

# what Weft says, torch, JAX, the range of x, the order of the gradients
UNARY = [
    ("abs(x)", "abs", "abs", -3, 3, 1),
    ("sign(x)", "sign", "sign", -3, 3, 1),
    ("floor(x)", "floor", "floor", -9, 9, 1),
    ("ceil(x)", "ceil", "ceil", -9, 9, 1),
    ("round(x)", "round", "round", -9, 9, 1),
    ("-x", "neg", "negative", -3, 3, 1),
    ("exp(x)", "exp", "exp", -5, 5, 2),
    ("expm1(x)", "expm1", "expm1", -2, 2, 2),
    ("log(x)", "log", "log", 0.1, 9, 2),
    ("log1p(x)", "log1p", "log1p", -0.5, 4, 2),
    ("log2(x)", "log2", "log2", 0.1, 9, 2),
    ("log10(x)", "log10", "log10", 0.1, 9, 2),
    ("sqrt(x)", "sqrt", "sqrt", 0.1, 9, 2),
    ("rsqrt(x)", "rsqrt", lambda x: lax.rsqrt(x), 0.1, 9, 2),
    ("square(x)", "square", "square", -3, 3, 2),
    ("reciprocal(x)", "reciprocal", "reciprocal", 0.5, 4, 2),
    ("sin(x)", "sin", "sin", -9, 9, 2),
    ("cos(x)", "cos", "cos", -9, 9, 2),
    ("tan(x)", "tan", "tan", -1.2, 1.2, 2),
    ("sinh(x)", "sinh", "sinh", -3, 3, 2),
    ("cosh(x)", "cosh", "cosh", -3, 3, 2),
    ("tanh(x)", "tanh", "tanh", -3, 3, 2),
    ("asin(x)", "asin", "arcsin", -0.9, 0.9, 2),
    ("acos(x)", "acos", "arccos", -0.9, 0.9, 2),
    ("atan(x)", "atan", "arctan", -3, 3, 2),
    ("erf(x)", "erf", lambda x: S.erf(x), -3, 3, 2),
    ("erfc(x)", "erfc", lambda x: S.erfc(x), -3, 3, 2),
    ("logit(x)", "logit", lambda x: S.logit(x), 0.1, 0.9, 2),
    ("x^3", lambda x: x**3, lambda x: x**3, -2, 2, 2),
    ("x^-2", lambda x: x**-2, lambda x: x**-2, 0.5, 3, 2),
    ("x^0.5", lambda x: x**0.5, lambda x: x**0.5, 0.2, 3, 2),
    ("2.0^x", lambda x: 2.0**x, lambda x: 2.0**x, -3, 3, 2),
    ("x / 3.0 + 2.0 * x - 1.0", lambda x: x / 3.0 + 2.0 * x - 1.0, lambda x: x / 3.0 + 2.0 * x - 1.0, -3, 3, 1),
]

ACTIVATIONS = [
    ("relu(x)", lambda x: F.relu(x), lambda x: N.relu(x), 1),
    ("leaky_relu(x, 0.2)", lambda x: F.leaky_relu(x, 0.2), lambda x: N.leaky_relu(x, 0.2), 1),
    ("elu(x, 0.7)", lambda x: F.elu(x, 0.7), lambda x: N.elu(x, 0.7), 2),
    ("selu(x)", lambda x: F.selu(x), lambda x: N.selu(x), 2),
    ("silu(x)", lambda x: F.silu(x), lambda x: N.silu(x), 2),
    ("sigmoid(x)", lambda x: torch.sigmoid(x), lambda x: N.sigmoid(x), 2),
    ("softplus(x)", lambda x: F.softplus(x), lambda x: N.softplus(x), 2),
    ("log_sigmoid(x)", lambda x: F.logsigmoid(x), lambda x: N.log_sigmoid(x), 2),
    ("gelu(x)", lambda x: F.gelu(x), lambda x: N.gelu(x, approximate=False), 2),
    ("gelu_tanh(x)", lambda x: F.gelu(x, approximate="tanh"), lambda x: N.gelu(x, approximate=True), 2),
    ("quick_gelu(x)", lambda x: x * torch.sigmoid(1.702 * x), lambda x: x * N.sigmoid(1.702 * x), 2),
    ("hardtanh(x, -1.0, 2.0)", lambda x: F.hardtanh(x, -1.0, 2.0), lambda x: jnp.clip(x, -1.0, 2.0), 1),
    ("hard_sigmoid(x)", lambda x: (x / 6 + 0.5).clamp(0, 1), lambda x: N.hard_sigmoid(x), 1),
    ("hard_swish(x)", lambda x: F.hardswish(x), lambda x: N.hard_swish(x), 1),
    ("mish(x)", lambda x: F.mish(x), lambda x: N.mish(x), 2),
    ("softsign(x)", lambda x: F.softsign(x), lambda x: N.soft_sign(x), 2),
]


def named(module, f):
    return f if callable(f) else getattr(module, f)


def unary(d, weft, torch_f, jax_f, lo, hi, order):
    x = d.uniform(lo, hi, *d.sizes((1, 4), (1, 9), (1, 40)))
    return Case(weft, {"x": x}, weft, lambda x: named(torch, torch_f)(x), lambda x: named(jnp, jax_f)(x), "x", order)


def activation(d, weft, torch_f, jax_f, order):
    return unary(d, weft, torch_f, jax_f, -5, 5, order)


# ---- two numbers, with every kind of broadcasting ----------------------------------------------------------

BINARY = [
    ("x + z", lambda m, x, z: x + z, 1),
    ("x - z", lambda m, x, z: x - z, 1),
    ("x * z", lambda m, x, z: x * z, 2),
    ("x / z", lambda m, x, z: x / z, 2),
    ("x % z", lambda m, x, z: m.remainder(x, z), 1),
    ("x^z", lambda m, x, z: x**z, 2),
    ("max(x, z)", lambda m, x, z: m.maximum(x, z), 1),
    ("min(x, z)", lambda m, x, z: m.minimum(x, z), 1),
    ("atan2(x, z)", lambda m, x, z: m.arctan2(x, z), 2),
    ("logaddexp(x, z)", lambda m, x, z: m.logaddexp(x, z), 2),
    ("where(x < z, x * z, x - z)", lambda m, x, z: m.where(x < z, x * z, x - z), 2),
    ("lerp(x, z, 0.3)", lambda m, x, z: x + (z - x) * 0.3, 1),
    ("clamp(x, 0.8, 1.5) * z", lambda m, x, z: m.clip(x, 0.8, 1.5) * z, 1),
    ("copysign(x, z - 1.0)", lambda m, x, z: m.copysign(x, z - 1.0), 1),
    ("prelu(x - 1.0, z)", lambda m, x, z: m.where(x < 1.0, z * (x - 1.0), x - 1.0), 2),
]


def binary(d, weft, twin, order):
    b, c, n = d.sizes((1, 4), (2, 6), (2, 12))
    left, right = d.pick(((b, c, n), (n,)), ((b, 1, n), (c, 1)), ((), (b, n)), ((c, n), (c, n)))
    inputs = {"x": d.uniform(0.5, 2, *left), "z": d.uniform(0.5, 2, *right)}
    return Case(weft, inputs, weft, lambda x, z: twin(torch, x, z), lambda x, z: twin(jnp, x, z), "x z", order)


COMPARISONS = [
    ("x < z", lambda m, x, z: x < z),
    ("x <= z", lambda m, x, z: x <= z),
    ("x == z", lambda m, x, z: x == z),
    ("x != z", lambda m, x, z: x != z),
    ("x > z and not (z == 2.0)", lambda m, x, z: (x > z) & ~(z == 2.0)),
    ("xor(x > 0.0, z >= 1.0) or x == z", lambda m, x, z: ((x > 0.0) ^ (z >= 1.0)) | (x == z)),
]


def comparison(d, weft, twin):
    n, k = d.sizes((1, 9), (1, 30))
    inputs = {"x": d.ints(-3, 4, n, k).astype(np.float32), "z": d.ints(-3, 4, k).astype(np.float32)}
    return Case(weft, inputs, weft, lambda x, z: twin(torch, x, z), lambda x, z: twin(jnp, x, z))


INTEGERS = [
    ("a + b * a - b", lambda m, a, b: a + b * a - b),
    ("floordiv(a, b)", lambda m, a, b: m.floor_divide(a, b)),
    ("a % b", lambda m, a, b: m.remainder(a, b)),
    ("max(a, b) - min(a, b)", lambda m, a, b: m.maximum(a, b) - m.minimum(a, b)),
    ("abs(a) * sign(b)", lambda m, a, b: m.abs(a) * m.sign(b)),
    ("sum(a * b, axis: 0)", lambda m, a, b: (a * b).sum(0)),
    ("cumsum(a, axis: 1) + b", lambda m, a, b: m.cumsum(a, 1) + b),
    ("sort(a * b, axis: 1)", lambda m, a, b: m.sort(a * b, 1)),
    ("f32(a) / f32(b)", lambda m, a, b: a / b),
    ("i32(f32(a) * 0.37)", lambda m, a, b: truncated(m, a)),
]


def values(x):
    """torch sorts into values and indices."""
    return x[0] if isinstance(x, tuple) else x


def integers(d, weft, twin):
    n, k = d.sizes((1, 6), (1, 20))
    b = d.ints(1, 9, n, k) * np.where(d.mask(0.5, n, k), 1, -1).astype(np.int32)
    return Case(
        weft,
        {"a": d.ints(-50, 50, n, k), "b": b},
        weft,
        lambda a, b: narrow(values(twin(torch, a, b))),
        lambda a, b: twin(jnp, a, b),
    )


def truncated(m, a):
    return (a * 0.37).astype(np.int32) if m is jnp else (a * 0.37).to(torch.int32)


def narrow(x):
    """torch sums i32 in i64."""
    return x.to(torch.int32) if x.dtype == torch.int64 else x


# ---- structure ---------------------------------------------------------------------------------------------


def reshape(d):
    a, b, c = d.sizes((1, 4), (1, 6), (1, 8))
    return Case(
        "reshape",
        {"x": d.normal(a, b, c)},
        f"reshape(x, [{c}, -1]) * 2.0",
        lambda x: x.reshape(c, -1) * 2.0,
        lambda x: x.reshape(c, -1) * 2.0,
        "x",
    )


def transpose(d):
    axes = d.rng.permutation(4).tolist()
    return Case(
        "transpose",
        {"x": d.normal(*d.sizes((1, 4), (1, 5), (1, 6), (1, 7)))},
        f"transpose(x, {axes})^2",
        lambda x: x.permute(axes) ** 2,
        lambda x: jnp.transpose(x, axes) ** 2,
        "x",
    )


def broadcast(d):
    a, b, c = d.sizes((1, 5), (1, 5), (1, 5))
    return Case(
        "broadcast",
        {"x": d.normal(b, 1)},
        f"exp(broadcast(x, [{a}, {b}, {c}]))",
        lambda x: torch.exp(x.expand(a, b, c)),
        lambda x: jnp.exp(jnp.broadcast_to(x, (a, b, c))),
        "x",
    )


def slices(d):
    weft, torch_f, jax_f = d.pick(
        ("x[1:-1, ::2, -1]", lambda x: x[1:-1, ::2, -1], lambda x: x[1:-1, ::2, -1]),
        ("x[::-2, :, 1:4]", lambda x: x.flip(0)[::2, :, 1:4], lambda x: x[::-2, :, 1:4]),
        ("x[2, none, :, 4:0:-1]", lambda x: x[2, None, :, 1:5].flip(2), lambda x: x[2, None, :, 4:0:-1]),
        ("x[..., -3:]", lambda x: x[..., -3:], lambda x: x[..., -3:]),
    )
    return Case(
        "slice",
        {"x": d.normal(*d.sizes((3, 6), (1, 6), (6, 9)))},
        f"{weft}^2",
        lambda x: torch_f(x) ** 2,
        lambda x: jax_f(x) ** 2,
        "x",
    )


def pad(d):
    low, high = d.sizes((0, 3), (0, 3)), d.sizes((0, 3), (-1, 3))
    margins = f"[({low[0]}, {high[0]}), ({low[1]}, {high[1]})]"
    config = [(low[0], high[0], 0), (low[1], high[1], 0)]
    return Case(
        "pad",
        {"x": d.normal(*d.sizes((2, 6), (2, 9)))},
        f"pad(x, {margins}, value: 0.5)^2",
        lambda x: F.pad(x, (low[1], high[1], low[0], high[0]), value=0.5) ** 2,
        lambda x: lax.pad(x, jnp.float32(0.5), config) ** 2,
        "x",
    )


def joined(d):
    a, b, c, axis = *d.sizes((1, 4), (1, 5), (1, 6)), d.pick(0, 1)
    w = d.normal(b, c) if axis == 0 else d.normal(a, b)
    return Case(
        "concat, stack",
        {"x": d.normal(a, c), "w": w},
        f"v = concat([x, w, x], axis: {axis})\ny = stack([v, v * v], axis: 1)",
        lambda x, w: stacked(torch, torch.cat([x, w, x], axis)),
        lambda x, w: stacked(jnp, jnp.concatenate([x, w, x], axis)),
        "x w",
    )


def stacked(m, z):
    return m.stack([z, z * z], 1)


def pieces(d):
    n, k = d.sizes((1, 5), (2, 5))
    return Case(
        "split, chunk",
        {"x": d.normal(n, k + 3), "z": d.normal(n, 2 * k)},
        f"(a, b) = split(x, [{k}, 3], axis: 1)\n(p, q) = chunk(z, 2, axis: 1)\ny = a * p - q * sum(b)",
        lambda x, z: split_twin(torch.split(x, [k, 3], 1), torch.chunk(z, 2, 1)),
        lambda x, z: split_twin(jnp.split(x, [k], 1), jnp.split(z, 2, 1)),
        "x z",
    )


def split_twin(ab, pq):
    return ab[0] * pq[0] - pq[1] * ab[1].sum()


def moved(d):
    n = d.size(-3, 3)
    weft, torch_f, jax_f = d.pick(
        (f"roll(x, {n}, 1)", lambda x: torch.roll(x, n, 1), lambda x: jnp.roll(x, n, 1)),
        ("rot90(x)", lambda x: torch.rot90(x, 1, (1, 2)), lambda x: jnp.rot90(x, 1, (1, 2))),
        ("tile(x, [2, 1, 3])", lambda x: x.repeat(2, 1, 3), lambda x: jnp.tile(x, (2, 1, 3))),
        ("repeat(x, 3, axis: 1)", lambda x: x.repeat_interleave(3, 1), lambda x: jnp.repeat(x, 3, 1)),
        (f"tril(x, {n})", lambda x: torch.tril(x, n), lambda x: jnp.tril(x, n)),
        (f"triu(x, {n})", lambda x: torch.triu(x, n), lambda x: jnp.triu(x, n)),
        ("flip(x, axis: 1)", lambda x: x.flip(1), lambda x: jnp.flip(x, 1)),
        (
            "diagonal(x[:, :4, :4])",
            lambda x: torch.diagonal(x[:, :4, :4], 0, 1, 2),
            lambda x: jnp.diagonal(x[:, :4, :4], 0, 1, 2),
        ),
    )
    return Case(
        weft,
        {"x": d.normal(*d.sizes((1, 3), (4, 7), (4, 7)))},
        f"{weft}^2",
        lambda x: torch_f(x) ** 2,
        lambda x: jax_f(x) ** 2,
        "x",
    )


def rearranged(d):
    h, p, q = d.sizes((1, 4), (1, 4), (1, 5))
    return Case(
        "rearrange",
        {"x": d.normal(d.size(1, 3), p, h * q)},
        f'rearrange(x, "b n (h d) -> h b d n", h: {h})^2',
        lambda x: x.reshape(x.shape[0], p, h, q).permute(2, 0, 3, 1) ** 2,
        lambda x: x.reshape(x.shape[0], p, h, q).transpose(2, 0, 3, 1) ** 2,
        "x",
    )


# ---- indexing ----------------------------------------------------------------------------------------------


def rows(d):
    n, k = d.sizes((2, 9), (1, 8))
    axis = d.pick(0, 1)
    x = d.normal(*((n, k) if axis == 0 else (k, n)))
    weft = "x[i]" if axis == 0 else "x[:, i]"
    twin = lambda x, i: (x[i] if axis == 0 else x[:, i]) ** 2
    return Case(
        "gather " + weft, {"x": x, "i": d.ints(0, n, *d.sizes((1, 5), (1, 4)))}, weft + "^2", twin, twin, "x", 2
    )


def picked(d):
    b, k, n = d.sizes((1, 5), (2, 7), (1, 5))
    return Case(
        "pick",
        {"x": d.normal(b, k, n), "i": d.ints(0, k, b, n)},
        "pick(x, i, axis: 1)^2",
        lambda x, i: x.gather(1, i.long()[:, None])[:, 0] ** 2,
        lambda x, i: jnp.take_along_axis(x, i[:, None], 1)[:, 0] ** 2,
        "x",
        2,
    )


def along(d):
    b, k, n = d.sizes((1, 5), (2, 7), (1, 9))
    return Case(
        "take_along",
        {"x": d.normal(b, k), "i": d.ints(0, k, b, n)},
        "take_along(x, i, axis: 1)^2",
        lambda x, i: x.gather(1, i.long()) ** 2,
        lambda x, i: jnp.take_along_axis(x, i, 1) ** 2,
        "x",
        2,
    )


def added(d):
    n, k, m = d.sizes((2, 8), (1, 6), (1, 12))
    return Case(
        "scatter_add",
        {"x": d.normal(n, k), "i": d.ints(0, n, m), "u": d.normal(m, k)},
        "scatter_add(x, i, u)^2",
        lambda x, i, u: x.index_add(0, i, u) ** 2,
        lambda x, i, u: x.at[i].add(u) ** 2,
        "x u",
        2,
    )


def written(d):
    n, k = d.sizes((4, 9), (1, 6))
    i = d.rng.permutation(n)[:3].astype(np.int32)
    return Case(
        "x[i] = u",
        {"x": d.normal(n, k), "i": i, "u": d.normal(3, k)},
        "x[i] = u\ny = x * x * x",
        lambda x, i, u: x.index_copy(0, i.long(), u) ** 3,
        lambda x, i, u: x.at[i].set(u) ** 3,
        "u",
        2,
    )


def window_at(d):
    n, k = d.sizes((5, 9), (1, 6))
    i = np.int32(d.size(0, n - 3))
    return Case(
        "x[i : +3]",
        {"x": d.normal(n, k), "i": np.asarray(i)},
        "x[i : +3]^2",
        lambda x, i: x[int(i) : int(i) + 3] ** 2,
        lambda x, i: lax.dynamic_slice_in_dim(x, i, 3) ** 2,
        "x",
        2,
    )


def ordered(d):
    axis, n, k = d.pick(0, 1), *d.sizes((2, 9), (2, 9))
    down = d.pick(False, False, True)
    order = f"axis: {axis}" + (", descending: true" if down else "")
    return Case(
        "sort, argsort",
        {"x": d.apart(n, k)},
        f"y = sort(x, {order})^2\ni = argsort(x, {order})",
        lambda x: sorted_torch(x, axis, down),
        lambda x: (jnp.sort(x, axis, descending=down) ** 2, jnp.argsort(x, axis, descending=down)),
        "x",
        results="y i",
    )


def sorted_torch(x, axis, down):
    got = torch.sort(x, axis, descending=down)
    return got.values**2, got.indices.int()


def greatest(d):
    k = d.size(1, 4)
    return Case(
        "top_k",
        {"x": d.apart(*d.sizes((1, 5), (5, 12)))},
        f"r = top_k(x, {k})\ny = r.values^2\ni = r.index",
        lambda x: top_torch(x, k),
        lambda x: top_jax(x, k),
        "x",
        results="y i",
    )


def top_torch(x, k):
    got = torch.topk(x, k, -1)
    return got.values**2, got.indices.int()


def top_jax(x, k):
    got, index = lax.top_k(x, k)
    return got**2, index


def searched(d):
    k = d.size(2, 12)
    rising = np.sort(d.normal(k))
    return Case(
        "searchsorted",
        {"r": rising, "x": d.normal(*d.sizes((1, 4), (1, 8)))},
        "searchsorted(r, x)",
        lambda r, x: torch.searchsorted(r, x).int(),
        lambda r, x: jnp.searchsorted(r, x),
    )


def counted(d):
    return Case(
        "histogram",
        {"x": d.normal(d.size(5, 200))},
        "histogram(x, -2.0, 2.0, 7)",
        lambda x: torch.histc(x[(x >= -2) & (x < 2)], 7, -2, 2).float(),
        lambda x: jnp.histogram(x, 7, (-2, 2))[0].astype(np.float32),
    )


def one_hot(d):
    k = d.size(2, 9)
    return Case(
        "one_hot",
        {"i": d.ints(0, k, *d.sizes((1, 4), (1, 6)))},
        f"one_hot(i, {k})",
        lambda i: F.one_hot(i.long(), k).float(),
        lambda i: N.one_hot(i, k),
    )


# ---- reductions --------------------------------------------------------------------------------------------

# what Weft says with AXES, torch, JAX, the order of the gradients
REDUCTIONS = [
    ("sum(x, axis: AXES)", lambda x, a: x.sum(a), lambda x, a: x.sum(a), 1),
    ("mean(x, axis: AXES, keep: true)", lambda x, a: x.mean(a, keepdim=True), lambda x, a: x.mean(a, keepdims=True), 1),
    ("max(x, axis: AXES)", lambda x, a: x.amax(a), lambda x, a: x.max(a), 1),
    ("min(x, axis: AXES)", lambda x, a: x.amin(a), lambda x, a: x.min(a), 1),
    ("var(x, axis: AXES)", lambda x, a: x.var(a, correction=0), lambda x, a: x.var(a), 2),
    ("std(x, axis: AXES, correction: 1)", lambda x, a: x.std(a), lambda x, a: x.std(a, ddof=1), 2),
    ("norm(x, axis: AXES)", lambda x, a: torch.linalg.vector_norm(x, 2, a), lambda x, a: jnp.sqrt((x * x).sum(a)), 2),
    ("logsumexp(x, axis: AXES)", lambda x, a: torch.logsumexp(x, a), lambda x, a: S.logsumexp(x, a), 2),
]
ALONG = [
    ("prod(x, axis: AXIS)", lambda x, a: x.prod(a), lambda x, a: x.prod(a), 2),
    ("softmax(x, axis: AXIS)", lambda x, a: x.softmax(a), lambda x, a: N.softmax(x, a), 2),
    ("log_softmax(x, axis: AXIS)", lambda x, a: x.log_softmax(a), lambda x, a: N.log_softmax(x, a), 2),
    ("cumsum(x, axis: AXIS)", lambda x, a: x.cumsum(a), lambda x, a: jnp.cumsum(x, a), 1),
    ("cumprod(x, axis: AXIS)", lambda x, a: x.cumprod(a), lambda x, a: jnp.cumprod(x, a), 2),
    (
        "cumsum(x, axis: AXIS, reverse: true)",
        lambda x, a: x.flip(a).cumsum(a).flip(a),
        lambda x, a: lax.cumsum(x, a, reverse=True),
        1,
    ),
    ("argmax(x, axis: AXIS)", lambda x, a: x.argmax(a).int(), lambda x, a: x.argmax(a), 0),
    ("argmin(x, axis: AXIS)", lambda x, a: x.argmin(a).int(), lambda x, a: x.argmin(a), 0),
    ("any(x > 1.0, axis: AXIS)", lambda x, a: (x > 1).any(a), lambda x, a: (x > 1).any(a), 0),
    ("all(x > -1.5, axis: AXIS)", lambda x, a: (x > -1.5).all(a), lambda x, a: (x > -1.5).all(a), 0),
]


def reduction(d, weft, torch_f, jax_f, order):
    axes = d.pick((1,), (0, 2), (0, 1, 2), (2,))
    x = d.apart(*d.sizes((2, 5), (2, 9), (2, 70)))
    weft = weft.replace("AXES", str(list(axes)))
    return Case(weft, {"x": x}, weft, lambda x: torch_f(x, axes), lambda x: jax_f(x, axes), "x", order)


def along_axis(d, weft, torch_f, jax_f, order):
    axis = d.pick(1, 0, 2)
    x = d.normal(*d.sizes((2, 5), (2, 9), (2, 12)))
    weft = weft.replace("AXIS", str(axis))
    return Case(
        weft, {"x": x}, weft, lambda x: torch_f(x, axis), lambda x: jax_f(x, axis), "x" if order else "", max(order, 1)
    )


def middle(d):
    return Case(
        "median",
        {"x": d.apart(*d.sizes((1, 5), (1, 12)))},
        "median(x)^2",
        lambda x: x.median(-1).values ** 2,
        lambda x: jnp.sort(x, -1)[..., (x.shape[-1] - 1) // 2] ** 2,
        "x",
    )


# ---- contractions ------------------------------------------------------------------------------------------

EINSUMS = [
    "ij,jk->ik",
    "bij,bkj->bik",
    "bhnd,bhmd->bhnm",
    "ij,ij->",
    "i,j->ij",
    "abc,cd->dab",
    "bij,jb->i",
    "ijk,kj->ij",
]


def spaced(notation):
    """ij,jk->ik as Weft has it: i j, j k -> i k."""
    return " ".join(notation.replace("->", ">")).replace(">", "->").replace(" ,", ",")


def contraction(d, notation):
    sizes = {letter: d.size(1, 24) if letter != "b" else d.size(1, 3) for letter in "abcdhijkmn"}
    left, right = notation.split("->")[0].split(",")
    inputs = {"x": d.normal(*(sizes[c] for c in left)), "w": d.normal(*(sizes[c] for c in right))}
    return Case(
        f"einsum {notation}",
        inputs,
        f'einsum("{spaced(notation)}", x, w)',
        lambda x, w: torch.einsum(notation, x, w),
        lambda x, w: jnp.einsum(notation, x, w),
        "x w",
        2,
    )


def product(d):
    n, k, m = d.sizes((1, 70), (1, 130), (1, 70))
    left, right = d.pick(((n, k), (k, m)), ((2, n, k), (2, k, m)), ((3, n, k), (k, m)), ((k,), (k, m)))
    return Case(
        "x @ w",
        {"x": d.normal(*left), "w": d.normal(*right)},
        "x @ w",
        lambda x, w: x @ w,
        lambda x, w: x @ w,
        "x w",
        2,
    )


# ---- control: loops, conditions, recomputation -------------------------------------------------------------


def looped(d):
    n, k = d.sizes((1, 5), (1, 9))
    x = 0.3 * d.normal(n, k)
    return Case(
        "loop with yield",
        {"x": x, "w": 0.3 * d.normal(k, k)},
        "h = x\ny = loop i in 0..5 {\n  h = tanh(h @ w + x)\n  yield h\n}",
        lambda x, w: torch.stack(steps(torch, x, w)),
        lambda x, w: jnp.stack(steps(jnp, x, w)),
        "x w",
        2,
    )


def steps(m, x, w):
    h, out = x, []
    for _ in range(5):
        h = m.tanh(h @ w + x)
        out.append(h)
    return out


def chosen(d):
    c = np.asarray(d.pick(True, False))
    return Case(
        "when",
        {"x": d.normal(d.size(1, 9)), "c": c},
        "y = x\nwhen c { y = exp(x) } else { y = x * x * x }",
        lambda x, c: torch.exp(x) if c else x**3,
        lambda x, c: lax.cond(c, jnp.exp, lambda x: x * x * x, x),
        "x",
        2,
    )


def halved(d):
    """A number of turns that the values decide; it cannot be differentiated."""
    return Case(
        "loop while",
        {"x": d.uniform(0.5, 2, d.size(1, 9))},
        "y = x\nloop while max(y) > 0.1 { y = 0.5 * y }",
        lambda x: halve(torch, x),
        lambda x: lax.while_loop(lambda y: y.max() > 0.1, lambda y: 0.5 * y, x),
    )


def halve(m, y):
    while y.max() > 0.1:
        y = 0.5 * y
    return y


def recomputed(d):
    return Case(
        "remat",
        {"x": d.normal(*d.sizes((1, 9), (1, 9)))},
        "remat(fn(z) => tanh(z * z) * sin(z), x)",
        lambda x: torch.tanh(x * x) * torch.sin(x),
        lambda x: jax.checkpoint(lambda z: jnp.tanh(z * z) * jnp.sin(z))(x),
        "x",
        2,
    )


FAMILIES = {
    "functions of one number": each(unary, 1, UNARY),
    "activations": each(activation, 1, ACTIVATIONS),
    "functions of two, broadcast": each(binary, 2, BINARY),
    "comparisons": each(comparison, 1, COMPARISONS),
    "integers": each(integers, 1, INTEGERS),
    "structure": [
        (reshape, 2),
        (transpose, 2),
        (broadcast, 2),
        (slices, 4),
        (pad, 3),
        (joined, 2),
        (pieces, 1),
        (moved, 8),
        (rearranged, 2),
    ],
    "indexing, sorting": [
        (rows, 2),
        (picked, 2),
        (along, 2),
        (added, 2),
        (written, 2),
        (window_at, 2),
        (ordered, 4),
        (greatest, 1),
        (searched, 1),
        (counted, 1),
        (one_hot, 1),
    ],
    "reductions, scans": each(reduction, 2, REDUCTIONS) + each(along_axis, 2, ALONG) + [(middle, 2)],
    "contractions": each(contraction, 2, [(e,) for e in EINSUMS]) + [(product, 4)],
    "loop, when, remat": [(looped, 2), (chosen, 2), (halved, 1), (recomputed, 1)],
}
