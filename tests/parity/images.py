"""Convolutions, windows, pools, interpolation, margins."""

import numpy as np
from case import Case, each
from twins import jax, jnp, torch

F = torch.nn.functional
lax = jax.lax if jax else None


# ---- convolutions ------------------------------------------------------------------------------------------


def jax_conv(x, w, stride, pad, dilation, groups, spread=None):
    n = len(stride)
    letters = "DHW"[3 - n :]
    names = ("NC" + letters, "OI" + letters, "NC" + letters)
    return lax.conv_general_dilated(x, w, stride, pad, spread or (1,) * n, dilation, names, feature_group_count=groups)


def jax_conv_transpose(x, w, stride, pad, dilation, groups):
    """The gradient of a convolution by its image: spread out, with the kernel mirrored and its channels exchanged."""
    c, o, *k = w.shape
    w = w.reshape(groups, c // groups, o, *k).swapaxes(1, 2).reshape(groups * o, c // groups, *k)
    w = jnp.flip(w, range(2, w.ndim))
    reach = [(size - 1) * step for size, step in zip(k, dilation)]
    pad = [(r - lo, r - hi) for r, (lo, hi) in zip(reach, pad)]
    return jax_conv(x, w, (1,) * len(k), pad, dilation, groups, stride)


def torch_conv(x, w, stride, pad, dilation, groups):
    margins = [side for pair in reversed(pad) for side in pair]
    f = [F.conv1d, F.conv2d, F.conv3d][len(stride) - 1]
    return f(F.pad(x, margins), w, None, stride, 0, dilation, groups)


def torch_conv_transpose(x, w, stride, pad, dilation, groups):
    """Its margins are cut off the whole result."""
    f = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][len(stride) - 1]
    y = f(x, w, None, stride, 0, 0, groups, dilation)
    return F.pad(y, [-side for pair in reversed(pad) for side in pair])


def geometry(d, axes):
    stride, dilation = d.sizes(*[(1, 3)] * axes), d.sizes(*[(1, 2)] * axes)
    return stride, [d.sizes((0, 2), (0, 2)) for _ in range(axes)], dilation


def words(stride, pad, dilation, groups):
    return f"stride: {list(stride)}, pad: {pad}, dilation: {list(dilation)}, groups: {groups}"


def convolution(d, axes, groups):
    """Also each axis by itself: other strides, margins of two sizes, dilation."""
    c, o, k = groups * d.size(1, 4), groups * d.size(1, 4), d.sizes(*[(1, 4)] * axes)
    how = *geometry(d, axes), groups
    x = d.normal(d.size(1, 3), c, *d.sizes(*[(8, 13)] * axes))
    return Case(
        f"conv {axes}d, {groups} groups",
        {"x": x, "w": d.normal(o, c // groups, *k)},
        f"conv(x, w, {words(*how)})",
        lambda x, w: torch_conv(x, w, *how),
        lambda x, w: jax_conv(x, w, *how),
        "x w",
        2,
    )


def transposed(d, axes, groups):
    c, o, k = groups * d.size(1, 4), d.size(1, 4), d.sizes(*[(3, 4)] * axes)
    how = *geometry(d, axes), groups
    x = d.normal(d.size(1, 3), c, *d.sizes(*[(4, 7)] * axes))
    return Case(
        f"conv_transpose {axes}d, {groups} groups",
        {"x": x, "w": d.normal(c, o, *k)},
        f"conv_transpose(x, w, {words(*how)})",
        lambda x, w: torch_conv_transpose(x, w, *how),
        lambda x, w: jax_conv_transpose(x, w, *how),
        "x w",
        2,
    )


def three_by_three(d):
    """What Winograd's minimal filtering computes: 3 x 3, stride 1, many channels."""
    c, o = d.sizes((16, 48), (16, 48))
    how = (1, 1), [(1, 1), (1, 1)], (1, 1), 1
    x = d.normal(2, c, *d.sizes((12, 20), (12, 20)))
    return Case(
        "conv 3 x 3, many channels",
        {"x": x, "w": d.normal(o, c, 3, 3)},
        "conv(x, w, pad: [(1, 1), (1, 1)])",
        lambda x, w: torch_conv(x, w, *how),
        lambda x, w: jax_conv(x, w, *how),
        "x w",
    )


def depthwise(d):
    c, k = d.size(2, 20), d.pick(3, 5)
    how = (1, 1), [(k // 2, k // 2)] * 2, (1, 1), c
    return Case(
        "conv depthwise",
        {"x": d.normal(2, c, *d.sizes((6, 12), (6, 12))), "w": d.normal(c, 1, k, k)},
        f"conv(x, w, {words(*how)})",
        lambda x, w: torch_conv(x, w, *how),
        lambda x, w: jax_conv(x, w, *how),
        "x w",
        2,
    )


# ---- windows -----------------------------------------------------------------------------------------------


def image(d, lo=7, hi=11):
    return d.normal(d.size(1, 3), d.size(1, 4), *d.sizes((lo, hi), (lo, hi)))


def pool(x, k, stride, margin, first, combine):
    pads = [(0, 0), (0, 0), (margin, margin), (margin, margin)]
    return lax.reduce_window(x, np.float32(first), combine, (1, 1, k, k), (1, 1, stride, stride), pads)


def max_pool(d):
    k, s, p = d.pick((2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0))
    x = d.apart(*image(d).shape)
    return Case(
        "max_pool",
        {"x": x},
        f"max_pool(x, {k}, stride: {s}, margin: {p})",
        lambda x: F.max_pool2d(x, k, s, p),
        lambda x: pool(x, k, s, p, -np.inf, lax.max),
        "x",
    )


def avg_pool(d):
    k, s, p = d.pick((2, 2, 0), (3, 2, 1), (3, 1, 1), (4, 3, 0))
    return Case(
        "avg_pool",
        {"x": image(d)},
        f"avg_pool(x, {k}, stride: {s}, margin: {p})",
        lambda x: F.avg_pool2d(x, k, s, p),
        lambda x: pool(x, k, s, p, 0, lax.add) / (k * k),
        "x",
    )


def lp_pool(d):
    k, s = d.pick((2, 2), (3, 2))
    return Case(
        "lp_pool",
        {"x": np.abs(image(d)) + 0.1},
        f"lp_pool(x, 3.0, {k}, stride: {s})",
        lambda x: F.lp_pool2d(x, 3.0, k, s),
        lambda x: pool(x**3, k, s, 0, 0, lax.add) ** (1 / 3),
        "x",
    )


def whole_pools(d):
    n = d.size(1, 4)
    x = d.apart(2, 3, n * d.size(1, 3), n * d.size(1, 3))
    return Case(
        "global and adaptive pools",
        {"x": x},
        f"a = adaptive_avg_pool(x, {n})\nb = global_avg_pool(x)\nc = global_max_pool(x)",
        lambda x: (F.adaptive_avg_pool2d(x, n), x.mean((2, 3)), x.amax((2, 3))),
        lambda x: (cells(x, n), x.mean((2, 3)), x.max((2, 3))),
        "x",
        results="a b c",
    )


def cells(x, n):
    b, c, h, w = x.shape
    return x.reshape(b, c, n, h // n, n, w // n).mean((3, 5))


def unfolded(d):
    k, s = d.pick((2, 1), (3, 2))
    x = image(d)
    h, w = x.shape[2:]
    windows = f"windows(x, [{k}, {k}], step: [{s}, {s}])"
    return Case(
        "unfold, windows, fold",
        {"x": x},
        f"a = unfold(x, {k}, stride: {s})^2\n" f"b = fold({windows}^2, [{h}, {w}], [{k}, {k}], step: [{s}, {s}])",
        lambda x: (F.unfold(x, k, stride=s) ** 2, F.fold(F.unfold(x, k, stride=s) ** 2, (h, w), k, stride=s)),
        None,
        "x",
        results="a b",
    )


def patched(d):
    p, rows = d.size(1, 4), d.size(1, 3)
    x = d.normal(2, 3, p * rows, p * d.size(1, 3))
    return Case(
        "patches, unpatches",
        {"x": x},
        f"a = patches(x, {p})^2\nb = unpatches(a, {p}, {rows})",
        lambda x: (F.unfold(x, p, stride=p).transpose(1, 2) ** 2, x**2),
        None,
        "x",
        results="a b",
    )


def shuffled(d):
    n = d.size(2, 3)
    x = d.normal(2, n * n * d.size(1, 3), n * d.size(1, 3), n * d.size(1, 3))
    return Case(
        "space_to_depth, depth_to_space",
        {"x": x},
        f"a = space_to_depth(x, {n})^2\nb = depth_to_space(x, {n})^2",
        lambda x: (F.pixel_unshuffle(x, n) ** 2, F.pixel_shuffle(x, n) ** 2),
        None,
        "x",
        results="a b",
    )


# ---- interpolation and margins -----------------------------------------------------------------------------


def resized(d, mode, align):
    x = image(d, 3, 9)
    size = d.sizes((2, 15), (2, 15))
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    option = None if mode == "nearest" else align
    return Case(
        f"resize {mode}{', align' if align else ''}",
        {"x": x},
        f'resize(x, {list(size)}, mode: "{mode}", align: {str(align).lower()})',
        lambda x: F.interpolate(x, size, mode=name, align_corners=option),
        jax_resize(size, mode, align, x.shape),
        "x",
    )


def jax_resize(size, mode, align, shape):
    """jax.image smooths ahead of making smaller unless told not to; its cubic is another, and it does not align."""
    if mode != "linear" or align:
        return None
    return lambda x: jax.image.resize(x, shape[:2] + size, "linear", antialias=False)


def upsampled(d):
    n = d.size(2, 4)
    return Case(
        "upsample",
        {"x": image(d, 2, 5)},
        f"upsample(x, {n})^2",
        lambda x: F.interpolate(x, scale_factor=n) ** 2,
        lambda x: jnp.repeat(jnp.repeat(x, n, 2), n, 3) ** 2,
        "x",
    )


def sampled(d, border, align):
    x = image(d, 4, 8)
    grid = d.uniform(-1.2, 1.2, x.shape[0], *d.sizes((2, 6), (2, 6)), 2)
    words = f"border: {str(border).lower()}, align: {str(align).lower()}"
    mode = "border" if border else "zeros"
    return Case(
        f"grid_sample, {words}",
        {"x": x, "grid": grid},
        f"grid_sample(x, grid, {words})",
        lambda x, grid: F.grid_sample(x, grid, "bilinear", mode, align),
        None,
        "x grid",
    )


def affine_grid(d):
    h, w = d.sizes((2, 8), (2, 8))
    return Case(
        "affine_grid",
        {"theta": d.normal(2, 2, 3)},
        f"vision.affine_grid(theta, {h}, {w})",
        lambda theta: F.affine_grid(theta, (2, 1, h, w), False),
        None,
        "theta",
    )


def margins(d, weft, torch_mode, jax_mode):
    p = d.size(1, 3)
    pads = [(0, 0), (0, 0), (p, p), (p, p)]
    return Case(
        weft,
        {"x": image(d, 5, 9)},
        f"{weft}(x, {p})^2",
        lambda x: F.pad(x, [p] * 4, torch_mode) ** 2,
        lambda x: jnp.pad(x, pads, jax_mode) ** 2,
        "x",
    )


MODES = [("nearest", False), ("linear", False), ("linear", True), ("cubic", False), ("cubic", True)]
MARGINS = [("pad_reflect", "reflect", "reflect"), ("pad_edge", "replicate", "edge"), ("pad_wrap", "circular", "wrap")]


FAMILIES = {
    "convolutions": each(convolution, 3, [(1, 1), (2, 1), (3, 1), (1, 2), (2, 3)])
    + [(depthwise, 2), (three_by_three, 2)],
    "transposed convolutions": each(transposed, 2, [(1, 1), (2, 1), (3, 1), (2, 2)]),
    "pools, windows": [
        (max_pool, 4),
        (avg_pool, 4),
        (lp_pool, 2),
        (whole_pools, 2),
        (unfolded, 2),
        (patched, 1),
        (shuffled, 2),
    ],
    "interpolation, margins": each(resized, 2, MODES)
    + [(upsampled, 2), (affine_grid, 1)]
    + each(sampled, 1, [(False, False), (False, True), (True, False), (True, True)])
    + each(margins, 2, MARGINS),
}
