"""The cases in PyTorch, in f32 and f64, and in JAX, which may be missing: results, gradients, and their gradients."""

import numpy as np
import torch
from case import flat

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None


def as_tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def call_twin(twin, case, leaves):
    inputs = {name: leaves[name] for name in case.inputs}
    weights = {name: leaves[name] for name in case.weights}
    return as_tuple(twin(weights, **inputs) if weights else twin(**inputs))


def weighed(case, names, values, factors):
    """The sum over arrays of the sum of array times factor."""
    return sum((value * factors[flat(name)]).sum() for name, value in zip(names, values) if flat(name) in factors)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def torch_leaf(array, dtype):
    tensor = torch.from_numpy(np.array(array))  # a copy: some twins write into theirs
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def torch_slopes(total, leaves, again):
    """Zeros by what the total does not depend on."""
    if not total.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(total, leaves, create_graph=again, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves)]


def run_torch(case, double=False):
    dtype = torch.float64 if double else torch.float32
    names = case.slope_names()
    leaves = {name: torch_leaf(a, dtype) for name, a in {**case.inputs, **case.weights}.items()}
    for name in names:
        leaves[name].requires_grad_()
    factors = {flat(name): torch_leaf(a, dtype) for name, a in case.factors.items()}
    outputs = list(call_twin(case.torch, case, leaves))
    labels, values = case.result_names(), outputs
    for order in range(1, case.order + 1 if names else 1):
        values = torch_slopes(weighed(case, labels, values, factors), [leaves[n] for n in names], order < case.order)
        labels = names
        outputs += values
    return [x.detach().numpy() for x in outputs]


# ---- JAX -------------------------------------------------------------------------------------------------------------


def run_jax(case):
    names = case.slope_names()
    arrays = {name: jnp.asarray(a) for name, a in {**case.inputs, **case.weights}.items()}
    factors = {flat(name): jnp.asarray(a) for name, a in case.factors.items()}

    def results(slopes, rest):
        return call_twin(case.jax, case, {**rest, **slopes})

    def first(slopes, rest):
        return weighed(case, case.result_names(), results(slopes, rest), factors)

    def second(slopes, rest):
        return weighed(case, names, [jax.grad(first)(slopes, rest)[name] for name in names], factors)

    @jax.jit
    def everything(slopes, rest):
        outputs = list(results(slopes, rest))
        for total in [first, second][: case.order if names else 0]:
            gradient = jax.grad(total)(slopes, rest)
            outputs += [gradient[name] for name in names]
        return outputs

    slopes = {name: arrays[name] for name in names}
    rest = {name: a for name, a in arrays.items() if name not in slopes}
    return [np.asarray(x) for x in everything(slopes, rest)]
