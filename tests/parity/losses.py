"""Losses, divergences, log-densities, metrics: scalars and one number an element, with gradients."""

import numpy as np
from case import Case, each
from twins import jax, jnp, torch

F = torch.nn.functional
D = torch.distributions
N = jax.nn if jax else None
P = jax.scipy.stats if jax else None


def pair(d, name, weft, torch_f, jax_f=None, order=2):
    """Of two tensors a and b that are differentiated by."""
    shape = d.pick((d.size(2, 5), d.size(2, 9)), (2, d.size(1, 4), 4, d.size(2, 5)))
    return Case(name, {"a": d.normal(*shape), "b": d.normal(*shape)}, weft, torch_f, jax_f, "a b", order)


PAIRS = [
    ("mse", "nn.mse(a, b)", lambda a, b: F.mse_loss(a, b), lambda a, b: ((a - b) ** 2).mean(), 2),
    ("l1", "nn.l1(a, b)", lambda a, b: F.l1_loss(a, b), lambda a, b: abs(a - b).mean(), 1),
    ("huber", "nn.huber_each(a, b, 0.7)", lambda a, b: F.huber_loss(a, b, reduction="none", delta=0.7), None, 1),
    ("smooth_l1", "nn.smooth_l1(a, b, 0.6)", lambda a, b: F.smooth_l1_loss(a, b, beta=0.6), None, 1),
    (
        "charbonnier",
        "nn.charbonnier(a, b, 0.1)",
        lambda a, b: ((a - b) ** 2 + 0.01).sqrt().mean(),
        lambda a, b: jnp.sqrt((a - b) ** 2 + 0.01).mean(),
        2,
    ),
    ("pseudo_huber", "nn.pseudo_huber_each(a, b)", lambda a, b: pseudo_huber(a, b), lambda a, b: pseudo_huber(a, b), 1),
    ("cosine_similarity", "nn.cosine_similarity(a, b, axis: 1)", lambda a, b: F.cosine_similarity(a, b, 1), None, 2),
    (
        "soft_cross_entropy",
        "nn.soft_cross_entropy(a, softmax(b, axis: 1))",
        lambda a, b: F.cross_entropy(a, b.softmax(1), reduction="none"),
        lambda a, b: -(N.softmax(b, 1) * N.log_softmax(a, 1)).sum(1),
        2,
    ),
    (
        "kl_categorical",
        "dist.kl_categorical(a, b, axis: 1)",
        lambda a, b: F.kl_div(b.log_softmax(1), a.log_softmax(1), reduction="none", log_target=True).sum(1),
        lambda a, b: (N.softmax(a, 1) * (N.log_softmax(a, 1) - N.log_softmax(b, 1))).sum(1),
        2,
    ),
    (
        "kl_standard_normal",
        "dist.kl_standard_normal(a, b)",
        lambda a, b: D.kl_divergence(D.Normal(a, (0.5 * b).exp()), D.Normal(0 * a, 1 + 0 * b)),
        lambda a, b: 0.5 * (jnp.exp(b) + a * a - 1 - b),
        2,
    ),
    (
        "kl_bernoulli",
        "dist.kl_bernoulli(a, b)",
        lambda a, b: D.kl_divergence(D.Bernoulli(logits=a), D.Bernoulli(logits=b)),
        None,
        1,
    ),
    (
        "log_normal",
        "dist.log_normal(a, b, 0.5 * a)",
        lambda a, b: D.Normal(b, (0.25 * a).exp()).log_prob(a),
        lambda a, b: P.norm.logpdf(a, b, jnp.exp(0.25 * a)),
        2,
    ),
    (
        "log_laplace",
        "dist.log_laplace(a, b, 0.5 * b)",
        lambda a, b: D.Laplace(b, (0.5 * b).exp()).log_prob(a),
        lambda a, b: P.laplace.logpdf(a, b, jnp.exp(0.5 * b)),
        1,
    ),
    (
        "log_logistic",
        "dist.log_logistic(a, b, 0.5 * b)",
        lambda a, b: log_logistic(a, b),
        lambda a, b: P.logistic.logpdf(a, b, jnp.exp(0.5 * b)),
        2,
    ),
    (
        "log_bernoulli_logits",
        "dist.log_bernoulli_logits(sigmoid(a), b)",
        lambda a, b: -F.binary_cross_entropy_with_logits(b, a.sigmoid(), reduction="none"),
        None,
        2,
    ),
    (
        "log_mean_exp",
        "dist.log_mean_exp(a * b)",
        lambda a, b: (a * b).logsumexp(0) - np.log(a.shape[0]),
        lambda a, b: jax.scipy.special.logsumexp(a * b, 0) - np.log(a.shape[0]),
        2,
    ),
    (
        "normal_cdf",
        "dist.normal_cdf(a * b)",
        lambda a, b: torch.special.ndtr(a * b),
        lambda a, b: jax.scipy.special.ndtr(a * b),
        2,
    ),
    (
        "gan: logistic",
        "gan.logistic_d(a, b) + gan.logistic_g(b)",
        lambda a, b: F.softplus(-a).mean() + F.softplus(b).mean() + F.softplus(-b).mean(),
        lambda a, b: N.softplus(-a).mean() + N.softplus(b).mean() + N.softplus(-b).mean(),
        2,
    ),
    (
        "gan: hinge",
        "gan.hinge_d(a, b) + gan.hinge_g(b)",
        lambda a, b: 0.5 * (F.relu(1 - a).mean() + F.relu(1 + b).mean()) - b.mean(),
        lambda a, b: 0.5 * (N.relu(1 - a).mean() + N.relu(1 + b).mean()) - b.mean(),
        1,
    ),
    (
        "gan: least squares, wgan",
        "gan.least_squares_d(a, b) + gan.least_squares_g(b) + 2.0 * gan.wgan_d(a, b) + gan.wgan_g(b)",
        lambda a, b: least_squares(a, b),
        lambda a, b: least_squares(a, b),
        2,
    ),
    (
        "psnr",
        "nn.psnr(a, b)",
        lambda a, b: -10 * torch.log10(F.mse_loss(a, b)),
        lambda a, b: -10 * jnp.log10(((a - b) ** 2).mean()),
        2,
    ),
]


def pseudo_huber(a, b):
    size = int(np.prod(a.shape[1:]))
    c = 0.00054 * size**0.5
    return (((a - b) ** 2).reshape(-1, size).sum(1) + c * c) ** 0.5 - c


def log_logistic(a, b):
    z = (a - b) * (-0.5 * b).exp()
    return -z - 0.5 * b - 2 * F.softplus(-z)


def least_squares(a, b):
    return 0.5 * (((a - 1) ** 2).mean() + (b**2).mean()) + ((b - 1) ** 2).mean() + 2 * (b.mean() - a.mean()) - b.mean()


# ---- with labels -------------------------------------------------------------------------------------------


def cross_entropy(d):
    k, smooth = d.size(2, 9), d.pick(0.0, 0.1, 0.0)
    z, label = d.pick(((4, k), (4,)), ((3, k), (3,)), ((2, k, 3, 4), (2, 3, 4)))
    return Case(
        "cross_entropy",
        {"z": 3 * d.normal(*z), "label": d.ints(0, k, *label)},
        f"nn.cross_entropy(z, label, smoothing: {smooth})",
        lambda z, label: F.cross_entropy(z, label.long(), reduction="none", label_smoothing=smooth),
        lambda z, label: -(1 - smooth) * jnp.take_along_axis(N.log_softmax(z, 1), label[:, None], 1)[:, 0]
        - smooth * N.log_softmax(z, 1).mean(1),
        "z",
        2,
    )


def binary(d):
    z, t = d.normal(3, d.size(1, 9)), d.uniform(0.05, 0.95, 3, 1)
    t = np.broadcast_to(t, z.shape).copy()
    return Case(
        "bce, bce_logits",
        {"z": z, "t": t},
        "a = nn.bce_logits_each(z, t)\nb = nn.bce_logits(z, t)\nc = nn.bce(sigmoid(z), t)",
        lambda z, t: (
            F.binary_cross_entropy_with_logits(z, t, reduction="none"),
            F.binary_cross_entropy_with_logits(z, t),
            F.binary_cross_entropy(z.sigmoid(), t),
        ),
        None,
        "z t",
        1,
        "a b c",
    )


def focal(d):
    """The public code's form: alpha_t (1 - p_t)^gamma times the cross-entropy."""

    def twin(z, t):
        p, each = z.sigmoid(), F.binary_cross_entropy_with_logits(z, t, reduction="none")
        true = p * t + (1 - p) * (1 - t)
        return (0.25 * t + 0.75 * (1 - t)) * (1 - true) ** 2 * each

    z = d.normal(4, d.size(1, 9))
    t = d.mask(0.5, *z.shape).astype(np.float32)
    return Case("focal", {"z": z, "t": t}, "nn.focal_each(z, t)", twin, None, "z", 2)


def dice(d):
    z = d.normal(4, d.size(1, 9))
    return Case(
        "dice",
        {"z": z, "t": d.uniform(0, 1, *z.shape)},
        "nn.dice(sigmoid(z), t)",
        lambda z, t: 1 - (2 * (z.sigmoid() * t).sum() + 1) / (z.sigmoid().sum() + t.sum() + 1),
        None,
        "z",
        2,
    )


def triplet(d):
    n, k = d.sizes((1, 5), (2, 9))
    inputs = {"a": d.normal(n, k), "p": d.normal(n, k), "n": d.normal(n, k)}
    return Case(
        "triplet",
        inputs,
        "nn.triplet_each(a, p, n, 0.8)",
        lambda a, p, n: F.triplet_margin_loss(a, p, n, 0.8, reduction="none"),
        None,
        "a p n",
    )


def contrastive(d):
    n, k = d.sizes((2, 6), (2, 9))

    def twin(a, b):
        z = F.normalize(a) @ F.normalize(b).T / 0.5
        own = torch.arange(n)
        return 0.5 * (F.cross_entropy(z, own) + F.cross_entropy(z.T, own))

    return Case(
        "contrastive", {"a": d.normal(n, k), "b": d.normal(n, k)}, "nn.contrastive(a, b, 0.5)", twin, None, "a b"
    )


def discrepancy(d):
    """The inverse multiquadric kernel of Tolstikhin et al. 2018, without the diagonals."""
    n, m, k = d.sizes((2, 6), (2, 6), (1, 4))

    def kernel(a, b):
        apart = (a[:, None] - b[None]).square().sum(2)
        return sum(2 * k * s / (2 * k * s + apart) for s in [0.1, 0.2, 0.5, 1, 2, 5, 10])

    def twin(x, z):
        own = lambda a: (kernel(a, a).sum() - 7 * len(a)) / (len(a) * (len(a) - 1))
        return own(x) + own(z) - 2 * kernel(x, z).mean()

    return Case("mmd", {"x": d.normal(n, k), "z": d.normal(m, k)}, "nn.mmd(x, z)", twin, None, "x z")


def variation(d):
    x = d.normal(2, d.size(1, 3), *d.sizes((2, 6), (2, 6)))
    return Case(
        "total_variation",
        {"x": x},
        "nn.total_variation(x)",
        lambda x: (x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()) / 2,
        lambda x: (abs(jnp.diff(x, axis=2)).sum() + abs(jnp.diff(x, axis=3)).sum()) / 2,
        "x",
    )


def penalty(d):
    """R1: a second gradient inside of the loss, and its gradient by the weights."""
    n, k = d.sizes((1, 4), (1, 6))

    def twin(x, w):
        z = x if x.requires_grad else x.detach().requires_grad_()
        (slope,) = torch.autograd.grad((torch.tanh(z @ w) ** 2).sum(), z, create_graph=True)
        return slope.square().sum(1).mean()

    return Case(
        "gan: r1",
        {"x": d.normal(n, k), "w": d.normal(k, 3)},
        "gan.r1(fn(z) => sum(tanh(z @ w)^2, axis: 1), x)",
        twin,
        lambda x, w: (jax.grad(lambda z: (jnp.tanh(z @ w) ** 2).sum())(x) ** 2).sum(1).mean(),
        "x w",
    )


FAMILIES = {
    "losses, densities": each(pair, 1, PAIRS)
    + [
        (cross_entropy, 3),
        (binary, 2),
        (focal, 1),
        (dice, 1),
        (triplet, 1),
        (contrastive, 1),
        (discrepancy, 1),
        (variation, 1),
        (penalty, 1),
    ]
}
