"""Optimisers, several steps each, and schedules. The loss is a fit of tanh(x w + b) to targets; a batch a step."""

import math

from case import TURNS, Case, each
from twins import jax, jnp, torch

try:
    import optax
except ImportError:
    optax = None

O = torch.optim
STEPS = 8


def prediction(m, x, w, b):
    return m.tanh(x @ w + b)


def fit(d, name, weft, torch_f, optax_f):
    """Weights after STEPS steps. torch_f gets the list of both and returns an object with `step`; optax_f gives the
    transformation."""
    n, i, o = d.sizes((2, 6), (2, 6), (2, 6))
    inputs = {"x": d.normal(STEPS, n, i), "t": d.uniform(-1, 1, STEPS, n, o)}
    loss = "mean((tanh(x[k] @ layer.weight + layer.bias) - t[k])^2)"
    body = f"loop k in 0..{STEPS} {{\n  minimize {loss} over layer using {weft}\n}}"
    member = f"Weights({i}, {o})"
    return Case(
        name,
        inputs,
        body + "\nw = layer.weight + 0.0\nb = layer.bias + 0.0",
        lambda w, x, t: torch_steps(w, x, t, torch_f),
        (lambda w, x, t: optax_steps(w, x, t, optax_f())) if optax and optax_f else None,
        results="w b",
        member=member,
        weights={"weight": d.normal(i, o), "bias": d.normal(o)},
        kind="train",
    )


def torch_steps(weights, x, t, make):
    w, b = (weights[name].clone().requires_grad_() for name in ["weight", "bias"])
    optimiser = make([w, b])
    for k in range(STEPS):
        loss = (prediction(torch, x[k], w, b) - t[k]).square().mean()
        for p, g in zip([w, b], torch.autograd.grad(loss, [w, b])):
            p.grad = g
        optimiser.step()
    return w, b


def optax_steps(weights, x, t, transform):
    params = {name: weights[name] for name in ["weight", "bias"]}
    state = transform.init(params)
    for k in range(STEPS):
        g = jax.grad(lambda p: ((prediction(jnp, x[k], p["weight"], p["bias"]) - t[k]) ** 2).mean())(params)
        updates, state = transform.update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params["weight"], params["bias"]


class Clipped:
    """A torch optimiser behind clipping of the common norm."""

    def __init__(self, inner, params, limit):
        self.inner, self.params, self.limit = inner, params, limit

    def step(self):
        torch.nn.utils.clip_grad_norm_(self.params, self.limit)
        self.inner.step()


class Formula:
    """An optimiser that torch does not have, or has otherwise: `update` gives the next weight and its state."""

    def __init__(self, params, update):
        self.params, self.update, self.states, self.k = params, update, [{} for _ in params], 0

    def step(self):
        self.k += 1
        for p, state in zip(self.params, self.states):
            p.data = self.update(p.data, p.grad, state, self.k)


def lion(p, g, s, _, lr=0.01, beta1=0.9, beta2=0.99, decay=0.1):
    """Chen et al. 2023, algorithm 2."""
    m = s.get("m", torch.zeros_like(p))
    s["m"] = beta2 * m + (1 - beta2) * g
    return p - lr * ((beta1 * m + (1 - beta1) * g).sign() + decay * p)


def adafactor(p, g, s, k, lr=0.01, eps=1e-30):
    """Shazeer & Stern 2018, algorithm 4 (of a vector, algorithm 5), with a given lr."""
    keep, square = 1 - k**-0.8, g.square() + eps
    old = lambda name, now: keep * s.get(name, torch.zeros_like(now)) + (1 - keep) * now
    if p.dim() == 2:
        s["row"], s["column"] = old("row", square.mean(1)), old("column", square.mean(0))
        u = g / (torch.outer(s["row"], s["column"]) / s["row"].mean()).sqrt()
    else:
        s["v"] = old("v", square)
        u = g / s["v"].sqrt()
    return p - lr * u / max(1.0, u.square().mean().sqrt().item())


OPTIMISERS = [
    ("SGD", "nn.SGD(lr: 0.1)", lambda p: O.SGD(p, 0.1), lambda: optax.sgd(0.1)),
    (
        "SGD, decay",
        "nn.SGD(lr: 0.1, decay: 0.05)",
        lambda p: O.SGD(p, 0.1, weight_decay=0.05),
        lambda: optax.chain(optax.add_decayed_weights(0.05), optax.sgd(0.1)),
    ),
    ("Momentum", "nn.Momentum(lr: 0.1, mu: 0.9)", lambda p: O.SGD(p, 0.1, 0.9), lambda: optax.sgd(0.1, 0.9)),
    (
        "Momentum, Nesterov, decay",
        "nn.Momentum(lr: 0.1, mu: 0.8, nesterov: true, decay: 0.05)",
        lambda p: O.SGD(p, 0.1, 0.8, weight_decay=0.05, nesterov=True),
        lambda: optax.chain(optax.add_decayed_weights(0.05), optax.sgd(0.1, 0.8, True)),
    ),
    ("Adagrad", "nn.Adagrad(lr: 0.1)", lambda p: O.Adagrad(p, 0.1), lambda: optax.adagrad(0.1, 0.0, 0.0)),
    (
        "RMSprop",
        "nn.RMSprop(lr: 0.01, alpha: 0.9)",
        lambda p: O.RMSprop(p, 0.01, 0.9),
        lambda: optax.rmsprop(0.01, 0.9, 1e-8, eps_in_sqrt=False),
    ),
    ("Adam", "nn.Adam(lr: 0.05)", lambda p: O.Adam(p, 0.05), lambda: optax.adam(0.05)),
    (
        "Adam, other betas",
        "nn.Adam(lr: 0.05, beta1: 0.5, beta2: 0.9, eps: 1e-4)",
        lambda p: O.Adam(p, 0.05, (0.5, 0.9), 1e-4),
        lambda: optax.adam(0.05, 0.5, 0.9, 1e-4),
    ),
    (
        "AdamW",
        "nn.AdamW(lr: 0.05, decay: 0.1)",
        lambda p: O.AdamW(p, 0.05, weight_decay=0.1),
        lambda: optax.adamw(0.05, weight_decay=0.1),
    ),
    (
        "AdamW, no decay of vectors",
        "nn.AdamW(lr: 0.05, decay: 0.1, decay_if: fn(p) => rank(p) > 1)",
        lambda p: O.AdamW([{"params": p[:1]}, {"params": p[1:], "weight_decay": 0.0}], 0.05, weight_decay=0.1),
        lambda: optax.adamw(0.05, weight_decay=0.1, mask={"weight": True, "bias": False}),
    ),
    (
        "Adam, clipped",
        "nn.Adam(lr: 0.05, clip: 0.1)",
        lambda p: Clipped(O.Adam(p, 0.05), p, 0.1),
        lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.05)),
    ),
    (
        "Lion",
        "nn.Lion(lr: 0.01, decay: 0.1)",
        lambda p: Formula(p, lion),
        lambda: optax.lion(0.01, 0.9, 0.99, weight_decay=0.1),
    ),
    ("Adafactor", "nn.Adafactor(lr: 0.01)", lambda p: Formula(p, adafactor), None),
]


# ---- schedules: the rate of each of TURNS steps ------------------------------------------------------------

R = O.lr_scheduler
SCHEDULES = [
    ("cosine_decay", "nn.cosine_decay(0.1, 10, floor: 0.1)", None, lambda: optax.cosine_decay_schedule(0.1, 10, 0.1)),
    (
        "warmup_cosine",
        "nn.warmup_cosine(0.1, 4, 11, floor: 0.2)",
        None,
        lambda: optax.warmup_cosine_decay_schedule(0.0, 0.1, 4, 11, 0.02),
    ),
    (
        "step_decay",
        "nn.step_decay(0.1, 3, gamma: 0.5)",
        lambda o: R.StepLR(o, 3, 0.5),
        lambda: optax.exponential_decay(0.1, 3, 0.5, staircase=True),
    ),
    (
        "multistep_decay",
        "nn.multistep_decay(0.1, [2, 5, 9], gamma: 0.3)",
        lambda o: R.MultiStepLR(o, [2, 5, 9], 0.3),
        lambda: optax.piecewise_constant_schedule(0.1, {2: 0.3, 5: 0.3, 9: 0.3}),
    ),
    (
        "exponential_decay",
        "nn.exponential_decay(0.1, 0.9)",
        lambda o: R.ExponentialLR(o, 0.9),
        lambda: optax.exponential_decay(0.1, 1, 0.9),
    ),
    (
        "polynomial_decay",
        "nn.polynomial_decay(0.1, 10, power: 2.0)",
        lambda o: R.PolynomialLR(o, 10, 2.0),
        lambda: optax.polynomial_schedule(0.1, 0.0, 2.0, 10),
    ),
    (
        "inverse_sqrt",
        "nn.inverse_sqrt(0.1, 4)",
        lambda o: R.LambdaLR(o, lambda k: min((k + 1) / 4, (4 / (k + 1)) ** 0.5)),
        None,
    ),
    ("warmup", "nn.warmup(0.1, 5)", lambda o: R.LinearLR(o, 0.2, 1.0, 4), None),
]


def schedule(d, name, weft, torch_f, optax_f):
    """The reference is torch's, or where it has none optax's."""
    rates = (
        torch_rates(torch_f)
        if torch_f
        else [float(optax_f()(k)) for k in range(TURNS)] if optax else [math.nan] * TURNS
    )
    return Case(
        name,
        {},
        f"y = {weft}",
        lambda: torch.tensor(rates),
        (lambda: jnp.stack([optax_f()(k) for k in range(TURNS)])) if optax and optax_f else None,
        kind="recipe",
    )


def torch_rates(make):
    optimiser = O.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler, rates = make(optimiser), []
    for _ in range(TURNS):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


def clipped(d):
    inputs = {"a": d.normal(3, 4), "b": d.normal(5)}
    body = "(p, q) = nn.clip_norm([a, b], 0.7)\n(r, s) = nn.clip_value([a, b], 0.4)"

    def twin(a, b):
        short = (0.7 / ((a.square().sum() + b.square().sum()).sqrt() + 1e-6)).clamp(max=1.0)
        return a * short, b * short, a.clamp(-0.4, 0.4), b.clamp(-0.4, 0.4)

    return Case("clip_norm, clip_value", inputs, body, twin, None, "a b", results="p q r s")


FAMILIES = {
    "optimisers, 8 steps": each(fit, 1, OPTIMISERS) + [(clipped, 1)],
    "schedules, 12 steps": each(schedule, 1, SCHEDULES),
}
